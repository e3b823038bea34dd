/* SPDX-License-Identifier: GPL-2.0 */
/* What the commands of iofilter share. */
#ifndef LOADER_CLI_H
#define LOADER_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <json-c/json.h>
#include <iofilter/libiofilter.h>

enum { EXIT_OK, EXIT_REFUSED, EXIT_USAGE };

/* Keys of long options without a letter, and of those that several commands have. */
enum {
	OPT_PIN = 0x100,
	OPT_DAEMON,
	OPT_PORT,
	OPT_WIDTH,
	OPT_TIMING,
	OPT_OBJ,
	OPT_PINNED,
	OPT_VM_FD,
	OPT_RESET,
	OPT_WATCH,
	OPT_DRAIN,
	OPT_ALL,
	OPT_SKIP_UNKNOWN,
	OPT_COUNT,
	OPT_TIMEOUT,
};

#define MAX_DEVICES 256 /* or registers */

/* What the command line said. Each command's argp lists the options it takes; one parser knows them all. */
struct args {
	const char *cmd;
	pid_t pid;
	bool need_pid, json, daemon, pin, all, skip_unknown;
	bool drain_given;
	unsigned int watch; /* s */
	unsigned int drain_ms;
	unsigned int timeout; /* s; 0: none */
	unsigned long long count; /* 0: any number */
	struct iofilter_opts opts;
	bool takes_devices;
	bool takes_words; /* in their place: anything, also twice */
	bool alarm; /* in the foreground: print a line whenever the map's alarm comes */
	const char *devices[MAX_DEVICES];
	int nr_devices;
};

/* Options as rows for a command's table. */
/* clang-format off */
#define ROW_PID	    { "pid", 'p', "PID", 0, "process id of the VMM ('iofilter list')", 0 }
#define ROW_JSON    { "json", 'j', NULL, 0, "print JSON", 0 }
#define ROW_VERBOSE { "verbose", 'v', NULL, 0, "show libbpf's messages and the verifier's log", 0 }
#define ROW_DAEMON  { "daemon", OPT_DAEMON, NULL, 0, "return once attached; go on in the background", 0 }
#define ROW_VM_FD   { "vm-fd", OPT_VM_FD, "FD", 0, "the VM's descriptor in the VMM, where it has several VMs", 0 }
#define ROW_WIDTH   { "width", OPT_WIDTH, "BITS", 0, "of the counter: 24 (QEMU, default) or 32", 0 }
#define ROW_TIMING  { "timing", OPT_TIMING, "BRACKET,ABSENCE,EXPIRY", 0, \
		      "times of the clock's proof in us; default: auto, measured on the VM's own exits", 0 }
#define ROW_DRAIN   { "drain", OPT_DRAIN, "MS", 0, \
		      "how long to wait for the guest to end a read that the filter has begun (default: 1000; 0: not at all)", 0 }
#define ROW_OBJ	    { "obj", OPT_OBJ, "FILE", 0, "programs from this BPF object file", 0 }
/* clang-format on */

/* Parse or exit. @args holds the defaults. */
void args_parse(struct args *args, int argc, char **argv, const struct argp_option *options, const char *usage,
		const char *doc);

/* A command of commands: 'iofilter table load'. */
struct subcmd {
	const char *name;
	int (*run)(int argc, char **argv);
};

/* Run the one that argv[1] names, or say @usage: on stdout if it was asked for. Return: the exit status. */
int subcommand(int argc, char **argv, const struct subcmd *cmds, size_t n, const char *usage);

/* Print the library's reason (or ours) on stderr. Return: EXIT_REFUSED. */
int refuse(void);
int refuse_msg(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say on stderr that a detach has cut off @cut sequences; it is done all the same. */
void warn_cut(const char *device, pid_t pid, int cut);

/* Write what was printed. Return: EXIT_OK, or EXIT_REFUSED if stdout is gone. */
int out_flush(void);
/* For the end of the process: if what was printed could not be written, say so, and that is the exit status. */
void out_end(void);

/* Print @obj on one line per call and release it. Return: EXIT_OK, or EXIT_REFUSED if stdout is gone. */
int json_print(struct json_object *obj);
void json_add_u64(struct json_object *obj, const char *key, __u64 v);

/* "pio 0x608+4" */
const char *range_str(const struct kvm_iofilter_range *r, char *buf, size_t size);
const char *end_str(enum iofilter_end end);

/* status_text.c, status_json.c */
void status_text(const struct iofilter_info *infos, int n);
struct json_object *status_json(const struct iofilter_info *infos, int n);
/* "proven", "calibrating", .. */
const char *proof_str(const struct iofilter_info *i);
const char *fuse_str(__u32 fuse);
const char *drive_str(__u32 drive);

/* reg.c: registers as text and as JSON. @id: one element; @buf: its bytes. */
const char *reg_flags_str(__u32 flags); /* until its next call */
struct json_object *reg_json(const struct iofilter_reg *reg);
struct json_object *reg_value_json(const char *device, __u64 id, const void *buf);
void reg_value_print(const char *device, __u64 id, const void *buf);

/* SIGINT and SIGTERM from now on as a descriptor. Return: it, or -1 with errno. */
int block_signals(void);

/* Print that @alarms have come to the map. Return: EXIT_OK, or EXIT_REFUSED if stdout is gone. */
int alarm_print(const struct iofilter *f, pid_t pid, __u64 alarms, bool json);
/* Wait for the alarm of the map at @addr, as @args says. Return: the exit status. */
int map_wait(const struct args *args, __u64 addr);
/* Say that there is no map. Return: EXIT_REFUSED. */
int map_none(__u64 addr, pid_t pid);

/* Attach what @args says and stay with it, as it says. Return: the exit status. */
int attach_run(const struct args *args);

int cmd_list(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_update(int argc, char **argv);
int cmd_clock(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_reg(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_table(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_unmap(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_clean(int argc, char **argv);

#endif /* LOADER_CLI_H */
