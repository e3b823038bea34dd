/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What a filter knows of an IDE channel whose VMM does not tell: how the guest's accesses change it, and how it is forgotten. */
#ifndef IOFILTER_IDE_STATE_H
#define IOFILTER_IDE_STATE_H

#include <iofilter/ide.h>

#define IDE_BIT(reg) (1U << ((reg) & 7))

static inline int ide_lock(struct ide_watch *w)
{
	return iofilter_try_lock(&w->lock);
}

static inline void ide_unlock(struct ide_watch *w)
{
	iofilter_unlock(&w->lock);
}

/* What the selected drive does is not known; what it has been told is. */
static inline void ide_lose(struct ide_watch *w)
{
	w->phase = IDE_UNKNOWN;
	w->known = w->hob_known = w->counted = 0;
	w->unit = IDE_NO_UNIT;
	w->version++;
}

/* Nothing is known: any access may have been made. The size of a drive stays, which no access changes. */
static inline void ide_forget(struct ide_watch *w)
{
	ide_lose(w);
	w->nien_known = 0;
	w->hob_clear = 0;
	w->low = 0;
	w->lowered = 0;
	w->multiple[0] = w->multiple[1] = 0;
	w->line_next = IDE_LINE_ANY;
}

/* Will what looks idle, as the VMM has shown it when asked at @now, stay so? */
static inline int ide_sure(struct ide_watch *w, __u64 now)
{
	if (w->retry_at && now - w->retry_at >= IDE_SETTLE_NS)
		w->retry_at = 0;
	if (w->reset_at && now - w->reset_at >= IDE_SETTLE_NS)
		w->reset_at = 0;
	return (!w->retry_at && !w->reset_at) || !IOFILTER_CLAUSE(IDE_UNSURE);
}

/* Any access may have been made, a reset of the drive among them. */
static inline void ide_missed(struct ide_watch *w, __u64 now)
{
	ide_forget(w);
	w->open = 1;
	w->reset_at = now;
}

/* The VM may have been stopped, reset, or given another state. */
static inline void ide_away(struct ide_watch *w, __u64 now)
{
	if (w->open)
		w->retry_at = now;
	ide_forget(w);
	w->suspicions++;
}

static inline int ide_nien(const struct ide_watch *w, __u32 val)
{
	return w->nien_known && w->nien == val;
}

/* The sectors of the block that is looked for or read; 0: not known. */
static inline __u32 ide_block(const struct ide_watch *w)
{
	__u32 multiple = 1;

	if (w->left > 1 && (w->command == IDE_CMD_READ_MULTIPLE || w->command == IDE_CMD_READ_MULTIPLE_EXT))
		multiple = w->multiple[w->unit & 1];
	return multiple < w->left || !multiple ? multiple : w->left;
}

static inline int ide_is_ext(__u32 command)
{
	return command == IDE_CMD_READ_EXT || command == IDE_CMD_READ_MULTIPLE_EXT;
}

static inline int ide_is_read(__u32 command)
{
	return command == IDE_CMD_READ || command == IDE_CMD_READ_ONCE || command == IDE_CMD_READ_MULTIPLE || ide_is_ext(command);
}

/* Of the commands that guests give all the time: those that leave the drive's mode as it is. */
static inline int ide_keeps_mode(__u32 command)
{
	switch (command) {
	case IDE_CMD_WRITE:
	case IDE_CMD_WRITE_EXT:
	case IDE_CMD_WRITE_MULTIPLE:
	case IDE_CMD_READ_DMA:
	case IDE_CMD_WRITE_DMA:
	case IDE_CMD_READ_DMA_EXT:
	case IDE_CMD_WRITE_DMA_EXT:
	case IDE_CMD_FLUSH:
	case IDE_CMD_FLUSH_EXT:
	case IDE_CMD_IDENTIFY:
		return 1;
	}
	return ide_is_read(command);
}

/* A command that may look idle when an error of the disk has stopped the VM: not one by DMA, which shows DRQ then, nor a flush: BSY. */
static inline int ide_may_stop(__u32 command)
{
	switch (command) {
	case IDE_CMD_READ_DMA:
	case IDE_CMD_WRITE_DMA:
	case IDE_CMD_READ_DMA_EXT:
	case IDE_CMD_WRITE_DMA_EXT:
	case IDE_CMD_FLUSH:
	case IDE_CMD_FLUSH_EXT:
	case IDE_CMD_IDENTIFY:
	case IDE_CMD_SET_MULTIPLE:
		return 0;
	}
	return 1;
}

static inline int ide_knows(__u32 mask, __u32 regs)
{
	return (mask & regs) == regs;
}

#define IDE_LBA_REGS (IDE_BIT(IDE_LBA_LOW) | IDE_BIT(IDE_LBA_MID) | IDE_BIT(IDE_LBA_HIGH))

/* How much is to be read, and from where. Return: 0, or -1: how much is not known. */
static inline int ide_range(struct ide_watch *w)
{
	int ext = ide_is_ext(w->command);

	if (!w->counted || (ext && !ide_knows(w->hob_known, IDE_BIT(IDE_COUNT))))
		return -1;
	w->left = w->regs[IDE_COUNT];
	if (ext)
		w->left |= w->hob[IDE_COUNT] << 8;
	if (!w->left)
		w->left = ext ? 65536 : 256;
	w->by_lba = ide_knows(w->known, IDE_LBA_REGS | IDE_BIT(IDE_DEVICE)) && w->regs[IDE_DEVICE] & IDE_DEVICE_LBA &&
		    (!ext || ide_knows(w->hob_known, IDE_LBA_REGS));
	w->sector = w->regs[IDE_LBA_LOW] | w->regs[IDE_LBA_MID] << 8 | w->regs[IDE_LBA_HIGH] << 16;
	if (ext)
		w->sector |= (__u64)w->hob[IDE_LBA_LOW] << 24 | (__u64)w->hob[IDE_LBA_MID] << 32 | (__u64)w->hob[IDE_LBA_HIGH] << 40;
	else
		w->sector |= (__u64)(w->regs[IDE_DEVICE] & IDE_DEVICE_HEAD) << 24;
	return 0;
}

static inline void ide_set(struct ide_watch *w, __u32 reg, __u8 val)
{
	w->regs[reg & 7] = val;
	w->known |= IDE_BIT(reg);
}

/* The last block has been read: the registers say what comes behind it. */
static inline void ide_read_done(struct ide_watch *w)
{
	ide_set(w, IDE_COUNT, 0);
	w->counted = 1;
	ide_set(w, IDE_ERROR, 0);
	if (!w->by_lba) {
		w->known &= ~(IDE_LBA_REGS | IDE_BIT(IDE_DEVICE));
		return;
	}
	ide_set(w, IDE_LBA_LOW, w->sector);
	ide_set(w, IDE_LBA_MID, w->sector >> 8);
	ide_set(w, IDE_LBA_HIGH, w->sector >> 16);
	if (ide_is_ext(w->command)) {
		w->hob[IDE_LBA_LOW] = w->sector >> 24;
		w->hob[IDE_LBA_MID] = w->sector >> 32;
		w->hob[IDE_LBA_HIGH] = w->sector >> 40;
	} else {
		ide_set(w, IDE_DEVICE, (w->regs[IDE_DEVICE] & ~IDE_DEVICE_HEAD) | (w->sector >> 24 & IDE_DEVICE_HEAD));
	}
}

static inline void ide_still(struct ide_watch *w, __u8 status, __u64 now)
{
	w->phase = IDE_STILL;
	w->status = status;
	w->status_known = 1;
	w->open = 0;
	w->shown_at = now;
}

/* The guest has read @elements times @len bytes of data; the VMM was asked at @now. */
static inline void ide_taken(struct ide_watch *w, __u32 elements, __u32 len, __u64 now)
{
	__u32 block = ide_block(w), pos = w->pos + elements * len;

	/* A drive that is idle has none to take. */
	if (w->phase == IDE_STILL || w->phase == IDE_UNKNOWN)
		return;
	/* A byte takes a word with it; and a dword of which only a word is left is not given. */
	if (w->phase != IDE_BLOCK || (len != 2 && len != 4) || (block ? pos > block * IDE_SECTOR : pos >= IDE_SECTOR)) {
		ide_lose(w);
		return;
	}
	w->pos = pos;
	w->shown_at = now;
	if (!block || pos < block * IDE_SECTOR)
		return;
	w->left -= block;
	w->sector += block;
	if (w->command == IDE_CMD_IDENTIFY) {
		ide_set(w, IDE_ERROR, 0);
		ide_still(w, IDE_IDLE, now);
	} else if (!w->left || !IOFILTER_CLAUSE(IDE_FINAL)) {
		ide_read_done(w);
		ide_still(w, IDE_IDLE, now);
	} else {
		w->phase = IDE_WORKING;
		w->work_at = now;
		w->armed = 1;
		w->told = 0;
	}
}

/* A write to the command register. */
static inline void ide_command(struct ide_watch *w, __u8 val, __u64 now)
{
	/* It is carried out if a drive is there, and idle. */
	int taken = w->phase == IDE_STILL && (!w->status_known || w->status & IDE_DRDY) && w->unit != IDE_NO_UNIT;

	w->command = val;
	w->multiple_new = 0;
	/* It is not taken while another is under way. */
	w->open |= ide_may_stop(val);
	/* Now what the drive shows is of this command. */
	if (w->retry_at) {
		w->reset_at = iofilter_max(w->reset_at, w->retry_at);
		w->retry_at = 0;
	}
	w->hob_clear = 1;
	w->low = ide_nien(w, IDE_CTL_NIEN);
	w->lowered = 1;
	w->pos = 0;
	if (taken && val == IDE_CMD_SET_MULTIPLE && w->counted)
		w->multiple_new = w->regs[IDE_COUNT] | (w->unit << 8);
	if (!taken || !ide_keeps_mode(val))
		w->multiple[0] = w->multiple[1] = 0;
	if (taken && val == IDE_CMD_IDENTIFY) {
		w->left = 1;
		w->by_lba = 0;
	} else if (!taken || !ide_is_read(val) || ide_range(w)) {
		ide_lose(w);
		return;
	}
	w->phase = IDE_WORKING;
	w->work_at = w->shown_at = now;
	w->armed = w->status_known;
	/* Whether there are such sectors at all is not known. */
	w->told = 1;
}

/* A write to the control register. */
static inline void ide_control(struct ide_watch *w, __u8 val, __u64 now)
{
	if (val & IDE_CTL_SRST || w->phase == IDE_WORKING)
		ide_lose(w);
	if (val & IDE_CTL_SRST) {
		w->open = 1;
		/* A drive that has data can be read on meanwhile, and is idle then; one that is not there never shows that it is busy. */
		w->reset_at = now;
		w->multiple[0] = w->multiple[1] = 0;
	}
	w->nien = val & IDE_CTL_NIEN;
	w->nien_known = 1;
	w->low &= !!w->nien;
	w->hob_clear = !(val & IDE_CTL_HOB);
}

/* A write to any other register, by which both drives are told the same. A drive that is not idle takes none. */
static inline void ide_set_register(struct ide_watch *w, __u32 reg, __u8 val)
{
	__u32 unit = val & IDE_DEVICE_DEV ? 1 : 0;

	if (w->phase == IDE_BLOCK)
		return;
	if (w->phase != IDE_STILL || reg == IDE_DATA) {
		if (w->phase != IDE_STILL)
			ide_lose(w);
		return;
	}
	w->hob_clear = 1;
	if (reg == IDE_DEVICE) {
		/* Another drive has a status and registers of its own. It is idle, or this one would not have been left. */
		if (unit != w->unit && IOFILTER_CLAUSE(IDE_UNIT)) {
			ide_lose(w);
			w->phase = IDE_STILL;
			w->status_known = 0;
		}
		w->unit = unit;
		ide_set(w, IDE_DEVICE, val | IDE_DEVICE_ONES);
	} else if (reg != IDE_FEATURES) {
		w->hob[reg & 7] = w->regs[reg & 7];
		w->hob_known = (w->hob_known & ~IDE_BIT(reg)) | (w->known & IDE_BIT(reg));
		ide_set(w, reg, val);
		if (reg == IDE_COUNT)
			w->counted = 1;
	}
}

#endif /* IOFILTER_IDE_STATE_H */
