// SPDX-License-Identifier: GPL-2.0
/*
 * A counter or a constant of 1 to 8 bytes, at any port or address where nobody has a device ('iofilter map').
 *
 * Answered here: reads of every width and offset within the region, of the bytes of one little-endian word at the moment of the
 * access; string reads, each element at its own moment.
 * Punted: writes, to which the VMM does what it does where it has nothing. And a read that loses 64 times to changes of the counter
 * from userspace. Accesses that reach beyond the region are not seen here.
 *
 * The logic, which compiles for the host too: include/iofilter/map.h. The loader writes region and sets before the attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/map.h>

char LICENSE[] SEC("license") = "GPL";

struct iofilter_map map SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_MAP_VERSION,
		.size = sizeof(struct iofilter_map),
		.device = "map",
	},
	/* Until the loader has said what it is: a byte that shows 0. */
	.addr = 0x80,
	.len = 1,
	.bus = KVM_IOFILTER_PIO,
	.kind = IOFILTER_MAP_CONST,
	.sets = { [0 ... MAP_SETS - 1] = { .num = 1, .den = 1, .mask = 0xff, .width = 8 } },
};

static __always_inline int map_punt(enum iofilter_verdict why)
{
	__sync_fetch_and_add(&map.verdicts[why], 1);
	return 0;
}

static __always_inline int map_answer(struct kvm_iofilter_req *req, __u64 off, __u64 val)
{
	__u32 vcpu = req->vcpu;

	req->val = val >> (off & 7) * 8;
	if (vcpu < IOFILTER_MAX_VCPUS)
		map.vcpus[vcpu].answered++;
	else
		__sync_fetch_and_add(&map.verdicts[IOFILTER_ANSWERED], 1);
	return 1;
}

/* A change came in between. A program of its own, so that the common case saves no registers. */
static __noinline int map_read_again(struct kvm_iofilter_req *req)
{
	__u64 val;
	int i;

	bpf_for (i, 1, MAP_TRIES)
		if (!map_value(&map, req->now, &val))
			return map_answer(req, req->addr - map.addr, val);
	return map_punt(IOFILTER_PUNT_BUSY);
}

SEC("struct_ops/map_read")
int BPF_PROG(map_read, struct kvm_iofilter_req *req)
{
	__u64 off = req->addr - map.addr, val;

	if (off >= MAP_LEN_MAX || off + req->len > map.len)
		return map_punt(IOFILTER_PUNT_SHAPE);
	if (map_value(&map, req->now, &val))
		return map_read_again(req);
	return map_answer(req, off, val);
}

SEC("struct_ops/map_write")
int BPF_PROG(map_write, struct kvm_iofilter_req *req)
{
	return map_punt(IOFILTER_PUNT_WRITE);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops map_ops = {
	.vm_fd = -1,
	/* The kernel must have nothing there: what we answer it would not see. */
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_ALONE,
	.read = (void *)map_read,
	.write = (void *)map_write,
	.nr_ranges = 1,
	.name = "map",
	/* The loader puts others here. */
	.ranges = { { .addr = 0x80, .len = 1, .bus = KVM_IOFILTER_PIO } },
};
