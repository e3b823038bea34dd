/* SPDX-License-Identifier: GPL-2.0 */
/* A VMM with all devices that there are filters for, as QEMU has them. */
#ifndef SELFTESTS_VM_REG_MACHINE_H
#define SELFTESTS_VM_REG_MACHINE_H

#include <sys/ioctl.h>
#include <devices/hpet.h>
#include <devices/ide_filter.h>
#include <devices/pit.h>
#include <devices/rtc.h>
#include <iofilter/hpet.h>
#include <iofilter/ide.h>
#include <iofilter/pit.h>
#include <iofilter/pmtimer.h>
#include <iofilter/rtc.h>
#include "reg.h"

#define WALL_START 1700000000
/* What ports without a device show: no filter answers it by chance. */
#define BUS_EMPTY 0x5aa55aa5

static struct {
	pthread_mutex_t lock;
	struct pit pit;
	struct rtc rtc;
	struct hpet hpet;
	struct ide ide;
	struct ide_own *own; /* NULL: there is no filter that the IDE channel is given to */
	struct pm_model pm;
	__s64 wall;
	bool kvm_pit; /* KVM's own has the counters */
	unsigned long exits; /* accesses that have come here */
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __u64 machine_clock(void *unused)
{
	(void)unused;
	return now_ns();
}

static __u64 machine_wall(void *unused)
{
	(void)unused;
	return now_ns() + machine.wall;
}

static int machine_disk(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	(void)arg;
	if (!write)
		memset(data, sector, count * IDE_SECTOR);
	return 0;
}

/* As QEMU's beside KVM's own PIT. */
static void machine_speaker(const struct vmm *vmm, struct vmm_access *a)
{
	struct kvm_pit_channel_state *c;
	struct kvm_pit_state2 state;
	struct pit *pit = &machine.pit;

	TEST_EQ(ioctl(vmm->fd, KVM_GET_PIT2, &state), 0);
	c = &state.channels[2];
	if (a->write) {
		pit->data_on = a->val >> 1 & 1;
		c->gate = a->val & 1;
		TEST_EQ(ioctl(vmm->fd, KVM_SET_PIT2, &state), 0);
		return;
	}
	pit->counters[2].count = c->count;
	pit->counters[2].mode = c->mode;
	pit->counters[2].gate = c->gate;
	pit->counters[2].count_load_time = c->count_load_time;
	a->val = pit_port_read(pit, PIT_SYSTEM);
}

static void machine_byte(struct vmm_access *a, __u64 port, __u8 *data)
{
	if ((port >= PIT_PORT && port < PIT_PORT + PIT_LEN) || port == PIT_SYSTEM) {
		if (a->write)
			pit_port_write(&machine.pit, port, *data);
		else
			*data = pit_port_read(&machine.pit, port);
	} else if (port == RTC_INDEX_PORT || port == RTC_DATA_PORT) {
		if (a->write)
			rtc_port_write(&machine.rtc, port, *data);
		else
			*data = rtc_port_read(&machine.rtc, port);
	} else if (!a->write) {
		*data = BUS_EMPTY >> port % 4 * 8;
	}
}

static void machine_ide(struct vmm_access *a)
{
	if (machine.own)
		ide_take(&machine.ide, machine.own);
	if (a->write)
		ide_port_write(&machine.ide, a->addr, a->len, a->val);
	else
		a->val = ide_port_read(&machine.ide, a->addr, a->len);
	if (machine.own)
		ide_give(&machine.ide, machine.own);
}

static void machine_access(const struct vmm *vmm, struct vmm_access *a)
{
	__u8 *data = a->data;
	__u32 i;

	if (a->mmio && a->addr >= HPET_BASE && a->addr < HPET_BASE + HPET_LEN) {
		if (a->write)
			hpet_write(&machine.hpet, a->addr - HPET_BASE, a->val, a->len);
		else
			a->val = hpet_read(&machine.hpet, a->addr - HPET_BASE, a->len);
	} else if (!a->mmio && (a->addr - IDE_PRIMARY < IDE_NR_REGS || a->addr == IDE_PRIMARY + IDE_CONTROL_AT)) {
		machine_ide(a);
	} else if (!a->mmio && a->addr == PMTIMER_PORT && a->len == 4) {
		if (!a->write)
			a->val = pm_read(&machine.pm);
	} else if (!a->mmio && a->addr == PIT_SYSTEM && a->len == 1 && machine.kvm_pit) {
		machine_speaker(vmm, a);
	} else {
		for (i = 0; i < a->len * a->count; i++)
			machine_byte(a, a->addr + i % a->len, &data[i]);
		memcpy(&a->val, data, a->len);
	}
}

static void machine_io(struct vmm *vmm, struct vmm_access *a)
{
	pthread_mutex_lock(&machine.lock);
	machine.exits++;
	machine_access(vmm, a);
	pthread_mutex_unlock(&machine.lock);
}

static struct vmm *machine_new(int nr_vcpus, unsigned int flags)
{
	struct vmm *vmm = vmm_new(nr_vcpus, flags);

	memset(&machine.pit, 0, sizeof(machine.pit));
	machine.pit.clock = machine_clock;
	pit_power_on(&machine.pit);
	memset(&machine.rtc, 0, sizeof(machine.rtc));
	machine.wall = WALL_START * 1000000000LL - now_ns();
	machine.rtc.clock = machine_wall;
	rtc_power_on(&machine.rtc, WALL_START);
	memset(&machine.hpet, 0, sizeof(machine.hpet));
	machine.hpet.clock = machine_clock;
	hpet_power_on(&machine.hpet);
	hpet_write(&machine.hpet, HPET_GEN_CONF, HPET_ENABLE_CNF, 4);
	machine.ide = (struct ide){ .io = machine_disk, .sectors = 4096, .base = IDE_PRIMARY };
	ide_power_on(&machine.ide);
	machine.own = NULL;
	pm_init(&machine.pm, 123456789012);
	machine.kvm_pit = flags & VMM_PIT;
	machine.exits = 0;
	vmm->io = machine_io;
	return vmm;
}

#endif /* SELFTESTS_VM_REG_MACHINE_H */
