/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with QEMU's PIT (devices/pit.c) in its VMM, and the filter on it. The guest notes the host's time around what it reads: so each
 * answer can be compared with what the device showed just then.
 */
#ifndef SELFTESTS_VM_PIT_H
#define SELFTESTS_VM_PIT_H

#include <sys/ioctl.h>
#include <time.h>
#include <devices/pit.h>
#include <iofilter/pit.h>
#include "filter.h"
#include "kvmclock.h"
#include "pit.skel.h"
#include "vmm.h"

static struct pit device;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER; /* the BQL */
static unsigned long pit_exits;

/* The VM's clock, which stands while the VM is stopped: for so long in all. */
static __u64 device_stopped;

static __u64 device_now(void)
{
	return now_ns() - device_stopped;
}

static __u64 device_clock(void *unused)
{
	(void)unused;
	return device_now();
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	__u8 *data = a->data;
	__u64 port;
	__u32 i;

	(void)vmm;
	if (a->mmio)
		return;
	pthread_mutex_lock(&device_lock);
	__atomic_add_fetch(&pit_exits, 1, __ATOMIC_RELAXED);
	for (i = 0; i < a->len * a->count; i++) {
		port = a->addr + i % a->len;
		if ((port < PIT_PORT || port > PIT_CONTROL) && port != PIT_SYSTEM)
			continue;
		if (a->write)
			pit_port_write(&device, port, data[i]);
		else
			data[i] = pit_port_read(&device, port);
	}
	pthread_mutex_unlock(&device_lock);
	if (!a->write)
		memcpy(&a->val, data, a->len > 8 ? 8 : a->len);
}

/* kvm_clock_offset is to the VM's clock. */
static void time_learn(const struct vmm *vmm)
{
	kvmclock_learn(vmm);
	kvm_clock_offset -= device_stopped;
}

struct run {
	struct vmm *vmm;
	struct pit_bpf *skel;
	struct iofilter_pit *p;
	struct bpf_link *link;
};

/* Loaded once; each attach begins with the state that it was loaded with. */
static struct iofilter_pit *fresh;

static void setup_device(struct run *r, int nr_vcpus, unsigned int flags)
{
	memset(r, 0, sizeof(*r));
	memset(&device, 0, sizeof(device));
	device.clock = device_clock;
	pit_power_on(&device);
	pit_exits = 0;
	r->vmm = vmm_new(nr_vcpus, flags);
	r->vmm->io = vmm_io;
	kvmclock_off();
	time_learn(r->vmm);
}

static void load(struct run *r)
{
	r->skel = pit_bpf__open();
	TEST_ASSERT(r->skel, "open: %s", strerror(errno));
	filter_ops(r->skel->maps.pit_ops)->vm_fd = r->vmm->fd;
	TEST_EQ(-pit_bpf__load(r->skel), 0);
	r->p = &r->skel->data_state->pit;
	if (!fresh) {
		fresh = malloc(sizeof(*fresh));
		memcpy(fresh, r->p, sizeof(*fresh));
	}
}

static void teardown(struct run *r)
{
	bpf_link__destroy(r->link);
	pit_bpf__destroy(r->skel);
	vmm_free(r->vmm);
}

static void report(const struct run *r, const char *what)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	const struct iofilter_pit *p = r->p;
	unsigned int i;

	printf("   %s: %llu reads and %llu commands answered, %lu at the VMM;", what, p->answered, p->commands, pit_exits);
	for (i = 1; i < IOFILTER_NR_VERDICTS; i++)
		if (p->verdicts[i])
			printf(" %s %llu", names[i], p->verdicts[i]);
	printf("; conflicts %llu, forgotten %llu, in flight %u, cut %llu\n", p->conflicts, p->forgotten, p->head.in_flight, p->head.cut);
	for (i = 0; i < PIT_CHANNELS; i++) {
		const struct iofilter_clock *clk = &p->channels[i].clock;

		printf("     channel %u: %s, count %u, proof %u, fuse %u, bracket %llu us, best %llu us, slack %lld us, %llu moves, "
		       "%llu lost, %llu samples\n", i, p->channels[i].programmed ? "known" : "unknown", p->channels[i].count, clk->proof,
		       clk->fuse, clk->bracket / 1000, clk->best_bracket / 1000, clk->bounded ? (clk->hi - clk->lo) / 1000 : -1,
		       clk->moves, clk->lost, clk->samples);
	}
}

/* --- the guest's side --- */

static inline void guest_program(int ch, int rw, int mode, int count)
{
	outb(ch << 6 | rw << 4 | mode << 1, PIT_CONTROL);
	if (rw & PIT_RW_LSB)
		outb(count, PIT_PORT + ch);
	if (rw & PIT_RW_MSB)
		outb(count >> 8, PIT_PORT + ch);
}

static inline __u16 guest_pair(int ch)
{
	__u16 val = inb(PIT_PORT + ch);

	return val | inb(PIT_PORT + ch) << 8;
}

static inline __u16 guest_latched(int ch)
{
	outb(ch << 6, PIT_CONTROL);
	return guest_pair(ch);
}

/* A device whose clock is set to what it showed, or would have shown, at a time. */
static __u64 at_ns;

static __u64 clock_then(void *unused)
{
	(void)unused;
	return at_ns;
}

#endif /* SELFTESTS_VM_PIT_H */
