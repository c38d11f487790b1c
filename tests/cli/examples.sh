#!/bin/sh
# SPDX-License-Identifier: MIT
#
# examples.sh - examples/ that are not used by another test: what they print is true
#
# The engine as a port manager: its figures follow from the rules that it names. A client in user space:
# what its lines say adds up to its summary, and to what this kernel counts. Each is built by hand as its
# header says.
set -eu

cd "$(dirname "$0")/../.."
BUILD=$(dirname "${TCPWHY:-build/tcpwhy}")
. tests/cli/lib/tap.sh

tap_folder examples

# --------------------------------------------------------------------------------- built by hand

# What the libraries were built with.
flags=
! nm "$BUILD/libbase.a" 2>/dev/null | grep -q __asan_ || flags=-fsanitize=address,undefined
for each in examples/*.c; do
	line=$(sed -n '/^ \* gcc /,/^ \*\/*$/p' "$each" | sed 's/^ \*[ \/]*//' | tr '\n' ' ' |
		sed "s|-Lbuild|-L$BUILD $flags|; s|-o |-o $dir/|")
	tap_status "$each: by the line in its header" 0 sh -c "${line:-false} && test -x '$dir/$(basename "$each" .c)'"
done
tap_equal "make examples is a target" "$(make -pq BUILD="$BUILD" examples 2>/dev/null | grep -c '^examples: .*rawclient')" 1
run "$dir/portmanager"
tap_equal "portmanager built by hand says the same" "$out" "$("$BUILD/examples/portmanager")"

# ------------------------------------------------------------------------------- the port manager

# The eight ports of the first line, in the order of their choice.
chosen()
{
	echo "$out" | sed -n 's/.*ports \([0-9 ]*\)$/\1/p'
}

for release in 3.10 6.18.y; do
	tap_status "portmanager by the rules of $release" 0 "$BUILD/examples/portmanager" "$release"
	# shellcheck disable=SC2046 # words
	set -- $(chosen)
	tap_equal "$release: each of eight ports once" "$(printf '%s\n' "$@" | sort -u | tr '\n' ' ')" \
		"61000 61001 61002 61003 61004 61005 61006 61007 "
	tap_has "$release: then there is none" ' 0\.0 s  connect to 192\.0\.2\.80: EADDRNOTAVAIL, connect\.no-port-for-destination$'
	tap_has "$release: but one for another destination" ' 0\.0 s  connect to 192\.0\.2\.81: port 610'
	tap_has "$release: closed at 1 s is back at 61 s" ' 10\.0 s  0 free, 8 taken, 0 TIME_WAIT .*back at 61\.0 s$'
	tap_has "$release: and no sooner" ' 10\.0 s  connect to 192\.0\.2\.80: EADDRNOTAVAIL'
	tap_has "$release: the first that was closed is the first that is back" "61\.0 s  connect to 192\.0\.2\.80: port $1$"
	tap_has "$release: tcp_tw_reuse opens the other seven" '61\.0 s  0 free, 1 taken, 7 TIME_WAIT to be taken over'
	tap_has "$release: and one of them is taken" '61\.0 s  connect .*port 610.*instead of its TIME_WAIT'
	case $release in
	3.10) order=$(printf '%s\n' "$@" | awk 'NR > 1 && $1 != last + 1 { jumps++ } { last = $1 } END { print jumps + 0 <= 1 }') ;;
	*) order=$(printf '%s\n' "$@" | awk '$1 % 2 != (NR > 4) { wrong = 1 } END { print !wrong }') ;;
	esac
	tap_equal "$release: in that release's order" "$order" 1
done
tap_status "no such release" 2 "$BUILD/examples/portmanager" 2.2
tap_has "it is named, and the others are listed" "'2\.2' is not a release"
tap_has "each of them" '^  3\.10 .* 6\.18\.y 7\.2\.y$'
tap_status "an argument too many" 2 "$BUILD/examples/portmanager" 3.10 6.18.y
tap_has "it is named" "'6\.18\.y' is one argument too many"
for option in -h --help; do
	tap_status "portmanager $option" 0 "$BUILD/examples/portmanager" $option
	tap_has "portmanager $option: the usage" '^usage: portmanager'
done
tap_status "portmanager: nowhere to write to" 1 sh -c "'$BUILD/examples/portmanager' >/dev/full"
tap_equal "two runs are alike" "$("$BUILD/examples/portmanager")" "$("$BUILD/examples/portmanager" 6.18.y)"

# ------------------------------------------------------------------------- the client in user space

if ! unshare -n true 2>/dev/null && ! unshare -U -r -n true 2>/dev/null; then
	tap_skip "rawclient" "neither root nor user namespaces: no network namespace can be made"
	tap_done
	exit
fi

# plays TEXT ARGUMENTS...: runs it, counts its lines, and holds the summary to them. A port that was opened before
# must meet a TIME_WAIT, another must not: the client's look at the kernel against the lines before.
plays()
{
	plays_text=$1
	shift
	tap_status "$plays_text" 0 "$BUILD/examples/rawclient" "$@"
	counted=$(echo "$out" | awk '
		$2 == "port" {
			was = $4 == "TIME_WAIT"
			lost = / failed$/
			if (was != ($3 in seen))
				wrong++
			if (!lost)
				seen[$3] = 1
			met += was; opened += !lost; failed += lost
			at_once += was && !lost && !/RST/
			after += was && !lost && /RST/
		}
		END {
			for (port in seen)
				kept++
			printf "%d opened, %d failed; %d SYNs met a TIME_WAIT: %d accepted at once, %d after a RST\n",
				opened, failed, met, at_once, after
			printf "the server keeps %d in TIME_WAIT\n", kept
			if (wrong)
				print wrong " TIME_WAIT where none should be, or none where one should be"
		}')
	tap_equal "$plays_text: it adds up" "$(echo "$out" | tail -n 2)" "$counted"
}

plays "sixteen ports, sixteen connections" -p sequential -n 16
tap_has "none meets a TIME_WAIT" '^16 opened, 0 failed; 0 SYNs met'

plays "sixteen ports, twice as many connections" -p sequential -n 32
tap_has "each of the second round does, and none fails" '^32 opened, 0 failed; 16 SYNs met .* [1-9][0-9]* accepted at once, [1-9][0-9]* after a RST'

plays "random ports come back sooner" -n 16
tap_has "within the first round" '^16 opened, 0 failed; [1-9][0-9]* SYNs met'

plays "the server has tcp_rfc1337=1" -f -n 32
tap_has "connections fail" '^[0-9]+ opened, [1-9][0-9]* failed; .* 0 after a RST'
tap_has "by an ACK, a RST, and silence" 'TIME_WAIT  > SYN < ACK > RST > SYN > SYN  failed'

plays "with timestamps" -f -t -n 32
tap_has "none fails, for each SYN is newer" '^32 opened, 0 failed; ([1-9][0-9]*) SYNs met a TIME_WAIT: \1 accepted at once, 0 after a RST'

plays "ports as Linux 3.10's connect() chooses them" -p 3.10 -n 17
tap_has "it counts: none comes back before the seventeenth" '^17 opened, 0 failed; 1 SYNs met'
plays "ports as Linux 6.18's does" -p 6.18.y -n 16
tap_equal "it prefers half of them" "$(echo "$out" | awk '$2 == "port" && $3 % 2' | wc -l)" 0
tap_has "so they come back" '^16 opened, 0 failed; ([89]|1[0-5]) SYNs met'

for picker in rfc6056-1 rfc6056-2 rfc6056-3 rfc6056-4 rfc6056-5; do
	plays "ports by $picker" -p $picker -t -n 24 -r 50000-50007
	tap_has "$picker: all are opened, eight ports are not enough" '^24 opened, 0 failed; (1[6-9]|2[0-3]) SYNs met'
done

# Ports and ends, not each segment: a SYN that waited too long for a busy machine is sent again.
for seed in 7 7 8; do
	"$BUILD/examples/rawclient" -s $seed | awk '$2 == "port" { print $3, $4, $NF }' >"$dir/$seed.play"
	[ -e "$dir/first" ] || mv "$dir/$seed.play" "$dir/first"
done
tap_status "one seed, one play" 0 cmp "$dir/first" "$dir/7.play"
tap_status "another seed, another play" 1 cmp "$dir/first" "$dir/8.play"
wrong() # VALUE PATTERN ARGUMENTS...
{
	wrong_value=$1 wrong_text=$2
	shift 2
	tap_status "rawclient $*" 2 "$BUILD/examples/rawclient" "$@"
	tap_has "rawclient $*: what is wrong" "'$wrong_value' is $wrong_text"
}

wrong dice 'not a picker' -p dice
wrong 5-4 'not LOW-HIGH' -r 5-4
wrong 5-9x 'not LOW-HIGH' -r 5-9x
wrong 100000 'not a number from 1 to 4095$' -n 100000
wrong 0 'not a number from 1 to 4095$' -n 0
wrong 3x 'not a number' -s 3x
wrong 48 'one argument too many' 48
for option in -h --help; do
	tap_status "rawclient $option" 0 "$BUILD/examples/rawclient" $option
	tap_has "rawclient $option: the usage" '^usage: rawclient'
	tap_has "rawclient $option: the maximum" '^-n N .* at most 4095'
done
tap_status "rawclient: nowhere to write to" 1 sh -c "'$BUILD/examples/rawclient' -n 3 >/dev/full"
tap_has "it says so" 'standard output: No space left on device'

tap_done
