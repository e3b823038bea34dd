// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A whole VMM with an ACPI PM timer. Its guest reads the timer in a loop: first each read exits to the VMM, then the filter, which
 * shows the same clock, answers in the kernel. Needs the module, CAP_BPF and CAP_PERFMON:
 *
 *	cc -o vmm vmm.c $(pkg-config --cflags --libs libiofilter)
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <iofilter/libiofilter.h>
#include <iofilter/pmtimer.h>

#define NSEC  1000000000ULL
#define READS 20000

static const unsigned char guest[] = {		   /* 16 bits, loaded at 0 */
	0xba, PMTIMER_PORT & 0xff, PMTIMER_PORT >> 8,	   /*	 mov PMTIMER_PORT, %dx */
	0x66, 0xb9, READS & 0xff, READS >> 8, 0x00, 0x00, /*	 mov READS, %ecx */
	0x66, 0xed,					   /* 1: in %dx, %eax */
	0x66, 0x49, 0x75, 0xfa,				   /*	 dec %ecx; jnz 1b */
	0xf4,						   /*	 hlt */
};

static __s64 offset; /* the VM's clock is CLOCK_MONOTONIC + offset, for the model and for the filter */

static __u32 pmtimer_read(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (unsigned __int128)(ts.tv_sec * NSEC + ts.tv_nsec + offset) * PMTIMER_HZ / NSEC & ((1 << PMTIMER_WIDTH) - 1);
}

static int run_guest(int vcpu, struct kvm_run *run)
{
	struct kvm_regs regs = { .rflags = 2 };
	int exits = 0;

	ioctl(vcpu, KVM_SET_REGS, &regs);
	while (!ioctl(vcpu, KVM_RUN, NULL) && run->exit_reason == KVM_EXIT_IO && run->io.port == PMTIMER_PORT && run->io.size == 4) {
		*(__u32 *)((char *)run + run->io.data_offset) = pmtimer_read();
		exits++;
	}
	if (run->exit_reason != KVM_EXIT_HLT || ioctl(vcpu, KVM_GET_REGS, &regs) || regs.rcx)
		errx(1, "the guest has not come to its end: exit reason %u", run->exit_reason);
	printf("%d reads, %d exits, the last value %.6f s ago\n", READS, exits,
	       ((pmtimer_read() - regs.rax) & ((1 << PMTIMER_WIDTH) - 1)) / (double)PMTIMER_HZ);
	return exits;
}

int main(void)
{
	void *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .memory_size = 4096, .userspace_addr = (unsigned long)mem };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = vm };
	struct kvm_run *run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	struct kvm_sregs sregs;
	struct iofilter *f;

	if (vcpu < 0 || run == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		err(1, "no VM");
	memcpy(mem, guest, sizeof(guest));
	sregs.cs.base = sregs.cs.selector = 0;
	ioctl(vcpu, KVM_SET_SREGS, &sregs);
	run_guest(vcpu, run);
	if (iofilter_attach(getpid(), "pmtimer", &opts, &f) || iofilter_clock(f, IOFILTER_CLOCK_OWN, offset))
		errx(1, "%s", iofilter_error());
	run_guest(vcpu, run);
	iofilter_close(f);
	return 0;
}
