// SPDX-License-Identifier: GPL-2.0
/*
 * Random guest programs on the PIT, in a VM with the filter and without. The judge is a device of its own (a twin) that gets every access
 * of the guest: what answers a read (status, latched or unlatched byte), status bits, the gate and the toggle of port 0x61 must be the
 * twin's exactly; a count or an output is one that the twin shows at some time in the read's bracket, which with the filter begins
 * earlier by the clock's. A program that fails is made small and printed.
 *
 * What the filter has cut off (a string read of a count that it has latched) is no failure, but counted: the guest goes on with what
 * the VMM has, and nothing can be said of it any more.
 */
#include <limits.h>
#include "pit.h"

#define MAX_OPS 4096
#define CHUNK	10 /* programs on one attach */
#define CUT	INT_MAX
#define LOOSE_NS 3000000 /* of an access that took so long nothing is said */

struct op {
	__u8 write, port, len, string;
	__u32 val, think;
};

static struct op ops[MAX_OPS];
static int nr_ops;

static struct result {
	__u64 before, after;
	__u8 data[4];
} results[MAX_OPS];

/* --- in the guest --- */

static void guest_one(const struct op *op, struct result *r)
{
	__u32 i;
	__u16 w;

	for (i = 0; i < op->think; i++)
		asm volatile("pause");
	for (i = 0; i < sizeof(r->data); i++)
		r->data[i] = op->val;
	r->before = guest_time();
	if (op->string && op->write)
		guest_outs(op->port, r->data, op->string, 1);
	else if (op->string)
		guest_ins(op->port, r->data, op->string, 1);
	else if (op->write && op->len == 2)
		outw(op->val << 8 | op->val, op->port);
	else if (op->write)
		outb(op->val, op->port);
	else if (op->len == 2)
		w = inw(op->port), r->data[0] = w, r->data[1] = w >> 8;
	else
		r->data[0] = inb(op->port);
	r->after = guest_time();
}

static void guest_run(long arg)
{
	int i;

	for (i = arg >> 32; i < (int)arg; i++)
		guest_one(&ops[i], &results[i]);
}

/* --- the judge --- */

static struct {
	struct pit twin; /* its clock is the end of the access */
	__u64 load_from[PIT_CHANNELS]; /* the count was loaded then or later, up to its count_load_time */
	struct latch {
		struct pit_counter c; /* when it was latched */
		__u64 from, to, load_from;
		int lsb;
		int out; /* of a status: 0, 1, -1: either */
	} latch[PIT_CHANNELS], status[PIT_CHANNELS];
	__u64 slack;
	unsigned long exact, bracketed, loose;
	char why[160];
} judge;

/* Ticks since the load go through [@from - load, @to - load_from]: is there one for which @fits? Return: -1, too many to say. */
static int some_moment(const struct pit_counter *c, __u64 load_from, __u64 from, __u64 to,
		       bool (*fits)(const struct pit *p, int ch, __u32 arg), __u32 arg)
{
	struct pit then = { .clock = clock_then };
	__s64 least = from - judge.slack - c->count_load_time, most = to - load_from, e;

	then.counters[0] = *c;
	if (most - least > LOOSE_NS)
		return -1;
	for (e = least < 0 ? 0 : least; e <= most; e += 838) {
		at_ns = c->count_load_time + e;
		if (fits(&then, 0, arg))
			return 1;
	}
	return 0;
}

static bool fits_lsb(const struct pit *p, int ch, __u32 arg)
{
	return (__u8)pit_get_count(p, ch) == arg;
}

static bool fits_msb(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_count(p, ch) >> 8 == (int)arg;
}

static bool fits_word(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_count(p, ch) == arg;
}

static bool fits_out(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_out(p, ch) == arg;
}

static void wrong(const char *what, int got)
{
	if (!judge.why[0])
		snprintf(judge.why, sizeof(judge.why), "%s: got 0x%02x", what, got);
}

static void check_moment(int some, const char *what, int got)
{
	if (some < 0)
		judge.loose++;
	else if (some)
		judge.bracketed++;
	else
		wrong(what, got);
}

/* 0 or 1 if it cannot have been the other; else -1. */
static int out_then(const struct pit_counter *c, __u64 load_from, __u64 from, __u64 to)
{
	int high = some_moment(c, load_from, from, to, fits_out, 1), low = some_moment(c, load_from, from, to, fits_out, 0);

	return high < 0 || low < 0 || high == low ? -1 : high;
}

static void judge_latches(__u8 val, __u64 from, __u64 to)
{
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		struct latch l = { judge.twin.counters[ch], from, to, judge.load_from[ch], -1, -1 };
		bool named = val >> 6 == 3 ? val >> (1 + ch) & 1 : val >> 6 == ch;

		if (!named || (val >> 6 != 3 && PIT_RW(val)))
			continue;
		if (!l.c.count_latched && !(val >> 6 == 3 && val & PIT_RB_COUNT))
			judge.latch[ch] = l;
		if (!l.c.status_latched && val >> 6 == 3 && !(val & PIT_RB_STATUS)) {
			l.out = out_then(&l.c, l.load_from, from, to);
			judge.status[ch] = l;
		}
	}
}

static void judge_write(__u16 port, __u8 val, __u64 from, __u64 to)
{
	__s64 loaded[PIT_CHANNELS];
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		loaded[ch] = judge.twin.counters[ch].count_load_time;
	if (port == PIT_CONTROL)
		judge_latches(val, from, to);
	at_ns = to;
	pit_port_write(&judge.twin, port, val);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		if (judge.twin.counters[ch].count_load_time != loaded[ch])
			judge.load_from[ch] = from;
}

static void judge_latched(int ch, bool msb, __u8 got)
{
	struct latch *l = &judge.latch[ch];
	int some;

	if (msb && l->lsb >= 0)
		some = some_moment(&l->c, l->load_from, l->from, l->to, fits_word, got << 8 | l->lsb);
	else
		some = some_moment(&l->c, l->load_from, l->from, l->to, msb ? fits_msb : fits_lsb, got);
	check_moment(some, msb ? "MSB of the latched count" : "LSB of the latched count", got);
	l->lsb = msb ? -1 : got;
}

static void judge_counter(int ch, __u8 got, __u64 from, __u64 to)
{
	struct pit_counter before = judge.twin.counters[ch];
	__u8 want;
	bool msb;

	at_ns = to;
	want = pit_port_read(&judge.twin, PIT_PORT + ch);
	if (before.status_latched) {
		if ((want ^ got) & ~PIT_STATUS_OUT)
			wrong("status", got);
		else if (judge.status[ch].out >= 0 && judge.status[ch].out != got >> 7)
			wrong("output in the status", got);
		judge.exact++;
	} else if (before.count_latched) {
		judge_latched(ch, before.count_latched == 2, got);
	} else {
		msb = before.read_state == 2 || before.read_state == 4;
		check_moment(some_moment(&before, judge.load_from[ch], from, to, msb ? fits_msb : fits_lsb, got),
			     msb ? "MSB of the count" : "LSB of the count", got);
	}
}

static void judge_system(__u8 got, __u64 from, __u64 to)
{
	int out = out_then(&judge.twin.counters[2], judge.load_from[2], from, to);
	__u8 want;

	at_ns = to;
	want = pit_port_read(&judge.twin, PIT_SYSTEM);
	if ((want ^ got) & ~PIT_61_OUT)
		wrong("gate, speaker or toggle of port 0x61", got);
	else if (out >= 0 && out != !!(got & PIT_61_OUT))
		wrong("output in port 0x61", got);
	judge.exact++;
}

static void judge_port(const struct op *op, __u16 port, __u8 data, __u64 from, __u64 to)
{
	if ((port < PIT_PORT || port > PIT_CONTROL) && port != PIT_SYSTEM)
		return;
	if (op->write)
		judge_write(port, data, from, to);
	else if (port == PIT_SYSTEM)
		judge_system(data, from, to);
	else if (port < PIT_CONTROL)
		judge_counter(port - PIT_PORT, data, from, to);
	else if (data)
		wrong("the control port", data);
}

/* --- one attach --- */

static struct run run;
static struct pit_channel times; /* of the first one: the others need not measure again */
static int with;
static unsigned long long answered;
static unsigned long cuts, odd_shapes;

static void begin(void)
{
	int ch;

	pit_power_on(&device);
	judge.twin = device;
	judge.twin.clock = clock_then;
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		judge.load_from[ch] = device.counters[ch].count_load_time;
	judge.why[0] = 0;
	judge.slack = with ? times.clock.bracket : 0;
	if (!with)
		return;
	memcpy(run.p, fresh, sizeof(*fresh));
	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		struct iofilter_clock *clk = &run.p->channels[ch].clock;

		clk->bracket = times.clock.bracket;
		clk->absence = times.clock.absence;
		clk->expiry = times.clock.expiry;
		clk->calibrating = 0;
	}
	run.link = filter_attach(run.skel->maps.pit_ops);
}

static void end(void)
{
	if (!with)
		return;
	answered += run.p->answered + run.p->commands;
	/* The guest is gone for good: nobody will end it. */
	run.p->head.in_flight = 0;
	bpf_link__destroy(run.link);
	run.link = NULL;
}

/* Run ops [@from, @to) and judge them. Return: the first that is wrong, or CUT, or -1. */
static int execute(int from, int to)
{
	int i, k, n;

	vmm_run(run.vmm, 0, guest_run, (long)from << 32 | to);
	time_learn(run.vmm);
	for (i = from; i < to; i++) {
		const struct result *r = &results[i];

		n = ops[i].string ? ops[i].string : ops[i].len;
		for (k = 0; k < n; k++)
			judge_port(&ops[i], ops[i].port + (ops[i].string ? 0 : k), r->data[k],
				   r->before + kvm_clock_offset - SLOP_NS, r->after + kvm_clock_offset + SLOP_NS);
		if (judge.why[0])
			return with && run.p->head.cut ? CUT : i;
	}
	return -1;
}

/* --- programs, as in host/pit_fuzz.c --- */

static int access_of[PIT_CHANNELS];

static void emit(int write, int port, int val)
{
	long r = random();

	if (nr_ops == MAX_OPS)
		return;
	ops[nr_ops] = (struct op){ .write = write, .port = port, .val = val & 0xff, .len = 1, .think = r % 64 };
	if (r % 97 == 0)
		ops[nr_ops].think = random() % 20000;
	/* What straddles port 0x61 the filter does not see. */
	if (odd_shapes && r % 499 == 1 && port != PIT_SYSTEM)
		ops[nr_ops].len = 2;
	if (odd_shapes && r % 499 == 2)
		ops[nr_ops].string = 2 + random() % 3;
	nr_ops++;
}

static void emit_program(int ch)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 191, 1000, 1193, 11932, 11933, 0x1000, 65535 };
	int rw = random() % 4 ? 3 : 1 + random() % 2, count = random() % 3 ? counts[random() % ARRAY_SIZE(counts)] : random() & 0xffff;

	access_of[ch] = rw;
	emit(1, PIT_CONTROL, ch << 6 | rw << 4 | (random() & 0xf));
	if (rw & 1)
		emit(1, PIT_PORT + ch, count);
	if (rw & 2)
		emit(1, PIT_PORT + ch, count >> 8);
}

static void emit_reads(int port, int n)
{
	while (n-- > 0)
		emit(0, port, 0);
}

static void emit_some(void)
{
	int ch = random() % PIT_CHANNELS, n = 1 + random() % 12, i;

	switch (random() % 10) {
	case 0:
		emit_program(ch);
		break;
	case 1:
		emit_program(2);
		emit(1, PIT_SYSTEM, random() & 3);
		emit_reads(PIT_SYSTEM, n);
		break;
	case 2: case 3: case 4:
		for (i = 0; i < n; i++) {
			emit(1, PIT_CONTROL, ch << 6);
			emit_reads(PIT_PORT + ch, random() % 8 ? (access_of[ch] == 3 ? 2 : 1) : random() % 4);
		}
		break;
	case 5:
		emit(1, PIT_CONTROL, 0xc0 | (random() & 0x3e));
		for (i = random() % 8; i > 0; i--)
			emit_reads(PIT_PORT + random() % PIT_CHANNELS, 1);
		break;
	case 6:
		emit_reads(PIT_PORT + ch, random() % 3 ? n : 150);
		break;
	case 7:
		emit_reads(PIT_SYSTEM, n);
		break;
	case 8:
		emit(1, random() % 3 ? PIT_SYSTEM : PIT_PORT + ch, random());
		break;
	default:
		for (i = random() % 4; i > 0; i--)
			emit(random() & 1, random() % 5 ? PIT_PORT + random() % 4 : PIT_SYSTEM, random());
	}
}

static void generate(void)
{
	int ch, want = nr_ops + 20 + random() % 80;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		emit_reads(PIT_PORT + ch, 3);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		if (random() % 8)
			emit_program(ch);
	if (random() % 2)
		emit(0, PIT_SYSTEM, 0);
	while (nr_ops < want)
		emit_some();
}

/* --- a failure, made small --- */

/* In a VM nothing happens twice in the same way: a few tries. */
static int again(int n)
{
	int i, at = -1;

	for (i = 0; i < 3 && at < 0; i++) {
		begin();
		at = execute(0, n);
		at = at == CUT ? -1 : at;
		end();
	}
	return at;
}

static void minimise(int n)
{
	struct op *all = malloc(sizeof(ops));
	int i, len, at, left = 200;

	for (len = n / 2; len >= 1 && left; len /= 2)
		for (i = 0; i + len <= n && left; ) {
			left--;
			memcpy(all, ops, n * sizeof(*ops));
			memmove(ops + i, ops + i + len, (n - i - len) * sizeof(*ops));
			at = again(n - len);
			if (at >= 0) {
				n = at + 1;
				continue;
			}
			memcpy(ops, all, n * sizeof(*ops));
			i += len;
		}
	free(all);
	at = again(n);
	printf("   the least that does it%s:\n", at < 0 ? " (not this time)" : "");
	for (i = 0; i < n; i++) {
		const struct result *r = &results[i];

		printf("     %6llu us: %s%s 0x%02x", (r->before - results[0].before) / 1000, ops[i].string ? "string " : "",
		       ops[i].write ? "out" : "in", ops[i].port);
		if (ops[i].write)
			printf(", 0x%02x", ops[i].val);
		else
			printf(" -> 0x%02x", r->data[0]);
		printf("%s; took %llu us\n", ops[i].len == 2 ? " (2 bytes)" : "", (r->after - r->before) / 1000);
	}
	printf("     %s\n", judge.why);
}

static void programs(void)
{
	unsigned long i, n = getenv("TORTURE") ? 20000 : 2000 * test_scale(), exits[2];
	const char *s = getenv("SEED");
	unsigned int seed = s ? strtoul(s, NULL, 0) : (unsigned int)time(NULL);
	int from, at;
	__u64 start;

	printf("   SEED=%u, %lu programs without the filter, the same with it\n", seed, n);
	setup_device(&run, 1, 0);
	load(&run);
	/* What the first attach measures: the round trip. */
	run.link = filter_attach(run.skel->maps.pit_ops);
	nr_ops = 0;
	for (i = 0; i < 50; i++)
		emit(0, PIT_PORT, 0);
	emit(1, PIT_CONTROL, PIT_RW_WORD << 4 | 4);
	emit(1, PIT_PORT, 0);
	emit(1, PIT_PORT, 0);
	for (i = 0; i < 50; i++) {
		emit(1, PIT_CONTROL, 0);
		emit_reads(PIT_PORT, 2);
	}
	vmm_run(run.vmm, 0, guest_run, nr_ops);
	times = run.p->channels[0];
	TEST_EQ(times.clock.calibrating, 0);
	report(&run, "measured");
	bpf_link__destroy(run.link);
	run.link = NULL;

	for (with = 0; with < 2; with++) {
		srandom(seed);
		start = now_ns();
		pit_exits = 0;
		judge.exact = judge.bracketed = judge.loose = 0;
		for (i = 0; i < n; i++) {
			if (i % CHUNK == 0) {
				nr_ops = 0;
				odd_shapes = i / CHUNK & 1;
				begin();
			}
			from = nr_ops;
			generate();
			at = execute(from, nr_ops);
			if (at == CUT) {
				cuts++;
				end();
				nr_ops = 0;
				begin();
			} else if (at >= 0) {
				printf("   program %lu (SEED=%u), %s the filter, access %d of %d on this attach: %s\n", i, seed,
				       with ? "with" : "without", at, nr_ops, judge.why);
				end();
				minimise(at + 1);
				TEST_FAIL("program %lu", i);
			}
			if (i % CHUNK == CHUNK - 1)
				end();
		}
		exits[with] = pit_exits;
		printf("   %s: %lu accesses at the VMM, %llu answered; judged %lu exactly, %lu within their bracket, %lu not (too long); "
		       "%llu s\n",
		       with ? "with" : "without", exits[with], with ? answered : 0, judge.exact, judge.bracketed, judge.loose,
		       (now_ns() - start) / 1000000000);
	}
	printf("   %lu programs were not judged to the end for what was cut off\n", cuts);
	TEST_ASSERT(cuts < n / 10, "more than a tenth");
	/* Exactly, but for programs that were cut off. */
	TEST_ASSERT(labs((long)(exits[1] + answered - exits[0])) <= (long)(cuts * 2), "%lu at the VMM and %llu answered, but %lu without", exits[1],
		    answered, exits[0]);
	TEST_ASSERT(answered > exits[0] / 20, "only %llu of %lu were answered", answered, exits[0]);
	teardown(&run);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "programs", programs },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
