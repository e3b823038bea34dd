// SPDX-License-Identifier: GPL-2.0
/* iofilter map, iofilter unmap */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <iofilter/map.h>
#include "cli.h"

static const char doc[] =
	"Place a counter, a constant or a table of rules at an address of the VM of process PID, change a counter or constant that is "
	"there, or wait for a counter's alarm.\v"
	"REGION is pio:PORT+BYTES or mmio:ADDRESS+BYTES, 1 to 8 bytes (a table: 4096). What the kernel has there is refused; "
	"a device of the VMM is hidden. Reads of any width within the region get bytes of one little-endian word, writes go to the VMM.\n"
	"Without a region, ADDRESS is where a map begins (below 0x10000: a port), and what follows is changed in one step.\n\n"
	"SETTING of a counter:\n"
	"  freq=HZ          counts up so often a second (1 to 4000000000)\n"
	"  divider=NS       .. or once in so many ns\n"
	"  width=BITS       1 to 64; as wide as the region if not given\n"
	"  reload=N         counts modulo N; 0: modulo 2^width\n"
	"  offset=TICKS     shows the ticks of CLOCK_MONOTONIC and TICKS; 0 if not given\n"
	"  set VALUE        shows VALUE from now on\n"
	"  stop, start      \n"
	"  compare=N        where the alarm comes; 0 if not given\n"
	"  alarm[=once|periodic|off]\n"
	"of a constant: set VALUE.\n\n"
	"It stays as 'iofilter attach' says; in the foreground a line is printed at each alarm, with how many came since the last one. "
	"Alarms are counted in 'iofilter status', whoever is there.\n\n"
	"ADDRESS wait prints such a line at each alarm from now on of a counter that is there, whoever placed it, until a signal, or as "
	"--count and --timeout say. Exit status 1 if that many have not come.\n";

static const struct argp_option options[] = {
	ROW_PID,
	ROW_DAEMON,
	{ "pin", OPT_PIN, NULL, 0, "pin under " IOFILTER_PIN_DIR "/PID/map-ADDRESS and return", 0 },
	ROW_DRAIN,
	{ "count", OPT_COUNT, "N", 0, "of wait: end after N alarms", 0 },
	{ "timeout", OPT_TIMEOUT, "S", 0, "of wait: end after S seconds, with exit status 1", 0 },
	ROW_VM_FD,
	ROW_JSON,
	ROW_VERBOSE,
	{ 0 },
};

static int wrong(const char *fmt, const char *what)
{
	refuse_msg(fmt, what);
	return -EINVAL;
}

static int number(const char *s, __u64 *v)
{
	char *end;

	errno = 0;
	*v = strtoull(s, &end, 0);
	return *s < '0' || *s > '9' || *end || errno ? wrong("'%s' is not a number of 64 bits", s) : 0;
}

static int signed_number(const char *s, __s64 *v)
{
	const char *digits = *s == '-' || *s == '+' ? s + 1 : s;
	char *end;

	errno = 0;
	*v = strtoll(s, &end, 0);
	return *digits < '0' || *digits > '9' || *end || errno ? wrong("'%s' is not a number of 64 bits with its sign", s) : 0;
}

/* [pio:|mmio:]ADDRESS[+BYTES], or the map's name. BYTES 0: not given. */
static int region(const char *s, struct kvm_iofilter_range *r)
{
	static const char what[] = "'%s' is no region: pio:PORT+BYTES or mmio:ADDRESS+BYTES";
	const char *given = s;
	int bus = -1;
	char *end;

	*r = (struct kvm_iofilter_range){ 0 };
	errno = 0;
	if (!strncmp(s, "map-", 4) || !strncmp(s, "m-", 2)) {
		r->addr = strtoull(strchr(s, '-') + 1, &end, 16);
	} else {
		if (!strncmp(s, "pio:", 4))
			bus = KVM_IOFILTER_PIO;
		else if (!strncmp(s, "mmio:", 5))
			bus = KVM_IOFILTER_MMIO;
		s += bus < 0 ? 0 : strcspn(s, ":") + 1;
		if (*s < '0' || *s > '9')
			return wrong(what, given);
		r->addr = strtoull(s, &end, 0);
	}
	if (*end == '+' && end[1] >= '0' && end[1] <= '9') {
		unsigned long len = strtoul(end + 1, &end, 0);

		if (!len || len > 4096)
			return wrong("'%s': a region has 1 to 4096 bytes", given);
		r->len = len;
	}
	if (errno || *end)
		return wrong(what, given);
	if (bus == KVM_IOFILTER_PIO && r->addr > 0xffff)
		return wrong("'%s': ports end at 0xffff", given);
	if (bus == KVM_IOFILTER_MMIO && r->addr < MAP_MMIO_MIN)
		return wrong("'%s': memory below 0x10000 cannot be mapped, such addresses are ports", given);
	r->bus = r->addr < MAP_MMIO_MIN ? KVM_IOFILTER_PIO : KVM_IOFILTER_MMIO;
	return 0;
}

static int alarm_mode(const char *s, __u32 *mode)
{
	static const char *const names[] = {
		[IOFILTER_MAP_ALARM_OFF] = "off",
		[IOFILTER_MAP_ALARM_ONCE] = "once",
		[IOFILTER_MAP_ALARM_PERIODIC] = "periodic",
	};

	for (*mode = 0; *mode < sizeof(names) / sizeof(names[0]); ++*mode)
		if (!strcmp(s, names[*mode]))
			return 0;
	return wrong("alarm '%s': once, periodic or off", s);
}

/* NAME=VALUE, or NAME VALUE of "set". Return: how many words it took, or -EINVAL. */
static int setting(char *const *words, int left, struct iofilter_map_opts *m)
{
	struct {
		const char *name;
		__u32 field;
		__u64 *to;
	} rows[] = {
		{ "freq", IOFILTER_MAP_FREQ, &m->freq },	  { "divider", IOFILTER_MAP_DIVIDER, &m->divider },
		{ "reload", IOFILTER_MAP_RELOAD, &m->reload },	  { "set", IOFILTER_MAP_VALUE, &m->value },
		{ "compare", IOFILTER_MAP_COMPARE, &m->compare }, { "width", IOFILTER_MAP_WIDTH, NULL },
		{ "offset", IOFILTER_MAP_OFFSET, NULL },	  { "alarm", IOFILTER_MAP_ALARM, NULL },
		{ "stop", IOFILTER_MAP_RUN, NULL },		  { "start", IOFILTER_MAP_RUN, NULL },
	};
	size_t len = strcspn(words[0], "="), i;
	const char *value = words[0][len] ? words[0] + len + 1 : NULL;
	__u64 width;
	int took = 1;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].name) == len && !memcmp(rows[i].name, words[0], len))
			break;
	if (i == sizeof(rows) / sizeof(rows[0]))
		return wrong("unknown '%s': 'iofilter map --help' lists the settings", words[0]);
	if (m->fields & rows[i].field)
		return wrong("'%s': that is said already", words[0]);
	m->fields |= rows[i].field;
	if (rows[i].field == IOFILTER_MAP_VALUE && !value && left > 1) {
		value = words[1];
		took = 2;
	}
	if (rows[i].field == IOFILTER_MAP_RUN) {
		m->run = words[0][2] == 'a';
		return value ? wrong("'%s' has no value", rows[i].name) : took;
	}
	if (rows[i].field == IOFILTER_MAP_ALARM)
		return alarm_mode(value ?: "once", &m->alarm) ?: took;
	if (!value)
		return wrong("'%s' needs a value", rows[i].name);
	if (rows[i].field == IOFILTER_MAP_OFFSET)
		return signed_number(value, &m->offset) ?: took;
	if (rows[i].to)
		return number(value, rows[i].to) ?: took;
	if (number(value, &width))
		return -EINVAL;
	m->width = width > 64 ? 65 : width;
	return took;
}

static int settings(char *const *words, int n, struct iofilter_map_opts *m)
{
	int took;

	for (; n; n -= took, words += took) {
		took = setting(words, n, m);
		if (took < 0)
			return took;
	}
	return 0;
}

static int map_table(struct args *args, const struct kvm_iofilter_range *range)
{
	struct iofilter_rules *rules;
	int ret;

	if (args->nr_devices != 3) {
		refuse_msg("name one rule file");
		return EXIT_USAGE;
	}
	if (iofilter_rules_read(args->devices[2], &rules))
		return refuse();
	args->opts.rules = rules;
	args->devices[0] = "table";
	args->nr_devices = 1;
	ret = iofilter_rules_within(rules, range) ? refuse() : attach_run(args);
	iofilter_rules_free(rules);
	return ret;
}

static int map_new(struct args *args, struct iofilter_map_opts *m)
{
	char *const *words = (char *const *)args->devices;
	const char *kind = args->nr_devices > 1 ? words[1] : "";

	if (!strcmp(kind, "table"))
		return map_table(args, &m->range);
	if (!strcmp(kind, "counter")) {
		m->kind = IOFILTER_MAP_COUNTER;
		if (settings(words + 2, args->nr_devices - 2, m))
			return EXIT_USAGE;
	} else if (!strcmp(kind, "const")) {
		m->kind = IOFILTER_MAP_CONST;
		m->fields = IOFILTER_MAP_VALUE;
		if (args->nr_devices != 3) {
			refuse_msg("a constant is one value");
			return EXIT_USAGE;
		}
		if (number(words[2], &m->value))
			return EXIT_USAGE;
	} else {
		refuse_msg("'%s': what is to be there? counter, const or table", *kind ? kind : words[0]);
		return EXIT_USAGE;
	}
	args->opts.map = m;
	args->alarm = m->kind == IOFILTER_MAP_COUNTER;
	args->devices[0] = "map";
	args->nr_devices = 1;
	return attach_run(args);
}

/* An option that only what is placed has a use for, or NULL. */
static const char *for_a_new_one(const struct args *args)
{
	return args->daemon ? "--daemon" : args->pin ? "--pin" : args->drain_given ? "--drain" : args->opts.vm_fd ? "--vm-fd" : NULL;
}

static int print_changed(const struct args *args, __u64 addr)
{
	char name[KVM_IOFILTER_NAME_LEN];
	struct json_object *o;

	if (!args->json) {
		printf("%s: changed in VM %d\n", args->devices[0], args->pid);
		return EXIT_OK;
	}
	iofilter_map_name(addr, name);
	o = json_object_new_object();
	json_object_object_add(o, "event", json_object_new_string("changed"));
	json_object_object_add(o, "pid", json_object_new_int(args->pid));
	json_object_object_add(o, "device", json_object_new_string(name));
	return json_print(o);
}

static int map_changed(struct args *args, struct iofilter_map_opts *m)
{
	const char *option = for_a_new_one(args);

	if (option) {
		refuse_msg("%s is for a new map: %s has no +BYTES", option, args->devices[0]);
		return EXIT_USAGE;
	}
	if (args->nr_devices < 2) {
		refuse_msg("what is to change at %s? (a new map has +BYTES)", args->devices[0]);
		return EXIT_USAGE;
	}
	if (settings((char *const *)args->devices + 1, args->nr_devices - 1, m))
		return EXIT_USAGE;
	if (iofilter_map_set(args->pid, m->range.addr, m))
		return refuse();
	return print_changed(args, m->range.addr);
}

static int map_waited_for(const struct args *args, const struct iofilter_map_opts *m)
{
	const char *option = for_a_new_one(args);

	if (option) {
		refuse_msg("%s is for a new map: wait is for one that is there", option);
		return EXIT_USAGE;
	}
	if (m->range.len || args->nr_devices > 2) {
		refuse_msg("wait is for a map that is there, named by its address alone: iofilter map --pid PID ADDRESS wait");
		return EXIT_USAGE;
	}
	return map_wait(args, m->range.addr);
}

int cmd_map(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_words = true };
	struct iofilter_map_opts m = { .size = sizeof(m) };

	args_parse(&args, argc, argv, options,
		   "--pid PID REGION counter SETTING...\n--pid PID REGION const VALUE\n--pid PID REGION table FILE\n"
		   "--pid PID ADDRESS SETTING...\n--pid PID ADDRESS wait",
		   doc);
	if (!args.nr_devices) {
		refuse_msg("where? give a region, pio:PORT+BYTES or mmio:ADDRESS+BYTES");
		return EXIT_USAGE;
	}
	if (region(args.devices[0], &m.range))
		return EXIT_USAGE;
	if (args.nr_devices > 1 && !strcmp(args.devices[1], "wait"))
		return map_waited_for(&args, &m);
	if (args.count || args.timeout) {
		refuse_msg("--count and --timeout are for 'wait'");
		return EXIT_USAGE;
	}
	return m.range.len ? map_new(&args, &m) : map_changed(&args, &m);
}

int map_none(__u64 addr, pid_t pid)
{
	return refuse_msg("no map begins at 0x%llx of VM %d ('iofilter status' shows what is there)", (unsigned long long)addr, pid);
}

static bool there(const struct iofilter_info *infos, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (infos[i].end == IOFILTER_ATTACHED && !strcmp(infos[i].device, name))
			return true;
	return false;
}

/* All of them, or none if one is not there. */
static int unmap(const struct args *args, const __u64 *addrs)
{
	struct json_object *list = NULL;
	char name[KVM_IOFILTER_NAME_LEN];
	struct iofilter_info *infos;
	int i, n, ret = EXIT_OK;

	n = iofilter_list(args->pid, &infos);
	if (n < 0)
		return refuse();
	for (i = 0; !ret && i < args->nr_devices; i++) {
		iofilter_map_name(addrs[i], name);
		if (!there(infos, n, name))
			ret = map_none(addrs[i], args->pid);
	}
	free(infos);
	if (args->json && !ret)
		list = json_object_new_array();
	for (i = 0; !ret && i < args->nr_devices; i++) {
		iofilter_map_name(addrs[i], name);
		if (iofilter_unmap(args->pid, addrs[i]) < 0)
			ret = refuse();
		else if (list)
			json_object_array_add(list, json_object_new_string(name));
		else
			printf("%s: detached from VM %d\n", name, args->pid);
	}
	if (list)
		json_print(list);
	return ret;
}

int cmd_unmap(int argc, char **argv)
{
	static const struct argp_option unmap_options[] = { ROW_PID, ROW_JSON, { 0 } };
	struct args args = { .need_pid = true, .takes_devices = true };
	struct kvm_iofilter_range r;
	__u64 addrs[MAX_DEVICES];

	args_parse(&args, argc, argv, unmap_options, "--pid PID ADDRESS...",
		   "Remove the counter or constant that begins at ADDRESS, whoever placed it, and its pins. (A table: 'iofilter detach'.)\v"
		   "When it returns, no access is under way in it any more. Needs CAP_SYS_ADMIN.");
	if (!args.nr_devices) {
		refuse_msg("where? give the address at which the map begins");
		return EXIT_USAGE;
	}
	for (int i = 0; i < args.nr_devices; i++) {
		if (region(args.devices[i], &r))
			return EXIT_USAGE;
		addrs[i] = r.addr;
	}
	return unmap(&args, addrs);
}
