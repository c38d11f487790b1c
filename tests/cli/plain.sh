#!/bin/sh
# SPDX-License-Identifier: MIT
#
# plain.sh - a word of the command line that is printed again moves no terminal
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/plain.sh

tap_folder plain
unset XDG_RUNTIME_DIR
word=$(printf '/no\033[31m\302\233\177/x')

# Each is asked with the word in place of WORD. It is wrong everywhere, so nothing is done.
while read -r command; do
	set --
	for part in $command; do
		[ "$part" != WORD ] && set -- "$@" "$part" || set -- "$@" "$word"
	done
	run timeout 20 "$TCPWHY" "$@"
	bad=$(echo "$out" | tr -d '\n' | tr -d '\040-\176')
	tap_equal "tcpwhy $command" "$(printf %s "$bad" | od -An -tx1)" ""
	[ "$status" != 124 ] && [ "$status" != 0 ] && tap_point 1 "fails" || tap_point 0 "fails"
done <<'END'
WORD
bind WORD
bind 192.0.2.1:80 --netns WORD
connect WORD
connect 192.0.2.1:80 --from WORD
doctor WORD
doctor --netns WORD
log WORD
lab WORD
sock WORD 80
sock 127.0.0.1 WORD
run --reuseaddr -- WORD
run WORD
run --local-port-range WORD -- true
port WORD
port init WORD
port init 20000-20009 --folder WORD
port list --netns WORD
port release WORD
fix WORD
fix sysctl WORD
fix sysctl WORD=1
fix sysctl tcp_tw_reuse=1 --netns WORD
fix sysctl tcp_tw_reuse=1 --for WORD
fix sysctl tcp_tw_reuse=1 --journal WORD
fix yaml WORD
fix yaml sysctl --kube WORD tcp_tw_reuse=1
fix yaml init-container --kube 1.29 --image WORD tcp_tw_reuse=1
fix destroy-time-wait WORD
fix destroy-time-wait 127.0.0.1:80 --device WORD
fix reuseaddr --pid WORD
fix hook --cgroup WORD reuseaddr
fix hook --cgroup / WORD
fix undo WORD
END
ip link set lo up
run "$TCPWHY" bind ü
tap_has "letters of other languages stay" "'ü'"

tap_done
