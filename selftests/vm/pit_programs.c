// SPDX-License-Identifier: GPL-2.0
/*
 * Random guest programs on the PIT: in a VM without the filter, the same with it, and the same on KVM's own PIT; and on stock QEMU, without
 * and with it, with QEMU's PIT, and port 0x61 with KVM's. A program that fails (pit_judge.h) is made small and printed.
 *
 * And with the filter saved at a random access of each program, the VM's clock stopped, a new filter attached, and the state put back.
 *
 * What the filter has cut off (a string read of a count that it has latched) is no failure, but counted: the guest goes on with what
 * the VMM has, and nothing can be said of it any more.
 */
#include <limits.h>
#include <iofilter/speaker.h>
#include "minimise.h"
#include "pit_ops.h"
#include "qemu_filter.h"

#define CHUNK	10 /* programs on one attach */
#define CUT	INT_MAX

/* --- one attach --- */

static struct run run;
static struct pit_channel times; /* of the first one: the others need not measure again */
static unsigned long long answered;
static unsigned long cuts;
static bool saves; /* at a random access of each program */
static unsigned int saves_seed;
static unsigned long saved_in_flight;
static __u64 cut_before; /* by the filters before this one */

static struct iofilter *on_qemu; /* the filter on stock QEMU */

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

static void show_least(int n)
{
	int i, at;

	n = minimise(ops, n, sizeof(*ops), 200, again);
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

static unsigned long long answered_on_qemu(void)
{
	const struct iofilter_speaker *s = iofilter_state(on_qemu);

	return judge.behind_kvm ? s->answered : run.p->answered + run.p->commands;
}

/* @n programs on one side. Return: how many accesses have come to the VMM. */
static unsigned long series(enum side where, unsigned long n, unsigned int seed)
{
	static const char *const names[] = { "without the filter", "with the filter", "KVM's own PIT" };
	unsigned long long before = 0;
	__u64 start = now_ns();
	unsigned long i;
	int from, at;

	side = where;
	srandom(seed);
	if (on_qemu)
		before = answered_on_qemu();
	pit_exits = 0;
	judge.exact = judge.bracketed = judge.loose = 0;
	for (i = 0; i < n; i++) {
		if (i % CHUNK == 0) {
			nr_ops = 0;
			odd_shapes = i / CHUNK & 1;
			begin();
		}
		from = nr_ops;
		if (judge.behind_kvm)
			generate_speaker();
		else
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
			show_least(at + 1);
			TEST_FAIL("program %lu", i);
		}
		if (i % CHUNK == CHUNK - 1)
			end();
	}
	if (on_qemu)
		answered = answered_on_qemu() - before;
	printf("   %s: ", names[side]);
	if (!qemu)
		printf("%lu accesses at the VMM, ", pit_exits);
	printf("%llu answered by the filter; judged %lu exactly, %lu within their bracket, %lu not; %llu s\n", side == FILTERED ? answered : 0,
	       judge.exact, judge.bracketed, judge.loose, (now_ns() - start) / 1000000000);
	return pit_exits;
}

static void programs(void)
{
	unsigned long n = test_count(400, 20000), alone, filtered;
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
	unsigned long n = test_count(200, 2000);
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

static void end_qemu(void)
{
	qemu_detach(on_qemu);
	on_qemu = NULL;
	qemu_end(qemu);
	qemu = NULL;
}

/* Stock QEMU, whose PIT is its own with a split irqchip. */
static void programs_qemu(void)
{
	unsigned long n = test_count(200, 2000), all;
	unsigned int seed = test_seed();

	printf("   SEED=%u, %lu programs on stock QEMU without the filter, and the same with it\n", seed, n);
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	device.clock = device_clock;
	kvmclock_off();
	qemu = qemu_start("q35,kernel-irqchip=split");
	qemu_run(qemu, guest_kvmclock_on, 0);
	cuts = 0;
	series(ALONE, n, seed);
	all = judge.exact + judge.bracketed + judge.loose;

	on_qemu = qemu_attach(qemu, "pit");
	run.p = iofilter_state(on_qemu);
	measure();
	series(FILTERED, n, seed);
	report(&run, "with the filter");
	printf("   %lu programs were not judged to the end for what was cut off\n", cuts);
	TEST_ASSERT(cuts < n / 10, "more than a tenth");
	TEST_ASSERT(answered > all / 20, "only %llu of %lu were answered", answered, all);
	end_qemu();
}

/* QEMU as it is by default: the PIT is KVM's, and a read of port 0x61 is an exit and a system call for its state. */
static void speaker_qemu(void)
{
	unsigned long n = test_count(200, 2000), all;
	unsigned int seed = test_seed();

	printf("   SEED=%u, %lu programs for port 0x61 of stock QEMU without the filter, and the same with it\n", seed, n);
	memset(&run, 0, sizeof(run));
	memset(&device, 0, sizeof(device));
	memset(&times, 0, sizeof(times));
	device.clock = device_clock;
	kvmclock_off();
	judge.behind_kvm = true;
	qemu = qemu_start("q35");
	qemu_run(qemu, guest_kvmclock_on, 0);
	cuts = 0;
	series(ALONE, n, seed);
	all = judge.exact;

	on_qemu = qemu_attach(qemu, "speaker");
	run.p = iofilter_state(on_qemu); /* for its head */
	series(FILTERED, n, seed);
	printf("   %lu programs were not judged to the end for what was cut off\n", cuts);
	/* Every other read leaves something in flight, and a write or a string may come then. */
	TEST_ASSERT(cuts < n / 2, "more than a half");
	TEST_ASSERT(judge.exact > all / 2, "%lu judged, without the filter %lu", judge.exact, all);
	TEST_ASSERT(answered > judge.exact / 10, "only %llu were answered", answered);
	end_qemu();
	judge.behind_kvm = false;
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "saved", saved },
		{ "programs", programs },
		{ "qemu", programs_qemu },
		{ "speaker_qemu", speaker_qemu },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
