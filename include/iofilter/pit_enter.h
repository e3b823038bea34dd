/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The lock, and what is at the VMM. The VMM sees the accesses of one vCPU in order; of those of several that are there at once nobody
 * knows which came first.
 */
#ifndef IOFILTER_PIT_ENTER_H
#define IOFILTER_PIT_ENTER_H

#include <iofilter/pit_clock.h>

PIT_PROG int pit_lock_slow(struct iofilter_pit *p PIT_ARG)
{
	return iofilter_try_lock(&p->lock);
}

static inline __u64 pit_index(__u64 vcpu)
{
	PIT_BOUND(vcpu);
	return vcpu & (IOFILTER_MAX_VCPUS - 1);
}

/* From now on this vCPU has @what at the VMM, since @now. One that is not in the table does not get here. */
static inline void pit_opens(struct iofilter_pit *p, __u32 vcpu, enum pit_open what, __u64 now)
{
	__u64 i = pit_index(vcpu);
	__u8 was = p->open_by[i];

	p->nr_reads += (what == PIT_READING) - (was == PIT_READING);
	p->nr_writes += (what == PIT_WRITING) - (was == PIT_WRITING);
	p->open_by[i] = what;
	p->opened_at[i] = now;
}

/* The VMM is done with what was punted at @t0, and is not what this vCPU has there by now, if that is older. */
static inline int pit_closes(struct iofilter_pit *p, __u32 vcpu, __u64 t0)
{
	__u64 i = pit_index(vcpu);

	if (vcpu >= IOFILTER_MAX_VCPUS || p->open_by[i] == PIT_NONE || t0 < p->opened_at[i])
		return 0;
	pit_opens(p, vcpu, PIT_NONE, 0);
	return 1;
}

/* Accesses that nobody followed: of some vCPUs the VMM has got any, or is done with what they had there. */
PIT_PROG int pit_confused(struct iofilter_pit *p PIT_ARG)
{
	__u8 missed;
	int i;

	/* Before we look who it was: who comes later sets it again. */
	if (!p->blind)
		__sync_fetch_and_and(&p->attention, ~PIT_CONFUSED);
	p->conflicts++;
	for (i = 0; i < PIT_CHANNELS; i++)
		pit_forget(p, &p->channels[i]);
	pit_forget_system(p);
	p->open_kind = PIT_NOTHING;
	iofilter_for(i, IOFILTER_MAX_VCPUS) {
		missed = iofilter_load(p->missed[pit_index(i)]);
		if (missed == PIT_NONE)
			continue;
		iofilter_store(p->missed[pit_index(i)], PIT_NONE);
		pit_opens(p, i, missed == PIT_DONE ? PIT_NONE : PIT_WRITING, 0);
	}
	return 0;
}

/* Return: 0, or -1: whoever comes next knows no more than that this vCPU has something at the VMM, or (@what) not any more. */
static inline int pit_lock(struct iofilter_pit *p, __u32 vcpu, enum pit_open what)
{
	if (vcpu < IOFILTER_MAX_VCPUS && (!__sync_val_compare_and_swap(&p->lock, 0, 1) || !pit_lock_slow(p))) {
		if (iofilter_load(p->attention) & PIT_CONFUSED)
			pit_confused(p);
		return 0;
	}
	if (vcpu >= IOFILTER_MAX_VCPUS)
		iofilter_store(p->blind, 1);
	else
		iofilter_store(p->missed[pit_index(vcpu)], what);
	__sync_fetch_and_or(&p->attention, PIT_CONFUSED);
	return -1;
}

static inline void pit_unlock(struct iofilter_pit *p)
{
	iofilter_unlock(&p->lock);
}

/* Is the channel's time proven, and known well enough for what comes again after @period_ns? */
static inline __u32 pit_good(const struct pit_channel *c, __u64 period_ns)
{
	return c->clock.ready && !c->clock.floor && 4 * (__u64)(c->clock.hi - c->clock.lo) < period_ns;
}

/* What of the channel the quick path need not ask: all this changes in the slow one only. */
static inline __u32 pit_quick_of(const struct pit_channel *c)
{
	__u32 states = c->states, quick = pit_has_status(c) ? 0 : PIT_QUICK_LATCHED;

	if (!pit_good(c, c->period_ns))
		return quick;
	if (!pit_has_count(c) && !pit_has_status(c))
		quick |= PIT_QUICK_LATCH;
	if (states == PIT_STATE(PIT_RW_LSB, 0, 0))
		quick |= PIT_QUICK_LSB;
	if (states == PIT_STATE(PIT_RW_MSB, 0, 0))
		quick |= PIT_QUICK_MSB;
	return quick;
}

/* The same for port 0x61. */
static inline __u32 pit_quick_system_of(const struct iofilter_pit *p)
{
	const struct pit_channel *c = &p->channels[2];

	return p->gate != PIT_UNKNOWN && !p->gate_old && p->data != PIT_UNKNOWN && p->toggle != PIT_UNKNOWN && p->toggles >= PIT_TOGGLES &&
	       !c->phase_only && (c->mode == 0 || c->mode > 5) && pit_good(c, c->count_ns);
}

/* At the end of an access that was not a quick one. */
PIT_PROG int pit_leave_channel(struct pit_channel *c PIT_ARG)
{
	c->quick = pit_quick_of(c);
	return pit_in_flight(c) | (c->loading || (c->latch_at && !c->latch_end)) << 4;
}

/* What the overlay is at this moment is told. Return: the bits of what it was not, when it was told last. */
PIT_PROG int pit_told(struct iofilter_pit *p PIT_ARG)
{
	__u32 changed = (__u32)(p->told_odd != p->odd) << PIT_HOT_ODD;
	int i;

	p->told_odd = p->odd;
	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_told *t = &p->told[i];
		struct pit_channel *c = &p->channels[i];

		changed |= (__u32)(t->pair != c->pair) << (PIT_HOT_PAIR + i) | (__u32)(t->latched != c->latched) << (PIT_HOT_LATCHED + i) |
			   (__u32)(t->latch != c->latch) << (PIT_HOT_LATCH + i) |
			   (__u32)(t->status_latched != c->status_latched) << (PIT_HOT_STATUS_LATCHED + i) |
			   (__u32)(t->status != c->status) << (PIT_HOT_STATUS + i);
		t->pair = c->pair;
		t->latched = c->latched;
		t->latch = c->latch;
		t->status_latched = c->status_latched;
		t->status = c->status;
	}
	return changed;
}

static inline void pit_leave(struct iofilter_pit *p)
{
	int i, n, in_flight = p->odd, pending = p->nr_reads || p->nr_writes;

	for (i = 0; i < PIT_CHANNELS; i++) {
		n = pit_leave_channel(&p->channels[i]);
		in_flight += n & 15;
		pending |= n >> 4;
	}
	p->quick_system = pit_quick_system_of(p);
	/* Nothing is at the VMM, and what was has been followed up. */
	p->calm = pending ? 0 : p->entered;
	p->head.in_flight = in_flight;
	if (iofilter_load(p->attention) & PIT_FOLLOWED) {
		n = pit_told(p);
		if (n)
			__sync_fetch_and_or(&p->changed, (__u64)n);
	}
	pit_unlock(p);
}

static inline int pit_punt(struct iofilter_pit *p, __u32 why)
{
	if (why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&p->verdicts[why], 1);
	return 0;
}

/* A read goes to the VMM. */
static inline void pit_read_opens(struct iofilter_pit *p, const struct kvm_iofilter_req *req, enum pit_kind kind, __u32 channel,
				  int others)
{
	/* Whose answer is whose cannot be told apart then. */
	p->open_kind = others ? PIT_NOTHING : kind;
	pit_opens(p, req->vcpu, PIT_READING, req->now);
	p->open_vcpu = req->vcpu;
	p->open_channel = channel;
	p->open_addr = req->addr;
}

enum { PIT_NOT_IN_TABLE = 1, PIT_AWAY = 2 };

PIT_PROG int pit_enter_channel(struct pit_channel *c PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG)
{
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	int ret = 0;

	if (!v || iofilter_clock_enter(&c->clock, req->vcpu))
		return PIT_NOT_IN_TABLE;
	if (req->flags & KVM_IOFILTER_REQ_SLEPT)
		iofilter_clock_slept(&c->clock, v);
	if (req->flags & KVM_IOFILTER_REQ_AWAY) {
		iofilter_clock_seen(&c->clock, v, req->now, req->away);
		if (req->away >= c->clock.absence) {
			pit_clock_doubt(c);
			ret = PIT_AWAY;
		}
	}
	/* Another vCPU's load may be over, too, but perhaps only since @now: the module tells. */
	if (c->loading && c->load_vcpu == req->vcpu)
		pit_load_end(c, req->now);
	if (c->latch_at && !c->latch_end && c->latch_vcpu == req->vcpu)
		c->latch_end = req->now;
	return ret;
}

/* The VMM's clock may not be where it was, since @now at the latest. */
PIT_PROG int pit_doubt(struct iofilter_pit *p PIT_ARG, __u64 now)
{
	int i;

	p->gate_old = 1;
	for (i = 0; i < PIT_CHANNELS; i++) {
		pit_clock_doubt(&p->channels[i]);
		iofilter_clock_doubt(&p->channels[i].clock, now);
	}
	return 0;
}

/*
 * First on every access. What this vCPU had at the VMM is done. Return: whether another vCPU's access is there, so that the VMM may
 * see this one before or after it.
 */
PIT_PROG int pit_enter(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG)
{
	int i, seen = 0;

	if (iofilter_load(p->attention) & PIT_DOUBTED) {
		__sync_fetch_and_and(&p->attention, ~PIT_DOUBTED);
		pit_doubt(p, req->now);
	}
	for (i = 0; i < PIT_CHANNELS; i++)
		seen |= pit_enter_channel(&p->channels[i], req);
	if (seen & PIT_AWAY)
		p->gate_old = 1;
	if (!(seen & PIT_NOT_IN_TABLE) && p->entered <= req->vcpu)
		p->entered = req->vcpu + 1;
	pit_closes(p, req->vcpu, ~0ULL);
	return seen & PIT_NOT_IN_TABLE || ((p->nr_reads || p->nr_writes) && IOFILTER_CLAUSE(PIT_ORDER));
}

#endif /* IOFILTER_PIT_ENTER_H */
