// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The reason of a failure, one per thread. */
#include <stdio.h>
#include "lib.h"

static _Thread_local char reason[512] = "no error";

int lib_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return err;
}

const char *iofilter_error(void)
{
	return reason;
}

const char *iofilter_version(void)
{
	return IOFILTER_VERSION;
}
