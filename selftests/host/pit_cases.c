// SPDX-License-Identifier: GPL-2.0
/* The PIT's fast path, step by step: where a sequence ends, how close a load must have been seen, many loads. */
#include <iofilter/pit_access.h>
#include <devices/pit.h>
#include "host.h"
#include "pit_state.h"

static struct iofilter_pit *pit;
static struct pit vmm;
static uint64_t now;
static uint64_t away; /* that the vCPU was out of KVM before its next access */

static __u64 clock_now(void *arg)
{
	(void)arg;
	return now;
}

static void start(void)
{
	if (!pit)
		pit = aligned_alloc(64, sizeof(*pit));
	memset(pit, 0, sizeof(*pit));
	pit_init(pit);
	for (int i = 0; i < PIT_CHANNELS; i++)
		pit->channels[i].clock.calibrating = 0;
	now = IOFILTER_NSEC_PER_SEC;
	vmm.clock = clock_now;
	pit_power_on(&vmm);
}

static void was_away(struct kvm_iofilter_req *req)
{
	req->away = away;
	req->flags = away ? KVM_IOFILTER_REQ_AWAY : 0;
	away = 0;
}

static int out(int port, uint8_t val, uint64_t took)
{
	struct kvm_iofilter_req req = { .now = now, .addr = port, .val = val, .len = 1, .count = 1 };
	int handled;

	was_away(&req);
	handled = pit_on_write(pit, &req);
	if (!handled) {
		now += took / 2;
		pit_port_write(&vmm, port, val);
		now += took / 2;
	}
	now += 1000;
	return handled;
}

/* *@handled: whether the filter answered. */
static uint8_t in(int port, int *handled)
{
	struct kvm_iofilter_req req = { .now = now, .addr = port, .len = 1, .count = 1 };
	struct kvm_iofilter_sample sample = { .t0 = now, .addr = port, .len = 1 };

	was_away(&req);
	*handled = pit_on_read(pit, &req);
	if (!*handled) {
		now += 2000;
		sample.val = pit_port_read(&vmm, port);
		now += 2000;
		sample.t1 = now;
		pit_on_sample(pit, &sample);
		req.val = sample.val;
	}
	now += 1000;
	return req.val;
}

static void program(int ch, int mode, int count, uint64_t took)
{
	out(PIT_CONTROL, ch << 6 | PIT_RW_WORD << 4 | mode << 1, 4000);
	out(PIT_PORT + ch, count, 4000);
	out(PIT_PORT + ch, count >> 8, took);
}

static void known(int ch)
{
	int i, handled;

	for (i = 0; i < 3; i++)
		in(PIT_PORT + ch, &handled);
}

static uint16_t latched(int ch, int *handled)
{
	int command = out(PIT_CONTROL, ch << 6, 4000), lsb, msb;
	uint16_t val;

	val = in(PIT_PORT + ch, &lsb);
	val |= in(PIT_PORT + ch, &msb) << 8;
	/* All of it on one side. */
	assert_int_equal(command, lsb);
	assert_int_equal(command, msb);
	*handled = command;
	return val;
}

/* The next state: read flip-flop (0 LSB, 1 MSB, 2 and 3 word), bytes of the latched count, status. */
static int next(int state, enum pit_op op, int rw)
{
	static const int after_read[] = { 0, 1, 3, 2 }, after_latch[] = { 0, 0, 0, 2 };
	int read = state & 3, latched = state >> 2 & 3, status = state >> 4;

	if (op == PIT_OP_LATCH)
		latched = latched ? latched : rw;
	else if (op == PIT_OP_STATUS)
		status = 1;
	else if (op == PIT_OP_PROGRAM)
		read = rw - 1;
	else if (status)
		status = 0;
	else if (latched)
		latched = after_latch[latched];
	else
		read = after_read[read];
	return read | latched << 2 | status << 4;
}

/* A set of states goes where its states go. */
static void sets(void **state)
{
	enum pit_op op;
	uint32_t set, want, rw;
	int i, n;

	(void)state;
	for (n = 0; n < 100000; n++) {
		set = rnd() & rnd();
		op = rnd() % 4;
		rw = 1 + rnd() % 3;
		for (want = i = 0; i < PIT_NR_STATES; i++)
			if (set >> i & 1)
				want |= 1u << next(i, op, rw);
		assert_int_equal(pit_next(set, op, rw), want);
	}
}

static void pair_ends_where_it_began(void **state)
{
	int i, handled;
	uint16_t val;

	(void)state;
	start();
	known(2);
	program(2, 2, 0, 4000);
	/* A guest that polls. */
	for (i = 0; i < 200; i++) {
		in(0x42, &handled);
		in(0x42, &handled);
	}
	val = in(0x42, &handled);
	assert_true(handled);
	/* The proof expires, another channel is programmed, this one is latched: the second byte is still the filter's. */
	now += 10 * IOFILTER_EXPIRY_NS;
	program(0, 3, 1000, 4000);
	val = in(0x42, &handled);
	assert_true(handled);
	assert_true((uint8_t)((pit_get_count(&vmm, 2) >> 8) - val + 1) <= 1);
	/* And then the VMM is asked. */
	in(0x42, &handled);
	assert_false(handled);
	in(0x42, &handled);
	assert_false(handled);
}

static void load_bracket(void **state)
{
	static const int counts[] = { 2, 190, 1193, 65536 }, took[] = { 5000, 60000, 5000000 };
	unsigned int i, k;
	int n, handled, answered;
	uint64_t width, period;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (k = 0; k < ARRAY_SIZE(took); k++) {
			start();
			known(0);
			program(0, 2, counts[i], took[k]);
			for (answered = n = 0; n < 20; n++) {
				latched(0, &handled);
				answered += handled;
				width = pit->channels[0].clock.hi - pit->channels[0].clock.lo;
				period = counts[i] * 1000000000ULL / PIT_HZ;
				if (handled)
					assert_true(width <= IOFILTER_BRACKET_NS && width < period / 4);
			}
			print_message("# count %d, load seen to %d us: %d of 20 answered\n", counts[i], took[k] / 1000, answered);
			/* One that has matched, then all. */
			if (counts[i] >= 1193 && took[k] == 5000)
				assert_int_equal(answered, 19);
			if (counts[i] == 2)
				assert_int_equal(answered, 0);
			/* Where in its period it is, words tell in the end. */
			else
				assert_true(answered > 0);
		}
	}
}

static void many_loads(void **state)
{
	int i, handled, answered = 0, count;
	uint16_t val, wanted;
	uint64_t t;

	(void)state;
	start();
	known(1);
	for (i = 0; i < 10000; i++) {
		count = 1000 + i * 6;
		program(1, 0, count, 4000);
		latched(1, &handled);
		assert_false(handled);
		t = now;
		val = latched(1, &handled);
		answered += handled;
		/* Latched at t, or up to the bracket before. */
		wanted = count - (t - vmm.counters[1].count_load_time) * PIT_HZ / 1000000000;
		assert_true((uint16_t)(val - wanted) <= IOFILTER_BRACKET_NS * PIT_HZ / 1000000000 + 1);
	}
	assert_int_equal(answered, 10000);
	assert_int_equal(pit->channels[1].clock.fuse, IOFILTER_FUSE_OK);
	assert_int_equal(pit->channels[1].cuts, 0);
}

/* Each read inverts bit 4, whoever answers. */
static void toggle(void **state)
{
	int i, handled, answered = 0;
	uint8_t last, val;

	(void)state;
	start();
	known(2);
	out(PIT_SYSTEM, 1, 4000);
	program(2, 0, 60000, 4000);
	last = in(PIT_SYSTEM, &handled);
	for (i = 0; i < 100000; i++) {
		/* So that audits fall on both of two reads. */
		now += i % 777;
		val = in(PIT_SYSTEM, &handled);
		answered += handled;
		assert_int_equal((val ^ last) & PIT_61_REFRESH, PIT_61_REFRESH);
		/* The output rises once, and the VMM itself has shown it. */
		if ((val ^ last) & PIT_61_OUT)
			assert_true(!handled && val & PIT_61_OUT);
		last = val;
	}
	assert_true(last & PIT_61_OUT);
	assert_true(answered > 90000);
	assert_int_equal(pit->cuts, 0);
}

/* A bit 4 that follows the time, as other VMMs have it: never answered for long, and in the end not at all. */
static void toggle_of_time(void **state)
{
	int i, handled, answered = 0, late = 0;

	(void)state;
	start();
	known(2);
	out(PIT_SYSTEM, 1, 4000);
	program(2, 0, 60000, 4000);
	for (i = 0; i < 20000; i++) {
		vmm.refresh = rnd() & 1;
		in(PIT_SYSTEM, &handled);
		answered += handled;
		late += handled && i > 10000;
	}
	print_message("# %d of 20000 answered, %d of the second half\n", answered, late);
	assert_int_equal(late, 0);
	in(0x42, &handled);
	assert_false(handled);
	assert_int_equal(pit->channels[2].clock.fuse, IOFILTER_FUSE_OK);
}

/* VMMs differ in the output of mode 1: the VMM answers it, and only it. */
static void mode_1(void **state)
{
	int i, handled;

	(void)state;
	start();
	known(2);
	out(PIT_SYSTEM, 1, 4000);
	program(2, 1, 60000, 4000);
	for (i = 0; i < 100; i++) {
		in(PIT_SYSTEM, &handled);
		assert_false(handled);
	}
	assert_false(out(PIT_CONTROL, 0xe8, 4000));
	in(0x42, &handled);
	for (i = 0; i < 20; i++)
		latched(2, &handled);
	assert_true(handled);
	in(PIT_SYSTEM, &handled);
	assert_false(handled);
	/* A pair that was begun in another mode. */
	program(2, 0, 60000, 4000);
	for (i = 0; i < 100 && !pit->odd; i++)
		in(PIT_SYSTEM, &handled);
	assert_true(pit->odd);
	program(2, 1, 60000, 4000);
	in(PIT_SYSTEM, &handled);
	assert_false(handled);
	assert_int_equal(pit->head.cut, 1);
}

/* Who cannot have the lock leaves word: nothing is known any more, what was in flight is cut off, and a load begins it all anew. */
static void missed(void **state)
{
	int i, handled;

	(void)state;
	start();
	known(0);
	program(0, 2, 0, 4000);
	latched(0, &handled);
	latched(0, &handled);
	assert_true(handled);
	assert_true(out(PIT_CONTROL, 0, 4000));
	assert_int_equal(pit->head.in_flight, 1);
	pit->lock = 1;
	in(0x41, &handled);
	assert_false(handled);
	pit->lock = 0;
	in(0x41, &handled);
	assert_false(handled);
	assert_int_equal(pit->conflicts, 1);
	assert_int_equal(pit->head.in_flight, 0);
	assert_int_equal(pit->head.cut, 1);
	/* Nothing that this vCPU is not known to be done with. */
	in(0x41, &handled);
	assert_int_equal(pit->nr_writes, 0);
	known(0);
	program(0, 2, 0, 4000);
	for (i = 0; i < 2; i++)
		latched(0, &handled);
	assert_true(handled);
}

/* Another filter has seen the VMM's clock move, and no vCPU was away: the count is found again by words, the output by a load only. */
static void moved(void **state)
{
	struct kvm_iofilter_sample sample = { .flags = KVM_IOFILTER_SAMPLE_MOVED };
	int i, handled, answered = 0;
	uint16_t val;

	(void)state;
	start();
	known(2);
	out(PIT_SYSTEM, 1, 4000);
	program(2, 0, 60000, 4000);
	for (i = 0; i < 20; i++)
		in(PIT_SYSTEM, &handled);
	assert_true(handled);
	latched(2, &handled);
	assert_true(handled);
	/* By 3 ms: stopped meanwhile. */
	vmm.counters[2].count_load_time += 3000000;
	sample.t1 = now;
	pit_on_sample(pit, &sample);
	for (i = 0; i < 200; i++) {
		val = latched(2, &handled);
		answered += handled;
		assert_true((uint16_t)(val - pit_get_count(&vmm, 2)) <= IOFILTER_BRACKET_NS * PIT_HZ / 1000000000 + 20);
		if (i < 3)
			assert_false(handled);
	}
	assert_true(answered > 150);
	while (pit->odd)
		in(PIT_SYSTEM, &handled);
	for (i = 0; i < 20; i++) {
		in(PIT_SYSTEM, &handled);
		assert_false(handled);
	}
	assert_int_equal(pit->channels[2].clock.fuse, IOFILTER_FUSE_OK);
}

/* A load that took long, and the VM is stopped for as long: where the bounds from before end, those from after it begin. */
static void stopped_as_long(void **state)
{
	uint16_t val, want;
	uint64_t ns;
	int i, handled;

	(void)state;
	for (ns = 990000; ns < 1010000; ns += 100) {
		start();
		known(0);
		program(0, 2, 60000, 2000000);
		in(PIT_SYSTEM, &handled);
		now += ns;
		vmm.counters[0].count_load_time += ns;
		away = ns;
		for (i = 0; i < 20; i++) {
			want = pit_get_count(&vmm, 0);
			val = latched(0, &handled);
			if (handled)
				assert_in_range(val, want, want + IOFILTER_BRACKET_NS * PIT_HZ / 1000000000 + 1);
		}
		assert_true(handled);
	}
}

/*
 * The vCPU was away amid the writes of a load, or the last one took that long, and nothing happened: words find the count. Or the VM
 * was reset there: they show another one, and no answer is the old one's.
 */
static void load_while_away(void **state)
{
	const int port[] = { PIT_CONTROL, PIT_PORT, PIT_PORT }, val[] = { PIT_RW_WORD << 4 | 2 << 1, 60000 & 0xff, 60000 >> 8 };
	int i, at, was_reset, handled, answered;
	uint16_t got, want;

	(void)state;
	for (at = 0; at < 3; at++) {
		for (was_reset = 0; was_reset < 2; was_reset++) {
			start();
			known(0);
			for (i = 0; i < 3; i++) {
				out(port[i], val[i], 4000);
				if (i != at)
					continue;
				now += 300000;
				away = 304000;
				if (was_reset)
					pit_reset(&vmm);
			}
			for (answered = i = 0; i < 200; i++) {
				want = pit_get_count(&vmm, 0);
				got = latched(0, &handled);
				answered += handled;
				if (handled)
					assert_true((uint16_t)(got - want) <= IOFILTER_BRACKET_NS * PIT_HZ / 1000000000 + 1);
			}
			if (!was_reset)
				assert_true(answered > 150);
		}
	}
}

/*
 * Linux's quick calibration: a count of 65536 in mode 0, then nothing but unlatched pairs, of a counter whose flip-flop and latches were
 * left anyhow by what came before the filter. Which byte is which shows, also where the VM was stopped for less than anybody sees.
 */
static void quick_calibration(void **state)
{
	struct pit_counter *c = &vmm.counters[2];
	int n, i, k, left, stop, handled, answered;
	uint16_t want;
	uint8_t got;

	(void)state;
	for (n = 0; n < 1000; n++) {
		left = n % 10;
		stop = n / 10 % 2 ? (int)(rnd() % 8) : -1; /* before this access */
		start();
		c->count_latched = left % 5;
		c->latched_count = rnd();
		c->status_latched = left / 5;
		c->status = rnd();
		out(PIT_SYSTEM, 1, 4000);
		program(2, 0, 65535, 4000);
		in(PIT_SYSTEM, &handled);
		now += rnd() % 1000000;
		for (answered = i = 0; i < 1000; i++) {
			if (i == stop) {
				k = rnd() % IOFILTER_ABSENCE_NS;
				now += k;
				c->count_load_time += k;
			}
			/* Of a byte that the filter answers: the half of the count that the VMM would. */
			k = c->read_state == PIT_WORD_MSB || pit->channels[2].pair;
			want = pit_get_count(&vmm, 2);
			got = in(PIT_PORT + 2, &handled);
			assert_true(pit->channels[2].states & state_of(c));
			answered += handled;
			if (handled && stop < 0)
				assert_true((uint8_t)(got - (k ? want >> 8 : want)) <= IOFILTER_BRACKET_NS * PIT_HZ / 1000000000 + 1);
		}
		assert_int_equal(pit->channels[2].states, state_of(c));
		if (stop < 0)
			assert_true(answered > 950);
	}
}

/* While it drains, what has begun is ended and nothing begins. */
static void drain(void **state)
{
	int handled;

	(void)state;
	start();
	known(0);
	program(0, 2, 0, 4000);
	latched(0, &handled);
	latched(0, &handled);
	assert_true(handled);
	assert_true(out(PIT_CONTROL, 0, 4000));
	pit->head.drain = 1;
	in(0x40, &handled);
	assert_true(handled);
	in(0x40, &handled);
	assert_true(handled);
	assert_false(pit_in_flight(&pit->channels[0]));
	latched(0, &handled);
	assert_false(handled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets),
		cmocka_unit_test(pair_ends_where_it_began),
		cmocka_unit_test(load_bracket),
		cmocka_unit_test(many_loads),
		cmocka_unit_test(toggle),
		cmocka_unit_test(toggle_of_time),
		cmocka_unit_test(mode_1),
		cmocka_unit_test(missed),
		cmocka_unit_test(moved),
		cmocka_unit_test(stopped_as_long),
		cmocka_unit_test(load_while_away),
		cmocka_unit_test(quick_calibration),
		cmocka_unit_test(drain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
