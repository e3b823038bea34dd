// SPDX-License-Identifier: GPL-2.0
/*
 * A clock as the library changes it, through the mapping of its state: after a writer that was killed at any of its steps, by registers, and
 * by a restore. Times are those of the host, for the library asks for none.
 */
#include <errno.h>
#include <iofilter/clockctl.h>
#include <iofilter/clock_sample.h>
#include <iofilter/pmtimer.h>
#include "reg_named.h"

/* What the library waits for here never comes. */
int nanosleep(const struct timespec *want, struct timespec *left)
{
	(void)want;
	(void)left;
	return 0;
}

static struct iofilter_counter pm;
static struct iofilter_clock *const clk = &pm.clock;

/* As the program begins with it (bpf/pmtimer.bpf.c). */
static void fresh(void)
{
	pm = (struct iofilter_counter){
		.addr = 0x608,
		.len = 4,
		.bus = 1,
		.clock = {
			.freq = PMTIMER_HZ,
			.width = PMTIMER_WIDTH,
			.bracket = IOFILTER_BRACKET_NS,
			.absence = IOFILTER_ABSENCE_NS,
			.expiry = IOFILTER_EXPIRY_NS,
			.calibrating = IOFILTER_CALIBRATION,
		},
	};
	pm.head.magic = IOFILTER_STATE_MAGIC;
}

/* @n answers of a VMM whose clock is CLOCK_MONOTONIC, each with a round trip of @ns; the last of them at *@now, to come. */
static void samples(int n, __u64 ns, __u64 *now)
{
	__u64 t = lib_now() + 1000;

	iofilter_clock_enter(clk, 0);
	while (n--) {
		t += ns + 1000;
		if (__sync_val_compare_and_swap(&clk->writer, 0, 1))
			fail_msg("the writer's lock is held");
		iofilter_clock_sample(clk, pm.vcpus, t - ns, t, iofilter_ns_to_ticks(t - ns / 2, PMTIMER_HZ) & 0xffffff, 0);
		__sync_lock_test_and_set(&clk->writer, 0);
	}
	if (now)
		*now = t;
}

static enum iofilter_verdict read_at(__u64 now)
{
	__u64 delay = 0, virt = 0;

	return iofilter_clock_read(clk, pm.vcpus, &pm.vcpus[0], now, 0, &delay, &virt);
}

static void proven(void)
{
	__u64 now;

	samples(IOFILTER_CALIBRATION + 4, 4000, &now);
	assert_int_equal(clk->proof, IOFILTER_PROVEN);
	assert_int_equal(read_at(now), IOFILTER_ANSWERED);
}

static __u64 get(const char *name)
{
	return get_named(device_find("pmtimer"), &pm, name);
}

static int set(const struct setting *s, unsigned int n)
{
	return set_named(device_find("pmtimer"), &pm, s, n);
}

#define SET(...) set((const struct setting[]){ __VA_ARGS__ }, ARRAY_SIZE(((const struct setting[]){ __VA_ARGS__ })))

/* --- a look --- */

/* A sample that comes amid it is dropped, and no reader may be answered below that: none is, until a newer one came. */
static void look(void **state)
{
	__u64 virt, now;

	(void)state;
	fresh();
	proven();
	now = lib_now();
	assert_int_equal(iofilter_clock_quick(clk, &pm.vcpus[0], now, &virt), 0);
	assert_int_equal(iofilter_clockctl_look(clk), 0);
	assert_int_equal(iofilter_clock_quick(clk, &pm.vcpus[0], now, &virt), -1);
	assert_int_equal(read_at(now), IOFILTER_PUNT_BUSY);
	iofilter_clockctl_looked(clk, now);
	assert_int_equal(read_at(now), IOFILTER_PUNT_BUSY);
	samples(1, 4000, &now);
	assert_int_equal(read_at(now), IOFILTER_ANSWERED);

	/* It shows the clock as it was before it. */
	assert_int_equal(get("clock.ready"), 1);
	assert_int_equal(clk->proof, IOFILTER_PROVEN);
	assert_int_equal(clk->epoch & 1, 0);
	assert_int_equal(read_at(now), IOFILTER_PUNT_BUSY);
	samples(1, 4000, &now);
	assert_int_equal(read_at(now), IOFILTER_ANSWERED);

	/* What the VMM owns needs no answer of it. */
	assert_int_equal(clock_change(device_find("pmtimer"), &pm, IOFILTER_CLOCK_OWN, 0), 0);
	assert_int_equal(get("clock.mode"), IOFILTER_CLOCK_OWNED);
	assert_int_equal(read_at(lib_now()), IOFILTER_ANSWERED);
}

/* --- a writer that was killed --- */

static int change(enum iofilter_clock_op op, __s64 value)
{
	return clock_change(device_find("pmtimer"), &pm, op, value);
}

/* Up to the step @at, of iofilter_clock_own() or, if @back, of iofilter_clock_prove(). Return: are there more? */
static bool killed(int at, bool back)
{
	__u64 now = lib_now();

	if (!at)
		clk->writer = IOFILTER_CLOCK_CHANGING;
	else
		assert_int_equal(iofilter_clockctl_begin(clk), 0);
	if (at > 1)
		iofilter_clockctl_forget(clk, pm.vcpus);
	if (at > 2 && back)
		iofilter_clockctl_unproven(clk, now);
	if (at > 3 && back)
		clk->mode = IOFILTER_CLOCK_PROVE;
	if (at > 2 && !back)
		iofilter_clockctl_owned(clk, now, 12345);
	if (at == 3 && !back)
		clk->mode = IOFILTER_CLOCK_PROVE; /* its last store */
	if (at > 4)
		__sync_fetch_and_add(&clk->epoch, 2 - (clk->epoch & 1));
	return at < 5;
}

static void changes_again(int how)
{
	bool half = clk->epoch & 1;
	__u64 epoch, now;

	switch (how) {
	case 0:
		assert_int_equal(change(IOFILTER_CLOCK_PROVE_ANEW, 0), 0);
		break;
	case 1:
		/* One that is nobody's is only looked at; then the VMM's answers prove it. */
		get("clock.mode");
		if (clk->mode == IOFILTER_CLOCK_PROVE)
			break;
		assert_int_equal(change(IOFILTER_CLOCK_PROVE_ANEW, 0), 0);
		break;
	case 2:
		assert_int_equal(SET({ "clock.mode", IOFILTER_CLOCK_PROVE }), 0);
		break;
	default:
		assert_int_equal(change(IOFILTER_CLOCK_OWN, 777), 0);
		assert_int_equal(read_at(lib_now()), IOFILTER_ANSWERED);
		assert_true(clk->lo == 777);
		return;
	}
	assert_int_equal(clk->epoch & 1, 0);
	/* What the dead one has left of bounds is no proof. */
	epoch = clk->epoch;
	assert_true(!half || read_at(lib_now()) != IOFILTER_ANSWERED);
	samples(IOFILTER_CALIBRATION + 4, 4000, &now);
	assert_int_equal(clk->proof, IOFILTER_PROVEN);
	assert_true(clk->epoch >= epoch && !(clk->epoch & 1));
	assert_int_equal(read_at(now), IOFILTER_ANSWERED);
	/* Not for ever: it was not left owned by half. */
	assert_int_equal(read_at(now + 3 * clk->expiry), IOFILTER_PUNT_AUDIT);
}

static void killed_writer(void **state)
{
	int at, how, back, n = 0;
	bool more;

	(void)state;
	for (back = 0; back < 2; back++)
		for (how = 0; how < 4; how++)
			for (at = 0, more = true; more; at++, n++) {
				fresh();
				proven();
				if (back)
					assert_int_equal(change(IOFILTER_CLOCK_OWN, 4711), 0);
				more = killed(at, back);
				changes_again(how);
				assert_int_equal(clk->writer, 0);
			}
	printf("# %d writers killed\n", n);
}

/* Who only looks changes nothing: an owner's clock goes on. */
static void killed_reader(void **state)
{
	__u64 now;

	(void)state;
	fresh();
	assert_int_equal(change(IOFILTER_CLOCK_OWN, 4711), 0);
	assert_int_equal(reg_clock_enter(clk, false), 0);
	assert_int_equal(get("clock.mode"), IOFILTER_CLOCK_OWNED);
	assert_int_equal(read_at(lib_now()), IOFILTER_ANSWERED);

	fresh();
	proven();
	assert_int_equal(reg_clock_enter(clk, false), 0);
	assert_int_equal(get("clock.proof"), IOFILTER_PROVEN);
	samples(1, 4000, &now);
	assert_int_equal(read_at(now), IOFILTER_ANSWERED);
}

/* Taken for dead, it was only held up. Whenever it goes on, the epoch is even in the end, and the lock free or another's. */
static void late_writer(void **state)
{
	__u64 now;

	(void)state;
	for (int when = 0; when < 3; when++) {
		fresh();
		proven();
		assert_int_equal(iofilter_clockctl_begin(clk), 0);
		iofilter_clockctl_break(clk, lib_now());
		if (when == 1)
			assert_int_equal(__sync_val_compare_and_swap(&clk->writer, 0, 1), 0); /* a sample */
		else if (when == 2)
			assert_int_equal(iofilter_clockctl_begin(clk), 0);
		iofilter_clockctl_end(clk);
		if (when == 1) {
			assert_int_equal(clk->writer, 1);
			clk->writer = 0;
		} else if (when == 2) {
			iofilter_clockctl_end(clk);
		}
		assert_int_equal(clk->writer, 0);
		assert_int_equal(clk->epoch & 1, 0);
		samples(IOFILTER_CALIBRATION + 4, 4000, &now);
		assert_int_equal(read_at(now), IOFILTER_ANSWERED);
	}
}

/* --- times --- */

#define SHORT "the expiry may not be shorter than the bracket"

static void refused(int err, int want, const char *text)
{
	if (err != want || strcmp(iofilter_error(), text))
		fail_msg("%d instead of %d, %s", err, want, iofilter_error());
}

/* What was set stays: during the calibration, after it, and when shorter round trips come. */
static void times_stay(void **state)
{
	static const struct setting times[] = {
		{ "clock.expiry", 5000000 }, { "clock.absence", 123456 }, { "clock.bracket", 77777 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		for (int before = 0; before < 2 * IOFILTER_CALIBRATION; before += 5) {
			fresh();
			samples(before, 50000, NULL);
			assert_int_equal(clk->scaled, before >= IOFILTER_CALIBRATION);
			assert_int_equal(SET(times[i]), 0);
			samples(2 * IOFILTER_CALIBRATION, 50000, NULL);
			samples(4, 1000, NULL);
			assert_true(get(times[i].name) == times[i].val);
		}
	/* And what was not is measured. */
	fresh();
	assert_int_equal(SET({ "clock.fuse", 0 }), 0);
	samples(IOFILTER_CALIBRATION, 50000, NULL);
	assert_true(get("clock.expiry") == 10000000 && get("clock.bracket") == 200000 && get("clock.absence") == 500000);
}

static void times_refused(void **state)
{
	(void)state;
	fresh();
	refused(SET({ "clock.expiry", IOFILTER_BRACKET_NS - 1 }), -ERANGE, SHORT);
	refused(SET({ "clock.bracket", IOFILTER_EXPIRY_NS + 1 }), -ERANGE, SHORT);
	refused(SET({ "clock.bracket", 8 }, { "clock.expiry", 7 }), -ERANGE, SHORT);
	refused(SET({ "clock.expiry", 7 }, { "clock.bracket", 8 }), -ERANGE, SHORT);
	refused(SET({ "clock.expiry", 0 }), -ERANGE, "clock.expiry of pmtimer is 1 to 1000000000");
	refused(SET({ "clock.absence", 0 }), -ERANGE, "clock.absence of pmtimer is 1 to 1000000000");
	refused(SET({ "clock.bracket", 1000000001 }), -ERANGE, "clock.bracket of pmtimer is 1 to 1000000000");
	assert_int_equal(clk->calibrating, IOFILTER_CALIBRATION);
	assert_true(clk->bracket == IOFILTER_BRACKET_NS && clk->expiry == IOFILTER_EXPIRY_NS && clk->absence == IOFILTER_ABSENCE_NS);
	assert_int_equal(SET({ "clock.expiry", IOFILTER_BRACKET_NS }), 0);
	assert_int_equal(SET({ "clock.bracket", 8 }, { "clock.expiry", 8 }, { "clock.absence", 1 }), 0);
	assert_true(clk->bracket == 8 && clk->expiry == 8 && clk->absence == 1);
	/* One that an older version has let through is no reason against anything else. */
	clk->expiry = 7;
	assert_int_equal(SET({ "clock.absence", 2 }), 0);
}

/* --- times that are restored --- */

/* Save, and put back into one that has had @n answers of another host, with a round trip of @ns; @here: .. and a time that was set. */
static void move_to(int n, __u64 ns, const struct setting *here)
{
	const struct device *d = device_find("pmtimer");
	size_t size;
	void *data;

	assert_int_equal(saved_make(d, &pm, &data, &size), 0);
	fresh();
	samples(n, ns, NULL);
	if (here)
		assert_int_equal(set(here, 1), 0);
	assert_int_equal(saved_apply(d, &pm, data, size, 0), 0);
	free(data);
}

/* From a fast host to a slow one, whether or not the one or the other has been measured by then. */
static void measured_elsewhere(void **state)
{
	__u64 now;

	(void)state;
	for (int there = 0; there <= 2 * IOFILTER_CALIBRATION; there += IOFILTER_CALIBRATION / 2)
		for (int here = 0; here <= 2 * IOFILTER_CALIBRATION; here += IOFILTER_CALIBRATION / 2) {
			fresh();
			samples(there, 4000, NULL);
			move_to(here, 300000, NULL);
			samples(2 * IOFILTER_CALIBRATION, 300000, &now);
			assert_true(clk->bracket == 1200000 && clk->best_bracket == 300000 && clk->scaled && !clk->calibrating);
			assert_int_equal(read_at(now), IOFILTER_ANSWERED);
		}
}

static void given_elsewhere(void **state)
{
	static const struct setting here = { "clock.expiry", 5000000 };
	static const __u64 times[] = { 44444, 55555, 6666666 };

	(void)state;
	for (int old = 0; old < 2; old++) {
		fresh();
		if (old) {
			/* As versions before did: the calibration goes on. */
			clk->bracket = times[0];
			clk->absence = times[1];
			clk->expiry = times[2];
		} else {
			samples(2 * IOFILTER_CALIBRATION, 4000, NULL);
			assert_int_equal(SET({ "clock.bracket", times[0] }, { "clock.absence", times[1] }, { "clock.expiry", times[2] }), 0);
		}
		move_to(IOFILTER_CALIBRATION, 300000, NULL);
		samples(2 * IOFILTER_CALIBRATION, 300000, NULL);
		assert_true(clk->bracket == times[0] && clk->absence == times[1] && clk->expiry == times[2]);
	}
	/* What was given here stays, too, if there nothing was. */
	fresh();
	samples(2 * IOFILTER_CALIBRATION, 50000, NULL);
	move_to(0, 0, &here);
	samples(2 * IOFILTER_CALIBRATION, 50000, NULL);
	assert_true(clk->expiry == 5000000 && clk->bracket == IOFILTER_BRACKET_NS);
}

/* --- who owns it --- */

#define UNKNOWN "clock.mode is 2 or 3 only together with clock.time, for what the clock shows is not known now"

/* Nobody is shown 0 because nothing is known. */
static void mode_refused(void **state)
{
	(void)state;
	for (__u64 mode = IOFILTER_CLOCK_OWNED; mode <= IOFILTER_CLOCK_STOPPED; mode++) {
		fresh();
		refused(SET({ "clock.mode", mode }), -ERANGE, UNKNOWN);
		refused(SET({ "clock.absence", 7 }, { "clock.mode", mode }), -ERANGE, UNKNOWN);
		assert_true(clk->absence == IOFILTER_ABSENCE_NS && clk->mode == IOFILTER_CLOCK_PROVE);
		assert_int_equal(SET({ "clock.mode", IOFILTER_CLOCK_HELD }), 0);
		refused(SET({ "clock.mode", mode }), -ERANGE, UNKNOWN);
		assert_int_equal(SET({ "clock.mode", mode }, { "clock.time", 1ULL << 40 }), 0);
		assert_true(get("clock.time") >= 1ULL << 40 && get("clock.time") < (1ULL << 40) + 60 * IOFILTER_NSEC_PER_SEC);
		/* From the one to the other its time goes with it. */
		assert_int_equal(SET({ "clock.mode", IOFILTER_CLOCK_OWNED }), 0);
		assert_int_equal(SET({ "clock.mode", IOFILTER_CLOCK_STOPPED }), 0);
		assert_true(get("clock.time") >= 1ULL << 40);
		/* Who gives it up knows no more. */
		assert_int_equal(SET({ "clock.mode", IOFILTER_CLOCK_PROVE }), 0);
		refused(SET({ "clock.mode", mode }), -ERANGE, UNKNOWN);
		proven();
		assert_int_equal(SET({ "clock.mode", mode }), 0);
		assert_true(get("clock.time") > IOFILTER_NSEC_PER_SEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look),
		cmocka_unit_test(killed_writer),
		cmocka_unit_test(killed_reader),
		cmocka_unit_test(late_writer),
		cmocka_unit_test(times_stay),
		cmocka_unit_test(times_refused),
		cmocka_unit_test(measured_elsewhere),
		cmocka_unit_test(given_elsewhere),
		cmocka_unit_test(mode_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
