// SPDX-License-Identifier: GPL-2.0
/* The RTC's IRQ8 (devices/rtc.c): to the ns, and as a slow model has it that goes by the 32768th of a second. */
#include <devices/rtc.h>
#include "devices.h"

#define HZ    32768ULL
#define START (1700000000 * SECOND)

enum { SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, REG_A = 10, REG_B, REG_C };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, H24 = 0x02 };
enum { IRQF = 0x80, PF = 0x40, AF = 0x20, UF = 0x10 };

static struct rtc rtc;

static void out(int reg, int val)
{
	rtc_port_write(&rtc, 0x70, reg);
	rtc_port_write(&rtc, 0x71, val);
}

static int in(int reg)
{
	rtc_port_write(&rtc, 0x70, reg);
	return rtc_port_read(&rtc, 0x71);
}

/* On a day that is one of 2023, @second of it. */
static void start(uint64_t at, int second)
{
	now = at;
	nr_edges = 0;
	rtc = (struct rtc){ .clock = clock_now, .irq = irq_set };
	rtc_power_on(&rtc, 1699920000 + second);
	EXPECT_QUIET();
}

static int bcd(int n)
{
	return n < 0 ? 0xc0 : n / 10 << 4 | n % 10;
}

#define AT(h, m, s) ((h) * 3600 + (m) * 60 + (s))

/* The alarm, -1: any; and seconds until it comes. */
static const struct alarm {
	int now, hour, min, sec, in;
} alarms[] = {
	{ AT(12, 0, 0), 12, 0, 1, 1 },
	{ AT(12, 0, 0), 12, 1, 0, 60 },
	{ AT(12, 0, 0), 11, 59, 59, 86399 },
	{ AT(12, 0, 0), 12, 0, 0, 86400 },
	{ AT(23, 59, 59), 0, 0, 0, 1 },
	{ AT(23, 59, 58), 23, 59, 59, 1 },
	{ AT(12, 34, 56), -1, -1, -1, 1 },
	{ AT(12, 34, 56), -1, -1, 56, 60 },
	{ AT(12, 34, 56), -1, -1, 57, 1 },
	{ AT(12, 34, 56), -1, -1, 55, 59 },
	{ AT(12, 34, 56), -1, 34, 56, 3600 },
	{ AT(12, 34, 56), -1, 34, -1, 1 },
	{ AT(12, 34, 59), -1, 34, -1, 3541 },
	{ AT(12, 59, 59), -1, 34, -1, 2041 },
	{ AT(12, 34, 56), -1, 33, 7, 3491 },
	{ AT(12, 34, 56), 12, -1, -1, 1 },
	{ AT(12, 59, 59), 12, -1, -1, 82801 },
	{ AT(12, 34, 56), 12, -1, 10, 14 },
	{ AT(12, 59, 56), 12, -1, 10, 82814 },
	{ AT(12, 34, 56), 13, -1, -1, 1504 },
	{ AT(12, 34, 56), 12, 34, -1, 1 },
	{ AT(12, 34, 59), 12, 34, -1, 86341 },
	{ AT(12, 34, 56), 5, -1, 30, 59134 },
};

static void test_alarm(void **state)
{
	const struct alarm *a;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(alarms); i++) {
		a = &alarms[i];
		start(START, a->now);
		out(SEC_ALARM, bcd(a->sec));
		out(MIN_ALARM, bcd(a->min));
		out(HOUR_ALARM, bcd(a->hour));
		out(REG_B, AIE | H24);
		RUN_TO(rtc, &rtc, START + a->in * SECOND - 1);
		EXPECT_QUIET();
		RUN_TO(rtc, &rtc, START + a->in * SECOND);
		expect_edges(&(struct edge){ a->in * SECOND, 0, 1 }, 1, START);
		assert_int_equal(in(REG_C), IRQF | AF | UF);
		expect_edges(&(struct edge){ a->in * SECOND, 0, 0 }, 1, START);
		assert_int_equal(in(REG_C), 0);
	}
}

static void test_update(void **state)
{
	(void)state;
	start(START + 300000000, 0);
	out(REG_B, UIE | H24);
	RUN_TO(rtc, &rtc, START + 1300000000 - 1);
	EXPECT_QUIET();
	/* One, and no other until register C was read. */
	RUN_TO(rtc, &rtc, START + 3500000000);
	EXPECT(START, { 1300000000, 0, 1 });
	assert_int_equal(in(REG_C), IRQF | UF);
	EXPECT(START, { 3500000000, 0, 0 });
	RUN_TO(rtc, &rtc, START + 4300000000);
	EXPECT(START, { 4300000000, 0, 1 });
	/* Masked and unmasked, with the flag set. */
	out(REG_B, H24);
	EXPECT(START, { 4300000000, 0, 0 });
	out(REG_B, UIE | H24);
	EXPECT(START, { 4300000000, 0, 1 });
	/* SET takes UIE away; the seconds begin where they did. */
	out(REG_B, SET | UIE | H24);
	EXPECT(START, { 4300000000, 0, 0 });
	assert_int_equal(in(REG_B), SET | H24);
	RUN_TO(rtc, &rtc, START + 4700000000);
	assert_int_equal(in(REG_C), UF);
	out(REG_B, UIE | H24);
	RUN_TO(rtc, &rtc, START + 5300000000);
	EXPECT(START, { 5300000000, 0, 1 });
	/* A divider in reset stops it; the first second after that is half a one. */
	in(REG_C);
	out(REG_A, 0x66);
	RUN_TO(rtc, &rtc, START + 8000000000);
	EXPECT(START, { 5300000000, 0, 0 });
	assert_int_equal(rtc_deadline(&rtc), NEVER);
	out(REG_A, 0x26);
	RUN_TO(rtc, &rtc, START + 8500000000);
	EXPECT(START, { 8500000000, 0, 1 });
	/* The machine's reset lowers it, and leaves UIE. */
	rtc_reset(&rtc);
	EXPECT(START, { 8500000000, 0, 0 });
	RUN_TO(rtc, &rtc, START + 9500000000);
	EXPECT(START, { 9500000000, 0, 1 });
}

/* From a clock of 0 on, and at a rate: three times. */
static const struct rate {
	int rate;
	uint64_t at[3];
} rates[] = {
	{ 1, { 3906251, 7812501, 11718751 } },
	{ 2, { 7812501, 15625001, 23437501 } },
	{ 3, { 122071, 244141, 366211 } },
	{ 4, { 244141, 488282, 732422 } },
	{ 5, { 488282, 976563, 1464844 } },
	{ 6, { 976563, 1953126, 2929688 } },
	{ 7, { 1953126, 3906251, 5859376 } },
	{ 8, { 3906251, 7812501, 11718751 } },
	{ 9, { 7812501, 15625001, 23437501 } },
	{ 10, { 15625001, 31250001, 46875001 } },
	{ 11, { 31250001, 62500001, 93750001 } },
	{ 12, { 62500001, 125000001, 187500001 } },
	{ 13, { 125000001, 250000001, 375000001 } },
	{ 14, { 250000001, 500000001, 750000001 } },
	{ 15, { 500000001, 1000000001, 1500000001 } },
};

static void test_rates(void **state)
{
	unsigned int i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rates); i++) {
		start(0, 0);
		out(REG_A, 0x20 | rates[i].rate);
		out(REG_B, PIE | H24);
		for (j = 0; j < 3; j++) {
			RUN_TO(rtc, &rtc, rates[i].at[j]);
			assert_int_equal(in(REG_C) & (IRQF | PF), IRQF | PF);
			expect_edges((struct edge[]){ { rates[i].at[j], 0, 1 }, { rates[i].at[j], 0, 0 } }, 2, 0);
		}
		/* No rate, no interrupt. */
		out(REG_A, 0x20);
		RUN_TO(rtc, &rtc, now + SECOND);
		EXPECT_QUIET();
	}
}

static void test_drift(void **state)
{
	uint64_t i, n = START / SECOND * HZ;

	(void)state;
	seed();
	start(START, 0);
	out(REG_A, 0x26);
	out(REG_B, PIE | H24);
	for (i = 1; i <= 100000; i++) {
		/* There are updates, too: flags without an edge. */
		while (!nr_edges) {
			now = rtc_deadline(&rtc);
			rtc_run(&rtc);
		}
		/* Acknowledged late, but for that on time. */
		now += rnd() % 900000;
		in(REG_C);
		assert_int_equal(nr_edges, 2);
		assert_int_equal(edges[0].at, (unsigned __int128)(n + 32 * i) * SECOND / HZ + 1);
		nr_edges = 0;
	}
}

static void test_late(void **state)
{
	(void)state;
	start(0, 0);
	out(REG_A, 0x26);
	out(REG_B, PIE | UIE | H24);
	now = 3 * SECOND + 100;
	rtc_run(&rtc);
	rtc_run(&rtc);
	EXPECT(0, { 3 * SECOND + 100, 0, 1 });
	assert_int_equal(in(REG_C), IRQF | PF | UF);
	RUN_TO(rtc, &rtc, 3 * SECOND + 976563);
	EXPECT(0, { 3 * SECOND + 100, 0, 0 }, { 3 * SECOND + 976563, 0, 1 });
	in(REG_C);
	/* A new rate counts from the last interrupt; if that is too long ago, at once. */
	now += 500000;
	out(REG_A, 0x25);
	assert_int_equal(rtc_deadline(&rtc), 3 * SECOND + 976563 + 488281);
	now -= 100000;
	out(REG_A, 0x2a);
	assert_int_equal(rtc_deadline(&rtc), 3 * SECOND + 976563 + 15625000);
	nr_edges = 0;
}

/* What is not to come is not waited for. */
static void test_deadline(void **state)
{
	(void)state;
	start(START, AT(10, 0, 0));
	out(SEC_ALARM, 0x05);
	out(MIN_ALARM, 0xc0);
	out(HOUR_ALARM, 0xc0);
	assert_int_equal(rtc_deadline(&rtc), START + SECOND);
	RUN_TO(rtc, &rtc, START + SECOND);
	/* The update's flag is set; the alarm's is not. */
	assert_int_equal(rtc_deadline(&rtc), START + 5 * SECOND);
	out(REG_B, SET | H24);
	assert_int_equal(rtc_deadline(&rtc), NEVER);
	out(REG_B, H24);
	assert_int_equal(rtc_deadline(&rtc), START + 5 * SECOND);
	RUN_TO(rtc, &rtc, START + 6 * SECOND);
	assert_int_equal(rtc_deadline(&rtc), NEVER);
	assert_int_equal(in(REG_C), AF | UF);
	assert_int_equal(rtc_deadline(&rtc), START + 7 * SECOND);
	/* A new rate, and more than its period has gone by: at once, which is the tick that began last. */
	start(0, 0);
	out(REG_A, 0x2f);
	out(REG_B, PIE | H24);
	RUN_TO(rtc, &rtc, 500000001 + 300000000);
	out(REG_A, 0x26);
	assert_int_equal(rtc_deadline(&rtc), 799987793);
}

/* --- an RTC that goes tick by tick --- */

static struct slow {
	uint64_t tick, next, every, ns;
	int second; /* of the day */
	int alarm[3]; /* sec, min, hour; -1: any */
	int b, c;
} slow;

static bool slow_level(void)
{
	return slow.b & slow.c & (PF | AF | UF);
}

static void slow_to(uint64_t ns)
{
	/* Whole ticks, the next of which begins after @ns. */
	while ((unsigned __int128)(slow.tick + 1) * SECOND / HZ + 1 <= ns) {
		slow.tick++;
		if (slow.every && slow.tick == slow.next) {
			slow.c |= PF;
			slow.next += slow.every;
		}
	}
	while (slow.ns + SECOND <= ns) {
		slow.ns += SECOND;
		slow.second = (slow.second + 1) % 86400;
		slow.c |= UF;
		if ((slow.alarm[0] < 0 || slow.alarm[0] == slow.second % 60) &&
		    (slow.alarm[1] < 0 || slow.alarm[1] == slow.second / 60 % 60) &&
		    (slow.alarm[2] < 0 || slow.alarm[2] == slow.second / 3600))
			slow.c |= AF;
	}
}

static unsigned long total, shown;

static void program(bool late)
{
	static const int per[] = { 0, 128, 256, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384 };
	int i, b, val, rate = 6, steps = 20 + rnd() % 30;
	uint64_t to;
	bool level = false;

	start(START + rnd() % (1000 * SECOND), rnd() % 86400);
	memset(&slow, 0, sizeof(slow));
	slow.second = AT(in(HOUR) / 16 * 10 + in(HOUR) % 16, in(MIN) / 16 * 10 + in(MIN) % 16, in(SEC) / 16 * 10 + in(SEC) % 16);
	slow.ns = now;
	slow.tick = (unsigned __int128)now * HZ / SECOND;
	slow.b = H24;
	for (i = 0; i < steps; i++) {
		to = now + rnd() % (rnd() % 4 ? 100000000 : 2 * SECOND);
		while (now < to) {
			if (late)
				now += rnd() % (to - now + 1);
			else
				now = rtc_deadline(&rtc) < to ? rtc_deadline(&rtc) : to;
			if (rnd() % 8 == 0)
				now = to;
			rtc_run(&rtc);
			slow_to(now);
			if (slow_level() != level) {
				level = slow_level();
				assert_in_range(nr_edges, 1, 1);
				expect_edges(&(struct edge){ now, 0, level }, 1, 0);
			}
			EXPECT_QUIET();
			assert_int_equal(rtc.cmos[REG_C] & (PF | AF | UF), slow.c);
		}
		switch (rnd() % 5) {
		case 0:
			b = (rnd() & (PIE | AIE | UIE)) | H24;
			if ((b ^ slow.b) & PIE) {
				slow.every = b & PIE ? per[rate] : 0;
				slow.next = (unsigned __int128)now * HZ / SECOND + slow.every;
			}
			slow.b = b;
			out(REG_B, b);
			break;
		case 1:
			rate = 3 + rnd() % 13;
			if (slow.b & PIE)
				break;
			out(REG_A, 0x20 | rate);
			break;
		case 2:
			val = rnd() % 3;
			slow.alarm[val] = rnd() % 2 ? -1 : (int)(rnd() % (val < 2 ? 60 : 24));
			out(SEC_ALARM + 2 * val, bcd(slow.alarm[val]));
			break;
		default:
			assert_int_equal(in(REG_C), slow.c | (slow_level() ? IRQF : 0));
			slow.c = 0;
			shown++;
		}
		if (slow.b & PIE)
			rate = rtc.cmos[REG_A] & 15;
		if (slow_level() != level) {
			level = slow_level();
			expect_edges(&(struct edge){ now, 0, level }, 1, 0);
			total++;
		}
		EXPECT_QUIET();
	}
}

static void test_random(void **state)
{
	unsigned long i;

	(void)state;
	seed();
	for (i = 0; i < 1000 * scale(); i++)
		program(i % 2);
	printf("# %lu changes by the guest, %lu looks at the flags\n", total, shown);
	assert_true(total > 1000 && shown > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
