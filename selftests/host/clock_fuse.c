// SPDX-License-Identifier: GPL-2.0
/* A VMM whose answers the model does not explain, and those that it must explain: one vCPU reads in a loop. */
#include <math.h>
#include "clockunit.h"

#define WRAP (16777216e6 / PMTIMER_HZ) /* us; the VMM's clock is seen only modulo this */

struct loop {
	struct unit *u;
	double t;      /* us; carried on from run to run */
	double step;   /* guest's own time between two reads */
	double offset; /* O */
	double freq;   /* of the VMM's counter */
	__u64 (*answer)(struct loop *l, double x); /* NULL: an honest 24-bit counter */
	unsigned long answered, punted;
	double ahead, behind; /* the worst of the answers */
};

static struct loop *loop_new(double step)
{
	struct loop *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->u = unit_new();
	l->u->clk.calibrating = IOFILTER_CALIBRATION;
	l->step = step;
	l->freq = PMTIMER_HZ;
	return l;
}

static void loop_free(struct loop *l)
{
	free(l->u);
	free(l);
}

static __u64 honest(const struct loop *l, double x)
{
	return (__u64)floor((BASE_US + x + l->offset) * l->freq / 1e6) & 0xffffff;
}

/* A read takes 2 us on its way out and 4 us in all when it is punted, next to nothing when it is answered. */
static void run(struct loop *l, double us)
{
	double end = l->t + us, away = 0, diff;
	struct answer a;

	while (l->t < end) {
		a = rd(l->u, 0, l->t, away);
		away = 0;
		if (a.verdict == IOFILTER_ANSWERED) {
			l->answered++;
			diff = remainder(a.us - (l->t + l->offset), WRAP);
			l->ahead = fmax(l->ahead, diff);
			l->behind = fmax(l->behind, -diff);
			l->t += l->step;
		} else {
			double t0 = l->t + a.delay, x = t0 + 2, t1 = t0 + 4 + l->step;
			__u64 v = l->answer ? l->answer(l, x) : honest(l, x);

			l->punted++;
			iofilter_clock_sample(&l->u->clk, l->u->vcpus, ns(t0), ns(t1), v, 0);
			l->t = t1;
		}
	}
}

static __u64 random24(struct loop *l, double x)
{
	(void)l, (void)x;
	return rnd() & 0xffffff;
}

static __u64 random32(struct loop *l, double x)
{
	(void)l, (void)x;
	return rnd() & 0xffffffff;
}

static __u64 constant(struct loop *l, double x)
{
	(void)l, (void)x;
	return 0x123456;
}

static __u64 all_ones(struct loop *l, double x)
{
	(void)l, (void)x;
	return 0xffffffff;
}

static __u64 to_and_fro(struct loop *l, double x)
{
	return honest(l, x + (l->punted & 1 ? 1000 : 0));
}

static void nonsense(void **state)
{
	static const struct {
		const char *name;
		__u64 (*answer)(struct loop *, double);
		enum iofilter_fuse fuse; /* how it must blow, if it must; it must never answer */
	} rows[] = {
		{ "random 24 bits", random24, IOFILTER_FUSE_MODEL },
		{ "random 32 bits", random32, IOFILTER_FUSE_MODEL },
		{ "constant", constant, IOFILTER_FUSE_MOVES },
		{ "to and fro by 1 ms", to_and_fro, IOFILTER_FUSE_MODEL },
		{ "all ones", all_ones, IOFILTER_FUSE_OK },
	};
	unsigned int i;

	(void)state;
	seed();
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct loop *l = loop_new(1);

		l->answer = rows[i].answer;
		run(l, 1e6);
		if (l->answered)
			fail_msg("%s: %lu reads were answered", rows[i].name, l->answered);
		if (rows[i].fuse != l->u->clk.fuse || !rows[i].fuse != (l->u->clk.proof != IOFILTER_FUSED))
			fail_msg("%s: wanted fuse %u, got %u, proof %u", rows[i].name, rows[i].fuse, l->u->clk.fuse,
				 l->u->clk.proof);
		loop_free(l);
	}
}

/* The same after an honest start: nothing is answered any more within two expiries. */
static void nonsense_later(void **state)
{
	__u64 (*answers[])(struct loop *, double) = { random24, constant, to_and_fro };
	unsigned int i;

	(void)state;
	seed();
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		struct loop *l = loop_new(1);
		unsigned long answered;

		run(l, 1e5);
		assert_int_equal(l->u->clk.proof, IOFILTER_PROVEN);
		l->answer = answers[i];
		run(l, 1e5);
		assert_int_equal(l->u->clk.proof, IOFILTER_FUSED);
		answered = l->answered;
		l->answer = NULL;
		run(l, 1e6);
		assert_int_equal(l->answered, answered);
		loop_free(l);
	}
}

static void enabled_late(void **state)
{
	struct loop *l = loop_new(1);

	(void)state;
	l->answer = all_ones;
	run(l, 5e6);
	assert_int_equal(l->answered, 0);
	assert_int_equal(l->u->clk.proof, IOFILTER_UNPROVEN);
	l->answer = NULL;
	run(l, 1e6);
	assert_int_equal(l->u->clk.proof, IOFILTER_PROVEN);
	assert_true(l->answered > 100 * l->u->clk.audits);
	loop_free(l);
}

static void vanished(void **state)
{
	struct loop *l = loop_new(1);
	unsigned long answered;
	int i;

	(void)state;
	run(l, 1e5);
	answered = l->answered;
	assert_true(answered > 0);

	/* Once a reset, then it is proven again .. */
	l->answer = all_ones;
	run(l, 1e6);
	assert_true(l->answered - answered < 2 * E);
	assert_int_equal(l->u->clk.proof, IOFILTER_UNPROVEN);
	l->answer = NULL;
	run(l, 2e6);
	assert_int_equal(l->u->clk.proof, IOFILTER_PROVEN);

	/* .. and three times within a second is no reset any more. */
	for (i = 0; i < 3; i++) {
		l->answer = all_ones;
		run(l, 1e5);
		l->answer = NULL;
		run(l, 1e5);
	}
	assert_int_equal(l->u->clk.proof, IOFILTER_FUSED);
	assert_int_equal(l->u->clk.fuse, IOFILTER_FUSE_VANISHED);
	loop_free(l);
}

/* T24, and the other side of it: what ppm of another clock source is allowed to do. */
static void wrong_frequency(void **state)
{
	const double ppm[] = { 100, -100, 1000, -1000, 1e5 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ppm); i++) {
		struct loop *l = loop_new(1);

		l->freq *= 1 + ppm[i] / 1e6;
		run(l, 2e6);
		if (l->u->clk.proof != IOFILTER_FUSED)
			fail_msg("%g ppm: wanted a blown fuse within 2 s, got proof %u after %llu moves", ppm[i],
				 l->u->clk.proof, l->u->clk.moves);
		loop_free(l);
	}
}

/* Wraps at every phase, long silences, T14's pause of exactly one wrap: 24 bits are all that the VMM shows. */
static void wraps(void **state)
{
	struct loop *l = loop_new(1);
	int i;

	(void)state;
	run(l, 2.5 * WRAP);
	for (i = 0; i < 200; i++) {
		l->t += WRAP * (i % 7) + WRAP * i / 200;
		run(l, 3 * E);
	}
	l->t += WRAP;
	l->offset -= WRAP;
	run(l, 3 * E);
	assert_int_equal(l->u->clk.moves, 0);
	assert_int_equal(l->u->clk.proof, IOFILTER_PROVEN);
	if (l->ahead > 0.001 || l->behind > W)
		fail_msg("wanted answers in [-%g, 0] us of the VMM's, got [-%.3f, %.3f]", W, l->behind, l->ahead);
	loop_free(l);
}

/* A loop of 1 us reads: the share that leaves, the bounds of the answers; a slower host clock changes neither. */
static void hot_loop(void **state)
{
	struct loop *l = loop_new(1);

	(void)state;
	run(l, 1e5);
	l->answered = l->punted = 0;
	run(l, 5e6);
	assert_true(l->answered > 0);
	if (l->punted * 100 > l->answered + l->punted)
		fail_msg("wanted under 1 percent punted, got %lu of %lu", l->punted, l->answered + l->punted);
	if (l->ahead > 0.001 || l->behind > 8)
		fail_msg("wanted answers in [-8, 0] us of the VMM's, got [-%.3f, %.3f]", l->behind, l->ahead);
	assert_int_equal(l->u->clk.moves, 0);
	loop_free(l);
}

/* A VM whose exits take long: the times grow with them, and it is proven all the same. */
static void slow_exits(void **state)
{
	struct loop *l = loop_new(200);

	(void)state;
	run(l, 1e6);
	assert_int_equal(l->u->clk.proof, IOFILTER_PROVEN);
	assert_true(l->u->clk.bracket >= 800000 && l->u->clk.bracket <= IOFILTER_BRACKET_MAX_NS);
	assert_true(l->u->clk.absence >= 2 * l->u->clk.bracket);
	assert_true(l->u->clk.expiry <= IOFILTER_EXPIRY_MAX_NS);
	loop_free(l);

	l = loop_new(5000);
	run(l, 10e6);
	assert_int_equal(l->answered, 0);
	loop_free(l);
}

/* Pauses as often as can be, each with its sign, wherever they fall: they are no reason for the fuse. */
static void many_pauses(void **state)
{
	struct loop *l = loop_new(1);
	int i;

	(void)state;
	seed();
	run(l, 1e5);
	for (i = 0; i < 2000; i++) {
		double pause = 1000 + rnd() % 10000, x;
		struct answer a;

		run(l, rnd() % 4000);
		l->t += pause;
		l->offset -= pause;
		a = rd(l->u, 0, l->t, pause);
		assert_int_not_equal(a.verdict, IOFILTER_ANSWERED);
		x = l->t + a.delay + 2;
		iofilter_clock_sample(&l->u->clk, l->u->vcpus, ns(x - 2), ns(x + 3), honest(l, x), 0);
		l->t = x + 3;
		if (l->u->clk.unsigned_moves)
			fail_msg("pause %d, read after a delay of %.0f us, was taken for a move without a sign", i, a.delay);
	}
	if (l->ahead > 0.001)
		fail_msg("an answer was %.3f us ahead of the VMM", l->ahead);
	loop_free(l);
}

/* What was read from a vCPU that goes on may be torn: only a value that fits the bounds is one. */
static void expectation(void **state)
{
	struct unit *u = unit_new();

	(void)state;
	assert_true(iofilter_clock_expects(&u->clk, ns(100), ns(105), ticks(102) & 0xffffff));
	prove(u, 0);
	assert_true(iofilter_clock_expects(&u->clk, ns(100), ns(105), ticks(102) & 0xffffff));
	assert_true(iofilter_clock_expects(&u->clk, ns(100), ns(400), ticks(102) & 0xffffff));
	assert_false(iofilter_clock_expects(&u->clk, ns(100), ns(105), ticks(93) & 0xffffff));
	assert_false(iofilter_clock_expects(&u->clk, ns(100), ns(105), ticks(107) & 0xffffff));
	assert_false(iofilter_clock_expects(&u->clk, ns(100), ns(105), 0xff000000 | (ticks(102) & 0xffffff)));
	free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense),
		cmocka_unit_test(nonsense_later),
		cmocka_unit_test(enabled_late),
		cmocka_unit_test(vanished),
		cmocka_unit_test(wrong_frequency),
		cmocka_unit_test(wraps),
		cmocka_unit_test(hot_loop),
		cmocka_unit_test(slow_exits),
		cmocka_unit_test(many_pauses),
		cmocka_unit_test(expectation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
