/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The VMM's read flip-flop and latches, as far as the accesses that it saw tell. There are 32 states, and what is known is a set of them,
 * a bit each: each access maps the set, and after a few reads and a control word one is left.
 */
#ifndef IOFILTER_PIT_MODEL_H
#define IOFILTER_PIT_MODEL_H

#include <iofilter/pit.h>

#define PIT_NR_STATES 32
#define PIT_ANY_STATE 0xffffffffu

/* @read: 1 .. 3, or PIT_WORD_MSB; @latched: bytes of the latched count as PIT_RW(), 0 none; @status: one is latched. */
#define PIT_STATE(read, latched, status) (1u << (((read) - 1) | (latched) << 2 | (status) << 4))

/* A nibble holds the states that differ in the flip-flop, a half those that differ in that and in the latched count. */
#define PIT_NO_COUNT  0x000f000fu
#define PIT_NO_STATUS 0x0000ffffu

enum pit_op { PIT_OP_READ, PIT_OP_LATCH, PIT_OP_STATUS, PIT_OP_PROGRAM };

/* Where the states of @set go. @rw: of the channel, or of the new control word. */
static inline __u32 pit_next(__u32 set, enum pit_op op, __u32 rw)
{
	switch (op) {
	case PIT_OP_LATCH:
		return (set & ~PIT_NO_COUNT) | (set & PIT_NO_COUNT) << 4 * (rw & 3);
	case PIT_OP_STATUS:
		return ((set | set >> 16) & PIT_NO_STATUS) << 16;
	case PIT_OP_PROGRAM:
		return ((set | set >> 1 | set >> 2 | set >> 3) & 0x11111111u) << ((rw - 1) & 3);
	default:
		break;
	}
	return set >> 16 |				    /* the status is read */
	       (set >> 12 & 0xf) << 8 |			    /* the LSB of a latched word */
	       (set >> 8 & 0xf) | (set >> 4 & 0xf) |	    /* the last byte of a latch */
	       (set & 3) | (set & 4) << 1 | (set & 8) >> 1; /* nothing is latched */
}

/* The VMM has got, or will get, such an access. */
static inline void pit_step(struct pit_channel *c, enum pit_op op, __u32 rw)
{
	c->states = pit_next(c->states, op, rw);
}

/* An access whose effect on flip-flop and latches is not known. */
static inline void pit_blur(struct pit_channel *c)
{
	c->states = PIT_ANY_STATE;
}

/* Is a status, is a count latched at the VMM: -1, not known. */
static inline int pit_has_status(const struct pit_channel *c)
{
	return !(c->states & ~PIT_NO_STATUS) ? 0 : c->states & PIT_NO_STATUS ? -1 : 1;
}

static inline int pit_has_count(const struct pit_channel *c)
{
	return !(c->states & ~PIT_NO_COUNT) ? 0 : c->states & PIT_NO_COUNT ? -1 : 1;
}

/* The flip-flop, if nothing is latched: 1 .. 3, PIT_WORD_MSB; 0: not known. */
static inline __u32 pit_flipflop(const struct pit_channel *c)
{
	switch (c->states) {
	case PIT_STATE(PIT_RW_LSB, 0, 0):
		return PIT_RW_LSB;
	case PIT_STATE(PIT_RW_MSB, 0, 0):
		return PIT_RW_MSB;
	case PIT_STATE(PIT_RW_WORD, 0, 0):
		return PIT_RW_WORD;
	case PIT_STATE(PIT_WORD_MSB, 0, 0):
		return PIT_WORD_MSB;
	default:
		return 0;
	}
}

/* What the next read is answered from, if it is not the overlay. */
static inline enum pit_kind pit_kind(const struct pit_channel *c)
{
	__u32 s = c->states;

	if (!(s & PIT_NO_STATUS))
		return PIT_STATUS;
	if (!(s & ~0xf0f0u))
		return PIT_LATCHED_LSB;
	if (!(s & ~0x0f00u))
		return PIT_LATCHED_MSB;
	switch (pit_flipflop(c)) {
	case 0:
		return PIT_UNCLEAR;
	case PIT_RW_MSB:
	case PIT_WORD_MSB:
		return PIT_MSB;
	default:
		return PIT_LSB;
	}
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
