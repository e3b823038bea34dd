// SPDX-License-Identifier: GPL-2.0
/*
 * What the VMM answered. A punted read is marked; when the guest has its answer, that answer still stands in the vCPU's kvm_run
 * page, and is given to the program's ->sample() before any vCPU is answered by the filter again. So the program knows every value
 * that a guest may compare its own answers with.
 *
 * The sign is vcpu->stat.fpu_reload: KVM counts it at every return of KVM_RUN, with immediate_exit too. One more than at
 * the punt, and nothing else has used the run page since. That also keeps a guest from forging an answer: to write there
 * it would have to leave KVM_RUN once more.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include "iofilter.h"

/* Answers to other vCPUs that one access may fold in; with more left, it punts. Those still in the VMM are passed over. */
#define SETTLE_MAX 8

/*
 * How often an access looks whether another vCPU has settled for it, too: some us. A punt costs more, and leaves a mark that all
 * others must settle in turn: many vCPUs that punt for no other reason would never come to an end.
 */
#define SETTLE_TRIES 256

/* No vCPU is on its way out of the kernel for longer, unless another device in the kernel has taken the access. */
#define FLIGHT_MAX_NS (100 * NSEC_PER_MSEC)

enum settled { FLIGHT, ANSWERED, STRING, LOST };

static struct iofilter_vcpu_slot *slot_new(const struct iofilter *f, struct kvm_vcpu *vcpu)
{
	struct iofilter_vcpu_slot *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);

	if (!s)
		return NULL;
	spin_lock_init(&s->lock);
	s->vcpu = vcpu;
	s->f = f;
	s->req.vcpu = vcpu->vcpu_idx;
	s->req.count = 1;
	s->req.pit = f->flags & KVM_IOFILTER_F_PIT ? vcpu->kvm->arch.vpit : NULL;
	s->req.ioapic = f->flags & KVM_IOFILTER_F_IRQ ? vcpu->kvm->arch.vioapic : NULL;
	s->req.now = f->flags & KVM_IOFILTER_F_SAMPLE ? ktime_get_ns() : 0;
	s->returns = vcpu_returns(vcpu);
	s->kvmclock_offset = READ_ONCE(vcpu->kvm->arch.kvmclock_offset);
	return s;
}

/* Room for every vCPU that the VM may get, and a slot for each that it has. */
int iofilter_slots_alloc(struct iofilter *f, struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	f->nr_slots = kvm->max_vcpus;
	f->slots = kvcalloc(f->nr_slots, sizeof(*f->slots), GFP_KERNEL_ACCOUNT);
	f->pending = bitmap_zalloc(f->nr_slots, GFP_KERNEL_ACCOUNT);
	if (!f->slots || !f->pending)
		goto nomem;
	kvm_for_each_vcpu(i, vcpu, kvm) {
		f->slots[i] = slot_new(f, vcpu);
		if (!f->slots[i])
			goto nomem;
	}
	/* Until iofilter_slots_attached(). */
	iofilter_hold(f);
	return 0;
nomem:
	iofilter_slots_free(f);
	return -ENOMEM;
}

void iofilter_slots_free(struct iofilter *f)
{
	u32 i;

	for (i = 0; f->slots && i < f->nr_slots; i++)
		kfree(f->slots[i]);
	kvfree(f->slots);
	bitmap_free(f->pending);
}

/* A vCPU that was made after the attach. NULL: it cannot be followed, and from now on all reads of this filter punt. */
struct iofilter_vcpu_slot *iofilter_slot_grow(struct iofilter *f, struct kvm_vcpu *vcpu)
{
	struct iofilter_vcpu_slot *s = NULL;

	if (vcpu->vcpu_idx < f->nr_slots)
		s = slot_new(f, vcpu);
	if (s) {
		/* A snapshot may have been loaded since the attach, while it did not read: its first access comes from an absence. */
		s->returns--;
		s->req.now = 0;
		WRITE_ONCE(f->slots[vcpu->vcpu_idx], s);
		return s;
	}
	if (!xchg(&f->blind, true))
		atomic_inc(&f->nr_pending);
	return NULL;
}

/* Every access punts as busy until iofilter_unhold(). Callers are serialised by BPF's update_mutex. */
void iofilter_hold(struct iofilter *f)
{
	atomic_inc(&f->nr_pending);
	WRITE_ONCE(f->hold, true);
}

/* Something may have been consumed that nobody saw: the program hears of a lost answer before anything else. */
void iofilter_unhold(struct iofilter *f)
{
	if (IOFILTER_CLAUSE(ATTACH_LOST) && !xchg(&f->lost, true))
		atomic_inc(&f->nr_pending);
	WRITE_ONCE(f->hold, false);
	atomic_dec(&f->nr_pending);
}

static void slot_set_pending(struct iofilter *f, struct iofilter_vcpu_slot *s)
{
	lockdep_assert_held(&s->lock);
	if (s->pending)
		return;
	s->pending = true;
	set_bit(s->vcpu->vcpu_idx, f->pending);
	atomic_inc(&f->nr_pending);
}

/* In the VMM, or on its way there: that is all but out of the kernel when it lets go of kvm->srcu, and can stay so for long. */
static bool in_vmm(struct kvm_vcpu *vcpu)
{
	return !READ_ONCE(vcpu->wants_to_run) ||
	       (IOFILTER_CLAUSE(LEAVING) && (READ_ONCE(vcpu->arch.pio.count) || READ_ONCE(vcpu->mmio_needed)));
}

/*
 * The filter is on the bus, and every vCPU has since entered the guest or left KVM_RUN. One that is in the VMM now may
 * come back with an answer to a read that the filter never saw: mark it.
 */
void iofilter_slots_attached(struct iofilter *f, struct kvm *kvm)
{
	u64 now = ktime_get_ns();
	u32 i;

	for (i = 0; i < f->nr_slots; i++) {
		struct iofilter_vcpu_slot *s = READ_ONCE(f->slots[i]);

		if (!s || !in_vmm(s->vcpu) || !IOFILTER_CLAUSE(ATTACH))
			continue;
		spin_lock(&s->lock);
		if (!s->mark.open) {
			s->mark = (struct iofilter_mark){
				.t0 = now,
				.fpu_reload = READ_ONCE(s->vcpu->stat.fpu_reload),
				.exits = READ_ONCE(s->vcpu->stat.exits),
				.open = true,
				.opaque = true,
			};
			slot_set_pending(f, s);
		}
		spin_unlock(&s->lock);
	}
	iofilter_unhold(f);
}

/* Follow up the punt of @s's vCPU, whose thread this is. */
void iofilter_mark(struct iofilter *f, struct iofilter_vcpu_slot *s, const struct iofilter_dev *d, u64 t0, u64 addr,
		   u32 len, bool write)
{
	u64 fpu_reload = s->vcpu->stat.fpu_reload;
	struct iofilter_mark *m = &s->mark;

	spin_lock(&s->lock);
	/* Not settled, because another vCPU was at it. (The same count: another range of ours, the same access.) */
	if (IOFILTER_CLAUSE(STALE) && m->open && m->fpu_reload != fpu_reload) {
		m->wrote |= m->write;
		m->stale |= !m->write;
	}
	m->t0 = t0;
	m->addr = addr;
	m->len = len;
	m->fpu_reload = fpu_reload;
	m->exits = s->vcpu->stat.exits;
	m->bus = d->range.bus;
	m->write = write;
	m->opaque = false;
	m->open = true;
	slot_set_pending(f, s);
	spin_unlock(&s->lock);
	s->returns = vcpu_returns(s->vcpu);
	if (d->range.bus == KVM_IOFILTER_PIO) {
		s->left = PUNT_PORT | addr;
		s->returns = ~s->returns;
		/* KVM has no access under way, and writes this when it leaves with ours: access_left(). Other filters look at it, too. */
		if (s->vcpu->arch.pio.port == (int)addr)
			s->vcpu->arch.pio.port = -1;
	}
}

/* Where the punt of @m stands. The vCPU may be running: what was read counts only if it has not left KVM_RUN meanwhile. */
static enum settled classify(struct kvm_vcpu *vcpu, const struct iofilter_mark *m, bool self, u64 now, u64 *val)
{
	const struct kvm_run *run = vcpu->run;
	u64 returns = READ_ONCE(vcpu->stat.fpu_reload) - m->fpu_reload;
	enum settled settled = ANSWERED;
	bool unread;
	u64 addr;

	*val = 0;
	if (returns == 0 && !m->opaque) {
		/* On its way out; or another device in the kernel took the access, and the vCPU goes on. */
		if (self)
			return m->write ? LOST : FLIGHT;
		if (IOFILTER_CLAUSE(EXITS) && READ_ONCE(vcpu->stat.exits) != m->exits)
			return LOST;
		/* A write is waited for however long it takes: who took it for done would learn what was there before it. */
		return READ_ONCE(vcpu->mode) != IN_GUEST_MODE && (m->write || now - m->t0 < FLIGHT_MAX_NS) ? FLIGHT : LOST;
	}
	/* One that was just leaving when it was marked has not been counted then. */
	if (m->opaque)
		return returns <= 1 && in_vmm(vcpu) && now - m->t0 < FLIGHT_MAX_NS ? FLIGHT : LOST;
	if (IOFILTER_CLAUSE(ONE_RETURN) && returns != 1)
		return LOST;

	/* KVM clears these before the guest goes on, with the answer or after its write. */
	unread = m->bus == KVM_IOFILTER_PIO ? READ_ONCE(vcpu->arch.pio.count) : READ_ONCE(vcpu->mmio_needed);
	if (unread) {
		/* Of this access, or already of the next one, to another device: then the guest has the answer, and it is gone. */
		smp_rmb();
		addr = m->bus == KVM_IOFILTER_PIO ? vcpu->arch.pio.port : READ_ONCE(vcpu->mmio_fragments[0].gpa);
		return !self && addr == m->addr ? FLIGHT : LOST;
	}
	/* The emulator clears the count of an OUT before it leaves, but once it has left nothing is written before it is back. */
	if (m->write)
		return self || READ_ONCE(vcpu->wants_to_run) ? LOST : FLIGHT;
	if (m->bus == KVM_IOFILTER_PIO) {
		if (run->io.direction != KVM_EXIT_IO_IN || run->io.port != m->addr || run->io.size != m->len ||
		    m->len > sizeof(*val))
			return LOST;
		if (IOFILTER_CLAUSE(STRING) && run->io.count != 1) {
			settled = STRING;
			*val = run->io.count;
		} else {
			memcpy(val, vcpu->arch.pio_data, m->len);
		}
	} else {
		if (run->mmio.is_write || run->mmio.phys_addr != m->addr || run->mmio.len != m->len ||
		    m->len > sizeof(run->mmio.data))
			return LOST;
		memcpy(val, run->mmio.data, m->len);
	}
	smp_rmb();
	if (self || !IOFILTER_CLAUSE(RECHECK))
		return settled;
	if (READ_ONCE(vcpu->stat.fpu_reload) - m->fpu_reload != 1 || READ_ONCE(vcpu->arch.pio.count) ||
	    READ_ONCE(vcpu->mmio_needed))
		return LOST;
	return settled;
}

static void give(struct iofilter *f, const struct kvm_iofilter_ops *ops, struct kvm_iofilter_sample *sample)
{
	if (!ops->sample)
		return;
	ops->sample(sample);
	if (sample->moved)
		iofilter_moved(f, sample->t1);
}

/* @t0: of the punt; 0: it has been overwritten, or was never seen. */
static void sample_lost(struct iofilter *f, const struct kvm_iofilter_ops *ops, u32 vcpu, u64 t0)
{
	struct kvm_iofilter_sample sample = {
		.t0 = t0,
		.t1 = ktime_get_ns(),
		.vcpu = vcpu,
		.flags = KVM_IOFILTER_SAMPLE_LOST,
	};

	if (IOFILTER_CLAUSE(LOST))
		give(f, ops, &sample);
}

/* @m: of the write; NULL: it has been overwritten. */
static void sample_write(struct iofilter *f, const struct kvm_iofilter_ops *ops, u32 vcpu, const struct iofilter_mark *m)
{
	struct kvm_iofilter_sample sample = {
		.t0 = m ? m->t0 : 0,
		.t1 = ktime_get_ns(),
		.addr = m ? m->addr : 0,
		.len = m ? m->len : 0,
		.vcpu = vcpu,
		.flags = KVM_IOFILTER_SAMPLE_WRITE,
	};

	give(f, ops, &sample);
}

/* Settle one slot. Return: whether order against this vCPU is known now. */
static bool settle_slot(struct iofilter *f, struct iofilter_vcpu_slot *s, bool self, const struct kvm_iofilter_ops *ops)
{
	struct kvm_iofilter_sample sample = {};
	struct iofilter_mark m;
	enum settled settled;
	u64 now;
	bool known = true;

	spin_lock(&s->lock);
	now = ktime_get_ns(); /* not before the mark's own time */
	m = s->mark;
	settled = m.open ? classify(s->vcpu, &m, self, now, &sample.val) : LOST;
	if (settled != FLIGHT)
		s->mark.open = false;
	s->mark.stale = false;
	s->mark.wrote = false;
	spin_unlock(&s->lock);

	if (settled == FLIGHT && !m.stale && !m.wrote)
		return !m.write && !m.opaque;
	if (m.stale)
		sample_lost(f, ops, s->vcpu->vcpu_idx, 0);
	if (m.wrote)
		sample_write(f, ops, s->vcpu->vcpu_idx, NULL);
	if (m.open && (settled == ANSWERED || settled == STRING) && ops->sample) {
		sample.t0 = m.t0;
		/* After the classification: an answer given since our entry must not look older than it is. */
		sample.t1 = IOFILTER_CLAUSE(FRESH) ? ktime_get_ns() : now;
		sample.addr = m.addr;
		sample.len = m.len;
		sample.vcpu = s->vcpu->vcpu_idx;
		sample.flags = self ? 0 : KVM_IOFILTER_SAMPLE_OTHER;
		if (settled == STRING) {
			sample.flags |= KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_STRING;
			sample.data = s->vcpu->arch.pio_data;
		}
		give(f, ops, &sample);
	} else if (m.open && settled == LOST && m.write) {
		sample_write(f, ops, s->vcpu->vcpu_idx, &m);
	} else if (m.open && settled == LOST) {
		sample_lost(f, ops, s->vcpu->vcpu_idx, m.t0);
	} else if (settled == FLIGHT && (m.write || m.opaque)) {
		known = false;
	}

	spin_lock(&s->lock);
	if (!s->mark.open && !s->mark.stale && !s->mark.wrote && s->pending) {
		s->pending = false;
		clear_bit(s->vcpu->vcpu_idx, f->pending);
		atomic_dec(&f->nr_pending);
	}
	spin_unlock(&s->lock);
	return known;
}

/*
 * Give the program what is not settled: first this vCPU's, then the others', a few of them. Only one vCPU does so at a time.
 *
 * Return: true if every answer that any vCPU has consumed is known to the program; false: this access must punt.
 */
bool iofilter_settle(struct iofilter *f, struct iofilter_vcpu_slot *self, const struct kvm_iofilter_ops *ops)
{
	struct kvm_iofilter_sample sample = { .flags = KVM_IOFILTER_SAMPLE_MOVED };
	unsigned long i, start;
	bool known = true;
	u64 enough;
	u32 n;

	if ((IOFILTER_CLAUSE(HOLD) && READ_ONCE(f->hold)) || READ_ONCE(f->blind))
		return false;
	/* Odd while somebody is at it, who may be past what matters to us: then the next one's result is ours. */
	enough = (READ_ONCE(f->scans) + 3) & ~1ULL;
	for (n = 0; atomic_cmpxchg_acquire(&f->settling, 0, 1); n++) {
		if ((s64)(smp_load_acquire(&f->scans) - enough) >= 0 && READ_ONCE(f->scan_known))
			return true;
		if (n == SETTLE_TRIES || !IOFILTER_CLAUSE(TRIES))
			return false;
		cpu_relax();
	}
	WRITE_ONCE(f->scans, f->scans + 1);

	if (xchg(&f->lost, false)) {
		sample_lost(f, ops, self->vcpu->vcpu_idx, 0);
		atomic_dec(&f->nr_pending);
	}
	sample.t1 = xchg(&f->moved, 0);
	if (sample.t1) {
		give(f, ops, &sample);
		atomic_dec(&f->nr_pending);
	}
	if (IOFILTER_CLAUSE(OWN) && READ_ONCE(self->pending))
		known &= settle_slot(f, self, true, ops);

	start = f->settle_from < f->nr_slots ? f->settle_from : 0;
	n = 0;
	for_each_set_bit_wrap(i, f->pending, f->nr_slots, start) {
		if (f->slots[i] == self || !IOFILTER_CLAUSE(PEEK))
			continue;
		if (n == SETTLE_MAX) {
			known = false;
			break;
		}
		f->settle_from = i + 1;
		known &= settle_slot(f, f->slots[i], false, ops);
		n += !IOFILTER_CLAUSE(PASS_OVER) || !READ_ONCE(f->slots[i]->pending);
	}
	WRITE_ONCE(f->scan_known, known);
	smp_store_release(&f->scans, f->scans + 1);
	atomic_set_release(&f->settling, 0);
	return known;
}
