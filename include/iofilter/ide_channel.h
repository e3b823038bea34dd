/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a guest can see of an IDE channel, and the part of the filter's state that holds it for a VMM that cooperates.
 *
 * Between two traps the channel is the filter's: the VMM gives it (ide_vmm.h) with all its registers and, in a read, with the data that the
 * command is going to transfer; the filter answers (ide_own.h) what follows from that, and for whatever does not the VMM
 * takes the channel back, as the guest has left it, and goes on with its own model.
 */
#ifndef IOFILTER_IDE_CHANNEL_H
#define IOFILTER_IDE_CHANNEL_H

#include <iofilter/clock.h>
#include <iofilter/ide_regs.h>

/* A drive's registers. Both drives of a channel hear every write, the one that is not there, too. */
struct ide_taskfile {
	__u32 count; /* of a command: sectors left, up to 65536. The guest sees 8 bits */
	__u8 features, lba_low, lba_mid, lba_high, device;
	__u8 hob_features, hob_count, hob_lba_low, hob_lba_mid, hob_lba_high; /* what was written before */
	__u16 pad;
};

IOFILTER_ASSERT(sizeof(struct ide_taskfile) == 16, "shared with the VMM");

enum ide_transfer {
	IDE_NO_DATA,
	IDE_DATA_IN,	 /* sectors, to the guest */
	IDE_DATA_OUT,	 /* sectors, from the guest */
	IDE_DATA_ANSWER, /* one block to the guest that is not of the disk */
};

/* A channel whose master is a disk and whose slave is not there. */
struct ide_channel {
	struct ide_taskfile drives[2];
	__u8 status, error; /* of the master */
	__u8 control;
	__u8 unit;	/* the drive that is selected */
	__u8 lba48;	/* the kind of the command */
	__u8 transfer;	/* enum ide_transfer */
	__u16 block;	/* sectors that go with one DRQ */
	__u32 intrq;	/* its level */
	__u32 pos, end; /* of the block: bytes that the guest has read or written, and all */
	__u32 pad;
};

IOFILTER_ASSERT(sizeof(struct ide_channel) == 56, "shared with the VMM");

#define IDE_OWN_SECTORS	 256 /* ahead of the guest, behind the block of this moment .. */
#define IDE_OWN_BLOCK	 16 /* .. of so many sectors at most */
#define IDE_OWN_DATA	 ((IDE_OWN_SECTORS + IDE_OWN_BLOCK) * IDE_SECTOR)
#define IDE_OWN_ROOM	 262144 /* the next power of two */

/* A string read whose first element was answered. Until @left is 0 only its vCPU reads data, and nobody writes a register. */
struct ide_string {
	__u32 left; /* elements, at most */
	__u32 vcpu, len;
	__u32 pad;
};

/* Bits of ide_own.changed; of a drive's registers two, the master's and the slave's. */
enum ide_hot {
	IDE_HOT_POS,
	IDE_HOT_BEGIN,
	IDE_HOT_END,
	IDE_HOT_STATUS,
	IDE_HOT_CONTROL,
	IDE_HOT_TRANSFER,
	IDE_HOT_INTRQ,
	IDE_HOT_COUNT = 8,
	IDE_HOT_FEATURES = 10,
	IDE_HOT_LBA_LOW = 12,
	IDE_HOT_LBA_MID = 14,
	IDE_HOT_LBA_HIGH = 16,
	IDE_HOT_DEVICE = 18,
	IDE_HOT_HOB_FEATURES = 20,
	IDE_HOT_HOB_COUNT = 22,
	IDE_HOT_HOB_LBA_LOW = 24,
	IDE_HOT_HOB_LBA_MID = 26,
	IDE_HOT_HOB_LBA_HIGH = 28,
};

struct ide_own {
	/* Written by the VMM once: it cooperates. Nothing is proven, all that counts is here. */
	__u32 cooperates;

	__u32 lock __attribute__((aligned(64))); /* 0 or 1, a try-lock, of all that follows */
	__u32 given;	/* the channel is the filter's */
	__u32 signals;	/* eventfd 0 of the filter raises the channel's interrupt */
	/* Positions in data. */
	__u32 pos;	/* what the guest reads next */
	__u32 begin, end; /* the block of this moment; it is there as a whole */
	__u32 there;	/* .. and so much in all. Blocks follow each other without gap */
	__u32 last;	/* where the command's last sector will end */
	struct ide_string string;
	struct ide_channel c; /* but for pos and end */

	__u64 gives, takes;
	__u64 sectors;	/* given ahead */
	__u64 refused;	/* .. or not: not what the command reads next */
	__u64 interrupts;

	__u32 followed; /* a VMM wants to be told what accesses change */
	/* enum ide_hot: since the VMM has looked. Without the lock: set and taken by atomic operations. */
	__u64 changed __attribute__((aligned(64)));

	__u8 data[IDE_OWN_ROOM + 8] __attribute__((aligned(64)));
};

#endif /* IOFILTER_IDE_CHANNEL_H */
