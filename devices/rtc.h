/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The MC146818 RTC with CMOS memory as QEMU has it, with -rtc driftfix=none: a model on a clock that is passed in. The flags of
 * register C are brought up to date whenever the model is looked at.
 */
#ifndef DEVICES_RTC_H
#define DEVICES_RTC_H

#include <stdbool.h>
#include <linux/types.h>

struct rtc {
	__u64 (*clock)(void *arg); /* ns; UTC since 1970 on an RTC that follows the host's clock */
	void (*irq)(void *arg, int level); /* IRQ8, called when it changes; may be NULL */
	void *arg;
	__u8 cmos[128];
	__u8 index;
	__s64 base;	   /* the time in s that the registers showed .. */
	__u64 last_update; /* .. when they were set, by the clock */
	__u64 offset;	   /* of that second's begin, ns */
	__u64 update_at;   /* when UF or AF is set next; 0: the divider is in reset, or both are */
	__u64 alarm_at;
	__u64 periodic_at; /* 0: no periodic interrupt */
	bool level;
};

/* As it is before the firmware, at @now seconds since 1970. */
void rtc_power_on(struct rtc *r, __s64 now);
/* A machine reset. Index, time and memory stay. */
void rtc_reset(struct rtc *r);
__u8 rtc_port_read(struct rtc *r, __u16 port);
void rtc_port_write(struct rtc *r, __u16 port, __u8 val);

/* When something will happen by itself, by the clock (UINT64_MAX: never), and: do what is due. */
__u64 rtc_deadline(const struct rtc *r);
void rtc_run(struct rtc *r);

/* Does the time go on (no SET, no divider that holds it)? */
bool rtc_running(const struct rtc *r);
/* The time that it counts, ns since 1970. */
__u64 rtc_now(const struct rtc *r);

#endif /* DEVICES_RTC_H */
