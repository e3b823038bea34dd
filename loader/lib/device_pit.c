// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The PIT's row in the table of devices. */
#include <time.h>
#include "lib.h"
#include <iofilter/pit.h>

int pit_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_pit *p = state;
	int i;

	/* An update says where it is. */
	if (o->addr && o->addr != ops->ranges[0].addr)
		return lib_fail(-EINVAL, "a PIT is at ports 0x%x to 0x%x, and nowhere else", PIT_PORT, PIT_CONTROL);
	if (o->width && o->width != 16)
		return lib_fail(-EINVAL, "a PIT's counters are 16 bits wide, not %u", o->width);
	for (i = 0; o->bracket && i < PIT_CHANNELS; i++) {
		p->channels[i].clock.bracket = o->bracket;
		p->channels[i].clock.absence = o->absence;
		p->channels[i].clock.expiry = o->expiry;
		p->channels[i].clock.calibrating = 0;
	}
	return 0;
}

static void describe_channel(const struct pit_channel *c, struct iofilter_channel *to)
{
	to->known = c->programmed;
	to->mode = c->mode;
	to->access = c->rw;
	to->bcd = c->bcd;
	to->count = c->count;
	to->proof = c->clock.proof;
	to->ready = c->clock.ready;
	to->bounds = c->clock.bounded && c->clock.hi > c->clock.lo ? c->clock.hi - c->clock.lo : 0;
	to->latch_bytes = c->latched == PIT_RW_WORD ? 2 : !!c->latched;
	to->latch = c->latch;
	to->status_latched = c->status_latched;
	to->status = c->status;
	to->pair = c->pair;
}

/* Is @a's clock the better one to show? */
static bool better(const struct iofilter_clock *a, const struct iofilter_clock *b)
{
	bool a_proven = a->proof == IOFILTER_PROVEN, b_proven = b->proof == IOFILTER_PROVEN;

	if (a_proven != b_proven)
		return a_proven;
	return a_proven ? a->since < b->since : a->samples > b->samples;
}

void pit_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_pit *p = state;
	__u32 i;

	verdicts_describe(p->verdicts, iofilter_load(p->answered), info);
	info->commands = iofilter_load(p->commands);
	info->odd_reads = p->odd;
	info->addr = PIT_PORT;
	info->width = 16;
	info->nr_channels = PIT_CHANNELS;
	for (i = 0; i < PIT_CHANNELS; i++) {
		describe_channel(&p->channels[i], &info->channels[i]);
		if (better(&p->channels[i].clock, &p->channels[info->clock_channel].clock))
			info->clock_channel = i;
	}
	clock_describe(&p->channels[info->clock_channel].clock, info);
	info->mode = iofilter_load(p->attention) & PIT_HELD ? IOFILTER_CLOCK_HELD : IOFILTER_CLOCK_PROVE;
}

bool pit_clock(void *state, unsigned int i, struct clock_ref *ref)
{
	struct iofilter_pit *p = state;

	if (i)
		return false;
	*ref = (struct clock_ref){ .pit = p };
	return true;
}

/*
 * The channels' bounds are worth keeping: where in its period a count is, an answer tells again. So the program itself doubts them
 * when it may go on.
 */
int pit_clock_set(struct iofilter_pit *p, enum iofilter_clock_op op)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int tries;

	switch (op) {
	case IOFILTER_CLOCK_OWN:
	case IOFILTER_CLOCK_OWN_STOPPED:
		return -EOPNOTSUPP;
	case IOFILTER_CLOCK_STOP:
	case IOFILTER_CLOCK_HOLD:
		if (__sync_fetch_and_or(&p->attention, PIT_HELD) & PIT_HELD && op == IOFILTER_CLOCK_STOP)
			return -EALREADY;
		/* Who has the lock now may not have seen it. */
		for (tries = 0; iofilter_load(p->lock); tries++) {
			if (tries == 1000)
				return -EBUSY;
			nanosleep(&ms, NULL);
		}
		return 0;
	case IOFILTER_CLOCK_START:
		if (!(iofilter_load(p->attention) & PIT_HELD))
			return -EALREADY;
		/* fall through */
	case IOFILTER_CLOCK_PROVE_ANEW:
		__sync_fetch_and_or(&p->attention, PIT_DOUBTED);
		__sync_fetch_and_and(&p->attention, ~PIT_HELD);
		return 0;
	}
	return -EINVAL;
}
