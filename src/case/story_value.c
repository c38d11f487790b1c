/* SPDX-License-Identifier: MIT
 *
 * What goes from Lua to C: objects, fields of tables, addresses, flags
 */
#include "case/story_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------- objects
 */

static const char *const kind_names[] = {"host", "link", "socket", "control", "application"};

static void metatable_name(enum story_kind kind, char out[static 32])
{
	snprintf(out, 32, "story.%s", kind_names[kind]);
}

void story_push(lua_State *l, enum story_kind kind, int number)
{
	char name[32];

	metatable_name(kind, name);
	*(int *)lua_newuserdatauv(l, sizeof(int), 0) = number;
	luaL_setmetatable(l, name);
}

int *story_number(lua_State *l, int index, enum story_kind kind)
{
	char name[32];

	metatable_name(kind, name);
	int *number = luaL_testudata(l, index, name);
	if (!number)
		luaL_typeerror(l, index, kind_names[kind]);
	return number;
}

int story_check(lua_State *l, int index, enum story_kind kind)
{
	return *story_number(l, index, kind);
}

int story_check_host(lua_State *l, int index)
{
	const int node = story_check(l, index, STORY_NODE);

	if (story_of(l)->play->nodes[node].is_box)
		luaL_error(l, "a box has neither sockets nor sysctls: host(name)");
	return node;
}

/* A method, or else what the function for fields says (upvalues 1 and 2). */
static int object_index(lua_State *l)
{
	lua_pushvalue(l, 2);
	if (lua_gettable(l, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	if (lua_isnil(l, lua_upvalueindex(2)))
		return luaL_error(l, "a %s has no '%s'", luaL_tolstring(l, 1, NULL),
				  luaL_tolstring(l, 2, NULL));
	lua_settop(l, 2);
	lua_pushvalue(l, lua_upvalueindex(2));
	lua_insert(l, 1);
	lua_call(l, 2, 1);
	return 1;
}

static int object_equal(lua_State *l)
{
	const int *a = lua_touserdata(l, 1), *b = lua_touserdata(l, 2);

	lua_pushboolean(l, a && b && lua_getmetatable(l, 1) && lua_getmetatable(l, 2) &&
				   lua_rawequal(l, -1, -2) && *a == *b);
	return 1;
}

static int object_tostring(lua_State *l)
{
	lua_pushvalue(l, lua_upvalueindex(1));
	return 1;
}

void story_define(lua_State *l, enum story_kind kind, const luaL_Reg *methods, lua_CFunction fields)
{
	char name[32];

	metatable_name(kind, name);
	luaL_newmetatable(l, name);
	lua_newtable(l);
	luaL_setfuncs(l, methods, 0);
	if (fields)
		lua_pushcfunction(l, fields);
	else
		lua_pushnil(l);
	lua_pushcclosure(l, object_index, 2);
	lua_setfield(l, -2, "__index");
	lua_pushcfunction(l, object_equal);
	lua_setfield(l, -2, "__eq");
	lua_pushstring(l, kind_names[kind]);
	lua_pushcclosure(l, object_tostring, 1);
	lua_setfield(l, -2, "__tostring");
	lua_pushboolean(l, false);
	lua_setfield(l, -2, "__metatable");
	lua_pop(l, 1);
}

/* ----------------------------------------------------------------------------------------- fields
 */

static bool is_known(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

void story_only(lua_State *l, int index, const char *const *names)
{
	const char *wrong = NULL;
	bool nameless = false;

	index = lua_absindex(l, index);
	if (lua_isnoneornil(l, index))
		return;
	luaL_checktype(l, index, LUA_TTABLE);
	lua_pushnil(l);
	while (lua_next(l, index)) {
		lua_pop(l, 1);
		/* What to complain of may not hang on the table's order, which changes from run to
		 * run: the first by name. */
		nameless |= lua_type(l, -1) != LUA_TSTRING;
		if (nameless)
			continue;
		const char *name = lua_tostring(l, -1);
		if (!is_known(name, names) && (!wrong || strcmp(name, wrong) < 0))
			wrong = name;
	}
	if (nameless)
		luaL_error(l, "fields have names here: {name = value}");
	if (wrong)
		luaL_error(l, "there is no field '%s' here", wrong);
}

/* Pushes the field, or nil. */
static int field(lua_State *l, int index, const char *name)
{
	if (lua_isnoneornil(l, index)) {
		lua_pushnil(l);
		return LUA_TNIL;
	}
	luaL_checktype(l, index, LUA_TTABLE);
	index = lua_absindex(l, index);
	lua_pushstring(l, name);
	return lua_rawget(l, index);
}

double story_number_field(lua_State *l, int index, const char *name, double otherwise)
{
	int type = field(l, index, name);

	if (type != LUA_TNIL && type != LUA_TNUMBER)
		luaL_error(l, "%s is a number", name);
	double n = type == LUA_TNIL ? otherwise : lua_tonumber(l, -1);
	lua_pop(l, 1);
	/* Whoever takes it as an integer finds one. */
	if (!(n > -1e15 && n < 1e15))
		luaL_error(l, "%s is out of bounds", name);
	return n;
}

uint32_t story_whole_field(lua_State *l, int index, const char *name, uint32_t otherwise,
			   uint32_t most)
{
	const double n = story_number_field(l, index, name, otherwise);

	if (n < 0 || n > most || n != (uint32_t)n)
		luaL_error(l, "%s is a whole number from 0 to %I", name, (lua_Integer)most);
	return (uint32_t)n;
}

bool story_flag_field(lua_State *l, int index, const char *name)
{
	int type = field(l, index, name);

	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(l, "%s is true or false", name);
	bool set = lua_toboolean(l, -1);
	lua_pop(l, 1);
	return set;
}

const char *story_text_field(lua_State *l, int index, const char *name)
{
	int type = field(l, index, name);

	if (type != LUA_TNIL && type != LUA_TSTRING)
		luaL_error(l, "%s is a text", name);
	const char *text = lua_tostring(l, -1);
	lua_pop(l, 1);
	return text;
}

/* -------------------------------------------------------------------------------------- addresses
 */

void story_endpoint(lua_State *l, int index, struct tcpwhy_addr *a, enum tcpwhy_family *family,
		    uint16_t *port)
{
	const char *text = luaL_checkstring(l, index);
	const char *wrong = endpoint_parse(text, a, family, port);

	if (wrong)
		luaL_error(l, "'%s' %s", text, wrong);
}

void story_address(lua_State *l, const char *text, struct tcpwhy_addr *a,
		   enum tcpwhy_family *family)
{
	enum tcpwhy_family is;

	if (!address_parse(text, a, &is))
		luaL_error(l, "'%s' is no address", text);
	if (family)
		*family = is;
}

void story_prefix(lua_State *l, const char *text, struct tcpwhy_addr *a, unsigned *bits)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_TEXT_MAX];
	enum tcpwhy_family family;

	snprintf(address, sizeof(address), "%.*s",
		 (int)(slash && slash - text < 40 ? slash - text : 40), text);
	story_address(l, address, a, &family);
	unsigned whole = family == TCPWHY_IPV4 ? 32 : 128;
	char *end = NULL;
	long n = slash ? strtol(slash + 1, &end, 10) : (long)whole;
	if (slash && (end == slash + 1 || *end))
		luaL_error(l, "'%s' is no prefix: ADDRESS/BITS", text);
	if (n < 0 || n > (long)whole)
		luaL_error(l, "'%s': that prefix is too long", text);
	*bits = (unsigned)n + 128 - whole;
}

/* -------------------------------------------------------------------------------------- segments
 */

static uint8_t flag_of(const char *word)
{
	static const struct {
		const char *name;
		uint8_t flag;
	} flags[] = {{"FIN", SEGMENT_FIN},
		     {"SYN", SEGMENT_SYN},
		     {"RST", SEGMENT_RST},
		     {"PSH", SEGMENT_PSH},
		     {"ACK", SEGMENT_ACK}};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(flags[i].name, word))
			return flags[i].flag;
	return 0;
}

struct line_pick story_pick(lua_State *l, const char *text)
{
	struct line_pick pick = {0};
	char word[8];

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)(n < 7 ? n : 7), text);
		uint8_t flag = flag_of(word[0] == '-' ? word + 1 : word);
		if (flag && word[0] == '-')
			pick.flags_clear |= flag;
		else if (flag)
			pick.flags_set |= flag;
		else if (!strcmp(word, "data"))
			pick.data = LINE_DATA;
		else if (!strcmp(word, "empty"))
			pick.data = LINE_EMPTY;
		else
			luaL_error(l,
				   "'%s': flags are SYN ACK FIN RST PSH, with - for not, and data "
				   "or empty",
				   word);
		text += n;
	}
	return pick;
}
