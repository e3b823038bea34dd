#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# check-tools.sh KDIR CLANG BPFTOOL LIBBPF_SOURCE: one line for each tool that the build lacks, naming the package.
bad=0
lack() { echo "missing $1: install the package $2, or run 'make setup'" >&2; bad=1; }

command -v gcc >/dev/null || lack gcc gcc
command -v pkg-config >/dev/null || lack pkg-config pkg-config
command -v pahole >/dev/null || lack "pahole (the module's BTF)" dwarves
[ -n "$2" ] || lack "clang 19 or later" clang-19
[ -n "$3" ] || lack bpftool bpftool
[ -n "$1" ] && [ -e "$1/Makefile" ] || lack "kernel headers (KDIR=${1:-none})" linux-headers-6.12-amd64
[ ! -e "$1/Makefile" ] || [ -e "$1/vmlinux" ] || lack "$1/vmlinux (BTF for the module)" "that holds the kernel headers with BTF"
[ -z "$4" ] || [ -e "$4" ] || lack "libbpf 1.5 or later" "libbpf-dev (Debian 13)"
[ -e /usr/include/libelf.h ] || lack libelf.h libelf-dev
[ -e /usr/include/zlib.h ] || lack zlib.h zlib1g-dev
pkg-config --exists json-c 2>/dev/null || lack json-c libjson-c-dev
pkg-config --exists cmocka 2>/dev/null || lack cmocka libcmocka-dev
pkg-config --exists libevent libevent_pthreads 2>/dev/null || lack libevent libevent-dev
exit $bad
