// SPDX-License-Identifier: GPL-2.0
/* iofilter status */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	{ "watch", OPT_WATCH, "SEC", 0, "print again every SEC seconds, as long as something is attached", 0 },
	ROW_JSON,
	{ 0 },
};

/* Return: how many are listed, or -1. */
static int once(const struct args *args)
{
	struct iofilter_info *infos;
	struct iofilter_vm vm;
	int n = iofilter_list(args->pid, &infos);

	if (n < 0) {
		refuse();
		return n;
	}
	if (!n && args->pid && iofilter_vm_get(args->pid, &vm)) {
		refuse();
		return -1;
	}
	if (args->json) {
		json_print(status_json(infos, n));
	} else if (n) {
		status_text(infos, n);
	} else if (args->pid) {
		printf("nothing is attached to VM %d (%s)\n", vm.pid, vm.name);
	} else {
		puts("nothing is attached");
	}
	free(infos);
	return n;
}

int cmd_status(int argc, char **argv)
{
	struct args args = {};
	int n;

	args_parse(
		&args, argc, argv, options, "",
		"What the attached devices answered, what they left to the VMM and why, and how far their clock is "
		   "proven.\v"
		"With --json: an array, with --watch one per line. Needs CAP_SYS_ADMIN.");
	for (;;) {
		n = once(&args);
		if (n < 0)
			return EXIT_REFUSED;
		if (!n || !args.watch)
			return EXIT_OK;
		if (!args.json)
			putchar('\n');
		fflush(stdout);
		sleep(args.watch);
	}
}
