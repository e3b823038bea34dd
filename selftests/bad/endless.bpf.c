// SPDX-License-Identifier: GPL-2.0
/* Never ends. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	while (*(volatile __u64 *)&req->addr)
		;
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
