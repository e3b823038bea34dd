// SPDX-License-Identifier: GPL-2.0
/*
 * Programs of random accesses to the HPET, run by the guest without and with the filter on the real module and KVM: in a VM of our own, and
 * on stock QEMU. Two more devices of the same kind get the same writes: one as late, one as early as they can have come. What the
 * guest has read lies between the two, or is what both show.
 */
#include "hpet.h"
#include "kvmclock.h"
#include "minimise.h"
#include "qemu_filter.h"

#define MAX_OPS 64

#define TIMER(n)   REG(HPET_TIMERS + 0x20 * (n))
#define TIMER_ACTS 0x400eULL /* INT_TYPE, INT_ENB, TYPE, FSB_EN */

static struct op {
	enum { OP_READ, OP_WRITE, OP_HOT } op;
	__u32 offset, len;
	__u64 val;
} ops[MAX_OPS];

/* Of a hot loop, the last. */
static struct result {
	__u64 val, before, after; /* the guest's time, then the VM's clock */
} results[MAX_OPS];

static unsigned int nr_ops;
static struct run run;
static char why[256];

static struct qemu *qemu; /* the programs run on it; else in run.vmm */

static __u64 guest_access(__u32 offset, __u32 len, bool write, __u64 val)
{
	switch (len * 2 + write) {
	case 2: return mmio_read(__u8, REG(offset));
	case 3: mmio_write(__u8, REG(offset), val); return 0;
	case 4: return mmio_read(__u16, REG(offset));
	case 5: mmio_write(__u16, REG(offset), val); return 0;
	case 8: return mmio_read(__u32, REG(offset));
	case 9: mmio_write(__u32, REG(offset), val); return 0;
	case 16: return mmio_read(__u64, REG(offset));
	default: mmio_write(__u64, REG(offset), val); return 0;
	}
}

static void guest_program(long arg)
{
	unsigned int i;
	int n;

	(void)arg;
	for (i = 0; i < nr_ops; i++) {
		const struct op *o = &ops[i];
		struct result *r = &results[i];

		for (n = o->op == OP_HOT ? 41 : 1; n; n--) {
			r->before = guest_time();
			r->val = guest_access(o->offset, o->len, o->op == OP_WRITE, o->val);
			r->after = guest_time();
		}
	}
}

static bool touches_counter(const struct op *o)
{
	return o->offset < HPET_MAIN_CNT + 8 && o->offset + o->len > HPET_MAIN_CNT;
}

static void random_ops(void)
{
	static const struct { __u32 offset, len; } usual[] = {
		{ HPET_MAIN_CNT, 8 }, { HPET_MAIN_CNT, 4 }, { HPET_MAIN_CNT + 4, 4 }, { HPET_GCAP_ID, 8 }, { HPET_GCAP_ID + 4, 4 },
		{ HPET_GEN_CONF, 4 }, { HPET_GEN_CONF, 8 }, { HPET_TIMERS + 8, 8 }, { HPET_STATUS, 4 },
	};
	unsigned int i, which;

	nr_ops = 16 + random() % (MAX_OPS - 16);
	for (i = 0; i < nr_ops; i++) {
		struct op *o = &ops[i];

		which = random() % ARRAY_SIZE(usual);
		*o = (struct op){ .op = random() % 4 ? OP_READ : OP_HOT, .offset = usual[which].offset, .len = usual[which].len };
		if (o->op == OP_HOT && which > 2)
			o->op = OP_READ;
		if (!(random() % 10)) {
			o->op = OP_READ;
			o->len = 1 << random() % 4;
			o->offset = random() % (HPET_LEN - 8);
		}
		/* What QEMU makes of others depends on its version. */
		if (qemu) {
			o->len = o->len < 8 ? 4 : 8;
			o->offset &= ~(o->len - 1);
		}
		if (random() % 8)
			continue;
		o->op = OP_WRITE;
		switch (random() % 4) {
		case 0:
			*o = (struct op){ OP_WRITE, HPET_MAIN_CNT, 8, random() };
			break;
		case 1:
			*o = (struct op){ OP_WRITE, HPET_MAIN_CNT + (random() & 4), 4, random() % 64 };
			break;
		case 2:
			*o = (struct op){ OP_WRITE, HPET_TIMERS + 8 * (random() % 12), 8, random() };
			/* QEMU's timers run: their status, their periods and their messages would come at any time. */
			if (qemu && !(o->offset & 0x1f))
				o->val &= ~TIMER_ACTS;
			break;
		default:
			*o = (struct op){ OP_WRITE, HPET_GEN_CONF, 4, random() % 4 };
		}
	}
}

/* All of it, or a half. */
static bool is_counter(const struct op *o)
{
	return (o->offset == HPET_MAIN_CNT && o->len >= 4) || (o->offset == HPET_MAIN_CNT + 4 && o->len == 4);
}

static __u64 twin_now;
static bool splits; /* as QEMU up to 9.0 */

static __u64 twin_clock(void *unused)
{
	(void)unused;
	return twin_now;
}

static __u64 read_at(struct hpet *twin, const struct op *o, __u64 ns)
{
	twin_now = ns;
	return hpet_read(twin, o->offset, o->len);
}

static void write_at(struct hpet *twin, const struct op *o, __u64 ns)
{
	twin_now = ns;
	hpet_write(twin, o->offset, o->val, o->len);
}

/* Half a counter, or all of it, that has gone from what @early shows at @since to what @late does after the access. */
static bool between(struct hpet *early, struct hpet *late, const struct op *o, const struct result *r, __u64 since)
{
	const struct op whole = { .offset = HPET_MAIN_CNT, .len = 8 };
	__u64 from = read_at(early, &whole, since), to = read_at(late, &whole, r->after);

	if (o->len == 8)
		return r->val >= from && r->val <= to;
	if (o->offset == HPET_MAIN_CNT)
		return (__u32)(r->val - from) <= to - from;
	return r->val >= from >> 32 && r->val <= to >> 32;
}

/* @lag: an answer may be so much older than the access. Return: the access that is wrong, with a reason in @why; or -1. */
static int judge(__u64 lag)
{
	struct hpet early = { .clock = twin_clock, .split = splits }, late = early;
	bool known = true; /* the counter, from one to the other */
	__u64 want, since, started = 0;
	unsigned int i;

	hpet_reset(&early);
	hpet_reset(&late);
	for (i = 0; i < nr_ops; i++) {
		const struct op *o = &ops[i];
		const struct result *r = &results[i];

		if (o->op == OP_WRITE) {
			/* A counter that begins to run later is behind; one that is halted later is not. */
			bool halts = o->offset == HPET_GEN_CONF && !(o->val & HPET_ENABLE_CNF);

			/* When it shows what it starts with, and before which it has no time. */
			if (!(early.config & HPET_ENABLE_CNF))
				started = r->after;
			write_at(&early, o, halts ? r->before : r->after);
			write_at(&late, o, halts ? r->after : r->before);
			if (touches_counter(o) && o->len == 8 && !(early.config & HPET_ENABLE_CNF))
				known = true;
			/* Half of it was written, and the other half is not certain. */
			if (early.counter > late.counter)
				known = false;
			continue;
		}
		if (is_counter(o)) {
			since = r->before - lag > started ? r->before - lag : started;
			if (!known || between(&early, &late, o, r, since))
				continue;
			snprintf(why, sizeof(why), "%u bytes at %#x: %#llx is not between %#llx and %#llx", o->len, o->offset, r->val,
				 read_at(&early, o, since), read_at(&late, o, r->after));
			return i;
		}
		want = read_at(&late, o, r->after);
		/* A piece of a counter that runs, or is not known. */
		if (r->val == want || (touches_counter(o) && (!known || want != read_at(&early, o, r->before))))
			continue;
		snprintf(why, sizeof(why), "%u bytes at %#x: got %#llx, wanted %#llx", o->len, o->offset, r->val, want);
		return i;
	}
	return -1;
}

/* As a reset leaves it. (But for what a reset leaves in QEMU, which is the interrupt status.) */
static void guest_reset(long unused)
{
	int i;

	(void)unused;
	mmio_write(__u32, REG(HPET_GEN_CONF), 0);
	mmio_write(__u32, REG(HPET_MAIN_CNT), 0);
	mmio_write(__u32, REG(HPET_MAIN_CNT + 4), 0);
	mmio_write(__u32, REG(HPET_STATUS), ~0U);
	for (i = 0; i < HPET_NR_TIMERS; i++) {
		mmio_write(__u32, TIMER(i), 0);
		mmio_write(__u32, TIMER(i) + 8, ~0U);
		mmio_write(__u32, TIMER(i) + 12, ~0U);
		mmio_write(__u32, TIMER(i) + 16, 0);
		mmio_write(__u32, TIMER(i) + 20, 0);
	}
}

/* Return: as judge(). */
static int execute(void)
{
	unsigned int i;
	__s64 offset;

	if (qemu) {
		qemu_run(qemu, guest_reset, 0);
		qemu_run(qemu, guest_program, 0);
		offset = 0;
	} else {
		/* No VM is reset in less than the longest absence that is none. */
		usleep(6000);
		hpet_reset(&device);
		vmm_run(run.vmm, 0, guest_program, 0);
		kvmclock_learn(run.vmm);
		offset = kvm_clock_offset + clock_offset;
	}
	for (i = 0; i < nr_ops; i++) {
		results[i].before += offset - SLOP_NS;
		results[i].after += offset + SLOP_NS;
	}
	return judge(run.clk ? run.clk->bracket : 0);
}

/* In a VM nothing happens twice in the same way: a few tries. */
static int again(int n)
{
	int i, at = -1;

	nr_ops = n;
	for (i = 0; i < 3 && at < 0; i++)
		at = execute();
	return at;
}

static void fail(unsigned int program, const char *how, int at)
{
	unsigned int i;

	fprintf(stderr, "program %u, %s, access %d: %s\n", program, how, at, why);
	at = again(minimise(ops, at + 1, sizeof(*ops), INT_MAX, again));
	fprintf(stderr, "the least that does it%s:\n", at < 0 ? " (not this time)" : "");
	for (i = 0; i < nr_ops; i++)
		fprintf(stderr, "  %8llu us: %s %u bytes at %#05x%s %#llx; took %llu us\n", (results[i].before - results[0].before) / 1000,
			ops[i].op == OP_WRITE ? "write" : ops[i].op == OP_HOT ? "the last of 41 reads," : "read", ops[i].len, ops[i].offset,
			ops[i].op == OP_WRITE ? "," : " ->", ops[i].op == OP_WRITE ? ops[i].val : results[i].val,
			(results[i].after - results[i].before) / 1000);
	TEST_FAIL("%s", why);
}

/* @n programs. Return: how many accesses have come to the VMM. */
static unsigned long series(unsigned int n, const char *how)
{
	unsigned int i;
	int at;

	hpet_exits = 0;
	for (i = 0; i < n; i++) {
		random_ops();
		at = execute();
		if (at >= 0)
			fail(i, how, at);
	}
	return hpet_exits;
}

static void setup_machine(void)
{
	setup_device(&run, 1);
	kvmclock_off();
	kvmclock_learn(run.vmm);
}

static void programs(void)
{
	unsigned int n = test_count(400, 2000), seed = test_seed();
	unsigned long alone, filtered;

	printf("   SEED=%u, %u programs\n", seed, n);
	setup_machine();
	srandom(seed);
	alone = series(n, "without the filter");
	srandom(seed);
	attach(&run);
	filtered = series(n, "with the filter");
	report(&run, "programs");
	TEST_EQ(filtered + answered(&run), alone);
	TEST_ASSERT(answered(&run) > alone / 20, "only %lu of %lu were answered", answered(&run), alone);
	TEST_EQ(run.clk->fuse, IOFILTER_FUSE_OK);
	teardown(&run);
}

static void programs_qemu(void)
{
	unsigned int n = test_count(100, 2000), seed = test_seed();
	int version = qemu_version();
	struct iofilter *f;
	__u64 reads;

	printf("   SEED=%u, %u programs on stock QEMU\n", seed, n);
	memset(&run, 0, sizeof(run));
	kvmclock_off();
	splits = version < 901;
	qemu = qemu_start("q35");
	qemu_run(qemu, guest_kvmclock_on, 0);
	srandom(seed);
	series(n, "on QEMU without the filter");
	f = qemu_attach(qemu, "hpet");
	run.h = iofilter_state(f);
	run.clk = &run.h->counter.clock;
	srandom(seed);
	series(n, "on QEMU with the filter");
	reads = run.h->counter.verdicts[IOFILTER_PUNT_UNPROVEN] + run.h->counter.vcpus[0].answered;
	printf("   QEMU %d: %llu reads answered, bracket %llu us\n", version, run.h->counter.vcpus[0].answered, run.clk->bracket / 1000);
	TEST_ASSERT(run.h->counter.vcpus[0].answered > reads / 10, "of %llu", reads);
	TEST_EQ(run.clk->fuse, IOFILTER_FUSE_OK);
	qemu_detach(f);
	qemu_end(qemu);
	qemu = NULL;
	splits = false;
}

/* A test that cannot fail shows nothing: answers that are a little wrong are found. */
static void mutants(void)
{
	unsigned int i, kind, found, n = 200;

	setup_machine();
	for (kind = 0; kind < 3; kind++) {
		for (i = found = 0; i < n; i++) {
			unsigned int k;

			random_ops();
			TEST_ASSERT(execute() < 0, "%s", why);
			/* The first read of the counter: from the future, from long ago, or the wrong half of it. */
			for (k = 0; k < nr_ops && (ops[k].op == OP_WRITE || !is_counter(&ops[k])); k++)
				;
			if (k == nr_ops)
				continue;
			results[k].val = kind == 0 ? results[k].val + 100000 : kind == 1 ? results[k].val - 1000000 : ~results[k].val;
			found += judge(0) >= 0;
		}
		printf("   %u of %u found\n", found, n);
		TEST_ASSERT(found > n / 2, "kind %u: %u of %u", kind, found, n);
	}
	teardown(&run);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "mutants", mutants },
		{ "programs", programs },
		{ "qemu", programs_qemu },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
