/* SPDX-License-Identifier: GPL-2.0 */
/* The PIT model and the filter that answers for it between two traps. */
#ifndef DEVICES_PIT_FILTER_H
#define DEVICES_PIT_FILTER_H

#include <devices/pit.h>
#include <iofilter/pit.h>

_Static_assert(PIT_RW_LSB == 1 && PIT_RW_MSB == 2 && PIT_RW_WORD == 3, "the model counts a latch's bytes by the same numbers");

/*
 * What the guest has begun with the filter, and the model does not know: @p, a copy of the model, then goes on as the guest expects. No
 * vCPU runs. Nothing of @f changes: whoever goes on with the filter drops the copy.
 */
static inline void pit_take(struct pit *p, const struct iofilter_pit *f)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		const struct pit_channel *c = &f->channels[i];
		struct pit_counter *s = &p->counters[i];

		/* Of a count or a status one of both sides has latched one, never both. */
		if (c->status_latched) {
			s->status_latched = 1;
			s->status = c->status;
		}
		if (c->latched) {
			s->count_latched = c->latched;
			s->latched_count = c->latch;
		}
		if (c->pair)
			s->read_state = PIT_WORD_MSB;
	}
	/* Each read of port 0x61 inverts its bit 4. */
	p->refresh ^= f->odd;
}

#endif /* DEVICES_PIT_FILTER_H */
