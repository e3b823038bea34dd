// SPDX-License-Identifier: GPL-2.0
/* Every program in bad/ is refused at load, for the reason it was written for. */
#include <dirent.h>
#include <limits.h>
#include "filter.h"

static char log_buf[1 << 20];
static size_t log_len;

static int collect(enum libbpf_print_level level, const char *fmt, va_list args)
{
	int n;

	if (level > LIBBPF_INFO || log_len >= sizeof(log_buf) - 1)
		return 0;
	n = vsnprintf(log_buf + log_len, sizeof(log_buf) - log_len, fmt, args);
	if (n > 0)
		log_len += n;
	return n;
}

static const struct {
	const char *name;
	const char *says; /* in the messages; NULL: it must load */
} rows[] = {
	{ "good", NULL },
	{ "write_addr", "only val and delay of struct kvm_iofilter_req may be written" },
	{ "write_flags", "only val and delay of struct kvm_iofilter_req may be written" },
	{ "write_across", "only val and delay of struct kvm_iofilter_req may be written" },
	{ "write_sample", "only val and delay of struct kvm_iofilter_req may be written" },
	{ "read_beyond", "access beyond struct kvm_iofilter_req" },
	{ "read_before", "ptr_kvm_iofilter_req invalid negative access" },
	{ "sleepable", "attach to unsupported member read" },
	{ "kfunc_forged", "must point to scalar, or struct with scalar" },
	{ "kfunc_inside", "args#0 expected pointer to STRUCT kvm_iofilter_req" },
	{ "helper_probe", "cannot use helper bpf_probe_read_kernel" },
	{ "helper_printk", "cannot use helper bpf_trace_printk" },
	{ "helper_timer", "cannot use helper bpf_timer_init" },
	{ "endless", "infinite loop detected" },
	{ "no_license", "must have a GPL compatible license" },
};

static char dir[PATH_MAX];

static void refused(void)
{
	char path[PATH_MAX + 64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bpf_object *obj;
		int err;

		log_len = 0;
		snprintf(path, sizeof(path), "%s/%s.bpf.o", dir, rows[i].name);
		obj = bpf_object__open_file(path, NULL);
		TEST_ASSERT(obj, "%s: %s", path, strerror(errno));
		err = bpf_object__load(obj);
		bpf_object__close(obj);
		if (!rows[i].says) {
			TEST_ASSERT(!err, "%s: wanted it to load, got %s:\n%s", rows[i].name, strerror(-err), log_buf);
			continue;
		}
		TEST_ASSERT(err, "%s: it was loaded", rows[i].name);
		TEST_ASSERT(strstr(log_buf, rows[i].says), "%s: wanted a message with '%s', got:\n%s", rows[i].name,
			    rows[i].says, log_buf);
	}
}

/* A file there without a row here would be a test that nobody runs. */
static void all_listed(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned int i;

	TEST_ASSERT(d, "%s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len < 6 || strcmp(e->d_name + len - 6, ".bpf.o"))
			continue;
		for (i = 0; i < ARRAY_SIZE(rows); i++)
			if (strlen(rows[i].name) == len - 6 && !strncmp(rows[i].name, e->d_name, len - 6))
				break;
		TEST_ASSERT(i < ARRAY_SIZE(rows), "%s has no row in this test", e->d_name);
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "refused", refused },
		{ "all_listed", all_listed },
	};
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 16);

	TEST_ASSERT(n > 0, "readlink: %s", strerror(errno));
	dir[n] = 0;
	strcpy(strrchr(dir, '/'), "/../bad");
	libbpf_set_print(collect);
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
