/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The clock of a VMM that does not cooperate. Compiled into the BPF programs and, for native tests, for the host.
 *
 * The VMM's device clock is V(t) = t + O, t the host's CLOCK_MONOTONIC. O is constant while the VM runs and moves when it is
 * stopped, restored or migrated. Nothing tells us O, so it is bounded: a punted read at t0, answered v and seen again at t1,
 * proves for a counter of period P that v*P - t1 <= O < (v+1)*P - t0. Intersected, the samples give [lo, hi], and answers
 * use lo: never ahead of the VMM, behind it by at most hi - lo.
 *
 * Here: the state, and the readers. clock_sample.h: the writer, which folds the VMM's answers in. clockctl.h: the clock from
 * userspace.
 *
 * Who calls what: iofilter_clock_read() runs on all vCPUs at once and takes no lock. iofilter_clock_sample() is the only
 * writer of the bounds; the module never runs it twice at once, and makes every read punt (REQ_BUSY) from the moment a vCPU
 * takes an answer of the VMM until that answer has been given to iofilter_clock_sample(). That is what orders the
 * VMM's answers before the filter's across vCPUs.
 *
 * All times are ns. "Virtual" times are V's, biased by a multiple of the counter's wrap so that they stay positive.
 */
#ifndef IOFILTER_CLOCK_H
#define IOFILTER_CLOCK_H

#include <iofilter/ops.h>
#include <iofilter/state.h>

/* Tests leave out one clause of the algorithm at a time. */
#ifndef IOFILTER_CLAUSE
#define IOFILTER_CLAUSE(name) 1
#endif

/* The table of vCPUs in a program's state. A vCPU beyond it always punts. */
#define IOFILTER_MAX_VCPUS 1024

#define IOFILTER_NSEC_PER_SEC 1000000000ULL

/* Defaults for hardware-assisted guests, whose exits take 1 to 10 us. Slower VMs are scaled up from these. */
#define IOFILTER_BRACKET_NS 40000ULL
#define IOFILTER_ABSENCE_NS 100000ULL
#define IOFILTER_EXPIRY_NS  2000000ULL

/* The scaling stops here: a VM whose best round trip is longer than a quarter of it is never proven. */
#define IOFILTER_BRACKET_MAX_NS 2000000ULL
#define IOFILTER_EXPIRY_MAX_NS	50000000ULL

#define IOFILTER_CALIBRATION	16     /* samples that measure the round trip before the first proof */
#define IOFILTER_PROOFS		(IOFILTER_CLAUSE(PROOFS) ? 3 : 1) /* narrow matching samples that make the first proof */
#define IOFILTER_ODD_MAX	3      /* answers seen from other threads that do not fit, and the clock has moved */
#define IOFILTER_TOLERANCE_NS	(IOFILTER_CLAUSE(TOLERANCE) ? 100 : 0) /* ktime_get() against the VMM's vDSO clock */
#define IOFILTER_FUSE_MOVES_MAX 8      /* moves without a sign of a pause .. */
#define IOFILTER_FUSE_WINDOW_NS (10 * IOFILTER_NSEC_PER_SEC) /* .. within this time blow the fuse */
#define IOFILTER_FUSE_FLIPS_MAX 3      /* moves to and fro that show a wrong model */
#define IOFILTER_FORGIVE_NS	100000000ULL /* moves so shortly before a sign belong to that pause */
#define IOFILTER_VANISH_MAX	3      /* proofs lost to answers without shape, within a second */

/* Biases 24- and 32-bit counters, so that a clock which is set back does not become negative. A multiple of both wraps. */
#define IOFILTER_TICK_BIAS (1ULL << 40)

/* One vCPU's line, written by that vCPU's thread (and cleared by iofilter_clock_sample()). */
struct iofilter_vcpu {
	__u64 last; /* virtual time of the newest answer since the clock last moved; 0: none */
	__u64 answered;
	__u32 trusted; /* 0: not seen yet, or was out of KVM_RUN: not answered until a narrow sample of its own */
	__u32 delayed; /* has been given its delay for this suspicion .. */
	__u64 delayed_until; /* .. which lasts until then, even if a signal ends the sleep */
	__u64 delayed_for; /* the answer that it waits for the VMM to pass; see caught_up */
	__u64 reserved[3];
};

IOFILTER_ASSERT(sizeof(struct iofilter_vcpu) == 64, "a cache line per vCPU");

enum { IOFILTER_BOUNDED = 1, IOFILTER_BOUNDED_WIDE };

struct iofilter_clock {
	/* What a hot read needs. */
	__u64 epoch;  /* odd while the bounds are being lowered */
	__s64 lo, hi; /* bounds of O */
	__u64 floor;  /* virtual time below which nothing may be answered; 0: none */
	__u64 proven_at; /* t0 of the newest narrow match: the proof is fresh until + expiry */
	__u64 settled_at; /* the largest t1 folded in; answers are for no earlier time */
	__u32 ready;  /* proven, narrow enough, and nothing lost since */
	__u32 nr_vcpus; /* highest index seen + 1; see iofilter_clock_enter() */
	__u64 second; /* whole virtual seconds that had passed at the newest sample; see iofilter_second_to_ticks() */
	__u64 mask;   /* of the counter's width, once there was a sample */
	__u64 audit_at; /* the newest ticket for an audit */

	/* Times; see above. Written before attach, or by calibration. */
	__u64 bracket; /* a sample confirms only if t1 - t0 is at most this; answers lag by at most this */
	__u64 absence; /* out of KVM_RUN for less than this is no pause */
	__u64 expiry;  /* age of a proof at which an audit is due */

	/* Private to iofilter_clock_sample(). */
	__u64 freq;  /* Hz, at most 4e9 */
	__u32 width; /* bits: 8 .. 32, or 64 */
	__u32 proof; /* enum iofilter_proof */
	__u32 fuse;  /* enum iofilter_fuse */
	__u32 matches; /* consecutive narrow matches */
	__u32 bounded; /* lo and hi mean something; IOFILTER_BOUNDED_WIDE: but a narrow sample will take their place */
	__u32 calibrating; /* samples still wanted; set to 0 by a loader that gives the times */
	__u32 scaled; /* the times are calibrated, not given */

	/* Changed from userspace, see clockctl.h. @writer keeps that and the samples apart: a try-lock, 0 if nobody has it. */
	__u32 mode; /* enum iofilter_clock_mode; a hot read need not look: ready and the epoch tell */
	__u32 writer;
	__u32 odd; /* consecutive answers seen from other threads that did not fit */
	__u64 stopped; /* the virtual time at which its owner has stopped it */
	__u64 best_bracket; /* the shortest t1 - t0 seen */
	__u64 high;  /* virtual time of the newest answer before the clock last moved; 0: none, or it is another clock now */
	__u64 caught_up; /* virtual time that the VMM's clock has passed for certain: a vCPU has slept until it must have */
	__u64 have;  /* t0 of the newest sample */
	__u64 need;  /* no answer before a sample with t0 >= this */
	__u64 since; /* time of the first proof of this run */

	__u64 sign_at; /* newest sign of a pause */
	__u64 unsigned_move_at;
	__u64 fuse_window_at;
	__u32 unsigned_moves;
	__u32 flips;
	__s32 direction;
	__u32 vanish_run;
	__u64 vanish_window_at;

	/* Counters for status. */
	__u64 samples;
	__u64 narrow;
	__u64 lost;
	__u64 moves;
	__u64 vanished;
	__u64 audits;
	__u64 suspicions;
	__u64 delays;
	__u64 delay_total;
	__u64 last_sample_at;
};

#ifndef iofilter_load /* tests stop a reader at each of these */
#define iofilter_load(x)     (*(const volatile __typeof__(x) *)&(x))
#define iofilter_store(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#endif
#define iofilter_barrier()   __asm__ volatile("" ::: "memory")

#ifdef __bpf__
#define iofilter_for(i, n) bpf_for (i, 0, n)
#else
#define iofilter_for(i, n) for (i = 0; i < (n); i++)
#endif

/* A state's lock, 0 or 1. It is held for about a microsecond; who cannot have it by then, because its owner is preempted, does not wait. */
#define IOFILTER_LOCK_TRIES 256

/* Return: 0, or -1: it cannot be had. */
static inline int iofilter_try_lock(__u32 *lock)
{
	int i;

	/* Mostly it is free, and a loop is not. */
	if (!__sync_val_compare_and_swap(lock, 0, 1))
		return 0;
	iofilter_for(i, IOFILTER_LOCK_TRIES) {
		if (!iofilter_load(*lock) && !__sync_val_compare_and_swap(lock, 0, 1))
			return 0;
	}
	return -1;
}

static inline void iofilter_unlock(__u32 *lock)
{
	/* A store is enough on x86: none of ours before it is seen after it. */
	iofilter_barrier();
	iofilter_store(*lock, 0);
}

static inline __u64 iofilter_max(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

/* floor(ns * freq / 1e9) for ns < 2^63, freq < 9.2e9 and a result below 2^63, without 128-bit arithmetic. */
static inline __u64 iofilter_ns_to_ticks(__u64 ns, __u64 freq)
{
	return ns / IOFILTER_NSEC_PER_SEC * freq + ns % IOFILTER_NSEC_PER_SEC * freq / IOFILTER_NSEC_PER_SEC;
}

/* The first ns at which the counter shows @ticks: ceil(ticks * 1e9 / freq). */
static inline __u64 iofilter_ticks_to_ns(__u64 ticks, __u64 freq)
{
	return ticks / freq * IOFILTER_NSEC_PER_SEC + (ticks % freq * IOFILTER_NSEC_PER_SEC + freq - 1) / freq;
}

/*
 * The counter at virtual time @virt: iofilter_ns_to_ticks() of it with one division, since the seconds are known but for
 * the last few. @second is one word, so a reader that races with its update is right with either value.
 */
static inline __u64 iofilter_second_to_ticks(__u64 second, __u64 virt, __u64 freq)
{
	__u64 rest = virt - second * IOFILTER_NSEC_PER_SEC;

	if (rest >= 2 * IOFILTER_NSEC_PER_SEC)
		return iofilter_ns_to_ticks(virt, freq);
	return second * freq + rest * freq / IOFILTER_NSEC_PER_SEC;
}

static inline __u64 iofilter_width_mask(__u32 width)
{
	return width >= 64 ? ~0ULL : (1ULL << width) - 1;
}

/* The newest virtual time that any vCPU was answered. Racy against readers unless epoch is odd. */
static inline __u64 iofilter_clock_last(const struct iofilter_clock *clk, const struct iofilter_vcpu *vcpus)
{
	__u32 n = iofilter_load(clk->nr_vcpus);
	__u64 last = 0;
	int i;

	iofilter_for(i, (int)n) {
		if ((__u32)i >= IOFILTER_MAX_VCPUS)
			break;
		last = iofilter_max(last, iofilter_load(vcpus[i].last));
	}
	return last;
}

/* The virtual time is not to be answered yet: sleep for the rest, at most two expiries, then let the VMM answer. */
static inline void iofilter_clock_delay(struct iofilter_clock *clk, __s64 delay, __u64 *out)
{
	if (delay <= 0 || !IOFILTER_CLAUSE(DELAY))
		return;
	if (delay > (__s64)(2 * clk->expiry))
		delay = 2 * clk->expiry;
	__sync_fetch_and_add(&clk->delays, 1);
	__sync_fetch_and_add(&clk->delay_total, delay);
	*out = delay;
}

/*
 * Make sure that vCPU @index is within what iofilter_clock_move() looks at. Until then it is not trusted, so not answered.
 *
 * Return: 0, or -1: another vCPU is being entered at this moment; punt.
 */
static inline int iofilter_clock_enter(struct iofilter_clock *clk, __u32 index)
{
	__u32 nr = iofilter_load(clk->nr_vcpus);

	return index < nr || __sync_val_compare_and_swap(&clk->nr_vcpus, nr, index + 1) == nr ? 0 : -1;
}

/*
 * To be called first on every access of vCPU @v, whatever becomes of it. Out of KVM_RUN for as long as a pause takes, the
 * vCPU trusts nothing that was proven before.
 */
static inline void iofilter_clock_seen(struct iofilter_clock *clk, struct iofilter_vcpu *v, __u64 now, __u64 away)
{
	if (!away || away < clk->absence || !IOFILTER_CLAUSE(SUSPECT))
		return;
	v->trusted = 0;
	v->delayed = 0;
	iofilter_store(clk->sign_at, now);
	if (now - iofilter_load(clk->unsigned_move_at) < IOFILTER_FORGIVE_NS) {
		iofilter_store(clk->unsigned_moves, 0);
		iofilter_store(clk->flips, 0);
	}
	__sync_fetch_and_add(&clk->suspicions, 1);
}

/*
 * This vCPU has slept all of its last delay (KVM_IOFILTER_REQ_SLEPT), so the VM was not stopped meanwhile. Others, and this
 * one when it is suspect again before anything newer was answered, need not wait for the same.
 */
static inline void iofilter_clock_slept(struct iofilter_clock *clk, const struct iofilter_vcpu *v)
{
	if (IOFILTER_CLAUSE(CAUGHT_UP) && v->delayed_for > iofilter_load(clk->caught_up))
		iofilter_store(clk->caught_up, v->delayed_for);
}

/* A suspect reader waits, once and to the end, until the VMM must have caught up with every answer given. */
static inline void iofilter_clock_suspect(struct iofilter_clock *clk, const struct iofilter_vcpu *vcpus,
					  struct iofilter_vcpu *v, __u64 now, __u64 *delay)
{
	__u64 last;

	if (v->delayed) {
		if (IOFILTER_CLAUSE(REST))
			iofilter_clock_delay(clk, v->delayed_until - now, delay);
		return;
	}
	v->delayed = 1;
	last = iofilter_clock_last(clk, vcpus);
	/* In this order: what a move takes out of the one it has put into the other before. */
	iofilter_barrier();
	last = iofilter_max(last, iofilter_load(clk->high));
	v->delayed_for = last;
	if (last > iofilter_load(clk->caught_up))
		iofilter_clock_delay(clk, (__s64)(last - (clk->proven_at + clk->lo)) + (clk->hi - clk->lo) +
				     (__s64)clk->bracket, delay);
	v->delayed_until = now + *delay;
}

/* What the counter shows at @virt, a time that iofilter_clock_read() has given. */
static inline __u64 iofilter_clock_value(const struct iofilter_clock *clk, __u64 virt)
{
	return iofilter_second_to_ticks(iofilter_load(clk->second), virt, clk->freq) & clk->mask;
}

/* The proof has expired. One reader in a quarter of the expiry is drawn to audit it; past twice the expiry all punt. */
static inline int iofilter_clock_audit(struct iofilter_clock *clk, __u64 now)
{
	__u64 ticket = iofilter_load(clk->audit_at);

	if (IOFILTER_CLAUSE(TICKET) && (__s64)(now - iofilter_load(clk->proven_at)) <= (__s64)(2 * clk->expiry) &&
	    ((__s64)(now - ticket) <= (__s64)(clk->expiry / 4) ||
	     __sync_val_compare_and_swap(&clk->audit_at, ticket, now) != ticket))
		return 0;
	__sync_fetch_and_add(&clk->audits, 1);
	return 1;
}

/*
 * Answer at @now: the last step of a read, @epoch loaded (without its lowest bit) before anything else was looked at.
 *
 * Return: 0 and *@virt, the virtual time to answer with; -1 if the clock moved meanwhile.
 */
static inline int iofilter_clock_commit(struct iofilter_clock *clk, struct iofilter_vcpu *v, __u64 epoch, __u64 now,
					__u64 *virt)
{
	__u64 t = iofilter_load(clk->lo), last;

	iofilter_barrier();
	t += iofilter_max(now, iofilter_load(clk->settled_at));
	*virt = t;
	/* A full barrier: iofilter_clock_move() sees this answer, or we see its epoch. */
	last = __sync_lock_test_and_set(&v->last, t);
	if (!IOFILTER_CLAUSE(EPOCH) || iofilter_load(clk->epoch) == epoch)
		return 0;
	/* Not given, but the one before was, and iofilter_clock_move() may not have read it yet. */
	__sync_val_compare_and_swap(&v->last, t, last);
	return -1;
}

static inline __u64 iofilter_clock_epoch(const struct iofilter_clock *clk)
{
	/* While it is odd, no commit can succeed. */
	__u64 epoch = iofilter_load(clk->epoch) & ~1ULL;

	iofilter_barrier();
	return epoch;
}

/*
 * The common case of iofilter_clock_read(): all is as it should be. @now was taken on entry, before any shared state.
 *
 * Return: 0 and *@virt, or -1: iofilter_clock_read() must find out.
 */
static inline int iofilter_clock_quick(struct iofilter_clock *clk, struct iofilter_vcpu *v, __u64 now, __u64 *virt)
{
	__u64 epoch = iofilter_clock_epoch(clk);

	if (!iofilter_load(clk->ready) || !iofilter_load(v->trusted) || iofilter_load(clk->floor) ||
	    (IOFILTER_CLAUSE(EXPIRY) && (__s64)(now - iofilter_load(clk->proven_at)) > (__s64)clk->expiry))
		return -1;
	return iofilter_clock_commit(clk, v, epoch, now, virt);
}

/*
 * May a read by vCPU @v at @now be answered, and with what virtual time? @now was taken on entry, before any shared state.
 * @busy: an answer of the VMM is not settled (KVM_IOFILTER_REQ_BUSY).
 *
 * Return: IOFILTER_ANSWERED and *@virt, or the reason to punt and perhaps *@delay.
 */
static inline enum iofilter_verdict iofilter_clock_read(struct iofilter_clock *clk, const struct iofilter_vcpu *vcpus,
							struct iofilter_vcpu *v, __u64 now, int busy, __u64 *delay,
							__u64 *virt)
{
	__u64 epoch = iofilter_clock_epoch(clk), floor;
	__s64 lo = iofilter_load(clk->lo);

	if (clk->mode == IOFILTER_CLOCK_HELD)
		return IOFILTER_PUNT_HELD;
	if (clk->mode == IOFILTER_CLOCK_STOPPED) {
		*virt = iofilter_load(clk->stopped);
		return iofilter_load(clk->epoch) == epoch ? IOFILTER_ANSWERED : IOFILTER_PUNT_BUSY;
	}
	if (clk->mode == IOFILTER_CLOCK_OWNED) {
		/* Exact: nothing to prove to a vCPU, and no answer of the VMM to wait for. */
		iofilter_store(v->trusted, 1);
		busy = 0;
	}
	if (clk->proof == IOFILTER_FUSED)
		return IOFILTER_PUNT_FUSE;
	/* The delays come first: whatever else is the reason to punt, the VMM must not be asked too early. */
	if (!iofilter_load(v->trusted))
		iofilter_clock_suspect(clk, vcpus, v, now, delay);
	if (busy || !iofilter_load(clk->ready)) {
		floor = iofilter_load(clk->floor);
		if (floor && !*delay)
			iofilter_clock_delay(clk, floor - (now + lo), delay);
		return clk->proof == IOFILTER_PROVEN ? IOFILTER_PUNT_BUSY : IOFILTER_PUNT_UNPROVEN;
	}
	if (!iofilter_load(v->trusted))
		return IOFILTER_PUNT_SUSPECT;
	if (IOFILTER_CLAUSE(EXPIRY) && (__s64)(now - iofilter_load(clk->proven_at)) > (__s64)clk->expiry &&
	    iofilter_clock_audit(clk, now))
		return IOFILTER_PUNT_AUDIT;
	floor = iofilter_load(clk->floor);
	if (now + lo < floor) {
		iofilter_clock_delay(clk, floor - (now + lo), delay);
		return IOFILTER_PUNT_FLOOR;
	}
	return iofilter_clock_commit(clk, v, epoch, now, virt) ? IOFILTER_PUNT_BUSY : IOFILTER_ANSWERED;
}

#endif /* IOFILTER_CLOCK_H */
