// SPDX-License-Identifier: GPL-2.0
/* The control: nothing wrong here, it must load. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	req->val = req->now + req->addr;
	req->delay = 0;
	return 1;
}

BAD_OPS(.read = (void *)bad_read);
