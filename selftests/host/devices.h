/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of the device models share: a clock, and a record of what their lines do. */
#ifndef SELFTESTS_DEVICES_H
#define SELFTESTS_DEVICES_H

#include <inttypes.h>
#include <stdbool.h>
#include <linux/types.h>
#include "host.h"

#define SECOND	  1000000000ULL
#define NEVER	  UINT64_MAX
#define NR_EDGES  400000

struct edge {
	uint64_t at;
	unsigned int line;
	int level;
};

static uint64_t now;
static struct edge edges[NR_EDGES];
static unsigned int nr_edges;

static __u64 clock_now(void *arg)
{
	(void)arg;
	return now;
}

static inline void line_set(void *arg, unsigned int line, int level)
{
	(void)arg;
	assert_true(nr_edges < NR_EDGES);
	edges[nr_edges++] = (struct edge){ now, line, level };
}

static inline void irq_set(void *arg, int level)
{
	line_set(arg, 0, level);
}

/* What has happened since the last call is @n edges, and these. */
static inline void expect_edges(const struct edge *want, unsigned int n, uint64_t since)
{
	unsigned int i;

	for (i = 0; i < n && i < nr_edges; i++) {
		if (edges[i].at == want[i].at + since && edges[i].line == want[i].line && edges[i].level == want[i].level)
			continue;
		fail_msg("edge %u: line %u goes to %d at %" PRIu64 ", wanted line %u to %d at %" PRIu64, i, edges[i].line,
			 edges[i].level, edges[i].at - since, want[i].line, want[i].level, want[i].at);
	}
	assert_int_equal(nr_edges, n);
	nr_edges = 0;
}

#define EXPECT(since, ...)                                                                 \
	do {                                                                               \
		static const struct edge want_[] = { __VA_ARGS__ };                        \
		expect_edges(want_, ARRAY_SIZE(want_), since);                             \
	} while (0)

#define EXPECT_QUIET() expect_edges(NULL, 0, 0)

/* The time goes on to @to, and the device is run when it wants to be. */
#define RUN_TO(dev, model, to)                                                             \
	do {                                                                               \
		uint64_t end_ = (to);                                                      \
		while (dev##_deadline(model) <= end_) {                                    \
			now = dev##_deadline(model) > now ? dev##_deadline(model) : now;   \
			dev##_run(model);                                                  \
		}                                                                          \
		now = end_;                                                                \
	} while (0)

#endif /* SELFTESTS_DEVICES_H */
