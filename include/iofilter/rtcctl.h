/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The RTC's time from a VMM that cooperates, through the mapping of the filter's state. Not for BPF.
 *
 * The VMM publishes before the guest can see that its registers have changed (so, before its handler of a write to the data port
 * returns), before the day ends if it wants to be answered for beyond that, and whenever its clock was set. It withdraws before it
 * stops the VM, and while the time stands (register B's SET, a divider above 0x20). One writer at a time.
 */
#ifndef IOFILTER_RTCCTL_H
#define IOFILTER_RTCCTL_H

#include <iofilter/rtc.h>

static inline void iofilter_rtc_begin(struct rtc_time *t)
{
	iofilter_store(t->seq, t->seq | 1);
	__sync_synchronize();
}

static inline void iofilter_rtc_end(struct rtc_time *t)
{
	__sync_synchronize();
	iofilter_store(t->seq, t->seq + 1);
}

/* @t->seq and @t->valid are not looked at. */
static inline void iofilter_rtc_publish(struct iofilter_rtc *r, const struct rtc_time *t)
{
	struct rtc_time next = *t;

	iofilter_rtc_begin(&r->time);
	next.seq = r->time.seq;
	next.valid = 1;
	r->time = next;
	iofilter_rtc_end(&r->time);
}

static inline void iofilter_rtc_withdraw(struct iofilter_rtc *r)
{
	iofilter_rtc_begin(&r->time);
	r->time.valid = 0;
	iofilter_rtc_end(&r->time);
}

#endif /* IOFILTER_RTCCTL_H */
