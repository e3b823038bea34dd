/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The four ops of port 0x61's filter, each under the lock. Whoever includes this provides speaker_channel(), which fetches channel 2 of
 * KVM's PIT: 0, or -errno if that cannot be had now.
 */
#ifndef IOFILTER_SPEAKER_ACCESS_H
#define IOFILTER_SPEAKER_ACCESS_H

#include <stddef.h>
#include <iofilter/speaker.h>

static int speaker_channel(const struct kvm_iofilter_req *req, struct kvm_iofilter_pit_channel *ch);

static inline int speaker_punt(struct iofilter_speaker *p, __u32 why)
{
	if (why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&p->verdicts[why], 1);
	return 0;
}

/* Return: 0, or -1: it cannot be had. */
static inline int speaker_lock(struct iofilter_speaker *p)
{
	return iofilter_try_lock(&p->lock);
}

static inline void speaker_unlock(struct iofilter_speaker *p)
{
	p->head.in_flight = p->odd;
	speaker_tell(p);
	iofilter_unlock(&p->lock);
}

/* Whether this vCPU's read is at the VMM. NULL: it is not in the table. */
static inline __u8 *speaker_open_by(struct iofilter_speaker *p, __u64 vcpu)
{
	if (vcpu >= IOFILTER_MAX_VCPUS)
		return NULL;
	/* The compiler would drop the bound that the verifier must see just before the use. */
	asm volatile("" : "+r"(vcpu));
	return &p->open_by[vcpu & (IOFILTER_MAX_VCPUS - 1)];
}

static inline void speaker_read_closes(struct iofilter_speaker *p, __u32 vcpu)
{
	__u8 *open = speaker_open_by(p, vcpu);

	if (!open || !*open)
		return;
	*open = 0;
	p->nr_open--;
}

/* A read goes to the VMM. */
static inline void speaker_read_opens(struct iofilter_speaker *p, const struct kvm_iofilter_req *req,
				      const struct kvm_iofilter_pit_channel *ch)
{
	__u8 *open = speaker_open_by(p, req->vcpu);

	p->open_alone = open && !p->nr_open && !(req->flags & KVM_IOFILTER_REQ_BUSY) && req->now >= p->missed_until;
	if (open && !*open) {
		*open = 1;
		p->nr_open++;
	}
	p->open_written = 0;
	p->open_vcpu = req->vcpu;
	p->open_at = req->now;
	p->open_channel = *ch;
}

static inline void speaker_write_done(struct iofilter_speaker *p)
{
	if (p->write_open)
		p->data = p->write_data;
	p->write_open = 0;
}

/* The VMM's clock is further ahead than we thought: is it, for its answer to be right? */
static inline int speaker_leads(struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch, __u64 t1, __u32 out)
{
	__u64 lead;
	int i;

	iofilter_for(i, 8) {
		lead = p->lead << (i & 7);
		if (lead > SPEAKER_LEAD_MAX_NS)
			break;
		if (!(speaker_outs(ch, t1, t1 + lead) & out))
			continue;
		/* And some more, for it will not be the worst. */
		p->lead = 2 * lead < SPEAKER_LEAD_MAX_NS ? 2 * lead : SPEAKER_LEAD_MAX_NS;
		return 1;
	}
	return 0;
}

/* Does the VMM's answer fit the channel, which is @ch now and was open_channel when it was asked? */
static inline int speaker_fits(struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch, __u32 val)
{
	const struct kvm_iofilter_pit_channel *was = &p->open_channel;
	__u32 out = val & PIT_61_OUT ? SPEAKER_HIGH : SPEAKER_LOW;

	if (val & SPEAKER_61_ZERO)
		return 0;
	if (was->load != ch->load || was->count != ch->count || was->mode != ch->mode || was->gate != ch->gate)
		return 1;
	if ((val & PIT_61_GATE) != ch->gate)
		return 0;
	return speaker_outs(ch, p->open_at - IOFILTER_TOLERANCE_NS, p->shown_t1 + p->lead) & out ||
	       speaker_leads(p, ch, p->shown_t1, out);
}

/* The VMM has answered a read that was alone: what does that tell? A program of its own, for few accesses come here. */
static __attribute__((__noinline__)) void speaker_judge(struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch)
{
	__u32 val = p->shown_val, toggle = !!(val & PIT_61_REFRESH), data = !!(val & PIT_61_DATA);
	int fits = speaker_fits(p, ch, val), same;

	p->shown = 0;
	p->samples++;
	p->last_sample_at = p->shown_t1;
	if (p->proof == IOFILTER_FUSED)
		return;
	same = p->doubt || ((p->toggle == PIT_UNKNOWN || p->toggle == toggle) &&
			    (p->data == PIT_UNKNOWN || p->data == data || p->open_written));
	if (p->toggle != toggle)
		speaker_cut(p);
	p->toggle = toggle;
	if (!p->open_written)
		p->data = data;
	p->doubt = 0;
	p->load = p->open_channel.load;
	if (!fits || !same) {
		p->mismatches++;
		p->matches = 0;
		p->proof = IOFILTER_UNPROVEN;
		if (++p->misses >= SPEAKER_MISSES) {
			p->fuse = IOFILTER_FUSE_MODEL;
			p->proof = IOFILTER_FUSED;
		}
		return;
	}
	if (++p->matches < SPEAKER_PROOFS)
		return;
	p->misses = 0;
	if (p->proof != IOFILTER_PROVEN)
		p->since = p->shown_t1;
	p->proof = IOFILTER_PROVEN;
}

/*
 * First on every access. Return: 0 and channel 2 in @ch, or -1.
 *
 * A vCPU that has not left KVM_RUN for long tells that no snapshot was loaded, so a new load time has another cause.
 */
static inline __attribute__((__always_inline__)) int speaker_enter(struct iofilter_speaker *p, const struct kvm_iofilter_req *req,
								   struct kvm_iofilter_pit_channel *ch)
{
	int err = speaker_channel(req, ch);

	if (err)
		*ch = (struct kvm_iofilter_pit_channel){};
	speaker_catch_up(p, req->now);
	speaker_read_closes(p, req->vcpu);
	if (p->write_open && p->write_vcpu == req->vcpu)
		speaker_write_done(p);
	/* What it is compared with must be the newest. */
	if (p->shown && !err)
		speaker_judge(p, ch);
	p->shown = 0;
	if (!err && p->restored) {
		p->restored = 0;
		p->load = ch->load;
	}
	if (req->away >= SPEAKER_LOAD_NS && (err || p->load != ch->load) &&
	    IOFILTER_CLAUSE(SPEAKER_DOUBT)) {
		p->doubts += !p->doubt;
		p->doubt = 1;
	} else if (!err && !p->doubt) {
		p->load = ch->load;
	}
	return err ? -1 : 0;
}

static __attribute__((__noinline__)) __u32 speaker_look(struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch)
{
	__u32 outs = speaker_outs(ch, ch->at - IOFILTER_TOLERANCE_NS, ch->at + p->lead);

	p->steady_load = ch->load;
	p->steady_mode = ch->mode;
	p->steady_outs = outs;
	p->steady_until = outs == SPEAKER_EITHER ? 0 : speaker_edge(ch, ch->at + p->lead);
	return outs;
}

/*
 * The outputs that the VMM may have at this moment. Mostly it is the one that was found when somebody last looked, which saves all
 * the divisions. A new count has a new load time.
 */
static inline __u32 speaker_outs_now(struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch)
{
	if (ch->at + p->lead < p->steady_until && ch->load == p->steady_load && ch->mode == p->steady_mode)
		return p->steady_outs;
	return speaker_look(p, ch);
}

/* May this read be answered? */
static inline __u32 speaker_may(struct iofilter_speaker *p, const struct kvm_iofilter_req *req, __u32 outs)
{
	if (p->proof == IOFILTER_FUSED)
		return IOFILTER_PUNT_FUSE;
	if (p->proof != IOFILTER_PROVEN || p->toggle == PIT_UNKNOWN || p->data == PIT_UNKNOWN)
		return IOFILTER_PUNT_UNPROVEN;
	if (iofilter_load(p->head.drain))
		return IOFILTER_PUNT_HELD;
	if (req->flags & KVM_IOFILTER_REQ_BUSY)
		return IOFILTER_PUNT_BUSY;
	if (p->doubt)
		return IOFILTER_PUNT_SUSPECT;
	if ((__s64)(req->now - p->last_sample_at) > (__s64)p->audit && (__s64)(req->now - p->audit_at) > (__s64)SPEAKER_TICKET_NS) {
		p->audits++;
		p->audit_at = req->now;
		return IOFILTER_PUNT_AUDIT;
	}
	/* An edge is near, or the mode is none that is answered. */
	if (outs == SPEAKER_EITHER)
		return IOFILTER_PUNT_UNPROVEN;
	return IOFILTER_ANSWERED;
}

/*
 * The second of two is answered in any case: only after both is the VMM's bit 4 the guest's. Return: whether it is one, and can be
 * answered. It cannot if another vCPU's write is under way and perhaps done.
 */
static inline int speaker_forced(const struct iofilter_speaker *p, const struct kvm_iofilter_pit_channel *ch, __u32 outs)
{
	return p->odd && !p->doubt && p->toggle != PIT_UNKNOWN && p->data != PIT_UNKNOWN && outs != SPEAKER_EITHER &&
	       !(p->write_open && p->write_load != ch->load) && IOFILTER_CLAUSE(SPEAKER_ODD);
}

static inline int speaker_read_locked(struct iofilter_speaker *p, struct kvm_iofilter_req *req)
{
	struct kvm_iofilter_pit_channel ch = {};
	__u32 why = IOFILTER_PUNT_BUSY, outs, now;
	int err = speaker_enter(p, req, &ch);

	/* An unknown number of reads: each inverts bit 4. */
	if (req->flags & KVM_IOFILTER_REQ_STRING) {
		speaker_read_opens(p, req, &ch);
		p->open_alone = 0;
		speaker_cut(p);
		p->toggle = PIT_UNKNOWN;
		return speaker_punt(p, IOFILTER_PUNT_SHAPE);
	}
	if (!err) {
		outs = now = speaker_outs_now(p, &ch);
		/* Where it may be about to change: not yet. */
		if (p->odd && outs == SPEAKER_EITHER)
			now = speaker_outs(&ch, ch.at - IOFILTER_TOLERANCE_NS, ch.at - IOFILTER_TOLERANCE_NS);
		why = speaker_forced(p, &ch, now) ? IOFILTER_ANSWERED : speaker_may(p, req, outs);
		if (why == IOFILTER_ANSWERED) {
			p->odd ^= 1;
			req->val = (ch.gate ? PIT_61_GATE : 0) | p->data * PIT_61_DATA | (p->toggle ^ p->odd) * PIT_61_REFRESH |
				   (now & SPEAKER_HIGH ? PIT_61_OUT : 0);
			return 1;
		}
	}
	speaker_read_opens(p, req, &ch);
	speaker_cut(p);
	if (p->toggle != PIT_UNKNOWN)
		p->toggle ^= 1;
	return speaker_punt(p, why);
}

static inline void speaker_write_locked(struct iofilter_speaker *p, const struct kvm_iofilter_req *req)
{
	struct kvm_iofilter_pit_channel ch = {};

	speaker_enter(p, req, &ch);
	p->open_written = 1;
	p->write_at = req->now;
	p->write_load = ch.load;
	p->write_open = 1;
	p->write_vcpu = req->vcpu;
	p->write_data = !!(req->val & PIT_61_DATA);
	/* Another write may be there, and come before or after this one. */
	if (req->flags & (KVM_IOFILTER_REQ_BUSY | KVM_IOFILTER_REQ_STRING)) {
		p->write_open = 0;
		p->data = PIT_UNKNOWN;
	}
}

static inline int speaker_on_read(struct iofilter_speaker *p, struct kvm_iofilter_req *req)
{
	int handled;

	if (speaker_lock(p)) {
		/* Nor is it told that this vCPU's write is done. */
		if (req->flags & KVM_IOFILTER_REQ_STRING || req->away >= SPEAKER_LOAD_NS ||
		    (iofilter_load(p->write_open) && iofilter_load(p->write_vcpu) == req->vcpu))
			iofilter_store(p->confused, 1);
		else
			__sync_fetch_and_add(&p->missed, 1);
		return speaker_punt(p, IOFILTER_PUNT_BUSY);
	}
	handled = speaker_read_locked(p, req);
	p->answered += handled;
	speaker_unlock(p);
	return handled;
}

static inline int speaker_on_write(struct iofilter_speaker *p, const struct kvm_iofilter_req *req)
{
	if (speaker_lock(p)) {
		iofilter_store(p->confused, 1);
	} else {
		speaker_write_locked(p, req);
		speaker_unlock(p);
	}
	return speaker_punt(p, IOFILTER_PUNT_WRITE);
}

static inline void speaker_on_sample(struct iofilter_speaker *p, const struct kvm_iofilter_sample *s)
{
	/* Moves of the VMM's clock show in the load time. */
	if (s->flags & KVM_IOFILTER_SAMPLE_MOVED)
		return;
	if (speaker_lock(p)) {
		if (s->flags & KVM_IOFILTER_SAMPLE_WRITE)
			iofilter_store(p->confused, 1);
		return;
	}
	if (s->flags & KVM_IOFILTER_SAMPLE_WRITE) {
		/* That vCPU may have begun another one since. */
		if (s->vcpu == p->write_vcpu && s->t0 >= p->write_at)
			speaker_write_done(p);
	} else {
		/* Another thread may see an answer that is not the one in question. */
		if (p->open_alone && p->nr_open && s->vcpu == p->open_vcpu && s->t0 == p->open_at &&
		    !(s->flags & (KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_OTHER))) {
			p->shown = 1;
			p->shown_val = s->val & 0xff;
			p->shown_t1 = s->t1;
		}
		p->open_alone = 0;
		speaker_read_closes(p, s->vcpu);
	}
	speaker_unlock(p);
}

/* The filter is about to go. @last: it has gone, and nobody else is here. Return: sequences in flight. */
static inline int speaker_on_quiesce(struct iofilter_speaker *p, int last)
{
	__u32 n;

	iofilter_store(p->head.drain, 1);
	n = iofilter_load(p->head.in_flight);
	if (!last)
		return n;
	p->head.cut += n;
	iofilter_store(p->head.in_flight, 0);
	return n;
}

#endif /* IOFILTER_SPEAKER_ACCESS_H */
