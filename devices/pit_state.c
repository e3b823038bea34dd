// SPDX-License-Identifier: GPL-2.0
#include <devices/pit.h>
#include <devices/state.h>

static void counter(struct pit_counter *c, struct state *s)
{
	STATE(s, c->count);
	STATE(s, c->latched_count);
	STATE(s, c->count_latched);
	STATE(s, c->status_latched);
	STATE(s, c->status);
	STATE(s, c->read_state);
	STATE(s, c->write_state);
	STATE(s, c->write_latch);
	STATE(s, c->rw_mode);
	STATE(s, c->mode);
	STATE(s, c->bcd);
	STATE(s, c->gate);
	STATE(s, c->count_load_time);
	/* It is divided by. */
	state_check(s, c->count >= 1 && c->count <= 0x10000);
}

void pit_state(struct pit *p, struct state *s)
{
	int i;

	for (i = 0; i < 3; i++)
		counter(&p->counters[i], s);
	STATE(s, p->data_on);
	STATE(s, p->refresh);
	STATE(s, p->level);
	STATE(s, p->irq_off);
	STATE(s, p->transition);
}
