// SPDX-License-Identifier: GPL-2.0
/* The RTC's program on the module's own settling: cases, random guests (rtcguest.h), and what each clause is for. */
#include "rtcsim.h"

static bool out(int n, u16 port, u8 val)
{
	return sim_whole(n, true, port, val, 1, 1);
}

/* Return: whether it was answered by the filter. */
static bool in(int n)
{
	return sim_whole(n, false, RTC_DATA_PORT, 0, 1, 1);
}

static bool byte(int n, u8 reg)
{
	out(n, RTC_INDEX_PORT, reg);
	return in(n);
}

#define GOT (sim.vcpus[0].got)

#define WANT(cond) \
	do { \
		if (!(cond)) \
			sim_fail("line %d: %s", __LINE__, #cond); \
	} while (0)

static void known(int vcpus)
{
	int reg;

	sim_begin(vcpus);
	for (reg = 0; reg < 128; reg++)
		byte(0, reg);
}

/* Each register once seen. */
static void registers(void)
{
	static const u8 never[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0c, 0x0f, 0x32, 0x37, 0x38, 0x3d, 0x5f };
	u32 reg, i, n = 0;

	sim_begin(1);
	for (reg = 0; reg < 128; reg++)
		WANT(!byte(0, reg));
	for (reg = 0; reg < 256; reg++) {
		bool punts = false;

		for (i = 0; i < sizeof(never); i++)
			punts |= (reg & 127) == never[i];
		WANT(byte(0, reg) == !punts);
		n += !punts;
	}
	WANT(n == 2 * (128 - sizeof(never)));
	WANT(rtc.verdicts[IOFILTER_PUNT_VOLATILE] == 3 * sizeof(never));
}

static void written(void)
{
	known(2);
	WANT(byte(0, 0x20) && byte(1, 0x21));
	byte(0, 0x20);
	out(0, RTC_DATA_PORT, 0x99);
	/* The index is still that of the write. */
	WANT(!in(0) && GOT == 0x99);
	WANT(in(0) && GOT == 0x99);
	WANT(byte(0, 0x21));
	/* In flight: nobody is answered. */
	byte(0, 0x20);
	sim_access(0, true, RTC_DATA_PORT, 0x98, 1, 1);
	WANT(!byte(1, 0x21));
	sim_finish(0, 500);
	/* The index that the other has written was in the ring before it. */
	WANT(!byte(1, 0x21) && sim.vcpus[1].got == 0x98);
	/* Registers that cannot be written, and one whose written value is not what it holds. */
	out(0, RTC_INDEX_PORT, RTC_REG_D);
	out(0, RTC_DATA_PORT, 0);
	WANT(!in(0) && GOT == RTC_D_VRT);
	out(0, RTC_INDEX_PORT, RTC_REG_B);
	out(0, RTC_DATA_PORT, RTC_B_SET | RTC_B_UIE | RTC_B_24H);
	WANT(!in(0) && GOT == (RTC_B_SET | RTC_B_24H));
	WANT(in(0) && GOT == (RTC_B_SET | RTC_B_24H));
}

static void expiry(void)
{
	known(1);
	WANT(byte(0, 0x20));
	sim_now += RTC_EXPIRY_NS + 1000;
	WANT(!byte(0, 0x20));
	WANT(rtc.verdicts[IOFILTER_PUNT_AUDIT] == 1);
	WANT(byte(0, 0x20));
}

/* The monitor writes it. Once seen, the register is never answered again; several, and nothing is. */
static void changed(void)
{
	u32 i;

	known(1);
	for (i = 0; i < RTC_CHANGED_MAX; i++) {
		byte(0, 0x40 + i);
		WANT(byte(0, 0x40 + i));
		sim_now += RTC_EXPIRY_NS;
		sim.device.cmos[0x40 + i] ^= 1;
		WANT(!byte(0, 0x40 + i));
		WANT(!byte(0, 0x40 + i));
		WANT(rtc.changes == i + 1);
		byte(0, 0x50);
		WANT(byte(0, 0x50) == (i + 1 < RTC_CHANGED_MAX));
	}
	WANT(rtc.fuse == IOFILTER_FUSE_MODEL && rtc.verdicts[IOFILTER_PUNT_FUSE]);
}

static void reset(void)
{
	u32 how, i;

	for (how = STOP; how <= RESET; how++)
		for (i = 0; i < 4; i++) {
			known(2);
			sim.saved.cmos[0x10] ^= 2;
			WANT(byte(1, 0x10));
			/* Within a pair, too: KVM has queued the index, so the module takes the pause for the exit of that write. */
			if (i & 1)
				out(1, RTC_INDEX_PORT, 0x10);
			sim_pause(200 * US, how, i & 2);
			if (i & 1)
				WANT(!in(1));
			WANT(!byte(0, 0x10) && !byte(1, 0x11));
			byte(0, 0x10);
			WANT(byte(0, 0x10) && byte(1, 0x10));
			WANT(!rtc.changes);
		}
}

/* The index belongs to the device. */
static void index_of_whom(void)
{
	known(2);
	out(0, RTC_INDEX_PORT, 0x20);
	WANT(in(0) && in(0));
	WANT(!in(1));
	out(1, RTC_INDEX_PORT, 0x21);
	WANT(!in(0));
	WANT(in(1));
	sim_now += rtc.absence;
	WANT(!in(1));
	/* Two that overlap: the ring's order is not that in which they passed here. */
	sim_access(0, true, RTC_INDEX_PORT, 0x20, 1, 1);
	sim_access(1, true, RTC_INDEX_PORT, 0x21, 1, 1);
	sim_finish(1, 500);
	sim_finish(0, 500);
	WANT(!in(0) && !in(1));
	WANT(byte(0, 0x20));
	/* One that is on its way, and another that began and ended meanwhile. */
	sim_access(0, true, RTC_INDEX_PORT, 0x21, 1, 1);
	out(1, RTC_INDEX_PORT, 0x20);
	WANT(!in(1));
	sim_finish(0, 500);
	WANT(!in(1) && !in(0));
}

/* It does not make others wait: whether its vCPU is in the guest, or has left it since. */
static void not_busy(void)
{
	u64 busy;

	known(2);
	byte(1, 0x20);
	out(0, RTC_INDEX_PORT, 0x20);
	busy = rtc.verdicts[IOFILTER_PUNT_BUSY];
	WANT(byte(1, 0x20));
	in(1);
	in(0); /* so that the ring has room */
	out(0, RTC_INDEX_PORT, 0x20);
	WANT(sim.nr_ring == 1);
	sim.vcpus[0].kvm.mode = OUTSIDE_GUEST_MODE;
	sim.vcpus[0].kvm.stat.exits++;
	WANT(byte(1, 0x20));
	WANT(rtc.verdicts[IOFILTER_PUNT_BUSY] == busy);
}

static void wide(void)
{
	known(1);
	/* Index and data at once. */
	sim_whole(0, true, RTC_INDEX_PORT, 0x5522, 2, 1);
	WANT(!in(0) && GOT == 0x55);
	WANT(!byte(0, 0x22) && GOT == 0x55);
	WANT(byte(0, 0x22));
	known(1);
	out(0, RTC_INDEX_PORT, 0x22);
	sim_whole(0, true, RTC_DATA_PORT, 0x77, 2, 1);
	WANT(!in(0) && GOT == 0x77);
	known(1);
	out(0, RTC_INDEX_PORT, 0x22);
	WANT(!sim_whole(0, false, RTC_DATA_PORT, 0, 1, 5));
	WANT(!sim_whole(0, false, RTC_INDEX_PORT, 0, 1, 1));
	WANT(!sim_whole(0, false, RTC_INDEX_PORT, 0, 2, 1));
	/* Several bytes were consumed that nobody can compare. */
	WANT(!byte(0, 0x22));
	WANT(byte(0, 0x22));
	/* The last element of a string stands alone. */
	sim_whole(0, true, RTC_INDEX_PORT, 0x23, 1, 2);
	WANT(!in(0));
	sim_whole(0, true, RTC_INDEX_PORT, 0x24, 1, 1);
	in(0);
	WANT(in(0));
}

static void ring(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		known(1);
		sim.no_zone = i;
		for (u32 n = 0; n < 5 * RING; n++)
			WANT(byte(0, 0x40 + n));
		WANT(!rtc.flying);
	}
}

/* A register that a VMM that cooperates has said, to the end of its day and around each second. */
static void published(void)
{
	static const u8 regs[] = { 0, 2, 4, 6, 7, 8, 9, 0x32, 0x0a };
	u64 wanted = 0, answers = 0, frac;
	u32 i, n;

	sim_begin(1);
	sim.cooperates = true;
	publish();
	for (n = 0; n < 400000 && !sim.failure[0]; n++) {
		static const u8 formats[] = { 0, RTC_B_24H, RTC_B_DM, RTC_B_24H | RTC_B_DM };
		bool answered;

		i = n % sizeof(regs);
		if (n % 1000 == 0) {
			out(0, RTC_INDEX_PORT, RTC_REG_B);
			out(0, RTC_DATA_PORT, formats[n / 1000 % 4]);
		}
		if (n % 20011 == 0)
			sim_now += 7654 * IOFILTER_NSEC_PER_SEC;
		sim_now += 97000;
		answered = byte(0, regs[i]);
		frac = rtc_now(&sim.device) % IOFILTER_NSEC_PER_SEC;
		/* Not within an update, which begins before the second. */
		if (answered && frac > IOFILTER_NSEC_PER_SEC - RTC_UIP_NS)
			sim_fail("answered %llu ns before a second", IOFILTER_NSEC_PER_SEC - frac);
		wanted += !answered && frac > 50000 && frac < IOFILTER_NSEC_PER_SEC - RTC_UIP_NS - 50000;
		answers += answered;
		if (rtc_now(&sim.device) / IOFILTER_NSEC_PER_SEC % RTC_SECONDS_PER_DAY == 0)
			publish();
	}
	/* Over midnight it is the VMM's turn. */
	WANT(answers > 100000 && wanted < answers);
	publish();
	byte(0, 0);
	WANT(byte(0, 0));
	/* Held by SET. */
	out(0, RTC_INDEX_PORT, RTC_REG_B);
	out(0, RTC_DATA_PORT, RTC_B_SET);
	WANT(!byte(0, 0));
	WANT(!byte(0, 0));
}

/* What is wrong in it, if anything, is found at the next look: no half of a publication is ever answered. */
static void publishing(void)
{
	sim_begin(1);
	sim.cooperates = true;
	publish();
	sim_now += 100 * MS;
	WANT(byte(0, 0));
	iofilter_rtc_begin(&rtc.time);
	WANT(!byte(0, 0));
	iofilter_rtc_end(&rtc.time);
	WANT(byte(0, 0));
	iofilter_rtc_withdraw(&rtc);
	WANT(!byte(0, 0));
	sim_now += 1000 * MS;
	publish();
	sim_now += 100 * MS;
	WANT(byte(0, 0));
}

/* The last day of a year, at its end. */
static void midnight(void)
{
	u64 second;
	int i;

	sim_begin(1);
	sim.cooperates = true;
	rtc_power_on(&sim.device, 1704067199 - 3); /* 2023-12-31 23:59:56 */
	publish();
	sim_now += 50 * MS;
	for (i = 0; i < 60; i++) {
		sim_now += 100 * MS;
		second = rtc_now(&sim.device) / IOFILTER_NSEC_PER_SEC;
		WANT(byte(0, RTC_YEAR) == (second < 1704067200));
	}
	publish();
	WANT(byte(0, RTC_YEAR) && GOT == 0x24);
}

/* Saved, and restored elsewhere: what was written or changed last, and nobody has told the filter, must not come back. */
static void restored(void)
{
	u32 i;

	for (i = 0; i < 8; i++) {
		known(1);
		WANT(byte(0, 0x20));
		out(0, RTC_INDEX_PORT, 0x20);
		out(0, RTC_DATA_PORT, 0x99);
		sim_save(1000 * IOFILTER_NSEC_PER_SEC, i & 1, i & 2, i & 4);
		byte(0, 0x20);
		WANT(GOT == 0x99);
		byte(0, 0x20);
		WANT(byte(0, 0x20) && GOT == 0x99);
		known(1);
		WANT(byte(0, 0x10));
		sim_pause(200 * US, RESET, i & 1);
		sim_save(1000 * IOFILTER_NSEC_PER_SEC, i & 1, i & 2, i & 4);
		byte(0, 0x10);
		WANT(GOT == sim.device.cmos[0x10]);
		/* The pair's index is lost. */
		known(1);
		out(0, RTC_INDEX_PORT, 0x20);
		sim_save(1000 * IOFILTER_NSEC_PER_SEC, i & 1, i & 2, i & 4);
		WANT(!in(0) && GOT == sim.device.cmos[0x20]);
	}
}

static const struct { const char *name; void (*run)(void); } cases[] = {
	{ "registers", registers },
	{ "written", written },
	{ "expiry", expiry },
	{ "changed by others", changed },
	{ "stopped, loaded, reset", reset },
	{ "whose index", index_of_whom },
	{ "others need not wait", not_busy },
	{ "words and strings", wide },
	{ "a ring that is full, and none", ring },
	{ "a time that is published", published },
	{ "published at this moment", publishing },
	{ "midnight", midnight },
	{ "saved and restored", restored },
};

#include "rtcguest.h"

static int restore_mutants(void)
{
	return programs(20000, true);
}

int main(void)
{
	static const struct sim_mutant rows[] = {
		SIM_MUTANT(RTC_AGAIN) SIM_MUTANT(RTC_VERSION) SIM_MUTANT(RTC_AGE) SIM_MUTANT(RTC_AWAY) SIM_MUTANT(TAKEN)
		SIM_MUTANT(RTC_OVERTAKEN) SIM_MUTANT(RTC_BUSY) SIM_MUTANT(RTC_OTHERS) SIM_MUTANT(RTC_FORGET) SIM_MUTANT(EXITS)
	};

	static const struct restore_spared spared[] = {
		{}
	};

	return sim_main(rows, sizeof(rows) / sizeof(rows[0]), 20) || registers_mutants("rtc", restore_mutants, spared);
}
