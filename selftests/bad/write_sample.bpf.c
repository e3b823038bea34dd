// SPDX-License-Identifier: GPL-2.0
/* Writes to a sample. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

SEC("struct_ops/bad_sample")
void BPF_PROG(bad_sample, struct kvm_iofilter_sample *sample)
{
	sample->val = 0;
}

BAD_OPS(.sample = (void *)bad_sample);
