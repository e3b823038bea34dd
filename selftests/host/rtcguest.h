/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random guests of an RTC, on up to two vCPUs, on the simulation (rtcsim.h): they select registers and read or write them, while others write
 * into the CMOS memory, and the VM is stopped, loaded, reset, saved and restored.
 *
 * Included behind cases[], since simrun.h is.
 */
#ifndef SELFTESTS_RTCGUEST_H
#define SELFTESTS_RTCGUEST_H

#include "rtcsim.h"

enum what { ACCESS, STEP, OTHER, KICK, PAUSE, HOST, SAVE };

#define MAX_OPS 400

struct op {
	u8 what, vcpu, write, port, len, count, how;
	u8 stop, nested; /* after so many of the filter's steps, so many of the ops that follow come in between */
	u16 val;
	u64 ns; /* before it */
};

struct program {
	int vcpus, n;
	bool cooperates, no_zone;
	struct op ops[MAX_OPS];
};

/* What others than the guest write, at any time. */
static void host_writes(u32 val)
{
	static const u8 regs[] = { 0x0f, 0x38, 0x3d, 0x5f };

	sim.device.cmos[regs[val % sizeof(regs)]] = val >> 2;
}

#include "simrun.h"

static bool saved; /* in this program; what was answered before */
static u64 answered;

static void run_op(const struct op *op)
{
	int i;

	/* This vCPU is within the filter. */
	if (sim.vcpus[op->vcpu].phase == CALLED || (nested && (op->what == PAUSE || op->what == SAVE)))
		return;
	/* The module takes it that nobody is on the way out of the kernel for 100 ms. */
	sim_now += in_kernel() && op->ns > 100 * US ? 100 * US : op->ns;
	switch (op->what) {
	case ACCESS:
		sim_finish(op->vcpu, 500);
		if (!nested) {
			sim_left = op->stop;
			to_nest = op->nested;
		}
		sim_access(op->vcpu, op->write, RTC_INDEX_PORT + op->port, op->val, op->len, op->count);
		if (!nested)
			sim_left = 0;
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
		sim_pause(100 * US + op->val * US, op->how, op->write);
		return;
	case HOST:
		host_writes(op->val);
		return;
	case SAVE:
		if (!saved)
			answered = sim_count.answered;
		saved = true;
		sim_save((1 + op->val * (op->count & 4 ? 1 : 1000ULL)) * IOFILTER_NSEC_PER_SEC, op->count & 1, op->count & 2,
			 op->how);
	}
}

static int run(const struct program *p)
{
	sim_begin(p->vcpus);
	sim.cooperates = p->cooperates;
	sim.no_zone = p->no_zone;
	publish();
	sim.failure[0] = 0;
	running = p;
	saved = false;
	for (at = 0; at < p->n; at++) {
		run_op(&p->ops[at]);
		if (sim.failure[0])
			return at;
	}
	restore_count.programs += saved;
	restore_count.answered += saved ? sim_count.answered - answered : 0;
	return -1;
}

static void emit(struct program *p, struct op op)
{
	if (!op.len)
		op.len = op.count = 1;
	if (p->n < MAX_OPS)
		p->ops[p->n++] = op;
}

static void emit_access(struct program *p, int vcpu, bool write, int port, int val)
{
	static const u64 ns[] = { 200, 500, 1000, 3000 };
	struct op op = { .what = ACCESS, .vcpu = vcpu, .write = write, .port = port, .val = val, .len = 1, .count = 1,
			 .ns = ns[rnd() % 4] };
	u64 r = rnd();

	if (r % 61 == 0)
		op.ns = rnd() % 300000;
	if (r % 67 == 1)
		op.ns = rnd() % 200000000;
	if (r % 301 == 2)
		op.len = rnd() % 2 ? 2 : 4;
	if (r % 301 == 3)
		op.count = 2 + rnd() % 3;
	if (r % 7 == 4) {
		op.stop = 1 + rnd() % 40;
		op.nested = 1 + rnd() % 6;
	}
	emit(p, op);
	/* Of the other vCPU's, some fall in between. */
	emit(p, (struct op){ .what = STEP, .vcpu = vcpu, .len = 1, .count = rnd() % 3 ? 6 : rnd() % 6 });
	if (rnd() % 4 == 0)
		emit(p, (struct op){ .what = STEP, .vcpu = rnd() % p->vcpus, .len = 1, .count = 1 + rnd() % 6 });
}

static void emit_save(struct program *p)
{
	emit(p, (struct op){ .what = SAVE, .val = rnd(), .len = 1, .count = rnd() % 8, .how = rnd() % 2 });
}

static void generate(struct program *p)
{
	u8 set[6];
	int want = 20 + rnd() % (rnd() % 2 ? 100 : MAX_OPS - 40), i, vcpu, reg;

	p->n = 0;
	p->vcpus = 1 + rnd() % 2;
	p->cooperates = rnd() % 4 == 0;
	p->no_zone = rnd() % 8 == 0;
	for (i = 0; i < 6; i++)
		set[i] = p->cooperates && i < 3 ? rnd() % 0x0b : rnd() % 3 ? 0x0b + rnd() % 4 * 7 : rnd() % 128;
	while (p->n < want) {
		vcpu = rnd() % p->vcpus;
		reg = set[rnd() % 6] | (rnd() % 4 ? 0 : 0x80);
		switch (rnd() % 40) {
		case 0:
			emit_access(p, vcpu, true, 0, reg);
			emit_access(p, vcpu, true, 1, rnd() & (reg % 128 == RTC_REG_B || reg % 128 == RTC_REG_A ? 0x36 : 0xff));
			break;
		case 1:
			emit(p, (struct op){ .what = PAUSE, .val = rnd() % (rnd() % 4 ? 200 : 60000), .how = rnd() % 3, .write = rnd() & 1 });
			if (rnd() % 8 == 0)
				emit_save(p);
			break;
		case 2:
			if (rnd() % 4)
				emit(p, (struct op){ .what = HOST, .val = rnd() });
			else
				emit_save(p);
			break;
		case 3:
			emit(p, (struct op){ .what = KICK, .vcpu = vcpu });
			break;
		case 4:
			emit(p, (struct op){ .what = OTHER, .vcpu = vcpu, .ns = 300 });
			break;
		case 5:
			emit_access(p, vcpu, rnd() & 1, rnd() % 5, rnd());
			break;
		case 6:
			emit_access(p, vcpu, rnd() & 1, 1, rnd());
			break;
		case 7: case 8:
			emit_access(p, vcpu, true, 0, reg);
			break;
		case 9: case 10: case 11:
			emit_access(p, vcpu, false, 1, 0);
			break;
		default:
			emit_access(p, vcpu, true, 0, reg);
			emit_access(p, vcpu, false, 1, 0);
		}
	}
}

static void describe(const struct program *p)
{
	printf("%s%s:\n", p->cooperates ? ", a VMM that cooperates" : "", p->no_zone ? ", no coalesced port" : "");
}

static bool enough(unsigned long n)
{
	printf("# %lu programs: %llu answered, %llu of them of the time; %llu to the VMM; the ring was full %llu times in between\n", n,
	       sim_count.answered, sim_count.time, sim_count.punted, sim_count.ring_full);
	restore_print("rtc");
	if (restore_count.saves < 1000 || restore_count.in_flight < 500 || restore_count.answered < 10000)
		return false;
	return sim_count.answered >= 10 * n && sim_count.time >= n / 4 && sim_count.ring_full >= n / 10000;
}

#endif /* SELFTESTS_RTCGUEST_H */
