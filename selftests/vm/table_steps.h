/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random accesses to a table of random rules: the guest's side, a VMM that answers each of them by its number, and what the reference
 * interpreter (host/tableref.h) says of it.
 */
#ifndef SELFTESTS_VM_TABLE_STEPS_H
#define SELFTESTS_VM_TABLE_STEPS_H

#include <iofilter/ops.h>
#include "vmm.h"
#include "../host/tablegen.h"

#define MAX_STEPS 20000
#define MAX_WORDS 512

struct step {
	__u64 addr, val;
	__u8 write, width, pad[2];
	__u32 count; /* above 1: a string */
};

/* Shared with the guest, whose memory this image is. */
static struct step steps[MAX_STEPS];
static __u64 got[MAX_STEPS];
static __u8 area[4096] __attribute__((aligned(4096)));
static __u32 got_string[MAX_STEPS]; /* a checksum of all elements */
static volatile int at_step;

static __u8 punted[MAX_STEPS];

static __u64 vmm_value(int step)
{
	return 0x9e3779b97f4a7c15ULL * (step + 1);
}

static __always_inline __u32 checksum(const __u8 *p, int n)
{
	__u32 sum = 1;

	for (int i = 0; i < n; i++)
		sum = sum * 31 + p[i];
	return sum;
}

static __always_inline __u64 guest_read(const struct step *s)
{
	if (s->addr >= GEN_MMIO) {
		switch (s->width) {
		case 1:
			return mmio_read(__u8, s->addr);
		case 2:
			return mmio_read(__u16, s->addr);
		case 4:
			return mmio_read(__u32, s->addr);
		default:
			return mmio_read(__u64, s->addr);
		}
	}
	return s->width == 1 ? inb(s->addr) : s->width == 2 ? inw(s->addr) : inl(s->addr);
}

static __always_inline void guest_write(const struct step *s)
{
	if (s->addr >= GEN_MMIO) {
		switch (s->width) {
		case 1:
			mmio_write(__u8, s->addr, s->val);
			return;
		case 2:
			mmio_write(__u16, s->addr, s->val);
			return;
		case 4:
			mmio_write(__u32, s->addr, s->val);
			return;
		default:
			mmio_write(__u64, s->addr, s->val);
			return;
		}
	}
	if (s->width == 1)
		outb(s->val, s->addr);
	else if (s->width == 2)
		outw(s->val, s->addr);
	else
		outl(s->val, s->addr);
}

/* Steps [@range >> 32, (int)@range). */
static void guest_steps(long range)
{
	for (long i = range >> 32; i < (int)range; i++) {
		const struct step *s = &steps[i];

		at_step = i;
		if (s->write) {
			guest_write(s);
		} else if (s->count > 1) {
			guest_ins(s->addr, area, s->count, s->width);
			got_string[i] = checksum(area, s->count * s->width);
		} else {
			got[i] = guest_read(s);
		}
	}
}

static void steps_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	punted[at_step]++;
	a->val = vmm_value(at_step);
	for (__u32 i = 0; !a->write && i < a->count; i++)
		memcpy((__u8 *)a->data + i * a->len, &a->val, a->len);
}

/* What the table watches. */
struct watched {
	const struct kvm_iofilter_range *ranges;
	__u32 nr;
};

static bool in_range(const struct watched *w, const struct step *s)
{
	for (__u32 i = 0; i < w->nr; i++)
		if (s->addr >= w->ranges[i].addr && s->addr + s->width <= w->ranges[i].addr + w->ranges[i].len)
			return true;
	return false;
}

static struct step random_step(const struct gen *g)
{
	const struct ref_rule *u = &g->ref.rules[gen_one_of(g->ref.nr_rules)];
	struct step s = { .write = u->write, .addr = u->addr + gen_one_of(u->count), .count = 1 };
	int n = gen_one_of(g->nr_groups);

	do
		s.width = 1 << gen_one_of(4);
	while (!u->width[s.width]);
	if (!gen_one_of(8)) {
		s.write = rnd() & 1;
		s.width = 1 << gen_one_of(g->groups[n].memory ? 4 : 3);
		s.addr = g->groups[n].first - 3 + gen_one_of(g->groups[n].last - g->groups[n].first + 7);
	}
	s.val = rnd();
	if (u->traps && !gen_one_of(3))
		s.val = (s.val & ~u->trap_mask) | u->trap_value;
	s.val = ref_low(s.val, s.width);
	if (!s.write && s.addr < GEN_MMIO && s.width < 8 && !gen_one_of(u->action == REF_FROM_BUFFER ? 2 : 20))
		s.count = 2 + gen_one_of(u->action == REF_FROM_BUFFER ? 6 : 40);
	return s;
}

/* What the reference says of one step: answered or not, and what the guest then has. */
static bool judge(const struct watched *w, struct ref *r, const struct ref_derived *d, int i, __u64 *want)
{
	const struct step *s = &steps[i];
	struct ref_access a = {
		.write = s->write,
		.addr = s->addr,
		.width = s->width,
		.value = s->val,
		.count = s->count,
		.string = s->count > 1,
	};
	__u8 bytes[MAX_WORDS * 4];
	uint64_t answer = 0;
	bool answered;
	__u32 k;

	if (!in_range(w, s)) {
		answered = false;
	} else {
		answered = ref_access(r, d, &a, &answer);
		if (!answered && s->write)
			ref_write_done(r, d, 0, s->addr, true);
	}
	if (!answered)
		answer = vmm_value(i);
	*want = ref_low(answer, s->width);
	if (s->write || s->count < 2)
		return answered;
	for (k = 0; k < s->count; k++) {
		memcpy(bytes + k * s->width, &answer, s->width);
		if (answered && k + 1 < s->count)
			answer = ref_more(r);
	}
	*want = checksum(bytes, s->count * s->width);
	return answered;
}

#endif /* SELFTESTS_VM_TABLE_STEPS_H */
