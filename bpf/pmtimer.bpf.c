// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI PM timer, PMBASE + 8.
 *
 * Answered here: dword reads at the timer's port, once the VMM's own answers have proven the clock.
 * Punted: byte and word reads (QEMU answers them with the low bytes whatever the offset), string reads, writes, and every
 * read while the clock is not proven, an audit is due, or the VM may have been stopped since (include/iofilter/clock.h).
 *
 * The port is decoded only after the firmware has programmed PMBASE, and no longer after a reset: the VMM then answers all
 * ones, which is no 24-bit value, and the proof is gone until its answers match again. Accesses that straddle the port
 * are not seen at all; they go to the VMM.
 *
 * Registers and width: QEMU hw/acpi/core.c, acpi_pm_tmr_read().
 */
#include "counter.bpf.h"
#include <iofilter/pmtimer.h>

char LICENSE[] SEC("license") = "GPL";

struct iofilter_counter pmtimer SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_COUNTER_VERSION,
		.size = sizeof(struct iofilter_counter),
		.device = "pmtimer",
	},
	.addr = PMTIMER_PORT,
	.len = PMTIMER_LEN,
	.bus = KVM_IOFILTER_PIO,
	.clock = {
		.freq = PMTIMER_HZ,
		.width = PMTIMER_WIDTH,
		.bracket = IOFILTER_BRACKET_NS,
		.absence = IOFILTER_ABSENCE_NS,
		.expiry = IOFILTER_EXPIRY_NS,
		.calibrating = IOFILTER_CALIBRATION,
	},
};

SEC("struct_ops/pmtimer_read")
int BPF_PROG(pmtimer_read, struct kvm_iofilter_req *req)
{
	return counter_read(counter_of(pmtimer), req);
}

SEC("struct_ops/pmtimer_write")
int BPF_PROG(pmtimer_write, struct kvm_iofilter_req *req)
{
	return counter_write(counter_of(pmtimer), req);
}

SEC("struct_ops/pmtimer_sample")
void BPF_PROG(pmtimer_sample, struct kvm_iofilter_sample *sample)
{
	counter_sample(counter_of(pmtimer), sample);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops pmtimer_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = (void *)pmtimer_read,
	.write = (void *)pmtimer_write,
	.sample = (void *)pmtimer_sample,
	.nr_ranges = 1,
	.name = "pmtimer",
	.ranges = { { .addr = PMTIMER_PORT, .len = PMTIMER_LEN, .bus = KVM_IOFILTER_PIO } },
};
