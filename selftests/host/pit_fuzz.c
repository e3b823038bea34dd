// SPDX-License-Identifier: GPL-2.0
/*
 * Random guests against the PIT's fast path (pitsim.h), judged after each access (pitjudge.h). A program that fails is made small and printed.
 *
 * At random accesses the VM is saved, and goes on with a filter that was just attached and has restored what was saved, on a host with another
 * CLOCK_MONOTONIC: what is in flight then must come out as if nothing had been.
 */
#include "pitsim.h"

#define MAX_OPS 700

static struct sim total;

/* --- programs --- */

struct gen {
	struct op *ops;
	int n, vcpus;
	uint32_t think;
	int rw[3];
};

static void emit(struct gen *g, int write, int port, int val)
{
	struct op *op = &g->ops[g->n];
	uint64_t r = rnd();

	if (g->n == MAX_OPS)
		return;
	g->n++;
	*op = (struct op){
		.write = write, .port = port, .val = val, .len = 1,
		.vcpu = g->vcpus > 1 && rnd() % 16 == 0,
		.think = 100 + rnd() % g->think,
		.in = 500 + rnd() % 3000,
		.out = 500 + rnd() % 3000,
	};
	if (r % 97 == 0)
		op->think = rnd() % 3000000;
	else if (r % 997 == 0)
		op->think = rnd() % 4000000000;
	if (r % 101 == 1)
		op->in += rnd() % 200000;
	if (r % 499 == 2)
		op->pause = 100000 + rnd() % (rnd() % 8 ? 1000000 : 10000000000);
	if (r % 4999 == 3) {
		op->pause = 200000;
		op->reset = 1;
	}
	if (r % 1999 == 4)
		op->len = 2;
	if (r % 701 == 6)
		op->host = IOFILTER_NSEC_PER_SEC + rnd() % (rnd() % 2 ? 20 : 1000000) * IOFILTER_NSEC_PER_SEC + rnd() % IOFILTER_NSEC_PER_SEC;
	if (r % 1999 == 5)
		op->string = 2 + rnd() % 3;
}

static void gen_program(struct gen *g, int ch)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 191, 1000, 1193, 11932, 11933, 0x1000, 65535 };
	int rw = rnd() % 4 ? 3 : 1 + rnd() % 2, count = rnd() % 3 ? counts[rnd() % ARRAY_SIZE(counts)] : (int)(rnd() & 0xffff);

	g->rw[ch] = rw;
	emit(g, 1, PIT_CONTROL, ch << 6 | rw << 4 | (rnd() & 0xf));
	if (rw & 1)
		emit(g, 1, PIT_PORT + ch, count);
	if (rw & 2)
		emit(g, 1, PIT_PORT + ch, count >> 8);
}

static void gen_reads(struct gen *g, int ch, int n)
{
	while (n--)
		emit(g, 0, PIT_PORT + ch, 0);
}

static void gen_ops(struct gen *g)
{
	int ch = rnd() % 3, i, n = 1 + rnd() % 12;

	switch (rnd() % 10) {
	case 0:
		gen_program(g, ch);
		break;
	case 1:
		gen_program(g, 2);
		emit(g, 1, PIT_SYSTEM, rnd() & 3);
		for (i = 0; i < n; i++)
			emit(g, 0, PIT_SYSTEM, 0);
		break;
	case 2: case 3: case 4:
		for (i = 0; i < n; i++) {
			emit(g, 1, PIT_CONTROL, ch << 6);
			gen_reads(g, ch, rnd() % 8 ? (g->rw[ch] == 3 ? 2 : 1) : rnd() % 4);
		}
		break;
	case 5:
		emit(g, 1, PIT_CONTROL, 0xc0 | (rnd() & 0x3e));
		for (i = rnd() % 8; i > 0; i--)
			gen_reads(g, rnd() % 3, 1);
		break;
	case 6:
		gen_reads(g, ch, rnd() % 3 ? n : 150);
		break;
	case 7:
		for (i = 0; i < n; i++)
			emit(g, 0, PIT_SYSTEM, 0);
		break;
	case 8:
		emit(g, 1, rnd() % 3 ? PIT_SYSTEM : PIT_PORT + ch, rnd());
		break;
	default:
		for (i = rnd() % 4; i > 0; i--)
			emit(g, rnd() & 1, rnd() % 5 ? PIT_PORT + rnd() % 4 : PIT_SYSTEM, rnd());
	}
}

static int generate(struct op *ops)
{
	struct gen g = { .ops = ops, .vcpus = 1 + (rnd() % 4 == 0), .think = 1 << (8 + rnd() % 8) };
	int ch, want = 20 + rnd() % 300;

	for (ch = 0; ch < 3; ch++)
		gen_reads(&g, ch, 3);
	for (ch = 0; ch < 3; ch++)
		if (rnd() % 8)
			gen_program(&g, ch);
	if (rnd() % 2)
		emit(&g, 0, PIT_SYSTEM, 0);
	while (g.n < want)
		gen_ops(&g);
	return g.n;
}

/* --- a failure, made small --- */

static int minimise(struct sim *s, struct op *ops, int n)
{
	const char *what = s->wrong;
	struct op less[MAX_OPS];
	int i, m, len, progress = 1;

	for (len = n / 2; len >= 1; len = progress ? len : len / 2) {
		progress = 0;
		for (i = 0; i + len <= n; i++) {
			memcpy(less, ops, i * sizeof(*ops));
			memcpy(less + i, ops + i + len, (n - i - len) * sizeof(*ops));
			/* The time that they took stays. */
			m = run(s, less, n - len);
			if (m < 0 || s->wrong != what)
				continue;
			n = m + 1;
			memcpy(ops, less, n * sizeof(*ops));
			progress = 1;
		}
	}
	return n;
}

static void trace(struct sim *s, struct op *ops, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		printf("#  vcpu %d, %u ns later", ops[i].vcpu, ops[i].think);
		if (ops[i].pause)
			printf(", stopped for %llu ns", (unsigned long long)ops[i].pause);
		if (ops[i].reset)
			printf(", reset");
		printf(": %s 0x%02x", ops[i].write ? "out" : "in", ops[i].port);
		if (ops[i].write)
			printf(", 0x%02x", ops[i].val);
		if (ops[i].len != 1)
			printf(" (%d bytes)", ops[i].len);
		if (ops[i].string)
			printf(" (string of %d)", ops[i].string);
		printf("; if punted %u + %u ns\n", ops[i].in, ops[i].out);
	}
	run(s, ops, n);
	printf("#  %s\n", s->wrong);
}

static void random_programs(void **state)
{
	unsigned long i, n = restore_mutant ? 50000 : 100000 * scale(), cuts = 0, with_cuts = 0;
	struct op ops[MAX_OPS];
	uint64_t seed_of;
	struct sim s;
	int len;

	(void)state;
	for (i = 0; i < n; i++) {
		seed_of = rnd_state;
		len = generate(ops);
		if (run(&s, ops, len) >= 0) {
			assert_false(restore_mutant);
			printf("# program %lu, SEED=%llu: %s; the least that does it:\n", i, (unsigned long long)seed_of, s.wrong);
			len = minimise(&s, ops, s.at + 1);
			trace(&s, ops, len);
			fail_msg("program %lu", i);
		}
		total.answered += s.answered;
		total.punted += s.punted;
		total.handled_writes += s.handled_writes;
		total.live += s.live;
		total.pairs += s.pairs;
		total.latched += s.latched;
		total.status += s.status;
		total.system += s.system;
		total.folded += s.folded;
		cuts += s.nr_cuts;
		with_cuts += !!s.nr_cuts;
		total.odd_ended += s.odd_ended;
		total.odd_cut += s.odd_cut;
		restore_count.programs += !!s.saves;
		restore_count.answered += s.saves ? s.answered - s.answered_before : 0;
	}
	printf("# %lu programs: %llu answered (%llu unlatched, of these %llu MSBs of pairs, %llu latched, %llu status, %llu of port 0x61, "
	       "%llu latch commands), %llu punted, %lu cuts in %lu programs; %llu moments with something in flight\n", n, (unsigned long long)total.answered,
	       (unsigned long long)total.live, (unsigned long long)total.pairs, (unsigned long long)total.latched,
	       (unsigned long long)total.status, (unsigned long long)total.system, (unsigned long long)total.handled_writes,
	       (unsigned long long)total.punted, cuts, with_cuts, (unsigned long long)total.folded);
	/* Else it shows nothing. */
	assert_true(total.live > n && total.pairs > n / 20 && total.latched > n && total.status > n / 20 && total.system > n / 2 &&
		    total.folded > n);
	restore_print("pit");
	follow_print("pit");
	assert_true(follow_count.told > 10 * n && follow_count.quiet > n && follow_count.by == 0x3f);
	printf("# of port 0x61 the second of two came just after a save: %llu answered, %llu left to the VMM\n", (unsigned long long)total.odd_ended,
	       (unsigned long long)total.odd_cut);
	assert_true(restore_count.saves >= 1000 && restore_count.in_flight >= 500 && restore_count.answered >= 10000);
}

static int programs(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	static const struct restore_spared spared[] = {
		{}
	};

	seed();
	return programs() || registers_mutants("pit", programs, spared);
}
