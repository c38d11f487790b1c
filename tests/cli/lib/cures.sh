# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2086,SC2154,SC1007 # $in and $place are words; status and dir are tap.sh's
#
# cures.sh - every cure that comes with a command, typed as it was printed
#
# A scene is a network namespace in which a call fails. The question is asked, the command is taken out of its
# JSON and typed: the call then works, the question is answered "ok", the change is undone as the answer of the
# command prints it, and the call fails as before. A cure that says "from now on" is tried on what comes after.
# Only the words that stand for the reader's own are replaced: CMD, by a program of the scene, and CGROUP.
#
# At the end the cures of the sources are held against those that were met here, and each form of command that
# was met against those that were typed: a new cure, or a new form, fails until it has a scene.

if [ "$TAP_ROOT" = 0 ]; then
	echo "# skip: without root timestamps and bind buckets are not seen, and some cures not offered"
	echo "1..0 # SKIP without root some cures are not offered"
	exit 0
fi
for tool in jq setpriv; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }
done

tap_folder cures
bin=$(cd "$(dirname "$TCPWHY")" && pwd)
# Where the scenes' program was built: beside the command, or with the sanitizers.
export PATH="$bin:$bin/examples:$bin/san/examples:$PATH"
# /run is this script's own; a journal under it too.
unset XDG_RUNTIME_DIR
chmod 755 "$dir"
cgroup=
made=0

# A cgroup goes only when it is empty, and takes a moment to be.
clean_up()
{
	[ -z "$cgroup" ] || [ ! -d "$cgroup" ] || tap_await rmdir "$cgroup" || true
}

# ------------------------------------------------------------------------------------------------ the scene

# scene WHERE: a new network namespace. Where the question is asked: "own" in it, "netns" and "pid" from outside.
scene()
{
	where=$1
	made=$((made + 1))
	ns=scene$made
	ip netns add $ns
	in="nsenter --net=/run/netns/$ns"
	$in ip link set lo up
	$in sysctl -qw net.ipv4.tcp_tw_reuse=0 net.ipv4.ip_local_port_range="40000 40003"
	ask_in= place=
	case $where in
	own) ask_in=$in ;;
	netns) place="--netns $ns" ;;
	pid)
		hold keeper$made sh -c 'echo ready $$; cat'
		place="--pid $(sed 's/ready //' "$dir/keeper$made")"
		;;
	esac
}

# hold NAME COMMAND...: in the scene, until its input, kept open by a writer of its own, ends.
# A minute at most.
hold()
{
	name=$1
	shift
	mkfifo "$dir/$name.in"
	sleep 600 >"$dir/$name.in" &
	started="$started $!"
	echo "$!" >"$dir/$name.writer"
	timeout 60 $in "$@" <"$dir/$name.in" >"$dir/$name" 2>&1 &
	started="$started $!"
	echo "$!" >"$dir/$name.pid"
	tap_await grep -q ready "$dir/$name" || tap_equal "$name began" "$(cat "$dir/$name")" ready
}

let_go() # NAME
{
	kill "$(cat "$dir/$1.writer")"
	wait "$(cat "$dir/$1.pid")" || true
	rm "$dir/$1.in" "$dir/$1"
}

set_range()
{
	$in sysctl -qw net.ipv4.ip_local_port_range="$*"
}

sysctl_is() # NAME VALUE
{
	tap_equal "$where: $1 is $2" "$($in cat "/proc/sys/net/$1" | tr '\t' ' ')" "$2"
}

# What the kernel says to a program in the scene.
fails()
{
	run $in "$@"
	tap_equal "$where, $text: the call fails" "$([ "$status" = 1 ] && echo fails)" fails
}

works()
{
	run $in "$@"
	tap_equal "$where, $text: the call works" "$status" 0
}

# ------------------------------------------------------------------------------------ questions and commands

# A command without what depends on the scene: its words and options.
form()
{
	sed -E "s/'[^']*'/V/g; s/(--(netns|pid|cgroup|device|from|to|port)) [^ ]+/\1 V/g; s/=[^ ]+/=V/g
		s/=( |\$)/=V\1/g; s/ [^ =]*[0-9][^ =]*( |\$)/ V\1/g"
}

# Asks in the scene; the answer is $dir/answer. Every cure in it is noted as met.
ask() # bind|connect|doctor QUESTION...
{
	call=$1
	shift
	$ask_in tcpwhy "$call" $place "$@" --json >"$dir/answer" 2>"$dir/err" || true
	jq -r '(.cures // [.findings[].cures[]])[] | select(.command == null).id' "$dir/answer" |
		sed "s/\$/ $call/" >>"$dir/met"
	jq -r '(.cures // [.findings[].cures[]])[] | select(.command) | .id + "\t" + .command' "$dir/answer" |
		while IFS='	' read -r id met; do
			echo "$id $call"
			echo "$id $call $(echo "$met" | form)" >>"$dir/forms"
		done >>"$dir/met"
	jq -r '.no_help[]? | .what + " " + .because' "$dir/answer" >>"$dir/no-help"
}

# says WORD QUESTION...: ok, refused or depends; of doctor: ok, or the rule of its worst finding
says()
{
	word=$1
	shift
	ask "$@"
	tap_equal "$where, $text: the answer is $word" \
		"$(jq -r '.answer // .findings[0].rule // "ok"' "$dir/answer")" "$word"
}

# The command of a cure of the last answer; "" if it has none.
command_of() # ID
{
	jq -r --arg id "$1" 'first((.cures // [.findings[].cures[]])[] | select(.id == $id)) | .command // ""' "$dir/answer"
}

# type_it COMMAND [PROGRAM]: by a shell, where the question was asked. What is printed to undo it is kept.
type_it()
{
	id_of=$taken
	echo "$id_of $call $(echo "$1" | form)" >>"$dir/typed"
	case $1 in
	*' CMD') [ -n "${2:-}" ] && line=${1%CMD}$2 ;;
	*) line=$1 ;;
	esac
	line=$(echo "$line" | sed "s#--cgroup CGROUP #--cgroup $cgroup #")
	run $ask_in sh -c "$line"
	echo "$out" | sed -n 's/^undo *//p' >>"$dir/undo"
}

# The cure ID of the last answer is typed; $taken and $command say what it was.
take() # ID [PROGRAM]
{
	taken=$1
	command=$(command_of "$1")
	tap_equal "$where, $text: $1 has a command" "$([ -n "$command" ] && echo yes)" yes
	[ -n "$command" ] || return 0
	type_it "$command" "${2:-}"
	tap_equal "$where, $text: typed, it works: $command" "$status" 0
}

# Each change, the last one first, by what its own answer said.
undo()
{
	tac "$dir/undo" >"$dir/undoing"
	: >"$dir/undo"
	tap_equal "$where, $text: there is something to undo" "$([ -s "$dir/undoing" ] && echo yes)" yes
	while read -r line; do
			run $ask_in sh -c "$line"
		tap_equal "$where, $text: $line" "$status" 0
	done <"$dir/undoing"
}

# In the scene, and from where the command is typed: what stands for CMD.
program() # PROGRAM...
{
	[ "$where" = own ] && echo "$*" || echo "$in $*"
}

# cured ID QUESTION... -- CALL...: a sysctl, or whatever else is undone, and the call that fails without it
cured()
{
	cured_id=$1
	shift
	question=
	while [ "$1" != -- ]; do
		question="$question $1"
		shift
	done
	shift
	fails "$@"
	says refused $question
	rule=$(jq -r .rule "$dir/answer")
	take "$cured_id"
	works "$@"
	says ok $question
	undo
	fails "$@"
	says refused $question
	tap_equal "$where, $text: by the same rule" "$(jq -r .rule "$dir/answer")" "$rule"
}

# ---------------------------------------------------------------------------------------- bind() to a port

destroy_bind() # ADDR:PORT
{
	text="TIME_WAIT on $1"
	$in restart serve "$1" 2 >"$dir/out"
	fails restart start "$1"
	says refused bind "$1"
	take destroy-time-wait
	tap_equal "$where, $text: which is not to be undone" "$(wc -l <"$dir/undo")" 0
	says ok bind "$1"
	works restart start "$1"
}

reuseaddr_new()
{
	text="the old server had SO_REUSEADDR"
	$in restart -r serve 127.0.0.1:8001 1 >"$dir/out"
	fails restart start 127.0.0.1:8001
	says refused bind 127.0.0.1:8001
	take reuseaddr-both "$(program restart start 127.0.0.1:8001)"
	says ok bind 127.0.0.1:8001 --reuseaddr
	fails restart start 127.0.0.1:8001
}

# Without it the TIME_WAIT that the first life left keeps the second from the port.
reuseaddr_both()
{
	text="no server had SO_REUSEADDR"
	$in restart serve 127.0.0.1:8002 1 >"$dir/out"
	says refused bind 127.0.0.1:8002
	late=$(command_of reuseaddr-both)
	take destroy-time-wait
	says ok bind 127.0.0.1:8002
	taken=reuseaddr-both
	type_it "$late" "$(program restart serve 127.0.0.1:8002 1)"
	tap_equal "$where, $text: its first life under the command" "$status" 0
	fails restart start 127.0.0.1:8002
	type_it "$late" "$(program restart start 127.0.0.1:8002)"
	tap_equal "$where, $text: its second life under the command" "$status" 0
}

reuseaddr_living()
{
	text="a living server"
	hold living restart hold 127.0.0.1:8003
	fails restart -r start 127.0.0.1:8003
	says refused bind 127.0.0.1:8003 --reuseaddr
	take reuseaddr-both
	let_go living
	works restart -r start 127.0.0.1:8003
	# The option goes with the sockets: what is closed has nothing to undo.
	: >"$dir/undo"
	hold living restart hold 127.0.0.1:8004
	says refused bind 127.0.0.1:8004
	take reuseaddr-both
	undo
	let_go living
	fails restart -r start 127.0.0.1:8004
}

# The listener is gone, a connection lives: typed, the next start works beside it.
reuseaddr_connection()
{
	text="a connection that outlived its listener"
	hold worker restart worker 127.0.0.1:8005
	fails restart start 127.0.0.1:8005
	says refused bind 127.0.0.1:8005
	take reuseaddr-both "$(program restart start 127.0.0.1:8005)"
	says ok bind 127.0.0.1:8005 --reuseaddr
	undo
	fails restart -r start 127.0.0.1:8005
	says refused bind 127.0.0.1:8005 --reuseaddr
	let_go worker
}

reuseport()
{
	text="a listener with SO_REUSEPORT"
	hold shared tcpwhy run --reuseport -- restart hold 127.0.0.1:8006
	fails restart start 127.0.0.1:8006
	says refused bind 127.0.0.1:8006
	take reuseport-both "$(program restart start 127.0.0.1:8006)"
	says ok bind 127.0.0.1:8006 --reuseport
	fails restart start 127.0.0.1:8006
	let_go shared
}

reuseport_both()
{
	text="a listener without SO_REUSEPORT"
	hold alone restart hold 127.0.0.1:8007
	says refused bind 127.0.0.1:8007
	late=$(command_of reuseport-both)
	let_go alone
	tcpwhy fix destroy-time-wait --netns $ns 127.0.0.1:8007 >"$dir/out"
	hold alone ${late%CMD} restart hold 127.0.0.1:8007
	taken=reuseport-both
	type_it "$late" "$(program restart start 127.0.0.1:8007)"
	tap_equal "$where, $text: a second one, both under the command" "$status" 0
	let_go alone
}

orphans()
{
	text="an orphan in FIN_WAIT2"
	hold silent restart orphan 127.0.0.1:8008
	fails restart start 127.0.0.1:8008
	says refused bind 127.0.0.1:8008
	take fin-timeout
	let_go silent
	hold silent restart orphan 127.0.0.1:8009
	# Three seconds for what otherwise takes sixty: the kernel's timer is a coarse one.
	tries=0
	until $in restart start 127.0.0.1:8009 >"$dir/out" 2>&1 || [ $tries = 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	tap_equal "$where, $text: the next one has gone" "$([ $tries -lt 100 ] && echo gone)" gone
	let_go silent
	undo
	hold silent restart orphan 127.0.0.1:8010
	says refused bind 127.0.0.1:8010
	tap_equal "$where, $text: and without it stays" "$(jq '.blockers[0].expires_s > 30' "$dir/answer")" true
	let_go silent
}

# Two ports, and the service's is one of them: with the cure connect() takes the other, as often as it is asked.
reserved()
{
	text="a port that connect() took"
	set_range 40000 40001
	$in sysctl -qw net.ipv4.ip_local_reserved_ports=8000-8001,9
	hold server outgoing serve 127.0.0.1:7001 127.0.0.1:7002
	hold client outgoing -k connect 127.0.0.1:7001 2
	fails restart start 0.0.0.0:40001
	says refused bind 0.0.0.0:40001
	take reserve-port
	sysctl_is ipv4/ip_local_reserved_ports 9,8000-8001,40001
	let_go client
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	hold client outgoing -k connect 127.0.0.1:7001 2
	tap_equal "$where, $text: connect() leaves it alone" "$(sort "$dir/client" | xargs)" "EADDRNOTAVAIL connect port 40000 ready"
	works restart start 127.0.0.1:40001
	says ok bind 0.0.0.0:40001
	undo
	sysctl_is ipv4/ip_local_reserved_ports 9,8000-8001
	let_go client
	let_go server
}

low_port()
{
	text="a port below 1024"
	nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
	if ! $nobody test -x "$bin/tcpwhy" || ! $nobody test -x "$(command -v restart)"; then
		tap_skip "$text" "the build cannot be read by others"
		return
	fi
	cured unprivileged-port-start bind 127.0.0.1:80 --uid 65534 -- $nobody restart start 127.0.0.1:80
}

not_local()
{
	text="an address that is not there"
	cured nonlocal-bind bind 198.51.100.7:8080 -- restart start 198.51.100.7:8080
	text="an IPv6 address that is not there"
	cured nonlocal-bind bind '[2001:db8::7]:8080' -- restart start '[2001:db8::7]:8080'
}

# --------------------------------------------------------------------------------------- bind() to port 0

bind0()
{
	text="bind(0) on a range that is held"
	set_range 41000 41003
	hold server outgoing serve 127.0.0.1:7001
	hold held outgoing -k -r -b -f 127.0.0.1 connect 127.0.0.1:7001 4
	cured widen-range bind 127.0.0.1:0 -- restart start 127.0.0.1:0
	cured autobind-reuse bind 127.0.0.1:0 --reuseaddr --no-listen -- restart -r start 127.0.0.1:0
	says refused bind 127.0.0.1:0 --no-listen
	if [ "$where" = own ]; then
		take autobind-reuse "restart start 127.0.0.1:0"
		says ok bind 127.0.0.1:0 --no-listen --reuseaddr
		undo
	else
		tap_equal "$where, $text: prepared sockets are of the namespace one is in" "$(command_of autobind-reuse)" ""
	fi
	says refused bind 127.0.0.1:0
	if [ "$where" = own ]; then
		take lease-port "restart start 127.0.0.1:0"
		take lease-port "restart start 127.0.0.1:0"
	else
		tap_equal "$where, $text: a pool is of the namespace one is in" "$(command_of lease-port)" ""
	fi
	fails restart start 127.0.0.1:0
	let_go held
	let_go server
}

# ------------------------------------------------------------------------------------------------ connect()

# The server's end of a connection from that port is gone.
is_closed() # PORT
{
	! $in ss -Htan dport = "$1" | grep -q .
}

destroy_connect()
{
	text="TIME_WAIT on every port"
	hold server outgoing serve "$1" "${1%1}2"
	$in outgoing connect "$1" 4 >"$dir/out"
	fails outgoing connect "$1" 1
	says refused connect "$1"
	take destroy-time-wait
	says ok connect "$1"
	works outgoing connect "$1" 1
	text="two TIME_WAIT of the same ends"
	$in tcpwhy sock -A --device lo -b 5004 "${1%1}2" </dev/null >"$dir/out"
	tap_await is_closed 5004
	$in tcpwhy sock -A -b 5004 "${1%1}2" </dev/null >"$dir/out"
	tap_equal "$where, $text: both are there" "$($in ss -Htan state time-wait sport = 5004 | wc -l)" 2
	run $in tcpwhy fix destroy-time-wait --to "${1%1}2"
	tap_equal "$where, $text: both are destroyed" "$status" 0
	text="TIME_WAIT on the port that is bound before"
	$in sysctl -qw net.ipv4.tcp_timestamps=0
	from=${1%:*}:5003
	$in outgoing -r -f "$from" connect "${1%1}2" 1 >"$dir/out"
	fails outgoing -r -f "$from" connect "${1%1}2" 1
	says refused connect "${1%1}2" --from "$from" --reuseaddr
	take destroy-time-wait
	says ok connect "${1%1}2" --from "$from" --reuseaddr
	works outgoing -r -f "$from" connect "${1%1}2" 1
	let_go server
}

# A second after the connection closed its port comes back; without the cure sixty.
comes_back()
{
	tries=0
	until $in outgoing connect 127.0.0.1:7001 1 >"$dir/out" 2>&1 || [ $tries = 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	tap_equal "$where, $text: a port has come back" "$([ $tries -lt 100 ] && echo back)" back
}

tw_reuse()
{
	text="TIME_WAIT that had timestamps"
	hold server outgoing serve 127.0.0.1:7001
	$in outgoing connect 127.0.0.1:7001 4 >"$dir/out"
	fails outgoing connect 127.0.0.1:7001 1
	says refused connect 127.0.0.1:7001
	take tw-reuse
	comes_back
	undo
	sysctl_is ipv4/tcp_tw_reuse 0
	fails outgoing connect 127.0.0.1:7001 1
	says refused connect 127.0.0.1:7001
	let_go server
}

# timestamps REUSE: with and without a second command
timestamps()
{
	text="TIME_WAIT without timestamps, and tcp_tw_reuse=$1"
	$in sysctl -qw net.ipv4.tcp_timestamps=0 net.ipv4.tcp_tw_reuse="$1"
	hold server outgoing serve 127.0.0.1:7001
	$in outgoing connect 127.0.0.1:7001 4 >"$dir/out"
	fails outgoing connect 127.0.0.1:7001 1
	says refused connect 127.0.0.1:7001
	take timestamps-on
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	$in outgoing connect 127.0.0.1:7001 4 >"$dir/out"
	comes_back
	undo
	sysctl_is ipv4/tcp_timestamps 0
	sysctl_is ipv4/tcp_tw_reuse "$1"
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	$in outgoing connect 127.0.0.1:7001 4 >"$dir/out"
	fails outgoing connect 127.0.0.1:7001 1
	says refused connect 127.0.0.1:7001
	let_go server
}

# They were closed when timestamps were off here; now only the other side can be told.
timestamps_there()
{
	text="TIME_WAIT without timestamps, which are on again"
	$in sysctl -qw net.ipv4.tcp_timestamps=0
	hold server outgoing serve 127.0.0.1:7001
	$in outgoing connect 127.0.0.1:7001 4 >"$dir/out"
	$in sysctl -qw net.ipv4.tcp_timestamps=1
	says refused connect 127.0.0.1:7001
	tap_equal "$where, $text: no command is for the other side" "$(command_of timestamps-on)" ""
	let_go server
}

more_ports()
{
	text="living connections on every port"
	hold server outgoing serve 127.0.0.1:7001
	hold four outgoing -k connect 127.0.0.1:7001 4
	cured widen-range connect 127.0.0.1:7001 -- outgoing connect 127.0.0.1:7001 1
	sysctl_is ipv4/ip_local_port_range "40000 40003"
	let_go four
	let_go server
}

# Under the command bind() owns no port, so other destinations find one.
no_port()
{
	text="bind() before connect() on every port"
	hold server outgoing serve 127.0.0.1:7001 127.0.0.1:7002
	hold four outgoing -k -b -f 127.0.0.1 connect 127.0.0.1:7001 4
	fails outgoing connect 127.0.0.1:7002 1
	says refused connect 127.0.0.1:7002
	late=$(command_of bind-address-no-port)
	let_go four
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	taken=bind-address-no-port
	type_it "$late" "$(program outgoing -b -f 127.0.0.1 connect 127.0.0.1:7001 4)"
	tap_equal "$where, $text: the program under the command" "$status" 0
	works outgoing connect 127.0.0.1:7002 1
	says ok connect 127.0.0.1:7002
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7002 >"$dir/out"
	hold four outgoing -k -b -f 127.0.0.1 connect 127.0.0.1:7001 4
	fails outgoing connect 127.0.0.1:7002 1
	let_go four
	let_go server
}

# The turn goes round: connections of the cgroup come from every address.
more_sources()
{
	text="a second address"
	$in ip addr add 10.9.0.1/24 dev lo
	$in ip addr add 10.9.0.2/24 dev lo
	hold server outgoing serve 10.9.0.1:7001
	hold four outgoing -k connect 10.9.0.1:7001 4
	fails outgoing connect 10.9.0.1:7001 1
	says refused connect 10.9.0.1:7001
	mount=$(awk '/ - cgroup2 / && $4 == "/" { print $5; exit }' /proc/self/mountinfo)
	cgroup=$mount/tcpwhy-cures-test.$$.$made
	if [ -z "$mount" ] || ! mkdir "$cgroup" 2>/dev/null; then
		tap_skip "$where, $text" "no cgroup can be made"
		taken=more-sources
		echo "$taken $call $(command_of $taken | form)" >>"$dir/typed"
		cgroup=
	else
		take more-sources
		inside="sh -c 'echo \$\$ >$cgroup/cgroup.procs && exec \"\$@\"' -"
		works sh -c "$inside outgoing connect 10.9.0.1:7001 1"
		undo
		fails sh -c "$inside outgoing connect 10.9.0.1:7001 1"
		tap_await rmdir "$cgroup"
		cgroup=
	fi
	let_go four
	let_go server
}

# -------------------------------------------------------------------------------------------- the overview

# found RULE ID PROGRAM...: the finding is there, its command is typed, and it is gone; undone, it is back
found()
{
	found_rule=$1 found_id=$2
	shift 2
	says "$found_rule" doctor
	take "$found_id"
	says "$*" doctor
	undo
	says "$found_rule" doctor
}

overview_range()
{
	text="a range of three"
	set_range 43000 43002
	found doctor.odd-range widen-range ok
	set_range 65531 65535
	found doctor.odd-range widen-range ok
	text="two listeners in the range"
	set_range 43000 43003
	$in sysctl -qw net.ipv4.ip_local_reserved_ports=42500
	hold two outgoing serve 127.0.0.1:43001 127.0.0.1:43002
	found doctor.listener-in-ephemeral-range reserve-port ok
	sysctl_is ipv4/ip_local_reserved_ports 42500
	let_go two
}

overview_exhausted()
{
	text="a destination without a port"
	set_range 32768 32769
	hold server outgoing serve 127.0.0.1:7001
	$in outgoing connect 127.0.0.1:7001 2 >"$dir/out"
	fails outgoing connect 127.0.0.1:7001 1
	says doctor.destination-exhausted doctor
	take destroy-time-wait
	works outgoing connect 127.0.0.1:7001 1
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	hold two outgoing -k connect 127.0.0.1:7001 2
	found doctor.destination-exhausted widen-range ok
	let_go two
	let_go server
}

overview_owned()
{
	text="bind() owns the range"
	hold server outgoing serve 127.0.0.1:7001 127.0.0.1:7002
	hold four outgoing -k -b -f 127.0.0.1 connect 127.0.0.1:7001 4
	fails outgoing connect 127.0.0.1:7002 1
	says doctor.bind-owns-the-range doctor
	late=$(jq -r '.findings[0].cures[0].command' "$dir/answer")
	let_go four
	tcpwhy fix destroy-time-wait --netns $ns --to 127.0.0.1:7001 >"$dir/out"
	taken=bind-address-no-port
	type_it "$late" "$(program outgoing -b -f 127.0.0.1 connect 127.0.0.1:7001 3)"
	tap_equal "$where, $text: typed, it works" "$status" 0
	works outgoing connect 127.0.0.1:7002 1
	let_go server
}

overview_bind0()
{
	text="bind(0) finds no port"
	hold server outgoing serve 127.0.0.1:7001
	hold held outgoing -k -f 127.0.0.1 connect 127.0.0.1:7001 4
	fails restart start 127.0.0.1:0
	ask doctor
	late=$(jq -r '.findings[] | select(.rule == "doctor.bind0-exhausted").cures[] | select(.id == "lease-port").command // ""' \
		"$dir/answer")
	if [ "$where" = own ]; then
		taken=lease-port
		type_it "$late" "restart start 127.0.0.1:0"
		tap_equal "$where, $text: typed, it works" "$status" 0
	else
		tap_equal "$where, $text: a pool is of the namespace one is in" "$late" ""
	fi
	fails restart start 127.0.0.1:0
	let_go held
	let_go server
}

# --------------------------------------------------------------------------------------- cures without a command

words_only()
{
	text="cures in words"
	$in restart serve 127.0.0.1:8020 1 >"$dir/out"
	ask bind 127.0.0.1:8020
	hold living restart hold 127.0.0.1:8021
	ask bind '[::]:8021'
	ask bind '[::ffff:127.0.0.1]:8022' --v6only
	ask bind 127.0.0.1:81 --uid 65534
	$in ip link add dev0 type veth peer name dev1
	$in ip addr add fe80::5/64 dev dev0 nodad
	$in ip link set dev0 up
	$in ip link set dev1 up
	ask bind '[fe80::5]:8023'
	let_go living
	hold server outgoing serve 127.0.0.1:7001
	$in outgoing connect 127.0.0.1:7001 3 >"$dir/out"
	$in sysctl -qw net.ipv4.ip_local_reserved_ports=40000-40003
	ask connect 127.0.0.1:7001
	ask doctor
	$in sysctl -qw net.ipv4.ip_local_reserved_ports=
	hold one outgoing -r -k -f 127.0.0.1:5009 connect 127.0.0.1:7001 1
	ask connect 127.0.0.1:7001 --from 127.0.0.1:5009 --reuseaddr
	set_range 40100 40119
	hold many outgoing -k connect 127.0.0.1:7001 19
	ask doctor
	let_go many
	let_go one
	let_go server
}

# ----------------------------------------------------------------------------------------------------- the round

every_scene() # own|netns|pid
{
	scene "$1"
	destroy_bind 127.0.0.1:8000
	destroy_bind '[::1]:8000'
	reuseaddr_new
	reuseaddr_both
	reuseaddr_living
	reuseaddr_connection
	reuseport
	reuseport_both
	orphans
	low_port
	not_local
	reserved
	scene "$1"
	bind0
	scene "$1"
	destroy_connect 127.0.0.1:7001
	scene "$1"
	destroy_connect '[::1]:7001'
	scene "$1"
	tw_reuse
	for reuse in 0 1; do
		scene "$1"
		timestamps $reuse
	done
	scene "$1"
	timestamps_there
	scene "$1"
	more_ports
	scene "$1"
	no_port
	scene "$1"
	more_sources
	scene "$1"
	overview_range
	overview_exhausted
	scene "$1"
	overview_owned
	scene "$1"
	overview_bind0
	scene "$1"
	words_only
}

nothing_is_left_out()
{
	# The sources name each cure where its table or finding is; a file that is not known here has no scenes.
	for file in src/explain/*.c; do
		case $file in
		*/cures.c) of=bind ;;
		*/connect_cures.c) of=connect ;;
		*/overview.c) of=doctor ;;
		*) of=$file ;;
		esac
		tr '\n\t' '  ' <"$file" | grep -o '"[a-z0-9-]*", *CURE_[A-Z]' | sed "s|^\"\\([^\"]*\\).*|\\1 $of|"
	done | sort -u >"$dir/known"
	text="the round"
	tap_equal "cures of the sources" "$([ "$(wc -l <"$dir/known")" -gt 20 ] && echo many)" many
	tap_equal "each was met in a scene" "$(sort -u "$dir/met" | comm -23 "$dir/known" - | xargs)" ""
	tap_equal "what was met and is not in the sources" \
		"$(sort -u "$dir/met" | grep -v ' doctor$' | comm -13 "$dir/known" - | xargs)" ""
	tap_equal "each form of command that was met was typed" \
		"$(cut -d' ' -f1,3- "$dir/typed" | sort -u >"$dir/typed.forms"; cut -d' ' -f1,3- "$dir/forms" | sort -u | comm -23 - "$dir/typed.forms")" ""
	tap_equal "what does not help has no command" "$(grep -cE 'tcpwhy |sysctl -w' "$dir/no-help")" 0
	echo "# $(wc -l <"$dir/typed") commands of $(sort -u "$dir/typed.forms" | wc -l) forms typed," \
		"$(wc -l <"$dir/known") cures of the sources"
}
