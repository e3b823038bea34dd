/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The interface between the module and a filter program: struct kvm_iofilter_ops is a struct_ops type, so a filter is a
 * BPF object whose programs fill it. The same header is compiled by the module, by BPF programs and by loaders.
 */
#ifndef IOFILTER_OPS_H
#define IOFILTER_OPS_H

#ifdef __KERNEL__
#include <linux/types.h>
#elif defined(__bpf__)
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

/* C++ has it under another name. */
#ifdef __cplusplus
#define IOFILTER_ASSERT(what, why) static_assert(what, why)
#else
#define IOFILTER_ASSERT(what, why) _Static_assert(what, why)
#endif

#define KVM_IOFILTER_NAME_LEN	16
#define KVM_IOFILTER_MAX_RANGES 16
#define KVM_IOFILTER_EVENTFDS	4

/* kvm_iofilter_range.bus, the numbers of KVM's own enum kvm_bus. */
enum kvm_iofilter_bus {
	KVM_IOFILTER_MMIO = 0,
	KVM_IOFILTER_PIO = 1,
};

/* kvm_iofilter_ops.flags. Unknown bits are refused with EINVAL. */
enum kvm_iofilter_ops_flags {
	/* req->now is filled in. */
	KVM_IOFILTER_F_CLOCK = 1 << 0,
	/* Punted reads are followed up, and ->sample() is called with the VMM's answers. Needs F_CLOCK. */
	KVM_IOFILTER_F_SAMPLE = 1 << 1,
	/*
	 * The device must be in the VMM: where the kernel has one of its own on a range of the filter (KVM's PIT), attaching fails with
	 * EADDRINUSE. What such a device takes never comes to the VMM.
	 */
	KVM_IOFILTER_F_ALONE = 1 << 2,
	/* The VM's PIT must be KVM's own, else attaching fails with ENXIO. req->pit is filled in. */
	KVM_IOFILTER_F_PIT = 1 << 3,
	/* req->ioapic is filled in if the VM's IOAPIC is KVM's own. */
	KVM_IOFILTER_F_IRQ = 1 << 4,
	KVM_IOFILTER_F_ALL = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE | KVM_IOFILTER_F_ALONE | KVM_IOFILTER_F_PIT |
			     KVM_IOFILTER_F_IRQ,
};

/* kvm_iofilter_req.flags */
enum kvm_iofilter_req_flags {
	/*
	 * An answer of the VMM that a vCPU may have consumed has not been given to ->sample() yet, or a punted write is
	 * still in flight. Order against it is unknown: punt.
	 */
	KVM_IOFILTER_REQ_BUSY = 1 << 0,
	/* @away is not 0. */
	KVM_IOFILTER_REQ_AWAY = 1 << 1,
	/* Since its last access this vCPU has slept all of the delay that the program asked for then. */
	KVM_IOFILTER_REQ_SLEPT = 1 << 3,
	/* @count is not 1. So a plain access on a quiet VM has no flag set, and a program can test for that at once. */
	KVM_IOFILTER_REQ_STRING = 1 << 2,
	/* ->read(): a further element of the string whose element before was answered. If it is not answered now, it is zero. */
	KVM_IOFILTER_REQ_MORE = 1 << 4,
};

/*
 * One access of a guest to a range of the filter. Programs may write @val (in ->read()) and @delay; all else is read-only.
 */
struct kvm_iofilter_req {
	/* CLOCK_MONOTONIC in ns, taken once on entry; 0 without F_CLOCK. */
	__u64 now;
	/* Port or guest physical address of the access. It lies within one of the filter's ranges. */
	__u64 addr;
	/* ->write(): the value written, zero-extended. ->read(): 0 on entry, the answer on return (its low @len bytes). */
	__u64 val;
	/*
	 * ns since this vCPU's last access to this filter if the vCPU was out of KVM_RUN in between (for anything else
	 * than the filter's own punt or an MMIO exit), else 0. A VM that was stopped shows here, always. 0 without F_SAMPLE.
	 */
	__u64 away;
	/*
	 * ->read(), together with a punt: let the vCPU sleep so many ns before the access goes to the VMM. To the guest it
	 * is a vCPU that was preempted. The module caps it (KVM_IOFILTER_MAX_DELAY_NS); a signal ends it early.
	 */
	__u64 delay;
	/* Width in bytes: 1, 2, 4 or, on MMIO, 8. */
	__u32 len;
	/*
	 * How many elements this exit may still ask for, an upper bound. 1 for a plain access. A string read whose first
	 * element is answered must be answered to its end: KVM turns an unanswered later one into zero.
	 */
	__u32 count;
	/* Index of the vCPU, 0 .. KVM's maximum - 1. */
	__u32 vcpu;
	__u32 flags;
	/* KVM's own PIT, for kvm_iofilter_pit() alone. NULL without F_PIT. */
	struct kvm_pit *pit;
	/* KVM's own IOAPIC, for kvm_iofilter_line() alone. NULL without F_IRQ, or if it has none. */
	struct kvm_ioapic *ioapic;
};

/* A channel of KVM's PIT, as KVM stores it. */
struct kvm_iofilter_pit_channel {
	__u64 at;    /* CLOCK_MONOTONIC, ns: when it was so */
	__u64 load;  /* likewise: when the count was written, or the VMM set the PIT's state. Not kept for channel 0 */
	__u32 count; /* 1 .. 65536 */
	__u8 mode;   /* 6 and 7 stand as 2 and 3 */
	__u8 gate;
	__u16 pad;
};

/*
 * A kfunc of the module for programs with F_PIT, in ->read() and ->write():
 *
 *	int kvm_iofilter_pit(const struct kvm_iofilter_req *req, __u32 channel_at, __u32 lock_at, struct kvm_iofilter_pit_channel *to);
 *
 * Copies the channel that stands at @channel_at of struct kvm_pit, whose lock stands at @lock_at. That type is KVM's private one, so
 * the program takes the offsets from the kernel's BTF (CO-RE). Nothing is written but @to.
 *
 * Return: 0; -EBUSY: the state is being changed; -EINVAL: no such offset, or no F_PIT.
 */

/*
 * A kfunc of the module, in ->read() and ->write():
 *
 *	int kvm_iofilter_signal(const struct kvm_iofilter_req *req, __u32 index);
 *
 * Adds 1 to the filter's eventfds[@index]: an alarm for who waits for it or, if that is an irqfd of the VM, an interrupt for the
 * guest, which the vCPU may get before or after the access is done.
 *
 * Return: 0; -ENOENT: the filter has no such eventfd.
 */

/*
 * A kfunc of the module for programs with F_IRQ, in ->read() and ->write():
 *
 *	int kvm_iofilter_line(const struct kvm_iofilter_req *req, __u32 line_at);
 *
 * The level of one of the lines of KVM's IOAPIC as its devices, the VMM's among them, have set it: of the irq_states that stands at
 * @line_at of struct kvm_ioapic. As with the PIT, the offset comes from the kernel's BTF.
 *
 * Return: 0 if no device raises it, 1 if one does; -ENOENT: no F_IRQ, or the VM's IOAPIC is the VMM's; -EINVAL: no such offset.
 *
 *
 * A kfunc of the module for ->sample():
 *
 *	__u64 kvm_iofilter_string(const struct kvm_iofilter_sample *sample, __u32 at);
 *
 * With SAMPLE_STRING: eight bytes from @at on of all that the VMM answered, which are @val * @len bytes. Return: 0 beyond them.
 */

#define KVM_IOFILTER_MAX_DELAY_NS 100000000ULL
#define KVM_IOFILTER_DRAIN_MS 20

/* kvm_iofilter_sample.flags */
enum kvm_iofilter_sample_flags {
	/*
	 * The VMM answered and the guest consumed it, but the value is lost. @val means nothing (but with SAMPLE_STRING), and @t0 may
	 * be 0: it has been overwritten, or was never seen.
	 */
	KVM_IOFILTER_SAMPLE_LOST = 1 << 0,
	/* Read from another vCPU's thread, while the one that was answered goes on. */
	KVM_IOFILTER_SAMPLE_OTHER = 1 << 1,
	/*
	 * No answer: the VMM is done with a punted write to [@addr, @addr + @len) (@len 0: to an address of the filter that is no longer
	 * known). A read punted at @t1 or later sees what it has done; from the punt of the write until now all accesses were BUSY.
	 */
	KVM_IOFILTER_SAMPLE_WRITE = 1 << 2,
	/* No answer: at @t1 another filter of the same VM has set @moved. Only @t1 means something. */
	KVM_IOFILTER_SAMPLE_MOVED = 1 << 3,
	/*
	 * With SAMPLE_LOST: the VMM has answered a string read of [@addr, @addr + @len), @val elements of it. That many are what the
	 * guest's instruction has taken or will take without another exit.
	 */
	KVM_IOFILTER_SAMPLE_STRING = 1 << 4,
};

/* What the VMM answered to a punted read, seen again once the guest has it. Programs may write @moved; all else is read-only. */
struct kvm_iofilter_sample {
	/* The VMM's clock was read between @t0 (the punt) and @t1 (now). CLOCK_MONOTONIC, ns. */
	__u64 t0;
	__u64 t1;
	__u64 addr;
	__u64 val;
	__u32 len;
	__u32 vcpu;
	__u32 flags;
	/*
	 * 0 on entry. Non-zero: by this answer the VMM's clock is not where it was. The VM's other filters with F_SAMPLE are told
	 * (SAMPLE_MOVED) before their next access: a guest compares its timers.
	 */
	__u32 moved;
	/* For kvm_iofilter_string() alone. */
	const void *data;
};

/* [addr, addr + len) on one bus. len 1 .. 4096. */
struct kvm_iofilter_range {
	__u64 addr;
	__u32 len;
	__u32 bus; /* enum kvm_iofilter_bus */
};

/*
 * A filter. Creating a BPF link of the map attaches it to the VM whose descriptor is @vm_fd in the file table of the
 * process that creates the link; when the link goes, the filter goes. When the VM goes first, the link hangs up (EPOLLHUP).
 *
 * Context: ->read() and ->write() run in the vCPU's thread inside KVM_RUN, concurrently on all vCPUs, not sleepable.
 * ->sample() runs there too, but never concurrently with itself for one link.
 */
struct kvm_iofilter_ops {
	__s32 vm_fd;
	__u32 flags; /* enum kvm_iofilter_ops_flags */

	/*
	 * Return: 0 to punt (the VMM sees the access as if there were no filter), non-zero when req->val is the answer.
	 * An absent op punts.
	 */
	int (*read)(struct kvm_iofilter_req *req);

	/* Return: 0 to punt, non-zero when the write has been taken and the VMM must not see it. */
	int (*write)(struct kvm_iofilter_req *req);

	/* Called once for each settled answer or write, before the ->read() that follows. Optional; needs F_SAMPLE. */
	void (*sample)(struct kvm_iofilter_sample *sample);

	/*
	 * The filter is about to go, and whoever removes it may not have drained it (a loader that was killed). Called with @last 0 and
	 * vCPUs running, then again every millisecond while the result is not 0, for KVM_IOFILTER_DRAIN_MS at most: begin no new
	 * sequence, finish those in flight. Called once with @last 1 when no access can come any more: what is in flight now is cut off.
	 *
	 * Optional. Not called when the VM went first. Return: how many sequences are in flight.
	 */
	int (*quiesce)(int last);

	__u32 nr_ranges; /* 1 .. KVM_IOFILTER_MAX_RANGES */
	__u32 pad;
	char name[KVM_IOFILTER_NAME_LEN]; /* of the device; [a-z0-9_-]+, NUL-terminated */
	struct kvm_iofilter_range ranges[KVM_IOFILTER_MAX_RANGES];
	/*
	 * Eventfds for kvm_iofilter_signal(), in the file table of the process that creates the link. 0 or less: none. The filter holds
	 * them until it is gone; an update does not look at the new ops' own.
	 */
	__s32 eventfds[KVM_IOFILTER_EVENTFDS];
};

#endif /* IOFILTER_OPS_H */
