// SPDX-License-Identifier: GPL-2.0
/*
 * The ACPI tables that a guest needs to find its CPUs, the PM timer and the HPET, and to switch the machine off (ACPI 6.5,
 * chapter 5). They stand where a PC has its firmware.
 */
#include <string.h>
#include "board.h"
#include "vmm.h"

#define RSDP_AT	   0xf0000ULL
#define TABLES_AT  0xf0040ULL
#define LAPIC_ADDR 0xfee00000
#define IOAPIC_ADDR 0xfec00000

#define SPACE_MEMORY 0
#define SPACE_IO     1

#define FADT_LEGACY_DEVICES 0x0001 /* boot flags: there is a serial port .. */
#define FADT_NO_VGA	    0x0004 /* .. and neither 8042 nor VGA */
#define FADT_WBINVD	    0x0001
#define FADT_NO_BUTTONS	    0x0030
#define FADT_NO_RTC_WAKE    0x0040
#define FADT_RESET_REG	    0x0400

struct header {
	char signature[4];
	__u32 length;
	__u8 revision, checksum;
	char oem[6], oem_table[8];
	__u32 oem_revision;
	char creator[4];
	__u32 creator_revision;
} __attribute__((packed));

struct address {
	__u8 space, bits, offset, access;
	__u64 addr;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	__u8 checksum;
	char oem[6];
	__u8 revision;
	__u32 rsdt, length;
	__u64 xsdt;
	__u8 extended_checksum, reserved[3];
} __attribute__((packed));

struct xsdt {
	struct header h;
	__u64 tables[3];
} __attribute__((packed));

struct facs {
	char signature[4];
	__u32 length;
	__u8 rest[56];
} __attribute__((packed));

/* Revision 3. */
struct fadt {
	struct header h;
	__u32 facs, dsdt;
	__u8 reserved, profile;
	__u16 sci_int;
	__u32 smi_cmd;
	__u8 acpi_enable, acpi_disable, s4bios, pstate;
	__u32 pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	__u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst;
	__u16 c2_latency, c3_latency, flush_size, flush_stride;
	__u8 duty_offset, duty_width, day_alarm, month_alarm, century;
	__u16 boot_flags;
	__u8 reserved2;
	__u32 flags;
	struct address reset_reg;
	__u8 reset_value, reserved3[3];
	__u64 x_facs, x_dsdt;
	struct address x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
} __attribute__((packed));

_Static_assert(sizeof(struct fadt) == 244, "as the specification has it");

struct dsdt {
	struct header h;
	__u8 aml[14];
} __attribute__((packed));

struct madt {
	struct header h;
	__u32 lapic;
	__u32 flags;
	struct {
		__u8 type, length, id, reserved;
		__u32 addr, gsi_base;
	} __attribute__((packed)) ioapic;
	struct {
		__u8 type, length, cpu, apic;
		__u32 flags;
	} __attribute__((packed)) lapics[VMM_MAX_VCPUS];
} __attribute__((packed));

struct hpet_table {
	struct header h;
	__u32 block_id;
	struct address base;
	__u8 number;
	__u16 min_tick;
	__u8 protection;
} __attribute__((packed));

static __u8 checksum(const void *data, size_t len)
{
	const __u8 *bytes = data;
	__u8 sum = 0;

	while (len--)
		sum += *bytes++;
	return -sum;
}

static __u64 next_table = TABLES_AT;

/* Return: where it stands. */
static __u64 put(struct vmm *vmm, void *table, size_t len, const char *signature, __u8 revision)
{
	struct header *h = table;
	__u64 at = next_table;

	memcpy(h->signature, signature, 4);
	h->length = len;
	h->revision = revision;
	memcpy(h->oem, "IOFLT ", 6);
	memcpy(h->oem_table, "VMM     ", 8);
	memcpy(h->creator, "IOFL", 4);
	h->oem_revision = h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(table, len);
	memcpy(machine_memory(vmm, at, len), table, len);
	next_table = (at + len + 63) & ~63ULL;
	return at;
}

static __u64 put_dsdt(struct vmm *vmm)
{
	/* Name (_S5, Package () { 5, 5, 0, 0 }): the sleep type of "off". */
	struct dsdt d = { .aml = { 0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 5, 0x0a, 5, 0x00, 0x00 } };

	return put(vmm, &d, sizeof(d), "DSDT", 2);
}

static __u64 put_fadt(struct vmm *vmm)
{
	struct facs facs = { .signature = "FACS", .length = sizeof(facs) };
	struct fadt f = {
		.sci_int = 9,
		.pm1a_evt = PM_BASE + PM1_STS,
		.pm1a_cnt = PM_BASE + PM1_CNT,
		.pm_tmr = PM_BASE + PM_TMR,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = 0xffff, /* no such state */
		.c3_latency = 0xffff,
		.century = 0x32,
		.boot_flags = FADT_LEGACY_DEVICES | FADT_NO_VGA,
		.flags = FADT_WBINVD | FADT_NO_BUTTONS | FADT_NO_RTC_WAKE | FADT_RESET_REG,
		.reset_reg = { SPACE_IO, 8, 0, 1, 0x64 },
		.reset_value = 0xfe,
		.x_pm1a_evt = { SPACE_IO, 32, 0, 2, PM_BASE + PM1_STS },
		.x_pm1a_cnt = { SPACE_IO, 16, 0, 2, PM_BASE + PM1_CNT },
		.x_pm_tmr = { SPACE_IO, 32, 0, 3, PM_BASE + PM_TMR },
	};

	f.x_dsdt = f.dsdt = put_dsdt(vmm);
	f.facs = next_table;
	memcpy(machine_memory(vmm, next_table, sizeof(facs)), &facs, sizeof(facs));
	next_table += sizeof(facs);
	return put(vmm, &f, sizeof(f), "FACP", 3);
}

/* KVM's routing is one to one: the ISA interrupts have the pins of their numbers, the PIT's too. */
static __u64 put_madt(struct vmm *vmm)
{
	struct madt m = {
		.lapic = LAPIC_ADDR,
		.flags = 1, /* there is a PIC */
		.ioapic = { .type = 1, .length = 12, .id = vmm->nr_vcpus, .addr = IOAPIC_ADDR },
	};
	unsigned int i;

	for (i = 0; i < vmm->nr_vcpus; i++) {
		m.lapics[i].length = 8;
		m.lapics[i].cpu = m.lapics[i].apic = i;
		m.lapics[i].flags = 1;
	}
	return put(vmm, &m, sizeof(m) - (VMM_MAX_VCPUS - i) * sizeof(m.lapics[0]), "APIC", 3);
}

static __u64 put_hpet(struct vmm *vmm)
{
	struct hpet_table t = { .base = { SPACE_MEMORY, 64, 0, 0, HPET_ADDR } };

	/* The low half of the general capabilities. */
	t.block_id = hpet_read(&vmm->board->hpet, 0, 4);
	return put(vmm, &t, sizeof(t), "HPET", 1);
}

__u64 acpi_build(struct vmm *vmm)
{
	struct rsdp r = { .signature = "RSD PTR ", .oem = "IOFLT ", .revision = 2, .length = sizeof(r) };
	struct xsdt x = { .tables = { put_fadt(vmm), put_madt(vmm), put_hpet(vmm) } };

	r.xsdt = put(vmm, &x, sizeof(x), "XSDT", 1);
	r.checksum = checksum(&r, 20);
	r.extended_checksum = checksum(&r, sizeof(r));
	memcpy(machine_memory(vmm, RSDP_AT, sizeof(r)), &r, sizeof(r));
	return RSDP_AT;
}
