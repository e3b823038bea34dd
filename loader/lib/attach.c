// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Attach, swap and let go of a filter. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "lib.h"

static int link_fail(int err, const char *device, pid_t pid)
{
	const struct device *d = device_find(device);

	switch (err) {
	case -EEXIST:
		return lib_fail(err, "%s, or a filter on the same addresses, is already attached to VM %d", device,
				pid);
	case -EBUSY:
		return lib_fail(err, "%s: one of its ranges and one of another device of VM %d would hide each other",
				device, pid);
	case -EADDRINUSE:
		if (d && d->taken)
			return lib_fail(err, "%s does not apply to VM %d: %s", device, pid, d->taken);
		return lib_fail(err, "VM %d has an in-kernel %s: not needed", pid, device);
	case -ENXIO:
		return lib_fail(err, "%s does not apply to VM %d: %s", device, pid,
				d && d->absent ? d->absent : "its PIT is not KVM's own");
	case -EPERM:
		return lib_fail(err, "no permission to attach %s: run as root (CAP_BPF and CAP_PERFMON)", device);
	case -ENOLINK:
	case -ENODEV:
		return lib_fail(err, "VM %d ended meanwhile", pid);
	case -ENOSPC:
		return lib_fail(err, "%s: VM %d has too many I/O devices already", device, pid);
	case -EINVAL:
		return lib_fail(err, "the module refused %s: a range, flag, name or eventfd is not valid", device);
	default:
		return lib_fail(err, "attaching %s to VM %d: %s", device, pid, strerror(-err));
	}
}

/* What version 0.1.0 had; and a size that is none. */
#define OPTS_MIN (offsetof(struct iofilter_opts, eventfds) + sizeof(int[KVM_IOFILTER_EVENTFDS]))
#define OPTS_MAX 4096

static int times_check(const struct iofilter_opts *o)
{
	if (!o->bracket && !o->absence && !o->expiry)
		return 0;
	if (!o->bracket || !o->absence || !o->expiry)
		return lib_fail(-EINVAL, "bracket, absence and expiry are given together or not at all");
	if (o->bracket > LIB_TIME_MAX || o->absence > LIB_TIME_MAX || o->expiry > LIB_TIME_MAX)
		return lib_fail(-EINVAL, "bracket, absence and expiry may each be at most one second");
	if (o->expiry < o->bracket)
		return lib_fail(-EINVAL, LIB_EXPIRY_SHORT);
	return 0;
}

/*
 * The caller's options may be those of an older header, or of a newer one if it does not use what that has more. In @to they have this
 * library's size. Return: @to.
 */
static const struct iofilter_opts *check_opts(struct iofilter_opts *to, const struct iofilter_opts *from, int *err)
{
	size_t i;

	*err = 0;
	*to = (struct iofilter_opts){ .size = sizeof(*to) };
	if (!from)
		return to;
	if (from->size < OPTS_MIN || from->size > OPTS_MAX) {
		*err = lib_fail(-EINVAL, "iofilter_opts.size is not sizeof(struct iofilter_opts)");
		return to;
	}
	for (i = sizeof(*to); i < from->size; i++)
		if (((const char *)from)[i])
			*err = lib_fail(-EINVAL, "struct iofilter_opts asks for something that this library (" IOFILTER_VERSION ") does not know");
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	to->size = sizeof(*to);
	if (to->obj && to->pinned)
		*err = lib_fail(-EINVAL, "programs come from an object file or from pins, not from both");
	/* Here, not in each device: one that has no use for times takes none that are wrong, and says so before anything is drained. */
	if (!*err)
		*err = times_check(to);
	return to;
}

/* The options into ops and state. Without a row for the device nobody knows where they would go. */
static int configure(struct object *o, const struct iofilter_opts *opts)
{
	memcpy(o->ops.eventfds, opts->eventfds, sizeof(o->ops.eventfds));
	if (o->device)
		return o->device->configure(&o->ops, o->state, opts);
	if (opts->addr || opts->width || opts->bracket || opts->absence || opts->expiry)
		return lib_fail(-EINVAL, "'%.16s' is no device known here: it takes no port, width or timing",
				o->ops.name);
	return 0;
}

static void sign_state(struct iofilter_head *head, pid_t pid)
{
	if (!head)
		return;
	head->pid = pid;
	head->attached_at = time(NULL);
}

static int already(pid_t pid, int vm_fd, const char *device)
{
	struct found f;

	/* A VMM of several VMs knows what it has attached to each. */
	if (pid == getpid() && vm_fd > 0)
		return 0;
	/* Without CAP_SYS_ADMIN we cannot know; then the module decides, which looks at ranges only. */
	if (find_one(pid, device, &f) != 1)
		return 0;
	find_release(&f);
	return lib_fail(-EEXIST, "%s is already attached to VM %d", device, pid);
}

static int attach_vm(struct iofilter *f, int vm_fd, const char *device, const struct iofilter_opts *opts)
{
	int err;

	err = object_open(&f->o, device, opts, -1);
	if (err < 0)
		return err;
	err = configure(&f->o, opts);
	if (!err)
		err = already(f->pid, opts->vm_fd, f->o.ops.name);
	if (err)
		return err;
	sign_state(f->o.state, f->pid);
	err = object_fill(&f->o, vm_fd);
	if (err)
		return err;
	f->link_fd = bpf_link_create(f->o.ops_fd, 0, BPF_STRUCT_OPS, NULL);
	if (f->link_fd < 0)
		return link_fail(f->link_fd, f->o.ops.name, f->pid);
	link_map_id(f->link_fd, &f->link_id);
	return 0;
}

int iofilter_attach(pid_t pid, const char *device, const struct iofilter_opts *opts, struct iofilter **out)
{
	struct iofilter_opts checked;
	struct iofilter *f;
	int vm_fd, err;

	opts = check_opts(&checked, opts, &err);
	if (err)
		return err;
	if (!opts->obj && !opts->pinned && (!device || !device_find(device)))
		return device_unknown(device ?: "");
	f = calloc(1, sizeof(*f));
	if (!f)
		return lib_fail(-ENOMEM, "out of memory");
	f->pid = pid;
	f->link_fd = f->o.ops_fd = f->o.state_fd = -1;
	vm_fd = vm_open(pid, opts->vm_fd);
	if (vm_fd < 0) {
		free(f);
		return vm_fd;
	}
	err = attach_vm(f, vm_fd, device, opts);
	/* Kept open it would keep the VM from ending. */
	close(vm_fd);
	if (err) {
		iofilter_close(f);
		return err;
	}
	*out = f;
	return 0;
}

int iofilter_fd(const struct iofilter *f)
{
	return f->link_fd;
}

const char *iofilter_device(const struct iofilter *f)
{
	return f->o.ops.name;
}

const struct kvm_iofilter_ops *iofilter_ops(const struct iofilter *f)
{
	return &f->o.ops;
}

__u32 iofilter_link_id(const struct iofilter *f)
{
	return f->link_id;
}

void *iofilter_state(const struct iofilter *f)
{
	return f->o.state;
}

int iofilter_clock(struct iofilter *f, enum iofilter_clock_op op, __s64 value)
{
	return clock_change(f->o.device, f->o.state, op, value);
}

int iofilter_info_get(const struct iofilter *f, struct iofilter_info *info)
{
	*info = (struct iofilter_info){ .pid = f->pid, .link_id = f->link_id, .end = iofilter_ended(f), .nr_ranges = f->o.ops.nr_ranges };
	memcpy(info->device, f->o.ops.name, sizeof(info->device));
	memcpy(info->ranges, f->o.ops.ranges, sizeof(info->ranges));
	if (f->o.state_fd < 0)
		return lib_fail(-EOPNOTSUPP, "%s has no state that is known here", f->o.ops.name);
	info_from_state(info, f->o.state_fd);
	return 0;
}

enum iofilter_end iofilter_ended(const struct iofilter *f)
{
	struct iofilter_vm vm;

	if (link_map_id(f->link_fd, NULL) != 0)
		return IOFILTER_ATTACHED;
	/* The VM holds on until its last descriptor is closed: if one is there, the VM cannot be why. */
	return iofilter_vm_get(f->pid, &vm) ? IOFILTER_VM_ENDED : IOFILTER_DETACHED;
}

int iofilter_pin(struct iofilter *f)
{
	int err = pin_create(f->pid, f->o.ops.name, f->link_fd, f->o.state_fd);

	/* One that is refused leaves those of an earlier call. */
	f->pinned |= !err;
	return err;
}

/* The detach waits for every access in flight. Return: how many sequences were cut off, or -errno. */
static int drain_and_detach(int link_fd, int state_fd, unsigned int drain_ms)
{
	__u64 cut = drain_cut(state_fd);
	int err;

	drain_state(state_fd, drain_ms);
	if (bpf_link_detach(link_fd)) {
		err = -errno;
		drain_state(state_fd, 0);
		return err;
	}
	return drain_cut(state_fd) - cut;
}

int iofilter_stop(struct iofilter *f, unsigned int drain_ms)
{
	int cut = drain_and_detach(f->link_fd, f->o.state_fd, drain_ms);

	if (cut < 0)
		return lib_fail(cut, "detaching %s: %s", f->o.ops.name, strerror(-cut));
	if (f->pinned)
		pin_remove(f->pid, f->o.ops.name);
	f->pinned = false;
	return cut;
}

void iofilter_close(struct iofilter *f)
{
	if (!f)
		return;
	close_fd(f->link_fd);
	map_alarm_end(f);
	object_close(&f->o);
	free(f);
}

int iofilter_detach(pid_t pid, const char *device, unsigned int drain_ms)
{
	struct found f;
	int err = find_one(pid, device, &f);

	if (err < 0)
		return err;
	if (!err)
		return find_none(pid, device);
	err = drain_and_detach(f.link_fd, f.state_fd, drain_ms);
	if (err < 0)
		err = lib_fail(err, "detaching %s from VM %d: %s", device, pid, strerror(-err));
	else
		pin_remove(pid, device);
	find_release(&f);
	return err;
}

static int swap(struct object *o, const struct found *f, const char *device, const struct iofilter_opts *opts,
		bool kept)
{
	struct iofilter_opts where = *opts;
	int err, vm_fd;

	if (o->device && f->ops.nr_ranges)
		where.addr = f->ops.ranges[0].addr;
	if (!kept) {
		err = configure(o, &where);
		if (err)
			return err;
		sign_state(o->state, f->pid);
	}
	memcpy(o->ops.ranges, f->ops.ranges, sizeof(o->ops.ranges));
	o->ops.nr_ranges = f->ops.nr_ranges;
	vm_fd = vm_open(f->pid, opts->vm_fd);
	if (vm_fd < 0)
		return vm_fd;
	err = object_fill(o, vm_fd);
	if (!err && bpf_link_update(f->link_fd, o->ops_fd, NULL)) {
		err = -errno;
		lib_fail(err,
			 err == -EINVAL	 ? "%s: the new program is for other ranges, another name or another VM" :
			 err == -ENOLINK ? "%s was detached meanwhile" :
					   "%s: the module did not take the new program",
			 device);
	}
	close(vm_fd);
	return err;
}

/* What is asked for is written when a state is new: with the old one it would be left out, and nobody told. */
static bool wants_new_state(const struct iofilter_opts *o)
{
	return o->reset || o->width || o->bracket || o->rules;
}

int iofilter_update(pid_t pid, const char *device, const struct iofilter_opts *opts)
{
	struct iofilter_info old = {};
	struct iofilter_opts checked, copy;
	struct object o;
	struct found f;
	int err, kept;

	opts = check_opts(&checked, opts, &err);
	if (err)
		return err;
	if (opts->addr)
		return lib_fail(-EINVAL, "an update cannot move a device: detach it and attach it anew");
	if (opts->map)
		return lib_fail(-EINVAL, "an update does not change what a map shows: iofilter_map_set() does");
	if (opts->rules && device_find(device) != device_find("table"))
		return lib_fail(-EINVAL, "rules are for a table, and %s is none", device);
	err = find_one(pid, device, &f);
	if (err <= 0)
		return err ?: find_none(pid, device);
	copy = *opts;
	if (f.state_fd >= 0)
		info_from_state(&old, f.state_fd);
	kept = object_open(&o, device, &copy, wants_new_state(opts) ? -1 : f.state_fd);
	if (kept < 0) {
		find_release(&f);
		return kept;
	}
	if (o.device && !copy.width)
		copy.width = old.width;
	/* Of a device whose filters each have a name of their own. */
	if (o.device && o.device == device_find(device))
		memcpy(o.ops.name, f.ops.name, sizeof(o.ops.name));
	if (!kept && drain_state(f.state_fd, copy.drain_ms) && copy.drain_ms)
		err = lib_fail(-EBUSY, "%s: the guest does not end what it has begun to read; try again, or cut it off (--drain 0)",
			       device);
	else
		err = swap(&o, &f, device, &copy, kept);
	if (err)
		drain_state(f.state_fd, 0);
	object_close(&o);
	find_release(&f);
	return err ?: kept;
}
