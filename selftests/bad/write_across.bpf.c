// SPDX-License-Identifier: GPL-2.0
/* Writes eight bytes that begin in a writable member and end in another. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	*(volatile __u64 *)((char *)req + __builtin_offsetof(struct kvm_iofilter_req, val) + 4) = 0;
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
