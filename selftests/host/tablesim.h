/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One event of a random trace, carried out on the table engine and on the reference interpreter: an access as the module would hand it to the
 * program, what the module tells of the VMM, or what a VMM that cooperates does. Whatever differs afterwards is said in sim.wrong.
 */
#ifndef SELFTESTS_TABLESIM_H
#define SELFTESTS_TABLESIM_H

#include <iofilter/libiofilter.h>
#include <iofilter/table_vmm.h>
#include <loader/lib/table.h>
#include "saverestore.h"
#include "tablegen.h"

enum kind { ACCESS, CONTENDED, MORE, DONE, DONE_STALE, DONE_CONTENDED, LOST, LOST_CONTENDED, DRAIN, OWN, PREDICT, VMM_SETS, VMM_TAKES, VMM_FILLS };

struct event {
	uint8_t kind, vcpu, width;
	bool write, expected, spurious, unseen, string;
	uint16_t group, offset;
	uint32_t count, away;
	uint64_t value;
	uint64_t seed; /* of a prediction */
};

static struct table_file *file;

static struct total {
	unsigned long accesses, answered, punted, tables, strings, predicted, contended, busy, written;
} total;

struct sim {
	struct gen *g;
	struct ref *r;
	struct ref_derived *d;
	struct iofilter_table *t;
	bool verbose, settled;
	char wrong[160];
	/* What of each vCPU is at the VMM. */
	struct {
		bool write;
		uint64_t addr;
		int width;
	} open[REF_VCPUS];
	int string_vcpu; /* may go on; -1: none */
	uint64_t string_addr;
};

static bool wrong(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!*s->wrong)
		vsnprintf(s->wrong, sizeof(s->wrong), fmt, ap);
	va_end(ap);
	return false;
}

static void check_state(struct sim *s)
{
	const struct iofilter_table *t = s->t;
	const struct ref *r = s->r;
	int i, j;

	for (i = 0; i < r->nr_bits; i++) {
		int got = t->known >> i & 1 ? (int)(t->bits >> i & 1) : UNKNOWN;

		if (got != r->bits[i])
			wrong(s, "bit%d is %d, wanted %d", i, got, r->bits[i]);
	}
	for (i = 0; i < r->nr_slots; i++)
		for (j = 0; j < 8; j++) {
			int got = t->cells[i].known >> j & 1 ? (int)(t->cells[i].val >> j * 8 & 0xff) : UNKNOWN;

			if (got != r->slots[i][j])
				wrong(s, "slot%d, byte %d, is %d, wanted %d", i, j, got, r->slots[i][j]);
			if ((t->cells[i].dirty >> j & 1) != r->unseen[i][j])
				wrong(s, "slot%d, byte %d: whether the VMM has seen it", i, j);
		}
	for (i = 0; i < r->nr_buffers; i++)
		if ((int)t->buffers[i].pos != r->pos[i])
			wrong(s, "buf%d is at %u, wanted %d", i, t->buffers[i].pos, r->pos[i]);
	if (t->predict.armed != (r->nr_expects > 0))
		wrong(s, "a prediction: %u, wanted %d", t->predict.armed, r->nr_expects > 0);
	/* All of it may have come while another's string goes on. */
	if (t->predict.armed && ((int)t->predict.next != r->next ||
				 (r->next < r->nr_expects && r->expect[r->next].bytes && (int)t->predict.pos != r->expect[r->next].used)))
		wrong(s, "the prediction is at %u+%u, wanted %d+%d", t->predict.next, t->predict.pos, r->next, r->expect[r->next].used);
}

/* What the VMM does not know of. */
static int in_flight(const struct ref *r)
{
	int n = ref_begun(r), i, j;

	for (i = 0; i < r->nr_slots; i++) {
		for (j = 0; j < 8 && !r->unseen[i][j]; j++)
			;
		n += j < 8;
	}
	for (i = 0; i < r->nr_buffers; i++)
		n += r->pos[i] > 0 && r->pos[i] < r->len[i];
	return n;
}

static void check_in_rest(struct sim *s)
{
	/* What is lost by a restore must show to the guest, or to the VMM. */
	if (restore_mutant)
		return;
	check_state(s);
	if (!s->r->string.left && (int)s->t->head.in_flight != in_flight(s->r))
		wrong(s, "%u are in flight, wanted %d", s->t->head.in_flight, in_flight(s->r));
}

static void say(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->verbose)
		return;
	va_start(ap, fmt);
	printf("    ");
	vprintf(fmt, ap);
	va_end(ap);
}

static void deliver(struct sim *s, uint32_t flags, int vcpu, uint64_t addr, int width)
{
	const struct kvm_iofilter_sample sample = { .flags = flags, .vcpu = vcpu, .addr = addr, .len = width };

	table_on_sample(s->t, &sample);
}

static void write_done(struct sim *s, int vcpu, bool stale)
{
	if (!s->open[vcpu].write)
		return;
	s->open[vcpu].write = false;
	say(s, "vcpu %d: the VMM is done with its write%s\n", vcpu, stale ? ", whichever it was" : "");
	deliver(s, KVM_IOFILTER_SAMPLE_WRITE, vcpu, stale ? 0 : s->open[vcpu].addr, stale ? 0 : s->open[vcpu].width);
	ref_write_done(s->r, s->d, vcpu, s->open[vcpu].addr, !stale);
}

/* The accesses that the VMM expects, made up from the table's own addresses. */
static struct ref_access pick(struct sim *s, const struct event *e)
{
	struct gen *g = s->g;
	int n = e->group % g->nr_groups, i;
	uint64_t first = g->groups[n].first, last = g->groups[n].last;
	struct ref_access a = {
		.write = e->write,
		.vcpu = e->vcpu,
		.width = e->width,
		.value = e->value,
		.addr = first + e->offset % (last - first + 1),
		.count = 1,
	};

	/* Sometimes beside the group, where the range reaches. */
	if (e->offset >= 0x8000)
		a.addr = first - 3 + e->offset % (last - first + 7);
	if (e->expected && s->r->nr_expects) {
		const struct ref_expect *x = &s->r->expect[s->r->next];

		a.write = x->write;
		a.addr = x->addr;
		a.width = x->width;
		if (x->write && e->value % 8)
			a.value = x->value;
	} else if (e->expected && s->r->nr_rules) {
		/* What a rule is for, the last ones too, and often a value that traps. */
		const struct ref_rule *u = &s->r->rules[e->value % s->r->nr_rules];

		for (i = 0; e->string && u->action != REF_FROM_BUFFER && i < s->r->nr_rules; i++)
			u = &s->r->rules[i];
		a.write = u->write;
		a.addr = u->addr + e->offset % u->count;
		for (i = 1; !u->width[i] || (i < 8 && e->away & i && (u->width[2 * i] || u->width[4 * i % 16])); i++)
			;
		a.width = i;
		if (u->traps && e->group & 1)
			a.value = (a.value & ~u->trap_mask) | u->trap_value;
	}
	if (a.addr < GEN_MMIO && a.width == 8)
		a.width = 1;
	a.value = ref_low(a.value, a.width);
	return a;
}

static bool seen(const struct sim *s, const struct ref_access *a)
{
	for (__u32 i = 0; i < file->nr_ranges; i++)
		if (a->addr >= file->ranges[i].addr && a->addr + a->width <= file->ranges[i].addr + file->ranges[i].len)
			return true;
	(void)s;
	return false;
}

static struct kvm_iofilter_req request(const struct ref_access *a)
{
	return (struct kvm_iofilter_req){
		.addr = a->addr,
		.len = a->width,
		.val = a->write ? a->value : 0,
		.vcpu = a->vcpu,
		.count = a->count,
		.away = a->away ? a->away_ns : 0,
		.flags = (a->busy ? KVM_IOFILTER_REQ_BUSY : 0) | (a->away ? KVM_IOFILTER_REQ_AWAY : 0) |
			 (a->string ? KVM_IOFILTER_REQ_STRING : 0),
	};
}

static void one_access(struct sim *s, const struct event *e)
{
	struct ref_access a = pick(s, e);
	struct kvm_iofilter_req req;
	uint64_t answer = 0;
	bool want;
	int got, i;

	if (!seen(s, &a))
		return;
	/* Its own is settled first; that of others not always in time. */
	for (i = 0; i < REF_VCPUS && e->kind == ACCESS; i++)
		if (i == a.vcpu ? !(e->spurious && e->unseen) : e->seed >> 8 & 15)
			write_done(s, i, false);
	for (i = 0; i < REF_VCPUS; i++)
		a.busy |= s->open[i].write && !(e->unseen && i != a.vcpu);
	a.busy |= e->spurious;
	if (e->string) {
		a.string = true;
		a.count = e->count;
	}
	if (e->away) {
		a.away = true;
		a.away_ns = e->away;
	}
	req = request(&a);
	say(s, "vcpu %d: %s 0x%llx width %d", a.vcpu, a.write ? "write" : "read", (unsigned long long)a.addr, a.width);
	if (a.write)
		say(s, "        value 0x%llx", (unsigned long long)a.value);
	say(s, "       %s%s%s count %u away %llu\n", a.busy ? " busy" : "", a.string ? " string" : "",
	    e->kind == CONTENDED ? " (lock held)" : "", a.count, (unsigned long long)(a.away ? a.away_ns : 0));
	s->t->lock = e->kind == CONTENDED;
	got = a.write ? table_on_write(s->t, &req) : table_on_read(s->t, &req);
	s->t->lock = 0;
	if (e->kind == CONTENDED) {
		ref_contended(s->r, s->d, &a);
		want = false;
		s->settled = false;
		total.contended++;
	} else {
		want = ref_access(s->r, s->d, &a, &answer);
		s->settled = true;
	}
	say(s, "       %s 0x%llx; wanted %s 0x%llx\n", got ? "answered" : "punted", (unsigned long long)req.val, want ? "answered" : "punted",
	    (unsigned long long)answer);
	if (!!got != want)
		wrong(s, "%s, wanted %s", got ? "answered" : "punted", want ? "answered" : "punted");
	else if (got && !a.write && ref_low(req.val, a.width) != ref_low(answer, a.width))
		wrong(s, "answered 0x%llx, wanted 0x%llx", (unsigned long long)req.val, (unsigned long long)answer);
	if (!got) {
		s->open[a.vcpu].write = a.write;
		s->open[a.vcpu].addr = a.addr;
		s->open[a.vcpu].width = a.width;
	}
	s->string_vcpu = got && a.string ? a.vcpu : s->string_vcpu == a.vcpu ? -1 : s->string_vcpu;
	s->string_addr = got && a.string ? a.addr : s->string_addr;
	total.accesses++;
	total.answered += got;
	total.punted += !got;
	total.busy += a.busy;
	total.written += got && a.write;
	total.strings += got && a.string;
}

/* The string that was begun goes on; others may have come in between. */
static void one_more(struct sim *s)
{
	struct kvm_iofilter_req req = { .count = 1, .flags = KVM_IOFILTER_REQ_STRING | KVM_IOFILTER_REQ_MORE };
	uint64_t want;

	if (s->string_vcpu < 0 || !s->r->string.left)
		return;
	req.addr = s->string_addr;
	req.len = s->r->string.width;
	req.vcpu = s->string_vcpu;
	say(s, "vcpu %d: next element\n", s->string_vcpu);
	if (!table_on_read(s->t, &req)) {
		wrong(s, "an element of a string became zero");
		return;
	}
	want = ref_more(s->r);
	if (ref_low(req.val, req.len) != want)
		wrong(s, "element 0x%llx, wanted 0x%llx", (unsigned long long)req.val, (unsigned long long)want);
	if (!s->r->string.left)
		s->string_vcpu = -1;
}

static void predict(struct sim *s, const struct event *e)
{
	struct table_expect expect[REF_EXPECTS] = {};
	struct ref *r = s->r;
	uint64_t keep = rnd_state;
	uint8_t data[4096];
	int n, i, j, size = 0;
	struct event x = {};

	if (iofilter_table_enter(s->t)) {
		wrong(s, "the VMM does not get the lock");
		return;
	}
	s->settled = true;
	rnd_state = e->seed;
	n = 1 + gen_one_of(12);
	ref_drop_prediction(r);
	for (i = 0; i < n; i++) {
		struct ref_expect *to = &r->expect[i];
		struct ref_access a;

		x.group = rnd();
		x.offset = rnd() & 0x7fff;
		x.write = !gen_one_of(4);
		x.width = 1 << gen_one_of(3);
		x.value = rnd();
		x.expected = gen_one_of(2);
		a = pick(s, &x);
		memset(to, 0, sizeof(*to));
		to->write = a.write;
		to->addr = a.addr;
		to->width = a.width;
		to->value = a.value;
		gen_bits(r, to->when, 12);
		if (!a.write && gen_one_of(2)) {
			to->bytes = a.width * (1 + gen_one_of(64 / a.width));
			for (j = 0; j < to->bytes; j++)
				data[size + j] = to->data[j] = rnd();
		}
		expect[i] = (struct table_expect){
			.op = to->write ? TABLE_WRITE : TABLE_READ,
			.addr = to->addr,
			.width = to->width,
			.value = to->value,
			.off = size,
			.bytes = to->bytes,
		};
		for (j = 0; j < r->nr_bits; j++) {
			expect[i].must1 |= (__u64)(to->when[j] == 1) << j;
			expect[i].must0 |= (__u64)(to->when[j] == 0) << j;
		}
		size += to->bytes;
	}
	rnd_state = keep;
	if (iofilter_table_predict(s->t, expect, n, data, size)) {
		/* A string still takes from there: allowed, and then there is no prediction. */
		if (!r->string.left || r->string.source != REF_EXPECT)
			wrong(s, "the prediction was refused");
	} else {
		r->nr_expects = n;
		r->next = 0;
	}
	say(s, "the VMM predicts %d accesses%s\n", n, r->nr_expects ? "" : ": refused");
	iofilter_table_leave(s->t);
	total.predicted++;
}

/* A VMM that cooperates sets a bit and a slot, and takes what it has not seen. */
static void vmm_sets(struct sim *s, const struct event *e, bool takes)
{
	struct ref *r = s->r;
	int slot = e->group % r->nr_slots, bit = e->offset % r->nr_bits, i;
	__u64 val, seen = 0;
	__u8 dirty, want = 0;

	if (iofilter_table_enter(s->t)) {
		wrong(s, "the VMM does not get the lock");
		return;
	}
	s->settled = true;
	if (takes) {
		dirty = iofilter_table_take(s->t, slot * 8, &val);
		for (i = 0; i < 8; i++) {
			want |= r->unseen[slot][i] << i;
			if (r->unseen[slot][i] && r->slots[slot][i] != UNKNOWN && (val >> i * 8 & 0xff) != (__u64)r->slots[slot][i])
				seen = 1;
			r->unseen[slot][i] = false;
		}
		if (dirty != want || seen)
			wrong(s, "the VMM takes slot%d as 0x%llx by 0x%x, wanted 0x%x", slot, val, dirty, want);
	} else if (!r->at_vmm.there) {
		iofilter_table_bits(s->t, e->write ? 1ULL << bit : 0, e->write ? 0 : 1ULL << bit);
		r->bits[bit] = e->write;
		iofilter_table_slot(s->t, slot * 8, 2, e->value);
		for (i = 0; i < 2; i++) {
			r->slots[slot][i] = e->value >> i * 8 & 0xff;
			r->unseen[slot][i] = false;
		}
	}
	say(s, "the VMM %s\n", takes ? "takes a slot" : "sets a bit and a slot");
	iofilter_table_leave(s->t);
}

static void vmm_fills(struct sim *s, const struct event *e)
{
	struct ref *r = s->r;
	int buffer, len, i, err;
	uint8_t data[256];

	if (!r->nr_buffers)
		return;
	buffer = e->group % r->nr_buffers;
	len = e->offset % (s->g->ref.len[buffer] + 1);
	for (i = 0; i < len; i++)
		data[i] = e->seed >> i % 57;
	if (iofilter_table_enter(s->t)) {
		wrong(s, "the VMM does not get the lock");
		return;
	}
	s->settled = true;
	err = iofilter_table_fill(s->t, buffer, data, len, s->g->ref.len[buffer]);
	if (!err) {
		memcpy(r->data[buffer], data, len);
		r->len[buffer] = len;
		ref_move_buffer(r, buffer, 0);
	} else if (!r->string.left || r->string.source != REF_BUFFER || r->string.buffer != buffer) {
		wrong(s, "buf%d is not filled", buffer);
	}
	say(s, "the VMM fills buf%d with %d bytes%s\n", buffer, len, err ? ": refused" : "");
	iofilter_table_leave(s->t);
}

static void one_event(struct sim *s, const struct event *e)
{
	bool contended = e->kind == DONE_CONTENDED || e->kind == LOST_CONTENDED;

	switch (e->kind) {
	case ACCESS:
	case CONTENDED:
		one_access(s, e);
		break;
	case MORE:
		one_more(s);
		return;
	case DONE:
	case DONE_STALE:
		write_done(s, e->vcpu, e->kind == DONE_STALE);
		break;
	case DONE_CONTENDED:
		if (!s->open[e->vcpu].write)
			return;
		s->t->lock = 1;
		deliver(s, KVM_IOFILTER_SAMPLE_WRITE, e->vcpu, s->open[e->vcpu].addr, s->open[e->vcpu].width);
		s->t->lock = 0;
		s->open[e->vcpu].write = false;
		ref_forget_writes(s->r, s->d);
		say(s, "vcpu %d: the VMM is done with its write (lock held)\n", e->vcpu);
		break;
	case LOST:
		say(s, "an answer of the VMM is lost\n");
		deliver(s, KVM_IOFILTER_SAMPLE_LOST, e->vcpu, 0, 0);
		ref_answer_lost(s->r, s->d);
		break;
	case LOST_CONTENDED:
		if (s->r->owned)
			return;
		say(s, "an answer of the VMM is lost (lock held)\n");
		s->t->lock = 1;
		deliver(s, KVM_IOFILTER_SAMPLE_LOST, e->vcpu, 0, 0);
		s->t->lock = 0;
		ref_forget_writes(s->r, s->d);
		break;
	case DRAIN:
		say(s, "drain: %d\n", e->write);
		s->r->drain = e->write;
		if (e->write)
			table_on_quiesce(s->t, 0);
		else
			s->t->head.drain = 0;
		return;
	case OWN:
		say(s, "the VMM cooperates: %d\n", e->write);
		s->r->owned = e->write;
		iofilter_table_own(s->t, e->write);
		return;
	case PREDICT:
		predict(s, e);
		break;
	case VMM_SETS:
	case VMM_TAKES:
		vmm_sets(s, e, e->kind == VMM_TAKES);
		break;
	case VMM_FILLS:
		vmm_fills(s, e);
		break;
	}
	/* What was missed is known to the next who has the lock. */
	if (contended)
		s->settled = false;
	else if (e->kind == LOST || e->kind == DONE || e->kind == DONE_STALE)
		s->settled = !s->t->missed;
	if (s->settled)
		check_in_rest(s);
}

#endif /* SELFTESTS_TABLESIM_H */
