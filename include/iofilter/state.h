/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What every filter program keeps in its mmapable map ".data.state": a head that tools can read without knowing the
 * device, then the device's own state.
 */
#ifndef IOFILTER_STATE_H
#define IOFILTER_STATE_H

#include <iofilter/ops.h>

#define IOFILTER_STATE_MAP   ".data.state"
#define IOFILTER_STATE_MAGIC 0x696f66696c743032ULL /* "iofilt02" */

/* What became of an access. One counter each; the names are those of status and its JSON. */
enum iofilter_verdict {
	IOFILTER_ANSWERED,	/* counted per vCPU instead */
	IOFILTER_PUNT_SHAPE,	/* address, width or string count that the device does not answer */
	IOFILTER_PUNT_WRITE,	/* a write */
	IOFILTER_PUNT_VCPU,	/* a vCPU number beyond the program's table */
	IOFILTER_PUNT_BUSY,	/* an answer of the VMM not settled, or the clock being changed at this moment */
	IOFILTER_PUNT_UNPROVEN, /* the clock is not (or no longer) proven */
	IOFILTER_PUNT_AUDIT,	/* proven, but an audit was due and this reader drew it */
	IOFILTER_PUNT_SUSPECT,	/* this vCPU was out of KVM_RUN: the VM may have been stopped */
	IOFILTER_PUNT_FLOOR,	/* the clock moved back; the VMM has not caught up with what was answered */
	IOFILTER_PUNT_FUSE,	/* the fuse is blown */
	IOFILTER_PUNT_HELD,	/* the clock is held by the operator or the VMM */
	IOFILTER_PUNT_INDEX,	/* which register is meant is not known */
	IOFILTER_PUNT_VOLATILE, /* a register that changes by itself */
	IOFILTER_NR_VERDICTS,
};

#define IOFILTER_VERDICT_NAMES \
	{ "answered", "shape", "write", "vcpu", "busy", "unproven", "audit", "suspect", \
	  "floor", "fuse", "held", "index", "volatile" }

/* Who says what the clock shows. */
enum iofilter_clock_mode {
	IOFILTER_CLOCK_PROVE,	/* nobody: it is proven from the VMM's answers */
	IOFILTER_CLOCK_HELD,	/* nobody, and nothing is answered until it is released */
	IOFILTER_CLOCK_OWNED,	/* the VMM: exact, no proof needed */
	IOFILTER_CLOCK_STOPPED, /* the VMM, which has stopped it */
};

/* How far the program trusts its clock. */
enum iofilter_proof {
	IOFILTER_UNPROVEN,
	IOFILTER_PROVEN,
	IOFILTER_FUSED,
};

/* Why the fuse blew. */
enum iofilter_fuse {
	IOFILTER_FUSE_OK,
	IOFILTER_FUSE_MODEL,	/* the VMM's answers jump to and fro: not this counter, or not this frequency */
	IOFILTER_FUSE_MOVES,	/* the clock moved too often with no sign of a pause */
	IOFILTER_FUSE_VANISHED, /* the device's answers lost their shape again and again */
};

struct iofilter_head {
	__u64 magic;
	__u32 version; /* of the layout that follows, per device */
	__u32 size;    /* of the whole state in bytes, head included */
	char device[KVM_IOFILTER_NAME_LEN];
	__s32 pid; /* of the VMM, written by the loader; 0: not attached yet */
	/*
	 * Written by the loader before it detaches: begin no new sequence, finish those in flight. Also set by ->quiesce(). A device
	 * whose accesses stand alone has no use for it.
	 */
	__u32 drain;
	__u64 attached_at; /* CLOCK_REALTIME, s, written by the loader */
	/*
	 * Sequences that the filter has begun and the guest has not ended (a latched byte not read yet, the second byte of a pair): the VMM
	 * does not know of them. Written by the program.
	 */
	__u32 in_flight;
	__u32 pad;
	__u64 cut; /* sequences that could not be ended here: the guest got their rest from the VMM */
};

IOFILTER_ASSERT(sizeof(struct iofilter_head) == 64, "programs and loaders of other versions read it");

#endif /* IOFILTER_STATE_H */
