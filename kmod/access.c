// SPDX-License-Identifier: GPL-2.0
/*
 * An access of a guest to a watched range: in the vCPU's thread, inside KVM_RUN, under kvm->srcu. Everything here is paid by
 * every access, so it is kept short.
 */
#include <linux/ktime.h>
#include <linux/sched/task_stack.h>
#include <linux/timekeeping.h>
#include <asm/kvm_vcpu_regs.h>
#include "iofilter.h"

enum { OP_READ, OP_WRITE };

/*
 * An upper bound of the elements that this exit may still ask for. KVM's fast paths (IN and OUT without a string) pass a
 * variable on the stack; everything else comes from the emulator, which reads ahead into a buffer of 1 KiB at most RCX
 * elements. A guest with protected state has its RCX elsewhere: no bound is known.
 */
static noinline u32 string_count(const struct kvm_vcpu *vcpu, int len)
{
	if (vcpu->arch.guest_state_protected)
		return U32_MAX;
	return clamp_t(unsigned long, vcpu->arch.regs[VCPU_REGS_RCX], 1, 1024 / len);
}

/* Sleep as the program asked before the VMM is let to answer. Interruptible: a pause must not wait for us. */
static bool access_delay(u64 delay)
{
	ktime_t t = ns_to_ktime(min(delay, KVM_IOFILTER_MAX_DELAY_NS));

	set_current_state(TASK_INTERRUPTIBLE);
	return !schedule_hrtimeout(&t, HRTIMER_MODE_REL);
}

static __always_inline struct iofilter_vcpu_slot *access_slot(struct iofilter *f, struct kvm_vcpu *vcpu)
{
	struct iofilter_vcpu_slot *s = NULL;

	if (likely(vcpu->vcpu_idx < f->nr_slots))
		s = READ_ONCE(f->slots[vcpu->vcpu_idx]);
	return likely(s) ? s : iofilter_slot_grow(f, vcpu);
}

/*
 * KVM_RUN may have returned for something else than our own punt, or somebody has set the VM's clock. A punt to a port is one return,
 * unless KVM did not leave with it because another device in the kernel (a coalesced port, KVM's PIT) has taken the access: then a
 * return since was for something else, and may have been a stop of the VM.
 */
static noinline void access_left(struct iofilter_vcpu_slot *s, const struct kvm_vcpu *vcpu, u64 returns, s64 offset, u64 now)
{
	u64 expected = s->returns;

	if (s->left)
		expected = ~expected + (!IOFILTER_CLAUSE(TAKEN) || vcpu->arch.pio.port == (u16)s->left);
	if ((IOFILTER_CLAUSE(RETURNS) && returns != expected) || (IOFILTER_CLAUSE(KVMCLOCK) && offset != s->kvmclock_offset)) {
		s->req.away = max(now - s->req.now, 1ULL);
		s->req.flags |= KVM_IOFILTER_REQ_AWAY;
	}
	s->left = 0;
	s->returns = returns;
	s->kvmclock_offset = offset;
}

/* What the program must know of this vCPU's past. */
static __always_inline void access_follow(struct iofilter *f, struct iofilter_vcpu_slot *s, struct kvm_vcpu *vcpu,
					  const struct kvm_iofilter_ops *ops, u64 now)
{
	u64 returns = vcpu_returns(vcpu);
	s64 offset = READ_ONCE(vcpu->kvm->arch.kvmclock_offset);

	if (unlikely((IOFILTER_CLAUSE(RETURNS) && returns != s->returns) ||
		     (IOFILTER_CLAUSE(KVMCLOCK) && offset != s->kvmclock_offset)))
		access_left(s, vcpu, returns, offset, now);
	s->req.now = now;
	if (likely(!atomic_read(&f->nr_pending)))
		return;
	/* A delay goes with a punt, which left a mark of ours. */
	if (s->slept)
		s->req.flags |= KVM_IOFILTER_REQ_SLEPT;
	s->slept = false;
	if (!iofilter_settle(f, s, ops))
		s->req.flags |= KVM_IOFILTER_REQ_BUSY;
}

/* Element of a string instruction: how many more, and with which ops. */
static noinline const struct kvm_iofilter_ops *access_string(struct iofilter_vcpu_slot *s, const void *val,
							     const struct kvm_iofilter_ops *ops, int op)
{
	s->req.count = string_count(s->vcpu, s->req.len);
	if (s->req.count != 1)
		s->req.flags |= KVM_IOFILTER_REQ_STRING;
	/*
	 * KVM reads on behind the element before, in the same exit: the same instruction. Where a guest with protected state has its buffer is
	 * its own choice, and it may begin another string there, after an update has freed the ops.
	 */
	if (op == OP_READ && s->string_ops && val == s->string_next && s->vcpu->stat.exits == s->string_exits) {
		s->req.flags |= KVM_IOFILTER_REQ_MORE;
		return s->string_ops;
	}
	return ops;
}

/* The program has left the access to the VMM: see to it that its answer is found again. */
static noinline void access_punted(struct iofilter *f, struct iofilter_vcpu_slot *s, const struct iofilter_dev *d, int op)
{
	struct kvm_iofilter_req *req = &s->req;

	s->string_ops = NULL;
	s->punted[op][d->index]++;
	if (f->flags & KVM_IOFILTER_F_SAMPLE && req->delay && op == OP_READ) {
		s->slept = access_delay(req->delay) && req->delay <= KVM_IOFILTER_MAX_DELAY_NS;
		req->now = ktime_get_ns();
	}
	if (f->flags & KVM_IOFILTER_F_SAMPLE)
		iofilter_mark(f, s, d, req->now, req->addr, req->len, op == OP_WRITE);
}

/* Whoever gets the first element of a string answers all: none begins here any more. Apart, so that nobody else pays for it. */
static noinline int access_leaving(struct iofilter *f, struct iofilter_vcpu_slot *s, const struct iofilter_dev *d,
				   const struct kvm_iofilter_ops *ops, int op)
{
	struct kvm_iofilter_req *req = &s->req;

	if (f->flags & KVM_IOFILTER_F_SAMPLE)
		access_follow(f, s, s->vcpu, ops, ktime_get_ns());
	access_punted(f, s, d, op);
	req->flags = 0;
	req->away = 0;
	req->count = 1;
	return -EOPNOTSUPP;
}

static __always_inline int access(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, void *val, int op)
{
	struct iofilter_dev *d = container_of(dev, struct iofilter_dev, dev);
	const struct kvm_iofilter_ops *ops;
	struct iofilter *f = d->f;
	struct iofilter_vcpu_slot *s;
	struct kvm_iofilter_req *req;
	int handled = 0;

	s = access_slot(f, vcpu);
	if (unlikely(!s))
		return -EOPNOTSUPP;
	req = &s->req;
	req->addr = addr;
	req->val = 0;
	req->delay = 0;
	req->len = len;

	ops = READ_ONCE(f->ops);
	if (unlikely(!object_is_on_stack(val)) && d->range.bus == KVM_IOFILTER_PIO) {
		ops = access_string(s, val, ops, op);
		if (READ_ONCE(f->leaving) && !(req->flags & KVM_IOFILTER_REQ_MORE))
			return access_leaving(f, s, d, ops, op);
	}
	if (likely(f->flags & KVM_IOFILTER_F_SAMPLE))
		access_follow(f, s, vcpu, ops, ktime_get_ns());
	else if (f->flags & KVM_IOFILTER_F_CLOCK)
		req->now = ktime_get_ns();

	if (op == OP_READ) {
		if (ops->read)
			handled = ops->read(req);
	} else {
		/* KVM hands over MMIO in pieces of 8 bytes at most. */
		if (len == 1)
			req->val = *(u8 *)val;
		else
			memcpy(&req->val, val, min_t(size_t, len, sizeof(req->val)));
		if (ops->write)
			handled = ops->write(req);
	}

	if (likely(handled)) {
		s->handled[op][d->index]++;
		if (op == OP_READ) {
			if (likely(len == 4))
				*(u32 *)val = req->val;
			else if (len == 1)
				*(u8 *)val = req->val;
			else
				memcpy(val, &req->val, min_t(size_t, len, sizeof(req->val)));
		}
	} else {
		access_punted(f, s, d, op);
	}
	if (unlikely(req->flags)) {
		if (handled && op == OP_READ && req->flags & KVM_IOFILTER_REQ_STRING) {
			s->string_ops = ops;
			s->string_next = val + len;
			s->string_exits = vcpu->stat.exits;
		}
		req->flags = 0;
		req->away = 0;
		req->count = 1;
	}
	return likely(handled) ? 0 : -EOPNOTSUPP;
}

static int iofilter_dev_read(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, void *val)
{
	return access(vcpu, dev, addr, len, val, OP_READ);
}

static int iofilter_dev_write(struct kvm_vcpu *vcpu, struct kvm_io_device *dev, gpa_t addr, int len, const void *val)
{
	return access(vcpu, dev, addr, len, (void *)val, OP_WRITE);
}

static void iofilter_dev_destroy(struct kvm_io_device *dev)
{
	iofilter_dev_gone(container_of(dev, struct iofilter_dev, dev));
}

const struct kvm_io_device_ops iofilter_dev_ops = {
	.read = iofilter_dev_read,
	.write = iofilter_dev_write,
	.destructor = iofilter_dev_destroy,
};
