#!/bin/sh
# SPDX-License-Identifier: MIT
#
# port.sh - tcpwhy port: the pool as it is typed; the judge of held ports is a real bind()
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
BUILD=$(dirname "$TCPWHY")
. tests/cli/lib/tap.sh
tap_private tests/cli/port.sh

tap_folder port

port()
{
	"$TCPWHY" port "$@"
}

# A program in the background, whose id is $!; it is named in $started.
start()
{
	"$@" >"$dir/out" 2>&1 </dev/null &
	started="$started $!"
}

is_leased_to() # PID
{
	port list | grep -q "\[$1\]"
}

# ---- wrong arguments
tap_status "no word" 2 port
tap_status "no such word" 2 port borrow
tap_status "no range" 2 port init
for range in 20000 20000- 0-10 9-8 20000-65536 a-b 20000-20010x '' ; do
	tap_status "\"$range\" is no range" 2 port init "$range"
done
tap_status "a range that is too large" 2 port init 1-65535
tap_status "no ports" 2 port lease 0
tap_status "too many ports" 2 port lease 1025
tap_status "no number" 2 port lease many
tap_status "no time" 2 port lease --ttl 0
tap_status "held for a time" 2 port lease --held --ttl 5
tap_status "no command" 2 port exec
tap_status "no command after --" 2 port exec --
tap_status "no port to release" 2 port release
tap_status "an option of another word" 2 port list --random
tap_has "it is named" 'random'
tap_status "no such group" 2 port init 20000-20009 --group no-such-group
tap_status "two namespaces" 2 port list --netns x --pid 1
tap_status "help" 0 port --help
tap_has "it names every word" '^ +check '

# ---- no pool
for word in list check lease 'exec -- true' 'release 20000'; do
	# shellcheck disable=SC2086 # a word and its arguments
	tap_status "no pool: $word" 3 port $word
	tap_has "how to make one" 'tcpwhy port init LOW-HIGH'
done

# ---- the folder is the journal's and the kept types' too: whoever made it, a group comes through
if [ "$TAP_ROOT" = 1 ]; then
	as_nobody()
	{
		setpriv --reuid 1000 --regid "$(getent group daemon | cut -d: -f3)" --clear-groups "$@"
	}
	cp "$TCPWHY" "$dir/tcpwhy" && chmod 755 "$dir" "$dir/tcpwhy"
	for first in 'doctor' 'fix sysctl tcp_fin_timeout=59' ''; do
		rm -rf /run/tcpwhy
		# shellcheck disable=SC2086 # a word and its arguments
		(umask 077 && "$TCPWHY" $first >"$dir/out" 2>&1) || true
		[ -z "$first" ] || tap_equal "$first makes the folder for all" "$(stat -c %a /run/tcpwhy)" 755
		run sh -c 'umask 077 && exec "$0" port init 20000-20100 --group daemon' "$TCPWHY"
		tap_status "a lease of the group after \"$first\"" 0 as_nobody "$dir/tcpwhy" port lease
	done
	tap_equal "what is in it keeps its mode" "$(stat -c %a /run/tcpwhy/ports-*[0-9])" 660
	rm -rf /run/tcpwhy
	mkdir -m 0700 /run/tcpwhy
	run port init 20000-20100 --group daemon
	tap_status "a folder of an older release is put right" 0 as_nobody "$dir/tcpwhy" port lease
	rm -rf /run/tcpwhy
else
	tap_skip "the folder's mode" "only root can lease as another user"
fi
tap_status "no pool, as JSON" 3 port list --json
tap_has "the error is in it" '"error": "this network namespace has no pool'

# ---- a range of the kernel's own
sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
sysctl -qw net.ipv4.ip_local_reserved_ports=8080,40000-40004
tap_status "a range that the kernel gives out" 1 port init 40000-40009
tap_has "how many" 'gives out 5 ports of 40000-40009'
tap_status "no pool was made" 3 port list
command=$(port init 40000-40009 --reserve)
tap_equal "the command keeps what is reserved already" "$command" \
	"tcpwhy fix sysctl net.ipv4.ip_local_reserved_ports=8080,40000-40009"
typed()
{
	PATH=$(cd "$BUILD" && pwd):$PATH sh -c "$1"
}
tap_status "the command works" 0 typed "$command"
tap_status "its undo" 0 "$TCPWHY" fix undo
tap_equal "sets back the list" "$(cat /proc/sys/net/ipv4/ip_local_reserved_ports)" "8080,40000-40004"
tap_status "once more" 0 typed "$command"
tap_status "then the range is good" 0 port init 40000-40009
tap_status "check" 0 port check
sysctl -qw net.ipv4.ip_local_reserved_ports=
tap_status "check, when the range is no longer reserved" 1 port check
tap_has "what to type" 'BAD .*tcpwhy port init 40000-40009 --reserve'
tap_status "another range" 0 port init 20000-20009
tap_status "the same again" 0 port init 20000-20009
tap_status "check" 0 port check

# ---- leases
tap_equal "the first port" "$(port lease --ttl 600)" 20000
tap_equal "three more" "$(port lease 3 --ttl 600 | tr '\n' ' ')" "20001 20002 20003 "
tap_status "more than there are" 1 port lease 7
tap_has "how many there are" 'only 6 ports'
tap_status "list" 0 port list
tap_has "how many are leased" '^20000-20009   4 leased, 6 free$'
tap_has "until when" '^20000 +leased +reserved +[0-9.]+ s +(10 min|[0-9]+ s)'
tap_status "release what is nobody's" 0 port release 20000 20001 20002 20003
tap_status "again" 1 port release 20000
tap_has "it is not leased" '20000 is not leased'
tap_status "what is not of the pool" 1 port release 19999
tap_equal "the longest unused is next" "$(port lease --ttl 600)" 20004
tap_status "another range would lose it" 1 port init 20005-20015
tap_has "which" 'outside 20005-20015 are leased'

# ---- of a process
start sleep 60
sleeper=$!
tap_equal "for a process" "$(port lease --for $sleeper)" 20005
tap_status "it is shown" 0 is_leased_to "$sleeper"
tap_status "it is not ours to release" 1 port release 20005
tap_has "whose it is" "process $sleeper"
kill -9 $sleeper
wait $sleeper 2>/dev/null || true
tap_status "check brings it back" 0 port check
tap_has "it says so" '1 port came back'
tap_status "a process that is not" 1 port lease --for $sleeper
tap_status "it is the asking shell's" 0 sh -c "'$TCPWHY' port lease && '$TCPWHY' port list | grep \"\[\$\$\]\""
tap_status "and so it may release it" 0 sh -c "'$TCPWHY' port lease --for \$\$ >'$dir/p' && '$TCPWHY' port release \$(cat '$dir/p')"

# ---- exec
tap_status "exec" 7 port exec -- sh -c 'echo "port $PORT, ports $PORTS, no ${LISTEN_FDS:-sockets}"; exit 7'
tap_has "the port" '^port (200[0-9]+), ports \1, no sockets$'
start "$TCPWHY" port exec 2 --held -- sleep 60
holder=$!
tap_status "exec --held" 0 tap_await is_leased_to $holder
port list --json >"$dir/list"
held=$(grep -B2 '"grade": "held"' "$dir/list" | sed -n 's/.*"port": \([0-9]*\),/\1/p' | head -n 1)
tap_status "nobody else can bind a held port" 1 "$TCPWHY" bind "0.0.0.0:$held"
run port list
tap_has "it is bound by whom it is leased to" "^$held +leased +held .*sleep\[$holder\] +sleep\[$holder\]$"
kill -9 $holder
wait $holder 2>/dev/null || true
tap_status "killed: anybody can" 0 "$TCPWHY" bind "0.0.0.0:$held"
run port list
tap_has "and it is listed as ended" "^$held +ended"
tap_status "LISTEN_FDS" 0 port exec 3 --held -- sh -c \
	'[ "$LISTEN_FDS" = 3 ] && [ "$LISTEN_PID" = $$ ] && [ -S /proc/self/fd/3 ] && [ -S /proc/self/fd/5 ] && ! [ -e /proc/self/fd/6 ] && echo "$LISTEN_FDNAMES"'
tap_has "their names are their ports" '^200[0-9]+:200[0-9]+:200[0-9]+$'
tap_status "a command that is not there" 127 port exec -- /no/such/command
tap_has "is named" '^tcpwhy port: /no/such/command: No such file'
tap_status "one that cannot be executed" 126 port exec -- /
tap_status "one of a name with an escape sequence" 127 port exec -- "$(printf '/no\033[31m')"
tap_equal "moves no terminal" "$(echo "$out" | tr -d '\n' | tr -d '[:print:]')" ""
tap_status "nothing is lost by it" 0 port check

# ---- exec, seen from another PID namespace: the lock stays with the process
if unshare -p true 2>/dev/null; then
	start unshare -p -f "$TCPWHY" port exec --ttl 600 -- sleep 60
	tap_await sh -c "'$TCPWHY' port list | grep 'of another PID ns'"
	tap_status "check" 0 port check
	tap_status "from outside it is seen to live" 0 sh -c "'$TCPWHY' port list | grep 'leased .* \[1\] of another PID ns'"
	kill -9 "$(pgrep -P $!)"
	wait $! 2>/dev/null || true
	tap_status "check, when it was killed" 0 port check
	tap_has "it came back" '1 port came back'
else
	tap_skip "exec in a PID namespace" "not allowed to make one"
fi

# ---- a foreign bind
if [ -x "$BUILD/examples/restart" ]; then
	port lease 10 >/dev/null 2>&1 || true
	mkfifo "$dir/in"
	"$BUILD/examples/restart" hold 127.0.0.1:20009 <"$dir/in" >"$dir/hold" 2>&1 &
	started="$started $!"
	exec 9>"$dir/in"
	tap_await grep -q ready "$dir/hold"
	tap_status "list, with a foreign bind" 0 port list
	tap_has "it is shown as taken, and by whom" '^20009 +taken .*restart\['
	tap_status "check calls it bad" 1 port check
	tap_has "it says what it is" 'BAD +1 port is bound by processes without a lease'
	tap_equal "it is not leased" "$(port lease 5 | grep -c 20009 || true)" 0
	exec 9>&-
fi

# ---- files
file=$(port list --json | sed -n 's/.*"file": "\(.*\)",/\1/p')
tap_equal "the file is the user's alone" "$(stat -c %a "$file")" 600
tap_status "for a group" 0 port init 20000-20009 --group root
tap_equal "the group may use it" "$(stat -c %a "$file")" 660
leased=$(port lease --ttl 600)
printf nonsense | dd of="$file" conv=notrunc status=none
tap_status "a damaged file, only listed" 3 port list
tap_has "it is damaged" 'is damaged$'
tap_status "a damaged file" 0 port check
tap_has "it was built anew" 'was damaged: built anew; the old file is ports-[0-9]+\.damaged-'
tap_status "what was leased stays leased" 0 sh -c "'$TCPWHY' port list | grep '^$leased  *leased'"
: >"$file"
tap_status "a truncated file" 0 port check
tap_has "it was built anew" 'built anew'
tap_has "for how long its ports are withheld, and why" \
	'^ok   10 ports are withheld, for another (10 min|[0-9]+ s): their entries in the file were lost'
tap_status "no port is free" 1 port lease
tap_has "nor will be until" '^tcpwhy port: 10 ports are withheld, for another (10 min|[0-9]+ s)'
tap_status "list" 0 port list
tap_has "counts them" '^20000-20009   0 leased, 0 free, 10 withheld$'
tap_has "and shows until when" '^20003 +withheld +[0-9.]+ s +(10 min|[0-9]+ s)$'
tap_equal "JSON does, too" "$(port list --json | jq -c '[.pool.withheld, .ports[0].state, .ports[0].left_s > 500]')" \
	'[10,"withheld",true]'
tap_status "who knows better gives one back" 0 port release 20004
tap_equal "and it is leased" "$(port lease --ttl 600)" 20004
printf 'tcpwhyPL\377\0\0\0' | dd of="$file" conv=notrunc status=none
tap_status "a newer file" 3 port lease
tap_has "it is not touched" 'made by a newer release of tcpwhy; not touched'
rm "$file"
tap_status "a file that was removed" 0 port check

if mount -o remount,ro /run 2>/dev/null; then
	tap_status "a read-only disk: list" 0 port list
	tap_status "a read-only disk: lease" 3 port lease
	tap_has "it says why" 'Read-only file system'
	tap_status "a read-only disk: init" 3 port init 21000-21009
	mount -o remount,rw /run
else
	tap_skip "a read-only disk" "not allowed to remount /run here"
fi

if [ "$TAP_ROOT" = 1 ]; then
	chmod 600 "$file"
	as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
	tap_status "without privilege" 3 $as_nobody "$TCPWHY" port lease
	tap_has "which is needed" 'its owner, a member of its group, or root \(CAP_DAC_OVERRIDE\)'
	tap_status "without privilege: init" 3 $as_nobody env -u XDG_RUNTIME_DIR "$TCPWHY" port init 21000-21009
	$as_nobody flock -F /run/tcpwhy sh -c "echo locked; exec sleep 60" >"$dir/flock" &
	started="$started $!"
	tap_await grep -q locked "$dir/flock"
	tap_status "another user locks the folder: init" 0 timeout 4 "$TCPWHY" port init 20000-20010
	printf nonsense | dd of="$file" conv=notrunc status=none
	tap_status "and a damaged file" 0 timeout 4 "$TCPWHY" port check
	tap_has "is built anew" 'was damaged: built anew'
	tap_status "what is locked instead is not theirs to open" 1 $as_nobody cat "$file.lock"
	mkdir -m 700 "$dir/own" && chmod 755 "$dir" && chown 65534 "$dir/own"
	tap_status "a user's own" 0 $as_nobody "$TCPWHY" port init 21000-21009 --folder "$dir/own"
	tap_status "works" 0 $as_nobody "$TCPWHY" port lease --folder "$dir/own"
else
	tap_skip "without privilege" "there is no second user in this namespace"
fi

# ---- another namespace has another pool
unshare -n sleep 60 &
other=$!
started="$started $other"
tap_await sh -c "[ \$(readlink /proc/$other/ns/net) != \$(readlink /proc/self/ns/net) ]"
tap_status "no pool there" 3 port list --pid $other
tap_status "init there" 0 port init 30000-30009 --pid $other
tap_equal "lease there" "$(port lease --pid $other)" 30000
tap_equal "exec there" "$(port exec --pid $other -- sh -c 'ip -o link | wc -l; echo $PORT' | tr '\n' ' ')" "1 30001 "
sysctl -qw net.ipv4.ip_local_reserved_ports=8080
tap_status "a range of its kernel's" 1 port init 40000-40001 --pid $other
command=$(port init 40000-40001 --pid $other 2>&1 | tail -n 1)
tap_equal "names the namespace" "$command" "tcpwhy port init 40000-40001 --reserve --pid $other"
tap_equal "so does the command" "$(typed "$command")" \
	"tcpwhy fix sysctl --pid $other net.ipv4.ip_local_reserved_ports=40000-40001"
tap_status "which works" 0 typed "$(typed "$command")"
tap_equal "there" "$(nsenter -n -t $other cat /proc/sys/net/ipv4/ip_local_reserved_ports)" 40000-40001
tap_equal "not here" "$(cat /proc/sys/net/ipv4/ip_local_reserved_ports)" 8080
sysctl -qw net.ipv4.ip_local_reserved_ports=
tap_equal "ours is another" "$(port lease --ttl 5 | cut -c 1-2)" 20

# ---- the library in other programs
lib=$BUILD/libtcpwhy-lease.so
case $BUILD in
*/san) lib=${BUILD%/san}/libtcpwhy-lease.so ;; # Python itself is not built with the sanitizers
esac
if ! command -v python3 >/dev/null; then
	tap_skip "Python" "there is no python3"
elif [ ! -e "$lib" ]; then
	tap_skip "Python" "there is no $lib"
else
	tap_status "Python, by ctypes" 0 env TCPWHY_LEASE_LIBRARY="$lib" python3 examples/lease.py
	tap_has "it served on a leased port" '^served one client on port 200[0-9]+$'
fi
if [ -x "$BUILD/examples/lease" ]; then
	tap_status "C" 0 "$BUILD/examples/lease"
	tap_has "it served on a leased port" '^served one client on port 200[0-9]+$'
fi
tap_status "nothing is left of them" 0 port check

# ---- the man page
page=man/tcpwhy-port.1
PATH=$(cd "$BUILD" && pwd):$PATH
sed -n 's/^\.Dl //p' "$page" >"$dir/examples"
rm -f "$file" "$file.range"
while read -r example; do
	tap_status "example: $example" 0 sh -c "$example"
done <"$dir/examples"
tap_equal "there are examples" "$(wc -l <"$dir/examples")" 7
run port --help
lacking=
for option in $(echo "$out" | grep -o '^ *--[a-z0-9-]*' | tr -d ' '); do
	grep -q "Fl $(echo "$option" | sed 's/^-//; s/-/\\\\-/g')" "$page" || lacking="$lacking $option"
done
tap_equal "every option is in the man page" "$lacking" ""
lacking=
for word in list check lease; do
	for name in $(port $word --json | grep -o '"[a-z0-9_]*":' | tr -d '":' | sort -u); do
		grep -q "^.Va $name\b" "$page" || lacking="$lacking $name"
	done
done
tap_equal "every name of the JSON is in the man page" "$lacking" ""

tap_done
