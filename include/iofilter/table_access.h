/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The four ops of a table. */
#ifndef IOFILTER_TABLE_ACCESS_H
#define IOFILTER_TABLE_ACCESS_H

#include <iofilter/table_predict.h>
#include <iofilter/table_rule.h>

static inline void table_count(struct iofilter_table *t, __u32 verdict)
{
	if (verdict < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&t->verdicts[verdict], 1);
}

static inline __u32 table_ones(__u64 x)
{
	x -= x >> 1 & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + (x >> 2 & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return x * 0x0101010101010101ULL >> 56;
}

/* What the VMM does not know of: slots that it has not seen, and data of which the guest has read a part. */
static inline __u32 table_in_flight(const struct iofilter_table *t)
{
	return table_ones(t->dirty_slots) + table_ones(t->begun_buffers) + (t->predict.armed && (t->predict.next || t->predict.pos));
}

static inline void table_leave(struct iofilter_table *t)
{
	__u32 in_flight;

	table_predict_settle(t);
	in_flight = table_in_flight(t);
	if (t->head.in_flight != in_flight)
		t->head.in_flight = in_flight;
	table_tell(t);
	table_unlock(t);
}

/* An absence of the vCPU in which the VM may have been reset, or another VM's state loaded. */
static inline int table_away(const struct iofilter_table *t, const struct kvm_iofilter_req *req)
{
	return req->flags & KVM_IOFILTER_REQ_AWAY && req->away >= t->absence && !t->owned;
}

/* The access goes to the VMM, and what it does to the state is not known. */
static inline void table_leave_to_vmm(struct iofilter_table *t, __u32 missed)
{
	table_predict_drop(t);
	if (missed & TABLE_MISSED_WRITE)
		table_forget_writes(t);
	if (missed & TABLE_MISSED_READ)
		table_forget_reads(t);
}

/* Return: 0 and the verdict of a punt, or IOFILTER_ANSWERED. */
static inline __u32 table_decide(struct iofilter_table *t, struct kvm_iofilter_req *req, int port, __u32 op)
{
	enum table_done done;
	int index;

	if (req->flags & KVM_IOFILTER_REQ_BUSY)
		return IOFILTER_PUNT_BUSY;
	if (t->predict.armed)
		return table_predicted(t, req, op) ? IOFILTER_PUNT_UNPROVEN : IOFILTER_ANSWERED;
	if (op == TABLE_WRITE && req->flags & KVM_IOFILTER_REQ_STRING)
		return IOFILTER_PUNT_SHAPE;
	index = table_match(t, port, req->len, op);
	if (index < 0)
		return index == TABLE_UNKNOWN ? IOFILTER_PUNT_UNPROVEN : IOFILTER_PUNT_SHAPE;
	done = op == TABLE_READ ? table_rule_read(t, req, index) : table_rule_write(t, req, index);
	switch (done) {
	case TABLE_DONE:
		return IOFILTER_ANSWERED;
	case TABLE_TO_VMM:
		return IOFILTER_PUNT_WRITE;
	case TABLE_LEFT_UNKNOWN:
		return IOFILTER_PUNT_UNPROVEN;
	case TABLE_LEFT_BUSY:
		return IOFILTER_PUNT_BUSY;
	default:
		return IOFILTER_PUNT_SHAPE;
	}
}

static inline int table_access(struct iofilter_table *t, struct kvm_iofilter_req *req, __u32 op)
{
	int port = table_port(t, req->addr, req->len), missed;
	__u32 verdict;

	/* Not one of its ranges: it cannot be, and touches nothing. */
	if (port < 0) {
		table_count(t, IOFILTER_PUNT_SHAPE);
		return 0;
	}
	missed = table_flags(t, port, req->len, op);
	if (table_lock(t)) {
		table_miss(t, missed | TABLE_MISSED_PREDICT | (table_away(t, req) ? TABLE_MISSED_WRITE : 0));
		table_count(t, IOFILTER_PUNT_BUSY);
		return 0;
	}
	table_missed(t);
	table_string_end(t, req->vcpu);
	if (table_away(t, req))
		table_forget_writes(t);
	table_predict_settle(t);
	verdict = table_decide(t, req, port, op);
	/* TO_VMM has done its part of the state. */
	if (verdict != IOFILTER_ANSWERED && verdict != IOFILTER_PUNT_WRITE)
		table_leave_to_vmm(t, missed);
	table_leave(t);
	table_count(t, verdict);
	return verdict == IOFILTER_ANSWERED;
}

/* A further element of a string whose first was answered. It was set aside for this vCPU, and nobody else looks at it. */
static inline int table_string_more(struct iofilter_table *t, struct kvm_iofilter_req *req)
{
	struct table_string *s = &t->string;
	__u32 left = s->left;

	if (!left || s->vcpu != req->vcpu || s->addr != req->addr || s->len != req->len)
		return 0;
	req->val = table_data(t, s->pos, s->len);
	s->pos += s->len;
	iofilter_barrier();
	iofilter_store(s->left, left - 1);
	table_count(t, IOFILTER_ANSWERED);
	/* At the end of a prediction nothing may come that could notice. */
	if (left == 1 && !__sync_val_compare_and_swap(&t->lock, 0, 1))
		table_leave(t);
	return 1;
}

static inline int table_on_read(struct iofilter_table *t, struct kvm_iofilter_req *req)
{
	if (req->flags & KVM_IOFILTER_REQ_MORE)
		return table_string_more(t, req);
	return table_access(t, req, TABLE_READ);
}

static inline int table_on_write(struct iofilter_table *t, struct kvm_iofilter_req *req)
{
	return table_access(t, req, TABLE_WRITE);
}

static inline void table_on_sample(struct iofilter_table *t, const struct kvm_iofilter_sample *s)
{
	int lost = s->flags & KVM_IOFILTER_SAMPLE_LOST && !t->owned;

	if (!lost && !(s->flags & KVM_IOFILTER_SAMPLE_WRITE))
		return;
	if (table_lock(t)) {
		/* The end of a write that was not followed then is the same as one that was missed. */
		table_miss(t, TABLE_MISSED_WRITE | TABLE_MISSED_PREDICT);
		return;
	}
	table_missed(t);
	if (lost)
		table_forget_writes(t);
	else
		table_pending_end(t, s->vcpu, s->addr, s->len);
	table_leave(t);
}

static inline int table_on_quiesce(struct iofilter_table *t, int last)
{
	__u32 left = t->head.in_flight;

	iofilter_store(t->head.drain, 1);
	if (last)
		t->head.cut += left;
	return left;
}

#endif /* IOFILTER_TABLE_ACCESS_H */
