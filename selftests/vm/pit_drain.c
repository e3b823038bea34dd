// SPDX-License-Identifier: GPL-2.0
/* A PIT's filter that goes, in the middle of what it has begun: the guest gets no half of it from the VMM, or that is counted. */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include "pit_notes.h"

#define DRAINS "/sys/kernel/debug/kvm_iofilter/drains"

static volatile unsigned long judged;
static volatile int stop;

static void io_loads(struct vmm *vmm, struct vmm_access *a)
{
	__s64 before = device.counters[0].count_load_time;

	vmm_io(vmm, a);
	if (device.counters[0].count_load_time != before) {
		load_times[(loads + 1) % NR_LOADS] = device.counters[0].count_load_time;
		loads++;
	}
}

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

static int holds_files(void *unused)
{
	(void)unused;
	while (pause())
		;
	return 0;
}

/* The last process that holds the link dies of SIGKILL. It shares this one's memory: a copy would move the guest's pages. */
static void kill_holder(struct bpf_link *link)
{
	static char stack[16384] __attribute__((aligned(16)));
	pid_t pid = clone(holds_files, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);

	TEST_ASSERT(pid > 0, "clone: %s", strerror(errno));
	bpf_link__destroy(link);
	kill(pid, SIGKILL);
	TEST_EQ(waitpid(pid, NULL, 0), pid);
}

static void moments(void)
{
	unsigned long i, n = test_count(500, 10000), upto, wrong, torn = 0, cut = 0, spare = 0;
	unsigned long in_flight = 0, how[3] = {}, killed = 0, total = 0, now_cut;
	struct drains before, after;
	struct pit_channel *times = malloc(sizeof(*times));
	unsigned int seed = test_seed();
	struct run r[2];
	int now = 0, ms;
	__u64 slack;

	printf("   SEED=%u\n", seed);
	srandom(seed);
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
		if (i && i % 1000 == 0)
			printf("   %lu of %lu, %lu notes, %lu cut off, %lu torn\n", i, n, noted, cut, torn);
		TEST_ASSERT(ms < 2000, "cycle %lu: not answered within a second", i);
		usleep(random() % 3000);
		how[what]++;
		total += p->commands;
		if (what == 0) {
			killed += !!*(volatile __u32 *)&p->head.in_flight;
			kill_holder(r[now].link);
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
		now_cut = after.sequences - before.sequences;
		/* A guest that was preempted since its sequence was cut off notes it in the next cycle. */
		TEST_ASSERT(wrong <= now_cut + spare, "cycle %lu, %s: %lu torn pairs, %lu sequences were cut off, and %lu before", i,
			    what == 0 ? "killed" : what == 1 ? "detached" : "updated", wrong, now_cut, spare);
		spare = now_cut > wrong ? now_cut - wrong : 0;
		torn += wrong;
		cut += now_cut;
		TEST_ASSERT(!what || after.sequences == before.sequences, "cut off although it was drained");
		before = after;
	}
	stop = 1;
	vmm_join(r[0].vmm, 0);
	report(&r[now], "moments");
	printf("   %lu killed (%lu with a sequence in flight, %lu were cut off), %lu detached, %lu updated (%lu of both with one in flight); "
	       "%lu notes, %lu torn, %lu latch commands answered\n", how[0], killed, cut, how[1], how[2], in_flight, noted, torn, total);
	TEST_ASSERT(in_flight > n / 20 && killed > n / 50, "hardly ever was a sequence in flight");
	/* A guest that reads on within the bound ends its sequence. */
	TEST_ASSERT(cut <= killed / 2, "of %lu that were killed with one, %lu were cut off", killed, cut);
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
		{ "moments", moments },
		{ "cut_off", cut_off },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
