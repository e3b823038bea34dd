// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI PM timer. The value is computed when it is read; nothing ticks. 128-bit arithmetic, on purpose: this is what the fast
 * path's is compared with.
 */
#include <devices/pmtimer.h>
#include <iofilter/pmtimer.h>

__u64 pmtimer_ticks(const struct pmtimer *t, __u64 now)
{
	return (unsigned __int128)((t->stopped ? t->stopped_at : now) + t->offset) * PMTIMER_HZ / 1000000000;
}

__u32 pmtimer_read(const struct pmtimer *t)
{
	return pmtimer_ticks(t, t->clock(t->arg)) & ((1ULL << t->width) - 1);
}

void pmtimer_stop(struct pmtimer *t)
{
	t->stopped_at = t->clock(t->arg);
	t->stopped = true;
}

void pmtimer_start(struct pmtimer *t)
{
	t->offset -= t->clock(t->arg) - t->stopped_at;
	t->stopped = false;
}
