// SPDX-License-Identifier: GPL-2.0
/* The verdicts of a filter, by bus and width: what the guest gets, what the VMM sees, what the program was given. */
#include "empty.skel.h"
#include "recorder.h"

#define PORT	0x608
#define OLD_RAX 0x1122334455667788ULL
#define VMM_VAL 0xa1a2a3a4a5a6a7a8ULL
#define BPF_VAL 0xb1b2b3b4b5b6b7b8ULL

static struct vmm_access seen; /* the newest at the VMM */

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	if (!a->write)
		a->val = VMM_VAL;
	seen = *a;
}

static __u64 guest_rax;

/* The whole of RAX, since a narrow read must leave the rest of it alone. */
static void guest_pio_read(long len)
{
	__u64 rax = OLD_RAX;

	if (len == 1)
		asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(PORT));
	else if (len == 2)
		asm volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(PORT));
	else
		asm volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(PORT));
	guest_rax = rax;
}

static void guest_mmio_read(long len)
{
	__u64 rax = OLD_RAX;

	if (len == 1)
		asm volatile("movb (%1), %%al" : "+a"(rax) : "r"(VMM_MMIO));
	else if (len == 2)
		asm volatile("movw (%1), %%ax" : "+a"(rax) : "r"(VMM_MMIO));
	else if (len == 4)
		asm volatile("movl (%1), %%eax" : "+a"(rax) : "r"(VMM_MMIO));
	else
		asm volatile("movq (%1), %%rax" : "+a"(rax) : "r"(VMM_MMIO));
	guest_rax = rax;
}

static void guest_pio_write(long len)
{
	if (len == 1)
		outb(OLD_RAX, PORT);
	else if (len == 2)
		outw(OLD_RAX, PORT);
	else
		outl(OLD_RAX, PORT);
}

static void guest_mmio_write(long len)
{
	if (len == 1)
		mmio_write(__u8, VMM_MMIO, OLD_RAX);
	else if (len == 2)
		mmio_write(__u16, VMM_MMIO, OLD_RAX);
	else if (len == 4)
		mmio_write(__u32, VMM_MMIO, OLD_RAX);
	else
		mmio_write(__u64, VMM_MMIO, OLD_RAX);
}

static const struct row {
	__u32 bus, len;
	__u64 addr;
	void (*read)(long), (*write)(long);
} rows[] = {
	{ KVM_IOFILTER_PIO, 1, PORT, guest_pio_read, guest_pio_write },
	{ KVM_IOFILTER_PIO, 2, PORT, guest_pio_read, guest_pio_write },
	{ KVM_IOFILTER_PIO, 4, PORT, guest_pio_read, guest_pio_write },
	{ KVM_IOFILTER_MMIO, 1, VMM_MMIO, guest_mmio_read, guest_mmio_write },
	{ KVM_IOFILTER_MMIO, 2, VMM_MMIO, guest_mmio_read, guest_mmio_write },
	{ KVM_IOFILTER_MMIO, 4, VMM_MMIO, guest_mmio_read, guest_mmio_write },
	{ KVM_IOFILTER_MMIO, 8, VMM_MMIO, guest_mmio_read, guest_mmio_write },
};

static __u64 mask(__u32 len)
{
	return len == 8 ? ~0ULL : (1ULL << (8 * len)) - 1;
}

/* RAX after a read of @len bytes that gave @val: a dword clears the upper half, as the CPU does. */
static __u64 rax_after(__u64 val, __u32 len)
{
	return (val & mask(len)) | (len < 4 ? OLD_RAX & ~mask(len) : 0);
}

static void check_req(const struct recorder *rec, const struct row *row, bool write, __u64 from)
{
	const struct record_access *a = recorder_access(rec, 0);

	TEST_EQ(a->addr, row->addr);
	TEST_EQ(a->len, row->len);
	TEST_EQ(a->count, 1);
	TEST_EQ(a->vcpu, 0);
	TEST_EQ(a->write, write);
	TEST_EQ(a->val, write ? OLD_RAX & mask(row->len) : 0);
	TEST_ASSERT(a->now >= from && a->now <= now_ns(), "now is %llu, wanted [%llu, %llu]", a->now, from, now_ns());
}

static void reads(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmm *vmm = vmm_new(1, 0);
		struct recorder rec;
		struct filter_counts c;
		__u64 from;

		vmm->io = vmm_io;
		recorder_attach(&rec, vmm, rows[i].bus, rows[i].addr, 8);

		rec.r->value = BPF_VAL;
		rec.r->answer_reads = 1;
		from = now_ns();
		vmm_run(vmm, 0, rows[i].read, rows[i].len);
		TEST_EQ(guest_rax, rax_after(BPF_VAL, rows[i].len));
		TEST_EQ(vmm_exits(vmm), 0);
		TEST_EQ(rec.r->nr, 1);
		check_req(&rec, &rows[i], false, from);

		rec.r->answer_reads = 0;
		from = recorder_access(&rec, 0)->now;
		vmm_run(vmm, 0, rows[i].read, rows[i].len);
		TEST_EQ(guest_rax, rax_after(VMM_VAL, rows[i].len));
		TEST_EQ(vmm_exits(vmm), 1);
		TEST_EQ(rec.r->nr, 2);
		TEST_EQ(seen.addr, rows[i].addr);
		TEST_EQ(seen.len, rows[i].len);
		TEST_EQ(seen.mmio, rows[i].bus == KVM_IOFILTER_MMIO);
		check_req(&rec, &rows[i], false, from);

		TEST_ASSERT(filter_counts(rec.link, &c), "the module does not know the link");
		TEST_EQ(c.reads_handled, 1);
		TEST_EQ(c.reads_punted, 1);
		TEST_EQ(c.writes_handled + c.writes_punted, 0);
		recorder_free(&rec);
		vmm_free(vmm);
	}
}

static void writes(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vmm *vmm = vmm_new(1, 0);
		struct recorder rec;
		struct filter_counts c;
		__u64 from;

		vmm->io = vmm_io;
		recorder_attach(&rec, vmm, rows[i].bus, rows[i].addr, 8);

		rec.r->answer_writes = 1;
		from = now_ns();
		vmm_run(vmm, 0, rows[i].write, rows[i].len);
		TEST_EQ(vmm_exits(vmm), 0);
		check_req(&rec, &rows[i], true, from);

		rec.r->answer_writes = 0;
		vmm_run(vmm, 0, rows[i].write, rows[i].len);
		TEST_EQ(vmm_exits(vmm), 1);
		TEST_EQ(rec.r->nr, 2);
		TEST_EQ(seen.write, 1);
		TEST_EQ(seen.addr, rows[i].addr);
		TEST_EQ(seen.len, rows[i].len);
		TEST_EQ(seen.val, OLD_RAX & mask(rows[i].len));
		check_req(&rec, &rows[i], true, from);

		TEST_ASSERT(filter_counts(rec.link, &c), "the module does not know the link");
		TEST_EQ(c.writes_handled, 1);
		TEST_EQ(c.writes_punted, 1);
		TEST_EQ(c.reads_handled + c.reads_punted, 0);
		recorder_free(&rec);
		vmm_free(vmm);
	}
}

/* Outside of the range, and across its ends, the filter sees nothing. */
static void guest_around(long arg)
{
	(void)arg;
	inb(PORT - 1);
	inb(PORT + 4);
	inw(PORT - 1);
	inw(PORT + 3);
	inl(PORT + 1);
	outb(1, PORT + 4);
	outl(1, PORT - 2);
}

static void outside(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	struct recorder rec;

	vmm->io = vmm_io;
	recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
	rec.r->answer_reads = rec.r->answer_writes = 1;
	vmm_run(vmm, 0, guest_around, 0);
	TEST_EQ(rec.r->nr, 0);
	TEST_EQ(vmm_exits(vmm), 7);
	recorder_free(&rec);
	vmm_free(vmm);
}

static void empty_ops(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	struct empty_bpf *skel = empty_bpf__open();
	struct bpf_link *link;

	vmm->io = vmm_io;
	filter_ops(skel->maps.empty_ops)->vm_fd = vmm->fd;
	TEST_EQ(empty_bpf__load(skel), 0);
	link = filter_attach(skel->maps.empty_ops);
	vmm_run(vmm, 0, guest_pio_read, 4);
	TEST_EQ(guest_rax, rax_after(VMM_VAL, 4));
	vmm_run(vmm, 0, guest_pio_write, 4);
	TEST_EQ(vmm_exits(vmm), 2);
	bpf_link__destroy(link);
	empty_bpf__destroy(skel);
	vmm_free(vmm);
}

/* Without F_SAMPLE nothing is followed up. */
static void no_flags(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	struct record_bpf *skel = recorder_open(vmm, NULL, KVM_IOFILTER_PIO, PORT, 4);
	struct recorder rec;
	int i;

	filter_ops(skel->maps.record_ops)->flags = 0;
	bpf_program__set_autoload(skel->progs.record_sample, false);
	skel->struct_ops.record_ops->sample = NULL;
	recorder_load(&rec, skel);
	rec.link = filter_attach(skel->maps.record_ops);
	vmm->io = vmm_io;
	for (i = 0; i < 3; i++)
		vmm_run(vmm, 0, guest_pio_read, 4);
	TEST_EQ(rec.r->nr, 3);
	TEST_EQ(recorder_access(&rec, 0)->away, 0);
	TEST_EQ(recorder_access(&rec, 0)->flags, 0);
	TEST_EQ(rec.r->nr_samples, 0);
	recorder_free(&rec);
	vmm_free(vmm);
}

/* A delay is slept before the VMM sees the access, is capped, and a signal ends it. */
static void delays(void)
{
	struct vmm *vmm = vmm_new(1, 0);
	struct recorder rec;
	__u64 t;

	vmm->io = vmm_io;
	recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
	rec.r->delay = 20000000;
	t = now_ns();
	vmm_run(vmm, 0, guest_pio_read, 4);
	t = now_ns() - t;
	TEST_ASSERT(t >= 20000000, "wanted a delay of 20 ms, got %llu us", t / 1000);

	rec.r->delay = ~0ULL;
	t = now_ns();
	vmm_run(vmm, 0, guest_pio_read, 4);
	t = now_ns() - t;
	TEST_ASSERT(t >= KVM_IOFILTER_MAX_DELAY_NS && t < 10 * KVM_IOFILTER_MAX_DELAY_NS,
		    "wanted a delay of %llu ms, got %llu us", KVM_IOFILTER_MAX_DELAY_NS / 1000000, t / 1000);

	t = now_ns();
	vmm_start(vmm, 0, guest_pio_read, 4);
	while (__atomic_load_n(&rec.r->nr, __ATOMIC_RELAXED) < 3)
		usleep(1000);
	vmm_kick(vmm, 0);
	vmm_join(vmm, 0);
	t = now_ns() - t;
	TEST_ASSERT(t < KVM_IOFILTER_MAX_DELAY_NS, "a signal did not end the delay: %llu us", t / 1000);
	TEST_EQ(guest_rax, rax_after(VMM_VAL, 4));
	TEST_EQ(vmm_exits(vmm), 3);
	recorder_free(&rec);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "reads", reads },
		{ "writes", writes },
		{ "outside", outside },
		{ "empty_ops", empty_ops },
		{ "no_flags", no_flags },
		{ "delays", delays },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
