// SPDX-License-Identifier: GPL-2.0
/*
 * Readers against the one writer of the bounds. First by hand: a reader is stopped between its load of the bound and the
 * moment it commits to its answer, and the clock moves meanwhile. Then with threads.
 */
#include <pthread.h>
#include "host.h"

/* What a stopped reader misses, run at its commit: the only atomic exchange of a read. */
static void (*at_commit)(void);

static void commit_hook(void)
{
	void (*f)(void) = at_commit;

	at_commit = NULL;
	if (f)
		f();
}

/* And the other way round: what readers do while the writer has just made the epoch odd. */
static void (*at_move)(void);

static uint64_t move_hook(uint64_t ret)
{
	void (*f)(void) = at_move;

	at_move = NULL;
	if (f)
		f();
	return ret;
}

#define __sync_lock_test_and_set(p, v) ({ commit_hook(); __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); })
#define __sync_fetch_and_add(p, v)     move_hook(__atomic_fetch_add(p, v, __ATOMIC_SEQ_CST))
#include "clockunit.h"

static struct unit *u;

static void move_back(void)
{
	sample(u, 1, 1000, 1005, 702);
}

static void raise_bound(void)
{
	sample(u, 1, 1000, 1005, 1004.5);
}

static void blow(void)
{
	iofilter_clock_blow(&u->clk, IOFILTER_FUSE_MODEL);
}

/* T17: the answer is not given, and the floor covers what others were answered. */
static void stopped_reader(void **state)
{
	struct answer a;

	(void)state;
	u = unit_new();
	prove(u, 0);
	a = rd(u, 2, 900, 0);
	assert_int_equal(a.verdict, IOFILTER_ANSWERED);
	at_commit = move_back;
	a = rd(u, 0, 1005, 0);
	assert_null(at_commit);
	assert_int_not_equal(a.verdict, IOFILTER_ANSWERED);
	assert_int_equal(u->vcpus[0].last, 0);

	/* Nobody goes below what vCPU 2 was answered, 894.7; the reader that was stopped counts no more. */
	a = rd(u, 3, 1010, 0);
	if (a.verdict != IOFILTER_PUNT_FLOOR || a.delay < 180 || a.delay > 310)
		fail_msg("wanted verdict %d and a delay in [180, 310], got %d and %.1f", IOFILTER_PUNT_FLOOR, a.verdict, a.delay);
	a = rd(u, 0, 1400, 0);
	if (a.verdict != IOFILTER_ANSWERED || a.us < 1090 || a.us > 1102)
		fail_msg("wanted an answer in [1090, 1102], got verdict %d and %.1f", a.verdict, a.us);
	free(u);
}

/* A reader that commits after a floor was passed must not take the floor of the move that overtook it away. */
static void floor_survives(void **state)
{
	struct answer a;

	(void)state;
	u = unit_new();
	prove(u, 0);
	a = rd(u, 2, 900, 0);
	assert_int_equal(a.verdict, IOFILTER_ANSWERED);
	sample(u, 1, 950, 955, 852); /* floor 894.7, O = -98 .. -103 */
	assert_true(u->clk.floor != 0);
	at_commit = move_back;
	a = rd(u, 0, 1005, 0); /* 902: above the floor */
	assert_int_not_equal(a.verdict, IOFILTER_ANSWERED);
	assert_true(u->clk.floor != 0);
	a = rd(u, 3, 1010, 0);
	assert_int_equal(a.verdict, IOFILTER_PUNT_FLOOR);
	free(u);
}

static void read_by_2(void)
{
	assert_int_not_equal(rd(u, 2, 1005, 0).verdict, IOFILTER_ANSWERED);
}

/* A reader that finds the epoch odd gives up, but what it was answered before is still counted. */
static void reader_in_a_move(void **state)
{
	struct answer a;

	(void)state;
	u = unit_new();
	prove(u, 0);
	assert_int_equal(rd(u, 2, 900, 0).verdict, IOFILTER_ANSWERED);
	at_move = read_by_2;
	move_back();
	assert_null(at_move);
	a = rd(u, 3, 1010, 0);
	if (a.verdict != IOFILTER_PUNT_FLOOR || a.delay < 180)
		fail_msg("wanted verdict %d and a delay of 180 at least, got %d and %.1f", IOFILTER_PUNT_FLOOR, a.verdict, a.delay);

	/* Passed, and confirmed by a sample: the short way is free again. */
	sample(u, 1, 1500, 1505, 1202);
	assert_int_equal(u->clk.floor, 0);
	free(u);
}

static void raised_meanwhile(void **state)
{
	struct answer a;

	(void)state;
	u = unit_new();
	prove(u, 0);
	at_commit = raise_bound;
	a = rd(u, 0, 1004, 0);
	if (a.verdict != IOFILTER_ANSWERED || a.us > 1004 || a.us < 998)
		fail_msg("wanted an answer in [998, 1004], got verdict %d and %.1f", a.verdict, a.us);
	at_commit = blow;
	rd(u, 0, 1006, 0);
	a = rd(u, 0, 1007, 0);
	assert_int_equal(a.verdict, IOFILTER_PUNT_FUSE);
	free(u);
}

/*
 * Threads. The writer moves O back and forth by hand within the floor's reach; a shared maximum, raised only after an
 * answer is complete and read before the next one begins, must never be undercut.
 */
static struct {
	__u64 newest; /* ticks */
	int stop;
	unsigned long answers, violations;
} shared;

static __u64 clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ns(0) + ts.tv_sec * IOFILTER_NSEC_PER_SEC + ts.tv_nsec;
}

static void *reader(void *arg)
{
	__u64 before, now, virt, delay;

	while (!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) {
		before = __atomic_load_n(&shared.newest, __ATOMIC_SEQ_CST);
		now = clock_now();
		if (unit_read(u, (long)arg, now, 0, 0, &delay, &virt) != IOFILTER_ANSWERED)
			continue;
		__atomic_fetch_add(&shared.answers, 1, __ATOMIC_RELAXED);
		if (virt < before)
			__atomic_fetch_add(&shared.violations, 1, __ATOMIC_RELAXED);
		while (virt > before &&
		       !__atomic_compare_exchange_n(&shared.newest, &before, virt, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
	return NULL;
}

static void threads(void **state)
{
	pthread_t t[2];
	__s64 o = 0;
	__u64 i, end;
	long n;

	(void)state;
	seed();
	u = unit_new();
	u->clk.expiry = 20000000;
	end = clock_now() + scale() * IOFILTER_NSEC_PER_SEC;
	for (n = 0; n < 2; n++) {
		assert_int_equal(iofilter_clock_enter(&u->clk, n), 0);
		u->vcpus[n].trusted = 1;
	}
	for (n = 0; n < 2; n++)
		assert_int_equal(pthread_create(&t[n], NULL, reader, (void *)n), 0);
	for (i = 0; clock_now() < end; i++) {
		__u64 t1 = clock_now(), t0 = t1 - 5000;
		struct timespec nap = { 0, 20000 };

		if (!(rnd() % 64))
			o -= 20000 + rnd() % 100000;
		else if (!(rnd() % 128))
			o += 50000;
		iofilter_clock_sample(&u->clk, u->vcpus, t0, t1, iofilter_ns_to_ticks(t0 + 2000 + o, u->clk.freq) & 0xffffff, 7);
		u->clk.unsigned_moves = u->clk.flips = 0;
		if (i % 4 == 3)
			nanosleep(&nap, NULL);
	}
	__atomic_store_n(&shared.stop, 1, __ATOMIC_RELAXED);
	for (n = 0; n < 2; n++)
		pthread_join(t[n], NULL);
	printf("# %lu answers, %llu moves, %lu below an earlier one\n", shared.answers, u->clk.moves, shared.violations);
	assert_int_equal(shared.violations, 0);
	assert_true(shared.answers > 1000 && u->clk.moves > 100);
	free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stopped_reader),
		cmocka_unit_test(floor_survives),
		cmocka_unit_test(reader_in_a_move),
		cmocka_unit_test(raised_meanwhile),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
