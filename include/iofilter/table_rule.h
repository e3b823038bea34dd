/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Which rule an access meets, and what the rule does. Under the lock but for table_port() and table_flags(). */
#ifndef IOFILTER_TABLE_RULE_H
#define IOFILTER_TABLE_RULE_H

#include <iofilter/table_buffer.h>

/* table_match() */
#define TABLE_NO_RULE -1
#define TABLE_UNKNOWN -2 /* it depends on bits that are not known */

/* Where the access stands in ports[], or -1. The module has seen to it that it lies within a range. */
TABLE_PROG int table_port(struct iofilter_table *t TABLE_ARG, __u64 addr, __u32 len)
{
	int i;

	iofilter_for(i, KVM_IOFILTER_MAX_RANGES) {
		const struct table_range *r;
		__u64 off;

		if ((__u32)i >= t->nr_ranges || i >= KVM_IOFILTER_MAX_RANGES)
			break;
		r = &t->ranges[TABLE_INDEX(i, KVM_IOFILTER_MAX_RANGES)];
		off = addr - r->addr;
		if (off < r->len && off + len <= r->len && r->first + off + len <= TABLE_PORTS)
			return r->first + off;
	}
	return -1;
}

/* TABLE_MISSED_*: what of the state an access to these addresses may change if no rule says so. */
TABLE_PROG int table_flags(struct iofilter_table *t TABLE_ARG, __u32 port, __u32 len, __u32 op)
{
	__u32 flags = 0;
	int i;

	iofilter_for(i, 8) {
		__u32 at = port + i;

		if ((__u32)i < len && at < TABLE_PORTS)
			flags |= t->ports[TABLE_INDEX(at, TABLE_PORTS)].flags;
	}
	if (op == TABLE_READ)
		return flags & TABLE_PORT_READS ? TABLE_MISSED_READ : 0;
	return flags & TABLE_PORT_WRITES ? TABLE_MISSED_WRITE : 0;
}

/* The first rule for the width that the state bits allow: its index, TABLE_NO_RULE or TABLE_UNKNOWN. */
TABLE_PROG int table_match(struct iofilter_table *t TABLE_ARG, __u32 port, __u32 len, __u32 op)
{
	__u64 bits = t->bits, known = t->known;
	int i, found = TABLE_NO_RULE;
	const struct table_port *p;
	__u32 first, nr;

	if (port >= TABLE_PORTS || op > TABLE_WRITE)
		return TABLE_NO_RULE;
	p = &t->ports[TABLE_INDEX(port, TABLE_PORTS)];
	first = op == TABLE_READ ? p->first[TABLE_READ] : p->first[TABLE_WRITE];
	nr = op == TABLE_READ ? p->nr[TABLE_READ] : p->nr[TABLE_WRITE];
	iofilter_for(i, TABLE_RULES) {
		__u32 at = first + i, index;
		const struct table_rule *r;

		if ((__u32)i >= nr || at >= TABLE_CHAIN)
			break;
		index = t->chain[TABLE_INDEX(at, TABLE_CHAIN)];
		if (index >= TABLE_RULES)
			break;
		r = &t->rules[TABLE_INDEX(index, TABLE_RULES)];
		if (!(r->widths & len) || r->must1 & known & ~bits || r->must0 & known & bits)
			continue;
		found = (r->must1 | r->must0) & ~known ? TABLE_UNKNOWN : (int)index;
		break;
	}
	return found;
}

/* The VMM is done with the write of this vCPU, or with none that is known: only then is what the write changes known here, too. */
static inline void table_pending_end(struct iofilter_table *t, __u32 vcpu, __u64 addr, __u32 len)
{
	struct table_pending *p = &t->pending;
	struct table_rule *r;

	if (!p->valid || p->vcpu != vcpu)
		return;
	if (!len || p->addr != addr || p->rule >= TABLE_RULES) {
		table_forget_writes(t);
		return;
	}
	r = &t->rules[TABLE_INDEX(p->rule, TABLE_RULES)];
	p->valid = 0;
	if (r->slot_len)
		table_slot_set(t, r->slot, r->slot_len, p->val, 0);
	table_change_bits(t, r);
}

/* What became of an access. */
enum table_done {
	TABLE_DONE,	  /* answered */
	TABLE_TO_VMM,	  /* .. and it is known what that changes */
	TABLE_LEFT,	  /* .. and it is not */
	TABLE_LEFT_UNKNOWN, /* likewise, because the slot is not known */
	TABLE_LEFT_BUSY,  /* likewise, because another write is under way */
};

static inline enum table_done table_rule_write(struct iofilter_table *t, const struct kvm_iofilter_req *req, __u32 index)
{
	struct table_pending *p = &t->pending;
	struct table_rule *r;
	__u64 raw, val;

	index = TABLE_INDEX(index, TABLE_RULES);
	r = &t->rules[index];
	raw = req->val & table_mask(req->len);
	val = (raw & r->and) | r->or;
	if (r->effects && p->valid)
		return TABLE_LEFT_BUSY;
	if (r->traps && (raw & r->trap_mask) == r->trap_bits) {
		t->trapped[index]++;
		table_doubt_rule(t, r);
		return TABLE_TO_VMM;
	}
	t->hits[index]++;
	if (r->action == TABLE_TAKE && !(t->head.drain && r->slot_len)) {
		if (r->slot_len)
			table_slot_set(t, r->slot, r->slot_len, val, 1);
		table_change_bits(t, r);
		return TABLE_DONE;
	}
	if (r->effects) {
		/* Another vCPU's access comes to the VMM before or after the write: to be answered it must be known which. */
		table_doubt_rule(t, r);
		p->addr = req->addr;
		p->val = val;
		p->vcpu = req->vcpu;
		p->rule = index;
		p->valid = 1;
	}
	return TABLE_TO_VMM;
}

static inline enum table_done table_rule_read(struct iofilter_table *t, struct kvm_iofilter_req *req, __u32 index)
{
	struct table_buffer *b;
	struct table_rule *r;
	__u64 val;

	index = TABLE_INDEX(index, TABLE_RULES);
	r = &t->rules[index];
	if (r->action == TABLE_PASS) {
		t->hits[index]++;
		return TABLE_TO_VMM;
	}
	if (r->effects && t->pending.valid)
		return TABLE_LEFT_BUSY;
	if (req->flags & KVM_IOFILTER_REQ_STRING && r->action != TABLE_REPEAT)
		return TABLE_LEFT;
	switch (r->action) {
	case TABLE_CONST:
		val = r->value;
		break;
	case TABLE_SLOT:
		if (table_slot_get(t, r->slot, r->slot_len, &val))
			return TABLE_LEFT_UNKNOWN;
		break;
	case TABLE_REPEAT:
		b = &t->buffers[TABLE_INDEX(r->buffer, TABLE_BUFFERS)];
		if (b->pos >= b->len) {
			t->trapped[index]++;
			return TABLE_TO_VMM;
		}
		/* The VMM gives an element that is here, or some: the rest does not fit any more. */
		if ((t->head.drain && !b->pos) || table_buffer_read(t, req, r->buffer))
			return TABLE_LEFT;
		val = req->val;
		break;
	default:
		return TABLE_LEFT;
	}
	t->hits[index]++;
	req->val = (val & r->and) | r->or;
	table_change_bits(t, r);
	return TABLE_DONE;
}

#endif /* IOFILTER_TABLE_RULE_H */
