/* SPDX-License-Identifier: GPL-2.0 */
/* The devices of the VMM, and how they are wired. */
#ifndef DEVICES_BOARD_H
#define DEVICES_BOARD_H

#include <devices/hpet.h>
#include <devices/ide.h>
#include <devices/pit.h>
#include <devices/pmtimer.h>
#include <devices/rtc.h>
#include <devices/serial.h>

struct vmm;

#define PM_BASE	  0x600 /* the PM1 registers, and the timer */
#define HPET_ADDR 0xfed00000ULL

/* What a model's callbacks get: the VM, and the interrupt line of that device. */
struct line {
	struct vmm *vmm;
	unsigned int gsi;
};

struct disk {
	int fd; /* -1: there is none */
	bool readonly;
	bool used; /* by the guest, in this run */
};

struct board {
	struct vmm *vmm;
	struct line pit_line, rtc_line, hpet_line, serial_line, ide_line, pm_line;
	struct pit pit;
	struct rtc rtc;
	struct hpet hpet;
	struct pmtimer pmtimer;
	struct serial serial;
	struct ide ide;
	struct disk disk;
	int ide_event; /* by which filter and model interrupt the guest; 0: there is no filter */
	__u8 port92;
};

/* disk.c: the image of vmm->opts.disk. @arg: the IDE's line. */
int disk_open(struct vmm *vmm);
int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data);
void disk_close(struct vmm *vmm);

#endif /* DEVICES_BOARD_H */
