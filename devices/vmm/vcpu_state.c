// SPDX-License-Identifier: GPL-2.0
/*
 * A vCPU's state, as sections of KVM's own structures (which are little-endian, and the same for ever: they are its interface). Not in
 * KVM_RUN, and not within an access.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "save.h"

#define MAX_MSRS 1024

#define MSR_TSC		0x10
#define MSR_HYPERV	0x40000000
#define MSR_HYPERV_LAST 0x40000fff

/*
 * In the order in which KVM is to get them: the modes of CPU and APIC first. Read from the last on, since KVM_GET_MP_STATE may carry out
 * an INIT or SIPI that is pending.
 */
static const struct part {
	const char *name;
	unsigned long get, set;
	size_t size;
} parts[] = {
	{ "sregs", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2) },
	{ "regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs) },
	{ "xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs) },
	{ "debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs) },
	{ "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events) },
	{ "mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state) },
};

#define NR_PARTS (sizeof(parts) / sizeof(parts[0]))

union any_part {
	struct kvm_sregs2 sregs;
	struct kvm_regs regs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
};

static int no_vcpu(const struct vcpu *v, const char *what)
{
	vmm_error("vCPU %u: %s: %s", v->index, what, strerror(errno));
	return -1;
}

/* What clocks.c keeps, and what belongs to an interface that the guest is not offered and that KVM would switch on by being asked. */
static bool skipped(__u32 index)
{
	return index == MSR_TSC || index == MSR_TSC_DEADLINE || (index >= MSR_HYPERV && index <= MSR_HYPERV_LAST);
}

/* Those that this vCPU has: KVM's list is of all that it knows. */
static int save_msrs(struct vcpu *v, struct snapshot_out *o)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MAX_MSRS * sizeof(list->indices[0]));
	struct kvm_msr_entry *e = calloc(MAX_MSRS, sizeof(*e));
	__u32 i, nr = 0;
	__u64 val = 0;
	int err = -1;

	if (list)
		list->nmsrs = MAX_MSRS;
	if (list && e && !ioctl(v->vmm->kvm, KVM_GET_MSR_INDEX_LIST, list)) {
		for (i = 0; i < list->nmsrs; i++)
			if (!skipped(list->indices[i]) && !vcpu_msr(v, KVM_GET_MSRS, list->indices[i], &val))
				e[nr++] = (struct kvm_msr_entry){ .index = list->indices[i], .data = val };
		section_put(o, "msrs", v->index, e, nr * sizeof(*e));
		err = 0;
	} else {
		no_vcpu(v, "the list of MSRs");
	}
	free(e);
	free(list);
	return err;
}

/* One that cannot be written but has its value anyway is no loss. */
static int restore_msrs(struct vcpu *v, const struct snapshot *s)
{
	const struct section *f = section_find(s, "msrs", v->index);
	struct kvm_msr_entry e;
	size_t at;
	__u64 val;

	if (!f || f->size % sizeof(e)) {
		vmm_error("--restore: %s has no msrs %u that fit", s->name, v->index);
		return -1;
	}
	for (at = 0; at < f->size; at += sizeof(e)) {
		memcpy(&e, f->data + at, sizeof(e));
		val = e.data;
		if (!vcpu_msr(v, KVM_SET_MSRS, e.index, &val) || (!vcpu_msr(v, KVM_GET_MSRS, e.index, &val) && val == e.data))
			continue;
		vmm_error("--restore: vCPU %u does not take 0x%llx as MSR 0x%x", v->index, e.data, e.index);
		return -1;
	}
	return 0;
}

/* Sizes of what depends on the host's CPU; 0: there is no such thing. */
static size_t xsave_size(const struct vmm *vmm)
{
	int n = ioctl(vmm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	return n > (int)sizeof(struct kvm_xsave) ? (size_t)n : sizeof(struct kvm_xsave);
}

static size_t nested_size(const struct vmm *vmm)
{
	int n = ioctl(vmm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);

	return n > 0 ? n : 0;
}

static int save_sized(struct vcpu *v, struct snapshot_out *o)
{
	size_t xsave = xsave_size(v->vmm), nested = nested_size(v->vmm);
	void *buf = calloc(1, xsave > nested ? xsave : nested);
	int err = 0;

	if (!buf || ioctl(v->fd, KVM_GET_XSAVE2, buf))
		err = no_vcpu(v, "xsave");
	else
		section_put(o, "xsave", v->index, buf, xsave);
	if (!err && nested) {
		memset(buf, 0, nested);
		((struct kvm_nested_state *)buf)->size = nested;
		if (ioctl(v->fd, KVM_GET_NESTED_STATE, buf))
			err = no_vcpu(v, "the state of nested guests");
		else
			section_put(o, "nested", v->index, buf, nested);
	}
	free(buf);
	return err;
}

static int restore_sized(struct vcpu *v, const struct snapshot *s, const char *name, size_t size, unsigned long set)
{
	void *buf = calloc(1, size);
	int err = buf ? section_get(s, name, v->index, buf, size) : -1;

	if (!err && ioctl(v->fd, set, buf))
		err = no_vcpu(v, name);
	free(buf);
	return err;
}

int vcpu_save(struct vcpu *v, struct snapshot_out *o)
{
	unsigned int i = NR_PARTS;
	union any_part part;
	int khz;

	while (i--) {
		memset(&part, 0, sizeof(part));
		if (ioctl(v->fd, parts[i].get, &part))
			return no_vcpu(v, parts[i].name);
		section_put(o, parts[i].name, v->index, &part, parts[i].size);
	}
	khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);
	section_put(o, "tsc_khz", v->index, &khz, sizeof(khz));
	section_put(o, "tsc", v->index, &v->tsc, sizeof(v->tsc));
	section_put(o, "deadline", v->index, &v->deadline, sizeof(v->deadline));
	section_put(o, "lapic", v->index, &v->lapic, sizeof(v->lapic));
	section_put(o, "cpuid", v->index, v->cpuid->entries, v->cpuid->nent * sizeof(v->cpuid->entries[0]));
	return save_sized(v, o) || save_msrs(v, o);
}

static int same_cpu(struct vcpu *v, const struct snapshot *s)
{
	const struct section *f = section_find(s, "cpuid", v->index);
	size_t size = v->cpuid->nent * sizeof(v->cpuid->entries[0]);
	int khz;

	if (section_get(s, "tsc_khz", v->index, &khz, sizeof(khz)))
		return -1;
	if (!f || f->size != size || memcmp(f->data, v->cpuid->entries, size))
		vmm_error("--restore: %s was saved on a CPU or a KVM with other features", s->name);
	else if (khz != ioctl(v->fd, KVM_GET_TSC_KHZ, 0))
		vmm_error("--restore: %s was saved with a TSC of %d kHz, and this one has %d", s->name, khz, ioctl(v->fd, KVM_GET_TSC_KHZ, 0));
	else
		return 0;
	return -1;
}

int vcpu_restore(struct vcpu *v, const struct snapshot *s)
{
	size_t nested = nested_size(v->vmm);
	union any_part part;
	unsigned int i;

	if (same_cpu(v, s) || section_get(s, "tsc", v->index, &v->tsc, sizeof(v->tsc)) ||
	    section_get(s, "deadline", v->index, &v->deadline, sizeof(v->deadline)) ||
	    section_get(s, "lapic", v->index, &v->lapic, sizeof(v->lapic)))
		return -1;
	for (i = 0; i < NR_PARTS; i++) {
		memset(&part, 0, sizeof(part));
		if (section_get(s, parts[i].name, v->index, &part, parts[i].size))
			return -1;
		if (ioctl(v->fd, parts[i].set, &part))
			return no_vcpu(v, parts[i].name);
		/* Only in the mode of the CPU there may be a nested guest, whose registers are those that follow. */
		if (!i && nested && restore_sized(v, s, "nested", nested, KVM_SET_NESTED_STATE))
			return -1;
		if (!i && ioctl(v->fd, KVM_SET_LAPIC, &v->lapic))
			return no_vcpu(v, "lapic");
	}
	return restore_sized(v, s, "xsave", xsave_size(v->vmm), KVM_SET_XSAVE) || restore_msrs(v, s);
}
