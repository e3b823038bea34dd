/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* From a rule file to a table (docs/table.md has the language). */
#ifndef LOADER_TABLE_H
#define LOADER_TABLE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <iofilter/table.h>

#define TABLE_GROUPS 64

/* Addresses that rules may name, as the file has them. */
struct group {
	char name[TABLE_NAME_LEN];
	__u64 first, last;
	int bus; /* enum kvm_iofilter_bus */
	bool exact; /* only accesses that lie within are seen */
	bool derived; /* a rule for writes here changes the state */
	unsigned int line;
};

struct table_file {
	const char *name;
	struct iofilter_table *t;
	struct kvm_iofilter_range ranges[KVM_IOFILTER_MAX_RANGES];
	__u32 nr_ranges;
	unsigned int range_line[KVM_IOFILTER_MAX_RANGES]; /* of its first group */

	/* While it is read. */
	struct group groups[TABLE_GROUPS];
	int nr_groups;
	bool named, has_absence;
	__u64 given_bits; /* have a value from the start */
	unsigned int bit_line[TABLE_BITS], slot_line[TABLE_SLOTS];
	int bit_col[TABLE_BITS], slot_col[TABLE_SLOTS];
	bool slot_given[TABLE_SLOTS];
	__u32 data_used;
	struct group *rule_group[TABLE_RULES];

	const char *text, *line_start, *at;
	unsigned int line;
	jmp_buf fail;
};

/*
 * Read @text into @f->t (zeroed, but for what the program's own object has) and @f->ranges. Return: 0, or -EINVAL with the reason
 * "FILE:LINE:COLUMN: ..".
 */
int table_parse(struct table_file *f, const char *name, const char *text, size_t size, struct iofilter_table *t);

/* table_parse.c: what the parts share. They return only if all is well. */
void table_error(struct table_file *f, unsigned int line, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), noreturn));
/* The next word, or false at the line's end; f->at is behind it. */
bool table_word(struct table_file *f, const char **word, size_t *len);
__u64 table_number(struct table_file *f, const char *word, size_t len, const char *what, __u64 max);
int table_find(char (*names)[TABLE_NAME_LEN], int n, const char *word, size_t len);
struct group *table_find_group(struct table_file *f, const char *word, size_t len);

/* table_rule.c */
void table_parse_rule(struct table_file *f, int op);

/* table_build.c: what follows from the rules. */
void table_build(struct table_file *f);

#endif /* LOADER_TABLE_H */
