// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux guest's raw access to ports, in the kernel: a guest's user programs cannot have it where the CPU is emulated
 * (QEMU's TCG loses the TSS's I/O bitmap of a nested guest), and nothing is faster. See clock.c, which drives this file.
 *
 * A line written to /proc/portclock is done at once; reading the same open file gives the result. Several open files
 * may run on several CPUs: each value is also judged against the newest that any of them had seen before its read began.
 */
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <asm/tsc.h>

#include <iofilter/pmtimer.h>

#define MASK ((1U << PMTIMER_WIDTH) - 1)
#define MAX_COUNT 64

/* Newest value that any run has seen, and where the first of the runs under way began. Values are unwrapped. */
static atomic64_t newest = ATOMIC64_INIT(0);
static u64 base_value, base_tsc;
static u32 tsc_per_ms;
static int running;
static DEFINE_MUTEX(running_lock);

/* Handed from one run to the other, so that each read comes after another vCPU's last one. */
static DEFINE_SPINLOCK(hand);
static const struct run *held_last;
static atomic_t waiting = ATOMIC_INIT(0);

#define HAND_TRIES 200

struct run {
	u64 reads, back, cross, ones, others, handed, unclear, started;
	u64 value, tsc; /* of the last read, unwrapped */
	u64 max_gap, max_back;
	char mode[8];
	u16 port;
	char reply[512];
};

/*
 * Extend @v to 64 bits. The time that went by since @value is only needed to within half a wrap, 2.3 s: the TSC will do. A
 * guest on a busy machine may well stand still for longer, and must not take that for a step back.
 */
static u64 unwrap(u64 value, u64 tsc, u64 now, u32 v)
{
	u64 guess = value + mul_u64_u64_div_u64(now - tsc, PMTIMER_HZ, 1000ULL * tsc_per_ms);

	return guess + sign_extend32(v - (u32)guess, PMTIMER_WIDTH - 1);
}

/* @v was read after @start. */
static void saw(struct run *r, u64 before, u64 start, u32 v)
{
	u64 now = rdtsc(), value = unwrap(r->value, r->tsc, now, v);
	s64 old = before;

	/* Preempted in between, on a busy host: nobody can tell when it was read, and so how often the counter has wrapped. */
	if (now - start > 1000ULL * tsc_per_ms) {
		r->unclear++;
		return;
	}

	if (v & ~MASK) {
		r->back++;
		r->max_back = v;
		return;
	}
	if (value < r->value) {
		r->back++;
		r->max_back = max(r->max_back, r->value - value);
	} else {
		r->max_gap = max(r->max_gap, value - r->value);
	}
	if (value < before) {
		r->cross++;
		r->max_back = max(r->max_back, before - value);
	}
	r->value = value;
	r->tsc = now;
	while (old < (s64)value && !atomic64_try_cmpxchg(&newest, &old, value))
		;
}

/* What a guest may also do at and around the port. */
static void other_access(struct run *r)
{
	u16 words[4];

	switch (get_random_u32_below(7)) {
	case 0:
		inb(r->port);
		break;
	case 1:
		inw(r->port);
		break;
	case 2:
		inb(r->port + 1);
		break;
	case 3:
		insw(r->port, words, ARRAY_SIZE(words));
		break;
	case 4:
		outl(0, r->port);
		break;
	case 5:
		outb(0, 0x80);
		return;
	case 6:
		usleep_range(100, 3000);
		return;
	}
	r->others++;
}

/*
 * Take the lock, if its holder's vCPU runs: where the host has preempted that, waiting is all that the others would do. Who does not get
 * it reads all the same, and compares.
 */
static bool take_hand(struct run *r)
{
	bool held = false;
	int i;

	atomic_inc(&waiting);
	for (i = 0; i < HAND_TRIES && !held; i++) {
		held = spin_trylock(&hand);
		if (!held)
			cpu_relax();
	}
	atomic_dec(&waiting);
	if (held) {
		r->handed += held_last != r;
		held_last = r;
	}
	return held;
}

/* Let go of it, and let those have it who wait. */
static void pass_hand(void)
{
	int i;

	spin_unlock(&hand);
	for (i = 0; i < HAND_TRIES && atomic_read(&waiting) && !spin_is_locked(&hand); i++)
		cpu_relax();
}

static int loop(struct run *r, u64 reads, u64 seconds)
{
	bool held = false;
	u64 end = seconds ? get_jiffies_64() + seconds * HZ : U64_MAX;
	int lock = !strcmp(r->mode, "lock"), mixed = lock || !strcmp(r->mode, "mixed"), poll = !strcmp(r->mode, "poll");
	u64 before, start;
	u32 v;

	r->started = get_jiffies_64();
	mutex_lock(&running_lock);
	do {
		start = rdtsc();
		v = inl(r->port);
		r->tsc = rdtsc();
	} while (r->tsc - start > 1000ULL * tsc_per_ms);
	if (!running++) {
		/* Far from 0, so that a step back is one. */
		base_value = (1ULL << 40) + (v & MASK);
		base_tsc = r->tsc;
		atomic64_set(&newest, base_value);
	}
	r->value = unwrap(base_value, base_tsc, r->tsc, v);
	mutex_unlock(&running_lock);
	r->reads = 1;
	r->ones = v == U32_MAX;
	while (r->reads < reads) {
		if (mixed && get_random_u32_below(64) == 0)
			other_access(r);
		if (lock)
			held = take_hand(r);
		before = atomic64_read_acquire(&newest);
		start = rdtsc();
		v = inl(r->port);
		r->reads++;
		if (v == U32_MAX)
			r->ones++;
		if (!poll)
			saw(r, before, start, v);
		if (held)
			pass_hand();
		if (!(r->reads & 255)) {
			if (signal_pending(current) || get_jiffies_64() >= end)
				break;
			cond_resched();
		}
	}
	mutex_lock(&running_lock);
	running--;
	mutex_unlock(&running_lock);
	snprintf(r->reply, sizeof(r->reply),
		 "{\"reads\": %llu, \"elapsed_ns\": %llu, \"back\": %llu, \"cross\": %llu, \"max_back\": %llu, \"max_gap\": %llu, "
		 "\"ones\": %llu, \"others\": %llu, \"handed\": %llu, \"unclear\": %llu, \"last\": %u}\n",
		 r->reads, jiffies64_to_nsecs(get_jiffies_64() - r->started), r->back, r->cross, r->max_back, r->max_gap,
		 r->ones, r->others, r->handed, r->unclear, v);
	return 0;
}

/* One access, and what the PM timer showed before and after it. */
static int one_access(struct run *r, const char *how, u32 width, u32 count)
{
	union { u8 b[4 * MAX_COUNT]; u16 w[2 * MAX_COUNT]; u32 l[MAX_COUNT]; } buf;
	u32 i, n = 0, first, last;

	if (!count || count > MAX_COUNT || (width != 1 && width != 2 && width != 4))
		return -EINVAL;
	memset(&buf, 0xa5, sizeof(buf));
	first = inl(PMTIMER_PORT);
	switch (how[0] == 'i' ? width : width + 8) {
	case 1:
		if (how[2]) insb(r->port, buf.b, count); else buf.b[0] = inb(r->port);
		break;
	case 2:
		if (how[2]) insw(r->port, buf.w, count); else buf.w[0] = inw(r->port);
		break;
	case 4:
		if (how[2]) insl(r->port, buf.l, count); else buf.l[0] = inl(r->port);
		break;
	case 9:
		if (how[3]) outsb(r->port, buf.b, count); else outb(buf.b[0], r->port);
		break;
	case 10:
		if (how[3]) outsw(r->port, buf.w, count); else outw(buf.w[0], r->port);
		break;
	case 12:
		if (how[3]) outsl(r->port, buf.l, count); else outl(buf.l[0], r->port);
		break;
	}
	last = inl(PMTIMER_PORT);
	n = scnprintf(r->reply, sizeof(r->reply), "{\"first\": %u, \"last\": %u, \"values\": [", first, last);
	for (i = 0; i < count; i++)
		n += scnprintf(r->reply + n, sizeof(r->reply) - n, "%s%u", i ? ", " : "",
			       width == 1 ? buf.b[i] : width == 2 ? buf.w[i] : buf.l[i]);
	scnprintf(r->reply + n, sizeof(r->reply) - n, "]}\n");
	return 0;
}

static ssize_t portclock_write(struct file *file, const char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	u32 port = PMTIMER_PORT, width = 4, count = 1;
	u64 reads, seconds = 0;
	char line[256], how[8];
	int err = -EINVAL;

	if (len >= sizeof(line) || copy_from_user(line, ubuf, len))
		return -EINVAL;
	line[len] = 0;
	memset(r, 0, sizeof(*r));
	if (sscanf(line, "access %7s %i %u %u", how, (int *)&port, &width, &count) >= 3) {
		r->port = port;
		if (!strcmp(how, "in") || !strcmp(how, "ins") || !strcmp(how, "out") || !strcmp(how, "outs"))
			err = one_access(r, how, width, count);
	} else if (sscanf(line, "%7s %llu %llu %i", r->mode, &reads, &seconds, (int *)&port) >= 2 &&
		   (!strcmp(r->mode, "port") || !strcmp(r->mode, "mixed") || !strcmp(r->mode, "poll") ||
		    !strcmp(r->mode, "lock"))) {
		r->port = port;
		err = loop(r, reads, seconds);
	}
	return err ? err : len;
}

static ssize_t portclock_read(struct file *file, char __user *ubuf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	loff_t start = 0;

	return simple_read_from_buffer(ubuf, len, &start, r->reply, strlen(r->reply));
}

static int portclock_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct run), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int portclock_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static const struct proc_ops portclock_ops = {
	.proc_open = portclock_open,
	.proc_release = portclock_release,
	.proc_read = portclock_read,
	.proc_write = portclock_write,
};

/* On a busy host, and without kvmclock, the kernel's own calibration fails or is far off. */
static u32 __init tsc_calibrate(void)
{
	u64 before, begin, end, after;
	u32 first, ticks;

	/* Not preempted between the two clocks: a twentieth of the whole is near enough. */
	do {
		before = rdtsc();
		first = inl(PMTIMER_PORT);
		begin = rdtsc();
		do {
			end = rdtsc();
			ticks = (inl(PMTIMER_PORT) - first) & MASK;
			after = rdtsc();
		} while (ticks < PMTIMER_HZ / 20);
	} while (20 * (begin - before + after - end) > end - begin);
	return div_u64((end - begin) * (PMTIMER_HZ / 1000), ticks);
}

static int __init portclock_init(void)
{
	tsc_per_ms = tsc_calibrate();
	pr_info("portclock: TSC %u kHz, by the kernel %u\n", tsc_per_ms, tsc_khz);
	return proc_create("portclock", 0600, NULL, &portclock_ops) ? 0 : -ENOMEM;
}

static void __exit portclock_exit(void)
{
	remove_proc_entry("portclock", NULL);
}

module_init(portclock_init);
module_exit(portclock_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Reads the PM timer's port in a loop and judges what comes");
