// SPDX-License-Identifier: GPL-2.0
#include <devices/rtc.h>
#include <devices/state.h>

void rtc_state(struct rtc *r, struct state *s)
{
	state_bytes(s, r->cmos, sizeof(r->cmos));
	STATE(s, r->index);
	STATE(s, r->base);
	STATE(s, r->last_update);
	STATE(s, r->offset);
	STATE(s, r->update_at);
	STATE(s, r->alarm_at);
	STATE(s, r->periodic_at);
	STATE(s, r->level);
	state_check(s, r->index < sizeof(r->cmos));
}
