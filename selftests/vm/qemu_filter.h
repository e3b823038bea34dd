/* SPDX-License-Identifier: GPL-2.0 */
/* A filter on stock QEMU (lib/qemu.h), by the library. */
#ifndef SELFTESTS_VM_QEMU_FILTER_H
#define SELFTESTS_VM_QEMU_FILTER_H

#include <iofilter/libiofilter.h>
#include "qemu.h"

static inline struct iofilter *qemu_attach(const struct qemu *q, const char *device)
{
	struct iofilter *f;

	TEST_ASSERT(!iofilter_attach(qemu_pid(q), device, NULL, &f), "%s", iofilter_error());
	return f;
}

static inline void qemu_detach(struct iofilter *f)
{
	iofilter_stop(f, 0);
	iofilter_close(f);
}

#endif /* SELFTESTS_VM_QEMU_FILTER_H */
