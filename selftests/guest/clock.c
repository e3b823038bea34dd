// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the Linux guest: reads a clock as fast as it can and judges it. One line of JSON on stdout.
 *
 *   clock gettime READS [SECONDS]          clock_gettime(CLOCK_MONOTONIC_RAW): a system call that reads the clocksource
 *   clock port|mixed|lock|poll READS [SECONDS] [PORT]   the PM timer's port itself, by the module kmod/portclock.c
 *                                          (mixed: other accesses in between; lock: that, and all runs hand one lock around)
 *   clock sync TTY                         for each byte that comes in at TTY, the time; until a "q"
 *   clock access in|out|ins|outs PORT WIDTH [COUNT] one access of that width and what it gave, by the same module
 *   clock hpet whole|halves|low|mixed READS the HPET's main counter, by the module kmod/hpetclock.c
 *
 * Ends after READS, or after SECONDS if that is not 0 and comes first; a loop of a module at SIGTERM, too. Exit status 1 if the clock ever stepped back.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000ULL

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static int gettime(uint64_t reads, double seconds)
{
	uint64_t start = now(), prev = start, t, n = 0, back = 0, max_gap = 0, max_back = 0;
	uint64_t end = seconds > 0 ? start + seconds * NSEC_PER_SEC : UINT64_MAX;

	for (; n < reads && prev < end; n++, prev = t) {
		t = now();
		if (t < prev) {
			back++;
			if (prev - t > max_back)
				max_back = prev - t;
		} else if (t - prev > max_gap) {
			max_gap = t - prev;
		}
	}
	printf("{\"reads\": %llu, \"elapsed_ns\": %llu, \"back\": %llu, \"max_back_ns\": %llu, \"max_gap_ns\": %llu}\n",
	       (unsigned long long)n, (unsigned long long)(prev - start), (unsigned long long)back,
	       (unsigned long long)max_back, (unsigned long long)max_gap);
	return back ? 1 : 0;
}

/* The host brackets each answer between sending a byte and seeing the first of the answer. */
static int sync_clock(const char *tty)
{
	int fd = open(tty, O_RDWR);
	char c, line[32];

	while (fd >= 0 && read(fd, &c, 1) == 1 && c != 'q') {
		snprintf(line, sizeof(line), "%llu\n", (unsigned long long)now());
		if (write(fd, line, strlen(line)) < 0)
			break;
	}
	if (fd >= 0 && c == 'q')
		return 0;
	fprintf(stderr, "clock: %s: %s\n", tty, strerror(errno));
	return 2;
}

/* The module ends its loop at a signal; its result is to be printed then. */
static void stop(int sig)
{
	(void)sig;
}

/* Hand the words to the module as one line and print its answer. */
static int by_module(int argc, char **argv)
{
	char line[256] = "", reply[512];
	const char *path = strcmp(argv[0], "hpet") ? "/proc/portclock" : "/proc/hpetclock";
	int fd = open(path, O_RDWR), i;
	ssize_t n;

	signal(SIGTERM, stop);
	if (fd < 0) {
		fprintf(stderr, "clock: %s: %s (its module is not loaded?)\n", path, strerror(errno));
		return 2;
	}
	for (i = 0; i < argc; i++) {
		strncat(line, argv[i], sizeof(line) - strlen(line) - 2);
		strcat(line, " ");
	}
	if (write(fd, line, strlen(line)) < 0 || (n = read(fd, reply, sizeof(reply) - 1)) < 0) {
		fprintf(stderr, "clock: %s: %s\n", line, strerror(errno));
		return 2;
	}
	reply[n] = 0;
	fputs(reply, stdout);
	return strstr(reply, "\"back\"") && !strstr(reply, "\"back\": 0,") ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "gettime"))
		return gettime(strtoull(argv[2], NULL, 0), argc > 3 ? atof(argv[3]) : 0);
	if (argc == 3 && !strcmp(argv[1], "sync"))
		return sync_clock(argv[2]);
	if (argc >= 3)
		return by_module(argc - 1, argv + 1);
	fprintf(stderr, "usage: clock gettime|port|mixed|lock|poll READS [SECONDS] [PORT]\n"
			"       clock sync TTY\n"
			"       clock access in|out|ins|outs PORT WIDTH [COUNT]\n"
			"       clock hpet whole|halves|low|mixed READS\n");
	return 2;
}
