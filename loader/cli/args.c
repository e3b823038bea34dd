// SPDX-License-Identifier: GPL-2.0
/* The command line: one parser for all commands. A wrong one gets one line and exit status 2. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static void usage(const struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

static void usage(const struct args *a, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "iofilter %s: ", a->cmd);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " ('iofilter %s --help' shows the usage)\n", a->cmd);
	exit(EXIT_USAGE);
}

static unsigned long long number_from(const struct args *a, const char *what, const char *s, unsigned long long min,
				      unsigned long long max)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (*s < '0' || *s > '9' || *end)
		usage(a, "%s '%s' is not a number", what, s);
	if (errno || v < min || v > max)
		usage(a, "%s %s is out of range", what, s);
	return v;
}

static unsigned long long number(const struct args *a, const char *what, const char *s, unsigned long long max)
{
	return number_from(a, what, s, 1, max);
}

static void timing(struct args *a, const char *s)
{
	__u64 *to[] = { &a->opts.bracket, &a->opts.absence, &a->opts.expiry };
	char copy[64], *rest = copy, *field;
	int n = 0;

	if (!strcmp(s, "auto"))
		return;
	if (snprintf(copy, sizeof(copy), "%s", s) >= (int)sizeof(copy))
		usage(a, "timing '%s' is too long", s);
	while ((field = strsep(&rest, ","))) {
		if (n < 3)
			*to[n] = number(a, "timing", field, 1000000) * 1000;
		n++;
	}
	if (n != 3)
		usage(a, "timing '%s' is neither 'auto' nor BRACKET,ABSENCE,EXPIRY in us", s);
}

static void add_device(struct args *a, const char *name)
{
	if (!a->takes_devices && !a->takes_words)
		usage(a, "'%s' is one argument too many", name);
	if (a->nr_devices == MAX_DEVICES)
		usage(a, "more than %d arguments", MAX_DEVICES);
	for (int i = 0; !a->takes_words && i < a->nr_devices; i++)
		if (!strcmp(a->devices[i], name))
			usage(a, "'%s' is named twice", name);
	a->devices[a->nr_devices++] = name;
}

static int print_log(const char *fmt, va_list ap)
{
	return vfprintf(stderr, fmt, ap);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'p':
		a->pid = number(a, "pid", arg, 0x7fffffff);
		break;
	case 'j':
		a->json = true;
		break;
	case 'v':
		iofilter_set_log(print_log);
		break;
	case OPT_WATCH:
		a->watch = number(a, "interval", arg, 86400);
		break;
	case OPT_DRAIN:
		a->drain_ms = number_from(a, "drain time", arg, 0, 3600000);
		a->drain_given = true;
		break;
	case OPT_ALL:
		a->all = true;
		break;
	case OPT_SKIP_UNKNOWN:
		a->skip_unknown = true;
		break;
	case OPT_COUNT:
		a->count = number(a, "count", arg, ~0ULL);
		break;
	case OPT_TIMEOUT:
		a->timeout = number(a, "timeout", arg, 86400);
		break;
	case OPT_DAEMON:
		a->daemon = true;
		break;
	case OPT_PIN:
		a->pin = true;
		break;
	case OPT_PORT:
		a->opts.addr = number(a, "port", arg, 0xfffc);
		break;
	case OPT_WIDTH:
		a->opts.width = number(a, "width", arg, 64);
		break;
	case OPT_TIMING:
		timing(a, arg);
		break;
	case OPT_OBJ:
		a->opts.obj = arg;
		break;
	case OPT_PINNED:
		a->opts.pinned = arg;
		break;
	case OPT_VM_FD:
		a->opts.vm_fd = number(a, "descriptor", arg, 0x7fffffff);
		break;
	case OPT_RESET:
		a->opts.reset = 1;
		break;
	case ARGP_KEY_ARG:
		add_device(a, arg);
		break;
	case ARGP_KEY_END:
		if (a->need_pid && !a->pid)
			usage(a, "which VM? give --pid PID");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

void args_parse(struct args *args, int argc, char **argv, const struct argp_option *options, const char *usage_args,
		const char *doc)
{
	const struct argp argp = { .options = options, .parser = parse, .args_doc = usage_args, .doc = doc };
	static char name[64];

	args->drain_ms = IOFILTER_DRAIN_MS;
	args->opts.size = sizeof(args->opts);
	args->cmd = argv[0];
	snprintf(name, sizeof(name), "iofilter %s", argv[0]);
	argv[0] = name;
	args->cmd = name + sizeof("iofilter");
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, args))
		exit(EXIT_USAGE);
}

int subcommand(int argc, char **argv, const struct subcmd *cmds, size_t n, const char *usage_line)
{
	static char name[32];
	size_t i;

	for (i = 0; argc > 1 && i < n; i++) {
		if (strcmp(argv[1], cmds[i].name))
			continue;
		snprintf(name, sizeof(name), "%s %s", argv[0], argv[1]);
		argv[1] = name;
		return cmds[i].run(argc - 1, argv + 1);
	}
	/* As argp takes them. */
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?") || !strcmp(argv[1], "--usage"))) {
		puts(usage_line);
		return EXIT_OK;
	}
	fprintf(stderr, "%s\n", usage_line);
	return EXIT_USAGE;
}
