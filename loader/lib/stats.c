// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The module's own table of ranges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib.h"

#define STATS_FILE "/sys/kernel/debug/kvm_iofilter/filters"

static bool parse(const char *line, struct stats_row *r)
{
	unsigned long long addr, n[4];
	char name[32], bus[8];
	unsigned int len;

	if (sscanf(line, "%u %d %31s %7s %llx %u %llu %llu %llu %llu", &r->link_id, &r->pid, name, bus, &addr, &len,
		   &n[0], &n[1], &n[2], &n[3]) != 10)
		return false;
	r->range.addr = addr;
	r->range.len = len;
	r->range.bus = strcmp(bus, "pio") ? KVM_IOFILTER_MMIO : KVM_IOFILTER_PIO;
	r->stats = (struct iofilter_range_stats){ n[0], n[1], n[2], n[3] };
	return true;
}

int stats_read(struct stats_row **rows)
{
	struct stats_row row, *list = NULL, *more;
	char line[256];
	int n = 0;
	FILE *f;

	f = fopen(STATS_FILE, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (!parse(line, &row))
			continue;
		more = realloc(list, (n + 1) * sizeof(*list));
		if (!more)
			break;
		list = more;
		list[n++] = row;
	}
	fclose(f);
	*rows = list;
	return n;
}
