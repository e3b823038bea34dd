// SPDX-License-Identifier: GPL-2.0
/*
 * The saved form of registers: what it puts back, also from older versions, and what of it is refused. The states are those that the
 * programs begin with.
 *
 * reg_saved --write DIR: states as this version saves them, for devices that have none there yet. Those in selftests/host/saved must be
 * restorable for ever, and are never written anew: a register that comes later is not in them.
 */
#include <zlib.h>
#include <iofilter/ide.h>
#include <iofilter/pit.h>
#include "reg_state.h"

static int restorable(const struct reg_row *row)
{
	return row->flags & (REG_G | REG_S) && !(row->flags & IOFILTER_REG_HOST);
}

static __u32 used(const struct reg_row *row, const void *state)
{
	return row->used ? row->used(row, state) : row->elements;
}

static void fill_one(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	size_t i;
	__u32 e;
	char buf[512];

	(void)arg;
	for (i = 0; i < d->regs->nr; i++) {
		const struct reg_row *row = &d->regs->rows[i];

		for (e = 0; restorable(row) && e < used(row, state); e++) {
			bytes_of(row, e, buf);
			reg_write(row, state, e, buf, ctx);
		}
	}
}

static void *filled(size_t i)
{
	void *s = fresh(i);

	assert_int_equal(reg_step(devices[i].d, s, true, fill_one, NULL), 0);
	return s;
}

/* The head of the saved form, as docs/state.md has it. */
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_RECORDS = 12, AT_SIZE = 16, AT_CRC = 24, AT_DEVICE = 32, AT_FIRST = 56 };

struct file {
	const char *data;
	size_t size;
};

static bool has(const struct file *f, __u64 wanted)
{
	__u64 id;

	for (size_t at = AT_FIRST; at < f->size; at += 8 + (IOFILTER_REG_SIZE(id) + 7) / 8 * 8) {
		memcpy(&id, f->data + at, 8);
		if (id == wanted)
			return true;
	}
	return false;
}

/* Is every register that is restored (of @f, if not NULL) what value_of() says? Return: how many, with the elements. */
static int check_values(size_t i, void *state, const struct file *f)
{
	const struct device *d = devices[i].d;
	char want[512], got[512];
	__u64 id, time;
	size_t j;
	int n = 0;
	__u32 e;

	for (j = 0; j < d->regs->nr; j++) {
		const struct reg_row *row = &d->regs->rows[j];

		for (e = 0; restorable(row) && e < used(row, state); e++) {
			id = reg_id(d, row, e);
			/* A register that the one who saved did not know yet. */
			if (f && !has(f, id))
				continue;
			n++;
			assert_int_equal(reg_get_many(d, state, &id, 1, got, row->size), 0);
			bytes_of(row, e, want);
			/* Those of the files were measured, where they come from: this host's stay. */
			if (f && row->set && is_time(row))
				memcpy(want, (char *)devices[i].initial + row->off + e * row->stride, row->size);
			if (!strcmp(row->name, "channel[].clock.time")) {
				/* It goes on. */
				memcpy(&time, got, 8);
				assert_in_range(time - value_of(row, e), 0, 20000000000ULL);
				continue;
			}
			if (memcmp(want, got, row->size))
				print_error("%s: %s, element %u\n", names[i], row->name, e);
			assert_memory_equal(want, got, row->size);
		}
	}
	return n;
}

static void test_restore(void **state)
{
	size_t i, size;
	void *data;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		void *from = filled(i), *to = fresh(i);

		check_values(i, from, NULL);
		assert_int_equal(saved_make(devices[i].d, from, &data, &size), 0);
		assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), 0);
		printf("# %s: %zu bytes, %d values restored\n", names[i], size, check_values(i, to, NULL));
		free(from);
		free(to);
		free(data);
	}
}

/* --- what is refused --- */

static void sign(unsigned char *data, size_t size)
{
	__u32 crc;

	memset(data + AT_CRC, 0, 4);
	crc = crc32(0, data, size);
	memcpy(data + AT_CRC, &crc, 4);
}

static void refused(size_t i, const void *data, size_t size, int err, const char *what)
{
	static void *s, *before;
	static size_t of = NR_DEVICES;
	int got;

	if (of != i) {
		free(s);
		free(before);
		s = filled(i);
		before = malloc(devices[i].size);
		memcpy(before, s, devices[i].size);
		of = i;
	}
	got = saved_apply(devices[i].d, s, data, size, 0);
	if (got != err)
		fail_msg("%s: %s: %d instead of %d", names[i], what, got, err);
	assert_memory_equal(s, before, devices[i].size);
}

static void test_damaged(void **state)
{
	size_t i, j, size, n = 0;
	unsigned char *data, *copy;
	char what[64];
	void *s;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		s = filled(i);
		assert_int_equal(saved_make(devices[i].d, s, (void **)&data, &size), 0);
		copy = malloc(size + 1);
		memcpy(copy, data, size);
		copy[size] = 0;
		for (j = 0; j < size; j++, n += 2) {
			snprintf(what, sizeof(what), "%zu of %zu bytes", j, size);
			refused(i, copy, j, -EBADMSG, what);
			copy[j] ^= 1 << j % 8;
			snprintf(what, sizeof(what), "byte %zu of %zu altered", j, size);
			refused(i, copy, size, -EBADMSG, what);
			copy[j] = data[j];
		}
		refused(i, copy, size + 1, -EBADMSG, "a byte too many");
		free(copy);
		free(data);
		free(s);
	}
	printf("# %zu refused\n", n);
}

static void test_foreign(void **state)
{
	unsigned char *data, *other;
	size_t i, size, n;
	__u64 id, val;
	void *s, *to;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		s = filled(i);
		assert_int_equal(saved_make(devices[i].d, s, (void **)&data, &size), 0);
		other = malloc(size + 64);
#define ALTER(what, err, change)                                  \
	do {                                                      \
		memcpy(other, data, size);                        \
		n = size;                                         \
		change;                                           \
		memcpy(other + AT_SIZE, &(__u64){ n }, 8);        \
		sign(other, n);                                   \
		refused(i, other, n, err, what);                  \
	} while (0)
		ALTER("another version", -EPROTO, other[AT_VERSION]++);
		ALTER("another device", -EINVAL, strcpy((char *)other + AT_DEVICE, names[(i + 1) % NR_DEVICES]));
		ALTER("another magic", -EBADMSG, other[AT_MAGIC]++);
		ALTER("a record too many", -EBADMSG, other[AT_RECORDS]--);
		ALTER("a record too few", -EBADMSG, other[AT_RECORDS]++);
		ALTER("a record twice", -EBADMSG, (memcpy(other + size, other + AT_FIRST, 16), n += 16, other[AT_RECORDS]++));
		memcpy(&id, data + AT_FIRST, 8);
		ALTER("an unknown register", -ENOENT, memcpy(other + AT_FIRST, &(__u64){ id & ~0xffff0000ULL }, 8));
		/* .. which can be left out. */
		to = fresh(i);
		assert_int_equal(saved_apply(devices[i].d, to, other, n, IOFILTER_RESTORE_SKIP_UNKNOWN), 0);
		check_values(i, to, NULL);
		free(to);
		/* Cut off within a record. */
		ALTER("half a record", -EBADMSG, n -= 8);
		/* Too large: the size is not this one's. */
		memcpy(other, data, size);
		val = 1ULL << 40;
		memcpy(other + AT_SIZE, &val, 8);
		sign(other, size);
		refused(i, other, size, -EBADMSG, "a size that is not its own");
		/* Another configuration: other is the state of this. */
		to = fresh(i);
		if (!strcmp(names[i], "table"))
			((struct iofilter_table *)to)->nr_slots++;
		else if (!strcmp(names[i], "pit"))
			((struct iofilter_pit *)to)->channels[1].clock.freq--;
		else if (!strcmp(names[i], "ide"))
			((struct iofilter_ide *)to)->base = 0x170;
		else if (!strcmp(names[i], "map"))
			((struct iofilter_map *)to)->kind = IOFILTER_MAP_CONST;
		else if (!strcmp(names[i], "pmtimer") || !strcmp(names[i], "hpet"))
			((struct iofilter_counter *)to)->addr += 8;
		if (strcmp(names[i], "speaker") && strcmp(names[i], "rtc"))
			assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), -EINVAL);
		free(to);
		free(other);
		free(data);
		free(s);
	}
}

/* A table's rules must be the same, but not where they stand in their file. */
static void test_rules(void **state)
{
	struct iofilter_table *from, *to;
	size_t i, size;
	void *data;

	(void)state;
	for (i = 0; strcmp(names[i], "table"); i++)
		;
	from = fresh(i);
	from->nr_rules = 2;
	from->rules[1] = (struct table_rule){ .addr = 0x300, .count = 1, .clear = 4, .line = 7 };
	assert_int_equal(saved_make(devices[i].d, from, &data, &size), 0);
	to = fresh(i);
	to->nr_rules = 2;
	to->rules[1] = from->rules[1];
	to->rules[1].line = 9;
	assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), 0);
	assert_int_equal(to->rules[1].line, 9);
	to->rules[1].effects = 1;
	assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), -EINVAL);
	free(from);
	free(to);
	free(data);
}

/* --- files of older versions --- */

static void *read_file(const char *name, size_t *size)
{
	FILE *f = fopen(name, "rb");
	void *data;

	if (!f)
		fail_msg("%s: %s", name, strerror(errno));
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	data = malloc(*size);
	assert_int_equal(fread(data, 1, *size, f), *size);
	fclose(f);
	return data;
}

static void test_old(void **state)
{
	const char *root = getenv("ROOT") ?: ".";
	char name[512];
	size_t i, size;
	void *data, *s;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		snprintf(name, sizeof(name), "%s/selftests/host/saved/%s-1.state", root, names[i]);
		data = read_file(name, &size);
		s = fresh(i);
		assert_int_equal(saved_apply(devices[i].d, s, data, size, 0), 0);
		assert_true(check_values(i, s, &(struct file){ data, size }) > 0);
		free(data);
		free(s);
	}
}

static int write_states(const char *dir)
{
	char name[512];
	size_t i, size;
	void *data;
	FILE *f;

	for (i = 0; i < NR_DEVICES; i++) {
		snprintf(name, sizeof(name), "%s/%s-1.state", dir, names[i]);
		f = fopen(name, "wbx");
		if (!f && errno == EEXIST)
			continue;
		if (!f || saved_make(devices[i].d, filled(i), &data, &size) || fwrite(data, 1, size, f) != size || fclose(f))
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restore),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_old),
	};

	if (load())
		return 1;
	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_states(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
