/* SPDX-License-Identifier: GPL-2.0 */
/* The device models as a test of all of them has them: how each is wired, and a random operation of it, whose effects are noted. */
#ifndef SELFTESTS_MODELS_H
#define SELFTESTS_MODELS_H

#include <inttypes.h>
#include <devices/hpet.h>
#include <devices/ide.h>
#include <devices/pit.h>
#include <devices/pmtimer.h>
#include <devices/rtc.h>
#include <devices/serial.h>
#include <devices/state.h>
#include <iofilter/hpet.h>
#include "host.h"

#define SECTORS	 64
#define NR_TRACE 4096

/* Either of the two. */
struct instance {
	uint64_t trace[NR_TRACE];
	unsigned int n;
	uint8_t disk[SECTORS * IDE_SECTOR];
	union {
		struct pit pit;
		struct hpet hpet;
		struct rtc rtc;
		struct pmtimer pmtimer;
		struct serial serial;
		struct ide ide;
	};
};

struct op {
	uint64_t dt, val;
	unsigned int what, reg, len;
};

static uint64_t now;

static void note(struct instance *i, uint64_t v)
{
	/* Very many edges are a sum. */
	if (i->n < NR_TRACE)
		i->trace[i->n++] = v;
	else
		i->trace[NR_TRACE - 1] = i->trace[NR_TRACE - 1] * 31 + v;
}

static __u64 clock_now(void *arg)
{
	(void)arg;
	return now;
}

static void irq(void *arg, int level)
{
	note(arg, now);
	note(arg, level);
}

static void irq_line(void *arg, unsigned int line, int level)
{
	note(arg, now);
	note(arg, 16 + line * 2 + level);
}

static void told(void *arg, int on)
{
	note(arg, 1000 + on);
}

static void slept(void *arg, unsigned int type)
{
	note(arg, 2000 + type);
}

static void sent(void *arg, __u8 c)
{
	note(arg, 3000 + c);
}

static int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	struct instance *i = arg;

	note(i, sector << 20 | count << 1 | write);
	if (!count)
		return 0;
	assert_true(sector + count <= SECTORS);
	if (write)
		memcpy(i->disk + sector * IDE_SECTOR, data, count * IDE_SECTOR);
	else
		memcpy(data, i->disk + sector * IDE_SECTOR, count * IDE_SECTOR);
	return 0;
}

/* The user's own members, and nothing else: what else there is comes with power-on, or from the save. */
static void pit_wire(struct instance *i)
{
	i->pit.clock = clock_now;
	i->pit.irq = irq;
	i->pit.arg = i;
}

static void hpet_wire(struct instance *i)
{
	i->hpet.clock = clock_now;
	i->hpet.irq = irq_line;
	i->hpet.legacy = told;
	i->hpet.arg = i;
	i->hpet.split = false;
}

static void rtc_wire(struct instance *i)
{
	i->rtc.clock = clock_now;
	i->rtc.irq = irq;
	i->rtc.arg = i;
}

static void pmtimer_wire(struct instance *i)
{
	i->pmtimer.clock = clock_now;
	i->pmtimer.irq = irq;
	i->pmtimer.sleep = slept;
	i->pmtimer.arg = i;
	i->pmtimer.width = 24;
}

static void serial_wire(struct instance *i)
{
	i->serial.clock = clock_now;
	i->serial.irq = irq;
	i->serial.out = sent;
	i->serial.arg = i;
}

static void ide_wire(struct instance *i)
{
	i->ide.io = disk_io;
	i->ide.irq = irq;
	i->ide.arg = i;
	i->ide.sectors = SECTORS;
	i->ide.base = IDE_PRIMARY;
	i->ide.serial[0] = i->ide.firmware[0] = i->ide.model[0] = 0;
}

/* Now and then a value that is not only random: one of @n. */
#define PICK(...)                                                               \
	({                                                                      \
		static const uint64_t of_[] = { __VA_ARGS__ };                  \
		of_[rnd() % ARRAY_SIZE(of_)];                                   \
	})

static void pit_op(struct op *o)
{
	o->reg = PICK(0x40, 0x41, 0x42, 0x43, 0x43, 0x61);
	o->what = o->reg == 0x43 || rnd() % 3 == 0;
	if (o->reg == 0x43)
		o->val = (rnd() % 3 << 6) | PICK(0x00, 0x00, 0x10, 0x20, 0x30, 0x30) | (rnd() % 6 << 1);
	if (o->reg == 0x43 && rnd() % 5 == 0)
		o->val = 0xc0 | (rnd() & 0x3e);
	o->dt = rnd() % PICK(100, 1000000, 100000000);
}

static void pit_step(struct instance *i, const struct op *o)
{
	if (o->what)
		pit_port_write(&i->pit, o->reg, o->val);
	else
		note(i, pit_port_read(&i->pit, o->reg));
}

static void hpet_op(struct op *o)
{
	unsigned int t = rnd() % HPET_NR_TIMERS;

	o->reg = PICK(HPET_GCAP_ID, HPET_GEN_CONF, HPET_STATUS, HPET_MAIN_CNT, HPET_TIMERS, HPET_TIMERS, HPET_TIMERS + 8, HPET_TIMERS + 8,
		      HPET_TIMERS + 16);
	o->len = PICK(4, 8, 8);
	o->what = rnd() % 2;
	switch (o->reg) {
	case HPET_GEN_CONF:
		o->val = PICK(1, 1, 1, 3, 0);
		break;
	case HPET_STATUS:
		o->val = rnd() & 7;
		break;
	case HPET_TIMERS:
		o->val = (rnd() & 0x7f4e & ~0x4000) | PICK(0, 4);
		break;
	case HPET_TIMERS + 8:
		o->val = rnd() % 1000000 + 1000;
	}
	if (o->reg >= HPET_TIMERS)
		o->reg += 0x20 * t;
	if (o->len == 4 && rnd() % 2)
		o->reg += 4;
	o->dt = rnd() % PICK(100, 100000, 5000000);
}

static void hpet_step(struct instance *i, const struct op *o)
{
	if (o->what)
		hpet_write(&i->hpet, o->reg, o->val, o->len);
	else
		note(i, hpet_read(&i->hpet, o->reg, o->len));
	if (o->dt % 7 == 0)
		hpet_legacy_irq(&i->hpet, o->dt % 2 ? 0 : 8, o->val & 1);
}

static void rtc_op(struct op *o)
{
	o->what = rnd() % 8;
	o->reg = PICK(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xa, 0xb, 0xb, 0xc, 0xc, 0xd, 0xf, 0x32, 0x37, 0x40, 0x7f);
	o->val = PICK(0x01, 0x10, 0x20, 0x24, 0x59, 0xff);
	if (o->reg == 0xa)
		o->val = PICK(0x26, 0x26, 0x2c, 0x20, 0x60, 0x21);
	else if (o->reg == 0xb)
		o->val = PICK(0x02, 0x02, 0x42, 0x72, 0x32, 0x82, 0x06, 0x00);
	o->dt = rnd() % PICK(1000, 1000000, 3000000000);
}

/* Index and data stand apart, so that a save comes between them. */
static void rtc_step(struct instance *i, const struct op *o)
{
	if (o->what < 4)
		rtc_port_write(&i->rtc, 0x70, o->reg);
	else if (o->what < 6)
		note(i, rtc_port_read(&i->rtc, 0x71));
	else
		rtc_port_write(&i->rtc, 0x71, o->val);
}

static void pmtimer_op(struct op *o)
{
	o->what = rnd() % 10;
	o->reg = PICK(PM1_STS, PM1_EN, PM1_CNT, PM_TMR);
	o->val = PICK(0, PM1_TMR, PM1_TMR, PM1_TMR | PM1_PWRBTN, 0x2c00, 0xffff);
	o->len = o->reg == PM_TMR ? 4 : 2;
	o->dt = rnd() % PICK(1000, 1000000, 3000000000);
}

static void pmtimer_step(struct instance *i, const struct op *o)
{
	if (o->what < 4)
		pmtimer_block_write(&i->pmtimer, o->reg, o->val, o->len);
	else if (o->what < 8)
		note(i, pmtimer_block_read(&i->pmtimer, o->reg, o->len));
	else if (o->what == 8)
		pmtimer_power_button(&i->pmtimer);
	else if (i->pmtimer.stopped)
		pmtimer_start(&i->pmtimer);
	else
		pmtimer_stop(&i->pmtimer);
}

static void serial_op(struct op *o)
{
	o->what = rnd() % 9;
	o->reg = rnd() % 8;
	if (o->reg == 4)
		o->val &= ~(rnd() % 4 ? 0x10ULL : 0);
	if (o->reg == 3)
		o->val &= ~(rnd() % 2 ? 0x80ULL : 0);
	if (o->reg == 2)
		o->val |= 1;
	o->dt = rnd() % PICK(1000, 1000000, 50000000);
}

static void serial_step(struct instance *i, const struct op *o)
{
	if (o->what < 3)
		serial_port_write(&i->serial, o->reg, o->val);
	else if (o->what < 6)
		note(i, serial_port_read(&i->serial, o->reg));
	else if (o->what < 8)
		serial_input(&i->serial, o->val);
	else
		i->serial.lines = o->val & 0xf0;
}

static void ide_op(struct op *o)
{
	o->what = rnd() % 8;
	o->len = PICK(2, 2, 4);
	o->reg = PICK(IDE_FEATURES, IDE_COUNT, IDE_LBA_LOW, IDE_LBA_MID, IDE_LBA_HIGH, IDE_DEVICE, IDE_CONTROL_AT);
	o->val = rnd() % 4;
	if (o->reg == IDE_LBA_LOW)
		o->val = rnd() % (SECTORS + 2);
	if (o->reg == IDE_LBA_MID || o->reg == IDE_LBA_HIGH)
		o->val = rnd() % 20 == 0;
	if (o->reg == IDE_DEVICE)
		o->val = PICK(0xe0, 0xe0, 0xe0, 0xa0, 0xa3, 0xf0);
	if (o->reg == IDE_CONTROL_AT)
		o->val = PICK(0, 0, 2, 0x80, 0x82, 4);
	if (o->reg == IDE_FEATURES)
		o->val = PICK(0x02, 0x82, 0xcc, 0x66);
	if (o->what == 1)
		o->val = PICK(0x20, 0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc4, 0xc6, 0x91, 0xec, 0xec, 0xef, 0xe7, 0x29, 0x39, 0x27);
	o->dt = rnd() % 150; /* words, to come and go within blocks and over their ends */
}

static void ide_step(struct instance *i, const struct op *o)
{
	uint64_t n;

	if (o->what == 0) {
		ide_port_write(&i->ide, IDE_PRIMARY + o->reg, 1, o->val);
	} else if (o->what == 1) {
		ide_port_write(&i->ide, IDE_PRIMARY + IDE_COMMAND, 1, o->val);
	} else if (o->what == 2) {
		for (n = 0; n < 8; n++)
			note(i, ide_port_read(&i->ide, IDE_PRIMARY + (n ? n : IDE_CONTROL_AT), 1));
	} else {
		for (n = 0; n < o->dt; n++) {
			note(i, ide_port_read(&i->ide, IDE_PRIMARY, o->len));
			ide_port_write(&i->ide, IDE_PRIMARY, o->len, o->val * 0x01010101 + n);
		}
	}
}

#define TIMED(dev)                                                              \
	static uint64_t dev##_next(struct instance *i)                          \
	{                                                                       \
		return dev##_deadline(&i->dev);                                 \
	}                                                                       \
	static void dev##_due(struct instance *i)                               \
	{                                                                       \
		dev##_run(&i->dev);                                             \
	}

#define STATED(dev)                                                             \
	static void dev##_all(struct instance *i, struct state *s)              \
	{                                                                       \
		dev##_state(&i->dev, s);                                        \
	}

TIMED(pit)
TIMED(hpet)
TIMED(rtc)
TIMED(pmtimer)
TIMED(serial)
STATED(pit)
STATED(hpet)
STATED(rtc)
STATED(pmtimer)
STATED(serial)
STATED(ide)

static void pit_on(struct instance *i) { pit_power_on(&i->pit); }
static void hpet_on(struct instance *i) { hpet_power_on(&i->hpet); }
static void rtc_on(struct instance *i) { rtc_power_on(&i->rtc, 1700000000 + rnd() % 100000000); }
static void pmtimer_on(struct instance *i) { pmtimer_power_on(&i->pmtimer); }
static void serial_on(struct instance *i) { serial_power_on(&i->serial); }
static void ide_on(struct instance *i) { ide_power_on(&i->ide); }

static const struct model {
	const char *name;
	size_t size;
	void (*wire)(struct instance *i);
	void (*on)(struct instance *i);
	void (*op)(struct op *o);
	void (*step)(struct instance *i, const struct op *o);
	void (*state)(struct instance *i, struct state *s);
	uint64_t (*next)(struct instance *i);
	void (*due)(struct instance *i);
} models[] = {
	{ "pit", sizeof(struct pit), pit_wire, pit_on, pit_op, pit_step, pit_all, pit_next, pit_due },
	{ "hpet", sizeof(struct hpet), hpet_wire, hpet_on, hpet_op, hpet_step, hpet_all, hpet_next, hpet_due },
	{ "rtc", sizeof(struct rtc), rtc_wire, rtc_on, rtc_op, rtc_step, rtc_all, rtc_next, rtc_due },
	{ "pmtimer", sizeof(struct pmtimer), pmtimer_wire, pmtimer_on, pmtimer_op, pmtimer_step, pmtimer_all, pmtimer_next, pmtimer_due },
	{ "serial", sizeof(struct serial), serial_wire, serial_on, serial_op, serial_step, serial_all, serial_next, serial_due },
	{ "ide", sizeof(struct ide), ide_wire, ide_on, ide_op, ide_step, ide_all, NULL, NULL },
};

#endif /* SELFTESTS_MODELS_H */
