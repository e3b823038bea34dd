/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guests of the IDE channel: a driver that carries out a list of reads and notes what it has seen, one that gives a read up and writes, and a
 * vCPU that only polls.
 */
#ifndef SELFTESTS_VM_IDE_GUEST_H
#define SELFTESTS_VM_IDE_GUEST_H

#include "ide.h"

#define MAX_JOBS  64
#define MAX_COUNT 256

enum how { SINGLE, PER_BLOCK, WHOLE, NR_HOWS };

/* A command of the guest. */
struct job {
	__u8 cmd, lba48, width, how;
	__u32 count, block;
	__u64 lba;
	__u32 off; /* in the page that its data begin in */
	bool interrupts; /* waits for each */
	bool enabled;	 /* has them raised, and does not look */
	/* What it has seen. */
	__u8 status, error, left, lba_low;
	__u32 blocks, interrupted, bad;
};

/* Shared with the guest. */
static struct job jobs[MAX_JOBS];
static __u8 area[MAX_COUNT * IDE_SECTOR + 8192] __attribute__((aligned(4096)));
static volatile bool stop;

static __always_inline void guest_load(const struct job *j)
{
	if (j->lba48) {
		outb(j->count >> 8, PORT(IDE_COUNT));
		outb(j->lba >> 24, PORT(IDE_LBA_LOW));
		outb(j->lba >> 32, PORT(IDE_LBA_MID));
		outb(j->lba >> 40, PORT(IDE_LBA_HIGH));
	}
	outb(j->count, PORT(IDE_COUNT));
	outb(j->lba, PORT(IDE_LBA_LOW));
	outb(j->lba >> 8, PORT(IDE_LBA_MID));
	outb(j->lba >> 16, PORT(IDE_LBA_HIGH));
	outb(IDE_DEVICE_LBA | (j->lba48 ? 0 : j->lba >> 24 & IDE_DEVICE_HEAD), PORT(IDE_DEVICE));
	outb(j->cmd, PORT(IDE_COMMAND));
}

/* IRQ 14 at the PIC, by polling: an interrupt that has come is taken and ended. */
static __always_inline bool guest_interrupted(void)
{
	outb(0x0c, 0xa0);
	if (inb(0xa0) != 0x86)
		return false;
	outb(0x20, 0xa0);
	outb(0x20, 0x20);
	return true;
}

static __always_inline void guest_pic(void)
{
	outb(0x11, 0x20);
	outb(0x20, 0x21);
	outb(0x04, 0x21);
	outb(0x01, 0x21);
	outb(0x11, 0xa0);
	outb(0x28, 0xa1);
	outb(0x02, 0xa1);
	outb(0x01, 0xa1);
	outb(0xff, 0x21);
	outb(0xbf, 0xa1);
}

static __always_inline __u8 *guest_data(struct job *j, __u8 *to, __u32 bytes)
{
	__u32 i;

	if (j->how != SINGLE) {
		guest_ins(PORT(IDE_DATA), to, bytes / j->width, j->width);
		return to + bytes;
	}
	for (i = 0; i < bytes; i += j->width, to += j->width) {
		if (j->width == 2)
			*(__u16 *)to = inw(PORT(IDE_DATA));
		else
			*(__u32 *)to = inl(PORT(IDE_DATA));
	}
	return to;
}

static void guest_read(struct job *j)
{
	__u32 left = j->count, n, i;
	__u8 *to = area + j->off;

	outb(j->interrupts || j->enabled ? 0 : IDE_CTL_NIEN, ALT);
	guest_load(j);
	while (left) {
		n = j->how == WHOLE || left < j->block ? left : j->block;
		if (j->interrupts) {
			for (i = 0; i < 100000 && !guest_interrupted(); i++)
				;
			j->interrupted += i < 100000;
		}
		if (inb(ALT) != IDE_FOUND || inb(PORT(IDE_STATUS)) != IDE_FOUND)
			j->bad++;
		to = guest_data(j, to, n * IDE_SECTOR);
		left -= n;
		j->blocks++;
	}
	j->status = inb(ALT);
	j->status |= inb(PORT(IDE_STATUS));
	j->error = inb(PORT(IDE_ERROR));
	j->left = inb(PORT(IDE_COUNT));
	j->lba_low = inb(PORT(IDE_LBA_LOW));
	if (j->interrupts)
		j->bad += guest_interrupted();
}

static void guest_jobs(long n)
{
	for (long i = 0; i < n; i++) {
		if (jobs[i].interrupts)
			guest_pic();
		guest_read(&jobs[i]);
	}
}

/* Polls while vCPU 0 reads. */
static void guest_bystander(long arg)
{
	(void)arg;
	while (!stop) {
		inb(ALT);
		inb(PORT(IDE_DEVICE));
		inb(PORT(IDE_ERROR));
	}
}

static struct job given_up = { .cmd = 0x20, .count = 8, .lba = 100, .width = 4, .how = PER_BLOCK };
static struct job written = { .cmd = 0x30, .count = 8, .lba = 100 };

/* A read that is given up after a sector; all of it is written; it is read. */
static void guest_gives_up(long arg)
{
	int i;

	(void)arg;
	outb(IDE_CTL_NIEN, ALT);
	guest_load(&given_up);
	guest_data(&given_up, area, IDE_SECTOR);
	outb(IDE_CTL_NIEN | IDE_CTL_SRST, ALT);
	outb(IDE_CTL_NIEN, ALT);
	for (i = 0; i < 8 * IDE_SECTOR; i++)
		area[i] ^= i * 7 + 1;
	guest_load(&written);
	for (i = 0; i < 8; i++)
		guest_outs(PORT(IDE_DATA), area + i * IDE_SECTOR, IDE_SECTOR / 4, 4);
	guest_load(&given_up);
	for (i = 0; i < 8; i++)
		guest_data(&given_up, area + 65536 + i * IDE_SECTOR, IDE_SECTOR);
}

#endif /* SELFTESTS_VM_IDE_GUEST_H */
