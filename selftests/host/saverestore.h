/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A filter's state in the midst of a guest's program: saved, and restored into a fresh filter, as VMMs save and load. What libiofilter has
 * for that is behind these functions (saverestore/registers.c), since its headers and those of the simulated kernel do not go together.
 */
#ifndef SELFTESTS_SAVERESTORE_H
#define SELFTESTS_SAVERESTORE_H

#include <stdbool.h>
#include <stddef.h>

/* CLOCK_MONOTONIC as libiofilter has it; 0: the real one. */
extern unsigned long long restore_now;

/* How often in this run, .. with a sequence of the guest's in flight, and what was answered later in the same programs. */
extern struct restore_count {
	unsigned long saves, in_flight, programs, answered;
	unsigned long long bytes;
} restore_count;

/* Both abort on an error. The data is malloc()ed. */
void *registers_save(const char *device, void *state, size_t *size);
void registers_restore(const char *device, void *fresh, const void *data, size_t size);

/* The same in one step; the clock moves by @shift in between. The two have the same layout. */
void registers_move(const char *device, void *old, void *fresh, long long shift);

/*
 * A VMM that wants to know what each access changes: around it. The first time it begins to follow them. Return: NULL, or the register whose
 * change was not told, or of which one was told that was none.
 */
void registers_before(const char *device, void *state);
const char *registers_after(const char *device, void *state);

/* Changes that were told in this run, and accesses without one. */
extern struct follow_count {
	unsigned long told, quiet;
	unsigned long long by; /* registers of which one was told, in the order of the list of those of the device */
} follow_count;

void follow_print(const char *device);

/*
 * A test that cannot fail shows nothing. For each register of what the guest has done: @run without it in what is saved; and for each that
 * means something in one run only, but can be set: @run with that set to what was saved. It runs in a process of its own, and
 * returns non-zero or dies when it has found out. @spared: registers (NULL: no more) for which it cannot. Return: how many others
 * were not found out, or are in vain in that list; printed.
 */
struct restore_spared {
	const char *name, *why;
};

int registers_mutants(const char *device, int (*run)(void), const struct restore_spared *spared);
/* In such a process. */
extern bool restore_mutant;

void restore_print(const char *device);

#endif /* SELFTESTS_SAVERESTORE_H */
