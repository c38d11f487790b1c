#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab.sh - tcpwhy lab: the table of releases, the cases, and files that are no cases
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/lab.sh

tap_folder lab

# ---------------------------------------------------------------------------------- the releases

tap_status "the table of releases" 0 "$TCPWHY" lab --releases
tap_has "it tells the row of this kernel" "^kernel +$(uname -r): the rules of [0-9.y]+"
tap_has "a feature, and that it was tried" "^connect-parity +- +yes .* (yes|-)\*$"
tap_has "what was not read is marked" "^reuseport-asked .*-\?"
tap_equal "it fits 80 columns" "$(echo "$out" | awk 'length($0) > 80' | wc -l)" 0
tap_status "with sentences" 0 "$TCPWHY" lab --releases -v
tap_has "a sentence" "connect\(\) takes even offsets"
tap_equal "it fits 80 columns, too" "$(echo "$out" | awk 'length($0) > 80' | wc -l)" 0
tap_status "as JSON" 0 "$TCPWHY" lab --releases --json
tap_has "a feature of JSON" '"id": "connect-parity"'
tap_has "every row" '"release": "6.1.4"'
tap_has "and the newest" '"release": "7.2.y"'
case $(uname -r) in
6.18.*)
	tap_has "this kernel is its row" '"release": "6.18.y"'
	tap_has "every probe agrees with it" '"otherwise": 0'
	tap_has "behaviour was tried" '"unseen": null'
	;;
esac

# Where no namespace may be made, the doubt stays, and is said. The limit is a user namespace's own.
forbid='echo 0 >/proc/sys/user/max_net_namespaces; echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"'
if unshare -U -r sh -c "$forbid" sh true 2>/dev/null; then
	tap_status "without a namespace of its own" 0 unshare -U -r sh -c "$forbid" sh "$TCPWHY" lab --releases
	tap_has "what could not be tried is said" "^not tried +no private network namespace"
	tap_equal "and not claimed" "$(echo "$out" | grep -c '^bucket-relaxes.*\*$')" 0
	tap_has "what needs none is" "^socket-port-range.*\*$"
else
	tap_skip "without a namespace of its own" "no user namespace can be made"
fi

# -------------------------------------------------------------------------------------- the line

tap_status "no such option" 2 "$TCPWHY" lab --nonsense
tap_status "no such release" 2 "$TCPWHY" lab --release 5.99
tap_has "those that are known" "6.18.y"
tap_status "--releases plays nothing" 2 "$TCPWHY" lab --releases ghost-connection
tap_status "the help" 0 "$TCPWHY" lab --help

# ------------------------------------------------------------------------------------- the cases

tap_status "the list" 0 "$TCPWHY" lab --list
tap_has "it names a case" "^ghost-connection"
tap_status "the list as JSON" 0 "$TCPWHY" lab --list --json
tap_has "a case of it" '"case": "ghost-connection"'
tap_status "no such case" 2 "$TCPWHY" lab no-such-case
tap_has "and where they are listed" "tcpwhy lab --list"
tap_status "no such file" 2 "$TCPWHY" lab "$dir/none.lua"
tap_status "a directory is no case" 2 "$TCPWHY" lab "$dir"
tap_has "that is told" "$dir: Is a directory"
mkfifo "$dir/fifo.lua"
tap_status "nor a FIFO" 2 timeout 20 "$TCPWHY" lab "$dir/fifo.lua"
tap_has "that is told" "fifo.lua: not a regular file"
tap_status "nor a device" 2 timeout 20 "$TCPWHY" lab /dev/zero
tap_has "that is told" "/dev/zero: not a regular file"
truncate -s 1G "$dir/gigabyte.lua"
tap_status "nor a file of a gigabyte" 2 timeout 20 "$TCPWHY" lab "$dir/gigabyte.lua"
tap_has "that is told" "gigabyte.lua: File too large"

tap_status "a case in two releases" 0 "$TCPWHY" lab ghost-connection -v --compare 3.10,6.18.y
tap_has "the old one makes a ghost" "ok +line [0-9]+: a ghost"
tap_has "the new one drops the SYN" "ok +line [0-9]+: the SYN is dropped"
tap_has "what the server counted" "server: ListenOverflows \+1, ListenDrops \+1"
tap_has "what differs first" "6.18.y differs from 3.10: connection 3, segments from client"
tap_has "and what is counted otherwise" "server SyncookiesSent 2, not 0"
tap_has "the ladder" "SYN_SENT +── #[0-9]+ SYN 0 ─+▶ LISTEN"
tap_status "all releases" 0 "$TCPWHY" lab only-two-ports --compare \
	"$("$TCPWHY" lab --releases --json | jq -r '[.releases[].release] | join(",")')"
tap_has "two that do the same" "7.2.y does what 6.18.y does"
tap_status "as JSON" 0 "$TCPWHY" lab time-wait-takes-new-syn --json --compare 4.11,6.18.y
tap_equal "what is counted otherwise in JSON" \
	"$(echo "$out" | jq -c '.cases[0].releases_compared[0] | [.release, .before, .counters[0].counter]')" \
	'["6.18.y","4.11","TW"]'
tap_status "a case with a box" 0 "$TCPWHY" lab rst-ignored-but-middlebox-believes -v --release 6.18.y
tap_has "client, box and server are one ladder" "^world 6.18.y, times in ms +client +lb +server$"
tap_has "an arrow goes through the box" " SYN,ACK 0 ack 1 +ESTABLISHED ◀─+ OPEN ─+ SYN_RECV$"
tap_has "the box resets the client" "RST 101 +CLOSE +◀─+( none)?$"
tap_has "and the server" "RST 201 +(none )?─+▶ CLOSE$"
tap_status "as JSON" 0 "$TCPWHY" lab ghost-connection --json --release 3.10
tap_has "its verdict" '"verdict": "holds"'
tap_has "no segments" '"ladder": null'
tap_status "as JSON with -v" 0 "$TCPWHY" lab ghost-connection --json -v --release 3.10
tap_has "a segment" '"passage": "delivered"'

# The kernel's ladder: each segment has the state of its sender and, if it came, of its receiver, and what was counted
# stands under the segment that caused it. Nothing but the kernel acts on its own in these cases.
tap_status "as JSON with -v, and on this kernel" 0 "$TCPWHY" lab --json -v ghost-connection time-wait-takes-new-syn
on_kernel=$(echo "$out" | awk '
	/"stage": / { kernel = /"kernel"/ }
	!kernel || /"sessions"/ { next }
	/"states": \[/ { at = 2; next }
	at == 2 { sender = $1; at = 1; next }
	at == 1 { receiver = $1; at = 0; next }
	/"counted": "/ { sub(/.*"counted": /, ""); print "counted", $0 }
	/"passage": / { came = /"delivered"/; print "segment", sender == "null," || (came && receiver == "null") }')
case $on_kernel in
*segment*)
	tap_equal "no segment without the states of its ends" "$(echo "$on_kernel" | grep -c 'segment 1')" 0
	tap_equal "what was counted" "$(echo "$on_kernel" | grep '^counted "ListenO' | sort -u)" \
		'counted "ListenOverflows +1, ListenDrops +1",'
	;;
*)
	tap_skip "no segment without the states of its ends" \
		"$(echo "$out" | sed -n 's/^ *"why": "\(.*\)",$/\1/p' | head -n 1)"
	;;
esac

tap_status "a release that it does not name" 3 "$TCPWHY" lab ghost-connection --release 4.11
tap_has "that is said" "not played: it does not name that release"

tap_status "all cases of a release" 0 "$TCPWHY" lab --release 4.11
tap_has "the others are left out" "; [0-9]+ more are not for that release;"
tap_has "and none is called not played" " 0 not played;"
tap_equal "nor told" "$(echo "$out" | grep -c 'does not name')" 0

# A crowd of 200,000 connections is slow under sanitizers, and tests/unit/app_test.c plays the same one under them;
# two of its rows are enough here.
crowd=mesh-320
all_but_crowd()
{
	"$TCPWHY" lab --list --json | sed -n 's/.*"case": "\([^"]*\)".*/\1/p' | grep -vx "$crowd"
}
# shellcheck disable=SC2046 # one word for each case
tap_status "all cases" 0 "$TCPWHY" lab -v $(all_but_crowd)
# Characters, whatever the locale counts.
too_wide() { echo "$out" | sed 's/─/-/g; s/▶/-/g; s/◀/-/g' | awk 'length($0) > 80'; }
tap_equal "no ladder and no table is wider than 80 columns" "$(too_wide)" ""
tap_has "a call that waits has its end" " connect\(\) = ok"
tap_has "one that does not wait says so" " connect\(10.0.0.2:80\) = EINPROGRESS"
tap_has "none is broken" " 0 do not, 0 are no case"
# A table: where each was played, and whether the stages agree.
table=$(echo "$out" | sed -n '/^case  *model kernel  agrees/,/^$/p' | sed '1d;$d')
tap_equal "each is in the table" "$(echo "$table" | wc -l)" "$(all_but_crowd | wc -l)"
case $(echo "$table" | awk '{ print $3 }' | sort -u | tr '\n' ' ') in
*no*)
	# Without a network namespace none can be.
	tap_skip "each is played on this kernel" \
		"$(echo "$out" | sed -n 's/^ *this kernel: not played: //p' | head -n 1)"
	;;
*)
	tap_equal "each is played in the model and on this kernel" "$(echo "$table" | awk '$2 < 1 || $3 == "-"')" ""
	tap_equal "and both agree" "$(echo "$table" | sed 's/in part/part/' | awk '$4 != "yes" && $4 != "sums"')" ""
	tap_equal "sums is where neither calls nor segments were compared" \
		"$(echo "$table" | sed 's/in part/part/' | awk '($4 == "sums") != ($5 + $6 == 0)')" ""
	;;
esac
# What this machine lacks: each case says how far it went.
echo "$out" | sed -n 's/^ *this kernel: no further: //p' >"$dir/lacks"
while read -r why; do
	tap_skip "to the end of a case" "$why"
done <"$dir/lacks"
tap_status "and $crowd" 0 "${TCPWHY_PLAIN:-$TCPWHY}" lab "$crowd" --compare 3.10,6.18.y
tap_equal "and is no wider" "$(too_wide)" ""
tap_has "it holds" "^1 case: 1 holds, 0 do not, 0 are no case, 0 not played;"

# A case that says what is not so.
cat >"$dir/false.lua" <<'EOF'
case {about = "a claim that does not hold"}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2")
expect(client:socket():try_connect("10.0.0.2:80"), "ok", "nobody listens, and connect() succeeds")
EOF
tap_status "a false claim" 1 "$TCPWHY" lab "$dir/false.lua"
tap_has "what it claims" "BAD +false.lua:3 nobody listens"
tap_has "what came instead" "got ECONNREFUSED, wanted ok"

# A reader's own case may cure in the model, where nothing outside changes.
own()
{
	cat >"$dir/own.lua" <<EOT
case {about = "a reader's cure"$1}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2")
client:socket()
client:cure "fix sysctl net.ipv4.tcp_tw_reuse=1"
expect(client:sysctl "net.ipv4.tcp_tw_reuse", 1)
client:undo()
EOT
	timeout 60 "$TCPWHY" lab "$dir/own.lua"
}
tap_status "a reader's case cures in the model" 0 own ""
tap_has "it holds there" "^ok +own "
case $(uname -r) in
6.18.*)
	tap_has "the kernel's play ends before it, and says why" "this kernel: not played: line 4: only the cases that"
	;;
esac
tap_status "in the model alone" 0 own ', stages = "world"'
tap_status "on the kernel alone it is none" 2 own ', stages = "kernel"'
tap_has "that is told" "own.lua:4: only the cases that came with"

# Without privilege no socket is another user's: that is lacking, and is named. A user namespace knows one user.
cat >"$dir/user.lua" <<'EOT'
case {about = "a socket of another user"}
local client = pair("client 10.0.0.1", "server 10.0.0.2")
expect(client:socket{uid = 1000}.state, "CLOSE")
EOT
alone() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
chmod 755 "$dir"
if [ "$(id -u)" = 0 ] && alone unshare -U true 2>/dev/null && alone test -x "$TCPWHY"; then
	case $(uname -r) in
	6.18.*)
		tap_status "a user's socket without privilege" 0 alone "$TCPWHY" lab "$dir/user.lua"
		tap_has "what is lacking is told" "not played: line 3: a socket of user 1000"
		;;
	esac
else
	tap_skip "a user's socket without privilege" "not root, no user namespaces, or tcpwhy is not to be reached"
fi

# A program that is there and cannot be executed is lacking, as one that is not there.
with_unshare() # TEXT MODE
{
	mkdir -p "$dir/bin"
	printf '%s\n' "$1" >"$dir/bin/unshare"
	chmod "$2" "$dir/bin/unshare"
	timeout 60 env PATH="$dir/bin" "$TCPWHY" lab pod-sysctl
}
case $(uname -r) in
6.18.*)
	tap_status "a program that may not be executed" 0 with_unshare '#!/bin/sh' 644
	tap_has "is told" "no further: unshare cannot be executed here: Permission"
	tap_status "one that cannot be" 0 with_unshare 'echo no header' 755
	tap_has "is told, too" "no further: unshare cannot be executed here: Exec format"
	tap_equal "the machine's own is found behind" "$(rm "$dir/bin/unshare"
		env PATH="$dir/bin:$PATH" "$TCPWHY" lab pod-sysctl | grep -c 'no further')" 0
	;;
*)
	tap_skip "a program that may not be executed" "pod-sysctl is played on its own releases' kernel"
	;;
esac

# What cases/README.md says of the words, so that who reads it can write a case.
cat >"$dir/words.lua" <<'EOF'
case {about = "the words do what is said of them"}
local a, lb, b = host("a", {window = stage == "world" and 65535 or nil}), box "lb", host "b"
local front = link(a, "10.0.0.1", lb, "10.0.0.254")
link(lb, "10.0.1.254", b, "10.0.1.2")
local wire = link(a, "10.9.0.1 fd09::1", b, "10.9.0.2 fd09::2")
expect(a.name .. " " .. lb.name, "a lb")
expect(b:counter "ListenOverflows", b.ListenOverflows)
expect(b:counter "NoSuchCounter", nil)
expect(pcall(function() return b.NoSuchCounter end), false)
local listener = b:listen("10.0.1.2:80")
expect(listener:try_accept(0.01), "EAGAIN")
lb:balance{at = "10.0.0.254", port = 80, to = {"10.0.1.2"}}
local there = a:connect("10.0.0.254:80")
local here = listener:try_accept()
expect(there:try_send(5), 5)
expect(here:try_recv(), 5)
expect(here:try_recv(10, 0.01), "EAGAIN")
expect(there.here .. " " .. there.peer, "10.0.0.1:" .. there.port .. " 10.0.0.254:80")
local s = lb:sessions()[1]
expect(s.client .. " " .. s.server .. " " .. s.state, there.here .. " " .. there.peer .. " OPEN")
local k = a:find(there.here, there.peer)
expect(k.from .. " " .. k.to .. " " .. k.state, there.here .. " " .. there.peer .. " ESTABLISHED")
expect(k.port .. " " .. k.peer_port .. " " .. k.retransmits, there.port .. " 80 0")
expect(tostring(k.mini) .. " " .. tostring(k.held), "false true")
expect(b:find("10.0.1.2:80", "10.0.0.1:9"), nil)
front:drop(a, "SYN")
expect(a:socket():try_connect("10.0.0.254:80", 0.01), "EINPROGRESS")
b:listen("[fd09::2]:81")
local six = a:connect("[fd09::2]:81", {SO_BINDTODEVICE = wire, TCP_LINGER2 = 5, SO_LINGER0 = true})
expect(six.here, "[fd09::1]:" .. six.port)
expect(a:socket{family = 6, IPV6_V6ONLY = true}:try_bind("[::]:82"), "ok")
if has "socket-port-range" then
	local one = a:socket{IP_LOCAL_PORT_RANGE = "40000-40000"}
	one:bind("10.9.0.1:0")
	expect(one.port, 40000)
end
b:reject{place = "in", port = 99, with = "icmp"}
expect(a:socket():try_connect("10.9.0.2:99", 0.5), "ECONNREFUSED")
a:drop{place = "out", port = 98}
expect(a:socket():try_connect("10.9.0.2:98", 0.01), "EINPROGRESS")
for _, name in ipairs{"print", "load", "require", "next", "xpcall"} do expect(_G[name], nil) end
expect(string.match or string.gmatch or string.gsub or table.pack, nil)
EOF
tap_status "the words that are documented" 0 "$TCPWHY" lab --compare 3.10,6.18.y "$dir/words.lua"
tap_has "do as they say" "^1 case: 1 holds"

# ------------------------------------------------------------------------------ what the machine lacks

# Sanitizers take more than any such bound for themselves.
starving() # NAME OPTION BOUND: played by a process that has less
{
	(ulimit "$2" "$3" && exec "${TCPWHY_PLAIN:-$TCPWHY}" lab --release 6.18.y "$dir/$1.lua")
}

echo 'case {about = "x", stages = "world"} host "a" local t = {} for i = 1, 2e6 do t[i] = i end expect(#t, 2e6)' >"$dir/memory.lua"
tap_status "a case of 32 MB" 0 "$TCPWHY" lab --release 6.18.y "$dir/memory.lua"
tap_status "where a process has less" 3 starving memory -v 40000
tap_has "that is not the case's fault" "6.18.y: not played: .*this process gets no more memory"
echo 'case {about = "x", stages = "kernel"} pair("a 10.0.0.1", "b 10.0.0.2") expect(1, 1)' >"$dir/kernel.lua"
tap_status "few descriptors" 3 starving kernel -n 9
tap_has "are told" "this kernel: not played: .*Too many open"
if unshare --user --map-root-user true 2>/dev/null; then
	# shellcheck disable=SC2016 # the inner shell's
	tap_status "no network namespaces" 3 unshare --user --map-root-user sh -c \
		'echo 0 >/proc/sys/user/max_net_namespaces && exec "$0" lab "$1"' "$TCPWHY" "$dir/kernel.lua"
	tap_has "that is told" "this kernel: not played: a new network namespace: No space left"
else
	tap_skip "no network namespaces" "no user namespace may be made here, whose bound it would be"
fi

# --------------------------------------------------------------------------- files that are no cases

# Each ends soon, with status 2 and a message that names the file and, if there is one, the line.
hostile() # NAME MESSAGE [TEXT]: the text, or what is in the file already
{
	[ $# -lt 3 ] || echo "$3" >"$dir/$1.lua"
	tap_status "$1" 2 timeout 60 "$TCPWHY" lab --release 6.18.y "$dir/$1.lua"
	tap_has "$1 is told" "$2"
}

# What works until its budget is spent takes too long under sanitizers: the plain build plays it.
hostile_and_slow()
{
	sanitized=$TCPWHY
	TCPWHY=${TCPWHY_PLAIN:-$TCPWHY}
	hostile "$@"
	TCPWHY=$sanitized
}

head='case {about = "x"}'
hostile empty 'empty.lua: case\{...\} is missing' ''
hostile unfinished 'unfinished.lua:[12]: ' 'case {'
printf '\033LuaT\000\000' >"$dir/binary.lua"
hostile binary 'binary.lua: attempt to load a binary chunk'
head -c 100000 /dev/urandom >"$dir/noise.lua"
hostile noise 'noise.lua'
hostile endless 'endless.lua:1: it has run for too long' "$head while true do end"
hostile swallowing 'swallowing.lua:1: it has run for too long' "$head while true do pcall(error) end"
hostile endless-head 'endless-head.lua:1: it has run for too long' 'while true do end'
hostile bomb 'bomb.lua:1: it takes too much memory' "$head local s = 'x' while true do s = s .. s end"
hostile deep 'deep.lua:1: ' "$head local function f() return 1 + f() end f()"
hostile million-hosts 'million-hosts.lua:1: more than 512 hosts' "$head for i = 1, 1e6 do host('h' .. i) end"
hostile types 'types.lua:1: bad argument' "$head host(host)"
hostile pattern 'pattern.lua:1: attempt to call a nil value' "$head ('x'):match('(.-)%b()')"
hostile outside 'outside.lua:1: attempt to index a nil value' "$head os.execute('true')"
hostile finalizer 'finalizer.lua:1: a metatable may not have' "$head setmetatable({}, {__gc = function() end})"
hostile coroutine 'coroutine.lua:1: attempt to index a nil value' "$head coroutine.wrap(function() end)()"
model='case {about = "x", stages = "world"}'
hosts='local a, b, wire = pair("a 10.0.0.1", "b 10.0.0.2")'
pair="$head local a, b, w = pair('a 10.0.0.1', 'b 10.0.0.2')"
hostile no-int 'no-int.lua:1: bad argument #2 to .listen. .an int' "$pair b:listen('10.0.0.2:80', 1e18)"
hostile no-time 'no-time.lua:1: seconds from 0' "$pair b:listen('10.0.0.2:80') a:connect('10.0.0.2:80', {}, 0/0)"
hostile no-window 'no-window.lua:1: window is at most 65535' \
	"$pair w:inject(a, {flags = 'ACK', from = '10.0.0.1:5', to = '10.0.0.2:80', window = 1e9})"
hostile nested-pcall 'nested-pcall.lua:1: it has run for too long' "$model local function f() while true do pcall(f) end end f()"
hostile pcall-bomb 'pcall-bomb.lua:1: it takes too much memory' "$model while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) end"
hostile call-chain 'call-chain.lua:1: it takes too much memory' "$model local m = {} local a = setmetatable({}, m) m.__call = a a()"
hostile index-chain 'index-chain.lua:1: .*loop' "$model local t = {} setmetatable(t, {__index = t}) print(t.x)"
hostile index-deep 'index-deep.lua:1: .*overflow' "$model local m = {} m.__index = function(t, k) return t[k] end local x = setmetatable({}, m).y"
hostile raised-text 'raised-text.lua' "$model error(setmetatable({}, {__tostring = function() while true do end end}))"
hostile raised-table 'raised-table.lua:1: it raised a table' "$model error({})"
hostile raised-escapes 'raised-escapes.lua:1: .\[31mboo' "$model error(string.char(27) .. '[31mboo')"
hostile closing 'closing.lua:1: it has run for too long' "$model local x <close> = setmetatable({}, {__close = function() while true do end end})"
hostile huge-pause 'huge-pause.lua:1: seconds from 0 to 1,000,000' "$model $hosts pause(1e300)"
hostile pauses 'pauses.lua:1: it has run for too long' "$model $hosts while true do pause(0) end"
hostile asking 'asking.lua:1: it has run for too long' "$model $hosts eventually(function() while true do end end, 1)"
hostile waiting 'waiting.lua:1: the function of eventually' "$model $hosts eventually(function() pause(1) end, 1)"
hostile sockets 'sockets.lua:1: more than 16384 sockets' "$model $hosts while true do a:socket() end"
hostile segments 'segments.lua:1: it has run for too long' "$model $hosts while true do wire:inject(a, {flags = 'SYN', from = '10.0.0.1:1', to = '10.0.0.2:2', length = 60000}) end"
hostile wires 'wires.lua:1: more than 1024 links' "$model local a, b = host('a'), host('b') for i = 0, 2000 do link(a, '10.0.' .. i // 256 .. '.' .. i % 256, b, '10.1.' .. i // 256 .. '.' .. i % 256) end"
hostile applications 'applications.lua:1: more than 4096 applications' "$model $hosts for i = 1, 60000 do b:serve('10.0.0.2:' .. i, {}) end"
hostile same-port 'same-port.lua:1: bind' "$model $hosts b:serve('10.0.0.2:80', {}) b:serve('10.0.0.2:80', {})"
hostile numbers 'numbers.lua:1: port is a whole number from 0 to 65535' "$model $hosts a:reject{port = 65536}"
hostile no-number 'no-number.lua:1: seq is' "$model $hosts wire:inject(a, {flags = 'SYN', from = '10.0.0.1:1', to = '10.0.0.2:2', seq = 1e12})"
hostile giant-segment 'giant-segment.lua:1: length is at most' "$model $hosts wire:inject(a, {flags = 'SYN', from = '10.0.0.1:1', to = '10.0.0.2:2', length = 70000})"
hostile giant-name 'giant-name.lua:1: ' "$model host(string.rep('x', 60000))"
hostile giant-text 'giant-text.lua:1: rep: longer than' "$model local s = string.rep('x', 1e10)"
hostile width 'width.lua:1: ' "$head string.format('%99999s', 'x')"
hostile program 'program.lua:1: only the cases that' "$head host('a'):run('true')"
hostile writer 'writer.lua:1: only the cases that' "$head host('a'):file('x', 'y')"
{
	echo "$head"
	head -c 300000 /dev/zero | tr '\000' '('
} >"$dir/long.lua"
hostile long 'long.lua: File too large'

# What goes on while somebody waits, and what the model takes, is bounded as the text is.
hostile crowds 'crowds.lua:1: at most 4,000,000 connections' "$model $hosts local l = b:listen('10.0.0.2:80') for k = 0, 19 do l:crowd{here = '10.0.0.2', there = (11 + k) .. '.0.0.1', peers = 60, port = 1, n = 65000} end"
hostile load 'load.lua:1: it has run for too long' "$model $hosts b:serve('10.0.0.2:80', {}) local l = a:load{to = '10.0.0.2:80', total = 1e9} eventually(l, 'done', true)"
hostile load-behind 'load-behind.lua:1: it has run for too long' "$model $hosts a:load{to = '10.0.0.2:80', total = 1e9} expect(1, 1)"
hostile_and_slow loads 'loads.lua:1: it ' "$model $hosts local to = {} for i = 1, 200 do to[i] = '10.0.0.2:' .. i b:serve(to[i], {}) end for i = 1, 61 do a:load{to = to, total = 65000, hold = 1e6, picker = 'uniform'} end pause(100)"
hostile_and_slow ticking 'ticking.lua:1: it has run for too long' "$model $hosts a:load{to = '10.0.0.2:80', total = 4e9, every = 0.0001} pause(1e6)"
hostile floating 'floating.lua:1: it has run for too long' "$model for i = 1, 1e9 do local s = string.format('%99.99f', 1e308) end"
hostile digits 'digits.lua:1: it has run for too long' "$model local s = string.rep('9', 60000) while true do tonumber(s) end"
hostile notes 'notes.lua:1: it has run for too long' "$model $hosts while true do note('x') end"
hostile listing 'listing.lua:1: it has run for too long' "$model $hosts for i = 1, 16000 do a:socket() end while true do a:sockets() end"
hostile inserting 'inserting.lua:1: it has run for too long' "$model local t = {} for i = 1, 1e9 do table.insert(t, 1, i) end"
hostile linking 'linking.lua:1: it has run for too long' "$model $hosts while true do pcall(link, a, '10.1.0.1', b, '10.1.0.2') end"

# What says nothing, and what no stage can do.
hostile translating 'translating.lua:1: the world translates' "$model $hosts a:snat{to = '10.0.0.1'}"
hostile balancing 'balancing.lua:1: only a box balances' "$head $hosts a:balance{to = {'10.0.0.1'}}"
hostile family 'family.lua:1: family is 4 or 6' "$model $hosts a:socket{family = 10}"
hostile half-family 'half-family.lua:1: family is 4 or 6' "$model $hosts a:socket{family = 4.5}"
hostile device 'device.lua:1: SO_BINDTODEVICE is a link' "$model $hosts a:socket{SO_BINDTODEVICE = true}"
hostile range 'range.lua:1: IP_LOCAL_PORT_RANGE is' "$model $hosts a:socket{IP_LOCAL_PORT_RANGE = true}"
hostile prefix 'prefix.lua:1: a prefix is is_local, routed or both' "$model $hosts a:prefix('0.0.0.0/0', {})"
hostile expecting 'expecting.lua: nothing is expected' "$model $hosts a:socket()"
hostile controls 'controls.lua:1: more than 4096 line controls' "$model $hosts while true do wire:drop(a, 'SYN') end"
hostile many-values 'many-values.lua:1: a call has too many values' "$model local function f(...) return f(1, 2, 3, 4, ...) end f()"
for of in 'socket()' "listen('10.0.0.2:80')" "connect('10.0.0.1:80')" "serve('10.0.0.2:80')" "load{to = '10.0.0.1:80', total = 1}" \
	"find('10.0.0.1:1', '10.0.0.2:2')" "destroy('10.0.0.1:1', '10.0.0.2:2')" 'sockets()' "count('LISTEN')" "sysctl('net.ipv4.tcp_tw_reuse')"; do
	hostile box-host 'box-host.lua:1: a box has neither' "$model local a, b = host('a'), box('b') link(a, '10.0.0.1', b, '10.0.0.2') b:$of"
done
hostile box-state 'box-state.lua:1: a box has neither' "$model local a, b = host('a'), box('b') link(a, '10.0.0.1', b, '10.0.0.2') expect(b.TIME_WAIT, 0)"
hostile box-counter 'box-counter.lua:1: a box has neither' "$model local a, b = host('a'), box('b') link(a, '10.0.0.1', b, '10.0.0.2') expect(b.ListenDrops, 0)"
hostile families 'families.lua:1: to and from are of one family' "$model $hosts a:load{to = {'10.0.0.2:80', '[fd00::1]:80'}, total = 5}"
hostile bits 'bits.lua:1: .* is no prefix' "$model $hosts a:drop{from = '10.0.0.0/8x'}"
hostile naming 'naming.lua:1: a name has 1 to 31 characters$' "$model host('')"

# Where another stage can do it, it is no misuse, and the line is told all the same.
cat >"$dir/translates.lua" <<'EOF'
case {about = "x"}
local a, b = pair("a 10.0.0.1", "b 10.0.0.2")
a:snat{to = "10.0.0.1"}
expect(1, 1)
EOF
tap_status "what only the model cannot" 3 "$TCPWHY" lab --release 3.10 "$dir/translates.lua"
tap_has "is told with its line" "line 3: the world translates"

tap_done
