// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The registers of an IDE channel. Of one that a VMM gives (own.) all of it, under that part's lock; of another's (watch.) what the filter
 * has learnt.
 */
#include <iofilter/ide_state.h>
#include "reg.h"

#define IDE(n, f, nm, member, m, text)	 REG_AT(n, f, nm, struct iofilter_ide, member, m, text)
#define WATCH(n, f, nm, member, text)	 REG_AT(n, f, "watch." nm, struct iofilter_ide, watch.member, 0, text)
#define WATCHES(n, f, nm, member, text)	 REG_EACH(n, f, "watch." nm "[]", struct iofilter_ide, watch.member, , 0, text)
#define OWN(n, f, nm, member, m, text)	 REG_AT(n, f, "own." nm, struct iofilter_ide, own.member, m, text)
/* What accesses change that are answered here. */
#define OWN_HOT(n, f, nm, member, m, text, bit) \
	REG_AT_HOT(n, f, "own." nm, struct iofilter_ide, own.member, m, text, IDE_HOT_##bit + 1)
#define DRIVE(n, nm, member, text, bit) \
	REG_EACH_HOT(n, REG_G | REG_W, "own.drive[]." nm, struct iofilter_ide, own.c.drives, .member, 0, text, IDE_HOT_##bit + 1)

static __u32 sectors_used(const struct reg_row *row, const void *state)
{
	const struct ide_own *o = &((const struct iofilter_ide *)state)->own;
	__u32 there = iofilter_load(o->there);

	(void)row;
	if (!iofilter_load(o->given))
		return 0;
	return there < IDE_OWN_DATA ? (there + IDE_SECTOR - 1) / IDE_SECTOR : IDE_OWN_DATA / IDE_SECTOR;
}

enum { WATCH_CALIBRATING = 0x3c, WATCH_SCALED };

/* One that is given is not measured any more, as at an attach. */
static void absence_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_ide *ide = at->state;

	if (reg_measured(at, WATCH_CALIBRATING, val == IOFILTER_ABSENCE_NS))
		return;
	iofilter_store(ide->watch.absence, val);
	ide->watch.calibrating = ide->watch.scaled = 0;
}

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_ide, head),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_ide, verdicts, , 0, "accesses by what became of them"),
	IDE(0x18, REG_C, "base", base, 0, "the first port"),
	IDE(0x19, REG_SH, "irq", irq, 0, "line of KVM's IOAPIC; 0: none"),
	WATCH(0x20, REG_SH, "phase", phase, "0 not known, else what the selected drive does"),
	WATCH(0x21, REG_SH, "status", status, "of an idle drive"),
	WATCH(0x22, REG_SH, "status_known", status_known, ".. means something"),
	WATCH(0x23, REG_SH, "command", command, "the newest"),
	WATCH(0x24, REG_SH, "unit", unit, "selected: 0, 1; 2: not known"),
	WATCH(0x25, REG_SH, "sector", sector, "the first of the block at hand"),
	WATCH(0x26, REG_SH, "by_lba", by_lba, ".. means something"),
	WATCH(0x27, REG_SH, "left", left, "sectors of the command, this block's included"),
	WATCH(0x28, REG_SH, "pos", pos, "bytes of the block that the guest has read"),
	WATCH(0x29, REG_T, "work_at", work_at, "since when it works"),
	WATCH(0x2a, REG_SH, "nien", nien, "nIEN of the device control register"),
	WATCH(0x2b, REG_SH, "nien_known", nien_known, ".. means something"),
	WATCH(0x2c, REG_SH, "low", low, "INTRQ is low and stays so"),
	WATCH(0x2d, REG_SH, "known", known, "registers that are known, a bit each"),
	WATCHES(0x2e, REG_SH, "reg", regs, "what a read of a register shows"),
	WATCHES(0x2f, REG_SH, "multiple", multiple, "by drive: sectors of a block of READ MULTIPLE; 0: not known"),
	WATCHES(0x30, REG_SH, "end", end, "by drive: it has so many sectors, at least"),
	WATCH(0x31, REG_SH, "flying", flying, "vCPUs with an access that changes something at the VMM"),
	WATCH(0x32, REG_SH, "reading", reading, ".. that shows something"),
	WATCH(0x33, REG_SH, "version", version, "what was asked for in another one is not learnt"),
	WATCH(0x34, REG_T, "shown_at", shown_at, "when the VMM has shown what it does"),
	WATCH(0x35, REG_SH, "line_proofs", line_proofs, "how often KVM's interrupt line was seen to be the drive's"),
	WATCH(0x38, REG_S, "fuse", fuse, "0 whole; 1 wrong model"),
	{ .nr = 0x39, .size = 8, .flags = REG_S | REG_W, .name = "watch.absence", .off = offsetof(struct iofilter_ide, watch.absence),
	  .elements = 1, .min = 1, .max = LIB_TIME_MAX, .set = absence_set, .meaning = "ns: out of KVM for less is no pause" },
	{ .nr = 0x3a, .size = 8, .flags = REG_S | REG_W, .name = "watch.expiry", .off = offsetof(struct iofilter_ide, watch.expiry),
	  .elements = 1, .min = 1, .max = LIB_TIME_MAX, .meaning = "ns: age of an answer at an audit" },
	WATCH(0x3b, REG_SH, "best_bracket", best_bracket, "ns: the shortest round trip seen"),
	WATCH(WATCH_CALIBRATING, REG_SH, "calibrating", calibrating, "samples still wanted to measure it"),
	WATCH(WATCH_SCALED, REG_SH, "scaled", scaled, "the absence was measured, not given"),
	WATCH(0x40, REG_N, "samples", samples, "answers of the VMM"),
	WATCH(0x41, REG_N, "learnt", learnt, ".. that told something"),
	WATCH(0x42, REG_N, "lost", lost, ".. that were lost"),
	WATCH(0x43, REG_N, "suspicions", suspicions, "absences of a vCPU"),
	WATCH(0x44, REG_N, "mismatches", mismatches, "answers that were not expected"),
	{ .nr = 0x50, .size = 8, .flags = REG_N, .name = "vcpu[].answered", .off = offsetof(struct iofilter_ide, vcpus[0].answered),
	  .stride = sizeof(struct ide_vcpu), .elements = IOFILTER_MAX_VCPUS, .used = reg_not_zero, .meaning = "reads" },
	OWN(0x60, REG_SH, "cooperates", cooperates, 0, "the VMM gives and takes the channel"),
	OWN(0x61, REG_G, "given", given, 1, "the channel is the filter's"),
	OWN(0x62, REG_SH, "signals", signals, 0, "the filter raises the channel's interrupt"),
	OWN_HOT(0x63, REG_G, "pos", pos, IDE_OWN_DATA, "what the guest reads next: its place in the data", POS),
	OWN_HOT(0x64, REG_G, "begin", begin, IDE_OWN_DATA, "the block of this moment", BEGIN),
	OWN_HOT(0x65, REG_G, "end", end, IDE_OWN_DATA, ".. and its end", END),
	OWN(0x66, REG_G, "there", there, IDE_OWN_DATA, "so much data in all"),
	OWN(0x67, REG_G, "last", last, 0, "where the command's last sector will end"),
	DRIVE(0x70, "count", count, "sectors left of the command", COUNT),
	DRIVE(0x71, "features", features, "register", FEATURES),
	DRIVE(0x72, "lba_low", lba_low, "register", LBA_LOW),
	DRIVE(0x73, "lba_mid", lba_mid, "register", LBA_MID),
	DRIVE(0x74, "lba_high", lba_high, "register", LBA_HIGH),
	DRIVE(0x75, "device", device, "register", DEVICE),
	DRIVE(0x76, "hob_features", hob_features, "what was written before", HOB_FEATURES),
	DRIVE(0x77, "hob_count", hob_count, "likewise", HOB_COUNT),
	DRIVE(0x78, "hob_lba_low", hob_lba_low, "likewise", HOB_LBA_LOW),
	DRIVE(0x79, "hob_lba_mid", hob_lba_mid, "likewise", HOB_LBA_MID),
	DRIVE(0x7a, "hob_lba_high", hob_lba_high, "likewise", HOB_LBA_HIGH),
	OWN_HOT(0x80, REG_G, "status", c.status, 0, "of the master", STATUS),
	OWN(0x81, REG_G | REG_W, "error", c.error, 0, "of the master"),
	OWN_HOT(0x82, REG_G, "control", c.control, 0, "device control", CONTROL),
	OWN(0x83, REG_G, "unit", c.unit, 1, "the drive that is selected"),
	OWN(0x84, REG_G, "lba48", c.lba48, 1, "the kind of the command"),
	OWN_HOT(0x85, REG_G, "transfer", c.transfer, IDE_DATA_ANSWER, "0 no data, 1 in, 2 out, 3 an answer", TRANSFER),
	OWN(0x86, REG_G, "block", c.block, IDE_OWN_BLOCK, "sectors that go with one DRQ"),
	OWN_HOT(0x87, REG_G, "intrq", c.intrq, 1, "its level", INTRQ),
	OWN(0x88, REG_SH, "followed", followed, 0, "the VMM is told of what accesses change"),
	{ .nr = 0x90, .size = IDE_SECTOR, .flags = REG_G, .name = "own.data[]", .off = offsetof(struct iofilter_ide, own.data),
	  .stride = IDE_SECTOR, .elements = IDE_OWN_DATA / IDE_SECTOR, .used = sectors_used, .meaning = "sectors that the guest will read" },
	OWN(0xa0, REG_N, "gives", gives, 0, "times the channel was given"),
	OWN(0xa1, REG_N, "takes", takes, 0, ".. taken"),
	OWN(0xa2, REG_N, "sectors", sectors, 0, "sectors given ahead"),
	OWN(0xa3, REG_N, "refused", refused, 0, ".. and refused"),
	OWN(0xa4, REG_N, "interrupts", interrupts, 0, "raised by the filter"),
};

static int enter(void *state, bool change)
{
	struct iofilter_ide *ide = state;

	(void)change;
	if (iofilter_try_lock(&ide->own.lock))
		return -EBUSY;
	/* A string's vCPU goes on without the lock until it is through. */
	if (!iofilter_load(ide->own.string.left) || !ide->own.given) {
		if (!iofilter_try_lock(&ide->watch.lock))
			return 0;
	}
	iofilter_unlock(&ide->own.lock);
	return -EBUSY;
}

static void leave(void *state, bool change)
{
	struct iofilter_ide *ide = state;

	(void)change;
	iofilter_unlock(&ide->watch.lock);
	iofilter_unlock(&ide->own.lock);
}

static void break_lock(void *state)
{
	struct iofilter_ide *ide = state;

	reg_lock_dead(&ide->own.lock);
	/* A string whose count said more than it meant has ended long ago. */
	iofilter_store(ide->own.string.left, 0);
	reg_lock_dead(&ide->watch.lock);
	iofilter_store(ide->watch.missed, 1);
	iofilter_unlock(&ide->watch.lock);
	iofilter_unlock(&ide->own.lock);
}

static bool followed(const void *state)
{
	return iofilter_load(((const struct iofilter_ide *)state)->own.followed);
}

static void follow(void *state)
{
	iofilter_store(((struct iofilter_ide *)state)->own.followed, 1);
}

/* What another VMM's drive does now is not known. */
static void restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_ide *ide = state;

	ide_missed(&ide->watch, ctx->now);
	ide->own.string.left = 0;
}

const struct reg_set ide_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.followed = followed,
	.follow = follow,
	.changed_off = offsetof(struct iofilter_ide, own.changed),
	.changed_words = 1,
	.restored = restored,
};
