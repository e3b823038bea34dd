/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with an HPET under the real filter: KVM's side of an exit, and QEMU's device (devices/hpet.c), in steps that tests put in
 * any order; and an oracle that compares each answer of the filter with what the device would say at that very moment.
 * Time stands within a step.
 */
#ifndef SELFTESTS_HPETSIM_H
#define SELFTESTS_HPETSIM_H

#include "iofilter.h"
#include "saverestore.h"
#include <iofilter/clockctl.h>
#include <iofilter/hpet.h>

/* The device's names are those of the program, too. */
#define hpet_read  device_read
#define hpet_write device_write
#include "../../devices/hpet.c"
#undef hpet_read
#undef hpet_write

#define SIM_VCPUS     4
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

extern struct iofilter_hpet hpet;
extern struct kvm_iofilter_ops hpet_ops;

enum phase { IN_GUEST, LEAVING, RETURNED, IN_VMM, PERFORMED };

struct vcpu {
	struct kvm_vcpu kvm;
	struct kvm_run run;
	u64 page[512];
	enum phase phase;
	bool write, ours; /* the access under way; to the HPET */
	u64 offset, val, least; /* least: of a counter, known before it began */
	u32 len, changes;
	u64 got; /* the newest value read .. */
	u64 whole; /* .. of the counter's low half: all of it */
	bool by_filter;
};

static struct sim {
	struct kvm kvm;
	struct kvm_vcpu *kvm_vcpus[SIM_VCPUS];
	struct vcpu vcpus[SIM_VCPUS];
	struct iofilter f;
	struct hpet device;
	u64 offset; /* of the VMM's clock against ours */
	u64 known; /* the counter is this, at least: somebody has read it */
	u32 changes; /* of the counter's past: what was known is void */
	bool owned; /* the VMM tells the filter what its counter shows */
	bool trace;
	char failure[300];
	u64 answered, answered_wide, answered_regs, answered_owned, punted;
} sim;

#include "sim.h"

void sim_stopped(void) {}
static u64 told; /* how often the program has said that the clock moved */
void iofilter_moved(struct iofilter *f, u64 now) { (void)f, (void)now; told++; }

static u64 sim_clock(void *unused)
{
	(void)unused;
	return sim_now + sim.offset;
}

static void sim_attach(void)
{
	static const struct iofilter_hpet *initial;

	if (!initial)
		initial = memcpy(malloc(sizeof(hpet)), &hpet, sizeof(hpet));
	memcpy(&hpet, initial, sizeof(hpet));
	hpet.counter.clock.calibrating = 0;
	sim_attach_ops(&hpet_ops);
}

static void sim_begin(int vcpus)
{
	bool trace = sim.trace;
	u64 answered = sim.answered, wide = sim.answered_wide, regs = sim.answered_regs, owned = sim.answered_owned, punted = sim.punted;
	char failure[sizeof(sim.failure)];

	memcpy(failure, sim.failure, sizeof(failure));

	if (sim.f.slots)
		iofilter_slots_free(&sim.f);
	memset(&sim, 0, sizeof(sim));
	memcpy(sim.failure, failure, sizeof(failure));
	sim.trace = trace;
	sim.answered = answered;
	sim.answered_wide = wide;
	sim.answered_regs = regs;
	sim.answered_owned = owned;
	sim.punted = punted;
	sim_create_vcpus(vcpus);
	sim.device.clock = sim_clock;
	hpet_reset(&sim.device);
	sim_attach();
}

/* A VMM that owns the clock, and has changed it. One that is set to the end of its range it keeps for itself. */
static void tell(void)
{
	struct iofilter_clock *clk = &hpet.counter.clock;
	u64 virt = hpet_ticks(&sim.device) * TICK_NS;
	int err;

	if (!sim.owned)
		return;
	err = clk->mode == IOFILTER_CLOCK_PROVE ? iofilter_clock_hold(clk) : 0;
	if (hpet_ticks(&sim.device) >> 56)
		err |= iofilter_clock_hold(clk);
	else if (sim.device.config & HPET_ENABLE_CNF)
		err |= iofilter_clock_own(clk, hpet.counter.vcpus, sim_now, sim.offset + sim.device.offset);
	else
		err |= iofilter_clock_stop(clk, virt);
	if (err)
		abort();
}

static bool keeps(void)
{
	return sim.owned && hpet.counter.clock.mode >= IOFILTER_CLOCK_OWNED;
}

/* The nearest value to what the device shows with these low 32 bits. */
static u64 widen(u32 low)
{
	u64 ticks = hpet_ticks(&sim.device);

	return ticks + (__s32)(low - (u32)ticks);
}

static bool counter_at(u64 offset, u32 len)
{
	return (offset == HPET_MAIN_CNT && (len == 4 || len == 8)) || (offset == HPET_MAIN_CNT + 4 && len == 4);
}

/* A value of the counter has come to the guest: nobody may have known a later one before the read began. */
static void consume(struct vcpu *v, const char *from)
{
	u64 least, most;

	if (!counter_at(v->offset, v->len))
		return;
	if (v->offset == HPET_MAIN_CNT + 4) {
		least = v->got << 32;
		most = least + 0xffffffff;
	} else {
		least = most = v->len == 8 ? v->got : v->whole;
	}
	/* QEMU's counter wraps at 2^64 ns. */
	if (v->changes != sim.changes || least >> 58)
		return;
	if (v->len == 8 && sim.device.split && !v->by_filter)
		return; /* may be torn */
	if (most < v->least)
		sim_fail("vCPU %d: %#llx from the %s, and %#llx had been known before", v->kvm.vcpu_idx, v->got, from, v->least);
	sim.known = max(sim.known, least);
}

static void check_answer(struct vcpu *v)
{
	u64 want = device_read(&sim.device, v->offset, v->len), lag = hpet.counter.clock.bracket / TICK_NS + 1;
	u64 ticks = hpet_ticks(&sim.device);
	bool right;
	int i;

	sim.answered++;
	sim.answered_wide += counter_at(v->offset, v->len) && (v->len == 8 || v->offset & 4);
	sim.answered_regs += !counter_at(v->offset, v->len);
	if (sim.owned && counter_at(v->offset, v->len)) {
		/* Also while another one's write is under way: that has changed nothing yet, or the VMM has told. */
		sim.answered_owned++;
		if (v->got != want)
			sim_fail("vCPU %d: %u bytes at %#llx are answered %#llx, the VMM's clock shows %#llx", v->kvm.vcpu_idx, v->len, v->offset,
				 v->got, want);
		return;
	}
	for (i = 0; i < sim.kvm.created_vcpus; i++)
		if (sim.vcpus[i].phase != IN_GUEST && sim.vcpus[i].write && sim.vcpus[i].ours)
			sim_fail("vCPU %d is answered while a write of vCPU %d is under way", v->kvm.vcpu_idx, i);
	if (!counter_at(v->offset, v->len))
		right = v->got == want;
	else if (!(sim.device.config & HPET_ENABLE_CNF))
		right = false;
	else if (v->len == 8)
		right = v->got <= ticks && v->got + lag >= ticks;
	else if (v->offset & 4)
		right = v->got == (u32)(ticks >> 32) || v->got == (u32)((ticks - lag) >> 32);
	else
		right = (u32)((u32)ticks - v->got) <= lag;
	if (!right)
		sim_fail("vCPU %d: %u bytes at %#llx are answered %#llx, the device %s %#llx", v->kvm.vcpu_idx, v->len, v->offset, v->got,
			 sim.device.config & HPET_ENABLE_CNF ? "shows" : "is halted and shows", want);
}

/* The guest's instruction. @drawn: left to the VMM whatever the program thinks. Return: whether the filter has answered. */
static bool sim_access(int n, bool write, u64 offset, u64 val, u32 len, bool drawn)
{
	static struct kvm_iofilter_ops punt;
	struct vcpu *v = &sim.vcpus[n];
	int err;

	v->write = write;
	v->ours = true;
	v->offset = offset;
	v->val = val;
	v->len = len;
	v->least = sim.known;
	v->changes = sim.changes;
	v->got = 0;
	punt = hpet_ops;
	punt.read = NULL;
	if (drawn)
		sim.f.ops = &punt;
	if (write)
		err = iofilter_dev_ops.write(&v->kvm, &sim.f.devs[0].dev, HPET_BASE + offset, len, &val);
	else
		err = iofilter_dev_ops.read(&v->kvm, &sim.f.devs[0].dev, HPET_BASE + offset, len, &v->got);
	sim.f.ops = &hpet_ops;
	v->by_filter = !err;
	sim_log("vCPU %d %s %u bytes at %#llx%s", n, write ? "writes" : "reads", len, offset, err ? ": to the VMM" : "");
	if (!err) {
		sim_log("vCPU %d has %#llx from the filter", n, v->got);
		if (write)
			sim_fail("a write was answered");
		v->whole = widen(v->got);
		check_answer(v);
		consume(v, "filter");
		return true;
	}
	sim.punted++;
	if (!write && !drawn && counter_at(offset, len) && keeps())
		sim_fail("vCPU %d is not answered, and the VMM owns the clock", n);
	v->phase = LEAVING;
	v->kvm.mmio_fragments[0].gpa = HPET_BASE + offset;
	v->kvm.mmio_needed = true;
	v->kvm.stat.mmio_exits++;
	v->run.mmio.phys_addr = HPET_BASE + offset;
	v->run.mmio.len = len;
	v->run.mmio.is_write = write;
	return false;
}

/* Another device, or (@mmio false) a signal. */
static void sim_other(int n, bool mmio)
{
	struct vcpu *v = &sim.vcpus[n];

	v->ours = v->write = false;
	v->phase = LEAVING;
	if (mmio) {
		v->kvm.mmio_fragments[0].gpa = 0xfee00000;
		v->kvm.mmio_needed = true;
		v->kvm.stat.mmio_exits++;
		v->run.mmio.phys_addr = 0xfee00000;
		v->run.mmio.len = 4;
		v->run.mmio.is_write = 0;
	}
}

static void perform(struct vcpu *v)
{
	u64 before = hpet_ticks(&sim.device);

	if (!v->ours) {
		memset(v->run.mmio.data, 0x5a, 8);
	} else if (v->write) {
		device_write(&sim.device, v->offset, v->val, v->len);
		tell();
		if (hpet_ticks(&sim.device) < before) {
			sim.changes++;
			sim.known = 0;
		}
	} else {
		v->got = device_read(&sim.device, v->offset, v->len);
		v->whole = widen(v->got);
		memcpy(v->run.mmio.data, &v->got, v->len);
	}
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
	case IN_VMM:
		perform(v);
		sim_log("vCPU %d: the VMM %s", n, !v->ours ? "is done with something else" : v->write ? "has written" : "has read");
		v->phase = PERFORMED;
		return;
	case PERFORMED:
		v->kvm.wants_to_run = true;
		v->kvm.mmio_needed = false;
		v->phase = IN_GUEST;
		if (v->ours && !v->write) {
			sim_log("vCPU %d has %#llx from the VMM", n, v->got);
			consume(v, "VMM");
		}
	}
}

static void sim_finish(int n, u64 ns)
{
	while (sim.vcpus[n].phase != IN_GUEST) {
		sim_now += ns;
		sim_step(n);
	}
}

/* An access from its beginning to its end, 2 us if it goes to the VMM. */
static u64 sim_whole(int n, bool write, u64 offset, u64 val, u32 len, bool drawn)
{
	sim_access(n, write, offset, val, len, drawn);
	sim_finish(n, 700);
	return sim.vcpus[n].got;
}

enum sim_stop { STOP, LOAD, RESET };

/* The VM is stopped for @ns, with all that its vCPUs had begun, its clock with it; and goes on, perhaps as another. */
static void sim_pause(u64 ns, enum sim_stop how, s64 jump)
{
	int i;

	for (i = 0; i < sim.kvm.created_vcpus; i++) {
		struct vcpu *v = &sim.vcpus[i];

		if (v->phase == IN_GUEST)
			sim_other(i, false);
		while (v->phase != PERFORMED)
			sim_step(i);
		/* QEMU completes the access that was under way (immediate_exit). */
		sim_step(i);
		v->kvm.stat.fpu_reload++;
	}
	sim_now += ns;
	sim.offset += jump - ns;
	if (how == RESET)
		hpet_reset(&sim.device);
	if (how == LOAD)
		sim.device.offset += jump & 1 ? 0 : jump / 2;
	/* No state has a counter that ran before it was zero. */
	if ((s64)(sim_clock(NULL) + sim.device.offset) < 0)
		sim.device.offset = -sim_clock(NULL);
	if (how != STOP) {
		sim.known = 0;
		sim.changes++;
	}
	tell();
	sim_log("the VM was stopped for %llu us%s", ns / US, how == RESET ? ", and reset" : how == LOAD ? ", and another state loaded" : "");
}

/*
 * The VM is stopped and saved, and goes on where CLOCK_MONOTONIC is @host, with a filter that was just attached and has restored what was
 * saved; or (@late) one that the guest has met in between. The VM's clock stands meanwhile.
 */
static void sim_save(u64 host, bool late)
{
	size_t size;
	void *data;

	sim_pause(0, STOP, 0);
	restore_now = sim_now;
	restore_count.in_flight += keeps();
	data = registers_save("hpet", &hpet, &size);
	sim.offset -= host - sim_now;
	sim_now = restore_now = host;
	sim_attach();
	if (late)
		iofilter_settle(&sim.f, sim.f.slots[0], &hpet_ops);
	registers_restore("hpet", &hpet, data, size);
	free(data);
	sim_log("the VM was saved, and goes on on another host");
}

#endif /* SELFTESTS_HPETSIM_H */
