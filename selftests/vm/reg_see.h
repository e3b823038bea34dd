/* SPDX-License-Identifier: GPL-2.0 */
/* What a guest sees of the registers of PM timer, HPET, RTC, IDE and a table: each sets one, and fails unless the guest sees it. */
#ifndef SELFTESTS_VM_REG_SEE_H
#define SELFTESTS_VM_REG_SEE_H

#include <iofilter/table.h>
#include "reg_guest.h"

/* --- PM timer and HPET --- */

static struct access read_counter(struct dev *d)
{
	if (!strcmp(d->name, "pmtimer"))
		return one(d, IN4(PMTIMER_PORT));
	return one(d, (struct access){ .addr = HPET_BASE + HPET_MAIN_CNT, .len = 8 });
}

static __u64 counter_at(struct dev *d, __u64 ns)
{
	if (!strcmp(d->name, "pmtimer"))
		return iofilter_ns_to_ticks(ns, PMTIMER_HZ) & 0xffffff;
	return iofilter_ns_to_ticks(ns, HPET_HZ);
}

static void see_time(struct dev *d, __u32 e)
{
	const __u64 times[] = { 123456789012345, 4711 };

	(void)e;
	set_at(d, "clock.mode", 0, IOFILTER_CLOCK_STOPPED);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		set_at(d, "clock.time", 0, times[i]);
		want("a clock that stands", read_counter(d), true, counter_at(d, times[i]));
	}
}

static void see_mode(struct dev *d, __u32 e)
{
	__u64 time = 5000000000, before, after;
	struct access a;

	(void)e;
	set_at(d, "clock.mode", 0, IOFILTER_CLOCK_OWNED);
	before = now_ns();
	set_at(d, "clock.time", 0, time);
	a = read_counter(d);
	after = now_ns() + 1000;
	TEST_ASSERT(a.answered && a.val >= counter_at(d, time) && a.val <= counter_at(d, time + after - before),
		    "%#llx is not between %#llx and %#llx", a.val, counter_at(d, time), counter_at(d, time + after - before));
	set_at(d, "clock.mode", 0, IOFILTER_CLOCK_STOPPED);
	a = read_counter(d);
	want("it stands", read_counter(d), true, a.val);
	for (int mode = IOFILTER_CLOCK_PROVE; mode <= IOFILTER_CLOCK_HELD; mode++) {
		set_at(d, "clock.mode", 0, mode);
		want("nobody owns it", read_counter(d), false, 0);
	}
}

static void see_fuse(struct dev *d, __u32 e)
{
	(void)e;
	set_at(d, "clock.mode", 0, IOFILTER_CLOCK_OWNED);
	TEST_ASSERT(read_counter(d).answered, "one that is owned");
	for (int i = 1; i <= IOFILTER_FUSE_VANISHED; i++) {
		set_at(d, "clock.fuse", 0, i);
		want("a fuse that is blown", read_counter(d), false, 0);
		want("a fuse that is blown", read_counter(d), false, 0);
		set_at(d, "clock.fuse", 0, 0);
		TEST_ASSERT(read_counter(d).answered, "the fuse is whole again");
	}
}

static void prepare_counter(struct dev *d)
{
	static const struct setting stands[] = { { "clock.mode", IOFILTER_CLOCK_STOPPED }, { "clock.time", 1000000000 } };

	set_several(d, stands, ARRAY_SIZE(stands), 0);
	set_at(d, "clock.absence", 0, 1000000000);
	set_at(d, "clock.expiry", 0, 1000000000);
}

static void see_general(struct dev *d, __u32 e)
{
	const __u64 offsets[] = { HPET_GCAP_ID, HPET_GCAP_ID + 4, HPET_GEN_CONF, HPET_GEN_CONF + 4 };

	set_at(d, "clock.mode", 0, IOFILTER_CLOCK_OWNED);
	look_at = HPET_BASE + offsets[e];
	look_for = 0xdeadbee0 + e;
	begin(d, guest_hpet, 0);
	usleep(20000);
	TEST_EQ(seen, 0);
	/* An answer of the VMM that was on its way may come after it, and counts. */
	for (int i = 0; i < 100 && !seen; i++) {
		set_at(d, "general[]", e, look_for);
		usleep(20000);
	}
	WAIT_FOR(d, seen, "a general register that was set");
	end(d);
}

/* --- RTC --- */

static void prepare_rtc(struct dev *d)
{
	set_at(d, "absence", 0, 1000000000);
	set_at(d, "expiry", 0, 1000000000);
}

static void see_cmos(struct dev *d, __u32 e)
{
	bool answers = (e < 64 ? RTC_STABLE_LOW : RTC_STABLE_HIGH) >> e % 64 & 1;
	__u8 real = machine.rtc.cmos[e], val = real ^ 0x5a;
	struct access *data = &script[1];
	unsigned long exits;

	set_at(d, "cmos[]", e, val);
	script[0] = OUT(RTC_INDEX_PORT, e);
	script[1] = IN(RTC_DATA_PORT);
	exits = machine.exits;
	play(d, 2);
	exits = machine.exits - exits;
	if (answers)
		TEST_ASSERT(exits == 1 && data->val == val, "CMOS %#x: set to %#x, the guest read %#llx with %lu exits", e, val, data->val,
			    exits);
	else
		TEST_ASSERT(exits == 2, "CMOS %#x is never answered, but was: %#llx", e, data->val);
	/* Not known: the VMM's. */
	set_at(d, "cmos[]", e, 0x100);
	exits = machine.exits;
	script[0] = OUT(RTC_INDEX_PORT, e);
	script[1] = IN(RTC_DATA_PORT);
	play(d, 2);
	TEST_EQ(machine.exits - exits, 2);
}

/* --- IDE --- */

#define PORT(reg) (IDE_PRIMARY + (reg))
#define CONTROL	  (IDE_PRIMARY + IDE_CONTROL_AT)

static void prepare_ide(struct dev *d)
{
	struct ide_own *own = &((struct iofilter_ide *)iofilter_state(d->f))->own;

	if (!machine.own) {
		machine.own = own;
		iofilter_ide_cooperate(own, 0);
	}
	if (!own->given)
		ide_give(&machine.ide, own);
	TEST_ASSERT(own->given, "the channel is not given");
}

static void see_ide(struct dev *d, __u32 e, const char *name, int reg, bool hob)
{
	struct ide_taskfile *slave = &machine.ide.c.drives[1];

	for (int val = 0xb6; val >= 0x36; val -= 0x80) {
		prepare_ide(d);
		set_at(d, name, e, val);
		if (e == 0) {
			want("control", one(d, OUT(CONTROL, hob ? IDE_CTL_HOB : 0)), true, hob ? IDE_CTL_HOB : 0);
			want(name, one(d, IN(PORT(reg))), true, val);
		} else {
			/* There is no slave; but the VMM has what it would show. */
			want("the slave", one(d, OUT(PORT(IDE_DEVICE), 0xb0)), false, 0);
			TEST_EQ(reg == IDE_COUNT && !hob ? slave->count : reg == IDE_LBA_LOW && !hob ? slave->lba_low :
				reg == IDE_LBA_MID && !hob ? slave->lba_mid : reg == IDE_LBA_HIGH && !hob ? slave->lba_high :
				reg == IDE_ERROR && hob ? slave->hob_features : reg == IDE_COUNT ? slave->hob_count :
				reg == IDE_LBA_LOW ? slave->hob_lba_low : reg == IDE_LBA_MID ? slave->hob_lba_mid :
				reg == IDE_LBA_HIGH ? slave->hob_lba_high : (__u32)val, (__u32)val);
			one(d, OUT(PORT(IDE_DEVICE), 0xa0));
		}
	}
}

#define SEE_IDE(field, reg, hob) \
	static void see_##field(struct dev *d, __u32 e) \
	{ \
		see_ide(d, e, "own.drive[]." #field, reg, hob); \
	}
SEE_IDE(count, IDE_COUNT, false)
SEE_IDE(lba_low, IDE_LBA_LOW, false)
SEE_IDE(lba_mid, IDE_LBA_MID, false)
SEE_IDE(lba_high, IDE_LBA_HIGH, false)
SEE_IDE(device, IDE_DEVICE, false)
SEE_IDE(hob_features, IDE_ERROR, true)
SEE_IDE(hob_count, IDE_COUNT, true)
SEE_IDE(hob_lba_low, IDE_LBA_LOW, true)
SEE_IDE(hob_lba_mid, IDE_LBA_MID, true)
SEE_IDE(hob_lba_high, IDE_LBA_HIGH, true)

/* A write moves it to where it can be read. */
static void see_features(struct dev *d, __u32 e)
{
	prepare_ide(d);
	set_at(d, "own.drive[].features", e, 0x47);
	want("features", one(d, OUT(PORT(IDE_FEATURES), 0)), true, 0);
	TEST_EQ(get_at(d, "own.drive[].hob_features", e), 0x47);
	if (e)
		return;
	one(d, OUT(CONTROL, IDE_CTL_HOB));
	want("features", one(d, IN(PORT(IDE_ERROR))), true, 0x47);
}

static void see_error(struct dev *d, __u32 e)
{
	(void)e;
	prepare_ide(d);
	one(d, OUT(CONTROL, 0));
	for (int val = 0x04; val < 0x80; val <<= 1) {
		set_at(d, "own.error", 0, val);
		want("error", one(d, IN(PORT(IDE_ERROR))), true, val);
	}
}

/* --- a table --- */

#define TABLE_PORT 0x300

static const char table_rules[] = "absence 10000000\n"
				  "ports p 0x300-0x31f\n"
				  "bit x\nslot a\nslot b\n"
				  "buffer buf = 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n"
				  "write p+0 l take a set x\n"
				  "write p+16 l take b clear x rewind buf\n"
				  "read  p+2 b if x answer 0x11\n"
				  "read  p+2 b if !x answer 0x22\n"
				  "read  p+4 l answer a\n"
				  "read  p+8 l answer b\n"
				  "read  p+12 b repeat buf\n";

static void prepare_table(struct dev *d)
{
	((struct iofilter_table *)iofilter_state(d->f))->owned = 1;
}

static void see_bits(struct dev *d, __u32 e)
{
	(void)e;
	set_at(d, "bits_known", 0, 1);
	set_at(d, "bits", 0, 1);
	want("a bit", one(d, IN(TABLE_PORT + 2)), true, 0x11);
	set_at(d, "bits", 0, 0);
	want("a bit", one(d, IN(TABLE_PORT + 2)), true, 0x22);
	set_at(d, "bits_known", 0, 0);
	want("a bit that is not known", one(d, IN(TABLE_PORT + 2)), false, 0);
}

static void see_slot(struct dev *d, __u32 e)
{
	set_at(d, "slot[].known", e, 0x0f);
	set_at(d, "slot[].value", e, 0xdeadbeef12345678);
	want("a slot", one(d, IN4(TABLE_PORT + 4 + 4 * e)), true, 0x12345678);
	set_at(d, "slot[].value", e, 0x87654321);
	want("a slot", one(d, IN4(TABLE_PORT + 4 + 4 * e)), true, 0x87654321);
	set_at(d, "slot[].known", e, 0x07);
	want("a slot that is not known", one(d, IN4(TABLE_PORT + 4 + 4 * e)), false, 0);
}

static void see_dirty(struct dev *d, __u32 e)
{
	set_at(d, "slot[].dirty", 1 - e, 0);
	set_at(d, "slot[].dirty", e, 1);
	TEST_EQ(reg_get(d->f, "in_flight"), 1);
	set_at(d, "slot[].dirty", e, 0);
	TEST_EQ(reg_get(d->f, "in_flight"), 0);
}

static void see_pos(struct dev *d, __u32 e)
{
	(void)e;
	for (int pos = 15; pos >= 0; pos--) {
		set_at(d, "buffer[].pos", 0, pos);
		want("a buffer", one(d, IN(TABLE_PORT + 12)), true, pos);
	}
	set_at(d, "buffer[].pos", 0, 16);
	want("a buffer that is used up", one(d, IN(TABLE_PORT + 12)), false, 0);
}

#endif /* SELFTESTS_VM_REG_SEE_H */
