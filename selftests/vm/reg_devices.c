// SPDX-License-Identifier: GPL-2.0
/*
 * Every register of every device, from the library's own list, so that a new one cannot be forgotten: what cannot be set is refused; what
 * can is set, got, saved, set to something else, and restored; and a guest sees what was set, or the list here says why none does.
 */
#include "reg_see.h"
#include "reg_see_map.h"
#include "reg_see_pit.h"

/* Given, so that they are not measured while they are set here: ns, some 20 times what hardware takes. The one is never below the other. */
#define BRACKET	800000
#define ABSENCE	2000000
#define EXPIRY	40000000

#define PARAMETER "a parameter: what is left to the VMM follows from it"

static const struct effect effects[] = {
	{ "pmtimer", "clock.mode", .see = see_mode },
	{ "pmtimer", "clock.time", .see = see_time },
	{ "pmtimer", "clock.fuse", .see = see_fuse },
	{ "hpet", "clock.mode", .see = see_mode },
	{ "hpet", "clock.time", .see = see_time },
	{ "hpet", "clock.fuse", .see = see_fuse },
	{ "hpet", "general[]", .see = see_general },
	{ "rtc", "cmos[]", .see = see_cmos },
	{ "ide", "own.drive[].count", .see = see_count },
	{ "ide", "own.drive[].features", .see = see_features },
	{ "ide", "own.drive[].lba_low", .see = see_lba_low },
	{ "ide", "own.drive[].lba_mid", .see = see_lba_mid },
	{ "ide", "own.drive[].lba_high", .see = see_lba_high },
	{ "ide", "own.drive[].device", .see = see_device },
	{ "ide", "own.drive[].hob_features", .see = see_hob_features },
	{ "ide", "own.drive[].hob_count", .see = see_hob_count },
	{ "ide", "own.drive[].hob_lba_low", .see = see_hob_lba_low },
	{ "ide", "own.drive[].hob_lba_mid", .see = see_hob_lba_mid },
	{ "ide", "own.drive[].hob_lba_high", .see = see_hob_lba_high },
	{ "ide", "own.error", .see = see_error },
	{ "table", "bits", .see = see_bits },
	{ "table", "bits_known", .see = see_bits },
	{ "table", "slot[].value", 2, .see = see_slot },
	{ "table", "slot[].known", 2, .see = see_slot },
	{ "table", "slot[].dirty", 2, .see = see_dirty },
	{ "table", "buffer[].pos", 1, .max = 16, .see = see_pos },
	{ "pit", "port61.gate", .see = see_gate },
	{ "pit", "port61.data", .see = see_data },
	{ "pit", "port61.toggle", .see = see_toggled },
	{ "pit", "port61.odd", .see = see_odd },
	{ "pit", "channel[].count", .see = see_program },
	{ "pit", "channel[].programmed", .see = see_program },
	{ "pit", "channel[].rw", .min = 1, .see = see_write_state },
	{ "pit", "channel[].mode", .see = see_program },
	{ "pit", "channel[].bcd", .see = see_program },
	{ "pit", "channel[].write_state", .min = 1, .see = see_write_state },
	{ "pit", "channel[].write_latch", .see = see_write_state },
	{ "pit", "channel[].states", .see = see_states },
	{ "pit", "channel[].pair", .see = see_pair },
	{ "pit", "channel[].latched", .see = see_latched },
	{ "pit", "channel[].latch", .see = see_latched },
	{ "pit", "channel[].status_latched", .see = see_status },
	{ "pit", "channel[].status", .see = see_status },
	{ "pit", "channel[].clock.fuse", .see = see_pit_fuse },
	{ "speaker", "data", .see = see_data },
	{ "speaker", "toggle", .see = see_toggled },
	{ "speaker", "odd", .see = see_odd },
	{ "speaker", "fuse", .see = see_speaker_fuse },
	{ "map", "set.width", .min = 1, .see = see_map_width },
	{ "map", "set.reload", .min = 2, .see = see_map_reload },
	{ "map", "set.value", .see = see_map_value },
	{ "map", "set.running", .see = see_map_running },
	{ "map", "set.compare", .see = see_map_compare },
	{ "map", "set.alarm", .see = see_map_alarm },
	{ "map", "set.armed", .see = see_map_armed },
	{ "speaker", "lead", .unseen = PARAMETER },
	{ "speaker", "audit", .unseen = PARAMETER },
	{ "rtc", "absence", .min = 1, .unseen = PARAMETER },
	{ "rtc", "expiry", .min = 1, .unseen = PARAMETER },
	{ "ide", "watch.absence", .min = 1, .unseen = PARAMETER },
	{ "ide", "watch.expiry", .min = 1, .unseen = PARAMETER },
	{ "table", "absence", .unseen = PARAMETER },
	{ "pmtimer", "clock.bracket", .min = 1, .max = EXPIRY, .unseen = PARAMETER },
	{ "pmtimer", "clock.absence", .min = 1, .unseen = PARAMETER },
	{ "pmtimer", "clock.expiry", .min = BRACKET, .unseen = PARAMETER },
	{ "hpet", "clock.bracket", .min = 1, .max = EXPIRY, .unseen = PARAMETER },
	{ "hpet", "clock.absence", .min = 1, .unseen = PARAMETER },
	{ "hpet", "clock.expiry", .min = BRACKET, .unseen = PARAMETER },
	{ "pit", "channel[].clock.bracket", .min = 1, .max = EXPIRY, .unseen = PARAMETER },
	{ "pit", "channel[].clock.absence", .min = 1, .unseen = PARAMETER },
	{ "pit", "channel[].clock.expiry", .min = BRACKET, .unseen = PARAMETER },
};

static const struct effect *effect_of(const char *device, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(effects); i++)
		if (!strcmp(effects[i].device, device) && !strcmp(effects[i].name, name))
			return &effects[i];
	return NULL;
}

static __u64 all_ones(__u32 size)
{
	return size >= 8 ? ~0ULL : (1ULL << size * 8) - 1;
}

static __u64 some_value(const struct iofilter_reg *reg, const struct effect *e)
{
	__u64 r = (__u64)random() << 33 ^ (__u64)random() << 11 ^ random();
	__u64 max = e->max ?: reg->max ?: all_ones(IOFILTER_REG_SIZE(reg->id));

	/* A limit is a value, too. */
	switch (random() % 5) {
	case 0:
		return e->min;
	case 1:
		return max;
	default:
		return max - e->min == ~0ULL ? r : e->min + r % (max - e->min + 1);
	}
}

static void round_trip(struct dev *d, const struct iofilter_reg *reg, const struct effect *e, __u32 element)
{
	__u64 id = reg->id + element, first = some_value(reg, e), second, got;
	size_t size;
	void *data;

	do
		second = some_value(reg, e);
	while (second == first);
	regs_set(d->f, &id, 1, &first);
	regs_get(d->f, &id, 1, &got);
	TEST_ASSERT(got == first, "%s of %s [%u]: set to %#llx, is %#llx", reg->name, d->name, element, first, got);
	TEST_LIB(iofilter_save(d->f, &data, &size));
	/* Nobody's clock can only be owned if it shows something. */
	if (!strcmp(reg->name, "clock.mode"))
		d->prepare(d);
	regs_set(d->f, &id, 1, &second);
	regs_get(d->f, &id, 1, &got);
	TEST_ASSERT(got == second, "%s of %s [%u]: set to %#llx, is %#llx", reg->name, d->name, element, second, got);
	TEST_LIB(iofilter_restore(d->f, data, size, 0));
	regs_get(d->f, &id, 1, &got);
	/* What the VMM answers by itself is learnt anew. */
	TEST_ASSERT(got == first || reg->flags & IOFILTER_REG_HOST, "%s of %s [%u]: was %#llx, then %#llx, restored as %#llx", reg->name, d->name, element, first, second,
		    got);
	free(data);
}

static void refused(struct dev *d, const struct iofilter_reg *reg)
{
	__u8 buf[512] = {};
	__u64 id, max;

	for (int last = 0; last < 2; last++) {
		id = reg->id + last * (reg->elements - 1);
		if (!(reg->flags & IOFILTER_REG_WRITABLE))
			TEST_EQ(-iofilter_reg_set(d->f, &id, 1, buf, IOFILTER_REG_SIZE(id)), EPERM);
		TEST_EQ(-iofilter_reg_get(d->f, &id, 1, buf, IOFILTER_REG_SIZE(id) + 1), EINVAL);
		TEST_EQ(-iofilter_reg_get(d->f, &(__u64){ id + reg->elements }, 1, buf, IOFILTER_REG_SIZE(id)), ENOENT);
	}
	if (!(reg->flags & IOFILTER_REG_WRITABLE) || !reg->max || reg->max == all_ones(IOFILTER_REG_SIZE(reg->id)))
		return;
	max = reg->max + 1;
	TEST_EQ(-iofilter_reg_set(d->f, &reg->id, 1, &max, IOFILTER_REG_SIZE(reg->id)), ERANGE);
}

static void attach(struct dev *d)
{
	struct iofilter_opts opts = { .size = sizeof(opts) };

	d->vmm = machine_new(1, d->vm_flags);
	if (d->rules) {
		d->f = reg_attach(d->vmm, d->name, d->rules);
		return;
	}
	opts.vm_fd = d->vmm->fd;
	opts.map = d->map;
	if (strcmp(d->name, "speaker") && !d->map) {
		opts.bracket = BRACKET;
		opts.absence = ABSENCE;
		opts.expiry = EXPIRY;
	}
	TEST_LIB(iofilter_attach(getpid(), d->name, &opts, &d->f));
}

static void device(struct dev *d)
{
	unsigned int writable = 0, trips = 0, seen_by_guest = 0, unseen = 0;
	struct iofilter_reg *regs;
	int n, i;
	__u32 k, elements;
	size_t size;
	void *fresh;

	n = TEST_LIB(iofilter_regs(d->name, &regs));
	attach(d);
	TEST_LIB(iofilter_save(d->f, &fresh, &size));
	for (i = 0; i < n; i++) {
		const struct iofilter_reg *reg = &regs[i];
		const struct effect *e = effect_of(d->name, reg->name);

		refused(d, reg);
		if (!(reg->flags & IOFILTER_REG_WRITABLE)) {
			TEST_ASSERT(!e, "%s of %s cannot be set, but the list here has it", reg->name, d->name);
			continue;
		}
		TEST_ASSERT(e, "%s of %s can be set, but the list here does not say what the guest sees of it", reg->name, d->name);
		TEST_ASSERT(!e->see == !!e->unseen, "%s of %s: seen, or a reason", reg->name, d->name);
		writable++;
		elements = e->elements ?: reg->elements;
		/* The other registers are as after the attach. */
		TEST_LIB(iofilter_restore(d->f, fresh, size, 0));
		for (k = 0; k < elements; k++, trips++) {
			if (d->prepare)
				d->prepare(d);
			round_trip(d, reg, e, k);
		}
		TEST_LIB(iofilter_restore(d->f, fresh, size, 0));
		for (k = 0; k < elements && e->see; k++, seen_by_guest++) {
			if (d->prepare)
				d->prepare(d);
			e->see(d, k);
		}
		unseen += !e->see;
	}
	printf("   %s: %d registers, %u can be set; %u elements went there and back, %u seen by the guest; %u only parameters\n", d->name,
	       n, writable, trips, seen_by_guest, unseen);
	for (size_t j = 0; j < ARRAY_SIZE(effects); j++)
		if (!strcmp(effects[j].device, d->name))
			writable--;
	TEST_ASSERT(!writable, "the list here has registers of %s that do not exist", d->name);
	iofilter_close(d->f);
	vmm_free(d->vmm);
	free(fresh);
	free(regs);
}

#define DEVICE(which, ...) \
	static void which##_registers(void) \
	{ \
		device(&(struct dev){ .name = #which, ##__VA_ARGS__ }); \
	}
DEVICE(pmtimer, .prepare = prepare_counter)
DEVICE(hpet, .prepare = prepare_counter)
DEVICE(rtc, .prepare = prepare_rtc)
DEVICE(ide, .prepare = prepare_ide)
DEVICE(table, .prepare = prepare_table, .rules = table_rules)
DEVICE(pit, .prepare = prepare_pit)
DEVICE(speaker, .vm_flags = VMM_PIT)
DEVICE(map, .prepare = prepare_map, .map = &map_counter)

static void no_other_device(void);

static const struct test tests[] = {
	{ "devices", no_other_device }, { "pmtimer", pmtimer_registers }, { "hpet", hpet_registers }, { "rtc", rtc_registers },
	{ "ide", ide_registers }, { "table", table_registers }, { "pit", pit_registers }, { "speaker", speaker_registers },
	{ "map", map_registers },
};

static void no_other_device(void)
{
	for (const char *const *name = iofilter_devices(); *name; name++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(tests) && strcmp(tests[i].name, *name))
			i++;
		TEST_ASSERT(i < ARRAY_SIZE(tests), "%s is not tested here", *name);
	}
}

int main(int argc, char **argv)
{
	unsigned int seed = test_seed();

	printf("   SEED=%u\n", seed);
	srandom(seed);
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
