// SPDX-License-Identifier: GPL-2.0
/*
 * A table that is saved at a random access of a random program, and put back into a filter that knows nothing: each access from then on
 * is answered, or comes to the VMM, as if nothing had been. (The same for the PIT: pit_programs.c.)
 */
#include <iofilter/table.h>
#include "reg.h"
#include "table_steps.h"

static struct iofilter *attach(const struct vmm *vmm, const char *rules)
{
	struct iofilter *f = reg_attach(vmm, "table", rules);

	/* The VMM tells of resets itself: there are none. */
	((struct iofilter_table *)iofilter_state(f))->owned = 1;
	return f;
}

/* Run and judge steps [@from, @to). Return: how many were answered. */
static int run(struct vmm *vmm, const struct gen *g, const struct watched *w, struct ref *r, const struct ref_derived *d, int from,
	       int to, int saved_at)
{
	int i, n = 0;

	vmm_run(vmm, 0, guest_steps, (long)from << 32 | to);
	for (i = from; i < to; i++) {
		const struct step *s = &steps[i];
		__u64 want;
		bool was = judge(w, r, d, i, &want);

		if (was == !!punted[i] || (!s->write && want != (s->count > 1 ? got_string[i] : got[i])))
			TEST_FAIL("step %d, saved at %d: %s 0x%llx width %d count %u: %s 0x%llx, wanted %s 0x%llx\n%.*s", i, saved_at,
				  s->write ? "write" : "read", s->addr, s->width, s->count, punted[i] ? "punted" : "answered",
				  s->count > 1 ? got_string[i] : got[i], was ? "answered" : "punted", want, (int)g->size, g->text);
		n += was;
	}
	return n;
}

static void table(void)
{
	unsigned long n = test_count(30, 2000), done = 0, before = 0, after = 0, in_flight = 0, bytes = 0;
	struct vmm *vmm = vmm_new(1, 0);
	static struct ref_derived d;
	static struct ref r;
	static struct gen g;

	vmm->io = steps_io;
	while (done < n) {
		int i, m = 50 + gen_one_of(250), at = gen_one_of(m);
		struct iofilter *f, *opened;
		struct watched w = {};
		size_t size;
		void *data;

		gen_table(&g);
		if (!g.ref.nr_rules)
			continue;
		gen_text(&g, &d);
		f = attach(vmm, g.text);
		r = g.ref;
		r.owned = true;
		w.ranges = iofilter_ops(f)->ranges;
		w.nr = iofilter_ops(f)->nr_ranges;
		for (i = 0; i < m; i++)
			steps[i] = random_step(&g);
		memset(punted, 0, sizeof(punted));
		before += run(vmm, &g, &w, &r, &d, 0, at, at);
		/* A write that the VMM has done, and the filter not followed up: what it does to the state is not in the state yet. */
		for (; at < m && reg_get(f, "pending.valid"); at++)
			before += run(vmm, &g, &w, &r, &d, at, at + 1, at);
		in_flight += !!reg_get(f, "in_flight");
		/* By a handle of somebody else. */
		TEST_LIB(iofilter_open(getpid(), "table", &opened));
		TEST_LIB(iofilter_save(opened, &data, &size));
		bytes += size;
		iofilter_close(opened);
		iofilter_close(f);
		f = attach(vmm, g.text);
		w.ranges = iofilter_ops(f)->ranges;
		TEST_LIB(iofilter_restore(f, data, size, 0));
		free(data);
		after += run(vmm, &g, &w, &r, &d, at, m, at);
		iofilter_close(f);
		done++;
	}
	vmm_free(vmm);
	printf("   %lu programs: %lu accesses answered before they were saved, %lu after; %lu had something in flight; %lu bytes each\n",
	       done, before, after, in_flight, bytes / done);
	TEST_ASSERT(after > n * 5 && in_flight > n / 20, "too little was answered");
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "table", table },
	};

	seed();
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
