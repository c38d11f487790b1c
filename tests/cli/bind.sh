#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bind.sh - tcpwhy bind, on real sockets in namespaces of its own; --try makes the kernel the judge
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/bind.sh

tap_folder bind

bind()
{
	"$TCPWHY" bind "$@"
}

# complains STATUS PATTERN ARGUMENTS...: one clear line on stderr, nothing on stdout
complains()
{
	want=$1 pattern=$2
	shift 2
	status=0
	"$TCPWHY" "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
	out=$(cat "$dir/out" "$dir/err")
	if [ "$status" = "$want" ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] &&
		grep -Eq -- "$pattern" "$dir/err"; then
		tap_point 1 "status $want and one line: tcpwhy $*"
	else
		tap_point 0 "status $want and one line with '$pattern': tcpwhy $*"
	fi
}

# ------------------------------------------------------------------------------------- bad input

complains 2 "ADDRESS:PORT is missing" bind
complains 2 "'0.0.0.0' has no port" bind 0.0.0.0
complains 2 "'0.0.0.0:65536' has no port between 0 and 65535" bind 0.0.0.0:65536
complains 2 "has no port between" bind 0.0.0.0:
complains 2 "has no port between" bind 0.0.0.0:-1
complains 2 "has no port between" bind 0.0.0.0:80x
complains 2 "has no port between" bind 0.0.0.0:99999999999999999999
complains 2 "'localhost:80' has no numeric address" bind localhost:80
complains 2 "'1.2.3:80' has no numeric address" bind 1.2.3:80
complains 2 "'::1:80'" bind ::1:80
complains 2 "'\[1.2.3.4\]:80'" bind '[1.2.3.4]:80'
complains 2 "'\[::1:80'" bind '[::1:80'
complains 2 "'8081' is one argument too many" bind 0.0.0.0:8080 8081
complains 2 "there is no option '--reuse-address'" bind 0.0.0.0:80 --reuse-address
complains 2 "there is no option '-x'" bind 0.0.0.0:80 -x
complains 2 "option '--uid' needs a value" bind 0.0.0.0:80 --uid
complains 2 "option '--json=yes' takes no value" bind 0.0.0.0:80 --json=yes
complains 2 "uid: 'root' is not a numeric" bind 0.0.0.0:80 --uid root
complains 2 "uid: '4294967295' is not" bind 0.0.0.0:80 --uid 4294967295
complains 2 "pid: '0' is not a process id" bind 0.0.0.0:80 --pid 0
complains 2 "pid: '-1' is not a process id" bind 0.0.0.0:80 --pid -1
complains 2 "netns: '' is not" bind 0.0.0.0:80 --netns ''
complains 2 "device: '' is not" bind 0.0.0.0:80 --device ''
complains 2 "device: 'a-name-far-too-long' is not" bind 0.0.0.0:80 --device a-name-far-too-long
complains 2 "release: '2.4' is not a release.*: 3.10, 4.9.0, 4.9.y, 4.11, .*, 6.18.y, 7.2.y" bind 0.0.0.0:80 --release 2.4
complains 2 "--netns and --pid" bind 0.0.0.0:80 --netns blue --pid 1
complains 2 "v6only.*IPv4" bind 0.0.0.0:80 --v6only
complains 2 "there is no command 'blind'" blind
complains 3 "no-such-ns" bind 0.0.0.0:80 --netns no-such-ns
complains 3 "/nowhere/at/all" bind 0.0.0.0:80 --netns /nowhere/at/all
complains 3 "/etc/passwd" bind 0.0.0.0:80 --netns /etc/passwd
for where in 0.0.0.0:80 '[::]:80' 127.0.0.1:8080; do
	tap_status "a device that is not there: $where" 1 bind "$where" --device eth99 --try
	tap_has "is refused with ENODEV" '^REFUSED .* fails now with ENODEV$'
	tap_has "by its rule" '^rule +bind.no-device'
	tap_has "before bind()" 'SO_BINDTODEVICE'
done

# A link-local address with its device, as getaddrinfo() takes it.
ip -6 addr add fe80::77/64 dev lo nodad 2>/dev/null || true
if ip -6 addr show dev lo | grep -q fe80::77; then
	tap_status "a link-local address alone" 1 bind '[fe80::77]:8080' --try
	tap_has "needs its device, which is named" 'name the device: %lo'
	tap_status "with its device" 0 bind '[fe80::77%lo]:8080' --try
	tap_status "which is --device" 0 bind '[fe80::77]:8080' --device lo --try
	tap_status "fix takes it too" 0 "$TCPWHY" fix destroy-time-wait '[fe80::77%lo]:8080'
else
	tap_skip "a link-local address" "lo takes none here"
fi
complains 2 "only a link-local" bind '[::1%lo]:80'
complains 2 "behind '%'" bind '[fe80::1%]:80'
complains 2 "two devices" bind '[fe80::1%lo]:80' --device eth0

# Why there is no answer, for programs too.
for word in 'bind 0.0.0.0:80' 'connect 127.0.0.1:80' doctor 'fix destroy-time-wait 0.0.0.0:80'; do
	status=0
	# shellcheck disable=SC2086 # a command and its arguments
	out=$("$TCPWHY" $word --netns no-such-ns --json 2>"$dir/err" | tr -d '\n ') || status=$?
	tap_has "--json: tcpwhy $word" '^\{"schema":1,"error":".*no-such-ns.*"\}$'
	tap_equal "and the text on stderr" "$(wc -l <"$dir/err")" 1
done

# A process that has ended: its number is not in use again so soon.
sleep 0 &
gone=$!
wait "$gone"
complains 3 "$gone" bind 0.0.0.0:80 --pid "$gone"

tap_status "--help" 0 "$TCPWHY" --help
tap_has "names the commands" '^  bind '
tap_status "--version" 0 "$TCPWHY" --version
tap_status "bind --help needs no address" 0 bind --help
tap_has "and lists the options" '^  --netns NAME\|PATH '
for word in 'bind 0.0.0.0:8080' 'bind 0.0.0.0:8080 --json' --help --version 'bind --help' 'bind --version' \
	'connect 127.0.0.1:80' 'connect --help' doctor 'doctor --help' 'log --help' 'log /dev/null' \
	'fix --help' 'fix destroy-time-wait 0.0.0.0:8080' 'fix destroy-time-wait 0.0.0.0:8080 --json'; do
	# shellcheck disable=SC2016 # of the inner shell
	run sh -c '"$1" $2 >/dev/full' sh "$TCPWHY" "$word"
	tap_equal "what cannot be written is no answer: tcpwhy $word" "$status" 3
	tap_equal "said once" "$(echo "$out" | grep -c 'could not be written')" 1
done

# ------------------------------------------------------------------- restart in TIME_WAIT, end to end

# A program whose input stays open until let_go closes it.
hold() # ARGUMENTS of restart...
{
	rm -f "$dir/in" "$dir/ready"
	mkfifo "$dir/in"
	"$RESTART" "$@" <"$dir/in" >"$dir/ready" 2>&1 &
	holder=$!
	started="$started $holder"
	exec 9>"$dir/in"
	tap_await grep -q ready "$dir/ready"
}

let_go()
{
	exec 9>&-
	wait "$holder" || true
}

tap_status "nothing there: it would succeed" 0 bind 127.0.0.1:8080 --try
tap_has "and the kernel agrees" '^tried .*as predicted'

run "$RESTART" serve 127.0.0.1:8080 3
tap_status "the server left TIME_WAIT: refused" 1 bind 0.0.0.0:8080 --try
tap_has "in the first line" '^REFUSED   bind\(0.0.0.0:8080\) fails now with EADDRINUSE, for another '
tap_has "the kernel agrees" '^tried .*failed with EADDRINUSE, as predicted'
tap_has "the holders are named" 'TIME_WAIT  127.0.0.1:8080  '
tap_has "and their peers, on the same line or below" '(8080  |^ +peer )127.0.0.1:'
tap_has "the cure is a command" '  tcpwhy fix destroy-time-wait 0.0.0.0:8080$'
tap_has "tcp_tw_reuse is no help" '^no help .*tcp_tw_reuse'
if [ "$TAP_ROOT" = 1 ]; then
	tap_has "by the rule of a server without the option" 'bind.time-wait-without-reuseaddr'
	tap_status "SO_REUSEADDR in the new server alone: refused" 1 bind 127.0.0.1:8080 --reuseaddr --try
	tap_has "the kernel agrees" '^tried .*as predicted'
	tap_equal "nothing is unknown to root" "$(echo "$out" | grep -c '^not seen')" 0
else
	tap_skip "the rule of a server without the option" "the options of others need root"
fi
tap_status "another address is free" 0 bind 127.0.0.2:8080 --try
tap_has "and the kernel agrees" '^tried .*as predicted'
tap_status "so is another port" 0 bind 127.0.0.1:8081 --try
tap_status "and IPv6 alone" 0 bind '[::]:8080' --v6only --try
tap_status "but not IPv6 with IPv4" 1 bind '[::]:8080' --try
tap_status "nor v4-mapped" 1 bind '[::ffff:127.0.0.1]:8080' --try
tap_has "which is shown as it was asked" '^REFUSED   bind\(\[::ffff:127.0.0.1\]:8080\)'

if [ "$TAP_ROOT" = 1 ]; then
	bind 0.0.0.0:8080 >"$dir/answer" || true
	cure=$(sed -n 's/^ .* \(tcpwhy fix .*\)$/\1/p' "$dir/answer")
	run sh -c "${TCPWHY%tcpwhy}$cure"
	tap_equal "the printed cure, typed as it stands, works" "$status" 0
	tap_status "then bind() would succeed" 0 bind 0.0.0.0:8080 --try
	tap_status "and the server starts" 0 "$RESTART" start 0.0.0.0:8080
else
	tap_skip "the printed cure, typed as it stands" "destroying sockets needs root"
fi

run "$RESTART" -r serve 127.0.0.1:8082 2
tap_status "a server that had SO_REUSEADDR, a new one that lacks it" 1 bind 127.0.0.1:8082 --try
if [ "$TAP_ROOT" = 1 ]; then
	tap_has "and that is what it is told" 'bind.time-wait-needs-reuseaddr'
	tap_has "the new socket alone is enough" "tcpwhy run --reuseaddr -- CMD$"
	tap_has "now" "now: what holds the port has it already"
	tap_status "both have it: it would succeed" 0 bind 127.0.0.1:8082 --reuseaddr --try
fi

# ------------------------------------------------------------------------------ the other holders

hold hold 127.0.0.1:9000
tap_status "a listener" 1 bind 0.0.0.0:9000 --reuseaddr --try
tap_has "is named as the rule" 'bind.listener '
tap_has "with its process" "restart\\[$holder\\]"
tap_has "which is the cure" "stop restart\\[$holder\\]"
tap_has "the kernel agrees" '^tried .*as predicted'
tap_status "--no-listen asks for bind alone" 1 bind 0.0.0.0:9000 --no-listen --try
tap_status "--uid of another user" 1 bind 0.0.0.0:9000 --uid 12345
if [ "$TAP_ROOT" = 1 ]; then
	run setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace "$TCPWHY" bind 0.0.0.0:9000
	tap_has "root without CAP_SYS_PTRACE may not see whose it is" 'not visible to this user'
	tap_equal "and does not claim that it is nobody's" "$(echo "$out" | grep -c 'no process')" 0
	run unshare -p -f --mount-proc "$TCPWHY" bind 0.0.0.0:9000
	tap_has "a process of another PID namespace" 'no process visible from'
	tap_has "is among what was not seen" '^not seen .*who has 2 sockets open'
else
	tap_skip "processes that cannot be seen" "capabilities and PID namespaces need root"
fi
let_go

hold orphan 127.0.0.1:9100
# FIN_WAIT1 until the other side's delayed ACK.
tap_await sh -c 'ss -Htan state fin-wait-2 "sport = :9100" | grep -q .' || true
tap_status "an orphan in FIN_WAIT2" 1 bind 127.0.0.1:9100 --try
tap_has "is told from TIME_WAIT" 'FIN_WAIT2  127.0.0.1:9100'
tap_has "and there tcp_fin_timeout does help" 'sysctl net.ipv4.tcp_fin_timeout=1'
let_go

tap_status "an address of nobody" 1 bind 203.0.113.9:9000 --try
tap_has "EADDRNOTAVAIL" '^REFUSED .* EADDRNOTAVAIL$'
tap_status "with freebind" 0 bind 203.0.113.9:9000 --freebind --try
tap_status "a low port of a user" 1 bind 127.0.0.1:80 --uid 12345
tap_has "EACCES" '^REFUSED .* EACCES$'
tap_status "port 0" 0 bind 127.0.0.1:0 --try
tap_status "on the device lo" 0 bind 127.0.0.1:9300 --device lo --try

# ------------------------------------------------------------------------------------------- JSON

if command -v jq >/dev/null; then
	run "$RESTART" serve 127.0.0.1:8090 120
	bind 0.0.0.0:8090 --json >"$dir/json" || true
	json()
	{
		jq -r "$1" "$dir/json" 2>&1 || true
	}
	tap_equal "--json is one JSON object" "$(jq -s length "$dir/json")" 1
	tap_equal "its schema" "$(json .schema)" 1
	tap_equal "its answer" "$(json .answer)" refused
	tap_equal "its errno" "$(json .errno)" EADDRINUSE
	tap_equal "its question" "$(json '.question | "\(.call) \(.address) \(.port) \(.device)"')" \
		"bind 0.0.0.0 8090 null"
	tap_equal "its holders in all" "$(json .blockers_total)" 120
	tap_equal "the first hundred" "$(json '.blockers | length')" 100
	tap_equal "the longest first" \
		"$(json '[.blockers[].expires_s] | . == (sort | reverse)')" true
	tap_equal "its first cure" "$(json '.cures[0].id')" wait
	tap_equal "its command" "$(json '.cures[1].command')" "tcpwhy fix destroy-time-wait 0.0.0.0:8090"
	bind 0.0.0.0:8090 --json --holders >"$dir/json" || true
	tap_equal "--holders: all of them" "$(json '.blockers | length')" 120
	bind 0.0.0.0:8091 --json --try >"$dir/json" || true
	tap_equal "null where there is nothing to say" "$(json '[.errno, .at, .rule] | tostring')" \
		'[null,null,null]'
	tap_equal "what came of the try" "$(json '.try | tostring')" \
		'{"errno":null,"at":null,"agrees":true}'
else
	tap_skip "--json" "jq is not installed"
fi

# ------------------------------------------------------------------------------------- namespaces

# A second namespace, held open by a process in it.
mkfifo "$dir/hold"
unshare -n sh -c 'ip link set lo up; echo ready; cat' <"$dir/hold" >"$dir/ns" 2>&1 &
ns=$!
started="$started $ns"
exec 8>"$dir/hold"
tap_await grep -q ready "$dir/ns" || true
hold hold 127.0.0.1:9200
tap_status "our own namespace" 1 bind 127.0.0.1:9200
tap_status "--pid: that of a process, where the port is free" 0 bind 127.0.0.1:9200 --pid "$ns" --try
tap_status "--netns PATH" 0 bind 127.0.0.1:9200 --netns "/proc/$ns/ns/net"
if ip netns attach blue "$ns" 2>/dev/null; then
	tap_status "--netns NAME" 0 bind 127.0.0.1:9200 --netns blue --try
	run nsenter -t "$ns" -n "$RESTART" serve 127.0.0.1:9200 1
	tap_status "its TIME_WAIT" 1 bind 127.0.0.1:9200 --netns blue
	tap_has "the cure names the namespace" 'tcpwhy fix destroy-time-wait --netns blue 127.0.0.1:9200$'
	ip netns delete blue
else
	tap_skip "--netns NAME" "no namespace can be given a name here"
fi
let_go
exec 8>&-
wait "$ns" || true
complains 3 "$ns" bind 127.0.0.1:9200 --pid "$ns"

# A process that ends while it is asked about, again and again: an answer or one clear line, no crash.
bad=0
tries=0
while [ "$tries" -lt 20 ]; do
	tries=$((tries + 1))
	sleep 0.00"$((tries % 7))" &
	gone=$!
	status=0
	bind 127.0.0.1:9400 --pid "$gone" >"$dir/out" 2>"$dir/err" || status=$?
	case $status in
	0) ;;
	3) [ "$(wc -l <"$dir/err")" = 1 ] || bad=$((bad + 1)) ;;
	*) bad=$((bad + 1)) ;;
	esac
	wait "$gone"
done
out=$(cat "$dir/err")
tap_equal "a process that ends meanwhile: 20 answers or clear errors" "$bad" 0

tap_done
