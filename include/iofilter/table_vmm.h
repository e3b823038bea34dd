/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A table from the side of a VMM that cooperates, through the mapping of its state. Not for BPF.
 *
 * When an access traps, the VMM takes the slots that it has not seen, does what the guest wants, and says what it knows of the accesses
 * to come: bits, slots, buffers, a prediction. All of it in one step to the guest: between iofilter_table_enter() and
 * iofilter_table_leave() accesses go to the VMM. One thread of the VMM at a time.
 */
#ifndef IOFILTER_TABLE_VMM_H
#define IOFILTER_TABLE_VMM_H

#include <errno.h>
#include <string.h>
#include <iofilter/changed.h>
#include <iofilter/table_access.h>

/* Return: 0, or -EBUSY: an access is under way; try again, or do without. */
static inline int iofilter_table_enter(struct iofilter_table *t)
{
	if (table_lock(t))
		return -EBUSY;
	table_missed(t);
	table_tell(t);
	return 0;
}

/* What the VMM itself has changed is not told to it. */
static inline void iofilter_table_leave(struct iofilter_table *t)
{
	memset(t->touched, 0, sizeof(t->touched));
	table_leave(t);
}

/*
 * Which registers accesses of the guest have changed since the last call: @changed gets TABLE_NR_HOT words of bits (enum table_hot). No system
 * call, no lock: it may be called at any time, before or instead of iofilter_table_enter(), by one thread of the VMM at a time.
 *
 * A bit is set, by a full barrier, after the register was changed and before the access is done; here it is taken, by another, before the
 * register is read. So a change is told at least once: in this call, or, if the register is read newer than its bit, in this and the next.
 * Bits are not set for an access that has left a register as it was.
 *
 * Return: whether there are any.
 */
static inline int iofilter_table_changed(struct iofilter_table *t, __u64 *changed)
{
	return iofilter_changed_take(t->changed, TABLE_NR_HOT, changed);
}

/* The VMM tells of resets and loaded states itself, by iofilter_table_forget(): absences of a vCPU mean nothing any more. */
static inline void iofilter_table_own(struct iofilter_table *t, int own)
{
	iofilter_store(t->owned, own);
}

/* Inside enter and leave, all that follow. */

static inline void iofilter_table_forget(struct iofilter_table *t)
{
	table_forget_writes(t);
	table_forget_reads(t);
}

static inline void iofilter_table_bits(struct iofilter_table *t, __u64 set, __u64 clear)
{
	t->bits = (t->bits & ~clear) | set;
	t->known |= set | clear;
}

static inline void iofilter_table_slot(struct iofilter_table *t, __u32 slot, __u32 len, __u64 val)
{
	table_slot_set(t, slot, len, val, 0);
}

/* What the guest has written to a slot and the VMM has not seen. Return: the mask of its bytes. */
static inline __u8 iofilter_table_take(struct iofilter_table *t, __u32 slot, __u64 *val)
{
	struct table_cell *c = table_cell(t, slot);
	__u8 dirty = c->dirty;

	*val = c->val;
	c->dirty = 0;
	table_dirty(t, slot);
	return dirty;
}

/* New data for a buffer, which begins anew. At most as many bytes as the rule file gave it. */
static inline int iofilter_table_fill(struct iofilter_table *t, __u32 buffer, const void *data, __u32 len, __u32 size)
{
	struct table_buffer *b = &t->buffers[TABLE_INDEX(buffer, TABLE_BUFFERS)];

	if (len > size)
		return -EINVAL;
	if (iofilter_load(t->string.left) && t->string.source == buffer)
		return -EBUSY;
	memcpy(t->data + b->off, data, len);
	b->len = len;
	table_buffer_pos(t, buffer, 0);
	return 0;
}

static inline int iofilter_table_predictable(const struct table_expect *e, __u32 size)
{
	if (e->op > TABLE_WRITE || !e->width || e->width > 8 || e->width & (e->width - 1))
		return 0;
	return !e->bytes || (e->op == TABLE_READ && e->off <= size && e->bytes <= size - e->off);
}

/*
 * The accesses to come, in place of whatever was predicted before; @e->off counts from @data. Return: 0, -EINVAL, -E2BIG, or -EBUSY:
 * a string still takes from the data that would be overwritten, and nothing is predicted.
 */
static inline int iofilter_table_predict(struct iofilter_table *t, const struct table_expect *e, __u32 nr, const void *data, __u32 size)
{
	struct table_predict *p = &t->predict;
	__u32 base = TABLE_BUFFER_DATA + (p->half & 1) * TABLE_PREDICT_DATA, i;
	const struct table_string *s = &t->string;

	if (nr > TABLE_PREDICTIONS || size > TABLE_PREDICT_DATA)
		return -E2BIG;
	for (i = 0; i < nr; i++)
		if (!iofilter_table_predictable(&e[i], size))
			return -EINVAL;
	table_predict_drop(t);
	if (iofilter_load(s->left) && s->pos - base < TABLE_PREDICT_DATA)
		return -EBUSY;
	if (size)
		memcpy(t->data + base, data, size);
	for (i = 0; i < nr; i++) {
		t->expect[i] = e[i];
		t->expect[i].off += base;
	}
	p->half ^= 1;
	p->nr = nr;
	p->next = p->pos = 0;
	p->loaded++;
	p->armed = nr > 0;
	return 0;
}

#endif /* IOFILTER_TABLE_VMM_H */
