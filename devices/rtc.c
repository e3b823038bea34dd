// SPDX-License-Identifier: GPL-2.0
/*
 * MC146818 RTC, after QEMU's hw/rtc/mc146818rtc.c. The calendar is libc's, on purpose: this is what the fast path's time is compared
 * with.
 */
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <devices/rtc.h>

#define SECOND	  1000000000ULL
#define UIP_HOLD  (8 * SECOND / 32768)
#define FREQUENCY 32768

enum {
	SEC, SEC_ALARM, MIN, MIN_ALARM, HOUR, HOUR_ALARM, WDAY, MDAY, MONTH, YEAR, REG_A, REG_B, REG_C, REG_D,
	SHUTDOWN = 0x0f, CENTURY = 0x32, PS2_CENTURY = 0x37,
};

enum { UIP = 0x80 };
enum { SET = 0x80, PIE = 0x40, AIE = 0x20, UIE = 0x10, SQWE = 0x08, DM = 0x04, H24 = 0x02 };
enum { IRQF = 0x80, PF = 0x40, AF = 0x20, UF = 0x10 };

bool rtc_running(const struct rtc *r)
{
	return !(r->cmos[REG_B] & SET) && (r->cmos[REG_A] & 0x70) <= 0x20;
}

static __u64 at(const struct rtc *r, __u64 clock)
{
	return r->base * SECOND + clock - r->last_update + r->offset;
}

__u64 rtc_now(const struct rtc *r)
{
	return at(r, r->clock(r->arg));
}

static __u8 encode(const struct rtc *r, int n)
{
	return r->cmos[REG_B] & DM ? n : n / 10 << 4 | n % 10;
}

/* -1: "don't care", as alarms may say. */
static int decode(const struct rtc *r, __u8 v)
{
	if ((v & 0xc0) == 0xc0)
		return -1;
	return r->cmos[REG_B] & DM ? v : (v >> 4) * 10 + (v & 15);
}

static int decode_hour(const struct rtc *r, __u8 v)
{
	int h = decode(r, v & 0x7f);

	if (!(r->cmos[REG_B] & H24))
		h = h % 12 + (v & 0x80 ? 12 : 0);
	return h;
}

static void show(struct rtc *r, __u64 ns)
{
	time_t t = ns / SECOND;
	struct tm tm;

	if (r->cmos[REG_B] & SET)
		return;
	gmtime_r(&t, &tm);
	r->cmos[SEC] = encode(r, tm.tm_sec);
	r->cmos[MIN] = encode(r, tm.tm_min);
	if (r->cmos[REG_B] & H24)
		r->cmos[HOUR] = encode(r, tm.tm_hour);
	else
		r->cmos[HOUR] = encode(r, tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) | (tm.tm_hour >= 12 ? 0x80 : 0);
	r->cmos[WDAY] = encode(r, tm.tm_wday + 1);
	r->cmos[MDAY] = encode(r, tm.tm_mday);
	r->cmos[MONTH] = encode(r, tm.tm_mon + 1);
	r->cmos[YEAR] = encode(r, tm.tm_year % 100);
	r->cmos[CENTURY] = encode(r, (tm.tm_year + 1900) / 100);
}

/* The registers have been written: count from there. */
static void take_time(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = decode(r, r->cmos[SEC]),
		.tm_min = decode(r, r->cmos[MIN]),
		.tm_hour = decode_hour(r, r->cmos[HOUR]),
		.tm_mday = decode(r, r->cmos[MDAY]),
		.tm_mon = decode(r, r->cmos[MONTH]) - 1,
		.tm_year = decode(r, r->cmos[YEAR]) + decode(r, r->cmos[CENTURY]) * 100 - 1900,
	};

	r->base = timegm(&tm);
	r->last_update = r->clock(r->arg);
}

/*
 * Seconds until the alarm, 1 .. 86400: the first second of the day after what the registers show whose three fields match. In mode of
 * 12 hours QEMU takes the alarm's for in the same half of the day as now.
 */
static int next_alarm(const struct rtc *r)
{
	int now = decode_hour(r, r->cmos[HOUR]) * 3600 + decode(r, r->cmos[MIN]) * 60 + decode(r, r->cmos[SEC]);
	int sec = decode(r, r->cmos[SEC_ALARM]), min = decode(r, r->cmos[MIN_ALARM]), hour = -1, i, t;

	if ((r->cmos[HOUR_ALARM] & 0xc0) != 0xc0)
		hour = decode_hour(r, r->cmos[HOUR_ALARM]);
	for (i = 1; i < 86400;) {
		t = (now + i) % 86400;
		if (hour >= 0 && t / 3600 != hour)
			i += 3600 - t % 3600;
		else if (min >= 0 && t / 60 % 60 != min)
			i += 60 - t % 60;
		else if (sec >= 0 && t % 60 != sec)
			i++;
		else
			break;
	}
	return i < 86400 ? i : 86400;
}

static void plan_update(struct rtc *r)
{
	__u64 clock = r->clock(r->arg), now = at(r, clock);

	r->update_at = 0;
	if ((r->cmos[REG_A] & 0x60) == 0x60)
		return;
	show(r, now);
	r->update_at = clock + SECOND - now % SECOND;
	r->alarm_at = r->update_at + (next_alarm(r) - 1) * SECOND;
	/* UF is set already: what else can be is AF, but not of a time that stands. */
	if (r->cmos[REG_C] & UF)
		r->update_at = r->cmos[REG_B] & SET || r->cmos[REG_C] & AF ? 0 : r->alarm_at;
}

/* The periodic interrupt is on the grid of the clock's own ticks of 1/32768 s: late ones do not move the next. */
static __u64 ticks(__u64 clock)
{
	return (unsigned __int128)clock * FREQUENCY / SECOND;
}

static __u64 tick_begins(__u64 tick)
{
	return (unsigned __int128)tick * SECOND / FREQUENCY + 1;
}

/* In ticks; 0: none. */
static __u64 period(const struct rtc *r)
{
	int rate = r->cmos[REG_A] & 15;

	if (!(r->cmos[REG_B] & PIE) || !rate)
		return 0;
	/* The two fastest are those of slower ones (datasheet, table 5). */
	return 1ULL << ((rate <= 2 ? rate + 7 : rate) - 1);
}

/* @old: the period until now. What has gone by since the last interrupt counts, up to a whole new period. */
static void plan_periodic(struct rtc *r, __u64 old)
{
	__u64 now = ticks(r->clock(r->arg)), every = period(r), gone = 0;

	if (old && now > ticks(r->periodic_at) - old)
		gone = now - (ticks(r->periodic_at) - old);
	if (gone > every)
		gone = every;
	r->periodic_at = every ? tick_begins(now + every - gone) : 0;
}

static void pass_periodic(struct rtc *r, __u64 clock)
{
	__u64 tick = ticks(r->periodic_at), every = period(r);

	/* A reset clears PIE, and the timer that was set runs out once more. */
	r->periodic_at = 0;
	if (!every)
		return;
	tick += (ticks(clock) - tick) / every * every;
	r->periodic_at = tick_begins(tick) > clock ? tick_begins(tick) : tick_begins(tick + every);
}

static void set_irq(struct rtc *r, bool level)
{
	if (level == r->level)
		return;
	r->level = level;
	if (r->irq)
		r->irq(r->arg, level);
}

__u64 rtc_deadline(const struct rtc *r)
{
	__u64 periodic = r->periodic_at ? r->periodic_at : UINT64_MAX, update = r->update_at ? r->update_at : UINT64_MAX;

	return periodic < update ? periodic : update;
}

/* Everything that the timers would have done until now. Interrupts that a late call finds are one: the line is high already. */
void rtc_run(struct rtc *r)
{
	__u64 clock = r->clock(r->arg);
	__u8 flags = 0;

	if (r->periodic_at && clock >= r->periodic_at) {
		flags |= PF;
		pass_periodic(r, clock);
	}
	if (r->update_at && clock >= r->update_at) {
		flags |= UF;
		if (clock >= r->alarm_at)
			flags |= AF;
		r->cmos[REG_C] |= flags;
		plan_update(r);
	}
	r->cmos[REG_C] |= flags;
	if (flags & r->cmos[REG_B]) {
		r->cmos[REG_C] |= IRQF;
		set_irq(r, true);
	}
}

static void write_a(struct rtc *r, __u8 val)
{
	__u64 old_period = period(r);
	__u8 old = r->cmos[REG_A];

	if ((val & 0x60) == 0x60) {
		if (rtc_running(r))
			show(r, rtc_now(r));
	} else if ((old & 0x60) == 0x60 && (val & 0x70) <= 0x20 && !(r->cmos[REG_B] & SET)) {
		/* The first update comes half a second after the divider's reset ends. */
		r->offset = SECOND / 2;
		take_time(r);
	}
	r->cmos[REG_A] = val & ~UIP;
	if ((old ^ val) & 15)
		plan_periodic(r, old_period);
	plan_update(r);
}

static void write_b(struct rtc *r, __u8 val)
{
	__u64 old_period = period(r);
	__u8 old = r->cmos[REG_B];
	bool pending;

	if (val & SET) {
		if (rtc_running(r))
			show(r, rtc_now(r));
		val &= ~UIE;
	} else if (old & SET && (r->cmos[REG_A] & 0x70) <= 0x20) {
		r->offset = rtc_now(r) % SECOND;
		take_time(r);
	}
	pending = val & r->cmos[REG_C] & (PF | AF | UF);
	r->cmos[REG_C] = pending ? r->cmos[REG_C] | IRQF : r->cmos[REG_C] & ~IRQF;
	set_irq(r, pending);
	r->cmos[REG_B] = val;
	if ((old ^ val) & PIE)
		plan_periodic(r, old_period);
	plan_update(r);
}

void rtc_port_write(struct rtc *r, __u16 port, __u8 val)
{
	rtc_run(r);
	if (!(port & 1)) {
		r->index = val & 0x7f;
		return;
	}
	switch (r->index) {
	case PS2_CENTURY:
		r->index = CENTURY;
		/* fall through */
	case SEC: case MIN: case HOUR: case WDAY: case MDAY: case MONTH: case YEAR: case CENTURY:
		r->cmos[r->index] = val;
		if (!rtc_running(r))
			break;
		take_time(r);
		plan_update(r);
		break;
	case SEC_ALARM: case MIN_ALARM: case HOUR_ALARM:
		r->cmos[r->index] = val;
		plan_update(r);
		break;
	case REG_A:
		write_a(r, val);
		break;
	case REG_B:
		write_b(r, val);
		break;
	case REG_C: case REG_D:
		break;
	default:
		r->cmos[r->index] = val;
	}
}

__u8 rtc_port_read(struct rtc *r, __u16 port)
{
	__u8 val;

	rtc_run(r);
	if (!(port & 1))
		return 0xff;
	switch (r->index) {
	case PS2_CENTURY:
		r->index = CENTURY;
		/* fall through */
	case SEC: case MIN: case HOUR: case WDAY: case MDAY: case MONTH: case YEAR: case CENTURY:
		if (rtc_running(r))
			show(r, rtc_now(r));
		return r->cmos[r->index];
	case REG_A:
		return r->cmos[REG_A] | (rtc_running(r) && rtc_now(r) % SECOND >= SECOND - UIP_HOLD ? UIP : 0);
	case REG_C:
		val = r->cmos[REG_C];
		r->cmos[REG_C] = 0;
		set_irq(r, false);
		if (val & (UF | AF))
			plan_update(r);
		return val;
	default:
		return r->cmos[r->index];
	}
}

void rtc_power_on(struct rtc *r, __s64 now)
{
	memset(r->cmos, 0, sizeof(r->cmos));
	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = H24;
	r->cmos[REG_D] = 0x80;
	r->index = 0;
	r->level = false;
	r->base = now;
	r->last_update = r->clock(r->arg);
	r->offset = 0;
	r->periodic_at = 0;
	show(r, rtc_now(r));
	plan_update(r);
}

void rtc_reset(struct rtc *r)
{
	rtc_run(r);
	/* 0xfe says that the guest is suspended. */
	if (r->cmos[SHUTDOWN] != 0xfe)
		r->cmos[SHUTDOWN] = 0;
	r->cmos[REG_B] &= ~(PIE | AIE | SQWE);
	r->cmos[REG_C] &= ~(UF | IRQF | PF | AF);
	set_irq(r, false);
	plan_update(r);
}
