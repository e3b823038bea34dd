// SPDX-License-Identifier: GPL-2.0
/* iofilter clock */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	{ 0 },
};

static const struct {
	const char *name;
	enum iofilter_clock_op op;
	const char *done;
} ops[] = {
	{ "stop", IOFILTER_CLOCK_STOP, "stopped" },
	{ "start", IOFILTER_CLOCK_START, "started" },
	{ "own", IOFILTER_CLOCK_OWN, "exact" },
	{ "prove", IOFILTER_CLOCK_PROVE_ANEW, "to be proven" },
};

#define NR_OPS (sizeof(ops) / sizeof(ops[0]))

int cmd_clock(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	long long offset = 0;
	size_t i;
	char *end;

	args_parse(
		&args, argc, argv, options, "--pid PID DEVICE stop|start|prove|own=OFFSET",
		"Say what the clock of an attached device does.\v"
		"stop: nothing is answered until start; to be used around a stop, savevm or migration of the VM, so that no "
		"answer falls into the moment in which the VMM has stopped its clock but not yet its vCPUs. "
		"start: go on; the clock is proven anew.\n"
		"own=OFFSET: the VMM says so: the clock shows CLOCK_MONOTONIC + OFFSET ns, exactly, and needs no proof; stop "
		"and start then freeze it and let it go on from there. prove: nobody owns it any more.");
	if (args.nr_devices != 2) {
		refuse_msg("name one device, then stop, start, prove or own=OFFSET");
		return EXIT_USAGE;
	}
	for (i = 0; i < NR_OPS; i++) {
		if (ops[i].op == IOFILTER_CLOCK_OWN && !strncmp(args.devices[1], "own=", 4)) {
			errno = 0;
			offset = strtoll(args.devices[1] + 4, &end, 0);
			if (errno || *end || end == args.devices[1] + 4) {
				refuse_msg("offset '%s' is not a number of ns", args.devices[1] + 4);
				return EXIT_USAGE;
			}
			break;
		}
		if (ops[i].op != IOFILTER_CLOCK_OWN && !strcmp(args.devices[1], ops[i].name))
			break;
	}
	if (i == NR_OPS) {
		refuse_msg("unknown '%s': stop, start, prove or own=OFFSET", args.devices[1]);
		return EXIT_USAGE;
	}
	if (iofilter_clock_set(args.pid, args.devices[0], ops[i].op, offset) < 0)
		return refuse();
	printf("%s: clock of VM %d: %s\n", args.devices[0], args.pid, ops[i].done);
	return EXIT_OK;
}
