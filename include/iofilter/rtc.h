/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* MC146818 RTC with CMOS memory: registers, and the program's state. QEMU: hw/rtc/mc146818rtc.c. */
#ifndef IOFILTER_RTC_H
#define IOFILTER_RTC_H

#include <iofilter/clock.h>

#define RTC_INDEX_PORT 0x70 /* bit 7 masks the NMI, and is not part of the index */
#define RTC_DATA_PORT  0x71
#define RTC_NR_REGS    128

#define RTC_SECONDS	  0x00
#define RTC_SECONDS_ALARM 0x01
#define RTC_MINUTES	  0x02
#define RTC_MINUTES_ALARM 0x03
#define RTC_HOURS	  0x04
#define RTC_HOURS_ALARM	  0x05
#define RTC_DAY_OF_WEEK	  0x06
#define RTC_DATE_OF_MONTH 0x07
#define RTC_MONTH	  0x08
#define RTC_YEAR	  0x09
#define RTC_REG_A	  0x0a
#define RTC_REG_B	  0x0b
#define RTC_REG_C	  0x0c
#define RTC_REG_D	  0x0d

/* CMOS bytes that others than the guest write. */
#define RTC_SHUTDOWN	0x0f /* QEMU, when the guest suspends and at a reset */
#define RTC_CENTURY	0x32
#define RTC_PS2_CENTURY 0x37 /* an access turns the index into 0x32 */
#define RTC_BOOT_SEC	0x38 /* the boot order: the monitor's boot_set */
#define RTC_BOOT_FIRST	0x3d
#define RTC_CPU_COUNT	0x5f /* CPU hot-plug */

#define RTC_A_UIP  0x80 /* update in progress */
#define RTC_A_DV   0x70 /* divider: above 0x20 the time stands */
#define RTC_A_RS   0x0f /* rate of the periodic interrupt; 0: none */
#define RTC_B_SET  0x80 /* no updates */
#define RTC_B_PIE  0x40
#define RTC_B_AIE  0x20
#define RTC_B_UIE  0x10
#define RTC_B_SQWE 0x08
#define RTC_B_DM   0x04 /* binary, else BCD */
#define RTC_B_24H  0x02
#define RTC_C_IRQF 0x80
#define RTC_C_PF   0x40
#define RTC_C_AF   0x20
#define RTC_C_UF   0x10
#define RTC_D_VRT  0x80

#define RTC_HOURS_PM 0x80 /* in 12-hour mode */

/* UIP is set so long before a second begins: 8 periods of 32768 Hz. */
#define RTC_UIP_NS 244140ULL

#define RTC_SECONDS_PER_DAY 86400

/* Registers that change only when the guest writes them, as a mask for each half. Alarms and register C never are answered. */
#define RTC_BIT(reg) (1ULL << ((reg) & 63))
#define RTC_STABLE_LOW \
	(~(RTC_BIT(RTC_REG_B) - 1) & ~(RTC_BIT(RTC_REG_C) | RTC_BIT(RTC_SHUTDOWN) | RTC_BIT(RTC_CENTURY) | \
				       RTC_BIT(RTC_PS2_CENTURY) | RTC_BIT(RTC_BOOT_SEC) | RTC_BIT(RTC_BOOT_FIRST)))
#define RTC_STABLE_HIGH (~RTC_BIT(RTC_CPU_COUNT))
/* Those of the time, and register A: they follow a clock. */
#define RTC_TIME_LOW \
	(RTC_BIT(RTC_SECONDS) | RTC_BIT(RTC_MINUTES) | RTC_BIT(RTC_HOURS) | RTC_BIT(RTC_DAY_OF_WEEK) | \
	 RTC_BIT(RTC_DATE_OF_MONTH) | RTC_BIT(RTC_MONTH) | RTC_BIT(RTC_YEAR) | RTC_BIT(RTC_REG_A) | RTC_BIT(RTC_CENTURY))

#define IOFILTER_RTC_VERSION 1

/* For so long a byte is answered as the VMM answered it last. What is not seen here at all shows after this time. */
#define RTC_EXPIRY_NS 100000000ULL
/* Before this many answers of the VMM its round trip is not known; the absence is ten of the shortest. */
#define RTC_CALIBRATION	   16
#define RTC_ABSENCE_MAX_NS 5000000ULL
/* So many registers that changed by themselves: this is not the device that is known here. */
#define RTC_CHANGED_MAX 4
/* Around an update, for what VMM and filter may read of the clock at one moment. */
#define RTC_MARGIN_NS 10000ULL

struct rtc_cell {
	__u64 at;   /* when the VMM was asked; 0: not known */
	__u64 word; /* iofilter_rtc.epoch << 8 | the byte */
};

/*
 * The time as a VMM that cooperates publishes it (rtcctl.h). It is exact, and the VMM's own answers follow from it: where
 * rest is the time since the second began, UIP is set from 1 s - RTC_UIP_NS on.
 */
struct rtc_time {
	__u32 seq;	/* odd: being written */
	__u32 valid;
	__u64 second_at; /* a second began at this CLOCK_MONOTONIC, ns .. */
	__u32 time;	/* .. which was this one of its day: 0 .. 86399 */
	__u8 reg_a;	/* without UIP */
	__u8 reg_b;	/* DM and 24H say how the time is shown */
	__u8 day_of_week, date_of_month, month, year, century; /* as registers; until the end of the day */
	__u8 pad[5];
};

/* One vCPU's line, written by that vCPU's thread. */
struct rtc_vcpu {
	__u64 answered;
	__u64 index;	/* as it wrote it last, if the order against the others' is known */
	__u64 index_at; /* when */
	__u64 began;	/* when its newest write began, until that is known to be done */
	__u64 asked;	/* its newest access to the data port that was punted: the index then; 0: not known */
	__u64 asked_version; /* iofilter_rtc.version + epoch then: both only grow */
	__u32 began_data; /* what began was a write to the data port, or to both */
	__u32 pad;
	__u64 reserved;
};

IOFILTER_ASSERT(sizeof(struct rtc_vcpu) == 64, "a cache line per vCPU");

/* A written index is RTC_INDEX_KNOWN | the register, and above it a number that no other write has. */
#define RTC_INDEX_KNOWN 0x80
#define RTC_INDEX_SHIFT 8

struct iofilter_rtc {
	struct iofilter_head head;
	__u64 verdicts[16]; /* by enum iofilter_verdict; [IOFILTER_ANSWERED] is not used */

	__u64 index __attribute__((aligned(64))); /* the newest */
	__u64 writes;  /* to the index: numbers them */
	__u64 epoch;   /* a cell of another one is void */
	__u64 version; /* an answer that was asked for in another one is not learnt */
	__s64 flying;  /* writes to the index of which it is not known that they are done */
	__u64 changed[2]; /* registers that changed by themselves: never answered again */
	__u32 fuse;    /* enum iofilter_fuse */
	__u32 blind;   /* a vCPU beyond the table has written: the index is not known any more */

	/* Written before attach, or calibrated. */
	__u64 absence __attribute__((aligned(64))); /* out of KVM_RUN for less than this is no pause; an index is trusted for as long */
	__u64 expiry;
	__u64 best_bracket;
	__u32 calibrating;
	__u32 scaled; /* the absence is calibrated, not given */

	/* Counters for status. */
	__u64 samples, learnt, lost, suspicions, changes, last_sample_at;

	struct rtc_time time __attribute__((aligned(64)));
	struct rtc_cell cells[RTC_NR_REGS] __attribute__((aligned(64)));
	struct rtc_vcpu vcpus[IOFILTER_MAX_VCPUS] __attribute__((aligned(64)));
};

IOFILTER_ASSERT(IOFILTER_NR_VERDICTS <= 16, "a counter for each verdict");

#endif /* IOFILTER_RTC_H */
