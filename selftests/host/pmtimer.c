// SPDX-License-Identifier: GPL-2.0
/*
 * The PM timer's program with the module's settle.c and access.c in random programs on up to four vCPUs, in which the VM is saved, and goes
 * on with a filter that has restored what was saved, on a host with another CLOCK_MONOTONIC. The VMM does not cooperate, holds the clock
 * now and then, or owns it.
 *
 * Each answer of the filter is compared with what the device shows at that moment: exactly, where the VMM owns the clock (then every read
 * is answered, too), else behind it by no more than a sample's width. Nobody reads less than what was known before the read began.
 * (clocksim is about the clock at large: this is about saves.)
 */
#include <stdlib.h>
#include "iofilter.h"
#include "saverestore.h"
#include <iofilter/clock_sample.h>
#include <iofilter/clockctl.h>
#include <iofilter/counter.h>
#include <iofilter/pmtimer.h>

#define SIM_VCPUS 4
#define MASK	  ((1U << PMTIMER_WIDTH) - 1)

extern struct iofilter_counter pmtimer;
extern struct kvm_iofilter_ops pmtimer_ops;

enum phase { IN_GUEST, CALLED, LEAVING, RETURNED, IN_VMM, PERFORMED };

struct vcpu {
	struct kvm_vcpu kvm;
	struct kvm_run run;
	u8 page[4096];
	enum phase phase;
	bool ours; /* the access under way is to the timer */
	u32 got, changes;
	u64 least; /* known before it began; ticks, all bits */
};

static struct sim {
	struct kvm kvm;
	struct kvm_vcpu *kvm_vcpus[SIM_VCPUS];
	struct vcpu vcpus[SIM_VCPUS];
	struct iofilter f;
	u64 offset; /* of the VMM's clock against ours */
	u64 known; /* somebody has read it */
	u32 changes; /* .. which is void */
	bool owned, stopped; /* stopped: its owner has, and the VM too */
	bool trace;
	char failure[300];
} sim;

static struct { u64 answered, owned, stopped, punted, held; } sim_count;

#include "sim.h"

void iofilter_moved(struct iofilter *f, u64 now) { (void)f, (void)now; }

static u64 sim_virt(void)
{
	return sim_now + sim.offset;
}

static u64 ticks(void)
{
	return iofilter_ns_to_ticks(sim_virt(), PMTIMER_HZ);
}

static void note(void) {}

static void attach(void)
{
	static struct iofilter_counter *initial;

	if (!initial)
		initial = memcpy(aligned_alloc(64, sizeof(pmtimer)), &pmtimer, sizeof(pmtimer));
	/* Not the vCPUs that are never used. */
	memcpy(&pmtimer, initial, offsetof(struct iofilter_counter, vcpus) + SIM_VCPUS * sizeof(pmtimer.vcpus[0]));
	pmtimer.clock.calibrating = 0;
	sim_attach_ops(&pmtimer_ops);
}

/* The owner's part: the clock goes on from where it is, or (@stop) stands. */
static void own(bool stop)
{
	struct iofilter_clock *clk = &pmtimer.clock;

	if (!sim.owned)
		return;
	sim.stopped = stop;
	if (clk->mode == IOFILTER_CLOCK_PROVE && iofilter_clock_hold(clk))
		abort();
	if (stop ? iofilter_clock_stop(clk, sim_virt()) : iofilter_clock_own(clk, pmtimer.vcpus, sim_now, sim.offset))
		abort();
}

static void begin(int vcpus, bool owned)
{
	int i;

	iofilter_slots_free(&sim.f);
	memset(&sim, 0, offsetof(struct sim, trace));
	sim_create_vcpus(vcpus);
	for (i = 0; i < vcpus; i++)
		sim.vcpus[i].kvm.mode = IN_GUEST_MODE;
	sim.offset = 3600 * IOFILTER_NSEC_PER_SEC;
	sim.owned = owned;
	attach();
	own(false);
}

static void consume(struct vcpu *v, const char *from)
{
	u64 now = ticks(), val = now + ((s64)((v->got - now) << 40) >> 40);

	if (v->changes != sim.changes)
		return;
	if (val < v->least)
		sim_fail("vCPU %d: %#llx from the %s, and %#llx had been known before", v->kvm.vcpu_idx, val, from, v->least);
	sim.known = max(sim.known, val);
}

static void check_answer(struct vcpu *v)
{
	u64 lag = sim.owned ? 0 : pmtimer.clock.bracket * PMTIMER_HZ / IOFILTER_NSEC_PER_SEC + 1;

	sim_count.answered++;
	sim_count.owned += sim.owned;
	sim_count.stopped += sim.stopped;
	if (pmtimer.clock.mode == IOFILTER_CLOCK_HELD)
		sim_fail("vCPU %d is answered, and the clock is held", v->kvm.vcpu_idx);
	if (((ticks() - v->got) & MASK) > lag)
		sim_fail("vCPU %d is answered %#x, the device shows %#llx", v->kvm.vcpu_idx, v->got, ticks() & MASK);
}

/* The guest's read. Return: whether the filter has answered. */
static bool sim_access(int n)
{
	struct vcpu *v = &sim.vcpus[n];
	int err;

	v->ours = true;
	v->got = 0;
	v->least = sim.known;
	v->changes = sim.changes;
	v->kvm.stat.exits++;
	v->kvm.mode = OUTSIDE_GUEST_MODE;
	v->kvm.arch.regs[VCPU_REGS_RCX] = 1;
	v->phase = CALLED;
	err = iofilter_dev_ops.read(&v->kvm, &sim.f.devs[0].dev, PMTIMER_PORT, PMTIMER_LEN, &v->got);
	sim_log("vCPU %d reads: %s %#x", n, err ? "to the VMM" : "has from the filter", v->got);
	if (!err) {
		check_answer(v);
		consume(v, "filter");
		v->phase = IN_GUEST;
		v->kvm.mode = IN_GUEST_MODE;
		return true;
	}
	sim_count.punted++;
	sim_count.held += pmtimer.clock.mode == IOFILTER_CLOCK_HELD;
	if (sim.owned)
		sim_fail("vCPU %d is not answered, and the VMM owns the clock", n);
	v->phase = LEAVING;
	v->kvm.arch.pio.count = v->run.io.count = 1;
	v->kvm.arch.pio.port = v->run.io.port = PMTIMER_PORT;
	v->run.io.size = PMTIMER_LEN;
	v->run.io.direction = KVM_EXIT_IO_IN;
	return false;
}

/* Another device's port. */
static void sim_other(int n)
{
	struct vcpu *v = &sim.vcpus[n];

	v->ours = false;
	v->kvm.stat.exits++;
	v->kvm.mode = OUTSIDE_GUEST_MODE;
	v->kvm.arch.pio.count = v->run.io.count = 1;
	v->kvm.arch.pio.port = v->run.io.port = 0x1f7;
	v->run.io.size = 1;
	v->run.io.direction = KVM_EXIT_IO_IN;
	v->phase = LEAVING;
}

static void sim_step(int n)
{
	struct vcpu *v = &sim.vcpus[n];

	if (sim_leaves(v))
		return;
	switch (v->phase) {
	default:
		return;
	case IN_VMM:
		v->got = v->ours ? ticks() & MASK : 0x50;
		__builtin_memcpy(v->page, &v->got, sizeof(v->got));
		v->phase = PERFORMED;
		return;
	case PERFORMED:
		sim_enters(v);
		if (!v->ours)
			return;
		sim_log("vCPU %d has %#x from the VMM", n, v->got);
		consume(v, "VMM");
	}
}

static void sim_finish(int n, u64 ns)
{
	while (sim.vcpus[n].phase != IN_GUEST && sim.vcpus[n].phase != CALLED) {
		sim_now += ns;
		sim_step(n);
	}
}

/* The VM is stopped for @ns, its clock with it, and goes on; @jump: as another, whose clock shows so much more. */
static void stop(u64 ns, s64 jump)
{
	int i;

	for (i = 0; i < sim.kvm.created_vcpus; i++) {
		while (sim.vcpus[i].phase != IN_GUEST)
			sim_step(i);
		sim_signal(i);
	}
	own(true);
	sim_now += ns;
	sim.offset += jump - ns;
	if (jump) {
		sim.known = 0;
		sim.changes++;
	}
	sim_log("the VM was stopped for %llu us%s", ns / US, jump ? ", and another state loaded" : "");
}

/*
 * The same, and it is saved and goes on where CLOCK_MONOTONIC is @host, with a filter that was just attached, or (@late) one that the guest
 * has met since. @going: it is saved without being stopped first, in so far that its owner has not told the filter of it.
 */
static void save(u64 host, bool late, bool going)
{
	size_t size;
	void *data;

	stop(0, 0);
	if (going)
		own(false);
	restore_now = sim_now;
	restore_count.in_flight += pmtimer.clock.mode != IOFILTER_CLOCK_PROVE;
	data = registers_save("pmtimer", &pmtimer, &size);
	sim.offset -= host - sim_now;
	sim_now = restore_now = host;
	attach();
	if (late)
		iofilter_settle(&sim.f, sim.f.slots[0], &pmtimer_ops);
	registers_restore("pmtimer", &pmtimer, data, size);
	free(data);
	sim_log("the VM was saved, and goes on on another host");
	if (!sim.owned || going)
		return;
	/* Whoever looks before it goes on sees it stand. */
	sim_access(0);
	own(false);
}

/* --- cases --- */

#define WANT(cond) \
	do { \
		if (!(cond)) \
			sim_fail("line %d: %s", __LINE__, #cond); \
	} while (0)

static bool answers(int n)
{
	bool got;

	sim_now += 500;
	got = sim_access(n);
	sim_finish(n, 500);
	return got;
}

static void proven(void)
{
	int i;

	begin(2, false);
	for (i = 0; i < 10; i++)
		answers(i & 1);
	WANT(answers(0) && answers(1));
}

/* What proved the clock does not survive; a filter that was told nothing needs three answers, and of each vCPU one. */
static void proven_anew(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		proven();
		save(50 * IOFILTER_NSEC_PER_SEC, i, false);
		WANT(!answers(0) && !answers(0) && !answers(0));
		WANT(answers(0) && !answers(1) && answers(1));
	}
}

static void held(void)
{
	int i;

	proven();
	WANT(!iofilter_clock_hold(&pmtimer.clock));
	save(50 * IOFILTER_NSEC_PER_SEC, true, false);
	for (i = 0; i < 10; i++)
		WANT(!answers(i & 1));
	WANT(!iofilter_clock_prove(&pmtimer.clock, pmtimer.vcpus, sim_now));
	for (i = 0; i < 10; i++)
		answers(i & 1);
	WANT(answers(0));
}

static void fused(void)
{
	int i;

	proven();
	iofilter_clock_blow(&pmtimer.clock, IOFILTER_FUSE_MODEL);
	save(50 * IOFILTER_NSEC_PER_SEC, true, false);
	for (i = 0; i < 10; i++)
		WANT(!answers(0));
	WANT(pmtimer.clock.fuse == IOFILTER_FUSE_MODEL && pmtimer.verdicts[IOFILTER_PUNT_FUSE] == 10);
}

static const struct { const char *name; void (*run)(void); } cases[] = {
	{ "proven anew", proven_anew },
	{ "held", held },
	{ "fused", fused },
};

/* --- random programs --- */

enum what { READ, HOT, STEP, OTHER, KICK, PAUSE, LOAD, HOLD, SAVE };

#define MAX_OPS 300

struct op {
	u8 what, vcpu, count;
	bool flag, flag2;
	u64 ns, val; /* ns: before it */
};

struct program {
	int vcpus, n;
	bool owned;
	s64 jump; /* all loads go the same way: a clock that is back where it was has not moved for the filter */
	struct op ops[MAX_OPS];
};

static bool saved; /* in this program; what was answered before */
static u64 answered;

#include "simrun.h"

static void hold(void)
{
	struct iofilter_clock *clk = &pmtimer.clock;

	/* In the midst of a sample it cannot be had. */
	if (sim.owned || nested)
		return;
	if (clk->mode == IOFILTER_CLOCK_HELD ? iofilter_clock_prove(clk, pmtimer.vcpus, sim_now) : iofilter_clock_hold(clk))
		abort();
	sim_log("the clock is %s", clk->mode == IOFILTER_CLOCK_HELD ? "held" : "to be proven");
}

static void run_op(const struct op *op)
{
	int i;

	if (sim.vcpus[op->vcpu].phase == CALLED || (nested && (op->what == PAUSE || op->what == LOAD || op->what == SAVE)))
		return;
	sim_now += op->ns;
	switch (op->what) {
	case READ:
		sim_finish(op->vcpu, 500);
		sim_access(op->vcpu);
		return;
	case HOT:
		for (i = 0; i < op->count && !sim.failure[0]; i++) {
			sim_finish(op->vcpu, 500);
			sim_now += 300;
			sim_access(op->vcpu);
		}
		return;
	case STEP:
		for (i = 0; i < op->count; i++) {
			sim_now += 300;
			sim_step(op->vcpu);
		}
		return;
	case OTHER:
		sim_finish(op->vcpu, 500);
		sim_other(op->vcpu);
		return;
	case KICK:
		if (sim.vcpus[op->vcpu].phase == IN_GUEST)
			sim_signal(op->vcpu);
		return;
	case PAUSE:
		stop(3 * MS + op->val % (30 * MS), 0);
		own(false);
		return;
	case LOAD:
		stop(3 * MS + op->val % (30 * MS), running->jump * (s64)(100 * MS + op->val % (1000 * MS)));
		own(false);
		return;
	case HOLD:
		hold();
		return;
	case SAVE:
		if (!saved)
			answered = sim_count.answered;
		saved = true;
		save((1 + op->val) * IOFILTER_NSEC_PER_SEC + op->val, op->flag, op->flag2);
	}
}

static int run(const struct program *p)
{
	sim.failure[0] = 0;
	begin(p->vcpus, p->owned);
	saved = false;
	running = p;
	for (at = 0; at < p->n; at++) {
		run_op(&p->ops[at]);
		if (sim.failure[0])
			return at;
	}
	restore_count.programs += saved;
	restore_count.answered += saved ? sim_count.answered - answered : 0;
	return -1;
}

static void generate(struct program *p)
{
	static const u64 ns[] = { 200, 500, 1000, 3000 };
	int i;

	p->vcpus = 1 + rnd() % SIM_VCPUS;
	p->owned = rnd() % 3 == 0;
	p->jump = rnd() & 1 ? 1 : -1;
	p->n = 20 + rnd() % (MAX_OPS - 20);
	for (i = 0; i < p->n; i++) {
		struct op *op = &p->ops[i];
		u64 r = rnd() % 300;

		*op = (struct op){ .what = READ, .vcpu = rnd() % p->vcpus, .ns = ns[rnd() % 4], .val = rnd() % (rnd() % 2 ? 20 : 1000000),
				   .flag = rnd() & 1, .flag2 = rnd() & 1 };
		if (rnd() % 61 == 0)
			op->ns = rnd() % (rnd() % 4 ? 300000 : 6000000);
		op->count = 1 + rnd() % 6;
		op->what = r < 1 ? HOLD : r < 3 ? SAVE : r < 4 ? PAUSE : r < 5 ? LOAD : r < 8 ? KICK : r < 20 ? OTHER : r < 80 ? HOT :
			   r < 180 ? STEP : READ;
		if (op->what == PAUSE || op->what == LOAD)
			op->val = rnd();
	}
}

static void describe(const struct program *p)
{
	printf("%s:\n", p->owned ? ", the VMM owns the clock" : "");
}

static bool enough(unsigned long n)
{
	printf("# %lu programs: %llu answered, %llu of them by an owned clock, %llu by one that its owner had stopped; %llu to the VMM, %llu of them "
	       "while it was held\n", n, sim_count.answered, sim_count.owned, sim_count.stopped, sim_count.punted, sim_count.held);
	restore_print("pmtimer");
	return sim_count.answered >= 20 * n && sim_count.owned >= 10 * n && sim_count.stopped >= n / 50 && sim_count.held >= n / 10 &&
	       restore_count.saves >= 1000 && restore_count.in_flight >= 500 && restore_count.answered >= 10000;
}

static int restore_mutants(void)
{
	return programs(20000, true);
}

int main(void)
{
	static const struct sim_mutant rows[] = { SIM_MUTANT(SUSPECT) SIM_MUTANT(LOST) };
	static const struct restore_spared spared[] = {
		{}
	};

	return sim_main(rows, sizeof(rows) / sizeof(rows[0]), 1) || registers_mutants("pmtimer", restore_mutants, spared);
}
