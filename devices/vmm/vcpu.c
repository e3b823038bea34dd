// SPDX-License-Identifier: GPL-2.0
/* vCPU threads: KVM_RUN, and what the guest has left it for. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include "vmm.h"

#define KICK (SIGRTMIN)

static void on_kick(int sig)
{
	(void)sig;
}

/* @count elements of a string instruction, or one. */
static void do_access(struct vmm *vmm, bool mmio, struct access a, __u8 *data, __u32 count)
{
	a.r = bus_find(vmm, mmio, a.addr);
	*(a.write ? &a.r->writes : &a.r->reads) += 1;
	a.r->elements += count;
	filters_before(vmm, &a);
	for (; count; count--, data += a.len) {
		if (a.write)
			bus_write(vmm, mmio, a.addr, data, a.len);
		else
			bus_read(vmm, mmio, a.addr, data, a.len);
	}
	filters_after(vmm, &a);
	save_check(vmm, mmio, &a);
}

static void do_io(struct vmm *vmm, struct kvm_run *run)
{
	struct access a = { .addr = run->io.port, .len = run->io.size, .write = run->io.direction == KVM_EXIT_IO_OUT };

	do_access(vmm, false, a, (__u8 *)run + run->io.data_offset, run->io.count);
}

static void do_mmio(struct vmm *vmm, struct kvm_run *run)
{
	struct access a = { .addr = run->mmio.phys_addr, .len = run->mmio.len, .write = run->mmio.is_write };

	do_access(vmm, true, a, run->mmio.data, 1);
}

static void internal_error(struct vcpu *v, const char *what, __u64 code)
{
	struct kvm_regs regs = {};

	ioctl(v->fd, KVM_GET_REGS, &regs);
	vmm_error("vCPU %u at 0x%llx: %s (0x%llx)", v->index, (__u64)regs.rip, what, code);
	vmm_end(v->vmm, VMM_INTERNAL);
}

/* With the lock held. */
static void handle_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	v->vmm->exits++;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_io(v->vmm, run);
		break;
	case KVM_EXIT_MMIO:
		do_mmio(v->vmm, run);
		break;
	case KVM_EXIT_INTR:
		return;
	case KVM_EXIT_SHUTDOWN:
		vmm_error("vCPU %u: triple fault", v->index);
		vmm_end(v->vmm, VMM_TRIPLE_FAULT);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		internal_error(v, "the CPU refuses to run it", run->fail_entry.hardware_entry_failure_reason);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		internal_error(v, "KVM cannot go on", run->internal.suberror);
		return;
	default:
		internal_error(v, "an exit that is not known here", run->exit_reason);
		return;
	}
	/* A write may have brought a deadline nearer, and a read may have shown that one has passed. */
	time_run(v->vmm);
}

/*
 * With the lock held: wait while the VM is stopped. The guest's instruction ends when KVM_RUN is entered again, so first it is entered
 * once more, with immediate_exit: a stopped VM is never within an access.
 */
static bool may_run(struct vcpu *v)
{
	struct vmm *vmm = v->vmm;

	while (vmm->pausing && !vmm->ending && !v->in_access) {
		v->parked = true;
		pthread_cond_broadcast(&vmm->changed);
		pthread_cond_wait(&vmm->changed, &vmm->lock);
	}
	v->parked = false;
	v->run->immediate_exit = vmm->pausing || vmm->ending;
	return !vmm->ending;
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vmm *vmm = v->vmm;
	int err;

	pthread_mutex_lock(&vmm->lock);
	while (may_run(v)) {
		pthread_mutex_unlock(&vmm->lock);
		err = ioctl(v->fd, KVM_RUN, 0) ? errno : 0;
		pthread_mutex_lock(&vmm->lock);
		v->in_access = !err;
		if (!err)
			handle_exit(v);
		else if (err != EINTR && err != EAGAIN)
			internal_error(v, strerror(err), err);
	}
	/* Who waits for it to park would wait for ever: the guest's end may have come amid a stop. */
	pthread_cond_broadcast(&vmm->changed);
	pthread_mutex_unlock(&vmm->lock);
	return NULL;
}

/* With the lock held: each vCPU leaves KVM_RUN, or does not enter it. */
static void kick_all(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < vmm->nr_vcpus; i++) {
		if (!vmm->vcpus[i].started)
			continue;
		/* Also for one that is on its way into KVM_RUN at this moment: the signal alone would come too early. */
		__atomic_store_n(&vmm->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vmm->vcpus[i].thread, KICK);
	}
}

int vcpu_start_all(struct vmm *vmm)
{
	struct sigaction sa = { .sa_handler = on_kick };
	sigset_t block, old;
	unsigned int i;
	int err = 0;

	sigaction(KICK, &sa, NULL);
	/* Signals for the process are the main thread's. */
	sigfillset(&block);
	sigdelset(&block, KICK);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	pthread_mutex_lock(&vmm->lock);
	for (i = 0; !err && i < vmm->nr_vcpus; i++) {
		err = pthread_create(&vmm->vcpus[i].thread, NULL, vcpu_thread, &vmm->vcpus[i]);
		vmm->vcpus[i].started = !err;
	}
	pthread_mutex_unlock(&vmm->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		return 0;
	vmm_error("no thread for a vCPU: %s", strerror(err));
	return -1;
}

void vcpu_join_all(struct vmm *vmm)
{
	unsigned int i;

	pthread_mutex_lock(&vmm->lock);
	vmm->ending = true;
	kick_all(vmm);
	pthread_cond_broadcast(&vmm->changed);
	pthread_mutex_unlock(&vmm->lock);
	for (i = 0; i < vmm->nr_vcpus; i++)
		if (vmm->vcpus[i].started)
			pthread_join(vmm->vcpus[i].thread, NULL);
}

static bool all_parked(const struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < vmm->nr_vcpus; i++)
		if (!vmm->vcpus[i].parked)
			return false;
	return true;
}

void vcpu_park_all(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->pausing = true;
	kick_all(vmm);
	while (!all_parked(vmm) && !vmm->ending)
		pthread_cond_wait(&vmm->changed, &vmm->lock);
	pthread_mutex_unlock(&vmm->lock);
}

void vcpu_go_on(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->pausing = vmm->saving;
	pthread_cond_broadcast(&vmm->changed);
	pthread_mutex_unlock(&vmm->lock);
}
