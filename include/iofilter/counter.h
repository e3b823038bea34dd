/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * State of a free-running counter (ACPI PM timer, HPET main counter) as it stands in the program's mmapable map.
 */
#ifndef IOFILTER_COUNTER_H
#define IOFILTER_COUNTER_H

#include <iofilter/clock.h>
#include <iofilter/clock_sample.h>

#define IOFILTER_COUNTER_VERSION 1

struct iofilter_counter {
	struct iofilter_head head;
	/* Port or address of the counter, and the only width in bytes that is answered. Written before attach. */
	__u64 addr;
	__u32 len;
	__u32 bus; /* enum kvm_iofilter_bus */
	__u64 verdicts[16]; /* by enum iofilter_verdict; [IOFILTER_ANSWERED] is not used */
	struct iofilter_clock clock __attribute__((aligned(64)));
	struct iofilter_vcpu vcpus[IOFILTER_MAX_VCPUS] __attribute__((aligned(64)));
};

IOFILTER_ASSERT(IOFILTER_NR_VERDICTS <= 16, "a counter for each verdict");

#endif /* IOFILTER_COUNTER_H */
