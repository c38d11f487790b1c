/* SPDX-License-Identifier: MIT */
#include "case/sandbox_library.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "case/sandbox.h"

enum {
	TEXT_MAX = 1 << 16, /* of what format() and rep() make */
	VALUES_MAX = 200,   /* that a call gives */
	BYTES_A_UNIT = 16,  /* moved or compared, as dear as an instruction */
	COMPARISON = 4,     /* units */
	FAILURE = 100,      /* of a pcall() */
	SHIFT = 2,          /* of one value of a table */
	FLOATING = 1000,    /* a number with its point: up to 17 us, as %99.99f of 1e308 */
};

static void charge_bytes(lua_State *l, size_t n)
{
	sandbox_charge(l, 1 + n / BYTES_A_UNIT);
}

/* ------------------------------------------------------------------------------------------- base
 */

const char *sandbox_tostring(lua_State *l, int i, size_t *len)
{
	switch (lua_type(l, i)) {
	case LUA_TNUMBER:
	case LUA_TSTRING:
	case LUA_TBOOLEAN:
	case LUA_TNIL:
		return luaL_tolstring(l, i, len);
	}
	/* __tostring gives text; without it luaL_tolstring() would show where the object lies. */
	if (luaL_getmetafield(l, i, "__tostring") != LUA_TNIL) {
		lua_pop(l, 1);
		return luaL_tolstring(l, i, len);
	}
	lua_pushstring(l, luaL_typename(l, i));
	return lua_tolstring(l, -1, len);
}

static int base_tostring(lua_State *l)
{
	luaL_checkany(l, 1);
	sandbox_tostring(l, 1, NULL);
	return 1;
}

/* Finalizers would run outside all bounds, and weak tables change when the collector likes. */
static int base_setmetatable(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TTABLE);
	luaL_argexpected(l, lua_isnil(l, 2) || lua_istable(l, 2), 2, "nil or table");
	if (lua_istable(l, 2)) {
		static const char *const refused[] = {"__gc", "__mode"};
		for (int i = 0; i < 2; i++) {
			lua_pushstring(l, refused[i]);
			if (lua_rawget(l, 2) != LUA_TNIL)
				return luaL_error(l, "a metatable may not have %s here",
						  refused[i]);
			lua_pop(l, 1);
		}
	}
	if (luaL_getmetafield(l, 1, "__metatable") != LUA_TNIL)
		return luaL_error(l, "this metatable cannot be changed");
	lua_settop(l, 2);
	lua_setmetatable(l, 1);
	return 1;
}

/* To raise and to catch is dear. */
static int base_pcall(lua_State *l)
{
	luaL_checkany(l, 1);
	const int status = lua_pcall(l, lua_gettop(l) - 1, LUA_MULTRET, 0);

	if (status != LUA_OK)
		sandbox_charge(l, FAILURE);
	luaL_checkstack(l, 1, NULL);
	lua_pushboolean(l, status == LUA_OK);
	lua_insert(l, 1);
	return lua_gettop(l);
}

/* Numbers before text before booleans: an order that does not hang on where things lie. */
static int key_rank(lua_State *l, int i)
{
	switch (lua_type(l, i)) {
	case LUA_TNUMBER:
		return 0;
	case LUA_TSTRING:
		return 1;
	case LUA_TBOOLEAN:
		return 2;
	}
	return luaL_error(l, "pairs: a key that is no number, text or boolean has no place in any "
			     "order");
}

static bool is_less(lua_State *l, int a, int b)
{
	size_t na, nb;

	sandbox_charge(l, COMPARISON);
	if (lua_type(l, a) != LUA_TSTRING || lua_type(l, b) != LUA_TSTRING)
		return lua_compare(l, a, b, LUA_OPLT);
	/* Bytes, not the locale's opinion of them. */
	const char *sa = lua_tolstring(l, a, &na), *sb = lua_tolstring(l, b, &nb);
	size_t n = na < nb ? na : nb;
	charge_bytes(l, n);
	int order = memcmp(sa, sb, n);
	return order ? order < 0 : na < nb;
}

static bool is_key_less(lua_State *l, int a, int b)
{
	int ra = key_rank(l, a), rb = key_rank(l, b);

	if (ra != rb)
		return ra < rb;
	return ra == 2 ? !lua_toboolean(l, a) && lua_toboolean(l, b) : is_less(l, a, b);
}

/* ---------------------------------------------------------------------------------------- sorting
 */

typedef bool less_fn(lua_State *l, int a, int b);

/* By the function at index 2. */
static bool is_called_less(lua_State *l, int a, int b)
{
	a = lua_absindex(l, a);
	b = lua_absindex(l, b);
	sandbox_charge(l, 1);
	lua_pushvalue(l, 2);
	lua_pushvalue(l, a);
	lua_pushvalue(l, b);
	lua_call(l, 2, 1);
	bool less = lua_toboolean(l, -1);
	lua_pop(l, 1);
	return less;
}

static bool is_slot_less(lua_State *l, int t, lua_Integer i, lua_Integer j, less_fn *less)
{
	lua_rawgeti(l, t, i);
	lua_rawgeti(l, t, j);
	bool is = less(l, -2, -1);
	lua_pop(l, 2);
	return is;
}

static void swap(lua_State *l, int t, lua_Integer i, lua_Integer j)
{
	lua_rawgeti(l, t, i);
	lua_rawgeti(l, t, j);
	lua_rawseti(l, t, i);
	lua_rawseti(l, t, j);
}

static void sift(lua_State *l, int t, lua_Integer root, lua_Integer n, less_fn *less)
{
	for (lua_Integer child; (child = 2 * root) <= n; root = child) {
		if (child < n && is_slot_less(l, t, child, child + 1, less))
			child++;
		if (!is_slot_less(l, t, root, child, less))
			return;
		swap(l, t, root, child);
	}
}

/* A heap: n log n whatever the comparison says. */
static void sort(lua_State *l, int t, lua_Integer n, less_fn *less)
{
	for (lua_Integer i = n / 2; i >= 1; i--)
		sift(l, t, i, n, less);
	for (lua_Integer i = n; i > 1; i--) {
		swap(l, t, 1, i);
		sift(l, t, 1, i - 1, less);
	}
}

/* Upvalues: the table, its keys in order, how many are done. */
static int pairs_next(lua_State *l)
{
	lua_Integer i = lua_tointeger(l, lua_upvalueindex(3));

	for (;;) {
		sandbox_charge(l, 1);
		lua_rawgeti(l, lua_upvalueindex(2), ++i);
		lua_pushinteger(l, i);
		lua_replace(l, lua_upvalueindex(3));
		if (lua_isnil(l, -1))
			return 1;
		lua_pushvalue(l, -1);
		if (lua_rawget(l, lua_upvalueindex(1)) != LUA_TNIL)
			return 2;
		/* It was removed meanwhile. */
		lua_pop(l, 2);
	}
}

static int base_pairs(lua_State *l)
{
	lua_Integer n = 0;

	luaL_checktype(l, 1, LUA_TTABLE);
	lua_settop(l, 1);
	lua_newtable(l);
	lua_pushnil(l);
	while (lua_next(l, 1)) {
		sandbox_charge(l, 1);
		lua_pop(l, 1);
		key_rank(l, -1);
		lua_pushvalue(l, -1);
		lua_rawseti(l, 2, ++n);
	}
	sort(l, 2, n, is_key_less);
	lua_pushinteger(l, 0);
	lua_pushcclosure(l, pairs_next, 3);
	return 1;
}

/* ------------------------------------------------------------------------------------------ table
 */

/* Raw: __len and __index could make a loop of any length out of one call. */
static lua_Integer check_array(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TTABLE);
	return (lua_Integer)lua_rawlen(l, 1);
}

static int table_insert(lua_State *l)
{
	lua_Integer n = check_array(l), at = n + 1;

	if (lua_gettop(l) == 3) {
		at = luaL_checkinteger(l, 2);
		luaL_argcheck(l, at >= 1 && at <= n + 1, 2, "position out of bounds");
		sandbox_charge(l, (uint64_t)(n - at + 2) * SHIFT);
		for (lua_Integer i = n; i >= at; i--) {
			lua_rawgeti(l, 1, i);
			lua_rawseti(l, 1, i + 1);
		}
	} else if (lua_gettop(l) != 2) {
		return luaL_error(l, "insert takes a table, a position or none, and a value");
	}
	lua_rawseti(l, 1, at);
	return 0;
}

static int table_remove(lua_State *l)
{
	lua_Integer n = check_array(l), at = luaL_optinteger(l, 2, n);

	if (!n)
		return 0;
	luaL_argcheck(l, at >= 1 && at <= n, 2, "position out of bounds");
	sandbox_charge(l, (uint64_t)(n - at + 1) * SHIFT);
	lua_rawgeti(l, 1, at);
	for (lua_Integer i = at; i < n; i++) {
		lua_rawgeti(l, 1, i + 1);
		lua_rawseti(l, 1, i);
	}
	lua_pushnil(l);
	lua_rawseti(l, 1, n);
	return 1;
}

static int table_concat(lua_State *l)
{
	lua_Integer n = check_array(l);
	size_t len;
	const char *between = luaL_optlstring(l, 2, "", &len);
	luaL_Buffer b;

	luaL_buffinit(l, &b);
	for (lua_Integer i = 1; i <= n; i++) {
		if (lua_rawgeti(l, 1, i) != LUA_TSTRING && lua_type(l, -1) != LUA_TNUMBER)
			return luaL_error(l, "concat: value %d is a %s", (int)i,
					  luaL_typename(l, -1));
		charge_bytes(l, lua_rawlen(l, -1) + len);
		luaL_addvalue(&b);
		if (i < n)
			luaL_addlstring(&b, between, len);
	}
	luaL_pushresult(&b);
	return 1;
}

static int table_unpack(lua_State *l)
{
	lua_Integer n = check_array(l);

	sandbox_charge(l, (uint64_t)n);
	if (n > VALUES_MAX)
		return luaL_error(l, "unpack: more than %d values", VALUES_MAX);
	luaL_checkstack(l, (int)n, NULL);
	for (lua_Integer i = 1; i <= n; i++)
		lua_rawgeti(l, 1, i);
	return (int)n;
}

static int table_sort(lua_State *l)
{
	lua_Integer n = check_array(l);
	bool by_function = !lua_isnoneornil(l, 2);

	if (by_function)
		luaL_checktype(l, 2, LUA_TFUNCTION);
	lua_settop(l, 2);
	sort(l, 1, n, by_function ? is_called_less : is_less);
	return 0;
}

/* ----------------------------------------------------------------------------------------- string
 */

/* A place in a text of that length; a negative one counts from the end. */
static lua_Integer place_in(size_t len, lua_Integer at)
{
	if (at < 0)
		return at < -(lua_Integer)len ? 0 : (lua_Integer)len + at + 1;
	return at;
}

static int string_byte(lua_State *l)
{
	size_t len;
	const char *s = luaL_checklstring(l, 1, &len);
	lua_Integer from = place_in(len, luaL_optinteger(l, 2, 1));
	lua_Integer to = place_in(len, luaL_optinteger(l, 3, from));

	if (from < 1)
		from = 1;
	if (to > (lua_Integer)len)
		to = (lua_Integer)len;
	if (from > to)
		return 0;
	if (to - from >= VALUES_MAX)
		return luaL_error(l, "byte: more than %d values", VALUES_MAX);
	luaL_checkstack(l, (int)(to - from + 1), NULL);
	for (lua_Integer i = from; i <= to; i++)
		lua_pushinteger(l, (unsigned char)s[i - 1]);
	return (int)(to - from + 1);
}

static int string_find(lua_State *l)
{
	size_t len, n;
	const char *s = luaL_checklstring(l, 1, &len), *what = luaL_checklstring(l, 2, &n);
	lua_Integer from = place_in(len, luaL_optinteger(l, 3, 1));

	if (from < 1)
		from = 1;
	if (from > (lua_Integer)len + 1)
		return 0;
	charge_bytes(l, len + n);
	const char *at = memmem(s + from - 1, len - (size_t)(from - 1), what, n);
	if (!at)
		return 0;
	lua_pushinteger(l, at - s + 1);
	lua_pushinteger(l, at - s + (lua_Integer)n);
	return 2;
}

static int string_rep(lua_State *l)
{
	size_t len;
	const char *s = luaL_checklstring(l, 1, &len);
	lua_Integer n = luaL_checkinteger(l, 2);
	luaL_Buffer b;

	if (n > 0 && len && (size_t)n > TEXT_MAX / len)
		return luaL_error(l, "rep: longer than %d bytes", TEXT_MAX);
	if (n < 0 || !len)
		n = 0;
	charge_bytes(l, (size_t)n * len);
	sandbox_charge(l, (uint64_t)n);
	luaL_buffinit(l, &b);
	for (lua_Integer i = 0; i < n; i++)
		luaL_addlstring(&b, s, len);
	luaL_pushresult(&b);
	return 1;
}

/* Lua's own, with arguments that show no address. Upvalue 1 is the original. */
static int string_format(lua_State *l)
{
	size_t len, total;
	const char *f = luaL_checklstring(l, 1, &len);
	int n = lua_gettop(l);

	total = len;
	for (size_t i = 0; i + 1 < len; i++) {
		if (f[i] != '%')
			continue;
		i += 1 + strspn(f + i + 1, "-+ #0123456789.");
		luaL_argcheck(l, i >= len || f[i] != 'p', 1, "%p would show an address");
		if (i < len && strchr("aAeEfFgG", f[i]))
			sandbox_charge(l, FLOATING);
		total += 128;
	}
	for (int i = 2; i <= n; i++) {
		size_t part = 0;
		if (lua_type(l, i) != LUA_TNUMBER) {
			sandbox_tostring(l, i, &part);
			lua_replace(l, i);
		}
		total += part;
	}
	luaL_argcheck(l, total <= TEXT_MAX, 1, "the text would be too long");
	charge_bytes(l, total);
	lua_pushvalue(l, lua_upvalueindex(1));
	lua_insert(l, 1);
	lua_call(l, n, 1);
	return 1;
}

/* Lua's own; a text is read digit by digit. */
static int base_tonumber(lua_State *l)
{
	if (lua_type(l, 1) == LUA_TSTRING)
		sandbox_charge(l, lua_rawlen(l, 1));
	lua_pushvalue(l, lua_upvalueindex(1));
	lua_insert(l, 1);
	lua_call(l, lua_gettop(l) - 1, 1);
	return 1;
}

/* Lua's own, charged by the length of the text. */
static int string_charged(lua_State *l)
{
	size_t len;

	luaL_checklstring(l, 1, &len);
	charge_bytes(l, len);
	lua_pushvalue(l, lua_upvalueindex(1));
	lua_insert(l, 1);
	lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
	return lua_gettop(l);
}

/* ---------------------------------------------------------------------------------------- globals
 */

/* Of the library table at the top: all but what is named goes. */
static void keep_only(lua_State *l, const char *const *names)
{
	lua_newtable(l);
	for (; *names; names++) {
		lua_getfield(l, -2, *names);
		lua_setfield(l, -2, *names);
	}
	lua_remove(l, -2);
}

static void wrap(lua_State *l, const char *name, lua_CFunction by)
{
	lua_getfield(l, -1, name);
	lua_pushcclosure(l, by, 1);
	lua_setfield(l, -2, name);
}

static void open_base(lua_State *l)
{
	static const char *const kept[] = {
		"assert", "error",  "getmetatable", "ipairs", "rawequal", "rawget", "rawlen",
		"rawset", "select", "tonumber",     "type",   "_VERSION", NULL};
	static const luaL_Reg ours[] = {{"pcall", base_pcall},
					{"tostring", base_tostring},
					{"setmetatable", base_setmetatable},
					{"pairs", base_pairs},
					{NULL, NULL}};

	luaL_requiref(l, LUA_GNAME, luaopen_base, 0);
	keep_only(l, kept);
	luaL_setfuncs(l, ours, 0);
	wrap(l, "tonumber", base_tonumber);
	lua_pushvalue(l, -1);
	lua_setfield(l, -2, "_G");
	/* These are the globals from now on. */
	lua_rawseti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

static void open_string(lua_State *l)
{
	static const char *const kept[] = {"char", "format",  "len",   "lower",
					   "sub",  "reverse", "upper", NULL};
	static const char *const charged[] = {"lower", "reverse", "sub", "upper"};
	static const luaL_Reg ours[] = {
		{"byte", string_byte}, {"find", string_find}, {"rep", string_rep}, {NULL, NULL}};

	luaL_requiref(l, LUA_STRLIBNAME, luaopen_string, 0);
	keep_only(l, kept);
	luaL_setfuncs(l, ours, 0);
	wrap(l, "format", string_format);
	for (size_t i = 0; i < sizeof(charged) / sizeof(charged[0]); i++)
		wrap(l, charged[i], string_charged);
	/* s:upper() finds these, too, and nobody gets at the metatable. */
	lua_pushliteral(l, "");
	lua_getmetatable(l, -1);
	lua_pushvalue(l, -3);
	lua_setfield(l, -2, "__index");
	lua_pushboolean(l, false);
	lua_setfield(l, -2, "__metatable");
	lua_pop(l, 2);
	lua_setglobal(l, "string");
}

static void open_table(lua_State *l)
{
	static const luaL_Reg ours[] = {{"insert", table_insert}, {"remove", table_remove},
					{"concat", table_concat}, {"unpack", table_unpack},
					{"sort", table_sort},     {NULL, NULL}};

	luaL_newlib(l, ours);
	lua_setglobal(l, "table");
}

static void open_math(lua_State *l)
{
	static const char *const kept[] = {"abs",       "ceil",       "exp", "floor",      "fmod",
					   "huge",      "log",        "max", "maxinteger", "min",
					   "modf",      "mininteger", "pi",  "random",     "sqrt",
					   "tointeger", "type",       "ult", NULL};

	luaL_requiref(l, LUA_MATHLIBNAME, luaopen_math, 0);
	lua_getfield(l, -1, "randomseed");
	lua_setfield(l, LUA_REGISTRYINDEX, "randomseed");
	keep_only(l, kept);
	lua_setglobal(l, "math");
}

void sandbox_library_open(lua_State *l)
{
	open_base(l);
	open_string(l);
	open_table(l);
	open_math(l);
	/* What luaL_requiref() noted of the originals. */
	lua_pushnil(l);
	lua_setfield(l, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
