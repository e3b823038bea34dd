// SPDX-License-Identifier: GPL-2.0
/*
 * Each clause of the algorithm is left out in turn: then a case of clock_chain must fail, or a scenario here. A clause that nothing
 * misses is a failure of these tests. The named cases must each be missed by some clause, too.
 */
#define main clock_chain_main
#include "clock_chain.c"
#undef main
#undef HOT
#include "chain/world.h"

#define CLAUSE_NAME(name) #name,
static const char *const names[] = { "", SIM_CLAUSES(CLAUSE_NAME) };

/* What the real clock stands, small enough to be run for each clause. */
#define HOT .think = 2 * US, .stops = 16
static const struct scenario scenarios[] = {
	{ "others", 4, 1, HOT, .others = 30 * US, .preempt = 500, .strings = 200 },
	{ "pause", 4, 1, HOT, .pause = 5 * MS, .pause_min = 110 * US, .pause_max = 3 * MS, .window = MS, .others = 300 * US,
	  .kicks = MS },
	{ "attach", 4, 1, HOT, .attach = true, .others = 50 * US, .preempt = 50 },
	{ "twodev", 4, 2, HOT, .others = 50 * US, .preempt = 500 },
	{ "big64", 64, 1, .think = 2 * US, .stops = 20000, .punts = 5 },
	{ "tcg", 4, 1, .exit = 50, .think = 20 * US, .punts = 10 },
};

int main(void)
{
	const char *const must[] = { "T1 ", "T3 ", "T4 ", "T8 ", "T9 ", "T10", "T22" };
	int missed[sizeof(must) / sizeof(*must)] = {}, clause, cases, survivors = 0;
	const struct chain_case *c;
	char first[500], why[400];
	struct result r;
	unsigned int i;
	u64 seed;

	for (clause = 0; clause < SIM_NR_CLAUSES; clause++) {
		sim_without = clause;
		first[0] = cases = 0;
		for (c = chain_cases; c->name; c++) {
			if (chain_case_holds(c, why, sizeof(why)))
				continue;
			if (!cases++)
				snprintf(first, sizeof(first), "%.60s", c->name);
			for (i = 0; i < sizeof(must) / sizeof(*must); i++)
				missed[i] += !strncmp(c->name, must[i], 3);
		}
		for (i = 0; !cases && !first[0] && i < sizeof(scenarios) / sizeof(*scenarios); i++)
			for (seed = 1; seed <= (clause ? 32 : 8) && !first[0]; seed++) {
				world_run(&scenarios[i], seed, 300000, false, &r);
				if (r.failure[0])
					snprintf(first, sizeof(first), "scenario %s, seed %llu: %s", scenarios[i].name, seed, r.failure);
			}
		printf("%-12s %2d cases fail: %s\n", clause ? names[clause] : "(none)", cases, first[0] ? first : "-");
		fflush(stdout);
		if (!clause == !!first[0]) {
			printf("FAIL %s\n", clause ? "nothing fails without it" : "must hold with all clauses");
			survivors++;
		}
	}
	for (i = 0; i < sizeof(must) / sizeof(*must); i++)
		if (!missed[i]) {
			printf("FAIL %s holds whatever is left out\n", must[i]);
			survivors++;
		}
	return survivors != 0;
}
