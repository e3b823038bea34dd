/* SPDX-License-Identifier: GPL-2.0 */
/* The few kernel types that our programs need; written by hand, so that no kernel BTF is needed to build. */
#ifndef BPF_VMLINUX_H
#define BPF_VMLINUX_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_ARRAY = 2,
};

/* Opaque; the kernel's and libbpf's headers want them declared. */
struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

#endif /* BPF_VMLINUX_H */
