// SPDX-License-Identifier: GPL-2.0
/* A device of one latch: a write latches, two reads take the two bytes of it, one the other's complement. See drain.c. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "drain.h"

char LICENSE[] SEC("license") = "GPL";

struct drain drain SEC(".data.drain");

SEC("struct_ops/drain_read")
int BPF_PROG(drain_read, struct kvm_iofilter_req *req)
{
	if (!drain.left)
		return 0;
	req->val = drain.left == 2 ? drain.latch : ~drain.latch;
	drain.left--;
	return 1;
}

SEC("struct_ops/drain_write")
int BPF_PROG(drain_write, struct kvm_iofilter_req *req)
{
	if (drain.draining)
		return 0;
	drain.latch++;
	drain.left = 2;
	return 1;
}

SEC("struct_ops/drain_quiesce")
int BPF_PROG(drain_quiesce, int last)
{
	drain.draining = 1;
	if (last)
		drain.last++;
	else
		drain.asked++;
	return !!drain.left;
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops drain_ops = {
	.vm_fd = -1,
	.read = (void *)drain_read,
	.write = (void *)drain_write,
	.quiesce = (void *)drain_quiesce,
	.nr_ranges = 1,
	.name = "drain",
	.ranges = { { .addr = 0x40, .len = 1, .bus = KVM_IOFILTER_PIO } },
};
