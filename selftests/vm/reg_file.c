// SPDX-License-Identifier: GPL-2.0
/*
 * The file of a whole VM (iofilter_save_vm()): cut and altered at every byte, and forged with sums that fit. Each is refused whole, with one
 * reason, and no filter has changed, those before the wrong part least of all. The filters hold something else than the file, so
 * that a part that is put back shows; and each test ends with the file itself, which puts all of them back.
 *
 * reg_file --write FILE: the file as this version saves it. What stands in selftests/vm/saved was written so once, must be restorable for
 * ever, and is never written anew: a register that comes later is not in it.
 */
#include "reg_file.h"

static void cut(void)
{
	char says[96] = "this is no saved state, or not all of it";
	struct file g;
	size_t n, sealed;

	begin();
	g = copy_of(&whole);
	for (n = 0; n < whole.size; n++) {
		if (n >= HEAD)
			snprintf(says, sizeof(says), "the saved state has %zu bytes of %zu", n, whole.size);
		__refused("cut at", n, g.data, n, n & SKIP, EBADMSG, says);
	}
	printf("   cut at each of %zu bytes\n", n);
	/* With a sum that fits: the parts are not those that the head counts. */
	for (n = HEAD, sealed = 0; n < whole.size; n += near_part(n) ? 1 : 1 + random() % 8, sealed++) {
		memcpy(g.data, whole.data, n);
		seal(g.data, n);
		__refused("cut and sealed at", n, g.data, n, n & SKIP, EBADMSG, "the saved state ends too early");
	}
	printf("   and at %zu with a sum that fits\n", sealed);
	for (size_t more = 1; more <= 16; more++) {
		memcpy(g.data, whole.data, whole.size);
		memset(g.data + whole.size, 0, more);
		__refused("goes on by", more, g.data, whole.size + more, 0, EBADMSG, "bytes of");
		seal(g.data, whole.size + more);
		__refused("goes on, sealed, by", more, g.data, whole.size + more, 0, EBADMSG, "goes on behind its end");
	}
	free(g.data);
	end();
}

static void altered(void)
{
	size_t at, sealed = 0;
	struct file g;

	begin();
	g = copy_of(&whole);
	for (at = 0; at < g.size; at++) {
		memcpy(g.data, whole.data, g.size);
		g.data[at] ^= 1 << random() % 8;
		__refused("altered at", at, g.data, g.size, at & SKIP, EBADMSG,
			  at < AT_VERSION ? "no saved state" : at >= AT_SIZE && at < AT_CRC ? "bytes of" : "checksum does not fit");
	}
	printf("   altered at each of %zu bytes\n", at);
	/* Only the sum of the part says so. */
	for (int i = 0; i < NR_FILTERS; i++) {
		for (at = 0; at < part_size(part[i]); at += at < FIRST + 16 ? 1 : 1 + random() % 8, sealed++) {
			memcpy(g.data, whole.data, g.size);
			g.data[part[i] - whole.data + PART + at] ^= 1 << random() % 8;
			seal(g.data, g.size);
			__refused(filters[i].name, at, g.data, g.size, at & SKIP, EBADMSG,
				  at < AT_VERSION ? "no saved state of a filter" : at >= AT_SIZE && at < AT_CRC ? "bytes of" :
											"checksum does not fit");
		}
	}
	printf("   and at %zu of the states with a sum of the file that fits\n", sealed);
	free(g.data);
	end();
}

/* A file with a change, whose sum fits. */
#define FORGED(what, err, says, ...)				\
	do {							\
		memcpy(g.data, whole.data, whole.size);		\
		g.size = whole.size;				\
		__VA_ARGS__;					\
		seal(g.data, g.size);				\
		refused(what, &g, 0, err, says);		\
	} while (0)

static void forged(void)
{
	struct file g;

	begin();
	g = copy_of(&whole);
	FORGED("another version", EPROTO, "version 2, this library knows 1", g.data[AT_VERSION]++);
	FORGED("an older version", EPROTO, "version 0, this library knows 1", g.data[AT_VERSION]--);
	FORGED("another magic", EBADMSG, "no saved state", g.data[AT_MAGIC]++);
	FORGED("the state of one filter", EBADMSG, "no saved state", g.size = part_size(part[0]), memcpy(g.data, part[0] + PART, g.size));
	FORGED("no filter", EBADMSG, "has 0 filters", g.data[AT_COUNT] = 0);
	FORGED("nothing but a head", EBADMSG, "has 0 filters", g.data[AT_COUNT] = 0, g.size = HEAD);
	FORGED("a head of one filter", EBADMSG, "ends too early", g.data[AT_COUNT] = 1, g.size = HEAD);
	FORGED("too many filters", EBADMSG, "has 65 filters", g.data[AT_COUNT] = 65);
	FORGED("as many as a number can say", EBADMSG, "has 4294967295 filters", put(g.data + AT_COUNT, ~0U, 4));
	FORGED("one too many", EBADMSG, "ends too early", g.data[AT_COUNT]++);
	FORGED("one too few", EBADMSG, "goes on behind its end", g.data[AT_COUNT]--);
	FORGED("only the first", EBADMSG, "goes on behind its end", g.data[AT_COUNT] = 1);
	FORGED("one twice", EBADMSG, "has pmtimer twice", memcpy(g.data + g.size, part[0], PART + part_size(part[0])),
	       g.size += PART + part_size(part[0]), g.data[AT_COUNT]++);
	g.size = whole.size;
	memcpy(g.data, whole.data, g.size);
	refused("unknown flags", &g, 1 << 1, EINVAL, "unknown flags 0x2");
	seal(g.data, whole.size + 8);
	refused("a size that is not its own", &g, 0, EBADMSG, "bytes of");
	free(g.data);

	/* More than a filter's state can have. */
	g.size = HEAD + PART + (16 << 20) + 8;
	g.data = calloc(1, g.size);
	memcpy(g.data, whole.data, HEAD + PART + FIRST);
	g.data[AT_COUNT] = 1;
	put(g.data + HEAD + AT_PART_SIZE, (16 << 20) + 8, 8);
	seal(g.data + HEAD + PART, (16 << 20) + 8);
	seal(g.data, g.size);
	refused("too large", &g, 0, EBADMSG, "a saved state of 16777224 bytes");
	free(g.data);
	end();
}

/* Sizes that lie, in the part that begins at @p. */
static void sizes(struct file *g, int i, unsigned char *p)
{
	static const __u64 bad[] = { 0, 1, 8, FIRST - 1, FIRST, 1ULL << 31, 1ULL << 32, 1ULL << 63, -24ULL, -8ULL, -1ULL };
	size_t size = part_size(part[i]), rest = whole.data + whole.size - part[i] - PART;

	memcpy(g->data, whole.data, whole.size);
	for (size_t s = 0; s < ARRAY_SIZE(bad) + 64; s++) {
		__u64 n = s < ARRAY_SIZE(bad) ? bad[s] : size - 32 + s - ARRAY_SIZE(bad);

		if (n == size)
			continue;
		put(p + AT_PART_SIZE, n, 8);
		seal(g->data, whole.size);
		/* Only the state itself knows that it is cut. */
		__refused("a size of", n, g->data, whole.size, s & SKIP, EBADMSG, n > rest ? "ends too early" : "saved state");
	}
	put(p + AT_PART_SIZE, rest + 1, 8);
	seal(g->data, whole.size);
	__refused("a size beyond all", rest + 1, g->data, whole.size, 0, EBADMSG, "ends too early");
}

static void forged_parts(void)
{
	struct file g;
	char says[64];

	begin();
	g = copy_of(&whole);
	for (int i = 0; i < NR_FILTERS; i++) {
		unsigned char *p = g.data + (part[i] - whole.data), *state = p + PART;
		const char *next = filters[(i + 1) % NR_FILTERS].device;
		size_t size = part_size(part[i]);

		printf("   -- of %s\n", filters[i].name);
		FORGED("a device that is not attached", ENOENT, "hpet is not attached", strcpy((char *)p, "hpet"));
		FORGED("no device", ENOENT, "nosuch is not attached", strcpy((char *)p, "nosuch"));
		FORGED("no name", ENOENT, " is not attached", p[0] = 0);
		FORGED("a name without an end", ENOENT, "AAAAAAAAAAAAAAA is not attached", memset(p, 'A', NAME_LEN));
		snprintf(says, sizeof(says), "a filter for %s, not for %s", filters[i].device, next);
		if (i < NR_FILTERS - 1)
			FORGED("the next one's name", EINVAL, says, strcpy((char *)p, filters[i + 1].name));
		else
			FORGED("the first one's name", EBADMSG, "pmtimer twice", strcpy((char *)p, filters[0].name));
		FORGED("another version", EPROTO, "version 2, this library knows 1", state[AT_VERSION]++, seal(state, size));
		FORGED("another device's state", EINVAL, "a filter for hpet, not for", strcpy((char *)state + AT_DEVICE, "hpet"),
		       seal(state, size));
		FORGED("one register more than it says", EBADMSG, "not the registers that it says", state[AT_COUNT]--, seal(state, size));
		sizes(&g, i, p);
	}
	free(g.data);
	end();
}

/* A register's value, and what is said of it. */
static void values(void)
{
	static const struct {
		int filter;
		const char *name;
		__u64 val;
		int err;
		const char *says;
	} rows[] = {
		{ PMTIMER, "addr", 0x1608, EINVAL, "addr of pmtimer was another one" },
		{ PMTIMER, "clock.mode", 4, EBADMSG, "clock.mode of pmtimer is out of range" },
		{ PIT, "channel[1].clock.freq", 1193181, EINVAL, "channel[1].clock.freq of pit was another one" },
		{ PIT, "channel[0].bcd", 2, EBADMSG, "channel[0].bcd of pit is out of range" },
		{ RTC, "absence", 1000000001, EBADMSG, "absence of rtc is out of range" },
		{ MAP, "len", 8, EINVAL, "len of map was another one" },
		{ MAP, "set.running", 2, EBADMSG, "set.running of map is out of range" },
	};
	struct file g;

	begin();
	g = copy_of(&whole);
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		unsigned char *p = g.data + (part[rows[r].filter] - whole.data);

		FORGED(rows[r].name, rows[r].err, rows[r].says, put(record_of(p, rows[r].filter, rows[r].name), rows[r].val, 4),
		       seal(p + PART, part_size(p)));
	}
	free(g.data);
	end();
}

/* One filter is gone; and the parts in another order, which does not matter. */
static void others(void)
{
	struct file g;
	char says[64];

	begin();
	g = copy_of(&whole);
	for (int i = 0; i < NR_FILTERS; i++) {
		TEST_LIB(iofilter_stop(filters[i].f, 0));
		iofilter_close(filters[i].f);
		filters[i].f = NULL;
		free(filters[i].before);
		snprintf(says, sizeof(says), "%s is not attached", filters[i].name);
		refused("a filter that is gone", &g, 0, ENOENT, says);
		refused("a filter that is gone", &g, SKIP, ENOENT, says);
		attach(i);
		set_all(i, false);
		remember();
	}
	g.size = HEAD;
	for (int i = NR_FILTERS - 1; i >= 0; g.size += PART + part_size(part[i]), i--)
		memcpy(g.data + g.size, part[i], PART + part_size(part[i]));
	TEST_EQ(g.size, whole.size);
	seal(g.data, g.size);
	restores(&g, 0);
	anew();
	free(g.data);
	end();
}

/* What there is no file of. */
static void not_saved(void)
{
	const char *twice[] = { "pit", "rtc", "pit", NULL }, *many[66] = {};
	char names[65][8];
	size_t size;
	void *data;

	begin();
	TEST_EQ(-iofilter_save_vm(getpid(), twice, &data, &size), EINVAL);
	TEST_ASSERT(strstr(iofilter_error(), "pit twice"), "%s", iofilter_error());
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(names[i], sizeof(names[i]), "map-%zx", i);
		many[i] = names[i];
	}
	TEST_EQ(-iofilter_save_vm(getpid(), many, &data, &size), E2BIG);
	/* It is the number of them that is refused. */
	many[64] = NULL;
	TEST_EQ(-iofilter_save_vm(getpid(), many, &data, &size), ENOENT);
	end();
}

/* A register that only a newer version knows, of @size bytes, as the last one of filter @i. */
static void add_unknown(struct file *g, int i, __u32 size)
{
	unsigned char *p = part_of(g, filters[i].name), *after = p + PART + part_size(p);
	size_t room = 8 + (size + 7) / 8 * 8;
	__u64 id = number_at(p + PART + FIRST, 8) >> 56 << 56 | (__u64)size << 32 | 0xfff00000;

	memmove(after + room, after, g->data + g->size - after);
	put(after, id, 8);
	memset(after + 8, 0xa5, room - 8);
	put(p + PART + AT_COUNT, number_at(p + PART + AT_COUNT, 4) + 1, 4);
	put(p + AT_PART_SIZE, part_size(p) + room, 8);
	seal(p + PART, part_size(p));
	g->size += room;
	seal(g->data, g->size);
}

/* They are not in @from. */
static void without_unknown(const struct file *from)
{
	static const __u32 sizes[] = { 1, 4, 8, 9, 512 };
	struct file g;
	char says[128];

	for (int i = 0; i < NR_FILTERS; i++) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
			g = copy_of(from);
			add_unknown(&g, i, sizes[s]);
			snprintf(says, sizeof(says), "%s has no register 0x%02x00%04xfff00000 here: the state is of a newer version",
				 filters[i].device, g.data[part_of(&g, filters[i].name) - g.data + PART + FIRST + 7], sizes[s]);
			refused("a register that is not known", &g, 0, ENOENT, says);
			restores(&g, SKIP);
			anew();
			free(g.data);
		}
	}
	g = copy_of(from);
	for (int i = 0; i < NR_FILTERS; i++)
		add_unknown(&g, i, 8);
	refused("one in each", &g, 0, ENOENT, "has no register");
	restores(&g, SKIP);
	anew();
	free(g.data);
}

static void unknown(void)
{
	begin();
	without_unknown(&whole);
	end();
}

/* A file that the first version wrote. */
static void old(void)
{
	const char *root = getenv("ROOT") ?: ".";
	struct file g = { malloc(ROOM), 0 };
	char name[512];
	__u64 id, val;
	FILE *f;

	begin();
	snprintf(name, sizeof(name), "%s/selftests/vm/saved/vm-1.file", root);
	f = fopen(name, "rb");
	TEST_ASSERT(f, "%s: %s", name, strerror(errno));
	g.size = fread(g.data, 1, ROOM, f);
	fclose(f);
	restores(&g, 0);
	/* Not only what the file says, but what was there when it was written. */
	for (size_t s = 0; s < ARRAY_SIZE(settings); s++) {
		id = reg_id_of(filters[settings[s].filter].device, settings[s].name);
		regs_get(filters[settings[s].filter].f, &id, 1, &val);
		TEST_ASSERT(val == settings[s].saved, "%s: %llu, wanted %llu", settings[s].name, val, settings[s].saved);
	}
	printf("   %s: %zu bytes, restored\n", name, g.size);
	anew();
	without_unknown(&g);
	free(g.data);
	end();
}

static int write_file(const char *name)
{
	FILE *f = fopen(name, "wbx");

	TEST_ASSERT(f, "%s: %s", name, strerror(errno));
	begin();
	TEST_EQ(fwrite(whole.data, 1, whole.size, f), whole.size);
	TEST_EQ(fclose(f), 0);
	end();
	return 0;
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "cut", cut }, { "altered", altered }, { "forged", forged }, { "forged_parts", forged_parts }, { "values", values },
		{ "others", others }, { "not_saved", not_saved }, { "unknown", unknown }, { "old", old },
	};
	unsigned int seed = test_seed();

	printf("   SEED=%u\n", seed);
	srandom(seed);
	if (argc == 3 && !strcmp(argv[1], "--write"))
		return write_file(argv[2]);
	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
