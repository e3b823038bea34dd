/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the files of libiofilter share. */
#ifndef LOADER_LIB_H
#define LOADER_LIB_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <iofilter/counter.h>
#include <iofilter/libiofilter.h>

#define MODULE "kvm_iofilter"
#define MODULE_BTF "/sys/kernel/btf/" MODULE
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

/* error.c */

/* Record the reason and return @err (negative). */
int lib_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/*
 * log.c: libbpf's messages in between go to the user's hook, and a program that the verifier refused is noted; one thread at a time is
 * in between. log_refused() is for this thread, before the end.
 */
void log_begin(void);
void log_end(void);
const char *log_refused(void);

/* vm.c: one that a process can have? 0 would mean any VM to find_each(). Return: 0 or -EINVAL. */
int pid_check(pid_t pid);
/* A copy of the VM's descriptor in our own table. @want_fd: its number in the VMM; 0: the VMM has only one. */
int vm_open(pid_t pid, int want_fd);

/* hurry.c: this thread is not killed in between, nor preempted if it may say so. No longer than until a lock is let go. */
struct lib_hurry {
	struct sched_param param;
	int policy; /* to go back to; -1: it is as it was */
	sigset_t signals;
};

void lib_hurry(struct lib_hurry *h);
void lib_calm_down(const struct lib_hurry *h);

/* One clock of a device's state. */
struct clock_ref {
	struct iofilter_clock *clk;
	struct iofilter_vcpu *vcpus;
	bool absolute; /* CLOCK_MONOTONIC plus a constant: a VMM can own it. Else the time since something that the guest did */
	struct iofilter_pit *pit; /* not NULL: all of them at once, as the PIT wants it */
	struct iofilter_map *map; /* not NULL: the clock is the map itself */
};

struct reg_set;

/* device.c */
struct device {
	const char *name;
	const void *(*elf)(size_t *size);
	/* Write the options into what is attached. */
	int (*configure)(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *opts);
	/* Read what status shows. */
	void (*describe)(const void *state, struct iofilter_info *info);
	/* The @i-th clock. Return: false if there are no more. */
	bool (*clock)(void *state, unsigned int i, struct clock_ref *ref);
	const struct reg_set *regs; /* reg.h */
	__u8 reg_device; /* in their ids; never used for another one */
	__u32 version, state_size;
	bool on_request; /* not among those that are attached when none is named */
	const char *taken;  /* what it means for the user if the kernel has a device there (F_ALONE) */
	const char *absent; /* .. if it has none that is needed (F_PIT) */
};

/* clock.c: all clocks of a device's state. */
int clock_change(const struct device *d, void *state, enum iofilter_clock_op op, __s64 value);

/* By its name, or that of a filter of its ("map-608"). */
const struct device *device_find(const char *name);
int device_unknown(const char *name);

/* table.c */
int table_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o);
void table_describe(const void *state, struct iofilter_info *info);
/* Beyond this a clock's times are a slip of the unit. */
#define LIB_TIME_MAX	 1000000000ULL
#define LIB_EXPIRY_SHORT "the expiry may not be shorter than the bracket"
void clock_describe(const struct iofilter_clock *clk, struct iofilter_info *info);
/* A device's counters; what was answered it counts elsewhere. */
void verdicts_describe(const __u64 *verdicts, __u64 answered, struct iofilter_info *info);
/* CLOCK_MONOTONIC. */
__u64 lib_now(void);

/* device_pit.c */
int pit_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o);
void pit_describe(const void *state, struct iofilter_info *info);
bool pit_clock(void *state, unsigned int i, struct clock_ref *ref);
/* Return: 0, -EALREADY, -EOPNOTSUPP, -EBUSY: an access does not end. */
int pit_clock_set(struct iofilter_pit *p, enum iofilter_clock_op op);

/* device_speaker.c */
int speaker_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o);
void speaker_describe(const void *state, struct iofilter_info *info);

/* device_ide.c */
int ide_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o);
void ide_describe(const void *state, struct iofilter_info *info);

/* device_map.c */
int map_configure(struct kvm_iofilter_ops *ops, void *state, const struct iofilter_opts *o);
void map_describe(const void *state, struct iofilter_info *info);
bool map_clock(void *state, unsigned int i, struct clock_ref *ref);
/* map.c. Return: 0, -EALREADY, or -errno with a reason. */
int map_clock_set(struct iofilter_map *m, enum iofilter_clock_op op, __s64 value);
void map_alarm_end(struct iofilter *f);

/* object.c: programs and maps, loaded but not attached. */
enum { OP_READ, OP_WRITE, OP_SAMPLE, OP_QUIESCE, NR_OPS };

/* Where the ops keep their programs: pointers of libbpf's, descriptors or ids. */
static inline void **ops_prog(struct kvm_iofilter_ops *ops, int op)
{
	void **const progs[NR_OPS] = {
		[OP_READ] = (void **)&ops->read,
		[OP_WRITE] = (void **)&ops->write,
		[OP_SAMPLE] = (void **)&ops->sample,
		[OP_QUIESCE] = (void **)&ops->quiesce,
	};

	return progs[op];
}

struct object {
	struct bpf_object *bpf; /* NULL: pinned */
	int ops_fd, state_fd;
	int prog_fds[NR_OPS]; /* -1: absent; owned only if pinned */
	struct kvm_iofilter_ops ops; /* data members only */
	const struct device *device; /* NULL: not known to us */
	struct iofilter_head *state; /* mapped */
	size_t state_size;
};

/* @keep_state_fd: use this state map instead of a new one, if the layouts are the same; -1: none. */
int object_open(struct object *o, const char *device, const struct iofilter_opts *opts, int keep_state_fd);
/* Write ops and programs into the struct_ops map, from when on it can be attached. */
int object_fill(struct object *o, int vm_fd);
void object_close(struct object *o);
/* pinned.c */
int pinned_open(struct object *o, const char *dir);
int state_map(struct object *o);

/* How the kernel stores a struct_ops map's value. */
struct ops_value {
	__u32 refcnt;
	__u32 state;
	struct kvm_iofilter_ops ops __attribute__((aligned(64)));
};

struct iofilter {
	struct object o; /* of one that others attached: its state and its ops alone */
	int link_fd;
	__u32 link_id;
	pid_t pid;
	bool pinned;
	struct map_alarm *alarm; /* what iofilter_alarm_fd() has made; NULL: nothing */
};

/* find.c */
struct found {
	int link_fd;
	__u32 link_id;
	pid_t pid;
	struct kvm_iofilter_ops ops;
	int state_fd; /* below 0: the programs have no state of our kind */
};

/* The head of a state map. NULL: there is none, or its layout is not known. @prot: as mmap()'s. */
struct iofilter_head *head_map(int state_fd, int prot);
void head_unmap(struct iofilter_head *head);
/* For each filter attached to @pid (0: any). @fn returns non-zero to stop; that is returned. */
int find_each(pid_t pid, int (*fn)(const struct found *f, void *arg), void *arg);
/* Return: 1 and *@f (to be released), 0 if it is not attached, or -errno. A @pid of 0 is none. */
int find_one(pid_t pid, const char *device, struct found *f);
/* Say that it returned 0. Return: -ENOENT. */
int find_none(pid_t pid, const char *device);
void find_release(struct found *f);

/* drain.c */

/*
 * Let the guest end the sequences that the programs with this state have begun, for at most @ms; they begin no new one from now
 * on, or with @ms 0 again. Return: how many are left.
 */
unsigned int drain_state(int state_fd, unsigned int ms);
/* How many sequences were cut off so far. */
__u64 drain_cut(int state_fd);

/* stats.c: the module's table in debugfs, one row per range. */
struct stats_row {
	__u32 link_id;
	pid_t pid;
	struct kvm_iofilter_range range;
	struct iofilter_range_stats stats;
};

/* Return: how many rows, or -errno without a reason; *@rows is to be freed. */
int stats_read(struct stats_row **rows);

/* pin.c */
int pin_create(pid_t pid, const char *device, int link_fd, int state_fd);
void pin_remove(pid_t pid, const char *device);
/* The pins whose link is dead. */
int pin_each_dead(int (*fn)(pid_t pid, const char *device, int state_fd, void *arg), void *arg);
/* Return: the id of the map a struct_ops link carries, 0 if it is dead, or -errno. */
int link_map_id(int link_fd, __u32 *link_id);

/* status.c */
void info_from_state(struct iofilter_info *info, int state_fd);

#endif /* LOADER_LIB_H */
