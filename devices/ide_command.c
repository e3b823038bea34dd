// SPDX-License-Identifier: GPL-2.0
/* The commands of an ATA disk, after QEMU's hw/ide/core.c. Not there: SMART, TRIM, DMA; they are aborted. */
#include <string.h>
#include <devices/ide_internal.h>

enum ide_command {
	CMD_RECALIBRATE = 0x10,
	CMD_READ = 0x20,
	CMD_READ_ONCE = 0x21,
	CMD_READ_EXT = 0x24,
	CMD_NATIVE_MAX_EXT = 0x27,
	CMD_READ_MULTIPLE_EXT = 0x29,
	CMD_WRITE = 0x30,
	CMD_WRITE_ONCE = 0x31,
	CMD_WRITE_EXT = 0x34,
	CMD_WRITE_MULTIPLE_EXT = 0x39,
	CMD_WRITE_VERIFY = 0x3c,
	CMD_VERIFY = 0x40,
	CMD_VERIFY_ONCE = 0x41,
	CMD_VERIFY_EXT = 0x42,
	CMD_SEEK = 0x70,
	CMD_DIAGNOSE = 0x90,
	CMD_PARAMETERS = 0x91,
	CMD_STANDBY_NOW_OLD = 0x94,
	CMD_IDLE_NOW_OLD = 0x95,
	CMD_STANDBY_OLD = 0x96,
	CMD_IDLE_OLD = 0x97,
	CMD_POWER_MODE_OLD = 0x98,
	CMD_SLEEP_OLD = 0x99,
	CMD_READ_MULTIPLE = 0xc4,
	CMD_WRITE_MULTIPLE = 0xc5,
	CMD_SET_MULTIPLE = 0xc6,
	CMD_STANDBY_NOW = 0xe0,
	CMD_IDLE_NOW = 0xe1,
	CMD_STANDBY = 0xe2,
	CMD_IDLE = 0xe3,
	CMD_POWER_MODE = 0xe5,
	CMD_SLEEP = 0xe6,
	CMD_FLUSH = 0xe7,
	CMD_FLUSH_EXT = 0xea,
	CMD_IDENTIFY = 0xec,
	CMD_FEATURES = 0xef,
	CMD_NATIVE_MAX = 0xf8,
};

/* 0 stands for the most that there can be. */
static void count_sectors(struct ide *d, bool lba48)
{
	struct ide_taskfile *t = &d->c.drives[0];

	d->c.lba48 = lba48;
	if (!lba48)
		t->count = t->count ? t->count : 256;
	else if (!t->count && !t->hob_count)
		t->count = 65536;
	else
		t->count |= t->hob_count << 8;
}

static void put_word(struct ide *d, int word, __u16 val)
{
	d->buf[2 * word] = val;
	d->buf[2 * word + 1] = val >> 8;
}

/* The first character of each pair is in the high byte. */
static void put_string(struct ide *d, int word, int words, const char *s, const char *other)
{
	int i;

	s = *s ? s : other;
	for (i = 0; i < 2 * words; i++)
		d->buf[2 * word + (i ^ 1)] = *s ? *s++ : ' ';
}

static void identify(struct ide *d)
{
	__u64 cylinders = d->sectors / (DEFAULT_HEADS * DEFAULT_TRACK_SECTORS), track = d->heads * d->track_sectors;
	__u32 lba28 = d->sectors < 1 << 28 ? d->sectors : (1 << 28) - 1, now;
	int i;

	cylinders = cylinders > 16383 ? 16383 : cylinders < 1 ? 1 : cylinders;
	now = cylinders * DEFAULT_HEADS * DEFAULT_TRACK_SECTORS / track;
	now = now > 65535 ? 65535 : now;
	memset(d->buf, 0, IDE_SECTOR);
	put_word(d, 0, 0x0040); /* fixed disk */
	put_word(d, 1, cylinders);
	put_word(d, 3, DEFAULT_HEADS);
	put_word(d, 4, DEFAULT_TRACK_SECTORS * IDE_SECTOR);
	put_word(d, 5, IDE_SECTOR);
	put_word(d, 6, DEFAULT_TRACK_SECTORS);
	put_string(d, 10, 10, d->serial, "IOF00001");
	put_word(d, 20, 3);
	put_word(d, 21, 512);
	put_word(d, 22, 4);
	put_string(d, 23, 4, d->firmware, "1.0");
	put_string(d, 27, 20, d->model, "IOFILTER DISK");
	put_word(d, 47, 0x8000 | IDE_MULT_MAX);
	put_word(d, 48, 1);			/* data port of 32 bits */
	put_word(d, 49, 1 << 11 | 1 << 9);	/* IORDY, LBA; no DMA */
	put_word(d, 51, 0x200);
	put_word(d, 53, 1 << 1 | 1 << 0);	/* words 54-58 and 64-70 are valid */
	put_word(d, 54, now);
	put_word(d, 55, d->heads);
	put_word(d, 56, d->track_sectors);
	put_word(d, 57, now * track);
	put_word(d, 58, now * track >> 16);
	if (d->mult_sectors)
		put_word(d, 59, 0x100 | d->mult_sectors);
	put_word(d, 60, lba28);
	put_word(d, 61, lba28 >> 16);
	put_word(d, 64, 3);			/* PIO modes 3 and 4 */
	put_word(d, 67, 120);
	put_word(d, 68, 120);
	put_word(d, 80, 0x70);			/* ATA-4 to ATA-6 */
	put_word(d, 81, 0x16);
	put_word(d, 82, 1 << 5);		/* write cache */
	put_word(d, 83, 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10); /* both flushes, LBA48 */
	put_word(d, 84, 1 << 14);
	put_word(d, 85, d->write_cache << 5);
	put_word(d, 86, 1 << 13 | 1 << 12 | 1 << 10);
	put_word(d, 87, 1 << 14);
	put_word(d, 93, 1 << 14 | 1 << 13 | 1);
	for (i = 0; i < 4; i++)
		put_word(d, 100 + i, d->sectors >> 16 * i);
}

/* Return: whether the command is taken. */
static bool set_features(struct ide *d)
{
	switch (d->c.drives[0].features) {
	case 0x02:
		d->write_cache = true;
		return true;
	case 0x82:
		d->write_cache = false;
		return !d->io(d->arg, 1, 0, 0, NULL);
	case 0x03: /* transfer mode: the default or any of PIO */
		return d->c.drives[0].count >> 3 < 2;
	case 0xcc:
		d->reset_reverts = true;
		return true;
	case 0x66:
		d->reset_reverts = false;
		return true;
	case 0xaa: case 0x55: /* look-ahead */
	case 0x05: case 0x85: /* power management */
	case 0x42: case 0xc2: /* acoustics */
	case 0x67: case 0x69: case 0x96: case 0x9a:
		return true;
	default:
		return false;
	}
}

static bool set_multiple(struct ide *d)
{
	__u8 n = d->c.drives[0].count;

	if (n > IDE_MULT_MAX || n & (n - 1))
		return false;
	d->mult_sectors = n;
	return true;
}

static bool set_parameters(struct ide *d)
{
	__u8 n = d->c.drives[0].count;

	/* QEMU takes a track of no sectors, and divides by it later. */
	if (!n)
		return false;
	d->heads = (d->c.drives[0].device & IDE_DEVICE_HEAD) + 1;
	d->track_sectors = n;
	return true;
}

static bool rw_command(struct ide *d, enum ide_transfer phase, __u8 block, bool lba48)
{
	if (!block)
		return false;
	count_sectors(d, lba48);
	d->c.block = block;
	if (phase == IDE_DATA_IN) {
		ide_read_block(d);
	} else {
		d->c.status = IDE_DRDY | IDE_DSC;
		ide_transfer_start(d, phase, ide_block_sectors(d) * IDE_SECTOR);
	}
	return true;
}

/* STARTED: it has seen to status and interrupt itself. */
enum { ABORT, STARTED, DONE };

static int start_command(struct ide *d, __u8 cmd)
{
	switch (cmd) {
	case CMD_READ: case CMD_READ_ONCE: case CMD_READ_EXT:
		return rw_command(d, IDE_DATA_IN, 1, cmd == CMD_READ_EXT);
	case CMD_READ_MULTIPLE: case CMD_READ_MULTIPLE_EXT:
		return rw_command(d, IDE_DATA_IN, d->mult_sectors, cmd == CMD_READ_MULTIPLE_EXT);
	case CMD_WRITE: case CMD_WRITE_ONCE: case CMD_WRITE_EXT: case CMD_WRITE_VERIFY:
		return rw_command(d, IDE_DATA_OUT, 1, cmd == CMD_WRITE_EXT);
	case CMD_WRITE_MULTIPLE: case CMD_WRITE_MULTIPLE_EXT:
		return rw_command(d, IDE_DATA_OUT, d->mult_sectors, cmd == CMD_WRITE_MULTIPLE_EXT);
	case CMD_IDENTIFY:
		identify(d);
		d->c.status = IDE_DRDY | IDE_DSC;
		ide_transfer_start(d, IDE_DATA_ANSWER, IDE_SECTOR);
		ide_interrupt(d);
		return STARTED;
	case CMD_DIAGNOSE:
		d->c.drives[0].device = IDE_DEVICE_ONES;
		ide_signature(&d->c.drives[0], true);
		d->c.status = IDE_DRDY | IDE_DSC;
		d->c.error = 1;
		ide_interrupt(d);
		return STARTED;
	case CMD_FLUSH: case CMD_FLUSH_EXT:
		if (d->io(d->arg, 1, 0, 0, NULL))
			return ABORT;
		d->c.status |= IDE_DSC;
		return DONE;
	case CMD_FEATURES:
		return set_features(d) ? DONE : ABORT;
	case CMD_SET_MULTIPLE:
		return set_multiple(d) ? DONE : ABORT;
	case CMD_PARAMETERS:
		return set_parameters(d) ? DONE : ABORT;
	case CMD_VERIFY: case CMD_VERIFY_ONCE: case CMD_VERIFY_EXT:
		count_sectors(d, cmd == CMD_VERIFY_EXT);
		return DONE;
	case CMD_NATIVE_MAX: case CMD_NATIVE_MAX_EXT:
		count_sectors(d, cmd == CMD_NATIVE_MAX_EXT);
		ide_set_sector(d, d->sectors - 1);
		return DONE;
	case CMD_POWER_MODE: case CMD_POWER_MODE_OLD:
		d->c.drives[0].count = 0xff; /* active */
		return DONE;
	case CMD_RECALIBRATE: case CMD_SEEK:
	case CMD_STANDBY: case CMD_STANDBY_NOW: case CMD_IDLE: case CMD_IDLE_NOW: case CMD_SLEEP:
	case CMD_STANDBY_OLD: case CMD_STANDBY_NOW_OLD: case CMD_IDLE_OLD: case CMD_IDLE_NOW_OLD: case CMD_SLEEP_OLD:
		return DONE;
	default:
		return ABORT;
	}
}

/* The commands for which QEMU leaves DSC clear. */
static bool without_dsc(__u8 cmd)
{
	return (cmd >= CMD_STANDBY_NOW_OLD && cmd <= CMD_SLEEP_OLD && cmd != CMD_POWER_MODE_OLD) ||
	       (cmd >= CMD_STANDBY_NOW && cmd <= CMD_SLEEP && cmd != CMD_POWER_MODE);
}

void ide_command(struct ide *d, __u8 cmd)
{
	d->c.control &= ~IDE_CTL_HOB;
	ide_set_intrq(d, false);
	if (d->c.unit || d->c.status & IDE_DRQ)
		return;
	d->c.status = IDE_DRDY;
	d->c.error = 0;
	switch (start_command(d, cmd)) {
	case ABORT:
		ide_rw_error(d);
		break;
	case DONE:
		if (!without_dsc(cmd))
			d->c.status |= IDE_DSC;
		ide_interrupt(d);
		break;
	}
}
