#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fix.sh - tcpwhy fix destroy-time-wait, on real sockets: the judge is a real bind() and listen()
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/fix.sh

tap_folder fix

fix()
{
	"$TCPWHY" fix destroy-time-wait "$@"
}

# Sockets of a state on a local port, as ss sees them.
count()
{
	ss -Htan state "$1" "sport = :$2" | wc -l
}

# A program whose input stays open until let_go closes it.
keep() # NAME CMD...
{
	name=$1
	shift
	mkfifo "$dir/$name.in"
	"$@" <"$dir/$name.in" >"$dir/$name.out" 2>&1 &
	eval "pid_$name=$!"
	started="$started $!"
	exec 9>"$dir/$name.in"
	tap_await grep -q ready "$dir/$name.out"
}

let_go()
{
	exec 9>&-
	eval "wait \$pid_$1"
}

# ---- wrong arguments
tap_status "no cure" 2 "$TCPWHY" fix
tap_status "no such cure" 2 "$TCPWHY" fix destroy-the-world 127.0.0.1:80
tap_has "it is named" 'destroy-the-world'
tap_status "no address" 2 fix
tap_status "two addresses" 2 fix 127.0.0.1:80 127.0.0.1:81
for place in 127.0.0.1 127.0.0.1: 127.0.0.1:65536 127.0.0.1:0 127.0.0.1:x 1.2.3:80 '[::1:80' '[::1]' 300.1.1.1:80 ''; do
	tap_status "\"$place\" is no place" 2 fix "$place"
done
tap_status "no such option" 2 fix 127.0.0.1:80 --frobnicate
tap_has "it is named" 'frobnicate'
tap_status "an option without its value" 2 fix 127.0.0.1:80 --pid
tap_status "a pid that is none" 2 fix 127.0.0.1:80 --pid 12x
tap_status "two namespaces" 2 fix 127.0.0.1:80 --pid 1 --netns x
tap_status "--v6only with IPv4" 2 fix 127.0.0.1:80 --v6only
tap_status "help" 0 "$TCPWHY" fix --help
tap_status "a namespace that does not exist" 3 fix 127.0.0.1:80 --netns no-such-namespace
tap_has "it is named" 'no-such-namespace'
tap_status "a process that does not exist" 3 fix 127.0.0.1:80 --pid 4194304

# ---- nothing to do
tap_status "nothing there" 0 fix 127.0.0.1:8080
tap_has "said so" 'nothing to do'
tap_equal "no journal was begun" "$(find /run/tcpwhy -name journal 2>/dev/null)" ""

# ---- the restart
export XDG_RUNTIME_DIR="$dir"
run "$RESTART" serve 127.0.0.1:8080 3
tap_status "the restarted server is refused" 1 "$RESTART" start 127.0.0.1:8080
tap_status "dry run" 0 fix 127.0.0.1:8080 --dry-run
tap_has "says what it would do" 'would destroy 3 TIME_WAIT'
tap_equal "the dry run changed nothing" "$(count time-wait 8080)" 3
tap_status "destroy" 0 fix 127.0.0.1:8080
tap_has "three are gone" 'destroyed 3 TIME_WAIT on 127.0.0.1:8080; 0 left'
tap_has "the price is named" 'late segment'
tap_equal "ss finds none" "$(count time-wait 8080)" 0
tap_status "bind() and listen() work now" 0 "$RESTART" start 127.0.0.1:8080

journal=$(find /run/tcpwhy "$dir/tcpwhy" -name journal 2>/dev/null | head -n 1)
run cat "$journal"
tap_has "the journal has a line of it" \
	'^\{"schema":2,"id":1,"step":"before","when":"[0-9T:Z-]+","boot":"[0-9a-f-]{36}",.*"action":"destroy-time-wait","address":"127.0.0.1","port":8080,.*"count":3,.*\}$'
tap_equal "only its owner reads the journal" "$(stat -c %a "$journal")" 600

run "$RESTART" serve 127.0.0.1:8080 2
tap_status "as JSON" 0 fix --json 0.0.0.0:8080
out=$(echo "$out" | tr -d '\n ')
tap_has "one object" \
	'^\{"schema":1,"fix":"destroy-time-wait","answer":"done",.*"id":2,.*"address":"0.0.0.0","port":8080,.*"destroyed":2,"left":0,.*\}$'
tap_equal "two lines in the journal for each" "$(wc -l <"$journal")" 4
run tail -n 1 "$journal"
tap_has "the second says what came of it" '^\{"schema":2,"id":2,"step":"after",.*"result":"done","destroyed":2,"left":0,"errno":null\}$'

# ---- only that place
run "$RESTART" serve 127.0.0.1:8080 1
run "$RESTART" serve 127.0.0.2:8080 1
run "$RESTART" serve 127.0.0.1:8081 1
tap_status "one address, one port" 0 fix 127.0.0.1:8080
tap_equal "another address stays" "$(count time-wait 8080)" 1
tap_equal "another port stays" "$(count time-wait 8081)" 1

run "$RESTART" serve '[::1]:9090' 1
run "$RESTART" -r serve '[::ffff:127.0.0.1]:9090' 1
run "$RESTART" -r serve 127.0.0.1:9090 1
tap_status "0.0.0.0 is IPv4, v4-mapped too" 0 fix 0.0.0.0:9090
tap_has "two are gone" 'destroyed 2 TIME_WAIT'
tap_equal "IPv6 stays" "$(count time-wait 9090)" 1
run "$RESTART" serve 127.0.0.1:9090 1
tap_status "[::] as a v6only server" 0 fix '[::]:9090' --v6only
tap_equal "IPv4 stays" "$(count time-wait 9090)" 1
run "$RESTART" serve '[::1]:9090' 1
tap_status "[::] is both" 0 fix '[::]:9090'
tap_equal "none stays" "$(count time-wait 9090)" 0

# A dual-stack server's IPv6 connection: to 0.0.0.0 a native IPv6 address that is not v6only is in the
# way, to another IPv4 address it is not (inet_rcv_saddr_equal(), LOOPBACK4_IPV6).
run "$RESTART" serve '[::]:9191' 1
tap_equal "an IPv6 TIME_WAIT of a dual-stack server" "$(count time-wait 9191)" 1
tap_status "the restart as 0.0.0.0 is refused by it" 1 "$RESTART" start 0.0.0.0:9191
tap_status "127.0.0.1 does not meet it" 0 fix 127.0.0.1:9191
tap_has "said so" 'nothing to do'
tap_status "0.0.0.0 does" 0 fix 0.0.0.0:9191
tap_has "it is gone" 'destroyed 1 TIME_WAIT'
tap_status "the restart works" 0 "$RESTART" start 0.0.0.0:9191

# ---- the living survive
run "$RESTART" -r serve 127.0.0.1:7070 2
keep living "$RESTART" -r hold 127.0.0.1:7070
tap_status "TIME_WAIT beside a living server" 0 fix 127.0.0.1:7070
tap_has "what was spared is counted" '[1-9] living socket'
tap_equal "TIME_WAIT went" "$(count time-wait 7070)" 0
tap_equal "the listener stayed" "$(count listening 7070)" 1
tap_equal "the connection stayed" "$(count established 7070)" 1
let_go living && alive=0 || alive=$?
run cat "$dir/living.out"
tap_equal "the server ended well" "$alive" 0
tap_has "and its connection worked to the end" 'still works'

# ---- an orphan's FIN_WAIT2
keep orphan "$RESTART" orphan 127.0.0.1:6060
# The client may delay its ACK of the FIN by 40 ms; until then it is FIN_WAIT1.
tries=0
until [ "$(count fin-wait-2 6060)" = 1 ] || [ "$tries" = 100 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
tap_equal "an orphan holds the port" "$(count fin-wait-2 6060)" 1
tap_status "the server is refused by it" 1 "$RESTART" start 127.0.0.1:6060
tap_status "destroy the orphan" 0 fix 127.0.0.1:6060
tap_has "it is named for what it is" '1 FIN_WAIT2 without a process'
tap_status "bind() works now" 0 "$RESTART" start 127.0.0.1:6060
let_go orphan || true

# ---- many, in several messages
run "$RESTART" serve 127.0.0.1:5050 1000
tap_status "a thousand" 0 fix 127.0.0.1:5050
tap_has "all are gone" 'destroyed 1,000 TIME_WAIT'
tap_status "bind() works after it" 0 "$RESTART" start 127.0.0.1:5050

# ---- by destination: the ports of connect() come back
# A range of four ports, and a client that closes first: four connections use it up.
old_range=$(cat /proc/sys/net/ipv4/ip_local_port_range)
echo 45000 45003 >/proc/sys/net/ipv4/ip_local_port_range
echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse
"$TCPWHY" sock -s -v --keep 127.0.0.1 3131 >"$dir/far.out" 2>&1 </dev/null &
started="$started $!"
tries=0
until [ "$(count listening 3131)" = 1 ] || [ "$tries" = 100 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
to()
{
	"$TCPWHY" sock 127.0.0.1 3131 </dev/null
}
tap_status "no destination is no usage" 2 fix --to
tap_status "a place and a destination" 2 fix 127.0.0.1:80 --to 127.0.0.1:3131
tap_status "--from alone" 2 fix --from 127.0.0.1
tap_status "--to a server's option" 2 fix --to 127.0.0.1:3131 --v6only
tap_status "--from that is no address" 2 fix --to 127.0.0.1:3131 --from x
tap_status "--from of another family" 2 fix --to '[::1]:80' --from 127.0.0.1
tap_has "says so" 'different families'
tap_status "the other way round" 2 fix --to 127.0.0.1:80 --from ::1
tap_equal "--for was not typed" "$(echo "$out" | grep -c -e --for)" 0
tap_status "nothing towards it" 0 fix --to 127.0.0.1:3131
tap_has "said so" 'no TIME_WAIT towards 127.0.0.1:3131: nothing to do'
tries=0
while to >/dev/null 2>&1 && [ "$tries" -lt 50 ]; do
	tries=$((tries + 1))
done
tries=0
until [ "$(ss -Htan state time-wait "dport = :3131" | wc -l)" = 4 ] || [ "$tries" = 100 ]; do
	tries=$((tries + 1))
	sleep 0.05
done
tap_equal "all ports of the range are in TIME_WAIT" "$(ss -Htan state time-wait "dport = :3131" | wc -l)" 4
tap_status "connect() fails" 1 to
tap_status "dry run" 0 fix --to 127.0.0.1:3131 --dry-run
tap_has "says what it would do" 'would destroy 4 TIME_WAIT towards 127.0.0.1:3131'
proof=$(echo "$out" | sed -n '/^proof/,/^[^ ]/p' | tr -s ' \n' ' ')
tap_equal "the engine proves it, and counts the ports" "${proof%%find*}" \
	"proof connect 127.0.0.1:3131: refused (EADDRNOTAVAIL) as it is, ok with it; ports that it can "
tap_equal "the dry run changed nothing" "$(ss -Htan state time-wait "dport = :3131" | wc -l)" 4
run "$TCPWHY" fix destroy-time-wait --to 127.0.0.1:3131 --dry-run --json
out=$(echo "$out" | tr -d '\n ')
tap_has "JSON has the proof" '"before":\{"answer":"refused","errno":"EADDRNOTAVAIL","ports":0\},"with":\{"answer":"ok","errno":null,"ports":4\}'
tap_status "to the wildcard: connect() goes to the loopback" 0 fix --to 0.0.0.0:3131 --dry-run
tap_has "so does the answer" 'would destroy 4 TIME_WAIT towards 127.0.0.1:3131'
tap_has "and the question" '^proof +connect 127.0.0.1:3131'
tap_status "or to its own address" 0 fix --to 0.0.0.0:3131 --from 127.0.0.2 --dry-run
tap_has "which is said" 'no TIME_WAIT towards 127.0.0.2:3131'
tap_status "of IPv6" 0 fix --to '[::]:3131' --dry-run
tap_has "its loopback" 'no TIME_WAIT towards \[::1\]:3131'
tap_status "from another address" 0 fix --to 127.0.0.1:3131 --from 127.0.0.2
tap_has "there are none" 'nothing to do'
tap_status "to another port" 0 fix --to 127.0.0.1:3132
tap_has "there are none" 'nothing to do'
tap_status "destroy" 0 fix --to 127.0.0.1:3131 --from 127.0.0.1
tap_has "four are gone" 'destroyed 4 TIME_WAIT towards 127.0.0.1:3131; 0 left'
tap_status "connect() works" 0 to
tap_equal "the server's listener lives" "$(count listening 3131)" 1
run "$TCPWHY" fix list
tap_has "the journal tells the destination" '4 TIME_WAIT towards 127.0.0.1:3131'
tap_has "and that it is final" '^ +final: '
tap_status "so it is not undone" 1 "$TCPWHY" fix undo 1
tap_has "said why" 'cannot be made again'
echo "$old_range" >/proc/sys/net/ipv4/ip_local_port_range
echo 2 >/proc/sys/net/ipv4/tcp_tw_reuse

# ---- another namespace, by name and by process
if ip netns add other 2>/dev/null; then
	ip -n other link set lo up
	run ip netns exec other "$RESTART" serve 127.0.0.1:8080 2
	tap_status "not in this namespace" 0 fix 127.0.0.1:8080 --dry-run
	tap_status "--netns" 0 fix 127.0.0.1:8080 --netns other
	tap_has "there" 'destroyed 2 TIME_WAIT'
	run ip netns exec other "$RESTART" serve 127.0.0.1:8080 2
	ip netns exec other sleep 60 &
	started="$started $!"
	there=$!
	tries=0
	until [ "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)" ] || [ "$tries" = 100 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
	tap_status "--pid" 0 fix 127.0.0.1:8080 --pid "$there"
	tap_has "there too" 'destroyed 2 TIME_WAIT'
else
	tap_skip "--netns and --pid" "ip netns add does not work here"
fi

# ---- without privilege: refused, said, and nothing claimed
run "$RESTART" serve 127.0.0.1:4040 2
without()
{
	setpriv --bounding-set -net_admin --inh-caps -net_admin "$@"
}
lines=$(wc -l <"$journal")
tap_status "dry run without CAP_NET_ADMIN" 3 without "$TCPWHY" fix destroy-time-wait 127.0.0.1:4040 --dry-run
tap_has "says what would be refused" 'CAP_NET_ADMIN'
tap_status "without CAP_NET_ADMIN" 3 without "$TCPWHY" fix destroy-time-wait 127.0.0.1:4040
tap_has "the capability is named" 'CAP_NET_ADMIN'
tap_equal "nothing is written" "$(wc -l <"$journal")" "$lines"
tap_has "none is claimed" 'destroyed none of 2'
tap_equal "they are still there" "$(count time-wait 4040)" 2
run without "$TCPWHY" fix destroy-time-wait 127.0.0.1:4040 --json
out=$(echo "$out" | tr -d '\n ')
tap_has "JSON has the errno" '"answer":"refused",.*"errno":"EPERM","refusal":"[^"]*CAP_NET_ADMIN'
tap_equal "and the status is 3" "$status" 3

# ---- without privilege and without a journal: what is lacking is the capability, not the file
run setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all \
	"$TCPWHY" fix destroy-time-wait 127.0.0.1:4040
tap_has "a user without a journal is told of the capability" 'CAP_NET_ADMIN'

# ---- a journal that is not a plain file of ours is not followed, and does not hang
journal_refused() # TEXT
{
	tap_status "$1" 3 timeout 10 env -u XDG_RUNTIME_DIR "$TCPWHY" fix destroy-time-wait 127.0.0.1:4040
	tap_has "it is named" 'journal: cannot write'
	tap_equal "nothing was destroyed" "$(count time-wait 4040)" 2
}
rm -rf /run/tcpwhy
mkdir -p "$dir/elsewhere"
ln -s "$dir/elsewhere" /run/tcpwhy
journal_refused "the folder is a symbolic link"
tap_equal "nothing was made behind it" "$(ls "$dir/elsewhere")" ""
rm /run/tcpwhy
mkdir /run/tcpwhy
mkfifo /run/tcpwhy/journal
journal_refused "the journal is a FIFO"
rm /run/tcpwhy/journal
ln -s "$dir/elsewhere/journal" /run/tcpwhy/journal
journal_refused "the journal is a symbolic link"
if [ "$TAP_ROOT" = 1 ]; then
	rm /run/tcpwhy/journal
	touch /run/tcpwhy/journal
	chown 65534 /run/tcpwhy/journal
	journal_refused "the journal belongs to another user"
	rm -rf /run/tcpwhy
	mkdir /run/tcpwhy
	chown 65534 /run/tcpwhy
	journal_refused "the folder belongs to another user"
fi

# ---- no journal, no change
rm -rf /run/tcpwhy "$dir/tcpwhy"
touch /run/tcpwhy "$dir/tcpwhy"
tap_status "the journal cannot be written" 3 fix 127.0.0.1:4040
tap_has "it is named" 'journal: cannot write'
tap_equal "nothing was destroyed" "$(count time-wait 4040)" 2

tap_done
