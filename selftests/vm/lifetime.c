// SPDX-License-Identifier: GPL-2.0
/* Who may go first: the VM, the link, the process that owns either; and update. Afterwards nothing is left in the module. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "recorder.h"

#define PORT 0x608

static __u32 guest_val;

static void guest_read(long arg)
{
	(void)arg;
	guest_val = inl(PORT);
}

static volatile int go_on;

static void guest_loop(long arg)
{
	(void)arg;
	while (go_on)
		guest_val = inl(PORT);
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	a->val = 1;
}

static struct vmm *vm(void)
{
	struct vmm *vmm = vmm_new(1, 0);

	vmm->io = vmm_io;
	return vmm;
}

/* One read; returns what the guest got: 2 from the filter, 1 from the VMM. */
static __u32 read_once(struct vmm *vmm)
{
	guest_val = 0;
	vmm_run(vmm, 0, guest_read, 0);
	return guest_val;
}

static void attach(struct recorder *rec, struct vmm *vmm)
{
	recorder_attach(rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
	rec->r->answer_reads = 1;
	rec->r->value = 2;
}

/* What follows a detach or a VM's end runs in work items and RCU callbacks. */
static void wait_until_gone(int refs)
{
	int i;

	for (i = 0; i < 500 && (filter_rows() || filter_module_refs() != refs); i++)
		usleep(10000);
	TEST_EQ(filter_rows(), 0);
	TEST_EQ(filter_module_refs(), refs);
}

static void vm_first(void)
{
	int refs = filter_module_refs();
	struct vmm *vmm = vm();
	struct recorder rec;

	attach(&rec, vmm);
	TEST_EQ(read_once(vmm), 2);
	TEST_ASSERT(!filter_hung_up(rec.link, 100), "the link hangs up with the VM alive");
	vmm_free(vmm);
	TEST_ASSERT(filter_hung_up(rec.link, 2000), "no hang-up within 2 s of the VM's end");
	TEST_EQ(filter_rows(), 0);
	recorder_free(&rec);
	wait_until_gone(refs);
}

static void link_closed(void)
{
	int refs = filter_module_refs();
	struct vmm *vmm = vm();
	struct recorder rec;

	attach(&rec, vmm);
	TEST_EQ(read_once(vmm), 2);
	bpf_link__destroy(rec.link);
	rec.link = NULL;
	TEST_EQ(filter_rows(), 0);
	TEST_EQ(read_once(vmm), 1);
	recorder_free(&rec);
	vmm_free(vmm);
	wait_until_gone(refs);
}

static void link_detached(void)
{
	struct vmm *vmm = vm();
	struct recorder rec;

	attach(&rec, vmm);
	TEST_EQ(bpf_link__detach(rec.link), 0);
	TEST_ASSERT(filter_hung_up(rec.link, 0), "no hang-up after BPF_LINK_DETACH");
	TEST_EQ(filter_rows(), 0);
	TEST_EQ(read_once(vmm), 1);
	TEST_EQ(-bpf_link__detach(rec.link), 0); /* nothing left to do */
	recorder_free(&rec);
	vmm_free(vmm);
}

static pid_t fork_child(void)
{
	pid_t pid = fork();

	TEST_ASSERT(pid >= 0, "fork: %s", strerror(errno));
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void kill_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	TEST_ASSERT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "the child was not killed: %#x", status);
}

/* The loader is killed while the guest reads: no read is lost, and the filter is gone. */
static void loader_killed(void)
{
	struct vmm *vmm = vm();
	unsigned long exits;
	pid_t pid;
	int i;

	go_on = 1;
	vmm_start(vmm, 0, guest_loop, 0);
	for (i = 0; i < 3; i++) {
		pid = fork_child();
		if (!pid) {
			struct recorder rec;

			attach(&rec, vmm);
			for (;;)
				pause();
		}
		while (!filter_rows())
			usleep(1000);
		while (*(volatile __u32 *)&guest_val != 2)
			usleep(1000);
		kill_child(pid);
		while (filter_rows())
			usleep(1000);
		exits = vmm_exits(vmm);
		while (vmm_exits(vmm) < exits + 10)
			usleep(1000);
	}
	go_on = 0;
	vmm_join(vmm, 0);
	TEST_EQ(read_once(vmm), 1);
	vmm_free(vmm);
}

/* The VMM is killed, while its guest runs. */
static void vmm_killed(void)
{
	int refs = filter_module_refs(), fds[2], vm_fd;
	struct recorder rec;
	pid_t pid;

	TEST_ASSERT(!pipe(fds), "pipe: %s", strerror(errno));
	pid = fork_child();
	if (!pid) {
		struct vmm *vmm = vm();

		go_on = 1;
		vmm_start(vmm, 0, guest_loop, 0);
		TEST_ASSERT(write(fds[1], &vmm->fd, sizeof(int)) == sizeof(int), "write: %s", strerror(errno));
		for (;;)
			pause();
	}
	TEST_ASSERT(read(fds[0], &vm_fd, sizeof(vm_fd)) == sizeof(vm_fd), "read: %s", strerror(errno));
	{
		struct vmm other = { .nr_vcpus = 0 };
		int pidfd = syscall(SYS_pidfd_open, pid, 0);

		other.fd = syscall(SYS_pidfd_getfd, pidfd, vm_fd, 0);
		TEST_ASSERT(other.fd >= 0, "pidfd_getfd: %s", strerror(errno));
		attach(&rec, &other);
		close(other.fd);
		close(pidfd);
	}
	while (*(volatile __u64 *)&rec.r->nr < 100)
		usleep(1000);
	kill_child(pid);
	TEST_ASSERT(filter_hung_up(rec.link, 5000), "no hang-up within 5 s of the VMM's end");
	TEST_EQ(filter_rows(), 0);
	recorder_free(&rec);
	close(fds[0]);
	close(fds[1]);
	wait_until_gone(refs);
}

/* VM death, close and BPF_LINK_DETACH of one filter, within the same microseconds. */
struct racer {
	void (*f)(struct racer *r);
	struct vmm *vmm;
	struct bpf_link *link;
	int link_fd;
	unsigned int delay;
	pthread_barrier_t *start;
	pthread_t thread;
};

static void race_vm(struct racer *r)
{
	vmm_free(r->vmm);
}

static void race_close(struct racer *r)
{
	bpf_link__destroy(r->link);
}

static void race_detach(struct racer *r)
{
	/* Whoever comes too late is told so. */
	bpf_link_detach(r->link_fd);
	close(r->link_fd);
}

static void *racer_run(void *arg)
{
	struct racer *r = arg;
	__u64 t;

	pthread_barrier_wait(r->start);
	for (t = now_ns() + r->delay; now_ns() < t;)
		;
	r->f(r);
	return NULL;
}

static void races(void)
{
	static const struct racer racers[] = { { .f = race_vm }, { .f = race_close }, { .f = race_detach } };
	int refs = filter_module_refs(), i, j, n = test_count(60, 200);

	srandom(time(NULL));
	for (i = 0; i < n; i++) {
		struct vmm *vmm = vm();
		pthread_barrier_t start;
		struct racer r[3];
		struct recorder rec;

		attach(&rec, vmm);
		if (i & 1)
			TEST_EQ(read_once(vmm), 2);
		pthread_barrier_init(&start, NULL, 3);
		for (j = 0; j < 3; j++) {
			r[j] = racers[j];
			r[j].vmm = vmm;
			r[j].link = rec.link;
			r[j].link_fd = dup(bpf_link__fd(rec.link));
			r[j].delay = random() % (i % 3 ? 100000 : 3000000);
			r[j].start = &start;
			if (r[j].f != race_detach)
				close(r[j].link_fd);
			pthread_create(&r[j].thread, NULL, racer_run, &r[j]);
		}
		for (j = 0; j < 3; j++)
			pthread_join(r[j].thread, NULL);
		rec.link = NULL;
		recorder_free(&rec);
		pthread_barrier_destroy(&start);
	}
	wait_until_gone(refs);
}

static void update(void)
{
	struct vmm *vmm = vm(), *vmm2 = vm();
	struct recorder rec, same, moved, foreign, renamed;
	struct record_bpf *skel;
	int i;

	attach(&rec, vmm);
	recorder_load(&same, recorder_open(vmm, NULL, KVM_IOFILTER_PIO, PORT, 4));
	recorder_load(&moved, recorder_open(vmm, NULL, KVM_IOFILTER_PIO, PORT + 4, 4));
	recorder_load(&foreign, recorder_open(vmm2, NULL, KVM_IOFILTER_PIO, PORT, 4));
	recorder_load(&renamed, recorder_open(vmm, "other", KVM_IOFILTER_PIO, PORT, 4));
	skel = rec.skel;
	same.r->answer_reads = 1;
	same.r->value = 3;
	TEST_EQ(read_once(vmm), 2);

	TEST_EQ(-bpf_link__update_map(rec.link, moved.skel->maps.record_ops), EINVAL);
	TEST_EQ(-bpf_link__update_map(rec.link, foreign.skel->maps.record_ops), EINVAL);
	TEST_EQ(-bpf_link__update_map(rec.link, renamed.skel->maps.record_ops), EINVAL);
	TEST_EQ(read_once(vmm), 2);
	TEST_EQ(moved.r->nr + foreign.r->nr + renamed.r->nr, 0);

	TEST_EQ(-bpf_link__update_map(rec.link, same.skel->maps.record_ops), 0);
	TEST_EQ(read_once(vmm), 3);
	TEST_EQ(vmm_exits(vmm), 0);

	/* To and fro under a guest that reads: every read is answered by one of the two, and after update by the new one. */
	go_on = 1;
	vmm_start(vmm, 0, guest_loop, 0);
	for (i = 0; i < 50; i++) {
		struct record *old = i & 1 ? rec.r : same.r, *new = i & 1 ? same.r : rec.r;
		__u64 n;

		TEST_EQ(-bpf_link__update_map(rec.link, (i & 1 ? same.skel : skel)->maps.record_ops), 0);
		n = *(volatile __u64 *)&old->nr;
		usleep(2000);
		TEST_EQ(*(volatile __u64 *)&old->nr, n);
		n = *(volatile __u64 *)&new->nr;
		while (*(volatile __u64 *)&new->nr == n)
			usleep(1000);
	}
	go_on = 0;
	vmm_join(vmm, 0);
	TEST_EQ(vmm_exits(vmm), 0);
	recorder_free(&rec);
	recorder_free(&same);
	recorder_free(&moved);
	recorder_free(&foreign);
	recorder_free(&renamed);
	vmm_free(vmm);
	vmm_free(vmm2);
}

/* State hangs on the link: one map attached to two VMs, each let go on its own. */
static void two_vms(void)
{
	struct vmm *vmm = vm(), *vmm2 = vm();
	struct recorder rec;
	struct bpf_link *second;
	int keep;

	attach(&rec, vmm);
	TEST_ASSERT(!__filter_attach(rec.skel->maps.record_ops) && errno == EEXIST, "the same VM twice: errno %d", errno);

	/* The map holds a number; which VM that is, is looked up when the link is made. */
	keep = dup(vmm->fd);
	TEST_ASSERT(dup2(vmm2->fd, vmm->fd) == vmm->fd, "dup2: %s", strerror(errno));
	second = filter_attach(rec.skel->maps.record_ops);
	TEST_ASSERT(dup2(keep, vmm->fd) == vmm->fd, "dup2: %s", strerror(errno));
	close(keep);
	TEST_EQ(filter_rows(), 2);
	TEST_EQ(read_once(vmm), 2);
	TEST_EQ(read_once(vmm2), 2);
	bpf_link__destroy(rec.link);
	rec.link = second;
	TEST_EQ(read_once(vmm), 1);
	TEST_EQ(read_once(vmm2), 2);
	vmm_free(vmm);
	TEST_ASSERT(!filter_hung_up(second, 100), "the other VM's end hangs up this link");
	TEST_EQ(read_once(vmm2), 2);
	vmm_free(vmm2);
	TEST_ASSERT(filter_hung_up(second, 2000), "no hang-up within 2 s of the VM's end");
	recorder_free(&rec);
}

/* A pinned or merely loaded program keeps the module, too; with all gone it can be removed, and comes back. */
static void unload(void)
{
	char path[PATH_MAX], *slash;
	struct vmm *vmm = vm();
	struct recorder rec;
	int i, fd, err;
	ssize_t n;

	if (filter_module_refs()) {
		printf("   left out: somebody else uses the module\n");
		vmm_free(vmm);
		return;
	}
	attach(&rec, vmm);
	TEST_ASSERT(filter_module_refs() > 0, "no reference on the module while a filter is attached");
	TEST_ASSERT(syscall(SYS_delete_module, "kvm_iofilter", O_NONBLOCK), "the module was removed under a filter");
	TEST_EQ(read_once(vmm), 2);
	recorder_free(&rec);
	wait_until_gone(0);
	for (i = 0; i < 100; i++) {
		err = syscall(SYS_delete_module, "kvm_iofilter", O_NONBLOCK) ? errno : 0;
		if (!err)
			break;
		usleep(10000);
	}
	TEST_EQ(err, 0);
	TEST_EQ(read_once(vmm), 1);
	vmm_free(vmm);

	n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	TEST_ASSERT(n > 0, "readlink: %s", strerror(errno));
	path[n] = 0;
	for (i = 0; i < 3 && (slash = strrchr(path, '/')); i++)
		*slash = 0;
	strcat(path, "/kmod/kvm_iofilter.ko");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	TEST_ASSERT(fd >= 0, "%s: %s", path, strerror(errno));
	TEST_ASSERT(!syscall(SYS_finit_module, fd, "", 0), "loading the module again: %s", strerror(errno));
	close(fd);
	TEST_EQ(filter_rows(), 0);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "vm_first", vm_first },
		{ "link_closed", link_closed },
		{ "link_detached", link_detached },
		{ "loader_killed", loader_killed },
		{ "vmm_killed", vmm_killed },
		{ "update", update },
		{ "two_vms", two_vms },
		{ "races", races },
		{ "unload", unload },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
