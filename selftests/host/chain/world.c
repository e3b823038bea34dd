// SPDX-License-Identifier: GPL-2.0
/* The actors. A vCPU's thread reads as KVM_RUN and QEMU's loop around it do. */
#include <stdio.h>
#include "co.h"
#include "world.h"

static struct {
	const struct scenario *sc;
	struct vm *vm;
	u64 rnd, reads;
	bool stop; /* vm_stop(): all vCPUs leave KVM_RUN */
	int stopped, operator;
	bool kicked[VM_VCPUS];
	u64 pauses;
} w;

void (*sim_at_stop)(void);
u64 vm_slept;

static u64 rnd(void)
{
	w.rnd ^= w.rnd << 13;
	w.rnd ^= w.rnd >> 7;
	return w.rnd ^= w.rnd << 17;
}

static u64 around(u64 mean)
{
	return mean / 2 + rnd() % (mean + 1);
}

static bool one_in(u64 n)
{
	return n && !(rnd() % n);
}

/* How long a step takes: now and then 20 times as long, and the thread may be preempted. */
static u64 took(u64 mean)
{
	u64 ns = around(mean * (w.sc->exit ?: 1));

	if (!(rnd() & 1023))
		ns *= 20;
	if (one_in(w.sc->preempt))
		ns += rnd() % (3 * MS);
	return ns;
}

void sim_stopped(void)
{
	sim_left = 0;
	if (sim_at_stop) {
		sim_at_stop();
		return;
	}
	co_sleep_deaf(rnd() % (rnd() & 15 ? 50 * US : MS));
	sim_left = rnd() & 1 ? 1 + rnd() % 32 : 0;
}

void sim_spin(void)
{
	unsigned int left = sim_left;

	sim_left = 0;
	co_sleep_deaf(20 + rnd() % 60);
	sim_left = left;
}

void sim_cost(u64 ns)
{
	unsigned int left = sim_left;

	sim_left = 0;
	co_sleep_deaf(ns);
	sim_left = left;
}

bool sim_delay(u64 ns)
{
	unsigned int left = sim_left;
	int v = co_self();

	if (v < 0) {
		vm_slept = ns;
		sim_now += ns;
		return false;
	}
	vm_log(w.vm, v, "sleeps for %.3f us", ns / 1000.0);
	sim_left = 0;
	w.vm->vcpus[v].delayed = ns;
	w.vm->vcpus[v].delay_cut = w.kicked[v] || co_sleep(ns);
	sim_left = left;
	return w.vm->vcpus[v].delay_cut;
}

static void kick(int v)
{
	w.kicked[v] = true;
	co_wake(v);
}

static void check_end(void)
{
	if (w.vm->failure[0] || w.vm->stats.answered + w.vm->stats.punted >= w.reads)
		co_end();
}

/* vcpu_run(), until something has to be told to the VMM. */
static void guest(int v)
{
	const struct scenario *sc = w.sc;
	static u64 until[VM_VCPUS];
	bool out;

	if (until[v] <= sim_now || until[v] > sim_now + 100 * MS)
		until[v] = sim_now + around(v & 1 && sc->idle ? sc->idle : sc->think);
	for (;;) {
		vm_guest(w.vm, v, true);
		out = w.kicked[v] || co_sleep(until[v] > sim_now ? until[v] - sim_now : 0);
		vm_guest(w.vm, v, false);
		if (out)
			return;
		if (sc->others && rnd() % (sc->others + sc->think) < sc->think) {
			vm_other(w.vm, v, rnd() & 1);
			return;
		}
		if (sc->stops && one_in(sc->stops))
			sim_left = 1 + rnd() % (rnd() & 1 ? 24 : 100);
		out = !vm_access(w.vm, v, sc->devs > 1 ? rnd() & 1 : 0, one_in(sc->strings) ? STRING_MAX : 1);
		sim_left = 0;
		check_end();
		if (out)
			return;
		until[v] = sim_now + around(v & 1 && sc->idle ? sc->idle : sc->think);
	}
}

static void vcpu(long v)
{
	struct vm *vm = w.vm;
	struct vcpu *c = &vm->vcpus[v];
	bool stop;
	int i;

	for (;;) {
		stop = w.stop;
		vm_enter(vm, v, stop);
		co_sleep_deaf(took(200));
		vm_complete(vm, v);
		check_end();
		if (!stop) {
			co_sleep_deaf(took(200));
			guest(v);
		}
		co_sleep_deaf(took(400));
		vm_returned(vm, v);
		co_sleep_deaf(took(100));
		vm_left(vm, v);
		w.kicked[v] = false;
		if (stop) {
			if (++w.stopped == w.sc->vcpus)
				co_wake(w.operator);
			while (w.stop)
				co_sleep(CO_NEVER / 2);
			co_sleep_deaf(rnd() % (3 * US));
			continue;
		}
		co_sleep_deaf(took(600));
		if (c->io != NO_IO)
			vm_answer(vm, v, 0);
		for (i = 1; c->io == STRING && i < c->count; i++) {
			co_sleep_deaf(took(200));
			vm_answer(vm, v, i);
		}
		co_sleep_deaf(took(400));
	}
}

static void wait_srcu(struct vm *vm)
{
	u64 left[VM_VCPUS];
	unsigned int points = sim_left;
	int v;

	sim_left = 0;
	for (v = 0; v < w.sc->vcpus; v++)
		left[v] = vm->vcpus[v].in_srcu ? vm->vcpus[v].srcu_left : CO_NEVER;
	for (v = 0; v < w.sc->vcpus; v++)
		while (left[v] != CO_NEVER && vm->vcpus[v].srcu_left == left[v])
			co_sleep_deaf(500);
	sim_left = points;
}

/* Another host: its CLOCK_MONOTONIC, KVM and filter begin anew, the VMM's clock and the guest go on. */
static void new_host(void)
{
	struct vm *vm = w.vm;
	u64 base = rnd() % (1000000 * MS);
	int i;

	for (i = 0; i < w.sc->devs; i++)
		vm_detach(vm, i, NULL);
	for (i = 0; i < w.sc->vcpus; i++)
		vm->vcpus[i].kvm.stat.fpu_reload = 0;
	vm->offset -= base - sim_base;
	vm->frozen_at += base - sim_base;
	sim_base = base;
	for (i = 0; i < w.sc->devs; i++)
		vm_attach(vm, i, NULL);
}

static void operate_pauses(long arg)
{
	const struct scenario *sc = w.sc;
	struct vm *vm = w.vm;
	s64 jump;
	int i;

	(void)arg;
	for (;;) {
		co_sleep_deaf(around(sc->pause));
		vm_freeze(vm);
		co_sleep_deaf(US + rnd() % (rnd() & 7 ? min(sc->window, 50 * US) : sc->window));
		w.stopped = 0;
		w.stop = true;
		for (i = 0; i < sc->vcpus; i++)
			kick(i);
		while (w.stopped < sc->vcpus)
			co_sleep(CO_NEVER / 2);
		co_sleep_deaf(sc->pause_min + rnd() % (sc->pause_max - sc->pause_min + 1));
		if (sc->migrate)
			new_host();
		jump = 0;
		if (sc->load)
			jump = rnd() & 1 ? rnd() % (5000 * MS) : -(rnd() % (rnd() & 1 ? 5000 * MS : 20 * MS));
		vm_thaw(vm, jump, sc->kvmclock);
		w.pauses++;
		w.stop = false;
		for (i = 0; i < sc->vcpus; i++)
			co_wake(i);
	}
}

static void operate_filters(long arg)
{
	const struct scenario *sc = w.sc;
	int dev;

	(void)arg;
	for (;;) {
		co_sleep_deaf(around(5 * MS));
		dev = sc->devs > 1 ? rnd() & 1 : 0;
		if (sc->update) {
			vm_update(w.vm, dev, wait_srcu);
			continue;
		}
		vm_log(w.vm, -1, "the filter is being detached");
		vm_detach(w.vm, dev, wait_srcu);
		co_sleep_deaf(around(100 * US));
		sim_left = rnd() & 1 ? 1 + rnd() % 64 : 0;
		vm_log(w.vm, -1, "the filter is being attached");
		vm_attach(w.vm, dev, wait_srcu);
		vm_log(w.vm, -1, "the filter is attached");
		sim_left = 0;
	}
}

static void signals(long arg)
{
	(void)arg;
	for (;;) {
		co_sleep_deaf(around(w.sc->kicks / w.sc->vcpus));
		kick(rnd() % w.sc->vcpus);
	}
}

/* CLOCK_MONOTONIC at 0 or 1000 ppm more than it was, by turns, and with steps of 1 us. */
static void slew(long arg)
{
	u64 n;

	(void)arg;
	for (n = 0;; n++) {
		co_sleep_deaf(US);
		sim_base += (n >> 16) & 1;
		if (!(n & 0xfff))
			sim_base += US;
	}
}

void world_run(const struct scenario *sc, u64 seed, u64 reads, bool trace, struct result *r)
{
	struct vm *vm;
	int i;

	memset(&w, 0, sizeof(w));
	memset(r, 0, sizeof(*r));
	w.sc = sc;
	w.reads = reads;
	w.rnd = seed * 0x9e3779b97f4a7c15ULL | 1;
	sim_now = 1000000 * MS;
	sim_base = sim_left = 0;
	w.vm = vm = vm_new(sc->vcpus);
	vm->strict = true;
	vm->trace = trace;
	vm->offset = rnd() % (100000 * MS);
	co_reset();
	for (i = 0; i < sc->vcpus; i++)
		co_new(vcpu, i, sim_now + rnd() % (10 * US));
	if (sc->pause)
		w.operator = co_new(operate_pauses, 0, sim_now);
	if (sc->attach || sc->update)
		co_new(operate_filters, 0, sim_now);
	if (sc->kicks)
		co_new(signals, 0, sim_now);
	if (sc->slew)
		co_new(slew, 0, sim_now);
	for (i = 0; i < sc->devs; i++)
		vm_attach(vm, i, NULL);
	co_switches = 0;
	co_run();

	r->stats = vm->stats;
	r->end = sim_now;
	r->events = co_switches;
	r->pauses = w.pauses;
	for (i = 0; i < sc->devs; i++) {
		r->moves += vm->devs[i].state->clock.moves;
		if (vm->devs[i].state->clock.proof == IOFILTER_FUSED)
			vm_fail(vm, "the fuse of %s blew (%u)", vm->devs[i].name, vm->devs[i].state->clock.fuse);
	}
	if (sc->punts != 0 && vm->stats.punted * 100.0 > sc->punts * (vm->stats.answered + vm->stats.punted))
		vm_fail(vm, "P3: %llu of %llu reads went to the VMM, wanted at most %g percent", vm->stats.punted,
			vm->stats.answered + vm->stats.punted, sc->punts);
	memcpy(r->failure, vm->failure, sizeof(r->failure));
	vm_free(vm);
}

/* Switch off what the failure does not need, then take the shortest of some seeds. */
void world_minimise(const struct scenario *from, u64 seed, u64 reads)
{
	struct scenario sc = *from, tried;
	u64 s, best = seed, best_end = CO_NEVER;
	struct result r;
	int i;

	for (i = 0; i < 12; i++) {
		tried = sc;
		switch (i) {
		case 0: tried.strings = 0; break;
		case 1: tried.devs = 1; break;
		case 2: tried.kicks = 0; break;
		case 3: tried.others = 0; break;
		case 4: tried.preempt = 0; break;
		case 5: tried.idle = 0; break;
		case 6: tried.stops = 0; break;
		case 7: tried.slew = tried.update = tried.load = 0; break;
		case 8: tried.pause = 0; break;
		default: tried.vcpus = max(tried.vcpus / 2, 2); break;
		}
		if (!memcmp(&tried, &sc, sizeof(sc)))
			continue;
		for (s = seed; s < seed + 4; s++) {
			world_run(&tried, s, reads, false, &r);
			if (r.failure[0] && strncmp(r.failure, "P3", 2)) {
				sc = tried;
				break;
			}
		}
	}
	for (s = seed; s < seed + 24; s++) {
		world_run(&sc, s, reads, false, &r);
		if (r.failure[0] && r.end < best_end) {
			best = s;
			best_end = r.end;
		}
	}
	printf("# smallest: %d vCPUs, %d devices, strings %d, others %llu, kicks %llu, preempt %d, stops %d, pause %llu, seed %llu\n",
	       sc.vcpus, sc.devs, sc.strings, sc.others, sc.kicks, sc.preempt, sc.stops, sc.pause, best);
	vm_log_from = best_end - (getenv("TRACE_US") ? strtoull(getenv("TRACE_US"), NULL, 0) : 100) * US;
	world_run(&sc, best, reads, true, &r);
	vm_log_from = 0;
	printf("# %s\n", r.failure);
}
