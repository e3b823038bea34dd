// SPDX-License-Identifier: GPL-2.0
/*
 * Alan Cox's two loops (tablecox.h): they run as written, and each clause of the scheme matters: left out, in the rules, in the
 * prediction or in what follows a mismatch, at least one of the steps that show it comes out otherwise.
 */
#include <stdbool.h>
#include <iofilter/libiofilter.h>
#include <loader/lib/table.h>
#include "host.h"
#include "tablecox.h"

static struct iofilter_table *t;
static struct table_file *file;

static const char *const names[] = {
#define NAME(name, text) text,
	COX_CLAUSES(NAME)
};

/* Without it: in the table, when that is loaded. */
static void without(enum cox_clause clause)
{
	__u32 i;

	for (i = 0; i < t->nr_rules; i++) {
		struct table_rule *r = &t->rules[i];

		switch (clause) {
		case COX_WIDTH: r->widths = 15; break;
		case COX_MASK1: r->must1 = 0; break;
		case COX_MASK0: r->must0 = 0; break;
		case COX_READ_MASK: if (r->op == TABLE_READ) r->must1 = r->must0 = 0; break;
		case COX_TRANSITION: r->traps = 0; break;
		case COX_TRANSITION_MASK: r->trap_mask = 0xff; break;
		case COX_AND: r->and = ~0ULL; break;
		case COX_OR: r->or = 0; break;
		case COX_SLOT: if (r->action == TABLE_SLOT) r->action = TABLE_CONST; break;
		case COX_OVERLAP: r->slot = i % TABLE_SLOTS * 8; break;
		case COX_SET: r->set = 0; break;
		case COX_CLEAR: r->clear = 0; break;
		case COX_REPEAT: if (r->action == TABLE_REPEAT) r->action = TABLE_PASS; break;
		case COX_REWIND: r->rewind = 0; break;
		default: break;
		}
	}
	for (i = 0; i < TABLE_PORTS; i++) {
		struct table_port *p = &t->ports[i];

		if (clause == COX_DIRECTION) {
			p->first[TABLE_READ] = p->first[TABLE_WRITE];
			p->nr[TABLE_READ] = p->nr[TABLE_WRITE];
		} else if (clause == COX_ADDRESS) {
			/* Those of its neighbour, down to the even address. */
			*p = t->ports[i & ~1U];
		}
	}
	/* All groups are one. */
	for (i = 0; clause == COX_GROUPS && i < t->nr_ranges; i++)
		t->ranges[i].first = 0;
	for (i = 0; clause == COX_REPEAT_END && i < t->nr_buffers; i++)
		t->buffers[i].len = 4096;
}

/* .. in the prediction, before an access. */
static void without_match(enum cox_clause clause, const struct kvm_iofilter_req *req, enum table_op op)
{
	struct table_expect *e = &t->expect[t->predict.next % TABLE_PREDICTIONS];

	if (!t->predict.armed)
		return;
	switch (clause) {
	case COX_PREDICTION: t->predict.armed = 0; break;
	case COX_PREDICT_BUFFER: e->bytes = 0; break;
	case COX_PREDICT_CONDITION: e->must1 = e->must0 = 0; break;
	case COX_MISMATCH_ADDRESS: e->addr = req->addr; break;
	case COX_MISMATCH_WIDTH: e->width = req->len; break;
	case COX_MISMATCH_DIRECTION: e->op = op; break;
	case COX_MISMATCH_VALUE: e->value = op == TABLE_WRITE ? req->val : e->value; break;
	case COX_PUNT: t->predict.armed = e->addr == req->addr; break; /* to the rules instead */
	default: break;
	}
}

/* As the module: the access must lie within a range of its bus. */
static bool seen(enum cox_clause clause, struct kvm_iofilter_req *req)
{
	__u32 bus = req->addr >= COX_MMIO ? KVM_IOFILTER_MMIO : KVM_IOFILTER_PIO, i;

	for (i = 0; i < file->nr_ranges; i++) {
		const struct kvm_iofilter_range *r = &file->ranges[i];

		if (clause == COX_BUS && (req->addr & 0xffff) - (r->addr & 0xffff) < r->len) {
			req->addr = r->addr + (req->addr & 0xffff) - (r->addr & 0xffff);
			return true;
		}
		if (r->bus == bus && req->addr - r->addr < r->len && req->addr + req->len - r->addr <= r->len)
			return true;
	}
	return false;
}

/* Return: whether the step has come out as it says. */
static bool as_written(const struct cox_step *s, enum cox_clause clause)
{
	enum table_op op = s->op == 'w' || s->op == 'W' ? TABLE_WRITE : TABLE_READ;
	struct kvm_iofilter_req req = { .addr = s->addr, .len = s->width, .val = op == TABLE_WRITE ? s->val : 0, .count = s->count };
	struct kvm_iofilter_sample done = { .flags = KVM_IOFILTER_SAMPLE_WRITE, .addr = s->addr, .len = s->width };
	bool good = true, was_armed = t->predict.armed;
	__u64 want = s->val;
	int answered;

	if (s->count > 1)
		req.flags |= KVM_IOFILTER_REQ_STRING;
	without_match(clause, &req, op);
	answered = seen(clause, &req) && (op == TABLE_WRITE ? table_on_write(t, &req) : table_on_read(t, &req));
	if (clause == COX_DROP && was_armed && !answered)
		t->predict.armed = 1;
	if (!answered) {
		good = !cox_vmm(t, s->vmm);
		if (op == TABLE_WRITE)
			table_on_sample(t, &done);
		return good && (s->op == 'R' || s->op == 'W');
	}
	if (s->op == 'R' || s->op == 'W')
		return false;
	for (__u32 i = 0; op == TABLE_READ && i < s->count; i++) {
		if (s->count > 1)
			want = s->data[i * s->width] | s->data[i * s->width + 1] << 8;
		good = good && req.val == want;
		req.flags |= KVM_IOFILTER_REQ_MORE;
		if (i + 1 < s->count)
			good = good && table_on_read(t, &req);
	}
	return good;
}

/* Return: how many steps that show the clause come out otherwise; without one, how many of all. */
static int differ(const struct cox_loop *l, enum cox_clause clause, bool say)
{
	int i, n = 0;

	memset(t, 0, sizeof(*t));
	t->absence = IOFILTER_ABSENCE_NS;
	if (table_parse(file, l->name, l->rules, strlen(l->rules), t))
		fail_msg("%s", iofilter_error());
	iofilter_table_own(t, 1);
	assert_null(cox_vmm(t, COX_READY));
	without(clause);
	for (i = 0; i < l->nr; i++) {
		const struct cox_step *s = &l->steps[i];

		if (as_written(s, clause) || (clause != COX_NR_CLAUSES && s->clause != clause))
			continue;
		n++;
		if (say)
			printf("%s: step %d (%s) comes out otherwise: %c 0x%llx, %d bytes, 0x%llx\n", l->name, i + 1, names[s->clause], s->op,
			       s->addr, s->width, s->val);
	}
	return n;
}

static void loops(void **unused)
{
	__u64 answered;

	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(cox_loops); i++) {
		assert_int_equal(differ(&cox_loops[i], COX_NR_CLAUSES, true), 0);
		answered = t->verdicts[IOFILTER_ANSWERED];
		printf("   %s: %u rules, %d steps, %llu accesses answered\n", cox_loops[i].name, t->nr_rules, cox_loops[i].nr, answered);
		/* No rule is there for nothing. */
		for (__u32 k = 0; k < t->nr_rules; k++)
			if (!t->hits[k] && !t->trapped[k])
				fail_msg("%s: rule %u (%s) was never met", cox_loops[i].name, k, t->text.rules[k]);
	}
}

static void clauses(void **unused)
{
	(void)unused;
	for (int c = 0; c < COX_NR_CLAUSES; c++) {
		int n = 0;

		for (size_t i = 0; i < ARRAY_SIZE(cox_loops); i++)
			n += differ(&cox_loops[i], c, false);
		printf("   without '%s': %d of its steps come out otherwise\n", names[c], n);
		assert_true(n > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loops),
		cmocka_unit_test(clauses),
	};

	cox_init();
	t = malloc(sizeof(*t));
	file = malloc(sizeof(*file));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
