#!/bin/sh
# SPDX-License-Identifier: MIT
#
# layers.sh - tools/check-layers catches what it is for: violations are planted in a copy
set -eu

cd "$(dirname "$0")/../.."
. tests/cli/lib/tap.sh

tap_folder layers
mkdir -p "$dir/build" "$dir/tools" "$dir/src/base" "$dir/src/engine" "$dir/src/explain" "$dir/src/live" \
	"$dir/src/facts" "$dir/include/tcpwhy"
cp tools/check-layers "$dir/tools/"

check()
{
	tap_status "$1" "$2" "$dir/tools/check-layers" build
}

# A small tree that keeps the rules, so that each plant is the only thing wrong.
plant()
{
	echo "$2" >"$dir/src/$1"
}

archives()
{
	rm -f "$dir"/build/*
	for folder in base engine explain; do
		(cd "$dir/build" && ${CC:-cc} -O1 -c -o "$folder.o" "../src/$folder/$folder.c" -I../src -I../include &&
			ar rcs "lib$folder.a" "$folder.o")
	done
}

echo '/* public */' >"$dir/include/tcpwhy/engine.h"
plant base/base.h 'int base(void);'
plant base/base.c '#include "base/base.h"
int base(void) { return 1; }'
plant engine/state.h 'int state;'
plant engine/engine.c '#include "engine/state.h"
#include "tcpwhy/engine.h"
#include "base/base.h"
#include <string.h>
int engine(char *to, const char *from, unsigned long n) { memcpy(to, from, n); return base(); }'
plant explain/explain.c '#include "tcpwhy/engine.h"
int explain(void) { return 0; }'
plant live/live.h 'int live(void);'
archives
check "a tree that keeps the rules passes" 0

plant base/upward.c '#include "live/live.h"'
check "base that includes live" 1
tap_has "file, line and folder are named" 'src/base/upward.c:1: base may not use live'
rm "$dir/src/base/upward.c"

plant explain/inside.c '#  include "engine/state.h"'
check "explain that looks inside the engine" 1
tap_has "the way to go is named" 'tcpwhy/engine.h'
rm "$dir/src/explain/inside.c"

plant explain/dots.c '#include "../live/live.h"'
check "a path with .." 1
rm "$dir/src/explain/dots.c"

plant facts/code.c 'int code;'
check "code among the facts" 1
rm "$dir/src/facts/code.c"

mkdir "$dir/src/utils"
check "a folder that is no layer" 1
tap_has "it is named" 'src/utils is no layer'
rmdir "$dir/src/utils"

plant explain/explain.c '#include <stdio.h>
int explain(void) { return puts("pure?"); }'
archives
check "explain that prints" 1
tap_has "the function and its caller are named" 'puts is called by .*explain'

plant explain/explain.c 'extern int *__errno_location(void);
int explain(void) { return *__errno_location(); }'
archives
check "explain that reads errno" 1

plant explain/explain.c 'int engine(char *, const char *, unsigned long);
int explain(void) { return engine(0, 0, 0); }'
archives
check "pure archives may call each other" 0

mkdir "$dir/src/logs"
plant logs/logs.c 'extern int pcre2_match_8(void);
int logs(void) { return pcre2_match_8(); }'
(cd "$dir/build" && ${CC:-cc} -O1 -c -o logs.o ../src/logs/logs.c && ar rcs liblogs.a logs.o)
check "logs may call PCRE2" 0
plant explain/explain.c 'extern int pcre2_match_8(void);
int explain(void) { return pcre2_match_8(); }'
(cd "$dir/build" && ${CC:-cc} -O1 -c -o explain.o ../src/explain/explain.c && rm libexplain.a &&
	ar rcs libexplain.a explain.o)
check "and explain may not" 1
rm -r "$dir/src/logs" "$dir/build/liblogs.a"
plant explain/explain.c 'int explain(void) { return 0; }'
archives

rm "$dir/build/libengine.a"
check "an archive that was not built" 1

tap_done
