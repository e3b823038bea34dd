/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What becomes of an access to the RTC: rtc_read_any() and rtc_write_any(), for every access in the watched ranges, and
 * rtc_sample_any(), for what the VMM answered. They take no lock.
 *
 * The index is the device's, not a vCPU's, and the VMM gets writes to it late: KVM queues them in its coalesced ring, behind our
 * back, and the VMM takes the queue before it looks at an access to either port. So the queue's order is the order that counts, and
 * it is known only of a write that began when none was under way: @flying counts those that have begun and are not known to be
 * done. Its index is then known to the vCPU that has written it, until somebody begins another write, or one that was under way ends;
 * and for no longer than a guest takes between the two accesses of a pair, since there are writes that are not seen here (one that
 * straddles 0x6f and 0x70).
 */
#ifndef IOFILTER_RTC_ACCESS_H
#define IOFILTER_RTC_ACCESS_H

#include <stddef.h>
#include <iofilter/rtc.h>

static inline int rtc_punt(struct iofilter_rtc *r, enum iofilter_verdict why)
{
	if ((__u32)why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&r->verdicts[why], 1);
	return 0;
}

static inline int rtc_is_in(__u32 reg, __u64 low, __u64 high)
{
	return (reg < 64 ? low : high) >> (reg & 63) & 1;
}

/* Nothing that was asked for before this is learnt. */
static inline void rtc_version(struct iofilter_rtc *r)
{
	__sync_fetch_and_add(&r->version, 1);
}

static inline void rtc_forget_bytes(struct iofilter_rtc *r)
{
	__sync_fetch_and_add(&r->epoch, 1);
	rtc_version(r);
}

/* A number for a write to the index. Return: the new word, without a register. */
static inline __u64 rtc_number(struct iofilter_rtc *r)
{
	return (__sync_fetch_and_add(&r->writes, 1) + 1) << RTC_INDEX_SHIFT;
}

static inline void rtc_lose_index(struct iofilter_rtc *r)
{
	__u64 unknown = rtc_number(r);

	__sync_lock_test_and_set(&r->index, unknown);
}

static inline void rtc_forget(struct iofilter_rtc *r)
{
	rtc_forget_bytes(r);
	rtc_lose_index(r);
}

/* The write of @v that began at @began is done. Another's that has begun after it may have been done before it. */
static inline void rtc_write_done(struct iofilter_rtc *r, struct rtc_vcpu *v, __u64 began)
{
	__u32 data = v->began_data;

	if (!began || __sync_val_compare_and_swap(&v->began, began, 0) != began)
		return;
	if (data != 1)
		__sync_fetch_and_add(&r->flying, -1);
	if (IOFILTER_CLAUSE(RTC_OVERTAKEN) && data != 1 && iofilter_load(r->index) != v->index)
		rtc_lose_index(r);
}

/* What comes first on every access. NULL: punt. */
static inline struct rtc_vcpu *rtc_enter(struct iofilter_rtc *r, const struct kvm_iofilter_req *req)
{
	__u32 vcpu = req->vcpu;
	struct rtc_vcpu *v;
	__u64 began;

	if (vcpu >= IOFILTER_MAX_VCPUS)
		return NULL;
	v = &r->vcpus[vcpu];
	began = iofilter_load(v->began);
	if (began) {
		/* This vCPU is past it, and nobody was told: the module's settling was another's turn. */
		if (v->began_data)
			rtc_forget_bytes(r);
		rtc_write_done(r, v, began);
	}
	if (IOFILTER_CLAUSE(RTC_AWAY) && req->flags & KVM_IOFILTER_REQ_AWAY && req->away >= r->absence) {
		rtc_forget(r);
		__sync_fetch_and_add(&r->suspicions, 1);
	}
	v->asked = 0;
	return v;
}

/* The index that an access of @v to the data port means, or 0. */
static inline __u64 rtc_index(struct iofilter_rtc *r, const struct rtc_vcpu *v, const struct kvm_iofilter_req *req)
{
	__u64 index = iofilter_load(r->index);

	if (index != v->index || !(index & RTC_INDEX_KNOWN) || r->blind ||
	    (IOFILTER_CLAUSE(RTC_AGE) && req->now - v->index_at >= r->absence) ||
	    (IOFILTER_CLAUSE(RTC_BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY) || req->flags & KVM_IOFILTER_REQ_STRING)
		return 0;
	return index;
}

static inline void rtc_write_index(struct iofilter_rtc *r, struct rtc_vcpu *v, const struct kvm_iofilter_req *req)
{
	int plain = req->len == 1 && !(req->flags & KVM_IOFILTER_REQ_STRING);
	__s64 others = __sync_fetch_and_add(&r->flying, 1);
	__u64 index = rtc_number(r);

	/* A word goes to both ports: index, then data. */
	if (!plain)
		rtc_forget_bytes(r);
	v->began_data = plain ? 0 : 2;
	if (plain && (!others || !IOFILTER_CLAUSE(RTC_OTHERS)) && !(req->flags & KVM_IOFILTER_REQ_BUSY))
		index |= RTC_INDEX_KNOWN | (req->val & (RTC_NR_REGS - 1));
	v->index = index;
	v->index_at = req->now;
	__sync_lock_test_and_set(&r->index, index);
}

static inline int rtc_write_any(struct iofilter_rtc *r, const struct kvm_iofilter_req *req)
{
	struct rtc_vcpu *v = rtc_enter(r, req);

	if (!v) {
		iofilter_store(r->blind, 1);
		rtc_forget(r);
		return rtc_punt(r, IOFILTER_PUNT_VCPU);
	}
	if (req->addr == RTC_INDEX_PORT) {
		rtc_write_index(r, v, req);
	} else if (req->addr == RTC_DATA_PORT) {
		v->asked = rtc_index(r, v, req);
		v->began_data = 1;
		rtc_version(r);
	} else {
		return rtc_punt(r, IOFILTER_PUNT_WRITE);
	}
	iofilter_store(v->began, req->now);
	return rtc_punt(r, IOFILTER_PUNT_WRITE);
}

static inline __u8 rtc_bcd(const struct rtc_time *t, __u32 n)
{
	return t->reg_b & RTC_B_DM ? n : n / 10 << 4 | n % 10;
}

/*
 * A register that follows the clock, from what the VMM has published.
 *
 * Return: 0 and *@val, or -1: nothing is published, or the register may be changing at this moment.
 */
static inline int rtc_time_read(struct iofilter_rtc *r, __u32 reg, __u64 now, __u64 *val)
{
	__u32 seq = iofilter_load(r->time.seq), time, hours;
	struct rtc_time t;
	__u64 ns;

	iofilter_barrier();
	t = r->time;
	iofilter_barrier();
	if (seq & 1 || !t.valid || iofilter_load(r->time.seq) != seq || now < t.second_at)
		return -1;
	ns = now - t.second_at;
	if (ns >= RTC_SECONDS_PER_DAY * IOFILTER_NSEC_PER_SEC)
		return -1;
	time = t.time + ns / IOFILTER_NSEC_PER_SEC;
	ns %= IOFILTER_NSEC_PER_SEC;
	if (time >= RTC_SECONDS_PER_DAY || ns < RTC_MARGIN_NS || ns >= IOFILTER_NSEC_PER_SEC - RTC_UIP_NS - RTC_MARGIN_NS)
		return -1;
	switch (reg) {
	case RTC_SECONDS:
		*val = rtc_bcd(&t, time % 60);
		return 0;
	case RTC_MINUTES:
		*val = rtc_bcd(&t, time / 60 % 60);
		return 0;
	case RTC_HOURS:
		hours = time / 3600;
		if (t.reg_b & RTC_B_24H)
			*val = rtc_bcd(&t, hours);
		else
			*val = rtc_bcd(&t, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? RTC_HOURS_PM : 0);
		return 0;
	case RTC_DAY_OF_WEEK:
		*val = t.day_of_week;
		return 0;
	case RTC_DATE_OF_MONTH:
		*val = t.date_of_month;
		return 0;
	case RTC_MONTH:
		*val = t.month;
		return 0;
	case RTC_YEAR:
		*val = t.year;
		return 0;
	case RTC_CENTURY:
		*val = t.century;
		return 0;
	case RTC_REG_A:
		*val = t.reg_a & ~RTC_A_UIP;
		return 0;
	}
	return -1;
}

/* Return: IOFILTER_ANSWERED and *@val, or the reason to punt. */
static inline enum iofilter_verdict rtc_cell_read(struct iofilter_rtc *r, __u32 reg, __u64 now, __u64 *val)
{
	struct rtc_cell *c = &r->cells[reg & (RTC_NR_REGS - 1)];
	__u64 epoch = iofilter_load(r->epoch), at, word;

	if (!rtc_is_in(reg, RTC_STABLE_LOW & ~iofilter_load(r->changed[0]), RTC_STABLE_HIGH & ~iofilter_load(r->changed[1])))
		return IOFILTER_PUNT_VOLATILE;
	at = iofilter_load(c->at);
	iofilter_barrier();
	word = iofilter_load(c->word);
	iofilter_barrier();
	if (!at || iofilter_load(c->at) != at || word >> 8 != epoch)
		return IOFILTER_PUNT_UNPROVEN;
	if ((__s64)(now - at) > (__s64)r->expiry)
		return IOFILTER_PUNT_AUDIT;
	*val = word & 0xff;
	return IOFILTER_ANSWERED;
}

static inline int rtc_read_any(struct iofilter_rtc *r, struct kvm_iofilter_req *req)
{
	__u64 suspicions = iofilter_load(r->suspicions), index, val = 0;
	struct rtc_vcpu *v = rtc_enter(r, req);
	enum iofilter_verdict why;
	__u32 reg;

	if (!v)
		return rtc_punt(r, IOFILTER_PUNT_VCPU);
	if (req->addr != RTC_DATA_PORT || req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return rtc_punt(r, IOFILTER_PUNT_SHAPE);
	if (IOFILTER_CLAUSE(RTC_BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY)
		return rtc_punt(r, IOFILTER_PUNT_BUSY);
	if (r->fuse)
		return rtc_punt(r, IOFILTER_PUNT_FUSE);
	index = rtc_index(r, v, req);
	if (!index)
		return rtc_punt(r, iofilter_load(r->suspicions) != suspicions ? IOFILTER_PUNT_SUSPECT : IOFILTER_PUNT_INDEX);
	reg = index & (RTC_NR_REGS - 1);
	if (rtc_is_in(reg, RTC_TIME_LOW, 0))
		why = rtc_time_read(r, reg, req->now, &val) ? IOFILTER_PUNT_VOLATILE : IOFILTER_ANSWERED;
	else
		why = rtc_cell_read(r, reg, req->now, &val);
	/* Else it may be what a register holds after a write whose index has come since. */
	iofilter_barrier();
	if (IOFILTER_CLAUSE(RTC_AGAIN) && iofilter_load(r->index) != index)
		return rtc_punt(r, IOFILTER_PUNT_INDEX);
	if (why != IOFILTER_ANSWERED) {
		v->asked_version = iofilter_load(r->version) + iofilter_load(r->epoch);
		v->asked = index;
		return rtc_punt(r, why);
	}
	req->val = val;
	v->answered++;
	return 1;
}

/* The VM's own round trip tells how long an exit takes here, and so what is no pause (clock.h). */
static inline void rtc_calibrate(struct iofilter_rtc *r, __u64 bracket)
{
	__u64 absence;

	if (!r->best_bracket || bracket < r->best_bracket)
		r->best_bracket = bracket;
	if (r->calibrating) {
		if (--r->calibrating)
			return;
		r->scaled = 1;
	}
	if (!r->scaled)
		return;
	absence = r->best_bracket * 10;
	if (absence < IOFILTER_ABSENCE_NS)
		absence = IOFILTER_ABSENCE_NS;
	if (absence > RTC_ABSENCE_MAX_NS)
		absence = RTC_ABSENCE_MAX_NS;
	iofilter_store(r->absence, absence);
}

/* The VMM shows another byte than before, and nobody has written it. */
static inline void rtc_changed(struct iofilter_rtc *r, __u32 reg)
{
	r->changes++;
	iofilter_store(r->changed[reg >> 6 & 1], r->changed[reg >> 6 & 1] | RTC_BIT(reg));
	if (r->changes >= RTC_CHANGED_MAX)
		iofilter_store(r->fuse, IOFILTER_FUSE_MODEL);
}

static inline void rtc_sample_answer(struct iofilter_rtc *r, struct rtc_vcpu *v, const struct kvm_iofilter_sample *s)
{
	__u64 epoch = iofilter_load(r->epoch);
	struct rtc_cell *c;
	__u32 reg;

	r->samples++;
	r->last_sample_at = s->t1;
	if (!(s->flags & KVM_IOFILTER_SAMPLE_OTHER))
		rtc_calibrate(r, s->t1 - s->t0);
	if (s->addr != RTC_DATA_PORT || s->len != 1 || !v->asked || v->asked != iofilter_load(r->index) ||
	    (IOFILTER_CLAUSE(RTC_VERSION) && v->asked_version != iofilter_load(r->version) + epoch))
		return;
	reg = v->asked & (RTC_NR_REGS - 1);
	if (!rtc_is_in(reg, RTC_STABLE_LOW, RTC_STABLE_HIGH))
		return;
	c = &r->cells[reg];
	if (c->at && c->word >> 8 == epoch && (c->word & 0xff) != (s->val & 0xff)) {
		iofilter_store(c->at, 0);
		/* Read while its vCPU went on, it may be another's answer (settle.c). */
		if (!(s->flags & KVM_IOFILTER_SAMPLE_OTHER))
			rtc_changed(r, reg);
		return;
	}
	if (s->flags & KVM_IOFILTER_SAMPLE_OTHER)
		return;
	iofilter_store(c->at, 0);
	iofilter_barrier();
	iofilter_store(c->word, epoch << 8 | (s->val & 0xff));
	iofilter_barrier();
	iofilter_store(c->at, s->t0);
	r->learnt++;
}

static inline void rtc_sample_write(struct iofilter_rtc *r, struct rtc_vcpu *v, const struct kvm_iofilter_sample *s)
{
	if (!s->len) {
		/* Overwritten: this vCPU has begun something else meanwhile. */
		rtc_forget(r);
		return;
	}
	if (s->addr != RTC_INDEX_PORT && s->addr != RTC_DATA_PORT)
		return;
	if (s->addr == RTC_DATA_PORT && IOFILTER_CLAUSE(RTC_FORGET)) {
		if (s->len == 1 && v->asked && v->asked == iofilter_load(r->index)) {
			iofilter_store(r->cells[v->asked & (RTC_NR_REGS - 1)].at, 0);
			rtc_version(r);
		} else {
			rtc_forget_bytes(r);
		}
	} else if (s->len != 1) {
		rtc_forget(r);
	}
	rtc_write_done(r, v, s->t0);
}

/*
 * An answer is lost: another exit came before the next access to the RTC. If it is known which register was read, only that one may
 * have shown something new. Else it may be anything, perhaps a write from before the filter was attached.
 */
static inline void rtc_sample_lost(struct iofilter_rtc *r, const struct kvm_iofilter_sample *s)
{
	__u64 asked = 0;

	r->lost++;
	if (s->vcpu < IOFILTER_MAX_VCPUS)
		asked = iofilter_load(r->vcpus[s->vcpu].asked);
	if (asked && asked == iofilter_load(r->index))
		iofilter_store(r->cells[asked & (RTC_NR_REGS - 1)].at, 0);
	else
		rtc_forget(r);
}

static inline void rtc_sample_any(struct iofilter_rtc *r, const struct kvm_iofilter_sample *s)
{
	__u32 vcpu = s->vcpu;

	if (s->flags & KVM_IOFILTER_SAMPLE_LOST) {
		rtc_sample_lost(r, s);
	} else if (s->flags & KVM_IOFILTER_SAMPLE_MOVED) {
		rtc_forget(r);
	} else if (vcpu >= IOFILTER_MAX_VCPUS) {
		rtc_forget(r);
	} else if (s->flags & KVM_IOFILTER_SAMPLE_WRITE) {
		rtc_sample_write(r, &r->vcpus[vcpu], s);
	} else {
		rtc_sample_answer(r, &r->vcpus[vcpu], s);
	}
}

#endif /* IOFILTER_RTC_ACCESS_H */
