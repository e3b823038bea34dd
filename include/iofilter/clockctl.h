/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A filter's clock from userspace, through the mapping of its state: for a VMM that cooperates, and for an operator who
 * stops a VM. Not for BPF.
 *
 * Each function is one step to the guest: an access sees the clock before it or after it. Only one caller at a time gets
 * through (-EBUSY: try again); a filter whose vCPU takes a sample at this moment counts as one.
 */
#ifndef IOFILTER_CLOCKCTL_H
#define IOFILTER_CLOCKCTL_H

#include <errno.h>
#include <iofilter/clock_sample.h>

/* struct iofilter_clock.writer: whose the try-lock is. 1: a sample's. */
enum { IOFILTER_CLOCK_LOOKING = 2, IOFILTER_CLOCK_CHANGING, IOFILTER_CLOCK_LEAVING };

/* While the epoch is odd no reader can answer; one that has begun before it finds out at its end. */
static inline int iofilter_clockctl_bar(struct iofilter_clock *clk)
{
	__u64 epoch = iofilter_load(clk->epoch);

	/* Fails if this was held up for so long that the lock is another's by now. */
	return __sync_val_compare_and_swap(&clk->epoch, epoch, (epoch + 1) | 1) == epoch ? 0 : -EBUSY;
}

/* Return: is it still ours to leave? Who was taken for dead meanwhile (iofilter_clockctl_break()) finds the lock free, or another's. */
static inline int iofilter_clockctl_leaving(struct iofilter_clock *clk, __u32 what)
{
	return __sync_val_compare_and_swap(&clk->writer, what, IOFILTER_CLOCK_LEAVING) == what;
}

/* To the next epoch that readers can answer in, whatever was left behind. */
static inline void iofilter_clockctl_leave(struct iofilter_clock *clk)
{
	__sync_fetch_and_add(&clk->epoch, 2 - (iofilter_load(clk->epoch) & 1));
	__sync_lock_test_and_set(&clk->writer, 0);
}

static inline int iofilter_clockctl_begin(struct iofilter_clock *clk)
{
	if (__sync_val_compare_and_swap(&clk->writer, 0, IOFILTER_CLOCK_CHANGING) || iofilter_clockctl_bar(clk))
		return -EBUSY;
	iofilter_store(clk->ready, 0);
	return 0;
}

static inline void iofilter_clockctl_end(struct iofilter_clock *clk)
{
	if (iofilter_clockctl_leaving(clk, IOFILTER_CLOCK_CHANGING))
		iofilter_clockctl_leave(clk);
}

/* All of the clock as it is at one moment, between this and iofilter_clockctl_looked(). */
static inline int iofilter_clockctl_look(struct iofilter_clock *clk)
{
	if (__sync_val_compare_and_swap(&clk->writer, 0, IOFILTER_CLOCK_LOOKING))
		return -EBUSY;
	/* Of one that the VMM owns no answer matters. */
	return clk->mode < IOFILTER_CLOCK_OWNED ? iofilter_clockctl_bar(clk) : 0;
}

/*
 * An answer of the VMM that a vCPU came back with meanwhile was dropped, for the lock was held. Nobody is to be answered below it, so a newer one
 * must come first. @now: CLOCK_MONOTONIC.
 */
static inline void iofilter_clockctl_looked(struct iofilter_clock *clk, __u64 now)
{
	if (!iofilter_clockctl_leaving(clk, IOFILTER_CLOCK_LOOKING))
		return;
	if (clk->mode < IOFILTER_CLOCK_OWNED) {
		iofilter_clock_wait(clk, now);
		iofilter_clockctl_leave(clk);
	} else {
		__sync_lock_test_and_set(&clk->writer, 0);
	}
}

/* Inside begin and end, all that follow to the next line. */

static inline void iofilter_clockctl_forget_bounds(struct iofilter_clock *clk)
{
	clk->high = 0;
	clk->floor = 0;
	clk->matches = 0;
	clk->bounded = 0;
}

/* What was answered by the clock as it was says nothing about what it is now. */
static inline void iofilter_clockctl_forget(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus)
{
	__u32 i;

	for (i = 0; i < IOFILTER_MAX_VCPUS; i++)
		iofilter_store(vcpus[i].last, 0);
	iofilter_clockctl_forget_bounds(clk);
}

/* From @now on it is its owner's, and shows CLOCK_MONOTONIC + @offset. */
static inline void iofilter_clockctl_owned(struct iofilter_clock *clk, __u64 now, __s64 offset)
{
	iofilter_clockctl_forget_bounds(clk);
	clk->lo = clk->hi = offset;
	clk->mask = iofilter_width_mask(clk->width);
	clk->second = (now + offset) / IOFILTER_NSEC_PER_SEC;
	clk->settled_at = 0;
	clk->proven_at = now + (1ULL << 62); /* never expires */
	clk->since = now;
	clk->proof = IOFILTER_PROVEN;
	clk->fuse = IOFILTER_FUSE_OK;
	clk->mode = IOFILTER_CLOCK_OWNED;
}

/* It stands at @virt. */
static inline void iofilter_clockctl_stopped(struct iofilter_clock *clk, __u64 virt)
{
	clk->mask = iofilter_width_mask(clk->width);
	clk->stopped = virt;
	clk->second = virt / IOFILTER_NSEC_PER_SEC;
	clk->mode = IOFILTER_CLOCK_STOPPED;
}

/* Only answers of the VMM after @now prove it. */
static inline void iofilter_clockctl_unproven(struct iofilter_clock *clk, __u64 now)
{
	if (clk->proof == IOFILTER_PROVEN)
		clk->proof = IOFILTER_UNPROVEN;
	clk->settled_at = 0;
	clk->proven_at = 0;
	clk->need = now;
	clk->sign_at = now; /* the clock may well have moved meanwhile */
}

/* ---- */

/*
 * Who has the lock was killed. Take it away, at @now, so that the next one gets it. What was half changed says nothing: nobody is
 * answered by it, and one that is to be proven is proven anew, not below what vcpus[].last says.
 */
static inline void iofilter_clockctl_break(struct iofilter_clock *clk, __u64 now)
{
	__u32 writer = iofilter_load(clk->writer);

	switch (writer) {
	case IOFILTER_CLOCK_LOOKING:
		iofilter_clockctl_looked(clk, now);
		return;
	case IOFILTER_CLOCK_CHANGING:
	case IOFILTER_CLOCK_LEAVING:
		break;
	default:
		/* A sample leaves nothing half done that matters. */
		__sync_val_compare_and_swap(&clk->writer, writer, 0);
		return;
	}
	if (!iofilter_clockctl_leaving(clk, writer))
		return;
	if (iofilter_load(clk->epoch) & 1) {
		iofilter_store(clk->ready, 0);
		if (clk->mode < IOFILTER_CLOCK_OWNED) {
			iofilter_clockctl_forget_bounds(clk);
			iofilter_clockctl_unproven(clk, now);
		}
	}
	iofilter_clockctl_leave(clk);
}

/*
 * The VMM owns the clock: it shows CLOCK_MONOTONIC + @offset ns, exactly and from now on. @now: CLOCK_MONOTONIC, ns.
 * now + offset must not be negative.
 *
 * Return: 0, -EBUSY, -EINVAL.
 */
static inline int iofilter_clock_own(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus, __u64 now, __s64 offset)
{
	int err;

	if ((__s64)now + offset < 0)
		return -EINVAL;
	err = iofilter_clockctl_begin(clk);
	if (err)
		return err;
	iofilter_clockctl_forget(clk, vcpus);
	iofilter_clockctl_owned(clk, now, offset);
	clk->ready = 1;
	iofilter_clockctl_end(clk);
	return 0;
}

/*
 * Its owner stops the clock at virtual time @virt ns: every read shows that. Whoever holds it may become its owner so.
 *
 * Return: 0, -EBUSY, -EPERM: neither owned nor held.
 */
static inline int iofilter_clock_stop(struct iofilter_clock *clk, __u64 virt)
{
	int err;

	if (clk->mode == IOFILTER_CLOCK_PROVE)
		return -EPERM;
	err = iofilter_clockctl_begin(clk);
	if (err)
		return err;
	iofilter_clockctl_stopped(clk, virt);
	iofilter_clockctl_end(clk);
	return 0;
}

/* Nothing is answered until iofilter_clock_prove() or iofilter_clock_own(). Return: 0, -EBUSY. */
static inline int iofilter_clock_hold(struct iofilter_clock *clk)
{
	int err = iofilter_clockctl_begin(clk);

	if (err)
		return err;
	clk->mode = IOFILTER_CLOCK_HELD;
	iofilter_clockctl_end(clk);
	return 0;
}

/* Nobody owns the clock (any more): it is proven anew, from answers of the VMM after @now. Return: 0, -EBUSY. */
static inline int iofilter_clock_prove(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus, __u64 now)
{
	int err = iofilter_clockctl_begin(clk);

	if (err)
		return err;
	iofilter_clockctl_forget(clk, vcpus);
	iofilter_clockctl_unproven(clk, now);
	clk->mode = IOFILTER_CLOCK_PROVE;
	iofilter_clockctl_end(clk);
	return 0;
}

#endif /* IOFILTER_CLOCKCTL_H */
