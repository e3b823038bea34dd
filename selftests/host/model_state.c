// SPDX-License-Identifier: GPL-2.0
/*
 * Save and restore of the device models: at a random point of a random program a model is saved and another one, full of
 * garbage before, is restored from it. From there on both go through the rest of the program: every answer, every edge of their
 * lines and every deadline must be the same.
 */
#include "models.h"

#define PROGRAMS 1000
#define STEPS	 120

static struct instance a, b;

static void fresh(const struct model *m, struct instance *i, int garbage)
{
	i->n = 0;
	memset(&i->pit, garbage, m->size);
	m->wire(i);
}

/* From @from on, the time goes on to @to, and the operation is done. */
static void go(const struct model *m, struct instance *i, uint64_t from, uint64_t to, const struct op *o)
{
	unsigned int n;

	now = from;
	/* A line that nobody serves may be due at every ns: not all of them. */
	for (n = 0; m->next && n < 50 && m->next(i) <= to; n++) {
		now = m->next(i) > now ? m->next(i) : now;
		note(i, now);
		m->due(i);
	}
	now = to;
	m->step(i, o);
	if (m->next)
		note(i, m->next(i));
}

static size_t save(const struct model *m, struct instance *i, uint8_t *to, size_t size)
{
	struct state s = { .data = to, .size = size };

	m->state(i, &s);
	assert_false(s.bad);
	return s.pos;
}

static void program(const struct model *m, unsigned long nr)
{
	static uint8_t bytes[16384], again[sizeof(bytes)];
	unsigned int at = rnd() % STEPS, n, i;
	uint64_t t = rnd() % 1000000000000, from;
	struct state s = { .data = bytes, .restoring = true };
	struct op o;

	fresh(m, &a, 0);
	for (i = 0; i < sizeof(a.disk); i++)
		a.disk[i] = rnd();
	now = t;
	m->on(&a);
	for (n = 0; n < STEPS; n++) {
		if (n == at) {
			s.size = save(m, &a, bytes, sizeof(bytes));
			fresh(m, &b, 0xa5);
			memcpy(b.disk, a.disk, sizeof(b.disk));
			m->state(&b, &s);
			assert_false(s.bad);
			assert_int_equal(s.pos, s.size);
			assert_int_equal(b.n, 0);
			a.n = 0;
		}
		o = (struct op){ .val = rnd() };
		m->op(&o);
		from = t;
		t += o.dt;
		if (n < at) {
			a.n = 0;
			go(m, &a, from, t, &o);
			continue;
		}
		a.n = b.n = 0;
		go(m, &a, from, t, &o);
		go(m, &b, from, t, &o);
		for (i = 0; i < a.n || i < b.n; i++)
			if (i >= a.n || i >= b.n || a.trace[i] != b.trace[i])
				fail_msg("%s: program %lu, saved before step %u: in step %u (%u, register 0x%x) 0x%" PRIx64 " and 0x%" PRIx64
					 " differ", m->name, nr, at, n, o.what, o.reg, i < a.n ? a.trace[i] : 0, i < b.n ? b.trace[i] : 0);
	}
	assert_memory_equal(a.disk, b.disk, sizeof(a.disk));
	s.size = save(m, &a, bytes, sizeof(bytes));
	assert_int_equal(save(m, &b, again, sizeof(again)), s.size);
	assert_memory_equal(bytes, again, s.size);
}

static void test_programs(void **state)
{
	unsigned long n, i;

	(void)state;
	seed();
	for (i = 0; i < ARRAY_SIZE(models); i++) {
		for (n = 0; n < PROGRAMS * scale(); n++)
			program(&models[i], n);
		printf("# %s: %lu programs\n", models[i].name, n);
	}
}

/* Too few bytes are no state, however many are missing; and neither is what would lead a model out of its buffers. */
static void test_refused(void **state)
{
	static uint8_t bytes[16384];
	struct state s = { .restoring = true };
	unsigned long i;
	size_t size, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(models); i++) {
		fresh(&models[i], &a, 0);
		models[i].on(&a);
		size = save(&models[i], &a, bytes, sizeof(bytes));
		for (n = 0; n <= size; n++) {
			s = (struct state){ .data = bytes, .size = n, .restoring = true };
			fresh(&models[i], &b, 0);
			models[i].state(&b, &s);
			assert_int_equal(s.bad, n < size);
		}
		s = (struct state){ .data = bytes, .size = size - 1 };
		models[i].state(&a, &s);
		assert_true(s.bad);
	}
	/* What each of these divides by, or counts to. */
	memset(bytes, 0xff, sizeof(bytes));
	for (i = 0; i < ARRAY_SIZE(models); i++) {
		if (models[i].wire != pit_wire && models[i].wire != rtc_wire && models[i].wire != serial_wire && models[i].wire != ide_wire)
			continue;
		s = (struct state){ .data = bytes, .size = sizeof(bytes), .restoring = true };
		models[i].state(&b, &s);
		assert_true(s.bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_programs), cmocka_unit_test(test_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
