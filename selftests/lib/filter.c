// SPDX-License-Identifier: GPL-2.0
#include <poll.h>
#include <stdarg.h>
#include "filter.h"

#define TABLE	  "/sys/kernel/debug/kvm_iofilter/filters"
#define REFCOUNT  "/sys/module/kvm_iofilter/refcnt"

bool filter_verbose;

static int print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return filter_verbose && level <= LIBBPF_INFO ? vfprintf(stderr, fmt, args) : 0;
}

__attribute__((constructor)) static void init(void)
{
	filter_verbose = getenv("V") != NULL;
	libbpf_set_print(print);
}

struct kvm_iofilter_ops *filter_ops(struct bpf_map *map)
{
	size_t size;
	struct kvm_iofilter_ops *ops = bpf_map__initial_value(map, &size);

	TEST_ASSERT(ops && size == sizeof(*ops), "the map's value is %zu bytes, the ops are %zu", size, sizeof(*ops));
	return ops;
}

void filter_set(struct bpf_map *map, int vm_fd, const char *name, __u32 bus, __u64 addr, __u32 len)
{
	struct kvm_iofilter_ops *ops = filter_ops(map);

	ops->vm_fd = vm_fd;
	if (name)
		snprintf(ops->name, sizeof(ops->name), "%s", name);
	memset(ops->ranges, 0, sizeof(ops->ranges));
	ops->nr_ranges = 0;
	filter_add_range(map, bus, addr, len);
}

void filter_add_range(struct bpf_map *map, __u32 bus, __u64 addr, __u32 len)
{
	struct kvm_iofilter_ops *ops = filter_ops(map);

	TEST_ASSERT(ops->nr_ranges < KVM_IOFILTER_MAX_RANGES, "%u ranges", ops->nr_ranges);
	ops->ranges[ops->nr_ranges++] = (struct kvm_iofilter_range){ .addr = addr, .len = len, .bus = bus };
}

struct bpf_link *__filter_attach(struct bpf_map *map)
{
	return bpf_map__attach_struct_ops(map);
}

struct bpf_link *filter_attach(struct bpf_map *map)
{
	struct bpf_link *link = __filter_attach(map);

	TEST_ASSERT(link, "attach: %s", strerror(errno));
	return link;
}

bool filter_hung_up(const struct bpf_link *link, int ms)
{
	struct pollfd p = { .fd = bpf_link__fd(link) };

	return poll(&p, 1, ms) == 1 && p.revents & POLLHUP;
}

static FILE *table_open(void)
{
	char header[256];
	FILE *f = fopen(TABLE, "r");

	TEST_ASSERT(f, "%s: %s", TABLE, strerror(errno));
	TEST_ASSERT(fgets(header, sizeof(header), f), "%s is empty", TABLE);
	return f;
}

bool filter_counts(const struct bpf_link *link, struct filter_counts *c)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	struct filter_counts r;
	unsigned int id;
	bool found = false;
	FILE *f;

	TEST_ASSERT(!bpf_link_get_info_by_fd(bpf_link__fd(link), &info, &len), "link info: %s", strerror(errno));
	memset(c, 0, sizeof(*c));
	f = table_open();
	while (fscanf(f, "%u %*d %*s %*s %*x %*u %llu %llu %llu %llu", &id, &r.reads_handled, &r.reads_punted,
		      &r.writes_handled, &r.writes_punted) == 5) {
		if (id != info.id)
			continue;
		found = true;
		c->reads_handled += r.reads_handled;
		c->reads_punted += r.reads_punted;
		c->writes_handled += r.writes_handled;
		c->writes_punted += r.writes_punted;
	}
	fclose(f);
	return found;
}

int filter_rows(void)
{
	FILE *f = table_open();
	char line[256];
	int n = 0;

	while (fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n;
}

int filter_module_refs(void)
{
	FILE *f = fopen(REFCOUNT, "r");
	int n;

	TEST_ASSERT(f, "%s: %s", REFCOUNT, strerror(errno));
	TEST_ASSERT(fscanf(f, "%d", &n) == 1, "%s holds no number", REFCOUNT);
	fclose(f);
	return n;
}
