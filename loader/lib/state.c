// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The state of a filter that is attached, whoever attached it: a handle, its registers, and all of it saved and restored. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reg.h"

int iofilter_open(pid_t pid, const char *device, struct iofilter **out)
{
	struct iofilter *f;
	struct found found;
	int err;

	err = find_one(pid, device, &found);
	if (err < 0)
		return err;
	if (!err)
		return find_none(pid, device);
	f = calloc(1, sizeof(*f));
	if (!f) {
		find_release(&found);
		return lib_fail(-ENOMEM, "out of memory");
	}
	f->o = (struct object){ .ops_fd = -1, .state_fd = found.state_fd, .prog_fds = { -1, -1, -1, -1 }, .ops = found.ops };
	f->link_fd = found.link_fd;
	f->link_id = found.link_id;
	f->pid = pid;
	err = found.state_fd < 0 ? 0 : state_map(&f->o);
	if (err && f->o.device)
		err = lib_fail(-EPROTO, "%s of VM %d was built with another layout of its state", device, pid);
	if (err) {
		iofilter_close(f);
		return err;
	}
	*out = f;
	return 0;
}

/* The device whose registers are known, or NULL with a reason. */
static const struct device *device_of(const struct iofilter *f)
{
	if (!f->o.device || !f->o.state)
		lib_fail(-EOPNOTSUPP, "'%.16s' is no device known here: its state has no names", f->o.ops.name);
	return f->o.state ? f->o.device : NULL;
}

int iofilter_reg_get(struct iofilter *f, const __u64 *ids, unsigned int n, void *buf, size_t size)
{
	const struct device *d = device_of(f);

	return d ? reg_get_many(d, f->o.state, ids, n, buf, size) : -EOPNOTSUPP;
}

int iofilter_reg_set(struct iofilter *f, const __u64 *ids, unsigned int n, const void *buf, size_t size)
{
	const struct device *d = device_of(f);

	return d ? reg_set_many(d, f->o.state, ids, n, buf, size) : -EOPNOTSUPP;
}

int iofilter_reg_changed(struct iofilter *f, __u64 *ids)
{
	const struct device *d = device_of(f);

	return d ? reg_changed(d, f->o.state, ids) : -EOPNOTSUPP;
}

int iofilter_save(struct iofilter *f, void **data, size_t *size)
{
	const struct device *d = device_of(f);

	return d ? saved_make(d, f->o.state, data, size) : -EOPNOTSUPP;
}

int iofilter_restore(struct iofilter *f, const void *data, size_t size, unsigned int flags)
{
	const struct device *d = device_of(f);

	if (flags & ~IOFILTER_RESTORE_SKIP_UNKNOWN)
		return lib_fail(-EINVAL, "unknown flags 0x%x", flags);
	return d ? saved_apply(d, f->o.state, data, size, flags) : -EOPNOTSUPP;
}

/* --- several filters: struct saved_head, which counts them, then for each struct vm_part and its state, padded. --- */

#define VM_MAGIC   0x6d56646576615366ULL /* "fSavedVm" */
#define VM_VERSION 1
#define VM_PARTS   64

struct vm_part {
	char name[KVM_IOFILTER_NAME_LEN]; /* as it is attached */
	__u64 size;
};

_Static_assert(sizeof(struct vm_part) == 24, "stands in files");

struct names {
	char name[VM_PARTS][KVM_IOFILTER_NAME_LEN];
	int n;
};

static int add_name(struct names *names, const char *name)
{
	int i;

	for (i = 0; i < names->n; i++)
		if (!strcmp(names->name[i], name))
			/* Named so, or in two VMs of one process, which a name cannot tell apart. */
			return lib_fail(-EINVAL, "%s twice: a saved state has each filter once", name);
	if (names->n == VM_PARTS)
		return lib_fail(-E2BIG, "more than %d filters: a saved state has no room for them", VM_PARTS);
	snprintf(names->name[names->n++], KVM_IOFILTER_NAME_LEN, "%s", name);
	return 0;
}

static int add_found(const struct found *f, void *arg)
{
	return add_name(arg, f->ops.name);
}

static int choose(pid_t pid, const char *const *devices, struct names *names)
{
	int err = pid_check(pid);

	names->n = 0;
	if (!err && !devices)
		err = find_each(pid, add_found, names);
	for (; !err && devices && *devices; devices++)
		err = add_name(names, *devices);
	if (!err && !names->n)
		err = lib_fail(-ENOENT, "nothing is attached to VM %d", pid);
	return err;
}

static int add_part(pid_t pid, const char *name, char **data, size_t *size)
{
	struct vm_part part = {};
	struct iofilter *f;
	void *state = NULL;
	size_t len, room;
	char *more;
	int err;

	err = iofilter_open(pid, name, &f);
	if (err)
		return err;
	err = iofilter_save(f, &state, &len);
	iofilter_close(f);
	if (err)
		return err;
	room = sizeof(part) + saved_padded(len);
	more = realloc(*data, *size + room);
	if (!more) {
		free(state);
		return lib_fail(-ENOMEM, "out of memory");
	}
	memset(more + *size, 0, room);
	memcpy(part.name, name, strlen(name));
	part.size = htole64(len);
	memcpy(more + *size, &part, sizeof(part));
	memcpy(more + *size + sizeof(part), state, len);
	*data = more;
	*size += room;
	free(state);
	return 0;
}

int iofilter_save_vm(pid_t pid, const char *const *devices, void **out, size_t *out_size)
{
	size_t size = sizeof(struct saved_head);
	struct names names;
	char *data = NULL;
	int i, err;

	err = choose(pid, devices, &names);
	if (err)
		return err;
	data = calloc(1, size);
	if (!data)
		return lib_fail(-ENOMEM, "out of memory");
	for (i = 0; !err && i < names.n; i++)
		err = add_part(pid, names.name[i], &data, &size);
	if (err) {
		free(data);
		return err;
	}
	saved_seal(data, &(struct saved_head){ .magic = VM_MAGIC, .version = VM_VERSION, .count = names.n, .size = size });
	*out = data;
	*out_size = size;
	return names.n;
}

struct part {
	struct iofilter *f;
	const void *data;
	size_t size;
};

/* The one behind @n others. */
static int open_part(pid_t pid, const char **at, const char *end, struct part *parts, int n, unsigned int flags)
{
	struct part *p = &parts[n];
	const struct device *d;
	size_t left = end - *at;
	struct vm_part part;
	int i, err;

	if (left >= sizeof(part))
		memcpy(&part, *at, sizeof(part));
	/* The first of the two, lest the second is no number any more. */
	if (left < sizeof(part) || le64toh(part.size) > left || saved_padded(le64toh(part.size)) > left - sizeof(part))
		return lib_fail(-EBADMSG, "the saved state ends too early");
	part.name[sizeof(part.name) - 1] = '\0';
	p->data = *at + sizeof(part);
	p->size = le64toh(part.size);
	*at += sizeof(part) + saved_padded(p->size);
	for (i = 0; i < n; i++)
		if (!strcmp(parts[i].f->o.ops.name, part.name))
			return lib_fail(-EBADMSG, "the saved state has %s twice", part.name);
	err = iofilter_open(pid, part.name, &p->f);
	if (err)
		return err;
	d = device_of(p->f);
	return d ? saved_check(d, p->f->o.state, p->data, p->size, flags) : -EOPNOTSUPP;
}

int iofilter_restore_vm(pid_t pid, const void *data, size_t size, unsigned int flags)
{
	const char *at = (const char *)data + sizeof(struct saved_head), *end = (const char *)data + size;
	struct part parts[VM_PARTS] = {};
	struct saved_head h;
	int i, n = 0, err;

	err = saved_open(data, size, VM_MAGIC, VM_VERSION, "", &h);
	if (!err && (!h.count || h.count > VM_PARTS))
		err = lib_fail(-EBADMSG, "the saved state has %u filters", h.count);
	if (err)
		return err;
	for (; !err && n < (int)h.count; n++)
		err = open_part(pid, &at, end, parts, n, flags);
	if (!err && at != end)
		err = lib_fail(-EBADMSG, "the saved state goes on behind its end");
	for (i = 0; !err && i < n; i++)
		err = iofilter_restore(parts[i].f, parts[i].data, parts[i].size, flags);
	for (i = 0; i < VM_PARTS; i++)
		iofilter_close(parts[i].f);
	return err ?: n;
}
