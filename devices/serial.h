/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A 16550A UART (National Semiconductor PC16550D): a model on a clock that is passed in. What is sent is out at once, so the
 * transmitter is always empty; what is received takes no time either, but the character timeout runs by the divisor.
 */
#ifndef DEVICES_SERIAL_H
#define DEVICES_SERIAL_H

#include <stdbool.h>
#include <linux/types.h>

#define SERIAL_FIFO 16

struct serial {
	__u64 (*clock)(void *arg); /* ns */
	void (*irq)(void *arg, int level); /* INTR; may be NULL. On a PC it is gated by OUT2, which is not done here */
	void (*out)(void *arg, __u8 c);
	void *arg;
	__u8 ier, fcr, lcr, mcr, lsr, msr, scr;
	__u8 lines; /* what is at the pins CTS, DSR, RI, DCD: as MSR's upper half */
	__u16 divisor;
	__u8 fifo[SERIAL_FIFO];
	__u8 first, count;
	bool thr_empty; /* the transmitter's interrupt is pending */
	bool timed_out; /* characters below the trigger level have waited for long enough */
	__u64 timeout_at; /* UINT64_MAX: none */
	int level;
};

void serial_power_on(struct serial *s);
/* The pin MR: contents of FIFO, scratch and divisor stay. */
void serial_reset(struct serial *s);
/* Only the lowest three bits of @port count. */
__u8 serial_port_read(struct serial *s, __u16 port);
void serial_port_write(struct serial *s, __u16 port, __u8 val);

/* So many characters can be received without an overrun; 0 also while the input is cut off by a loopback. */
unsigned int serial_room(const struct serial *s);
/* A character comes in from outside. */
void serial_input(struct serial *s, __u8 c);

/* When something happens by itself, by the clock; UINT64_MAX: never. And let what is due happen. */
__u64 serial_deadline(const struct serial *s);
void serial_run(struct serial *s);

#endif /* DEVICES_SERIAL_H */
