// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Rule files: what follows from the rules together. */
#include <stdlib.h>
#include <string.h>
#include "lib.h"
#include "table.h"

static __u8 slot_bytes(const struct table_rule *r)
{
	return ((1U << r->slot_len) - 1) << r->slot % 8;
}

/* What writes change, and reads. */
static void derive(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	__u32 i;

	for (i = 0; i < t->nr_rules; i++) {
		const struct table_rule *r = &t->rules[i];

		if (r->op == TABLE_READ) {
			t->read_bits |= r->set | r->clear;
			continue;
		}
		t->derived_bits |= r->set | r->clear;
		t->derived_buffers |= r->rewind;
		if (r->slot_len)
			t->cells[r->slot / 8].derived |= slot_bytes(r);
	}
}

static void error_at(struct table_file *f, unsigned int line, int col, const char *fmt, const char *name)
{
	static const char start[1];

	f->line_start = start;
	table_error(f, line, start + col, fmt, name);
}

/* What has a value from the start, and where the one that it has comes from. */
static void values(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	__u64 tested = 0;
	__u8 answered[TABLE_SLOTS] = {};
	__u32 i;

	for (i = 0; i < t->nr_rules; i++) {
		tested |= t->rules[i].must1 | t->rules[i].must0;
		if (t->rules[i].op == TABLE_READ && t->rules[i].slot_len)
			answered[t->rules[i].slot / 8] |= slot_bytes(&t->rules[i]);
	}
	for (i = 0; i < t->nr_bits; i++) {
		if (f->given_bits & t->derived_bits & 1ULL << i)
			error_at(f, f->bit_line[i], f->bit_col[i], "writes change the bit '%s': before one it has no value", t->text.bits[i]);
		if (tested & ~f->given_bits & ~t->derived_bits & ~t->read_bits & 1ULL << i)
			error_at(f, f->bit_line[i], f->bit_col[i], "nothing gives the bit '%s' a value: '= 0' or '= 1'", t->text.bits[i]);
	}
	for (i = 0; i < t->nr_slots; i++) {
		if (f->slot_given[i] && t->cells[i].derived)
			error_at(f, f->slot_line[i], f->slot_col[i], "writes change the slot '%s': before one it has no value",
				 t->text.slots[i]);
		if (answered[i] & ~t->cells[i].derived && !f->slot_given[i])
			error_at(f, f->slot_line[i], f->slot_col[i], "nothing gives a part of the slot '%s', which is answered, a value",
				 t->text.slots[i]);
		if (f->slot_given[i])
			t->cells[i].known = 0xff;
	}
	t->known = f->given_bits;
	for (i = 0; i < t->nr_buffers; i++)
		if (t->derived_buffers >> i & 1)
			t->buffers[i].pos = t->buffers[i].len;
}

/* An earlier rule that meets all that this one could meet. */
static bool hides(const struct table_rule *a, const struct table_rule *b)
{
	return a->op == b->op && a->addr <= b->addr && a->addr + a->count >= b->addr + b->count && !(b->widths & ~a->widths) &&
	       !(a->must1 & ~b->must1) && !(a->must0 & ~b->must0);
}

static void check_hidden(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	__u32 i, j;

	for (i = 0; i < t->nr_rules; i++)
		for (j = 0; j < i; j++)
			if (hides(&t->rules[j], &t->rules[i]))
				table_error(f, t->rules[i].line, NULL, "no access comes to this rule: line %u meets all of them first",
					    t->rules[j].line);
}

struct placed {
	struct kvm_iofilter_range range;
	unsigned int line;
};

static int by_address(const void *a, const void *b)
{
	const struct kvm_iofilter_range *x = &((const struct placed *)a)->range, *y = &((const struct placed *)b)->range;

	return x->bus != y->bus ? (x->bus < y->bus ? -1 : 1) : x->addr < y->addr ? -1 : x->addr > y->addr;
}

/*
 * Where writes change the state, the range reaches so far that the accesses that straddle the group's ends are seen, too. Ranges
 * that overlap become one: else a program would see an access twice.
 */
static void make_ranges(struct table_file *f)
{
	struct kvm_iofilter_range *r = NULL;
	struct placed all[TABLE_GROUPS];
	int i, n = f->nr_groups;

	for (i = 0; i < n; i++) {
		const struct group *g = &f->groups[i];
		bool pio = g->bus == KVM_IOFILTER_PIO;
		__u64 wide = g->derived && !g->exact ? (pio ? 3 : 7) : 0, min = pio ? 0 : TABLE_MMIO_MIN, first = g->first, last = g->last;

		first = first - min < wide ? min : first - wide;
		last += wide;
		if (pio && last > 0xffff)
			last = 0xffff;
		all[i] = (struct placed){ { .addr = first, .len = last - first + 1, .bus = g->bus }, g->line };
	}
	qsort(all, n, sizeof(all[0]), by_address);
	for (i = 0; i < n; i++) {
		const struct kvm_iofilter_range *next = &all[i].range;

		if (r && r->bus == next->bus && next->addr < r->addr + r->len) {
			if (next->addr + next->len > r->addr + r->len)
				r->len = next->addr + next->len - r->addr;
		} else {
			if (f->nr_ranges == KVM_IOFILTER_MAX_RANGES)
				table_error(f, all[i].line, NULL, "more than %d ranges: leave some out, or put those side by side in one group",
					    KVM_IOFILTER_MAX_RANGES);
			f->range_line[f->nr_ranges] = all[i].line;
			r = &f->ranges[f->nr_ranges++];
			*r = *next;
		}
		if (r->len > 4096)
			table_error(f, all[i].line, NULL, "groups side by side have more than 4096 addresses in all, from 0x%llx on",
				    (unsigned long long)r->addr);
	}
}

/* One list of rules for each address and direction. */
static void make_chains(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	__u32 i, k, off, op, used = 0, ports = 0;

	for (i = 0; i < f->nr_ranges; i++) {
		const struct kvm_iofilter_range *range = &f->ranges[i];

		if (ports + range->len > TABLE_PORTS)
			table_error(f, f->range_line[i], NULL, "more than %d addresses in all", TABLE_PORTS);
		t->ranges[i] = (struct table_range){ .addr = range->addr, .len = range->len, .first = ports };
		for (off = 0; off < range->len; off++)
			for (op = TABLE_READ; op <= TABLE_WRITE; op++) {
				struct table_port *port = &t->ports[ports + off];

				port->first[op] = used;
				for (k = 0; k < t->nr_rules; k++) {
					const struct table_rule *r = &t->rules[k];

					if (r->op != op || f->rule_group[k]->bus != (int)range->bus ||
					    range->addr + off - r->addr >= r->count)
						continue;
					if (used == TABLE_CHAIN)
						table_error(f, r->line, NULL, "rules for so many addresses: more than %d in all",
							    TABLE_CHAIN);
					t->chain[used++] = k;
					port->nr[op]++;
				}
			}
		ports += range->len;
	}
	t->nr_ranges = f->nr_ranges;
}

/* Addresses whose accesses change the state: all bytes of such an access. */
static void make_flags(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	__u32 i, k;

	for (k = 0; k < t->nr_rules; k++) {
		const struct table_rule *r = &t->rules[k];
		__u32 longest = r->widths & 8 ? 8 : r->widths & 4 ? 4 : r->widths & 2 ? 2 : 1;

		if (!r->effects)
			continue;
		for (i = 0; i < t->nr_ranges; i++)
			for (__u64 a = r->addr; a < r->addr + r->count + longest - 1; a++)
				if (a - t->ranges[i].addr < t->ranges[i].len)
					t->ports[t->ranges[i].first + (a - t->ranges[i].addr)].flags |=
						r->op == TABLE_READ ? TABLE_PORT_READS : TABLE_PORT_WRITES;
	}
}

void table_build(struct table_file *f)
{
	if (!f->t->nr_rules)
		table_error(f, f->line, NULL, "there is no rule");
	check_hidden(f);
	derive(f);
	values(f);
	make_ranges(f);
	make_chains(f);
	make_flags(f);
}
