// SPDX-License-Identifier: GPL-2.0
/*
 * What must come of an access, step by step, through the module's two files and a program. Rows in the order of their times, us.
 * One vCPU is in the guest, in the kernel or in the VMM, as its rows say; the VMM's clock and the host's agree (O = 0) at first.
 *
 * T18 to T20 are about the PIT's bytes and modes; they come with that device.
 */
#include <stdio.h>
#include "chain/cases.h"

/* Names: A is vCPU 0, B is 1, C is 2. */
#define A 0
#define B 1
#define C 2
#define IN(v, t)	  { T_READ, v, t, .expect = T_ANSWER }
#define AT_LEAST(v, t, l) { T_READ, v, t, .expect = T_ANSWER, .lo = l }
#define OUT(v, t)	  { T_READ, v, t, .expect = T_PUNT }
#define SLEEPS(v, t, l, h) { T_READ, v, t, .expect = T_PUNT, .delay_lo = l, .delay_hi = h }
#define ANY(v, t)	  { T_READ, v, t }
#define DRAWN(v, t)	  { T_DRAWN, v, t }
#define VMM(v, t)	  { T_VMM, v, t }
#define GOT(v, t)	  { T_GOT, v, t }
#define TRIP(v, t)	  { T_TRIP, v, t }
#define USER(v, t)	  { T_USER, v, t }
#define BACK(v, t)	  { T_BACK, v, t }
#define CLOCK(op, time)	  { op, .t = time }
#define JUMP(op, time, j) { op, .t = time, .jump = j }
#define CHECK(what, l, h) { T_CHECK, .n = CHECK_##what, .lo = l, .delay_hi = h }
#define HOT(v, t, reads)  { T_HOT, v, t, .n = reads }

const struct chain_case chain_cases[] = {
	{ "T1 B is answered no less than what A has consumed", 2, 0, {
		DRAWN(A, 100), VMM(A, 102.9), GOT(A, 103), AT_LEAST(B, 104, 102.9) } },
	{ "T2 an answer still in the VMM holds nobody up", 2, 0, { DRAWN(A, 100), VMM(A, 102), AT_LEAST(B, 104, 95) } },
	{ "T3 an answer overwritten by another device's: all punt until a newer one is settled", 3, 0, {
		DRAWN(A, 100), VMM(A, 102), GOT(A, 103), USER(A, 103.2), BACK(A, 103.7), OUT(B, 105), OUT(C, 105.5), VMM(B, 106),
		VMM(C, 106), GOT(C, 107), AT_LEAST(A, 108, 106) } },
	{ "T3 .. newer than that, whatever else is settled meanwhile", 4, 0, {
		DRAWN(B, 99), VMM(B, 100), DRAWN(A, 100.5), VMM(A, 108), GOT(A, 108.2), USER(A, 108.4), BACK(A, 108.6), OUT(C, 109),
		GOT(B, 109.5), OUT(3, 110) } },
	{ "T4 while another vCPU settles: A punts, and nobody is answered until it is known that an answer was lost", 3, 0, {
		DRAWN(A, 100), VMM(A, 102), GOT(A, 103), CLOCK(T_LOCK, 103.5), OUT(A, 104), CLOCK(T_UNLOCK, 104.5), OUT(B, 105),
		VMM(B, 106), GOT(B, 107), AT_LEAST(B, 108, 106) } },
	{ "T4 nor is anybody else meanwhile", 2, 0, { DRAWN(A, 100), VMM(A, 102), GOT(A, 103), CLOCK(T_LOCK, 103.5), OUT(B, 104) } },
	{ "T5 a proof that has expired is not answered from", 1, 0, { IN(A, 10), OUT(A, 20000) } },
	{ "T6 after an absence A sleeps first, at most two expiries", 1, 0, {
		IN(A, 1500), { T_RETURN, A, 1600 }, SLEEPS(A, 20000, 1400, 4000) } },
	{ "T7 out for another device, stopped for 3 ms, no sign but KVM_RUN's returns", 1, 0, {
		IN(A, 10), USER(A, 20), CLOCK(T_FREEZE, 25), CLOCK(T_THAW, 1825), BACK(A, 1826), OUT(A, 1830), VMM(A, 1831), GOT(A, 1832),
		ANY(A, 1833), CHECK(MOVES, 1, 1) } },
	{ "T7 somebody sets the VM's clock, the vCPU goes on", 1, 0, { IN(A, 10), CLOCK(T_KVMCLOCK, 200), OUT(A, 300) } },
	{ "T8 a punt that was held up for longer than the VM was stopped confirms nothing", 1, 0, {
		IN(A, 10), USER(A, 20), CLOCK(T_FREEZE, 25), CLOCK(T_THAW, 325), BACK(A, 326), OUT(A, 330), VMM(A, 1500), GOT(A, 1502),
		OUT(A, 1510) } },
	{ "T8 .. and one that took as long as the VM is stopped next leaves no bounds to those after it", 1, 0, {
		IN(A, 10), USER(A, 20), CLOCK(T_FREEZE, 25), CLOCK(T_THAW, 1025), BACK(A, 1026), OUT(A, 1030), VMM(A, 1500), GOT(A, 3000),
		OUT(A, 3001), VMM(A, 3002), USER(A, 3003), CLOCK(T_FREEZE, 3005), CLOCK(T_THAW, 4507), BACK(A, 4508), OUT(A, 4520),
		VMM(A, 9000), GOT(A, 9002), OUT(A, 9005), VMM(A, 9007), GOT(A, 9009), ANY(A, 9010), VMM(A, 9012), GOT(A, 9014),
		IN(A, 9015), CHECK(MOVES, 1, 1) } },
	{ "T9 frozen at 1000, answered until 1150, kicked, resumed at 9000", 2, 0, {
		TRIP(B, 990), IN(B, 995), CLOCK(T_FREEZE, 1000), AT_LEAST(B, 1150, 1140), USER(B, 1160), CLOCK(T_THAW, 9000), BACK(B, 9001),
		SLEEPS(B, 9002, 145, 250), VMM(B, 9003), GOT(B, 9010) } },
	{ "T10 an audit hits the clock that stands", 2, 0, {
		TRIP(B, 990), IN(B, 995), CLOCK(T_FREEZE, 1000), IN(B, 1060), DRAWN(A, 1061), VMM(A, 1062), GOT(A, 1063), { T_READ, A, 1070, .expect = T_PUNT, .delay_lo = 40, .delay_hi = 70 },
		USER(A, 1400), USER(B, 1400), CLOCK(T_THAW, 9000), BACK(A, 9001), BACK(B, 9001), ANY(B, 9005), VMM(B, 9006),
		GOT(B, 9400), ANY(B, 9410), ANY(A, 9411) } },
	{ "T10 and at once the next one: what was answered is not forgotten", 2, 0, {
		TRIP(B, 990), IN(B, 995), CLOCK(T_FREEZE, 1000), IN(B, 1400), TRIP(A, 1410), TRIP(A, 1440), { T_READ, B, 1450, .expect = T_PUNT, .delay_lo = 300, .delay_hi = 500 } } },
	{ "T11 a snapshot of an hour ago", 2, 0, {
		IN(B, 50), USER(A, 60), USER(B, 60), CLOCK(T_FREEZE, 70), JUMP(T_THAW, 1000, -100e6), BACK(A, 1001), BACK(B, 1001), OUT(A, 1002),
		VMM(A, 6000), GOT(A, 6002), ANY(A, 6003), CHECK(MOVES, 1, 1), CHECK(PROOF, 1, 1) } },
	{ "T11 a snapshot of a second on, its clock set", 2, 0, {
		IN(B, 50), USER(A, 60), USER(B, 60), CLOCK(T_FREEZE, 70), JUMP(T_THAW, 1000, 1e6), CLOCK(T_KVMCLOCK, 1000), BACK(A, 1001),
		BACK(B, 1001), OUT(A, 1002), VMM(A, 6000), GOT(A, 6002), ANY(A, 6003), CHECK(MOVES, 1, 1), CHECK(PROOF, 1, 1) } },
	{ "T12 a punt that was open when a snapshot was loaded is lost, not folded in", 2, 0, {
		DRAWN(A, 100), VMM(A, 102), USER(A, 103), CLOCK(T_FREEZE, 110), JUMP(T_THAW, 1000, 2e6), BACK(A, 1001), OUT(A, 1002),
		CHECK(LOST, 1, 1), CHECK(MOVES, 0, 0) } },
	{ "T13 24 bits after 4.7 s, 60 s and 600 s of silence", 1, 0, {
		OUT(A, 4.7e6), VMM(A, 4.7e6 + 2), GOT(A, 4.7e6 + 4), AT_LEAST(A, 4.7e6 + 5, 4.7e6), OUT(A, 60e6), VMM(A, 60e6 + 2),
		GOT(A, 60e6 + 4), AT_LEAST(A, 60e6 + 5, 60e6), OUT(A, 600e6), VMM(A, 600e6 + 2), GOT(A, 600e6 + 4),
		AT_LEAST(A, 600e6 + 5, 600e6) } },
	{ "T14 a pause of one wrap: nothing has moved", 1, 0, {
		IN(A, 10), USER(A, 20), CLOCK(T_FREEZE, 25), CLOCK(T_THAW, 25 + 4686969.22), BACK(A, 4.7e6), OUT(A, 4.7e6 + 1), VMM(A, 4.71e6),
		GOT(A, 4.71e6 + 2), TRIP(A, 4.72e6), IN(A, 4.72e6 + 6), CHECK(MOVES, 0, 0) } },
	{ "T15 a signal every 100 us and less is no absence", 1, 0, {
		IN(A, 10), { T_RETURN, A, 50 }, IN(A, 100), { T_RETURN, A, 150 }, IN(A, 190), { T_RETURN, A, 200 }, IN(A, 280) } },
	{ "T17 stopped at any step of an answer, while the clock moves back by 300 us", 3, 0, {
		IN(B, 900), IN(C, 901), { T_STOP, B, 950, .jump = -300 }, ANY(A, 1005), ANY(C, 1010), ANY(C, 1400) } },
	{ "T17 stopped at any step of settling A, which goes out for another device", 2, 0, {
		DRAWN(A, 100), VMM(A, 102), GOT(A, 103), { T_STOP, A, 103.5 }, ANY(B, 104.015), ANY(B, 104.02) } },
	{ "T22 attached while A is in the VMM", 2, 0, {
		{ T_GONE, A, 5000 }, CLOCK(T_ATTACH, 5500), HOT(B, 5600, 60), OUT(B, 9000), VMM(A, 9001), VMM(B, 9002), GOT(B, 9003), OUT(B, 9005),
		GOT(A, 9006), VMM(B, 9007), GOT(B, 9008), HOT(B, 9010, 10), IN(B, 9150) } },
	{ "T22 attached while A is on its last steps out of the kernel", 2, 0, {
		{ T_LEAVING, A, 5000 }, CLOCK(T_ATTACH, 5500), HOT(B, 5600, 60), OUT(B, 9000) } },
	{ "T22 attached: an answer consumed just before counts as lost", 2, 0, {
		{ T_GONE, A, 5000 }, VMM(A, 5002), GOT(A, 5003), CLOCK(T_ATTACH, 5004), OUT(B, 5005), CHECK(LOST, 1, 1) } },
	{ "being updated: nobody settles, nobody is answered", 1, 0, {
		IN(A, 5), CLOCK(T_HOLD, 10), DRAWN(A, 100), VMM(A, 102), GOT(A, 103), OUT(A, 110), CHECK(SAMPLES, 0, 0) } },
	{ "three matches make the first proof", 1, 0, {
		{ T_GONE, A, 4990 }, VMM(A, 4991), GOT(A, 4992), CLOCK(T_ATTACH, 5000), HOT(A, 5100, 2), OUT(A, 5120), VMM(A, 5122),
		GOT(A, 5124), IN(A, 5130) } },
	{ "one has slept until the VMM caught up: the others need not", 2, 0, {
		IN(A, 1500), IN(B, 1501), { T_RETURN, A, 1600 }, { T_RETURN, B, 1600 }, SLEEPS(A, 3000, 100, 4000), VMM(A, 3001),
		GOT(A, 3002), CLOCK(T_LOCK, 3002.5), OUT(A, 3003), CLOCK(T_UNLOCK, 3003.5), SLEEPS(B, 3004, 0, 0.001) } },
	{ "ten punts that are still in the VMM hold nobody up", 12, 0, {
		DRAWN(0, 100), DRAWN(1, 100), DRAWN(2, 100), DRAWN(3, 100), DRAWN(4, 100), DRAWN(5, 100), DRAWN(6, 100), DRAWN(7, 100),
		DRAWN(8, 100), DRAWN(9, 100), IN(10, 101) } },
	{ "a clock that stands moves with every sample, and that is one move for the fuse", 1, 0, {
		TRIP(A, 990), ANY(A, 995), CLOCK(T_FREEZE, 1000), { T_TRIPS, A, 1010, .n = 12 }, CHECK(PROOF, 1, 1) } },
	{ "an expired proof: one is drawn to audit, the others go on", 3, 0, { IN(A, 100), IN(B, 101), IN(C, 102), OUT(A, 2150), IN(B, 2151), IN(C, 2152) } },
	{ "100 ns between two clocks are no move", 1, 1, {
		DRAWN(A, 100), VMM(A, 100), GOT(A, 100), DRAWN(A, 100), JUMP(T_MOVE, 101, 0.06), VMM(A, 101), GOT(A, 101), DRAWN(A, 102),
		VMM(A, 102), GOT(A, 102), ANY(A, 102), CHECK(MOVES, 0, 0) } },
	{ "a value that does not fit, seen from another thread, is no sample", 2, 0, {
		DRAWN(A, 100), VMM(A, 102), GOT(A, 103), { T_TORN, A, 103.5, .jump = -1000 }, OUT(B, 104), CHECK(MOVES, 0, 0) } },
	{ "of a string's elements only the first is seen: lost", 2, 0, { { T_STRING, A, 100 }, OUT(B, 111), CHECK(LOST, 1, 1) } },
	{ "T21 64 bits, read whole across 0x1_ffffffff by filter and VMM in turn", 2, 1, {
		TRIP(A, 92), IN(B, 97), TRIP(A, 98), IN(B, 102.5), TRIP(B, 103), IN(A, 110), CHECK(MOVES, 0, 0) } },
	{ "T23 steps of the host's clock are no move", 1, 0, { IN(A, 10), JUMP(T_STEP, 20, 1), TRIP(A, 1500), JUMP(T_STEP, 1600, 5), TRIP(A, 1800),
		IN(A, 1810), CHECK(MOVES, 0, 0) } },
	{ "two vCPUs that read by turns are proven, and again after a pause", 2, 0, {
		{ T_GONE, A, 4990 }, VMM(A, 4991), GOT(A, 4992), CLOCK(T_ATTACH, 5000), { T_TURNS, A, 5010, .n = 12 }, CHECK(PROOF, 1, 1),
		USER(A, 5300), USER(B, 5300), CLOCK(T_FREEZE, 5310), CLOCK(T_THAW, 7000), BACK(A, 7001), BACK(B, 7001),
		{ T_TURNS, A, 7010, .n = 12 }, CHECK(MOVES, 1, 1), CHECK(PROOF, 1, 1), IN(A, 7500) } },
	{ "T24 100 ppm off: the fuse blows within 2 s", 1, 0, { JUMP(T_WRONG, 10, 100), HOT(A, 20, 200000), CHECK(PROOF, 2, 2) } },
	{ NULL },
};

int main(void)
{
	const struct chain_case *c;
	int failed = 0, n = 0;
	char why[400];

	for (c = chain_cases; c->name; c++, n++)
		if (!chain_case_holds(c, why, sizeof(why))) {
			printf("FAIL %s: %s\n", c->name, why);
			failed++;
		}
	printf("# %d cases, %d failed\n", n, failed);
	return failed != 0;
}
