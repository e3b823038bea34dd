// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Programs and maps that bpftool pinned. It leaves the struct_ops map empty, and the kernel does not tell which op a
 * program is for: that is read off its name, PREFIX_read, PREFIX_write, PREFIX_sample, PREFIX_quiesce. A wrong guess is refused.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "lib.h"

static const char *const op_names[NR_OPS] = { [OP_READ] = "read", [OP_WRITE] = "write", [OP_SAMPLE] = "sample",
					       [OP_QUIESCE] = "quiesce" };

enum kind { KIND_NONE, KIND_MAP, KIND_PROG };

static enum kind kind_of(int fd)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, target, sizeof(target) - 1) < 0)
		return KIND_NONE;
	if (!strcmp(target, "anon_inode:bpf-map"))
		return KIND_MAP;
	return !strcmp(target, "anon_inode:bpf-prog") ? KIND_PROG : KIND_NONE;
}

static bool take_prog(struct object *o, const char *name, int fd)
{
	const char *op = strrchr(name, '_');

	op = op ? op + 1 : name;
	for (int i = 0; i < NR_OPS; i++) {
		if (strcmp(op, op_names[i]) || o->prog_fds[i] >= 0)
			continue;
		o->prog_fds[i] = fd;
		return true;
	}
	return false;
}

static bool take_map(struct object *o, int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int *to = NULL;

	if (bpf_map_get_info_by_fd(fd, &info, &len))
		return false;
	if (info.type == BPF_MAP_TYPE_STRUCT_OPS)
		to = &o->ops_fd;
	else if (!strcmp(info.name, IOFILTER_STATE_MAP))
		to = &o->state_fd;
	if (!to || *to >= 0)
		return false;
	*to = fd;
	return true;
}

static int take_dir(struct object *o, const char *dir)
{
	char path[4096 + 256];
	struct dirent *e;
	bool taken;
	DIR *d;
	int fd;

	d = opendir(dir);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = e->d_type == DT_DIR ? -1 : bpf_obj_get(path);
		if (fd < 0)
			continue;
		switch (kind_of(fd)) {
		case KIND_PROG:
			taken = take_prog(o, e->d_name, fd);
			break;
		case KIND_MAP:
			taken = take_map(o, fd);
			break;
		default:
			taken = false;
		}
		if (!taken)
			close(fd);
	}
	closedir(d);
	return 0;
}

int pinned_open(struct object *o, const char *dir)
{
	char progs[4096];
	int err;

	err = take_dir(o, dir);
	if (err)
		return lib_fail(err, "%s: %s", dir, strerror(-err));
	snprintf(progs, sizeof(progs), "%s/progs", dir);
	take_dir(o, progs);
	if (o->ops_fd < 0 || o->state_fd < 0 || (o->prog_fds[OP_READ] < 0 && o->prog_fds[OP_WRITE] < 0))
		return lib_fail(
			-ENOENT,
			"%s holds no filter: expected what 'bpftool prog loadall FILE %s/progs pinmaps %s' pins", dir,
			dir, dir);
	return state_map(o);
}
