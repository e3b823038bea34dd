// SPDX-License-Identifier: GPL-2.0
/* A kfunc that follows pointers in the request takes the module's own only. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern int kvm_iofilter_pit(const struct kvm_iofilter_req *req, __u32 channel_at, __u32 lock_at,
			    struct kvm_iofilter_pit_channel *to) __ksym;

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	struct kvm_iofilter_req forged = { .pit = (void *)0xffff888000000000 };
	struct kvm_iofilter_pit_channel to;

	return kvm_iofilter_pit(&forged, 0, 0, &to);
}

BAD_OPS(.read = (void *)bad_read);
