// SPDX-License-Identifier: GPL-2.0
/* The RTC's filter is told the time: before the guest can see that it was set, after midnight, and not while the clock stands. */
#include <iofilter/rtcctl.h>
#include "filter.h"

#define DAY (RTC_SECONDS_PER_DAY * NSEC)

/* The model brings its registers up to date when one is read. */
static void show(struct rtc *r)
{
	__u8 index = r->index;

	r->index = RTC_SECONDS;
	rtc_port_read(r, RTC_DATA_PORT);
	r->index = index;
}

static void publish(struct filter *f)
{
	struct rtc *r = &f->vmm->board->rtc;
	struct rtc_time t = {};
	__u64 clock, ns;

	if (!rtc_running(r) || f->vmm->stopped) {
		iofilter_rtc_withdraw(iofilter_state(f->f));
		f->day = 0;
		return;
	}
	/* Once more if midnight was in between. */
	do {
		clock = time_now(f->vmm);
		ns = r->base * NSEC + clock - r->last_update + r->offset;
		show(r);
	} while (rtc_now(r) / DAY != ns / DAY);
	t.second_at = clock - ns % NSEC - f->vmm->offset;
	t.time = ns / NSEC % RTC_SECONDS_PER_DAY;
	t.reg_a = r->cmos[RTC_REG_A];
	t.reg_b = r->cmos[RTC_REG_B];
	t.day_of_week = r->cmos[RTC_DAY_OF_WEEK];
	t.date_of_month = r->cmos[RTC_DATE_OF_MONTH];
	t.month = r->cmos[RTC_MONTH];
	t.year = r->cmos[RTC_YEAR];
	t.century = r->cmos[RTC_CENTURY];
	iofilter_rtc_publish(iofilter_state(f->f), &t);
	f->day = ns / DAY;
}

static int rtc_tell(struct filter *f)
{
	publish(f);
	return 0;
}

static bool sets_something(const struct access *a)
{
	return a->write && !a->r->mmio && a->addr <= RTC_DATA_PORT && a->addr + a->len > RTC_DATA_PORT && a->r->first == RTC_INDEX_PORT;
}

/* Nothing of the time is answered while a write is under way: other vCPUs get theirs from the model, after it. */
static void rtc_before(struct filter *f, const struct access *a)
{
	if (!sets_something(a))
		return;
	iofilter_rtc_withdraw(iofilter_state(f->f));
	f->day = 0;
}

/* A read has come here perhaps because the day that was published is over. */
static void rtc_after(struct filter *f, const struct access *a)
{
	const struct rtc *rtc = &f->vmm->board->rtc;

	if (!a->r->mmio && a->r->first == RTC_INDEX_PORT && rtc_running(rtc) && rtc_now(rtc) / DAY != f->day)
		publish(f);
}

const struct filter_kind filter_rtc = {
	.name = "rtc",
	.started = rtc_tell,
	.stopped = rtc_tell,
	.before = rtc_before,
	.after = rtc_after,
};
