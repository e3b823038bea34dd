/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_MINIMISE_H
#define SELFTESTS_MINIMISE_H

#include <limits.h>
#include "test.h"

/*
 * Leave out of a program of @n accesses, each of @size bytes at @ops, what it fails without, with at most @tries runs. @again runs the first
 * so many of them. Return: how many are left.
 */
static inline int minimise(void *ops, int n, size_t size, int tries, int (*again)(int n))
{
	char *all = malloc(n * size), *to = ops;
	int i, len, at;

	TEST_ASSERT(all, "out of memory");
	for (len = n / 2; len >= 1 && tries; len /= 2)
		for (i = 0; i + len <= n && len < n && tries;) {
			tries--;
			memcpy(all, ops, n * size);
			memmove(to + i * size, to + (i + len) * size, (n - i - len) * size);
			at = again(n - len);
			if (at >= 0) {
				n = at + 1;
				continue;
			}
			memcpy(ops, all, n * size);
			i += len;
		}
	free(all);
	return n;
}

#endif /* SELFTESTS_MINIMISE_H */
