// SPDX-License-Identifier: GPL-2.0
/* The PIT's IRQ0 (devices/pit.c): to the ns, and as a slow model has it that looks at every ns. */
#include <devices/pit.h>
#include "devices.h"

#define HZ 1193182ULL

static struct pit pit;

static void start(uint64_t at)
{
	now = at;
	nr_edges = 0;
	pit = (struct pit){ .clock = clock_now, .irq = irq_set };
	pit_power_on(&pit);
	EXPECT_QUIET();
}

static void load(struct pit *p, int mode, int count)
{
	pit_port_write(p, 0x43, 0x30 | mode << 1);
	pit_port_write(p, 0x40, count);
	pit_port_write(p, 0x40, count >> 8);
}

/*
 * From the load on, ns: a tick is 838.09 ns, and an output is seen to change in the first ns that is not before it; in mode 2, QEMU
 * looks 1 ns before the end of the pulse and 1 ns before the next one.
 */
static const struct first {
	int mode, count; /* 0: 65536 */
	uint64_t end;
	unsigned int nr;
	struct edge edges[6];
} firsts[] = {
	{ 0, 1, SECOND, 1, { { 839, 0, 1 } } },
	{ 0, 1000, SECOND, 1, { { 838096, 0, 1 } } },
	{ 0, 0, SECOND, 1, { { 54925402, 0, 1 } } },
	{ 1, 1000, SECOND, 1, { { 838096, 0, 1 } } },
	{ 6, 1000, SECOND, 1, { { 838096, 0, 1 } } },
	{ 7, 1000, SECOND, 1, { { 838096, 0, 1 } } },
	{ 2, 1, SECOND, 1, { { 1676, 0, 1 } } },
	{ 2, 2, 6704, 6, { { 2514, 0, 1 }, { 3352, 0, 0 }, { 4190, 0, 1 }, { 5028, 0, 0 }, { 5866, 0, 1 }, { 6704, 0, 0 } } },
	{ 2, 1193, 3999388, 5,
	  { { 1000685, 0, 1 }, { 1999694, 0, 0 }, { 2000533, 0, 1 }, { 2999542, 0, 0 }, { 3000380, 0, 1 } } },
	{ 2, 0, 164777040, 4, { { 54926239, 0, 1 }, { 109850802, 0, 0 }, { 109851640, 0, 1 }, { 164776203, 0, 0 } } },
	{ 3, 2, 4191, 6, { { 0, 0, 1 }, { 839, 0, 0 }, { 1677, 0, 1 }, { 2515, 0, 0 }, { 3353, 0, 1 }, { 4191, 0, 0 } } },
	{ 3, 3, 6704, 5, { { 0, 0, 1 }, { 1677, 0, 0 }, { 2515, 0, 1 }, { 4191, 0, 0 }, { 5029, 0, 1 } } },
	{ 3, 1193, 1999694, 4, { { 0, 0, 1 }, { 500343, 0, 0 }, { 999848, 0, 1 }, { 1500191, 0, 0 } } },
	{ 3, 0, 109850802, 4, { { 0, 0, 1 }, { 27462701, 0, 0 }, { 54925402, 0, 1 }, { 82388102, 0, 0 } } },
	{ 4, 1, SECOND, 2, { { 839, 0, 1 }, { 1677, 0, 0 } } },
	{ 4, 1000, SECOND, 2, { { 838096, 0, 1 }, { 838934, 0, 0 } } },
	{ 5, 1000, SECOND, 2, { { 838096, 0, 1 }, { 838934, 0, 0 } } },
};

static void test_first(void **state)
{
	uint64_t since[] = { 0, 123456789123 };
	const struct first *f;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * ARRAY_SIZE(firsts); i++) {
		f = &firsts[i / 2];
		start(since[i % 2]);
		load(&pit, f->mode, f->count);
		RUN_TO(pit, &pit, since[i % 2] + f->end);
		expect_edges(f->edges, f->nr, since[i % 2]);
	}
}

/* The n-th tick begins in the ns that ends at @at. */
static bool is_tick(uint64_t at, uint64_t n)
{
	return (unsigned __int128)at * HZ >= (unsigned __int128)n * SECOND &&
	       (unsigned __int128)(at - 1) * HZ < (unsigned __int128)n * SECOND;
}

static void test_drift(void **state)
{
	unsigned int i;

	(void)state;
	start(0);
	load(&pit, 3, 1193);
	RUN_TO(pit, &pit, 150 * SECOND);
	assert_in_range(nr_edges, 300020, 300060);
	for (i = 1; i < nr_edges; i++)
		assert_true(is_tick(edges[i].at, i / 2 * 1193 + i % 2 * 597));
}

/* QEMU looks for the end of a pulse 1 ns early, and does not find one whose end is at a whole ns: an interrupt less, here the 10th. */
static void test_whole_ns(void **state)
{
	unsigned int i;

	(void)state;
	start(0);
	load(&pit, 2, 59659);
	RUN_TO(pit, &pit, SECOND * 6 / 10);
	assert_int_equal(nr_edges, 21);
	for (i = 0; i < 18; i++)
		assert_true(is_tick(edges[i].at + 1, (i / 2 + 1) * 59659 + (i % 2 ? 59659 : 1)));
	assert_true(is_tick(edges[18].at + 1, 11 * 59659 + 1));
}

static void test_writes(void **state)
{
	(void)state;
	/* From power-on: mode 3, and a line that is first looked at 1 ns before the output goes low. */
	start(0);
	RUN_TO(pit, &pit, 60000000);
	EXPECT(0, { 27462700, 0, 1 }, { 27462701, 0, 0 }, { 54925402, 0, 1 });
	/* A load while it counts; half of a count is none. */
	now = 70000000;
	pit_port_write(&pit, 0x43, 0x30);
	pit_port_write(&pit, 0x40, 0xe8);
	RUN_TO(pit, &pit, 80000000);
	EXPECT_QUIET();
	pit_port_write(&pit, 0x40, 0x03);
	EXPECT(80000000, { 0, 0, 0 });
	/* A control word moves nothing; but what the output is at the time that was planned is the new mode's. */
	now += 1000;
	pit_port_write(&pit, 0x43, 0x34);
	assert_int_equal(pit_deadline(&pit), 80838095);
	RUN_TO(pit, &pit, 80838932);
	EXPECT_QUIET();
	RUN_TO(pit, &pit, 80838933);
	EXPECT(80000000, { 838933, 0, 1 });
	RUN_TO(pit, &pit, 82600000);
	EXPECT(80000000, { 1676190, 0, 0 }, { 1677028, 0, 1 }, { 2514285, 0, 0 }, { 2515123, 0, 1 });
	/* Other counters have no line, and a machine reset leaves it as it is. */
	pit_port_write(&pit, 0x43, 0x70);
	pit_port_write(&pit, 0x41, 1);
	pit_port_write(&pit, 0x41, 0);
	pit_reset(&pit);
	RUN_TO(pit, &pit, 82600000 + 27462700);
	EXPECT_QUIET();
	RUN_TO(pit, &pit, 82600000 + 60000000);
	EXPECT(82600000, { 27462701, 0, 0 }, { 54925402, 0, 1 });
}

static void test_control(void **state)
{
	(void)state;
	start(0);
	load(&pit, 3, 1193);
	RUN_TO(pit, &pit, 600000);
	EXPECT(0, { 0, 0, 1 }, { 500343, 0, 0 });
	RUN_TO(pit, &pit, 1100000);
	EXPECT(0, { 999848, 0, 1 });
	pit_irq_control(&pit, false);
	EXPECT(0, { 1100000, 0, 0 });
	assert_int_equal(pit_deadline(&pit), NEVER);
	RUN_TO(pit, &pit, 2100000);
	load(&pit, 3, 1193);
	EXPECT_QUIET();
	RUN_TO(pit, &pit, 2200000);
	pit_irq_control(&pit, true);
	RUN_TO(pit, &pit, 2700000);
	EXPECT(0, { 2200000, 0, 1 }, { 2600343, 0, 0 });
}

/* Without a line nothing is planned. */
static void test_none(void **state)
{
	(void)state;
	now = 0;
	pit = (struct pit){ .clock = clock_now };
	pit_power_on(&pit);
	load(&pit, 2, 1);
	assert_int_equal(pit_deadline(&pit), NEVER);
	now = SECOND * 1000000;
	pit_run(&pit);
	pit_irq_control(&pit, false);
	EXPECT_QUIET();
}

/* --- a PIT that looks at every ns --- */

static struct slow {
	int mode, count;
	uint64_t ns, rest, tick; /* since the load */
	uint64_t look; /* at this tick, or (QEMU) in the ns in which it begins; 0: not any more */
	bool level, off;
	bool seq[NR_EDGES];
	unsigned int nr;
} slow;

static bool slow_out(uint64_t tick)
{
	uint64_t count = slow.count, in = tick % count;

	switch (slow.mode) {
	case 2: return tick && !in;
	case 3: return count & 1 ? in * 2 < count + 1 : in * 2 < count;
	case 4: case 5: return tick == count;
	default: return tick >= count;
	}
}

static uint64_t slow_next(void)
{
	uint64_t n, count = slow.count;

	for (n = slow.tick + 1; n <= slow.tick + 2 * count + 2; n++) {
		switch (slow.mode) {
		case 2:
			if (slow_out(slow.tick) ? n % count == 0 : n > count && n > slow.tick + (count > 1 && slow.tick % count == 0) &&
			    (n - 1) % count == 0)
				return n;
			break;
		case 3:
			if (slow_out(n) != slow_out(slow.tick) || (count == 1 && n > slow.tick))
				return n;
			break;
		case 4: case 5:
			if (n == count || (n == count + 1 && slow.tick == count))
				return n;
			break;
		default:
			if (n == count)
				return n;
		}
	}
	return 0;
}

static void slow_set(bool level)
{
	if (level == slow.level)
		return;
	slow.level = level;
	slow.seq[slow.nr++] = level;
}

static void slow_look(void)
{
	if (slow.off)
		return;
	slow.look = slow_next();
	slow_set(slow_out(slow.tick));
}

static void slow_load(int count)
{
	slow.count = count ? count : 0x10000;
	slow.ns = slow.rest = slow.tick = 0;
	slow_look();
}

static void slow_step(void)
{
	slow.ns++;
	slow.rest += HZ;
	if (slow.rest >= SECOND) {
		slow.rest -= SECOND;
		slow.tick++;
	}
	/* The tick to look at is this one, or begins within this ns. */
	if (slow.look && (slow.ns + 1) * HZ > slow.look * SECOND)
		slow_look();
}

/* Counts that a program of 100 us or so goes through more than once, seldom others. */
static int some_count(void)
{
	switch (rnd() % 8) {
	case 0: return 1 + rnd() % 3;
	case 1: return rnd() % 0x10000;
	default: return 1 + rnd() % 20;
	}
}

static unsigned long total;

static void program(bool late)
{
	int i, count = 0x10000, mode, first, steps = 20 + rnd() % 20;
	unsigned int j;
	uint64_t left;

	start(rnd() % 1000000);
	memset(&slow, 0, offsetof(struct slow, seq));
	slow.nr = 0;
	slow.mode = 3;
	slow.count = count;
	slow.look = slow_next();
	for (i = 0; i < steps; i++) {
		first = nr_edges;
		for (left = rnd() % (rnd() % 2 ? 80000 : 4000); left; left--) {
			now++;
			slow_step();
			if (late ? rnd() % 5000 == 0 : pit_deadline(&pit) <= now)
				pit_run(&pit);
		}
		pit_run(&pit);
		assert_int_equal(nr_edges, slow.nr);
		for (j = first; j < slow.nr; j++)
			assert_int_equal(edges[j].level, slow.seq[j]);
		switch (rnd() % 6) {
		case 0:
			mode = rnd() % 8;
			pit_port_write(&pit, 0x43, 0x30 | mode << 1);
			slow.mode = mode;
			break;
		case 1:
			pit_irq_control(&pit, slow.off);
			slow.off = !slow.off;
			if (slow.off)
				slow_set(false);
			else
				slow_look();
			break;
		default:
			mode = rnd() % 8;
			count = some_count();
			load(&pit, mode, count);
			slow.mode = mode;
			slow_load(count);
		}
	}
	total += nr_edges;
}

static void test_random(void **state)
{
	unsigned long i;

	(void)state;
	seed();
	for (i = 0; i < 300 * scale(); i++)
		program(i % 2);
	printf("# %lu edges\n", total);
	assert_true(total > 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_whole_ns),
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
