/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Writes to the PIT: latch commands, control words, counts, and port 0x61. */
#ifndef IOFILTER_PIT_WRITE_H
#define IOFILTER_PIT_WRITE_H

#include <iofilter/pit_enter.h>

/* What to latch; and: do it, if it can be done. */
enum { PIT_LATCH_COUNT = 1, PIT_LATCH_STATUS = 2, PIT_LATCH_DO = 4 };

/*
 * Latch of one channel what is not latched already, here or at the VMM. Return: IOFILTER_ANSWERED, all of it can be latched here; or why
 * not, then nothing was.
 */
PIT_PROG int pit_latch_one(struct pit_channel *c PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, __u32 what)
{
	int count = what & PIT_LATCH_COUNT && !c->latched;
	int status = what & PIT_LATCH_STATUS && !c->status_latched;
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	struct pit_time t = {};
	__u64 virt = 0;
	__u32 why;

	if (!v)
		return IOFILTER_PUNT_VCPU;
	/* Which of the two sides' a read takes first, the filter must know. */
	if (!c->programmed || (count && (pit_has_count(c) < 0 || pit_has_status(c) < 0)) || (status && pit_has_status(c) < 0))
		return IOFILTER_PUNT_UNPROVEN;
	count &= !pit_has_count(c);
	status &= !pit_has_status(c);
	if (count) {
		if (!pit_narrow_enough(c, pit_period(c->mode, c->count ? c->count : 1)))
			return IOFILTER_PUNT_UNPROVEN;
		why = pit_clock_read(c, req, &t);
		if (why != IOFILTER_ANSWERED)
			return why;
		virt = t.virt;
	}
	if (status) {
		why = pit_clock_out(c, req, &t);
		if (why != IOFILTER_ANSWERED)
			return why;
	}
	if (!(what & PIT_LATCH_DO))
		return IOFILTER_ANSWERED;
	if (count) {
		iofilter_store(v->last, virt);
		c->latch = pit_value(c->mode, c->count, pit_ticks(virt));
		c->latched = c->rw;
	}
	if (status) {
		c->status = (t.out ? PIT_STATUS_OUT : 0) | c->rw << 4 | c->mode << 1 | c->bcd;
		c->status_latched = 1;
	}
	return IOFILTER_ANSWERED;
}

/* The VMM gets it. */
PIT_PROG int pit_latch_punted(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG,
			      const struct kvm_iofilter_req *req PIT_ARG, __u32 what)
{
	/* The guest's device would ignore this; the VMM's, which does not know of our latch, will not. */
	if ((what & PIT_LATCH_COUNT && c->latched) || (what & PIT_LATCH_STATUS && c->status_latched))
		pit_conflict(p, c);
	if (what & PIT_LATCH_COUNT && !pit_has_count(c)) {
		c->latch_at = req->now;
		c->latch_end = 0;
		c->latch_vcpu = req->vcpu;
		c->latch_lsb = 0;
	}
	if (what & PIT_LATCH_COUNT)
		pit_step(c, PIT_OP_LATCH, c->programmed ? c->rw : PIT_RW_WORD);
	if (what & PIT_LATCH_STATUS)
		pit_step(c, PIT_OP_STATUS, 0);
	/* What a latch holds depends on a mode that we have not seen. */
	if (!c->programmed)
		pit_blur(c);
	return 0;
}

/* Latch command or read-back of @channels: all of it here, or all of it at the VMM. */
PIT_PROG int pit_latch(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, __u32 channels, __u32 what,
		       int others)
{
	__u32 why = others							    ? IOFILTER_PUNT_BUSY :
		    iofilter_load(p->head.drain) || iofilter_load(p->attention) & PIT_HELD ? IOFILTER_PUNT_HELD :
										      IOFILTER_ANSWERED;
	int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		if (channels >> i & 1 && why == IOFILTER_ANSWERED)
			why = pit_latch_one(&p->channels[i], req, what);
	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &p->channels[i];

		if (!(channels >> i & 1))
			continue;
		/* Nothing has changed since the first round; but if, then nobody has latched anything for nothing. */
		if (why == IOFILTER_ANSWERED)
			pit_latch_one(c, req, what | PIT_LATCH_DO);
		else if (others)
			pit_conflict(p, c);
		else
			pit_latch_punted(p, c, req, what);
	}
	return why == IOFILTER_ANSWERED;
}

/* Its mode or count is a new one. */
static inline void pit_periods(struct pit_channel *c)
{
	if (!c->count)
		return;
	c->period_ns = iofilter_ticks_to_ns(pit_period(c->mode, c->count), PIT_HZ);
	c->count_ns = iofilter_ticks_to_ns(c->count, PIT_HZ);
	c->base = 0;
}

PIT_PROG int pit_control(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG, __u8 val, int others)
{
	if (others) {
		pit_conflict(p, c);
		return 0;
	}
	c->rw = PIT_RW(val);
	c->mode = PIT_M(val);
	c->bcd = val & PIT_BCD;
	c->write_state = c->rw;
	c->programmed = 1;
	c->pair = 0;
	c->polls = 0;
	/* A latched count stays, but it is one of the old mode. */
	c->latch_at = 0;
	c->mode_old = 0;
	/* Where in its period it was does not say where in another one it is. */
	if (c->phase_only && c->clock.bounded) {
		iofilter_clock_unprove(&c->clock);
		c->clock.bounded = 0;
	}
	pit_step(c, PIT_OP_PROGRAM, c->rw);
	pit_periods(c);
	return 0;
}

PIT_PROG int pit_write_counter(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG,
			       const struct kvm_iofilter_req *req PIT_ARG, int others)
{
	__u8 val = req->val;
	__u32 count;

	if (others)
		pit_conflict(p, c);
	if (!c->programmed)
		return 0;
	if (c->write_state == PIT_RW_WORD) {
		c->write_latch = val;
		c->write_state = PIT_WORD_MSB;
		return 0;
	}
	count = c->write_state == PIT_RW_LSB ? val : val << 8;
	if (c->write_state == PIT_WORD_MSB) {
		count |= c->write_latch;
		c->write_state = PIT_RW_WORD;
	}
	c->count = count ? count : PIT_COUNT_MAX;
	c->count_old = 0;
	pit_periods(c);
	pit_load_begin(c, req->now, req->vcpu);
	return 0;
}

PIT_PROG int pit_write_system(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, int others)
{
	struct pit_channel *c = &p->channels[2];
	__u8 gate = req->val & PIT_61_GATE;

	if (others) {
		pit_forget_system(p);
		pit_conflict(p, c);
		return 0;
	}
	p->data = !!(req->val & PIT_61_DATA);
	/* After an absence the mode is not certain either. */
	if (gate && p->gate_old) {
		pit_load_begin(c, req->now, req->vcpu);
		c->loading = 0;
	} else if (gate && p->gate != 1 && (c->mode == 1 || c->mode == 2 || c->mode == 3 || c->mode == 5)) {
		pit_load_begin(c, req->now, req->vcpu);
		/* It starts the count anew only if it was low. */
		c->loading = p->gate != PIT_UNKNOWN;
	}
	p->gate = gate;
	p->gate_old = 0;
	return 0;
}

#endif /* IOFILTER_PIT_WRITE_H */
