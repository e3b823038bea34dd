// SPDX-License-Identifier: GPL-2.0
/*
 * The RTC's program on the real module and KVM, against a VMM with QEMU's device (devices/rtc.c) and QEMU's coalesced port: what the
 * guest reads is what this VMM would have answered, whoever answers.
 */
#include "rtc.h"

#define NR_VCPUS 4

static void setup(struct run *r, int nr_vcpus)
{
	setup_device(r, nr_vcpus, true);
	attach(r);
}

/* --- in the guest --- */

static volatile __u8 got[RTC_NR_REGS], want[RTC_NR_REGS];
static volatile unsigned long wrong, wrong_reg, wrong_got, wrong_want, checked;
static volatile int stop;

static inline __u8 cmos_read(__u8 reg)
{
	outb(reg, RTC_INDEX_PORT);
	return inb(RTC_DATA_PORT);
}

static inline void cmos_write(__u8 reg, __u8 val)
{
	outb(reg, RTC_INDEX_PORT);
	outb(val, RTC_DATA_PORT);
}

static inline void check(__u8 reg, __u8 val, __u8 right)
{
	checked++;
	if (val == right)
		return;
	wrong_reg = reg;
	wrong_got = val;
	wrong_want = right;
	wrong++;
}

static void check_passed(void)
{
	TEST_ASSERT(!wrong, "%lu of %lu reads; one of register %#lx gave %#lx, wanted %#lx", wrong, checked, wrong_reg, wrong_got,
		    wrong_want);
}

/* Alarms, register C and the time are left out. */
static bool stable(int reg)
{
	return reg > RTC_REG_D && reg != RTC_CENTURY && reg != RTC_PS2_CENTURY;
}

static void guest_dump(long n)
{
	while (n--)
		for (int i = 0; i < RTC_NR_REGS; i++) {
			__u8 v = cmos_read(i | (i & 1 ? 0x80 : 0));

			got[i] = v;
			if (stable(i))
				check(i, v, content(i));
		}
}

static void loop(struct run *r, void (*guest)(long), long n)
{
	wrong = checked = 0;
	vmm_run(r->vmm, 0, guest, n);
	check_passed();
}

static void dump(void)
{
	long n = 40 * test_scale();
	unsigned long before, seen;
	struct run r;

	setup(&r, 1);
	/* The VM's round trip, and each byte once. */
	loop(&r, guest_dump, 3);
	before = answered(&r);
	seen = reads_seen;
	loop(&r, guest_dump, n);
	report(&r, "all registers in a loop");
	/* 18 of 128 are never answered; and where a pass takes a fifth of the expiry, every fifth read of a byte is an audit. */
	TEST_ASSERT((answered(&r) - before) * 100 > (unsigned long)n * 110 * 50, "%lu of %ld reads answered", answered(&r) - before,
		    n * 110);
	TEST_EQ(answered(&r) - before + reads_seen - seen, (unsigned long)n * RTC_NR_REGS);
	TEST_EQ(got[RTC_REG_B], RTC_B_24H);
	TEST_EQ(got[RTC_REG_D], RTC_D_VRT);
	/* Each index came to the VMM, in the ring or by an exit, but for those that are still in it. */
	TEST_ASSERT(queued + index_exits + 170 > (unsigned long)(n + 3) * RTC_NR_REGS, "%lu + %lu indexes", queued, index_exits);
	TEST_EQ(r.r->changes, 0);
	teardown(&r);
}

static void guest_same(long n)
{
	while (n--)
		check(0x40, cmos_read(0x40), content(0x40));
}

/* The ring fills, and the VMM takes it. */
static void hot(void)
{
	unsigned long n = 20000 * test_scale(), before;
	struct run r;

	setup(&r, 1);
	loop(&r, guest_same, 100);
	before = answered(&r);
	loop(&r, guest_same, n);
	report(&r, "one byte, hot");
	TEST_ASSERT((answered(&r) - before) * 100 > n * 90, "%lu of %lu answered", answered(&r) - before, n);
	TEST_ASSERT(index_exits, "the ring was never full");
	teardown(&r);
}

static __u64 seed = 1;

static inline __u64 guest_rnd(__u64 *s)
{
	__u64 z = *s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Writes and reads by turns, of one guest or several that keep a lock: what is read is what was written last. */
static volatile int lock;

static void guest_mixed(long n)
{
	__u64 s = seed + n, r;

	while (n--) {
		while (__sync_lock_test_and_set(&lock, 1))
			asm volatile("pause");
		r = guest_rnd(&s);
		for (int i = 0; i < 4; i++) {
			__u8 reg = 0x40 + (r >> 8 * i) % 24;

			if ((r >> (32 + 4 * i)) % 16 == 0) {
				want[reg] = r >> (48 + i);
				cmos_write(reg, want[reg]);
			} else if ((r >> (32 + 4 * i)) % 128 == 1) {
				want[reg] = r >> (48 + i);
				outw(reg | want[reg] << 8, RTC_INDEX_PORT);
			} else {
				check(reg, cmos_read(reg), want[reg]);
			}
		}
		__sync_lock_release(&lock);
	}
}

static void mixed(void)
{
	struct run r;

	setup(&r, 1);
	for (int i = 0; i < RTC_NR_REGS; i++)
		want[i] = content(i);
	loop(&r, guest_dump, 2);
	loop(&r, guest_mixed, 3000 * test_scale());
	report(&r, "reads and writes");
	TEST_ASSERT(answered(&r) > checked / 2, "%lu of %lu answered", answered(&r), checked);
	TEST_EQ(r.r->changes, 0);
	teardown(&r);
}

/* Several that keep no lock: any byte may come, but only one that has been there. Their own bytes tell whose it was. */
static void guest_racing(long me)
{
	for (int i = 0; i < 4000 && !stop; i++) {
		__u8 v = cmos_read(0x40 + me * 4 + i % 4), right = 0;

		for (int j = 0; j < 4 * NR_VCPUS; j++)
			right |= v == content(0x40 + j);
		check(0x40 + me, v, right ? v : content(0x40 + me));
	}
}

static void stress(void)
{
	struct run r;
	int i;

	setup(&r, NR_VCPUS);
	for (i = 0; i < RTC_NR_REGS; i++)
		want[i] = content(i);
	wrong = checked = 0;
	loop(&r, guest_dump, 2);
	for (i = 0; i < NR_VCPUS; i++)
		vmm_start(r.vmm, i, guest_racing, i);
	for (i = 0; i < NR_VCPUS; i++)
		vmm_join(r.vmm, i);
	report(&r, "4 vCPUs that race");
	check_passed();
	TEST_EQ(r.r->changes, 0);
	for (i = 0; i < NR_VCPUS; i++)
		vmm_start(r.vmm, i, guest_mixed, 1500 * test_scale() + i);
	for (i = 0; i < NR_VCPUS; i++)
		vmm_join(r.vmm, i);
	report(&r, "4 vCPUs with a lock");
	check_passed();
	TEST_EQ(r.r->changes, 0);
	TEST_ASSERT(answered(&r) > 0, "nothing answered");
	teardown(&r);
}

/* The VM is stopped, and its memory is another when it goes on. */
static volatile int phase;

static void guest_until_changed(long unused)
{
	(void)unused;
	for (int i = 0; i < 2000; i++)
		check(0x40, cmos_read(0x40), content(0x40));
	phase = 1;
	while (phase == 1)
		asm volatile("pause");
	check(0x40, cmos_read(0x40), 0x77);
	for (int i = 0; i < 100; i++)
		check(0x40, cmos_read(0x40), 0x77);
	/* And within a pair: the index has been queued. */
	outb(0x40, RTC_INDEX_PORT);
	phase = 3;
	while (phase == 3)
		asm volatile("pause");
	inb(RTC_DATA_PORT);
	check(0x41, cmos_read(0x41), 0x78);
}

static void wait_phase(int n)
{
	while (phase != n)
		usleep(100);
}

static void stopped(void)
{
	struct run r;

	setup(&r, 1);
	wrong = checked = phase = 0;
	vmm_start(r.vmm, 0, guest_until_changed, 0);
	wait_phase(1);
	TEST_ASSERT(answered(&r), "nothing answered");
	vmm_pause(r.vmm, 0);
	device.cmos[0x40] = 0x77;
	usleep(2000);
	phase = 2;
	vmm_resume(r.vmm, 0);
	wait_phase(3);
	vmm_pause(r.vmm, 0);
	device.cmos[0x41] = 0x78;
	usleep(2000 + RTC_ABSENCE_MAX_NS / 1000);
	phase = 4;
	vmm_resume(r.vmm, 0);
	vmm_join(r.vmm, 0);
	report(&r, "stopped, and another state loaded");
	check_passed();
	TEST_EQ(r.r->changes, 0);
	teardown(&r);
}

/* Nobody sees the monitor write: it shows after the expiry, and the register is not answered any more. */
static volatile unsigned long old_seen, new_seen;

static void guest_watch(long unused)
{
	(void)unused;
	while (!stop) {
		__u8 v = cmos_read(0x40);

		if (v == content(0x40))
			old_seen++;
		else
			new_seen++;
		cmos_read(0x41);
	}
}

static void wait_for(const volatile unsigned long *n, unsigned long more, const char *what)
{
	unsigned long until = *n + more;
	int i;

	for (i = 0; i < 300 && *n < until; i++)
		usleep(100000);
	TEST_ASSERT(*n >= until, "no %s in 30 s", what);
}

static void host_change(void)
{
	unsigned long before;
	struct run r;

	setup(&r, 1);
	stop = old_seen = new_seen = 0;
	vmm_start(r.vmm, 0, guest_watch, 0);
	wait_for(&old_seen, 2000, "2000 reads");
	TEST_ASSERT(answered(&r) > 1000, "%lu answered", answered(&r));
	pthread_mutex_lock(&device_lock);
	device.cmos[0x40] = 0x99;
	pthread_mutex_unlock(&device_lock);
	wait_for(&new_seen, 1, "new value");
	before = old_seen;
	wait_for(&new_seen, 1000, "1000 more");
	stop = 1;
	vmm_join(r.vmm, 0);
	report(&r, "changed from outside");
	TEST_EQ(old_seen, before);
	/* A vCPU that was away at that moment has forgotten the old one; then it is no change by itself. */
	TEST_ASSERT(r.r->changes <= 1, "%llu changes", r.r->changes);
	TEST_EQ(!(r.r->changed[1] & RTC_BIT(0x40)), !r.r->changes);
	stop = 0;
	teardown(&r);
}

/* All registers five times: on a busy host again, for whoever was away for long has forgotten them. */
static void much_is_answered(struct run *r, const char *when)
{
	unsigned long before, n = 0;
	int i;

	for (i = 0; i < 10 && n <= 300; i++) {
		before = answered(r);
		loop(r, guest_dump, 5);
		n = answered(r) - before;
	}
	TEST_ASSERT(n > 300, "%lu answered %s", n, when);
}

/* QEMU takes its zone out and puts it back, behind ours; and before it is there at all. */
static void zones(void)
{
	struct run r;

	setup_device(&r, 1, false);
	attach(&r);
	loop(&r, guest_dump, 3);
	TEST_EQ(queued, 0);
	much_is_answered(&r, "without a zone");
	report(&r, "no coalesced port");
	vmm_coalesce(r.vmm, RTC_INDEX_PORT, 1);
	for (int i = 0; i < 3; i++) {
		queued = 0;
		much_is_answered(&r, "with the zone anew");
		TEST_ASSERT(queued > 300, "%lu queued", queued);
		pthread_mutex_lock(&device_lock);
		vmm_flush(r.vmm, device_write);
		pthread_mutex_unlock(&device_lock);
		vmm_uncoalesce(r.vmm, RTC_INDEX_PORT, 1);
		vmm_coalesce(r.vmm, RTC_INDEX_PORT, 1);
	}
	report(&r, "the port coalesced later, and again");
	teardown(&r);
}

/* The seconds, between two looks at the VMM's own. */
static volatile unsigned long backwards, seconds_seen;

static void guest_time(long n)
{
	__u8 before, sec, after, last = 0xff;

	while (n--) {
		before = inb(MARKER);
		sec = cmos_read(RTC_SECONDS);
		after = inb(MARKER);
		sec = (sec >> 4) * 10 + (sec & 15);
		if ((sec + 60 - before) % 60 > (after + 60 - before) % 60)
			backwards++;
		seconds_seen += sec != last;
		last = sec;
	}
}

static void published(void)
{
	unsigned long before;
	struct run r;

	setup(&r, 1);
	cooperates = r.r;
	publish();
	backwards = seconds_seen = 0;
	before = answered(&r);
	/* On a busy host each read may come after an absence. */
	for (int i = 0; i < 50 && (seconds_seen < 4 || answered(&r) - before <= 1000); i++)
		loop(&r, guest_time, 2000);
	report(&r, "a VMM that publishes its time");
	TEST_EQ(backwards, 0);
	TEST_ASSERT(seconds_seen >= 4, "%lu seconds seen", seconds_seen);
	TEST_ASSERT(answered(&r) - before > 1000, "%lu answered", answered(&r) - before);
	teardown(&r);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "dump", dump },
		{ "hot", hot },
		{ "mixed", mixed },
		{ "stopped", stopped },
		{ "host_change", host_change },
		{ "zones", zones },
		{ "published", published },
		{ "stress", stress },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
