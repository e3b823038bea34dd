/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The time of a PIT channel: a clock (clock.h) whose virtual time is the ns since the VMM loaded the count. A load is a new clock
 * of that channel only. The load's own bracket bounds it; answers of the VMM prove and narrow it. Under the PIT's lock.
 */
#ifndef IOFILTER_PIT_CLOCK_H
#define IOFILTER_PIT_CLOCK_H

#include <stddef.h>
#include <iofilter/pit_model.h>

/* Ticks that are searched for one that fits an answer. */
#define PIT_SEARCH 512

static inline struct iofilter_vcpu *pit_vcpu(struct pit_channel *c, __u32 vcpu)
{
	return vcpu < IOFILTER_MAX_VCPUS ? &c->vcpus[vcpu] : NULL;
}

/*
 * The count was loaded in [@from, @to] of CLOCK_MONOTONIC, by @vcpu. Seen so closely it is as good as two answers that match: one
 * more and the clock is proven.
 */
static inline void pit_clock_start(struct pit_channel *c, __u64 from, __u64 to, __u32 vcpu)
{
	struct iofilter_clock *clk = &c->clock;
	struct iofilter_vcpu *v = pit_vcpu(c, vcpu);
	__u32 n = iofilter_load(clk->nr_vcpus);
	int i;

	iofilter_clock_unprove(clk);
	__sync_fetch_and_add(&clk->epoch, 1);
	iofilter_for(i, (int)n) {
		if ((__u32)i >= IOFILTER_MAX_VCPUS)
			break;
		iofilter_store(c->vcpus[i].last, 0);
		iofilter_store(c->vcpus[i].delayed_for, 0);
	}
	clk->high = 0;
	clk->floor = 0;
	clk->caught_up = 0;
	clk->second = 0;
	/* What was lost of the count before does not matter any more. */
	if (clk->need <= from)
		clk->need = 0;
	clk->have = 0;
	clk->lo = -(__s64)to;
	clk->hi = -(__s64)from;
	clk->bounded = 1;
	clk->settled_at = to;
	clk->proven_at = from;
	c->misses = 0;
	c->renew = 0;
	c->phase_only = to - from > clk->bracket;
	if (!c->phase_only) {
		clk->matches = IOFILTER_PROOFS - 1;
		if (v)
			v->trusted = 1;
	}
	__sync_fetch_and_add(&clk->epoch, 1);
}

/* A load is on its way to the VMM. */
static inline void pit_load_begin(struct pit_channel *c, __u64 now, __u32 vcpu)
{
	iofilter_clock_unprove(&c->clock);
	c->clock.bounded = 0;
	c->latch_at = 0;
	c->loading = 1;
	c->load_at = now;
	c->load_vcpu = vcpu;
}

/* Nothing is in flight any more: it happened before @now. */
static inline void pit_load_end(struct pit_channel *c, __u64 now)
{
	if (!c->loading)
		return;
	c->loading = 0;
	if (!c->mode_old && !c->count_old)
		pit_clock_start(c, c->load_at, now, c->load_vcpu);
}

/* Virtual time of an answer that has to be given: the second of a sequence. At @now or earlier, never before the last one. */
static inline __u64 pit_virt_forced(const struct pit_channel *c, const struct iofilter_vcpu *v, __u64 now)
{
	__s64 virt = now + c->clock.lo;

	if (c->loading)
		return 0;
	/* Bounds that nothing proves any more are the best that there is. */
	if (virt < 0)
		return v->last;
	return iofilter_max(virt, v->last);
}

static inline __u64 pit_ticks(__s64 virt)
{
	return virt > 0 ? iofilter_ns_to_ticks(virt, PIT_HZ) : 0;
}

/* Are the bounds narrower than a quarter of the period? */
static inline int pit_narrow_enough(const struct pit_channel *c, __u32 period)
{
	return 4 * (__u64)(c->clock.hi - c->clock.lo) < iofilter_ticks_to_ns(period, PIT_HZ);
}

/* May vCPU @v be answered with a time of this channel? */
static inline enum iofilter_verdict pit_clock_read(struct pit_channel *c, struct iofilter_vcpu *v,
						   const struct kvm_iofilter_req *req, __u64 *delay, __u64 *virt)
{
	if (!c->programmed || !c->count || c->loading || !c->clock.bounded)
		return IOFILTER_PUNT_UNPROVEN;
	return iofilter_clock_read(&c->clock, c->vcpus, v, req->now,
				   IOFILTER_CLAUSE(BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY, delay, virt);
}

/* The output for an answer that has to be given. Return: -1, nothing is known that is near enough. */
static inline int pit_out_forced(const struct pit_channel *c, const struct iofilter_vcpu *v, __u64 now, __u32 *out)
{
	__u64 width = c->clock.hi - c->clock.lo, virt = pit_virt_forced(c, v, now);

	if (!c->programmed || !c->count || c->loading || !c->clock.bounded)
		return -1;
	*out = pit_out(c->mode, c->count, pit_ticks(virt));
	if (width <= c->clock.bracket)
		return 0;
	return pit_narrow_enough(c, c->count) && *out == pit_out(c->mode, c->count, pit_ticks(virt + width)) ? 0 : -1;
}

/* The same for the output: only if it is the same for all that the bounds allow, so that the VMM itself answers its edges. */
static inline enum iofilter_verdict pit_clock_out(struct pit_channel *c, struct iofilter_vcpu *v,
						  const struct kvm_iofilter_req *req, __u64 *delay, __u32 *out)
{
	enum iofilter_verdict why;
	__u64 virt, late;

	if (c->phase_only && IOFILTER_CLAUSE(PIT_PHASE))
		return IOFILTER_PUNT_SUSPECT;
	if (!pit_narrow_enough(c, c->count ? c->count : 1))
		return IOFILTER_PUNT_UNPROVEN;
	why = pit_clock_read(c, v, req, delay, &virt);
	if (why != IOFILTER_ANSWERED)
		return why;
	late = pit_ticks(virt + (c->clock.hi - c->clock.lo)) + 1;
	virt = pit_ticks(virt);
	*out = pit_out(c->mode, c->count, virt);
	/* Of modes 2, 4 and 5 a pulse of one tick could lie in between. */
	if (c->mode == 2 && virt / c->count != late / c->count)
		return IOFILTER_PUNT_UNPROVEN;
	if ((c->mode == 4 || c->mode == 5) && virt <= c->count && late >= c->count)
		return IOFILTER_PUNT_UNPROVEN;
	if (IOFILTER_CLAUSE(PIT_EDGE) && (*out != pit_out(c->mode, c->count, late) || *out != pit_out(c->mode, c->count, late - 1)))
		return IOFILTER_PUNT_UNPROVEN;
	return IOFILTER_ANSWERED;
}

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

/* The first ticks in [from, to] that fit. */
static inline int pit_first(const struct pit_channel *c, enum pit_kind kind, __u16 val, __u64 from, __u64 to, __u64 *d)
{
	int i;

	iofilter_for(i, PIT_SEARCH) {
		if (from + i > to)
			break;
		if (pit_fits(c, kind, from + i, val)) {
			*d = from + i;
			return 0;
		}
	}
	return -1;
}

/*
 * A vCPU was away. Where the count is by now its period hides: bounds from before could agree with an answer although the clock was
 * stopped for a few periods and a little more.
 */
static inline void pit_clock_doubt(struct pit_channel *c)
{
	c->phase_only = 1;
	c->mode_old = 1;
	c->count_old = 1;
	c->renew = 1;
	/* What was latched before tells nothing about the time since. */
	if (IOFILTER_CLAUSE(PIT_STALE))
		c->latch_at = 0;
	if (IOFILTER_CLAUSE(PIT_RENEW))
		iofilter_clock_unprove(&c->clock);
}

/* An answer that tells when the VMM was read: to the tick. */
static inline void pit_fold_exact(struct iofilter_pit *p, struct pit_channel *c, __u64 d, __u64 t0, __u64 t1, __u32 vcpu)
{
	__u64 moves = c->clock.moves;

	if (c->renew && IOFILTER_CLAUSE(PIT_RENEW)) {
		c->renew = 0;
		c->renewed_at = t1;
		iofilter_clock_move(&c->clock, c->vcpus, t1, iofilter_ticks_to_ns(d, PIT_HZ) - t1,
				    iofilter_ticks_to_ns(d + 1, PIT_HZ) - t0);
		iofilter_clock_unprove(&c->clock);
		return;
	}
	/* Not before a count of another mode, twice as fast or upwards, would show. */
	if (c->phase_only && t0 < c->renewed_at + 4 * c->clock.bracket && IOFILTER_CLAUSE(PIT_SPAN))
		c->clock.matches = 0;
	iofilter_clock_sample(&c->clock, c->vcpus, t0, t1, d, vcpu);
	if (c->clock.moves == moves) {
		c->misses = 0;
		return;
	}
	/* Where the VMM's clock was moved, the channel may have been reset too: begin anew with the proof. */
	iofilter_clock_unprove(&c->clock);
	c->phase_only = 1;
	if (++c->misses >= PIT_MISSES)
		pit_forget(p, c);
}

/* The low byte comes again after 256 counts: it is exact within the bounds, but after an absence it proves nothing. */
static inline void pit_fold_low(struct iofilter_pit *p, struct pit_channel *c, __u64 d, __u64 t0, __u64 t1, __u32 vcpu)
{
	struct iofilter_vcpu *v = pit_vcpu(c, vcpu);
	__u32 trusted = v ? v->trusted : 0;

	pit_fold_exact(p, c, d, t0, t1, vcpu);
	if (v && IOFILTER_CLAUSE(PIT_LOW))
		v->trusted = trusted;
}

/* An answer that leaves a choice: it raises the lower bound to the earliest, and keeps a proof alive, but cannot restore trust. */
static inline void pit_fold_weak(struct pit_channel *c, __u64 d, __u64 t0, __u64 t1)
{
	struct iofilter_clock *clk = &c->clock;
	__s64 lo = iofilter_ticks_to_ns(d, PIT_HZ) - t1;

	clk->samples++;
	clk->last_sample_at = t1;
	if (clk->proof == IOFILTER_FUSED || clk->mode != IOFILTER_CLOCK_PROVE)
		return;
	iofilter_store(clk->settled_at, iofilter_max(clk->settled_at, t1));
	iofilter_barrier();
	if (lo > clk->lo)
		iofilter_store(clk->lo, lo < clk->hi ? lo : clk->hi);
	iofilter_clock_calibrate(clk, t1 - t0);
	if (c->phase_only)
		return;
	/* Not clk->have: what was lost may have told the guest more than this tells us. */
	if (t1 - t0 <= clk->bracket) {
		clk->narrow++;
		iofilter_store(clk->proven_at, iofilter_max(clk->proven_at, t0));
		clk->matches++;
		c->misses = 0;
	}
	if (clk->proof == IOFILTER_UNPROVEN && clk->matches >= IOFILTER_PROOFS && !clk->calibrating) {
		clk->proof = IOFILTER_PROVEN;
		clk->since = t1;
	}
	iofilter_store(clk->ready, clk->proof == IOFILTER_PROVEN && clk->hi - clk->lo <= (__s64)clk->bracket &&
					   clk->have >= clk->need);
}

/* The VMM has shown @val (a byte, a bit, or with @word a latched count) between @t0 and @t1. */
static inline void pit_fold(struct iofilter_pit *p, struct pit_channel *c, enum pit_kind kind, int word, __u16 val, __u64 t0,
			    __u64 t1, __u32 vcpu)
{
	struct iofilter_clock *clk = &c->clock;
	__u64 from, to, d, other, spacing = c->mode == 3 ? 128 : 256;

	if (!c->programmed || !c->count || c->loading || !clk->bounded)
		return;
	clk->width = 64;
	clk->freq = PIT_HZ;
	clk->mask = ~0ULL;
	from = pit_ticks(t0 + clk->lo);
	to = pit_ticks(t1 + clk->hi);
	if (word) {
		__u32 period = pit_period(c->mode, c->count);

		if (!c->renew && (!pit_narrow_enough(c, period) || to - from >= period / 2))
			iofilter_clock_lost(clk, t1);
		else if (pit_ticks(t1 - t0) >= period / 2)
			iofilter_clock_lost(clk, t1);
		else if (pit_nearest_word(c, val, from + (to - from) / 2, &d))
			pit_miss(c, t1);
		else
			pit_fold_exact(p, c, d, t0, t1, vcpu);
		return;
	}
	/* Anything less than a word says too little of a clock that may have been stopped. */
	if (c->renew && IOFILTER_CLAUSE(PIT_RENEW))
		return;
	/* A low byte comes again soon: it says when only if the bounds leave no choice. */
	if (kind == PIT_LSB && (to - from >= spacing / 2 || !pit_narrow_enough(c, pit_period(c->mode, c->count))))
		iofilter_clock_lost(clk, t1);
	else if (pit_first(c, kind, val, from, to, &d) && to - from < PIT_SEARCH)
		pit_miss(c, t1);
	else if (to - from >= PIT_SEARCH || (kind == PIT_LSB && !pit_first(c, kind, val, d + 1, to, &other)))
		iofilter_clock_lost(clk, t1);
	else if (kind != PIT_LSB)
		pit_fold_weak(c, d, t0, t1);
	else
		pit_fold_low(p, c, d, t0, t1, vcpu);
}

#endif /* IOFILTER_PIT_CLOCK_H */
