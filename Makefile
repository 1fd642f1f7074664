# SPDX-License-Identifier: Apache-2.0
#
# The whole build on one page. One archive per layer (libcore, libhttp, libmodules), two programs, one binary per
# unit test. Everything built lies under $(B): build, build-asan, build-fuzz, or any directory given as B=DIR.
#
# ./configure writes build/config.mk (directories, options, libraries). Without it the defaults below serve, so that
# `make` works in a fresh clone whose libraries are installed.
#
# Invariant: an object depends on the headers it includes, on config.h, and on nothing that changes with the clock.

B ?= build
CONFIG_MK ?= $(firstword $(wildcard $(B)/config.mk build/config.mk))
-include $(CONFIG_MK)

VERSION       ?= $(shell sed -n 's/^AC_INIT.*\[\([0-9][0-9.]*\)\].*/\1/p' configure.ac)
prefix        ?= /usr/local
bindir        ?= $(prefix)/bin
sbindir       ?= $(prefix)/sbin
datadir       ?= $(prefix)/share
mandir        ?= $(datadir)/man
docdir        ?= $(datadir)/doc/goma
sysconfdir    ?= $(if $(filter /usr /usr/local,$(prefix)),,$(prefix))/etc
unitdir       ?= $(prefix)/lib/systemd/system
HAVE          ?= REDIS GEOIP SECCOMP
PACKAGES      := libevent_core openssl yaml-0.1 libpcre2-8 zlib libcares fmt libnghttp2 jansson libcrypt libidn2 hiredis libmaxminddb libseccomp
CLANGXX       ?= clang++-14
FUZZ_SECONDS  ?= 30
TEST_JOBS     ?= 2
ifeq ($(origin CXX),default)
CXX := g++
endif
ifndef LIBS
DEPENDENCY_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
LIBS := $(shell pkg-config --libs $(PACKAGES)) -ldate-tz
endif
CMOCKA_LIBS   ?= -lcmocka

# --- flags -----------------------------------------------------------------------------------------------------------

OPTIMISE  ?= -O2 -g
WARNINGS  := -Wall -Wextra -Wshadow -Wconversion $(if $(WERROR),-Werror)
HARDENING := -fPIE -fstack-protector-strong $(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)
ASAN      := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ      := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

compile = $(CXX) -std=c++20 $(OPTIMISE) -pthread $(WARNINGS) $(HARDENING) $(SANITIZE) -Isrc -include $(B)/config.h $(DEFINITIONS) \
          $(DEPENDENCY_CFLAGS) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<
link    = $(CXX) $(OPTIMISE) -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS) -o $@ $^ \
          $(1) $(LIBS) $(ADDED_LIBS)

# --- what there is ---------------------------------------------------------------------------------------------------

objects  = $(patsubst %.cc,$(B)/%.o,$(sort $(wildcard $(1))))
CORE     := $(call objects,src/core/*.cc)
HTTP     := $(call objects,src/http/*.cc)
MODULES  := $(call objects,src/modules/*.cc) $(patsubst /%.cc,$(B)/added/%.o,$(ADDED_SOURCES))
CONTROL  := $(call objects,src/gomactl.cc)
MAIN     := $(filter-out $(CONTROL),$(call objects,src/*.cc))
PROGRAMS := $(if $(wildcard src/main.cc),$(B)/goma) $(if $(CONTROL),$(B)/gomactl)
UNITS    := $(patsubst t/unit/%.cc,$(B)/unit/%,$(sort $(wildcard t/unit/*_test.cc)))
FUZZERS  := $(patsubst t/fuzz/%.cc,$(B)/fuzz/%,$(sort $(wildcard t/fuzz/*_fuzz.cc)))
MANUALS   = $(sort $(wildcard man/*.[58]))

LIBCORE    := $(B)/libcore.a
LIBHTTP    := $(B)/libhttp.a
LIBMODULES := $(B)/libmodules.a

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all units check check-asan check-h2spec bench fuzz fuzzers generate install uninstall clean distclean dist always

all: $(LIBCORE) $(LIBHTTP) $(LIBMODULES) $(PROGRAMS)

units: $(UNITS) $(B)/bench/pace  # what plays drive load with

# --- compile and link ------------------------------------------------------------------------------------------------

define CONFIG_H
// Written by make from config.mk.
#pragma once
#define GOMA_VERSION "$(VERSION)"
#define GOMA_DATADIR "$(datadir)/goma"
#define GOMA_SYSCONFDIR "$(sysconfdir)/goma"
$(foreach name,$(HAVE),#define GOMA_HAVE_$(name) 1
)
endef
export CONFIG_H

# What only the inventory and main need to know: adding a module compiles two files again, not a hundred.
define INVENTORY_H
#define GOMA_CONFIGURE_ARGUMENTS "$(strip $(CONFIGURE_ARGUMENTS))"
#define GOMA_ADDED_MODULES(X)$(foreach name,$(ADDED_MODULES), X($(name)))
endef
export INVENTORY_H

# Written only when their text changes, so that configuring again rebuilds nothing.
write_changed = mkdir -p $(@D); printf '%s\n' "$$$(1)" | cmp -s - $@ || printf '%s\n' "$$$(1)" > $@
$(B)/config.h: always
	@$(call write_changed,CONFIG_H)
$(B)/inventory.h: always
	@$(call write_changed,INVENTORY_H)

INVENTORY_USERS := $(B)/src/main.o $(B)/src/modules/modules.o
$(INVENTORY_USERS): private DEFINITIONS := -include $(B)/inventory.h
$(INVENTORY_USERS): $(B)/inventory.h

$(B)/%.o: %.cc $(B)/config.h
	@mkdir -p $(@D)
	$(compile)

$(B)/added/%.o: /%.cc $(B)/config.h
	@mkdir -p $(@D)
	$(compile)

$(LIBCORE): $(CORE)
$(LIBHTTP): $(HTTP)
$(LIBMODULES): $(MODULES)
$(B)/lib%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/goma: $(MAIN) $(LIBMODULES) $(LIBHTTP) $(LIBCORE)
	$(call link)

$(B)/gomactl: $(CONTROL) $(LIBCORE)
	$(call link)

# A unit test is linked with its own layer and those below: an arrow that points up does not link.
$(B)/unit/core_%: $(B)/t/unit/core_%.o $(LIBCORE)
	@mkdir -p $(@D)
	$(call link,$(CMOCKA_LIBS))

$(B)/unit/http_%: $(B)/t/unit/http_%.o $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(call link,$(CMOCKA_LIBS))

$(B)/unit/modules_%: $(B)/t/unit/modules_%.o $(LIBMODULES) $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(call link,$(CMOCKA_LIBS))

$(B)/fuzz/%: $(B)/t/fuzz/%.o $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(call link,-fsanitize=fuzzer)

-include $(shell test ! -d $(B) || find $(B) -name '*.d')

# A change of configure.ac is configured anew with the same arguments.
ifneq ($(wildcard config.status),)
configure: configure.ac
	autoconf
build/config.mk: configure config.mk.in
	./config.status --recheck && ./config.status
endif

# --- check -----------------------------------------------------------------------------------------------------------

check: all units
	@contrib/check $(B) $(TEST_JOBS)

# Needs h2spec in PATH: go install github.com/summerwind/h2spec/cmd/h2spec@latest
check-h2spec: all
	@prove -v t/h2spec.t

check-asan:
	+$(MAKE) B=build-asan SANITIZE='$(ASAN)' OPTIMISE='-O1 -g' check

# Writes the files that are made from the tables; t/00_static.t fails when one of them is stale.
generate: $(B)/goma
	@mkdir -p conf docs man
	$(B)/goma describe schema > $(B)/described && cp $(B)/described conf/goma.schema.json
	$(B)/goma describe markdown > $(B)/described && cp $(B)/described docs/reference.md
	$(B)/goma describe man > $(B)/described && cp $(B)/described man/goma.yml.5

fuzz:
	+$(MAKE) B=build-fuzz CXX=$(CLANGXX) OPTIMISE='-O1 -g' SANITIZE='$(FUZZ)' fuzzers
	contrib/fuzz build-fuzz $(FUZZ_SECONDS)

fuzzers: $(FUZZERS)

# The origin server of the benchmark is C: it must cost nothing beside what it serves.
bench: all $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
	bench/run
$(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) -O2 -g -Wall -Wextra -o $@ $< -pthread -Wl,--as-needed -lssl -lcrypto

# --- install ---------------------------------------------------------------------------------------------------------

# Pages keep their places beside each other, so that their links hold; the paths of the unit and the schema are those given.
install: all
	install -d $(addprefix $(DESTDIR),$(sbindir) $(bindir) $(datadir)/goma $(unitdir) $(docdir)/docs/middlewares $(mandir)/man5 $(mandir)/man8)
	install -d -m 750 $(DESTDIR)$(sysconfdir)/goma
	install -m 755 $(B)/goma $(DESTDIR)$(sbindir)/goma
	install -m 755 $(B)/gomactl $(DESTDIR)$(bindir)/gomactl
	install -m 644 conf/goma.schema.json $(DESTDIR)$(datadir)/goma
	install -m 644 README.md CHANGES LICENSE $(DESTDIR)$(docdir)
	install -m 644 docs/*.md $(DESTDIR)$(docdir)/docs
	install -m 644 docs/middlewares/*.md $(DESTDIR)$(docdir)/docs/middlewares
	$(foreach page,$(MANUALS),install -m 644 $(page) $(DESTDIR)$(mandir)/man$(patsubst .%,%,$(suffix $(page))) &&) true
	sed 's|/usr/sbin/|$(sbindir)/|; s|/usr/bin/|$(bindir)/|; s|/etc/goma|$(sysconfdir)/goma|' contrib/systemd/goma.service > $(DESTDIR)$(unitdir)/goma.service
	test -e $(DESTDIR)$(sysconfdir)/goma/goma.yml || { install -m 640 /dev/null $(DESTDIR)$(sysconfdir)/goma/goma.yml && \
	  sed 's|/usr/share/|$(datadir)/|' conf/goma.yml > $(DESTDIR)$(sysconfdir)/goma/goma.yml; }

# Leaves the configuration alone: it is the user's.
uninstall:
	rm -f $(DESTDIR)$(sbindir)/goma $(DESTDIR)$(bindir)/gomactl $(DESTDIR)$(unitdir)/goma.service
	rm -f $(foreach page,$(MANUALS),$(DESTDIR)$(mandir)/man$(patsubst .%,%,$(suffix $(page)))/$(notdir $(page)))
	rm -rf $(DESTDIR)$(datadir)/goma $(DESTDIR)$(docdir)

clean:
	rm -rf $(addprefix $(B)/,src t unit fuzz bench added libcore.a libhttp.a libmodules.a goma gomactl config.h inventory.h described)
	rm -rf build-asan build-fuzz

distclean: clean
	rm -rf build configure config.log config.status autom4te.cache goma-*.tar.gz

# The committed tree plus configure; the same commit gives the same bytes.
dist:
	rm -rf $(B)/dist && mkdir -p $(B)/dist/goma-$(VERSION)
	git archive HEAD | tar -x -C $(B)/dist/goma-$(VERSION)
	autoconf -o $(B)/dist/goma-$(VERSION)/configure configure.ac
	tar -C $(B)/dist --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$$(git log -1 --format=%ct) \
	  --exclude=autom4te.cache -c goma-$(VERSION) | gzip -n -9 > goma-$(VERSION).tar.gz
	rm -rf $(B)/dist
