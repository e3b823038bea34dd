// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Pins: IOFILTER_PIN_DIR/<pid>/<device>/link and /state. */
#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "lib.h"

#define PATH_LEN 320

static void pin_path(char *path, pid_t pid, const char *device, const char *leaf)
{
	snprintf(path, PATH_LEN, IOFILTER_PIN_DIR "/%d/%s%s", pid, device, leaf);
}

int link_map_id(int link_fd, __u32 *link_id)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_link_get_info_by_fd(link_fd, &info, &len))
		return -errno;
	if (info.type != BPF_LINK_TYPE_STRUCT_OPS)
		return -EINVAL;
	if (link_id)
		*link_id = info.id;
	return info.struct_ops.map_id;
}

/* The folders, where nothing is in them. */
static void remove_dirs(pid_t pid, const char *device)
{
	char path[PATH_LEN];

	pin_path(path, pid, device, "");
	rmdir(path);
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
	rmdir(path);
}

/* The link last, as it is pinned first: a state without one is nobody's. */
void pin_remove(pid_t pid, const char *device)
{
	char path[PATH_LEN];

	pin_path(path, pid, device, "/state");
	unlink(path);
	pin_path(path, pid, device, "/link");
	unlink(path);
	remove_dirs(pid, device);
}

enum pinned {
	PINNED_NOTHING, /* no link: somebody may be about to pin one */
	PINNED_DEAD,
	PINNED_ALIVE,
};

static enum pinned what_is_pinned(pid_t pid, const char *device)
{
	char path[PATH_LEN];
	int fd, id;

	pin_path(path, pid, device, "/link");
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? PINNED_NOTHING : PINNED_ALIVE;
	id = link_map_id(fd, NULL);
	close(fd);
	return id == 0 ? PINNED_DEAD : PINNED_ALIVE;
}

static int pin_fail(const char *path, int err)
{
	return lib_fail(err, "cannot pin %s: %s", path, strerror(-err));
}

/* Return: 0, -ENOENT: somebody has removed a folder meanwhile, or another -errno; with a reason. */
static int make_dirs(pid_t pid, const char *device)
{
	char path[PATH_LEN];

	mkdir(IOFILTER_PIN_DIR, 0700);
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
	mkdir(path, 0700);
	pin_path(path, pid, device, "");
	if (!mkdir(path, 0700))
		return 0;
	if (errno != EEXIST)
		return pin_fail(path, -errno);
	switch (what_is_pinned(pid, device)) {
	case PINNED_NOTHING:
		return 0;
	case PINNED_DEAD:
		pin_remove(pid, device);
		return lib_fail(-ENOENT, "cannot pin %s: the pins of a filter that is gone stand there, and cannot be removed", path);
	default:
		return pin_fail(path, -EEXIST);
	}
}

static int pin_once(pid_t pid, const char *device, int link_fd, int state_fd)
{
	char link[PATH_LEN], state[PATH_LEN];
	int err = make_dirs(pid, device);

	if (err)
		return err;
	pin_path(link, pid, device, "/link");
	if (bpf_obj_pin(link_fd, link)) {
		err = pin_fail(link, -errno);
		remove_dirs(pid, device);
		return err;
	}
	pin_path(state, pid, device, "/state");
	/* What stands there without a link was left by one who was killed. */
	unlink(state);
	if (state_fd >= 0 && bpf_obj_pin(state_fd, state)) {
		err = pin_fail(state, -errno);
		pin_remove(pid, device);
	}
	return err;
}

/* Whoever cleans up removes folders in which nothing is pinned yet. */
#define PIN_TRIES 100

int pin_create(pid_t pid, const char *device, int link_fd, int state_fd)
{
	struct statfs fs;
	int i, err;

	if (statfs("/sys/fs/bpf", &fs) || fs.f_type != BPF_FS_MAGIC)
		return lib_fail(-ENOSYS, "no BPF file system to pin in: 'mount -t bpf bpf /sys/fs/bpf' as root");
	for (i = 0; i < PIN_TRIES; i++) {
		err = pin_once(pid, device, link_fd, state_fd);
		if (err != -ENOENT)
			break;
	}
	return err;
}

typedef int (*dead_fn)(pid_t pid, const char *device, int state_fd, void *arg);

static int one_folder(pid_t pid, const char *device, bool tidy, dead_fn fn, void *arg)
{
	char path[PATH_LEN];
	int fd, err;

	switch (what_is_pinned(pid, device)) {
	case PINNED_NOTHING:
		if (tidy)
			remove_dirs(pid, device);
		return 0;
	case PINNED_DEAD:
		pin_path(path, pid, device, "/state");
		fd = bpf_obj_get(path);
		err = fn(pid, device, fd, arg);
		close_fd(fd);
		return err;
	default:
		return 0;
	}
}

/* @tidy: remove the empty folders on the way. */
static int each_dead(bool tidy, dead_fn fn, void *arg)
{
	char path[PATH_LEN];
	struct dirent *p, *e;
	DIR *top, *dir;
	int err = 0;
	pid_t pid;

	top = opendir(IOFILTER_PIN_DIR);
	if (!top)
		return errno == ENOENT ? 0 : lib_fail(-errno, IOFILTER_PIN_DIR ": %s", strerror(errno));
	while (!err && (p = readdir(top))) {
		pid = atoi(p->d_name);
		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
		dir = opendir(path);
		while (dir && !err && (e = readdir(dir))) {
			if (e->d_name[0] != '.' && strlen(e->d_name) < KVM_IOFILTER_NAME_LEN)
				err = one_folder(pid, e->d_name, tidy, fn, arg);
		}
		if (dir)
			closedir(dir);
	}
	closedir(top);
	return err;
}

int pin_each_dead(dead_fn fn, void *arg)
{
	return each_dead(false, fn, arg);
}

static int remove_one(pid_t pid, const char *device, int state_fd, void *arg)
{
	(void)state_fd;
	pin_remove(pid, device);
	++*(int *)arg;
	return 0;
}

int iofilter_clean(void)
{
	int n = 0, err = each_dead(true, remove_one, &n);

	return err ?: n;
}
