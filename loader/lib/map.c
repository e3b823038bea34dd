// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Maps by handle, or by pid and address. */
#include <stdlib.h>
#include <string.h>
#include <iofilter/mapctl.h>
#include "lib.h"
#include "map.h"

/* The map that @f is. */
static struct iofilter_map *map_of(struct iofilter *f)
{
	struct iofilter_head *head = iofilter_state(f);

	if (head && !strcmp(head->device, "map"))
		return (struct iofilter_map *)head;
	lib_fail(-EINVAL, "%s is no map", iofilter_device(f));
	return NULL;
}

int iofilter_map(struct iofilter *f, const struct iofilter_map_opts *change)
{
	struct iofilter_map *m = map_of(f);

	return m ? map_change(m, change) : -EINVAL;
}

static int no_map(pid_t pid, __u64 addr)
{
	return lib_fail(-ENOENT, "no map begins at 0x%llx of VM %d ('iofilter status' shows what is there)", (unsigned long long)addr, pid);
}

int iofilter_map_set(pid_t pid, __u64 addr, const struct iofilter_map_opts *change)
{
	char name[KVM_IOFILTER_NAME_LEN];
	struct iofilter *f;
	int err;

	iofilter_map_name(addr, name);
	err = iofilter_open(pid, name, &f);
	if (err)
		return err == -ENOENT ? no_map(pid, addr) : err;
	err = iofilter_map(f, change);
	iofilter_close(f);
	return err;
}

int iofilter_unmap(pid_t pid, __u64 addr)
{
	char name[KVM_IOFILTER_NAME_LEN];
	int err;

	iofilter_map_name(addr, name);
	err = iofilter_detach(pid, name, 0);
	return err == -ENOENT ? no_map(pid, addr) : err;
}

/* Virtual time is CLOCK_MONOTONIC and @offset ns: what the counter shows then. */
static void owned(const struct map_set *s, __u64 virt, struct iofilter_map_opts *c)
{
	__u64 frac = 0;

	c->fields |= IOFILTER_MAP_VALUE;
	c->value = map_count(0, map_ticks(virt, s->num, s->den, &frac), s->mask, s->reload);
}

int map_clock_set(struct iofilter_map *m, enum iofilter_clock_op op, __s64 value)
{
	struct iofilter_map_opts c = { .size = sizeof(c), .fields = IOFILTER_MAP_RUN };
	struct map_set s = mapctl_set(m);

	if (m->kind != IOFILTER_MAP_COUNTER)
		return lib_fail(-EPERM, "a constant has no clock");
	switch (op) {
	case IOFILTER_CLOCK_STOP:
	case IOFILTER_CLOCK_START:
		c.run = op == IOFILTER_CLOCK_START;
		return s.running == c.run ? -EALREADY : map_change(m, &c);
	case IOFILTER_CLOCK_OWN_STOPPED:
		if (value < 0)
			return -EINVAL;
		owned(&s, value, &c);
		return map_change(m, &c);
	default:
		return lib_fail(-EPERM, "a map's clock is nobody else's: it is stopped, started, or set by 'iofilter map'");
	}
}

int iofilter_alarm_fd(struct iofilter *f)
{
	struct iofilter_map *m = map_of(f);

	if (!m)
		return -1;
	if (f->alarm)
		return f->alarm->fd;
	f->alarm = calloc(1, sizeof(*f->alarm));
	if (!f->alarm) {
		lib_fail(-ENOMEM, "out of memory");
		return -1;
	}
	if (!map_alarm_open(m, f->alarm))
		return f->alarm->fd;
	free(f->alarm);
	f->alarm = NULL;
	return -1;
}

int iofilter_alarm_read(struct iofilter *f, __u64 *alarms)
{
	*alarms = 0;
	if (!f->alarm)
		return lib_fail(-EBADF, "nobody has asked for %s's alarm: iofilter_alarm_fd()", iofilter_device(f));
	return map_alarm_read((struct iofilter_map *)iofilter_state(f), f->alarm, alarms);
}

void map_alarm_end(struct iofilter *f)
{
	if (!f->alarm)
		return;
	map_alarm_close((struct iofilter_map *)iofilter_state(f), f->alarm);
	free(f->alarm);
	f->alarm = NULL;
}
