// SPDX-License-Identifier: GPL-2.0
#include <devices/pmtimer.h>
#include <devices/state.h>

void pmtimer_state(struct pmtimer *t, struct state *s)
{
	STATE(s, t->offset);
	STATE(s, t->stopped);
	STATE(s, t->stopped_at);
	STATE(s, t->status);
	STATE(s, t->enabled);
	STATE(s, t->control);
	STATE(s, t->level);
	STATE(s, t->carry);
}
