// SPDX-License-Identifier: GPL-2.0
/*
 * A map's alarm on the host's clock: when it comes, against the counter's own arithmetic in 128 bits; that none is lost; that a stop, a
 * start, a value and a frequency move the next one to where they must; and that who waits for it hears of changes by others.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host.h"
#include <iofilter/mapctl.h>
#include "../../loader/lib/map.h"

typedef unsigned __int128 u128;

#define MS 1000000ULL
#define US 1000ULL

static struct iofilter_map *map;
static struct map_alarm alarm_;

__u64 lib_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * IOFILTER_NSEC_PER_SEC + ts.tv_nsec;
}

static int place(__u64 freq, __u64 reload, __u64 compare, __u32 mode)
{
	struct iofilter_map_opts o = {
		.size = sizeof(o),
		.kind = IOFILTER_MAP_COUNTER,
		.range = { .addr = 0x608, .len = 8, .bus = KVM_IOFILTER_PIO },
		.fields = IOFILTER_MAP_FREQ | IOFILTER_MAP_RELOAD | IOFILTER_MAP_COMPARE | IOFILTER_MAP_ALARM | IOFILTER_MAP_VALUE,
		.freq = freq,
		.reload = reload,
		.compare = compare,
		.alarm = mode,
	};

	if (!map) {
		map = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(map != MAP_FAILED);
	}
	memset(map, 0, sizeof(*map));
	assert_int_equal(map_place(map, &o), 0);
	map->sets[0].at = lib_now();
	return map_apply(map, &map->sets[0], &o);
}

static void change(__u32 fields, __u64 value)
{
	struct iofilter_map_opts c = { .size = sizeof(c), .fields = fields, .value = value, .freq = value, .run = value, .alarm = value };

	if (map_change(map, &c))
		fail_msg("%s", iofilter_error());
}

/* Wait for the descriptor, @ms at most. Return: alarms, or -1 if nothing came. */
static long wait_alarm(int ms)
{
	struct pollfd p = { .fd = alarm_.fd, .events = POLLIN };
	__u64 n = ~0ULL;

	if (poll(&p, 1, ms) != 1)
		return -1;
	assert_int_equal(map_alarm_read(map, &alarm_, &n), 0);
	return n;
}

static int by_size(const void *a, const void *b)
{
	__s64 x = *(const __s64 *)a, y = *(const __s64 *)b;

	return x < y ? -1 : x > y;
}

/* Ten thousand periods that are no whole number of ns; now and then nobody looks for a while. */
static void periods(void **state)
{
	const __u64 f = 3579545, n = 1790, wanted = 10000 * scale();
	__u64 at, before, total = 0, wakes = 0, coalesced = 0, got, want, most, told, early = 0;
	__s64 *late = calloc(wanted + 1, sizeof(*late));
	struct timespec nap = { 0, 5 * MS };

	(void)state;
	seed();
	assert_int_equal(place(f, n, 17, IOFILTER_MAP_ALARM_PERIODIC), 0);
	assert_int_equal(map_alarm_open(map, &alarm_), 0);
	at = map->sets[0].at;
	total = told = alarm_.seen; /* of before the descriptor was there */
	while (total - told < wanted) {
		struct pollfd p = { .fd = alarm_.fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 1000), 1);
		/* Ticks are n apart from the 17th on; the k-th is the first ns at which so many ticks are over. */
		before = lib_now();
		assert_int_equal(map_alarm_read(map, &alarm_, &got), 0);
		if (got)
			late[wakes++] = before - (at + (__u64)(((u128)(17 + total * n) * 1000000000 + f - 1) / f));
		early += !got;
		coalesced += got > 1 ? got - 1 : 0;
		total += got;
		if (!(rnd() % 500))
			nanosleep(&nap, NULL);
	}
	before = lib_now();
	assert_int_equal(map_alarm_read(map, &alarm_, &got), 0);
	total += got;
	want = ((u128)(before - at) * f / 1000000000 + n - 17) / n;
	most = ((u128)(lib_now() - at) * f / 1000000000 + n - 17) / n;
	if (total < want || total > most)
		fail_msg("wanted %llu to %llu alarms, got %llu", want, most, total);
	qsort(late, wakes, sizeof(*late), by_size);
	printf("# %llu alarms in %.3f s, one in %.3f us: %llu wakes, %llu coalesced, %llu for nothing; late by %.1f, %.1f, %.1f us "
	       "(min, median, max)\n",
	       total - told, (lib_now() - at) / 1e9, n * 1e6 / f, wakes, coalesced, early, late[0] / 1e3, late[wakes / 2] / 1e3,
	       late[wakes - 1] / 1e3);
	assert_true(late[0] >= 0);
	assert_true(coalesced > 0);
	/* A drift of a fraction of a ns in each period would not show; one of a ns makes 10 us. */
	assert_true(late[wakes / 2] < 5 * (__s64)MS);
	assert_true(map->sets[map->seq / 2 % 2].expired == 0);
	free(late);
	map_alarm_close(map, &alarm_);
}

/* The alarm that is armed comes at @at, which is the test's own computation; 0: from the set as another has left it. */
static void comes_at(__u64 at)
{
	struct map_set s;
	__u64 now;
	long n;

	/* Something may have changed it, and that is no alarm. */
	while (!(n = wait_alarm(3000)))
		;
	now = lib_now();
	assert_int_equal(n, 1);
	s = mapctl_set(map);
	at = at ?: s.at + (s.compare - s.value) * s.den / s.num;
	if (now < at || now - at > 500 * MS)
		fail_msg("wanted it at %llu, it came %lld us later", at, (__s64)(now - at) / 1000);
	printf("# late by %.1f us\n", (now - at) / 1e3);
}

static void remaining(void **state)
{
	__u64 at, stopped, i;
	struct map_set s;

	(void)state;
	/* 1 MHz; at 1000000, after a second. */
	assert_int_equal(place(1000000, 0, 1000000, IOFILTER_MAP_ALARM_ONCE), 0);
	at = map->sets[0].at;
	assert_int_equal(map_alarm_open(map, &alarm_), 0);
	assert_int_equal(wait_alarm(50), -1);
	change(IOFILTER_MAP_RUN, 0);
	s = mapctl_set(map);
	assert_false(s.running);
	stopped = s.at;
	assert_int_equal(s.value, (stopped - at) / 1000);
	assert_int_equal(s.frac * 1000 / s.den, (stopped - at) % 1000);
	/* Told of the change, and then of nothing. */
	assert_int_equal(wait_alarm(1000), 0);
	assert_int_equal(wait_alarm(300), -1);
	change(IOFILTER_MAP_RUN, 1);
	s = mapctl_set(map);
	comes_at(s.at + 1000000 * US - (stopped - at));
	assert_int_equal(wait_alarm(50), -1);

	/* Again, by a value just before it. */
	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_ONCE);
	change(IOFILTER_MAP_VALUE, 990000);
	comes_at(mapctl_set(map).at + 10000 * US);
	/* A value that it is set to is no alarm. */
	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_ONCE);
	change(IOFILTER_MAP_VALUE, 1000000);
	assert_int_equal(wait_alarm(100), 0);
	assert_int_equal(wait_alarm(100), -1);
	/* Ten times as fast: a tenth of what was left. */
	change(IOFILTER_MAP_VALUE, 0);
	assert_int_equal(wait_alarm(40), 0);
	assert_int_equal(wait_alarm(40), -1);
	s = mapctl_set(map);
	change(IOFILTER_MAP_FREQ, 10000000);
	at = s.at;
	s = mapctl_set(map);
	comes_at(s.at + (1000000 * US - (s.at - at)) / 10);
	/* Off. */
	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_OFF);
	change(IOFILTER_MAP_VALUE, 999999);
	for (i = 0; i < 3 && wait_alarm(100) >= 0; i++)
		;
	assert_true(i < 3);
	/* Alarms that had come when the counter was stopped are told, also to who looks later. */
	assert_int_equal(place(1000000, 1000, 0, IOFILTER_MAP_ALARM_PERIODIC), 0);
	map_alarm_close(map, &alarm_);
	assert_int_equal(map_alarm_open(map, &alarm_), 0);
	usleep(20000);
	change(IOFILTER_MAP_RUN, 0);
	s = mapctl_set(map);
	assert_true(s.expired >= 20);
	usleep(20000);
	assert_int_equal(wait_alarm(0), s.expired);
	assert_int_equal(wait_alarm(20), -1);
	map_alarm_close(map, &alarm_);
}

/* Changes by another process and by another thread reach who waits; of one that is killed in the middle of its change, too. */
static void *by_thread(void *arg)
{
	(void)arg;
	usleep(20000);
	change(IOFILTER_MAP_VALUE, 4000000000ULL - 5000);
	return NULL;
}

static void others(void **state)
{
	pthread_t t;
	pid_t child;
	__u64 v, at;
	int status;

	(void)state;
	/* Where Yama is, a child may not look into its parent; root may. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	assert_int_equal(place(1000000, 0, 4000000000, IOFILTER_MAP_ALARM_ONCE), 0);
	assert_int_equal(map_alarm_open(map, &alarm_), 0);
	assert_int_equal(wait_alarm(20), -1);
	child = fork();
	if (!child) {
		usleep(20000);
		change(IOFILTER_MAP_VALUE, 4000000000ULL - 10000);
		_exit(0);
	}
	comes_at(0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);

	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_ONCE);
	assert_int_equal(pthread_create(&t, NULL, by_thread, NULL), 0);
	comes_at(0);
	pthread_join(t, NULL);

	/* Half a second before the alarm, and the counter stands. */
	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_ONCE);
	change(IOFILTER_MAP_VALUE, 4000000000ULL - 500000);
	at = mapctl_set(map).at + 500 * MS;
	child = fork();
	if (!child) {
		mapctl_lock(map, getpid());
		mapctl_announce(map, lib_now());
		mapctl_close(map, lib_now());
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(map->seq & 1, 1);
	assert_int_equal(map_value(map, lib_now() + 1000 * MS, &v), 0);
	assert_true(v < 4000000000ULL);
	comes_at(at);
	assert_int_equal(map->seq & 1, 0);
	assert_int_equal(map->writer, 0);
	map_alarm_close(map, &alarm_);
}

/* As many as there is room for, and no more, whoever was killed with one. */
static void watchers(void **state)
{
	struct map_alarm a[MAP_WATCHERS + 1];
	int i, status;
	__u64 n;

	(void)state;
	assert_int_equal(place(1000000, 0, 10, IOFILTER_MAP_ALARM_ONCE), 0);
	for (i = 0; i < 3; i++) {
		pid_t child = fork();

		if (!child)
			_exit(-map_alarm_open(map, &a[0]));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	for (i = 0; i < MAP_WATCHERS; i++)
		assert_int_equal(map_alarm_open(map, &a[i]), 0);
	assert_int_equal(map_alarm_open(map, &a[i]), -EBUSY);
	assert_int_equal(a[i].fd, -1);
	map_alarm_close(map, &a[3]);
	assert_int_equal(map_alarm_open(map, &a[3]), 0);
	change(IOFILTER_MAP_ALARM, IOFILTER_MAP_ALARM_ONCE);
	change(IOFILTER_MAP_VALUE, 0);
	usleep(2000);
	for (i = 0; i < MAP_WATCHERS; i++) {
		struct pollfd p = { .fd = a[i].fd, .events = POLLIN };

		assert_int_equal(poll(&p, 1, 1000), 1);
		assert_int_equal(map_alarm_read(map, &a[i], &n), 0);
		assert_int_equal(n, 1);
		map_alarm_close(map, &a[i]);
	}
	for (i = 0; i < MAP_WATCHERS; i++)
		assert_int_equal(map->watchers[i].who, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(periods),
		cmocka_unit_test(remaining),
		cmocka_unit_test(others),
		cmocka_unit_test(watchers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
