// SPDX-License-Identifier: GPL-2.0
/*
 * A flat payload for the reference VMM that is saved in the middle of things: wherever it says mark() it writes to port 0xf5, and whoever
 * saves it there must leave it with every sequence as it was. What goes by on each clock is printed, for save.py to judge.
 */
#include "payload.h"

#define MARK  0xf5
#define POLLS 300  /* that make a guest one that polls */
#define PROOF 1000 /* that prove a clock */

void start(void) __attribute__((section(".text.start"), noreturn));

static u32 marks, bad;

/* A line of its own, also within another sequence: the serial port is none of that. */
static void mark(void)
{
	u32 pm = inl(PMTIMER), h = hpet(0xf0), t = tsc();

	outb(MARK, marks);
	t = tsc() - t;
	h = hpet(0xf0) - h;
	pm = pm_delta(pm, inl(PMTIMER));
	text("mark");
	value("number", marks++);
	value("pm", pm);
	value("hpet", h);
	value("tsc", t);
	end();
}

static void expect(u32 got, u32 want, const char *what)
{
	if (got == want)
		return;
	bad++;
	text("bad ");
	text(what);
	value("got", got);
	value("wanted", want);
	end();
}

/* Both clocks at one moment, as far as that can be: not with a preemption in between. */
static u32 both(u32 *t)
{
	u32 best = ~0u, pm = 0, now, i, t0, t1;

	for (i = 0; i < 1000; i++) {
		t0 = tsc();
		now = inl(PMTIMER);
		t1 = tsc();
		if (t1 - t0 >= best)
			continue;
		best = t1 - t0;
		*t = t0;
		pm = now;
	}
	return pm;
}

/* How the TSC's units are to the PM timer's. */
static void calibrate(void)
{
	u32 now, then, pm = both(&then), t;

	while (pm_delta(pm, inl(PMTIMER)) < 600000)
		;
	now = both(&t);
	t -= then;
	text("calibrate");
	value("pm", pm_delta(pm, now));
	value("tsc", t);
	end();
}

/* Channel 2, both bytes, mode 2; and until a filter is sure of it. */
static void pit_load(void)
{
	u32 i;

	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb4);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	for (i = 0; i < PROOF; i++)
		pit_latched();
}

/* A count, and the PM timer before and after it was one. */
struct look {
	u32 before, count, after;
};

static struct look look(void)
{
	struct look l;

	l.before = inl(PMTIMER);
	l.count = pit_latched();
	l.after = inl(PMTIMER);
	return l;
}

/* It has counted down by what the PM timer says, but for 2 ms that a filter may be behind. Over almost a period nothing can be said. */
static void pit_time(const struct look *from, const struct look *to, const char *what)
{
	u32 inner = pm_delta(from->after, to->before), outer = pm_delta(from->before, to->after);
	u32 ticks = 3 * ((from->count + 65535 - to->count) % 65535);

	if (outer > 150000)
		return;
	if (ticks > outer + 7200 || ticks + 7200 < inner) {
		expect(ticks, outer, what);
		expect(ticks, inner, what);
	}
}

static u32 pit_word(void)
{
	u32 low = inb(0x42);

	return low | inb(0x42) << 8;
}

/* Between the two bytes of a latch, and once before the first. */
static void pit_latch(void)
{
	struct look first, latched, later;
	u32 i;

	for (i = 0; i < 3; i++) {
		pit_load();
		first = look();
		latched.before = inl(PMTIMER);
		outb(0x43, 0x80);
		latched.after = inl(PMTIMER);
		if (i != 1)
			mark();
		latched.count = inb(0x42);
		if (i)
			mark();
		latched.count |= inb(0x42) << 8;
		later = look();
		pit_time(&first, &latched, "latch");
		pit_time(&latched, &later, "count after a latch");
	}
}

/* The second byte of an unlatched pair; then the flip-flop must be where it was. */
static void pit_pair(void)
{
	struct look first, pair, later;
	u32 i;

	pit_load();
	first = look();
	for (i = 0; i < POLLS; i++)
		pit_word();
	inb(0x42);
	mark();
	inb(0x42);
	/* Those bytes are of two moments, so they are no count. But the next are, if it is their turn. */
	pair.before = inl(PMTIMER);
	/* Too low by 256, if the high byte has changed since the low one. */
	pair.count = (pit_word() + 256) % 65535;
	pair.after = inl(PMTIMER);
	later = look();
	pit_time(&first, &pair, "pair after a mark");
	pit_time(&pair, &later, "count after a pair");
}

/* Status and count, read back together, with a mark before each byte. */
static void pit_readback(void)
{
	struct look first, latched;
	u32 status;

	pit_load();
	first = look();
	latched.before = inl(PMTIMER);
	outb(0x43, 0xc8);
	latched.after = inl(PMTIMER);
	mark();
	status = inb(0x42);
	mark();
	latched.count = inb(0x42);
	mark();
	latched.count |= inb(0x42) << 8;
	expect(status & 0x3f, 0x34, "status");
	pit_time(&first, &latched, "read-back");
}

/* Each read of port 0x61 inverts bit 4. */
static void port61(void)
{
	u32 i, was = inb(0x61), now;

	for (i = 0; i < 60; i++, was = now) {
		if (i % 20 == 10)
			mark();
		if (i % 20 == 15) {
			now = inb(0x61);
			expect((was ^ now) & 0x10, 0x10, "refresh");
			was = now;
			mark();
		}
		now = inb(0x61);
		expect((was ^ now) & 0x10, 0x10, "refresh");
	}
}

/* Half a count is written. */
static void pit_write(void)
{
	outb(0x43, 0xb4);
	outb(0x42, 0x34);
	mark();
	outb(0x42, 0x12);
	expect(pit_latched() <= 0x1234, 1, "count");
	expect(pit_latched() > 0x1000 || pit_latched() <= 0x1234, 1, "count");
}

/* Between index and data, and with the registers halted in the middle of being set. */
static void rtc(void)
{
	u32 i;

	for (i = 0; i < 200; i++)
		set_cmos(0x40 + i % 16, i % 16 * 11);
	outb(0x70, 0x45);
	mark();
	expect(inb(0x71), 55, "CMOS");
	set_cmos(0x0b, 0x86);
	set_cmos(0x00, 30);
	set_cmos(0x02, 59);
	mark();
	expect(cmos(2), 59, "minute");
	set_last_hour();
	mark();
	expect(cmos(0) >= 30 && cmos(0) < 50, 1, "second");
	expect(cmos(4), 23, "hour");
	expect(cmos(7), 28, "day");
}

/* The counter's halves; and one that is halted. */
static void hpet_halves(void)
{
	u32 low, high, i;

	set_hpet(0x10, 0);
	set_hpet(0xf0, 0xffffff00);
	set_hpet(0xf4, 6);
	mark();
	expect(hpet(0xf0), 0xffffff00, "halted");
	set_hpet(0x10, 1);
	low = hpet(0xf0);
	mark();
	high = hpet(0xf4);
	expect(high == 7 || (high == 6 && low >= 0xffffff00), 1, "halves");
	for (i = 0; i < 100; i++, low = high) {
		high = hpet(0xf0);
		expect(high - low < 100000000, 1, "HPET");
	}
}

static u32 ide_words(u32 h, u32 n)
{
	while (n--)
		h = hash(h, inw(IDE));
	return h;
}

/* Sectors by single words, with a mark in the middle of the first, between two, and before the status at the end. */
static void ide_read(void)
{
	u32 h = 2166136261u, i;

	outb(0x3f6, 0x02);
	ide_command(0x20, 100, 4);
	for (i = 0; i < 4; i++) {
		if (i == 1)
			mark();
		expect(ide_wait() & 0xc9, 0x48, "data");
		if (i == 2)
			mark();
		h = ide_words(h, 77);
		if (i == 0 || i == 3)
			mark();
		h = ide_words(h, 179);
		inb(0x3f6);
	}
	mark();
	expect(ide_wait() & 0xc9, 0x40, "end of a read");
	text("read");
	value("hash", h);
	end();
}

/* The registers of a command, one by one; blocks of 4 sectors. */
static void ide_multiple(void)
{
	u32 h = 2166136261u, i;

	ide_command(0xc6, 0, 4);
	expect(ide_wait() & 0xc9, 0x40, "set multiple");
	outb(IDE + 6, 0xe0);
	outb(IDE + 2, 10);
	outb(IDE + 3, 200);
	mark();
	outb(IDE + 4, 0);
	outb(IDE + 5, 0);
	outb(IDE + 7, 0xc4);
	for (i = 0; i < 10; i += 4) {
		expect(ide_wait() & 0xc9, 0x48, "data of a block");
		h = ide_words(h, 300);
		if (i == 4)
			mark();
		h = ide_words(h, i == 8 ? 212 : 724);
	}
	expect(ide_wait() & 0xc9, 0x40, "end of a read by blocks");
	text("multiple");
	value("hash", h);
	end();
}

static void ide_write(void)
{
	u32 i, h = 2166136261u;

	ide_command(0x30, 50, 2);
	for (i = 0; i < 512; i++) {
		if (i == 100 || i == 256 || i == 511)
			mark();
		if (i % 256 == 0)
			expect(ide_wait() & 0xc9, 0x48, "room");
		outw(IDE, i * 259);
	}
	mark();
	expect(ide_wait() & 0xc9, 0x40, "end of a write");
	ide_command(0xec, 0, 0);
	expect(ide_wait() & 0xc9, 0x48, "identify");
	for (i = 0; i < 256; i++) {
		if (i == 60)
			mark();
		h = inw(IDE);
		if (i == 60)
			expect(h, 2048, "size");
	}
}

/* A character in the FIFO, in a loopback. */
static void serial(void)
{
	outb(SERIAL + 7, 0x5a);
	outb(SERIAL + 2, 0x01);
	outb(SERIAL + 4, 0x10);
	outb(SERIAL, 'x');
	outb(SERIAL, 'y');
	outb(MARK, marks);
	expect(inb(SERIAL + 5) & 1, 1, "character");
	expect(inb(SERIAL), 'x', "character");
	outb(MARK, marks);
	expect(inb(SERIAL), 'y', "character");
	outb(SERIAL + 4, 0x00);
	expect(inb(SERIAL + 7), 0x5a, "scratch");
}

void start(void)
{
	set_hpet(0x10, 1);
	calibrate();
	mark();
	pit_latch();
	pit_pair();
	pit_readback();
	port61();
	pit_write();
	rtc();
	hpet_halves();
	ide_read();
	ide_multiple();
	ide_write();
	serial();
	mark();
	text("done");
	value("bad", bad);
	end();
	outb(EXIT, 42);
	for (;;)
		asm volatile("hlt");
}
