// SPDX-License-Identifier: GPL-2.0
/*
 * The table's program on the real module and KVM. One vCPU and random rules: each access is answered, or comes to the VMM, exactly as
 * the reference interpreter (host/tableref.h) says, with the same value. Two vCPUs: registers that count up never step back and are never
 * other than written, while the table is replaced under them.
 */
#include <iofilter/libiofilter.h>
#include <iofilter/table_vmm.h>
#include <loader/lib/table.h>
#include "filter.h"
#include "table.skel.h"
#include "table_steps.h"

static struct table_file *file;
static struct iofilter_table *parsed;

static struct table_bpf *load(const struct vmm *vmm, const char *text, size_t size, bool owned)
{
	const size_t head = sizeof(struct iofilter_head);
	struct kvm_iofilter_ops *ops;
	struct table_bpf *skel;

	memset(parsed, 0, sizeof(*parsed));
	parsed->absence = 2000000; /* exits take long here */
	TEST_ASSERT(!table_parse(file, "rules", text, size, parsed), "%s\n%.*s", iofilter_error(), (int)size, text);
	parsed->owned = owned;
	skel = table_bpf__open();
	TEST_ASSERT(skel, "open: %s", strerror(errno));
	ops = filter_ops(skel->maps.table_ops);
	ops->vm_fd = vmm->fd;
	ops->nr_ranges = file->nr_ranges;
	memcpy(ops->ranges, file->ranges, sizeof(ops->ranges));
	TEST_EQ(-table_bpf__load(skel), 0);
	memcpy((char *)&skel->data_state->table + head, (char *)parsed + head, sizeof(*parsed) - head);
	return skel;
}

static void random_accesses(void)
{
	unsigned long n = test_count(10000, 100000), done = 0, answered = 0, strings = 0, tables = 0;
	static struct ref_derived d;
	static struct ref r;
	static struct gen g;
	struct vmm *vmm = vmm_new(1, 0);

	vmm->io = steps_io;
	while (done < n) {
		int i, m = 500 + gen_one_of(1000);
		struct table_bpf *skel;
		struct bpf_link *link;

		gen_table(&g);
		if (!g.ref.nr_rules)
			continue;
		gen_text(&g, &d);
		skel = load(vmm, g.text, g.size, true);
		r = g.ref;
		r.owned = true;
		for (i = 0; i < m; i++)
			steps[i] = random_step(&g);
		memset(punted, 0, sizeof(punted));
		link = filter_attach(skel->maps.table_ops);
		vmm_run(vmm, 0, guest_steps, m);
		for (i = 0; i < m; i++) {
			__u64 want;
			bool was = judge(&(struct watched){ file->ranges, file->nr_ranges }, &r, &d, i, &want);
			const struct step *s = &steps[i];

			if (was == !!punted[i] || (!s->write && want != (s->count > 1 ? got_string[i] : got[i])))
				TEST_FAIL("table %lu, step %d: %s 0x%llx width %d count %u: %s 0x%llx, wanted %s 0x%llx\n%.*s", tables, i,
					  s->write ? "write" : "read", s->addr, s->width, s->count, punted[i] ? "punted" : "answered",
					  s->count > 1 ? got_string[i] : got[i], was ? "answered" : "punted", want, (int)g.size, g.text);
			answered += was;
			strings += was && s->count > 1;
		}
		bpf_link__destroy(link);
		table_bpf__destroy(skel);
		done += m;
		tables++;
	}
	vmm_free(vmm);
	printf("   %lu accesses of %lu tables: %lu answered, %lu of them strings\n", done, tables, answered, strings);
	TEST_ASSERT(answered > done / 10 && strings, "too little was answered");
}

/* Registers of 4 bytes, in the VMM. A vCPU counts up in its own ones, and reads all. */
#define REGS	   8
#define REG_PORT   0x300

static __u32 regs[REGS];
static pthread_mutex_t regs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	volatile unsigned long reads, writes, other, back;
	__u32 mine[REGS], seen[REGS];
	volatile int stop;
} guests[2];

static const char counters[] = "absence 2000\n"
			       "ports regs 0x300-0x31f\n"
			       "slot a\nslot b\nslot c\nslot d\nslot e\nslot f\nslot g\nslot h\n"
			       "write regs+0 l pass a\nread regs+0 l answer a\nwrite regs+4 l pass b\nread regs+4 l answer b\n"
			       "write regs+8 l pass c\nread regs+8 l answer c\nwrite regs+12 l pass d\nread regs+12 l answer d\n"
			       "write regs+16 l pass e\nread regs+16 l answer e\nwrite regs+20 l pass f\nread regs+20 l answer f\n"
			       "write regs+24 l pass g\nread regs+24 l answer g\nwrite regs+28 l pass h\nread regs+28 l answer h\n";

static void regs_io(struct vmm *vmm, struct vmm_access *a)
{
	__u32 i = (a->addr - REG_PORT) / 4;

	(void)vmm;
	pthread_mutex_lock(&regs_lock);
	if (a->write)
		regs[i % REGS] = a->val;
	else
		a->val = regs[i % REGS];
	pthread_mutex_unlock(&regs_lock);
}

static void guest_counts(long me)
{
	__u32 x = 12345 + me, i, v;

	while (!guests[me].stop) {
		x = x * 1664525 + 1013904223;
		i = (x >> 16) % REGS;
		if (i % 2 == (__u32)me && !(x >> 24 & 7)) {
			guests[me].mine[i]++;
			guests[me].seen[i] = guests[me].mine[i];
			outl(guests[me].mine[i], REG_PORT + 4 * i);
			guests[me].writes++;
			continue;
		}
		v = inl(REG_PORT + 4 * i);
		guests[me].other += i % 2 == (__u32)me && v != guests[me].mine[i];
		guests[me].back += v < guests[me].seen[i];
		guests[me].seen[i] = v;
		guests[me].reads++;
	}
}

static void replace_under_load(void)
{
	int i, rounds = test_count(20, 100);
	struct table_bpf *skel, *next;
	struct filter_counts counts;
	__u64 forgotten = 0, answered = 0;
	struct bpf_link *link;
	struct vmm *vmm;

	memset(guests, 0, sizeof(guests));
	memset(regs, 0, sizeof(regs));
	vmm = vmm_new(2, 0);
	vmm->io = regs_io;
	skel = load(vmm, counters, sizeof(counters) - 1, false);
	link = filter_attach(skel->maps.table_ops);
	vmm_start(vmm, 0, guest_counts, 0);
	vmm_start(vmm, 1, guest_counts, 1);
	for (i = 0; i < rounds; i++) {
		usleep(100000);
		next = load(vmm, counters, sizeof(counters) - 1, false);
		TEST_EQ(-bpf_link__update_map(link, next->maps.table_ops), 0);
		answered += skel->data_state->table.verdicts[IOFILTER_ANSWERED];
		forgotten += skel->data_state->table.forgotten;
		/* Nobody is in the old one any more. */
		TEST_EQ(skel->data_state->table.lock, 0);
		table_bpf__destroy(skel);
		skel = next;
	}
	guests[0].stop = guests[1].stop = 1;
	vmm_join(vmm, 0);
	vmm_join(vmm, 1);
	TEST_ASSERT(filter_counts(link, &counts), "the module does not know the link");
	printf("   %d replaced: %lu+%lu reads, %lu+%lu writes; %llu answered; forgotten %llu times\n", rounds, guests[0].reads, guests[1].reads,
	       guests[0].writes, guests[1].writes, answered, forgotten);
	for (i = 0; i < 2; i++) {
		TEST_EQ(guests[i].other, 0);
		TEST_EQ(guests[i].back, 0);
	}
	TEST_ASSERT(answered > 0 && counts.reads_punted > 0, "%llu answered, %llu punted", answered, counts.reads_punted);
	bpf_link__destroy(link);
	table_bpf__destroy(skel);
	vmm_free(vmm);
}

/* Other ranges are no update. */
static void other_ranges(void)
{
	static const char one[] = "ports p 0x300\nread p b answer 1\n", two[] = "ports p 0x301\nread p b answer 1\n";
	struct vmm *vmm = vmm_new(1, 0);
	struct table_bpf *a = load(vmm, one, sizeof(one) - 1, false), *b = load(vmm, two, sizeof(two) - 1, false);
	struct bpf_link *link = filter_attach(a->maps.table_ops);

	vmm->io = steps_io;
	TEST_EQ(-bpf_link__update_map(link, b->maps.table_ops), EINVAL);
	steps[0] = (struct step){ .addr = 0x300, .width = 1, .count = 1 };
	vmm_run(vmm, 0, guest_steps, 1);
	TEST_EQ(got[0], 1);
	bpf_link__destroy(link);
	table_bpf__destroy(a);
	table_bpf__destroy(b);
	vmm_free(vmm);
}

/* A VMM that cooperates: one trap for a sector of 256 words, read as one string. */
static struct {
	struct iofilter_table *t;
	__u8 sector[512];
	unsigned long exits, busy;
} disk;

static void disk_io(struct vmm *vmm, struct vmm_access *a)
{
	struct table_expect e[] = {
		{ .op = TABLE_READ, .addr = 0x1f7, .width = 1, .value = 0x58 },
		{ .op = TABLE_READ, .addr = 0x1f0, .width = 2, .bytes = sizeof(disk.sector) },
		{ .op = TABLE_READ, .addr = 0x1f7, .width = 1, .value = 0x50 },
	};

	(void)vmm;
	disk.exits++;
	if (!a->write || a->addr != 0x1f7)
		return;
	for (size_t i = 0; i < sizeof(disk.sector); i++)
		disk.sector[i] = i * 7 + disk.exits;
	if (iofilter_table_enter(disk.t)) {
		disk.busy++;
		return;
	}
	TEST_EQ(-iofilter_table_predict(disk.t, e, ARRAY_SIZE(e), disk.sector, sizeof(disk.sector)), 0);
	iofilter_table_leave(disk.t);
}

static volatile unsigned long disk_wrong;

static void guest_disk(long n)
{
	for (long k = 0; k < n; k++) {
		outb(0x20, 0x1f7);
		disk_wrong += inb(0x1f7) != 0x58;
		guest_ins(0x1f0, area, 256, 2);
		disk_wrong += inb(0x1f7) != 0x50;
		for (int i = 0; i < 512; i++)
			disk_wrong += area[i] != (__u8)(i * 7 + k + 1);
	}
}

static void predicted_sectors(void)
{
	static const char rules[] = "ports ide 0x1f0-0x1f7\nwrite ide+7 b trap 0x20 take\n";
	struct vmm *vmm = vmm_new(1, 0);
	struct table_bpf *skel = load(vmm, rules, sizeof(rules) - 1, true);
	struct bpf_link *link = filter_attach(skel->maps.table_ops);
	unsigned long n = 200 * test_scale();

	disk.t = &skel->data_state->table;
	disk.exits = 0;
	vmm->io = disk_io;
	vmm_run(vmm, 0, guest_disk, n);
	printf("   %lu sectors, %lu exits; %llu predictions came true, %llu were dropped\n", n, disk.exits, disk.t->predict.done,
	       disk.t->predict.dropped);
	TEST_EQ(disk.busy, 0);
	TEST_EQ(disk_wrong, 0);
	TEST_EQ(disk.exits, n);
	TEST_EQ(disk.t->predict.done, n);
	TEST_EQ(disk.t->head.in_flight, 0);
	bpf_link__destroy(link);
	table_bpf__destroy(skel);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "random_accesses", random_accesses },
		{ "predicted_sectors", predicted_sectors },
		{ "other_ranges", other_ranges },
		{ "replace_under_load", replace_under_load },
	};

	seed();
	file = malloc(sizeof(*file));
	parsed = malloc(sizeof(*parsed));
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
