// SPDX-License-Identifier: GPL-2.0
/* The PIT's program on the real module and KVM: what is answered is what the VMM's device showed just then, on one vCPU and on two. */
#include "pit_notes.h"

static void latched(void)
{
	struct run r;
	int ch;

	for (ch = 0; ch < PIT_CHANNELS; ch++) {
		setup(&r, 1);
			memset(notes, 0, sizeof(notes));
		check_latched(&r, ch);
		TEST_EQ(r.p->head.cut, 0);
		teardown(&r);
	}
}

/* KVM's own PIT has the ports: what it takes the VMM never sees. */
static void in_kernel(void)
{
	struct run r;

	setup_device(&r, 1, VMM_PIT);
	load(&r);
	errno = 0;
	TEST_ASSERT(!__filter_attach(r.skel->maps.pit_ops), "attached beside KVM's own PIT");
	TEST_EQ(errno, EADDRINUSE);
	teardown(&r);
	setup_device(&r, 1, VMM_IRQCHIP);
	attach(&r);
	teardown(&r);
}

/*
 * Two vCPUs on the same channels, without any order between them. Of each channel only the MSB is written and read, so that whatever
 * comes is a byte of a count below the greatest, or a status.
 */
#define STRESS_MSB    0x34
#define STRESS_STATUS (PIT_RW_MSB << 4 | 2 << 1)

static volatile unsigned long implausible;
static volatile __u8 implausible_byte;

static void plausible(__u8 val)
{
	if (val <= STRESS_MSB || val == STRESS_STATUS || val == (PIT_STATUS_OUT | STRESS_STATUS))
		return;
	implausible++;
	implausible_byte = val;
}

static void guest_stress(long arg)
{
	__u64 x = arg * 0x9e3779b97f4a7c15ULL;
	long n = arg >> 8;
	int ch, i;

	for (ch = 0; ch < PIT_CHANNELS; ch++)
		guest_program(ch, PIT_RW_MSB, 2, STRESS_MSB << 8);
	while (n--) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		ch = x % PIT_CHANNELS;
		switch (x >> 8 & 15) {
		case 0:
			guest_program(ch, PIT_RW_MSB, 2, (1 + (x >> 16) % STRESS_MSB) << 8);
			break;
		case 1:
			outb(0xc0 | (x >> 16 & 0x3e), PIT_CONTROL);
			break;
		case 2:
			inb(PIT_SYSTEM);
			break;
		case 3:
			outb(x >> 16 & 1, PIT_SYSTEM);
			break;
		case 4: case 5: case 6: case 7: case 8: case 9:
			outb(ch << 6, PIT_CONTROL);
			plausible(inb(PIT_PORT + ch));
			break;
		default:
			for (i = x >> 16 & 15; i >= 0; i--)
				plausible(inb(PIT_PORT + ch));
		}
	}
}

/* Of what was latched and not read. */
static void guest_clear(long arg)
{
	int ch, i;

	(void)arg;
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		for (i = 0; i < 3; i++)
			inb(PIT_PORT + ch);
}

static void stress(void)
{
	long n = 20000 * test_scale();
	struct run r;
	int ch;

	setup(&r, 2);
	memset(notes, 0, sizeof(notes));
	implausible = 0;
	vmm_start(r.vmm, 1, guest_stress, n << 8 | 1);
	vmm_run(r.vmm, 0, guest_stress, n << 8 | 2);
	vmm_join(r.vmm, 1);
	report(&r, "stress");
	TEST_ASSERT(!implausible, "%lu bytes that no count has: %#x", implausible, implausible_byte);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		TEST_EQ(r.p->channels[ch].clock.fuse, IOFILTER_FUSE_OK);
	TEST_ASSERT(r.p->conflicts > 0, "the two never met");
	/* What one has left at the VMM, nobody is told before it or another one comes again. */
	vmm_run(r.vmm, 0, guest_clear, 0);
	vmm_run(r.vmm, 1, guest_clear, 0);
	for (ch = 0; ch < PIT_CHANNELS; ch++)
		check_latched(&r, ch);
	teardown(&r);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "in_kernel", in_kernel },
		{ "latched", latched },
		{ "stress", stress },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
