// SPDX-License-Identifier: GPL-2.0
#include <devices/ide.h>
#include <devices/state.h>

static void taskfile(struct ide_taskfile *t, struct state *s)
{
	STATE(s, t->count);
	STATE(s, t->features);
	STATE(s, t->lba_low);
	STATE(s, t->lba_mid);
	STATE(s, t->lba_high);
	STATE(s, t->device);
	STATE(s, t->hob_features);
	STATE(s, t->hob_count);
	STATE(s, t->hob_lba_low);
	STATE(s, t->hob_lba_mid);
	STATE(s, t->hob_lba_high);
}

static void channel(struct ide_channel *c, struct state *s)
{
	taskfile(&c->drives[0], s);
	taskfile(&c->drives[1], s);
	STATE(s, c->status);
	STATE(s, c->error);
	STATE(s, c->control);
	STATE(s, c->unit);
	STATE(s, c->lba48);
	STATE(s, c->transfer);
	STATE(s, c->block);
	STATE(s, c->intrq);
	STATE(s, c->pos);
	STATE(s, c->end);
}

/* Not the disk: neither what is on it nor its size and names. */
void ide_state(struct ide *d, struct state *s)
{
	channel(&d->c, s);
	STATE(s, d->reset_reverts);
	STATE(s, d->write_cache);
	STATE(s, d->mult_sectors);
	STATE(s, d->heads);
	STATE(s, d->track_sectors);
	state_bytes(s, d->buf, sizeof(d->buf));
	/* The block stays within its buffer, also when the next one is read; and there are tracks. */
	state_check(s, d->c.pos <= d->c.end && d->c.end <= sizeof(d->buf) && d->c.block <= IDE_MULT_MAX && d->c.unit < 2 &&
			       d->mult_sectors <= IDE_MULT_MAX && d->c.transfer <= IDE_DATA_ANSWER && d->heads && d->track_sectors);
}
