// SPDX-License-Identifier: GPL-2.0
/* May sleep: it would hold up every change of the VM's buses, and outlive an update. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops.s/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
