#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sock.sh - tcpwhy sock: its options on real sockets, and every experiment of its man page, replayed
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/sock.sh

page=man/tcpwhy-sock.1
tap_folder sock
# A terminal's command is under timeout, which hands a signal on.
clean_up()
{
	for terminal in 1 2 3 4; do
		eval "pid=\${pid_$terminal:-}"
		[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true
		[ -z "$pid" ] || wait "$pid" || true
	done
	rm -rf "${blocks:-}"
}
trap '' PIPE
PATH=$(cd "$(dirname "$TCPWHY")" && pwd):$PATH
export PATH

# ---- terminals: N is 1 to 4; what is typed goes through descriptor N + 2

terminal_run() # N COMMAND
{
	terminal_wait "$1"
	mkfifo "$dir/in.$1"
	# Bounded: a command that is left waiting must not outlive the test. In the foreground, or timeout sends a
	# SIGCONT after each signal: that takes away the SIGSTOP which a leak check at exit waits for, for ever.
	timeout --foreground -k 10 100 sh -c "exec $2" <"$dir/in.$1" >>"$dir/got.$1" 2>&1 3>&- 4>&- 5>&- 6>&- &
	eval "pid_$1=$!"
	eval "exec $(($1 + 2))>\"$dir/in.$1\""
	rm "$dir/in.$1"
}

terminal_wait() # N: its command has ended; $ended is its status
{
	ended=0
	eval "pid=\${pid_$1:-}"
	[ -z "$pid" ] || wait "$pid" || ended=$?
	eval "pid_$1= ; exec $(($1 + 2))>&-"
}

terminal_do() # N EVENT: "$ COMMAND", "< a line that is typed", "^D" or "^C"
{
	case "$2" in
	'$ '*) terminal_run "$1" "${2#??}" ;;
	'<'*)
		text=${2#<}
		eval "printf '%s\\n' \"\${text# }\" >&$(($1 + 2))"
		;;
	'^D') eval "exec $(($1 + 2))>&-" ;;
	'^C') eval "kill -INT \$pid_$1" ;;
	esac
}

said() # N PATTERN: its output has such a line
{
	grep -Eq -- "$2" "$dir/got.$1"
}

listens() # PORT
{
	ss -Hltn "sport = :$1" | grep -q .
}

# ---- the man page: the block of examples that was cut out is played, and its output compared

# Times, ports that the kernel drew, and how often it was too late for one SYN more.
normal()
{
	sed -E -e 's/^ *[0-9]+\.[0-9]{3}  /TIME  /' -e 's/:(3[2-9]|[45][0-9]|60)[0-9]{3}\b/:DRAWN/g' \
		-e 's/[0-9]+ s\b/N s/g' -e '/SYN sent again \(([2-9]|1[0-9])\)/d' -e 's/[ 	]+/ /g' -e 's/ $//'
}

# Without root the bind hash cannot be read, and the answer may be "depends".
[ "$TAP_ROOT" = 1 ] || { normal_verdict='s/^(REFUSED|DEPENDS) .*/VERDICT/'; }

compare() # FILE
{
	normal <"$1" | sed -E -e "${normal_verdict:-}"
}

# All that the page shows of a terminal so far has come. A server that is to say nothing listens.
caught_up()
{
	for each in 1 2 3 4; do
		wanted=$(compare "$dir/want.$each" | wc -l)
		came=$(compare "$dir/got.$each" | wc -l)
		[ "$came" -ge "$wanted" ] || return 1
	done
	[ -z "$quiet" ] || [ -s "$dir/got.1" ] || listens 8080
}

play() # BLOCK
{
	for terminal in 1 2 3 4; do
		: >"$dir/got.$terminal"
		: >"$dir/want.$terminal"
	done
	quiet=
	while IFS= read -r line <&8; do
		terminal=${line%"${line#?}"}
		event=${line#?}
		case "$event" in
		[$\<^]*)
			tap_await caught_up || return 0
			quiet=
			case "$event" in '$ tcpwhy sock -s '*) quiet=yes ;; esac
			terminal_do "$terminal" "$event"
			;;
		*) echo "${event# }" >>"$dir/want.$terminal" ;;
		esac
	done 8<"$1"
	tap_await caught_up || true
}

# What came beyond the end of the page is of no concern: what still runs is ended now.
judge() # TEXT
{
	same=1 out=
	for terminal in 1 2 3 4; do
		compare "$dir/want.$terminal" >"$dir/wanted"
		compare "$dir/got.$terminal" >"$dir/all"
		head -n "$(wc -l <"$dir/wanted")" "$dir/all" >"$dir/came"
		out="$out$(diff "$dir/wanted" "$dir/came")" || same=0
	done
	status=$same
	tap_point "$same" "$1"
}

# ---- inside a namespace of its own: one block
if [ -n "${SOCK_BLOCK:-}" ]; then
	ip link set lo up
	play "$SOCK_BLOCK"
	judge "man page: $SOCK_NAME"
	for terminal in 1 2 3 4; do
		eval "exec $((terminal + 2))>&-"
	done
	[ "$tap_bad" = 0 ]
	exit
fi

blocks=$(mktemp -d /tmp/tcpwhy-sock-page.XXXXXX)
awk -v dir="$blocks" '
/^\.Ss/ { name = $2; n = 0 }
/^\.Bd -literal/ { n++; file = dir "/" sprintf("%02d", ++all) "." name "." n; next }
/^\.Ed/ { file = "" }
file { print >file }' "$page"
for block in "$blocks"/*; do
	name=${block#"$blocks/"}
	run env SOCK_BLOCK="$block" SOCK_NAME="$name" TAP_INSIDE= unshare -n sh tests/cli/sock.sh
	tap_point "$([ "$status" = 0 ] && echo 1 || echo 0)" "the man page's ${name#*.} comes out as written"
done
tap_equal "the man page has experiments" "$([ "$(ls "$blocks" | wc -l)" -gt 12 ] && echo yes)" yes

run tcpwhy sock --help
lacking=
for option in $(echo "$out" | grep -Eo '^  (-., |    )--[a-z0-9-]*' | grep -o -- '--.*'); do
	case $option in
	--help | --version) continue ;;
	esac
	grep -q "Fl $(echo "$option" | sed 's/^-//; s/-/\\\\-/g')" "$page" || lacking="$lacking $option"
done
tap_equal "every option is in the man page" "$lacking" ""
tap_has "there are options" '--pause-accept'

# ---- a link-local address without its device
for arguments in 'fe80::1 80' '-s fe80::1 80' '-l fe80::1 ::1 80'; do
	# shellcheck disable=SC2086 # words
	run tcpwhy sock $arguments
	tap_equal "sock $arguments: refused by the kernel" "$status" 1
	tap_has "sock $arguments: what that means" '^means +a link-local address means something only with its device:'
	tap_has "sock $arguments: what helps" '^ +ADDRESS%IF, or --device IF'
done

# ---- wrong arguments
usage() # NAMED ARGUMENTS...
{
	named=$1
	shift
	run tcpwhy sock "$@"
	tap_equal "sock $*: usage" "$status" 2
	tap_has "sock $*: names $named" "$named"
}
usage 'ADDRESS PORT is missing'
usage 'PORT is missing' -s
usage "'1.2.3.4'" 1.2.3.4
usage 'too many' 127.0.0.1 80 90
usage "'90'" 127.0.0.1 80 90
usage "'90' is one argument too many: '127\.0\.0\.1:80' has a port" 127.0.0.1:80 90
usage "'90' is one argument too many: '\[::1\]:80' has a port" '[::1]:80' 90
usage "'foo:80 90' has no numeric address" foo:80 90
usage "'::1 65536' has no port" ::1 65536
usage 300.1.1.1 300.1.1.1 80
usage localhost localhost 80
usage 65536 127.0.0.1 65536
usage "'\[::1:80'" '[::1:80'
usage frobnicate --frobnicate 127.0.0.1 80
usage "'-z'" -z 127.0.0.1 80
usage "'-b'" 127.0.0.1 80 -b
usage 65536 -b 65536 127.0.0.1 80
usage backlog -s -q -1 80
usage "'1h'" -s -O 1h 80
usage "'90000s'" -P 90000s 127.0.0.1 80
usage linger -L x 127.0.0.1 80
usage write-size -i -w 0 127.0.0.1 80
usage keep --keep 127.0.0.1 80
usage pause-accept -O 1 127.0.0.1 80
usage backlog -q 1 127.0.0.1 80
usage 'port is a client' -s -b 80 80
usage 'local is a client' -s -l 127.0.0.1 80
usage 'no-port' -s --no-port 80
usage 'no-port' --no-port 127.0.0.1 80
usage 'no-port' --no-port -b 5 127.0.0.1 80
usage 'both name a port' -b 5 -l 127.0.0.1:6 127.0.0.1 80
usage 'different families' -l ::1 127.0.0.1 80
usage x.y -l x.y 127.0.0.1 80
usage v6only -s --v6only 127.0.0.1 80
usage count -n 5 127.0.0.1 80
usage read-size -i -r 5 127.0.0.1 80
usage pause-each -p 5 127.0.0.1 80
usage half-close -s -i -h 80
usage 'both name a namespace' --netns x --pid 1 127.0.0.1 80
usage netns --netns '' 127.0.0.1 80
usage 'sixteen-letters-' --device sixteen-letters- 127.0.0.1 80
usage 'two devices' --device lo 'fe80::1%eth0' 80
tap_status "no such namespace" 3 tcpwhy sock --netns no-such-namespace 127.0.0.1 80
tap_has "it is named" no-such-namespace
tap_status "--version" 0 tcpwhy sock --version

# ---- options, each seen in what the kernel or -v says
talk() # NAME SERVER-OPTIONS CLIENT-OPTIONS: one connection on port 8100; the client's input is $input
{
	for terminal in 1 2; do
		: >"$dir/got.$terminal"
	done
	terminal_do 1 "\$ tcpwhy sock -v -s $2 8100"
	tap_await said 1 LISTEN || true
	run timeout 60 sh -c "printf '%s' '${input:-}' | tcpwhy sock -v $3 8100"
	client=$status said=$out
	terminal_wait 1
	out="$said
$(cat "$dir/got.1")"
	tap_equal "$1: both end with 0" "$client $ended" "0 0"
}
input=
talk "IPv6" '::' '::1'
tap_has "IPv6: the ends" '\[::1\]:8100 -> \[::1\]:'
talk "an IPv4 client of an IPv6 server" '::' '127.0.0.1'
tap_has "it is mapped" '\[::ffff:127.0.0.1\]:8100 -> '
talk "options" '-A -T -N -R 4096 -S 4096 --freebind -q 3 127.0.0.1' '--device lo -L 5 127.0.0.1'
for call in 'SO_REUSEADDR, 1' 'SO_REUSEPORT, 1' 'TCP_NODELAY, 1' 'SO_RCVBUF, 4096' 'SO_SNDBUF, 4096' 'IP_FREEBIND, 1' \
	'SO_BINDTODEVICE, lo' 'SO_LINGER, \{1, 5\}'; do
	tap_has "setsockopt($call)" "setsockopt\($call\) = 0"
done
tap_has "the backlog" 'accept queue 0, backlog 3'
talk "--v6only" '--v6only ::1' '-l ::1 ::1'
tap_has "it is set" 'IPV6_V6ONLY, 1\) = 0'
talk "--local with a port" 127.0.0.1 '-l 127.0.0.3:5005 127.0.0.1'
tap_has "both were bound" 'ESTABLISHED  127.0.0.3:5005 -> 127.0.0.1:8100'
talk "--port and --local" 127.0.0.1 '-b 5006 -l 127.0.0.4 127.0.0.1'
tap_has "both were bound, too" 'ESTABLISHED  127.0.0.4:5006 -> 127.0.0.1:8100'
talk "--bulk" '-i -r 7 -p 1 127.0.0.1' '-i -n 3 -w 10 -p 1 -h 127.0.0.1'
tap_has "all was sent" '30 bytes were sent'
tap_has "all came" '30 bytes came'
tap_has "it was read in small pieces" 'read\(5, 7\) = 7$'
input=hello
talk "pauses" '-O 30 -P 20ms -Q 10 127.0.0.1' '127.0.0.1'
tap_has "before accept()" 'pause of 0.03 s'
tap_has "before the first read" 'pause of 0.02 s'
tap_has "before close()" 'pause of 0.01 s'
tap_has "the data came" '^hello'

# ---- data: binary, more than any buffer, both ways at once
head -c 3000000 /dev/urandom >"$dir/up"
head -c 2000000 /dev/urandom >"$dir/down"
tcpwhy sock -s -h 127.0.0.1 8101 <"$dir/down" >"$dir/up.came" &
server=$!
tap_await listens 8101
run sh -c "tcpwhy sock -h 127.0.0.1:8101 <'$dir/up' >'$dir/down.came'"
tap_equal "the client is done" "$status" 0
status=0
wait "$server" || status=$?
tap_equal "so is the server" "$status" 0
tap_equal "what went up is what came" "$(cksum <"$dir/up.came")" "$(cksum <"$dir/up")"
tap_equal "what went down is what came" "$(cksum <"$dir/down.came")" "$(cksum <"$dir/down")"

# ---- what fails
tap_status "nobody listens" 1 tcpwhy sock 127.0.0.1 8102
tap_has "ECONNREFUSED" '^FAILED    connect\(127.0.0.1:8102\) = -1 ECONNREFUSED$'
tap_status "no route" 1 tcpwhy sock 192.0.2.1 80
tap_has "the question" '^ask       tcpwhy connect 192.0.2.1:80$'
tap_status "no such device" 1 tcpwhy sock --device none 127.0.0.1 80
tap_has "ENODEV" 'SO_BINDTODEVICE, none\) = -1 ENODEV$'
tap_status "not our address" 1 tcpwhy sock -s --v6only 2001:db8::1 80
tap_has "the question is quoted for a shell" "^ask       tcpwhy bind '\\[2001:db8::1\\]:80' --v6only\$"
tap_status "the question is a command" 1 sh -c "$(echo "$out" | sed -n 's/^ask *//p')"
tap_has "which gives the same answer" 'EADDRNOTAVAIL'
sysctl -qw net.ipv4.ip_local_port_range='61000 61001'
terminal_do 1 '$ tcpwhy sock -s -O enter 8103'
tap_await listens 8103
: >"$dir/got.2" >"$dir/got.3"
terminal_do 2 '$ tcpwhy sock -v -l 127.0.0.1:61000 -A 127.0.0.1 8103'
tap_await said 2 ESTABLISHED
tap_status "the same four again" 1 tcpwhy sock -A -l 127.0.0.1:61000 127.0.0.1 8103
tap_has "at which call" '^FAILED    (bind|connect)'
question=$(echo "$out" | sed -n 's/^ask *//p')
tap_status "$question" 1 sh -c "$question"
terminal_do 2 '^C'
terminal_wait 2
tap_equal "Ctrl-C on a connection is 0" "$ended" 0
terminal_do 1 '^C'
terminal_wait 1
tap_equal "Ctrl-C on a listener is 0" "$ended" 0
terminal_do 1 '$ tcpwhy sock -s -q 0 -O enter 8104'
tap_await listens 8104
terminal_do 2 '$ tcpwhy sock -v 127.0.0.1 8104'
tap_await said 2 '8104$'
terminal_do 3 '$ tcpwhy sock -v 127.0.0.1 8104'
tap_await said 3 'SYN sent again' || true
terminal_do 3 '^C'
terminal_wait 3
tap_equal "Ctrl-C on a connect() that waits is 1" "$ended" 1
out=$(cat "$dir/got.3")
tap_has "and told" 'connect\(127.0.0.1:8104\) = -1 EINTR'
terminal_do 1 '^C'
terminal_wait 1
terminal_wait 2
sysctl -qw net.ipv4.ip_local_port_range='32768 60999'

# ---- servers: one client after the other; a port that the kernel chose; nowhere to write to
: >"$dir/got.1" >"$dir/got.2"
terminal_do 1 '$ tcpwhy sock -v -s -i --keep 127.0.0.1 8105'
tap_await said 1 LISTEN
for client in 1 2 3; do
	run tcpwhy sock -i -n 1 -w "$client" 127.0.0.1 8105
done
tap_equal "three clients were served" "$(tap_await said 1 '3 bytes came'; grep -c 'accept(' "$dir/got.1")" 3
terminal_do 1 '^C'
terminal_wait 1
terminal_do 2 '$ tcpwhy sock -v -s 0'
tap_await said 2 LISTEN
out=$(cat "$dir/got.2")
tap_has "port 0: the kernel's choice is shown" 'CLOSE  0.0.0.0:[1-9]'
terminal_do 2 '^C'
terminal_wait 2
terminal_do 1 '$ tcpwhy sock -s 127.0.0.1 8106'
tap_await listens 8106
terminal_do 1 '< to nobody'
mkfifo "$dir/silent"
tap_status "standard output is full" 3 sh -c "tcpwhy sock 127.0.0.1 8106 <>'$dir/silent' >/dev/full"
tap_has "it is said" 'standard output: No space left'
terminal_wait 1

# ---- another namespace, without leaving ours
if [ "$TAP_ROOT" = 1 ]; then
	ip netns add other
	ip -n other link set lo up
	: >"$dir/got.1"
	terminal_do 1 '$ tcpwhy sock -v -s --netns other 127.0.0.1 8107'
	tap_await said 1 LISTEN
	tap_status "here nobody listens" 1 tcpwhy sock 127.0.0.1 8107
	tap_status "there somebody does" 0 tcpwhy sock --netns other 127.0.0.1 8107
	terminal_wait 1
	tap_equal "the server is done" "$ended" 0
	tap_status "a failure there" 1 tcpwhy sock --netns other -A -l 10.9.9.9 127.0.0.1 8107
	tap_has "the question asks there" '^ask       tcpwhy bind 10.9.9.9:0 --no-listen --reuseaddr --netns other$'
	ip netns del other
else
	tap_skip "another namespace" "only root can name one"
fi

tap_done
