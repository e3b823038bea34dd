/* SPDX-License-Identifier: GPL-2.0 */
/* Registers of a state by their names. */
#ifndef SELFTESTS_REG_NAMED_H
#define SELFTESTS_REG_NAMED_H

#include <loader/lib/reg.h>
#include "host.h"

struct setting {
	const char *name;
	__u64 val;
};

#define MOST_SETTINGS 8

static inline __u64 reg_named(const struct device *d, const char *name)
{
	__u64 id;

	assert_int_equal(iofilter_reg_id(d->name, name, &id), 0);
	return id;
}

static inline __u64 get_named(const struct device *d, void *state, const char *name)
{
	__u64 id = reg_named(d, name), val = 0;

	assert_int_equal(reg_get_many(d, state, &id, 1, &val, IOFILTER_REG_SIZE(id)), 0);
	return val;
}

/* In one step. Return: as reg_set_many(). */
static inline int set_named(const struct device *d, void *state, const struct setting *s, unsigned int n)
{
	__u64 ids[MOST_SETTINGS];
	char buf[8 * MOST_SETTINGS];
	size_t size = 0;

	assert_in_range(n, 1, MOST_SETTINGS);
	for (unsigned int i = 0; i < n; i++) {
		ids[i] = reg_named(d, s[i].name);
		memcpy(buf + size, &s[i].val, IOFILTER_REG_SIZE(ids[i]));
		size += IOFILTER_REG_SIZE(ids[i]);
	}
	return reg_set_many(d, state, ids, n, buf, size);
}

#endif /* SELFTESTS_REG_NAMED_H */
