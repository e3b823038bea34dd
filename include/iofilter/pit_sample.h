/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the VMM answered to a punted read of the PIT. */
#ifndef IOFILTER_PIT_SAMPLE_H
#define IOFILTER_PIT_SAMPLE_H

#include <iofilter/pit_access.h>

static inline void pit_sample_latched(struct iofilter_pit *p, struct pit_channel *c, __u8 val, int msb, __u64 t1, __u32 vcpu)
{
	__u32 lsb = c->latch_lsb;

	if (!c->latch_at || !c->latch_end) {
		iofilter_clock_lost(&c->clock, t1);
		return;
	}
	if (!msb && c->rw == PIT_RW_WORD) {
		c->latch_lsb = val + 1;
		return;
	}
	if (msb && lsb)
		pit_fold(p, c, PIT_LATCHED_MSB, 1, val << 8 | ((lsb - 1) & 0xff), c->latch_at, c->latch_end, vcpu);
	else
		pit_fold(p, c, msb ? PIT_MSB : PIT_LSB, 0, val, c->latch_at, c->latch_end, vcpu);
	c->latch_at = 0;
}

static inline void pit_sample_system(struct iofilter_pit *p, const struct kvm_iofilter_sample *s)
{
	__u8 gate = s->val & PIT_61_GATE;

	/* Not by a guest's write: a reset. */
	if (p->gate != PIT_UNKNOWN && p->gate != gate)
		pit_forget(p, &p->channels[2]);
	p->gate = gate;
	p->gate_old = 0;
	p->data = !!(s->val & PIT_61_DATA);
	p->toggle = !!(s->val & PIT_61_REFRESH);
	pit_fold(p, &p->channels[2], PIT_SYSTEM_PORT, 0, !!(s->val & PIT_61_OUT), s->t0, s->t1, s->vcpu);
}

static inline void pit_sample_locked(struct iofilter_pit *p, const struct kvm_iofilter_sample *s)
{
	__u32 channel = p->open_channel, kind = p->open_kind;
	struct pit_channel *c;
	__u32 open = s->vcpu < IOFILTER_MAX_VCPUS && p->open_by[s->vcpu];
	int i;

	pit_read_closes(p, s->vcpu);
	/* Another thread may see an answer that is not the one in question, which would look like another state. */
	if (s->flags & (KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_OTHER) || !open || s->vcpu != p->open_vcpu ||
	    s->addr != p->open_addr || s->len != 1 || s->t0 < p->open_at || kind == PIT_NOTHING || channel >= PIT_CHANNELS) {
		iofilter_for(i, PIT_CHANNELS)
			iofilter_clock_lost(&p->channels[i].clock, s->t1);
		return;
	}
	c = &p->channels[channel];
	/* Nothing was in flight when this read began, so what began before it is done. */
	if (p->open_quiet)
		pit_load_end(c, s->t1);
	if (kind == PIT_STATUS) {
		if (c->programmed && ((s->val ^ (c->rw << 4 | c->mode << 1 | c->bcd)) & 0x3f))
			pit_forget(p, c);
	} else if (kind == PIT_LATCHED_LSB || kind == PIT_LATCHED_MSB) {
		pit_sample_latched(p, c, s->val, kind == PIT_LATCHED_MSB, s->t1, s->vcpu);
	} else if (kind == PIT_SYSTEM_PORT) {
		pit_sample_system(p, s);
	} else {
		pit_fold(p, c, kind, 0, s->val & 0xff, s->t0, s->t1, s->vcpu);
	}
}

static inline void pit_sample(struct iofilter_pit *p, const struct kvm_iofilter_sample *s)
{
	if (pit_lock(p)) {
		iofilter_store(p->confused, 1);
		return;
	}
	pit_sample_locked(p, s);
	pit_unlock(p);
}

#endif /* IOFILTER_PIT_SAMPLE_H */
