// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Registers: found by id or name, and got and set, many in one step to the guest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <iofilter/changed.h>
#include "reg.h"

/* What is under a lock takes microseconds; a lock that is held for so long was left behind by somebody who was killed. */
#define LOCK_DEAD_MS 1000
/* .. and so often it is tried, microseconds apart, when what did not go may not have been the lock. */
#define LOCK_DEAD_TRIES 1000
/* So often it is tried to see a state at rest that no lock keeps so. */
#define AT_REST_TRIES 100000

const struct reg_row *reg_row(const struct device *d, __u64 id)
{
	const struct reg_set *s = d->regs;
	size_t lo = 0, hi = s->nr, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (s->rows[mid].nr < IOFILTER_REG_NUMBER(id))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == s->nr || IOFILTER_REG_ELEMENT(id) >= s->rows[lo].elements ||
	    reg_id(d, &s->rows[lo], IOFILTER_REG_ELEMENT(id)) != id)
		return NULL;
	return &s->rows[lo];
}

__u64 reg_id(const struct device *d, const struct reg_row *row, __u32 element)
{
	return (__u64)d->reg_device << 56 | (__u64)row->size << 32 | (__u32)row->nr << 16 | element;
}

/* Registers of up to 8 bytes are numbers. */
static __u64 number(const struct reg_row *row, const void *buf)
{
	__u64 val = 0;

	memcpy(&val, buf, row->size);
	return val;
}

__u32 reg_not_zero(const struct reg_row *row, const void *state)
{
	__u32 n = row->elements;

	while (n && !number(row, (const char *)state + row->off + (size_t)(n - 1) * row->stride))
		n--;
	return n;
}

bool reg_fits(const struct reg_row *row, const void *buf)
{
	return row->size > 8 || (number(row, buf) >= row->min && (!row->max || number(row, buf) <= row->max));
}

static struct reg_at reg_at(const struct reg_row *row, void *state, __u32 element, const struct reg_ctx *ctx)
{
	return (struct reg_at){
		.state = state,
		.place = (char *)state + row->off + (size_t)element * row->stride,
		.element = element,
		.row = row,
		.ctx = ctx,
	};
}

void reg_read(const struct reg_row *row, const void *state, __u32 element, void *buf, const struct reg_ctx *ctx)
{
	const struct reg_at at = reg_at(row, (void *)state, element, ctx);
	const void *place = at.place;
	__u64 val;
	__u32 word;

	if (row->get) {
		val = row->get(&at);
		memcpy(buf, &val, row->size);
		return;
	}
	/* One access for what a program may write at this moment. */
	switch (row->size) {
	case 8:
		val = iofilter_load(*(const __u64 *)place);
		memcpy(buf, &val, 8);
		break;
	case 4:
		word = iofilter_load(*(const __u32 *)place);
		memcpy(buf, &word, 4);
		break;
	default:
		memcpy(buf, place, row->size);
	}
}

void reg_write(const struct reg_row *row, void *state, __u32 element, const void *buf, const struct reg_ctx *ctx)
{
	const struct reg_at at = reg_at(row, state, element, ctx);

	if (row->set)
		row->set(&at, number(row, buf));
	else if (row->size == 8)
		iofilter_store(*(__u64 *)at.place, number(row, buf));
	else if (row->size == 4)
		iofilter_store(*(__u32 *)at.place, number(row, buf));
	else
		memcpy(at.place, buf, row->size);
}

bool reg_measured(const struct reg_at *at, __u16 calibrating, bool initial)
{
	const struct reg_values *v = at->ctx->restoring;

	return v && (reg_will_be(v, calibrating + 1, at->element, 0) || (initial && reg_will_be(v, calibrating, at->element, 0)));
}

void reg_lock_dead(__u32 *lock)
{
	const struct timespec us = { .tv_nsec = 1000 };
	int tries;

	for (tries = 0; tries < LOCK_DEAD_TRIES && iofilter_try_lock(lock); tries++)
		nanosleep(&us, NULL);
}

static int enter(const struct device *d, void *state, bool change)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int tries = 0;

	while (d->regs->enter(state, change)) {
		if (++tries == LOCK_DEAD_MS)
			d->regs->break_lock(state);
		else if (tries > 2 * LOCK_DEAD_MS)
			return -EBUSY;
		nanosleep(&ms, NULL);
	}
	return 0;
}

/* Return: 0, 1: something changed meanwhile that @fn may have looked at, or -EBUSY. */
static int step(const struct device *d, void *state, bool change, reg_fn fn, void *arg)
{
	struct reg_ctx ctx = {};
	__u64 before = 0;
	int err;

	err = enter(d, state, change);
	if (err)
		return err;
	if (!change && d->regs->generation)
		before = d->regs->generation(state);
	iofilter_barrier();
	ctx.now = lib_now();
	fn(d, state, &ctx, arg);
	iofilter_barrier();
	if (!change && d->regs->generation && d->regs->generation(state) != before)
		err = 1;
	d->regs->leave(state, change);
	return err;
}

int reg_step(const struct device *d, void *state, bool change, reg_fn fn, void *arg)
{
	struct lib_hurry h;
	int tries, err;

	for (tries = 0; tries < AT_REST_TRIES; tries++) {
		lib_hurry(&h);
		err = step(d, state, change, fn, arg);
		lib_calm_down(&h);
		if (!err)
			return 0;
		if (err < 0)
			break;
	}
	return lib_fail(-EBUSY, "the state of %s is never at rest; try again", d->name);
}

static int check_ids(const struct device *d, const __u64 *ids, unsigned int n, size_t size)
{
	size_t sum = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!reg_row(d, ids[i]))
			return lib_fail(-ENOENT, "%s has no register 0x%016llx ('iofilter reg list %s')", d->name,
					(unsigned long long)ids[i], d->name);
		sum += IOFILTER_REG_SIZE(ids[i]);
	}
	return sum == size ? 0 : lib_fail(-EINVAL, "these registers of %s have %zu bytes together, not %zu", d->name, sum, size);
}

struct many {
	const __u64 *ids;
	unsigned int n;
	char *buf;
	const char *misfit;
};

static void get_all(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	const struct many *m = arg;
	char *to = m->buf;
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		reg_read(reg_row(d, m->ids[i]), state, IOFILTER_REG_ELEMENT(m->ids[i]), to, ctx);
		to += IOFILTER_REG_SIZE(m->ids[i]);
	}
}

int reg_get_many(const struct device *d, void *state, const __u64 *ids, unsigned int n, void *buf, size_t size)
{
	struct many m = { .ids = ids, .n = n, .buf = buf };
	int err = check_ids(d, ids, n, size);

	if (err)
		return err;
	/* Its pages are there before the lock is held. */
	if (size)
		memset(buf, 0, size);
	return reg_step(d, state, false, get_all, &m);
}

static int check_values(const struct device *d, const __u64 *ids, unsigned int n, const char *buf)
{
	const struct reg_row *row;
	char name[IOFILTER_REG_NAME_LEN];
	unsigned int i;

	for (i = 0; i < n; i++) {
		row = reg_row(d, ids[i]);
		iofilter_reg_name(d->name, ids[i], name, sizeof(name));
		if (!(row->flags & REG_W))
			return lib_fail(-EPERM, "%s of %s cannot be set", name, d->name);
		if (!reg_fits(row, buf) && row->min)
			return lib_fail(-ERANGE, "%s of %s is %llu to %llu", name, d->name, (unsigned long long)row->min,
					(unsigned long long)row->max);
		if (!reg_fits(row, buf))
			return lib_fail(-ERANGE, "%s of %s is at most %llu", name, d->name, (unsigned long long)row->max);
		buf += row->size;
	}
	return 0;
}

/* Of several values of one register the last counts. */
static bool find_value(const void *from, __u16 nr, __u16 element, __u64 *val)
{
	const struct many *m = from;
	const char *at = m->buf;
	bool found = false;
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		if (IOFILTER_REG_NUMBER(m->ids[i]) == nr && IOFILTER_REG_ELEMENT(m->ids[i]) == element) {
			*val = 0;
			memcpy(val, at, IOFILTER_REG_SIZE(m->ids[i]));
			found = true;
		}
		at += IOFILTER_REG_SIZE(m->ids[i]);
	}
	return found;
}

const char *reg_misfit(const struct device *d, void *state, const struct reg_values *v)
{
	return d->regs->misfit ? d->regs->misfit(state, v) : NULL;
}

static const char *misfit(const struct device *d, void *state, const struct many *m)
{
	return reg_misfit(d, state, &(struct reg_values){ .find = find_value, .from = m });
}

static void set_all(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	struct many *m = arg;
	const char *from = m->buf;
	unsigned int i;

	/* Somebody else may have changed what stays as it is. */
	m->misfit = misfit(d, state, m);
	if (m->misfit)
		return;
	for (i = 0; i < m->n; i++) {
		reg_write(reg_row(d, m->ids[i]), state, IOFILTER_REG_ELEMENT(m->ids[i]), from, ctx);
		from += IOFILTER_REG_SIZE(m->ids[i]);
	}
}

int reg_set_many(const struct device *d, void *state, const __u64 *ids, unsigned int n, const void *buf, size_t size)
{
	struct many m = { .ids = ids, .n = n, .buf = (char *)buf };
	int err = check_ids(d, ids, n, size);

	if (!err)
		err = check_values(d, ids, n, buf);
	if (err)
		return err;
	m.misfit = misfit(d, state, &m);
	if (!m.misfit)
		err = reg_step(d, state, true, set_all, &m);
	return !err && m.misfit ? lib_fail(-ERANGE, "%s", m.misfit) : err;
}

static void follow(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	(void)ctx;
	(void)arg;
	d->regs->follow(state);
}

int reg_changed(const struct device *d, void *state, __u64 *ids)
{
	__u64 words[IOFILTER_REG_CHANGED_MAX / 64] = {};
	__u32 bit, e;
	int n = 0, err;
	size_t j;

	if (!d->regs->changed_words)
		return lib_fail(-EOPNOTSUPP, "%s has no registers that accesses change without the VMM", d->name);
	if (d->regs->followed && !d->regs->followed(state)) {
		err = reg_step(d, state, false, follow, NULL);
		if (err)
			return err;
		/* Nobody has told of any before. */
		memset(words, 0xff, sizeof(words));
	} else if (!iofilter_changed_take((__u64 *)((char *)state + d->regs->changed_off), d->regs->changed_words, words)) {
		return 0;
	}
	for (j = 0; j < d->regs->nr; j++) {
		const struct reg_row *row = &d->regs->rows[j];

		for (e = 0; row->hot && e < row->elements; e++) {
			bit = row->hot - 1 + e;
			if (words[bit / 64] >> bit % 64 & 1)
				ids[n++] = reg_id(d, row, e);
		}
	}
	return n;
}

static const struct device *known(const char *device)
{
	const struct device *d = device_find(device);

	if (!d)
		device_unknown(device);
	return d;
}

int iofilter_regs(const char *device, struct iofilter_reg **regs)
{
	const struct device *d = known(device);
	const struct reg_row *row;
	size_t i;

	if (!d)
		return -ENOENT;
	*regs = calloc(d->regs->nr, sizeof(**regs));
	if (!*regs)
		return lib_fail(-ENOMEM, "out of memory");
	for (i = 0; i < d->regs->nr; i++) {
		row = &d->regs->rows[i];
		(*regs)[i] = (struct iofilter_reg){
			.id = reg_id(d, row, 0),
			.elements = row->elements,
			.flags = row->flags | (row->hot ? IOFILTER_REG_HOT : 0),
			.max = row->max,
			.name = row->name,
			.meaning = row->meaning,
		};
	}
	return d->regs->nr;
}

/* Does @name say @pattern, with a number in place of its []? Return: 1 and *@element, or 0. */
static int name_is(const char *pattern, const char *name, __u32 *element)
{
	const char *hole = strstr(pattern, "[]");
	size_t n = hole ? (size_t)(hole + 1 - pattern) : 0;
	unsigned long e;
	char *end;

	*element = 0;
	if (!hole)
		return !strcmp(pattern, name);
	if (strncmp(pattern, name, n) || name[n] < '0' || name[n] > '9')
		return 0;
	e = strtoul(name + n, &end, 10);
	*element = e < ~0U ? e : ~0U;
	return !strcmp(hole + 1, end);
}

int iofilter_reg_id(const char *device, const char *name, __u64 *id)
{
	const struct device *d = known(device);
	__u32 element;
	char *end;
	size_t i;

	if (!d)
		return -ENOENT;
	if (*name >= '0' && *name <= '9') {
		*id = strtoull(name, &end, 0);
		return !*end && reg_row(d, *id) ? 0 : lib_fail(-ENOENT, "%s has no register %s ('iofilter reg list %s')", d->name, name, d->name);
	}
	for (i = 0; i < d->regs->nr; i++) {
		if (!name_is(d->regs->rows[i].name, name, &element))
			continue;
		if (element >= d->regs->rows[i].elements)
			return lib_fail(-ENOENT, "%s: %s ends at [%u]", d->name, d->regs->rows[i].name, d->regs->rows[i].elements - 1);
		*id = reg_id(d, &d->regs->rows[i], element);
		return 0;
	}
	return lib_fail(-ENOENT, "%s has no register '%s' ('iofilter reg list %s')", d->name, name, d->name);
}

int iofilter_reg_name(const char *device, __u64 id, char *buf, size_t size)
{
	const struct device *d = known(device);
	const struct reg_row *row = d ? reg_row(d, id) : NULL;
	const char *hole;

	if (!d)
		return -ENOENT;
	if (!row)
		return lib_fail(-ENOENT, "%s has no register 0x%016llx", device, (unsigned long long)id);
	hole = strstr(row->name, "[]");
	if (hole)
		snprintf(buf, size, "%.*s[%u]%s", (int)(hole - row->name), row->name, IOFILTER_REG_ELEMENT(id), hole + 2);
	else
		snprintf(buf, size, "%s", row->name);
	return 0;
}
