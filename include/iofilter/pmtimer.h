/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* ACPI PM timer (ACPI 6.5, 4.8.2.1): a free-running counter of 3.579545 MHz, 24 or 32 bits wide, read as a dword. */
#ifndef IOFILTER_PMTIMER_H
#define IOFILTER_PMTIMER_H

#define PMTIMER_HZ   3579545
#define PMTIMER_PORT 0x608 /* SeaBIOS and OVMF/q35; OVMF/pc: 0xb008 */
#define PMTIMER_LEN  4

/* QEMU counts 24 bits (hw/acpi/core.c); Cloud Hypervisor 32 (devices/src/acpi.rs). */
#define PMTIMER_WIDTH 24

#endif /* IOFILTER_PMTIMER_H */
