/* SPDX-License-Identifier: GPL-2.0 */
/* The IDE model and the filter that answers for it between two traps. */
#ifndef DEVICES_IDE_FILTER_H
#define DEVICES_IDE_FILTER_H

#include <devices/ide.h>
#include <iofilter/ide_vmm.h>

/*
 * Around each use of the model, at the user's lock: first ide_take(), last ide_give(). With the filter's eventfd for interrupts, @d's irq
 * must do nothing but write to that eventfd when the level rises.
 */
void ide_take(struct ide *d, struct ide_own *o);
void ide_give(struct ide *d, struct ide_own *o);

#endif /* DEVICES_IDE_FILTER_H */
