// SPDX-License-Identifier: GPL-2.0
/* The PM timer's SCI and the PM1 registers (devices/pmtimer.c): to the ns, and as a slow model has them that counts its carries. */
#include <devices/pmtimer.h>
#include "devices.h"

#define HZ    3579545ULL
#define CARRY 2343484437ULL /* 2^23 ticks, rounded down to ns as QEMU does */

static struct pmtimer pm;
static int slept;

static void sleep_set(void *arg, unsigned int type)
{
	(void)arg;
	slept = type;
}

static void start(uint64_t at, int width)
{
	now = at;
	nr_edges = 0;
	slept = -1;
	pm = (struct pmtimer){ .clock = clock_now, .irq = irq_set, .sleep = sleep_set, .width = width };
	pmtimer_power_on(&pm);
	EXPECT_QUIET();
}

static void out(int reg, int val)
{
	pmtimer_block_write(&pm, reg, val, 2);
}

static int in(int reg)
{
	return pmtimer_block_read(&pm, reg, 2);
}

static void test_carry(void **state)
{
	(void)state;
	start(1000, 24);
	/* What is pending from power-on is cleared first. */
	assert_int_equal(in(PM1_STS), PM1_TMR);
	out(PM1_STS, PM1_TMR);
	assert_int_equal(in(PM1_STS), 0);
	assert_int_equal(pmtimer_deadline(&pm), NEVER);
	out(PM1_EN, PM1_TMR);
	assert_int_equal(pmtimer_deadline(&pm), CARRY);
	RUN_TO(pmtimer, &pm, CARRY - 1);
	EXPECT_QUIET();
	RUN_TO(pmtimer, &pm, CARRY + 1);
	EXPECT(0, { CARRY, 0, 1 });
	assert_int_equal(pmtimer_block_read(&pm, PM_TMR, 4), 0x800000);
	assert_int_equal(pmtimer_deadline(&pm), NEVER);
	/* A carry that is not acknowledged hides the next. */
	RUN_TO(pmtimer, &pm, 3 * SECOND);
	out(PM1_STS, PM1_TMR);
	EXPECT(0, { 3 * SECOND, 0, 0 });
	RUN_TO(pmtimer, &pm, 10 * SECOND);
	EXPECT(0, { 4686968874, 0, 1 });
	out(PM1_STS, PM1_TMR);
	RUN_TO(pmtimer, &pm, 11 * SECOND);
	EXPECT(0, { 10 * SECOND, 0, 0 });
	/* Not enabled, it is status only; enabled then, an interrupt. */
	out(PM1_EN, 0);
	RUN_TO(pmtimer, &pm, 12 * SECOND);
	EXPECT_QUIET();
	assert_int_equal(in(PM1_STS), PM1_TMR);
	out(PM1_EN, PM1_TMR);
	EXPECT(0, { 12 * SECOND, 0, 1 });
	out(PM1_EN, 0);
	EXPECT(0, { 12 * SECOND, 0, 0 });
}

static void test_wide(void **state)
{
	(void)state;
	start(1000, 32);
	out(PM1_STS, PM1_TMR);
	out(PM1_EN, PM1_TMR);
	RUN_TO(pmtimer, &pm, 700 * SECOND);
	EXPECT(0, { 599932015940, 0, 1 });
}

/* Every carry for a day, none of which is late because the one before was served late. */
static void test_drift(void **state)
{
	uint64_t i;

	(void)state;
	seed();
	start(1000, 24);
	out(PM1_STS, PM1_TMR);
	out(PM1_EN, PM1_TMR);
	for (i = 1; i < 86400 * 10 / 23; i++) {
		now = pmtimer_deadline(&pm);
		assert_true((unsigned __int128)now * HZ <= (unsigned __int128)(i << 23) * SECOND);
		assert_true((unsigned __int128)(now + 1) * HZ > (unsigned __int128)(i << 23) * SECOND);
		now += rnd() % SECOND + 1;
		pmtimer_run(&pm);
		assert_int_equal(nr_edges, 1);
		out(PM1_STS, PM1_TMR);
		assert_int_equal(nr_edges, 2);
		nr_edges = 0;
	}
}

static void test_stop(void **state)
{
	(void)state;
	start(1000, 24);
	out(PM1_STS, PM1_TMR);
	out(PM1_EN, PM1_TMR);
	RUN_TO(pmtimer, &pm, SECOND);
	pmtimer_stop(&pm);
	assert_int_equal(pmtimer_deadline(&pm), NEVER);
	RUN_TO(pmtimer, &pm, 5 * SECOND);
	EXPECT_QUIET();
	pmtimer_start(&pm);
	RUN_TO(pmtimer, &pm, 10 * SECOND);
	EXPECT(0, { CARRY + 4 * SECOND, 0, 1 });
}

static void test_registers(void **state)
{
	(void)state;
	start(1234567, 24);
	/* A power button that nobody asked for is not told. */
	pmtimer_power_button(&pm);
	assert_int_equal(in(PM1_STS) & PM1_PWRBTN, 0);
	out(PM1_EN, PM1_PWRBTN);
	assert_int_equal(in(PM1_EN), PM1_PWRBTN);
	pmtimer_power_button(&pm);
	EXPECT(0, { 1234567, 0, 1 });
	assert_int_equal(in(PM1_STS), PM1_PWRBTN | PM1_TMR);
	out(PM1_STS, PM1_TMR);
	EXPECT_QUIET();
	out(PM1_STS, PM1_PWRBTN);
	EXPECT(0, { 1234567, 0, 0 });
	/* SCI_EN stays; SLP_EN is not stored. */
	assert_int_equal(in(PM1_CNT), PM1_SCI_EN);
	out(PM1_CNT, 5 << 10);
	assert_int_equal(slept, -1);
	assert_int_equal(in(PM1_CNT), PM1_SCI_EN | 5 << 10);
	out(PM1_CNT, PM1_SLP_EN | 7 << 10);
	assert_int_equal(slept, 7);
	assert_int_equal(in(PM1_CNT), PM1_SCI_EN | 7 << 10);
	pmtimer_block_write(&pm, PM1_CNT + 1, (PM1_SLP_EN | 3 << 10) >> 8, 1);
	assert_int_equal(slept, 3);
	assert_int_equal(pmtimer_block_read(&pm, PM1_CNT + 1, 1), 3 << 2);
	/* 4419 ticks = 0x1143, from whichever byte. */
	assert_int_equal(pmtimer_block_read(&pm, PM_TMR, 4), 0x1143);
	assert_int_equal(pmtimer_block_read(&pm, PM_TMR + 2, 2), 0x1143);
	assert_int_equal(pmtimer_block_read(&pm, PM_TMR + 3, 1), 0x43);
	pmtimer_block_write(&pm, PM_TMR, 0, 4);
	assert_int_equal(pmtimer_block_read(&pm, PM_TMR, 4), 0x1143);
	/* What is not there, and high bytes, which QEMU drops. */
	assert_int_equal(in(6), 0);
	assert_int_equal(pmtimer_block_read(&pm, PM1_EN + 1, 1), 0);
	pmtimer_reset(&pm);
	assert_int_equal(in(PM1_EN), 0);
	assert_int_equal(in(PM1_CNT), PM1_SCI_EN);
	EXPECT_QUIET();
}

/* Without a line there is nothing that happens by itself, but the status. */
static void test_none(void **state)
{
	(void)state;
	start(1000, 24);
	pm.irq = NULL;
	out(PM1_STS, PM1_TMR);
	out(PM1_EN, PM1_TMR);
	assert_int_equal(pmtimer_deadline(&pm), NEVER);
	now = 3 * SECOND;
	assert_int_equal(in(PM1_STS), PM1_TMR);
	EXPECT_QUIET();
}

static unsigned long total;

/* The status counts carries: those up to now, and those that there were when it was cleared. */
static void program(bool late)
{
	uint64_t carries = 0, cleared = 0, to;
	bool status = true, level = false;
	int i, enabled = 0;

	start(rnd() % (100 * SECOND), 24);
	while (((unsigned __int128)(carries + 1) << 23) * SECOND / HZ <= now)
		carries++;
	for (i = 0; i < 30; i++) {
		to = now + rnd() % (3 * SECOND);
		while (now < to) {
			now = late || pmtimer_deadline(&pm) > to ? now + rnd() % (to - now + 1) : pmtimer_deadline(&pm);
			pmtimer_run(&pm);
			while (((unsigned __int128)(carries + 1) << 23) * SECOND / HZ <= now)
				carries++;
			status = status || carries > cleared;
			if (level != (status && enabled)) {
				level = !level;
				expect_edges(&(struct edge){ now, 0, level }, 1, 0);
				total++;
			}
			EXPECT_QUIET();
		}
		if (rnd() % 2) {
			out(PM1_STS, PM1_TMR);
			status = false;
			/* In the ns before the tick of a carry QEMU sees the same carry again. */
			cleared = pmtimer_ticks(&pm, now) >> 23;
			status = carries > cleared;
		} else {
			enabled = rnd() % 4 ? PM1_TMR : 0;
			out(PM1_EN, enabled);
		}
		if (level != (status && enabled)) {
			level = !level;
			expect_edges(&(struct edge){ now, 0, level }, 1, 0);
			total++;
		}
		/* Down and up again, when it is seen again. */
		if (nr_edges == 2)
			nr_edges = 0;
		EXPECT_QUIET();
		assert_int_equal(in(PM1_STS), status ? PM1_TMR : 0);
	}
}

static void test_random(void **state)
{
	unsigned long i;

	(void)state;
	seed();
	for (i = 0; i < 5000 * scale(); i++)
		program(i % 2);
	printf("# %lu edges\n", total);
	assert_true(total > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_carry),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
