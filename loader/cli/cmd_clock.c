// SPDX-License-Identifier: GPL-2.0
/* iofilter clock */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <iofilter/map.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	{ 0 },
};

struct clock_op {
	const char *name;
	enum iofilter_clock_op op;
	const char *done, *already;
	bool for_all; /* without a device */
};

static const struct clock_op ops[] = {
	{ "stop", IOFILTER_CLOCK_STOP, "stopped", "stopped already", true },
	{ "start", IOFILTER_CLOCK_START, "started", "runs already", true },
	{ "own", IOFILTER_CLOCK_OWN, "exact", NULL, false },
	{ "prove", IOFILTER_CLOCK_PROVE_ANEW, "to be proven", NULL, false },
};

#define NR_OPS (sizeof(ops) / sizeof(ops[0]))

/* Return: what @word asks for, and *@offset, or NULL and the reason is printed. */
static const struct clock_op *op_of(const char *word, long long *offset)
{
	size_t i;
	char *end;

	for (i = 0; i < NR_OPS; i++) {
		if (ops[i].op == IOFILTER_CLOCK_OWN && !strncmp(word, "own=", 4))
			break;
		if (ops[i].op != IOFILTER_CLOCK_OWN && !strcmp(word, ops[i].name))
			return &ops[i];
	}
	if (i == NR_OPS) {
		refuse_msg("unknown '%s': stop, start, prove or own=OFFSET", word);
		return NULL;
	}
	errno = 0;
	*offset = strtoll(word + 4, &end, 0);
	if (errno || *end || end == word + 4) {
		refuse_msg("offset '%s' is not a number of ns", word + 4);
		return NULL;
	}
	return &ops[i];
}

static void say(pid_t pid, const char *device, const char *done)
{
	printf("%s: clock of VM %d: %s\n", device, pid, done);
}

/* Each clock that the VM's devices have. One that refuses does not keep the others from it. */
static int change_all(pid_t pid, const struct clock_op *op)
{
	struct iofilter_info *infos;
	int i, n, err, clocks = 0, ret = EXIT_OK;

	n = iofilter_list(pid, &infos);
	if (n < 0)
		return refuse();
	for (i = 0; i < n; i++) {
		if (infos[i].end != IOFILTER_ATTACHED || infos[i].map == IOFILTER_MAP_CONST)
			continue;
		err = iofilter_clock_set(pid, infos[i].device, op->op, 0);
		if (err == -EOPNOTSUPP)
			continue;
		clocks++;
		if (err && err != -EALREADY)
			ret = refuse();
		else
			say(pid, infos[i].device, err ? op->already : op->done);
	}
	free(infos);
	return clocks ? ret : refuse_msg("nothing that is attached to VM %d has a clock to %s", pid, op->name);
}

int cmd_clock(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	const struct clock_op *op;
	long long offset = 0;

	args_parse(
		&args, argc, argv, options, "--pid PID stop|start\n--pid PID DEVICE stop|start|prove|own=OFFSET",
		"Say what the clock of an attached device does; without DEVICE, of each that has one.\v"
		"stop: nothing is answered until start; to be used around a stop, savevm or migration of the VM, so that no "
		"answer falls into the moment in which the VMM has stopped its clock but not yet its vCPUs. "
		"start: go on; the clock is proven anew.\n"
		"own=OFFSET: the VMM says so: the clock shows CLOCK_MONOTONIC + OFFSET ns, exactly, and needs no proof; stop "
		"and start then freeze it and let it go on from there. prove: nobody owns it any more.");
	if (args.nr_devices != 1 && args.nr_devices != 2) {
		refuse_msg("stop or start, or name one device, then stop, start, prove or own=OFFSET");
		return EXIT_USAGE;
	}
	op = op_of(args.devices[args.nr_devices - 1], &offset);
	if (!op)
		return EXIT_USAGE;
	if (args.nr_devices == 1 && !op->for_all) {
		refuse_msg("%s is for one device: name it before '%s'", op->name, args.devices[0]);
		return EXIT_USAGE;
	}
	if (args.nr_devices == 1)
		return change_all(args.pid, op);
	if (iofilter_clock_set(args.pid, args.devices[0], op->op, offset) < 0)
		return refuse();
	say(args.pid, args.devices[0], op->done);
	return EXIT_OK;
}
