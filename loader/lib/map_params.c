// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What is asked of a map, into its state. */
#include <stdio.h>
#include <string.h>
#include "lib.h"
#include "map.h"

typedef unsigned __int128 u128;

static const char *hex(__u64 v, char *buf)
{
	sprintf(buf, "0x%llx", (unsigned long long)v);
	return buf;
}

static int map_place_check(const struct kvm_iofilter_range *r)
{
	char at[20];

	if (!r->len || r->len > MAP_LEN_MAX)
		return lib_fail(-EINVAL, "a region of %u bytes: a counter or constant has 1 to %d", r->len, MAP_LEN_MAX);
	if (r->bus == KVM_IOFILTER_PIO && r->addr + r->len > 0x10000)
		return lib_fail(-EINVAL, "ports %s+%u: they end at 0xffff", hex(r->addr, at), r->len);
	if (r->bus == KVM_IOFILTER_MMIO && (r->addr < MAP_MMIO_MIN || r->addr >> 52 || (r->addr + r->len - 1) >> 52))
		return lib_fail(-EINVAL, "memory at %s: it must be between 0x%x and 2^52", hex(r->addr, at), MAP_MMIO_MIN);
	if (r->bus != KVM_IOFILTER_PIO && r->bus != KVM_IOFILTER_MMIO)
		return lib_fail(-EINVAL, "bus %u is none", r->bus);
	return 0;
}

int map_place(struct iofilter_map *m, const struct iofilter_map_opts *o)
{
	int err = map_place_check(&o->range);

	if (err)
		return err;
	if (o->kind != IOFILTER_MAP_COUNTER && o->kind != IOFILTER_MAP_CONST)
		return lib_fail(-EINVAL, "a map is a counter or a constant");
	if (o->kind == IOFILTER_MAP_COUNTER && !(o->fields & (IOFILTER_MAP_FREQ | IOFILTER_MAP_DIVIDER)))
		return lib_fail(-EINVAL, "how fast does the counter count? a frequency or a divider is missing");
	if (o->kind == IOFILTER_MAP_CONST && !(o->fields & IOFILTER_MAP_VALUE))
		return lib_fail(-EINVAL, "a constant needs a value");
	m->addr = o->range.addr;
	m->len = o->range.len;
	m->bus = o->range.bus;
	m->kind = o->kind;
	for (int i = 0; i < MAP_SETS; i++)
		m->sets[i] = (struct map_set){
			.num = 1,
			.den = 1,
			.width = m->len * 8,
			.mask = iofilter_width_mask(m->len * 8),
			.running = o->kind == IOFILTER_MAP_COUNTER,
		};
	return 0;
}

static int apply_rate(struct map_set *s, const struct iofilter_map_opts *c)
{
	__u64 num, den;

	if (!(c->fields & (IOFILTER_MAP_FREQ | IOFILTER_MAP_DIVIDER)))
		return 0;
	if (!(~c->fields & (IOFILTER_MAP_FREQ | IOFILTER_MAP_DIVIDER)))
		return lib_fail(-EINVAL, "a frequency or a divider, not both");
	if (c->fields & IOFILTER_MAP_FREQ) {
		num = c->freq;
		den = IOFILTER_NSEC_PER_SEC;
		if (!num || num > MAP_FREQ_MAX)
			return lib_fail(-EINVAL, "frequency %llu: 1 to %llu Hz are possible", (unsigned long long)num, MAP_FREQ_MAX);
	} else {
		num = 1;
		den = c->divider;
		if (!den || den > MAP_DIVIDER_MAX)
			return lib_fail(-EINVAL, "divider %llu: a tick takes 1 to %llu ns", (unsigned long long)den, MAP_DIVIDER_MAX);
	}
	/* It goes on from within the same tick. */
	s->frac = (u128)s->frac * den / s->den;
	s->num = num;
	s->den = den;
	return 0;
}

static int apply_modulus(const struct iofilter_map *m, struct map_set *s, const struct iofilter_map_opts *c)
{
	if (c->fields & IOFILTER_MAP_WIDTH) {
		if (!c->width || c->width > 64)
			return lib_fail(-EINVAL, "width %u: a counter has 1 to 64 bits", c->width);
		if (c->width > m->len * 8)
			return lib_fail(-EINVAL, "width %u: the region has %u bits only", c->width, m->len * 8);
		s->width = c->width;
		s->mask = iofilter_width_mask(c->width);
	}
	if (c->fields & IOFILTER_MAP_RELOAD)
		s->reload = c->reload;
	if (s->reload == 1 || (s->reload && s->reload - 1 > s->mask))
		return lib_fail(-EINVAL, "reload %llu: a counter of %u bits counts modulo 2 to 2^%u", (unsigned long long)s->reload,
				s->width, s->width);
	s->value = map_count(s->reload ? s->value % s->reload : s->value, 0, s->mask, s->reload);
	return 0;
}

static int apply_value(struct map_set *s, const struct iofilter_map_opts *c)
{
	u128 modulus = s->reload ? s->reload : (u128)s->mask + 1;
	__u64 behind;

	if (!(~c->fields & (IOFILTER_MAP_VALUE | IOFILTER_MAP_OFFSET)))
		return lib_fail(-EINVAL, "a value or an offset, not both");
	if (c->fields & IOFILTER_MAP_VALUE) {
		if (!map_shows(s, c->value))
			return lib_fail(-EINVAL, "value %llu: it does not fit", (unsigned long long)c->value);
		s->value = c->value;
		s->frac = 0;
	}
	if (c->fields & IOFILTER_MAP_OFFSET) {
		s->frac = 0;
		s->value = map_count(0, map_ticks(s->at, s->num, s->den, &s->frac), s->mask, s->reload);
		behind = c->offset < 0 ? (-(u128)c->offset) % modulus : 0;
		s->value = ((u128)s->value + (c->offset < 0 ? modulus - behind : (__u64)c->offset % modulus)) % modulus;
	}
	return 0;
}

static int apply_alarm(struct map_set *s, const struct iofilter_map_opts *c)
{
	if (c->fields & IOFILTER_MAP_COMPARE)
		s->compare = c->compare;
	if (c->fields & IOFILTER_MAP_ALARM) {
		if (c->alarm > IOFILTER_MAP_ALARM_PERIODIC)
			return lib_fail(-EINVAL, "alarm %u is none", c->alarm);
		s->alarm = c->alarm;
		s->armed = c->alarm == IOFILTER_MAP_ALARM_ONCE;
	}
	if (map_shows(s, s->compare))
		return 0;
	if (c->fields & IOFILTER_MAP_COMPARE || s->alarm != IOFILTER_MAP_ALARM_OFF)
		return lib_fail(-EINVAL, "compare value %llu: the counter never comes to it", (unsigned long long)s->compare);
	s->compare = 0;
	return 0;
}

int map_apply(const struct iofilter_map *m, struct map_set *s, const struct iofilter_map_opts *c)
{
	int err;

	if (c->size != sizeof(*c))
		return lib_fail(-EINVAL, "struct iofilter_map_opts has another size than this library's");
	if (m->kind == IOFILTER_MAP_CONST && c->fields & ~IOFILTER_MAP_VALUE)
		return lib_fail(-EINVAL, "a constant has a value and nothing else");
	err = apply_rate(s, c);
	if (!err)
		err = apply_modulus(m, s, c);
	if (!err)
		err = apply_value(s, c);
	if (!err)
		err = apply_alarm(s, c);
	if (!err && c->fields & IOFILTER_MAP_RUN)
		s->running = !!c->run;
	return err;
}
