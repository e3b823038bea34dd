/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An IDE channel as QEMU has it (hw/ide/core.c), as far as a guest can tell without looking at the data: the registers, what ends at
 * once and what ends some time later, INTRQ, and what else happens to a drive. The test says when what is under way ends.
 */
#ifndef SELFTESTS_IDEMODEL_H
#define SELFTESTS_IDEMODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <iofilter/ide.h>

enum kind { NONE, ATA, CD };

enum transfer { NO_TRANSFER, TO_GUEST, TO_GUEST_ONCE, FROM_GUEST, PACKET };

/* What the host is doing for the drive. */
enum aio { NO_AIO, AIO_READ, AIO_WRITE, AIO_DMA, AIO_FLUSH, AIO_PACKET, AIO_RETRY_READ, AIO_RETRY_WRITE };

struct drive {
	enum kind kind;
	uint8_t status, error, feature, sector, lcyl, hcyl, select;
	uint8_t hob_feature, hob_nsector, hob_sector, hob_lcyl, hob_hcyl;
	uint32_t nsector, block, multiple;
	bool lba48;
	uint64_t sectors;
	uint32_t data; /* bytes that the guest has still to take or give */
	enum transfer transfer;
	enum aio aio;
};

struct channel {
	struct drive drives[2];
	uint32_t unit;
	uint8_t control;
	bool intrq, srst;
	uint32_t driven; /* how often INTRQ was raised or lowered, whatever it was before */
	bool hidden; /* a drive was busy, is not any more, and nobody can know: it has raised no interrupt, and was not looked at */
	uint8_t before; /* .. its status then */
};

static inline void ide_drive(struct channel *c, bool level)
{
	c->intrq = level;
	c->driven++;
}

static inline void ide_raise(struct channel *c)
{
	if (!(c->control & IDE_CTL_NIEN))
		ide_drive(c, true);
}

static inline void drive_reset(struct drive *d)
{
	enum kind kind = d->kind;
	uint64_t sectors = d->sectors;

	memset(d, 0, sizeof(*d));
	d->kind = kind;
	d->sectors = sectors;
	d->multiple = 16;
	d->select = 0xa0;
	d->status = IDE_IDLE;
	d->nsector = d->sector = 1;
	d->lcyl = kind == CD ? 0x14 : 0;
	d->hcyl = kind == CD ? 0xeb : 0;
}

static inline void channel_reset(struct channel *c)
{
	drive_reset(&c->drives[0]);
	drive_reset(&c->drives[1]);
	c->unit = 0;
	c->control = 0;
	c->hidden = false;
	c->srst = false;
}

static inline void drive_transfer(struct drive *d, uint32_t bytes, enum transfer t)
{
	d->data = bytes;
	d->transfer = t;
	if (!(d->status & IDE_ERR))
		d->status |= IDE_DRQ;
}

static inline void drive_stop(struct drive *d)
{
	d->data = 0;
	d->transfer = NO_TRANSFER;
	d->status &= ~IDE_DRQ;
}

static inline void drive_abort(struct channel *c, struct drive *d)
{
	d->status = IDE_DRDY | IDE_ERR;
	d->error = 4;
	drive_stop(d);
	ide_raise(c);
}

static inline uint64_t drive_lba(const struct drive *d)
{
	uint64_t low = d->sector | d->lcyl << 8 | (uint64_t)d->hcyl << 16;

	if (!(d->select & IDE_DEVICE_LBA))
		return ((uint64_t)(d->hcyl << 8 | d->lcyl) * 16 + (d->select & 15)) * 63 + d->sector - 1;
	if (d->lba48)
		return low | (uint64_t)d->hob_sector << 24 | (uint64_t)d->hob_lcyl << 32 | (uint64_t)d->hob_hcyl << 40;
	return low | (uint64_t)(d->select & 15) << 24;
}

static inline void drive_set_lba(struct drive *d, uint64_t lba)
{
	if (!(d->select & IDE_DEVICE_LBA)) {
		uint64_t cyl = lba / (16 * 63), rest = lba % (16 * 63);

		d->hcyl = cyl >> 8;
		d->lcyl = cyl;
		d->select = (d->select & 0xf0) | (rest / 63 & 15);
		d->sector = rest % 63 + 1;
		return;
	}
	d->sector = lba;
	d->lcyl = lba >> 8;
	d->hcyl = lba >> 16;
	if (d->lba48) {
		d->hob_sector = lba >> 24;
		d->hob_lcyl = lba >> 32;
		d->hob_hcyl = lba >> 40;
	} else {
		d->select = (d->select & 0xf0) | (lba >> 24 & 15);
	}
}

static inline uint32_t drive_block(const struct drive *d)
{
	return d->nsector < d->block ? d->nsector : d->block;
}

static inline void drive_read(struct channel *c, struct drive *d)
{
	d->status = IDE_IDLE;
	d->error = 0;
	if (!d->nsector) {
		drive_stop(d);
		return;
	}
	d->status |= IDE_BSY;
	if (drive_lba(d) + drive_block(d) > d->sectors) {
		drive_abort(c, d);
		return;
	}
	d->aio = AIO_READ;
}

static inline void drive_write(struct channel *c, struct drive *d)
{
	d->status = IDE_IDLE | IDE_BSY;
	if (drive_lba(d) + drive_block(d) > d->sectors)
		drive_abort(c, d);
	else
		d->aio = AIO_WRITE;
}

/* What the host does for drive @d ends; @error: it failed, and the VM is stopped by it if @stop. */
static inline void drive_complete(struct channel *c, struct drive *d, bool error, bool stop)
{
	enum aio aio = d->aio;
	uint8_t before = d->status;
	uint32_t n = drive_block(d);

	d->aio = NO_AIO;
	switch (aio) {
	case NO_AIO:
		return;
	case AIO_READ:
		d->status &= ~IDE_BSY;
		if (error && stop) {
			d->aio = AIO_RETRY_READ;
			return;
		}
		if (error) {
			drive_abort(c, d);
			break;
		}
		drive_set_lba(d, drive_lba(d) + n);
		d->nsector -= n;
		drive_transfer(d, n * IDE_SECTOR, TO_GUEST);
		ide_raise(c);
		break;
	case AIO_WRITE:
		d->status &= ~IDE_BSY;
		if (error && stop) {
			d->aio = AIO_RETRY_WRITE;
			return;
		}
		if (error) {
			drive_abort(c, d);
			break;
		}
		d->nsector -= n;
		drive_set_lba(d, drive_lba(d) + n);
		if (d->nsector)
			drive_transfer(d, drive_block(d) * IDE_SECTOR, FROM_GUEST);
		else
			drive_stop(d);
		ide_raise(c);
		break;
	case AIO_DMA:
		/* The descriptors may be too short for it: then there is no interrupt. */
		d->status = IDE_IDLE;
		if (!stop)
			ide_raise(c);
		d->nsector = 0;
		return;
	case AIO_FLUSH:
		d->status = IDE_IDLE;
		ide_raise(c);
		break;
	case AIO_PACKET:
		d->status = IDE_IDLE;
		if (error) {
			drive_transfer(d, 64, TO_GUEST_ONCE);
			d->nsector = 2;
		} else {
			d->nsector = 3;
		}
		ide_raise(c);
		break;
	case AIO_RETRY_READ:
		drive_read(c, d);
		return;
	case AIO_RETRY_WRITE:
		drive_write(c, d);
		return;
	}
	if (aio == AIO_READ && c->control & IDE_CTL_NIEN && d == &c->drives[c->unit]) {
		c->hidden = true;
		c->before = before;
	}
}

static inline void channel_srst(struct channel *c)
{
	int i;

	if (!c->srst)
		return;
	for (i = 0; i < 2; i++) {
		struct drive *d = &c->drives[i];

		drive_reset(d);
		d->error = 1;
		if (d->kind == CD)
			d->status = 0;
		else
			ide_raise(c);
	}
	c->srst = false;
	c->control &= ~IDE_CTL_SRST;
}

static inline void drive_pio(struct channel *c, struct drive *d, uint32_t count, bool ext)
{
	d->lba48 = ext;
	if (ext)
		d->nsector = (d->nsector || d->hob_nsector) ? (uint32_t)d->hob_nsector << 8 | d->nsector : 65536;
	else if (!d->nsector)
		d->nsector = 256;
	d->block = count;
	(void)c;
}

/* Return: whether it is done at once, with an interrupt. */
static inline bool drive_command(struct channel *c, struct drive *d, uint8_t cmd)
{
	bool multiple = cmd == IDE_CMD_READ_MULTIPLE || cmd == IDE_CMD_READ_MULTIPLE_EXT || cmd == IDE_CMD_WRITE_MULTIPLE;

	switch (cmd) {
	case IDE_CMD_READ:
	case IDE_CMD_READ_ONCE:
	case IDE_CMD_READ_EXT:
	case IDE_CMD_READ_MULTIPLE:
	case IDE_CMD_READ_MULTIPLE_EXT:
		if (d->kind == CD || (multiple && !d->multiple))
			break;
		drive_pio(c, d, multiple ? d->multiple : 1, cmd == IDE_CMD_READ_EXT || cmd == IDE_CMD_READ_MULTIPLE_EXT);
		drive_read(c, d);
		return false;
	case IDE_CMD_WRITE:
	case IDE_CMD_WRITE_MULTIPLE:
		if (d->kind == CD || (multiple && !d->multiple))
			break;
		drive_pio(c, d, multiple ? d->multiple : 1, false);
		d->status = IDE_IDLE;
		drive_transfer(d, drive_block(d) * IDE_SECTOR, FROM_GUEST);
		return false;
	case IDE_CMD_READ_DMA:
	case IDE_CMD_WRITE_DMA:
		if (d->kind == CD)
			break;
		drive_pio(c, d, 1, false);
		d->status = IDE_FOUND;
		d->aio = AIO_DMA;
		return false;
	case IDE_CMD_FLUSH:
		if (d->kind == CD)
			break;
		d->status = IDE_DRDY | IDE_BSY;
		d->aio = AIO_FLUSH;
		return false;
	case IDE_CMD_IDENTIFY:
		if (d->kind == CD) {
			d->lcyl = 0x14;
			d->hcyl = 0xeb;
			break;
		}
		d->status = IDE_IDLE;
		drive_transfer(d, IDE_SECTOR, TO_GUEST_ONCE);
		ide_raise(c);
		return false;
	case IDE_CMD_SET_MULTIPLE:
		if (d->kind == CD || (d->nsector & 0xff && ((d->nsector & 0xff) > 16 || d->nsector & (d->nsector - 1))))
			break;
		d->multiple = d->nsector & 0xff;
		return true;
	case 0x08: /* DEVICE RESET */
		if (d->kind != CD)
			break;
		drive_reset(d);
		d->status = 0;
		return false;
	case 0x90: /* EXECUTE DEVICE DIAGNOSTIC */
		d->select = 0xa0;
		d->nsector = d->sector = 1;
		d->lcyl = d->kind == CD ? 0x14 : 0;
		d->hcyl = d->kind == CD ? 0xeb : 0;
		d->error = 1;
		d->status = d->kind == CD ? 0 : IDE_IDLE;
		if (d->kind != CD)
			ide_raise(c);
		return false;
	case 0xa0: /* PACKET */
		if (d->kind != CD)
			break;
		d->status = IDE_IDLE;
		d->nsector = 1;
		drive_transfer(d, 12, PACKET);
		return false;
	case 0xe5: /* CHECK POWER MODE */
		d->nsector = 0xff;
		return true;
	case 0xf8: /* READ NATIVE MAX */
		if (d->kind == CD || !d->nsector)
			break;
		drive_set_lba(d, d->sectors - 1);
		return true;
	}
	d->status = IDE_DRDY | IDE_ERR;
	d->error = 4;
	drive_stop(d);
	return true;
}

static inline void channel_command(struct channel *c, uint8_t cmd)
{
	struct drive *d = &c->drives[c->unit];

	ide_drive(c, false);
	if (c->unit && d->kind == NONE)
		return;
	if (d->status & (IDE_BSY | IDE_DRQ) && (cmd != 0x08 || d->kind != CD))
		return;
	d->status = IDE_DRDY | IDE_BSY;
	d->error = 0;
	if (!drive_command(c, d, cmd))
		return;
	d->status &= ~IDE_BSY;
	if (!d->error && cmd == IDE_CMD_SET_MULTIPLE)
		d->status |= IDE_DSC;
	ide_raise(c);
}

/* The guest takes or gives @len bytes of data. */
static inline void channel_data(struct channel *c, bool write, uint32_t len)
{
	struct drive *d = &c->drives[c->unit];
	uint32_t n = len == 4 ? 4 : 2;

	if (!(d->status & IDE_DRQ) || d->aio == AIO_DMA || d->data < n || write != (d->transfer >= FROM_GUEST))
		return;
	d->data -= n;
	if (d->data)
		return;
	d->status &= ~IDE_DRQ;
	switch (d->transfer) {
	case TO_GUEST:
		drive_read(c, d);
		break;
	case TO_GUEST_ONCE:
		drive_stop(d);
		break;
	case FROM_GUEST:
		drive_write(c, d);
		break;
	case PACKET:
		d->status = IDE_IDLE | IDE_BSY;
		d->aio = AIO_PACKET;
		break;
	case NO_TRANSFER:
		break;
	}
}

static inline void drive_set(struct drive *d, uint32_t reg, uint8_t val)
{
	switch (reg) {
	case IDE_FEATURES:
		d->hob_feature = d->feature;
		d->feature = val;
		break;
	case IDE_COUNT:
		d->hob_nsector = d->nsector;
		d->nsector = val;
		break;
	case IDE_LBA_LOW:
		d->hob_sector = d->sector;
		d->sector = val;
		break;
	case IDE_LBA_MID:
		d->hob_lcyl = d->lcyl;
		d->lcyl = val;
		break;
	case IDE_LBA_HIGH:
		d->hob_hcyl = d->hcyl;
		d->hcyl = val;
		break;
	case IDE_DEVICE:
		d->select = val | 0xa0;
		break;
	}
}

static inline void channel_write(struct channel *c, uint32_t reg, uint8_t val)
{
	struct drive *d = &c->drives[c->unit];

	c->hidden = false;
	if (reg == IDE_CONTROL) {
		if (!(c->control & IDE_CTL_SRST) && val & IDE_CTL_SRST) {
			c->drives[0].status |= IDE_BSY;
			c->drives[1].status |= IDE_BSY;
			c->srst = true;
		}
		c->control = val;
		return;
	}
	if (reg == IDE_COMMAND) {
		c->control &= ~IDE_CTL_HOB;
		channel_command(c, val);
		return;
	}
	if (reg == IDE_DATA || d->status & (IDE_BSY | IDE_DRQ))
		return;
	c->control &= ~IDE_CTL_HOB;
	drive_set(&c->drives[0], reg, val);
	drive_set(&c->drives[1], reg, val);
	if (reg == IDE_DEVICE)
		c->unit = val & IDE_DEVICE_DEV ? 1 : 0;
}

/* What a read of a register shows, without its side effect. */
static inline uint8_t channel_shows(const struct channel *c, uint32_t reg)
{
	const struct drive *d = &c->drives[c->unit];
	bool hob = c->control & IDE_CTL_HOB, none = c->drives[0].kind == NONE && c->drives[1].kind == NONE;

	if (none || ((reg == IDE_ERROR || reg >= IDE_STATUS) && c->unit && d->kind == NONE))
		return 0;
	switch (reg) {
	case IDE_ERROR:
		return hob ? d->hob_feature : d->error;
	case IDE_COUNT:
		return hob ? d->hob_nsector : d->nsector;
	case IDE_LBA_LOW:
		return hob ? d->hob_sector : d->sector;
	case IDE_LBA_MID:
		return hob ? d->hob_lcyl : d->lcyl;
	case IDE_LBA_HIGH:
		return hob ? d->hob_hcyl : d->hcyl;
	case IDE_DEVICE:
		return d->select;
	default:
		return d->status;
	}
}

static inline uint8_t channel_read(struct channel *c, uint32_t reg)
{
	uint8_t val = channel_shows(c, reg);

	c->hidden = false;
	if (reg == IDE_STATUS)
		ide_drive(c, false);
	return val;
}

#endif /* SELFTESTS_IDEMODEL_H */
