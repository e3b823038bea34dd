// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "section.h"
#include "vmm.h"

#define MAGIC	"IOFVMSAV"
#define VERSION 1
#define END	"end"

struct file_header {
	char magic[8];
	__le32 version, reserved;
};

struct section_header {
	char name[SECTION_NAME];
	__le32 index;
	__le32 crc; /* of the rest of this header, and the data */
	__le64 size;
};

struct end {
	__le32 nr, sum;
};

_Static_assert(sizeof(struct file_header) == 16 && sizeof(struct section_header) == 32, "the file's layout");

static __u32 checksum(struct section_header h, const void *data, size_t size)
{
	__u32 crc;

	h.crc = 0;
	crc = crc32_z(0, (const void *)&h, sizeof(h));
	return size ? crc32_z(crc, data, size) : crc;
}

int snapshot_create(struct snapshot_out *o, const char *name)
{
	struct file_header h = { .magic = MAGIC, .version = htole32(VERSION) };
	int fd;

	*o = (struct snapshot_out){ .name = name };
	if (asprintf(&o->temporary, "%s.XXXXXX", name) < 0)
		o->temporary = NULL;
	fd = o->temporary ? mkostemp(o->temporary, O_CLOEXEC) : -1;
	if (fd >= 0)
		o->f = fdopen(fd, "w");
	if (!o->f) {
		vmm_error("--save: %s: %s", name, strerror(errno));
		if (fd >= 0) {
			close(fd);
			unlink(o->temporary);
		}
		free(o->temporary);
		return -1;
	}
	fwrite(&h, sizeof(h), 1, o->f);
	return 0;
}

void section_put(struct snapshot_out *o, const char *name, __u32 index, const void *data, size_t size)
{
	struct section_header h = { .index = htole32(index), .size = htole64(size) };

	memcpy(h.name, name, strnlen(name, sizeof(h.name)));
	h.crc = htole32(checksum(h, data, size));
	fwrite(&h, sizeof(h), 1, o->f);
	if (size)
		fwrite(data, size, 1, o->f);
	o->sum = crc32_z(o->sum, (void *)&h.crc, sizeof(h.crc));
	o->nr++;
}

void snapshot_abandon(struct snapshot_out *o)
{
	fclose(o->f);
	unlink(o->temporary);
	free(o->temporary);
}

/* The name's new meaning must be on the disk, too. */
static int sync_folder(const char *name)
{
	char *copy = strdup(name);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int err = fd < 0 || fsync(fd) ? -1 : 0;

	if (fd >= 0)
		close(fd);
	free(copy);
	return err;
}

int snapshot_finish(struct snapshot_out *o)
{
	struct end end = { htole32(o->nr), htole32(o->sum) };

	section_put(o, END, 0, &end, sizeof(end));
	if (fflush(o->f) || ferror(o->f) || fsync(fileno(o->f)) || rename(o->temporary, o->name) || sync_folder(o->name)) {
		vmm_error("--save: %s: %s", o->name, strerror(errno));
		snapshot_abandon(o);
		return -1;
	}
	fclose(o->f);
	free(o->temporary);
	return 0;
}

static const char *map_file(struct snapshot *s)
{
	int fd = open(s->name, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st)) {
		why = strerror(errno);
	} else if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct file_header)) {
		why = "is no saved VM";
	} else {
		map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED) {
			why = strerror(errno);
		} else {
			s->map = map;
			s->size = st.st_size;
		}
	}
	if (fd >= 0)
		close(fd);
	return why;
}

/* Return: what is wrong. */
static const char *read_section(struct snapshot *s, size_t *at)
{
	struct section_header h;
	struct section *more;
	size_t size;

	if (s->size - *at < sizeof(h))
		return "is cut off";
	memcpy(&h, s->map + *at, sizeof(h));
	*at += sizeof(h);
	size = le64toh(h.size);
	if (size > s->size - *at)
		return "is cut off, or altered";
	if (checksum(h, s->map + *at, size) != le32toh(h.crc))
		return "is altered: a checksum is wrong";
	more = reallocarray(s->sections, s->nr + 1, sizeof(*more));
	if (!more)
		return "is too much for the memory";
	s->sections = more;
	more = &more[s->nr++];
	*more = (struct section){ .index = le32toh(h.index), .size = size, .data = s->map + *at };
	memcpy(more->name, h.name, sizeof(h.name));
	if (strncmp(h.name, END, sizeof(h.name)))
		s->sum = crc32_z(s->sum, (void *)&h.crc, sizeof(h.crc));
	*at += size;
	return NULL;
}

static const char *read_all(struct snapshot *s)
{
	size_t at = sizeof(struct file_header);
	struct file_header h;
	const char *why;
	struct end end;

	memcpy(&h, s->map, sizeof(h));
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)))
		return "is no saved VM";
	if (le32toh(h.version) != VERSION || h.reserved)
		return "is of another version";
	do {
		why = read_section(s, &at);
		if (why)
			return why;
	} while (strncmp(s->sections[s->nr - 1].name, END, SECTION_NAME));
	if (at != s->size)
		return "has more than what was saved";
	if (s->sections[s->nr - 1].size != sizeof(end))
		return "is altered";
	memcpy(&end, s->sections[s->nr - 1].data, sizeof(end));
	return le32toh(end.nr) == s->nr - 1 && le32toh(end.sum) == s->sum ? NULL : "is altered: not all sections are its own";
}

int snapshot_open(struct snapshot *s, const char *name)
{
	const char *why;

	*s = (struct snapshot){ .name = name };
	why = map_file(s);
	if (!why)
		why = read_all(s);
	if (!why)
		return 0;
	vmm_error("--restore: %s %s", name, why);
	snapshot_close(s);
	return -1;
}

void snapshot_close(struct snapshot *s)
{
	if (s->map)
		munmap(s->map, s->size);
	free(s->sections);
	*s = (struct snapshot){};
}

const struct section *section_find(const struct snapshot *s, const char *name, __u32 index)
{
	__u32 i;

	for (i = 0; i < s->nr; i++)
		if (!strncmp(s->sections[i].name, name, SECTION_NAME) && s->sections[i].index == index)
			return &s->sections[i];
	return NULL;
}

int section_get(const struct snapshot *s, const char *name, __u32 index, void *to, size_t size)
{
	const struct section *f = section_find(s, name, index);

	if (f && f->size == size) {
		memcpy(to, f->data, size);
		return 0;
	}
	vmm_error("--restore: %s has no %s %u that fits", s->name, name, index);
	return -1;
}
