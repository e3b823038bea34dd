// SPDX-License-Identifier: GPL-2.0
/*
 * The whole VM to a file, and the end of this process: at SIGUSR1, or where a test wants it. The guest goes on in another process
 * (restore.c) as if nothing had been: what it sees of time stands meanwhile, and no access of it is half done.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <event2/event.h>
#include "save.h"

int save_config_get(const struct vmm *vmm, struct save_config *c)
{
	const char *filters = vmm->opts.filter ?: "";

	*c = (struct save_config){
		.memory = htole64(vmm->ram_size),
		.disk = htole64(vmm->board->disk.fd >= 0 ? vmm->board->ide.sectors : 0),
		.vcpus = htole32(vmm->nr_vcpus),
		.kernel = !!vmm->opts.kernel,
		.acpi = vmm->opts.acpi,
		.kvmclock = vmm->opts.kvmclock,
		.readonly = vmm->opts.disk_readonly,
	};
	if (strlen(filters) >= sizeof(c->filters)) {
		vmm_error("the list of filters is too long for a save");
		return -1;
	}
	strcpy(c->filters, filters);
	return 0;
}

static int save_chips(struct vmm *vmm, struct snapshot_out *o)
{
	struct kvm_irqchip chip;
	__u32 i;

	for (i = 0; i < SAVE_CHIPS; i++) {
		memset(&chip, 0, sizeof(chip));
		chip.chip_id = i;
		if (ioctl(vmm->fd, KVM_GET_IRQCHIP, &chip)) {
			vmm_error("the interrupt controllers: %s", strerror(errno));
			return -1;
		}
		section_put(o, "irqchip", i, &chip, sizeof(chip));
	}
	return 0;
}

/* With the VM stopped and the lock held. What is on the disk must be there before the file that goes with it. */
static int save(struct vmm *vmm)
{
	const struct disk *d = &vmm->board->disk;
	struct save_config config;
	struct snapshot_out o;
	unsigned int i;
	__le64 clock;
	int err;

	if (save_config_get(vmm, &config) || snapshot_create(&o, vmm->opts.save))
		return -1;
	section_put(&o, "config", 0, &config, sizeof(config));
	clock = htole64(vmm->stopped_at);
	section_put(&o, "clock", 0, &clock, sizeof(clock));
	clock = htole64(vmm->kvm_clock);
	section_put(&o, "kvm_clock", 0, &clock, sizeof(clock));
	err = board_save(vmm->board, &o) || save_chips(vmm, &o);
	for (i = 0; !err && i < vmm->nr_vcpus; i++)
		err = vcpu_save(&vmm->vcpus[i], &o);
	if (!err)
		ram_save(vmm, &o);
	if (!err && d->fd >= 0 && !d->readonly && fdatasync(d->fd)) {
		vmm_error("%s: %s", vmm->opts.disk, strerror(errno));
		err = -1;
	}
	if (!err)
		return snapshot_finish(&o);
	snapshot_abandon(&o);
	return -1;
}

/* Where it fails, the guest goes on. */
static void on_save(evutil_socket_t fd, short what, void *arg)
{
	struct vmm *vmm = arg;
	bool stopped = vmm->stopped;
	int err = 0;

	(void)fd;
	(void)what;
	if (!vmm->opts.save) {
		vmm_error("SIGUSR1: where to save to is not known: there is no --save");
		return;
	}
	if (!stopped)
		time_pause(vmm);
	pthread_mutex_lock(&vmm->lock);
	vmm->saving = false;
	if (!vmm->ending)
		err = save(vmm);
	pthread_mutex_unlock(&vmm->lock);
	if (!err)
		vmm_end(vmm, VMM_SAVED);
	else if (!stopped)
		time_go_on(vmm);
}

int save_init(struct vmm *vmm)
{
	struct event *sig = event_new(vmm->events, SIGUSR1, EV_SIGNAL | EV_PERSIST, on_save, vmm);

	vmm->save_event = event_new(vmm->events, -1, 0, on_save, vmm);
	return !sig || !vmm->save_event || event_add(sig, NULL) ? -1 : 0;
}

/* No vCPU that comes here begins another instruction; those that are in KVM_RUN are kicked out when the event loop gets to it. */
void save_check(struct vmm *vmm, bool mmio, const struct access *a)
{
	const struct vmm_options *o = &vmm->opts;

	vmm->accesses++;
	if (vmm->saving || !o->save)
		return;
	if (vmm->accesses != o->save_after && (mmio || !a->write || a->addr != o->save_at))
		return;
	vmm->saving = vmm->pausing = true;
	event_active(vmm->save_event, EV_READ, 0);
}
