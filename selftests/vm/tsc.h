/* SPDX-License-Identifier: GPL-2.0 */
/* The guest's TSC as a note of when something was, turned into CLOCK_MONOTONIC: a line through two moments. */
#ifndef SELFTESTS_VM_TSC_H
#define SELFTESTS_VM_TSC_H

#include <sys/ioctl.h>
#include "vmm.h"

struct tsc_moment {
	__u64 tsc, ns;
};

/* In the guest, too. */
static inline __u64 tsc_read(void)
{
	__u32 low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (__u64)high << 32 | low;
}

/* The guest's TSC now. Several tries: the shortest is the least disturbed. */
static inline struct tsc_moment tsc_moment(const struct vmm *vmm)
{
	struct tsc_moment best = {}, m;
	__u64 after, took = ~0ULL;
	__s64 offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)&offset,
	};
	int i;

	TEST_ASSERT(!ioctl(vmm->vcpus[0].fd, KVM_GET_DEVICE_ATTR, &attr), "KVM_VCPU_TSC_OFFSET: %s", strerror(errno));
	for (i = 0; i < 20; i++) {
		m.tsc = tsc_read();
		m.ns = now_ns();
		after = tsc_read();
		if (after - m.tsc < took) {
			took = after - m.tsc;
			best = m;
			best.tsc += took / 2 + offset;
		}
	}
	return best;
}

static inline __u64 tsc_ns(const struct tsc_moment *a, const struct tsc_moment *b, __u64 tsc)
{
	__s64 since = tsc - a->tsc;

	return a->ns + (__s64)((__int128)since * (__s64)(b->ns - a->ns) / (__s64)(b->tsc - a->tsc));
}

#endif /* SELFTESTS_VM_TSC_H */
