// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The registers of a table of rules, under its lock. The rules themselves are its configuration. */
#include <iofilter/table_vmm.h>
#include "reg.h"

#define DATA_LEN 512

#define HOT(word, bit) ((word) * 64 + (bit) + 1)

#define TABLE(n, f, nm, member, m, text)	REG_AT(n, f, nm, struct iofilter_table, member, m, text)
#define TABLES(n, f, nm, array, member, m, text) REG_EACH(n, f, nm, struct iofilter_table, array, member, m, text)

#define USED(name, expr)                                                       \
	static __u32 name##_used(const struct reg_row *row, const void *state) \
	{                                                                      \
		const struct iofilter_table *t = state;                        \
									       \
		(void)row;                                                     \
		return expr;                                                   \
	}

USED(rules, t->nr_rules)
USED(slots, t->nr_slots)
USED(buffers, t->nr_buffers)
USED(ranges, t->nr_ranges)
USED(expected, t->predict.armed ? t->predict.nr : 0)

/* Up to the last byte that answers anything. */
static __u32 data_used(const struct reg_row *row, const void *state)
{
	const struct iofilter_table *t = state;
	__u32 i, end = 0;

	(void)row;
	for (i = 0; i < t->nr_buffers && i < TABLE_BUFFERS; i++)
		if (end < t->buffers[i].off + t->buffers[i].len)
			end = t->buffers[i].off + t->buffers[i].len;
	for (i = 0; t->predict.armed && i < t->predict.nr && i < TABLE_PREDICTIONS; i++)
		if (end < t->expect[i].off + t->expect[i].bytes)
			end = t->expect[i].off + t->expect[i].bytes;
	return end < TABLE_DATA ? (end + DATA_LEN - 1) / DATA_LEN : TABLE_DATA / DATA_LEN;
}

#define TABLE_HOT_ROW(n, f, nm, member, m, text, bit) REG_AT_HOT(n, f, nm, struct iofilter_table, member, m, text, bit)

#define SOME(n, f, nm, array, member, m, text, fn) SOME_HOT(n, f, nm, array, member, m, text, fn, 0)

#define SOME_HOT(n, f, nm, array, member, m, text, fn, bit)                                                                    \
	{ .nr = (n), .size = sizeof(((struct iofilter_table *)0)->array[0] member), .flags = (f), .name = (nm),                \
	  .off = offsetof(struct iofilter_table, array[0] member), .stride = sizeof(((struct iofilter_table *)0)->array[0]),   \
	  .elements = sizeof(((struct iofilter_table *)0)->array) / sizeof(((struct iofilter_table *)0)->array[0]),            \
	  .max = (m), .hot = (bit), .used = fn##_used, .meaning = (text) }

/*
 * What a string has set aside and the guest has not read (yet): with the vCPUs stopped that is given back, and a string that goes on meanwhile
 * is where it is at this moment.
 */
static __u32 set_aside(const struct iofilter_table *t, __u32 source)
{
	const struct table_string *s = &t->string;
	__u32 left = iofilter_load(s->left);

	return left && !s->orphan && s->source == source ? left * s->len : 0;
}

static __u64 buffer_pos(const struct reg_at *at)
{
	const struct iofilter_table *t = at->state;
	__u32 pos = t->buffers[at->element].pos, back = set_aside(t, at->element);

	return pos > back ? pos - back : 0;
}

static void buffer_pos_set(const struct reg_at *at, __u64 val)
{
	((struct iofilter_table *)at->state)->buffers[at->element].pos = val;
}

static __u64 predict_pos(const struct reg_at *at)
{
	const struct iofilter_table *t = at->state;
	__u32 pos = t->predict.pos, back = set_aside(t, TABLE_BUFFERS);

	return pos > back ? pos - back : 0;
}

static void predict_pos_set(const struct reg_at *at, __u64 val)
{
	((struct iofilter_table *)at->state)->predict.pos = val;
}

enum { BUFFER_POS = 0x3a };

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_table, head),
	TABLES(0x13, REG_N, "verdicts[]", verdicts, , 0, "accesses by what became of them"),
	TABLE(0x14, REG_N, "forgotten", forgotten, 0, "how often what writes have told became unknown"),
	SOME(0x15, REG_N, "rule[].hits", hits, , 0, "how often the rule was met", rules),
	SOME(0x16, REG_N, "rule[].trapped", trapped, , 0, ".. and the write went to the VMM", rules),
	TABLE(0x17, REG_N, "predict.loaded", predict.loaded, 0, "predictions"),
	TABLE(0x18, REG_N, "predict.done", predict.done, 0, ".. that came to their end"),
	TABLE(0x19, REG_N, "predict.dropped", predict.dropped, 0, ".. that did not"),
	TABLE(0x1a, REG_N, "predict.answered", predict.answered, 0, "reads"),
	TABLE(0x20, REG_C, "nr_rules", nr_rules, 0, "rules"),
	TABLE(0x21, REG_C, "nr_ranges", nr_ranges, 0, "ranges of addresses"),
	TABLE(0x22, REG_C, "nr_bits", nr_bits, 0, "state bits"),
	TABLE(0x23, REG_C, "nr_slots", nr_slots, 0, "slots"),
	TABLE(0x24, REG_C, "nr_buffers", nr_buffers, 0, "buffers"),
	SOME(0x25, REG_C, "range[]", ranges, , 0, "struct table_range", ranges),
	/* Where it stands in its file is no part of what it does. */
	{ .nr = 0x26, .size = sizeof(struct table_rule), .same = offsetof(struct table_rule, line), .flags = REG_C, .name = "rule[]",
	  .off = offsetof(struct iofilter_table, rules), .stride = sizeof(struct table_rule), .elements = TABLE_RULES, .used = rules_used,
	  .meaning = "struct table_rule" },
	TABLE(0x28, REG_S | REG_W, "absence", absence, 10000000000, "ns: out of KVM for less is no reset"),
	TABLE(0x29, REG_SH, "owned", owned, 0, "the VMM tells of resets itself"),
	TABLE_HOT_ROW(0x30, REG_G | REG_W, "bits", bits, 0, "the state bits", HOT(TABLE_HOT_OTHERS, TABLE_HOT_BITS)),
	TABLE_HOT_ROW(0x31, REG_G | REG_W, "bits_known", known, 0, "which of them are known", HOT(TABLE_HOT_OTHERS, TABLE_HOT_BITS_KNOWN)),
	SOME_HOT(0x32, REG_G | REG_W, "slot[].value", cells, .val, 0, "8 bytes", slots, HOT(TABLE_HOT_VALUES, 0)),
	SOME_HOT(0x33, REG_G | REG_W, "slot[].known", cells, .known, 0, "which of them are known", slots, HOT(TABLE_HOT_KNOWN, 0)),
	SOME_HOT(0x34, REG_G | REG_W, "slot[].dirty", cells, .dirty, 0, "which of them the VMM has not seen", slots, HOT(TABLE_HOT_DIRTY, 0)),
	SOME(0x35, REG_C, "slot[].derived", cells, .derived, 0, "which of them writes store to", slots),
	SOME(0x38, REG_C, "buffer[].off", buffers, .off, 0, "its place in the data", buffers),
	SOME(0x39, REG_G, "buffer[].len", buffers, .len, TABLE_BUFFER_DATA, "bytes", buffers),
	{ .nr = BUFFER_POS, .size = 4, .flags = REG_G | REG_W, .name = "buffer[].pos", .off = offsetof(struct iofilter_table, buffers[0].pos),
	  .stride = sizeof(struct table_buffer), .elements = TABLE_BUFFERS, .max = TABLE_BUFFER_DATA, .get = buffer_pos, .set = buffer_pos_set,
	  .hot = HOT(TABLE_HOT_OTHERS, TABLE_HOT_BUFFERS), .used = buffers_used,
	  .meaning = "bytes that the guest has read; len: used up, or not valid" },
	TABLE_HOT_ROW(0x40, REG_G, "predict.armed", predict.armed, 1, "accesses are predicted", HOT(TABLE_HOT_OTHERS, TABLE_HOT_ARMED)),
	TABLE(0x41, REG_G, "predict.nr", predict.nr, TABLE_PREDICTIONS, "so many"),
	TABLE_HOT_ROW(0x42, REG_G, "predict.next", predict.next, TABLE_PREDICTIONS, "the first that has not come yet", HOT(TABLE_HOT_OTHERS, TABLE_HOT_NEXT)),
	{ .nr = 0x43, .size = 4, .flags = REG_G, .name = "predict.pos", .off = offsetof(struct iofilter_table, predict.pos), .elements = 1,
	  .max = TABLE_PREDICT_DATA, .get = predict_pos, .set = predict_pos_set, .hot = HOT(TABLE_HOT_OTHERS, TABLE_HOT_POS),
	  .meaning = "bytes of it that have come" },
	TABLE(0x44, REG_G, "predict.half", predict.half, 1, "of the data, that the next one goes to"),
	SOME(0x48, REG_G, "expect[].addr", expect, .addr, 0, "a predicted access: its address", expected),
	SOME(0x49, REG_G, "expect[].value", expect, .value, 0, ".. of the write, or the answer", expected),
	SOME(0x4a, REG_G, "expect[].must1", expect, .must1, 0, "state bits that are to be 1", expected),
	SOME(0x4b, REG_G, "expect[].must0", expect, .must0, 0, ".. and 0", expected),
	SOME(0x4c, REG_G, "expect[].off", expect, .off, TABLE_DATA, "place of its bytes in the data", expected),
	SOME(0x4d, REG_G, "expect[].bytes", expect, .bytes, TABLE_DATA, "how many; 0: the value", expected),
	SOME(0x4e, REG_G, "expect[].op", expect, .op, TABLE_WRITE, "0 read, 1 write", expected),
	SOME(0x4f, REG_G, "expect[].width", expect, .width, 8, "bytes", expected),
	TABLE(0x50, REG_SH, "pending.valid", pending.valid, 0, "a write is on its way through the VMM"),
	TABLE(0x51, REG_SH, "pending.addr", pending.addr, 0, "its address"),
	TABLE(0x52, REG_SH, "pending.val", pending.val, 0, "its value as it is stored"),
	TABLE(0x53, REG_SH, "string.left", string.left, 0, "elements of a string read under way"),
	{ .nr = 0x60, .size = DATA_LEN, .flags = REG_G, .name = "data[]", .off = offsetof(struct iofilter_table, data), .stride = DATA_LEN,
	  .elements = TABLE_DATA / DATA_LEN, .used = data_used, .meaning = "of buffers and predictions" },
};

static int enter(void *state, bool change)
{
	struct iofilter_table *t = state;

	if (iofilter_try_lock(&t->lock))
		return -EBUSY;
	/* A string goes on without the lock. */
	if (change && iofilter_load(t->string.left)) {
		iofilter_unlock(&t->lock);
		return -EBUSY;
	}
	table_missed(t);
	/* What was missed may have ended some of them. */
	t->head.in_flight = table_in_flight(t);
	return 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_table *t = state;
	__u32 i;

	for (i = 0; change && i < TABLE_SLOTS; i++)
		table_dirty(t, i * 8);
	for (i = 0; change && i < TABLE_BUFFERS; i++) {
		struct table_buffer *b = &t->buffers[i];

		table_buffer_pos(t, i, b->pos < b->len ? b->pos : b->len);
	}
	table_leave(t);
}

/* In a saved state it may be made right, for the data may be another's. */
static const char *misfit(void *state, const struct reg_values *v)
{
	const struct iofilter_table *t = state;
	__u64 pos;
	__u32 i;

	for (i = 0; !v->restoring && i < t->nr_buffers && i < TABLE_BUFFERS; i++)
		if (v->find(v->from, BUFFER_POS, i, &pos) && pos > t->buffers[i].len)
			return "buffer[].pos of table is at most the buffer's len";
	return NULL;
}

static void break_lock(void *state)
{
	struct iofilter_table *t = state;

	reg_lock_dead(&t->lock);
	table_miss(t, TABLE_MISSED_WRITE | TABLE_MISSED_READ | TABLE_MISSED_PREDICT);
	iofilter_store(t->string.left, 0);
	iofilter_unlock(&t->lock);
}

/* A table whose data ends before the accesses that need it predicts nothing. */
static void restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_table *t = state;
	__u32 i;

	(void)ctx;
	t->pending.valid = 0;
	for (i = 0; i < TABLE_BUFFERS; i++)
		if (t->buffers[i].len > TABLE_BUFFER_DATA - t->buffers[i].off % TABLE_BUFFER_DATA)
			t->buffers[i].len = t->buffers[i].pos = 0;
	for (i = 0; t->predict.armed && i < t->predict.nr; i++)
		if (t->expect[i].off > TABLE_DATA || t->expect[i].bytes > TABLE_DATA - t->expect[i].off)
			t->predict.armed = 0;
	if (t->predict.next >= t->predict.nr)
		t->predict.armed = 0;
}

_Static_assert(TABLE_NR_HOT * 64 == IOFILTER_REG_CHANGED_MAX, "all of its words");

const struct reg_set table_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.changed_off = offsetof(struct iofilter_table, changed),
	.changed_words = TABLE_NR_HOT,
	.restored = restored,
	.misfit = misfit,
};
