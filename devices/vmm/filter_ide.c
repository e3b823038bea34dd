// SPDX-License-Identifier: GPL-2.0
/*
 * The IDE channel belongs to the filter between two accesses that come here, and is the model's meanwhile. Both raise its
 * interrupt by one eventfd, which KVM turns into an edge of the line.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <devices/ide_filter.h>
#include <iofilter/ide.h>
#include "filter.h"

static struct ide_own *own(struct filter *f)
{
	return &((struct iofilter_ide *)iofilter_state(f->f))->own;
}

static void ide_edge(void *arg, int level)
{
	const __u64 one = 1;

	if (level && write(((struct line *)arg)->vmm->board->ide_event, &one, sizeof(one)) < 0)
		vmm_error("the IDE's interrupt: %s", strerror(errno));
}

static int ide_irqfd(struct vmm *vmm, __u32 flags)
{
	struct kvm_irqfd irqfd = { .fd = vmm->board->ide_event, .gsi = IDE_PRIMARY_IRQ, .flags = flags };

	if (!ioctl(vmm->fd, KVM_IRQFD, &irqfd))
		return 0;
	vmm_error("an eventfd as the IDE's interrupt: %s", strerror(errno));
	return -1;
}

static int ide_options(struct vmm *vmm, const char *arg, struct iofilter_opts *opts)
{
	struct board *b = vmm->board;

	if (!vmm->opts.disk) {
		vmm_error("--filter: ide needs a --disk");
		return -1;
	}
	if (arg && strcmp(arg, "data")) {
		vmm_error("--filter: ide=data or ide is wanted, not ide=%s", arg);
		return -1;
	}
	/* Without an eventfd each interrupt is the model's, for which the guest must come here. */
	if (arg)
		return 0;
	if (b->ide_event > 0) {
		opts->eventfds[0] = b->ide_event;
		return 0;
	}
	b->ide_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->ide_event < 0 || ide_irqfd(vmm, 0))
		return -1;
	b->ide.irq = ide_edge;
	opts->eventfds[0] = b->ide_event;
	return 0;
}

/* What --sabotage makes of it. A command's data of another place must not be taken for what the guest reads. */
static void give(struct filter *f)
{
	struct ide *d = &f->vmm->board->ide;
	__u64 sector = iofilter_ide_next(&d->c);
	__u32 n = d->c.pos ? 0 : iofilter_ide_wanted(&d->c);
	enum sabotage how = n ? filter_sabotage(f) : PREDICT_WELL;

	f->sabotages[how]++;
	switch (how) {
	case PREDICT_NOTHING:
		return;
	case PREDICT_LESS:
		n = filter_random(f, n);
		break;
	case PREDICT_ELSEWHERE:
		sector = (sector + 1 + filter_random(f, d->sectors - 1)) % d->sectors;
		break;
	default:
		ide_give(d, own(f));
		return;
	}
	if (sector + n > d->sectors || d->io(d->arg, 0, sector, n, iofilter_ide_ahead(own(f), &d->c)))
		n = 0;
	iofilter_ide_give(own(f), &d->c, d->buf, sector, n);
}

static int ide_started(struct filter *f)
{
	struct ide_own *o = own(f);

	if (!o->cooperates)
		iofilter_ide_cooperate(o, f->vmm->board->ide_event > 0);
	give(f);
	return 0;
}

/*
 * Whoever saves the VM finds the channel in the model. An interrupt that the eventfd has signalled is perhaps not in the interrupt
 * controllers yet: KVM works it off before it lets go of the eventfd.
 */
static int ide_stopped(struct filter *f)
{
	ide_take(&f->vmm->board->ide, own(f));
	return f->vmm->board->ide_event > 0 && (ide_irqfd(f->vmm, KVM_IRQFD_FLAG_DEASSIGN) || ide_irqfd(f->vmm, 0));
}

static void ide_leave(struct filter *f)
{
	ide_stopped(f);
}

static bool is_ide(const struct access *a)
{
	return !strcmp(a->r->name, "ide");
}

static void ide_before(struct filter *f, const struct access *a)
{
	if (is_ide(a))
		ide_take(&f->vmm->board->ide, own(f));
}

static void ide_after(struct filter *f, const struct access *a)
{
	if (is_ide(a))
		give(f);
}

static void ide_stats(struct filter *f, FILE *out)
{
	const struct ide_own *o = own(f);

	fprintf(out, ", \"gives\": %llu, \"takes\": %llu, \"ahead\": %llu, \"refused\": %llu, \"interrupts\": %llu", o->gives, o->takes,
		o->sectors, o->refused, o->interrupts);
}

const struct filter_kind filter_ide = {
	.name = "ide",
	.wants = "data",
	.optional = true,
	.options = ide_options,
	.started = ide_started,
	.stopped = ide_stopped,
	.leave = ide_leave,
	.before = ide_before,
	.after = ide_after,
	.stats = ide_stats,
};
