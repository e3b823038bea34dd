/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The judge of a guest of port 0x61 beside KVM's PIT, with the filter on it. The VMM's port is a model on devices/pit.c, which shares no code
 * with the filter: what the filter answers must be what it would have shown at some moment of that access; bit 4 must alternate over all reads,
 * whoever answers; and an output of mode 0 that a guest has seen high stays so.
 */
#ifndef SELFTESTS_SPEAKERJUDGE_H
#define SELFTESTS_SPEAKERJUDGE_H

#include <iofilter/speaker_access.h>
#include <devices/pit.h>
#include "host.h"

#define NR_VCPUS  3
#define NR_STATES 64
#define STEP	  400 /* ns: less than a tick */

enum kind { READ, WRITE, PIT_WRITE, EXIT, HPET, PAUSE, STRING_READ, STRING_WRITE };
enum phase { GUEST, ENTERED, AT_VMM, ANSWERED_BY_VMM };
/* TIMED: bit 4 goes with the time, which may look like the reads' for a while. */
enum vmm { QEMU, QEMU7, CONSTANT, TIMED };

struct op {
	uint8_t kind, vcpu, port, val, load, reset, save, skip, lose, locked;
	uint32_t think, stall, in, out; /* ns: in the guest; preempted behind the exit; to the VMM's clock; and back */
	uint64_t pause;
};

/* What the VMM's answer depends on, since when. */
struct shown_state {
	uint64_t since;
	struct pit_counter c;
	int data;
	int lead;
};

struct vcpu {
	enum phase phase;
	int op;			/* the next, or the one under way */
	uint64_t at;		/* the next event */
	uint64_t entered, last; /* req->now; of the access before */
	int away;
	/* A punt that is not settled. */
	int mark, lost, write, wrote; /* wrote: another one before it, a write */
	uint64_t t0;
	uint8_t val;
	int asked;		/* the VMM has carried it out */
};

struct sim {
	struct iofilter_speaker p;
	struct pit k;		/* KVM's */
	enum vmm vmm;
	int data, refresh;	/* the VMM's */
	int lead;		/* of its clock */
	uint64_t now;
	struct op *ops;
	int n, at;
	const char *wrong;
	int followed; /* a VMM follows what accesses change */
	struct vcpu v[NR_VCPUS];
	struct shown_state states[NR_STATES];
	unsigned int nr_states;

	/* Bit 4 over a run of reads that overlap. */
	int reading, reads, ones, first, tainted;
	int64_t last_load;
	int seen_refresh;	/* the guest's, before this run; -1: none */
	uint64_t pauses, odd_pauses, races, odd_races; /* pauses: what may have been some */
	uint64_t cuts;
	/* Of mode 0. */
	uint64_t high_load, high_at;

	uint64_t answered, forced, punted, highs, edges, string_cuts, saves, answered_before, cuts_before;
	int loaded; /* another state, and nobody has come to the port since */
};

static struct sim *current;
static uint64_t clock_at;

static __u64 sim_clock(void *arg)
{
	(void)arg;
	return clock_at;
}

static void wrong(struct sim *s, const char *why)
{
	if (!s->wrong)
		s->wrong = why;
}

static int out_at(const struct shown_state *st, enum vmm vmm, uint64_t t)
{
	struct pit p = { .clock = sim_clock, .counters[2] = st->c };
	int out;

	clock_at = t + st->lead;
	/* A count that is read just when it is loaded. */
	if ((__s64)clock_at < st->c.count_load_time)
		clock_at = st->c.count_load_time;
	out = pit_get_out(&p, 2);
	return vmm == QEMU7 && st->c.mode == 1 ? !out : out;
}

static void note_state(struct sim *s)
{
	struct shown_state *st = &s->states[s->nr_states++ % NR_STATES];

	*st = (struct shown_state){ .since = s->now, .c = s->k.counters[2], .data = s->data, .lead = s->lead };
}

/* A read is over, and the guest has @val. */
static void guest_has(struct sim *s, uint64_t from, uint8_t val)
{
	const struct pit_counter *c = &s->k.counters[2];
	int high = !!(val & PIT_61_OUT);

	s->reads++;
	s->ones += !!(val & PIT_61_REFRESH);
	s->highs += high;
	/* It was programmed before this read began, and still counts. */
	if (c->mode != 0 || s->states[(s->nr_states - 1) % NR_STATES].since > from)
		return;
	if (high && s->high_load != (uint64_t)c->count_load_time) {
		s->high_load = c->count_load_time;
		s->high_at = s->now;
		s->edges++;
	} else if (!high && s->high_load == (uint64_t)c->count_load_time && from > s->high_at) {
		wrong(s, "the output stepped back");
	}
}

static void reading_begins(struct sim *s)
{
	if (s->reading++)
		return;
	s->reads = s->ones = s->tainted = 0;
	s->first = s->seen_refresh;
}

static void reading_ends(struct sim *s)
{
	/* Of two, the second was missed: the next access will count it as cut. */
	int cut = s->p.odd && (s->p.missed || s->p.confused), last = s->refresh ^ (s->p.odd && !cut);

	s->tainted |= cut;

	if (--s->reading)
		return;
	if (s->vmm == QEMU || s->vmm == QEMU7) {
		/* first ^ 1, first, .. */
		if (!s->tainted && s->ones != (s->first ? s->reads / 2 : (s->reads + 1) / 2))
			wrong(s, "bit 4 does not alternate");
		if (!s->tainted && last != (s->first ^ (s->reads & 1)))
			wrong(s, "bit 4 of filter and VMM do not go together");
	}
	s->seen_refresh = last;
}

/* Is @val what the VMM would have answered at some time in [@from, now]? @forced: or by a clock without its lead. */
static int possible(struct sim *s, uint64_t from, uint8_t val, int forced)
{
	uint64_t end = s->now, t;
	unsigned int i;

	for (i = s->nr_states; i-- > 0 && i + NR_STATES > s->nr_states;) {
		const struct shown_state *st = &s->states[i % NR_STATES];
		uint64_t begin = st->since > from ? st->since : from;

		if (st->data == !!(val & PIT_61_DATA) && st->c.gate == !!(val & PIT_61_GATE)) {
			for (t = forced ? begin - st->lead - IOFILTER_TOLERANCE_NS : begin; t < end; t += STEP)
				if (out_at(st, s->vmm, t) == !!(val & PIT_61_OUT))
					return 1;
			if (out_at(st, s->vmm, end) == !!(val & PIT_61_OUT))
				return 1;
		}
		/* The one before it has no say: its time was over. */
		if (st->since <= from)
			break;
		end = st->since;
	}
	return 0;
}

static void check_cut(struct sim *s, const struct op *op)
{
	const struct pit_counter *c = &s->k.counters[2];

	if (s->cuts == s->p.head.cut)
		return;
	s->cuts = s->p.head.cut;
	s->tainted = 1;
	if (!s->reading)
		s->seen_refresh = s->refresh;
	s->string_cuts += op->kind == STRING_READ;
	if (op->kind != STRING_READ && s->vmm != TIMED && s->pauses == s->odd_pauses && s->races == s->odd_races && c->mode != 1)
		wrong(s, "the second of two reads was left to the VMM");
}

#endif /* SELFTESTS_SPEAKERJUDGE_H */
