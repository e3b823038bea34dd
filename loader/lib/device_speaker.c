// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The row of port 0x61 beside KVM's own PIT. */
#include "lib.h"
#include <iofilter/speaker.h>

int speaker_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	(void)state;
	/* An update says where it is. */
	if (o->addr && o->addr != ops->ranges[0].addr)
		return lib_fail(-EINVAL, "the speaker is at port 0x%x, and nowhere else", PIT_SYSTEM);
	if (o->width && o->width != 8)
		return lib_fail(-EINVAL, "port 0x%x is 8 bits wide, not %u", PIT_SYSTEM, o->width);
	/* A timing is for the other devices that are attached with it: this one has no clock. */
	return 0;
}

void speaker_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_speaker *p = state;
	__u64 now = lib_now();

	verdicts_describe(p->verdicts, iofilter_load(p->answered), info);
	info->addr = PIT_SYSTEM;
	info->width = 8;
	info->proof = p->proof;
	info->fuse = p->fuse;
	info->ready = p->proof == IOFILTER_PROVEN && !p->doubt && p->toggle != PIT_UNKNOWN && p->data != PIT_UNKNOWN;
	info->proven_for = p->proof == IOFILTER_PROVEN && now > p->since ? now - p->since : 0;
	info->last_sample_ago = p->samples && now > p->last_sample_at ? now - p->last_sample_at : 0;
	info->samples = p->samples;
	info->narrow = p->samples - p->mismatches;
	info->audits = p->audits;
	info->suspicions = p->doubts;
	info->moves = p->mismatches;
	info->lead = p->lead;
	info->odd_reads = p->odd;
}
