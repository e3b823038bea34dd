/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What docs/table.md says, as plainly as it can be programmed: an interpreter of rules to compare the table engine with. It shares no
 * code with it, nor a layout: a bit is 0, 1 or unknown, a slot is eight bytes of which each is known or not.
 */
#ifndef SELFTESTS_TABLEREF_H
#define SELFTESTS_TABLEREF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REF_RULES   256
#define REF_BITS    64
#define REF_SLOTS   64
#define REF_BUFFERS 16
#define REF_VCPUS   4
#define REF_EXPECTS 64
#define UNKNOWN	    -1

enum ref_action { REF_PASS, REF_TAKE, REF_CONST, REF_FROM_SLOT, REF_FROM_BUFFER };

struct ref_rule {
	bool write;
	uint64_t addr;
	int count;
	bool width[9]; /* by bytes */
	int8_t when[REF_BITS]; /* 0, 1, or UNKNOWN: does not matter */
	bool traps;
	uint64_t trap_value, trap_mask;
	enum ref_action action;
	int slot, byte, bytes; /* bytes 0: none */
	int buffer;
	uint64_t value, and, or;
	int8_t then[REF_BITS]; /* 0, 1, or UNKNOWN: stays */
	bool rewind[REF_BUFFERS];
};

struct ref_expect {
	bool write;
	uint64_t addr, value;
	int width;
	int8_t when[REF_BITS];
	uint8_t data[64];
	int bytes, used; /* bytes 0: one access, of @value */
};

/* Where a string has taken more than it may want. */
enum ref_source { REF_NOTHING, REF_BUFFER, REF_EXPECT };

struct ref {
	/* The table. */
	int nr_rules, nr_bits, nr_slots, nr_buffers;
	struct ref_rule rules[REF_RULES];
	uint8_t data[REF_BUFFERS][256];
	int len[REF_BUFFERS];

	/* The state. */
	int8_t bits[REF_BITS];
	int16_t slots[REF_SLOTS][8];
	bool unseen[REF_SLOTS][8]; /* the VMM has not seen this byte */
	int pos[REF_BUFFERS];
	bool drain, owned;
	uint64_t absence;

	/* A write that the VMM is working on and whose rule changes the state. */
	struct {
		bool there;
		int vcpu, rule;
		uint64_t addr, value;
	} at_vmm;

	struct ref_expect expect[REF_EXPECTS];
	int nr_expects, next; /* next == nr_expects: none */

	struct {
		enum ref_source source;
		int buffer, vcpu, left, width;
		bool lost;
		uint8_t data[256]; /* of the elements to come */
	} string;
};

struct ref_access {
	bool write, busy, string, away;
	int vcpu, width;
	uint32_t count;
	uint64_t addr, value, away_ns;
};

/* --- what writes and reads change, over the whole table --- */

static bool ref_written_bit(const struct ref *r, int bit, bool write)
{
	for (int i = 0; i < r->nr_rules; i++)
		if (r->rules[i].write == write && r->rules[i].then[bit] != UNKNOWN)
			return true;
	return false;
}

static bool ref_written_byte(const struct ref *r, int slot, int byte)
{
	for (int i = 0; i < r->nr_rules; i++) {
		const struct ref_rule *u = &r->rules[i];

		if (u->write && u->bytes && u->slot == slot && byte >= u->byte && byte < u->byte + u->bytes)
			return true;
	}
	return false;
}

static bool ref_rewound(const struct ref *r, int buffer)
{
	for (int i = 0; i < r->nr_rules; i++)
		if (r->rules[i].write && r->rules[i].rewind[buffer])
			return true;
	return false;
}

static bool ref_has_effect(const struct ref *r, const struct ref_rule *u)
{
	if (u->write ? u->bytes > 0 : u->action == REF_FROM_BUFFER)
		return true;
	for (int i = 0; i < r->nr_bits; i++)
		if (u->then[i] != UNKNOWN)
			return true;
	for (int i = 0; i < r->nr_buffers; i++)
		if (u->rewind[i])
			return true;
	return false;
}

/* --- what becomes unknown --- */

static void ref_drop_prediction(struct ref *r)
{
	r->nr_expects = r->next = 0;
	if (r->string.source == REF_EXPECT)
		r->string.lost = true;
}

static void ref_move_buffer(struct ref *r, int buffer, int pos)
{
	r->pos[buffer] = pos;
	if (r->string.source == REF_BUFFER && r->string.buffer == buffer)
		r->string.lost = true;
}

/* A write was not followed. What follows from the rules is precomputed: this is asked often. */
struct ref_derived {
	bool bit[REF_BITS], read_bit[REF_BITS], byte[REF_SLOTS][8], buffer[REF_BUFFERS], effect[REF_RULES];
};

static void ref_derive(const struct ref *r, struct ref_derived *d)
{
	int i, j;

	for (i = 0; i < r->nr_bits; i++) {
		d->bit[i] = ref_written_bit(r, i, true);
		d->read_bit[i] = ref_written_bit(r, i, false);
	}
	for (i = 0; i < r->nr_slots; i++)
		for (j = 0; j < 8; j++)
			d->byte[i][j] = ref_written_byte(r, i, j);
	for (i = 0; i < r->nr_buffers; i++)
		d->buffer[i] = ref_rewound(r, i);
	for (i = 0; i < r->nr_rules; i++)
		d->effect[i] = ref_has_effect(r, &r->rules[i]);
}

static void ref_forget_writes(struct ref *r, const struct ref_derived *d)
{
	int i, j;

	ref_drop_prediction(r);
	r->at_vmm.there = false;
	for (i = 0; i < r->nr_bits; i++)
		if (d->bit[i])
			r->bits[i] = UNKNOWN;
	for (i = 0; i < r->nr_slots; i++)
		for (j = 0; j < 8; j++)
			if (d->byte[i][j])
				r->slots[i][j] = UNKNOWN;
	for (i = 0; i < r->nr_buffers; i++)
		if (d->buffer[i])
			ref_move_buffer(r, i, r->len[i]);
}

static void ref_forget_reads(struct ref *r, const struct ref_derived *d)
{
	int i;

	ref_drop_prediction(r);
	for (i = 0; i < r->nr_bits; i++)
		if (d->read_bit[i])
			r->bits[i] = UNKNOWN;
	for (i = 0; i < r->nr_buffers; i++)
		ref_move_buffer(r, i, r->len[i]);
}

/* Does the access touch an address at which a rule for this direction changes the state? */
static bool ref_touches(const struct ref *r, const struct ref_derived *d, const struct ref_access *a)
{
	for (int i = 0; i < r->nr_rules; i++) {
		const struct ref_rule *u = &r->rules[i];
		int longest = u->width[8] ? 8 : u->width[4] ? 4 : u->width[2] ? 2 : 1;

		if (u->write == a->write && d->effect[i] && a->addr < u->addr + u->count + longest - 1 && u->addr < a->addr + a->width)
			return true;
	}
	return false;
}

/* An access went to the VMM, and no rule said what that means. */
static void ref_unfollowed(struct ref *r, const struct ref_derived *d, const struct ref_access *a)
{
	ref_drop_prediction(r);
	if (!ref_touches(r, d, a))
		return;
	if (a->write)
		ref_forget_writes(r, d);
	else
		ref_forget_reads(r, d);
}

/* Its vCPU was gone for so long that the VM may have been reset. */
static void ref_gone(struct ref *r, const struct ref_derived *d, const struct ref_access *a)
{
	if (a->away && a->away_ns >= r->absence && !r->owned)
		ref_forget_writes(r, d);
}

/* --- what a rule does --- */

static uint64_t ref_low(uint64_t v, int bytes)
{
	return bytes == 8 ? v : v & ((1ULL << (8 * bytes)) - 1);
}

static void ref_store(struct ref *r, const struct ref_rule *u, uint64_t v, bool unseen)
{
	for (int i = 0; i < u->bytes; i++) {
		r->slots[u->slot][u->byte + i] = v >> (8 * i) & 0xff;
		r->unseen[u->slot][u->byte + i] = unseen;
	}
}

static void ref_change(struct ref *r, const struct ref_rule *u)
{
	int i;

	for (i = 0; i < r->nr_bits; i++)
		if (u->then[i] != UNKNOWN)
			r->bits[i] = u->then[i];
	for (i = 0; i < r->nr_buffers; i++)
		if (u->rewind[i])
			ref_move_buffer(r, i, 0);
}

/* The VMM has the write, or will have it: what it changes is not known at this moment. */
static void ref_doubt(struct ref *r, const struct ref_rule *u)
{
	int i;

	for (i = 0; i < r->nr_bits; i++)
		if (u->then[i] != UNKNOWN)
			r->bits[i] = UNKNOWN;
	for (i = 0; i < u->bytes; i++) {
		r->slots[u->slot][u->byte + i] = UNKNOWN;
		r->unseen[u->slot][u->byte + i] = false;
	}
	for (i = 0; i < r->nr_buffers; i++)
		if (u->rewind[i])
			ref_move_buffer(r, i, r->len[i]);
}

/* 1: holds, 0: does not, UNKNOWN. */
static int ref_holds(const struct ref *r, const int8_t *when)
{
	int ret = 1;

	for (int i = 0; i < r->nr_bits; i++) {
		if (when[i] == UNKNOWN)
			continue;
		if (r->bits[i] == UNKNOWN)
			ret = ret ? UNKNOWN : 0;
		else if (r->bits[i] != when[i])
			ret = 0;
	}
	return ret;
}

static bool ref_begun(const struct ref *r)
{
	return r->next < r->nr_expects && (r->next || r->expect[0].used);
}

/* What a string has taken, all of it, and it began with this access. */
static void ref_string(struct ref *r, const struct ref_access *a, enum ref_source source, int buffer, const uint8_t *data)
{
	if (!a->string)
		return;
	r->string.source = source;
	r->string.buffer = buffer;
	r->string.vcpu = a->vcpu;
	r->string.width = a->width;
	r->string.left = a->count - 1;
	r->string.lost = false;
	memcpy(r->string.data, data + a->width, r->string.left * a->width);
}

/* Are @count elements there, of @left bytes? Return: how many bytes that is, or 0. */
static int ref_take(const struct ref *r, const struct ref_access *a, int left)
{
	uint64_t want = (uint64_t)a->count * a->width;

	if (a->string && r->string.left)
		return 0;
	return want <= (uint64_t)left ? want : 0;
}

static uint64_t ref_bytes(const uint8_t *p, int n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static bool ref_predicted(struct ref *r, const struct ref_access *a, uint64_t *answer)
{
	struct ref_expect *e = &r->expect[r->next];
	int want;

	if (r->drain && !ref_begun(r))
		return false;
	if (e->write != a->write || e->addr != a->addr || e->width != a->width || ref_holds(r, e->when) != 1)
		return false;
	if (!e->bytes) {
		if (a->string || (a->write && ref_low(a->value, a->width) != ref_low(e->value, a->width)))
			return false;
		*answer = e->value;
		r->next++;
		return true;
	}
	want = ref_take(r, a, e->bytes - e->used);
	if (a->write || !want)
		return false;
	*answer = ref_bytes(e->data + e->used, a->width);
	e->used += want;
	ref_string(r, a, REF_EXPECT, 0, e->data + e->used - want);
	return true;
}

/* An expectation whose bytes are all read is over, once nothing of it can be given back. */
static void ref_expect_over(struct ref *r)
{
	if ((r->string.left && !r->string.lost) || !r->nr_expects)
		return;
	if (r->next < r->nr_expects && r->expect[r->next].bytes && r->expect[r->next].used == r->expect[r->next].bytes)
		r->next++;
	if (r->next == r->nr_expects)
		r->nr_expects = r->next = 0;
}

/* What is left of a string that is over, or that another vCPU disturbs. */
static void ref_string_over(struct ref *r, int vcpu)
{
	if (!r->string.left)
		return;
	if (r->string.vcpu != vcpu) {
		if (r->string.lost)
			return;
		if (r->string.source == REF_BUFFER)
			ref_move_buffer(r, r->string.buffer, r->len[r->string.buffer]);
		else
			ref_drop_prediction(r);
		r->string.lost = true;
		return;
	}
	if (!r->string.lost) {
		if (r->string.source == REF_BUFFER)
			r->pos[r->string.buffer] -= r->string.left * r->string.width;
		else
			r->expect[r->next].used -= r->string.left * r->string.width;
	}
	r->string.left = 0;
	r->string.source = REF_NOTHING;
}

/* What a rule makes of an access. */
enum ref_fate { REF_ANSWERED, REF_TO_VMM, REF_UNFOLLOWED };

static enum ref_fate ref_rule_write(struct ref *r, const struct ref_derived *d, const struct ref_access *a, int index)
{
	const struct ref_rule *u = &r->rules[index];
	uint64_t raw = ref_low(a->value, a->width), v = (raw & u->and) | u->or;

	if (d->effect[index] && r->at_vmm.there)
		return REF_UNFOLLOWED;
	if (u->traps && (raw & u->trap_mask) == u->trap_value) {
		ref_doubt(r, u);
		return REF_TO_VMM;
	}
	/* A drain begins nothing that the VMM would not know of. */
	if (u->action == REF_TAKE && !(r->drain && u->bytes)) {
		ref_store(r, u, v, true);
		ref_change(r, u);
		return REF_ANSWERED;
	}
	if (d->effect[index]) {
		ref_doubt(r, u);
		r->at_vmm.there = true;
		r->at_vmm.vcpu = a->vcpu;
		r->at_vmm.rule = index;
		r->at_vmm.addr = a->addr;
		r->at_vmm.value = v;
	}
	return REF_TO_VMM;
}

static enum ref_fate ref_rule_read(struct ref *r, const struct ref_derived *d, const struct ref_access *a, int index, uint64_t *answer)
{
	const struct ref_rule *u = &r->rules[index];
	uint64_t v = 0;
	int i, want;

	if (u->action == REF_PASS)
		return REF_TO_VMM;
	if ((d->effect[index] && r->at_vmm.there) || (a->string && u->action != REF_FROM_BUFFER))
		return REF_UNFOLLOWED;
	if (u->action == REF_CONST) {
		v = u->value;
	} else if (u->action == REF_FROM_SLOT) {
		for (i = u->bytes - 1; i >= 0; i--) {
			if (r->slots[u->slot][u->byte + i] == UNKNOWN)
				return REF_UNFOLLOWED;
			v = v << 8 | r->slots[u->slot][u->byte + i];
		}
	} else {
		if (r->pos[u->buffer] == r->len[u->buffer])
			return REF_TO_VMM;
		if (r->drain && !r->pos[u->buffer])
			return REF_UNFOLLOWED;
		want = ref_take(r, a, r->len[u->buffer] - r->pos[u->buffer]);
		if (!want)
			return REF_UNFOLLOWED;
		v = ref_bytes(r->data[u->buffer] + r->pos[u->buffer], a->width);
		r->pos[u->buffer] += want;
		ref_string(r, a, REF_BUFFER, u->buffer, r->data[u->buffer] + r->pos[u->buffer] - want);
	}
	*answer = (v & u->and) | u->or;
	ref_change(r, u);
	return REF_ANSWERED;
}

/* Return: whether it is answered. */
static bool ref_access(struct ref *r, const struct ref_derived *d, const struct ref_access *a, uint64_t *answer)
{
	enum ref_fate fate = REF_UNFOLLOWED;
	int i, holds;

	ref_string_over(r, a->vcpu);
	ref_gone(r, d, a);
	ref_expect_over(r);
	if (!a->busy && r->nr_expects) {
		if (ref_predicted(r, a, answer)) {
			ref_expect_over(r);
			return true;
		}
	} else if (!a->busy && !(a->write && a->string)) {
		for (i = 0; i < r->nr_rules; i++) {
			const struct ref_rule *u = &r->rules[i];

			if (u->write != a->write || !u->width[a->width] || a->addr < u->addr || a->addr >= u->addr + u->count)
				continue;
			holds = ref_holds(r, u->when);
			if (!holds)
				continue;
			if (holds == 1)
				fate = a->write ? ref_rule_write(r, d, a, i) : ref_rule_read(r, d, a, i, answer);
			break;
		}
	}
	if (fate == REF_UNFOLLOWED)
		ref_unfollowed(r, d, a);
	ref_expect_over(r);
	return fate == REF_ANSWERED;
}

/* A further element of a string. */
static uint64_t ref_more(struct ref *r)
{
	uint64_t v = ref_bytes(r->string.data, r->string.width);

	r->string.left--;
	memmove(r->string.data, r->string.data + r->string.width, r->string.left * r->string.width);
	ref_expect_over(r);
	return v;
}

/* The VMM is done with the write of @vcpu to @addr; @known: it is known that it was this one. */
static void ref_write_done(struct ref *r, const struct ref_derived *d, int vcpu, uint64_t addr, bool known)
{
	const struct ref_rule *u = &r->rules[r->at_vmm.rule];

	if (r->at_vmm.there && r->at_vmm.vcpu == vcpu) {
		if (!known || r->at_vmm.addr != addr) {
			ref_forget_writes(r, d);
		} else {
			r->at_vmm.there = false;
			ref_store(r, u, r->at_vmm.value, false);
			ref_change(r, u);
		}
	}
	ref_expect_over(r);
}

static inline void ref_answer_lost(struct ref *r, const struct ref_derived *d)
{
	if (!r->owned)
		ref_forget_writes(r, d);
	ref_expect_over(r);
}

/* An access that met the lock held: it went to the VMM. */
static inline void ref_contended(struct ref *r, const struct ref_derived *d, const struct ref_access *a)
{
	ref_gone(r, d, a);
	ref_unfollowed(r, d, a);
}

#endif /* SELFTESTS_TABLEREF_H */
