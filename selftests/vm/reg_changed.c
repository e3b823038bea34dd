// SPDX-License-Identifier: GPL-2.0
/*
 * What accesses change, told to a VMM without a system call: a thread of it keeps a copy of all registers that are told of, and reads
 * only those that were told, while guests change them as fast as they can. Whenever no guest is within an access the copy is what the
 * filter has. A thread that is told as much and overlooks a little is found out.
 */
#include <sched.h>
#include <iofilter/speaker.h>
#include <iofilter/table.h>
#include "reg_machine.h"

#define TABLE_PORT 0x300

/* Where a register stands in the mapping, for which there are the headers of each device. */
struct hot {
	const char *name;
	size_t off, stride;
	__u32 size, elements;
};

#define ONE(type, nm, member)	      { nm, offsetof(type, member), 0, sizeof(((type *)0)->member), 1 }
#define EACH(type, nm, array, member) { nm, offsetof(type, array[0].member), sizeof(((type *)0)->array[0]), \
					sizeof(((type *)0)->array[0].member), ARRAY_SIZE(((type *)0)->array) }
#define CHANNEL(member)		      EACH(struct iofilter_pit, "channel[]." #member, channels, member)
#define DRIVE(member)		      EACH(struct iofilter_ide, "own.drive[]." #member, own.c.drives, member)

static const struct hot pit_hot[] = {
	ONE(struct iofilter_pit, "port61.odd", odd),
	CHANNEL(pair), CHANNEL(latched), CHANNEL(latch), CHANNEL(status_latched), CHANNEL(status), {}
};

static const struct hot speaker_hot[] = { ONE(struct iofilter_speaker, "odd", odd), {} };

static const struct hot ide_hot[] = {
	ONE(struct iofilter_ide, "own.pos", own.pos), ONE(struct iofilter_ide, "own.begin", own.begin), ONE(struct iofilter_ide, "own.end", own.end),
	DRIVE(count), DRIVE(features), DRIVE(lba_low), DRIVE(lba_mid), DRIVE(lba_high), DRIVE(device),
	DRIVE(hob_features), DRIVE(hob_count), DRIVE(hob_lba_low), DRIVE(hob_lba_mid), DRIVE(hob_lba_high),
	ONE(struct iofilter_ide, "own.status", own.c.status), ONE(struct iofilter_ide, "own.control", own.c.control),
	ONE(struct iofilter_ide, "own.transfer", own.c.transfer), ONE(struct iofilter_ide, "own.intrq", own.c.intrq), {}
};

static const struct hot table_hot[] = {
	ONE(struct iofilter_table, "bits", bits), ONE(struct iofilter_table, "bits_known", known),
	EACH(struct iofilter_table, "slot[].value", cells, val), EACH(struct iofilter_table, "slot[].known", cells, known),
	EACH(struct iofilter_table, "slot[].dirty", cells, dirty), EACH(struct iofilter_table, "buffer[].pos", buffers, pos),
	ONE(struct iofilter_table, "predict.armed", predict.armed), ONE(struct iofilter_table, "predict.next", predict.next),
	ONE(struct iofilter_table, "predict.pos", predict.pos), {}
};

static volatile struct {
	unsigned long accesses;
	int rests;
	char pad[48];
} guests[2] __attribute__((aligned(64)));

static volatile int stop, hold;

/* Between two accesses: the VMM's thread wants moments in which nothing changes. */
static void guest_rests(long me)
{
	guests[me].accesses++;
	while (hold && !stop) {
		guests[me].rests = 1;
		asm volatile("pause");
	}
	guests[me].rests = 0;
}

static void guest_outb(long me, __u8 val, __u16 port)
{
	outb(val, port);
	guest_rests(me);
}

static void guest_inb(long me, __u16 port)
{
	inb(port);
	guest_rests(me);
}

static void guest_pit(long me)
{
	__u32 x = 4711, n, ch, r;

	for (n = 0; !stop; n++) {
		/* What is forgotten comes back with the next count. */
		for (ch = 0; n % 1024 == 0 && ch < PIT_CHANNELS; ch++) {
			guest_outb(me, ch << 6 | PIT_RW_WORD << 4 | 2 << 1, PIT_CONTROL);
			guest_outb(me, 0, PIT_PORT + ch);
			guest_outb(me, 0, PIT_PORT + ch);
		}
		r = guest_random(&x);
		ch = r % PIT_CHANNELS;
		if (r >> 8 & 7) {
			guest_outb(me, ch << 6, PIT_CONTROL);
			guest_inb(me, PIT_PORT + ch);
			guest_inb(me, PIT_PORT + ch);
		} else {
			/* Counts and statuses of several. */
			guest_outb(me, 0xc0 | (r >> 12 & 0x3e), PIT_CONTROL);
			for (ch = 0; ch < 9; ch++)
				guest_inb(me, PIT_PORT + ch % PIT_CHANNELS);
		}
		if (n % 8 == 0)
			guest_inb(me, PIT_SYSTEM);
	}
}

static void guest_speaker(long me)
{
	/* KVM's channel 2: an output that does not change any more is answered. */
	guest_outb(me, 2 << 6 | PIT_RW_WORD << 4, PIT_CONTROL);
	guest_outb(me, 1, PIT_PORT + 2);
	guest_outb(me, 0, PIT_PORT + 2);
	for (__u32 n = 0; !stop; n++) {
		guest_inb(me, PIT_SYSTEM);
		if (n % 1000 == 0)
			guest_outb(me, n / 1000 & 3, PIT_SYSTEM);
	}
}

static void guest_ide(long me)
{
	__u32 x = 99 + me, n;

	for (n = 0; !stop; n++) {
		__u32 r = guest_random(&x), i;

		guest_outb(me, r >> 8, IDE_PRIMARY + 1 + r % 5);
		guest_inb(me, IDE_PRIMARY + IDE_STATUS);
		if (n % 16 == 0)
			guest_outb(me, r >> 16 & (IDE_CTL_HOB | IDE_CTL_NIEN), IDE_PRIMARY + IDE_CONTROL_AT);
		if (n % 256 == 0) {
			guest_outb(me, 2, IDE_PRIMARY + IDE_COUNT);
			guest_outb(me, IDE_DEVICE_LBA, IDE_PRIMARY + IDE_DEVICE);
			guest_outb(me, IDE_CMD_READ, IDE_PRIMARY + IDE_COMMAND);
			for (i = 0; i < 256 && !stop; i++) {
				inl(IDE_PRIMARY);
				guest_rests(me);
			}
		}
	}
}

static const char rules[] = "absence 1000000\n"
			    "ports p 0x300-0x307\n"
			    "bit high\nbit low\n"
			    "slot a\nslot b\n"
			    "buffer buf = 00*256\n"
			    "write p+0 b take a.b set high clear low\n"
			    "write p+1 b take a.b set low clear high\n"
			    "write p+2 l take b\n"
			    "read  p+3 b repeat buf\n"
			    "write p+4 b take rewind buf\n";

static void guest_table(long me)
{
	__u32 x = 12345 + me * 77777, n;

	for (n = 0; !stop; n++) {
		__u32 r = guest_random(&x);

		if (r % 8 < 6)
			guest_outb(me, r >> 8, TABLE_PORT + r % 2);
		else
			guest_inb(me, TABLE_PORT + 3);
		if (n % 128 == 0)
			guest_outb(me, 0, TABLE_PORT + 4);
	}
}

struct follower {
	struct iofilter *f;
	unsigned int nr;
	__u64 ids[IOFILTER_REG_CHANGED_MAX];
	const char *at[IOFILTER_REG_CHANGED_MAX];
	__u32 size[IOFILTER_REG_CHANGED_MAX];
	__u64 copy[IOFILTER_REG_CHANGED_MAX], negligent[IOFILTER_REG_CHANGED_MAX];
	unsigned long told, compared, after_changes, found_out, new;
	unsigned long exits; /* as the VMM itself may have changed something then */
};

static __u64 value(const struct follower *w, unsigned int i)
{
	__u64 val = 0;

	memcpy(&val, w->at[i], w->size[i]);
	return val;
}

/* All that the library says it tells of. */
static void follower_init(struct follower *w, struct iofilter *f, const struct hot *hot)
{
	const char *device = iofilter_device(f);
	const char *state = iofilter_state(f);
	struct iofilter_reg *regs;
	int i, n, told = 0;
	__u32 e;

	memset(w, 0, sizeof(*w));
	w->f = f;
	for (; hot->name; hot++)
		for (e = 0; e < hot->elements; e++) {
			w->ids[w->nr] = reg_id_at(device, hot->name, e);
			TEST_EQ(IOFILTER_REG_SIZE(w->ids[w->nr]), hot->size);
			w->at[w->nr] = state + hot->off + e * hot->stride;
			w->size[w->nr++] = hot->size;
		}
	n = TEST_LIB(iofilter_regs(device, &regs));
	for (i = 0; i < n; i++)
		told += regs[i].flags & IOFILTER_REG_HOT ? regs[i].elements : 0;
	free(regs);
	TEST_EQ(w->nr, told);
}

static unsigned int index_of(const struct follower *w, __u64 id)
{
	unsigned int i;

	for (i = 0; i < w->nr && w->ids[i] != id; i++)
		;
	TEST_ASSERT(i < w->nr, "%#llx is told of, and is none of those", id);
	return i;
}

/* What was told is read. */
static void look(struct follower *w)
{
	__u64 ids[IOFILTER_REG_CHANGED_MAX];
	int i, n;

	n = TEST_LIB(iofilter_reg_changed(w->f, ids));
	for (i = 0; i < n; i++) {
		unsigned int k = index_of(w, ids[i]);

		w->copy[k] = value(w, k);
		if (++w->told % 16)
			w->negligent[k] = w->copy[k];
	}
	w->new += n;
}

/* No guest is within an access. */
static void compare(struct follower *w)
{
	char name[IOFILTER_REG_NAME_LEN];
	bool stale = false;
	unsigned int i;

	for (i = 0; i < w->nr; i++) {
		__u64 val = value(w, i);

		/* What the VMM itself has changed at a trap it knows. */
		if (machine.own && machine.exits != w->exits)
			w->copy[i] = w->negligent[i] = val;
		stale |= val != w->negligent[i];
		if (val == w->copy[i])
			continue;
		iofilter_reg_name(iofilter_device(w->f), w->ids[i], name, sizeof(name));
		TEST_FAIL("%s is %#llx; nobody has told that it is not %#llx any more", name, val, w->copy[i]);
	}
	w->exits = machine.exits;
	w->compared++;
	w->after_changes += w->new > 0;
	w->new = 0;
	w->found_out += stale;
	memcpy(w->negligent, w->copy, sizeof(w->copy));
}

static void hold_and_compare(struct follower *w, int nr_vcpus)
{
	int i;

	/* One that has not gone on since the last time would seem to rest while it goes. */
	for (i = 0; i < nr_vcpus; i++)
		while (guests[i].rests)
			look(w);
	hold = 1;
	for (i = 0; i < nr_vcpus; i++)
		while (!guests[i].rests)
			look(w);
	look(w);
	compare(w);
	hold = 0;
}

static void follow(const char *device, unsigned int flags, const char *table, const struct hot *hot, void (*guest)(long), int nr_vcpus)
{
	unsigned long wanted = test_count(50000, 1000000), accesses = 0, rounds = 0;
	struct vmm *vmm = machine_new(nr_vcpus, flags);
	struct iofilter *f = reg_attach(vmm, device, table);
	struct follower w;
	int i;

	if (!strcmp(device, "ide")) {
		machine.own = &((struct iofilter_ide *)iofilter_state(f))->own;
		iofilter_ide_cooperate(machine.own, 0);
		ide_give(&machine.ide, machine.own);
	}
	memset((void *)guests, 0, sizeof(guests));
	stop = hold = 0;
	follower_init(&w, f, hot);
	for (i = 0; i < (int)w.nr; i++)
		w.copy[i] = w.negligent[i] = value(&w, i);
	look(&w);
	for (i = 0; i < nr_vcpus; i++)
		vmm_start(vmm, i, guest, i);
	while (accesses < wanted) {
		look(&w);
		if (++rounds % 64 == 0)
			hold_and_compare(&w, nr_vcpus);
		accesses = guests[0].accesses + guests[1].accesses;
	}
	stop = 1;
	for (i = 0; i < nr_vcpus; i++)
		vmm_join(vmm, i);
	look(&w);
	compare(&w);
	printf("   %s, %d vCPUs: %lu accesses, %lu to the VMM; %lu changes of %u registers told in %lu rounds; compared %lu times, "
	       "%lu after changes; who overlooks one in 16 is found out %lu times\n", device, nr_vcpus, accesses, machine.exits, w.told, w.nr,
	       rounds, w.compared, w.after_changes, w.found_out);
	TEST_ASSERT(w.told > accesses / 20 && w.after_changes > 20 && w.found_out > 5, "too little to say anything");
	iofilter_close(f);
	vmm_free(vmm);
}

static void pit(void)
{
	follow("pit", 0, NULL, pit_hot, guest_pit, 1);
}

static void speaker(void)
{
	follow("speaker", VMM_PIT, NULL, speaker_hot, guest_speaker, 1);
}

static void ide(void)
{
	follow("ide", 0, NULL, ide_hot, guest_ide, 1);
}

static void table(void)
{
	follow("table", 0, rules, table_hot, guest_table, 2);
}

/* Whose accesses change nothing that the VMM does not know of. */
static void others(void)
{
	static const char *const names[] = { "pmtimer", "hpet", "rtc" };
	__u64 ids[IOFILTER_REG_CHANGED_MAX];
	struct vmm *vmm = machine_new(1, 0);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		struct iofilter *f = reg_attach(vmm, names[i], NULL);

		TEST_EQ(iofilter_reg_changed(f, ids), -EOPNOTSUPP);
		iofilter_close(f);
	}
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "pit", pit }, { "speaker", speaker }, { "ide", ide }, { "table", table }, { "others", others },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
