// SPDX-License-Identifier: GPL-2.0
/* What stands behind the IDE disk: an image file, read and written at once, with the lock held. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "board.h"
#include "vmm.h"

int disk_io(void *arg, int write, __u64 sector, __u32 count, void *data)
{
	struct line *l = arg;
	struct disk *d = &l->vmm->board->disk;
	size_t left = (size_t)count * IDE_SECTOR;
	off_t at = sector * IDE_SECTOR;
	ssize_t n;

	d->used = true;
	if (write && d->readonly)
		return -EROFS;
	if (!count)
		return fdatasync(d->fd) ? -errno : 0;
	for (; left; left -= n, at += n, data = (char *)data + n) {
		n = write ? pwrite(d->fd, data, left, at) : pread(d->fd, data, left, at);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

int disk_open(struct vmm *vmm)
{
	struct disk *d = &vmm->board->disk;
	const char *name = vmm->opts.disk;
	struct stat st;

	d->readonly = vmm->opts.disk_readonly;
	d->fd = open(name, (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st)) {
		vmm_error("%s: %s", name, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < IDE_SECTOR || st.st_size % IDE_SECTOR) {
		vmm_error("%s is no disk image: a file of whole sectors of %u bytes is wanted", name, IDE_SECTOR);
		return -1;
	}
	vmm->board->ide.sectors = st.st_size / IDE_SECTOR;
	return 0;
}

void disk_close(struct vmm *vmm)
{
	if (vmm->board && vmm->board->disk.fd >= 0)
		close(vmm->board->disk.fd);
}
