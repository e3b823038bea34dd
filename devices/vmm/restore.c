// SPDX-License-Identifier: GPL-2.0
/* The other half of save.c: a VM that was saved becomes this process's. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "save.h"

static const char *difference(const struct save_config *was, const struct save_config *is)
{
	if (was->vcpus != is->vcpus)
		return "another number of vCPUs (--cpus)";
	if (was->memory != is->memory)
		return "another size of its memory (--memory)";
	if (was->kernel != is->kernel)
		return was->kernel ? "a --kernel" : "a --flat binary";
	if (was->acpi != is->acpi)
		return was->acpi ? "ACPI tables" : "--no-acpi";
	if (was->kvmclock != is->kvmclock)
		return was->kvmclock ? "KVM's clock" : "--no-kvmclock";
	if (was->disk != is->disk)
		return !was->disk ? "no --disk" : !is->disk ? "a --disk" : "a --disk of another size";
	if (was->readonly != is->readonly)
		return was->readonly ? "a read-only --disk" : "a writable --disk";
	return NULL;
}

int restore_open(struct vmm *vmm)
{
	struct save_config was, is;
	const char *what;

	vmm->snapshot = calloc(1, sizeof(*vmm->snapshot));
	if (!vmm->snapshot || snapshot_open(vmm->snapshot, vmm->opts.restore) || save_config_get(vmm, &is) ||
	    section_get(vmm->snapshot, "config", 0, &was, sizeof(was)))
		return -1;
	what = difference(&was, &is);
	was.filters[sizeof(was.filters) - 1] = '\0';
	if (what)
		vmm_error("--restore: %s is of a VM with %s", vmm->opts.restore, what);
	else if (strcmp(was.filters, is.filters))
		vmm_error("--restore: %s is of a VM with --filter '%s'", vmm->opts.restore, was.filters);
	else
		return 0;
	return -1;
}

static int restore_chips(struct vmm *vmm)
{
	struct kvm_irqchip chip;
	__u32 i;

	for (i = 0; i < SAVE_CHIPS; i++) {
		if (section_get(vmm->snapshot, "irqchip", i, &chip, sizeof(chip)))
			return -1;
		chip.chip_id = i;
		if (ioctl(vmm->fd, KVM_SET_IRQCHIP, &chip)) {
			vmm_error("the interrupt controllers: %s", strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* The interrupt controllers last: what is pending there goes to the APICs at once. */
int restore(struct vmm *vmm)
{
	const struct snapshot *s = vmm->snapshot;
	__le64 clock, kvm_clock;
	unsigned int i;
	int err;

	err = section_get(s, "clock", 0, &clock, sizeof(clock)) || section_get(s, "kvm_clock", 0, &kvm_clock, sizeof(kvm_clock)) ||
	      ram_restore(vmm, s);
	for (i = 0; !err && i < vmm->nr_vcpus; i++)
		err = vcpu_restore(&vmm->vcpus[i], s);
	if (err || board_restore(vmm->board, s))
		return -1;
	board_lines(vmm);
	vmm->stopped_at = le64toh(clock);
	vmm->kvm_clock = le64toh(kvm_clock);
	return restore_chips(vmm);
}

void restore_close(struct vmm *vmm)
{
	if (vmm->snapshot)
		snapshot_close(vmm->snapshot);
	free(vmm->snapshot);
	vmm->snapshot = NULL;
}
