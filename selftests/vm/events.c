// SPDX-License-Identifier: GPL-2.0
/* Eventfds that a program signals: seen, refused, held as long as the filter, kept by an update, and as an interrupt of the guest. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include "events.skel.h"
#include "filter.h"
#include "vmm.h"

#define PORT 0x40

static volatile __u8 answers[8];

static void guest_reads(long n)
{
	for (long i = 0; i < n; i++)
		for (int p = 0; p < 6; p++)
			answers[p] = inb(PORT + p);
}

static int event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	TEST_ASSERT(fd > 0, "eventfd: %s", strerror(errno));
	return fd;
}

/* How often it was signalled since the last time. */
static __u64 signals(int fd)
{
	__u64 n = 0;

	TEST_ASSERT(read(fd, &n, sizeof(n)) == sizeof(n) || errno == EAGAIN, "read: %s", strerror(errno));
	return n;
}

static struct events_bpf *load(const struct vmm *vmm, const __s32 *fds)
{
	struct events_bpf *skel = events_bpf__open();
	struct kvm_iofilter_ops *ops;

	TEST_ASSERT(skel, "open: %s", strerror(errno));
	ops = filter_ops(skel->maps.events_ops);
	ops->vm_fd = vmm->fd;
	memcpy(ops->eventfds, fds, sizeof(ops->eventfds));
	TEST_EQ(-events_bpf__load(skel), 0);
	return skel;
}

static void seen(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	__s32 fds[KVM_IOFILTER_EVENTFDS] = { event(), 0, -1, event() };
	struct events_bpf *skel = load(vmm, fds);
	struct bpf_link *link = filter_attach(skel->maps.events_ops);

	vmm_run(vmm, 0, guest_reads, 5);
	TEST_EQ(vmm_exits(vmm), 0);
	TEST_EQ(signals(fds[0]), 5);
	TEST_EQ(signals(fds[3]), 5);
	TEST_EQ(answers[0], 0);
	TEST_EQ(answers[1], ENOENT);
	TEST_EQ(answers[2], ENOENT);
	TEST_EQ(answers[3], 0);
	TEST_EQ(answers[4], ENOENT);
	TEST_EQ(answers[5], ENOENT);
	bpf_link__destroy(link);
	vmm_run(vmm, 0, guest_reads, 1);
	TEST_EQ(vmm_exits(vmm), 6);
	TEST_EQ(signals(fds[0]), 0);
	events_bpf__destroy(skel);
	close(fds[0]);
	close(fds[3]);
	vmm_free(vmm);
}

static void refused(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), good = event();
	const struct {
		__s32 fd;
		int err;
	} rows[] = { { 1000, EBADF }, { file, EINVAL }, { vmm->fd, EINVAL }, { good, 0 } };
	unsigned int i, at;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (at = 0; at < KVM_IOFILTER_EVENTFDS; at++) {
			__s32 fds[KVM_IOFILTER_EVENTFDS] = { good, good, good, good };
			struct events_bpf *skel;
			struct bpf_link *link;

			fds[at] = rows[i].fd;
			skel = load(vmm, fds);
			link = __filter_attach(skel->maps.events_ops);
			TEST_ASSERT((link ? 0 : errno) == rows[i].err, "row %u, eventfd %u: wanted error %d, got %d", i, at, rows[i].err,
				    link ? 0 : errno);
			TEST_EQ(filter_rows(), !rows[i].err);
			bpf_link__destroy(link);
			events_bpf__destroy(skel);
		}
	}
	close(file);
	close(good);
	vmm_free(vmm);
}

/* Every eventfd of the host has a number, the lowest that is free, as long as somebody holds it. */
static int event_id(int fd)
{
	char path[64], line[128];
	int id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	TEST_ASSERT(f, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		sscanf(line, "eventfd-id: %d", &id);
	fclose(f);
	TEST_ASSERT(id >= 0, "%s tells no number", path);
	return id;
}

/* The number of a new one, which is closed at once. */
static int next_id(void)
{
	int fd = event(), id = event_id(fd);

	close(fd);
	return id;
}

static void freed(int id, const char *when)
{
	int ms = 0;

	while (next_id() != id && ms++ < 2000)
		usleep(1000);
	TEST_ASSERT(ms < 2000, "%s: eventfd number %d is still held, a new one is %d", when, id, next_id());
}

/* Held by the filter alone, and by nobody once it is gone: by a detach, a refused attach, or the VM's end. */
static void held(void)
{
	int how;

	for (how = 0; how < 3; how++) {
		struct vmm *vmm = vmm_new(1, 0);
		__s32 fds[KVM_IOFILTER_EVENTFDS] = { event() };
		int id = event_id(fds[0]);
		struct events_bpf *skel;
		struct bpf_link *link;

		if (how == 2)
			fds[3] = 1000;
		skel = load(vmm, fds);
		link = __filter_attach(skel->maps.events_ops);
		TEST_EQ(!link, how == 2);
		close(fds[0]);
		if (link) {
			TEST_ASSERT(next_id() != id, "the filter does not hold its eventfd");
			vmm_run(vmm, 0, guest_reads, 1);
			TEST_EQ(answers[0], 0);
			TEST_EQ(vmm_exits(vmm), 0);
		}
		if (how == 1) {
			vmm_free(vmm);
			TEST_ASSERT(filter_hung_up(link, 2000), "the VM's end did not hang up the link");
		}
		bpf_link__destroy(link);
		freed(id, how == 0 ? "detach" : how == 1 ? "end of the VM" : "refused attach");
		events_bpf__destroy(skel);
		if (how != 1)
			vmm_free(vmm);
	}
}

static void updated(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	__s32 fds[KVM_IOFILTER_EVENTFDS] = { event() }, others[KVM_IOFILTER_EVENTFDS] = { 1000, event() };
	struct events_bpf *skel = load(vmm, fds), *second = load(vmm, others);
	struct bpf_link *link = filter_attach(skel->maps.events_ops);

	TEST_EQ(-bpf_link__update_map(link, second->maps.events_ops), 0);
	vmm_run(vmm, 0, guest_reads, 3);
	TEST_EQ(signals(fds[0]), 3);
	TEST_EQ(signals(others[1]), 0);
	TEST_EQ(answers[1], ENOENT);
	bpf_link__destroy(link);
	events_bpf__destroy(skel);
	events_bpf__destroy(second);
	close(fds[0]);
	close(others[1]);
	vmm_free(vmm);
}

/* An irqfd: the guest polls the PIC for what has come. */
static volatile __u8 polled[3];

static void guest_polls(long arg)
{
	(void)arg;
	outb(0x11, 0x20); /* ICW1 .. 4: edges, cascade, normal EOI */
	outb(0x20, 0x21);
	outb(0x04, 0x21);
	outb(0x01, 0x21);
	outb(0x11, 0xa0);
	outb(0x28, 0xa1);
	outb(0x02, 0xa1);
	outb(0x01, 0xa1);
	outb(0xff, 0x21); /* nothing is delivered */
	outb(0xff, 0xa1);
	outb(0x0a, 0xa0); /* reads show IRR */
	polled[0] = inb(0xa0);
	outb(0, PORT);
	/* The interrupt is injected from a work item. */
	for (int i = 0; i < 100000 && !(polled[1] & 0x40); i++)
		polled[1] = inb(0xa0);
}

static void interrupts(void)
{
	struct vmm *vmm = vmm_new(1, VMM_IRQCHIP);
	__s32 fds[KVM_IOFILTER_EVENTFDS] = { event() };
	struct kvm_irqfd irqfd = { .fd = fds[0], .gsi = 14 };
	struct events_bpf *skel = load(vmm, fds);
	struct bpf_link *link = filter_attach(skel->maps.events_ops);

	TEST_ASSERT(!ioctl(vmm->fd, KVM_IRQFD, &irqfd), "irqfd: %s", strerror(errno));
	vmm_run(vmm, 0, guest_polls, 0);
	TEST_EQ(vmm_exits(vmm), 0);
	TEST_EQ(polled[0] & 0x40, 0);
	TEST_EQ(polled[1] & 0x40, 0x40);
	bpf_link__destroy(link);
	events_bpf__destroy(skel);
	close(fds[0]);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "seen", seen },
		{ "refused", refused },
		{ "held", held },
		{ "updated", updated },
		{ "interrupts", interrupts },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
