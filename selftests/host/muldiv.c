// SPDX-License-Identifier: GPL-2.0
/* Conversions between ns and ticks without 128-bit arithmetic, against 128-bit arithmetic. */
#include "host.h"
#include <iofilter/clock_sample.h>

typedef unsigned __int128 u128;

static const __u64 freqs[] = { 1, 1193181, 1193182, 3579545, 10000000, 14318180, 100000000, 1000000000, 9199999999 };

static void check(__u64 ns, __u64 freq)
{
	u128 ticks = (u128)ns * freq / IOFILTER_NSEC_PER_SEC;

	if (ticks < 1ULL << 63 && iofilter_ns_to_ticks(ns, freq) != ticks)
		fail_msg("%llu ns at %llu Hz: wanted %llu ticks, got %llu", ns, freq, (__u64)ticks,
			 iofilter_ns_to_ticks(ns, freq));
}

static void check_inverse(__u64 ticks, __u64 freq)
{
	u128 ns = ((u128)ticks * IOFILTER_NSEC_PER_SEC + freq - 1) / freq;
	__u64 got;

	if (ns >= 1ULL << 63)
		return;
	got = iofilter_ticks_to_ns(ticks, freq);
	if (got != ns)
		fail_msg("%llu ticks at %llu Hz: wanted %llu ns, got %llu", ticks, freq, (__u64)ns, got);
	/* Faster than 1 GHz, several ticks share a ns. */
	if (freq <= IOFILTER_NSEC_PER_SEC)
		assert_true(iofilter_ns_to_ticks(got, freq) == ticks);
	if (got && freq <= IOFILTER_NSEC_PER_SEC)
		assert_true(iofilter_ns_to_ticks(got - 1, freq) == ticks - 1);
}

static void edges(void **state)
{
	const __u64 ns[] = { 0, 1, 999999999, 1000000000, 1000000001, (1ULL << 63) - 1 };
	unsigned int f, i;

	(void)state;
	for (f = 0; f < ARRAY_SIZE(freqs); f++) {
		for (i = 0; i < ARRAY_SIZE(ns); i++) {
			check(ns[i], freqs[f]);
			check_inverse(ns[i], freqs[f]);
		}
		for (i = 0; i < 1000; i++) {
			check((1ULL << 32) * i, freqs[f]);
			check((1ULL << 32) * i - 1 + !i, freqs[f]);
			check_inverse(((__u64)i << 24) + i, freqs[f]);
		}
	}
}

static void random_values(void **state)
{
	__u64 n = 1000000 * scale();

	(void)state;
	seed();
	while (n--) {
		__u64 freq = n & 1 ? freqs[rnd() % ARRAY_SIZE(freqs)] : 1 + rnd() % 9199999999;
		__u64 x = rnd() >> (1 + rnd() % 63);

		check(x, freq);
		check_inverse(x, freq);
	}
}

/* The short cut with a known second: any second gives the same, the right ones with one division. */
static void seconds(void **state)
{
	__u64 n = 1000000 * scale();

	(void)state;
	seed();
	while (n--) {
		__u64 freq = n & 1 ? freqs[rnd() % (ARRAY_SIZE(freqs) - 1)] : 1 + rnd() % 4000000000;
		__u64 virt = rnd() >> (1 + rnd() % 30), second = virt / IOFILTER_NSEC_PER_SEC - rnd() % 4;
		u128 ticks = (u128)virt * freq / IOFILTER_NSEC_PER_SEC;

		if (n % 16 == 0)
			second += rnd() % 8;
		if (ticks < 1ULL << 63 && iofilter_second_to_ticks(second, virt, freq) != ticks)
			fail_msg("%llu ns at %llu Hz, second %llu: wanted %llu ticks, got %llu", virt, freq, second, (__u64)ticks,
				 iofilter_second_to_ticks(second, virt, freq));
	}
}

static void masks(void **state)
{
	(void)state;
	assert_true(iofilter_width_mask(8) == 0xff);
	assert_true(iofilter_width_mask(24) == 0xffffff);
	assert_true(iofilter_width_mask(32) == 0xffffffff);
	assert_true(iofilter_width_mask(64) == ~0ULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges),
		cmocka_unit_test(random_values),
		cmocka_unit_test(seconds),
		cmocka_unit_test(masks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
