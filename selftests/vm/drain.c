// SPDX-License-Identifier: GPL-2.0
/*
 * ->quiesce(): a filter that is let go without warning ends what it has begun, if the guest lets it, and what is cut off is counted. The
 * device (drain.bpf.c, and the same in the VMM) has one latch; a pair whose two bytes came from two sides does not match.
 */
#include "drain.h"
#include "drain.skel.h"
#include "filter.h"
#include "vmm.h"

#define PORT	     0x40
#define DRAINS	     "/sys/kernel/debug/kvm_iofilter/drains"
#define VMM_LATCH    0x55

struct drains {
	unsigned long long drained, cut_off, sequences;
};

static struct {
	volatile int go_on, latched, read_on;
	volatile unsigned long pairs, torn;
	volatile __u8 low, high;
} guest;

static int vmm_left;

static void vmm_io(struct vmm *vmm, struct vmm_access *a)
{
	(void)vmm;
	if (a->write) {
		vmm_left = 2;
		return;
	}
	a->val = vmm_left == 2 ? VMM_LATCH : vmm_left ? (__u8)~VMM_LATCH : 0;
	vmm_left -= vmm_left > 0;
}

static void guest_pairs(long arg)
{
	__u8 low, high;

	(void)arg;
	while (guest.go_on) {
		outb(0, PORT);
		low = inb(PORT);
		high = inb(PORT);
		guest.torn += (low ^ high) != 0xff;
		guest.pairs++;
	}
}

/* Latches, and reads only when it is told to. */
static void guest_stuck(long arg)
{
	(void)arg;
	outb(0, PORT);
	guest.low = inb(PORT);
	guest.latched = 1;
	while (!guest.read_on)
		;
	guest.high = inb(PORT);
}

static struct drains drains(void)
{
	FILE *f = fopen(DRAINS, "r");
	struct drains d;
	char header[64];

	TEST_ASSERT(f && fgets(header, sizeof(header), f), "%s: %s", DRAINS, strerror(errno));
	TEST_ASSERT(fscanf(f, "%llu %llu %llu", &d.drained, &d.cut_off, &d.sequences) == 3, "%s: no three numbers", DRAINS);
	fclose(f);
	return d;
}

static struct drain_bpf *attach(const struct vmm *vmm, struct bpf_link **link)
{
	struct drain_bpf *skel = drain_bpf__open();
	int err;

	TEST_ASSERT(skel, "open: %s", strerror(errno));
	filter_set(skel->maps.drain_ops, vmm->fd, NULL, KVM_IOFILTER_PIO, PORT, 1);
	err = drain_bpf__load(skel);
	TEST_ASSERT(!err, "load: %s", strerror(-err));
	*link = filter_attach(skel->maps.drain_ops);
	return skel;
}

static struct vmm *vm(void)
{
	struct vmm *vmm = vmm_new(1, 0);

	memset(&guest, 0, sizeof(guest));
	vmm_left = 0;
	vmm->io = vmm_io;
	return vmm;
}

/*
 * Let go at random moments of a guest that goes on: it sees half a pair only where that is counted, because its vCPU did not get to run
 * within the bound (a busy host).
 */
static void random_moments(void)
{
	int i, n = 100 * test_scale(), waited = 0, cut = 0;
	struct vmm *vmm = vm();
	struct drains before, after;
	struct drain_bpf *skel;
	struct bpf_link *link;
	unsigned long pairs;

	srandom(time(NULL));
	guest.go_on = 1;
	vmm_start(vmm, 0, guest_pairs, 0);
	before = drains();
	for (i = 0; i < n; i++) {
		skel = attach(vmm, &link);
		pairs = guest.pairs;
		usleep(random() % 3000);
		while (!*(volatile __u8 *)&skel->data_drain->drain.latch)
			usleep(100);
		bpf_link__destroy(link);
		TEST_EQ(skel->data_drain->drain.last, 1);
		TEST_ASSERT(skel->data_drain->drain.asked > 0, "not asked");
		cut += !!skel->data_drain->drain.left;
		waited += skel->data_drain->drain.asked > 1;
		drain_bpf__destroy(skel);
		while (guest.pairs < pairs + 2)
			usleep(100);
	}
	guest.go_on = 0;
	vmm_join(vmm, 0);
	after = drains();
	printf("   %lu pairs, %lu torn; %d detaches, %d of them in the middle of a pair, %d cut off\n", guest.pairs, guest.torn, n, waited,
	       cut);
	TEST_ASSERT(guest.torn <= (unsigned long)cut, "%lu pairs are torn, but %d were cut off", guest.torn, cut);
	TEST_EQ(after.drained - before.drained, (unsigned long long)(n - cut));
	TEST_EQ(after.cut_off - before.cut_off, (unsigned long long)cut);
	TEST_ASSERT(waited - cut > waited / 2, "only %d of %d pairs were ended by the guest", waited - cut, waited);
	vmm_free(vmm);
}

/* A guest that does not read on: the detach does not wait for it for long, and it is counted. */
static void cut_off(void)
{
	struct vmm *vmm = vm();
	struct drains before = drains(), after;
	struct drain_bpf *skel;
	struct bpf_link *link;

	skel = attach(vmm, &link);
	vmm_start(vmm, 0, guest_stuck, 0);
	while (!guest.latched)
		usleep(1000);
	TEST_EQ(skel->data_drain->drain.left, 1);
	bpf_link__destroy(link);
	after = drains();
	TEST_EQ(after.cut_off - before.cut_off, 1);
	TEST_EQ(after.sequences - before.sequences, 1);
	TEST_EQ(after.drained - before.drained, 0);
	TEST_EQ(skel->data_drain->drain.asked, KVM_IOFILTER_DRAIN_MS + 1);
	TEST_EQ(skel->data_drain->drain.last, 1);
	guest.read_on = 1;
	vmm_join(vmm, 0);
	TEST_EQ(guest.high, 0); /* the VMM's, which has latched nothing */
	drain_bpf__destroy(skel);
	vmm_free(vmm);
}

/* Nobody is left to read on. */
static void vm_first(void)
{
	struct vmm *vmm = vm();
	struct drains before = drains(), after;
	struct drain_bpf *skel;
	struct bpf_link *link;

	skel = attach(vmm, &link);
	guest.read_on = 1;
	vmm_run(vmm, 0, guest_stuck, 0);
	skel->data_drain->drain.left = 1;
	vmm_free(vmm);
	TEST_ASSERT(filter_hung_up(link, 2000), "no hang-up within 2 s of the VM's end");
	bpf_link__destroy(link);
	after = drains();
	TEST_EQ(skel->data_drain->drain.asked + skel->data_drain->drain.last, 0);
	TEST_EQ(after.cut_off + after.drained, before.cut_off + before.drained);
	drain_bpf__destroy(skel);
}

int main(int argc, char **argv)
{
	const struct test tests[] = {
		{ "random_moments", random_moments },
		{ "cut_off", cut_off },
		{ "vm_first", vm_first },
	};

	return test_main(tests, ARRAY_SIZE(tests), argc, argv);
}
