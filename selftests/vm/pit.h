/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with QEMU's PIT (devices/pit.c) in its VMM, and the filter on it. The guest notes its TSC around what it reads, and
 * the host turns that into the device's own time: so each answer can be compared with what the device showed just then.
 */
#ifndef SELFTESTS_VM_PIT_H
#define SELFTESTS_VM_PIT_H

#include <sys/ioctl.h>
#include <time.h>
#include <devices/pit.h>
#include <iofilter/pit.h>
#include "filter.h"
#include "pit.skel.h"
#include "vmm.h"

static struct pit device;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER; /* the BQL */
static unsigned long pit_exits;

static __u64 device_clock(void *unused)
{
	(void)unused;
	return now_ns();
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

static void attach(struct run *r)
{
	if (!r->skel)
		load(r);
	r->link = filter_attach(r->skel->maps.pit_ops);
}

static void setup(struct run *r, int nr_vcpus)
{
	setup_device(r, nr_vcpus, 0);
	attach(r);
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

		printf("     channel %u: %s, count %u, proof %u, fuse %u, bracket %llu us, best %llu us, slack %lld us, %llu moves, %llu lost, "
		       "%llu samples\n", i, p->channels[i].programmed ? "known" : "unknown", p->channels[i].count, clk->proof, clk->fuse,
		       clk->bracket / 1000, clk->best_bracket / 1000, clk->bounded ? (clk->hi - clk->lo) / 1000 : -1, clk->moves, clk->lost,
		       clk->samples);
	}
}

/* --- the guest's side --- */

static inline __u64 guest_tsc(void)
{
	__u32 low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (__u64)high << 32 | low;
}

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

/* --- time --- */

/* CLOCK_MONOTONIC against the guest's TSC: a line through two moments. */
struct tsc_moment {
	__u64 tsc, ns;
};

static __s64 tsc_offset; /* the guest's less the host's */

static struct tsc_moment tsc_now(void)
{
	struct tsc_moment best = {}, m;
	__u64 after, took = ~0ULL;
	int i;

	for (i = 0; i < 20; i++) {
		m.tsc = guest_tsc();
		m.ns = now_ns();
		after = guest_tsc();
		if (after - m.tsc < took) {
			took = after - m.tsc;
			best = m;
			best.tsc += took / 2;
		}
	}
	best.tsc += tsc_offset;
	return best;
}

static void tsc_learn(const struct vmm *vmm)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (unsigned long)&tsc_offset,
	};

	TEST_ASSERT(!ioctl(vmm->vcpus[0].fd, KVM_GET_DEVICE_ATTR, &attr), "KVM_VCPU_TSC_OFFSET: %s", strerror(errno));
}

static __u64 tsc_to_ns(const struct tsc_moment *a, const struct tsc_moment *b, __u64 tsc)
{
	__s64 since = tsc - a->tsc;

	return a->ns + (__s64)((__int128)since * (__s64)(b->ns - a->ns) / (__s64)(b->tsc - a->tsc));
}

/* What a counter of the device showed or would have shown at a time. */
static __u64 at_ns;

static __u64 clock_then(void *unused)
{
	(void)unused;
	return at_ns;
}

static __u16 count_at(const struct pit *of, int ch, __u64 ns)
{
	struct pit then = *of;

	then.clock = clock_then;
	at_ns = ns;
	return pit_get_count(&then, ch);
}

/* Did the counter show @val at some time in [@from, @to]? */
static bool count_within(const struct pit *of, int ch, __u16 val, __u64 from, __u64 to)
{
	__u64 t, load = of->counters[ch].count_load_time;

	for (t = from < load ? load : from; t < to; t += 400)
		if (count_at(of, ch, t) == val)
			return true;
	return count_at(of, ch, to) == val;
}

#endif /* SELFTESTS_VM_PIT_H */
