/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The judge of a guest of the PIT's fast path. Two models of devices/pit.c, which shares no code with it: "vmm" gets only what the
 * fast path punts; "guest" gets everything, as if there were no filter. Flip-flops, latches, status bytes, toggles and
 * every value that the VMM itself answers must agree exactly; a value that the filter answers must be one that the guest's
 * device showed at this moment or shortly before, and not before the last that the guest knows of. And at any moment the VMM's device
 * with what the filter has in flight (pit_take()) is the guest's: a VMM that is saved then loses nothing.
 */
#ifndef SELFTESTS_PITJUDGE_H
#define SELFTESTS_PITJUDGE_H

#include <iofilter/pit_access.h>
#include <devices/pit.h>
#include <devices/pit_filter.h>
#include "host.h"
#include "pit_state.h"

#define STEP	 400 /* ns between the moments that an answer is compared with: less than a tick */
#define MOMENTS	 (IOFILTER_BRACKET_NS / STEP + 4)
#define NR_VCPUS 2

struct op {
	uint8_t write, port, val, vcpu, len, string, reset;
	uint32_t think, in, out; /* ns: in the guest before it; from the exit to the VMM's clock; and back */
	uint64_t pause; /* ns that the VM is stopped before it */
	uint64_t host; /* not 0: the VM is saved before it, and goes on where CLOCK_MONOTONIC is this */
};

struct sim {
	struct iofilter_pit *pit;
	struct pit vmm, guest;
	int followed; /* a VMM follows what accesses change */
	uint64_t now, stopped; /* V is now - stopped */
	struct op *ops;
	int n, at;
	const char *wrong;

	/* A punted read whose answer was not given to the fast path yet, or a write that it does not know to be done. */
	struct kvm_iofilter_sample open;
	int open_vcpu;
	uint64_t exit_at[NR_VCPUS], pauses[NR_VCPUS], paused;
	int slept[NR_VCPUS];

	/* What the count that was latched here may be. */
	uint16_t latch[3][MOMENTS];
	int nr_latch[3];
	int latch_here[3];
	uint64_t latch_at[3];
	uint64_t seq_pauses[3], odd_pauses; /* pauses when the sequence began */
	int64_t seq_load[3];
	uint64_t known[3]; /* time of the newest answer that shows a count */

	uint64_t cuts[4], nr_cuts;
	uint64_t saves, answered_before;
	const struct iofilter_pit *old; /* as it was at the newest save */
	uint64_t shift; /* of CLOCK_MONOTONIC then */
	uint64_t odd_ended, odd_cut;
	uint64_t answered, punted, handled_writes, live, pairs, latched, status, system, folded;
};

static void wrong(struct sim *s, const char *why)
{
	if (!s->wrong)
		s->wrong = why;
}

/* What the guest's device could have shown for the answer of this moment. */
static int moments(struct sim *s, int ch, uint16_t *values, uint8_t *outs)
{
	uint64_t now = s->now, back, known = values ? s->known[ch] : 0;
	struct pit_counter *c = &s->guest.counters[ch];
	int n = 0;

	for (back = 0; n < (int)MOMENTS - 1 && back <= IOFILTER_BRACKET_NS + STEP; back += STEP) {
		/* Not before it was loaded, nor before what the guest has seen. */
		if ((int64_t)(now - back - s->stopped) < c->count_load_time || now - back < known)
			break;
		s->now = now - back;
		if (values)
			values[n] = pit_get_count(&s->guest, ch);
		if (outs)
			outs[n] = pit_get_out(&s->guest, ch);
		n++;
	}
	s->now = (int64_t)(known - s->stopped) > c->count_load_time ? known : c->count_load_time + s->stopped;
	if (now - s->now <= IOFILTER_BRACKET_NS + STEP) {
		if (values)
			values[n] = pit_get_count(&s->guest, ch);
		if (outs)
			outs[n] = pit_get_out(&s->guest, ch);
		n++;
	}
	s->now = now;
	return n;
}

static int one_of(const uint16_t *values, int n, int shift, uint8_t val)
{
	while (n--)
		if ((uint8_t)(values[n] >> shift) == val)
			return 1;
	return 0;
}

/* How the device would answer a counter's read: 's'tatus, 'l'atched or un'L'atched low, 'm' and 'M' high byte. */
static char read_kind(const struct pit_counter *c)
{
	if (c->status_latched)
		return 's';
	if (c->count_latched)
		return c->count_latched == 2 ? 'm' : 'l';
	return c->read_state == 2 || c->read_state == 4 ? 'M' : 'L';
}

static void check_latched(struct sim *s, int ch, char kind, uint8_t val)
{
	int i, n = 0;

	for (i = 0; i < s->nr_latch[ch]; i++)
		if ((uint8_t)(s->latch[ch][i] >> (kind == 'm' ? 8 : 0)) == val)
			s->latch[ch][n++] = s->latch[ch][i];
	s->nr_latch[ch] = n;
	if (!n)
		wrong(s, "the latched count is none that was latched");
}

static void check_answer(struct sim *s, const struct op *op, uint8_t val)
{
	int ch = op->port & 3, n;
	uint16_t values[MOMENTS];
	uint8_t outs[MOMENTS], want;
	char kind;

	if (op->port == PIT_SYSTEM) {
		s->system++;
		want = pit_port_read(&s->guest, op->port);
		n = moments(s, 2, NULL, outs);
		if ((want ^ val) & PIT_61_REFRESH)
			wrong(s, "port 0x61: toggle");
		/* The second of two, and the VM was stopped or reset in between. */
		if (s->odd_pauses != s->paused && !s->pit->odd)
			return;
		s->odd_pauses = s->paused;
		if ((want ^ val) & ~PIT_61_OUT)
			wrong(s, "port 0x61: gate or data");
		while (n--)
			if (outs[n] == !!(val & PIT_61_OUT))
				return;
		wrong(s, "port 0x61: output");
		return;
	}
	kind = read_kind(&s->guest.counters[ch]);
	if (kind == 's') {
		s->status++;
		if (pit_port_read(&s->guest, op->port) != val)
			wrong(s, "status");
		return;
	}
	if (kind == 'l' || kind == 'm') {
		s->latched++;
		if (!s->latch_here[ch])
			wrong(s, "answered what the VMM had latched");
		else
			check_latched(s, ch, kind, val);
		pit_port_read(&s->guest, op->port);
		return;
	}
	s->live++;
	s->pairs += s->guest.counters[ch].read_state == 4;
	n = moments(s, ch, values, NULL);
	/* The second of two, and the VM was stopped or a count loaded in between. */
	if (s->guest.counters[ch].read_state != 4 ||
	    (s->seq_pauses[ch] == s->paused && s->seq_load[ch] == s->guest.counters[ch].count_load_time))
		if (!one_of(values, n, kind == 'M' ? 8 : 0, val))
			wrong(s, "count");
	s->seq_pauses[ch] = s->paused;
	s->seq_load[ch] = s->guest.counters[ch].count_load_time;
	pit_port_read(&s->guest, op->port);
}

static void latch_begins(struct sim *s, const struct op *op, int here)
{
	int ch, counts;

	if (op->port != PIT_CONTROL || ((op->val >> 6) != 3 && op->val & 0x30) || ((op->val >> 6) == 3 && op->val & 0x20))
		return;
	counts = (op->val >> 6) == 3 ? op->val >> 1 & 7 : 1 << (op->val >> 6);
	for (ch = 0; ch < 3; ch++) {
		if (!(counts >> ch & 1) || s->guest.counters[ch].count_latched)
			continue;
		s->latch_here[ch] = here;
		s->latch_at[ch] = s->now;
		if (here)
			s->nr_latch[ch] = moments(s, ch, s->latch[ch], NULL);
	}
}

/* The first access after a save is the second of two reads of port 0x61: it must be answered if it would have been before. */
static void check_odd(struct sim *s, const struct op *op, int handled)
{
	const struct pit_channel *c = &s->old->channels[2];
	__u64 out;

	if (op->write || op->port != PIT_SYSTEM || op->len != 1 || op->string || op->pause || op->reset)
		return;
	if (handled != !pit_out_forced(c, &c->vcpus[op->vcpu], s->now - s->shift, &out))
		wrong(s, "a save changes what becomes of the second of two");
	s->odd_ended += handled;
	s->odd_cut += !handled;
}

static void check_fold(struct sim *s)
{
	struct pit saved = s->vmm;
	int ch, i;

	pit_take(&saved, s->pit);
	for (ch = 0; ch < 3; ch++) {
		const struct pit_counter *a = &saved.counters[ch], *b = &s->guest.counters[ch];

		if (!(s->pit->channels[ch].states & state_of(&s->vmm.counters[ch])))
			wrong(s, "flip-flop or latches are in no state that is thought possible");
		if (a->count_latched != b->count_latched || a->status_latched != b->status_latched || a->read_state != b->read_state ||
		    (a->status_latched && a->status != b->status))
			wrong(s, "saved: flip-flops or latches");
		if (!a->count_latched || a->latched_count == b->latched_count)
			continue;
		for (i = 0; i < s->nr_latch[ch] && s->latch[ch][i] != a->latched_count; i++)
			;
		if (!s->latch_here[ch] || i == s->nr_latch[ch])
			wrong(s, "saved: the latched count");
	}
	if (saved.refresh != s->guest.refresh)
		wrong(s, "saved: toggle");
	for (ch = 0, i = saved.refresh != s->vmm.refresh; ch < 3; ch++)
		i |= memcmp(&saved.counters[ch], &s->vmm.counters[ch], sizeof(saved.counters[ch])) != 0;
	s->folded += i;
}

#endif /* SELFTESTS_PITJUDGE_H */
