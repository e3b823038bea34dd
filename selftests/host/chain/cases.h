/* SPDX-License-Identifier: GPL-2.0 */
/* Rows that drive a VM by hand; see clock_chain.c. Times in us. */
#ifndef SELFTESTS_CASES_H
#define SELFTESTS_CASES_H

#include "chain/vm.h"

enum chain_op {
	T_END,
	T_READ,	     /* a read; left to the VMM, the vCPU is there at once */
	T_DRAWN,     /* a read that is left to the VMM in any case, as if it had drawn the audit */
	T_VMM,	     /* the VMM answers */
	T_GOT,	     /* KVM_RUN again: the guest has the answer */
	T_TRIP,	     /* T_DRAWN, 2 us later T_VMM, 2 us later T_GOT */
	T_USER,	     /* leaves KVM_RUN: for another device, or because the VM is stopped */
	T_BACK,	     /* and enters it again */
	T_RETURN,    /* both at once: a signal */
	T_HOT,	     /* n reads, 10 us apart, whatever comes of them */
	T_TRIPS,     /* n pairs of them, 60 us apart */
	T_TURNS,     /* the same by vCPU v and the next one in turn */
	T_FREEZE, T_THAW, /* the VMM's clock; jump: a snapshot that much further on was loaded */
	T_MOVE,	     /* the VMM's clock jumps, no sign */
	T_STEP,	     /* the host's clock jumps, the VMM's with it */
	T_KVMCLOCK,  /* somebody sets the VM's clock */
	T_LOCK, T_UNLOCK, /* another vCPU is settling */
	T_STOP,	     /* the next read is stopped at each of its steps in turn; vCPU v sees the clock jump, or goes out for another device, meanwhile */
	T_GONE,	     /* a read without filter */
	T_LEAVING,   /* the same, and stopped on the last steps out of the kernel */
	T_ATTACH, T_HOLD, /* n: the clock's first proof is ready to be made */
	T_STRING,    /* a string read that goes to the VMM, is answered there and consumed */
	T_TORN,	     /* what stands in vCPU v's page changes by jump us */
	T_WRONG,     /* the device counts at another frequency, jump in ppm */
	T_CHECK,     /* n: enum chain_check, lo .. hi */
};

enum chain_check { CHECK_MOVES, CHECK_LOST, CHECK_SAMPLES, CHECK_PROOF };
enum chain_expect { T_ANYTHING, T_ANSWER, T_PUNT };

struct chain_row {
	enum chain_op op;
	int v;
	double t;
	enum chain_expect expect;
	double lo; /* least value of an answer */
	double delay_lo, delay_hi; /* of a punt */
	double jump;
	int n;
};

struct chain_case {
	const char *name;
	int vcpus, dev;
	struct chain_row rows[32];
};

extern const struct chain_case chain_cases[];
/* Return: whether @c holds; if not, why is in @why. */
bool chain_case_holds(const struct chain_case *c, char *why, size_t size);

#endif /* SELFTESTS_CASES_H */
