// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The row of an IDE channel. */
#include "lib.h"
#include <iofilter/ide.h>

int ide_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_ide *ide = state;
	/* An update says where its first range begins. */
	__u64 base = o->addr == ops->ranges[0].addr ? 0 : o->addr;

	if (base == IDE_SECONDARY - (IDE_PRIMARY - ops->ranges[0].addr))
		base = IDE_SECONDARY;
	if (base && base != IDE_PRIMARY && base != IDE_SECONDARY)
		return lib_fail(-EINVAL, "port 0x%llx: an IDE channel is at 0x%x (the primary) or 0x%x", (unsigned long long)o->addr,
				IDE_PRIMARY, IDE_SECONDARY);
	if (o->width && o->width != 8)
		return lib_fail(-EINVAL, "an IDE channel's registers are 8 bits wide, not %u", o->width);
	if (base == IDE_SECONDARY) {
		for (__u32 i = 0; i < ops->nr_ranges; i++)
			ops->ranges[i].addr -= IDE_PRIMARY - IDE_SECONDARY;
		ide->base = IDE_SECONDARY;
		ide->irq = IDE_SECONDARY_IRQ;
	}
	if (o->bracket) {
		ide->watch.absence = o->absence;
		ide->watch.expiry = o->expiry;
		ide->watch.calibrating = 0;
	}
	return 0;
}

void ide_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_ide *ide = state;
	const struct ide_watch *w = &ide->watch;
	__u64 now = lib_now(), answered = 0;
	__u32 i;

	for (i = 0; i < IOFILTER_MAX_VCPUS; i++)
		answered += iofilter_load(ide->vcpus[i].answered);
	verdicts_describe(ide->verdicts, answered, info);
	info->no_clock = 1;
	info->addr = ide->base;
	info->width = 8;
	info->known = __builtin_popcount(iofilter_load(w->known));
	info->drive = 1 + iofilter_load(w->phase);
	info->line = iofilter_load(w->line_proofs) >= 2 * IDE_LINE_PROOFS ? ide->irq : 0;
	info->proof = w->fuse ? IOFILTER_FUSED : IOFILTER_UNPROVEN;
	info->fuse = w->fuse;
	info->changes = w->mismatches;
	info->calibrating = w->calibrating;
	info->last_sample_ago = w->samples && now > w->last_sample_at ? now - w->last_sample_at : 0;
	info->absence = w->absence;
	info->expiry = w->expiry;
	info->best_bracket = w->best_bracket;
	info->samples = w->samples;
	info->lost = w->lost;
	info->suspicions = w->suspicions;
}
