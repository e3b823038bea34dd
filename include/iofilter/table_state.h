/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* A table's bits and slots, the lock that they are under, and what makes them unknown. */
#ifndef IOFILTER_TABLE_STATE_H
#define IOFILTER_TABLE_STATE_H

#include <iofilter/table.h>

TABLE_PROG int table_lock_slow(struct iofilter_table *t TABLE_ARG)
{
	return iofilter_try_lock(&t->lock);
}

static inline int table_lock(struct iofilter_table *t)
{
	return __sync_val_compare_and_swap(&t->lock, 0, 1) ? table_lock_slow(t) : 0;
}

static inline void table_unlock(struct iofilter_table *t)
{
	iofilter_unlock(&t->lock);
}

static inline void table_touch(struct iofilter_table *t, enum table_hot word, __u32 bit)
{
	t->touched[word] |= 1ULL << bit % 64;
}

/* In this order: who sees the bit finds the value that it was set for, or a newer one whose bit comes. */
static inline void table_tell(struct iofilter_table *t)
{
	int i;

	for (i = 0; i < TABLE_NR_HOT; i++) {
		if (!t->touched[i])
			continue;
		__sync_fetch_and_or(&t->changed[i], t->touched[i]);
		t->touched[i] = 0;
	}
}

static inline void table_bits_are(struct iofilter_table *t, __u64 bits, __u64 known)
{
	if (t->bits != bits)
		table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_BITS);
	if (t->known != known)
		table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_BITS_KNOWN);
	t->bits = bits;
	t->known = known;
}

/* Whoever has the lock next finds it. */
static inline void table_miss(struct iofilter_table *t, __u32 what)
{
	if (what)
		__sync_fetch_and_or(&t->missed, what);
}

static inline __u64 table_mask(__u32 bytes)
{
	return bytes >= 8 ? ~0ULL : (1ULL << bytes * 8) - 1;
}

static inline struct table_cell *table_cell(struct iofilter_table *t, __u32 slot)
{
	return &t->cells[TABLE_INDEX(slot / 8, TABLE_SLOTS)];
}

/* The bits of a cell's masks that @len bytes from @slot on take. */
static inline __u8 table_bytes(__u32 slot, __u32 len)
{
	return ((1U << (len & 15)) - 1) << slot % 8;
}

static inline void table_dirty(struct iofilter_table *t, __u32 slot)
{
	__u64 bit = 1ULL << slot / 8 % TABLE_SLOTS;

	t->dirty_slots = table_cell(t, slot)->dirty ? t->dirty_slots | bit : t->dirty_slots & ~bit;
}

static inline void table_cell_is(struct iofilter_table *t, __u32 slot, __u64 val, __u8 known)
{
	struct table_cell *c = table_cell(t, slot);

	if (c->val != val)
		table_touch(t, TABLE_HOT_VALUES, slot / 8);
	if (c->known != known)
		table_touch(t, TABLE_HOT_KNOWN, slot / 8);
	c->val = val;
	c->known = known;
}

static inline void table_dirty_is(struct iofilter_table *t, __u32 slot, __u8 dirty)
{
	struct table_cell *c = table_cell(t, slot);

	if (c->dirty != dirty)
		table_touch(t, TABLE_HOT_DIRTY, slot / 8);
	c->dirty = dirty;
	table_dirty(t, slot);
}

/* Return: 0 and the value, or -1: it is not known. */
static inline int table_slot_get(struct iofilter_table *t, __u32 slot, __u32 len, __u64 *val)
{
	struct table_cell *c = table_cell(t, slot);
	__u8 bytes = table_bytes(slot, len);

	if ((c->known & bytes) != bytes)
		return -1;
	*val = c->val >> slot % 8 * 8 & table_mask(len);
	return 0;
}

static inline void table_slot_set(struct iofilter_table *t, __u32 slot, __u32 len, __u64 val, int dirty)
{
	struct table_cell *c = table_cell(t, slot);
	__u32 shift = slot % 8 * 8;
	__u64 mask = table_mask(len) << shift;
	__u8 bytes = table_bytes(slot, len);

	table_cell_is(t, slot, (c->val & ~mask) | (val << shift & mask), c->known | bytes);
	table_dirty_is(t, slot, dirty ? c->dirty | bytes : c->dirty & ~bytes);
}

/* The VMM has got another value than what is here, and has it now or soon. */
static inline void table_slot_forget(struct iofilter_table *t, __u32 slot, __u32 len)
{
	struct table_cell *c = table_cell(t, slot);

	table_cell_is(t, slot, c->val, c->known & ~table_bytes(slot, len));
	table_dirty_is(t, slot, c->dirty & ~table_bytes(slot, len));
}

static inline void table_buffer_pos(struct iofilter_table *t, __u32 buffer, __u32 pos)
{
	struct table_buffer *b = &t->buffers[TABLE_INDEX(buffer, TABLE_BUFFERS)];
	__u32 bit = 1U << buffer % TABLE_BUFFERS;

	if (b->pos != pos)
		table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_BUFFERS + buffer % TABLE_BUFFERS);
	b->pos = pos;
	t->begun_buffers = pos && pos < b->len ? t->begun_buffers | bit : t->begun_buffers & ~bit;
	/* A string that takes from it goes on, but gives nothing back. */
	if (t->string.source == buffer % TABLE_BUFFERS)
		t->string.orphan = 1;
}

/* Those of @mask begin anew, or (@drop) are not valid any more. */
TABLE_PROG int table_buffers(struct iofilter_table *t TABLE_ARG, __u32 mask, __u32 drop)
{
	int i;

	iofilter_for(i, TABLE_BUFFERS) {
		if (mask >> i & 1)
			table_buffer_pos(t, i, drop ? t->buffers[TABLE_INDEX(i, TABLE_BUFFERS)].len : 0);
	}
	return 0;
}

/* The guest has come so far. */
static inline void table_predict_at(struct iofilter_table *t, __u32 next, __u32 pos)
{
	struct table_predict *p = &t->predict;

	if (p->next != next)
		table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_NEXT);
	if (p->pos != pos)
		table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_POS);
	p->next = next;
	p->pos = pos;
}

static inline void table_predict_drop(struct iofilter_table *t)
{
	if (!t->predict.armed)
		return;
	table_touch(t, TABLE_HOT_OTHERS, TABLE_HOT_ARMED);
	t->predict.armed = 0;
	t->predict.dropped++;
	t->string.orphan |= t->string.source == TABLE_BUFFERS;
}

/* A write was not followed: nothing that writes have told is known any more. What the VMM has not seen stays for it to take. */
TABLE_PROG int table_forget_writes(struct iofilter_table *t TABLE_ARG)
{
	int i;

	table_predict_drop(t);
	if (!t->derived_bits && !t->derived_buffers && !t->nr_slots)
		return 0;
	t->forgotten++;
	t->pending.valid = 0;
	table_bits_are(t, t->bits, t->known & ~t->derived_bits);
	if (t->derived_buffers)
		table_buffers(t, t->derived_buffers, 1);
	iofilter_for(i, TABLE_SLOTS) {
		struct table_cell *c = table_cell(t, i * 8);

		table_cell_is(t, i * 8, c->val, c->known & ~c->derived);
	}
	return 0;
}

/* A read that would have changed the state was answered by the VMM. */
TABLE_PROG int table_forget_reads(struct iofilter_table *t TABLE_ARG)
{
	table_predict_drop(t);
	table_bits_are(t, t->bits, t->known & ~t->read_bits);
	table_buffers(t, ~0U, 1);
	return 0;
}

static inline void table_missed(struct iofilter_table *t)
{
	__u32 missed;

	if (!iofilter_load(t->missed))
		return;
	missed = __sync_lock_test_and_set(&t->missed, 0);
	if (missed & TABLE_MISSED_WRITE)
		table_forget_writes(t);
	if (missed & TABLE_MISSED_READ)
		table_forget_reads(t);
	if (missed & TABLE_MISSED_PREDICT)
		table_predict_drop(t);
}

/* What else than the value @v a rule changes. */
static inline void table_change_bits(struct iofilter_table *t, const struct table_rule *r)
{
	table_bits_are(t, (t->bits & ~r->clear) | r->set, t->known | r->set | r->clear);
	if (r->rewind)
		table_buffers(t, r->rewind, 0);
}

/* All that the write changes becomes unknown. */
static inline void table_doubt_rule(struct iofilter_table *t, const struct table_rule *r)
{
	table_bits_are(t, t->bits, t->known & ~(r->set | r->clear));
	if (r->slot_len)
		table_slot_forget(t, r->slot, r->slot_len);
	if (r->rewind)
		table_buffers(t, r->rewind, 1);
}

#endif /* IOFILTER_TABLE_STATE_H */
