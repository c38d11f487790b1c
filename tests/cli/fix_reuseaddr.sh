#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fix_reuseaddr.sh - tcpwhy fix reuseaddr on living servers: the judge is a real restart over their TIME_WAIT
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/fix_reuseaddr.sh

if ! python3 -c '' 2>/dev/null; then
	tap_skip "servers" "no python3 to write servers in"
	tap_done
	exit 0
fi

tap_folder reuseaddr
chmod 755 "$dir"
# At once: no server takes its time to end.
clean_up()
{
	for pid in $started; do
		kill -9 "$pid" 2>/dev/null || true
	done
}
export XDG_RUNTIME_DIR="$dir"

# A server that does what is typed: ADDR PORT [workers]. With workers each connection is served by a
# child that has no listener. Who closes first is the server, so TIME_WAIT is its own.
cat >"$dir/server.py" <<'PYTHON'
import os, signal, socket, sys, threading
addr, port = sys.argv[1], int(sys.argv[2])
workers = "workers" in sys.argv
family = socket.AF_INET6 if ":" in addr else socket.AF_INET
listener = socket.socket(family)
listener.bind((addr, port))
listener.listen(128)
near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(addr, addr)
clients, served, children = [], [], []

def call(n):
    for _ in range(n):
        clients.append(socket.create_connection((near, port)))

def accept(n):
    for _ in range(n):
        connection = listener.accept()[0]
        if not workers:
            served.append(connection)
            continue
        ready, go = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            listener.close()
            for c in clients:
                c.close()
            os.write(ready[1], b"y")
            os.read(go[0], 1)
            connection.close()
            os._exit(0)
        os.read(ready[0], 1)
        children.append((pid, go[1]))
        connection.close()

def churn(stop):
    while not stop.is_set():
        call(1)
        accept(1)
        if len(clients) > 400:
            # The client's FIN is there: where both close at once the server has a TIME_WAIT, too.
            clients.pop(0).close()
            old = served.pop(0)
            assert old.recv(1) == b""
            old.close()

stop = threading.Event()
for line in sys.stdin:
    word, _, n = line.strip().partition(" ")
    if word == "open":
        call(int(n)); accept(int(n))
    elif word == "call":
        call(int(n))
    elif word == "accept":
        accept(int(n))
    elif word == "close":
        for _ in range(int(n)):
            served.pop().close()
            clients.pop().close()
    elif word == "churn":
        thread = threading.Thread(target=churn, args=(stop,)); thread.start()
    elif word == "calm":
        stop.set(); thread.join()
    elif word == "option":
        print("has", " ".join(str(s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
                              for s in [listener] + served), flush=True)
    elif word == "talk":
        for c, s in zip(clients, served):
            c.sendall(b"x"); assert s.recv(1) == b"x"
    elif word == "thread":
        print("thread", thread.native_id, flush=True)
    print("ok", flush=True)
listener.close()
for s in served:
    s.close()
for pid, go in children:
    os.write(go, b"x"); os.waitpid(pid, 0)
PYTHON

await() # CMD...: until it succeeds; ten seconds at most
{
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || return 1
		sleep 0.05
	done
}

answers() # NAME N: the server has said "ok" so often
{
	[ "$(grep -c '^ok$' "$dir/$1.out")" = "$2" ]
}

# One server at a time may be typed to, through descriptor 9.
serve() # NAME CMD...
{
	name=$1
	shift
	rm -f "$dir/$name.in"
	mkfifo "$dir/$name.in"
	"$@" <"$dir/$name.in" >"$dir/$name.out" 2>"$dir/$name.err" &
	server=$!
	started="$started $server"
	exec 9>"$dir/$name.in"
}

serve_python() # NAME ADDR PORT [workers]
{
	name=$1
	shift
	serve "$name" python3 "$dir/server.py" "$@"
}

say() # WORDS...: and waits until it is done
{
	typed=$(grep -c '^ok$' "$dir/$name.out" || true)
	echo "$*" >&9
	await answers "$name" $((typed + 1))
}

end() # the server typed to: it closes everything, first
{
	exec 9>&-
	wait "$server" || true
}

option() # what the server itself sees on its sockets
{
	say option
	grep '^has' "$dir/$name.out" | tail -n 1
}

fix()
{
	"$TCPWHY" fix reuseaddr "$@"
}

json() # the last output, on one line
{
	out=$(echo "$out" | tr -d '\n' | sed 's/  */ /g')
}

# The last segments may still be on their way when the server has ended.
time_wait() # PORT N: whether there are N
{
	await sh -c "[ \"\$(ss -Htan state time-wait 'sport = :$1' | wc -l)\" = $2 ]"
}

restart() # ADDR:PORT: a new server that sets SO_REUSEADDR
{
	"$RESTART" -r start "$1"
}

# ---- wrong arguments
tap_status "no server is named" 2 fix
tap_has "said so" 'which server'
tap_status "no pid" 2 fix --pid 12x
tap_status "no port" 2 fix --pid 1 --port 0
tap_status "two ports" 2 fix --pid 1 --port 80 127.0.0.1:80
tap_status "two addresses" 2 fix --pid 1 127.0.0.1:80 127.0.0.1:81
tap_status "no address" 2 fix --pid 1 127.0.0.1
tap_status "port 0" 2 fix --pid 1 127.0.0.1:0
tap_status "an option of others" 2 fix --pid 1 --netns x
tap_status "help" 0 fix --help
tap_status "no such process" 3 fix --pid 4194304
tap_has "said so" 'no process 4194304'
tap_status "a process that serves nothing" 3 fix --pid $$
tap_has "said so" 'no listening TCP socket'

# ---- without it, a restart is refused: what is to be cured
serve_python plain 127.0.0.1 8000
say open 3
end
tap_status "a server without the option leaves TIME_WAIT" 0 time_wait 8000 3
tap_status "its restart is refused, with SO_REUSEADDR too" 1 restart 127.0.0.1:8000

# ---- the cure
serve_python cured 127.0.0.1 8001
say open 3
tap_status "dry run" 0 fix --pid "$server" --dry-run
tap_has "says what it would do" 'would set SO_REUSEADDR on 1 listener and 3 connections on'
tap_has "who has them" "python3\[$server\]: 1 listener and 3 connections"
tap_has "the engine's proof, without" 'refused \(EADDRINUSE\)'
tap_has "and with it" 'ok with it'
tap_equal "nothing is changed" "$(option)" "has 0 0 0 0"
tap_equal "nothing is written" "$(find /run/tcpwhy "$dir/tcpwhy" -name journal 2>/dev/null)" ""
tap_status "set" 0 fix --pid "$server"
tap_has "said so" 'DONE +SO_REUSEADDR is set on 4 sockets on 127.0.0.1:8001'
tap_has "how to undo it" 'tcpwhy fix undo 1$'
tap_equal "the server's own sockets have it" "$(option)" "has 1 1 1 1"
say open 1
tap_equal "what it accepts now inherits it" "$(option)" "has 1 1 1 1 1"
say talk
tap_equal "its connections work" "$(cat "$dir/cured.err")" ""
tap_status "again: nothing to do" 0 fix --pid "$server"
tap_has "said so" '^NOTHING'
tap_status "list" 0 "$TCPWHY" fix list
tap_has "it is in force" 'in force'
end
tap_status "its TIME_WAIT" 0 time_wait 8001 4
tap_status "does not keep a new server from the port" 0 restart 127.0.0.1:8001
tap_status "list, when it has ended" 0 "$TCPWHY" fix list
tap_has "its sockets are gone" 'gone'
tap_status "undo has nothing to undo" 0 "$TCPWHY" fix undo 1

# ---- undone
serve_python undone 127.0.0.1 8002
say open 2
tap_status "set" 0 fix --pid "$server" --json
json
tap_has "JSON: done" '"answer": "done"'
tap_has "JSON: how many" '"set": 3, "ended": 0, "left": 0'
tap_has "JSON: the proof" '"without": "refused", "with": "ok"'
lacking=
for word in $(echo "$out" | grep -o '"[a-z_]*":' | tr -d '":' | sort -u); do
	grep -qw -- "$word" man/tcpwhy.1 || lacking="$lacking $word"
done
tap_equal "JSON: every name is in the man page" "$lacking" ""
tap_status "undo" 0 "$TCPWHY" fix undo
tap_has "said so" '^UNDONE'
tap_equal "as before" "$(option)" "has 0 0 0"
tap_status "undo again" 0 "$TCPWHY" fix undo 2
say open 1
tap_equal "what is accepted now is as before" "$(option)" "has 0 0 0 0"
end
tap_status "the restart is refused again" 1 restart 127.0.0.1:8002

# ---- connections in other processes
serve_python forked 127.0.0.1 8003 workers
say open 5
tap_status "connections of workers without a listener" 0 fix --pid "$server"
tap_has "all are found" 'set on 6 sockets'
tap_has "in six processes" 'python3\[[0-9]+\]: 1 connection; python3'
end
tap_status "TIME_WAIT of the workers" 0 time_wait 8003 5
tap_status "the restart works" 0 restart 127.0.0.1:8003

serve_python worker 127.0.0.1 8004 workers
say open 2
await sh -c "ps -o pid= --ppid $server | grep -q ."
worker=$(ps -o pid= --ppid "$server" | head -n 1 | tr -d ' ')
tap_status "a worker without a port" 3 fix --pid "$worker"
tap_has "has no listener" 'no listening TCP socket'
tap_status "a worker, by the port" 0 fix --pid "$worker" --port 8004
tap_has "is one of its server" 'set on 3 sockets'
end
tap_status "the restart works" 0 restart 127.0.0.1:8004

# ---- only this server
serve_python other 127.0.0.2 8005
other=$server
say open 1
exec 8>&9
serve_python one 127.0.0.1 8005
say open 2
tap_status "another port of the process" 3 fix --pid "$server" --port 8006
tap_has "is not served" 'port 8006'
tap_status "another address" 3 fix --pid "$server" 127.0.0.2:8005
tap_status "by its address" 0 fix --pid "$server" 127.0.0.1:8005
tap_has "three sockets" 'set on 3 sockets on 127.0.0.1:8005$'
run fix --pid "$other" --dry-run
tap_has "the neighbour at the same port is as it was" 'would set SO_REUSEADDR on 1 listener and 1 connection on'
end
tap_status "the restart works" 0 restart 127.0.0.1:8005
exec 8>&-
wait "$other" || true
tap_status "the neighbour's does not" 1 restart 127.0.0.2:8005

# ---- IPv6, and both families by one socket
serve_python six :: 8007
say open 2
tap_status "[::]" 0 fix --pid "$server" '[::]:8007'
tap_has "three sockets" 'set on 3 sockets on \[::\]:8007'
end
tap_status "the restart works" 0 restart '[::]:8007'

# ---- TIME_WAIT that is there already
serve_python dead 127.0.0.1 8008
say open 4
say close 2
tap_status "set" 0 fix --pid "$server"
tap_has "three have it" 'set on 3 sockets'
run fix --pid "$server" --json
tap_status "two are in TIME_WAIT already" 0 time_wait 8008 2
run fix --pid "$server"
tap_has "that is said" 'spared +2 in TIME_WAIT'
tap_has "with their cure" 'tcpwhy fix destroy-time-wait 127.0.0.1:8008'
end
tap_status "they refuse the restart" 1 restart 127.0.0.1:8008
serve_python dead 127.0.0.1 8009
say open 4
say close 2
run fix --pid "$server" --dry-run
# Without BPF what a TIME_WAIT has cannot be seen.
tap_has "the proof says so before" '(refused|uncertain) \(EADDRINUSE\) with it'
tap_status "set" 0 fix --pid "$server"
tap_status "destroy them" 0 "$TCPWHY" fix destroy-time-wait 127.0.0.1:8009
end
tap_status "then the restart works" 0 restart 127.0.0.1:8009

# ---- what waits for accept()
serve_python queue 127.0.0.1 8010
say open 1
say call 2
tap_status "two wait for accept()" 1 fix --pid "$server"
tap_has "said so" 'wait for accept\(\)'
tap_has "the others have it" 'set on 2 of 4 sockets'
say accept 2
tap_equal "they lack it" "$(option)" "has 1 1 0 0"
tap_status "once they are accepted" 0 fix --pid "$server"
tap_equal "they get it" "$(option)" "has 1 1 1 1"
run "$TCPWHY" fix undo
run "$TCPWHY" fix undo
tap_equal "undone in turn" "$(option)" "has 0 0 0 0"
end

# ---- while connections come and go, in another thread
serve_python busy 127.0.0.1 8011
say open 20
say churn
say thread
thread=$(awk '/^thread/ { print $2 }' "$dir/busy.out")
tap_status "a thread is not a process" 3 fix --pid "$thread" --port 8011
tap_has "said so" 'thread'
bad=0
for round in 1 2 3 4 5 6 7 8; do
	fix --pid "$server" >"$dir/churn" 2>&1 && continue
	bad=$((bad + 1))
	sed 's/^/# /' "$dir/churn"
done
say calm
tap_equal "eight times while it is busy" "$bad" 0
tap_equal "none is left without" "$(option | tr ' ' '\n' | grep -c '^0$')" 0
tap_equal "the server saw no error" "$(cat "$dir/busy.err")" ""
end
tap_status "the restart works" 0 restart 127.0.0.1:8011

# ---- who may: the same user, without any capability
drop='setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all --inh-caps -all'
nobody()
{
	$drop "$@"
}
if [ "$TAP_ROOT" = 1 ]; then
	serve_python root 127.0.0.1 8012
	say open 1
	tap_status "another user's server" 3 nobody "$TCPWHY" fix reuseaddr --pid "$server" --journal "$dir/none"
	tap_has "the capability is named" 'CAP_SYS_PTRACE'
	tap_status "by its port" 3 nobody "$TCPWHY" fix reuseaddr --pid "$server" --port 8012 --journal "$dir/none"
	tap_has "the capability is named" 'CAP_SYS_PTRACE'
	tap_status "a dry run" 3 nobody "$TCPWHY" fix reuseaddr --pid "$server" --dry-run --json
	json
	tap_has "JSON has the errno" '"answer": "refused",.*"errno": "EPERM"'
	tap_equal "nothing is changed" "$(option)" "has 0 0"
	tap_equal "nothing is written" "$(ls "$dir/none" 2>/dev/null)" ""
	tap_status "set by root" 0 fix --pid "$server" --journal "$dir/root.journal"
	mkdir "$dir/taken"
	cp "$dir/root.journal" "$dir/taken/journal"
	chown -R 65534 "$dir/taken"
	tap_status "undone by another user" 3 nobody "$TCPWHY" fix undo 1 --journal "$dir/taken/journal"
	tap_has "the capability is named" 'CAP_SYS_PTRACE'
	tap_equal "nothing is changed back" "$(option)" "has 1 1"
	end

	# shellcheck disable=SC2086 # several words
	serve nobody $drop "$RESTART" hold 127.0.0.1:8013
	await grep -q ready "$dir/nobody.out"
	mkdir "$dir/own"
	chown 65534 "$dir/own"
	tap_status "one's own server, without privilege" 0 nobody env XDG_RUNTIME_DIR="$dir/own" \
		"$TCPWHY" fix reuseaddr --pid "$server"
	tap_has "set" 'set on 2 sockets'
	tap_has "proven" 'refused \(EADDRINUSE\)'
	tap_status "it is set" 0 fix --pid "$server"
	tap_has "as root sees it" '^NOTHING'
	tap_status "list" 0 nobody env XDG_RUNTIME_DIR="$dir/own" "$TCPWHY" fix list
	tap_has "in force" 'in force'
	tap_status "undo" 0 nobody env XDG_RUNTIME_DIR="$dir/own" "$TCPWHY" fix undo
	tap_status "it is not set" 0 fix --pid "$server" --dry-run
	tap_has "as root sees it" 'would set SO_REUSEADDR on 1 listener and 1 connection'
	end
else
	tap_skip "other users" "not root"
fi

# ---- another network namespace
if ip netns add away 2>/dev/null; then
	ip -n away link set lo up
	serve away ip netns exec away python3 "$dir/server.py" 127.0.0.1 8015
	say open 2
	tap_status "a server in another namespace" 0 fix --pid "$server"
	tap_has "set" 'set on 3 sockets on 127.0.0.1:8015'
	tap_equal "it has it" "$(option)" "has 1 1 1"
	end
	tap_status "the restart works there" 0 ip netns exec away "$RESTART" -r start 127.0.0.1:8015
else
	tap_skip "another namespace" "ip netns add does not work here"
fi

# ---- no journal, no change
serve_python unwritten 127.0.0.1 8016
say open 1
mkdir "$dir/folder"
tap_status "a journal that cannot be written" 3 fix --pid "$server" --journal "$dir/folder"
tap_has "it is named" 'journal'
tap_equal "nothing is changed" "$(option)" "has 0 0"
end

# ---- killed at any moment: nothing is changed, or it can be undone
has() # 0|1: how many of the server's sockets
{
	option | tr ' ' '\n' | grep -c "^$1\$" || true
}

# shellcheck disable=SC3045 # where sh does not know it, the server has as many as it may
ulimit -n 4096 2>/dev/null || true
serve_python killed 127.0.0.1 8017
for _ in 1 2 3 4 5 6 7 8 9; do
	say open 100
done
lost=0 cut=0 made=0 begin=$(date +%s%N)
fix --pid "$server" --dry-run >/dev/null
span=$((($(date +%s%N) - begin) / 1000000 + 1))
# Every other one is killed some moments after its line before: while it sets the option. Killed while
# it looks for leaks, a process leaves a complaint of the one that looks.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
for round in $(seq 40); do
	journal=$dir/killed.$round
	"$TCPWHY" fix reuseaddr --pid "$server" --journal "$journal" >/dev/null 2>&1 &
	victim=$!
	moments=$(shuf -i 0-4000 -n 1)
	if [ $((round % 2)) = 0 ]; then
		until [ -s "$journal" ] || ! kill -0 "$victim" 2>/dev/null; do :; done
		while [ "$moments" -gt 0 ]; do moments=$((moments - 1)); done
	else
		sleep "$(awk -v ms="$(shuf -i 0-$((span * 3)) -n 1)" 'BEGIN { printf "%.3f", ms / 1000 }')"
	fi
	kill -9 "$victim" 2>/dev/null || true
	wait "$victim" 2>/dev/null && made=$((made + 1))
	set=$(has 1)
	[ "$set" = 0 ] || [ "$set" = 901 ] || cut=$((cut + 1))
	if [ "$set" != 0 ]; then
		"$TCPWHY" fix list --journal "$journal" | grep -q 'in force' || lost=$((lost + 1))
		run "$TCPWHY" fix undo --journal "$journal"
		[ "$status" = 0 ] || lost=$((lost + 1))
	fi
	[ "$(has 1)" = 0 ] || lost=$((lost + 1))
done
echo "# of 40 rounds, $made ended before the kill, $cut were cut in the middle of the sockets"
tap_equal "every change that was made is in the list, and undone" "$lost" 0
say talk
tap_equal "the server noticed nothing" "$(cat "$dir/killed.err")" ""
end

tap_done
