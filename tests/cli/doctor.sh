#!/bin/sh
# SPDX-License-Identifier: MIT
#
# doctor.sh - how a namespace stands: bare tcpwhy on real sockets in namespaces of its own
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
OUTGOING=${OUTGOING:-$(dirname "$TCPWHY")/examples/outgoing}
. tests/cli/lib/tap.sh
tap_private tests/cli/doctor.sh

tap_folder doctor

# json TEXT PATTERN, json_lacks TEXT PATTERN: of the JSON of the last run, without its spaces
json()
{
	if printf '%s' "$out" | tr -d ' \n' | grep -Eq -- "$2"; then
		tap_point 1 "$1"
	else
		tap_point 0 "$1 (wanted: $2)"
	fi
}

json_lacks()
{
	if printf '%s' "$out" | tr -d ' \n' | grep -Eq -- "$2"; then
		tap_point 0 "$1 (not wanted: $2)"
	else
		tap_point 1 "$1"
	fi
}

# ------------------------------------------------------------------------------------- bad input

tap_status "an option that is not there" 2 "$TCPWHY" --frobnicate
tap_has "is named" "--frobnicate: there is no such option"
tap_status "an option that needs a value" 2 "$TCPWHY" doctor --netns
tap_status "an argument" 2 "$TCPWHY" doctor 10.0.0.1:80
tap_has "is named" "10.0.0.1:80: doctor takes no argument"
tap_status "a process that cannot be one" 2 "$TCPWHY" doctor --pid 0
tap_status "two namespaces" 2 "$TCPWHY" --netns blue --pid 1
tap_status "all of them and one" 2 "$TCPWHY" --all --pid 1
tap_status "a namespace that is not there" 3 "$TCPWHY" --netns no-such-ns
tap_has "is named" "no-such-ns"
tap_status "doctor --help" 0 "$TCPWHY" doctor --help
tap_has "lists the options" '^  --all '
run sh -c '"$1" >/dev/full' sh "$TCPWHY"
tap_equal "an answer that cannot be written is not given" "$status" 3

# ------------------------------------------------------------------------------------- nothing wrong

ip link set lo up
sysctl -qw net.ipv4.ip_local_port_range='20000 20099'
tap_status "an empty namespace has no problem" 0 "$TCPWHY"
tap_has "and says so first" '^no problem   this namespace, .*, 0 sockets$'
tap_has "with what is left" '^ok +bind\(0\) has 100 of 100 ports left'
tap_has "and what was not looked at last" '^not looked at: UDP'
run "$TCPWHY"
bare=$out
run "$TCPWHY" doctor
tap_equal "doctor is the same" "$out" "$bare"
tap_status "--json" 0 "$TCPWHY" --json
for name in schema kernel release netns name problems warnings sockets sockets_total ports destinations \
	destinations_total findings unknown; do
	tap_has "it has $name" "^  \"$name\": "
done
json "schema 1, first" '^\{"schema":1,'
json "the namespace is ours" "\"netns\":$(readlink /proc/self/ns/net | tr -dc 0-9),"
json "no finding" '"findings":\[\]'

# ------------------------------------------------------------------------------------- an odd range

sysctl -qw net.ipv4.ip_local_port_range='20000 20002'
tap_status "a range of three ports is a warning" 0 "$TCPWHY" --json
json "by its rule" '"findings":\[\{"rule":"doctor.odd-range","severity":"warn"'
tap_hold two "$OUTGOING" serve 127.0.0.1:20000 127.0.0.1:20001
run "$OUTGOING" connect 127.0.0.1:20000 1
tap_has "of three ports the kernel never finds the last" EADDRNOTAVAIL
tap_status "nor is it said to be left" 1 "$TCPWHY" --json
json "for anybody" '"bind0_free":0,"connect_free":0'
sysctl -qw net.ipv4.ip_local_port_range='19998 20002'
tap_hold more "$OUTGOING" serve 127.0.0.1:19999 127.0.0.1:20002
tap_status "an end of five is found by chance" 0 "$TCPWHY"
tap_has "which is not ok" '^ports +bind\(0\) has 1 of 5 ports left, by chance'
tap_status "but a warning" 0 "$TCPWHY" --json
json "by its rule" '"rule":"doctor.odd-range","severity":"warn","what":"[^"]*bychance"'
tap_let_go two
tap_let_go more
sysctl -qw net.ipv4.ip_local_port_range='20000 20003'
tap_status "one of four is none" 0 "$TCPWHY" --json
json "and nothing is found" '"findings":\[\]'

# ------------------------------------------------------------------------------------- all reserved

sysctl -qw net.ipv4.ip_local_reserved_ports=20000-20003
run "$OUTGOING" connect 127.0.0.1:9 1
tap_has "of a reserved range the kernel gives no port" EADDRNOTAVAIL
tap_status "which is a problem" 1 "$TCPWHY"
tap_has "and named" '^BAD +connect and bind\(0\) fail now'
tap_has "its count is not ok" '^ports +bind\(0\) has 0 of 4 ports left'
echo >/proc/sys/net/ipv4/ip_local_reserved_ports

# ------------------------------------------------------------------------------------- listeners

tap_hold services "$OUTGOING" serve 127.0.0.1:20001 127.0.0.1:8080 127.0.0.1:0
tap_status "a listener in the range is a warning" 0 "$TCPWHY" --json
# Without the bind hash it is not seen who named a port, nor are cures proven.
[ "$TAP_ROOT" = 0 ] || json "of the one that named its port" \
	'"warnings":1,.*"what":"port20001\(outgoing\)isintheephemeralrangeandnotreserved"'
# The one that bind(0) drew is then warned of, too, and reserved with it.
[ "$TAP_ROOT" = 0 ] && reserved='[0-9,-]+' || reserved=20001
json "the cure has its command" \
	"\"id\":\"reserve-port\",[^}]*\"command\":\"tcpwhyfixsysctlnet.ipv4.ip_local_reserved_ports=$reserved\""
sysctl -qw net.ipv4.ip_local_reserved_ports=20001
tap_status "reserved, it is none" 0 "$TCPWHY" --json
[ "$TAP_ROOT" = 0 ] || json_lacks "and is not warned of" doctor.listener
echo >/proc/sys/net/ipv4/ip_local_reserved_ports
tap_let_go services

# ------------------------------------------------------------------------- a destination without ports

tap_hold server "$OUTGOING" serve 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003
sysctl -qw net.ipv4.ip_local_port_range='20000 20019'
tap_hold some "$OUTGOING" -k connect 127.0.0.1:7001 17
tap_status "17 of 20 ports are no problem" 0 "$TCPWHY" --json
json "they are counted" '"from":"127.0.0.1","to":"127.0.0.1:7001","device":null,"taken":17,"reusable":0,"unknown":0,"free":3,'
json "and nothing is found" '"findings":\[\]'
json "by state" '"sockets":\{"ESTABLISHED":34,"LISTEN":3\}'

# What is left of these connections holds ports: each time another range.
sysctl -qw net.ipv4.ip_local_port_range='21000 21019'
tap_hold many "$OUTGOING" -k connect 127.0.0.1:7002 18
tap_status "18 of 20 are a warning" 0 "$TCPWHY" --json
json "of the destination" '"rule":"doctor.destination-nearly-exhausted","severity":"warn"'
json "and of bind(0)" '"rule":"doctor.bind0-nearly-exhausted","severity":"warn"'

sysctl -qw net.ipv4.ip_local_port_range='22000 22019'
tap_hold all "$OUTGOING" -k connect 127.0.0.1:7003 20
run "$OUTGOING" connect 127.0.0.1:7003 1
tap_has "the kernel finds no port for the 21st" EADDRNOTAVAIL
tap_status "which is a problem" 1 "$TCPWHY"
tap_has "it is on the first line" '^2 problems'
tap_has "and named" '^BAD +connect from 127.0.0.1 to 127.0.0.1:7003 fails now$'
ask=$(printf '%s\n' "$out" | sed -n 's/^ *more  *\(tcpwhy connect .*\)/\1/p' | head -n 1)
tap_equal "the command for more" "$ask" "tcpwhy connect 127.0.0.1:7003 --from 127.0.0.1"
# shellcheck disable=SC2086 # words of a command
tap_status "can be typed, and agrees" 1 "$TCPWHY" ${ask#tcpwhy }
tap_status "--json" 1 "$TCPWHY" --json
[ "$TAP_ROOT" = 0 ] || json "its cures are proven by the model" \
	'"rule":"doctor.destination-exhausted",[^]]*"cures":\[\{[^}]*"proven":true'

# ------------------------------------------------------------------------------------ without privilege

if command -v setpriv >/dev/null && [ "$TAP_ROOT" = 1 ]; then
	cp "$TCPWHY" "$dir/tcpwhy"
	chmod 755 "$dir" "$dir/tcpwhy"
	tap_status "an ordinary user is told too" 1 \
		setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/tcpwhy"
	tap_has "with what could not be seen" 'the bind hash: .*needs CAP_BPF'
	tap_has "and the same destination" '^BAD +connect from 127.0.0.1 to 127.0.0.1:7003 fails now$'
else
	tap_skip "an ordinary user is told too" "needs root and setpriv"
fi

# ------------------------------------------------------------------------------------ all of them

if [ "$TAP_ROOT" = 1 ]; then
	sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
	for name in blue green; do
		ip netns add "$name"
	done
	ip netns exec green ip link set lo up
	tap_hold green ip netns exec green "$OUTGOING" serve 127.0.0.1:40000
	# What else runs on this host may have problems of its own: the status is not ours alone.
	run "$TCPWHY" --all --json
	tap_equal "--all shows a named namespace by its name, once" "$(printf '%s\n' "$out" | grep -c '"name": "green"')" 1
	json "with its listener" '"name":"green",.*"rule":"doctor.listener-in-ephemeral-range"'
	json_lacks "but not one without sockets" '"name":"blue"'
	json "which is counted" '"namespaces_empty":[1-9]'
	# A name whose namespace is gone: what `ip netns del` leaves for a moment.
	: >/run/netns/gone
	run "$TCPWHY" --all --json
	json "one that vanished is passed over, and the others are shown" '"name":"green"'
	json "it is counted" '"namespaces_failed":[1-9]'
	problems=$(printf '%s\n' "$out" | grep -c '"problems": [1-9]' || true)
	[ "$problems" = 0 ] && want=3 || want=1
	tap_equal "and not all that could be looked at were" "$status" "$want"
	rm -f /run/netns/gone
	run "$TCPWHY" --all
	tap_has "--all for people names each" '^0 problems, 1 warning   namespace green, '
	tap_has "and counts them last" '^all +[0-9]+ namespaces, [0-9]+ without sockets'
	for name in blue green; do
		ip netns del "$name"
	done
else
	tap_skip "--all" "needs root"
fi

tap_done
