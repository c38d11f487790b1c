#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cures.sh - the commands of the cures, typed as they were printed: what was refused before works after
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
OUTGOING=${OUTGOING:-$(dirname "$TCPWHY")/examples/outgoing}
. tests/cli/lib/tap.sh
tap_private tests/cli/cures.sh

if [ "$TAP_ROOT" = 0 ]; then
	echo "# skip: without root timestamps and bind buckets are not seen, and some cures not offered"
	echo "1..0 # SKIP without root some cures are not offered"
	exit 0
fi

dir=$(mktemp -d /tmp/tcpwhy-cures.XXXXXX)
started=
# Only what was started here, by its id.
clean_up()
{
	for pid in $started; do
		kill "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# hold NAME COMMAND...: in the background until its input, kept open by a writer of its own, ends
hold()
{
	name=$1
	shift
	mkfifo "$dir/$name.in"
	sleep 600 >"$dir/$name.in" &
	started="$started $!"
	echo "$!" >"$dir/$name.writer"
	"$@" <"$dir/$name.in" >"$dir/$name" 2>&1 &
	started="$started $!"
	echo "$!" >"$dir/$name.pid"
	tries=0
	until grep -q ready "$dir/$name" 2>/dev/null; do
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || return 1
		sleep 0.05
	done
}

let_go() # NAME
{
	kill "$(cat "$dir/$1.writer")"
	wait "$(cat "$dir/$1.pid")" || true
	rm "$dir/$1.in"
}

# The command of a cure in the answer to a question, "" if there is none.
command_of() # CURE-ID QUESTION...
{
	id=$1
	shift
	"$TCPWHY" "$@" --json 2>"$dir/err" | tr -d '\n' | grep -o "\"id\": *\"$id\"[^}]*" |
		sed -n 's/.*"command": *"\([^"]*\)".*/\1/p;q'
}

# By a shell, as a user would, with a program in the place of CMD.
type_it() # COMMAND PROGRAM
{
	echo "$1" | sed "s#tcpwhy #$TCPWHY #g;s#CMD\$#$2#" >"$dir/typed"
	run sh -eu "$dir/typed"
}

# cured TEXT CURE-ID WANTED-COMMAND QUESTION...: the command is as wanted, and does its work
cured()
{
	text=$1 id=$2 wanted=$3
	shift 3
	command=$(command_of "$id" "$@")
	tap_equal "$text: $id has its command" "$command" "$wanted"
	type_it "$command" true
	tap_equal "$text: typed, it works" "$status" 0
}

undo()
{
	run "$TCPWHY" fix undo
	tap_equal "and is undone" "$status" 0
}

sysctl_is() # NAME VALUE
{
	tap_equal "$1 is $2" "$(tr '\t' ' ' <"/proc/sys/net/ipv4/$1")" "$2"
}

# refused TEXT PROGRAM..., works TEXT PROGRAM...: what the kernel says
refused()
{
	refused_text=$1
	shift
	run "$@"
	tap_equal "$refused_text is refused" "$([ "$status" = 0 ] && echo works || echo refused)" refused
}

works()
{
	works_text=$1
	shift
	run "$@"
	tap_equal "$works_text works" "$status" 0
}

set_range()
{
	sysctl -qw net.ipv4.ip_local_port_range="$*"
}

# ------------------------------------------------------------------------------------------------ connect()

sysctl -qw net.ipv4.tcp_tw_reuse=0
set_range 40000 40003
hold server "$OUTGOING" serve 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003
run "$OUTGOING" connect 127.0.0.1:7001 4
tap_equal "four connections, then TIME_WAIT" "$status" 0
refused "the fifth" "$OUTGOING" connect 127.0.0.1:7001 1
cured "by reuse" tw-reuse "tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1" connect 127.0.0.1:7001
sysctl_is tcp_tw_reuse 1
# A second after the connection closed its port comes back; without the cure sixty.
tries=0
until "$OUTGOING" connect 127.0.0.1:7001 1 >/dev/null 2>&1 || [ "$tries" = 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
tap_equal "the fifth connection works" "$([ "$tries" -lt 100 ] && echo works)" works
undo
sysctl_is tcp_tw_reuse 0

run "$OUTGOING" connect 127.0.0.1:7002 4
refused "to another destination the fifth" "$OUTGOING" connect 127.0.0.1:7002 1
cured "by destroying" destroy-time-wait \
	"tcpwhy fix destroy-time-wait --to 127.0.0.1:7002 --from 127.0.0.1" connect 127.0.0.1:7002
works "the fifth" "$OUTGOING" connect 127.0.0.1:7002 1

hold four "$OUTGOING" -k connect 127.0.0.1:7003 4
refused "beside four living the fifth" "$OUTGOING" connect 127.0.0.1:7003 1
cured "by more ports" widen-range "tcpwhy fix sysctl net.ipv4.ip_local_port_range='40000 65535'" \
	connect 127.0.0.1:7003
works "the fifth" "$OUTGOING" connect 127.0.0.1:7003 1
undo
sysctl_is ip_local_port_range "40000 40003"
let_go four
"$TCPWHY" fix destroy-time-wait --to 127.0.0.1:7003 >"$dir/destroyed"

sysctl -qw net.ipv4.tcp_timestamps=0
run "$OUTGOING" connect 127.0.0.1:7003 4
cured "timestamps" timestamps-on \
	"tcpwhy fix sysctl net.ipv4.tcp_timestamps=1 && tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1" \
	connect 127.0.0.1:7003
sysctl_is tcp_timestamps 1
sysctl_is tcp_tw_reuse 1
undo
undo

# ------------------------------------------------------------------------------------------- bind() to port 0

set_range 41000 41003
hold held "$OUTGOING" -k -r -b -f 127.0.0.1 connect 127.0.0.1:7001 4
refused "bind(0) on a range that is held" "$RESTART" start 127.0.0.1:0
command=$(command_of lease-port bind 127.0.0.1:0)
tap_equal "a pool has its command" "$command" "tcpwhy port init 40000-40999 && tcpwhy run --lease -- CMD"
type_it "$command" "$RESTART start 127.0.0.1:0"
tap_equal "with which the server starts" "$status" 0
type_it "$command" "$RESTART start 127.0.0.1:0"
tap_equal "and again, when the pool is there" "$status" 0
command=$(command_of autobind-reuse bind 127.0.0.1:0 --no-listen)
tap_equal "sharing has its command" "$command" \
	"tcpwhy fix sysctl net.ipv4.ip_autobind_reuse=1 && tcpwhy run --reuseaddr --prepared -- CMD"
type_it "$command" "$RESTART start 127.0.0.1:0"
tap_equal "with which the server starts" "$status" 0
undo
cured "by more ports" widen-range "tcpwhy fix sysctl net.ipv4.ip_local_port_range='41000 65535'" \
	bind 127.0.0.1:0
works "bind(0)" "$RESTART" start 127.0.0.1:0
undo
let_go held

# -------------------------------------------------------------------------------------------- bind() to a port

set_range 42000 42999
sysctl -qw net.ipv4.ip_local_reserved_ports=8000-8001,9
hold one "$OUTGOING" -k connect 127.0.0.1:7001 1
port=$(ss -Htn state established dst 127.0.0.1:7001 | sed -n 's/.*:\(42[0-9]*\) .*/\1/p')
command=$(command_of reserve-port bind "0.0.0.0:$port")
type_it "$command" true
tap_equal "a port that a connection has is reserved" "$status" 0
tap_equal "with what was reserved before" \
	"$(tr ',' '\n' </proc/sys/net/ipv4/ip_local_reserved_ports | grep -cE "^(9|8000-8001|$port)\$")" 3
undo
sysctl_is ip_local_reserved_ports "9,8000-8001"
let_go one

sysctl -qw net.ipv4.ip_local_reserved_ports=42500
cured "an address that is not there" nonlocal-bind "tcpwhy fix sysctl net.ipv4.ip_nonlocal_bind=1" \
	bind 198.51.100.7:8080
works "bind()" "$RESTART" start 198.51.100.7:8080
undo
refused "bind() without it" "$RESTART" start 198.51.100.7:8080

nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
chmod 755 "$dir"
if $nobody test -x "$TCPWHY" && $nobody test -x "$RESTART"; then
	command=$($nobody "$TCPWHY" bind 127.0.0.1:80 --json 2>/dev/null | tr -d '\n' |
		grep -o '"id": *"unprivileged-port-start"[^}]*' | sed -n 's/.*"command": *"\([^"]*\)".*/\1/p')
	tap_equal "a low port has its command" "$command" "tcpwhy fix sysctl net.ipv4.ip_unprivileged_port_start=80"
	# shellcheck disable=SC2086 # words of a command
	refused "a low port" $nobody "$RESTART" start 127.0.0.1:80
	type_it "$command" true
	tap_equal "typed, it works" "$status" 0
	# shellcheck disable=SC2086 # words of a command
	works "a low port" $nobody "$RESTART" start 127.0.0.1:80
	undo
else
	tap_skip "a low port" "the build cannot be read by others"
fi

hold silent "$RESTART" orphan 127.0.0.1:8083
cured "an orphan" fin-timeout "tcpwhy fix sysctl net.ipv4.tcp_fin_timeout=1" bind 127.0.0.1:8083
sysctl_is tcp_fin_timeout 1
undo
let_go silent

hold living "$RESTART" hold 127.0.0.1:8084
pid=$(cat "$dir/living.pid")
cured "a living server" reuseaddr-both "tcpwhy fix reuseaddr --pid $pid --port 8084" bind 127.0.0.1:8084 --reuseaddr
let_go living
works "its next start" "$RESTART" -r start 127.0.0.1:8084

# ---------------------------------------------------------------------------------------------------- doctor

set_range 43000 43002
run "$TCPWHY" --json
tap_has "a range of three has its command" "\"command\": \"tcpwhy fix sysctl net.ipv4.ip_local_port_range='43000 43003'\""
type_it "tcpwhy fix sysctl net.ipv4.ip_local_port_range='43000 43003'" true
run "$TCPWHY" --json
tap_equal "typed, nothing is found" "$(echo "$out" | grep -c doctor.odd-range)" 0
hold two "$OUTGOING" serve 127.0.0.1:43001 127.0.0.1:43002
run "$TCPWHY" --json
command=$(echo "$out" | sed -n 's/.*"command": "\(tcpwhy fix sysctl net.ipv4.ip_local_reserved[^"]*\)".*/\1/p')
tap_equal "two listeners in the range, one command" "$(echo "$command" | sort -u)" \
	"tcpwhy fix sysctl net.ipv4.ip_local_reserved_ports=42500,43001-43002"
type_it "$(echo "$command" | head -n 1)" true
run "$TCPWHY" --json
tap_equal "typed, nothing is found" "$(echo "$out" | grep -c doctor.listener)" 0
let_go two
let_go server

tap_done
