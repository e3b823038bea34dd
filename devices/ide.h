/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An ATA channel with one disk, its master, as QEMU has it without bus master DMA. The disk is passed in, and asked at once: the
 * model is never busy. Its user sets the first members, then calls ide_power_on().
 */
#ifndef DEVICES_IDE_H
#define DEVICES_IDE_H

#include <stdbool.h>
#include <linux/types.h>
#include <iofilter/ide_channel.h>

#define IDE_MULT_MAX 16

struct ide {
	/* Return: 0 or -errno. @count 0, written: flush. */
	int (*io)(void *arg, int write, __u64 sector, __u32 count, void *data);
	/* INTRQ has changed. May be NULL. */
	void (*irq)(void *arg, int level);
	void *arg;
	__u64 sectors; /* of the disk */
	__u16 base;    /* IDE_PRIMARY or IDE_SECONDARY */
	char serial[21], firmware[9], model[41]; /* "": a default */

	struct ide_channel c;
	bool reset_reverts, write_cache;
	__u8 mult_sectors;
	__u16 heads, track_sectors; /* that CHS counts by */
	__u8 buf[IDE_MULT_MAX * IDE_SECTOR]; /* the block */
};

void ide_power_on(struct ide *d);
/* A machine reset. */
void ide_reset(struct ide *d);
/* @len 1, 2 or 4. A string instruction is a loop of these. */
__u32 ide_port_read(struct ide *d, __u16 port, __u32 len);
void ide_port_write(struct ide *d, __u16 port, __u32 len, __u32 val);

/* The sector that the registers of the master name, by the kind of the last command. */
__u64 ide_sector(const struct ide *d);

#endif /* DEVICES_IDE_H */
