/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM under the real filter: KVM's side of an exit and the VMM's devices in steps that tests put in any order, the module's
 * settle.c and access.c, the programs, and an oracle that sees every value that a guest consumes. Times in ns.
 */
#ifndef SELFTESTS_VM_H
#define SELFTESTS_VM_H

#include "iofilter.h"
#include <iofilter/counter.h>

#define VM_VCPUS 64
#define VM_DEVS	 2
#define US	 1000ULL
#define MS	 1000000ULL
#define STRING_MAX 4

/* The devices. Both count from the VMM's clock. */
enum { PMTIMER, COUNTER64 };
struct device {
	const char *name;
	u64 freq;
	struct iofilter_counter *state, initial;
	const struct kvm_iofilter_ops *ops;
	u64 port; /* or guest physical address */
	struct iofilter *f; /* NULL: not attached */
	s64 consumed; /* the largest value that anybody has, ticks */
	s64 frozen_max; /* the largest the filter gave while the VMM's clock stood */
	bool forgot; /* .. by a filter that is no more */
};

enum vcpu_io { NO_IO, READ, OTHER_PIO, OTHER_MMIO, STRING };

struct vcpu {
	struct kvm_vcpu kvm;
	struct kvm_run run;
	union { u8 bytes[4096]; u32 u32; u64 u64; } page; /* pio_data */
	bool in_srcu;
	u64 srcu_left; /* times */
	enum vcpu_io io; /* that the VMM has to answer, or has */
	int dev;
	bool answered, frozen; /* by the VMM; while its clock stood */
	bool delay_cut; /* a signal ended the sleep before the access went out */
	s64 order; /* what had been consumed when the access began */
	s64 vmm_val[STRING_MAX]; /* ticks */
	int count;
	/* The newest value consumed. */
	s64 val;
	u64 delayed;
};

struct vm_stats {
	u64 answered, punted, violations, frozen_violations, ahead, cut;
	u64 frozen_max_ns, max_ns, ahead_max_ns, lag_max_ns, cross_max_ns;
	u64 lag_sum_ns, lag_count;
	u32 lag_hist[512]; /* 8 to the octave */
};

struct vm {
	struct kvm kvm;
	struct kvm_vcpu *kvm_vcpus[VM_VCPUS];
	struct vcpu vcpus[VM_VCPUS];
	struct device devs[VM_DEVS];
	s64 offset; /* the VMM's clock is sim_now + offset */
	bool frozen;
	u64 frozen_at;
	bool moved; /* while vCPUs ran, which no VMM does: how far an answer is from its clock says nothing */
	bool strict; /* a violation outside the frozen window stops the run */
	s64 cross[VM_DEVS]; /* ns; the newest virtual time consumed of each device */
	struct vm_stats stats;
	char failure[400];
	bool trace;
	double ppm; /* of the VMM's crystal against ours; a wrong model */
};

struct vm *vm_new(int vcpus);
void vm_free(struct vm *vm);

/* bus: what filter.c and bus.c do. @wait: synchronize_srcu(). */
void vm_attach(struct vm *vm, int dev, void (*wait)(struct vm *vm));
void vm_detach(struct vm *vm, int dev, void (*wait)(struct vm *vm));
void vm_update(struct vm *vm, int dev, void (*wait)(struct vm *vm));

/* The VMM's clock. */
u64 vm_virt(const struct vm *vm);
s64 vm_ticks(const struct vm *vm, int dev, u64 virt);
void vm_freeze(struct vm *vm);
void vm_thaw(struct vm *vm, s64 jump, bool kvmclock); /* jump: a snapshot of another time was loaded */

/*
 * KVM_RUN, in order: enter, complete (the VMM's answer is consumed), guest, then an exit: access (returns whether the filter
 * answered it, which is when the guest goes on) or other or none (a signal); returned, left. Then answer, by the VMM.
 */
void vm_enter(struct vm *vm, int v, bool immediate_exit);
void vm_complete(struct vm *vm, int v);
void vm_guest(struct vm *vm, int v, bool in_guest);
bool vm_access(struct vm *vm, int v, int dev, int count);
void vm_other(struct vm *vm, int v, bool mmio);
void vm_returned(struct vm *vm, int v);
void vm_left(struct vm *vm, int v);
void vm_answer(struct vm *vm, int v, int element);

void vm_fail(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vm_log(struct vm *vm, int v, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
u64 vm_lag_percentile(const struct vm_stats *s, double p);
extern u64 vm_log_from;
/* Of cases that drive a VM by hand: the last sleep, and what happens to whom sim_left stops. */
extern u64 vm_slept;
extern void (*sim_at_stop)(void);

extern struct iofilter_counter pmtimer, counter64;
extern struct kvm_iofilter_ops pmtimer_ops, counter64_ops;

#endif /* SELFTESTS_VM_H */
