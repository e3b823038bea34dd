// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The registers of a map. They are looked at, and changed, in the set that no reader uses, as it is at this moment; a change is then
 * published as any other (iofilter/map.h).
 */
#include <unistd.h>
#include <iofilter/mapctl.h>
#include "map.h"
#include "reg.h"

static struct map_set *working(struct iofilter_map *m)
{
	return &m->sets[(m->seq / 2 + 1) % MAP_SETS];
}

/* A member of the set at hand. */
#define SET_MEMBER(member)                                              \
	static __u64 get_##member(const struct reg_at *at)               \
	{                                                                \
		return working(at->state)->member;                       \
	}                                                                \
									 \
	static void set_##member(const struct reg_at *at, __u64 val)     \
	{                                                                \
		working(at->state)->member = val;                        \
	}

SET_MEMBER(value)
SET_MEMBER(frac)
SET_MEMBER(num)
SET_MEMBER(den)
SET_MEMBER(reload)
SET_MEMBER(running)
SET_MEMBER(width)
SET_MEMBER(compare)
SET_MEMBER(expired)
SET_MEMBER(alarm)
SET_MEMBER(armed)

#define MAP(n, f, nm, member, text) REG_AT(n, f, nm, struct iofilter_map, member, 0, text)
#define SET_FROM(n, f, member, least, m, text)                                                                               \
	{ .nr = (n), .size = sizeof(((struct map_set *)0)->member), .flags = (f), .name = "set." #member,                    \
	  .off = offsetof(struct iofilter_map, sets[0].member), .elements = 1, .min = (least), .max = (m),                   \
	  .get = get_##member, .set = set_##member, .meaning = (text) }
#define SET(n, f, member, m, text) SET_FROM(n, f, member, 0, m, text)

enum { SET_WIDTH = 0x20, SET_RELOAD = 0x23 };

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_map, head),
	MAP(0x10, REG_C, "addr", addr, "port or guest physical address"),
	MAP(0x11, REG_C, "len", len, "bytes"),
	MAP(0x12, REG_C, "bus", bus, "0 MMIO, 1 PIO"),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_map, verdicts, , 0, "accesses by what became of them"),
	MAP(0x14, REG_C, "kind", kind, "1 counter, 2 constant"),
	MAP(0x18, REG_SH, "seq", seq, "changes * 2, and 1: one is announced"),
	SET_FROM(SET_WIDTH, REG_G | REG_W, width, 1, 64, "bits, at least 1"),
	SET_FROM(0x21, REG_G, num, 1, MAP_FREQ_MAX, "ticks .."),
	SET_FROM(0x22, REG_G, den, 1, MAP_DIVIDER_MAX, ".. in so many ns"),
	SET(SET_RELOAD, REG_G | REG_W, reload, 0, "counts modulo this; 0: modulo 2^width"),
	SET(0x24, REG_G | REG_W, value, 0, "what it shows at this moment"),
	SET(0x25, REG_G, frac, MAP_DIVIDER_MAX, "so much of the next tick is over, in 1 / den"),
	SET(0x26, REG_G | REG_W, running, 1, "it counts"),
	SET(0x28, REG_G | REG_W, compare, 0, "value of the alarm"),
	SET(0x29, REG_G | REG_W, alarm, IOFILTER_MAP_ALARM_PERIODIC, "0 none, 1 once, 2 each time"),
	SET(0x2a, REG_G | REG_W, armed, 1, "the one alarm has not come yet"),
	SET(0x2b, REG_N, expired, 0, "alarms since the attach"),
	{ .nr = 0x50, .size = 8, .flags = REG_N, .name = "vcpu[].answered", .off = offsetof(struct iofilter_map, vcpus[0].answered),
	  .stride = sizeof(struct map_vcpu), .elements = IOFILTER_MAX_VCPUS, .used = reg_not_zero, .meaning = "reads" },
};

static int enter(void *state, bool change)
{
	struct iofilter_map *m = state;
	struct map_set s;

	if (mapctl_lock(m, getpid()))
		return -EBUSY;
	mapctl_repair(m, lib_now());
	if (change) {
		map_begin(m, &s);
	} else {
		s = mapctl_set(m);
		mapctl_advance(&s, lib_now());
	}
	*working(m) = s;
	return 0;
}

static const char *misfit(void *state, const struct reg_values *v)
{
	struct map_set s;
	__u64 width, reload, t = 0;

	/* Lost to others' changes: it is asked again under the lock. */
	if (mapctl_look(state, &s, &t))
		return NULL;
	if (!v->find(v->from, SET_WIDTH, &width))
		width = s.width;
	if (!v->find(v->from, SET_RELOAD, &reload))
		reload = s.reload;
	if (reload != 1 && (!reload || reload - 1 <= iofilter_width_mask(width)))
		return NULL;
	return "set.reload of map is 0, or 2 to 2^set.width";
}

/* What follows from what was set. */
static void fit(const struct iofilter_map *m, struct map_set *s)
{
	s->mask = iofilter_width_mask(s->width);
	s->value = s->reload ? s->value % s->reload : s->value & s->mask;
	s->compare = s->reload ? s->compare % s->reload : s->compare & s->mask;
	s->frac %= s->den;
	if (m->kind == IOFILTER_MAP_CONST)
		s->running = s->alarm = 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_map *m = state;
	struct map_set s = *working(m);

	if (change) {
		fit(m, &s);
		mapctl_publish(m, &s);
	}
	mapctl_unlock(m);
	if (change)
		map_alarm_kick(m);
}

static void break_lock(void *state)
{
	__sync_lock_test_and_set(&((struct iofilter_map *)state)->writer, 0);
}

static void restored(void *state, const struct reg_ctx *ctx)
{
	/* It goes on from what it showed when it was saved. */
	(void)state;
	(void)ctx;
}

const struct reg_set map_regs = {
	.rows = rows,
	.nr = sizeof(rows) / sizeof(rows[0]),
	.enter = enter,
	.leave = leave,
	.break_lock = break_lock,
	.restored = restored,
	.misfit = misfit,
};
