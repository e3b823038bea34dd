/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two loops that Alan Cox's scheme was made for, as rules and traces: a driver that polls an IDE disk, where a trap for
 * the command brings back a prediction, and one that sets up a serial port and waits for it, which the rules alone follow. Each
 * clause of the scheme has a rule here, and a step that shows it. host/table_cox.c leaves them out one by one; vm/table_cox.c
 * runs the traces on KVM.
 */
#ifndef SELFTESTS_TABLECOX_H
#define SELFTESTS_TABLECOX_H

#include <iofilter/table_vmm.h>

/* C(): an enum and names from one list. */
#define COX_CLAUSES(C) \
	C(BUS, "bus") C(DIRECTION, "direction") C(ADDRESS, "address") C(WIDTH, "width") C(GROUPS, "groups of addresses") \
	C(MASK1, "state bits that must be 1") C(MASK0, "state bits that must be 0") C(READ_MASK, "reads under the same conditions") \
	C(TRANSITION, "a transition traps") C(TRANSITION_MASK, "the transition mask") \
	C(AND, "merging: and") C(OR, "merging: or") C(SLOT, "reads answer from a slot") C(OVERLAP, "slots overlap") \
	C(SET, "state update: or") C(CLEAR, "state update: and") \
	C(REPEAT, "repeat") C(REPEAT_END, "N bytes, then trap") C(REWIND, "a buffer begins anew") \
	C(PREDICTION, "a prediction is loaded on a trap") C(PREDICT_BUFFER, "a buffer in it") C(PREDICT_CONDITION, "its conditions") \
	C(MISMATCH_ADDRESS, "mismatch: address") C(MISMATCH_WIDTH, "mismatch: width") C(MISMATCH_VALUE, "mismatch: value") \
	C(MISMATCH_DIRECTION, "mismatch: direction") C(DROP, "the first mismatch drops the rest") C(PUNT, "and punts")

enum cox_clause {
#define COX_ENUM(name, text) COX_##name,
	COX_CLAUSES(COX_ENUM)
	COX_NR_CLAUSES,
};

/* What the VMM does when the access comes to it. */
enum cox_vmm { COX_IGNORE, COX_READ_COMMAND, COX_LISTED, COX_CONDITIONS, COX_BUSY, COX_READY };

struct cox_step {
	enum cox_clause clause;
	char op; /* 'r', 'w'; 'R', 'W': it must come to the VMM */
	__u8 width;
	__u64 addr, val; /* of the write, or the answer */
	__u32 count; /* above 1: a string, whose answer @data has */
	const __u8 *data;
	enum cox_vmm vmm;
};

struct cox_loop {
	const char *name, *rules;
	const struct cox_step *steps;
	int nr;
};

#define COX_MMIO 0xfed80000ULL
#define COX_PUNTED 0xa5a5a5a5U /* the VMM's answer to whatever comes to it */
#define COX_DATA 64

static const __u8 cox_ident[16] = {
	0x5a, 0x04, 0xff, 0x3f, 0x37, 0xc8, 0x10, 0x00, 0x00, 0x11, 0x22, 0x33, 0x3f, 0x00, 0x01, 0x80,
};
static __u8 cox_data[COX_DATA];

/* What a driver does to read a disk by PIO. Bit names are in the order of the state bits: busy is 1, drq 2. */
static const char cox_disk_rules[] =
	"table disk\n"
	"ports ide 0x1f0-0x1f7\n"
	"ports control 0x3f6 exact\n"
	"memory other 0xfed801f0-0xfed801f7   # another device, at addresses that end alike\n"
	"bit busy = 0\n"
	"bit drq\n"
	"slot task                            # registers 2 to 5, at the same bytes of it\n"
	"slot head\n"
	"slot mode\n"
	"slot elsewhere\n"
	"buffer ident = 5a 04 ff 3f 37 c8 10 00 00 11 22 33 3f 00 01 80\n"
	"write ide+2 b      if !busy  take task.b+2\n"
	"write ide+3 b      if !busy  take task.b+3\n"
	"write ide+4 b      if !busy  take task.b+4\n"
	"write ide+5 b      if !busy  take task.b+5\n"
	"write ide+2 w      if !busy  take task.w+2\n"
	"read  ide+2 b      if !busy  answer task.b+2\n"
	"read  ide+2 w      if !busy  answer task.w+2\n"
	"read  ide+2 l      if !busy  answer task.l+2\n"
	"write ide+6 b      if !busy  take head and 0xef or 0xa0    # one drive only, and bits that are always 1\n"
	"read  ide+6 b      if !busy  answer head\n"
	"write ide+7 b      if !busy  trap 0x20/0xe0  take set drq rewind ident\n"
	"read  ide+7 b      if busy   answer 0xd0\n"
	"read  ide+7 b      if drq    answer 0x58\n"
	"read  ide+7 b      answer 0x50\n"
	"read  ide+0 w      if drq,!busy  repeat ident\n"
	"write control b    trap 0x04/0x04  take mode clear drq\n"
	"read  control b    answer mode\n"
	"write other+6 b    take elsewhere\n"
	"read  other+6 b    answer elsewhere\n";

#define COX_RD(clause, width, addr, val) { COX_##clause, 'r', width, addr, val, 1, NULL, COX_IGNORE }
#define COX_WR(clause, width, addr, val) { COX_##clause, 'w', width, addr, val, 1, NULL, COX_IGNORE }
#define COX_STRING(clause, width, addr, count, data) { COX_##clause, 'r', width, addr, 0, count, data, COX_IGNORE }
#define COX_RD_TRAPS(clause, width, addr, vmm) { COX_##clause, 'R', width, addr, COX_PUNTED, 1, NULL, COX_##vmm }
#define COX_WR_TRAPS(clause, width, addr, val, vmm) { COX_##clause, 'W', width, addr, val, 1, NULL, COX_##vmm }

static const struct cox_step cox_disk_steps[] = {
	/* The drive is selected as often as the driver likes. */
	COX_WR(DIRECTION, 1, 0x1f6, 0x00),
	COX_WR(AND, 1, 0x1f6, 0x51),
	COX_RD(AND, 1, 0x1f6, 0xe1),
	COX_WR(OR, 1, 0x1f6, 0x42),
	COX_RD(OR, 1, 0x1f6, 0xe2),
	COX_RD(DIRECTION, 1, 0x1f6, 0xe2),
	COX_WR(BUS, 1, COX_MMIO + 0x1f6, 0x33),
	COX_RD(BUS, 1, 0x1f6, 0xe2),
	COX_RD(BUS, 1, COX_MMIO + 0x1f6, 0x33),

	/* The registers of a command, of which a part is written as one word. */
	COX_WR(ADDRESS, 1, 0x1f4, 0x44),
	COX_WR(ADDRESS, 1, 0x1f5, 0x55),
	COX_WR(SLOT, 1, 0x1f2, 0x99),
	COX_RD(SLOT, 1, 0x1f2, 0x99),
	COX_WR(OVERLAP, 2, 0x1f2, 0x3322),
	COX_RD(OVERLAP, 1, 0x1f2, 0x22),
	COX_RD(OVERLAP, 4, 0x1f2, 0x55443322),
	COX_WR(OVERLAP, 1, 0x1f3, 0x03),
	COX_RD(WIDTH, 2, 0x1f2, 0x0322),
	COX_RD(SLOT, 4, 0x1f2, 0x55440322),
	COX_RD_TRAPS(WIDTH, 4, 0x1f6, IGNORE),
	COX_RD_TRAPS(WIDTH, 2, 0x1f7, IGNORE),
	COX_RD_TRAPS(ADDRESS, 1, 0x1f3, IGNORE),

	/* A command that the table knows: what the drive is, by 2 bytes and as a string. */
	COX_RD(MASK1, 1, 0x1f7, 0x50),
	COX_RD_TRAPS(READ_MASK, 2, 0x1f0, IGNORE),
	COX_WR(SET, 1, 0x1f7, 0xec),
	COX_RD(SET, 1, 0x1f7, 0x58),
	COX_RD(REPEAT, 2, 0x1f0, 0x045a),
	COX_RD(REPEAT, 2, 0x1f0, 0x3fff),
	COX_STRING(REPEAT, 2, 0x1f0, 6, cox_ident + 4),
	COX_RD_TRAPS(REPEAT_END, 2, 0x1f0, IGNORE),
	COX_WR(REWIND, 1, 0x1f7, 0xec),
	COX_STRING(REWIND, 2, 0x1f0, 3, cox_ident),
	COX_WR(CLEAR, 1, 0x3f6, 0x0a),
	COX_RD(GROUPS, 1, 0x3f6, 0x0a),
	COX_RD(CLEAR, 1, 0x1f7, 0x50),
	COX_RD_TRAPS(CLEAR, 2, 0x1f0, IGNORE),
	COX_WR_TRAPS(TRANSITION, 1, 0x3f6, 0x0e, IGNORE),

	/* Commands that trap: 0x20 to 0x3f. The VMM takes the registers, and says all that the driver is going to do. */
	COX_WR_TRAPS(TRANSITION, 1, 0x1f7, 0x20, READ_COMMAND),
	COX_RD(PREDICTION, 1, 0x1f7, 0x5c),
	COX_RD(PREDICT_BUFFER, 2, 0x1f0, 0x0700),
	COX_STRING(PREDICT_BUFFER, 2, 0x1f0, COX_DATA / 2 - 1, cox_data + 2),
	COX_RD(PREDICTION, 1, 0x3f6, 0x51),
	COX_WR(PREDICTION, 1, 0x1f6, 0xe7),
	COX_RD(PREDICTION, 1, 0x1f7, 0x53),
	COX_RD(PREDICTION, 1, 0x1f7, 0x50), /* by the rule again */

	/* Each with the first that comes otherwise. What a rule would answer goes to the VMM, and what comes then is the rules'. */
	COX_WR_TRAPS(TRANSITION_MASK, 1, 0x1f7, 0x3f, LISTED),
	COX_RD_TRAPS(MISMATCH_ADDRESS, 1, 0x1f6, IGNORE),
	COX_RD(DROP, 1, 0x1f7, 0x50),
	COX_WR_TRAPS(TRANSITION_MASK, 1, 0x1f7, 0x24, LISTED),
	COX_RD_TRAPS(MISMATCH_WIDTH, 2, 0x1f7, IGNORE),
	COX_RD(DROP, 1, 0x1f7, 0x50),
	COX_WR_TRAPS(TRANSITION_MASK, 1, 0x1f7, 0x25, LISTED),
	COX_WR_TRAPS(MISMATCH_DIRECTION, 1, 0x1f7, 0x11, IGNORE),
	COX_WR_TRAPS(TRANSITION, 1, 0x1f7, 0x20, LISTED),
	COX_RD(PREDICTION, 1, 0x1f7, 0x11),
	COX_WR_TRAPS(MISMATCH_VALUE, 1, 0x1f6, 0xe8, IGNORE),
	COX_RD_TRAPS(MISMATCH_VALUE, 1, 0x1f7, IGNORE), /* a write that no rule followed */
	COX_WR_TRAPS(TRANSITION, 1, 0x1f7, 0x20, LISTED),
	COX_RD(PREDICTION, 1, 0x1f7, 0x11),
	COX_RD_TRAPS(PUNT, 1, 0x1f7, IGNORE),

	/* Some of it holds only while the state is so. */
	COX_WR_TRAPS(TRANSITION, 1, 0x1f7, 0x29, CONDITIONS),
	COX_RD(PREDICT_CONDITION, 1, 0x1f7, 0x21),
	COX_RD_TRAPS(PREDICT_CONDITION, 1, 0x1f7, IGNORE),

	/* A drive at work: the driver polls in the kernel, and may not touch the registers until the VMM says so. */
	COX_WR_TRAPS(TRANSITION, 1, 0x1f7, 0x30, BUSY),
	COX_RD(MASK1, 1, 0x1f7, 0xd0),
	COX_RD(MASK1, 1, 0x1f7, 0xd0),
	COX_WR_TRAPS(MASK0, 1, 0x1f6, 0x00, IGNORE),
	COX_WR_TRAPS(MASK0, 1, 0x1f7, 0xec, IGNORE),
	COX_RD_TRAPS(READ_MASK, 1, 0x1f6, IGNORE),
	COX_RD_TRAPS(GROUPS, 1, 0x1f1, READY),
	COX_RD(MASK1, 1, 0x1f7, 0x50),
	COX_WR(MASK0, 1, 0x1f6, 0x04),
	COX_RD(MASK0, 1, 0x1f6, 0xa4),
};

/* A 16550A: a divisor behind a bit of the line control register, other registers, and a transmitter that only the VMM knows. */
static const char cox_serial_rules[] =
	"table serial\n"
	"ports com 0x3f8-0x3ff\n"
	"memory com2 0xfed803f8-0xfed803ff\n"
	"bit full = 0\n"
	"bit dlab\n"
	"slot divisor\n"
	"slot ier\n"
	"slot lcr\n"
	"slot mcr\n"
	"slot scratch\n"
	"slot scratch2\n"
	"write com+3 b   if !dlab  trap 0x00/0x80  take lcr set dlab              # one that does not open it is the VMM's\n"
	"write com+3 b   if dlab   trap 0x80/0x80  take lcr and 0x3f clear dlab\n"
	"read  com+3 b   answer lcr\n"
	"write com+0 b   if dlab   take divisor.b\n"
	"write com+1 b   if dlab   take divisor.b+1\n"
	"write com+0 w   if dlab   take divisor.w\n"
	"read  com+0 w   if dlab   answer divisor.w\n"
	"read  com+1 b   if dlab   answer divisor.b+1\n"
	"write com+1 b   if !dlab  take ier and 0x0f\n"
	"read  com+1 b   if !dlab  answer ier\n"
	"write com+4 b   take mcr and 0x0f or 0x08\n"
	"read  com+4 b   answer mcr\n"
	"read  com+5 b   if full   answer 0x00\n"
	"read  com+5 b   if !full  answer 0x60\n"
	"write com+7 b   take scratch\n"
	"read  com+7 b   answer scratch\n"
	"write com2+7 b  take scratch2\n"
	"read  com2+7 b  answer scratch2\n";

static const struct cox_step cox_serial_steps[] = {
	COX_WR(SLOT, 1, 0x3ff, 0x5a),
	COX_RD(SLOT, 1, 0x3ff, 0x5a),
	COX_WR(BUS, 1, COX_MMIO + 0x3ff, 0x77),
	COX_RD(BUS, 1, 0x3ff, 0x5a),
	COX_RD(BUS, 1, COX_MMIO + 0x3ff, 0x77),
	COX_RD_TRAPS(GROUPS, 1, 0x3fa, IGNORE),
	COX_WR(MASK0, 1, 0x3f9, 0xff),
	COX_RD(AND, 1, 0x3f9, 0x0f),
	COX_RD_TRAPS(READ_MASK, 2, 0x3f8, IGNORE),
	COX_WR(SET, 1, 0x3fb, 0x83),
	COX_WR(MASK1, 1, 0x3f8, 0x0c),
	COX_WR(MASK1, 1, 0x3f9, 0x01),
	COX_RD(OVERLAP, 2, 0x3f8, 0x010c),
	COX_WR(OVERLAP, 2, 0x3f8, 0x0203),
	COX_RD(READ_MASK, 1, 0x3f9, 0x02),
	COX_WR_TRAPS(TRANSITION, 1, 0x3fb, 0xc3, IGNORE),
	COX_WR_TRAPS(MASK1, 1, 0x3f8, 0x01, IGNORE), /* whether it is open is not known any more */
	COX_WR_TRAPS(MASK1, 1, 0x3fb, 0x03, READY), /* but the VMM knows */
	COX_WR(SET, 1, 0x3fb, 0x83),
	COX_WR(CLEAR, 1, 0x3fb, 0x03),
	COX_RD(CLEAR, 1, 0x3fb, 0x03),
	COX_RD_TRAPS(CLEAR, 2, 0x3f8, IGNORE),
	COX_WR(MASK0, 1, 0x3f9, 0x01),
	COX_RD(READ_MASK, 1, 0x3f9, 0x01),
	COX_WR(OR, 1, 0x3fc, 0xe3),
	COX_RD(OR, 1, 0x3fc, 0x0b),
	/* The loop: a character, and until it is out. */
	COX_RD(MASK0, 1, 0x3fd, 0x60),
	COX_WR_TRAPS(MASK1, 1, 0x3f8, 'x', BUSY),
	COX_RD(MASK1, 1, 0x3fd, 0x00),
	COX_RD(MASK1, 1, 0x3fd, 0x00),
	COX_RD_TRAPS(ADDRESS, 1, 0x3fe, READY),
	COX_RD(MASK0, 1, 0x3fd, 0x60),
};

#define COX_NR(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct cox_loop cox_loops[] = {
	{ "an IDE disk, polled", cox_disk_rules, cox_disk_steps, COX_NR(cox_disk_steps) },
	{ "a serial port", cox_serial_rules, cox_serial_steps, COX_NR(cox_serial_steps) },
};

static inline void cox_init(void)
{
	for (int i = 0; i < COX_DATA; i++)
		cox_data[i] = i * 7;
}

#define COX_SAYS_READ(a, w, v, ...)  { .op = TABLE_READ, .addr = a, .width = w, .value = v, ##__VA_ARGS__ }
#define COX_SAYS_WRITE(a, w, v, ...) { .op = TABLE_WRITE, .addr = a, .width = w, .value = v, ##__VA_ARGS__ }

/* Return: NULL, or what the VMM finds wrong. */
static inline const char *cox_vmm(struct iofilter_table *t, enum cox_vmm what)
{
	static const struct table_expect whole[] = {
		COX_SAYS_READ(0x1f7, 1, 0x5c),
		COX_SAYS_READ(0x1f0, 2, 0, .bytes = COX_DATA),
		COX_SAYS_READ(0x3f6, 1, 0x51),
		COX_SAYS_WRITE(0x1f6, 1, 0xe7),
		COX_SAYS_READ(0x1f7, 1, 0x53),
	}, listed[] = {
		COX_SAYS_READ(0x1f7, 1, 0x11),
		COX_SAYS_WRITE(0x1f6, 1, 0xe7),
		COX_SAYS_READ(0x1f7, 1, 0x12),
	}, conditions[] = {
		COX_SAYS_READ(0x1f7, 1, 0x21, .must0 = 1),
		COX_SAYS_READ(0x1f7, 1, 0x22, .must1 = 1),
	};
	const char *wrong = NULL;
	__u64 val;

	if (what == COX_IGNORE)
		return NULL;
	if (iofilter_table_enter(t))
		return "an access is under way";
	switch (what) {
	case COX_READ_COMMAND:
		if (iofilter_table_take(t, 0, &val) != 0x3c || (val >> 16 & 0xffffffff) != 0x55440322)
			wrong = "the VMM does not get the registers";
		if (iofilter_table_take(t, 8, &val) != 1 || (val & 0xff) != 0xe2)
			wrong = "the VMM does not get the head";
		iofilter_table_bits(t, 0, 3);
		if (iofilter_table_predict(t, whole, COX_NR(whole), cox_data, COX_DATA))
			wrong = "a prediction is refused";
		break;
	case COX_LISTED:
	case COX_CONDITIONS:
		iofilter_table_bits(t, 0, 3);
		if (iofilter_table_predict(t, what == COX_LISTED ? listed : conditions,
					   what == COX_LISTED ? COX_NR(listed) : COX_NR(conditions), NULL, 0))
			wrong = "a prediction is refused";
		break;
	case COX_BUSY:
		iofilter_table_bits(t, 1, 2);
		break;
	default:
		iofilter_table_bits(t, 0, 3);
	}
	iofilter_table_leave(t);
	return wrong;
}

#endif /* SELFTESTS_TABLECOX_H */
