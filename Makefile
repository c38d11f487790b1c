# SPDX-License-Identifier: MIT
#
# make            build/tcpwhy
# make examples   build/examples/: programs to read, and to play with
# make demo       install what is missing, build, show the main job on real sockets
# make check      build and run all tests (again under ASan and UBSan)
# make check-long N=1000000 SEED=1    random calls on the engine and on the kernel
# make check-packets N=1000000 SEED=1 random segments on src/segment and on the kernel
# make check-matrix   both again on Debian's kernels of other releases, in QEMU (long)
# make check-kills N=10000 SEED=1     rounds of kills of the processes of tcpwhy run
# make check-fixes KILLS=1000         kill -9 of who changes a sysctl and sets it back
# make check-leases KILLS=10000       kill -9 of who leases ports, the protocol in spin, and 500,000 TIME_WAIT, at length
# make bench      side-by-side benchmarks, each prints its ratio
# make fuzz T=60  every fuzzer for T seconds

CC      ?= gcc
CLANG   ?= clang
BUILD   ?= build
CASES   ?= $(CURDIR)/cases
DIRS    := base engine segment world load explain logs live lease cure wrap case report cli
PURE    := base engine segment world load explain logs
WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
	   -Wvla -Wformat=2 -Werror
PKGS    := libmnl libbpf jansson libpcre2-8 libnftables lua5.4 libseccomp libpcap
CFLAGS  ?= -O2 -g
ALL_CFLAGS := -std=c17 -D_GNU_SOURCE $(WARN) $(CFLAGS) -Iinclude -Isrc -I$(BUILD)/gen \
	      $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS    := -Wl,--as-needed $(shell pkg-config --libs $(PKGS) 2>/dev/null)

src_of  = $(filter-out %.bpf.c,$(wildcard src/$(1)/*.c))
obj_of  = $(patsubst %.c,$(BUILD)/%.o,$(call src_of,$(1)))
libs    = $(foreach d,$(1),$(BUILD)/lib$(d).a)
# Users before what they use.
ALL_LIBS := $(call libs,report case wrap cure lease live logs explain load world segment engine base)

BPF      := $(wildcard src/*/*.bpf.c)
SKEL     := $(foreach f,$(BPF),$(BUILD)/gen/$(notdir $(f:.bpf.c=.skel.h)))
UNIT     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*_test.c))
DIFFER   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/differ/*.c))
CONFORM  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/conform/*.c)) $(DIFFER)
PACKET   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/packet/*.c)) $(DIFFER)
CROWD    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/crowd/*.c)) $(filter-out %/main.o %/check.o %/wire.o %/shrink.o,$(CONFORM))
FUZZ     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))
BENCH    := $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard examples/*.c))
WRAP     := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/wrap/*.c)) $(BUILD)/tests/wrap/binder-static

# Run as users get them: under sanitizers they would make a fraction of the calls, or step through more than is ours.
PLAIN    := $(BUILD)/conform $(BUILD)/crowd $(BUILD)/packet \
	    $(patsubst %.c,$(BUILD)/%,$(shell grep -l '^ \* plain: ' tests/unit/*_test.c))

.PHONY: all examples tests plain objects check check-layers check-long check-packets check-matrix check-leases check-fixes check-kills bench fuzz demo clean format
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/tcpwhy $(BUILD)/libtcpwhy-lease.so $(BUILD)/libtcpwhy-lease.a

examples: $(EXAMPLES)

tests: all $(UNIT) $(FUZZ) $(EXAMPLES) $(BUILD)/lease-kill $(BUILD)/starved $(BUILD)/conform $(BUILD)/crowd $(BUILD)/packet $(WRAP)

plain: all $(PLAIN)

# For a compiler that is asked for its warnings, and for nothing that runs.
objects: $(foreach d,$(DIRS),$(call obj_of,$(d))) $(CONFORM) $(PACKET) $(CROWD) $(UNIT:=.o) $(FUZZ:=.o) \
	 $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lease/*.c)) $(EXAMPLES) $(WRAP)

$(BUILD)/tcpwhy: $(call obj_of,cli) $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

define archive
$(BUILD)/lib$(1).a: $(call obj_of,$(1))
	@rm -f $$@
	ar rcs $$@ $$^
endef
$(foreach d,$(filter-out cli,$(DIRS)),$(eval $(call archive,$(d))))

# The library for other programs: the port pool, and what it needs of the folders above it.
LEASE     := $(wildcard src/lease/*.c) src/live/sysctl.c src/live/collect.c src/base/address.c src/base/text.c
LEASE_PIC := $(patsubst %.c,$(BUILD)/pic/%.o,$(LEASE))
LEASE_SO  := libtcpwhy-lease.so.0

$(BUILD)/libtcpwhy-lease.a: $(patsubst %.c,$(BUILD)/%.o,$(LEASE))
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/$(LEASE_SO): $(LEASE_PIC) src/lease/lease.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(LEASE_SO) -Wl,--version-script,src/lease/lease.map \
		-o $@ $(LEASE_PIC)

$(BUILD)/libtcpwhy-lease.so: $(BUILD)/$(LEASE_SO)
	ln -sf $(LEASE_SO) $@

$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$(BUILD)/src/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

# gcc turns the loop of text_length() into a call of strlen(), which the pure folders may not make.
$(BUILD)/src/base/text.o: ALL_CFLAGS += -ffreestanding

# Where tcpwhy lab finds its cases: in this tree, or where a package puts them.
$(BUILD)/src/cli/lab_cases.o: ALL_CFLAGS += -DLAB_CASES='"$(CASES)"'

# BPF programs: their own few type declarations with CO-RE relocations, so no header is dumped from this host.
define bpf_object
$(BUILD)/gen/$(notdir $(1:.c=.o)): $(1)
	@mkdir -p $$(@D)
	$$(CLANG) -O2 -g -Wall -Wno-unused-function -target bpf -mcpu=v3 -Isrc -Iinclude -MMD -MP -c -o $$@ $$<
endef
$(foreach f,$(BPF),$(eval $(call bpf_object,$(f))))

$(BUILD)/gen/%.skel.h: $(BUILD)/gen/%.bpf.o
	bpftool gen skeleton $< name $(basename $(notdir $(basename $<))) > $@

$(call obj_of,live) $(call obj_of,cure) $(UNIT:=.o): | $(SKEL)

$(BUILD)/tests/unit/%_test: $(BUILD)/tests/unit/%_test.o $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

# The corpus is replayed by every make check; -fsanitize=fuzzer only in make fuzz.
$(BUILD)/tests/fuzz/%_fuzz: $(BUILD)/tests/fuzz/%_fuzz.o $(BUILD)/tests/fuzz/replay.o $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/conform: $(CONFORM) $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/packet: $(PACKET) $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/examples/%: examples/%.c $(BUILD)/libtcpwhy-lease.a $(BUILD)/libbase.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

# The rule book needs nothing else; the client is put together from the pieces of the lab.
$(BUILD)/examples/portmanager: examples/portmanager.c $(call libs,engine base)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/examples/rawclient: examples/rawclient.c $(ALL_LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/crowd: $(CROWD) $(ALL_LIBS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# The programs that tests run under tcpwhy run: plain ones, without sanitizers, and one without shared libraries.
$(BUILD)/tests/wrap/%: tests/wrap/%.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O1 -g -pthread -o $@ $<

$(BUILD)/tests/wrap/pool: tests/wrap/pool.c $(BUILD)/libtcpwhy-lease.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/wrap/%-static: tests/wrap/%.c
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE $(WARN) -O1 -g -pthread -static -o $@ $<

$(BUILD)/lease-kill: $(BUILD)/tests/lease/kill.o $(BUILD)/libtcpwhy-lease.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/starved: $(BUILD)/tests/lease/starved.o $(BUILD)/libtcpwhy-lease.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/bench/%: bench/%.c $(ALL_LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests $(LDFLAGS) -o $@ $^ $(LIBS)

check:
	tools/run-tests

check-layers: all
	tools/check-layers $(BUILD)

N    ?= 1000000
SEED ?= 1
check-long: $(BUILD)/conform
	$(BUILD)/conform --calls $(N) --seed $(SEED)

check-packets: $(BUILD)/packet
	$(BUILD)/packet --table
	$(BUILD)/packet --table --ipv6
	$(BUILD)/packet --events $(N) --seed $(SEED)

check-matrix: $(BUILD)/conform $(BUILD)/packet
	BUILD=$(BUILD) tools/kernel-matrix

check-kills: all $(WRAP)
	$(BUILD)/tests/wrap/kills --tcpwhy $(BUILD)/tcpwhy --binder $(BUILD)/tests/wrap/binder --rounds $(N) --seed $(SEED)

KILLS ?= 10000
check-leases: all $(BUILD)/lease-kill $(BUILD)/starved
	$(BUILD)/lease-kill --kills $(KILLS) --seed $(SEED)
	tests/lease/run-spin long
	$(BUILD)/starved --sockets 500000 --ports 50000 --tcpwhy $(BUILD)/tcpwhy

check-fixes: $(BUILD)/tests/unit/cure_kill_test
	KILLS=$(KILLS) TCPWHY_SEED=$(SEED) $(BUILD)/tests/unit/cure_kill_test

bench: all $(BENCH)
	tools/run-bench $(BUILD)

T ?= 60
fuzz:
	tools/run-fuzz $(T)

demo:
	tools/demo

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
