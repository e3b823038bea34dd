/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What accesses have changed, from the side of who is told: bits that a program sets by atomic operations. Not for BPF. */
#ifndef IOFILTER_CHANGED_H
#define IOFILTER_CHANGED_H

#include <iofilter/clock.h>

/*
 * Take @n words of bits to @words, by a full barrier: what is read after this is as new as the bits, or newer. By one thread at a time.
 * Return: whether there are any.
 */
static inline int iofilter_changed_take(__u64 *changed, int n, __u64 *words)
{
	int i, any = 0;

	for (i = 0; i < n; i++) {
		words[i] = iofilter_load(changed[i]) ? __atomic_exchange_n(&changed[i], 0, __ATOMIC_SEQ_CST) : 0;
		any |= words[i] != 0;
	}
	return any;
}

#endif /* IOFILTER_CHANGED_H */
