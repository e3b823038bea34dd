/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Accesses to an IDE channel that a VMM has given to the filter. As QEMU's hw/ide/core.c, and as if a block of data were always there at
 * once: a drive that is never seen busy.
 *
 * Answered: reads of the registers; writes of features, count, address, device (the master) and control (without a reset);
 * data to the guest by words and dwords, as long as the VMM has given what the guest sees next. Else the access goes to the VMM, which
 * takes the channel: a command, data from the guest, a byte of data, the slave, anything odd.
 *
 * The registers are ahead of the guest: they move on by a block when that is read from the disk, so with the last word of
 * the block before it. So does the interrupt.
 *
 * A string goes on without the lock, since an element that is not answered would be zero. Meanwhile others do not touch what it changes.
 */
#ifndef IOFILTER_IDE_OWN_H
#define IOFILTER_IDE_OWN_H

#include <iofilter/ide_channel.h>

/* Raises the interrupt; given by the includer. */
static inline void ide_own_signal(struct ide_own *o, const struct kvm_iofilter_req *req);

/* As TABLE_PROG: in BPF a program of its own, verified once. */
#ifdef __bpf__
#define IDE_PROG __attribute__((__noinline__))
#define IDE_ARG	 __attribute__((btf_decl_tag("arg:nonnull")))
#else
#define IDE_PROG static inline
#define IDE_ARG
#endif

IDE_PROG int ide_own_lock_slow(struct ide_own *o IDE_ARG)
{
	return iofilter_try_lock(&o->lock);
}

static inline int ide_own_lock(struct ide_own *o)
{
	return __sync_val_compare_and_swap(&o->lock, 0, 1) ? ide_own_lock_slow(o) : 0;
}

static inline void ide_own_unlock(struct ide_own *o)
{
	iofilter_unlock(&o->lock);
}

/* First on every access that is no further element: the string of this vCPU has ended, whatever it had left. */
static inline void ide_own_string_end(struct ide_own *o, __u32 vcpu)
{
	if (iofilter_load(o->string.left) && iofilter_load(o->string.vcpu) == vcpu)
		iofilter_store(o->string.left, 0);
}

/* The registers of @drive that are not what they were. */
static inline __u32 ide_own_differs(const struct ide_taskfile *was, const struct ide_taskfile *t, __u32 drive)
{
	__u32 changed = 0;

#define DIFFERS(member, bit) (changed |= (__u32)(was->member != t->member) << (bit))
	DIFFERS(count, IDE_HOT_COUNT);
	DIFFERS(features, IDE_HOT_FEATURES);
	DIFFERS(lba_low, IDE_HOT_LBA_LOW);
	DIFFERS(lba_mid, IDE_HOT_LBA_MID);
	DIFFERS(lba_high, IDE_HOT_LBA_HIGH);
	DIFFERS(device, IDE_HOT_DEVICE);
	DIFFERS(hob_features, IDE_HOT_HOB_FEATURES);
	DIFFERS(hob_count, IDE_HOT_HOB_COUNT);
	DIFFERS(hob_lba_low, IDE_HOT_HOB_LBA_LOW);
	DIFFERS(hob_lba_mid, IDE_HOT_HOB_LBA_MID);
	DIFFERS(hob_lba_high, IDE_HOT_HOB_LBA_HIGH);
#undef DIFFERS
	return changed << drive;
}

/* After the registers were changed. Of a string without the lock, so by an atomic operation as anybody's. */
static inline void ide_own_tell(struct ide_own *o, __u32 changed)
{
	if (changed && o->followed)
		__sync_fetch_and_or(&o->changed, (__u64)changed);
}

/* The last word of a block. Order: who gets the interrupt finds the next one. */
static inline void ide_own_block_end(struct ide_own *o, const struct kvm_iofilter_req *req)
{
	struct ide_taskfile *t = &o->c.drives[0], was = *t;
	__u32 left = o->last - o->end, n;

	if (!left) {
		o->c.status = IDE_DRDY | IDE_DSC;
		o->c.transfer = IDE_NO_DATA;
		ide_own_tell(o, 1U << IDE_HOT_STATUS | 1U << IDE_HOT_TRANSFER);
		return;
	}
	n = o->c.block * IDE_SECTOR;
	n = n < left ? n : left;
	o->begin = o->end;
	o->end += n;
	n /= IDE_SECTOR;
	t->count -= n;
	/* A carry through all of the address. */
	n += t->lba_low;
	t->lba_low = n;
	n = (n >> 8) + t->lba_mid;
	t->lba_mid = n;
	n = (n >> 8) + t->lba_high;
	t->lba_high = n;
	n >>= 8;
	if (o->c.lba48) {
		n += t->hob_lba_low;
		t->hob_lba_low = n;
		n = (n >> 8) + t->hob_lba_mid;
		t->hob_lba_mid = n;
		t->hob_lba_high += n >> 8;
	} else {
		t->device = (t->device & ~IDE_DEVICE_HEAD) | ((t->device + n) & IDE_DEVICE_HEAD);
	}
	ide_own_tell(o, 1U << IDE_HOT_BEGIN | 1U << IDE_HOT_END | ide_own_differs(&was, t, 0));
	if (o->c.control & IDE_CTL_NIEN)
		return;
	/* Others lower it without regard to us. */
	if (!__sync_lock_test_and_set(&o->c.intrq, 1)) {
		o->interrupts++;
		ide_own_tell(o, 1U << IDE_HOT_INTRQ);
		ide_own_signal(o, req);
	}
}

#define IDE_OWN_INDEX(i)                          \
	({                                        \
		__u64 i_ = (i);                   \
		asm volatile("" : "+r"(i_));      \
		i_ & (IDE_OWN_ROOM - 1);          \
	})

static inline void ide_own_element(struct ide_own *o, struct kvm_iofilter_req *req)
{
	const __u8 *from = &o->data[IDE_OWN_INDEX(o->pos)];

	req->val = req->len == 4 ? *(const __u32 *)from : *(const __u16 *)from;
	o->pos += req->len;
	ide_own_tell(o, 1U << IDE_HOT_POS);
	if (o->pos == o->end)
		ide_own_block_end(o, req);
}

/* Can the guest have @bytes, and all that it sees behind them? */
static inline int ide_own_there(const struct ide_own *o, __u32 bytes)
{
	__u32 end = o->pos + bytes, size = o->c.block * IDE_SECTOR, need;

	if (end < o->end)
		return 1;
	if (end > o->last)
		return 0;
	/* The last block ends without an interrupt. */
	if (o->end == o->last)
		return 1;
	if (!o->signals && !(o->c.control & IDE_CTL_NIEN))
		return 0;
	/* With the last word of a block comes the next. */
	if (!size)
		return 0;
	need = o->end + ((end - o->end) / size + 1) * size;
	return (need < o->last ? need : o->last) <= o->there;
}

static inline __u32 ide_own_data(struct ide_own *o, struct kvm_iofilter_req *req)
{
	__u32 bytes = req->count * req->len;

	if (req->len != 2 && req->len != 4)
		return IOFILTER_PUNT_SHAPE;
	if (!(o->c.status & IDE_DRQ)) {
		req->val = 0;
		return req->flags & KVM_IOFILTER_REQ_STRING ? IOFILTER_PUNT_SHAPE : IOFILTER_ANSWERED;
	}
	/* A block ends with an element, and no multiplication overflows. */
	if (o->pos % req->len || req->count > IDE_OWN_DATA || !ide_own_there(o, bytes))
		return IOFILTER_PUNT_HELD;
	if (req->flags & KVM_IOFILTER_REQ_STRING) {
		o->string.vcpu = req->vcpu;
		o->string.len = req->len;
		iofilter_store(o->string.left, req->count - 1);
	}
	ide_own_element(o, req);
	return IOFILTER_ANSWERED;
}

static inline void ide_own_lower(struct ide_own *o)
{
	if (!o->followed)
		iofilter_store(o->c.intrq, 0);
	/* Whether it was high must be known then, and nobody may raise it in between. */
	else if (__sync_lock_test_and_set(&o->c.intrq, 0))
		ide_own_tell(o, 1U << IDE_HOT_INTRQ);
}

static inline __u32 ide_own_register(struct ide_own *o, struct kvm_iofilter_req *req, __u32 reg)
{
	const struct ide_taskfile *t = &o->c.drives[0];
	int hob = o->c.control & IDE_CTL_HOB;

	if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		return IOFILTER_PUNT_SHAPE;
	switch (reg) {
	case IDE_ERROR:
		req->val = hob ? t->hob_features : o->c.error;
		return IOFILTER_ANSWERED;
	case IDE_COUNT:
		req->val = hob ? t->hob_count : t->count & 0xff;
		return IOFILTER_ANSWERED;
	case IDE_LBA_LOW:
		req->val = hob ? t->hob_lba_low : t->lba_low;
		return IOFILTER_ANSWERED;
	case IDE_LBA_MID:
		req->val = hob ? t->hob_lba_mid : t->lba_mid;
		return IOFILTER_ANSWERED;
	case IDE_LBA_HIGH:
		req->val = hob ? t->hob_lba_high : t->lba_high;
		return IOFILTER_ANSWERED;
	case IDE_DEVICE:
		req->val = t->device;
		return IOFILTER_ANSWERED;
	case IDE_STATUS:
		/* Lowered first: another's string may raise it, with a status that must be seen then. */
		ide_own_lower(o);
		iofilter_barrier();
		req->val = iofilter_load(o->c.status);
		return IOFILTER_ANSWERED;
	case IDE_ALT_STATUS:
		req->val = iofilter_load(o->c.status);
		return IOFILTER_ANSWERED;
	default:
		return IOFILTER_PUNT_SHAPE;
	}
}

/* A further element of a string whose first was answered. */
static inline __u32 ide_own_more(struct ide_own *o, struct kvm_iofilter_req *req)
{
	__u32 left = o->string.left;

	if (!left || o->string.vcpu != req->vcpu || o->string.len != req->len)
		return IOFILTER_PUNT_SHAPE;
	ide_own_element(o, req);
	iofilter_barrier();
	iofilter_store(o->string.left, left - 1);
	return IOFILTER_ANSWERED;
}

/* Return: IOFILTER_ANSWERED, or why it is punted. */
static inline __u32 ide_own_read(struct ide_own *o, struct kvm_iofilter_req *req, int reg)
{
	__u32 verdict;

	if (req->flags & KVM_IOFILTER_REQ_MORE)
		return ide_own_more(o, req);
	ide_own_string_end(o, req->vcpu);
	if (ide_own_lock(o))
		return IOFILTER_PUNT_BUSY;
	if (!o->given)
		verdict = IOFILTER_PUNT_HELD;
	else if (reg == IDE_DATA && iofilter_load(o->string.left))
		verdict = IOFILTER_PUNT_BUSY;
	else
		verdict = reg == IDE_DATA ? ide_own_data(o, req) : ide_own_register(o, req, reg);
	ide_own_unlock(o);
	return verdict;
}

/* The drive hears it while it wants no data. */
static inline __u32 ide_own_set(struct ide_own *o, __u32 reg, __u8 val)
{
	struct ide_taskfile *t = &o->c.drives[0], *u = &o->c.drives[1], of_t = *t, of_u = *u;
	__u32 hob = o->c.control & IDE_CTL_HOB;

	if (o->c.status & IDE_DRQ)
		return reg >= IDE_FEATURES && reg <= IDE_DEVICE ? IOFILTER_ANSWERED : IOFILTER_PUNT_WRITE;
	switch (reg) {
	case IDE_FEATURES:
		t->hob_features = t->features;
		u->hob_features = u->features;
		t->features = u->features = val;
		break;
	case IDE_COUNT:
		t->hob_count = t->count;
		u->hob_count = u->count;
		t->count = u->count = val;
		break;
	case IDE_LBA_LOW:
		t->hob_lba_low = t->lba_low;
		u->hob_lba_low = u->lba_low;
		t->lba_low = u->lba_low = val;
		break;
	case IDE_LBA_MID:
		t->hob_lba_mid = t->lba_mid;
		u->hob_lba_mid = u->lba_mid;
		t->lba_mid = u->lba_mid = val;
		break;
	case IDE_LBA_HIGH:
		t->hob_lba_high = t->lba_high;
		u->hob_lba_high = u->lba_high;
		t->lba_high = u->lba_high = val;
		break;
	case IDE_DEVICE:
		if (val & IDE_DEVICE_DEV)
			return IOFILTER_PUNT_WRITE;
		t->device = u->device = val | IDE_DEVICE_ONES;
		break;
	default:
		return IOFILTER_PUNT_WRITE;
	}
	o->c.control &= ~IDE_CTL_HOB;
	ide_own_tell(o, ide_own_differs(&of_t, t, 0) | ide_own_differs(&of_u, u, 1) | (hob ? 1U << IDE_HOT_CONTROL : 0));
	return IOFILTER_ANSWERED;
}

static inline __u32 ide_own_write(struct ide_own *o, const struct kvm_iofilter_req *req, int reg)
{
	__u32 verdict, control;

	ide_own_string_end(o, req->vcpu);
	if (ide_own_lock(o))
		return IOFILTER_PUNT_BUSY;
	if (!o->given)
		verdict = IOFILTER_PUNT_HELD;
	else if (iofilter_load(o->string.left))
		verdict = IOFILTER_PUNT_BUSY;
	else if (req->len != 1 || req->flags & KVM_IOFILTER_REQ_STRING)
		verdict = IOFILTER_PUNT_SHAPE;
	else if (reg != IDE_CONTROL)
		verdict = ide_own_set(o, reg, req->val);
	else if (req->val & IDE_CTL_SRST)
		verdict = IOFILTER_PUNT_WRITE;
	else {
		control = o->c.control;
		o->c.control = req->val;
		ide_own_tell(o, o->c.control != control ? 1U << IDE_HOT_CONTROL : 0);
		verdict = IOFILTER_ANSWERED;
	}
	ide_own_unlock(o);
	return verdict;
}

#endif /* IOFILTER_IDE_OWN_H */
