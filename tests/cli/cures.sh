#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cures.sh - every cure that comes with a command, typed as it was printed, in the namespace where they are asked
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
. tests/cli/lib/tap.sh
tap_private tests/cli/cures.sh
. tests/cli/lib/cures.sh

every_scene own
nothing_is_left_out

tap_done
