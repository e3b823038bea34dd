/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * libiofilter: attach filters to running VMs, find what is attached, read its state.
 *
 * Errors: a function that can fail returns a negative errno, and iofilter_error() then says in one line what is wrong and
 * what to do. What a call that failed should have stored (a handle, an array) is as it was. The library prints nothing, ends no
 * process, and handles no signal. All times are in ns unless a name says otherwise. What is malloc()ed for the caller he free()s;
 * an array of nothing may be NULL.
 *
 * Every function but those about the library itself may also return ENOMEM, or EMFILE where it opens something; and EPERM or EACCES where a
 * capability is missing. A pid is above 0 (EINVAL): to iofilter_list() alone 0 is any VM.
 *
 * Threads. Any function may be called from any thread, and:
 * - Those that take a pid or nothing (iofilter_vms, _vm_get, _attach, _list, _detach, _update, _clock_set, _table_get, _table_replace, _open, _save_vm,
 *   _restore_vm, _map_set, _unmap, _regs, _reg_id, _reg_name, _clean, _features, _devices, _set_log, ..) also at the same time. What several of them do to one filter comes out as if they had been called
 *   one after another, but for the clock's operations (below). While one thread opens and loads programs, in iofilter_attach() or
 *   iofilter_update(), others wait there: libbpf has one hook for messages per process. Where libbpf is a shared library, and the program uses
 *   it too, it does not set that hook (libbpf_set_print()) meanwhile.
 * - Of those with a handle, the ones that take a const struct iofilter * may be called at the same time, beside one of the others.
 *   Those others (iofilter_clock, _pin, _stop, _map, _alarm_*, _reg_*, _save, _restore) come one at a time for each handle. iofilter_close() comes last: nobody else is in a function
 *   with this handle, or reads its state, any more.
 * - A clock is changed by one at a time, whoever it is (iofilter_clock(), iofilter_clock_set(), iofilter/clockctl.h): a VMM's lock of the
 *   device will do. What else is written through iofilter_state() has one writer at a time as well, as its header says.
 * - struct iofilter_rules does not change once it is read: any number of threads may use it until it is freed.
 * - The reason of a failure (iofilter_error()) is the thread's own.
 *
 * No function may be called from a signal handler, nor between fork() and exec() in the child of a program with several threads. Descriptors
 * are close-on-exec; but a child that does not exec() holds the filters as its parent does: only iofilter_stop() ends them for sure.
 */
#ifndef IOFILTER_LIBIOFILTER_H
#define IOFILTER_LIBIOFILTER_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>
#include <iofilter/ops.h>
#include <iofilter/state.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define IOFILTER_VERSION "0.1.0"
#define IOFILTER_PIN_DIR "/sys/fs/bpf/kvm-iofilter"

/* The version of the library that runs, "0.1.0"; IOFILTER_VERSION is that of the header. */
const char *iofilter_version(void);

/*
 * Why this thread's last failing call failed: one line, no newline, at most 511 bytes; "no error" before the first. Never NULL. Valid until
 * the thread's next call of a function that can fail, or its end.
 */
const char *iofilter_error(void);

/*
 * Where libbpf's warnings and information go, the verifier's log among them; NULL (as at start): nowhere. @print is called as vprintf() is,
 * in the thread that attaches or updates, and calls neither of the two itself. May be changed at any time; a call of the old one may still be
 * under way when this returns.
 */
void iofilter_set_log(int (*print)(const char *fmt, va_list ap));

/* --- VMs --- */

struct iofilter_vm {
	pid_t pid; /* of the process, in the caller's pid namespace */
	unsigned int vcpus; /* of all its VMs */
	char name[64]; /* QEMU's -name, else the process's; cut off if it is longer. UTF-8; '?' for what is none, and for control characters */
};

/*
 * The processes of this host that have a VM, by pid. *@vms is malloc()ed; free() it.
 * *@hidden (may be NULL): how many processes could not be looked into for lack of permission.
 * Return: how many.
 */
int iofilter_vms(struct iofilter_vm **vms, unsigned int *hidden);

/* One of them. ESRCH: no such process; ENODEV: it has no VM; EACCES: no permission to look (CAP_SYS_PTRACE towards it). */
int iofilter_vm_get(pid_t pid, struct iofilter_vm *vm);

/* --- attaching --- */

/*
 * The names of the devices that the library has a program for and that need nothing else (a table needs rules), NULL-terminated. Valid for
 * as long as the library is loaded.
 */
const char *const *iofilter_devices(void);

/* Rules for a table, from a file. */
struct iofilter_rules;

/*
 * Zero means "as the device has it" everywhere. Later versions add members at the end: the library takes what an older program has, and
 * refuses (EINVAL) what a newer one asks for and it does not know.
 */
struct iofilter_opts {
	size_t size;	    /* sizeof(struct iofilter_opts) */
	const char *obj;    /* programs from this BPF object file instead of the library's own; device may be NULL */
	const char *pinned; /* programs that "bpftool prog loadall FILE DIR/progs pinmaps DIR" pinned in this DIR; likewise */
	int vm_fd;	    /* number of the VM's descriptor in the VMM, where it has several VMs; not 0 */
	__u64 addr;	    /* port, or guest physical address */
	unsigned int width; /* of a counter, bits: PM timer 24 or 32, HPET 64 */
	__u64 bracket;	    /* the clock's times (iofilter/clock.h): all three or none; none: measured */
	__u64 absence;
	__u64 expiry;	    /* none of them above a second, and this not below the bracket */
	int reset; /* iofilter_update(): start with new state, which also clears a blown fuse */
	/* iofilter_update() with new state: wait so many ms for the guest to end its read sequences; 0: cut them off */
	unsigned int drain_ms;
	const struct iofilter_rules *rules; /* of device "table" */
	const struct iofilter_map_opts *map; /* of device "map" */
	int eventfds[KVM_IOFILTER_EVENTFDS]; /* that the program signals (iofilter/ops.h), of this process; 0: none */
};

/* A filter that this process has attached. */
struct iofilter;

/*
 * Attach @device to the VM of process @pid (not of a thread), and set *@f, which is to be closed. @device may be NULL if the options
 * bring the programs; @opts may be NULL. Needs CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE towards the VMM; for a process's own VM, with
 * iofilter_opts.vm_fd, not the last. The VM's descriptor is not kept. When it returns the guest's accesses go to the filter. It
 * takes as long as the kernel takes to verify the programs.
 *
 * ESRCH, ENODEV, EACCES: as iofilter_vm_get(), and ENODEV too if the VM ended meanwhile; EEXIST: already attached, or another
 * filter on the same addresses; EBUSY: a range and one of another device would hide each other, or pinned programs that were attached
 * before; EADDRINUSE: the kernel itself has the device; ENXIO: the kernel does not have the PIT that the device needs;
 * ENOENT: unknown device, no such file, nothing pinned; ENOSYS: the host lacks something (iofilter_features()); EINVAL: options, several
 * VMs and no vm_fd, an object that is none or that the verifier refuses; ENOSPC: the VM has too many I/O devices; EPROTO: the
 * module is of another version; EPERM: a capability is missing. The kernel's verifier may refuse with other numbers (EACCES, E2BIG).
 */
int iofilter_attach(pid_t pid, const char *device, const struct iofilter_opts *opts, struct iofilter **f);

/* The BPF link. For poll(): POLLHUP when the filter is gone, because the VM ended or somebody detached it. Not to be closed. */
int iofilter_fd(const struct iofilter *f);
/* Name, and data members of what is attached (its programs and vm_fd mean nothing here). Valid until iofilter_close(). */
const char *iofilter_device(const struct iofilter *f);
const struct kvm_iofilter_ops *iofilter_ops(const struct iofilter *f);
/* The BPF link's id, as "bpftool link" shows it. */
__u32 iofilter_link_id(const struct iofilter *f);

/*
 * The program's state, shared with the kernel: struct iofilter_head (iofilter/state.h), which says how large it is, and what the device has.
 * Who uses more than the head compares its version and size with those of the header that he was compiled with. Valid until iofilter_close(),
 * even if the filter is gone; not the attached one's any more after iofilter_update() with new state. NULL: it has none.
 */
void *iofilter_state(const struct iofilter *f);

enum iofilter_end {
	IOFILTER_ATTACHED,
	IOFILTER_VM_ENDED,
	IOFILTER_DETACHED,
};

/* Whether and how the filter ended. A VM that ended while its process has others counts as a detach. */
enum iofilter_end iofilter_ended(const struct iofilter *f);

/*
 * Pin link and state under IOFILTER_PIN_DIR/<pid>/<device>/: the filter then outlives this process, until the VM ends, or a detach.
 * Pins of a filter that is gone are replaced. EEXIST: another one is pinned there; ENOSYS: no BPF file system.
 */
int iofilter_pin(struct iofilter *f);

/*
 * A read sequence that the filter has begun (a latched byte not read yet, the second byte of a pair) is known to it alone. So before a
 * detach, drain: begin none, and wait for the guest to end those in flight, for so many ms at most. What a guest has not ended
 * then is cut off: it gets the rest from the VMM, which may not fit.
 */
#define IOFILTER_DRAIN_MS 1000

/*
 * Drain for at most @drain_ms, detach, and remove the pins. When it returns no access is under way in the filter. Does nothing to one that is
 * gone. @f is still to be closed. Return: how many sequences were cut off.
 */
int iofilter_stop(struct iofilter *f, unsigned int drain_ms);

/*
 * Let go of the filter. Without a pin, and if nobody else holds its link, it is detached, after a drain of KVM_IOFILTER_DRAIN_MS at most. Who
 * lists filters, here or in another process, holds each for a moment: to attach the same anew at once, iofilter_stop() first. NULL is allowed.
 */
void iofilter_close(struct iofilter *f);

/* --- what others attached --- */

#define IOFILTER_MAX_CHANNELS 3
#define IOFILTER_MAX_VERDICTS 16

/* The module's own counters for one range. */
struct iofilter_range_stats {
	__u64 reads_handled, reads_punted;
	__u64 writes_handled, writes_punted;
};

/* A channel of a device that has several, each with a count and a time of its own (the PIT). */
struct iofilter_channel {
	__u32 known;	   /* the guest has programmed it since the attach */
	__u32 mode, access, bcd, count; /* what it has programmed; access: 1 LSB, 2 MSB, 3 both; count 0: not yet */
	__u32 proof, ready; /* as iofilter_info's */
	__u64 bounds;
	/* In flight: bytes of a latched count, a latched status, the MSB of an unlatched pair. */
	__u32 latch_bytes, latch;
	__u32 status_latched, status;
	__u32 pair;
};

/* A device that is attached, or whose pins are left. */
struct iofilter_info {
	pid_t pid; /* 0: unknown (not attached by this library, and debugfs not readable) */
	char device[KVM_IOFILTER_NAME_LEN];
	__u32 link_id;
	enum iofilter_end end; /* other than IOFILTER_ATTACHED: only its pins are left */
	__u32 nr_ranges;
	struct kvm_iofilter_range ranges[KVM_IOFILTER_MAX_RANGES];
	int has_stats; /* debugfs was readable */
	struct iofilter_range_stats stats[KVM_IOFILTER_MAX_RANGES];

	int has_state;	   /* the state's layout is known; what follows is valid */
	__u64 attached_at; /* CLOCK_REALTIME, s */
	__u32 draining;	   /* begins no new read sequence */
	__u32 in_flight;   /* read sequences that the guest has not ended */
	__u64 cut;	   /* .. that could not be ended here */
	__u64 addr;
	__u32 width; /* bits */
	__u64 verdicts[IOFILTER_MAX_VERDICTS]; /* accesses by enum iofilter_verdict */
	__u64 reads;	   /* the sum of all but IOFILTER_PUNT_WRITE */
	__u32 proof;	   /* enum iofilter_proof */
	__u32 mode;	   /* enum iofilter_clock_mode */
	__u32 fuse;	   /* enum iofilter_fuse */
	__u32 calibrating; /* samples still wanted to measure the VM's round trip */
	__u32 ready;	   /* proven, narrow enough, nothing lost: reads are answered */
	int too_slow;	   /* the best round trip exceeds the bracket: will not be proven */
	int bounded;
	__u64 bounds;	   /* width of the clock's bounds; answers lag by at most this */
	__u64 last_sample_ago; /* ns; 0 without a sample */
	__u64 proven_for;  /* since the first proof of this run; 0: not proven */
	__u64 bracket, absence, expiry, best_bracket;
	__u64 samples, narrow, lost, moves, vanished, audits, suspicions, delays, delay_total;

	__u32 nr_channels; /* 0: the device has none */
	__u32 clock_channel; /* whose clock the above is: of those that are proven the one that has been for longest */
	struct iofilter_channel channels[IOFILTER_MAX_CHANNELS];
	__u64 commands;	   /* writes that were carried out here: latch commands */
	__u32 odd_reads;   /* in flight: the second of two reads that belong together (port 0x61) */
	__u64 lead;	   /* not 0: the VMM's clock may be ahead by so much (port 0x61 beside KVM's PIT) */

	/* A device of registers (RTC): of the above only counters, addr, fuse, absence, expiry, best_bracket and the samples. */
	int no_clock;
	__u32 known;	 /* registers that are answered at this moment */
	__u32 published; /* the VMM tells the time */
	__u64 changes;	 /* registers that changed by themselves, and are not answered any more */

	/* An IDE channel: of the above what a device of registers has; changes counts answers of the VMM that were not expected. */
	__u32 drive;	 /* 0: none; 1: not known, 2: idle, 3: at work, 4: has data for the guest */
	__u32 line;	 /* of KVM's IOAPIC, where it is known to be the drive's interrupt; else 0 */

	/* A table: of the above only verdicts, reads, addr and absence. */
	__u32 rules;
	__u64 forgotten; /* how often what the guest's writes have told became unknown */

	/* A map, at this moment: of the above only verdicts, reads, addr and width. */
	__u32 map;	 /* enum iofilter_map_kind; 0: it is none */
	__u32 running;
	__u64 value;
	__u64 freq;	 /* Hz; 0: .. */
	__u64 divider;	 /* .. a tick takes so many ns */
	__u64 reload;	 /* 0: none */
	__u64 compare;
	__u32 alarm;	 /* enum iofilter_map_alarm */
	__u64 alarms;	 /* that have come since the attach */
	__u64 alarm_in;	 /* ns until the next one; 0: none comes unless something is changed */
	__u64 reserved[16]; /* 0 */
};

IOFILTER_ASSERT(IOFILTER_NR_VERDICTS <= IOFILTER_MAX_VERDICTS, "a place for each verdict");

/*
 * What is attached to the VM of @pid, or to any with @pid 0, and what pins are left there, by pid and name. Needs CAP_SYS_ADMIN (EPERM). Each
 * counter is read by itself, while the guest goes on. *@infos is malloc()ed; free() it. Return: how many.
 */
int iofilter_list(pid_t pid, struct iofilter_info **infos);

/*
 * Detach @device from the VM of @pid, whoever attached it, as iofilter_stop() does. Needs CAP_SYS_ADMIN. ENOENT: it is not attached. Of
 * a process with several VMs the first is meant: by handle each can be reached. Return: how many sequences were cut off.
 */
int iofilter_detach(pid_t pid, const char *device, unsigned int drain_ms);

/*
 * Swap a fresh program under the link of an attached device; no access is lost. The state (proof, counters) is kept
 * if its layout is the same and @opts has no reset, width, times or rules; else it is new, with what @opts has, and for the rest with what the
 * program begins with (the width stays), and the old one is drained first. @opts (may be NULL) as for iofilter_attach(), which has the errors, too;
 * but the device stays where it is (EINVAL: addr is given), a map is changed by iofilter_map() alone (EINVAL: map is given, or reset of a map), a
 * table with new state wants its rules again, and eventfds are those it was attached with. Needs CAP_SYS_ADMIN, too. ENOENT: it is not attached;
 * EINVAL: the new program is for other ranges, another name or another VM; ENOLINK: it was detached meanwhile; EBUSY: the guest has not ended
 * its sequences within opts->drain_ms. With an error the old program stays. Return: 1 if the state was kept, 0 if it is new.
 */
int iofilter_update(pid_t pid, const char *device, const struct iofilter_opts *opts);

enum iofilter_clock_op {
	IOFILTER_CLOCK_STOP,  /* owned: freeze it at this moment; else: answer nothing until the start */
	IOFILTER_CLOCK_START, /* owned: go on from where it was stopped; else: prove it anew */
	IOFILTER_CLOCK_OWN,   /* the caller owns it: CLOCK_MONOTONIC + offset, exactly, from this moment on; clears a blown fuse */
	IOFILTER_CLOCK_PROVE_ANEW, /* nobody owns or holds it any more; a blown fuse stays */
	/* The caller owns it, and it stands. */
	IOFILTER_CLOCK_OWN_STOPPED,
	/*
	 * Answer nothing for now, whoever owns it: no reader is answered by what was known before this call once it returns. A VMM holds a
	 * clock before it changes it, and owns it again when it has.
	 */
	IOFILTER_CLOCK_HOLD,
};

/*
 * Change the clock of an attached device. To the guest it is one step; reads of all vCPUs see it before or after. @value, in ns, is
 * for IOFILTER_CLOCK_OWN the device clock less CLOCK_MONOTONIC, for IOFILTER_CLOCK_OWN_STOPPED what the clock shows: neither that nor the sum
 * may be negative (EINVAL). Owning the clock is for a VMM that takes its own answers from the same sum. Needs CAP_SYS_ADMIN.
 *
 * EALREADY (IOFILTER_CLOCK_STOP and _START only): it is stopped, or runs, already; ENOENT: not attached; EOPNOTSUPP: this device's clock cannot
 * be owned (the PIT's can only be stopped, held, started and proven anew), or it has none; EPROTO: its state has another layout; EBUSY: an
 * access does not end (the PIT, after a second).
 */
int iofilter_clock_set(pid_t pid, const char *device, enum iofilter_clock_op op, __s64 value);

/* --- for a VMM: its own filters, by handle (docs/vmm.md) --- */

/*
 * iofilter_attach() with getpid() and iofilter_opts.vm_fd, the VM's own descriptor, needs no right to look into processes, and whether the
 * VM has the device already only the module tells, by its ranges. Attach before the vCPUs run, or while they are stopped; the link ends with the
 * process that holds it, or at iofilter_close().
 *
 * Change the clock of @f as iofilter_clock_set() does, without a search for it and without a capability. May be called from any thread of the
 * VMM, one at a time for each filter, with the VMM's locks held: it waits only where a vCPU takes a sample at this moment, then a
 * millisecond, and for one that never ends it (another writer that was killed) a second, after which it goes on.
 */
int iofilter_clock(struct iofilter *f, enum iofilter_clock_op op, __s64 value);

/*
 * What iofilter_list() tells, of this one: no right to look at all links is needed. The module's counters are not in it. EOPNOTSUPP: the
 * filter has no state of its own; all that is not of the state is filled in.
 */
int iofilter_info_get(const struct iofilter *f, struct iofilter_info *info);

/* --- state: registers by id (docs/state.md) --- */

/*
 * A handle on what is attached to the VM of @pid, whoever attached it: for iofilter_clock(), iofilter_info_get(), iofilter_state() and what
 * follows. iofilter_close() lets go of it, and the filter stays as long as its owner wants (while the handle is open, at least).
 * ENOENT: not attached; EPROTO: its state has a layout that this library does not know.
 */
int iofilter_open(pid_t pid, const char *device, struct iofilter **f);

/*
 * Every piece of a device's state is a register. Its id never changes its meaning: bits 63..56 device, 55..48 instance (0), 47..32
 * size in bytes, 31..16 number, 15..0 element of an array.
 */
#define IOFILTER_REG_SIZE(id)	 ((__u32)((id) >> 32) & 0xffff)
#define IOFILTER_REG_NUMBER(id)	 ((__u32)((id) >> 16) & 0xffff)
#define IOFILTER_REG_ELEMENT(id) ((__u32)(id) & 0xffff)

enum iofilter_reg_flags {
	IOFILTER_REG_GUEST = 1 << 0,	/* what the guest has done to the device, what is in flight included */
	IOFILTER_REG_SHADOW = 1 << 1,	/* what the filter has learnt of the VMM */
	IOFILTER_REG_CONFIG = 1 << 2,	/* fixed at the attach; a restore wants the same */
	IOFILTER_REG_COUNTER = 1 << 3,	/* statistics */
	IOFILTER_REG_WRITABLE = 1 << 4,
	IOFILTER_REG_HOST = 1 << 5,	/* means something on this host, in this run only: saved, but not restored */
	IOFILTER_REG_TIME = 1 << 6,	/* a CLOCK_MONOTONIC in ns, 0: none */
	IOFILTER_REG_SIGNED = 1 << 7,
	IOFILTER_REG_HOT = 1 << 8,	/* iofilter_reg_changed() tells of it */
};

struct iofilter_reg {
	__u64 id; /* of the first element */
	__u32 elements; /* 1: no array. Each has an id of its own: id + its index */
	__u32 flags; /* enum iofilter_reg_flags */
	__u64 max; /* the largest value of a writable one; 0: any of its size */
	const char *name; /* "channel[].latch": [] stands for the index */
	const char *meaning;
};

/* All registers of @device, in the order of their ids. *@regs is malloc()ed; free() it. ENOENT: unknown device. Return: how many. */
int iofilter_regs(const char *device, struct iofilter_reg **regs);

/* The id of @name ("channel[2].latch", or a number, which must be one of the device's), as 0 and *@id. ENOENT: there is none. */
int iofilter_reg_id(const char *device, const char *name, __u64 *id);

#define IOFILTER_REG_NAME_LEN 64

/* The name of @id in @buf, which has room for IOFILTER_REG_NAME_LEN. ENOENT. */
int iofilter_reg_name(const char *device, __u64 id, char *buf, size_t size);

/*
 * Get @n registers in one step: @buf gets exactly their sizes, one after the other, as @size says. They belong together: no access of the
 * guest lies between two of them, but for those that the device's programs change without its lock (vcpu[], counters, the RTC's cells
 * while its counters of changes move). The VM goes on meanwhile. ENOENT: no such register; EINVAL: @size is another; EBUSY: the
 * state could not be had within a second.
 */
int iofilter_reg_get(struct iofilter *f, const __u64 *ids, unsigned int n, void *buf, size_t size);

/* Set them likewise: all or none. EPERM: one is not writable; ERANGE: a value is out of range, or does not go with
 * the others; and as iofilter_reg_get(). */
int iofilter_reg_set(struct iofilter *f, const __u64 *ids, unsigned int n, const void *buf, size_t size);

/* iofilter_reg_changed() may have so many to tell. */
#define IOFILTER_REG_CHANGED_MAX 256

/*
 * Which registers with IOFILTER_REG_HOT accesses of the guest have changed since the last call: @ids, which has room for
 * IOFILTER_REG_CHANGED_MAX. Every change is told at least once, after it was made, and nothing that did not change; then the register is to be
 * read, from the mapping or by iofilter_reg_get(). No system call and no lock; by one thread at a time.
 *
 * The first call on a filter of another device than a table is different: from it on changes are followed. It takes the lock as iofilter_reg_get()
 * does (EBUSY), and tells of all of them.
 *
 * EOPNOTSUPP: the device has none: no access that it answers changes anything. Return: how many.
 */
int iofilter_reg_changed(struct iofilter *f, __u64 *ids);

/*
 * All of a filter's state, as bytes with a version and a checksum: little-endian on any host. *@data is malloc()ed; free() it. A VMM
 * does it with its vCPUs stopped, and the clocks that it owns stopped, too.
 */
int iofilter_save(struct iofilter *f, void **data, size_t *size);

enum iofilter_restore_flags {
	IOFILTER_RESTORE_SKIP_UNKNOWN = 1 << 0, /* leave out registers that this library does not know */
};

/*
 * Put it back into a filter of the same device: all of it or, with an error, nothing. What proves a clock does not survive: a clock that nobody
 * owns is proven anew. A clock that was owned or stopped shows what it showed then, and goes on or stands as it did.
 * EBADMSG: truncated or altered; EPROTO: a version that is not known; EINVAL: another device, or another configuration; ENOENT: an
 * unknown register.
 */
int iofilter_restore(struct iofilter *f, const void *data, size_t size, unsigned int flags);

/*
 * The same for all that is attached to a VM, or the devices of the NULL-terminated @devices: what the tool keeps in a file. Return: how many
 * filters. ENOENT: nothing, or one of them, is not attached; EINVAL: one of them is there twice; E2BIG: more than 64.
 */
int iofilter_save_vm(pid_t pid, const char *const *devices, void **data, size_t *size);
/*
 * Every filter in @data must be attached. All of them are checked before the first is changed. EBUSY alone may come later, when some have been
 * restored: then do it again.
 */
int iofilter_restore_vm(pid_t pid, const void *data, size_t size, unsigned int flags);

/* --- tables of rules (docs/table.md) --- */

/*
 * Read rules from @file, a regular one. EINVAL: iofilter_error() begins with "FILE:LINE:COLUMN: ", or it is no regular file; EFBIG: it is larger
 * than 4 MB; ENOENT and others: it cannot be opened or read. They are attached as device "table" with iofilter_opts.rules, and may
 * be freed then. NULL may be freed, too.
 */
int iofilter_rules_read(const char *file, struct iofilter_rules **rules);
void iofilter_rules_free(struct iofilter_rules *rules);

/* What the rules have become (iofilter/table.h), and which addresses they watch, *@nr ranges. Valid until they are freed. */
struct iofilter_table;
const struct iofilter_table *iofilter_rules_table(const struct iofilter_rules *rules);
const struct kvm_iofilter_range *iofilter_rules_ranges(const struct iofilter_rules *rules, __u32 *nr);

/* Are all addresses that the rules name within @range? EINVAL: iofilter_error() says which are not. */
int iofilter_rules_within(const struct iofilter_rules *rules, const struct kvm_iofilter_range *range);

/*
 * Swap the rules of an attached table: an access of the guest meets the old ones or the new ones, which begin with nothing known.
 * ENOENT: no table is attached; EINVAL: they are for other addresses; EBUSY: slots that the VMM has not seen, for @drain_ms; and as
 * iofilter_update(). With an error nothing has changed.
 */
int iofilter_table_replace(pid_t pid, const struct iofilter_rules *rules, unsigned int drain_ms);

/*
 * A copy of an attached table, names and lines included; free() it. It is made while the guest goes on: its counters and slots need not be of one
 * moment. Needs CAP_SYS_ADMIN. ENOENT: no table is attached; EPROTO: its state has another layout.
 */
int iofilter_table_get(pid_t pid, struct iofilter_table **copy);

/* --- maps: a counter or a constant where the VMM has no device --- */

/* Which members of struct iofilter_map_opts mean something. */
enum iofilter_map_field {
	IOFILTER_MAP_FREQ = 1 << 0,
	IOFILTER_MAP_DIVIDER = 1 << 1,
	IOFILTER_MAP_WIDTH = 1 << 2,
	IOFILTER_MAP_RELOAD = 1 << 3,
	IOFILTER_MAP_VALUE = 1 << 4,
	IOFILTER_MAP_OFFSET = 1 << 5,
	IOFILTER_MAP_RUN = 1 << 6,
	IOFILTER_MAP_COMPARE = 1 << 7,
	IOFILTER_MAP_ALARM = 1 << 8,
};

/*
 * Of a new map, with iofilter_attach(pid, "map", ..) and iofilter_opts.map; or what to change of one that is there, when range and kind are
 * not looked at.
 *
 * A counter wants a frequency or a divider. What is not given: as wide as its region, no reload, CLOCK_MONOTONIC's own ticks (an
 * offset of 0), running, compare value 0, no alarm. A change leaves the rest as it is: a counter whose frequency is changed goes on
 * from where it is.
 */
struct iofilter_map_opts {
	size_t size;  /* sizeof(struct iofilter_map_opts) */
	struct kvm_iofilter_range range; /* 1 to 8 bytes; of memory, at 0x10000 or above */
	__u32 kind;   /* enum iofilter_map_kind (iofilter/map.h) */
	__u32 fields; /* enum iofilter_map_field */
	__u64 freq;    /* Hz, up to 4e9 */
	__u64 divider; /* instead: ns that a tick takes, up to 1e18 */
	__u32 width;   /* bits, 1 .. 64 */
	__u32 run;     /* 0: it stands */
	__u64 reload;  /* counts modulo this; 0: modulo 2^width */
	__u64 value;   /* what it shows, from the moment of the call on; all that a constant has */
	__s64 offset;  /* instead: the ticks of CLOCK_MONOTONIC and so many */
	__u64 compare; /* the alarm comes when it counts to this. To be set to it is no alarm */
	__u32 alarm;   /* enum iofilter_map_alarm. ONCE arms it anew */
	__u32 pad;
};

/*
 * A VM's maps are devices of their own for all other functions, each by the name that it has from its address, "map-608"; this writes it
 * to @name. An address below 0x10000 is a port.
 */
void iofilter_map_name(__u64 addr, char name[KVM_IOFILTER_NAME_LEN]);

/*
 * Change a map, by handle or by the VM's pid and the address at which it begins. All of @change is one step: each read of the guest sees
 * what was before or what is after. And no read sees more of the old than an earlier one has: a counter that is stopped stands where
 * it was at a moment not before any answer given.
 *
 * EINVAL: something is out of range; nothing has changed then. EBUSY: another thread or process is changing it and does not end.
 */
int iofilter_map(struct iofilter *f, const struct iofilter_map_opts *change);
int iofilter_map_set(pid_t pid, __u64 addr, const struct iofilter_map_opts *change);

/* Detach the map that begins at @addr. */
int iofilter_unmap(pid_t pid, __u64 addr);

/*
 * The alarm of a map that this process has attached or opened. The descriptor is for poll(): POLLIN when an alarm may have come. It is made by
 * the first call, waits for alarms that come after that, and is iofilter_close()'s to close; it must not be read. -1: there is none, see
 * iofilter_error().
 *
 * iofilter_alarm_read() tells how many have come since it was last called, and arms the descriptor for the next, whose time is
 * computed from the counter itself: what the caller is late adds nothing to it. 0 is no error: the counter was changed, whoever did
 * it, and the descriptor is armed for what it does now. An alarm that has come is not lost by a change or a detach, however late it is read.
 *
 * Both belong to the thread that @f belongs to. A descriptor does not survive a fork(): the child makes its own with its first call
 * only if the parent has made none.
 */
int iofilter_alarm_fd(struct iofilter *f);
int iofilter_alarm_read(struct iofilter *f, __u64 *alarms);

/* Remove the pins whose filter is gone. Return: how many (0 without a BPF file system, too). */
int iofilter_clean(void);

/* --- the host --- */

enum iofilter_answer {
	IOFILTER_NO,
	IOFILTER_YES,
	IOFILTER_UNKNOWN, /* not readable for us */
};

struct iofilter_feature {
	const char *id;	  /* for programs: "kernel", "cap_bpf", .. */
	const char *name; /* for people */
	enum iofilter_answer answer;
	int required;	  /* without it nothing can be attached */
	char detail[96]; /* what was found, or "" */
	const char *todo; /* if not yes */
};

/*
 * What this host and process have of what is needed. *@features is malloc()ed; free() it: its strings are the library's own. Return: how many.
 */
int iofilter_features(struct iofilter_feature **features);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* IOFILTER_LIBIOFILTER_H */
