// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI PM timer, and the PM1 registers, after QEMU's hw/acpi/core.c. The value is computed when it is read; nothing ticks. 128-bit
 * arithmetic, on purpose: this is what the fast path's is compared with.
 */
#include <stdint.h>
#include <devices/pmtimer.h>
#include <iofilter/pmtimer.h>

#define SECOND	  1000000000ULL
#define PM1_GBL	  0x0020
#define PM1_RTC	  0x0400
#define PM1_CAUSES (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)

static __u64 own_clock(const struct pmtimer *t, __u64 now)
{
	return (t->stopped ? t->stopped_at : now) + t->offset;
}

__u64 pmtimer_ticks(const struct pmtimer *t, __u64 now)
{
	return (unsigned __int128)own_clock(t, now) * PMTIMER_HZ / SECOND;
}

__u32 pmtimer_read(const struct pmtimer *t)
{
	return pmtimer_ticks(t, t->clock(t->arg)) & ((1ULL << t->width) - 1);
}

void pmtimer_stop(struct pmtimer *t)
{
	t->stopped_at = t->clock(t->arg);
	t->stopped = true;
}

void pmtimer_start(struct pmtimer *t)
{
	t->offset -= t->clock(t->arg) - t->stopped_at;
	t->stopped = false;
}

/* By the timer's own clock; up to 1 ns before the tick, as QEMU rounds. */
static __u64 carry_time(const struct pmtimer *t)
{
	return (unsigned __int128)t->carry * SECOND / PMTIMER_HZ;
}

static void look(struct pmtimer *t)
{
	if (own_clock(t, t->clock(t->arg)) >= carry_time(t))
		t->status |= PM1_TMR;
}

static void set_sci(struct pmtimer *t)
{
	bool level = t->status & t->enabled & PM1_CAUSES;

	if (!t->irq || level == t->level)
		return;
	t->level = level;
	t->irq(t->arg, level);
}

__u64 pmtimer_deadline(const struct pmtimer *t)
{
	__s64 at = carry_time(t) - t->offset;

	if (!t->irq || t->stopped || !(t->enabled & PM1_TMR) || t->status & PM1_TMR)
		return UINT64_MAX;
	return at < 0 ? 0 : at;
}

void pmtimer_run(struct pmtimer *t)
{
	look(t);
	set_sci(t);
}

void pmtimer_power_button(struct pmtimer *t)
{
	if (t->enabled & PM1_PWRBTN)
		t->status |= PM1_PWRBTN;
	pmtimer_run(t);
}

/* QEMU drops the high byte of a register that is read or written by bytes, except PM1_CNT's. */
__u32 pmtimer_block_read(struct pmtimer *t, unsigned int offset, __u32 len)
{
	__u32 val = 0;

	pmtimer_run(t);
	switch (offset) {
	case PM1_STS:
		val = t->status;
		break;
	case PM1_EN:
		val = t->enabled;
		break;
	case PM1_CNT: case PM1_CNT + 1:
		val = t->control >> (offset & 1) * 8;
		break;
	case PM_TMR: case PM_TMR + 1: case PM_TMR + 2: case PM_TMR + 3:
		/* From any of its bytes it is read from the lowest. */
		val = pmtimer_read(t);
	}
	return len < 4 ? val & ((1U << len * 8) - 1) : val;
}

static void write_control(struct pmtimer *t, __u32 val)
{
	/* SCI_EN is the hardware's: there is no SMI_CMD that would leave ACPI mode. */
	t->control = (val & ~PM1_SLP_EN) | PM1_SCI_EN;
	if (val & PM1_SLP_EN && t->sleep)
		t->sleep(t->arg, val >> 10 & 7);
}

void pmtimer_block_write(struct pmtimer *t, unsigned int offset, __u32 val, __u32 len)
{
	val &= len == 1 ? 0xff : 0xffff;
	look(t);
	switch (offset) {
	case PM1_STS:
		if (val & t->status & PM1_TMR)
			t->carry = ((pmtimer_ticks(t, t->clock(t->arg)) >> (t->width - 1)) + 1) << (t->width - 1);
		t->status &= ~val;
		break;
	case PM1_EN:
		t->enabled = val;
		break;
	case PM1_CNT:
		write_control(t, val);
		break;
	case PM1_CNT + 1:
		write_control(t, val << 8 | (t->control & 0xff));
	}
	pmtimer_run(t);
}

/* QEMU computes the next carry when TMR_STS is cleared, and not before: until then one is pending. */
void pmtimer_reset(struct pmtimer *t)
{
	t->status = t->enabled = 0;
	t->control = PM1_SCI_EN;
	t->carry = 0;
	set_sci(t);
}

void pmtimer_power_on(struct pmtimer *t)
{
	t->offset = 0;
	t->stopped = t->level = false;
	pmtimer_reset(t);
}
