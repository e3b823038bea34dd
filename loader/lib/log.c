// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* libbpf's messages: to the user's hook, or nowhere. */
#include <stdio.h>
#include <string.h>
#include "lib.h"

static int (*user_print)(const char *fmt, va_list ap);
static libbpf_print_fn_t previous;
static char refused[64];

static int print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	va_list again;

	/* libbpf has no other way to tell which program it was. */
	if (level == LIBBPF_WARN && strstr(fmt, "BPF program load failed")) {
		va_copy(again, ap);
		snprintf(refused, sizeof(refused), "%s", va_arg(again, const char *));
		va_end(again);
	}
	if (!user_print || level == LIBBPF_DEBUG)
		return 0;
	return user_print(fmt, ap);
}

void log_begin(void)
{
	refused[0] = '\0';
	previous = libbpf_set_print(print);
}

void log_end(void)
{
	libbpf_set_print(previous);
}

const char *log_refused(void)
{
	return refused[0] ? refused : NULL;
}

void iofilter_set_log(int (*p)(const char *fmt, va_list ap))
{
	user_print = p;
}
