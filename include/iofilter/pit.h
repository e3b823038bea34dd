/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * i8254 PIT with port 0x61, on a VMM that has it in userspace and does not cooperate. The counting is QEMU's
 * (hw/timer/i8254.c, hw/audio/pcspk.c), quirks included: always binary, no gate stops a count, no null count.
 *
 * Here: registers, the state, and the arithmetic. pit_model.h: what each access does to the VMM's flip-flops and latches.
 * pit_clock.h: the time since a count was loaded. pit_fold.h: what an answer of the VMM tells of it.
 *
 * A channel's state is split. The VMM's part changes only by accesses that it sees; the filter follows it (the shadow). What
 * the filter has answered by itself stands in the overlay: the second byte of a pair, a latched count, a latched status. The
 * guest's device is the overlay on top of the shadow, and a sequence that is begun in one of them ends there.
 *
 * The overlay is only here: where a VM is saved with a sequence in flight, its rest is lost. Therefore pairs of unlatched reads
 * are answered only to a guest that polls, and none is begun while head.drain is set.
 *
 * pit_read.h and pit_write.h: what becomes of an access; pit_quick.h: of a common one. pit_access.h: the four ops of a filter, under
 * the lock.
 */
#ifndef IOFILTER_PIT_H
#define IOFILTER_PIT_H

#include <iofilter/clock.h>
#include <iofilter/clock_sample.h>

/*
 * In BPF a program of its own, verified once for whatever its arguments point to; what is inlined, and what is static, is verified
 * anew for every path that leads to it. At most five arguments, no pointer that may be NULL, an int as the result.
 */
#ifdef __bpf__
#define PIT_PROG __attribute__((__noinline__))
#define PIT_ARG	 __attribute__((btf_decl_tag("arg:nonnull")))
#else
#define PIT_PROG static inline
#define PIT_ARG
#endif

#define PIT_HZ	      1193182 /* QEMU; KVM's own PIT counts 1193181 */
#define PIT_PORT      0x40    /* counters 0 .. 2 */
#define PIT_CONTROL   0x43    /* control word register */
#define PIT_LEN	      4
#define PIT_CHANNELS  3
#define PIT_SYSTEM    0x61    /* system control port B */
#define PIT_COUNT_MAX 65536

/* All accesses that touch the four ports lie in this range, those that straddle its ends too. */
#define PIT_RANGE     (PIT_PORT - 3)
#define PIT_RANGE_LEN (PIT_LEN + 3 + 3)

/* Control word */
#define PIT_SC(val)	((val) >> 6 & 3) /* select counter */
#define PIT_SC_READBACK 3
#define PIT_RW(val)	((val) >> 4 & 3)
#define PIT_RW_LATCH	0
#define PIT_RW_LSB	1
#define PIT_RW_MSB	2
#define PIT_RW_WORD	3
#define PIT_M(val)	((val) >> 1 & 7)
#define PIT_BCD		0x01
/* Read-back command: active low */
#define PIT_RB_COUNT	0x20
#define PIT_RB_STATUS	0x10
/* Status byte */
#define PIT_STATUS_OUT	0x80
/* Port 0x61 */
#define PIT_61_GATE	0x01
#define PIT_61_DATA	0x02
#define PIT_61_REFRESH	0x10
#define PIT_61_OUT	0x20

/* A flip-flop that alternates between LSB and MSB; the value for "MSB next". Also that of the count being written. */
#define PIT_WORD_MSB 4

/* So many pairs of unlatched reads, each shortly after the other, are polling. */
#define PIT_POLLS 4

/*
 * So many answers measure the round trip. Few: Linux's quick calibration has done with its count's first MSB after 214 us, and is given up
 * if reads at that moment take as long as the VMM's.
 */
#define PIT_CALIBRATION 8

/*
 * So many reads of port 0x61 in a row have inverted its bit 4 (elsewhere it follows the time); so often one has not, and it is not
 * answered at all.
 */
#define PIT_TOGGLES	  8
#define PIT_TOGGLE_MISSES 16

/* So often the count jumped in a row, and the channel is not as we think. */
#define PIT_MISSES 4

#define IOFILTER_PIT_VERSION 2

/* What an answer of the VMM tells. */
enum pit_kind {
	PIT_NOTHING,
	PIT_LSB,
	PIT_MSB,
	PIT_UNCLEAR, /* of a counter: which byte, latched or not, is not known */
	PIT_LATCHED_LSB,
	PIT_LATCHED_MSB,
	PIT_STATUS,
	PIT_SYSTEM_PORT,
};

/* An answer of the VMM: a byte, a bit, or a latched word. */
struct pit_shown {
	__u64 t0, t1; /* it was so between them */
	__u64 d;      /* ticks after the load: what the search for them has found */
	__u32 vcpu;
	__u32 kind;   /* enum pit_kind */
	__u32 word;   /* all 16 bits of a count */
	__u32 val;
};

/* What there is to say about a channel's time. */
struct pit_time {
	__u64 virt; /* ns since the load */
	__u64 delay; /* as kvm_iofilter_req.delay */
	__u64 out;
};

struct pit_channel {
	/* Shadow. */
	__u32 count;	  /* 1 .. 65536; 0: not known */
	__u32 programmed; /* rw, mode, bcd and the write flip-flop are known */
	__u8 rw, mode, bcd;
	__u8 write_state; /* 1 .. 3, or PIT_WORD_MSB */
	__u8 write_latch;
	__u8 pad[3];
	__u32 states;	  /* that its read flip-flop and latches may be in, see pit_model.h */
	__u32 pad2;

	__u64 period_ns, count_ns; /* after so long the values, the output come again */
	__u64 base;	  /* ticks: a multiple of the count, shortly before the newest answer */
	__u32 quick;	  /* enum pit_quick */
	__u32 pad5;

	/* Overlay. */
	union {
		struct {
			__u8 pair;    /* the LSB of an unlatched pair was answered, the MSB is next */
			__u8 latched; /* bytes of @latch still to read: 0, PIT_RW_LSB, PIT_RW_MSB, or PIT_RW_WORD for both */
			__u8 status_latched;
			__u8 pad3;
		};
		__u32 overlay; /* 0: none of them */
	};
	__u16 latch;
	__u8 status;
	__u8 pad4;

	/* A load that is in flight to the VMM, or was when last seen: it happened at @load_at or later. */
	__u32 loading;
	__u32 load_vcpu;
	__u64 load_at;

	/* A latch command that the VMM got: it happened in [latch_at, latch_end]. */
	__u64 latch_at, latch_end; /* latch_end 0: not known yet */
	__u32 latch_vcpu;
	__u32 latch_lsb; /* the byte already read, + 1; 0: none */

	__u64 cuts;   /* sequences begun here that could not be ended here; in head.cut, too */
	__u64 poll_at; /* the newest first byte of an unlatched pair */
	__u32 polls;

	/* A vCPU was away, long enough for a pause, since the load. Values show where in its period the count is, not how many have passed. */
	__u32 phase_only;
	__u32 mode_old; /* .. since the control word: a reset would have changed the mode */
	__u32 renew;    /* .. since the bounds were made: the next word makes new ones */
	__u32 count_old; /* .. since the count was written: likewise */
	__u32 misses;
	__u64 renewed_at, renewed_d;

	/* Its virtual time is the ns since the count was loaded. */
	struct iofilter_clock clock __attribute__((aligned(64)));
	struct iofilter_vcpu vcpus[IOFILTER_MAX_VCPUS] __attribute__((aligned(64)));
};

/* The overlay as it was told last. */
struct pit_told {
	__u8 pair, latched, status_latched, status;
	__u16 latch;
};

/* Bits of iofilter_pit.changed: of each of these registers one for each channel. */
enum pit_hot {
	PIT_HOT_PAIR = 0,
	PIT_HOT_LATCHED = 4,
	PIT_HOT_LATCH = 8,
	PIT_HOT_STATUS_LATCHED = 12,
	PIT_HOT_STATUS = 16,
	PIT_HOT_ODD = 20,
};

enum pit_attention {
	PIT_CONFUSED = 1 << 0, /* somebody could not take the lock: nothing is known any more */
	PIT_HELD = 1 << 1,     /* by userspace: answer nothing but what is in flight */
	PIT_DOUBTED = 1 << 2,  /* by userspace: the VMM's clock may have been stopped */
	PIT_FOLLOWED = 1 << 3, /* by userspace: it wants to be told what accesses change. Not in the quick path, which so pays nothing for it */
};

/* pit_channel.quick: what may be answered at once */
enum pit_quick {
	PIT_QUICK_LSB = 1 << 0,
	PIT_QUICK_MSB = 1 << 1,
	PIT_QUICK_LATCH = 1 << 2, /* a latch command */
	PIT_QUICK_LATCHED = 1 << 3, /* the bytes of a latch */
};

enum pit_open { PIT_NONE, PIT_READING, PIT_WRITING, PIT_DONE };

/* Bits of the system port that are not known (yet). */
#define PIT_UNKNOWN 2

struct iofilter_pit {
	struct iofilter_head head;
	__u64 verdicts[16]; /* by enum iofilter_verdict */
	__u64 answered;	    /* reads */
	__u64 commands;	    /* latch commands and read-backs that were carried out here */
	__u64 cuts;	    /* reads of port 0x61 after which its toggle is repeated once; in head.cut, too */
	__u64 conflicts;    /* accesses of several vCPUs whose order is not known */
	__u64 forgotten;    /* times a channel became unknown */

	__u32 lock;	    /* 0 or 1, a try-lock around all that follows */
	__u32 attention;    /* enum pit_attention; set without the lock, by atomic operations */
	__u32 blind;	    /* a vCPU beyond the table uses the device */
	__u32 moved;	    /* as kvm_iofilter_sample.moved */
	__u32 entered;	    /* vCPUs below it are in all tables */

	/* For the quick path, see pit_leave(). */
	__u32 calm;
	__u32 quick_system;

	/* The system port. */
	__u8 gate, data;    /* 0, 1, PIT_UNKNOWN */
	__u8 toggle;	    /* bit 4 of the VMM's newest answer, likewise */
	__u8 odd;	    /* an odd number of reads was answered since */
	__u8 gate_old;	    /* a vCPU was away since the gate was seen: a reset would have cleared it */
	__u8 pad2[3];
	__u32 toggles, toggle_misses;

	/* What each vCPU has at the VMM (enum pit_open), and since when. */
	__u8 open_by[IOFILTER_MAX_VCPUS];
	__u64 opened_at[IOFILTER_MAX_VCPUS];
	__u8 missed[IOFILTER_MAX_VCPUS]; /* the same, written without the lock by those who could not take it; PIT_DONE: nothing more */
	__u32 nr_reads, nr_writes;

	/* The newest read there. */
	__u32 open_vcpu;
	__u32 open_kind;
	__u32 open_channel;
	__u32 open_states; /* pit_channel.states before it */
	__u64 open_addr;

	struct pit_told told[PIT_CHANNELS];
	__u32 told_odd;
	/* enum pit_hot: what accesses have changed since the VMM has looked. Without the lock: set and taken by atomic operations. */
	__u64 changed __attribute__((aligned(64)));

	struct pit_channel channels[PIT_CHANNELS] __attribute__((aligned(64)));
};

/* The counting element at @d ticks after the load. */
static inline __u16 pit_value(__u8 mode, __u32 count, __u64 d)
{
	switch (mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return count - d;
	case 3:
		return count - (2 * d) % count;
	default:
		return count - d % count;
	}
}

static inline __u32 pit_out(__u8 mode, __u32 count, __u64 d)
{
	switch (mode) {
	case 2:
		return d && d % count == 0;
	case 3:
		return d % count < (count + 1) / 2;
	case 4:
	case 5:
		return d == count;
	default:
		return d >= count;
	}
}

/* After so many ticks the values repeat. */
static inline __u32 pit_period(__u8 mode, __u32 count)
{
	switch (mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return PIT_COUNT_MAX;
	case 3:
		return count & 1 ? count : count / 2;
	default:
		return count;
	}
}

static inline __u8 pit_byte(__u16 value, int msb)
{
	return msb ? value >> 8 : value;
}

#endif /* IOFILTER_PIT_H */
