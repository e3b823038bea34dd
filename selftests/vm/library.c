// SPDX-License-Identifier: GPL-2.0
/*
 * libiofilter.so as a program gets it: it prints nothing, whatever fails, with its caller's stdout and stderr open or closed; errors are a
 * thread's own; and threads attach, look, stop and close without regard for each other.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <iofilter/libiofilter.h>
#include "test.h"

#define NO_PID 4194304 /* beyond any pid */

static int kvm, vms[2];
static const char *build; /* where the objects are that the verifier refuses */
static int logged;

static int log_line(const char *fmt, va_list ap)
{
	logged++;
	return vfprintf(stderr, fmt, ap);
}

static int attach_to(int vm_fd, const char *device, const char *obj, struct iofilter **f)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = vm_fd, .obj = obj };

	return iofilter_attach(getpid(), device, &opts, f);
}

/* Calls that fail, each in its own way. Return: how many there are; their results are in @got. */
static int fail_all(int *got)
{
	struct iofilter_opts none = {};
	struct { struct iofilter_opts o; __u64 more; } newer = { .o.size = sizeof(newer), .more = 1 };
	struct iofilter_rules *rules;
	struct iofilter_table *table;
	struct iofilter *f = NULL;
	struct iofilter_vm vm;
	char obj[300];
	int n = 0;

	snprintf(obj, sizeof(obj), "%s/selftests/bad/endless.bpf.o", build);
	got[n++] = attach_to(vms[0], NULL, obj, &f);
	got[n++] = attach_to(vms[0], NULL, "/proc/self/exe", &f);
	got[n++] = attach_to(vms[0], NULL, "/nonexistent", &f);
	got[n++] = attach_to(vms[0], "nosuch", NULL, &f);
	got[n++] = attach_to(vms[0], "table", NULL, &f);
	got[n++] = attach_to(kvm, "pmtimer", NULL, &f);
	got[n++] = iofilter_attach(getpid(), "pmtimer", &none, &f);
	got[n++] = iofilter_attach(getpid(), "pmtimer", &newer.o, &f);
	got[n++] = iofilter_attach(1, "pmtimer", NULL, &f);
	got[n++] = iofilter_attach(NO_PID, "pmtimer", NULL, &f);
	got[n++] = iofilter_vm_get(NO_PID, &vm);
	got[n++] = iofilter_detach(getpid(), "pmtimer", 0);
	got[n++] = iofilter_update(getpid(), "pmtimer", NULL);
	got[n++] = iofilter_clock_set(getpid(), "pmtimer", IOFILTER_CLOCK_STOP, 0);
	got[n++] = iofilter_table_get(getpid(), &table);
	got[n++] = iofilter_rules_read("/nonexistent", &rules);
	got[n++] = iofilter_rules_read("/proc/self/exe", &rules);
	return n;
}

static const int wanted[] = {
	-EINVAL, -EINVAL, -ENOENT, -ENOENT, -EINVAL, -ENODEV, -EINVAL, -EINVAL, -ENODEV, -ESRCH, -ESRCH, -ENOENT, -ENOENT, -ENOENT,
	-ENOENT, -ENOENT, -EINVAL,
};

/* What goes well prints nothing either. Return: NULL, or what has not gone well: there is nowhere to print it yet. */
static const char *succeed(void)
{
	struct iofilter_feature *features = NULL;
	struct iofilter_info *infos = NULL, info;
	struct iofilter *f;
	const char *bad;

	if (attach_to(vms[0], "pmtimer", NULL, &f))
		return iofilter_error();
	bad = iofilter_clock(f, IOFILTER_CLOCK_OWN, 0) ? "iofilter_clock" :
	      iofilter_info_get(f, &info) || info.mode != IOFILTER_CLOCK_OWNED ? "iofilter_info_get" :
	      iofilter_list(getpid(), &infos) != 1 || infos->link_id != iofilter_link_id(f) ? "iofilter_list" :
	      iofilter_features(&features) < 1 ? "iofilter_features" :
	      iofilter_stop(f, 0) ? "iofilter_stop" : NULL;
	free(infos);
	free(features);
	iofilter_close(f);
	return bad;
}

static void judge(const int *got, int n, const char *bad)
{
	TEST_ASSERT(!bad, "%s", bad);
	TEST_EQ(n, ARRAY_SIZE(wanted));
	for (int i = 0; i < n; i++)
		TEST_ASSERT(got[i] == wanted[i], "call %d: wanted %d, got %d", i, wanted[i], got[i]);
}

/* All calls with stdout and stderr in a file. Return: its size. */
static long capture(int saved[2])
{
	char name[] = "/tmp/library.XXXXXX";
	int got[32], n, out, file = mkstemp(name);
	const char *bad;
	struct stat st;

	TEST_ASSERT(file >= 0 && !unlink(name), "%s: %s", name, strerror(errno));
	fflush(NULL);
	for (out = 1; out <= 2; out++)
		dup2(file, out);
	n = fail_all(got);
	bad = succeed();
	fflush(NULL);
	fstat(file, &st);
	for (out = 1; out <= 2; out++)
		dup2(saved[out - 1], out);
	close(file);
	judge(got, n, bad);
	return st.st_size;
}

static void silent(void)
{
	int saved[2] = { fcntl(1, F_DUPFD_CLOEXEC, 10), fcntl(2, F_DUPFD_CLOEXEC, 10) };
	int got[32], n, out;
	const char *bad;
	long size;

	TEST_EQ(capture(saved), 0);
	/* There was something to be said. */
	iofilter_set_log(log_line);
	size = capture(saved);
	iofilter_set_log(NULL);
	printf("%d messages of libbpf's, %ld bytes, were for the hook\n", logged, size);
	TEST_ASSERT(logged > 2 && size > 100, "%d messages, %ld bytes", logged, size);
	TEST_EQ(capture(saved), 0);

	/* Closed: descriptors 0 to 2 are then the library's own ones. */
	fflush(NULL);
	for (out = 0; out <= 2; out++)
		close(out);
	n = fail_all(got);
	bad = succeed();
	for (out = 1; out <= 2; out++)
		dup2(saved[out - 1], out);
	judge(got, n, bad);
}

struct worker {
	pthread_t thread;
	int index, vm_fd, rounds;
	const char *device;
	unsigned long seen;
};

static volatile bool done;

/* One failure in this thread; what the others do in the meantime leaves the reason alone. */
static void own_error(int index)
{
	char want[32];
	struct iofilter_vm vm;

	snprintf(want, sizeof(want), "no such process: %d", NO_PID + index);
	TEST_EQ(-iofilter_vm_get(NO_PID + index, &vm), ESRCH);
	for (int i = 0; i < 100; i++) {
		TEST_ASSERT(!strcmp(iofilter_error(), want), "thread %d: %s", index, iofilter_error());
		sched_yield();
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct iofilter_info info;
	struct iofilter *f, *twice;
	int i;

	for (i = 0; i < w->rounds; i++) {
		TEST_ASSERT(!attach_to(w->vm_fd, w->device, NULL, &f), "thread %d: %s", w->index, iofilter_error());
		own_error(w->index);
		TEST_ASSERT(!iofilter_info_get(f, &info), "%s", iofilter_error());
		TEST_ASSERT(!strcmp(info.device, w->device) && info.pid == getpid() && info.has_state, "%s of %d", info.device, info.pid);
		TEST_EQ(-attach_to(w->vm_fd, w->device, NULL, &twice), EEXIST);
		TEST_ASSERT(strstr(iofilter_error(), w->device), "thread %d: %s", w->index, iofilter_error());
		if (!strcmp(w->device, "pmtimer")) {
			TEST_ASSERT(!iofilter_clock(f, IOFILTER_CLOCK_OWN, 1000 * w->index), "%s", iofilter_error());
			TEST_ASSERT(!iofilter_clock(f, IOFILTER_CLOCK_STOP, 0), "%s", iofilter_error());
		}
		TEST_EQ(iofilter_stop(f, 0), 0);
		TEST_EQ(iofilter_ended(f), IOFILTER_DETACHED);
		iofilter_close(f);
	}
	return NULL;
}

static void *look(void *arg)
{
	struct worker *w = arg;
	struct iofilter_info *infos;
	struct iofilter_vm *list;
	int n;

	while (!done) {
		n = iofilter_list(getpid(), &infos);
		TEST_ASSERT(n >= 0 && n <= 4, "%d: %s", n, iofilter_error());
		w->seen += n;
		free(infos);
		own_error(w->index);
		n = iofilter_vms(&list, NULL);
		TEST_ASSERT(n >= 1, "%d VMs", n);
		free(list);
		w->rounds++;
	}
	return NULL;
}

static void threads(void)
{
	struct worker w[6] = {};
	struct iofilter_info *infos;
	int i, n = 5 * test_scale();

	for (i = 0; i < 6; i++) {
		w[i] = (struct worker){ .index = i, .vm_fd = vms[i / 2 % 2], .device = i % 2 ? "rtc" : "pmtimer", .rounds = i < 4 ? n : 0 };
		TEST_EQ(pthread_create(&w[i].thread, NULL, i < 4 ? work : look, &w[i]), 0);
	}
	for (i = 0; i < 6; i++) {
		if (i == 4)
			done = true;
		pthread_join(w[i].thread, NULL);
	}
	printf("4 threads attached %d times each; 2 looked %d and %d times and saw %lu filters\n", n, w[4].rounds, w[5].rounds,
	       w[4].seen + w[5].seen);
	TEST_ASSERT(w[4].seen + w[5].seen, "the lists were always empty");
	TEST_EQ(iofilter_list(getpid(), &infos), 0);
	free(infos);
}

/* A handle on what somebody else has detached is good for all but a clock that anyone sees. */
static void gone(void)
{
	struct iofilter_info info;
	struct iofilter *f;

	TEST_ASSERT(!attach_to(vms[0], "pmtimer", NULL, &f), "%s", iofilter_error());
	TEST_EQ(iofilter_ended(f), IOFILTER_ATTACHED);
	TEST_EQ(iofilter_detach(getpid(), "pmtimer", 0), 0);
	TEST_EQ(iofilter_ended(f), IOFILTER_DETACHED);
	TEST_EQ(iofilter_info_get(f, &info), 0);
	TEST_EQ(info.end, IOFILTER_DETACHED);
	TEST_EQ(info.has_state, 1);
	TEST_EQ(iofilter_clock(f, IOFILTER_CLOCK_OWN, 0), 0);
	TEST_EQ(((struct iofilter_head *)iofilter_state(f))->magic, IOFILTER_STATE_MAGIC);
	TEST_EQ(iofilter_stop(f, 10), 0);
	iofilter_close(f);
	iofilter_close(NULL);
}

/* What a clock refuses, it says. */
static void clocks(void)
{
	static const struct {
		enum iofilter_clock_op op;
		__s64 value;
		int err;
		const char *why;
	} steps[] = {
		{ IOFILTER_CLOCK_START, 0, -EALREADY, "runs already" },
		{ IOFILTER_CLOCK_STOP, 0, 0, NULL },
		{ IOFILTER_CLOCK_STOP, 0, -EALREADY, "is stopped already" },
		{ IOFILTER_CLOCK_HOLD, 0, 0, NULL },
		{ IOFILTER_CLOCK_HOLD, 0, 0, NULL },
		{ IOFILTER_CLOCK_OWN, INT64_MIN / 2, -EINVAL, "negative" },
		{ IOFILTER_CLOCK_OWN_STOPPED, -1, -EINVAL, "negative" },
		{ IOFILTER_CLOCK_OWN_STOPPED, 1000, 0, NULL },
		{ IOFILTER_CLOCK_START, 0, 0, NULL },
		{ IOFILTER_CLOCK_STOP, 0, 0, NULL },
		{ (enum iofilter_clock_op)99, 0, -EINVAL, "nothing that can be done" },
		{ IOFILTER_CLOCK_PROVE_ANEW, 0, 0, NULL },
	};
	struct iofilter *f;
	int err;

	TEST_ASSERT(!attach_to(vms[0], "pmtimer", NULL, &f), "%s", iofilter_error());
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		err = iofilter_clock(f, steps[i].op, steps[i].value);
		TEST_ASSERT(err == steps[i].err, "step %zu: wanted %d, got %d", i, steps[i].err, err);
		TEST_ASSERT(!err || strstr(iofilter_error(), steps[i].why), "step %zu: %s", i, iofilter_error());
	}
	iofilter_stop(f, 0);
	iofilter_close(f);
	TEST_ASSERT(!attach_to(vms[0], "rtc", NULL, &f), "%s", iofilter_error());
	TEST_EQ(-iofilter_clock(f, IOFILTER_CLOCK_STOP, 0), EOPNOTSUPP);
	iofilter_stop(f, 0);
	iofilter_close(f);
}

/* A program that knows of more options than this library, and uses none of those. */
static void newer(void)
{
	struct { struct iofilter_opts o; __u64 more[4]; } opts = { .o = { .size = sizeof(opts), .vm_fd = vms[1], .addr = 0xb008 } };
	struct iofilter *f;

	TEST_ASSERT(!iofilter_attach(getpid(), "pmtimer", &opts.o, &f), "%s", iofilter_error());
	TEST_EQ(iofilter_ops(f)->ranges[0].addr, 0xb008);
	iofilter_stop(f, 0);
	iofilter_close(f);
	opts.more[3] = 1;
	TEST_EQ(-iofilter_attach(getpid(), "pmtimer", &opts.o, &f), EINVAL);
}

static const struct test tests[] = {
	{ "silent", silent },
	{ "gone", gone },
	{ "clocks", clocks },
	{ "newer", newer },
	{ "threads", threads },
};

int main(int argc, char **argv)
{
	build = getenv("O") ?: "build";
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		vms[i] = ioctl(kvm, KVM_CREATE_VM, 0);
		TEST_ASSERT(vms[i] > 0 && ioctl(vms[i], KVM_CREATE_VCPU, 0) >= 0, "no VM: %s", strerror(errno));
	}
	TEST_ASSERT(!strcmp(iofilter_version(), IOFILTER_VERSION), "another library: %s", iofilter_version());
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
