// SPDX-License-Identifier: GPL-2.0
/* Reads in front of the request. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	return *((volatile __u64 *)req - 1) != 0;
}

BAD_OPS(.read = (void *)bad_read);
