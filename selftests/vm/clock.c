// SPDX-License-Identifier: GPL-2.0
/*
 * The clock from userspace, on the real module and KVM: held (an operator pauses the VM), owned (the VMM cooperates),
 * stopped and started. And what the module's sign of an absence rests on.
 */
#include <sys/ioctl.h>
#include <iofilter/clockctl.h>
#include <iofilter/counter.h>
#include <iofilter/pmtimer.h>
#include "filter.h"
#include "pmtimer.skel.h"
#include "vmm.h"

#define PORT PMTIMER_PORT
#define MASK 0xffffffu

static struct pm_model pm;
static unsigned long exits;
static struct vmm *vmm;
static struct pmtimer_bpf *skel;
static struct bpf_link *the_link;
static struct iofilter_counter *c;

static void vmm_io(struct vmm *v, struct vmm_access *a)
{
	(void)v;
	if (!a->write && a->addr == PORT && a->len == 4) {
		a->val = pm_read(&pm);
		exits++;
	}
}

static void setup(void)
{
	pm_init(&pm, 123456789012);
	exits = 0;
	vmm = vmm_new(1, 0);
	vmm->io = vmm_io;
	skel = pmtimer_bpf__open();
	TEST_ASSERT(skel, "open: %s", strerror(errno));
	filter_ops(skel->maps.pmtimer_ops)->vm_fd = vmm->fd;
	TEST_EQ(-pmtimer_bpf__load(skel), 0);
	c = &skel->data_state->pmtimer;
	the_link = filter_attach(skel->maps.pmtimer_ops);
}

static void teardown(void)
{
	bpf_link__destroy(the_link);
	pmtimer_bpf__destroy(skel);
	vmm_free(vmm);
}

static volatile __u32 vals[64], back;

/* The first values stand in vals; all must rise. */
static void guest_reads(long n)
{
	__u32 v, before = inl(PORT);
	long i;

	back = 0;
	vals[0] = before;
	for (i = 1; i < n; i++, before = v) {
		v = inl(PORT);
		if (i < 64)
			vals[i] = v;
		back += ((v - before) & MASK) > MASK / 2;
	}
}

static void reads(long n)
{
	vmm_run(vmm, 0, guest_reads, n);
	TEST_EQ(back, 0);
}

static void prove(void)
{
	int i;

	for (i = 0; i < 100 && !c->clock.ready; i++)
		reads(500);
	TEST_EQ(c->clock.proof, IOFILTER_PROVEN);
}

static void hold_and_release(void)
{
	unsigned long before;

	setup();
	prove();
	TEST_EQ(iofilter_clock_hold(&c->clock), 0);
	before = exits;
	reads(200);
	TEST_EQ(exits - before, 200);
	TEST_ASSERT(c->verdicts[IOFILTER_PUNT_HELD] >= 200, "%llu", c->verdicts[IOFILTER_PUNT_HELD]);

	/* The VM is stopped and loaded meanwhile: its clock is somewhere else. */
	pm.timer.offset -= 50000000000;
	TEST_EQ(iofilter_clock_prove(&c->clock, c->vcpus, now_ns()), 0);
	before = exits;
	vmm_run(vmm, 0, guest_reads, 2);
	TEST_EQ(exits - before, 2);
	prove();
	TEST_EQ(c->clock.fuse, IOFILTER_FUSE_OK);
	teardown();
}

/* Owned: exact, from the first read, whatever leaves KVM_RUN in between; the VMM is not asked at all. */
static void own(void)
{
	__u64 t0, t1, lo, hi;
	int i;

	setup();
	TEST_EQ(iofilter_clock_own(&c->clock, c->vcpus, now_ns(), pm.timer.offset), 0);
	for (i = 0; i < 50; i++) {
		t0 = now_ns();
		reads(10);
		t1 = now_ns();
		lo = pmtimer_ticks(&pm.timer, t0);
		hi = pmtimer_ticks(&pm.timer, t1);
		TEST_ASSERT(((vals[0] - lo) & MASK) <= hi - lo, "wanted %#llx to %#llx, got %#x", lo & MASK, hi & MASK, vals[0]);
		TEST_ASSERT(((vals[9] - lo) & MASK) <= hi - lo, "wanted %#llx to %#llx, got %#x", lo & MASK, hi & MASK, vals[9]);
	}
	TEST_EQ(exits, 0);
	TEST_EQ(iofilter_clock_own(&c->clock, c->vcpus, now_ns(), -(__s64)now_ns() * 2), (__u64)-EINVAL);
	teardown();
}

/* Stopped: every read is that moment. Started: time has not passed. */
static void stop_and_start(void)
{
	__u64 virt, begin;
	int i;

	setup();
	TEST_EQ(iofilter_clock_stop(&c->clock, 5), (__u64)-EPERM);
	TEST_EQ(iofilter_clock_own(&c->clock, c->vcpus, now_ns(), pm.timer.offset), 0);
	reads(50);
	virt = now_ns() + pm.timer.offset;
	TEST_EQ(iofilter_clock_stop(&c->clock, virt), 0);
	reads(50);
	for (i = 0; i < 50; i++)
		TEST_EQ(vals[i], iofilter_ns_to_ticks(virt, PMTIMER_HZ) & MASK);
	usleep(20000);
	begin = now_ns();
	TEST_EQ(iofilter_clock_own(&c->clock, c->vcpus, begin, virt - begin), 0);
	reads(50);
	TEST_ASSERT(((vals[0] - iofilter_ns_to_ticks(virt, PMTIMER_HZ)) & MASK) <=
			    iofilter_ns_to_ticks(now_ns() - begin, PMTIMER_HZ) + 1,
		    "time has passed while the clock was stopped: %#x", vals[0]);
	TEST_EQ(exits, 0);
	teardown();
}

static void guest_out(long n)
{
	while (n--)
		outb(0, 0x80);
}

static void guest_none(long n)
{
	(void)n;
}

/* vcpu->stat.fpu_reload through KVM_GET_STATS_FD: the very counter that the module compares. */
static __u64 fpu_reload(void)
{
	struct kvm_stats_header h;
	char buf[sizeof(struct kvm_stats_desc) + 256];
	struct kvm_stats_desc *d = (void *)buf;
	__u64 val = 0;
	bool found = false;
	__u32 i;
	int fd = ioctl(vmm->vcpus[0].fd, KVM_GET_STATS_FD, NULL);

	TEST_ASSERT(fd >= 0, "%s", strerror(errno));
	TEST_EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
	for (i = 0; i < h.num_desc && !found; i++) {
		size_t size = sizeof(*d) + h.name_size;

		TEST_ASSERT(size <= sizeof(buf), "%zu", size);
		TEST_EQ(pread(fd, buf, size, h.desc_offset + i * size), size);
		found = !strcmp(d->name, "fpu_reload");
	}
	TEST_ASSERT(found, "KVM has no vCPU statistic fpu_reload: the module cannot see absences on this kernel");
	TEST_EQ(pread(fd, &val, sizeof(val), h.data_offset + d->offset), sizeof(val));
	close(fd);
	return val;
}

/* The counter moves at every return of KVM_RUN, once: with an exit, with immediate_exit, with a signal. */
static void returns_of_kvm_run(void)
{
	struct kvm_run *run;
	__u64 before, end;
	int i;

	setup();
	run = vmm->vcpus[0].run;
	vmm_run(vmm, 0, guest_none, 0);
	before = fpu_reload();
	vmm_run(vmm, 0, guest_none, 0);
	end = fpu_reload() - before; /* what ending a guest takes */
	TEST_ASSERT(end >= 1 && end <= 2, "%llu", end);

	before = fpu_reload();
	vmm_run(vmm, 0, guest_out, 1000);
	TEST_EQ(fpu_reload() - before, 1000 + end);

	before = fpu_reload();
	run->immediate_exit = 1;
	for (i = 0; i < 1000; i++) {
		TEST_EQ(ioctl(vmm->vcpus[0].fd, KVM_RUN, NULL), -1);
		TEST_EQ(errno, EINTR);
	}
	run->immediate_exit = 0;
	TEST_EQ(fpu_reload() - before, 1000);
	teardown();
}

static const struct test tests[] = {
	{ "returns_of_kvm_run", returns_of_kvm_run },
	{ "hold_and_release", hold_and_release },
	{ "own", own },
	{ "stop_and_start", stop_and_start },
};

int main(int argc, char **argv)
{
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
