// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Who changes what a guest's accesses depend on is to be neither preempted nor killed in the middle of it: accesses wait only briefly for the
 * lock and are then left to the VMM, with what the filter knew of them, and what was left behind half changed has to be found out and forgotten.
 */
#include <pthread.h>
#include "lib.h"

/*
 * Without the right to SCHED_FIFO it is unlikely that we are preempted, no more.
 *
 * Only from a policy that there is a way back to: a deadline is more than sched_param holds, and SCHED_RESET_ON_FORK can be cleared with
 * CAP_SYS_NICE only, so a thread that does not have it set does not get it.
 */
void lib_hurry(struct lib_hurry *h)
{
	const struct sched_param fifo = { .sched_priority = 1 };
	sigset_t all;
	int flag;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &h->signals);
	h->policy = sched_getscheduler(0);
	flag = h->policy & SCHED_RESET_ON_FORK;
	switch (h->policy & ~SCHED_RESET_ON_FORK) {
	case SCHED_OTHER:
	case SCHED_IDLE:
	case SCHED_BATCH:
		if (h->policy >= 0 && !sched_getparam(0, &h->param) && !sched_setscheduler(0, SCHED_FIFO | flag, &fifo))
			return;
	}
	h->policy = -1;
}

void lib_calm_down(const struct lib_hurry *h)
{
	if (h->policy >= 0)
		sched_setscheduler(0, h->policy, &h->param);
	pthread_sigmask(SIG_SETMASK, &h->signals, NULL);
}
