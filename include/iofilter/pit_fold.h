/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What an answer of the VMM tells of a channel's time: a word or, where the bounds leave no choice, a low byte says when it was read. */
#ifndef IOFILTER_PIT_FOLD_H
#define IOFILTER_PIT_FOLD_H

#include <iofilter/pit_clock.h>

/* Ticks that are searched for one that fits an answer. */
#define PIT_SEARCH 512

/* An answer that does not fit, and does not tell where the count is now: only a load will. */
static inline void pit_miss(struct pit_channel *c, __u64 now)
{
	iofilter_clock_unprove(&c->clock);
	iofilter_clock_lost(&c->clock, now);
	c->clock.bounded = 0;
}

/* The ticks nearest to @near at which the count is @val. Return: -1, it never is. */
static inline int pit_nearest_word(const struct pit_channel *c, __u16 val, __u64 near, __u64 *d)
{
	__u32 period = pit_period(c->mode, c->count);
	__u32 rest = period == PIT_COUNT_MAX ? (__u16)(c->count - val) : c->count - (val ? val : PIT_COUNT_MAX);
	__u64 diff;

	if (!period || rest >= PIT_COUNT_MAX)
		return -1;
	if (c->mode == 3) {
		if (c->count & 1)
			rest = rest & 1 ? (rest + c->count) / 2 : rest / 2;
		else if (rest & 1)
			return -1;
		else
			rest /= 2;
	}
	if (rest >= period)
		return -1;
	diff = (rest + period - near % period) % period;
	*d = diff > period / 2 && near + diff >= period ? near + diff - period : near + diff;
	return 0;
}

/* Does the device show @val at @d? */
static inline int pit_fits(const struct pit_channel *c, enum pit_kind kind, __u64 d, __u16 val)
{
	if (kind == PIT_SYSTEM_PORT)
		return pit_out(c->mode, c->count, d) == val;
	return pit_byte(pit_value(c->mode, c->count, d), kind == PIT_MSB) == val;
}

/* The first ticks in [@from, @to] that fit: @s->d. Return: -1, none do. */
PIT_PROG int pit_first(const struct pit_channel *c PIT_ARG, struct pit_shown *s PIT_ARG, __u64 from, __u64 to)
{
	int i;

	iofilter_for(i, PIT_SEARCH) {
		if (from + i > to)
			break;
		if (pit_fits(c, s->kind, from + i, s->val)) {
			s->d = from + i;
			return 0;
		}
	}
	return -1;
}

/*
 * Since the channel was found again by a word: has nothing been seen yet that another mode or count would have shown otherwise? A reset
 * leaves mode 3, which counts twice as fast as mode 2 and not upwards, and a count of 65536, which is another from the next wrap on; if
 * the two are close, after so many that they differ by more than the brackets of two answers.
 */
static inline int pit_too_soon(const struct pit_channel *c, const struct pit_shown *s)
{
	__u32 count = c->count;

	if (!c->phase_only || !IOFILTER_CLAUSE(PIT_SPAN))
		return 0;
	if (s->t0 < c->renewed_at + 4 * c->clock.bracket || s->d < c->renewed_d)
		return 1;
	if (c->mode != 3 || !c->count_old || !count || count == PIT_COUNT_MAX)
		return 0;
	/* Ticks that it would be off by are half of this. */
	return (2 * s->d / count - 2 * c->renewed_d / count) * (PIT_COUNT_MAX - count) <= 4 * (pit_ticks(c->clock.bracket) + 2);
}

/* The VMM was read when the count was at @s->d: to the tick. */
PIT_PROG int pit_fold_exact(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG, const struct pit_shown *s PIT_ARG)
{
	struct iofilter_clock *clk = &c->clock;
	__u64 moves = clk->moves;

	if (c->renew && IOFILTER_CLAUSE(PIT_RENEW)) {
		c->renew = 0;
		c->renewed_at = s->t1;
		c->renewed_d = s->d;
		iofilter_clock_move(clk, c->vcpus, s->t1, iofilter_ticks_to_ns(s->d, PIT_HZ) - s->t1,
				    iofilter_ticks_to_ns(s->d + 1, PIT_HZ) - s->t0);
		/* It may have; that nobody knows. */
		clk->moves--;
		iofilter_clock_unprove(clk);
		return 0;
	}
	if (pit_too_soon(c, s))
		clk->matches = 0;
	iofilter_clock_sample(clk, c->vcpus, s->t0, s->t1, s->d, s->vcpu);
	if (clk->moves == moves) {
		c->misses = 0;
		return 0;
	}
	/* Where the VMM's clock was moved, the channel may have been reset too: begin anew with the proof. */
	p->moved = 1;
	iofilter_clock_unprove(clk);
	c->phase_only = 1;
	c->count_old = 1;
	c->renewed_at = s->t1;
	c->renewed_d = s->d;
	if (++c->misses >= PIT_MISSES)
		pit_forget(p, c);
	return 0;
}

/* The low byte comes again after 256 counts: it is exact within the bounds, but after an absence it proves nothing. */
static inline void pit_fold_low(struct iofilter_pit *p, struct pit_channel *c, const struct pit_shown *s)
{
	struct iofilter_vcpu *v = pit_vcpu(c, s->vcpu);
	__u32 trusted = v ? v->trusted : 0;

	pit_fold_exact(p, c, s);
	if (v && IOFILTER_CLAUSE(PIT_LOW))
		v->trusted = trusted;
}

/* An answer that leaves a choice: it raises the lower bound to the earliest, and keeps a proof alive, but cannot restore trust. */
PIT_PROG int pit_fold_weak(struct pit_channel *c PIT_ARG, const struct pit_shown *s PIT_ARG)
{
	struct iofilter_clock *clk = &c->clock;
	__s64 lo = iofilter_ticks_to_ns(s->d, PIT_HZ) - s->t1;

	clk->samples++;
	clk->last_sample_at = s->t1;
	if (clk->proof == IOFILTER_FUSED || clk->mode != IOFILTER_CLOCK_PROVE)
		return 0;
	iofilter_store(clk->settled_at, iofilter_max(clk->settled_at, s->t1));
	iofilter_barrier();
	if (lo > clk->lo)
		iofilter_store(clk->lo, lo < clk->hi ? lo : clk->hi);
	iofilter_clock_calibrate(clk, s->t1 - s->t0);
	if (c->phase_only)
		return 0;
	/* Not clk->have: what was lost may have told the guest more than this tells us. */
	if (s->t1 - s->t0 <= clk->bracket) {
		clk->narrow++;
		iofilter_store(clk->proven_at, iofilter_max(clk->proven_at, s->t0));
		clk->matches++;
		c->misses = 0;
	}
	if (clk->proof == IOFILTER_UNPROVEN && clk->matches >= IOFILTER_PROOFS && !clk->calibrating) {
		clk->proof = IOFILTER_PROVEN;
		clk->since = s->t1;
	}
	iofilter_store(clk->ready, clk->proof == IOFILTER_PROVEN && clk->hi - clk->lo <= (__s64)clk->bracket &&
					   clk->have >= clk->need);
	return 0;
}

static inline void pit_fold_word(struct iofilter_pit *p, struct pit_channel *c, struct pit_shown *s, __u64 from, __u64 to)
{
	__u32 period = pit_period(c->mode, c->count);

	if (!c->renew && (!pit_narrow_enough(c, period) || to - from >= period / 2))
		iofilter_clock_lost(&c->clock, s->t1);
	else if (pit_ticks(s->t1 - s->t0) >= period / 2)
		iofilter_clock_lost(&c->clock, s->t1);
	else if (pit_nearest_word(c, s->val, from + (to - from) / 2, &s->d))
		pit_miss(c, s->t1);
	else
		pit_fold_exact(p, c, s);
}

static inline void pit_fold_byte(struct iofilter_pit *p, struct pit_channel *c, struct pit_shown *s, __u64 from, __u64 to)
{
	__u64 d, spacing = c->mode == 3 ? 128 : 256;

	/* A low byte comes again soon: it says when only if the bounds leave no choice. */
	if (s->kind == PIT_LSB && (to - from >= spacing / 2 || !pit_narrow_enough(c, pit_period(c->mode, c->count)))) {
		iofilter_clock_lost(&c->clock, s->t1);
		return;
	}
	/* The output has another period than the count: it tells nothing where only that one's phase is known; nor in mode 1 (pit_clock_out()). */
	if (to - from >= PIT_SEARCH || (s->kind == PIT_SYSTEM_PORT && c->mode == 1) ||
	    (s->kind == PIT_SYSTEM_PORT && c->phase_only && IOFILTER_CLAUSE(PIT_HALF))) {
		iofilter_clock_lost(&c->clock, s->t1);
		return;
	}
	if (pit_first(c, s, from, to)) {
		pit_miss(c, s->t1);
		return;
	}
	d = s->d;
	if (s->kind != PIT_LSB) {
		pit_fold_weak(c, s);
	} else if (!pit_first(c, s, d + 1, to)) {
		iofilter_clock_lost(&c->clock, s->t1);
	} else {
		s->d = d;
		pit_fold_low(p, c, s);
	}
}

PIT_PROG int pit_fold(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG, struct pit_shown *s PIT_ARG)
{
	struct iofilter_clock *clk = &c->clock;
	__u64 from, to;

	if (!c->programmed || !c->count || c->loading || !clk->bounded)
		return 0;
	clk->width = 64;
	clk->freq = PIT_HZ;
	clk->mask = ~0ULL;
	from = pit_ticks(s->t0 + clk->lo);
	to = pit_ticks(s->t1 + clk->hi);
	if (s->word)
		pit_fold_word(p, c, s, from, to);
	/* Anything less than a word says too little of a clock that may have been stopped. */
	else if (!c->renew || !IOFILTER_CLAUSE(PIT_RENEW))
		pit_fold_byte(p, c, s, from, to);
	return 0;
}

#endif /* IOFILTER_PIT_FOLD_H */
