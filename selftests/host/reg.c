// SPDX-License-Identifier: GPL-2.0
/*
 * Registers: the table itself, which must name every piece of every device's state; set and get; and which of them are told as changed. The
 * states are those that the programs begin with. The saved form has a test of its own (reg_saved.c).
 */
#include <iofilter/ide.h>
#include <iofilter/pit_access.h>
#include <iofilter/speaker.h>
#include "reg_members.h"
#include "reg_named.h"
#include "reg_state.h"

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
				/* That of a state that was saved may be shorter than the bracket. */
				if (ends(row->name, "clock.expiry"))
					memcpy(buf + size, &row->max, sizeof(row->max));
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

static void *fresh_of(const char *name, const struct device **d)
{
	size_t i;

	for (i = 0; strcmp(names[i], name); i++)
		;
	*d = devices[i].d;
	return fresh(i);
}

/* The programs' initial values are those of the tests on the host. */
static void test_initial(void **state)
{
	const struct device *d;
	struct iofilter_pit want = {}, *p;

	(void)state;
	pit_init(&want);
	p = fresh_of("pit", &d);
	assert_memory_equal(p->channels, want.channels, sizeof(want.channels));
	free(p);
}

static int set_one(const struct device *d, void *s, const char *name, __u64 val)
{
	return set_named(d, s, &(struct setting){ name, val }, 1);
}

/* Up to a buffer's end, which no row can say. */
static void test_buffer(void **state)
{
	const struct device *d;
	struct iofilter_table *t = fresh_of("table", &d);

	(void)state;
	assert_int_equal(set_one(d, t, "buffer[1].pos", 512), 0);
	assert_int_equal(set_one(d, t, "buffer[1].pos", 513), -ERANGE);
	assert_string_equal(iofilter_error(), "buffer[].pos of table is at most the buffer's len");
	assert_int_equal(t->buffers[1].pos, 512);
	free(t);
}

/* What would be made 0 at once. */
static void test_program(void **state)
{
	const struct device *d;
	struct iofilter_pit *p = fresh_of("pit", &d);

	(void)state;
	assert_int_equal(set_one(d, p, "channel[2].count", 1000), -ERANGE);
	assert_string_equal(iofilter_error(), "channel[].count of pit is 0 as long as the channel is not programmed");
	assert_int_equal(set_one(d, p, "channel[2].programmed", 1), -ERANGE);
	assert_string_equal(iofilter_error(), "channel[].programmed of pit is 0 as long as rw or write_state is");
	assert_int_equal(set_one(d, p, "channel[2].rw", 3), 0);
	assert_int_equal(set_one(d, p, "channel[2].write_state", 3), 0);
	assert_int_equal(set_one(d, p, "channel[2].count", 1000), -ERANGE);
	assert_int_equal(set_one(d, p, "channel[2].programmed", 1), 0);
	assert_int_equal(set_one(d, p, "channel[2].count", 1000), 0);
	assert_int_equal(p->channels[2].count, 1000);
	assert_int_equal(set_one(d, p, "channel[1].count", 1000), -ERANGE);
	free(p);
}

/* A lock whose owner was killed, and a string whose vCPU never comes back for the rest: each is taken from it, after a second. */
static void test_left_behind(void **state)
{
	const struct device *d;
	struct iofilter_table *t = fresh_of("table", &d);
	struct iofilter_ide *ide;

	(void)state;
	t->lock = 1;
	assert_int_equal(set_one(d, t, "buffer[1].pos", 5), 0);
	assert_int_equal(t->lock, 0);
	t->string.left = 3;
	assert_int_equal(set_one(d, t, "buffer[1].pos", 6), 0);
	assert_int_equal(t->string.left, 0);
	assert_int_equal(t->lock, 0);
	assert_int_equal(t->buffers[1].pos, 6);
	free(t);

	ide = fresh_of("ide", &d);
	ide->own.given = 1;
	ide->own.string.left = 3;
	ide->watch.lock = 1;
	assert_int_equal(set_one(d, ide, "own.error", 4), 0);
	assert_int_equal(ide->own.string.left, 0);
	assert_int_equal(ide->own.lock, 0);
	assert_int_equal(ide->watch.lock, 0);
	assert_int_equal(ide->watch.missed, 1);
	free(ide);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_all),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_initial),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_changed),
	};

	return load() || cmocka_run_group_tests(tests, NULL, NULL);
}
