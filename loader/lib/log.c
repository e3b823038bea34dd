// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* libbpf's messages: to the user's hook, or nowhere. It has one hook per process, so one thread at a time opens or loads an object. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "lib.h"

static int (*user_print)(const char *fmt, va_list ap);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under it. */
static libbpf_print_fn_t previous;
static char refused[64];

static int print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	int (*user)(const char *fmt, va_list ap) = __atomic_load_n(&user_print, __ATOMIC_ACQUIRE);
	va_list again;

	/* libbpf has no other way to tell which program it was. */
	if (level == LIBBPF_WARN && strstr(fmt, "BPF program load failed")) {
		va_copy(again, ap);
		snprintf(refused, sizeof(refused), "%s", va_arg(again, const char *));
		va_end(again);
	}
	if (!user || level == LIBBPF_DEBUG)
		return 0;
	return user(fmt, ap);
}

void log_begin(void)
{
	pthread_mutex_lock(&lock);
	refused[0] = '\0';
	previous = libbpf_set_print(print);
}

void log_end(void)
{
	libbpf_set_print(previous);
	pthread_mutex_unlock(&lock);
}

const char *log_refused(void)
{
	return refused[0] ? refused : NULL;
}

void iofilter_set_log(int (*p)(const char *fmt, va_list ap))
{
	__atomic_store_n(&user_print, p, __ATOMIC_RELEASE);
}
