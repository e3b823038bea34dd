// SPDX-License-Identifier: GPL-2.0
#include <devices/serial.h>
#include <devices/state.h>

void serial_state(struct serial *u, struct state *s)
{
	STATE(s, u->ier);
	STATE(s, u->fcr);
	STATE(s, u->lcr);
	STATE(s, u->mcr);
	STATE(s, u->lsr);
	STATE(s, u->msr);
	STATE(s, u->scr);
	STATE(s, u->lines);
	STATE(s, u->divisor);
	state_bytes(s, u->fifo, sizeof(u->fifo));
	STATE(s, u->first);
	STATE(s, u->count);
	STATE(s, u->thr_empty);
	STATE(s, u->timed_out);
	STATE(s, u->timeout_at);
	STATE(s, u->level);
	state_check(s, u->first < SERIAL_FIFO && u->count <= SERIAL_FIFO);
}
