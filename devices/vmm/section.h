/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file of a saved VM: a header, then named sections, each with a checksum, and the last of them says how many and which
 * they are. All numbers are little-endian. So a file that is cut off, altered or longer is found out before anything of it is used.
 */
#ifndef DEVICES_VMM_SECTION_H
#define DEVICES_VMM_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <linux/types.h>
#include <devices/state.h>

#define SECTION_NAME 16

struct section {
	char name[SECTION_NAME];
	__u32 index; /* of a vCPU, of a chip; or of the piece */
	size_t size;
	__u8 *data;
};

/* Being written: to a file beside @name, which takes its place only when all of it is on the disk. */
struct snapshot_out {
	const char *name;
	char *temporary;
	FILE *f;
	__u32 nr, sum; /* sections, and a checksum of their checksums */
};

int snapshot_create(struct snapshot_out *o, const char *name);
/* A failed write is told by snapshot_finish(). */
void section_put(struct snapshot_out *o, const char *name, __u32 index, const void *data, size_t size);
/* Both end it. -1: with a message, and the file of before is still there. */
int snapshot_finish(struct snapshot_out *o);
void snapshot_abandon(struct snapshot_out *o);

/* Being read. */
struct snapshot {
	const char *name;
	__u8 *map;
	size_t size;
	struct section *sections;
	__u32 nr, sum;
};

/* -1: with a message. */
int snapshot_open(struct snapshot *s, const char *name);
void snapshot_close(struct snapshot *s);
/* NULL: there is none. */
const struct section *section_find(const struct snapshot *s, const char *name, __u32 index);
/* A section that must be there and be as long as @to. -1: with a message. */
int section_get(const struct snapshot *s, const char *name, __u32 index, void *to, size_t size);

#endif /* DEVICES_VMM_SECTION_H */
