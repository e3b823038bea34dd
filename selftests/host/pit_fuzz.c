// SPDX-License-Identifier: GPL-2.0
/*
 * Random guests against the PIT's fast path. Two models of devices/pit.c, which shares no code with it: "vmm" gets only what the
 * fast path punts; "guest" gets everything, as if there were no filter. Flip-flops, latches, status bytes, toggles and
 * every value that the VMM itself answers must agree exactly; a value that the filter answers must be one that the guest's
 * device showed at this moment or shortly before, and not before the last that the guest knows of. And at any moment the VMM's device
 * with what the filter has in flight (pit_take()) is the guest's: a VMM that is saved then loses nothing.
 *
 * At random accesses the VM is saved, and goes on with a filter that was just attached and has restored what was saved, on a host with another
 * CLOCK_MONOTONIC: what is in flight then must come out as if nothing had been.
 */
#include <iofilter/pit_access.h>
#include <devices/pit.h>
#include <devices/pit_filter.h>
#include "host.h"
#include "pit_state.h"
#include "saverestore.h"

#define MAX_OPS	 700
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

static struct sim total;

static __u64 sim_clock(void *arg)
{
	struct sim *s = arg;

	return s->now - s->stopped;
}

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

/* The VMM's two sides of the same access, at the same moment. */
static uint8_t vmm_access(struct sim *s, const struct op *op)
{
	uint8_t a = 0, b = 0;
	int ch = op->port & 3, i, len = op->string ? 1 : op->len;

	if (op->write)
		latch_begins(s, op, 0);
	if (!op->write && op->port < PIT_CONTROL && len == 1 && !op->string) {
		if (read_kind(&s->guest.counters[ch]) != read_kind(&s->vmm.counters[ch]))
			wrong(s, "the VMM's flip-flops and latches are not the guest's");
		/* A high byte alone does not show when it was read. */
		if (read_kind(&s->guest.counters[ch]) == 'L')
			s->known[ch] = s->now;
		else if (s->guest.counters[ch].count_latched && s->guest.counters[ch].count_latched != 3 &&
			 s->guest.counters[ch].rw_mode != 2 && !s->latch_here[ch] && s->latch_at[ch] > s->known[ch])
			s->known[ch] = s->latch_at[ch];
	}
	for (i = 0; i < len * (op->string ? op->string : 1); i++) {
		uint16_t port = op->string ? op->port : op->port + i;

		if (op->port == PIT_SYSTEM ? port != PIT_SYSTEM : port > PIT_CONTROL)
			continue;
		if (op->write) {
			pit_port_write(&s->vmm, port, op->val);
			pit_port_write(&s->guest, port, op->val);
			continue;
		}
		a = pit_port_read(&s->vmm, port);
		b = pit_port_read(&s->guest, port);
		if (a != b && len == 1 && !op->string)
			wrong(s, port == PIT_SYSTEM ? "the VMM's toggle is not the guest's" : "the VMM's count is not the guest's");
	}
	return a;
}

static void settle(struct sim *s, int vcpu)
{
	if (s->open_vcpu < 0)
		return;
	s->open.t1 = s->now;
	if (!(s->open.flags & KVM_IOFILTER_SAMPLE_WRITE))
		s->open.flags = vcpu == s->open_vcpu ? 0 : KVM_IOFILTER_SAMPLE_OTHER;
	s->open_vcpu = -1;
	pit_on_sample(s->pit, &s->open);
}

/* Sequences that nobody can end: go on with what the VMM has. */
static void cut(struct sim *s)
{
	int ch;

	for (ch = 0; ch < 3; ch++) {
		if (s->cuts[ch] == s->pit->channels[ch].cuts)
			continue;
		s->nr_cuts += s->pit->channels[ch].cuts - s->cuts[ch];
		s->cuts[ch] = s->pit->channels[ch].cuts;
		s->guest.counters[ch] = s->vmm.counters[ch];
		s->latch_here[ch] = 0;
	}
	if (s->cuts[3] != s->pit->cuts)
		s->guest.refresh = s->vmm.refresh;
	s->nr_cuts += s->pit->cuts - s->cuts[3];
	s->cuts[3] = s->pit->cuts;
}

/* As it is attached. */
static struct iofilter_pit *attach(int n)
{
	static struct iofilter_pit *pits[2];
	struct iofilter_pit *pit = pits[n];
	int i;

	if (!pit)
		pit = pits[n] = aligned_alloc(64, sizeof(*pit));
	/* Not the vCPUs that are never used. */
	memset(pit, 0, offsetof(struct iofilter_pit, channels));
	for (i = 0; i < PIT_CHANNELS; i++)
		memset(&pit->channels[i], 0, offsetof(struct pit_channel, vcpus) + 4 * sizeof(struct iofilter_vcpu));
	pit_init(pit);
	for (i = 0; i < PIT_CHANNELS; i++)
		pit->channels[i].clock.calibrating = 0;
	return pit;
}

static uint64_t shifted(uint64_t t, uint64_t from, uint64_t to)
{
	/* Before its time began it was long ago. */
	return from - t > to ? 0 : to - (from - t);
}

/*
 * The VM is stopped, and nothing is at the VMM any more; the filter may never get to know what came back last. The virtual time stands
 * meanwhile.
 */
static void save(struct sim *s, const struct op *op)
{
	struct iofilter_pit *fresh = attach(s->saves++ & 1 ? 0 : 1);
	uint64_t shift = op->host - s->now;
	int i;

	if (op->host & 1)
		settle(s, s->open_vcpu);
	s->open_vcpu = -1;
	cut(s);
	restore_now = s->now;
	registers_move("pit", s->pit, fresh, shift);
	if (s->saves == 1)
		s->answered_before = s->answered;
	s->old = s->pit;
	s->shift = shift;
	s->pit = fresh;
	memset(s->cuts, 0, sizeof(s->cuts));
	for (i = 0; i < PIT_CHANNELS; i++) {
		s->known[i] = shifted(s->known[i], s->now, op->host);
		s->latch_at[i] = shifted(s->latch_at[i], s->now, op->host);
	}
	s->now += shift;
	s->stopped += shift;
	/* The first that the module tells a filter that was just attached. */
	if (op->host & 2)
		pit_on_sample(fresh, &(struct kvm_iofilter_sample){ .t1 = s->now, .flags = KVM_IOFILTER_SAMPLE_LOST });
	for (i = 0; i < NR_VCPUS; i++) {
		s->exit_at[i] = s->now;
		s->pauses[i] = s->paused;
		s->slept[i] = 0;
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

static void run_op(struct sim *s, const struct op *op)
{
	struct kvm_iofilter_req req = {
		.addr = op->port, .len = op->len, .count = 1, .vcpu = op->vcpu, .val = op->write ? op->val : 0,
	};
	const char *lost;
	int handled;
	uint8_t val;

	s->now += op->think;
	if (op->host)
		save(s, op);
	if (op->pause) {
		s->now += op->pause;
		s->stopped += op->pause;
		s->paused++;
		/* What was known before has become older by the pause. */
		for (int i = 0; i < 3; i++)
			s->known[i] += op->pause, s->latch_at[i] += op->pause;
	}
	if (op->reset) {
		pit_reset(&s->vmm);
		pit_reset(&s->guest);
	}
	if (s->pauses[op->vcpu] != s->paused) {
		s->pauses[op->vcpu] = s->paused;
		req.away = s->now - s->exit_at[op->vcpu];
		req.flags |= KVM_IOFILTER_REQ_AWAY;
	}
	if (s->slept[op->vcpu])
		req.flags |= KVM_IOFILTER_REQ_SLEPT;
	s->slept[op->vcpu] = 0;
	if (op->string) {
		req.flags |= KVM_IOFILTER_REQ_STRING;
		req.count = op->string;
	}
	req.now = s->now;
	s->exit_at[op->vcpu] = s->now;
	if (s->followed)
		registers_before("pit", s->pit);
	settle(s, op->vcpu);
	handled = op->write ? pit_on_write(s->pit, &req) : pit_on_read(s->pit, &req);
	lost = s->followed ? registers_after("pit", s->pit) : NULL;
	if (lost)
		wrong(s, lost);
	if (op->host && s->old->odd)
		check_odd(s, op, handled);
	cut(s);
	if (handled) {
		s->answered++;
		s->handled_writes += op->write;
		if (op->write) {
			latch_begins(s, op, 1);
			pit_port_write(&s->guest, op->port, op->val);
		} else {
			check_answer(s, op, req.val);
		}
		s->now += 1000;
		return;
	}
	s->punted++;
	s->now += req.delay;
	s->slept[op->vcpu] = !!req.delay;
	s->open.t0 = s->now;
	s->now += op->in;
	val = vmm_access(s, op);
	s->now += op->out;
	s->open.flags = op->write ? KVM_IOFILTER_SAMPLE_WRITE : 0;
	s->open_vcpu = op->vcpu;
	s->open.addr = op->port;
	s->open.len = op->len;
	s->open.val = val;
	s->open.vcpu = op->vcpu;
}

/* Return: the index of the first wrong answer, or -1. */
static int run(struct sim *s, struct op *ops, int n)
{
	static struct sim blank;
	int i;

	*s = blank;
	s->pit = attach(0);
	s->vmm.clock = s->guest.clock = sim_clock;
	s->vmm.arg = s->guest.arg = s;
	s->now = 5 * IOFILTER_NSEC_PER_SEC;
	s->open_vcpu = -1;
	s->followed = ops[0].in & 1;
	pit_power_on(&s->vmm);
	s->guest = s->vmm;
	for (i = 0; i < n && !s->wrong; i++) {
		s->at = i;
		run_op(s, &ops[i]);
		check_fold(s);
	}
	return s->wrong ? s->at : -1;
}

/* --- programs --- */

struct gen {
	struct op *ops;
	int n, vcpus;
	uint32_t think;
	int rw[3];
};

static void emit(struct gen *g, int write, int port, int val)
{
	struct op *op = &g->ops[g->n];
	uint64_t r = rnd();

	if (g->n == MAX_OPS)
		return;
	g->n++;
	*op = (struct op){
		.write = write, .port = port, .val = val, .len = 1,
		.vcpu = g->vcpus > 1 && rnd() % 16 == 0,
		.think = 100 + rnd() % g->think,
		.in = 500 + rnd() % 3000,
		.out = 500 + rnd() % 3000,
	};
	if (r % 97 == 0)
		op->think = rnd() % 3000000;
	else if (r % 997 == 0)
		op->think = rnd() % 4000000000;
	if (r % 101 == 1)
		op->in += rnd() % 200000;
	if (r % 499 == 2)
		op->pause = 100000 + rnd() % (rnd() % 8 ? 1000000 : 10000000000);
	if (r % 4999 == 3) {
		op->pause = 200000;
		op->reset = 1;
	}
	if (r % 1999 == 4)
		op->len = 2;
	if (r % 701 == 6)
		op->host = IOFILTER_NSEC_PER_SEC + rnd() % (rnd() % 2 ? 20 : 1000000) * IOFILTER_NSEC_PER_SEC + rnd() % IOFILTER_NSEC_PER_SEC;
	if (r % 1999 == 5)
		op->string = 2 + rnd() % 3;
}

static void gen_program(struct gen *g, int ch)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 191, 1000, 1193, 11932, 11933, 0x1000, 65535 };
	int rw = rnd() % 4 ? 3 : 1 + rnd() % 2, count = rnd() % 3 ? counts[rnd() % ARRAY_SIZE(counts)] : (int)(rnd() & 0xffff);

	g->rw[ch] = rw;
	emit(g, 1, PIT_CONTROL, ch << 6 | rw << 4 | (rnd() & 0xf));
	if (rw & 1)
		emit(g, 1, PIT_PORT + ch, count);
	if (rw & 2)
		emit(g, 1, PIT_PORT + ch, count >> 8);
}

static void gen_reads(struct gen *g, int ch, int n)
{
	while (n--)
		emit(g, 0, PIT_PORT + ch, 0);
}

static void gen_ops(struct gen *g)
{
	int ch = rnd() % 3, i, n = 1 + rnd() % 12;

	switch (rnd() % 10) {
	case 0:
		gen_program(g, ch);
		break;
	case 1:
		gen_program(g, 2);
		emit(g, 1, PIT_SYSTEM, rnd() & 3);
		for (i = 0; i < n; i++)
			emit(g, 0, PIT_SYSTEM, 0);
		break;
	case 2: case 3: case 4:
		for (i = 0; i < n; i++) {
			emit(g, 1, PIT_CONTROL, ch << 6);
			gen_reads(g, ch, rnd() % 8 ? (g->rw[ch] == 3 ? 2 : 1) : rnd() % 4);
		}
		break;
	case 5:
		emit(g, 1, PIT_CONTROL, 0xc0 | (rnd() & 0x3e));
		for (i = rnd() % 8; i > 0; i--)
			gen_reads(g, rnd() % 3, 1);
		break;
	case 6:
		gen_reads(g, ch, rnd() % 3 ? n : 150);
		break;
	case 7:
		for (i = 0; i < n; i++)
			emit(g, 0, PIT_SYSTEM, 0);
		break;
	case 8:
		emit(g, 1, rnd() % 3 ? PIT_SYSTEM : PIT_PORT + ch, rnd());
		break;
	default:
		for (i = rnd() % 4; i > 0; i--)
			emit(g, rnd() & 1, rnd() % 5 ? PIT_PORT + rnd() % 4 : PIT_SYSTEM, rnd());
	}
}

static int generate(struct op *ops)
{
	struct gen g = { .ops = ops, .vcpus = 1 + (rnd() % 4 == 0), .think = 1 << (8 + rnd() % 8) };
	int ch, want = 20 + rnd() % 300;

	for (ch = 0; ch < 3; ch++)
		gen_reads(&g, ch, 3);
	for (ch = 0; ch < 3; ch++)
		if (rnd() % 8)
			gen_program(&g, ch);
	if (rnd() % 2)
		emit(&g, 0, PIT_SYSTEM, 0);
	while (g.n < want)
		gen_ops(&g);
	return g.n;
}

/* --- a failure, made small --- */

static int minimise(struct sim *s, struct op *ops, int n)
{
	const char *what = s->wrong;
	struct op less[MAX_OPS];
	int i, m, len, progress = 1;

	for (len = n / 2; len >= 1; len = progress ? len : len / 2) {
		progress = 0;
		for (i = 0; i + len <= n; i++) {
			memcpy(less, ops, i * sizeof(*ops));
			memcpy(less + i, ops + i + len, (n - i - len) * sizeof(*ops));
			/* The time that they took stays. */
			m = run(s, less, n - len);
			if (m < 0 || s->wrong != what)
				continue;
			n = m + 1;
			memcpy(ops, less, n * sizeof(*ops));
			progress = 1;
		}
	}
	return n;
}

static void trace(struct sim *s, struct op *ops, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		printf("#  vcpu %d, %u ns later", ops[i].vcpu, ops[i].think);
		if (ops[i].pause)
			printf(", stopped for %llu ns", (unsigned long long)ops[i].pause);
		if (ops[i].reset)
			printf(", reset");
		printf(": %s 0x%02x", ops[i].write ? "out" : "in", ops[i].port);
		if (ops[i].write)
			printf(", 0x%02x", ops[i].val);
		if (ops[i].len != 1)
			printf(" (%d bytes)", ops[i].len);
		if (ops[i].string)
			printf(" (string of %d)", ops[i].string);
		printf("; if punted %u + %u ns\n", ops[i].in, ops[i].out);
	}
	run(s, ops, n);
	printf("#  %s\n", s->wrong);
}

static void random_programs(void **state)
{
	unsigned long i, n = restore_mutant ? 50000 : 100000 * scale(), cuts = 0, with_cuts = 0;
	struct op ops[MAX_OPS];
	uint64_t seed_of;
	struct sim s;
	int len;

	(void)state;
	for (i = 0; i < n; i++) {
		seed_of = rnd_state;
		len = generate(ops);
		if (run(&s, ops, len) >= 0) {
			assert_false(restore_mutant);
			printf("# program %lu, SEED=%llu: %s; the least that does it:\n", i, (unsigned long long)seed_of, s.wrong);
			len = minimise(&s, ops, s.at + 1);
			trace(&s, ops, len);
			fail_msg("program %lu", i);
		}
		total.answered += s.answered;
		total.punted += s.punted;
		total.handled_writes += s.handled_writes;
		total.live += s.live;
		total.pairs += s.pairs;
		total.latched += s.latched;
		total.status += s.status;
		total.system += s.system;
		total.folded += s.folded;
		cuts += s.nr_cuts;
		with_cuts += !!s.nr_cuts;
		total.odd_ended += s.odd_ended;
		total.odd_cut += s.odd_cut;
		restore_count.programs += !!s.saves;
		restore_count.answered += s.saves ? s.answered - s.answered_before : 0;
	}
	printf("# %lu programs: %llu answered (%llu unlatched, of these %llu MSBs of pairs, %llu latched, %llu status, %llu of port 0x61, "
	       "%llu latch commands), %llu punted, %lu cuts in %lu programs; %llu moments with something in flight\n", n, (unsigned long long)total.answered,
	       (unsigned long long)total.live, (unsigned long long)total.pairs, (unsigned long long)total.latched,
	       (unsigned long long)total.status, (unsigned long long)total.system, (unsigned long long)total.handled_writes,
	       (unsigned long long)total.punted, cuts, with_cuts, (unsigned long long)total.folded);
	/* Else it shows nothing. */
	assert_true(total.live > n && total.pairs > n / 20 && total.latched > n && total.status > n / 20 && total.system > n / 2 &&
		    total.folded > n);
	restore_print("pit");
	follow_print("pit");
	assert_true(follow_count.told > 10 * n && follow_count.quiet > n && follow_count.by == 0x3f);
	printf("# of port 0x61 the second of two came just after a save: %llu answered, %llu left to the VMM\n", (unsigned long long)total.odd_ended,
	       (unsigned long long)total.odd_cut);
	assert_true(restore_count.saves >= 1000 && restore_count.in_flight >= 500 && restore_count.answered >= 10000);
}

static int programs(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	static const struct restore_spared spared[] = {
		{}
	};

	seed();
	return programs() || registers_mutants("pit", programs, spared);
}
