# SPDX-License-Identifier: GPL-2.0
# What every folder's Makefile shares. O is the root of the build tree; each folder builds into $(O)/<folder>.

ROOT	:= $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)
O	?= $(ROOT)/build
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
SRCDIR	?= /usr/local/src/kvm-iofilter
V	?= 0
Q	:= $(if $(filter 1,$(V)),,@)
say	= $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)')

KSERIES	?= 6.12
KDIR	?= $(firstword $(wildcard /lib/modules/$(shell uname -r)/build) $(wildcard /lib/modules/$(KSERIES).*-amd64/build))

first	= $(firstword $(foreach t,$(1),$(if $(shell command -v $(t) 2>/dev/null),$(t))))
CLANG	?= $(call first,clang-19 clang-20 clang-21 clang)
BPFTOOL ?= $(call first,/usr/sbin/bpftool bpftool)

CFLAGS	?= -O2 -g
WARN	:= -Wall -Wextra -Werror
override CFLAGS += -std=gnu11 $(WARN) -I$(ROOT)/include -D_GNU_SOURCE

# libbpf 1.5: the system's if it is new enough, else built static from the distribution's source (scripts/setup.sh).
LIBBPF_SYSTEM := $(shell pkg-config --atleast-version=1.5 libbpf 2>/dev/null && echo y)
ifeq ($(LIBBPF_SYSTEM),y)
LIBBPF_CFLAGS := $(shell pkg-config --cflags libbpf)
LIBBPF_LIBS	:= $(shell pkg-config --libs libbpf)
LIBBPF	:=
else
LIBBPF	:= $(O)/libbpf-pic/libbpf.a
LIBBPF_CFLAGS := -I$(O)/libbpf-pic/include
LIBBPF_LIBS	:= $(LIBBPF) -lelf -lz
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory
