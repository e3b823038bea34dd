// SPDX-License-Identifier: GPL-2.0
/* The RTC's filter is told the time: before the guest can see that it was set, after midnight, and not while the clock stands. */
#include <devices/rtc_filter.h>
#include "filter.h"

#define DAY (RTC_SECONDS_PER_DAY * NSEC)

static void publish(struct filter *f)
{
	f->day = 0;
	if (f->vmm->stopped)
		iofilter_rtc_withdraw(iofilter_state(f->f));
	else
		f->day = rtc_publish(&f->vmm->board->rtc, f->vmm->offset, iofilter_state(f->f));
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
