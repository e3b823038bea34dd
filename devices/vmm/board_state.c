// SPDX-License-Identifier: GPL-2.0
/* The devices of the board: their models, and what little the board has itself. */
#include <stdlib.h>
#include <string.h>
#include "save.h"

#define MAX_STATE 16384 /* of a model */

static void pit_section(struct board *b, struct state *s) { pit_state(&b->pit, s); }
static void hpet_section(struct board *b, struct state *s) { hpet_state(&b->hpet, s); }
static void rtc_section(struct board *b, struct state *s) { rtc_state(&b->rtc, s); }
static void pmtimer_section(struct board *b, struct state *s) { pmtimer_state(&b->pmtimer, s); }
static void serial_section(struct board *b, struct state *s) { serial_state(&b->serial, s); }
static void ide_section(struct board *b, struct state *s) { ide_state(&b->ide, s); }
static void port92_section(struct board *b, struct state *s) { STATE(s, b->port92); }
static void console_section(struct board *b, struct state *s) { console_state(b->vmm, s); }

static const struct device_section {
	const char *name;
	void (*state)(struct board *b, struct state *s);
} devices[] = {
	{ "pit", pit_section }, { "hpet", hpet_section }, { "rtc", rtc_section }, { "pmtimer", pmtimer_section },
	{ "serial", serial_section }, { "ide", ide_section }, { "port92", port92_section }, { "console", console_section },
};

#define NR_DEVICES (sizeof(devices) / sizeof(devices[0]))

/* Without a disk there is no IDE. */
static bool there(const struct board *b, const struct device_section *d)
{
	return d->state != ide_section || b->disk.fd >= 0;
}

int board_save(const struct board *b, struct snapshot_out *o)
{
	struct board copy = *b;
	__u8 data[MAX_STATE];
	unsigned int i;

	filters_fold(b->vmm, &copy);
	for (i = 0; i < NR_DEVICES; i++) {
		struct state s = { .data = data, .size = sizeof(data) };

		if (!there(b, &devices[i]))
			continue;
		devices[i].state(&copy, &s);
		if (s.bad) {
			vmm_error("--save: the state of %s is too long", devices[i].name);
			return -1;
		}
		section_put(o, devices[i].name, 0, data, s.pos);
	}
	return 0;
}

int board_restore(struct board *b, const struct snapshot *s)
{
	struct board copy = *b;
	unsigned int i;

	for (i = 0; i < NR_DEVICES; i++) {
		const struct section *f = section_find(s, devices[i].name, 0);
		struct state state = { .restoring = true };

		if (!there(b, &devices[i]))
			continue;
		if (f) {
			state.data = f->data;
			state.size = f->size;
			devices[i].state(&copy, &state);
		}
		if (!f || state.bad || state.pos != state.size) {
			vmm_error("--restore: %s has no %s that fits", s->name, devices[i].name);
			return -1;
		}
	}
	*b = copy;
	return 0;
}

/* PIT and RTC go through the HPET. With a filter the IDE makes edges. */
void board_lines(struct vmm *vmm)
{
	const struct board *b = vmm->board;
	unsigned int line;

	for (line = 0; line < 24; line++)
		if (b->hpet.lines >> line & 1)
			machine_irq(vmm, line, 1);
	if (b->serial.level)
		machine_irq(vmm, b->serial_line.gsi, 1);
	if (b->pmtimer.level)
		machine_irq(vmm, b->pm_line.gsi, 1);
	if (b->disk.fd >= 0 && b->ide.c.intrq && b->ide_event <= 0)
		machine_irq(vmm, b->ide_line.gsi, 1);
}
