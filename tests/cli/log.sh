#!/bin/sh
# SPDX-License-Identifier: MIT
#
# log.sh - tcpwhy log: what it finds in files, pipes and logs that grow, and what it asks of the kernel
set -eu

cd "$(dirname "$0")/../.."
TCPWHY=${TCPWHY:-build/tcpwhy}
RESTART=${RESTART:-$(dirname "$TCPWHY")/examples/restart}
. tests/cli/lib/tap.sh
tap_private tests/cli/log.sh

tap_folder log

log()
{
	"$TCPWHY" log "$@"
}

complains() # STATUS PATTERN ARGUMENTS...: one clear line on stderr
{
	want=$1 pattern=$2
	shift 2
	status=0
	"$TCPWHY" log "$@" >/dev/null 2>"$dir/err" </dev/null || status=$?
	out=$(cat "$dir/err")
	if [ "$status" = "$want" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -Eq -- "$pattern" "$dir/err"; then
		tap_point 1 "status $want and one line: tcpwhy log $*"
	else
		tap_point 0 "status $want and one line with '$pattern': tcpwhy log $*"
	fi
}

# ------------------------------------------------------------------------------------- bad input

echo "nothing of note" >"$dir/quiet.log"
complains 2 "no such option: --ask" --ask
complains 2 "no such option: -x" -x
complains 2 "needs a value: --pid" "$dir/quiet.log" --pid
complains 2 "not a process id: 0" "$dir/quiet.log" --pid 0
complains 2 "not a name or path" "$dir/quiet.log" --netns ''
complains 2 "--netns and --pid" "$dir/quiet.log" --netns a --pid 1
complains 2 "--follow follows one file" -f "$dir/quiet.log" "$dir/quiet.log"
complains 3 "no-such-file: No such file" "$dir/no-such-file"
complains 3 "Is a directory" "$dir"
complains 3 "no-such-file: No such file" -f "$dir/no-such-file"
# UTF-16, either way round: none of its lines would be recognised.
printf '\377\376b\000i\000' >"$dir/little.log"
printf '\376\377\000b\000i' >"$dir/big.log"
complains 3 "little.log: is UTF-16" "$dir/little.log"
complains 3 "big.log: is UTF-16" "$dir/big.log"
complains 3 "big.log: is UTF-16" -f "$dir/big.log"
tap_status "UTF-16" 3 log "$dir/little.log"
tap_equal "is not told to have nothing" "$(echo "$out" | grep -c NOTHING)" 0
complains 3 "no-such-ns" tests/logs/nginx.log --netns no-such-ns
printf 'a\302\233b\233c\303\233d: bind: Address already in use: 127.0.0.1:80\n' >"$dir/c1.log"
run log --no-ask "$dir/c1.log"
tap_equal "C1 controls do not reach the terminal" \
	"$(echo "$out" | grep -c "$(printf 'a b c\303\233d:')")" 1
for unread in "$dir" "$dir/no-such-file" "$dir/no-such-file $dir"; do
	# shellcheck disable=SC2086 # two files
	tap_equal "what could not be read has no verdict" "$(log --no-ask $unread 2>/dev/null || true)" ""
done
run log --no-ask "$dir/quiet.log" "$dir/no-such-file" "$dir/quiet.log"
tap_has "only files that were read are counted" 'in 2 lines of 2 files'
tap_status "--help" 0 log --help
tap_has "names the options" '^  --no-ask '

# --------------------------------------------------------------------------------------- finding

tap_status "nothing found" 0 log "$dir/quiet.log"
tap_has "is said first" '^NOTHING +no failed bind, connect or connection in 1 line of'
: >"$dir/empty.log"
tap_status "an empty file" 0 log "$dir/empty.log"
run sh -c '"$1" log <"$2"' sh "$TCPWHY" "$dir/quiet.log"
tap_equal "without FILE standard input is read" "$status" 0
tap_has "and named -" 'in 1 line of -'
run sh -c '"$1" log - --no-ask <tests/logs/nginx.log' sh "$TCPWHY"
tap_equal "something found" "$status" 1
tap_has "with -, too" '^FOUND .* in 13 lines of -'
tap_has "--no-ask gives the command to type" '^ask +tcpwhy bind 0.0.0.0:80 --reuseaddr$'
tap_status "of two files" 1 log "$dir/quiet.log" tests/logs/go.log --no-ask
tap_has "each failure says whose line it is" 'go.log:1\)$'
tap_status "one that cannot be read, one that can" 3 log "$dir/no-such-file" tests/logs/go.log --no-ask
tap_has "and what is in the other is shown" '^FOUND '
run sh -c '"$1" log tests/logs/go.log --no-ask >/dev/full' sh "$TCPWHY"
tap_equal "an answer that cannot be written is not given" "$status" 3

for i in 1 2 3; do
	echo "web: listen tcp :8080: bind: address already in use"
	echo "ordinary"
done >"$dir/repeats.log"
tap_status "repeats" 1 log "$dir/repeats.log" --no-ask
tap_has "are one, with first and last line" 'bind :8080 failed with EADDRINUSE .*go, 3 lines: 1 to 5'

# ---------------------------------------------------------------- the reports' four lines, asked

tap_status "the four ways in which Java says it" 1 log tests/logs/java-logs.log
tap_has "nothing holds the port now" '^OK +bind\(0.0.0.0:8080\) and listen\(\) succeed now'
tap_equal "one question for the four" "$(echo "$out" | grep -c 'the same question as 1')" 3

run "$RESTART" serve 127.0.0.1:8080 2
tap_status "the same after a server with clients ended" 1 log tests/logs/java-logs.log
tap_has "the port is held" '^REFUSED +bind\(0.0.0.0:8080\) fails now with EADDRINUSE, for another'
tap_has "by what" '^why +2 closed connections in TIME_WAIT'
tap_has "and what helps" '^cures +1 '
tap_has "in one word how to see all" '^more +tcpwhy bind 0.0.0.0:8080 --reuseaddr$'
"$TCPWHY" bind 0.0.0.0:8080 --reuseaddr --json >"$dir/bind.json" || true
log tests/logs/java-logs.log --json >"$dir/log.json" || true
tap_equal "its answer is the one of tcpwhy bind" \
	"$(grep -m1 '"rule"' "$dir/log.json" | tr -d ' ')" "$(grep '"rule"' "$dir/bind.json" | tr -d ' ')"
out=$(cat "$dir/log.json")
tap_has "JSON of schema 1" '^  "schema": 1,'
tap_equal "five groups" "$(grep -c '"format"' "$dir/log.json")" 5

echo "dial tcp 127.0.0.1:8080: connect: connection refused" >"$dir/connect.log"
tap_status "a connect" 1 log "$dir/connect.log"
tap_has "is asked as one" '^more +tcpwhy connect 127.0.0.1:8080$'
echo "dial tcp db.example:5432: connect: connection refused" >"$dir/name.log"
tap_status "a name" 1 log "$dir/name.log"
tap_has "is not looked up" '^not asked +the log has a name'

# ------------------------------------------------------------------------------------- following

follow() # FILE: in the background, its output in $dir/out
{
	"$TCPWHY" log -f "$1" --no-ask >"$dir/out" 2>&1 &
	follower=$!
	started="$started $follower"
}

stop()
{
	kill "$follower"
	status=0
	wait "$follower" || status=$?
	out=$(cat "$dir/out")
}

refused()
{
	printf 'dial tcp 10.0.0.1:%s: connect: connection refused\n' "$1"
}

refused 1001 >"$dir/app.log"
follow "$dir/app.log"
tap_await grep -Eq '10.0.0.1:1001' "$dir/out" && first=yes || first=no
tap_equal "-f shows what was there" "$first" yes
printf 'dial tcp 10.0.0.1:1002: connect: conn' >>"$dir/app.log"
sleep 0.3
echo 'ection refused' >>"$dir/app.log"
tap_await grep -Eq '10.0.0.1:1002' "$dir/out" && got=yes || got=no
tap_equal "and a line that came in two parts" "$got" yes
refused 1003 >"$dir/app.log"
tap_await grep -Eq '10.0.0.1:1003' "$dir/out" && got=yes || got=no
tap_equal "and after the file was cut" "$got" yes
mv "$dir/app.log" "$dir/app.log.1"
refused 1004 >>"$dir/app.log.1"
tap_await grep -Eq '10.0.0.1:1004' "$dir/out" && got=yes || got=no
refused 1005 >"$dir/app.log"
tap_await grep -Eq '10.0.0.1:1005' "$dir/out" && got="$got yes" || got=no
tap_equal "and in both files when it is rotated" "$got" "yes yes"
i=0
while [ $i -lt 9 ]; do
	refused 1005
	i=$((i + 1))
done >>"$dir/app.log"
tap_await grep -Eq '10 lines' "$dir/out" && got=yes || got=no
tap_equal "a repeat is shown again at the tenth" "$got" yes
stop
tap_equal "a signal ends it, with the status of what was found" "$status" 1
tap_has "and the sum" '^FOUND +14 lines'

run sh -c '(cat tests/logs/tomcat.log; sleep 1) | "$1" log -f - --no-ask --json' sh "$TCPWHY"
tap_equal "-f - ends with its input" "$status" 1
tap_equal "--json: one object a line" "$(echo "$out" | grep -vc '^{"schema":1,"group":{.*}}$')" 0

# ---------------------------------------------------------------------------------------- bounds

# A failure on each of 600 ports, and a line of 4 MB: the table is full, the rest is counted.
i=0
while [ $i -lt 600 ]; do
	echo "listen tcp :$((10000 + i)): bind: address already in use"
	i=$((i + 1))
done >"$dir/many.log"
head -c 4000000 /dev/zero | tr '\0' x >>"$dir/many.log"
tap_status "more kinds than the table holds" 1 log "$dir/many.log" --no-ask
tap_has "are counted" '^not shown +88 lines of other kinds'

tap_done
