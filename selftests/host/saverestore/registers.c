// SPDX-License-Identifier: GPL-2.0
/* libiofilter's registers for tests that have a state, but no filter attached. */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <zlib.h>
#include <loader/lib/reg.h>
#include "../saverestore.h"

unsigned long long restore_now;
struct restore_count restore_count;
bool restore_mutant;

/* The number of the one that is left out, or is put back although it should not be; 0: none. */
static __u16 without, forced;

/* As in loader/lib/device.c, but for the programs, which are not linked here. */
static const struct device devices[] = {
	{ .name = "pmtimer", .regs = &pmtimer_regs, .reg_device = 1 },
	{ .name = "hpet", .regs = &hpet_regs, .reg_device = 2 },
	{ .name = "pit", .regs = &pit_regs, .reg_device = 3 },
	{ .name = "speaker", .regs = &speaker_regs, .reg_device = 4 },
	{ .name = "rtc", .regs = &rtc_regs, .reg_device = 5 },
	{ .name = "ide", .regs = &ide_regs, .reg_device = 6 },
	{ .name = "table", .regs = &table_regs, .reg_device = 7 },
	{ .name = "map", .regs = &map_regs, .reg_device = 8 },
};

const struct device *device_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (!strcmp(devices[i].name, name))
			return &devices[i];
	return NULL;
}

int device_unknown(const char *name)
{
	return lib_fail(-ENOENT, "unknown device '%s'", name);
}

__u64 lib_now(void)
{
	struct timespec ts;

	if (restore_now)
		return restore_now;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* What libiofilter waits for while it cannot have a lock is simulated time, too. */
int nanosleep(const struct timespec *want, struct timespec *left)
{
	(void)left;
	if (restore_now)
		restore_now += want->tv_sec * 1000000000ULL + want->tv_nsec;
	return 0;
}

static const struct device *device(const char *name)
{
	const struct device *d = device_find(name);

	if (!d)
		abort();
	return d;
}

/* The head of what is saved, as far as it is changed here: its layout stands in loader/lib/saved.c. */
enum { AT_RECORDS = 12, AT_SIZE = 16, AT_CRC = 24, HEAD = 56 };

/* As if the register did not exist yet when it was saved: the restore leaves it as it is. */
static size_t leave_out(char *data, size_t size)
{
	char *from = data + HEAD, *to = from;
	__u32 records = 0, crc = 0;
	__u64 id, total;
	size_t n;

	while (from < data + size) {
		memcpy(&id, from, 8);
		id = le64toh(id);
		n = 8 + ((IOFILTER_REG_SIZE(id) + 7) & ~7U);
		if (IOFILTER_REG_NUMBER(id) != without) {
			memmove(to, from, n);
			to += n;
			records++;
		}
		from += n;
	}
	size = to - data;
	total = htole64(size);
	records = htole32(records);
	memcpy(data + AT_RECORDS, &records, 4);
	memcpy(data + AT_SIZE, &total, 8);
	memcpy(data + AT_CRC, &crc, 4);
	crc = htole32(crc32(0, (const unsigned char *)data, size));
	memcpy(data + AT_CRC, &crc, 4);
	return size;
}

void *registers_save(const char *name, void *state, size_t *size)
{
	void *data;

	restore_count.in_flight += ((const struct iofilter_head *)state)->in_flight > 0;
	if (saved_make(device(name), state, &data, size)) {
		printf("save: %s\n", iofilter_error());
		abort();
	}
	restore_count.saves++;
	restore_count.bytes += *size;
	if (without)
		*size = leave_out(data, *size);
	return data;
}

static void force(const struct device *d, void *fresh, const char *at, const char *end)
{
	__u64 id, ids[256];
	__u32 len, n = 0;
	char vals[2048];
	size_t size = 0;

	for (; at < end; at += 8 + ((len + 7) & ~7U)) {
		memcpy(&id, at, 8);
		id = le64toh(id);
		len = IOFILTER_REG_SIZE(id);
		if (IOFILTER_REG_NUMBER(id) != forced)
			continue;
		if (n == 256 || size + len > sizeof(vals))
			abort();
		ids[n++] = id;
		memcpy(vals + size, at + 8, len);
		size += len;
	}
	if (reg_set_many(d, fresh, ids, n, vals, size))
		abort();
}

void registers_restore(const char *name, void *fresh, const void *data, size_t size)
{
	if (saved_apply(device(name), fresh, data, size, 0)) {
		printf("restore: %s\n", iofilter_error());
		abort();
	}
	if (forced)
		force(device(name), fresh, (const char *)data + HEAD, (const char *)data + size);
}

void registers_move(const char *name, void *old, void *fresh, long long shift)
{
	size_t size;
	void *data = registers_save(name, old, &size);

	restore_now += shift;
	registers_restore(name, fresh, data, size);
	free(data);
}

void restore_print(const char *name)
{
	printf("# %s: saved and restored %lu times in %lu programs, %lu with something in flight, %llu bytes on average; %lu answered later\n",
	       name, restore_count.saves, restore_count.programs, restore_count.in_flight,
	       restore_count.saves ? restore_count.bytes / restore_count.saves : 0, restore_count.answered);
}

/* Return: whether @run finds out. */
static bool fails(int (*run)(void))
{
	int status, fd;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		fd = open("/dev/null", O_WRONLY);
		dup2(fd, 1);
		dup2(fd, 2);
		restore_mutant = true;
		_exit(run() ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	return status;
}

int registers_mutants(const char *name, int (*run)(void), const struct restore_spared *spared)
{
	const struct device *d = device(name);
	const struct restore_spared *s;
	int missed = 0, bad = 0, n = 0;
	const struct reg_row *row;
	bool found, guest;
	size_t i;

	for (i = 0; i < d->regs->nr; i++) {
		row = &d->regs->rows[i];
		guest = row->flags & IOFILTER_REG_GUEST;
		if (!guest && !(row->flags & IOFILTER_REG_HOST && row->flags & IOFILTER_REG_WRITABLE))
			continue;
		for (s = spared; s->name && strcmp(s->name, row->name); s++)
			;
		n++;
		without = guest ? row->nr : 0;
		forced = guest ? 0 : row->nr;
		found = fails(run);
		missed += found;
		if (!found || s->name)
			printf("%s%s: %s %s %s fails%s%s\n", found == !!s->name ? "" : "# ", name, guest ? "without" : "with the old", row->name,
			       found ? "it" : "nothing", s->name ? found ? ", although: " : ": " : "", s->name ? s->why : "");
		bad += found == !!s->name;
	}
	without = forced = 0;
	printf("# %s: of %d registers, left out or put back against the rules, %d are found out\n", name, n, missed);
	return bad;
}
