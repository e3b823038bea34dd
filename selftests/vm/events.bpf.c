// SPDX-License-Identifier: GPL-2.0
/* Each read of a byte signals the eventfd whose index the distance from the first port is, and answers what came of it. See events.c. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/ops.h>

char LICENSE[] SEC("license") = "GPL";

extern int kvm_iofilter_signal(const struct kvm_iofilter_req *req, __u32 index) __ksym;

SEC("struct_ops/events_read")
int BPF_PROG(events_read, struct kvm_iofilter_req *req)
{
	req->val = -kvm_iofilter_signal(req, req->addr - 0x40);
	return 1;
}

SEC("struct_ops/events_write")
int BPF_PROG(events_write, struct kvm_iofilter_req *req)
{
	return !kvm_iofilter_signal(req, req->val);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops events_ops = {
	.vm_fd = -1,
	.read = (void *)events_read,
	.write = (void *)events_write,
	.nr_ranges = 1,
	.name = "events",
	.ranges = { { .addr = 0x40, .len = 8, .bus = KVM_IOFILTER_PIO } },
};
