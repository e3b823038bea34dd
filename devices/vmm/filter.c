// SPDX-License-Identifier: GPL-2.0
/* The VMM's filters, through libiofilter alone: attach, tell of stops and of what the guest's writes change, take apart. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "filter.h"

#define MAX_FILTERS 8

static const struct filter_kind *const kinds[] = { &filter_pmtimer, &filter_hpet, &filter_pit, &filter_rtc, &filter_ide, &filter_table };

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct filters {
	struct filter f[MAX_FILTERS];
	unsigned int nr;
};

static const struct filter_kind *find_kind(const char *name, size_t len)
{
	unsigned int i;

	for (i = 0; i < NR_KINDS; i++)
		if (strlen(kinds[i]->name) == len && !strncmp(kinds[i]->name, name, len))
			return kinds[i];
	return NULL;
}

/* The clock is told before the first vCPU runs: from its first access on the filter is exact. */
static int attach(struct vmm *vmm, const char *word)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = vmm->fd };
	const struct filter_kind *kind = find_kind(word, strcspn(word, "="));
	struct filters *fs = vmm->filters;
	struct filter *f = &fs->f[fs->nr];
	const char *arg = strchr(word, '=');
	int (*told)(struct filter *f);
	int err;

	if (!kind || fs->nr == MAX_FILTERS) {
		vmm_error(kind ? "--filter: too many" : "--filter: there is none for '%s'", word);
		return -1;
	}
	if (!arg != !kind->wants && !(!arg && kind->optional)) {
		vmm_error(arg ? "--filter: %s takes nothing%s" : "--filter: %s=%s is wanted", kind->name, kind->wants ?: "");
		return -1;
	}
	if (kind->options && kind->options(vmm, arg ? arg + 1 : NULL, &opts))
		return -1;
	*f = (struct filter){ .vmm = vmm, .kind = kind };
	err = iofilter_attach(getpid(), kind->name, &opts, &f->f);
	iofilter_rules_free((struct iofilter_rules *)opts.rules);
	if (err) {
		vmm_error("%s", iofilter_error());
		return -1;
	}
	fs->nr++;
	/* A VM that is going to be restored does not run yet. */
	told = vmm->stopped ? kind->stopped : kind->started;
	if (told && told(f)) {
		vmm_error("%s", iofilter_error());
		return -1;
	}
	return 0;
}

int filters_attach(struct vmm *vmm)
{
	char *list, *rest, *word;
	int err = 0;

	if (!vmm->opts.filter)
		return 0;
	vmm->filters = calloc(1, sizeof(*vmm->filters));
	list = rest = strdup(vmm->opts.filter);
	if (!vmm->filters || !list)
		return -1;
	while (!err && (word = strsep(&rest, ",")))
		err = attach(vmm, word);
	free(list);
	return err;
}

/* What a filter has begun, it may end: the vCPUs do not run any more, so there is nobody to wait for. */
void filters_detach(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++) {
		iofilter_close(vmm->filters->f[i].f);
		if (vmm->filters->f[i].kind->end)
			vmm->filters->f[i].kind->end(&vmm->filters->f[i]);
	}
	free(vmm->filters);
	vmm->filters = NULL;
}

void filters_before(struct vmm *vmm, const struct access *a)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->before)
			vmm->filters->f[i].kind->before(&vmm->filters->f[i], a);
}

void filters_after(struct vmm *vmm, const struct access *a)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->after)
			vmm->filters->f[i].kind->after(&vmm->filters->f[i], a);
}

void filters_stopped(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->stopped && vmm->filters->f[i].kind->stopped(&vmm->filters->f[i]))
			vmm_error("%s", iofilter_error());
}

void filters_started(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->started && vmm->filters->f[i].kind->started(&vmm->filters->f[i]))
			vmm_error("%s", iofilter_error());
}

void filters_fold(struct vmm *vmm, struct board *copy)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->fold)
			vmm->filters->f[i].kind->fold(&vmm->filters->f[i], copy);
}

static void print_one(struct filter *f, FILE *out)
{
	static const char *const names[IOFILTER_NR_VERDICTS] = IOFILTER_VERDICT_NAMES;
	struct iofilter_info info;
	int i;

	if (iofilter_info_get(f->f, &info))
		return;
	for (i = 0; i < IOFILTER_NR_VERDICTS; i++)
		fprintf(out, "%s\"%s\": %llu", i ? ", " : "", names[i], info.verdicts[i]);
	fprintf(out, ", \"commands\": %llu, \"cut\": %llu, \"in_flight\": %u", info.commands, info.cut, info.in_flight);
	if (f->kind->stats)
		f->kind->stats(f, out);
}

void filters_stats(struct vmm *vmm, FILE *f)
{
	unsigned int i;

	fprintf(f, ",\n  \"filters\": {");
	for (i = 0; vmm->filters && i < vmm->filters->nr; i++) {
		fprintf(f, "%s\n    \"%s\": { ", i ? "," : "", vmm->filters->f[i].kind->name);
		print_one(&vmm->filters->f[i], f);
		fprintf(f, " }");
	}
	fprintf(f, "\n  }");
}
