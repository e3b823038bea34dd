// SPDX-License-Identifier: GPL-2.0
/* iofilter update */
#include <stdio.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	ROW_OBJ,
	{ "reset", OPT_RESET, NULL, 0, "new state: counters start from 0, a blown fuse is replaced", 0 },
	ROW_WIDTH,
	ROW_TIMING,
	ROW_DRAIN,
	ROW_VM_FD,
	ROW_VERBOSE,
	{ 0 },
};

int cmd_update(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	int kept;

	args_parse(
		&args, argc, argv, options, "--pid PID DEVICE",
		"Swap a fresh program under an attached device, with no access lost in between.\v"
		"The state (proof, counters) is kept where its layout is the same, unless --reset, --width or --timing "
		"asks for a new one; the device then proves itself anew. A device cannot be moved "
		   "to other addresses this way.");
	if (args.nr_devices != 1) {
		refuse_msg("name one device to update");
		return EXIT_USAGE;
	}
	args.opts.drain_ms = args.drain_ms;
	kept = iofilter_update(args.pid, args.devices[0], &args.opts);
	if (kept < 0)
		return refuse();
	printf("%s: program of VM %d swapped, %s\n", args.devices[0], args.pid, kept ? "state kept" : "state is new");
	return EXIT_OK;
}
