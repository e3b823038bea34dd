// SPDX-License-Identifier: GPL-2.0
/* The guest's memory, in pieces: an address, and the bytes from there on. Pages of zeros are left out. */
#include <endian.h>
#include <string.h>
#include "save.h"

#define PAGE 4096UL
#define PIECE 256UL /* pages, at most */

static bool is_zero(const char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

void ram_save(const struct vmm *vmm, struct snapshot_out *o)
{
	static struct {
		__le64 addr;
		char data[PIECE * PAGE];
	} piece;
	__u64 pages = vmm->ram_size / PAGE, i, n;
	const char *ram = vmm->ram;
	__u32 nr = 0;

	for (i = 0; i < pages; i += n ?: 1) {
		for (n = 0; i + n < pages && n < PIECE && !is_zero(ram + (i + n) * PAGE); n++)
			;
		if (!n)
			continue;
		piece.addr = htole64(i * PAGE);
		memcpy(piece.data, ram + i * PAGE, n * PAGE);
		section_put(o, "ram", nr++, &piece, sizeof(piece.addr) + n * PAGE);
	}
}

/* It is all zero before. */
int ram_restore(struct vmm *vmm, const struct snapshot *s)
{
	const struct section *f = s->sections;
	__le64 addr;
	size_t len;
	void *to;

	for (; f < s->sections + s->nr; f++) {
		if (strncmp(f->name, "ram", SECTION_NAME))
			continue;
		len = f->size - sizeof(addr);
		to = NULL;
		if (f->size >= sizeof(addr)) {
			memcpy(&addr, f->data, sizeof(addr));
			to = machine_memory(vmm, le64toh(addr), len);
		}
		if (!to) {
			vmm_error("--restore: %s has memory that is not the guest's", s->name);
			return -1;
		}
		memcpy(to, f->data + sizeof(addr), len);
	}
	return 0;
}
