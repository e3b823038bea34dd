/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * An IDE channel of a VMM that does not cooperate: ide_watch_read() and ide_watch_write(), for every access in the watched ranges, and
 * ide_watch_sample(), for what the VMM answered. All under one try-lock.
 *
 * What is known comes from the VMM's own answers and from what the guest's accesses do (ide_state.h); see enum ide_phase. An access that
 * changes something is followed when it is punted, and until its vCPU is past it nobody is answered. Whatever cannot be followed
 * is forgotten: accesses that straddle registers, strings of writes, two at a time, one that met the lock held, and what may have
 * happened in an absence.
 *
 * INTRQ: a read of the status lowers it, so one is answered only while it is low. That is known where nIEN is set, and where the
 * interrupt line of KVM's own IOAPIC has been seen to follow the drive. There it also tells when a drive that works is done.
 *
 * Whoever includes this provides ide_line(): the level of that line, or -1; and ide_string(): eight bytes of a string, as ops.h says.
 */
#ifndef IOFILTER_IDE_WATCH_H
#define IOFILTER_IDE_WATCH_H

#include <iofilter/ide_state.h>

static int ide_line(const struct kvm_iofilter_req *req, __u32 irq);
static __u64 ide_string(const struct kvm_iofilter_sample *s, __u32 at);

static inline int ide_punt(struct iofilter_ide *ide, __u32 why)
{
	if (why < IOFILTER_NR_VERDICTS)
		__sync_fetch_and_add(&ide->verdicts[why], 1);
	return 0;
}

/* The order of this access and others is not known. */
static inline int ide_busy(const struct kvm_iofilter_req *req)
{
	return req->flags & KVM_IOFILTER_REQ_BUSY && IOFILTER_CLAUSE(IDE_BUSY);
}

/* A vCPU's access under way is done. */
static inline void ide_landed(struct ide_watch *w, struct ide_vcpu *v)
{
	/* What it has shown need not be learnt: it may be that the block is there. */
	if (v->flight == IDE_READS && w->phase == IDE_WORKING && IOFILTER_CLAUSE(IDE_SHOWN))
		w->told = 1;
	if (v->flight == IDE_READS)
		w->reading--;
	else if (v->flight != IDE_LANDED)
		w->flying--;
	if (v->flight == IDE_FLIES_DATA && w->phase != IDE_STILL)
		ide_lose(w);
	v->flight = IDE_LANDED;
}

/* An access that goes to the VMM and changes something. */
static inline void ide_flies(struct ide_watch *w, struct ide_vcpu *v, const struct kvm_iofilter_req *req, __u32 flight)
{
	/* In which order they come to the VMM is not known. */
	if (ide_busy(req) || (w->flying && IOFILTER_CLAUSE(IDE_OVERLAP)))
		ide_missed(w, req->now);
	w->version++;
	v->flight = flight;
	w->flying++;
}

/* The drive is not what it is taken for. */
static inline void ide_mismatch(struct ide_watch *w)
{
	w->mismatches++;
	w->fuse = IOFILTER_FUSE_MODEL;
	ide_forget(w);
}

/* Is KVM's line where the drive's interrupt must be? @req is the first access of a vCPU after an answer that tells. */
static inline void ide_line_check(struct ide_watch *w, const struct kvm_iofilter_req *req, int level)
{
	__u32 next = w->line_next;

	if (!next || w->line_vcpu != req->vcpu)
		return;
	w->line_next = IDE_LINE_ANY;
	if (w->line_version != w->version || w->flying || level < 0 || ide_busy(req))
		return;
	if (level == (next == IDE_LINE_HIGH)) {
		if (next == IDE_LINE_HIGH) {
			w->nien = 0;
			w->nien_known = 1;
		}
		w->line_proofs += w->line_proofs < 2 * IDE_LINE_PROOFS;
		return;
	}
	/* nIEN may be set; and another drive may have raised it since, as a CD does that is ejected. */
	if (next == IDE_LINE_HIGH && !w->nien_known)
		return;
	if (w->line_proofs < 2 * IDE_LINE_PROOFS)
		w->line_proofs = 0;
	else if (next == IDE_LINE_HIGH)
		ide_mismatch(w);
}

static inline void ide_line_next(struct ide_watch *w, __u32 vcpu, enum ide_line next)
{
	w->line_next = next;
	w->line_vcpu = vcpu;
	w->line_version = w->version;
}

/* The level of the drive's line, if it is known to be that. */
static inline int ide_line_known(const struct ide_watch *w, int level)
{
	return w->line_proofs >= 2 * IDE_LINE_PROOFS ? level : -1;
}

/* What comes first on every access, under the lock. Return: whether this vCPU may have missed a stop of the VM. */
static inline int ide_enter(struct ide_watch *w, struct ide_vcpu *v, const struct kvm_iofilter_req *req, int level)
{
	int away = req->flags & KVM_IOFILTER_REQ_AWAY && req->away >= w->absence && IOFILTER_CLAUSE(IDE_AWAY);

	if (iofilter_load(w->missed)) {
		iofilter_store(w->missed, 0);
		ide_missed(w, req->now);
	}
	ide_landed(w, v);
	v->asked = 0;
	if (away)
		ide_away(w, req->now);
	ide_line_check(w, req, level);
	return away;
}

/* Whether an access touches the channel at all: the ranges are wider. */
static inline int ide_touches(const struct iofilter_ide *ide, const struct kvm_iofilter_req *req)
{
	__u64 first = req->addr, end = req->addr + req->len, control = ide->base + IDE_CONTROL_AT;

	return (first < ide->base + IDE_NR_REGS && end > ide->base) || (first <= control && end > control);
}

/* The status at this moment. Return: 0 and *@val, or the reason why it is not known. */
static inline enum iofilter_verdict ide_status(struct ide_watch *w, __u32 reg, int line, __u64 *val)
{
	__u32 block = ide_block(w), unit = w->unit & 1;
	/* What a read of the status lowers is low. */
	int low = w->low || (line == 0 && (w->lowered || !IOFILTER_CLAUSE(IDE_LOWERED)));

	if (reg == IDE_STATUS && !low && IOFILTER_CLAUSE(IDE_INTRQ))
		return w->phase == IDE_UNKNOWN ? IOFILTER_PUNT_UNPROVEN : IOFILTER_PUNT_VOLATILE;
	switch (w->phase) {
	case IDE_STILL:
		*val = w->status;
		return w->status_known ? IOFILTER_ANSWERED : IOFILTER_PUNT_UNPROVEN;
	case IDE_BLOCK:
		*val = IDE_FOUND;
		return IOFILTER_ANSWERED;
	case IDE_WORKING:
		*val = IDE_LOOKING;
		/* It would raise INTRQ. */
		if (w->armed && ide_nien(w, 0) && line == 0)
			return IOFILTER_ANSWERED;
		/* Nobody can know how long it takes, unless he is shown; but it does look, if there is such a block. */
		if (reg != IDE_ALT_STATUS || !w->armed || (w->reading && IOFILTER_CLAUSE(IDE_READING)) ||
		    (w->told && IOFILTER_CLAUSE(IDE_ONCE)) || !ide_nien(w, IDE_CTL_NIEN) || !w->by_lba || !block ||
		    (w->sector + block > w->end[unit] && IOFILTER_CLAUSE(IDE_END)))
			return IOFILTER_PUNT_VOLATILE;
		w->told = 1;
		return IOFILTER_ANSWERED;
	default:
		return IOFILTER_PUNT_UNPROVEN;
	}
}

/* What a read of @reg shows at this moment. Return: as ide_status(). */
static inline enum iofilter_verdict ide_show(struct ide_watch *w, __u32 reg, int line, __u64 now, __u64 *val)
{
	enum iofilter_verdict why = IOFILTER_ANSWERED;

	if (reg == IDE_STATUS || reg == IDE_ALT_STATUS) {
		why = ide_status(w, reg, line, val);
	} else if (w->phase != IDE_STILL || !w->status_known || !(w->status & IDE_DRDY) || !ide_knows(w->known, IDE_BIT(reg)) ||
		   (!w->hob_clear && IOFILTER_CLAUSE(IDE_HOB) && reg != IDE_DEVICE)) {
		why = IOFILTER_PUNT_UNPROVEN;
	} else {
		*val = w->regs[reg & 7];
	}
	if (why == IOFILTER_ANSWERED && (now - w->shown_at > w->expiry || !w->credit)) {
		w->credit = IDE_AUDIT;
		return IOFILTER_PUNT_AUDIT;
	}
	return why;
}

/* The VMM is asked for @reg: what it answers is learnt if nothing has come in between. */
static inline void ide_ask(struct ide_watch *w, struct ide_vcpu *v, __u32 reg)
{
	v->asked = reg + 1;
	v->asked_version = w->version;
}

/*
 * The guest polls a drive that works, with its interrupt off. Each look costs an exit, and most of them show nothing new: let the vCPU
 * sleep for as long as it took lately. To the guest it is one that was preempted.
 */
static inline __u64 ide_wait(const struct ide_watch *w, __u64 now)
{
	__u64 worked = now - w->work_at;

	return w->phase == IDE_WORKING && ide_nien(w, IDE_CTL_NIEN) && worked < w->wait ? w->wait - worked : 0;
}

/* A read of one register goes to the VMM. */
static inline void ide_read_punted(struct ide_watch *w, struct ide_vcpu *v, const struct kvm_iofilter_req *req, __u32 reg, int level)
{
	if (reg == IDE_STATUS) {
		ide_flies(w, v, req, IDE_FLIES);
		w->low = ide_nien(w, IDE_CTL_NIEN);
		w->lowered = 1;
		w->armed = 0;
	} else {
		v->flight = IDE_READS;
		w->reading++;
	}
	if (w->phase == IDE_WORKING)
		w->told = 1;
	if (!ide_busy(req) && w->flying == (v->flight == IDE_FLIES))
		ide_ask(w, v, reg);
	/* It was raised, and nothing raises it anew before the guest has read the block. */
	if (reg == IDE_STATUS && w->phase == IDE_BLOCK && level == 1 && !w->pos)
		ide_line_next(w, req->vcpu, IDE_LINE_LOW);
}

/* Under the lock. Return: IOFILTER_ANSWERED and *@val, or why not and for how long the vCPU may sleep first. */
static inline enum iofilter_verdict ide_read_locked(struct iofilter_ide *ide, struct ide_vcpu *v, const struct kvm_iofilter_req *req,
						    int level, __u64 *val, __u64 *delay)
{
	struct ide_watch *w = &ide->watch;
	int away = ide_enter(w, v, req, level), reg = ide_register(ide, req->addr);
	enum iofilter_verdict why;

	if (reg == IDE_DATA && req->len <= 4) {
		ide_flies(w, v, req, IDE_FLIES_DATA);
		return IOFILTER_PUNT_VOLATILE;
	}
	if (reg < 0 || req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING) {
		if (ide_touches(ide, req)) {
			ide_flies(w, v, req, IDE_FLIES);
			ide_lose(w);
		}
		return IOFILTER_PUNT_SHAPE;
	}
	if (w->fuse)
		why = IOFILTER_PUNT_FUSE;
	else if (ide_busy(req) || (w->flying && IOFILTER_CLAUSE(IDE_FLYING)))
		why = IOFILTER_PUNT_BUSY;
	else
		why = ide_show(w, reg, ide_line_known(w, level), req->now, val);
	if (why == IOFILTER_ANSWERED) {
		w->credit--;
		return why;
	}
	if (why == IOFILTER_PUNT_VOLATILE)
		*delay = ide_wait(w, req->now);
	ide_read_punted(w, v, req, reg, level);
	return why == IOFILTER_PUNT_UNPROVEN && away ? IOFILTER_PUNT_SUSPECT : why;
}

/* This vCPU's line. NULL: it is not in the table. */
static inline struct ide_vcpu *ide_vcpu(struct iofilter_ide *ide, __u64 vcpu)
{
	if (vcpu >= IOFILTER_MAX_VCPUS)
		return NULL;
#ifdef __bpf__
	/* The verifier wants to see the bound where it is used, and the compiler would drop it. */
	asm volatile("" : "+r"(vcpu));
#endif
	return &ide->vcpus[vcpu & (IOFILTER_MAX_VCPUS - 1)];
}

static inline int ide_watch_read(struct iofilter_ide *ide, struct kvm_iofilter_req *req)
{
	struct ide_vcpu *v = ide_vcpu(ide, req->vcpu);
	enum iofilter_verdict why;
	__u64 val = 0, delay = 0;
	int level;

	if (!v) {
		if (ide_touches(ide, req))
			iofilter_store(ide->watch.blind, 1);
		return ide_punt(ide, IOFILTER_PUNT_VCPU);
	}
	if (iofilter_load(ide->watch.blind))
		return ide_punt(ide, IOFILTER_PUNT_VCPU);
	level = ide->irq ? ide_line(req, ide->irq) : -1;
	if (ide_lock(&ide->watch)) {
		iofilter_store(ide->watch.missed, 1);
		return ide_punt(ide, IOFILTER_PUNT_BUSY);
	}
	why = ide_read_locked(ide, v, req, level, &val, &delay);
	ide_unlock(&ide->watch);
	req->delay = delay;
	if (why != IOFILTER_ANSWERED)
		return ide_punt(ide, why);
	req->val = val;
	v->answered++;
	return 1;
}

static inline void ide_write_locked(struct iofilter_ide *ide, struct ide_vcpu *v, const struct kvm_iofilter_req *req, int level)
{
	struct ide_watch *w = &ide->watch;
	int reg = ide_register(ide, req->addr);

	ide_enter(w, v, req, level);
	if (!ide_touches(ide, req))
		return;
	ide_flies(w, v, req, IDE_FLIES);
	if ((reg == IDE_DATA && req->len > 1) || (req->flags & KVM_IOFILTER_REQ_STRING && reg == IDE_DATA))
		ide_set_register(w, IDE_DATA, 0);
	else if (reg < 0 || req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		ide_missed(w, req->now);
	else if (reg == IDE_CONTROL)
		ide_control(w, req->val, req->now);
	else if (reg == IDE_COMMAND)
		ide_command(w, req->val, req->now);
	else
		ide_set_register(w, reg, req->val);
}

static inline int ide_watch_write(struct iofilter_ide *ide, const struct kvm_iofilter_req *req)
{
	struct ide_vcpu *v = ide_vcpu(ide, req->vcpu);
	int level;

	if (!v) {
		if (ide_touches(ide, req))
			iofilter_store(ide->watch.blind, 1);
		return ide_punt(ide, IOFILTER_PUNT_VCPU);
	}
	level = ide->irq ? ide_line(req, ide->irq) : -1;
	if (ide_lock(&ide->watch)) {
		iofilter_store(ide->watch.missed, 1);
		return ide_punt(ide, IOFILTER_PUNT_WRITE);
	}
	ide_write_locked(ide, v, req, level);
	ide_unlock(&ide->watch);
	return ide_punt(ide, IOFILTER_PUNT_WRITE);
}

#include <iofilter/ide_learn.h>

#endif /* IOFILTER_IDE_WATCH_H */
