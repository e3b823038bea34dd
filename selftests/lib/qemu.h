/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stock QEMU as the VMM of the same guest code as vmm.h's: the test's image is QEMU's memory, too, at the same addresses. QEMU starts with a
 * firmware of our own, which does what it is told; the guest has one vCPU, all of q35's devices, and no interrupts.
 */
#ifndef SELFTESTS_QEMU_H
#define SELFTESTS_QEMU_H

#include <sys/types.h>
#include "vmm.h"

struct qemu;

/* $QEMU, else the installed one. @machine: as for -machine. It ends with the test at the latest. One at a time. */
struct qemu *qemu_start(const char *machine);
void qemu_end(struct qemu *q);
pid_t qemu_pid(const struct qemu *q);

/* 702 is 7.2. */
int qemu_version(void);

/* Run @guest in the guest until it returns. */
void qemu_run(struct qemu *q, void (*guest)(long), long arg);

#endif /* SELFTESTS_QEMU_H */
