// SPDX-License-Identifier: GPL-2.0
/*
 * What libiofilter does without a kernel module, from several threads at once and under ThreadSanitizer: reasons of failures are a thread's
 * own; objects are opened one after another, since the hook of libbpf's messages is one for all. Mutants without either must fail
 * (library_threads.sh).
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../loader/lib/lib.h"

#define THREADS 4
#define NO_PID	4194304 /* beyond any pid */

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, iofilter_error()); \
			exit(1); \
		} \
	} while (0)

static int rounds = 10;

/* Without a lock: the library calls it in one thread at a time. */
static int messages;

/* The host has all that is needed, as far as the library looks. */
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
	(void)path, (void)mode;
	return 0;
}

static int count(const char *fmt, va_list ap)
{
	(void)fmt, (void)ap;
	messages++;
	return 0;
}

/* The reason is what this thread's call has left, and stays. */
static void reason(const char *want)
{
	for (int i = 0; i < 20; i++) {
		CHECK(strstr(iofilter_error(), want));
		sched_yield();
	}
}

static void open_objects(int thread)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .obj = thread % 2 ? "/proc/self/exe" : "/dev/null" };
	struct object o;

	CHECK(object_open(&o, NULL, &opts, -1) < 0);
	reason(opts.obj);
	opts.obj = NULL;
	/* As root, and with the module, it may even be loaded. */
	if (object_open(&o, "pmtimer", &opts, -1) < 0)
		reason("pmtimer");
	else
		object_close(&o);
}

static void fail_each(int thread, int round)
{
	struct iofilter_opts none = {}, both = { .size = sizeof(both), .obj = "x", .pinned = "y" };
	struct iofilter_rules *rules;
	struct iofilter *f;
	struct iofilter_vm vm;
	char want[64];

	snprintf(want, sizeof(want), "/nonexistent/%d/%d", thread, round);
	CHECK(iofilter_rules_read(want, &rules) == -ENOENT);
	reason(want);
	snprintf(want, sizeof(want), "no such process: %d", NO_PID + thread);
	CHECK(iofilter_vm_get(NO_PID + thread, &vm) == -ESRCH);
	reason(want);
	CHECK(iofilter_attach(NO_PID + thread, "pmtimer", NULL, &f) == -ESRCH);
	reason(want);
	snprintf(want, sizeof(want), "device-%d", thread);
	CHECK(iofilter_attach(getpid(), want, NULL, &f) == -ENOENT);
	reason(want);
	CHECK(iofilter_attach(getpid(), "pmtimer", thread % 2 ? &none : &both, &f) == -EINVAL);
	reason(thread % 2 ? "size" : "both");
	CHECK(iofilter_rules_read("/proc/self/exe", &rules) == -EINVAL || iofilter_rules_read("/proc/self/exe", &rules) == -EFBIG);
	reason("/proc/self/exe");
}

static void look(void)
{
	struct iofilter_feature *features;
	struct iofilter_info *infos;
	struct iofilter_vm *vms;
	unsigned int hidden;
	int n;

	CHECK(iofilter_devices() == iofilter_devices() && !strcmp(iofilter_devices()[0], "pmtimer"));
	CHECK(!strcmp(iofilter_version(), IOFILTER_VERSION));
	CHECK(iofilter_features(&features) > 0);
	free(features);
	CHECK(iofilter_vms(&vms, &hidden) >= 0);
	free(vms);
	n = iofilter_list(0, &infos);
	if (n >= 0)
		free(infos);
}

static void *work(void *arg)
{
	int thread = (long)arg;

	for (int i = 0; i < rounds; i++) {
		fail_each(thread, i);
		open_objects(thread);
		look();
		iofilter_set_log(count);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	long i;

	if (getenv("ROUNDS"))
		rounds = atoi(getenv("ROUNDS"));
	iofilter_set_log(count);
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)i));
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%d threads, %d rounds each, %d messages of libbpf's\n", THREADS, rounds, messages);
	CHECK(messages >= rounds * THREADS);
	return 0;
}
