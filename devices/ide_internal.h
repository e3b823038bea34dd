/* SPDX-License-Identifier: GPL-2.0 */
/* Between ide.c (registers, data) and ide_command.c. */
#ifndef DEVICES_IDE_INTERNAL_H
#define DEVICES_IDE_INTERNAL_H

#include <devices/ide.h>

#define DEFAULT_HEADS	      16
#define DEFAULT_TRACK_SECTORS 63

/* A write of the command register. */
void ide_command(struct ide *d, __u8 cmd);

void ide_set_intrq(struct ide *d, bool level);
/* Unless the guest does not want any. */
void ide_interrupt(struct ide *d);
void ide_transfer_start(struct ide *d, enum ide_transfer phase, __u32 bytes);
/* Aborts the command, with an interrupt. */
void ide_rw_error(struct ide *d);
void ide_set_sector(struct ide *d, __u64 sector);
/* How many go with the next DRQ. */
__u32 ide_block_sectors(const struct ide *d);
/* The next block of the command, or its end. */
void ide_read_block(struct ide *d);
void ide_signature(struct ide_taskfile *t, bool there);

#endif /* DEVICES_IDE_INTERNAL_H */
