// SPDX-License-Identifier: GPL-2.0
/* iofilter clean */
#include <stdio.h>
#include "cli.h"

static const struct argp_option options[] = { ROW_JSON, { 0 } };

int cmd_clean(int argc, char **argv)
{
	struct json_object *o;
	struct args args = {};
	int n;

	args_parse(&args, argc, argv, options, "",
		   "Remove the pins under " IOFILTER_PIN_DIR " whose VM has ended or that were detached.");
	n = iofilter_clean();
	if (n < 0)
		return refuse();
	if (args.json) {
		o = json_object_new_object();
		json_object_object_add(o, "removed", json_object_new_int(n));
		return json_print(o);
	}
	printf("removed the pins of %d filter%s\n", n, n == 1 ? "" : "s");
	return EXIT_OK;
}
