// SPDX-License-Identifier: GPL-2.0
/* The device clock, and what the devices do by themselves: one timer of the host is set for the nearest deadline. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <event2/event.h>
#include "vmm.h"

__u64 monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

__u64 time_now(const struct vmm *vmm)
{
	return vmm->stopped ? vmm->stopped_at : monotonic() + vmm->offset;
}

void time_add(struct vmm *vmm, void *model, __u64 (*deadline)(const void *), void (*run)(void *))
{
	vmm->timers[vmm->nr_timers++] = (struct timer){ .deadline = deadline, .run = run, .model = model };
}

static void arm(struct vmm *vmm, __u64 at)
{
	struct itimerspec when = { .it_value = { .tv_sec = at / NSEC, .tv_nsec = at % NSEC } };

	if (at == vmm->armed)
		return;
	vmm->armed = at;
	timerfd_settime(vmm->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void time_run(struct vmm *vmm)
{
	__u64 next = UINT64_MAX, now, at;
	unsigned int i;

	if (vmm->stopped) {
		arm(vmm, 0);
		return;
	}
	now = time_now(vmm);
	for (i = 0; i < vmm->nr_timers; i++) {
		struct timer *t = &vmm->timers[i];

		at = t->deadline(t->model);
		if (at <= now) {
			t->run(t->model);
			at = t->deadline(t->model);
		}
		if (at < next)
			next = at;
	}
	/* 0 would disarm it. */
	arm(vmm, next == UINT64_MAX ? 0 : next - vmm->offset ?: 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;
	__u64 ticks;

	(void)what;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	pthread_mutex_lock(&vmm->lock);
	vmm->armed = 0;
	time_run(vmm);
	pthread_mutex_unlock(&vmm->lock);
}

/* The lock waits for vCPUs; with them parked nothing of the device clock is in flight. */
void time_pause(struct vmm *vmm)
{
	vcpu_park_all(vmm);
	pthread_mutex_lock(&vmm->lock);
	vmm->stopped_at = time_now(vmm);
	clocks_stop(vmm);
	vmm->stopped = true;
	vmm->pauses++;
	time_run(vmm);
	filters_stopped(vmm);
	clocks_settle(vmm);
	pthread_mutex_unlock(&vmm->lock);
}

void time_go_on(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	vmm->offset = vmm->stopped_at - monotonic();
	vmm->stopped = false;
	clocks_start(vmm);
	filters_started(vmm);
	console_pump(vmm);
	time_run(vmm);
	pthread_mutex_unlock(&vmm->lock);
	vcpu_go_on(vmm);
}

static void on_pause(evutil_socket_t fd, short what, void *arg)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct vmm *vmm = arg;

	(void)fd;
	(void)what;
	if (vmm->stopped)
		return;
	time_pause(vmm);
	nanosleep(&ms, NULL);
	time_go_on(vmm);
}

static void on_toggle(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;

	(void)fd;
	(void)what;
	if (vmm->stopped)
		time_go_on(vmm);
	else
		time_pause(vmm);
}

int time_init(struct vmm *vmm)
{
	struct timeval every = { .tv_sec = vmm->opts.pause_every / 1000, .tv_usec = vmm->opts.pause_every % 1000 * 1000 };
	struct event *timer, *pause, *toggle;

	/* It begins at 1 s: nothing before the power-on is ever negative. */
	vmm->offset = NSEC - monotonic();
	vmm->started_at = monotonic();
	vmm->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (vmm->timer_fd < 0) {
		vmm_error("timerfd: %s", strerror(errno));
		return -1;
	}
	timer = event_new(vmm->events, vmm->timer_fd, EV_READ | EV_PERSIST, on_timer, vmm);
	toggle = event_new(vmm->events, SIGUSR2, EV_SIGNAL | EV_PERSIST, on_toggle, vmm);
	if (!timer || !toggle || event_add(timer, NULL) || event_add(toggle, NULL))
		return -1;
	if (!vmm->opts.pause_every)
		return 0;
	pause = event_new(vmm->events, -1, EV_PERSIST, on_pause, vmm);
	return pause ? event_add(pause, &every) : -1;
}
