/* SPDX-License-Identifier: GPL-2.0 */
/* Random guest programs on the PIT, as in host/pit_fuzz.c: a list of accesses, made on the host, carried out in the guest. */
#ifndef SELFTESTS_VM_PIT_OPS_H
#define SELFTESTS_VM_PIT_OPS_H

#include "pit_judge.h"
#include "qemu.h"

static struct qemu *qemu; /* the programs run on it; else in a VM of our own */
static enum side { ALONE, FILTERED, KVM_PIT } side;
static bool odd_shapes;

#define MAX_OPS 4096

struct op {
	__u8 write, port, len, string;
	__u32 val, think;
};

static struct op ops[MAX_OPS];
static int nr_ops;

static struct result {
	__u64 before, after;
	__u8 data[4];
} results[MAX_OPS];

/* --- in the guest --- */

static void guest_one(const struct op *op, struct result *r)
{
	__u32 i;
	__u16 w;

	for (i = 0; i < op->think; i++)
		asm volatile("pause");
	for (i = 0; i < sizeof(r->data); i++)
		r->data[i] = op->val;
	r->before = guest_time();
	if (op->string && op->write)
		guest_outs(op->port, r->data, op->string, 1);
	else if (op->string)
		guest_ins(op->port, r->data, op->string, 1);
	else if (op->write && op->len == 2)
		outw(op->val << 8 | op->val, op->port);
	else if (op->write)
		outb(op->val, op->port);
	else if (op->len == 2)
		w = inw(op->port), r->data[0] = w, r->data[1] = w >> 8;
	else
		r->data[0] = inb(op->port);
	r->after = guest_time();
}

static void guest_run(long arg)
{
	int i;

	for (i = arg >> 32; i < (int)arg; i++)
		guest_one(&ops[i], &results[i]);
}

/* --- on the host --- */

static int access_of[PIT_CHANNELS];

/*
 * QEMU has a timer for each edge of IRQ0, and does nothing else while it is late with them: so no count of channel 0 below 1024, which only
 * emit_program() writes.
 */
static bool programs_channel0;

static void spare_qemu(struct op *op)
{
	if (!op->write)
		return;
	if (programs_channel0)
		op->len = 1, op->string = 0;
	else if (op->port == PIT_PORT)
		op->port = PIT_PORT + 2;
	else if (op->port == PIT_CONTROL && !(op->val >> 6) && PIT_RW(op->val))
		op->val |= 0x80;
}

static void emit(int write, int port, int val)
{
	long r = random();

	if (nr_ops == MAX_OPS)
		return;
	ops[nr_ops] = (struct op){ .write = write, .port = port, .val = val & 0xff, .len = 1, .think = r % 64 };
	if (r % 97 == 0)
		ops[nr_ops].think = random() % 20000;
	/* What straddles port 0x61 the filter does not see. KVM's PIT takes two bytes for one. */
	if (odd_shapes && r % 499 == 1 && port != PIT_SYSTEM && side != KVM_PIT && !judge.behind_kvm)
		ops[nr_ops].len = 2;
	if (odd_shapes && r % 499 == 2)
		ops[nr_ops].string = 2 + random() % 3;
	if (qemu && !judge.behind_kvm)
		spare_qemu(&ops[nr_ops]);
	nr_ops++;
}

static void emit_program(int ch)
{
	static const int counts[] = { 0, 1, 2, 3, 50, 190, 191, 1000, 1193, 11932, 11933, 0x1000, 65535 };
	int rw = random() % 4 ? 3 : 1 + random() % 2, count = random() % 3 ? counts[random() % ARRAY_SIZE(counts)] : random() & 0xffff;

	if (qemu && !ch) {
		rw |= PIT_RW_MSB;
		count = count & 0xff00 ? count | 0x400 : 0;
		programs_channel0 = true;
	}
	access_of[ch] = rw;
	emit(1, PIT_CONTROL, ch << 6 | rw << 4 | (random() & 0xf));
	if (rw & 1)
		emit(1, PIT_PORT + ch, count);
	if (rw & 2)
		emit(1, PIT_PORT + ch, count >> 8);
	programs_channel0 = false;
}

static void emit_reads(int port, int n)
{
	while (n-- > 0)
		emit(0, port, 0);
}

static void emit_some(void)
{
	int ch = random() % PIT_CHANNELS, n = 1 + random() % 12, i;

	switch (random() % 10) {
	case 0:
		emit_program(ch);
		break;
	case 1:
		emit_program(2);
		emit(1, PIT_SYSTEM, random() & 3);
		emit_reads(PIT_SYSTEM, n);
		break;
	case 2: case 3: case 4:
		for (i = 0; i < n; i++) {
			emit(1, PIT_CONTROL, ch << 6);
			emit_reads(PIT_PORT + ch, random() % 8 ? (access_of[ch] == 3 ? 2 : 1) : random() % 4);
		}
		break;
	case 5:
		emit(1, PIT_CONTROL, 0xc0 | (random() & 0x3e));
		for (i = random() % 8; i > 0; i--)
			emit_reads(PIT_PORT + random() % PIT_CHANNELS, 1);
		break;
	case 6:
		emit_reads(PIT_PORT + ch, random() % 3 ? n : 150);
		break;
	case 7:
		emit_reads(PIT_SYSTEM, n);
		break;
	case 8:
		emit(1, random() % 3 ? PIT_SYSTEM : PIT_PORT + ch, random());
		break;
	default:
		for (i = random() % 4; i > 0; i--)
			emit(random() & 1, random() % 5 ? PIT_PORT + random() % 4 : PIT_SYSTEM, random());
	}
}

/* Channel 2 and port 0x61. The counts of KVM's PIT are not for us. */
static void generate_speaker(void)
{
	int want = nr_ops + 20 + random() % 80;

	while (nr_ops < want) {
		if (random() % 3 == 0)
			emit_program(2);
		if (random() % 2 == 0)
			emit(1, PIT_SYSTEM, random() % 4);
		emit_reads(PIT_SYSTEM, random() % 8 ? 1 + random() % 12 : 100);
	}
}

static void generate(void)
{
	int ch, want = nr_ops + 20 + random() % 80;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		emit_reads(PIT_PORT + ch, 3);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		if (random() % 8)
			emit_program(ch);
	if (random() % 2)
		emit(0, PIT_SYSTEM, 0);
	while (nr_ops < want)
		emit_some();
}

#endif /* SELFTESTS_VM_PIT_OPS_H */
