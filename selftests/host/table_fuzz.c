// SPDX-License-Identifier: GPL-2.0
/*
 * Random tables, as rule files, and random accesses: the table engine against the reference interpreter of tableref.h. After each
 * access verdict and answer must be the same, and all of the state. What differs is made smaller and printed: the rules and a trace.
 */
#include "tablesim.h"

#define MAX_EVENTS 3000

static struct event random_event(void)
{
	struct event e = {
		.kind = ACCESS,
		.vcpu = gen_one_of(4) ? 0 : gen_one_of(REF_VCPUS),
		.width = 1 << (gen_one_of(20) ? gen_one_of(3) : 3),
		.write = rnd() & 1,
		.expected = gen_one_of(3),
		.group = rnd(),
		.offset = gen_one_of(12) ? rnd() & 0x7fff : rnd() | 0x8000,
		.value = gen_one_of(2) ? rnd() : rnd() & 3,
		.seed = rnd(),
	};

	switch (gen_one_of(60)) {
	case 0:
		e.kind = CONTENDED;
		break;
	case 1:
		e.spurious = true;
		e.unseen = rnd() & 1;
		break;
	case 2 ... 3:
		e.away = gen_one_of(4) ? gen_one_of(100000) : gen_one_of(200000);
		break;
	case 4 ... 8:
		e.string = e.expected = true;
		e.write = false;
		e.count = gen_one_of(10) ? 1U + gen_one_of(16) : 1U << gen_one_of(32);
		break;
	case 9 ... 12:
		e.kind = DONE;
		break;
	case 13:
		e.unseen = true;
		break;
	case 14:
		e.kind = gen_one_of(4) ? PREDICT : DONE_STALE;
		break;
	case 15:
		e.kind = PREDICT;
		break;
	case 16:
		e.kind = gen_one_of(2) ? LOST : DRAIN + gen_one_of(2);
		if (e.kind == DRAIN && gen_one_of(3))
			e.write = false;
		break;
	case 17:
		e.kind = gen_one_of(2) ? DONE_CONTENDED : LOST_CONTENDED;
		break;
	case 18:
		e.kind = VMM_SETS + gen_one_of(2);
		break;
	case 19 ... 24:
		e.kind = MORE;
		break;
	}
	return e;
}

/* Return: how many events until the first difference; -1: there is none. */
static int replay(struct gen *g, const struct event *events, int n, bool verbose, char *why)
{
	static struct ref r;
	static struct ref_derived d;
	struct sim s = { .g = g, .r = &r, .d = &d, .t = table, .verbose = verbose, .string_vcpu = -1, .settled = true };
	int i, k;

	gen_text(g, &d);
	r = g->ref;
	memset(table, 0, sizeof(*table));
	if (table_parse(file, "random", g->text, g->size, table)) {
		snprintf(why, 256, "refused: %s", iofilter_error());
		return n;
	}
	for (i = 0; i < n; i++) {
		one_event(&s, &events[i]);
		/* A string goes on at once, mostly. */
		for (k = 0; events[i].kind == ACCESS && events[i].string && k < (int)(events[i].seed % 40); k++)
			one_more(&s);
		if (*s.wrong) {
			say(&s, "-- %s\n", s.wrong);
			memcpy(why, s.wrong, sizeof(s.wrong));
			return i + 1;
		}
	}
	return -1;
}

/* Leave out events and rules as long as there is still a difference; then show what is left. */
static void show_smaller(struct gen *g, struct event *events, int n)
{
	static struct gen copy;
	char why[256] = "";
	int i, j, step;
	static struct event some[MAX_EVENTS];

	for (step = n / 2; step; step = step > 1 ? step / 2 : 0)
		for (i = 0; i + step <= n;) {
			memcpy(some, events, i * sizeof(*events));
			memcpy(some + i, events + i + step, (n - i - step) * sizeof(*events));
			j = replay(g, some, n - step, false, why);
			if (j < 0) {
				i += step;
				continue;
			}
			n = j;
			memcpy(events, some, n * sizeof(*events));
		}
	for (i = 0; i < g->ref.nr_rules;) {
		copy = *g;
		copy.text = NULL;
		copy.size = copy.room = 0;
		copy.off[i] = true;
		j = replay(&copy, events, n, false, why);
		free(copy.text);
		if (j < 0 || strstr(why, "refused")) {
			i++;
			continue;
		}
		n = j;
		g->off[i] = true;
		replay(g, events, 0, false, why);
	}
	replay(g, events, n, false, why);
	printf("rules:\n%.*s\ntrace:\n", (int)g->size, g->text);
	replay(g, events, n, true, why);
	printf("%s\n", why);
}

int main(void)
{
	unsigned long want = getenv("TORTURE") ? 100000000 : 10000000;
	static struct event events[MAX_EVENTS];
	static struct gen g;
	char why[256] = "";
	int i, n;

	seed();
	want *= scale();
	table = malloc(sizeof(*table));
	file = malloc(sizeof(*file));
	while (total.accesses < want) {
		gen_table(&g);
		n = 200 + gen_one_of(MAX_EVENTS - 200);
		for (i = 0; i < n; i++)
			events[i] = random_event();
		i = replay(&g, events, n, false, why);
		if (i >= 0) {
			printf("table %lu: %s\n", total.tables, why);
			if (!strncmp(why, "refused", 7))
				printf("%.*s\n", (int)g.size, g.text);
			else
				show_smaller(&g, events, i);
			return 1;
		}
		total.tables++;
	}
	printf("%lu accesses of %lu tables: %lu answered (%lu writes, %lu strings), %lu punted;"
	       " %lu busy, %lu met the lock held, %lu predictions\n",
	       total.accesses, total.tables, total.answered, total.written, total.strings, total.punted, total.busy, total.contended,
	       total.predicted);
	/* A test in which nothing happens shows nothing. */
	if (total.answered < total.accesses / 20 || total.strings < 1000 || total.written < total.accesses / 100) {
		printf("too little was answered\n");
		return 1;
	}
	return 0;
}
