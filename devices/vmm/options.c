// SPDX-License-Identifier: GPL-2.0
/* The command line. */
#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmm.h"

#define MIB (1ULL << 20)
#define MEMORY_MIN 16
#define MEMORY_MAX 3072 /* above it are the interrupt controllers and the HPET */
#define FLAT_ADDR 0x100000
#define NO_PORT 0x10000

#define CMDLINE "console=ttyS0 pci=off reboot=k panic=-1"

enum {
	FLAT = 256, KERNEL, INITRD, CMDLINE_OPT, DISK, FILTER, STATS, TIMEOUT, PAUSE_EVERY, REATTACH_EVERY, SABOTAGE, NO_ACPI, NO_KVMCLOCK,
	SAVE, RESTORE, SAVE_AFTER, SAVE_AT,
};

static const struct argp_option list[] = {
	{ NULL, 0, NULL, 0, "What to run, one of them:", 1 },
	{ "flat", FLAT, "FILE[@ADDR]", 0, "A raw binary, loaded at ADDR (0x100000) and entered there in 32-bit protected mode, paging off", 0 },
	{ "kernel", KERNEL, "FILE", 0, "A Linux bzImage", 0 },
	{ NULL, 0, NULL, 0, "For a kernel:", 2 },
	{ "initrd", INITRD, "FILE", 0, "Its initramfs", 0 },
	{ "cmdline", CMDLINE_OPT, "TEXT", 0, "Its command line (by default: " CMDLINE ")", 0 },
	{ "no-acpi", NO_ACPI, NULL, 0, "Without ACPI tables: one CPU, no HPET, no power-off", 0 },
	{ "no-kvmclock", NO_KVMCLOCK, NULL, 0, "Hide KVM's clock from the guest, which then uses the timers", 0 },
	{ NULL, 0, NULL, 0, "The machine:", 3 },
	{ "memory", 'm', "MIB", 0, "Memory, 16 to 3072 (256)", 0 },
	{ "cpus", 'c', "N", 0, "vCPUs, 1 to 16 (1)", 0 },
	{ "disk", DISK, "FILE[,ro]", 0, "A raw image as the first IDE disk", 0 },
	{ "filter", FILTER, "LIST", 0, "Filters to attach, separated by commas: pmtimer hpet pit rtc ide[=data] table=FILE", 0 },
	{ NULL, 0, NULL, 0, "Save and restore:", 4 },
	{ "save", SAVE, "FILE", 0, "At SIGUSR1 save the VM to FILE, and end with exit status 4", 0 },
	{ "restore", RESTORE, "FILE", 0, "Go on with the VM that was saved to FILE. All other options as they were", 0 },
	{ NULL, 0, NULL, 0, "For tests:", 5 },
	{ "stats", STATS, "FILE", OPTION_ARG_OPTIONAL, "At the end print the exits of each device as JSON, to FILE or stderr", 0 },
	{ "timeout", TIMEOUT, "S", 0, "End the VM after so many seconds, with exit status 124", 0 },
	{ "pause-every", PAUSE_EVERY, "MS", 0, "Stop the VM and its clock for a millisecond, again and again", 0 },
	{ "reattach-every", REATTACH_EVERY, "MS", 0, "Detach the disk's filter while the guest runs, and attach it again as much later", 0 },
	{ "sabotage", SABOTAGE, "SEED", 0, "At random, predict nothing, too little, or another place of the disk (ide, table)", 0 },
	{ "save-after", SAVE_AFTER, "N", 0, "Save after so many accesses of the guest that have come to the VMM", 0 },
	{ "save-at", SAVE_AT, "PORT", 0, "Save when the guest writes to this port", 0 },
	{}
};

static const char doc[] =
	"A small VMM that cooperates with the filters of kvm-iofilter through libiofilter.\v"
	"The serial port (0x3f8) is stdin and stdout; on a terminal, Ctrl-A x ends the VM. SIGUSR2 stops the VM, and lets it go on: to the guest, no "
	"time passes.\n\n"
	"Exit status: 0 when the guest switches off or resets the machine, the value that it writes to port 0xf4, 1 for bad input or a host that "
	"lacks something, 2 after a triple fault, 3 if KVM cannot go on, 4 when it was saved, 124 after --timeout, 130 after a signal or Ctrl-A x.";

static void bad(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void bad(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vmm_error("%s ('iofilter-vmm --help' shows the usage)", text);
	exit(VMM_ERROR);
}

static __u64 number(const char *what, const char *s, __u64 min, __u64 max)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (*s < '0' || *s > '9' || *end)
		bad("%s: '%s' is not a number", what, s);
	if (errno || v < min || v > max)
		bad("%s: %s is out of range: %llu to %llu", what, s, min, max);
	return v;
}

static void flat(struct vmm_options *o, char *arg)
{
	char *at = strrchr(arg, '@');

	o->flat_addr = FLAT_ADDR;
	if (at) {
		*at = '\0';
		o->flat_addr = number("--flat", at + 1, 0x1000, MEMORY_MAX * MIB);
	}
	o->flat = arg;
}

static void disk(struct vmm_options *o, char *arg)
{
	char *comma = strrchr(arg, ',');

	if (comma && !strcmp(comma, ",ro")) {
		*comma = '\0';
		o->disk_readonly = true;
	}
	o->disk = arg;
}

static void check(const struct vmm_options *o)
{
	if (!o->flat == !o->kernel)
		bad("give either --flat or --kernel");
	if (o->flat && o->initrd)
		bad("--initrd is for a --kernel");
	if (!o->acpi && o->cpus > 1)
		bad("without ACPI tables a guest finds one CPU only");
	if (!o->save && (o->save_after || o->save_at != NO_PORT))
		bad("where to is wanted: --save");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct vmm_options *o = state->input;

	switch (key) {
	case FLAT: flat(o, arg); break;
	case KERNEL: o->kernel = arg; break;
	case INITRD: o->initrd = arg; break;
	case CMDLINE_OPT: o->cmdline = arg; break;
	case DISK: disk(o, arg); break;
	case FILTER: o->filter = arg; break;
	case NO_ACPI: o->acpi = false; break;
	case NO_KVMCLOCK: o->kvmclock = false; break;
	case STATS:
		o->show_stats = true;
		o->stats = arg;
		break;
	case 'm': o->memory = number("--memory", arg, MEMORY_MIN, MEMORY_MAX) * MIB; break;
	case 'c': o->cpus = number("--cpus", arg, 1, VMM_MAX_VCPUS); break;
	case TIMEOUT: o->timeout = number("--timeout", arg, 1, 1000000); break;
	case REATTACH_EVERY: o->reattach_every = number("--reattach-every", arg, 1, 1000000); break;
	case SABOTAGE:
		o->sabotage = true;
		o->seed = number("--sabotage", arg, 0, ~0U);
		break;
	case PAUSE_EVERY: o->pause_every = number("--pause-every", arg, 1, 1000000); break;
	case SAVE: o->save = arg; break;
	case RESTORE: o->restore = arg; break;
	case SAVE_AFTER: o->save_after = number("--save-after", arg, 1, UINT64_MAX); break;
	case SAVE_AT: o->save_at = number("--save-at", arg, 0, 0xffff); break;
	case ARGP_KEY_ARG: bad("'%s' is not expected", arg);
	case ARGP_KEY_END: check(o); break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int options_parse(struct vmm_options *o, int argc, char **argv)
{
	static const struct argp argp = { .options = list, .parser = parse, .doc = doc };

	*o = (struct vmm_options){ .memory = 256 * MIB, .cpus = 1, .acpi = true, .kvmclock = true, .cmdline = CMDLINE,
				   .save_at = NO_PORT };
	argp_err_exit_status = VMM_ERROR;
	return argp_parse(&argp, argc, argv, 0, NULL, o);
}
