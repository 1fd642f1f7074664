# SPDX-License-Identifier: Apache-2.0
#
# The whole build on one page. One archive per layer (libcore, libhttp, libmodules), two programs, one binary per
# unit test. Everything built lies under $(B); `B=build-asan` or `B=build-fuzz` is the same tree with other flags.
#
# ./configure writes config.mk (directories, options, libraries). Without it the defaults below serve, so that
# `make` works in a fresh clone whose libraries are installed.
#
# Invariant: an object depends on the headers it includes, on config.h, and on nothing that changes with the clock.

B ?= build
-include build/config.mk

VERSION     ?= $(shell sed -n 's/^AC_INIT.*\[\([0-9][0-9.]*\)\].*/\1/p' configure.ac)
PREFIX      ?= /usr/local
SBINDIR     ?= $(PREFIX)/sbin
MANDIR      ?= $(PREFIX)/share/man
DOCDIR      ?= $(PREFIX)/share/doc/goma
SYSCONFDIR  ?= $(PREFIX)/etc
STATEDIR    ?= $(PREFIX)/var
RUNDIR      ?= $(STATEDIR)/run
INCLUDEDIR  ?= $(PREFIX)/include
PACKAGES    ?= libevent_core openssl yaml-0.1 libpcre2-8 zlib libcares fmt libnghttp2 jansson libmaxminddb libcrypt hiredis
HAVE        ?= REDIS
WERROR      ?=
ADDED_MODULES ?=
ADDED_SOURCES ?=
ADDED_LIBS    ?=
PYTHON      ?= python3
CLANGXX     ?= clang++-14
FUZZ_SECONDS ?= 30
TEST_JOBS   ?= 2

ifeq ($(origin CXX),default)
CXX := g++
endif

# --- flags -----------------------------------------------------------------------------------------------------------

ifndef LIBS
DEPENDENCY_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
LIBS := $(shell pkg-config --libs $(PACKAGES))
endif
CMOCKA_LIBS ?= -lcmocka

WARNINGS  := -Wall -Wextra -Wshadow -Wconversion $(if $(WERROR),-Werror)
HARDENING := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
OPTIMISE  ?= -O2 -g
SANITIZE  ?=
ALL_CXXFLAGS = -std=c++20 $(OPTIMISE) -pthread $(WARNINGS) $(if $(SANITIZE),-fPIE,$(HARDENING)) $(SANITIZE) \
               -Isrc -include $(B)/config.h $(DEPENDENCY_CFLAGS) $(CPPFLAGS) $(CXXFLAGS)
ALL_LDFLAGS  = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SANITIZE) $(LDFLAGS)
ALL_LIBS     = $(LIBS) $(ADDED_LIBS)

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

# --- what there is ---------------------------------------------------------------------------------------------------

objects = $(patsubst %.cc,$(B)/%.o,$(1))
CORE     := $(call objects,$(wildcard src/core/*.cc))
HTTP     := $(call objects,$(wildcard src/http/*.cc))
MODULES  := $(call objects,$(wildcard src/modules/*.cc)) $(patsubst %.cc,$(B)/added/%.o,$(notdir $(ADDED_SOURCES)))
PROGRAMS := $(patsubst %,$(B)/%,$(if $(wildcard src/main.cc),goma) $(if $(wildcard src/gomactl.cc),gomactl))
UNITS    := $(patsubst t/unit/%.cc,$(B)/unit/%,$(wildcard t/unit/*_test.cc))
PLAYS    := $(sort $(wildcard t/*.t))
FUZZERS  := $(patsubst t/fuzz/%.cc,$(B)/fuzz/%,$(wildcard t/fuzz/*_fuzz.cc))
GENERATED := conf/goma.schema.json docs/reference.md man/goma.yml.5
MANUALS  = $(wildcard man/*.8 man/*.5)

LIBCORE    := $(B)/libcore.a
LIBHTTP    := $(B)/libhttp.a
LIBMODULES := $(B)/libmodules.a

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all units check check-asan bench fuzz fuzzers generate install uninstall clean dist

all: $(LIBCORE) $(LIBHTTP) $(LIBMODULES) $(PROGRAMS)

units: $(UNITS)

# --- compile and link ------------------------------------------------------------------------------------------------

# Written only when its text changes, so that configuring again rebuilds nothing.
define CONFIG_H
// Written by make from config.mk.
#pragma once
#define GOMA_VERSION "$(VERSION)"
#define GOMA_PREFIX "$(PREFIX)"
#define GOMA_SBINDIR "$(SBINDIR)"
#define GOMA_SYSCONFDIR "$(SYSCONFDIR)/goma"
#define GOMA_STATEDIR "$(STATEDIR)"
#define GOMA_RUNDIR "$(RUNDIR)"
#define GOMA_DOCDIR "$(DOCDIR)"
#define GOMA_CONFIGURE_ARGUMENTS "$(CONFIGURE_ARGUMENTS)"
$(foreach name,$(HAVE),#define GOMA_HAVE_$(name) 1
)#define GOMA_ADDED_MODULES(X) $(foreach name,$(ADDED_MODULES),X($(name)))
endef
export CONFIG_H

$(B)/config.h: always
	@mkdir -p $(@D)
	@printf '%s\n' "$$CONFIG_H" | cmp -s - $@ || printf '%s\n' "$$CONFIG_H" > $@
.PHONY: always

$(B)/%.o: %.cc $(B)/config.h
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

vpath %.cc $(sort $(dir $(ADDED_SOURCES)))
$(B)/added/%.o: %.cc $(B)/config.h
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c -o $@ $<

$(LIBCORE): $(CORE)
$(LIBHTTP): $(HTTP)
$(LIBMODULES): $(MODULES)
$(B)/lib%.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

$(B)/goma: $(B)/src/main.o $(LIBMODULES) $(LIBHTTP) $(LIBCORE)
	$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(B)/gomactl: $(B)/src/gomactl.o $(LIBCORE)
	$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

# A unit test is linked with its own layer and those below: an arrow that points up does not link.
$(B)/unit/core_%: $(B)/t/unit/core_%.o $(LIBCORE)
	@mkdir -p $(@D)
	$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)
$(B)/unit/http_%: $(B)/t/unit/http_%.o $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)
$(B)/unit/modules_%: $(B)/t/unit/modules_%.o $(LIBMODULES) $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(CMOCKA_LIBS) $(ALL_LIBS)

-include $(shell test ! -d $(B) || find $(B) -name '*.d')

# --- check -----------------------------------------------------------------------------------------------------------

# Everything that judges is a TAP producer, so prove's summary is the last thing printed.
check: all units
	GOMA_BUILD=$(B) CMOCKA_MESSAGE_OUTPUT=TAP prove -j$(TEST_JOBS) --exec '' $(PLAYS) $(UNITS)

check-asan:
	$(MAKE) B=build-asan SANITIZE='$(ASAN)' OPTIMISE='-O1 -g' check

# --- the rest --------------------------------------------------------------------------------------------------------

fuzz:
	$(MAKE) B=build-fuzz CXX=$(CLANGXX) OPTIMISE='-O1 -g' SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined' fuzzers
	@for fuzzer in $(patsubst t/fuzz/%.cc,%,$(wildcard t/fuzz/*_fuzz.cc)); do \
	  name=$${fuzzer%_fuzz}; mkdir -p build-fuzz/corpus/$$name t/corpus/$$name; echo "== $$name"; \
	  build-fuzz/fuzz/$$fuzzer -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=0 \
	    -artifact_prefix=build-fuzz/$$name- build-fuzz/corpus/$$name t/corpus/$$name 2>&1 | tail -n 4; \
	  test $${PIPESTATUS:-0} = 0 || exit 1; done

fuzzers: $(FUZZERS)
$(B)/fuzz/%: $(B)/t/fuzz/%.o $(LIBHTTP) $(LIBCORE)
	@mkdir -p $(@D)
	$(CXX) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(ALL_LIBS)

bench: all
	bench/run

generate: $(B)/goma
	@mkdir -p conf docs man
	$(B)/goma describe schema > $(B)/generated && mv $(B)/generated conf/goma.schema.json
	$(B)/goma describe markdown > $(B)/generated && mv $(B)/generated docs/reference.md
	$(B)/goma describe man > $(B)/generated && mv $(B)/generated man/goma.yml.5

install: all
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(SYSCONFDIR)/goma $(DESTDIR)$(DOCDIR) $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(PROGRAMS) $(DESTDIR)$(SBINDIR)

clean:
	rm -rf build/src build/t build/unit build/added build/lib*.a build/goma build/gomactl build/config.h build-asan build-fuzz
