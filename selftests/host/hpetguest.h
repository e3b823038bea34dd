/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random guests of an HPET on the simulation (hpetsim.h): programs of random accesses on up to four vCPUs, in any order of the steps of their
 * exits. A program that fails is cut down to the steps that matter, and shown.
 */
#ifndef SELFTESTS_HPETGUEST_H
#define SELFTESTS_HPETGUEST_H

#include <time.h>
#include "hpetsim.h"

#define MAX_STEPS 160

static u64 rnd_state;

static u64 rnd(u64 n)
{
	u64 z = rnd_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

enum op { OP_READ, OP_WRITE, OP_HOT, OP_OTHER, OP_PAUSE, OP_SAVE };

struct step {
	u64 wait; /* ns before it */
	enum op op;
	int vcpu;
	u64 offset, val;
	u32 len;
};

struct program {
	int vcpus, n;
	bool split, enabled, owned;
	u64 counter;
	struct step steps[MAX_STEPS];
};

static void random_access(struct step *s)
{
	static const struct { u64 offset; u32 len; } usual[] = {
		{ HPET_MAIN_CNT, 4 }, { HPET_MAIN_CNT, 4 }, { HPET_MAIN_CNT, 8 }, { HPET_MAIN_CNT + 4, 4 }, { HPET_MAIN_CNT + 4, 4 },
		{ HPET_GCAP_ID, 8 }, { HPET_GCAP_ID, 4 }, { HPET_GCAP_ID + 4, 4 }, { HPET_GEN_CONF, 4 }, { HPET_GEN_CONF, 8 },
		{ HPET_GEN_CONF + 4, 4 }, { HPET_MAIN_CNT, 8 },
	};
	u32 i = rnd(ARRAY_SIZE(usual));

	s->offset = usual[i].offset;
	s->len = usual[i].len;
	if (rnd(12))
		return;
	s->len = 1 << rnd(4);
	s->offset = rnd(2) ? rnd(HPET_LEN - 8) : s->offset - 8 + rnd(16);
	if (s->offset > HPET_LEN - 8)
		s->offset = 0;
}

static void random_write(struct step *s)
{
	s->op = OP_WRITE;
	switch (rnd(8)) {
	case 0:
	case 1:
	case 2:
		s->offset = HPET_GEN_CONF;
		s->len = rnd(4) ? 4 : 8;
		s->val = rnd(4);
		return;
	case 3:
		s->offset = HPET_MAIN_CNT + (rnd(2) ? 4 : 0);
		s->len = 4;
		s->val = rnd(2) ? rnd(8) : -rnd(4000);
		return;
	case 4:
		s->offset = HPET_MAIN_CNT;
		s->len = 8;
		s->val = rnd(2) ? 0 : (rnd(5) << 32) - rnd(8000);
		s->val &= (1ULL << 50) - 1;
		return;
	case 5:
		s->offset = HPET_TIMERS + 8 * rnd(12);
		s->len = rnd(2) ? 4 : 8;
		s->val = rnd(1ULL << 32);
		return;
	default:
		random_access(s);
		s->op = OP_WRITE;
		s->val = rnd(4);
	}
}

static void random_program(struct program *p)
{
	bool writes = rnd(4), pauses = !rnd(3);
	int i;

	memset(p, 0, sizeof(*p));
	p->vcpus = 1 + rnd(SIM_VCPUS);
	p->split = rnd(2);
	p->enabled = rnd(8);
	p->owned = !rnd(4);
	/* The low half is about to wrap, more often than not. */
	p->counter = (rnd(4) << 32) + (rnd(3) ? 0xffffffff - rnd(40000) : rnd(1ULL << 32));
	p->n = 40 + rnd(MAX_STEPS - 40);
	for (i = 0; i < p->n; i++) {
		struct step *s = &p->steps[i];

		s->vcpu = rnd(p->vcpus);
		s->wait = rnd(4) ? rnd(700) : rnd(64) ? rnd(4 * US) : rnd(3 * MS);
		random_access(s);
		s->op = OP_READ;
		if (writes && !rnd(16))
			random_write(s);
		else if (!rnd(12))
			s->op = OP_HOT;
		else if (!rnd(16))
			s->op = OP_OTHER;
		else if (pauses && !rnd(48))
			s->op = OP_PAUSE;
		else if (!rnd(300))
			s->op = OP_SAVE;
		if (s->op == OP_SAVE || s->op == OP_PAUSE || s->op == OP_OTHER)
			s->val = rnd(1ULL << 32);
	}
}

static bool saved; /* in this program; what was answered before */
static u64 answered;

static void run_step(const struct program *p, const struct step *s)
{
	struct vcpu *v = &sim.vcpus[s->vcpu];
	s64 jump;
	int i;

	sim_now += s->wait;
	if (s->op == OP_PAUSE) {
		/*
		 * Odd loads only move the clock. All go the same way, and by more than all pauses together: a clock that is back where
		 * it was, but for less than the bounds' width, has not moved for the filter.
		 */
		jump = 100 * MS + s->val % (1000 * MS);
		sim_pause(110 * US + s->val % (3 * MS), s->val >> 30 ? STOP : s->val >> 29 ? RESET : LOAD,
			  s->val >> 29 ? 0 : p->counter & 1 ? jump : -jump);
		return;
	}
	if (s->op == OP_SAVE) {
		if (!saved)
			answered = sim.answered;
		saved = true;
		sim_save((1 + s->val % (s->val >> 31 ? 20 : 1000000)) * IOFILTER_NSEC_PER_SEC, s->val >> 30 & 1);
		return;
	}
	/* One that is in the middle of an exit only gets on with it. */
	if (v->phase != IN_GUEST) {
		sim_step(s->vcpu);
		return;
	}
	switch (s->op) {
	case OP_READ:
	case OP_WRITE:
		sim_access(s->vcpu, s->op == OP_WRITE, s->offset, s->val, s->len, false);
		break;
	case OP_HOT:
		for (i = 0; i < 6 && !sim.failure[0]; i++) {
			sim_now += 300;
			sim_whole(s->vcpu, false, counter_at(s->offset, s->len) ? s->offset : HPET_MAIN_CNT, 0, s->len < 4 ? 4 : s->len,
				  false);
		}
		break;
	default:
		sim_other(s->vcpu, s->val & 1);
	}
}

static bool run_program(const struct program *p, const bool *left_out)
{
	int i;

	sim.failure[0] = 0;
	saved = false;
	sim_begin(p->vcpus);
	sim.owned = p->owned;
	sim.device.split = p->split;
	sim.device.counter = p->counter;
	sim_log("%d vCPUs, the counter %s at %#llx%s%s", p->vcpus, p->enabled ? "runs" : "is halted", p->counter,
		p->split ? ", reads of 8 bytes are split" : "", p->owned ? ", the VMM owns the clock" : "");
	if (p->enabled)
		device_write(&sim.device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	tell();
	for (i = 0; i < p->n && !sim.failure[0]; i++)
		if (!left_out || !left_out[i])
			run_step(p, &p->steps[i]);
	restore_count.programs += saved;
	restore_count.answered += saved ? sim.answered - answered : 0;
	return !sim.failure[0];
}

static void minimise(const struct program *p)
{
	static bool out[MAX_STEPS];
	int size, i, j, left = 0;

	memset(out, 0, sizeof(out));
	for (size = p->n; size; size /= 2)
		for (i = 0; i < p->n; i += size) {
			bool before[MAX_STEPS];

			memcpy(before, out, sizeof(out));
			for (j = i; j < i + size && j < p->n; j++)
				out[j] = true;
			if (run_program(p, out))
				memcpy(out, before, sizeof(out));
		}
	for (i = 0; i < p->n; i++)
		left += !out[i];
	printf("# %d of %d steps are enough:\n", left, p->n);
	sim.trace = true;
	run_program(p, out);
	sim.trace = false;
}

static int programs(void)
{
	const char *s = getenv("SEED"), *scale = getenv("IOFILTER_SCALE");
	u64 first = s ? strtoull(s, NULL, 0) : (u64)time(NULL) * 1000003, n, count = 120000 * (scale ? strtoul(scale, NULL, 0) ?: 1 : 1);
	static struct program p;

	sim.answered = sim.answered_wide = sim.answered_regs = sim.answered_owned = sim.punted = 0;
	printf("# SEED=%llu\n", first);
	/* The first program that fails ends it. */
	count = restore_mutant ? 400000 : count;
	for (n = 0; n < count; n++) {
		rnd_state = (first + n) * 0x2545f4914f6cdd1dULL;
		random_program(&p);
		if (run_program(&p, NULL))
			continue;
		if (restore_mutant)
			return 1;
		printf("FAIL program SEED=%llu: %s\n", first + n, sim.failure);
		minimise(&p);
		return 1;
	}
	printf("# %llu programs: %llu accesses answered (%llu of the high half, %llu of registers, %llu by a clock that the VMM owns), "
	       "%llu to the VMM\n", count, sim.answered, sim.answered_wide, sim.answered_regs, sim.answered_owned, sim.punted);
	restore_print("hpet");
	/* A test of nothing would hold as well. */
	if (sim.answered < 10 * count || sim.answered_wide < count || sim.answered_regs < count / 10 || sim.answered_owned < count) {
		printf("FAIL too few were answered\n");
		return 1;
	}
	if (restore_count.saves < 1000 || restore_count.in_flight < 500 || restore_count.answered < 10000) {
		printf("FAIL too little was saved\n");
		return 1;
	}
	return 0;
}

#endif /* SELFTESTS_HPETGUEST_H */
