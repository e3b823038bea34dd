/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What kmod/settle.c, kmod/access.c and the programs need of the kernel, for the host: they are compiled unchanged. Time is
 * the simulation's, and at every load or store that another CPU could see the simulation may stop the caller.
 */
#ifndef SELFTESTS_SHIM_H
#define SELFTESTS_SHIM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef u64 gpa_t;
typedef s64 ktime_t;

/* The simulation's side. */
extern u64 sim_now, sim_base;
static inline u64 sim_mono(void) /* CLOCK_MONOTONIC of this host */
{
	return sim_now + sim_base;
}
extern unsigned int sim_left; /* points that the one who runs may still pass before sim_stopped(); 0: all */
void sim_stopped(void);
void sim_spin(void); /* until somebody else has run */
bool sim_delay(u64 ns); /* Return: whether a signal ended it */
void sim_cost(u64 ns); /* another CPU's cache line */
extern char sim_strings[64][1024]; /* where the emulator keeps a string's elements, off the stack */

static inline void sim_point(void)
{
	if (__builtin_expect(sim_left && !--sim_left, 0))
		sim_stopped();
}

/* The mutation check: one clause of the algorithm is left out, chosen at run time. */
#define SIM_CLAUSES(C) \
	C(NARROW) C(PEEK) C(OWN) C(LOST) C(NEED) C(STALE) C(DELAY) C(FLOOR) C(FLOOR_KEEP) C(SUSPECT) C(RETURNS) C(KVMCLOCK) \
	C(ATTACH) C(ATTACH_LOST) C(HOLD) C(FRESH) C(SETTLED) C(EPOCH) C(TICKET) C(EXPIRY) C(BUSY) C(PLAUSIBLE) \
	C(TOLERANCE) C(RECHECK) C(ONE_RETURN) C(PROOFS) C(CALIBRATE) C(TRIES) C(LEAVING) C(REST) C(ODD) C(CAUGHT_UP) C(PASS_OVER) C(FREEZE_ONCE) C(FUSE) C(STRING) C(ANEW)
/* Those that matter to the RTC alone. */
#define SIM_RTC_CLAUSES(C) \
	C(EXITS) C(TAKEN) C(RTC_AGAIN) C(RTC_VERSION) C(RTC_AGE) C(RTC_AWAY) C(RTC_OVERTAKEN) C(RTC_BUSY) C(RTC_OTHERS) C(RTC_FORGET)
/* .. and to the IDE channel. */
#define SIM_IDE_CLAUSES(C) \
	C(IDE_UNSURE) C(IDE_FINAL) C(IDE_READING) C(IDE_LOWERED) C(IDE_SHOWN) C(IDE_UNIT) C(IDE_BUSY) C(IDE_OVERLAP) C(IDE_AWAY) C(IDE_INTRQ) C(IDE_ONCE) C(IDE_END) \
	C(IDE_HOB) C(IDE_FLYING) C(IDE_VERSION) C(IDE_ELEMENTS)
enum sim_clause {
	SIM_CLAUSE_NONE,
#define SIM_CLAUSE_ENUM(name) SIM_CLAUSE_##name,
	SIM_CLAUSES(SIM_CLAUSE_ENUM)
	SIM_NR_CLAUSES,
	SIM_RTC_CLAUSES(SIM_CLAUSE_ENUM)
	SIM_IDE_CLAUSES(SIM_CLAUSE_ENUM)
};
extern enum sim_clause sim_without;
#define IOFILTER_CLAUSE(name) (sim_without != SIM_CLAUSE_##name)

/* include/iofilter/clock.h */
#define iofilter_load(x)     ({ sim_point(); *(const volatile typeof(x) *)&(x); })
#define iofilter_store(x, v) ({ sim_point(); *(volatile typeof(x) *)&(x) = (v); })
#define __sync_fetch_and_add(p, v)	       ({ sim_point(); __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); })
#define __sync_lock_test_and_set(p, v)	       ({ sim_point(); __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); })
#define __sync_val_compare_and_swap(p, old, n) ({ sim_point(); __typeof__(*(p)) __o = (old); \
	__atomic_compare_exchange_n(p, &__o, n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); __o; })

#ifndef SHIM_NO_KERNEL

#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)
#define noinline     __attribute__((__noinline__))
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define min(a, b)    ({ __auto_type __a = (a); __auto_type __b = (b); __a < __b ? __a : __b; })
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max(a, b)    ({ __auto_type __a = (a); __auto_type __b = (b); __a > __b ? __a : __b; })
#define clamp_t(t, v, lo, hi) ({ t __v = (v); __v < (t)(lo) ? (t)(lo) : __v > (t)(hi) ? (t)(hi) : __v; })
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
#define U32_MAX	     (~0U)
#define NSEC_PER_MSEC 1000000ULL
#define READ_ONCE(x) ({ sim_point(); *(const volatile typeof(x) *)&(x); })
#define WRITE_ONCE(x, v) ({ sim_point(); *(volatile typeof(x) *)&(x) = (v); })
#define smp_load_acquire(p) READ_ONCE(*(p))
#define smp_store_release(p, v) WRITE_ONCE(*(p), v)
#define memcpy(to, from, n) ({ sim_point(); __builtin_memcpy(to, from, n); })
#define cpu_relax()  sim_spin()
#define smp_rmb()    sim_point()
#define xchg(p, v)   ({ sim_point(); __auto_type __old = *(p); *(p) = (v); __old; })

typedef struct { int counter; } atomic_t;
static inline void atomic_inc(atomic_t *a) { sim_point(); a->counter++; }
static inline void atomic_dec(atomic_t *a) { sim_point(); a->counter--; }
static inline int atomic_read(const atomic_t *a) { sim_point(); return a->counter; }
static inline void atomic_set_release(atomic_t *a, int v) { sim_point(); a->counter = v; }
static inline int atomic_cmpxchg_acquire(atomic_t *a, int old, int new)
{
	int was;

	sim_point();
	was = a->counter;
	if (was == old)
		a->counter = new;
	return was;
}

typedef struct { bool held; } spinlock_t;
static inline void spin_lock_init(spinlock_t *l) { l->held = false; }
static inline void spin_unlock(spinlock_t *l) { sim_point(); l->held = false; }
static inline void spin_lock(spinlock_t *l)
{
	sim_point();
	sim_cost(60);
	while (l->held)
		sim_spin();
	l->held = true;
}
#define lockdep_assert_held(l) ((void)(l))

#define GFP_KERNEL_ACCOUNT 0
#define kzalloc(size, gfp)     calloc(1, size)
#define kvcalloc(n, size, gfp) calloc(n, size)
#define kfree		       free
#define kvfree		       free
#define BITS 64
#define bitmap_zalloc(n, gfp)  calloc(((n) + BITS - 1) / BITS, sizeof(long))
#define bitmap_free	       free
static inline void set_bit(int i, unsigned long *map) { sim_point(); map[i / BITS] |= 1UL << i % BITS; }
static inline void clear_bit(int i, unsigned long *map) { sim_point(); map[i / BITS] &= ~(1UL << i % BITS); }
static inline unsigned long shim_next_bit(const unsigned long *map, unsigned long end, unsigned long i)
{
	while (i < end && !(map[i / BITS] >> i % BITS)) /* nothing left in this word */
		i = (i / BITS + 1) * BITS;
	if (i >= end)
		return end;
	i += __builtin_ctzl(map[i / BITS] >> i % BITS);
	return i < end ? i : end;
}
/* As the kernel's: from @start to the end, then from the beginning to @start. */
static inline unsigned long shim_next_bit_wrap(const unsigned long *map, unsigned long size, unsigned long start,
					       unsigned long i, bool *wrapped)
{
	if (!*wrapped) {
		i = shim_next_bit(map, size, i);
		if (i < size)
			return i;
		*wrapped = true;
		i = 0;
	}
	i = shim_next_bit(map, start, i);
	return i < start ? i : size;
}
#define for_each_set_bit_wrap(bit, map, size, start) \
	for (bool __w = ((bit) = (start), false); ((bit) = shim_next_bit_wrap(map, size, start, bit, &__w)) < (size); (bit)++)

static inline u64 ktime_get_ns(void) { sim_point(); return sim_mono(); }
#define ns_to_ktime(ns) ((ktime_t)(ns))
enum { TASK_INTERRUPTIBLE, HRTIMER_MODE_REL };
#define set_current_state(s) ((void)(s))
static inline int schedule_hrtimeout(ktime_t *t, int mode) { (void)mode; return sim_delay(*t) ? -EINTR : 0; }
static inline bool object_is_on_stack(const void *p)
{
	return (const char *)p < sim_strings[0] || (const char *)p >= sim_strings[0] + sizeof(sim_strings);
}

struct list_head { struct list_head *next, *prev; };
struct kref { int n; };
struct completion { int done; };
struct work_struct { int n; };
struct mutex;
struct workqueue_struct;
struct bpf_link;

/* KVM, as far as these two files look into it. */
enum { OUTSIDE_GUEST_MODE, IN_GUEST_MODE };
enum { KVM_EXIT_IO_IN, KVM_EXIT_IO_OUT };
enum { VCPU_REGS_RCX = 1 };
struct kvm_run {
	bool immediate_exit;
	struct { u8 direction, size; u16 port; u32 count; } io;
	struct { u64 phys_addr; u8 data[8]; u32 len; u8 is_write; } mmio;
};
struct kvm_vcpu {
	struct kvm *kvm;
	int vcpu_idx, mode;
	bool wants_to_run, mmio_needed;
	struct { u64 gpa; } mmio_fragments[2];
	struct { u64 fpu_reload, mmio_exits, exits; } stat;
	struct {
		unsigned long regs[17];
		bool guest_state_protected;
		struct { unsigned long count; int in, port, size; } pio;
		void *pio_data;
	} arch;
	struct kvm_run *run;
};
struct kvm {
	int max_vcpus, created_vcpus;
	struct kvm_vcpu **vcpus;
	struct { s64 kvmclock_offset; void *vpit, *vioapic; } arch;
};
#define kvm_for_each_vcpu(i, v, kvm) for (i = 0; (int)i < (kvm)->created_vcpus && ((v) = (kvm)->vcpus[i], 1); i++)
struct kvm_io_device { const struct kvm_io_device_ops *ops; };
struct kvm_io_device_ops {
	int (*read)(struct kvm_vcpu *v, struct kvm_io_device *d, gpa_t addr, int len, void *val);
	int (*write)(struct kvm_vcpu *v, struct kvm_io_device *d, gpa_t addr, int len, const void *val);
	void (*destructor)(struct kvm_io_device *d);
};

#endif /* SHIM_NO_KERNEL */
#endif /* SELFTESTS_SHIM_H */
