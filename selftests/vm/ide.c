// SPDX-License-Identifier: GPL-2.0
/*
 * The IDE filter of a VMM that cooperates, on the real module and KVM: the VMM is devices/ide.c, which gives the channel away after each
 * trap. Every byte that a guest reads is compared; exits are counted.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <devices/ide_filter.h>
#include <iofilter/ide.h>
#include "filter.h"
#include "ide.skel.h"
#include "vmm.h"

#define SECTORS	  4096
#define MAX_JOBS  64
#define MAX_COUNT 256
#define ALT	  (IDE_PRIMARY + IDE_CONTROL_AT)
#define PORT(reg) (IDE_PRIMARY + (reg))

enum how { SINGLE, PER_BLOCK, WHOLE, NR_HOWS };

/* A command of the guest. */
struct job {
	__u8 cmd, lba48, width, how;
	__u32 count, block;
	__u64 lba;
	__u32 off; /* in the page that its data begin in */
	bool interrupts; /* waits for each */
	bool enabled;	 /* has them raised, and does not look */
	/* What it has seen. */
	__u8 status, error, left, lba_low;
	__u32 blocks, interrupted, bad;
};

/* Shared with the guest. */
static struct job jobs[MAX_JOBS];
static __u8 area[MAX_COUNT * IDE_SECTOR + 8192] __attribute__((aligned(4096)));
static volatile bool stop;

static __u8 disk[SECTORS * IDE_SECTOR];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ide model;
static struct ide_bpf *skel;
static struct ide_own *own;
static int line = -1; /* eventfd of the interrupt */
static bool sabotaged;
static int give_most = -1; /* sectors ahead; -1: as many as there can be */
static __u64 refused;

/* Strings of data that have come to the VMM although it had given the channel away. */
static struct {
	unsigned long strings, elements, early;
} missed;

static int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	(void)arg;
	if (write)
		memcpy(disk + sector * IDE_SECTOR, data, count * IDE_SECTOR);
	else
		memcpy(data, disk + sector * IDE_SECTOR, count * IDE_SECTOR);
	return 0;
}

static void disk_irq(void *arg, int level)
{
	__u64 one = 1;

	(void)arg;
	if (level && line >= 0)
		TEST_EQ(write(line, &one, sizeof(one)), sizeof(one));
}

/* With a bad predictor: nothing, too little, or another place. */
static void give(void)
{
	__u64 sector = iofilter_ide_next(&model.c);
	__u32 n = model.c.pos ? 0 : iofilter_ide_wanted(&model.c);
	int kind = sabotaged ? random() % 6 : 5;

	if (kind == 0)
		return;
	if (give_most >= 0 && n) {
		n = n < (__u32)give_most ? n : (__u32)give_most;
		if (n)
			disk_io(NULL, 0, sector, n, iofilter_ide_ahead(own, &model.c));
		iofilter_ide_give(own, &model.c, model.buf, sector, n);
		return;
	}
	if (kind > 3 || !n) {
		ide_give(&model, own);
		return;
	}
	if (kind == 1)
		n = random() % n;
	else
		sector += kind == 2 ? 1 : -1ULL;
	if (n > SECTORS - sector)
		n = 0;
	if (n)
		disk_io(NULL, 0, sector, n, iofilter_ide_ahead(own, &model.c));
	refused += iofilter_ide_give(own, &model.c, model.buf, sector, n) == 1;
}

/* Was that string's data all there, and what the guest sees behind it? Then it should not have come here. */
static void string_came(const struct vmm_access *a)
{
	__u32 left = own->end - own->pos, want = a->count * a->len, block = own->c.block * IDE_SECTOR, rest = own->last - own->end;

	if (!own->given || a->write || !(own->c.status & IDE_DRQ) || own->pos % a->len)
		return;
	missed.strings++;
	missed.elements += a->count;
	if (want < left)
		missed.early++;
	else if (rest && want < left + block && own->there - own->end >= (rest < block ? rest : block))
		missed.early++;
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	__u32 i;

	(void)vmm;
	if (a->addr != ALT && a->addr - IDE_PRIMARY >= IDE_NR_REGS)
		return;
	pthread_mutex_lock(&lock);
	if (a->addr == PORT(IDE_DATA) && a->count > 1)
		string_came(a);
	ide_take(&model, own);
	for (i = 0; i < a->count; i++) {
		__u8 *p = (__u8 *)a->data + i * a->len;
		__u32 val = 0;

		if (a->write) {
			memcpy(&val, p, a->len);
			ide_port_write(&model, a->addr, a->len, val);
		} else {
			val = ide_port_read(&model, a->addr, a->len);
			memcpy(p, &val, a->len);
			a->val = val;
		}
	}
	give();
	pthread_mutex_unlock(&lock);
}

static struct vmm *machine(int nr_vcpus, unsigned int flags)
{
	struct vmm *vmm = vmm_new(nr_vcpus, flags);
	struct kvm_iofilter_ops *ops;
	size_t i;

	for (i = 0; i < sizeof(disk) / 4; i++)
		((__u32 *)disk)[i] = random() << 8 ^ random();
	model = (struct ide){ .io = disk_io, .irq = disk_irq, .sectors = SECTORS, .base = IDE_PRIMARY };
	ide_power_on(&model);
	skel = ide_bpf__open();
	TEST_ASSERT(skel, "open: %s", strerror(errno));
	ops = filter_ops(skel->maps.ide_ops);
	ops->vm_fd = vmm->fd;
	line = -1;
	if (flags & VMM_IRQCHIP) {
		struct kvm_irqfd irqfd = { .gsi = IDE_PRIMARY_IRQ };

		line = eventfd(0, EFD_CLOEXEC);
		TEST_ASSERT(line > 0, "eventfd: %s", strerror(errno));
		irqfd.fd = ops->eventfds[0] = line;
		TEST_ASSERT(!ioctl(vmm->fd, KVM_IRQFD, &irqfd), "irqfd: %s", strerror(errno));
	}
	TEST_EQ(-ide_bpf__load(skel), 0);
	own = &skel->data_state->ide.own;
	iofilter_ide_cooperate(own, line >= 0);
	ide_give(&model, own);
	vmm->io = vmm_io;
	sabotaged = false;
	refused = 0;
	return vmm;
}

static void end(struct vmm *vmm)
{
	ide_bpf__destroy(skel);
	if (line >= 0)
		close(line);
	vmm_free(vmm);
}

/* Guest code from here. */

static __always_inline void guest_load(const struct job *j)
{
	if (j->lba48) {
		outb(j->count >> 8, PORT(IDE_COUNT));
		outb(j->lba >> 24, PORT(IDE_LBA_LOW));
		outb(j->lba >> 32, PORT(IDE_LBA_MID));
		outb(j->lba >> 40, PORT(IDE_LBA_HIGH));
	}
	outb(j->count, PORT(IDE_COUNT));
	outb(j->lba, PORT(IDE_LBA_LOW));
	outb(j->lba >> 8, PORT(IDE_LBA_MID));
	outb(j->lba >> 16, PORT(IDE_LBA_HIGH));
	outb(IDE_DEVICE_LBA | (j->lba48 ? 0 : j->lba >> 24 & IDE_DEVICE_HEAD), PORT(IDE_DEVICE));
	outb(j->cmd, PORT(IDE_COMMAND));
}

/* IRQ 14 at the PIC, by polling: an interrupt that has come is taken and ended. */
static __always_inline bool guest_interrupted(void)
{
	outb(0x0c, 0xa0);
	if (inb(0xa0) != 0x86)
		return false;
	outb(0x20, 0xa0);
	outb(0x20, 0x20);
	return true;
}

static __always_inline void guest_pic(void)
{
	outb(0x11, 0x20);
	outb(0x20, 0x21);
	outb(0x04, 0x21);
	outb(0x01, 0x21);
	outb(0x11, 0xa0);
	outb(0x28, 0xa1);
	outb(0x02, 0xa1);
	outb(0x01, 0xa1);
	outb(0xff, 0x21);
	outb(0xbf, 0xa1);
}

static __always_inline __u8 *guest_data(struct job *j, __u8 *to, __u32 bytes)
{
	__u32 i;

	if (j->how != SINGLE) {
		guest_ins(PORT(IDE_DATA), to, bytes / j->width, j->width);
		return to + bytes;
	}
	for (i = 0; i < bytes; i += j->width, to += j->width) {
		if (j->width == 2)
			*(__u16 *)to = inw(PORT(IDE_DATA));
		else
			*(__u32 *)to = inl(PORT(IDE_DATA));
	}
	return to;
}

static void guest_read(struct job *j)
{
	__u32 left = j->count, n, i;
	__u8 *to = area + j->off;

	outb(j->interrupts || j->enabled ? 0 : IDE_CTL_NIEN, ALT);
	guest_load(j);
	while (left) {
		n = j->how == WHOLE || left < j->block ? left : j->block;
		if (j->interrupts) {
			for (i = 0; i < 100000 && !guest_interrupted(); i++)
				;
			j->interrupted += i < 100000;
		}
		if (inb(ALT) != IDE_FOUND || inb(PORT(IDE_STATUS)) != IDE_FOUND)
			j->bad++;
		to = guest_data(j, to, n * IDE_SECTOR);
		left -= n;
		j->blocks++;
	}
	j->status = inb(ALT);
	j->status |= inb(PORT(IDE_STATUS));
	j->error = inb(PORT(IDE_ERROR));
	j->left = inb(PORT(IDE_COUNT));
	j->lba_low = inb(PORT(IDE_LBA_LOW));
	if (j->interrupts)
		j->bad += guest_interrupted();
}

static void guest_jobs(long n)
{
	for (long i = 0; i < n; i++) {
		if (jobs[i].interrupts)
			guest_pic();
		guest_read(&jobs[i]);
	}
}

/* Polls while vCPU 0 reads. */
static void guest_bystander(long arg)
{
	(void)arg;
	while (!stop) {
		inb(ALT);
		inb(PORT(IDE_DEVICE));
		inb(PORT(IDE_ERROR));
	}
}

static struct job given_up = { .cmd = 0x20, .count = 8, .lba = 100, .width = 4, .how = PER_BLOCK };
static struct job written = { .cmd = 0x30, .count = 8, .lba = 100 };

/* A read that is given up after a sector; all of it is written; it is read. */
static void guest_gives_up(long arg)
{
	int i;

	(void)arg;
	outb(IDE_CTL_NIEN, ALT);
	guest_load(&given_up);
	guest_data(&given_up, area, IDE_SECTOR);
	outb(IDE_CTL_NIEN | IDE_CTL_SRST, ALT);
	outb(IDE_CTL_NIEN, ALT);
	for (i = 0; i < 8 * IDE_SECTOR; i++)
		area[i] ^= i * 7 + 1;
	guest_load(&written);
	for (i = 0; i < 8; i++)
		guest_outs(PORT(IDE_DATA), area + i * IDE_SECTOR, IDE_SECTOR / 4, 4);
	guest_load(&given_up);
	for (i = 0; i < 8; i++)
		guest_data(&given_up, area + 65536 + i * IDE_SECTOR, IDE_SECTOR);
}

/* Host code again. */

static const struct {
	__u8 cmd, lba48;
	__u32 block;
} commands[] = { { 0x20, 0, 1 }, { 0x24, 1, 1 }, { 0xc4, 0, 16 }, { 0x29, 1, 16 } };

static struct job job(int cmd, int width, int how, __u32 count, __u32 off)
{
	return (struct job){
		.cmd = commands[cmd].cmd, .lba48 = commands[cmd].lba48, .block = commands[cmd].block,
		.width = width, .how = how, .count = count, .lba = random() % (SECTORS - count + 1), .off = off,
	};
}

static void check(const struct job *j)
{
	__u32 blocks = j->how == WHOLE ? 1 : (j->count + j->block - 1) / j->block;

	TEST_ASSERT(!memcmp(area + j->off, disk + j->lba * IDE_SECTOR, j->count * IDE_SECTOR),
		    "command %#x, %u sectors, width %u, how %u, offset %u: other data", j->cmd, j->count, j->width, j->how, j->off);
	TEST_EQ(j->bad, 0);
	TEST_EQ(j->status, IDE_IDLE);
	TEST_EQ(j->error, 0);
	TEST_EQ(j->left, 0);
	TEST_EQ(j->lba_low, (j->lba + j->count) & 0xff);
	TEST_EQ(j->blocks, blocks);
	if (j->interrupts)
		TEST_ASSERT(j->interrupted == blocks, "command %#x, %u sectors: %u interrupts for %u blocks", j->cmd, j->count,
			    j->interrupted, blocks);
}

static unsigned long run(struct vmm *vmm, const struct job *j)
{
	unsigned long exits = vmm_exits(vmm);

	memset(area, 0, sizeof(area));
	jobs[0] = *j;
	vmm_run(vmm, 0, guest_jobs, 1);
	check(&jobs[0]);
	return vmm_exits(vmm) - exits;
}

/* The command traps, and nothing else does. */
static void reads(bool interrupts)
{
	static const __u32 counts[] = { 1, 2, 15, 16, 17, 100, 256 }, offs[] = { 0, 1, 2, 511, 3845, 4093, 4094, 4095 };
	static const char *const names[] = { "single", "a string per block", "strings" };
	struct vmm *vmm = machine(1, interrupts ? VMM_IRQCHIP : 0);
	struct bpf_link *link = filter_attach(skel->maps.ide_ops);
	unsigned long exits, without;
	unsigned int cmd, width, how, i;
	struct job j;

	for (cmd = 0; cmd < ARRAY_SIZE(commands); cmd++)
		for (width = 2; width <= 4; width += 2)
			for (how = 0; how < NR_HOWS; how++)
				for (i = 0; i < ARRAY_SIZE(counts); i++) {
					/* Single ones take long. Whole: no interrupt is looked for between the blocks. */
					if ((how == SINGLE && counts[i] > 17) || (how == WHOLE && interrupts && counts[i] > commands[cmd].block))
						continue;
					j = job(cmd, width, how, counts[i], offs[(i + cmd + how) % ARRAY_SIZE(offs)]);
					j.interrupts = interrupts;
					exits = run(vmm, &j);
					TEST_ASSERT(exits == 1, "command %#x, %u sectors, width %u, how %u, offset %u: %lu exits",
						    j.cmd, j.count, j.width, j.how, j.off, exits);
				}
	bpf_link__destroy(link);
	for (cmd = 0; cmd < ARRAY_SIZE(commands); cmd++) {
		j = job(cmd, 2, PER_BLOCK, 256, 0);
		j.interrupts = interrupts;
		without = run(vmm, &j);
		link = filter_attach(skel->maps.ide_ops);
		exits = run(vmm, &j);
		bpf_link__destroy(link);
		printf("exits per 128 KiB, command %#x, %s%s: %lu without filter, %lu with\n", j.cmd, names[j.how],
		       interrupts ? ", interrupts" : "", without, exits);
		TEST_EQ(exits, 1);
		TEST_ASSERT(without > 100, "%lu exits without a filter", without);
	}
	if (interrupts)
		printf("%llu interrupts by the filter\n", own->interrupts);
	TEST_EQ(!own->interrupts, !interrupts);
	end(vmm);
}

static void polled(void)
{
	reads(false);
}

static void interrupts(void)
{
	reads(true);
}

/*
 * READ MULTIPLE by strings, to odd addresses, so that elements lie on two pages, and with as much data as the VMM likes to give.
 * KVM asks for the elements up to a page's end at once, and what is not answered after the first would be zero: all or none.
 */
static void batches(void)
{
	static const __u32 offs[] = { 0, 1, 3, 511, 4093, 4095 };
	static const int gives[] = { 0, 1, 15, 16, 17, 40, 47 };
	struct vmm *vmm = machine(1, 0);
	struct bpf_link *link = filter_attach(skel->maps.ide_ops);
	unsigned long jobs_done = 0, sectors = 0, exits, least = ~0UL;
	const __u64 *answered = &skel->data_state->ide.vcpus[0].answered;
	__u64 before = *answered;
	unsigned int i, k, width, how;
	struct job j;

	memset(&missed, 0, sizeof(missed));
	for (i = 0; i < ARRAY_SIZE(offs); i++)
		for (k = 0; k < ARRAY_SIZE(gives); k++)
			for (width = 2; width <= 4; width += 2)
				for (how = PER_BLOCK; how <= WHOLE; how++) {
					give_most = gives[k];
					j = job(2 + jobs_done % 2, width, how, 64, offs[i]);
					exits = run(vmm, &j);
					least = exits < least ? exits : least;
					sectors += j.count;
					jobs_done++;
				}
	give_most = -1;
	printf("%lu commands, %lu sectors: %llu accesses answered; %lu strings, %lu elements of them, by the VMM\n", jobs_done, sectors,
	       *answered - before, missed.strings, missed.elements);
	TEST_EQ(missed.early, 0);
	TEST_ASSERT(least > 1 && missed.strings >= jobs_done && missed.elements > 10 * missed.strings, "no string was split");
	TEST_ASSERT(*answered - before > sectors * IDE_SECTOR / 4 / 3, "too little was answered");
	bpf_link__destroy(link);
	end(vmm);
}

/* nIEN is 0, and no eventfd: the last word of a block is the VMM's, but only if it would interrupt. */
static void no_line(void)
{
	struct vmm *vmm = machine(1, 0);
	struct bpf_link *link = filter_attach(skel->maps.ide_ops);
	struct job j = job(0, 2, PER_BLOCK, 8, 0);

	TEST_EQ(run(vmm, &j), 1);
	j.enabled = true;
	TEST_EQ(run(vmm, &j), 8);
	TEST_EQ(own->interrupts, 0);
	bpf_link__destroy(link);
	end(vmm);
}

static void writes(void)
{
	struct vmm *vmm = machine(1, 0);
	struct bpf_link *link = filter_attach(skel->maps.ide_ops);
	int i;

	for (i = 0; i < 20; i++) {
		vmm_run(vmm, 0, guest_gives_up, 0);
		TEST_ASSERT(!memcmp(disk + 100 * IDE_SECTOR, area, 8 * IDE_SECTOR), "round %d: the disk has not got what was written", i);
		TEST_ASSERT(!memcmp(area + 65536, area, 8 * IDE_SECTOR), "round %d: stale data", i);
	}
	bpf_link__destroy(link);
	end(vmm);
}

static void random_jobs(int n, bool irq)
{
	int i;

	for (i = 0; i < n; i++) {
		int how = random() % NR_HOWS;
		int cmd = random() % ARRAY_SIZE(commands);

		jobs[i] = job(cmd, 2 << (random() & 1), how, 1 + random() % (how == SINGLE ? 4 : random() % 4 ? 40 : 256),
			      random() % 4096);
		jobs[i].interrupts = irq && how != WHOLE && (random() & 1);
	}
}

/* A filter that comes and goes, and a VMM that gives nonsense. */
static void upset(void)
{
	struct vmm *vmm = machine(1, VMM_IRQCHIP);
	unsigned long rounds = 60 * test_scale(), i, attaches = 0, sectors = 0;
	struct bpf_link *link = NULL;

	sabotaged = true;
	for (i = 0; i < rounds; i++) {
		random_jobs(1, true);
		memset(area, 0, sizeof(area));
		vmm_start(vmm, 0, guest_jobs, 1);
		for (int k = random() % 3; k; k--) {
			usleep(random() % 3000);
			if (link)
				bpf_link__destroy(link);
			link = link ? NULL : filter_attach(skel->maps.ide_ops);
			attaches += !!link;
		}
		vmm_join(vmm, 0);
		check(&jobs[0]);
		sectors += jobs[0].count;
	}
	if (link)
		bpf_link__destroy(link);
	printf("%lu commands, %lu sectors, %lu attaches; %llu gives, %llu refused, %llu sectors given, %lu exits\n", rounds, sectors,
	       attaches, own->gives, refused, own->sectors, vmm_exits(vmm));
	TEST_ASSERT(refused && attaches, "nothing was upset");
	end(vmm);
}

/* Another vCPU reads registers all the while: what meets the lock held goes to the VMM, which takes the channel in the middle. */
static void two_vcpus(void)
{
	struct vmm *vmm = machine(2, VMM_IRQCHIP);
	unsigned long rounds = 40 * test_scale(), i;
	struct bpf_link *link = filter_attach(skel->maps.ide_ops);
	struct kvm_mp_state running = { .mp_state = KVM_MP_STATE_RUNNABLE };
	unsigned long exits;

	/* Beside KVM's irqchip it would wait for a SIPI. */
	TEST_ASSERT(!ioctl(vmm->vcpus[1].fd, KVM_SET_MP_STATE, &running), "mp_state: %s", strerror(errno));
	stop = false;
	vmm_start(vmm, 1, guest_bystander, 0);
	for (i = 0; i < rounds; i++) {
		random_jobs(1, true);
		memset(area, 0, sizeof(area));
		vmm_run(vmm, 0, guest_jobs, 1);
		check(&jobs[0]);
	}
	stop = true;
	vmm_join(vmm, 1);
	exits = vmm_exits(vmm);
	printf("%lu commands, %lu exits of both vCPUs, %llu takes; busy %llu\n", rounds, exits, own->takes,
	       skel->data_state->ide.verdicts[IOFILTER_PUNT_BUSY]);
	bpf_link__destroy(link);
	end(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "polled", polled },
		{ "interrupts", interrupts },
		{ "batches", batches },
		{ "no_line", no_line },
		{ "writes", writes },
		{ "upset", upset },
		{ "two_vcpus", two_vcpus },
	};
	unsigned int seed = test_seed();

	printf("# SEED=%u\n", seed);
	srandom(seed);
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
