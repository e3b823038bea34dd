// SPDX-License-Identifier: GPL-2.0
/* What programs may see of KVM's interrupt lines, and of a string that the VMM has answered. */
#include <linux/btf.h>
#include "iofilter.h"

/* The lines of struct kvm_ioapic lie within this; the type itself is larger in every kernel. */
#define IOAPIC_SIZE 512

/* What KVM_EXIT_IO carries at most. */
#define STRING_SIZE PAGE_SIZE

__bpf_kfunc_start_defs();

/* KVM keeps a bit there for each source that raises the line, and changes it before anything else comes of it. */
__bpf_kfunc int kvm_iofilter_line(const struct kvm_iofilter_req *req, u32 line_at)
{
	if (!req->ioapic)
		return -ENOENT;
	if (line_at % sizeof(unsigned long) || line_at > IOAPIC_SIZE - sizeof(unsigned long))
		return -EINVAL;
	return READ_ONCE(*(unsigned long *)((void *)req->ioapic + line_at)) != 0;
}

__bpf_kfunc u64 kvm_iofilter_string(const struct kvm_iofilter_sample *sample, u32 at)
{
	u64 size = min_t(u64, sample->val, STRING_SIZE) * sample->len, val;

	if (!sample->data || size > STRING_SIZE || at > STRING_SIZE || at + sizeof(val) > size)
		return 0;
	memcpy(&val, sample->data + at, sizeof(val));
	return val;
}

__bpf_kfunc_end_defs();
