/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Data that answers many reads of one address: a buffer of the table, or of a prediction.
 *
 * KVM turns the elements of a string read into zeros that are not answered after the first was. How many there will be is known only as an
 * upper bound, so that many are set aside with the first, and what was not asked for is given back at the vCPU's next access.
 */
#ifndef IOFILTER_TABLE_BUFFER_H
#define IOFILTER_TABLE_BUFFER_H

#include <iofilter/table_state.h>

TABLE_PROG __u64 table_data(struct iofilter_table *t TABLE_ARG, __u32 pos, __u32 len)
{
	__u64 val = 0;
	int i;

	iofilter_for(i, 8) {
		__u64 at = pos + i;

		if ((__u32)i < len && at < TABLE_DATA)
			val |= (__u64)t->data[TABLE_INDEX(at, TABLE_DATA_ROOM)] << i * 8;
	}
	return val;
}

/* The string of @source begins; @pos: of its first element, in data[]. */
static inline void table_string_begin(struct iofilter_table *t, const struct kvm_iofilter_req *req, __u32 source, __u32 pos)
{
	struct table_string *s = &t->string;

	if (!(req->flags & KVM_IOFILTER_REQ_STRING))
		return;
	s->addr = req->addr;
	s->vcpu = req->vcpu;
	s->len = req->len;
	s->pos = pos + req->len;
	s->source = source;
	s->orphan = 0;
	iofilter_store(s->left, req->count - 1);
}

/*
 * So many bytes are wanted at once: @left of them are there. Return: 0, or -1. Only one string is under way at a time.
 */
static inline int table_fits(const struct iofilter_table *t, const struct kvm_iofilter_req *req, __u32 left, __u32 *want)
{
	if (req->count > TABLE_PREDICT_DATA || (req->flags & KVM_IOFILTER_REQ_STRING && iofilter_load(t->string.left)))
		return -1;
	*want = req->count * req->len;
	return *want && *want <= left ? 0 : -1;
}

/* First on every access that is no further element: this vCPU's string has ended, or another's still goes on. */
static inline void table_string_end(struct iofilter_table *t, __u32 vcpu)
{
	struct table_string *s = &t->string;
	__u32 left = iofilter_load(s->left), back = left * s->len;

	if (!left || (s->vcpu != vcpu && s->orphan))
		return;
	if (s->vcpu != vcpu) {
		/* What it will leave over is not known, so nothing more can be taken from where it takes. */
		if (s->source == TABLE_BUFFERS)
			table_predict_drop(t);
		else
			table_buffer_pos(t, s->source, t->buffers[TABLE_INDEX(s->source, TABLE_BUFFERS)].len);
		s->orphan = 1;
		return;
	}
	iofilter_store(s->left, 0);
	if (s->orphan)
		return;
	if (s->source == TABLE_BUFFERS)
		table_predict_at(t, t->predict.next, t->predict.pos - back);
	else
		table_buffer_pos(t, s->source, t->buffers[TABLE_INDEX(s->source, TABLE_BUFFERS)].pos - back);
}

/* What a buffer has left for this read. Return: 0, or -1: used up. */
static inline int table_buffer_read(struct iofilter_table *t, struct kvm_iofilter_req *req, __u32 buffer)
{
	struct table_buffer *b = &t->buffers[TABLE_INDEX(buffer, TABLE_BUFFERS)];
	__u32 pos = b->pos, want;

	if (pos > b->len || table_fits(t, req, b->len - pos, &want))
		return -1;
	req->val = table_data(t, b->off + pos, req->len);
	table_buffer_pos(t, buffer, pos + want);
	table_string_begin(t, req, buffer % TABLE_BUFFERS, b->off + pos);
	return 0;
}

#endif /* IOFILTER_TABLE_BUFFER_H */
