// SPDX-License-Identifier: GPL-2.0
/*
 * Random guest programs on the RTC, in a VM without the filter, and the same with it; and on stock QEMU. The judge is a device of its own (a
 * twin) that gets every access of the guest: what it says of memory, alarms, registers A (less UIP), B and D is what the guest must
 * have read. The time and register C, which moves with it, are not judged here: rtc.c does. A program that fails is made small and printed.
 */
#include "minimise.h"
#include "qemu_filter.h"
#include "rtc.h"

#define MAX_OPS 120

enum shape { BYTE, WORD, STRING };

static struct op {
	__u8 write, port, shape, n; /* n: elements of a string */
	__u16 val;
	__u8 got[4];
} ops[MAX_OPS];
static int nr_ops;

static struct run run;
static struct qemu *qemu; /* the programs run on it; else in run.vmm */

static void guest_program(long unused)
{
	struct op *o;
	__u16 w;

	(void)unused;
	for (o = ops; o < ops + nr_ops; o++) {
		if (o->write && o->shape == WORD) {
			outw(o->val, o->port);
		} else if (o->write) {
			outb(o->val, o->port);
		} else if (o->shape == WORD) {
			w = inw(o->port);
			o->got[0] = w;
			o->got[1] = w >> 8;
		} else if (o->shape == STRING) {
			guest_ins(o->port, o->got, o->n, 1);
		} else {
			o->got[0] = inb(o->port);
		}
	}
}

static void emit(struct op o)
{
	if (nr_ops < MAX_OPS)
		ops[nr_ops++] = o;
}

/* Register B, for QEMU without PIE: a timer of 8 kHz, and an emulated machine does nothing else. */
static __u8 some_value(__u8 reg)
{
	return random() & (qemu && reg == RTC_REG_B ? 0xbf : 0xff);
}

/* Few registers, so that a program meets each of them often. */
static __u8 some_register(void)
{
	static const __u8 regs[] = { 0, 1, 2, 3, 4, 5, 7, 9, RTC_REG_A, RTC_REG_B, RTC_REG_C, RTC_REG_D, RTC_CENTURY };

	return random() % 4 ? 0x40 + random() % 6 : regs[random() % ARRAY_SIZE(regs)];
}

static void generate(void)
{
	int i, n;

	nr_ops = 0;
	while (nr_ops < MAX_OPS - 8) {
		__u8 reg = some_register(), index = reg | (random() & 0x80);

		switch (random() % 16) {
		case 0:
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .shape = WORD, .val = index | some_value(reg) << 8 });
			break;
		case 1: case 2:
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .val = index });
			emit((struct op){ .write = 1, .port = RTC_DATA_PORT, .val = some_value(reg) });
			break;
		case 3:
			emit((struct op){ .port = RTC_INDEX_PORT, .shape = random() % 2 ? WORD : BYTE });
			break;
		case 4:
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .val = index });
			emit((struct op){ .port = RTC_DATA_PORT, .shape = STRING, .n = 1 + random() % 4 });
			break;
		case 5:
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .val = index });
			break;
		default:
			n = 1 + random() % 4;
			for (i = 0; i < n; i++) {
				emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .val = index });
				emit((struct op){ .port = RTC_DATA_PORT });
			}
		}
	}
}

/* The bits that the twin knows exactly of a byte at the data port. */
static __u8 judged_bits(__u8 reg)
{
	switch (reg & 0x7f) {
	case RTC_SECONDS: case RTC_MINUTES: case RTC_HOURS: case RTC_DAY_OF_WEEK: case RTC_DATE_OF_MONTH: case RTC_MONTH: case RTC_YEAR:
	case RTC_REG_C: case RTC_CENTURY: case RTC_PS2_CENTURY:
		return 0;
	case RTC_REG_A:
		return 0x7f;
	default:
		return 0xff;
	}
}

static struct rtc fresh, twin;
static unsigned long judged;
static char why[128];

/* Return: the access that is wrong, with a reason in @why; or -1. */
static int judge(void)
{
	int i, n, at;

	for (at = 0; at < nr_ops; at++) {
		const struct op *o = &ops[at];

		n = o->shape == WORD ? 2 : o->shape == STRING ? o->n : 1;
		for (i = 0; i < n; i++) {
			__u16 port = o->port + (o->shape == STRING ? 0 : i);
			__u8 bits = port == RTC_DATA_PORT ? judged_bits(twin.index) : 0xff, right;

			if (o->write) {
				rtc_port_write(&twin, port, o->val >> 8 * i);
				continue;
			}
			right = rtc_port_read(&twin, port);
			judged += !!bits;
			if (!((right ^ o->got[i]) & bits))
				continue;
			snprintf(why, sizeof(why), "port %#x, register %#x: got %#x, wanted %#x", port, twin.index, o->got[i], right);
			return at;
		}
	}
	return -1;
}

static __u8 contents[RTC_NR_REGS];

static void guest_dump(long unused)
{
	int i;

	(void)unused;
	for (i = 0; i < RTC_NR_REGS; i++) {
		outb(i, RTC_INDEX_PORT);
		contents[i] = inb(RTC_DATA_PORT);
	}
}

/* Each program begins with a reset of the device; on QEMU with what the one before has left, unless that is not @known. Return: as judge(). */
static int execute(bool known)
{
	if (qemu) {
		if (!known) {
			qemu_run(qemu, guest_dump, 0);
			twin = fresh;
			twin.index = RTC_NR_REGS - 1;
			memcpy(twin.cmos, contents, sizeof(contents));
		}
		qemu_run(qemu, guest_program, 0);
		return judge();
	}
	/* No one that runs is reset in less than the longest absence that is none. */
	usleep(6000);
	device = twin = fresh;
	vmm_run(run.vmm, 0, guest_program, 0);
	pthread_mutex_lock(&device_lock);
	queued += vmm_flush(run.vmm, device_write);
	pthread_mutex_unlock(&device_lock);
	return judge();
}

/* In a VM nothing happens twice in the same way: a few tries. */
static int again(int n)
{
	int i, at = -1;

	nr_ops = n;
	for (i = 0; i < 3 && at < 0; i++)
		at = execute(false);
	return at;
}

static void fail(unsigned int program, const char *how, int at)
{
	int i;

	fprintf(stderr, "program %u, %s, access %d: %s\n", program, how, at, why);
	at = again(minimise(ops, at + 1, sizeof(*ops), INT_MAX, again));
	fprintf(stderr, "the least that does it%s:\n", at < 0 ? " (not this time)" : "");
	for (i = 0; i < nr_ops; i++) {
		const struct op *o = &ops[i];

		fprintf(stderr, "  %s%s 0x%02x", o->shape == STRING ? "string " : o->shape == WORD ? "word " : "", o->write ? "out" : "in", o->port);
		fprintf(stderr, o->write ? ", 0x%02x\n" : " -> 0x%02x\n", o->write ? o->val : o->got[0]);
	}
	TEST_FAIL("%s", why);
}

static void series(unsigned int n, unsigned int seed, const char *how)
{
	unsigned int i;
	int at;

	srandom(seed);
	reads_seen = judged = 0;
	for (i = 0; i < n; i++) {
		generate();
		at = execute(i);
		if (at >= 0)
			fail(i, how, at);
	}
	printf("   %s: %lu bytes judged\n", how, judged);
}

static void programs(void)
{
	unsigned int n = test_count(400, 2000), seed = test_seed();
	unsigned long alone;

	printf("   SEED=%u, %u programs without the filter, and with it\n", seed, n);
	setup_device(&run, 1, true);
	fresh = device;
	series(n, seed, "without the filter");
	alone = reads_seen;
	attach(&run);
	series(n, seed, "with the filter");
	report(&run, "programs");
	TEST_EQ(reads_seen + answered(&run), alone);
	TEST_ASSERT(answered(&run) > alone / 10, "only %lu of %lu were answered", answered(&run), alone);
	TEST_EQ(run.r->changes, 0);
	TEST_EQ(run.r->fuse, IOFILTER_FUSE_OK);
	teardown(&run);
}

static void programs_qemu(void)
{
	unsigned int n = test_count(100, 2000), seed = test_seed();
	const struct iofilter_rtc *r;
	struct iofilter *f;

	printf("   SEED=%u, %u programs on stock QEMU without the filter, and with it\n", seed, n);
	memset(&fresh, 0, sizeof(fresh));
	fresh.clock = wall_clock;
	rtc_power_on(&fresh, 1700000000);
	qemu = qemu_start("q35");
	series(n, seed, "on QEMU without the filter");
	f = qemu_attach(qemu, "rtc");
	r = iofilter_state(f);
	series(n, seed, "on QEMU with the filter");
	printf("   %llu reads answered, %llu changes\n", r->vcpus[0].answered, r->changes);
	TEST_ASSERT(r->vcpus[0].answered > judged / 10, "of %lu", judged);
	TEST_EQ(r->changes, 0);
	TEST_EQ(r->fuse, IOFILTER_FUSE_OK);
	qemu_detach(f);
	qemu_end(qemu);
	qemu = NULL;
}

/* A test that cannot fail shows nothing: a read that is wrong by one bit is found. */
static void mutants(void)
{
	unsigned int found = 0, tried = 0;
	int k;

	setup_device(&run, 1, true);
	fresh = device;
	while (tried < 100) {
		generate();
		TEST_ASSERT(execute(false) < 0, "%s", why);
		for (k = random() % nr_ops; k < nr_ops && (ops[k].write || ops[k].port != RTC_DATA_PORT || ops[k].shape != BYTE); k++)
			;
		if (k == nr_ops)
			continue;
		tried++;
		ops[k].got[0] ^= 1 << random() % 7;
		twin = fresh;
		found += judge() == k;
	}
	printf("   %u of %u found\n", found, tried);
	TEST_ASSERT(found > tried / 4, "of %u", tried);
	teardown(&run);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "mutants", mutants },
		{ "programs", programs },
		{ "qemu", programs_qemu },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
