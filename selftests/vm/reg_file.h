/* SPDX-License-Identifier: GPL-2.0 */
/* A VM with four filters, the file of all of them, and what a restore that is refused must leave as it was. */
#ifndef SELFTESTS_VM_REG_FILE_H
#define SELFTESTS_VM_REG_FILE_H

#include <sys/mman.h>
#include <zlib.h>
#include <iofilter/map.h>
#include "reg.h"

/* As docs/state.md has it. */
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_COUNT = 12, AT_SIZE = 16, AT_CRC = 24, HEAD = 32 };
enum { AT_PART_SIZE = 16, PART = 24 };
enum { AT_DEVICE = 32, FIRST = 56 };

#define NAME_LEN 16
#define ROOM	 65536
#define SKIP	 IOFILTER_RESTORE_SKIP_UNKNOWN

enum { PMTIMER, PIT, RTC, MAP, NR_FILTERS };

/* All clocks stand, but for the PIT's, which has none that could. */
static const struct {
	int filter;
	const char *name;
	__u64 saved, other;
} settings[] = {
	{ PMTIMER, "clock.mode", 3, 3 },
	{ PMTIMER, "clock.time", 123456789012, 7 },
	{ PMTIMER, "clock.absence", 2000001, 2000002 },
	{ PIT, "channel[2].rw", 3, 3 },
	{ PIT, "channel[2].write_state", 3, 3 },
	{ PIT, "channel[2].mode", 2, 3 },
	{ PIT, "channel[2].programmed", 1, 1 },
	{ PIT, "channel[2].count", 0x8000, 0x1000 },
	{ PIT, "channel[2].latched", 2, 3 },
	{ PIT, "channel[2].latch", 0xbeef, 0x1234 },
	{ PIT, "channel[0].status_latched", 1, 0 },
	{ PIT, "channel[0].status", 0x34, 0 },
	{ PIT, "port61.odd", 1, 0 },
	{ RTC, "absence", 2000001, 2000002 },
	{ RTC, "expiry", 100000001, 100000002 },
	{ MAP, "set.running", 0, 0 },
	{ MAP, "set.width", 24, 32 },
	{ MAP, "set.reload", 1000000, 0 },
	{ MAP, "set.value", 654321, 1 },
	{ MAP, "set.compare", 999999, 2 },
	{ MAP, "set.alarm", 1, 2 },
};

static struct {
	const char *device, *name;
	struct iofilter *f;
	void *before; /* its state, which nobody but a restore changes */
} filters[NR_FILTERS] = {
	[PMTIMER] = { "pmtimer", "pmtimer" }, [PIT] = { "pit", "pit" }, [RTC] = { "rtc", "rtc" }, [MAP] = { "map", "map-600" },
};

struct file {
	unsigned char *data;
	size_t size;
};

static struct vmm *vmm;
static struct file whole; /* with what is saved in settings[]; the filters have the other values */
static unsigned char *part[NR_FILTERS]; /* where they begin in it */
static unsigned long refusals;

static size_t state_size(int i)
{
	return ((const struct iofilter_head *)iofilter_state(filters[i].f))->size;
}

static void remember(void)
{
	for (int i = 0; i < NR_FILTERS; i++)
		if (filters[i].f)
			memcpy(filters[i].before, iofilter_state(filters[i].f), state_size(i));
}

static void attach(int i)
{
	struct iofilter_map_opts map = {
		.size = sizeof(map),
		.range = { .addr = 0x600, .len = 4, .bus = KVM_IOFILTER_PIO },
		.kind = IOFILTER_MAP_COUNTER,
		.fields = IOFILTER_MAP_FREQ,
		.freq = 1000000,
	};
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = vmm->fd, .map = i == MAP ? &map : NULL };

	TEST_LIB(iofilter_attach(getpid(), filters[i].device, &opts, &filters[i].f));
	TEST_EQ(strcmp(iofilter_device(filters[i].f), filters[i].name), 0);
	filters[i].before = malloc(state_size(i));
}

static void set_all(int i, bool saved)
{
	__u64 ids[REGS_MAX], vals[REGS_MAX];
	unsigned int n = 0;

	for (size_t s = 0; s < ARRAY_SIZE(settings); s++) {
		if (settings[s].filter != i)
			continue;
		ids[n] = reg_id_of(filters[i].device, settings[s].name);
		vals[n++] = saved ? settings[s].saved : settings[s].other;
	}
	regs_set(filters[i].f, ids, n, vals);
}

static __u64 number_at(const unsigned char *p, size_t size)
{
	__u64 val = 0;

	memcpy(&val, p, size);
	return val;
}

static void put(unsigned char *p, __u64 val, size_t size)
{
	memcpy(p, &val, size);
}

static void seal(unsigned char *head, size_t size)
{
	put(head + AT_SIZE, size, 8);
	put(head + AT_CRC, 0, 4);
	put(head + AT_CRC, crc32(0, head, size), 4);
}

static size_t part_size(const unsigned char *p)
{
	return number_at(p + AT_PART_SIZE, 8);
}

/* All are attached; the file is there. */
static void begin(void)
{
	unsigned char *at;
	int i;

	vmm = vmm_new(1, 0);
	for (i = 0; i < NR_FILTERS; i++) {
		attach(i);
		set_all(i, true);
	}
	TEST_EQ(TEST_LIB(iofilter_save_vm(getpid(), NULL, (void **)&whole.data, &whole.size)), NR_FILTERS);
	for (i = 0, at = whole.data + HEAD; i < NR_FILTERS; i++, at += PART + part_size(at)) {
		TEST_EQ(strcmp((char *)at, filters[i].name), 0);
		part[i] = at;
		set_all(i, false);
	}
	TEST_ASSERT(at == whole.data + whole.size, "not %d parts", NR_FILTERS);
	remember();
}

/* Of a file that is no older than this version, all. Return: how many registers of the guest and the shadow are as they are in it. */
static unsigned int registers_as_in(const struct file *file)
{
	unsigned char now[512];
	char name[IOFILTER_REG_NAME_LEN];
	const unsigned char *at = file->data + HEAD, *rec, *end;
	struct iofilter_reg *regs;
	unsigned int same = 0;
	int i, r, n;
	__u64 id;

	for (; at < file->data + file->size; at = end) {
		for (i = 0; strcmp(filters[i].name, (const char *)at); i++)
			;
		n = TEST_LIB(iofilter_regs(filters[i].device, &regs));
		end = at + PART + part_size(at);
		for (rec = at + PART + FIRST; rec < end; rec += 8 + (IOFILTER_REG_SIZE(id) + 7) / 8 * 8) {
			id = number_at(rec, 8);
			for (r = 0; r < n && (regs[r].id ^ id) >> 16; r++)
				;
			if (r == n || !(regs[r].flags & (IOFILTER_REG_GUEST | IOFILTER_REG_SHADOW)) || regs[r].flags & IOFILTER_REG_HOST)
				continue;
			TEST_LIB(iofilter_reg_get(filters[i].f, &id, 1, now, IOFILTER_REG_SIZE(id)));
			TEST_LIB(iofilter_reg_name(filters[i].device, id, name, sizeof(name)));
			/* The PIT's go on. */
			if (i == PIT && !strcmp(regs[r].name, "channel[].clock.time"))
				TEST_ASSERT(number_at(now, 8) - number_at(rec + 8, 8) < 60000000000, "%s: %llu, then %llu", name,
					    number_at(rec + 8, 8), number_at(now, 8));
			else
				TEST_ASSERT(!memcmp(now, rec + 8, IOFILTER_REG_SIZE(id)), "%s of %s is not as in the file", name, filters[i].name);
			same++;
		}
		free(regs);
	}
	return same;
}

static struct file copy_of(const struct file *from)
{
	struct file to = { malloc(ROOM), from->size };

	memcpy(to.data, from->data, from->size);
	return to;
}

/* Where the part of @name begins. */
static unsigned char *part_of(const struct file *file, const char *name)
{
	unsigned char *at = file->data + HEAD;

	while (strcmp((char *)at, name))
		at += PART + part_size(at);
	return at;
}

/* A register's value in a part of filter @i. */
static unsigned char *record_of(unsigned char *p, int i, const char *name)
{
	__u64 want = reg_id_of(filters[i].device, name), id;
	unsigned char *at = p + PART + FIRST;

	while ((id = number_at(at, 8)) != want)
		at += 8 + (IOFILTER_REG_SIZE(id) + 7) / 8 * 8;
	return at + 8;
}

/* Is it about where a part begins, or its state? */
static bool near_part(size_t at)
{
	for (int i = 0; i < NR_FILTERS; i++)
		if (at + 16 >= (size_t)(part[i] - whole.data) && at < part[i] - whole.data + PART + 16UL)
			return true;
	return at + 16 >= whole.size;
}

/* The file restores, and each filter has changed: so a part of it that was put back earlier would have been seen. */
static void restores(const struct file *file, unsigned int flags)
{
	unsigned int registers;

	TEST_EQ(TEST_LIB(iofilter_restore_vm(getpid(), file->data, file->size, flags)), NR_FILTERS);
	for (int i = 0; i < NR_FILTERS; i++)
		TEST_ASSERT(memcmp(filters[i].before, iofilter_state(filters[i].f), state_size(i)), "%s has not changed", filters[i].name);
	registers = registers_as_in(file);
	TEST_ASSERT(registers > ARRAY_SIZE(settings), "%u registers: those that were set are not among them", registers);
}

/* After a restore: something else than in the file. */
static void anew(void)
{
	for (int i = 0; i < NR_FILTERS; i++)
		set_all(i, false);
	remember();
}

static void end(void)
{
	restores(&whole, 0);
	printf("   %lu refused; then %u registers restored\n", refusals, registers_as_in(&whole));
	refusals = 0;
	for (int i = 0; i < NR_FILTERS; i++) {
		iofilter_close(filters[i].f);
		free(filters[i].before);
	}
	vmm_free(vmm);
	free(whole.data);
}

/* The data end where nothing can be read any more. */
static const void *before_nothing(const void *data, size_t size)
{
	static unsigned char *room;

	if (!room) {
		room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		TEST_ASSERT(room != MAP_FAILED && !mprotect(room + ROOM, 4096, PROT_NONE), "%s", strerror(errno));
	}
	return size > ROOM ? data : memcpy(room + ROOM - size, data, size);
}

static void __refused(const char *what, size_t at, const void *data, size_t size, unsigned int flags, int err, const char *says)
{
	int got = iofilter_restore_vm(getpid(), before_nothing(data, size), size, flags);
	const char *reason = iofilter_error();

	TEST_ASSERT(got == -err && strstr(reason, says) && !strchr(reason, '\n'), "%s %zu: wanted %d and '%s', got %d and '%s'", what, at, -err,
		    says, got, reason);
	for (int i = 0; i < NR_FILTERS; i++)
		TEST_ASSERT(!filters[i].f || !memcmp(filters[i].before, iofilter_state(filters[i].f), state_size(i)),
			    "%s %zu: refused (%s), but %s has changed", what, at, reason, filters[i].name);
	refusals++;
}

static void refused(const char *what, const struct file *file, unsigned int flags, int err, const char *says)
{
	__refused(what, file->size, file->data, file->size, flags, err, says);
	printf("   %s: %s\n", what, iofilter_error());
}

#endif /* SELFTESTS_VM_REG_FILE_H */
