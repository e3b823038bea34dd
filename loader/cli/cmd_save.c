// SPDX-License-Identifier: GPL-2.0
/* iofilter save, restore */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli.h"

#define FILE_MAX (64 << 20)

static int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	for (; size; data += n, size -= n) {
		n = write(fd, data, size);
		if (n < 0)
			return -1;
	}
	return fsync(fd);
}

/* The folder that @file is in, opened. Return: -1 with errno. */
static int open_folder(const char *file)
{
	const char *slash = strrchr(file, '/');
	char name[4096];

	/* The root is its slash. */
	snprintf(name, sizeof(name), "%.*s", slash ? (int)(slash - file) + (slash == file) : 1, slash ? file : ".");
	return open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Without this a rename may be undone by a power failure. Some file systems have nothing of the kind, which is EINVAL. */
static int sync_folder(int fd)
{
	return fsync(fd) && errno != EINVAL ? -1 : 0;
}

/*
 * What a file of this name replaces: a file, where a link to one leads. A device or a folder is not to become one, and a link to nothing does
 * not say what was meant. Return: its name, malloc()ed, or NULL: the reason is printed.
 */
static char *what_to_replace(const char *file)
{
	struct stat st;
	char *name;

	if (!stat(file, &st) && !S_ISREG(st.st_mode)) {
		refuse_msg("%s: it is no regular file: name one, or a name that is free", file);
		return NULL;
	}
	if (lstat(file, &st)) {
		name = errno == ENOENT ? strdup(file) : NULL;
	} else {
		name = realpath(file, NULL);
		if (!name && errno == ENOENT) {
			refuse_msg("%s: a symbolic link to a file that is not there", file);
			return NULL;
		}
	}
	if (!name)
		refuse_msg("%s: %s", file, strerror(errno));
	return name;
}

/* The file @name is the old one or, whole, the new one; also after a power failure, once it is said to be written. @file: as the user calls it. */
static int replace_file(const char *name, const char *file, const void *data, size_t size)
{
	int fd, folder, err;
	char tmp[4096];

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", name) >= (int)sizeof(tmp))
		return refuse_msg("%s: the name is too long", file);
	/* Before anything has changed. */
	folder = open_folder(name);
	if (folder < 0)
		return refuse_msg("%s: %s", file, strerror(errno));
	fd = mkstemp(tmp);
	if (fd < 0) {
		err = refuse_msg("%s: %s", file, strerror(errno));
	} else if (write_all(fd, data, size) || rename(tmp, name)) {
		err = refuse_msg("%s: %s", file, strerror(errno));
		unlink(tmp);
	} else if (sync_folder(folder)) {
		err = refuse_msg("%s: it is written, but its folder is not: %s; after a power failure it may be the old one, or none", file,
				 strerror(errno));
	} else {
		err = 0;
	}
	if (fd >= 0)
		close(fd);
	close(folder);
	return err;
}

static int write_file(const char *file, const void *data, size_t size)
{
	char *name = what_to_replace(file);
	int err = name ? replace_file(name, file, data, size) : EXIT_REFUSED;

	free(name);
	return err;
}

static int read_file(const char *file, char **data, size_t *size)
{
	struct stat st;
	ssize_t n;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		refuse_msg("%s: %s", file, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		refuse_msg("%s: no file, or of more than %d MB", file, FILE_MAX >> 20);
	} else if (!(*data = malloc(st.st_size + 1))) {
		refuse_msg("out of memory");
	} else {
		for (*size = 0; (n = read(fd, *data + *size, st.st_size - *size)) > 0; *size += n)
			;
		if (!n) {
			close(fd);
			return 0;
		}
		refuse_msg("%s: %s", file, strerror(errno));
		free(*data);
	}
	if (fd >= 0)
		close(fd);
	return EXIT_REFUSED;
}

int cmd_save(int argc, char **argv)
{
	static const struct argp_option options[] = { ROW_PID, { 0 } };
	struct args args = { .need_pid = true, .takes_devices = true };
	size_t size;
	void *data;
	int n, err;

	args_parse(&args, argc, argv, options, "--pid PID FILE [DEVICE...]",
		   "The state of the attached devices, or of those that are named, into a file.\v"
		   "To go with a saved VM: stop the VM, 'iofilter save', save the VM. What the guest is in the middle of (a latched count that it has "
		   "not read) is in the file; what proves a clock holds on this host only and is found anew.");
	if (!args.nr_devices) {
		refuse_msg("into which file?");
		return EXIT_USAGE;
	}
	n = iofilter_save_vm(args.pid, args.nr_devices > 1 ? args.devices + 1 : NULL, &data, &size);
	if (n < 0)
		return refuse();
	err = write_file(args.devices[0], data, size);
	free(data);
	if (err)
		return EXIT_REFUSED;
	printf("%s: %d filter%s of VM %d, %zu bytes\n", args.devices[0], n, n == 1 ? "" : "s", args.pid, size);
	return EXIT_OK;
}

int cmd_restore(int argc, char **argv)
{
	static const struct argp_option options[] = {
		ROW_PID,
		{ "skip-unknown", OPT_SKIP_UNKNOWN, NULL, 0, "leave out registers that this version does not know", 0 },
		{ 0 },
	};
	struct args args = { .need_pid = true, .takes_devices = true };
	size_t size;
	char *data;
	int n;

	args_parse(&args, argc, argv, options, "--pid PID FILE",
		   "Put a saved state into the attached devices: all of it, or nothing.\v"
		   "Attach the same devices to the VM that was loaded, restore, then let it go on.");
	if (args.nr_devices != 1) {
		refuse_msg("from which file?");
		return EXIT_USAGE;
	}
	if (read_file(args.devices[0], &data, &size))
		return EXIT_REFUSED;
	n = iofilter_restore_vm(args.pid, data, size, args.skip_unknown ? IOFILTER_RESTORE_SKIP_UNKNOWN : 0);
	free(data);
	if (n < 0)
		return refuse_msg("%s: %s", args.devices[0], iofilter_error());
	printf("%s: %d filter%s restored to VM %d\n", args.devices[0], n, n == 1 ? "" : "s", args.pid);
	return EXIT_OK;
}
