#!/bin/sh
# SPDX-License-Identifier: MIT
#
# man.sh - the man page keeps its word: its examples work as written, and it names every field and option
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/man.sh

page=man/tcpwhy.1
tap_folder man
PATH=$(cd "$(dirname "$TCPWHY")" && pwd):$PATH
export PATH

# Two of the holders' states, so that no list in the answers is empty.
run "$RESTART" serve 127.0.0.1:8080 2
sed -n 's/^\.Dl //p' "$page" >"$dir/examples"
n=0
while read -r example; do
	n=$((n + 1))
	run sh -c "$example"
	case $status in
	0 | 1 | 3) tap_point 1 "example: $example" ;;
	*) tap_point 0 "example: $example" ;;
	esac
done <"$dir/examples"
tap_equal "there are examples" "$([ "$n" -gt 3 ] && echo yes)" yes

# Those of the other pages, with programs by the names that stand there: all of one page in one shell, in their order.
examples() # PAGE
{
	{
		echo "cd '$dir'; set -e"
		sed -n 's/^\.Dl //p' "$1" | grep '[a-z=(]*tcpwhy ' | grep -v '^ExecStart='
	} >"$dir/page"
	run sh "$dir/page"
	tap_equal "every example of $1" "$status" 0
}

programs=$(cd "$(dirname "$RESTART")" && pwd)
printf '#!/bin/sh\nexec %s/restart start 127.0.0.1:8090\n' "$programs" >"$dir/server"
printf '#!/bin/sh\nexec %s/outgoing -b -f 127.0.0.1 connect 127.0.0.1:8091 2\n' "$programs" >"$dir/client"
chmod 755 "$dir/server" "$dir/client"
mkfifo "$dir/open"
sleep 60 >"$dir/open" &
started="$started $!"
"$programs/outgoing" serve 127.0.0.1:8091 <"$dir/open" >"$dir/listening" &
started="$started $!"
tap_await grep -q ready "$dir/listening"
run "$RESTART" -r serve 127.0.0.1:8090 1
run "$dir/server"
tap_equal "./server cannot restart" "$status" 1
examples man/tcpwhy-run.1
examples man/tcpwhy-port.1
tap_equal "a pool and its leases are shown" "$(echo "$out" | grep -c 'listen on [0-9]')" 1

# A quotation within a quotation is a macro that took the rest of its line.
if command -v mandoc >/dev/null; then
	for each in man/*.1; do
		nested=$(mandoc -Tutf8 "$each" | col -b | tr '\n' ' ' | grep -o '“[^”]*“' || true)
		tap_equal "no quotation in another: $each" "$nested" ""
	done
else
	tap_skip "no quotation in another" "there is no mandoc"
fi

# What the command's help names.
lacking=
for word in $(tcpwhy --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
	sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$page" | grep -Eq "^\.(Cm|Op Cm) $word\b" || lacking="$lacking $word"
done
tap_equal "every command is in the synopsis" "$lacking" ""
lacking=
for option in $(tcpwhy fix hook --help | grep -o '^ *--[a-z-]*' | tr -d ' '); do
	sed -n '/^\.Ss tcpwhy fix hook/,/^\.Ss tcpwhy fix yaml/p' "$page" |
		grep -q "Fl $(echo "$option" | sed 's/^-//; s/-/\\\\-/g')" || lacking="$lacking $option"
done
tap_equal "every option of fix hook is in its section" "$lacking" ""

names() # the names in the JSON of the last run
{
	echo "$out" | grep -o '"[a-z0-9_]*":' | tr -d '":' | sort -u
}

documented() # TEXT
{
	lacking=
	for name in $(names); do
		grep -qw -- "$name" "$page" || lacking="$lacking $name"
	done
	tap_equal "$1: every name is in the man page" "$lacking" ""
	tap_has "$1: it is JSON of schema 1" '"schema": 1,'
}

run tcpwhy bind 0.0.0.0:8080 --json
documented "bind refused"
run tcpwhy connect 127.0.0.1:8080 --json
documented "connect"
run tcpwhy bind 0.0.0.0:0 --try --json
documented "bind to port 0, with --try"
run tcpwhy log tests/logs/java-logs.log --json
documented "log"
sysctl -qw net.ipv4.ip_local_port_range='8080 8082'
run tcpwhy doctor --json
documented "doctor"
run tcpwhy --all --json
documented "--all"
run tcpwhy fix destroy-time-wait 0.0.0.0:8080 --json --dry-run
documented "fix"
run tcpwhy fix sysctl tcp_rfc1337=1 --json
documented "fix sysctl"
run tcpwhy fix sysctl ip_local_reserved_ports=8080 --json --dry-run --for 'bind 127.0.0.1:8080'
documented "fix sysctl, with a question"
run tcpwhy fix undo --json
documented "fix undo"

run tcpwhy fix yaml init-container --kube 1.29 tcp_tw_reuse=1 --json
documented "fix yaml"

run tcpwhy lab ghost-connection --json
documented "lab"
run tcpwhy lab ghost-connection rst-ignored-but-middlebox-believes --release 6.18.y -v --json
documented "lab -v"
run tcpwhy lab --list --json
documented "lab --list"
# The ids of features are listed by the command itself.
run sh -c "tcpwhy lab --releases --json | grep -v '\"[a-z0-9-]*-[a-z0-9-]*\": {'"
documented "lab --releases"

for command in doctor bind connect log fix 'fix sysctl' 'fix yaml' 'fix destroy-time-wait' 'fix list' 'fix undo' lab; do
	# shellcheck disable=SC2086 # a command and its verb
	run tcpwhy $command --help
	lacking=
	for option in $(echo "$out" | grep -o '^ *--[a-z0-9-]*' | tr -d ' '); do
		case $option in
		--help | --version) continue ;;
		esac
		grep -q "Fl $(echo "$option" | sed 's/^-//; s/-/\\\\-/g')" "$page" || lacking="$lacking $option"
	done
	tap_equal "$command: every option is in the man page" "$lacking" ""
done

tap_done
