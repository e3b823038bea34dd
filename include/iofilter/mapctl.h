/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A mapped counter from userspace, through the mapping of its state: how it is changed in one step, and when its alarm comes. Not
 * for BPF.
 *
 * The guest cannot change the counter, so the clock alone tells when it comes to its compare value: the alarms up to a moment are a
 * function of the set and that moment. Nothing need be there at that moment to count them, and none is lost by who looks later.
 */
#ifndef IOFILTER_MAPCTL_H
#define IOFILTER_MAPCTL_H

#include <errno.h>
#include <iofilter/map.h>

typedef unsigned __int128 map_u128;

#define MAP_NEVER (1ULL << 62) /* a time that no clock comes to */

/*
 * The writer's lock, by pid. Return: 0, or the pid of who has it.
 */
static inline __u32 mapctl_lock(struct iofilter_map *m, __u32 pid)
{
	return __sync_val_compare_and_swap(&m->writer, 0, pid);
}

static inline void mapctl_unlock(struct iofilter_map *m)
{
	__sync_lock_test_and_set(&m->writer, 0);
}

/* The set that counts. Under the lock, or to be read again if @m->seq has stepped. */
static inline struct map_set mapctl_set(const struct iofilter_map *m)
{
	return *map_set_of(m, iofilter_load(m->seq));
}

/* Begin a change at @now. From here on readers raise the gate. */
static inline void mapctl_announce(struct iofilter_map *m, __u64 now)
{
	__u64 gate = m->gate >> 1;

	/* Higher than that of any change before, so that none has the same value twice. */
	gate = iofilter_max(gate + 1, iofilter_max(now, map_set_of(m, m->seq)->at));
	iofilter_store(m->gate, gate << 1);
	/* A full barrier: who does not see it was answered for a time before the next look at the clock. */
	__sync_fetch_and_add(&m->seq, 1);
}

/*
 * Until when the old set counts. @now must have been read after the announcement. Return: that time, which nobody raises any more.
 */
static inline __u64 mapctl_close(struct iofilter_map *m, __u64 now)
{
	__u64 gate, end;

	do {
		gate = iofilter_load(m->gate);
		if (gate & 1)
			return gate >> 1;
		end = iofilter_max(gate >> 1, now);
	} while (__sync_val_compare_and_swap(&m->gate, gate, end << 1 | 1) != gate);
	return end;
}

/* The change itself. */
static inline void mapctl_publish(struct iofilter_map *m, const struct map_set *s)
{
	struct map_set *to = &m->sets[(m->seq / 2 + 1) % MAP_SETS];
	const __u64 *from = (const __u64 *)s;
	__u32 i;

	/* Whoever still reads there finds that seq has stepped. */
	for (i = 0; i < sizeof(*s) / sizeof(*from); i++)
		iofilter_store(((__u64 *)to)[i], from[i]);
	__sync_fetch_and_add(&m->seq, 1);
}

/* Ticks after which the alarm comes for the first time, counted from @s->at: 1 .. the period. */
static inline map_u128 mapctl_first(const struct map_set *s, map_u128 *period)
{
	map_u128 first;

	*period = s->reload ? s->reload : (map_u128)s->mask + 1;
	first = (s->compare + *period - s->value) % *period;
	return first ? first : *period;
}

static inline __u64 mapctl_ticks(const struct map_set *s, __u64 t)
{
	__u64 frac = s->frac;

	return s->running && t > s->at ? map_ticks(t - s->at, s->num, s->den, &frac) : 0;
}

/* Alarms in (@s->at, @t]. */
static inline __u64 mapctl_alarms(const struct map_set *s, __u64 t)
{
	map_u128 period, first = mapctl_first(s, &period);
	__u64 ticks = mapctl_ticks(s, t);

	if (s->alarm == IOFILTER_MAP_ALARM_OFF || ticks < first)
		return 0;
	if (s->alarm == IOFILTER_MAP_ALARM_ONCE)
		return s->armed;
	return 1 + (ticks - first) / period;
}

/* The first ns after @t at which an alarm comes, by CLOCK_MONOTONIC; MAP_NEVER: none does. */
static inline __u64 mapctl_next_alarm(const struct map_set *s, __u64 t)
{
	map_u128 period, ticks = mapctl_first(s, &period), ns;
	__u64 n = mapctl_alarms(s, t);

	if (s->alarm == IOFILTER_MAP_ALARM_OFF || !s->running || (s->alarm == IOFILTER_MAP_ALARM_ONCE && (!s->armed || n)))
		return MAP_NEVER;
	/* Beyond what a clock counts; and the product below fits. */
	ticks += n * period;
	if (ticks >> 64)
		return MAP_NEVER;
	ns = (ticks * s->den - s->frac + s->num - 1) / s->num;
	return ns < MAP_NEVER - s->at ? s->at + (__u64)ns : MAP_NEVER;
}

/* The same counter, described from @t on. */
static inline void mapctl_advance(struct map_set *s, __u64 t)
{
	__u64 n = mapctl_alarms(s, t);

	s->expired += n;
	if (s->alarm == IOFILTER_MAP_ALARM_ONCE && n)
		s->armed = 0;
	if (s->running && t > s->at)
		s->value = map_count(s->value, map_ticks(t - s->at, s->num, s->den, &s->frac), s->mask, s->reload);
	s->at = iofilter_max(s->at, t);
}

/* A writer that was killed has left its change announced: the counter goes on as if there had been none. Under the lock. */
static inline void mapctl_repair(struct iofilter_map *m, __u64 now)
{
	struct map_set s;

	if (!(m->seq & 1))
		return;
	s = mapctl_set(m);
	mapctl_advance(&s, mapctl_close(m, now));
	mapctl_publish(m, &s);
}

/*
 * A copy of the set that counts at *@t, a time not before now, as the readers of the guest have it. Return: 0, or -EAGAIN: userspace
 * changes it all the time.
 */
static inline int mapctl_look(struct iofilter_map *m, struct map_set *s, __u64 *t)
{
	__u64 seq;
	int i;

	for (i = 0; i < MAP_TRIES; i++) {
		seq = iofilter_load(m->seq);
		iofilter_barrier();
		*s = *map_set_of(m, seq);
		if (!map_settled(m, seq, s->at, t))
			return 0;
	}
	return -EAGAIN;
}

#endif /* IOFILTER_MAPCTL_H */
