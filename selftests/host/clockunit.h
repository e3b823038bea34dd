/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One clock under test, driven by hand. Times are us since BASE on the host's clock; values are the us that the VMM's
 * clock shows at them, so with O = 0 a value is the time at which it was taken.
 */
#ifndef SELFTESTS_CLOCKUNIT_H
#define SELFTESTS_CLOCKUNIT_H

#include <stdbool.h>
#include "host.h"
#include <iofilter/clock_sample.h>
#include <iofilter/pmtimer.h>

#define BASE_US 1e11
#define W	40.0
#define D	100.0
#define E	2000.0

struct unit {
	bool slow; /* never take the short way */
	struct iofilter_clock clk;
	struct iofilter_vcpu vcpus[IOFILTER_MAX_VCPUS];
};

static inline struct unit *unit_new(void)
{
	struct unit *u = calloc(1, sizeof(*u));

	assert_non_null(u);
	u->clk = (struct iofilter_clock){
		.freq = PMTIMER_HZ,
		.width = PMTIMER_WIDTH,
		.bracket = IOFILTER_BRACKET_NS,
		.absence = IOFILTER_ABSENCE_NS,
		.expiry = IOFILTER_EXPIRY_NS,
	};
	return u;
}

static inline __u64 ns(double us)
{
	return (__u64)((BASE_US + us) * 1000);
}

/* The counter's full value when the VMM's clock shows @us. */
static inline __u64 ticks(double us)
{
	return (unsigned __int128)ns(us) * PMTIMER_HZ / IOFILTER_NSEC_PER_SEC;
}

/* The us that an answer means: the nearest to @near with these 24 bits. The first moment of its tick. */
static inline double value_us(__u64 val, double near)
{
	__s64 diff = (__s64)((val - ticks(near)) << 40) >> 40;

	return (ticks(near) + diff) * 1e6 / PMTIMER_HZ - BASE_US;
}

static inline void sample(struct unit *u, int vcpu, double t0, double t1, double v)
{
	iofilter_clock_sample(&u->clk, u->vcpus, ns(t0), ns(t1), ticks(v) & 0xffffff, vcpu);
}

struct answer {
	enum iofilter_verdict verdict;
	double us;    /* of an answer */
	double delay; /* with a punt */
};

/* What the programs do on a read (bpf/counter.bpf.h): the short way if nothing is unusual, else the long one. */
static inline enum iofilter_verdict unit_read(struct unit *u, int vcpu, __u64 now, __u64 away, int busy, __u64 *delay,
					      __u64 *virt)
{
	struct iofilter_vcpu *v = &u->vcpus[vcpu];

	*delay = 0;
	if (!u->slow && !away && !busy && !iofilter_clock_quick(&u->clk, v, now, virt))
		return IOFILTER_ANSWERED;
	if (iofilter_clock_enter(&u->clk, vcpu))
		return IOFILTER_PUNT_VCPU;
	if (away)
		iofilter_clock_seen(&u->clk, v, now, away);
	return iofilter_clock_read(&u->clk, u->vcpus, v, now, busy, delay, virt);
}

static inline struct answer rd(struct unit *u, int vcpu, double now, double away)
{
	struct answer a = { .us = -1e18 };
	__u64 delay = 0, virt = 0;

	a.verdict = unit_read(u, vcpu, ns(now), away * 1000, 0, &delay, &virt);
	if (a.verdict == IOFILTER_ANSWERED)
		a.us = value_us(iofilter_clock_value(&u->clk, virt), now);
	a.delay = delay / 1000.0;
	return a;
}

/* Proven, O in [-5, 0.3], by three samples that end at @t; the first 8 vCPUs have had one of their own. */
static inline void prove(struct unit *u, double t)
{
	int i;

	for (i = 0; i < 8; i++)
		assert_int_equal(iofilter_clock_enter(&u->clk, i), 0);
	for (i = 7; i >= 0; i--)
		sample(u, i, t - 5 - i * 10, t - i * 10, t - 5 - i * 10);
	assert_int_equal(u->clk.proof, IOFILTER_PROVEN);
	assert_int_equal(u->clk.ready, 1);
}

#endif /* SELFTESTS_CLOCKUNIT_H */
