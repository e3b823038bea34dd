// SPDX-License-Identifier: GPL-2.0
/* What programs may see of KVM's own PIT. */
#include <linux/btf.h>
#include <linux/mutex.h>
#include <linux/timekeeping.h>
#include "iofilter.h"

/* All of struct kvm_pit that can matter lies within this; the type itself is larger in every kernel. */
#define PIT_SIZE 256

/* The lock is held for less than a microsecond, unless its owner is preempted. */
#define PIT_TRIES 64

__bpf_kfunc_start_defs();

/*
 * KVM stores a channel as its user API has it (KVM_GET_PIT2 copies it as a whole). A new count comes with a new load time, both under
 * the lock, and everything else is a single field: so what was read is of one moment if the load time has not changed, and
 * nobody has the lock at the end. Taking the lock would let a wrong offset do harm.
 */
__bpf_kfunc int kvm_iofilter_pit(const struct kvm_iofilter_req *req, u32 channel_at, u32 lock_at,
				 struct kvm_iofilter_pit_channel *to)
{
	const struct kvm_pit_channel_state *c = (void *)req->pit + channel_at;
	struct mutex *lock = (void *)req->pit + lock_at;
	int tries;

	if (!req->pit || (channel_at | lock_at) % 8 || channel_at > PIT_SIZE - sizeof(*c) || lock_at > PIT_SIZE - sizeof(*lock))
		return -EINVAL;
	for (tries = 0; tries < PIT_TRIES; tries++) {
		to->load = READ_ONCE(c->count_load_time);
		smp_rmb();
		to->count = READ_ONCE(c->count);
		to->mode = READ_ONCE(c->mode);
		to->gate = READ_ONCE(c->gate);
		to->pad = 0;
		to->at = ktime_get_ns();
		smp_rmb();
		if (!mutex_is_locked(lock) && READ_ONCE(c->count_load_time) == to->load)
			return 0;
		cpu_relax();
	}
	return -EBUSY;
}

__bpf_kfunc_end_defs();
