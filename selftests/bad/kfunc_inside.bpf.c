// SPDX-License-Identifier: GPL-2.0
/* A kfunc finds the filter around the request, so it takes the beginning of one only. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern int kvm_iofilter_signal(const struct kvm_iofilter_req *req, __u32 index) __ksym;

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	return kvm_iofilter_signal((void *)req + 8, 0);
}

BAD_OPS(.read = (void *)bad_read);
