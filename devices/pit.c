// SPDX-License-Identifier: GPL-2.0
/*
 * i8254 PIT and port 0x61, after QEMU's hw/timer/i8254.c, i8254_common.c and hw/audio/pcspk.c. 128-bit arithmetic, on
 * purpose: this is what the fast path's is compared with.
 */
#include <string.h>
#include <devices/pit.h>

#define FREQ 1193182

enum { RW_STATE_LSB = 1, RW_STATE_MSB, RW_STATE_WORD0, RW_STATE_WORD1 };

static __u64 elapsed(const struct pit *p, const struct pit_counter *s)
{
	return (unsigned __int128)(p->clock(p->arg) - s->count_load_time) * FREQ / 1000000000;
}

__u16 pit_get_count(const struct pit *p, int counter)
{
	const struct pit_counter *s = &p->counters[counter];
	__u64 d = elapsed(p, s);

	switch (s->mode) {
	case 0: case 1: case 4: case 5:
		return (s->count - d) & 0xffff;
	case 3:
		/* The count goes down by two per tick. */
		return s->count - 2 * d % s->count;
	default:
		return s->count - d % s->count;
	}
}

bool pit_get_out(const struct pit *p, int counter)
{
	const struct pit_counter *s = &p->counters[counter];
	__u64 d = elapsed(p, s), count = s->count;

	switch (s->mode) {
	case 2:
		return d % count == 0 && d != 0;
	case 3:
		return d % count < (count + 1) >> 1;
	case 4: case 5:
		return d == count;
	default:
		return d >= count;
	}
}

void pit_reset(struct pit *p)
{
	int i;

	for (i = 0; i < 3; i++) {
		p->counters[i].mode = 3;
		p->counters[i].gate = i != 2;
		p->counters[i].count = 0x10000;
		p->counters[i].count_load_time = p->clock(p->arg);
	}
}

void pit_power_on(struct pit *p)
{
	memset(p->counters, 0, sizeof(p->counters));
	p->data_on = p->refresh = false;
	pit_reset(p);
}

static void latch_count(struct pit *p, int i)
{
	struct pit_counter *s = &p->counters[i];

	if (s->count_latched)
		return;
	s->latched_count = pit_get_count(p, i);
	s->count_latched = s->rw_mode;
}

static void latch_status(struct pit *p, int i)
{
	struct pit_counter *s = &p->counters[i];

	if (s->status_latched)
		return;
	s->status = pit_get_out(p, i) << 7 | s->rw_mode << 4 | s->mode << 1 | s->bcd;
	s->status_latched = 1;
}

static void control(struct pit *p, __u8 val)
{
	struct pit_counter *s;
	int i = val >> 6, access = val >> 4 & 3;

	if (i == 3) {
		for (i = 0; i < 3; i++) {
			if (!(val & (2 << i)))
				continue;
			if (!(val & 0x20))
				latch_count(p, i);
			if (!(val & 0x10))
				latch_status(p, i);
		}
		return;
	}
	s = &p->counters[i];
	if (!access) {
		latch_count(p, i);
		return;
	}
	s->rw_mode = s->read_state = s->write_state = access;
	s->mode = val >> 1 & 7;
	s->bcd = val & 1;
}

static void load(struct pit *p, struct pit_counter *s, int val)
{
	s->count = val ? val : 0x10000;
	s->count_load_time = p->clock(p->arg);
}

static void write_61(struct pit *p, __u8 val)
{
	struct pit_counter *s = &p->counters[2];
	bool gate = val & 1;

	p->data_on = val & 2;
	if (!s->gate && gate && (s->mode == 1 || s->mode == 2 || s->mode == 3 || s->mode == 5))
		s->count_load_time = p->clock(p->arg);
	s->gate = gate;
}

void pit_port_write(struct pit *p, __u16 port, __u8 val)
{
	struct pit_counter *s = &p->counters[port & 3];

	if (port == 0x61) {
		write_61(p, val);
		return;
	}
	if ((port & 3) == 3) {
		control(p, val);
		return;
	}
	switch (s->write_state) {
	case RW_STATE_MSB:
		load(p, s, val << 8);
		break;
	case RW_STATE_WORD0:
		s->write_latch = val;
		s->write_state = RW_STATE_WORD1;
		break;
	case RW_STATE_WORD1:
		load(p, s, s->write_latch | val << 8);
		s->write_state = RW_STATE_WORD0;
		break;
	default:
		load(p, s, val);
	}
}

__u8 pit_port_read(struct pit *p, __u16 port)
{
	struct pit_counter *s = &p->counters[port & 3];

	if (port == 0x61) {
		p->refresh = !p->refresh;
		return p->counters[2].gate | p->data_on << 1 | p->refresh << 4 | pit_get_out(p, 2) << 5;
	}
	if ((port & 3) == 3)
		return 0;
	if (s->status_latched) {
		s->status_latched = 0;
		return s->status;
	}
	switch (s->count_latched) {
	case 0:
		break;
	case RW_STATE_MSB:
		s->count_latched = 0;
		return s->latched_count >> 8;
	case RW_STATE_WORD0:
		s->count_latched = RW_STATE_MSB;
		return s->latched_count & 0xff;
	default:
		s->count_latched = 0;
		return s->latched_count & 0xff;
	}
	switch (s->read_state) {
	case RW_STATE_MSB:
		return pit_get_count(p, port & 3) >> 8;
	case RW_STATE_WORD0:
		s->read_state = RW_STATE_WORD1;
		return pit_get_count(p, port & 3) & 0xff;
	case RW_STATE_WORD1:
		s->read_state = RW_STATE_WORD0;
		return pit_get_count(p, port & 3) >> 8;
	default:
		return pit_get_count(p, port & 3) & 0xff;
	}
}
