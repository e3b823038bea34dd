/* SPDX-License-Identifier: GPL-2.0 */
/*
 * After each event of a random trace: iofilter_table_changed() has told all that has changed. An event may be several accesses, so some of it
 * may be as it was again; how much is counted, and table_changed.c looks at single ones.
 */
#ifndef SELFTESTS_TABLEHOT_H
#define SELFTESTS_TABLEHOT_H

#include "tablesim.h"

struct hot {
	uint64_t bits, known, vals[TABLE_SLOTS], knowns[TABLE_SLOTS], dirty[TABLE_SLOTS];
	uint32_t armed, next, pos, buffers[TABLE_BUFFERS];
};

static struct hot hot_seen;

static struct {
	unsigned long told, again;
} hot_total;

static void hot_read(const struct iofilter_table *t, struct hot *h)
{
	int i;

	h->bits = t->bits;
	h->known = t->known;
	h->armed = t->predict.armed;
	h->next = t->predict.next;
	h->pos = t->predict.pos;
	for (i = 0; i < TABLE_SLOTS; i++) {
		h->vals[i] = t->cells[i].val;
		h->knowns[i] = t->cells[i].known;
		h->dirty[i] = t->cells[i].dirty;
	}
	for (i = 0; i < TABLE_BUFFERS; i++)
		h->buffers[i] = t->buffers[i].pos;
}

static void hot_differ(const struct hot *a, const struct hot *b, __u64 *words)
{
	int i;

	memset(words, 0, TABLE_NR_HOT * sizeof(*words));
	words[TABLE_HOT_OTHERS] = (__u64)(a->bits != b->bits) << TABLE_HOT_BITS | (__u64)(a->known != b->known) << TABLE_HOT_BITS_KNOWN |
				  (__u64)(a->armed != b->armed) << TABLE_HOT_ARMED | (__u64)(a->next != b->next) << TABLE_HOT_NEXT |
				  (__u64)(a->pos != b->pos) << TABLE_HOT_POS;
	for (i = 0; i < TABLE_SLOTS; i++) {
		words[TABLE_HOT_VALUES] |= (__u64)(a->vals[i] != b->vals[i]) << i;
		words[TABLE_HOT_KNOWN] |= (__u64)(a->knowns[i] != b->knowns[i]) << i;
		words[TABLE_HOT_DIRTY] |= (__u64)(a->dirty[i] != b->dirty[i]) << i;
	}
	for (i = 0; i < TABLE_BUFFERS; i++)
		words[TABLE_HOT_OTHERS] |= (__u64)(a->buffers[i] != b->buffers[i]) << (TABLE_HOT_BUFFERS + i);
}

/* A new table: nobody has looked at it yet. */
static void hot_begin(struct sim *s)
{
	__u64 words[TABLE_NR_HOT];

	iofilter_table_changed(s->t, words);
	hot_read(s->t, &hot_seen);
}

static void hot_check(struct sim *s, const struct event *e)
{
	__u64 told[TABLE_NR_HOT], want[TABLE_NR_HOT];
	struct hot now;
	int i;

	iofilter_table_changed(s->t, told);
	hot_read(s->t, &now);
	hot_differ(&hot_seen, &now, want);
	hot_seen = now;
	/* The VMM is not told what it does itself. */
	if (e->kind == PREDICT || e->kind == VMM_SETS || e->kind == VMM_TAKES || e->kind == VMM_FILLS)
		return;
	for (i = 0; i < TABLE_NR_HOT; i++) {
		hot_total.told += __builtin_popcountll(told[i]);
		hot_total.again += __builtin_popcountll(told[i] & ~want[i]);
		if (want[i] & ~told[i])
			wrong(s, "changes were not told: word %d, bits %llx", i, (unsigned long long)(want[i] & ~told[i]));
	}
}

#endif /* SELFTESTS_TABLEHOT_H */
