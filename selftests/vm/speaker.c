// SPDX-License-Identifier: GPL-2.0
/*
 * Port 0x61 beside KVM's own PIT, on a VMM that answers it as QEMU does: KVM_GET_PIT2 for each read, and KVM_SET_PIT2, too, for each
 * write. The guest notes its TSC around each read, so that every answer is compared with what channel 2 showed between them.
 */
#include <devices/pit.h>
#include <iofilter/speaker.h>
#include "filter.h"
#include "speaker.skel.h"
#include "tsc.h"

#define NR_NOTES 60000
#define ERROR_NS 3000 /* of the line through the TSC's moments */

static struct note {
	__u64 before, after;
	__u8 val;
} notes[2][NR_NOTES];
static int nr_notes[2];

static pthread_mutex_t vmm_lock = PTHREAD_MUTEX_INITIALIZER; /* the BQL */
static bool data_on, refresh, constant;
static unsigned long reads_at_vmm, writes_at_vmm;
static __u64 out_ns;

static __u64 out_clock(void *arg)
{
	(void)arg;
	return out_ns;
}

static bool out_at(const struct kvm_pit_channel_state *c, __u64 ns)
{
	struct pit pit = {
		.clock = out_clock,
		.counters[2] = { .count = c->count, .mode = c->mode, .gate = c->gate, .count_load_time = c->count_load_time },
	};

	out_ns = ns < (__u64)c->count_load_time ? (__u64)c->count_load_time : ns;
	return pit_get_out(&pit, 2);
}

static struct kvm_pit_state2 pit_state(const struct vmm *vmm)
{
	struct kvm_pit_state2 state;

	TEST_ASSERT(!ioctl(vmm->fd, KVM_GET_PIT2, &state), "KVM_GET_PIT2: %s", strerror(errno));
	return state;
}

/* Also when a VM goes on: channel 2 starts anew. */
static void pit_put(const struct vmm *vmm, struct kvm_pit_state2 *state)
{
	TEST_ASSERT(!ioctl(vmm->fd, KVM_SET_PIT2, state), "KVM_SET_PIT2: %s", strerror(errno));
}

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	struct kvm_pit_state2 state;

	if (a->mmio || a->addr != PIT_SYSTEM || a->len != 1 || a->count != 1)
		return;
	pthread_mutex_lock(&vmm_lock);
	state = pit_state(vmm);
	if (a->write) {
		writes_at_vmm++;
		data_on = a->val >> 1 & 1;
		state.channels[2].gate = a->val & 1;
		pit_put(vmm, &state);
	} else {
		reads_at_vmm++;
		refresh ^= 1;
		a->val = constant ? 0x20 :
				    state.channels[2].gate | data_on << 1 | refresh << 4 | out_at(&state.channels[2], now_ns()) << 5;
	}
	pthread_mutex_unlock(&vmm_lock);
}

struct run {
	struct vmm *vmm;
	struct speaker_bpf *skel;
	struct iofilter_speaker *p;
	struct bpf_link *link;
};

static void setup_unattached(struct run *r, int nr_vcpus, unsigned int flags)
{
	memset(r, 0, sizeof(*r));
	data_on = refresh = constant = false;
	reads_at_vmm = writes_at_vmm = 0;
	r->vmm = vmm_new(nr_vcpus, flags);
	r->vmm->io = vmm_io;
	r->skel = speaker_bpf__open();
	TEST_ASSERT(r->skel, "open: %s", strerror(errno));
	filter_ops(r->skel->maps.speaker_ops)->vm_fd = r->vmm->fd;
	TEST_EQ(-speaker_bpf__load(r->skel), 0);
	r->p = &r->skel->data_state->speaker;
}

static void setup(struct run *r, int nr_vcpus)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	int i;

	setup_unattached(r, nr_vcpus, VMM_PIT);
	/* With an APIC in the kernel all but the first wait to be started. */
	for (i = 1; i < nr_vcpus; i++)
		TEST_ASSERT(!ioctl(r->vmm->vcpus[i].fd, KVM_SET_MP_STATE, &runnable), "KVM_SET_MP_STATE: %s", strerror(errno));
	r->link = filter_attach(r->skel->maps.speaker_ops);
}

static void teardown(struct run *r)
{
	bpf_link__destroy(r->link);
	speaker_bpf__destroy(r->skel);
	vmm_free(r->vmm);
}

static void report(const struct run *r, const char *what)
{
	static const char *const names[] = IOFILTER_VERDICT_NAMES;
	const struct iofilter_speaker *p = r->p;
	unsigned int i;

	printf("   %s: %llu answered; at the VMM %lu reads and %lu writes;", what, p->answered, reads_at_vmm, writes_at_vmm);
	for (i = 1; i < IOFILTER_NR_VERDICTS; i++)
		if (p->verdicts[i])
			printf(" %s %llu", names[i], p->verdicts[i]);
	printf("; proof %u, lead %llu us, %llu samples, %llu mismatches, %llu doubts, in flight %u, cut %llu\n", p->proof, p->lead / 1000,
	       p->samples, p->mismatches, p->doubts, p->head.in_flight, p->head.cut);
}

/* --- the guest's side --- */

static void note_read(int who)
{
	struct note *n = &notes[who][nr_notes[who]++];

	n->before = tsc_read();
	n->val = inb(PIT_SYSTEM);
	n->after = tsc_read();
}

static void guest_load(int mode, int count)
{
	outb(0xb0 | mode << 1, PIT_CONTROL);
	outb(count, PIT_PORT + 2);
	outb(count >> 8, PIT_PORT + 2);
}

static void guest_reads(long n)
{
	int i;

	nr_notes[0] = 0;
	for (i = 0; i < n; i++)
		note_read(0);
}

static void guest_reads_too(long n)
{
	int i;

	nr_notes[1] = 0;
	for (i = 0; i < n; i++)
		note_read(1);
}

/* As Linux does it: arch/x86/kernel/tsc.c, pit_calibrate_tsc(). */
static void guest_calibrates(long count)
{
	nr_notes[0] = 0;
	outb((inb(PIT_SYSTEM) & ~PIT_61_DATA) | PIT_61_GATE, PIT_SYSTEM);
	guest_load(0, count);
	do
		note_read(0);
	while (!(notes[0][nr_notes[0] - 1].val & PIT_61_OUT) && nr_notes[0] < NR_NOTES);
}

static void guest_squares(long count)
{
	guest_load(3, count);
	guest_reads(5000);
}

static void guest_speaks(long on)
{
	outb(on ? PIT_61_DATA | PIT_61_GATE : 0, PIT_SYSTEM);
}

/* --- what it noted --- */

/* Each answer is what the port showed between the notes' times, or, from the filter, would have shown. */
static void check_notes(const struct run *r, const struct tsc_moment *a, const struct tsc_moment *b)
{
	struct kvm_pit_state2 state = pit_state(r->vmm);
	const struct kvm_pit_channel_state *c = &state.channels[2];
	__u64 from, to, t;
	int i, outs;

	for (i = 0; i < nr_notes[0]; i++) {
		const struct note *n = &notes[0][i];

		from = tsc_ns(a, b, n->before) - ERROR_NS;
		to = tsc_ns(a, b, n->after) + ERROR_NS;
		for (outs = 0, t = from; t <= to && outs != 3; t += 400)
			outs |= 1 << out_at(c, t);
		outs |= 1 << out_at(c, to);
		TEST_ASSERT(outs >> !!(n->val & PIT_61_OUT) & 1, "note %d: output %d, %lld to %lld ns after the load, mode %d, count %u", i,
			    !!(n->val & PIT_61_OUT), from - c->count_load_time, to - c->count_load_time, c->mode, c->count);
		TEST_EQ(n->val & (PIT_61_GATE | PIT_61_DATA | SPEAKER_61_ZERO), c->gate | data_on << 1);
		if (i)
			TEST_ASSERT((n->val ^ n[-1].val) & PIT_61_REFRESH, "note %d: bit 4 is the same as in the read before", i);
	}
}

static void prove(const struct run *r)
{
	int tries;

	/* What a vCPU was doing when the filter came is not known for 100 ms. */
	for (tries = 0; r->p->proof != IOFILTER_PROVEN && tries < 500; tries++)
		vmm_run(r->vmm, 0, guest_reads, SPEAKER_PROOFS + 4);
	TEST_EQ(r->p->proof, IOFILTER_PROVEN);
}

static void calibrate(void)
{
	static const int counts[] = { 11932, 59659, 1193, 65535 };
	struct tsc_moment a, b;
	struct run r;
	unsigned int i;
	__u64 edge, before, after;

	setup(&r, 1);
	prove(&r);
	for (i = 0; i < 12; i++) {
		unsigned long at_vmm = reads_at_vmm;
		struct kvm_pit_state2 state;

		a = tsc_moment(r.vmm);
		vmm_run(r.vmm, 0, guest_calibrates, counts[i % ARRAY_SIZE(counts)]);
		b = tsc_moment(r.vmm);
		check_notes(&r, &a, &b);
		state = pit_state(r.vmm);
		edge = state.channels[2].count_load_time + iofilter_ticks_to_ns(state.channels[2].count, PIT_HZ);
		before = tsc_ns(&a, &b, notes[0][nr_notes[0] - 1].before);
		after = tsc_ns(&a, &b, notes[0][nr_notes[0] - 1].after);
		printf("   count %5u: %5d reads, %lu of them at the VMM; the edge %lld ns after the last one began, %lld before it ended\n",
		       state.channels[2].count, nr_notes[0], reads_at_vmm - at_vmm, (__s64)(edge - before), (__s64)(after - edge));
		TEST_ASSERT(notes[0][nr_notes[0] - 1].val & PIT_61_OUT, "the output never rose in %d reads", nr_notes[0]);
		TEST_ASSERT((__s64)(after + ERROR_NS - edge) >= 0, "the output rose %lld ns early", (__s64)(edge - after));
		TEST_ASSERT(reads_at_vmm - at_vmm <= 8 + (unsigned long)nr_notes[0] / 10, "%lu of %d reads were at the VMM",
			    reads_at_vmm - at_vmm, nr_notes[0]);
	}
	report(&r, "calibrate");
	TEST_EQ(r.p->mismatches, 0);
	TEST_EQ(r.p->head.cut, 0);
	teardown(&r);
}

static void squares(void)
{
	static const int counts[] = { 1193, 5000, 65535, 0, 100 };
	struct tsc_moment a, b;
	unsigned int i;
	struct run r;

	setup(&r, 1);
	prove(&r);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		vmm_run(r.vmm, 0, guest_speaks, i & 1);
		a = tsc_moment(r.vmm);
		vmm_run(r.vmm, 0, guest_squares, counts[i]);
		b = tsc_moment(r.vmm);
		check_notes(&r, &a, &b);
	}
	report(&r, "squares");
	TEST_EQ(r.p->mismatches, 0);
	TEST_ASSERT(r.p->answered > 5000, "only %llu answered", r.p->answered);
	teardown(&r);
}

/* Bit 4 alternates over the reads of all vCPUs, whoever answers. */
static void two_vcpus(void)
{
	int who, i, ones = 0, n = 0;
	struct run r;

	setup(&r, 2);
	vmm_run(r.vmm, 0, guest_squares, 11932);
	prove(&r);
	vmm_start(r.vmm, 0, guest_reads, 20000);
	vmm_start(r.vmm, 1, guest_reads_too, 20000);
	vmm_join(r.vmm, 0);
	vmm_join(r.vmm, 1);
	for (who = 0; who < 2; who++)
		for (i = 0; i < nr_notes[who]; i++, n++)
			ones += !!(notes[who][i].val & PIT_61_REFRESH);
	report(&r, "two vCPUs");
	TEST_EQ(n, 40000);
	TEST_ASSERT(ones == n / 2 || r.p->head.cut, "%d of %d reads had bit 4 set", ones, n);
	TEST_ASSERT((__u64)abs(2 * ones - n) <= 2 * r.p->head.cut, "%d of %d reads had bit 4 set, and %llu cuts", ones, n, r.p->head.cut);
	TEST_ASSERT(r.p->answered > 20000, "only %llu answered", r.p->answered);
	TEST_EQ(r.p->mismatches, 0);
	teardown(&r);
}

/* They hand a lock around: so it is known what was written and read last. */
static volatile __u32 guest_lock;
static volatile __u8 written, last_read;
static volatile unsigned long locked_reads, wrong_bits, wrong_toggles;

static void guest_stress(long arg)
{
	__u64 x = arg * 0x9e3779b97f4a7c15ULL;
	long n = arg >> 8;
	__u8 val;

	while (n--) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		while (__sync_lock_test_and_set(&guest_lock, 1))
			asm volatile("pause");
		switch (x >> 8 & 127) {
		case 0:
			written = x >> 16 & 3;
			outb(written, PIT_SYSTEM);
			break;
		case 1:
			guest_load(x >> 16 & 1 ? 3 : 0, 1193 + (x >> 17 & 0x7fff));
			break;
		default:
			val = inb(PIT_SYSTEM);
			wrong_bits += (val & 3) != written;
			wrong_toggles += locked_reads && !((val ^ last_read) & PIT_61_REFRESH);
			last_read = val;
			locked_reads++;
		}
		__sync_lock_release(&guest_lock);
	}
}

static void stress(void)
{
	long n = 20000 * test_scale();
	struct run r;
	int i;

	setup(&r, 3);
	vmm_run(r.vmm, 0, guest_speaks, 0);
	written = pit_state(r.vmm).channels[2].gate | data_on << 1;
	locked_reads = wrong_bits = wrong_toggles = guest_lock = 0;
	for (i = 0; i < 3; i++)
		vmm_start(r.vmm, i, guest_stress, n << 8 | (i + 1));
	for (i = 0; i < 3; i++)
		vmm_join(r.vmm, i);
	report(&r, "three vCPUs that write and read");
	printf("   %lu reads, bit 4 was the same %lu times\n", locked_reads, wrong_toggles);
	TEST_EQ(wrong_bits, 0);
	TEST_ASSERT(wrong_toggles <= r.p->head.cut, "%lu times bit 4 was the same, %llu cuts", wrong_toggles, r.p->head.cut);
	TEST_ASSERT(r.p->answered > locked_reads / 4, "only %llu of %lu answered", r.p->answered, locked_reads);
	TEST_EQ(r.p->mismatches, 0);
	teardown(&r);
}

/* Stopped, and gone on as QEMU does, perhaps with something else loaded: nothing old is answered. */
static void stopped(void)
{
	struct kvm_pit_state2 state;
	struct tsc_moment a, b;
	struct run r;
	int i;

	setup(&r, 1);
	prove(&r);
	for (i = 0; i < 40; i++) {
		vmm_run(r.vmm, 0, guest_calibrates, 1193);
		vmm_run(r.vmm, 0, guest_reads, i);
		usleep(2000);
		data_on = i & 1;
		refresh = i & 2;
		state = pit_state(r.vmm);
		state.channels[2].gate = i >> 2 & 1;
		state.channels[2].count = 11932;
		pit_put(r.vmm, &state);
		a = tsc_moment(r.vmm);
		vmm_run(r.vmm, 0, guest_reads, 300);
		b = tsc_moment(r.vmm);
		check_notes(&r, &a, &b);
	}
	report(&r, "stopped");
	TEST_ASSERT(r.p->doubts >= 40, "%llu doubts", r.p->doubts);
	TEST_ASSERT(r.p->answered > 5000, "only %llu answered", r.p->answered);
	TEST_EQ(r.p->mismatches, 0);
	teardown(&r);
}

/* The second of two reads is answered before the filter goes, and none after a first one is begun. */
static void drained(void)
{
	struct run r;
	__u8 last;

	setup(&r, 1);
	vmm_run(r.vmm, 0, guest_squares, 11932);
	prove(&r);
	do
		vmm_run(r.vmm, 0, guest_reads, 1);
	while (!r.p->head.in_flight);
	r.p->head.drain = 1;
	last = notes[0][0].val;
	vmm_run(r.vmm, 0, guest_reads, 1);
	TEST_EQ(r.p->head.in_flight, 0);
	bpf_link__destroy(r.link);
	r.link = NULL;
	TEST_ASSERT((last ^ notes[0][0].val) & PIT_61_REFRESH, "bit 4 did not change while draining");
	last = notes[0][0].val;
	vmm_run(r.vmm, 0, guest_reads, 1);
	TEST_ASSERT((last ^ notes[0][0].val) & PIT_61_REFRESH, "bit 4 did not change from the filter to the VMM");
	TEST_EQ(r.p->head.cut, 0);
	teardown(&r);
}

/* kvmtool and crosvm answer a constant. */
static void other_vmm(void)
{
	struct run r;
	int i;

	setup(&r, 1);
	constant = true;
	vmm_run(r.vmm, 0, guest_reads, 2000);
	for (i = 0; i < nr_notes[0]; i++)
		TEST_EQ(notes[0][i].val, 0x20);
	report(&r, "another VMM");
	TEST_EQ(r.p->answered, 0);
	TEST_EQ(r.p->proof, IOFILTER_FUSED);
	teardown(&r);
}

static void refused(void)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct run r;

	setup_unattached(&r, 1, VMM_IRQCHIP);
	errno = 0;
	TEST_ASSERT(!__filter_attach(r.skel->maps.speaker_ops), "attached to a VM whose PIT is in userspace");
	TEST_EQ(errno, ENXIO);
	TEST_ASSERT(!ioctl(r.vmm->fd, KVM_CREATE_PIT2, &config), "KVM_CREATE_PIT2: %s", strerror(errno));
	errno = 0;
	TEST_ASSERT(!__filter_attach(r.skel->maps.speaker_ops), "attached where KVM answers port 0x61");
	TEST_EQ(errno, EADDRINUSE);
	teardown(&r);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "refused", refused },
		{ "calibrate", calibrate },
		{ "squares", squares },
		{ "two_vcpus", two_vcpus },
		{ "stress", stress },
		{ "stopped", stopped },
		{ "drained", drained },
		{ "other_vmm", other_vmm },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
