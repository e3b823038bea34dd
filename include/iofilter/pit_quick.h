/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The common accesses, when all is as it should be: an unlatched byte of a counter that is read as one byte, a latch command, the bytes
 * of a latch, port 0x61 in modes in which the output rises once. Everything else, and whatever is not certain here, is for the slow path,
 * which finds nothing changed, and which leaves behind what may be answered here (pit_leave()).
 */
#ifndef IOFILTER_PIT_QUICK_H
#define IOFILTER_PIT_QUICK_H

#include <iofilter/pit_enter.h>

#define PIT_QUICK static inline __attribute__((__always_inline__))

/* As iofilter_clock_quick(), but nobody else is at the clock: we have the lock. */
PIT_QUICK int pit_quick_time(struct pit_channel *c, const struct kvm_iofilter_req *req, __u64 *virt)
{
	struct iofilter_vcpu *v = &c->vcpus[pit_index(req->vcpu)];
	struct iofilter_clock *clk = &c->clock;
	__u64 now = req->now;

	if (!v->trusted || (IOFILTER_CLAUSE(EXPIRY) && (__s64)(now - clk->proven_at) > (__s64)clk->expiry))
		return -1;
	*virt = clk->lo + (now > clk->settled_at ? now : clk->settled_at);
	v->last = *virt;
	return 0;
}

/* As pit_ticks(). */
PIT_QUICK __u64 pit_quick_ticks(const struct pit_channel *c, __u64 virt)
{
	return iofilter_second_to_ticks(c->clock.second, virt, PIT_HZ);
}

/* As pit_value(), and mostly without a division. */
PIT_QUICK __u16 pit_quick_value(struct pit_channel *c, __u64 virt)
{
	__u64 d = pit_quick_ticks(c, virt), rest;
	__u32 count = c->count, mode = c->mode;

	if (mode < 2 || mode == 4 || mode == 5)
		return count - d;
	rest = d - c->base;
	if (rest >= count) {
		rest = d % count;
		c->base = d - rest;
	}
	if (mode == 3) {
		rest *= 2;
		rest -= rest >= count ? count : 0;
	}
	return count - rest;
}

PIT_QUICK int pit_quick_counter(struct iofilter_pit *p, struct pit_channel *c, struct kvm_iofilter_req *req)
{
	__u32 quick = c->quick;
	__u64 virt;

	if (c->overlay) {
		if (!(quick & PIT_QUICK_LATCHED) || c->status_latched || !c->latched)
			return 0;
		if (c->latched == PIT_RW_WORD) {
			c->latched = PIT_RW_MSB;
			req->val = c->latch & 0xff;
			return 1;
		}
		req->val = pit_byte(c->latch, c->latched == PIT_RW_MSB);
		c->latched = 0;
		p->head.in_flight--;
		return 1;
	}
	if (!(quick & (PIT_QUICK_LSB | PIT_QUICK_MSB)) || pit_quick_time(c, req, &virt))
		return 0;
	req->val = pit_byte(pit_quick_value(c, virt), quick & PIT_QUICK_MSB);
	return 1;
}

PIT_QUICK int pit_quick_system(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	struct pit_channel *c = &p->channels[2];
	__u32 count = c->count, out;
	__u64 virt;

	if (!p->quick_system || (iofilter_load(p->head.drain) && !p->odd) || pit_quick_time(c, req, &virt))
		return 0;
	out = pit_quick_ticks(c, virt) >= count;
	/* The latest that the bounds allow, rounded up. */
	if (!out && pit_quick_ticks(c, virt + (c->clock.hi - c->clock.lo)) + 1 >= count)
		return 0;
	p->odd ^= 1;
	p->head.in_flight += p->odd ? 1 : -1;
	req->val = p->gate * PIT_61_GATE | p->data * PIT_61_DATA | (p->toggle ^ p->odd) * PIT_61_REFRESH | out * PIT_61_OUT;
	return 1;
}

/* Return: whether it was answered. */
PIT_QUICK int pit_quick_read(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	__u64 port = req->addr - PIT_PORT;
	int handled = 0;

	if (__sync_val_compare_and_swap(&p->lock, 0, 1))
		return 0;
	if (req->vcpu < p->calm && !iofilter_load(p->attention)) {
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
	struct pit_channel *c;
	int handled = 0;
	__u64 virt;

	if (req->addr != PIT_CONTROL || PIT_RW(val) != PIT_RW_LATCH || PIT_SC(val) == PIT_SC_READBACK ||
	    __sync_val_compare_and_swap(&p->lock, 0, 1))
		return 0;
	c = pit_channel(p, PIT_SC(val));
	if (req->vcpu < p->calm && !iofilter_load(p->attention) && !iofilter_load(p->head.drain) && c->quick & PIT_QUICK_LATCH &&
	    !c->latched && !pit_quick_time(c, req, &virt)) {
		c->latch = pit_quick_value(c, virt);
		c->latched = c->rw;
		p->head.in_flight++;
		p->commands++;
		handled = 1;
	}
	pit_unlock(p);
	return handled;
}

#endif /* IOFILTER_PIT_QUICK_H */
