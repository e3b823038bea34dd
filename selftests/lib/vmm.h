/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mini VMM on the KVM API. Guest code is C in the test's own file: the test's image is the guest's memory, at the same
 * addresses, in 64-bit mode, so globals are shared. Guest code may call nothing of libc; it ends with its return.
 */
#ifndef SELFTESTS_VMM_H
#define SELFTESTS_VMM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <devices/pmtimer.h>
#include "test.h"

#define VMM_MAX_VCPUS 8
#define VMM_DONE_PORT 0xf4
#define VMM_MMIO      0xd0000000ULL /* no memory here, nor anywhere above the image up to 8 GB */

/* vmm_new() flags */
#define VMM_IRQCHIP (1 << 0)
#define VMM_PIT	    (1 << 1) /* KVM's own, at [0x40, 4) */
#define VMM_SPEAKER (1 << 2) /* .. and at 0x61 */

struct vmm;

/* An access that has come to the VMM. A read's answer goes to data: @count elements of @len bytes. */
struct vmm_access {
	int vcpu;
	bool mmio, write;
	__u64 addr;
	__u32 len, count;
	void *data;
	__u64 val; /* of a single element: what is written, or (copied to data afterwards) the answer; all ones */
};

struct vmm_vcpu {
	struct vmm *vmm;
	int index, fd;
	struct kvm_run *run;
	size_t run_size;
	unsigned char *stack;
	pthread_t thread;
	unsigned long exits; /* for I/O, without the one that ends the guest */
	unsigned long interrupted;
	bool hold, held; /* under vmm.lock */
	void (*guest)(long arg);
	long arg;
};

struct vmm {
	int kvm, fd, nr_vcpus;
	void (*io)(struct vmm *vmm, struct vmm_access *a); /* NULL: an empty bus */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct kvm_coalesced_mmio_ring *ring; /* of all coalesced zones */
	struct vmm_vcpu vcpus[VMM_MAX_VCPUS];
};

struct vmm *vmm_new(int nr_vcpus, unsigned int flags);
void vmm_free(struct vmm *vmm);

/*
 * Writes to these ports stay in KVM until vmm_flush(), which hands them to @write in their order. The caller sees to it that it does not
 * run twice at once. vmm_uncoalesce(): as it was.
 */
void vmm_coalesce(struct vmm *vmm, __u16 port, __u32 len);
void vmm_uncoalesce(struct vmm *vmm, __u16 port, __u32 len);
unsigned int vmm_flush(struct vmm *vmm, void (*write)(__u64 addr, __u64 val, __u32 len));

/* Run @guest on a vCPU until it returns: here, or in a thread of its own. */
void vmm_run(struct vmm *vmm, int vcpu, void (*guest)(long), long arg);
void vmm_start(struct vmm *vmm, int vcpu, void (*guest)(long), long arg);
void vmm_join(struct vmm *vmm, int vcpu);

/* Make the vCPU's KVM_RUN return with EINTR once. */
void vmm_kick(struct vmm *vmm, int vcpu);

/* Out of KVM_RUN, until it is resumed. The vCPU must be running its guest. */
void vmm_pause(struct vmm *vmm, int vcpu);
void vmm_resume(struct vmm *vmm, int vcpu);

/* I/O exits of all vCPUs. */
unsigned long vmm_exits(const struct vmm *vmm);

/* Of a guest in 64-bit mode, in the image: each address of the first 8 GB is its own. For CR3. */
unsigned long vmm_page_tables(void);

__u64 now_ns(void);

/* A PM timer on CLOCK_MONOTONIC, as QEMU has it, that can also lie. */
enum pm_mode { PM_HONEST, PM_RANDOM, PM_CONSTANT, PM_ONES };

struct pm_model {
	struct pmtimer timer;
	enum pm_mode mode;
};

void pm_init(struct pm_model *pm, __s64 offset);
__u32 pm_read(const struct pm_model *pm);

/* For guest code. */
#define guest_in(type, insn, port) \
	({ \
		type v_; \
		asm volatile(insn : "=a"(v_) : "d"((__u16)(port)) : "memory"); \
		v_; \
	})
#define inb(port) guest_in(__u8, "inb %%dx, %%al", port)
#define inw(port) guest_in(__u16, "inw %%dx, %%ax", port)
#define inl(port) guest_in(__u32, "inl %%dx, %%eax", port)
#define outb(val, port) asm volatile("outb %%al, %%dx" : : "a"((__u8)(val)), "d"((__u16)(port)) : "memory")
#define outw(val, port) asm volatile("outw %%ax, %%dx" : : "a"((__u16)(val)), "d"((__u16)(port)) : "memory")
#define outl(val, port) asm volatile("outl %%eax, %%dx" : : "a"((__u32)(val)), "d"((__u16)(port)) : "memory")
#define mmio_read(type, addr) (*(volatile type *)(unsigned long)(addr))
#define mmio_write(type, addr, val) (*(volatile type *)(unsigned long)(addr) = (type)(val))

static inline void guest_ins(__u16 port, void *to, unsigned long n, int len)
{
	if (len == 1)
		asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(port) : "memory");
	else if (len == 2)
		asm volatile("rep insw" : "+D"(to), "+c"(n) : "d"(port) : "memory");
	else
		asm volatile("rep insl" : "+D"(to), "+c"(n) : "d"(port) : "memory");
}

static inline void guest_outs(__u16 port, const void *from, unsigned long n, int len)
{
	if (len == 1)
		asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(port) : "memory");
	else if (len == 2)
		asm volatile("rep outsw" : "+S"(from), "+c"(n) : "d"(port) : "memory");
	else
		asm volatile("rep outsl" : "+S"(from), "+c"(n) : "d"(port) : "memory");
}

#endif /* SELFTESTS_VMM_H */
