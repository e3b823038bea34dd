// SPDX-License-Identifier: GPL-2.0
/*
 * For LD_PRELOAD: what is synced and renamed is written to the file $SYNC_LOG, a word a line; fsync() of a "file" or a "folder", as
 * $SYNC_FAILS says, fails with $SYNC_ERRNO.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *what)
{
	FILE *f = fopen(getenv("SYNC_LOG") ?: "/dev/null", "ae");

	if (!f)
		abort();
	fprintf(f, "%s\n", what);
	fclose(f);
}

int fsync(int fd)
{
	const char *fails = getenv("SYNC_FAILS"), *what;
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	what = S_ISDIR(st.st_mode) ? "folder" : "file";
	note(what);
	if (!fails || strcmp(fails, what))
		return syscall(SYS_fsync, fd);
	errno = atoi(getenv("SYNC_ERRNO") ?: "0");
	return -1;
}

int rename(const char *from, const char *to)
{
	note("rename");
	return syscall(SYS_rename, from, to);
}
