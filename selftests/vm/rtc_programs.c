// SPDX-License-Identifier: GPL-2.0
/*
 * Random guest programs on the RTC, in a VM without the filter, and the same with it. The judge is a device of its own (a twin) that gets
 * every access of the guest: what it says of memory, alarms, registers A (less UIP), B and D is what the guest must have read. The
 * time and register C, which moves with it, are not judged here: rtc.c does.
 */
#include "rtc.h"

#define MAX_OPS 120

enum shape { BYTE, WORD, STRING };

static struct op {
	__u8 write, port, shape, n; /* n: elements of a string */
	__u16 val;
	__u8 got[4];
} ops[MAX_OPS];
static int nr_ops;

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
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .shape = WORD, .val = index | random() % 256 << 8 });
			break;
		case 1: case 2:
			emit((struct op){ .write = 1, .port = RTC_INDEX_PORT, .val = index });
			emit((struct op){ .write = 1, .port = RTC_DATA_PORT, .val = random() & 0xff });
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

static unsigned long judged;

static void judge(struct rtc *twin, unsigned int program, const char *how)
{
	const struct op *o;
	int i, n;

	for (o = ops; o < ops + nr_ops; o++) {
		n = o->shape == WORD ? 2 : o->shape == STRING ? o->n : 1;
		for (i = 0; i < n; i++) {
			__u16 port = o->port + (o->shape == STRING ? 0 : i);
			__u8 bits = port == RTC_DATA_PORT ? judged_bits(twin->index) : 0xff, right;

			if (o->write) {
				rtc_port_write(twin, port, o->val >> 8 * i);
				continue;
			}
			right = rtc_port_read(twin, port);
			TEST_ASSERT(!((right ^ o->got[i]) & bits), "program %u, access %td, %s: port %#x, register %#x: got %#x, wanted %#x", program,
				    o - ops, how, port, twin->index, o->got[i], right);
			judged += !!bits;
		}
	}
}

static void programs(void)
{
	unsigned int i, n = 2000 * test_scale(), seed = test_seed();
	unsigned long reads[2];
	struct rtc fresh, twin;
	struct run r;
	int with;

	printf("   SEED=%u, %u programs without the filter, and with it\n", seed, n);
	setup_device(&r, 1, true);
	fresh = device;
	for (with = 0; with < 2; with++) {
		if (with)
			attach(&r);
		srandom(seed);
		reads_seen = judged = 0;
		for (i = 0; i < n; i++) {
			/* The VM is reset. No one that runs is in less than the longest absence that is none. */
			usleep(6000);
			device = twin = fresh;
			generate();
			vmm_run(r.vmm, 0, guest_program, 0);
			pthread_mutex_lock(&device_lock);
			queued += vmm_flush(r.vmm, device_write);
			pthread_mutex_unlock(&device_lock);
			judge(&twin, i, with ? "with the filter" : "without");
		}
		reads[with] = reads_seen;
		printf("   %s the filter: %lu reads at the VMM, %lu bytes judged\n", with ? "with" : "without", reads[with], judged);
	}
	report(&r, "programs");
	TEST_EQ(reads[1] + answered(&r), reads[0]);
	TEST_ASSERT(answered(&r) > reads[0] / 10, "only %lu of %lu were answered", answered(&r), reads[0]);
	TEST_EQ(r.r->changes, 0);
	TEST_EQ(r.r->fuse, IOFILTER_FUSE_OK);
	teardown(&r);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "programs", programs },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
