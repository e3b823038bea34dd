/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The HPET as QEMU has it (IA-PC HPET 1.0a; hw/timer/hpet.c): a model on a clock that is passed in. Messages (FSB) are not among
 * what it can: a timer that is told to send one is silent, as QEMU's is without its "msi" property.
 */
#ifndef DEVICES_HPET_H
#define DEVICES_HPET_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define HPET_NR_TIMERS 3

struct hpet_timer {
	__u64 config, comparator, route;
	__u64 period; /* what was last written to the comparator of a periodic timer */
	__u64 target; /* of the main counter, all bits: a comparator of 32 bits is met by the low half */
	__u64 expires, armed; /* by the clock; and when it was to expire last */
	bool wraps; /* 32 bits, one-shot: what comes next is the wrap of the counter, then the match */
};

struct hpet {
	__u64 (*clock)(void *arg); /* of the VM, ns: stands while the VM is stopped */
	void (*irq)(void *arg, unsigned int line, int level); /* called when it changes; NULL: none, and nothing happens by itself */
	void (*legacy)(void *arg, int on); /* IRQ0 is ours, not the PIT's: for pit_irq_control(); may be NULL */
	void *arg;
	bool split; /* QEMU up to 9.0: an access of 8 bytes is two of 4, one after the other */
	__u64 config, status;
	__u64 counter; /* while it is halted */
	__u64 offset;  /* of a running one against @clock, ns */
	__u32 lines;
	bool rtc_level;
	struct hpet_timer timers[HPET_NR_TIMERS];
};

/* The main counter at this moment. */
__u64 hpet_ticks(const struct hpet *h);

__u64 hpet_read(struct hpet *h, __u64 offset, __u32 len);
void hpet_write(struct hpet *h, __u64 offset, __u64 val, __u32 len);
void hpet_power_on(struct hpet *h);
/* The interrupt status stays, as it does in QEMU. */
void hpet_reset(struct hpet *h);

/* When something will happen by itself, by the clock (~0: never), and: do what is due. */
__u64 hpet_deadline(const struct hpet *h);
void hpet_run(struct hpet *h);

/* The outputs of the PIT (line 0) and the RTC (8), which reach the interrupt controllers through here: not in legacy mode. */
void hpet_legacy_irq(struct hpet *h, unsigned int line, int level);

#endif /* DEVICES_HPET_H */
