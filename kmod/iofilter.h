/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVM_IOFILTER_H
#define KVM_IOFILTER_H

#include <linux/bpf.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <kvm/iodev.h>
#include <iofilter/ops.h>

#define pr_iofilter "kvm_iofilter: "

/* Tests leave out one clause of the algorithm at a time. */
#ifndef IOFILTER_CLAUSE
#define IOFILTER_CLAUSE(name) 1
#endif

struct iofilter;

/* One range on a bus of the VM. Lives as long as its filter. */
struct iofilter_dev {
	struct kvm_io_device dev;
	struct iofilter *f;
	u32 index; /* of the range in f->devs */
	struct kvm_iofilter_range range;
};

/* A punt of a vCPU that is not settled: the VMM is answering it, or has and the guest knows more than the program. */
struct iofilter_mark {
	u64 t0;
	u64 addr;
	u64 fpu_reload; /* vcpu->stat.fpu_reload at the punt; one more once KVM_RUN has returned with it */
	u64 exits; /* vcpu->stat.exits at the punt; one more and the guest has gone on */
	u32 len;
	u8 bus;
	bool open;
	bool stale;  /* an earlier answer was overwritten: somebody must be told that it is lost */
	bool wrote;  /* and here it was a write: the program must be told when it is done */
	bool write;
	bool opaque; /* what the vCPU is doing in the VMM is not known (it was there before the filter) */
};

#define PUNT_PORT 0x10000

/* What a filter knows of one vCPU. Written by the vCPU's thread, but for what @lock protects. */
struct iofilter_vcpu_slot {
	struct kvm_vcpu *vcpu;
	const struct iofilter *f;
	/* The access of this moment, or the last one. Between accesses all is as in slot_new() but now, addr, val and len. */
	struct kvm_iofilter_req req;
	u64 returns; /* what vcpu_returns() must still be if the vCPU has not left KVM_RUN since */
	bool slept; /* the last delay was not cut short */
	u32 left; /* PUNT_PORT | the port that the last access was punted to, and @returns is complemented: see access_left(); 0: none */
	s64 kvmclock_offset;

	/* A string instruction goes on with the ops that answered its first element. */
	const void *string_next;
	const struct kvm_iofilter_ops *string_ops;
	u64 string_exits; /* vcpu->stat.exits then */

	/* By op and range. Only this vCPU's thread counts. */
	u64 handled[2][KVM_IOFILTER_MAX_RANGES];
	u64 punted[2][KVM_IOFILTER_MAX_RANGES];

	spinlock_t lock; /* mark, pending; never held across anything that waits */
	struct iofilter_mark mark;
	bool pending; /* counted in iofilter.nr_pending */
};

/*
 * An attached filter: made by reg() for a link, unmade by unreg() of that link. It holds no reference to the VM; when the
 * VM goes first, the destructors of its ranges say so.
 *
 * References: the link, the bus (until the last range is off it, by either side) and the death work.
 */
struct iofilter {
	struct kref ref;
	struct list_head node; /* iofilter_filters */

	const struct kvm_iofilter_ops *ops; /* loaded once per access, under kvm->srcu */
	u32 flags;
	u32 nr_ranges;
	char name[KVM_IOFILTER_NAME_LEN];
	pid_t pid; /* of the VMM's main thread group */
	struct eventfd_ctx *events[KVM_IOFILTER_EVENTFDS]; /* that the program may signal */

	spinlock_t lock; /* kvm, link */
	struct kvm *kvm; /* NULL once the VM is being destroyed */
	struct bpf_link *link; /* NULL once unreg() is done */
	atomic_t on_bus; /* ranges that KVM's buses still point at */
	struct completion off_bus;
	struct work_struct death_work;
	struct work_struct put_work;
	struct kvm *put_kvm; /* the same VM, valid while puts > 0 */
	atomic_t puts;

	/* settle.c */
	struct iofilter_vcpu_slot **slots; /* by vcpu_idx */
	u32 nr_slots;
	bool blind; /* a vCPU could not be followed: every read punts */
	atomic_t nr_pending; /* slots with an unsettled mark, and one each for blind, hold, lost and moved */
	atomic_t settling; /* try-lock around ->sample() */
	u64 scans; /* how often that was taken and given back: odd while it is held */
	bool scan_known; /* what the last one found: iofilter_settle()'s result */
	unsigned long *pending; /* by vcpu_idx */
	u32 settle_from; /* whose turn it is */
	bool hold; /* being attached or updated: every access punts */
	bool leaving; /* being detached: no string begins */
	bool lost; /* something may have been consumed that nobody saw: tell the program */
	u64 moved; /* when another filter of the VM saw its clock move: tell the program; 0: not */

	struct iofilter_dev devs[KVM_IOFILTER_MAX_RANGES];
};

/* main.c */
extern struct workqueue_struct *iofilter_wq;

/* Detaches of filters that have a ->quiesce(), since the module was loaded. */
struct iofilter_drains {
	u64 drained; /* nothing was in flight at the end */
	u64 cut_off; /* something was .. */
	u64 sequences; /* .. so many sequences in all */
};

/* filter.c */
extern struct iofilter_drains iofilter_drains; /* under iofilter_mutex */
extern struct list_head iofilter_filters;
extern struct mutex iofilter_mutex; /* iofilter_filters; inside BPF's update_mutex, outside slots_lock */
int iofilter_reg(void *kdata, struct bpf_link *link);
void iofilter_unreg(void *kdata, struct bpf_link *link);
int iofilter_update(void *kdata, void *old_kdata, struct bpf_link *link);
/* @f's program has seen the VMM's clock move at @now: the VM's other filters are to know before they answer again. */
void iofilter_moved(struct iofilter *f, u64 now);
void iofilter_dev_gone(struct iofilter_dev *d);
void iofilter_put(struct iofilter *f);

/* bus.c: both take kvm->slots_lock and wait for kvm->srcu. */
int iofilter_bus_add(struct kvm *kvm, struct iofilter *f);
void iofilter_bus_del(struct kvm *kvm, struct iofilter *f);
extern const struct kvm_io_device_ops iofilter_dev_ops;

/*
 * Returns of KVM_RUN less those for an MMIO exit, which KVM counts one by one: emulated devices are read all the time, and
 * while such an exit is under way the VM can only be stopped with one return more (immediate_exit).
 */
static inline u64 vcpu_returns(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->stat.fpu_reload) - READ_ONCE(vcpu->stat.mmio_exits);
}

/* settle.c */
int iofilter_slots_alloc(struct iofilter *f, struct kvm *kvm);
void iofilter_slots_free(struct iofilter *f);
void iofilter_slots_attached(struct iofilter *f, struct kvm *kvm);
struct iofilter_vcpu_slot *iofilter_slot_grow(struct iofilter *f, struct kvm_vcpu *vcpu);
bool iofilter_settle(struct iofilter *f, struct iofilter_vcpu_slot *self, const struct kvm_iofilter_ops *ops);
void iofilter_mark(struct iofilter *f, struct iofilter_vcpu_slot *s, const struct iofilter_dev *d, u64 t0, u64 addr,
		   u32 len, bool write);
void iofilter_hold(struct iofilter *f);
void iofilter_unhold(struct iofilter *f);

/* pit.c: a kfunc */
int kvm_iofilter_pit(const struct kvm_iofilter_req *req, u32 channel_at, u32 lock_at, struct kvm_iofilter_pit_channel *to);

/* signal.c: with a kfunc */
int iofilter_events_get(struct iofilter *f, const __s32 *fds);
void iofilter_events_put(struct iofilter *f);
int kvm_iofilter_signal(const struct kvm_iofilter_req *req, u32 index);

/* see.c: kfuncs */
int kvm_iofilter_line(const struct kvm_iofilter_req *req, u32 line_at);
u64 kvm_iofilter_string(const struct kvm_iofilter_sample *sample, u32 at);

/* debugfs.c */
void iofilter_debugfs_init(void);
void iofilter_debugfs_exit(void);

#endif /* KVM_IOFILTER_H */
