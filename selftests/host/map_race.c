// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of a map against its writer. First under a scheduler that may stop each of them at every load and store that they share,
 * as it throws dice: no read below one that was over before it began, through stops, starts and new frequencies; and what is read
 * is of one set. Each clause of the readers is then left out in turn, and must be missed. Then with threads.
 */
#include <pthread.h>
#include <stdbool.h>
#include <ucontext.h>
#include "host.h"

static const char *const clauses[] = { "(none)", "MAP_SEQ", "MAP_AT", "MAP_GATE", "MAP_GATE_SEQ", "MAP_RAISE" };
static unsigned int without;
#define IOFILTER_CLAUSE(name) (strcmp(clauses[without], #name) != 0)

static void step(void);
#define iofilter_load(x)     ({ step(); *(const volatile typeof(x) *)&(x); })
#define iofilter_store(x, v) ({ step(); *(volatile typeof(x) *)&(x) = (v); })
#define __sync_val_compare_and_swap(p, a, b) ({ step(); (__sync_val_compare_and_swap)(p, a, b); })
#define __sync_fetch_and_add(p, v)	     ({ step(); __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); })
#include <iofilter/mapctl.h>

#define TASKS	4 /* the writer, and readers */
#define READS	4
#define CHANGES 5
#define STACK	(64 * 1024)

static struct task {
	ucontext_t ctx;
	char stack[STACK];
	bool done;
} tasks[TASKS];
static ucontext_t scheduler;
static int self = -1; /* outside of the scheduler: nothing is stopped */

static struct iofilter_map map;
static __u64 now, newest, reads, again, raised;
static char bad[200];

static void step(void)
{
	if (self < 0)
		return;
	swapcontext(&tasks[self].ctx, &scheduler);
	now += rnd() % 3;
}

/*
 * What the sets of the n-th value have: it tells by its size which one it is of, and by its rest that its rate and its start are of one
 * set. Primes, so that ticks of one rate are none of another's.
 */
#define FAMILY 1000000000ULL
static const __u64 rates[] = { 7, 11, 13, 17, 19 };

static int family_bad(__u64 v)
{
	__u64 n = v / FAMILY, rest = v % FAMILY;

	return n >= ARRAY_SIZE(rates) || rest % rates[n] != n || rest > 4000000;
}

static void read_once(void)
{
	__u64 before = newest, t = now, v;
	int i;

	for (i = 0; i < MAP_TRIES && map_value(&map, t, &v); i++)
		again++;
	if (i == MAP_TRIES)
		return;
	reads++;
	if (!bad[0] && v < before)
		snprintf(bad, sizeof(bad), "at %llu a read of %llu after one of %llu", now, v,
			 before);
	if (!bad[0] && family_bad(v))
		snprintf(bad, sizeof(bad), "%llu is of no set", v);
	if (v > newest)
		newest = v;
}

/* Stop, go on, a value far above with another rate. @kind: that, or only stops and starts. */
static void change(int n)
{
	struct map_set s = mapctl_set(&map);
	__u64 t, end;

	mapctl_announce(&map, now);
	step();
	t = now;
	end = mapctl_close(&map, t);
	raised += end > t;
	mapctl_advance(&s, end);
	if (n % 2) {
		s.running = !s.running;
	} else {
		__u64 f = s.value / FAMILY + 1;

		s.value = f * FAMILY + f;
		s.num = rates[f];
		s.running = 1;
	}
	mapctl_publish(&map, &s);
}

static void task_main(int i)
{
	int n;

	if (i)
		for (n = 0; n < READS; n++) {
			step();
			read_once();
		}
	else
		for (n = 1; n <= CHANGES; n++)
			change(n);
	tasks[i].done = true;
	swapcontext(&tasks[i].ctx, &scheduler);
}

static void schedule(void)
{
	static int i, left, hold, who; /* getcontext() returns twice, as far as the compiler knows */

	memset(&map, 0, sizeof(map));
	map.sets[0] = (struct map_set){ .at = 1000, .num = rates[0], .den = 1, .mask = ~0ULL, .running = 1 };
	now = 1000 + rnd() % 100;
	newest = bad[0] = 0;
	left = TASKS;
	hold = 0;
	for (i = 0; i < TASKS; i++) {
		tasks[i].done = false;
		getcontext(&tasks[i].ctx);
		tasks[i].ctx.uc_stack.ss_sp = tasks[i].stack;
		tasks[i].ctx.uc_stack.ss_size = STACK;
		makecontext(&tasks[i].ctx, (void (*)(void))task_main, 1, i);
	}
	while (left) {
		/* In runs, as a CPU does; now and then one step each. */
		if (!hold-- || tasks[who].done) {
			do
				who = rnd() % TASKS;
			while (tasks[who].done);
			hold = rnd() % 4 ? rnd() % 20 : 0;
		}
		self = who;
		swapcontext(&scheduler, &tasks[who].ctx);
		self = -1;
		left -= tasks[who].done;
	}
}

static void every_step(void **state)
{
	__u64 n, most = 15000 * scale();

	(void)state;
	seed();
	for (without = 0; without < ARRAY_SIZE(clauses); without++) {
		for (n = 0; n < (without ? 40 : 1) * most && !(n && bad[0]); n++)
			schedule();
		printf("# %-12s %s%s\n", clauses[without], bad[0] ? "missed: " : "held", bad);
		if (!without && bad[0])
			fail_msg("%s", bad);
		if (without && !bad[0])
			fail_msg("nothing fails without %s", clauses[without]);
		if (!without)
			printf("# %llu reads, %llu began anew, %llu gates raised by readers beyond the writer's time\n",
			       reads, again, raised);
		if (!without)
			assert_true(again > 100 && raised > 100);
		bad[0] = 0;
	}
	without = 0;
}

/* A writer that is killed at any of its steps: the counter never steps back, and the next writer sets it going again. */
static void killed_writer(void **state)
{
	struct map_set s;
	__u64 v, last = 0;
	int at, i;

	(void)state;
	without = 0;
	for (at = 0; at < 4; at++) {
		memset(&map, 0, sizeof(map));
		map.sets[0] = (struct map_set){ .at = 1000, .num = 3, .den = 1, .mask = ~0ULL, .running = 1 };
		last = 0;
		if (at > 0)
			mapctl_announce(&map, 2000);
		for (i = 0; i < 5; i++, last = v) {
			assert_int_equal(map_value(&map, 2000 + i, &v), 0);
			assert_true(v >= last);
		}
		if (at > 1)
			mapctl_close(&map, 2001);
		if (at > 2)
			map.sets[1].value = 12345; /* half written */
		for (i = 0; i < 5; i++, last = v) {
			assert_int_equal(map_value(&map, 3000 + i, &v), 0);
			assert_true(v >= last);
			if (at > 1)
				assert_int_equal(v, (2004 - 1000) * 3);
		}
		mapctl_repair(&map, 4000);
		assert_int_equal(map.seq & 1, 0);
		assert_int_equal(map_value(&map, 4000, &v), 0);
		assert_int_equal(v, (4000 - 1000) * 3);
		s = mapctl_set(&map);
		mapctl_announce(&map, 4100);
		mapctl_advance(&s, mapctl_close(&map, 4101));
		s.running = 0;
		mapctl_publish(&map, &s);
		assert_int_equal(map_value(&map, 9000, &v), 0);
		assert_int_equal(v, (4101 - 1000) * 3);
	}
}

/* Threads, on the host's clock. */
static struct {
	__u64 newest, reads, again, steps_back, torn;
	int stop;
} shared;

static __u64 host_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * IOFILTER_NSEC_PER_SEC + ts.tv_nsec;
}

/* Of a set whose rate is 1 in 1 ns: the value's high bits tell which, and its low ones grow no faster than the clock. */
static void *reader(void *arg)
{
	__u64 before, t, v, n;

	(void)arg;
	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		before = __atomic_load_n(&shared.newest, __ATOMIC_SEQ_CST);
		t = host_now();
		for (n = 0; n < MAP_TRIES && map_value(&map, t, &v); n++)
			__atomic_fetch_add(&shared.again, 1, __ATOMIC_RELAXED);
		if (n == MAP_TRIES)
			continue;
		__atomic_fetch_add(&shared.reads, 1, __ATOMIC_RELAXED);
		n = v >> 40;
		if ((v & ((1ULL << 40) - 1)) % (2 * (n % 8) + 3) != n % 3)
			__atomic_fetch_add(&shared.torn, 1, __ATOMIC_RELAXED);
		if (v < before)
			__atomic_fetch_add(&shared.steps_back, 1, __ATOMIC_RELAXED);
		while (v > before &&
		       !__atomic_compare_exchange_n(&shared.newest, &before, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
	return NULL;
}

static void threads(void **state)
{
	__u64 end, changes = 0, n = 0;
	struct map_set s;
	pthread_t t[2];
	int i;

	(void)state;
	memset(&map, 0, sizeof(map));
	map.sets[0] = (struct map_set){ .at = host_now(), .num = 3, .den = 1, .mask = ~0ULL, .running = 1 };
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, NULL), 0);
	end = host_now() + 3 * scale() * IOFILTER_NSEC_PER_SEC;
	while (host_now() < end) {
		s = mapctl_set(&map);
		mapctl_announce(&map, host_now());
		mapctl_advance(&s, mapctl_close(&map, host_now() + 100));
		if (rnd() % 4) {
			s.running = !s.running;
		} else {
			n++;
			s.value = n << 40 | n % 3;
			s.num = 2 * (n % 8) + 3;
			s.running = 1;
		}
		mapctl_publish(&map, &s);
		changes++;
		if (!(rnd() % 64)) {
			struct timespec nap = { 0, 1000 };

			nanosleep(&nap, NULL);
		}
	}
	__atomic_store_n(&shared.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	printf("# %llu reads against %llu changes; %llu began anew; %llu steps back, %llu torn\n", shared.reads,
	       changes, shared.again, shared.steps_back,
	       shared.torn);
	assert_int_equal(shared.steps_back, 0);
	assert_int_equal(shared.torn, 0);
	assert_true(shared.reads > 100000 && changes > 10000 && shared.again > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_step),
		cmocka_unit_test(killed_writer),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
