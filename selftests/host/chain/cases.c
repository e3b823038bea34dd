// SPDX-License-Identifier: GPL-2.0
/* Runs the rows of a case. The oracle of vm.c watches every value besides. */
#include <stdarg.h>
#include <stdio.h>
#include "cases.h"
#include "co.h"

#define BASE_US 1e9
#define STOPS_MAX 80

static struct {
	struct vm *vm;
	const struct chain_case *c;
	int dev, stop_at, stop_vcpu;
	double stop_jump;
	bool stop_armed, stopped;
	u64 lost, moves, samples; /* at the beginning */
} run;

static void at(double t)
{
	u64 ns = (BASE_US + t) * 1000;

	sim_now = max(sim_now, ns);
}

static double to_us(s64 ticks)
{
	return ((double)iofilter_ticks_to_ns(ticks, run.vm->devs[run.dev].freq) - run.vm->offset) / 1000 - BASE_US;
}

static void leave(int v)
{
	vm_returned(run.vm, v);
	vm_left(run.vm, v);
}

static bool read_dev(int v, bool drawn)
{
	struct device *d = &run.vm->devs[run.dev];
	struct kvm_iofilter_ops punt;
	bool answered;

	if (drawn && d->f) {
		/* As if the program had chosen this one. */
		punt = *d->ops;
		punt.read = NULL;
		d->f->ops = &punt;
	}
	answered = vm_access(run.vm, v, run.dev, 1);
	if (d->f)
		d->f->ops = d->ops;
	if (!answered)
		leave(v);
	return answered;
}

static void got(int v)
{
	vm_enter(run.vm, v, false);
	vm_complete(run.vm, v);
}

static void trip(int v, double t, bool drawn)
{
	read_dev(v, drawn);
	at(t + 2);
	vm_answer(run.vm, v, 0);
	at(t + 4);
	got(v);
}

static void hot(const struct chain_row *r)
{
	int i;

	for (i = 0; i < r->n; i++) {
		int v = r->v + (r->op == T_TURNS && i & 1);
		u64 begin;

		at(r->t + i * 10);
		if (read_dev(v, false))
			continue;
		begin = sim_now;
		sim_now = begin + 2 * US;
		vm_answer(run.vm, v, 0);
		sim_now = begin + 4 * US;
		got(v);
	}
}

static void stopped(void)
{
	sim_left = 0;
	run.stopped = true;
	if (run.stop_jump == 0) {
		vm_other(run.vm, run.stop_vcpu, false);
		leave(run.stop_vcpu);
		vm_answer(run.vm, run.stop_vcpu, 0);
		return;
	}
	run.vm->offset += run.stop_jump * 1000;
	run.vm->moved = true;
	run.vm->strict = false; /* the VMM itself goes back here */
	read_dev(run.stop_vcpu, true);
	vm_answer(run.vm, run.stop_vcpu, 0);
	got(run.stop_vcpu);
	read_dev(run.stop_vcpu, true);
	run.vm->strict = true;
}

static void check(const struct chain_row *r)
{
	const struct iofilter_clock *clk = &run.vm->devs[run.dev].state->clock;
	u64 got = r->n == CHECK_MOVES ? clk->moves - run.moves : r->n == CHECK_LOST ? clk->lost - run.lost :
		  r->n == CHECK_SAMPLES ? clk->samples - run.samples : clk->proof;

	if (got < r->lo || got > (u64)r->delay_hi)
		vm_fail(run.vm, "wanted %g to %g %s, got %llu", r->lo, r->delay_hi,
			(const char *[]){ "moves", "lost answers", "samples", "(proof)" }[r->n], got);
}

static void row(const struct chain_row *r, int n)
{
	struct vm *vm = run.vm;
	struct device *d = &vm->devs[run.dev];
	struct vcpu *v = &vm->vcpus[r->v];
	bool answered;
	int i;

	at(r->t);
	switch (r->op) {
	case T_READ:
	case T_DRAWN:
		if (run.stop_at && run.stop_armed && !run.stopped)
			sim_left = run.stop_at;
		vm_slept = 0;
		answered = read_dev(r->v, r->op == T_DRAWN);
		sim_left = 0;
		if (r->expect && answered != (r->expect == T_ANSWER))
			vm_fail(vm, "row %d: wanted %s", n, r->expect == T_ANSWER ? "an answer" : "a punt");
		else if (answered && r->lo != 0 && to_us(v->val + 1) < r->lo)
			vm_fail(vm, "row %d: wanted %g at least, got %.3f", n, r->lo, to_us(v->val));
		else if (r->delay_hi != 0 && (vm_slept < r->delay_lo * 1000 || vm_slept > r->delay_hi * 1000))
			vm_fail(vm, "row %d: wanted a delay of %g to %g us, got %g", n, r->delay_lo, r->delay_hi, vm_slept / 1e3);
		break;
	case T_VMM: vm_answer(vm, r->v, 0); break;
	case T_GOT: got(r->v); break;
	case T_TRIP: trip(r->v, r->t, true); break;
	case T_USER:
		if (v->io == READ) { /* completes it, immediate_exit being set */
			vm_enter(vm, r->v, true);
			vm_complete(vm, r->v);
		} else {
			vm_other(vm, r->v, false);
			vm_answer(vm, r->v, 0);
		}
		leave(r->v);
		break;
	case T_BACK: got(r->v); break;
	case T_RETURN: leave(r->v); vm_enter(vm, r->v, false); break;
	case T_TRIPS:
		for (i = 0; i < r->n; i++) {
			at(r->t + i * 60);
			trip(r->v, r->t + i * 60, true);
			trip(r->v, r->t + i * 60 + 5, true);
		}
		break;
	case T_HOT:
	case T_TURNS: hot(r); break;
	case T_FREEZE: vm_freeze(vm); break;
	case T_THAW: vm_thaw(vm, r->jump * 1000, false); break;
	case T_MOVE: vm->moved = true; vm->offset += (s64)(r->jump * 1000); break;
	case T_STEP: sim_base += r->jump * 1000; break;
	case T_KVMCLOCK: vm->kvm.arch.kvmclock_offset++; break;
	case T_LOCK: d->f->settling.counter = 1; break;
	case T_UNLOCK: d->f->settling.counter = 0; break;
	case T_STOP: run.stop_armed = true; run.stop_vcpu = r->v; run.stop_jump = r->jump; break;
	case T_GONE:
	case T_LEAVING:
		vm_detach(vm, run.dev, NULL);
		vm_access(vm, r->v, run.dev, 1);
		vm_returned(vm, r->v);
		if (r->op == T_GONE)
			vm_left(vm, r->v);
		break;
	case T_ATTACH:
		vm_attach(vm, run.dev, NULL);
		d->state->clock.calibrating = 0;
		run.lost = run.moves = run.samples = 0;
		break;
	case T_HOLD: iofilter_hold(d->f); break;
	case T_STRING:
		vm_access(vm, r->v, run.dev, STRING_MAX);
		leave(r->v);
		for (n = 0; n < STRING_MAX; n++) {
			at(r->t + 2 + n);
			vm_answer(vm, r->v, n);
		}
		at(r->t + 2 + n);
		got(r->v);
		break;
	case T_TORN: v->page.u32 += r->jump * d->freq / 1e6; break;
	case T_WRONG: vm->ppm = r->jump; vm->strict = false; vm->devs[0].consumed = vm->devs[1].consumed = 0; break;
	case T_CHECK: check(r); break;
	case T_END: break;
	}
}

static void run_rows(const struct chain_case *c, int stop_at, char *why, size_t size)
{
	const struct chain_row *r;
	struct vm *vm;
	int i, j, n;

	memset(&run, 0, sizeof(run));
	co_reset();
	sim_now = sim_base = sim_left = 0;
	at(-1000);
	run.vm = vm = vm_new(c->vcpus);
	run.c = c;
	run.dev = c->dev;
	run.stop_at = stop_at;
	sim_at_stop = stopped;
	vm->strict = true;
	vm->trace = getenv("TRACE") != NULL;
	vm_log_from = sim_now;
	/* So that 64 bits at 100 MHz pass 0x1_ffffffff at 100 us. */
	vm->offset = c->dev ? (s64)(0x1ffffffffULL * 10 - (BASE_US + 100) * 1000) : 123456789;
	vm_attach(vm, c->dev, NULL);
	vm->devs[c->dev].state->clock.calibrating = 0;
	for (i = 0; i < c->vcpus; i++)
		vm_enter(vm, i, false);
	for (j = 0; j < 6; j++)
		for (i = 0; i < c->vcpus; i++) {
			double t = -300 + (j * c->vcpus + i) * 10;

			at(t);
			trip(i, t, j > 0);
		}
	at(-5);
	for (i = 0; i < c->vcpus; i++)
		if (!read_dev(i, false))
			vm_fail(vm, "vCPU %d is not answered at the beginning", i);
	run.lost = vm->devs[c->dev].state->clock.lost;
	run.moves = vm->devs[c->dev].state->clock.moves;
	run.samples = vm->devs[c->dev].state->clock.samples;
	for (r = c->rows, n = 1; r->op != T_END && !vm->failure[0]; r++, n++)
		row(r, n);
	snprintf(why, size, "%s%s", vm->failure, vm->failure[0] && stop_at ? " (stopped)" : "");
	vm_free(vm);
	sim_at_stop = NULL;
}

bool chain_case_holds(const struct chain_case *c, char *why, size_t size)
{
	const struct chain_row *r;
	int i, stops = 0;

	for (r = c->rows; r->op != T_END; r++)
		stops |= r->op == T_STOP;
	for (i = stops; i <= (stops ? STOPS_MAX : 0); i++) {
		run_rows(c, i, why, size);
		if (why[0])
			return false;
	}
	return true;
}
