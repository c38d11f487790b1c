#!/bin/sh
# SPDX-License-Identifier: MIT
#
# runner.sh - tools/run-tests counts what a test program does wrong, even if it says nothing of it
set -eu

cd "$(dirname "$0")/../.."
. tests/cli/lib/tap.sh

tap_folder runner

judged() # TEXT COUNTS SCRIPT
{
	echo "$3" >"$dir/program"
	run tools/run-tests --one "$dir" it 2 sh "$dir/program"
	tap_equal "$1" "$(sed -n 1p "$dir/it.result")" "$2"
	rm -f "$dir"/it.*
}

judged "all is well" "2 0 0" 'echo 1..2; echo ok 1; echo "ok 2 - b"'
judged "the plan may come last" "1 0 0" 'echo ok 1; echo 1..1'
judged "a point fails" "1 1 0" 'echo 1..2; echo ok 1; echo "not ok 2 - b"; exit 1'
judged "a skip, as cmocka prints it" "1 0 1" 'echo 1..2; echo ok 1; echo "not ok 2 # SKIP b"'
judged "a skip, as TAP has it" "1 0 1" 'echo 1..2; echo ok 1; echo "ok 2 - b # SKIP no root"'
judged "all is skipped" "0 0 1" 'echo "1..0 # SKIP no root"'
judged "all is skipped, with status 77" "0 0 1" 'echo "1..0 # SKIP no root"; exit 77'
judged "status 77 without a word" "0 1 0" 'exit 77'
judged "a crash after the last point" "1 1 0" 'echo 1..1; echo ok 1; kill -SEGV $$'
judged "a crash on the way" "1 1 0" 'echo 1..3; echo ok 1; kill -ABRT $$'
judged "no plan" "1 1 0" 'echo ok 1'
judged "nothing at all" "0 1 0" 'true'
judged "fewer points than planned" "1 1 0" 'echo 1..2; echo ok 1'
judged "status 1 without a failed point" "1 1 0" 'echo 1..1; echo ok 1; exit 1'
judged "it gives up" "0 1 0" 'echo 1..2; echo "Bail out! no kernel"; exit 1'
judged "a word that only begins like ok" "1 0 0" 'echo 1..1; echo okay; echo ok 1'
# shellcheck disable=SC2016 # the program's own dollars
judged "a sanitizer report that nobody looked at" "1 1 0" \
	'echo 1..1; echo ok 1; echo "runtime error" >"${ASAN_OPTIONS##*log_path=}.77"'
judged "it hangs" "1 1 0" 'echo 1..1; echo ok 1; sleep 60'

tap_done
