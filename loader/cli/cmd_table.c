// SPDX-License-Identifier: GPL-2.0
/* iofilter table check|load|replace|show */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <iofilter/table.h>
#include "cli.h"

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static int check(int argc, char **argv)
{
	static const struct argp_option options[] = { { 0 } };
	struct args args = { .takes_devices = true };
	const struct kvm_iofilter_range *ranges;
	const struct iofilter_table *t;
	struct iofilter_rules *rules;
	char buf[64];
	__u32 i, nr;

	args_parse(&args, argc, argv, options, "FILE",
		   "Read a rule file and say what it watches, or what is wrong in it: FILE:LINE:COLUMN. No VM is touched.");
	if (args.nr_devices != 1) {
		refuse_msg("name one rule file");
		return EXIT_USAGE;
	}
	if (iofilter_rules_read(args.devices[0], &rules))
		return refuse();
	t = iofilter_rules_table(rules);
	ranges = iofilter_rules_ranges(rules, &nr);
	printf("%s: %u rule%s, %u bit%s, %u slot%s, %u buffer%s;", args.devices[0], t->nr_rules, plural(t->nr_rules), t->nr_bits,
	       plural(t->nr_bits), t->nr_slots, plural(t->nr_slots), t->nr_buffers, plural(t->nr_buffers));
	for (i = 0; i < nr; i++)
		printf(" %s", range_str(&ranges[i], buf, sizeof(buf)));
	putchar('\n');
	iofilter_rules_free(rules);
	return EXIT_OK;
}

static int load(int argc, char **argv)
{
	static const struct argp_option options[] = {
		ROW_PID,
		ROW_DAEMON,
		{ "pin", OPT_PIN, NULL, 0, "pin under " IOFILTER_PIN_DIR "/PID/table and return", 0 },
		ROW_DRAIN,
		ROW_VM_FD,
		ROW_JSON,
		ROW_VERBOSE,
		{ 0 },
	};
	struct args args = { .need_pid = true, .takes_devices = true };
	struct iofilter_rules *rules;
	int ret;

	args_parse(&args, argc, argv, options, "--pid PID FILE",
		   "Attach the table of a rule file to the VM of process PID.\v"
		   "In the foreground, with --daemon and with --pin it stays as 'iofilter attach' says. Its name is 'table': so it is "
		   "detached, and a VM has one.");
	if (args.nr_devices != 1) {
		refuse_msg("name one rule file");
		return EXIT_USAGE;
	}
	if (iofilter_rules_read(args.devices[0], &rules))
		return refuse();
	args.opts.rules = rules;
	args.devices[0] = "table";
	ret = attach_run(&args);
	iofilter_rules_free(rules);
	return ret;
}

static int replace(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_PID, ROW_DRAIN, ROW_VERBOSE, { 0 } };
	struct args args = { .need_pid = true, .takes_devices = true };
	struct iofilter_rules *rules;
	int err;

	args_parse(&args, argc, argv, options, "--pid PID FILE",
		   "Replace the rules of an attached table.\v"
		   "The new file must be for the same addresses. Each access of the guest meets the old rules or the new ones, and the new "
		   "ones begin with nothing known. Slots that the VMM has not seen are drained first.");
	if (args.nr_devices != 1) {
		refuse_msg("name one rule file");
		return EXIT_USAGE;
	}
	if (iofilter_rules_read(args.devices[0], &rules))
		return refuse();
	err = iofilter_table_replace(args.pid, rules, args.drain_ms);
	if (!err)
		printf("table: rules of VM %d replaced by %s (%u rules)\n", args.pid, args.devices[0],
		       iofilter_rules_table(rules)->nr_rules);
	iofilter_rules_free(rules);
	return err ? refuse() : EXIT_OK;
}

static const char *bit_str(const struct iofilter_table *t, __u32 i)
{
	return !(t->known >> i & 1) ? "unknown" : t->bits >> i & 1 ? "1" : "0";
}

/* The known bytes, the highest first; ".." for one that is not. */
static const char *slot_str(const struct table_cell *c, char *buf, size_t size)
{
	size_t n = 0;
	int i;

	for (i = 7; i >= 0; i--)
		n += snprintf(buf + n, size - n, c->known >> i & 1 ? "%02x" : "..", (unsigned int)(c->val >> i * 8 & 0xff));
	return buf;
}

static void show_text(const struct iofilter_table *t)
{
	char buf[32];
	__u32 i;

	if (*t->text.name)
		printf("table %s\n", t->text.name);
	printf("%10s %10s  line\n", "hits", "trapped");
	for (i = 0; i < t->nr_rules; i++)
		printf("%10llu %10llu  %4u: %s %s\n", (unsigned long long)t->hits[i], (unsigned long long)t->trapped[i], t->rules[i].line,
		       t->rules[i].op == TABLE_READ ? "read" : "write", t->text.rules[i]);
	for (i = 0; i < t->nr_bits; i++)
		printf("bit %s = %s\n", t->text.bits[i], bit_str(t, i));
	for (i = 0; i < t->nr_slots; i++)
		printf("slot %s = %s%s\n", t->text.slots[i], slot_str(&t->cells[i], buf, sizeof(buf)),
		       t->cells[i].dirty ? " (not seen by the VMM)" : "");
	for (i = 0; i < t->nr_buffers; i++)
		printf("buffer %s: %u of %u bytes read\n", t->text.buffers[i], t->buffers[i].pos, t->buffers[i].len);
	if (t->predict.loaded)
		printf("predictions: %llu loaded, %llu came true, %llu dropped; %llu accesses answered\n",
		       (unsigned long long)t->predict.loaded, (unsigned long long)t->predict.done,
		       (unsigned long long)t->predict.dropped, (unsigned long long)t->predict.answered);
}

static struct json_object *rules_json(const struct iofilter_table *t)
{
	struct json_object *list = json_object_new_array(), *o;
	char rule[TABLE_LINE_LEN + 8];

	for (__u32 i = 0; i < t->nr_rules; i++) {
		snprintf(rule, sizeof(rule), "%s %s", t->rules[i].op == TABLE_READ ? "read" : "write", t->text.rules[i]);
		o = json_object_new_object();
		json_add_u64(o, "line", t->rules[i].line);
		json_object_object_add(o, "rule", json_object_new_string(rule));
		json_add_u64(o, "hits", t->hits[i]);
		json_add_u64(o, "trapped", t->trapped[i]);
		json_object_array_add(list, o);
	}
	return list;
}

static int show_json(const struct iofilter_table *t)
{
	struct json_object *o = json_object_new_object(), *bits = json_object_new_object(), *slots = json_object_new_object(), *p, *buffers;
	char buf[32];
	__u32 i;

	json_object_object_add(o, "table", json_object_new_string(t->text.name));
	json_object_object_add(o, "rules", rules_json(t));
	for (i = 0; i < t->nr_bits; i++)
		json_object_object_add(bits, t->text.bits[i],
				       t->known >> i & 1 ? json_object_new_int(t->bits >> i & 1) : NULL);
	json_object_object_add(o, "bits", bits);
	for (i = 0; i < t->nr_slots; i++) {
		p = json_object_new_object();
		json_object_object_add(p, "bytes", json_object_new_string(slot_str(&t->cells[i], buf, sizeof(buf))));
		json_object_object_add(p, "dirty", json_object_new_int(t->cells[i].dirty));
		json_object_object_add(slots, t->text.slots[i], p);
	}
	json_object_object_add(o, "slots", slots);
	buffers = json_object_new_object();
	for (i = 0; i < t->nr_buffers; i++) {
		p = json_object_new_object();
		json_add_u64(p, "read", t->buffers[i].pos);
		json_add_u64(p, "bytes", t->buffers[i].len);
		json_object_object_add(buffers, t->text.buffers[i], p);
	}
	json_object_object_add(o, "buffers", buffers);
	p = json_object_new_object();
	json_add_u64(p, "loaded", t->predict.loaded);
	json_add_u64(p, "done", t->predict.done);
	json_add_u64(p, "dropped", t->predict.dropped);
	json_add_u64(p, "answered", t->predict.answered);
	json_object_object_add(o, "predictions", p);
	json_add_u64(o, "forgotten", t->forgotten);
	return json_print(o);
}

static int show(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_PID, ROW_JSON, { 0 } };
	struct args args = { .need_pid = true };
	struct iofilter_table *t;
	int ret = EXIT_OK;

	args_parse(&args, argc, argv, options, "--pid PID",
		   "The rules of an attached table, how often each was met and has trapped, and the state at this moment.");
	if (iofilter_table_get(args.pid, &t))
		return refuse();
	if (args.json)
		ret = show_json(t);
	else
		show_text(t);
	free(t);
	return ret;
}

int cmd_table(int argc, char **argv)
{
	static const struct subcmd cmds[] = { { "check", check }, { "load", load }, { "replace", replace }, { "show", show } };

	return subcommand(argc, argv, cmds, sizeof(cmds) / sizeof(cmds[0]),
			  "iofilter table: check FILE, load --pid PID FILE, replace --pid PID FILE or show --pid PID "
			  "('iofilter table load --help' shows its options)");
}
