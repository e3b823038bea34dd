// SPDX-License-Identifier: GPL-2.0
/* iofilter map ADDRESS wait: the alarm of a map that is there, whoever has placed it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <iofilter/map.h>
#include "cli.h"

static __u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

int alarm_print(const struct iofilter *f, pid_t pid, __u64 alarms, bool json)
{
	struct json_object *o;

	if (!json) {
		printf("%s: alarm of VM %d: %llu\n", iofilter_device(f), pid, (unsigned long long)alarms);
		return out_flush();
	}
	o = json_object_new_object();
	json_object_object_add(o, "event", json_object_new_string("alarm"));
	json_object_object_add(o, "pid", json_object_new_int(pid));
	json_object_object_add(o, "device", json_object_new_string(iofilter_device(f)));
	json_add_u64(o, "alarms", alarms);
	return json_print(o);
}

/* Whether there is anything to wait for. @fd: the alarm's, which is armed already, so that none is missed between the two. */
static int check(const struct iofilter *f, const struct args *a, int fd)
{
	struct pollfd told = { .fd = fd, .events = POLLIN };
	const char *name = iofilter_device(f);
	struct iofilter_info i;

	if (iofilter_info_get(f, &i))
		return refuse();
	if (i.map != IOFILTER_MAP_COUNTER)
		return refuse_msg("%s of VM %d is a constant: only a counter has an alarm", name, a->pid);
	if (i.alarm == IOFILTER_MAP_ALARM_OFF)
		return refuse_msg("%s of VM %d has no alarm ('iofilter map --pid %d %s alarm' sets one)", name, a->pid, a->pid, name);
	/* One that stands may be started yet. */
	if (i.alarm == IOFILTER_MAP_ALARM_ONCE && i.running && !i.alarm_in && !poll(&told, 1, 0))
		return refuse_msg("the one alarm of %s of VM %d has come already ('iofilter map --pid %d %s alarm' arms it anew)", name, a->pid,
				  a->pid, name);
	return EXIT_OK;
}

/* "2 alarms of 3" */
static const char *so_far(const struct args *a, __u64 total)
{
	static char buf[64];
	int n = snprintf(buf, sizeof(buf), "%llu alarm%s", (unsigned long long)total, total == 1 ? "" : "s");

	if (a->count)
		snprintf(buf + n, sizeof(buf) - n, " of %llu", a->count);
	return buf;
}

static int wait_for(struct iofilter *f, const struct args *a, int signals)
{
	__u64 end = a->timeout ? now_ms() + a->timeout * 1000ULL : 0, now = 0, total = 0, n;
	struct pollfd fds[] = {
		{ .fd = iofilter_alarm_fd(f), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = iofilter_fd(f) },
	};

	if (fds[0].fd < 0)
		return refuse();
	if (check(f, a, fds[0].fd))
		return EXIT_REFUSED;
	for (;;) {
		now = now_ms();
		if (poll(fds, 3, !end ? -1 : end > now ? (int)(end - now) : 0) < 0 && errno != EINTR)
			return refuse_msg("poll: %s", strerror(errno));
		/* First of all: an alarm that has come is told, whatever else has happened. */
		if (iofilter_alarm_read(f, &n))
			return refuse();
		total += n;
		if (n && alarm_print(f, a->pid, n, a->json))
			return EXIT_REFUSED;
		if (a->count && total >= a->count)
			return EXIT_OK;
		if (fds[1].revents)
			return a->count ? refuse_msg("interrupted after %s", so_far(a, total)) : EXIT_OK;
		if (fds[2].revents)
			return refuse_msg("%s of VM %d is gone, after %s", iofilter_device(f), a->pid, so_far(a, total));
		if (end && now_ms() >= end)
			return refuse_msg("%s of VM %d: %s in %u s", iofilter_device(f), a->pid, so_far(a, total), a->timeout);
	}
}

int map_wait(const struct args *a, __u64 addr)
{
	char name[KVM_IOFILTER_NAME_LEN];
	int signals = block_signals(), err;
	struct iofilter *f;

	if (signals < 0)
		return refuse_msg("signalfd: %s", strerror(errno));
	iofilter_map_name(addr, name);
	err = iofilter_open(a->pid, name, &f);
	if (err)
		return err == -ENOENT ? map_none(addr, a->pid) : refuse();
	err = wait_for(f, a, signals);
	iofilter_close(f);
	return err;
}
