#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab_pcap.sh - tcpwhy lab --pcap: what the files are called, where they cannot go, and what tshark says of them
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/lab_pcap.sh

tap_folder pcap
clean_up()
{
	umount "$dir/small" 2>/dev/null || true
}

# Nine segments: two connections, and a third whose last ACK is dropped.
ghost=$dir/ghost.lua
cat >"$ghost" <<'EOT'
case {about = "accept queue full", releases = "3.10 4.9.0 4.9.y 4.19.y 6.1.y 6.18.y"}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2")
local listener = server:listen("10.0.0.2:80", 1)
for _ = 1, 3 do client:start_connect("10.0.0.2:80") end
eventually(server, "ListenOverflows", 1)
expect(listener.accept_queue, 2)
EOT

one() # FILE: a play of the model
{
	timeout 20 "$TCPWHY" lab "$ghost" --release 3.10 --pcap "$1"
}

is_capture() # TEXT FILE: it begins with the magic of a capture with nanoseconds, and has 9 segments of 66 to 70 bytes
{
	tap_equal "$1" "$(od -An -tx4 -N4 "$2" | tr -d ' '), $(wc -c <"$2") bytes" "a1b23c4d, 786 bytes"
}

# ------------------------------------------------------------------------------------- their names

tap_status "one play" 0 one "$dir/one.pcap"
tap_has "its name is told" "^ +capture $dir/one.pcap: 9 segments$"
is_capture "it is a capture" "$dir/one.pcap"
tap_status "several plays" 0 "$TCPWHY" lab "$ghost" only-two-ports --compare 3.10,4.9.y --pcap "$dir/some.pcap"
tap_has "each has its name" "capture $dir/some-only-two-ports-world-4.9.y.pcap: [0-9]+ segments"
tap_equal "and nothing else is there" "$(cd "$dir" && echo some*)" \
	"$(cd "$dir" && echo some-ghost-world-3.10.pcap some-ghost-world-4.9.y.pcap \
		some-only-two-ports-world-3.10.pcap some-only-two-ports-world-4.9.y.pcap)"
mkdir "$dir/a" "$dir/b.d"
cp "$ghost" "$dir/a/x.lua"
cp "$ghost" "$dir/b.d/x.lua"
tap_status "two cases of one name" 0 "$TCPWHY" lab "$dir/a/x.lua" "$dir/b.d/x.lua" --release 3.10 --pcap "$dir/b.d/twins"
tap_has "the first" "capture $dir/b.d/twins-x-world-3.10: 9 segments"
tap_has "the second" "capture $dir/b.d/twins-x-world-3.10-2: 9 segments"
tap_status "as JSON" 0 "$TCPWHY" lab "$ghost" --release 3.10 --json --pcap "$dir/one.pcap"
tap_has "its name" "\"file\": \"$dir/one.pcap\""
tap_has "how many" '"segments": 9,'
tap_has "none is missing" '"not_kept": 0'
cat >"$dir/crowd.lua" <<'EOF'
case {about = "more segments than a play keeps", stages = "world"}
local client, server = pair("client 10.0.0.1", "server 10.0.0.2")
server:serve("10.0.0.2:80", {closes_first = true})
local load = client:load{to = "10.0.0.2:80", total = 12000, every = 0.001}
pause(20)
expect(load.opened, 12000)
EOF
tap_status "a crowd" 0 "$TCPWHY" lab "$dir/crowd.lua" --release 3.10 --pcap "$dir/crowd.pcap"
tap_has "what was not kept is said" "capture $dir/crowd.pcap: 65536 segments; [0-9]+ more were not kept"
rm "$dir/crowd.pcap"

# ---------------------------------------------------------------------------- where there was something

echo old >"$dir/old.pcap"
ln -s old.pcap "$dir/link.pcap"
tap_status "a file that is there" 0 one "$dir/link.pcap"
is_capture "is overwritten, through a symbolic link" "$dir/old.pcap"
tap_equal "which stays one" "$(readlink "$dir/link.pcap")" old.pcap
(umask 027 && one "$dir/modest.pcap" >"$dir/text")
tap_equal "the umask is heard" "$(stat -c %a "$dir/modest.pcap")" 640

# ------------------------------------------------------------------------------------ where it cannot go

tap_status "a directory" 3 one "$dir"
tap_has "it is named" "$dir: Is a directory"
tap_status "no such directory" 3 one "$dir/none/x.pcap"
tap_has "that is told" "$dir/none/x.pcap: No such file or directory"
tap_status "no name" 2 one ""
tap_status "the list plays nothing" 2 "$TCPWHY" lab --list --pcap "$dir/x.pcap"
mkdir "$dir/locked"
chmod 500 "$dir/locked"
if setpriv --reuid 65534 --clear-groups true 2>/dev/null; then
	chmod 755 "$dir"
	tap_status "a locked directory" 3 setpriv --reuid 65534 --clear-groups \
		"$TCPWHY" lab "$ghost" --release 3.10 --pcap "$dir/locked/x.pcap"
	tap_has "that is told" "$dir/locked/x.pcap: Permission denied"
else
	tap_skip "a locked directory" "only root may become another user"
fi
mkdir "$dir/small"
mount -t tmpfs -o size=8k tmpfs "$dir/small"
echo old >"$dir/small/x.pcap"
head -c 4096 /dev/zero >"$dir/small/fill"
tap_status "a full disk" 3 "$TCPWHY" lab who-closes-first --release 6.1.y --pcap "$dir/small/x.pcap"
tap_has "that is told" "$dir/small/x.pcap: No space left on device"
tap_equal "what was there stays" "$(cat "$dir/small/x.pcap")" old
tap_equal "and nothing is left behind" "$(ls "$dir/small")" "$(printf 'fill\nx.pcap')"
tap_status "a full device" 3 one /dev/full
tap_has "that is told" "/dev/full: No space left on device"
tap_status "as JSON" 3 "$TCPWHY" lab "$ghost" --release 3.10 --json --pcap /dev/full
tap_has "it is in the answer" '"wrong": "/dev/full: No space left on device"'

# --------------------------------------------------------------------------------------- what is no file

mkfifo "$dir/fifo"
tap_status "a FIFO that nobody reads" 3 one "$dir/fifo"
tap_has "that is told" "$dir/fifo: nobody reads from it"
cat "$dir/fifo" >"$dir/read.pcap" &
reader=$!
# Until it has opened its end there is no reader.
n=0
while ! one "$dir/fifo" >"$dir/text" 2>&1 && [ $((n += 1)) -lt 1000 ]; do :; done
wait "$reader"
is_capture "a FIFO that is read" "$dir/read.pcap"
one - >"$dir/stdout.pcap" 2>"$dir/text"
is_capture "standard output" "$dir/stdout.pcap"
tap_equal "the verdict is beside it" "$(grep -c '^ok  *ghost ' "$dir/text")" 1
tap_status "two plays to standard output" 2 "$TCPWHY" lab "$ghost" --compare 3.10,4.9.y --pcap -
tap_has "how many they are" "these are 2 plays"
tap_status "and to a FIFO" 2 "$TCPWHY" lab "$ghost" --compare 3.10,4.9.y --pcap "$dir/fifo"
echo 'case {about = "both"} local a, b = pair("a 10.0.0.1", "b 10.0.0.2") b:listen("10.0.0.2:80") expect(a:socket():try_connect("10.0.0.2:80"), "ok")' \
	>"$dir/both.lua"
row=$("$TCPWHY" lab --releases --json | sed -n 's/^    "release": "\([^"]*\)".*/\1/p' | head -n 1)
for stage in world kernel; do
	"$TCPWHY" lab "$dir/both.lua" --release "${row:-6.18.y}" --stage $stage --pcap - >"$dir/stage.pcap" 2>"$dir/text" || :
	tap_equal "one stage's play to standard output: $stage" "$(od -An -tx4 -N4 "$dir/stage.pcap" | tr -d ' ')" a1b23c4d
done
tap_status "no stage" 2 "$TCPWHY" lab "$ghost" --stage moon
tap_has "that is told" "--stage: 'moon' is none"
tap_status "a case that is not for it" 3 "$TCPWHY" lab "$ghost" --release 3.10 --stage kernel
tap_has "that is told" "not played: .*not that stage"
tap_status "two answers to standard output" 2 "$TCPWHY" lab "$ghost" --release 3.10 --json --pcap -

# -------------------------------------------------------------------------------------- what tshark says

# All that is wrong with a packet or its checksums.
wrong='_ws.malformed || _ws.expert.severity == error || _ws.expert.group == "Checksum" ||
	tcp.checksum.status != 1 || ip.checksum.status != 1'

look() # FILE FILTER: how many packets, without anyone's settings
{
	HOME=/nonexistent tshark -r "$1" -o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -Y "$2" 2>/dev/null | wc -l
}

cat >"$dir/six.lua" <<'EOF'
case {about = "IPv6, data, a loss, a segment that nobody sent"}
local client, server, wire = pair("client fd00::1 10.0.0.1", "server fd00::2 10.0.0.2")
local l = server:listen("[fd00::2]:80")
local c = client:connect("[fd00::2]:80")
local s = l:accept()
wire:drop(client, "data", {times = 1})
c:send(100)
eventually(s, "unread", 100)
wire:inject(client, {flags = "RST", from = "10.0.0.1:9", to = "10.0.0.2:9", seq = -1, length = 1000, tsval = 1})
s:recv()
c:close()
eventually(s, "state", "CLOSE_WAIT")
s:close()
EOF
# Of a length that no kernel's wire here takes.
cat >"$dir/huge.lua" <<'EOF'
case {about = "a segment of 65,000 bytes", stages = "world"}
local client, server, wire = pair("client 10.0.0.1", "server 10.0.0.2")
wire:inject(client, {flags = "RST", from = "10.0.0.1:9", to = "10.0.0.2:9", seq = -1, length = 65000, tsval = 1})
expect(server:count("ESTABLISHED", 9), 0)
EOF
if command -v tshark >/dev/null 2>&1 && command -v mergecap >/dev/null 2>&1; then
	cp "$dir/one.pcap" "$dir/bad.pcap"
	printf '\377' | dd of="$dir/bad.pcap" bs=1 seek=80 conv=notrunc 2>/dev/null
	tap_equal "tshark sees a wrong checksum" "$(look "$dir/bad.pcap" "$wrong")" 1
	cp "$dir/one.pcap" "$dir/bad.pcap"
	printf '\040' | dd of="$dir/bad.pcap" bs=1 seek=86 conv=notrunc 2>/dev/null
	tap_equal "and a malformed packet" "$(look "$dir/bad.pcap" "$wrong")" 1
	mkdir "$dir/all"
	# By the build without sanitizers, it is half a minute of processor else; without mesh-320, whose links are not
	# tapped.
	# shellcheck disable=SC2046 # a list of names
	"${TCPWHY_PLAIN:-$TCPWHY}" lab --compare 3.10,6.18.y --pcap "$dir/all/x.pcap" \
		$("$TCPWHY" lab --list --json | sed -n 's/.*"case": "\([^"]*\)".*/\1/p' | grep -vx mesh-320) >"$dir/text" || :
	tap_equal "all cases have captures" "$(find "$dir/all" -type f | wc -l)" "$(grep -c '^ *capture ' "$dir/text")"
	mergecap -a -w "$dir/merged" "$dir"/all/*.pcap
	tap_equal "tshark reads every segment" "$(look "$dir/merged" tcp)" \
		"$(sed -n 's/^ *capture .*: \([0-9]*\) segments.*/\1/p' "$dir/text" | awk '{n += $1} END {print n}')"
	tap_equal "none is malformed, all checksums are right" "$(look "$dir/merged" "$wrong")" 0
	rm -r "$dir/all" "$dir/merged"
	mkdir "$dir/six"
	tap_status "the two are played" 0 \
		"$TCPWHY" lab "$dir/six.lua" "$dir/huge.lua" --release 6.18.y --pcap "$dir/six/x.pcap"
	mergecap -a -w "$dir/merged" "$dir"/six/*
	tap_equal "IPv6, and segments of all kinds" "$(look "$dir/merged" "$wrong")" 0
	plays=$(find "$dir/six" -name 'x-six-*' | wc -l)
	tap_equal "data over IPv6, lost and sent again" "$(look "$dir/merged" 'ipv6 && tcp.len == 100')" $((plays * 2))
	injected='ip && tcp.flags.reset == 1 && tcp.seq_raw == 4294967295'
	tap_equal "what was injected" "$(look "$dir/merged" "$injected && tcp.len == 1000")" "$plays"
	tap_equal "and what only the model carries" "$(look "$dir/merged" "$injected && tcp.len == 65000")" 1
else
	tap_skip "what tshark says" "no tshark: what Wireshark says of our files is not known here"
fi

tap_done
