// SPDX-License-Identifier: GPL-2.0
/*
 * What the clock must decide, as rows: the VMM's answers that are folded in, and reads with the outcome that is allowed.
 * Every case begins proven, O in [-5, 0.3], E, D and W as in clockunit.h, all times in us. One tick is 0.28 us.
 */
#include "clockunit.h"

enum op { END, SAMPLE, LOST, READ, BUSY };

struct row {
	enum op op;
	int vcpu;
	double a, b, c; /* SAMPLE: t0, t1, value. READ: now, away. LOST: now */
	enum iofilter_verdict verdict;
	double lo, hi; /* READ: allowed value, or delay of a punt */
};

#define S(vcpu, t0, t1, v)		{ SAMPLE, vcpu, t0, t1, v, 0, 0, 0 }
#define L(now)				{ LOST, 0, now, 0, 0, 0, 0, 0 }
#define ANSWER(vcpu, now, lo, hi)	{ READ, vcpu, now, 0, 0, IOFILTER_ANSWERED, lo, hi }
#define PUNT(vcpu, now, away, why, lo, hi) { READ, vcpu, now, away, 0, IOFILTER_PUNT_##why, lo, hi }

/* Names: A is vCPU 0, B is 1, C is 2. */
static const struct {
	const char *name;
	struct row rows[16];
} cases[] = {
	{ "lower bound: never ahead, behind by no more than the bounds are apart", {
		ANSWER(0, 50, 44.6, 45), ANSWER(1, 50, 44.6, 45), ANSWER(1, 1000, 994.6, 995) } },
	{ "intersection: a tighter sample raises the lower bound", {
		S(0, 100, 102, 101), ANSWER(0, 102, 100.6, 101) } },
	{ "intersection: a looser sample changes nothing", {
		S(0, 100, 130, 110), ANSWER(0, 130, 124.6, 125) } },
	{ "T1 an answer that another vCPU consumed is folded in before B is answered", {
		S(0, 100, 104, 102), ANSWER(1, 104, 101.7, 104) } },
	{ "T1 a reader that entered before the settling is answered for its time", {
		S(0, 100, 104, 103.5), ANSWER(1, 103, 103.2, 104) } },
	{ "T2 an answer still in the VMM orders nothing", {
		ANSWER(1, 104, 98.6, 99) } },
	{ "T3 after a lost answer all punt until a newer one is settled", {
		L(104), PUNT(1, 105, 0, BUSY, 0, 0), PUNT(2, 106, 0, BUSY, 0, 0),
		S(3, 103, 107, 104), PUNT(1, 108, 0, BUSY, 0, 0),
		S(1, 105, 109, 107), ANSWER(2, 109, 106.7, 109) } },
	{ "T5 a stale proof is audited, never answered from", {
		ANSWER(0, 1, -4.4, -4), PUNT(0, 20000, 0, AUDIT, 0, 0), S(0, 20000, 20005, 20002),
		ANSWER(0, 20006, 20002.7, 20006) } },
	{ "expiry: one reader draws the audit, the others go on, past twice the expiry all punt", {
		ANSWER(0, 1990, 1984.6, 1985), PUNT(0, 2010, 0, AUDIT, 0, 0), ANSWER(1, 2011, 2005.6, 2006),
		ANSWER(2, 2400, 2394.6, 2395), PUNT(2, 2520, 0, AUDIT, 0, 0), PUNT(1, 4001, 0, AUDIT, 0, 0),
		PUNT(2, 4002, 0, AUDIT, 0, 0) } },
	{ "T6 a suspect waits for what was answered, to the end, then punts", {
		ANSWER(0, 1500, 1494.6, 1495), PUNT(0, 20000, 18000, SUSPECT, 1500, 1600),
		PUNT(0, 20001, 0, SUSPECT, 1500, 1600), S(0, 20001, 20005, 20003), ANSWER(0, 20005, 20002.7, 20005) } },
	{ "T6 the wait is never longer than two expiries", {
		ANSWER(0, 1990, 1984.6, 1985), PUNT(0, 2010, 0, AUDIT, 0, 0), ANSWER(0, 2400, 2394.6, 2395),
		PUNT(0, 2900, 0, AUDIT, 0, 0), ANSWER(0, 3390, 3384.6, 3385), PUNT(0, 3410, 0, AUDIT, 0, 0),
		PUNT(0, 3950, 0, AUDIT, 0, 0), ANSWER(0, 3994, 3988.6, 3989), PUNT(0, 9000, 5000, SUSPECT, 2 * E, 2 * E) } },
	{ "T7 a stop that only the counter of returns shows: no answer before the VMM's, which is followed", {
		ANSWER(0, 10, 4.6, 5), PUNT(0, 3020, 3000, SUSPECT, 0, 2 * E), S(0, 3020, 3025, 22),
		ANSWER(0, 3026, 22, 26) } },
	{ "T8 a wide sample never confirms: the reader stays suspect", {
		PUNT(0, 2010, 2000, SUSPECT, 0, 2 * E), S(0, 2010, 5010, 3010), PUNT(0, 5011, 0, SUSPECT, 0, 0),
		S(0, 5011, 5016, 3012), ANSWER(0, 5017, 3012, 3017) } },
	{ "T9 frozen at 1000, answered until 1150, resumed at 9000: waits until the VMM has caught up", {
		S(0, 990, 995, 990), ANSWER(1, 1150, 1144.6, 1145), PUNT(1, 9000, 7850, SUSPECT, 145, 250),
		S(1, 9190, 9195, 1190), ANSWER(1, 9196, 1190, 1196) } },
	{ "T9 the same when an answer was lost in that pause", {
		S(0, 990, 995, 990), ANSWER(1, 1150, 1144.6, 1145), L(9000), PUNT(1, 9000, 7850, BUSY, 145, 250) } },
	{ "T10 an audit that hit the frozen clock, then more answers", {
		S(0, 990, 995, 990), ANSWER(1, 1009, 1003.6, 1004), S(0, 1010, 1018, 1000),
		PUNT(1, 1020, 0, FLOOR, 0.5, 3), ANSWER(1, 1150, 1131.6, 1140),
		PUNT(1, 9000, 7850, SUSPECT, 140, 250) } },
	{ "T10 the same with no answer after it: what was answered before is still waited for", {
		S(0, 990, 991, 990), ANSWER(1, 1050, 1048.6, 1049.1), S(0, 1051, 1056, 1000),
		PUNT(1, 9000, 7950, SUSPECT, 49, 250) } },
	{ "T11 back by an hour and some: followed at once, no floor", {
		ANSWER(1, 50, 44.6, 45), PUNT(0, 5000, 4000, SUSPECT, 0, 2 * E), S(0, 5000, 5005, -3600e6 + 777777),
		ANSWER(0, 5006, -3600e6 + 777777, -3600e6 + 777783) } },
	{ "T11 forward by a second: followed at once", {
		ANSWER(1, 50, 44.6, 45), PUNT(0, 5000, 4000, SUSPECT, 0, 2 * E), S(0, 5000, 5005, 1005000),
		ANSWER(0, 5006, 1005000, 1005006) } },
	{ "T11 back by a second without any sign: followed at once", {
		ANSWER(1, 50, 44.6, 45), ANSWER(2, 51, 45.6, 46), S(0, 100, 105, -999900), ANSWER(1, 106, -999900, -999894),
		PUNT(1, 2000, 1500, SUSPECT, 0, 100) } },
	{ "floor: small moves back wait for what was answered", {
		ANSWER(1, 500, 494.6, 495), S(0, 501, 505, 302), PUNT(1, 506, 0, FLOOR, 185, 195),
		PUNT(2, 510, 0, FLOOR, 180, 195), ANSWER(1, 700, 495, 500) } },
	{ "T15 out of KVM_RUN for less than a pause takes is no absence", {
		{ READ, 0, 60, 99, 0, IOFILTER_ANSWERED, 54.6, 55 }, PUNT(0, 160, 100, SUSPECT, 0, 2 * E) } },
	{ "a vCPU that was never seen is not answered before a narrow sample of its own", {
		ANSWER(0, 5, -0.4, 0), PUNT(9, 10, 0, SUSPECT, 0, 2 * E), S(1, 10, 15, 12), PUNT(9, 16, 0, SUSPECT, 0, 2 * E),
		S(9, 20, 100, 50), PUNT(9, 101, 0, SUSPECT, 0, 0), S(9, 110, 115, 112), ANSWER(9, 116, 112, 116) } },
	{ "floor: waited for whatever else is the reason to punt", {
		ANSWER(1, 500, 494.6, 495), S(0, 501, 505, 302), L(506), PUNT(1, 507, 0, BUSY, 180, 195) } },
	{ "a move that only a wide sample shows is no proof", {
		S(0, 1000, 1500, -5000), PUNT(1, 1501, 0, BUSY, 0, 2 * E), S(0, 1510, 1515, -4490), ANSWER(1, 1516, -4490, -4484) } },
	/* O is -6001, but the sample says no more than [-6500, -6000]; then it is -6501, and the next one says [-6503, -6498]. */
	{ "known by a wide sample only, and stopped for as long as that took: its bounds are not believed", {
		S(0, 1000, 1500, -5000), PUNT(0, 2100, 590, BUSY, 0, 2 * E), S(0, 2100, 2105, -4398), ANSWER(0, 2106, -4398, -4395),
		ANSWER(1, 2107, -4397, -4394) } },
	{ ".. nor if a second wide sample after the stop leaves hardly anything of them", {
		S(0, 1000, 1500, -5000), PUNT(0, 2100, 590, BUSY, 0, 2 * E), S(0, 2100, 2600, -4398), S(0, 2610, 2615, -3888),
		ANSWER(0, 2616, -3888, -3885) } },
	{ "known by a wide sample only: what it showed is not undercut by a narrow one that was read before it", {
		S(0, 1000, 1500, -4502), S(1, 1480, 1510, -4516), PUNT(2, 1511, 0, BUSY, 0, 2 * E), S(2, 1511, 1516, -4488),
		ANSWER(1, 1516, -4489, -4485) } },
	{ "floor: passed by one, it is gone; passed by none, the next move keeps it", {
		ANSWER(1, 500, 494.6, 495), S(0, 501, 505, 302), S(0, 510, 515, 800), S(0, 520, 525, 321),
		PUNT(1, 526, 0, FLOOR, 165, 176), ANSWER(1, 800, 595, 600), S(0, 801, 806, 590), PUNT(2, 807, 0, FLOOR, 0.5, 12) } },
	{ "T13 a day without a read: the 24 bits are right", {
		PUNT(0, 86400e6, 0, AUDIT, 0, 0), S(0, 86400e6, 86400e6 + 5, 86400e6 + 2),
		ANSWER(0, 86400e6 + 6, 86400e6 + 2.7, 86400e6 + 6) } },
};

static void run_rows(const struct row *r, bool slow)
{
	struct unit *u = unit_new();
	int n;

	u->slow = slow;
	prove(u, 0);
	for (n = 1; r->op != END; r++, n++) {
		double from = r->lo, to = r->hi, got;
		struct answer a;

		if (r->op == SAMPLE)
			sample(u, r->vcpu, r->a, r->b, r->c);
		else if (r->op == LOST)
			iofilter_clock_lost(&u->clk, ns(r->a));
		if (r->op != READ)
			continue;
		a = rd(u, r->vcpu, r->a, r->b);
		if (a.verdict != r->verdict)
			fail_msg("row %d: wanted verdict %d, got %d", n, r->verdict, a.verdict);
		got = a.delay;
		if (a.verdict == IOFILTER_ANSWERED) {
			/* Near @from, since 24 bits say no more; a tick may begin a little before. */
			double wrap = 16777216e6 / PMTIMER_HZ;

			got = a.us + wrap * (long long)((from - a.us) / wrap + (from > a.us ? 0.5 : -0.5));
			from -= 0.28;
		}
		if (got < from || got > to)
			fail_msg("row %d: wanted %s in [%.1f, %.1f], got %.3f", n,
				 a.verdict == IOFILTER_ANSWERED ? "a value" : "a delay", from, to, got);
	}
	free(u);
}

/* The short way and the long one must agree. */
static void run_case(void **state)
{
	run_rows(*state, false);
	run_rows(*state, true);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(cases)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, run_case, NULL, NULL, (void *)cases[i].rows };
	return _cmocka_run_group_tests("clock_cases", tests, ARRAY_SIZE(tests), NULL, NULL);
}
