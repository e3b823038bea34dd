// SPDX-License-Identifier: GPL-2.0
/*
 * A mapped counter's arithmetic, its changes and its alarms, against 128-bit numbers that are never split: an oracle that keeps the
 * counter as the number of fractions of a tick since it was last set, and counts alarms one tick at a time where they are few.
 */
#include <stdbool.h>
#include "host.h"
#include "saverestore.h"
#include <iofilter/mapctl.h>
#include "../../loader/lib/map.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

static __u64 checks, refused, alarms, wraps;

/* The oracle. */
static struct oracle {
	u128 at, start, frac, num, den, modulus, compare, expired;
	bool running, armed;
	int alarm;
} or;

static u128 or_fracs(__u64 t)
{
	return or.frac + (or.running ? (t - or.at) * or.num : 0);
}

static __u64 or_value(__u64 t)
{
	return (or.start + or_fracs(t) / or.den) % or.modulus;
}

static __u64 or_alarms(__u64 t)
{
	u128 ticks = or_fracs(t) / or.den, i, n = 0;

	if (!or.alarm)
		return 0;
	if (ticks < 2000) {
		for (i = 1; i <= ticks; i++)
			n += (or.start + i) % or.modulus == or.compare;
	} else {
		/* How often compare + k * modulus lies in (start, start + ticks]; a modulus is added so that nothing is negative. */
		n = (or.start + ticks + or.modulus - or.compare) / or.modulus - (or.start + or.modulus - or.compare) / or.modulus;
	}
	return or.alarm == IOFILTER_MAP_ALARM_ONCE ? or.armed && n : n;
}

static void or_advance(__u64 t)
{
	u128 fracs = or_fracs(t), n = or_alarms(t);

	or.expired += n;
	or.armed = or.armed && !n;
	or.start = (or.start + fracs / or.den) % or.modulus;
	or.frac = fracs % or.den;
	or.at = t;
}

/* The counter under test. */
static struct iofilter_map map;

static void check(__u64 t)
{
	struct map_set s = mapctl_set(&map), later;
	__u64 v, at = t, next, n;

	checks++;
	assert_int_equal(map_value(&map, t, &v), 0);
	if (v != or_value(t))
		fail_msg("at +%llu: wanted %llu, got %llu", (__u64)(t - or.at), or_value(t), v);
	assert_int_equal(mapctl_look(&map, &later, &at), 0);
	assert_true(at == t);
	n = mapctl_alarms(&s, t);
	if (n != or_alarms(t))
		fail_msg("alarms at +%llu: wanted %llu, got %llu", (__u64)(t - or.at), or_alarms(t), n);
	alarms += n;
	wraps += or_fracs(t) / or.den + or.start >= or.modulus;
	/* The next alarm is the first ns at which there is one more. */
	next = mapctl_next_alarm(&s, t);
	if (next == MAP_NEVER) {
		if (or_alarms(t + (1ULL << 50)) != n && or.modulus < (u128)1 << 40)
			fail_msg("an alarm is said never to come");
		return;
	}
	if (next <= t || or_alarms(next) <= n || or_alarms(next - 1) != n)
		fail_msg("at +%llu the next alarm is said to come at +%llu: %llu alarms then, %llu before, %llu now", (__u64)(t - or.at),
			 (__u64)(next - or.at), or_alarms(next), or_alarms(next - 1), n);
}

static __u64 some(int bits)
{
	return rnd() >> (64 - bits + rnd() % bits);
}

static __u64 some_freq(void)
{
	static const __u64 freqs[] = { 1, 1193182, 3579545, 10000000, 100000000, 1000000000, MAP_FREQ_MAX };

	return rnd() % 2 ? freqs[rnd() % ARRAY_SIZE(freqs)] : 1 + rnd() % MAP_FREQ_MAX;
}

static void some_change(struct iofilter_map_opts *c)
{
	u128 modulus;

	*c = (struct iofilter_map_opts){ .size = sizeof(*c), .fields = rnd() & rnd() & 0x1ff };
	if (c->fields & IOFILTER_MAP_FREQ)
		c->fields &= ~IOFILTER_MAP_DIVIDER;
	c->freq = rnd() % 64 ? some_freq() : rnd() % 2 ? 0 : MAP_FREQ_MAX + 1;
	c->divider = rnd() % 64 ? 1 + some(59) : 0;
	c->width = rnd() % 64 ? 1 + rnd() % (8 * map.len) : 65;
	c->run = rnd() % 4 != 0;
	c->reload = rnd() % 2 ? 0 : some(c->fields & IOFILTER_MAP_WIDTH && c->width < 64 ? c->width : rnd() % 2 ? 8 : 63);
	modulus = c->fields & IOFILTER_MAP_RELOAD && c->reload		      ? c->reload :
		  c->fields & IOFILTER_MAP_WIDTH && c->width < 64 && c->width ? (u128)1 << c->width :
										or.modulus;
	c->value = rnd() % modulus;
	c->compare = rnd() % 3 ? rnd() % modulus : (__u64)or.start;
	c->offset = rnd() % 2 ? (__s64)some(64) : -(__s64)some(63);
	c->alarm = rnd() % 3;
}

/* What the change does to the oracle. Return: false if it must be refused. */
static bool or_apply(struct oracle *o, const struct iofilter_map_opts *c, __u32 *width, __u64 *reload)
{
	u128 fracs;

	if (c->fields & IOFILTER_MAP_FREQ && (!c->freq || c->freq > MAP_FREQ_MAX))
		return false;
	if (c->fields & IOFILTER_MAP_DIVIDER && (!c->divider || c->divider > MAP_DIVIDER_MAX))
		return false;
	if (c->fields & (IOFILTER_MAP_FREQ | IOFILTER_MAP_DIVIDER)) {
		u128 den = c->fields & IOFILTER_MAP_FREQ ? 1000000000 : c->divider;

		o->frac = o->frac * den / o->den;
		o->num = c->fields & IOFILTER_MAP_FREQ ? c->freq : 1;
		o->den = den;
	}
	if (c->fields & IOFILTER_MAP_WIDTH) {
		if (!c->width || c->width > 64 || c->width > map.len * 8)
			return false;
		*width = c->width;
	}
	if (c->fields & IOFILTER_MAP_RELOAD)
		*reload = c->reload;
	if (*reload == 1 || *reload > (u128)1 << *width)
		return false;
	o->modulus = *reload ? *reload : (u128)1 << *width;
	o->start %= o->modulus;
	if ((c->fields & (IOFILTER_MAP_VALUE | IOFILTER_MAP_OFFSET)) == (IOFILTER_MAP_VALUE | IOFILTER_MAP_OFFSET))
		return false;
	if (c->fields & IOFILTER_MAP_VALUE) {
		if (c->value >= o->modulus)
			return false;
		o->start = c->value;
		o->frac = 0;
	}
	if (c->fields & IOFILTER_MAP_OFFSET) {
		s128 sum;

		fracs = o->at * o->num;
		sum = (s128)(fracs / o->den) + c->offset;
		/* Of a negative number C's remainder is negative. */
		o->start = (sum % (s128)o->modulus + (s128)o->modulus) % (s128)o->modulus;
		o->frac = fracs % o->den;
	}
	if (c->fields & IOFILTER_MAP_COMPARE)
		o->compare = c->compare;
	if (c->fields & IOFILTER_MAP_ALARM) {
		o->alarm = c->alarm;
		o->armed = c->alarm == IOFILTER_MAP_ALARM_ONCE;
	}
	if (o->compare >= o->modulus) {
		if (c->fields & IOFILTER_MAP_COMPARE || o->alarm)
			return false;
		o->compare = 0;
	}
	if (c->fields & IOFILTER_MAP_RUN)
		o->running = c->run;
	return true;
}

static __u32 or_width;
static __u64 or_reload;

static void change(__u64 t)
{
	struct iofilter_map_opts c;
	struct map_set s = mapctl_set(&map);
	struct oracle to;
	__u32 width = or_width;
	__u64 reload = or_reload, seq = map.seq;
	bool good;

	some_change(&c);
	or_advance(t);
	to = or;
	good = or_apply(&to, &c, &width, &reload);
	mapctl_advance(&s, t);
	if (s.expired != (__u64)or.expired)
		fail_msg("alarms so far: wanted %llu, got %llu", (__u64)or.expired, s.expired);
	if (!map_apply(&map, &s, &c) != good)
		fail_msg("fields %#x, width %u, reload %llu, value %llu, compare %llu: wanted it %s: %s", c.fields, c.width, c.reload, c.value,
			 c.compare, good ? "taken" : "refused", good ? iofilter_error() : "");
	if (!good) {
		refused++;
		/* Only described anew. */
		s = mapctl_set(&map);
		mapctl_advance(&s, t);
	} else {
		or = to;
		or_width = width;
		or_reload = reload;
	}
	mapctl_announce(&map, t);
	assert_true(mapctl_close(&map, t) >= t);
	mapctl_publish(&map, &s);
	assert_int_equal(map.seq, seq + 2);
}

static void place(struct iofilter_map *m, __u32 len, __u64 freq, __u64 t)
{
	struct iofilter_map_opts o = {
		.size = sizeof(o),
		.kind = IOFILTER_MAP_COUNTER,
		.range = { .addr = 0x608, .len = len, .bus = KVM_IOFILTER_PIO },
		.fields = IOFILTER_MAP_FREQ,
		.freq = freq,
	};

	memset(m, 0, sizeof(*m));
	assert_int_equal(map_place(m, &o), 0);
	m->sets[0].at = t;
	assert_int_equal(map_apply(m, &m->sets[0], &o), 0);
}

static void begin(__u32 len, __u64 t)
{
	__u64 freq = some_freq();

	place(&map, len, freq, t);
	or_width = len * 8;
	or_reload = 0;
	or = (struct oracle){
		.at = t, .num = freq, .den = 1000000000, .modulus = (u128)1 << or_width, .running = true,
	};
}

/*
 * Saved, and later restored into a new map: it goes on from what it showed. How many alarms there were stays behind, for whoever waits for
 * those of the new one has not seen any.
 */
static void save_and_restore(__u64 t)
{
	static struct iofilter_map fresh;
	__u64 later = some(40);

	place(&fresh, map.len, 1000000, t);
	restore_now = t;
	registers_move("map", &map, &fresh, later);
	restore_now = 0;
	map = fresh;
	or_advance(t);
	/* At a time that no reader's clock has come to. */
	or.at = mapctl_set(&map).at;
	assert_in_range(or.at - t - later, 0, IOFILTER_TOLERANCE_NS);
	or.expired = 0;
}

/* Sequences of changes; between them reads soon, later, and after up to 70 years. */
static void sequences(void **state)
{
	__u64 rounds = restore_mutant ? 500 : 20000 * scale(), t;
	int i, j;

	(void)state;
	seed();
	while (rounds--) {
		t = some(60);
		begin(1 + rnd() % 8, t);
		for (i = 0; i < 12; i++) {
			for (j = 0; j < 6; j++)
				check(or.at + some(rnd() % 8 ? 1 + rnd() % 40 : 60));
			t = or.at + some(1 + rnd() % (rnd() % 8 ? 40 : 54));
			check(t);
			change(t);
			check(t);
			if (t && !(rnd() % 4)) {
				save_and_restore(t);
				check(or.at);
			}
		}
		restore_count.programs++;
	}
	printf("# %llu reads and alarms compared, %llu changes refused, %llu alarms, %llu wraps\n", checks, refused, alarms, wraps);
	if (restore_mutant)
		return;
	restore_print("map");
	assert_true(refused > 1000 && alarms > 10000 && wraps > 10000 && restore_count.saves > 1000);
}

/* Each ns of some short lives, with an oracle that steps: no formula at all. */
static void steps(void **state)
{
	__u64 rounds = 300 * scale(), t, n, v = 0, value, told, seen;
	struct map_set s;
	u128 frac;

	(void)state;
	seed();
	while (rounds--) {
		begin(1 + rnd() % 2, 1000);
		s = map.sets[0];
		s.num = 1 + rnd() % 30;
		s.den = 1 + rnd() % 20;
		s.reload = rnd() % 2 ? 2 + rnd() % 200 : 0;
		s.width = 8 * map.len;
		s.mask = iofilter_width_mask(s.width);
		s.value = value = rnd() % (s.reload ?: 256);
		s.compare = rnd() % (s.reload ?: 256);
		s.alarm = IOFILTER_MAP_ALARM_PERIODIC;
		s.frac = frac = rnd() % s.den;
		map.sets[0] = s;
		n = told = 0;
		for (t = 1000; t < 6000; t++) {
			assert_int_equal(map_value(&map, t, &v), 0);
			seen = mapctl_alarms(&s, t);
			if (v != value || seen != n)
				fail_msg("ns %llu: wanted %llu and %llu alarms, got %llu and %llu", t, value, n, v, seen);
			/* Who waits is told at this very ns. */
			if (n != told)
				assert_true(mapctl_next_alarm(&s, t - 1) == t);
			told = n;
			for (frac += s.num; frac >= s.den; frac -= s.den) {
				value = (value + 1) % (s.reload ?: (u128)s.mask + 1);
				n += value == s.compare;
			}
		}
	}
}

static void by_hand(void **state)
{
	struct iofilter_map_opts o = {
		.size = sizeof(o),
		.kind = IOFILTER_MAP_COUNTER,
		.range = { .addr = 0x608, .len = 4, .bus = KVM_IOFILTER_PIO },
		.fields = IOFILTER_MAP_FREQ | IOFILTER_MAP_WIDTH,
		.freq = 3579545,
		.width = 24,
	};
	__u64 v, frac = 0;

	(void)state;
	/* The PM timer wraps after 2^24 / 3579545 s, rounded up to a ns. */
	memset(&map, 0, sizeof(map));
	assert_int_equal(map_place(&map, &o), 0);
	assert_int_equal(map_apply(&map, &map.sets[0], &o), 0);
	assert_int_equal(map_value(&map, 4686968874ULL, &v), 0);
	assert_int_equal(v, 0xffffff);
	assert_int_equal(map_value(&map, 4686968875ULL, &v), 0);
	assert_int_equal(v, 0);
	/* The largest that do not overflow. */
	assert_true(map_ticks((1ULL << 62) - 1, MAP_FREQ_MAX, 1000000000, &frac) ==
		    (__u64)((u128)((1ULL << 62) - 1) * MAP_FREQ_MAX / 1000000000));
	assert_true(map_count(~0ULL - 1, ~0ULL - 1, ~0ULL, ~0ULL) == ~0ULL - 2);
	assert_true(map_count(~0ULL, 1, ~0ULL, 0) == 0);
}

static int mutant(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sequences) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	static const struct restore_spared spared[] = { {} };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand),
		cmocka_unit_test(steps),
		cmocka_unit_test(sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) || registers_mutants("map", mutant, spared);
}
