// SPDX-License-Identifier: GPL-2.0
/* The file of a saved VM (devices/vmm/section.c): what was put is found again, and whatever else the file has become is refused. */
#include <fcntl.h>
#include <unistd.h>
#include <devices/vmm/section.h>
#include "host.h"

static char name[] = "/tmp/vmm_section.XXXXXX", text[512];
static unsigned int messages;

void vmm_error(const char *fmt, ...);

/* In place of the VMM's. */
void vmm_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	messages++;
}

static uint8_t file[4096];
static size_t size;

static void put(const void *data, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static void expect(const void *data, size_t n, int want)
{
	struct snapshot s;

	put(data, n);
	messages = 0;
	assert_int_equal(snapshot_open(&s, name), want);
	assert_int_equal(messages, want ? 1 : 0);
	assert_null(strchr(text, '\n'));
	if (!want)
		snapshot_close(&s);
}

static int make(void **state)
{
	struct snapshot_out o;
	uint8_t data[300];
	int fd;
	unsigned int i;

	(void)state;
	close(mkstemp(name));
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 7;
	assert_int_equal(snapshot_create(&o, name), 0);
	section_put(&o, "first", 0, data, 300);
	section_put(&o, "empty", 0, NULL, 0);
	section_put(&o, "first", 1, data + 5, 100);
	section_put(&o, "a name of 16 ...", 0, "x", 1);
	assert_int_equal(snapshot_finish(&o), 0);
	fd = open(name, O_RDONLY);
	size = read(fd, file, sizeof(file));
	close(fd);
	assert_true(size > 500 && size < sizeof(file));
	return 0;
}

static int end(void **state)
{
	(void)state;
	return unlink(name);
}

static void test_found(void **state)
{
	struct snapshot s;
	uint8_t data[300];

	(void)state;
	put(file, size);
	messages = 0;
	assert_int_equal(snapshot_open(&s, name), 0);
	assert_int_equal(section_get(&s, "first", 0, data, 300), 0);
	assert_int_equal(data[299], (uint8_t)(299 * 7));
	assert_int_equal(section_get(&s, "first", 1, data, 100), 0);
	assert_int_equal(data[0], 35);
	assert_non_null(section_find(&s, "empty", 0));
	assert_int_equal(section_get(&s, "a name of 16 ...", 0, data, 1), 0);
	assert_int_equal(messages, 0);
	assert_null(section_find(&s, "firs", 0));
	assert_null(section_find(&s, "first", 2));
	assert_int_equal(section_get(&s, "first", 1, data, 101), -1);
	assert_int_equal(section_get(&s, "none", 0, data, 1), -1);
	assert_int_equal(messages, 2);
	snapshot_close(&s);
}

static void test_every_bit(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < size * 8; i++) {
		file[i / 8] ^= 1 << i % 8;
		expect(file, size, -1);
		file[i / 8] ^= 1 << i % 8;
	}
	expect(file, size, 0);
}

static void test_every_length(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < size; i++)
		expect(file, i, -1);
	memset(file + size, 0, 64);
	for (i = 1; i < 64; i++)
		expect(file, size + i, -1);
	expect(file, size, 0);
}

/* Whole sections taken out, doubled, exchanged: each is right by itself. 16 bytes of header, then 32 and the data of each. */
static void test_sections(void **state)
{
	static const size_t at[] = { 16, 16 + 332, 16 + 332 + 32, 16 + 332 + 32 + 132 };
	uint8_t other[4096];
	size_t len, i;

	(void)state;
	for (i = 0; i + 1 < ARRAY_SIZE(at); i++) {
		len = at[i + 1] - at[i];
		memcpy(other, file, at[i]);
		memcpy(other + at[i], file + at[i + 1], size - at[i + 1]);
		expect(other, size - len, -1);
		memcpy(other, file, at[i + 1]);
		memcpy(other + at[i + 1], file + at[i], size - at[i]);
		expect(other, size + len, -1);
	}
	memcpy(other, file, size);
	memcpy(other + at[1], file + at[2], 132);
	memcpy(other + at[1] + 132, file + at[1], 32);
	expect(other, size, -1);
}

/* What cannot be written leaves the file of before, and nothing beside it. */
static void test_no_room(void **state)
{
	struct snapshot_out o;

	(void)state;
	messages = 0;
	assert_int_equal(snapshot_create(&o, "/nonexistent/file"), -1);
	assert_int_equal(messages, 1);
	put(file, size);
	assert_int_equal(snapshot_create(&o, name), 0);
	section_put(&o, "first", 0, file, 10);
	snapshot_abandon(&o);
	assert_int_equal(snapshot_create(&o, name), 0);
	fclose(o.f);
	/* As a full disk: it takes nothing. */
	o.f = fopen("/dev/full", "w");
	section_put(&o, "first", 0, file, 10);
	assert_int_equal(snapshot_finish(&o), -1);
	assert_int_equal(messages, 2);
	assert_int_equal(access(name, R_OK), 0);
	{
		int fd = open(name, O_RDONLY);

		assert_int_equal(read(fd, file, sizeof(file)), size);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found), cmocka_unit_test(test_every_bit), cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_sections), cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, make, end);
}
