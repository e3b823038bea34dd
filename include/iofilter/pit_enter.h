/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The lock, and what is at the VMM. The VMM sees the accesses of one vCPU in order; of those of several that are there at once nobody
 * knows which came first.
 */
#ifndef IOFILTER_PIT_ENTER_H
#define IOFILTER_PIT_ENTER_H

#include <iofilter/pit_clock.h>

/* The lock is held for about a microsecond. Who cannot have it by then, because its owner is preempted, does not wait. */
#define PIT_TRIES 256

PIT_PROG int pit_lock_slow(struct iofilter_pit *p PIT_ARG)
{
	int i;

	iofilter_for(i, PIT_TRIES) {
		if (!iofilter_load(p->lock) && !__sync_val_compare_and_swap(&p->lock, 0, 1))
			return 0;
	}
	return -1;
}

/* The VMM got an access that nobody followed. */
PIT_PROG int pit_confused(struct iofilter_pit *p PIT_ARG)
{
	int i;

	if (!__sync_lock_test_and_set(&p->confused, 0))
		return 0;
	p->conflicts++;
	for (i = 0; i < PIT_CHANNELS; i++)
		pit_forget(p, &p->channels[i]);
	pit_forget_system(p);
	p->open_kind = PIT_NOTHING;
	return 0;
}

/* Return: 0, or -1: who holds it, or comes next, knows no more than that there was an access. */
static inline int pit_lock(struct iofilter_pit *p)
{
	if (__sync_val_compare_and_swap(&p->lock, 0, 1) && pit_lock_slow(p)) {
		iofilter_store(p->confused, 1);
		return -1;
	}
	if (iofilter_load(p->confused))
		pit_confused(p);
	return 0;
}

static inline void pit_unlock(struct iofilter_pit *p)
{
	/* A store is enough on x86: none of ours before it is seen after it. */
	iofilter_barrier();
	iofilter_store(p->lock, 0);
}

/* At the end of an access that may have begun or ended a sequence. */
static inline void pit_leave(struct iofilter_pit *p)
{
	p->head.in_flight = pit_in_flight(&p->channels[0]) + pit_in_flight(&p->channels[1]) + pit_in_flight(&p->channels[2]) + p->odd;
	pit_unlock(p);
}

static inline int pit_punt(struct iofilter_pit *p, __u32 why)
{
	if (why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&p->verdicts[why], 1);
	return 0;
}

/* Whether this vCPU's read is at the VMM. NULL: it is not in the table. */
static inline __u8 *pit_open_by(struct iofilter_pit *p, __u64 vcpu)
{
	if (vcpu >= IOFILTER_MAX_VCPUS)
		return NULL;
	PIT_BOUND(vcpu);
	return &p->open_by[vcpu & (IOFILTER_MAX_VCPUS - 1)];
}

static inline void pit_read_closes(struct iofilter_pit *p, __u32 vcpu)
{
	__u8 *open = pit_open_by(p, vcpu);

	if (!open || !*open)
		return;
	*open = 0;
	p->nr_open--;
}

/* A read goes to the VMM. */
static inline void pit_read_opens(struct iofilter_pit *p, const struct kvm_iofilter_req *req, enum pit_kind kind, __u32 channel,
				  int others)
{
	__u8 *open = pit_open_by(p, req->vcpu);

	/* Whose answer is whose cannot be told apart then. */
	p->open_kind = others ? PIT_NOTHING : kind;
	if (open && !*open) {
		*open = 1;
		p->nr_open++;
	}
	p->open_vcpu = req->vcpu;
	p->open_channel = channel;
	p->open_addr = req->addr;
	p->open_at = req->now;
	p->open_quiet = !(req->flags & KVM_IOFILTER_REQ_BUSY);
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
	/* Another vCPU's load may be over, too, but perhaps only since @now: the module tells, or an answer. */
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

	if (iofilter_load(p->doubted) && __sync_lock_test_and_set(&p->doubted, 0))
		pit_doubt(p, req->now);
	for (i = 0; i < PIT_CHANNELS; i++)
		seen |= pit_enter_channel(&p->channels[i], req);
	if (seen & PIT_AWAY)
		p->gate_old = 1;
	pit_read_closes(p, req->vcpu);
	if (!(req->flags & KVM_IOFILTER_REQ_BUSY) || p->write_vcpu == req->vcpu)
		p->open_write = 0;
	return seen & PIT_NOT_IN_TABLE || ((p->nr_open || p->open_write) && IOFILTER_CLAUSE(PIT_ORDER));
}

#endif /* IOFILTER_PIT_ENTER_H */
