/* SPDX-License-Identifier: GPL-2.0 */
/* record.bpf.c on a VM of one's own: the common beginning and end of the tests of the module's contract. */
#ifndef SELFTESTS_RECORDER_H
#define SELFTESTS_RECORDER_H

#include "filter.h"
#include "record.h"
#include "record.skel.h"
#include "vmm.h"

struct recorder {
	struct record_bpf *skel;
	struct record *r;
	struct bpf_link *link;
};

static inline struct record_bpf *recorder_open(struct vmm *vmm, const char *name, __u32 bus, __u64 addr, __u32 len)
{
	struct record_bpf *skel = record_bpf__open();

	TEST_ASSERT(skel, "open: %s", strerror(errno));
	filter_set(skel->maps.record_ops, vmm->fd, name, bus, addr, len);
	return skel;
}

static inline void recorder_load(struct recorder *rec, struct record_bpf *skel)
{
	int err = record_bpf__load(skel);

	TEST_ASSERT(!err, "load: %s (is the module loaded?)", strerror(-err));
	rec->skel = skel;
	rec->r = &skel->data_record->record;
	rec->link = NULL;
}

static inline void recorder_attach(struct recorder *rec, struct vmm *vmm, __u32 bus, __u64 addr, __u32 len)
{
	recorder_load(rec, recorder_open(vmm, NULL, bus, addr, len));
	rec->link = filter_attach(rec->skel->maps.record_ops);
}

static inline void recorder_free(struct recorder *rec)
{
	bpf_link__destroy(rec->link);
	record_bpf__destroy(rec->skel);
}

/* The newest but @back. */
static inline const struct record_access *recorder_access(const struct recorder *rec, int back)
{
	return &rec->r->log[(rec->r->nr - 1 - back) % RECORD_MAX];
}

static inline const struct kvm_iofilter_sample *recorder_sample(const struct recorder *rec, int back)
{
	return &rec->r->samples[(rec->r->nr_samples - 1 - back) % RECORD_MAX];
}

#endif /* SELFTESTS_RECORDER_H */
