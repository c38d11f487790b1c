#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - tcpwhy run: programs of many kinds get options that they do not set; nothing else changes
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
OUTGOING=${OUTGOING:-$(dirname "$TCPWHY")/examples/outgoing}
WRAP=${WRAP:-$(dirname "$TCPWHY")/tests/wrap}
. tests/cli/lib/tap.sh
tap_private tests/cli/run.sh

tap_folder run
clean_up()
{
	for pid in $(pgrep -f "^$dir/"); do
		kill "$pid" 2>/dev/null || true
	done
}

# Where another user may execute them.
chmod 755 "$dir"
cp "$TCPWHY" "$WRAP/binder" "$WRAP/binder-static" "$dir"
tcpwhy=$dir/tcpwhy
binder=$dir/binder

under() # OPTIONS... -- CMD...
{
	"$tcpwhy" run "$@"
}

# The points after it see whether it did.
await()
{
	tap_await "$@" || true
}

# The processes of tcpwhy run in this network namespace, ended ones not among them.
ours()
{
	here=$(readlink /proc/self/ns/net)
	for pid in $(pgrep -x tcpwhy-run); do
		if ! grep -q '^State:.[ZX]' "/proc/$pid/status" 2>/dev/null &&
			[ "$(readlink "/proc/$pid/ns/net" 2>/dev/null)" = "$here" ]; then
			echo "$pid"
		fi
	done
}

none_left()
{
	[ -z "$(ours)" ]
}

# ---- wrong arguments
tap_status "help" 0 under --help
tap_has "names the cures" '--bind-address-no-port'
tap_has "says what is not seen" 'io_uring are not seen'
tap_status "nothing" 2 under
tap_status "no cure" 2 under -- true
tap_has "it is said" 'name a cure'
tap_status "no command" 2 under --reuseaddr
tap_status "no command after --" 2 under --reuseaddr --
tap_status "no such option" 2 under --frobnicate -- true
tap_has "it is named" 'frobnicate'
tap_status "an option without its value" 2 under --local-port-range
for range in 1 1- -5 0-5 5-4 1-65536 1-2-3 a-b '' '1 - 2'; do
	tap_status "\"$range\" is no range" 2 under --local-port-range "$range" -- true
done
tap_status "a program that is not there" 127 under --reuseaddr -- no-such-program
tap_has "it is named" 'no-such-program: not found'
tap_status "a path that is not there" 127 under --reuseaddr -- "$dir/nothing"
: >"$dir/file"
tap_status "a file that is no program" 126 under --reuseaddr -- "$dir/file"
tap_status "a directory" 126 under --reuseaddr -- "$dir"
tap_status "the command's options are its own" 0 under --reuseaddr sh -c 'exit 0' --reuseport

# ---- each option, at each call
all="reuseaddr=1 reuseport=0 no_port=0 range=0-0"
nothing="reuseaddr=0 reuseport=0 no_port=0 range=0-0"

options() # TEXT WANTED-LINES OPTIONS... -- CMD...
{
	text=$1 wanted=$2
	shift 2
	run "$tcpwhy" run "$@"
	tap_equal "$text" "$(echo "$out" | sed 's/ local=.*//')" "$wanted"
}

for program in "$binder" "$dir/binder-static"; do
	name=$(basename "$program")
	options "$name: bind() to a port" "bind ok $all" --reuseaddr -- "$program" plain 7001
	options "$name: IPv6" "bind ok $all" --reuseaddr -- "$program" ipv6 7001
	options "$name: bind() to port 0 is left alone" "bind ok $nothing" --reuseaddr -- "$program" plain 0
	options "$name: but not the listen() after it" "bind ok $nothing
listen ok $all" --reuseaddr -- "$program" listen-any 0
	options "$name: listen() that chooses a port is" "listen ok $nothing" --reuseaddr -- "$program" listen 0
	options "$name: UDP is left alone" "bind ok $nothing" --reuseaddr -- "$program" udp 7001
	options "$name: Unix sockets are" "bind ok $nothing" --reuseaddr -- "$program" unix 7001
	options "$name: four threads" "bind ok $all
bind ok $all
bind ok $all
bind ok $all" --reuseaddr -- "$program" threads 7010 4
	options "$name: three children" "bind ok $all
bind ok $all
bind ok $all" --reuseaddr -- "$program" fork 7020 3
	run under --reuseaddr -- "$program" plain 7100 300
	tap_equal "$name: 300 sockets" "$(echo "$out" | grep -c "^bind ok $all")" 300
	options "$name: in a namespace of its own" "bind ok $all
connect ENETUNREACH $nothing" --reuseaddr -- "$program" elsewhere 7030
done
options "--reuseport" "bind ok reuseaddr=0 reuseport=1 no_port=0 range=0-0" --reuseport -- "$binder" plain 7001
options "--bind-address-no-port, port 0" "bind ok reuseaddr=0 reuseport=0 no_port=1 range=0-0" \
	--bind-address-no-port -- "$binder" plain 0
options "--bind-address-no-port, a port" "bind ok $nothing" --bind-address-no-port -- "$binder" plain 7001
options "two at once" "bind ok reuseaddr=1 reuseport=1 no_port=0 range=0-0" --reuseaddr --reuseport -- \
	"$binder" plain 7001
run under --local-port-range 40000-40003 -- "$binder" plain 0
if echo "$out" | grep -q 'has no IP_LOCAL_PORT_RANGE'; then
	tap_skip "--local-port-range" "this kernel has no IP_LOCAL_PORT_RANGE"
else
	tap_has "--local-port-range at bind() to port 0" 'range=40000-40003 local=4000[0-3]$'
	run under --local-port-range 40000-40003 -- "$binder" listen 0
	tap_has "at listen()" 'range=40000-40003 local=4000[0-3]$'
	run under --local-port-range 40000-40003 -- "$binder" plain 7001
	tap_has "not at bind() to a port" "^bind ok $nothing local=7001"
	run under --local-port-range 40000-40003 -- "$binder" connect 7001
	tap_has "at connect(), which is refused as it would be" '^connect ECONNREFUSED .* range=40000-40003'
	tap_status "a range outside the sysctl's" 3 under --local-port-range 1000-2000 -- true
	tap_has "the sysctl is named" 'ip_local_port_range'
fi

# ---- 32-bit calls, interrupted calls, what is not seen
run under --reuseaddr -- "$binder" compat 7040 1
case $out in
*"no 32-bit calls"*) tap_skip "32-bit calls" "the kernel has no 32-bit system calls" ;;
*)
	tap_has "bind() by a 32-bit call" "^bind ok $all"
	options "by socketcall()" "bind ok $all" --reuseaddr -- "$binder" compat 7041 2
	options "both by socketcall()" "bind ok $all" --reuseaddr -- "$binder" compat 7042 3
	run under --prepared --reuseaddr -- "$binder" compat 7043 1
	tap_has "prepared" "^bind ok $all"
	run under --prepared --reuseaddr -- "$binder" compat 7044 3
	tap_has "prepared, by socketcall(): refused" '^socket ENOSYS'
	tap_has "and said" '32-bit program'
	;;
esac
tap_status "2,000 calls under signals" 0 under --reuseaddr -- "$binder" signals 7050
tap_has "every one has the option" 'wrong 0$'
tap_status "the same with SA_RESTART" 0 under --reuseaddr -- "$binder" signals 7050 2
tap_has "no call is interrupted" 'interrupted 0 wrong 0$'
tap_status "and prepared" 0 under --prepared --reuseaddr -- "$binder" signals 7050 2
tap_has "likewise" 'interrupted 0 wrong 0$'
run under --reuseaddr -- "$binder" io-uring 7060
case $out in
*"no io_uring"*) tap_skip "io_uring" "io_uring is not to be had here" ;;
*)
	if [ "$(uname -r | awk -F. '{ print ($1 * 1000 + $2 >= 6011) }')" = 1 ]; then
		tap_has "io_uring is told of" 'uses io_uring: calls made through it are not seen'
	fi
	tap_has "and the others are still cured" "^bind ok $all"
	;;
esac

# ---- prepared sockets
options "prepared: bind() to a port" "bind ok $all" --prepared --reuseaddr -- "$binder" plain 7001
options "prepared: bind() to port 0 too" "bind ok $all" --prepared --reuseaddr -- "$binder" plain 0
options "prepared: UDP is left alone" "bind ok $nothing" --prepared --reuseaddr -- "$binder" udp 7001
options "prepared: static" "bind ok $all" --prepared --reuseaddr -- "$dir/binder-static" ipv6 7001
run under --prepared --reuseaddr -- "$binder" elsewhere 7031
tap_has "prepared: no socket of another namespace" "^bind ok $nothing"
tap_has "nor one that reaches it" '^connect ENETUNREACH'
tap_has "it is said" 'another user or network namespace'

# ---- nothing else changes
tap_status "the exit status" 7 under --reuseaddr -- sh -c 'exit 7'
tap_status "the signal that killed it" 143 under --reuseaddr -- sh -c 'kill -TERM $$'
tap_equal "input and output" "$(echo through | "$tcpwhy" run --reuseaddr -- cat)" through
tap_equal "arguments" "$("$tcpwhy" run --reuseaddr -- printf '%s.' 'a b' '' --x)" "a b..--x."
traits()
{
	"$@" sh -c 'ls /proc/self/fd; grep -E "^(Sig|Shd|CapEff|Umask|PPid)" /proc/self/status | grep -Ev "PPid|SigQ"
		cut -d" " -f5-8 /proc/$$/stat; pwd; ulimit -a; env | grep -v ^_=' 3</dev/null 9>/dev/null
}
tap_equal "descriptors, signals, session, limits, environment" "$(traits env 2>&1)" \
	"$(traits "$tcpwhy" run --reuseaddr -- 2>&1)"
blocked()
{
	env --block-signal=CHLD "$@" grep -E '^(SigPnd|ShdPnd|SigBlk)' /proc/self/status
}
if env --block-signal=CHLD true 2>/dev/null; then
	tap_equal "no signal waits for it" "$(blocked env)" "$(blocked "$tcpwhy" run --reuseaddr --)"
fi
for closed in '0<&-' '1>&-' '2>&-'; do
	run sh -c "exec '$tcpwhy' run --reuseaddr -- sh -c '! [ -e /proc/\$\$/fd/${closed%%[<>]*} ]' $closed"
	tap_equal "closed stays closed: ${closed%%[<>]*}" "$status" 0
done
tap_equal "without the first three descriptors" "$("$tcpwhy" run --reuseaddr -- "$binder" plain 7002 <&- 2>&- | sed 's/ local.*//')" \
	"bind ok $all"
"$tcpwhy" run --reuseaddr -- sleep 100 &
started="$started $!"
await grep -q '^sleep$' "/proc/$!/comm"
tap_equal "the process is the one that was started" "$(cat "/proc/$!/comm")" sleep
tap_equal "beside it there are two" "$(ours | wc -l)" 2
tap_equal "which are not found by its name" "$(for p in $(ours); do tr '\0' '\n' <"/proc/$p/cmdline"; done | grep -c sleep)" 0
for p in $(ours); do
	kill -TERM "$p"
	kill -HUP "$p"
done
tap_equal "nor ended by a signal to all" "$(ours | wc -l)" 2
kill "$!"
wait "$!" || true
await none_left
tap_equal "when it ends they leave" "$(ours)" ""

mkfifo "$dir/in"
"$tcpwhy" run --reuseaddr -- "$binder" daemon 7070 <"$dir/in" 2>"$dir/err" >"$dir/out" &
first=$!
exec 9>"$dir/in"
wait "$first"
await grep -q bind "$dir/out"
tap_equal "a daemon binds after its first process ended" "$(sed 's/ local.*//' "$dir/out")" "bind ok $all"
tap_equal "the two stay as long as it" "$(ours | wc -l)" 2
tap_equal "and hold nothing of its" "$(for p in $(ours); do readlink "/proc/$p/fd/"*; done | grep -c "$dir" || true)" 0
exec 9>&-
await none_left
tap_equal "when it ends they leave" "$(ours)" ""
# The reader's end comes though the daemon lives on, which has closed its standard error.
mkfifo "$dir/in2" "$dir/errors"
exec 8<>"$dir/in2"
"$tcpwhy" run --reuseaddr -- "$binder" daemon 7071 <"$dir/in2" >"$dir/out" 2>"$dir/errors" 8>&- &
tap_status "nobody who reads the errors of a daemon waits for us" 0 timeout 10 cat "$dir/errors"
stop_daemon() # PORT
{
	await pgrep -f "^$binder daemon $1\$"
	kill "$(pgrep -f "^$binder daemon $1\$")"
	await none_left
}
stop_daemon 7071
tap_equal "and they leave with it" "$(ours)" ""

# ---- process ids that are not the same for all
run timeout -k 1 10 unshare -p -f --kill-child --mount-proc "$tcpwhy" run --reuseaddr -- "$binder" fork 7075 1
tap_has "as process 1 of a container" "^bind ok $all"
tap_equal "whose wait() meets no stranger" "$status" 0
run under --reuseaddr -- timeout -k 1 10 unshare -p -f --kill-child --mount-proc "$binder" plain 7076
tap_has "a container started under it" "^bind ok $all"

# ---- whom the filter would harm
tap_status "one run inside another" 3 under --reuseaddr -- "$tcpwhy" run --reuseaddr -- true
tap_has "says why" 'listener already.*EBUSY'
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if $nobody true 2>/dev/null; then
	run $nobody "$tcpwhy" run --reuseaddr -- "$binder" plain 7080
	tap_has "without any privilege" "^bind ok $all"
	run $nobody "$tcpwhy" run --reuseaddr -- grep NoNewPrivs /proc/self/status
	tap_has "that takes no_new_privs" 'NoNewPrivs:.1'
	run under --reuseaddr -- grep NoNewPrivs /proc/self/status
	tap_has "which root's does not" 'NoNewPrivs:.0'
	cp "$binder" "$dir/setuid"
	chmod 4755 "$dir/setuid"
	tap_status "a setuid program is refused" 3 $nobody "$tcpwhy" run --reuseaddr -- "$dir/setuid" plain 7081
	tap_has "with the reason" 'another user \(setuid\).*--force'
	tap_status "but not with --force" 0 $nobody "$tcpwhy" run --force --reuseaddr -- "$dir/setuid" plain 7081
	tap_has "and is cured" "^bind ok $all"
	tap_status "nor if the bit is lost anyway" 0 $nobody setpriv --no-new-privs "$tcpwhy" run --reuseaddr -- \
		"$dir/setuid" plain 7081
	tap_status "nor for root" 0 under --reuseaddr -- "$dir/setuid" plain 7081
	run $nobody "$tcpwhy" run --reuseaddr -- "$binder" undumpable 7082
	tap_has "who cannot be reached stays as it is" "^bind ok $nothing"
	tap_has "it is said" 'binder.* cannot be reached .*--prepared'
	run $nobody "$tcpwhy" run --prepared --reuseaddr -- "$binder" undumpable 7083
	tap_has "unless prepared" "^bind ok $all"
	cp "$binder" "$dir/unreadable"
	chmod 711 "$dir/unreadable"
	run $nobody "$tcpwhy" run --reuseaddr -- "$dir/unreadable" plain 7084
	tap_has "as a program is that cannot be read" "^bind ok $all"
	run under --prepared --reuseaddr -- $nobody "$binder" plain 7085
	tap_has "no socket of another user" "^bind ok $nothing"
	run under --reuseaddr -- $nobody "$binder" plain 7086
	tap_has "a program that gives up root is reached" "^bind ok $all"
else
	tap_skip "without privilege" "another user cannot be taken on here"
fi

# ---- the restart: the judge is the kernel
run "$RESTART" serve 127.0.0.1:8080 3
tap_status "bare, a restart is refused" 1 "$RESTART" start 127.0.0.1:8080
tap_status "the new side alone does not help" 1 under --reuseaddr -- "$RESTART" start 127.0.0.1:8080
run under --reuseaddr -- "$RESTART" serve 127.0.0.1:8081 3
tap_equal "it left TIME_WAIT" "$(ss -Htan state time-wait 'sport = :8081' | wc -l)" 3
tap_status "bare, it is refused still" 1 "$RESTART" start 127.0.0.1:8081
tap_status "under run it restarts" 0 under --reuseaddr -- "$RESTART" start 127.0.0.1:8081

# ---- cures as bind and connect print them, with CMD as the program that failed
printed() # CURE-ID: its command in $out
{
	echo "$out" | tr -d '\n' | grep -o "\"id\": *\"$1\"[^}]*" | sed -n 's/.*"command": *"\([^"]*\)".*/\1/p' | head -n 1
}
as_printed() # COMMAND CMD...
{
	line=$1
	shift
	sh -c "$(echo "$line" | sed "s|^tcpwhy|$tcpwhy|; s|CMD\$|$*|")"
}
run "$RESTART" serve 127.0.0.1:8082 1
run "$TCPWHY" bind 127.0.0.1:8082 --json
cure=$(printed reuseaddr-both)
tap_equal "bind prints run" "$cure" "tcpwhy run --reuseaddr -- CMD"
run "$TCPWHY" fix destroy-time-wait 127.0.0.1:8082
if [ "$status" = 0 ]; then
	run as_printed "$cure" "$RESTART" serve 127.0.0.1:8082 1
	tap_status "typed as printed, from the next start on" 0 as_printed "$cure" "$RESTART" start 127.0.0.1:8082
else
	tap_skip "typed as printed" "TIME_WAIT cannot be destroyed here"
fi
run "$RESTART" -r serve 127.0.0.1:8083 1
tap_status "bare, a restart is refused though the old one had it" 1 "$RESTART" start 127.0.0.1:8083
run "$TCPWHY" bind 127.0.0.1:8083 --json
tap_status "and with what bind prints it is not, at once" 0 \
	as_printed "$(printed reuseaddr-both)" "$RESTART" start 127.0.0.1:8083
"$OUTGOING" serve 127.0.0.1:7091 127.0.0.1:7092 <"$dir/in2" >"$dir/serve" 2>&1 &
started="$started $!"
await grep -q ready "$dir/serve"
sysctl -qw net.ipv4.ip_local_port_range='61000 61001'
"$OUTGOING" -k -f 127.0.0.1 connect 127.0.0.1:7091 2 <"$dir/in2" >"$dir/two" 2>&1 &
started="$started $!"
await sh -c "[ \$(grep -c . $dir/two) -ge 2 ]"
run "$OUTGOING" -b -f 127.0.0.1 connect 127.0.0.1:7092 1
tap_has "bare, bind() finds no port" 'EADDRINUSE'
run "$TCPWHY" connect 127.0.0.1:7092 --bind-first --from 127.0.0.1 --json
cure=$(printed bind-address-no-port)
tap_equal "connect prints run" "$cure" "tcpwhy run --bind-address-no-port -- CMD"
tap_status "typed as printed, the connection is made" 0 \
	as_printed "$cure" "$OUTGOING" -b -f 127.0.0.1 connect 127.0.0.1:7092 1

# ---- a port of the pool, while the kernel's own are used up
tap_status "--lease without a pool" 3 under --lease -- true
tap_has "says what is missing" 'pool of ports: .'
tap_status "--lease and its opposite" 2 under --lease --bind-address-no-port -- true
tap_status "--lease where sockets cannot be borrowed" 3 under --lease --prepared -- true
run "$WRAP/pool" create 20000 20031
tap_equal "a pool is made" "$status" 0
run "$binder" plain 0
tap_has "bare, bind() finds no port still" '^bind EADDRINUSE'
inside='200[0-2][0-9]|2003[01]'
for call in plain listen listen-any; do
	run under --lease -- "$binder" $call 0
	tap_has "--lease: $call" "ok $nothing local=($inside)$"
done
run under --lease --reuseaddr -- "$binder" plain 0
tap_has "with SO_REUSEADDR" "^bind ok $all local=($inside)$"
run under --lease -- "$binder" plain 7001
tap_has "a port that is asked for stays" "^bind ok $nothing local=7001$"
run under --lease -- "$binder" elsewhere 0
tap_equal "another namespace gets none of this one's" "$(echo "$out" | grep -cE "^bind ok .*local=($inside)$")" 0
tap_has "but the kernel's there" '^bind ok|no namespaces'
run under --lease -- "$binder" plain 0 32
tap_equal "every one has its own" "$(echo "$out" | grep -oE "local=($inside)$" | sort -u | wc -l)" 32
tap_equal "they end with the process" "$("$WRAP/pool" list)" ""
"$tcpwhy" run --lease -- "$binder" daemon 0 <"$dir/in2" >"$dir/out" 2>&1 8>&-
await grep -q bind "$dir/out"
tap_equal "the lease is the daemon's" "$("$WRAP/pool" list)" \
	"$(sed 's/.*local=//' "$dir/out") $(pgrep -f "^$binder daemon 0$")"
stop_daemon 0
tap_status "ports that are closed come back to a process that goes on" 0 \
	under --lease --reuseaddr -- "$binder" signals 0
tap_has "2,000 out of 32" 'wrong 0$'
run under --lease -- "$binder" plain 0 33
tap_has "an empty pool is told of" 'no port of the pool'
tap_has "and the kernel answers" '^bind EADDRINUSE'
sysctl -qw net.ipv4.ip_local_port_range='32768 60999'

# ---- kills at random moments
run "$WRAP/kills" --tcpwhy "$tcpwhy" --binder "$binder" --rounds "${ROUNDS:-100}" --seed "${TCPWHY_SEED:-1}"
echo "$out" | grep '^# '
tap_equal "kills: nothing hangs, nothing is uncured" "$(echo "$out" | grep -E '^(not ok|Bail)' || true)" ""
tap_equal "who was killed at the start is named" "$(echo "$out" | grep -a '^tcpwhy run: [^t]' || true)" ""
tap_has "some hundreds" '^ok 1 - [0-9]{3,} kills in'
run "$WRAP/kills" --lease --tcpwhy "$tcpwhy" --binder "$binder" --rounds "${ROUNDS:-40}" --seed "${TCPWHY_SEED:-1}"
tap_has "with leases too" '^ok 1 - [0-9]+ kills in'

# ---- the manual
page=man/tcpwhy-run.1
lacking=
run under --help
for option in $(echo "$out" | grep -o '^ *--[a-z-]*' | tr -d ' '); do
	grep -q "Fl $(echo "$option" | sed 's/^-//; s/-/\\\\-/g')" "$page" || lacking="$lacking $option"
done
tap_equal "every option is in the man page" "$lacking" ""

tap_done
