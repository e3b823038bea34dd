// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The devices that there are programs for: one row each. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "reg.h"
#include <iofilter/hpet.h>
#include <iofilter/ide.h>
#include <iofilter/map.h>
#include <iofilter/pit.h>
#include <iofilter/pmtimer.h>
#include <iofilter/rtc.h>
#include <iofilter/speaker.h>
#include <iofilter/table.h>
#include <hpet.skel.h>
#include <ide.skel.h>
#include <map.skel.h>
#include <pit.skel.h>
#include <pmtimer.skel.h>
#include <rtc.skel.h>
#include <speaker.skel.h>
#include <table.skel.h>

static int counter_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_counter *c = state;

	if (o->addr) {
		c->addr = o->addr;
		ops->ranges[0].addr = o->addr;
	}
	if (o->width)
		c->clock.width = o->width;
	if (o->bracket) {
		c->clock.bracket = o->bracket;
		c->clock.absence = o->absence;
		c->clock.expiry = o->expiry;
		c->clock.calibrating = 0;
	}
	return 0;
}

__u64 lib_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * IOFILTER_NSEC_PER_SEC + ts.tv_nsec;
}

void verdicts_describe(const __u64 *verdicts, __u64 answered, struct iofilter_info *info)
{
	__u32 i;

	for (i = 0; i < IOFILTER_NR_VERDICTS; i++) {
		info->verdicts[i] = i == IOFILTER_ANSWERED ? answered : iofilter_load(verdicts[i]);
		if (i != IOFILTER_PUNT_WRITE)
			info->reads += info->verdicts[i];
	}
}

void clock_describe(const struct iofilter_clock *clk, struct iofilter_info *info)
{
	__u64 now = lib_now();
	__s64 lo, hi;

	info->proof = clk->proof;
	info->mode = clk->mode;
	info->fuse = clk->fuse;
	info->calibrating = clk->calibrating;
	info->ready = clk->ready;
	info->too_slow = !clk->calibrating && clk->best_bracket > clk->bracket && clk->proof == IOFILTER_UNPROVEN;
	lo = iofilter_load(clk->lo);
	hi = iofilter_load(clk->hi);
	info->bounded = !!clk->bounded;
	info->bounds = clk->bounded && hi > lo ? hi - lo : 0;
	info->last_sample_ago = clk->samples && now > clk->last_sample_at ? now - clk->last_sample_at : 0;
	info->proven_for = clk->proof == IOFILTER_PROVEN && now > clk->since ? now - clk->since : 0;
	info->bracket = clk->bracket;
	info->absence = clk->absence;
	info->expiry = clk->expiry;
	info->best_bracket = clk->best_bracket;
	info->samples = clk->samples;
	info->narrow = clk->narrow;
	info->lost = clk->lost;
	info->moves = clk->moves;
	info->vanished = clk->vanished;
	info->audits = clk->audits;
	info->suspicions = clk->suspicions;
	info->delays = clk->delays;
	info->delay_total = clk->delay_total;
}

static void counter_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_counter *c = state;
	__u32 i, n = iofilter_load(c->clock.nr_vcpus);
	__u64 answered = 0;

	for (i = 0; i < n && i < IOFILTER_MAX_VCPUS; i++)
		answered += iofilter_load(c->vcpus[i].answered);
	verdicts_describe(c->verdicts, answered, info);
	info->addr = c->addr;
	info->width = c->clock.width;
	clock_describe(&c->clock, info);
}

static bool counter_clock(void *state, unsigned int i, struct clock_ref *ref)
{
	struct iofilter_counter *c = state;

	if (i)
		return false;
	*ref = (struct clock_ref){ .clk = &c->clock, .vcpus = c->vcpus, .absolute = true };
	return true;
}

static int pmtimer_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	if (o->addr > 0x10000 - PMTIMER_LEN)
		return lib_fail(-EINVAL, "port 0x%llx is out of range: the PM timer's %d ports lie in 0x1 .. 0xffff",
				(unsigned long long)o->addr, PMTIMER_LEN);
	if (o->width && o->width != 24 && o->width != 32)
		return lib_fail(-EINVAL, "a PM timer is 24 or 32 bits wide, not %u", o->width);
	return counter_configure(ops, state, o);
}

static int hpet_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_opts rest = *o;
	struct iofilter_hpet *h = state;
	int err;

	if (o->addr % HPET_LEN || (o->addr && o->addr < 0x10000))
		return lib_fail(-EINVAL, "address 0x%llx: an HPET is in memory, and its registers begin at a multiple of 0x%x",
				(unsigned long long)o->addr, HPET_LEN);
	if (o->width && o->width != 64)
		return lib_fail(-EINVAL, "an HPET's counter is 64 bits wide here, not %u", o->width);
	/* Its clock is that of the low half. */
	rest.width = 0;
	err = counter_configure(ops, state, &rest);
	if (!err && o->addr) {
		h->base = o->addr;
		h->counter.addr = o->addr + HPET_MAIN_CNT;
	}
	return err;
}

static void hpet_describe(const void *state, struct iofilter_info *info)
{
	counter_describe(state, info);
	info->width = 64;
}

static int rtc_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o)
{
	struct iofilter_rtc *r = state;

	(void)ops;
	if (o->addr && o->addr != RTC_INDEX_PORT)
		return lib_fail(-EINVAL, "port 0x%llx: an RTC is at port 0x%x, always", (unsigned long long)o->addr, RTC_INDEX_PORT);
	if (o->width)
		return lib_fail(-EINVAL, "an RTC has no width");
	if (o->bracket) {
		r->absence = o->absence;
		r->expiry = o->expiry;
		r->calibrating = 0;
	}
	return 0;
}

static void rtc_describe(const void *state, struct iofilter_info *info)
{
	const struct iofilter_rtc *r = state;
	__u64 now = lib_now(), epoch = iofilter_load(r->epoch), answered = 0, at;
	__u32 i;

	for (i = 0; i < IOFILTER_MAX_VCPUS; i++)
		answered += iofilter_load(r->vcpus[i].answered);
	verdicts_describe(r->verdicts, answered, info);
	for (i = 0; i < RTC_NR_REGS; i++) {
		at = iofilter_load(r->cells[i].at);
		info->known += at && iofilter_load(r->cells[i].word) >> 8 == epoch && now - at <= r->expiry;
	}
	info->no_clock = 1;
	info->addr = RTC_INDEX_PORT;
	info->proof = r->fuse ? IOFILTER_FUSED : IOFILTER_UNPROVEN;
	info->fuse = r->fuse;
	info->published = iofilter_load(r->time.valid);
	info->changes = r->changes;
	info->calibrating = r->calibrating;
	info->last_sample_ago = r->samples && now > r->last_sample_at ? now - r->last_sample_at : 0;
	info->absence = r->absence;
	info->expiry = r->expiry;
	info->best_bracket = r->best_bracket;
	info->samples = r->samples;
	info->lost = r->lost;
	info->suspicions = r->suspicions;
}

static const struct device devices[] = {
	{
		.name = "pmtimer",
		.regs = &pmtimer_regs,
		.reg_device = 1,
		.elf = pmtimer_bpf__elf_bytes,
		.configure = pmtimer_configure,
		.describe = counter_describe,
		.clock = counter_clock,
		.version = IOFILTER_COUNTER_VERSION,
		.state_size = sizeof(struct iofilter_counter),
	},
	{
		.name = "hpet",
		.regs = &hpet_regs,
		.reg_device = 2,
		.elf = hpet_bpf__elf_bytes,
		.configure = hpet_configure,
		.describe = hpet_describe,
		.clock = counter_clock,
		.version = IOFILTER_HPET_VERSION,
		.state_size = sizeof(struct iofilter_hpet),
	},
	{
		.name = "pit",
		.regs = &pit_regs,
		.reg_device = 3,
		.elf = pit_bpf__elf_bytes,
		.configure = pit_configure,
		.describe = pit_describe,
		.clock = pit_clock,
		.version = IOFILTER_PIT_VERSION,
		.state_size = sizeof(struct iofilter_pit),
		.taken = "its PIT is KVM's own; attach speaker instead",
	},
	{
		.name = "speaker",
		.regs = &speaker_regs,
		.reg_device = 4,
		.elf = speaker_bpf__elf_bytes,
		.configure = speaker_configure,
		.describe = speaker_describe,
		.version = IOFILTER_SPEAKER_VERSION,
		.state_size = sizeof(struct iofilter_speaker),
		.taken = "KVM itself answers port 0x61, no filter is needed",
		.absent = "its PIT is in userspace; attach pit instead",
	},
	{
		.name = "rtc",
		.regs = &rtc_regs,
		.reg_device = 5,
		.elf = rtc_bpf__elf_bytes,
		.configure = rtc_configure,
		.describe = rtc_describe,
		.version = IOFILTER_RTC_VERSION,
		.state_size = sizeof(struct iofilter_rtc),
	},
	{
		.name = "ide",
		.regs = &ide_regs,
		.reg_device = 6,
		.elf = ide_bpf__elf_bytes,
		.configure = ide_configure,
		.describe = ide_describe,
		.version = IOFILTER_IDE_VERSION,
		.state_size = sizeof(struct iofilter_ide),
	},
	{
		.name = "table",
		.regs = &table_regs,
		.reg_device = 7,
		.elf = table_bpf__elf_bytes,
		.configure = table_configure,
		.describe = table_describe,
		.version = IOFILTER_TABLE_VERSION,
		.state_size = sizeof(struct iofilter_table),
		.on_request = true,
	},
	{
		.name = "map",
		.regs = &map_regs,
		.reg_device = 8,
		.elf = map_bpf__elf_bytes,
		.configure = map_configure,
		.describe = map_describe,
		.clock = map_clock,
		.version = IOFILTER_MAP_VERSION,
		.state_size = sizeof(struct iofilter_map),
		.on_request = true,
		.taken = "KVM itself has a device, a coalesced zone or an ioeventfd there",
	},
};

#define NR_DEVICES (sizeof(devices) / sizeof(devices[0]))

const struct device *device_find(const char *name)
{
	/* iofilter_map_name() */
	if (!strncmp(name, "map-", 4) || !strncmp(name, "m-", 2))
		name = "map";
	for (size_t i = 0; i < NR_DEVICES; i++)
		if (!strcmp(devices[i].name, name))
			return &devices[i];
	return NULL;
}

int device_unknown(const char *name)
{
	char known[256] = "";
	size_t i, n = 0;

	for (i = 0; i < NR_DEVICES && n < sizeof(known); i++)
		n += snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "", devices[i].name);
	return lib_fail(-ENOENT, "unknown device '%s'; known: %s", name, known);
}

static const char *names[NR_DEVICES + 1];

static void name_all(void)
{
	for (size_t i = 0, n = 0; i < NR_DEVICES; i++)
		if (!devices[i].on_request)
			names[n++] = devices[i].name;
}

const char *const *iofilter_devices(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, name_all);
	return names;
}
