#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh - make demo reaches each of its milestones, as root and without, and leaves nothing behind
set -eu

cd "$(dirname "$0")/../.."
. tests/cli/lib/tap.sh

milestones() # WHO
{
	tap_has "$1: the server ran" 'served 3 clients'
	tap_has "$1: the restart was refused by the kernel" 'bind: Address already in use'
	tap_has "$1: tcpwhy says so first" '^REFUSED .*EADDRINUSE'
	tap_has "$1: the rule has its name" '^rule +bind\.[a-z0-9-]+'
	tap_has "$1: the holders are listed" 'TIME_WAIT +127\.0\.0\.1:8080'
	tap_has "$1: the cure is typed as printed" "^\\\$ tcpwhy fix destroy-time-wait "
	tap_has "$1: it did its work" '^DONE .*destroyed 3 TIME_WAIT'
	tap_has "$1: the real bind() works" 'bind\(\) and listen\(\) succeeded'
	tap_has "$1: tcpwhy agrees" '^OK '
	tap_has "$1: the machine itself was asked" "^\\\$ tcpwhy bind 0\\.0\\.0\\.0:8080"
	tap_has "$1: and answered" '^\(status [013]: '
}

lines()
{
	cat /run/tcpwhy/journal 2>/dev/null | wc -l
}

before=$(lines)
if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
	tap_status "as root" 0 tools/demo
	milestones root
else
	tap_skip "as root" "not root"
fi

nobody()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups env -u XDG_RUNTIME_DIR HOME=/nonexistent "$@"
}
if [ "$(id -u)" = 0 ] && nobody test -x tools/demo && nobody unshare -U -r -n true 2>/dev/null; then
	tap_status "as nobody" 0 nobody tools/demo
	milestones nobody
	tap_has "nobody: what differs is said" 'Not root'
elif [ "$(id -u)" != 0 ] && unshare -U -r -n true 2>/dev/null; then
	tap_status "as this user" 0 tools/demo
	milestones user
else
	tap_skip "without root" "no user namespaces for an ordinary user here"
fi
tap_equal "the host's journal is as it was" "$(lines)" "$before"

tap_done
