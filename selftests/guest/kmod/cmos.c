// SPDX-License-Identifier: GPL-2.0
/*
 * The Linux guest's raw access to the CMOS memory. A line written to /proc/cmos is done at once; reading the same open file gives the
 * result, one line of JSON.
 *
 *	dump N		all registers but C, N times over, each REPEAT times in a row, since in between an emulated VM may be away for
 *			long: {"wrong": how many of those that stand still did not, "bytes": hex}
 *	mixed N SEED	N random reads and writes in SCRATCH, under the kernel's lock, perhaps with others doing the same:
 *			{"reads": , "writes": , "wrong": }
 *	get REG		{"value": }
 *	put REG VALUE
 *	hold REG	the first half of a get: the index alone
 *	rest 0		and the second: {"value": }
 *	time 0		what the kernel's own driver makes of the time registers: {"time": s since 1970}
 */
#include <linux/mc146818rtc.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/prandom.h>
#include <linux/rtc.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#define NR_REGS 128
/* No firmware and no QEMU uses these. */
#define SCRATCH	   0x40
#define NR_SCRATCH 24
#define REPEAT	   4

struct run {
	char reply[512];
};

static u8 shadow[NR_SCRATCH];
static bool shadowed;

static u8 get(u8 reg)
{
	outb(reg, 0x70);
	return inb(0x71);
}

static void put(u8 reg, u8 val)
{
	outb(reg, 0x70);
	outb(val, 0x71);
}

static bool stands_still(int reg)
{
	return (reg > RTC_REG_D && reg != 0x32 && reg != 0x37) || reg == RTC_REG_B || reg == RTC_REG_D;
}

static void dump(struct run *r, u32 n)
{
	static u8 first[NR_REGS];
	unsigned long flags;
	u32 i, j, wrong = 0;
	u8 val[REPEAT];
	int reg, at;

	for (i = 0; i < n; i++)
		for (reg = 0; reg < NR_REGS; reg++) {
			if (reg == RTC_REG_C)
				continue;
			spin_lock_irqsave(&rtc_lock, flags);
			for (j = 0; j < REPEAT; j++)
				val[j] = get(reg);
			spin_unlock_irqrestore(&rtc_lock, flags);
			if (!i)
				first[reg] = val[0];
			for (j = 0; j < REPEAT; j++)
				wrong += stands_still(reg) && val[j] != first[reg];
			cond_resched();
		}
	at = scnprintf(r->reply, sizeof(r->reply), "{\"wrong\": %u, \"bytes\": \"", wrong);
	for (reg = 0; reg < NR_REGS; reg++)
		at += scnprintf(r->reply + at, sizeof(r->reply) - at, "%02x", stands_still(reg) ? first[reg] : 0);
	scnprintf(r->reply + at, sizeof(r->reply) - at, "\"}\n");
}

static void mixed(struct run *r, u32 n, u32 seed)
{
	u32 reads = 0, writes = 0, wrong = 0, i, x;
	struct rnd_state rnd;
	unsigned long flags;
	int reg;

	prandom_seed_state(&rnd, seed);
	while (n--) {
		x = prandom_u32_state(&rnd);
		reg = x % NR_SCRATCH;
		spin_lock_irqsave(&rtc_lock, flags);
		for (i = 0; !shadowed && i < NR_SCRATCH; i++)
			shadow[i] = get(SCRATCH + i);
		shadowed = true;
		if (x >> 28) {
			reads++;
			wrong += get(SCRATCH + reg) != shadow[reg];
		} else {
			writes++;
			shadow[reg] = x >> 8;
			put(SCRATCH + reg, shadow[reg]);
		}
		spin_unlock_irqrestore(&rtc_lock, flags);
		cond_resched();
	}
	scnprintf(r->reply, sizeof(r->reply), "{\"reads\": %u, \"writes\": %u, \"wrong\": %u}\n", reads, writes, wrong);
}

static void get_time(struct run *r)
{
	struct rtc_time tm = {};
	int err = mc146818_get_time(&tm, 1000);

	scnprintf(r->reply, sizeof(r->reply), "{\"time\": %lld}\n", err ? -1 : rtc_tm_to_time64(&tm));
}

static int cmos_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct run), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int cmos_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t cmos_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;
	unsigned long flags;
	char line[64] = "";
	u32 a, b;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, len))
		return -EFAULT;
	r->reply[0] = '\0';
	if (sscanf(line, "dump %u", &a) == 1) {
		dump(r, a);
	} else if (sscanf(line, "mixed %u %u", &a, &b) == 2) {
		mixed(r, a, b);
	} else if (sscanf(line, "get %i", &a) == 1) {
		spin_lock_irqsave(&rtc_lock, flags);
		b = get(a);
		spin_unlock_irqrestore(&rtc_lock, flags);
		scnprintf(r->reply, sizeof(r->reply), "{\"value\": %u}\n", b);
	} else if (sscanf(line, "put %i %i", &a, &b) == 2) {
		spin_lock_irqsave(&rtc_lock, flags);
		put(a, b);
		shadowed = false;
		spin_unlock_irqrestore(&rtc_lock, flags);
		scnprintf(r->reply, sizeof(r->reply), "{}\n");
	} else if (sscanf(line, "hold %i", &a) == 1) {
		outb(a, 0x70);
	} else if (sscanf(line, "rest %u", &a) == 1) {
		scnprintf(r->reply, sizeof(r->reply), "{\"value\": %u}\n", inb(0x71));
	} else if (sscanf(line, "time %u", &a) == 1) {
		get_time(r);
	} else {
		return -EINVAL;
	}
	return len;
}

static ssize_t cmos_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;

	return simple_read_from_buffer(buf, len, pos, r->reply, strlen(r->reply));
}

static const struct proc_ops cmos_ops = {
	.proc_open = cmos_open,
	.proc_release = cmos_release,
	.proc_write = cmos_write,
	.proc_read = cmos_read,
};

static int __init cmos_init(void)
{
	return proc_create("cmos", 0600, NULL, &cmos_ops) ? 0 : -ENOMEM;
}

static void __exit cmos_exit(void)
{
	remove_proc_entry("cmos", NULL);
}

module_init(cmos_init);
module_exit(cmos_exit);
MODULE_DESCRIPTION("raw access to the CMOS memory, for tests");
MODULE_LICENSE("GPL");
