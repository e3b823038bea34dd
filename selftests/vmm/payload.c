// SPDX-License-Identifier: GPL-2.0
/*
 * A flat payload for the reference VMM, in 32-bit protected mode: uses each device as guests do and prints what it saw, one line each
 * of NAME KEY=VALUE.., for flat.py to judge. Steps, sums and mismatches are the same whoever answers; times are only alike.
 */
#include "payload.h"

#define READS 2000

void start(void) __attribute__((section(".text.start"), noreturn));

static void test_pmtimer(void)
{
	u32 last = inl(PMTIMER), now, sum = 0, back = 0, i;

	for (i = 0; i < READS; i++, last = now) {
		now = inl(PMTIMER);
		back += pm_delta(last, now) > 0x800000;
		sum += pm_delta(last, now);
	}
	text("pmtimer");
	value("back", back);
	value("high", inl(PMTIMER) >> 24);
	value("time", sum);
	end();
}

/* The PM timer is read before and after: what passed on either lies between. */
static void test_hpet(void)
{
	u32 last, now, back = 0, outer, inner, sum, stands, first, pm0, pm1, pm2, pm3, i;

	set_hpet(0x10, 0);
	set_hpet(0xf0, 0);
	set_hpet(0xf4, 0);
	stands = hpet(0xf0) | hpet(0xf4);
	pm0 = inl(PMTIMER);
	set_hpet(0x10, 1);
	first = last = hpet(0xf0);
	pm1 = inl(PMTIMER);
	for (i = 0; i < READS; i++, last = now) {
		now = hpet(0xf0);
		back += now < last;
	}
	pm2 = inl(PMTIMER);
	set_hpet(0x10, 0);
	pm3 = inl(PMTIMER);
	sum = hpet(0xf0);
	for (i = 0; i < 100; i++)
		stands |= hpet(0xf0) ^ sum;
	back += sum < last;
	outer = pm_delta(pm0, pm3);
	inner = pm_delta(pm1, pm2);
	text("hpet");
	value("back", back);
	value("stands", stands);
	value("high", hpet(0xf4));
	value("period", hpet(0x04));
	value("time", sum);
	value("first", first);
	value("pm_outer", outer);
	value("pm_inner", inner);
	end();
}

static void test_pit(void)
{
	u32 last, now, sum = 0, back = 0, before, pm, pm0, pm1, pm2, pm3, refresh = 0, was, i;

	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb4); /* channel 2, both bytes, mode 2 */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	pm0 = inl(PMTIMER);
	last = pit_latched();
	pm1 = inl(PMTIMER);
	for (before = pm0, pm2 = pm1, i = 0; i < READS; i++, last = now, before = pm2, pm2 = pm) {
		now = pit_latched();
		pm = inl(PMTIMER);
		/* It counts down, and round: more than half the period in less time than that is a step up. @before is from before @last. */
		back += (last + 65535 - now) % 65535 > 32767 && pm_delta(before, pm) < 32767 * 3;
		sum += (last + 65535 - now) % 65535;
	}
	pm2 = inl(PMTIMER);
	now = pit_latched();
	sum += (last + 65535 - now) % 65535;
	pm3 = inl(PMTIMER);
	for (was = inb(0x61), i = 0; i < 1000; i++) {
		now = inb(0x61);
		refresh += !((was ^ now) & 0x10);
		was = now;
	}
	text("pit");
	value("back", back);
	value("same_refresh", refresh);
	value("time", sum);
	value("pm_outer", pm_delta(pm0, pm3));
	value("pm_inner", pm_delta(pm1, pm2));
	end();
}

static void test_rtc(void)
{
	u32 wrong = 0, i, sec, last;

	for (i = 0; i < 16; i++)
		set_cmos(0x40 + i, i * 11);
	for (i = 0; i < READS; i++)
		wrong += cmos(0x40 + i % 16) != i % 16 * 11;
	/* A leap day's last seconds, and on. */
	set_cmos(0x0b, 0x86);
	set_cmos(0x00, 58);
	set_cmos(0x02, 59);
	set_last_hour();
	text("rtc");
	value("wrong", wrong);
	value("set", cmos(0) >= 58 && cmos(2) == 59 && cmos(4) == 23 && cmos(7) == 28 && cmos(8) == 2);
	for (last = 58, wrong = 0, i = 0; cmos(7) == 28 && i < 1000000; i++, last = sec) {
		sec = cmos(0);
		wrong += sec != last && sec != (last + 1) % 60;
	}
	value("wrong_seconds", wrong);
	value("midnight", cmos(4) == 0 && cmos(2) == 0);
	value("day", cmos(7));
	value("month", cmos(8));
	value("weekday", cmos(6));
	value("reads", i);
	end();
}

static u32 ide_read(u32 sector, u8 count, u32 *bad)
{
	u32 h = 2166136261u, i;

	for (ide_command(0x20, sector, count); count; count--) {
		*bad += (ide_wait() & 0xc9) != 0x48;
		for (i = 0; i < 256; i++)
			h = hash(h, inw(IDE));
		inb(0x3f6);
	}
	*bad += (ide_wait() & 0xc9) != 0x40;
	return h;
}

static u32 ide_read_ext(u32 sector, u8 count, u32 *bad)
{
	u32 h = 2166136261u, i;

	ide_wait();
	outb(IDE + 6, 0x40);
	outb(IDE + 2, 0);
	outb(IDE + 3, sector >> 24);
	outb(IDE + 4, 0);
	outb(IDE + 5, 0);
	outb(IDE + 2, count);
	outb(IDE + 3, sector);
	outb(IDE + 4, sector >> 8);
	outb(IDE + 5, sector >> 16);
	outb(IDE + 7, 0x24);
	for (; count; count--) {
		*bad += (ide_wait() & 0xc9) != 0x48;
		for (i = 0; i < 256; i++)
			h = hash(h, inw(IDE));
	}
	*bad += (ide_wait() & 0xc9) != 0x40;
	return h;
}

static void test_ide(void)
{
	u32 bad = 0, i, size = 0, w, h;

	outb(0x3f6, 0x02);
	ide_command(0xec, 0, 0);
	bad += (ide_wait() & 0xc9) != 0x48;
	for (i = 0; i < 256; i++) {
		w = inw(IDE);
		if (i == 60)
			size = w;
		if (i == 61)
			size |= w << 16;
	}
	text("ide");
	value("sectors", size);
	for (h = 0, i = 0; i < 8; i++)
		h = hash(h, ide_read(i * 7, 4, &bad));
	value("hash", h);
	/* One sector, word by word, and back. */
	ide_command(0x30, 40, 1);
	bad += (ide_wait() & 0xc9) != 0x48;
	for (i = 0; i < 256; i++)
		outw(IDE, i * 257);
	bad += (ide_wait() & 0xc9) != 0x40;
	value("written", ide_read(40, 1, &bad));
	/* By LBA48, after a command whose registers would be a place far beyond the disk if they were taken for the high bytes. */
	ide_command(0x20, 77, 1);
	for (bad += (ide_wait() & 0xc9) != 0x48, i = 0; i < 256; i++)
		inw(IDE);
	value("ext", ide_read_ext(78, 2, &bad));
	/* Beyond its end. */
	ide_command(0x20, size, 1);
	value("beyond", ide_wait() & 0x49);
	value("error", inb(IDE + 1));
	value("bad", bad);
	end();
}

void start(void)
{
	test_pmtimer();
	test_hpet();
	test_pit();
	test_rtc();
	if (inb(IDE + 7) != 0xff)
		test_ide();
	text("done\n");
	outb(EXIT, 42);
	for (;;)
		asm volatile("hlt");
}
