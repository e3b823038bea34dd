// SPDX-License-Identifier: GPL-2.0
/* Registers as text and as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

const char *reg_flags_str(__u32 flags)
{
	static char buf[8];

	snprintf(buf, sizeof(buf), "%s%s%s%s", flags & IOFILTER_REG_GUEST ? "G" : flags & IOFILTER_REG_SHADOW ? "S" : flags & IOFILTER_REG_CONFIG ? "C" : "N",
		 flags & IOFILTER_REG_WRITABLE ? "W" : "", flags & IOFILTER_REG_HOST ? "H" : "", flags & IOFILTER_REG_HOT ? "T" : "");
	return buf;
}

static const char *part(__u32 flags)
{
	return flags & IOFILTER_REG_GUEST ? "guest" : flags & IOFILTER_REG_SHADOW ? "shadow" : flags & IOFILTER_REG_CONFIG ? "config" : "counter";
}

struct json_object *reg_json(const struct iofilter_reg *reg)
{
	struct json_object *o = json_object_new_object();
	char id[32];

	snprintf(id, sizeof(id), "0x%016llx", (unsigned long long)reg->id);
	json_object_object_add(o, "id", json_object_new_string(id));
	json_object_object_add(o, "name", json_object_new_string(reg->name));
	json_object_object_add(o, "size", json_object_new_int(IOFILTER_REG_SIZE(reg->id)));
	json_object_object_add(o, "elements", json_object_new_int(reg->elements));
	json_object_object_add(o, "part", json_object_new_string(part(reg->flags)));
	json_object_object_add(o, "writable", json_object_new_boolean(reg->flags & IOFILTER_REG_WRITABLE));
	json_object_object_add(o, "restored", json_object_new_boolean(reg->flags & (IOFILTER_REG_GUEST | IOFILTER_REG_SHADOW) &&
								      !(reg->flags & IOFILTER_REG_HOST)));
	json_object_object_add(o, "told", json_object_new_boolean(reg->flags & IOFILTER_REG_HOT));
	if (reg->max)
		json_add_u64(o, "max", reg->max);
	json_object_object_add(o, "meaning", json_object_new_string(reg->meaning));
	return o;
}

static __u32 flags_of(const char *device, __u64 id)
{
	static struct iofilter_reg *regs;
	static char of[KVM_IOFILTER_NAME_LEN];
	static int n;
	int i;

	if (strcmp(of, device)) {
		free(regs);
		regs = NULL;
		n = iofilter_regs(device, &regs);
		snprintf(of, sizeof(of), "%s", device);
	}
	for (i = 0; i < n; i++)
		if (IOFILTER_REG_NUMBER(regs[i].id) == IOFILTER_REG_NUMBER(id))
			return regs[i].flags;
	return 0;
}

static char *hex(const unsigned char *bytes, __u32 size)
{
	char *s = malloc(2 * size + 1);
	__u32 i;

	for (i = 0; s && i < size; i++)
		sprintf(s + 2 * i, "%02x", bytes[i]);
	return s;
}

static long long number(const void *buf, __u32 size)
{
	long long val = 0;

	memcpy(&val, buf, size);
	return val;
}

struct json_object *reg_value_json(const char *device, __u64 id, const void *buf)
{
	__u32 size = IOFILTER_REG_SIZE(id);
	struct json_object *o;
	char *s;

	if (size <= 8)
		return flags_of(device, id) & IOFILTER_REG_SIGNED ? json_object_new_int64(number(buf, size)) :
								    json_object_new_uint64(number(buf, size));
	s = hex(buf, size);
	o = json_object_new_string(s ?: "");
	free(s);
	return o;
}

void reg_value_print(const char *device, __u64 id, const void *buf)
{
	__u32 size = IOFILTER_REG_SIZE(id), flags = flags_of(device, id);
	char name[IOFILTER_REG_NAME_LEN];
	char *s;

	iofilter_reg_name(device, id, name, sizeof(name));
	if (size > 8) {
		s = hex(buf, size);
		printf("%-28s %s\n", name, s ?: "");
		free(s);
	} else if (flags & IOFILTER_REG_SIGNED) {
		printf("%-28s %lld\n", name, number(buf, size));
	} else {
		printf("%-28s %llu (0x%llx)\n", name, number(buf, size), number(buf, size));
	}
}
