/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* An IDE (ATA) channel: registers, and the program's state. QEMU: hw/ide/core.c. */
#ifndef IOFILTER_IDE_H
#define IOFILTER_IDE_H

#include <iofilter/ide_channel.h>

#define IDE_CMD_READ		0x20
#define IDE_CMD_READ_ONCE	0x21
#define IDE_CMD_READ_EXT	0x24
#define IDE_CMD_READ_DMA_EXT	0x25
#define IDE_CMD_READ_MULTIPLE_EXT 0x29
#define IDE_CMD_WRITE		0x30
#define IDE_CMD_WRITE_EXT	0x34
#define IDE_CMD_WRITE_DMA_EXT	0x35
#define IDE_CMD_READ_MULTIPLE	0xc4
#define IDE_CMD_WRITE_MULTIPLE	0xc5
#define IDE_CMD_SET_MULTIPLE	0xc6
#define IDE_CMD_READ_DMA	0xc8
#define IDE_CMD_WRITE_DMA	0xca
#define IDE_CMD_FLUSH		0xe7
#define IDE_CMD_FLUSH_EXT	0xea
#define IDE_CMD_IDENTIFY	0xec

#define IOFILTER_IDE_VERSION 2

/* For so long what the VMM has shown is believed. What is not seen here at all shows after this time. */
#define IDE_EXPIRY_NS 100000000ULL
/* One answer in so many is left to the VMM, and compared. */
#define IDE_AUDIT 64
#define IDE_ABSENCE_MAX_NS 5000000ULL
/* A guest that polls a drive at work sleeps for so long at most before the VMM is asked. */
#define IDE_WAIT_MAX_NS 1000000ULL
#define IDE_CALIBRATION 16
/*
 * QEMU's main loop begins a command anew, which an error of the disk had stopped together with the VM, and carries out SRST. In between
 * the drive may look idle. For so long at most the main loop does not come to it.
 */
#define IDE_SETTLE_NS (IOFILTER_NSEC_PER_SEC / 4)
/* The drive's interrupt was so often where it is expected. */
#define IDE_LINE_PROOFS 3

/* What is known of the selected drive. */
enum ide_phase {
	IDE_UNKNOWN,
	IDE_STILL, /* BSY and DRQ are 0: nothing changes until the guest does something */
	IDE_WORKING, /* a read command looks for a block of data. It ends with DRQ or ERR, and with INTRQ unless nIEN is set */
	IDE_BLOCK, /* .. and has it: status 0x58 until the guest has read the last of it */
};

/* A vCPU's access that is with the VMM. */
enum ide_flight {
	IDE_LANDED,
	IDE_READS, /* and changes nothing */
	IDE_FLIES,
	IDE_FLIES_DATA, /* a read of data; of how much is known when it is done */
};

/* Where KVM's interrupt line must be at the next access of a vCPU, if it is the drive's. */
enum ide_line {
	IDE_LINE_ANY,
	IDE_LINE_HIGH, /* the VMM has shown that the drive is done .. */
	IDE_LINE_LOW,  /* .. and then the status */
};

/* One vCPU's line, written by that vCPU's thread. */
struct ide_vcpu {
	__u64 answered;
	__u64 asked_version; /* of the newest punted read of a register; see ide_watch.version */
	__u32 asked;	/* which, + 1; 0: none */
	__u32 flight;	/* enum ide_flight */
	__u64 reserved[5];
};

IOFILTER_ASSERT(sizeof(struct ide_vcpu) == 64, "a cache line per vCPU");

#define IDE_NO_UNIT 2 /* not known which is selected */

/* A channel of a VMM that does not cooperate (ide_watch.h). All of it under @lock, but for what is said. */
struct ide_watch {
	__u32 lock;	/* 0 or 1, a try-lock */
	__u32 missed;	/* an access could not have it. Atomic */
	__u32 blind;	/* a vCPU beyond the table is there. Atomic */
	__s32 flying;	/* vCPUs with an access under way that changes something .. */
	__s32 reading;	/* .. and with one that shows something */
	__u64 version;	/* what was asked for in another one is not learnt */

	__u32 phase;	/* enum ide_phase */
	__u32 status;	/* STILL, if @status_known: a drive that is selected anew is idle, since the one before was, but no more is known */
	__u32 status_known;
	__u32 command;	/* the newest */
	__u32 unit;	/* selected: 0, 1 or IDE_NO_UNIT */
	__u64 sector;	/* WORKING, BLOCK: the block's first, if @by_lba */
	__u32 by_lba;
	__u32 left;	/* WORKING, BLOCK: sectors of the command, this block's included */
	__u32 pos;	/* BLOCK: bytes of it that the guest has read */
	__u32 armed;	/* WORKING: since the VMM was busy nobody has lowered INTRQ .. */
	__u32 told;	/* .. and: an alternate status was read, whoever answered it */

	__u64 work_at;	/* WORKING: since when */
	__u64 wait;	/* a drive that works does so for so long, about */

	__u32 open;	/* a command may be under way that looks idle if an error of the disk stops the VM */
	/*
	 * What looks idle may change, for IDE_SETTLE_NS from these times on; 0: no. @retry_at: the VM may have been stopped in such a command,
	 * and it begins anew; not if the drive has shown BSY, DRQ or ERR since. @reset_at: a reset may still come, whatever it shows.
	 */
	__u64 retry_at, reset_at;
	__u32 nien;	/* as far as known: IDE_CTL_NIEN, or 0 */
	__u32 nien_known;
	__u32 hob_clear; /* HOB is known to be 0 */
	__u32 low;	/* INTRQ is low, and nIEN keeps it so */
	/*
	 * INTRQ was lowered since anything was forgotten. After a load of a state KVM shows its lines as low, whatever the interrupt
	 * controllers remember of them; if nobody lowers it, they take no next rise for one.
	 */
	__u32 lowered;
	__u32 multiple_new; /* what SET MULTIPLE has asked for */
	__u32 multiple[2]; /* by unit: sectors of a block of READ MULTIPLE; 0: not known */
	__u64 end[2];	/* by unit: it has so many sectors, at least */

	/* What a read of a register shows while STILL, or with HOB; before, what was written. A bit of the masks for each. */
	__u8 regs[IDE_NR_REGS], hob[IDE_NR_REGS];
	__u32 known, hob_known;
	__u32 counted;	/* .. and IDE_COUNT is all of it: QEMU keeps more of what was left of a long command than it shows */

	__u64 shown_at;	/* when the VMM has shown the phase, or what it follows from */
	__u32 credit;	/* answers until the next audit */
	__u32 line_proofs; /* IDE_LINE_PROOFS: KVM's interrupt line is that of the drive */
	__u32 line_next; /* enum ide_line, for @line_vcpu in @line_version */
	__u32 line_vcpu;
	__u64 line_version;

	__u32 fuse;	/* enum iofilter_fuse */
	__u32 calibrating;
	__u32 scaled;	/* the absence is calibrated, not given */
	__u32 pad2;
	__u64 absence;	/* out of KVM_RUN for less than this is no pause */
	__u64 expiry;
	__u64 best_bracket;

	/* Counters for status. */
	__u64 samples, learnt, lost, suspicions, mismatches, last_sample_at;
};

struct iofilter_ide {
	struct iofilter_head head;
	__u64 verdicts[16]; /* by enum iofilter_verdict; [IOFILTER_ANSWERED] is not used */

	__u32 base;	/* the first port of the command block */
	__u32 irq;	/* the interrupt line of KVM's IOAPIC; 0: none */
	__u32 pad[2];

	struct ide_watch watch __attribute__((aligned(64)));
	struct ide_vcpu vcpus[IOFILTER_MAX_VCPUS] __attribute__((aligned(64)));
	struct ide_own own __attribute__((aligned(64))); /* in place of all that, where the VMM cooperates (ide_own.h) */
};

IOFILTER_ASSERT(IOFILTER_NR_VERDICTS <= 16, "a counter for each verdict");

/* Which register an access begins at, or -1: none of the channel's. */
static inline int ide_register(const struct iofilter_ide *ide, __u64 addr)
{
	__u64 reg = addr - ide->base;

	if (reg < IDE_NR_REGS)
		return reg;
	return reg == IDE_CONTROL_AT ? IDE_CONTROL : -1;
}

#endif /* IOFILTER_IDE_H */
