/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The HPET as QEMU has it (IA-PC HPET 1.0a; hw/timer/hpet.c): a model on a clock that is passed in. It raises no interrupts, so the
 * comparators and the interrupt status only hold what is written to them.
 */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define HPET_NR_TIMERS 3

struct hpet {
	__u64 (*clock)(void *arg); /* of the VM, ns: stands while the VM is stopped */
	void *arg;
	bool split; /* QEMU up to 9.0: an access of 8 bytes is two of 4, one after the other */
	__u64 config, status;
	__u64 counter; /* while it is halted */
	__u64 offset;  /* of a running one against @clock, ns */
	struct {
		__u64 config, comparator, route;
	} timers[HPET_NR_TIMERS];
};

/* The main counter at this moment. */
__u64 hpet_ticks(const struct hpet *h);

__u64 hpet_read(const struct hpet *h, __u64 offset, __u32 len);
void hpet_write(struct hpet *h, __u64 offset, __u64 val, __u32 len);
void hpet_reset(struct hpet *h);

#endif /* DEVICES_HPET_H */
