// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* One struct iofilter_info for each filter: from its ops, its state and the module's counters. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "lib.h"

struct list {
	struct iofilter_info *infos;
	int n;
	pid_t pid;
	struct stats_row *rows;
	int nr_rows;
};

void info_from_state(struct iofilter_info *info, int state_fd)
{
	struct bpf_map_info map = {};
	const struct device *d;
	struct iofilter_head *head;
	__u32 len = sizeof(map);

	if (bpf_map_get_info_by_fd(state_fd, &map, &len) || map.value_size < sizeof(*head))
		return;
	head = mmap(NULL, map.value_size, PROT_READ, MAP_SHARED, state_fd, 0);
	if (head == MAP_FAILED)
		return;
	d = device_find(strndupa(head->device, sizeof(head->device) - 1));
	if (head->magic == IOFILTER_STATE_MAGIC) {
		info->attached_at = head->attached_at;
		if (d && head->version == d->version && head->size == d->state_size &&
		    map.value_size >= d->state_size) {
			info->has_state = 1;
			info->draining = head->drain;
			info->in_flight = head->in_flight;
			info->cut = head->cut;
			d->describe(head, info);
		}
	}
	munmap(head, map.value_size);
}

static void info_from_rows(struct iofilter_info *info, const struct list *l)
{
	for (int i = 0; i < l->nr_rows; i++) {
		if (l->rows[i].link_id != info->link_id)
			continue;
		for (__u32 j = 0; j < info->nr_ranges; j++) {
			if (l->rows[i].range.addr != info->ranges[j].addr ||
			    l->rows[i].range.bus != info->ranges[j].bus || l->rows[i].range.len != info->ranges[j].len)
				continue;
			info->stats[j] = l->rows[i].stats;
			info->has_stats = 1;
		}
	}
}

static struct iofilter_info *add(struct list *l)
{
	struct iofilter_info *more = realloc(l->infos, (l->n + 1) * sizeof(*more));

	if (!more) {
		lib_fail(-ENOMEM, "out of memory");
		return NULL;
	}
	l->infos = more;
	memset(&more[l->n], 0, sizeof(*more));
	return &more[l->n++];
}

static int add_found(const struct found *f, void *arg)
{
	struct list *l = arg;
	struct iofilter_info *info = add(l);

	if (!info)
		return -ENOMEM;
	info->pid = f->pid;
	info->link_id = f->link_id;
	memcpy(info->device, f->ops.name, sizeof(info->device));
	info->nr_ranges = f->ops.nr_ranges;
	memcpy(info->ranges, f->ops.ranges, sizeof(info->ranges));
	if (f->state_fd >= 0)
		info_from_state(info, f->state_fd);
	info_from_rows(info, l);
	return 0;
}

static int add_dead(pid_t pid, const char *device, int state_fd, void *arg)
{
	struct list *l = arg;
	struct iofilter_info *info;
	struct iofilter_vm vm;

	if (l->pid && l->pid != pid)
		return 0;
	info = add(l);
	if (!info)
		return -ENOMEM;
	info->pid = pid;
	strncpy(info->device, device, sizeof(info->device) - 1);
	info->end = iofilter_vm_get(pid, &vm) ? IOFILTER_VM_ENDED : IOFILTER_DETACHED;
	if (state_fd >= 0)
		info_from_state(info, state_fd);
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct iofilter_info *x = a, *y = b;

	return x->pid != y->pid ? (x->pid < y->pid ? -1 : 1) : strncmp(x->device, y->device, sizeof(x->device));
}

int iofilter_list(pid_t pid, struct iofilter_info **infos)
{
	struct list l = { .pid = pid };
	int err;

	l.nr_rows = stats_read(&l.rows);
	err = find_each(pid, add_found, &l);
	if (!err)
		err = pin_each_dead(add_dead, &l);
	free(l.rows);
	if (err) {
		free(l.infos);
		return err;
	}
	if (l.n)
		qsort(l.infos, l.n, sizeof(*l.infos), by_pid);
	*infos = l.infos;
	return l.n;
}
