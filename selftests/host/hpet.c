// SPDX-License-Identifier: GPL-2.0
/* The HPET's program, with the module's settle.c and access.c, against QEMU's device: cases, and random guests (hpetguest.h). */
#include "hpetguest.h"
#include "hpetsim.h"

/* A running counter at @counter, proven on all vCPUs, high half known, 10 us before the moment that @counter is for. */
static void proven(int vcpus, u64 counter)
{
	int i, j;

	sim_begin(vcpus);
	sim.device.counter = counter - 20000; /* 200 us */
	device_write(&sim.device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	for (i = 0; i < 4; i++)
		for (j = 0; j < vcpus; j++)
			sim_whole(j, false, HPET_MAIN_CNT, 0, 8, true);
	sim_now = 1000 * MS + 190 * US;
	for (j = 0; j < vcpus; j++)
		if (!sim_access(j, false, HPET_MAIN_CNT, 0, 8, false))
			sim_fail("vCPU %d is not answered at the beginning", j);
}

static bool answers(int n, u64 offset, u32 len)
{
	bool got = sim_access(n, false, offset, 0, len, false);

	sim_finish(n, 700);
	return got;
}

#define WANT(cond) do { if (!(cond)) sim_fail("line %d: %s", __LINE__, #cond); } while (0)

/* T21: high, low, high, each by the filter or by the VMM, at every moment around the wrap; what a guest composes never steps back. */
static void halves(void)
{
	u64 before, high, again, low, shift;
	int by, split;

	for (split = 0; split < 2; split++)
		for (by = 0; by < 16; by++)
			for (shift = 0; shift < 24 * US && !sim.failure[0]; shift += 70) {
				proven(2, 0x200000000ULL);
				sim.device.split = split;
				sim_now += shift;
				before = sim_whole(0, false, HPET_MAIN_CNT, 0, 8, by & 8);
				if (split && by & 8)
					before = 0;
				high = sim_whole(by & 1, false, HPET_MAIN_CNT + 4, 0, 4, by & 1);
				low = sim_whole(0, false, HPET_MAIN_CNT, 0, 4, by & 2);
				again = sim_whole(1, false, HPET_MAIN_CNT + 4, 0, 4, by & 4);
				if (high != again)
					low = sim_whole(0, false, HPET_MAIN_CNT, 0, 4, !(by & 2));
				if ((again << 32 | low) < before || (again << 32 | low) > hpet_ticks(&sim.device))
					sim_fail("permutation %d at %llu ns: composed %#llx, before it %#llx, now %#llx", by, shift,
						 again << 32 | low, before, hpet_ticks(&sim.device));
			}
}

/* By halves only, and from the beginning: low ones prove, a high one tells the rest. */
static void high_half_late(void)
{
	int i;

	sim_begin(1);
	sim.device.counter = 0x700000000ULL;
	device_write(&sim.device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	for (i = 0; i < 4; i++)
		sim_whole(0, false, HPET_MAIN_CNT, 0, 4, true);
	WANT(answers(0, HPET_MAIN_CNT, 4));
	WANT(!answers(0, HPET_MAIN_CNT, 8)); /* asks, and learns */
	WANT(answers(0, HPET_MAIN_CNT, 8));
	WANT(answers(0, HPET_MAIN_CNT + 4, 4));
	WANT(sim.vcpus[0].got == 7);
	sim_now += 3 * MS;
	for (i = 0; i < 3; i++)
		sim_whole(0, false, HPET_MAIN_CNT, 0, 4, true);
	WANT(answers(0, HPET_MAIN_CNT, 8));
	sim_pause(300 * US, STOP, 0);
	sim_whole(0, false, HPET_MAIN_CNT, 0, 4, false);
	for (i = 0; i < 4; i++)
		sim_whole(0, false, HPET_MAIN_CNT, 0, 4, true);
	WANT(answers(0, HPET_MAIN_CNT, 4));
	WANT(!answers(0, HPET_MAIN_CNT + 4, 4));
	WANT(answers(0, HPET_MAIN_CNT + 4, 4));
}

/* An answer that took long says neither which half it was for, nor what a register is now. */
static void too_long(void)
{
	static const struct { u64 offset; u32 len; } rows[] = { { HPET_MAIN_CNT + 4, 4 }, { HPET_GEN_CONF, 4 }, { HPET_GCAP_ID, 8 } };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		proven(1, 0x280000000ULL);
		hpet.high_epoch = 1;
		sim_access(0, false, rows[i].offset, 0, rows[i].len, false);
		sim_finish(0, 30 * US);
		WANT(answers(0, HPET_MAIN_CNT, 4) == (i > 0)); /* a lost one must be followed by a newer */
		WANT(!answers(0, rows[i].offset, rows[i].len));
		WANT(answers(0, rows[i].offset, rows[i].len));
	}
}

/*
 * The clock is known from an answer that took long, and then the VM is stopped for as long: where the bounds from before end, those from
 * after it begin. The two touch although the clock is behind what they have in common.
 */
static void stopped_as_long(void)
{
	u64 ns;
	int i;

	for (ns = 990 * US; ns < 1010 * US && !sim.failure[0]; ns += 100) {
		sim_begin(1);
		sim.device.counter = 0x280000000ULL;
		device_write(&sim.device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
		sim_access(0, false, HPET_MAIN_CNT, 0, 8, false);
		while (sim.vcpus[0].phase != PERFORMED)
			sim_step(0);
		sim_now += 1000 * US;
		sim_step(0);
		sim_whole(0, false, HPET_STATUS, 0, 4, false);
		sim_pause(ns, STOP, 0);
		for (i = 0; i < 4; i++)
			sim_whole(0, false, HPET_MAIN_CNT, 0, 8, false);
		WANT(answers(0, HPET_MAIN_CNT, 8));
	}
}

/* While it is being written nobody is answered: not until the proof is new, or the VMM has shown its counter after it has compared it. */
static void written(void)
{
	enum what { NOTHING, COMPARES, COUNTS };
	static const struct { u64 offset; u32 len; enum what what; } rows[] = {
		{ HPET_GEN_CONF, 4, COUNTS }, { HPET_GEN_CONF, 8, COUNTS }, { HPET_GEN_CONF + 4, 4, COUNTS }, { HPET_GEN_CONF + 3, 1, COUNTS },
		{ HPET_GEN_CONF - 2, 4, COUNTS }, { HPET_MAIN_CNT, 8, COUNTS }, { HPET_MAIN_CNT + 4, 4, COUNTS }, { HPET_MAIN_CNT - 4, 8, COUNTS },
		{ HPET_TIMERS, 4, COMPARES }, { HPET_TIMERS + 8, 4, COMPARES }, { HPET_TIMERS + 0x28, 8, COMPARES }, { HPET_TIMERS - 4, 8, COMPARES },
		{ HPET_GEN_CONF + 8, 4, NOTHING }, { HPET_MAIN_CNT + 8, 8, NOTHING }, { HPET_STATUS, 4, NOTHING }, { HPET_TIMERS - 4, 4, NOTHING },
	};
	u32 i, phase;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (phase = 0; phase <= 4; phase++) {
			proven(2, 0x200000000ULL);
			sim_access(0, true, rows[i].offset, HPET_ENABLE_CNF, rows[i].len, false);
			while (sim.vcpus[0].phase != (phase == 4 ? IN_GUEST : LEAVING + phase))
				sim_step(0);
			sim_now += 100;
			if (phase < 4)
				WANT(!answers(1, HPET_MAIN_CNT, 4));
			else
				WANT(answers(1, HPET_MAIN_CNT, 4) == (rows[i].what == NOTHING));
			if (phase < 4)
				continue;
			sim_whole(1, false, HPET_MAIN_CNT, 0, 4, false);
			WANT(answers(1, HPET_MAIN_CNT, 4) == (rows[i].what != COUNTS));
		}
}

/* The write's mark is overwritten before it was settled: it still counts. */
static void written_unsettled(void)
{
	proven(2, 0x200000000ULL);
	sim_whole(0, true, HPET_GEN_CONF, 0, 4, false);
	sim.f.settling.counter = 1;
	sim_access(0, true, HPET_TIMERS, 0, 4, false);
	sim.f.settling.counter = 0;
	sim_finish(0, 700);
	WANT(!answers(1, HPET_MAIN_CNT, 4));
	WANT(!answers(1, HPET_GEN_CONF, 4));
	WANT(hpet.counter.clock.proof == IOFILTER_UNPROVEN);
}

/* B reads what the VMM has just been made to change by A, who is not back yet: that is no move of the VMM's clock. */
static void written_and_read(void)
{
	int i;

	proven(2, 0x200000000ULL);
	for (i = 0; i < 20; i++) {
		sim_access(0, true, HPET_GEN_CONF, i & 1, 4, false);
		while (sim.vcpus[0].phase != PERFORMED)
			sim_step(0);
		sim_now += 10 * US;
		WANT(!answers(1, HPET_MAIN_CNT, 4));
		WANT(!answers(1, HPET_MAIN_CNT, 4));
		sim_finish(0, 700);
		for (int n = 0; n < 5; n++)
			sim_whole(1, false, HPET_MAIN_CNT, 0, 4, true);
		WANT(answers(1, HPET_MAIN_CNT, 4) == (i & 1));
	}
	WANT(!hpet.counter.clock.moves);
}

static void halted(void)
{
	u64 now;
	int i;

	proven(2, 0x280000000ULL);
	sim_whole(0, true, HPET_GEN_CONF, 0, 4, false);
	for (i = 0; i < 100000 && !sim.failure[0]; i++) {
		sim_now += 300;
		WANT(!answers(i & 1, HPET_MAIN_CNT, 4));
	}
	WANT(hpet.counter.clock.fuse == IOFILTER_FUSE_OK);
	/* Set back by 1 ms, and started; nobody waits for what it was. */
	sim_whole(0, true, HPET_MAIN_CNT, sim.device.counter - 100000, 8, false);
	sim_whole(0, true, HPET_GEN_CONF, HPET_ENABLE_CNF, 4, false);
	for (i = 0; i < 4; i++)
		sim_whole(0, false, HPET_MAIN_CNT, 0, 8, false);
	WANT(answers(0, HPET_MAIN_CNT, 8));
	WANT(sim.vcpus[0].got < sim.known + 5000);
	sim_pause(200 * US, STOP, 0);
	now = sim_now;
	WANT(!answers(1, HPET_MAIN_CNT, 8));
	WANT(sim_now < now + 100 * US);
}

/* Set back at once: no answer of before holds up one of now. */
static void set_back(void)
{
	u64 begin;
	int i;

	proven(2, 0x280000000ULL);
	sim_whole(0, true, HPET_GEN_CONF, 0, 4, false);
	sim_whole(0, true, HPET_MAIN_CNT, sim.device.counter - 100000, 8, false);
	sim_whole(0, true, HPET_GEN_CONF, HPET_ENABLE_CNF, 4, false);
	begin = sim_now;
	for (i = 0; i < 4; i++)
		sim_whole(0, false, HPET_MAIN_CNT, 0, 8, false);
	WANT(answers(0, HPET_MAIN_CNT, 8));
	WANT(sim_now < begin + 100 * US);
}

/* The same, attached to a counter that stands, and read by turns. */
static void found_halted(void)
{
	int i, n;

	for (n = 1; n <= SIM_VCPUS; n++) {
		sim_begin(n);
		for (i = 0; i < 100000 && !sim.failure[0]; i++) {
			sim_now += 200;
			WANT(!answers(i % n, HPET_MAIN_CNT, 8));
		}
		WANT(hpet.counter.clock.fuse == IOFILTER_FUSE_OK);
	}
}

static void reset(void)
{
	int i;

	proven(2, 0x200000000ULL);
	sim_pause(2 * MS, RESET, 0);
	for (i = 0; i < 10000 && !sim.failure[0]; i++)
		WANT(!answers(i & 1, i & 2 ? HPET_GEN_CONF : HPET_MAIN_CNT, 4));
	WANT(hpet.counter.clock.fuse == IOFILTER_FUSE_OK);
}

static void registers(void)
{
	static const struct { u64 offset; u32 len; u64 val; } rows[] = {
		{ HPET_GCAP_ID, 8, CAPABILITIES }, { HPET_GCAP_ID, 4, (u32)CAPABILITIES }, { HPET_GCAP_ID + 4, 4, 10000000 },
		{ HPET_GEN_CONF, 8, HPET_ENABLE_CNF }, { HPET_GEN_CONF, 4, HPET_ENABLE_CNF }, { HPET_GEN_CONF + 4, 4, 0 },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		proven(1, 0x200000000ULL);
		WANT(!answers(0, rows[i].offset, rows[i].len));
		WANT(answers(0, rows[i].offset, rows[i].len));
		WANT(sim.vcpus[0].got == rows[i].val);
		/* Audited as the clock is. */
		sim_now += hpet.counter.clock.expiry;
		WANT(!answers(0, rows[i].offset, rows[i].len));
	}
	proven(1, 0x200000000ULL);
	for (i = 0; i < 3; i++)
		WANT(!answers(0, HPET_TIMERS + 8, 8));
	for (i = 0; i < 3; i++)
		WANT(!answers(0, HPET_STATUS, 4));
}

/* The clock moves without a sign: the VM's other filters are told, by this one; and this one, by them. */
static void siblings(void)
{
	proven(2, 0x200000000ULL);
	told = 0;
	sim_whole(0, false, HPET_MAIN_CNT, 0, 8, true);
	WANT(!told);
	sim.offset -= 90 * US;
	sim.known = 0;
	sim.changes++;
	sim_whole(0, false, HPET_MAIN_CNT, 0, 8, true);
	/* Followed, but one answer alone is no proof. */
	WANT(!answers(0, HPET_MAIN_CNT, 8));
	WANT(told);

	proven(2, 0x200000000ULL);
	sim.f.nr_pending.counter++;
	sim.f.moved = sim_now;
	sim_now += 100;
	WANT(!answers(1, HPET_MAIN_CNT, 4));
	WANT(!answers(0, HPET_GEN_CONF, 4));
	WANT(answers(1, HPET_MAIN_CNT, 4));
	WANT(!sim.f.nr_pending.counter);
}

static const struct { const char *name; void (*run)(void); } cases[] = {
	{ "T21 the wrap between two halves", halves },
	{ "the high half is learnt late, and again after a pause", high_half_late },
	{ "an answer that took too long", too_long },
	{ "stopped for as long as an answer took", stopped_as_long },
	{ "written", written },
	{ "written, and not settled at once", written_unsettled },
	{ "written and read", written_and_read },
	{ "halted, polled, started", halted },
	{ "set back", set_back },
	{ "found halted", found_halted },
	{ "reset", reset },
	{ "registers", registers },
	{ "a move is passed on", siblings },
};

int main(void)
{
	static const struct restore_spared spared[] = {
		{}
	};
	int failed = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		sim.failure[0] = 0;
		sim.trace = getenv("TRACE") && strstr(cases[i].name, getenv("TRACE"));
		cases[i].run();
		if (!sim.failure[0])
			continue;
		printf("FAIL %s: %s\n", cases[i].name, sim.failure);
		failed++;
	}
	sim.trace = false;
	printf("# %zu cases, %d failed\n", ARRAY_SIZE(cases), failed);
	return failed || programs() || registers_mutants("hpet", programs, spared);
}
