/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Every piece of state of every device: a row of one table, from which ids, names, the enumeration, the saved format and the tests
 * come. A device's rows stand in reg_<device>.c.
 */
#ifndef LOADER_REG_H
#define LOADER_REG_H

#include <stddef.h>
#include "lib.h"

#define REG_G  IOFILTER_REG_GUEST
#define REG_S  IOFILTER_REG_SHADOW
#define REG_C  IOFILTER_REG_CONFIG
#define REG_N  IOFILTER_REG_COUNTER
#define REG_W  IOFILTER_REG_WRITABLE
#define REG_SH (IOFILTER_REG_SHADOW | IOFILTER_REG_HOST)
#define REG_T  (IOFILTER_REG_TIME | REG_SH)

/* When a step is done, and what saved state is put back in it, perhaps on another host; NULL: none. */
struct reg_ctx {
	__u64 now; /* CLOCK_MONOTONIC, ns */
	const struct reg_values *restoring;
};

/* One element of a register in a state. */
struct reg_at {
	void *state;
	void *place; /* of the row's offset and stride */
	__u32 element;
	const struct reg_row *row;
	const struct reg_ctx *ctx;
};

struct reg_row {
	__u16 nr; /* never used for anything else */
	__u16 size;
	__u32 flags;
	const char *name;
	__u32 off, stride, elements; /* in the state */
	__u64 min, max; /* max 0: any of its size */
	const char *meaning;
	/* In place of the bytes at its place: what is computed from them. */
	__u64 (*get)(const struct reg_at *at);
	void (*set)(const struct reg_at *at, __u64 val);
	/* Its bit (that of element 0) at @changed_off of the set, + 1; 0: it has none. */
	__u16 hot;
	/* Of a C register's bytes, the first so many must be the same as in a saved state; 0: all. */
	__u32 same;
	/* How many elements of a large array mean something; NULL: all. */
	__u32 (*used)(const struct reg_row *row, const void *state);
};

/* What registers will be set to. */
struct reg_values {
	/* The value of an element of the register of this number. Return: false: it stays as it is. */
	bool (*find)(const void *from, __u16 nr, __u16 element, __u64 *val);
	const void *from;
	bool restoring;
};

/* What a register will be: as it is asked for, or @now. */
static inline __u64 reg_will_be(const struct reg_values *v, __u16 nr, __u16 element, __u64 now)
{
	__u64 val;

	return v->find(v->from, nr, element, &val) ? val : now;
}

/* A device's registers, and its own protocol around changing several of them in one step to the guest. */
struct reg_set {
	const struct reg_row *rows; /* by ascending number */
	size_t nr;
	/* @change: registers will be set. Return: 0, or -EBUSY: try again. */
	int (*enter)(void *state, bool change);
	void (*leave)(void *state, bool change);
	/* For who has died between the two. */
	void (*break_lock)(void *state);
	/* A number that is another one if something changed that @enter does not keep from changing; NULL: there is nothing. */
	__u64 (*generation)(const void *state);
	/* Where in the state the bits of those that have changed are, and how many words of them, up to IOFILTER_REG_CHANGED_MAX bits; 0: none. */
	size_t changed_off;
	int changed_words;
	/* Are they told at all? And, inside enter and leave: from now on. NULL: always. */
	bool (*followed)(const void *state);
	void (*follow)(void *state);
	/* Inside enter and leave: all registers were put back. Make of them what holds in this run. */
	void (*restored)(void *state, const struct reg_ctx *ctx);
	/*
	 * Values that their rows allow may still not go together. Asked before anything is changed, outside of enter and leave, too. NULL: they
	 * always do. Return: what they should be, for people, or NULL.
	 */
	const char *(*misfit)(void *state, const struct reg_values *v);
};

/*
 * Is a time that is set one that was measured, and is restored? Then it may be of another host, and is not taken. @calibrating: register that tells
 * whether it was still measured, and behind it scaled, that it was. @initial: it is what a program begins with, so nobody has given another.
 */
bool reg_measured(const struct reg_at *at, __u16 calibrating, bool initial);

/* A row for a member, and one for an array of structs; @bit: as reg_row.hot. */
#define REG_AT_HOT(n, f, nm, type, member, m, text, bit) \
	{ .nr = (n), .size = sizeof(((type *)0)->member), .flags = (f), .name = (nm), .off = offsetof(type, member), \
	  .elements = 1, .max = (m), .hot = (bit), .meaning = (text) }
#define REG_EACH_HOT(n, f, nm, type, array, member, m, text, bit) \
	{ .nr = (n), .size = sizeof(((type *)0)->array[0] member), .flags = (f), .name = (nm), .off = offsetof(type, array[0] member), \
	  .stride = sizeof(((type *)0)->array[0]), .elements = sizeof(((type *)0)->array) / sizeof(((type *)0)->array[0]), \
	  .max = (m), .hot = (bit), .meaning = (text) }
#define REG_AT(n, f, nm, type, member, m, text)		 REG_AT_HOT(n, f, nm, type, member, m, text, 0)
#define REG_EACH(n, f, nm, type, array, member, m, text) REG_EACH_HOT(n, f, nm, type, array, member, m, text, 0)

/* The head of every state. */
#define REG_HEAD_ROWS(type, head)                                                                                              \
	REG_AT(0x01, REG_SH, "pid", type, head.pid, 0, "process of the VMM"),                                                  \
	REG_AT(0x02, REG_SH, "attached_at", type, head.attached_at, 0, "CLOCK_REALTIME, s"),                                   \
	REG_AT(0x03, REG_SH, "drain", type, head.drain, 0, "begin no new read sequence"),                                      \
	REG_AT(0x04, REG_SH, "in_flight", type, head.in_flight, 0, "read sequences that the guest has not ended"),             \
	REG_AT(0x05, REG_N, "cut", type, head.cut, 0, ".. that could not be ended here")

/* reg_clock.c: rows of a struct iofilter_clock. Numbers from @n to @n + 0x2f. */
__u64 reg_clock_time(const struct reg_at *at);
void reg_clock_time_set(const struct reg_at *at, __u64 val);
void reg_clock_mode_set(const struct reg_at *at, __u64 val);
void reg_clock_fuse_set(const struct reg_at *at, __u64 val);
__u64 reg_clock_epoch(const struct reg_at *at);

#define REG_CLK(n, f, pre, nm, type, array, member, m, text) REG_EACH(n, f, pre nm, type, array, .clock.member, m, text)

/* Of its numbers, less @n: */
enum {
	REG_CLOCK_NR_MODE = 0x00,
	REG_CLOCK_NR_TIME,
	REG_CLOCK_BRACKET = 0x07,
	REG_CLOCK_ABSENCE,
	REG_CLOCK_EXPIRY,
	REG_CLOCK_CALIBRATING = 0x0b,
	REG_CLOCK_SCALED,
};

void reg_clock_bracket_set(const struct reg_at *at, __u64 val);
void reg_clock_absence_set(const struct reg_at *at, __u64 val);
void reg_clock_expiry_set(const struct reg_at *at, __u64 val);

/* One of the times: measured by the program until it is set. */
#define REG_CLOCK_GIVEN(n, nm, type, array, member, text)                                                                            \
	{ .nr = (n), .size = 8, .flags = REG_S | REG_W, .name = (nm), .off = offsetof(type, array[0].clock.member),                 \
	  .stride = sizeof(((type *)0)->array[0]), .elements = sizeof(((type *)0)->array) / sizeof(((type *)0)->array[0]),           \
	  .min = 1, .max = LIB_TIME_MAX, .set = reg_clock_##member##_set, .meaning = (text) }

/* What every clock has; @array: of structs with a member clock. */
#define REG_CLOCK_ROWS(n, pre, type, array)                                                                                         \
	REG_CLK((n) + 0x05, REG_C, pre, "freq", type, array, freq, 0, "Hz"),                                                        \
	REG_CLK((n) + 0x06, REG_C, pre, "width", type, array, width, 0, "bits"),                                                    \
	REG_CLOCK_GIVEN((n) + REG_CLOCK_BRACKET, pre "bracket", type, array, bracket, "ns: a sample confirms within it"),             \
	REG_CLOCK_GIVEN((n) + REG_CLOCK_ABSENCE, pre "absence", type, array, absence, "ns: out of KVM for less is no pause"),         \
	REG_CLOCK_GIVEN((n) + REG_CLOCK_EXPIRY, pre "expiry", type, array, expiry, "ns: age of a proof at an audit"),                 \
	REG_CLK((n) + 0x0a, REG_SH, pre, "best_bracket", type, array, best_bracket, 0, "ns: the shortest round trip seen"),          \
	REG_CLK((n) + REG_CLOCK_CALIBRATING, REG_SH, pre, "calibrating", type, array, calibrating, 0, "samples still wanted to measure it"), \
	REG_CLK((n) + REG_CLOCK_SCALED, REG_SH, pre, "scaled", type, array, scaled, 0, "the times were measured, not given"),         \
	REG_CLK((n) + 0x0d, REG_SH, pre, "proof", type, array, proof, 0, "0 unproven, 1 proven, 2 fused"),                          \
	REG_CLK((n) + 0x0e, REG_SH, pre, "ready", type, array, ready, 0, "reads are answered"),                                     \
	REG_CLK((n) + 0x0f, REG_SH, pre, "bounded", type, array, bounded, 0, "lo and hi mean something"),                           \
	REG_CLK((n) + 0x10, REG_SH | IOFILTER_REG_SIGNED, pre, "lo", type, array, lo, 0, "ns: VMM's clock less CLOCK_MONOTONIC, at least"), \
	REG_CLK((n) + 0x11, REG_SH | IOFILTER_REG_SIGNED, pre, "hi", type, array, hi, 0, ".. and below"),                           \
	REG_CLK((n) + 0x12, REG_SH, pre, "floor", type, array, floor, 0, "virtual ns below which nothing is answered; 0: none"),    \
	REG_CLK((n) + 0x13, REG_SH, pre, "high", type, array, high, 0, "virtual ns of the newest answer before the last move"),     \
	REG_CLK((n) + 0x14, REG_SH, pre, "caught_up", type, array, caught_up, 0, "virtual ns that the VMM has passed for certain"), \
	REG_CLK((n) + 0x15, REG_T, pre, "proven_at", type, array, proven_at, 0, "newest narrow match"),                             \
	REG_CLK((n) + 0x16, REG_T, pre, "settled_at", type, array, settled_at, 0, "newest answer of the VMM that is folded in"),    \
	REG_CLK((n) + 0x17, REG_T, pre, "need", type, array, need, 0, "no answer before a sample from then"),                       \
	REG_CLK((n) + 0x18, REG_SH, pre, "matches", type, array, matches, 0, "narrow matches in a row"),                            \
	{ .nr = (n) + 0x19, .size = 8, .flags = REG_SH, .name = pre "epoch", .off = offsetof(type, array[0].clock.epoch),           \
	  .stride = sizeof(((type *)0)->array[0]), .elements = sizeof(((type *)0)->array) / sizeof(((type *)0)->array[0]),          \
	  .get = reg_clock_epoch, .meaning = "by 2 with each time that the bounds were lowered, or looked at" },                    \
	REG_CLK((n) + 0x1a, REG_SH, pre, "nr_vcpus", type, array, nr_vcpus, 0, "highest vCPU seen + 1"),                            \
	REG_CLK((n) + 0x20, REG_N, pre, "samples", type, array, samples, 0, "answers of the VMM that were folded in"),              \
	REG_CLK((n) + 0x21, REG_N, pre, "narrow", type, array, narrow, 0, ".. that confirmed"),                                     \
	REG_CLK((n) + 0x22, REG_N, pre, "lost", type, array, lost, 0, "answers that were lost"),                                    \
	REG_CLK((n) + 0x23, REG_N, pre, "moves", type, array, moves, 0, "times the VMM's clock has moved"),                         \
	REG_CLK((n) + 0x24, REG_N, pre, "vanished", type, array, vanished, 0, "proofs lost to answers without shape"),              \
	REG_CLK((n) + 0x25, REG_N, pre, "audits", type, array, audits, 0, "reads that went to the VMM to confirm"),                 \
	REG_CLK((n) + 0x26, REG_N, pre, "suspicions", type, array, suspicions, 0, "absences of a vCPU"),                            \
	REG_CLK((n) + 0x27, REG_N, pre, "delays", type, array, delays, 0, "reads that were delayed"),                               \
	REG_CLK((n) + 0x28, REG_N, pre, "delay_total", type, array, delay_total, 0, "ns, of all of them")

/* One that is computed from the whole clock. */
#define REG_CLOCK_OF(n, sz, f, nm, type, array, m, fn, text)                                                                          \
	{ .nr = (n), .size = (sz), .flags = (f), .name = (nm), .off = offsetof(type, array[0].clock),                                  \
	  .stride = sizeof(((type *)0)->array[0]), .elements = sizeof(((type *)0)->array) / sizeof(((type *)0)->array[0]),             \
	  .max = (m), .get = fn, .set = fn##_set, .meaning = (text) }

/* Its fuse, and, where a VMM can own it, who does and what it shows. */
#define REG_CLOCK_MODE(n, pre, type, array)                                                                                          \
	REG_CLOCK_OF((n) + 0x00, 4, REG_G | REG_W, pre "mode", type, array, IOFILTER_CLOCK_STOPPED, reg_clock_mode,                   \
		     "0 proven from the VMM's answers, 1 held, 2 owned by the VMM, 3 owned and stopped")
#define REG_CLOCK_TIME(n, pre, type, array)                                                                                          \
	REG_CLOCK_OF((n) + 0x01, 8, REG_G | REG_W, pre "time", type, array, 1ULL << 62, reg_clock_time, "ns that it shows at this moment")
#define REG_CLOCK_FUSE(n, pre, type, array)                                                                                          \
	REG_CLOCK_OF((n) + 0x02, 4, REG_S | REG_W, pre "fuse", type, array, IOFILTER_FUSE_VANISHED, reg_clock_fuse,                   \
		     "0 whole; 1 wrong model, 2 moved too often, 3 answers without shape")

/* As reg_set.misfit, of the clock whose numbers begin at @n, and its element @element. */
const char *reg_clock_misfit(const struct iofilter_clock *clk, const struct reg_values *v, __u16 n, __u32 element);

__u64 reg_clock_mode(const struct reg_at *at);
__u64 reg_clock_fuse(const struct reg_at *at);

/* The lock of a counter's clock. */
int reg_clock_enter(struct iofilter_clock *clk, bool change);
void reg_clock_leave(struct iofilter_clock *clk, bool change);
/* A clock as it is after a restore: what was proven elsewhere is not. */
void reg_clock_restored(struct iofilter_clock *clk, struct iofilter_vcpu *vcpus, const struct reg_ctx *ctx);

/* reg.c: on a state, wherever it is mapped. @d: its device. As the functions of libiofilter.h. */
int reg_get_many(const struct device *d, void *state, const __u64 *ids, unsigned int n, void *buf, size_t size);
int reg_changed(const struct device *d, void *state, __u64 *ids);
int reg_set_many(const struct device *d, void *state, const __u64 *ids, unsigned int n, const void *buf, size_t size);
/* As reg_row.used of an array of numbers: up to the last that is not 0. */
__u32 reg_not_zero(const struct reg_row *row, const void *state);
/* The row of @id, or NULL. */
const struct reg_row *reg_row(const struct device *d, __u64 id);
__u64 reg_id(const struct device *d, const struct reg_row *row, __u32 element);
void reg_read(const struct reg_row *row, const void *state, __u32 element, void *buf, const struct reg_ctx *ctx);
void reg_write(const struct reg_row *row, void *state, __u32 element, const void *buf, const struct reg_ctx *ctx);
/* As reg_set.misfit, of any device. */
const char *reg_misfit(const struct device *d, void *state, const struct reg_values *v);
/* Is the value in @buf within its range? */
bool reg_fits(const struct reg_row *row, const void *buf);
/* For break_lock: have a lock that somebody may have left behind, and that else a vCPU has for microseconds. */
void reg_lock_dead(__u32 *lock);
/*
 * @fn inside enter and leave: one step to the guest. With @change false it is called again if something has changed that is not under the
 * device's lock. Return: 0, or -EBUSY: not within some seconds.
 */
typedef void (*reg_fn)(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg);
int reg_step(const struct device *d, void *state, bool change, reg_fn fn, void *arg);

/*
 * saved.c: what every saved form begins with. Little-endian.
 */
struct saved_head {
	__u64 magic;
	__u32 version; /* of this format */
	__u32 count;   /* of what follows */
	__u64 size;    /* of all, this included */
	__u32 crc;     /* CRC-32 of all, with 0 here */
	__u32 extra;
};

_Static_assert(sizeof(struct saved_head) == 32, "stands in files");

/* What is in it is padded so. */
static inline size_t saved_padded(size_t size)
{
	return (size + 7) & ~7ULL;
}

/* Write the head, with numbers of the host, and the checksum, in front of what follows it in @data already. */
void saved_seal(void *data, const struct saved_head *h);
/*
 * Is it whole, and of this kind (@magic, @version; @what, for people)? Return: 0 and *@h, with numbers of the host; -EBADMSG, -EPROTO.
 */
int saved_open(const void *data, size_t size, __u64 magic, __u32 version, const char *what, struct saved_head *h);

/* As iofilter_save() and iofilter_restore(), and whether a restore would be refused. */
int saved_make(const struct device *d, void *state, void **data, size_t *size);
int saved_check(const struct device *d, void *state, const void *data, size_t size, unsigned int flags);
int saved_apply(const struct device *d, void *state, const void *data, size_t size, unsigned int flags);

extern const struct reg_set pmtimer_regs, hpet_regs, pit_regs, speaker_regs, rtc_regs, ide_regs, table_regs, map_regs;

#endif /* LOADER_REG_H */
