/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What simulations of a VM around one program share: a log, a failure, and what the module wants of the rest of the kernel.
 * Included behind the simulation's struct sim, of which it uses all but what is the device's.
 */
#ifndef SELFTESTS_SIM_H
#define SELFTESTS_SIM_H

#include <stdarg.h>
#include <stdio.h>

#define US 1000ULL
#define MS 1000000ULL

u64 sim_now, sim_base;
unsigned int sim_left;
char sim_strings[64][1024];
enum sim_clause sim_without;

static void sim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void sim_log(const char *fmt, ...)
{
	va_list ap;

	if (!sim.trace)
		return;
	printf("# %10.3f us  ", (double)(sim_now - 1000 * MS) / US);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

#define sim_fail(fmt, ...) \
	do { \
		if (!sim.failure[0]) { \
			snprintf(sim.failure, sizeof(sim.failure), fmt, ##__VA_ARGS__); \
			sim_log("FAILS: %s", sim.failure); \
		} \
	} while (0)

void sim_spin(void) {}
void sim_cost(u64 ns) { (void)ns; }
void iofilter_dev_gone(struct iofilter_dev *d) { (void)d; }

bool sim_delay(u64 ns)
{
	sim_now += ns;
	return false;
}

/* The time begins, too. */
static void sim_create_vcpus(int n)
{
	int i;

	sim_now = 1000 * MS;
	sim.kvm.max_vcpus = sim.kvm.created_vcpus = n;
	sim.kvm.vcpus = sim.kvm_vcpus;
	for (i = 0; i < n; i++) {
		struct kvm_vcpu *k = &sim.vcpus[i].kvm;

		sim.kvm_vcpus[i] = k;
		k->kvm = &sim.kvm;
		k->vcpu_idx = i;
		k->run = &sim.vcpus[i].run;
		k->arch.pio_data = sim.vcpus[i].page;
		k->wants_to_run = true;
	}
}

/* The module's part of an attach. */
static void sim_attach_ops(const struct kvm_iofilter_ops *ops)
{
	u32 i;

	iofilter_slots_free(&sim.f);
	memset(&sim.f, 0, sizeof(sim.f));
	sim.f.ops = ops;
	sim.f.flags = ops->flags;
	sim.f.nr_ranges = ops->nr_ranges;
	for (i = 0; i < sim.f.nr_ranges; i++)
		sim.f.devs[i] = (struct iofilter_dev){ .dev.ops = &iofilter_dev_ops, .f = &sim.f, .index = i, .range = ops->ranges[i] };
	if (iofilter_slots_alloc(&sim.f, &sim.kvm))
		abort();
	iofilter_slots_attached(&sim.f, &sim.kvm);
}

/* An exit's way to the VMM. Return: whether this was a step of it. */
static bool sim_leaves(struct vcpu *v)
{
	switch (v->phase) {
	case LEAVING:
		v->kvm.stat.fpu_reload++;
		v->phase = RETURNED;
		return true;
	case RETURNED:
		v->kvm.wants_to_run = false;
		v->phase = IN_VMM;
		return true;
	default:
		return false;
	}
}

/* Its last step, of a port's. */
static inline void sim_enters(struct vcpu *v)
{
	v->kvm.wants_to_run = true;
	v->kvm.arch.pio.count = 0;
	v->phase = IN_GUEST;
	v->kvm.mode = IN_GUEST_MODE;
}

/* The vCPU returns from KVM_RUN for nothing of the guest's. */
static inline void sim_signal(int n)
{
	sim.vcpus[n].kvm.stat.exits++;
	sim.vcpus[n].kvm.stat.fpu_reload++;
}

#endif /* SELFTESTS_SIM_H */
