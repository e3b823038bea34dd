// SPDX-License-Identifier: GPL-2.0
/*
 * A table of rules that the VMM works with (--filter table=FILE).
 *
 * A slot named out_PORT (hexadecimal) holds a write to that port which the VMM has not seen. When an access comes here, those are
 * carried out first, in the order of the slots. Bits named full_* are clear from then on, so that a rule can take one write and pass the
 * next.
 *
 * A driver that polls an IDE disk reads status, a block of data, alternate status, and status again, until the command is done.
 * So after a command that reads, without interrupts, that loop is run on a copy of the model, and is what is predicted. How much
 * of it the guest has read is found out at the next access that comes here, and then read from the model itself, too.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <iofilter/table_vmm.h>
#include "filter.h"

#define SLOT_PREFIX "out_"
#define BIT_PREFIX  "full_"
#define STATUS	    (IDE_PRIMARY + IDE_STATUS)
#define ALT_STATUS  (IDE_PRIMARY + IDE_CONTROL_AT)

struct plan {
	struct table_expect expect[TABLE_PREDICTIONS];
	__u8 data[TABLE_PREDICT_DATA];
	__u32 nr, size;
};

static int table_options(struct vmm *vmm, const char *arg, struct iofilter_opts *opts)
{
	struct iofilter_rules *rules;

	(void)vmm;
	if (iofilter_rules_read(arg, &rules)) {
		vmm_error("%s", iofilter_error());
		return -1;
	}
	opts->rules = rules;
	return 0;
}

static void enter(struct iofilter_table *t)
{
	while (iofilter_table_enter(t))
		sched_yield();
}

static void empty(struct iofilter_table *t)
{
	__u64 bits = 0;
	__u32 i;

	for (i = 0; i < t->nr_bits; i++)
		if (!strncmp(t->text.bits[i], BIT_PREFIX, strlen(BIT_PREFIX)))
			bits |= 1ULL << i;
	iofilter_table_bits(t, 0, bits);
}

static int table_started(struct filter *f)
{
	struct iofilter_table *t = iofilter_state(f->f);

	enter(t);
	empty(t);
	iofilter_table_leave(t);
	if (!f->plan)
		f->plan = calloc(1, sizeof(*f->plan));
	iofilter_table_own(t, 1);
	return f->plan ? 0 : -1;
}

/* Writes that were taken: of two to one slot the later. */
static void carry_out(struct filter *f, struct iofilter_table *t)
{
	__u64 val;
	__u32 i, byte;
	__u8 dirty;

	for (i = 0; i < t->nr_slots; i++) {
		const char *name = t->text.slots[i];

		if (strncmp(name, SLOT_PREFIX, strlen(SLOT_PREFIX)))
			continue;
		dirty = iofilter_table_take(t, i * 8, &val);
		for (byte = 0; byte < 8; byte++, val >>= 8) {
			if (!(dirty >> byte & 1))
				continue;
			bus_write(f->vmm, false, strtoul(name + strlen(SLOT_PREFIX), NULL, 16) + byte, &val, 1);
			f->took++;
		}
	}
	empty(t);
}

/* What the guest was answered ahead of the model, the model answers now. */
static void catch_up(struct filter *f, const struct table_predict *p)
{
	struct plan *plan = f->plan;
	__u32 i, n, left, val;

	for (i = 0; i < plan->nr && i <= p->next; i++) {
		const struct table_expect *e = &plan->expect[i];

		left = i < p->next ? (e->bytes ? e->bytes : e->width) : p->pos;
		for (; left; left -= n) {
			n = e->width < left ? e->width : left;
			bus_read(f->vmm, false, e->addr, &val, n);
		}
	}
	plan->nr = plan->size = 0;
}

/* Nothing of this VMM's is ahead of the guest or behind it. */
static void take_back(struct filter *f)
{
	struct iofilter_table *t = iofilter_state(f->f);

	enter(t);
	catch_up(f, &t->predict);
	iofilter_table_predict(t, NULL, 0, NULL, 0);
	carry_out(f, t);
	iofilter_table_leave(t);
}

static void table_before(struct filter *f, const struct access *a)
{
	__u64 changed[TABLE_NR_HOT];

	(void)a;
	/* Without a lock: nothing is predicted, and the guest has written nothing that is not here, nor made unknown what it was told. */
	if (!iofilter_table_changed(iofilter_state(f->f), changed) && !f->plan->nr)
		return;
	take_back(f);
}

/* Of a VM that is going to be restored there is nothing yet. */
static int table_stopped(struct filter *f)
{
	if (!f->plan)
		return table_started(f);
	take_back(f);
	return 0;
}

static bool expect(struct plan *p, struct ide *copy, __u16 port, __u32 width, __u32 bytes)
{
	struct table_expect *e = &p->expect[p->nr];
	__u32 i, val;

	if (p->nr == TABLE_PREDICTIONS || p->size + bytes > TABLE_PREDICT_DATA)
		return false;
	*e = (struct table_expect){ .op = TABLE_READ, .addr = port, .width = width, .off = p->size, .bytes = bytes };
	for (i = 0; i < bytes; i += width) {
		val = ide_port_read(copy, port, width);
		memcpy(p->data + p->size + i, &val, width);
	}
	if (!bytes)
		e->value = ide_port_read(copy, port, width);
	p->size += bytes;
	p->nr++;
	return true;
}

static void make_plan(struct plan *p, const struct ide *ide)
{
	struct ide copy = *ide;

	copy.irq = NULL;
	if (!expect(p, &copy, STATUS, 1, 0))
		return;
	while (copy.c.status & IDE_DRQ && copy.c.transfer != IDE_DATA_OUT)
		if (!expect(p, &copy, IDE_PRIMARY, 2, copy.c.end - copy.c.pos) || !expect(p, &copy, ALT_STATUS, 1, 0) ||
		    !expect(p, &copy, STATUS, 1, 0))
			return;
}

/* What --sabotage makes of it. It is what will have been predicted, so that the model follows what the guest gets of it. */
static void spoil(struct filter *f, struct plan *p)
{
	struct table_expect *e = &p->expect[filter_random(f, p->nr)];
	enum sabotage how = filter_sabotage(f);

	switch (how) {
	case PREDICT_NOTHING:
		p->nr = p->size = 0;
		break;
	case PREDICT_LESS:
		/* The access behind it comes too soon then, or there is one less. */
		if (e->bytes > e->width)
			e->bytes = e->width * (1 + filter_random(f, e->bytes / e->width - 1));
		else
			p->nr--;
		break;
	case PREDICT_ELSEWHERE:
		/* By words none of these is ever read. */
		e->addr = IDE_PRIMARY + IDE_COUNT;
		e->width = 2;
		break;
	default:
		break;
	}
	f->sabotages[how]++;
}

static void table_after(struct filter *f, const struct access *a)
{
	struct iofilter_table *t = iofilter_state(f->f);
	const struct ide *ide = &f->vmm->board->ide;
	const struct ide_channel *c = &ide->c;

	if (!a->write || a->addr != IDE_PRIMARY + IDE_COMMAND || !(c->status & IDE_DRQ) || c->transfer == IDE_DATA_OUT || c->unit ||
	    !(c->control & IDE_CTL_NIEN))
		return;
	make_plan(f->plan, ide);
	if (f->plan->nr)
		spoil(f, f->plan);
	enter(t);
	/* The data of the prediction before may still be wanted by a string: then do without. */
	if (iofilter_table_predict(t, f->plan->expect, f->plan->nr, f->plan->data, f->plan->size))
		f->plan->nr = f->plan->size = 0;
	iofilter_table_leave(t);
}

static void table_stats(struct filter *f, FILE *out)
{
	fprintf(out, ", \"took\": %llu", f->took);
}

static void table_end(struct filter *f)
{
	free(f->plan);
}

const struct filter_kind filter_table = {
	.name = "table",
	.wants = "FILE",
	.options = table_options,
	.started = table_started,
	.leave = take_back,
	.stopped = table_stopped,
	.before = table_before,
	.after = table_after,
	.end = table_end,
	.stats = table_stats,
};
