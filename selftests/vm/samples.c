// SPDX-License-Identifier: GPL-2.0
/*
 * What the program is told of the VMM's answers: right ones, each once, none that a guest has forged, lost ones as lost;
 * and of a vCPU's absence from KVM_RUN.
 */
#include <sys/ioctl.h>
#include "recorder.h"

#define PORT  0x608
#define OTHER 0x80

/* Written into run->mmio by a write there, this is an IN of 4 bytes from PORT, count 1, in run->io. */
#define FORGED_GPA 0x106080400ULL
#define FORGED	   0xf0f0f0f0U

static __u64 vmm_val = 0xa1a2a3a4a5a6a7a8ULL, vmm_at;

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	if (a->write || (!a->mmio && a->addr != PORT))
		return;
	vmm_at = now_ns();
	a->val = vmm_val;
}

static struct vmm *setup(struct recorder *rec, int nr_vcpus, __u32 bus, __u64 addr)
{
	struct vmm *vmm = vmm_new(nr_vcpus, 0);

	vmm->io = vmm_io;
	recorder_attach(rec, vmm, bus, addr, 8);
	return vmm;
}

static void teardown(struct recorder *rec, struct vmm *vmm)
{
	const struct record_access *a;

	for (a = rec->r->log; a < &rec->r->log[RECORD_MAX]; a++)
		TEST_EQ(!!(a->flags & KVM_IOFILTER_REQ_AWAY), !!a->away);
	recorder_free(rec);
	vmm_free(vmm);
}

static void guest_read(long len)
{
	if (len == 1)
		inb(PORT);
	else if (len == 2)
		inw(PORT);
	else
		inl(PORT);
}

static void guest_mmio_read(long len)
{
	if (len == 1)
		mmio_read(__u8, VMM_MMIO);
	else if (len == 2)
		mmio_read(__u16, VMM_MMIO);
	else if (len == 4)
		mmio_read(__u32, VMM_MMIO);
	else
		mmio_read(__u64, VMM_MMIO);
}

/* The first access of a vCPU to a new filter tells of what may have been before it. */
static void guest_warm(long arg)
{
	(void)arg;
	outb(0, PORT + 4);
	outb(0, PORT + 4);
}

static void guest_pio_twice(long len)
{
	guest_warm(0);
	guest_read(len);
	guest_read(len);
}

static void guest_mmio_twice(long len)
{
	mmio_write(__u8, VMM_MMIO, 0);
	guest_mmio_read(len);
	guest_mmio_read(len);
}

static void values(void)
{
	static const struct {
		__u32 bus, len;
		__u64 addr;
		void (*guest)(long);
	} rows[] = {
		{ KVM_IOFILTER_PIO, 1, PORT, guest_pio_twice },
		{ KVM_IOFILTER_PIO, 2, PORT, guest_pio_twice },
		{ KVM_IOFILTER_PIO, 4, PORT, guest_pio_twice },
		{ KVM_IOFILTER_MMIO, 1, VMM_MMIO, guest_mmio_twice },
		{ KVM_IOFILTER_MMIO, 2, VMM_MMIO, guest_mmio_twice },
		{ KVM_IOFILTER_MMIO, 4, VMM_MMIO, guest_mmio_twice },
		{ KVM_IOFILTER_MMIO, 8, VMM_MMIO, guest_mmio_twice },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct record_access *first, *second;
		const struct kvm_iofilter_sample *s;
		struct recorder rec;
		struct vmm *vmm = setup(&rec, 1, rows[i].bus, rows[i].addr);
		__u64 lost;

		vmm_run(vmm, 0, rows[i].guest, rows[i].len);
		lost = rec.r->nr_samples - 1;
		TEST_ASSERT(lost <= 2, "%llu samples before any read", lost);
		s = recorder_sample(&rec, 0);
		first = recorder_access(&rec, 1);
		second = recorder_access(&rec, 0);
		TEST_EQ(s->flags, 0);
		TEST_EQ(s->val, rows[i].len == 8 ? vmm_val : vmm_val & ((1ULL << 8 * rows[i].len) - 1));
		TEST_EQ(s->addr, rows[i].addr);
		TEST_EQ(s->len, rows[i].len);
		TEST_EQ(s->vcpu, 0);
		TEST_ASSERT(s->t0 >= first->now && s->t1 >= second->now && s->t0 <= vmm_at && s->t1 > s->t0,
			    "first read %llu, t0 %llu, second read %llu, t1 %llu", first->now, s->t0, second->now, s->t1);
		TEST_EQ(first->away, 0);
		TEST_EQ(second->away, 0);
		TEST_EQ(second->flags, 0);
		teardown(&rec, vmm);
	}
}

static void guest_many(long n)
{
	guest_warm(0);
	while (n--)
		inl(PORT);
}

/* Each answer once, in order, and one behind. */
static void each_once(void)
{
	struct recorder rec;
	struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);
	int i;

	vmm_run(vmm, 0, guest_many, 500);
	TEST_EQ(rec.r->nr, 502);
	for (i = 0; i < 499; i++) {
		const struct kvm_iofilter_sample *s = recorder_sample(&rec, i);

		TEST_EQ(s->flags, 0);
		TEST_EQ(s->t0, recorder_access(&rec, i + 1)->now);
		TEST_ASSERT(s->t1 >= recorder_access(&rec, i)->now, "t1 %llu", s->t1);
		TEST_EQ(recorder_access(&rec, i)->away, 0);
	}
	TEST_EQ(recorder_sample(&rec, 499)->flags, KVM_IOFILTER_SAMPLE_LOST);
	teardown(&rec, vmm);
}

static void guest_lost_pio(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	outb(1, OTHER);
	inl(PORT);
}

static void guest_lost_mmio(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	mmio_read(__u32, VMM_MMIO);
	inl(PORT);
}

static void guest_forge(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	outl(FORGED, OTHER);
	mmio_write(__u32, FORGED_GPA, 0x1000);
	inl(PORT);
	mmio_write(__u32, FORGED_GPA, 0x1000);
	inl(PORT);
}

static void lost(void)
{
	void (*guests[])(long) = { guest_lost_pio, guest_lost_mmio, guest_forge };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(guests); i++) {
		struct recorder rec;
		struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);

		vmm_run(vmm, 0, guests[i], 0);
		TEST_ASSERT(rec.r->nr_samples > 0, "guest %u: a lost answer was not reported", i);
		for (j = 0; j < rec.r->nr_samples; j++)
			TEST_ASSERT(recorder_sample(&rec, j)->flags & KVM_IOFILTER_SAMPLE_LOST,
				    "guest %u: wanted only lost samples, got %#llx", i, recorder_sample(&rec, j)->val);
		/* The newest access. Returns for MMIO exits are counted by KVM, so they are no sign of a pause. */
		TEST_EQ(recorder_access(&rec, 0)->away > 0, guests[i] == guest_lost_pio);
		teardown(&rec, vmm);
	}
}

/* A read's answer is told when its vCPU writes next, too; a write has none. */
static void guest_read_write(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	outl(1, PORT);
	inl(PORT);
}

static void before_a_write(void)
{
	struct recorder rec;
	struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);
	__u64 n = 0, i;

	vmm_run(vmm, 0, guest_read_write, 0);
	for (i = 0; i < rec.r->nr_samples; i++)
		n += !recorder_sample(&rec, i)->flags;
	TEST_EQ(n, 1);
	TEST_EQ(recorder_access(&rec, 0)->away, 0);
	teardown(&rec, vmm);
}

/* Away: how often, by what. Each read below is told the time since the one before, if anything else came between. */
static void guest_four(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	inl(PORT);
	inl(PORT);
	inl(PORT);
}

static void interrupt_third(struct vmm *vmm, struct vmm_access *a)
{
	static int n;

	vmm_io(vmm, a);
	if (!a->write && a->addr == PORT && ++n == 3) {
		vmm->vcpus[a->vcpu].run->immediate_exit = 1;
		usleep(3000);
	}
}

static void away_immediate_exit(void)
{
	struct recorder rec;
	struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);
	const struct kvm_iofilter_sample *s;

	vmm->io = interrupt_third;
	vmm_run(vmm, 0, guest_four, 0);
	TEST_EQ(vmm->vcpus[0].interrupted, 1);
	TEST_EQ(recorder_access(&rec, 2)->away, 0);
	TEST_EQ(recorder_access(&rec, 1)->away, 0);
	TEST_ASSERT(recorder_access(&rec, 0)->away >= 3000000, "wanted away of 3 ms at least, got %llu us",
		    recorder_access(&rec, 0)->away / 1000);
	s = recorder_sample(&rec, 0);
	TEST_EQ(s->flags, KVM_IOFILTER_SAMPLE_LOST);
	teardown(&rec, vmm);
}

static volatile int stage;

static void guest_wait_between(long arg)
{
	(void)arg;
	guest_warm(0);
	inl(PORT);
	inl(PORT);
	stage = 1;
	while (stage != 2)
		asm volatile("pause");
	inl(PORT);
	inl(PORT);
}

static void away_signal(void)
{
	struct recorder rec;
	struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);

	stage = 0;
	vmm_start(vmm, 0, guest_wait_between, 0);
	while (stage != 1)
		usleep(1000);
	vmm_kick(vmm, 0);
	while (!*(volatile unsigned long *)&vmm->vcpus[0].interrupted)
		usleep(1000);
	stage = 2;
	vmm_join(vmm, 0);
	TEST_EQ(recorder_access(&rec, 2)->away, 0);
	TEST_ASSERT(recorder_access(&rec, 1)->away >= 1000000, "wanted away of 1 ms at least, got %llu ns",
		    recorder_access(&rec, 1)->away);
	TEST_EQ(recorder_access(&rec, 0)->away, 0);
	teardown(&rec, vmm);
}

/* Nobody left KVM_RUN, but the VM's clock was set: a VMM that resumes does that. */
static void away_set_clock(void)
{
	struct kvm_clock_data clock = { .clock = 1000000000 };
	struct recorder rec;
	struct vmm *vmm = setup(&rec, 1, KVM_IOFILTER_PIO, PORT);

	stage = 0;
	vmm_start(vmm, 0, guest_wait_between, 0);
	while (stage != 1)
		usleep(1000);
	TEST_ASSERT(!ioctl(vmm->fd, KVM_SET_CLOCK, &clock), "KVM_SET_CLOCK: %s", strerror(errno));
	stage = 2;
	vmm_join(vmm, 0);
	TEST_ASSERT(recorder_access(&rec, 1)->away > 0, "away is 0 after KVM_SET_CLOCK");
	TEST_EQ(recorder_access(&rec, 0)->away, 0);
	teardown(&rec, vmm);
}

/* Two vCPUs: A is 0, B is 1. */
static volatile int a_in_vmm, a_may_go;

static void hold_a(struct vmm *vmm, struct vmm_access *a)
{
	vmm_io(vmm, a);
	if (a->vcpu == 0 && a->addr == PORT) {
		a_in_vmm = 1;
		while (!a_may_go)
			usleep(1000);
	}
}

static void guest_a_reads(long arg)
{
	(void)arg;
	inl(PORT);
	stage = 1;
	while (stage != 2)
		asm volatile("pause");
}

static void guest_a_writes(long arg)
{
	(void)arg;
	outl(1, PORT);
	stage = 1;
	while (stage != 2)
		asm volatile("pause");
}

static void guest_b(long arg)
{
	(void)arg;
	inl(PORT);
}

static struct vmm *setup_two(struct recorder *rec)
{
	struct vmm *vmm = setup(rec, 2, KVM_IOFILTER_PIO, PORT);

	vmm_run(vmm, 0, guest_warm, 0);
	vmm_run(vmm, 1, guest_warm, 0);
	vmm_run(vmm, 0, guest_warm, 0);
	vmm_run(vmm, 1, guest_warm, 0);
	stage = a_in_vmm = a_may_go = 0;
	vmm->io = hold_a;
	return vmm;
}

static void two_vcpus_read(void)
{
	struct recorder rec;
	struct vmm *vmm = setup_two(&rec);
	const struct kvm_iofilter_sample *s;
	__u64 n = rec.r->nr_samples;

	vmm_start(vmm, 0, guest_a_reads, 0);
	while (!a_in_vmm)
		usleep(1000);

	/* A's answer is still in the VMM: it orders nothing. */
	vmm_run(vmm, 1, guest_b, 0);
	TEST_EQ(rec.r->nr_samples, n);
	TEST_EQ(recorder_access(&rec, 0)->vcpu, 1);
	TEST_EQ(recorder_access(&rec, 0)->flags & KVM_IOFILTER_REQ_BUSY, 0);

	/* A has consumed it and goes on in the guest: B's access settles it. */
	a_may_go = 1;
	while (stage != 1)
		usleep(1000);
	n = rec.r->nr_samples;
	vmm_run(vmm, 1, guest_b, 0);
	TEST_EQ(recorder_access(&rec, 0)->flags & KVM_IOFILTER_REQ_BUSY, 0);
	TEST_ASSERT(rec.r->nr_samples > n, "B's access did not settle A's answer");
	s = recorder_sample(&rec, 0);
	if (s->vcpu != 0)
		s = recorder_sample(&rec, 1);
	TEST_EQ(s->vcpu, 0);
	TEST_EQ(s->flags, KVM_IOFILTER_SAMPLE_OTHER);
	TEST_EQ(s->val, vmm_val & 0xffffffff);
	TEST_ASSERT(s->t1 >= recorder_access(&rec, 0)->now, "t1 is before B's access");
	stage = 2;
	vmm_join(vmm, 0);
	teardown(&rec, vmm);
}

static void two_vcpus_write(void)
{
	struct recorder rec;
	struct vmm *vmm = setup_two(&rec);
	const struct kvm_iofilter_sample *s;
	__u64 n;

	vmm_run(vmm, 1, guest_b, 0); /* settles the writes before this one */
	n = rec.r->nr_written;
	vmm_start(vmm, 0, guest_a_writes, 0);
	while (!a_in_vmm)
		usleep(1000);
	vmm_run(vmm, 1, guest_b, 0);
	TEST_EQ(recorder_access(&rec, 0)->vcpu, 1);
	TEST_ASSERT(recorder_access(&rec, 0)->flags & KVM_IOFILTER_REQ_BUSY, "a write in flight does not make a read busy");
	TEST_EQ(rec.r->nr_written, n);
	a_may_go = 1;
	while (stage != 1)
		usleep(1000);
	vmm_run(vmm, 1, guest_b, 0);
	TEST_EQ(recorder_access(&rec, 0)->flags & KVM_IOFILTER_REQ_BUSY, 0);
	/* And the program is told that it is done, once. */
	TEST_EQ(rec.r->nr_written, n + 1);
	s = &rec.r->written[n % RECORD_MAX];
	TEST_EQ(s->flags, KVM_IOFILTER_SAMPLE_WRITE);
	TEST_EQ(s->vcpu, 0);
	TEST_EQ(s->addr, PORT);
	TEST_EQ(s->len, 4);
	TEST_ASSERT(s->t0 < s->t1 && s->t1 >= recorder_access(&rec, 0)->now, "done at %llu, B read at %llu", s->t1,
		    recorder_access(&rec, 0)->now);
	stage = 2;
	vmm_join(vmm, 0);
	teardown(&rec, vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "values", values },
		{ "each_once", each_once },
		{ "lost", lost },
		{ "before_a_write", before_a_write },
		{ "away_immediate_exit", away_immediate_exit },
		{ "away_signal", away_signal },
		{ "away_set_clock", away_set_clock },
		{ "two_vcpus_read", two_vcpus_read },
		{ "two_vcpus_write", two_vcpus_write },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
