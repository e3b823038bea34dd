// SPDX-License-Identifier: GPL-2.0
/*
 * Port 0x61 of a VM whose PIT is KVM's own, but whose VMM has this port: QEMU, unless its irqchip is split.
 *
 * Answered here: reads, from channel 2 of KVM's PIT as it stands in the kernel, once the VMM's own answers have shown that it computes
 * the port as QEMU does. Bit 1 and bit 4 the VMM alone knows; they are learnt from its answers and the guest's writes.
 * Punted: writes, which only the VMM carries out (each has it write the PIT's state back, and so starts channel 2 anew); strings; reads
 * within some microseconds before the output changes, for the VMM's clock may be that much ahead; mode 1, in which QEMU's versions differ;
 * the first read after the VM may have been stopped; an audit every 100 ms.
 *
 * Each read inverts bit 4, so the second of two is answered where the first one was, or the guest would see the VMM's bit out of
 * step. A filter that is about to go drains first.
 *
 * Not seen: accesses that straddle the port, and the monitor's "i" and "o" commands. The next audit finds them.
 *
 * The logic, which compiles for the host too: include/iofilter/speaker*.h.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/speaker_access.h>

char LICENSE[] SEC("license") = "GPL";

/* KVM's private types, as far as they matter. libbpf puts in what the kernel's BTF says of them. */
struct kvm_kpit_channel_state {
	__u32 count;
	__u8 mode;
	__u8 gate;
	__s64 count_load_time;
} __attribute__((preserve_access_index));

struct mutex {
} __attribute__((preserve_access_index));

struct kvm_kpit_state {
	struct kvm_kpit_channel_state channels[3];
	struct mutex lock;
} __attribute__((preserve_access_index));

struct kvm_pit {
	struct kvm_kpit_state pit_state;
} __attribute__((preserve_access_index));

extern int kvm_iofilter_pit(const struct kvm_iofilter_req *req, __u32 channel_at, __u32 lock_at,
			    struct kvm_iofilter_pit_channel *to) __ksym;

static int speaker_channel(const struct kvm_iofilter_req *req, struct kvm_iofilter_pit_channel *ch)
{
	return kvm_iofilter_pit(req, bpf_core_field_offset(struct kvm_pit, pit_state.channels[SPEAKER_CHANNEL]),
				bpf_core_field_offset(struct kvm_pit, pit_state.lock), ch);
}

struct iofilter_speaker speaker SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_SPEAKER_VERSION,
		.size = sizeof(struct iofilter_speaker),
		.device = "speaker",
	},
	.lead = SPEAKER_LEAD_NS,
	.audit = SPEAKER_AUDIT_NS,
	.data = PIT_UNKNOWN,
	.toggle = PIT_UNKNOWN,
};

/* Keeps the address of the state in a register; the compiler would load it anew at each use. */
#define speaker_of(state)                               \
	({                                              \
		struct iofilter_speaker *__p = &(state); \
		asm volatile("" : "+r"(__p));           \
		__p;                                    \
	})

SEC("struct_ops/speaker_read")
int BPF_PROG(speaker_read, struct kvm_iofilter_req *req)
{
	return speaker_on_read(speaker_of(speaker), req);
}

SEC("struct_ops/speaker_write")
int BPF_PROG(speaker_write, struct kvm_iofilter_req *req)
{
	return speaker_on_write(speaker_of(speaker), req);
}

SEC("struct_ops/speaker_sample")
void BPF_PROG(speaker_sample, struct kvm_iofilter_sample *sample)
{
	speaker_on_sample(speaker_of(speaker), sample);
}

SEC("struct_ops/speaker_quiesce")
int BPF_PROG(speaker_quiesce, int last)
{
	return speaker_on_quiesce(speaker_of(speaker), last);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops speaker_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE | KVM_IOFILTER_F_ALONE | KVM_IOFILTER_F_PIT,
	.read = (void *)speaker_read,
	.write = (void *)speaker_write,
	.sample = (void *)speaker_sample,
	.quiesce = (void *)speaker_quiesce,
	.nr_ranges = 1,
	.name = "speaker",
	.ranges = {
		{ .addr = PIT_SYSTEM, .len = 1, .bus = KVM_IOFILTER_PIO },
	},
};
