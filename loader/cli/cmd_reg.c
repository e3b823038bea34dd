// SPDX-License-Identifier: GPL-2.0
/* iofilter reg list|get|set */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static int usage_error(const char *fmt, const char *word)
{
	refuse_msg(fmt, word);
	return EXIT_USAGE;
}

static int list(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_JSON, { 0 } };
	struct args args = { .takes_devices = true };
	struct json_object *all = NULL;
	struct iofilter_reg *regs;
	int i, n;

	args_parse(&args, argc, argv, options, "DEVICE",
		   "Every register of a device: id, size, what it is, name, meaning. An id never changes its meaning.\v"
		   "G: what the guest has done; S: what the filter has learnt; C: configuration; N: a counter; W: can be set; H: means something "
		   "on this host only, and is not restored; T: a VMM can have itself told when an access changes it.");
	if (args.nr_devices != 1)
		return usage_error("name one device%s", "");
	n = iofilter_regs(args.devices[0], &regs);
	if (n < 0)
		return refuse();
	if (args.json)
		all = json_object_new_array();
	for (i = 0; i < n; i++) {
		if (all)
			json_object_array_add(all, reg_json(&regs[i]));
		else
			printf("0x%016llx %4u %-4s %-26s %s\n", (unsigned long long)regs[i].id, IOFILTER_REG_SIZE(regs[i].id),
			       reg_flags_str(regs[i].flags), regs[i].name, regs[i].meaning);
	}
	free(regs);
	return all ? json_print(all) : EXIT_OK;
}

/* The bytes of one register from a number, or from hexadecimal digits if it is more than a number. */
static int value_from(const char *s, const char *name, __u32 size, unsigned char *to)
{
	long long val;
	char *end;
	__u32 i;

	if (size > 8) {
		if (strlen(s) != 2 * size || strspn(s, "0123456789abcdefABCDEF") != 2 * size)
			return refuse_msg("%s has %u bytes: give %u hexadecimal digits", name, size, 2 * size);
		for (i = 0; i < size; i++)
			sscanf(s + 2 * i, "%2hhx", &to[i]);
		return 0;
	}
	errno = 0;
	val = *s == '-' ? strtoll(s, &end, 0) : (long long)strtoull(s, &end, 0);
	if (errno || end == s || *end)
		return refuse_msg("%s=%s: that is no number", name, s);
	if (size < 8 && (*s == '-' ? val < -(1LL << (size * 8 - 1)) : (unsigned long long)val >> size * 8))
		return refuse_msg("%s=%s: it has %u bytes only", name, s, size);
	memcpy(to, &val, size);
	return 0;
}

static int get(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_PID, ROW_JSON, { 0 } };
	struct args args = { .need_pid = true, .takes_devices = true };
	struct json_object *o = NULL;
	char name[IOFILTER_REG_NAME_LEN];
	unsigned char *buf, *at;
	__u64 ids[MAX_DEVICES];
	struct iofilter *f;
	size_t size = 0;
	int i, err;

	args_parse(&args, argc, argv, options, "--pid PID DEVICE REGISTER...",
		   "Registers of an attached device, by name or id, all at one moment: no access of the guest lies in between.");
	if (args.nr_devices < 2)
		return usage_error("name a device, then registers ('iofilter reg list DEVICE')%s", "");
	for (i = 1; i < args.nr_devices; i++) {
		if (iofilter_reg_id(args.devices[0], args.devices[i], &ids[i - 1]))
			return refuse();
		size += IOFILTER_REG_SIZE(ids[i - 1]);
	}
	if (iofilter_open(args.pid, args.devices[0], &f))
		return refuse();
	buf = calloc(1, size);
	err = !buf ? refuse_msg("out of memory") : iofilter_reg_get(f, ids, args.nr_devices - 1, buf, size) ? refuse() : 0;
	iofilter_close(f);
	if (!err && args.json)
		o = json_object_new_object();
	for (i = 0, at = buf; !err && i < args.nr_devices - 1; i++) {
		iofilter_reg_name(args.devices[0], ids[i], name, sizeof(name));
		if (o)
			json_object_object_add(o, name, reg_value_json(args.devices[0], ids[i], at));
		else
			reg_value_print(args.devices[0], ids[i], at);
		at += IOFILTER_REG_SIZE(ids[i]);
	}
	free(buf);
	return err ? EXIT_REFUSED : o ? json_print(o) : EXIT_OK;
}

static int set(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_PID, { 0 } };
	struct args args = { .need_pid = true, .takes_devices = true };
	char name[IOFILTER_REG_NAME_LEN];
	unsigned char buf[16384];
	__u64 ids[MAX_DEVICES];
	struct iofilter *f;
	const char *equals;
	size_t size = 0;
	int i, err;

	args_parse(&args, argc, argv, options, "--pid PID DEVICE REGISTER=VALUE...",
		   "Set registers of an attached device, all in one step to the guest, or none.");
	if (args.nr_devices < 2)
		return usage_error("name a device, then REGISTER=VALUE%s", "");
	for (i = 1; i < args.nr_devices; i++) {
		equals = strchr(args.devices[i], '=');
		if (!equals || (size_t)(equals - args.devices[i]) >= sizeof(name))
			return usage_error("'%s' is not REGISTER=VALUE", args.devices[i]);
		snprintf(name, sizeof(name), "%.*s", (int)(equals - args.devices[i]), args.devices[i]);
		if (iofilter_reg_id(args.devices[0], name, &ids[i - 1]))
			return refuse();
		if (size + IOFILTER_REG_SIZE(ids[i - 1]) > sizeof(buf))
			return usage_error("too many bytes at once with %s", name);
		if (value_from(equals + 1, name, IOFILTER_REG_SIZE(ids[i - 1]), buf + size))
			return EXIT_USAGE;
		size += IOFILTER_REG_SIZE(ids[i - 1]);
	}
	if (iofilter_open(args.pid, args.devices[0], &f))
		return refuse();
	err = iofilter_reg_set(f, ids, args.nr_devices - 1, buf, size);
	iofilter_close(f);
	if (err)
		return refuse();
	printf("%s of VM %d: %d register%s set\n", args.devices[0], args.pid, args.nr_devices - 1, args.nr_devices == 2 ? "" : "s");
	return EXIT_OK;
}

int cmd_reg(int argc, char **argv)
{
	static const struct subcmd cmds[] = { { "list", list }, { "get", get }, { "set", set } };

	return subcommand(argc, argv, cmds, sizeof(cmds) / sizeof(cmds[0]),
			  "iofilter reg: list DEVICE, get --pid PID DEVICE REGISTER..., set --pid PID DEVICE REGISTER=VALUE... "
			  "('iofilter reg get --help' shows its options)");
}
