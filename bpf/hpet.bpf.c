// SPDX-License-Identifier: GPL-2.0
/*
 * HPET.
 *
 * Answered here: the main counter, whole (8 bytes) and by halves, once the VMM's own answers have proven the clock; the general
 * capabilities and the general configuration, for as long as the counter is proven and the VMM has answered the same
 * register not longer than one expiry ago.
 * Punted: writes; timers and interrupt status, which change by themselves; bytes, words and accesses across registers (QEMU answers
 * zero); the high half until it is known which it is; a halted counter. That one is a constant, but its reads are rare,
 * and nothing tells a halted counter from a clock that the VMM has stopped, for which every answer may be ahead.
 *
 * A write to the configuration or the counter voids all that is known: accesses are busy until the VMM is done with it, and from
 * then on the proof begins anew. So it does after a move without a write (a reset halts the counter and clears it).
 *
 * QEMU up to 9.0 reads the two halves of an 8-byte read one after the other, so only an answer that is not near a wrap
 * of the low half says what the high one is.
 */
#include "counter.bpf.h"
#include <iofilter/hpet.h>

#define NOT_KNOWN 1 /* no epoch that a reader sees is odd */

char LICENSE[] SEC("license") = "GPL";

struct iofilter_hpet hpet SEC(IOFILTER_STATE_MAP) = {
	.counter = {
		.head = {
			.magic = IOFILTER_STATE_MAGIC,
			.version = IOFILTER_HPET_VERSION,
			.size = sizeof(struct iofilter_hpet),
			.device = "hpet",
		},
		.addr = HPET_BASE + HPET_MAIN_CNT,
		.len = 8,
		.bus = KVM_IOFILTER_MMIO,
		.clock = {
			.freq = HPET_HZ,
			.width = 32,
			.bracket = IOFILTER_BRACKET_NS,
			.absence = IOFILTER_ABSENCE_NS,
			.expiry = IOFILTER_EXPIRY_NS,
			.calibrating = IOFILTER_CALIBRATION,
		},
	},
	.base = HPET_BASE,
	.high_epoch = NOT_KNOWN,
};

/* Keeps the address of the state in a register, as counter_of(). */
#define hpet_of(state)                               \
	({                                           \
		struct iofilter_hpet *__h = &(state); \
		asm volatile("" : "+r"(__h));        \
		__h;                                 \
	})

static __always_inline int hpet_is_counter(const struct iofilter_counter *c, __u64 addr, __u32 len)
{
	return addr == c->addr ? len == 4 || len == 8 : addr == c->addr + 4 && len == 4;
}

/* The first dword of an access to the general registers that are answered, or -1. */
static __always_inline int hpet_reg(__u64 off, __u32 len)
{
	if (off == HPET_GCAP_ID)
		return len == 4 || len == 8 ? HPET_REG_CAP : -1;
	if (off == HPET_GEN_CONF)
		return len == 4 || len == 8 ? HPET_REG_CONF : -1;
	if (len != 4)
		return -1;
	return off == HPET_GCAP_ID + 4 ? HPET_REG_CAP_HIGH : off == HPET_GEN_CONF + 4 ? HPET_REG_CONF_HIGH : -1;
}

/* Does a write to [@off, @off + @len) change what is answered? */
static __always_inline int hpet_matters(__u64 off, __u32 len)
{
	return (off < HPET_GEN_CONF + 8 && off + len > HPET_GEN_CONF) || (off < HPET_MAIN_CNT + 8 && off + len > HPET_MAIN_CNT);
}

static __always_inline void hpet_forget(struct iofilter_hpet *h)
{
	iofilter_store(h->high_epoch, NOT_KNOWN);
	iofilter_store(h->regs_at[HPET_REG_CAP], 0);
	iofilter_store(h->regs_at[HPET_REG_CAP_HIGH], 0);
	iofilter_store(h->regs_at[HPET_REG_CONF], 0);
	iofilter_store(h->regs_at[HPET_REG_CONF_HIGH], 0);
}

/*
 * As counter_enter(). The VM may have been stopped, and gone on with other registers and another counter, or reset: then the
 * counter is halted at 0, and one sample alone could take that for a wrap that was due.
 */
static __always_inline struct iofilter_vcpu *hpet_enter(struct iofilter_hpet *h, const struct kvm_iofilter_req *req)
{
	struct iofilter_vcpu *v = counter_enter(&h->counter, req);

	if (v && req->flags & KVM_IOFILTER_REQ_AWAY && !v->trusted) {
		hpet_forget(h);
		iofilter_store(h->doubted, 1);
	}
	return v;
}

static __always_inline int hpet_answer(struct iofilter_hpet *h, struct iofilter_vcpu *v, struct kvm_iofilter_req *req,
				       __u64 virt, __u32 high)
{
	struct iofilter_clock *clk = &h->counter.clock;
	__u64 ticks = iofilter_second_to_ticks(iofilter_load(clk->second), virt, clk->freq) + ((__u64)high << 32);

	req->val = req->addr == h->counter.addr ? ticks : ticks >> 32;
	v->answered++;
	return 1;
}

/* The common case of a read of the high half, or of all. Return: 0 to find out in hpet_read_slow(). */
static __always_inline int hpet_read_wide(struct iofilter_hpet *h, struct iofilter_vcpu *v, struct kvm_iofilter_req *req)
{
	struct iofilter_clock *clk = &h->counter.clock;
	__u64 epoch = iofilter_load(h->high_epoch), virt;
	__u32 high;

	iofilter_barrier();
	high = iofilter_load(h->high);
	if (iofilter_clock_quick(clk, v, req->now, &virt) || iofilter_load(clk->epoch) != epoch)
		return 0;
	return hpet_answer(h, v, req, virt, high);
}

static __always_inline int hpet_read_reg(struct iofilter_hpet *h, struct iofilter_vcpu *v, struct kvm_iofilter_req *req, int reg)
{
	struct iofilter_counter *c = &h->counter;
	__u64 at, high_at;
	__u32 val, high;

	if (c->clock.mode == IOFILTER_CLOCK_HELD)
		return counter_punt(c, IOFILTER_PUNT_HELD);
	if (c->clock.proof == IOFILTER_FUSED)
		return counter_punt(c, IOFILTER_PUNT_FUSE);
	if (req->flags & KVM_IOFILTER_REQ_BUSY)
		return counter_punt(c, IOFILTER_PUNT_BUSY);
	/* Without a counter that runs as it should, this may be no HPET at all. */
	if (!iofilter_load(c->clock.ready) || reg < 0 || reg >= HPET_NR_REGS)
		return counter_punt(c, IOFILTER_PUNT_UNPROVEN);
	at = high_at = iofilter_load(h->regs_at[reg]);
	iofilter_barrier();
	val = high = iofilter_load(h->regs[reg]);
	if (req->len == 8 && reg < HPET_NR_REGS - 1) {
		high_at = iofilter_load(h->regs_at[reg + 1]);
		iofilter_barrier();
		high = iofilter_load(h->regs[reg + 1]);
		high_at = iofilter_load(h->regs_at[reg + 1]) == high_at ? high_at : 0;
	}
	iofilter_barrier();
	if (!at || !high_at || iofilter_load(h->regs_at[reg]) != at)
		return counter_punt(c, IOFILTER_PUNT_UNPROVEN);
	if ((__s64)(req->now - at) > (__s64)c->clock.expiry || (__s64)(req->now - high_at) > (__s64)c->clock.expiry)
		return counter_punt(c, IOFILTER_PUNT_AUDIT);
	req->val = (__u64)high << 32 | val;
	v->answered++;
	return 1;
}

static __always_inline int hpet_read_counter(struct iofilter_hpet *h, struct iofilter_vcpu *v, struct kvm_iofilter_req *req)
{
	struct iofilter_counter *c = &h->counter;
	struct iofilter_clock *clk = &c->clock;
	/* Before anything else: what does not hold at the end was no answer. */
	__u64 epoch = iofilter_clock_epoch(clk), high_epoch = iofilter_load(h->high_epoch), virt, delay = 0;
	__u32 mode = iofilter_load(clk->mode), high;
	enum iofilter_verdict verdict;

	iofilter_barrier();
	high = iofilter_load(h->high);
	verdict = iofilter_clock_read(clk, c->vcpus, v, req->now, IOFILTER_CLAUSE(BUSY) && req->flags & KVM_IOFILTER_REQ_BUSY,
				      &delay, &virt);
	if (verdict != IOFILTER_ANSWERED) {
		req->delay = delay;
		return counter_punt(c, verdict);
	}
	/* A clock that the VMM owns is the whole counter. */
	if (mode >= IOFILTER_CLOCK_OWNED) {
		high = 0;
		high_epoch = epoch;
	}
	if ((req->addr != c->addr || req->len == 8) && (high_epoch != epoch || iofilter_load(clk->epoch) != epoch))
		return counter_punt(c, IOFILTER_PUNT_UNPROVEN);
	return hpet_answer(h, v, req, virt, high);
}

static __noinline int hpet_read_slow(struct iofilter_hpet *h, struct kvm_iofilter_req *req)
{
	struct iofilter_vcpu *v = hpet_enter(h, req);
	int reg;

	if (!v)
		return counter_punt(&h->counter, IOFILTER_PUNT_VCPU);
	if (hpet_is_counter(&h->counter, req->addr, req->len))
		return hpet_read_counter(h, v, req);
	reg = hpet_reg(req->addr - h->base, req->len);
	if (reg >= 0)
		return hpet_read_reg(h, v, req, reg);
	return counter_punt(&h->counter, IOFILTER_PUNT_SHAPE);
}

static __always_inline int hpet_read_any(struct iofilter_hpet *h, struct kvm_iofilter_req *req)
{
	struct iofilter_counter *c = &h->counter;
	__u32 vcpu = req->vcpu;
	__u64 virt;

	if (vcpu >= IOFILTER_MAX_VCPUS || req->flags)
		return hpet_read_slow(h, req);
	if (req->addr == c->addr && req->len == 4) {
		if (!iofilter_clock_quick(&c->clock, &c->vcpus[vcpu], req->now, &virt))
			return counter_answer(c, &c->vcpus[vcpu], req, virt);
	} else if (hpet_is_counter(c, req->addr, req->len) && hpet_read_wide(h, &c->vcpus[vcpu], req)) {
		return 1;
	}
	return hpet_read_slow(h, req);
}

/*
 * The VMM has shown @high. Which 2^32 ticks of the clock is that for?
 *
 * Return: 0, or -1: the low half may have wrapped meanwhile, or the clock is not known.
 */
static __always_inline int hpet_learn_high(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s, __u32 high)
{
	struct iofilter_clock *clk = &h->counter.clock;
	__u64 first, last, epoch = clk->epoch;

	if (!clk->bounded || clk->mode != IOFILTER_CLOCK_PROVE || s->t1 - s->t0 > clk->bracket)
		return -1;
	first = iofilter_ns_to_ticks(s->t0 + clk->lo, clk->freq) >> 32;
	last = iofilter_ns_to_ticks(s->t1 + clk->hi, clk->freq) >> 32;
	if (first != last)
		return -1;
	high -= first;
	if (h->high_epoch == epoch && h->high == high)
		return 0;
	iofilter_store(h->high_epoch, NOT_KNOWN);
	iofilter_barrier();
	iofilter_store(h->high, high);
	iofilter_barrier();
	iofilter_store(h->high_epoch, epoch);
	return 0;
}

static __always_inline void hpet_learn_reg(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s, int reg, __u32 val)
{
	if (reg < 0 || reg >= HPET_NR_REGS)
		return;
	iofilter_store(h->regs_at[reg], 0);
	iofilter_barrier();
	iofilter_store(h->regs[reg], val);
	iofilter_barrier();
	iofilter_store(h->regs_at[reg], s->t0);
}

/*
 * Does the counter stand? The same value twice, in two brackets that have no moment in common. Until it runs again that is no
 * move: it may be halted, and then it says nothing about the VMM's clock. Where they overlap it may be the same tick, which
 * proves nothing either.
 */
static __always_inline int hpet_stands(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s, __u32 low)
{
	if (h->has_shown && h->shown == low) {
		if (s->t0 >= h->shown_at)
			return 1;
		if (s->t1 < h->shown_at)
			h->shown_at = s->t1;
		return h->counter.clock.proof != IOFILTER_PROVEN;
	}
	h->has_shown = 1;
	h->shown = low;
	h->shown_at = s->t1;
	return 0;
}

static __always_inline void hpet_sample_counter(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s)
{
	struct iofilter_counter *c = &h->counter;
	struct iofilter_clock *clk = &c->clock;
	__u32 low = s->val;

	/* What was read before a write was done says nothing about what came of it. (That some write was never done is our bug.) */
	if (s->t0 < h->changed_at ||
	    (iofilter_load(h->written_at) > h->changed_at && s->t1 - h->written_at < IOFILTER_NSEC_PER_SEC)) {
		iofilter_clock_lost(clk, s->t1);
		return;
	}
	if (s->addr != c->addr) {
		/* Two candidates: answers that are composed with this one must be newer than both. */
		if (hpet_learn_high(h, s, low))
			iofilter_clock_lost(clk, s->t1);
		return;
	}
	if (!counter_plausible(c, s, low)) {
		iofilter_clock_lost(clk, s->t1);
		return;
	}
	if (clk->mode == IOFILTER_CLOCK_PROVE && hpet_stands(h, s, low)) {
		clk->need = iofilter_max(clk->need, s->t1);
		iofilter_clock_unprove(clk);
		return;
	}
	/* First, so that nobody is answered from bounds that one sample alone has moved. */
	if (clk->mode == IOFILTER_CLOCK_PROVE && !iofilter_clock_expects(clk, s->t0, s->t1, low))
		iofilter_clock_unprove(clk);
	iofilter_clock_sample(clk, c->vcpus, s->t0, s->t1, low, s->vcpu);
	if (s->len == 8)
		hpet_learn_high(h, s, s->val >> 32);
}

static __always_inline void hpet_sample_answer(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s)
{
	int reg;

	if (hpet_is_counter(&h->counter, s->addr, s->len)) {
		hpet_sample_counter(h, s);
		return;
	}
	reg = hpet_reg(s->addr - h->base, s->len);
	if (reg < 0 || s->t0 < h->changed_at || s->t1 - s->t0 > h->counter.clock.bracket)
		return;
	hpet_learn_reg(h, s, reg, s->val);
	if (s->len == 8)
		hpet_learn_reg(h, s, reg + 1, s->val >> 32);
}

/*
 * A comparator was written. A guest that looks at the counter then wants to know whether that came in time (Linux,
 * hpet_clkevt_set_next_event()): it must not be shown a moment before the VMM has compared them.
 */
static __always_inline void hpet_sample_timer(struct iofilter_hpet *h, const struct kvm_iofilter_sample *s)
{
	struct iofilter_clock *clk = &h->counter.clock;

	/* Who has the clock at this moment has it wait for a newer answer, too. */
	if (s->addr + s->len <= h->base + HPET_TIMERS || __sync_val_compare_and_swap(&clk->writer, 0, 1))
		return;
	iofilter_clock_wait(clk, s->t1);
	__sync_lock_test_and_set(&clk->writer, 0);
}

static __always_inline void hpet_sample_any(struct iofilter_hpet *h, struct kvm_iofilter_sample *s)
{
	struct iofilter_clock *clk = &h->counter.clock;
	__u64 moves;
	__u32 proof;

	if (s->flags & KVM_IOFILTER_SAMPLE_WRITE) {
		if (s->len && !hpet_matters(s->addr - h->base, s->len)) {
			hpet_sample_timer(h, s);
			return;
		}
		/* Whether or not the clock can be had at this moment. One that the VMM owns is the VMM's to change. */
		h->changed_at = s->t1;
		hpet_forget(h);
		if (clk->mode < IOFILTER_CLOCK_OWNED) {
			h->restart = 1;
			iofilter_store(clk->ready, 0);
		}
	} else if (s->flags & (KVM_IOFILTER_SAMPLE_LOST | KVM_IOFILTER_SAMPLE_MOVED)) {
		/* What is lost may be an access from before the filter was attached, and that a write. */
		hpet_forget(h);
	}
	if (__sync_val_compare_and_swap(&clk->writer, 0, 1))
		return;
	if (h->restart) {
		iofilter_clock_restart(clk, h->counter.vcpus);
		h->restart = 0;
	}
	if (iofilter_load(h->doubted) && clk->mode == IOFILTER_CLOCK_PROVE) {
		iofilter_store(h->doubted, 0);
		iofilter_clock_unprove(clk);
	}
	moves = clk->moves;
	proof = clk->proof;
	if (s->flags & KVM_IOFILTER_SAMPLE_MOVED)
		iofilter_clock_doubt(clk, s->t1);
	else if (s->flags & KVM_IOFILTER_SAMPLE_LOST)
		iofilter_clock_lost(clk, s->t1);
	else if (!(s->flags & KVM_IOFILTER_SAMPLE_WRITE))
		hpet_sample_answer(h, s);
	s->moved = clk->moves != moves || (proof == IOFILTER_PROVEN && clk->proof == IOFILTER_UNPROVEN);
	__sync_lock_test_and_set(&clk->writer, 0);
}

SEC("struct_ops/hpet_read")
int BPF_PROG(hpet_read, struct kvm_iofilter_req *req)
{
	return hpet_read_any(hpet_of(hpet), req);
}

SEC("struct_ops/hpet_write")
int BPF_PROG(hpet_write, struct kvm_iofilter_req *req)
{
	struct iofilter_hpet *h = hpet_of(hpet);

	hpet_enter(h, req);
	if (hpet_matters(req->addr - h->base, req->len))
		iofilter_store(h->written_at, req->now);
	return counter_punt(&h->counter, IOFILTER_PUNT_WRITE);
}

SEC("struct_ops/hpet_sample")
void BPF_PROG(hpet_sample, struct kvm_iofilter_sample *sample)
{
	hpet_sample_any(hpet_of(hpet), sample);
}

SEC(".struct_ops.link")
struct kvm_iofilter_ops hpet_ops = {
	.vm_fd = -1,
	.flags = KVM_IOFILTER_F_CLOCK | KVM_IOFILTER_F_SAMPLE,
	.read = (void *)hpet_read,
	.write = (void *)hpet_write,
	.sample = (void *)hpet_sample,
	.nr_ranges = 1,
	.name = "hpet",
	.ranges = { { .addr = HPET_BASE, .len = HPET_LEN, .bus = KVM_IOFILTER_MMIO } },
};
