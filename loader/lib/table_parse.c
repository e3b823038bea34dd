// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Rule files: lines, words, and all statements but rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib.h"
#include "table.h"

#define LINE_MAX_LEN 8192
#define ABSENCE_MAX_US 10000000

static const char *const keywords[] = { "table", "absence", "ports", "memory", "bit", "slot", "buffer", "read", "write", "if", "trap",
					"take", "pass", "answer", "repeat", "and", "or", "set", "clear", "rewind", "exact" };

void table_error(struct table_file *f, unsigned int line, const char *at, const char *fmt, ...)
{
	char why[384];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	lib_fail(-EINVAL, "%s:%u:%d: %s", f->name, line, at ? (int)(at - f->line_start) + 1 : 1, why);
	longjmp(f->fail, 1);
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

bool table_word(struct table_file *f, const char **word, size_t *len)
{
	while (blank(*f->at))
		f->at++;
	*word = f->at;
	if (*f->at == '\n' || *f->at == '\0' || *f->at == '#')
		return false;
	while (*f->at && *f->at != '\n' && *f->at != '#' && !blank(*f->at))
		f->at++;
	*len = f->at - *word;
	return true;
}

__u64 table_number(struct table_file *f, const char *word, size_t len, const char *what, __u64 max)
{
	char copy[32], *end;
	__u64 v;

	if (!len || len >= sizeof(copy) || *word < '0' || *word > '9')
		table_error(f, f->line, word, "%s: '%.*s' is not a number", what, (int)len, word);
	memcpy(copy, word, len);
	copy[len] = '\0';
	errno = 0;
	v = strtoull(copy, &end, 0);
	if (*end)
		table_error(f, f->line, word, "%s: '%s' is not a number", what, copy);
	if (errno || v > max)
		table_error(f, f->line, word, "%s: %s is more than 0x%llx", what, copy, (unsigned long long)max);
	return v;
}

int table_find(char (*names)[TABLE_NAME_LEN], int n, const char *word, size_t len)
{
	for (int i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], word, len))
			return i;
	return -1;
}

struct group *table_find_group(struct table_file *f, const char *word, size_t len)
{
	for (int i = 0; i < f->nr_groups; i++)
		if (strlen(f->groups[i].name) == len && !memcmp(f->groups[i].name, word, len))
			return &f->groups[i];
	return NULL;
}

static void end_of_line(struct table_file *f)
{
	const char *word;
	size_t len;

	if (table_word(f, &word, &len))
		table_error(f, f->line, word, "'%.*s' is one word too many", (int)len, word);
}

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* A new name: not a keyword, and nothing else's. Return: where it stands. */
static const char *new_name(struct table_file *f, const char *what, char *to)
{
	struct table_text *text = &f->t->text;
	const char *word;
	size_t len, i;

	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the name of the %s is missing", what);
	for (i = 0; i < len; i++)
		if (!name_char(word[i], !i))
			table_error(f, f->line, word, "'%.*s' is no name: letters, digits and _", (int)len, word);
	if (len >= TABLE_NAME_LEN)
		table_error(f, f->line, word, "the name '%.*s' is longer than %d letters", (int)len, word, TABLE_NAME_LEN - 1);
	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strlen(keywords[i]) == len && !memcmp(keywords[i], word, len))
			table_error(f, f->line, word, "'%s' is a word of the language, and no name", keywords[i]);
	if (table_find_group(f, word, len) || table_find(text->bits, f->t->nr_bits, word, len) >= 0 ||
	    table_find(text->slots, f->t->nr_slots, word, len) >= 0 || table_find(text->buffers, f->t->nr_buffers, word, len) >= 0)
		table_error(f, f->line, word, "the name '%.*s' is taken", (int)len, word);
	memset(to, 0, TABLE_NAME_LEN);
	memcpy(to, word, len);
	return word;
}

/* "= WORD", if it is there. */
static bool value(struct table_file *f, const char **word, size_t *len)
{
	if (!table_word(f, word, len))
		return false;
	if (*len != 1 || **word != '=')
		table_error(f, f->line, *word, "'%.*s' is not '='", (int)*len, *word);
	if (!table_word(f, word, len))
		table_error(f, f->line, *word, "the value after '=' is missing");
	return true;
}

static void parse_table(struct table_file *f)
{
	const char *word;
	size_t len, i;

	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the name of the table is missing");
	if (f->named)
		table_error(f, f->line, word, "the table has a name already");
	/* No rule names it: so "16550" and "ide-poll" will do. But what prints it takes it for UTF-8. */
	for (i = 0; i < len; i++)
		if (!name_char(word[i], false) && word[i] != '-')
			table_error(f, f->line, word, "'%.*s' is no name of a table: letters, digits, _ and -", (int)len, word);
	if (len >= sizeof(f->t->text.name))
		table_error(f, f->line, word, "the table's name is longer than %zu letters", sizeof(f->t->text.name) - 1);
	memcpy(f->t->text.name, word, len);
	f->named = true;
}

static void parse_absence(struct table_file *f)
{
	const char *word;
	size_t len;

	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the absence in us is missing");
	if (f->has_absence)
		table_error(f, f->line, word, "there is an absence already");
	f->t->absence = table_number(f, word, len, "absence", ABSENCE_MAX_US) * 1000;
	if (!f->t->absence)
		table_error(f, f->line, word, "an absence of 0: then nothing is ever known");
	f->has_absence = true;
}

static void parse_group(struct table_file *f, int bus)
{
	struct group g = { .bus = bus, .line = f->line };
	__u64 max = bus == KVM_IOFILTER_PIO ? 0xffff : ~0ULL - 4096;
	const char *word, *name, *dash;
	size_t len;
	int i;

	name = new_name(f, "group", g.name);
	if (!table_word(f, &word, &len))
		table_error(f, f->line, word, "the addresses of '%s' are missing", g.name);
	dash = memchr(word, '-', len);
	g.first = table_number(f, word, dash ? (size_t)(dash - word) : len, "address", max);
	g.last = dash ? table_number(f, dash + 1, word + len - dash - 1, "address", max) : g.first;
	if (bus == KVM_IOFILTER_MMIO && g.first < TABLE_MMIO_MIN)
		table_error(f, f->line, word, "memory below 0x%x is no device's", TABLE_MMIO_MIN);
	if (g.last < g.first)
		table_error(f, f->line, dash + 1, "the last address is before the first");
	if (g.last - g.first >= 4096)
		table_error(f, f->line, word, "a group has at most 4096 addresses, not %llu", (unsigned long long)(g.last - g.first + 1));
	for (i = 0; i < f->nr_groups; i++)
		if (f->groups[i].bus == bus && g.first <= f->groups[i].last && f->groups[i].first <= g.last)
			table_error(f, f->line, word, "these addresses are already in '%s' (line %u)", f->groups[i].name,
				    f->groups[i].line);
	if (table_word(f, &word, &len)) {
		if (len != 5 || memcmp(word, "exact", 5))
			table_error(f, f->line, word, "'%.*s': only 'exact' may follow the addresses", (int)len, word);
		g.exact = true;
	}
	if (f->nr_groups == TABLE_GROUPS)
		table_error(f, f->line, name, "more than %d groups", TABLE_GROUPS);
	f->groups[f->nr_groups++] = g;
}

static void parse_bit(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	char name[TABLE_NAME_LEN];
	const char *word, *at;
	size_t len;

	at = new_name(f, "bit", name);
	if (t->nr_bits == TABLE_BITS)
		table_error(f, f->line, at, "more than %d bits", TABLE_BITS);
	if (value(f, &word, &len)) {
		if (table_number(f, word, len, "a bit's value", 1))
			t->bits |= 1ULL << t->nr_bits;
		f->given_bits |= 1ULL << t->nr_bits;
	}
	f->bit_line[t->nr_bits] = f->line;
	f->bit_col[t->nr_bits] = at - f->line_start;
	memcpy(t->text.bits[t->nr_bits++], name, sizeof(name));
}

static void parse_slot(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	char name[TABLE_NAME_LEN];
	const char *word, *at;
	size_t len;

	at = new_name(f, "slot", name);
	if (t->nr_slots == TABLE_SLOTS)
		table_error(f, f->line, at, "more than %d slots", TABLE_SLOTS);
	if (value(f, &word, &len)) {
		t->cells[t->nr_slots].val = table_number(f, word, len, "a slot's value", ~0ULL);
		f->slot_given[t->nr_slots] = true;
	}
	f->slot_line[t->nr_slots] = f->line;
	f->slot_col[t->nr_slots] = at - f->line_start;
	memcpy(t->text.slots[t->nr_slots++], name, sizeof(name));
}

/* HH, or HH*COUNT */
static void parse_bytes(struct table_file *f, const char *word, size_t len)
{
	const char *star = memchr(word, '*', len);
	size_t digits = star ? (size_t)(star - word) : len;
	__u64 byte, count = 1;
	char copy[8], *end;

	snprintf(copy, sizeof(copy), "%.*s", (int)digits, word);
	byte = strtoul(copy, &end, 16);
	if (digits != 2 || *end || *copy == '-' || *copy == '+')
		table_error(f, f->line, word, "'%.*s' is no byte of two hexadecimal digits", (int)digits, word);
	if (star)
		count = table_number(f, star + 1, word + len - star - 1, "how many bytes", TABLE_BUFFER_DATA);
	if (f->data_used + count > TABLE_BUFFER_DATA)
		table_error(f, f->line, word, "the buffers hold more than %d bytes", TABLE_BUFFER_DATA);
	memset(f->t->data + f->data_used, byte, count);
	f->data_used += count;
}

static void parse_buffer(struct table_file *f)
{
	struct iofilter_table *t = f->t;
	struct table_buffer *b;
	char name[TABLE_NAME_LEN];
	const char *word, *at;
	size_t len;

	at = new_name(f, "buffer", name);
	if (t->nr_buffers == TABLE_BUFFERS)
		table_error(f, f->line, at, "more than %d buffers", TABLE_BUFFERS);
	b = &t->buffers[t->nr_buffers];
	b->off = f->data_used;
	if (!value(f, &word, &len))
		table_error(f, f->line, word, "the bytes of '%s' are missing", name);
	do
		parse_bytes(f, word, len);
	while (table_word(f, &word, &len));
	b->len = f->data_used - b->off;
	if (!b->len)
		table_error(f, f->line, at, "the buffer '%s' is empty", name);
	memcpy(t->text.buffers[t->nr_buffers++], name, sizeof(name));
}

static void parse_line(struct table_file *f)
{
	const char *word;
	size_t len;

#define IS(s) (len == sizeof(s) - 1 && !memcmp(word, s, len))
	if (!table_word(f, &word, &len))
		return;
	if (IS("table"))
		parse_table(f);
	else if (IS("absence"))
		parse_absence(f);
	else if (IS("ports"))
		parse_group(f, KVM_IOFILTER_PIO);
	else if (IS("memory"))
		parse_group(f, KVM_IOFILTER_MMIO);
	else if (IS("bit"))
		parse_bit(f);
	else if (IS("slot"))
		parse_slot(f);
	else if (IS("buffer"))
		parse_buffer(f);
	else if (IS("read"))
		table_parse_rule(f, TABLE_READ);
	else if (IS("write"))
		table_parse_rule(f, TABLE_WRITE);
	else
		table_error(f, f->line, word, "unknown '%.*s': table, absence, ports, memory, bit, slot, buffer, read or write", (int)len,
			    word);
#undef IS
	end_of_line(f);
}

int table_parse(struct table_file *f, const char *name, const char *text, size_t size, struct iofilter_table *t)
{
	const char *end, *nul = memchr(text, '\0', size);

	memset(f, 0, sizeof(*f));
	f->name = name;
	f->t = t;
	f->text = text;
	if (setjmp(f->fail))
		return -EINVAL;
	for (f->line = 1, f->at = text; *f->at; f->line++) {
		f->line_start = f->at;
		end = strchrnul(f->at, '\n');
		if (end - f->at > LINE_MAX_LEN)
			table_error(f, f->line, f->at, "a line of more than %d letters", LINE_MAX_LEN);
		parse_line(f);
		f->at = *end ? end + 1 : end;
	}
	if (nul)
		table_error(f, f->line, NULL, "a NUL byte: this is no text");
	table_build(f);
	return 0;
}
