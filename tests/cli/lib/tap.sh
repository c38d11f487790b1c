# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# tap.sh - what the tests of the command begin with: TAP points over commands, their status and output
#
# run CMD... keeps the status in $status and stdout and stderr in $out; the points below look at them.
# tap_private and tap_folder are the scene: a namespace, a folder, and that nothing of either stays behind.

tap_n=0
tap_bad=0

run()
{
	status=0
	out=$("$@" 2>&1 </dev/null) || status=$?
}

tap_point() # PASSED(0/1) TEXT
{
	tap_n=$((tap_n + 1))
	if [ "$1" = 1 ]; then
		echo "ok $tap_n - $2"
		return
	fi
	tap_bad=$((tap_bad + 1))
	echo "not ok $tap_n - $2"
	echo "status $status, output:" | sed 's/^/# /'
	echo "$out" | sed 's/^/# /'
}

tap_status() # TEXT STATUS CMD...
{
	tap_text=$1 tap_want=$2
	shift 2
	run "$@"
	if [ "$status" = "$tap_want" ]; then
		tap_point 1 "$tap_text"
	else
		tap_point 0 "$tap_text (status $tap_want wanted)"
	fi
}

tap_has() # TEXT PATTERN: the output of the last run has a line that matches
{
	if echo "$out" | grep -Eq -- "$2"; then
		tap_point 1 "$1"
	else
		tap_point 0 "$1 (wanted: $2)"
	fi
}

tap_equal() # TEXT GOT WANTED
{
	if [ "$2" = "$3" ]; then
		tap_point 1 "$1"
	else
		tap_point 0 "$1 (got \"$2\", wanted \"$3\")"
	fi
}

tap_skip() # TEXT REASON
{
	tap_n=$((tap_n + 1))
	echo "# skip: $2"
	echo "ok $tap_n - $1 # SKIP $2"
}

tap_done()
{
	echo "1..$tap_n"
	[ "$tap_bad" = 0 ]
}

# Starts the script anew in a network and mount namespace of its own, with an empty /run, so that neither
# sockets nor journal nor caches are the host's. Root's, or else a user namespace's; $TAP_ROOT is 1 or 0.
# Returns inside; without either the whole script is one skip.
tap_private()
{
	if [ "${TAP_INSIDE:-}" = "$1" ]; then
		mount -t tmpfs tmpfs /run
		ip link set lo up
		return
	fi
	TAP_INSIDE=$1
	TAP_ROOT=1
	export TAP_INSIDE TAP_ROOT
	unshare -n -m true 2>/dev/null && exec unshare -n -m sh "$1"
	TAP_ROOT=0
	unshare -U -r -n -m true 2>/dev/null && exec unshare -U -r -n -m sh "$1"
	echo "# skip: neither root nor user namespaces: no network namespace can be made"
	echo "1..0 # SKIP no network namespace can be made"
	exit 0
}

# $dir is a folder of our own. At the end it goes, and so do the processes whose ids $started names: only what
# was started here. A script with more to clean up defines clean_up, which is called between the two.
tap_folder() # NAME
{
	dir=$(mktemp -d "/tmp/tcpwhy-$1.XXXXXX")
	started=
	trap tap_clean_up EXIT
	trap 'exit 130' INT TERM
}

tap_clean_up()
{
	for pid in $started; do
		kill "$pid" 2>/dev/null || true
	done
	clean_up
	rm -rf "$dir"
}

clean_up()
{
	:
}

tap_await() # CMD...: until it succeeds; twenty seconds at most
{
	tap_tries=0
	until "$@" >/dev/null 2>&1; do
		tap_tries=$((tap_tries + 1))
		[ "$tap_tries" -lt 400 ] || return 1
		sleep 0.05
	done
}

# tap_hold NAME COMMAND...: in the background until its input, kept open by a writer of its own, ends;
# its output is in $dir/NAME.
tap_hold()
{
	tap_held=$1
	shift
	mkfifo "$dir/$tap_held.in"
	sleep 600 >"$dir/$tap_held.in" &
	started="$started $!"
	echo "$!" >"$dir/$tap_held.pid"
	"$@" <"$dir/$tap_held.in" >"$dir/$tap_held" 2>&1 &
	started="$started $!"
	tap_await grep -q ready "$dir/$tap_held"
}

tap_let_go() # NAME
{
	kill "$(cat "$dir/$1.pid")"
	rm -f "$dir/$1.in"
}
