/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* HPET (IA-PC HPET 1.0a, 2.3): registers, and the program's state. QEMU: hw/timer/hpet.c. */
#ifndef IOFILTER_HPET_H
#define IOFILTER_HPET_H

#include <iofilter/counter.h>

#define HPET_BASE 0xfed00000ULL /* of the first; QEMU has no second */
#define HPET_LEN  0x400
#define HPET_HZ	  100000000 /* QEMU's; bhyve counts 2^24 Hz, in its kernel */

/* Offsets. All are 64 bits wide, and read as a whole or by halves. */
#define HPET_GCAP_ID  0x000 /* capabilities and ID; the high half is the period in fs */
#define HPET_GEN_CONF 0x010
#define HPET_STATUS   0x020 /* of interrupts */
#define HPET_MAIN_CNT 0x0f0
#define HPET_TIMERS   0x100 /* each 0x20 */

#define HPET_ENABLE_CNF 0x1
#define HPET_LEG_RT_CNF 0x2

#define IOFILTER_HPET_VERSION 1

/* The general registers that are answered, by dwords. */
enum iofilter_hpet_reg {
	HPET_REG_CAP,
	HPET_REG_CAP_HIGH,
	HPET_REG_CONF,
	HPET_REG_CONF_HIGH,
	HPET_NR_REGS,
};

/*
 * The clock takes the main counter's low half: a counter of 32 bits, which wraps every 42.9 s. That is what guests read most, and all
 * that most of them ever show. The high half is known once the VMM has shown it at a time when the low one did not wrap:
 * it then is that of the clock's own ticks plus @high.
 */
struct iofilter_hpet {
	struct iofilter_counter counter; /* first: tools know it */
	__u64 base;
	__u64 high_epoch; /* @high holds as long as this is the clock's epoch; odd: not known */
	__u32 high;
	__u32 restart; /* what is known of the clock is void, too */
	__u32 doubted; /* the proof is to be made anew */
	__u32 pad;
	__u64 changed_at; /* when the newest write to the configuration or the counter was done; an older answer proves nothing */
	__u64 written_at; /* when the newest one began: until it is done, an answer may be of before or after it */
	__u64 shown_at; /* since when the VMM has shown @shown, and nothing else */
	__u32 shown;
	__u32 has_shown;
	__u32 regs[HPET_NR_REGS];
	__u64 regs_at[HPET_NR_REGS]; /* when the VMM answered so; 0: not known */
};

#endif /* IOFILTER_HPET_H */
