// SPDX-License-Identifier: GPL-2.0
/*
 * HPET. The main counter is computed when it is read; nothing ticks. Arithmetic is QEMU's: modulo 2^64 ns. So a comparator that the
 * clock cannot show is in the past, and one in the past is met at once.
 */
#include <string.h>
#include <devices/hpet.h>
#include <iofilter/hpet.h>

#define TICK_NS		10
#define NEVER		(~0ULL)
#define PERIOD_MIN	1000 /* ns: shorter periods give an interrupt this often */
#define CAPABILITIES	0x009896808086a201ULL /* 10^7 fs; vendor 0x8086, legacy route, 64 bits, 3 timers, revision 1 */
#define TIMER_CONFIG	0x00ff010400000030ULL /* q35: routes; periodic, 64 bits */
#define TIMER_WRITABLE	0x7f4eULL
#define IRQ_PIT		0
#define IRQ_RTC		8

/* Tn_CONF (2.3.8). */
enum { INT_TYPE = 0x2, INT_ENB = 0x4, TYPE = 0x8, VAL_SET = 0x40, MODE32 = 0x100, INT_ROUTE_SHIFT = 9, FSB_EN = 0x4000 };

__u64 hpet_ticks(const struct hpet *h)
{
	return h->config & HPET_ENABLE_CNF ? (h->clock(h->arg) + h->offset) / TICK_NS : h->counter;
}

static void set_line(struct hpet *h, unsigned int line, bool level)
{
	if (!h->irq || (h->lines >> line & 1) == level)
		return;
	h->lines ^= 1U << line;
	h->irq(h->arg, line, level);
}

static unsigned int line_of(const struct hpet *h, int n)
{
	if (h->config & HPET_LEG_RT_CNF && n <= 1)
		return n ? IRQ_RTC : IRQ_PIT;
	return h->timers[n].config >> INT_ROUTE_SHIFT & 31;
}

static void match(struct hpet *h, int n)
{
	struct hpet_timer *t = &h->timers[n];

	/* The status says so even if the timer is not to interrupt (2.3.8, Tn_INT_ENB_CNF). */
	if (t->config & INT_TYPE)
		h->status |= 1 << n;
	else
		h->status &= ~(1ULL << n);
	if (t->config & FSB_EN && t->config & INT_ENB && h->config & HPET_ENABLE_CNF)
		return;
	if (!(t->config & INT_ENB) || !(h->config & HPET_ENABLE_CNF)) {
		if (!(t->config & FSB_EN))
			set_line(h, line_of(h, n), 0);
		return;
	}
	set_line(h, line_of(h, n), 1);
	if (!(t->config & INT_TYPE))
		set_line(h, line_of(h, n), 0);
}

static void clear(struct hpet *h, int n)
{
	h->status &= ~(1ULL << n);
	if (!(h->timers[n].config & FSB_EN))
		set_line(h, line_of(h, n), 0);
}

static void arm(struct hpet *h, struct hpet_timer *t, __u64 tick)
{
	__u64 at = tick * TICK_NS - h->offset;

	if (t->config & TYPE && at - t->armed < PERIOD_MIN)
		at = t->armed + PERIOD_MIN;
	t->armed = at;
	t->expires = (__s64)at < 0 ? 0 : at;
}

/* The counter runs, and what decides when the timer expires has changed. */
static void start(struct hpet *h, struct hpet_timer *t)
{
	__u64 now = hpet_ticks(h), wrap = (now | 0xffffffff) + 1;

	t->wraps = false;
	t->target = t->comparator;
	if (t->config & MODE32) {
		t->target = (now & ~0xffffffffULL) | (__u32)t->comparator;
		if (t->target < now)
			t->target += 1ULL << 32;
		/* A one-shot timer of 32 bits interrupts when the counter wraps, too (2.3.9.2.2). */
		t->wraps = !(t->config & TYPE) && t->target > wrap;
	}
	arm(h, t, t->wraps ? wrap : t->target);
}

/* All the periods that a late call has missed are one interrupt. */
static void expire(struct hpet *h, int n, __u64 now)
{
	struct hpet_timer *t = &h->timers[n];

	t->expires = NEVER;
	if (t->config & TYPE && t->period) {
		if ((__s64)(now - t->target) >= 0)
			t->target += ((now - t->target) / t->period + 1) * t->period;
		t->comparator = t->config & MODE32 ? (__u32)t->target : t->target;
		arm(h, t, t->target);
	} else if (t->wraps) {
		t->wraps = false;
		arm(h, t, t->target);
	}
	match(h, n);
}

static int first(const struct hpet *h)
{
	int n, next = 0;

	for (n = 1; n < HPET_NR_TIMERS; n++) {
		if (h->timers[n].expires < h->timers[next].expires)
			next = n;
	}
	return next;
}

__u64 hpet_deadline(const struct hpet *h)
{
	return h->irq && h->config & HPET_ENABLE_CNF ? h->timers[first(h)].expires : NEVER;
}

/* A target that the clock can never show is always due: so no more than what a late call can find, a wrap and a match of each. */
void hpet_run(struct hpet *h)
{
	int left = 2 * HPET_NR_TIMERS;
	__u64 clock;

	if (!h->irq)
		return;
	clock = h->clock(h->arg);
	while (left-- && hpet_deadline(h) <= clock)
		expire(h, first(h), (clock + h->offset) / TICK_NS);
}

void hpet_legacy_irq(struct hpet *h, unsigned int line, int level)
{
	if (line == IRQ_RTC)
		h->rtc_level = level;
	if (!(h->config & HPET_LEG_RT_CNF))
		set_line(h, line, level);
}

static struct hpet_timer *timer_at(const struct hpet *h, __u64 offset)
{
	__u64 n = (offset - HPET_TIMERS) / 0x20;

	return offset < HPET_TIMERS || n >= HPET_NR_TIMERS ? NULL : (struct hpet_timer *)&h->timers[n];
}

static __u64 read_register(const struct hpet *h, __u64 offset)
{
	const struct hpet_timer *t = timer_at(h, offset);

	switch (offset) {
	case HPET_GCAP_ID: return CAPABILITIES;
	case HPET_GEN_CONF: return h->config;
	case HPET_STATUS: return h->status;
	case HPET_MAIN_CNT: return hpet_ticks(h);
	}
	if (!t)
		return 0;
	switch (offset % 0x20) {
	case 0x00: return t->config;
	case 0x08: return t->comparator;
	case 0x10: return t->route;
	default: return 0;
	}
}

static __u32 read_dword(const struct hpet *h, __u64 offset)
{
	return read_register(h, offset & ~7ULL) >> (offset & 4 ? 32 : 0);
}

/* Narrow and unaligned accesses are no accesses to QEMU: zero. */
__u64 hpet_read(struct hpet *h, __u64 offset, __u32 len)
{
	__u32 low;

	hpet_run(h);
	if (len < 4 || offset % 4)
		return 0;
	if (len == 8 && !(offset & 4) && !h->split)
		return read_register(h, offset);
	low = read_dword(h, offset);
	return len == 4 ? low : low | (__u64)read_dword(h, offset + 4) << 32;
}

static void enable(struct hpet *h)
{
	int n;

	h->offset = h->counter * TICK_NS - h->clock(h->arg);
	for (n = 0; n < HPET_NR_TIMERS; n++) {
		if (h->timers[n].config & INT_ENB && h->status >> n & 1)
			match(h, n);
		start(h, &h->timers[n]);
	}
}

static void stop_timers(struct hpet *h)
{
	int n;

	for (n = 0; n < HPET_NR_TIMERS; n++) {
		h->timers[n].expires = NEVER;
		if (h->status >> n & 1)
			match(h, n);
	}
}

/* What is pending stays so, and the line goes low until the counter is enabled again. */
static void halt(struct hpet *h)
{
	h->counter = (h->clock(h->arg) + h->offset) / TICK_NS;
	stop_timers(h);
}

static void set_legacy(struct hpet *h, bool on)
{
	set_line(h, IRQ_PIT, 0);
	if (h->legacy)
		h->legacy(h->arg, on);
	set_line(h, IRQ_RTC, !on && h->rtc_level);
}

static void write_config(struct hpet *h, __u64 val)
{
	__u64 old = h->config;

	h->config = val & (HPET_ENABLE_CNF | HPET_LEG_RT_CNF);
	if (h->config & ~old & HPET_ENABLE_CNF)
		enable(h);
	else if (old & ~h->config & HPET_ENABLE_CNF)
		halt(h);
	if ((h->config ^ old) & HPET_LEG_RT_CNF)
		set_legacy(h, h->config & HPET_LEG_RT_CNF);
}

static void write_timer_config(struct hpet *h, int n, __u64 val)
{
	struct hpet_timer *t = &h->timers[n];
	__u64 old = t->config;

	val = (val & TIMER_WRITABLE) | (old & ~TIMER_WRITABLE);
	if (old & ~val & INT_TYPE)
		clear(h, n);
	t->config = val;
	if (val & ~old & INT_ENB && h->status >> n & 1)
		match(h, n);
	if (val & MODE32) {
		t->comparator = (__u32)t->comparator;
		t->period = (__u32)t->period;
	}
	if (h->config & HPET_ENABLE_CNF)
		start(h, t);
}

static void write_comparator(struct hpet *h, struct hpet_timer *t, __u64 val, __u64 mask)
{
	if (t->config & MODE32) {
		/* There is no high half to write. */
		if (!(mask & 1))
			return;
		val = (__u32)val;
		mask = ~0ULL;
	}
	/* A periodic timer's is the period, and (with VAL_SET, once) what the counter is compared with first. */
	if (!(t->config & TYPE) || t->config & VAL_SET)
		t->comparator = (val & mask) | (t->comparator & ~mask);
	if (t->config & TYPE)
		t->period = (val & mask) | (t->period & ~mask);
	t->config &= ~(__u64)VAL_SET;
	if (h->config & HPET_ENABLE_CNF)
		start(h, t);
}

static void write_timer(struct hpet *h, __u64 offset, __u64 val, __u64 mask)
{
	struct hpet_timer *t = timer_at(h, offset);

	if (!t)
		return;
	switch (offset % 0x20) {
	case 0x00:
		write_timer_config(h, t - h->timers, (val & mask) | (t->config & ~mask));
		break;
	case 0x08:
		write_comparator(h, t, val, mask);
		break;
	case 0x10:
		t->route = (val & mask) | (t->route & ~mask);
	}
}

/* @mask: the bits of the register that the access has. */
static void write_register(struct hpet *h, __u64 offset, __u64 val, __u64 mask)
{
	int n;

	switch (offset) {
	case HPET_GEN_CONF:
		write_config(h, (val & mask) | (h->config & ~mask));
		break;
	case HPET_STATUS:
		for (n = 0; n < HPET_NR_TIMERS; n++) {
			if (val & mask & h->status & 1 << n)
				clear(h, n);
		}
		break;
	case HPET_MAIN_CNT:
		/* Of a running counter it is lost: nothing is read from here, and halting it overwrites it. */
		h->counter = (val & mask) | (h->counter & ~mask);
		break;
	default:
		write_timer(h, offset, val, mask);
	}
}

static void write_dword(struct hpet *h, __u64 offset, __u32 val)
{
	int shift = offset & 4 ? 32 : 0;

	write_register(h, offset & ~7ULL, (__u64)val << shift, 0xffffffffULL << shift);
}

void hpet_write(struct hpet *h, __u64 offset, __u64 val, __u32 len)
{
	if (len < 4 || offset % 4)
		return;
	hpet_run(h);
	if (len == 8 && !(offset & 4) && !h->split) {
		write_register(h, offset, val, ~0ULL);
		return;
	}
	write_dword(h, offset, val);
	if (len == 8)
		write_dword(h, offset + 4, val >> 32);
}

void hpet_reset(struct hpet *h)
{
	struct hpet_timer *t;

	hpet_run(h);
	stop_timers(h);
	h->config = 0;
	h->counter = 0;
	h->offset = 0;
	h->rtc_level = false;
	for (t = h->timers; t < h->timers + HPET_NR_TIMERS; t++) {
		t->config = TIMER_CONFIG;
		t->comparator = ~0ULL;
		t->route = t->period = 0;
		t->wraps = false;
	}
	if (h->legacy)
		h->legacy(h->arg, 0);
}

void hpet_power_on(struct hpet *h)
{
	memset(h->timers, 0, sizeof(h->timers));
	h->config = h->status = 0;
	h->lines = 0;
	hpet_reset(h);
}
