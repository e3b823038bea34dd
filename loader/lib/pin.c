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

void pin_remove(pid_t pid, const char *device)
{
	char path[PATH_LEN];

	pin_path(path, pid, device, "/link");
	unlink(path);
	pin_path(path, pid, device, "/state");
	unlink(path);
	pin_path(path, pid, device, "");
	rmdir(path);
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
	rmdir(path);
}

static bool pin_dead(pid_t pid, const char *device)
{
	char path[PATH_LEN];
	int fd, id;

	pin_path(path, pid, device, "/link");
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT;
	id = link_map_id(fd, NULL);
	close(fd);
	return id == 0;
}

static int make_dirs(pid_t pid, const char *device)
{
	char path[PATH_LEN];
	struct statfs fs;

	if (statfs("/sys/fs/bpf", &fs) || fs.f_type != BPF_FS_MAGIC)
		return lib_fail(-ENOSYS, "no BPF file system to pin in: 'mount -t bpf bpf /sys/fs/bpf' as root");
	mkdir(IOFILTER_PIN_DIR, 0700);
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
	mkdir(path, 0700);
	pin_path(path, pid, device, "");
	if (!mkdir(path, 0700))
		return 0;
	if (errno == EEXIST && pin_dead(pid, device)) {
		pin_remove(pid, device);
		snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", pid);
		mkdir(path, 0700);
		pin_path(path, pid, device, "");
		if (!mkdir(path, 0700))
			return 0;
	}
	return lib_fail(-errno, "cannot pin in %s: %s", path, strerror(errno));
}

int pin_create(pid_t pid, const char *device, int link_fd, int state_fd)
{
	char path[PATH_LEN];
	int err = make_dirs(pid, device);

	if (err)
		return err;
	pin_path(path, pid, device, "/link");
	if (bpf_obj_pin(link_fd, path))
		goto fail;
	pin_path(path, pid, device, "/state");
	if (state_fd >= 0 && bpf_obj_pin(state_fd, path))
		goto fail;
	return 0;
fail:
	err = -errno;
	pin_remove(pid, device);
	return lib_fail(err, "cannot pin %s: %s", path, strerror(-err));
}

int pin_each_dead(int (*fn)(pid_t pid, const char *device, int state_fd, void *arg), void *arg)
{
	char path[PATH_LEN];
	struct dirent *p, *e;
	DIR *top, *dir;
	int fd, err = 0;
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
			if (e->d_name[0] == '.' || strlen(e->d_name) >= KVM_IOFILTER_NAME_LEN ||
			    !pin_dead(pid, e->d_name))
				continue;
			pin_path(path, pid, e->d_name, "/state");
			fd = bpf_obj_get(path);
			err = fn(pid, e->d_name, fd, arg);
			close_fd(fd);
		}
		if (dir)
			closedir(dir);
	}
	closedir(top);
	return err;
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
	int n = 0, err = pin_each_dead(remove_one, &n);

	return err ?: n;
}
