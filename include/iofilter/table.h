/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Rules for I/O accesses, after a scheme of Alan Cox's: for everything simple that nobody wrote a program for. The rules come from a text
 * file (docs/table.md), the state is a few bits and a few slots.
 *
 * Here: the state. table_state.h: bits, slots, the lock, and what is not known. table_buffer.h: data that answers many reads.
 * table_predict.h: predictions. table_rule.h: which rule an access meets, and what the rule does. table_access.h: the four ops of a
 * filter. table_vmm.h: what a VMM that cooperates does with it.
 *
 * Some bits and slots follow what the guest writes. They are unknown until it writes, and again after every write that was not
 * followed: one that no rule matches, that met the lock held or another write in flight, or that may have been made in an absence of
 * the vCPU. An access whose rule cannot be told, or whose slot is unknown, goes to the VMM.
 */
#ifndef IOFILTER_TABLE_H
#define IOFILTER_TABLE_H

#include <iofilter/clock.h>

/* As PIT_PROG: in BPF a program of its own, verified once. */
#ifdef __bpf__
#define TABLE_PROG __attribute__((__noinline__))
#define TABLE_ARG  __attribute__((btf_decl_tag("arg:nonnull")))
#else
#define TABLE_PROG static inline
#define TABLE_ARG
#endif

/* An index below @n, a power of two, that the verifier believes. The compiler would drop, or move, what it knows to be true. */
#ifdef __bpf__
#define TABLE_INDEX(i, n)                          \
	({                                         \
		__u64 i_ = (i);                    \
		asm volatile("" : "+r"(i_));       \
		i_ & ((n) - 1);                    \
	})
#else
#define TABLE_INDEX(i, n) ((i) & ((n) - 1))
#endif

#define IOFILTER_TABLE_VERSION 2

#define TABLE_RULES	  256
#define TABLE_SLOTS	  64 /* of 8 bytes */
#define TABLE_BITS	  64
#define TABLE_BUFFERS	  16
#define TABLE_PORTS	  4096 /* addresses in all ranges */
#define TABLE_CHAIN	  8192 /* entries of all addresses' lists of rules */
#define TABLE_PREDICTIONS 4096
#define TABLE_BUFFER_DATA 65536
#define TABLE_PREDICT_DATA 131072 /* of one prediction; there is room for the next one beside it */
#define TABLE_DATA	  (TABLE_BUFFER_DATA + 2 * TABLE_PREDICT_DATA)
#define TABLE_DATA_ROOM	  524288 /* the next power of two */
#define TABLE_NAME_LEN	  24
#define TABLE_LINE_LEN	  120

/* Guest physical addresses below are RAM, so an address tells its bus. */
#define TABLE_MMIO_MIN 0x10000

enum table_op { TABLE_READ, TABLE_WRITE };

enum table_action {
	TABLE_PASS, /* to the VMM; of a write, what it does to the state follows when the VMM is done with it */
	TABLE_TAKE, /* a write that the VMM does not see: kept in the slot, if there is one */
	TABLE_CONST,
	TABLE_SLOT,
	TABLE_REPEAT, /* from a buffer, until it is used up */
};

struct table_rule {
	__u64 addr;
	__u32 count;  /* of addresses */
	__u8 op;      /* enum table_op */
	__u8 widths;  /* sum of the widths in bytes */
	__u8 action;  /* enum table_action */
	__u8 traps;   /* a write with (value & trap_mask) == trap_bits goes to the VMM */
	__u64 must1, must0; /* over the state bits */
	__u64 trap_mask, trap_bits;
	__u64 and, or; /* what is stored or answered is (value & and) | or */
	__u64 set, clear; /* state bits; set wins */
	__u64 value;
	__u16 slot;   /* byte, counted over all slots */
	__u8 slot_len; /* 0: none */
	__u8 buffer;
	__u16 rewind; /* buffers that begin anew */
	__u8 effects; /* changes the state */
	__u8 pad;
	__u32 line;   /* in the file; 0: none */
	__u32 pad2;
};

_Static_assert(sizeof(struct table_rule) == 104, "copied between loader and program");

/* Addresses of a range and where they stand in ports[]. */
struct table_range {
	__u64 addr;
	__u32 len;
	__u32 first;
};

#define TABLE_PORT_READS  1 /* a rule for reads of this address changes the state */
#define TABLE_PORT_WRITES 2

/* An address: its rules in the order of the file, which stand in chain[]. */
struct table_port {
	__u16 first[2]; /* by enum table_op */
	__u16 nr[2];
	__u32 flags;
};

/* A slot; its bytes by the bits of the two masks. */
struct table_cell {
	__u64 val;
	__u8 known;
	__u8 dirty; /* the VMM has not seen it */
	__u8 derived; /* a write stores here */
	__u8 pad[5];
};

struct table_buffer {
	__u32 off, len; /* in data[] */
	__u32 pos;	/* len: used up, or not valid any more */
	__u32 pad;
};

/* A write on its way through the VMM. */
struct table_pending {
	__u64 addr, val; /* as it is stored */
	__u32 valid, vcpu, rule, pad;
};

/*
 * A string read whose first element was answered, with all its elements set aside: the others must not find the lock held. Written by
 * its vCPU's thread until @left is 0.
 */
struct table_string {
	__u64 addr;
	__u32 left; /* elements */
	__u32 vcpu, len;
	__u32 pos;    /* in data[] */
	__u32 source; /* buffer, or TABLE_BUFFERS: the prediction */
	__u32 orphan; /* what it came from is not valid any more */
};

/* One access, or several reads of one address, that are to come. */
struct table_expect {
	__u64 addr;
	__u64 value; /* of the write, or the answer */
	__u64 must1, must0;
	__u32 off, bytes; /* data for reads; 0 bytes: the value */
	__u8 op, width;
	__u8 pad[6];
};

_Static_assert(IOFILTER_NR_VERDICTS <= 16, "counters in the state");
_Static_assert(sizeof(struct table_expect) == 48, "written by the VMM");

struct table_predict {
	__u32 armed;
	__u32 nr;
	__u32 next; /* the first that has not come yet .. */
	__u32 pos;  /* .. and so many bytes of it have */
	__u32 half; /* of the data, that the next one goes to */
	__u32 pad;
	__u64 loaded, done, dropped, answered;
};

/* Names and lines of the file, for people. */
struct table_text {
	char name[64];
	char bits[TABLE_BITS][TABLE_NAME_LEN];
	char slots[TABLE_SLOTS][TABLE_NAME_LEN];
	char buffers[TABLE_BUFFERS][TABLE_NAME_LEN];
	char rules[TABLE_RULES][TABLE_LINE_LEN];
};

/* Words of bits for registers whose changes a VMM may follow: iofilter_table_changed(). */
enum table_hot {
	TABLE_HOT_VALUES, /* by slot */
	TABLE_HOT_KNOWN,  /* likewise */
	TABLE_HOT_DIRTY,  /* likewise */
	TABLE_HOT_OTHERS, /* enum table_hot_bit */
	TABLE_NR_HOT,
};

enum table_hot_bit {
	TABLE_HOT_BITS,
	TABLE_HOT_BITS_KNOWN,
	TABLE_HOT_ARMED, /* of the prediction */
	TABLE_HOT_NEXT,
	TABLE_HOT_POS,
	TABLE_HOT_BUFFERS = 16, /* pos of the first; those of the others follow */
};

#define TABLE_MISSED_READ    1 /* one that changes the state */
#define TABLE_MISSED_WRITE   2
#define TABLE_MISSED_PREDICT 4 /* something that may not have been predicted */

struct iofilter_table {
	struct iofilter_head head;
	__u64 verdicts[16]; /* by enum iofilter_verdict */

	/* Fixed before the attach. */
	__u32 nr_rules, nr_ranges, nr_bits, nr_slots, nr_buffers;
	__u16 derived_buffers, pad; /* that writes rewind */
	__u64 derived_bits; /* .. change */
	__u64 read_bits;    /* that reads change */
	__u64 absence;	    /* ns: a vCPU was out of KVM_RUN for so long, and the VM may have been reset */

	/* A VMM that cooperates tells of resets itself: absences mean nothing then. Set by it (table_vmm.h). */
	__u32 owned;

	__u32 lock __attribute__((aligned(64))); /* of all that follows up to hits */
	__u32 missed; /* TABLE_MISSED_*, for whoever has the lock next */
	__u64 bits, known;
	__u64 dirty_slots;
	__u32 begun_buffers;
	__u32 pad2;
	struct table_pending pending;
	struct table_string string;
	struct table_predict predict;
	__u64 forgotten; /* how often what writes have told became unknown */
	__u64 touched[TABLE_NR_HOT]; /* what the access that has the lock has changed */
	struct table_buffer buffers[TABLE_BUFFERS];
	struct table_cell cells[TABLE_SLOTS];
	__u64 hits[TABLE_RULES];
	__u64 trapped[TABLE_RULES];

	/* What accesses have changed since the VMM has looked. Without the lock: set and taken by atomic operations. */
	__u64 changed[TABLE_NR_HOT] __attribute__((aligned(64)));

	struct table_range ranges[KVM_IOFILTER_MAX_RANGES];
	struct table_rule rules[TABLE_RULES];
	struct table_port ports[TABLE_PORTS];
	__u16 chain[TABLE_CHAIN];

	struct table_expect expect[TABLE_PREDICTIONS];
	__u8 data[TABLE_DATA_ROOM]; /* TABLE_DATA of it */
	struct table_text text;
};

#endif /* IOFILTER_TABLE_H */
