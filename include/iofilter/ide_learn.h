/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the VMM's answers tell of an IDE channel. Part of ide_watch.h. */
#ifndef IOFILTER_IDE_LEARN_H
#define IOFILTER_IDE_LEARN_H

/* IDENTIFY's data, by byte. */
#define IDE_ID_MULTIPLE	  118 /* bit 8: the low byte is the block of READ MULTIPLE */
#define IDE_ID_SECTORS	  120 /* 28 bits */
#define IDE_ID_SETS	  166 /* bit 10: 48-bit addresses */
#define IDE_ID_SECTORS_48 200

/* The VM's own round trip tells how long an exit takes here, and so what is no pause (clock.h). */
static inline void ide_calibrate(struct ide_watch *w, __u64 bracket)
{
	__u64 absence;

	if (!w->best_bracket || bracket < w->best_bracket)
		w->best_bracket = bracket;
	if (w->calibrating && !--w->calibrating)
		w->scaled = 1;
	if (!w->scaled)
		return;
	absence = iofilter_max(w->best_bracket * 10, IOFILTER_ABSENCE_NS);
	w->absence = absence < IDE_ABSENCE_MAX_NS ? absence : IDE_ABSENCE_MAX_NS;
}

/* The drive works no more, or it has given up. */
static inline void ide_learn_idle(struct ide_watch *w, __u8 status, __u64 now)
{
	__u32 new = w->multiple_new;

	if (w->phase == IDE_WORKING)
		w->known = w->hob_known = w->counted = 0;
	if (w->command == IDE_CMD_SET_MULTIPLE && new && (status & (IDE_DRDY | IDE_ERR)) == IDE_DRDY)
		w->multiple[new >> 8 & 1] = new & 0xff;
	w->multiple_new = 0;
	ide_still(w, status, now);
}

static inline void ide_learn_working(struct ide_watch *w, __u32 vcpu, __u32 reg, __u8 status, __u64 now)
{
	__u64 worked = now - w->work_at;
	__u32 unit = w->unit & 1;

	if (status & IDE_BSY) {
		w->armed = status == IDE_LOOKING;
		w->shown_at = now;
		if (w->wait < worked + worked / 4)
			w->wait = worked + worked / 4;
		if (w->wait > IDE_WAIT_MAX_NS)
			w->wait = IDE_WAIT_MAX_NS;
		return;
	}
	w->wait -= w->wait / 16;
	if (status == IDE_FOUND) {
		w->phase = IDE_BLOCK;
		w->pos = 0;
		w->shown_at = now;
		if (w->by_lba)
			w->end[unit] = iofilter_max(w->end[unit], w->sector + (ide_block(w) ?: 1));
	} else if ((status & IDE_ERR && !(status & IDE_DRQ)) || !status) {
		/* No status at all: there is no drive. */
		ide_learn_idle(w, status, now);
	} else {
		/* The VM was stopped by an error of the disk. */
		ide_lose(w);
		w->retry_at = now;
		return;
	}
	if (reg == IDE_ALT_STATUS && w->armed && !ide_nien(w, IDE_CTL_NIEN))
		ide_line_next(w, vcpu, IDE_LINE_HIGH);
}

/* The VMM has shown @status when asked at @now, and nothing has changed it since. */
static inline void ide_learn_status(struct ide_watch *w, __u32 vcpu, __u32 reg, __u8 status, __u64 now)
{
	__u32 phase = w->phase;

	switch (phase) {
	case IDE_UNKNOWN:
		if (status & (IDE_BSY | IDE_DRQ | IDE_ERR))
			w->retry_at = 0;
		if (!(status & (IDE_BSY | IDE_DRQ)) && ide_sure(w, now))
			ide_learn_idle(w, status, now);
		else if (!(status & (IDE_BSY | IDE_DRQ)) && !w->retry_at)
			w->open = 0;
		break;
	case IDE_WORKING:
		ide_learn_working(w, vcpu, reg, status, now);
		break;
	default:
		if (w->phase == IDE_STILL && !w->status_known) {
			if (status & (IDE_BSY | IDE_DRQ))
				ide_lose(w);
			else
				ide_learn_idle(w, status, now);
			break;
		}
		if (status != (w->phase == IDE_STILL ? w->status : IDE_FOUND)) {
			ide_mismatch(w);
			return;
		}
		w->shown_at = now;
	}
	/* The drive has gone on by itself: what another vCPU was shown may be older. */
	if (w->phase != phase) {
		w->version++;
		if (w->line_next)
			w->line_version = w->version;
	}
	w->learnt++;
}

static inline void ide_learn_register(struct ide_watch *w, __u32 reg, __u8 val)
{
	if (w->phase != IDE_STILL || !w->status_known || !(w->status & IDE_DRDY) || (!w->hob_clear && reg != IDE_DEVICE))
		return;
	if (ide_knows(w->known, IDE_BIT(reg)) && w->regs[reg & 7] != val) {
		ide_mismatch(w);
		return;
	}
	ide_set(w, reg, val);
	/* A reset or a diagnosis of the slave leaves it selected and shows the master. */
	if (reg == IDE_DEVICE && val & IDE_DEVICE_DEV)
		w->unit = 1;
	w->learnt++;
}

static inline void ide_learn(struct iofilter_ide *ide, struct ide_vcpu *v, const struct kvm_iofilter_sample *s)
{
	struct ide_watch *w = &ide->watch;
	int reg = ide_register(ide, s->addr);

	/* Read while its vCPU went on, it may be another's answer (settle.c). */
	if (s->flags & KVM_IOFILTER_SAMPLE_OTHER || reg < 0 || v->asked != (__u32)reg + 1 || s->len != 1 ||
	    (v->asked_version != w->version && IOFILTER_CLAUSE(IDE_VERSION)))
		return;
	v->asked = 0;
	if (reg == IDE_STATUS || reg == IDE_ALT_STATUS)
		ide_learn_status(w, s->vcpu, reg, s->val, s->t0);
	else
		ide_learn_register(w, reg, s->val);
}

/* All of IDENTIFY's data in one string. */
static inline void ide_learn_identify(struct ide_watch *w, const struct kvm_iofilter_sample *s)
{
	__u64 id = ide_string(s, IDE_ID_MULTIPLE), sectors = ide_string(s, IDE_ID_SECTORS) & 0xffffffff;
	__u32 unit = w->unit & 1;

	if (ide_string(s, IDE_ID_SETS) >> 10 & 1)
		sectors = iofilter_max(sectors, ide_string(s, IDE_ID_SECTORS_48));
	w->end[unit] = iofilter_max(w->end[unit], sectors);
	if (id >> 8 & 1)
		w->multiple[unit] = id & 0xff;
}

/* A read of data is done. */
static inline void ide_data_done(struct ide_watch *w, struct ide_vcpu *v, const struct kvm_iofilter_sample *s)
{
	__u64 elements = s->flags & KVM_IOFILTER_SAMPLE_STRING ? s->val : 1;

	if (v->flight != IDE_FLIES_DATA || s->flags & KVM_IOFILTER_SAMPLE_OTHER || elements > 1024) {
		ide_landed(w, v);
		return;
	}
	v->flight = IDE_FLIES;
	ide_landed(w, v);
	if (w->phase == IDE_BLOCK && w->command == IDE_CMD_IDENTIFY && !w->pos && elements * s->len == IDE_SECTOR)
		ide_learn_identify(w, s);
	ide_taken(w, IOFILTER_CLAUSE(IDE_ELEMENTS) ? elements : IDE_SECTOR / s->len, s->len, s->t0);
}

static inline void ide_sample_locked(struct iofilter_ide *ide, struct ide_vcpu *v, const struct kvm_iofilter_sample *s)
{
	struct ide_watch *w = &ide->watch;
	__u32 lost = s->flags & KVM_IOFILTER_SAMPLE_LOST, string = s->flags & KVM_IOFILTER_SAMPLE_STRING;

	if (iofilter_load(w->missed)) {
		iofilter_store(w->missed, 0);
		ide_missed(w, s->t1);
	}
	if (s->flags & KVM_IOFILTER_SAMPLE_MOVED) {
		ide_away(w, s->t1);
	} else if (s->flags & KVM_IOFILTER_SAMPLE_WRITE) {
		if (!s->len)
			ide_forget(w);
		ide_landed(w, v);
	} else if (lost && !string) {
		w->lost++;
		/* Perhaps a write from before the filter was attached. */
		if (!s->t0)
			ide_forget(w);
		ide_landed(w, v);
	} else if (ide_register(ide, s->addr) == IDE_DATA) {
		ide_data_done(w, v, s);
	} else {
		ide_landed(w, v);
		if (!lost)
			ide_learn(ide, v, s);
	}
	w->samples++;
	w->last_sample_at = s->t1;
	if (!lost && !(s->flags & (KVM_IOFILTER_SAMPLE_OTHER | KVM_IOFILTER_SAMPLE_WRITE | KVM_IOFILTER_SAMPLE_MOVED)))
		ide_calibrate(w, s->t1 - s->t0);
}

static inline void ide_watch_sample(struct iofilter_ide *ide, const struct kvm_iofilter_sample *s)
{
	struct ide_vcpu *v = ide_vcpu(ide, s->flags & KVM_IOFILTER_SAMPLE_MOVED ? 0 : s->vcpu);

	if (!v) {
		iofilter_store(ide->watch.blind, 1);
		return;
	}
	if (ide_lock(&ide->watch)) {
		iofilter_store(ide->watch.missed, 1);
		return;
	}
	ide_sample_locked(ide, v, s);
	ide_unlock(&ide->watch);
}

#endif /* IOFILTER_IDE_LEARN_H */
