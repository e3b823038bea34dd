// SPDX-License-Identifier: GPL-2.0
/*
 * i8254 PIT, ports 0x40 .. 0x43, and its gate and output in port 0x61, on a VMM that has them in userspace.
 *
 * Answered here: unlatched reads, latched counts, status bytes, latch commands and read-backs, and port 0x61, of channels whose control
 * word and count the filter has seen written, once the VMM's own answers have proven the channel's time. Every read and write mode.
 * Punted: control words and counts, which only the VMM carries out; whatever straddles ports or is a string; the output where it may be
 * about to change; a channel that nobody has programmed since the attach.
 *
 * A sequence ends on the side where it began: the second byte of a pair, a latched count or status, and the second of two reads of port
 * 0x61 (each inverts its bit 4). What was begun here the VMM does not know of, so a filter that is about to go drains first.
 *
 * Everything is under one lock, for which nobody waits long: who does not get it punts, and then nothing is known any more.
 * Accesses that straddle port 0x61 are not seen.
 *
 * The logic, which compiles for the host too: include/iofilter/pit*.h. The counting: QEMU hw/timer/i8254.c, hw/audio/pcspk.c.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/pit_access.h>

char LICENSE[] SEC("license") = "GPL";

#define CHANNEL                                              \
	{                                                    \
		.states = PIT_ANY_STATE,                     \
		.clock = {                                   \
			.freq = PIT_HZ,                      \
			.width = 64,                         \
			.bracket = IOFILTER_BRACKET_NS,      \
			.absence = IOFILTER_ABSENCE_NS,      \
			.expiry = IOFILTER_EXPIRY_NS,        \
			.calibrating = PIT_CALIBRATION,      \
		},                                           \
	}

struct iofilter_pit pit SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_PIT_VERSION,
		.size = sizeof(struct iofilter_pit),
		.device = "pit",
	},
	.gate = PIT_UNKNOWN,
	.data = PIT_UNKNOWN,
	.toggle = PIT_UNKNOWN,
	.channels = { CHANNEL, CHANNEL, CHANNEL },
};

/* Keeps the address of the state in a register; the compiler would load it anew at each use. */
#define pit_of(state)                               \
	({                                          \
		struct iofilter_pit *__p = &(state); \
		asm volatile("" : "+r"(__p));       \
		__p;                                \
	})

SEC("struct_ops/pit_read")
int BPF_PROG(pit_read, struct kvm_iofilter_req *req)
{
	return pit_on_read(pit_of(pit), req);
}

SEC("struct_ops/pit_write")
int BPF_PROG(pit_write, struct kvm_iofilter_req *req)
{
	return pit_on_write(pit_of(pit), req);
}

SEC("struct_ops/pit_sample")
void BPF_PROG(pit_sample, struct kvm_iofilter_sample *sample)
{
	pit_on_sample(pit_of(pit), sample);
}

SEC("struct_ops/pit_quiesce")
int BPF_PROG(pit_quiesce, int last)
{
	return pit_on_quiesce(pit_of(pit), last);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops pit_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE | KVM_IOFILTER_F_ALONE,
	.read = (void *)pit_read,
	.write = (void *)pit_write,
	.sample = (void *)pit_sample,
	.quiesce = (void *)pit_quiesce,
	.nr_ranges = 2,
	.name = "pit",
	.ranges = {
		{ .addr = PIT_RANGE, .len = PIT_RANGE_LEN, .bus = KVM_IOFILTER_PIO },
		{ .addr = PIT_SYSTEM, .len = 1, .bus = KVM_IOFILTER_PIO },
	},
};
