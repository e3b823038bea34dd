/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random guests of an IDE channel, on up to two vCPUs, on the simulation (idesim.h): they give commands as drivers do, by polling and by
 * interrupt, and what is unusual comes in between.
 *
 * Included behind cases[], since simrun.h is.
 */
#ifndef SELFTESTS_IDEGUEST_H
#define SELFTESTS_IDEGUEST_H

#include "idesim.h"

enum what { ACCESS, STEP, COMPLETE, OTHER, KICK, PAUSE, EJECT, MAIN_LOOP };

#define MAX_OPS 400

struct op {
	u8 what, vcpu, write, len, how;
	u8 stop, nested; /* after so many of the filter's steps, so many of the ops that follow come in between */
	u16 port, val, count, taken;
	u64 ns; /* before it */
};

struct program {
	int vcpus, n;
	enum kind master, slave;
	u32 line;
	bool warm; /* the line has been seen to be the drive's, and how large it is */
	struct op ops[MAX_OPS];
};

#include "simrun.h"

static void run_op(const struct op *op)
{
	int i;

	/* This vCPU is within the filter. */
	if (sim.vcpus[op->vcpu].phase == CALLED || (nested && op->what == PAUSE))
		return;
	/* The module takes it that nobody is on the way out of the kernel for 100 ms. */
	sim_now += in_kernel() && op->ns > 100 * US ? 100 * US : op->ns;
	if (sim_now - sim.main_loop > IDE_SETTLE_NS / 2)
		sim_main_loop();
	switch (op->what) {
	case ACCESS:
		sim_finish(op->vcpu, 500);
		if (!nested) {
			sim_left = op->stop;
			to_nest = op->nested;
		}
		sim_access(op->vcpu, op->write, op->port, op->val, op->len, op->count, op->taken);
		if (!nested)
			sim_left = 0;
		return;
	case STEP:
		for (i = 0; i < op->count; i++) {
			sim_now += 300;
			sim_step(op->vcpu);
			note();
		}
		return;
	case COMPLETE:
		sim_complete(op->val);
		return;
	case OTHER:
		sim_finish(op->vcpu, 500);
		sim_whole(op->vcpu, op->write, NO_PORT, 0, 1, 1);
		return;
	case KICK:
		if (sim.vcpus[op->vcpu].phase == IN_GUEST)
			sim_signal(op->vcpu);
		return;
	case PAUSE:
		sim_pause(100 * US + op->val * US, op->how);
		return;
	case EJECT:
		if (sim.device.drives[0].kind == CD || sim.device.drives[1].kind == CD)
			ide_raise(&sim.device);
		return;
	case MAIN_LOOP:
		sim_main_loop();
	}
}

static int run(const struct program *p)
{
	sim.failure[0] = 0;
	sim_begin(p->vcpus, p->master, p->slave, 1000, p->line);
	running = p;
	if (p->warm && !p->line)
		ide.watch.line_proofs = 2 * IDE_LINE_PROOFS;
	if (p->warm)
		ide.watch.end[0] = ide.watch.end[1] = 1000;
	for (at = 0; at < p->n; at++) {
		run_op(&p->ops[at]);
		note();
		if (ide.watch.fuse)
			sim_fail("the fuse is blown");
		if (sim.failure[0])
			return at;
	}
	return -1;
}

static void emit(struct program *p, struct op op)
{
	if (!op.len)
		op.len = op.count = op.taken = 1;
	if (p->n < MAX_OPS)
		p->ops[p->n++] = op;
}

/* How often something unusual comes in between. */
static u32 wild;

static void emit_any(struct program *p, int vcpu);

static void emit_access(struct program *p, int vcpu, bool write, u32 reg, u32 val)
{
	static const u64 ns[] = { 200, 500, 1000, 3000 };
	struct op op = { .what = ACCESS, .vcpu = vcpu, .write = write, .port = PORT(reg), .val = val, .len = 1, .count = 1, .taken = 1,
			 .ns = ns[rnd() % 4] };
	u64 r = rnd();

	if (wild && rnd() % wild == 0)
		emit_any(p, rnd() % p->vcpus);
	if (r % 97 == 0)
		op.ns = rnd() % 300000;
	if (r % 211 == 1)
		op.ns = rnd() % (r % 3 ? 200000000 : 2000000000);
	if (r % 7 == 4) {
		op.stop = 1 + rnd() % 40;
		op.nested = 1 + rnd() % 6;
	}
	emit(p, op);
	/* Of the other vCPU's, some fall in between. */
	emit(p, (struct op){ .what = STEP, .vcpu = vcpu, .len = 1, .count = rnd() % 8 ? 6 : rnd() % 6 });
}

static void emit_data(struct program *p, int vcpu, u32 len, u32 count, u32 taken)
{
	emit_access(p, vcpu, false, IDE_DATA, 0);
	/* The access before the steps. */
	if (p->n < 2)
		return;
	p->ops[p->n - 2].len = len;
	p->ops[p->n - 2].count = count;
	p->ops[p->n - 2].taken = taken;
}

/* A sector, whole or in pieces; most of them. */
static void emit_sector(struct program *p, int vcpu)
{
	u32 len = rnd() % 2 ? 2 : 4, left = IDE_SECTOR / len, n;

	while (left) {
		n = rnd() % 8 ? left : 1 + rnd() % left;
		emit_data(p, vcpu, len, rnd() % 8 ? n : n + rnd() % 3, n);
		left -= n;
		if (rnd() % 20 == 0)
			return;
	}
}

static void emit_complete(struct program *p)
{
	emit(p, (struct op){ .what = COMPLETE, .ns = 100, .val = rnd() % 30 == 0 });
}

static void emit_task(struct program *p, int vcpu, u32 lba, u32 count, bool ext)
{
	u32 device = (rnd() % 12 ? 0xe0 : 0xa0) | (rnd() % 12 ? 0 : 0x10);

	emit_access(p, vcpu, true, IDE_DEVICE, device);
	if (rnd() % 2)
		emit_access(p, vcpu, false, ALT, 0);
	if (ext) {
		emit_access(p, vcpu, true, IDE_COUNT, 0);
		emit_access(p, vcpu, true, IDE_LBA_LOW, 0);
		emit_access(p, vcpu, true, IDE_LBA_MID, 0);
		emit_access(p, vcpu, true, IDE_LBA_HIGH, 0);
	}
	emit_access(p, vcpu, true, IDE_COUNT, count);
	emit_access(p, vcpu, true, IDE_LBA_LOW, lba);
	emit_access(p, vcpu, true, IDE_LBA_MID, lba >> 8);
	emit_access(p, vcpu, true, IDE_LBA_HIGH, lba >> 16);
}

static void emit_status(struct program *p, int vcpu)
{
	u32 n = rnd() % 3, i;

	for (i = 0; i < n; i++)
		emit_access(p, vcpu, false, rnd() % 2 ? ALT : IDE_STATUS, 0);
}

/* A read command as guests give it. The interrupt may be another vCPU's. */
static void emit_read(struct program *p)
{
	static const u8 commands[] = { 0x20, 0x20, 0x20, 0x21, 0x24, 0xc4, 0xc4, 0x29 };
	u8 command = commands[rnd() % sizeof(commands)];
	int vcpu = rnd() % p->vcpus, other = rnd() % 4 ? vcpu : (int)(rnd() % p->vcpus);
	u32 count = 1 + rnd() % 5, lba = rnd() % 4 ? rnd() % 990 : 990 + rnd() % 14, i;
	bool polls = rnd() % 2, late = rnd() % 4 == 0;

	if (rnd() % 4)
		emit_access(p, vcpu, true, IDE_CONTROL, (polls ? IDE_CTL_NIEN : 0) | 8);
	emit_access(p, vcpu, false, IDE_STATUS, 0);
	if (polls && rnd() % 2)
		emit_access(p, vcpu, false, IDE_DEVICE, 0);
	emit_task(p, vcpu, lba, count, command == IDE_CMD_READ_EXT || command == IDE_CMD_READ_MULTIPLE_EXT);
	emit_access(p, vcpu, true, IDE_COMMAND, command);
	if (!late && rnd() % 2)
		emit_complete(p);
	emit_access(p, vcpu, false, ALT, 0);
	emit_complete(p);
	emit_access(p, other, false, ALT, 0);
	emit_access(p, other, false, IDE_STATUS, 0);
	for (i = 0; i < count; i++) {
		emit_sector(p, other);
		if (!late)
			emit_complete(p);
		if (rnd() % 8)
			emit_access(p, other, false, ALT, 0);
		if (late)
			emit_complete(p);
		if (polls ? rnd() % 8 : rnd() % 2)
			emit_access(p, other, false, ALT, 0);
		if (rnd() % 8)
			emit_access(p, other, false, IDE_STATUS, 0);
	}
	emit_status(p, vcpu);
	for (i = 0; i < 3; i++)
		if (rnd() % 2)
			emit_access(p, vcpu, false, 1 + rnd() % 6, 0);
}

static void emit_other_command(struct program *p)
{
	static const u8 commands[] = { 0x30, 0xc5, 0xc8, 0xca, 0xe7, 0xec, 0xec, 0xc6, 0xc6, 0x08, 0x90, 0xa0, 0xe5, 0xf8, 0x00, 0xa1 };
	u8 command = commands[rnd() % sizeof(commands)];
	int vcpu = rnd() % p->vcpus;
	u32 i;

	emit_access(p, vcpu, false, IDE_STATUS, 0);
	emit_task(p, vcpu, rnd() % 990, command == 0xc6 ? 1 << rnd() % 5 : 1 + rnd() % 3, false);
	emit_access(p, vcpu, true, IDE_COMMAND, command);
	emit_status(p, vcpu);
	if (command == 0x30 || command == 0xc5 || command == 0xa0)
		for (i = rnd() % 4; i; i--) {
			emit_access(p, vcpu, true, IDE_DATA, 0);
			p->ops[p->n - 2].len = 2;
			p->ops[p->n - 2].count = p->ops[p->n - 2].taken = 1;
		}
	if (command == 0xec)
		emit_data(p, vcpu, 2, 256, 256);
	emit_status(p, vcpu);
	emit_complete(p);
	emit_status(p, vcpu);
}

/* What straddles, words and strings; and those beside the channel. What straddles the control register and COM1 is not seen. */
static void emit_odd(struct program *p, int vcpu)
{
	struct op op = { .what = ACCESS, .vcpu = vcpu, .write = rnd() & 1, .ns = 300, .port = IDE_PRIMARY - 3 + rnd() % 14, .val = rnd(),
			 .len = 1 << rnd() % 3, .count = rnd() % 4 ? 1 : 2, .taken = 1 };

	if (rnd() % 3 == 0)
		op.port = PORT(IDE_CONTROL) - 2 + (op.len == 4 ? 0 : rnd() % (5 - op.len));
	emit(p, op);
}

static void emit_any(struct program *p, int vcpu)
{
	switch (rnd() % 16) {
	case 0:
		emit(p, (struct op){ .what = PAUSE, .val = rnd() % 200, .how = rnd() % 4 });
		break;
	case 1:
		emit(p, (struct op){ .what = EJECT });
		break;
	case 2:
		emit(p, (struct op){ .what = KICK, .vcpu = vcpu });
		break;
	case 3:
		emit(p, (struct op){ .what = OTHER, .vcpu = vcpu, .write = rnd() & 1, .ns = 300 });
		break;
	case 4:
		emit(p, (struct op){ .what = MAIN_LOOP });
		break;
	case 5:
		emit_odd(p, vcpu);
		break;
	case 6:
		emit(p, (struct op){ .what = ACCESS, .vcpu = vcpu, .write = true, .port = PORT(IDE_CONTROL), .ns = 300,
				     .val = 8 | (rnd() % 3 ? 0 : IDE_CTL_HOB) | (rnd() % 6 ? 0 : IDE_CTL_SRST) | (rnd() & IDE_CTL_NIEN),
				     .len = 1, .count = 1, .taken = 1 });
		break;
	case 7:
		emit(p, (struct op){ .what = ACCESS, .vcpu = vcpu, .write = true, .port = PORT(1 + rnd() % 7), .val = rnd(), .ns = 300,
				     .len = 1, .count = 1, .taken = 1 });
		break;
	case 8:
		emit(p, (struct op){ .what = ACCESS, .vcpu = vcpu, .write = true, .port = PORT(IDE_DEVICE), .ns = 300,
				     .val = rnd() & 1 ? 0xf0 : 0xe0, .len = 1, .count = 1, .taken = 1 });
		break;
	case 9:
		emit(p, (struct op){ .what = ACCESS, .vcpu = vcpu, .port = IDE_PRIMARY, .len = 2, .count = 256, .taken = 256, .ns = 300 });
		break;
	case 10:
		emit_complete(p);
		break;
	default:
		emit(p, (struct op){ .what = ACCESS, .vcpu = vcpu, .port = PORT(1 + rnd() % 8), .ns = 300, .len = 1, .count = 1, .taken = 1 });
		if (rnd() % 2)
			emit(p, (struct op){ .what = STEP, .vcpu = vcpu, .len = 1, .count = 6 });
	}
}

static void generate(struct program *p)
{
	static const enum kind kinds[][2] = { { ATA, NONE }, { ATA, NONE }, { ATA, ATA }, { ATA, CD }, { CD, NONE }, { NONE, NONE } };
	u32 want = 40 + rnd() % (MAX_OPS - 60), k = rnd() % (rnd() % 4 ? 4 : 6);

	p->n = 0;
	p->vcpus = 1 + rnd() % 2;
	p->master = kinds[k][0];
	p->slave = kinds[k][1];
	p->line = rnd() % 3 ? 0 : 1 + rnd() % 3;
	p->warm = rnd() % 4;
	wild = rnd() % 3 ? 5 + rnd() % 60 : 0;
	while ((u32)p->n < want) {
		if (rnd() % 5)
			emit_read(p);
		else
			emit_other_command(p);
	}
}

static void describe(const struct program *p)
{
	printf(", drives %d %d, line %u:\n", p->master, p->slave, p->line);
}

static bool enough(unsigned long n)
{
	printf("# %lu programs, %llu accesses: %llu answered (status %llu, alternate status %llu, of them busy %llu, other registers %llu), "
	       "%llu to the VMM\n", n, sim_count.accesses, sim_count.answered, sim_count.by[IDE_STATUS], sim_count.by[ALT], sim_count.busy,
	       sim_count.answered - sim_count.by[IDE_STATUS] - sim_count.by[ALT], sim_count.punted);
	return sim_count.accesses >= 10 * n && sim_count.by[IDE_STATUS] >= 2 * n && sim_count.by[ALT] >= 4 * n && sim_count.busy >= n / 4;
}

#endif /* SELFTESTS_IDEGUEST_H */
