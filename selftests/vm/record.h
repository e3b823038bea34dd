/* SPDX-License-Identifier: GPL-2.0 */
/* What the test program record.bpf.c is told, and what it has seen. */
#ifndef SELFTESTS_RECORD_H
#define SELFTESTS_RECORD_H

#include <iofilter/ops.h>

#define RECORD_MAX 1024 /* the newest are kept */

struct record_access {
	__u64 now, addr, val, away;
	__u32 len, count, vcpu, flags;
	__u64 write;
};

struct record {
	/* From the test. */
	__u64 value; /* of the next answer .. */
	__u64 step;  /* .. which grows by this */
	__u64 delay;
	__u32 answer_reads, answer_writes; /* else punt */
	__u32 answer_from, pad; /* punt the first so many reads all the same */

	/* To the test. */
	__u64 nr, nr_samples, nr_written;
	struct record_access log[RECORD_MAX];
	struct kvm_iofilter_sample samples[RECORD_MAX];
	struct kvm_iofilter_sample written[RECORD_MAX]; /* KVM_IOFILTER_SAMPLE_WRITE */
};

#endif /* SELFTESTS_RECORD_H */
