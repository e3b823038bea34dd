// SPDX-License-Identifier: GPL-2.0
/*
 * The HPET's program on the real module and KVM, against a VMM with QEMU's device (devices/hpet.c): what the guest reads is what this
 * VMM could have answered, whoever answers. hpet_programs.c: programs of random accesses.
 */
#include "hpet.h"
#include "pmtimer.skel.h"

/* In the guest: reads in a loop. */
static volatile __u64 first_val, last_val, back, worst_back;
static volatile int stop;

static void compare(__u64 v, __u64 before)
{
	if (v >= before)
		return;
	back++;
	if (before - v > worst_back)
		worst_back = before - v;
}

static void guest_whole(long n)
{
	__u64 v = mmio_read(__u64, REG(HPET_MAIN_CNT)), now;

	first_val = v;
	while (n-- && !stop) {
		now = mmio_read(__u64, REG(HPET_MAIN_CNT));
		compare(now, v);
		v = now;
	}
	last_val = v;
}

/* By halves, as the datasheet says: until the high one is the same before and after. */
static __u64 guest_halves(void)
{
	__u32 high, low, again = mmio_read(__u32, REG(HPET_MAIN_CNT + 4));

	do {
		high = again;
		low = mmio_read(__u32, REG(HPET_MAIN_CNT));
		again = mmio_read(__u32, REG(HPET_MAIN_CNT + 4));
	} while (high != again);
	return (__u64)high << 32 | low;
}

static void guest_by_halves(long n)
{
	__u64 v = guest_halves(), now;

	first_val = v;
	while (n--) {
		now = n & 1 ? guest_halves() : mmio_read(__u64, REG(HPET_MAIN_CNT));
		compare(now, v);
		v = now;
	}
	last_val = v;
}

static void loop(struct run *r, void (*guest)(long), long n)
{
	back = worst_back = stop = 0;
	vmm_run(r->vmm, 0, guest, n);
}

/* Emulated machines stumble: give a clock a few chances to be proven. */
static void prove(struct run *r)
{
	int i;

	for (i = 0; i < 50 && r->clk->proof == IOFILTER_UNPROVEN; i++)
		loop(r, guest_whole, 500);
	if (r->clk->proof != IOFILTER_PROVEN)
		report(r, "not proven");
	TEST_EQ(r->clk->proof, IOFILTER_PROVEN);
}

static void hot_loop(void)
{
	unsigned long n = 100000 * test_scale(), before, exits;
	struct filter_counts counts;
	struct run r;

	setup(&r, 1);
	prove(&r);
	before = answered(&r);
	exits = hpet_exits;
	loop(&r, guest_whole, n);
	report(&r, "hot loop");
	TEST_EQ(back, 0);
	before = answered(&r) - before;
	exits = hpet_exits - exits;
	TEST_EQ(before + exits, n + 1);
	TEST_ASSERT(exits * 20 < n, "wanted under 5 percent at the VMM, got %lu of %lu", exits, n);
	TEST_ASSERT(filter_counts(r.link, &counts), "the module does not know the link");
	TEST_EQ(counts.reads_handled, answered(&r));
	TEST_EQ(counts.reads_punted, hpet_exits);
	teardown(&r);
}

/* T21 on real exits: the counter's low half wraps again and again, for the guest's clock is set to shortly before. */
static void halves(void)
{
	int i, n = 10 * test_scale();
	unsigned long wide = 0;
	struct run r;

	for (i = 0; i < n; i++) {
		setup_device(&r, 1);
		attach(&r);
		/* 20 to 110 ms. */
		device.counter = 0x100000000ULL * (i + 1) - 2000000 - 900000 * i % 9000000;
		hpet_write(&device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
		loop(&r, guest_by_halves, 6000);
		TEST_EQ(back, 0);
		TEST_ASSERT(last_val <= hpet_ticks(&device), "read %#llx, the device shows %#llx", last_val, hpet_ticks(&device));
		TEST_EQ(last_val >> 32, i + 1);
		TEST_EQ(first_val >> 32, i);
		wide += answered(&r);
		if (!i || i == n - 1)
			report(&r, "halves");
		teardown(&r);
	}
	TEST_ASSERT(wide > 5000u * n, "only %lu were answered", wide);
}

/*
 * The guest tells the VMM what it has read, between two other exits: the read has its place in time, after the first and before the
 * second.
 */
static struct {
	__u64 from;
	unsigned long reads;
	__s64 ahead, behind; /* the worst, in ticks */
} marks;
static volatile __u64 marked;

static void check_marker(__u32 val)
{
	__u64 now = hpet_ticks(&device);

	if (val) {
		__s64 ahead = marked - now, behind = marks.from - marked;

		marks.ahead = ahead > marks.ahead ? ahead : marks.ahead;
		marks.behind = behind > marks.behind ? behind : marks.behind;
		marks.reads++;
	}
	marks.from = hpet_ticks(&device);
}

static void guest_marked(long n)
{
	int i;

	while (n--) {
		/* Out of KVM_RUN all the time, the clock would be proven seldom. */
		for (i = 0; i < 20; i++)
			(void)mmio_read(__u64, REG(HPET_MAIN_CNT));
		outl(0, MARKER);
		marked = mmio_read(__u64, REG(HPET_MAIN_CNT));
		outl(1, MARKER);
	}
}

static void truth(void)
{
	long n = 1000 * test_scale();
	unsigned long before;
	struct run r;
	__s64 slack;

	setup(&r, 1);
	prove(&r);
	memset(&marks, 0, sizeof(marks));
	on_marker = check_marker;
	marks.ahead = marks.behind = -(1LL << 40);
	before = answered(&r);
	vmm_run(r.vmm, 0, guest_marked, n);
	report(&r, "marked");
	slack = r.clk->bracket / 10 + 2;
	printf("   ahead by %lld ticks, behind by %lld (allowed: 0, %lld)\n", marks.ahead, marks.behind, slack);
	TEST_EQ(marks.reads, n);
	TEST_ASSERT(marks.ahead <= 0, "an answer was %lld ticks ahead of the VMM", marks.ahead);
	TEST_ASSERT(marks.behind <= slack, "wanted at most %lld ticks behind, got %lld", slack, marks.behind);
	TEST_ASSERT(answered(&r) - before > 1000, "only %lu were answered", answered(&r) - before);
	teardown(&r);
}

/* One vCPU halts and starts the counter, and now and then sets it on; the others read, and must not see it go back. */
static volatile __u64 toggles;

static void guest_toggle(long n)
{
	long i;

	for (i = 0; i < n; i++) {
		int wait = (i * 7919) % 3000;

		mmio_write(__u32, REG(HPET_GEN_CONF), 0);
		if (i % 4 == 3) {
			__u64 v = mmio_read(__u64, REG(HPET_MAIN_CNT));

			mmio_write(__u64, REG(HPET_MAIN_CNT), v + 100000);
		}
		while (wait--)
			asm volatile("pause");
		mmio_write(__u32, REG(HPET_GEN_CONF), HPET_ENABLE_CNF);
		wait = (i * 104729) % 400000;
		while (wait--)
			asm volatile("pause");
		toggles++;
	}
	stop = 1;
}

/* What any vCPU has seen, before a read of another begins, that one must not be below. */
static __u64 newest;

static void guest_reader(long arg)
{
	__u64 before, now;

	(void)arg;
	while (!stop) {
		before = __atomic_load_n(&newest, __ATOMIC_SEQ_CST);
		now = mmio_read(__u64, REG(HPET_MAIN_CNT));
		compare(now, before);
		while (now > before && !__atomic_compare_exchange_n(&newest, &before, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
}

static void toggle_on(bool free)
{
	unsigned long before;
	struct run r;

	lock_free = free;
	setup(&r, 3);
	prove(&r);
	back = worst_back = stop = toggles = newest = 0;
	before = answered(&r);
	vmm_start(r.vmm, 1, guest_reader, 0);
	vmm_start(r.vmm, 2, guest_reader, 0);
	vmm_run(r.vmm, 0, guest_toggle, test_count(120, 4000));
	vmm_join(r.vmm, 1);
	vmm_join(r.vmm, 2);
	report(&r, "toggle");
	printf("   %llu toggles, %llu back, the worst by %llu ticks\n", toggles, back, worst_back);
	TEST_EQ(back, 0);
	TEST_EQ(r.clk->fuse, IOFILTER_FUSE_OK);
	TEST_ASSERT(answered(&r) - before > 1000, "only %lu were answered", answered(&r) - before);
	teardown(&r);
	lock_free = false;
}

static void toggle(void)
{
	toggle_on(false);
}

static void toggle_lock_free(void)
{
	toggle_on(true);
}

/* A counter that is halted, and polled. Nothing is answered, and no fuse blows. */
static void guest_poll(long n)
{
	while (n--)
		last_val = mmio_read(__u32, REG(HPET_MAIN_CNT));
}

static void halted(void)
{
	struct run r;

	setup(&r, 1);
	prove(&r);
	hpet_write(&device, HPET_GEN_CONF, 0, 4); /* unseen, as by a reset */
	usleep(10000);
	loop(&r, guest_poll, 20000);
	report(&r, "halted");
	TEST_EQ(last_val, (__u32)device.counter);
	TEST_EQ(r.clk->proof, IOFILTER_UNPROVEN);
	TEST_EQ(r.clk->fuse, IOFILTER_FUSE_OK);
	hpet_write(&device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	prove(&r);
	teardown(&r);
}

/*
 * The VMM's clock moves, and no vCPU shows a sign: when one filter has seen it, the other one knows. The guest reads both timers, and
 * when the HPET has jumped by seconds, so must have the PM timer.
 */
static volatile __u32 pm_jumped[8];
static volatile int jumps;

static void guest_both(long n)
{
	__u64 v = mmio_read(__u64, REG(HPET_MAIN_CNT)), now;
	int i;

	while (jumps < n && !stop) {
		/* Not by turns: each punt would overwrite the other one's answer before it is seen. */
		for (i = 0; i < 20; i++)
			inl(PMTIMER_PORT);
		for (i = 0; i < 20; i++) {
			now = mmio_read(__u64, REG(HPET_MAIN_CNT));
			if (now - v > HPET_HZ) {
				/* Left to the VMM; the filter sees its answer at the access that follows. */
				mmio_read(__u64, REG(HPET_MAIN_CNT));
				pm_jumped[jumps] = inl(PMTIMER_PORT);
				asm volatile("" ::: "memory");
				jumps++;
			}
			v = now;
		}
	}
}

static void siblings(void)
{
	const int n = 5; /* of 8 within ten seconds that blow a fuse */
	struct pmtimer_bpf *skel;
	struct bpf_link *link;
	struct run r;
	__u32 want;
	__s64 diff;
	int i, tries;

	setup(&r, 1);
	pm_init(&pm, 123456789012);
	skel = pmtimer_bpf__open();
	TEST_ASSERT(skel, "open: %s", strerror(errno));
	filter_ops(skel->maps.pmtimer_ops)->vm_fd = r.vmm->fd;
	TEST_EQ(-pmtimer_bpf__load(skel), 0);
	link = filter_attach(skel->maps.pmtimer_ops);
	jumps = stop = 0;
	vmm_start(r.vmm, 0, guest_both, n);
	for (i = 0; i < n; i++) {
		usleep(300000);
		for (tries = 0; !r.clk->ready || !skel->data_state->pmtimer.clock.ready; tries++) {
			TEST_ASSERT(tries < 1000, "jump %d: not proven after 10 s", i);
			usleep(10000);
		}
		pm.timer.offset += 2000000000LL;
		__atomic_add_fetch(&clock_offset, 2000000000LL, __ATOMIC_SEQ_CST);
		while (jumps == i)
			usleep(100);
		/* Behind by what went by since, and one bracket. */
		want = pmtimer_ticks(&pm.timer, now_ns());
		diff = (__s32)((want - pm_jumped[i]) << 8) >> 8;
		TEST_ASSERT(diff >= 0 && diff < PMTIMER_HZ, "jump %d: the PM timer was %lld ticks behind", i, diff);
	}
	vmm_join(r.vmm, 0);
	report(&r, "siblings");
	TEST_EQ(r.clk->fuse, IOFILTER_FUSE_OK);
	TEST_ASSERT(answered(&r) > hpet_exits, "only %lu were answered", answered(&r));
	bpf_link__destroy(link);
	pmtimer_bpf__destroy(skel);
	teardown(&r);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "hot_loop", hot_loop },
		{ "halves", halves },
		{ "truth", truth },
		{ "toggle", toggle },
		{ "toggle_lock_free", toggle_lock_free },
		{ "halted", halted },
		{ "siblings", siblings },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
