// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <iofilter/pmtimer.h>
#include "vmm.h"

#define PAGE	   4096UL
#define PAGE_SIZE  PAGE /* <linux/kvm.h> wants it */
#define GB	   8 /* of address space that the guest maps, with pages of 2 MB */
#define NR_STACKS  32
#define STACK_SIZE 16384

#define PTE_P  (1ULL << 0)
#define PTE_W  (1ULL << 1)
#define PTE_PS (1ULL << 7)

extern char __executable_start[], _end[];

static __u64 pml4[512] __attribute__((aligned(4096)));
static __u64 pdpt[512] __attribute__((aligned(4096)));
static __u64 pd[GB][512] __attribute__((aligned(4096)));
static unsigned char stacks[NR_STACKS][STACK_SIZE] __attribute__((aligned(4096)));
static bool stack_used[NR_STACKS];

static int xioctl(int fd, unsigned long nr, void *arg, const char *what)
{
	int ret = ioctl(fd, nr, arg);

	TEST_ASSERT(ret >= 0, "%s: %s", what, strerror(errno));
	return ret;
}
#define KVM_IOCTL(fd, nr, arg) xioctl(fd, nr, (void *)(unsigned long)(arg), #nr)

__u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void on_kick(int sig)
{
	(void)sig;
}

/*
 * Each first VM and each last one makes the kernel patch its scheduler (static keys), and an emulated machine with several
 * CPUs may not survive many of those. So one idle VM lives as long as the test.
 */
__attribute__((constructor)) static void hold_static_keys(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm >= 0)
		ioctl(vm, KVM_CREATE_VCPU, 0);
}

unsigned long vmm_page_tables(void)
{
	int i, j;

	pml4[0] = (unsigned long)pdpt | PTE_P | PTE_W;
	for (i = 0; i < GB; i++) {
		pdpt[i] = (unsigned long)pd[i] | PTE_P | PTE_W;
		for (j = 0; j < 512; j++)
			pd[i][j] = ((__u64)i << 30) | ((__u64)j << 21) | PTE_P | PTE_W | PTE_PS;
	}
	return (unsigned long)pml4;
}

static void setup_long_mode(struct vmm_vcpu *v)
{
	struct kvm_segment code = { .base = 0, .limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_sregs s;

	data.selector = 16;
	data.type = 3;
	data.l = 0;
	data.db = 1;
	KVM_IOCTL(v->fd, KVM_GET_SREGS, &s);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x80000033; /* PG, NE, ET, MP, PE */
	s.cr3 = vmm_page_tables();
	s.cr4 = 0x20; /* PAE */
	s.efer = 0x500; /* LMA, LME */
	KVM_IOCTL(v->fd, KVM_SET_SREGS, &s);
}

static void set_cpuid(const struct vmm *vmm, int vcpu_fd)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	TEST_ASSERT(c, "out of memory");
	c->nent = 256;
	KVM_IOCTL(vmm->kvm, KVM_GET_SUPPORTED_CPUID, c);
	KVM_IOCTL(vcpu_fd, KVM_SET_CPUID2, c);
	free(c);
}

static unsigned char *stack_get(void)
{
	int i;

	for (i = 0; i < NR_STACKS; i++)
		if (!stack_used[i]) {
			stack_used[i] = true;
			return stacks[i];
		}
	TEST_FAIL("more than %d vCPUs at once", NR_STACKS);
}

struct vmm *vmm_new(int nr_vcpus, unsigned int flags)
{
	unsigned long start = (unsigned long)__executable_start & ~(PAGE - 1);
	unsigned long end = ((unsigned long)_end + PAGE - 1) & ~(PAGE - 1);
	struct kvm_userspace_memory_region image = {
		.guest_phys_addr = start,
		.memory_size = end - start,
		.userspace_addr = start,
	};
	struct sigaction sa = { .sa_handler = on_kick };
	struct kvm_pit_config pit = { .flags = flags & VMM_SPEAKER ? KVM_PIT_SPEAKER_DUMMY : 0 };
	struct vmm *vmm = calloc(1, sizeof(*vmm));
	int i;

	TEST_ASSERT(vmm && nr_vcpus <= VMM_MAX_VCPUS, "%d vCPUs", nr_vcpus);
	vmm->nr_vcpus = nr_vcpus;
	pthread_mutex_init(&vmm->lock, NULL);
	pthread_cond_init(&vmm->changed, NULL);
	vmm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	TEST_ASSERT(vmm->kvm >= 0, "/dev/kvm: %s", strerror(errno));
	vmm->fd = KVM_IOCTL(vmm->kvm, KVM_CREATE_VM, 0);
	if (flags & (VMM_IRQCHIP | VMM_PIT | VMM_SPEAKER))
		KVM_IOCTL(vmm->fd, KVM_CREATE_IRQCHIP, 0);
	if (flags & (VMM_PIT | VMM_SPEAKER))
		KVM_IOCTL(vmm->fd, KVM_CREATE_PIT2, &pit);
	KVM_IOCTL(vmm->fd, KVM_SET_USER_MEMORY_REGION, &image);
	sigaction(SIGUSR1, &sa, NULL);
	for (i = 0; i < nr_vcpus; i++) {
		struct vmm_vcpu *v = &vmm->vcpus[i];

		v->vmm = vmm;
		v->index = i;
		v->stack = stack_get();
		v->fd = KVM_IOCTL(vmm->fd, KVM_CREATE_VCPU, i);
		v->run_size = KVM_IOCTL(vmm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
		v->run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		TEST_ASSERT(v->run != MAP_FAILED, "mmap of kvm_run: %s", strerror(errno));
		set_cpuid(vmm, v->fd);
		setup_long_mode(v);
	}
	return vmm;
}

/* All descriptors are closed, and so the VM ends. */
void vmm_free(struct vmm *vmm)
{
	int i;

	for (i = 0; i < vmm->nr_vcpus; i++) {
		munmap(vmm->vcpus[i].run, vmm->vcpus[i].run_size);
		close(vmm->vcpus[i].fd);
		stack_used[(vmm->vcpus[i].stack - stacks[0]) / STACK_SIZE] = false;
	}
	close(vmm->fd);
	close(vmm->kvm);
	free(vmm);
}

void vmm_coalesce(struct vmm *vmm, __u16 port, __u32 len)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = port, .size = len, .pio = 1 };
	int page = ioctl(vmm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	TEST_ASSERT(page > 0 && ioctl(vmm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0, "KVM has no coalesced ports");
	vmm->ring = (void *)((char *)vmm->vcpus[0].run + page * PAGE);
	KVM_IOCTL(vmm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

void vmm_uncoalesce(struct vmm *vmm, __u16 port, __u32 len)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = port, .size = len, .pio = 1 };

	KVM_IOCTL(vmm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone);
}

unsigned int vmm_flush(struct vmm *vmm, void (*write)(__u64 addr, __u64 val, __u32 len))
{
	struct kvm_coalesced_mmio_ring *ring = vmm->ring;
	unsigned int n = 0, first = ring ? ring->first : 0;

	while (ring && first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		const struct kvm_coalesced_mmio *m = &ring->coalesced_mmio[first];
		__u64 val = 0;

		memcpy(&val, m->data, m->len < sizeof(val) ? m->len : sizeof(val));
		write(m->phys_addr, val, m->len);
		first = (first + 1) % KVM_COALESCED_MMIO_MAX;
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
		n++;
	}
	return n;
}

/* Where the guest's function returns to. */
static void guest_done(void)
{
	for (;;)
		outb(0, VMM_DONE_PORT);
}

static void set_regs(struct vmm_vcpu *v)
{
	unsigned long *sp = (unsigned long *)(v->stack + STACK_SIZE - 64);
	struct kvm_regs r = { .rflags = 2, .rip = (unsigned long)v->guest, .rdi = v->arg };

	*--sp = (unsigned long)guest_done;
	r.rsp = (unsigned long)sp;
	KVM_IOCTL(v->fd, KVM_SET_REGS, &r);
}

static void dispatch(struct vmm_vcpu *v, struct vmm_access *a)
{
	struct vmm *vmm = v->vmm;

	a->vcpu = v->index;
	if (a->write)
		memcpy(&a->val, a->data, a->len);
	else
		memset(a->data, 0xff, a->len * a->count);
	if (!a->write)
		a->val = ~0ULL;
	__atomic_add_fetch(&v->exits, 1, __ATOMIC_RELAXED);
	if (vmm->io)
		vmm->io(vmm, a);
	if (!a->write && a->count == 1)
		memcpy(a->data, &a->val, a->len);
}

/* Return: false when the guest is done. */
static bool handle_exit(struct vmm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct vmm_access a = {};
	struct kvm_regs r = {};

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.port == VMM_DONE_PORT)
			return false;
		a = (struct vmm_access){
			.write = run->io.direction == KVM_EXIT_IO_OUT,
			.addr = run->io.port,
			.len = run->io.size,
			.count = run->io.count,
			.data = (unsigned char *)run + run->io.data_offset,
		};
		dispatch(v, &a);
		return true;
	case KVM_EXIT_MMIO:
		a = (struct vmm_access){
			.mmio = true,
			.write = run->mmio.is_write,
			.addr = run->mmio.phys_addr,
			.len = run->mmio.len,
			.count = 1,
			.data = run->mmio.data,
		};
		dispatch(v, &a);
		return true;
	}
	ioctl(v->fd, KVM_GET_REGS, &r);
	TEST_FAIL("vCPU %d: unexpected exit %u at rip %#llx", v->index, run->exit_reason, r.rip);
}

static void wait_while_held(struct vmm_vcpu *v)
{
	struct vmm *vmm = v->vmm;

	pthread_mutex_lock(&vmm->lock);
	v->held = v->hold;
	pthread_cond_broadcast(&vmm->changed);
	while (v->hold)
		pthread_cond_wait(&vmm->changed, &vmm->lock);
	v->held = false;
	pthread_mutex_unlock(&vmm->lock);
}

static void run_vcpu(struct vmm_vcpu *v)
{
	set_regs(v);
	for (;;) {
		int ret = ioctl(v->fd, KVM_RUN, 0);

		if (ret && errno == EINTR) {
			v->run->immediate_exit = 0;
			v->interrupted++;
			wait_while_held(v);
			continue;
		}
		TEST_ASSERT(!ret, "KVM_RUN: %s", strerror(errno));
		if (!handle_exit(v))
			break;
	}
	/* Nothing of this run is left over for the next. */
	v->run->immediate_exit = 1;
	ioctl(v->fd, KVM_RUN, 0);
	v->run->immediate_exit = 0;
}

void vmm_run(struct vmm *vmm, int vcpu, void (*guest)(long), long arg)
{
	struct vmm_vcpu *v = &vmm->vcpus[vcpu];

	v->guest = guest;
	v->arg = arg;
	v->thread = pthread_self();
	run_vcpu(v);
}

static void *vcpu_thread(void *arg)
{
	run_vcpu(arg);
	return NULL;
}

void vmm_start(struct vmm *vmm, int vcpu, void (*guest)(long), long arg)
{
	struct vmm_vcpu *v = &vmm->vcpus[vcpu];
	int err;

	v->guest = guest;
	v->arg = arg;
	err = pthread_create(&v->thread, NULL, vcpu_thread, v);
	TEST_ASSERT(!err, "pthread_create: %s", strerror(err));
}

void vmm_join(struct vmm *vmm, int vcpu)
{
	pthread_join(vmm->vcpus[vcpu].thread, NULL);
}

void vmm_kick(struct vmm *vmm, int vcpu)
{
	vmm->vcpus[vcpu].run->immediate_exit = 1;
	pthread_kill(vmm->vcpus[vcpu].thread, SIGUSR1);
}

void vmm_pause(struct vmm *vmm, int vcpu)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->vcpus[vcpu].hold = true;
	vmm_kick(vmm, vcpu);
	while (!vmm->vcpus[vcpu].held)
		pthread_cond_wait(&vmm->changed, &vmm->lock);
	pthread_mutex_unlock(&vmm->lock);
}

void vmm_resume(struct vmm *vmm, int vcpu)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->vcpus[vcpu].hold = false;
	pthread_cond_broadcast(&vmm->changed);
	pthread_mutex_unlock(&vmm->lock);
}

unsigned long vmm_exits(const struct vmm *vmm)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < vmm->nr_vcpus; i++)
		n += __atomic_load_n(&vmm->vcpus[i].exits, __ATOMIC_RELAXED);
	return n;
}

static __u64 clock_of(void *unused)
{
	(void)unused;
	return now_ns();
}

void pm_init(struct pm_model *pm, __s64 offset)
{
	*pm = (struct pm_model){ .timer = { .clock = clock_of, .offset = offset, .width = PMTIMER_WIDTH } };
}

__u32 pm_read(const struct pm_model *pm)
{
	switch (pm->mode) {
	case PM_RANDOM:
		return random() & 0xffffff;
	case PM_CONSTANT:
		return 0x123456;
	case PM_ONES:
		return ~0U;
	default:
		return pmtimer_read(&pm->timer);
	}
}
