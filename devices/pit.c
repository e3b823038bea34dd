// SPDX-License-Identifier: GPL-2.0
/*
 * i8254 PIT and port 0x61, after QEMU's hw/timer/i8254.c, i8254_common.c and hw/audio/pcspk.c. 128-bit arithmetic, on
 * purpose: this is what the fast path's is compared with.
 */
#include <stdint.h>
#include <string.h>
#include <devices/pit.h>

#define FREQ	1193182
#define SECOND	1000000000ULL
#define NEVER	UINT64_MAX

enum { RW_STATE_LSB = 1, RW_STATE_MSB, RW_STATE_WORD0, RW_STATE_WORD1 };

static __u64 ticks_at(const struct pit_counter *s, __u64 now)
{
	return (unsigned __int128)(now - s->count_load_time) * FREQ / SECOND;
}

static __u64 elapsed(const struct pit *p, const struct pit_counter *s)
{
	return ticks_at(s, p->clock(p->arg));
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

static bool out_after(const struct pit_counter *s, __u64 d)
{
	__u64 count = s->count;

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

bool pit_get_out(const struct pit *p, int counter)
{
	return out_after(&p->counters[counter], elapsed(p, &p->counters[counter]));
}

/* The tick, after the @d-th, at which QEMU looks at the output again. */
static __u64 next_tick(const struct pit_counter *s, __u64 d)
{
	__u64 count = s->count, phase = d % count, begin = d - phase;

	switch (s->mode) {
	case 2:
		/* One tick after the rise that pit_get_out() shows: transition_after() says why. */
		return begin + count + !out_after(s, d);
	case 3:
		return begin + (out_after(s, d) ? (count + 1) >> 1 : count);
	case 4: case 5:
		return d <= count ? count + (d == count) : NEVER;
	default:
		return d < count ? count : NEVER;
	}
}

/*
 * When IRQ0 is set next. The time of a tick is rounded down, so that (but for one tick in 596591, which is at a whole ns) the tick
 * before it is what is seen there, and the tick itself 1 ns later. In mode 2 QEMU lives on that: it goes high at the (n * count
 * + 1)-th tick, where it sees the (n * count)-th, which is what a real one, low for one tick, does.
 */
static __u64 transition_after(const struct pit_counter *s, __u64 now)
{
	__u64 tick = next_tick(s, ticks_at(s, now)), at;

	if (tick == NEVER)
		return NEVER;
	at = s->count_load_time + (__u64)((unsigned __int128)tick * SECOND / FREQ);
	return at > now ? at : now + 1;
}

static void set_irq(struct pit *p, __u64 now)
{
	const struct pit_counter *s = &p->counters[0];
	bool level;

	if (!p->irq || p->irq_off)
		return;
	p->transition = transition_after(s, now);
	level = out_after(s, ticks_at(s, now));
	if (level == p->level)
		return;
	p->level = level;
	p->irq(p->arg, level);
}

__u64 pit_deadline(const struct pit *p)
{
	return p->irq && !p->irq_off ? p->transition : NEVER;
}

/* A late call goes through all the edges that were due, as QEMU's timer does: none is lost here, they merge in the PIC. */
void pit_run(struct pit *p)
{
	__u64 now;

	if (!p->irq)
		return;
	now = p->clock(p->arg);
	while (pit_deadline(p) <= now)
		set_irq(p, p->transition);
}

void pit_irq_control(struct pit *p, bool on)
{
	pit_run(p);
	if (!on && p->level) {
		p->level = false;
		p->irq(p->arg, 0);
	}
	p->irq_off = !on;
	set_irq(p, p->clock(p->arg));
}

/* The line stays as it is: the output is looked at when it changes next. */
void pit_reset(struct pit *p)
{
	int i;

	pit_run(p);

	for (i = 0; i < 3; i++) {
		p->counters[i].mode = 3;
		p->counters[i].gate = i != 2;
		p->counters[i].count = 0x10000;
		p->counters[i].count_load_time = p->clock(p->arg);
	}
	p->transition = transition_after(&p->counters[0], p->counters[0].count_load_time);
}

void pit_power_on(struct pit *p)
{
	memset(p->counters, 0, sizeof(p->counters));
	p->data_on = p->refresh = p->level = p->irq_off = false;
	p->transition = NEVER;
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
	if (s == &p->counters[0])
		set_irq(p, s->count_load_time);
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
	pit_run(p);
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
