// SPDX-License-Identifier: GPL-2.0
/* HPET. The main counter is computed when it is read; nothing ticks. Arithmetic is QEMU's: modulo 2^64 ns. */
#include <devices/hpet.h>
#include <iofilter/hpet.h>

#define TICK_NS		10
#define CAPABILITIES	0x009896808086a201ULL /* 10^7 fs; vendor 0x8086, legacy route, 64 bits, 3 timers, revision 1 */
#define TIMER_CONFIG	0x00ff010400000030ULL /* q35: routes; periodic, 64 bits */
#define TIMER_WRITABLE	0x7f4eULL

__u64 hpet_ticks(const struct hpet *h)
{
	return h->config & HPET_ENABLE_CNF ? (h->clock(h->arg) + h->offset) / TICK_NS : h->counter;
}

static __u64 *timer_register(struct hpet *h, __u64 offset)
{
	__u64 n = (offset - HPET_TIMERS) / 0x20;

	if (offset < HPET_TIMERS || n >= HPET_NR_TIMERS)
		return NULL;
	switch (offset % 0x20) {
	case 0x00: return &h->timers[n].config;
	case 0x08: return &h->timers[n].comparator;
	case 0x10: return &h->timers[n].route;
	default: return NULL;
	}
}

static __u64 read_register(const struct hpet *h, __u64 offset)
{
	const __u64 *timer;

	switch (offset) {
	case HPET_GCAP_ID: return CAPABILITIES;
	case HPET_GEN_CONF: return h->config;
	case HPET_STATUS: return h->status;
	case HPET_MAIN_CNT: return hpet_ticks(h);
	default:
		timer = timer_register((struct hpet *)h, offset);
		return timer ? *timer : 0;
	}
}

static __u32 read_dword(const struct hpet *h, __u64 offset)
{
	return read_register(h, offset & ~7ULL) >> (offset & 4 ? 32 : 0);
}

/* Narrow and unaligned accesses are no accesses to QEMU: zero. */
__u64 hpet_read(const struct hpet *h, __u64 offset, __u32 len)
{
	__u32 low;

	if (len < 4 || offset % 4)
		return 0;
	if (len == 8 && !(offset & 4) && !h->split)
		return read_register(h, offset);
	low = read_dword(h, offset);
	return len == 4 ? low : low | (__u64)read_dword(h, offset + 4) << 32;
}

static void write_config(struct hpet *h, __u64 val)
{
	val &= HPET_ENABLE_CNF | HPET_LEG_RT_CNF;
	if (val & ~h->config & HPET_ENABLE_CNF)
		h->offset = h->counter * TICK_NS - h->clock(h->arg);
	else if (h->config & ~val & HPET_ENABLE_CNF)
		h->counter = hpet_ticks(h);
	h->config = val;
}

/* @mask: the bits of the register that the access has. */
static void write_register(struct hpet *h, __u64 offset, __u64 val, __u64 mask)
{
	__u64 *timer;

	switch (offset) {
	case HPET_GEN_CONF:
		write_config(h, (val & mask) | (h->config & ~mask));
		break;
	case HPET_STATUS:
		h->status &= ~(val & mask);
		break;
	case HPET_MAIN_CNT:
		/* Of a running counter it is lost: nothing is read from here, and halting it overwrites it. */
		h->counter = (val & mask) | (h->counter & ~mask);
		break;
	default:
		timer = timer_register(h, offset);
		if (timer && offset % 0x20 == 0)
			mask &= TIMER_WRITABLE;
		if (timer)
			*timer = (val & mask) | (*timer & ~mask);
	}
}

static void write_dword(struct hpet *h, __u64 offset, __u32 val)
{
	int shift = offset & 4 ? 32 : 0;

	write_register(h, offset & ~7ULL, (__u64)val << shift, 0xffffffffULL << shift);
}

void hpet_write(struct hpet *h, __u64 offset, __u64 val, __u32 len)
{
	if (len < 4 || offset % 4)
		return;
	if (len == 8 && !(offset & 4) && !h->split) {
		write_register(h, offset, val, ~0ULL);
		return;
	}
	write_dword(h, offset, val);
	if (len == 8)
		write_dword(h, offset + 4, val >> 32);
}

/* The interrupt status stays, as it does in QEMU. */
void hpet_reset(struct hpet *h)
{
	int i;

	h->config = 0;
	h->counter = 0;
	h->offset = 0;
	for (i = 0; i < HPET_NR_TIMERS; i++) {
		h->timers[i].config = TIMER_CONFIG;
		h->timers[i].comparator = ~0ULL;
		h->timers[i].route = 0;
	}
}
