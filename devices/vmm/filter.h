/* SPDX-License-Identifier: GPL-2.0 */
/* The filters of this VMM: one row for each device that can have one. */
#ifndef DEVICES_VMM_FILTER_H
#define DEVICES_VMM_FILTER_H

#include <iofilter/libiofilter.h>
#include "board.h"
#include "vmm.h"

struct filter;

/* All of them with vmm->lock held, and any may be NULL. */
struct filter_kind {
	const char *name;
	const char *wants; /* what stands behind "NAME="; NULL: nothing */
	bool optional; /* it may be missing, with the "=" */
	/* What the options need beyond the VM. */
	int (*options)(struct vmm *vmm, const char *arg, struct iofilter_opts *opts);
	/* The clock runs by vmm->offset from now on, or stands at vmm->stopped_at. No vCPU runs. */
	int (*started)(struct filter *f);
	int (*stopped)(struct filter *f);
	/* An access of the guest has come here: before the model has it, and after. */
	void (*before)(struct filter *f, const struct access *a);
	void (*after)(struct filter *f, const struct access *a);
	/* The guest has gone on without the filter: what that knows comes back. NULL: it stays attached while the guest runs. */
	void (*leave)(struct filter *f);
	/* What the guest has begun with the filter, into a copy of the board. The clock stands. */
	void (*fold)(struct filter *f, struct board *copy);
	void (*end)(struct filter *f);
	/* For the statistics: , "KEY": NUMBER and so on. */
	void (*stats)(struct filter *f, FILE *out);
};

struct plan;

/* What --sabotage has done to predictions. */
enum sabotage { PREDICT_WELL, PREDICT_NOTHING, PREDICT_LESS, PREDICT_ELSEWHERE, NR_SABOTAGES };

struct filter {
	struct vmm *vmm;
	const struct filter_kind *kind;
	char *word; /* as in the list of filters */
	struct iofilter *f;
	__u64 attaches, earlier[IOFILTER_NR_VERDICTS]; /* verdicts of attaches before this one */
	__u64 sabotages[NR_SABOTAGES];
	__u64 day; /* rtc: that was published */
	struct plan *plan; /* table: what was predicted */
	__u64 took; /* table: writes that were carried out late */
};

/* upset.c: what is to become of the next prediction; and a random number below @n. */
enum sabotage filter_sabotage(struct filter *f);
__u32 filter_random(struct filter *f, __u32 n);

extern const struct filter_kind filter_pmtimer, filter_hpet, filter_pit, filter_rtc, filter_ide, filter_table;

#endif /* DEVICES_VMM_FILTER_H */
