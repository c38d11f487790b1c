#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lease.sh - the lease protocol: kill -9 of its users, and the model for spin; TIME_WAIT on every port of
# the range; a short run of each
#
# make check-leases runs both at length.
set -eu

cd "$(dirname "$0")/../.."
BUILD=$(dirname "${TCPWHY:-build/tcpwhy}")
. tests/cli/lib/tap.sh

tap_status "500 deaths" 0 "$BUILD/lease-kill" --kills 500 --seed "${TCPWHY_SEED:-1}"
if echo "$out" | grep -q '^# skip: '; then
	echo "$out" | grep '^# skip: '
fi

if command -v spin >/dev/null; then
	tap_status "the protocol in spin, one life each" 0 tests/lease/run-spin short
else
	tap_skip "the protocol in spin" "spin is not installed"
fi

if [ "$(id -u)" = 0 ]; then
	tap_status "who listens while TIME_WAIT covers the range" 0 "$BUILD/starved" --tcpwhy "${TCPWHY:-build/tcpwhy}"
	tap_has "connect() goes on" '^ok .*connect\(\) goes on'
	tap_has "run --lease listens" '^ok .*run --lease listens'
else
	tap_skip "who listens while TIME_WAIT covers the range" "needs root: a network namespace and its sysctls"
fi

tap_done
