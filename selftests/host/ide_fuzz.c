// SPDX-License-Identifier: GPL-2.0
/*
 * The same random guest on two machines: one has the IDE model alone, the other the model behind the filter, which is given the channel
 * after each trap. Every answer, every interrupt, both disks and, whenever the VMM has the channel, all of its state must be equal.
 * What is given ahead is sabotaged at random: nothing, less, more than there is, of another place. The filter is detached and attached at random,
 * and accesses meet the lock held. Several vCPUs, one access at a time, but a string may be interrupted by another vCPU.
 * And the second machine is saved, and goes on with a filter that was just attached and has restored what was saved.
 */
#include <errno.h>
#include <iofilter/ide.h>
#include <iofilter/ide_own.h>
#include <devices/ide_filter.h>
#include "host.h"
#include "saverestore.h"

#define DISK	 2039 /* sectors; larger numbers are the same ones again, but not if they differ by a bit */
#define ACCESSES 1000000 /* a string is one */
#define PROGRAM	 5000 /* until all is compared and begins anew */
#define VCPUS	 3

static uint8_t disks[2][DISK][IDE_SECTOR];
static struct ide plain, vmm;
static struct iofilter_ide *filters[2];
static struct ide_own *own;
static int current;
static uint64_t edges[2], bad;
static bool attached, followed; /* by the VMM, which wants to know what accesses change */

static bool saved_program;
static uint64_t answered_before;
static uint64_t accesses, answered, punted, data_answered, data_punted, strings, broken_in, gives_refused, detaches;


static int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	uint8_t(*disk)[IDE_SECTOR] = disks[arg != &plain];
	__u32 i;

	for (i = 0; i < count; i++)
		if ((sector + i) % DISK == bad)
			return -EIO;
	for (i = 0; i < count; i++) {
		uint8_t *a = disk[(sector + i) % DISK], *b = (uint8_t *)data + (size_t)i * IDE_SECTOR;

		memcpy(write ? a : b, write ? b : a, IDE_SECTOR);
	}
	return 0;
}

static void disk_irq(void *arg, int level)
{
	edges[arg != &plain] += level;
}

static inline void ide_own_signal(struct ide_own *o, const struct kvm_iofilter_req *req)
{
	(void)o;
	assert_true(o->signals);
	assert_true(req->addr == IDE_PRIMARY);
	edges[1]++;
}

static uint32_t one_of(uint32_t n)
{
	return rnd() % n;
}

static uint16_t port(int reg)
{
	return IDE_PRIMARY + (reg == IDE_CONTROL ? IDE_CONTROL_AT : reg);
}

/* What a VMM with a bad predictor does. */
static void give(void)
{
	const struct ide_channel *c = &vmm.c;
	uint64_t sector = iofilter_ide_next(c);
	uint32_t n = iofilter_ide_wanted(c), kind = one_of(12);
	int ret;

	if (kind > 4 || own->given) {
		ide_give(&vmm, own);
		return;
	}
	if (!n && kind)
		kind = 1;
	switch (kind) {
	case 0: /* nothing at all */
		return;
	case 1:
		n = 0;
		break;
	case 2:
		n = 1 + one_of(n);
		break;
	case 3:
		n++;
		break;
	case 4:
		sector += (int)one_of(7) - 3;
		break;
	}
	if (kind != 3 && (sector > vmm.sectors || n > vmm.sectors - sector))
		n = 0;
	if (n <= IDE_OWN_SECTORS) {
		bool same = sector == iofilter_ide_next(c) && kind != 3;

		if (n && disk_io(&vmm, 0, sector, n, iofilter_ide_ahead(own, c)))
			n = 0;
		/* What is refused must not be looked at, either. */
		if (n && !same)
			memset(iofilter_ide_ahead(own, c), 0xee, n * IDE_SECTOR);
	}
	ret = iofilter_ide_give(own, c, vmm.buf, sector, n);
	if (ret < 0)
		return;
	if (n && (kind == 3 || (kind == 4 && sector != iofilter_ide_next(c)))) {
		assert_int_equal(ret, 1);
		gives_refused++;
	} else {
		assert_int_equal(ret, 0);
	}
}

static void same_channel(void)
{
	struct ide_channel a = plain.c, b = vmm.c;

	/* Where nothing is transferred a position means nothing. */
	if (!(a.status & IDE_DRQ))
		a.pos = a.end = b.pos = b.end = 0;
	assert_memory_equal(&a, &b, sizeof(a));
	if (a.status & IDE_DRQ)
		assert_memory_equal(plain.buf, vmm.buf, a.transfer == IDE_DATA_OUT ? a.pos : a.end);
}

struct access {
	int reg, len, vcpu;
	bool write;
	uint32_t n, bound; /* elements, and what the filter is told */
	uint32_t vals[512];
};

static uint32_t mask(int len)
{
	return len == 4 ? ~0U : (1U << 8 * len) - 1;
}

static uint32_t model(struct ide *d, const struct access *a, uint32_t i)
{
	if (a->write) {
		ide_port_write(d, port(a->reg), a->len, a->vals[i]);
		return 0;
	}
	return ide_port_read(d, port(a->reg), a->len) & mask(a->len);
}

/* As it is attached. What it was given ahead is not there, and nothing looks like it. */
static void attach(int n)
{
	memset(filters[n], 0, sizeof(*filters[n]));
	filters[n]->watch.absence = IOFILTER_ABSENCE_NS;
	filters[n]->watch.expiry = IDE_EXPIRY_NS;
	memset(filters[n]->own.data, n ? 0x33 : 0xcc, sizeof(filters[n]->own.data));
	filters[n]->base = IDE_PRIMARY;
	current = n;
	own = &filters[n]->own;
}

/*
 * The machine is saved with its vCPUs out of the kernel. The VMM's model goes on as it is: what the filter was given is
 * not in it. That the VMM cooperates it tells the new filter before or after.
 */
static void save(void)
{
	struct iofilter_ide *old = filters[current];
	bool first = one_of(2);

	restore_count.in_flight += own->given && own->c.status & IDE_DRQ;
	attach(!current);
	if (first)
		iofilter_ide_cooperate(own, old->own.signals);
	registers_move("ide", old, filters[current], 0);
	iofilter_ide_cooperate(own, old->own.signals);
	/* Whoever still uses it is wrong. */
	memset(&old->own, 0xee, offsetof(struct ide_own, data));
	if (!saved_program) {
		answered_before = answered;
		restore_count.programs++;
	}
	saved_program = true;
}

static void filtered(struct access *a, int depth);

static bool ask(struct access *a, uint32_t i, uint32_t *val, bool contended)
{
	struct kvm_iofilter_req req = { .addr = port(a->reg), .val = a->write ? a->vals[0] : 0, .len = a->len, .count = a->bound - i,
		.vcpu = a->vcpu };
	const char *lost;
	uint32_t verdict;

	if (a->bound > 1)
		req.flags |= KVM_IOFILTER_REQ_STRING;
	if (i)
		req.flags |= KVM_IOFILTER_REQ_MORE;
	if (followed)
		registers_before("ide", filters[current]);
	if (contended)
		own->lock = 1;
	verdict = a->write ? ide_own_write(own, &req, a->reg) : ide_own_read(own, &req, a->reg);
	if (contended)
		own->lock = 0;
	assert_int_equal(own->lock, 0);
	if (contended && !i)
		assert_int_equal(verdict, IOFILTER_PUNT_BUSY);
	lost = followed ? registers_after("ide", filters[current]) : NULL;
	if (lost)
		fail_msg("%s", lost);
	*val = req.val & mask(a->len);
	return verdict == IOFILTER_ANSWERED;
}

/* One access of the guest on both machines. @depth: inside a string of another vCPU. */
static void filtered(struct access *a, int depth)
{
	uint32_t i, want, got;
	bool data = !a->write && a->reg == IDE_DATA;

	accesses++;
	if (attached && !depth && !one_of(700))
		save();
	if (!attached || !ask(a, 0, &got, !one_of(200))) {
		punted++;
		data_punted += data * a->n;
		ide_take(&vmm, own);
		same_channel();
		for (i = 0; i < a->n; i++) {
			want = model(&plain, a, i);
			got = model(&vmm, a, i);
			assert_int_equal(got, want);
		}
		same_channel();
		give();
		return;
	}
	answered++;
	data_answered += data * a->n;
	strings += a->n > 1;
	for (i = 0; i < a->n; i++) {
		/* The lock held by another vCPU does not matter to an element. */
		if (i)
			assert_true(ask(a, i, &got, !one_of(50)));
		want = model(&plain, a, i);
		if (!a->write && got != want)
			fail_msg("register %d, element %u of %u: %x, not %x (pos %u end %u last %u there %u)", a->reg, i, a->n, got, want,
				 own->pos, own->end, own->last, own->there);
		assert_int_equal(edges[0], edges[1]);
		if (!depth && i + 1 < a->n && !one_of(300)) {
			static const int regs[] = { IDE_STATUS, IDE_ALT_STATUS, IDE_COUNT, IDE_LBA_LOW, IDE_ERROR, IDE_DEVICE };
			struct access other = { .reg = regs[one_of(6)], .len = 1, .vcpu = (a->vcpu + 1) % VCPUS, .n = 1, .bound = 1 };
			struct access second = { .reg = IDE_DATA, .len = 2, .vcpu = other.vcpu, .n = 1, .bound = 1 };
			uint32_t val;

			/* Data and writes of others are left to the VMM, which waits for the string's end. */
			assert_false(ask(&second, 0, &val, false));
			second.write = true;
			second.len = 1;
			second.reg = 1 + one_of(8);
			assert_false(ask(&second, 0, &val, false));
			assert_true(ask(&other, 0, &got, false));
			assert_int_equal(got, model(&plain, &other, 0));
			broken_in++;
		}
	}
	assert_int_equal(plain.c.intrq, own->c.intrq);
}

static void one(int vcpu, int reg, bool write, int len, uint32_t val)
{
	struct access a = { .reg = reg, .len = len, .vcpu = vcpu, .write = write, .n = 1, .bound = 1, .vals = { val & mask(len) } };

	filtered(&a, 0);
	assert_int_equal(edges[0], edges[1]);
}

static void string(int vcpu, bool write, int len, uint32_t n)
{
	static struct access a;
	uint32_t i, bound = n;

	if (n > 1 && !one_of(4))
		bound += one_of(200); /* KVM stops at a page's end, or RCX was more than the instruction sees */
	if (bound > 1024U / len)
		bound = 1024 / len;
	a = (struct access){ .reg = IDE_DATA, .len = len, .vcpu = vcpu, .write = write, .n = n < bound ? n : bound, .bound = bound };
	for (i = 0; write && i < n; i++)
		a.vals[i] = rnd() & mask(len);
	filtered(&a, 0);
	assert_int_equal(edges[0], edges[1]);
}

static uint8_t command(void)
{
	static const uint8_t reads[] = { 0x20, 0x20, 0x21, 0x24, 0x24, 0xc4, 0xc4, 0x29, 0x29 };
	static const uint8_t others[] = { 0x30, 0x31, 0x34, 0xc5, 0x39, 0x3c, 0xec, 0xec, 0x10, 0x40, 0x42, 0x70, 0x90, 0x91, 0xc6,
		0xc6, 0xe5, 0xe7, 0xef, 0xf8, 0x27, 0x08 };

	switch (one_of(20)) {
	case 0:
		return rnd();
	case 1: case 2: case 3: case 4:
		return others[one_of(sizeof(others))];
	default:
		return reads[one_of(sizeof(reads))];
	}
}

/* All registers, as a driver does. */
static void start(int vcpu)
{
	static const uint64_t places[] = { 0, 0xff, 0xffff, 0xffffff, 0xfffffff, 0xffffffff, 0xffffffffff };
	uint64_t lba = places[one_of(7)] - one_of(40);
	uint32_t count = one_of(4) ? 1 + one_of(20) : one_of(4) ? one_of(257) : one_of(1000);
	uint8_t cmd = command(), device = one_of(20) ? IDE_DEVICE_LBA : 0;
	bool lba48 = cmd == 0x24 || cmd == 0x29 || cmd == 0x34 || cmd == 0x39;
	int i;

	lba &= 0xffffffffffffULL;
	if (cmd == 0xc6)
		count = one_of(3) ? 1U << one_of(5) : one_of(20);
	for (i = lba48 ? 0 : 1; i < 2; i++) {
		int shift = i ? 0 : 24;

		one(vcpu, IDE_FEATURES, true, 1, cmd == 0xef ? 3 : 0);
		one(vcpu, IDE_COUNT, true, 1, i ? count : count >> 8);
		one(vcpu, IDE_LBA_LOW, true, 1, lba >> shift);
		one(vcpu, IDE_LBA_MID, true, 1, lba >> (i ? 8 : 32));
		one(vcpu, IDE_LBA_HIGH, true, 1, lba >> (i ? 16 : 40));
	}
	one(vcpu, IDE_DEVICE, true, 1, device | (lba48 ? 0 : lba >> 24 & IDE_DEVICE_HEAD));
	one(vcpu, IDE_COMMAND, true, 1, cmd);
}

/* Data as drivers move it: a sector or a block at a time, in words or dwords, or single ones. */
static void data(int vcpu)
{
	bool write = plain.c.transfer == IDE_DATA_OUT && one_of(30);
	int len = one_of(2) ? 2 : 4, i;
	uint32_t left = plain.c.end - plain.c.pos;

	switch (one_of(6)) {
	case 0:
		for (i = one_of(9); i >= 0; i--)
			one(vcpu, IDE_DATA, write, len, rnd());
		break;
	case 1:
		string(vcpu, write, len, 1 + one_of(1024 / len));
		break;
	case 2: /* all but the last */
		if (left > 8 && left / len < 513)
			string(vcpu, write, len, left / len - 1);
		break;
	default:
		string(vcpu, write, len, left > 1024 ? 1024U / len : left < 4 ? 1 : left / len);
	}
}

static void step(void)
{
	int vcpu = one_of(20) ? 0 : one_of(VCPUS), reg;

	if (plain.c.status & IDE_DRQ && !plain.c.unit && one_of(10)) {
		data(vcpu);
		if (one_of(2))
			one(vcpu, IDE_ALT_STATUS, false, 1, 0);
		if (one_of(2))
			one(vcpu, IDE_STATUS, false, 1, 0);
		return;
	}
	switch (one_of(40)) {
	case 0:
		one(vcpu, one_of(9), rnd() & 1, 1 << one_of(3), rnd()); /* anything */
		break;
	case 1:
		one(vcpu, IDE_CONTROL, true, 1, rnd() & (one_of(10) ? IDE_CTL_NIEN | IDE_CTL_HOB | 8 : 0xff));
		break;
	case 2:
		one(vcpu, IDE_CONTROL, true, 1, 0);
		break;
	case 3:
		one(vcpu, IDE_DEVICE, true, 1, rnd());
		break;
	case 4:
		one(vcpu, IDE_DATA, false, 1 << one_of(3), 0);
		break;
	case 5: case 6: case 7: case 8:
		one(vcpu, 1 + one_of(6), true, 1, rnd());
		break;
	case 9: case 10: case 11: case 12: case 13: case 14:
		start(vcpu);
		break;
	case 15:
		if (!one_of(attached ? 20 : 2)) {
			attached = !attached;
			detaches += !attached;
		}
		break;
	case 16:
		if (!one_of(100)) {
			ide_reset(&plain);
			ide_take(&vmm, own);
			ide_reset(&vmm);
			give();
		}
		break;
	default:
		for (reg = 1; reg <= IDE_ALT_STATUS; reg++)
			if (one_of(2))
				one(vcpu, reg, false, 1, 0);
	}
}

static void machine(struct ide *d)
{
	*d = (struct ide){ .io = disk_io, .irq = disk_irq, .arg = d, .sectors = 1ULL << 40, .base = IDE_PRIMARY };
	ide_power_on(d);
}

static void test_two_machines(void **state)
{
	const uint64_t total = restore_mutant ? accesses + 200000 : ACCESSES * scale();
	uint64_t next = 0, programs = 0;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		filters[i] = aligned_alloc(64, (sizeof(*filters[i]) + 63) & ~63UL);
		assert_non_null(filters[i]);
	}
	while (accesses < total) {
		attach(0);
		saved_program = false;
		for (i = 0; i < sizeof(disks[0]) / 8; i++)
			((uint64_t *)disks[0])[i] = rnd();
		memcpy(disks[1], disks[0], sizeof(disks[0]));
		machine(&plain);
		machine(&vmm);
		edges[0] = edges[1] = 0;
		bad = one_of(3) ? UINT64_MAX : one_of(DISK);
		attached = true;
		followed = programs & 2;
		iofilter_ide_cooperate(own, programs++ & 1);
		give();
		next = accesses + PROGRAM;
		while (accesses < next)
			step();
		ide_take(&vmm, own);
		same_channel();
		assert_memory_equal(disks[0], disks[1], sizeof(disks[0]));
		restore_count.answered += saved_program ? answered - answered_before : 0;
	}
	printf("# %llu accesses: %llu answered, %llu punted; elements of data %llu and %llu; %llu strings, %llu interrupted\n",
	       (unsigned long long)accesses, (unsigned long long)answered, (unsigned long long)punted, (unsigned long long)data_answered,
	       (unsigned long long)data_punted, (unsigned long long)strings, (unsigned long long)broken_in);
	printf("# %llu programs, %llu refused, %llu detaches; the last: %llu edges\n", (unsigned long long)programs,
	       (unsigned long long)gives_refused, (unsigned long long)detaches, (unsigned long long)edges[1]);
	assert_true(answered > punted && data_answered > data_punted);
	assert_true(strings && broken_in && gives_refused && detaches && edges[1]);
	restore_print("ide");
	follow_print("ide");
	assert_true(follow_count.told > accesses / 10 && follow_count.quiet > accesses / 10 && follow_count.by == 0x3ffff);
	assert_true(restore_count.saves >= 1000 && restore_count.in_flight >= 500 && restore_count.answered >= 10000);
	for (i = 0; i < 2; i++)
		free(filters[i]);
}

static int two_machines(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	static const struct restore_spared spared[] = {
		{ "own.last", "nothing is answered that reaches a block's end, and the VMM takes the channel" },
		{ "own.unit", "a channel whose slave is selected is not given" },
		{}
	};

	seed();
	return two_machines() || registers_mutants("ide", two_machines, spared);
}
