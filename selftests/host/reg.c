// SPDX-License-Identifier: GPL-2.0
/*
 * Registers: the table itself, which must name every piece of every device's state; get and set; the saved form of it, and what of it is
 * refused. The states are those that the programs begin with.
 *
 * reg --write DIR: states as this version saves them, for devices that have none there yet. Those in selftests/host/saved must be restorable
 * for ever, and are never written anew: a register that comes later is not in them.
 */
#include <errno.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <zlib.h>
#include <iofilter/ide.h>
#include <iofilter/map.h>
#include <iofilter/pit.h>
#include <iofilter/speaker.h>
#include <iofilter/table.h>
#include <loader/lib/reg.h>
#include "host.h"

static const char *const names[] = { "pmtimer", "hpet", "pit", "speaker", "rtc", "ide", "table", "map" };

#define NR_DEVICES ARRAY_SIZE(names)

static struct {
	const struct device *d;
	struct bpf_object *bpf;
	void *initial;
	size_t size;
} devices[NR_DEVICES];

/* What is no register, and why. A * stands for any end. */
static const struct {
	const char *name, *why;
} exempt[] = {
	{ "head.magic", "the same in all" },
	{ "head.version", "in the saved form's head" },
	{ "head.size", "follows from the version" },
	{ "head.device", "in the id" },
	{ "head.pad", "" },
	{ "*.pad*", "" },
	{ "pad*", "" },
	{ "*.reserved", "" },
	{ "*lock", "of this very moment" },
	{ "*clock.writer", "a lock" },
	{ "*clock.mode", "a register that stands at the clock's place; of the PIT it is in attention" },
	{ "*clock.fuse", "likewise" },
	{ "*clock.stopped", "is clock.time" },
	{ "*clock.second", "follows from the time" },
	{ "*clock.mask", "follows from the width" },
	{ "*clock.audit_at", "a ticket of this moment" },
	{ "*clock.have", "the newest sample, beside need" },
	{ "*clock.since", "for status" },
	{ "*clock.sign_at", "when this host saw a pause" },
	{ "*clock.last_sample_at", "for status" },
	{ "*clock.odd", "of the last answers" },
	{ "*clock.unsigned_move*", "of the last seconds" },
	{ "*clock.fuse_window_at", "of the last seconds" },
	{ "*clock.flips", "of the last seconds" },
	{ "*clock.direction", "of the last seconds" },
	{ "*clock.vanish_*", "of the last seconds" },
	{ "vcpus.*", "this run's vCPUs: what they have at the VMM, and when they were seen" },
	{ "channels.vcpus.*", "likewise" },
	{ "open_*", "what the vCPUs of this run have at the VMM" },
	{ "opened_at", "likewise" },
	{ "missed*", "likewise" },
	{ "confused", "likewise" },
	{ "moved", "of this sample" },
	{ "calm", "follows from the others" },
	{ "quick_system", "likewise" },
	{ "channels.quick", "likewise" },
	{ "channels.base", "likewise" },
	{ "channels.period_ns", "likewise" },
	{ "channels.count_ns", "likewise" },
	{ "channels.load_vcpu", "of this run" },
	{ "channels.latch_vcpu", "of this run" },
	{ "channels.poll_at", "of this moment" },
	{ "channels.renewed_*", "of this run" },
	{ "steady_*", "follows from KVM's channel" },
	{ "write_vcpu", "what is at the VMM" },
	{ "write_load", "likewise" },
	{ "write_data", "likewise" },
	{ "shown*", "an answer of this moment" },
	{ "regs_at", "with the value: not known any more" },
	{ "cells.word", "cmos[]" },
	{ "time.seq", "a lock" },
	{ "watch.missed", "of this moment" },
	{ "watch.blind", "of this run" },
	{ "watch.armed", "of this command" },
	{ "watch.told", "of this command" },
	{ "watch.wait", "of this run" },
	{ "watch.open", "of this run" },
	{ "watch.retry_at", "of this run" },
	{ "watch.reset_at", "of this run" },
	{ "watch.hob*", "of this run" },
	{ "watch.lowered", "of this run" },
	{ "watch.multiple_new", "of this command" },
	{ "watch.counted", "of this run" },
	{ "watch.credit", "of this moment" },
	{ "watch.line_*", "of this run" },
	{ "watch.last_sample_at", "for status" },
	{ "own.string.*", "a read of this moment: nothing is saved in it" },
	{ "own.c.pos", "own.pos" },
	{ "own.c.end", "own.end" },
	{ "derived_b*", "follow from the rules" },
	{ "read_bits", "follow from the rules" },
	{ "touched", "of this access" },
	{ "*changed", "told to the VMM" },
	{ "told*", "likewise" },
	{ "dirty_slots", "follow from the slots" },
	{ "begun_buffers", "follow from the buffers" },
	{ "pending.vcpu", "of this run" },
	{ "pending.rule", "of this run" },
	{ "string.*", "a read of this moment" },
	{ "ports.*", "follow from the rules" },
	{ "chain", "follow from the rules" },
	{ "text.*", "for people" },
	{ "watchers.*", "this run's waiters for the alarm" },
	{ "writer", "a lock" },
	{ "gate", "of a change of this moment" },
	{ "sets.at", "the value is that of this moment" },
	{ "sets.mask", "follows from the width" },
};

static int exempted[ARRAY_SIZE(exempt)];

static int matches(const char *pattern, const char *name)
{
	for (; *pattern && *pattern != '*'; pattern++, name++)
		if (*pattern != *name)
			return 0;
	if (!*pattern)
		return !*name;
	for (;; name++) {
		if (matches(pattern + 1, name))
			return 1;
		if (!*name)
			return 0;
	}
}

/* Do rows that are read as they stand, or are computed from it, have the bytes at @off? */
static int covered(const struct device *d, __u32 off)
{
	size_t i;

	for (i = 0; i < d->regs->nr; i++) {
		const struct reg_row *row = &d->regs->rows[i];
		__u32 from = off - row->off, element = row->stride ? from / row->stride : 0;

		if (off < row->off || element >= row->elements)
			continue;
		if (from - element * row->stride < (row->get ? 8 : row->size))
			return 1;
	}
	return 0;
}

struct walk {
	const struct device *d;
	const struct btf *btf;
	int leaves, registers;
	char missing[4096];
};

static void leaf(struct walk *w, const char *name, __u32 off)
{
	size_t i;

	w->leaves++;
	if (covered(w->d, off)) {
		w->registers++;
		return;
	}
	for (i = 0; i < ARRAY_SIZE(exempt); i++)
		if (matches(exempt[i].name, name)) {
			exempted[i]++;
			return;
		}
	snprintf(w->missing + strlen(w->missing), sizeof(w->missing) - strlen(w->missing), " %s", name);
}

/* Every member of the state, of arrays the first element. */
static void walk(struct walk *w, __u32 id, const char *path, __u32 off)
{
	const struct btf_type *t = btf__type_by_id(w->btf, btf__resolve_type(w->btf, id));
	const struct btf_member *m;
	char name[256];
	int i;

	if (btf_is_array(t)) {
		walk(w, btf_array(t)->type, path, off);
		return;
	}
	if (!btf_is_composite(t)) {
		leaf(w, path, off);
		return;
	}
	m = btf_members(t);
	for (i = 0; i < btf_vlen(t); i++) {
		const char *member = btf__name_by_offset(w->btf, m[i].name_off);

		/* The counter's head and addresses are the HPET's, too. */
		snprintf(name, sizeof(name), "%s%s%s", path, *path && *member ? "." : "", member);
		walk(w, m[i].type, strncmp(name, "counter.", 8) ? name : name + 8, off + btf_member_bit_offset(t, i) / 8);
	}
}

static void test_names_all(void **state)
{
	int missing = 0;
	size_t i;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		struct walk w = { .d = devices[i].d, .btf = bpf_object__btf(devices[i].bpf) };
		const struct btf_type *sec;
		int id = btf__find_by_name_kind(w.btf, IOFILTER_STATE_MAP, BTF_KIND_DATASEC);

		assert_true(id > 0);
		sec = btf__type_by_id(w.btf, id);
		walk(&w, btf__type_by_id(w.btf, btf_var_secinfos(sec)->type)->type, "", 0);
		printf("# %s: %zu rows, %d members of the state, %d of them registers\n", names[i], w.d->regs->nr, w.leaves, w.registers);
		if (*w.missing)
			print_error("%s: neither registers nor said why not:%s\n", names[i], w.missing);
		missing += !!*w.missing;
		assert_true(w.registers > 10);
	}
	assert_int_equal(missing, 0);
	for (i = 0; i < ARRAY_SIZE(exempt); i++)
		if (!exempted[i])
			fail_msg("nothing is called %s any more", exempt[i].name);
}

static void test_rows(void **state)
{
	char name[IOFILTER_REG_NAME_LEN];
	size_t i, j, k;
	__u64 id, back;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		const struct device *d = devices[i].d;

		for (j = 0; j < d->regs->nr; j++) {
			const struct reg_row *r = &d->regs->rows[j];
			__u32 part = r->flags & (REG_G | REG_S | REG_C | REG_N);

			assert_true(!j || r->nr > r[-1].nr);
			assert_true(r->elements && r->elements <= 65536 && r->size && r->size <= 512 && *r->meaning);
			assert_true(r->elements == 1 ? !strstr(r->name, "[]") || !r->stride || r->stride : !!strstr(r->name, "[]"));
			assert_true(r->off + (r->elements - 1ULL) * r->stride + (r->get ? 1 : r->size) <= d->state_size);
			assert_true(part && !(part & (part - 1)));
			/* What can be set is the device's state (and restored, if it holds beyond this run), and what is computed can be put back. */
			assert_true(!(r->flags & REG_W) || r->flags & (REG_G | REG_S));
			assert_true(!r->get || r->set || r->flags & IOFILTER_REG_HOST);
			for (k = 0; k < j; k++)
				assert_string_not_equal(r->name, d->regs->rows[k].name);
			id = reg_id(d, r, r->elements - 1);
			assert_ptr_equal(reg_row(d, id), r);
			assert_int_equal(iofilter_reg_name(names[i], id, name, sizeof(name)), 0);
			assert_int_equal(iofilter_reg_id(names[i], name, &back), 0);
			assert_true(back == id);
			assert_null(reg_row(d, id + 1));
			assert_null(reg_row(d, id + (1ULL << 32)));
			assert_null(reg_row(d, id + (1ULL << 48)));
			assert_null(reg_row(d, id + (1ULL << 56)));
		}
	}
}

static __u64 mix(__u64 z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static int ends(const char *s, const char *end)
{
	return strlen(s) >= strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

/* A value for each element of each register that depends on nothing else, and that goes together with the others'. */
static __u64 value_of(const struct reg_row *row, __u32 e)
{
	static const struct {
		const char *name;
		__u64 val, per_element;
	} fixed[] = {
		{ "clock.mode", IOFILTER_CLOCK_STOPPED, 0 }, { "channel[].programmed", 1, 0 }, { "channel[].rw", 1, 1 },
		{ "channel[].write_state", 1, 1 }, { "channel[].count", 1000, 7 }, { "own.given", 1, 0 }, { "own.pos", 514, 0 },
		{ "own.begin", 512, 0 }, { "own.end", 1024, 0 }, { "own.there", 2560, 0 }, { "own.last", 4096, 0 },
		{ "buffer[].len", 70, 0 }, { "buffer[].pos", 30, 1 }, { "predict.armed", 1, 0 }, { "predict.nr", 3, 0 },
		{ "predict.next", 1, 0 }, { "predict.pos", 2, 0 }, { "expect[].off", 1024, 16 },
		{ "set.width", 32, 0 }, { "set.num", 3, 0 }, { "set.den", 7, 0 }, { "set.frac", 2, 0 }, { "set.reload", 0xf000000, 0 },
		{ "set.value", 0xabcdef, 0 }, { "set.compare", 0x123456, 0 }, { "set.running", 0, 0 }, { "set.alarm", 1, 0 },
		{ "expect[].bytes", 16, 0 }, { "expect[].width", 2, 0 }, { "channel[].clock.time", 1000000, 1000 },
	};
	__u64 val = mix((__u64)row->nr << 32 | e), max = row->max;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fixed); i++)
		if (!strcmp(row->name, fixed[i].name))
			return fixed[i].val + e * fixed[i].per_element;
	if (ends(row->name, "expiry") || ends(row->name, "absence") || ends(row->name, "bracket"))
		return 900000000 + val % 1000;
	if (max)
		val = row->min + val % (max - row->min + 1 ?: 1);
	return row->size < 8 ? val & ((1ULL << 8 * row->size) - 1) : val;
}

static void bytes_of(const struct reg_row *row, __u32 e, char *to)
{
	__u64 val = value_of(row, e);
	__u32 i;

	for (i = 0; row->size > 8 && i < row->size; i++)
		to[i] = mix((__u64)row->nr << 32 | e << 10 | i);
	if (row->size <= 8)
		memcpy(to, &val, row->size);
}

/* A state as a program begins with, with what a loader writes into it. */
static void *fresh(size_t i)
{
	void *s = malloc(devices[i].size);

	memcpy(s, devices[i].initial, devices[i].size);
	if (!strcmp(names[i], "table")) {
		struct iofilter_table *t = s;

		t->nr_slots = 5;
		t->nr_buffers = 2;
		t->buffers[0].len = t->buffers[1].len = t->buffers[1].off = 512;
	}
	if (!strcmp(names[i], "map")) {
		struct iofilter_map *m = s;

		m->len = 8;
		m->kind = IOFILTER_MAP_COUNTER;
	}
	return s;
}

static int restorable(const struct reg_row *row)
{
	return row->flags & (REG_G | REG_S) && !(row->flags & IOFILTER_REG_HOST);
}

static __u32 used(const struct reg_row *row, const void *state)
{
	return row->used ? row->used(row, state) : row->elements;
}

static void fill_one(const struct device *d, void *state, const struct reg_ctx *ctx, void *arg)
{
	size_t i;
	__u32 e;
	char buf[512];

	(void)arg;
	for (i = 0; i < d->regs->nr; i++) {
		const struct reg_row *row = &d->regs->rows[i];

		for (e = 0; restorable(row) && e < used(row, state); e++) {
			bytes_of(row, e, buf);
			reg_write(row, state, e, buf, ctx);
		}
	}
}

static void *filled(size_t i)
{
	void *s = fresh(i);

	assert_int_equal(reg_step(devices[i].d, s, true, fill_one, NULL), 0);
	return s;
}

/* The head of the saved form, as docs/state.md has it. */
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_RECORDS = 12, AT_SIZE = 16, AT_CRC = 24, AT_DEVICE = 32, AT_FIRST = 56 };

struct file {
	const char *data;
	size_t size;
};

static bool has(const struct file *f, __u64 wanted)
{
	__u64 id;

	for (size_t at = AT_FIRST; at < f->size; at += 8 + (IOFILTER_REG_SIZE(id) + 7) / 8 * 8) {
		memcpy(&id, f->data + at, 8);
		if (id == wanted)
			return true;
	}
	return false;
}

/* Is every register that is restored (of @f, if not NULL) what value_of() says? Return: how many, with the elements. */
static int check_values(size_t i, void *state, const struct file *f)
{
	const struct device *d = devices[i].d;
	char want[512], got[512];
	__u64 id, time;
	size_t j;
	int n = 0;
	__u32 e;

	for (j = 0; j < d->regs->nr; j++) {
		const struct reg_row *row = &d->regs->rows[j];

		for (e = 0; restorable(row) && e < used(row, state); e++) {
			id = reg_id(d, row, e);
			/* A register that the one who saved did not know yet. */
			if (f && !has(f, id))
				continue;
			n++;
			assert_int_equal(reg_get_many(d, state, &id, 1, got, row->size), 0);
			bytes_of(row, e, want);
			if (!strcmp(row->name, "channel[].clock.time")) {
				/* It goes on. */
				memcpy(&time, got, 8);
				assert_in_range(time - value_of(row, e), 0, 20000000000ULL);
				continue;
			}
			if (memcmp(want, got, row->size))
				print_error("%s: %s, element %u\n", names[i], row->name, e);
			assert_memory_equal(want, got, row->size);
		}
	}
	return n;
}

static void test_restore(void **state)
{
	size_t i, size;
	void *data;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		void *from = filled(i), *to = fresh(i);

		check_values(i, from, NULL);
		assert_int_equal(saved_make(devices[i].d, from, &data, &size), 0);
		assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), 0);
		printf("# %s: %zu bytes, %d values restored\n", names[i], size, check_values(i, to, NULL));
		free(from);
		free(to);
		free(data);
	}
}

/* All that can be set, in one call, and got in another. Then each of the others is refused, and each value beyond its range. */
static void test_set(void **state)
{
	static __u64 ids[65536];
	static char buf[1 << 20], got[1 << 20];
	size_t i, j, size, n, refused = 0, sum = 0;
	__u64 over;
	__u32 e;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		const struct device *d = devices[i].d;
		void *s = fresh(i), *before;

		for (j = n = size = 0; j < d->regs->nr; j++) {
			const struct reg_row *row = &d->regs->rows[j];

			for (e = 0; row->flags & REG_W && e < row->elements; e++) {
				ids[n++] = reg_id(d, row, e);
				bytes_of(row, e, buf + size);
				size += row->size;
			}
		}
		/* A pair's place in its buffer is at most the buffer's length, which is configuration here. */
		assert_int_equal(reg_set_many(d, s, ids, n, buf, size), 0);
		assert_int_equal(reg_get_many(d, s, ids, n, got, size), 0);
		for (j = size = 0; j < n; j++) {
			const struct reg_row *row = reg_row(d, ids[j]);

			if (memcmp(buf + size, got + size, row->size) && strncmp(row->name, "buffer", 6))
				fail_msg("%s: %s, element %u", names[i], row->name, IOFILTER_REG_ELEMENT(ids[j]));
			size += row->size;
		}
		sum += n;
		before = malloc(devices[i].size);
		memcpy(before, s, devices[i].size);
		for (j = 0; j < d->regs->nr; j++) {
			const struct reg_row *row = &d->regs->rows[j];
			int err = row->flags & REG_W ? -ERANGE : -EPERM;

			/* Behind one that can be set: neither is. */
			ids[1] = reg_id(d, row, 0);
			memset(buf, 0, sizeof(buf));
			bytes_of(reg_row(d, ids[0]), 0, buf);
			over = err == -ERANGE ? row->max + 1 : 0;
			memcpy(buf + IOFILTER_REG_SIZE(ids[0]), &over, row->size < 8 ? row->size : 8);
			if (err == -EPERM || (row->max && row->max < (row->size == 8 ? ~0ULL : (1ULL << 8 * row->size) - 1))) {
				assert_int_equal(reg_set_many(d, s, ids, 2, buf, IOFILTER_REG_SIZE(ids[0]) + row->size), err);
				refused++;
			}
			if (err == -ERANGE && row->min) {
				memset(buf + IOFILTER_REG_SIZE(ids[0]), 0, row->size);
				assert_int_equal(reg_set_many(d, s, ids, 2, buf, IOFILTER_REG_SIZE(ids[0]) + row->size), err);
				refused++;
			}
		}
		assert_int_equal(reg_set_many(d, s, ids, 1, buf, IOFILTER_REG_SIZE(ids[0]) - 1), -EINVAL);
		assert_int_equal(reg_set_many(d, s, &(__u64){ ids[0] | 0xffff }, 1, buf, IOFILTER_REG_SIZE(ids[0])), -ENOENT);
		assert_memory_equal(before, s, devices[i].size);
		free(before);
		free(s);
	}
	printf("# %zu values set and got; %zu refused\n", sum, refused);
}

/* --- what is refused --- */

static void sign(unsigned char *data, size_t size)
{
	__u32 crc;

	memset(data + AT_CRC, 0, 4);
	crc = crc32(0, data, size);
	memcpy(data + AT_CRC, &crc, 4);
}

static void refused(size_t i, const void *data, size_t size, int err, const char *what)
{
	static void *s, *before;
	static size_t of = NR_DEVICES;
	int got;

	if (of != i) {
		free(s);
		free(before);
		s = filled(i);
		before = malloc(devices[i].size);
		memcpy(before, s, devices[i].size);
		of = i;
	}
	got = saved_apply(devices[i].d, s, data, size, 0);
	if (got != err)
		fail_msg("%s: %s: %d instead of %d", names[i], what, got, err);
	assert_memory_equal(s, before, devices[i].size);
}

static void test_damaged(void **state)
{
	size_t i, j, size, n = 0;
	unsigned char *data, *copy;
	char what[64];
	void *s;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		s = filled(i);
		assert_int_equal(saved_make(devices[i].d, s, (void **)&data, &size), 0);
		copy = malloc(size + 1);
		memcpy(copy, data, size);
		copy[size] = 0;
		for (j = 0; j < size; j++, n += 2) {
			snprintf(what, sizeof(what), "%zu of %zu bytes", j, size);
			refused(i, copy, j, -EBADMSG, what);
			copy[j] ^= 1 << j % 8;
			snprintf(what, sizeof(what), "byte %zu of %zu altered", j, size);
			refused(i, copy, size, -EBADMSG, what);
			copy[j] = data[j];
		}
		refused(i, copy, size + 1, -EBADMSG, "a byte too many");
		free(copy);
		free(data);
		free(s);
	}
	printf("# %zu refused\n", n);
}

static void test_foreign(void **state)
{
	unsigned char *data, *other;
	size_t i, size, n;
	__u64 id, val;
	void *s, *to;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		s = filled(i);
		assert_int_equal(saved_make(devices[i].d, s, (void **)&data, &size), 0);
		other = malloc(size + 64);
#define ALTER(what, err, change)                                  \
	do {                                                      \
		memcpy(other, data, size);                        \
		n = size;                                         \
		change;                                           \
		memcpy(other + AT_SIZE, &(__u64){ n }, 8);        \
		sign(other, n);                                   \
		refused(i, other, n, err, what);                  \
	} while (0)
		ALTER("another version", -EPROTO, other[AT_VERSION]++);
		ALTER("another device", -EINVAL, strcpy((char *)other + AT_DEVICE, names[(i + 1) % NR_DEVICES]));
		ALTER("another magic", -EBADMSG, other[AT_MAGIC]++);
		ALTER("a record too many", -EBADMSG, other[AT_RECORDS]--);
		ALTER("a record too few", -EBADMSG, other[AT_RECORDS]++);
		ALTER("a record twice", -EBADMSG, (memcpy(other + size, other + AT_FIRST, 16), n += 16, other[AT_RECORDS]++));
		memcpy(&id, data + AT_FIRST, 8);
		ALTER("an unknown register", -ENOENT, memcpy(other + AT_FIRST, &(__u64){ id & ~0xffff0000ULL }, 8));
		/* .. which can be left out. */
		to = fresh(i);
		assert_int_equal(saved_apply(devices[i].d, to, other, n, IOFILTER_RESTORE_SKIP_UNKNOWN), 0);
		check_values(i, to, NULL);
		free(to);
		/* Cut off within a record. */
		ALTER("half a record", -EBADMSG, n -= 8);
		/* Too large: the size is not this one's. */
		memcpy(other, data, size);
		val = 1ULL << 40;
		memcpy(other + AT_SIZE, &val, 8);
		sign(other, size);
		refused(i, other, size, -EBADMSG, "a size that is not its own");
		/* Another configuration: other is the state of this. */
		to = fresh(i);
		if (!strcmp(names[i], "table"))
			((struct iofilter_table *)to)->nr_slots++;
		else if (!strcmp(names[i], "pit"))
			((struct iofilter_pit *)to)->channels[1].clock.freq--;
		else if (!strcmp(names[i], "ide"))
			((struct iofilter_ide *)to)->base = 0x170;
		else if (!strcmp(names[i], "map"))
			((struct iofilter_map *)to)->kind = IOFILTER_MAP_CONST;
		else if (!strcmp(names[i], "pmtimer") || !strcmp(names[i], "hpet"))
			((struct iofilter_counter *)to)->addr += 8;
		if (strcmp(names[i], "speaker") && strcmp(names[i], "rtc"))
			assert_int_equal(saved_apply(devices[i].d, to, data, size, 0), -EINVAL);
		free(to);
		free(other);
		free(data);
		free(s);
	}
}

/* The registers whose changes are told: each bit is told as its register, once, and no other with it. The first time, all of them. */
static void test_changed(void **state)
{
#define TABLE_BIT(word, bit, name) { "table", offsetof(struct iofilter_table, changed[word]), bit, name }
#define PIT_BIT(bit, name)	   { "pit", offsetof(struct iofilter_pit, changed), bit, name }
#define IDE_BIT_OF(bit, name)	   { "ide", offsetof(struct iofilter_ide, own.changed), bit, name }
	static const struct {
		const char *device;
		size_t at;
		int bit;
		const char *name;
	} hot[] = {
		TABLE_BIT(TABLE_HOT_VALUES, 0, "slot[0].value"),
		TABLE_BIT(TABLE_HOT_VALUES, 63, "slot[63].value"),
		TABLE_BIT(TABLE_HOT_KNOWN, 5, "slot[5].known"),
		TABLE_BIT(TABLE_HOT_DIRTY, 62, "slot[62].dirty"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_BITS, "bits"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_BITS_KNOWN, "bits_known"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_ARMED, "predict.armed"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_NEXT, "predict.next"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_POS, "predict.pos"),
		TABLE_BIT(TABLE_HOT_OTHERS, TABLE_HOT_BUFFERS + 1, "buffer[1].pos"),
		PIT_BIT(PIT_HOT_PAIR, "channel[0].pair"),
		PIT_BIT(PIT_HOT_LATCHED + 1, "channel[1].latched"),
		PIT_BIT(PIT_HOT_LATCH + 2, "channel[2].latch"),
		PIT_BIT(PIT_HOT_STATUS_LATCHED, "channel[0].status_latched"),
		PIT_BIT(PIT_HOT_STATUS + 2, "channel[2].status"),
		PIT_BIT(PIT_HOT_ODD, "port61.odd"),
		{ "speaker", offsetof(struct iofilter_speaker, changed), 0, "odd" },
		IDE_BIT_OF(IDE_HOT_POS, "own.pos"),
		IDE_BIT_OF(IDE_HOT_INTRQ, "own.intrq"),
		IDE_BIT_OF(IDE_HOT_COUNT, "own.drive[0].count"),
		IDE_BIT_OF(IDE_HOT_HOB_LBA_HIGH + 1, "own.drive[1].hob_lba_high"),
	};
	char name[IOFILTER_REG_NAME_LEN];
	__u64 ids[IOFILTER_REG_CHANGED_MAX];
	struct iofilter_reg *regs;
	size_t i, k, n, tried = 0;
	int r;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		const struct device *d = devices[i].d;
		char *s = fresh(i);

		for (n = k = 0, r = iofilter_regs(names[i], &regs); (int)k < r; k++)
			n += regs[k].flags & IOFILTER_REG_HOT ? regs[k].elements : 0;
		free(regs);
		if (!n) {
			assert_int_equal(reg_changed(d, s, ids), -EOPNOTSUPP);
			free(s);
			continue;
		}
		if (d->regs->followed)
			assert_int_equal(reg_changed(d, s, ids), n);
		assert_int_equal(reg_changed(d, s, ids), 0);
		for (n = k = 0; k < ARRAY_SIZE(hot); k++) {
			if (strcmp(names[i], hot[k].device))
				continue;
			*(__u64 *)(s + hot[k].at) = 1ULL << hot[k].bit;
			assert_int_equal(reg_changed(d, s, ids), 1);
			iofilter_reg_name(names[i], ids[0], name, sizeof(name));
			assert_string_equal(name, hot[k].name);
			assert_int_equal(reg_changed(d, s, ids), 0);
			n++;
		}
		for (k = 0; k < ARRAY_SIZE(hot); k++)
			if (!strcmp(names[i], hot[k].device))
				*(__u64 *)(s + hot[k].at) |= 1ULL << hot[k].bit;
		assert_int_equal(reg_changed(d, s, ids), n);
		tried += n;
		free(s);
	}
	assert_int_equal(tried, ARRAY_SIZE(hot));
}

/* --- files of older versions --- */

static void *read_file(const char *name, size_t *size)
{
	FILE *f = fopen(name, "rb");
	void *data;

	if (!f)
		fail_msg("%s: %s", name, strerror(errno));
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	data = malloc(*size);
	assert_int_equal(fread(data, 1, *size, f), *size);
	fclose(f);
	return data;
}

static void test_old(void **state)
{
	const char *root = getenv("ROOT") ?: ".";
	char name[512];
	size_t i, size;
	void *data, *s;

	(void)state;
	for (i = 0; i < NR_DEVICES; i++) {
		snprintf(name, sizeof(name), "%s/selftests/host/saved/%s-1.state", root, names[i]);
		data = read_file(name, &size);
		s = fresh(i);
		assert_int_equal(saved_apply(devices[i].d, s, data, size, 0), 0);
		assert_true(check_values(i, s, &(struct file){ data, size }) > 0);
		free(data);
		free(s);
	}
}

static int write_states(const char *dir)
{
	char name[512];
	size_t i, size;
	void *data;
	FILE *f;

	for (i = 0; i < NR_DEVICES; i++) {
		snprintf(name, sizeof(name), "%s/%s-1.state", dir, names[i]);
		f = fopen(name, "wbx");
		if (!f && errno == EEXIST)
			continue;
		if (!f || saved_make(devices[i].d, filled(i), &data, &size) || fwrite(data, 1, size, f) != size || fclose(f))
			return 1;
	}
	return 0;
}

static int load(void)
{
	const char *o = getenv("O") ?: "build";
	struct bpf_map *map;
	const void *initial;
	char name[512];
	size_t i;

	for (i = 0; i < NR_DEVICES; i++) {
		snprintf(name, sizeof(name), "%s/bpf/%s.bpf.o", o, names[i]);
		devices[i].d = device_find(names[i]);
		devices[i].bpf = bpf_object__open_file(name, NULL);
		if (!devices[i].bpf || !devices[i].d)
			return 1;
		map = bpf_object__find_map_by_name(devices[i].bpf, IOFILTER_STATE_MAP);
		initial = map ? bpf_map__initial_value(map, &devices[i].size) : NULL;
		if (!initial || devices[i].size < devices[i].d->state_size)
			return 1;
		devices[i].initial = malloc(devices[i].size);
		memcpy(devices[i].initial, initial, devices[i].size);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_all), cmocka_unit_test(test_rows), cmocka_unit_test(test_restore), cmocka_unit_test(test_set),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_foreign), cmocka_unit_test(test_old), cmocka_unit_test(test_changed),
	};

	if (load()) {
		fprintf(stderr, "reg: no programs below $O (build)\n");
		return 1;
	}
	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_states(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
