// SPDX-License-Identifier: GPL-2.0
/* The HPET's timers and lines (devices/hpet.c): to the ns, and as a slow model has them that goes tick by tick. */
#include <devices/hpet.h>
#include "devices_hpet.h"

#define START	   1234567ULL

static struct hpet hpet;
static int legacy;

static void legacy_set(void *arg, int on)
{
	(void)arg;
	legacy = on;
}

static void start(void)
{
	now = START;
	nr_edges = 0;
	legacy = -1;
	hpet = (struct hpet){ .clock = clock_now, .irq = line_set, .legacy = legacy_set };
	hpet_power_on(&hpet);
	EXPECT_QUIET();
	assert_int_equal(legacy, 0);
	assert_int_equal(hpet_deadline(&hpet), NEVER);
}

static void out(uint64_t reg, uint64_t val)
{
	hpet_write(&hpet, reg, val, 8);
}

static uint64_t in(uint64_t reg)
{
	return hpet_read(&hpet, reg, 8);
}

/* With the counter halted at @counter: timer 2 on line 20, and off it goes. */
static void one_timer(uint32_t config, uint64_t counter, uint64_t comparator)
{
	start();
	out(HPET_MAIN_CNT, counter);
	out(TIMER(2), config | ENABLED | ROUTE(20));
	out(TIMER(2) + 8, comparator);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
}

static const struct single {
	uint32_t config;
	uint64_t counter, comparator;
	uint64_t at[2]; /* after the start, ns; 0: not */
} singles[] = {
	{ 0, 0, 1, { 10 } },
	{ 0, 0, 12345, { 123450 } },
	{ 0, 1000, 12345, { 113450 } },
	{ 0, 0x100000000, 0x100000007, { 70 } },
	{ 0, 0xfffffffe, 0x100000002, { 40 } },
	{ 0, 0xfffffffe, 2, { 0 } }, /* gone by: at once */
	{ MODE32, 0, 12345, { 123450 } },
	{ MODE32, 0x100000500, 0x500, { 0 } },
	{ MODE32, 0xfffffffe, 0xffffffff, { 10 } },
	/* With 32 bits the wrap of the counter is an interrupt of its own, but where it is the match. */
	{ MODE32, 0xfffffff0, 5, { 160, 210 } },
	{ MODE32, 0xfffffff0, 0, { 160 } },
	{ MODE32, 0x5fffffff0, 0x900000005, { 160, 210 } },
	{ MODE32, 100, 50, { 42949671960, 42949672460 } },
};

static void test_single(void **state)
{
	const struct single *t;
	struct edge want[4];
	unsigned int i, j, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(singles); i++) {
		t = &singles[i];
		one_timer(t->config, t->counter, t->comparator);
		for (j = n = 0; j < 2; j++) {
			if (!t->at[j] && j)
				break;
			want[n++] = (struct edge){ t->at[j], 20, 1 };
			want[n++] = (struct edge){ t->at[j], 20, 0 };
		}
		RUN_TO(hpet, &hpet, START + 50 * SECOND);
		expect_edges(want, n, START);
		assert_int_equal(in(HPET_STATUS), 0);
	}
}

static const struct many {
	uint32_t config;
	uint64_t counter, first, period;
} many[] = {
	{ 0, 0, 5000, 100000 },
	{ 0, 777, 778, 100 },
	{ 0, 0xfffffff0, 0xffffffff, 12347 },
	{ MODE32, 0xffff0000, 100, 99991 },
	{ MODE32, 0xffff0000, 0xffff0001, 99991 },
	{ 0, 0, 1000000, 9765625 },
};

static void test_periodic(void **state)
{
	const struct many *t;
	unsigned int i, j;
	uint64_t first;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(many); i++) {
		t = &many[i];
		start();
		out(HPET_MAIN_CNT, t->counter);
		out(TIMER(0), t->config | ENABLED | PERIODIC | VAL_SET | ROUTE(16));
		out(TIMER(0) + 8, t->first);
		assert_int_equal(in(TIMER(0)) & VAL_SET, 0);
		out(TIMER(0) + 8, t->period);
		assert_int_equal(in(TIMER(0) + 8), t->first);
		out(HPET_GEN_CONF, HPET_ENABLE_CNF);
		first = (t->config & MODE32 ? (uint32_t)(t->first - t->counter) : t->first - t->counter) * 10;
		RUN_TO(hpet, &hpet, START + first + 50000 * t->period * 10);
		assert_int_equal(nr_edges, 2 * 50001);
		for (j = 0; j < nr_edges; j++) {
			assert_int_equal(edges[j].at, START + first + j / 2 * t->period * 10);
			assert_int_equal(edges[j].level, !(j % 2));
		}
		assert_int_equal(in(TIMER(0) + 8), t->config & MODE32 ? (uint32_t)(t->first + 50001 * t->period)
								      : t->first + 50001 * t->period);
	}
}

/* What a late call finds is one interrupt, and the next is where it would have been. */
static void test_late(void **state)
{
	(void)state;
	start();
	out(TIMER(0), ENABLED | PERIODIC | VAL_SET | ROUTE(16));
	out(TIMER(0) + 8, 1000);
	out(TIMER(0) + 8, 300);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	hpet_run(&hpet);
	assert_int_equal(hpet_deadline(&hpet), START + 10000);
	now = START + 10000 + 3 * 3000 + 1234;
	hpet_run(&hpet);
	hpet_run(&hpet);
	EXPECT(START, { 20234, 16, 1 }, { 20234, 16, 0 });
	RUN_TO(hpet, &hpet, START + 25000);
	EXPECT(START, { 22000, 16, 1 }, { 22000, 16, 0 }, { 25000, 16, 1 }, { 25000, 16, 0 });
	/* Both interrupts of a timer of 32 bits. */
	one_timer(MODE32, 0xfffffff0, 5);
	now = START + 1000;
	hpet_run(&hpet);
	EXPECT(START, { 1000, 20, 1 }, { 1000, 20, 0 }, { 1000, 20, 1 }, { 1000, 20, 0 });
	/* Faster than 1 us there is none. */
	start();
	out(TIMER(0), ENABLED | PERIODIC | VAL_SET | ROUTE(16));
	out(TIMER(0) + 8, 1000);
	out(TIMER(0) + 8, 1);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	RUN_TO(hpet, &hpet, START + 12000);
	EXPECT(START, { 10000, 16, 1 }, { 10000, 16, 0 }, { 11000, 16, 1 }, { 11000, 16, 0 }, { 12000, 16, 1 }, { 12000, 16, 0 });
	/* A period of nothing is none. */
	start();
	out(TIMER(0), ENABLED | PERIODIC | VAL_SET | ROUTE(16));
	out(TIMER(0) + 8, 1000);
	out(TIMER(0), ENABLED | PERIODIC | VAL_SET | ROUTE(16));
	out(TIMER(0) + 8, 0);
	out(TIMER(0), ENABLED | ROUTE(16));
	out(TIMER(0) + 8, 1000);
	out(TIMER(0), ENABLED | PERIODIC | ROUTE(16));
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	RUN_TO(hpet, &hpet, START + SECOND);
	EXPECT(START, { 10000, 16, 1 }, { 10000, 16, 0 });
	/* A comparator that the clock cannot reach is no endless loop. */
	start();
	out(HPET_MAIN_CNT, 1ULL << 62);
	out(TIMER(0), ENABLED | PERIODIC | VAL_SET | ROUTE(16));
	out(TIMER(0) + 8, 3ULL << 62);
	out(TIMER(0) + 8, 1000);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	now += 1000000;
	hpet_run(&hpet);
}

static void test_level(void **state)
{
	(void)state;
	one_timer(LEVEL, 0, 1000);
	RUN_TO(hpet, &hpet, START + 20000);
	EXPECT(START, { 10000, 20, 1 });
	assert_int_equal(in(HPET_STATUS), 4);
	out(HPET_STATUS, 3);
	EXPECT_QUIET();
	/* Halted, it is pending, and not on its line. */
	out(HPET_GEN_CONF, 0);
	EXPECT(START, { 20000, 20, 0 });
	assert_int_equal(in(HPET_STATUS), 4);
	RUN_TO(hpet, &hpet, START + 30000);
	out(TIMER(2) + 8, 100000);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	EXPECT(START, { 30000, 20, 1 });
	assert_int_equal(in(HPET_MAIN_CNT), 2000);
	now += 10;
	out(HPET_STATUS, 7);
	EXPECT(START, { 30010, 20, 0 });
	assert_int_equal(in(HPET_STATUS), 0);
	/* Not enabled, the timer tells the status only; enabled then, the line. */
	out(TIMER(2), LEVEL | ROUTE(20));
	RUN_TO(hpet, &hpet, START + 20000 + 1000000);
	EXPECT_QUIET();
	assert_int_equal(in(HPET_STATUS), 4);
	out(TIMER(2) + 8, 1000000);
	out(TIMER(2), LEVEL | ENABLED | ROUTE(20));
	EXPECT(START, { 1020000, 20, 1 });
	/* No longer level-triggered: nothing is pending. */
	out(TIMER(2), ENABLED | ROUTE(20));
	EXPECT(START, { 1020000, 20, 0 });
	assert_int_equal(in(HPET_STATUS), 0);
	/* A machine reset leaves the status. */
	one_timer(LEVEL, 0, 1000);
	RUN_TO(hpet, &hpet, START + 20000);
	EXPECT(START, { 10000, 20, 1 });
	hpet_reset(&hpet);
	assert_int_equal(in(HPET_STATUS), 4);
	assert_int_equal(in(HPET_GEN_CONF), 0);
	assert_int_equal(in(TIMER(2)), 0x00ff010400000030);
	assert_int_equal(in(TIMER(2) + 8), ~0ULL);
	assert_int_equal(hpet_deadline(&hpet), NEVER);
}

/* Level-triggered interrupts of a periodic timer: one, until the guest has seen it. */
static void test_level_periodic(void **state)
{
	(void)state;
	start();
	out(TIMER(1), LEVEL | ENABLED | PERIODIC | VAL_SET | ROUTE(21));
	out(TIMER(1) + 8, 500);
	out(TIMER(1) + 8, 200);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	RUN_TO(hpet, &hpet, START + 10000);
	EXPECT(START, { 5000, 21, 1 });
	out(HPET_STATUS, 2);
	RUN_TO(hpet, &hpet, START + 12000);
	EXPECT(START, { 10000, 21, 0 }, { 11000, 21, 1 });
	/* A new period, from the next match on; which QEMU lets come 1 us late, as it was planned for the same time before. */
	out(TIMER(1) + 8, 1000);
	out(HPET_STATUS, 2);
	RUN_TO(hpet, &hpet, START + 14500);
	out(HPET_STATUS, 2);
	EXPECT(START, { 12000, 21, 0 }, { 14000, 21, 1 }, { 14500, 21, 0 });
	RUN_TO(hpet, &hpet, START + 23000);
	EXPECT(START, { 23000, 21, 1 });
}

static void test_legacy(void **state)
{
	(void)state;
	start();
	hpet_legacy_irq(&hpet, 0, 1);
	hpet_legacy_irq(&hpet, 8, 1);
	EXPECT(START, { 0, 0, 1 }, { 0, 8, 1 });
	out(TIMER(0), ENABLED | ROUTE(16));
	out(TIMER(0) + 8, 1000);
	out(TIMER(1), LEVEL | ENABLED | ROUTE(17));
	out(TIMER(1) + 8, 2000);
	out(TIMER(2), ENABLED | ROUTE(18));
	out(TIMER(2) + 8, 3000);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF | HPET_LEG_RT_CNF);
	EXPECT(START, { 0, 0, 0 }, { 0, 8, 0 });
	assert_int_equal(legacy, 1);
	hpet_legacy_irq(&hpet, 0, 0);
	hpet_legacy_irq(&hpet, 0, 1);
	hpet_legacy_irq(&hpet, 8, 0);
	hpet_legacy_irq(&hpet, 8, 1);
	RUN_TO(hpet, &hpet, START + 40000);
	EXPECT(START, { 10000, 0, 1 }, { 10000, 0, 0 }, { 20000, 8, 1 }, { 30000, 18, 1 }, { 30000, 18, 0 });
	out(HPET_STATUS, 2);
	EXPECT(START, { 40000, 8, 0 });
	/* The RTC's is high; the PIT tells its own, being asked. */
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	assert_int_equal(legacy, 0);
	EXPECT(START, { 40000, 8, 1 });
	out(TIMER(0) + 8, 5000);
	RUN_TO(hpet, &hpet, START + 60000);
	EXPECT(START, { 50000, 16, 1 }, { 50000, 16, 0 });
}

static void test_registers(void **state)
{
	(void)state;
	start();
	/* No messages: no capability, and who asks for one has no line. */
	assert_int_equal(in(TIMER(0)) & 0x8000, 0);
	out(TIMER(0), FSB | ENABLED | ROUTE(16));
	out(TIMER(0) + 0x10, 0xfee0000000000041);
	out(TIMER(0) + 8, 1000);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	RUN_TO(hpet, &hpet, START + 20000);
	EXPECT_QUIET();
	/* A running counter is not written. */
	out(HPET_MAIN_CNT, 77);
	assert_int_equal(in(HPET_MAIN_CNT), 2000);
	out(HPET_GEN_CONF, 0);
	assert_int_equal(in(HPET_MAIN_CNT), 2000);
	hpet_write(&hpet, HPET_MAIN_CNT + 4, 3, 4);
	hpet_write(&hpet, HPET_MAIN_CNT, 5, 4);
	now += 1000;
	assert_int_equal(in(HPET_MAIN_CNT), 0x300000005);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	now += 25;
	assert_int_equal(in(HPET_MAIN_CNT), 0x300000007);
	/* A periodic timer's comparator takes a period only; one of 32 bits has no high half. */
	out(HPET_GEN_CONF, 0);
	out(TIMER(1), PERIODIC);
	out(TIMER(1) + 8, 1234);
	assert_int_equal(in(TIMER(1) + 8), ~0ULL);
	out(TIMER(1), PERIODIC | VAL_SET | MODE32);
	assert_int_equal(in(TIMER(1) + 8), 0xffffffff);
	hpet_write(&hpet, TIMER(1) + 12, 1, 4);
	out(TIMER(1) + 8, 0x500000007);
	assert_int_equal(in(TIMER(1) + 8), 7);
}

/* Without lines nothing happens by itself. */
static void test_none(void **state)
{
	(void)state;
	now = START;
	hpet = (struct hpet){ .clock = clock_now };
	hpet_power_on(&hpet);
	out(TIMER(0), LEVEL | ENABLED | PERIODIC | VAL_SET);
	out(TIMER(0) + 8, 100);
	out(TIMER(0) + 8, 100);
	out(HPET_GEN_CONF, HPET_ENABLE_CNF);
	assert_int_equal(hpet_deadline(&hpet), NEVER);
	now += SECOND;
	hpet_run(&hpet);
	assert_int_equal(in(TIMER(0) + 8), 100);
	assert_int_equal(in(HPET_STATUS), 0);
	EXPECT_QUIET();
}

/* --- random programs --- */

static unsigned long total;

static uint64_t some_counter(void)
{
	switch (rnd() % 4) {
	case 0: return 0;
	case 1: return 0xffffffff - rnd() % 3000;
	default: return rnd() % (1ULL << 40);
	}
}

/* Line by line: in which order a late call serves two timers does not matter. */
static void compare(unsigned int first)
{
	unsigned int line, i, j;

	assert_int_equal(nr_edges, slow.nr);
	for (line = 16; line < 19; line++) {
		for (i = j = first; i < nr_edges; i++) {
			if (edges[i].line != line)
				continue;
			while (j < slow.nr && slow.seq[j].line != line)
				j++;
			assert_in_range(j, 0, slow.nr - 1);
			assert_int_equal(edges[i].level, slow.seq[j].level);
			assert_int_equal(edges[i].at, slow.seq[j].at);
			j++;
		}
	}
}

/* Timers of all kinds, set while the counter is halted; it is halted and goes on, they are turned off and on, and acknowledged. */
static void program(bool late)
{
	int n, i, steps = 20 + rnd() % 40;
	unsigned int first;
	uint64_t left, val;

	start();
	memset(&slow, 0, offsetof(struct slow, seq));
	slow.nr = 0;
	slow.counter = some_counter();
	out(HPET_MAIN_CNT, slow.counter);
	for (n = 0; n < 3; n++) {
		slow.timers[n].config = rnd() & (LEVEL | ENABLED | PERIODIC | MODE32);
		slow.timers[n].period = 100 + rnd() % 2000;
		val = slow.counter + 100 + rnd() % 3000;
		slow.timers[n].comparator = val;
		out(TIMER(n), slow.timers[n].config | VAL_SET | ROUTE(16 + n));
		out(TIMER(n) + 8, val);
		if (slow.timers[n].config & PERIODIC)
			out(TIMER(n) + 8, slow.timers[n].period);
	}
	for (i = 0; i < steps; i++) {
		first = nr_edges;
		/* QEMU lets 1 us pass before a periodic timer that was set anew; here nothing is set within that. */
		for (left = 300 + rnd() % 4000; left; left--) {
			now += 10;
			slow_tick();
			if (late ? rnd() % 1000 == 0 : hpet_deadline(&hpet) <= now) {
				hpet_run(&hpet);
				slow_call();
			}
		}
		hpet_run(&hpet);
		slow_call();
		compare(first);
		assert_int_equal(in(HPET_STATUS), slow.status);
		assert_int_equal(in(HPET_MAIN_CNT), slow.counter);
		n = rnd() % 3;
		switch (rnd() % 4) {
		case 0:
			slow_enable(!slow.runs);
			out(HPET_GEN_CONF, slow.runs);
			break;
		case 1:
			val = rnd() % 8;
			out(HPET_STATUS, val);
			for (n = 0; n < 3; n++) {
				if (slow.status & val & 1 << n)
					slow_line(n, false);
			}
			slow.status &= ~val;
			break;
		case 2:
			/* One-shot timers only: see above. */
			if (slow.timers[n].config & PERIODIC)
				break;
			slow.timers[n].comparator = slow.counter + 50 + rnd() % 3000;
			out(TIMER(n) + 8, slow.timers[n].comparator);
			if (slow.runs)
				slow_arm(n);
			break;
		default:
			if (!slow.runs)
				slow_enable(true);
			out(HPET_GEN_CONF, HPET_ENABLE_CNF);
		}
	}
	total += nr_edges;
}

static void test_random(void **state)
{
	unsigned long i;

	(void)state;
	seed();
	for (i = 0; i < 2000 * scale(); i++)
		program(i % 2);
	printf("# %lu edges\n", total);
	assert_true(total > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_level_periodic),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
