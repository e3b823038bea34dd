/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Predictions. On a trap the VMM may know what the guest is going to do: a sequence of accesses, with the answers. Those that
 * come as predicted are answered here; the first other one drops the rest and goes to the VMM.
 */
#ifndef IOFILTER_TABLE_PREDICT_H
#define IOFILTER_TABLE_PREDICT_H

#include <iofilter/table_buffer.h>

/* All bytes of an access have come, or all accesses. */
static inline void table_predict_settle(struct iofilter_table *t)
{
	struct table_predict *p = &t->predict;
	__u32 bytes, next = p->next;

	/* A string that gives nothing back takes from an older prediction, or from a buffer. */
	if (!p->armed || (iofilter_load(t->string.left) && !t->string.orphan))
		return;
	if (next < TABLE_PREDICTIONS) {
		bytes = t->expect[TABLE_INDEX(next, TABLE_PREDICTIONS)].bytes;
		if (bytes && p->pos >= bytes) {
			table_predict_at(t, ++next, 0);
		}
	}
	if (next < p->nr && next < TABLE_PREDICTIONS)
		return;
	table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_ARMED);
	p->armed = 0;
	p->done++;
}

static inline int table_expects(struct iofilter_table *t, const struct table_expect *e, const struct kvm_iofilter_req *req, __u32 op)
{
	if (e->op != op || e->addr != req->addr || e->width != req->len)
		return 0;
	if ((e->must1 | e->must0) & ~t->known)
		return 0;
	return (t->bits & e->must1) == e->must1 && !(t->bits & e->must0);
}

/* There is a prediction. Return: 0 when the access has come as predicted and req->val is the answer, or -1: it is dropped. */
static inline int table_predicted(struct iofilter_table *t, struct kvm_iofilter_req *req, __u32 op)
{
	struct table_predict *p = &t->predict;
	__u32 next = p->next, pos = p->pos, want;
	struct table_expect *e;

	if (next >= TABLE_PREDICTIONS || (t->head.drain && !next && !pos))
		goto drop;
	e = &t->expect[TABLE_INDEX(next, TABLE_PREDICTIONS)];
	if (!table_expects(t, e, req, op))
		goto drop;
	if (e->bytes) {
		if (op != TABLE_READ || pos > e->bytes || table_fits(t, req, e->bytes - pos, &want))
			goto drop;
		req->val = table_data(t, e->off + pos, req->len);
		table_predict_at(t, next, pos + want);
		table_string_begin(t, req, TABLE_BUFFERS, e->off + pos);
	} else {
		if (req->flags & KVM_IOFILTER_REQ_STRING)
			goto drop;
		if (op == TABLE_READ)
			req->val = e->value;
		else if ((req->val & table_mask(req->len)) != (e->value & table_mask(req->len)))
			goto drop;
		table_predict_at(t, next + 1, pos);
	}
	p->answered++;
	return 0;
drop:
	table_predict_drop(t);
	return -1;
}

#endif /* IOFILTER_TABLE_PREDICT_H */
