/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs here share: all but the one thing for which each must be refused. */
#ifndef SELFTESTS_BAD_BPF_H
#define SELFTESTS_BAD_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/ops.h>

#define BAD_OPS(...) \
	SEC(".struct_ops.link") \
	struct kvm_iofilter_ops bad_ops = { \
		.vm_fd = -1, \
		.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE, \
		.nr_ranges = 1, \
		.name = "bad", \
		.ranges = { { .addr = 0x608, .len = 4, .bus = KVM_IOFILTER_PIO } }, \
		__VA_ARGS__ \
	}

#endif /* SELFTESTS_BAD_BPF_H */
