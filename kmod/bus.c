// SPDX-License-Identifier: GPL-2.0
/*
 * Our ranges on KVM's I/O buses. kvm_io_bus_register_dev() is exported by no kernel (and would put us behind KVM's own
 * devices), so the array is ours to build: a copy of the old one with our ranges in it, published under slots_lock as KVM does.
 *
 * The order of the array matters. KVM finds an access by bsearch, which expects ranges sorted so that no access compares
 * "beyond" a range it is not in; overlapping ranges can break that, so the new array is tried with every access that could
 * be affected before it is published.
 */
#include <linux/bsearch.h>
#include <linux/module.h>
#include <linux/srcu.h>
#include "iofilter.h"

/* Of KVM's 1000 per bus, leave the VMM its share. */
#define IOFILTER_BUS_MAX 900

/* Stands in for a range that could not be taken out for lack of memory. It answers nothing. */
static void inert_gone(struct kvm_io_device *dev)
{
	module_put(THIS_MODULE);
}

static const struct kvm_io_device_ops inert_ops = {
	.destructor = inert_gone,
};

static struct kvm_io_device inert = { .ops = &inert_ops };

/* KVM's own comparison (virt/kvm/kvm_main.c, kvm_io_bus_cmp): 0 if the access @a lies within the range @b. */
static int bus_cmp(const void *pa, const void *pb)
{
	const struct kvm_io_range *a = pa, *b = pb;
	gpa_t a1 = a->addr, b1 = b->addr;

	if (a1 < b1)
		return -1;
	if (b->len) {
		a1 += a->len;
		b1 += b->len;
	}
	return a1 > b1;
}

static bool is_ours(const struct kvm_io_range *r, const struct iofilter *f)
{
	return r->dev->ops == &iofilter_dev_ops && container_of(r->dev, struct iofilter_dev, dev)->f == f;
}

/*
 * Would KVM offer the access [@addr, @addr + @len) to entry @which of @bus? If @f is given, before any that is not @f's; and then
 * another of @f's that begins at the same address is as good: beside a one-byte device at our first port, one of our ranges must be as
 * short to come before it, and a longer one sees the wider accesses.
 */
static bool bus_reaches(const struct kvm_io_bus *bus, gpa_t addr, int len, const struct kvm_io_range *which,
			const struct iofilter *f)
{
	struct kvm_io_range key = { .addr = addr, .len = len };
	const struct kvm_io_range *r;
	int i;

	r = bsearch(&key, bus->range, bus->dev_count, sizeof(key), bus_cmp);
	if (!r)
		return false;
	for (i = r - bus->range; i > 0 && !bus_cmp(&key, &bus->range[i - 1]);)
		i--;
	for (; i < bus->dev_count && !bus_cmp(&key, &bus->range[i]); i++) {
		if (&bus->range[i] == which)
			return true;
		if (f && !is_ours(&bus->range[i], f))
			return false;
		if (f && bus->range[i].addr == which->addr)
			return true;
	}
	return false;
}

/*
 * An access at @addr within range @i of the new array: is it found there, if it was in the old one at @old_i? In a range of
 * ours (@old_i is -1) it must be found before the devices of others: KVM's own would take it, and we would never know.
 */
static bool access_kept(const struct kvm_io_bus *old, const struct kvm_io_bus *new, int i, int old_i, gpa_t addr,
			const struct iofilter *f)
{
	const struct kvm_io_range *r = &new->range[i];
	int len;

	for (len = 1; len <= 8; len <<= 1) {
		if (addr < r->addr || addr + len > r->addr + r->len)
			continue;
		if (bus_reaches(new, addr, len, r, old_i < 0 ? f : NULL))
			continue;
		if (old_i < 0 || bus_reaches(old, addr, len, &old->range[old_i], NULL))
			return false;
	}
	return true;
}

/*
 * Is every range of the new array reachable as it was in the old one, and ours in full? What an access finds changes only
 * where a range begins or ends, so for each range the addresses around every such place are enough.
 */
static bool bus_all_reachable(const struct kvm_io_bus *old, const struct kvm_io_bus *new, const struct iofilter *f)
{
	int i, j, old_i = 0, near;

	for (i = 0; i < new->dev_count; i++) {
		bool ours = is_ours(&new->range[i], f);

		/* A zero length is KVM's "any length" ioeventfd: only the exact address, which sorting by start keeps. */
		if (new->range[i].len)
			for (j = 0; j < new->dev_count; j++)
				for (near = -8; near <= 8; near++) {
					const struct kvm_io_range *edge = &new->range[j];

					if (!access_kept(old, new, i, ours ? -1 : old_i, edge->addr + near, f) ||
					    !access_kept(old, new, i, ours ? -1 : old_i, edge->addr + edge->len + near, f))
						return false;
				}
		cond_resched();
		if (!ours)
			old_i++;
	}
	return true;
}

/* Where @r goes: by start; among the same start, in front of every range that ends no earlier. */
static int bus_place(const struct kvm_io_bus *bus, const struct kvm_io_range *r)
{
	int i;

	for (i = 0; i < bus->dev_count; i++) {
		const struct kvm_io_range *o = &bus->range[i];

		if (o->addr > r->addr || (o->addr == r->addr && o->len >= r->len))
			break;
	}
	return i;
}

/* Does anything stand on a range of @f? Filters do not: that was looked at before. */
static bool bus_taken(const struct kvm_io_bus *bus, const struct iofilter *f, u32 bus_idx)
{
	u32 i;
	int j;

	for (i = 0; i < f->nr_ranges; i++) {
		const struct kvm_iofilter_range *a = &f->devs[i].range;

		for (j = 0; j < bus->dev_count; j++) {
			const struct kvm_io_range *b = &bus->range[j];

			if (a->bus == bus_idx && a->addr < b->addr + max(b->len, 1) && b->addr < a->addr + a->len)
				return true;
		}
	}
	return false;
}

static struct kvm_io_bus *bus_with(const struct kvm_io_bus *old, struct iofilter *f, u32 bus_idx, int n)
{
	struct kvm_io_bus *new = kmalloc(struct_size(new, range, old->dev_count + n), GFP_KERNEL_ACCOUNT);
	u32 i;
	int at;

	if (!new)
		return NULL;
	memcpy(new, old, struct_size(old, range, old->dev_count));
	for (i = 0; i < f->nr_ranges; i++) {
		struct kvm_io_range r = {
			.addr = f->devs[i].range.addr,
			.len = f->devs[i].range.len,
			.dev = &f->devs[i].dev,
		};

		if (f->devs[i].range.bus != bus_idx)
			continue;
		at = bus_place(new, &r);
		memmove(&new->range[at + 1], &new->range[at], flex_array_size(new, range, new->dev_count - at));
		new->range[at] = r;
		new->dev_count++;
	}
	return new;
}

/*
 * Put all ranges of @f on the buses, each bus in one step. Waits until no vCPU uses the old arrays.
 *
 * Return: 0, -EBUSY: an access would no longer be found; -EADDRINUSE: F_ALONE, and there is another device; -ENOSPC; -ENOMEM.
 * On error nothing has changed.
 */
int iofilter_bus_add(struct kvm *kvm, struct iofilter *f)
{
	static const u32 idx[] = { KVM_MMIO_BUS, KVM_PIO_BUS };
	struct kvm_io_bus *old[2] = {}, *new[2] = {};
	int i, err = 0, n[2] = {};

	for (i = 0; i < f->nr_ranges; i++)
		n[f->devs[i].range.bus == KVM_IOFILTER_PIO]++;

	mutex_lock(&kvm->slots_lock);
	for (i = 0; i < 2 && !err; i++) {
		if (!n[i])
			continue;
		old[i] = kvm_get_bus(kvm, idx[i]);
		if (!old[i]) {
			err = -ENOMEM;
		} else if (f->flags & KVM_IOFILTER_F_ALONE && bus_taken(old[i], f, idx[i])) {
			err = -EADDRINUSE;
		} else if (old[i]->dev_count - old[i]->ioeventfd_count + n[i] > IOFILTER_BUS_MAX) {
			err = -ENOSPC;
		} else {
			new[i] = bus_with(old[i], f, idx[i], n[i]);
			if (!new[i])
				err = -ENOMEM;
			else if (!bus_all_reachable(old[i], new[i], f))
				err = -EBUSY;
		}
	}
	if (!err) {
		atomic_set(&f->on_bus, f->nr_ranges);
		for (i = 0; i < 2; i++)
			if (new[i])
				rcu_assign_pointer(kvm->buses[idx[i]], new[i]);
		synchronize_srcu_expedited(&kvm->srcu);
	}
	mutex_unlock(&kvm->slots_lock);
	for (i = 0; i < 2; i++)
		kfree(err ? new[i] : old[i]);
	return err;
}

/*
 * Take all ranges of @f off the buses, and wait until no vCPU is in one of them. Cannot fail: without memory for a smaller
 * array, an inert device takes the place of ours and pins this module until the VM ends.
 */
void iofilter_bus_del(struct kvm *kvm, struct iofilter *f)
{
	static const u32 idx[] = { KVM_MMIO_BUS, KVM_PIO_BUS };
	struct kvm_io_bus *old[2] = {};
	int i, j, gone = 0;

	mutex_lock(&kvm->slots_lock);
	for (i = 0; i < 2; i++) {
		struct kvm_io_bus *bus = kvm_get_bus(kvm, idx[i]), *new;
		int n = 0;

		if (!bus)
			continue;
		for (j = 0; j < bus->dev_count; j++)
			n += is_ours(&bus->range[j], f);
		if (!n)
			continue;
		gone += n;
		new = kmalloc(struct_size(new, range, bus->dev_count - n), GFP_KERNEL_ACCOUNT);
		if (!new) {
			for (j = 0; j < bus->dev_count; j++)
				if (is_ours(&bus->range[j], f)) {
					__module_get(THIS_MODULE);
					WRITE_ONCE(bus->range[j].dev, &inert);
				}
			continue;
		}
		memcpy(new, bus, sizeof(*bus));
		new->dev_count = 0;
		for (j = 0; j < bus->dev_count; j++)
			if (!is_ours(&bus->range[j], f))
				new->range[new->dev_count++] = bus->range[j];
		old[i] = bus;
		rcu_assign_pointer(kvm->buses[idx[i]], new);
	}
	synchronize_srcu_expedited(&kvm->srcu);
	mutex_unlock(&kvm->slots_lock);
	kfree(old[0]);
	kfree(old[1]);
	if (gone && atomic_sub_and_test(gone, &f->on_bus))
		iofilter_put(f); /* the bus's reference */
}
