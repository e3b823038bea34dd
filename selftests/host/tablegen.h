/* SPDX-License-Identifier: GPL-2.0 */
/* Random rules, for the reference interpreter and, as text, for the parser of rule files. */
#ifndef SELFTESTS_TABLEGEN_H
#define SELFTESTS_TABLEGEN_H

#include "host.h"
#include "tableref.h"

#define GEN_MMIO 0xfed80000ULL

struct gen {
	struct ref ref;
	int nr_groups;
	struct {
		uint64_t first, last;
		bool exact, memory;
	} groups[4];
	/* Rules that the text leaves out, while a failure is made smaller. */
	bool off[REF_RULES];
	char *text;
	size_t size, room;
};

static int gen_one_of(int n)
{
	return rnd() % n;
}

static __attribute__((format(printf, 2, 3))) void gen_print(struct gen *g, const char *fmt, ...)
{
	va_list ap;

	if (g->room - g->size < 4096)
		g->text = realloc(g->text, g->room = g->room * 2 + 8192);
	va_start(ap, fmt);
	g->size += vsnprintf(g->text + g->size, g->room - g->size, fmt, ap);
	va_end(ap);
}

/* What the parser refuses because no access comes to it. */
static bool gen_hidden(const struct ref *r, const struct ref_rule *u, const struct ref_rule *by)
{
	int i;

	if (by->write != u->write || by->addr > u->addr || by->addr + by->count < u->addr + u->count)
		return false;
	for (i = 1; i <= 8; i++)
		if (u->width[i] && !by->width[i])
			return false;
	for (i = 0; i < r->nr_bits; i++)
		if (by->when[i] != UNKNOWN && by->when[i] != u->when[i])
			return false;
	return true;
}

static void gen_bits(const struct ref *r, int8_t *bits, int one_in)
{
	memset(bits, UNKNOWN, REF_BITS);
	for (int i = 0; i < r->nr_bits; i++)
		if (!gen_one_of(one_in))
			bits[i] = rnd() & 1;
}

static uint64_t gen_value(int widest)
{
	switch (gen_one_of(3)) {
	case 0:
		return ref_low(rnd() & 3, widest);
	case 1:
		return ref_low(rnd(), widest);
	default:
		return ref_low(rnd() & 0xff, widest);
	}
}

static struct ref_rule gen_rule(struct gen *g)
{
	struct ref *r = &g->ref;
	struct ref_rule u = { .write = rnd() & 1, .and = ~0ULL };
	int n = gen_one_of(g->nr_groups), i, widest = 0, most = g->groups[n].memory ? 4 : 3;

	do {
		for (i = widest = 0; i < most; i++)
			u.width[1 << i] = !gen_one_of(i ? 3 : 2);
		for (i = 1; i <= 8; i <<= 1)
			widest = u.width[i] ? i : widest;
		u.addr = g->groups[n].first + gen_one_of(g->groups[n].last - g->groups[n].first + 1);
		u.count = gen_one_of(3) ? 1 : 1 + gen_one_of(g->groups[n].last - u.addr + 1);
	} while (!widest || (g->groups[n].exact && u.addr + u.count - 1 + widest - 1 > g->groups[n].last));
	gen_bits(r, u.when, gen_one_of(2) ? 3 : 8);
	memset(u.then, UNKNOWN, sizeof(u.then));
	if (gen_one_of(3))
		gen_bits(r, u.then, 4);
	if (u.write) {
		u.action = gen_one_of(3) ? REF_TAKE : REF_PASS;
		if (!gen_one_of(3)) {
			u.traps = true;
			u.trap_mask = gen_one_of(4) ? 1ULL << gen_one_of(widest * 8) : gen_value(widest);
			u.trap_value = gen_value(widest) & u.trap_mask;
		}
	} else {
		u.action = gen_one_of(8) ? REF_CONST + gen_one_of(3) : REF_PASS;
	}
	if (u.write ? gen_one_of(3) : u.action == REF_FROM_SLOT) {
		u.slot = gen_one_of(r->nr_slots);
		u.bytes = 1 << gen_one_of(gen_one_of(4) ? 2 : 4);
		u.byte = gen_one_of(8 - u.bytes + 1);
		if (!gen_one_of(2)) {
			u.and = gen_value(widest);
			u.or = gen_value(widest);
		}
	}
	if (u.action == REF_CONST)
		u.value = gen_value(widest);
	if (u.action == REF_FROM_BUFFER)
		u.buffer = gen_one_of(r->nr_buffers);
	for (i = 0; i < r->nr_buffers; i++)
		u.rewind[i] = !gen_one_of(u.write ? 3 : 10) && !(u.action == REF_FROM_BUFFER && u.buffer == i);
	if (u.action == REF_PASS && !u.write) {
		memset(u.then, UNKNOWN, sizeof(u.then));
		memset(u.rewind, 0, sizeof(u.rewind));
	}
	return u;
}

static void gen_rules(struct gen *g)
{
	int want = gen_one_of(20) ? 1 + gen_one_of(24) : REF_RULES, tries = want * 4, i;
	struct ref *r = &g->ref;

	while (r->nr_rules < want && tries--) {
		struct ref_rule u = gen_rule(g);

		for (i = 0; i < r->nr_rules && !gen_hidden(r, &u, &r->rules[i]); i++)
			;
		if (i == r->nr_rules)
			r->rules[r->nr_rules++] = u;
	}
}

static void gen_print_names(struct gen *g, const char *what, const char *name, const int8_t *bits, int wanted)
{
	const char *sep = what;

	for (int i = 0; i < g->ref.nr_bits; i++) {
		if (bits[i] == UNKNOWN || (wanted != UNKNOWN && bits[i] != wanted))
			continue;
		gen_print(g, "%s%s%s%d", sep, wanted == UNKNOWN && !bits[i] ? "!" : "", name, i);
		sep = ",";
	}
}

static void gen_print_rule(struct gen *g, const struct ref_rule *u)
{
	static const char letters[] = " bw l   q";
	const char *sep = " rewind ";
	int i;

	gen_print(g, "%s 0x%llx", u->write ? "write" : "read", (unsigned long long)u->addr);
	if (u->count > 1)
		gen_print(g, "-0x%llx", (unsigned long long)(u->addr + u->count - 1));
	gen_print(g, " ");
	for (i = 1; i <= 8; i <<= 1)
		if (u->width[i])
			gen_print(g, "%c", letters[i]);
	gen_print_names(g, " if ", "bit", u->when, UNKNOWN);
	if (u->traps)
		gen_print(g, " trap 0x%llx/0x%llx", (unsigned long long)u->trap_value, (unsigned long long)u->trap_mask);
	gen_print(g, " %s", u->action == REF_PASS ? "pass" : u->action == REF_TAKE ? "take" : u->action == REF_FROM_BUFFER ? "repeat" : "answer");
	if (u->action == REF_CONST)
		gen_print(g, " %llu", (unsigned long long)u->value);
	if (u->action == REF_FROM_BUFFER)
		gen_print(g, " buf%d", u->buffer);
	if (u->bytes)
		gen_print(g, " slot%d.%c+%d", u->slot, letters[u->bytes], u->byte);
	if (u->and != ~0ULL)
		gen_print(g, " and 0x%llx or %llu", (unsigned long long)u->and, (unsigned long long)u->or);
	gen_print_names(g, " set ", "bit", u->then, 1);
	gen_print_names(g, " clear ", "bit", u->then, 0);
	for (i = 0; i < g->ref.nr_buffers; i++)
		if (u->rewind[i]) {
			gen_print(g, "%sbuf%d", sep, i);
			sep = ",";
		}
	gen_print(g, "\n");
}

/* The state in which a table begins. */
static void gen_start(struct gen *g, struct ref_derived *d)
{
	struct ref *r = &g->ref;
	int i, j;

	ref_derive(r, d);
	for (i = 0; i < r->nr_bits; i++)
		r->bits[i] = d->bit[i] ? UNKNOWN : i & 1;
	for (i = 0; i < r->nr_slots; i++)
		for (j = 0; j < 8; j++)
			r->slots[i][j] = d->byte[i][j] ? UNKNOWN : 0x11 * (j + 1);
	for (i = 0; i < r->nr_buffers; i++)
		r->pos[i] = d->buffer[i] ? r->len[i] : 0;
}

/* A slot of which only some bytes are written by rules has, in a file, no value from the start; such a byte is never known. */
static bool gen_writes_to_slot(const struct ref_derived *d, int slot)
{
	for (int j = 0; j < 8; j++)
		if (d->byte[slot][j])
			return true;
	return false;
}

static void gen_text(struct gen *g, struct ref_derived *d)
{
	struct ref *r = &g->ref;
	int i, j;

	/* Of those that are left, only. */
	for (i = j = 0; i < r->nr_rules; i++)
		if (!g->off[i])
			r->rules[j++] = r->rules[i];
	r->nr_rules = j;
	memset(g->off, 0, sizeof(g->off));
	gen_start(g, d);
	/* Answers from a part of a slot that nothing writes would be refused. */
	for (i = 0; i < r->nr_rules; i++) {
		struct ref_rule *u = &r->rules[i];

		if (u->write || !u->bytes || !gen_writes_to_slot(d, u->slot))
			continue;
		for (j = u->byte; j < u->byte + u->bytes && d->byte[u->slot][j]; j++)
			;
		if (j < u->byte + u->bytes) {
			u->action = REF_CONST;
			u->bytes = 0;
			u->and = ~0ULL;
			u->or = 0;
			u->value = 0x5a;
		}
	}
	gen_start(g, d);
	g->size = 0;
	for (i = 0; i < g->nr_groups; i++)
		gen_print(g, "%s group%d 0x%llx-0x%llx%s\n", g->groups[i].memory ? "memory" : "ports", i,
			  (unsigned long long)g->groups[i].first, (unsigned long long)g->groups[i].last, g->groups[i].exact ? " exact" : "");
	gen_print(g, "absence %llu\n", (unsigned long long)r->absence / 1000);
	for (i = 0; i < r->nr_bits; i++)
		gen_print(g, d->bit[i] ? "bit bit%d\n" : "bit bit%d = %d\n", i, i & 1);
	for (i = 0; i < r->nr_slots; i++)
		gen_print(g, gen_writes_to_slot(d, i) ? "slot slot%d\n" : "slot slot%d = 0x8877665544332211\n", i);
	for (i = 0; i < r->nr_buffers; i++) {
		gen_print(g, "buffer buf%d =", i);
		for (j = 0; j < r->len[i]; j++)
			gen_print(g, " %02x", r->data[i][j]);
		gen_print(g, "\n");
	}
	for (i = 0; i < r->nr_rules; i++)
		gen_print_rule(g, &r->rules[i]);
	for (i = 0; i < r->nr_slots; i++)
		for (j = 0; gen_writes_to_slot(d, i) && j < 8; j++)
			if (!d->byte[i][j])
				r->slots[i][j] = UNKNOWN;
}

static void gen_table(struct gen *g)
{
	struct ref *r = &g->ref;
	int i;

	memset(r, 0, sizeof(*r));
	r->absence = 100000;
	g->nr_groups = 1 + gen_one_of(4);
	for (i = 0; i < g->nr_groups; i++) {
		int span = gen_one_of(3) ? 1 + gen_one_of(4) : 1 + gen_one_of(16);

		g->groups[i].memory = !gen_one_of(4);
		/* Side by side, or not: ranges that reach further may meet. */
		g->groups[i].first = (g->groups[i].memory ? GEN_MMIO : 0) + 0x100 + i * 20 + (i & 1) * gen_one_of(3);
		g->groups[i].last = g->groups[i].first + span - 1;
		g->groups[i].exact = !gen_one_of(4);
	}
	r->nr_bits = gen_one_of(30) ? 1 + gen_one_of(6) : REF_BITS;
	r->nr_slots = gen_one_of(30) ? 1 + gen_one_of(4) : REF_SLOTS;
	r->nr_buffers = gen_one_of(30) ? 1 + gen_one_of(3) : REF_BUFFERS;
	for (i = 0; i < r->nr_buffers; i++) {
		r->len[i] = 1 + gen_one_of(gen_one_of(4) ? 12 : 256);
		for (int j = 0; j < r->len[i]; j++)
			r->data[i][j] = rnd();
	}
	gen_rules(g);
}

#endif /* SELFTESTS_TABLEGEN_H */
