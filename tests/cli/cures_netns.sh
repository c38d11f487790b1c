#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cures_netns.sh - every cure that comes with a command, typed as it was printed, from outside: --netns
set -eu

cd "$(dirname "$0")/../.."
# The build with sanitizers plays these scenes in cures.sh.
TCPWHY=${TCPWHY_PLAIN:-${TCPWHY:-build/tcpwhy}}
. tests/cli/lib/tap.sh
tap_private tests/cli/cures_netns.sh
. tests/cli/lib/cures.sh

every_scene netns
nothing_is_left_out

tap_done
