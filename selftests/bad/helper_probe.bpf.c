// SPDX-License-Identifier: GPL-2.0
/* Reads kernel memory at an address of its own choice. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	__u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)req->addr);
	req->val = v;
	return 1;
}

BAD_OPS(.read = (void *)bad_read);
