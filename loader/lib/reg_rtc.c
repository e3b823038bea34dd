// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The registers of the RTC. Its programs take no lock. Those that are got belong together while nothing has been written, learnt or
 * forgotten. Those that are set belong to an epoch that is not there yet: all bytes are void (and the VMM's to answer), until it
 * begins.
 */
#include <iofilter/rtc_access.h>
#include "reg.h"

#define RTC(n, f, nm, member, m, text) REG_AT(n, f, nm, struct iofilter_rtc, member, m, text)
#define RTC_UNKNOWN 0x100

/*
 * A set begins in an epoch of this kind, two of them later, and makes the one in between the next: no other set has had that, and nobody
 * else gets there, for who forgets something counts by one.
 */
#define EPOCH (1ULL << 24)

static __u64 epoch_begun(const struct iofilter_rtc *r)
{
	return iofilter_load(r->epoch) & ~(EPOCH - 1);
}

static __u64 index_get(const struct reg_at *at)
{
	__u64 index = iofilter_load(((const struct iofilter_rtc *)at->state)->index);

	return index & RTC_INDEX_KNOWN ? index & (RTC_NR_REGS - 1) : RTC_UNKNOWN;
}

static __u64 cell_get(const struct reg_at *at)
{
	const struct iofilter_rtc *r = at->state;
	const struct rtc_cell *c = &r->cells[at->element];
	__u64 since = iofilter_load(c->at), word;

	iofilter_barrier();
	word = iofilter_load(c->word);
	iofilter_barrier();
	if (!since || iofilter_load(c->at) != since || word >> 8 != iofilter_load(r->epoch) || at->ctx->now - since > r->expiry)
		return RTC_UNKNOWN;
	return word & 0xff;
}

/*
 * As rtc_sample_answer(): the VMM would answer so now. It may have got a write of which the filter was not told, or a reset, before it was
 * saved; so a restore leaves this to be learnt anew, as an absence does.
 */
static void cell_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_rtc *r = at->state;
	struct rtc_cell *c = &r->cells[at->element];
	__u64 epoch = epoch_begun(r) + EPOCH;

	iofilter_store(c->at, 0);
	iofilter_barrier();
	if (val == RTC_UNKNOWN)
		return;
	iofilter_store(c->word, epoch << 8 | val);
	iofilter_barrier();
	iofilter_store(c->at, at->ctx->now);
}

enum { RTC_CALIBRATING = 0x33, RTC_SCALED };

/* One that is given is not measured any more, as at an attach. */
static void absence_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_rtc *r = at->state;

	if (reg_measured(at, RTC_CALIBRATING, val == IOFILTER_ABSENCE_NS))
		return;
	iofilter_store(r->absence, val);
	r->calibrating = r->scaled = 0;
}

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_rtc, head),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_rtc, verdicts, , 0, "accesses by what became of them"),
	RTC(0x14, REG_N, "samples", samples, 0, "answers of the VMM"),
	RTC(0x15, REG_N, "learnt", learnt, 0, ".. that are known since"),
	RTC(0x16, REG_N, "lost", lost, 0, ".. that were lost"),
	RTC(0x17, REG_N, "suspicions", suspicions, 0, "absences of a vCPU"),
	RTC(0x18, REG_N, "changes", changes, 0, "registers that changed by themselves"),
	{ .nr = 0x20, .size = 2, .flags = REG_SH, .name = "index", .off = offsetof(struct iofilter_rtc, index), .elements = 1,
	  .get = index_get, .meaning = "written to port 0x70; 0x100: not known" },
	{ .nr = 0x21, .size = 2, .flags = REG_SH | REG_W, .name = "cmos[]", .off = offsetof(struct iofilter_rtc, cells),
	  .stride = sizeof(struct rtc_cell), .elements = RTC_NR_REGS, .max = RTC_UNKNOWN, .get = cell_get, .set = cell_set,
	  .meaning = "the VMM's newest answer, as long as it is good; 0x100: not known" },
	REG_EACH(0x22, REG_S, "changed[]", struct iofilter_rtc, changed, , 0, "registers that changed by themselves, a bit each: never answered"),
	RTC(0x23, REG_SH, "epoch", epoch, 0, "times all bytes were forgotten"),
	RTC(0x24, REG_SH, "version", version, 0, "times something that was asked for was not learnt"),
	RTC(0x25, REG_SH, "writes", writes, 0, "writes to the index"),
	RTC(0x26, REG_SH | IOFILTER_REG_SIGNED, "flying", flying, 0, ".. not known to be done"),
	RTC(0x27, REG_S, "fuse", fuse, 0, "0 whole; 1 wrong model"),
	RTC(0x28, REG_SH, "blind", blind, 0, "a vCPU beyond the table has written"),
	{ .nr = 0x30, .size = 8, .flags = REG_S | REG_W, .name = "absence", .off = offsetof(struct iofilter_rtc, absence), .elements = 1,
	  .min = 1, .max = LIB_TIME_MAX, .set = absence_set, .meaning = "ns: out of KVM for less is no pause" },
	{ .nr = 0x31, .size = 8, .flags = REG_S | REG_W, .name = "expiry", .off = offsetof(struct iofilter_rtc, expiry), .elements = 1,
	  .min = 1, .max = LIB_TIME_MAX, .meaning = "ns: for so long an answer is good" },
	RTC(0x32, REG_SH, "best_bracket", best_bracket, 0, "ns: the shortest round trip seen"),
	RTC(RTC_CALIBRATING, REG_SH, "calibrating", calibrating, 0, "samples still wanted to measure it"),
	RTC(RTC_SCALED, REG_SH, "scaled", scaled, 0, "the absence was measured, not given"),
	RTC(0x35, REG_T, "last_sample_at", last_sample_at, 0, "the newest answer of the VMM"),
	RTC(0x40, REG_SH, "time.valid", time.valid, 0, "the VMM publishes the time"),
	RTC(0x41, REG_T, "time.second_at", time.second_at, 0, "a second began ns"),
	RTC(0x42, REG_SH, "time.time", time.time, 0, ".. which was this one of its day"),
	RTC(0x43, REG_SH, "time.reg_a", time.reg_a, 0, "register A without UIP"),
	RTC(0x44, REG_SH, "time.reg_b", time.reg_b, 0, "register B"),
	RTC(0x45, REG_SH, "time.day_of_week", time.day_of_week, 0, "as the register"),
	RTC(0x46, REG_SH, "time.date_of_month", time.date_of_month, 0, "as the register"),
	RTC(0x47, REG_SH, "time.month", time.month, 0, "as the register"),
	RTC(0x48, REG_SH, "time.year", time.year, 0, "as the register"),
	RTC(0x49, REG_SH, "time.century", time.century, 0, "as the register"),
	{ .nr = 0x50, .size = 8, .flags = REG_N, .name = "vcpu[].answered", .off = offsetof(struct iofilter_rtc, vcpus[0].answered),
	  .stride = sizeof(struct rtc_vcpu), .elements = IOFILTER_MAX_VCPUS, .used = reg_not_zero, .meaning = "reads" },
};

/* Nothing is locked. A guest's write that is under way meanwhile voids what is set when it is done. */
static int enter(void *state, bool change)
{
	struct iofilter_rtc *r = state;
	__u64 epoch = iofilter_load(r->epoch);

	while (change && !__atomic_compare_exchange_n(&r->epoch, &epoch, (epoch & ~(EPOCH - 1)) + 2 * EPOCH, false, __ATOMIC_SEQ_CST,
						      __ATOMIC_SEQ_CST))
		;
	return 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_rtc *r = state;
	__u64 begun = epoch_begun(r);

	if (!change)
		return;
	/* Unless something was forgotten meanwhile, and what was set with it. */
	__sync_bool_compare_and_swap(&r->epoch, begun, begun + EPOCH);
	rtc_version(r);
}

static void break_lock(void *state)
{
	(void)state;
}

/* All of them only grow. */
static __u64 generation(const void *state)
{
	const struct iofilter_rtc *r = state;

	return iofilter_load(r->epoch) + iofilter_load(r->version) + iofilter_load(r->writes) + iofilter_load(r->learnt) +
	       iofilter_load(r->time.seq);
}

static void restored(void *state, const struct reg_ctx *ctx)
{
	(void)ctx;
	/* Whatever was written to the index then, and whoever is in between: */
	rtc_lose_index(state);
}

const struct reg_set rtc_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.generation = generation,
	.restored = restored,
};
