/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with an RTC under the real filter: KVM's side of an exit, its coalesced ring, and QEMU's device (devices/rtc.c), in steps that
 * tests put in any order. Each answer of the filter is compared with what the device would say at that very moment, had the VMM
 * looked: taken the ring and read. Time stands within a step.
 */
#ifndef SELFTESTS_RTCSIM_H
#define SELFTESTS_RTCSIM_H

#include "iofilter.h"
#include "saverestore.h"
#include <devices/rtc_filter.h>

#define SIM_VCPUS  4
#define RING	   3
#define WALL	   (1700000000ULL * IOFILTER_NSEC_PER_SEC) /* the host's clock less CLOCK_MONOTONIC, at first */

extern struct iofilter_rtc rtc;
extern struct kvm_iofilter_ops rtc_ops;

/* CALLED: within the filter. QUEUING: a write has passed the filter, and KVM has not put it into the ring yet. */
enum phase { IN_GUEST, CALLED, QUEUING, LEAVING, RETURNED, IN_VMM, PERFORMED };

struct vcpu {
	struct kvm_vcpu kvm;
	struct kvm_run run;
	u8 page[4096];
	enum phase phase;
	bool write;
	u16 port;
	u32 len, count, val, got;
	u64 shown[4]; /* within the access that this vCPU makes at this moment: what the device would have said, a bit for each byte */
};

static struct sim {
	struct kvm kvm;
	struct kvm_vcpu *kvm_vcpus[SIM_VCPUS];
	struct vcpu vcpus[SIM_VCPUS];
	struct iofilter f;
	struct rtc device, saved;
	u8 ring[RING];
	u32 nr_ring;
	u64 wall;
	bool cooperates, no_zone;
	/* These outlast sim_begin(). */
	bool trace;
	char failure[300];
} sim;

static struct { u64 answered, time, punted, ring_full; } sim_count;

#include "sim.h"

void iofilter_moved(struct iofilter *f, u64 now) { (void)f, (void)now; }

static u64 sim_clock(void *unused)
{
	(void)unused;
	return sim_now + sim.wall;
}

static void sim_attach(void)
{
	static struct iofilter_rtc *initial;

	if (!initial)
		initial = memcpy(aligned_alloc(64, sizeof(rtc)), &rtc, sizeof(rtc));
	/* Not the vCPUs that are never used. */
	memcpy(&rtc, initial, offsetof(struct iofilter_rtc, vcpus) + SIM_VCPUS * sizeof(rtc.vcpus[0]));
	rtc.calibrating = 0;
	sim_attach_ops(&rtc_ops);
}

static void sim_begin(int vcpus)
{
	int i;

	if (sim.f.slots)
		iofilter_slots_free(&sim.f);
	memset(&sim, 0, offsetof(struct sim, trace));
	sim_create_vcpus(vcpus);
	sim.wall = WALL;
	for (i = 0; i < vcpus; i++)
		sim.vcpus[i].kvm.mode = IN_GUEST_MODE;
	sim.device.clock = sim_clock;
	rtc_power_on(&sim.device, sim_clock(NULL) / IOFILTER_NSEC_PER_SEC);
	for (i = 0x0e; i < 0x80; i++)
		sim.device.cmos[i] = i * 37 + 11;
	sim.saved = sim.device;
	sim_attach();
}

/* A VMM that cooperates tells what its device shows. */
static void publish(void)
{
	if (sim.cooperates)
		rtc_publish(&sim.device, sim.wall - sim_base, &rtc);
}

static void take_ring(struct rtc *d)
{
	u32 i;

	for (i = 0; i < sim.nr_ring; i++)
		rtc_port_write(d, RTC_INDEX_PORT, sim.ring[i]);
}

/* What the VMM would say to a read of the data port at this moment. */
static u8 device_says(u8 *reg)
{
	struct rtc d = sim.device;
	u8 val;

	take_ring(&d);
	*reg = d.index;
	val = rtc_port_read(&d, RTC_DATA_PORT);
	return val;
}

/* Something has happened: an access that is going on may see what was before it, or after it. */
static void note(void)
{
	u8 reg, val = device_says(&reg);
	int i;

	for (i = 0; i < sim.kvm.created_vcpus; i++)
		sim.vcpus[i].shown[val >> 6] |= 1ULL << (val & 63);
}

static void check_answer(struct vcpu *v)
{
	u8 reg, want = device_says(&reg);

	sim_count.answered++;
	sim_count.time += reg < 0x0b || reg == RTC_CENTURY;
	if (v->port != RTC_DATA_PORT || v->len != 1 || v->count != 1)
		sim_fail("vCPU %d: an access of %u x %u bytes at %#x was answered", v->kvm.vcpu_idx, v->count, v->len, v->port);
	else if (!(v->shown[v->got >> 6 & 3] >> (v->got & 63) & 1))
		sim_fail("vCPU %d is answered %#x, the device's register %#x holds %#x", v->kvm.vcpu_idx, v->got, reg, want);
}

/* The guest's instruction. Return: whether the filter has answered. */
static bool sim_access(int n, bool write, u16 port, u32 val, u32 len, u32 count)
{
	struct vcpu *v = &sim.vcpus[n];
	void *at = &v->got;
	int err = -1, i;

	v->write = write;
	v->port = port;
	v->len = len;
	v->count = write ? 1 : count;
	v->val = val;
	v->got = 0;
	v->kvm.stat.exits++;
	v->kvm.mode = OUTSIDE_GUEST_MODE;
	v->kvm.arch.regs[VCPU_REGS_RCX] = count;
	memset(v->shown, 0, sizeof(v->shown));
	note();
	if (count != 1)
		at = sim_strings[n];
	if (write)
		__builtin_memcpy(at, &val, sizeof(val));
	v->phase = CALLED;
	sim_log("vCPU %d %s %u x %u bytes at %#x, %#x", n, write ? "writes" : "reads", v->count, len, port, val);
	for (i = 0; i < (int)sim.f.nr_ranges && err; i++) {
		const struct kvm_iofilter_range *r = &sim.f.devs[i].range;

		if (port < r->addr || port + len > r->addr + r->len)
			continue;
		err = write ? iofilter_dev_ops.write(&v->kvm, &sim.f.devs[i].dev, port, len, at) :
			      iofilter_dev_ops.read(&v->kvm, &sim.f.devs[i].dev, port, len, at);
		/* KVM's own zone, behind the first of our ranges. */
		if (!i && err && write && !sim.no_zone && sim.nr_ring < RING) {
			v->phase = QUEUING;
			return false;
		}
	}
	if (!err) {
		if (write)
			sim_fail("a write was answered");
		sim_log("vCPU %d has %#x from the filter", n, v->got);
		check_answer(v);
		v->phase = IN_GUEST;
		v->kvm.mode = IN_GUEST_MODE;
		return true;
	}
	sim_count.punted++;
	v->phase = LEAVING;
	v->kvm.arch.pio.count = v->count;
	v->kvm.arch.pio.port = port;
	v->run.io.port = port;
	v->run.io.size = len;
	v->run.io.count = v->count;
	v->run.io.direction = write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	return false;
}

/* Another device's port. */
static void sim_other(int n)
{
	struct vcpu *v = &sim.vcpus[n];

	v->kvm.stat.exits++;
	v->kvm.mode = OUTSIDE_GUEST_MODE;
	v->write = false;
	v->port = v->run.io.port = v->kvm.arch.pio.port = 0x1f7;
	v->len = v->run.io.size = 1;
	v->count = v->run.io.count = v->kvm.arch.pio.count = 1;
	v->run.io.direction = KVM_EXIT_IO_IN;
	v->phase = LEAVING;
}

/* As QEMU cuts accesses: by alignment, then into bytes. */
static void perform(struct vcpu *v)
{
	u32 i, j;

	if (v->port != 0x1f7) {
		take_ring(&sim.device);
		sim.nr_ring = 0;
	}
	for (i = 0; i < v->count; i++)
		for (j = 0; j < v->len; j++) {
			/* What begins at the index goes to one region whole, which decodes bit 0 only. */
			bool ours = v->port == RTC_INDEX_PORT || v->port + j == RTC_DATA_PORT;
			u8 *data = &v->page[i * v->len + j];

			if (v->port == 0x1f7)
				*data = 0x50;
			else if (v->write && ours)
				rtc_port_write(&sim.device, v->port + j, v->val >> 8 * j);
			else if (!v->write)
				*data = ours ? rtc_port_read(&sim.device, v->port + j) : 0xff;
		}
	if (v->write && v->port + v->len > RTC_DATA_PORT)
		publish();
	v->got = v->page[0];
}

/* The next step of the exit that vCPU @n is in. */
static void sim_step(int n)
{
	struct vcpu *v = &sim.vcpus[n];

	if (sim_leaves(v))
		return;
	switch (v->phase) {
	default:
		return;
	case QUEUING:
		if (sim.nr_ring == RING) {
			/* Another one was faster: now the second range sees it, too. */
			sim_count.ring_full++;
			iofilter_dev_ops.write(&v->kvm, &sim.f.devs[1].dev, v->port, v->len, &v->val);
			v->kvm.arch.pio.count = 1;
			v->kvm.arch.pio.port = v->run.io.port = v->port;
			v->run.io.size = v->run.io.count = 1;
			v->run.io.direction = KVM_EXIT_IO_OUT;
			v->phase = LEAVING;
			return;
		}
		sim.ring[sim.nr_ring++] = v->val;
		sim_log("vCPU %d: the ring has %#x", n, v->val);
		v->phase = IN_GUEST;
		v->kvm.mode = IN_GUEST_MODE;
		return;
	case IN_VMM:
		perform(v);
		sim_log("vCPU %d: the VMM has %s", n, v->write ? "written" : "read");
		v->phase = PERFORMED;
		return;
	case PERFORMED:
		sim_enters(v);
		if (!v->write)
			sim_log("vCPU %d has %#x from the VMM", n, v->got);
	}
}

static void sim_finish(int n, u64 ns)
{
	while (sim.vcpus[n].phase != IN_GUEST && sim.vcpus[n].phase != CALLED) {
		sim_now += ns;
		sim_step(n);
	}
}

/* An access from its beginning to its end, 2 us if it goes to the VMM. Return: whether the filter has answered. */
static bool sim_whole(int n, bool write, u16 port, u32 val, u32 len, u32 count)
{
	bool answered;

	sim_now += 500;
	answered = sim_access(n, write, port, val, len, count);
	sim_finish(n, 500);
	return answered;
}

enum sim_stop { STOP, LOAD, RESET };

/* The VM is stopped for @ns, with all that its vCPUs had begun; and goes on, perhaps as another. */
static void sim_pause(u64 ns, enum sim_stop how, bool flush)
{
	int i;

	if (sim.cooperates)
		iofilter_rtc_withdraw(&rtc);
	for (i = 0; i < sim.kvm.created_vcpus; i++) {
		struct vcpu *v = &sim.vcpus[i];

		/* QEMU completes an access that is under way (immediate_exit). */
		while (v->phase != IN_GUEST)
			sim_step(i);
		sim_signal(i);
	}
	if (sim.cooperates)
		iofilter_rtc_withdraw(&rtc);
	if (flush) {
		take_ring(&sim.device);
		sim.nr_ring = 0;
	}
	if (how == RESET) {
		rtc_reset(&sim.device);
		/* The firmware's, from the VMM's handlers. */
		sim.device.cmos[0x10] ^= 0x40;
		sim.device.cmos[0x12] ^= 0x40;
	}
	if (how == LOAD) {
		struct rtc now = sim.device;

		sim.device = sim.saved;
		sim.saved = now;
	}
	sim_now += ns;
	publish();
	sim_log("the VM was stopped for %llu us%s", ns / US, how == RESET ? ", and reset" : how == LOAD ? ", and another state loaded" : "");
}

/*
 * The VM is stopped and saved, and goes on where CLOCK_MONOTONIC is @host, with a filter that was just attached and has restored what was
 * saved; or (@late) one that the guest has met in between. The host's clock, which the device follows, is the same there. A VMM that
 * cooperates tells the filter before (@early) or after.
 */
static void sim_save(u64 host, bool flush, bool early, bool late)
{
	size_t size;
	void *data;

	sim_pause(0, STOP, flush);
	restore_now = sim_now;
	restore_count.in_flight += !!(rtc.index & RTC_INDEX_KNOWN);
	data = registers_save("rtc", &rtc, &size);
	sim.wall -= host - sim_now;
	sim_now = restore_now = host;
	sim_attach();
	if (late)
		iofilter_settle(&sim.f, sim.f.slots[0], &rtc_ops);
	if (early)
		publish();
	registers_restore("rtc", &rtc, data, size);
	free(data);
	publish();
	sim_log("the VM was saved, and goes on on another host");
}

#endif /* SELFTESTS_RTCSIM_H */
