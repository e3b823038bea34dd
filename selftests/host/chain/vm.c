// SPDX-License-Identifier: GPL-2.0
/* KVM's and the VMM's side of an exit, in the order in which Linux 6.12 and QEMU change what the module looks at. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include "vm.h"

#define OTHER_PORT 0x1f7

u64 sim_now, sim_base;
unsigned int sim_left;
char sim_strings[VM_VCPUS][1024];
enum sim_clause sim_without;
u64 vm_log_from;
static struct vm *the_vm;

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	if (vm->failure[0])
		return;
	va_start(ap, fmt);
	vsnprintf(vm->failure, sizeof(vm->failure), fmt, ap);
	va_end(ap);
	vm_log(vm, -1, "FAILS: %s", vm->failure);
}

void vm_log(struct vm *vm, int v, const char *fmt, ...)
{
	va_list ap;

	if (!vm->trace || sim_now < vm_log_from)
		return;
	printf("# %14.3f us  ", (double)(sim_now - vm_log_from) / 1000);
	if (v >= 0)
		printf("vCPU %-2d ", v);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

struct vm *vm_new(int vcpus)
{
	static const struct { struct iofilter_counter *state; struct kvm_iofilter_ops *ops; } devs[VM_DEVS] = {
		{ &pmtimer, &pmtimer_ops }, { &counter64, &counter64_ops },
	};
	static struct iofilter_counter initial[VM_DEVS];
	struct vm *vm = calloc(1, sizeof(*vm));
	int i;

	the_vm = vm;
	vm->kvm.max_vcpus = VM_VCPUS;
	vm->kvm.created_vcpus = vcpus;
	vm->kvm.vcpus = vm->kvm_vcpus;
	for (i = 0; i < vcpus; i++) {
		struct kvm_vcpu *k = &vm->vcpus[i].kvm;

		vm->kvm_vcpus[i] = k;
		k->kvm = &vm->kvm;
		k->vcpu_idx = i;
		k->run = &vm->vcpus[i].run;
		k->arch.pio_data = &vm->vcpus[i].page;
	}
	for (i = 0; i < VM_DEVS; i++) {
		struct device *d = &vm->devs[i];

		/* The program's own initial values, before anything ran on them. */
		if (!initial[i].head.size)
			initial[i] = *devs[i].state;
		d->initial = initial[i];
		d->state = devs[i].state;
		d->ops = devs[i].ops;
		d->name = d->ops->name;
		d->freq = d->initial.clock.freq;
		d->port = d->initial.addr;
	}
	return vm;
}

void vm_free(struct vm *vm)
{
	int i;

	for (i = 0; i < VM_DEVS; i++)
		vm_detach(vm, i, NULL);
	free(vm);
}

void vm_attach(struct vm *vm, int dev, void (*wait)(struct vm *vm))
{
	struct device *d = &vm->devs[dev];
	struct iofilter *f = calloc(1, sizeof(*f));

	*d->state = d->initial;
	f->ops = d->ops;
	f->flags = d->ops->flags;
	f->nr_ranges = 1;
	f->devs[0] = (struct iofilter_dev){ .dev.ops = &iofilter_dev_ops, .f = f, .range = d->ops->ranges[0] };
	if (iofilter_slots_alloc(f, &vm->kvm))
		abort();
	d->f = f;
	if (wait)
		wait(vm);
	iofilter_slots_attached(f, &vm->kvm);
}

void vm_detach(struct vm *vm, int dev, void (*wait)(struct vm *vm))
{
	struct iofilter *f = vm->devs[dev].f;

	if (!f)
		return;
	vm->devs[dev].f = NULL;
	vm->devs[dev].forgot = true;
	if (wait)
		wait(vm);
	iofilter_slots_free(f);
	free(f);
}

/* The new program is the old one without its memory. */
void vm_update(struct vm *vm, int dev, void (*wait)(struct vm *vm))
{
	struct device *d = &vm->devs[dev];

	iofilter_hold(d->f);
	if (wait)
		wait(vm);
	/* While it is held, neither program is given anything to remember. */
	*d->state = d->initial;
	iofilter_unhold(d->f);
}

u64 vm_virt(const struct vm *vm)
{
	return (vm->frozen ? vm->frozen_at : sim_mono()) + vm->offset;
}

s64 vm_ticks(const struct vm *vm, int dev, u64 virt)
{
	u64 freq = vm->devs[dev].freq;

	if (vm->ppm != 0)
		virt = virt * (long double)(1 + vm->ppm / 1e6);
	return virt / IOFILTER_NSEC_PER_SEC * freq + virt % IOFILTER_NSEC_PER_SEC * freq / IOFILTER_NSEC_PER_SEC;
}

void vm_freeze(struct vm *vm)
{
	vm->frozen_at = sim_mono();
	vm->frozen = true;
	vm_log(vm, -1, "the VMM stops its clock");
}

void vm_thaw(struct vm *vm, s64 jump, bool kvmclock)
{
	int i, j;

	vm->offset += jump - (s64)(sim_mono() - vm->frozen_at);
	vm->frozen = false;
	if (kvmclock)
		vm->kvm.arch.kvmclock_offset = vm->offset + 1;
	vm_log(vm, -1, "the VMM starts its clock%s", jump ? ", a snapshot has been loaded" : "");
	if (!jump)
		return;
	/* The guest's past is another: nothing of before is comparable, and what was read is not in its registers. */
	for (i = 0; i < VM_DEVS; i++) {
		vm->devs[i].consumed = vm->devs[i].frozen_max = 0;
		vm->cross[i] = 0;
		for (j = 0; j < vm->kvm.created_vcpus; j++)
			vm->vcpus[j].order = 0;
	}
}

static void lag(struct vm *vm, int dev, s64 ticks, s64 true_ticks)
{
	u64 ns = ticks >= true_ticks ? 0 : (u64)(true_ticks - ticks) * IOFILTER_NSEC_PER_SEC / vm->devs[dev].freq;
	struct vm_stats *s = &vm->stats;
	unsigned int log = ns < 8 ? 0 : 61 - __builtin_clzll(ns);

	s->lag_hist[ns < 8 ? ns : log * 8 + (ns >> (log - 1) & 7)]++;
	s->lag_sum_ns += ns;
	s->lag_count++;
	s->lag_max_ns = max(s->lag_max_ns, ns);
	if (!vm->moved && vm->strict && ns > vm->devs[dev].state->clock.bracket + IOFILTER_NSEC_PER_SEC / vm->devs[dev].freq + 1)
		vm_fail(vm, "P2: %s was answered %llu ns behind the VMM, its bounds are to be within %llu", vm->devs[dev].name, ns,
			vm->devs[dev].state->clock.bracket);
}

u64 vm_lag_percentile(const struct vm_stats *s, double p)
{
	u64 n = 0;
	int i;

	for (i = 0; i < 511; i++) {
		n += s->lag_hist[i];
		if (n >= s->lag_count * p)
			break;
	}
	return i < 8 ? i : (8ULL + i % 8 + 1) << (i / 8 - 1);
}

/*
 * The VMM's own answers may lie below the filter's in its frozen window, and that is inherent: while its clock stands, when a
 * signal ends the sleep that waits for it, and on the next host, where nobody knows what the filter answered on the last one.
 */
static void consume(struct vm *vm, int v, s64 val, bool by_vmm)
{
	struct vcpu *c = &vm->vcpus[v];
	struct device *d = &vm->devs[c->dev];
	struct vm_stats *s = &vm->stats;
	s64 back = c->order - val;
	u64 back_ns;

	c->val = val;
	if (back > 0) {
		back_ns = (u64)back * IOFILTER_NSEC_PER_SEC / d->freq;
		vm_log(vm, v, "consumes %lld of %s, %lld ticks less than was known", val, d->name, back);
		if ((by_vmm && (c->frozen || (c->order <= d->frozen_max && c->delay_cut))) || (c->order <= d->frozen_max && d->forgot)) {
			s->cut += !c->frozen && c->delay_cut;
			s->frozen_violations++;
			s->frozen_max_ns = max(s->frozen_max_ns, back_ns);
		} else {
			s->violations++;
			s->max_ns = max(s->max_ns, back_ns);
			if (vm->strict)
				vm_fail(vm, "P1: vCPU %d consumed %lld of %s from the %s, %llu ns less than was known before", v, val,
					d->name, by_vmm ? "VMM" : "filter", back_ns);
		}
	}
	d->consumed = max(d->consumed, val);
	if (vm->frozen && !by_vmm)
		d->frozen_max = max(d->frozen_max, val);
}

/* Between these two a vCPU holds kvm->srcu but for the guest's own time. */
void vm_enter(struct vm *vm, int v, bool immediate_exit)
{
	struct vcpu *c = &vm->vcpus[v];

	c->kvm.wants_to_run = !immediate_exit;
	c->in_srcu = true;
}

/* kvm_arch_vcpu_ioctl_run(): complete_userspace_io() */
void vm_complete(struct vm *vm, int v)
{
	struct vcpu *c = &vm->vcpus[v];
	enum vcpu_io io = c->io;
	int i;

	c->io = NO_IO;
	c->kvm.arch.pio.count = 0;
	c->kvm.mmio_needed = false;
	if (io != READ && io != STRING)
		return;
	for (i = 0; i < c->count; i++) {
		vm_log(vm, v, "consumes %lld of %s from the VMM", c->vmm_val[i], vm->devs[c->dev].name);
		consume(vm, v, c->vmm_val[i], true);
		if (i + 1 < c->count)
			c->order = max(c->order, c->vmm_val[i]);
	}
}

void vm_guest(struct vm *vm, int v, bool in_guest)
{
	struct vcpu *c = &vm->vcpus[v];

	c->kvm.mode = in_guest ? IN_GUEST_MODE : OUTSIDE_GUEST_MODE;
	c->in_srcu = !in_guest;
	c->srcu_left += in_guest;
}

static void to_user(struct vcpu *c, int port, u64 addr, int len, int count, enum vcpu_io io)
{
	c->io = io;
	c->answered = false;
	if (addr) {
		c->kvm.mmio_fragments[0].gpa = addr;
		c->kvm.mmio_needed = true;
		c->kvm.stat.mmio_exits++;
		c->run.mmio.phys_addr = addr;
		c->run.mmio.len = len;
		c->run.mmio.is_write = 0;
		return;
	}
	c->kvm.arch.pio.port = port;
	c->kvm.arch.pio.in = 1;
	c->kvm.arch.pio.count = count;
	c->kvm.arch.pio.size = len;
	memset(c->page.bytes, 0, len * count);
	c->run.io.direction = KVM_EXIT_IO_IN;
	c->run.io.size = len;
	c->run.io.port = port;
	c->run.io.count = count;
}

/* Elements of a string read are all the filter's or all the VMM's. */
bool vm_access(struct vm *vm, int v, int dev, int count)
{
	struct device *d = &vm->devs[dev];
	struct vcpu *c = &vm->vcpus[v];
	bool mmio = d->initial.bus == KVM_IOFILTER_MMIO;
	u64 val = 0, entry = vm_virt(vm);
	s64 now, diff;
	int err = -EOPNOTSUPP;

	c->dev = dev;
	c->order = d->consumed;
	c->count = count = mmio ? 1 : count;
	c->delayed = 0;
	c->delay_cut = false;
	if (d->f) {
		c->kvm.arch.regs[VCPU_REGS_RCX] = count;
		err = iofilter_dev_ops.read(&c->kvm, &d->f->devs[0].dev, d->port, d->initial.len,
					    count > 1 ? (void *)sim_strings[v] : (void *)&val);
	}
	if (err) {
		vm->stats.punted++;
		vm_log(vm, v, "reads %s: left to the VMM", d->name);
		to_user(c, d->port, mmio ? d->port : 0, d->initial.len, count, count > 1 ? STRING : READ);
		return false;
	}
	vm->stats.answered++;
	now = vm_ticks(vm, dev, vm_virt(vm));
	diff = (s64)((val - (u64)now) << (64 - d->initial.clock.width)) >> (64 - d->initial.clock.width);
	c->frozen = vm->frozen;
	vm_log(vm, v, "reads %s: the filter answers %lld%s", d->name, now + diff, vm->frozen ? " (the VMM's clock stands)" : "");
	if (vm->frozen)
		now = vm_ticks(vm, dev, sim_mono() + vm->offset);
	else
		lag(vm, dev, vm_ticks(vm, dev, vm_virt(vm)) + diff, vm_ticks(vm, dev, entry));
	val = vm_ticks(vm, dev, vm_virt(vm)) + diff;
	if ((s64)val > now && !vm->moved && vm->strict) {
		vm->stats.ahead++;
		vm->stats.ahead_max_ns = max(vm->stats.ahead_max_ns, (val - now) * IOFILTER_NSEC_PER_SEC / d->freq);
		vm_fail(vm, "P2: vCPU %d was answered %lld of %s, %lld ticks ahead of the VMM", v, (s64)val, d->name, (s64)val - now);
	}
	consume(vm, v, val, false);
	vm->cross[dev] = iofilter_ticks_to_ns(val, d->freq);
	if (!vm->frozen && vm->cross[!dev] > vm->cross[dev])
		vm->stats.cross_max_ns = max(vm->stats.cross_max_ns, (u64)(vm->cross[!dev] - vm->cross[dev]));
	return true;
}

void vm_other(struct vm *vm, int v, bool mmio)
{
	vm->vcpus[v].order = 0;
	to_user(&vm->vcpus[v], OTHER_PORT, mmio ? 0xfee00000 : 0, 4, 1, mmio ? OTHER_MMIO : OTHER_PIO);
	vm_log(vm, v, "goes to the VMM for another device");
}

/* kvm_put_guest_fpu(), then kvm_vcpu_srcu_read_unlock(). */
void vm_returned(struct vm *vm, int v)
{
	vm->vcpus[v].kvm.stat.fpu_reload++;
	vm->vcpus[v].in_srcu = false;
	vm->vcpus[v].srcu_left++;
}

/* The ioctl's last line. */
void vm_left(struct vm *vm, int v)
{
	vm->vcpus[v].kvm.wants_to_run = false;
}

void vm_answer(struct vm *vm, int v, int i)
{
	struct vcpu *c = &vm->vcpus[v];
	struct device *d = &vm->devs[c->dev];
	u64 mask = iofilter_width_mask(d->initial.clock.width), val;

	if (c->io != READ && c->io != STRING) {
		/* Looks like a counter, and is wrong by a little. */
		val = vm_ticks(vm, c->dev, vm_virt(vm)) + (sim_now & 15) - 8;
		val &= mask;
		memcpy(c->io == OTHER_MMIO ? c->run.mmio.data : c->page.bytes, &val, 8);
		return;
	}
	c->frozen = i ? c->frozen || vm->frozen : vm->frozen;
	c->vmm_val[i] = vm_ticks(vm, c->dev, vm_virt(vm));
	val = c->vmm_val[i] & mask;
	memcpy(d->initial.bus == KVM_IOFILTER_MMIO ? c->run.mmio.data : c->page.bytes + i * d->initial.len, &val, d->initial.len);
	vm_log(vm, v, "the VMM answers %lld of %s%s", c->vmm_val[i], d->name, vm->frozen ? " (its clock stands)" : "");
}

/* filter.c's */
void iofilter_moved(struct iofilter *f, u64 now)
{
	int i;

	for (i = 0; i < VM_DEVS; i++) {
		struct iofilter *g = the_vm->devs[i].f;

		if (!g || g == f)
			continue;
		atomic_inc(&g->nr_pending);
		if (xchg(&g->moved, now))
			atomic_dec(&g->nr_pending);
	}
}

void iofilter_dev_gone(struct iofilter_dev *d)
{
	(void)d; /* filter.c's; nothing here destroys a VM under its filter */
}
