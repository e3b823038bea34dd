// SPDX-License-Identifier: GPL-2.0
/* Alan Cox's two loops (host/tablecox.h) on the real module and KVM: a guest makes the accesses, the VMM loads predictions. */
#include <iofilter/libiofilter.h>
#include <loader/lib/table.h>
#include "filter.h"
#include "table.skel.h"
#include "vmm.h"
#include "../host/tablecox.h"

#define MAX_STEPS 128

/* Shared with the guest. */
static __u64 got[MAX_STEPS];
static __u8 strings[MAX_STEPS][COX_DATA];
static volatile int at_step;

static unsigned int punted[MAX_STEPS];
static const char *wrong[MAX_STEPS];
static const struct cox_loop *loop;
static struct iofilter_table *table;

static __always_inline __u64 guest_access(const struct cox_step *s, __u8 *string)
{
	bool write = s->op == 'w' || s->op == 'W';

	if (s->count > 1) {
		guest_ins(s->addr, string, s->count, s->width);
		return 0;
	}
	if (s->addr >= COX_MMIO) {
		if (!write)
			return mmio_read(__u8, s->addr);
		mmio_write(__u8, s->addr, s->val);
	} else if (!write) {
		return s->width == 1 ? inb(s->addr) : s->width == 2 ? inw(s->addr) : inl(s->addr);
	} else if (s->width == 1) {
		outb(s->val, s->addr);
	} else {
		outw(s->val, s->addr);
	}
	return 0;
}

static void guest_loop(long n)
{
	for (long i = 0; i < n; i++) {
		at_step = i;
		got[i] = guest_access(&loop->steps[i], strings[i]);
	}
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	punted[at_step]++;
	wrong[at_step] = cox_vmm(table, loop->steps[at_step].vmm);
	a->val = COX_PUNTED;
	if (!a->write && a->count > 1)
		memset(a->data, COX_PUNTED & 0xff, a->count * a->len);
}

static void judge(const struct cox_step *s, int i)
{
	bool traps = s->op == 'R' || s->op == 'W', reads = s->op == 'r' || s->op == 'R';
	__u64 want = traps ? COX_PUNTED & table_mask(s->width) : s->val;

	TEST_ASSERT(!wrong[i], "%s: step %d: %s", loop->name, i + 1, wrong[i]);
	TEST_ASSERT(punted[i] == traps, "%s: step %d: %c 0x%llx, %d bytes: %u exits", loop->name, i + 1, s->op, s->addr, s->width,
		    punted[i]);
	if (!reads)
		return;
	if (s->count > 1)
		TEST_ASSERT(!memcmp(strings[i], s->data, s->count * s->width), "%s: step %d: another string", loop->name, i + 1);
	else
		TEST_ASSERT(got[i] == want, "%s: step %d: read 0x%llx: 0x%llx, wanted 0x%llx", loop->name, i + 1, s->addr, got[i], want);
}

static void run(const struct cox_loop *l)
{
	const size_t head = sizeof(struct iofilter_head);
	struct iofilter_table *parsed = calloc(1, sizeof(*parsed));
	struct table_file *file = calloc(1, sizeof(*file));
	struct table_bpf *skel = table_bpf__open();
	struct vmm *vmm = vmm_new(1, 0);
	struct kvm_iofilter_ops *ops;
	struct bpf_link *link;
	int i, traps = 0;

	TEST_ASSERT(skel && parsed && file && l->nr <= MAX_STEPS, "open: %s", strerror(errno));
	parsed->absence = IOFILTER_ABSENCE_NS;
	TEST_ASSERT(!table_parse(file, l->name, l->rules, strlen(l->rules), parsed), "%s", iofilter_error());
	ops = filter_ops(skel->maps.table_ops);
	ops->vm_fd = vmm->fd;
	ops->nr_ranges = file->nr_ranges;
	memcpy(ops->ranges, file->ranges, sizeof(ops->ranges));
	TEST_EQ(-table_bpf__load(skel), 0);
	table = &skel->data_state->table;
	memcpy((char *)table + head, (char *)parsed + head, sizeof(*parsed) - head);
	iofilter_table_own(table, 1);
	TEST_ASSERT(!cox_vmm(table, COX_READY), "the table is busy");
	loop = l;
	memset(punted, 0, sizeof(punted));
	memset(wrong, 0, sizeof(wrong));
	vmm->io = vmm_io;
	link = filter_attach(skel->maps.table_ops);
	vmm_run(vmm, 0, guest_loop, l->nr);
	for (i = 0; i < l->nr; i++) {
		judge(&l->steps[i], i);
		traps += punted[i];
	}
	printf("   %s: %d steps, %d of them exits; %llu accesses answered, %llu predictions came true, %llu were dropped\n",
	       l->name, l->nr, traps, table->verdicts[IOFILTER_ANSWERED], table->predict.done, table->predict.dropped);
	bpf_link__destroy(link);
	table_bpf__destroy(skel);
	vmm_free(vmm);
	free(file);
	free(parsed);
}

static void disk(void)
{
	run(&cox_loops[0]);
}

static void serial(void)
{
	run(&cox_loops[1]);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "disk", disk },
		{ "serial", serial },
	};

	cox_init();
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
