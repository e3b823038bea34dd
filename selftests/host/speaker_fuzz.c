// SPDX-License-Identifier: GPL-2.0
/*
 * Random guests of up to three vCPUs against the fast path of port 0x61 beside KVM's PIT. The kernel's PIT and the VMM's port are models
 * on devices/pit.c, which shares no code with it. What the filter answers must be what the VMM would have shown at some moment of that
 * access; bit 4 must alternate over all reads, whoever answers; and an output of mode 0 that a guest has seen high stays so.
 * Some stops are such that the VM is saved, and goes on with a filter that was just attached and has restored what was saved.
 */
#include <iofilter/speaker_access.h>
#include <devices/pit.h>
#include "host.h"
#include "saverestore.h"

#define MAX_OPS	  400
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

/* KVM stores no mode above 5. */
static void kernel_write(struct sim *s, uint8_t port, uint8_t val)
{
	clock_at = s->now;
	pit_port_write(&s->k, port, val);
	if (port == PIT_CONTROL)
		s->high_load = 0;
	if (s->k.counters[2].mode > 5)
		s->k.counters[2].mode -= 4;
	note_state(s);
}

/* KVM_SET_PIT2 */
static void kernel_set(struct sim *s)
{
	s->k.counters[2].count_load_time = s->now;
	note_state(s);
}

static int speaker_channel(const struct kvm_iofilter_req *req, struct kvm_iofilter_pit_channel *ch)
{
	const struct pit_counter *c = &current->k.counters[2];

	(void)req;
	*ch = (struct kvm_iofilter_pit_channel){ .at = current->now, .load = c->count_load_time, .count = c->count, .mode = c->mode, .gate = c->gate };
	return 0;
}

static uint8_t vmm_read(struct sim *s)
{
	const struct shown_state st = { .c = s->k.counters[2], .lead = s->lead };

	if (s->vmm == CONSTANT)
		return 0x20;
	if (s->vmm == TIMED)
		s->refresh = s->now >> 14 & 1;
	else
		s->refresh ^= 1;
	return st.c.gate | s->data << 1 | s->refresh << 4 | out_at(&st, s->vmm, s->now) << 5;
}

static void vmm_access(struct sim *s, struct vcpu *v)
{
	const struct op *op = &s->ops[v->op];
	int i;

	v->asked = 1;
	switch (op->kind) {
	case READ:
		v->val = vmm_read(s);
		break;
	case STRING_READ:
		for (i = 0; i < 1 + op->val % 3; i++)
			v->val = vmm_read(s);
		break;
	default:
		/* Of a string the filter sees the first. */
		s->data = (op->val >> 1 & 1) ^ (op->kind == STRING_WRITE);
		s->k.counters[2].gate = op->val & 1;
		kernel_set(s);
	}
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

static void settle_one(struct sim *s, int i, int self, int *busy)
{
	struct vcpu *v = &s->v[i];
	struct kvm_iofilter_sample sample = { .t0 = v->t0, .t1 = s->now, .addr = PIT_SYSTEM, .len = 1, .vcpu = i, .val = v->val };

	if (v->wrote) {
		v->wrote = 0;
		sample.t0 = sample.len = 0;
		sample.flags = KVM_IOFILTER_SAMPLE_WRITE;
		speaker_on_sample(&s->p, &sample);
		sample.t0 = v->t0;
		sample.len = 1;
	}
	if (!v->mark)
		return;
	if (v->phase == AT_VMM || v->phase == ANSWERED_BY_VMM) {
		*busy |= v->write;
		return;
	}
	sample.flags = (self ? 0 : KVM_IOFILTER_SAMPLE_OTHER) | (v->write ? KVM_IOFILTER_SAMPLE_WRITE :
								 v->lost ? KVM_IOFILTER_SAMPLE_LOST : 0);
	/* Another thread is at it just now. */
	if (self && v->write && v->lost) {
		v->mark = 0;
		v->wrote = 1;
		*busy = 1;
		return;
	}
	/* It may also see something else. */
	if (sample.flags & KVM_IOFILTER_SAMPLE_LOST || (sample.flags & KVM_IOFILTER_SAMPLE_OTHER && rnd() % 4 == 0))
		sample.val = rnd() & 0xff;
	v->mark = 0;
	speaker_on_sample(&s->p, &sample);
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

static void process(struct sim *s, int i)
{
	struct vcpu *v = &s->v[i];
	const struct op *op = &s->ops[v->op];
	const char *lost;
	int write = op->kind == WRITE || op->kind == STRING_WRITE, busy = 0, j, handled, odd = s->p.odd;
	struct kvm_iofilter_req req = {
		.now = v->entered, .addr = PIT_SYSTEM, .val = write ? op->val : 0, .len = 1, .count = 1, .vcpu = i,
		.flags = (v->away ? KVM_IOFILTER_REQ_AWAY : 0) |
			 (op->kind == STRING_READ || op->kind == STRING_WRITE ? KVM_IOFILTER_REQ_STRING : 0),
		.away = v->away ? v->entered - v->last : 0,
	};

	s->pauses += req.away >= SPEAKER_LOAD_NS && s->last_load != s->k.counters[2].count_load_time;
	s->last_load = s->k.counters[2].count_load_time;
	v->last = v->entered;
	v->away = 0;
	if (s->followed)
		registers_before("speaker", &s->p);
	settle_one(s, i, 1, &busy);
	for (j = 0; j < NR_VCPUS; j++)
		if (j != i)
			settle_one(s, j, 0, &busy);
	req.flags |= busy ? KVM_IOFILTER_REQ_BUSY : 0;
	s->races += busy || op->kind == STRING_WRITE || op->locked;
	/* Another vCPU has the lock, and is preempted. */
	s->p.lock = op->locked;
	s->loaded = 0;
	handled = write ? speaker_on_write(&s->p, &req) : speaker_on_read(&s->p, &req);
	s->p.lock = 0;
	lost = s->followed ? registers_after("speaker", &s->p) : NULL;
	if (lost)
		wrong(s, lost);
	check_cut(s, op);
	if (handled) {
		if (write || req.flags & KVM_IOFILTER_REQ_STRING || s->vmm == CONSTANT)
			wrong(s, "answered what it cannot know");
		if (s->vmm != TIMED && !possible(s, v->entered, req.val, odd))
			wrong(s, "an answer that the VMM would not have given");
		if (req.val & SPEAKER_61_ZERO)
			wrong(s, "bits that are always 0");
		s->answered++;
		s->forced += odd;
		s->odd_pauses = s->pauses;
		s->odd_races = s->races;
		guest_has(s, v->entered, req.val);
		reading_ends(s);
		v->phase = GUEST;
		v->op++;
		return;
	}
	s->punted++;
	v->phase = AT_VMM;
	v->mark = 1;
	v->asked = 0;
	v->lost = op->lose;
	v->write = write;
	v->t0 = v->entered;
	v->at = s->now + op->in;
}

/* As it is attached. */
static void attach(struct iofilter_speaker *p)
{
	memset(p, 0, sizeof(*p));
	p->lead = SPEAKER_LEAD_NS;
	p->audit = SPEAKER_AUDIT_NS;
	p->data = p->toggle = PIT_UNKNOWN;
}

/* The module that gets the VM knows of no vCPU that was away, nor of anything that is to be settled. */
static void restore(struct sim *s, const void *data, size_t size)
{
	int i;

	attach(&s->p);
	restore_now = s->now;
	registers_restore("speaker", &s->p, data, size);
	/* The first that the module tells a filter that was just attached. */
	if (rnd() & 1)
		speaker_on_sample(&s->p, &(struct kvm_iofilter_sample){ .t1 = s->now, .flags = KVM_IOFILTER_SAMPLE_LOST });
	for (i = 0; i < NR_VCPUS; i++)
		s->v[i].mark = s->v[i].wrote = s->v[i].away = 0;
	s->cuts_before += s->cuts;
	s->cuts = 0;
	if (!s->saves++)
		s->answered_before = s->answered;
}

static void stop(struct sim *s, const struct op *op)
{
	void *data = NULL;
	size_t size;
	int i;

	for (i = 0; i < NR_VCPUS; i++) {
		struct vcpu *v = &s->v[i];

		/* Who is in the VMM comes out first. */
		if (v->phase == AT_VMM) {
			vmm_access(s, v);
			v->phase = ANSWERED_BY_VMM;
			v->at = s->now;
		}
		v->lost = 1;
		v->away = 1;
	}
	/* One that the filter does not know of yet is nothing to save it with. */
	if (op->save && !s->loaded) {
		restore_now = s->now;
		data = registers_save("speaker", &s->p, &size);
		/* The second of two had met the lock held, which only now comes to light. */
		if (s->cuts != s->p.head.cut) {
			s->cuts = s->p.head.cut;
			s->tainted = 1;
			if (!s->reading)
				s->seen_refresh = s->refresh;
		}
	}
	for (i = 0; i < NR_VCPUS; i++)
		if (s->v[i].at != UINT64_MAX)
			s->v[i].at += op->pause;
	s->now += op->pause;
	s->lead = rnd() % 16 ? (int)(rnd() % 200) - 50 : (int)(rnd() % SPEAKER_LEAD_NS);
	if (op->reset) {
		clock_at = s->now;
		pit_reset(&s->k);
	}
	/* Not a second one before the guest comes: the filter would take it for the one that it has restored. */
	if (op->load && !s->p.restored) {
		s->loaded = 1;
		s->data = rnd() & 1;
		s->refresh = rnd() & 1;
		s->k.counters[2].gate = rnd() & 1;
		s->k.counters[2].count = 1 + rnd() % 65536;
		s->seen_refresh = s->refresh;
		s->tainted = 1;
	}
	s->high_load = 0;
	kernel_set(s);
	if (data)
		restore(s, data, size);
	free(data);
}

static void begin(struct sim *s, int i)
{
	struct vcpu *v = &s->v[i];
	const struct op *op = &s->ops[v->op];
	int j;

	switch (op->kind) {
	case PIT_WRITE:
		kernel_write(s, op->port, op->val);
		break;
	case EXIT:
		v->away = 1;
		v->lost = 1;
		break;
	case HPET:
		/* The legacy route is set by an MMIO write, and with it all of the PIT. */
		kernel_set(s);
		v->lost = 1;
		break;
	case PAUSE:
		for (j = 0; j < NR_VCPUS; j++)
			if (s->v[j].phase == ENTERED) {
				/* Not while somebody is in the kernel. */
				v->at = s->v[j].at + 1;
				return;
			}
		stop(s, op);
		break;
	default:
		v->entered = s->now;
		v->phase = ENTERED;
		v->at = s->now + op->stall;
		if (op->kind == READ || op->kind == STRING_READ)
			reading_begins(s);
		if (op->kind == STRING_READ)
			s->tainted = 1;
		return;
	}
	v->op++;
}

/* The next op of this vCPU, from when the one before is done. */
static int schedule(struct sim *s, int i)
{
	struct vcpu *v = &s->v[i];

	while (v->op < s->n && (s->ops[v->op].vcpu != i || s->ops[v->op].skip))
		v->op++;
	if (v->op == s->n)
		return 0;
	v->at = s->now + s->ops[v->op].think;
	return 1;
}

static void event(struct sim *s, int i)
{
	struct vcpu *v = &s->v[i];
	const struct op *op = &s->ops[v->op];

	if (v->at > s->now)
		s->now = v->at;
	s->at = v->op;
	switch (v->phase) {
	case GUEST:
		begin(s, i);
		if (v->phase != GUEST || v->at > s->now)
			return;
		break;
	case ENTERED:
		process(s, i);
		if (v->phase == AT_VMM)
			return;
		break;
	case AT_VMM:
		vmm_access(s, v);
		v->phase = ANSWERED_BY_VMM;
		v->at = s->now + op->out;
		return;
	case ANSWERED_BY_VMM:
		if (op->kind == READ)
			guest_has(s, v->entered, v->val);
		if (op->kind == READ || op->kind == STRING_READ)
			reading_ends(s);
		v->phase = GUEST;
		v->op++;
		break;
	}
	if (!schedule(s, i))
		v->at = UINT64_MAX;
}

/* Return: the index of the first wrong answer, or -1. */
static int run(struct sim *s, struct op *ops, int n, enum vmm vmm, uint64_t world)
{
	uint64_t keep = rnd_state;
	int i, next;

	memset(s, 0, sizeof(*s));
	current = s;
	rnd_state = world;
	s->ops = ops;
	s->n = n;
	s->vmm = vmm;
	s->followed = world >> 32 & 1;
	attach(&s->p);
	s->now = 5 * IOFILTER_NSEC_PER_SEC;
	s->lead = (int)(rnd() % 200) - 50;
	s->k.clock = sim_clock;
	clock_at = s->now;
	pit_power_on(&s->k);
	note_state(s);
	for (i = 0; i < NR_VCPUS; i++)
		if (!schedule(s, i))
			s->v[i].at = UINT64_MAX;
	while (!s->wrong) {
		for (next = i = 0; i < NR_VCPUS; i++)
			if (s->v[i].at < s->v[next].at)
				next = i;
		if (s->v[next].at == UINT64_MAX)
			break;
		event(s, next);
	}
	rnd_state = keep;
	return s->wrong ? s->at : -1;
}

/* --- programs --- */

struct gen {
	struct op *ops;
	int n, vcpus;
	uint32_t think;
	int vcpu;
};

static struct op *emit(struct gen *g, int kind, int port, int val)
{
	struct op *op = &g->ops[g->n];
	uint64_t r = rnd();

	if (g->n == MAX_OPS)
		return op - 1;
	g->n++;
	if (g->vcpus > 1 && rnd() % 6 == 0)
		g->vcpu = rnd() % g->vcpus;
	*op = (struct op){
		.kind = kind, .port = port, .val = val, .vcpu = g->vcpu,
		.think = 100 + rnd() % g->think, .stall = rnd() % 300, .in = 500 + rnd() % 3000, .out = 500 + rnd() % 3000,
		.lose = r % 53 == 0, .locked = g->vcpus > 1 && r % 211 == 5,
	};
	if (r % 97 == 1)
		op->think = rnd() % 3000000;
	else if (r % 997 == 2)
		op->think = rnd() % 400000000;
	if (r % 101 == 3)
		op->in += rnd() % 200000;
	if (r % 103 == 4)
		op->stall += rnd() % 100000;
	return op;
}

static void gen_load(struct gen *g)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 1193, 11932, 11933, 59659, 65535 };
	static const int modes[] = { 0, 0, 0, 3, 3, 2, 4, 5, 1, 6, 7 };
	int count = rnd() % 3 ? counts[rnd() % ARRAY_SIZE(counts)] : (int)(rnd() & 0xffff);

	if (rnd() % 4)
		emit(g, PIT_WRITE, PIT_CONTROL, 0xb0 | modes[rnd() % ARRAY_SIZE(modes)] << 1);
	emit(g, PIT_WRITE, PIT_PORT + 2, count);
	emit(g, PIT_WRITE, PIT_PORT + 2, count >> 8);
}

static void gen_reads(struct gen *g, int n)
{
	while (n--)
		emit(g, READ, PIT_SYSTEM, 0);
}

static void gen_ops(struct gen *g)
{
	struct op *op;

	switch (rnd() % 12) {
	case 0: case 1:
		/* As Linux calibrates. */
		gen_reads(g, 1);
		emit(g, WRITE, PIT_SYSTEM, rnd() & 3);
		gen_load(g);
		gen_reads(g, 1 + rnd() % 40);
		break;
	case 2:
		gen_load(g);
		break;
	case 3:
		emit(g, WRITE, PIT_SYSTEM, rnd());
		break;
	case 4:
		emit(g, EXIT, 0, 0);
		break;
	case 5:
		emit(g, rnd() % 4 ? EXIT : HPET, 0, 0);
		break;
	case 6:
		if (rnd() % 4 == 0) {
			op = emit(g, PAUSE, 0, 0);
			op->pause = 100000 + rnd() % (rnd() % 8 ? 1000000 : 10000000000);
			op->load = rnd() % 3 == 0;
			op->pause += op->load ? SPEAKER_LOAD_NS : 0;
			op->reset = rnd() % 8 == 0;
			op->save = !op->load && !op->reset && rnd() % 4 == 0;
		}
		break;
	case 7:
		if (rnd() % 8 == 0)
			emit(g, rnd() & 1 ? STRING_READ : STRING_WRITE, PIT_SYSTEM, rnd());
		break;
	default:
		gen_reads(g, 1 + rnd() % 12);
	}
}

static int generate(struct op *ops)
{
	struct gen g = { .ops = ops, .vcpus = rnd() % 3 ? 1 : 2 + rnd() % (NR_VCPUS - 1), .think = 1 << (8 + rnd() % 8) };
	int want = 20 + rnd() % 200;

	while (g.n < want)
		gen_ops(&g);
	return g.n;
}

/* --- a failure, made small --- */

static int minimise(struct sim *s, struct op *ops, int n, enum vmm vmm, uint64_t world)
{
	const char *what = s->wrong;
	int i, j, len, left = 0;

	for (len = n / 2 ?: 1; len >= 1; len /= 2)
		for (i = 0; i + len <= n; i++) {
			struct op was[MAX_OPS];

			memcpy(was, ops, n * sizeof(*ops));
			for (j = i; j < i + len; j++)
				ops[j].skip = 1;
			if (run(s, ops, n, vmm, world) < 0 || s->wrong != what)
				memcpy(ops, was, n * sizeof(*ops));
		}
	for (i = 0; i < n; i++)
		if (!ops[i].skip)
			ops[left++] = ops[i];
	return left;
}

static void trace(struct sim *s, struct op *ops, int n, enum vmm vmm, uint64_t world)
{
	static const char *const kinds[] = { "in 0x61", "out 0x61", "out", "another exit", "an HPET write", "stop and go on",
					     "ins 0x61", "outs 0x61" };
	int i;

	for (i = 0; i < n; i++) {
		printf("#  vcpu %d, %u ns later: %s", ops[i].vcpu, ops[i].think, kinds[ops[i].kind]);
		if (ops[i].kind == PIT_WRITE)
			printf(" 0x%02x", ops[i].port);
		if (ops[i].kind != READ && ops[i].kind != EXIT)
			printf(", 0x%02x", ops[i].val);
		printf("%s%s%s; stalled %u, if punted %u + %u ns\n", ops[i].load ? ", loaded" : ops[i].save ? ", saved and restored" : "", ops[i].reset ? ", reset" : "",
		       ops[i].locked ? ", lock taken" : "", ops[i].stall,
		       ops[i].in, ops[i].out);
	}
	run(s, ops, n, vmm, world);
	printf("#  %s\n", s->wrong ? s->wrong : "(not so when made small)");
}

static void random_programs(void **state)
{
	unsigned long i, n = restore_mutant ? 50000 : 100000 * scale(), programs[4] = {}, with_cuts = 0;
	uint64_t timed[2] = {}, answered = 0, forced = 0, punted = 0, edges = 0, cuts = 0, string_cuts = 0, fused = 0;
	static struct op ops[MAX_OPS];
	static struct sim s;
	uint64_t seed_of, world;
	enum vmm vmm;
	int len;

	(void)state;
	for (i = 0; i < n; i++) {
		seed_of = rnd_state;
		vmm = rnd() % 32 ? (rnd() & 1 ? QEMU : QEMU7) : rnd() & 1 ? CONSTANT : TIMED;
		world = rnd();
		len = generate(ops);
		if (run(&s, ops, len, vmm, world) >= 0) {
			assert_false(restore_mutant);
			printf("# program %lu, SEED=%llu, VMM %d: %s; the least that does it:\n", i, (unsigned long long)seed_of, vmm, s.wrong);
			len = minimise(&s, ops, len, vmm, world);
			trace(&s, ops, len, vmm, world);
			fail_msg("program %lu", i);
		}
		programs[vmm]++;
		if (vmm == TIMED) {
			timed[0] += s.answered;
			timed[1] += s.punted;
			continue;
		}
		answered += s.answered;
		forced += s.forced;
		punted += s.punted;
		edges += s.edges;
		cuts += s.cuts + s.cuts_before;
		string_cuts += s.string_cuts;
		with_cuts += !!(s.cuts + s.cuts_before);
		restore_count.programs += !!s.saves;
		restore_count.answered += s.saves ? s.answered - s.answered_before : 0;
		fused += s.p.proof == IOFILTER_FUSED;
		if (s.p.proof == IOFILTER_FUSED && vmm != CONSTANT)
			fail_msg("program %lu, SEED=%llu: the fuse blew on a QEMU", i, (unsigned long long)seed_of);
	}
	printf("# %lu programs (QEMU %lu, its mode 1 as in 7 %lu, other VMMs %lu): %llu answered, %llu of them second ones, %llu punted, "
	       "%llu edges of mode 0 seen, %llu cuts (%llu by strings) in %lu programs, %llu fuses blown; of a VMM whose bit 4 goes with the time "
	       "%llu answered and %llu punted\n", n, programs[QEMU],
	       programs[QEMU7], programs[CONSTANT] + programs[TIMED], (unsigned long long)answered, (unsigned long long)forced,
	       (unsigned long long)punted, (unsigned long long)edges, (unsigned long long)cuts, (unsigned long long)string_cuts, with_cuts,
	       (unsigned long long)fused, (unsigned long long)timed[0], (unsigned long long)timed[1]);
	/* Else it shows nothing. */
	assert_true(answered > 20 * n && answered > punted / 2 && edges > n / 8 && fused > programs[CONSTANT] / 2 &&
		    timed[0] < timed[1] / 100);
	restore_print("speaker");
	follow_print("speaker");
	assert_true(follow_count.told > 5 * n && follow_count.quiet > 5 * n && follow_count.by == 1);
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
	return programs() || registers_mutants("speaker", programs, spared);
}
