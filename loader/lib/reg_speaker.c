// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The registers of port 0x61 beside KVM's own PIT, under its lock. */
#include <iofilter/speaker.h>
#include "reg.h"

#define SPEAKER(n, f, nm, member, m, text) REG_AT(n, f, nm, struct iofilter_speaker, member, m, text)

/* A write that was at the VMM when nobody looked any more has been carried out by the time that a VM is saved. */
static __u64 data_get(const struct reg_at *at)
{
	const struct iofilter_speaker *p = at->state;

	return p->write_open ? p->write_data : p->data;
}

static void data_set(const struct reg_at *at, __u64 val)
{
	((struct iofilter_speaker *)at->state)->data = val;
}

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_speaker, head),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_speaker, verdicts, , 0, "accesses by what became of them"),
	SPEAKER(0x14, REG_N, "answered", answered, 0, "reads"),
	SPEAKER(0x15, REG_N, "samples", samples, 0, "answers of the VMM"),
	SPEAKER(0x16, REG_N, "audits", audits, 0, "reads that went to the VMM to confirm"),
	SPEAKER(0x17, REG_N, "doubts", doubts, 0, "times a snapshot may have been loaded"),
	SPEAKER(0x18, REG_N, "mismatches", mismatches, 0, "answers that were not expected"),
	SPEAKER(0x20, REG_S | REG_W, "lead", lead, SPEAKER_LEAD_MAX_NS, "ns: so far ahead the VMM's clock may be"),
	SPEAKER(0x21, REG_S | REG_W, "audit", audit, 1000000000, "ns between audits"),
	SPEAKER(0x22, REG_SH, "proof", proof, 0, "0 unproven, 1 proven, 2 fused"),
	SPEAKER(0x23, REG_S | REG_W, "fuse", fuse, IOFILTER_FUSE_VANISHED, "0 whole; 1 wrong model"),
	SPEAKER(0x24, REG_SH, "matches", matches, 0, "answers in a row that were expected"),
	SPEAKER(0x25, REG_SH, "misses", misses, 0, ".. that were not, since the last proof"),
	{ .nr = 0x28, .size = 1, .flags = REG_S | REG_W, .name = "data", .off = offsetof(struct iofilter_speaker, data), .elements = 1,
	  .max = PIT_UNKNOWN, .get = data_get, .set = data_set, .meaning = "bit 1; 2: not known" },
	SPEAKER(0x29, REG_S | REG_W, "toggle", toggle, PIT_UNKNOWN, "bit 4 of the VMM's newest answer; 2: not known"),
	REG_AT_HOT(0x2a, REG_G | REG_W, "odd", struct iofilter_speaker, odd, 1,
		   "an odd number of reads was answered since: bit 4 is the opposite", 1),
	SPEAKER(0x2b, REG_S, "doubt", doubt, 1, "another state may have been loaded: bits 1 and 4 are to be seen again"),
	SPEAKER(0x2c, REG_T, "load", load, 0, "load time of KVM's channel 2 for which there is no doubt"),
	SPEAKER(0x2d, REG_SH, "restored", restored, 0, "the state was put back, and nothing was read since"),
	SPEAKER(0x2e, REG_SH, "followed", followed, 0, "a VMM is told of what accesses change"),
	SPEAKER(0x30, REG_SH, "write_open", write_open, 0, "a write is at the VMM"),
	SPEAKER(0x31, REG_T, "write_at", write_at, 0, "it began"),
	SPEAKER(0x32, REG_SH, "nr_open", nr_open, 0, "reads at the VMM"),
	SPEAKER(0x33, REG_T, "last_sample_at", last_sample_at, 0, "the newest answer of the VMM"),
	SPEAKER(0x34, REG_T, "since", since, 0, "the first proof of this run"),
	SPEAKER(0x35, REG_T, "audit_at", audit_at, 0, "the newest audit"),
};

static int enter(void *state, bool change)
{
	struct iofilter_speaker *p = state;

	(void)change;
	if (iofilter_try_lock(&p->lock))
		return -EBUSY;
	speaker_catch_up(p, lib_now());
	return 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_speaker *p = state;

	if (change) {
		/* What it says follows from the fuse, and the proof from answers that fit what was set. */
		p->proof = p->fuse ? IOFILTER_FUSED : IOFILTER_UNPROVEN;
		p->matches = 0;
		p->told = p->odd;
	}
	p->head.in_flight = p->odd;
	/* Who enters may have had to end a sequence. */
	speaker_tell(p);
	iofilter_unlock(&p->lock);
}

static void break_lock(void *state)
{
	struct iofilter_speaker *p = state;

	iofilter_store(p->confused, 1);
	iofilter_unlock(&p->lock);
}

static bool followed(const void *state)
{
	return iofilter_load(((const struct iofilter_speaker *)state)->followed);
}

static void follow(void *state)
{
	struct iofilter_speaker *p = state;

	p->told = p->odd;
	iofilter_store(p->followed, 1);
}

static void restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_speaker *p = state;

	(void)ctx;
	p->misses = 0;
	p->restored = 1;
	p->open_alone = 0;
	p->shown = 0;
	/* A write of this run that the VMM may or may not have. */
	if (p->write_open)
		p->data = PIT_UNKNOWN;
}

const struct reg_set speaker_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.followed = followed,
	.follow = follow,
	.changed_off = offsetof(struct iofilter_speaker, changed),
	.changed_words = 1,
	.restored = restored,
};
