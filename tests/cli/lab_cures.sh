#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab_cures.sh - the cases that end with tcpwhy's own cure: failure, cure, cured, undone, failure; and nothing is left
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/lab_cures.sh

dir=$(mktemp -d /tmp/tcpwhy-cures.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

row=$("$TCPWHY" lab --releases --json | jq -r .this.nearest)

# What the kernel's play says, each expectation on one line: "ok the sentence".
play() # CASE [CMD...]: plays it, by CMD; false: not on this kernel
{
	case=$1
	shift
	run "$@" "$TCPWHY" lab "$case" --json --release "$row"
	if [ "$status" = 3 ]; then
		tap_skip "$case" "it is not for $row: $(printf "%s\n" "$out" | jq -r '.cases[0].verdict')"
		return 1
	fi
	tap_point "$([ "$status" = 0 ] && echo 1 || echo 0)" "$case holds"
	out=$(printf "%s\n" "$out" | jq -r '.cases[0].plays[] | select(.stage == "kernel") | .expectations[]
		| (if .skipped then "skip " + .text + ": " + .skipped elif .holds then "ok " else "BAD " end) + .text')
}

# The sentences come in this order, others between them.
tells() # CASE SENTENCE...
{
	play "$1" || return 0
	shift
	at=1
	for sentence in "$@"; do
		found=$(echo "$out" | tail -n "+$at" | grep -n -x -F -m 1 -- "ok $sentence" | cut -d : -f 1) || true
		if [ -z "$found" ]; then
			tap_point 0 "$case: $sentence"
			return
		fi
		tap_point 1 "$case: $sentence"
		at=$((at + found))
	done
}

tells restart-in-time-wait \
	"tcpwhy fix destroy-time-wait 0.0.0.0:8083" \
	"destroyed: nothing holds the port" \
	"the next life leaves the next one" \
	"the program that died did not set it" \
	"it starts: tcpwhy run --reuseaddr -- 8085" \
	"it starts: tcpwhy run --reuseaddr -- 8085" \
	"without run: as before" \
	"fix reuseaddr set it" \
	"undone: as before"
tells bind0-starves-while-connect-works \
	"SO_REUSEADDR on both is not enough" \
	"tcpwhy fix sysctl net.ipv4.ip_autobind_reuse=1" \
	"and with ip_autobind_reuse=1 (5.7) for any" \
	"tcpwhy fix undo" \
	"as before" \
	"a server that lets the kernel choose its port finds none" \
	"run --lease: it has one of a pool" \
	"without run: as before"
tells bind-then-connect-waste \
	"two ports are two connections, wherever they go" \
	"with run, six" \
	"without run: as before"
tells virtual-source-addresses \
	"a program that calls bind(), and both ports are taken" \
	"with run, both ports for each destination" \
	"without run: as before"
tells pod-sysctl \
	"the pod's own TIME_WAIT stands in its way" \
	"one word: no program has that name" \
	"what fix yaml says, verbatim: sh -c sysctl -w net.ipv4.tcp_tw_reuse=1" \
	"connect() in the pod takes its TIME_WAIT over" \
	"a new pod, without the init container" \
	"fix sysctl --pid" \
	"tcpwhy fix undo" \
	"undone: as before" \
	"and the node was left alone"
tells tw-reuse-one-second \
	"tcp_tw_reuse=0" \
	"tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1" \
	"cured: the same TIME_WAIT are no obstacle" \
	"tcpwhy fix undo" \
	"undone: as before"
tells more-quadruplets \
	"two ports, two connections" \
	"tcpwhy fix sysctl net.ipv4.ip_local_port_range='50000 50003'" \
	"fix sysctl: two ports more" \
	"tcpwhy fix undo" \
	"undone: as before"
if echo "$out" | grep -q '^skip'; then
	tap_skip "more-quadruplets: fix hook" "$(echo "$out" | grep '^skip')"
else
	for sentence in "two ports, and both are in TIME_WAIT" "fix hook: two ports of each address"; do
		tap_has "more-quadruplets: $sentence" "^ok $sentence"
	done
	tap_equal "more-quadruplets: undone twice" "$(echo "$out" | grep -c '^ok undone: as before')" 2
fi
tells proxy-upstream \
	"tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1" \
	"a TIME_WAIT older than a second is taken over" \
	"tcpwhy fix undo" \
	"502: the ten TIME_WAIT are a second old, and in the way" \
	"tcpwhy fix sysctl net.ipv4.tcp_tw_reuse=1" \
	"fix sysctl: all ten are taken over" \
	"tcpwhy fix undo" \
	"undone: as before"

# Without privileges: in a user namespace, where BPF and foreign cgroups are out of reach.
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
if [ "$TAP_ROOT" = 1 ] && nobody unshare -U -r -n true 2>/dev/null && nobody test -x "$TCPWHY"; then
	play more-quadruplets nobody || :
	tap_has "nobody: a wider range" "^ok fix sysctl: two ports more"
	tap_has "nobody: what cannot be tried is said" "^skip "
	play bind0-starves-while-connect-works nobody || :
	tap_has "nobody: a pool, and run" "^ok run --lease: it has one of a pool"
	play pod-sysctl nobody || :
	tap_has "nobody: from the node into the pod" "^ok fix sysctl --pid"
else
	tap_skip "nobody plays" "not root, or nobody makes no user namespaces or cannot read the program"
fi

# ------------------------------------------------------------------------------------ what is left

# In a PID namespace of their own, so that what a play leaves running can be told from all else.
cat >"$dir/alone" <<'END'
"$1" lab --release 6.18.y restart-in-time-wait pod-sysctl >/dev/null || exit
tries=0
while [ "$(ps -e -o stat= | grep -vc Z)" -gt 3 ] && [ $tries -lt 100 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
ps -e -o stat=,args= | grep -v -e ^Z -e 'ps -e' -e grep -e "sh $0"
:
END
tap_status "plays in a PID namespace" 0 unshare -p -f --mount-proc sh "$dir/alone" "$TCPWHY"
tap_equal "no process is left" "$out" ""
tap_equal "no journal, pool or pin" "$(find /run /sys/fs/bpf -name 'ports-*' -o -name 'journal*' -o -path '*/bpf/*' 2>/dev/null)" ""

cgroups=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
for cgroup in "${cgroups:-/nonexistent}"/tcpwhy-lab-*; do # another lab may have some, for a moment
	tries=0
	while [ -d "$cgroup" ] && [ $tries -lt 300 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	tap_equal "no cgroup" "$([ -d "$cgroup" ] && echo "$cgroup")" ""
done

tap_done
