/* SPDX-License-Identifier: GPL-2.0 */
/* In place of libbpf's <bpf/bpf_helpers.h> and <bpf/bpf_tracing.h>, when a program is compiled for the host. */
#ifndef SELFTESTS_BPF_H
#define SELFTESTS_BPF_H

#define __ksym
#define preserve_access_index
#define bpf_core_field_exists(type, field) 1
#define bpf_core_field_offset(type, field) offsetof(type, field)
#define SEC(name) __attribute__((used))
#ifndef __noinline
#define __noinline __attribute__((__noinline__))
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define BPF_PROG(name, args...) name(args)

#endif /* SELFTESTS_BPF_H */
