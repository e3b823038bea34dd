/* SPDX-License-Identifier: GPL-2.0 */
/* Every member of a device's state, as its program's BTF has it: a register, or one that is exempt, with the reason. */
#ifndef SELFTESTS_REG_MEMBERS_H
#define SELFTESTS_REG_MEMBERS_H

#include <bpf/btf.h>
#include <loader/lib/reg.h>
#include "host.h"

/* What is no register, and why. A * stands for any end. */
static const struct {
	const char *name, *why;
} exempt[] = {
	{ "head.magic", "the same in all" },
	{ "head.version", "in the saved form's head" },
	{ "head.size", "follows from the version" },
	{ "head.device", "in the id" },
	{ "head.pad", "" },
	{ "*.pad*", "" },
	{ "pad*", "" },
	{ "*.reserved", "" },
	{ "*lock", "of this very moment" },
	{ "*clock.writer", "a lock" },
	{ "*clock.mode", "a register that stands at the clock's place; of the PIT it is in attention" },
	{ "*clock.fuse", "likewise" },
	{ "*clock.stopped", "is clock.time" },
	{ "*clock.second", "follows from the time" },
	{ "*clock.mask", "follows from the width" },
	{ "*clock.audit_at", "a ticket of this moment" },
	{ "*clock.have", "the newest sample, beside need" },
	{ "*clock.since", "for status" },
	{ "*clock.sign_at", "when this host saw a pause" },
	{ "*clock.last_sample_at", "for status" },
	{ "*clock.odd", "of the last answers" },
	{ "*clock.unsigned_move*", "of the last seconds" },
	{ "*clock.fuse_window_at", "of the last seconds" },
	{ "*clock.flips", "of the last seconds" },
	{ "*clock.direction", "of the last seconds" },
	{ "*clock.vanish_*", "of the last seconds" },
	{ "vcpus.*", "this run's vCPUs: what they have at the VMM, and when they were seen" },
	{ "channels.vcpus.*", "likewise" },
	{ "open_*", "what the vCPUs of this run have at the VMM" },
	{ "opened_at", "likewise" },
	{ "missed*", "likewise" },
	{ "confused", "likewise" },
	{ "moved", "of this sample" },
	{ "calm", "follows from the others" },
	{ "quick_system", "likewise" },
	{ "channels.quick", "likewise" },
	{ "channels.base", "likewise" },
	{ "channels.period_ns", "likewise" },
	{ "channels.count_ns", "likewise" },
	{ "channels.load_vcpu", "of this run" },
	{ "channels.latch_vcpu", "of this run" },
	{ "channels.poll_at", "of this moment" },
	{ "channels.renewed_*", "of this run" },
	{ "steady_*", "follows from KVM's channel" },
	{ "write_vcpu", "what is at the VMM" },
	{ "write_load", "likewise" },
	{ "write_data", "likewise" },
	{ "shown*", "an answer of this moment" },
	{ "regs_at", "with the value: not known any more" },
	{ "cells.word", "cmos[]" },
	{ "time.seq", "a lock" },
	{ "watch.missed", "of this moment" },
	{ "watch.blind", "of this run" },
	{ "watch.armed", "of this command" },
	{ "watch.told", "of this command" },
	{ "watch.wait", "of this run" },
	{ "watch.open", "of this run" },
	{ "watch.retry_at", "of this run" },
	{ "watch.reset_at", "of this run" },
	{ "watch.hob*", "of this run" },
	{ "watch.lowered", "of this run" },
	{ "watch.multiple_new", "of this command" },
	{ "watch.counted", "of this run" },
	{ "watch.credit", "of this moment" },
	{ "watch.line_*", "of this run" },
	{ "watch.last_sample_at", "for status" },
	{ "own.string.*", "a read of this moment: nothing is saved in it" },
	{ "own.c.pos", "own.pos" },
	{ "own.c.end", "own.end" },
	{ "derived_b*", "follow from the rules" },
	{ "read_bits", "follow from the rules" },
	{ "touched", "of this access" },
	{ "*changed", "told to the VMM" },
	{ "told*", "likewise" },
	{ "dirty_slots", "follow from the slots" },
	{ "begun_buffers", "follow from the buffers" },
	{ "pending.vcpu", "of this run" },
	{ "pending.rule", "of this run" },
	{ "string.*", "a read of this moment" },
	{ "ports.*", "follow from the rules" },
	{ "chain", "follow from the rules" },
	{ "text.*", "for people" },
	{ "watchers.*", "this run's waiters for the alarm" },
	{ "writer", "a lock" },
	{ "gate", "of a change of this moment" },
	{ "sets.at", "the value is that of this moment" },
	{ "sets.mask", "follows from the width" },
};

static int exempted[ARRAY_SIZE(exempt)];

static int matches(const char *pattern, const char *name)
{
	for (; *pattern && *pattern != '*'; pattern++, name++)
		if (*pattern != *name)
			return 0;
	if (!*pattern)
		return !*name;
	for (;; name++) {
		if (matches(pattern + 1, name))
			return 1;
		if (!*name)
			return 0;
	}
}

/* Do rows that are read as they stand, or are computed from it, have the bytes at @off? */
static int covered(const struct device *d, __u32 off)
{
	size_t i;

	for (i = 0; i < d->regs->nr; i++) {
		const struct reg_row *row = &d->regs->rows[i];
		__u32 from = off - row->off, element = row->stride ? from / row->stride : 0;

		if (off < row->off || element >= row->elements)
			continue;
		if (from - element * row->stride < (row->get ? 8 : row->size))
			return 1;
	}
	return 0;
}

struct walk {
	const struct device *d;
	const struct btf *btf;
	int leaves, registers;
	char missing[4096];
};

static void leaf(struct walk *w, const char *name, __u32 off)
{
	size_t i;

	w->leaves++;
	if (covered(w->d, off)) {
		w->registers++;
		return;
	}
	for (i = 0; i < ARRAY_SIZE(exempt); i++)
		if (matches(exempt[i].name, name)) {
			exempted[i]++;
			return;
		}
	snprintf(w->missing + strlen(w->missing), sizeof(w->missing) - strlen(w->missing), " %s", name);
}

/* Every member of the state, of arrays the first element. */
static void walk(struct walk *w, __u32 id, const char *path, __u32 off)
{
	const struct btf_type *t = btf__type_by_id(w->btf, btf__resolve_type(w->btf, id));
	const struct btf_member *m;
	char name[256];
	int i;

	if (btf_is_array(t)) {
		walk(w, btf_array(t)->type, path, off);
		return;
	}
	if (!btf_is_composite(t)) {
		leaf(w, path, off);
		return;
	}
	m = btf_members(t);
	for (i = 0; i < btf_vlen(t); i++) {
		const char *member = btf__name_by_offset(w->btf, m[i].name_off);

		/* The counter's head and addresses are the HPET's, too. */
		snprintf(name, sizeof(name), "%s%s%s", path, *path && *member ? "." : "", member);
		walk(w, m[i].type, strncmp(name, "counter.", 8) ? name : name + 8, off + btf_member_bit_offset(t, i) / 8);
	}
}

#endif /* SELFTESTS_REG_MEMBERS_H */
