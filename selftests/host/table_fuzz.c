// SPDX-License-Identifier: GPL-2.0
/*
 * Random tables, as rule files, and random accesses: the table engine against the reference interpreter of tableref.h. After each
 * access verdict and answer must be the same, and all of the state. What differs is made smaller and printed: the rules and a trace.
 *
 * At random accesses the VM is saved, and goes on with a table that was just attached and has restored what was saved: nothing that
 * comes later may differ.
 */
#include "tablehot.h"

#define MAX_EVENTS 3000
#define SAVE (VMM_FILLS + 1)

/* As it is attached; that of this moment, and the one before. */
static struct iofilter_table *initial, *tables[2];

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
		e.away = gen_one_of(4) ? 0 : gen_one_of(200000);
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
		e.kind = VMM_SETS + gen_one_of(3);
		break;
	case 19 ... 24:
		e.kind = MORE;
		break;
	}
	if (!gen_one_of(300))
		e.kind = SAVE;
	return e;
}

/*
 * The VM is saved, with its vCPUs out of the kernel: their writes are done, and a string has ended where it was. The filter of another
 * process takes over, which has not been told to drain.
 */
static void save(struct sim *s, const struct event *e)
{
	struct iofilter_table *fresh = tables[s->t == tables[0]];
	int i;

	for (i = 0; i < REF_VCPUS; i++)
		write_done(s, i, false);
	/* What it has changed stays unknown if the module never told that it was done. */
	s->r->at_vmm.there = false;
	ref_string_over(s->r, s->r->string.vcpu);
	ref_expect_over(s->r);
	s->string_vcpu = -1;
	memcpy(fresh, initial, sizeof(*fresh));
	if (e->write)
		iofilter_table_own(fresh, s->r->owned);
	registers_move("table", s->t, fresh, 0);
	iofilter_table_own(fresh, s->r->owned);
	s->r->drain = false;
	s->t = fresh;
	/* The first that the module tells a filter that was just attached. */
	if (e->seed & 1) {
		deliver(s, KVM_IOFILTER_SAMPLE_LOST, 0, 0, 0);
		ref_answer_lost(s->r, s->d);
	}
	say(s, "the VM is saved, and goes on as another\n");
	s->settled = true;
	check_in_rest(s);
	hot_begin(s);
}

/* Return: how many events until the first difference; -1: there is none. */
static int replay(struct gen *g, const struct event *events, int n, bool verbose, char *why)
{
	static struct ref r;
	static struct ref_derived d;
	struct sim s = { .g = g, .r = &r, .d = &d, .t = tables[0], .verbose = verbose, .string_vcpu = -1, .settled = true };
	unsigned long answered = 0;
	bool saved = false;
	int i, k;

	gen_text(g, &d);
	r = g->ref;
	memset(initial, 0, sizeof(*initial));
	if (table_parse(file, "random", g->text, g->size, initial)) {
		snprintf(why, 256, "refused: %s", iofilter_error());
		return n;
	}
	memcpy(s.t, initial, sizeof(*initial));
	hot_begin(&s);
	for (i = 0; i < n; i++) {
		if (events[i].kind == SAVE) {
			save(&s, &events[i]);
			answered = saved ? answered : total.answered;
			saved = true;
		} else {
			one_event(&s, &events[i]);
		}
		/* A string goes on at once, mostly. */
		for (k = 0; events[i].kind == ACCESS && events[i].string && k < (int)(events[i].seed % 40); k++)
			one_more(&s);
		hot_check(&s, &events[i]);
		if (*s.wrong) {
			say(&s, "-- %s\n", s.wrong);
			memcpy(why, s.wrong, sizeof(s.wrong));
			return i + 1;
		}
	}
	restore_count.programs += saved;
	restore_count.answered += saved ? total.answered - answered : 0;
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

/* Return: 0; 1: there was a difference. */
static int random_tables(unsigned long want)
{
	static struct event events[MAX_EVENTS];
	static struct gen g;
	char why[256] = "";
	int i, n;

	while (total.accesses < want) {
		gen_table(&g);
		n = 200 + gen_one_of(MAX_EVENTS - 200);
		for (i = 0; i < n; i++)
			events[i] = random_event();
		i = replay(&g, events, n, false, why);
		if (i >= 0 && restore_mutant)
			return 1;
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
	return 0;
}

static int mutant(void)
{
	return random_tables(total.accesses + 1000000);
}

int main(void)
{
	static const struct restore_spared spared[] = {
		{ "predict.half", "it keeps apart two predictions while a string takes from the older one, and none is under way" },
		{}
	};
	unsigned long want = getenv("TORTURE") ? 10000000 : 1000000;
	int i;

	seed();
	want *= scale();
	initial = malloc(sizeof(*initial));
	for (i = 0; i < 2; i++)
		tables[i] = aligned_alloc(64, (sizeof(*initial) + 63) & ~63UL);
	file = malloc(sizeof(*file));
	if (random_tables(want))
		return 1;
	printf("%lu accesses of %lu tables: %lu answered (%lu writes, %lu strings), %lu punted;"
	       " %lu busy, %lu met the lock held, %lu predictions\n",
	       total.accesses, total.tables, total.answered, total.written, total.strings, total.punted, total.busy, total.contended,
	       total.predicted);
	restore_print("table");
	printf("%lu changes of hot registers told, %lu of them of registers that are as they were again\n", hot_total.told, hot_total.again);
	/* A test in which nothing happens shows nothing. */
	if (total.answered < total.accesses / 20 || total.strings < 1000 || total.written < total.accesses / 100) {
		printf("too little was answered\n");
		return 1;
	}
	if (restore_count.saves < 1000 || restore_count.in_flight < 500 || restore_count.answered < 10000) {
		printf("too little was saved\n");
		return 1;
	}
	return registers_mutants("table", mutant, spared) ? 1 : 0;
}
