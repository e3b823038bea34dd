// SPDX-License-Identifier: GPL-2.0
/*
 * An IDE channel: ports 0x1f0 .. 0x1f7 and 0x3f6, or the secondary's.
 *
 * On a VMM that does not cooperate (ide_watch.h), answered here: byte reads of the status while it cannot change, as the VMM has shown
 * it or as it follows from a read command all of whose accesses were seen; of the alternate status likewise, and once per block "busy";
 * of the other registers of an idle drive. A read of the status lowers INTRQ, so it is answered only while INTRQ is low.
 * Punted: all writes and all data, which the VMM must see; all else.
 *
 * On one that does (ide_own.h): all but commands, resets, data from the guest and accesses of odd width, as long as the VMM has given
 * what the guest sees next. What comes to the VMM then takes the channel back, and gives it again (ide_vmm.h).
 *
 * The first range begins before the first register and ends behind the last, so that accesses that straddle them are seen. Around the
 * control register are the ports of the floppy controller and of COM1: what straddles that one and those of COM1 is not seen.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <iofilter/ide_own.h>
#include <iofilter/ide_watch.h>

char LICENSE[] SEC("license") = "GPL";

/* KVM's private type, as far as it matters. libbpf puts in what the kernel's BTF says of it. */
struct kvm_ioapic {
	unsigned long irq_states[24];
} __attribute__((preserve_access_index));

extern int kvm_iofilter_line(const struct kvm_iofilter_req *req, __u32 line_at) __ksym;
extern int kvm_iofilter_signal(const struct kvm_iofilter_req *req, __u32 index) __ksym;
extern __u64 kvm_iofilter_string(const struct kvm_iofilter_sample *sample, __u32 at) __ksym;

static int ide_line(const struct kvm_iofilter_req *req, __u32 irq)
{
	/* A kernel may be built without an IOAPIC. */
	if (!bpf_core_field_exists(struct kvm_ioapic, irq_states) || irq >= 24)
		return -1;
	return kvm_iofilter_line(req, bpf_core_field_offset(struct kvm_ioapic, irq_states) + irq * sizeof(unsigned long));
}

static __u64 ide_string(const struct kvm_iofilter_sample *s, __u32 at)
{
	return kvm_iofilter_string(s, at);
}

static void ide_own_signal(struct ide_own *o, const struct kvm_iofilter_req *req)
{
	kvm_iofilter_signal(req, 0);
}

struct iofilter_ide ide SEC(IOFILTER_STATE_MAP) = {
	.head = {
		.magic = IOFILTER_STATE_MAGIC,
		.version = IOFILTER_IDE_VERSION,
		.size = sizeof(struct iofilter_ide),
		.device = "ide",
	},
	.base = IDE_PRIMARY,
	.irq = IDE_PRIMARY_IRQ,
	.watch = {
		.absence = IOFILTER_ABSENCE_NS,
		.expiry = IDE_EXPIRY_NS,
		.calibrating = IDE_CALIBRATION,
		.credit = IDE_AUDIT,
		.unit = IDE_NO_UNIT,
	},
};

/* Keeps the address of the state in a register; the compiler would load it anew at each use. */
#define ide_of(state)                                \
	({                                           \
		struct iofilter_ide *__i = &(state); \
		asm volatile("" : "+r"(__i));        \
		__i;                                 \
	})

static int ide_own_done(struct iofilter_ide *i, const struct kvm_iofilter_req *req, __u32 verdict)
{
	struct ide_vcpu *v = ide_vcpu(i, req->vcpu);

	if (verdict != IOFILTER_ANSWERED)
		return ide_punt(i, verdict);
	if (v)
		v->answered++;
	return 1;
}

SEC("struct_ops/ide_read")
int BPF_PROG(ide_read, struct kvm_iofilter_req *req)
{
	struct iofilter_ide *i = ide_of(ide);

	if (i->own.cooperates)
		return ide_own_done(i, req, ide_own_read(&i->own, req, ide_register(i, req->addr)));
	return ide_watch_read(i, req);
}

SEC("struct_ops/ide_write")
int BPF_PROG(ide_write, struct kvm_iofilter_req *req)
{
	struct iofilter_ide *i = ide_of(ide);

	if (i->own.cooperates)
		return ide_own_done(i, req, ide_own_write(&i->own, req, ide_register(i, req->addr)));
	return ide_watch_write(i, req);
}

SEC("struct_ops/ide_sample")
void BPF_PROG(ide_sample, struct kvm_iofilter_sample *sample)
{
	struct iofilter_ide *i = ide_of(ide);

	if (!i->own.cooperates)
		ide_watch_sample(i, sample);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops ide_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE | KVM_IOFILTER_F_IRQ,
	.read = (void *)ide_read,
	.write = (void *)ide_write,
	.sample = (void *)ide_sample,
	.nr_ranges = 2,
	.name = "ide",
	.ranges = {
		{ .addr = IDE_PRIMARY - 3, .len = 14, .bus = KVM_IOFILTER_PIO },
		{ .addr = IDE_PRIMARY + IDE_CONTROL_AT - 2, .len = 4, .bus = KVM_IOFILTER_PIO },
	},
};
