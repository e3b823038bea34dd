/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The states that tests of registers have: of each device what its program begins with, and a value for each element of each register, which
 * the files of older versions hold, too.
 */
#ifndef SELFTESTS_REG_STATE_H
#define SELFTESTS_REG_STATE_H

#include <errno.h>
#include <bpf/libbpf.h>
#include <iofilter/map.h>
#include <iofilter/table.h>
#include <loader/lib/reg.h>
#include "host.h"

static const char *const names[] = { "pmtimer", "hpet", "pit", "speaker", "rtc", "ide", "table", "map" };

#define NR_DEVICES ARRAY_SIZE(names)

static struct {
	const struct device *d;
	struct bpf_object *bpf;
	void *initial;
	size_t size;
} devices[NR_DEVICES];

static __u64 mix(__u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static int ends(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

static bool is_time(const struct reg_row *row)
{
	return ends(row->name, "expiry") || ends(row->name, "absence") || ends(row->name, "bracket");
}

/* A value for each element of each register that depends on nothing else, and that goes together with the others'. */
static __u64 value_of(const struct reg_row *row, __u32 e)
{
	static const struct {
		const char *name;
		__u64 val, per_element;
	} fixed[] = {
		{ "clock.mode", IOFILTER_CLOCK_STOPPED, 0 }, { "channel[].programmed", 1, 0 }, { "channel[].rw", 1, 1 },
		{ "channel[].write_state", 1, 1 }, { "channel[].count", 1000, 7 }, { "own.given", 1, 0 }, { "own.pos", 514, 0 },
		{ "own.begin", 512, 0 }, { "own.end", 1024, 0 }, { "own.there", 2560, 0 }, { "own.last", 4096, 0 },
		{ "buffer[].len", 70, 0 }, { "buffer[].pos", 30, 1 }, { "predict.armed", 1, 0 }, { "predict.nr", 3, 0 },
		{ "predict.next", 1, 0 }, { "predict.pos", 2, 0 }, { "expect[].off", 1024, 16 },
		{ "set.width", 32, 0 }, { "set.num", 3, 0 }, { "set.den", 7, 0 }, { "set.frac", 2, 0 }, { "set.reload", 0xf000000, 0 },
		{ "set.value", 0xabcdef, 0 }, { "set.compare", 0x123456, 0 }, { "set.running", 0, 0 }, { "set.alarm", 1, 0 },
		{ "expect[].bytes", 16, 0 }, { "expect[].width", 2, 0 }, { "channel[].clock.time", 1000000, 1000 },
	};
	__u64 val = mix((__u64)row->nr << 32 | e), max = row->max;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++)
		if (!strcmp(row->name, fixed[i].name))
			return fixed[i].val + e * fixed[i].per_element;
	if (is_time(row))
		return 900000000 + val % 1000;
	if (max)
		val = row->min + val % (max - row->min + 1 ?: 1);
	return row->size < 8 ? val & ((1ULL << 8 * row->size) - 1) : val;
}

static void bytes_of(const struct reg_row *row, __u32 e, char *to)
{
	__u64 val = value_of(row, e);
	__u32 i;

	for (i = 0; row->size > 8 && i < row->size; i++)
		to[i] = mix((__u64)row->nr << 32 | e << 10 | i);
	if (row->size <= 8)
		memcpy(to, &val, row->size);
}

/* A state as a program begins with, with what a loader writes into it. */
static void *fresh(size_t i)
{
	void *s = malloc(devices[i].size);

	memcpy(s, devices[i].initial, devices[i].size);
	if (!strcmp(names[i], "table")) {
		struct iofilter_table *t = s;

		t->nr_slots = 5;
		t->nr_buffers = 2;
		t->buffers[0].len = t->buffers[1].len = t->buffers[1].off = 512;
	}
	if (!strcmp(names[i], "map")) {
		struct iofilter_map *m = s;

		m->len = 8;
		m->kind = IOFILTER_MAP_COUNTER;
	}
	return s;
}

static int load_device(size_t i)
{
	const char *o = getenv("O") ?: "build";
	struct bpf_map *map;
	const void *initial;
	char name[512];

	snprintf(name, sizeof(name), "%s/bpf/%s.bpf.o", o, names[i]);
	devices[i].d = device_find(names[i]);
	devices[i].bpf = bpf_object__open_file(name, NULL);
	if (!devices[i].bpf || !devices[i].d)
		return 1;
	map = bpf_object__find_map_by_name(devices[i].bpf, IOFILTER_STATE_MAP);
	initial = map ? bpf_map__initial_value(map, &devices[i].size) : NULL;
	if (!initial || devices[i].size < devices[i].d->state_size)
		return 1;
	devices[i].initial = malloc(devices[i].size);
	memcpy(devices[i].initial, initial, devices[i].size);
	return 0;
}

/* Fill in devices[]. Return: 0, or 1 if it cannot be done, which is said. */
static int load(void)
{
	size_t i;

	for (i = 0; i < NR_DEVICES; i++)
		if (load_device(i)) {
			fprintf(stderr, "%s: no programs below $O (build)\n", program_invocation_short_name);
			return 1;
		}
	return 0;
}

#endif /* SELFTESTS_REG_STATE_H */
