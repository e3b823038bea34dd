// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux guest's raw access to the PIT's counter 2 and port 0x61. A line written to /proc/pitclock is done at once; reading the
 * same open file gives the result. The PM timer is the judge: where no filter answers it, it is QEMU's own clock.
 *
 *	latch N		N latched counts. In every 17th the PM timer is read before and after
 *	pairs N		the same with unlatched pairs; none is judged
 *	rise N		N times: program one pulse, and poll port 0x61 until the output rises
 *	hold N		as latch; then one more latch, of which only the LSB is read
 *	rest 0		the MSB of that, by whatever file, and whether it fits the counts before it
 *	more N		as latch, of the counter as it is
 *	watch BITS	gate and data are BITS, and one pulse of 65536 is programmed; port 0x61 is read, and each read compared with the one before
 *	end 0		.. until another file says so; "held" is what was read last
 */
#include <linux/i8253.h>
#include <linux/io.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <iofilter/pit.h>
#include <iofilter/pmtimer.h>

#define CHANNEL	 2
#define COUNTER	 (PIT_PORT + CHANNEL)
#define PM_MASK	 ((1U << PMTIMER_WIDTH) - 1)
#define BETWEEN	 16
#define WRAP_NS	 54925401LL /* of 65536 ticks */
#define RISE	 20000

struct run {
	u64 reads, early, judged, toggles, others, falls, late_ns;
	s64 low, high; /* of the distance between the two timers, ns */
	u64 since; /* what the PM timer has counted, unwrapped */
	u32 pm;
	s64 held_first, held_last; /* a count was latched between them */
	u16 held;
	char reply[256];
};

static s64 pit_to_ns(u64 ticks)
{
	return mul_u64_u64_div_u64(ticks, NSEC_PER_SEC, PIT_HZ);
}

static u32 pm_read(void)
{
	return inl(PMTIMER_PORT) & PM_MASK;
}

static s64 pm_to_ns(u32 ticks)
{
	return div_u64((u64)ticks * NSEC_PER_SEC, PMTIMER_HZ);
}

static u16 read_pair(void)
{
	u16 val = inb(COUNTER);

	return val | inb(COUNTER) << 8;
}

static u16 read_latched(void)
{
	outb(CHANNEL << 6, PIT_CONTROL);
	return read_pair();
}

static void load(u8 mode, u16 count)
{
	int i;

	/* Of what may still be latched. */
	for (i = 0; i < 4; i++)
		inb(COUNTER);
	outb(CHANNEL << 6 | PIT_RW_WORD << 4 | mode << 1, PIT_CONTROL);
	outb(count, COUNTER);
	outb(count >> 8, COUNTER);
}

/*
 * The count was @val between two answers of the PM timer, @first ns and @last ns, and a tick of each long. One distance of the two,
 * modulo the PIT's wrap, fits all such reads of steady clocks.
 */
static void judge(struct run *r, u16 val, s64 first, s64 last)
{
	s64 shown = pit_to_ns((u16)-val), least = shown - last - 280, most = shown + 839 - first, wraps;

	/* A vCPU that was away for that long cannot say which of the wraps it was in. */
	if (last - first > WRAP_NS / 4)
		return;
	if (r->judged++) {
		/* The nearest of those that look alike. */
		wraps = div_s64(r->low - least + WRAP_NS / 2 + (1LL << 20) * WRAP_NS, WRAP_NS) - (1LL << 20);
		least += wraps * WRAP_NS;
		most += wraps * WRAP_NS;
	}
	if (r->judged == 1 || least > r->low)
		r->low = least;
	if (r->judged == 1 || most < r->high)
		r->high = most;
}

/* What the PM timer shows was read when it showed @before, a wrap after r->pm at most. Return: its ns. */
static s64 unwrap(struct run *r, u32 before)
{
	r->since += (before - r->pm) & PM_MASK;
	r->pm = before;
	return mul_u64_u64_div_u64(r->since, NSEC_PER_SEC, PMTIMER_HZ);
}

static int counts(struct run *r, u64 n, u16 (*count)(void), int judged)
{
	u32 before, after;
	s64 first;
	u16 val;
	u64 i;

	r->pm = pm_read();
	for (i = 0; i < n && !signal_pending(current); i++) {
		r->reads++;
		if (!judged || i % (BETWEEN + 1) != BETWEEN) {
			count();
			continue;
		}
		before = pm_read();
		val = count();
		after = pm_read();
		first = unwrap(r, before);
		judge(r, val, first, first + pm_to_ns((after - before) & PM_MASK));
		cond_resched();
	}
	return 0;
}

static struct run holding;
static bool watching;

static int hold(struct run *r, u64 n)
{
	int err = counts(r, n, read_latched, 1);
	u32 before = pm_read();

	outb(CHANNEL << 6, PIT_CONTROL);
	r->held = inb(COUNTER);
	r->held_last = pm_to_ns((pm_read() - before) & PM_MASK);
	r->held_first = unwrap(r, before);
	r->held_last += r->held_first;
	holding = *r;
	return err;
}

static int rest(struct run *r)
{
	*r = holding;
	r->held |= inb(COUNTER) << 8;
	judge(r, r->held, r->held_first, r->held_last);
	return 0;
}

/* Bit 4 is another at each read, and the output rises when the count has gone by. */
static int rises(struct run *r, u64 n)
{
	u8 val, last = inb(PIT_SYSTEM);
	u32 before, loaded, risen;

	outb((last & ~PIT_61_DATA) | PIT_61_GATE, PIT_SYSTEM);
	while (n-- && !signal_pending(current)) {
		before = pm_read();
		load(0, RISE);
		loaded = pm_read();
		do {
			val = inb(PIT_SYSTEM);
			r->reads++;
			r->toggles += !((val ^ last) & PIT_61_REFRESH);
			last = val;
		} while (!(val & PIT_61_OUT));
		risen = pm_read();
		r->early += pm_to_ns((risen - before + 1) & PM_MASK) < pit_to_ns(RISE);
		r->late_ns = max_t(s64, r->late_ns, pm_to_ns((risen - loaded) & PM_MASK) - pit_to_ns(RISE));
		r->judged++;
		cond_resched();
	}
	return 0;
}

static int watch(struct run *r, u64 bits)
{
	u8 last = inb(PIT_SYSTEM), val;

	outb((last & ~(PIT_61_GATE | PIT_61_DATA)) | bits, PIT_SYSTEM);
	load(0, 0);
	WRITE_ONCE(watching, true);
	last = inb(PIT_SYSTEM);
	while (READ_ONCE(watching) && !signal_pending(current)) {
		val = inb(PIT_SYSTEM);
		r->reads++;
		r->toggles += !((val ^ last) & PIT_61_REFRESH);
		r->others += (val & ~(PIT_61_REFRESH | PIT_61_OUT)) != bits;
		r->falls += !!(last & ~val & PIT_61_OUT);
		last = val;
		cond_resched();
	}
	r->held = last;
	return 0;
}

static int watch_ends(void)
{
	WRITE_ONCE(watching, false);
	return 0;
}

static ssize_t pitclock_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	char line[64], how[8];
	int err = -EINVAL;
	u64 n;

	if (len >= sizeof(line) || copy_from_user(line, ubuf, len))
		return -EINVAL;
	line[len] = 0;
	memset(r, 0, sizeof(*r));
	if (sscanf(line, "%7s %llu", how, &n) != 2)
		return -EINVAL;
	if (!strcmp(how, "latch") || !strcmp(how, "pairs") || !strcmp(how, "hold"))
		load(2, 0);
	if (!strcmp(how, "latch") || !strcmp(how, "more"))
		err = counts(r, n, read_latched, 1);
	else if (!strcmp(how, "pairs"))
		err = counts(r, n, read_pair, 0);
	else if (!strcmp(how, "hold"))
		err = hold(r, n);
	else if (!strcmp(how, "rest"))
		err = rest(r);
	else if (!strcmp(how, "rise"))
		err = rises(r, n);
	else if (!strcmp(how, "watch"))
		err = watch(r, n & (PIT_61_GATE | PIT_61_DATA));
	else if (!strcmp(how, "end"))
		err = watch_ends();
	snprintf(r->reply, sizeof(r->reply),
		 "{\"reads\": %llu, \"judged\": %llu, \"misfit_ns\": %lld, \"early\": %llu, \"late_ns\": %llu, \"toggles\": %llu, "
		 "\"others\": %llu, \"falls\": %llu, \"held\": %u}\n",
		 r->reads, r->judged, r->low > r->high ? r->low - r->high : 0, r->early, r->late_ns, r->toggles, r->others, r->falls, r->held);
	return err ? err : len;
}

static ssize_t pitclock_read(struct file *file, char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;

	return simple_read_from_buffer(ubuf, len, pos, r->reply, strlen(r->reply));
}

static int pitclock_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct run), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int pitclock_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct proc_ops pitclock_ops = {
	.proc_open = pitclock_open,
	.proc_release = pitclock_release,
	.proc_read = pitclock_read,
	.proc_write = pitclock_write,
};

static int __init pitclock_init(void)
{
	return proc_create("pitclock", 0600, NULL, &pitclock_ops) ? 0 : -ENOMEM;
}

static void __exit pitclock_exit(void)
{
	remove_proc_entry("pitclock", NULL);
}

module_init(pitclock_init);
module_exit(pitclock_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Reads the PIT's counter 2 and port 0x61, and judges what comes");
