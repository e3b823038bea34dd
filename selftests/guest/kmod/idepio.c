// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the primary IDE channel's disk by PIO with its interrupt off, as firmware does: the accesses, and their order, are those of
 * SeaBIOS. No driver may be on the channel. A line written to /proc/idepio is done at once; reading the same open file gives the
 * result, one line of JSON.
 *
 *	read COMMAND LBA COUNT TIMES WIDTH	COUNT sectors from LBA on, then the COUNT behind them, and so on, TIMES times; by strings of
 *						WIDTH bytes (2 or 4), or word by word (1): {"sectors": , "wrong": words that are not what
 *						the disk holds there, "busy": statuses with BSY, "failed": reads that ended otherwise than
 *						they must, "status": the last one, "error": the register then}
 *	hold LBA COUNT WORDS			READ SECTORS, of which only so many words of the first sector are read
 *	rest 0					what is left of it, word by word at first: as read does
 *	command COMMAND COUNT			one without data, or IDENTIFY: likewise
 *	registers N				the alternate status, status, and registers 1 .. 6, N times: {"changed": how often one was not
 *						what it was first, "bytes": hex}
 *
 * The disk holds at word i of 32 bits of all of it: i * 2654435761, little endian.
 */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <iofilter/ide.h>

#define PORT(reg) (IDE_PRIMARY + (reg))
#define CONTROL	  (IDE_PRIMARY + IDE_CONTROL_AT)
#define HD15	  8
#define SECTOR	  IDE_SECTOR
#define POLLS	  1000000

struct run {
	u32 sectors, wrong, busy, failed, error;
	u8 status;
	u8 data[SECTOR] __aligned(SECTOR);
	char reply[256];
};

static DEFINE_MUTEX(channel);

static struct {
	struct run run;
	u32 lba, count, words;
} holding;

/* Until the drive is not busy. */
static u8 await(struct run *r)
{
	u32 n;

	for (n = 0; n < POLLS; n++) {
		r->status = inb(PORT(IDE_STATUS));
		if (!(r->status & IDE_BSY))
			return r->status;
		r->busy++;
	}
	r->failed++;
	return r->status;
}

static void command(struct run *r, u8 cmd, u32 lba, u32 count)
{
	bool ext = cmd == IDE_CMD_READ_EXT || cmd == IDE_CMD_READ_MULTIPLE_EXT;

	outb(HD15 | IDE_CTL_NIEN, CONTROL);
	await(r);
	inb(PORT(IDE_DEVICE));
	outb(IDE_DEVICE_ONES | IDE_DEVICE_LBA | (ext ? 0 : lba >> 24 & 15), PORT(IDE_DEVICE));
	if (ext) {
		outb(0, PORT(IDE_FEATURES));
		outb(count >> 8, PORT(IDE_COUNT));
		outb(lba >> 24, PORT(IDE_LBA_LOW));
		outb(0, PORT(IDE_LBA_MID));
		outb(0, PORT(IDE_LBA_HIGH));
	}
	outb(0, PORT(IDE_FEATURES));
	outb(count, PORT(IDE_COUNT));
	outb(lba, PORT(IDE_LBA_LOW));
	outb(lba >> 8, PORT(IDE_LBA_MID));
	outb(lba >> 16, PORT(IDE_LBA_HIGH));
	outb(cmd, PORT(IDE_COMMAND));
	ndelay(400);
	await(r);
}

static void take(struct run *r, u32 width)
{
	u32 i;

	memset(r->data, 0xee, SECTOR);
	if (width == 4)
		insl(PORT(IDE_DATA), r->data, SECTOR / 4);
	else if (width == 2)
		insw(PORT(IDE_DATA), r->data, SECTOR / 2);
	else
		for (i = 0; i < SECTOR; i += 2)
			*(u16 *)&r->data[i] = inw(PORT(IDE_DATA));
}

static void compare(struct run *r, u32 sector)
{
	u32 i, word;

	for (i = 0; i < SECTOR / 4; i++) {
		word = sector * (SECTOR / 4) + i;
		r->wrong += *(u32 *)&r->data[4 * i] != word * 2654435761U;
	}
	r->sectors++;
}

/* All of a sector is there. */
static void taken(struct run *r, u32 sector)
{
	/* What it shows is of no matter to SeaBIOS; here it must be one of those that can be. */
	r->error = inb(CONTROL);
	if (r->error != IDE_LOOKING && r->error != IDE_FOUND && r->error != IDE_IDLE && r->error != (IDE_DRDY | IDE_ERR))
		r->failed++;
	ndelay(400);
	await(r);
	compare(r, sector);
}

static void read_on(struct run *r, u32 lba, u32 count, u32 width)
{
	u32 i;

	for (i = 0; i < count; i++) {
		if ((r->status & (IDE_BSY | IDE_DRQ | IDE_ERR)) != IDE_DRQ)
			break;
		take(r, width);
		taken(r, lba + i);
	}
	r->failed += i < count || r->status != IDE_IDLE;
	r->error = inb(PORT(IDE_ERROR));
	outb(HD15, CONTROL);
}

static void hold(u32 lba, u32 count, u32 words)
{
	struct run *r = &holding.run;

	memset(&holding, 0, sizeof(holding));
	command(r, IDE_CMD_READ, lba, count);
	for (holding.words = 0; holding.words < words; holding.words++)
		((u16 *)r->data)[holding.words] = inw(PORT(IDE_DATA));
	holding.lba = lba;
	holding.count = count;
}

static void rest(struct run *r)
{
	*r = holding.run;
	await(r);
	if (!holding.count || (r->status & (IDE_BSY | IDE_DRQ | IDE_ERR)) != IDE_DRQ) {
		r->failed++;
		return;
	}
	for (; holding.words < SECTOR / 2; holding.words++)
		((u16 *)r->data)[holding.words] = inw(PORT(IDE_DATA));
	taken(r, holding.lba);
	read_on(r, holding.lba + 1, holding.count - 1, 2);
	holding.count = 0;
}

static void other(struct run *r, u8 cmd, u32 count)
{
	command(r, cmd, 0, count);
	if (cmd == IDE_CMD_IDENTIFY && r->status & IDE_DRQ) {
		take(r, 2);
		inb(CONTROL);
		await(r);
	}
	r->failed += r->status != IDE_IDLE;
	r->error = inb(PORT(IDE_ERROR));
	outb(HD15, CONTROL);
}

static void registers(struct run *r, u32 n)
{
	u8 first[8] = {}, now[8];
	u32 i, j, changed = 0;

	for (i = 0; i < n; i++) {
		now[0] = inb(CONTROL);
		now[7] = inb(PORT(IDE_STATUS));
		for (j = 1; j < 7; j++)
			now[j] = inb(PORT(j));
		if (!i)
			memcpy(first, now, sizeof(first));
		for (j = 0; j < 8; j++)
			changed += now[j] != first[j];
		cond_resched();
	}
	scnprintf(r->reply, sizeof(r->reply), "{\"changed\": %u, \"bytes\": \"%*phN\"}\n", changed, 8, first);
}

static int idepio_open(struct inode *inode, struct file *file)
{
	file->private_data = kzalloc(sizeof(struct run), GFP_KERNEL);
	return file->private_data ? 0 : -ENOMEM;
}

static int idepio_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static int idepio_do(struct run *r, const char *line)
{
	u32 cmd, lba, count, times, width, i;

	if (sscanf(line, "registers %u", &count) == 1) {
		registers(r, count);
		return 0;
	}
	if (sscanf(line, "read %i %u %u %u %u", &cmd, &lba, &count, &times, &width) == 5) {
		for (i = 0; i < times; i++) {
			command(r, cmd, lba + i * count, count);
			read_on(r, lba + i * count, count, width);
			cond_resched();
		}
	} else if (sscanf(line, "hold %u %u %u", &lba, &count, &width) == 3 && width < SECTOR / 2) {
		hold(lba, count, width);
		*r = holding.run;
	} else if (sscanf(line, "rest %u", &count) == 1) {
		rest(r);
	} else if (sscanf(line, "command %i %u", &cmd, &count) == 2) {
		other(r, cmd, count);
	} else {
		return -EINVAL;
	}
	scnprintf(r->reply, sizeof(r->reply),
		  "{\"sectors\": %u, \"wrong\": %u, \"busy\": %u, \"failed\": %u, \"status\": %u, \"error\": %u}\n", r->sectors, r->wrong,
		  r->busy, r->failed, r->status, r->error);
	return 0;
}

static ssize_t idepio_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	char line[64] = "";
	int err;

	if (len >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, buf, len))
		return -EFAULT;
	mutex_lock(&channel);
	err = idepio_do(file->private_data, line);
	mutex_unlock(&channel);
	return err ?: len;
}

static ssize_t idepio_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct run *r = file->private_data;

	return simple_read_from_buffer(buf, len, pos, r->reply, strlen(r->reply));
}

static const struct proc_ops idepio_ops = {
	.proc_open = idepio_open,
	.proc_release = idepio_release,
	.proc_write = idepio_write,
	.proc_read = idepio_read,
};

static int __init idepio_init(void)
{
	return proc_create("idepio", 0600, NULL, &idepio_ops) ? 0 : -ENOMEM;
}

static void __exit idepio_exit(void)
{
	remove_proc_entry("idepio", NULL);
}

module_init(idepio_init);
module_exit(idepio_exit);
MODULE_DESCRIPTION("an IDE disk read by PIO, for tests");
MODULE_LICENSE("GPL");
