// SPDX-License-Identifier: GPL-2.0
/* A counter as an HPET has one, read whole: 64 bits, 100 MHz, MMIO. A second device beside the PM timer. */
#include "counter.bpf.h"

struct iofilter_counter counter64 SEC(IOFILTER_STATE_MAP) = {
	.head = { .size = sizeof(struct iofilter_counter), .device = "counter64" },
	.addr = 0xfed000f0,
	.len = 8,
	.bus = KVM_IOFILTER_MMIO,
	.clock = {
		.freq = 100000000,
		.width = 64,
		.bracket = IOFILTER_BRACKET_NS,
		.absence = IOFILTER_ABSENCE_NS,
		.expiry = IOFILTER_EXPIRY_NS,
		.calibrating = IOFILTER_CALIBRATION,
	},
};

static int counter64_read(struct kvm_iofilter_req *req)
{
	return counter_read(&counter64, req);
}

static int counter64_write(struct kvm_iofilter_req *req)
{
	return counter_write(&counter64, req);
}

static void counter64_sample(struct kvm_iofilter_sample *sample)
{
	counter_sample(&counter64, sample);
}

struct kvm_iofilter_ops counter64_ops = {
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = counter64_read,
	.write = counter64_write,
	.sample = counter64_sample,
	.nr_ranges = 1,
	.name = "counter64",
	.ranges = { { .addr = 0xfed000f0, .len = 8, .bus = KVM_IOFILTER_MMIO } },
};
