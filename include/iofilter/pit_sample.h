/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the module tells between the accesses: answers of the VMM to punted reads, writes that it is done with, moves of its clock. */
#ifndef IOFILTER_PIT_SAMPLE_H
#define IOFILTER_PIT_SAMPLE_H

#include <iofilter/pit_enter.h>
#include <iofilter/pit_fold.h>

static inline void pit_sample_latched(struct iofilter_pit *p, struct pit_channel *c, struct pit_shown *s, int msb)
{
	__u32 lsb = c->latch_lsb;

	if (!c->latch_at || !c->latch_end) {
		iofilter_clock_lost(&c->clock, s->t1);
		return;
	}
	if (!msb && c->rw == PIT_RW_WORD) {
		c->latch_lsb = s->val + 1;
		return;
	}
	s->t0 = c->latch_at;
	s->t1 = c->latch_end;
	s->kind = msb ? PIT_MSB : PIT_LSB;
	s->word = msb && lsb;
	if (s->word)
		s->val = s->val << 8 | ((lsb - 1) & 0xff);
	pit_fold(p, c, s);
	c->latch_at = 0;
}

static inline void pit_sample_system(struct iofilter_pit *p, struct pit_shown *s)
{
	__u8 gate = s->val & PIT_61_GATE, toggle = !!(s->val & PIT_61_REFRESH);

	if (p->toggle == toggle && p->toggle_misses < PIT_TOGGLE_MISSES) {
		p->toggles++;
	} else if (p->toggle != PIT_UNKNOWN) {
		p->toggles = 0;
		p->toggle_misses++;
	}
	/* Not by a guest's write: a reset. */
	if (p->gate != PIT_UNKNOWN && p->gate != gate)
		pit_forget(p, &p->channels[2]);
	p->gate = gate;
	p->gate_old = 0;
	p->data = !!(s->val & PIT_61_DATA);
	p->toggle = toggle;
	s->val = !!(s->val & PIT_61_OUT);
	pit_fold(p, &p->channels[2], s);
}

/*
 * A byte of a counter whose flip-flop or latches were left anyhow by what came before the filter, but whose load was seen: what cannot
 * have been the MSB by then was not it, and the states in which it would have been are ruled out. Only where the count passes through all
 * 16 bits by ones, so that the MSBs between two moments are those between two bytes.
 */
static inline void pit_sample_unclear(struct iofilter_pit *p, struct pit_channel *c, const struct pit_shown *s)
{
	__u32 before = p->open_states;
	__u8 first, last;
	__u64 from, to;

	iofilter_clock_lost(&c->clock, s->t1);
	if (!c->programmed || !c->count || c->loading || !c->clock.bounded || c->phase_only || c->mode == 3 ||
	    pit_period(c->mode, c->count) != PIT_COUNT_MAX || s->t1 - s->t0 > c->clock.bracket ||
	    c->states != pit_next(before, PIT_OP_READ, 0))
		return;
	iofilter_clock_calibrate(&c->clock, s->t1 - s->t0);
	/* The VM may have been stopped for less than an absence, which nobody sees. */
	from = pit_ticks(s->t0 + c->clock.lo - c->clock.absence);
	to = pit_ticks(s->t1 + c->clock.hi);
	first = pit_byte(pit_value(c->mode, c->count, from), 1);
	last = pit_byte(pit_value(c->mode, c->count, to), 1);
	/* The MSB was one of first, first - 1 .. last. */
	if (to - from < PIT_COUNT_MAX / 2 && (__u8)(first - s->val) > (__u8)(first - last))
		c->states = pit_next(before & ~PIT_STATE(PIT_WORD_MSB, 0, 0), PIT_OP_READ, 0);
}

/* The answer to the read that is open. */
PIT_PROG int pit_sample_answer(struct iofilter_pit *p PIT_ARG, struct pit_shown *s PIT_ARG)
{
	struct pit_channel *c = pit_channel(p, p->open_channel);

	if (s->kind == PIT_STATUS) {
		if (c->programmed && ((s->val ^ (c->rw << 4 | c->mode << 1 | c->bcd)) & 0x3f))
			pit_forget(p, c);
	} else if (s->kind == PIT_LATCHED_LSB || s->kind == PIT_LATCHED_MSB) {
		pit_sample_latched(p, c, s, s->kind == PIT_LATCHED_MSB);
	} else if (s->kind == PIT_SYSTEM_PORT) {
		pit_sample_system(p, s);
	} else if (s->kind == PIT_UNCLEAR) {
		pit_sample_unclear(p, c, s);
	} else {
		pit_fold(p, c, s);
	}
	return 0;
}

/* The VMM is done with the write that was punted at @t0. */
PIT_PROG int pit_sample_write(struct iofilter_pit *p PIT_ARG, __u32 vcpu, __u64 t0, __u64 t1)
{
	int i;

	/* That vCPU may have begun another one since. Its own next access tells more precisely when. */
	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &p->channels[i];

		if (c->loading && c->load_vcpu == vcpu && t0 >= c->load_at)
			pit_load_end(c, t1);
	}
	return 0;
}

static inline int pit_answers(const struct iofilter_pit *p, const struct kvm_iofilter_sample *s)
{
	/* Another thread may see an answer that is not the one in question, which would look like another state. */
	return !(s->flags & (KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_OTHER)) && s->vcpu == p->open_vcpu &&
	       s->addr == p->open_addr && s->len == 1 && p->open_kind != PIT_NOTHING;
}

PIT_PROG int pit_sample_locked(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_sample *s PIT_ARG)
{
	struct pit_shown shown = {
		.t0 = s->t0, .t1 = s->t1, .vcpu = s->vcpu, .kind = p->open_kind, .val = s->val & 0xff,
	};
	int i, closed;

	if (s->flags & KVM_IOFILTER_SAMPLE_MOVED)
		return pit_doubt(p, s->t1);
	closed = pit_closes(p, s->vcpu, s->t0);
	if (s->flags & KVM_IOFILTER_SAMPLE_WRITE)
		return pit_sample_write(p, s->vcpu, s->t0, s->t1);
	if (closed && pit_answers(p, s))
		return pit_sample_answer(p, &shown);
	for (i = 0; i < PIT_CHANNELS; i++)
		iofilter_clock_lost(&p->channels[i].clock, s->t1);
	return 0;
}

#endif /* IOFILTER_PIT_SAMPLE_H */
