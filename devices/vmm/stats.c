// SPDX-License-Identifier: GPL-2.0
/* What --stats prints at the end: one JSON object. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "vmm.h"

/* Regions of one name are one group. */
static void print_group(FILE *f, const struct vmm *vmm, unsigned int i)
{
	const struct region *r = i < vmm->nr_regions ? &vmm->regions[i] : &vmm->nowhere;
	__u64 reads = 0, writes = 0, elements = 0;
	unsigned int j;

	for (j = 0; j < i; j++)
		if (!strcmp(vmm->regions[j].name, r->name))
			return;
	for (; j <= vmm->nr_regions; j++) {
		const struct region *same = j < vmm->nr_regions ? &vmm->regions[j] : &vmm->nowhere;

		if (strcmp(same->name, r->name))
			continue;
		reads += same->reads;
		writes += same->writes;
		elements += same->elements;
	}
	fprintf(f, "%s\n    \"%s\": { \"reads\": %llu, \"writes\": %llu, \"elements\": %llu }", i ? "," : "", r->name, reads, writes,
		elements);
}

int stats_print(struct vmm *vmm)
{
	FILE *f = vmm->opts.stats ? fopen(vmm->opts.stats, "we") : stderr;
	unsigned int i;

	if (!f) {
		vmm_error("%s: %s", vmm->opts.stats, strerror(errno));
		return -1;
	}
	fprintf(f, "{\n  \"seconds\": %.3f,\n  \"status\": %d,\n  \"pauses\": %llu,\n  \"exits\": %llu,\n  \"ports\": {",
		(monotonic() - vmm->started_at) / 1e9, vmm->status, vmm->pauses, vmm->exits);
	for (i = 0; i <= vmm->nr_regions; i++)
		print_group(f, vmm, i);
	fprintf(f, "\n  }");
	filters_stats(vmm, f);
	fprintf(f, "\n}\n");
	return f == stderr ? 0 : fclose(f);
}
