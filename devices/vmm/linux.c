// SPDX-License-Identifier: GPL-2.0
/*
 * A Linux bzImage by its 64-bit boot protocol (Documentation/arch/x86/boot.rst): setup header, zero page, e820, initramfs and
 * command line, paging on over an identity map.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "vmm.h"

#define HDRS	    0x53726448 /* "HdrS" */
#define MIN_VERSION 0x020c	/* has xloadflags */
#define SECTOR	    512
#define E820_RAM    1
#define E820_RESERVED 2
#define HEADER_AT   0x1f1

/* Conventional memory; above it is what a PC has there (acpi.c). */
#define ZERO_PAGE 0x7000ULL
#define PML4	  0x9000ULL
#define PDPT	  0xa000ULL
#define PD	  0xb000ULL /* four pages: 4 GiB */
#define GDT	  0x6000ULL
#define CMDLINE	  0x20000ULL
#define LOW_END	  0x9fc00ULL
#define HIGH	  0x100000ULL

#define PTE_P	(1ULL << 0)
#define PTE_W	(1ULL << 1)
#define PTE_PS	(1ULL << 7)

#define BOOT_CS 0x10
#define BOOT_DS 0x18

static int check_header(const struct vmm *vmm, const struct setup_header *h, size_t size)
{
	const char *why = NULL;

	if (size < HEADER_AT + sizeof(*h) || h->header != HDRS)
		why = "is no Linux bzImage";
	else if (h->version < MIN_VERSION || !(h->xloadflags & XLF_KERNEL_64))
		why = "has no 64-bit entry (a kernel before 3.8, or for 32 bits)";
	else if (size <= ((h->setup_sects ?: 4) + 1UL) * SECTOR)
		why = "is cut off";
	if (!why)
		return 0;
	vmm_error("%s %s", vmm->opts.kernel, why);
	return -1;
}

static void add_e820(struct boot_params *bp, __u64 from, __u64 to, __u32 type)
{
	bp->e820_table[bp->e820_entries++] = (struct boot_e820_entry){ .addr = from, .size = to - from, .type = type };
}

static int load_initrd(struct vmm *vmm, struct boot_params *bp, __u64 kernel_end)
{
	__u64 at, top = vmm->ram_size;
	size_t size;
	void *image, *to;

	if (!vmm->opts.initrd)
		return 0;
	image = file_read(vmm->opts.initrd, &size);
	if (!image)
		return -1;
	if (top > bp->hdr.initrd_addr_max + 1ULL)
		top = bp->hdr.initrd_addr_max + 1ULL;
	at = top >= size ? (top - size) & ~0xfffULL : 0;
	to = at >= kernel_end ? machine_memory(vmm, at, size) : NULL;
	if (to)
		memcpy(to, image, size);
	else
		vmm_error("%s: %zu bytes do not fit into %llu MiB beside the kernel", vmm->opts.initrd, size, vmm->ram_size >> 20);
	free(image);
	bp->hdr.ramdisk_image = at;
	bp->hdr.ramdisk_size = size;
	return to ? 0 : -1;
}

/* Return: where the kernel is entered, or 0. */
static __u64 load_kernel(struct vmm *vmm, struct boot_params *bp, const char *image, size_t size)
{
	const struct setup_header *h = (const void *)(image + HEADER_AT);
	size_t setup = ((h->setup_sects ?: 4) + 1) * SECTOR;
	__u64 at = h->pref_address;
	size_t len;
	void *to = machine_memory(vmm, at, h->init_size > size - setup ? h->init_size : size - setup);

	if (!to) {
		vmm_error("%s needs more than %llu MiB of memory", vmm->opts.kernel, vmm->ram_size >> 20);
		return 0;
	}
	memcpy(to, image + setup, size - setup);
	/* The header ends where its own jump goes to; a later kernel's may be longer than what we know. */
	len = (size_t)(unsigned char)image[0x201] + 0x202 - HEADER_AT;
	memcpy(&bp->hdr, h, len < sizeof(*h) ? len : sizeof(*h));
	bp->hdr.type_of_loader = 0xff;
	bp->hdr.loadflags |= LOADED_HIGH;
	bp->hdr.cmd_line_ptr = CMDLINE;
	return load_initrd(vmm, bp, at + h->init_size) ? 0 : at + 0x200;
}

static int put_cmdline(struct vmm *vmm, const struct boot_params *bp)
{
	size_t len = strlen(vmm->opts.cmdline);

	if (len > bp->hdr.cmdline_size) {
		vmm_error("the command line has %zu characters, the kernel takes %u", len, bp->hdr.cmdline_size);
		return -1;
	}
	memcpy(machine_memory(vmm, CMDLINE, len + 1), vmm->opts.cmdline, len + 1);
	return 0;
}

static void map_memory(struct vmm *vmm)
{
	__u64 *pml4 = machine_memory(vmm, PML4, 4096), *pdpt = machine_memory(vmm, PDPT, 4096);
	__u64 *pd = machine_memory(vmm, PD, 4 * 4096);
	__u64 i;

	pml4[0] = PDPT | PTE_P | PTE_W;
	for (i = 0; i < 4; i++)
		pdpt[i] = (PD + i * 4096) | PTE_P | PTE_W;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PTE_P | PTE_W | PTE_PS;
}

static int set_registers(struct vmm *vmm, __u64 entry)
{
	static const __u64 gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	struct kvm_segment code = { .limit = ~0U, .selector = BOOT_CS, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = code;
	struct kvm_regs regs = { .rip = entry, .rsi = ZERO_PAGE, .rflags = 2, .rsp = ZERO_PAGE };
	struct kvm_sregs s;
	int fd = vmm->vcpus[0].fd;

	memcpy(machine_memory(vmm, GDT, sizeof(gdt)), gdt, sizeof(gdt));
	data.selector = BOOT_DS;
	data.type = 3;
	data.l = 0;
	data.db = 1;
	if (!ioctl(fd, KVM_GET_SREGS, &s)) {
		s.gdt.base = GDT;
		s.gdt.limit = sizeof(gdt) - 1;
		s.cs = code;
		s.ds = s.es = s.ss = data;
		s.cr0 = 0x80000011; /* PG, ET, PE */
		s.cr3 = PML4;
		s.cr4 = 0x20; /* PAE */
		s.efer = 0x500; /* LMA, LME */
		if (!ioctl(fd, KVM_SET_SREGS, &s) && !ioctl(fd, KVM_SET_REGS, &regs))
			return 0;
	}
	vmm_error("KVM does not take the registers: %s", strerror(errno));
	return -1;
}

int linux_load(struct vmm *vmm)
{
	struct boot_params *bp = machine_memory(vmm, ZERO_PAGE, sizeof(*bp));
	__u64 entry = 0;
	size_t size;
	char *image;

	image = file_read(vmm->opts.kernel, &size);
	if (!image)
		return -1;
	memset(bp, 0, sizeof(*bp));
	if (!check_header(vmm, (void *)(image + HEADER_AT), size))
		entry = load_kernel(vmm, bp, image, size);
	free(image);
	if (!entry || put_cmdline(vmm, bp))
		return -1;
	add_e820(bp, 0, LOW_END, E820_RAM);
	add_e820(bp, LOW_END, HIGH, E820_RESERVED);
	add_e820(bp, HIGH, vmm->ram_size, E820_RAM);
	if (vmm->opts.acpi)
		bp->acpi_rsdp_addr = acpi_build(vmm);
	map_memory(vmm);
	return set_registers(vmm, entry);
}
