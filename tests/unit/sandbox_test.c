/* SPDX-License-Identifier: MIT
 *
 * Chunks that want out, or on for ever: each ends within the bounds, with a message that names the
 * line
 */
#include "unit.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "case/sandbox.h"

static const struct sandbox_limits tight = {
	.instructions = 3000000, .bytes = 8u << 20, .wall_ns = 2000000000};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_within(const struct sandbox_limits *limits, const char *text, struct err *err)
{
	struct sandbox *s = sandbox_new(limits);
	double before = seconds();

	assert_non_null(s);
	err->text[0] = '\0';
	int r = sandbox_run(s, "t.lua", text, strlen(text), err);
	sandbox_free(s);
	if (seconds() - before > 3)
		fail_msg("%.1f s: %s", seconds() - before, text);
	return r;
}

/* ------------------------------------------------------------------------------------- hostile */

struct hostile {
	const char *text, *says;
};

static void check_hostile(const struct hostile *h, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err;
		int r = run_within(&tight, h[i].text, &err);
		if (r != -EINVAL || !strstr(err.text, h[i].says))
			fail_msg("%s\n  %d \"%s\", wanted \"%s\"", h[i].text, r, err.text,
				 h[i].says);
	}
}

#define LONG "t.lua:1: it has run for too long"

static void test_endless(void **state)
{
	static const struct hostile table[] = {
		{"while true do end", LONG},
		{"goto x ::x:: goto x", "t.lua:1: "},
		{"::x:: goto x", LONG},
		{"local function f() return f() end f()", LONG},
		{"for i = 1, math.huge do end", LONG},
		{"while true do pcall(error) end", LONG},
		{"local function f() while true do pcall(f) end end f()", LONG},
		{"while true do pcall(function() while true do end end) end", LONG},
		{"pcall(function() while true do end end)\nwhile true do end",
		 "it has run for too long"},
		{"local ok <close> = setmetatable({}, {__close = function() while true do end "
		 "end})",
		 LONG},
		{"local t = setmetatable({}, {__index = function() while true do end end}) return "
		 "t.x",
		 LONG},
		{"string.format('%s', setmetatable({}, {__tostring = function() while true do end "
		 "end}))",
		 LONG},
		{"table.sort({3, 2, 1}, function() while true do end end)", LONG},
		{"local t = {} for i = 1, 60000 do t[i] = i % 7 end while true do table.sort(t) "
		 "end",
		 LONG},
		{"local s = ('x'):rep(60000) while true do s:find('y') end", LONG},
		{"local s = ('x'):rep(60000) while true do s:upper() end", LONG},
		{"local t = {} for i = 1, 1000 do t[i] = i end while true do for k in pairs(t) do "
		 "end "
		 "end",
		 LONG},
		{"local t = {} for i = 1, 1000 do t[i] = i end\n"
		 "while true do table.insert(t, 1, 0) table.remove(t, 1) end",
		 "t.lua:2: it has run for too long"},
	};

	(void)state;
	check_hostile(table, sizeof(table) / sizeof(table[0]));
}

static void test_greedy(void **state)
{
	static const struct hostile table[] = {
		{"local s = 'x'\nwhile true do s = s .. s end",
		 "t.lua:2: it takes too much memory"},
		{"local t = {} while true do t[#t + 1] = {} end",
		 "t.lua:1: it takes too much memory"},
		{"local t = {} for i = 1, 1e9 do t[i] = i end", "too much memory"},
		{"while true do pcall(function() local s = 'x' while true do s = s .. s end end) "
		 "end",
		 "t.lua:1: it "},
		{"local s = ('x'):rep(65536) local t = {} while true do t[#t + 1] = s .. #t end",
		 "too much memory"},
		/* each step shifts the whole stack, and is no instruction */
		{"local m = {} local a = setmetatable({}, m) m.__call = a\na()",
		 "t.lua:2: it takes too much memory"},
		/* so does this, with values that no function of C has */
		{"local function h() local n = 0 for i = 1, 300 do n = n + 1 end end "
		 "local function f(...) h() return f(1, 2, 3, 4, ...) end f()",
		 "t.lua:1: a call has too many values"},
		{"local function g(n, ...) if n > 0 then return g(n - 1, 1, 2, 3, 4, ...) end "
		 "while true do select('#', ...) end end g(150)",
		 "t.lua:1: it takes too much memory"},
		{"select('#', ('x'):rep(60000):byte(1, -1))",
		 "t.lua:1: byte: more than 200 values"},
		{"while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) "
		 "end",
		 "too much memory"},
		{"('x'):rep(1e9)", "rep: longer than 65536"},
		{"('x'):rep(-1, 1):rep(math.maxinteger)\n;('ab'):rep(math.maxinteger)",
		 "t.lua:2: rep"},
		{"string.format(('%99d'):rep(2000), 1)", "the text would be too long"},
		{"string.format('%s%s', ('x'):rep(65536), 'y')", "the text would be too long"},
		{"string.format('%100d', 1)", "t.lua:1: "},
		{"local t = {} for i = 1, 300 do t[i] = i end table.unpack(t)",
		 "more than 200 values"},
		{"table.concat(setmetatable({}, {__len = function() return 1e15 end})) "
		 "table.insert({}, 1e15, 1)",
		 "position out of bounds"},
		{"local s = ('x'):rep(65536) local t = {} for i = 1, 1000 do t[i] = s end "
		 "table.concat(t, s)",
		 "too much memory"},
	};

	(void)state;
	check_hostile(table, sizeof(table) / sizeof(table[0]));
}

static void test_deep(void **state)
{
	static const struct hostile table[] = {
		{"local function f() return 1 + f() end f()", "t.lua:1: it takes too much memory"},
		{"local function f() return pcall(f) end error(tostring(f()))", "t.lua:1: "},
		{"local t = {} for i = 1, 1e6 do t = {t} end error('alive')", "too much memory"},
		{"local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
		 "t.lua:1: "},
		{"local t = {} setmetatable(t, {__tostring = function(s) return tostring(s) end}) "
		 "tostring(t)",
		 "t.lua:1: "},
	};
	char nested[20000];
	struct err err;

	(void)state;
	check_hostile(table, sizeof(table) / sizeof(table[0]));
	memset(nested, '(', sizeof(nested) - 1);
	nested[sizeof(nested) - 1] = '\0';
	assert_int_equal(run_within(&tight, nested, &err), -EINVAL);
	assert_string_equal(err.text, "t.lua: C stack overflow");
}

static void test_no_way_out(void **state)
{
	static const char *const names[] = {
		"os",
		"io",
		"require",
		"package",
		"load",
		"loadfile",
		"dofile",
		"loadstring",
		"debug",
		"coroutine",
		"xpcall",
		"next",
		"collectgarbage",
		"print",
		"warn",
		"utf8",
		"math.randomseed",
		"string.dump",
		"string.gsub",
		"string.gmatch",
		"string.match",
		"string.pack",
		"string.unpack",
		"table.move",
		"table.pack",
	};
	static const struct hostile table[] = {
		{"setmetatable({}, {__gc = function() while true do end end})",
		 "t.lua:1: a metatable"},
		{"setmetatable({}, {__mode = 'k'})", "t.lua:1: a metatable"},
		{"getmetatable('').__index = nil", "t.lua:1: "},
		{"string.format('%p', {})", "%p would show an address"},
		{"string.format('%-20.3p', {})", "%p would show an address"},
		{"pairs({[{}] = 1})", "has no place in any order"},
		{"\033Lua", "t.lua"},
		{"\033LuaT\0\0", "t.lua: attempt to load a binary chunk"},
		{"\nerror({})", "t.lua:2: it raised a table as an error"},
		{"error(nil)", "t.lua:1: it raised a nil"},
		{"error(setmetatable({}, {__tostring = function() while true do end end}))",
		 "t.lua:1: it raised a table as an error"},
		{"local x <close> = setmetatable({}, {__close = function() error({}) "
		 "end}) error('y')",
		 "t.lua:1: it raised a table as an error"},
		{"local function f(n) local x <close> = setmetatable({}, {__close = function() "
		 "f(n + 1) end}) error(n) end f(1)",
		 "t.lua:1: it "},
		{"error('\033[2J')", "?[2J"},
		{"x = = 1", "t.lua:1: unexpected symbol"},
		{"\n\nlocal x = nil + 1", "t.lua:3: attempt to perform arithmetic"},
		{"\n\nfoo()", "t.lua:3: attempt to call a nil value (global 'foo')"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[128];
		struct err err;
		snprintf(text, sizeof(text), "assert(%s == nil)", names[i]);
		if (run_within(&tight, text, &err))
			fail_msg("%s is there: %s", names[i], err.text);
	}
	check_hostile(table, sizeof(table) / sizeof(table[0]));
}

/* ----------------------------------------------------------------------------------- what works */

static void check_true(const char *text)
{
	struct err err;

	if (run_within(&sandbox_limits_default, text, &err))
		fail_msg("%s: %s", text, err.text);
}

static void test_library(void **state)
{
	(void)state;
	check_true(
		"local s = '' for k, v in pairs({b = 2, a = 1, [3] = 3, [1] = 1, [true] = 0}) do "
		"s = s .. tostring(k) end assert(s == '13abtrue', s)");
	check_true(
		"local t = {a = 1, b = 2} for k in pairs(t) do t[k] = nil end assert(t.a == nil)");
	check_true("local t = {a = 1, b = 2} for k in pairs(t) do t.b = nil assert(k == 'a') end");
	check_true(
		"local t = {5, 2, 9, 1} table.sort(t) assert(table.concat(t, ' ') == '1 2 5 9')");
	check_true("local t = {'b', 'a', 'ab', ''} table.sort(t, function(a, b) return a > b end) "
		   "assert(table.concat(t, ',') == 'b,ab,a,')");
	check_true("local t = {} table.insert(t, 'b') table.insert(t, 1, 'a') "
		   "assert(table.remove(t) == 'b' and table.remove(t) == 'a' and table.remove(t) "
		   "== nil)");
	check_true("assert(select('#', table.unpack({1, 2, 3})) == 3)");
	check_true(
		"assert(('a.b'):find('.') == 2 and ('ab'):find('') == 1 and not ('ab'):find('c'))");
	check_true("local a, b = ('xabx'):find('ab', -3) assert(a == 2 and b == 3)");
	check_true(
		"assert(('abc'):byte() == 97 and ('abc'):byte(-1) == 99 and not ('abc'):byte(4))");
	check_true("local a, b, c = ('abc'):byte(-5, 9) assert(a == 97 and b == 98 and c == 99)");
	check_true("assert(select('#', ('abc'):byte(3, 2)) == 0 and "
		   "select('#', ('x'):rep(200):byte(1, -1)) == 200)");
	check_true(
		"assert(('ab'):rep(3) == 'ababab' and ('x'):rep(0) == '' and ('x'):rep(-1) == '')");
	check_true("assert(string.format('%5.1f %d %s %q', 1.25, 3, true, 'x') == '  1.2 3 true "
		   "\"x\"')");
	check_true("assert(tostring({}) == 'table' and tostring(print) == 'nil')");
	check_true("assert(tostring(setmetatable({}, {__tostring = function() return 'x' end})) == "
		   "'x')");
	check_true("assert(not pcall(error) and pcall(function() end))");
	check_true("assert(math.type(1) == 'integer' and 7 // 2 == 3)");
}

/* The same numbers for a seed, others for another. */
static lua_Integer drawn(uint64_t seed)
{
	static const char text[] = "x = math.random(1000000000)";
	struct sandbox *s = sandbox_new(&tight);
	struct err err;

	assert_non_null(s);
	sandbox_seed(s, seed);
	assert_int_equal(sandbox_run(s, "t.lua", text, strlen(text), &err), 0);
	lua_getglobal(sandbox_lua(s), "x");
	lua_Integer x = lua_tointeger(sandbox_lua(s), -1);
	sandbox_free(s);
	return x;
}

static void test_random_follows_the_seed(void **state)
{
	(void)state;
	assert_int_equal(drawn(1), drawn(1));
	assert_int_not_equal(drawn(1), drawn(2));
}

/* A waiting function of the caller's, which does not count instructions. */
static int nap(lua_State *l)
{
	const struct timespec t = {.tv_nsec = 20000000};

	nanosleep(&t, NULL);
	sandbox_charge(l, 1);
	return 0;
}

/* Each step is cheap, there is no instruction to count, and nobody waits. */
static int work(lua_State *l)
{
	for (volatile unsigned i = 0; i < 100000; i++)
		;
	sandbox_charge(l, 1);
	return 0;
}

static void test_processor_time(void **state)
{
	static const char text[] = "while true do pcall(work) end";
	const struct sandbox_limits brief = {
		.instructions = 1u << 30, .bytes = 1u << 20, .processor_ns = 100000000};
	struct sandbox *s = sandbox_new(&brief);
	struct err err;

	(void)state;
	lua_register(sandbox_lua(s), "work", work);
	assert_int_equal(sandbox_run(s, "t.lua", text, strlen(text), &err), -EINVAL);
	assert_string_equal(err.text, "t.lua:1: it has taken too much time");
	sandbox_free(s);
}

static void test_wall_clock(void **state)
{
	static const char text[] = "while true do pcall(nap) end";
	const struct sandbox_limits brief = {
		.instructions = 1u << 30, .bytes = 1u << 20, .wall_ns = 100000000};
	struct sandbox *s = sandbox_new(&brief);
	struct err err;

	(void)state;
	lua_register(sandbox_lua(s), "nap", nap);
	assert_int_equal(sandbox_run(s, "t.lua", text, strlen(text), &err), -EINVAL);
	assert_string_equal(err.text, "t.lua:1: it has taken too much time");
	sandbox_free(s);
}

static int stop(lua_State *l)
{
	sandbox_stop(l);
}

static void test_stop_cannot_be_caught(void **state)
{
	static const char text[] = "while true do pcall(stop) reached = true end";
	struct sandbox *s = sandbox_new(&tight);
	struct err err = {"untouched"};

	(void)state;
	lua_register(sandbox_lua(s), "stop", stop);
	assert_int_equal(sandbox_run(s, "t.lua", text, strlen(text), &err), -ECANCELED);
	assert_string_equal(err.text, "untouched");
	lua_getglobal(sandbox_lua(s), "reached");
	assert_true(lua_isnil(sandbox_lua(s), -1));
	sandbox_free(s);
}

static void test_too_long(void **state)
{
	char *text = malloc(SANDBOX_TEXT_MAX + 1);
	struct sandbox *s = sandbox_new(&tight);
	struct err err;

	(void)state;
	memset(text, ' ', SANDBOX_TEXT_MAX + 1);
	assert_int_equal(sandbox_run(s, "t.lua", text, SANDBOX_TEXT_MAX, &err), 0);
	assert_int_equal(sandbox_run(s, "t.lua", text, SANDBOX_TEXT_MAX + 1, &err), -EINVAL);
	assert_string_equal(err.text, "t.lua: longer than 256 KiB");
	sandbox_free(s);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_greedy),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_no_way_out),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_random_follows_the_seed),
		cmocka_unit_test(test_processor_time),
		cmocka_unit_test(test_wall_clock),
		cmocka_unit_test(test_stop_cannot_be_caught),
		cmocka_unit_test(test_too_long),
	};

	return unit_run("sandbox", tests);
}
