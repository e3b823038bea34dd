/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM of up to three vCPUs with port 0x61 in its VMM, beside KVM's PIT, and the filter's fast path: the kernel's PIT and the VMM's port are
 * models on devices/pit.c. Accesses of several vCPUs overlap as they may on KVM, event by event; samples get lost; and the VM is stopped, reset,
 * loaded, or saved and restored. Each answer goes to the judge (speakerjudge.h).
 */
#ifndef SELFTESTS_SPEAKERSIM_H
#define SELFTESTS_SPEAKERSIM_H

#include "saverestore.h"
#include "speakerjudge.h"

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

#endif /* SELFTESTS_SPEAKERSIM_H */
