// SPDX-License-Identifier: GPL-2.0
/* The reference VMM's life: make the machine, run the event loop until something ends it, take it apart. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/thread.h>
#include "vmm.h"

/* One line. On a raw terminal a newline alone does not return. */
void vmm_error(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "iofilter-vmm: %s%s\n", text, isatty(STDERR_FILENO) ? "\r" : "");
}

void vmm_end(struct vmm *vmm, int status)
{
	if (__atomic_exchange_n(&vmm->ending, true, __ATOMIC_SEQ_CST))
		return;
	vmm->status = status;
	/* From any thread, and perhaps before the loop begins, which would forget a loopbreak of before. */
	event_active(vmm->ended, EV_READ, 0);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(vmm->events);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	vmm_end(arg, VMM_SIGNAL);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;

	(void)fd;
	(void)what;
	vmm_error("the guest has not ended after %u s", vmm->opts.timeout);
	vmm_end(vmm, VMM_TIMEOUT);
}

static int add_event(struct vmm *vmm, int fd, short what, event_callback_fn fn, const struct timeval *after)
{
	struct event *e = event_new(vmm->events, fd, what, fn, vmm);

	return !e || event_add(e, after);
}

static int events_create(struct vmm *vmm)
{
	struct timeval limit = { .tv_sec = vmm->opts.timeout };
	struct event_config *config = event_config_new();

	signal(SIGPIPE, SIG_IGN);
	/* Not epoll, to which a file is no input. */
	if (!config || evthread_use_pthreads() || event_config_require_features(config, EV_FEATURE_FDS) ||
	    !(vmm->events = event_base_new_with_config(config)) || !(vmm->ended = event_new(vmm->events, -1, 0, on_ended, vmm)) ||
	    add_event(vmm, SIGTERM, EV_SIGNAL | EV_PERSIST, on_signal, NULL) ||
	    add_event(vmm, SIGINT, EV_SIGNAL | EV_PERSIST, on_signal, NULL) ||
	    (vmm->opts.timeout && add_event(vmm, -1, 0, on_timeout, &limit))) {
		vmm_error("libevent makes no event loop");
		return -1;
	}
	event_config_free(config);
	return 0;
}

static int load(struct vmm *vmm)
{
	return vmm->opts.kernel ? linux_load(vmm) : flat_load(vmm);
}

static int start(struct vmm *vmm)
{
	return load(vmm) || filters_attach(vmm) || upset_init(vmm) || console_create(vmm) || vcpu_start_all(vmm);
}

/* As in the middle of a pause, at whose end the vCPUs go on. */
static int start_restored(struct vmm *vmm)
{
	if (restore_open(vmm))
		return -1;
	vmm->stopped_at = time_now(vmm);
	vmm->stopped = vmm->pausing = true;
	if (filters_attach(vmm) || upset_init(vmm) || console_create(vmm) || restore(vmm) || vcpu_start_all(vmm))
		return -1;
	restore_close(vmm);
	time_go_on(vmm);
	return 0;
}

/* Those that mean a save or a stop wait until they can be carried out. */
static int hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	return pthread_sigmask(how, &set, NULL);
}

static int create(struct vmm *vmm)
{
	return machine_create(vmm) || events_create(vmm) || time_init(vmm) || save_init(vmm) || hold_signals(SIG_UNBLOCK) ||
	       board_create(vmm) ||
	       (vmm->opts.restore ? start_restored(vmm) : start(vmm));
}

int main(int argc, char **argv)
{
	static struct vmm vmm = { .kvm = -1, .fd = -1, .timer_fd = -1, .status = VMM_ERROR };

	pthread_mutex_init(&vmm.lock, NULL);
	pthread_cond_init(&vmm.changed, NULL);
	if (options_parse(&vmm.opts, argc, argv))
		return VMM_ERROR;
	hold_signals(SIG_BLOCK);
	if (!create(&vmm))
		event_base_dispatch(vmm.events);
	vcpu_join_all(&vmm);
	console_destroy(&vmm);
	/* The filters last, since stats shows what they did; the VM after them, so that they are detached and not cut off. */
	if (vmm.opts.show_stats && vmm.board && stats_print(&vmm))
		vmm.status = VMM_ERROR;
	filters_detach(&vmm);
	restore_close(&vmm);
	board_destroy(&vmm);
	machine_destroy(&vmm);
	return vmm.status;
}
