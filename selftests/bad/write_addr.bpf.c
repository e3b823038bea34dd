// SPDX-License-Identifier: GPL-2.0
/* Writes to a member of the request that is not its to write. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	req->addr = 0;
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
