/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM of up to two vCPUs with the PIT's fast path in front of its VMM, one access after another: the filter gets to know what the VMM has
 * answered with the next access, maybe another vCPU's; and the VM is stopped, reset, or saved and restored. Each step goes to the judge
 * (pitjudge.h).
 */
#ifndef SELFTESTS_PITSIM_H
#define SELFTESTS_PITSIM_H

#include "pitjudge.h"
#include "saverestore.h"

static __u64 sim_clock(void *arg)
{
	struct sim *s = arg;

	return s->now - s->stopped;
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

#endif /* SELFTESTS_PITSIM_H */
