/* SPDX-License-Identifier: GPL-2.0 */
/* The tests of a map's alarm: when it comes, against the host's clock, and what a restore leaves of it. */
#ifndef SELFTESTS_VM_MAP_ALARM_H
#define SELFTESTS_VM_MAP_ALARM_H

#include <poll.h>
#include <iofilter/mapctl.h>
#include "map.h"

static int by_size(const void *a, const void *b)
{
	__s64 x = *(const __s64 *)a, y = *(const __s64 *)b;

	return x < y ? -1 : x > y;
}

/* Ten thousand periods, while a vCPU reads the counter: when each comes, against the clock, and that none is lost. */
static void alarms(void)
{
	const __u64 f = 3579545, n = 3579, wanted = 10000;
	struct iofilter_map_opts m = counter_at(MMIO, 8, f);
	__u64 total = 0, wakes = 0, coalesced = 0, got, at, t0, t1, low, high;
	__s64 *late = calloc(wanted + 1, sizeof(*late));
	const struct iofilter_map *state;
	struct iofilter_info info;
	struct iofilter *filter;
	struct pollfd p;

	setup(1, 0);
	m.fields |= IOFILTER_MAP_RELOAD | IOFILTER_MAP_ALARM | IOFILTER_MAP_VALUE | IOFILTER_MAP_RUN;
	m.reload = n;
	m.alarm = IOFILTER_MAP_ALARM_PERIODIC;
	m.run = 0;
	filter = map(m);
	p = (struct pollfd){ .fd = iofilter_alarm_fd(filter), .events = POLLIN };
	TEST_ASSERT(p.fd >= 0, "%s", iofilter_error());
	newest = back = reads = stop = 0;
	vmm_start(vmm, 0, guest_monotone, MMIO);
	m.fields = IOFILTER_MAP_RUN;
	m.run = 1;
	TEST_EQ(iofilter_map(filter, &m), 0);
	state = iofilter_state(filter);
	at = state->sets[state->seq / 2 % MAP_SETS].at;
	while (total < wanted) {
		TEST_ASSERT(poll(&p, 1, 5000) == 1, "no alarm after %llu", total);
		t0 = now_ns();
		TEST_EQ(iofilter_alarm_read(filter, &got), 0);
		if (got)
			late[wakes++] = t0 - (at + (__u64)((u128)(total + 1) * n * 1000000000 / f) + 1);
		coalesced += got ? got - 1 : 0;
		total += got;
	}
	stop = 1;
	vmm_join(vmm, 0);
	t0 = now_ns();
	TEST_EQ(iofilter_alarm_read(filter, &got), 0);
	t1 = now_ns();
	total += got;
	low = (u128)(t0 - at) * f / 1000000000 / n;
	high = (u128)(t1 - at) * f / 1000000000 / n;
	TEST_ASSERT(total >= low && total <= high, "wanted %llu to %llu alarms, got %llu", low, high, total);
	qsort(late, wakes, sizeof(*late), by_size);
	printf("   %llu alarms, one in %llu ns: %llu wakes, %llu coalesced; late by %lld, %lld, %lld us (min, median, max); %lu reads meanwhile\n",
	       total, n * 1000000000 / f, wakes, coalesced, late[0] / 1000, late[wakes / 2] / 1000, late[wakes - 1] / 1000, reads);
	TEST_ASSERT(late[0] >= -1, "%lld ns early", -late[0]);
	TEST_EQ(iofilter_info_get(filter, &info), 0);
	TEST_ASSERT(info.alarms >= total && info.alarm == IOFILTER_MAP_ALARM_PERIODIC, "status tells %llu of %llu", info.alarms, total);
	free(late);
	iofilter_close(filter);
	vmm_free(vmm);
}

static void set_running(struct iofilter *filter, __u32 run)
{
	struct iofilter_map_opts m = { .size = sizeof(m), .fields = IOFILTER_MAP_RUN, .run = run };

	TEST_EQ(iofilter_map(filter, &m), 0);
}

static struct map_set set_of(struct iofilter *filter)
{
	return mapctl_set(iofilter_state(filter));
}

/* @filter stands at @v, nothing has come; once it runs, what is left of the 1.5 s is left. */
static void comes_in_time(struct iofilter *filter, __u64 v)
{
	struct pollfd p = { .fd = iofilter_alarm_fd(filter), .events = POLLIN };
	__u64 got, due, now;

	TEST_EQ(iofilter_alarm_read(filter, &got), 0);
	TEST_EQ(got, 0);
	TEST_EQ(set_of(filter).value, v);
	TEST_EQ(poll(&p, 1, 200), 0);
	set_running(filter, 1);
	due = set_of(filter).at + (1500000 - v) * 1000;
	do {
		TEST_EQ(poll(&p, 1, 5000), 1);
		now = now_ns();
		TEST_EQ(iofilter_alarm_read(filter, &got), 0);
	} while (!got);
	printf("   %llu us were left, it came %lld us late\n", 1500000 - v, (__s64)(now - due) / 1000);
	TEST_EQ(got, 1);
	TEST_ASSERT(now >= due && now - due < 500000000, "wanted it at %llu, not at %llu", due, now);
}

/* A restore, also into a new map, keeps the time that is left, and tells nothing of alarms from before the save. */
static void alarm_restored(void)
{
	struct iofilter_map_opts m = counter_at(MMIO, 8, 1000000);
	struct iofilter *filter;
	struct pollfd p;
	__u64 got, v;
	size_t size;
	void *data;

	setup(1, 0);
	m.fields |= IOFILTER_MAP_RELOAD | IOFILTER_MAP_COMPARE | IOFILTER_MAP_ALARM | IOFILTER_MAP_VALUE;
	m.reload = 1000000;
	m.compare = 500000;
	m.alarm = IOFILTER_MAP_ALARM_PERIODIC;
	filter = map(m);
	p = (struct pollfd){ .fd = iofilter_alarm_fd(filter), .events = POLLIN };
	TEST_EQ(poll(&p, 1, 5000), 1);
	TEST_EQ(iofilter_alarm_read(filter, &got), 0);
	TEST_EQ(got, 1);
	set_running(filter, 0);
	v = set_of(filter).value;
	TEST_ASSERT(v >= 500000, "it stands at %llu", v);
	TEST_EQ(iofilter_save(filter, &data, &size), 0);
	/* In the one that is saved time goes on, and alarms come. */
	set_running(filter, 1);
	usleep(1100000);
	TEST_EQ(iofilter_alarm_read(filter, &got), 0);
	TEST_EQ(got, 1);
	TEST_EQ(iofilter_restore(filter, data, size, 0), 0);
	comes_in_time(filter, v);
	iofilter_close(filter);
	filter = map(m);
	set_running(filter, 0);
	TEST_ASSERT(iofilter_alarm_fd(filter) >= 0, "%s", iofilter_error());
	TEST_EQ(iofilter_restore(filter, data, size, 0), 0);
	comes_in_time(filter, v);
	iofilter_close(filter);
	free(data);
	vmm_free(vmm);
}

#endif /* SELFTESTS_VM_MAP_ALARM_H */
