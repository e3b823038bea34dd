// SPDX-License-Identifier: GPL-2.0
/* iofilter attach */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "cli.h"

static const struct argp_option options[] = {
	ROW_PID,
	ROW_DAEMON,
	{ "pin", OPT_PIN, NULL, 0, "pin under " IOFILTER_PIN_DIR "/PID/DEVICE and return", 0 },
	{ "port", OPT_PORT, "PORT", 0, "where the device is (pmtimer: 0x608; OVMF on pc: 0xb008)", 0 },
	ROW_WIDTH,
	ROW_TIMING,
	ROW_DRAIN,
	ROW_OBJ,
	{ "pinned", OPT_PINNED, "DIR", 0, "programs that bpftool pinned in DIR (see below)", 0 },
	ROW_VM_FD,
	ROW_JSON,
	ROW_VERBOSE,
	{ 0 },
};

static const char doc[] =
	"Attach devices to the VM of process PID: all that are named, or, if one is refused, none. Without a name every device that "
	"applies to this VM, and for each that does not a line that says why.\v"
	"In the foreground the filter stays until the VM ends, somebody detaches it, or this command gets SIGINT or "
	"SIGTERM; it then says which and exits with 0. Without --pin a filter ends with its loader, "
	"even one that is killed.\n"
	"--daemon: the same in the background.\n"
	"--pin: the filter needs no loader and stays until the VM ends or 'iofilter detach'. Pins of ended VMs are "
	"removed by 'iofilter clean', or at once if --daemon is given too.\n"
	"--pinned DIR takes no DEVICE. To load and pin:\n"
	"  bpftool prog loadall pmtimer.bpf.o DIR/progs pinmaps DIR\n";

struct run {
	const struct args *args;
	struct iofilter_vm vm;
	struct iofilter *f[MAX_DEVICES];
	int n;
	bool quiet;
};

static void event(const struct run *r, const struct iofilter *f, const char *what, const char *text)
{
	const struct kvm_iofilter_ops *ops = iofilter_ops(f);
	struct json_object *o;
	char range[64];

	if (r->quiet)
		return;
	if (!r->args->json) {
		printf("%s: %s VM %d (%s) at %s, link %u\n", iofilter_device(f), text, r->vm.pid, r->vm.name,
		       range_str(&ops->ranges[0], range, sizeof(range)), iofilter_link_id(f));
		out_flush();
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "event", json_object_new_string(what));
	json_object_object_add(o, "pid", json_object_new_int(r->vm.pid));
	json_object_object_add(o, "device", json_object_new_string(iofilter_device(f)));
	json_object_object_add(o, "link", json_object_new_int64(iofilter_link_id(f)));
	json_print(o);
}

static void left_out(const struct run *r, const char *device)
{
	struct json_object *o;

	if (!r->args->json) {
		printf("%s: not attached: %s\n", device, iofilter_error());
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "event", json_object_new_string("not-attached"));
	json_object_object_add(o, "pid", json_object_new_int(r->vm.pid));
	json_object_object_add(o, "device", json_object_new_string(device));
	json_object_object_add(o, "reason", json_object_new_string(iofilter_error()));
	json_print(o);
}

/* Nothing was named. A VM without the device is no reason: then nothing is ever answered, and nothing lost. */
static int attach_what_applies(struct run *r)
{
	const char *const *device;

	for (device = iofilter_devices(); *device && r->n < MAX_DEVICES; device++) {
		switch (iofilter_attach(r->args->pid, *device, &r->args->opts, &r->f[r->n])) {
		case 0:
			r->n++;
			break;
		case -EEXIST:
		case -EBUSY:
		case -EADDRINUSE:
		case -ENXIO:
		case -EINVAL:
		case -ENOSPC:
			left_out(r, *device);
			break;
		default:
			/* Not the device's fault, and the same for all. */
			return refuse();
		}
	}
	return r->n ? EXIT_OK : refuse_msg("nothing was attached to VM %d", r->args->pid);
}

static int attach_named(struct run *r)
{
	const struct args *a = r->args;
	/* With programs given there is one filter, and they say which device. */
	int want = a->nr_devices ? a->nr_devices : 1;

	for (; r->n < want; r->n++)
		if (iofilter_attach(a->pid, a->nr_devices ? a->devices[r->n] : NULL, &a->opts, &r->f[r->n]))
			return refuse();
	return EXIT_OK;
}

static int attach_all(struct run *r)
{
	const struct args *a = r->args;
	int ret = a->nr_devices || a->opts.obj || a->opts.pinned ? attach_named(r) : attach_what_applies(r);

	if (ret)
		return ret;
	for (int i = 0; a->pin && i < r->n; i++)
		if (iofilter_pin(r->f[i]))
			return refuse();
	for (int i = 0; i < r->n; i++)
		event(r, r->f[i], "attached", "attached to");
	return EXIT_OK;
}

static void stop_all(struct run *r, bool say)
{
	for (int i = 0; i < r->n; i++) {
		int cut = iofilter_stop(r->f[i], r->args->drain_ms);

		if (cut < 0)
			refuse();
		else if (say)
			event(r, r->f[i], "detached", "detached from");
		if (cut > 0)
			warn_cut(iofilter_device(r->f[i]), r->args->pid, cut);
	}
}

static void say_ended(struct run *r, struct iofilter *f)
{
	if (iofilter_ended(f) == IOFILTER_VM_ENDED)
		event(r, f, "vm-ended", "VM ended; was attached to");
	else
		event(r, f, "detached-by-other", "detached by somebody else from");
	/* The link is dead already; this removes the pins. */
	iofilter_stop(f, 0);
}

/* The map that was attached counts to its compare value. Return: 0, or -1: the reason is printed. */
static int say_alarm(const struct run *r)
{
	__u64 n;

	if (iofilter_alarm_read(r->f[0], &n)) {
		refuse();
		return -1;
	}
	return n && alarm_print(r->f[0], r->vm.pid, n, r->args->json) ? -1 : 0;
}

/* Until a signal, or until every filter is gone. */
static int stay(struct run *r, int signals)
{
	/* A descriptor of -1 is not looked at. */
	struct pollfd fds[MAX_DEVICES + 2];
	int i, left = r->n, alarm = -1;

	if (r->args->alarm && !r->quiet) {
		alarm = iofilter_alarm_fd(r->f[0]);
		if (alarm < 0) {
			stop_all(r, false);
			return refuse();
		}
	}
	fds[r->n] = (struct pollfd){ .fd = signals, .events = POLLIN };
	fds[r->n + 1] = (struct pollfd){ .fd = alarm, .events = POLLIN };
	for (i = 0; i < r->n; i++)
		fds[i] = (struct pollfd){ .fd = iofilter_fd(r->f[i]) };
	while (left) {
		if (poll(fds, r->n + 2, -1) < 0 && errno != EINTR)
			return refuse_msg("poll: %s", strerror(errno));
		if (fds[r->n + 1].revents && say_alarm(r))
			fds[r->n + 1].fd = -1;
		if (fds[r->n].revents) {
			if (!r->args->pin)
				stop_all(r, true);
			return EXIT_OK;
		}
		for (i = 0; i < r->n; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			say_ended(r, r->f[i]);
			fds[i].fd = -1;
			left--;
		}
	}
	return EXIT_OK;
}

int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run(struct run *r)
{
	int signals = block_signals(), ret;

	if (signals < 0)
		return refuse_msg("signalfd: %s", strerror(errno));
	ret = attach_all(r);
	if (ret) {
		stop_all(r, false);
		return ret;
	}
	if (r->args->pin && !r->args->daemon)
		return EXIT_OK;
	if (r->args->daemon) {
		/* From here on this process's exit status is 0. */
		if (out_flush()) {
			stop_all(r, false);
			return EXIT_REFUSED;
		}
		if (daemon(0, 0)) {
			stop_all(r, false);
			return refuse_msg("cannot go into the background: %s", strerror(errno));
		}
		r->quiet = true;
	}
	return stay(r, signals);
}

int attach_run(const struct args *args)
{
	struct run r = { .args = args };
	int ret;

	if (iofilter_vm_get(args->pid, &r.vm))
		return refuse();
	ret = run(&r);
	for (int i = 0; i < r.n; i++)
		iofilter_close(r.f[i]);
	return ret;
}

int cmd_attach(int argc, char **argv)
{
	struct args args = { .need_pid = true, .takes_devices = true };
	const char *programs;

	args_parse(&args, argc, argv, options, "--pid PID [DEVICE...]\n--pid PID --pinned DIR\n--pid PID --obj FILE",
		   doc);
	programs = args.opts.obj ? "--obj" : args.opts.pinned ? "--pinned" : NULL;
	if (programs && args.nr_devices) {
		refuse_msg("%s takes no device: the programs say which", programs);
		return EXIT_USAGE;
	}
	if (args.opts.addr && !programs && args.nr_devices != 1) {
		refuse_msg("--port is for one device only");
		return EXIT_USAGE;
	}
	return attach_run(&args);
}
