// SPDX-License-Identifier: GPL-2.0
/*
 * What a map's width, reload, value, compare and rate may be: refused alone or together, in a set and in a saved state, and then nothing of the map has
 * changed; allowed up to the very limits.
 */
#include <errno.h>
#include <zlib.h>
#include <loader/lib/map.h>
#include "reg_named.h"

/* As docs/state.md has it. */
enum { AT_SIZE = 16, AT_CRC = 24, AT_FIRST = 56 };

static struct iofilter_map map, before;

/* 32 bits, modulo 0xf000000, 10 ticks in 7 ns. It stands. */
static void fill(void)
{
	struct map_set s = { .value = 5, .num = 10, .den = 7, .width = 32, .mask = ~0U, .reload = 0xf000000 };

	map = (struct iofilter_map){ .addr = 0x600, .len = 8, .kind = IOFILTER_MAP_COUNTER, .sets = { s, s } };
	map.head.magic = IOFILTER_STATE_MAGIC;
	before = map;
}

static __u64 id_of(const char *name)
{
	return reg_named(device_find("map"), name);
}

static __u64 get(const char *name)
{
	return get_named(device_find("map"), &map, name);
}

static int set(const struct setting *s, unsigned int n)
{
	return set_named(device_find("map"), &map, s, n);
}

#define TOGETHER "set.reload of map is 0, or 2 to 2^set.width"
#define BITS	 "set.width of map is 1 to 64"
#define REGION	 "set.width of map is at most the bits of its region"
#define VALUE	 "set.value of map is one that it can show: below set.reload, or 2^set.width"
#define COMPARE	 "set.compare of map is one that it comes to: below set.reload, or 2^set.width"
#define FRAC	 "set.frac of map is below set.den"
#define RATE	 "set.num times set.den of map is below 2^63"
#define CONSTANT "set.running and set.alarm of map are 0 for a constant"

static void test_set(void **state)
{
	static const struct {
		struct setting s[2];
		const char *refused;
	} rows[] = {
		{ { { "set.width", 0 } }, BITS },
		{ { { "set.width", 65 } }, BITS },
		{ { { "set.width", ~0U } }, BITS },
		{ { { "set.width", 27 } }, TOGETHER },
		{ { { "set.width", 28 } }, NULL },
		{ { { "set.reload", 1 } }, TOGETHER },
		{ { { "set.reload", (1ULL << 32) + 1 } }, TOGETHER },
		{ { { "set.reload", ~0ULL } }, TOGETHER },
		{ { { "set.reload", 1ULL << 32 } }, NULL },
		{ { { "set.reload", 2 } }, NULL },
		{ { { "set.reload", 0 } }, NULL },
		{ { { "set.width", 8 }, { "set.reload", 257 } }, TOGETHER },
		{ { { "set.reload", 257 }, { "set.width", 8 } }, TOGETHER },
		{ { { "set.width", 64 }, { "set.reload", 1 } }, TOGETHER },
		{ { { "set.width", 0 }, { "set.reload", 0 } }, BITS },
		{ { { "set.value", 7 }, { "set.reload", 1 } }, TOGETHER },
		{ { { "set.width", 8 }, { "set.reload", 256 } }, NULL },
		{ { { "set.reload", (1ULL << 32) + 1 }, { "set.width", 33 } }, NULL },
		{ { { "set.width", 1 }, { "set.reload", 2 } }, NULL },
		{ { { "set.width", 1 }, { "set.reload", 0 } }, NULL },
		{ { { "set.width", 64 }, { "set.reload", ~0ULL } }, NULL },
		/* The last one counts. */
		{ { { "set.reload", 1 }, { "set.reload", 2 } }, NULL },
		{ { { "set.reload", 2 }, { "set.reload", 1 } }, TOGETHER },
		{ { { "set.width", 33 }, { "set.width", 27 } }, TOGETHER },
		{ { { "set.width", 27 }, { "set.width", 33 } }, NULL },
		{ { { "set.value", 0xf000000 - 1 } }, NULL },
		{ { { "set.value", 0xf000000 } }, VALUE },
		{ { { "set.value", ~0ULL } }, VALUE },
		{ { { "set.value", ~0U }, { "set.reload", 0 } }, NULL },
		{ { { "set.value", 1ULL << 32 }, { "set.reload", 0 } }, VALUE },
		{ { { "set.value", 1ULL << 32 }, { "set.reload", 1ULL << 32 } }, VALUE },
		{ { { "set.value", 1ULL << 32 }, { "set.width", 33 } }, VALUE },
		{ { { "set.compare", 0xf000000 - 1 } }, NULL },
		{ { { "set.compare", 0xf000000 } }, COMPARE },
		{ { { "set.compare", 9 }, { "set.reload", 9 } }, COMPARE },
		{ { { "set.compare", 0xf000000 }, { "set.alarm", 1 } }, COMPARE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned int n = rows[i].s[1].name ? 2 : 1, k;
		int err;

		fill();
		err = set(rows[i].s, n);
		if (err != (rows[i].refused ? -ERANGE : 0) || (err && strcmp(iofilter_error(), rows[i].refused)))
			fail_msg("row %zu: %d, %s", i, err, iofilter_error());
		if (err) {
			assert_memory_equal(&map, &before, sizeof(map));
			continue;
		}
		for (k = 0; k < n; k++)
			if (n < 2 || k || strcmp(rows[i].s[0].name, rows[i].s[1].name))
				assert_int_equal(get(rows[i].s[k].name), rows[i].s[k].val);
	}
	printf("# %zu sets\n", ARRAY_SIZE(rows));
}

/* What is not set itself is made to fit if nothing depends on it, or else keeps the rest from being set. */
static void test_follows(void **state)
{
	static const struct setting narrow[] = { { "set.width", 8 }, { "set.reload", 0 } }, alarm[] = { { "set.alarm", 2 } },
				    compare[] = { { "set.compare", 300 } };

	(void)state;
	fill();
	map.sets[0].value = map.sets[1].value = 0x1234;
	assert_int_equal(set(compare, 1), 0);
	assert_int_equal(set(narrow, 2), 0);
	assert_int_equal(get("set.value"), 0x34);
	assert_int_equal(get("set.compare"), 0);

	fill();
	assert_int_equal(set(compare, 1), 0);
	assert_int_equal(set(alarm, 1), 0);
	before = map;
	assert_int_equal(set(narrow, 2), -ERANGE);
	assert_string_equal(iofilter_error(), COMPARE);
	assert_memory_equal(&map, &before, sizeof(map));
}

static void test_region(void **state)
{
	static const struct setting widest = { "set.width", 24 }, beyond = { "set.width", 25 };

	(void)state;
	fill();
	map.len = 3;
	map.sets[0].reload = map.sets[1].reload = 0;
	before = map;
	assert_int_equal(set(&beyond, 1), -ERANGE);
	assert_string_equal(iofilter_error(), REGION);
	assert_memory_equal(&map, &before, sizeof(map));
	assert_int_equal(set(&widest, 1), 0);
}

static void test_constant(void **state)
{
	static const struct setting ok[] = { { "set.value", 9 }, { "set.running", 0 } }, bad[] = { { "set.running", 1 }, { "set.alarm", 1 } };

	(void)state;
	fill();
	map.kind = IOFILTER_MAP_CONST;
	before = map;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(set(&bad[i], 1), -ERANGE);
		assert_string_equal(iofilter_error(), CONSTANT);
		assert_memory_equal(&map, &before, sizeof(map));
	}
	assert_int_equal(set(ok, 2), 0);
	assert_int_equal(get("set.value"), 9);
}

static void sign(unsigned char *data, size_t size)
{
	__u32 crc;

	memset(data + AT_CRC, 0, 4);
	crc = crc32(0, data, size);
	memcpy(data + AT_CRC, &crc, 4);
}

/* Where a register's record begins. */
static unsigned char *record(unsigned char *data, const char *name)
{
	__u64 want = id_of(name), id;

	for (data += AT_FIRST; memcpy(&id, data, 8), id != want; data += 8 + saved_padded(IOFILTER_REG_SIZE(id)))
		;
	return data;
}

/* In place of the width a register with its number that is not known, of a size that no number has. Return: the size of it all. */
static size_t without_width(unsigned char *to, const unsigned char *from, size_t size)
{
	const __u64 id = (id_of("set.width") & ~(0xffffULL << 32)) | 16ULL << 32, total = size + 8;
	size_t at;

	memcpy(to, from, size);
	at = record(to, "set.width") - to;
	memcpy(to + at, &id, 8);
	memset(to + at + 8, 0xff, 16);
	memcpy(to + at + 24, from + at + 16, size - at - 16);
	memcpy(to + AT_SIZE, &total, 8);
	return total;
}

static void restored(unsigned char *data, size_t size, unsigned int flags, const char *refused, const char *what)
{
	int err;

	sign(data, size);
	before = map;
	err = saved_apply(device_find("map"), &map, data, size, flags);
	if (err != (refused ? -EBADMSG : 0) || (err && strcmp(iofilter_error(), refused)))
		fail_msg("%s: %d, %s", what, err, iofilter_error());
	if (err)
		assert_memory_equal(&map, &before, sizeof(map));
}

#define RANGE(name) name " of map is out of range in the saved state"

static void test_restore(void **state)
{
	static const struct {
		struct setting s;
		const char *refused;
	} rows[] = {
		{ { "set.width", 0 }, RANGE("set.width") },
		{ { "set.width", 65 }, RANGE("set.width") },
		{ { "set.width", 27 }, TOGETHER ": not so in the saved state" },
		{ { "set.width", 28 }, NULL },
		{ { "set.reload", 1 }, TOGETHER ": not so in the saved state" },
		{ { "set.reload", (1ULL << 32) + 1 }, TOGETHER ": not so in the saved state" },
		{ { "set.reload", 1ULL << 32 }, NULL },
		{ { "set.reload", 0 }, NULL },
		{ { "set.num", 0 }, RANGE("set.num") },
		{ { "set.num", MAP_FREQ_MAX + 1 }, RANGE("set.num") },
		{ { "set.den", 0 }, RANGE("set.den") },
		{ { "set.den", MAP_DIVIDER_MAX + 1 }, RANGE("set.den") },
		{ { "set.den", MAP_DIVIDER_MAX }, RATE ": not so in the saved state" },
		{ { "set.den", MAP_RATE_MAX / 10 }, NULL },
		{ { "set.den", MAP_RATE_MAX / 10 + 1 }, RATE ": not so in the saved state" },
		{ { "set.value", 0xf000000 }, VALUE ": not so in the saved state" },
		{ { "set.compare", 0xf000000 }, COMPARE ": not so in the saved state" },
		{ { "set.frac", 6 }, NULL },
		{ { "set.frac", 7 }, FRAC ": not so in the saved state" },
	};
	static const struct setting narrow[] = { { "set.width", 27 }, { "set.reload", 0 } };
	unsigned char *data, *file;
	size_t size, i;

	(void)state;
	fill();
	assert_int_equal(saved_make(device_find("map"), &map, (void **)&data, &size), 0);
	file = malloc(size + 8);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fill();
		memcpy(file, data, size);
		memcpy(record(file, rows[i].s.name) + 8, &rows[i].s.val, IOFILTER_REG_SIZE(id_of(rows[i].s.name)));
		restored(file, size, 0, rows[i].refused, rows[i].s.name);
		if (!rows[i].refused)
			assert_int_equal(get(rows[i].s.name), rows[i].s.val);
	}
	/* What is not in the state counts as it is. */
	size = without_width(file, data, size);
	fill();
	restored(file, size, IOFILTER_RESTORE_SKIP_UNKNOWN, NULL, "a state without a width");
	assert_int_equal(set(narrow, 2), 0);
	restored(file, size, IOFILTER_RESTORE_SKIP_UNKNOWN, TOGETHER ": not so in the saved state", "a state without a width");
	printf("# %zu saved states\n", i + 2);
	free(file);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),	 cmocka_unit_test(test_follows), cmocka_unit_test(test_region),
		cmocka_unit_test(test_constant), cmocka_unit_test(test_restore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
