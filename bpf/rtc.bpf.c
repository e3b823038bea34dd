// SPDX-License-Identifier: GPL-2.0
/*
 * MC146818 RTC with CMOS memory, ports 0x70 (index) and 0x71 (data).
 *
 * Answered here: byte reads of 0x71 by the vCPU that has just written the index. CMOS bytes and registers B and D, as the VMM has
 * answered them not longer than the expiry ago; the time registers and register A only for a VMM that publishes its time (rtcctl.h),
 * and not within an update.
 * Punted: all writes. Register C (a read clears it), alarms, and the bytes that QEMU changes by itself (shutdown status, century, boot
 * order, number of CPUs). A register that was seen to change by itself once. Reads whose index is not known: of another vCPU, not
 * in order, or longer ago than a pause may take. Words, strings, reads of 0x70.
 *
 * The time on an unmodified VMM is punted, always: QEMU's RTC follows the host's CLOCK_REALTIME, which a filter does not have, and a
 * step of that clock shows nowhere.
 *
 * Port 0x70 is a coalesced port: KVM keeps the writes in a ring until the VMM looks. Our range stands before it and only looks on;
 * the ring keeps the index for the VMM, in order, whether or not the read was answered here (rtc_access.h). The second range begins at
 * the same port, so that KVM's search finds both, and sees what is wider than a byte. A write that straddles 0x6f and 0x70 is
 * not seen.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/rtc_access.h>

char LICENSE[] SEC("license") = "GPL";

struct iofilter_rtc rtc SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_RTC_VERSION,
		.size = sizeof(struct iofilter_rtc),
		.device = "rtc",
	},
	.absence = IOFILTER_ABSENCE_NS,
	.expiry = RTC_EXPIRY_NS,
	.calibrating = RTC_CALIBRATION,
};

/* Keeps the address of the state in a register; the compiler would load it anew at each use. */
#define rtc_of(state)                                \
	({                                           \
		struct iofilter_rtc *__r = &(state); \
		asm volatile("" : "+r"(__r));        \
		__r;                                 \
	})

SEC("struct_ops/rtc_read")
int BPF_PROG(rtc_read, struct kvm_iofilter_req *req)
{
	return rtc_read_any(rtc_of(rtc), req);
}

SEC("struct_ops/rtc_write")
int BPF_PROG(rtc_write, struct kvm_iofilter_req *req)
{
	return rtc_write_any(rtc_of(rtc), req);
}

SEC("struct_ops/rtc_sample")
void BPF_PROG(rtc_sample, struct kvm_iofilter_sample *sample)
{
	rtc_sample_any(rtc_of(rtc), sample);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops rtc_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = (void *)rtc_read,
	.write = (void *)rtc_write,
	.sample = (void *)rtc_sample,
	.nr_ranges = 2,
	.name = "rtc",
	.ranges = {
		{ .addr = RTC_INDEX_PORT, .len = 1, .bus = KVM_IOFILTER_PIO },
		{ .addr = RTC_INDEX_PORT, .len = 5, .bus = KVM_IOFILTER_PIO },
	},
};
