// SPDX-License-Identifier: GPL-2.0
#include <devices/ide_filter.h>

void ide_take(struct ide *d, struct ide_own *o)
{
	bool high = d->c.intrq;

	/* What the filter has raised the guest has got from it. */
	if (iofilter_ide_take(o, &d->c, d->buf) && high && !d->c.intrq && d->irq)
		d->irq(d->arg, 0);
}

/* All of a read command at once. A guest that traps in the middle of a block gets only the rest of that: it may do so at each word. */
void ide_give(struct ide *d, struct ide_own *o)
{
	__u64 sector = iofilter_ide_next(&d->c);
	__u32 n = d->c.pos ? 0 : iofilter_ide_wanted(&d->c);

	if (sector > d->sectors)
		n = 0;
	else if (n > d->sectors - sector)
		n = d->sectors - sector;
	/* An error is for the moment when the guest comes to it. */
	if (n && d->io(d->arg, 0, sector, n, iofilter_ide_ahead(o, &d->c)))
		n = 0;
	iofilter_ide_give(o, &d->c, d->buf, sector, n);
}
