// SPDX-License-Identifier: GPL-2.0
/*
 * The life of an attached filter: a link comes (reg), its ops are swapped (update), it goes (unreg), or the VM goes first
 * (iofilter_dev_gone).
 *
 * Lock order: BPF's update_mutex, iofilter_mutex, kvm->slots_lock. A destructor runs under slots_lock or in the last
 * kvm_put_kvm(), so it takes no mutex and only queues work.
 */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/timekeeping.h>
#include "iofilter.h"

LIST_HEAD(iofilter_filters);
DEFINE_MUTEX(iofilter_mutex);
struct iofilter_drains iofilter_drains;
/* Changes of the list, for those in a vCPU's thread: that one may not wait for the mutex, whose holder may wait for kvm->srcu. */
static DEFINE_SPINLOCK(iofilter_list_lock);

static void iofilter_free(struct kref *ref)
{
	struct iofilter *f = container_of(ref, struct iofilter, ref);

	iofilter_events_put(f);
	iofilter_slots_free(f);
	kfree(f);
}

void iofilter_put(struct iofilter *f)
{
	kref_put(&f->ref, iofilter_free);
}

/*
 * The VM behind @fd, with a reference, or an error. KVM's file operations are static and file_is_kvm() is not exported
 * to us by every kernel, so the file is known by its release function.
 */
static struct kvm *iofilter_kvm_from_fd(int fd)
{
	char name[KSYM_SYMBOL_LEN];
	struct kvm *kvm = ERR_PTR(-EINVAL);
	struct file *file = fget(fd);

	if (!file)
		return ERR_PTR(-EBADF);
	if (file->f_op->release) {
		sprint_symbol_no_offset(name, (unsigned long)file->f_op->release);
		if (!strcmp(name, "kvm_vm_release") || !strncmp(name, "kvm_vm_release ", 15)) {
			kvm = file->private_data;
			kvm_get_kvm(kvm);
		}
	}
	fput(file);
	return kvm;
}

/* The VM of @f, with a reference; NULL when it is being destroyed. */
static struct kvm *iofilter_get_kvm(struct iofilter *f)
{
	struct kvm *kvm = NULL;

	spin_lock(&f->lock);
	if (f->kvm && kvm_get_kvm_safe(f->kvm))
		kvm = f->kvm;
	spin_unlock(&f->lock);
	return kvm;
}

static void iofilter_put_work(struct work_struct *work)
{
	struct iofilter *f = container_of(work, struct iofilter, put_work);
	int n = atomic_xchg(&f->puts, 0);

	while (n--)
		kvm_put_kvm(f->put_kvm);
	iofilter_put(f);
}

/* kvm_destroy_vm() can take seconds, and unreg() may hold BPF's global update_mutex: never put the last reference there. */
static void iofilter_put_kvm_later(struct iofilter *f)
{
	kref_get(&f->ref);
	atomic_inc(&f->puts);
	if (!queue_work(iofilter_wq, &f->put_work))
		iofilter_put(f);
}

/* The VM is gone: detach the link, so that whoever polls it sees a hang-up. */
static void iofilter_death_work(struct work_struct *work)
{
	struct iofilter *f = container_of(work, struct iofilter, death_work);
	struct bpf_link *link = NULL;

	spin_lock(&f->lock);
	if (f->link)
		link = bpf_link_inc_not_zero(f->link);
	spin_unlock(&f->lock);
	if (!IS_ERR_OR_NULL(link)) {
		link->ops->detach(link);
		bpf_link_put(link);
	}
	iofilter_put(f);
}

/* Destructor of one range, in kvm_destroy_vm() or under slots_lock when KVM gives up a bus for lack of memory. */
void iofilter_dev_gone(struct iofilter_dev *d)
{
	struct iofilter *f = d->f;

	if (!atomic_dec_and_test(&f->on_bus))
		return;
	spin_lock(&f->lock);
	f->kvm = NULL;
	spin_unlock(&f->lock);
	complete_all(&f->off_bus);
	queue_work(iofilter_wq, &f->death_work); /* with the bus's reference */
}

void iofilter_moved(struct iofilter *f, u64 now)
{
	struct iofilter *g;

	spin_lock(&iofilter_list_lock);
	list_for_each_entry(g, &iofilter_filters, node)
		if (g != f && g->put_kvm == f->put_kvm && g->flags & KVM_IOFILTER_F_SAMPLE) {
			/* In this order: nr_pending must not miss a mark, not for a moment. */
			atomic_inc(&g->nr_pending);
			if (xchg(&g->moved, now))
				atomic_dec(&g->nr_pending);
		}
	spin_unlock(&iofilter_list_lock);
}

static bool iofilter_overlaps(const struct iofilter *f, const struct kvm_iofilter_ops *ops)
{
	u32 i, j;

	for (i = 0; i < f->nr_ranges; i++) {
		const struct kvm_iofilter_range *a = &f->devs[i].range;

		for (j = 0; j < ops->nr_ranges; j++) {
			const struct kvm_iofilter_range *b = &ops->ranges[j];

			if (a->bus == b->bus && a->addr < b->addr + b->len && b->addr < a->addr + a->len)
				return true;
		}
	}
	return false;
}

static bool iofilter_attached(struct kvm *kvm, const struct kvm_iofilter_ops *ops)
{
	struct iofilter *f;

	lockdep_assert_held(&iofilter_mutex);
	list_for_each_entry(f, &iofilter_filters, node)
		if (READ_ONCE(f->kvm) == kvm && (iofilter_overlaps(f, ops) || !strcmp(f->name, ops->name)))
			return true;
	return false;
}

static struct iofilter *iofilter_alloc(const struct kvm_iofilter_ops *ops, struct bpf_link *link, struct kvm *kvm)
{
	struct iofilter *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!f)
		return NULL;
	kref_init(&f->ref);
	spin_lock_init(&f->lock);
	init_completion(&f->off_bus);
	INIT_WORK(&f->death_work, iofilter_death_work);
	INIT_WORK(&f->put_work, iofilter_put_work);
	f->ops = ops;
	f->flags = ops->flags;
	f->nr_ranges = ops->nr_ranges;
	memcpy(f->name, ops->name, sizeof(f->name));
	f->pid = kvm->userspace_pid;
	f->kvm = kvm;
	f->put_kvm = kvm;
	f->link = link;
	for (i = 0; i < f->nr_ranges; i++) {
		kvm_iodevice_init(&f->devs[i].dev, &iofilter_dev_ops);
		f->devs[i].f = f;
		f->devs[i].index = i;
		f->devs[i].range = ops->ranges[i];
	}
	if (iofilter_slots_alloc(f, kvm)) {
		kfree(f);
		return NULL;
	}
	return f;
}

/*
 * A link is being created, under BPF's update_mutex. @kdata's descriptors are looked up in the creator's file table.
 *
 * Return: 0; -EPERM without CAP_BPF and CAP_PERFMON; -EBADF, -EINVAL: vm_fd is no VM, or one of eventfds no eventfd; -EEXIST: the
 * VM has a filter of this name or on one of these ranges; -EBUSY: a range of ours or of another device could no longer be reached;
 * -EADDRINUSE: F_ALONE, and the kernel has a device there; -ENXIO: F_PIT, and the kernel has no PIT; -ENOSPC: too many devices on the
 * bus; -ENOMEM.
 */
int iofilter_reg(void *kdata, struct bpf_link *link)
{
	const struct kvm_iofilter_ops *ops = kdata;
	struct iofilter *f;
	struct kvm *kvm;
	int err;

	if (!link)
		return -EOPNOTSUPP;
	/* Creating a link checks nothing: whoever holds the map and a VM would do. */
	if (!bpf_capable() || !perfmon_capable())
		return -EPERM;
	kvm = iofilter_kvm_from_fd(ops->vm_fd);
	if (IS_ERR(kvm))
		return PTR_ERR(kvm);

	mutex_lock(&iofilter_mutex);
	err = -EEXIST;
	if (iofilter_attached(kvm, ops))
		goto unlock;
	/* Once it is there it stays for as long as the VM. */
	err = -ENXIO;
	if (ops->flags & KVM_IOFILTER_F_PIT && !READ_ONCE(kvm->arch.vpit))
		goto unlock;
	err = -ENOMEM;
	f = iofilter_alloc(ops, link, kvm);
	if (!f)
		goto unlock;
	err = iofilter_events_get(f, ops->eventfds);
	if (err) {
		iofilter_free(&f->ref);
		goto unlock;
	}
	kref_get(&f->ref); /* the bus's */
	err = iofilter_bus_add(kvm, f);
	if (err) {
		iofilter_free(&f->ref);
		goto unlock;
	}
	iofilter_slots_attached(f, kvm);
	spin_lock(&iofilter_list_lock);
	list_add_tail(&f->node, &iofilter_filters);
	spin_unlock(&iofilter_list_lock);
	mutex_unlock(&iofilter_mutex);
	iofilter_put_kvm_later(f);
	return 0;
unlock:
	mutex_unlock(&iofilter_mutex);
	kvm_put_kvm(kvm);
	return err;
}

static struct iofilter *iofilter_find(const struct bpf_link *link)
{
	struct iofilter *f;

	lockdep_assert_held(&iofilter_mutex);
	list_for_each_entry(f, &iofilter_filters, node)
		if (f->link == link)
			return f;
	return NULL;
}

/*
 * Let the guest end what the program has begun, for a short time only: a guest may never read its second byte, and our caller is an
 * exiting process or holds BPF's update_mutex.
 */
static void iofilter_drain(const struct kvm_iofilter_ops *ops)
{
	int ms = 0;

	while (ops->quiesce(0) > 0 && ms++ < KVM_IOFILTER_DRAIN_MS)
		usleep_range(1000, 1100);
}

/* No access comes any more. */
static void iofilter_drained(const struct iofilter *f, const struct kvm_iofilter_ops *ops)
{
	int cut = max(ops->quiesce(1), 0);

	mutex_lock(&iofilter_mutex);
	iofilter_drains.drained += !cut;
	iofilter_drains.cut_off += !!cut;
	iofilter_drains.sequences += cut;
	mutex_unlock(&iofilter_mutex);
	if (!cut)
		return;
	pr_notice_ratelimited(pr_iofilter "%s of VM %d was detached with %d sequences in flight: the guest gets their rest from the VMM\n",
			      f->name, f->pid, cut);
}

/* The link goes: under update_mutex when it is detached, without it when its last descriptor is closed. */
void iofilter_unreg(void *kdata, struct bpf_link *link)
{
	const struct kvm_iofilter_ops *ops = kdata;
	struct iofilter *f;
	struct kvm *kvm;

	mutex_lock(&iofilter_mutex);
	f = iofilter_find(link);
	if (WARN_ON_ONCE(!f)) {
		mutex_unlock(&iofilter_mutex);
		return;
	}
	mutex_unlock(&iofilter_mutex);

	kvm = iofilter_get_kvm(f);
	if (kvm) {
		if (ops->quiesce)
			iofilter_drain(ops);
		/*
		 * KVM looks the bus up anew for each element of a string: one that we have begun would get zeros for the rest. It ends
		 * before its vCPU leaves kvm->srcu.
		 */
		WRITE_ONCE(f->leaving, true);
		synchronize_srcu_expedited(&kvm->srcu);
		iofilter_bus_del(kvm, f);
		if (ops->quiesce)
			iofilter_drained(f, ops);
		iofilter_put_kvm_later(f);
	} else {
		/* The destructors signal it, not the death work: that may be waiting for the update_mutex we hold. */
		wait_for_completion(&f->off_bus);
	}
	/* As long as it answers, whoever attaches is told that it is there, and it is told that the VM's clock has moved. */
	mutex_lock(&iofilter_mutex);
	spin_lock(&iofilter_list_lock);
	list_del(&f->node);
	spin_unlock(&iofilter_list_lock);
	mutex_unlock(&iofilter_mutex);
	spin_lock(&f->lock);
	f->link = NULL;
	spin_unlock(&f->lock);
	iofilter_put(f);
}

/*
 * Swap the ops under a live link. The new ones must watch the same ranges of the same VM; eventfds stay those of the attach. When this
 * returns, no access runs the old programs any more.
 */
int iofilter_update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	const struct kvm_iofilter_ops *ops = kdata;
	struct kvm *kvm, *named;
	struct iofilter *f;
	int err = 0;
	u32 i;

	if (!bpf_capable() || !perfmon_capable())
		return -EPERM;
	mutex_lock(&iofilter_mutex);
	f = iofilter_find(link);
	mutex_unlock(&iofilter_mutex);
	if (!f)
		return -ENOLINK;
	if (ops->nr_ranges != f->nr_ranges || ops->flags != f->flags || strcmp(ops->name, f->name))
		return -EINVAL;
	for (i = 0; i < f->nr_ranges; i++)
		if (memcmp(&ops->ranges[i], &f->devs[i].range, sizeof(ops->ranges[i])))
			return -EINVAL;
	named = iofilter_kvm_from_fd(ops->vm_fd);
	if (IS_ERR(named))
		return PTR_ERR(named);
	kvm = iofilter_get_kvm(f);
	if (!kvm)
		err = -ENOLINK;
	else if (kvm != named)
		err = -EINVAL;
	if (!err) {
		/* What the old program knew of the VMM's answers, and has answered, the new one does not know. */
		iofilter_hold(f);
		WRITE_ONCE(f->ops, ops);
		synchronize_srcu_expedited(&kvm->srcu);
		iofilter_unhold(f);
	}
	kvm_put_kvm(named); /* the caller's descriptor still holds it */
	if (kvm)
		iofilter_put_kvm_later(f);
	return err;
}
