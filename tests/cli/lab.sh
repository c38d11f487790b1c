#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab.sh - tcpwhy lab: the table of releases, the cases, and files that are no cases
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/lab.sh

dir=$(mktemp -d /tmp/tcpwhy-lab.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

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

tap_done
