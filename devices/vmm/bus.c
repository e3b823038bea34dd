// SPDX-License-Identifier: GPL-2.0
/* Which device an access is for. Ports and memory that no device has read as ones, and writes to them are lost. */
#include <string.h>
#include "vmm.h"

struct region *bus_find(struct vmm *vmm, bool mmio, __u64 addr)
{
	unsigned int i;

	for (i = 0; i < vmm->nr_regions; i++)
		if (vmm->regions[i].mmio == mmio && addr >= vmm->regions[i].first && addr <= vmm->regions[i].last)
			return &vmm->regions[i];
	return &vmm->nowhere;
}

static bool whole(const struct region *r, __u64 addr, __u32 len)
{
	return len <= r->width && addr + len - 1 <= r->last;
}

void bus_read(struct vmm *vmm, bool mmio, __u64 addr, void *data, __u32 len)
{
	struct region *r = bus_find(vmm, mmio, addr);
	__u8 *bytes = data;
	__u64 val;
	__u32 i;

	if (!r->read) {
		memset(data, 0xff, len);
	} else if (whole(r, addr, len)) {
		val = r->read(vmm->board, addr, len);
		memcpy(data, &val, len);
	} else if (len > 1) {
		for (i = 0; i < len; i++)
			bus_read(vmm, mmio, addr + i, &bytes[i], 1);
	}
}

void bus_write(struct vmm *vmm, bool mmio, __u64 addr, const void *data, __u32 len)
{
	struct region *r = bus_find(vmm, mmio, addr);
	const __u8 *bytes = data;
	__u64 val = 0;
	__u32 i;

	if (!r->write)
		return;
	if (whole(r, addr, len)) {
		memcpy(&val, data, len);
		r->write(vmm->board, addr, val, len);
	} else if (len > 1) {
		for (i = 0; i < len; i++)
			bus_write(vmm, mmio, addr + i, &bytes[i], 1);
	}
}
