// SPDX-License-Identifier: GPL-2.0
/*
 * The PIT's program on the real module and KVM: what is answered is what the VMM's device showed at that moment, on one vCPU and on two,
 * and a filter that goes leaves no half of a pair behind.
 */
#include "pit.h"

#define DRAINS "/sys/kernel/debug/kvm_iofilter/drains"

/* Latched counts, each with its time. Filled by the guest; the host may follow. */
#define NR_NOTES 4096

static struct note {
	__u64 before, after;
	__u32 load; /* of how many */
	__u16 val;
} notes[NR_NOTES];
static volatile unsigned long noted, judged;
static volatile int stop;

/* When the VMM loaded the counter, by the number of the load. */
#define NR_LOADS 65536

static __s64 load_times[NR_LOADS];
static volatile unsigned long loads;

static void io_loads(struct vmm *vmm, struct vmm_access *a)
{
	__s64 before = device.counters[0].count_load_time;

	vmm_io(vmm, a);
	if (device.counters[0].count_load_time != before) {
		load_times[(loads + 1) % NR_LOADS] = device.counters[0].count_load_time;
		loads++;
	}
}

static void attach(struct run *r)
{
	if (!r->skel)
		load(r);
	r->link = filter_attach(r->skel->maps.pit_ops);
}

static void setup(struct run *r, int nr_vcpus)
{
	setup_device(r, nr_vcpus, 0);
	attach(r);
}

static __u16 count_at(const struct pit *of, int ch, __u64 ns)
{
	struct pit then = *of;

	then.clock = clock_then;
	at_ns = ns;
	return pit_get_count(&then, ch);
}

/* Did the counter show @val at some time in [@from, @to]? */
static bool count_within(const struct pit *of, int ch, __u16 val, __u64 from, __u64 to)
{
	__u64 t, load = of->counters[ch].count_load_time;

	for (t = from < load ? load : from; t < to; t += 400)
		if (count_at(of, ch, t) == val)
			return true;
	return count_at(of, ch, to) == val;
}

static void note(int ch, __u32 wait)
{
	struct note *n = &notes[noted % NR_NOTES];
	__u32 i;
	__u16 val;

	n->before = guest_time();
	outb(ch << 6, PIT_CONTROL);
	n->after = guest_time();
	for (i = 0; i < (wait & 0xffff); i++)
		asm volatile("pause");
	val = inb(PIT_PORT + ch);
	for (i = 0; i < wait >> 16; i++)
		asm volatile("pause");
	n->val = val | inb(PIT_PORT + ch) << 8;
	noted++;
}

static void guest_latches(long ch)
{
	int i;

	noted = 0;
	guest_program(ch, PIT_RW_WORD, 2, 0);
	for (i = 0; i < NR_NOTES; i++)
		note(ch, 0);
}

/* Each was the count when it was latched or, the filter's lag, up to @slack before. Return: how many were not. */
static unsigned long judge(const struct run *r, int ch, unsigned long from, unsigned long to, __u64 slack)
{
	struct pit then = device;
	unsigned long i, wrong = 0;

	time_learn(r->vmm);
	for (i = from; i < to; i++) {
		const struct note *n = &notes[i % NR_NOTES];
		__u64 before, after;

		if (n->load)
			then.counters[ch].count_load_time = load_times[n->load % NR_LOADS];
		before = n->before + kvm_clock_offset - SLOP_NS;
		after = n->after + kvm_clock_offset + SLOP_NS;
		if (count_within(&then, ch, n->val, before - slack, after))
			continue;
		if (wrong++ < 5)
			printf("   note %lu: latched %#x; when it was, the count was %#x to %#x (slack %llu ns)\n", i, n->val,
			       count_at(&then, ch, before), count_at(&then, ch, after), slack);
	}
	return wrong;
}

static __u64 slack_of(const struct run *r)
{
	__u64 slack = 0;
	int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		if (r->p->channels[i].clock.bracket > slack)
			slack = r->p->channels[i].clock.bracket;
	return slack;
}

/* A guest that latches again and again is answered. Emulated machines stumble: it has a few chances. */
static void check_latched(struct run *r, int ch)
{
	unsigned long exits;
	__u64 commands;
	int tries;

	for (tries = 0; tries < 10; tries++) {
		commands = r->p->commands;
		exits = pit_exits;
		vmm_run(r->vmm, 0, guest_latches, ch);
		TEST_EQ(judge(r, ch, 0, NR_NOTES, slack_of(r)), 0);
		if (r->p->commands - commands > NR_NOTES * 9 / 10)
			break;
	}
	report(r, "latched");
	TEST_ASSERT(tries < 10, "channel %d: only %llu of %d were answered", ch, r->p->commands - commands, NR_NOTES);
	TEST_ASSERT(pit_exits - exits < NR_NOTES, "%lu accesses came to the VMM", pit_exits - exits);
	/* Port 0x61 may have been read once, and not again. */
	TEST_EQ(r->p->head.in_flight, r->p->odd);
}

static void latched(void)
{
	struct run r;
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		setup(&r, 1);
			memset(notes, 0, sizeof(notes));
		check_latched(&r, ch);
		TEST_EQ(r.p->head.cut, 0);
		teardown(&r);
	}
}

/* KVM's own PIT has the ports: what it takes the VMM never sees. */
static void in_kernel(void)
{
	struct run r;

	setup_device(&r, 1, VMM_PIT);
	load(&r);
	errno = 0;
	TEST_ASSERT(!__filter_attach(r.skel->maps.pit_ops), "attached beside KVM's own PIT");
	TEST_EQ(errno, EADDRINUSE);
	teardown(&r);
	setup_device(&r, 1, VMM_IRQCHIP);
	attach(&r);
	teardown(&r);
}

/*
 * Two vCPUs on the same channels, without any order between them. Of each channel only the MSB is written and read, so that whatever
 * comes is a byte of a count below the greatest, or a status.
 */
#define STRESS_MSB    0x34
#define STRESS_STATUS (PIT_RW_MSB << 4 | 2 << 1)

static volatile unsigned long implausible;
static volatile __u8 implausible_byte;

static void plausible(__u8 val)
{
	if (val <= STRESS_MSB || val == STRESS_STATUS || val == (PIT_STATUS_OUT | STRESS_STATUS))
		return;
	implausible++;
	implausible_byte = val;
}

static void guest_stress(long arg)
{
	__u64 x = arg * 0x9e3779b97f4a7c15ULL;
	long n = arg >> 8;
	int ch, i;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		guest_program(ch, PIT_RW_MSB, 2, STRESS_MSB << 8);
	while (n--) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		ch = x % PIT_CHANNELS;
		switch (x >> 8 & 15) {
		case 0:
			guest_program(ch, PIT_RW_MSB, 2, (1 + (x >> 16) % STRESS_MSB) << 8);
			break;
		case 1:
			outb(0xc0 | (x >> 16 & 0x3e), PIT_CONTROL);
			break;
		case 2:
			inb(PIT_SYSTEM);
			break;
		case 3:
			outb(x >> 16 & 1, PIT_SYSTEM);
			break;
		case 4: case 5: case 6: case 7: case 8: case 9:
			outb(ch << 6, PIT_CONTROL);
			plausible(inb(PIT_PORT + ch));
			break;
		default:
			for (i = x >> 16 & 15; i >= 0; i--)
				plausible(inb(PIT_PORT + ch));
		}
	}
}

/* Of what was latched and not read. */
static void guest_clear(long arg)
{
	int ch, i;

	(void)arg;
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		for (i = 0; i < 3; i++)
			inb(PIT_PORT + ch);
}

static void stress(void)
{
	long n = 20000 * test_scale();
	struct run r;
	int ch;

	setup(&r, 2);
	memset(notes, 0, sizeof(notes));
	implausible = 0;
	vmm_start(r.vmm, 1, guest_stress, n << 8 | 1);
	vmm_run(r.vmm, 0, guest_stress, n << 8 | 2);
	vmm_join(r.vmm, 1);
	report(&r, "stress");
	TEST_ASSERT(!implausible, "%lu bytes that no count has: %#x", implausible, implausible_byte);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		TEST_EQ(r.p->channels[ch].clock.fuse, IOFILTER_FUSE_OK);
	TEST_ASSERT(r.p->conflicts > 0, "the two never met");
	/* What one has left at the VMM, nobody is told before it or another one comes again. */
	vmm_run(r.vmm, 0, guest_clear, 0);
	vmm_run(r.vmm, 1, guest_clear, 0);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		check_latched(&r, ch);
	teardown(&r);
}

/* --- a filter that goes --- */

struct drains {
	unsigned long long drained, cut_off, sequences;
};

static struct drains drains(void)
{
	FILE *f = fopen(DRAINS, "r");
	struct drains d;
	char header[64];

	TEST_ASSERT(f && fgets(header, sizeof(header), f), "%s: %s", DRAINS, strerror(errno));
	TEST_ASSERT(fscanf(f, "%llu %llu %llu", &d.drained, &d.cut_off, &d.sequences) == 3, "%s: no three numbers", DRAINS);
	fclose(f);
	return d;
}

/* Latch, wait, LSB, wait, MSB; programmed anew now and then, for a filter that has just come knows nothing. */
static void guest_waits(long seed)
{
	__u64 x = seed;
	int i;

	while (!stop) {
		for (i = 0; i < 3; i++)
			inb(PIT_PORT);
		guest_program(0, PIT_RW_WORD, 2, 0);
		for (i = 0; i < 24 && !stop; i++) {
			while (noted - judged >= NR_NOTES && !stop)
				asm volatile("pause");
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			notes[noted % NR_NOTES].load = loads;
			note(0, x & 0x07ff07ff);
		}
	}
}

/* As iofilter_detach() does. Return: whether a sequence was in flight when it began. */
static bool drain(struct iofilter_pit *p)
{
	volatile __u32 *in_flight = &p->head.in_flight;
	bool was;
	int quiet = 0;

	p->head.drain = 1;
	__sync_synchronize();
	was = *in_flight;
	while (quiet < 20) {
		quiet = *in_flight ? 0 : quiet + 1;
		usleep(100);
	}
	return was;
}

static void restart(struct iofilter_pit *p, const struct pit_channel *times)
{
	int i;

	memcpy(p, fresh, sizeof(*p));
	for (i = 0; i < PIT_CHANNELS; i++) {
		p->channels[i].clock.bracket = times->clock.bracket;
		p->channels[i].clock.absence = times->clock.absence;
		p->channels[i].clock.expiry = times->clock.expiry;
		p->channels[i].clock.calibrating = 0;
	}
}

static void moments(void)
{
	unsigned long i, n = getenv("TORTURE") ? 10000 : 500 * test_scale(), upto, wrong, in_flight = 0, how[3] = {}, killed = 0, total = 0;
	struct drains before, after;
	struct pit_channel *times = malloc(sizeof(*times));
	struct run r[2];
	int now = 0, ms;
	__u64 slack;

	srandom(time(NULL));
	setup(&r[0], 1);
	r[0].vmm->io = io_loads;
	r[1] = r[0];
	r[1].skel = NULL;
	load(&r[1]);
	check_latched(&r[0], 0);
	memcpy(times, &r[0].p->channels[0], sizeof(*times));
	slack = slack_of(&r[0]);
	noted = judged = stop = 0;
	before = drains();
	vmm_start(r[0].vmm, 0, guest_waits, 88172645463325252ULL);
	for (i = 0; i < n; i++) {
		struct iofilter_pit *p = r[now].p;
		int what = random() % 3;

		for (ms = 0; ms < 2000 && (!p->commands || judged == noted); ms++)
			usleep(500);
		TEST_ASSERT(ms < 2000, "cycle %lu: not answered within a second", i);
		usleep(random() % 3000);
		how[what]++;
		total += p->commands;
		if (what == 0) {
			/* Killed. */
			killed += !!*(volatile __u32 *)&p->head.in_flight;
			bpf_link__destroy(r[now].link);
		} else {
			in_flight += drain(p);
		}
		if (what == 1)
			bpf_link__destroy(r[now].link);
		if (what < 2) {
			restart(p, times);
			r[now].link = filter_attach(r[now].skel->maps.pit_ops);
		} else {
			restart(r[!now].p, times);
			TEST_EQ(-bpf_link__update_map(r[now].link, r[!now].skel->maps.pit_ops), 0);
			TEST_EQ(p->head.in_flight, 0);
			r[!now].link = r[now].link;
			now = !now;
		}
		upto = noted;
		wrong = judge(&r[0], 0, judged, upto, slack);
		judged = upto;
		after = drains();
		TEST_ASSERT(wrong <= after.sequences - before.sequences, "cycle %lu, %s: %lu torn pairs, %llu sequences were cut off", i,
			    what == 0 ? "killed" : what == 1 ? "detached" : "updated", wrong, after.sequences - before.sequences);
		TEST_ASSERT(!what || after.sequences == before.sequences, "cut off although it was drained");
		before = after;
	}
	stop = 1;
	vmm_join(r[0].vmm, 0);
	report(&r[now], "moments");
	printf("   %lu killed (%lu with a sequence in flight), %lu detached, %lu updated (%lu of both with one in flight); %lu notes, %lu latch "
	       "commands answered\n", how[0], killed, how[1], how[2], in_flight, noted, total);
	TEST_ASSERT(in_flight > n / 20 && killed > n / 50, "hardly ever was a sequence in flight");
	r[!now].link = NULL;
	bpf_link__destroy(r[now].link);
	pit_bpf__destroy(r[0].skel);
	pit_bpf__destroy(r[1].skel);
	vmm_free(r[0].vmm);
	free(times);
}

/* A guest that has latched, and does not read on. */
static volatile int half, read_on;

static void guest_half(long arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 3; i++)
		inb(PIT_PORT);
	guest_program(0, PIT_RW_WORD, 2, 0);
	for (i = 0; i < 100; i++)
		guest_latched(0);
	outb(0, PIT_CONTROL);
	inb(PIT_PORT);
	half = 1;
	while (!read_on)
		;
	inb(PIT_PORT);
}

static void cut_off(void)
{
	struct drains before, after;
	struct run r;
	int tries;

	for (tries = 0; tries < 10; tries++) {
		setup(&r, 1);
		half = read_on = 0;
		vmm_start(r.vmm, 0, guest_half, 0);
		while (!half)
			usleep(100);
		before = drains();
		if (r.p->head.in_flight == 1)
			break;
		read_on = 1;
		vmm_join(r.vmm, 0);
		teardown(&r);
	}
	TEST_ASSERT(tries < 10, "the latch was never the filter's");
	TEST_EQ(r.p->channels[0].latched, PIT_RW_MSB);
	bpf_link__destroy(r.link);
	r.link = NULL;
	after = drains();
	TEST_EQ(after.cut_off - before.cut_off, 1);
	TEST_EQ(after.sequences - before.sequences, 1);
	TEST_EQ(r.p->head.cut, 1);
	read_on = 1;
	vmm_join(r.vmm, 0);
	report(&r, "cut off");
	teardown(&r);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "in_kernel", in_kernel },
		{ "latched", latched },
		{ "stress", stress },
		{ "moments", moments },
		{ "cut_off", cut_off },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
