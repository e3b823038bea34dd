/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * An IDE channel from the side of a VMM that cooperates, through the mapping of the filter's state. Not for BPF.
 *
 * Whenever an access to the channel comes to the VMM, and before it saves or resets it: iofilter_ide_take(). Then the VMM does what is to
 * be done with its own model. At the end iofilter_ide_give(): from then on the filter answers. Both under the VMM's lock of the channel.
 *
 * In a read command the VMM can give sectors ahead: it reads them to where iofilter_ide_ahead() says, and gives the number of the
 * first and how many there are. The registers name the sector behind the block of this moment; sectors that are not those are refused.
 *
 * If the filter is to interrupt the guest, its eventfds[0] is an irqfd of the channel's line. It makes edges, so the VMM must
 * use the same eventfd itself and not hold the line up by KVM_IRQ_LINE. Otherwise the last word of each block but the last goes
 * to the VMM while the guest wants interrupts.
 *
 * A filter that is gone (detached, its loader killed) answers nothing more, and nothing is lost: what it was given stays in the
 * mapping, and the VMM takes it at the next access. So there is nothing to drain.
 */
#ifndef IOFILTER_IDE_VMM_H
#define IOFILTER_IDE_VMM_H

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <iofilter/ide_channel.h>

/*
 * A string of another vCPU is over within microseconds, unless that vCPU is preempted. Or it has ended long ago, when the guest's RCX has
 * said more than it meant.
 */
#define IDE_OWN_STRING_NS 200000000ULL

static inline __u64 iofilter_ide_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Once, before the first give, and for good: what proves the state of a channel that nobody gives has not seen what went by. */
static inline void iofilter_ide_cooperate(struct ide_own *o, int signals)
{
	o->signals = signals;
	iofilter_store(o->cooperates, 1);
}

static inline void iofilter_ide_lock(struct ide_own *o)
{
	/* The owner is in the kernel, for about a microsecond. */
	while (__sync_val_compare_and_swap(&o->lock, 0, 1))
		sched_yield();
}

static inline void iofilter_ide_unlock(struct ide_own *o)
{
	__atomic_store_n(&o->lock, 0, __ATOMIC_RELEASE);
}

/*
 * The channel goes to the VMM: @c and, if the guest is reading a block, that (c->end bytes to @block, which has room for
 * IDE_OWN_BLOCK sectors). Return: 1, or 0: it was the VMM's, and nothing is written.
 */
static inline int iofilter_ide_take(struct ide_own *o, struct ide_channel *c, void *block)
{
	__u64 until = 0;
	int given;

	for (;;) {
		iofilter_ide_lock(o);
		if (!iofilter_load(o->string.left) || !o->given)
			break;
		if (until && iofilter_ide_now() > until)
			break;
		iofilter_ide_unlock(o);
		until = until ? until : iofilter_ide_now() + IDE_OWN_STRING_NS;
		sched_yield();
	}
	given = o->given;
	if (given) {
		o->given = 0;
		o->string.left = 0;
		o->takes++;
		*c = o->c;
		c->pos = c->end = 0;
		if (c->status & IDE_DRQ) {
			c->pos = o->pos - o->begin;
			c->end = o->end - o->begin;
			memcpy(block, o->data + o->begin, c->end);
		}
	}
	iofilter_ide_unlock(o);
	return given;
}

/* Where the next give's sectors ahead go to: room for IDE_OWN_SECTORS. @c: as it will be given. The channel is the VMM's. */
static inline void *iofilter_ide_ahead(struct ide_own *o, const struct ide_channel *c)
{
	return o->data + (c->status & IDE_DRQ ? c->end : 0);
}

/* The sector behind the block of this moment, by LBA. */
static inline __u64 iofilter_ide_next(const struct ide_channel *c)
{
	const struct ide_taskfile *t = &c->drives[0];
	__u64 low = (__u64)t->lba_high << 16 | t->lba_mid << 8 | t->lba_low;

	if (c->lba48)
		return (__u64)t->hob_lba_high << 40 | (__u64)t->hob_lba_mid << 32 | (__u64)t->hob_lba_low << 24 | low;
	return (__u64)(t->device & IDE_DEVICE_HEAD) << 24 | low;
}

/* What can be given ahead of the guest in this command. The registers of the address wrap, so not beyond their end. */
static inline __u32 iofilter_ide_wanted(const struct ide_channel *c)
{
	__u64 room = (c->lba48 ? 1ULL << 48 : 1ULL << 28) - iofilter_ide_next(c);
	__u32 n = c->drives[0].count;

	if (c->unit || !(c->status & IDE_DRQ) || c->transfer != IDE_DATA_IN || !(c->drives[0].device & IDE_DEVICE_LBA) ||
	    !c->block || c->block > IDE_OWN_BLOCK)
		return 0;
	n = n < room ? n : room;
	return n < IDE_OWN_SECTORS ? n : IDE_OWN_SECTORS;
}

/*
 * The channel goes to the filter: @c and, if the guest is reading a block, that (c->end bytes of @block), and @n sectors ahead of it
 * from @sector on, which stand at iofilter_ide_ahead().
 *
 * Return: 0; 1: without those ahead, which are not what the command reads next; -EINVAL: this cannot be given (the
 * slave is selected, the guest writes data), and stays the VMM's; -EBUSY: it was not taken.
 */
static inline int iofilter_ide_give(struct ide_own *o, const struct ide_channel *c, const void *block, __u64 sector, __u32 n)
{
	int refused = n && (n > iofilter_ide_wanted(c) || sector != iofilter_ide_next(c));
	int reads = c->status & IDE_DRQ;

	if (o->given)
		return -EBUSY;
	if (c->unit || c->status & IDE_BSY || c->control & IDE_CTL_SRST)
		return -EINVAL;
	if (reads && ((c->transfer != IDE_DATA_IN && c->transfer != IDE_DATA_ANSWER) || c->pos >= c->end ||
		      c->end > IDE_OWN_BLOCK * IDE_SECTOR))
		return -EINVAL;
	if (refused)
		n = 0;
	iofilter_ide_lock(o);
	o->c = *c;
	o->pos = reads ? c->pos : 0;
	o->begin = 0;
	o->end = reads ? c->end : 0;
	o->there = o->end + n * IDE_SECTOR;
	/* An answer is no sectors, whatever count says. By CHS the next address would be a matter of geometry: the VMM's. */
	o->last = o->end + (reads && c->transfer == IDE_DATA_IN ? c->drives[0].count * IDE_SECTOR : 0);
	if (reads)
		memcpy(o->data, block, c->end);
	o->gives++;
	o->sectors += n;
	o->refused += refused;
	o->given = 1;
	iofilter_ide_unlock(o);
	return refused;
}

#endif /* IOFILTER_IDE_VMM_H */
