// SPDX-License-Identifier: GPL-2.0
/*
 * ATA disk in PIO, after QEMU's hw/ide/core.c: what its registers show at each step is the same, but that a command's I/O is done when
 * the write of the command (or the last word of a block) returns.
 */
#include <string.h>
#include <devices/ide_internal.h>

void ide_set_intrq(struct ide *d, bool level)
{
	if (d->intrq == level)
		return;
	d->intrq = level;
	if (d->irq)
		d->irq(d->arg, level);
}

void ide_interrupt(struct ide *d)
{
	if (!(d->control & IDE_CTL_NIEN))
		ide_set_intrq(d, true);
}

void ide_transfer_start(struct ide *d, enum ide_transfer phase, __u32 bytes)
{
	d->phase = phase;
	d->pos = 0;
	d->end = bytes;
	if (!(d->status & IDE_ERR))
		d->status |= IDE_DRQ;
}

static void transfer_stop(struct ide *d)
{
	d->phase = IDE_NO_DATA;
	d->pos = d->end = 0;
	d->status &= ~IDE_DRQ;
}

static void abort_command(struct ide *d)
{
	d->status = IDE_DRDY | IDE_ERR;
	d->error = IDE_ABRT;
	transfer_stop(d);
}

void ide_rw_error(struct ide *d)
{
	abort_command(d);
	ide_interrupt(d);
}

__u64 ide_sector(const struct ide *d)
{
	const struct ide_taskfile *t = &d->drives[0];

	if (!(t->select & IDE_DEVICE_LBA))
		/* There is no sector 0: the one before the first is beyond the end. */
		return (__u64)(t->hcyl << 8 | t->lcyl) * d->heads * d->track_sectors +
		       (t->select & IDE_DEVICE_HEAD) * d->track_sectors + t->sector - 1;
	if (d->lba48)
		return (__u64)t->hob_hcyl << 40 | (__u64)t->hob_lcyl << 32 | (__u64)t->hob_sector << 24 | t->hcyl << 16 |
		       t->lcyl << 8 | t->sector;
	return (__u64)(t->select & IDE_DEVICE_HEAD) << 24 | t->hcyl << 16 | t->lcyl << 8 | t->sector;
}

void ide_set_sector(struct ide *d, __u64 sector)
{
	struct ide_taskfile *t = &d->drives[0];
	__u32 rest;

	if (!(t->select & IDE_DEVICE_LBA)) {
		rest = sector % (d->heads * d->track_sectors);
		sector /= d->heads * d->track_sectors;
		t->hcyl = sector >> 8;
		t->lcyl = sector;
		t->select = (t->select & ~IDE_DEVICE_HEAD) | (rest / d->track_sectors & IDE_DEVICE_HEAD);
		t->sector = rest % d->track_sectors + 1;
		return;
	}
	t->sector = sector;
	t->lcyl = sector >> 8;
	t->hcyl = sector >> 16;
	if (d->lba48) {
		t->hob_sector = sector >> 24;
		t->hob_lcyl = sector >> 32;
		t->hob_hcyl = sector >> 40;
	} else {
		t->select = (t->select & ~IDE_DEVICE_HEAD) | (sector >> 24 & IDE_DEVICE_HEAD);
	}
}

__u32 ide_block_sectors(const struct ide *d)
{
	__u32 n = d->drives[0].nsector;

	return n < d->block ? n : d->block;
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

	d->status = IDE_DRDY | IDE_DSC;
	d->error = 0;
	if (!n) {
		transfer_stop(d);
		return;
	}
	if (!in_range(d, sector, n) || d->io(d->arg, 0, sector, n, d->buf)) {
		ide_rw_error(d);
		return;
	}
	ide_set_sector(d, sector + n);
	d->drives[0].nsector -= n;
	ide_transfer_start(d, IDE_DATA_IN, n * IDE_SECTOR);
	ide_interrupt(d);
}

static void write_block(struct ide *d)
{
	__u64 sector = ide_sector(d);
	__u32 n = ide_block_sectors(d);

	d->status = IDE_DRDY | IDE_DSC;
	if (!in_range(d, sector, n) || d->io(d->arg, 1, sector, n, d->buf)) {
		ide_rw_error(d);
		return;
	}
	ide_set_sector(d, sector + n);
	d->drives[0].nsector -= n;
	n = ide_block_sectors(d);
	if (n)
		ide_transfer_start(d, IDE_DATA_OUT, n * IDE_SECTOR);
	else
		transfer_stop(d);
	ide_interrupt(d);
}

static void block_end(struct ide *d)
{
	d->status &= ~IDE_DRQ;
	switch (d->phase) {
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
	t->select &= ~IDE_DEVICE_HEAD;
	t->nsector = t->sector = 1;
	t->lcyl = t->hcyl = there ? 0 : 0xff;
}

/* Both drives obey, whichever is selected; and which one that is stays, although the device register says the master. */
static void diagnose(struct ide *d)
{
	int i;

	for (i = 0; i < 2; i++) {
		d->drives[i].select = IDE_DEVICE_ONES;
		ide_signature(&d->drives[i], i == 0);
	}
	d->status = IDE_DRDY | IDE_DSC;
	d->error = 1; /* not an error: no fault was found */
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
	d->lba48 = false;
	d->block = 0;
	for (i = 0; i < 2; i++) {
		d->drives[i] = (struct ide_taskfile){ .select = IDE_DEVICE_ONES };
		ide_signature(&d->drives[i], i == 0);
	}
	d->status = IDE_DRDY | IDE_DSC;
	d->error = 0;
	transfer_stop(d);
}

void ide_reset(struct ide *d)
{
	d->unit = d->control = 0;
	reset_drives(d);
	ide_set_intrq(d, false);
}

void ide_power_on(struct ide *d)
{
	d->write_cache = true;
	d->heads = DEFAULT_HEADS;
	d->track_sectors = DEFAULT_TRACK_SECTORS;
	d->reset_reverts = d->intrq = false;
	ide_reset(d);
}

static void write_control(struct ide *d, __u8 val)
{
	bool srst = val & IDE_CTL_SRST && !(d->control & IDE_CTL_SRST);

	d->control = val;
	if (!srst)
		return;
	reset_drives(d);
	diagnose(d);
	d->control &= ~IDE_CTL_SRST;
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
	if (reg == IDE_DATA || (!d->unit && d->status & IDE_DRQ))
		return;
	d->control &= ~IDE_CTL_HOB;
	for (i = 0; i < 2; i++) {
		struct ide_taskfile *t = &d->drives[i];

		switch (reg) {
		case IDE_FEATURES:
			t->hob_feature = t->feature;
			t->feature = val;
			break;
		case IDE_COUNT:
			t->hob_nsector = t->nsector;
			t->nsector = val;
			break;
		case IDE_LBA_LOW:
			t->hob_sector = t->sector;
			t->sector = val;
			break;
		case IDE_LBA_MID:
			t->hob_lcyl = t->lcyl;
			t->lcyl = val;
			break;
		case IDE_LBA_HIGH:
			t->hob_hcyl = t->hcyl;
			t->hcyl = val;
			break;
		case IDE_DEVICE:
			t->select = val | IDE_DEVICE_ONES;
			d->unit = !!(val & IDE_DEVICE_DEV);
			break;
		}
	}
}

static __u32 read_data(struct ide *d, __u32 len)
{
	__u32 val = 0;

	if (d->unit || !(d->status & IDE_DRQ) || d->phase == IDE_DATA_OUT || d->pos + len > d->end)
		return 0;
	memcpy(&val, d->buf + d->pos, len);
	d->pos += len;
	if (d->pos == d->end)
		block_end(d);
	return val;
}

static void write_data(struct ide *d, __u32 len, __u32 val)
{
	if (d->unit || !(d->status & IDE_DRQ) || d->phase != IDE_DATA_OUT || d->pos + len > d->end)
		return;
	memcpy(d->buf + d->pos, &val, len);
	d->pos += len;
	if (d->pos == d->end)
		block_end(d);
}

static __u8 read_reg(struct ide *d, int reg)
{
	const struct ide_taskfile *t = &d->drives[d->unit];
	bool hob = d->control & IDE_CTL_HOB;

	switch (reg) {
	case IDE_DATA: /* takes a whole word */
		return read_data(d, 2);
	case IDE_ERROR:
		return d->unit ? 0 : hob ? t->hob_feature : d->error;
	case IDE_COUNT:
		return hob ? t->hob_nsector : t->nsector;
	case IDE_LBA_LOW:
		return hob ? t->hob_sector : t->sector;
	case IDE_LBA_MID:
		return hob ? t->hob_lcyl : t->lcyl;
	case IDE_LBA_HIGH:
		return hob ? t->hob_hcyl : t->hcyl;
	case IDE_DEVICE:
		return t->select;
	case IDE_STATUS:
		ide_set_intrq(d, false);
		return d->unit ? 0 : d->status;
	default:
		return d->unit ? 0 : d->status;
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
