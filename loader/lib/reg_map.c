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

enum {
	SET_WIDTH = 0x20,
	SET_NUM,
	SET_DEN,
	SET_RELOAD,
	SET_VALUE,
	SET_FRAC,
	SET_RUNNING,
	SET_COMPARE = 0x28,
	SET_ALARM,
	SET_ARMED,
	SET_EXPIRED,
};

static const struct reg_row rows[] = {
	REG_HEAD_ROWS(struct iofilter_map, head),
	MAP(0x10, REG_C, "addr", addr, "port or guest physical address"),
	MAP(0x11, REG_C, "len", len, "bytes"),
	MAP(0x12, REG_C, "bus", bus, "0 MMIO, 1 PIO"),
	REG_EACH(0x13, REG_N, "verdicts[]", struct iofilter_map, verdicts, , 0, "accesses by what became of them"),
	MAP(0x14, REG_C, "kind", kind, "1 counter, 2 constant"),
	MAP(0x18, REG_SH, "seq", seq, "changes * 2, and 1: one is announced"),
	SET_FROM(SET_WIDTH, REG_G | REG_W, width, 1, 64, "bits, at most those of the region"),
	SET_FROM(SET_NUM, REG_G, num, 1, MAP_FREQ_MAX, "ticks .."),
	SET_FROM(SET_DEN, REG_G, den, 1, MAP_DIVIDER_MAX, ".. in so many ns"),
	SET(SET_RELOAD, REG_G | REG_W, reload, 0, "counts modulo this; 0: modulo 2^width"),
	SET(SET_VALUE, REG_G | REG_W, value, 0, "what it shows at this moment"),
	SET(SET_FRAC, REG_G, frac, MAP_DIVIDER_MAX, "so much of the next tick is over, in 1 / den"),
	SET(SET_RUNNING, REG_G | REG_W, running, 1, "it counts"),
	SET(SET_COMPARE, REG_G | REG_W, compare, 0, "value of the alarm"),
	SET(SET_ALARM, REG_G | REG_W, alarm, IOFILTER_MAP_ALARM_PERIODIC, "0 none, 1 once, 2 each time"),
	SET(SET_ARMED, REG_G | REG_W, armed, 1, "the one alarm has not come yet"),
	SET(SET_EXPIRED, REG_N, expired, 0, "alarms since the attach"),
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

static bool find(const struct reg_values *v, __u16 nr, __u64 *val)
{
	return v->find(v->from, nr, 0, val);
}

static __u64 will_be(const struct reg_values *v, __u16 nr, __u64 now)
{
	return reg_will_be(v, nr, 0, now);
}

static const char *misfit(void *state, const struct reg_values *v)
{
	const struct iofilter_map *m = state;
	__u64 val, t = 0;
	struct map_set s;

	/* Lost to others' changes: it is asked again under the lock. */
	if (mapctl_look(state, &s, &t))
		return NULL;
	s.width = will_be(v, SET_WIDTH, s.width);
	s.mask = iofilter_width_mask(s.width);
	s.reload = will_be(v, SET_RELOAD, s.reload);
	s.alarm = will_be(v, SET_ALARM, s.alarm);
	if (s.width > m->len * 8)
		return "set.width of map is at most the bits of its region";
	if (s.reload == 1 || (s.reload && s.reload - 1 > s.mask))
		return "set.reload of map is 0, or 2 to 2^set.width";
	if (find(v, SET_VALUE, &val) && !map_shows(&s, val))
		return "set.value of map is one that it can show: below set.reload, or 2^set.width";
	if ((find(v, SET_COMPARE, &s.compare) || s.alarm) && !map_shows(&s, s.compare))
		return "set.compare of map is one that it comes to: below set.reload, or 2^set.width";
	s.num = will_be(v, SET_NUM, s.num);
	s.den = will_be(v, SET_DEN, s.den);
	if (s.num > MAP_RATE_MAX / s.den)
		return "set.num times set.den of map is below 2^63";
	if (find(v, SET_FRAC, &val) && val >= s.den)
		return "set.frac of map is below set.den";
	if (m->kind == IOFILTER_MAP_CONST && (s.alarm || will_be(v, SET_RUNNING, 0)))
		return "set.running and set.alarm of map are 0 for a constant";
	return NULL;
}

/* What follows for that which was not set. */
static void fit(struct map_set *s)
{
	s->mask = iofilter_width_mask(s->width);
	s->value = s->reload ? s->value % s->reload : s->value & s->mask;
	s->frac %= s->den;
	/* Without an alarm: else it was refused. */
	if (!map_shows(s, s->compare))
		s->compare = 0;
}

static void leave(void *state, bool change)
{
	struct iofilter_map *m = state;
	struct map_set s = *working(m);

	if (change) {
		fit(&s);
		mapctl_publish(m, &s);
	}
	mapctl_unlock(m);
	if (change)
		map_alarm_kick(m);
}

static void break_lock(void *state)
{
	map_lock_break(state);
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
