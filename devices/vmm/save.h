/* SPDX-License-Identifier: GPL-2.0 */
/* Save and restore: what the parts of the VMM do for save.c and restore.c. All with the VM stopped; -1 with a message. */
#ifndef DEVICES_VMM_SAVE_H
#define DEVICES_VMM_SAVE_H

#include "board.h"
#include "section.h"
#include "vmm.h"

#define SAVE_CHIPS 3 /* of KVM: two PICs, an IOAPIC */

/* What the VM is made of: one that differs in it is another. */
struct save_config {
	__le64 memory, disk; /* bytes; sectors */
	__le32 vcpus;
	__u8 kernel, acpi, kvmclock, readonly;
	char filters[256];
};

int save_config_get(const struct vmm *vmm, struct save_config *c);

/* vcpu_state.c */
int vcpu_save(struct vcpu *v, struct snapshot_out *o);
int vcpu_restore(struct vcpu *v, const struct snapshot *s);

/* board_state.c: the devices, each in a section of its name. */
int board_save(const struct board *b, struct snapshot_out *o);
/* The models alone; nothing of @b has changed if it fails. */
int board_restore(struct board *b, const struct snapshot *s);
/* The lines that are high, for KVM: before its chips have their state, so that none of them is a new edge. */
void board_lines(struct vmm *vmm);

/* ram.c: pages that are not zero. */
void ram_save(const struct vmm *vmm, struct snapshot_out *o);
int ram_restore(struct vmm *vmm, const struct snapshot *s);

#endif /* DEVICES_VMM_SAVE_H */
