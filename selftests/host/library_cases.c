// SPDX-License-Identifier: GPL-2.0
/*
 * What libiofilter makes of a kernel that has one filter, here a forged one: its descriptors are real, so that a process can be short of them,
 * and its pins are files in a folder of the test's.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <loader/lib/lib.h>
#include <iofilter/table.h>
#include "host.h"

/* --- the kernel --- */

enum { LINK = 1, OPS, BTF, PROG, STATE };

static struct {
	const char *name;
	size_t state_size;
	int err; /* of the link */
	bool alive;
	bool clean_meanwhile; /* somebody cleans up just before the next pin */
	bool vm; /* descriptor 0 of each process is one */
	int what[64]; /* by descriptor */
} k;
static int state = -1;
static char dir[] = "/tmp/library_cases.XXXXXX";

static int get(int what)
{
	int fd = fcntl(state, F_DUPFD_CLOEXEC, 0);

	assert_true(fd < 64);
	if (fd < 0)
		return -errno;
	k.what[fd] = what;
	return fd;
}

#define WRAP(ret, name, ...)            \
	ret __wrap_##name(__VA_ARGS__); \
	ret __wrap_##name(__VA_ARGS__)

WRAP(int, bpf_link_get_next_id, __u32 id, __u32 *next)
{
	errno = ENOENT;
	*next = LINK;
	return id >= LINK ? -errno : 0;
}

WRAP(int, bpf_link_get_fd_by_id, __u32 id)
{
	errno = k.err;
	return k.err ? -k.err : get(id);
}

WRAP(int, bpf_map_get_fd_by_id, __u32 id)
{
	return get(id);
}

WRAP(int, bpf_btf_get_fd_by_id, __u32 id)
{
	return get(id);
}

WRAP(int, bpf_prog_get_fd_by_id, __u32 id)
{
	return get(id);
}

WRAP(int, bpf_link_get_info_by_fd, int fd, struct bpf_link_info *info, __u32 *len)
{
	(void)fd, (void)len;
	info->type = BPF_LINK_TYPE_STRUCT_OPS;
	info->id = LINK;
	info->struct_ops.map_id = k.alive ? OPS : 0;
	return 0;
}

WRAP(int, bpf_map_get_info_by_fd, int fd, struct bpf_map_info *info, __u32 *len)
{
	(void)len;
	info->type = k.what[fd] == OPS ? BPF_MAP_TYPE_STRUCT_OPS : BPF_MAP_TYPE_ARRAY;
	info->value_size = k.what[fd] == OPS ? sizeof(struct ops_value) : k.state_size;
	info->btf_vmlinux_id = BTF;
	info->map_flags = BPF_F_MMAPABLE;
	strcpy(info->name, k.what[fd] == OPS ? "ops" : IOFILTER_STATE_MAP);
	return 0;
}

WRAP(int, bpf_btf_get_info_by_fd, int fd, struct bpf_btf_info *info, __u32 *len)
{
	(void)fd, (void)len;
	strcpy((char *)(unsigned long)info->name, MODULE);
	info->kernel_btf = 1;
	return 0;
}

WRAP(int, bpf_prog_get_info_by_fd, int fd, struct bpf_prog_info *info, __u32 *len)
{
	(void)fd, (void)len;
	info->nr_map_ids = 1;
	*(__u32 *)(unsigned long)info->map_ids = STATE;
	return 0;
}

WRAP(int, bpf_map_lookup_elem, int fd, const void *key, void *value)
{
	struct ops_value *v = value;

	(void)fd, (void)key;
	*v = (struct ops_value){ .ops.read = (void *)PROG };
	strcpy(v->ops.name, k.name);
	return 0;
}

WRAP(int, bpf_link_detach, int fd)
{
	(void)fd;
	k.alive = false;
	return 0;
}

/* --- its file system --- */

static const char *moved(const char *path)
{
	static char to[512];

	assert_false(strncmp(path, IOFILTER_PIN_DIR, strlen(IOFILTER_PIN_DIR)));
	snprintf(to, sizeof(to), "%s%s", dir, path + strlen(IOFILTER_PIN_DIR));
	return to;
}

int __real_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __real_unlink(const char *path);
DIR *__real_opendir(const char *path);
ssize_t __real_readlinkat(int at, const char *path, char *buf, size_t size);

WRAP(int, mkdir, const char *path, mode_t mode)
{
	return __real_mkdir(moved(path), mode);
}

WRAP(int, rmdir, const char *path)
{
	return __real_rmdir(moved(path));
}

WRAP(int, unlink, const char *path)
{
	return __real_unlink(moved(path));
}

WRAP(DIR *, opendir, const char *path)
{
	return __real_opendir(strncmp(path, "/proc", 5) ? moved(path) : path);
}

WRAP(int, statfs, const char *path, struct statfs *fs)
{
	(void)path;
	fs->f_type = BPF_FS_MAGIC;
	return 0;
}

WRAP(ssize_t, readlinkat, int at, const char *path, char *buf, size_t size)
{
	if (k.vm && !strcmp(path, "0"))
		return snprintf(buf, size, "anon_inode:kvm-vm");
	return __real_readlinkat(at, path, buf, size);
}

WRAP(int, bpf_obj_pin, int fd, const char *path)
{
	int file;

	(void)fd;
	if (k.clean_meanwhile) {
		k.clean_meanwhile = false;
		assert_int_equal(iofilter_clean(), 0);
	}
	file = open(moved(path), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	close_fd(file);
	return file < 0 ? -errno : 0;
}

WRAP(int, bpf_obj_get, const char *path)
{
	return access(moved(path), F_OK) ? -errno : get(strstr(path, "/link") ? LINK : STATE);
}

static bool pinned(const char *leaf)
{
	char path[128];

	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d/%s%s", getpid(), k.name, leaf);
	return !access(moved(path), F_OK);
}

/* --- a filter --- */

/* Its state is of @device, and says that it is as large as @claimed. */
static int attached(void **context, const char *name, const char *device, size_t claimed)
{
	const struct device *d = device_find(device);
	struct iofilter_head head = { .magic = IOFILTER_STATE_MAGIC, .pid = getpid(), .size = claimed };

	(void)context;
	memset(&k, 0, sizeof(k));
	k.name = name;
	k.alive = true;
	k.state_size = claimed;
	head.version = d->version;
	strcpy(head.device, device);
	close_fd(state);
	state = memfd_create("state", MFD_CLOEXEC);
	assert_true(state >= 0 && !ftruncate(state, claimed) && pwrite(state, &head, sizeof(head), 0) == sizeof(head));
	return 0;
}

static int pmtimer(void **context)
{
	return attached(context, "pmtimer", "pmtimer", sizeof(struct iofilter_counter));
}

static void pids(void **context)
{
	const pid_t none[] = { 0, -1 };
	const char *devices[] = { "pmtimer", NULL };
	struct iofilter_map_opts change = { .size = sizeof(change) };
	struct iofilter_table *table;
	struct iofilter_info *infos;
	struct iofilter *f;
	struct iofilter_vm vm;
	size_t size;
	void *data;

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		pid_t pid = none[i];
		char want[32];

#define REFUSED(call)                                              \
	do {                                                       \
		lib_fail(0, "nothing");                            \
		assert_int_equal(call, -EINVAL);                   \
		snprintf(want, sizeof(want), "%d is no pid", pid); \
		assert_non_null(strstr(iofilter_error(), want));   \
	} while (0)
		REFUSED(iofilter_vm_get(pid, &vm));
		REFUSED(iofilter_attach(pid, "pmtimer", NULL, &f));
		REFUSED(iofilter_open(pid, "pmtimer", &f));
		REFUSED(iofilter_detach(pid, "pmtimer", 0));
		REFUSED(iofilter_update(pid, "pmtimer", NULL));
		REFUSED(iofilter_clock_set(pid, "pmtimer", IOFILTER_CLOCK_STOP, 0));
		REFUSED(iofilter_table_get(pid, &table));
		REFUSED(iofilter_map_set(pid, 0x608, &change));
		REFUSED(iofilter_unmap(pid, 0x608));
		REFUSED(iofilter_save_vm(pid, NULL, &data, &size));
		REFUSED(iofilter_save_vm(pid, devices, &data, &size));
	}
	assert_true(k.alive);
	assert_int_equal(iofilter_list(0, &infos), 1);
	free(infos);
	assert_int_equal(iofilter_open(getpid(), "pmtimer", &f), 0);
	iofilter_close(f);
}

/* What cannot be looked at is not said to be absent. */
static void descriptors(void **context)
{
	struct rlimit all, few;
	struct iofilter_info *infos;
	struct iofilter *f;
	int n, err, listed, refused = 0, lowest = dup(0);

	(void)context;
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	for (n = 0;; n++) {
		few = (struct rlimit){ .rlim_cur = lowest + n, .rlim_max = all.rlim_max };
		setrlimit(RLIMIT_NOFILE, &few);
		err = iofilter_open(getpid(), "pmtimer", &f);
		listed = iofilter_list(getpid(), &infos);
		setrlimit(RLIMIT_NOFILE, &all);
		if (!err)
			iofilter_close(f);
		if (listed >= 0)
			free(infos);
		if (!err && listed == 1)
			break;
		assert_true(err == -EMFILE || !err);
		assert_true(listed == -EMFILE || listed == 1);
		refused++;
	}
	assert_true(refused >= 4);
	assert_int_equal(dup(0), lowest);
	close(lowest);
	/* Gone meanwhile, or not made yet. */
	k.err = ENOENT;
	assert_int_equal(iofilter_open(getpid(), "pmtimer", &f), -ENOENT);
	k.err = EAGAIN;
	assert_int_equal(iofilter_open(getpid(), "pmtimer", &f), -ENOENT);
	k.err = ENOMEM;
	assert_int_equal(iofilter_open(getpid(), "pmtimer", &f), -ENOMEM);
	assert_non_null(strstr(iofilter_error(), "BPF link 1"));
}

static void saved_size(void **context)
{
	const char *const devices[] = { "pmtimer", "rtc", NULL };
	size_t size = 77;
	void *data = &size;

	(void)context;
	assert_int_equal(iofilter_save_vm(getpid(), devices, &data, &size), -ENOENT);
	assert_int_equal(size, 77);
	assert_ptr_equal(data, &size);
	assert_int_equal(iofilter_save_vm(getpid(), NULL, &data, &size), 1);
	assert_true(size > 77);
	free(data);
}

static void tables(void **context)
{
	struct iofilter_table *t = NULL;

	assert_int_equal(iofilter_table_get(getpid(), &t), -ENOENT);
	assert_string_equal(strchr(iofilter_error(), '(') ? "no table" : "", "no table");
	attached(context, "table", "table", sizeof(*t));
	assert_int_equal(iofilter_table_get(getpid(), &t), 0);
	assert_int_equal(t->head.size, sizeof(*t));
	free(t);
	t = NULL;
	attached(context, "table", "table", sizeof(struct iofilter_head));
	assert_int_equal(iofilter_table_get(getpid(), &t), -EPROTO);
	attached(context, "table", "pmtimer", sizeof(struct iofilter_counter));
	assert_int_equal(iofilter_table_get(getpid(), &t), -EPROTO);
	assert_null(t);
}

static void pins(void **context)
{
	struct iofilter_info *infos;
	struct iofilter *f;
	char path[128];

	(void)context;
	assert_int_equal(iofilter_open(getpid(), "pmtimer", &f), 0);
	k.clean_meanwhile = true;
	assert_int_equal(iofilter_pin(f), 0);
	assert_true(pinned("/link") && pinned("/state"));
	assert_int_equal(iofilter_pin(f), -EEXIST);
	assert_true(pinned("/link") && pinned("/state"));
	assert_int_equal(iofilter_clean(), 0);
	assert_true(pinned("/link"));
	/* One who stops it has pinned it. */
	assert_int_equal(iofilter_stop(f, 0), 0);
	assert_false(pinned(""));

	/* A filter that is gone leaves pins, which are told, replaced and removed. */
	k.alive = true;
	assert_int_equal(iofilter_pin(f), 0);
	k.alive = false;
	assert_int_equal(iofilter_list(getpid(), &infos), 1);
	free(infos);
	assert_int_equal(iofilter_clean(), 1);
	assert_false(pinned(""));
	k.alive = true;
	assert_int_equal(iofilter_pin(f), 0);
	k.alive = false;
	assert_int_equal(iofilter_pin(f), 0);
	assert_true(pinned("/link") && pinned("/state"));
	assert_int_equal(iofilter_clean(), 1);

	/* A folder in which nothing is pinned is not a filter's. */
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d", getpid());
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), IOFILTER_PIN_DIR "/%d/%s", getpid(), k.name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(iofilter_list(getpid(), &infos), 0);
	assert_true(pinned(""));
	assert_int_equal(iofilter_clean(), 0);
	assert_false(pinned(""));
	iofilter_close(f);
}

/* An update with new state, of which no more is asked for, has no width or address that the device refuses. */
static void updates(void **context)
{
	static const char *const names[] = { "pmtimer", "hpet", "pit", "speaker", "rtc", "ide" };
	size_t i, size;

	(void)context;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		const struct device *d = device_find(names[i]);
		struct iofilter_opts opts = { .size = sizeof(opts) };
		struct iofilter_info info = {};
		struct kvm_iofilter_ops ops = {};
		struct bpf_object *obj;
		void *state_of = NULL;
		struct bpf_map *map;
		const void *elf, *value;
		int timed, err;

		elf = d->elf(&size);
		obj = bpf_object__open_mem(elf, size, NULL);
		assert_non_null(obj);
		bpf_object__for_each_map(map, obj) {
			value = bpf_map__initial_value(map, &size);
			if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS) {
				memcpy(&ops, value, sizeof(ops));
			} else if (!strcmp(bpf_map__name(map), IOFILTER_STATE_MAP)) {
				state_of = malloc(size);
				memcpy(state_of, value, size);
			}
		}
		assert_true(state_of && ops.nr_ranges);
		d->describe(state_of, &info);
		opts.addr = ops.ranges[0].addr;
		opts.width = info.width;
		for (timed = 0; timed < 2; timed++) {
			if (timed)
				opts.bracket = opts.absence = opts.expiry = 50000;
			err = d->configure(&ops, state_of, &opts);
			if (err)
				fail_msg("%s, width %u: %s", d->name, opts.width, iofilter_error());
		}
		free(state_of);
		bpf_object__close(obj);
	}
}

/* What an update cannot do is refused, before anything is looked at. */
static void update_refuses(void **context)
{
	struct iofilter_map_opts map = { .size = sizeof(map) };
	const struct {
		struct iofilter_opts opts;
		const char *why;
	} rows[] = {
		{ { .addr = 0x608 }, "cannot move" },
		{ { .map = &map }, "iofilter_map_set()" },
		{ { .rules = (struct iofilter_rules *)&map }, "pmtimer is none" },
		{ { .absence = 1 }, "together" },
		{ { .expiry = 1000 }, "together" },
		{ { .bracket = 2, .absence = 2, .expiry = 1 }, "shorter" },
	};

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iofilter_opts opts = rows[i].opts;

		opts.size = sizeof(opts);
		assert_int_equal(iofilter_update(getpid(), "pmtimer", &opts), -EINVAL);
		if (!strstr(iofilter_error(), rows[i].why))
			fail_msg("wanted '%s', got '%s'", rows[i].why, iofilter_error());
	}
}

static void named(const char *name, const char *want)
{
	struct iofilter_vm vm;
	char byte;
	int in[2], out[2], err;
	pid_t pid;

	assert_true(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c", "echo; read x", "-name", name, NULL);
		_exit(1);
	}
	/* It says so once it is what it will be. */
	assert_int_equal(read(out[0], &byte, 1), 1);
	err = iofilter_vm_get(pid, &vm);
	close(in[0]), close(in[1]), close(out[0]), close(out[1]);
	waitpid(pid, NULL, 0);
	assert_int_equal(err, 0);
	assert_string_equal(vm.name, want);
}

static void names(void **context)
{
	char name[80], want[80];
	struct iofilter_vm vm;

	(void)context;
	k.vm = true;
	named("vm-1", "vm-1");
	named("guest=vm 2,debug-threads=on", "vm 2");
	named("m\xc3\xbcll \xe2\x82\xac \xf0\x9f\x92\xbb", "m\xc3\xbcll \xe2\x82\xac \xf0\x9f\x92\xbb");
	named("\x1b[2Ja\tb\x7f", "?[2Ja?b?");
	named("\xc2\x9b" "1m", "?1m");
	named("m\xfcll", "m?ll");
	named("\xff\xfe" "a", "?a");
	/* Overlong, a surrogate, beyond the last character. */
	named("\xc0\xaf" "a", "?a");
	named("\xed\xa0\x80" "a", "?a");
	named("\xf4\x90\x80\x80" "a", "?a");
	named("\xe2\x82", "?");
	/* 63 bytes are kept. */
	memset(name, 'x', sizeof(name));
	memset(want, 'x', sizeof(want));
	strcpy(name + 61, "\xe2\x82\xac");
	strcpy(want + 61, "?");
	named(name, want);
	/* Of what has no such option. */
	assert_int_equal(prctl(PR_SET_NAME, "\xc3\xbc\x07\xc3"), 0);
	assert_int_equal(iofilter_vm_get(getpid(), &vm), 0);
	assert_string_equal(vm.name, "\xc3\xbc??");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pids, pmtimer),
		cmocka_unit_test_setup(descriptors, pmtimer),
		cmocka_unit_test_setup(saved_size, pmtimer),
		cmocka_unit_test_setup(tables, pmtimer),
		cmocka_unit_test_setup(pins, pmtimer),
		cmocka_unit_test_setup(updates, pmtimer),
		cmocka_unit_test_setup(update_refuses, pmtimer),
		cmocka_unit_test_setup(names, pmtimer),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return __real_rmdir(dir) || failed;
}
