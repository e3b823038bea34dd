// SPDX-License-Identifier: GPL-2.0
/* Prints, once for each access of a guest. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	bpf_printk("%llx", req->addr);
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
