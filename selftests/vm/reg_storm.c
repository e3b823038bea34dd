// SPDX-License-Identifier: GPL-2.0
/*
 * Registers got and set in one step each, while guests change several of them with each access: no set that is got is torn, and no set that is
 * set is seen half. The same one register at a time is, or the test could not fail. And what it costs the guests: how often what the filter
 * knew was lost for it.
 */
#include "reg_machine.h"

#define PORT	   0x300
#define BUFFER_LEN 4096

static volatile int stop;
static volatile unsigned long accesses[2];

static unsigned long sets(void)
{
	return test_count(30000, 1000000);
}

/* How many different sets there were: a hash table without removal. */
#define NR_SEEN (1 << 20)

static __u64 *seen;
static unsigned long distinct;

static void see(const __u64 *vals, unsigned int n)
{
	__u64 h = 0x9e3779b97f4a7c15ULL;
	unsigned int i;

	for (i = 0; i < n; i++)
		h = (h ^ vals[i]) * 0xff51afd7ed558ccdULL, h ^= h >> 29;
	h |= !h;
	for (i = h % NR_SEEN; seen[i] && seen[i] != h; i = (i + 1) % NR_SEEN)
		;
	if (!seen[i] && distinct < NR_SEEN / 2) {
		seen[i] = h;
		distinct++;
	}
}

static void see_none(void)
{
	free(seen);
	seen = calloc(NR_SEEN, sizeof(*seen));
	TEST_ASSERT(seen, "out of memory");
	distinct = 0;
}

/* --- a table: each write changes a slot and two bits, each read a buffer's position and two bits --- */

enum { HIGH, LOW, BEGUN, REWOUND };

static const char storm_rules[] = "absence 1000000\n"
				  "ports p 0x300-0x303\n"
				  "bit high\nbit low\nbit begun\nbit rewound\n"
				  "slot a\n"
				  "buffer buf = 00*4096\n"
				  "write p+0 b take a.b set high clear low\n"
				  "write p+1 b take a.b set low clear high\n"
				  "read  p+2 b repeat buf set begun clear rewound\n"
				  "write p+3 b take set rewound clear begun rewind buf\n";

static void guest_storm(long me)
{
	__u32 x = 12345 + me * 77777, r;

	while (!stop) {
		r = guest_random(&x);
		switch (r & 7) {
		case 0: case 1:
			outb(0x80 | r >> 8, PORT);
			break;
		case 2: case 3:
			outb(r >> 8 & 0x7f, PORT + 1);
			break;
		case 4: case 5: case 6:
			inb(PORT + 2);
			break;
		default:
			outb(0, PORT + 3);
		}
		accesses[me]++;
	}
}

enum { BITS, KNOWN, VALUE, HAS_VALUE, DIRTY, POS, IN_FLIGHT, NR_STORM };

static const char *const storm_names[NR_STORM] = {
	"bits", "bits_known", "slot[0].value", "slot[0].known", "slot[0].dirty", "buffer[0].pos", "in_flight",
};

/* Return: 1: it cannot be; 0, and *@whole is set if everything in it was known. */
static int storm_torn(const __u64 *v, bool *whole)
{
	bool high = v[BITS] >> HIGH & 1, low = v[BITS] >> LOW & 1, begun = v[BITS] >> BEGUN & 1, rewound = v[BITS] >> REWOUND & 1;
	bool some = v[POS] && v[POS] < BUFFER_LEN;
	bool has_slot = (v[KNOWN] & 3) == 3 && v[HAS_VALUE] & 1, has_buffer = (v[KNOWN] & 12) == 12;

	*whole = has_slot && has_buffer;
	return (has_slot && (high == low || high != (v[VALUE] >> 7 & 1))) || (has_buffer && (begun == rewound || begun != some)) ||
	       v[IN_FLIGHT] != (__u64)!!v[DIRTY] + some;
}

struct storm {
	struct vmm *vmm;
	struct iofilter *f;
	__u64 ids[REGS_MAX], forgotten, busy;
	unsigned long guest;
};

static void storm_begin(struct storm *s, const char *device, void (*guest)(long), const char *rules, int nr_vcpus)
{
	int i;

	memset(s, 0, sizeof(*s));
	s->vmm = machine_new(nr_vcpus, 0);
	s->f = reg_attach(s->vmm, device, rules);
	stop = 0;
	accesses[0] = accesses[1] = 0;
	for (i = 0; i < nr_vcpus; i++)
		vmm_start(s->vmm, i, guest, i);
	for (i = 0; i < nr_vcpus; i++)
		while (accesses[i] < 100)
			usleep(1000);
}

static void storm_end(struct storm *s)
{
	int i;

	stop = 1;
	for (i = 0; i < s->vmm->nr_vcpus; i++)
		vmm_join(s->vmm, i);
	iofilter_close(s->f);
	vmm_free(s->vmm);
}

static void costs_from(struct storm *s)
{
	s->forgotten = reg_get(s->f, "forgotten");
	s->busy = reg_verdict(s->f, IOFILTER_PUNT_BUSY);
	s->guest = accesses[0] + accesses[1];
}

/* Return: of a million accesses, how often what was known was lost. */
static unsigned long costs(struct storm *s, const char *what)
{
	unsigned long n = accesses[0] + accesses[1] - s->guest;
	__u64 forgotten = reg_get(s->f, "forgotten") - s->forgotten, busy = reg_verdict(s->f, IOFILTER_PUNT_BUSY) - s->busy;

	printf("   %s: %lu accesses of the guests, %llu to the VMM for the lock; forgotten %llu times (%llu of a million)\n", what, n, busy,
	       forgotten, n ? forgotten * 1000000 / n : 0);
	return n ? forgotten * 1000000 / n : 0;
}

/* Get @nr registers again and again, which @is_torn judges; then one by one. */
static void get_them(struct storm *s, const char *const *names, unsigned int nr, int (*is_torn)(const __u64 *v, bool *whole))
{
	unsigned long i, n = sets(), torn = 0, whole = 0, alone, with;
	__u64 v[REGS_MAX];
	unsigned int k;
	bool all;

	see_none();
	for (k = 0; k < nr; k++)
		s->ids[k] = reg_id_of(iofilter_device(s->f), names[k]);
	costs_from(s);
	sleep(5);
	alone = costs(s, "nobody looks");
	costs_from(s);
	for (i = 0; i < n; i++) {
		regs_get(s->f, s->ids, nr, v);
		if (is_torn(v, &all) && torn++ < 3) {
			printf("   torn:");
			for (k = 0; k < nr; k++)
				printf(" %s %#llx", names[k], v[k]);
			printf("\n");
		}
		whole += all;
		see(v, nr);
	}
	with = costs(s, "all at once");
	printf("   %lu sets of %u registers, %lu different ones, %lu with everything known, %lu torn\n", n, nr, distinct, whole, torn);
	TEST_EQ(torn, 0);
	TEST_ASSERT(whole > n / 5 && distinct > n / 1000, "%lu whole and %lu different sets of %lu", whole, distinct, n);
	/* Without us it is lost, too, where the host preempts one vCPU with the lock and another comes. */
	TEST_ASSERT(with < 2 * alone + 10000, "of a million accesses %lu forget everything, without us %lu", with, alone);

	for (i = torn = 0; i < n / 10; i++) {
		for (k = 0; k < nr; k++)
			regs_get(s->f, &s->ids[k], 1, &v[k]);
		torn += is_torn(v, &all);
	}
	printf("   one by one: %lu of %lu are torn\n", torn, n / 10);
	TEST_ASSERT(torn, "they should be");
}

static void get_table(void)
{
	struct storm s;

	storm_begin(&s, "table", guest_storm, storm_rules, 2);
	get_them(&s, storm_names, NR_STORM, storm_torn);
	storm_end(&s);
}

/* --- the PIT: what is in flight, by its channels and by their sum --- */

/* As Linux's i8253_lock: two vCPUs that read at once get each other's bytes, of a PIT as of the filter. */
static int pit_in_use;

static void guest_latches(long me)
{
	__u32 x = 4711 + me * 77777, r, n = 0, ch;

	while (!stop) {
		while (__sync_lock_test_and_set(&pit_in_use, 1))
			__builtin_ia32_pause();
		/* What is forgotten comes back with the next count. */
		for (ch = 0; n % 64 == 0 && ch < PIT_CHANNELS; ch++) {
			outb(ch << 6 | PIT_RW_WORD << 4 | 2 << 1, PIT_CONTROL);
			outb(0, PIT_PORT + ch);
			outb(0, PIT_PORT + ch);
		}
		n++;
		r = guest_random(&x);
		ch = r % PIT_CHANNELS;
		if (r >> 8 & 7) {
			outb(ch << 6, PIT_CONTROL);
			inb(PIT_PORT + ch);
			inb(PIT_PORT + ch);
		} else {
			/* Counts and statuses of several. */
			outb(0xc0 | (r >> 12 & 0x3e), PIT_CONTROL);
			for (r = 0; r < 9; r++)
				inb(PIT_PORT + r % PIT_CHANNELS);
		}
		__sync_lock_release(&pit_in_use);
		accesses[me] += 3;
	}
}

#define OVERLAY(ch) "channel[" #ch "].latched", "channel[" #ch "].status_latched", "channel[" #ch "].pair", "channel[" #ch "].programmed", \
	"channel[" #ch "].latch"

static const char *const pit_names[] = { "in_flight", "port61.odd", OVERLAY(0), OVERLAY(1), OVERLAY(2) };

static int pit_torn(const __u64 *v, bool *whole)
{
	__u64 sum = v[1];
	int ch;

	*whole = true;
	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		const __u64 *o = v + 2 + 5 * ch;

		sum += !!o[0] + o[1] + o[2];
		*whole = *whole && o[3];
	}
	return sum != v[0];
}

static void get_pit(void)
{
	__u64 commands;
	struct storm s;

	pit_in_use = 0;
	storm_begin(&s, "pit", guest_latches, NULL, 2);
	get_them(&s, pit_names, ARRAY_SIZE(pit_names), pit_torn);
	commands = reg_get(s.f, "commands");
	printf("   %llu latch commands and %llu reads were answered, of %lu accesses\n", commands, reg_get(s.f, "answered"),
	       accesses[0] + accesses[1]);
	TEST_ASSERT(commands, "no latch command was carried out");
	storm_end(&s);
}

/* --- set: a read shows a slot's bit 0 and, in the rule that is chosen, a state bit that is always its opposite --- */

static const char set_rules[] = "absence 1000000\n"
				"ports p 0x300-0x303\n"
				"bit even\nslot a\n"
				"write p+0 l trap 0x12345678 take a set even\n"
				"read p+0 l if even answer a or 0x80000000\n"
				"read p+0 l if !even answer a\n";

static volatile unsigned long half, answered, punted, changes;

static void guest_looks(long me)
{
	__u32 v, before = 0;

	while (!stop) {
		v = inl(PORT);
		accesses[me]++;
		if (v == BUS_EMPTY) {
			__atomic_add_fetch(&punted, 1, __ATOMIC_RELAXED);
			continue;
		}
		__atomic_add_fetch(&answered, 1, __ATOMIC_RELAXED);
		if ((v >> 31) == (v & 1) || (v >> 1 & 0x7fff) != (v >> 16 & 0x7fff))
			__atomic_add_fetch(&half, 1, __ATOMIC_RELAXED);
		if (v != before)
			__atomic_add_fetch(&changes, 1, __ATOMIC_RELAXED);
		before = v;
	}
}

static void set_table(void)
{
	static const char *const names[] = { "bits", "bits_known", "slot[0].value", "slot[0].known" };
	unsigned long i, n = sets();
	__u64 ids[4], v[4];
	struct storm s;
	int k;

	half = answered = punted = changes = 0;
	storm_begin(&s, "table", guest_looks, set_rules, 2);
	for (k = 0; k < 4; k++)
		ids[k] = reg_id_of("table", names[k]);
	costs_from(&s);
	for (i = 1; i <= n; i++) {
		/* The number twice, bit 0 free; never 0. */
		__u64 x = (i & 0x3fff) | 0x4000, a = x << 1 | x << 16 | (i & 1);

		v[0] = !(i & 1);
		v[1] = 1;
		v[2] = a;
		v[3] = 0x0f;
		regs_set(s.f, ids, 4, v);
	}
	costs(&s, "all at once");
	printf("   %lu sets of 4 registers: %lu reads answered, %lu by the VMM; %lu showed another value than the one before, %lu half of one\n", n,
	       answered, punted, changes, half);
	TEST_EQ(half, 0);
	TEST_ASSERT(changes > 100 && answered > 10 * punted, "%lu changes seen, %lu of %lu answered", changes, answered,
		    answered + punted);
	for (i = 1; i <= n / 10; i++) {
		__u64 x = (i & 0x3fff) | 0x4000, a = x << 1 | x << 16 | (i & 1);

		v[0] = !(i & 1);
		v[2] = a;
		regs_set(s.f, ids, 1, v);
		regs_set(s.f, ids + 2, 1, v + 2);
	}
	printf("   one by one: %lu reads showed half of one\n", half);
	TEST_ASSERT(half, "some should");
	storm_end(&s);
}

/* --- set, of the RTC: a number in two bytes, and both of them in a third --- */

enum { LOW_PART = 0x40, HIGH_PART = 0x52, BOTH = 0x47, NUMBERS = 127 * 127 };

static __u8 guest_cmos(__u8 reg)
{
	outb(reg, RTC_INDEX_PORT);
	return inb(RTC_DATA_PORT);
}

static void guest_looks_at_cmos(long me)
{
	__u8 lo, hi, both;
	int before = 0;

	while (!stop) {
		lo = guest_cmos(LOW_PART);
		hi = guest_cmos(HIGH_PART);
		both = guest_cmos(BOTH);
		accesses[me] += 5;
		/* The VMM's own bytes have bit 7. Without another number before and after nothing was set in between. */
		if ((lo | hi | both) & 0x80 || guest_cmos(LOW_PART) != lo || guest_cmos(HIGH_PART) != hi) {
			__atomic_add_fetch(&punted, 1, __ATOMIC_RELAXED);
			continue;
		}
		__atomic_add_fetch(&answered, 1, __ATOMIC_RELAXED);
		if (both != (lo ^ hi))
			__atomic_add_fetch(&half, 1, __ATOMIC_RELAXED);
		if ((hi << 8 | lo) != before)
			__atomic_add_fetch(&changes, 1, __ATOMIC_RELAXED);
		before = (hi << 8 | lo);
	}
}

/* @at_once: else the third byte is set a step too late. */
static void set_cmos(unsigned long n, bool at_once)
{
	struct storm s;
	unsigned long i;
	__u64 ids[RTC_NR_REGS];
	__u16 v[RTC_NR_REGS];
	int k, nr = 2;

	half = answered = punted = changes = 0;
	storm_begin(&s, "rtc", guest_looks_at_cmos, NULL, 1);
	machine.rtc.cmos[LOW_PART] = machine.rtc.cmos[HIGH_PART] = machine.rtc.cmos[BOTH] = 0x80;
	/* As many as there are in between, so that it takes long. */
	for (k = 0; k < RTC_NR_REGS; k++)
		if (k != LOW_PART && k != HIGH_PART && k != BOTH)
			ids[nr++] = reg_id_at("rtc", "cmos[]", k);
	ids[0] = reg_id_at("rtc", "cmos[]", LOW_PART);
	ids[1] = reg_id_at("rtc", "cmos[]", HIGH_PART);
	ids[nr++] = reg_id_at("rtc", "cmos[]", BOTH);
	/* The VMM would show other bytes, and the filter not believe in these any more: it is not to ask it while this host is busy. */
	reg_set(s.f, "expiry", 1000000000);
	memset(v, 0, sizeof(v));
	for (i = 0; i < n; i++) {
		v[0] = i % 127;
		v[1] = i % NUMBERS / 127;
		v[nr - 1] = v[0] ^ v[1];
		if (!at_once) {
			v[nr - 1] ^= 1;
			TEST_LIB(iofilter_reg_set(s.f, ids, nr, v, sizeof(v)));
			usleep(100);
			v[nr - 1] ^= 1;
		}
		TEST_LIB(iofilter_reg_set(s.f, ids, nr, v, sizeof(v)));
		/* The guest wants time for five. */
		usleep(i % 4 * 100);
	}
	printf("   %lu sets of %d bytes: %lu times all three were the filter's, with %lu different numbers, %lu times not; %lu times half of one\n",
	       n, nr, answered, changes, punted, half);
	storm_end(&s);
}

static void set_rtc(void)
{
	unsigned long n = sets() / 10;

	set_cmos(n, true);
	TEST_EQ(half, 0);
	TEST_ASSERT(changes > n / 500, "too little to say anything");
	printf("   in two steps:\n");
	set_cmos(n / 10, false);
	TEST_ASSERT(half, "some should");
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "get_table", get_table },
		{ "get_pit", get_pit },
		{ "set_table", set_table },
		{ "set_rtc", set_rtc },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
