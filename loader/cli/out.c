// SPDX-License-Identifier: GPL-2.0
/* Output that several commands share. */
#include <stdarg.h>
#include <stdio.h>
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

int json_print(struct json_object *obj)
{
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
	return fflush(stdout) ? EXIT_REFUSED : EXIT_OK;
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
