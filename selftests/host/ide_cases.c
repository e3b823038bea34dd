// SPDX-License-Identifier: GPL-2.0
/* The IDE model, register by register: what each command leaves, errors, HOB, nIEN, the slave that is not there, data of all widths. */
#include <errno.h>
#include <devices/ide.h>
#include "host.h"

#define SECTORS 5000 /* of 16 * 63 a cylinder: 4.96 of them */

static uint8_t disk[SECTORS * IDE_SECTOR];
static uint64_t bad = UINT64_MAX; /* a sector that cannot be read or written */
static uint64_t flushes;
static struct ide d;

static int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	(void)arg;
	if (!count) {
		flushes++;
		return 0;
	}
	assert_in_range(sector, 0, SECTORS - 1);
	assert_in_range(count, 1, SECTORS - sector);
	if (bad - sector < count)
		return -EIO;
	if (write)
		memcpy(disk + sector * IDE_SECTOR, data, count * IDE_SECTOR);
	else
		memcpy(data, disk + sector * IDE_SECTOR, count * IDE_SECTOR);
	return 0;
}

static int edges;

static void disk_irq(void *arg, int level)
{
	(void)arg;
	edges += level;
	assert_int_equal(level, d.c.intrq);
}

static int power_on(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(disk) / 8; i++)
		((uint64_t *)disk)[i] = rnd();
	memset(&d, 0, sizeof(d));
	d.io = disk_io;
	d.irq = disk_irq;
	d.sectors = SECTORS;
	d.base = IDE_PRIMARY;
	bad = UINT64_MAX;
	flushes = edges = 0;
	ide_power_on(&d);
	return 0;
}

static uint16_t port(int reg)
{
	return IDE_PRIMARY + (reg == IDE_CONTROL ? IDE_CONTROL_AT : reg);
}

static void out(int reg, uint8_t val)
{
	ide_port_write(&d, port(reg), 1, val);
}

static uint8_t in(int reg)
{
	return ide_port_read(&d, port(reg), 1);
}

/* One access: OUT a value, or IN and what it must be; IRQ: the level of INTRQ that must be. */
enum op { END, OUT, IN, IRQ, OUTW, INW, OUTL, INL };

struct step {
	enum op op;
	int reg;
	uint32_t val;
};

static void run(const char *name, const struct step *s)
{
	static const int len[] = { [OUT] = 1, [IN] = 1, [OUTW] = 2, [INW] = 2, [OUTL] = 4, [INL] = 4 };
	int i;

	for (i = 0; s[i].op != END; i++) {
		uint32_t got = s[i].val;

		switch (s[i].op) {
		case OUT: case OUTW: case OUTL:
			ide_port_write(&d, port(s[i].reg), len[s[i].op], s[i].val);
			break;
		case IRQ:
			got = d.c.intrq;
			break;
		default:
			got = ide_port_read(&d, port(s[i].reg), len[s[i].op]);
		}
		if (got != s[i].val)
			fail_msg("%s, step %d: register %x is %x, not %x", name, i, s[i].reg, got, s[i].val);
	}
}

#define TASKFILE(nsector, lbal, lbam, lbah, device) \
	{ OUT, IDE_COUNT, nsector }, { OUT, IDE_LBA_LOW, lbal }, { OUT, IDE_LBA_MID, lbam }, { OUT, IDE_LBA_HIGH, lbah }, { OUT, IDE_DEVICE, device }
#define SHOWS(nsector, lbal, lbam, lbah, device) \
	{ IN, IDE_COUNT, nsector }, { IN, IDE_LBA_LOW, lbal }, { IN, IDE_LBA_MID, lbam }, { IN, IDE_LBA_HIGH, lbah }, { IN, IDE_DEVICE, device }
#define ENDS(status, error) \
	{ IRQ, 0, 1 }, { IN, IDE_ALT_STATUS, status }, { IRQ, 0, 1 }, { IN, IDE_STATUS, status }, { IRQ, 0, 0 }, { IN, IDE_ERROR, error }

static const struct {
	const char *name;
	struct step steps[32];
} programs[] = {
	{ "power-on", { { IN, IDE_STATUS, 0x50 }, { IN, IDE_ERROR, 0 }, SHOWS(1, 1, 0, 0, 0xa0) } },
	{ "a command that is not known", { { OUT, IDE_COMMAND, 0x02 }, ENDS(0x41, 0x04), SHOWS(1, 1, 0, 0, 0xa0) } },
	{ "NOP", { { OUT, IDE_COMMAND, 0x00 }, ENDS(0x41, 0x04) } },
	{ "DEVICE RESET is for ATAPI", { { OUT, IDE_COMMAND, 0x08 }, ENDS(0x41, 0x04) } },
	{ "PACKET", { { OUT, IDE_COMMAND, 0xa0 }, ENDS(0x41, 0x04) } },
	{ "READ DMA", { { OUT, IDE_COMMAND, 0xc8 }, ENDS(0x41, 0x04) } },
	{ "SMART", { { OUT, IDE_COMMAND, 0xb0 }, ENDS(0x41, 0x04) } },
	{ "an error goes with the next command", { { OUT, IDE_COMMAND, 0x02 }, { OUT, IDE_COMMAND, 0x10 }, ENDS(0x50, 0) } },
	{ "RECALIBRATE", { { OUT, IDE_COMMAND, 0x10 }, ENDS(0x50, 0) } },
	{ "SEEK", { { OUT, IDE_COMMAND, 0x70 }, ENDS(0x50, 0) } },
	{ "STANDBY IMMEDIATE leaves DSC clear", { { OUT, IDE_COMMAND, 0xe0 }, ENDS(0x40, 0) } },
	{ "IDLE", { { OUT, IDE_COMMAND, 0xe3 }, ENDS(0x40, 0) } },
	{ "CHECK POWER MODE", { { OUT, IDE_COMMAND, 0xe5 }, ENDS(0x50, 0), { IN, IDE_COUNT, 0xff } } },
	{ "FLUSH CACHE", { { OUT, IDE_COMMAND, 0xe7 }, ENDS(0x50, 0) } },
	{ "FLUSH CACHE EXT", { { OUT, IDE_COMMAND, 0xea }, ENDS(0x50, 0) } },
	{ "READ VERIFY", { TASKFILE(3, 7, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0x40 }, ENDS(0x50, 0), SHOWS(3, 7, 0, 0, 0xe0) } },
	{ "READ NATIVE MAX", { TASKFILE(0, 0, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0xf8 }, ENDS(0x50, 0),
		SHOWS(0, (SECTORS - 1) & 0xff, (SECTORS - 1) >> 8, 0, 0xe0) } },
	{ "DIAGNOSE", { TASKFILE(3, 7, 5, 4, 0xe2), { OUT, IDE_COMMAND, 0x90 }, ENDS(0x50, 0x01), SHOWS(1, 1, 0, 0, 0xa0) } },
	{ "SET MULTIPLE 8", { { OUT, IDE_COUNT, 8 }, { OUT, IDE_COMMAND, 0xc6 }, ENDS(0x50, 0) } },
	{ "SET MULTIPLE 3", { { OUT, IDE_COUNT, 3 }, { OUT, IDE_COMMAND, 0xc6 }, ENDS(0x41, 0x04) } },
	{ "SET MULTIPLE 32", { { OUT, IDE_COUNT, 32 }, { OUT, IDE_COMMAND, 0xc6 }, ENDS(0x41, 0x04) } },
	{ "READ MULTIPLE without it", { { OUT, IDE_COUNT, 0 }, { OUT, IDE_COMMAND, 0xc6 }, ENDS(0x50, 0),
		TASKFILE(1, 0, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0xc4 }, ENDS(0x41, 0x04) } },
	{ "PIO mode 4", { { OUT, IDE_FEATURES, 3 }, { OUT, IDE_COUNT, 0x0c }, { OUT, IDE_COMMAND, 0xef }, ENDS(0x50, 0) } },
	{ "UDMA mode 2", { { OUT, IDE_FEATURES, 3 }, { OUT, IDE_COUNT, 0x42 }, { OUT, IDE_COMMAND, 0xef }, ENDS(0x41, 0x04) } },
	{ "look-ahead", { { OUT, IDE_FEATURES, 0xaa }, { OUT, IDE_COMMAND, 0xef }, ENDS(0x50, 0) } },
	{ "no such feature", { { OUT, IDE_FEATURES, 0x77 }, { OUT, IDE_COMMAND, 0xef }, ENDS(0x41, 0x04) } },
	{ "PARAMETERS, no sectors", { TASKFILE(0, 1, 0, 0, 0xa3), { OUT, IDE_COMMAND, 0x91 }, ENDS(0x41, 0x04) } },
	{ "beyond the end", { TASKFILE(2, (SECTORS - 1) & 0xff, SECTORS >> 8, 0, 0xe0), { OUT, IDE_FEATURES, 0 }, { OUT, IDE_COMMAND, 0xc4 },
		ENDS(0x41, 0x04), { INW, IDE_DATA, 0 }, SHOWS(2, (SECTORS - 1) & 0xff, SECTORS >> 8, 0, 0xe0) } },
	{ "CHS sector 0", { TASKFILE(1, 0, 0, 0, 0xa0), { OUT, IDE_COMMAND, 0x20 }, ENDS(0x41, 0x04) } },

	{ "nIEN", { { OUT, IDE_CONTROL, IDE_CTL_NIEN }, { OUT, IDE_COMMAND, 0x10 }, { IRQ, 0, 0 }, { IN, IDE_STATUS, 0x50 },
		{ OUT, IDE_COMMAND, 0x10 }, { OUT, IDE_CONTROL, 0 }, { IRQ, 0, 0 }, { OUT, IDE_COMMAND, 0x10 }, { IRQ, 0, 1 },
		{ OUT, IDE_CONTROL, IDE_CTL_NIEN }, { IRQ, 0, 1 }, { OUT, IDE_COMMAND, 0x10 }, { IRQ, 0, 0 } } },
	{ "a command lowers INTRQ", { { OUT, IDE_COMMAND, 0x10 }, { IRQ, 0, 1 }, { OUT, IDE_DEVICE, 0xb0 }, { OUT, IDE_COMMAND, 0x10 },
		{ IRQ, 0, 0 } } },

	{ "HOB", { { OUT, IDE_FEATURES, 0x11 }, { OUT, IDE_FEATURES, 0x12 }, { OUT, IDE_COUNT, 0x21 }, { OUT, IDE_COUNT, 0x22 },
		{ OUT, IDE_LBA_LOW, 0x31 }, { OUT, IDE_LBA_LOW, 0x32 }, { OUT, IDE_LBA_MID, 0x41 }, { OUT, IDE_LBA_MID, 0x42 },
		{ OUT, IDE_LBA_HIGH, 0x51 }, { OUT, IDE_LBA_HIGH, 0x52 }, SHOWS(0x22, 0x32, 0x42, 0x52, 0xa0),
		{ OUT, IDE_CONTROL, IDE_CTL_HOB }, SHOWS(0x21, 0x31, 0x41, 0x51, 0xa0), { IN, IDE_ERROR, 0x11 } } },
	{ "a write ends HOB", { { OUT, IDE_LBA_LOW, 0x31 }, { OUT, IDE_LBA_LOW, 0x32 }, { OUT, IDE_CONTROL, IDE_CTL_HOB }, { IN, IDE_LBA_LOW, 0x31 },
		{ OUT, IDE_DEVICE, 0xa0 }, { IN, IDE_LBA_LOW, 0x32 }, { OUT, IDE_CONTROL, IDE_CTL_HOB | IDE_CTL_NIEN }, { IN, IDE_LBA_LOW, 0x31 },
		{ OUT, IDE_COMMAND, 0x10 }, { IN, IDE_LBA_LOW, 0x32 }, { IRQ, 0, 0 } } },

	{ "the slave is not there", { TASKFILE(9, 8, 7, 6, 0xb0), { IN, IDE_STATUS, 0 }, { IN, IDE_ALT_STATUS, 0 }, { IN, IDE_ERROR, 0 },
		SHOWS(9, 8, 7, 6, 0xb0), { OUT, IDE_COMMAND, 0x20 }, { IRQ, 0, 0 }, { IN, IDE_STATUS, 0 }, { INW, IDE_DATA, 0 },
		{ OUT, IDE_DEVICE, 0xe0 }, { IN, IDE_STATUS, 0x50 }, SHOWS(9, 8, 7, 6, 0xe0) } },
	{ "the slave's registers keep what a command changed", { TASKFILE(1, 5, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0xe5 },
		{ IN, IDE_COUNT, 0xff }, { OUT, IDE_DEVICE, 0xf0 }, { IN, IDE_COUNT, 1 }, { OUT, IDE_COUNT, 2 },
		{ OUT, IDE_CONTROL, IDE_CTL_HOB }, { IN, IDE_COUNT, 1 }, { OUT, IDE_DEVICE, 0xe0 }, { IN, IDE_COUNT, 2 },
		{ OUT, IDE_CONTROL, IDE_CTL_HOB }, { IN, IDE_COUNT, 0xff } } },
	{ "SRST", { TASKFILE(3, 7, 5, 0, 0xe0), { OUT, IDE_COMMAND, 0x20 }, { IN, IDE_STATUS, 0x58 }, { OUT, IDE_CONTROL, IDE_CTL_SRST },
		ENDS(0x50, 0x01), SHOWS(1, 1, 0, 0, 0xa0), { INW, IDE_DATA, 0 }, { OUT, IDE_CONTROL, 0 }, { IN, IDE_STATUS, 0x50 } } },
	{ "SRST, nIEN", { { OUT, IDE_CONTROL, IDE_CTL_SRST | IDE_CTL_NIEN }, { IRQ, 0, 0 }, { IN, IDE_STATUS, 0x50 }, { IN, IDE_ERROR, 0x01 } } },
	{ "SRST does not select", { { OUT, IDE_DEVICE, 0xb0 }, { OUT, IDE_CONTROL, IDE_CTL_SRST }, { IN, IDE_STATUS, 0 },
		{ IN, IDE_DEVICE, 0xa0 }, { IN, IDE_LBA_MID, 0xff }, { OUT, IDE_DEVICE, 0xa0 }, { IN, IDE_STATUS, 0x50 }, { IN, IDE_LBA_MID, 0 } } },

	{ "DRQ: writes are not heard", { TASKFILE(1, 7, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0x20 }, { IN, IDE_STATUS, 0x58 },
		{ OUT, IDE_COUNT, 9 }, { OUT, IDE_DEVICE, 0xb0 }, { OUT, IDE_COMMAND, 0x10 }, { IRQ, 0, 0 }, SHOWS(0, 8, 0, 0, 0xe0),
		{ IN, IDE_STATUS, 0x58 }, { OUTW, IDE_DATA, 0x1234 }, { IN, IDE_ALT_STATUS, 0x58 } } },
	{ "no DRQ: no data", { { INW, IDE_DATA, 0 }, { INL, IDE_DATA, 0 }, { IN, IDE_DATA, 0 }, { OUTW, IDE_DATA, 0x1234 }, { IN, IDE_STATUS, 0x50 } } },
	{ "words of byte registers", { { OUTW, IDE_COUNT, 0x0705 }, { IN, IDE_COUNT, 5 }, { IN, IDE_LBA_LOW, 7 }, { INW, IDE_COUNT, 0x0705 },
		{ INW, IDE_STATUS, 0xff50 }, { INW, IDE_ALT_STATUS, 0xff50 }, { INL, IDE_COUNT, ~0U }, { OUTL, IDE_COUNT, 0 },
		{ IN, IDE_COUNT, 5 }, { OUTW, IDE_DEVICE, 0x10e0 }, { IRQ, 0, 1 }, { INW, IDE_DEVICE, 0x50e0 }, { IRQ, 0, 0 } } },
	{ "a write: the data is asked for at once", { TASKFILE(1, 7, 0, 0, 0xe0), { OUT, IDE_COMMAND, 0x30 }, { IRQ, 0, 0 }, { IN, IDE_STATUS, 0x58 },
		{ INW, IDE_DATA, 0 }, SHOWS(1, 7, 0, 0, 0xe0) } },
	{ "a write beyond the end", { TASKFILE(1, SECTORS & 0xff, SECTORS >> 8, 0, 0xe0), { OUT, IDE_COMMAND, 0x30 }, { IN, IDE_STATUS, 0x58 } } },
};

static void test_programs(void **state)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(programs); i++) {
		power_on(state);
		run(programs[i].name, programs[i].steps);
	}
}

static void load(int lba48, uint64_t lba, uint32_t nsector)
{
	if (lba48) {
		out(IDE_COUNT, nsector >> 8);
		out(IDE_LBA_LOW, lba >> 24);
		out(IDE_LBA_MID, lba >> 32);
		out(IDE_LBA_HIGH, lba >> 40);
	}
	out(IDE_COUNT, nsector);
	out(IDE_LBA_LOW, lba);
	out(IDE_LBA_MID, lba >> 8);
	out(IDE_LBA_HIGH, lba >> 16);
	out(IDE_DEVICE, IDE_DEVICE_LBA | (lba48 ? 0 : lba >> 24 & IDE_DEVICE_HEAD));
}

static uint64_t shown(int lba48)
{
	uint64_t lba = in(IDE_LBA_LOW) | in(IDE_LBA_MID) << 8 | in(IDE_LBA_HIGH) << 16;

	if (!lba48)
		return lba | (uint64_t)(in(IDE_DEVICE) & IDE_DEVICE_HEAD) << 24;
	out(IDE_CONTROL, IDE_CTL_HOB);
	lba |= (uint64_t)in(IDE_LBA_LOW) << 24 | (uint64_t)in(IDE_LBA_MID) << 32 | (uint64_t)in(IDE_LBA_HIGH) << 40;
	out(IDE_CONTROL, 0);
	return lba;
}

static const struct transfer {
	uint8_t cmd;
	int write, lba48;
	int block; /* sectors with one DRQ */
} transfers[] = {
	{ 0x20, 0, 0, 1 }, { 0x21, 0, 0, 1 }, { 0x24, 0, 1, 1 }, { 0xc4, 0, 0, 0 }, { 0x29, 0, 1, 0 },
	{ 0x30, 1, 0, 1 }, { 0x31, 1, 0, 1 }, { 0x34, 1, 1, 1 }, { 0x3c, 1, 0, 1 }, { 0xc5, 1, 0, 0 }, { 0x39, 1, 1, 0 },
};

/* All of it by one width, with what the registers must show before and behind each block. */
static void transfer(const struct transfer *t, int mult, uint64_t lba, int n, int width)
{
	static uint8_t want[SECTORS * IDE_SECTOR];
	int block = t->block ? t->block : mult, done = 0, got = edges, blocks = 0;
	uint32_t i, val;

	memcpy(want, disk + lba * IDE_SECTOR, (size_t)n * IDE_SECTOR);
	if (t->write)
		for (i = 0; i < (uint32_t)n * IDE_SECTOR; i++)
			want[i] = rnd();
	load(t->lba48, lba, n);
	out(IDE_COMMAND, t->cmd);
	while (done < n) {
		int now = n - done < block ? n - done : block;
		int ahead = t->write ? 0 : now;

		assert_int_equal(d.c.intrq, !t->write || done);
		assert_int_equal(in(IDE_STATUS), 0x58);
		assert_int_equal(d.c.intrq, 0);
		assert_int_equal(in(IDE_COUNT), (n - done - ahead) & 0xff);
		assert_int_equal(shown(t->lba48), lba + done + ahead);
		for (i = 0; i < (uint32_t)now * IDE_SECTOR / width; i++) {
			uint8_t *p = want + done * IDE_SECTOR + i * width;

			assert_int_equal(in(IDE_ALT_STATUS), 0x58);
			val = 0;
			memcpy(&val, p, width);
			if (t->write)
				ide_port_write(&d, IDE_PRIMARY, width, val);
			else
				assert_int_equal(ide_port_read(&d, IDE_PRIMARY, width), val);
		}
		done += now;
		blocks++;
	}
	/* A read ends without an interrupt, a write with one. */
	assert_int_equal(d.c.intrq, t->write);
	assert_int_equal(edges - got, blocks);
	assert_int_equal(in(IDE_STATUS), 0x50);
	assert_int_equal(in(IDE_ERROR), 0);
	assert_int_equal(in(IDE_COUNT), 0);
	assert_int_equal(shown(t->lba48), lba + n);
	assert_int_equal(ide_port_read(&d, IDE_PRIMARY, 2), 0);
	assert_memory_equal(want, disk + lba * IDE_SECTOR, (size_t)n * IDE_SECTOR);
}

static void test_transfers(void **state)
{
	static const int counts[] = { 1, 2, 7, 15, 16, 17, 64, 255, 256 };
	int mult, width;
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(transfers); i++)
		for (j = 0; j < ARRAY_SIZE(counts); j++)
			for (mult = 1; mult <= 16; mult *= 2)
				for (width = 2; width <= 4; width += 2) {
					out(IDE_COUNT, mult);
					out(IDE_COMMAND, 0xc6);
					assert_int_equal(in(IDE_STATUS), 0x50);
					transfer(&transfers[i], mult, rnd() % (SECTORS - counts[j] + 1), counts[j], width);
				}
	transfer(&transfers[2], 16, 300, 4000, 4);
	transfer(&transfers[4], 16, 300, 4000, 4);
}

/* A byte read takes a word, and a dword that is not whole takes nothing. */
static void test_odd_data(void **state)
{
	uint16_t word;
	int i;

	(void)state;
	load(0, 7, 2);
	out(IDE_COMMAND, 0x20);
	for (i = 0; i < 255; i++)
		assert_int_equal(in(IDE_DATA), disk[7 * IDE_SECTOR + 2 * i]);
	assert_int_equal(ide_port_read(&d, IDE_PRIMARY, 4), 0);
	assert_int_equal(in(IDE_ALT_STATUS), 0x58);
	memcpy(&word, disk + 7 * IDE_SECTOR + 510, 2);
	assert_int_equal(ide_port_read(&d, IDE_PRIMARY, 2), word);
	memcpy(&word, disk + 8 * IDE_SECTOR, 2);
	assert_int_equal(ide_port_read(&d, IDE_PRIMARY, 2), word);
}

/* A sector that fails in the middle of a command. */
static void test_bad_sector(void **state)
{
	int i;

	(void)state;
	bad = 102;
	load(0, 100, 8);
	out(IDE_COMMAND, 0x20);
	for (i = 0; i < 512; i++) {
		assert_int_equal(in(IDE_ALT_STATUS), 0x58);
		ide_port_read(&d, IDE_PRIMARY, 2);
	}
	assert_int_equal(d.c.intrq, 1);
	assert_int_equal(in(IDE_STATUS), 0x41);
	assert_int_equal(in(IDE_ERROR), 0x04);
	assert_int_equal(in(IDE_COUNT), 6);
	assert_int_equal(shown(0), 102);

	bad = 103;
	load(0, 100, 8);
	out(IDE_COMMAND, 0x30);
	for (i = 0; i < 4 * 256; i++) {
		assert_int_equal(in(IDE_ALT_STATUS), 0x58);
		ide_port_write(&d, IDE_PRIMARY, 2, i);
	}
	assert_int_equal(in(IDE_STATUS), 0x41);
	assert_int_equal(in(IDE_COUNT), 5);
	assert_int_equal(shown(0), 103);
}

static void chs(int cyl, int head, int sector, int nsector, uint8_t cmd)
{
	out(IDE_COUNT, nsector);
	out(IDE_LBA_LOW, sector);
	out(IDE_LBA_MID, cyl);
	out(IDE_LBA_HIGH, cyl >> 8);
	out(IDE_DEVICE, head);
	out(IDE_COMMAND, cmd);
}

static void read_chs(int cyl, int head, int sector, int lba)
{
	uint16_t want;
	int i;

	chs(cyl, head, sector, 1, 0x20);
	for (i = 0; i < 256; i++) {
		memcpy(&want, disk + lba * IDE_SECTOR + 2 * i, 2);
		assert_int_equal(ide_port_read(&d, IDE_PRIMARY, 2), want);
	}
	assert_int_equal(in(IDE_STATUS), 0x50);
}

static void test_chs(void **state)
{
	(void)state;
	read_chs(0, 0, 1, 0);
	read_chs(3, 5, 63, 3 * 1008 + 5 * 63 + 62);
	/* The next one is the first of the next head. */
	assert_int_equal(in(IDE_LBA_LOW), 1);
	assert_int_equal(in(IDE_DEVICE), 0xa6);
	read_chs(3, 15, 63, 4 * 1008 - 1);
	assert_int_equal(in(IDE_LBA_MID), 4);
	assert_int_equal(in(IDE_DEVICE), 0xa0);
	chs(0, 4 - 1, 1, 17, 0x91);
	assert_int_equal(in(IDE_STATUS), 0x50);
	read_chs(3, 2, 5, (3 * 4 + 2) * 17 + 4);
	ide_reset(&d);
	read_chs(3, 2, 5, (3 * 4 + 2) * 17 + 4);
	out(IDE_FEATURES, 0xcc); /* a reset brings back what power-on gave */
	out(IDE_COMMAND, 0xef);
	out(IDE_CONTROL, IDE_CTL_SRST);
	out(IDE_CONTROL, 0);
	read_chs(3, 2, 5, 3 * 1008 + 2 * 63 + 4);
}

static uint16_t words[256];

static void read_identify(void)
{
	int i;

	out(IDE_COMMAND, 0xec);
	assert_int_equal(d.c.intrq, 1);
	assert_int_equal(in(IDE_STATUS), 0x58);
	for (i = 0; i < 256; i++)
		words[i] = ide_port_read(&d, IDE_PRIMARY, 2);
	assert_int_equal(d.c.intrq, 0);
	assert_int_equal(in(IDE_STATUS), 0x50);
}

static void swabbed(int word, int n, const char *want)
{
	char s[41] = "";
	int i;

	for (i = 0; i < n; i++) {
		s[2 * i] = words[word + i] >> 8;
		s[2 * i + 1] = words[word + i];
	}
	assert_int_equal(strncmp(s, want, strlen(want)), 0);
	for (i = strlen(want); i < 2 * n; i++)
		assert_int_equal(s[i], ' ');
}

static void test_identify(void **state)
{
	(void)state;
	strcpy(d.serial, "S-17");
	strcpy(d.model, "A model of thirty-nine characters......");
	read_identify();
	swabbed(10, 10, "S-17");
	swabbed(23, 4, "1.0");
	swabbed(27, 20, d.model);
	assert_int_equal(words[1], SECTORS / 1008);
	assert_int_equal(words[3], 16);
	assert_int_equal(words[6], 63);
	assert_int_equal(words[47], 0x8010);
	assert_int_equal(words[49] & 0x0300, 0x0200); /* LBA, no DMA */
	assert_int_equal(words[53], 3);
	assert_int_equal(words[59], 0x110);
	assert_int_equal(words[60] | words[61] << 16, SECTORS);
	assert_int_equal(words[63] | words[88] | words[62], 0);
	assert_int_equal(words[64], 3);
	assert_int_equal(words[83] & 0xc400, 0x4400); /* valid, LBA48 */
	assert_int_equal(words[100] | words[101] << 16, SECTORS);
	assert_int_equal(words[102] | words[103], 0);
	assert_int_equal(words[85], 0x20);
	out(IDE_FEATURES, 0x82);
	out(IDE_COMMAND, 0xef);
	assert_int_equal(flushes, 1);
	chs(0, 3, 1, 17, 0x91);
	out(IDE_COUNT, 4);
	out(IDE_COMMAND, 0xc6);
	read_identify();
	assert_int_equal(words[85], 0);
	assert_int_equal(words[55], 4);
	assert_int_equal(words[56], 17);
	assert_int_equal(words[54], 4 * 1008 / 68);
	assert_int_equal(words[59], 0x104);
	d.sectors = 0x123456789aULL;
	read_identify();
	assert_int_equal(words[60] | words[61] << 16, 0xfffffff);
	assert_int_equal(words[100] | (uint32_t)words[101] << 16, 0x3456789a);
	assert_int_equal(words[102], 0x12);
	assert_int_equal(words[1], 16383);
}

/* 0 sectors are 256, or 65536. The device is larger than the test's, whose reads would fail: the registers show it. */
static void test_zero_count(void **state)
{
	(void)state;
	load(0, 10, 0);
	out(IDE_COMMAND, 0x20);
	assert_int_equal(d.c.drives[0].count, 255);
	out(IDE_CONTROL, IDE_CTL_SRST);
	out(IDE_CONTROL, 0);
	load(1, 10, 0);
	out(IDE_COMMAND, 0x24);
	assert_int_equal(d.c.drives[0].count, 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_programs, power_on),
		cmocka_unit_test_setup(test_transfers, power_on),
		cmocka_unit_test_setup(test_odd_data, power_on),
		cmocka_unit_test_setup(test_bad_sector, power_on),
		cmocka_unit_test_setup(test_chs, power_on),
		cmocka_unit_test_setup(test_identify, power_on),
		cmocka_unit_test_setup(test_zero_count, power_on),
	};

	seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
