// SPDX-License-Identifier: GPL-2.0
/*
 * Answers every dword read of the PM timer's port with a constant: what an answered read costs with no clock in it.
 *
 * Built twice. With no flags the module reads no clock and follows no vCPU; with those of the PM timer (constant-clock.bpf.o)
 * it does both, and the program makes nothing of it. The program looks at address and width, as any would; its answer
 * is no time, so all other reads, and writes, go to the VMM.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/ops.h>
#include <iofilter/pmtimer.h>

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/constant_read")
int BPF_PROG(constant_read, struct kvm_iofilter_req *req)
{
	if (req->addr != PMTIMER_PORT || req->len != PMTIMER_LEN)
		return 0;
	req->val = 0x123456;
	return 1;
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops constant_ops = {
	.vm_fd = -1,
	.flags = CONSTANT_FLAGS,
	.read = (void *)constant_read,
	.nr_ranges = 1,
	.name = "constant",
	.ranges = { { .addr = PMTIMER_PORT, .len = PMTIMER_LEN, .bus = KVM_IOFILTER_PIO } },
};
