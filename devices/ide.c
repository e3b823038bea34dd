// SPDX-License-Identifier: GPL-2.0
/*
 * ATA disk in PIO, after QEMU's hw/ide/core.c: what its registers show at each step is the same, but that a command's I/O is done when
 * the write of the command (or the last word of a block) returns.
 */
#include <string.h>
#include <devices/ide_internal.h>

void ide_set_intrq(struct ide *d, bool level)
{
	if (d->c.intrq == level)
		return;
	d->c.intrq = level;
	if (d->irq)
		d->irq(d->arg, level);
}

void ide_interrupt(struct ide *d)
{
	if (!(d->c.control & IDE_CTL_NIEN))
		ide_set_intrq(d, true);
}

void ide_transfer_start(struct ide *d, enum ide_transfer phase, __u32 bytes)
{
	d->c.transfer = phase;
	d->c.pos = 0;
	d->c.end = bytes;
	if (!(d->c.status & IDE_ERR))
		d->c.status |= IDE_DRQ;
}

static void transfer_stop(struct ide *d)
{
	d->c.transfer = IDE_NO_DATA;
	d->c.pos = d->c.end = 0;
	d->c.status &= ~IDE_DRQ;
}

static void abort_command(struct ide *d)
{
	d->c.status = IDE_DRDY | IDE_ERR;
	d->c.error = IDE_ABRT;
	transfer_stop(d);
}

void ide_rw_error(struct ide *d)
{
	abort_command(d);
	ide_interrupt(d);
}

__u64 ide_sector(const struct ide *d)
{
	const struct ide_taskfile *t = &d->c.drives[0];

	if (!(t->device & IDE_DEVICE_LBA))
		/* There is no sector 0: the one before the first is beyond the end. */
		return (__u64)(t->lba_high << 8 | t->lba_mid) * d->heads * d->track_sectors +
		       (t->device & IDE_DEVICE_HEAD) * d->track_sectors + t->lba_low - 1;
	if (d->c.lba48)
		return (__u64)t->hob_lba_high << 40 | (__u64)t->hob_lba_mid << 32 | (__u64)t->hob_lba_low << 24 | t->lba_high << 16 |
		       t->lba_mid << 8 | t->lba_low;
	return (__u64)(t->device & IDE_DEVICE_HEAD) << 24 | t->lba_high << 16 | t->lba_mid << 8 | t->lba_low;
}

void ide_set_sector(struct ide *d, __u64 sector)
{
	struct ide_taskfile *t = &d->c.drives[0];
	__u32 rest;

	if (!(t->device & IDE_DEVICE_LBA)) {
		rest = sector % (d->heads * d->track_sectors);
		sector /= d->heads * d->track_sectors;
		t->lba_high = sector >> 8;
		t->lba_mid = sector;
		t->device = (t->device & ~IDE_DEVICE_HEAD) | (rest / d->track_sectors & IDE_DEVICE_HEAD);
		t->lba_low = rest % d->track_sectors + 1;
		return;
	}
	t->lba_low = sector;
	t->lba_mid = sector >> 8;
	t->lba_high = sector >> 16;
	if (d->c.lba48) {
		t->hob_lba_low = sector >> 24;
		t->hob_lba_mid = sector >> 32;
		t->hob_lba_high = sector >> 40;
	} else {
		t->device = (t->device & ~IDE_DEVICE_HEAD) | (sector >> 24 & IDE_DEVICE_HEAD);
	}
}

__u32 ide_block_sectors(const struct ide *d)
{
	__u32 n = d->c.drives[0].count;

	return n < d->c.block ? n : d->c.block;
}

static bool in_range(const struct ide *d, __u64 sector, __u32 n)
{
	return sector <= d->sectors && n <= d->sectors - sector;
}

/* The registers are ahead of the guest: they move by a block when it is read, not when the guest has it. */
void ide_read_block(struct ide *d)
{
	__u64 sector = ide_sector(d);
	__u32 n = ide_block_sectors(d);

	d->c.status = IDE_DRDY | IDE_DSC;
	d->c.error = 0;
	if (!n) {
		transfer_stop(d);
		return;
	}
	if (!in_range(d, sector, n) || d->io(d->arg, 0, sector, n, d->buf)) {
		ide_rw_error(d);
		return;
	}
	ide_set_sector(d, sector + n);
	d->c.drives[0].count -= n;
	ide_transfer_start(d, IDE_DATA_IN, n * IDE_SECTOR);
	ide_interrupt(d);
}

static void write_block(struct ide *d)
{
	__u64 sector = ide_sector(d);
	__u32 n = ide_block_sectors(d);

	d->c.status = IDE_DRDY | IDE_DSC;
	if (!in_range(d, sector, n) || d->io(d->arg, 1, sector, n, d->buf)) {
		ide_rw_error(d);
		return;
	}
	ide_set_sector(d, sector + n);
	d->c.drives[0].count -= n;
	n = ide_block_sectors(d);
	if (n)
		ide_transfer_start(d, IDE_DATA_OUT, n * IDE_SECTOR);
	else
		transfer_stop(d);
	ide_interrupt(d);
}

static void block_end(struct ide *d)
{
	d->c.status &= ~IDE_DRQ;
	switch (d->c.transfer) {
	case IDE_DATA_IN:
		ide_read_block(d);
		break;
	case IDE_DATA_OUT:
		write_block(d);
		break;
	default:
		transfer_stop(d);
	}
}

void ide_signature(struct ide_taskfile *t, bool there)
{
	t->device &= ~IDE_DEVICE_HEAD;
	t->count = t->lba_low = 1;
	t->lba_mid = t->lba_high = there ? 0 : 0xff;
}

/* Both drives obey, whichever is selected; and which one that is stays, although the device register says the master. */
static void diagnose(struct ide *d)
{
	int i;

	for (i = 0; i < 2; i++) {
		d->c.drives[i].device = IDE_DEVICE_ONES;
		ide_signature(&d->c.drives[i], i == 0);
	}
	d->c.status = IDE_DRDY | IDE_DSC;
	d->c.error = 1; /* not an error: no fault was found */
	ide_interrupt(d);
}

static void reset_drives(struct ide *d)
{
	int i;

	if (d->reset_reverts) {
		d->reset_reverts = false;
		d->heads = DEFAULT_HEADS;
		d->track_sectors = DEFAULT_TRACK_SECTORS;
	}
	d->mult_sectors = IDE_MULT_MAX;
	d->c.lba48 = false;
	d->c.block = 0;
	for (i = 0; i < 2; i++) {
		d->c.drives[i] = (struct ide_taskfile){ .device = IDE_DEVICE_ONES };
		ide_signature(&d->c.drives[i], i == 0);
	}
	d->c.status = IDE_DRDY | IDE_DSC;
	d->c.error = 0;
	transfer_stop(d);
}

void ide_reset(struct ide *d)
{
	d->c.unit = d->c.control = 0;
	reset_drives(d);
	ide_set_intrq(d, false);
}

void ide_power_on(struct ide *d)
{
	d->write_cache = true;
	d->heads = DEFAULT_HEADS;
	d->track_sectors = DEFAULT_TRACK_SECTORS;
	d->reset_reverts = false;
	d->c.intrq = 0;
	ide_reset(d);
}

static void write_control(struct ide *d, __u8 val)
{
	bool srst = val & IDE_CTL_SRST && !(d->c.control & IDE_CTL_SRST);

	d->c.control = val;
	if (!srst)
		return;
	reset_drives(d);
	diagnose(d);
	d->c.control &= ~IDE_CTL_SRST;
}

static void write_reg(struct ide *d, int reg, __u8 val)
{
	int i;

	if (reg == IDE_CONTROL) {
		write_control(d, val);
		return;
	}
	if (reg == IDE_COMMAND) {
		ide_command(d, val);
		return;
	}
	if (reg == IDE_DATA || (!d->c.unit && d->c.status & IDE_DRQ))
		return;
	d->c.control &= ~IDE_CTL_HOB;
	for (i = 0; i < 2; i++) {
		struct ide_taskfile *t = &d->c.drives[i];

		switch (reg) {
		case IDE_FEATURES:
			t->hob_features = t->features;
			t->features = val;
			break;
		case IDE_COUNT:
			t->hob_count = t->count;
			t->count = val;
			break;
		case IDE_LBA_LOW:
			t->hob_lba_low = t->lba_low;
			t->lba_low = val;
			break;
		case IDE_LBA_MID:
			t->hob_lba_mid = t->lba_mid;
			t->lba_mid = val;
			break;
		case IDE_LBA_HIGH:
			t->hob_lba_high = t->lba_high;
			t->lba_high = val;
			break;
		case IDE_DEVICE:
			t->device = val | IDE_DEVICE_ONES;
			d->c.unit = !!(val & IDE_DEVICE_DEV);
			break;
		}
	}
}

static __u32 read_data(struct ide *d, __u32 len)
{
	__u32 val = 0;

	if (d->c.unit || !(d->c.status & IDE_DRQ) || d->c.transfer == IDE_DATA_OUT || d->c.pos + len > d->c.end)
		return 0;
	memcpy(&val, d->buf + d->c.pos, len);
	d->c.pos += len;
	if (d->c.pos == d->c.end)
		block_end(d);
	return val;
}

static void write_data(struct ide *d, __u32 len, __u32 val)
{
	if (d->c.unit || !(d->c.status & IDE_DRQ) || d->c.transfer != IDE_DATA_OUT || d->c.pos + len > d->c.end)
		return;
	memcpy(d->buf + d->c.pos, &val, len);
	d->c.pos += len;
	if (d->c.pos == d->c.end)
		block_end(d);
}

static __u8 read_reg(struct ide *d, int reg)
{
	const struct ide_taskfile *t = &d->c.drives[d->c.unit];
	bool hob = d->c.control & IDE_CTL_HOB;

	switch (reg) {
	case IDE_DATA: /* takes a whole word */
		return read_data(d, 2);
	case IDE_ERROR:
		return d->c.unit ? 0 : hob ? t->hob_features : d->c.error;
	case IDE_COUNT:
		return hob ? t->hob_count : t->count;
	case IDE_LBA_LOW:
		return hob ? t->hob_lba_low : t->lba_low;
	case IDE_LBA_MID:
		return hob ? t->hob_lba_mid : t->lba_mid;
	case IDE_LBA_HIGH:
		return hob ? t->hob_lba_high : t->lba_high;
	case IDE_DEVICE:
		return t->device;
	case IDE_STATUS:
		ide_set_intrq(d, false);
		return d->c.unit ? 0 : d->c.status;
	default:
		return d->c.unit ? 0 : d->c.status;
	}
}

static int which_register(const struct ide *d, __u16 port)
{
	int reg = port - d->base;

	return reg == IDE_CONTROL_AT ? IDE_CONTROL : reg;
}

/* A word of byte registers is two of them; the one behind the last is not there. */
__u32 ide_port_read(struct ide *d, __u16 port, __u32 len)
{
	int reg = which_register(d, port);
	__u32 val;

	if (len > 1 && reg == IDE_DATA)
		return read_data(d, len);
	if (len == 4)
		return ~0U;
	val = read_reg(d, reg);
	if (len == 2)
		val |= (reg < IDE_STATUS ? read_reg(d, reg + 1) : 0xff) << 8;
	return val;
}

void ide_port_write(struct ide *d, __u16 port, __u32 len, __u32 val)
{
	int reg = which_register(d, port);

	if (len > 1 && reg == IDE_DATA) {
		write_data(d, len, val);
		return;
	}
	if (len == 4)
		return;
	write_reg(d, reg, val);
	if (len == 2 && reg < IDE_COMMAND)
		write_reg(d, reg + 1, val >> 8);
}
