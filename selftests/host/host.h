/* SPDX-License-Identifier: GPL-2.0 */
/* What every host test needs: cmocka, a seed that is printed (SEED= repeats it) and IOFILTER_SCALE= for larger runs. */
#ifndef SELFTESTS_HOST_H
#define SELFTESTS_HOST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t rnd_state;

static inline uint64_t rnd(void)
{
	uint64_t z = rnd_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline void seed(void)
{
	const char *s = getenv("SEED");
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	rnd_state = s ? strtoull(s, NULL, 0) : (uint64_t)ts.tv_sec * 1000003 ^ ts.tv_nsec;
	printf("# SEED=%llu\n", (unsigned long long)rnd_state);
}

static inline unsigned long scale(void)
{
	const char *s = getenv("IOFILTER_SCALE");
	unsigned long n = s ? strtoul(s, NULL, 0) : 1;

	return n ? n : 1;
}

#endif /* SELFTESTS_HOST_H */
