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

/* The same for a set of states, a bit each: a nibble holds those that differ in the flip-flop, a half those that differ in that and in the latch. */
static inline __u32 pit_next_set(__u32 set, enum pit_op op, __u32 rw)
{
	switch (op) {
	case PIT_OP_LATCH:
		return (set & ~0x000f000fu) | (set & 0x000f000fu) << 4 * (rw & 3);
	case PIT_OP_STATUS:
		return ((set | set >> 16) & 0xffff) << 16;
	case PIT_OP_PROGRAM:
		return ((set | set >> 1 | set >> 2 | set >> 3) & 0x11111111u) << ((rw - 1) & 3);
	default:
		break;
	}
	return set >> 16 |				       /* the status is read */
	       (set >> 12 & 0xf) << 8 |			       /* the LSB of a latched word */
	       (set >> 8 & 0xf) | (set >> 4 & 0xf) |	       /* the last byte of a latch */
	       (set & 3) | (set & 4) << 1 | (set & 8) >> 1;    /* nothing is latched */
}

/* The only state in @set, or -1. */
static inline __s32 pit_only(__u32 set)
{
	if (!set || set & (set - 1))
		return -1;
	return (set & 0xaaaaaaaau ? 1 : 0) | (set & 0xccccccccu ? 2 : 0) | (set & 0xf0f0f0f0u ? 4 : 0) | (set & 0xff00ff00u ? 8 : 0) |
	       (set & 0xffff0000u ? 16 : 0);
}

/* The VMM has got, or will get, such an access. */
static inline void pit_step(struct pit_channel *c, enum pit_op op, __u32 rw)
{
	if (c->state >= 0) {
		c->state = pit_next(c->state, op, rw) & (PIT_NR_STATES - 1);
		return;
	}
	c->states = pit_next_set(c->states, op, rw);
	c->state = pit_only(c->states);
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

/* Sequences begun by the filter that are in flight. */
static inline __u32 pit_in_flight(const struct pit_channel *c)
{
	return (__u32)!!c->pair + !!c->latched + c->status_latched;
}

/* The channel is not what we think, until the guest programs it again. */
PIT_PROG int pit_forget(struct iofilter_pit *p PIT_ARG, struct pit_channel *c PIT_ARG)
{
	__u32 cut = pit_in_flight(c);

	c->cuts += cut;
	p->head.cut += cut;
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
	return 0;
}

/* The guest's bit 4 goes on from the VMM's. */
static inline void pit_cut_odd(struct iofilter_pit *p)
{
	p->cuts += p->odd;
	p->head.cut += p->odd;
	p->odd = 0;
}

static inline void pit_forget_system(struct iofilter_pit *p)
{
	pit_cut_odd(p);
	p->gate = PIT_UNKNOWN;
	p->data = PIT_UNKNOWN;
	p->toggle = PIT_UNKNOWN;
}

/* The order of accesses to the channel is not known. */
static inline void pit_conflict(struct iofilter_pit *p, struct pit_channel *c)
{
	p->conflicts++;
	pit_forget(p, c);
}

#endif /* IOFILTER_PIT_MODEL_H */
