// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Running VMs: a process with a descriptor of anon_inode:kvm-vm has one. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lib.h"

#define CMDLINE_MAX (1 << 16)
#define VMS_MAX	    32 /* of one process; more than one needs --vm-fd anyway */

struct fds {
	unsigned int vcpus;
	unsigned int vms; /* distinct ones */
	int vm_fds[VMS_MAX];
};

static bool same_file(pid_t pid, int a, int b)
{
	/* Where the kernel has no kcmp, take them for copies of one. */
	return syscall(SYS_kcmp, pid, pid, KCMP_FILE, a, b) <= 0;
}

static bool known(pid_t pid, const struct fds *fds, int fd)
{
	for (unsigned int i = 0; i < fds->vms; i++)
		if (same_file(pid, fds->vm_fds[i], fd))
			return true;
	return false;
}

static int scan_fds(pid_t pid, struct fds *fds)
{
	char path[64], target[64];
	struct dirent *e;
	ssize_t n;
	DIR *dir;
	int fd;

	*fds = (struct fds){};
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (!strncmp(target, "anon_inode:kvm-vcpu", 19))
			fds->vcpus++;
		if (strcmp(target, "anon_inode:kvm-vm"))
			continue;
		fd = atoi(e->d_name);
		if (!known(pid, fds, fd) && fds->vms < VMS_MAX)
			fds->vm_fds[fds->vms++] = fd;
	}
	closedir(dir);
	return 0;
}

static ssize_t read_proc(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	return n;
}

/* Return: how many bytes the UTF-8 sequence at @s has, 0: it is none, or is cut off. */
static size_t utf8_len(const unsigned char *s)
{
	static const struct {
		unsigned char mask, is;
		unsigned int min;
	} rows[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
	size_t n, i;
	unsigned int c;

	for (n = 0; n < 4 && (s[0] & rows[n].mask) != rows[n].is; n++)
		;
	if (n == 4)
		return 0;
	c = s[0] & ~rows[n].mask;
	for (i = 1; i <= n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < rows[n].min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n + 1;
}

/* A process names itself as it likes: what is no character, is cut off, or controls a terminal becomes a '?'. */
static void make_printable(char *name)
{
	unsigned char *from = (unsigned char *)name, *to = from;
	bool bad = false;
	size_t n;

	for (; *from; from += n ?: 1) {
		n = utf8_len(from);
		if (!n ? !bad : *from < ' ' || *from == 0x7f || (*from == 0xc2 && from[1] < 0xa0))
			*to++ = '?';
		else
			to = (unsigned char *)memmove(to, from, n) + n;
		bad = !n;
	}
	*to = '\0';
}

/* QEMU: -name NAME, -name guest=NAME,debug-threads=on. */
static void vm_name(pid_t pid, char *name, size_t size)
{
	char *buf = malloc(CMDLINE_MAX), *p, *end;
	ssize_t n;

	name[0] = '\0';
	n = buf ? read_proc(pid, "cmdline", buf, CMDLINE_MAX) : 0;
	for (p = buf, end = buf + (n > 0 ? n : 0); p < end; p += strlen(p) + 1) {
		if (strcmp(p, "-name") && strcmp(p, "--name"))
			continue;
		p += strlen(p) + 1;
		if (p >= end)
			break;
		if (!strncmp(p, "guest=", 6))
			p += 6;
		snprintf(name, size, "%.*s", (int)strcspn(p, ","), p);
		break;
	}
	free(buf);
	if (!name[0] && read_proc(pid, "comm", name, size) > 0)
		name[strcspn(name, "\n")] = '\0';
	make_printable(name);
}

static int vm_get(pid_t pid, struct iofilter_vm *vm, struct fds *fds)
{
	int err = scan_fds(pid, fds);

	if (err)
		return err;
	if (!fds->vms)
		return -ENODEV;
	*vm = (struct iofilter_vm){ .pid = pid, .vcpus = fds->vcpus };
	vm_name(pid, vm->name, sizeof(vm->name));
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	return ((const struct iofilter_vm *)a)->pid - ((const struct iofilter_vm *)b)->pid;
}

int iofilter_vms(struct iofilter_vm **vms, unsigned int *hidden)
{
	struct iofilter_vm vm, *list = NULL, *more;
	struct dirent *e;
	struct fds fds;
	int n = 0, err;
	DIR *proc;
	pid_t pid;

	if (hidden)
		*hidden = 0;
	proc = opendir("/proc");
	if (!proc)
		return lib_fail(-errno, "/proc is not readable: %s", strerror(errno));
	while ((e = readdir(proc))) {
		pid = atoi(e->d_name);
		if (pid <= 0)
			continue;
		err = vm_get(pid, &vm, &fds);
		if (err == -EACCES && hidden)
			++*hidden;
		if (err)
			continue;
		more = realloc(list, (n + 1) * sizeof(*list));
		if (!more) {
			free(list);
			closedir(proc);
			return lib_fail(-ENOMEM, "out of memory");
		}
		list = more;
		list[n++] = vm;
	}
	closedir(proc);
	if (n)
		qsort(list, n, sizeof(*list), by_pid);
	*vms = list;
	return n;
}

static int vm_fail(pid_t pid, int err)
{
	switch (err) {
	case -ENOENT:
	case -ESRCH:
		return lib_fail(-ESRCH, "no such process: %d", pid);
	case -EACCES:
	case -EPERM:
		return lib_fail(-EACCES, "no permission to look into process %d: run as root (CAP_SYS_PTRACE)", pid);
	case -ENODEV:
		return lib_fail(err, "process %d has no KVM virtual machine ('iofilter list' shows those that have)",
				pid);
	default:
		return lib_fail(err, "process %d: %s", pid, strerror(-err));
	}
}

int pid_check(pid_t pid)
{
	return pid > 0 ? 0 : lib_fail(-EINVAL, "%d is no pid: one is above 0", pid);
}

int iofilter_vm_get(pid_t pid, struct iofilter_vm *vm)
{
	struct fds fds;
	int err = pid_check(pid);

	if (err)
		return err;
	err = vm_get(pid, vm, &fds);
	return err ? vm_fail(pid, err) : 0;
}

static bool is_vm(pid_t pid, int fd)
{
	char path[64], target[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
	return readlink(path, target, sizeof(target) - 1) > 0 && !strcmp(target, "anon_inode:kvm-vm");
}

int vm_open(pid_t pid, int want_fd)
{
	struct iofilter_vm vm;
	int err = pid_check(pid), fd, pidfd;
	struct fds fds;

	if (err)
		return err;
	/* A VMM itself: no right is needed for what it has. */
	if (pid == getpid() && want_fd > 0 && is_vm(pid, want_fd)) {
		fd = fcntl(want_fd, F_DUPFD_CLOEXEC, 0);
		return fd >= 0 ? fd : lib_fail(-errno, "descriptor %d: %s", want_fd, strerror(errno));
	}
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0 && errno == EINVAL)
		return lib_fail(-EINVAL, "%d is a thread, not a process", pid);
	if (pidfd < 0)
		return vm_fail(pid, -errno);
	err = vm_get(pid, &vm, &fds);
	if (err)
		err = vm_fail(pid, err);
	else if (want_fd > 0 && !is_vm(pid, want_fd))
		err = lib_fail(-ENODEV, "descriptor %d of process %d is no KVM virtual machine", want_fd, pid);
	else if (want_fd <= 0 && fds.vms > 1)
		err = lib_fail(-EINVAL, "process %d has %u virtual machines: say which with --vm-fd (see /proc/%d/fd)",
			       pid, fds.vms, pid);
	if (!err) {
		fd = pidfd_getfd(pidfd, want_fd > 0 ? want_fd : fds.vm_fds[0], 0);
		err = fd >= 0 ? fd : vm_fail(pid, errno == EBADF ? -ENODEV : -errno);
	}
	close(pidfd);
	return err;
}
