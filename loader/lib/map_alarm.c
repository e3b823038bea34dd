// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A map's alarm as a descriptor: a timerfd that is armed for the next time at which the counter comes to its compare value. When
 * somebody else changes the counter, that time is another. So timerfds stand in the map's state, by process and number, and whoever
 * has changed it fetches them, as a VM's descriptor is fetched, and has them expire at once; their owners then look again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <iofilter/mapctl.h>
#include "lib.h"
#include "map.h"

/* Field 22 of /proc/PID/stat; 0: no such process. The name, field 2, may have anything in it but ends with the last ')'. */
static __u64 started(pid_t pid)
{
	unsigned long long start = 0;
	char path[32], buf[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	close_fd(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &start) != 1)
		return 0;
	return start;
}

static int settime(int fd, __u64 at)
{
	struct itimerspec t = {
		.it_value = { .tv_sec = at / IOFILTER_NSEC_PER_SEC, .tv_nsec = at % IOFILTER_NSEC_PER_SEC },
	};

	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void expire_now(int fd)
{
	settime(fd, 1);
}

/*
 * Is the process @pid that was started at @since there no more? Not if that cannot be told. Else @pidfd is a descriptor of it, or -1; a pid that is
 * looked at after that is this one's.
 */
static bool is_gone(pid_t pid, __u64 since, int *pidfd)
{
	__u64 start;

	*pidfd = pidfd_open(pid, 0);
	if (*pidfd < 0)
		return errno == ESRCH;
	start = started(pid);
	if (!start || start == since)
		return false;
	close(*pidfd);
	return true;
}

static void kick(struct map_watcher *w)
{
	__u64 who = iofilter_load(w->who), since = iofilter_load(w->started);
	int pidfd, fd;

	if (!who)
		return;
	if (is_gone(who >> 32, since, &pidfd)) {
		__sync_val_compare_and_swap(&w->who, who, 0);
		return;
	}
	/* A copy, of our own too: another thread may be closing it. */
	if ((pid_t)(who >> 32) == getpid())
		fd = fcntl((int)who, F_DUPFD_CLOEXEC, 0);
	else
		fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, (int)who, 0);
	if (fd >= 0 && iofilter_load(w->who) == who)
		expire_now(fd);
	close_fd(fd);
	close_fd(pidfd);
}

void map_alarm_kick(struct iofilter_map *m)
{
	for (int i = 0; i < MAP_WATCHERS; i++)
		kick(&m->watchers[i]);
}

/* For the next alarm that has not been told. */
static int arm(struct iofilter_map *m, struct map_alarm *a, __u64 *alarms)
{
	__u64 t, next, seq, all;
	struct map_set s;

	do {
		seq = iofilter_load(m->seq);
		/* Of a writer that is gone, who would leave the counter, and with it the next alarm, where it was. */
		if (seq & 1 && !map_lock(m)) {
			mapctl_repair(m, lib_now());
			mapctl_unlock(m);
			seq = iofilter_load(m->seq);
		}
		t = lib_now();
		if (mapctl_look(m, &s, &t))
			return lib_fail(-EAGAIN, "the counter is changed all the time");
		all = s.expired + mapctl_alarms(&s, t);
		*alarms = all > a->seen ? all - a->seen : 0;
		next = mapctl_next_alarm(&s, t);
		if (settime(a->fd, next == MAP_NEVER ? 0 : next))
			return lib_fail(-errno, "timerfd: %s", strerror(errno));
		/* A change since: it may have kicked before this was armed. */
	} while (iofilter_load(m->seq) >> 1 != seq >> 1);
	a->seen = all;
	return 0;
}

static bool enter(struct iofilter_map *m, __u64 who)
{
	struct map_watcher *w;
	int pidfd;

	for (int i = 0; i < MAP_WATCHERS; i++) {
		w = &m->watchers[i];
		if (w->who && !is_gone(w->who >> 32, w->started, &pidfd)) {
			close_fd(pidfd);
			continue;
		}
		w->who = 0;
		w->started = started(getpid());
		iofilter_barrier();
		iofilter_store(w->who, who);
		return true;
	}
	return false;
}

int map_alarm_open(struct iofilter_map *m, struct map_alarm *a)
{
	__u64 before;
	int err = 0;

	a->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (a->fd < 0)
		return lib_fail(-errno, "timerfd: %s", strerror(errno));
	err = map_lock(m);
	if (!err) {
		if (!enter(m, (__u64)getpid() << 32 | (__u32)a->fd))
			err = lib_fail(-EBUSY, "%d processes wait for this alarm already", MAP_WATCHERS);
		mapctl_unlock(m);
	}
	/* What has come before is not told. */
	if (!err)
		err = arm(m, a, &before);
	if (err)
		map_alarm_close(m, a);
	return err;
}

int map_alarm_read(struct iofilter_map *m, struct map_alarm *a, __u64 *alarms)
{
	__u64 expired;

	/* Only so that it is not readable any more: what it counts is not the alarms. */
	if (read(a->fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		return lib_fail(-errno, "timerfd: %s", strerror(errno));
	return arm(m, a, alarms);
}

void map_alarm_close(struct iofilter_map *m, struct map_alarm *a)
{
	__u64 who = (__u64)getpid() << 32 | (__u32)a->fd;

	if (a->fd < 0)
		return;
	for (int i = 0; i < MAP_WATCHERS; i++)
		__sync_val_compare_and_swap(&m->watchers[i].who, who, 0);
	close(a->fd);
	a->fd = -1;
}
