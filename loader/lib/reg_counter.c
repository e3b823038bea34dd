// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The registers of a free-running counter: PM timer, and HPET. Both under the lock of the clock. */
#include <iofilter/clockctl.h>
#include <iofilter/hpet.h>
#include "reg.h"

static __u32 counter_vcpus(const struct reg_row *row, const void *state)
{
	const struct iofilter_counter *c = state;

	(void)row;
	return iofilter_load(c->clock.nr_vcpus);
}

/* A counter's clock is no array: an array of one, so that the same rows fit. */
struct one_counter {
	struct iofilter_counter each[1];
};

#define COUNTER_ROWS                                                                                                         \
	REG_HEAD_ROWS(struct iofilter_counter, head),                                                                        \
	REG_AT(0x10, REG_C, "addr", struct iofilter_counter, addr, 0, "port or guest physical address"),                     \
	REG_AT(0x11, REG_C, "len", struct iofilter_counter, len, 0, "bytes of an access"),                                   \
	REG_AT(0x12, REG_C, "bus", struct iofilter_counter, bus, 0, "0 MMIO, 1 PIO"),                                        \
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_counter, verdicts, , 0, "accesses by what became of them"),      \
	REG_CLOCK_MODE(0x20, "clock.", struct one_counter, each),                                                            \
	REG_CLOCK_TIME(0x20, "clock.", struct one_counter, each),                                             \
	REG_CLOCK_FUSE(0x20, "clock.", struct one_counter, each),                                                            \
	REG_CLOCK_ROWS(0x20, "clock.", struct one_counter, each),                                                            \
	REG_VCPU(0x50, REG_N, "vcpu[].answered", vcpus, answered, "reads"),                                                  \
	REG_VCPU(0x51, REG_SH, "vcpu[].last", vcpus, last, "virtual ns of its newest answer; 0: none"),                      \
	REG_VCPU(0x52, REG_SH, "vcpu[].trusted", vcpus, trusted, "it is answered: it was not out of KVM for long")

#define REG_VCPU(n, f, nm, array, member, text)                                                                              \
	{ .nr = (n), .size = sizeof(((struct iofilter_vcpu *)0)->member), .flags = (f), .name = (nm),                        \
	  .off = offsetof(struct iofilter_counter, array[0].member), .stride = sizeof(struct iofilter_vcpu),                 \
	  .elements = IOFILTER_MAX_VCPUS, .meaning = (text), .used = counter_vcpus }

static int counter_enter(void *state, bool change)
{
	return reg_clock_enter(&((struct iofilter_counter *)state)->clock, change);
}

static void counter_leave(void *state, bool change)
{
	reg_clock_leave(&((struct iofilter_counter *)state)->clock, change);
}

static void counter_break(void *state)
{
	iofilter_clockctl_break(&((struct iofilter_counter *)state)->clock, lib_now());
}

static const char *counter_misfit(void *state, const struct reg_values *v)
{
	return reg_clock_misfit(&((struct iofilter_counter *)state)->clock, v, 0x20, 0);
}

static void counter_restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_counter *c = state;

	reg_clock_restored(&c->clock, c->vcpus, ctx);
}

static const struct reg_row pmtimer_rows[] = { COUNTER_ROWS };

const struct reg_set pmtimer_regs = {
	.rows = pmtimer_rows,
	.nr = sizeof(pmtimer_rows) / sizeof(pmtimer_rows[0]),
	.enter = counter_enter,
	.leave = counter_leave,
	.break_lock = counter_break,
	.restored = counter_restored,
	.misfit = counter_misfit,
};

/*
 * A general register is what the VMM has answered, for as long as an answer is good for. Setting one says that the VMM would answer so
 * now; a read of 8 bytes needs both halves. A restore does not: the VMM may have got a write of which the filter was not told before it was
 * saved.
 */
#define HPET_UNKNOWN (1ULL << 32)

static __u64 hpet_reg(const struct reg_at *at)
{
	const struct iofilter_hpet *h = at->state;
	__u64 since = iofilter_load(h->regs_at[at->element]);

	return since && at->ctx->now - since <= h->counter.clock.expiry ? h->regs[at->element] : HPET_UNKNOWN;
}

static void hpet_reg_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_hpet *h = at->state;

	iofilter_store(h->regs_at[at->element], 0);
	iofilter_barrier();
	iofilter_store(h->regs[at->element], val);
	iofilter_barrier();
	iofilter_store(h->regs_at[at->element], val == HPET_UNKNOWN ? 0 : at->ctx->now);
}

static int hpet_enter(void *state, bool change)
{
	struct iofilter_hpet *h = state;
	int i, err = reg_clock_enter(&h->counter.clock, change);

	/* Readers look at these without a lock: from now on, and until they are set or answered anew, they are the VMM's. */
	for (i = 0; !err && change && i < HPET_NR_REGS; i++)
		iofilter_store(h->regs_at[i], 0);
	return err;
}

static void hpet_restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_hpet *h = state;

	reg_clock_restored(&h->counter.clock, h->counter.vcpus, ctx);
	h->high_epoch = 1; /* no epoch that a reader sees is odd */
	h->restart = 0;
	h->doubted = 1;
	h->changed_at = h->written_at = 0;
	h->has_shown = 0;
}

static const struct reg_row hpet_rows[] = {
	COUNTER_ROWS,
	REG_AT(0x60, REG_C, "base", struct iofilter_hpet, base, 0, "guest physical address"),
	{ .nr = 0x61, .size = 8, .flags = REG_SH | REG_W, .name = "general[]", .off = offsetof(struct iofilter_hpet, regs), .stride = 4,
	  .elements = HPET_NR_REGS, .max = HPET_UNKNOWN, .get = hpet_reg, .set = hpet_reg_set,
	  .meaning = "GCAP_ID, its high half, GEN_CONF, its high half; 0x100000000: not known" },
	REG_AT(0x62, REG_SH, "high", struct iofilter_hpet, high, 0, "the counter's high half, less that of the clock's ticks"),
	REG_AT(0x63, REG_SH, "high_epoch", struct iofilter_hpet, high_epoch, 0, "clock.epoch for which high holds; odd: none"),
	REG_AT(0x64, REG_SH, "restart", struct iofilter_hpet, restart, 0, "what is known of the clock is void"),
	REG_AT(0x65, REG_SH, "doubted", struct iofilter_hpet, doubted, 0, "the proof is to be made anew"),
	REG_AT(0x66, REG_T, "changed_at", struct iofilter_hpet, changed_at, 0, "the newest write was done"),
	REG_AT(0x67, REG_T, "written_at", struct iofilter_hpet, written_at, 0, "it began"),
	REG_AT(0x68, REG_T, "shown_at", struct iofilter_hpet, shown_at, 0, "since when the VMM has shown shown"),
	REG_AT(0x69, REG_SH, "shown", struct iofilter_hpet, shown, 0, "the counter's low half"),
	REG_AT(0x6a, REG_SH, "has_shown", struct iofilter_hpet, has_shown, 0, ".. means something"),
};

const struct reg_set hpet_regs = {
	.rows = hpet_rows,
	.nr = sizeof(hpet_rows) / sizeof(hpet_rows[0]),
	.enter = hpet_enter,
	.leave = counter_leave,
	.break_lock = counter_break,
	.restored = hpet_restored,
	.misfit = counter_misfit,
};
