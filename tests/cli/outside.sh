#!/bin/sh
# SPDX-License-Identifier: MIT
#
# outside.sh - what may refuse a bind() beside the rules of ports: a real BPF program on a cgroup
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/outside.sh

tap_folder outside
cgroup=
# A cgroup goes only when it is empty.
clean_up()
{
	if [ -n "$cgroup" ]; then
		echo $$ >"$back/cgroup.procs" || true
		rmdir "$cgroup" || true
	fi
	umount "$dir/bpf" 2>/dev/null || true
}

tap_status "without a program" 0 "$TCPWHY" bind 127.0.0.1:8080

mount=$(awk '/ - cgroup2 / && $4 == "/" { print $5; exit }' /proc/self/mountinfo)
back=$mount$(sed -n 's/^0:://p' /proc/self/cgroup)
cat >"$dir/refuse.c" <<'PROGRAM'
__attribute__((section("cgroup/bind4"), used)) int refuse_it(void *ctx)
{
	(void)ctx;
	return 0;
}
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
PROGRAM

# 0 with our shell in a cgroup of its own that refuses every IPv4 bind(); else what did not work, in $why
attach()
{
	why="no cgroup of version 2 is mounted"
	[ -n "$mount" ] || return 1
	why="the program cannot be built or loaded"
	clang -O2 -target bpf -c "$dir/refuse.c" -o "$dir/refuse.o" 2>/dev/null || return 1
	mkdir "$dir/bpf" && mount -t bpf bpf "$dir/bpf" 2>/dev/null || return 1
	bpftool prog load "$dir/refuse.o" "$dir/bpf/refuse" 2>/dev/null || return 1
	why="no cgroup can be made, or entered, or given a program"
	mkdir "$mount/tcpwhy-test.$$" 2>/dev/null || return 1
	cgroup=$mount/tcpwhy-test.$$
	bpftool cgroup attach "$cgroup" cgroup_inet4_bind pinned "$dir/bpf/refuse" 2>/dev/null || return 1
	echo $$ >"$cgroup/cgroup.procs" 2>/dev/null || return 1
}

if attach; then
	tap_status "the kernel refuses with the program" 1 "$RESTART" start 127.0.0.1:8080
	tap_status "so the answer depends" 3 "$TCPWHY" bind 127.0.0.1:8080
	tap_has "with EPERM" '^DEPENDS .*or fail with EPERM'
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "on the program, by its name" 'not seen .*BPF program refuse_it \(id [0-9]+, cgroup/bind4\)'
	tap_status "an IPv6 socket is not asked" 0 "$TCPWHY" bind '[::1]:8080' --try
	tap_status "--try settles it" 1 "$TCPWHY" bind 127.0.0.1:8080 --try
	echo $$ >"$back/cgroup.procs"
	tap_status "outside of that cgroup" 0 "$TCPWHY" bind 127.0.0.1:8080 --try
	sh -c "echo \$\$ >$cgroup/cgroup.procs; exec sleep 60" &
	there=$!
	tap_await grep -q tcpwhy-test "/proc/$there/cgroup" || true
	tap_status "--pid: the cgroup of that process" 3 "$TCPWHY" bind 127.0.0.1:8080 --pid "$there"
	kill "$there"
	wait "$there" 2>/dev/null || true
else
	tap_skip "a BPF program on a cgroup" "$why"
fi

tap_done
