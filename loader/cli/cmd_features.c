// SPDX-License-Identifier: GPL-2.0
/* iofilter features */
#include <stdio.h>
#include <stdlib.h>
#include "cli.h"

static const struct argp_option options[] = { ROW_JSON, { 0 } };

static const char *const answers[] = { [IOFILTER_NO] = "no", [IOFILTER_YES] = "yes", [IOFILTER_UNKNOWN] = "unknown" };

static struct json_object *to_json(const struct iofilter_feature *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "id", json_object_new_string(f->id));
	json_object_object_add(o, "name", json_object_new_string(f->name));
	json_object_object_add(o, "answer", json_object_new_string(answers[f->answer]));
	json_object_object_add(o, "required", json_object_new_boolean(f->required));
	json_object_object_add(o, "detail", json_object_new_string(f->detail));
	json_object_object_add(o, "todo", f->answer == IOFILTER_YES ? NULL : json_object_new_string(f->todo));
	return o;
}

static void print_text(const struct iofilter_feature *f)
{
	printf("%-7s  %s", answers[f->answer], f->name);
	if (f->detail[0])
		printf(" [%s]", f->detail);
	if (f->answer != IOFILTER_YES)
		printf(": %s%s", f->todo, f->required ? "" : " (optional)");
	putchar('\n');
}

int cmd_features(int argc, char **argv)
{
	struct json_object *list = NULL;
	struct iofilter_feature *f;
	struct args args = {};
	int i, n, ret = EXIT_OK;

	args_parse(&args, argc, argv, options, "",
		   "What this host and this user have of what is needed, and what to do about the rest.\v"
		   "Exit status: 0 if devices can be attached, 1 if something required is missing.");
	n = iofilter_features(&f);
	if (n < 0)
		return refuse();
	if (args.json)
		list = json_object_new_array();
	for (i = 0; i < n; i++) {
		if (f[i].required && f[i].answer == IOFILTER_NO)
			ret = EXIT_REFUSED;
		if (list)
			json_object_array_add(list, to_json(&f[i]));
		else
			print_text(&f[i]);
	}
	if (list)
		json_print(list);
	free(f);
	return ret;
}
