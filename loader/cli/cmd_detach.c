// SPDX-License-Identifier: GPL-2.0
/* iofilter detach */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static const struct argp_option options[] = { ROW_PID, ROW_JSON, ROW_DRAIN, { 0 } };

static bool attached(const struct iofilter_info *infos, int n, const char *device)
{
	for (int i = 0; i < n; i++)
		if (infos[i].end == IOFILTER_ATTACHED && !strcmp(infos[i].device, device))
			return true;
	return false;
}

/*
 * Which devices: those named, or all, of which there may be more than one can name. Nothing is detached if one of those named is not
 * attached. Return: how many, or 0 and the reason is printed.
 */
static int choose(const struct args *args, const struct iofilter_info *infos, int n, const char **names)
{
	int i, nr = 0;

	for (i = 0; i < args->nr_devices; i++) {
		if (!attached(infos, n, args->devices[i])) {
			refuse_msg("%s is not attached to VM %d ('iofilter status' shows what is)", args->devices[i], args->pid);
			return 0;
		}
		names[nr++] = args->devices[i];
	}
	for (i = 0; !args->nr_devices && i < n; i++)
		if (infos[i].end == IOFILTER_ATTACHED)
			names[nr++] = infos[i].device;
	if (!nr)
		refuse_msg("nothing is attached to process %d", args->pid);
	return nr;
}

int cmd_detach(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	struct json_object *list = NULL;
	struct iofilter_info *infos;
	int i, n, nr, ret = EXIT_OK, cut;
	const char **names;

	args_parse(&args, argc, argv, options, "--pid PID [DEVICE...]",
		   "Detach devices from a VM, all without DEVICE, whoever attached them, and remove their pins.\v"
		   "First the devices are drained: they begin no read sequence, and the guest has --drain to end those that they have "
		   "begun. One that is cut off is reported; the guest gets its rest from the VMM. "
		   "When it returns, no access is under way in the filter any more. Needs CAP_SYS_ADMIN.");
	n = iofilter_list(args.pid, &infos);
	if (n < 0)
		return refuse();
	names = calloc(n + MAX_DEVICES, sizeof(*names));
	nr = names ? choose(&args, infos, n, names) : 0;
	if (!nr)
		ret = EXIT_REFUSED;
	else if (args.json)
		list = json_object_new_array();
	for (i = 0; i < nr; i++) {
		cut = iofilter_detach(args.pid, names[i], args.drain_ms);
		if (cut < 0) {
			ret = refuse();
			break;
		}
		if (cut)
			warn_cut(names[i], args.pid, cut);
		if (list)
			json_object_array_add(list, json_object_new_string(names[i]));
		else
			printf("%s: detached from VM %d\n", names[i], args.pid);
	}
	if (list)
		json_print(list);
	free(names);
	free(infos);
	return ret;
}
