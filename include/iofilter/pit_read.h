/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Reads of the PIT: a counter's port, and port 0x61. */
#ifndef IOFILTER_PIT_READ_H
#define IOFILTER_PIT_READ_H

#include <iofilter/pit_enter.h>

/* The guest polls if its unlatched pairs follow each other closely. */
static inline int pit_polls(struct pit_channel *c, __u64 now)
{
	if (now - c->poll_at > c->clock.absence)
		c->polls = 0;
	c->poll_at = now;
	if (c->polls < PIT_POLLS)
		c->polls++;
	return c->polls >= PIT_POLLS;
}

/* A read that the overlay must answer. Return: whether it was one. */
static inline int pit_read_overlay(struct pit_channel *c, struct kvm_iofilter_req *req, const struct iofilter_vcpu *v)
{
	if (c->status_latched) {
		req->val = c->status;
		c->status_latched = 0;
		return 1;
	}
	/* A status that the VMM has comes first. */
	if (pit_has_status(c))
		return 0;
	if (c->latched) {
		req->val = pit_byte(c->latch, c->latched == PIT_RW_MSB);
		c->latched = c->latched == PIT_RW_WORD ? PIT_RW_MSB : 0;
		return 1;
	}
	if (!c->pair || pit_has_count(c))
		return 0;
	c->pair = 0;
	req->val = pit_byte(pit_value(c->mode, c->count, pit_ticks(pit_virt_forced(c, v, req->now))), 1);
	return 1;
}

/* An unlatched byte, if the clock allows. */
static inline __u32 pit_read_live(struct iofilter_pit *p, struct pit_channel *c, struct kvm_iofilter_req *req,
				  struct iofilter_vcpu *v)
{
	enum pit_kind kind = pit_kind(c);
	struct pit_time t = {};
	__u32 word, why;

	if (!c->programmed || (kind != PIT_LSB && kind != PIT_MSB))
		return IOFILTER_PUNT_UNPROVEN;
	word = pit_flipflop(c);
	/* The VMM has answered the LSB: the MSB is its, too. */
	if (word == PIT_WORD_MSB)
		return IOFILTER_PUNT_SHAPE;
	if (word == PIT_RW_WORD && !pit_polls(c, req->now))
		return IOFILTER_PUNT_SHAPE;
	if (iofilter_load(p->attention) & PIT_HELD || (word == PIT_RW_WORD && iofilter_load(p->head.drain)))
		return IOFILTER_PUNT_HELD;
	if (!pit_narrow_enough(c, pit_period(c->mode, c->count ? c->count : 1)))
		return IOFILTER_PUNT_UNPROVEN;
	why = pit_clock_read(c, req, &t);
	req->delay = t.delay;
	if (why != IOFILTER_ANSWERED)
		return why;
	iofilter_store(v->last, t.virt);
	req->val = pit_byte(pit_value(c->mode, c->count, pit_ticks(t.virt)), kind == PIT_MSB);
	c->pair = word == PIT_RW_WORD;
	return IOFILTER_ANSWERED;
}

PIT_PROG int pit_read_counter(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG, struct kvm_iofilter_req *req PIT_ARG,
			      __u32 channel, int others)
{
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	__u32 why;

	if (v && pit_read_overlay(c, req, v))
		return 1;
	why = !v ? IOFILTER_PUNT_VCPU : others ? IOFILTER_PUNT_BUSY : pit_read_live(p, c, req, v);
	if (why == IOFILTER_ANSWERED)
		return 1;
	pit_read_opens(p, req, pit_kind(c), channel, others);
	p->open_states = c->states;
	/* Two reads may change places, a read and a write may not. */
	if (p->nr_writes)
		pit_conflict(p, c);
	else
		pit_step(c, PIT_OP_READ, 0);
	return pit_punt(p, why);
}

/* The output for the second of two reads. Return: -1, nothing is known that is near enough. */
static inline int pit_out_forced(const struct pit_channel *c, const struct iofilter_vcpu *v, __u64 now, __u64 *out)
{
	__u64 width = c->clock.hi - c->clock.lo, virt = pit_virt_forced(c, v, now);

	if (!c->programmed || !c->count || c->loading || !c->clock.bounded)
		return -1;
	/* As pit_clock_out(). */
	if (c->mode == 1)
		return -1;
	/* Made anew from where in its period the count was: the output's may be twice as long. */
	if (c->phase_only && !c->renew)
		return -1;
	*out = pit_out(c->mode, c->count, pit_ticks(virt));
	if (width <= c->clock.bracket)
		return 0;
	return pit_narrow_enough(c, c->count) && *out == pit_out(c->mode, c->count, pit_ticks(virt + width)) ? 0 : -1;
}

PIT_PROG int pit_read_system(struct iofilter_pit *p PIT_ARG, struct kvm_iofilter_req *req PIT_ARG, int others)
{
	struct pit_channel *c = &p->channels[2];
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	__u32 why = IOFILTER_PUNT_UNPROVEN;
	struct pit_time t = {};

	if (!v) {
		why = IOFILTER_PUNT_VCPU;
	} else if (p->gate != PIT_UNKNOWN && p->data != PIT_UNKNOWN && p->toggle != PIT_UNKNOWN &&
		   (p->toggles >= PIT_TOGGLES || p->odd)) {
		why = others						       ? IOFILTER_PUNT_BUSY :
		      iofilter_load(p->attention) & PIT_HELD || (iofilter_load(p->head.drain) && !p->odd) ? IOFILTER_PUNT_HELD :
		      p->gate_old					       ? IOFILTER_PUNT_SUSPECT :
										 (__u32)pit_clock_out(c, req, &t);
		/* The second of two: bit 4 is inverted by each read, so that the VMM's is right again only after both. */
		if (why != IOFILTER_ANSWERED && p->odd && IOFILTER_CLAUSE(PIT_ODD) && !pit_out_forced(c, v, req->now, &t.out)) {
			why = IOFILTER_ANSWERED;
			t.delay = 0;
		}
	}
	if (why == IOFILTER_ANSWERED) {
		p->odd ^= 1;
		req->val = p->gate * PIT_61_GATE | p->data * PIT_61_DATA | (p->toggle ^ p->odd) * PIT_61_REFRESH | t.out * PIT_61_OUT;
		return 1;
	}
	req->delay = t.delay;
	pit_read_opens(p, req, PIT_SYSTEM_PORT, 2, others);
	pit_cut_odd(p);
	if (p->toggle != PIT_UNKNOWN)
		p->toggle ^= 1;
	return pit_punt(p, why);
}

#endif /* IOFILTER_PIT_READ_H */
