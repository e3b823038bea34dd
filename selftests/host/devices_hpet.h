/* SPDX-License-Identifier: GPL-2.0 */
/* An HPET that goes tick by tick: timers on lines 16 to 18. */
#ifndef SELFTESTS_DEVICES_HPET_H
#define SELFTESTS_DEVICES_HPET_H

#include <iofilter/hpet.h>
#include "devices.h"

#define TIMER(n)   (HPET_TIMERS + 0x20 * (n))
#define LEVEL	   0x2
#define ENABLED	   0x4
#define PERIODIC   0x8
#define VAL_SET	   0x40
#define MODE32	   0x100
#define ROUTE(n)   ((n) << 9)
#define FSB	   0x4000

static struct slow {
	uint64_t counter;
	bool runs;
	struct {
		uint32_t config;
		uint64_t comparator, period;
		bool armed, due; /* @due: the comparator was reached, or in the past when it was set */
		unsigned int wraps; /* seen since the last call */
	} timers[3];
	uint32_t status;
	bool lines[3];
	struct edge seq[NR_EDGES];
	unsigned int nr;
} slow;

static void slow_line(int n, bool level)
{
	if (slow.lines[n] == level)
		return;
	slow.lines[n] = level;
	slow.seq[slow.nr++] = (struct edge){ now, 16 + n, level };
}

static void slow_match(int n)
{
	uint32_t config = slow.timers[n].config;

	if (config & LEVEL)
		slow.status |= 1 << n;
	if (!(config & ENABLED))
		return;
	slow_line(n, true);
	if (!(config & LEVEL))
		slow_line(n, false);
}

static bool slow_equal(int n)
{
	uint64_t cmp = slow.timers[n].comparator;

	return slow.timers[n].config & MODE32 ? (uint32_t)slow.counter == (uint32_t)cmp : slow.counter == cmp;
}

static void slow_arm(int n)
{
	slow.timers[n].armed = true;
	slow.timers[n].wraps = 0;
	slow.timers[n].due = slow_equal(n) || (!(slow.timers[n].config & MODE32) && slow.timers[n].comparator < slow.counter);
}

static void slow_tick(void)
{
	int n;

	if (!slow.runs)
		return;
	slow.counter++;
	for (n = 0; n < 3; n++) {
		if (!slow.timers[n].armed || slow.timers[n].due)
			continue;
		if (slow_equal(n))
			slow.timers[n].due = true;
		else if (slow.timers[n].config & MODE32 && !(slow.timers[n].config & PERIODIC) && !(uint32_t)slow.counter)
			slow.timers[n].wraps++;
	}
}

static void slow_call(void)
{
	int n;

	for (n = 0; n < 3 && slow.runs; n++) {
		while (slow.timers[n].wraps) {
			slow.timers[n].wraps--;
			slow_match(n);
		}
		if (!slow.timers[n].due)
			continue;
		slow.timers[n].due = false;
		slow_match(n);
		if (!(slow.timers[n].config & PERIODIC)) {
			slow.timers[n].armed = false;
			continue;
		}
		do
			slow.timers[n].comparator += slow.timers[n].period;
		while (slow.timers[n].comparator <= slow.counter);
	}
}

static void slow_enable(bool on)
{
	int n;

	if (on == slow.runs)
		return;
	slow.runs = on;
	for (n = 0; n < 3; n++) {
		if (slow.status >> n & 1)
			slow_line(n, on && slow.timers[n].config & ENABLED);
		if (on)
			slow_arm(n);
		else
			slow.timers[n].due = false;
	}
}

#endif /* SELFTESTS_DEVICES_HPET_H */
