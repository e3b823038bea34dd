// SPDX-License-Identifier: GPL-2.0
/*
 * The PIT's program on the real module and KVM: what is answered is what the VMM's device showed at that moment, on one vCPU and on two,
 * and a filter that goes leaves no half of a pair behind.
 */
#include <sys/ioctl.h>
#include "pit.h"

/* In the guest: latched counts of a channel, each with its time. */
#define NR_NOTES 4096

static struct note {
	__u64 before, after;
	__u16 val;
} notes[NR_NOTES];

static void guest_latches(long ch)
{
	int i;

	guest_program(ch, PIT_RW_WORD, 2, 0);
	for (i = 0; i < NR_NOTES; i++) {
		notes[i].before = guest_tsc();
		outb(ch << 6, PIT_CONTROL);
		notes[i].after = guest_tsc();
		notes[i].val = guest_pair(ch);
	}
}

/* Each was the count when it was latched, or (the filter's lag) up to @slack before. */
static void check_notes(int ch, int n, const struct tsc_moment *a, const struct tsc_moment *b, __u64 slack)
{
	__s64 worst = 0;
	__u64 from, to;
	int i;

	for (i = 0; i < n; i++) {
		from = tsc_to_ns(a, b, notes[i].before);
		to = tsc_to_ns(a, b, notes[i].after);
		if (count_within(&device, ch, notes[i].val, from - 1000, to + 1000))
			continue;
		TEST_ASSERT(count_within(&device, ch, notes[i].val, from - 1000 - slack, to + 1000),
			    "note %d: latched %#x between %llu and %llu ns after the load, where it was %#x to %#x (slack %llu ns)", i, notes[i].val,
			    from - device.counters[ch].count_load_time, to - device.counters[ch].count_load_time, count_at(&device, ch, from),
			    count_at(&device, ch, to), slack);
		worst++;
	}
	printf("   %d latched counts, %lld of them late\n", n, worst);
}

/* Emulated machines stumble: give it a few chances. */
static void latched(void)
{
	unsigned long exits;
	struct tsc_moment a, b;
	struct run r;
	int ch, tries;
	__u64 commands;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		setup(&r, 1);
		tsc_learn(r.vmm);
		for (tries = 0; tries < 10; tries++) {
			commands = r.p->commands;
			exits = pit_exits;
			a = tsc_now();
			vmm_run(r.vmm, 0, guest_latches, ch);
			b = tsc_now();
			check_notes(ch, NR_NOTES, &a, &b, r.p->channels[ch].clock.bracket);
			if (r.p->commands - commands > NR_NOTES * 9 / 10)
				break;
		}
		report(&r, "latched");
		TEST_ASSERT(tries < 10, "channel %d: only %llu of %d were answered", ch, r.p->commands - commands, NR_NOTES);
		TEST_ASSERT(pit_exits - exits < NR_NOTES, "%lu accesses came to the VMM", pit_exits - exits);
		TEST_EQ(r.p->head.in_flight, 0);
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

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "in_kernel", in_kernel },
		{ "latched", latched },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
