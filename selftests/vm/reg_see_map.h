/* SPDX-License-Identifier: GPL-2.0 */
/* The same of a map: a counter of 1 MHz. Of its alarm no guest knows; who waits for it sees it. */
#ifndef SELFTESTS_VM_REG_SEE_MAP_H
#define SELFTESTS_VM_REG_SEE_MAP_H

#include <poll.h>
#include <iofilter/map.h>
#include "reg_guest.h"

#define MAP_ADDR (HPET_BASE + HPET_LEN)

static struct iofilter_map_opts map_counter = {
	.size = sizeof(map_counter),
	.range = { .addr = MAP_ADDR, .len = 8, .bus = KVM_IOFILTER_MMIO },
	.kind = IOFILTER_MAP_COUNTER,
	.fields = IOFILTER_MAP_FREQ | IOFILTER_MAP_RUN,
	.freq = 1000000,
};

/* It stands at 0, and nothing limits what it may be set to. */
static void prepare_map(struct dev *d)
{
	static const struct setting rest[] = {
		{ "set.running", 0 }, { "set.width", 64 }, { "set.reload", 0 }, { "set.value", 0 },
		{ "set.compare", 0 }, { "set.alarm", 0 }, { "set.armed", 0 },
	};

	set_several(d, rest, ARRAY_SIZE(rest), 0);
}

static struct access read_map(struct dev *d)
{
	return one(d, (struct access){ .addr = MAP_ADDR, .len = 8 });
}

static void see_map_value(struct dev *d, __u32 e)
{
	static const __u64 values[] = { ~0ULL, 0x123456789abcdef0, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		set_at(d, "set.value", e, values[i]);
		want("a counter that stands", read_map(d), true, values[i]);
	}
}

static void see_map_width(struct dev *d, __u32 e)
{
	set_at(d, "set.value", e, ~0ULL);
	for (int width = 64; width > 0; width--) {
		set_at(d, "set.width", e, width);
		want("all bits", read_map(d), true, ~0ULL >> (64 - width));
	}
}

static void see_map_reload(struct dev *d, __u32 e)
{
	for (__u64 n = 1000; n >= 2; n /= 3) {
		set_at(d, "set.reload", e, 0);
		set_at(d, "set.value", e, 123456);
		set_at(d, "set.reload", e, n);
		want("a counter that counts modulo so much", read_map(d), true, 123456 % n);
	}
}

static void see_map_running(struct dev *d, __u32 e)
{
	struct access first, second;

	set_at(d, "set.running", e, 1);
	first = read_map(d);
	usleep(1000);
	second = read_map(d);
	TEST_ASSERT(first.answered && second.answered && second.val >= first.val + 1000, "%llu, then %llu", first.val, second.val);
	set_at(d, "set.running", e, 0);
	first = read_map(d);
	usleep(1000);
	want("it stands", read_map(d), true, first.val);
}

/* How many alarms come in @ms. */
static __u64 alarms_in(struct dev *d, int ms)
{
	struct pollfd p = { .fd = iofilter_alarm_fd(d->f), .events = POLLIN };
	__u64 end = now_ns() + ms * 1000000ULL, now, got, total = 0;

	TEST_ASSERT(p.fd >= 0, "%s", iofilter_error());
	while ((now = now_ns()) < end) {
		if (poll(&p, 1, (end - now) / 1000000 + 1) != 1)
			continue;
		TEST_EQ(iofilter_alarm_read(d->f, &got), 0);
		total += got;
	}
	return total;
}

static void set_alarm(struct dev *d, __u64 compare, __u32 alarm, __u32 armed)
{
	__u64 before;

	prepare_map(d);
	set_at(d, "set.compare", 0, compare);
	set_at(d, "set.alarm", 0, alarm);
	set_at(d, "set.armed", 0, armed);
	/* From here on: none that came before, and all that come as soon as it runs. */
	TEST_ASSERT(iofilter_alarm_fd(d->f) >= 0, "%s", iofilter_error());
	TEST_EQ(iofilter_alarm_read(d->f, &before), 0);
	set_at(d, "set.running", 0, 1);
}

/* After 5 ms, or an hour. */
static void see_map_compare(struct dev *d, __u32 e)
{
	(void)e;
	set_alarm(d, 5000, IOFILTER_MAP_ALARM_ONCE, 1);
	TEST_EQ(alarms_in(d, 500), 1);
	set_alarm(d, 3600000000, IOFILTER_MAP_ALARM_ONCE, 1);
	TEST_EQ(alarms_in(d, 50), 0);
}

static void see_map_alarm(struct dev *d, __u32 e)
{
	set_alarm(d, 5000, 0, 1);
	TEST_EQ(alarms_in(d, 50), 0);
	set_alarm(d, 5000, IOFILTER_MAP_ALARM_PERIODIC, 0);
	set_at(d, "set.reload", e, 10000);
	TEST_ASSERT(alarms_in(d, 500) >= 40, "fewer than one each 10 ms");
}

static void see_map_armed(struct dev *d, __u32 e)
{
	set_alarm(d, 5000, IOFILTER_MAP_ALARM_ONCE, 0);
	TEST_EQ(alarms_in(d, 50), 0);
	set_at(d, "set.value", e, 0);
	set_at(d, "set.armed", e, 1);
	TEST_EQ(alarms_in(d, 500), 1);
}

#endif /* SELFTESTS_VM_REG_SEE_MAP_H */
