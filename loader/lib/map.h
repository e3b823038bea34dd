/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the files of the library that are about maps share. */
#ifndef LOADER_MAP_H
#define LOADER_MAP_H

#include <stdbool.h>
#include <iofilter/libiofilter.h>
#include <iofilter/map.h>

/* Is @v a value that the counter comes to? */
static inline bool map_shows(const struct map_set *s, __u64 v)
{
	return s->reload ? v < s->reload : v <= s->mask;
}

/* map_params.c */

/* The fixed part of a map, and the set of a counter that nobody has said anything of yet. Return: 0, or -EINVAL with the reason. */
int map_place(struct iofilter_map *m, const struct iofilter_map_opts *o);
/* What @c asks for, into @s, the set as it is at @s->at. Return: 0, or -EINVAL with the reason, and then @s means nothing. */
int map_apply(const struct iofilter_map *m, struct map_set *s, const struct iofilter_map_opts *c);

/* map_change.c */

/* The writer's lock. Return: 0, or -EBUSY with the reason. */
int map_lock(struct iofilter_map *m);
/* Take it from a process that is gone. */
void map_lock_break(struct iofilter_map *m);
/* With the lock, of a map at rest: readers are told that a change comes, and @s is the set at the moment until which the old one counts. */
void map_begin(struct iofilter_map *m, struct map_set *s);
/* Change @m as @c says, and wake who waits for its alarm. Return: 0, or -errno with the reason. */
int map_change(struct iofilter_map *m, const struct iofilter_map_opts *c);

/* map_alarm.c */

struct map_alarm {
	int fd;	    /* a timerfd; -1: not opened */
	__u64 seen; /* of all alarms since the attach, those that were told */
};

int map_alarm_open(struct iofilter_map *m, struct map_alarm *a);
int map_alarm_read(struct iofilter_map *m, struct map_alarm *a, __u64 *alarms);
void map_alarm_close(struct iofilter_map *m, struct map_alarm *a);
/* Have all that wait for the alarm look again. */
void map_alarm_kick(struct iofilter_map *m);

#endif /* LOADER_MAP_H */
