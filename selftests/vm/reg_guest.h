/* SPDX-License-Identifier: GPL-2.0 */
/* A filter whose registers are set, and a guest that sees it. */
#ifndef SELFTESTS_VM_REG_GUEST_H
#define SELFTESTS_VM_REG_GUEST_H

#include "reg_machine.h"

struct dev {
	const char *name;
	unsigned int vm_flags;
	const char *rules;
	const struct iofilter_map_opts *map;
	void (*prepare)(struct dev *d); /* before each register */
	struct vmm *vmm;
	struct iofilter *f;
};

struct effect {
	const char *device, *name;
	__u32 elements; /* that mean something in this filter; 0: all */
	__u64 min, max; /* 0: as the register has it */
	void (*see)(struct dev *d, __u32 element); /* sets it, and fails if the guest does not see it */
	const char *unseen; /* why it does not */
};

static void set_at(struct dev *d, const char *name, __u32 element, __u64 val)
{
	__u64 id = reg_id_at(d->name, name, element);

	regs_set(d->f, &id, 1, &val);
}

struct setting {
	const char *name;
	__u64 val;
};

/* In one step. */
static void set_several(struct dev *d, const struct setting *s, unsigned int n, __u32 element)
{
	__u64 ids[REGS_MAX], vals[REGS_MAX];

	for (unsigned int i = 0; i < n; i++) {
		ids[i] = reg_id_at(d->name, s[i].name, element);
		vals[i] = s[i].val;
	}
	regs_set(d->f, ids, n, vals);
}

static __u64 get_at(struct dev *d, const char *name, __u32 element)
{
	__u64 id = reg_id_at(d->name, name, element), val;

	regs_get(d->f, &id, 1, &val);
	return val;
}

/* --- the guest --- */

static struct access {
	__u64 addr, val;
	__u32 len;
	bool write, answered;
} script[8];

static void guest_script(long n)
{
	for (long i = 0; i < n; i++) {
		struct access *a = &script[i];

		if (a->addr >= HPET_BASE && a->len == 8)
			a->val = mmio_read(__u64, a->addr);
		else if (a->addr >= HPET_BASE)
			a->val = mmio_read(__u32, a->addr);
		else if (a->write)
			outb(a->val, a->addr);
		else
			a->val = a->len == 1 ? inb(a->addr) : inl(a->addr);
	}
}

/* The script, one access at a time: which of them have come to the VMM? */
static void play(struct dev *d, int n)
{
	unsigned long exits = machine.exits;

	vmm_run(d->vmm, 0, guest_script, n);
	for (int i = 0; i < n; i++)
		script[i].answered = machine.exits == exits;
}

static struct access one(struct dev *d, struct access a)
{
	script[0] = a;
	play(d, 1);
	return script[0];
}

#define IN(port)	((struct access){ .addr = (port), .len = 1 })
#define IN4(port)	((struct access){ .addr = (port), .len = 4 })
#define OUT(port, byte) ((struct access){ .addr = (port), .len = 1, .write = true, .val = (byte) })

static void want(const char *what, struct access got, bool answered, __u64 val)
{
	TEST_ASSERT(got.answered == answered && (!answered || got.val == val), "%s: %s %#llx, wanted %s %#llx", what,
		    got.answered ? "answered" : "from the VMM", got.val, answered ? "answered" : "from the VMM", val);
}

/* A guest that reads on, while somebody waits for what it sees. */
static volatile int stop, looks, polls;
static volatile __u64 look_at, look_for, look_mask;
static volatile unsigned long seen, same;

/* Loads counter 2, latches it until it is told to go on, then polls. In one run: what happens to a load at its end is not seen. */
static void guest_port61(long latches)
{
	__u8 v, before = 0;

	outb(PIT_61_GATE, PIT_SYSTEM);
	outb(0xb0, PIT_CONTROL);
	outb(0xff, PIT_PORT + 2);
	outb(0xff, PIT_PORT + 2);
	while (latches && !polls && !stop) {
		outb(0x80, PIT_CONTROL);
		inb(PIT_PORT + 2);
		inb(PIT_PORT + 2);
		looks = 1;
	}
	while (!stop) {
		v = inb(PIT_SYSTEM);
		seen += (v & look_mask) == look_for;
		same += !((v ^ before) & PIT_61_REFRESH);
		before = v;
		looks = 1;
	}
}

static void guest_hpet(long unused)
{
	(void)unused;
	while (!stop) {
		mmio_read(__u64, HPET_BASE + HPET_MAIN_CNT);
		seen += mmio_read(__u32, look_at) == look_for;
		looks = 1;
	}
}

static void guest_latch(long ch)
{
	while (!stop) {
		outb(ch << 6, PIT_CONTROL);
		inb(PIT_PORT + ch);
		inb(PIT_PORT + ch);
		looks = 1;
	}
}

static void begin(struct dev *d, void (*guest)(long), long arg)
{
	stop = looks = polls = 0;
	seen = same = 0;
	vmm_start(d->vmm, 0, guest, arg);
	while (!looks)
		usleep(100);
}

static void end(struct dev *d)
{
	stop = 1;
	vmm_join(d->vmm, 0);
}

#define PATIENCE 10000 /* ms */

/* All that the filter knows, for whoever reads the log. */
static void show_all(struct dev *d)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "${O:-build}/loader/iofilter dump --pid %d %s", getpid(), d->name);
	if (system(cmd))
		printf("   %s: failed\n", cmd);
}

/* Is it so within @ms? */
#define COMES(cond, ms) \
	({ \
		for (int ms_ = 0; !(cond) && ms_ < (ms); ms_++) \
			usleep(1000); \
		(cond); \
	})

#define WAIT_FOR(d, cond, what) \
	do { \
		if (!COMES(cond, PATIENCE)) { \
			show_all(d); \
			TEST_FAIL("%s: not within %d s", what, PATIENCE / 1000); \
		} \
	} while (0)

#endif /* SELFTESTS_VM_REG_GUEST_H */
