// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* From a BPF object to a struct_ops map that only wants its link. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib.h"

static const char *what(const char *device, const struct iofilter_opts *opts)
{
	return opts->obj ? opts->obj : device;
}

static int host_check(void)
{
	if (access(KERNEL_BTF, F_OK))
		return lib_fail(-ENOSYS, "this kernel has no BTF (" KERNEL_BTF "): it needs CONFIG_DEBUG_INFO_BTF");
	if (access("/sys/module/" MODULE, F_OK))
		return lib_fail(-ENOSYS, "the module is not loaded: 'modprobe " MODULE "' as root");
	if (access(MODULE_BTF, F_OK))
		return lib_fail(-ENOSYS, "the module " MODULE
					 " has no usable BTF: rebuild it against headers of this very kernel");
	return 0;
}

/* Map the state and see that it is what it says. A program may do without. */
int state_map(struct object *o)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	struct iofilter_head *head;

	if (bpf_map_get_info_by_fd(o->state_fd, &info, &len))
		return lib_fail(-errno, "the state map: %s", strerror(errno));
	if (info.value_size < sizeof(*head) || !(info.map_flags & BPF_F_MMAPABLE))
		return lib_fail(-EINVAL, "the map " IOFILTER_STATE_MAP " is no state of a filter");
	head = mmap(NULL, info.value_size, PROT_READ | PROT_WRITE, MAP_SHARED, o->state_fd, 0);
	if (head == MAP_FAILED)
		return lib_fail(-errno, "mapping the state: %s", strerror(errno));
	o->state = head;
	o->state_size = info.value_size;
	if (head->magic != IOFILTER_STATE_MAGIC || head->size > info.value_size)
		return lib_fail(-EINVAL, "the map " IOFILTER_STATE_MAP " does not begin with struct iofilter_head");
	o->device = device_find(strndupa(head->device, sizeof(head->device) - 1));
	if (o->device && (head->version != o->device->version || head->size != o->device->state_size))
		return lib_fail(-EINVAL,
				"%s: its state has layout %u of %u bytes, this library knows layout %u of %u bytes",
				o->device->name, head->version, head->size, o->device->version, o->device->state_size);
	return 0;
}

static int find_maps(struct object *o, const char *name, struct bpf_map **ops, struct bpf_map **state)
{
	struct bpf_map *map;
	const void *value;
	size_t size;

	*ops = *state = NULL;
	bpf_object__for_each_map(map, o->bpf) {
		if (!strcmp(bpf_map__name(map), IOFILTER_STATE_MAP))
			*state = map;
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		if (*ops)
			return lib_fail(-EINVAL, "%s has more than one struct_ops map", name);
		*ops = map;
	}
	if (!*ops)
		return lib_fail(-EINVAL, "%s has no struct kvm_iofilter_ops in a section .struct_ops.link", name);
	if (!(bpf_map__map_flags(*ops) & BPF_F_LINK))
		return lib_fail(-EINVAL, "%s: its ops must be in section .struct_ops.link, not .struct_ops", name);
	value = bpf_map__initial_value(*ops, &size);
	if (!value || size != sizeof(o->ops))
		return lib_fail(-EINVAL, "%s: its ops are not the struct kvm_iofilter_ops that this library knows",
				name);
	memcpy(&o->ops, value, sizeof(o->ops));
	return 0;
}

/* libbpf has numbers of its own beyond errno's: of an object that is not as it should be. */
static int plain_errno(int err)
{
	return err <= -__LIBBPF_ERRNO__START ? -EINVAL : err;
}

static int load_fail(const char *name, int err)
{
	char why[128];

	libbpf_strerror(err, why, sizeof(why));
	err = plain_errno(err);
	if (err == -EPERM)
		return lib_fail(err, "no permission to load BPF programs: run as root (CAP_BPF and CAP_PERFMON)");
	if (log_refused())
		return lib_fail(err,
				"%s: the kernel's verifier refused the program %s (%s); 'iofilter -v' shows its log",
				name, log_refused(), why);
	return lib_fail(err, "%s cannot be loaded: %s; 'iofilter -v' shows why", name, why);
}

static int keep_state(struct object *o, struct bpf_map *state, int keep_fd)
{
	const struct iofilter_head *fresh;
	struct iofilter_head old;
	size_t size;
	void *p;

	fresh = bpf_map__initial_value(state, &size);
	p = mmap(NULL, sizeof(old), PROT_READ, MAP_SHARED, keep_fd, 0);
	if (p == MAP_FAILED)
		return 0;
	memcpy(&old, p, sizeof(old));
	munmap(p, sizeof(old));
	if (!fresh || size < sizeof(old) || old.version != fresh->version || old.size != fresh->size)
		return 0;
	return bpf_map__reuse_fd(state, keep_fd) ? 0 : (o->state_fd = keep_fd, 1);
}

static int from_elf(struct object *o, const char *device, const struct iofilter_opts *opts, int keep_fd)
{
	const char *name = what(device, opts);
	struct bpf_program *progs[NR_OPS];
	struct bpf_map *ops, *state;
	const struct device *d;
	int err, i, kept = 0;
	const void *elf;
	char why[128];
	size_t size;

	if (opts->obj) {
		o->bpf = bpf_object__open_file(opts->obj, NULL);
	} else {
		d = device_find(device);
		if (!d)
			return device_unknown(device);
		elf = d->elf(&size);
		o->bpf = bpf_object__open_mem(elf, size, NULL);
	}
	if (!o->bpf) {
		err = -errno;
		libbpf_strerror(err, why, sizeof(why));
		return lib_fail(plain_errno(err), "%s is no BPF object: %s", name, why);
	}
	err = find_maps(o, name, &ops, &state);
	if (err)
		return err;
	/* libbpf keeps the programs where the kernel will have their addresses. */
	for (i = 0; i < NR_OPS; i++)
		progs[i] = *ops_prog(&o->ops, i);
	if (keep_fd >= 0 && state)
		kept = keep_state(o, state, keep_fd);
	err = bpf_object__load(o->bpf);
	if (err)
		return load_fail(name, err);
	o->ops_fd = bpf_map__fd(ops);
	for (i = 0; i < NR_OPS; i++)
		if (progs[i])
			o->prog_fds[i] = bpf_program__fd(progs[i]);
	if (state) {
		o->state_fd = bpf_map__fd(state);
		err = state_map(o);
	}
	return err ?: kept;
}

/* The data members that the device's own object has. */
static int default_ops(const struct device *d, struct kvm_iofilter_ops *ops)
{
	struct object o = {};
	struct bpf_map *map, *state;
	const void *elf;
	size_t size;
	int err;

	elf = d->elf(&size);
	o.bpf = bpf_object__open_mem(elf, size, NULL);
	if (!o.bpf)
		return lib_fail(-errno, "%s: %s", d->name, strerror(errno));
	err = find_maps(&o, d->name, &map, &state);
	*ops = o.ops;
	bpf_object__close(o.bpf);
	return err;
}

static int from_pins(struct object *o, const struct iofilter_opts *opts)
{
	int err = pinned_open(o, opts->pinned);

	if (err)
		return err;
	if (!o->device)
		return lib_fail(-ENOENT,
				"%s: pinned maps do not hold their ops' ranges, and '%.16s' is no device known here; "
				"attach the object file itself (--obj)",
				opts->pinned, o->state->device);
	return default_ops(o->device, &o->ops);
}

int object_open(struct object *o, const char *device, const struct iofilter_opts *opts, int keep_state_fd)
{
	int err = host_check();

	*o = (struct object){ .ops_fd = -1, .state_fd = -1, .prog_fds = { -1, -1, -1, -1 } };
	if (err)
		return err;
	log_begin();
	if (opts->pinned)
		err = from_pins(o, opts);
	else
		err = from_elf(o, device, opts, keep_state_fd);
	log_end();
	if (err < 0)
		object_close(o);
	return err;
}

int object_fill(struct object *o, int vm_fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	struct ops_value v = {};
	int i;

	if (bpf_map_get_info_by_fd(o->ops_fd, &info, &len))
		return lib_fail(-errno, "the struct_ops map: %s", strerror(errno));
	if (info.value_size != sizeof(v))
		return lib_fail(-EPROTO,
				"the module " MODULE " speaks another version of the interface (%u bytes, wanted %zu): "
				"install module and iofilter of one release",
				info.value_size, sizeof(v));
	v.ops = o->ops;
	v.ops.vm_fd = vm_fd;
	for (i = 0; i < NR_OPS; i++)
		*ops_prog(&v.ops, i) = (void *)(long)(o->prog_fds[i] < 0 ? 0 : o->prog_fds[i]);
	if (!bpf_map_update_elem(o->ops_fd, &zero, &v, 0))
		return 0;
	switch (errno) {
	case EBUSY:
		return lib_fail(-EBUSY,
				"these pinned programs have been attached before: load them again with bpftool");
	case EPERM:
		return lib_fail(-EPERM, "no permission to use BPF maps: run as root (CAP_BPF)");
	default:
		return lib_fail(
			-errno,
			"the module refused the ops of '%.16s' (%s): a range, flag, name or program does not fit",
			o->ops.name, strerror(errno));
	}
}

void object_close(struct object *o)
{
	int i;

	if (o->state)
		munmap(o->state, o->state_size);
	if (o->bpf) {
		bpf_object__close(o->bpf);
	} else {
		close_fd(o->ops_fd);
		close_fd(o->state_fd);
		for (i = 0; i < NR_OPS; i++)
			close_fd(o->prog_fds[i]);
	}
	*o = (struct object){ .ops_fd = -1, .state_fd = -1, .prog_fds = { -1, -1, -1, -1 } };
}
