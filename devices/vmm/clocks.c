// SPDX-License-Identifier: GPL-2.0
/*
 * What of KVM's own goes on by the host's time: TSCs, APIC timers, KVM's clock. While the VM is stopped they stand, too, so that the guest
 * can see no time that its devices have not. All with the lock held and no vCPU in KVM_RUN.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>
#include "vmm.h"

#define APIC_TMCCT 0x390

static int tsc_offset(const struct vcpu *v, unsigned long request, __u64 *offset)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)offset };

	return ioctl(v->fd, request, &attr);
}

int vcpu_msr(const struct vcpu *v, unsigned long request, __u32 index, __u64 *val)
{
	struct {
		struct kvm_msrs m;
		struct kvm_msr_entry e;
	} one = { .m.nmsrs = 1, .e = { .index = index, .data = *val } };

	if (ioctl(v->fd, request, &one) != 1)
		return -1;
	*val = one.e.data;
	return 0;
}

static __u32 *apic_register(struct vcpu *v, unsigned int reg)
{
	return (__u32 *)(v->lapic.regs + reg);
}

/* Where the TSC is not scaled the guest's is the host's and an offset; a VM whose TSC has another frequency is not restored. */
static int vcpu_stop(struct vcpu *v, __u64 host)
{
	__u64 offset;

	if (ioctl(v->fd, KVM_GET_LAPIC, &v->lapic) || tsc_offset(v, KVM_GET_DEVICE_ATTR, &offset))
		return -1;
	v->tsc = host + offset;
	v->deadline = 0;
	vcpu_msr(v, KVM_GET_MSRS, MSR_TSC_DEADLINE, &v->deadline);
	return 0;
}

/* What has come to the APIC since then, but not what its timer has done. */
static int vcpu_settle(struct vcpu *v)
{
	__u32 left = *apic_register(v, APIC_TMCCT);

	if (ioctl(v->fd, KVM_GET_LAPIC, &v->lapic))
		return -1;
	*apic_register(v, APIC_TMCCT) = left;
	return 0;
}

static int vcpu_start(struct vcpu *v, __u64 host)
{
	__u64 offset = v->tsc - host;

	if (tsc_offset(v, KVM_SET_DEVICE_ATTR, &offset))
		return -1;
	/* A timer that has come to its end is not begun again. One that was running goes on with what was left, whatever KVM did meanwhile. */
	if (*apic_register(v, APIC_TMCCT) && ioctl(v->fd, KVM_SET_LAPIC, &v->lapic))
		return -1;
	return v->deadline ? vcpu_msr(v, KVM_SET_MSRS, MSR_TSC_DEADLINE, &v->deadline) : 0;
}

static void told(int err)
{
	if (err)
		vmm_error("KVM's clocks: %s", strerror(errno));
}

void clocks_stop(struct vmm *vmm)
{
	struct kvm_clock_data clock = {};
	__u64 host = __rdtsc();
	unsigned int i;
	int err;

	err = ioctl(vmm->fd, KVM_GET_CLOCK, &clock);
	vmm->kvm_clock = clock.clock;
	for (i = 0; !err && i < vmm->nr_vcpus; i++)
		err = vcpu_stop(&vmm->vcpus[i], host);
	told(err);
}

void clocks_settle(struct vmm *vmm)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < vmm->nr_vcpus; i++)
		err = vcpu_settle(&vmm->vcpus[i]);
	told(err);
}

void clocks_start(struct vmm *vmm)
{
	struct kvm_clock_data clock = {};
	__u64 host = __rdtsc(), then = monotonic();
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < vmm->nr_vcpus; i++)
		err = vcpu_start(&vmm->vcpus[i], host);
	clock.clock = vmm->kvm_clock + monotonic() - then;
	if (!err)
		err = ioctl(vmm->fd, KVM_SET_CLOCK, &clock);
	/* Lest the guest takes the pause for a CPU that hangs. Fails where it does not use KVM's clock. */
	for (i = 0; i < vmm->nr_vcpus; i++)
		ioctl(vmm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0);
	told(err);
}
