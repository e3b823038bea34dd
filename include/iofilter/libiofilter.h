/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * libiofilter: attach filters to running VMs, find what is attached, read its state.
 *
 * Errors: a function that can fail returns a negative errno, and iofilter_error() then says in one line what is wrong and
 * what to do. The library prints nothing. All times are in ns unless a name says otherwise.
 *
 * Threads: functions may be called from any thread. One struct iofilter belongs to one thread at a time; and while one
 * thread is in iofilter_attach() or iofilter_update(), no other may be in either (libbpf's log has one hook per process).
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

/* The version of the library that runs; IOFILTER_VERSION is that of the header. */
const char *iofilter_version(void);

/* Why this thread's last failing call failed: one line, no newline. Valid until the thread's next failing call. */
const char *iofilter_error(void);

/* Where libbpf's messages go, the verifier's log among them; NULL (as at start): nowhere. Set it before anything else. */
void iofilter_set_log(int (*print)(const char *fmt, va_list ap));

/* --- VMs --- */

struct iofilter_vm {
	pid_t pid;
	unsigned int vcpus;
	char name[64]; /* QEMU's -name, else the process's */
};

/*
 * The VMs that run on this host, by pid. *@vms is malloc()ed; free() it.
 * *@hidden (may be NULL): how many processes could not be looked into for lack of permission.
 * Return: how many.
 */
int iofilter_vms(struct iofilter_vm **vms, unsigned int *hidden);

/* One VM. ESRCH: no such process; ENODEV: it has no VM; EACCES: no permission to look. */
int iofilter_vm_get(pid_t pid, struct iofilter_vm *vm);

/* --- attaching --- */

/* The names of the devices that the library has a program for and that need nothing else (a table needs rules), NULL-terminated. */
const char *const *iofilter_devices(void);

/* Rules for a table, from a file. */
struct iofilter_rules;

/* Zero means "as the device has it" everywhere. */
struct iofilter_opts {
	size_t size;	    /* sizeof(struct iofilter_opts) */
	const char *obj;    /* programs from this BPF object file instead of the library's own; device may be NULL */
	const char *pinned; /* programs that "bpftool prog loadall FILE DIR/progs pinmaps DIR" pinned in this DIR; likewise */
	int vm_fd;	    /* number of the VM's descriptor in the VMM, where it has several VMs */
	__u64 addr;	    /* port, or guest physical address */
	unsigned int width; /* of a counter, bits */
	__u64 bracket;	    /* the clock's times (iofilter/clock.h): all three or none; none: measured */
	__u64 absence;
	__u64 expiry;
	int reset; /* iofilter_update(): start with new state, which also clears a blown fuse */
	/* iofilter_update() with new state: wait so many ms for the guest to end its read sequences; 0: cut them off */
	unsigned int drain_ms;
	const struct iofilter_rules *rules; /* of device "table" */
	int eventfds[KVM_IOFILTER_EVENTFDS]; /* that the program signals (iofilter/ops.h), of this process; 0: none */
};

/* A filter that this process has attached. */
struct iofilter;

/*
 * Attach @device to the VM of process @pid. @opts may be NULL. Needs CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE towards
 * the VMM. The VM's descriptor is not kept.
 *
 * ESRCH, ENODEV, EACCES: as iofilter_vm_get(); EEXIST: already attached; EBUSY: another device is in the way;
 * EADDRINUSE: the kernel itself has the device; ENXIO: the kernel does not have the PIT that the device needs;
 * ENOENT: unknown device; ENOSYS: the host lacks something; EINVAL: options; EPERM: a capability is missing.
 */
int iofilter_attach(pid_t pid, const char *device, const struct iofilter_opts *opts, struct iofilter **f);

/* For poll(): POLLHUP when the filter is gone, because the VM ended or somebody detached it. Not to be closed. */
int iofilter_fd(const struct iofilter *f);
const char *iofilter_device(const struct iofilter *f);
const struct kvm_iofilter_ops *iofilter_ops(const struct iofilter *f);
__u32 iofilter_link_id(const struct iofilter *f);

/* The program's state (iofilter/state.h), shared with the kernel. Valid until iofilter_close(). NULL: it has none. */
void *iofilter_state(const struct iofilter *f);

enum iofilter_end {
	IOFILTER_ATTACHED,
	IOFILTER_VM_ENDED,
	IOFILTER_DETACHED,
};

/* Whether and how the filter ended. */
enum iofilter_end iofilter_ended(const struct iofilter *f);

/* Pin link and state under IOFILTER_PIN_DIR/<pid>/<device>/: the filter then outlives this process. */
int iofilter_pin(struct iofilter *f);

/*
 * A read sequence that the filter has begun (a latched byte not read yet, the second byte of a pair) is known to it alone. So before a
 * detach, drain: begin none, and wait for the guest to end those in flight, for so many ms at most. What a guest has not ended
 * then is cut off: it gets the rest from the VMM, which may not fit.
 */
#define IOFILTER_DRAIN_MS 1000

/* Drain for at most @drain_ms, detach, and remove the pins. @f is still to be closed. Return: how many sequences were cut off. */
int iofilter_stop(struct iofilter *f, unsigned int drain_ms);

/* Let go of the filter. Without a pin, and if no other process holds its link, it is detached. NULL is allowed. */
void iofilter_close(struct iofilter *f);

/* --- what others attached --- */

#define IOFILTER_MAX_CHANNELS 3

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
	__u64 verdicts[IOFILTER_NR_VERDICTS]; /* accesses by enum iofilter_verdict */
	__u64 reads;	   /* all of them but the writes */
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
};

/*
 * What is attached to the VM of @pid, or to any with @pid 0. Needs CAP_SYS_ADMIN. *@infos is malloc()ed; free() it.
 * Return: how many.
 */
int iofilter_list(pid_t pid, struct iofilter_info **infos);

/*
 * Detach @device from the VM of @pid, whoever attached it, as iofilter_stop() does. ENOENT: it is not attached.
 * Return: how many sequences were cut off.
 */
int iofilter_detach(pid_t pid, const char *device, unsigned int drain_ms);

/*
 * Swap a fresh program under the link of an attached device; no access is lost. The state (proof, counters) is kept
 * if its layout is the same and opts->reset is not set; else the old one is drained first. EBUSY: the guest has not ended its
 * sequences within opts->drain_ms. Return: 1 if the state was kept, 0 if it is new.
 */
int iofilter_update(pid_t pid, const char *device, const struct iofilter_opts *opts);

enum iofilter_clock_op {
	IOFILTER_CLOCK_STOP,  /* owned: freeze it at this moment; else: answer nothing until the start */
	IOFILTER_CLOCK_START, /* owned: go on from where it was stopped; else: prove it anew */
	IOFILTER_CLOCK_OWN,   /* the caller owns it: CLOCK_MONOTONIC + offset, exactly, from this moment on */
	IOFILTER_CLOCK_PROVE_ANEW, /* nobody owns it any more */
	/* The caller owns it, and it stands. For iofilter_clock() alone, as the next. */
	IOFILTER_CLOCK_OWN_STOPPED,
	/*
	 * Answer nothing for now, whoever owns it: no reader is answered by what was known before this call once it returns. A VMM holds a
	 * clock before it changes it, and owns it again when it has.
	 */
	IOFILTER_CLOCK_HOLD,
};

/*
 * Change the clock of an attached device. To the guest it is one step; reads of all vCPUs see it before or after. @offset, in ns, is
 * for IOFILTER_CLOCK_OWN: the device clock less CLOCK_MONOTONIC; the sum must not be negative (EINVAL). Owning the
 * clock is for a VMM that takes its own answers from the same sum. EALREADY: it is stopped, or runs, already.
 */
int iofilter_clock_set(pid_t pid, const char *device, enum iofilter_clock_op op, __s64 offset);

/* --- for a VMM: its own filters, by handle (docs/vmm.md) --- */

/*
 * iofilter_attach() with getpid() and iofilter_opts.vm_fd, the VM's own descriptor, needs no right to look into processes. Attach
 * before the vCPUs run; the link ends with the process that holds it, or at iofilter_close().
 *
 * Change the clock of @f as iofilter_clock_set() does, without a search for it. @value: for IOFILTER_CLOCK_OWN the offset, for
 * IOFILTER_CLOCK_OWN_STOPPED what the clock shows, in ns. May be called from any thread of the VMM, one at a time for each filter, with
 * the VMM's locks held: it waits only for a vCPU that takes a sample at this moment.
 *
 * EOPNOTSUPP: this device's clock cannot be owned (IOFILTER_CLOCK_STOP and _START can all), or it has none.
 */
int iofilter_clock(struct iofilter *f, enum iofilter_clock_op op, __s64 value);

/* What iofilter_list() tells, of this one: no right to look at all links is needed. The module's counters are not in it. */
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

/* Set them likewise: all or none. EPERM: one is not writable; ERANGE: a value is too large; and as iofilter_reg_get(). */
int iofilter_reg_set(struct iofilter *f, const __u64 *ids, unsigned int n, const void *buf, size_t size);

/* iofilter_reg_changed() may have so many to tell. */
#define IOFILTER_REG_CHANGED_MAX 256

/*
 * Which registers with IOFILTER_REG_HOT accesses of the guest have changed since the last call: @ids, which has room for
 * IOFILTER_REG_CHANGED_MAX. Every change is told at least once, after it was made, and nothing that did not change; then the register is to be
 * read, from the mapping or by iofilter_reg_get(). No system call and no lock; by one thread at a time. EOPNOTSUPP: the device has none.
 * Return: how many.
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
 * filters. ENOENT: nothing, or one of them, is not attached.
 */
int iofilter_save_vm(pid_t pid, const char *const *devices, void **data, size_t *size);
/* Every filter in @data must be attached. All of them are checked before the first is changed. */
int iofilter_restore_vm(pid_t pid, const void *data, size_t size, unsigned int flags);

/* --- tables of rules (docs/table.md) --- */

/*
 * Read rules from @file. EINVAL: iofilter_error() begins with "FILE:LINE:COLUMN: ". They are attached as device "table" with
 * iofilter_opts.rules, and may be freed then.
 */
int iofilter_rules_read(const char *file, struct iofilter_rules **rules);
void iofilter_rules_free(struct iofilter_rules *rules);

/* What the rules have become (iofilter/table.h), and which addresses they watch. */
struct iofilter_table;
const struct iofilter_table *iofilter_rules_table(const struct iofilter_rules *rules);
const struct kvm_iofilter_range *iofilter_rules_ranges(const struct iofilter_rules *rules, __u32 *nr);

/*
 * Swap the rules of an attached table: an access of the guest meets the old ones or the new ones, which begin with nothing known.
 * EINVAL: they are for other addresses; EBUSY: slots that the VMM has not seen, for @drain_ms; then nothing has changed.
 */
int iofilter_table_replace(pid_t pid, const struct iofilter_rules *rules, unsigned int drain_ms);

/* A copy of an attached table at this moment, names and lines included; free() it. */
int iofilter_table_get(pid_t pid, struct iofilter_table **copy);

/* Remove the pins whose filter is gone. Return: how many. */
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
	char detail[96];
	const char *todo; /* if not yes */
};

/* What this host and process have of what is needed. *@features is malloc()ed; free() it. Return: how many. */
int iofilter_features(struct iofilter_feature **features);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* IOFILTER_LIBIOFILTER_H */
