// SPDX-License-Identifier: GPL-2.0
/* A filter without a single op. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <iofilter/ops.h>

char LICENSE[] SEC("license") = "GPL";

SEC(".struct_ops.link")
struct kvm_iofilter_ops empty_ops = {
	.vm_fd = -1,
	.nr_ranges = 1,
	.name = "empty",
	.ranges = { { .addr = 0x608, .len = 4, .bus = KVM_IOFILTER_PIO } },
};
