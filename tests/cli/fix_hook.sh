#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fix_hook.sh - tcpwhy fix hook, on real cgroups: the judge is what sockets in them get from the kernel
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/fix_hook.sh

tap_folder hook
mount=$(awk '/ - cgroup2 / && $4 == "/" { print $5; exit }' /proc/self/mountinfo)
name=tcpwhy-hook-test.$$
cgroup=$mount/$name
hooked=$dir/hooked
# A cgroup goes only when it is empty, and takes a moment to be.
clean_up()
{
	for c in "$cgroup/below" "$cgroup" "$cgroup.b"; do
		tries=0
		while [ -n "$mount" ] && [ -d "$c" ] && ! rmdir "$c" 2>/dev/null && [ "$tries" -lt 50 ]; do
			tries=$((tries + 1))
			sleep 0.05
		done
	done
	umount "$dir/bpf" 2>/dev/null || true
}

hook()
{
	"$TCPWHY" fix hook "$@"
}

# Runs a command in a cgroup.
in_cgroup() # CGROUP CMD...
{
	# shellcheck disable=SC2016 # of the inner shell
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$@"
}

inside()
{
	in_cgroup "$cgroup" "$@"
}

# The programs of ours on the cgroup, sorted: "tcpwhy_reuse4 tcpwhy_reuse6"
attached() # [CGROUP]
{
	bpftool cgroup show "${1:-$cgroup}" 2>/dev/null | awk '/tcpwhy_/ { print $4 }' | sort | xargs
}

# Names and mounts that tcpwhy would leave.
left()
{
	find /run/tcpwhy/bpf -mindepth 1 2>/dev/null || true
	grep tcpwhy/bpf /proc/self/mountinfo || true
}

# The id of the newest change.
newest()
{
	"$TCPWHY" fix list | awk '/^[0-9]/ { print $1; exit }'
}

# ---- wrong arguments: nothing is looked at
tap_status "no cgroup" 2 hook reuseaddr
tap_has "it is asked for" 'needs --cgroup'
tap_status "no hook" 2 hook --cgroup x
tap_status "two hooks" 2 hook --cgroup x reuseaddr reuseaddr
for order in reuse spread spread= spread=x 'spread=10.0.0.1,' spread=,10.0.0.1 spread=10.0.0.1,10.0.0.1 \
	spread=0.0.0.0 spread=:: spread=224.0.0.1 spread=fe80::1 spread=255.255.255.255 \
	spread=127.0.0.1,10.0.0.1 spread=10.0.0.1:80 spread=10.0.0.1/24 ''; do
	tap_status "\"$order\" is no hook" 2 hook --cgroup x "$order"
done

tap_status "a question that is none" 2 hook --cgroup x reuseaddr --for "listen 80"
tap_status "a question of another call" 2 hook --cgroup x reuseaddr --for "connect 10.0.0.1:80"
tap_status "and the other way round" 2 hook --cgroup x spread=10.0.0.1 --for "bind 10.0.0.1:80"

if [ -z "$mount" ]; then
	tap_skip "hooks" "no cgroup tree of version 2 is mounted"
	tap_done
	exit
fi

# ---- the cgroup
tap_status "no such cgroup" 3 hook --cgroup "$name" reuseaddr
tap_has "it is named" "$name: there is no such cgroup"
tap_status "a folder of another kind" 3 hook --cgroup /tmp reuseaddr
tap_has "it is said" '/tmp is no cgroup of version 2'
tap_status "a file" 3 hook --cgroup "$mount/cgroup.procs" reuseaddr
tap_status "the root cgroup" 3 hook --cgroup "$mount" reuseaddr
tap_has "why not" 'every process of the machine'
tap_status "the root cgroup by its short name" 3 hook --cgroup / reuseaddr

latin=$cgroup-$(printf 'caf\351')
if mkdir "$latin" 2>/dev/null; then
	tap_status "a path that is not UTF-8" 3 hook --cgroup "$(basename "$latin")" reuseaddr --json
	tap_has "it is said" '"error": ".*not UTF-8'
	rmdir "$latin"
fi

# ---- without the privilege nothing is changed
if ! mkdir "$cgroup" 2>/dev/null; then
	tap_skip "hooks" "no cgroup can be made"
	tap_done
	exit
fi
bounded()
{
	setpriv --bounding-set "-sys_admin,$1" --inh-caps "-sys_admin,$1" "$TCPWHY" fix hook --cgroup "$name" reuseaddr
}
if [ "$TAP_ROOT" = 1 ] && setpriv --bounding-set -bpf true 2>/dev/null; then
	# A user who has the capabilities, and not the folder that the programs are kept in.
	cp "$TCPWHY" "$dir/tcpwhy" && chmod 755 "$dir" "$dir/tcpwhy"
	mkdir "$dir/own" && chown 1000 "$dir/own"
	for dry in '' --dry-run; do
		tap_status "a user with the capabilities alone${dry:+, $dry}" 3 setpriv --reuid 1000 --regid 1000 --clear-groups \
			--inh-caps +bpf,+net_admin --ambient-caps +bpf,+net_admin \
			"$dir/tcpwhy" fix hook --cgroup "$name" reuseaddr --journal "$dir/own/journal" $dry
		tap_has "what it takes" 'it +takes +root|takes$|CAP_SYS_ADMIN'
	done
	tap_equal "and no journal was begun" "$(ls "$dir/own")" ""
	tap_status "without CAP_BPF" 3 bounded -bpf
	tap_has "it is named" 'need CAP_BPF beside CAP_NET_ADMIN'
	tap_status "without CAP_NET_ADMIN" 3 bounded -net_admin
	tap_has "it is named" 'need CAP_NET_ADMIN beside CAP_BPF'
	# Root of a user namespace has all of them, and the kernel asks for the first namespace's.
	if unshare -U -r true 2>/dev/null; then
		tap_status "root of a user namespace" 3 unshare -U -r "$TCPWHY" fix hook --cgroup "$name" reuseaddr
		tap_has "it is said" 'first user'
	else
		tap_skip "root of a user namespace" "no user namespace can be made"
	fi
	tap_equal "nothing was attached" "$(attached)" ""
	tap_equal "and nothing written" "$(ls /run/tcpwhy 2>/dev/null)" ""
else
	tap_skip "without a capability" "none can be given up here"
fi

# ---- the kernel's part
run hook --cgroup "$name" reuseaddr --dry-run
if [ "$status" = 3 ] || [ "$TAP_ROOT" = 0 ]; then
	tap_skip "hooks" "BPF programs cannot be loaded here: $(echo "$out" | grep -o 'BPF.*' | head -n 1)"
	tap_done
	exit
fi
tap_equal "a dry run" "$status" 0
tap_has "it says what would be" '^DRY RUN'
tap_equal "it attached nothing" "$(attached)" ""
tap_equal "and wrote nothing" "$(find /run/tcpwhy -name journal 2>/dev/null)" ""
tap_equal "and left nothing" "$(left)" ""

${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 -o "$hooked" tests/cli/lib/hooked.c

# ---- reuseaddr
ip addr add 10.1.0.9/32 dev lo
tap_equal "a server without it" "$(inside "$hooked" serve tcp4 10.1.0.9 80)" served
tap_equal "cannot restart over TIME_WAIT" "$(inside "$hooked" serve tcp4 10.1.0.9 80)" EADDRINUSE
tap_status "reuseaddr" 0 hook --cgroup "$name" reuseaddr --for "bind 10.1.0.9:80"
tap_has "it is done" '^DONE'
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "a socket showed it" 'a socket that was made in the cgroup showed'
tap_has "the engine: this time it does not help" 'proof bind 10.1.0.9:80: now refused \(EADDRINUSE\), with SO_REUSEADDR on the new socket refused'
tap_has "but the next" 'ok where the sockets that hold the port were made with it too'
tap_equal "both programs are there" "$(attached)" "tcpwhy_reuse4 tcpwhy_reuse6"
tap_equal "the old life's TIME_WAIT has no SO_REUSEADDR" "$(inside "$hooked" serve tcp4 10.1.0.9 80)" EADDRINUSE
tap_equal "IPv4: set" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 1"
tap_equal "IPv6: set" "$(inside "$hooked" bind tcp6 8080)" "reuseaddr 1"
tap_equal "bind() to port 0 is left alone" "$(inside "$hooked" bind tcp4 0)" "reuseaddr 0"
tap_equal "of IPv6 too" "$(inside "$hooked" bind tcp6 0)" "reuseaddr 0"
tap_equal "UDP is left alone" "$(inside "$hooked" bind udp4 8080)" "reuseaddr 0"
tap_equal "of IPv6 too" "$(inside "$hooked" bind udp6 8080)" "reuseaddr 0"
tap_equal "outside of the cgroup nothing is" "$("$hooked" bind tcp4 8080)" "reuseaddr 0"
mkdir "$cgroup/below"
tap_equal "below it it is" "$(in_cgroup "$cgroup/below" "$hooked" bind tcp4 8080)" "reuseaddr 1"
tap_status "below it there is nothing to do" 0 hook --cgroup "$name/below" reuseaddr
tap_has "it is said" '^NOTHING'
rmdir "$cgroup/below"
tap_equal "a server in the cgroup" "$(inside "$hooked" serve tcp4 10.1.0.9 81)" served
tap_equal "restarts over TIME_WAIT" "$(inside "$hooked" serve tcp4 10.1.0.9 81)" served
tap_equal "and again" "$(inside "$hooked" serve tcp4 10.1.0.9 81)" served
tap_equal "IPv6 too" "$(inside "$hooked" serve tcp6 ::ffff:10.1.0.9 82)$(inside "$hooked" serve tcp6 ::ffff:10.1.0.9 82)" servedserved
tap_equal "one from outside does not" "$("$hooked" serve tcp4 10.1.0.9 81)" EADDRINUSE
tap_status "a second time there is nothing to do" 0 hook --cgroup "$cgroup" reuseaddr
tap_has "it is said" '^NOTHING'
run inside "$TCPWHY" bind 10.1.0.9:81 --json
tap_equal "tcpwhy bind knows what the hook does" "$status" 0
tap_has "it sets SO_REUSEADDR" '"reuseaddr": *true'
tap_status "and the kernel agrees" 0 inside "$TCPWHY" bind 10.1.0.9:81 --try
tap_status "for another cgroup it is as ever" 1 "$TCPWHY" bind 10.1.0.9:81 --try
tap_equal "in the journal stands one change" "$("$TCPWHY" fix list | grep -c '^[0-9]')" 1
tap_status "list" 0 "$TCPWHY" fix list
tap_has "it is there, and where" "hook reuseaddr +in .*$name"
tap_has "it is in force" '^ +in force$'
tap_status "undo" 0 "$TCPWHY" fix undo
tap_equal "the programs are gone" "$(attached)" ""
tap_equal "no name and no mount is left" "$(left)" ""
tap_equal "sockets are as before" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 0"
tap_status "undo once more" 0 "$TCPWHY" fix undo 1
tap_has "nothing to do" '^NOTHING'

# ---- spread
for n in 1 2 3 4; do
	ip addr add "10.1.0.$n/32" dev lo
done
ip addr add fd00::1/128 dev lo nodad 2>/dev/null && ip addr add fd00::2/128 dev lo nodad && ipv6=1 || ipv6=0
echo "40000 40001" >/proc/sys/net/ipv4/ip_local_port_range
"$TCPWHY" sock -s --keep -q 200 0.0.0.0 90 </dev/null >"$dir/server" 2>&1 &
started="$started $!"
[ "$ipv6" = 0 ] || "$TCPWHY" sock -s --keep --v6only -q 200 :: 90 </dev/null >"$dir/server6" 2>&1 &
started="$started $!"
tries=0
until [ "$(ss -Htln 'sport = :90' | wc -l)" -gt "$ipv6" ] || [ "$tries" = 200 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
all=10.1.0.1,10.1.0.2,10.1.0.3,10.1.0.4

# All of a moment ago are gone.
quiet()
{
	tries=0
	while ss -Htan "( dport = :$1 or sport = :$1 )" | grep -qv LISTEN && [ "$tries" -lt 100 ]; do
		"$TCPWHY" fix destroy-time-wait "0.0.0.0:$1" --journal "$dir/aside" >/dev/null 2>&1 || true
		ss -Htan -K state connected "( dport = :$1 or sport = :$1 )" >/dev/null 2>&1 || true
		tries=$((tries + 1))
		sleep 0.05
	done
}

tap_equal "without it two ports are two connections" "$(inside "$hooked" many tcp4 10.1.0.9 90 50)" "2 EADDRNOTAVAIL"
quiet 90
tap_status "an address that is not local" 1 hook --cgroup "$name" "spread=10.1.0.1,10.9.9.9"
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "it is named, with what it needs" '10.9.9.9 is not local in this namespace .*ip addr add 10.9.9.9/32 dev lo'
# Another namespace than ours has a process in the cgroup: that one counts.
# shellcheck disable=SC2016 # of the inner shell
sh -c 'echo $$ >"$0/cgroup.procs" && exec unshare -n sleep 60' "$cgroup" &
there=$!
started="$started $there"
tries=0
until grep -q "^$there\$" "$cgroup/cgroup.procs" && [ "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)" ] ||
	[ "$tries" = 200 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
tap_status "a process of the cgroup in another namespace" 1 hook --cgroup "$name" spread=10.1.0.1 --dry-run
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "is whose addresses count" "10.1.0.1 is not local in the namespace of process $there "
tap_status "unless a namespace is named" 0 hook --cgroup "$name" spread=10.1.0.1 --dry-run --pid $$
kill "$there"
wait "$there" 2>/dev/null || true
tap_equal "nothing was attached" "$(attached)" ""
tap_status "dry run: the engine is asked from each address" 0 hook --cgroup "$name" "spread=$all" --dry-run --for "connect 10.1.0.9:90"
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "four times two" 'with 2 ports left for this destination; with the hook 8 \(10.1.0.1 2, 10.1.0.2 2, 10.1.0.3 2, 10.1.0.4 2\)'
tap_equal "nothing was attached" "$(attached)" ""
tap_status "spread" 0 hook --cgroup "$name" "spread=$all"
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "a socket showed it" 'a socket that was made in the cgroup showed'
tap_equal "both programs are there" "$(attached)" "tcpwhy_spread4 tcpwhy_spread6"
for round in 1 2 3; do
	tap_equal "four addresses hold exactly eight, round $round" "$(inside "$hooked" many tcp4 10.1.0.9 90 50)" "8 EADDRNOTAVAIL"
	quiet 90
done
tap_equal "an IPv6 socket to an IPv4 address too" "$(inside "$hooked" many tcp6 ::ffff:10.1.0.9 90 50)" "8 EADDRNOTAVAIL"
quiet 90
tap_equal "outside of the cgroup two" "$("$hooked" many tcp4 10.1.0.9 90 50)" "2 EADDRNOTAVAIL"
quiet 90
tap_equal "loopback is passed over" "$(inside "$hooked" source tcp4 127.0.0.1 90)" 127.0.0.1
tap_equal "and the zero address" "$(inside "$hooked" source tcp4 0.0.0.0 90)" 127.0.0.1
tap_equal "a socket with an address keeps it" "$(inside "$hooked" source tcp4 10.1.0.9 90 10.1.0.9)" 10.1.0.9
tap_equal "UDP is left alone" "$(inside "$hooked" source udp4 10.1.0.9 90)" 10.1.0.9
quiet 90
sources=$(for n in 1 2 3 4; do inside "$hooked" source tcp4 10.1.0.9 90; done | sort | xargs)
tap_equal "the turn goes round" "$sources" "10.1.0.1 10.1.0.2 10.1.0.3 10.1.0.4"
quiet 90
ip addr del 10.1.0.3/32 dev lo
gone=$(for n in 1 2 3 4; do inside "$hooked" source tcp4 10.1.0.9 90; done | sort | xargs)
tap_equal "where an address is gone, connect() goes on as it would" "$gone" "10.1.0.1 10.1.0.2 10.1.0.4 10.1.0.9"
ip addr add 10.1.0.3/32 dev lo
quiet 90
tap_status "a second spread is refused" 1 hook --cgroup "$name" spread=10.1.0.9
tap_has "why" 'was there first wins'
tap_status "undo" 0 "$TCPWHY" fix undo
tap_equal "the programs are gone" "$(attached)" ""
tap_equal "no name and no mount is left" "$(left)" ""
tap_equal "undone: two" "$(inside "$hooked" many tcp4 10.1.0.9 90 50)" "2 EADDRNOTAVAIL"
quiet 90

if [ "$ipv6" = 1 ]; then
	hook --cgroup "$name" spread=fd00::1,fd00::2 >/dev/null
	tap_equal "IPv6 addresses need connect6 alone" "$(attached)" tcpwhy_spread6
	tap_equal "IPv6: two addresses hold four" "$(inside "$hooked" many tcp6 fd00::1 90 50)" "4 EADDRNOTAVAIL"
	tap_equal "::1 is passed over" "$(inside "$hooked" source tcp6 ::1 90)" ::1
	"$TCPWHY" fix undo >/dev/null
	quiet 90
else
	tap_skip "IPv6 addresses" "no IPv6 here"
fi
hook --cgroup "$name" spread=127.0.0.2,127.0.0.3 >/dev/null
tap_equal "loopback addresses are for loopback" "$(inside "$hooked" many tcp4 127.0.0.1 90 50)" "4 EADDRNOTAVAIL"
quiet 90
tap_equal "and for nothing else" "$(inside "$hooked" source tcp4 10.1.0.9 90)" 10.1.0.9
"$TCPWHY" fix undo >/dev/null
quiet 90
echo "32768 60999" >/proc/sys/net/ipv4/ip_local_port_range

# ---- chained with what others attached, before and after
cat >"$dir/refuse.c" <<'PROGRAM'
struct ctx { unsigned family, ip4, ip6[4], port; };
__attribute__((section("cgroup/bind4"), used)) int not_8081(struct ctx *ctx)
{
	return ctx->port != __builtin_bswap16(8081);
}
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
PROGRAM
foreign() # CGROUP [multi]
{
	cgroup_of=$1
	shift
	bpftool cgroup attach "$cgroup_of" cgroup_inet4_bind pinned "$dir/bpf/refuse" "$@" 2>/dev/null
}
if clang -O2 -target bpf -c "$dir/refuse.c" -o "$dir/refuse.o" 2>/dev/null && mkdir "$dir/bpf" &&
	mount -t bpf bpf "$dir/bpf" && bpftool prog load "$dir/refuse.o" "$dir/bpf/refuse" 2>/dev/null; then
	foreign "$cgroup" multi
	tap_status "chained with one that is there" 0 hook --cgroup "$name" reuseaddr
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "it is named" 'before bind4: not_8081 \(id [0-9]+\)'
	tap_equal "the other has its say" "$(inside "$hooked" bind tcp4 8081)" EPERM
	tap_equal "and ours too" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 1"
	"$TCPWHY" fix undo >/dev/null
	tap_equal "undone: the other is still there" "$(inside "$hooked" bind tcp4 8081)" EPERM
	bpftool cgroup detach "$cgroup" cgroup_inet4_bind pinned "$dir/bpf/refuse"
	hook --cgroup "$name" reuseaddr >/dev/null
	tap_equal "chained with one that comes later" "$(foreign "$cgroup" multi && inside "$hooked" bind tcp4 8081)" EPERM
	tap_equal "ours acts" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 1"
	"$TCPWHY" fix undo >/dev/null
	tap_equal "undone: the later one is still there" "$(inside "$hooked" bind tcp4 8081)" EPERM
	bpftool cgroup detach "$cgroup" cgroup_inet4_bind pinned "$dir/bpf/refuse"
	foreign "$cgroup"
	before=$("$TCPWHY" fix list | grep -c '^[0-9]')
	tap_status "one that admits no other" 1 hook --cgroup "$name" reuseaddr
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "is named" 'program not_8081 .* admits no other beside it'
	tap_equal "nothing was attached" "$(attached)" ""
	mkdir "$cgroup/below"
	tap_status "nor below it" 1 hook --cgroup "$name/below" reuseaddr
	rmdir "$cgroup/below"
	tap_equal "and nothing is written" "$("$TCPWHY" fix list | grep -c '^[0-9]')" "$before"
	bpftool cgroup detach "$cgroup" cgroup_inet4_bind pinned "$dir/bpf/refuse"
	umount "$dir/bpf"
else
	tap_skip "chains of programs" "no other program can be built or loaded"
fi

# ---- a cgroup that is removed, a name that is another's, another mount namespace
mkdir "$cgroup.b"
hook --cgroup "$name.b" reuseaddr >/dev/null
id=$(newest)
rmdir "$cgroup.b"
tap_status "a cgroup that was removed" 0 "$TCPWHY" fix list
out=$(echo "$out" | sed -n 2p)
tap_has "is gone, and its names are left" 'names are left: the cgroup is gone; names in'
mkdir "$cgroup.b"
tap_status "one of the same name is another" 0 "$TCPWHY" fix list
out=$(echo "$out" | sed -n 2p)
tap_equal "the new one has nothing" "$(attached "$cgroup.b")" ""
tap_status "undo" 0 "$TCPWHY" fix undo
tap_has "takes it, and does something" "change $id is undone"
tap_equal "removes the names" "$(left)" ""
run "$TCPWHY" fix list
tap_equal "and the journal says so" "$(echo "$out" | sed -n '2s/ *//p')" undone
rmdir "$cgroup.b"

hook --cgroup "$name" reuseaddr >/dev/null
id=$(newest)
pin=$(find /run/tcpwhy/bpf -name '*-bind4')
rm "$pin"
tap_status "half of it is there" 0 "$TCPWHY" fix list
out=$(echo "$out" | sed -n 2p)
tap_has "it is said" 'partly in force'
if bpftool map create "$pin" type array key 4 value 4 entries 1 name foreign 2>/dev/null; then
	tap_status "a name that became another's" 0 "$TCPWHY" fix list
	out=$(echo "$out" | sed -n 2p)
	tap_has "is seen" 'changed since: .*is another thing now'
	tap_status "and left alone" 1 "$TCPWHY" fix undo "$id"
	tap_equal "all of it" "$(attached)" tcpwhy_reuse6
	rm "$pin"
fi
tap_status "what is there can be undone" 0 "$TCPWHY" fix undo "$id"
tap_equal "and is" "$(attached)" ""
tap_equal "nothing is left" "$(left)" ""

hook --cgroup "$name" reuseaddr >/dev/null
id=$(newest)
cp /run/tcpwhy/journal "$dir/journal"
# shellcheck disable=SC2016 # of the inner shell
tap_status "from another mount namespace" 3 unshare -m sh -c 'umount /run/tcpwhy/bpf && exec "$0" fix undo "$1" --journal "$2"' "$TCPWHY" "$id" "$dir/journal"
out=$(echo "$out" | tr -s '\n ' ' ')
tap_has "it is said where it is" 'names are in another mount namespace'
tap_status "undo" 0 "$TCPWHY" fix undo "$id"

# ---- a bpffs that is mounted at its usual place is used
if [ -d /sys/fs/bpf ] && mount -t bpf bpf /sys/fs/bpf 2>/dev/null; then
	hook --cgroup "$name" reuseaddr >/dev/null
	tap_equal "two names in a folder of ours" "$(find /sys/fs/bpf/tcpwhy -type f | wc -l)" 2
	tap_equal "no mount of our own" "$(left)" ""
	tap_equal "it acts" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 1"
	"$TCPWHY" fix undo >/dev/null
	tap_equal "the folder is gone too" "$(ls -d /sys/fs/bpf/tcpwhy 2>/dev/null)" ""
	# Names of programs and processes in the cgroup take CAP_SYS_ADMIN; the hook itself does not.
	few()
	{
		setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$TCPWHY" fix "$@"
	}
	tap_status "without CAP_SYS_ADMIN" 0 few hook --cgroup "$name" reuseaddr
	tap_has "it is done" '^DONE'
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "but not tried" 'not tried with a socket: no process could be made in the cgroup \(EPERM\)'
	tap_equal "it acts" "$(inside "$hooked" bind tcp4 8080)" "reuseaddr 1"
	tap_status "and is undone" 0 few undo
	tap_equal "nothing is left" "$(attached)" ""
	umount /sys/fs/bpf
	tap_status "but a bpffs cannot be mounted without" 3 few hook --cgroup "$name" reuseaddr
	tap_has "it is said" 'needs CAP_SYS_ADMIN'
	tap_equal "nothing is left" "$(attached)$(left)" ""
else
	tap_skip "the usual bpffs" "/sys/fs/bpf cannot be mounted"
fi

# ---- JSON
tap_status "JSON" 0 hook --cgroup "$name" reuseaddr --json
for member in '"schema": 1' '"fix": "hook"' '"answer": "done"' '"hook": "reuseaddr"' '"cgroup_id": [0-9]+' '"probe": "acts"'; do
	tap_has "it has $member" "$member"
done
"$TCPWHY" fix undo >/dev/null

# ---- killed at random moments: nothing is left, or what undo removes
seed=${TCPWHY_SEED:-1}
echo "# seed $seed"
# Over the time that one takes here, and a little beyond.
start=$(date +%s%N)
hook --cgroup "$name" reuseaddr >/dev/null
span=$(($(date +%s%N) - start))
"$TCPWHY" fix undo >/dev/null
bad='' cut=0
# Killed while it looks for leaks, a process leaves a complaint of the one that looks.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
for round in $(seq 40); do
	pause=$(awk -v s="$seed$round" -v ns="$span" 'BEGIN { srand(s); printf "%.4f", rand() * ns * 1.1 / 1e9 }')
	# What is killed: every third time the undo.
	if [ $((round % 3)) = 0 ]; then
		hook --cgroup "$name" reuseaddr >/dev/null
		"$TCPWHY" fix undo >/dev/null 2>&1 &
	else
		"$TCPWHY" fix hook --cgroup "$name" spread=10.1.0.1,fd00::1 --force >/dev/null 2>&1 &
	fi
	victim=$!
	sleep "$pause"
	kill -9 "$victim" 2>/dev/null || true
	wait "$victim" 2>/dev/null || cut=$((cut + 1))
	id=$(newest)
	[ -z "$id" ] || "$TCPWHY" fix undo "$id" >"$dir/undo" 2>&1 || bad="$bad round $round: $(cat "$dir/undo")"
	[ -z "$(attached)$(left)" ] || bad="$bad round $round: $(attached) $(left)"
done
echo "# $cut of 40 were killed in their middle"
tap_equal "40 rounds of kill -9" "$bad" ""
tap_equal "the journal is whole" "$("$TCPWHY" fix list | grep -c 'partly\|^ *in force\|begun, in force')" 0
tap_status "and the hook can be made" 0 hook --cgroup "$name" reuseaddr
tap_status "and undone" 0 "$TCPWHY" fix undo
tap_equal "nothing is left" "$(attached)$(left)" ""

tap_done
