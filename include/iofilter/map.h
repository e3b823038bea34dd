/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A counter or a constant at an address where the VMM has no device. Its clock is exact, for nobody else answers there: the host's
 * CLOCK_MONOTONIC, which it may be stopped against.
 *
 * Here: the state, and the readers, which run on all vCPUs at once and take no lock. mapctl.h: the one writer, in userspace.
 *
 * What a read needs stands in one of two sets; @seq says in which. A change is written into the other one, and the step of @seq is
 * the change, for all vCPUs at once. A reader whose @seq has stepped meanwhile begins anew.
 *
 * That is not enough where the counter must go on from where it was. A reader has its time from before the change, and may be
 * answered after the writer has read the clock: of a counter that is stopped, it would be ahead. So writer and readers agree on the
 * last moment of the old set. The writer first announces the change (@seq is odd), and from then on readers raise @gate to their time
 * before they answer. Then it closes @gate at the highest of these and its own; the new set begins at that moment. Between the two
 * the counter stands, even if the writer is killed there.
 *
 * A constant is a counter that stands.
 */
#ifndef IOFILTER_MAP_H
#define IOFILTER_MAP_H

#include <iofilter/clock.h>

#define IOFILTER_MAP_VERSION 1

#define MAP_LEN_MAX  8	/* bytes of a region */
#define MAP_SETS     2
#define MAP_TRIES    64 /* each lost to a change of userspace's; then the VMM answers, who has nothing there */
#define MAP_WATCHERS 8	/* descriptors that wait for the alarm */
#define MAP_MMIO_MIN 0x10000 /* addresses below are ports: an address alone says which */

/* So that neither ticks nor times overflow: a clock of 146 years, and num * den below 2^63. */
#define MAP_FREQ_MAX	4000000000ULL
#define MAP_DIVIDER_MAX 1000000000000000000ULL
#define MAP_RATE_MAX	((1ULL << 63) - 1)

enum iofilter_map_kind {
	IOFILTER_MAP_COUNTER = 1,
	IOFILTER_MAP_CONST,
};

enum iofilter_map_alarm {
	IOFILTER_MAP_ALARM_OFF,
	IOFILTER_MAP_ALARM_ONCE,     /* the first time that the counter comes to the compare value */
	IOFILTER_MAP_ALARM_PERIODIC, /* each time */
};

/* What the counter is, from one change to the next. */
struct map_set {
	__u64 at;	/* CLOCK_MONOTONIC, ns. At that moment .. */
	__u64 value;	/* .. it shows this, and .. */
	__u64 frac;	/* .. so much of the next tick is over, in 1 / den */
	__u64 num, den; /* ticks per ns */
	__u64 mask;	/* of the width */
	__u64 reload;	/* counts modulo this; 0: modulo 2^width */
	__u32 running;
	__u32 width;	/* bits */

	/* Of no use to the program. */
	__u64 compare;
	__u64 expired; /* alarms up to @at, since the map is there */
	__u32 alarm;   /* enum iofilter_map_alarm */
	__u32 armed;   /* ONCE: it has not come yet */
	__u64 pad[5];
};

_Static_assert(sizeof(struct map_set) == 128, "what a read needs is one cache line of two");

/* A timerfd that is armed for the alarm, so that whoever changes the counter can have its owner look. */
struct map_watcher {
	__u64 who;     /* process << 32 | descriptor; 0: none */
	__u64 started; /* when that process was, in clock ticks since boot (proc(5)): a pid alone may be another one's by now */
};

struct map_vcpu {
	__u64 answered;
	__u64 pad[7];
};

struct iofilter_map {
	struct iofilter_head head;
	/* Fixed before the attach. */
	__u64 addr;
	__u32 len;
	__u32 bus;  /* enum kvm_iofilter_bus */
	__u32 kind; /* enum iofilter_map_kind */
	__u32 pad;
	__u64 verdicts[16]; /* by enum iofilter_verdict; [IOFILTER_ANSWERED]: to vCPUs beyond the table */
	struct map_watcher watchers[MAP_WATCHERS];
	__u32 writer __attribute__((aligned(64))); /* pid of who changes it at this moment; a try-lock */
	__u32 pad2;

	__u64 seq __attribute__((aligned(64))); /* changes * 2; + 1: one is announced. The set is that of the changes' parity */
	__u64 gate; /* an announced change: time << 1, and 1: it is closed */
	struct map_set sets[MAP_SETS] __attribute__((aligned(64)));
	struct map_vcpu vcpus[IOFILTER_MAX_VCPUS] __attribute__((aligned(64)));
};

_Static_assert(IOFILTER_NR_VERDICTS <= 16, "a counter for each verdict");

/*
 * Ticks of @ns at @num in @den ns, exactly: *@frac is the part of a tick, in 1 / den, before and after. For ns below 2^62 and a num and
 * den within the limits above.
 */
static inline __u64 map_ticks(__u64 ns, __u64 num, __u64 den, __u64 *frac)
{
	__u64 rest = ns % den * num + *frac;

	*frac = rest % den;
	return ns / den * num + rest / den;
}

/* @ticks after @value. */
static inline __u64 map_count(__u64 value, __u64 ticks, __u64 mask, __u64 reload)
{
	if (!reload)
		return (value + ticks) & mask;
	/* The sum may not fit into 64 bits. */
	ticks %= reload;
	return value >= reload - ticks ? value - (reload - ticks) : value + ticks;
}

static inline const struct map_set *map_set_of(const struct iofilter_map *m, __u64 seq)
{
	return &m->sets[seq / 2 % MAP_SETS];
}

/*
 * A change is announced: agree with its writer that the old set counts until *@t at least, or learn until when it did.
 *
 * Return: 0, or -1: begin anew.
 */
static inline int map_agree(struct iofilter_map *m, __u64 seq, __u64 *t)
{
	__u64 gate = iofilter_load(m->gate);

	iofilter_barrier();
	/* Else it may be the gate of the next change. That of this one never has the same value again. */
	if (IOFILTER_CLAUSE(MAP_GATE_SEQ) && iofilter_load(m->seq) != seq)
		return -1;
	if (gate & 1) {
		*t = gate >> 1;
		return 0;
	}
	if (!IOFILTER_CLAUSE(MAP_RAISE) || *t <= gate >> 1)
		return 0;
	return __sync_val_compare_and_swap(&m->gate, gate, *t << 1) == gate ? 0 : -1;
}

/* Are what was read of the set of @seq, and the time *@t, good for an answer? Return: 0, or -1: begin anew. */
static inline int map_settled(struct iofilter_map *m, __u64 seq, __u64 at, __u64 *t)
{
	iofilter_barrier();
	if (IOFILTER_CLAUSE(MAP_SEQ) && iofilter_load(m->seq) != seq)
		return -1;
	/* Of this read the counter was set only later. */
	if (IOFILTER_CLAUSE(MAP_AT) && *t < at)
		*t = at;
	return IOFILTER_CLAUSE(MAP_GATE) && seq & 1 ? map_agree(m, seq, t) : 0;
}

/* The word at @now, taken on entry before anything else was looked at. Return: 0, or -1: lost to a change, try again. */
static inline int map_value(struct iofilter_map *m, __u64 now, __u64 *val)
{
	__u64 seq = iofilter_load(m->seq), at, value, frac, num, den, mask, reload;
	const struct map_set *s = map_set_of(m, seq);
	__u32 running;

	iofilter_barrier();
	at = iofilter_load(s->at);
	value = iofilter_load(s->value);
	frac = iofilter_load(s->frac);
	num = iofilter_load(s->num);
	den = iofilter_load(s->den);
	mask = iofilter_load(s->mask);
	reload = iofilter_load(s->reload);
	running = iofilter_load(s->running);
	if (map_settled(m, seq, at, &now))
		return -1;
	*val = running ? map_count(value, map_ticks(now - at, num, den, &frac), mask, reload) : value;
	return 0;
}

#endif /* IOFILTER_MAP_H */
