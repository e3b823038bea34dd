// SPDX-License-Identifier: GPL-2.0
/*
 * The clock against simulated VMs. After every event: no consumed value lies below one consumed before that access began
 * (P1, the frozen window apart), no answer is ahead of the VMM or more than its bounds behind (P2); at the end: hot readers
 * leave the guest in less than one read of a hundred (P3). One line per scenario; a failure is made small and traced.
 *
 * clocksim [NAME] with SEED=, IOFILTER_SCALE= or TORTURE=1 (200 million reads).
 */
#include <stdio.h>
#include <time.h>
#include "chain/world.h"

#define HOT	.think = 2 * US, .stops = 64
#define PAUSES	.pause = 20 * MS, .pause_min = 110 * US, .pause_max = 20 * MS, .window = 600 * US, .kvmclock = true
/* Exits take 50 us each way, as in a machine that is itself emulated. */
#define SLOW	.exit = 50, .think = 20 * US, .stops = 64

static const struct scenario scenarios[] = {
	{ "hot1", 1, 1, HOT, .punts = 1, .weight = 20 },
	{ "hot4", 4, 1, HOT, .punts = 1, .weight = 80 },
	{ "hot16", 16, 1, HOT, .punts = 1, .weight = 80 },
	{ "big64", 64, 1, .think = 2 * US, .stops = 20000, .punts = 1, .weight = 80 },
	{ "big64-two", 64, 2, .think = 2 * US, .stops = 20000, .others = 500 * US, .punts = 1, .weight = 40 },
	{ "idlers", 4, 1, HOT, .idle = 2 * MS, .others = 200 * US, .punts = 1, .weight = 40 },
	{ "others", 4, 1, HOT, .others = 100 * US, .strings = 20000, .punts = 4, .weight = 40 },
	{ "kicks1k", 4, 1, HOT, .kicks = MS, .punts = 1, .weight = 30 },
	{ "kicks10k", 4, 1, HOT, .kicks = 100 * US, .punts = 1, .weight = 30 },
	{ "preempt", 4, 1, HOT, .preempt = 200, .others = 300 * US, .punts = 4, .weight = 40 },
	{ "sparse", 4, 1, .think = 3 * MS, .stops = 4, .others = MS, .weight = 2 },
	{ "pause", 4, 1, HOT, PAUSES, .punts = 1, .weight = 60 },
	{ "pause-kicks", 4, 1, HOT, PAUSES, .kicks = 300 * US, .others = 300 * US, .punts = 4, .weight = 40 },
	{ "pause-short", 4, 1, HOT, .pause = 3 * MS, .pause_min = 110 * US, .pause_max = 2 * MS, .window = 100 * US,
	  .others = 500 * US, .punts = 5, .weight = 40 },
	{ "pause-hard", 4, 1, .think = 2 * US, .stops = 16, .pause = 5 * MS, .pause_min = 110 * US, .pause_max = 3 * MS, .window = MS,
	  .others = 300 * US, .kicks = MS, .punts = 10, .kvmclock = true, .weight = 30 },
	{ "pause-idle", 8, 1, HOT, PAUSES, .idle = MS, .preempt = 500, .punts = 3, .weight = 30 },
	{ "pause-nokvmclk1", 1, 1, .think = 30 * US, .stops = 8, .pause = 20 * MS, .pause_min = 400 * US, .pause_max = 5 * MS,
	  .window = 50 * US, .others = 50 * US, .weight = 10 },
	{ "slowpause", 4, 1, HOT, .pause = 20 * MS, .pause_min = 110 * US, .pause_max = 20 * MS, .window = 5 * MS, .punts = 1, .weight = 40 },
	{ "loadvm", 4, 1, HOT, PAUSES, .load = true, .punts = 1, .weight = 40 },
	{ "loadvm-nokc", 4, 1, HOT, .pause = 10 * MS, .pause_min = 110 * US, .pause_max = 5 * MS, .window = 600 * US,
	  .load = true, .others = MS, .punts = 3, .weight = 30 },
	{ "migrate", 4, 1, HOT, PAUSES, .migrate = true, .punts = 2, .weight = 30 },
	{ "attach", 4, 1, HOT, .attach = true, .others = 200 * US, .preempt = 200, .weight = 40 },
	{ "update", 4, 2, HOT, .update = true, .others = 200 * US, .preempt = 200, .weight = 30 },
	{ "twodev", 4, 2, HOT, PAUSES, .punts = 1, .weight = 50 },
	{ "slew", 4, 2, HOT, .slew = true, .punts = 1, .weight = 30 },
	{ "tcg", 4, 1, SLOW, .punts = 10, .weight = 20 },
	{ "tcg-pause", 4, 2, SLOW, .pause = 200 * MS, .pause_min = 3 * MS, .pause_max = 20 * MS, .window = 600 * US,
	  .kvmclock = true, .punts = 10, .weight = 20 },
};

static u64 env(const char *name, u64 otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	u64 seed = env("SEED", time(NULL)), total = 0, millions = env("TORTURE", 0) ? 210 : 8 * env("IOFILTER_SCALE", 1);
	unsigned int i, failed = 0, ran = 0, weights = 0;
	struct result r;

	for (i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
		weights += scenarios[i].weight;
	printf("# SEED=%llu\n", seed);
	printf("%-16s %10s %7s %8s | %6s %8s | %6s %8s %5s | %6s | %7s %8s %8s | %6s\n", "case", "reads", "punt%", "seconds", "P1viol",
	       "max_us", "frzviol", "max_us", "cut", "ahead", "lag_us", "p99.9us", "max_us", "pauses");
	for (i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		const struct scenario *sc = &scenarios[i];
		u64 reads = millions * 1000000 * sc->weight / weights;
		const struct vm_stats *s = &r.stats;

		if (argc > 1 && strcmp(argv[1], sc->name))
			continue;
		ran++;
		world_run(sc, seed, reads, false, &r);
		total += s->answered + s->punted;
		printf("%-16s %10llu %7.3f %8.2f | %6llu %8.1f | %6llu %8.1f %5llu | %6llu | %7.2f %8.1f %8.1f | %6llu\n", sc->name,
		       s->answered + s->punted, 100.0 * s->punted / (s->answered + s->punted), (r.end - 1000000 * MS) / 1e9,
		       s->violations, s->max_ns / 1e3, s->frozen_violations, s->frozen_max_ns / 1e3, s->cut, s->ahead,
		       s->lag_sum_ns / 1e3 / (s->lag_count ?: 1), vm_lag_percentile(s, 0.999) / 1e3, s->lag_max_ns / 1e3, r.pauses);
		fflush(stdout);
		if (!r.failure[0])
			continue;
		failed++;
		printf("# %s: SEED=%llu: %s\n", sc->name, seed, r.failure);
		if (strncmp(r.failure, "P3", 2))
			world_minimise(sc, seed, reads);
	}
	printf("# %llu reads, %u scenarios, %u failed\n", total, ran, failed);
	return failed || !ran;
}
