// SPDX-License-Identifier: GPL-2.0
/*
 * The PM timer's program on the real module and KVM, against a VMM whose clock the test owns: what the guest reads is what
 * this VMM could have answered, whoever answers.
 */
#include <iofilter/counter.h>
#include <iofilter/pmtimer.h>
#include "filter.h"
#include "pmtimer.skel.h"
#include "vmm.h"

#define PORT   PMTIMER_PORT
#define MARKER 0x80
#define MASK   0xffffffu

static struct pm_model pm;
static unsigned long pm_exits, other_exits;

static void on_marker(__u32 val);

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	if (a->write) {
		on_marker(a->val);
	} else if (a->addr == PORT && a->len == 4) {
		a->val = pm_read(&pm);
		__atomic_add_fetch(&pm_exits, 1, __ATOMIC_RELAXED);
	} else {
		a->val = 0x55555555;
		other_exits++;
	}
}

struct run {
	struct vmm *vmm;
	struct pmtimer_bpf *skel;
	struct iofilter_counter *c;
	struct bpf_link *link;
};

static void setup(struct run *r, int nr_vcpus)
{
	pm_init(&pm, 123456789012);
	pm_exits = other_exits = 0;
	r->vmm = vmm_new(nr_vcpus, 0);
	r->vmm->io = vmm_io;
	r->skel = pmtimer_bpf__open();
	TEST_ASSERT(r->skel, "open: %s", strerror(errno));
	filter_ops(r->skel->maps.pmtimer_ops)->vm_fd = r->vmm->fd;
	TEST_EQ(-pmtimer_bpf__load(r->skel), 0);
	r->c = &r->skel->data_state->pmtimer;
	r->link = filter_attach(r->skel->maps.pmtimer_ops);
}

static void teardown(struct run *r)
{
	bpf_link__destroy(r->link);
	pmtimer_bpf__destroy(r->skel);
	vmm_free(r->vmm);
}

static unsigned long answered(const struct run *r)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < r->vmm->nr_vcpus; i++)
		n += r->c->vcpus[i].answered;
	return n;
}

static void report(const struct run *r, const char *what)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	const struct iofilter_clock *c = &r->c->clock;
	unsigned int i;

	printf("   %s: %lu answered, %lu at the VMM;", what, answered(r), pm_exits);
	for (i = 1; i < IOFILTER_NR_VERDICTS; i++)
		if (r->c->verdicts[i])
			printf(" %s %llu", names[i], r->c->verdicts[i]);
	printf("; proof %u, fuse %u, bracket %llu us, best %llu us, slack %lld us, %llu moves, %llu lost\n", c->proof, c->fuse,
	       c->bracket / 1000, c->best_bracket / 1000, (c->hi - c->lo) / 1000, c->moves, c->lost);
}

/* In the guest: reads in a loop, comparing each value with the one before. */
static volatile __u32 first_val, last_val, back, worst_back;
static volatile int stop;

static __u32 compare(__u32 v, __u32 before)
{
	__u32 diff = (v - before) & MASK;

	if (diff > MASK / 2) {
		back++;
		diff = -diff & MASK;
		if (diff > worst_back)
			worst_back = diff;
	}
	return v;
}

static void guest_loop(long n)
{
	__u32 v = inl(PORT);

	first_val = v;
	while (n-- && !stop)
		v = compare(inl(PORT), v);
	last_val = v;
}

static void loop(struct run *r, long n)
{
	back = worst_back = stop = 0;
	vmm_run(r->vmm, 0, guest_loop, n);
}

/* Emulated machines stumble: give a clock a few chances to be proven. */
static void prove(struct run *r)
{
	int i;

	for (i = 0; i < 50 && r->c->clock.proof == IOFILTER_UNPROVEN; i++)
		loop(r, 500);
	if (r->c->clock.proof != IOFILTER_PROVEN)
		report(r, "not proven");
	TEST_EQ(r->c->clock.proof, IOFILTER_PROVEN);
}

static void hot_loop(void)
{
	unsigned long n = test_count(100000, 200000), before, exits;
	struct filter_counts counts;
	struct run r;

	setup(&r, 1);
	prove(&r);
	before = answered(&r);
	exits = pm_exits;
	loop(&r, n);
	report(&r, "hot loop");
	TEST_EQ(back, 0);
	before = answered(&r) - before;
	exits = pm_exits - exits;
	TEST_EQ(before + exits, n + 1);
	TEST_ASSERT(exits * 20 < n, "wanted under 5 percent at the VMM, got %lu of %lu", exits, n);
	TEST_ASSERT(filter_counts(r.link, &counts), "the module does not know the link");
	TEST_EQ(counts.reads_handled, answered(&r));
	TEST_EQ(counts.reads_punted, pm_exits);
	teardown(&r);
}

/*
 * The guest tells the VMM each value, between two other writes to the same port. So the read has its place in time: after the
 * first exit, and before the second.
 */
static struct {
	int phase;
	__u64 from;
	unsigned long reads;
	__s64 ahead, behind; /* the worst, in ticks */
} marks;

/* @a - @b of two 24-bit values, the shorter way round. */
static __s64 distance(__u32 a, __u32 b)
{
	return (__s32)((a - b) << 8) >> 8;
}

static void on_marker(__u32 val)
{
	__u64 to = now_ns();
	__s64 ahead, behind;

	if (marks.phase++ == 1) {
		ahead = distance(val, pmtimer_ticks(&pm.timer, to));
		behind = distance(pmtimer_ticks(&pm.timer, marks.from), val);
		marks.ahead = ahead > marks.ahead ? ahead : marks.ahead;
		marks.behind = behind > marks.behind ? behind : marks.behind;
		marks.reads++;
		marks.phase = 0;
	}
	marks.from = now_ns();
}

static void guest_marked(long n)
{
	int i;

	while (n--) {
		/* Out of KVM_RUN all the time, the clock would be proven seldom. */
		for (i = 0; i < 20; i++)
			inl(PORT);
		outl(0, MARKER);
		outl(inl(PORT), MARKER);
	}
}

static void truth(void)
{
	long n = 2000 * test_scale();
	unsigned long before;
	struct run r;
	__s64 slack;

	setup(&r, 1);
	prove(&r);
	memset(&marks, 0, sizeof(marks));
	marks.ahead = marks.behind = -(__s64)MASK;
	before = answered(&r);
	vmm_run(r.vmm, 0, guest_marked, n);
	report(&r, "marked");
	slack = (unsigned __int128)r.c->clock.bracket * PMTIMER_HZ / 1000000000 + 2;
	printf("   ahead by %lld ticks, behind by %lld (allowed: 0, %lld)\n", marks.ahead, marks.behind, slack);
	TEST_EQ(marks.reads, n);
	TEST_ASSERT(marks.ahead <= 0, "an answer was %lld ticks ahead of the VMM", marks.ahead);
	TEST_ASSERT(marks.behind <= slack, "wanted at most %lld ticks behind, got %lld", slack, marks.behind);
	TEST_ASSERT(answered(&r) - before > 1000, "only %lu were answered", answered(&r) - before);
	teardown(&r);
}

/* Two vCPUs pass a turn to and fro; whoever has it reads, and must not be behind what the other has read. */
static volatile int turn;
static volatile __u32 shared_val;

static void guest_turns(long me)
{
	while (!stop) {
		if (turn != me) {
			asm volatile("pause");
			continue;
		}
		shared_val = compare(inl(PORT), shared_val);
		asm volatile("" ::: "memory");
		turn = !me;
	}
}

static void two_vcpus(void)
{
	unsigned long before;
	struct run r;
	__u64 end;

	setup(&r, 2);
	prove(&r);
	back = worst_back = stop = turn = 0;
	shared_val = last_val;
	before = answered(&r);
	vmm_start(r.vmm, 0, guest_turns, 0);
	vmm_start(r.vmm, 1, guest_turns, 1);
	end = now_ns() + test_count(4, 10) * 1000000000ULL;
	/* A machine that shares its CPUs is slow to come to enough. */
	while (now_ns() < end || (answered(&r) - before <= 1000 && now_ns() < end + 60 * 1000000000ULL))
		usleep(100000);
	stop = 1;
	vmm_join(r.vmm, 0);
	vmm_join(r.vmm, 1);
	report(&r, "two vCPUs");
	TEST_ASSERT(!back, "%u steps back, the worst by %u ticks", back, worst_back);
	TEST_ASSERT(answered(&r) - before > 1000, "only %lu were answered", answered(&r) - before);
	TEST_ASSERT(r.c->vcpus[0].answered && r.c->vcpus[1].answered, "one vCPU was never answered");
	teardown(&r);
}

/*
 * A VMM that stops its vCPU and its clock, and goes on later. Clock first, as a stock VMM does it, the filter may answer until
 * the vCPU stops, and a punted read then gets an older value: that much back is allowed, and no more, and not later.
 */
static void pause_loop(bool clock_first)
{
	__u64 t, window = 0;
	struct run r;
	int i;

	setup(&r, 1);
	prove(&r);
	back = worst_back = stop = 0;
	vmm_start(r.vmm, 0, guest_loop, 1L << 40);
	for (i = 0; i < (int)test_count(10, 20); i++) {
		usleep(100000);
		t = now_ns();
		if (clock_first)
			pmtimer_stop(&pm.timer);
		vmm_pause(r.vmm, 0);
		if (!clock_first)
			pmtimer_stop(&pm.timer);
		t = now_ns() - t;
		if (t > window)
			window = t;
		usleep(i % 2 ? 20000 : 200000);
		pmtimer_start(&pm.timer);
		vmm_resume(r.vmm, 0);
	}
	stop = 1;
	vmm_join(r.vmm, 0);
	report(&r, clock_first ? "clock first" : "vCPU first");
	printf("   %u back, by %u ticks; window %llu us\n", back, worst_back, window / 1000);
	if (!clock_first)
		TEST_ASSERT(!back, "%u steps back, the worst by %u ticks", back, worst_back);
	TEST_ASSERT(worst_back <= window * PMTIMER_HZ / 1000000000 + 1, "a step back by %u ticks, the window was %llu us", worst_back,
		    window / 1000);
	TEST_ASSERT(r.c->clock.suspicions > 0, "no pause was noticed");
	TEST_EQ(r.c->clock.fuse, IOFILTER_FUSE_OK);
	TEST_ASSERT(answered(&r) > pm_exits, "only %lu were answered", answered(&r));
	teardown(&r);
}

static void pauses(void)
{
	pause_loop(false);
}

static void frozen_window(void)
{
	pause_loop(true);
}

/* A snapshot is loaded: the clock is another. It is followed, never mixed with the old one. */
static void loads(void)
{
	static const __s64 by[] = { -3600, 1, 86400, -2 };
	struct run r;
	unsigned int i;

	setup(&r, 1);
	prove(&r);
	for (i = 0; i < ARRAY_SIZE(by); i++) {
		__u32 lo, hi;

		usleep(50000);
		pm.timer.offset += by[i] * 1000000000LL + 123456789;
		lo = pmtimer_ticks(&pm.timer, now_ns());
		loop(&r, 2000);
		hi = pmtimer_ticks(&pm.timer, now_ns());
		TEST_EQ(back, 0);
		TEST_ASSERT(((first_val - lo) & MASK) <= ((hi - lo) & MASK), "after a load by %lld s the first read was %#x, wanted [%#x, %#x]",
			    by[i], first_val, lo & MASK, hi & MASK);
		TEST_ASSERT(((hi - last_val) & MASK) <= ((hi - lo) & MASK), "after a load by %lld s the last read was %#x, wanted [%#x, %#x]",
			    by[i], last_val, lo & MASK, hi & MASK);
	}
	report(&r, "loads");
	TEST_EQ(r.c->clock.fuse, IOFILTER_FUSE_OK);
	teardown(&r);
}

/* What the tool says of this very process's VM has @text in it. */
static void status_says(const char *text)
{
	char cmd[128], out[4096];
	FILE *pipe;
	size_t n;

	snprintf(cmd, sizeof(cmd), "${O:-build}/loader/iofilter status --pid %d", getpid());
	pipe = popen(cmd, "r");
	TEST_ASSERT(pipe, "%s: %s", cmd, strerror(errno));
	n = fread(out, 1, sizeof(out) - 1, pipe);
	out[n] = 0;
	TEST_EQ(pclose(pipe), 0);
	TEST_ASSERT(strstr(out, text), "wanted '%s' in: %s", text, out);
}

static void nonsense(void)
{
	static const struct {
		const char *name;
		enum pm_mode mode;
		bool fuse;
	} rows[] = {
		{ "random", PM_RANDOM, true },
		{ "constant", PM_CONSTANT, true },
		{ "all ones", PM_ONES, false },
	};
	unsigned int i;
	struct run r;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(&r, 1);
		pm.mode = rows[i].mode;
		loop(&r, 10000);
		report(&r, rows[i].name);
		TEST_EQ(answered(&r), 0);
		TEST_EQ(pm_exits, 10001);
		TEST_EQ(r.c->clock.proof == IOFILTER_FUSED, rows[i].fuse);
		pm.mode = PM_HONEST;
		if (rows[i].fuse) {
			status_says(rows[i].mode == PM_RANDOM ? "fuse blown (model)" : "fuse blown (moves)");
			loop(&r, 1000);
			TEST_EQ(answered(&r), 0);
		} else {
			prove(&r); /* the firmware has enabled it */
		}
		teardown(&r);
	}

	/* After an honest start. */
	setup(&r, 1);
	prove(&r);
	pm.mode = PM_RANDOM;
	for (i = 0; i < 200 && r.c->clock.proof != IOFILTER_FUSED; i++)
		loop(&r, 500);
	report(&r, "random later");
	TEST_EQ(r.c->clock.proof, IOFILTER_FUSED);
	teardown(&r);
}

/* All that is not a dword read at the port goes to the VMM, proven or not. */
static volatile __u32 odd[8];

static void guest_odd(long arg)
{
	(void)arg;
	odd[0] = inb(PORT);
	odd[1] = inb(PORT + 1);
	odd[2] = inb(PORT + 3);
	odd[3] = inw(PORT);
	odd[4] = inw(PORT + 2);
	odd[5] = inl(PORT + 1);
	odd[6] = inl(PORT - 1);
	odd[7] = inw(PORT + 3);
}

static void other_shapes(void)
{
	static const __u32 want[] = { 0x55, 0x55, 0x55, 0x5555, 0x5555, 0x55555555, 0x55555555, 0x5555 };
	unsigned long before;
	unsigned int i;
	struct run r;

	setup(&r, 1);
	prove(&r);
	before = r.c->verdicts[IOFILTER_PUNT_SHAPE];
	vmm_run(r.vmm, 0, guest_odd, 0);
	for (i = 0; i < ARRAY_SIZE(want); i++)
		TEST_EQ(odd[i], want[i]);
	TEST_EQ(other_exits, 8);
	TEST_EQ(r.c->verdicts[IOFILTER_PUNT_SHAPE], before + 5);
	loop(&r, 2000);
	TEST_EQ(back, 0);
	teardown(&r);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "hot_loop", hot_loop },
		{ "truth", truth },
		{ "two_vcpus", two_vcpus },
		{ "pauses", pauses },
		{ "frozen_window", frozen_window },
		{ "loads", loads },
		{ "nonsense", nonsense },
		{ "other_shapes", other_shapes },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
