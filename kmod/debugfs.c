// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/kvm_iofilter/: filters, a row per range of every attached filter; drains, what detaches have cut off. Read-only, so
 * lockdown allows it.
 */
#include <linux/debugfs.h>
#include "iofilter.h"

static struct dentry *iofilter_dir;

static int filters_show(struct seq_file *m, void *unused)
{
	struct iofilter *f;
	u32 i, j;
	int op;

	seq_puts(m, "link pid name bus addr len reads_handled reads_punted writes_handled writes_punted\n");
	mutex_lock(&iofilter_mutex);
	list_for_each_entry(f, &iofilter_filters, node)
		for (i = 0; i < f->nr_ranges; i++) {
			const struct kvm_iofilter_range *r = &f->devs[i].range;
			u64 handled[2] = {}, punted[2] = {};

			for (j = 0; j < f->nr_slots; j++) {
				const struct iofilter_vcpu_slot *s = READ_ONCE(f->slots[j]);

				for (op = 0; s && op < 2; op++) {
					handled[op] += READ_ONCE(s->handled[op][i]);
					punted[op] += READ_ONCE(s->punted[op][i]);
				}
			}
			seq_printf(m, "%u %d %s %s 0x%llx %u %llu %llu %llu %llu\n", f->link->id, f->pid, f->name,
				   r->bus == KVM_IOFILTER_PIO ? "pio" : "mmio", r->addr, r->len, handled[0],
				   punted[0], handled[1], punted[1]);
		}
	mutex_unlock(&iofilter_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(filters);

static int drains_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "drained cut_off sequences\n");
	mutex_lock(&iofilter_mutex);
	seq_printf(m, "%llu %llu %llu\n", iofilter_drains.drained, iofilter_drains.cut_off, iofilter_drains.sequences);
	mutex_unlock(&iofilter_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(drains);

void iofilter_debugfs_init(void)
{
	iofilter_dir = debugfs_create_dir("kvm_iofilter", NULL);
	debugfs_create_file("filters", 0444, iofilter_dir, NULL, &filters_fops);
	debugfs_create_file("drains", 0444, iofilter_dir, NULL, &drains_fops);
}

void iofilter_debugfs_exit(void)
{
	debugfs_remove(iofilter_dir);
}
