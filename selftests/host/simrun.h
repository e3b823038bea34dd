/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cases, random guest programs, and what each clause of the program under test is for: how they are run, made small, and told of.
 *
 * Included behind cases[], struct op and struct program, which has vcpus, n and ops[]. The includer gives the functions that are
 * declared here, and its main() calls sim_main().
 */
#ifndef SELFTESTS_SIMRUN_H
#define SELFTESTS_SIMRUN_H

#include <unistd.h>

static void run_op(const struct op *op);
static void generate(struct program *p);
/* Return: the op that failed, or -1. */
static int run(const struct program *p);
/* The rest of the line that names a program, with its end. */
static void describe(const struct program *p);
/* Tell what @n programs have come to. Return: whether that was enough. */
static bool enough(unsigned long n);

struct sim_mutant {
	enum sim_clause clause;
	const char *name;
};

#define SIM_MUTANT(name) { SIM_CLAUSE_##name, #name },

static u64 rnd_state;

static u64 rnd(void)
{
	u64 z = rnd_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static const struct program *running;
static int at, nested, to_nest;

static inline bool in_kernel(void)
{
	int i;

	for (i = 0; i < sim.kvm.created_vcpus; i++)
		if (sim.vcpus[i].phase != IN_GUEST && sim.vcpus[i].phase <= LEAVING)
			return true;
	return false;
}

/* The filter was stopped at some step, and other vCPUs go on. */
void sim_stopped(void)
{
	int i;

	/* Those who would wait for a lock wait for ever. */
	for (i = 0; i < sim.kvm.created_vcpus; i++)
		if (sim.f.slots[i]->lock.held) {
			sim_left = 1;
			return;
		}
	nested = 1;
	while (to_nest-- && at + 1 < running->n && !sim.failure[0]) {
		run_op(&running->ops[++at]);
		note();
	}
	nested = 0;
}

static void minimise(struct program *p)
{
	static struct program less;
	int len, i, m;

	for (len = p->n / 2; len; len /= 2)
		for (i = 0; i + len <= p->n;) {
			less = *p;
			memmove(&less.ops[i], &less.ops[i + len], (p->n - i - len) * sizeof(less.ops[0]));
			less.n = p->n - len;
			m = run(&less);
			if (m < 0) {
				i += len;
				continue;
			}
			less.n = m + 1;
			*p = less;
		}
}

static int programs(unsigned long n, bool quiet)
{
	static struct program p;
	unsigned long i;
	u64 seed;
	int m;

	memset(&sim_count, 0, sizeof(sim_count));
	for (i = 0; i < n; i++) {
		seed = rnd_state;
		generate(&p);
		m = run(&p);
		if (m < 0)
			continue;
		if (quiet)
			return 1;
		p.n = m + 1;
		minimise(&p);
		printf("# program %lu, SEED=%llu; the least that does it, on %d vCPUs", i, seed, p.vcpus);
		describe(&p);
		sim.trace = true;
		run(&p);
		return 1;
	}
	/* Else it shows nothing. */
	if (quiet || enough(n))
		return 0;
	printf("FAIL too little was answered\n");
	return 1;
}

static int run_cases(bool quiet)
{
	int failed = 0;
	u32 i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sim.failure[0] = 0;
		sim.trace = !quiet && getenv("TRACE") && strstr(cases[i].name, getenv("TRACE"));
		running = NULL;
		cases[i].run();
		if (!sim.failure[0])
			continue;
		if (!quiet)
			printf("FAIL %s: %s\n", cases[i].name, sim.failure);
		failed++;
	}
	sim.trace = false;
	if (!quiet)
		printf("# %u cases, %d failed\n", i, failed);
	return failed;
}

/* Without any one of these clauses, cases or random guests find a wrong answer. */
static int mutants(const struct sim_mutant *rows, u32 nr, unsigned long n)
{
	int failed = 0, in_cases;
	u32 i;

	for (i = 0; i < nr; i++) {
		sim_without = rows[i].clause;
		in_cases = run_cases(true);
		if (!in_cases && !programs(n, true)) {
			printf("FAIL: without %s, cases and %lu programs find nothing\n", rows[i].name, n);
			failed++;
		} else if (getenv("V")) {
			printf("# %s is missed by %d cases\n", rows[i].name, in_cases);
		}
	}
	sim_without = SIM_CLAUSE_NONE;
	printf("# %u clauses left out, %d not missed\n", i, failed);
	return failed;
}

/* @tries: programs that look for a clause, for each of those that are to find nothing. */
static int sim_main(const struct sim_mutant *rows, u32 nr, unsigned long tries)
{
	const char *seed = getenv("SEED"), *scale = getenv("IOFILTER_SCALE");
	unsigned long n = 100000 * (scale ? strtoul(scale, NULL, 0) ?: 1 : 1);
	int failed = run_cases(false);

	rnd_state = seed ? strtoull(seed, NULL, 0) : (u64)getpid() * 1000003 ^ (u64)(uintptr_t)&seed;
	printf("# SEED=%llu\n", rnd_state);
	return failed || programs(n, false) || mutants(rows, nr, tries * n);
}

#endif /* SELFTESTS_SIMRUN_H */
