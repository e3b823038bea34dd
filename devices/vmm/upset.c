// SPDX-License-Identifier: GPL-2.0
/*
 * For tests: a VMM whose predictions are bad, and whose disk's filter comes and goes while the guest runs. The guest may notice
 * neither: what is not predicted, or otherwise than it comes, is an access for the VMM as without a filter.
 */
#include <stdlib.h>
#include <event2/event.h>
#include "board.h"
#include "filter.h"

#define WELL_OUT_OF 5 /* in so many, two predictions are as they should be */

__u32 filter_random(struct filter *f, __u32 n)
{
	return rand_r(&f->vmm->opts.seed) % n;
}

enum sabotage filter_sabotage(struct filter *f)
{
	static const enum sabotage kinds[WELL_OUT_OF] = { PREDICT_NOTHING, PREDICT_LESS, PREDICT_ELSEWHERE, PREDICT_WELL, PREDICT_WELL };

	return f->vmm->opts.sabotage ? kinds[filter_random(f, WELL_OUT_OF)] : PREDICT_WELL;
}

static void on_reattach(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;
	static bool gone;
	int err = 0;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&vmm->lock);
	/* To load a program takes so long in an emulated machine that Linux, testing its timer's interrupt at boot, finds that it has none. */
	if (vmm->board->disk.used) {
		if (gone)
			err = filters_return(vmm);
		else
			filters_leave(vmm);
		gone = !gone;
	}
	pthread_mutex_unlock(&vmm->lock);
	if (err)
		vmm_end(vmm, VMM_ERROR);
}

int upset_init(struct vmm *vmm)
{
	struct timeval every = { .tv_sec = vmm->opts.reattach_every / 1000, .tv_usec = vmm->opts.reattach_every % 1000 * 1000 };
	struct event *timer;

	if (!vmm->opts.reattach_every)
		return 0;
	timer = event_new(vmm->events, -1, EV_PERSIST, on_reattach, vmm);
	return !timer || event_add(timer, &every) ? -1 : 0;
}
