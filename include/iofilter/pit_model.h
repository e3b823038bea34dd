/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The VMM's read flip-flop and latches, as far as the accesses that it saw tell. There are 32 states, and a state that is not known
 * is a set of them: each access maps the set, and after a few reads and a control word one is left.
 */
#ifndef IOFILTER_PIT_MODEL_H
#define IOFILTER_PIT_MODEL_H

#include <iofilter/pit.h>

#define PIT_NR_STATES	 32
#define PIT_ANY_STATE	 0xffffffffu
#define PIT_STATE_READ(s)    (((s) & 3) + 1)   /* 1 .. 3, or PIT_WORD_MSB */
#define PIT_STATE_LATCHED(s) ((s) >> 2 & 3)    /* bytes of the latched count: 0 none, else as PIT_RW() */
#define PIT_STATE_STATUS(s)  ((s) >> 4 & 1)    /* a status is latched */

enum pit_op { PIT_OP_READ, PIT_OP_LATCH, PIT_OP_STATUS, PIT_OP_PROGRAM };

static inline __u32 pit_state(__u32 read, __u32 latched, __u32 status)
{
	return ((read - 1) & 3) | latched << 2 | status << 4;
}

/* @rw: of the channel, or of the new control word. */
static inline __u32 pit_next(__u32 state, enum pit_op op, __u32 rw)
{
	__u32 read = PIT_STATE_READ(state), latched = PIT_STATE_LATCHED(state), status = PIT_STATE_STATUS(state);

	switch (op) {
	case PIT_OP_LATCH:
		return pit_state(read, latched ? latched : rw, status);
	case PIT_OP_STATUS:
		return pit_state(read, latched, 1);
	case PIT_OP_PROGRAM:
		return pit_state(rw, latched, status);
	default:
		break;
	}
	if (status)
		return pit_state(read, latched, 0);
	if (latched)
		return pit_state(read, latched == PIT_RW_WORD ? PIT_RW_MSB : 0, 0);
	if (read == PIT_RW_WORD)
		return pit_state(PIT_WORD_MSB, 0, 0);
	return pit_state(read == PIT_WORD_MSB ? PIT_RW_WORD : read, 0, 0);
}

/* The VMM has got, or will get, such an access. */
static inline void pit_step(struct pit_channel *c, enum pit_op op, __u32 rw)
{
	__u32 from = c->states, to = 0, only = 0, n = 0;
	int i;

	if (c->state >= 0) {
		c->state = pit_next(c->state, op, rw) & (PIT_NR_STATES - 1);
		return;
	}
	iofilter_for(i, PIT_NR_STATES) {
		if (from >> i & 1)
			to |= 1u << (pit_next(i, op, rw) & (PIT_NR_STATES - 1));
	}
	iofilter_for(i, PIT_NR_STATES) {
		if (to >> i & 1) {
			only = i;
			n++;
		}
	}
	c->states = to;
	if (n == 1)
		c->state = only;
}

/* An access whose effect on flip-flop and latches is not known. */
static inline void pit_blur(struct pit_channel *c)
{
	c->state = -1;
	c->states = PIT_ANY_STATE;
}

/* What the next read is answered from, if it is not the overlay. */
static inline enum pit_kind pit_kind(const struct pit_channel *c)
{
	__u32 s = c->state;

	if (c->state < 0)
		return PIT_NOTHING;
	if (PIT_STATE_STATUS(s))
		return PIT_STATUS;
	if (PIT_STATE_LATCHED(s))
		return PIT_STATE_LATCHED(s) == PIT_RW_MSB ? PIT_LATCHED_MSB : PIT_LATCHED_LSB;
	return PIT_STATE_READ(s) == PIT_RW_MSB || PIT_STATE_READ(s) == PIT_WORD_MSB ? PIT_MSB : PIT_LSB;
}

/* Is a sequence begun by the filter in flight? */
static inline __u32 pit_in_flight(const struct pit_channel *c)
{
	return c->pair || c->latched || c->status_latched;
}

/* The channel is not what we think, until the guest programs it again. */
static inline void pit_forget(struct iofilter_pit *p, struct pit_channel *c)
{
	if (pit_in_flight(c))
		c->cuts++;
	p->forgotten += c->programmed;
	c->programmed = 0;
	c->count = 0;
	c->pair = 0;
	c->latched = 0;
	c->status_latched = 0;
	c->loading = 0;
	c->latch_at = 0;
	c->misses = 0;
	c->polls = 0;
	iofilter_clock_unprove(&c->clock);
	c->clock.bounded = 0;
	pit_blur(c);
}

static inline void pit_forget_system(struct iofilter_pit *p)
{
	p->cuts += p->odd;
	p->gate = PIT_UNKNOWN;
	p->data = PIT_UNKNOWN;
	p->toggle = PIT_UNKNOWN;
	p->odd = 0;
}

#endif /* IOFILTER_PIT_MODEL_H */
