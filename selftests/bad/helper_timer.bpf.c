// SPDX-License-Identifier: GPL-2.0
/* Starts a timer, which would go on after the filter is gone. */
#include "bad.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct bpf_timer {
	__u64 opaque[2];
} __attribute__((aligned(8)));

struct element {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct element);
} timers SEC(".maps");

SEC("struct_ops/bad_read")
int BPF_PROG(bad_read, struct kvm_iofilter_req *req)
{
	__u32 zero = 0;
	struct element *e = bpf_map_lookup_elem(&timers, &zero);

	if (e)
		bpf_timer_init(&e->timer, &timers, 1);
	return 0;
}

BAD_OPS(.read = (void *)bad_read);
