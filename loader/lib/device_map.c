// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The row of maps in the table of devices. */
#include <stdio.h>
#include <string.h>
#include <iofilter/mapctl.h>
#include "lib.h"
#include "map.h"

void iofilter_map_name(__u64 addr, char name[KVM_IOFILTER_NAME_LEN])
{
	/* 15 characters, and 13 digits at most. */
	snprintf(name, KVM_IOFILTER_NAME_LEN, addr >> 44 ? "m-%llx" : "map-%llx", (unsigned long long)(addr & ((1ULL << 52) - 1)));
}

int map_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_map *m = state;
	struct map_set s;
	int err;

	if (!o->map)
		return lib_fail(-EINVAL, "a map is nothing without a counter or a constant: 'iofilter map'");
	if (o->addr || o->width || o->bracket)
		return lib_fail(-EINVAL, "a map takes no port, width or timing but its own");
	err = map_place(m, o->map);
	if (err)
		return err;
	s = m->sets[0];
	s.at = lib_now();
	/* Until something else is asked for it counts CLOCK_MONOTONIC's ticks. */
	if (m->kind == IOFILTER_MAP_COUNTER && !(o->map->fields & IOFILTER_MAP_VALUE)) {
		struct iofilter_map_opts with = *o->map;

		if (!(with.fields & IOFILTER_MAP_OFFSET))
			with.offset = 0;
		with.fields |= IOFILTER_MAP_OFFSET;
		err = map_apply(m, &s, &with);
	} else {
		err = map_apply(m, &s, o->map);
	}
	if (err)
		return err;
	/* Nobody reads yet. */
	for (int i = 0; i < MAP_SETS; i++)
		m->sets[i] = s;
	ops->ranges[0] = o->map->range;
	iofilter_map_name(m->addr, ops->name);
	return 0;
}

void map_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_map *m = state;
	__u64 answered = iofilter_load(m->verdicts[IOFILTER_ANSWERED]), now, seq, next;
	struct map_set s;
	__u32 i;

	for (i = 0; i < IOFILTER_MAX_VCPUS; i++)
		answered += iofilter_load(m->vcpus[i].answered);
	verdicts_describe(m->verdicts, answered, info);
	/* Not mapctl_look(): status has the state to read only, and is no reader that the guest could compare with its own. */
	for (i = 0; i < MAP_TRIES; i++) {
		seq = iofilter_load(m->seq);
		iofilter_barrier();
		s = mapctl_set(m);
		iofilter_barrier();
		if (iofilter_load(m->seq) == seq)
			break;
	}
	now = lib_now();
	next = mapctl_next_alarm(&s, now);
	info->alarm_in = next == MAP_NEVER ? 0 : next - now;
	mapctl_advance(&s, now);
	info->addr = m->addr;
	info->map = m->kind;
	info->width = s.width;
	info->running = s.running;
	info->value = s.value;
	if (m->kind == IOFILTER_MAP_COUNTER) {
		info->freq = s.den == IOFILTER_NSEC_PER_SEC ? s.num : 0;
		info->divider = info->freq ? 0 : s.den;
	}
	info->reload = s.reload;
	info->compare = s.compare;
	info->alarm = s.alarm;
	info->alarms = s.expired;
}

bool map_clock(void *state, unsigned int i, struct clock_ref *ref)
{
	if (i)
		return false;
	*ref = (struct clock_ref){ .map = state };
	return true;
}
