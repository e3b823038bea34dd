// SPDX-License-Identifier: GPL-2.0
/* Has no license, and the kernel interfaces used are for the GPL only. */
#include "bad.bpf.h"

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
