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
	char *list; /* of which the words are parts */
};

static const struct filter_kind *find_kind(const char *name, size_t len)
{
	unsigned int i;

	for (i = 0; i < NR_KINDS; i++)
		if (strlen(kinds[i]->name) == len && !strncmp(kinds[i]->name, name, len))
			return kinds[i];
	return NULL;
}

static int attach_one(struct filter *f)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = f->vmm->fd };
	const char *arg = strchr(f->word, '=');
	int (*told)(struct filter *f);
	int err;

	if (f->kind->options && f->kind->options(f->vmm, arg ? arg + 1 : NULL, &opts))
		return -1;
	err = iofilter_attach(getpid(), f->kind->name, &opts, &f->f);
	iofilter_rules_free((struct iofilter_rules *)opts.rules);
	if (err) {
		vmm_error("%s", iofilter_error());
		return -1;
	}
	f->attaches++;
	/* A VM that is going to be restored does not run yet. */
	told = f->vmm->stopped ? f->kind->stopped : f->kind->started;
	if (told && told(f)) {
		vmm_error("%s", iofilter_error());
		return -1;
	}
	return 0;
}

/* The clock is told before the first vCPU runs: from its first access on the filter is exact. */
static int attach(struct vmm *vmm, char *word)
{
	const struct filter_kind *kind = find_kind(word, strcspn(word, "="));
	struct filters *fs = vmm->filters;
	const char *arg = strchr(word, '=');

	if (!kind || fs->nr == MAX_FILTERS) {
		vmm_error(kind ? "--filter: too many" : "--filter: there is none for '%s'", word);
		return -1;
	}
	if (!arg != !kind->wants && !(!arg && kind->optional)) {
		vmm_error(arg ? "--filter: %s takes nothing%s" : "--filter: %s=%s is wanted", kind->name, kind->wants ?: "");
		return -1;
	}
	fs->f[fs->nr] = (struct filter){ .vmm = vmm, .kind = kind, .word = word };
	return attach_one(&fs->f[fs->nr++]);
}

int filters_attach(struct vmm *vmm)
{
	char *rest, *word;
	int err = 0;

	if (!vmm->opts.filter)
		return 0;
	vmm->filters = calloc(1, sizeof(*vmm->filters));
	rest = strdup(vmm->opts.filter);
	if (!vmm->filters || !rest)
		return -1;
	vmm->filters->list = rest;
	while (!err && (word = strsep(&rest, ",")))
		err = attach(vmm, word);
	return err;
}

static void add_verdicts(struct filter *f, __u64 *sum)
{
	struct iofilter_info info;
	int i;

	if (iofilter_info_get(f->f, &info))
		return;
	for (i = 0; i < IOFILTER_NR_VERDICTS; i++)
		sum[i] += info.verdicts[i];
}

/* In the middle of whatever the guest is doing. What the filter has been told or has begun stays in its state. */
void filters_leave(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->leave && iofilter_stop(vmm->filters->f[i].f, 0) < 0)
			vmm_error("%s", iofilter_error());
}

int filters_return(struct vmm *vmm)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++) {
		struct filter *f = &vmm->filters->f[i];

		if (!f->kind->leave)
			continue;
		f->kind->leave(f);
		add_verdicts(f, f->earlier);
		iofilter_close(f->f);
		/* NULL if that fails. */
		f->f = NULL;
		if (attach_one(f))
			return -1;
	}
	return 0;
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
	if (vmm->filters)
		free(vmm->filters->list);
	free(vmm->filters);
	vmm->filters = NULL;
}

void filters_before(struct vmm *vmm, const struct access *a)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->before && vmm->filters->f[i].f)
			vmm->filters->f[i].kind->before(&vmm->filters->f[i], a);
}

void filters_after(struct vmm *vmm, const struct access *a)
{
	unsigned int i;

	for (i = 0; vmm->filters && i < vmm->filters->nr; i++)
		if (vmm->filters->f[i].kind->after && vmm->filters->f[i].f)
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

	if (!f->f || iofilter_info_get(f->f, &info))
		return;
	add_verdicts(f, f->earlier);
	for (i = 0; i < IOFILTER_NR_VERDICTS; i++)
		fprintf(out, "%s\"%s\": %llu", i ? ", " : "", names[i], f->earlier[i]);
	fprintf(out, ", \"commands\": %llu, \"cut\": %llu, \"in_flight\": %u, \"attaches\": %llu", info.commands, info.cut, info.in_flight, f->attaches);
	if (f->vmm->opts.sabotage)
		fprintf(out, ", \"predicted_nothing\": %llu, \"predicted_less\": %llu, \"predicted_elsewhere\": %llu",
			f->sabotages[PREDICT_NOTHING], f->sabotages[PREDICT_LESS], f->sabotages[PREDICT_ELSEWHERE]);
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
