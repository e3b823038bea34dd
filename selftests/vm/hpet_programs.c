// SPDX-License-Identifier: GPL-2.0
/*
 * Programs of random accesses to the HPET, run by the guest without and with the filter on the real module and KVM. Two more devices of
 * the same kind get the same writes: one as late, one as early as they can have come. What the guest has read lies between the two, or
 * is what both show.
 */
#include "hpet.h"
#include "tsc.h"

#define MAX_OPS 64

static struct op {
	enum { OP_READ, OP_WRITE, OP_HOT } op;
	__u32 offset, len;
	__u64 val;
} ops[MAX_OPS];

/* Of a hot loop, the last. */
static struct result {
	__u64 val, before, after; /* the guest's TSC, then the VM's clock */
} results[MAX_OPS];

static unsigned int nr_ops;
static struct run run;
static char why[256];

/* The line through two moments is not exact. */
#define SLACK_NS 20000

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
			r->before = tsc_read();
			r->val = guest_access(o->offset, o->len, o->op == OP_WRITE, o->val);
			r->after = tsc_read();
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
	struct hpet early = { .clock = twin_clock }, late = early;
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

/* Return: as judge(). */
static int execute(void)
{
	struct tsc_moment first, second;
	unsigned int i;

	/* No VM is reset in less than the longest absence that is none. */
	usleep(6000);
	hpet_reset(&device);
	first = tsc_moment(run.vmm);
	vmm_run(run.vmm, 0, guest_program, 0);
	second = tsc_moment(run.vmm);
	for (i = 0; i < nr_ops; i++) {
		results[i].before = tsc_ns(&first, &second, results[i].before) + clock_offset - SLACK_NS;
		results[i].after = tsc_ns(&first, &second, results[i].after) + clock_offset + SLACK_NS;
	}
	return judge(run.link ? run.clk->bracket : 0);
}

/* In a VM nothing happens twice in the same way: a few tries. */
static int again(void)
{
	int i, at = -1;

	for (i = 0; i < 3 && at < 0; i++)
		at = execute();
	return at;
}

static void fail(unsigned int program, const char *how, int at)
{
	struct op all[MAX_OPS];
	unsigned int i, len, n;

	fprintf(stderr, "program %u, %s, access %d: %s\n", program, how, at, why);
	nr_ops = at + 1;
	for (len = nr_ops / 2; len >= 1; len /= 2)
		for (i = 0; i + len <= nr_ops;) {
			n = nr_ops;
			memcpy(all, ops, sizeof(ops));
			memmove(ops + i, ops + i + len, (n - i - len) * sizeof(*ops));
			nr_ops = n - len;
			at = again();
			if (at >= 0) {
				nr_ops = at + 1;
				continue;
			}
			memcpy(ops, all, sizeof(ops));
			nr_ops = n;
			i += len;
		}
	at = again();
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

static void programs(void)
{
	unsigned int n = 2000 * test_scale(), seed = test_seed();
	unsigned long alone, filtered;

	printf("   SEED=%u, %u programs\n", seed, n);
	setup_device(&run, 1);
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

/* A test that cannot fail shows nothing: answers that are a little wrong are found. */
static void mutants(void)
{
	unsigned int i, kind, found, n = 200;

	setup_device(&run, 1);
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
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
