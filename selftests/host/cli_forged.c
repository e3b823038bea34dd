// SPDX-License-Identifier: GPL-2.0
/*
 * The tool, with a library that finds VMs and filters of which there are none (cli.sh). $FORGED names them: "pmtimer" is attached, "-hpet" has
 * pins left. The VM, whatever its pid, ends after $ROUNDS lists; its pins stay.
 */
#include <stdlib.h>
#include <string.h>
#include <iofilter/libiofilter.h>

#define NO_PID 4194304 /* beyond any pid */

static int rounds;

static int ended(void)
{
	const char *s = getenv("ROUNDS");

	return s && rounds > atoi(s);
}

#define WRAP(ret, name, ...)            \
	ret __wrap_##name(__VA_ARGS__); \
	ret __wrap_##name(__VA_ARGS__)

WRAP(int, iofilter_list, pid_t pid, struct iofilter_info **infos)
{
	char *words = strdup(getenv("FORGED") ?: ""), *rest = words, *word;
	int n = 0;

	rounds++;
	*infos = calloc(16, sizeof(**infos));
	while ((word = strsep(&rest, " "))) {
		if (!*word || (*word != '-' && ended()))
			continue;
		(*infos)[n].pid = pid;
		(*infos)[n].end = *word == '-' ? IOFILTER_VM_ENDED : IOFILTER_ATTACHED;
		strcpy((*infos)[n++].device, *word == '-' ? word + 1 : word);
	}
	free(words);
	return n;
}

int __real_iofilter_vm_get(pid_t pid, struct iofilter_vm *vm);

WRAP(int, iofilter_vm_get, pid_t pid, struct iofilter_vm *vm)
{
	if (ended())
		return __real_iofilter_vm_get(NO_PID, vm);
	*vm = (struct iofilter_vm){ .pid = pid, .name = "forged" };
	return 0;
}

WRAP(int, iofilter_open, pid_t pid, const char *device, struct iofilter **f)
{
	(void)pid, (void)device;
	*f = NULL;
	return 0;
}

WRAP(int, iofilter_reg_get, struct iofilter *f, const __u64 *ids, unsigned int n, void *buf, size_t size)
{
	(void)f, (void)ids, (void)n;
	memset(buf, 0, size);
	return 0;
}

WRAP(int, iofilter_save_vm, pid_t pid, const char *const *devices, void **data, size_t *size)
{
	(void)pid, (void)devices;
	*data = strdup("state");
	*size = 5;
	return 1;
}

WRAP(int, iofilter_map_set, pid_t pid, __u64 addr, const struct iofilter_map_opts *change)
{
	(void)pid, (void)addr, (void)change;
	return 0;
}
