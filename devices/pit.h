/* SPDX-License-Identifier: GPL-2.0 */
/* The i8254 PIT and port 0x61 as QEMU has them: a model on a clock that is passed in. */
#ifndef DEVICES_PIT_H
#define DEVICES_PIT_H

#include <stdbool.h>
#include <linux/types.h>

struct pit_counter {
	int count; /* 1 .. 65536 */
	__u16 latched_count;
	__u8 count_latched, status_latched, status;
	__u8 read_state, write_state, write_latch;
	__u8 rw_mode, mode, bcd;
	bool gate;
	__s64 count_load_time; /* by the clock */
};

struct pit {
	__u64 (*clock)(void *arg); /* ns */
	void (*irq)(void *arg, int level); /* IRQ0, called when it changes; NULL: none, and nothing happens by itself */
	void *arg;
	struct pit_counter counters[3];
	bool data_on, refresh;
	bool level, irq_off;
	__u64 transition; /* when the output of counter 0 is looked at next, by the clock; UINT64_MAX: never */
};

void pit_power_on(struct pit *p);
/* What a machine reset leaves is not what power-on gives: flip-flops and latches stay. */
void pit_reset(struct pit *p);
__u8 pit_port_read(struct pit *p, __u16 port);
void pit_port_write(struct pit *p, __u16 port, __u8 val);

/* When something will happen by itself, by the clock (UINT64_MAX: never), and: do what is due. */
__u64 pit_deadline(const struct pit *p);
void pit_run(struct pit *p);
/* An HPET in legacy mode takes IRQ0 over (off), and gives it back. */
void pit_irq_control(struct pit *p, bool on);

/* The counting element and the output at this moment. */
__u16 pit_get_count(const struct pit *p, int counter);
bool pit_get_out(const struct pit *p, int counter);

#endif /* DEVICES_PIT_H */
