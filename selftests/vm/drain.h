/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DRAIN_H
#define SELFTESTS_DRAIN_H

#include <iofilter/ops.h>

/* State of drain.bpf.c. One vCPU uses it. */
struct drain {
	__u32 left; /* bytes of the latch still to read */
	__u8 latch, pad[3];
	__u32 draining;
	__u32 asked, last; /* calls of ->quiesce() */
};

#endif /* SELFTESTS_DRAIN_H */
