/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_PIT_STATE_H
#define SELFTESTS_PIT_STATE_H

#include <iofilter/pit_model.h>
#include <devices/pit.h>

/* The one of PIT_NR_STATES that a counter's flip-flop and latches are in. */
static inline __u32 state_of(const struct pit_counter *c)
{
	/* Before it is first programmed it shows the LSB. */
	__u8 read = c->read_state ? c->read_state : PIT_RW_LSB;
	__u8 latched = c->count_latched == PIT_WORD_MSB ? PIT_RW_MSB : c->count_latched;

	return PIT_STATE(read, latched, c->status_latched);
}

#endif
