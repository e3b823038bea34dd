// SPDX-License-Identifier: GPL-2.0
/* iofilter list */
#include <stdio.h>
#include <stdlib.h>
#include "cli.h"

static const struct argp_option options[] = { ROW_JSON, { 0 } };

/* The devices of a VM on stdout, or into a JSON array. */
static int devices_of(pid_t pid, const struct iofilter_info *infos, int n, struct json_object *array)
{
	int count = 0;

	for (int i = 0; i < n; i++) {
		if (infos[i].pid != pid || infos[i].end != IOFILTER_ATTACHED)
			continue;
		if (array)
			json_object_array_add(array, json_object_new_string(infos[i].device));
		else
			printf("%s%s", count ? "," : "", infos[i].device);
		count++;
	}
	return count;
}

static int print_json(const struct iofilter_vm *vms, int nr_vms, const struct iofilter_info *infos, int n)
{
	struct json_object *list = json_object_new_array(), *vm, *devices;

	for (int i = 0; i < nr_vms; i++) {
		vm = json_object_new_object();
		devices = n < 0 ? NULL : json_object_new_array();
		json_object_object_add(vm, "pid", json_object_new_int(vms[i].pid));
		json_object_object_add(vm, "name", json_object_new_string(vms[i].name));
		json_object_object_add(vm, "vcpus", json_object_new_int(vms[i].vcpus));
		if (devices)
			devices_of(vms[i].pid, infos, n, devices);
		json_object_object_add(vm, "devices", devices);
		json_object_array_add(list, vm);
	}
	return json_print(list);
}

static void print_text(const struct iofilter_vm *vms, int nr_vms, const struct iofilter_info *infos, int n)
{
	if (nr_vms)
		printf("%8s %5s  %-24s %s\n", "PID", "VCPUS", "NAME", "ATTACHED");
	for (int i = 0; i < nr_vms; i++) {
		printf("%8d %5u  %-24s ", vms[i].pid, vms[i].vcpus, vms[i].name);
		if (n < 0)
			fputs("?", stdout);
		else if (!devices_of(vms[i].pid, infos, n, NULL))
			fputs("-", stdout);
		putchar('\n');
	}
}

int cmd_list(int argc, char **argv)
{
	struct iofilter_info *infos = NULL;
	struct iofilter_vm *vms = NULL;
	struct args args = {};
	unsigned int hidden;
	int nr_vms, n, ret;

	args_parse(&args, argc, argv, options, "",
		   "The KVM virtual machines that run on this host, and the devices attached to them.\v"
		   "Without CAP_SYS_ADMIN what is attached is not known: '?', in JSON null.");
	nr_vms = iofilter_vms(&vms, &hidden);
	if (nr_vms < 0)
		return refuse();
	n = iofilter_list(0, &infos);
	if (args.json) {
		ret = print_json(vms, nr_vms, infos, n);
	} else {
		print_text(vms, nr_vms, infos, n);
		ret = EXIT_OK;
		if (!nr_vms)
			puts("no KVM virtual machine is running");
	}
	if (hidden)
		fprintf(stderr, "iofilter: %u processes could not be looked into; run as root to see all\n", hidden);
	free(vms);
	free(infos);
	return ret;
}
