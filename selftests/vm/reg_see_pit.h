/* SPDX-License-Identifier: GPL-2.0 */
/* The same of the PIT, and of port 0x61 beside KVM's PIT. */
#ifndef SELFTESTS_VM_REG_SEE_PIT_H
#define SELFTESTS_VM_REG_SEE_PIT_H

#include <iofilter/pit_model.h>
#include <iofilter/speaker.h>
#include "reg_guest.h"

/* Known to be at rest, and nothing in flight. */
static void prepare_pit(struct dev *d)
{
	static const struct setting rest[] = {
		{ "channel[].count", 50000 }, { "channel[].programmed", 1 }, { "channel[].rw", PIT_RW_WORD }, { "channel[].mode", 2 },
		{ "channel[].bcd", 0 }, { "channel[].write_state", PIT_RW_WORD }, { "channel[].states", PIT_STATE(PIT_RW_WORD, 0, 0) },
		{ "channel[].pair", 0 }, { "channel[].latched", 0 }, { "channel[].status_latched", 0 }, { "channel[].clock.fuse", 0 },
	};

	/* The vCPU's next access tells that its last write is done: with one that may be under way nothing is known after a restore. */
	one(d, IN(PIT_PORT));
	for (int ch = 0; ch < PIT_CHANNELS; ch++)
		set_several(d, rest, ARRAY_SIZE(rest), ch);
	set_at(d, "port61.odd", 0, 0);
}

/* The VMM's counter as prepare_pit() says. */
static void put_counter(int ch, int mode, int count, int bcd)
{
	pthread_mutex_lock(&machine.lock);
	machine.pit.counters[ch] = (struct pit_counter){
		.count = count, .rw_mode = PIT_RW_WORD, .mode = mode, .bcd = bcd, .gate = true,
		.read_state = PIT_RW_WORD, .write_state = PIT_RW_WORD, .count_load_time = now_ns(),
	};
	pthread_mutex_unlock(&machine.lock);
}

static void see_latched(struct dev *d, __u32 e)
{
	set_at(d, "channel[].latch", e, 0x1234);
	set_at(d, "channel[].latched", e, PIT_RW_WORD);
	want("LSB of a latch", one(d, IN(PIT_PORT + e)), true, 0x34);
	want("MSB of a latch", one(d, IN(PIT_PORT + e)), true, 0x12);
	set_at(d, "channel[].latch", e, 0x5678);
	set_at(d, "channel[].latched", e, PIT_RW_MSB);
	want("MSB of a latch", one(d, IN(PIT_PORT + e)), true, 0x56);
	set_at(d, "channel[].latched", e, PIT_RW_LSB);
	want("LSB of a latch", one(d, IN(PIT_PORT + e)), true, 0x78);
	want("nothing is latched", one(d, IN(PIT_PORT + e)), false, 0);
}

static void see_status(struct dev *d, __u32 e)
{
	for (int val = 0x3c; val < 0x100; val += 0x80) {
		set_at(d, "channel[].status", e, val);
		set_at(d, "channel[].status_latched", e, 1);
		want("a status", one(d, IN(PIT_PORT + e)), true, val);
	}
	set_at(d, "channel[].status_latched", e, 0);
	want("no status", one(d, IN(PIT_PORT + e)), false, 0);
}

/* The MSB of what the count is by now. */
static void see_pair(struct dev *d, __u32 e)
{
	__u64 before = get_at(d, "channel[].clock.time", e), after, t;
	struct access a;

	set_at(d, "channel[].pair", e, 1);
	a = one(d, IN(PIT_PORT + e));
	after = get_at(d, "channel[].clock.time", e) + 50000;
	TEST_ASSERT(a.answered, "the MSB of a pair is from the VMM");
	for (t = before; t < after && (pit_value(2, 50000, iofilter_ns_to_ticks(t, PIT_HZ)) >> 8) != a.val; t += 50000)
		;
	TEST_ASSERT(t < after, "MSB %#llx: the count had none such between %llu and %llu ns", a.val, before, after);
	want("only one byte", one(d, IN(PIT_PORT + e)), false, 0);
}

/* Counters, from the mapping: who asks for a register again and again is in the guest's way. */
static __u64 commands(struct dev *d)
{
	return *(volatile __u64 *)&((struct iofilter_pit *)iofilter_state(d->f))->commands;
}

static __u64 answered(struct dev *d)
{
	if (!strcmp(d->name, "pit"))
		return *(volatile __u64 *)&((struct iofilter_pit *)iofilter_state(d->f))->answered;
	return *(volatile __u64 *)&((struct iofilter_speaker *)iofilter_state(d->f))->answered;
}

/* What the VMM's answers prove, from what was set: latch commands are carried out. */
static void see_program(struct dev *d, __u32 e)
{
	int mode = random() % 2 ? 2 : 3, bcd = random() % 2, count = 20000 + random() % 40000;
	__u64 before;
	size_t size;
	void *data;

	prepare_pit(d);
	put_counter(e, mode, count, bcd);
	set_at(d, "channel[].mode", e, mode);
	set_at(d, "channel[].bcd", e, bcd);
	set_at(d, "channel[].count", e, count);
	before = commands(d);
	begin(d, guest_latch, e);
	WAIT_FOR(d, commands(d) > before + 10, "latch commands of a channel that was set");
	end(d);
	/* Not before: a guest that finds the lock taken for too long must program the counter anew. */
	TEST_EQ(get_at(d, "channel[].clock.fuse", e), 0);
	TEST_LIB(iofilter_save(d->f, &data, &size));
	TEST_LIB(iofilter_restore(d->f, data, size, 0));
	free(data);
	before = commands(d);
	begin(d, guest_latch, e);
	WAIT_FOR(d, commands(d) > before + 10, "latch commands of a channel that was restored");
	/* Without it they are the VMM's. */
	set_at(d, "channel[].programmed", e, 0);
	before = commands(d);
	usleep(100000);
	TEST_EQ(commands(d), before);
	end(d);
}

/* Which byte of a count a write is. */
static void see_write_state(struct dev *d, __u32 e)
{
	set_at(d, "channel[].rw", e, PIT_RW_LSB);
	set_at(d, "channel[].write_state", e, PIT_RW_LSB);
	one(d, OUT(PIT_PORT + e, 0x56));
	TEST_EQ(get_at(d, "channel[].count", e), 0x56);
	set_at(d, "channel[].rw", e, PIT_RW_MSB);
	set_at(d, "channel[].write_state", e, PIT_RW_MSB);
	one(d, OUT(PIT_PORT + e, 0x56));
	TEST_EQ(get_at(d, "channel[].count", e), 0x5600);
	set_at(d, "channel[].rw", e, PIT_RW_WORD);
	set_at(d, "channel[].write_latch", e, 0x78);
	set_at(d, "channel[].write_state", e, PIT_WORD_MSB);
	one(d, OUT(PIT_PORT + e, 0x56));
	TEST_EQ(get_at(d, "channel[].count", e), 0x5678);
}

/* What the VMM has latched comes first, so nothing of the filter's is answered then. */
static void see_states(struct dev *d, __u32 e)
{
	set_at(d, "channel[].latched", e, PIT_RW_LSB);
	set_at(d, "channel[].states", e, PIT_STATE(PIT_RW_WORD, 0, 1));
	want("the VMM has a status", one(d, IN(PIT_PORT + e)), false, 0);
	TEST_EQ(get_at(d, "channel[].states", e), PIT_STATE(PIT_RW_WORD, 0, 0));
	want("the VMM has none any more", one(d, IN(PIT_PORT + e)), true, get_at(d, "channel[].latch", e) & 0xff);
}

static void see_pit_fuse(struct dev *d, __u32 e)
{
	__u64 before;

	prepare_pit(d);
	put_counter(e, 2, 50000, 0);
	before = commands(d);
	begin(d, guest_latch, e);
	WAIT_FOR(d, commands(d) > before + 10, "latch commands");
	end(d);
	set_at(d, "channel[].clock.fuse", e, IOFILTER_FUSE_MODEL);
	before = commands(d);
	begin(d, guest_latch, e);
	usleep(100000);
	end(d);
	TEST_EQ(commands(d), before);
	set_at(d, "channel[].clock.fuse", e, 0);
	begin(d, guest_latch, e);
	WAIT_FOR(d, commands(d) > before + 10, "latch commands with the fuse whole again");
	end(d);
}

/* So often, before it is a failure: on the emulated machine the VMM takes so long now and then that its answer tells nothing. */
#define TRIES 50

/* Port 0x61, answered, of either filter. The output tells nothing before a load by the guest. */
static void port61_proven(struct dev *d)
{
	bool pit = !strcmp(d->name, "pit");
	__u64 before;

	for (int tries = 0; tries < TRIES; tries++) {
		before = pit ? commands(d) : 0;
		look_mask = look_for = 0x100;
		begin(d, guest_port61, pit);
		if (pit)
			COMES(commands(d) > before + 10, 500);
		polls = 1;
		before = answered(d);
		if (COMES(answered(d) > before + 100, 500))
			return;
		end(d);
	}
	show_all(d);
	TEST_FAIL("port 0x61 is not answered");
}

static void port61_shows(struct dev *d, const char *name, __u64 val, __u8 mask, __u8 bits)
{
	/* An answer of the VMM that was on its way may come after it, and counts. */
	for (int tries = 0; tries < TRIES; tries++) {
		port61_proven(d);
		look_mask = mask;
		look_for = bits;
		seen = 0;
		set_at(d, name, 0, val);
		COMES(seen, 20);
		end(d);
		if (seen)
			return;
	}
	TEST_FAIL("%s: the guest never saw it", name);
}

static void see_gate(struct dev *d, __u32 e)
{
	(void)e;
	port61_shows(d, "port61.gate", 0, PIT_61_GATE, 0);
}

static void see_data(struct dev *d, __u32 e)
{
	(void)e;
	port61_shows(d, strcmp(d->name, "pit") ? "data" : "port61.data", 1, PIT_61_DATA, PIT_61_DATA);
}

/* Bit 4 is another one at each read, until it is set: then once it is the same twice, or the reads are the VMM's again. */
static void see_toggle(struct dev *d, const char *name)
{
	unsigned long before, cut;

	for (int tries = 0; tries < TRIES; tries++) {
		port61_proven(d);
		usleep(20000);
		/* By itself it is not, but for a pair that was cut off. */
		before = same;
		usleep(20000);
		cut = same - before;
		before = same;
		set_at(d, name, 0, !reg_get(d->f, name));
		usleep(20000);
		end(d);
		if (!cut && same > before)
			return;
	}
	TEST_FAIL("%s: bit 4 was never the same twice", name);
}

static void see_toggled(struct dev *d, __u32 e)
{
	(void)e;
	see_toggle(d, strcmp(d->name, "pit") ? "toggle" : "port61.toggle");
}

static void see_odd(struct dev *d, __u32 e)
{
	(void)e;
	see_toggle(d, strcmp(d->name, "pit") ? "odd" : "port61.odd");
}

static void see_speaker_fuse(struct dev *d, __u32 e)
{
	__u64 before;

	(void)e;
	port61_proven(d);
	set_at(d, "fuse", 0, 1);
	before = answered(d);
	usleep(100000);
	/* The second one of a pair. */
	TEST_ASSERT(answered(d) <= before + 1, "%llu reads answered", answered(d) - before);
	set_at(d, "fuse", 0, 0);
	WAIT_FOR(d, answered(d) > before + 10, "reads with the fuse whole again");
	end(d);
}

#endif /* SELFTESTS_VM_REG_SEE_PIT_H */
