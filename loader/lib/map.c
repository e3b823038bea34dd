// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Maps by handle, or by pid and address. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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
	struct iofilter_map *m;
	struct found f;
	int err;

	iofilter_map_name(addr, name);
	err = find_one(pid, name, &f);
	if (err <= 0)
		return err ?: no_map(pid, addr);
	m = f.state_fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED, f.state_fd, 0);
	find_release(&f);
	if (m == MAP_FAILED)
		return lib_fail(-ENOMEM, "the state of %s cannot be mapped", name);
	if (m->head.magic != IOFILTER_STATE_MAGIC || m->head.version != IOFILTER_MAP_VERSION || m->head.size != sizeof(*m))
		err = lib_fail(-EPROTO, "%s of VM %d was built with another layout of its state", name, pid);
	else
		err = map_change(m, change);
	munmap(m, sizeof(*m));
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
	struct map_alarm **a = attach_alarm(f);
	struct iofilter_map *m = map_of(f);

	if (!m)
		return -1;
	if (*a)
		return (*a)->fd;
	*a = calloc(1, sizeof(**a));
	if (!*a) {
		lib_fail(-ENOMEM, "out of memory");
		return -1;
	}
	if (!map_alarm_open(m, *a))
		return (*a)->fd;
	free(*a);
	*a = NULL;
	return -1;
}

int iofilter_alarm_read(struct iofilter *f, __u64 *alarms)
{
	struct map_alarm **a = attach_alarm(f);

	*alarms = 0;
	if (!*a)
		return lib_fail(-EBADF, "nobody has asked for %s's alarm: iofilter_alarm_fd()", iofilter_device(f));
	return map_alarm_read((struct iofilter_map *)iofilter_state(f), *a, alarms);
}

void map_alarm_end(struct iofilter *f)
{
	struct map_alarm **a = attach_alarm(f);

	if (!*a)
		return;
	map_alarm_close((struct iofilter_map *)iofilter_state(f), *a);
	free(*a);
	*a = NULL;
}
