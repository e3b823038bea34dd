/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The writer's side of the clock (clock.h): what an answer of the VMM does to the bounds, the proof and the fuse.
 * One at a time for one clock.
 */
#ifndef IOFILTER_CLOCK_SAMPLE_H
#define IOFILTER_CLOCK_SAMPLE_H

#include <iofilter/clock.h>

static inline void iofilter_clock_blow(struct iofilter_clock *clk, __u32 why)
{
	if (!IOFILTER_CLAUSE(FUSE))
		return;
	iofilter_store(clk->ready, 0);
	clk->fuse = why;
	clk->proof = IOFILTER_FUSED;
}

static inline void iofilter_clock_unprove(struct iofilter_clock *clk)
{
	iofilter_store(clk->ready, 0);
	clk->matches = 0;
	if (clk->proof == IOFILTER_PROVEN)
		clk->proof = IOFILTER_UNPROVEN;
}

/* The counter's value with the bits above its width guessed: the nearest to what the clock predicts. */
static inline __u64 iofilter_clock_unwrap(const struct iofilter_clock *clk, __u64 val, __u64 now)
{
	__u64 mask = iofilter_width_mask(clk->width);
	__u64 guess, diff;

	if (clk->width >= 64)
		return val;
	if (!clk->bounded)
		return IOFILTER_TICK_BIAS + val;
	guess = iofilter_ns_to_ticks(now + clk->lo, clk->freq);
	diff = (val - guess) & mask;
	if (diff > mask >> 1)
		diff |= ~mask;
	return guess + diff;
}

/*
 * Does @val agree with the bounds? An answer read while its vCPU goes on may be torn: it counts only if it does. Without bounds
 * it may begin them: there is no proof before more have matched.
 */
static inline int iofilter_clock_expects(const struct iofilter_clock *clk, __u64 t0, __u64 t1, __u64 val)
{
	__u64 ticks = iofilter_clock_unwrap(clk, val, t1);

	if (!clk->bounded)
		return 1;
	return val <= iofilter_width_mask(clk->width) &&
	       (__s64)(iofilter_ticks_to_ns(ticks, clk->freq) - t1) <= clk->hi + IOFILTER_TOLERANCE_NS &&
	       (__s64)(iofilter_ticks_to_ns(ticks + 1, clk->freq) - t0) + IOFILTER_TOLERANCE_NS >= clk->lo;
}

/* The bounds moved with no pause in sight. A few are the VMM freezing its clock; many, or to and fro, a wrong model. */
static inline void iofilter_clock_unsigned_move(struct iofilter_clock *clk, __u64 now, int direction)
{
	if (now - clk->fuse_window_at > IOFILTER_FUSE_WINDOW_NS) {
		clk->fuse_window_at = now;
		clk->unsigned_moves = 0;
		clk->flips = 0;
		clk->direction = 0;
	}
	/* A clock that stands still moves with every sample: one freeze counts once. */
	if (IOFILTER_CLAUSE(FREEZE_ONCE) && clk->direction == direction &&
	    now - clk->unsigned_move_at < 5 * clk->expiry)
		return;
	if (clk->direction && clk->direction != direction)
		clk->flips++;
	clk->direction = direction;
	clk->unsigned_move_at = now;
	clk->unsigned_moves++;
	if (clk->flips >= IOFILTER_FUSE_FLIPS_MAX)
		iofilter_clock_blow(clk, IOFILTER_FUSE_MODEL);
	else if (clk->unsigned_moves >= IOFILTER_FUSE_MOVES_MAX)
		iofilter_clock_blow(clk, IOFILTER_FUSE_MOVES);
}

/*
 * The VMM's clock is not where it was: follow it at once. What was answered since its last confirmed time becomes the
 * floor, unless the distance says that a snapshot was loaded. The epoch is odd meanwhile: a reader that has loaded the old
 * bound either has its answer in vcpus[].last already, or sees the epoch change and punts.
 */
static inline void iofilter_clock_move(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus, __u64 now, __s64 lo,
				       __s64 hi)
{
	__s64 ahead;
	__u64 last;
	__u32 n;
	int i;

	__sync_fetch_and_add(&clk->epoch, 1);
	n = iofilter_load(clk->nr_vcpus);
	last = iofilter_clock_last(clk, vcpus);
	if (IOFILTER_CLAUSE(FLOOR_KEEP))
		last = iofilter_max(last, clk->high);
	ahead = (__s64)(last - (now + lo));
	iofilter_store(clk->high, ahead < (__s64)(2 * clk->expiry) ? last : 0);
	if (IOFILTER_CLAUSE(FLOOR))
		iofilter_store(clk->floor, ahead > 0 ? clk->high : 0);
	iofilter_for(i, (int)n) {
		if ((__u32)i >= IOFILTER_MAX_VCPUS)
			break;
		iofilter_store(vcpus[i].last, 0);
		iofilter_store(vcpus[i].delayed_for, 0);
	}
	iofilter_store(clk->caught_up, 0);
	iofilter_store(clk->lo, lo);
	iofilter_store(clk->hi, hi);
	__sync_fetch_and_add(&clk->epoch, 1);

	clk->moves++;
	clk->matches = 0;
}

/*
 * The times suit hardware; where the VM's own round trip is longer (nested, emulated), scale them all by it. A guest that
 * read rarely at first only seemed slow: shorter round trips seen later scale them down again.
 */
static inline void iofilter_clock_calibrate(struct iofilter_clock *clk, __u64 bracket)
{
	__u64 want;

	if (!clk->best_bracket || bracket < clk->best_bracket)
		clk->best_bracket = bracket;
	if (clk->calibrating) {
		if (--clk->calibrating || !IOFILTER_CLAUSE(CALIBRATE))
			return;
		clk->scaled = 1;
	} else if (!clk->scaled || clk->best_bracket * 8 > clk->bracket) {
		return;
	}
	want = clk->best_bracket * 4;
	if (want > IOFILTER_BRACKET_MAX_NS)
		want = IOFILTER_BRACKET_MAX_NS;
	if (want < IOFILTER_BRACKET_NS)
		want = IOFILTER_BRACKET_NS;
	clk->bracket = want;
	clk->absence = want * IOFILTER_ABSENCE_NS / IOFILTER_BRACKET_NS;
	clk->expiry = want * (IOFILTER_EXPIRY_NS / IOFILTER_BRACKET_NS);
	if (clk->expiry > IOFILTER_EXPIRY_MAX_NS)
		clk->expiry = IOFILTER_EXPIRY_MAX_NS;
}

static inline void iofilter_clock_vanish(struct iofilter_clock *clk, __u64 now)
{
	__u32 proven = clk->proof == IOFILTER_PROVEN;

	clk->vanished++;
	iofilter_clock_unprove(clk);
	if (!proven)
		return;
	if (now - clk->vanish_window_at > IOFILTER_NSEC_PER_SEC) {
		clk->vanish_window_at = now;
		clk->vanish_run = 0;
	}
	if (++clk->vanish_run >= IOFILTER_VANISH_MAX)
		iofilter_clock_blow(clk, IOFILTER_FUSE_VANISHED);
}

/* An answer of the VMM after @now must be seen before the filter answers again. */
static inline void iofilter_clock_wait(struct iofilter_clock *clk, __u64 now)
{
	if (clk->mode >= IOFILTER_CLOCK_OWNED)
		return;
	iofilter_store(clk->ready, 0);
	if (IOFILTER_CLAUSE(NEED))
		clk->need = iofilter_max(clk->need, now);
}

/* An answer was consumed that cannot be compared. */
static inline void iofilter_clock_lost(struct iofilter_clock *clk, __u64 now)
{
	if (clk->mode >= IOFILTER_CLOCK_OWNED)
		return;
	iofilter_clock_wait(clk, now);
	clk->lost++;
}

/*
 * Another counter of the VM has seen the VMM's clock move at @now: a newer answer must be seen before the filter answers again, and
 * if this clock has moved, too, that is its sign.
 */
static inline void iofilter_clock_doubt(struct iofilter_clock *clk, __u64 now)
{
	iofilter_store(clk->sign_at, iofilter_max(clk->sign_at, now));
	iofilter_clock_wait(clk, now);
}

/* The guest has set, halted or started the counter: what was known of it is void. No sample of before may follow. */
static inline void iofilter_clock_restart(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus)
{
	__u32 n = iofilter_load(clk->nr_vcpus);
	int i;

	if (clk->mode >= IOFILTER_CLOCK_OWNED)
		return;
	__sync_fetch_and_add(&clk->epoch, 1);
	iofilter_clock_unprove(clk);
	iofilter_for(i, (int)n) {
		if ((__u32)i >= IOFILTER_MAX_VCPUS)
			break;
		iofilter_store(vcpus[i].last, 0);
		iofilter_store(vcpus[i].delayed_for, 0);
	}
	iofilter_store(clk->high, 0);
	iofilter_store(clk->floor, 0);
	iofilter_store(clk->caught_up, 0);
	clk->bounded = 0;
	clk->odd = 0;
	__sync_fetch_and_add(&clk->epoch, 1);
}

/*
 * An answer of another thread's vCPU that does not fit. vCPUs that read by turns see no others, so several in a row are believed,
 * but the proof must be made anew.
 *
 * Return: whether it is to be folded in; else it counts as lost.
 */
static inline int iofilter_clock_odd(struct iofilter_clock *clk)
{
	if (!IOFILTER_CLAUSE(ODD) || ++clk->odd < IOFILTER_ODD_MAX)
		return 0;
	iofilter_clock_unprove(clk);
	return 1;
}

/*
 * Fold in the VMM's answer @val to vCPU @vcpu's read, taken between @t0 and @t1. Never concurrent with itself for one
 * clock. A wide sample (longer than the bracket) bounds O but confirms nothing: the reader may have been preempted
 * across a pause. Inlined: a BPF function takes five arguments at most.
 */
static inline __attribute__((__always_inline__)) void iofilter_clock_sample(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus,
									     __u64 t0, __u64 t1, __u64 val, __u32 vcpu)
{
	int narrow, moved, anew, signed_move;
	__u64 ticks, settled;
	__s64 lo, hi;

	clk->samples++;
	clk->last_sample_at = t1;
	if (clk->proof == IOFILTER_FUSED || clk->mode != IOFILTER_CLOCK_PROVE)
		return;
	if (val > iofilter_width_mask(clk->width)) {
		iofilter_clock_vanish(clk, t1);
		return;
	}
	clk->odd = 0;
	iofilter_clock_calibrate(clk, t1 - t0);
	narrow = !IOFILTER_CLAUSE(NARROW) || t1 - t0 <= clk->bracket;
	clk->narrow += narrow;
	ticks = iofilter_clock_unwrap(clk, val, t1);
	lo = iofilter_ticks_to_ns(ticks, clk->freq) - t1;
	hi = iofilter_ticks_to_ns(ticks + 1, clk->freq) - t0;

	/* Before the bounds: whoever sees a bound that this sample raised must answer for no earlier time than t1. */
	settled = clk->settled_at;
	if (IOFILTER_CLAUSE(SETTLED))
		iofilter_store(clk->settled_at, iofilter_max(settled, t1));
	iofilter_barrier();

	moved = clk->bounded && (lo > clk->hi + IOFILTER_TOLERANCE_NS || hi + IOFILTER_TOLERANCE_NS < clk->lo);
	/*
	 * Bounds that a wide sample has made may hide a stop of the VM: O moves from one end of them to just below the other, where the
	 * samples after it still touch them; and what wide ones leave of each other may be narrow. From such bounds nobody is answered,
	 * so a narrow sample takes their place. They order the answers that made them no more: one newer than all of those must do that.
	 */
	if (clk->bounded && clk->hi - clk->lo > (__s64)clk->bracket)
		clk->bounded = IOFILTER_BOUNDED_WIDE;
	anew = IOFILTER_CLAUSE(ANEW) && narrow && clk->bounded == IOFILTER_BOUNDED_WIDE && !moved;
	if (anew)
		clk->need = iofilter_max(clk->need, settled);
	if (moved) {
		signed_move = t1 - iofilter_load(clk->sign_at) < 4 * clk->expiry;
		if (!signed_move && narrow)
			iofilter_clock_unsigned_move(clk, t1, lo > clk->hi ? 1 : -1);
		if (clk->proof == IOFILTER_FUSED)
			return;
	}
	if (moved || anew || !clk->bounded) {
		iofilter_clock_move(clk, vcpus, t1, lo, hi);
		clk->moves -= !moved;
		clk->bounded = IOFILTER_BOUNDED;
	} else {
		if (lo > clk->lo)
			iofilter_store(clk->lo, lo);
		if (hi < clk->hi)
			clk->hi = hi;
		if (clk->hi < clk->lo)
			clk->hi = clk->lo;
		/* Passed. Not for a reader to clear: another, entered earlier, would then answer below it. */
		if (t1 + clk->lo >= clk->floor)
			iofilter_store(clk->floor, 0);
	}

	clk->mask = iofilter_width_mask(clk->width);
	iofilter_store(clk->second, (t1 + clk->lo) / IOFILTER_NSEC_PER_SEC);
	clk->have = iofilter_max(clk->have, t0);
	if (narrow) {
		iofilter_store(clk->proven_at, iofilter_max(clk->proven_at, t0));
		if (vcpu < IOFILTER_MAX_VCPUS)
			iofilter_store(vcpus[vcpu].trusted, 1);
		clk->matches++;
	}
	if (clk->proof == IOFILTER_UNPROVEN && clk->matches >= IOFILTER_PROOFS && !clk->calibrating) {
		clk->proof = IOFILTER_PROVEN;
		clk->since = t1;
	}
	iofilter_barrier();
	iofilter_store(clk->ready, clk->proof == IOFILTER_PROVEN && clk->hi - clk->lo <= (__s64)clk->bracket &&
					   (clk->bounded == IOFILTER_BOUNDED || !IOFILTER_CLAUSE(ANEW)) && clk->have >= clk->need);
}

#endif /* IOFILTER_CLOCK_SAMPLE_H */
