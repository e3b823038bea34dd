// SPDX-License-Identifier: GPL-2.0
/* Output that several commands share. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"

int refuse_msg(const char *fmt, ...)
{
	va_list ap;

	fputs("iofilter: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_REFUSED;
}

int refuse(void)
{
	return refuse_msg("%s", iofilter_error());
}

void warn_cut(const char *device, pid_t pid, int cut)
{
	refuse_msg("%s: %d read sequences of VM %d were cut off: the guest has not ended them in time, and gets their rest from the VMM",
		   device, cut, pid);
}

/* Why stdout has failed first: what could not be written may be gone then, and a later flush has nothing to fail with. */
static int out_errno;

int out_flush(void)
{
	if (fflush(stdout) && !out_errno)
		out_errno = errno;
	return out_errno || ferror(stdout) ? EXIT_REFUSED : EXIT_OK;
}

void out_end(void)
{
	if (out_flush())
		_exit(refuse_msg("stdout: %s", strerror(out_errno ?: EIO)));
}

int json_print(struct json_object *obj)
{
	if (puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)) == EOF && !out_errno)
		out_errno = errno;
	json_object_put(obj);
	return out_flush();
}

void json_add_u64(struct json_object *obj, const char *key, __u64 v)
{
	json_object_object_add(obj, key, json_object_new_uint64(v));
}

const char *range_str(const struct kvm_iofilter_range *r, char *buf, size_t size)
{
	snprintf(buf, size, "%s 0x%llx+%u", r->bus == KVM_IOFILTER_PIO ? "pio" : "mmio", (unsigned long long)r->addr,
		 r->len);
	return buf;
}

const char *end_str(enum iofilter_end end)
{
	return end == IOFILTER_VM_ENDED ? "VM ended" : end == IOFILTER_DETACHED ? "detached" : "attached";
}
