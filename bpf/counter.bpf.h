/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A free-running counter on a VMM that does not cooperate: what its read, write and sample programs do. The including
 * file defines the state (its initial values are the device) and the ops.
 */
#ifndef BPF_COUNTER_BPF_H
#define BPF_COUNTER_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/counter.h>

/* Keeps the address of the state in a register; the compiler would load it anew at each use. */
#define counter_of(state)                               \
	({                                              \
		struct iofilter_counter *__c = &(state); \
		asm volatile("" : "+r"(__c));           \
		__c;                                    \
	})

static __always_inline int counter_punt(struct iofilter_counter *c, enum iofilter_verdict why)
{
	if ((__u32)why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&c->verdicts[why], 1);
	return 0;
}

/* This vCPU's line. NULL: it is not in the table (or is being entered at this moment). */
static __always_inline struct iofilter_vcpu *counter_vcpu(struct iofilter_counter *c, const struct kvm_iofilter_req *req)
{
	__u32 vcpu = req->vcpu;

	if (vcpu >= IOFILTER_MAX_VCPUS || iofilter_clock_enter(&c->clock, vcpu))
		return NULL;
	return &c->vcpus[vcpu];
}

static __always_inline int counter_answer(struct iofilter_counter *c, struct iofilter_vcpu *v,
					  struct kvm_iofilter_req *req, __u64 virt)
{
	req->val = iofilter_clock_value(&c->clock, virt);
	v->answered++;
	return 1;
}

/* What comes first on every access but a common one: this vCPU's line, and what its absence means. NULL: punt. */
static __always_inline struct iofilter_vcpu *counter_enter(struct iofilter_counter *c, const struct kvm_iofilter_req *req)
{
	struct iofilter_vcpu *v = counter_vcpu(c, req);

	if (!v)
		return NULL;
	if (req->flags & KVM_IOFILTER_REQ_SLEPT)
		iofilter_clock_slept(&c->clock, v);
	if (req->flags & KVM_IOFILTER_REQ_AWAY)
		iofilter_clock_seen(&c->clock, v, req->now, req->away);
	return v;
}

/* Whatever is not the common case. A program of its own, so that the common one saves no registers. */
static __noinline int counter_read_slow(struct iofilter_counter *c, struct kvm_iofilter_req *req)
{
	struct iofilter_vcpu *v = counter_enter(c, req);
	enum iofilter_verdict verdict;
	__u64 virt, delay = 0;

	if (!v)
		return counter_punt(c, IOFILTER_PUNT_VCPU);
	/* A string would need a value for each element, each at its own time: leave it to the VMM. */
	if (req->addr != c->addr || req->len != c->len || req->flags & KVM_IOFILTER_REQ_STRING)
		return counter_punt(c, IOFILTER_PUNT_SHAPE);
	verdict = iofilter_clock_read(&c->clock, c->vcpus, v, req->now,
				      IOFILTER_CLAUSE(BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY, &delay, &virt);
	if (verdict == IOFILTER_ANSWERED)
		return counter_answer(c, v, req, virt);
	req->delay = delay;
	return counter_punt(c, verdict);
}

static __always_inline int counter_read(struct iofilter_counter *c, struct kvm_iofilter_req *req)
{
	__u32 vcpu = req->vcpu;
	__u64 virt;

	if (vcpu < IOFILTER_MAX_VCPUS && !req->flags && req->addr == c->addr &&
	    req->len == c->len && !iofilter_clock_quick(&c->clock, &c->vcpus[vcpu], req->now, &virt))
		return counter_answer(c, &c->vcpus[vcpu], req, virt);
	return counter_read_slow(c, req);
}

static __always_inline int counter_write(struct iofilter_counter *c, const struct kvm_iofilter_req *req)
{
	counter_enter(c, req);
	return counter_punt(c, IOFILTER_PUNT_WRITE);
}

/* A value seen from another thread may be torn. Return: whether it is one to be folded in. */
static __always_inline int counter_plausible(struct iofilter_counter *c, const struct kvm_iofilter_sample *s, __u64 val)
{
	return !IOFILTER_CLAUSE(PLAUSIBLE) || !(s->flags & KVM_IOFILTER_SAMPLE_OTHER) ||
	       iofilter_clock_expects(&c->clock, s->t0, s->t1, val) || iofilter_clock_odd(&c->clock);
}

static __always_inline void counter_sample(struct iofilter_counter *c, struct kvm_iofilter_sample *s)
{
	__u64 moves;

	/* What a guest writes changes nothing here. */
	if (s->flags & KVM_IOFILTER_SAMPLE_WRITE)
		return;
	/* Userspace changes the clock at this moment, or looks at it; what it leaves behind waits for a newer sample. */
	if (__sync_val_compare_and_swap(&c->clock.writer, 0, 1))
		return;
	moves = c->clock.moves;
	if (s->flags & KVM_IOFILTER_SAMPLE_MOVED)
		iofilter_clock_doubt(&c->clock, s->t1);
	else if (s->flags & KVM_IOFILTER_SAMPLE_LOST || s->addr != c->addr || s->len != c->len ||
		 !counter_plausible(c, s, s->val))
		iofilter_clock_lost(&c->clock, s->t1);
	else
		iofilter_clock_sample(&c->clock, c->vcpus, s->t0, s->t1, s->val, s->vcpu);
	s->moved = c->clock.moves != moves;
	__sync_lock_test_and_set(&c->clock.writer, 0);
}

#endif /* BPF_COUNTER_BPF_H */
