/* SPDX-License-Identifier: GPL-2.0 */
/* A VMM with QEMU's HPET, and the filter for it. */
#ifndef SELFTESTS_VM_HPET_H
#define SELFTESTS_VM_HPET_H

#include <devices/hpet.h>
#include <iofilter/hpet.h>
#include <iofilter/pmtimer.h>
#include "filter.h"
#include "hpet.skel.h"
#include "vmm.h"

#define REG(offset) (HPET_BASE + (offset))
#define MARKER	    0x80

static struct hpet device;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER; /* the BQL */
static __s64 clock_offset = 1000000000;
static unsigned long hpet_exits;
static struct pm_model pm;

/* The main counter is read without the lock, as by QEMU since 10.2, which has a sequence count around each write. */
static bool lock_free;
static unsigned int device_seq; /* odd: a write is under way */

static inline __u64 read_lock_free(__u64 offset, __u32 len)
{
	unsigned int seq;
	__u64 val;

	do {
		while ((seq = __atomic_load_n(&device_seq, __ATOMIC_ACQUIRE)) & 1)
			;
		val = hpet_read(&device, offset, len);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
	} while (__atomic_load_n(&device_seq, __ATOMIC_RELAXED) != seq);
	return val;
}

static inline __u64 vm_clock(void *unused)
{
	(void)unused;
	return now_ns() + clock_offset;
}

static void (*on_marker)(__u32 val);

static inline void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	if (a->mmio && a->addr >= HPET_BASE && a->addr < HPET_BASE + HPET_LEN) {
		__atomic_add_fetch(&hpet_exits, 1, __ATOMIC_RELAXED);
		if (lock_free && !a->write && (a->addr - HPET_BASE) / 8 == HPET_MAIN_CNT / 8) {
			a->val = read_lock_free(a->addr - HPET_BASE, a->len);
			return;
		}
		pthread_mutex_lock(&device_lock);
		if (a->write) {
			__atomic_add_fetch(&device_seq, 1, __ATOMIC_SEQ_CST);
			hpet_write(&device, a->addr - HPET_BASE, a->val, a->len);
			__atomic_add_fetch(&device_seq, 1, __ATOMIC_SEQ_CST);
		} else {
			a->val = hpet_read(&device, a->addr - HPET_BASE, a->len);
		}
		pthread_mutex_unlock(&device_lock);
	} else if (!a->mmio && a->addr == PMTIMER_PORT && !a->write) {
		a->val = pm_read(&pm);
	} else if (a->write && on_marker) {
		on_marker(a->val);
	}
}

struct run {
	struct vmm *vmm;
	struct hpet_bpf *skel;
	struct iofilter_hpet *h;
	struct iofilter_clock *clk;
	struct bpf_link *link;
};

static inline void setup_device(struct run *r, int nr_vcpus)
{
	memset(r, 0, sizeof(*r));
	memset(&device, 0, sizeof(device));
	device.clock = vm_clock;
	hpet_reset(&device);
	hpet_exits = 0;
	r->vmm = vmm_new(nr_vcpus, 0);
	r->vmm->io = vmm_io;
}

static inline void attach(struct run *r)
{
	r->skel = hpet_bpf__open();
	TEST_ASSERT(r->skel, "open: %s", strerror(errno));
	filter_ops(r->skel->maps.hpet_ops)->vm_fd = r->vmm->fd;
	TEST_EQ(-hpet_bpf__load(r->skel), 0);
	r->h = &r->skel->data_state->hpet;
	r->clk = &r->h->counter.clock;
	r->link = filter_attach(r->skel->maps.hpet_ops);
}

static inline void setup(struct run *r, int nr_vcpus)
{
	setup_device(r, nr_vcpus);
	hpet_write(&device, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	attach(r);
}

static inline void teardown(struct run *r)
{
	bpf_link__destroy(r->link);
	hpet_bpf__destroy(r->skel);
	vmm_free(r->vmm);
}

static inline unsigned long answered(const struct run *r)
{
	unsigned long n = 0;
	int i;

	for (i = 0; i < r->vmm->nr_vcpus; i++)
		n += r->h->counter.vcpus[i].answered;
	return n;
}

static inline void report(const struct run *r, const char *what)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	unsigned int i;

	printf("   %s: %lu answered, %lu at the VMM;", what, answered(r), hpet_exits);
	for (i = 1; i < IOFILTER_NR_VERDICTS; i++)
		if (r->h->counter.verdicts[i])
			printf(" %s %llu", names[i], r->h->counter.verdicts[i]);
	printf("; proof %u, fuse %u, bracket %llu us, best %llu us, slack %lld us, %llu moves, %llu lost\n", r->clk->proof,
	       r->clk->fuse, r->clk->bracket / 1000, r->clk->best_bracket / 1000, (r->clk->hi - r->clk->lo) / 1000, r->clk->moves,
	       r->clk->lost);
}

#endif /* SELFTESTS_VM_HPET_H */
