// SPDX-License-Identifier: GPL-2.0
/*
 * String instructions at a watched port. Punted, they reach the VMM exactly as without a filter; answered, memory holds the
 * filter's values; and req->count is never less than what the exit still asks for.
 */
#include "recorder.h"

#define PORT 0x608
#define MAX  (3 * 4096)

static struct vmm_access trace[MAX];
static unsigned int nr_trace;
static unsigned char next_byte;

static unsigned char buf[MAX] __attribute__((aligned(4096)));
static unsigned char want[MAX];

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	unsigned char *data = a->data;
	__u32 i;

	(void)vmm;
	TEST_ASSERT(nr_trace < MAX, "endless exits");
	trace[nr_trace] = *a;
	if (a->write)
		for (i = a->val = 0; i < a->len * a->count; i++)
			trace[nr_trace].val = trace[nr_trace].val * 31 + data[i];
	else
		for (i = 0; i < a->len * a->count; i++)
			data[i] = ++next_byte;
	if (!a->write)
		memcpy(&a->val, data, a->len);
	nr_trace++;
}

struct string {
	bool write;
	int len;
	long n;
	long at; /* offset into the buffer */
};

static struct string now;

static void guest(long arg)
{
	(void)arg;
	if (now.write)
		guest_outs(PORT, buf + now.at, now.n, now.len);
	else
		guest_ins(PORT, buf + now.at, now.n, now.len);
}

static const struct string strings[] = {
	{ false, 2, 5, 0 },    { false, 1, 1, 0 },   { false, 1, 100, 3 },    { false, 4, 7, 4090 },
	{ false, 4, 600, 16 }, { false, 1, 3000, 4000 }, { false, 2, 0, 0 },
	{ false, 2, 40, 4063 }, { false, 4, 40, 4001 },
	{ true, 1, 5, 0 },     { true, 2, 1, 0 },    { true, 1, 100, 4000 },  { true, 4, 40, 1 },
	{ true, 2, 0, 0 },
};

static void run(struct vmm *vmm, const struct string *s)
{
	int i;

	now = *s;
	nr_trace = 0;
	next_byte = 0;
	for (i = 0; i < MAX; i++)
		buf[i] = s->write ? i * 7 : 0xee;
	vmm_run(vmm, 0, guest, 0);
}

/* The same instruction without a filter, and with one that punts. */
static void punted(void)
{
	static struct vmm_access alone[MAX];
	unsigned int i, j, n;

	for (i = 0; i < ARRAY_SIZE(strings); i++) {
		struct vmm *vmm = vmm_new(1, 0);
		struct recorder rec;

		vmm->io = vmm_io;
		run(vmm, &strings[i]);
		n = nr_trace;
		memcpy(alone, trace, sizeof(trace));
		memcpy(want, buf, MAX);

		recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
		run(vmm, &strings[i]);
		TEST_EQ(nr_trace, n);
		TEST_ASSERT(!strings[i].n == !rec.r->nr, "%llu accesses seen by the filter", rec.r->nr);
		for (j = 0; j < n; j++) {
			TEST_EQ(trace[j].addr, alone[j].addr);
			TEST_EQ(trace[j].len, alone[j].len);
			TEST_EQ(trace[j].count, alone[j].count);
			TEST_EQ(trace[j].write, alone[j].write);
			TEST_EQ(trace[j].val, alone[j].val);
		}
		TEST_ASSERT(!memcmp(buf, want, MAX), "string %u: memory differs from what the VMM alone leaves", i);
		recorder_free(&rec);
		vmm_free(vmm);
	}
}

static void answered(void)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(strings); i++) {
		const struct string *s = &strings[i];
		struct vmm *vmm = vmm_new(1, 0);
		struct recorder rec;

		if (s->write || s->n * s->len > 1024)
			goto next;
		vmm->io = vmm_io;
		recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
		rec.r->answer_reads = 1;
		rec.r->value = 0x01020304;
		rec.r->step = 0x01010101;
		run(vmm, s);
		TEST_EQ(nr_trace, 0);
		TEST_EQ(rec.r->nr, s->n);
		memset(want, 0xee, MAX);
		for (j = 0; j < s->n; j++) {
			__u32 v = 0x01020304 + j * 0x01010101;
			const struct record_access *a = &rec.r->log[j];

			memcpy(want + s->at + j * s->len, &v, s->len);
			TEST_EQ(!!(a->flags & KVM_IOFILTER_REQ_STRING), a->count != 1);
			TEST_ASSERT(a->count <= 1024U / s->len, "string %u, element %u: count %u", i, j, a->count);
			if (s->at % 4096 + s->n * s->len <= 4096)
				TEST_ASSERT(a->count >= s->n - j, "string %u, element %u of %ld: count %u", i, j, s->n, a->count);
		}
		TEST_ASSERT(!memcmp(buf, want, MAX), "string %u: memory does not hold the filter's answers", i);
		recorder_free(&rec);
next:
		vmm_free(vmm);
	}
}

/* Writes that are taken: each element once, in order, and none reaches the VMM. */
static void taken(void)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(strings); i++) {
		const struct string *s = &strings[i];
		struct vmm *vmm = vmm_new(1, 0);
		struct recorder rec;

		if (!s->write)
			goto next;
		vmm->io = vmm_io;
		recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
		rec.r->answer_writes = 1;
		run(vmm, s);
		TEST_EQ(nr_trace, 0);
		TEST_EQ(rec.r->nr, s->n);
		for (j = 0; j < s->n; j++) {
			__u32 v = 0;

			memcpy(&v, buf + s->at + j * s->len, s->len);
			TEST_EQ(rec.r->log[j].val, v);
		}
		recorder_free(&rec);
next:
		vmm_free(vmm);
	}
}

static volatile bool stop;
static volatile unsigned long whole[2], torn;

static void mixed_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	memset(a->data, 0xa1, a->len * a->count);
	a->val = 0xa1a1a1a1;
}

static void guest_mixed(long arg)
{
	int i;

	(void)arg;
	while (!stop) {
		guest_ins(PORT, buf, 1024, 1);
		for (i = 1; i < 1024 && buf[i] == buf[0]; i++)
			;
		if (i < 1024 || (buf[0] != 0xa1 && buf[0] != 0x5a))
			torn++;
		else
			whole[buf[0] == 0x5a]++;
	}
}

/* Whoever answers the first element answers all, while the filter comes and goes. */
static void detached(void)
{
	unsigned long rounds = 40 * test_scale(), i, before[2];
	struct vmm *vmm = vmm_new(1, 0);
	struct recorder rec;
	int by;

	vmm->io = mixed_io;
	recorder_attach(&rec, vmm, KVM_IOFILTER_PIO, PORT, 4);
	rec.r->answer_reads = 1;
	rec.r->value = 0x5a;
	stop = false;
	vmm_start(vmm, 0, guest_mixed, 0);
	for (i = 0; i < rounds && !torn; i++) {
		for (by = 1; by >= 0; by--) {
			before[by] = whole[by];
			while (whole[by] == before[by] && !torn)
				usleep(100 + random() % 1000);
			if (by)
				bpf_link__destroy(rec.link);
			else
				rec.link = filter_attach(rec.skel->maps.record_ops);
		}
	}
	stop = true;
	vmm_join(vmm, 0);
	TEST_EQ(torn, 0);
	printf("%lu strings by the VMM, %lu by the filter, %lu detaches\n", whole[0], whole[1], rounds);
	recorder_free(&rec);
	vmm_free(vmm);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "punted", punted },
		{ "answered", answered },
		{ "taken", taken },
		{ "detached", detached },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
