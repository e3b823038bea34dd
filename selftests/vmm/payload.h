/* SPDX-License-Identifier: GPL-2.0 */
/* What flat payloads for the reference VMM share: its ports, and lines of NAME KEY=VALUE.. on its serial port. */
#ifndef SELFTESTS_VMM_PAYLOAD_H
#define SELFTESTS_VMM_PAYLOAD_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SERIAL	0x3f8
#define PMTIMER 0x608
#define HPET	0xfed00000
#define IDE	0x1f0
#define EXIT	0xf4

static inline void outb(u16 port, u8 val)
{
	asm volatile("outb %0, %1" : : "a"(val), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 val;

	asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

static inline u16 inw(u16 port)
{
	u16 val;

	asm volatile("inw %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

static inline u32 inl(u16 port)
{
	u32 val;

	asm volatile("inl %1, %0" : "=a"(val) : "Nd"(port));
	return val;
}

static inline void outw(u16 port, u16 val)
{
	asm volatile("outw %0, %1" : : "a"(val), "Nd"(port));
}

/* In units of 1024. */
static inline u32 tsc(void)
{
	u64 val;

	asm volatile("lfence; rdtsc" : "=A"(val));
	return val >> 10;
}

static inline u32 hpet(u32 reg)
{
	return *(volatile u32 *)(HPET + reg);
}

static inline void set_hpet(u32 reg, u32 val)
{
	*(volatile u32 *)(HPET + reg) = val;
}

static inline void text(const char *s)
{
	while (*s)
		outb(SERIAL, *s++);
}

static inline void value(const char *key, u32 val)
{
	char buf[12], *p = buf + sizeof(buf);

	*--p = 0;
	do
		*--p = '0' + val % 10;
	while (val /= 10);
	text(" ");
	text(key);
	text("=");
	text(p);
}

static inline void end(void)
{
	text("\n");
}

static inline u32 pm_delta(u32 from, u32 to)
{
	return (to - from) & 0xffffff;
}

static inline u32 pit_latched(void)
{
	u32 low;

	outb(0x43, 0x80);
	low = inb(0x42);
	return low | inb(0x42) << 8;
}

static inline u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static inline void set_cmos(u8 reg, u8 val)
{
	outb(0x70, reg);
	outb(0x71, val);
}

/* The hour and the day before a leap day, once minute and second are set with the time halted (register B's SET); it goes on. */
static inline void set_last_hour(void)
{
	set_cmos(0x04, 23);
	set_cmos(0x07, 28);
	set_cmos(0x08, 2);
	set_cmos(0x09, 24);
	set_cmos(0x32, 20);
	set_cmos(0x0b, 0x06);
}

static inline u32 hash(u32 h, u32 word)
{
	return (h ^ word) * 16777619;
}

static inline u8 ide_wait(void)
{
	u8 status;

	do
		status = inb(IDE + 7);
	while (status & 0x80);
	return status;
}

static inline void ide_command(u8 command, u32 sector, u8 count)
{
	ide_wait();
	outb(IDE + 6, 0xe0 | sector >> 24);
	outb(IDE + 2, count);
	outb(IDE + 3, sector);
	outb(IDE + 4, sector >> 8);
	outb(IDE + 5, sector >> 16);
	outb(IDE + 7, command);
}

#endif /* SELFTESTS_VMM_PAYLOAD_H */
