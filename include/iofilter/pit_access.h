/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The PIT's fast path: what a filter program does with an access in the watched ranges, and with what the module tells it. One at a
 * time: under the lock.
 */
#ifndef IOFILTER_PIT_ACCESS_H
#define IOFILTER_PIT_ACCESS_H

#include <iofilter/pit_quick.h>
#include <iofilter/pit_read.h>
#include <iofilter/pit_sample.h>
#include <iofilter/pit_write.h>

/* Does [@addr, @addr + @len) touch a port of the device? */
static inline int pit_touches(__u64 addr, __u32 len)
{
	return (addr < PIT_PORT + PIT_LEN && addr + len > PIT_PORT) || (addr <= PIT_SYSTEM && addr + len > PIT_SYSTEM);
}

/* More or less than a byte, or a string: the VMM takes it apart. Which ports it touches is enough. */
PIT_PROG int pit_odd_shape(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG, int write)
{
	__u64 addr = req->addr, end = addr + req->len;
	int i;

	pit_opens(p, req->vcpu, PIT_WRITING, req->now);
	if (addr <= PIT_SYSTEM && end > PIT_SYSTEM) {
		pit_forget_system(p);
		/* The gate may have started it anew. */
		if (write)
			pit_forget(p, &p->channels[2]);
	}
	for (i = 0; i < PIT_CHANNELS; i++) {
		__u64 port = PIT_PORT + i;

		if ((port >= addr && port < end) || (write && PIT_CONTROL >= addr && PIT_CONTROL < end))
			pit_forget(p, &p->channels[i]);
	}
	return pit_punt(p, IOFILTER_PUNT_SHAPE);
}

PIT_PROG int pit_read_locked(struct iofilter_pit *p PIT_ARG, struct kvm_iofilter_req *req PIT_ARG)
{
	int others = pit_enter(p, req);

	if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return pit_odd_shape(p, req, 0);
	if (req->addr == PIT_SYSTEM)
		return pit_read_system(p, req, others);
	if (req->addr >= PIT_PORT && req->addr < PIT_CONTROL)
		return pit_read_counter(p, pit_channel(p, req->addr - PIT_PORT), req, req->addr - PIT_PORT, others);
	return pit_punt(p, IOFILTER_PUNT_SHAPE);
}

PIT_PROG int pit_write_locked(struct iofilter_pit *p PIT_ARG, const struct kvm_iofilter_req *req PIT_ARG)
{
	int others = pit_enter(p, req), handled = 0;
	__u32 val = req->val & 0xff, channel;

	if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return pit_odd_shape(p, req, 1);
	channel = req->addr == PIT_CONTROL ? PIT_SC(val) : (req->addr - PIT_PORT) & 3;
	if (req->addr == PIT_SYSTEM)
		pit_write_system(p, req, others);
	else if (req->addr == PIT_CONTROL && channel == PIT_SC_READBACK)
		handled = pit_latch(p, req, val >> 1 & 7,
				    (val & PIT_RB_COUNT ? 0 : PIT_LATCH_COUNT) | (val & PIT_RB_STATUS ? 0 : PIT_LATCH_STATUS), others);
	else if (req->addr == PIT_CONTROL && PIT_RW(val) == PIT_RW_LATCH)
		handled = pit_latch(p, req, 1 << channel, PIT_LATCH_COUNT, others);
	else if (channel < PIT_CHANNELS && req->addr == PIT_CONTROL)
		pit_control(p, pit_channel(p, channel), val, others);
	else if (channel < PIT_CHANNELS)
		pit_write_counter(p, pit_channel(p, channel), req, others);
	if (handled)
		return 1;
	pit_opens(p, req->vcpu, PIT_WRITING, req->now);
	return pit_punt(p, IOFILTER_PUNT_WRITE);
}

/*
 * BPF cannot pass on what the module hands over but by copying it; and field by field, for the verifier wants each read by itself.
 */
static inline void pit_copy_req(struct kvm_iofilter_req *to, const struct kvm_iofilter_req *from)
{
	to->now = from->now;
	to->addr = from->addr;
	to->val = from->val;
	to->away = from->away;
	to->delay = 0;
	to->len = iofilter_load(from->len);
	to->count = 0;
	to->vcpu = iofilter_load(from->vcpu);
	to->flags = iofilter_load(from->flags);
}

/* A program of its own, so that the common case saves no registers. */
static __attribute__((__noinline__)) int pit_read_slow(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	struct kvm_iofilter_req r;
	int handled;

	if (!pit_touches(req->addr, req->len))
		return pit_punt(p, IOFILTER_PUNT_SHAPE);
	if (pit_lock(p, req->vcpu, PIT_READING))
		return pit_punt(p, IOFILTER_PUNT_BUSY);
	pit_copy_req(&r, req);
	handled = pit_read_locked(p, &r);
	p->answered += handled;
	pit_leave(p);
	req->val = r.val;
	req->delay = r.delay;
	return handled;
}

static __attribute__((__noinline__)) int pit_write_slow(struct iofilter_pit *p, const struct kvm_iofilter_req *req)
{
	struct kvm_iofilter_req r;
	int handled;

	if (!pit_touches(req->addr, req->len))
		return pit_punt(p, IOFILTER_PUNT_SHAPE);
	if (pit_lock(p, req->vcpu, PIT_WRITING))
		return pit_punt(p, IOFILTER_PUNT_WRITE);
	pit_copy_req(&r, req);
	handled = pit_write_locked(p, &r);
	p->commands += handled;
	pit_leave(p);
	return handled;
}

PIT_QUICK int pit_on_read(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	return (!req->flags && req->len == 1 && pit_quick_read(p, req)) || pit_read_slow(p, req);
}

PIT_QUICK int pit_on_write(struct iofilter_pit *p, const struct kvm_iofilter_req *req)
{
	return (!req->flags && req->len == 1 && pit_quick_write(p, req)) || pit_write_slow(p, req);
}

static inline void pit_on_sample(struct iofilter_pit *p, struct kvm_iofilter_sample *sample)
{
	struct kvm_iofilter_sample s = {
		.t0 = sample->t0,
		.t1 = sample->t1,
		.addr = sample->addr,
		.val = sample->val,
		.len = iofilter_load(sample->len),
		.vcpu = iofilter_load(sample->vcpu),
		.flags = iofilter_load(sample->flags),
	};

	/* Of an access beside the device. (A write that is no longer known has no length.) */
	if (!(s.flags & (KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_MOVED)) && s.len && !pit_touches(s.addr, s.len))
		return;
	if (pit_lock(p, s.vcpu, PIT_DONE))
		return;
	p->moved = 0;
	pit_sample_locked(p, &s);
	sample->moved = p->moved;
	pit_leave(p);
}

/* The filter is about to go. @last: it has gone, and nobody else is here. Return: sequences in flight. */
static inline int pit_on_quiesce(struct iofilter_pit *p, int last)
{
	__u32 n;

	iofilter_store(p->head.drain, 1);
	n = iofilter_load(p->head.in_flight);
	if (!last)
		return n;
	p->head.cut += n;
	iofilter_store(p->head.in_flight, 0);
	return n;
}

/* Before anything is known. A program's initial values need nothing else. */
static inline void pit_init(struct iofilter_pit *p)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		p->channels[i].states = PIT_ANY_STATE;
		p->channels[i].clock.freq = PIT_HZ;
		p->channels[i].clock.width = 64;
		p->channels[i].clock.bracket = IOFILTER_BRACKET_NS;
		p->channels[i].clock.absence = IOFILTER_ABSENCE_NS;
		p->channels[i].clock.expiry = IOFILTER_EXPIRY_NS;
		p->channels[i].clock.calibrating = PIT_CALIBRATION;
	}
	p->gate = PIT_UNKNOWN;
	p->data = PIT_UNKNOWN;
	p->toggle = PIT_UNKNOWN;
}

#endif /* IOFILTER_PIT_ACCESS_H */
