// SPDX-License-Identifier: GPL-2.0
/*
 * A table of rules for I/O accesses, loaded from a file (docs/table.md), on up to 16 ranges of ports or memory.
 *
 * Answered here: reads that a rule answers with a constant, a slot or a buffer; writes that a rule takes; string reads of a buffer that
 * holds all their elements; and what a VMM that cooperates has predicted.
 * Punted: what no rule matches; writes whose value is a transition that the rule traps on; a slot, or a rule's state bits, that
 * are not known; a buffer that is used up; everything while another vCPU's write is in flight to the VMM.
 *
 * What writes tell the filter is unknown until it has seen them: after the attach, after an absence of a vCPU in which the VM may have
 * been reset, after an answer of the VMM that was lost, and after a write that could not be followed.
 *
 * Everything is under one lock, for which nobody waits long: who does not get it punts.
 *
 * The logic, which compiles for the host too: include/iofilter/table*.h. The loader writes table and ranges before the attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/table_access.h>

char LICENSE[] SEC("license") = "GPL";

struct iofilter_table table SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_TABLE_VERSION,
		.size = sizeof(struct iofilter_table),
		.device = "table",
	},
	.absence = IOFILTER_ABSENCE_NS,
};

SEC("struct_ops/table_read")
int BPF_PROG(table_read, struct kvm_iofilter_req *req)
{
	return table_on_read(&table, req);
}

SEC("struct_ops/table_write")
int BPF_PROG(table_write, struct kvm_iofilter_req *req)
{
	return table_on_write(&table, req);
}

SEC("struct_ops/table_sample")
void BPF_PROG(table_sample, struct kvm_iofilter_sample *sample)
{
	table_on_sample(&table, sample);
}

SEC("struct_ops/table_quiesce")
int BPF_PROG(table_quiesce, int last)
{
	return table_on_quiesce(&table, last);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops table_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = (void *)table_read,
	.write = (void *)table_write,
	.sample = (void *)table_sample,
	.quiesce = (void *)table_quiesce,
	.nr_ranges = 1,
	.name = "table",
	/* Of a table without rules; the loader puts others here. */
	.ranges = { { .addr = 0x80, .len = 1, .bus = KVM_IOFILTER_PIO } },
};
