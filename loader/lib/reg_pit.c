// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The registers of the PIT, under its lock. */
#include <iofilter/pit_access.h>
#include "reg.h"

#define PIT_REG(n, f, nm, member, m, text) REG_AT(n, f, nm, struct iofilter_pit, member, m, text)
#define HOT(n, nm, member, m, text, bit) \
	REG_EACH_HOT(n, REG_G | REG_W, "channel[]." nm, struct iofilter_pit, channels, .member, m, text, (bit) + 1)
#define CHANNEL(n, f, nm, member, m, text) REG_EACH(n, f, "channel[]." nm, struct iofilter_pit, channels, .member, m, text)
/* What the guest has programmed, as the VMM has it. */
#define PROGRAM(n, nm, member, m, text)                                                                                            \
	{ .nr = (n), .size = sizeof(((struct pit_channel *)0)->member), .flags = REG_S | REG_W, .name = "channel[]." nm,               \
	  .off = offsetof(struct iofilter_pit, channels[0].member), .stride = sizeof(struct pit_channel), .elements = PIT_CHANNELS, \
	  .max = (m), .set = program_set_##member, .meaning = (text) }

/*
 * When the count was loaded is not known: answers of the VMM will tell where in its period it is, and make new bounds. (Without any they
 * tell nothing, and only a load would.)
 */
static void find_anew(struct pit_channel *c)
{
	pit_clock_doubt(c);
	c->misses = 0;
	c->clock.hi = c->clock.lo;
	c->clock.bounded = 1;
}

#define PROGRAM_SET(member)                                                                  \
	static void program_set_##member(const struct reg_at *at, __u64 val)                  \
	{                                                                                     \
		struct pit_channel *c = &((struct iofilter_pit *)at->state)->channels[at->element]; \
											      \
		c->member = val;                                                              \
		find_anew(c);                                                                 \
	}

PROGRAM_SET(count)
PROGRAM_SET(programmed)
PROGRAM_SET(rw)
PROGRAM_SET(mode)
PROGRAM_SET(bcd)
PROGRAM_SET(write_state)
PROGRAM_SET(write_latch)
PROGRAM_SET(states)

/* The rest of a pair is answered from it, proven or not. */
static __u64 channel_time(const struct reg_at *at)
{
	const struct iofilter_pit *p = at->state;
	__s64 virt = at->ctx->now + ((const struct iofilter_clock *)at->place)->lo;

	return p->channels[at->element].count && virt > 0 ? virt : 0;
}

static void channel_time_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_clock *clk = at->place;

	clk->lo = clk->hi = val - at->ctx->now;
	clk->bounded = 0;
	iofilter_clock_unprove(clk);
}

/* The second of two reads of port 0x61 has to be answered, too, by the best bounds that there are. */
#define SLACK_UNKNOWN (1ULL << 62)

static __u64 channel_slack(const struct reg_at *at)
{
	const struct pit_channel *c = &((const struct iofilter_pit *)at->state)->channels[at->element];

	/* Made from where in its period the count was, they say nothing of the output: pit_out_forced(). */
	if (!c->clock.bounded || (c->phase_only && !c->renew))
		return SLACK_UNKNOWN;
	return c->clock.hi - c->clock.lo;
}

static void channel_slack_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_clock *clk = at->place;

	clk->bounded = val != SLACK_UNKNOWN;
	clk->hi = clk->lo + (clk->bounded ? val : 0);
}

enum { COUNT = 0x40, PROGRAMMED, RW, WRITE_STATE = 0x45 };

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_pit, head),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_pit, verdicts, , 0, "accesses by what became of them"),
	PIT_REG(0x14, REG_N, "answered", answered, 0, "reads"),
	PIT_REG(0x15, REG_N, "commands", commands, 0, "latch commands and read-backs that were carried out here"),
	PIT_REG(0x16, REG_N, "cuts", cuts, 0, "reads of port 0x61 after which bit 4 was repeated once"),
	PIT_REG(0x17, REG_N, "conflicts", conflicts, 0, "accesses of several vCPUs whose order is not known"),
	PIT_REG(0x18, REG_N, "forgotten", forgotten, 0, "times a channel became unknown"),
	PIT_REG(0x20, REG_SH, "attention", attention, 0, "1 confused, 2 held, 4 doubted, 8 followed"),
	PIT_REG(0x21, REG_SH, "blind", blind, 0, "a vCPU beyond the table uses the device"),
	PIT_REG(0x22, REG_SH, "entered", entered, 0, "vCPUs below it are in all tables"),
	PIT_REG(0x23, REG_SH, "nr_reads", nr_reads, 0, "reads at the VMM"),
	PIT_REG(0x24, REG_SH, "nr_writes", nr_writes, 0, "writes at the VMM"),
	PIT_REG(0x28, REG_S | REG_W, "port61.gate", gate, PIT_UNKNOWN, "bit 0; 2: not known"),
	PIT_REG(0x29, REG_S | REG_W, "port61.data", data, PIT_UNKNOWN, "bit 1; 2: not known"),
	PIT_REG(0x2a, REG_S | REG_W, "port61.toggle", toggle, PIT_UNKNOWN, "bit 4 of the VMM's newest answer; 2: not known"),
	REG_AT_HOT(0x2b, REG_G | REG_W, "port61.odd", struct iofilter_pit, odd, 1,
		   "an odd number of reads was answered since: bit 4 is the opposite", PIT_HOT_ODD + 1),
	PIT_REG(0x2c, REG_SH, "port61.gate_old", gate_old, 0, "a reset may have cleared the gate since it was seen"),
	PIT_REG(0x2d, REG_S, "port61.toggles", toggles, 0, "reads in a row that have inverted bit 4"),
	PIT_REG(0x2e, REG_S, "port61.toggle_misses", toggle_misses, 0, "reads that have not"),
	PROGRAM(COUNT, "count", count, PIT_COUNT_MAX, "1 .. 65536; 0: not known"),
	PROGRAM(PROGRAMMED, "programmed", programmed, 1, "rw, mode and bcd are known"),
	PROGRAM(RW, "rw", rw, 3, "1 LSB, 2 MSB, 3 LSB then MSB"),
	PROGRAM(0x43, "mode", mode, 7, "of the control word"),
	PROGRAM(0x44, "bcd", bcd, 1, "of the control word"),
	PROGRAM(WRITE_STATE, "write_state", write_state, PIT_WORD_MSB, "the next byte of a count: 1 LSB, 2 MSB, 3 and 4 of a word"),
	PROGRAM(0x46, "write_latch", write_latch, 0, "LSB of a word of which the MSB is to come"),
	PROGRAM(0x47, "states", states, 0, "in which the VMM's flip-flop and latches may be, a bit each"),
	CHANNEL(0x48, REG_SH, "loading", loading, 0, "a load is on its way to the VMM"),
	CHANNEL(0x49, REG_T, "load_at", load_at, 0, "it began"),
	CHANNEL(0x4a, REG_T, "latch_at", latch_at, 0, "the VMM has latched a count, not earlier"),
	CHANNEL(0x4b, REG_T, "latch_end", latch_end, 0, ".. and not later; 0: not known yet"),
	CHANNEL(0x4c, REG_SH, "latch_lsb", latch_lsb, 0, "the byte of it already read, + 1"),
	CHANNEL(0x4d, REG_N, "cuts", cuts, 0, "sequences that could not be ended here"),
	CHANNEL(0x4e, REG_SH, "polls", polls, 0, "unlatched pairs, each shortly after the other"),
	CHANNEL(0x4f, REG_SH, "phase_only", phase_only, 0, "not known how many periods have passed"),
	CHANNEL(0x50, REG_SH, "mode_old", mode_old, 0, "a reset may have changed the mode"),
	CHANNEL(0x51, REG_SH, "count_old", count_old, 0, "a reset may have changed the count"),
	CHANNEL(0x52, REG_SH, "renew", renew, 0, "the next word makes new bounds"),
	CHANNEL(0x53, REG_SH, "misses", misses, 0, "jumps of the count in a row"),
	HOT(0x60, "pair", pair, 1, "the LSB of an unlatched pair was answered, the MSB is next", PIT_HOT_PAIR),
	HOT(0x61, "latched", latched, PIT_RW_WORD, "bytes of the latch still to be read: 1 LSB, 2 MSB, 3 both", PIT_HOT_LATCHED),
	HOT(0x62, "latch", latch, 0, "the latched count", PIT_HOT_LATCH),
	HOT(0x63, "status_latched", status_latched, 1, "a status is latched", PIT_HOT_STATUS_LATCHED),
	HOT(0x64, "status", status, 0, "the latched status", PIT_HOT_STATUS),
	REG_CLOCK_OF(0x71, 8, REG_G, "channel[].clock.time", struct iofilter_pit, channels, 0, channel_time,
		     "ns since the load, at this moment"),
	REG_CLOCK_FUSE(0x70, "channel[].clock.", struct iofilter_pit, channels),
	REG_CLOCK_OF(0x73, 8, REG_G, "channel[].clock.slack", struct iofilter_pit, channels, SLACK_UNKNOWN, channel_slack,
		     "ns that it may be more; 1 << 62: nothing is known of it"),
	REG_CLOCK_ROWS(0x70, "channel[].clock.", struct iofilter_pit, channels),
};

static int enter(void *state, bool change)
{
	struct iofilter_pit *p = state;
	int i;

	(void)change;
	if (iofilter_try_lock(&p->lock))
		return -EBUSY;
	if (!(iofilter_load(p->attention) & PIT_CONFUSED))
		return 0;
	pit_confused(p);
	p->head.in_flight = p->odd;
	for (i = 0; i < PIT_CHANNELS; i++)
		p->head.in_flight += pit_in_flight(&p->channels[i]);
	return 0;
}

/* What follows from what was set. */
static void check(struct pit_channel *c)
{
	if (!c->rw || !c->write_state)
		c->programmed = 0;
	if (!c->programmed)
		c->count = 0;
	if (c->count) {
		c->period_ns = iofilter_ticks_to_ns(pit_period(c->mode, c->count), PIT_HZ);
		c->count_ns = iofilter_ticks_to_ns(c->count, PIT_HZ);
	}
	c->base = 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_pit *p = state;
	int i;

	for (i = 0; change && i < PIT_CHANNELS; i++)
		check(&p->channels[i]);
	/* What was set here the guest has not changed. */
	if (change)
		pit_told(p);
	/* After a look, too: who enters may have had to forget a channel, and the quick path asks nothing but what this leaves. */
	pit_leave(p);
}

static void break_lock(void *state)
{
	struct iofilter_pit *p = state;

	/* What was half set is not what the guest has. */
	__sync_fetch_and_or(&p->attention, PIT_CONFUSED);
	iofilter_unlock(&p->lock);
}

/* In a saved state it may be made right (check()). */
static const char *program_misfit(const struct pit_channel *c, const struct reg_values *v, __u32 channel)
{
	__u64 val;
	bool known;

	if (v->restoring)
		return NULL;
	known = reg_will_be(v, RW, channel, c->rw) && reg_will_be(v, WRITE_STATE, channel, c->write_state);
	if (!known && v->find(v->from, PROGRAMMED, channel, &val) && val)
		return "channel[].programmed of pit is 0 as long as rw or write_state is";
	if ((!known || !reg_will_be(v, PROGRAMMED, channel, c->programmed)) && v->find(v->from, COUNT, channel, &val) && val)
		return "channel[].count of pit is 0 as long as the channel is not programmed";
	return NULL;
}

static const char *misfit(void *state, const struct reg_values *v)
{
	const struct iofilter_pit *p = state;
	const char *why = NULL;
	__u32 i;

	for (i = 0; !why && i < PIT_CHANNELS; i++) {
		why = reg_clock_misfit(&p->channels[i].clock, v, 0x70, i);
		if (!why)
			why = program_misfit(&p->channels[i], v, i);
	}
	return why;
}

static bool followed(const void *state)
{
	return iofilter_load(((const struct iofilter_pit *)state)->attention) & PIT_FOLLOWED;
}

static void follow(void *state)
{
	struct iofilter_pit *p = state;

	pit_told(p);
	__sync_fetch_and_or(&p->attention, PIT_FOLLOWED);
}

/* Where a count is by now the VMM's answers tell, as after a stop. */
static void restored(void *state, const struct reg_ctx *ctx)
{
	struct iofilter_pit *p = state;
	int i;

	p->open_kind = PIT_NOTHING;
	p->gate_old = 1;
	/* Writes of this run, which the VMM may or may not have. */
	if (p->nr_writes)
		pit_confused(p);
	for (i = 0; i < PIT_CHANNELS; i++) {
		struct pit_channel *c = &p->channels[i];
		__u32 bounded = c->clock.bounded;

		c->loading = 0;
		c->latch_at = c->latch_end = 0;
		c->latch_lsb = 0;
		c->polls = c->misses = 0;
		reg_clock_restored(&c->clock, c->vcpus, ctx);
		pit_clock_doubt(c);
		/* As after an absence: for what has to be answered, and until a word makes new ones. */
		c->clock.bounded = bounded;
		/* Nothing is known of its time but that it counts: any word may make bounds, and nothing is answered by these. */
		if (!bounded && c->count) {
			c->clock.hi = c->clock.lo + (1LL << 50);
			c->clock.bounded = IOFILTER_BOUNDED;
		}
	}
}

const struct reg_set pit_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.followed = followed,
	.follow = follow,
	.changed_off = offsetof(struct iofilter_pit, changed),
	.changed_words = 1,
	.restored = restored,
	.misfit = misfit,
};
