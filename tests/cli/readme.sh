#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readme.sh - README.md shows what the program prints: its commands are typed again, and what comes is held
# against the text, but for times and the ports that the kernel chose
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/readme.sh

tap_folder readme
PATH=$(cd "$(dirname "$TCPWHY")" && pwd):$PATH
export PATH

# The block of README.md whose first command is COMMAND.
block() # COMMAND
{
	awk -v first="\$ $1" '
		/^```/ { inside = !inside; mine = 0; next }
		inside && $0 == first { mine = 1 }
		mine' README.md
}

# The commands of a block and what they print now.
transcript() # FILE
{
	between=
	grep '^\$ ' "$1" | while read -r _ command; do
		printf '%s$ %s\n' "$between" "$command"
		sh -c "$command" 2>&1 </dev/null || true
		between='
'
	done
}

masked() # FILE
{
	sed -E 's/^ *[0-9.]+ ms/TIME ms/; s/\b[0-9.]+ s\b/TIME s/g; s/127\.0\.0\.1:[0-9]{5}\b/127.0.0.1:PEER/' "$1"
}

holds() # COMMAND
{
	block "$1" >"$dir/text"
	transcript "$dir/text" >"$dir/now"
	masked "$dir/text" >"$dir/text.masked"
	masked "$dir/now" >"$dir/now.masked"
	tap_status "$1: there is an example" 0 test -s "$dir/text"
	tap_status "$1: as README.md shows it" 0 diff -u "$dir/text.masked" "$dir/now.masked"
}

if [ "$TAP_ROOT" = 1 ]; then
	run "$RESTART" serve 127.0.0.1:8080 3
	holds 'tcpwhy bind 127.0.0.1:8080'
else
	tap_skip "tcpwhy bind 127.0.0.1:8080" "not root: the options of a TIME_WAIT are not seen"
fi

case $(uname -r) in
6.18.*) holds 'tcpwhy lab only-two-ports --release 6.18.y -v' ;;
*) tap_skip "tcpwhy lab" "the kernel that runs is no 6.18, which the example is of" ;;
esac

tap_done
