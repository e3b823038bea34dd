// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Let a filter finish before it goes: what it has begun, the VMM does not know of. */
#include <sys/mman.h>
#include <time.h>
#include "lib.h"

/* An access that has begun before @head->drain was set may be about to begin a sequence: nothing must be in flight for so long. */
#define DRAIN_QUIET_MS 2

static unsigned int drain_wait(struct iofilter_head *head, unsigned int ms)
{
	const struct timespec one = { .tv_nsec = 1000000 };
	unsigned int quiet = 0, left;

	for (;; ms--) {
		left = iofilter_load(head->in_flight);
		quiet = left ? 0 : quiet + 1;
		if (!ms || quiet > DRAIN_QUIET_MS)
			return left;
		nanosleep(&one, NULL);
	}
}

__u64 drain_cut(int state_fd)
{
	struct iofilter_head *head = head_map(state_fd, PROT_READ);
	__u64 cut;

	if (!head)
		return 0;
	cut = iofilter_load(head->cut);
	head_unmap(head);
	return cut;
}

unsigned int drain_state(int state_fd, unsigned int ms)
{
	struct iofilter_head *head = head_map(state_fd, PROT_READ | PROT_WRITE);
	unsigned int left;

	if (!head)
		return 0;
	iofilter_store(head->drain, !!ms);
	left = ms ? drain_wait(head, ms) : iofilter_load(head->in_flight);
	head_unmap(head);
	return left;
}
