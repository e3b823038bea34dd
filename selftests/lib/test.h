/* SPDX-License-Identifier: GPL-2.0 */
/* Assertions for tests in the machine. They say what was wanted and what was got, and end the test. */
#ifndef SELFTESTS_TEST_H
#define SELFTESTS_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* In any thread, and in a fork: the whole test ends here. */
#define TEST_FAIL(fmt, ...) \
	do { \
		fprintf(stderr, "%s:%d: %s: " fmt "\n", __FILE__, __LINE__, __func__, ##__VA_ARGS__); \
		fflush(NULL); \
		_exit(1); \
	} while (0)

#define TEST_ASSERT(cond, fmt, ...) \
	do { \
		if (!(cond)) \
			TEST_FAIL("%s: " fmt, #cond, ##__VA_ARGS__); \
	} while (0)

/* Integers. */
#define TEST_EQ(got, want) \
	do { \
		__u64 got_ = (got), want_ = (want); \
		if (got_ != want_) \
			TEST_FAIL("%s: wanted %#llx (%lld), got %#llx (%lld)", #got, want_, want_, got_, got_); \
	} while (0)

struct test {
	const char *name;
	void (*run)(void);
};

/* Run all, or those named on the command line. A test that fails ends the program. */
static inline int test_main(const struct test *tests, int n, int argc, char **argv)
{
	int i, j, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < n; i++) {
		for (j = 1; j < argc && strcmp(argv[j], tests[i].name); j++)
			;
		if (argc > 1 && j == argc)
			continue;
		printf("-- %s\n", tests[i].name);
		tests[i].run();
		ran++;
	}
	TEST_ASSERT(ran, "no test of the given name");
	printf("%d passed\n", ran);
	return 0;
}

static inline unsigned long test_scale(void)
{
	const char *s = getenv("IOFILTER_SCALE");
	unsigned long n = s ? strtoul(s, NULL, 0) : 1;

	return n ? n : 1;
}

/* How many of something: @n, with TORTURE set @torture, and IOFILTER_SCALE times as many. */
static inline unsigned long test_count(unsigned long n, unsigned long torture)
{
	return (getenv("TORTURE") ? torture : n) * test_scale();
}

/* What random() is to begin with: SEED= repeats a run. The caller prints it. */
static inline unsigned int test_seed(void)
{
	const char *s = getenv("SEED");

	return s ? strtoul(s, NULL, 0) : (unsigned int)time(NULL);
}

#endif /* SELFTESTS_TEST_H */
