// SPDX-License-Identifier: GPL-2.0
/*
 * Rule files with something wrong in them, one each in table_bad/. The last line of a file, "#! MESSAGE", is what its error begins with,
 * after the file's name. And the rule files that are installed: they have nothing wrong.
 */
#include <dirent.h>
#include <iofilter/libiofilter.h>
#include <loader/lib/table.h>
#include "host.h"

static struct table_file *file;
static struct iofilter_table *t;
static int wrong;

static char *slurp(const char *path, size_t *size)
{
	char *text = NULL;
	FILE *in = fopen(path, "r"), *out = open_memstream(&text, size);
	int c;

	if (!in)
		fail_msg("%s cannot be read", path);
	while ((c = getc(in)) != EOF)
		putc(c, out);
	fclose(in);
	fclose(out);
	return text;
}

/* Return: how many files end with @suffix in @dir. */
static int each(const char *dir, void (*fn)(const char *name, const char *text, size_t size))
{
	char path[512];
	struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		fail_msg("%s cannot be read", dir);
	while ((e = readdir(d))) {
		size_t size, len = strlen(e->d_name);
		char *text;

		if (len < 6 || strcmp(e->d_name + len - 6, ".rules"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		text = slurp(path, &size);
		fn(e->d_name, text, size);
		free(text);
		n++;
	}
	closedir(d);
	return n;
}

static void one_bad(const char *name, const char *text, size_t size)
{
	const char *want = memmem(text, size, "\n#! ", 4), *got;
	size_t len;

	if (!want && !strncmp(text, "#! ", 3))
		want = text - 1;
	if (!want)
		fail_msg("%s says nothing of the error that it wants", name);
	want += 4;
	len = strcspn(want, "\n");
	memset(t, 0, sizeof(*t));
	if (!table_parse(file, name, text, size, t))
		fail_msg("%s: nothing is wrong with it; wanted '%.*s'", name, (int)len, want);
	got = iofilter_error();
	printf("   %s\n", got);
	if (!strncmp(got, name, strlen(name)) && got[strlen(name)] == ':' && !strncmp(got + strlen(name) + 1, want, len))
		return;
	printf("WRONG: wanted '%s:%.*s'\n", name, (int)len, want);
	wrong++;
}

static void one_good(const char *name, const char *text, size_t size)
{
	memset(t, 0, sizeof(*t));
	if (table_parse(file, name, text, size, t))
		fail_msg("%s", iofilter_error());
	printf("   %s: %u rules, %u ranges\n", name, t->nr_rules, t->nr_ranges);
}

static void bad(void **unused)
{
	int n = each("selftests/host/table_bad", one_bad);

	(void)unused;
	printf("   %d files\n", n);
	assert_true(n >= 30);
	assert_int_equal(wrong, 0);
}

static void good(void **unused)
{
	(void)unused;
	assert_true(each("tables", one_good) > 0);
}

/* Every prefix of a file, and files with a letter changed: no crash, and an error with its place or none. */
static void mangled(void **unused)
{
	unsigned long refused = 0, n = 0;
	size_t size;
	char *text = slurp("tables/16550.rules", &size), *copy;
	int i;

	(void)unused;
	for (i = 0; i < 20000; i++) {
		size_t len = i < (int)size ? (size_t)i : size;

		copy = calloc(1, len + 1);
		memcpy(copy, text, len);
		for (int k = i < (int)size ? 0 : 1 + rnd() % 3; k; k--)
			copy[rnd() % len] = rnd() & 1 ? text[rnd() % size] : (char)rnd();
		memset(t, 0, sizeof(*t));
		if (table_parse(file, "mangled", copy, len, t)) {
			assert_memory_equal(iofilter_error(), "mangled:", 8);
			refused++;
		}
		free(copy);
		n++;
	}
	printf("   %lu of %lu refused\n", refused, n);
	assert_true(refused > n / 10);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad),
		cmocka_unit_test(good),
		cmocka_unit_test(mangled),
	};

	seed();
	t = malloc(sizeof(*t));
	file = malloc(sizeof(*file));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
