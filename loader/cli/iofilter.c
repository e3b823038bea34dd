// SPDX-License-Identifier: GPL-2.0
/* iofilter: the command line of kvm-iofilter. Each command is a file, cmd_<command>.c, and a row here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} cmds[] = {
	{ "list", cmd_list, "running VMs, and what is attached to them" },
	{ "attach", cmd_attach, "attach devices to a VM" },
	{ "detach", cmd_detach, "detach them" },
	{ "update", cmd_update, "swap the program of an attached device" },
	{ "status", cmd_status, "what is answered, what is punted and why" },
	{ "clock", cmd_clock, "stop and start a device's clock, or set it exactly" },
	{ "table", cmd_table, "rules for accesses, from a file: check, load, replace, show" },
	{ "map", cmd_map, "a counter, a constant or a table where the VMM has no device" },
	{ "unmap", cmd_unmap, "remove it" },
	{ "reg", cmd_reg, "registers of a device's state: list, get, set" },
	{ "dump", cmd_dump, "all of them, of what is attached to a VM" },
	{ "save", cmd_save, "the same into a file" },
	{ "restore", cmd_restore, "and back" },
	{ "features", cmd_features, "what this host has of what is needed" },
	{ "clean", cmd_clean, "remove the pins of filters that are gone" },
};

#define NR_CMDS (sizeof(cmds) / sizeof(cmds[0]))

static void help(FILE *to)
{
	fputs("Usage: iofilter COMMAND [OPTION...]\n"
	      "Answer I/O exits of running KVM guests inside the kernel.\n\n",
	      to);
	for (size_t i = 0; i < NR_CMDS; i++)
		fprintf(to, "  %-10s %s\n", cmds[i].name, cmds[i].help);
	fputs("\n  iofilter COMMAND --help    what a command takes\n"
	      "  iofilter --version\n\n"
	      "Exit status: 0 done, 1 refused or failed (one line says why), 2 wrong usage.\n",
	      to);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	/* Not at the end of this function: argp ends the process itself after --help. */
	atexit(out_end);

	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		help(stdout);
		return EXIT_OK;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf("iofilter %s\n", iofilter_version());
		return EXIT_OK;
	}
	for (size_t i = 0; i < NR_CMDS; i++)
		if (!strcmp(name, cmds[i].name))
			return cmds[i].run(argc - 1, argv + 1);
	if (!*name)
		help(stderr);
	else
		fprintf(stderr, "iofilter: unknown command '%s' ('iofilter --help' lists them)\n", name);
	return EXIT_USAGE;
}
