#!/bin/sh
# SPDX-License-Identifier: MIT
#
# identical.sh - the same input gives the same output, byte for byte: run after run, with gcc and with
# clang, whatever fresh memory holds
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh

seed=${TCPWHY_SEED:-1}
echo "# seed $seed"
tap_folder identical

# The pure folders that a host needs, and nothing else.
compile() # NAME COMPILER FLAGS...
{
	name=$1
	shift
	tap_status "$name compiles" 0 "$@" -std=c17 -D_GNU_SOURCE -Iinclude -Isrc -o "$dir/$name" \
		tests/cli/lib/trace.c src/base/*.c src/engine/*.c src/segment/*.c
}

trace() # NAME SEED FILL OUT
{
	status=0
	"$dir/$1" "$2" "$3" >"$dir/$4" || status=$?
}

same() # TEXT
{
	if [ "$status" = 0 ] && cmp "$dir/first" "$dir/other" >"$dir/cmp" 2>&1; then
		tap_point 1 "$1"
	else
		out=$(cat "$dir/cmp")
		tap_point 0 "$1"
	fi
}

compile gcc gcc -O2
trace gcc "$seed" 0 first
tap_equal "the trace is long" "$([ "$(wc -l <"$dir/first")" -gt 20000 ] && echo yes)" yes
tap_equal "and has every release" "$(grep -c '^row ' "$dir/first")" \
	"$("$TCPWHY" lab --releases --json | jq '.releases | length')"
trace gcc "$seed" 0 other
same "two runs"
trace gcc "$seed" 165 other
same "two runs with other fresh memory"
trace gcc "$((seed + 1))" 0 other
tap_equal "another seed is another trace" "$(cmp -s "$dir/first" "$dir/other" && echo same)" ""

if command -v clang >/dev/null 2>&1; then
	compile clang clang -O1
	trace clang "$seed" 90 other
	same "gcc and clang"
else
	tap_skip "gcc and clang" "clang is not installed"
fi

tap_done
