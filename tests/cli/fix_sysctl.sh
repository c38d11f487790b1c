#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fix_sysctl.sh - tcpwhy fix sysctl, list and undo: the judges are /proc/sys and a real connect()
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/fix_sysctl.sh

tap_folder fix-sysctl
# Root of a user namespace may write to /run here too: its tmpfs is ours.
unset XDG_RUNTIME_DIR
journal=/run/tcpwhy/journal

fix()
{
	"$TCPWHY" fix "$@"
}

# A sysctl of ours, as /proc shows it.
value()
{
	tr '\t' ' ' <"/proc/sys/net/ipv4/$1"
}

# The output of the last run, its lines joined: what is said is folded.
words_have() # TEXT PATTERN
{
	out=$(echo "$out" | tr -s '\n ' '  ')
	tap_has "$1" "$2"
}

json()
{
	echo "$out" | jq -c "$1"
}

# ---- wrong arguments
tap_status "nothing to set" 2 fix sysctl
tap_status "no value" 2 fix sysctl tcp_tw_reuse
tap_status "two at a time" 2 fix sysctl tcp_tw_reuse=1 tcp_rfc1337=1
tap_status "not in the table" 2 fix sysctl tcp_tw_reus=1
tap_has "the near one is named" 'did you mean net.ipv4.tcp_tw_reuse'
tap_status "a path out of it" 2 fix sysctl ../../kernel/panic=1
for pair in tcp_tw_reuse=3 tcp_tw_reuse=-1 tcp_tw_reuse=x tcp_tw_reuse= 'tcp_tw_reuse=1 2' \
	ip_local_port_range=0 'ip_local_port_range=5000 4000' ip_local_reserved_ports=70000; do
	tap_status "\"$pair\" is no value" 2 fix sysctl "$pair"
done
tap_status "two namespaces" 2 fix sysctl tcp_tw_reuse=1 --pid 1 --netns x
tap_status "a namespace and a pod" 2 fix sysctl tcp_tw_reuse=1 --pod a --netns x
tap_status "a question that is none" 2 fix sysctl tcp_tw_reuse=1 --for 'frobnicate 127.0.0.1:80'
tap_has "it is named" 'frobnicate'
tap_status "a question elsewhere" 2 fix sysctl tcp_tw_reuse=1 --for 'connect 127.0.0.1:80 --pid 1'
tap_status "an empty question" 2 fix sysctl tcp_tw_reuse=1 --for ''
tap_status "help" 0 fix sysctl --help
tap_has "of its own" '^usage: tcpwhy fix sysctl KEY=VALUE'
tap_status "help of list" 0 fix list --help
tap_status "help of undo" 0 fix undo --help
tap_status "undo of no number" 2 fix undo x
tap_status "undo of two" 2 fix undo 1 2
tap_status "list takes no argument" 2 fix list 1
tap_status "a namespace that does not exist" 3 fix sysctl tcp_tw_reuse=1 --netns no-such-namespace
tap_status "a process that does not exist" 3 fix sysctl tcp_tw_reuse=1 --pid 4194304

# ---- nothing stands there yet
tap_status "list without a journal" 0 fix list
tap_has "says so" 'no change stands in the journal'
tap_status "undo without a journal" 0 fix undo
tap_has "says so" 'nothing to do'
tap_equal "neither made one" "$(find /run/tcpwhy 2>/dev/null)" ""

# ---- the dry run and the change
before=$(value tcp_tw_reuse)
tap_status "as it is already" 0 fix sysctl "net.ipv4.tcp_tw_reuse=$before"
tap_has "nothing to do" '^NOTHING .*already'
tap_status "dry run" 0 fix sysctl net/ipv4/tcp_tw_reuse=1 --dry-run
tap_has "says what it would do" "^DRY RUN   would set net.ipv4.tcp_tw_reuse from $before to 1"
tap_has "the price" '^given up'
tap_has "the proof" '^proof'
tap_has "how long" '^lasts'
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" "$before"
tap_equal "nothing is written" "$(find /run/tcpwhy -name journal 2>/dev/null)" ""
tap_status "the change" 0 fix sysctl tcp_tw_reuse=1
tap_has "is said" "^DONE      net.ipv4.tcp_tw_reuse is 1 in this namespace, was $before"
tap_has "and how to undo it" 'tcpwhy fix undo 1$'
tap_equal "it is so" "$(value tcp_tw_reuse)" 1
tap_equal "two lines in the journal" "$(wc -l <"$journal")" 2
run head -n 1 "$journal"
tap_has "the old value stands in the first" \
	'^\{"schema":2,"id":1,"step":"before",.*"action":"sysctl","key":"net.ipv4.tcp_tw_reuse",.*"netns":[0-9]+,.*"old":"2","new":"1"\}$'
tap_equal "only its owner reads it" "$(stat -c %a "$journal")" 600
tap_status "list" 0 fix list
tap_has "what" '^1 .*net.ipv4.tcp_tw_reuse 2 -> 1'
tap_has "and how it stands" '^ +in force$'
tap_status "dry run of undo" 0 fix undo --dry-run
tap_has "says what it would do" 'would undo change 1'
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" 1
tap_status "undo" 0 fix undo
tap_has "is said" '^UNDONE .*change 1'
tap_equal "it is so" "$(value tcp_tw_reuse)" "$before"
tap_status "once more" 0 fix undo 1
tap_has "nothing to do" '^NOTHING'
tap_status "without a number" 0 fix undo
tap_has "none is in force" 'no change is in force'
tap_status "an id that was never given" 3 fix undo 77
run fix list
tap_has "list says undone" '^ +undone$'

# ---- in their order
fix sysctl tcp_tw_reuse=1 >/dev/null
fix sysctl tcp_tw_reuse=0 >/dev/null
fix sysctl tcp_rfc1337=1 >/dev/null
tap_status "an earlier one of the same" 1 fix undo 2
tap_has "names the later one" 'change 3'
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" 0
tap_status "the newest" 0 fix undo
tap_equal "is another sysctl" "$(value tcp_rfc1337) $(value tcp_tw_reuse)" "0 0"
tap_status "then the later one" 0 fix undo
tap_equal "brings the value between" "$(value tcp_tw_reuse)" 1
tap_status "then the earlier one" 0 fix undo
tap_equal "brings the first" "$(value tcp_tw_reuse)" "$before"

# ---- somebody else
fix sysctl tcp_tw_reuse=1 >/dev/null
echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse
run fix list
tap_has "seen" '^ +changed since: net.ipv4.tcp_tw_reuse is 0'
tap_status "not undone over it" 1 fix undo 5
tap_has "says why" 'somebody changed it since'
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" 0
tap_status "nor as the newest" 0 fix undo
tap_has "none is in force" 'no change is in force'
tap_status "but with --force" 0 fix undo 5 --force
tap_equal "it is so" "$(value tcp_tw_reuse)" "$before"

# ---- the proof is the engine's, and a real connect() agrees
fix sysctl "ip_local_reserved_ports=1-65535" >/dev/null
connects() # the errno of a connect() to a port where nobody listens
{
	"$TCPWHY" sock 127.0.0.1 9 2>&1 </dev/null | grep -Eo 'EADDRNOTAVAIL|Cannot assign|ECONNREFUSED|refused' | head -n 1
}
connects | grep -Eq 'EADDRNOTAVAIL|Cannot' && tap_point 1 "connect() finds no port" || tap_point 0 "connect() finds no port"
tap_status "the question" 0 fix sysctl ip_local_reserved_ports=8080 --for 'connect 127.0.0.1:9' --dry-run --json
tap_equal "refused as it is" "$(json '.proof.before | [.answer, .errno]')" '["refused","EADDRNOTAVAIL"]'
tap_equal "ok with it" "$(json '.proof.with | [.answer, .errno]')" '["ok",null]'
tap_equal "what was asked" "$(json .proof.question)" '"connect 127.0.0.1:9"'
tap_equal "the values" "$(json '[.key, .old, .new, .answer, .id]')" \
	'["net.ipv4.ip_local_reserved_ports","1-65535","8080","dry-run",null]'
tap_status "without a question" 0 fix sysctl ip_local_reserved_ports= --dry-run
tap_has "what goes is named" '^proof +solved by it: .*'
run fix sysctl ip_local_reserved_ports= --dry-run --json
tap_equal "ports come back" "$(json '.proof.connect_ports')" '[0,28232]'
tap_equal "the finding goes" "$(json '.proof.goes | length > 0')" true
tap_status "a question that it does not help" 0 fix sysctl tcp_tw_reuse=1 --for 'connect 127.0.0.1:9' --dry-run
tap_has "says so" 'It does not help'
tap_status "the change" 0 fix sysctl ip_local_reserved_ports= --for 'connect 127.0.0.1:9'
tap_has "with its proof" '^proof .*refused \(EADDRNOTAVAIL\) as'
tap_equal "the list is empty" "$(value ip_local_reserved_ports)" ""
connects | grep -Eq 'ECONNREFUSED|refused' && tap_point 1 "connect() finds one" || tap_point 0 "connect() finds one"
tap_status "a sysctl that nothing can be asked of" 0 fix sysctl tcp_syn_retries=5 --dry-run
tap_has "says so" '^proof +none'
tap_status "bind" 0 fix sysctl ip_unprivileged_port_start=0 --dry-run --for 'bind 127.0.0.1:80 --uid 1000'
tap_has "may then" 'refused \(EACCES\) as it is, ok with it'

# ---- two that the kernel holds against each other: told before anything is written
lines=$(wc -l <"$journal")
start=/proc/sys/net/ipv4/ip_unprivileged_port_start
for how in --dry-run ''; do
	# shellcheck disable=SC2086 # an empty option is none
	tap_status "a range below the unprivileged ports ${how:-really}" 1 fix sysctl 'ip_local_port_range=1 65535' $how
	tap_has "says what goes first" '^hint      there first: tcpwhy fix sysctl "ip_unprivileged_port_start=1"$'
	words_have "names the other sysctl and its value" 'net\.ipv4\.ip_unprivileged_port_start, which is 1024 there'
	# shellcheck disable=SC2086
	tap_status "unprivileged ports above the range ${how:-really}" 1 fix sysctl ip_unprivileged_port_start=40000 $how
	tap_has "says what goes first" '^hint      there first: tcpwhy fix sysctl "ip_local_port_range=40000 60999"$'
	words_have "names the other sysctl and its value" 'net\.ipv4\.ip_local_port_range, which is 32768 60999 there'
done
tap_equal "nothing is changed" "$(value ip_local_port_range) $(value ip_unprivileged_port_start)" "32768 60999 1024"
tap_equal "nothing is written" "$(wc -l <"$journal")" "$lines"
! echo "1 65535" 2>/dev/null >/proc/sys/net/ipv4/ip_local_port_range && tap_point 1 "the kernel refuses it" ||
	tap_point 0 "the kernel refuses it"
tap_status "the least that is allowed" 0 fix sysctl 'ip_local_port_range=1024 65535'
tap_status "its undo" 0 fix undo
tap_status "the other one first" 0 fix sysctl ip_unprivileged_port_start=1
tap_status "then the range" 0 fix sysctl 'ip_local_port_range=1 65535'
id=$(sed -n 's/.*"id":\([0-9]*\),"step":"before".*ip_unprivileged_port_start.*/\1/p' "$journal" | tail -n 1)
tap_status "an undo that the kernel would refuse" 1 fix undo "$id"
words_have "names the other sysctl and its value" 'net\.ipv4\.ip_local_port_range, which is 1 65535 there'
tap_equal "nothing is changed" "$(cat $start)" 1
tap_status "undo, in the order" 0 fix undo
tap_status "of the two" 0 fix undo
tap_equal "both are back" "$(value ip_local_port_range) $(value ip_unprivileged_port_start)" "32768 60999 1024"

# ---- a long list, which the kernel takes in pieces, is set back whole
long=$(seq -s, 20001 2 40000)
python3 - "$long" <<'P' 2>/dev/null || printf '%s\n' "$long" | dd of=/proc/sys/net/ipv4/ip_local_reserved_ports bs=65536 2>/dev/null
import os, sys
fd = os.open("/proc/sys/net/ipv4/ip_local_reserved_ports", os.O_WRONLY)
data = (sys.argv[1] + "\n").encode()
while data:
    data = data[os.write(fd, data):]
P
# One read shows all of it; a second one shows nothing (proc_do_large_bitmap()).
whole()
{
	dd if=/proc/sys/net/ipv4/ip_local_reserved_ports bs=524288 count=1 2>/dev/null
}
tap_equal "ten thousand ports are reserved" "$(whole)" "$long"
tap_status "other ports" 0 fix sysctl ip_local_reserved_ports=8080
tap_equal "they are" "$(whole)" 8080
tap_status "undo" 0 fix undo
tap_equal "all ten thousand are back" "$(whole)" "$long"
echo >/proc/sys/net/ipv4/ip_local_reserved_ports

# ---- what is not here
tap_status "gone since 4.12" 1 fix sysctl tcp_tw_recycle=1
tap_has "says since when" 'no longer since 4.12'
tap_status "one for the whole machine" 1 fix sysctl tcp_max_orphans=100
tap_has "says so" 'the whole machine'

# ---- another namespace, by name and by process; and no other
sees_all()
{
	[ "$(readlink /proc/self/ns/pid)" = "pid:[4026531836]" ] || return 1
	for process in /proc/[0-9]*; do
		[ ! -d "$process" ] || readlink "$process/ns/net" >/dev/null || [ ! -d "$process" ] || return 1
	done 2>/dev/null
}
if ip netns add other 2>/dev/null && ip netns add third; then
	there()
	{
		ip netns exec "$1" cat "/proc/sys/net/ipv4/$2"
	}
	lines=$(wc -l <"$journal")
	tap_status "--netns" 0 fix sysctl tcp_rfc1337=1 --netns other
	tap_has "says where" 'in namespace other'
	tap_equal "there" "$(there other tcp_rfc1337)" 1
	tap_equal "not here, and not elsewhere" "$(value tcp_rfc1337) $(there third tcp_rfc1337)" "0 0"
	ip netns exec third sleep 60 &
	pid=$!
	started="$started $pid"
	tries=0
	until [ "$(stat -Lc %i "/proc/$pid/ns/net")" = "$(stat -Lc %i /run/netns/third)" ] || [ "$tries" = 100 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	tap_status "--pid" 0 fix sysctl tcp_rfc1337=1 --pid "$pid"
	tap_equal "there" "$(there third tcp_rfc1337)" 1
	tap_equal "not here" "$(value tcp_rfc1337)" 0
	tap_status "undo finds the namespace again" 0 fix undo
	tap_equal "it was that one" "$(there third tcp_rfc1337) $(there other tcp_rfc1337)" "0 1"
	tap_status "one for the whole machine" 1 fix sysctl tcp_max_orphans=100 --netns other
	tap_has "says so" 'the whole machine'
	# A namespace of the same name is another one.
	ip netns del other
	ip netns add other
	ip netns exec other sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_rfc1337'
	run fix list
	id=$(sed -n 's/.*"id":\([0-9]*\),"step":"before".*namespace other.*/\1/p' "$journal")
	# That one is gone can be said only where no process hides its namespace.
	if sees_all; then
		tap_has "the old one is gone" '^ +gone: network namespace [0-9]+ is gone'
		tap_status "undone by its id" 0 fix undo "$id"
		tap_has "it is gone by itself" '^NOTHING .*gone by itself'
	else
		tap_has "the old one is gone, or hidden" '^ +not seen: network namespace [0-9]+ is gone, or'
		tap_status "undone by its id" 3 fix undo "$id"
		tap_has "it is said why" 'CAP_SYS_PTRACE'
	fi
	tap_equal "the new one is left alone" "$(there other tcp_rfc1337)" 1
	[ "$(wc -l <"$journal")" -gt "$lines" ] && tap_point 1 "all of it in one journal" || tap_point 0 "all of it in one journal"
else
	tap_skip "--netns and --pid" "ip netns add does not work here"
fi

# ---- without the privilege: said, nothing changed, nothing written
lines=$(wc -l <"$journal")
if [ "$TAP_ROOT" = 1 ]; then
	without()
	{
		setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all "$@"
	}
else
	without()
	{
		setpriv --bounding-set -net_admin,-sys_admin --inh-caps -net_admin,-sys_admin "$@"
	}
fi
cp "$TCPWHY" "$dir/tcpwhy"
chmod 755 "$dir" "$dir/tcpwhy"
tap_status "without CAP_NET_ADMIN" 3 without "$dir/tcpwhy" fix sysctl tcp_tw_reuse=0
tap_has "the capability is named" 'CAP_NET_ADMIN'
tap_status "as a dry run" 3 without "$dir/tcpwhy" fix sysctl tcp_tw_reuse=0 --dry-run
tap_has "it is named too" 'CAP_NET_ADMIN'
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" "$before"
tap_equal "nothing is written" "$(wc -l <"$journal")" "$lines"
if [ -e /run/netns/other ]; then
	# The journal belongs to its user: the same one, without the capability.
	"$TCPWHY" fix sysctl tcp_rfc1337=0 --netns other --journal "$dir/of-other" >/dev/null
	for id in '' 1; do
		tap_status "undo ${id:-without an id} without CAP_SYS_ADMIN" 3 setpriv --bounding-set -sys_admin \
			--inh-caps -sys_admin "$TCPWHY" fix undo $id --journal "$dir/of-other"
		tap_has "the capability is named" 'CAP_SYS_ADMIN'
	done
	tap_equal "nothing is written" "$(wc -l <"$dir/of-other")" 2
	tap_status "another namespace without CAP_SYS_ADMIN" 3 without "$dir/tcpwhy" fix sysctl tcp_tw_reuse=0 --netns other
	tap_has "the capability is named" 'CAP_SYS_ADMIN'
fi

# ---- a read-only /proc/sys, as a container has
if unshare -m true 2>/dev/null; then
	tap_status "a read-only /proc/sys" 1 unshare -m sh -c \
		"mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && '$TCPWHY' fix sysctl tcp_tw_reuse=0"
	tap_has "says what to do" 'mounted read-only'
else
	tap_skip "a read-only /proc/sys" "no mount namespace can be made"
fi

# ---- the journal
mine=$dir/my-journal
tap_status "another journal" 0 fix sysctl tcp_tw_reuse=1 --journal "$mine"
tap_has "is named in the undo" "tcpwhy fix undo 1 --journal $mine"
tap_equal "it has two lines" "$(wc -l <"$mine")" 2
printf '{"schema":2,"id":2,"step":"bef' >>"$mine"
tap_status "a torn line" 0 fix list --journal "$mine"
tap_has "the others are shown" 'net.ipv4.tcp_tw_reuse 2 -> 1'
tap_has "it is counted" '^1 line'
tap_status "written after it" 0 fix undo --journal "$mine"
tap_equal "on a line of its own" "$(wc -l <"$mine")" 4
run fix list --journal "$mine" --json
tap_equal "both are read" "$(json '[(.changes | length), .changes[0].state, .skipped]')" '[1,"undone",1]'
echo '{"schema":1,"when":"2026-01-01T00:00:00Z","action":"destroy-time-wait","address":"127.0.0.1","port":80,"netns":1,"pid":5,"count":3,"undo":null}' >"$dir/old"
tap_status "a journal of before" 0 fix list --journal "$dir/old"
tap_has "is shown" '^- .*3 TIME_WAIT of 127.0.0.1:80'
tap_status "and not undone" 0 fix undo --journal "$dir/old"
printf '%s\n' '{"schema":2,"id":1,"step":"before","action":"sysctl","key":"a\u001b[2Jb","old":"\n","new":"1"}' >"$dir/strange"
tap_status "a record that is strange" 0 fix list --journal "$dir/strange"
tap_equal "moves no terminal" "$(echo "$out" | tr -d '\n' | tr -d '[:print:]')" ""
tap_has "is not looked for" 'not one of this release'
mkfifo "$dir/fifo"
tap_status "a FIFO is none" 3 timeout 10 "$TCPWHY" fix list --journal "$dir/fifo"
tap_status "nor is it written" 3 timeout 10 "$TCPWHY" fix sysctl tcp_tw_reuse=1 --journal "$dir/fifo"
tap_has "it is named" 'journal: cannot write'
ln -s "$dir/behind" "$dir/link"
tap_status "a symbolic link is not followed" 3 fix sysctl tcp_tw_reuse=1 --journal "$dir/link"
tap_equal "nothing was made behind it" "$(find "$dir" -name behind)" ""
if [ -w /dev/full ]; then
	tap_status "no journal, no change" 3 fix sysctl tcp_tw_reuse=1 --journal /dev/full
fi
mount -t tmpfs -o size=4k,nr_inodes=4 tmpfs /mnt
head -c 4000 /dev/zero | tr '\0' '\n' >/mnt/journal
tap_status "a full disk" 3 fix sysctl tcp_tw_reuse=1 --journal /mnt/journal
tap_has "is said" 'No space left'
tap_equal "no half line is left" "$(stat -c %s /mnt/journal)" 4000
# What may not be written is said before it, and what to do.
mkdir "$dir/closed"
mount -t tmpfs -o ro tmpfs "$dir/closed"
for dry in '' --dry-run; do
	tap_status "a journal that cannot be made${dry:+, $dry}" 3 fix sysctl tcp_tw_reuse=1 --journal "$dir/closed/j" $dry
	tap_has "what to do" '^ +.*--journal FILE'
	tap_status "one that is none${dry:+, $dry}" 3 fix sysctl tcp_tw_reuse=1 --journal tests/cli/fix_sysctl.sh $dry
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "is said" 'is no journal: its first line'
done
umount "$dir/closed"
tap_equal "nothing is changed" "$(value tcp_tw_reuse)" 2
tap_status "the memory of a process is none" 3 fix list --journal /proc/self/mem

# ---- a journal that a newer release wrote to, that others may write, or that has another name
tap_status "a change" 0 fix sysctl tcp_tw_reuse=1 --journal "$dir/newer"
cp "$dir/newer" "$dir/shared"
echo '{"schema":3,"id":2,"step":"before","action":"x"}' >>"$dir/newer"
lines=$(wc -l <"$dir/newer")
for word in undo 'undo 1' 'undo --dry-run' 'sysctl tcp_tw_reuse=0' 'sysctl tcp_tw_reuse=0 --dry-run'; do
	# shellcheck disable=SC2086 # a verb and its arguments
	tap_status "of a newer release: $word" 3 fix $word --journal "$dir/newer"
	tap_has "is said" 'newer +release|newer$'
done
tap_equal "nothing is added" "$(wc -l <"$dir/newer")" "$lines"
tap_equal "nor changed" "$(value tcp_tw_reuse)" 1
tap_status "it is listed" 0 fix list --journal "$dir/newer"
tap_has "as far as it is understood" '^1 +.*tcp_tw_reuse 2 -> 1'
tap_has "which is said" '^1 line of .*newer release'
chmod 0620 "$dir/shared"
tap_status "others may write to it" 3 fix undo --journal "$dir/shared"
tap_has "is said" 'others may write'
chmod 0600 "$dir/shared"
ln "$dir/shared" "$dir/shared.too"
tap_status "it has another name" 3 fix undo --journal "$dir/shared"
tap_has "is said" 'hard link'
rm "$dir/shared.too"
tap_status "then it is undone" 0 fix undo --journal "$dir/shared"

# ---- names as they come: for a shell, and in JSON
spaced="$dir/a b"
run fix sysctl tcp_tw_reuse=1 --journal "$spaced"
tap_has "the command is quoted" "tcpwhy fix undo 1 --journal '$spaced'"
tap_status "the command works" 0 sh -c "$(echo "$out" | sed -n "s/^undo  *tcpwhy/exec \"\$0\"/p")" "$TCPWHY"
latin=$dir/$(printf 'caf\351')
run fix sysctl tcp_tw_reuse=1 --journal "$latin" --json
tap_equal "a journal's name that is not UTF-8" "$(json '[.answer, .journal]')" "[\"done\",\"$dir/caf?\"]"
run fix list --journal "$latin" --json
tap_equal "is listed" "$(json '[(.changes | length), .journal]')" "[1,\"$dir/caf?\"]"
tap_status "and undone" 0 fix undo --journal "$latin"
if ip netns add "$(basename "$latin")" 2>/dev/null; then
	tap_status "a namespace's name that is not" 0 fix sysctl tcp_tw_reuse=1 --netns "$(basename "$latin")" --json
	tap_equal "is told" "$(json '[.answer, .where]')" '["done","namespace caf?"]'
	tap_status "and what is in it undone" 0 fix undo
	ip netns del "$(basename "$latin")"
fi

# ---- what changed it since is named, if it was one of ours
ours=$dir/ours
fix sysctl tcp_tw_reuse=1 --journal "$ours" >/dev/null
fix sysctl tcp_tw_reuse=0 --journal "$ours" >/dev/null
tap_status "two of the same" 0 fix list --journal "$ours"
tap_has "the first was changed by the second" '^ +changed since, by change 2: net.ipv4.tcp_tw_reuse is 0'
run fix undo --journal "$ours"
tap_status "once that is undone" 0 fix list --journal "$ours"
tap_has "it is in force again" '^ +in force'
echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse
tap_status "a stranger" 0 fix list --journal "$ours"
tap_has "is not named" '^ +changed since: '
echo 2 >/proc/sys/net/ipv4/tcp_tw_reuse

# ---- a namespace that is gone, as nobody can prove who does not see all processes
if ip netns add vanishing 2>/dev/null && unshare -p -f --mount-proc true 2>/dev/null; then
	lost=$dir/lost
	blind()
	{
		unshare -p -f --mount-proc "$TCPWHY" fix "$@" --journal "$lost"
	}
	fix sysctl tcp_tw_reuse=1 --journal "$lost" >/dev/null
	fix sysctl tcp_tw_reuse=1 --journal "$lost" --netns vanishing >/dev/null
	fix sysctl tcp_rfc1337=1 --journal "$lost" --netns vanishing >/dev/null
	ip netns del vanishing
	tap_status "the next one that is in force is undone" 0 blind undo
	tap_has "it is the older one" 'change 1 is undone'
	out=$(echo "$out" | tr -s '\n ' ' ')
	tap_has "what was passed over is told" 'passed change 3, which may be in force: .*; and 1 older'
	tap_has "and what to do about it" "tcpwhy fix undo 3 --journal $lost takes it back .* --force"
	tap_equal "it was undone" "$(value tcp_tw_reuse)" 2
	tap_status "none else" 3 blind undo
	tap_has "may be in force" 'change 3 may be in force'
	tap_status "by its id" 3 blind undo 3
	tap_status "given up, tried" 0 blind undo 3 --force --dry-run
	tap_status "given up" 0 blind undo 3 --force
	tap_has "is said" 'change 3 is given up'
	tap_status "the other one too" 0 blind undo 2 --force
	tap_status "then none is in the way" 0 blind undo
	tap_has "said so" 'no change is in force'
	run blind list
	tap_equal "the list says so" "$(echo "$out" | grep -c '^ *given up$')" 2
else
	tap_skip "a namespace that is gone" "no PID namespace can be made"
fi
tap_equal "nothing was changed by any of them" "$(value tcp_tw_reuse)" "$before"

# ---- a record of another boot, or of a namespace that only has the same number, is not acted upon
rm "$mine"
fix sysctl tcp_rfc1337=1 --journal "$mine" >/dev/null
sed 's/"boot":"[^"]*"/"boot":"00000000-0000-0000-0000-000000000000"/' "$mine" >"$dir/other-boot"
tap_status "of another boot" 0 fix list --journal "$dir/other-boot"
tap_has "is gone" '^ +gone: the host was booted since'
tap_status "and not undone" 0 fix undo 1 --journal "$dir/other-boot"
tap_has "is said" 'gone by itself'
sed 's/"netns_cookie":[0-9]*/"netns_cookie":1/' "$mine" >"$dir/other-cookie"
if cmp -s "$mine" "$dir/other-cookie"; then
	tap_skip "of a namespace of the same number" "this kernel has no SO_NETNS_COOKIE"
else
	run fix undo 1 --journal "$dir/other-cookie"
	tap_has "of a namespace of the same number" 'network namespace [0-9]+ is gone|gone by itself'
fi
tap_equal "neither touched it" "$(value tcp_rfc1337)" 1
tap_status "its own does" 0 fix undo 1 --journal "$mine"
tap_equal "it is back" "$(value tcp_rfc1337)" 0

# ---- one at a time
flock "$mine" sleep 2 &
started="$started $!"
tries=0
while flock -n "$mine" true && [ "$tries" -lt 100 ]; do
	tries=$((tries + 1))
	sleep 0.02
done
tap_status "while another change is made it is waited for" 0 fix sysctl tcp_tw_reuse=1 --journal "$mine"
tap_status "undo" 0 fix undo --journal "$mine"

# ---- without standard output, and without any of the three: nothing of ours takes their places
rm -rf /run/tcpwhy "$dir/tcpwhy"
own=$dir/own.journal
tap_status "fix without stdout" 3 sh -c 'exec "$0" fix sysctl tcp_fin_timeout=47 --journal "$1" >&-' "$TCPWHY" "$own"
tap_has "said so" 'the answer could not be written'
tap_status "undo without stdout" 3 sh -c 'exec "$0" fix undo --journal "$1" >&-' "$TCPWHY" "$own"
tap_has "said so" 'the answer could not be written'
tap_equal "only records stand in the journal" "$(grep -cv '^{"schema":2,.*}$' "$own" || true)" 0
tap_equal "three of them" "$(wc -l <"$own")" 3
run sh -c 'exec "$0" fix sysctl tcp_fin_timeout=48 --journal "$1" <&- >&- 2>&-' "$TCPWHY" "$own"
run sh -c 'exec "$0" fix undo --journal "$1" <&- >&- 2>&-' "$TCPWHY" "$own"
tap_equal "also without all three" "$(grep -c '^{"schema":2,.*}$' "$own")/$(wc -l <"$own")" 6/6

tap_done
