/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with an IDE channel under the real filter: KVM's side of an exit and QEMU's device (idemodel.h), in steps that tests put in any
 * order. Each answer of the filter must be what the device shows at some moment of the access, and a read of the status may be
 * answered only while INTRQ is low. Time stands within a step.
 */
#ifndef SELFTESTS_IDESIM_H
#define SELFTESTS_IDESIM_H

#include "iofilter.h"
#include "idemodel.h"

#define SIM_VCPUS 3
#define NO_PORT	  0x80 /* another device's */
#define PORT(reg) ((reg) == IDE_CONTROL ? IDE_PRIMARY + IDE_CONTROL_AT : IDE_PRIMARY + (reg))
#define ALT	  IDE_ALT_STATUS

extern struct iofilter_ide ide;
extern struct kvm_iofilter_ops ide_ops;

enum phase { IN_GUEST, CALLED, LEAVING, RETURNED, IN_VMM, PERFORMED };

struct vcpu {
	struct kvm_vcpu kvm;
	struct kvm_run run;
	u8 page[4096];
	enum phase phase;
	bool write;
	u16 port;
	u32 len, count, taken, val, got;
	u64 shown[4]; /* within the access of this moment: what the device would have said, a bit for each byte */
};

static struct sim {
	struct kvm kvm;
	struct kvm_vcpu *kvm_vcpus[SIM_VCPUS];
	struct vcpu vcpus[SIM_VCPUS];
	struct iofilter f;
	struct channel device, saved;
	u32 line; /* KVM's line: 0 the drive's, 1 none, 2 low whatever the drive does, 3 high */
	bool level; /* .. and its level */
	u32 followed; /* channel.driven when that was set */
	u64 main_loop; /* when the VMM's main loop was there last */
	bool trace;
	char failure[300];
} sim;

static struct { u64 accesses, answered, punted, by[9], busy, status_high; } sim_count;

#include "sim.h"

void iofilter_moved(struct iofilter *f, u64 now) { (void)f, (void)now; }

int kvm_iofilter_line(const struct kvm_iofilter_req *req, u32 line_at)
{
	sim_point();
	if (line_at != IDE_PRIMARY_IRQ * sizeof(unsigned long))
		sim_fail("line at %u is asked for", line_at);
	if (!req->ioapic)
		return -ENOENT;
	return sim.line == 0 ? sim.level : sim.line == 3;
}

u64 kvm_iofilter_string(const struct kvm_iofilter_sample *sample, u32 at)
{
	u64 val;

	sim_point();
	if (!sample->data || at + sizeof(val) > sample->val * sample->len)
		return 0;
	__builtin_memcpy(&val, sample->data + at, sizeof(val));
	return val;
}

/* For a VMM that cooperates alone. */
int kvm_iofilter_signal(const struct kvm_iofilter_req *req, u32 index);

int kvm_iofilter_signal(const struct kvm_iofilter_req *req, u32 index)
{
	(void)req, (void)index;
	abort();
}

static void sim_attach(void)
{
	static struct iofilter_ide *initial;

	if (!initial)
		initial = memcpy(aligned_alloc(64, sizeof(ide)), &ide, sizeof(ide));
	/* Not the vCPUs that are never used. */
	memcpy(&ide, initial, offsetof(struct iofilter_ide, vcpus) + SIM_VCPUS * sizeof(ide.vcpus[0]));
	ide.watch.calibrating = 0;
	sim_attach_ops(&ide_ops);
}

static void sim_begin(int vcpus, enum kind master, enum kind slave, u64 sectors, u32 line)
{
	int i;

	if (sim.f.slots)
		iofilter_slots_free(&sim.f);
	memset(&sim, 0, offsetof(struct sim, trace));
	sim.line = line;
	sim_create_vcpus(vcpus);
	sim.kvm.arch.vioapic = line == 1 ? NULL : &sim;
	for (i = 0; i < vcpus; i++)
		sim.vcpus[i].kvm.mode = IN_GUEST_MODE;
	sim.device.drives[0].kind = master;
	sim.device.drives[1].kind = slave;
	sim.device.drives[0].sectors = sim.device.drives[1].sectors = sectors;
	channel_reset(&sim.device);
	sim.saved = sim.device;
	sim_attach();
}

static int reg_of(u16 port)
{
	return port >= IDE_PRIMARY && port < IDE_PRIMARY + IDE_NR_REGS ? port - IDE_PRIMARY :
	       port == IDE_PRIMARY + IDE_CONTROL_AT ? IDE_CONTROL : -1;
}

static void shown(struct vcpu *v, u8 val)
{
	v->shown[val >> 6] |= 1ULL << (val & 63);
}

/* Something has happened: an access that is going on may see what was before it, or after it. */
static void note(void)
{
	const struct channel *c = &sim.device;
	int i;

	if (sim.followed != c->driven)
		sim.level = c->intrq;
	sim.followed = c->driven;
	for (i = 0; i < sim.kvm.created_vcpus; i++) {
		struct vcpu *v = &sim.vcpus[i];
		int reg = reg_of(v->port);

		/* A read of the status that the VMM does not see must be one that has no side effect. */
		if (v->phase != CALLED || reg <= 0 || (reg == IDE_STATUS && c->intrq))
			continue;
		shown(v, channel_shows(c, reg));
		if (reg >= IDE_STATUS && c->hidden)
			shown(v, c->before);
	}
}

static void check_answer(struct vcpu *v)
{
	int reg = reg_of(v->port);

	sim_count.answered++;
	if (reg > 0)
		sim_count.by[reg]++;
	sim_count.busy += reg >= IDE_STATUS && v->got & IDE_BSY;
	if (reg <= 0 || v->len != 1 || v->count != 1)
		sim_fail("vCPU %d: an access of %u x %u bytes at %#x was answered", v->kvm.vcpu_idx, v->count, v->len, v->port);
	else if (!(v->shown[v->got >> 6 & 3] >> (v->got & 63) & 1))
		sim_fail("vCPU %d is answered %#x at %#x, the device shows %#x%s", v->kvm.vcpu_idx, v->got, v->port,
			 channel_shows(&sim.device, reg), sim.device.intrq ? ", INTRQ is high" : "");
}

/* The guest's instruction; of a string's @count elements KVM asks the VMM for @taken. Return: whether the filter has answered. */
static bool sim_access(int n, bool write, u16 port, u32 val, u32 len, u32 count, u32 taken)
{
	struct vcpu *v = &sim.vcpus[n];
	void *at = &v->got;
	int err = -1, i;

	v->write = write;
	v->port = port;
	v->len = len;
	v->count = write ? 1 : count;
	v->taken = write || count == 1 ? 1 : taken;
	v->val = val;
	v->got = 0;
	v->kvm.stat.exits++;
	v->kvm.mode = OUTSIDE_GUEST_MODE;
	v->kvm.arch.regs[VCPU_REGS_RCX] = count;
	memset(v->shown, 0, sizeof(v->shown));
	v->phase = CALLED;
	note();
	if (count != 1)
		at = sim_strings[n];
	if (write)
		__builtin_memcpy(at, &val, sizeof(val));
	sim_log("vCPU %d %s %u x %u bytes at %#x, %#x", n, write ? "writes" : "reads", v->taken, len, port, val);
	sim_count.accesses++;
	for (i = 0; i < (int)sim.f.nr_ranges && err; i++) {
		const struct kvm_iofilter_range *r = &sim.f.devs[i].range;

		if (port < r->addr || port + len > r->addr + r->len)
			continue;
		err = write ? iofilter_dev_ops.write(&v->kvm, &sim.f.devs[i].dev, port, len, at) :
			      iofilter_dev_ops.read(&v->kvm, &sim.f.devs[i].dev, port, len, at);
	}
	note();
	if (!err) {
		if (write)
			sim_fail("a write was answered");
		sim_log("vCPU %d has %#x from the filter", n, v->got);
		check_answer(v);
		v->phase = IN_GUEST;
		v->kvm.mode = IN_GUEST_MODE;
		return true;
	}
	sim_count.punted++;
	v->phase = LEAVING;
	v->kvm.arch.pio.count = v->taken;
	v->kvm.arch.pio.port = port;
	v->run.io.port = port;
	v->run.io.size = len;
	v->run.io.count = v->taken;
	v->run.io.direction = write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	return false;
}

static void put16(u8 *page, u32 word, u16 val)
{
	__builtin_memcpy(page + 2 * word, &val, sizeof(val));
}

/* What the program looks at in IDENTIFY's data. */
static void identify(u8 *page, const struct drive *d)
{
	put16(page, 59, d->multiple ? 0x100 | d->multiple : 0);
	put16(page, 60, d->sectors);
	put16(page, 61, d->sectors >> 16);
	put16(page, 83, 1 << 10);
	put16(page, 100, d->sectors);
	put16(page, 101, d->sectors >> 16);
}

static void perform(struct vcpu *v)
{
	struct channel *c = &sim.device;
	struct drive *d = &c->drives[c->unit];
	u32 i, j;

	memset(v->page, 0, sizeof(v->page));
	if (v->port == IDE_PRIMARY && v->len != 1) {
		c->hidden = false;
		if (d->status & IDE_DRQ && d->transfer == TO_GUEST_ONCE && d->kind == ATA && d->data == v->taken * v->len)
			identify(v->page, d);
		for (i = 0; i < v->taken; i++)
			channel_data(c, v->write, v->len);
		return;
	}
	/* Straddling accesses come byte by byte. */
	for (i = 0; i < v->taken; i++)
		for (j = 0; j < v->len; j++) {
			int reg = reg_of(v->port + j);

			if (reg < 0)
				v->page[i * v->len + j] = v->port == NO_PORT ? 0x50 : 0xff;
			else if (reg == IDE_DATA)
				channel_data(c, v->write, 1);
			else if (v->write)
				channel_write(c, reg, v->val >> 8 * j);
			else
				v->page[i * v->len + j] = channel_read(c, reg);
		}
	v->got = v->page[0];
}

/* The next step of the exit that vCPU @n is in. */
static void sim_step(int n)
{
	struct vcpu *v = &sim.vcpus[n];

	if (sim_leaves(v))
		return;
	switch (v->phase) {
	default:
		return;
	case IN_VMM:
		perform(v);
		sim_log("vCPU %d: the VMM has %s%s", n, v->write ? "written" : "read", sim.device.intrq ? ", INTRQ is high" : "");
		v->phase = PERFORMED;
		return;
	case PERFORMED:
		sim_enters(v);
		if (!v->write)
			sim_log("vCPU %d has %#x from the VMM", n, v->got);
	}
}

static void sim_finish(int n, u64 ns)
{
	while (sim.vcpus[n].phase != IN_GUEST && sim.vcpus[n].phase != CALLED) {
		sim_now += ns;
		sim_step(n);
		note();
	}
}

/* An access from its beginning to its end, 2 us if it goes to the VMM. Return: whether the filter has answered. */
static bool sim_whole(int n, bool write, u16 port, u32 val, u32 len, u32 count)
{
	bool answered;

	sim_now += 500;
	answered = sim_access(n, write, port, val, len, count, count);
	sim_finish(n, 500);
	return answered;
}

/* What the host does for the selected drive ends. */
static void sim_complete(bool error)
{
	drive_complete(&sim.device, &sim.device.drives[sim.device.unit], error, false);
	sim_log("the drive is done: %#x%s", sim.device.drives[sim.device.unit].status, sim.device.intrq ? ", INTRQ is high" : "");
	note();
}

/* The VMM's main loop does what it was asked to. */
static void sim_main_loop(void)
{
	int i;

	sim.main_loop = sim_now;
	channel_srst(&sim.device);
	for (i = 0; i < 2; i++)
		if (sim.device.drives[i].aio >= AIO_RETRY_READ)
			drive_complete(&sim.device, &sim.device.drives[i], false, false);
	note();
}

enum sim_stop { STOP, LOAD, RESET, DISK_ERROR };

/* The VM is stopped for @ns, with all that its vCPUs had begun; and goes on, perhaps as another. */
static void sim_pause(u64 ns, enum sim_stop how)
{
	struct channel *c = &sim.device, now;
	int i;

	if (how == DISK_ERROR)
		drive_complete(c, &c->drives[c->unit], true, true);
	for (i = 0; i < sim.kvm.created_vcpus; i++) {
		/* QEMU completes an access that is under way (immediate_exit). */
		while (sim.vcpus[i].phase != IN_GUEST)
			sim_step(i);
		sim_signal(i);
	}
	if (how == RESET) {
		channel_reset(c);
		ide_drive(c, false);
	}
	if (how == LOAD) {
		/* Of the same machine. What the host did for it is begun anew, but for an error that has stopped it. */
		now = *c;
		*c = sim.saved;
		sim.saved = now;
		for (i = 0; i < 2; i++)
			if (sim.saved.drives[i].aio >= AIO_RETRY_READ)
				sim.saved = *c;
		c->hidden = false;
		/* The interrupt controllers have what they had. KVM's line begins anew. */
		sim.level = false;
		sim.followed = c->driven;
	}
	sim_now += ns;
	sim.main_loop = sim_now;
	sim_log("the VM was stopped for %llu us%s", ns / US,
		how == RESET ? ", and reset" : how == LOAD ? ", and another state loaded" : how == DISK_ERROR ? " by an error" : "");
}

#endif /* SELFTESTS_IDESIM_H */
