/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with QEMU's RTC (devices/rtc.c) and QEMU's coalesced port in its VMM, and the filter on it. */
#ifndef SELFTESTS_VM_RTC_H
#define SELFTESTS_VM_RTC_H

#include <time.h>
#include <devices/rtc_filter.h>
#include "filter.h"
#include "rtc.skel.h"
#include "vmm.h"

#define MARKER 0x80

static struct rtc device;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER; /* the BQL */
static unsigned long reads_seen, writes_seen, index_exits, queued;
static struct iofilter_rtc *cooperates;
static __s64 wall;

static __u64 wall_clock(void *unused)
{
	(void)unused;
	return now_ns() + wall;
}

static void device_write(__u64 addr, __u64 val, __u32 len)
{
	for (__u32 i = 0; i < len; i++)
		rtc_port_write(&device, addr + i, val >> 8 * i);
}

static void publish(void)
{
	if (cooperates)
		rtc_publish(&device, wall, cooperates);
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	__u8 *data = a->data;

	if (a->addr == MARKER) {
		if (!a->write)
			a->val = rtc_now(&device) / 1000000000 % 60;
		return;
	}
	if (a->addr < RTC_INDEX_PORT || a->addr > RTC_DATA_PORT)
		return;
	pthread_mutex_lock(&device_lock);
	queued += vmm_flush(vmm, device_write);
	if (a->write) {
		writes_seen += a->addr == RTC_DATA_PORT;
		index_exits += a->addr == RTC_INDEX_PORT;
		for (__u32 i = 0; i < a->count; i++)
			device_write(a->addr, a->val, a->len);
		if (a->addr + a->len > RTC_DATA_PORT)
			publish();
	} else {
		reads_seen++;
		for (__u32 i = 0; i < a->count * a->len; i++)
			data[i] = rtc_port_read(&device, a->addr + i % a->len);
		memcpy(&a->val, data, a->len);
	}
	pthread_mutex_unlock(&device_lock);
}

struct run {
	struct vmm *vmm;
	struct rtc_bpf *skel;
	struct iofilter_rtc *r;
	struct bpf_link *link;
};

static __u8 content(int reg)
{
	return reg * 37 + 11;
}

static void setup_device(struct run *r, int nr_vcpus, bool zone)
{
	memset(r, 0, sizeof(*r));
	memset(&device, 0, sizeof(device));
	device.clock = wall_clock;
	wall = 1700000000123456789LL - now_ns();
	rtc_power_on(&device, 1700000000);
	for (int i = RTC_REG_D + 1; i < RTC_NR_REGS; i++)
		if (i != RTC_CENTURY)
			device.cmos[i] = content(i);
	reads_seen = writes_seen = index_exits = queued = 0;
	r->vmm = vmm_new(nr_vcpus, 0);
	r->vmm->io = vmm_io;
	if (zone)
		vmm_coalesce(r->vmm, RTC_INDEX_PORT, 1);
}

static void attach(struct run *r)
{
	r->skel = rtc_bpf__open();
	TEST_ASSERT(r->skel, "open: %s", strerror(errno));
	filter_ops(r->skel->maps.rtc_ops)->vm_fd = r->vmm->fd;
	TEST_EQ(-rtc_bpf__load(r->skel), 0);
	r->r = &r->skel->data_state->rtc;
	r->link = filter_attach(r->skel->maps.rtc_ops);
}

static void teardown(struct run *r)
{
	cooperates = NULL;
	bpf_link__destroy(r->link);
	rtc_bpf__destroy(r->skel);
	vmm_free(r->vmm);
}

static unsigned long answered(const struct run *r)
{
	unsigned long n = 0;

	for (int i = 0; r->r && i < r->vmm->nr_vcpus; i++)
		n += r->r->vcpus[i].answered;
	return n;
}

static void report(const struct run *r, const char *what)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;

	printf("   %s: %lu answered; at the VMM %lu reads, %lu writes, %lu of the index, %lu queued;", what, answered(r), reads_seen,
	       writes_seen, index_exits, queued);
	for (int i = 1; r->r && i < IOFILTER_NR_VERDICTS; i++)
		if (r->r->verdicts[i])
			printf(" %s %llu", names[i], r->r->verdicts[i]);
	if (r->r)
		printf("; absence %llu us, best %llu us, %llu suspicions, %llu lost, %llu changes, flying %lld", r->r->absence / 1000,
		       r->r->best_bracket / 1000, r->r->suspicions, r->r->lost, r->r->changes, r->r->flying);
	printf("\n");
}

#endif /* SELFTESTS_VM_RTC_H */
