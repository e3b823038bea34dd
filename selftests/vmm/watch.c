// SPDX-License-Identifier: GPL-2.0
/*
 * A flat payload for the reference VMM that watches its clocks for four seconds by the PM timer: how far each has gone, its largest
 * step, and whether one ever stepped back. Whoever stops or saves the VM meanwhile must not show in it.
 */
#include "payload.h"

#define PM_HZ 3579545

enum { PM, HPET_LOW, TSC, PIT, NR_CLOCKS };

static const char *const names[NR_CLOCKS] = { "pm", "hpet", "tsc", "pit" };

static u32 last[NR_CLOCKS], sum[NR_CLOCKS], most[NR_CLOCKS], back[NR_CLOCKS];

void start(void) __attribute__((section(".text.start"), noreturn));

static void step(int clock, u32 now)
{
	u32 delta = now - last[clock];

	if (clock == PM)
		delta &= 0xffffff;
	else if (clock == PIT)
		delta = (last[clock] + 65535 - now) % 65535;
	last[clock] = now;
	/* Half way round is a step back; the PIT's round is short, so it is told from the others. */
	if (clock != PIT && delta > (clock == PM ? 0x800000 : 0x80000000)) {
		back[clock]++;
		return;
	}
	sum[clock] += delta;
	if (delta > most[clock])
		most[clock] = delta;
}

static void look(void)
{
	step(PM, inl(PMTIMER));
	step(HPET_LOW, hpet(0xf0));
	step(TSC, tsc());
	step(PIT, pit_latched());
}

void start(void)
{
	u32 seconds = 0, jumps = 0, sec, was, i;

	set_hpet(0x10, 1);
	outb(0x61, (inb(0x61) & ~2) | 1);
	outb(0x43, 0xb4);
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	set_cmos(0x0b, 0x06);
	look();
	was = cmos(0);
	for (i = 0; i < NR_CLOCKS; i++)
		sum[i] = most[i] = back[i] = 0;
	text("begin\n");
	while (sum[PM] < 4 * PM_HZ) {
		look();
		sec = cmos(0);
		seconds += (sec + 60 - was) % 60;
		jumps += (sec + 60 - was) % 60 > 1;
		was = sec;
	}
	for (i = 0; i < NR_CLOCKS; i++) {
		text(names[i]);
		value("sum", sum[i]);
		value("most", most[i]);
		value("back", back[i]);
		end();
	}
	text("rtc");
	value("seconds", seconds);
	value("jumps", jumps);
	end();
	text("done\n");
	outb(EXIT, 42);
	for (;;)
		asm volatile("hlt");
}
