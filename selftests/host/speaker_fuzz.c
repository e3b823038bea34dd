// SPDX-License-Identifier: GPL-2.0
/*
 * Random guests of up to three vCPUs against the fast path of port 0x61 beside KVM's PIT (speakersim.h), on VMMs of several kinds. A guest that
 * fails is made small and printed. Some stops are such that the VM is saved, and goes on with a filter that was just attached and has restored
 * what was saved.
 */
#include "speakersim.h"

#define MAX_OPS 400

/* --- programs --- */

struct gen {
	struct op *ops;
	int n, vcpus;
	uint32_t think;
	int vcpu;
};

static struct op *emit(struct gen *g, int kind, int port, int val)
{
	struct op *op = &g->ops[g->n];
	uint64_t r = rnd();

	if (g->n == MAX_OPS)
		return op - 1;
	g->n++;
	if (g->vcpus > 1 && rnd() % 6 == 0)
		g->vcpu = rnd() % g->vcpus;
	*op = (struct op){
		.kind = kind, .port = port, .val = val, .vcpu = g->vcpu,
		.think = 100 + rnd() % g->think, .stall = rnd() % 300, .in = 500 + rnd() % 3000, .out = 500 + rnd() % 3000,
		.lose = r % 53 == 0, .locked = g->vcpus > 1 && r % 211 == 5,
	};
	if (r % 97 == 1)
		op->think = rnd() % 3000000;
	else if (r % 997 == 2)
		op->think = rnd() % 400000000;
	if (r % 101 == 3)
		op->in += rnd() % 200000;
	if (r % 103 == 4)
		op->stall += rnd() % 100000;
	return op;
}

static void gen_load(struct gen *g)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 1193, 11932, 11933, 59659, 65535 };
	static const int modes[] = { 0, 0, 0, 3, 3, 2, 4, 5, 1, 6, 7 };
	int count = rnd() % 3 ? counts[rnd() % ARRAY_SIZE(counts)] : (int)(rnd() & 0xffff);

	if (rnd() % 4)
		emit(g, PIT_WRITE, PIT_CONTROL, 0xb0 | modes[rnd() % ARRAY_SIZE(modes)] << 1);
	emit(g, PIT_WRITE, PIT_PORT + 2, count);
	emit(g, PIT_WRITE, PIT_PORT + 2, count >> 8);
}

static void gen_reads(struct gen *g, int n)
{
	while (n--)
		emit(g, READ, PIT_SYSTEM, 0);
}

static void gen_ops(struct gen *g)
{
	struct op *op;

	switch (rnd() % 12) {
	case 0: case 1:
		/* As Linux calibrates. */
		gen_reads(g, 1);
		emit(g, WRITE, PIT_SYSTEM, rnd() & 3);
		gen_load(g);
		gen_reads(g, 1 + rnd() % 40);
		break;
	case 2:
		gen_load(g);
		break;
	case 3:
		emit(g, WRITE, PIT_SYSTEM, rnd());
		break;
	case 4:
		emit(g, EXIT, 0, 0);
		break;
	case 5:
		emit(g, rnd() % 4 ? EXIT : HPET, 0, 0);
		break;
	case 6:
		if (rnd() % 4 == 0) {
			op = emit(g, PAUSE, 0, 0);
			op->pause = 100000 + rnd() % (rnd() % 8 ? 1000000 : 10000000000);
			op->load = rnd() % 3 == 0;
			op->pause += op->load ? SPEAKER_LOAD_NS : 0;
			op->reset = rnd() % 8 == 0;
			op->save = !op->load && !op->reset && rnd() % 4 == 0;
		}
		break;
	case 7:
		if (rnd() % 8 == 0)
			emit(g, rnd() & 1 ? STRING_READ : STRING_WRITE, PIT_SYSTEM, rnd());
		break;
	default:
		gen_reads(g, 1 + rnd() % 12);
	}
}

static int generate(struct op *ops)
{
	struct gen g = { .ops = ops, .vcpus = rnd() % 3 ? 1 : 2 + rnd() % (NR_VCPUS - 1), .think = 1 << (8 + rnd() % 8) };
	int want = 20 + rnd() % 200;

	while (g.n < want)
		gen_ops(&g);
	return g.n;
}

/* --- a failure, made small --- */

static int minimise(struct sim *s, struct op *ops, int n, enum vmm vmm, uint64_t world)
{
	const char *what = s->wrong;
	int i, j, len, left = 0;

	for (len = n / 2 ?: 1; len >= 1; len /= 2)
		for (i = 0; i + len <= n; i++) {
			struct op was[MAX_OPS];

			memcpy(was, ops, n * sizeof(*ops));
			for (j = i; j < i + len; j++)
				ops[j].skip = 1;
			if (run(s, ops, n, vmm, world) < 0 || s->wrong != what)
				memcpy(ops, was, n * sizeof(*ops));
		}
	for (i = 0; i < n; i++)
		if (!ops[i].skip)
			ops[left++] = ops[i];
	return left;
}

static void trace(struct sim *s, struct op *ops, int n, enum vmm vmm, uint64_t world)
{
	static const char *const kinds[] = { "in 0x61", "out 0x61", "out", "another exit", "an HPET write", "stop and go on",
					     "ins 0x61", "outs 0x61" };
	int i;

	for (i = 0; i < n; i++) {
		printf("#  vcpu %d, %u ns later: %s", ops[i].vcpu, ops[i].think, kinds[ops[i].kind]);
		if (ops[i].kind == PIT_WRITE)
			printf(" 0x%02x", ops[i].port);
		if (ops[i].kind != READ && ops[i].kind != EXIT)
			printf(", 0x%02x", ops[i].val);
		printf("%s%s%s; stalled %u, if punted %u + %u ns\n", ops[i].load ? ", loaded" : ops[i].save ? ", saved and restored" : "", ops[i].reset ? ", reset" : "",
		       ops[i].locked ? ", lock taken" : "", ops[i].stall,
		       ops[i].in, ops[i].out);
	}
	run(s, ops, n, vmm, world);
	printf("#  %s\n", s->wrong ? s->wrong : "(not so when made small)");
}

static void random_programs(void **state)
{
	unsigned long i, n = restore_mutant ? 50000 : 100000 * scale(), programs[4] = {}, with_cuts = 0;
	uint64_t timed[2] = {}, answered = 0, forced = 0, punted = 0, edges = 0, cuts = 0, string_cuts = 0, fused = 0;
	static struct op ops[MAX_OPS];
	static struct sim s;
	uint64_t seed_of, world;
	enum vmm vmm;
	int len;

	(void)state;
	for (i = 0; i < n; i++) {
		seed_of = rnd_state;
		vmm = rnd() % 32 ? (rnd() & 1 ? QEMU : QEMU7) : rnd() & 1 ? CONSTANT : TIMED;
		world = rnd();
		len = generate(ops);
		if (run(&s, ops, len, vmm, world) >= 0) {
			assert_false(restore_mutant);
			printf("# program %lu, SEED=%llu, VMM %d: %s; the least that does it:\n", i, (unsigned long long)seed_of, vmm, s.wrong);
			len = minimise(&s, ops, len, vmm, world);
			trace(&s, ops, len, vmm, world);
			fail_msg("program %lu", i);
		}
		programs[vmm]++;
		if (vmm == TIMED) {
			timed[0] += s.answered;
			timed[1] += s.punted;
			continue;
		}
		answered += s.answered;
		forced += s.forced;
		punted += s.punted;
		edges += s.edges;
		cuts += s.cuts + s.cuts_before;
		string_cuts += s.string_cuts;
		with_cuts += !!(s.cuts + s.cuts_before);
		restore_count.programs += !!s.saves;
		restore_count.answered += s.saves ? s.answered - s.answered_before : 0;
		fused += s.p.proof == IOFILTER_FUSED;
		if (s.p.proof == IOFILTER_FUSED && vmm != CONSTANT)
			fail_msg("program %lu, SEED=%llu: the fuse blew on a QEMU", i, (unsigned long long)seed_of);
	}
	printf("# %lu programs (QEMU %lu, its mode 1 as in 7 %lu, other VMMs %lu): %llu answered, %llu of them second ones, %llu punted, "
	       "%llu edges of mode 0 seen, %llu cuts (%llu by strings) in %lu programs, %llu fuses blown; of a VMM whose bit 4 goes with the time "
	       "%llu answered and %llu punted\n", n, programs[QEMU],
	       programs[QEMU7], programs[CONSTANT] + programs[TIMED], (unsigned long long)answered, (unsigned long long)forced,
	       (unsigned long long)punted, (unsigned long long)edges, (unsigned long long)cuts, (unsigned long long)string_cuts, with_cuts,
	       (unsigned long long)fused, (unsigned long long)timed[0], (unsigned long long)timed[1]);
	/* Else it shows nothing. */
	assert_true(answered > 20 * n && answered > punted / 2 && edges > n / 8 && fused > programs[CONSTANT] / 2 &&
		    timed[0] < timed[1] / 100);
	restore_print("speaker");
	follow_print("speaker");
	assert_true(follow_count.told > 5 * n && follow_count.quiet > 5 * n && follow_count.by == 1);
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
	return programs() || registers_mutants("speaker", programs, spared);
}
