// SPDX-License-Identifier: GPL-2.0
/*
 * The IDE filter of a VMM that cooperates (ide.h), on the real module and KVM. Every byte that a guest (ide_guest.h) reads is compared; exits
 * are counted.
 */
#include "ide_guest.h"

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
