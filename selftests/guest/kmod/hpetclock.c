// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux guest's raw access to the HPET, as portclock.c is to ports; see clock.c, which drives this file. A line written to
 * /proc/hpetclock is done at once; reading the same open file gives the result. Several open files may run on several CPUs: each
 * value is also judged against the newest that any of them had seen before its read began.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <iofilter/hpet.h>

static u8 __iomem *hpet;

static atomic64_t newest = ATOMIC64_INIT(0);
static int running;
static DEFINE_MUTEX(running_lock);

struct run {
	u64 reads, back, cross, max_back, value;
	char mode[8];
	char reply[256];
};

static u64 whole(void)
{
	return readq(hpet + HPET_MAIN_CNT);
}

static u64 by_halves(void)
{
	u32 high, low, again = readl(hpet + HPET_MAIN_CNT + 4);

	do {
		high = again;
		low = readl(hpet + HPET_MAIN_CNT);
		again = readl(hpet + HPET_MAIN_CNT + 4);
	} while (high != again);
	return (u64)high << 32 | low;
}

/* The high half is not read: it is what the newest value says, and wraps only after 43 s. */
static u64 low(u64 before)
{
	return before + (s32)(readl(hpet + HPET_MAIN_CNT) - (u32)before);
}

static u64 value(const struct run *r, u64 before)
{
	switch (r->mode[0]) {
	case 'w':
		return whole();
	case 'h':
		return by_halves();
	case 'l':
		return low(before);
	default:
		switch (get_random_u32_below(3)) {
		case 0:
			return whole();
		case 1:
			return by_halves();
		default:
			return low(before);
		}
	}
}

static void saw(struct run *r, u64 before, u64 v)
{
	s64 old = before;

	if (v < r->value) {
		r->back++;
		r->max_back = max(r->max_back, r->value - v);
	}
	if (v < before) {
		r->cross++;
		r->max_back = max(r->max_back, before - v);
	}
	r->value = v;
	while (old < (s64)v && !atomic64_try_cmpxchg(&newest, &old, v))
		;
}

static void loop(struct run *r, u64 reads)
{
	u64 before;

	mutex_lock(&running_lock);
	r->value = by_halves();
	if (!running++)
		atomic64_set(&newest, r->value);
	mutex_unlock(&running_lock);
	while (r->reads < reads) {
		before = atomic64_read_acquire(&newest);
		saw(r, before, value(r, before));
		if (!(++r->reads & 255)) {
			if (signal_pending(current))
				break;
			cond_resched();
		}
	}
	mutex_lock(&running_lock);
	running--;
	mutex_unlock(&running_lock);
}

static ssize_t hpetclock_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	char line[64];
	u64 n;

	if (len >= sizeof(line) || copy_from_user(line, ubuf, len))
		return -EINVAL;
	line[len] = 0;
	memset(r, 0, sizeof(*r));
	if (sscanf(line, "hpet %7s %llu", r->mode, &n) != 2)
		return -EINVAL;
	if (!strcmp(r->mode, "whole") || !strcmp(r->mode, "halves") || !strcmp(r->mode, "low") || !strcmp(r->mode, "mixed"))
		loop(r, n);
	else
		return -EINVAL;
	snprintf(r->reply, sizeof(r->reply),
		 "{\"reads\": %llu, \"back\": %llu, \"cross\": %llu, \"max_back\": %llu, \"last\": %llu, \"cap\": %llu, \"period\": %u}\n",
		 r->reads, r->back, r->cross, r->max_back, r->value, readq(hpet + HPET_GCAP_ID), readl(hpet + HPET_GCAP_ID + 4));
	return len;
}

static ssize_t hpetclock_read(struct file *file, char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	loff_t start = 0;

	return simple_read_from_buffer(ubuf, len, &start, r->reply, strlen(r->reply));
}

static int hpetclock_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct run), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int hpetclock_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct proc_ops hpetclock_ops = {
	.proc_open = hpetclock_open,
	.proc_release = hpetclock_release,
	.proc_read = hpetclock_read,
	.proc_write = hpetclock_write,
};

static int __init hpetclock_init(void)
{
	hpet = ioremap(HPET_BASE, HPET_LEN);
	if (!hpet)
		return -ENOMEM;
	if (proc_create("hpetclock", 0600, NULL, &hpetclock_ops))
		return 0;
	iounmap(hpet);
	return -ENOMEM;
}

static void __exit hpetclock_exit(void)
{
	remove_proc_entry("hpetclock", NULL);
	iounmap(hpet);
}

module_init(hpetclock_init);
module_exit(hpetclock_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Reads the HPET and judges what comes");
