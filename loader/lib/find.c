// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What is attached on this host, whoever did it: each BPF link with a struct_ops map whose type is the module's. The
 * map's value names the programs, and one of their maps is the state.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "lib.h"

/*
 * What an id stands for, as a descriptor. A filter that cannot be looked at, for lack of descriptors or memory, must not pass for one that is not
 * there. Return: it; -ENOENT: it went meanwhile, or (a link) is not made yet; or -errno with a reason.
 */
static int by_id(int fd, const char *what, __u32 id)
{
	int err = fd < 0 ? errno : 0;

	if (!err)
		return fd;
	if (err == ENOENT || err == EAGAIN)
		return -ENOENT;
	return lib_fail(-err, "looking at BPF %s %u: %s", what, id, strerror(err));
}

/* Return: 1 if it is the module's, 0, or -errno. */
static int module_btf(__u32 btf_id)
{
	char name[64] = "";
	struct bpf_btf_info info = { .name = (__u64)(unsigned long)name, .name_len = sizeof(name) };
	__u32 len = sizeof(info);
	int fd, err;

	fd = by_id(bpf_btf_get_fd_by_id(btf_id), "type information", btf_id);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = bpf_btf_get_info_by_fd(fd, &info, &len);
	close(fd);
	return !err && info.kernel_btf && !strcmp(name, MODULE);
}

/* Return: 1 if they are the module's, 0, or -errno. */
static int read_ops(__u32 map_id, struct kvm_iofilter_ops *ops)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	struct ops_value v;
	int fd, ours = 0;

	fd = by_id(bpf_map_get_fd_by_id(map_id), "map", map_id);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (!bpf_map_get_info_by_fd(fd, &info, &len) && info.type == BPF_MAP_TYPE_STRUCT_OPS && info.value_size == sizeof(v))
		ours = module_btf(info.btf_vmlinux_id);
	if (ours > 0 && bpf_map_lookup_elem(fd, &zero, &v))
		ours = 0;
	close(fd);
	if (ours > 0) {
		*ops = v.ops;
		ops->name[sizeof(ops->name) - 1] = '\0';
		if (ops->nr_ranges > KVM_IOFILTER_MAX_RANGES)
			ops->nr_ranges = KVM_IOFILTER_MAX_RANGES;
	}
	return ours;
}

/* Return: the program's state map, -ENOENT: it has none, or -errno. */
static int prog_state(__u32 prog_id)
{
	__u32 ids[64], i, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = { .nr_map_ids = 64, .map_ids = (__u64)(unsigned long)ids };
	struct bpf_map_info map;
	int prog, fd;

	prog = by_id(bpf_prog_get_fd_by_id(prog_id), "program", prog_id);
	if (prog < 0)
		return prog;
	if (bpf_prog_get_info_by_fd(prog, &info, &len))
		info.nr_map_ids = 0;
	close(prog);
	for (i = 0; i < info.nr_map_ids && i < 64; i++) {
		fd = by_id(bpf_map_get_fd_by_id(ids[i]), "map", ids[i]);
		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		len = sizeof(map);
		memset(&map, 0, len);
		if (!bpf_map_get_info_by_fd(fd, &map, &len) && !strcmp(map.name, IOFILTER_STATE_MAP) &&
		    map.value_size >= sizeof(struct iofilter_head))
			return fd;
		close(fd);
	}
	return -ENOENT;
}

static int ops_state(const struct kvm_iofilter_ops *ops)
{
	struct kvm_iofilter_ops copy = *ops;
	int i, fd = -ENOENT;
	void *id;

	for (i = 0; i < NR_OPS && fd == -ENOENT; i++) {
		id = *ops_prog(&copy, i);
		if (id)
			fd = prog_state((unsigned long)id);
	}
	return fd;
}

struct iofilter_head *head_map(int state_fd, int prot)
{
	struct iofilter_head *head;

	if (state_fd < 0)
		return NULL;
	head = mmap(NULL, sizeof(*head), prot, MAP_SHARED, state_fd, 0);
	if (head == MAP_FAILED)
		return NULL;
	if (head->magic == IOFILTER_STATE_MAGIC)
		return head;
	head_unmap(head);
	return NULL;
}

void head_unmap(struct iofilter_head *head)
{
	munmap(head, sizeof(*head));
}

static pid_t state_pid(int state_fd)
{
	struct iofilter_head *head = head_map(state_fd, PROT_READ);
	pid_t pid;

	if (!head)
		return 0;
	pid = head->pid;
	head_unmap(head);
	return pid;
}

static pid_t stats_pid(const struct stats_row *rows, int n, __u32 link_id)
{
	for (int i = 0; i < n; i++)
		if (rows[i].link_id == link_id)
			return rows[i].pid;
	return 0;
}

int find_none(pid_t pid, const char *device)
{
	return lib_fail(-ENOENT, "%s is not attached to VM %d ('iofilter status' shows what is)", device, pid);
}

void find_release(struct found *f)
{
	close_fd(f->link_fd);
	close_fd(f->state_fd);
	f->link_fd = f->state_fd = -1;
}

/* The filter whose link is @f->link_fd. Return: 1 and all of *@f, 0: the link is none of a filter's, or -errno. */
static int found_fill(struct found *f, const struct stats_row *rows, int n)
{
	int map_id = link_map_id(f->link_fd, NULL), ours;

	ours = map_id > 0 ? read_ops(map_id, &f->ops) : 0;
	if (ours <= 0)
		return ours;
	f->state_fd = ops_state(&f->ops);
	if (f->state_fd < 0 && f->state_fd != -ENOENT)
		return f->state_fd;
	f->pid = state_pid(f->state_fd) ?: stats_pid(rows, n, f->link_id);
	return 1;
}

int find_each(pid_t pid, int (*fn)(const struct found *f, void *arg), void *arg)
{
	struct stats_row *rows = NULL;
	int err = 0, n, ours;
	struct found f;
	__u32 id = 0;

	n = stats_read(&rows);
	while (!err) {
		if (bpf_link_get_next_id(id, &id)) {
			if (errno == EPERM)
				err = lib_fail(-EPERM,
					       "no permission to see what is attached: run as root (CAP_SYS_ADMIN)");
			else if (errno != ENOENT)
				err = lib_fail(-errno, "reading the list of BPF links: %s", strerror(errno));
			break;
		}
		f = (struct found){ .link_id = id, .state_fd = -1 };
		f.link_fd = by_id(bpf_link_get_fd_by_id(id), "link", id);
		ours = f.link_fd >= 0 ? found_fill(&f, rows, n) : f.link_fd == -ENOENT ? 0 : f.link_fd;
		if (ours < 0)
			err = ours;
		else if (ours && (!pid || f.pid == pid))
			err = fn(&f, arg);
		find_release(&f);
	}
	free(rows);
	return err;
}

struct one {
	const char *device;
	struct found *f;
};

static int match(const struct found *f, void *arg)
{
	struct one *one = arg;
	int err;

	if (strcmp(f->ops.name, one->device))
		return 0;
	*one->f = *f;
	/* A child that another thread starts must not hold the filter. */
	one->f->link_fd = fcntl(f->link_fd, F_DUPFD_CLOEXEC, 0);
	one->f->state_fd = f->state_fd < 0 || one->f->link_fd < 0 ? -1 : fcntl(f->state_fd, F_DUPFD_CLOEXEC, 0);
	if (one->f->link_fd >= 0 && (f->state_fd < 0 || one->f->state_fd >= 0))
		return 1;
	err = lib_fail(-errno, "holding %s of VM %d: %s", one->device, f->pid, strerror(errno));
	find_release(one->f);
	return err;
}

int find_one(pid_t pid, const char *device, struct found *f)
{
	int err = pid_check(pid);

	if (err)
		return err;
	return find_each(pid, match, &(struct one){ device, f });
}
