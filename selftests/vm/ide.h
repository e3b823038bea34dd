/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with an IDE channel (devices/ide.c) in its VMM, which gives the channel away to the filter after each trap: with all that it can, with
 * as little as a test wants, or, when sabotaged, as a bad predictor would.
 */
#ifndef SELFTESTS_VM_IDE_H
#define SELFTESTS_VM_IDE_H

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <devices/ide_filter.h>
#include <iofilter/ide.h>
#include "filter.h"
#include "ide.skel.h"
#include "vmm.h"

#define SECTORS	  4096
#define ALT	  (IDE_PRIMARY + IDE_CONTROL_AT)
#define PORT(reg) (IDE_PRIMARY + (reg))

static __u8 disk[SECTORS * IDE_SECTOR];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ide model;
static struct ide_bpf *skel;
static struct ide_own *own;
static int line = -1; /* eventfd of the interrupt */
static bool sabotaged;
static int give_most = -1; /* sectors ahead; -1: as many as there can be */
static __u64 refused;

/* Strings of data that have come to the VMM although it had given the channel away. */
static struct {
	unsigned long strings, elements, early;
} missed;

static int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	(void)arg;
	if (write)
		memcpy(disk + sector * IDE_SECTOR, data, count * IDE_SECTOR);
	else
		memcpy(data, disk + sector * IDE_SECTOR, count * IDE_SECTOR);
	return 0;
}

static void disk_irq(void *arg, int level)
{
	__u64 one = 1;

	(void)arg;
	if (level && line >= 0)
		TEST_EQ(write(line, &one, sizeof(one)), sizeof(one));
}

/* With a bad predictor: nothing, too little, or another place. */
static void give(void)
{
	__u64 sector = iofilter_ide_next(&model.c);
	__u32 n = model.c.pos ? 0 : iofilter_ide_wanted(&model.c);
	int kind = sabotaged ? random() % 6 : 5;

	if (kind == 0)
		return;
	if (give_most >= 0 && n) {
		n = n < (__u32)give_most ? n : (__u32)give_most;
		if (n)
			disk_io(NULL, 0, sector, n, iofilter_ide_ahead(own, &model.c));
		iofilter_ide_give(own, &model.c, model.buf, sector, n);
		return;
	}
	if (kind > 3 || !n) {
		ide_give(&model, own);
		return;
	}
	if (kind == 1)
		n = random() % n;
	else
		sector += kind == 2 ? 1 : -1ULL;
	if (n > SECTORS - sector)
		n = 0;
	if (n)
		disk_io(NULL, 0, sector, n, iofilter_ide_ahead(own, &model.c));
	refused += iofilter_ide_give(own, &model.c, model.buf, sector, n) == 1;
}

/* Was that string's data all there, and what the guest sees behind it? Then it should not have come here. */
static void string_came(const struct vmm_access *a)
{
	__u32 left = own->end - own->pos, want = a->count * a->len, block = own->c.block * IDE_SECTOR, rest = own->last - own->end;

	if (!own->given || a->write || !(own->c.status & IDE_DRQ) || own->pos % a->len)
		return;
	missed.strings++;
	missed.elements += a->count;
	if (want < left)
		missed.early++;
	else if (rest && want < left + block && own->there - own->end >= (rest < block ? rest : block))
		missed.early++;
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	__u32 i;

	(void)vmm;
	if (a->addr != ALT && a->addr - IDE_PRIMARY >= IDE_NR_REGS)
		return;
	pthread_mutex_lock(&lock);
	if (a->addr == PORT(IDE_DATA) && a->count > 1)
		string_came(a);
	ide_take(&model, own);
	for (i = 0; i < a->count; i++) {
		__u8 *p = (__u8 *)a->data + i * a->len;
		__u32 val = 0;

		if (a->write) {
			memcpy(&val, p, a->len);
			ide_port_write(&model, a->addr, a->len, val);
		} else {
			val = ide_port_read(&model, a->addr, a->len);
			memcpy(p, &val, a->len);
			a->val = val;
		}
	}
	give();
	pthread_mutex_unlock(&lock);
}

static struct vmm *machine(int nr_vcpus, unsigned int flags)
{
	struct vmm *vmm = vmm_new(nr_vcpus, flags);
	struct kvm_iofilter_ops *ops;
	size_t i;

	for (i = 0; i < sizeof(disk) / 4; i++)
		((__u32 *)disk)[i] = random() << 8 ^ random();
	model = (struct ide){ .io = disk_io, .irq = disk_irq, .sectors = SECTORS, .base = IDE_PRIMARY };
	ide_power_on(&model);
	skel = ide_bpf__open();
	TEST_ASSERT(skel, "open: %s", strerror(errno));
	ops = filter_ops(skel->maps.ide_ops);
	ops->vm_fd = vmm->fd;
	line = -1;
	if (flags & VMM_IRQCHIP) {
		struct kvm_irqfd irqfd = { .gsi = IDE_PRIMARY_IRQ };

		line = eventfd(0, EFD_CLOEXEC);
		TEST_ASSERT(line > 0, "eventfd: %s", strerror(errno));
		irqfd.fd = ops->eventfds[0] = line;
		TEST_ASSERT(!ioctl(vmm->fd, KVM_IRQFD, &irqfd), "irqfd: %s", strerror(errno));
	}
	TEST_EQ(-ide_bpf__load(skel), 0);
	own = &skel->data_state->ide.own;
	iofilter_ide_cooperate(own, line >= 0);
	ide_give(&model, own);
	vmm->io = vmm_io;
	sabotaged = false;
	refused = 0;
	return vmm;
}

static void end(struct vmm *vmm)
{
	ide_bpf__destroy(skel);
	if (line >= 0)
		close(line);
	vmm_free(vmm);
}

#endif /* SELFTESTS_VM_IDE_H */
