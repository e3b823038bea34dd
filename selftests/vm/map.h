/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with nothing at its addresses but what the library puts there: counters and constants; and a guest that reads them. */
#ifndef SELFTESTS_VM_MAP_H
#define SELFTESTS_VM_MAP_H

#include <iofilter/libiofilter.h>
#include "filter.h"
#include "vmm.h"

#define PORT 0x600ULL
#define MMIO (VMM_MMIO + 0x100) /* an access across pages is two */

typedef unsigned __int128 u128;

static struct vmm *vmm;
static volatile unsigned long exits, writes;
static volatile __u64 exit_addr;
static volatile __u32 exit_len;

/* The VMM has nothing anywhere: reads are all ones. */
static void vmm_io(struct vmm *v, struct vmm_access *a)
{
	(void)v;
	exit_addr = a->addr;
	exit_len = a->len;
	if (a->write)
		__atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED);
	else
		__atomic_add_fetch(&exits, 1, __ATOMIC_RELAXED);
}

static void setup(int vcpus, unsigned int flags)
{
	exits = writes = 0;
	vmm = vmm_new(vcpus, flags);
	vmm->io = vmm_io;
}

static struct iofilter_map_opts counter_at(__u64 addr, __u32 len, __u64 freq)
{
	return (struct iofilter_map_opts){
		.size = sizeof(struct iofilter_map_opts),
		.range = { .addr = addr, .len = len, .bus = addr < 0x10000 ? KVM_IOFILTER_PIO : KVM_IOFILTER_MMIO },
		.kind = IOFILTER_MAP_COUNTER,
		.fields = IOFILTER_MAP_FREQ,
		.freq = freq,
	};
}

static struct iofilter_map_opts const_at(__u64 addr, __u32 len, __u64 value)
{
	struct iofilter_map_opts m = counter_at(addr, len, 0);

	m.kind = IOFILTER_MAP_CONST;
	m.fields = IOFILTER_MAP_VALUE;
	m.value = len < 8 ? value & ((1ULL << len * 8) - 1) : value;
	return m;
}

static int try_map(const struct iofilter_map_opts *m, struct iofilter **f)
{
	struct iofilter_opts o = { .size = sizeof(o), .vm_fd = vmm->fd, .map = m };

	return iofilter_attach(getpid(), "map", &o, f);
}

static struct iofilter *map(struct iofilter_map_opts m)
{
	struct iofilter *f;
	int err = try_map(&m, &f);

	TEST_ASSERT(!err, "%s", iofilter_error());
	return f;
}

/* One read in the guest. */
static struct {
	__u64 addr;
	int len;
	volatile __u64 val;
} ask;

static void guest_read(long arg)
{
	(void)arg;
	if (ask.addr < 0x10000)
		ask.val = ask.len == 1 ? inb(ask.addr) : ask.len == 2 ? inw(ask.addr) : inl(ask.addr);
	else
		ask.val = ask.len == 1 ? mmio_read(__u8, ask.addr) :
			  ask.len == 2 ? mmio_read(__u16, ask.addr) :
			  ask.len == 4 ? mmio_read(__u32, ask.addr) :
					 mmio_read(__u64, ask.addr);
}

static __u64 rd(__u64 addr, int len)
{
	ask.addr = addr;
	ask.len = len;
	vmm_run(vmm, 0, guest_read, 0);
	return ask.val;
}

static __u64 ones(int len)
{
	return len == 8 ? ~0ULL : (1ULL << len * 8) - 1;
}

/* In the guest, on all vCPUs: no read below one that was over before it began, whoever made it. */
static volatile __u64 newest;
static volatile unsigned long back, reads;
static volatile int stop;

static void guest_monotone(long mmio)
{
	while (!stop) {
		__u64 before = newest, v = mmio_read(__u64, mmio);

		if (v == ~0ULL)
			continue;
		__atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
		if (v < before)
			__atomic_add_fetch(&back, 1, __ATOMIC_RELAXED);
		while (v > before && !__atomic_compare_exchange_n(&newest, &before, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
	}
}

#endif /* SELFTESTS_VM_MAP_H */
