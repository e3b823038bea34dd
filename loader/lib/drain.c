// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Let a filter finish before it goes: what it has begun, the VMM does not know of. */
#include <string.h>
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
	struct iofilter_head *head;
	__u64 cut = 0;

	if (state_fd < 0)
		return 0;
	head = mmap(NULL, sizeof(*head), PROT_READ, MAP_SHARED, state_fd, 0);
	if (head == MAP_FAILED)
		return 0;
	if (head->magic == IOFILTER_STATE_MAGIC)
		cut = iofilter_load(head->cut);
	munmap(head, sizeof(*head));
	return cut;
}

unsigned int drain_state(int state_fd, unsigned int ms)
{
	unsigned int left = 0;
	struct iofilter_head *head;

	if (state_fd < 0)
		return 0;
	head = mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
	if (head == MAP_FAILED)
		return 0;
	if (head->magic == IOFILTER_STATE_MAGIC) {
		iofilter_store(head->drain, !!ms);
		left = ms ? drain_wait(head, ms) : iofilter_load(head->in_flight);
	}
	munmap(head, sizeof(*head));
	return left;
}
