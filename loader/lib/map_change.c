// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* One change of a map that the guest may be reading (iofilter/map.h says why it takes three steps). */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <iofilter/mapctl.h>
#include "lib.h"
#include "map.h"

/* A change takes microseconds. Who is gone in the middle of one leaves the counter standing, and the lock. In ms: */
#define WRITER_TRIES 1000
#define WRITER_GONE  100 /* a pid may be unknown here because its process is in another namespace: do not be hasty */

static bool is_gone(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	bool gone = fd < 0 && errno == ESRCH;

	close_fd(fd);
	return gone;
}

void map_lock_break(struct iofilter_map *m)
{
	__u32 owner = iofilter_load(m->writer);

	if (owner && is_gone(owner))
		__sync_val_compare_and_swap(&m->writer, owner, 0);
}

int map_lock(struct iofilter_map *m)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	__u32 owner, me = getpid();
	int i;

	for (i = 0; i < WRITER_TRIES; i++) {
		owner = mapctl_lock(m, me);
		if (!owner)
			return 0;
		if (i > WRITER_GONE)
			map_lock_break(m);
		nanosleep(&ms, NULL);
	}
	return lib_fail(-EBUSY, "process %u is changing this map and does not end", owner);
}

void map_begin(struct iofilter_map *m, struct map_set *s)
{
	*s = mapctl_set(m);
	mapctl_announce(m, lib_now());
	/* The kernel's clock and ours may differ by a few ns. */
	mapctl_advance(s, mapctl_close(m, lib_now() + IOFILTER_TOLERANCE_NS));
}

int map_change(struct iofilter_map *m, const struct iofilter_map_opts *c)
{
	struct lib_hurry h;
	struct map_set s;
	int err = map_lock(m);

	if (err)
		return err;
	mapctl_repair(m, lib_now());
	/* What is possible depends on no moment: see first, so that a refusal changes nothing. */
	s = mapctl_set(m);
	err = map_apply(m, &s, c);
	if (!err) {
		lib_hurry(&h);
		map_begin(m, &s);
		err = map_apply(m, &s, c);
		mapctl_publish(m, &s);
		lib_calm_down(&h);
	}
	mapctl_unlock(m);
	if (!err)
		map_alarm_kick(m);
	return err;
}
