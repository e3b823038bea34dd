// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* A clock as registers: what it shows, who says so, and its lock. */
#include <iofilter/clockctl.h>
#include "reg.h"

__u64 reg_clock_time(const struct reg_at *at)
{
	const struct iofilter_clock *clk = at->place;
	__s64 virt;

	if (clk->mode == IOFILTER_CLOCK_STOPPED)
		return clk->stopped;
	virt = at->ctx->now + clk->lo;
	return clk->bounded || clk->mode == IOFILTER_CLOCK_OWNED ? (virt > 0 ? virt : 0) : 0;
}

__u64 reg_clock_mode(const struct reg_at *at)
{
	return ((const struct iofilter_clock *)at->place)->mode;
}

__u64 reg_clock_fuse(const struct reg_at *at)
{
	return ((const struct iofilter_clock *)at->place)->fuse;
}

void reg_clock_fuse_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_clock *clk = at->place;

	clk->fuse = val;
	/* Nobody looks at the fuse while it is. */
	clk->ready = 0;
	if (val)
		clk->proof = IOFILTER_FUSED;
	else if (clk->proof == IOFILTER_FUSED)
		clk->proof = IOFILTER_UNPROVEN;
}

void reg_clock_mode_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_clock *clk = at->place;
	const struct reg_ctx *ctx = at->ctx;
	__u64 virt = reg_clock_time(at);

	switch (val) {
	case IOFILTER_CLOCK_OWNED:
		iofilter_clockctl_owned(clk, ctx->now, virt - ctx->now);
		break;
	case IOFILTER_CLOCK_STOPPED:
		iofilter_clockctl_stopped(clk, virt);
		break;
	default:
		if (clk->mode >= IOFILTER_CLOCK_OWNED) {
			iofilter_clockctl_forget_bounds(clk);
			iofilter_clockctl_unproven(clk, ctx->now);
		}
		clk->need = clk->sign_at = ctx->now;
		clk->mode = val;
	}
}

/* Who sets a clock owns it. One that is to be proven is not set by a restore. */
void reg_clock_time_set(const struct reg_at *at, __u64 val)
{
	struct iofilter_clock *clk = at->place;
	const struct reg_ctx *ctx = at->ctx;

	if (clk->mode == IOFILTER_CLOCK_STOPPED || (clk->mode == IOFILTER_CLOCK_HELD && !ctx->restoring))
		iofilter_clockctl_stopped(clk, val);
	else if (clk->mode == IOFILTER_CLOCK_OWNED || !ctx->restoring)
		iofilter_clockctl_owned(clk, ctx->now, val - ctx->now);
}

/* Are the times that are restored those that every clock begins with? Versions before let others be set amid the calibration. */
static bool initial(const struct reg_at *at, __u16 n)
{
	const struct reg_values *v = at->ctx->restoring;

	return v && reg_will_be(v, n + REG_CLOCK_BRACKET, at->element, 0) == IOFILTER_BRACKET_NS &&
	       reg_will_be(v, n + REG_CLOCK_ABSENCE, at->element, 0) == IOFILTER_ABSENCE_NS &&
	       reg_will_be(v, n + REG_CLOCK_EXPIRY, at->element, 0) == IOFILTER_EXPIRY_NS;
}

static void give(struct iofilter_clock *clk, __u64 *time, const struct reg_at *at, __u16 n, __u64 val)
{
	if (reg_measured(at, n + REG_CLOCK_CALIBRATING, initial(at, n)))
		return;
	iofilter_store(*time, val);
	clk->calibrating = clk->scaled = 0;
}

/* A time that is given is not measured any more, as at an attach. */
#define GIVEN_SET(member, which)                                                                                             \
	void reg_clock_##member##_set(const struct reg_at *at, __u64 val)                                                     \
	{                                                                                                                     \
		struct iofilter_clock *clk = (void *)((char *)at->place - offsetof(struct iofilter_clock, member));           \
															      \
		give(clk, &clk->member, at, at->row->nr - (which), val);                                                      \
	}

GIVEN_SET(bracket, REG_CLOCK_BRACKET)
GIVEN_SET(absence, REG_CLOCK_ABSENCE)
GIVEN_SET(expiry, REG_CLOCK_EXPIRY)

const char *reg_clock_misfit(const struct iofilter_clock *clk, const struct reg_values *v, __u16 n, __u32 element)
{
	__u64 bracket = clk->bracket, expiry = clk->expiry, mode, time;
	bool given;

	/* Versions before have let it through, and what they have saved is put back. */
	if (v->restoring)
		return NULL;
	given = v->find(v->from, n + REG_CLOCK_BRACKET, element, &bracket);
	if ((v->find(v->from, n + REG_CLOCK_EXPIRY, element, &expiry) || given) && expiry < bracket)
		return LIB_EXPIRY_SHORT;
	mode = reg_will_be(v, n + REG_CLOCK_NR_MODE, element, IOFILTER_CLOCK_PROVE);
	if (mode >= IOFILTER_CLOCK_OWNED && clk->mode < IOFILTER_CLOCK_OWNED && !clk->bounded &&
	    !v->find(v->from, n + REG_CLOCK_NR_TIME, element, &time))
		return "clock.mode is 2 or 3 only together with clock.time, for what the clock shows is not known now";
	return NULL;
}

/* As readers take it: odd is the look itself. */
__u64 reg_clock_epoch(const struct reg_at *at)
{
	return iofilter_clock_epoch((void *)((char *)at->place - offsetof(struct iofilter_clock, epoch)));
}

int reg_clock_enter(struct iofilter_clock *clk, bool change)
{
	return change ? iofilter_clockctl_begin(clk) : iofilter_clockctl_look(clk);
}

void reg_clock_leave(struct iofilter_clock *clk, bool change)
{
	if (!change) {
		iofilter_clockctl_looked(clk, lib_now());
		return;
	}
	/* One that is proven shows that it is with its next sample. */
	clk->ready = clk->mode == IOFILTER_CLOCK_OWNED && clk->proof != IOFILTER_FUSED;
	iofilter_clockctl_end(clk);
}

void reg_clock_restored(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus, const struct reg_ctx *ctx)
{
	iofilter_clockctl_forget(clk, vcpus);
	clk->caught_up = 0;
	if (clk->mode < IOFILTER_CLOCK_OWNED)
		iofilter_clockctl_unproven(clk, ctx->now);
}
