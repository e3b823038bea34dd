/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reference VMM: a small PC (KVM's interrupt controllers, our own timers, serial port and IDE disk) that cooperates with the
 * filters through libiofilter.
 *
 * Threads: one per vCPU, in KVM_RUN or in vmm_access(); and the main one, in libevent's loop, for the timers, the input and the end.
 * vmm->lock is for all devices and everything below that says so.
 */
#ifndef DEVICES_VMM_H
#define DEVICES_VMM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <linux/kvm.h>
#include <linux/types.h>

struct event;
struct event_base;
struct board;
struct console;
struct filters;
struct snapshot;
struct state;

#define VMM_MAX_VCPUS 16
#define VMM_MAX_TIMERS 8
#define NSEC 1000000000ULL

/* Exit statuses that are not the guest's own (port 0xf4). */
enum vmm_status {
	VMM_OFF = 0, /* the guest has switched off or reset the machine */
	VMM_ERROR = 1, /* bad input, or the host lacks something */
	VMM_TRIPLE_FAULT = 2,
	VMM_INTERNAL = 3, /* KVM cannot go on */
	VMM_SAVED = 4, /* it goes on where it is restored */
	VMM_TIMEOUT = 124,
	VMM_SIGNAL = 130,
};

struct vmm_options {
	const char *flat, *kernel, *initrd, *cmdline, *disk, *filter, *stats, *save, *restore;
	__u64 flat_addr, memory, save_after, save_at;
	unsigned int cpus, timeout, pause_every, reattach_every, seed;
	bool acpi, kvmclock, show_stats, disk_readonly, sabotage;
};

/* Addresses of a device. An access longer than @width is as many accesses of one byte each (QEMU's rule for devices of bytes). */
struct region {
	const char *name;
	__u64 first, last;
	bool mmio;
	__u32 width;
	__u64 (*read)(struct board *b, __u64 addr, __u32 len);
	void (*write)(struct board *b, __u64 addr, __u64 val, __u32 len);
	/* Exits, and elements: a string exit has several. */
	__u64 reads, writes, elements;
};

/* Of a guest, that has come here. */
struct access {
	struct region *r;
	__u64 addr;
	__u32 len;
	bool write;
};

struct vcpu {
	struct vmm *vmm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	bool in_access; /* KVM_RUN has to be entered again for the instruction's end */
	bool parked; /* out of KVM_RUN, waiting for the end of a pause */
	struct kvm_cpuid2 *cpuid; /* as it was given to KVM */
	/* While the VM is stopped (clocks.c): what the guest's TSC shows, its deadline, and the APIC with the rest of its timer. */
	__u64 tsc, deadline;
	struct kvm_lapic_state lapic;
};

/* Something that happens by itself. */
struct timer {
	__u64 (*deadline)(const void *model); /* by the device clock, ns */
	void (*run)(void *model);
	void *model;
};

struct vmm {
	struct vmm_options opts;
	int kvm, fd;
	size_t run_size;
	void *ram;
	__u64 ram_size;
	unsigned int nr_vcpus;
	struct vcpu vcpus[VMM_MAX_VCPUS];

	pthread_mutex_t lock;
	struct board *board;
	struct console *console;
	struct filters *filters;
	struct region *regions;
	unsigned int nr_regions;
	struct region nowhere; /* counts what no device has */
	__u64 exits; /* of all kinds */

	/* The device clock: CLOCK_MONOTONIC + offset, and it stands while the VM is stopped. */
	__s64 offset;
	__u64 stopped_at, kvm_clock;
	bool stopped;
	struct timer timers[VMM_MAX_TIMERS];
	unsigned int nr_timers;
	__u64 armed; /* for which the timer is set, by CLOCK_MONOTONIC; 0: not set */
	int timer_fd;

	pthread_cond_t changed; /* parked, pausing, ending */
	bool pausing, ending;
	bool saving; /* as soon as the main thread gets to it; until then nobody goes on */
	__u64 accesses;
	int status;
	__u64 pauses, started_at;
	struct event_base *events;
	struct event *ended; /* vmm_end() was called */
	struct event *save_event;
	struct snapshot *snapshot; /* that is being restored */
};

void vmm_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* options.c. Ends the program for what is wrong in them. */
int options_parse(struct vmm_options *o, int argc, char **argv);

/* machine.c: the VM, its memory and vCPUs. All return 0 or -1 with a message. */
int machine_create(struct vmm *vmm);
void machine_destroy(struct vmm *vmm);
/* A piece of guest memory. NULL: not in it. */
void *machine_memory(struct vmm *vmm, __u64 addr, __u64 len);
void machine_irq(struct vmm *vmm, unsigned int gsi, int level);

/* flat.c, linux.c: load, and set the first vCPU to its first instruction. */
int flat_load(struct vmm *vmm);
int linux_load(struct vmm *vmm);
/* acpi.c. Return: where the RSDP is. */
__u64 acpi_build(struct vmm *vmm);
void *file_read(const char *name, size_t *size);

/* bus.c. With the lock held. */
struct region *bus_find(struct vmm *vmm, bool mmio, __u64 addr);
void bus_read(struct vmm *vmm, bool mmio, __u64 addr, void *data, __u32 len);
void bus_write(struct vmm *vmm, bool mmio, __u64 addr, const void *data, __u32 len);

/* vcpu.c */
int vcpu_start_all(struct vmm *vmm);
void vcpu_join_all(struct vmm *vmm);
/* Out of KVM_RUN with all of them, and back. From the main thread, without the lock. */
void vcpu_park_all(struct vmm *vmm);
void vcpu_go_on(struct vmm *vmm);

/* time.c */
int time_init(struct vmm *vmm);
__u64 monotonic(void);
__u64 time_now(const struct vmm *vmm);
/* With the lock held: let what is due happen, and set the timer for what comes. */
void time_run(struct vmm *vmm);
void time_add(struct vmm *vmm, void *model, __u64 (*deadline)(const void *), void (*run)(void *));
/* Stop the VM and its clock, and go on. From the main thread. */
void time_pause(struct vmm *vmm);
void time_go_on(struct vmm *vmm);

#define MSR_TSC_DEADLINE 0x6e0

/* clocks.c: KVM's own clocks. With the lock held: at the moment of the stop; when nothing more interrupts the vCPUs; and to go on. */
void clocks_stop(struct vmm *vmm);
void clocks_settle(struct vmm *vmm);
void clocks_start(struct vmm *vmm);
/* One MSR of a vCPU that is not in KVM_RUN; @request: KVM_GET_MSRS or KVM_SET_MSRS. -1: KVM refuses. */
int vcpu_msr(const struct vcpu *v, unsigned long request, __u32 index, __u64 *val);

/* save.c */
int save_init(struct vmm *vmm);
/* With the lock held, after each access of the guest that came here: is it the one after which to save? */
void save_check(struct vmm *vmm, bool mmio, const struct access *a);

/* restore.c: read the file, and see that it is of such a VM; then make this one it. The VM and its clock are stopped. */
int restore_open(struct vmm *vmm);
int restore(struct vmm *vmm);
void restore_close(struct vmm *vmm);

/* main.c: the VM ends, from any thread and only the first time. */
void vmm_end(struct vmm *vmm, int status);

/* board.c: the devices. */
int board_create(struct vmm *vmm);
void board_destroy(struct vmm *vmm);

/* console.c */
int console_create(struct vmm *vmm);
void console_destroy(struct vmm *vmm);
void console_out(void *arg, __u8 c);
/* With the lock held: the guest may have made room for input. */
void console_pump(struct vmm *vmm);
void console_state(struct vmm *vmm, struct state *s);

/* filter.c: through libiofilter. */
int filters_attach(struct vmm *vmm);
void filters_detach(struct vmm *vmm);
/* While the guest runs, with the lock held: out of the way, and back. */
void filters_leave(struct vmm *vmm);
int filters_return(struct vmm *vmm);
/* With the lock held, before and after the device has an access of the guest. */
void filters_before(struct vmm *vmm, const struct access *a);
void filters_after(struct vmm *vmm, const struct access *a);
/* The device clock has stopped, or has another offset. */
void filters_stopped(struct vmm *vmm);
void filters_started(struct vmm *vmm);
/* What only they know goes into @copy, which is going to be saved. The clock stands. */
void filters_fold(struct vmm *vmm, struct board *copy);
/* For the statistics: a comma and "filters": { .. }. */
void filters_stats(struct vmm *vmm, FILE *f);

/* upset.c: --reattach-every */
int upset_init(struct vmm *vmm);

/* stats.c */
int stats_print(struct vmm *vmm);

#endif /* DEVICES_VMM_H */
