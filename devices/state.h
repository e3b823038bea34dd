/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model's state as bytes: field after field, little-endian, without padding. One function of each model (DEV_state.c) goes
 * through its fields, and saves or restores them. Times are by the model's clock, which its user stops for the save and starts again
 * from there. What the user has set (callbacks, sizes) is no state.
 */
#ifndef DEVICES_STATE_H
#define DEVICES_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

struct hpet;
struct ide;
struct pit;
struct pmtimer;
struct rtc;
struct serial;

struct state {
	__u8 *data;
	size_t size, pos; /* the buffer, and so much of it is used */
	bool restoring;
	bool bad; /* too short, or what cannot be: nothing of the model counts then */
};

static inline void state_int(struct state *s, __u64 *v, unsigned int bytes)
{
	unsigned int i;

	if (s->bad || bytes > s->size - s->pos) {
		s->bad = true;
		return;
	}
	if (s->restoring)
		*v = 0;
	for (i = 0; i < bytes; i++, s->pos++) {
		if (s->restoring)
			*v |= (__u64)s->data[s->pos] << 8 * i;
		else
			s->data[s->pos] = *v >> 8 * i;
	}
}

static inline void state_bytes(struct state *s, void *p, size_t n)
{
	__u8 *bytes = p;
	__u64 v = 0;

	for (; n; n--, bytes++) {
		v = *bytes;
		state_int(s, &v, 1);
		if (s->restoring)
			*bytes = v;
	}
}

/* An integer, a bool or an enum, with as many bytes as it has here. */
#define STATE(s, x)                             \
	do {                                    \
		__u64 v_ = (x);                 \
		state_int(s, &v_, sizeof(x));   \
		if ((s)->restoring && !(s)->bad) \
			(x) = v_;               \
	} while (0)

/* The model must be able to rely on it, whatever the bytes are. */
static inline void state_check(struct state *s, bool can_be)
{
	s->bad = s->bad || !can_be;
}

void hpet_state(struct hpet *h, struct state *s);
void ide_state(struct ide *d, struct state *s);
void pit_state(struct pit *p, struct state *s);
void pmtimer_state(struct pmtimer *t, struct state *s);
void rtc_state(struct rtc *r, struct state *s);
void serial_state(struct serial *u, struct state *s);

#endif /* DEVICES_STATE_H */
