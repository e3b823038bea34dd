/* SPDX-License-Identifier: GPL-2.0 */
/* A VM that lives: vCPUs, a VMM, an operator. Discrete events; each actor is a coroutine that sleeps in simulated time. */
#ifndef SELFTESTS_WORLD_H
#define SELFTESTS_WORLD_H

#include "vm.h"

/* One row per scenario. Times in ns, rates as a mean ns between two. */
struct scenario {
	const char *name;
	int vcpus, devs; /* devs: 1 PM timer, 2 both */
	u64 think, idle; /* of the guest between reads; idle: of the odd vCPUs */
	u64 exit; /* 0: hardware, 1 us each way. Else all latencies are so many times as long */
	u64 others, kicks; /* per vCPU: exits for other devices; signals */
	u64 pause, pause_min, pause_max, window; /* window: of the frozen clock before the vCPUs are kicked, at most */
	int preempt; /* one step in so many is held up by up to 3 ms */
	int stops; /* one access in so many is stopped within the filter, for up to 50 us, rarely 1 ms */
	int strings; /* one read in so many is a string of 4 */
	bool load, kvmclock, attach, update, migrate, slew;
	double punts; /* percent at most; 0: not a hot reader */
	int weight; /* of the whole run's reads, permille */
};

struct result {
	struct vm_stats stats;
	u64 end, events, moves, pauses;
	char failure[400];
};

/* Until @reads reads are done or something fails. The same @seed gives the same run. */
void world_run(const struct scenario *sc, u64 seed, u64 reads, bool trace, struct result *r);
/* A smaller scenario that fails as well, and its trace. */
void world_minimise(const struct scenario *sc, u64 seed, u64 reads);

#endif /* SELFTESTS_WORLD_H */
