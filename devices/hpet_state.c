// SPDX-License-Identifier: GPL-2.0
#include <devices/hpet.h>
#include <devices/state.h>

static void timer(struct hpet_timer *t, struct state *s)
{
	STATE(s, t->config);
	STATE(s, t->comparator);
	STATE(s, t->route);
	STATE(s, t->period);
	STATE(s, t->target);
	STATE(s, t->expires);
	STATE(s, t->armed);
	STATE(s, t->wraps);
}

void hpet_state(struct hpet *h, struct state *s)
{
	int i;

	STATE(s, h->config);
	STATE(s, h->status);
	STATE(s, h->counter);
	STATE(s, h->offset);
	STATE(s, h->lines);
	STATE(s, h->rtc_level);
	for (i = 0; i < HPET_NR_TIMERS; i++)
		timer(&h->timers[i], s);
}
