// SPDX-License-Identifier: GPL-2.0
/*
 * A flat payload: a raw binary that is loaded at an address and entered there, in 32-bit protected mode: flat segments of 4 GiB,
 * paging and interrupts off, the stack below the binary.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "vmm.h"

void *file_read(const char *name, size_t *size)
{
	FILE *f = fopen(name, "re");
	char *buf = NULL;
	long n;

	if (!f || fseek(f, 0, SEEK_END) || (n = ftell(f)) < 0 || fseek(f, 0, SEEK_SET)) {
		vmm_error("%s: %s", name, strerror(errno));
	} else if (n == 0) {
		vmm_error("%s is empty", name);
	} else {
		buf = malloc(n);
		if (buf && fread(buf, 1, n, f) != (size_t)n) {
			free(buf);
			buf = NULL;
		}
		if (!buf)
			vmm_error("%s cannot be read: %s", name, strerror(errno));
		*size = n;
	}
	if (f)
		fclose(f);
	return buf;
}

int flat_load(struct vmm *vmm)
{
	struct kvm_segment code = { .limit = ~0U, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = vmm->opts.flat_addr, .rflags = 2, .rsp = vmm->opts.flat_addr };
	struct kvm_sregs s;
	size_t size;
	void *image, *to;

	image = file_read(vmm->opts.flat, &size);
	if (!image)
		return -1;
	to = machine_memory(vmm, vmm->opts.flat_addr, size);
	if (to)
		memcpy(to, image, size);
	free(image);
	if (!to) {
		vmm_error("%s: %zu bytes at 0x%llx do not fit into %llu MiB", vmm->opts.flat, size, vmm->opts.flat_addr,
			  vmm->ram_size >> 20);
		return -1;
	}
	data.selector = 16;
	data.type = 3;
	if (!ioctl(vmm->vcpus[0].fd, KVM_GET_SREGS, &s)) {
		s.cs = code;
		s.ds = s.es = s.fs = s.gs = s.ss = data;
		s.cr0 |= 1;
		if (!ioctl(vmm->vcpus[0].fd, KVM_SET_SREGS, &s) && !ioctl(vmm->vcpus[0].fd, KVM_SET_REGS, &regs))
			return 0;
	}
	vmm_error("KVM does not take the registers: %s", strerror(errno));
	return -1;
}
