/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KVM's clock as a note of when something was in the guest. (The TSC alone does not do: on a host whose own is not stable KVM moves the
 * guest's.) In the guest's terms; the host takes its own clock less kvm_clock_offset for the same.
 */
#ifndef SELFTESTS_VM_KVMCLOCK_H
#define SELFTESTS_VM_KVMCLOCK_H

#include <sys/ioctl.h>
#include "vmm.h"

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

static volatile struct {
	__u32 version, pad;
	__u64 tsc, ns;
	__u32 mul;
	__s8 shift;
	__u8 flags, pad2[2];
} pvclock __attribute__((aligned(64)));

static __s64 kvm_clock_offset;

/* Of the conversion: two clocks are read one after the other. */
#define SLOP_NS 3000

static inline __u64 guest_time(void)
{
	__u32 version, low, high;
	__u64 d, ns;

	do {
		version = pvclock.version;
		asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
		d = ((__u64)high << 32 | low) - pvclock.tsc;
		d = pvclock.shift < 0 ? d >> -pvclock.shift : d << pvclock.shift;
		ns = pvclock.ns + (__u64)((unsigned __int128)d * pvclock.mul >> 32);
		asm volatile("" : : : "memory");
	} while (version & 1 || version != pvclock.version);
	return ns;
}

/* Before a VM's first use of it. */
static inline void kvmclock_off(void)
{
	memset((void *)&pvclock, 0, sizeof(pvclock));
	kvm_clock_offset = 0;
}

/* Against CLOCK_MONOTONIC. */
static inline void kvmclock_learn(const struct vmm *vmm)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } msrs = {
		.h.nmsrs = 1, .e = { .index = MSR_KVM_SYSTEM_TIME_NEW, .data = (unsigned long)&pvclock | 1 },
	};
	__u64 before, after, took = ~0ULL;
	struct kvm_clock_data clock;
	int i;

	if (!pvclock.version)
		TEST_EQ(ioctl(vmm->vcpus[0].fd, KVM_SET_MSRS, &msrs), 1);
	for (i = 0; i < 20; i++) {
		before = now_ns();
		TEST_EQ(ioctl(vmm->fd, KVM_GET_CLOCK, &clock), 0);
		after = now_ns();
		if (after - before < took) {
			took = after - before;
			kvm_clock_offset = before + took / 2 - clock.clock;
		}
	}
}

/* The guest itself turns it on, where the vCPU is another process's. Its offset is not to be had then, and stays 0. */
static inline void guest_kvmclock_on(long unused)
{
	__u64 msr = (unsigned long)&pvclock | 1;

	(void)unused;
	asm volatile("wrmsr" : : "c"(MSR_KVM_SYSTEM_TIME_NEW), "a"((__u32)msr), "d"((__u32)(msr >> 32)) : "memory");
}

#endif /* SELFTESTS_VM_KVMCLOCK_H */
