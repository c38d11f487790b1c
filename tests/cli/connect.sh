#!/bin/sh
# SPDX-License-Identifier: MIT
#
# connect.sh - tcpwhy connect on real connections: what is said, and what a real connect() then gets
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
OUTGOING=${OUTGOING:-$(dirname "$TCPWHY")/examples/outgoing}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/connect.sh

tap_folder connect

ask()
{
	"$TCPWHY" connect "$@"
}

# complains STATUS PATTERN ARGUMENTS...: one clear line on stderr, nothing on stdout
complains()
{
	want=$1 pattern=$2
	shift 2
	status=0
	"$TCPWHY" connect "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	out=$(cat "$dir/out" "$dir/err")
	if [ "$status" = "$want" ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] &&
		grep -Eq -- "$pattern" "$dir/err"; then
		tap_point 1 "status $want and one line: connect $*"
	else
		tap_point 0 "status $want and one line with '$pattern': connect $*"
	fi
}

# really TEXT WANTED OUTGOING-ARGUMENTS...: one real connection, and its words
really()
{
	text=$1 wanted=$2
	shift 2
	run "$OUTGOING" "$@"
	tap_equal "$text" "$out" "$wanted"
}

port_field() # NAME: a number of "ports" in the JSON of the last run
{
	echo "$out" | sed -n "s/^ *\"$1\": \([0-9]*\),*\$/\1/p" | head -1
}

wait_reusable() # N: until that many TIME_WAIT are old enough to be taken over
{
	tries=0
	until run ask 10.77.0.2:7001 --json && [ "$(port_field reusable)" = "$1" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 100 ] || return 1
		sleep 0.05
	done
}

set_range()
{
	sysctl -qw "net.ipv4.ip_local_port_range=$1 $2"
}

# ------------------------------------------------------------------------------------- bad input

complains 2 "ADDRESS:PORT is missing"
complains 2 "has no port" 127.0.0.1
complains 2 "port 0" 127.0.0.1:0
complains 2 "no numeric address" localhost:80
complains 2 "different families" 127.0.0.1:80 --from ::1
complains 2 "names one" 127.0.0.1:80 --bind-first --from 127.0.0.1:99
complains 2 "add --from" 127.0.0.1:80 --reuseaddr
complains 2 "no option '--freebind'" 127.0.0.1:80 --freebind
complains 2 "from: 'x'" 127.0.0.1:80 --from x
complains 2 "from: '\[::1\]x'" '[::1]:80' --from '[::1]x'
complains 3 "'eth99'.*ENODEV" 127.0.0.1:80 --device eth99
tap_status "--help" 0 ask --help
tap_has "and lists its own options" '^  --from ADDR'

# ------------------------------------------------------------------------------------------ routes

tap_status "no route" 1 ask 203.0.113.1:80 --json
tap_has "is ENETUNREACH" '"errno": "ENETUNREACH"'
tap_has "by a rule of its own" '"rule": "connect.no-route"'
tap_status "multicast" 1 ask 224.0.0.1:80
tap_has "is ENETUNREACH, too" 'fails now with ENETUNREACH'
tap_status "a link-local address without a device" 1 ask '[fe80::1]:80'
tap_has "is EINVAL" 'fails now with EINVAL'
ip route add prohibit 198.51.100.0/24
ip route add unreachable 198.51.101.0/24
ip route add blackhole 198.51.102.0/24
for pair in 198.51.100.1:EACCES:prohibit 198.51.101.1:EHOSTUNREACH:unreachable 198.51.102.1:EINVAL:blackhole; do
	address=${pair%%:*} rest=${pair#*:}
	run ask "$address:80" --json
	tap_has "a route of type ${rest#*:}" "\"rule\": \"connect.${rest#*:}-route\""
	really "and a real connect() there" "${rest%:*} connect" connect "$address:80" 1
done
# Behind these rules the table of local addresses comes, or they would never be looked at.
tap_hold ruled "$OUTGOING" serve 127.0.0.1:7077 '[::1]:7077'
for version in -4 -6; do
	ip $version rule add pref 100 lookup local
	ip $version rule del pref 0
done
for rule in tcp:dport:7077 tcp:sport:7078 udp:dport:7077; do
	proto=${rule%%:*} ports=${rule#*:}
	for version in -4 -6; do
		[ $version = -4 ] && from=127.0.0.1 to=127.0.0.1:7077 || from=::1 to='[::1]:7077'
		[ "$ports" != sport:7078 ] || from=${to%:*}:7078
		[ "$proto" = tcp ] && want=EACCES || want=
		ip $version rule add pref 10 ipproto "$proto" "${ports%:*}" "${ports#*:}" prohibit
		run ask "$to" --from "$from" --json
		tap_equal "a rule for $proto $ports alone, to $to" "$(echo "$out" | grep -o 'EACCES')" "$want"
		run "$OUTGOING" -f "$from" connect "$to" 1
		tap_equal "and a real connect()" "$(echo "$out" | grep -o EACCES)" "$want"
		ip $version rule del pref 10
	done
done
for version in -4 -6; do
	ip $version rule add pref 0 lookup local
	ip $version rule del pref 100
done
tap_let_go ruled
# A port of its own: the server before may have left a TIME_WAIT.
tap_hold wide "$OUTGOING" serve 127.0.0.1:7079
for from in 127.255.255.255 255.255.255.255 224.0.0.1; do
	run ask 127.0.0.1:7079 --from $from --json
	tap_has "$from may be bound, but the source is the route's" '"source": "127.0.0.1"'
	tap_has "and it is no reason to refuse" '"errno": null'
	tap_status "a real connect() passes" 0 "$OUTGOING" -f $from connect 127.0.0.1:7079 1
done
tap_let_go wide
tap_status "an address that is not there" 1 ask 127.0.0.1:80 --from 198.51.103.1
tap_has "is refused at bind()" '^REFUSED   bind\(198.51.103.1:0\) fails now with EADDRNOTAVAIL, before connect'

# ----------------------------------------------------------------------------------- only-two-ports

# Without root it cannot be seen whether connect() chose the port of a connection.
certain=0
[ "$TAP_ROOT" = 1 ] || certain=3
tap_hold server "$OUTGOING" serve 127.0.0.1:7001 127.0.0.2:7001 127.0.0.1:7002
set_range 61000 61001
tap_hold two "$OUTGOING" -k -f 127.0.0.1 connect 127.0.0.1:7001 2
tap_status "only-two-ports: the third connection is refused" 1 ask 127.0.0.1:7001 --json
tap_has "with EADDRNOTAVAIL" '"errno": "EADDRNOTAVAIL"'
tap_has "by the rule" '"rule": "connect.no-port-for-destination"'
tap_equal "two of two are taken" "$(port_field total) $(port_field taken)" "2 2"
tap_has "a second destination is a cure" '"id": "more-destinations"'
tap_has "a second source is a cure" '"id": "more-sources"'
tap_has "a wider range is a cure" '"id": "widen-range"'
[ "$TAP_ROOT" != 1 ] || tap_equal "every cure is proven" "$(echo "$out" | grep -c '"proven": false')" 0
really "and really is" "EADDRNOTAVAIL connect" connect 127.0.0.1:7001 1

# -------------------------------------------------------------------------------- more-quadruplets

tap_status "more-quadruplets: another server address has its own ports" $certain ask 127.0.0.2:7001 --from 127.0.0.1
tap_status "another server port" $certain ask 127.0.0.1:7002
tap_status "another client address" $certain ask 127.0.0.1:7001 --from 127.0.0.9
run ask 127.0.0.2:7001 --from 127.0.0.1 --json
tap_equal "two ports there" "$(($(port_field free) + $(port_field unknown)))" 2
run "$OUTGOING" -f 127.0.0.1 connect 127.0.0.2:7001 1
tap_equal "and really is" "$status" 0

# ------------------------------------------------------------------------- bind-then-connect-waste

tap_status "bind-then-connect-waste: a port that connect() shares, bind(0) may not have" 1 \
	ask 127.0.0.1:7002 --from 127.0.0.1 --bind-first --json
tap_has "it is bind() that says EADDRINUSE" '"errno": "EADDRINUSE"'
tap_has "at bind()" '"at": "bind"'
tap_has "the option is the cure" '"id": "bind-address-no-port"'
really "and really is" "EADDRINUSE bind" -b -f 127.0.0.1 connect 127.0.0.1:7002 1
tap_status "with it: fine" $certain ask 127.0.0.1:7002 --from 127.0.0.1
run "$OUTGOING" -f 127.0.0.1 connect 127.0.0.1:7002 1
tap_equal "and really is" "$status" 0
tap_let_go two
set_range 62000 62001
tap_hold waste "$OUTGOING" -k -b -f 127.0.0.1 connect 127.0.0.1:7001 2
tap_status "what bind() took is lost to every destination" "$((certain ? 3 : 1))" ask 127.0.0.2:7001 --json
if [ "$TAP_ROOT" = 1 ]; then
	tap_equal "owned by bind()" "$(port_field owned_by_bind)" 2
	tap_has "the option in those programs is the cure" '"id": "bind-address-no-port"'
else
	tap_skip "owned by bind()" "who chose a port needs root"
fi
really "and really is" "EADDRNOTAVAIL connect" connect 127.0.0.2:7001 1
tap_let_go waste

# --------------------------------------------------------------------------------- steal-local-port

set_range 63000 63099
run "$OUTGOING" -f 127.0.0.1:5001 connect 127.0.0.1:7001 1
tap_equal "steal-local-port: a connection from 5001 left TIME_WAIT" "$out" "port 5001"
tap_status "its port cannot be bound for the same server" 1 ask 127.0.0.1:7001 --from 127.0.0.1:5001 --json
tap_has "EADDRINUSE" '"errno": "EADDRINUSE"'
really "and really is" "EADDRINUSE bind" -f 127.0.0.1:5001 connect 127.0.0.1:7001 1
tap_status "with SO_REUSEADDR neither: the first socket lacked it" "$((certain ? 3 : 1))" ask 127.0.0.1:7001 --from 127.0.0.1:5001 --reuseaddr
really "and really is" "EADDRINUSE bind" -r -f 127.0.0.1:5001 connect 127.0.0.1:7001 1
run "$OUTGOING" -r -f 127.0.0.1:5002 connect 127.0.0.1:7001 1
tap_status "both with it, and timestamps: at once" $certain ask 127.0.0.1:7001 --from 127.0.0.1:5002 --reuseaddr
really "and really is" "port 5002" -r -f 127.0.0.1:5002 connect 127.0.0.1:7001 1
sysctl -qw net.ipv4.tcp_timestamps=0
run "$OUTGOING" -r -f 127.0.0.1:5003 connect 127.0.0.1:7001 1
sysctl -qw net.ipv4.tcp_timestamps=1
if [ "$TAP_ROOT" = 1 ]; then
	tap_status "both with it, no timestamps" 1 ask 127.0.0.1:7001 --from 127.0.0.1:5003 --reuseaddr
	tap_has "the 4-tuple is taken" 'connect.tuple-taken'
	tap_has "for as long as TIME_WAIT lasts" 'EADDRNOTAVAIL, for another [56][0-9] s$'
	tap_has "it can be destroyed" '  tcpwhy fix destroy-time-wait 127.0.0.1:5003$'
else
	tap_skip "both with it, no timestamps" "the options of TIME_WAIT need root"
fi
really "and really is" "EADDRNOTAVAIL connect" -r -f 127.0.0.1:5003 connect 127.0.0.1:7001 1
tap_status "another destination is fine" $certain \
	ask 127.0.0.2:7001 --from 127.0.0.1:5003 --reuseaddr
really "and really is" "port 5003" -r -f 127.0.0.1:5003 connect 127.0.0.2:7001 1

# ------------------------------------------------------------- two namespaces: not on loopback

if [ "$TAP_ROOT" != 1 ]; then
	tap_skip "tw-reuse-one-second, virtual-source-addresses" "a second namespace needs root"
	tap_done
	exit
fi
mkdir -p /run/netns
ip netns add far
clean_up()
{
	ip netns del far 2>/dev/null || true
}
ip link add near0 type veth peer name far0 netns far
ip addr add 10.77.0.1/24 dev near0
ip link set near0 up
ip -n far addr add 10.77.0.2/24 dev far0
ip -n far link set far0 up
ip -n far link set lo up
tap_hold far ip netns exec far "$OUTGOING" serve 10.77.0.2:7001

set_range 32768 32769
sysctl -qw net.ipv4.tcp_tw_reuse=1
run "$OUTGOING" connect 10.77.0.2:7001 2
tap_equal "tw-reuse-one-second: back to back both ports are used" "$status" 0
tap_status "then none is left" 1 ask 10.77.0.2:7001 --json
tap_has "they are too young" '"too_young": 2'
tap_has "one comes back within a second" '"next_free_s": (0\.|1\.0)'
tap_has "to wait is a cure" '"id": "wait"'
really "and really is" "EADDRNOTAVAIL connect" connect 10.77.0.2:7001 1
wait_reusable 2
tap_status "after a second they are reusable" 0 ask 10.77.0.2:7001 --json
tap_equal "both" "$(port_field reusable)" 2
for reuse in 0 2; do
	sysctl -qw net.ipv4.tcp_tw_reuse=$reuse
	tap_status "tcp_tw_reuse=$reuse: refused" 1 ask 10.77.0.2:7001
	tap_has "and why" "^ +reusable is 0 because net.ipv4.tcp_tw_reuse=$reuse"
	tap_has "the cure is 1" 'sysctl net.ipv4.tcp_tw_reuse=1'
	tap_has "tcp_fin_timeout is none" '^no help .*tcp_fin_timeout'
	really "and really is" "EADDRNOTAVAIL connect" connect 10.77.0.2:7001 1
done
sysctl -qw net.ipv4.tcp_tw_reuse=1
run "$OUTGOING" connect 10.77.0.2:7001 1
tap_equal "with 1 it really is taken over" "$status" 0
set_range 34768 34769
sysctl -qw net.ipv4.tcp_timestamps=0
run "$OUTGOING" connect 10.77.0.2:7001 2
tap_status "without timestamps: refused" 1 ask 10.77.0.2:7001
tap_has "and why" 'because the connections in TIME_WAIT had no TCP'
tap_has "timestamps are the cure" 'net.ipv4.tcp_timestamps=1'
tap_has "tcp_tw_reuse is no help" 'tcp_tw_reuse|TIME_WAIT'
really "and really is" "EADDRNOTAVAIL connect" connect 10.77.0.2:7001 1
sysctl -qw net.ipv4.tcp_timestamps=1

# ---------------------------------------------------------------- bind0-starves-while-connect-works

set_range 35000 35003
run "$OUTGOING" connect 10.77.0.2:7001 4
tap_equal "bind0-starves: four ports, four TIME_WAIT" "$status" 0
wait_reusable 4
tap_status "connect() goes on" 0 ask 10.77.0.2:7001
tap_status "bind(0) fails on the same address" 1 "$TCPWHY" bind 10.77.0.1:0
tap_status "and on the wildcard, with SO_REUSEADDR" 1 "$TCPWHY" bind 0.0.0.0:0 --reuseaddr
run "$RESTART" -r start 0.0.0.0:0
tap_equal "and really does" "$status" 1
tap_status "on another address it is fine" 0 "$TCPWHY" bind 127.0.0.1:0
run "$RESTART" start 127.0.0.1:0
tap_equal "and really is" "$status" 0
tap_status "bind() first would not work" 1 ask 10.77.0.2:7001 --bind-first
run "$OUTGOING" connect 10.77.0.2:7001 1
tap_equal "and connect() really goes on" "$status" 0

# ---------------------------------------------------------------------------- virtual-source-addresses

ip route add local 10.78.0.0/24 dev lo
ip -n far route add 10.78.0.0/24 via 10.77.0.1
set_range 36000 36001
n=0 good=0
while [ "$n" -lt 20 ]; do
	n=$((n + 1))
	tap_hold "virtual$n" "$OUTGOING" -t -k -f "10.78.0.$n" connect 10.77.0.2:7001 2
	good=$((good + $(grep -c '^port' "$dir/virtual$n")))
done
tap_equal "virtual-source-addresses: 20 sources x 2 ports" "$good" 40
tap_status "a source is full" 1 ask 10.77.0.2:7001 --from 10.78.0.20
really "and really is" "EADDRNOTAVAIL connect" -t -f 10.78.0.20 connect 10.77.0.2:7001 1
tap_status "the next one is not" 0 ask 10.77.0.2:7001 --from 10.78.0.21
run "$OUTGOING" -t -f 10.78.0.21 connect 10.77.0.2:7001 1
tap_equal "and really is not" "$status" 0
tap_status "asked from elsewhere: the namespace of a process" 0 \
	ask 10.77.0.1:7001 --netns far --json
tap_has "has another source" '"source": "10.77.0.2"'

tap_done
