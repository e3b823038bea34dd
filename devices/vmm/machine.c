// SPDX-License-Identifier: GPL-2.0
/* The VM: one piece of memory from address 0, KVM's own interrupt controllers (and not its PIT), vCPUs as after a reset. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vmm.h"

#define TSS_ADDR 0xfffbd000UL /* three pages that VMX needs for real mode, where a PC has its firmware */

#define KVM_FEATURES 0x40000001
#define FEATURE_CLOCKS (1 << 0 | 1 << 3 | 1 << 24)

static int vm_create(struct vmm *vmm)
{
	vmm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vmm->kvm < 0) {
		vmm_error("/dev/kvm: %s: is a KVM module loaded, and may you use it?", strerror(errno));
		return -1;
	}
	vmm->fd = ioctl(vmm->kvm, KVM_CREATE_VM, 0);
	if (vmm->fd < 0) {
		vmm_error("KVM makes no VM: %s", strerror(errno));
		return -1;
	}
	/* SVM has no use for it. */
	ioctl(vmm->fd, KVM_SET_TSS_ADDR, TSS_ADDR);
	if (ioctl(vmm->fd, KVM_CREATE_IRQCHIP, 0)) {
		vmm_error("KVM makes no interrupt controllers: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static int memory_create(struct vmm *vmm)
{
	struct kvm_userspace_memory_region r = { .memory_size = vmm->opts.memory };
	void *ram;

	ram = mmap(NULL, vmm->opts.memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED) {
		vmm_error("%llu MiB of memory for the guest: %s", vmm->opts.memory >> 20, strerror(errno));
		return -1;
	}
	vmm->ram = ram;
	vmm->ram_size = vmm->opts.memory;
	r.userspace_addr = (unsigned long)ram;
	if (ioctl(vmm->fd, KVM_SET_USER_MEMORY_REGION, &r)) {
		vmm_error("KVM does not take the guest's memory: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static int vcpu_cpuid(struct vmm *vmm, struct vcpu *v)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	__u32 i;
	int err;

	v->cpuid = c;
	if (!c)
		return -1;
	c->nent = 256;
	err = ioctl(vmm->kvm, KVM_GET_SUPPORTED_CPUID, c);
	for (i = 0; !err && i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0x0000ffff) | v->index << 24 | vmm->nr_vcpus << 16;
		else if (e->function == 0x0b || e->function == 0x1f || e->function == 0x8000001e)
			*(e->function == 0x8000001e ? &e->eax : &e->edx) = v->index;
		else if (e->function == KVM_FEATURES && !vmm->opts.kvmclock)
			e->eax &= ~FEATURE_CLOCKS;
	}
	return err ?: ioctl(v->fd, KVM_SET_CPUID2, c);
}

static int vcpu_create(struct vmm *vmm, unsigned int i)
{
	struct vcpu *v = &vmm->vcpus[i];

	v->vmm = vmm;
	v->index = i;
	v->fd = ioctl(vmm->fd, KVM_CREATE_VCPU, i);
	if (v->fd < 0) {
		vmm_error("KVM makes no vCPU %u: %s", i, strerror(errno));
		return -1;
	}
	v->run = mmap(NULL, vmm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		vmm_error("mapping vCPU %u: %s", i, strerror(errno));
		return -1;
	}
	if (vcpu_cpuid(vmm, v)) {
		vmm_error("KVM does not take the CPUID of vCPU %u: %s", i, strerror(errno));
		return -1;
	}
	return 0;
}

int machine_create(struct vmm *vmm)
{
	unsigned int i;
	int size;

	for (i = 0; i < VMM_MAX_VCPUS; i++)
		vmm->vcpus[i].fd = -1;
	if (vm_create(vmm) || memory_create(vmm))
		return -1;
	size = ioctl(vmm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < 0) {
		vmm_error("KVM: %s", strerror(errno));
		return -1;
	}
	vmm->run_size = size;
	vmm->nr_vcpus = vmm->opts.cpus;
	for (i = 0; i < vmm->nr_vcpus; i++)
		if (vcpu_create(vmm, i))
			return -1;
	return 0;
}

void machine_destroy(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; i < vmm->nr_vcpus; i++) {
		if (vmm->vcpus[i].run)
			munmap(vmm->vcpus[i].run, vmm->run_size);
		if (vmm->vcpus[i].fd >= 0)
			close(vmm->vcpus[i].fd);
		free(vmm->vcpus[i].cpuid);
	}
	if (vmm->fd >= 0)
		close(vmm->fd);
	if (vmm->kvm >= 0)
		close(vmm->kvm);
	if (vmm->ram)
		munmap(vmm->ram, vmm->ram_size);
}

void *machine_memory(struct vmm *vmm, __u64 addr, __u64 len)
{
	return addr <= vmm->ram_size && len <= vmm->ram_size - addr ? (char *)vmm->ram + addr : NULL;
}

void machine_irq(struct vmm *vmm, unsigned int gsi, int level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	ioctl(vmm->fd, KVM_IRQ_LINE, &irq);
}
