// SPDX-License-Identifier: GPL-2.0
/*
 * The filters of timers. Filter and model take their answers from the same sum, CLOCK_MONOTONIC + an offset, so the filter owns
 * its clock and nothing has to be proven. The PIT's is the time since a load that the guest has made: the filter sees that itself.
 */
#include <stdint.h>
#include <devices/pit_filter.h>
#include <iofilter/hpet.h>
#include "filter.h"

#define HPET_TICK_NS   (NSEC / HPET_HZ)
#define HPET_TICKS_MAX (INT64_MAX / HPET_TICK_NS)

static int pmtimer_started(struct filter *f)
{
	return iofilter_clock(f->f, IOFILTER_CLOCK_OWN, f->vmm->offset + f->vmm->board->pmtimer.offset);
}

static int pmtimer_stopped(struct filter *f)
{
	return iofilter_clock(f->f, IOFILTER_CLOCK_OWN_STOPPED, f->vmm->stopped_at + f->vmm->board->pmtimer.offset);
}

const struct filter_kind filter_pmtimer = {
	.name = "pmtimer",
	.started = pmtimer_started,
	.stopped = pmtimer_stopped,
};

/* A guest may set the counter so high that it is no time any more: then the model answers. */
static int hpet_tell(struct filter *f)
{
	const struct hpet *h = &f->vmm->board->hpet;
	__u64 ticks = hpet_ticks(h);

	if (ticks > HPET_TICKS_MAX)
		return iofilter_clock(f->f, IOFILTER_CLOCK_HOLD, 0);
	if (!(h->config & HPET_ENABLE_CNF) || f->vmm->stopped)
		return iofilter_clock(f->f, IOFILTER_CLOCK_OWN_STOPPED, ticks * HPET_TICK_NS);
	return iofilter_clock(f->f, IOFILTER_CLOCK_OWN, f->vmm->offset + h->offset);
}

/*
 * A write may halt, set or start the counter. Held before, the filter gives no answer from the old clock that is later than the moment
 * of the write; told after, and before the guest goes on, it never gives an old one.
 */
static void hpet_before(struct filter *f, const struct access *a)
{
	if (a->write && a->r->mmio && a->r->first == HPET_ADDR && iofilter_clock(f->f, IOFILTER_CLOCK_HOLD, 0))
		vmm_error("%s", iofilter_error());
}

static void hpet_after(struct filter *f, const struct access *a)
{
	if (a->write && a->r->mmio && a->r->first == HPET_ADDR && hpet_tell(f))
		vmm_error("%s", iofilter_error());
}

const struct filter_kind filter_hpet = {
	.name = "hpet",
	.started = hpet_tell,
	.stopped = hpet_tell,
	.before = hpet_before,
	.after = hpet_after,
};

static int pit_started(struct filter *f)
{
	return iofilter_clock(f->f, IOFILTER_CLOCK_PROVE_ANEW, 0);
}

static int pit_stopped(struct filter *f)
{
	return iofilter_clock(f->f, IOFILTER_CLOCK_HOLD, 0);
}

static void pit_folded(struct filter *f, struct board *copy)
{
	pit_take(&copy->pit, iofilter_state(f->f));
}

const struct filter_kind filter_pit = {
	.name = "pit",
	.started = pit_started,
	.stopped = pit_stopped,
	.fold = pit_folded,
};
