/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What becomes of an access to the PIT: pit_read() and pit_write(), for every access in the watched ranges. They return as a
 * filter program does: 0 to punt.
 */
#ifndef IOFILTER_PIT_ACCESS_H
#define IOFILTER_PIT_ACCESS_H

#include <iofilter/pit_clock.h>

/* Before anything is known. A program's initial values need nothing else. */
static inline void pit_init(struct iofilter_pit *p)
{
	int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		p->channels[i].state = -1;
		p->channels[i].states = PIT_ANY_STATE;
		p->channels[i].clock.freq = PIT_HZ;
		p->channels[i].clock.width = 64;
		p->channels[i].clock.bracket = IOFILTER_BRACKET_NS;
		p->channels[i].clock.absence = IOFILTER_ABSENCE_NS;
		p->channels[i].clock.expiry = IOFILTER_EXPIRY_NS;
		p->channels[i].clock.calibrating = IOFILTER_CALIBRATION;
	}
	p->gate = PIT_UNKNOWN;
	p->data = PIT_UNKNOWN;
	p->toggle = PIT_UNKNOWN;
}

/* The lock is held for about a microsecond. Who cannot have it by then, because its owner is preempted, does not wait. */
#define PIT_TRIES 256

static inline int pit_lock(struct iofilter_pit *p)
{
	int i, c;

	iofilter_for(i, PIT_TRIES) {
		if (__sync_val_compare_and_swap(&p->lock, 0, 1))
			continue;
		if (!__sync_lock_test_and_set(&p->confused, 0))
			return 0;
		/* The VMM got an access that nobody followed. */
		p->conflicts++;
		iofilter_for(c, PIT_CHANNELS)
			pit_forget(p, &p->channels[c]);
		pit_forget_system(p);
		p->open_kind = PIT_NOTHING;
		return 0;
	}
	return -1;
}

static inline void pit_unlock(struct iofilter_pit *p)
{
	__sync_lock_test_and_set(&p->lock, 0);
}

static inline int pit_punt(struct iofilter_pit *p, enum iofilter_verdict why)
{
	if ((__u32)why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&p->verdicts[why], 1);
	return 0;
}

/* The order of accesses to the channel is not known. */
static inline void pit_conflict(struct iofilter_pit *p, struct pit_channel *c)
{
	p->conflicts++;
	pit_forget(p, c);
}

static inline void pit_read_closes(struct iofilter_pit *p, __u32 vcpu)
{
	if (vcpu >= IOFILTER_MAX_VCPUS || !p->open_by[vcpu])
		return;
	p->open_by[vcpu] = 0;
	p->nr_open--;
}

/*
 * First on every access. What this vCPU had at the VMM is done. Return: whether another vCPU's access is there, so that the VMM may
 * see this one before or after it.
 */
static inline int pit_enter(struct iofilter_pit *p, const struct kvm_iofilter_req *req, int *in_table)
{
	int i, quiet = !(req->flags & KVM_IOFILTER_REQ_BUSY);

	*in_table = 1;
	iofilter_for(i, PIT_CHANNELS) {
		struct pit_channel *c = &p->channels[i];
		struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);

		if (!v || iofilter_clock_enter(&c->clock, req->vcpu)) {
			*in_table = 0;
			continue;
		}
		if (req->flags & KVM_IOFILTER_REQ_SLEPT)
			iofilter_clock_slept(&c->clock, v);
		if (req->flags & KVM_IOFILTER_REQ_AWAY) {
			iofilter_clock_seen(&c->clock, v, req->now, req->away);
			if (req->away >= c->clock.absence) {
				p->gate_old = 1;
				pit_clock_doubt(c);
			}
		}
		/* Another vCPU's load is over too, but perhaps only since @now: its own next access or an answer tells. */
		if (c->loading && c->load_vcpu == req->vcpu)
			pit_load_end(c, req->now);
		if (c->latch_at && !c->latch_end && c->latch_vcpu == req->vcpu)
			c->latch_end = req->now;
	}
	pit_read_closes(p, req->vcpu);
	if (quiet || p->write_vcpu == req->vcpu)
		p->open_write = 0;
	return (p->nr_open || p->open_write) && IOFILTER_CLAUSE(PIT_ORDER);
}

/* A read goes to the VMM. */
static inline void pit_read_opens(struct iofilter_pit *p, const struct kvm_iofilter_req *req, enum pit_kind kind, __u32 channel,
				  int others)
{
	/* Whose answer is whose cannot be told apart then. */
	p->open_kind = others ? PIT_NOTHING : kind;
	if (req->vcpu < IOFILTER_MAX_VCPUS && !p->open_by[req->vcpu]) {
		p->open_by[req->vcpu] = 1;
		p->nr_open++;
	}
	p->open_vcpu = req->vcpu;
	p->open_channel = channel;
	p->open_addr = req->addr;
	p->open_at = req->now;
	p->open_quiet = !(req->flags & KVM_IOFILTER_REQ_BUSY);
}

/* The guest polls if its unlatched pairs follow each other closely. */
static inline int pit_polls(struct pit_channel *c, __u64 now)
{
	if (now - c->poll_at > c->clock.absence)
		c->polls = 0;
	c->poll_at = now;
	if (c->polls < PIT_POLLS)
		c->polls++;
	return c->polls >= PIT_POLLS;
}

/* A read that the overlay must answer. Return: whether it was one. */
static inline int pit_read_overlay(struct pit_channel *c, struct kvm_iofilter_req *req, const struct iofilter_vcpu *v)
{
	if (c->status_latched) {
		req->val = c->status;
		c->status_latched = 0;
		return 1;
	}
	/* A status that the VMM has comes first. */
	if (c->state >= 0 && PIT_STATE_STATUS(c->state))
		return 0;
	if (c->latched) {
		req->val = pit_byte(c->latch, c->latched == PIT_RW_MSB);
		c->latched = c->latched == PIT_RW_WORD ? PIT_RW_MSB : 0;
		return 1;
	}
	if (!c->pair || (c->state >= 0 && PIT_STATE_LATCHED(c->state)))
		return 0;
	c->pair = 0;
	req->val = pit_byte(pit_value(c->mode, c->count, pit_ticks(pit_virt_forced(c, v, req->now))), 1);
	return 1;
}

/* An unlatched byte, if the clock allows. */
static inline enum iofilter_verdict pit_read_live(struct iofilter_pit *p, struct pit_channel *c, struct kvm_iofilter_req *req,
						  struct iofilter_vcpu *v)
{
	enum pit_kind kind = pit_kind(c);
	enum iofilter_verdict why;
	__u64 virt, delay = 0;
	__u32 word;

	if (!c->programmed || (kind != PIT_LSB && kind != PIT_MSB))
		return IOFILTER_PUNT_UNPROVEN;
	word = PIT_STATE_READ(c->state);
	/* The VMM has answered the LSB: the MSB is its, too. */
	if (word == PIT_WORD_MSB)
		return IOFILTER_PUNT_SHAPE;
	if (word == PIT_RW_WORD && (!pit_polls(c, req->now) || p->drain))
		return IOFILTER_PUNT_SHAPE;
	if (!pit_narrow_enough(c, pit_period(c->mode, c->count ? c->count : 1)))
		return IOFILTER_PUNT_UNPROVEN;
	why = pit_clock_read(c, v, req, &delay, &virt);
	req->delay = delay;
	if (why != IOFILTER_ANSWERED)
		return why;
	iofilter_store(v->last, virt);
	req->val = pit_byte(pit_value(c->mode, c->count, pit_ticks(virt)), kind == PIT_MSB);
	c->pair = word == PIT_RW_WORD;
	return IOFILTER_ANSWERED;
}

static inline int pit_read_counter(struct iofilter_pit *p, struct kvm_iofilter_req *req, __u32 channel, int others)
{
	struct pit_channel *c = &p->channels[channel < PIT_CHANNELS ? channel : 0];
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	enum iofilter_verdict why;

	if (v && pit_read_overlay(c, req, v))
		return 1;
	why = !v ? IOFILTER_PUNT_VCPU : others ? IOFILTER_PUNT_BUSY : pit_read_live(p, c, req, v);
	if (why == IOFILTER_ANSWERED)
		return 1;
	pit_read_opens(p, req, pit_kind(c), channel, others);
	/* Two reads may change places, a read and a write may not. */
	if (others && p->open_write)
		pit_conflict(p, c);
	else
		pit_step(c, PIT_OP_READ, 0);
	return pit_punt(p, why);
}

static inline int pit_read_system(struct iofilter_pit *p, struct kvm_iofilter_req *req, int others)
{
	struct pit_channel *c = &p->channels[2];
	struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);
	enum iofilter_verdict why = IOFILTER_PUNT_UNPROVEN;
	__u64 delay = 0;
	__u32 out = 0;

	if (!v) {
		why = IOFILTER_PUNT_VCPU;
	} else if (p->gate != PIT_UNKNOWN && p->data != PIT_UNKNOWN && p->toggle != PIT_UNKNOWN) {
		why = others || (p->drain && !p->odd) ? IOFILTER_PUNT_BUSY :
		      p->gate_old			       ? IOFILTER_PUNT_SUSPECT :
								 pit_clock_out(c, v, req, &delay, &out);
		/* The second of two: bit 4 is inverted by each read, so that the VMM's is right again only after both. */
		if (why != IOFILTER_ANSWERED && p->odd && IOFILTER_CLAUSE(PIT_ODD) && !pit_out_forced(c, v, req->now, &out)) {
			why = IOFILTER_ANSWERED;
			delay = 0;
		}
	}
	if (why == IOFILTER_ANSWERED) {
		p->odd ^= 1;
		req->val = p->gate * PIT_61_GATE | p->data * PIT_61_DATA | (p->toggle ^ p->odd) * PIT_61_REFRESH | out * PIT_61_OUT;
		return 1;
	}
	req->delay = delay;
	pit_read_opens(p, req, PIT_SYSTEM_PORT, 2, others);
	p->cuts += p->odd;
	p->odd = 0;
	if (p->toggle != PIT_UNKNOWN)
		p->toggle ^= 1;
	return pit_punt(p, why);
}

/* More or less than a byte, or a string: the VMM takes it apart. Which ports it touches is enough. */
static inline int pit_odd_shape(struct iofilter_pit *p, const struct kvm_iofilter_req *req, int write)
{
	int i;

	if (req->addr == PIT_SYSTEM) {
		pit_forget_system(p);
		/* The gate may have started it anew. */
		if (write)
			pit_forget(p, &p->channels[2]);
		return pit_punt(p, IOFILTER_PUNT_SHAPE);
	}
	iofilter_for(i, PIT_CHANNELS) {
		__u64 port = PIT_PORT + i;

		if ((port >= req->addr && port < req->addr + req->len) ||
		    (write && PIT_CONTROL >= req->addr && PIT_CONTROL < req->addr + req->len))
			pit_forget(p, &p->channels[i]);
	}
	return pit_punt(p, IOFILTER_PUNT_SHAPE);
}

static inline int pit_read_locked(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	int in_table, others = pit_enter(p, req, &in_table);

	if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return pit_odd_shape(p, req, 0);
	if (!in_table)
		others = 1;
	if (req->addr == PIT_SYSTEM)
		return pit_read_system(p, req, others);
	if (req->addr >= PIT_PORT && req->addr < PIT_CONTROL)
		return pit_read_counter(p, req, req->addr - PIT_PORT, others);
	return pit_punt(p, IOFILTER_PUNT_SHAPE);
}

/* The status byte as it is now. */
static inline enum iofilter_verdict pit_status(struct pit_channel *c, struct iofilter_vcpu *v, const struct kvm_iofilter_req *req,
					       __u64 *delay, __u8 *status)
{
	enum iofilter_verdict why;
	__u32 out;

	why = pit_clock_out(c, v, req, delay, &out);
	if (why == IOFILTER_ANSWERED)
		*status = (out ? PIT_STATUS_OUT : 0) | c->rw << 4 | c->mode << 1 | c->bcd;
	return why;
}

/*
 * Latch @count and @status of one channel: can the filter do it (@commit 0), and do it. What is latched already, here or at the
 * VMM, stays.
 */
static inline enum iofilter_verdict pit_latch_one(struct pit_channel *c, struct iofilter_vcpu *v, struct kvm_iofilter_req *req,
						  int count, int status, int commit)
{
	enum iofilter_verdict why;
	__u64 virt, delay = 0;
	__u8 byte = 0;

	if (!c->programmed || c->state < 0)
		return IOFILTER_PUNT_UNPROVEN;
	count = count && !c->latched && !PIT_STATE_LATCHED(c->state);
	status = status && !c->status_latched && !PIT_STATE_STATUS(c->state);
	if (count) {
		if (!pit_narrow_enough(c, pit_period(c->mode, c->count ? c->count : 1)))
			return IOFILTER_PUNT_UNPROVEN;
		why = pit_clock_read(c, v, req, &delay, &virt);
		if (why != IOFILTER_ANSWERED)
			return why;
	}
	if (status) {
		why = pit_status(c, v, req, &delay, &byte);
		if (why != IOFILTER_ANSWERED)
			return why;
	}
	if (commit && count) {
		iofilter_store(v->last, virt);
		c->latch = pit_value(c->mode, c->count, pit_ticks(virt));
		c->latched = c->rw;
	}
	if (commit && status) {
		c->status = byte;
		c->status_latched = 1;
	}
	return IOFILTER_ANSWERED;
}

/* Latch command or read-back of @channels: all of it here, or all of it at the VMM. */
static inline int pit_latch(struct iofilter_pit *p, struct kvm_iofilter_req *req, __u32 channels, int count, int status, int others)
{
	enum iofilter_verdict why = others ? IOFILTER_PUNT_BUSY : p->drain ? IOFILTER_PUNT_HELD : IOFILTER_ANSWERED;
	int i;

	iofilter_for(i, PIT_CHANNELS) {
		struct pit_channel *c = &p->channels[i];
		struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);

		if (!(channels >> i & 1) || why != IOFILTER_ANSWERED)
			continue;
		why = v ? pit_latch_one(c, v, req, count, status, 0) : IOFILTER_PUNT_VCPU;
	}
	iofilter_for(i, PIT_CHANNELS) {
		struct pit_channel *c = &p->channels[i];
		struct iofilter_vcpu *v = pit_vcpu(c, req->vcpu);

		if (!(channels >> i & 1))
			continue;
		if (why == IOFILTER_ANSWERED) {
			/* Nothing has changed since the first round; but if, then nobody has latched anything for nothing. */
			if (v)
				pit_latch_one(c, v, req, count, status, 1);
			continue;
		}
		if (others) {
			pit_conflict(p, c);
			continue;
		}
		/* The guest's device would ignore this; the VMM's, which does not know of our latch, will not. */
		if ((count && c->latched) || (status && c->status_latched))
			pit_conflict(p, c);
		if (count && c->state >= 0 && !PIT_STATE_LATCHED(c->state)) {
			c->latch_at = req->now;
			c->latch_end = 0;
			c->latch_vcpu = req->vcpu;
			c->latch_lsb = 0;
		}
		if (count)
			pit_step(c, PIT_OP_LATCH, c->programmed ? c->rw : PIT_RW_WORD);
		if (status)
			pit_step(c, PIT_OP_STATUS, 0);
		/* What a latch holds depends on a mode that we have not seen. */
		if (!c->programmed)
			pit_blur(c);
	}
	return why == IOFILTER_ANSWERED;
}

static inline void pit_control(struct iofilter_pit *p, struct pit_channel *c, __u8 val, int others)
{
	if (others) {
		pit_conflict(p, c);
		return;
	}
	c->rw = PIT_RW(val);
	c->mode = PIT_M(val);
	c->bcd = val & PIT_BCD;
	c->write_state = c->rw;
	c->programmed = 1;
	c->pair = 0;
	c->polls = 0;
	/* A latched count stays, but it is one of the old mode. */
	c->latch_at = 0;
	c->mode_old = 0;
	/* Where in its period it was does not say where in another one it is. */
	if (c->phase_only && c->clock.bounded) {
		iofilter_clock_unprove(&c->clock);
		c->clock.bounded = 0;
	}
	pit_step(c, PIT_OP_PROGRAM, c->rw);
}

static inline void pit_write_counter(struct iofilter_pit *p, const struct kvm_iofilter_req *req, struct pit_channel *c, int others)
{
	__u8 val = req->val;
	__u32 count;

	if (others)
		pit_conflict(p, c);
	if (!c->programmed)
		return;
	if (c->write_state == PIT_RW_WORD) {
		c->write_latch = val;
		c->write_state = PIT_WORD_MSB;
		return;
	}
	count = c->write_state == PIT_RW_LSB ? val : val << 8;
	if (c->write_state == PIT_WORD_MSB) {
		count |= c->write_latch;
		c->write_state = PIT_RW_WORD;
	}
	c->count = count ? count : PIT_COUNT_MAX;
	c->count_old = 0;
	pit_load_begin(c, req->now, req->vcpu);
}

static inline void pit_write_system(struct iofilter_pit *p, const struct kvm_iofilter_req *req, int others)
{
	struct pit_channel *c = &p->channels[2];
	__u8 gate = req->val & PIT_61_GATE;

	if (others) {
		pit_forget_system(p);
		pit_conflict(p, c);
		return;
	}
	p->data = !!(req->val & PIT_61_DATA);
	/* After an absence the mode is not certain either. */
	if (gate && p->gate_old) {
		pit_load_begin(c, req->now, req->vcpu);
		c->loading = 0;
	} else if (gate && p->gate != 1 && (c->mode == 1 || c->mode == 2 || c->mode == 3 || c->mode == 5)) {
		pit_load_begin(c, req->now, req->vcpu);
		/* It starts the count anew only if it was low. */
		c->loading = p->gate != PIT_UNKNOWN;
	}
	p->gate = gate;
	p->gate_old = 0;
}

static inline int pit_write_locked(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	int in_table, others = pit_enter(p, req, &in_table), handled = 0;
	__u8 val = req->val;

	if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return pit_odd_shape(p, req, 1);
	if (!in_table)
		others = 1;
	if (req->addr == PIT_SYSTEM)
		pit_write_system(p, req, others);
	else if (req->addr == PIT_CONTROL && PIT_SC(val) == PIT_SC_READBACK)
		handled = pit_latch(p, req, val >> 1 & 7, !(val & PIT_RB_COUNT), !(val & PIT_RB_STATUS), others);
	else if (req->addr == PIT_CONTROL && PIT_RW(val) == PIT_RW_LATCH)
		handled = pit_latch(p, req, 1 << PIT_SC(val), 1, 0, others);
	else if (req->addr == PIT_CONTROL)
		pit_control(p, &p->channels[PIT_SC(val)], val, others);
	else if (req->addr >= PIT_PORT && req->addr < PIT_CONTROL)
		pit_write_counter(p, req, &p->channels[req->addr - PIT_PORT], others);
	if (handled)
		return 1;
	p->open_write = 1;
	p->write_vcpu = req->vcpu;
	return pit_punt(p, IOFILTER_PUNT_WRITE);
}

static inline int pit_read(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	int handled;

	if (pit_lock(p)) {
		iofilter_store(p->confused, 1);
		return pit_punt(p, IOFILTER_PUNT_BUSY);
	}
	handled = pit_read_locked(p, req);
	p->answered += handled;
	pit_unlock(p);
	return handled;
}

static inline int pit_write(struct iofilter_pit *p, struct kvm_iofilter_req *req)
{
	int handled;

	if (pit_lock(p)) {
		iofilter_store(p->confused, 1);
		return pit_punt(p, IOFILTER_PUNT_BUSY);
	}
	handled = pit_write_locked(p, req);
	p->answered += handled;
	pit_unlock(p);
	return handled;
}

#endif /* IOFILTER_PIT_ACCESS_H */
