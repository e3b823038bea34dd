/* SPDX-License-Identifier: GPL-2.0 */
/* Registers of a filter on one's own VM, through libiofilter. */
#ifndef SELFTESTS_VM_REG_H
#define SELFTESTS_VM_REG_H

#include <iofilter/libiofilter.h>
#include "vmm.h"

/* Return: what it returned, if that is not negative. */
#define TEST_LIB(call) \
	({ \
		int ret_ = (call); \
		TEST_ASSERT(ret_ >= 0, "%s: %s", strerror(-ret_), iofilter_error()); \
		ret_; \
	})

static inline __u64 reg_id_of(const char *device, const char *name)
{
	__u64 id;

	TEST_LIB(iofilter_reg_id(device, name, &id));
	return id;
}

/* @name as iofilter_regs() has it: of an array with []. */
static inline __u64 reg_id_at(const char *device, const char *name, __u32 element)
{
	char buf[IOFILTER_REG_NAME_LEN];
	const char *hole = strstr(name, "[]");

	if (!hole)
		return reg_id_of(device, name);
	snprintf(buf, sizeof(buf), "%.*s[%u]%s", (int)(hole - name), name, element, hole + 2);
	return reg_id_of(device, buf);
}

/* Registers of up to 8 bytes, as numbers, all in one step. */
#define REGS_MAX 32

static inline int __regs_get(struct iofilter *f, const __u64 *ids, unsigned int n, __u64 *vals)
{
	__u8 buf[REGS_MAX * 8];
	size_t size = 0;
	unsigned int i;
	int err;

	for (i = 0; i < n; i++)
		size += IOFILTER_REG_SIZE(ids[i]);
	err = iofilter_reg_get(f, ids, n, buf, size);
	for (i = 0, size = 0; !err && i < n; i++) {
		vals[i] = 0;
		memcpy(&vals[i], buf + size, IOFILTER_REG_SIZE(ids[i]));
		size += IOFILTER_REG_SIZE(ids[i]);
	}
	return err;
}

static inline int __regs_set(struct iofilter *f, const __u64 *ids, unsigned int n, const __u64 *vals)
{
	__u8 buf[REGS_MAX * 8];
	size_t size = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		memcpy(buf + size, &vals[i], IOFILTER_REG_SIZE(ids[i]));
		size += IOFILTER_REG_SIZE(ids[i]);
	}
	return iofilter_reg_set(f, ids, n, buf, size);
}

static inline void regs_get(struct iofilter *f, const __u64 *ids, unsigned int n, __u64 *vals)
{
	TEST_LIB(__regs_get(f, ids, n, vals));
}

static inline void regs_set(struct iofilter *f, const __u64 *ids, unsigned int n, const __u64 *vals)
{
	TEST_LIB(__regs_set(f, ids, n, vals));
}

static inline __u64 reg_get(struct iofilter *f, const char *name)
{
	__u64 id = reg_id_of(iofilter_device(f), name), val;

	regs_get(f, &id, 1, &val);
	return val;
}

static inline void reg_set(struct iofilter *f, const char *name, __u64 val)
{
	__u64 id = reg_id_of(iofilter_device(f), name);

	regs_set(f, &id, 1, &val);
}

/* @rules: of a table, as text; else NULL. */
static inline struct iofilter *reg_attach(const struct vmm *vmm, const char *device, const char *rules)
{
	struct iofilter_opts opts = { .size = sizeof(opts), .vm_fd = vmm->fd };
	struct iofilter_rules *r = NULL;
	struct iofilter *f;
	char name[] = "/tmp/reg.XXXXXX";
	int fd;

	if (rules) {
		fd = mkstemp(name);
		TEST_ASSERT(fd >= 0 && write(fd, rules, strlen(rules)) == (ssize_t)strlen(rules), "%s: %s", name, strerror(errno));
		close(fd);
		TEST_LIB(iofilter_rules_read(name, &r));
		unlink(name);
		opts.rules = r;
	}
	TEST_LIB(iofilter_attach(getpid(), device, &opts, &f));
	iofilter_rules_free(r);
	return f;
}

static inline __u64 reg_verdict(struct iofilter *f, enum iofilter_verdict verdict)
{
	char name[IOFILTER_REG_NAME_LEN];

	snprintf(name, sizeof(name), "verdicts[%d]", verdict);
	return reg_get(f, name);
}

/* The guests' own: two vCPUs want numbers that are not the same. */
static inline __u32 guest_random(__u32 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

#endif /* SELFTESTS_VM_REG_H */
