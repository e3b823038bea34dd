/* SPDX-License-Identifier: GPL-2.0 */
/* The ACPI PM timer as a VMM has it (ACPI 6.5, 4.8.2.1): a model on a clock that is passed in. */
#ifndef DEVICES_PMTIMER_H
#define DEVICES_PMTIMER_H

#include <stdbool.h>
#include <linux/types.h>

struct pmtimer {
	__u64 (*clock)(void *arg); /* ns, never steps back */
	void *arg;
	__s64 offset; /* what the timer's own clock is ahead of @clock, ns */
	__u32 width; /* bits that a read shows: 24 (QEMU) or 32 */
	bool stopped;
	__u64 stopped_at; /* by @clock */
};

/* The timer's ticks when @clock shows @now, all bits. The VM being stopped, @now does not matter. */
__u64 pmtimer_ticks(const struct pmtimer *t, __u64 now);

/* What a dword read of the register shows at this moment. */
__u32 pmtimer_read(const struct pmtimer *t);

/* The VM is stopped: the timer stands. And goes on from there. */
void pmtimer_stop(struct pmtimer *t);
void pmtimer_start(struct pmtimer *t);

#endif /* DEVICES_PMTIMER_H */
