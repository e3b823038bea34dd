// SPDX-License-Identifier: GPL-2.0
/*
 * Random guest programs on the PIT: in a VM without the filter, the same with it, and the same on KVM's own PIT; and on stock QEMU, without
 * and with it. A program that fails (pit_judge.h) is made small and printed.
 *
 * And with the filter saved at a random access of each program, the VM's clock stopped, a new filter attached, and the state put back.
 *
 * What the filter has cut off (a string read of a count that it has latched) is no failure, but counted: the guest goes on with what
 * the VMM has, and nothing can be said of it any more.
 */
#include <limits.h>
#include <iofilter/libiofilter.h>
#include "pit_judge.h"
#include "qemu.h"

#define MAX_OPS 4096
#define CHUNK	10 /* programs on one attach */
#define CUT	INT_MAX

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

/* --- one attach --- */

static struct run run;
static struct pit_channel times; /* of the first one: the others need not measure again */
static enum side { ALONE, FILTERED, KVM_PIT } side;
static unsigned long long answered;
static unsigned long cuts, odd_shapes;
static bool saves; /* at a random access of each program */
static unsigned int saves_seed;
static unsigned long saved_in_flight;
static __u64 cut_before; /* by the filters before this one */

/* Stock QEMU instead of run.vmm, and the filter on it. */
static struct qemu *qemu;
static struct iofilter *on_qemu;

/* KVM's PIT as the device is after power-on. It loads the counts anew. */
static void kvm_power_on(void)
{
	struct kvm_pit_state2 s = { .flags = 0 };
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		s.channels[ch].count = device.counters[ch].count;
		s.channels[ch].mode = device.counters[ch].mode;
		s.channels[ch].gate = device.counters[ch].gate;
	}
	TEST_EQ(ioctl(run.vmm->fd, KVM_SET_PIT2, &s), 0);
}

/* A filter that knows nothing yet. */
static void attach(void)
{
	int ch;

	memcpy(run.p, fresh, sizeof(*fresh));
	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		struct iofilter_clock *clk = &run.p->channels[ch].clock;

		clk->bracket = times.clock.bracket;
		clk->absence = times.clock.absence;
		clk->expiry = times.clock.expiry;
		clk->calibrating = 0;
	}
	cut_before = 0;
	run.link = filter_attach(run.skel->maps.pit_ops);
}

/*
 * As a VM that is saved and loaded: its clock stands, and the filter is another one. Return: how much more the filter may lag until its
 * clock is proven: the VM's was stopped a little later than the filter's was saved, and goes on a little earlier.
 */
static __u64 save_and_restore(void)
{
	__u64 saved_at, stopped_at, resumed_at, cut = cut_before + run.p->head.cut;
	struct iofilter *f;
	void *data;
	size_t size;

	saved_in_flight += !!run.p->head.in_flight;
	answered += run.p->answered + run.p->commands;
	TEST_ASSERT(!iofilter_open(getpid(), "pit", &f), "%s", iofilter_error());
	saved_at = now_ns();
	TEST_ASSERT(!iofilter_save(f, &data, &size), "%s", iofilter_error());
	stopped_at = now_ns();
	iofilter_close(f);
	bpf_link__destroy(run.link);
	attach();
	TEST_ASSERT(!iofilter_open(getpid(), "pit", &f), "%s", iofilter_error());
	resumed_at = now_ns();
	device_stopped += resumed_at - stopped_at;
	TEST_ASSERT(!iofilter_restore(f, data, size, 0), "%s", iofilter_error());
	iofilter_close(f);
	free(data);
	cut_before = cut;
	return stopped_at - saved_at + now_ns() - resumed_at;
}

/*
 * QEMU's PIT has what earlier programs have left in it. So: read what may be latched, and program it anew. Not all of this is judged, but the
 * twin sees it. And its versions differ in the output of mode 1.
 */
static const struct op first_ops[] = {
#define READ(port_)	    { .port = port_, .len = 1 }
#define WRITE(port_, val_)  { .port = port_, .len = 1, .write = 1, .val = val_ }
#define FIRST(ch, mode) \
	READ(PIT_PORT + ch), READ(PIT_PORT + ch), READ(PIT_PORT + ch), WRITE(PIT_CONTROL, ch << 6 | PIT_RW_WORD << 4 | mode << 1), \
	WRITE(PIT_PORT + ch, 0), WRITE(PIT_PORT + ch, 0)
	WRITE(PIT_SYSTEM, 0), FIRST(0, 0), FIRST(1, 0), FIRST(2, 1), READ(PIT_SYSTEM), FIRST(2, 0), READ(PIT_SYSTEM),
};

#define FIRST_OPS   6 /* of a channel */
#define AFTER_MODE1 (1 + PIT_CHANNELS * FIRST_OPS)

static struct result first_results[ARRAY_SIZE(first_ops)];

static void guest_first(long unused)
{
	unsigned int i;

	(void)unused;
	for (i = 0; i < ARRAY_SIZE(first_ops); i++)
		guest_one(&first_ops[i], &first_results[i]);
}

static void begin_qemu(void)
{
	const struct result *r = first_results;
	unsigned int i;

	qemu_run(qemu, guest_first, 0);
	for (i = 0; i < ARRAY_SIZE(first_ops); i++, r++)
		judge_port(first_ops[i].write, first_ops[i].port, r->data[0], judge_time(r->before - SLOP_NS), judge_time(r->after + SLOP_NS));
	judge.twin.refresh = !!(r[-1].data[0] & PIT_61_REFRESH);
	judge.mode1_inverted = first_results[AFTER_MODE1].data[0] & PIT_61_OUT;
	judge.why[0] = 0;
	cut_before = on_qemu ? -run.p->head.cut : 0;
}

static void begin(void)
{
	int ch;

	pit_power_on(&device);
	judge.kvm = side == KVM_PIT;
	if (judge.kvm)
		kvm_power_on();
	judge.twin = device;
	judge.twin.clock = clock_then;
	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		judge.load_from[ch] = judge_time(device.counters[ch].count_load_time);
		judge.twin.counters[ch].count_load_time = judge_time(judge.kvm ? device_now() : (__u64)device.counters[ch].count_load_time);
	}
	judge.why[0] = 0;
	judge.slack = side == FILTERED ? times.clock.bracket : 0;
	if (qemu)
		begin_qemu();
	else if (side == FILTERED)
		attach();
}

static void end(void)
{
	if (side != FILTERED || qemu)
		return;
	answered += run.p->answered + run.p->commands;
	/* The guest is gone for good: nobody will end it. */
	run.p->head.in_flight = 0;
	bpf_link__destroy(run.link);
	run.link = NULL;
}

static void guest_runs(void (*guest)(long), long arg)
{
	if (qemu) {
		qemu_run(qemu, guest, arg);
		return;
	}
	vmm_run(run.vmm, 0, guest, arg);
	time_learn(run.vmm);
}

/* Run ops [@from, @to) and judge them. Return: the first that is wrong, or CUT, or -1. */
static int execute(int from, int to)
{
	int i, k, n;

	guest_runs(guest_run, (long)from << 32 | to);
	for (i = from; i < to; i++) {
		const struct result *r = &results[i];

		n = ops[i].string ? ops[i].string : ops[i].len;
		for (k = 0; k < n; k++)
			judge_port(ops[i].write, ops[i].port + (ops[i].string ? 0 : k), r->data[k],
				   judge_time(r->before + kvm_clock_offset - SLOP_NS),
				   judge_time(r->after + kvm_clock_offset + SLOP_NS));
		if (judge.why[0])
			return side == FILTERED && run.p->head.cut + cut_before ? CUT : i;
	}
	return -1;
}

static int execute_program(int from, int to)
{
	int at = from + rand_r(&saves_seed) % (to - from), wrong_at;
	__u64 lag;

	if (!saves)
		return execute(from, to);
	wrong_at = execute(from, at);
	if (wrong_at != -1)
		return wrong_at;
	lag = save_and_restore();
	judge.slack += lag;
	wrong_at = execute(at, to);
	judge.slack -= lag;
	return wrong_at;
}

/* --- programs, as in host/pit_fuzz.c --- */

static int access_of[PIT_CHANNELS];

/*
 * QEMU has a timer for each edge of IRQ0, and does nothing else while it is late with them: so no count of channel 0 below 1024, which only
 * emit_program() writes.
 */
static bool programs_channel0;

static void spare_qemu(struct op *op)
{
	if (!op->write || programs_channel0) {
		if (op->write)
			op->len = 1, op->string = 0;
		return;
	}
	if (op->port == PIT_PORT)
		op->port = PIT_PORT + 2;
	if (op->port == PIT_CONTROL && !(op->val >> 6) && PIT_RW(op->val))
		op->val |= 0x80;
}

static void emit(int write, int port, int val)
{
	long r = random();

	if (nr_ops == MAX_OPS)
		return;
	ops[nr_ops] = (struct op){ .write = write, .port = port, .val = val & 0xff, .len = 1, .think = r % 64 };
	if (r % 97 == 0)
		ops[nr_ops].think = random() % 20000;
	/* What straddles port 0x61 the filter does not see. KVM's PIT takes two bytes for one. */
	if (odd_shapes && r % 499 == 1 && port != PIT_SYSTEM && side != KVM_PIT)
		ops[nr_ops].len = 2;
	if (odd_shapes && r % 499 == 2)
		ops[nr_ops].string = 2 + random() % 3;
	if (qemu)
		spare_qemu(&ops[nr_ops]);
	nr_ops++;
}

static void emit_program(int ch)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 191, 1000, 1193, 11932, 11933, 0x1000, 65535 };
	int rw = random() % 4 ? 3 : 1 + random() % 2, count = random() % 3 ? counts[random() % ARRAY_SIZE(counts)] : random() & 0xffff;

	if (qemu && !ch) {
		rw |= PIT_RW_MSB;
		count = count & 0xff00 ? count | 0x400 : 0;
		programs_channel0 = true;
	}
	access_of[ch] = rw;
	emit(1, PIT_CONTROL, ch << 6 | rw << 4 | (random() & 0xf));
	if (rw & 1)
		emit(1, PIT_PORT + ch, count);
	if (rw & 2)
		emit(1, PIT_PORT + ch, count >> 8);
	programs_channel0 = false;
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
		at = execute_program(0, n);
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

/* What the first attach measures: the round trip. On a busy host not each read is a sample of it. */
static void measure(void)
{
	int i, rounds = 0;

	do {
		nr_ops = 0;
		for (i = 0; i < 50; i++)
			emit(0, PIT_PORT, 0);
		programs_channel0 = true;
		emit(1, PIT_CONTROL, PIT_RW_WORD << 4 | 4);
		emit(1, PIT_PORT, 0);
		emit(1, PIT_PORT, 0);
		programs_channel0 = false;
		for (i = 0; i < 50; i++) {
			emit(1, PIT_CONTROL, 0);
			emit_reads(PIT_PORT, 2);
		}
		guest_runs(guest_run, nr_ops);
		times = run.p->channels[0];
	} while (times.clock.calibrating && ++rounds < 20);
	TEST_EQ(times.clock.calibrating, 0);
	report(&run, "measured");
}

/* @n programs on one side. Return: how many accesses have come to the VMM. */
static unsigned long series(enum side where, unsigned long n, unsigned int seed)
{
	static const char *const names[] = { "without the filter", "with the filter", "KVM's own PIT" };
	__u64 start = now_ns();
	unsigned long i;
	int from, at;

	side = where;
	srandom(seed);
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
		at = execute_program(from, nr_ops);
		if (at == CUT) {
			cuts++;
			end();
			nr_ops = 0;
			begin();
		} else if (at >= 0) {
			printf("   program %lu (SEED=%u), %s, access %d of %d on this attach: %s\n", i, seed, names[side], at, nr_ops,
			       judge.why);
			end();
			minimise(at + 1);
			TEST_FAIL("program %lu", i);
		}
		if (i % CHUNK == CHUNK - 1)
			end();
	}
	if (on_qemu)
		answered = run.p->answered + run.p->commands - answered;
	printf("   %s: ", names[side]);
	if (!qemu)
		printf("%lu accesses at the VMM, ", pit_exits);
	printf("%llu answered by the filter; judged %lu exactly, %lu within their bracket, %lu not; %llu s\n", side == FILTERED ? answered : 0,
	       judge.exact, judge.bracketed, judge.loose, (now_ns() - start) / 1000000000);
	return pit_exits;
}

static void programs(void)
{
	unsigned long n = getenv("TORTURE") ? 20000 : 2000 * test_scale(), alone, filtered;
	unsigned int seed = test_seed();

	answered = cuts = 0;
	printf("   SEED=%u, %lu programs without the filter, the same with it, and on KVM's own PIT\n", seed, n);
	setup_device(&run, 1, 0);
	load(&run);
	run.link = filter_attach(run.skel->maps.pit_ops);
	measure();
	bpf_link__destroy(run.link);
	run.link = NULL;
	alone = series(ALONE, n, seed);
	filtered = series(FILTERED, n, seed);
	printf("   %lu programs were not judged to the end for what was cut off\n", cuts);
	TEST_ASSERT(cuts < n / 10, "more than a tenth");
	/* Exactly, but for programs that were cut off. */
	TEST_ASSERT(labs((long)(filtered + answered - alone)) <= (long)(cuts * 2), "%lu at the VMM and %llu answered, but %lu without", filtered,
		    answered, alone);
	TEST_ASSERT(answered > alone / 20, "only %llu of %lu were answered", answered, alone);
	teardown(&run);

	setup_device(&run, 1, VMM_SPEAKER);
	TEST_EQ(series(KVM_PIT, n, seed), 0);
	TEST_ASSERT(judge.exact + judge.bracketed > judge.loose, "most was not judged");
	vmm_free(run.vmm);
}

static void saved(void)
{
	unsigned long n = getenv("TORTURE") ? 2000 : 200 * test_scale();
	unsigned int seed = test_seed();

	printf("   SEED=%u, %lu programs, each of them saved in its middle\n", seed, n);
	setup_device(&run, 1, 0);
	load(&run);
	run.link = filter_attach(run.skel->maps.pit_ops);
	measure();
	bpf_link__destroy(run.link);
	run.link = NULL;
	answered = cuts = saved_in_flight = 0;
	saves = true;
	saves_seed = seed;
	series(FILTERED, n, seed);
	saves = false;
	printf("   %lu programs had something in flight when they were saved; %lu were not judged to the end for what was cut off\n",
	       saved_in_flight, cuts);
	TEST_ASSERT(saved_in_flight > n / 50, "too few had anything in flight");
	TEST_ASSERT(cuts < n / 10, "more than a tenth");
	TEST_ASSERT(answered > n, "only %llu were answered", answered);
	teardown(&run);
}

/* Stock QEMU, whose PIT is its own with a split irqchip. */
static void programs_qemu(void)
{
	unsigned long n = getenv("TORTURE") ? 2000 : 200 * test_scale(), all;
	unsigned int seed = test_seed();

	printf("   SEED=%u, %lu programs on stock QEMU without the filter, and the same with it\n", seed, n);
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	device.clock = device_clock;
	kvmclock_off();
	qemu = qemu_start("q35,kernel-irqchip=split");
	qemu_run(qemu, guest_kvmclock_on, 0);
	cuts = answered = 0;
	series(ALONE, n, seed);
	all = judge.exact + judge.bracketed + judge.loose;

	TEST_ASSERT(!iofilter_attach(qemu_pid(qemu), "pit", NULL, &on_qemu), "%s", iofilter_error());
	run.p = iofilter_state(on_qemu);
	measure();
	answered = run.p->answered + run.p->commands;
	series(FILTERED, n, seed);
	report(&run, "with the filter");
	printf("   %lu programs were not judged to the end for what was cut off\n", cuts);
	TEST_ASSERT(cuts < n / 10, "more than a tenth");
	TEST_ASSERT(answered > all / 20, "only %llu of %lu were answered", answered, all);
	iofilter_stop(on_qemu, 0);
	iofilter_close(on_qemu);
	on_qemu = NULL;
	qemu_end(qemu);
	qemu = NULL;
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "saved", saved },
		{ "programs", programs },
		{ "qemu", programs_qemu },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
