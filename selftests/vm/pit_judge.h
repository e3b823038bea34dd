/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The judge of random programs on a PIT, with or without the filter, and on KVM's own: a device (the twin) that gets every access of the
 * guest. What answers a read (status, latched or unlatched byte), status bits, the gate and the toggle of port 0x61 must be the twin's
 * exactly; a count or an output is one that the twin shows at some time in the read's bracket, which with the filter begins earlier by
 * the clock's.
 */
#ifndef SELFTESTS_VM_PIT_JUDGE_H
#define SELFTESTS_VM_PIT_JUDGE_H

#include "pit.h"

#define LOOSE_NS   3000000 /* of an access that took so long nothing is said */
#define KVM_OFF_NS 200000  /* so exactly QEMU has found out what its clock is against that of KVM's PIT */

static struct {
	struct pit twin; /* its clock is the end of the access */
	__u64 load_from[PIT_CHANNELS]; /* the count was loaded then or later, up to its count_load_time */
	struct latch {
		struct pit_counter c; /* when it was latched */
		__u64 from, to, load_from;
		int lsb;
		int out; /* of a status: 0, 1, -1: either */
	} latch[PIT_CHANNELS], status[PIT_CHANNELS];
	__u64 slack;
	bool kvm;
	bool behind_kvm; /* port 0x61 is QEMU's, and the PIT behind it KVM's */
	bool mode1_inverted; /* mode 1: the output is high until the count is over, as QEMU 7.2's */
	unsigned long exact, bracketed, loose;
	char why[160];
} judge;

/* KVM's PIT counts 1193181 Hz, the twin 1193182: its time goes so much slower. All times here are the twin's. */
static __u64 judge_time(__u64 ns)
{
	return judge.kvm ? ns - ns / 1193182 : ns;
}

/*
 * What KVM's PIT does as QEMU's does not, and is not judged: counts and output of channel 0 (it is a timer that goes around, with a least
 * period), the output of mode 1 (the other way round), bit 4 of port 0x61 (of the time), reads of the control port.
 */
static bool judged(int ch, const struct pit_counter *c)
{
	return !judge.kvm || (ch && (!c || c->mode != 1));
}

/* Ticks since the load go through [@from - load, @to - load_from]: is there one for which @fits? Return: -1, too many to say. */
static int some_moment(const struct pit_counter *c, __u64 load_from, __u64 from, __u64 to,
		       bool (*fits)(const struct pit *p, int ch, __u32 arg), __u32 arg)
{
	struct pit then = { .clock = clock_then };
	__s64 least = from - judge.slack - c->count_load_time, most = to - load_from, e;

	then.counters[0] = *c;
	if (most - least > LOOSE_NS)
		return -1;
	for (e = least < 0 ? 0 : least; e <= most; e += 838) {
		at_ns = c->count_load_time + e;
		if (fits(&then, 0, arg))
			return 1;
	}
	return 0;
}

static bool fits_lsb(const struct pit *p, int ch, __u32 arg)
{
	return (__u8)pit_get_count(p, ch) == arg;
}

static bool fits_msb(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_count(p, ch) >> 8 == (int)arg;
}

static bool fits_word(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_count(p, ch) == arg;
}

static bool fits_out(const struct pit *p, int ch, __u32 arg)
{
	return pit_get_out(p, ch) == arg;
}

static void wrong(const char *what, int got)
{
	if (!judge.why[0])
		snprintf(judge.why, sizeof(judge.why), "%s: got 0x%02x", what, got);
}

static void check_moment(int some, const char *what, int got)
{
	if (some < 0)
		judge.loose++;
	else if (some)
		judge.bracketed++;
	else
		wrong(what, got);
}

/* 0 or 1 if it cannot have been the other; else -1. */
static int out_then(int ch, const struct pit_counter *c, __u64 load_from, __u64 from, __u64 to)
{
	int high, low;

	if (!judged(ch, c))
		return -1;
	high = some_moment(c, load_from, from, to, fits_out, 1);
	low = some_moment(c, load_from, from, to, fits_out, 0);
	return high < 0 || low < 0 || high == low ? -1 : high ^ (c->mode == 1 && judge.mode1_inverted);
}

static void judge_latches(__u8 val, __u64 from, __u64 to)
{
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		struct latch l = { judge.twin.counters[ch], from, to, judge.load_from[ch], -1, -1 };
		bool named = val >> 6 == 3 ? val >> (1 + ch) & 1 : val >> 6 == ch;

		if (!named || (val >> 6 != 3 && PIT_RW(val)))
			continue;
		if (!l.c.count_latched && !(val >> 6 == 3 && val & PIT_RB_COUNT))
			judge.latch[ch] = l;
		if (!l.c.status_latched && val >> 6 == 3 && !(val & PIT_RB_STATUS)) {
			l.out = out_then(ch, &l.c, l.load_from, from, to);
			judge.status[ch] = l;
		}
	}
}

static void judge_write(__u16 port, __u8 val, __u64 from, __u64 to)
{
	__s64 loaded[PIT_CHANNELS];
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		loaded[ch] = judge.twin.counters[ch].count_load_time;
	/* KVM's PIT has no modes 6 and 7, which are 2 and 3. */
	if ((judge.kvm || judge.behind_kvm) && port == PIT_CONTROL && val >> 6 != 3 && PIT_RW(val) && (val >> 1 & 7) > 5)
		val &= ~8;
	if (port == PIT_CONTROL)
		judge_latches(val, from, to);
	at_ns = to;
	pit_port_write(&judge.twin, port, val);
	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		/* For a write of port 0x61 QEMU gets and sets all of KVM's PIT, which loads each count anew. */
		if (judge.behind_kvm && port == PIT_SYSTEM)
			judge.twin.counters[ch].count_load_time = to;
		if (judge.twin.counters[ch].count_load_time != loaded[ch])
			judge.load_from[ch] = from;
	}
}

static void judge_latched(int ch, bool msb, __u8 got)
{
	struct latch *l = &judge.latch[ch];
	int some;

	if (msb && l->lsb >= 0)
		some = some_moment(&l->c, l->load_from, l->from, l->to, fits_word, got << 8 | l->lsb);
	else
		some = some_moment(&l->c, l->load_from, l->from, l->to, msb ? fits_msb : fits_lsb, got);
	check_moment(some, msb ? "MSB of the latched count" : "LSB of the latched count", got);
	l->lsb = msb ? -1 : got;
}

static void judge_counter(int ch, __u8 got, __u64 from, __u64 to)
{
	struct pit_counter before = judge.twin.counters[ch];
	__u8 want;
	bool msb;

	at_ns = to;
	want = pit_port_read(&judge.twin, PIT_PORT + ch);
	if (before.status_latched) {
		if ((want ^ got) & ~PIT_STATUS_OUT)
			wrong("status", got);
		else if (judge.status[ch].out >= 0 && judge.status[ch].out != got >> 7)
			wrong("output in the status", got);
		judge.exact++;
	} else if (!judged(ch, NULL)) {
		judge.loose++;
	} else if (before.count_latched) {
		judge_latched(ch, before.count_latched == 2, got);
	} else {
		msb = before.read_state == 2 || before.read_state == 4;
		check_moment(some_moment(&before, judge.load_from[ch], from, to, msb ? fits_msb : fits_lsb, got),
			     msb ? "MSB of the count" : "LSB of the count", got);
	}
}

static void judge_system(__u8 got, __u64 from, __u64 to)
{
	__u64 off = judge.behind_kvm ? KVM_OFF_NS : 0;
	int out = out_then(2, &judge.twin.counters[2], judge.load_from[2], from - off, to + off);
	__u8 want;

	at_ns = to;
	want = pit_port_read(&judge.twin, PIT_SYSTEM);
	if ((want ^ got) & ~(PIT_61_OUT | (judge.kvm ? PIT_61_REFRESH : 0)))
		wrong("gate, speaker or toggle of port 0x61", got);
	else if (out >= 0 && out != !!(got & PIT_61_OUT))
		wrong("output in port 0x61", got);
	judge.exact++;
}

static void judge_port(bool write, __u16 port, __u8 data, __u64 from, __u64 to)
{
	if ((port < PIT_PORT || port > PIT_CONTROL) && port != PIT_SYSTEM)
		return;
	if (write)
		judge_write(port, data, from, to);
	else if (port == PIT_SYSTEM)
		judge_system(data, from, to);
	else if (port < PIT_CONTROL)
		judge_counter(port - PIT_PORT, data, from, to);
	else if (data && !judge.kvm)
		wrong("the control port", data);
}

#endif /* SELFTESTS_VM_PIT_JUDGE_H */
