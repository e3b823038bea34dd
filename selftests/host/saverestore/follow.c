// SPDX-License-Identifier: GPL-2.0
/* What accesses change, as libiofilter tells it, compared with all registers that it tells of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <loader/lib/reg.h>
#include "../saverestore.h"

struct follow_count follow_count;

static __u64 was[IOFILTER_REG_CHANGED_MAX];

static const struct device *device(const char *name)
{
	const struct device *d = device_find(name);

	if (!d || !d->regs->changed_words)
		abort();
	return d;
}

static __u64 value(const struct reg_row *row, void *state, __u32 element)
{
	__u64 val = 0;

	reg_read(row, state, element, &val, &(struct reg_ctx){});
	return val;
}

void registers_before(const char *name, void *state)
{
	const struct device *d = device(name);
	__u64 ids[IOFILTER_REG_CHANGED_MAX];
	size_t j, n = 0, first;
	__u32 e;

	first = d->regs->followed && !d->regs->followed(state) ? reg_changed(d, state, ids) : 0;
	for (j = 0; j < d->regs->nr; j++)
		for (e = 0; d->regs->rows[j].hot && e < d->regs->rows[j].elements; e++)
			was[n++] = value(&d->regs->rows[j], state, e);
	/* The first time it tells of all of them. */
	if (first && first != n)
		abort();
}

const char *registers_after(const char *name, void *state)
{
	const struct device *d = device(name);
	static char wrong[IOFILTER_REG_NAME_LEN + 32];
	__u64 ids[IOFILTER_REG_CHANGED_MAX], id;
	int told = reg_changed(d, state, ids), at = 0, hot = 0;
	size_t j, n = 0;
	__u32 e;

	if (told < 0)
		abort();
	follow_count.told += told;
	follow_count.quiet += !told;
	for (j = 0; j < d->regs->nr; j++) {
		const struct reg_row *row = &d->regs->rows[j];

		for (e = 0; row->hot && e < row->elements; e++) {
			bool is_told, is_other = value(row, state, e) != was[n++];

			id = reg_id(d, row, e);
			is_told = at < told && ids[at] == id;
			at += is_told;
			follow_count.by |= (unsigned long long)is_told << hot;
			if (is_told == is_other)
				continue;
			snprintf(wrong, sizeof(wrong), "%s[%u]: a change that was %s", row->name, e, is_told ? "none" : "not told");
			return wrong;
		}
		hot += !!row->hot;
	}
	return at == told ? NULL : "registers that there are not";
}

void follow_print(const char *name)
{
	const struct device *d = device(name);
	int hot = 0;
	size_t j;

	printf("# %s: %lu changes of registers were told, %lu accesses changed none; of these registers none was told:", name,
	       follow_count.told, follow_count.quiet);
	for (j = 0; j < d->regs->nr; j++)
		if (d->regs->rows[j].hot && !(follow_count.by >> hot++ & 1))
			printf(" %s", d->regs->rows[j].name);
	printf("\n");
}
