// SPDX-License-Identifier: GPL-2.0
/* The IDE channel's program on the module's own settling: cases, random guests (ideguest.h), and what each clause is for. */
#include "idesim.h"

#define GOT (sim.vcpus[0].got)

#define WANT(cond) \
	do { \
		if (!(cond)) \
			sim_fail("line %d: %s", __LINE__, #cond); \
	} while (0)

static bool out(u32 reg, u8 val)
{
	return sim_whole(0, true, PORT(reg), val, 1, 1);
}

/* Return: whether it was answered by the filter. */
static bool in(u32 reg)
{
	return sim_whole(0, false, PORT(reg), 0, 1, 1);
}

static void data(u32 len, u32 count)
{
	sim_whole(0, false, IDE_PRIMARY, 0, len, count);
}

static void task(u32 lba, u8 count)
{
	out(IDE_DEVICE, 0xe0 | lba >> 24);
	out(IDE_COUNT, count);
	out(IDE_LBA_LOW, lba);
	out(IDE_LBA_MID, lba >> 8);
	out(IDE_LBA_HIGH, lba >> 16);
}

static void begin(u32 line)
{
	sim_begin(2, ATA, NONE, 1000, line);
}

/* A guest that polls: how many of its reads are answered. */
static u32 polled(u32 lba, u8 count, u8 command, u32 block)
{
	u32 answered = 0, i;

	out(IDE_CONTROL, IDE_CTL_NIEN | 8);
	answered += in(IDE_STATUS);
	answered += in(IDE_DEVICE);
	task(lba, count);
	out(IDE_COMMAND, command);
	sim_complete(false);
	answered += in(IDE_STATUS);
	for (i = 0; i < count; i++) {
		data(2, 256);
		answered += in(ALT);
		if ((i + 1) % block == 0)
			sim_complete(false);
		answered += in(IDE_STATUS);
	}
	WANT(GOT == 0x50);
	out(IDE_CONTROL, 8);
	return answered;
}

/* As SeaBIOS reads: of the pauses after a block all are answered, once the drive's size is known. */
static void bios(void)
{
	begin(1);
	in(IDE_STATUS);
	polled(999, 1, IDE_CMD_READ, 1);
	polled(100, 8, IDE_CMD_READ, 1);
	/* The first status, the device register, eight pauses, the last status. INTRQ is not known at first. */
	WANT(polled(200, 8, IDE_CMD_READ, 1) == 10);
	WANT(in(ALT) && GOT == 0x50);
	WANT(in(IDE_COUNT) && GOT == 0);
	WANT(in(IDE_LBA_LOW) && GOT == 208);
	WANT(in(IDE_ERROR) && GOT == 0);
	out(IDE_COUNT, 16);
	out(IDE_CONTROL, IDE_CTL_NIEN);
	out(IDE_COMMAND, IDE_CMD_SET_MULTIPLE);
	in(IDE_STATUS);
	/* Within a block both; at its end, the pause. Two are audits. */
	WANT(polled(300, 64, IDE_CMD_READ_MULTIPLE, 16) >= 60 * 2 + 4 + 1 - 2);
}

/* Nobody is told "busy" of a block that may not be there. */
static void beyond(void)
{
	u32 i;

	begin(1);
	for (i = 0; i < 2; i++) {
		in(IDE_STATUS);
		out(IDE_CONTROL, IDE_CTL_NIEN);
		in(IDE_STATUS);
		task(998, 3);
		out(IDE_COMMAND, IDE_CMD_READ);
		sim_complete(false);
		in(IDE_STATUS);
		data(2, 256);
		in(ALT);
		sim_complete(false);
		in(IDE_STATUS);
		data(2, 256);
		WANT(!in(ALT) && GOT == 0x41);
	}
}

static void identified(void)
{
	begin(1);
	in(IDE_STATUS);
	out(IDE_DEVICE, 0xe0);
	in(ALT);
	out(IDE_CONTROL, IDE_CTL_NIEN);
	out(IDE_COMMAND, IDE_CMD_IDENTIFY);
	in(IDE_STATUS);
	data(2, 256);
	WANT(in(ALT) && GOT == 0x50);
	WANT(ide.watch.end[0] == 1000 && ide.watch.multiple[0] == 16);
	WANT(in(IDE_STATUS) && GOT == 0x50);
	WANT(polled(10, 8, IDE_CMD_READ, 1) >= 10);
}

/* One block read as Linux does, by interrupt. Return: how many reads were answered. */
static u32 interrupt(u32 lba, u8 count)
{
	u32 answered = 0, i;

	answered += in(IDE_STATUS);
	out(IDE_DEVICE, 0xe0);
	answered += in(ALT);
	answered += in(IDE_STATUS);
	task(lba, count);
	answered += in(IDE_STATUS);
	out(IDE_COMMAND, IDE_CMD_READ);
	answered += in(ALT);
	for (i = 0; i < count; i++) {
		sim_complete(false);
		WANT(sim.device.intrq);
		WANT(!in(ALT) && GOT == 0x58);
		WANT(!in(IDE_STATUS) && GOT == 0x58);
		data(4, 128);
		answered += in(ALT);
	}
	answered += in(IDE_STATUS);
	return answered;
}

static void interrupts(void)
{
	u32 i;

	begin(0);
	out(IDE_CONTROL, 8);
	in(IDE_STATUS);
	for (i = 0; i < 5; i++)
		interrupt(10 * i, 2);
	/* All but the two that each interrupt needs. */
	WANT(interrupt(100, 8) == 4 + 1 + 8 + 1);
	WANT(in(IDE_STATUS) && GOT == 0x50);
	/* Behind the disk's end. */
	task(5000, 1);
	out(IDE_COMMAND, IDE_CMD_READ);
	WANT(!in(ALT) && GOT == 0x41);
	WANT(!in(IDE_STATUS));
	WANT(in(IDE_STATUS) && GOT == 0x41);
}

/* Where the line is another device's, or KVM has none, nothing is taken from it. */
static void no_line(void)
{
	u32 line, i;

	for (line = 1; line <= 3; line++) {
		begin(line);
		out(IDE_CONTROL, 8);
		in(IDE_STATUS);
		for (i = 0; i < 20; i++)
			interrupt(10 * i, 2);
		WANT(!in(IDE_STATUS));
		WANT(in(ALT) && GOT == 0x50);
		WANT(ide.watch.line_proofs < 2 * IDE_LINE_PROOFS);
	}
}

/* A CD on the channel raises INTRQ by itself. */
static void ejected(void)
{
	u32 i;

	sim_begin(1, ATA, CD, 1000, 0);
	in(IDE_STATUS);
	for (i = 0; i < 5; i++)
		interrupt(10 * i, 2);
	WANT(in(IDE_STATUS));
	ide_raise(&sim.device);
	WANT(in(ALT));
	WANT(!in(IDE_STATUS));
	WANT(in(IDE_STATUS));
}

static void reset(void)
{
	u32 how;

	for (how = STOP; how <= RESET; how++) {
		begin(0);
		in(IDE_STATUS);
		polled(20, 2, IDE_CMD_READ, 1);
		WANT(in(ALT));
		sim_pause(200 * US, how);
		WANT(!in(ALT));
		WANT(in(ALT));
		WANT(!in(IDE_LBA_LOW));
	}
	/* Saved with an interrupt that nobody has seen to. */
	begin(0);
	ide.watch.line_proofs = 2 * IDE_LINE_PROOFS;
	sim.saved.intrq = true;
	in(IDE_STATUS);
	WANT(in(IDE_STATUS));
	sim_pause(200 * US, LOAD);
	in(ALT);
	WANT(in(ALT));
	WANT(!in(IDE_STATUS));
	WANT(in(IDE_STATUS));
	/* An error of the disk stops the VM, and QEMU begins anew: not before it has shown an idle drive. */
	begin(1);
	in(IDE_STATUS);
	in(IDE_DEVICE);
	task(10, 1);
	out(IDE_COMMAND, IDE_CMD_READ);
	sim_pause(200 * US, DISK_ERROR);
	WANT(!in(ALT) && GOT == 0x50);
	WANT(!in(ALT) && GOT == 0x50);
	sim_complete(false);
	WANT(!in(ALT) && GOT == 0xd0);
}

/* A part of a block: only so much is taken as KVM asks for, whatever the guest's count. */
static void partial(void)
{
	begin(1);
	in(IDE_STATUS);
	out(IDE_CONTROL, IDE_CTL_NIEN);
	in(IDE_STATUS);
	in(IDE_DEVICE);
	task(10, 1);
	out(IDE_COMMAND, IDE_CMD_READ);
	sim_complete(false);
	in(IDE_STATUS);
	sim_access(0, false, IDE_PRIMARY, 0, 2, 256, 100);
	sim_finish(0, 500);
	WANT(in(ALT) && GOT == 0x58);
	data(2, 156);
	WANT(in(ALT) && GOT == 0x50);
}

/* Another vCPU is being shown the block, or was, and nobody knows what. */
static void another_looks(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		begin(1);
		in(IDE_STATUS);
		polled(999, 1, IDE_CMD_READ, 1);
		out(IDE_CONTROL, IDE_CTL_NIEN);
		in(IDE_STATUS);
		task(10, 2);
		out(IDE_COMMAND, IDE_CMD_READ);
		sim_complete(false);
		sim_access(1, false, PORT(ALT), 0, 1, 1, 1);
		sim_step(1);
		in(IDE_STATUS);
		data(2, 256);
		sim_complete(false);
		sim_step(1);
		sim_step(1);
		if (i) {
			sim_finish(1, 500);
			sim_whole(1, true, NO_PORT, 0, 1, 1);
		}
		WANT(!in(ALT) && GOT == 0x58);
		sim_finish(1, 500);
	}
}

/* Attached while a vCPU is in the VMM with a command. */
static void attached(void)
{
	begin(1);
	task(10, 1);
	sim_access(1, true, PORT(IDE_COMMAND), IDE_CMD_READ, 1, 1, 1);
	sim_step(1);
	sim_step(1);
	sim_attach();
	in(ALT);
	WANT(!in(ALT));
	sim_finish(1, 500);
	WANT(!in(ALT) && GOT == 0xd0);
}

/* What others do is found at an audit, and ends it. */
static void fuse(void)
{
	u32 i, answered = 0;

	begin(1);
	in(ALT);
	for (i = 0; i < 3 * IDE_AUDIT; i++)
		answered += in(ALT);
	WANT(answered >= 3 * (IDE_AUDIT - 2));
	sim.device.drives[0].status = 0;
	sim.failure[0] = 0;
	for (i = 0; i < 2 * IDE_AUDIT; i++)
		sim_whole(0, false, PORT(ALT), 0, 1, 1);
	/* Until then it was wrong, as it must be. */
	sim.failure[0] = 0;
	WANT(ide.watch.fuse == IOFILTER_FUSE_MODEL && !in(ALT));
	begin(1);
	in(ALT);
	WANT(in(ALT));
	sim_now += IDE_EXPIRY_NS;
	WANT(!in(ALT));
	WANT(in(ALT));
}

static const struct { const char *name; void (*run)(void); } cases[] = {
	{ "polled", bios },
	{ "behind the end", beyond },
	{ "identified", identified },
	{ "interrupts", interrupts },
	{ "another's line, and none", no_line },
	{ "a CD ejected", ejected },
	{ "stopped, loaded, reset", reset },
	{ "a part of a block", partial },
	{ "another looks", another_looks },
	{ "attached", attached },
	{ "audit, fuse, expiry", fuse },
};

#include "ideguest.h"

int main(void)
{
	static const struct sim_mutant rows[] = { SIM_IDE_CLAUSES(SIM_MUTANT) };

	return sim_main(rows, sizeof(rows) / sizeof(rows[0]), 1);
}
