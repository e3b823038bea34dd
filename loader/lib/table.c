// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Rule files into the state of a table, and what became of the rules. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lib.h"
#include "table.h"

#define FILE_MAX (4 << 20)

struct iofilter_rules {
	struct iofilter_table t;
	struct kvm_iofilter_range ranges[KVM_IOFILTER_MAX_RANGES];
	__u32 nr_ranges;
	/* Where its groups are. */
	char file[256];
	__u32 nr_groups;
	struct group groups[TABLE_GROUPS];
};

/* The file as a string, to be freed. */
static int read_file(const char *file, char **text, size_t *size)
{
	ssize_t n = 0;
	struct stat st;
	int fd, err = 0;

	*size = 0;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		err = lib_fail(-errno, "%s: %s", file, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		err = lib_fail(-EINVAL, "%s: not a file", file);
	else if (st.st_size > FILE_MAX)
		err = lib_fail(-EFBIG, "%s: a rule file of more than %d MB", file, FILE_MAX >> 20);
	else if (!(*text = calloc(1, st.st_size + 1)))
		err = lib_fail(-ENOMEM, "out of memory");
	for (; !err && *size < (size_t)st.st_size; *size += n) {
		n = read(fd, *text + *size, st.st_size - *size);
		if (n < 0)
			err = lib_fail(-errno, "%s: %s", file, strerror(errno));
		if (n <= 0)
			break;
	}
	close_fd(fd);
	return err;
}

int iofilter_rules_read(const char *file, struct iofilter_rules **rules)
{
	struct iofilter_rules *r = calloc(1, sizeof(*r));
	struct table_file *f = calloc(1, sizeof(*f));
	char *text = NULL;
	size_t size = 0;
	int err;

	if (!r || !f)
		err = lib_fail(-ENOMEM, "out of memory");
	else
		err = read_file(file, &text, &size);
	if (!err) {
		r->t.absence = IOFILTER_ABSENCE_NS;
		err = table_parse(f, file, text, size, &r->t);
		memcpy(r->ranges, f->ranges, sizeof(r->ranges));
		r->nr_ranges = f->nr_ranges;
		snprintf(r->file, sizeof(r->file), "%s", file);
		memcpy(r->groups, f->groups, sizeof(r->groups));
		r->nr_groups = f->nr_groups;
	}
	free(text);
	free(f);
	if (err) {
		free(r);
		return err;
	}
	*rules = r;
	return 0;
}

void iofilter_rules_free(struct iofilter_rules *rules)
{
	free(rules);
}

const struct iofilter_table *iofilter_rules_table(const struct iofilter_rules *rules)
{
	return &rules->t;
}

const struct kvm_iofilter_range *iofilter_rules_ranges(const struct iofilter_rules *rules, __u32 *nr)
{
	*nr = rules->nr_ranges;
	return rules->ranges;
}

int iofilter_rules_within(const struct iofilter_rules *rules, const struct kvm_iofilter_range *range)
{
	const struct group *g;
	__u32 i;

	for (i = 0; i < rules->nr_groups; i++) {
		g = &rules->groups[i];
		if (g->bus != (int)range->bus || g->first < range->addr || g->last - range->addr >= range->len)
			return lib_fail(-EINVAL, "%s:%u: '%s', %s 0x%llx-0x%llx, is not within %s 0x%llx+%u", rules->file, g->line, g->name,
					g->bus == KVM_IOFILTER_PIO ? "pio" : "mmio", (unsigned long long)g->first,
					(unsigned long long)g->last, range->bus == KVM_IOFILTER_PIO ? "pio" : "mmio",
					(unsigned long long)range->addr, range->len);
	}
	return 0;
}

int table_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	const size_t head = sizeof(struct iofilter_head);

	if (!o->rules)
		return lib_fail(-EINVAL, "a table is nothing without rules: 'iofilter table load FILE'");
	if (o->width || o->bracket)
		return lib_fail(-EINVAL, "a table has no width and no clock");
	memcpy((char *)state + head, (const char *)&o->rules->t + head, sizeof(o->rules->t) - head);
	memcpy(ops->ranges, o->rules->ranges, sizeof(ops->ranges));
	ops->nr_ranges = o->rules->nr_ranges;
	return 0;
}

void table_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_table *t = state;
	__u32 i;

	for (i = 0; i < IOFILTER_NR_VERDICTS; i++) {
		info->verdicts[i] = iofilter_load(t->verdicts[i]);
		info->reads += info->verdicts[i];
	}
	info->addr = t->ranges[0].addr;
	info->rules = t->nr_rules;
	info->absence = t->absence;
	info->forgotten = iofilter_load(t->forgotten);
}

static int not_loaded(pid_t pid)
{
	return lib_fail(-ENOENT, "no table is attached to VM %d ('iofilter status' shows what is)", pid);
}

static bool same_ranges(const struct iofilter_rules *r, const struct kvm_iofilter_ops *ops)
{
	__u32 i;

	for (i = 0; i < r->nr_ranges && i < ops->nr_ranges; i++)
		if (r->ranges[i].addr != ops->ranges[i].addr || r->ranges[i].len != ops->ranges[i].len ||
		    r->ranges[i].bus != ops->ranges[i].bus)
			return false;
	return r->nr_ranges == ops->nr_ranges;
}

int iofilter_table_replace(pid_t pid, const struct iofilter_rules *rules, unsigned int drain_ms)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .rules = rules, .reset = 1, .drain_ms = drain_ms };
	struct found f;
	bool same;
	int err;

	err = find_one(pid, "table", &f);
	if (err <= 0)
		return err ?: not_loaded(pid);
	same = same_ranges(rules, &f.ops);
	find_release(&f);
	if (!same)
		return lib_fail(-EINVAL,
				"the new table is for other addresses than that of VM %d, which stays: detach it and load the new one", pid);
	err = iofilter_update(pid, "table", &opts);
	return err < 0 ? err : 0;
}

int iofilter_table_get(pid_t pid, struct iofilter_table **copy)
{
	struct iofilter_table *t = NULL;
	struct iofilter *f;
	int err;

	err = iofilter_open(pid, "table", &f);
	if (err)
		return err == -ENOENT ? not_loaded(pid) : err;
	/* Of this name, but by programs of somebody's own. */
	if (!f->o.device || strcmp(f->o.device->name, "table"))
		err = lib_fail(-EPROTO, "the table of VM %d has no state that is known here", pid);
	else if (!(t = malloc(sizeof(*t))))
		err = lib_fail(-ENOMEM, "out of memory");
	else
		memcpy(t, iofilter_state(f), sizeof(*t));
	iofilter_close(f);
	if (!err && (t->nr_rules > TABLE_RULES || t->nr_bits > TABLE_BITS || t->nr_slots > TABLE_SLOTS || t->nr_buffers > TABLE_BUFFERS))
		err = lib_fail(-EPROTO, "the table of VM %d has more rules, bits, slots or buffers than there is room for", pid);
	if (err)
		free(t);
	else
		*copy = t;
	return err;
}
