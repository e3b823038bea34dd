# SPDX-License-Identifier: GPL-2.0
include scripts/rules.mk

export O KDIR KSERIES PREFIX LIBDIR DESTDIR SRCDIR V

DIRS	:= kmod bpf loader devices examples selftests

all: check-tools $(DIRS)

loader selftests: bpf
devices examples selftests: loader
bpf loader devices selftests: $(LIBBPF)

$(DIRS):
	$(Q)$(MAKE) -C $@

# Position-independent, as it also goes into libiofilter.so.
$(O)/libbpf-pic/libbpf.a:
	$(call say,LIBBPF,$(SRCDIR)/libbpf)
	@mkdir -p $(@D)/obj
	$(Q)$(MAKE) -s -C $(SRCDIR)/libbpf/src BUILD_STATIC_ONLY=1 EXTRA_CFLAGS=-fPIC OBJDIR=$(@D)/obj DESTDIR=$(@D) PREFIX= LIBDIR= INCLUDEDIR=/include \
		install > $(@D)/build.log 2>&1 || { cat $(@D)/build.log; exit 1; }

setup:
	@scripts/setup.sh

check-tools:
	@scripts/check-tools.sh "$(KDIR)" "$(CLANG)" "$(BPFTOOL)" "$(if $(LIBBPF),$(SRCDIR)/libbpf/src/Makefile)"

install: all
	$(Q)$(MAKE) -C loader install
	$(Q)$(MAKE) -C kmod install
	$(Q)$(MAKE) -C devices install

abi-check abi-update: loader
	$(Q)$(MAKE) -C loader $@

check: setup
	@$(MAKE) -j$$(nproc) all
	@selftests/run

torture: setup
	@$(MAKE) -j$$(nproc) all
	@selftests/run --torture

demo: setup
	@$(MAKE) -j$$(nproc) all
	@scripts/demo.sh $(if $(filter host,$(VM)),--host)

bench: setup
	@$(MAKE) -j$$(nproc) all
	@scripts/bench.sh

clean:
	$(call say,CLEAN,$(O))
	$(Q)rm -rf $(O)

help:
	@echo 'make             build everything into build/ (an ordinary user will do)'
	@echo 'make setup       install what this machine lacks (root or sudo); quick when all is there'
	@echo 'make demo        a Linux guest on stock QEMU, without and with the filter: one table (VM=host: on this host itself)'
	@echo 'make check       all tests'
	@echo 'make torture     the same tests with larger numbers'
	@echo 'make bench       cost of an access in instructions: QEMU, filter, KVM'"'"'s own PIT'
	@echo 'make abi-check   is the interface of libiofilter as loader/libiofilter.abi has it?  make abi-update writes that file anew'
	@echo 'make install     PREFIX=/usr/local, LIBDIR=PREFIX/lib, DESTDIR='
	@echo 'make clean       remove build/'
	@echo
	@echo 'KDIR=dir   kernel headers to build the module against (now: $(KDIR))'
	@echo 'O=dir      build tree;  V=1 show the commands'

.PHONY: all $(DIRS) setup check-tools install abi-check abi-update check torture demo bench clean help
