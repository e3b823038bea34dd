// SPDX-License-Identifier: GPL-2.0
/* Answers or punts as told (record.h), and writes down what it was given: the module's side of the contract, bare. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "record.h"

char LICENSE[] SEC("license") = "GPL";

struct record record SEC(".data.record");

static __always_inline __u64 record_access(const struct kvm_iofilter_req *req, __u64 write)
{
	__u64 n = __sync_fetch_and_add(&record.nr, 1);
	struct record_access *a = &record.log[n % RECORD_MAX];

	a->now = req->now;
	a->addr = req->addr;
	a->val = req->val;
	a->away = req->away;
	a->len = req->len;
	a->count = req->count;
	a->vcpu = req->vcpu;
	a->flags = req->flags;
	a->write = write;
	return n;
}

SEC("struct_ops/record_read")
int BPF_PROG(record_read, struct kvm_iofilter_req *req)
{
	__u64 n = record_access(req, 0);

	req->delay = record.delay;
	if (!record.answer_reads || n < record.answer_from)
		return 0;
	req->val = __sync_fetch_and_add(&record.value, record.step);
	return 1;
}

SEC("struct_ops/record_write")
int BPF_PROG(record_write, struct kvm_iofilter_req *req)
{
	record_access(req, 1);
	return record.answer_writes;
}

SEC("struct_ops/record_sample")
void BPF_PROG(record_sample, struct kvm_iofilter_sample *s)
{
	struct kvm_iofilter_sample *to;
	__u64 n;

	if (s->flags & KVM_IOFILTER_SAMPLE_WRITE) {
		n = __sync_fetch_and_add(&record.nr_written, 1);
		to = &record.written[n % RECORD_MAX];
	} else {
		n = __sync_fetch_and_add(&record.nr_samples, 1);
		to = &record.samples[n % RECORD_MAX];
	}
	to->t0 = s->t0;
	to->t1 = s->t1;
	to->addr = s->addr;
	to->val = s->val;
	to->len = s->len;
	to->vcpu = s->vcpu;
	to->flags = s->flags;
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops record_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = (void *)record_read,
	.write = (void *)record_write,
	.sample = (void *)record_sample,
	.nr_ranges = 1,
	.name = "record",
	.ranges = { { .addr = 0x608, .len = 4, .bus = KVM_IOFILTER_PIO } },
};
