// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A filter's registers as bytes: struct saved_filter, then for each register its id and its value, padded to 8 bytes. Little-endian. An id never
 * changes its meaning, so a file of an older version is read as it is, and registers that it does not have stay as they are.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#include "reg.h"

#define SAVED_MAGIC   0x657461745366496fULL /* "oIfState" */
#define SAVED_VERSION 1
#define SAVED_MAX     (16 << 20)

/* A filter's head goes on so. */
struct saved_filter {
	struct saved_head head; /* count: registers; extra: the version of the device's state, for people */
	char device[KVM_IOFILTER_NAME_LEN];
	__u64 saved_at; /* CLOCK_REALTIME, s */
};

_Static_assert(sizeof(struct saved_filter) == 56, "stands in files");

static __u32 checksum(const void *data, size_t size)
{
	struct saved_head h;

	memcpy(&h, data, sizeof(h));
	h.crc = 0;
	return crc32(crc32(0, (const void *)&h, sizeof(h)), (const unsigned char *)data + sizeof(h), size - sizeof(h));
}

void saved_seal(void *data, const struct saved_head *h)
{
	struct saved_head to = {
		.magic = htole64(h->magic),
		.version = htole32(h->version),
		.count = htole32(h->count),
		.size = htole64(h->size),
		.extra = htole32(h->extra),
	};

	memcpy(data, &to, sizeof(to));
	to.crc = htole32(checksum(data, h->size));
	memcpy(data, &to, sizeof(to));
}

int saved_open(const void *data, size_t size, __u64 magic, __u32 version, const char *what, struct saved_head *h)
{
	struct saved_head from = {};

	if (size >= sizeof(from))
		memcpy(&from, data, sizeof(from));
	*h = (struct saved_head){
		.magic = le64toh(from.magic),
		.version = le32toh(from.version),
		.count = le32toh(from.count),
		.size = le64toh(from.size),
		.crc = le32toh(from.crc),
		.extra = le32toh(from.extra),
	};
	if (h->magic != magic)
		return lib_fail(-EBADMSG, "this is no saved state%s, or not all of it", what);
	if (h->size != size)
		return lib_fail(-EBADMSG, "the saved state has %zu bytes of %llu", size, (unsigned long long)h->size);
	if (checksum(data, size) != h->crc)
		return lib_fail(-EBADMSG, "the saved state is damaged: its checksum does not fit");
	if (h->version != version)
		return lib_fail(-EPROTO, "the saved state has version %u, this library knows %u: use a newer one", h->version, version);
	return 0;
}

/* A number of up to 8 bytes between its host form and the file's; more are bytes. Its own inverse. */
static void to_file_order(char *buf, __u32 size)
{
	__u32 i;
	char c;

	for (i = 0; __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ && size <= 8 && i < size / 2; i++) {
		c = buf[i];
		buf[i] = buf[size - 1 - i];
		buf[size - 1 - i] = c;
	}
}

static size_t room(const struct device *d)
{
	size_t i, size = sizeof(struct saved_filter);

	for (i = 0; i < d->regs->nr; i++)
		size += d->regs->rows[i].elements * (8 + saved_padded(d->regs->rows[i].size));
	return size;
}

static __u32 used(const struct reg_row *row, const void *state)
{
	__u32 n = row->used ? row->used(row, state) : row->elements;

	return n < row->elements ? n : row->elements;
}

struct make {
	char *data;
	size_t size;
	__u32 records;
};

static void make_records(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	struct make *m = arg;
	char *to = m->data;
	__u32 e, n;
	__u64 id;
	size_t i;

	m->records = 0;
	for (i = 0; i < d->regs->nr; i++) {
		const struct reg_row *row = &d->regs->rows[i];

		n = used(row, state);
		for (e = 0; e < n; e++) {
			id = htole64(reg_id(d, row, e));
			memcpy(to, &id, 8);
			memset(to + 8, 0, saved_padded(row->size));
			reg_read(row, state, e, to + 8, ctx);
			to_file_order(to + 8, row->size);
			to += 8 + saved_padded(row->size);
			m->records++;
		}
	}
	m->size = to - m->data;
}

int saved_make(const struct device *d, void *state, void **out, size_t *size)
{
	struct saved_filter f = { .saved_at = htole64(time(NULL)) };
	size_t max = room(d);
	char *data = malloc(max);
	struct make m = { .data = data + sizeof(f) };
	int err;

	if (!data)
		return lib_fail(-ENOMEM, "out of memory");
	/* Its pages are there before the lock is held. */
	memset(data, 0, max);
	err = reg_step(d, state, false, make_records, &m);
	if (err) {
		free(data);
		return err;
	}
	*size = sizeof(f) + m.size;
	memcpy(f.device, d->name, strlen(d->name));
	memcpy(data, &f, sizeof(f));
	saved_seal(data, &(struct saved_head){
		.magic = SAVED_MAGIC,
		.version = SAVED_VERSION,
		.count = m.records,
		.size = *size,
		.extra = d->version,
	});
	*out = data;
	return 0;
}

/* The next record at @at. Return: where the one after it begins, or NULL: it is cut off. */
static const char *next_record(const char *at, const char *end, __u64 *id, const char **value)
{
	size_t left = end - at;

	if (left < 8)
		return NULL;
	memcpy(id, at, 8);
	*id = le64toh(*id);
	*value = at + 8;
	return left - 8 < saved_padded(IOFILTER_REG_SIZE(*id)) ? NULL : at + 8 + saved_padded(IOFILTER_REG_SIZE(*id));
}

static int check_head(const struct device *d, const void *data, size_t size, struct saved_head *h)
{
	struct saved_filter f;
	int err;

	if (size > SAVED_MAX)
		return lib_fail(-EBADMSG, "a saved state of %zu bytes: that is none of a filter", size);
	err = saved_open(data, size, SAVED_MAGIC, SAVED_VERSION, " of a filter", h);
	if (!err && size < sizeof(f))
		err = lib_fail(-EBADMSG, "this is no saved state of a filter, or not all of it");
	if (err)
		return err;
	memcpy(&f, data, sizeof(f));
	if (strncmp(f.device, d->name, sizeof(f.device)))
		return lib_fail(-EINVAL, "this is the state of a filter for %.16s, not for %s", f.device, d->name);
	return 0;
}

/* A register's value in the state as it is in the file. */
static bool is_same(const struct reg_row *row, const void *state, __u32 element, const void *value)
{
	char now[512], saved[512];

	memcpy(saved, value, row->size);
	to_file_order(saved, row->size);
	reg_read(row, state, element, now, &(struct reg_ctx){ .now = lib_now() });
	return !memcmp(now, saved, row->same ?: row->size);
}

static int check_record(const struct device *d, const void *state, __u64 id, const char *value, unsigned int flags)
{
	const struct reg_row *row = reg_row(d, id);
	char name[IOFILTER_REG_NAME_LEN], number[8];

	if (!row)
		return flags & IOFILTER_RESTORE_SKIP_UNKNOWN ? 0 :
			lib_fail(-ENOENT, "%s has no register 0x%016llx here: the state is of a newer version (it can be left out: --skip-unknown)",
				 d->name, (unsigned long long)id);
	iofilter_reg_name(d->name, id, name, sizeof(name));
	if (row->flags & REG_C && !is_same(row, state, IOFILTER_REG_ELEMENT(id), value))
		return lib_fail(-EINVAL, "%s of %s was another one: the state is of a filter with another configuration", name, d->name);
	if (row->size <= 8) {
		memcpy(number, value, row->size);
		to_file_order(number, row->size);
		if (!reg_fits(row, number))
			return lib_fail(-EBADMSG, "%s of %s is out of range in the saved state", name, d->name);
	}
	return 0;
}

struct records {
	const struct device *d;
	const char *at, *end;
	const char *misfit;
};

static bool find_record(const void *from, __u16 nr, __u16 element, __u64 *val)
{
	const struct records *r = from;
	const char *at, *value;
	char number[8] = {};
	__u64 id;

	for (at = r->at; at != r->end && (at = next_record(at, r->end, &id, &value));) {
		/* One that is not known may have any size, and is left out. */
		if (IOFILTER_REG_NUMBER(id) != nr || IOFILTER_REG_ELEMENT(id) != element || !reg_row(r->d, id))
			continue;
		memcpy(number, value, IOFILTER_REG_SIZE(id));
		to_file_order(number, IOFILTER_REG_SIZE(id));
		memcpy(val, number, sizeof(number));
		return true;
	}
	return false;
}

static struct reg_values values_of(const struct records *r)
{
	return (struct reg_values){ .find = find_record, .from = r, .restoring = true };
}

static int refuse_misfit(const char *why)
{
	return lib_fail(-EBADMSG, "%s: not so in the saved state", why);
}

int saved_check(const struct device *d, void *state, const void *data, size_t size, unsigned int flags)
{
	const char *end = (const char *)data + size, *at = (const char *)data + sizeof(struct saved_filter), *value, *why;
	const struct records all = { .d = d, .at = at, .end = end };
	const struct reg_values values = values_of(&all);
	__u32 records, place, last = 0;
	struct saved_head h;
	__u64 id;
	int err;

	err = check_head(d, data, size, &h);
	for (records = 0; !err && at && at != end; records++) {
		at = next_record(at, end, &id, &value);
		if (!at)
			break;
		/* Number and element: a register comes once. */
		place = id;
		if (records && place <= last)
			return lib_fail(-EBADMSG, "the saved state has registers out of their order");
		last = place;
		err = check_record(d, state, id, value, flags);
	}
	if (!err && (!at || records != h.count))
		err = lib_fail(-EBADMSG, "the saved state has not the registers that it says");
	why = err ? NULL : reg_misfit(d, state, &values);
	return why ? refuse_misfit(why) : err;
}

static void apply_records(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	struct records *a = arg;
	const struct reg_values values = values_of(a);
	const struct reg_ctx here = { .now = ctx->now, .restoring = &values };
	const struct reg_row *row;
	const char *at, *value;
	char number[8];
	__u64 id;

	/* Somebody else may have changed what is not in it. */
	a->misfit = reg_misfit(d, state, &values);
	if (a->misfit)
		return;
	for (at = a->at; at != a->end && (at = next_record(at, a->end, &id, &value));) {
		row = reg_row(d, id);
		if (!row || row->flags & (REG_C | REG_N | IOFILTER_REG_HOST))
			continue;
		if (row->size <= 8) {
			memcpy(number, value, row->size);
			to_file_order(number, row->size);
			value = number;
		}
		reg_write(row, state, IOFILTER_REG_ELEMENT(id), value, &here);
	}
	d->regs->restored(state, &here);
}

int saved_apply(const struct device *d, void *state, const void *data, size_t size, unsigned int flags)
{
	struct records a = { .d = d, .at = (const char *)data + sizeof(struct saved_filter), .end = (const char *)data + size };
	int err = saved_check(d, state, data, size, flags);

	if (!err)
		err = reg_step(d, state, true, apply_records, &a);
	return !err && a.misfit ? refuse_misfit(a.misfit) : err;
}
