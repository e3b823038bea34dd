// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The clock of an attached filter, changed through the mapping of its state (iofilter/clockctl.h). */
#include <string.h>
#include <time.h>
#include <iofilter/clockctl.h>
#include "lib.h"

/* A sample takes well under a microsecond; a writer that is gone for so long was killed in between. */
#define WRITER_DEAD_MS 1000

/* Only who holds a clock may stop it. */
static int own_stopped(struct iofilter_clock *clk, __u64 virt)
{
	int err = 0;

	if (clk->mode == IOFILTER_CLOCK_PROVE)
		err = iofilter_clock_hold(clk);
	return err ?: iofilter_clock_stop(clk, virt);
}

static int apply(const struct clock_ref *c, enum iofilter_clock_op op, __s64 offset)
{
	struct iofilter_clock *clk = c->clk;
	__u64 now = lib_now();

	switch (op) {
	case IOFILTER_CLOCK_OWN:
		return c->absolute ? iofilter_clock_own(clk, c->vcpus, now, offset) : -EOPNOTSUPP;
	case IOFILTER_CLOCK_PROVE_ANEW:
		return iofilter_clock_prove(clk, c->vcpus, now);
	case IOFILTER_CLOCK_STOP:
		if (clk->mode == IOFILTER_CLOCK_OWNED)
			return iofilter_clock_stop(clk, now + clk->lo);
		return clk->mode == IOFILTER_CLOCK_PROVE ? iofilter_clock_hold(clk) : -EALREADY;
	case IOFILTER_CLOCK_START:
		if (clk->mode == IOFILTER_CLOCK_STOPPED)
			return iofilter_clock_own(clk, c->vcpus, now, clk->stopped - now);
		return clk->mode == IOFILTER_CLOCK_HELD ? iofilter_clock_prove(clk, c->vcpus, now) : -EALREADY;
	case IOFILTER_CLOCK_OWN_STOPPED:
		if (offset < 0)
			return -EINVAL;
		return c->absolute ? own_stopped(clk, offset) : -EOPNOTSUPP;
	case IOFILTER_CLOCK_HOLD:
		return clk->mode == IOFILTER_CLOCK_HELD ? 0 : iofilter_clock_hold(clk);
	}
	return -EINVAL;
}

static int try_change(const struct clock_ref *c, enum iofilter_clock_op op, __s64 offset)
{
	struct lib_hurry h;
	int err;

	lib_hurry(&h);
	err = apply(c, op, offset);
	lib_calm_down(&h);
	return err;
}

static int change(const struct clock_ref *c, enum iofilter_clock_op op, __s64 offset)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int err, tries = 0;

	if (c->pit)
		return pit_clock_set(c->pit, op);
	if (c->map)
		return map_clock_set(c->map, op, offset);
	while ((err = try_change(c, op, offset)) == -EBUSY) {
		if (++tries == WRITER_DEAD_MS)
			iofilter_clockctl_break(c->clk, lib_now());
		nanosleep(&ms, NULL);
	}
	return err;
}

/* All clocks of a device are one to whoever stops the VM. */
static int change_all(const struct device *d, void *state, enum iofilter_clock_op op, __s64 offset)
{
	struct clock_ref ref;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && d->clock(state, i, &ref); i++)
		err = change(&ref, op, offset);
	return err;
}

static int clock_fail(int err, const char *device, enum iofilter_clock_op op, __s64 value)
{
	switch (err) {
	case -EOPNOTSUPP:
		return lib_fail(err, "the clock of %s counts from what the guest did: nobody can set it, only stop and start", device);
	case -EINVAL:
		if (op != IOFILTER_CLOCK_OWN && op != IOFILTER_CLOCK_OWN_STOPPED)
			return lib_fail(err, "%d is nothing that can be done to a clock", op);
		return lib_fail(err, "%s %lld: the clock would be negative", op == IOFILTER_CLOCK_OWN ? "offset" : "time", (long long)value);
	case -EALREADY:
		return lib_fail(err, "the clock of %s %s already", device, op == IOFILTER_CLOCK_STOP ? "is stopped" : "runs");
	case 0:
	case -EPERM: /* of a map, which has said why */
		return err;
	default:
		return lib_fail(err, "the clock of %s cannot be changed now: %s", device, strerror(-err));
	}
}

int clock_change(const struct device *d, void *state, enum iofilter_clock_op op, __s64 value)
{
	if (!d || !d->clock || !state)
		return lib_fail(-EOPNOTSUPP, "%s has no clock that is known here", d ? d->name : "this device");
	return clock_fail(change_all(d, state, op, value), d->name, op, value);
}

int iofilter_clock_set(pid_t pid, const char *device, enum iofilter_clock_op op, __s64 value)
{
	struct iofilter *f;
	int err;

	err = iofilter_open(pid, device, &f);
	if (err)
		return err;
	if (f->o.device && f->o.device->clock && f->o.state)
		err = iofilter_clock(f, op, value);
	else
		err = lib_fail(-EOPNOTSUPP, "%s of VM %d has no clock that is known here", device, pid);
	iofilter_close(f);
	return err;
}
