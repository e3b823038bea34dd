// SPDX-License-Identifier: GPL-2.0
/* The eventfds that a program may signal. */
#include <linux/btf.h>
#include <linux/eventfd.h>
#include "iofilter.h"

/* Return: 0, or -EBADF, -EINVAL: one of @fds is no eventfd; nothing is held then. */
int iofilter_events_get(struct iofilter *f, const __s32 *fds)
{
	struct eventfd_ctx *ctx;
	int i;

	for (i = 0; i < KVM_IOFILTER_EVENTFDS; i++) {
		if (fds[i] <= 0)
			continue;
		ctx = eventfd_ctx_fdget(fds[i]);
		if (IS_ERR(ctx)) {
			iofilter_events_put(f);
			return PTR_ERR(ctx);
		}
		f->events[i] = ctx;
	}
	return 0;
}

void iofilter_events_put(struct iofilter *f)
{
	int i;

	for (i = 0; i < KVM_IOFILTER_EVENTFDS; i++) {
		if (f->events[i])
			eventfd_ctx_put(f->events[i]);
		f->events[i] = NULL;
	}
}

__bpf_kfunc_start_defs();

/* Every request is part of a vCPU's slot: programs cannot make one, and the verifier takes no pointer into the middle. */
__bpf_kfunc int kvm_iofilter_signal(const struct kvm_iofilter_req *req, u32 index)
{
	const struct iofilter *f = container_of(req, struct iofilter_vcpu_slot, req)->f;

	if (index >= KVM_IOFILTER_EVENTFDS || !f->events[index])
		return -ENOENT;
	eventfd_signal(f->events[index]);
	return 0;
}

__bpf_kfunc_end_defs();
