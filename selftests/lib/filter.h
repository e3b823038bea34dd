/* SPDX-License-Identifier: GPL-2.0 */
/* Attaching a filter to one's own VM with nothing but libbpf, and what the module says about it. */
#ifndef SELFTESTS_FILTER_H
#define SELFTESTS_FILTER_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <iofilter/ops.h>
#include "test.h"

/* The ops as they will be loaded: skeletons leave the array members out. */
struct kvm_iofilter_ops *filter_ops(struct bpf_map *map);

/* One range, and a name if it is not NULL. */
void filter_set(struct bpf_map *map, int vm_fd, const char *name, __u32 bus, __u64 addr, __u32 len);
void filter_add_range(struct bpf_map *map, __u32 bus, __u64 addr, __u32 len);

/* Asserts that it works; and: the link or NULL with errno. */
struct bpf_link *filter_attach(struct bpf_map *map);
struct bpf_link *__filter_attach(struct bpf_map *map);

/* Does a poll of the link report a hang-up within @ms? */
bool filter_hung_up(const struct bpf_link *link, int ms);

struct filter_counts {
	unsigned long long reads_handled, reads_punted, writes_handled, writes_punted;
};

/* Summed over the ranges of this link. False: the module has no such link. */
bool filter_counts(const struct bpf_link *link, struct filter_counts *c);

/* Rows in the module's table, of all filters. */
int filter_rows(void);

/* References on the module. */
int filter_module_refs(void);

/* Libbpf's messages are shown only if this is set. */
extern bool filter_verbose;

#endif /* SELFTESTS_FILTER_H */
