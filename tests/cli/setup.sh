#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setup.sh - tools/setup-debian installs what is missing and nothing else, and without root says what to type
#
# A program is hidden by a mount over it, in a mount namespace of our own, and apt-get is a stand-in that
# notes what it was asked and takes the mount away.
set -eu

cd "$(dirname "$0")/../.."
. tests/cli/lib/tap.sh
tap_private tests/cli/setup.sh

tap_folder setup
PATH=$PATH:/usr/sbin:/sbin

run tools/setup-debian --check
bpftool=$(command -v bpftool) || bpftool=
if [ "$status" != 0 ] || [ -z "$bpftool" ] || ! command -v apt-get >/dev/null; then
	tap_skip "setup-debian" "not a Debian with everything installed"
	tap_done
	exit
fi
tap_has "with everything there it only looks" 'nothing is missing'
tap_status "no such option" 2 tools/setup-debian --all

# What the stand-in is asked; "lists" must have been read before it can install.
cat >"$dir/apt-get" <<END
#!/bin/sh
echo "\$*" >>"$dir/asked"
case \$1 in
update) touch "$dir/lists" ;;
install) [ -e "$dir/lists" ] && umount "$bpftool" ;;
esac
END
chmod 755 "$dir" "$dir/apt-get"
mount --bind "$dir/apt-get" "$(command -v apt-get)"
touch "$dir/nothing"

missing=0
for program in nginx curl tshark; do
	command -v $program || missing=1
done >"$dir/there"
if [ $missing = 0 ]; then
	tap_status "what is optional is there" 0 tools/setup-debian --check --optional
fi
while read -r program; do
	mount --bind "$dir/nothing" "$program"
done <"$dir/there"
tap_status "without nginx, curl and tshark nothing is missing" 0 tools/setup-debian --check
tap_status "but what is optional" 1 tools/setup-debian --optional --check
tap_has "by its package, too" 'missing: curl nginx-light tshark$'

mount --bind "$dir/nothing" "$bpftool"

tap_status "--check says what is missing" 1 tools/setup-debian --check
tap_has "by its package, which is not linux-tools" 'missing: bpftool$'

if [ "$TAP_ROOT" = 1 ]; then
	tap_status "without root" 1 setpriv --reuid=65534 --regid=65534 --clear-groups tools/setup-debian
	tap_has "the command for root is complete" \
		'^apt-get update && apt-get install -y --no-install-recommends bpftool$'
	tap_equal "apt-get was not called" "$(cat "$dir/asked" 2>/dev/null)" ""
else
	tap_skip "without root" "there is no second user in this namespace"
fi

tap_status "with root, and without package lists" 0 tools/setup-debian
tap_equal "it tried, read the lists, and installed only what was missing" "$(cut -d ' ' -f 1,4- "$dir/asked" | tr '\n' ';')" \
	"install bpftool;update;install bpftool;"
tap_status "again: nothing is missing" 0 tools/setup-debian
tap_equal "apt-get was not called again" "$(wc -l <"$dir/asked")" 3

tap_done
