// SPDX-License-Identifier: GPL-2.0
/*
 * Each clause of the scheme: rules, and a trace of accesses that shows it.
 *
 * A trace is a list of steps. "w ADDR WIDTH VALUE taken|punt", "r ADDR WIDTH VALUE|punt"; in front of it "v1" (which vCPU), "busy",
 * "away" or "brief" (the vCPU was out of KVM_RUN), "held" (the lock), "x4" (a string of at most so many elements). "more VALUE": the next
 * element. "done": the VMM is done with the last write that was punted. "lost", "drain", "own". Numbers are hexadecimal but for x's.
 */
#include <iofilter/libiofilter.h>
#include <iofilter/table_vmm.h>
#include <loader/lib/table.h>
#include "host.h"

struct scheme {
	const char *name, *rules, *trace;
};

static struct iofilter_table *t;
static struct table_file *file;
static struct kvm_iofilter_sample written;
static struct kvm_iofilter_req string;

/* clang-format off */
static const struct scheme schemes[] = {
	{ "a write loop that does not trap until a transition",
	  "ports ide 0x1f0-0x1f7\n"
	  "slot head\n"
	  "slot command\n"
	  "write ide+6 b take head and 0xef or 0xa0\n"
	  "write ide+2-5 b take\n"
	  "write ide+7 b trap 0x20/0xe0 take command\n"
	  "read ide+6 b answer head\n",
	  "w 1f6 1 0 taken; w 1f6 1 1 taken; w 1f6 1 12 taken; w 1f2 1 1 taken; w 1f5 1 ff taken; r 1f6 1 a2; w 1f6 1 3 taken; r 1f6 1 a3;"
	  "w 1f7 1 90 taken; w 1f7 1 20 punt; w 1f7 1 3f punt; w 1f7 1 40 taken" },
	{ "a read loop that polls a status",
	  "ports ide 0x1f0-0x1f7\n"
	  "bit busy\n"
	  "write ide+7 b pass set busy\n"
	  "write ide+1 b pass clear busy\n"
	  "read ide+7 b if busy answer 0xd0\n"
	  "read ide+7 b answer 0x50\n",
	  "r 1f7 1 punt; w 1f7 1 20 punt; r 1f7 1 punt; done; r 1f7 1 d0; r 1f7 1 d0; r 1f7 1 d0; w 1f1 1 0 punt; done; r 1f7 1 50; r 1f7 1 50" },
	{ "bits that must be 1, and bits that must be 0",
	  "ports p 0x100-0x103\nbit a\nbit b\n"
	  "write p+0 b trap 1/1 take set a clear b\nwrite p+1 b take clear a\nwrite p+2 b take set b\n"
	  "read p b if a,!b answer 1\nread p b if !a,!b answer 2\nread p b if b answer 3\n",
	  "r 100 1 punt; w 100 1 0 taken; r 100 1 1; w 101 1 0 taken; r 101 1 2; w 102 1 0 taken; r 103 1 3" },
	{ "the first rule that fits counts; widths are kept apart",
	  "ports p 0x100-0x103\nread p b answer 1\nread p+0 wl answer 2\nread p+2 w pass\n",
	  "r 100 1 1; r 100 2 2; r 100 4 2; r 102 2 punt; r 102 4 punt; r 101 2 punt" },
	{ "slots overlap: .b in .w in .l",
	  "ports p 0x100-0x107\nslot s\n"
	  "write p+0 l take s\nwrite p+0 w take s.w\nwrite p+0 b take s.b\nwrite p+1 b take s.b+1\nwrite p+3 b take s.b+3\n"
	  "read p+0 l answer s\nread p+0 w answer s.w\nread p+0 b answer s.b\nread p+2 w answer s.w+2\n",
	  "w 100 1 11 taken; r 100 1 11; r 100 2 punt; w 101 1 22 taken; r 100 2 2211; r 100 4 punt; w 100 4 44332211 taken; r 100 4 44332211;"
	  "w 103 1 99 taken; r 102 2 9933; w 100 2 aabb taken; r 100 4 9933aabb" },
	{ "fixed bits, and and or, of what is stored and of what is answered",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b take s and 0x0f or 0x80\nread p+0 b answer s\nread p+1 b answer s and 0xf0 or 1\n",
	  "w 100 1 ff taken; r 100 1 8f; r 101 1 81" },
	{ "a transition traps, and nobody knows what it did",
	  "ports p 0x100-0x103\nbit on\nslot s\nwrite p+0 b trap 0x80/0xc0 take s set on\nread p+0 b answer s\nread p+1 b if on answer 1\n",
	  "w 100 1 40 taken; r 100 1 40; r 101 1 1; w 100 1 80 punt; done; r 100 1 punt; r 101 1 punt; w 100 1 c0 taken; r 100 1 c0; r 101 1 1" },
	{ "reads update state bits",
	  "ports p 0x100-0x103\nbit odd = 0\nread p+0 b if odd answer 1 clear odd\nread p+0 b answer 0 set odd\n",
	  "r 100 1 0; r 100 1 1; r 100 1 0; r 100 1 1" },
	{ "a constant; a write that goes nowhere",
	  "ports p 0x80\nwrite p b take\nread p b answer 0xff\n",
	  "w 80 1 1 taken; r 80 1 ff; lost; away w 80 1 2 taken; held w 80 1 3 punt; w 80 1 4 taken; busy w 80 1 5 punt; w 80 2 5 punt; w 80 1 1 taken" },
	{ "a buffer, then a trap; a write begins it anew",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nwrite p+1 b pass rewind d\nread p+0 bw repeat d\n",
	  "r 100 2 punt; w 101 1 0 punt; r 100 2 punt; done; r 100 2 201; r 100 1 3; r 100 2 504; r 100 2 punt;"
	  "w 101 1 0 punt; done; r 100 1 1" },
	{ "a buffer that is cut by a wider read is dropped",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03\nread p+0 bw repeat d\n",
	  "r 100 2 201; r 100 2 punt; r 100 1 punt" },
	{ "a string: all of it, or nothing",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nread p+0 bw repeat d\nread p+3 b answer 5\n",
	  "x4 r 103 1 punt; x3 r 100 2 201; more 403; more 605; r 100 2 punt" },
	{ "a string that wants less than it may gives the rest back",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nread p+0 bw repeat d\n",
	  "x6 r 100 1 1; more 2; r 100 1 3; x3 r 100 1 4; more 5; more 6; r 100 1 punt" },
	{ "a string that does not fit goes to the VMM, and so does the rest",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nread p+0 bw repeat d\n",
	  "x4 r 100 2 punt; r 100 1 punt" },
	{ "a string of more than there can be",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nread p+0 l repeat d\n",
	  "x1073741825 r 100 4 punt; r 100 4 punt" },
	{ "another vCPU in the middle of a string: that ends well, and then nothing is left",
	  "ports p 0x100-0x103\nbuffer d = 01 02 03 04 05 06\nread p+0 bw repeat d\nread p+3 b answer 7\n",
	  "x4 r 100 1 1; more 2; v1 r 103 1 7; more 3; more 4; r 100 1 punt" },
	{ "a string write may change anything",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b take s\nread p+0 b answer s\n",
	  "w 100 1 1 taken; r 100 1 1; x2 w 100 1 2 punt; done; r 100 1 punt" },
	{ "unknown after an absence, not after a short one",
	  "ports p 0x100-0x103\nbit b\nslot s\nwrite p+0 b take s set b\nread p+0 b answer s\nread p+1 b if b answer 1\n",
	  "w 100 1 7 taken; brief r 100 1 7; away r 100 1 punt; r 101 1 punt; w 100 1 8 taken; r 100 1 8; r 101 1 1;"
	  "brief held r 100 1 punt; r 100 1 8; away held r 100 1 punt; r 100 1 punt" },
	{ "unknown after a lost answer",
	  "ports p 0x100-0x103\nbit b\nslot s\nwrite p+0 b take s set b\nread p+0 b answer s\nread p+1 b if b answer 1\n",
	  "w 100 1 7 taken; lost; r 100 1 punt; r 101 1 punt; w 100 1 8 taken; r 100 1 8" },
	{ "but not when the VMM tells of resets",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b take s\nread p+0 b answer s\n",
	  "own; w 100 1 7 taken; lost; r 100 1 7; away r 100 1 7" },
	{ "a write that met the lock held: unknown; a read: as it was",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b take s\nread p+0 b answer s\n",
	  "w 100 1 7 taken; held r 100 1 punt; r 100 1 7; held w 100 1 8 punt; done; r 100 1 punt; w 100 1 9 taken; r 100 1 9" },
	{ "a write that no rule matches, or that straddles: unknown",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b take s\nread p+0 b answer s\n",
	  "w 100 1 7 taken; w 102 1 0 punt; done; r 100 1 7; w 100 2 0 punt; done; r 100 1 punt;"
	  "w 100 1 7 taken; r 100 1 7; w ff 2 0 punt; done; r 100 1 punt; w 100 1 7 taken; w fd 4 0 punt; done; r 100 1 punt" },
	{ "a write in flight on another vCPU: all goes to the VMM, and a second write makes unknown",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b pass s\nread p+0 b answer s\n",
	  "w 100 1 7 punt; v1 busy r 100 1 punt; done; v1 r 100 1 7; w 100 1 8 punt; v1 busy w 100 1 9 punt; done; r 100 1 punt" },
	{ "a write that the VMM is not done with is not known here",
	  "ports p 0x100-0x103\nslot s\nwrite p+0 b pass s\nread p+0 b answer s\n",
	  "w 100 1 7 punt; done; r 100 1 7; w 100 1 8 punt; v1 r 100 1 punt; v1 r 100 1 punt; done; v1 r 100 1 8" },
	{ "a drain: nothing begins that the VMM does not know of",
	  "ports p 0x100-0x103\nslot s\nbuffer d = 01 02\nwrite p+0 b take s\nread p+0 b answer s\nread p+1 b repeat d\n",
	  "w 100 1 7 taken; drain; r 100 1 7; w 100 1 8 punt; done; r 100 1 8; r 101 1 punt; r 101 1 punt" },
	{ "memory, 8 bytes",
	  "memory m 0xfed80000-0xfed800ff\nslot s\nwrite m+0x10 q take s\nread m+0x10 q answer s\nread m+0x14 l answer s.l+4\n",
	  "w fed80010 8 1122334455667788 taken; r fed80010 8 1122334455667788; r fed80014 4 11223344; r fed80010 4 punt" },
	{ "memory, straddled from below and from above",
	  "memory m 0xfed80000-0xfed80007\nslot s\nwrite m+0 b take s\nread m+0 b answer s\nwrite m+7 b take s.b\n",
	  "w fed80000 1 7 taken; r fed80000 1 7; w fed7fff9 8 0 punt; done; r fed80000 1 punt;"
	  "w fed80000 1 7 taken; r fed80000 1 7; w fed80007 8 0 punt; done; r fed80000 1 punt" },
};
/* clang-format on */

static struct kvm_iofilter_req step_req(char **words, bool *held)
{
	struct kvm_iofilter_req req = { .count = 1 };
	char *w;

	*held = false;
	for (;;) {
		w = strsep(words, " ");
		if (!strcmp(w, "r") || !strcmp(w, "w")) {
			req.addr = strtoull(strsep(words, " "), NULL, 16);
			req.len = strtoul(strsep(words, " "), NULL, 16);
			if (*w == 'w')
				req.val = strtoull(strsep(words, " "), NULL, 16);
			req.delay = *w == 'w'; /* which op: the programs do not look at it */
			return req;
		}
		if (!*w)
			continue;
		if (*w == 'v')
			req.vcpu = atoi(w + 1);
		else if (*w == 'x')
			req.count = atoi(w + 1), req.flags |= KVM_IOFILTER_REQ_STRING;
		else if (!strcmp(w, "busy"))
			req.flags |= KVM_IOFILTER_REQ_BUSY;
		else if (!strcmp(w, "away"))
			req.flags |= KVM_IOFILTER_REQ_AWAY, req.away = IOFILTER_ABSENCE_NS;
		else if (!strcmp(w, "brief"))
			req.flags |= KVM_IOFILTER_REQ_AWAY, req.away = IOFILTER_ABSENCE_NS - 1;
		else if (!strcmp(w, "held"))
			*held = true;
		else
			fail_msg("unknown word '%s'", w);
	}
}

static void access_step(const struct scheme *c, int n, char *words)
{
	struct kvm_iofilter_req req;
	bool held, write;
	const char *want;
	int got;

	req = step_req(&words, &held);
	write = req.delay;
	req.delay = 0;
	want = strsep(&words, " ");
	t->lock = held;
	if (write)
		written = (struct kvm_iofilter_sample){ .flags = KVM_IOFILTER_SAMPLE_WRITE, .addr = req.addr, .len = req.len, .vcpu = req.vcpu };
	got = write ? table_on_write(t, &req) : table_on_read(t, &req);
	t->lock = 0;
	if (req.flags & KVM_IOFILTER_REQ_STRING)
		string = req;
	if (!strcmp(want, "punt")) {
		if (got)
			fail_msg("%s: step %d: answered 0x%llx, wanted a punt", c->name, n, req.val);
	} else if (!got) {
		fail_msg("%s: step %d: punted, wanted %s", c->name, n, want);
	} else if (!write && req.val != strtoull(want, NULL, 16)) {
		fail_msg("%s: step %d: 0x%llx, wanted 0x%s", c->name, n, req.val, want);
	}
}

static void step(const struct scheme *c, int n, char *s)
{
	const struct kvm_iofilter_sample lost = { .flags = KVM_IOFILTER_SAMPLE_LOST };
	struct kvm_iofilter_req req = string;

	if (!strcmp(s, "done")) {
		table_on_sample(t, &written);
	} else if (!strcmp(s, "lost")) {
		table_on_sample(t, &lost);
	} else if (!strcmp(s, "drain")) {
		table_on_quiesce(t, 0);
	} else if (!strcmp(s, "own")) {
		iofilter_table_own(t, 1);
	} else if (!strncmp(s, "more ", 5)) {
		req.flags |= KVM_IOFILTER_REQ_MORE;
		if (!table_on_read(t, &req) || req.val != strtoull(s + 5, NULL, 16))
			fail_msg("%s: step %d: not %s, but 0x%llx", c->name, n, s + 5, req.val);
	} else {
		access_step(c, n, s);
	}
}

static void read_rules(const char *name, const char *rules)
{
	memset(t, 0, sizeof(*t));
	t->absence = IOFILTER_ABSENCE_NS;
	if (table_parse(file, name, rules, strlen(rules), t))
		fail_msg("%s", iofilter_error());
}

static void clauses(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		char *trace = strdup(schemes[i].trace), *rest = trace, *s;
		int n = 0;

		read_rules(schemes[i].name, schemes[i].rules);
		while ((s = strsep(&rest, ";"))) {
			while (*s == ' ')
				s++;
			step(&schemes[i], ++n, s);
		}
		printf("   %s: %d steps\n", schemes[i].name, n);
		free(trace);
	}
}

static int access_one(int write, __u64 addr, __u32 len, __u64 val, __u32 count, __u64 *answer)
{
	struct kvm_iofilter_req req = { .addr = addr, .len = len, .val = val, .count = count, .flags = count > 1 ? KVM_IOFILTER_REQ_STRING : 0 };
	int got = write ? table_on_write(t, &req) : table_on_read(t, &req);

	string = req;
	*answer = req.val;
	return got;
}

/* The largest prediction: 4096 accesses with 128 KiB of data, and what comes after it. */
static void predictions(void **unused)
{
	static struct table_expect e[TABLE_PREDICTIONS];
	static __u8 data[TABLE_PREDICT_DATA];
	__u64 v;
	int i, k;

	(void)unused;
	read_rules("predictions", "ports p 0x1f0-0x1f7\nbit idle = 1\nread p+7 b if idle answer 0x77\n");
	for (i = 0; i < (int)sizeof(data); i++)
		data[i] = rnd();
	/* 256 sectors, each a string of 256 words, and 15 other accesses. */
	for (i = 0; i < TABLE_PREDICTIONS; i++) {
		e[i] = (struct table_expect){ .op = TABLE_READ, .addr = 0x1f7, .width = 1, .value = 0x58 };
		if (i % 16 == 0)
			e[i] = (struct table_expect){ .op = TABLE_READ, .addr = 0x1f0, .width = 2, .off = i / 16 * 512, .bytes = 512 };
		else if (i % 16 == 1)
			e[i] = (struct table_expect){ .op = TABLE_WRITE, .addr = 0x1f2, .width = 1, .value = i & 0xff };
	}
	assert_int_equal(iofilter_table_predict(t, e, TABLE_PREDICTIONS + 1, data, sizeof(data)), -E2BIG);
	assert_int_equal(iofilter_table_predict(t, e, TABLE_PREDICTIONS, data, sizeof(data) - 1), -EINVAL);
	assert_int_equal(iofilter_table_predict(t, e, TABLE_PREDICTIONS, data, sizeof(data)), 0);
	for (i = 0; i < TABLE_PREDICTIONS; i++) {
		if (i % 16 == 1) {
			assert_true(access_one(1, 0x1f2, 1, i & 0xff, 1, &v));
			continue;
		}
		assert_true(access_one(0, i % 16 ? 0x1f7 : 0x1f0, i % 16 ? 1 : 2, 0, i % 16 ? 1 : 256, &v));
		assert_int_equal(v, i % 16 ? 0x58 : data[i / 16 * 512] | data[i / 16 * 512 + 1] << 8);
		for (k = 1; i % 16 == 0 && k < 256; k++) {
			struct kvm_iofilter_req more = string;

			more.flags |= KVM_IOFILTER_REQ_MORE;
			assert_true(table_on_read(t, &more));
			assert_int_equal(more.val, data[i / 16 * 512 + 2 * k] | data[i / 16 * 512 + 2 * k + 1] << 8);
		}
	}
	assert_int_equal(t->predict.done, 1);
	assert_int_equal(t->head.in_flight, 0);
	/* The rules again. */
	assert_true(access_one(0, 0x1f7, 1, 0, 1, &v));
	assert_int_equal(v, 0x77);

	/* The first mismatch drops the rest: by width, value, address, direction, and by a state bit. */
	for (i = 0; i < 5; i++) {
		e[0] = (struct table_expect){ .op = TABLE_WRITE, .addr = 0x1f2, .width = 1, .value = 5, .must0 = i == 4 };
		e[1] = (struct table_expect){ .op = TABLE_READ, .addr = 0x1f0, .width = 2, .value = 6 };
		assert_int_equal(iofilter_table_predict(t, e, 2, NULL, 0), 0);
		assert_false(access_one(i != 3, i == 2 ? 0x1f3 : 0x1f2, i == 0 ? 2 : 1, i == 1 ? 4 : 5, 1, &v));
		assert_int_equal(t->predict.armed, 0);
		assert_int_equal(t->predict.dropped, i + 1);
		assert_false(access_one(0, 0x1f0, 2, 0, 1, &v));
	}
}

/* The largest table, and what it costs to find a rule in it: the same as in a small one. */
static void large(void **unused)
{
	char *text = NULL;
	size_t size;
	__u64 v;
	FILE *f = open_memstream(&text, &size);
	int i;

	(void)unused;
	fprintf(f, "ports p 0x100-0x2ff\n");
	for (i = 0; i < TABLE_SLOTS; i++)
		fprintf(f, "slot s%d\n", i);
	for (i = 0; i < TABLE_BITS; i++)
		fprintf(f, "bit b%d\n", i);
	for (i = 0; i < TABLE_RULES / 2; i++)
		fprintf(f, "write p+%d b take s%d set b%d\nread p+%d b answer s%d\n", i, i % TABLE_SLOTS, i % TABLE_BITS, i, i % TABLE_SLOTS);
	fclose(f);
	read_rules("large", text);
	assert_int_equal(t->nr_rules, TABLE_RULES);
	for (i = 0; i < TABLE_RULES / 2; i++) {
		assert_true(access_one(1, 0x100 + i, 1, i ^ 0x55, 1, &v));
		assert_true(access_one(0, 0x100 + i, 1, 0, 1, &v));
		assert_int_equal(v, i ^ 0x55);
		assert_int_equal(t->ports[t->ranges[0].first + 0x100 + i - t->ranges[0].addr].nr[TABLE_READ], 1);
	}
	free(text);
	/* All of them on one port. */
	text = NULL;
	f = open_memstream(&text, &size);
	fprintf(f, "ports p 0x100\n");
	for (i = 0; i < 8; i++)
		fprintf(f, "bit b%d = 1\n", i);
	for (i = 0; i < TABLE_RULES; i++) {
		fprintf(f, "read p b if ");
		for (int k = 0; k < 8; k++)
			fprintf(f, "%s%sb%d", k ? "," : "", i >> k & 1 ? "" : "!", k);
		fprintf(f, " answer %d\n", i);
	}
	fclose(f);
	read_rules("one port", text);
	assert_true(access_one(0, 0x100, 1, 0, 1, &v));
	assert_int_equal(v, 255);
	iofilter_table_bits(t, 0, 1 << 3);
	assert_true(access_one(0, 0x100, 1, 0, 1, &v));
	assert_int_equal(v, 255 - 8);
	free(text);
}

/* A VMM that cooperates. */
static void cooperation(void **unused)
{
	static const __u8 sector[4] = { 1, 2, 3, 4 };
	__u64 v;

	(void)unused;
	read_rules("cooperation", "ports p 0x1f0-0x1f7\nbit ready\nslot head\nbuffer d = 00*4\n"
				  "write p+6 b take head\nwrite p+7 b trap 0x20/0xff take clear ready\n"
				  "read p+7 b if ready answer 0x58\nread p+0 w if ready repeat d\n");
	iofilter_table_own(t, 1);
	assert_true(access_one(1, 0x1f6, 1, 0xa5, 1, &v));
	assert_int_equal(t->head.in_flight, 1);
	assert_false(access_one(1, 0x1f7, 1, 0x20, 1, &v));
	assert_int_equal(iofilter_table_enter(t), 0);
	assert_int_equal(iofilter_table_take(t, 0, &v), 1);
	assert_int_equal(v & 0xff, 0xa5);
	assert_int_equal(iofilter_table_fill(t, 0, sector, sizeof(sector), 5), 0);
	assert_int_equal(iofilter_table_fill(t, 0, sector, 6, 4), -EINVAL);
	iofilter_table_bits(t, 1, 0);
	assert_int_equal(iofilter_table_enter(t), -EBUSY);
	iofilter_table_leave(t);
	assert_int_equal(t->head.in_flight, 0);
	assert_true(access_one(0, 0x1f7, 1, 0, 1, &v));
	assert_true(access_one(0, 0x1f0, 2, 0, 1, &v));
	assert_int_equal(v, 0x201);
	assert_true(access_one(0, 0x1f0, 2, 0, 1, &v));
	assert_int_equal(v, 0x403);
	assert_false(access_one(0, 0x1f0, 2, 0, 1, &v));
	assert_int_equal(iofilter_table_enter(t), 0);
	iofilter_table_forget(t);
	iofilter_table_leave(t);
	assert_false(access_one(0, 0x1f7, 1, 0, 1, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clauses),
		cmocka_unit_test(predictions),
		cmocka_unit_test(large),
		cmocka_unit_test(cooperation),
	};

	seed();
	t = malloc(sizeof(*t));
	file = malloc(sizeof(*file));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
