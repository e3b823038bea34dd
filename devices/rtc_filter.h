/* SPDX-License-Identifier: GPL-2.0 */
/* The RTC model and the filter that tells its time. */
#ifndef DEVICES_RTC_FILTER_H
#define DEVICES_RTC_FILTER_H

#include <stddef.h>
#include <devices/rtc.h>
#include <iofilter/rtcctl.h>

static inline __u64 rtc_clock_stands(void *clock)
{
	return *(const __u64 *)clock;
}

/*
 * Publish the time that @r shows, whose clock is CLOCK_MONOTONIC + @offset ns; or withdraw it while that stands. At the user's
 * lock of the model. Return: the day that was published, since 1970; 0: none.
 */
static inline __u64 rtc_publish(const struct rtc *r, __u64 offset, struct iofilter_rtc *to)
{
	static const struct { __u8 reg, at; } date[] = {
		{ RTC_DAY_OF_WEEK, offsetof(struct rtc_time, day_of_week) }, { RTC_DATE_OF_MONTH, offsetof(struct rtc_time, date_of_month) },
		{ RTC_MONTH, offsetof(struct rtc_time, month) }, { RTC_YEAR, offsetof(struct rtc_time, year) },
		{ RTC_CENTURY, offsetof(struct rtc_time, century) },
	};
	/* Time and date must be of one moment: of a copy whose clock stands. */
	__u64 clock = r->clock(r->arg), ns;
	struct rtc_time t = {};
	struct rtc then = *r;
	unsigned int i;

	if (!rtc_running(r)) {
		iofilter_rtc_withdraw(to);
		return 0;
	}
	then.clock = rtc_clock_stands;
	then.irq = NULL;
	then.arg = &clock;
	ns = rtc_now(&then);
	t.second_at = clock - offset - ns % IOFILTER_NSEC_PER_SEC;
	t.time = ns / IOFILTER_NSEC_PER_SEC % RTC_SECONDS_PER_DAY;
	t.reg_a = r->cmos[RTC_REG_A];
	t.reg_b = r->cmos[RTC_REG_B];
	for (i = 0; i < sizeof(date) / sizeof(date[0]); i++) {
		then.index = date[i].reg;
		((__u8 *)&t)[date[i].at] = rtc_port_read(&then, RTC_DATA_PORT);
	}
	iofilter_rtc_publish(to, &t);
	return ns / IOFILTER_NSEC_PER_SEC / RTC_SECONDS_PER_DAY;
}

#endif /* DEVICES_RTC_FILTER_H */
