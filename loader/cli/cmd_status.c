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

static int nr_attached(const struct iofilter_info *infos, int n)
{
	int nr = 0;

	for (int i = 0; i < n; i++)
		nr += infos[i].end == IOFILTER_ATTACHED;
	return nr;
}

/* @again: the VM was there before, and may have ended as VMs do. Return: how many are attached, or -1. */
static int once(const struct args *args, bool again)
{
	struct iofilter_vm vm = { .pid = args->pid };
	struct iofilter_info *infos;
	int n = iofilter_list(args->pid, &infos), nr;
	bool ended;

	if (n < 0) {
		refuse();
		return n;
	}
	ended = !n && args->pid && iofilter_vm_get(args->pid, &vm);
	if (ended && !again) {
		refuse();
		return -1;
	}
	if (args->json) {
		json_print(status_json(infos, n));
	} else if (n) {
		status_text(infos, n);
	} else if (ended) {
		printf("VM %d has ended\n", args->pid);
	} else if (args->pid) {
		printf("nothing is attached to VM %d (%s)\n", vm.pid, vm.name);
	} else {
		puts("nothing is attached");
	}
	nr = nr_attached(infos, n);
	free(infos);
	return nr;
}

int cmd_status(int argc, char **argv)
{
	struct args args = {};
	bool again = false;
	int n;

	args_parse(
		&args, argc, argv, options, "",
		"What the attached devices answered, what they left to the VMM and why, and how far their clock is "
		   "proven.\v"
		"With --json: an array, with --watch one per line. Needs CAP_SYS_ADMIN.");
	for (;; again = true) {
		n = once(&args, again);
		if (n < 0)
			return EXIT_REFUSED;
		if (!n || !args.watch)
			return EXIT_OK;
		if (!args.json)
			putchar('\n');
		if (out_flush())
			return EXIT_REFUSED;
		sleep(args.watch);
	}
}
