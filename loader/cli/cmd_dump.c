// SPDX-License-Identifier: GPL-2.0
/* iofilter dump */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	ROW_JSON,
	{ "all", OPT_ALL, NULL, 0, "arrays whole, and what is 0, too", 0 },
	{ 0 },
};

static const struct {
	const char *name;
	__u32 flags;
} parts[] = {
	{ "guest", IOFILTER_REG_GUEST },
	{ "shadow", IOFILTER_REG_SHADOW },
	{ "config", IOFILTER_REG_CONFIG },
	{ "counters", IOFILTER_REG_COUNTER },
};

/* All elements of all registers, at one moment. */
struct all {
	const char *device;
	struct iofilter_reg *regs;
	int nr_regs;
	__u64 *ids;
	unsigned char *buf;
	unsigned int n;
	size_t size;
};

static int get_all(struct all *a, struct iofilter *f)
{
	unsigned int n = 0;
	__u32 e;
	int i;

	a->nr_regs = iofilter_regs(a->device, &a->regs);
	if (a->nr_regs < 0)
		return refuse();
	for (i = 0; i < a->nr_regs; i++) {
		a->n += a->regs[i].elements;
		a->size += (size_t)a->regs[i].elements * IOFILTER_REG_SIZE(a->regs[i].id);
	}
	a->ids = calloc(a->n, sizeof(*a->ids));
	a->buf = calloc(1, a->size);
	if (!a->ids || !a->buf)
		return refuse_msg("out of memory");
	for (i = 0; i < a->nr_regs; i++)
		for (e = 0; e < a->regs[i].elements; e++)
			a->ids[n++] = a->regs[i].id + e;
	return iofilter_reg_get(f, a->ids, a->n, a->buf, a->size) ? refuse() : 0;
}

static void free_all(struct all *a)
{
	free(a->regs);
	free(a->ids);
	free(a->buf);
}

static bool is_zero(const unsigned char *p, __u32 size)
{
	while (size && !*p) {
		p++;
		size--;
	}
	return !size;
}

/* Calls @show for what is to be shown of a part. Return: how many. */
static int each(const struct all *a, __u32 part, bool whole, void (*show)(const char *device, __u64 id, const void *buf, void *arg), void *arg)
{
	const unsigned char *at = a->buf;
	unsigned int k = 0;
	int i, n = 0;
	__u32 e, size;

	for (i = 0; i < a->nr_regs; i++) {
		size = IOFILTER_REG_SIZE(a->regs[i].id);
		for (e = 0; e < a->regs[i].elements; e++, k++, at += size) {
			if (!(a->regs[i].flags & part) || (!whole && a->regs[i].elements > 1 && is_zero(at, size)))
				continue;
			show(a->device, a->ids[k], at, arg);
			n++;
		}
	}
	return n;
}

static void print_one(const char *device, __u64 id, const void *buf, void *arg)
{
	(void)arg;
	fputs("    ", stdout);
	reg_value_print(device, id, buf);
}

static void add_one(const char *device, __u64 id, const void *buf, void *arg)
{
	char name[IOFILTER_REG_NAME_LEN];

	iofilter_reg_name(device, id, name, sizeof(name));
	json_object_object_add(arg, name, reg_value_json(device, id, buf));
}

static int dump(const struct args *args, const char *device, struct json_object *to)
{
	struct all a = { .device = device };
	struct json_object *o, *p;
	struct iofilter *f;
	int err;
	size_t i;

	if (iofilter_open(args->pid, device, &f))
		return refuse();
	err = get_all(&a, f);
	iofilter_close(f);
	if (!err && !to)
		printf("%s of VM %d\n", device, args->pid);
	o = to && !err ? json_object_new_object() : NULL;
	for (i = 0; !err && i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!o) {
			printf("  %s\n", parts[i].name);
			each(&a, parts[i].flags, args->all, print_one, NULL);
			continue;
		}
		p = json_object_new_object();
		each(&a, parts[i].flags, args->all, add_one, p);
		json_object_object_add(o, parts[i].name, p);
	}
	if (o)
		json_object_object_add(to, device, o);
	free_all(&a);
	return err;
}

int cmd_dump(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	struct json_object *o = NULL;
	struct iofilter_info *infos = NULL;
	int i, n = 0, nr, err = 0;

	args_parse(&args, argc, argv, options, "--pid PID [DEVICE...]",
		   "Every register of the attached devices, or of those that are named: what the guest has done, what the filter has learnt, its "
		   "configuration, and counters. Of arrays what is not 0.\vWhat they mean: 'iofilter reg list DEVICE'.");
	if (!args.nr_devices)
		n = iofilter_list(args.pid, &infos);
	if (n < 0)
		return refuse();
	if (args.json)
		o = json_object_new_object();
	for (nr = 0; !err && nr < args.nr_devices; nr++)
		err = dump(&args, args.devices[nr], o);
	for (i = 0; !err && i < n; i++) {
		/* Of one that is gone only pins are left. */
		if (infos[i].end != IOFILTER_ATTACHED)
			continue;
		err = dump(&args, infos[i].device, o);
		nr++;
	}
	free(infos);
	if (!err && !nr)
		err = refuse_msg("nothing is attached to VM %d", args.pid);
	if (err) {
		json_object_put(o);
		return EXIT_REFUSED;
	}
	return o ? json_print(o) : EXIT_OK;
}
