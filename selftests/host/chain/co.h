/* SPDX-License-Identifier: GPL-2.0 */
/* Coroutines in simulated time: the one whose turn is next runs, until it sleeps. */
#ifndef SELFTESTS_CO_H
#define SELFTESTS_CO_H

#include "shim.h"

#define CO_NEVER (~0ULL)

void co_reset(void);
int co_new(void (*run)(long arg), long arg, u64 at);
/* Return: 0, or 1 if co_wake() ended it early. */
int co_sleep(u64 ns);
int co_sleep_deaf(u64 ns); /* co_wake() has no effect */
void co_wake(int co);
void co_run(void); /* until co_end() */
void co_end(void);
int co_self(void);
extern u64 co_switches;

#endif /* SELFTESTS_CO_H */
