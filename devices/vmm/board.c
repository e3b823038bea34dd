// SPDX-License-Identifier: GPL-2.0
/* The devices and their wires: which ports they have, whose clock they count, which line they pull. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <iofilter/hpet.h>
#include <iofilter/pmtimer.h>
#include "board.h"
#include "vmm.h"

#define PIT_GSI	   0
#define SERIAL_GSI 4
#define RTC_GSI	   8
#define SCI_GSI	   9

#define KBD_RESET    0xfe /* pulse the CPU's reset line */
#define PORT92_RESET 0x01
#define CF9_RESET    0x04

static __u64 device_clock(void *arg)
{
	return time_now(((struct line *)arg)->vmm);
}

static void device_irq(void *arg, int level)
{
	struct line *l = arg;

	machine_irq(l->vmm, l->gsi, level);
}

/* The PIT's and the RTC's way to the interrupt controllers leads through the HPET, which in its legacy mode is in their place. */
static void through_hpet(void *arg, int level)
{
	struct line *l = arg;

	hpet_legacy_irq(&l->vmm->board->hpet, l->gsi, level);
}

static void hpet_irq(void *arg, unsigned int line, int level)
{
	machine_irq(((struct line *)arg)->vmm, line, level);
}

static void hpet_legacy(void *arg, int on)
{
	pit_irq_control(&((struct line *)arg)->vmm->board->pit, !on);
}

static __u64 pit_in(struct board *b, __u64 addr, __u32 len)
{
	(void)len;
	return pit_port_read(&b->pit, addr);
}

static void pit_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)len;
	pit_port_write(&b->pit, addr, val);
}

static __u64 rtc_in(struct board *b, __u64 addr, __u32 len)
{
	(void)len;
	return rtc_port_read(&b->rtc, addr);
}

static void rtc_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)len;
	rtc_port_write(&b->rtc, addr, val);
}

static __u64 serial_in(struct board *b, __u64 addr, __u32 len)
{
	__u64 val = serial_port_read(&b->serial, addr);

	(void)len;
	console_pump(b->vmm);
	return val;
}

static void serial_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)len;
	serial_port_write(&b->serial, addr, val);
	/* The end of a loopback lets input in again. */
	console_pump(b->vmm);
}

static __u64 pm_in(struct board *b, __u64 addr, __u32 len)
{
	return pmtimer_block_read(&b->pmtimer, addr - PM_BASE, len);
}

static void pm_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	pmtimer_block_write(&b->pmtimer, addr - PM_BASE, val, len);
}

/* Of whatever type: the DSDT has only "off". */
static void pm_sleep(void *arg, unsigned int type)
{
	(void)type;
	vmm_end(((struct line *)arg)->vmm, VMM_OFF);
}

static __u64 hpet_in(struct board *b, __u64 addr, __u32 len)
{
	return hpet_read(&b->hpet, addr - HPET_ADDR, len);
}

static void hpet_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	hpet_write(&b->hpet, addr - HPET_ADDR, val, len);
}

static __u64 ide_in(struct board *b, __u64 addr, __u32 len)
{
	return ide_port_read(&b->ide, addr, len);
}

static void ide_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	ide_port_write(&b->ide, addr, len, val);
}

/* Of the keyboard controller there is only what resets a PC. It never has data, and always room. */
static __u64 kbd_in(struct board *b, __u64 addr, __u32 len)
{
	(void)b;
	(void)addr;
	(void)len;
	return 0;
}

static void kbd_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)len;
	if (addr == 0x64 && val == KBD_RESET)
		vmm_end(b->vmm, VMM_OFF);
}

static __u64 port92_in(struct board *b, __u64 addr, __u32 len)
{
	(void)addr;
	(void)len;
	return b->port92;
}

static void port92_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)addr;
	(void)len;
	if (val & ~b->port92 & PORT92_RESET)
		vmm_end(b->vmm, VMM_OFF);
	b->port92 = val & ~PORT92_RESET;
}

static void cf9_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)addr;
	(void)len;
	if (val & CF9_RESET)
		vmm_end(b->vmm, VMM_OFF);
}

/* A payload's own exit status. */
static void exit_out(struct board *b, __u64 addr, __u64 val, __u32 len)
{
	(void)addr;
	(void)len;
	vmm_end(b->vmm, val & 0xff);
}

static const struct region regions[] = {
	{ .name = "pmtimer", .first = PM_BASE + PM_TMR, .last = PM_BASE + PM_TMR + 3, .width = 4, .read = pm_in, .write = pm_out },
	{ .name = "hpet", .first = HPET_ADDR, .last = HPET_ADDR + HPET_LEN - 1, .mmio = true, .width = 8,
	  .read = hpet_in, .write = hpet_out },
	{ .name = "pit", .first = 0x40, .last = 0x43, .width = 1, .read = pit_in, .write = pit_out },
	{ .name = "speaker", .first = 0x61, .last = 0x61, .width = 1, .read = pit_in, .write = pit_out },
	{ .name = "rtc", .first = 0x70, .last = 0x71, .width = 1, .read = rtc_in, .write = rtc_out },
	{ .name = "ide", .first = IDE_PRIMARY, .last = IDE_PRIMARY + IDE_NR_REGS - 1, .width = 4, .read = ide_in, .write = ide_out },
	{ .name = "ide", .first = IDE_PRIMARY + IDE_CONTROL_AT, .last = IDE_PRIMARY + IDE_CONTROL_AT, .width = 1, .read = ide_in,
	  .write = ide_out },
	{ .name = "serial", .first = 0x3f8, .last = 0x3ff, .width = 1, .read = serial_in, .write = serial_out },
	{ .name = "pm", .first = PM_BASE, .last = PM_BASE + PM_TMR - 1, .width = 4, .read = pm_in, .write = pm_out },
	{ .name = "kbd", .first = 0x60, .last = 0x60, .width = 1, .read = kbd_in, .write = kbd_out },
	{ .name = "kbd", .first = 0x64, .last = 0x64, .width = 1, .read = kbd_in, .write = kbd_out },
	{ .name = "reset", .first = 0x92, .last = 0x92, .width = 1, .read = port92_in, .write = port92_out },
	{ .name = "reset", .first = 0xcf9, .last = 0xcf9, .width = 1, .write = cf9_out },
	{ .name = "exit", .first = 0xf4, .last = 0xf4, .width = 4, .write = exit_out },
};

#define TIMER(dev)                                       \
	static __u64 dev##_next(const void *model)       \
	{                                                \
		return dev##_deadline(model);            \
	}                                                \
	static void dev##_due(void *model)               \
	{                                                \
		dev##_run(model);                        \
	}

TIMER(serial)
TIMER(pit)
TIMER(hpet)
TIMER(rtc)
TIMER(pmtimer)

/* Without a disk there is no channel: its ports read as ones. */
static int ide_create(struct vmm *vmm)
{
	struct board *b = vmm->board;
	unsigned int i;

	for (i = 0; !vmm->opts.disk && i < vmm->nr_regions; i++) {
		if (vmm->regions[i].read != ide_in)
			continue;
		vmm->regions[i].read = NULL;
		vmm->regions[i].write = NULL;
	}
	if (!vmm->opts.disk)
		return 0;
	b->ide_line = (struct line){ vmm, IDE_PRIMARY_IRQ };
	b->ide = (struct ide){ .io = disk_io, .irq = device_irq, .arg = &b->ide_line, .base = IDE_PRIMARY };
	if (disk_open(vmm))
		return -1;
	ide_power_on(&b->ide);
	return 0;
}

int board_create(struct vmm *vmm)
{
	struct board *b = calloc(1, sizeof(*b));

	vmm->regions = malloc(sizeof(regions));
	vmm->board = b;
	if (!b || !vmm->regions) {
		vmm_error("out of memory");
		return -1;
	}
	__builtin_memcpy(vmm->regions, regions, sizeof(regions));
	vmm->nr_regions = sizeof(regions) / sizeof(regions[0]);
	vmm->nowhere = (struct region){ .name = "other" };
	b->vmm = vmm;
	b->disk.fd = -1;
	b->pit_line = (struct line){ vmm, PIT_GSI };
	b->rtc_line = (struct line){ vmm, RTC_GSI };
	b->hpet_line = (struct line){ .vmm = vmm };
	b->serial_line = (struct line){ vmm, SERIAL_GSI };

	/* Each of the two calls the other. */
	b->hpet = (struct hpet){ .clock = device_clock, .irq = hpet_irq, .legacy = hpet_legacy, .arg = &b->hpet_line };
	b->pit = (struct pit){ .clock = device_clock, .irq = through_hpet, .arg = &b->pit_line };
	pit_power_on(&b->pit);
	hpet_power_on(&b->hpet);
	b->rtc = (struct rtc){ .clock = device_clock, .irq = through_hpet, .arg = &b->rtc_line };
	rtc_power_on(&b->rtc, time(NULL));
	b->pm_line = (struct line){ vmm, SCI_GSI };
	b->pmtimer = (struct pmtimer){ .clock = device_clock, .irq = device_irq, .sleep = pm_sleep, .arg = &b->pm_line, .width = 24 };
	pmtimer_power_on(&b->pmtimer);
	b->serial = (struct serial){ .clock = device_clock, .irq = device_irq, .out = console_out, .arg = &b->serial_line };
	serial_power_on(&b->serial);
	time_add(vmm, &b->pit, pit_next, pit_due);
	time_add(vmm, &b->hpet, hpet_next, hpet_due);
	time_add(vmm, &b->rtc, rtc_next, rtc_due);
	time_add(vmm, &b->pmtimer, pmtimer_next, pmtimer_due);
	time_add(vmm, &b->serial, serial_next, serial_due);
	return ide_create(vmm);
}

void board_destroy(struct vmm *vmm)
{
	disk_close(vmm);
	if (vmm->board && vmm->board->ide_event > 0)
		close(vmm->board->ide_event);
	free(vmm->board);
	free(vmm->regions);
}
