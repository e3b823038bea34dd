/* SPDX-License-Identifier: GPL-2.0 */
/* A guest that latches counts and notes them with their time, and the host that judges them. */
#ifndef SELFTESTS_VM_PIT_NOTES_H
#define SELFTESTS_VM_PIT_NOTES_H

#include "pit.h"

/* Latched counts, each with its time. Filled by the guest; the host may follow. */
#define NR_NOTES 4096

static struct note {
	__u64 before, after;
	__u32 load; /* of how many */
	__u16 val;
} notes[NR_NOTES];
static volatile unsigned long noted;

/* When the VMM loaded the counter, by the number of the load. */
#define NR_LOADS 65536

static __s64 load_times[NR_LOADS];
static volatile unsigned long loads;

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

#endif /* SELFTESTS_VM_PIT_NOTES_H */
