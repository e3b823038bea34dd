// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What the host has of what is needed: one row each. */
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "lib.h"

#define MIN_MAJOR 6
#define MIN_MINOR 11

/* Each prober may fill @detail and takes the row's @arg. */
typedef enum iofilter_answer (*probe_fn)(unsigned long arg, char *detail, size_t size);

static enum iofilter_answer by_errno(void)
{
	return errno == EACCES || errno == EPERM ? IOFILTER_UNKNOWN : IOFILTER_NO;
}

static enum iofilter_answer kernel(unsigned long arg, char *detail, size_t size)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	(void)arg;
	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return IOFILTER_UNKNOWN;
	snprintf(detail, size, "%s", u.release);
	return major > MIN_MAJOR || (major == MIN_MAJOR && minor >= MIN_MINOR) ? IOFILTER_YES : IOFILTER_NO;
}

static enum iofilter_answer path(unsigned long arg, char *detail, size_t size)
{
	(void)detail;
	(void)size;
	return access((const char *)arg, F_OK) ? by_errno() : IOFILTER_YES;
}

static enum iofilter_answer lockdown(unsigned long arg, char *detail, size_t size)
{
	char line[128], *p;
	FILE *f;

	(void)arg;
	f = fopen("/sys/kernel/security/lockdown", "re");
	if (!f && errno == ENOENT) {
		snprintf(detail, size, "not in this kernel, or securityfs not mounted");
		return IOFILTER_YES;
	}
	if (!f)
		return IOFILTER_UNKNOWN;
	p = fgets(line, sizeof(line), f);
	fclose(f);
	p = p ? strchr(p, '[') : NULL;
	if (!p)
		return IOFILTER_UNKNOWN;
	p++;
	p[strcspn(p, "]")] = '\0';
	snprintf(detail, size, "%s", p);
	return strcmp(p, "none") ? IOFILTER_NO : IOFILTER_YES;
}

static enum iofilter_answer cap(unsigned long arg, char *detail, size_t size)
{
	unsigned long long caps = 0;
	char line[128];
	bool known = false;
	FILE *f;

	(void)detail;
	(void)size;
	f = fopen("/proc/self/status", "re");
	if (!f)
		return IOFILTER_UNKNOWN;
	while (!known && fgets(line, sizeof(line), f))
		known = sscanf(line, "CapEff: %llx", &caps) == 1;
	fclose(f);
	if (!known)
		return IOFILTER_UNKNOWN;
	return caps >> arg & 1 ? IOFILTER_YES : IOFILTER_NO;
}

static enum iofilter_answer mounted(const char *dir, unsigned long magic)
{
	struct statfs fs;

	if (statfs(dir, &fs))
		return by_errno();
	return (unsigned long)fs.f_type == magic ? IOFILTER_YES : IOFILTER_NO;
}

static enum iofilter_answer bpffs(unsigned long arg, char *detail, size_t size)
{
	(void)detail;
	(void)size;
	return mounted("/sys/fs/bpf", arg);
}

static enum iofilter_answer debugfs(unsigned long arg, char *detail, size_t size)
{
	(void)detail;
	(void)size;
	return mounted("/sys/kernel/debug", arg);
}

static enum iofilter_answer jit(unsigned long arg, char *detail, size_t size)
{
	int on = -1;
	FILE *f;

	(void)arg;
	f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	if (!f)
		return by_errno() == IOFILTER_NO ? IOFILTER_UNKNOWN : by_errno();
	if (fscanf(f, "%d", &on) == 1)
		snprintf(detail, size, "net.core.bpf_jit_enable=%d", on);
	fclose(f);
	return on < 0 ? IOFILTER_UNKNOWN : on ? IOFILTER_YES : IOFILTER_NO;
}

#define P(s) ((unsigned long)(s))

static const struct {
	const char *id, *name;
	probe_fn probe;
	unsigned long arg;
	int required;
	const char *todo;
} rows[] = {
	{ "kernel", "kernel 6.11 or later", kernel, 0, 1,
	  "boot a newer kernel (Debian 12: linux-image-amd64 from backports)" },
	{ "btf", "kernel has BTF", path, P(KERNEL_BTF), 1, "boot a kernel with CONFIG_DEBUG_INFO_BTF=y" },
	{ "jit", "BPF JIT is on", jit, 0, 1, "sysctl net.core.bpf_jit_enable=1" },
	{ "kvm", "/dev/kvm is there", path, P("/dev/kvm"), 1,
	  "modprobe kvm-intel or kvm-amd; switch virtualisation on in the firmware" },
	{ "module", "module " MODULE " is loaded", path, P("/sys/module/" MODULE), 1, "modprobe " MODULE },
	{ "module_btf", "its BTF is usable", path, P(MODULE_BTF), 1,
	  "load the module, built against the headers of this very kernel" },
	{ "lockdown", "lockdown is off", lockdown, 0, 0,
	  "sign the module with an enrolled key, or boot without lockdown" },
	{ "cap_bpf", "CAP_BPF (attach)", cap, CAP_BPF, 1, "run as root" },
	{ "cap_perfmon", "CAP_PERFMON (attach)", cap, CAP_PERFMON, 1, "run as root" },
	{ "cap_sys_ptrace", "CAP_SYS_PTRACE (take the VM's descriptor)", cap, CAP_SYS_PTRACE, 1, "run as root" },
	{ "cap_sys_admin", "CAP_SYS_ADMIN (status, detach)", cap, CAP_SYS_ADMIN, 0, "run as root" },
	{ "bpffs", "BPF file system is mounted (--pin)", bpffs, BPF_FS_MAGIC, 0, "mount -t bpf bpf /sys/fs/bpf" },
	{ "debugfs", "debugfs is mounted (the module's counters)", debugfs, DEBUGFS_MAGIC, 0,
	  "mount -t debugfs debugfs /sys/kernel/debug" },
};

#define NR_ROWS (sizeof(rows) / sizeof(rows[0]))

int iofilter_features(struct iofilter_feature **features)
{
	struct iofilter_feature *f = calloc(NR_ROWS, sizeof(*f));

	if (!f)
		return lib_fail(-ENOMEM, "out of memory");
	for (size_t i = 0; i < NR_ROWS; i++) {
		f[i].id = rows[i].id;
		f[i].name = rows[i].name;
		f[i].required = rows[i].required;
		f[i].todo = rows[i].todo;
		f[i].answer = rows[i].probe(rows[i].arg, f[i].detail, sizeof(f[i].detail));
	}
	*features = f;
	return NR_ROWS;
}
