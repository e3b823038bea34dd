/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ACPI PM timer as a VMM has it (ACPI 6.5, 4.8.2.1), with the PM1 registers beside it (4.8.3): a model on a clock that is passed
 * in. The machine is always in ACPI mode. Who wants the timer only needs no more than pmtimer_read().
 */
#ifndef DEVICES_PMTIMER_H
#define DEVICES_PMTIMER_H

#include <stdbool.h>
#include <linux/types.h>

/* The block's registers, by offset. */
#define PM1_STS 0
#define PM1_EN	2
#define PM1_CNT 4
#define PM_TMR	8

/* PM1_STS and PM1_EN. */
#define PM1_TMR	   0x0001
#define PM1_PWRBTN 0x0100
/* PM1_CNT. */
#define PM1_SCI_EN 0x0001
#define PM1_SLP_EN 0x2000

struct pmtimer {
	__u64 (*clock)(void *arg); /* ns, never steps back */
	void (*irq)(void *arg, int level); /* the SCI, called when it changes; NULL: none, and nothing happens by itself */
	void (*sleep)(void *arg, unsigned int type); /* the guest sleeps: SLP_TYP, to which its DSDT gives a meaning; may be NULL */
	void *arg;
	__s64 offset; /* what the timer's own clock is ahead of @clock, ns */
	__u32 width; /* bits that a read shows: 24 (QEMU) or 32 */
	bool stopped;
	__u64 stopped_at; /* by @clock */
	__u16 status, enabled, control;
	bool level;
	__u64 carry; /* the tick at which the highest bit changes next, and TMR_STS is set */
};

/* The timer's ticks when @clock shows @now, all bits. The VM being stopped, @now does not matter. */
__u64 pmtimer_ticks(const struct pmtimer *t, __u64 now);

/* What a dword read of the register shows at this moment. */
__u32 pmtimer_read(const struct pmtimer *t);

/* The VM is stopped: the timer stands. And goes on from there. */
void pmtimer_stop(struct pmtimer *t);
void pmtimer_start(struct pmtimer *t);

void pmtimer_power_on(struct pmtimer *t);
/* The timer counts on. */
void pmtimer_reset(struct pmtimer *t);
/* All the block, at @offset, with QEMU's rules for accesses that are not of a register's size. */
__u32 pmtimer_block_read(struct pmtimer *t, unsigned int offset, __u32 len);
void pmtimer_block_write(struct pmtimer *t, unsigned int offset, __u32 val, __u32 len);
/* The user has pressed the power button. */
void pmtimer_power_button(struct pmtimer *t);

/* When something will happen by itself, by the clock (UINT64_MAX: never), and: do what is due. */
__u64 pmtimer_deadline(const struct pmtimer *t);
void pmtimer_run(struct pmtimer *t);

#endif /* DEVICES_PMTIMER_H */
