/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The registers of an IDE (ATA) channel in PIO (ATA/ATAPI-6), where PCs have them. */
#ifndef IOFILTER_IDE_REGS_H
#define IOFILTER_IDE_REGS_H

#define IDE_PRIMARY	0x1f0
#define IDE_SECONDARY	0x170
#define IDE_CONTROL_AT	0x206 /* the control block's one register, from the first of the command block */
#define IDE_PRIMARY_IRQ 14
#define IDE_SECONDARY_IRQ 15

/* The command block, from its first port. What is written to the first two and the last is not what is read. */
#define IDE_DATA	0
#define IDE_ERROR	1
#define IDE_FEATURES	1
#define IDE_COUNT	2
#define IDE_LBA_LOW	3
#define IDE_LBA_MID	4
#define IDE_LBA_HIGH	5
#define IDE_DEVICE	6
#define IDE_STATUS	7 /* a read lowers INTRQ */
#define IDE_COMMAND	7
#define IDE_NR_REGS	8
/* The control block. */
#define IDE_ALT_STATUS	8 /* a read has no side effect */
#define IDE_CONTROL	8

#define IDE_BSY	 0x80
#define IDE_DRDY 0x40
#define IDE_DF	 0x20
#define IDE_DSC	 0x10
#define IDE_DRQ	 0x08
#define IDE_ERR	 0x01

/* The status of a drive that is idle, of one that reads or writes a block, and of one that has it. */
#define IDE_IDLE    (IDE_DRDY | IDE_DSC)
#define IDE_LOOKING (IDE_IDLE | IDE_BSY)
#define IDE_FOUND   (IDE_IDLE | IDE_DRQ)

#define IDE_ABRT 0x04 /* of the error register */

#define IDE_DEVICE_LBA	0x40
#define IDE_DEVICE_DEV	0x10 /* the slave */
#define IDE_DEVICE_ONES 0xa0 /* always 1 */
#define IDE_DEVICE_HEAD 0x0f /* or LBA 27:24 */

#define IDE_CTL_NIEN 0x02 /* INTRQ is not raised */
#define IDE_CTL_SRST 0x04
#define IDE_CTL_HOB  0x80 /* reads show what was written before the last */

#define IDE_SECTOR 512

#endif /* IOFILTER_IDE_REGS_H */
