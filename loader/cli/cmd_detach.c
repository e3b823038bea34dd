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

/* Which devices: those named, or all. Nothing is detached if one of those named is not attached. */
static int choose(struct args *args, const struct iofilter_info *infos, int n)
{
	int i;

	for (i = 0; i < args->nr_devices; i++)
		if (!attached(infos, n, args->devices[i]))
			return refuse_msg("%s is not attached to VM %d ('iofilter status' shows what is)",
					  args->devices[i], args->pid);
	if (args->nr_devices)
		return EXIT_OK;
	for (i = 0; i < n && args->nr_devices < MAX_DEVICES; i++)
		if (infos[i].end == IOFILTER_ATTACHED)
			args->devices[args->nr_devices++] = infos[i].device;
	return args->nr_devices ? EXIT_OK : refuse_msg("nothing is attached to process %d", args->pid);
}

int cmd_detach(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	struct json_object *list = NULL;
	struct iofilter_info *infos;
	int i, n, ret, cut;

	args_parse(&args, argc, argv, options, "--pid PID [DEVICE...]",
		   "Detach devices from a VM, all without DEVICE, whoever attached them, and remove their pins.\v"
		   "First the devices are drained: they begin no read sequence, and the guest has --drain to end those that they have "
		   "begun. One that is cut off is reported; the guest gets its rest from the VMM. "
		   "When it returns, no access is under way in the filter any more. Needs CAP_SYS_ADMIN.");
	n = iofilter_list(args.pid, &infos);
	if (n < 0)
		return refuse();
	ret = choose(&args, infos, n);
	if (args.json && !ret)
		list = json_object_new_array();
	for (i = 0; !ret && i < args.nr_devices; i++) {
		cut = iofilter_detach(args.pid, args.devices[i], args.drain_ms);
		if (cut < 0) {
			ret = refuse();
			break;
		}
		if (cut)
			warn_cut(args.devices[i], args.pid, cut);
		if (list)
			json_object_array_add(list, json_object_new_string(args.devices[i]));
		else
			printf("%s: detached from VM %d\n", args.devices[i], args.pid);
	}
	if (list)
		json_print(list);
	free(infos);
	return ret;
}
