/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Port 0x61 (system control port B) of a VM whose PIT is KVM's own, on a VMM that does not cooperate. The VMM has the port; for each read
 * it fetches channel 2 from the kernel and computes its output: QEMU's hw/audio/pcspk.c with hw/i386/kvm/i8254.c.
 *
 * The channel's state is in this kernel, so gate and output need no clock to be proven: the program reads the same state that
 * the VMM would fetch. The VMM alone knows bit 1 (the speaker's data) and bit 4 (inverted by each read); both change only by
 * accesses of the guest, unless the VM is stopped and a snapshot is loaded. QEMU writes the PIT's state back whenever the VM goes on, which
 * starts channel 2 anew: a new load time, and a vCPU that was out of KVM_RUN long enough, are the sign of that.
 *
 * QEMU computes with its own clock, which may be ahead of ours by a little (it measures the distance at each start of the VM): the
 * lead. Where the output changes within the lead the VMM answers.
 *
 * Here: the state, what was missed of it, and the output. speaker_access.h: what becomes of an access.
 */
#ifndef IOFILTER_SPEAKER_H
#define IOFILTER_SPEAKER_H

#include <iofilter/pit.h>

#define IOFILTER_SPEAKER_VERSION 2

#define SPEAKER_CHANNEL	    2
#define SPEAKER_PROOFS	    16		/* answers of the VMM in a row that are as expected, bit 4 above all, and it is proven */
#define SPEAKER_MISSES	    8		/* that are not, without a proof in between, and the fuse blows */
#define SPEAKER_AUDIT_NS    100000000ULL /* so rarely, lest audits fall among the reads that a guest measures a clock with */
#define SPEAKER_TICKET_NS   1000000ULL	/* where its answer gets lost among those to other vCPUs, the next audit comes after this */
#define SPEAKER_LOAD_NS	    1000000ULL	/* no VM is loaded from a snapshot in less */
#define SPEAKER_MISSED_NS   100000000ULL /* no read is at the VMM for longer */
#define SPEAKER_LEAD_NS	    10000ULL
#define SPEAKER_LEAD_MAX_NS 1000000ULL

/* Bits that are always 0. */
#define SPEAKER_61_ZERO 0xcc

/* Which outputs are possible. */
enum { SPEAKER_LOW = 1, SPEAKER_HIGH = 2, SPEAKER_EITHER = SPEAKER_LOW | SPEAKER_HIGH };

struct iofilter_speaker {
	struct iofilter_head head;
	__u64 verdicts[16]; /* by enum iofilter_verdict */
	__u64 answered;
	__u64 samples;
	__u64 last_sample_at;
	__u64 audits;
	__u64 doubts;	    /* times a snapshot may have been loaded */
	__u64 mismatches;
	__u64 since;	    /* time of the first proof of this run */
	__u64 audit_at;	    /* the newest audit */
	__u64 lead;	    /* ns: so far ahead of ours the VMM's clock may be */
	__u64 audit;	    /* ns: SPEAKER_AUDIT_NS */

	__u32 lock;	    /* 0 or 1, a try-lock around all that follows */
	/* Written without it, by those who could not take it. */
	__u32 missed;	    /* reads, which are at the VMM */
	__u32 confused;	    /* something else: bits 1 and 4 are not known any more */
	__u32 restored;	    /* from userspace, and it goes with the channel as KVM has it by now */
	__u32 proof;	    /* enum iofilter_proof */
	__u32 fuse;	    /* enum iofilter_fuse */
	__u32 matches;	    /* in a row */
	__u32 misses;	    /* since the last proof */

	__u8 data;	    /* bit 1: 0, 1, PIT_UNKNOWN */
	__u8 toggle;	    /* bit 4 of the VMM's newest answer, likewise */
	__u8 odd;	    /* an odd number of reads was answered since */
	__u8 doubt;	    /* a snapshot may have been loaded: data and toggle must be seen again */
	__u32 pad2;
	__u64 load;	    /* the load time for which there is no doubt */

	/* The newest write, still at the VMM. */
	__u32 write_open;
	__u32 write_vcpu;
	__u64 write_at;
	__u64 write_load;   /* the load time then: the write makes a new one */
	__u32 write_data;
	__u32 pad3;

	/* Reads at the VMM; the newest, and how the channel was then. */
	__u32 nr_open;
	__u8 open_by[IOFILTER_MAX_VCPUS];
	__u32 open_vcpu;
	__u32 open_alone;   /* no other is there, and none was */
	__u32 open_written; /* a write came since */
	__u64 open_at;
	__u64 missed_until; /* until then, those that were missed may be there, too */
	struct kvm_iofilter_pit_channel open_channel;

	/* Its answer, if nobody has looked at it yet. */
	__u32 shown;
	__u32 shown_val;
	__u64 shown_t1;

	/* The output since somebody last looked, and until when it stays so if the channel does. */
	__u64 steady_until;
	__u64 steady_load;
	__u32 steady_mode;
	__u32 steady_outs;

	__u32 followed; /* a VMM wants to be told what accesses change */
	__u32 told;	/* odd, as it was told last */
	/* Bit 0: odd, since the VMM has looked. Without the lock: set and taken by atomic operations. */
	__u64 changed __attribute__((aligned(64)));
};

/* The guest's bit 4 goes on from the VMM's: it sees the same one twice. */
static inline void speaker_cut(struct iofilter_speaker *p)
{
	p->head.cut += p->odd;
	p->odd = 0;
}

/* At the end of whatever may have changed something, under the lock. */
static inline void speaker_tell(struct iofilter_speaker *p)
{
	if (!p->followed || p->told == p->odd)
		return;
	p->told = p->odd;
	__sync_fetch_and_or(&p->changed, 1);
}

/* What came while the lock could not be had. Each read inverts the VMM's bit 4. */
static inline void speaker_catch_up(struct iofilter_speaker *p, __u64 now)
{
	__u32 missed = 0;

	if (iofilter_load(p->missed))
		missed = __sync_lock_test_and_set(&p->missed, 0);
	if (missed) {
		speaker_cut(p);
		if (p->toggle != PIT_UNKNOWN)
			p->toggle ^= missed & 1;
	}
	if (iofilter_load(p->confused) && __sync_lock_test_and_set(&p->confused, 0)) {
		missed = 1;
		speaker_cut(p);
		p->toggle = PIT_UNKNOWN;
		p->data = PIT_UNKNOWN;
		p->write_open = 0;
		p->open_written = 1;
	}
	if (!missed)
		return;
	p->open_alone = 0;
	p->shown = 0;
	p->missed_until = now + SPEAKER_MISSED_NS;
}

static inline __u64 speaker_ticks(const struct kvm_iofilter_pit_channel *ch, __u64 t)
{
	__s64 virt = t - ch->load;

	return virt > 0 ? iofilter_ns_to_ticks(virt, PIT_HZ) : 0;
}

/* The outputs that QEMU's pit_get_out() gives in [@from, @to]: perhaps more, never less. */
static inline __u32 speaker_outs(const struct kvm_iofilter_pit_channel *ch, __u64 from, __u64 to)
{
	__u64 a = speaker_ticks(ch, from), b = speaker_ticks(ch, to), count = ch->count;
	int high;

	if (!count || count > PIT_COUNT_MAX)
		return SPEAKER_EITHER;
	switch (ch->mode) {
	case 0:
		return (a < count ? SPEAKER_LOW : 0) | (b >= count ? SPEAKER_HIGH : 0);
	case 2:
		/* One tick at the end of each period. */
		if (b / count * count < iofilter_max(a, 1))
			return SPEAKER_LOW;
		return a == b ? SPEAKER_HIGH : SPEAKER_EITHER;
	case 3:
		high = a % count < (count + 1) / 2;
		/* Shorter than the shorter half: it has no room for another one in between. */
		if (a != b && (b - a >= count / 2 || high != (b % count < (count + 1) / 2)))
			return SPEAKER_EITHER;
		return high ? SPEAKER_HIGH : SPEAKER_LOW;
	case 4:
	case 5:
		if (count < a || count > b)
			return SPEAKER_LOW;
		return a == b ? SPEAKER_HIGH : SPEAKER_EITHER;
	default:
		/* Mode 1 became the opposite in QEMU 8.0. Others KVM does not store. */
		return SPEAKER_EITHER;
	}
}

/* When does the output change next, after @t? 0: not known. */
static inline __u64 speaker_edge(const struct kvm_iofilter_pit_channel *ch, __u64 t)
{
	__u64 d = speaker_ticks(ch, t), count = ch->count, rest, half = (count + 1) / 2;

	if (!count || (ch->mode != 0 && ch->mode != 3))
		return 0;
	if (ch->mode == 0 && d >= count)
		return ~0ULL;
	rest = d % count;
	return ch->load + iofilter_ticks_to_ns(d - rest + (ch->mode == 3 && rest < half ? half : count), PIT_HZ);
}

#endif /* IOFILTER_SPEAKER_H */
