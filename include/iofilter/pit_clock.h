/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The time of a PIT channel: a clock (clock.h) whose virtual time is the ns since the VMM loaded the count. A load is a new clock
 * of that channel only. The load's own bracket bounds it; answers of the VMM prove and narrow it. Under the PIT's lock.
 */
#ifndef IOFILTER_PIT_CLOCK_H
#define IOFILTER_PIT_CLOCK_H

#include <stddef.h>
#include <iofilter/pit_model.h>

/* The compiler would move a bound, or drop it where it seems to change nothing. The verifier must see it just before the use. */
#define PIT_BOUND(i) asm volatile("" : "+r"(i))

/* NULL: it is not in the table. */
static inline struct iofilter_vcpu *pit_vcpu(struct pit_channel *c, __u64 vcpu)
{
	if (vcpu >= IOFILTER_MAX_VCPUS)
		return NULL;
	PIT_BOUND(vcpu);
	return &c->vcpus[vcpu & (IOFILTER_MAX_VCPUS - 1)];
}

static inline struct pit_channel *pit_channel(struct iofilter_pit *p, __u64 channel)
{
	if (channel >= PIT_CHANNELS)
		channel = 0;
	PIT_BOUND(channel);
	return &p->channels[channel];
}

/* Are the bounds narrower than a quarter of the period? */
static inline int pit_narrow_enough(const struct pit_channel *c, __u32 period)
{
	return 4 * (__u64)(c->clock.hi - c->clock.lo) < iofilter_ticks_to_ns(period, PIT_HZ);
}

/*
 * The count was loaded in [@from, @to] of CLOCK_MONOTONIC, by @vcpu. Seen so closely it is as good as two answers that match: one
 * more and the clock is proven.
 */
PIT_PROG int pit_clock_start(struct pit_channel *c PIT_ARG, __u64 from, __u64 to, __u32 vcpu)
{
	struct iofilter_clock *clk = &c->clock;
	__u32 n = iofilter_load(clk->nr_vcpus);
	struct iofilter_vcpu *v;
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
	clk->bounded = IOFILTER_BOUNDED;
	clk->settled_at = to;
	clk->proven_at = from;
	c->misses = 0;
	/*
	 * Nobody looked for long, or the vCPU was away amid the writes, as it is during a reset: a word will tell where in its period
	 * the count is, and the words after it whether it is still the one that was written.
	 */
	if (c->mode_old || c->count_old) {
		c->mode_old = 1;
		c->count_old = 1;
	}
	c->renew = c->mode_old || !pit_narrow_enough(c, c->count ? pit_period(c->mode, c->count) : 1);
	/* Wide bounds are right, too, even if the VM was stopped meanwhile: then the count is younger, not older. */
	c->phase_only = c->renew;
	if (!c->renew && to - from <= clk->bracket) {
		clk->matches = IOFILTER_PROOFS - 1;
		v = pit_vcpu(c, vcpu);
		if (v)
			v->trusted = 1;
	}
	__sync_fetch_and_add(&clk->epoch, 1);
	return 0;
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

/* May the vCPU be answered with a time of this channel? Return: IOFILTER_ANSWERED and @t->virt, or why not. */
PIT_PROG int pit_clock_read(struct pit_channel *c PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, struct pit_time *t PIT_ARG)
{
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);

	if (!v)
		return IOFILTER_PUNT_VCPU;
	if (!c->programmed || !c->count || c->loading || !c->clock.bounded)
		return IOFILTER_PUNT_UNPROVEN;
	return iofilter_clock_read(&c->clock, c->vcpus, v, req->now, IOFILTER_CLAUSE(BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY,
				   &t->delay, &t->virt);
}

/*
 * The same for the output, in @t->out: only if it is the same for all that the bounds allow, so that the VMM itself answers its
 * edges.
 */
PIT_PROG int pit_clock_out(struct pit_channel *c PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, struct pit_time *t PIT_ARG)
{
	__u32 count = c->count, why;
	__u64 d, late;

	/* QEMU's versions differ in mode 1: 7.2 has it high until the count is over, as KVM's own PIT; 10.0 from then on. */
	if (c->mode == 1)
		return IOFILTER_PUNT_UNPROVEN;
	if (c->phase_only && IOFILTER_CLAUSE(PIT_PHASE))
		return IOFILTER_PUNT_SUSPECT;
	if (!count || !pit_narrow_enough(c, count))
		return IOFILTER_PUNT_UNPROVEN;
	why = pit_clock_read(c, req, t);
	if (why != IOFILTER_ANSWERED)
		return why;
	late = pit_ticks(t->virt + (c->clock.hi - c->clock.lo)) + 1;
	d = pit_ticks(t->virt);
	t->out = pit_out(c->mode, count, d);
	/* Of modes 2, 4 and 5 a pulse of one tick could lie in between. */
	if (c->mode == 2 && d / count != late / count)
		return IOFILTER_PUNT_UNPROVEN;
	if ((c->mode == 4 || c->mode == 5) && d <= count && late >= count)
		return IOFILTER_PUNT_UNPROVEN;
	if (IOFILTER_CLAUSE(PIT_EDGE) && (t->out != pit_out(c->mode, count, late) || t->out != pit_out(c->mode, count, late - 1)))
		return IOFILTER_PUNT_UNPROVEN;
	return IOFILTER_ANSWERED;
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

#endif /* IOFILTER_PIT_CLOCK_H */
