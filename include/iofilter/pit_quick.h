/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The common accesses, when all is as it should be: an unlatched byte of a counter that is read as one byte, a latch command, the bytes
 * of a latch, port 0x61 in modes in which the output rises once. Everything else, and whatever is not certain here, is for the slow path,
 * which finds nothing changed.
 */
#ifndef IOFILTER_PIT_QUICK_H
#define IOFILTER_PIT_QUICK_H

#include <iofilter/pit_enter.h>

#define PIT_QUICK static inline __attribute__((__always_inline__))

/* As pit_ticks(). */
PIT_QUICK __u64 pit_quick_ticks(const struct iofilter_clock *clk, __u64 virt)
{
	return iofilter_second_to_ticks(clk->second, virt, PIT_HZ);
}

/* The time of channel @c for vCPU @v. What the clock proves includes that a count was loaded, and that none is being loaded. */
PIT_QUICK int pit_quick_time(struct pit_channel *c, struct iofilter_vcpu *v, __u64 now, __u64 period_ns, __u64 *virt)
{
	if (4 * (__u64)(c->clock.hi - c->clock.lo) >= period_ns)
		return -1;
	return iofilter_clock_quick(&c->clock, v, now, virt);
}

PIT_QUICK int pit_quick_counter(struct iofilter_pit *p, struct pit_channel *c, struct kvm_iofilter_req *req)
{
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	__u32 states = c->states;
	__u16 value;
	__u64 virt;

	if (!v || c->status_latched)
		return 0;
	if (c->latched) {
		if (pit_has_status(c))
			return 0;
		req->val = pit_byte(c->latch, c->latched == PIT_RW_MSB);
		if (c->latched == PIT_RW_WORD) {
			c->latched = PIT_RW_MSB;
			return 1;
		}
		c->latched = 0;
		p->head.in_flight--;
		return 1;
	}
	if ((states != PIT_STATE(PIT_RW_LSB, 0, 0) && states != PIT_STATE(PIT_RW_MSB, 0, 0)) || c->pair || !c->programmed ||
	    pit_quick_time(c, v, req->now, c->period_ns, &virt))
		return 0;
	value = pit_value(c->mode, c->count, pit_quick_ticks(&c->clock, virt));
	req->val = pit_byte(value, states == PIT_STATE(PIT_RW_MSB, 0, 0));
	return 1;
}

PIT_QUICK int pit_quick_system(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	struct pit_channel *c = &p->channels[2];
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	__u32 count = c->count, out;
	__u64 virt, d;

	if (!v || p->gate_old || p->gate == PIT_UNKNOWN || p->data == PIT_UNKNOWN || p->toggle == PIT_UNKNOWN ||
	    p->toggles < PIT_TOGGLES || c->phase_only ||
	    !c->programmed || (c->mode > 1 && c->mode < 6) || (iofilter_load(p->head.drain) && !p->odd) ||
	    pit_quick_time(c, v, req->now, c->count_ns, &virt))
		return 0;
	d = pit_quick_ticks(&c->clock, virt);
	out = d >= count;
	/* The latest that the bounds allow, rounded up. */
	if (!out && pit_quick_ticks(&c->clock, virt + (c->clock.hi - c->clock.lo)) + 1 >= count)
		return 0;
	p->odd ^= 1;
	p->head.in_flight += p->odd ? 1 : -1;
	req->val = p->gate * PIT_61_GATE | p->data * PIT_61_DATA | (p->toggle ^ p->odd) * PIT_61_REFRESH | out * PIT_61_OUT;
	return 1;
}

/* Does this vCPU come as the lean path wants it, and is nothing else under way? Under the lock. */
PIT_QUICK int pit_calm(const struct iofilter_pit *p, __u32 vcpu)
{
	return p->calm && vcpu < p->entered && !iofilter_load(p->confused) && !iofilter_load(p->held) && !iofilter_load(p->doubted);
}

/* Return: whether it was answered. */
PIT_QUICK int pit_quick_read(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	__u64 port = req->addr - PIT_PORT;
	int handled = 0;

	if (__sync_val_compare_and_swap(&p->lock, 0, 1))
		return 0;
	if (pit_calm(p, req->vcpu)) {
		if (port < PIT_CHANNELS)
			handled = pit_quick_counter(p, pit_channel(p, port), req);
		else if (port == PIT_SYSTEM - PIT_PORT)
			handled = pit_quick_system(p, req);
		p->answered += handled;
	}
	pit_unlock(p);
	return handled;
}

/* A latch command. Return: whether it was carried out. */
PIT_QUICK int pit_quick_write(struct iofilter_pit *p, const struct kvm_iofilter_req *req)
{
	__u32 val = req->val;
	struct iofilter_vcpu *v;
	struct pit_channel *c;
	int handled = 0;
	__u64 virt;

	if (req->addr != PIT_CONTROL || PIT_RW(val) != PIT_RW_LATCH || PIT_SC(val) == PIT_SC_READBACK ||
	    __sync_val_compare_and_swap(&p->lock, 0, 1))
		return 0;
	c = pit_channel(p, PIT_SC(val));
	v = pit_vcpu(c, req->vcpu);
	if (v && pit_calm(p, req->vcpu) && !iofilter_load(p->head.drain) && c->programmed && !c->latched && !pit_has_count(c) &&
	    !pit_has_status(c) && !pit_quick_time(c, v, req->now, c->period_ns, &virt)) {
		c->latch = pit_value(c->mode, c->count, pit_quick_ticks(&c->clock, virt));
		c->latched = c->rw;
		p->head.in_flight++;
		p->commands++;
		handled = 1;
	}
	pit_unlock(p);
	return handled;
}

#endif /* IOFILTER_PIT_QUICK_H */
