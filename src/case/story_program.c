/* SPDX-License-Identifier: MIT
 *
 * Programs in a host, tcpwhy among them, and what they wrote
 */
#include "case/story_state.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ARGUMENTS = STORY_WORDS_MAX, DEPTH = 32, TEXT_MAX = 65536 };

/* ------------------------------------------------------------------------------------------ words
 */

/* Pushes the word that begins at text; what is behind it. */
static const char *push_word(lua_State *l, const char *text)
{
	bool quoted = false;
	luaL_Buffer b;

	luaL_buffinit(l, &b);
	for (; *text && (quoted || *text != ' '); text++) {
		if (*text == '\'')
			quoted = !quoted;
		else
			luaL_addchar(&b, *text);
	}
	luaL_pushresult(&b);
	if (quoted)
		luaL_error(l, "a quote without its end");
	return text;
}

int story_push_words(lua_State *l, const char *text)
{
	int n = 0;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		if (n++ == ARGUMENTS)
			luaL_error(l, "more than %d words", ARGUMENTS);
		luaL_checkstack(l, LUA_MINSTACK, "words");
		text = push_word(l, text);
	}
	return n;
}

/* words("tcpwhy sock -s 80"): "tcpwhy", "sock", "-s", "80"; between single quotes a blank is kept
 */
static int word_words(lua_State *l)
{
	size_t n;
	const char *text = luaL_checklstring(l, 1, &n);

	sandbox_charge(l, n);
	return story_push_words(l, text);
}

/* ------------------------------------------------------------------------------------------- JSON
 */

static void push_json(lua_State *l, json_t *j, int depth);

static void push_object(lua_State *l, json_t *j, int depth)
{
	const char *key;
	json_t *value;

	lua_newtable(l);
	json_object_foreach(j, key, value)
	{
		push_json(l, value, depth);
		lua_setfield(l, -2, key);
	}
}

static void push_array(lua_State *l, json_t *j, int depth)
{
	lua_newtable(l);
	for (size_t i = 0; i < json_array_size(j); i++) {
		push_json(l, json_array_get(j, i), depth);
		lua_rawseti(l, -2, (lua_Integer)i + 1);
	}
}

static void push_json(lua_State *l, json_t *j, int depth)
{
	if (depth == DEPTH)
		luaL_error(l, "JSON of more than %d levels", DEPTH);
	luaL_checkstack(l, LUA_MINSTACK, "JSON");
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		push_object(l, j, depth + 1);
		break;
	case JSON_ARRAY:
		push_array(l, j, depth + 1);
		break;
	case JSON_STRING:
		lua_pushlstring(l, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		lua_pushinteger(l, json_integer_value(j));
		break;
	case JSON_REAL:
		lua_pushnumber(l, json_real_value(j));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		lua_pushboolean(l, json_is_true(j));
		break;
	case JSON_NULL:
		lua_pushnil(l);
		break;
	}
}

static int push_all(lua_State *l)
{
	push_json(l, lua_touserdata(l, 1), 0);
	return 1;
}

/* read_json(text): tables, texts, numbers and booleans; null is nil */
static int word_read_json(lua_State *l)
{
	size_t n;
	const char *text = luaL_checklstring(l, 1, &n);
	json_error_t wrong;

	luaL_argcheck(l, n <= TEXT_MAX, 1, "at most 65,536 bytes");
	sandbox_charge(l, n * 8);
	json_t *j = json_loadb(text, n, 0, &wrong);
	if (!j)
		return luaL_error(l, "no JSON: %s", wrong.text);
	/* What is raised on the way waits until the JSON is gone. */
	lua_pushcfunction(l, push_all);
	lua_pushlightuserdata(l, j);
	int r = lua_pcall(l, 1, 1, 0);
	json_decref(j);
	return r == LUA_OK ? 1 : lua_error(l);
}

/* --------------------------------------------------------------------------------------- programs
 */

void story_need_trust(lua_State *l, const char *what)
{
	/* A program could do what the sandbox does not let Lua do. */
	if (!story_of(l)->config->trusted)
		luaL_error(l, "only the cases that came with tcpwhy may %s", what);
}

static void arguments_of(lua_State *l, const char *argv[static ARGUMENTS + 1])
{
	int n = lua_gettop(l) - 1;

	story_need_trust(l, "run programs");
	luaL_argcheck(l, n >= 1 && n <= ARGUMENTS, 2, "a program and its arguments");
	for (int i = 0; i < n; i++)
		argv[i] = luaL_checkstring(l, i + 2);
	argv[n] = NULL;
}

/* A machine that has not the program, or not so that it can be executed, is no fault of the case:
 * it is played as far as it went. */
static void must_begin(lua_State *l, int r, const char *program, const struct err *err)
{
	char why[160];

	if (r == -ENOENT)
		snprintf(why, sizeof(why), "%.64s is not installed here", program);
	else if (r == -EACCES || r == -ENOEXEC)
		snprintf(why, sizeof(why), "%.64s cannot be executed here: %s", program,
			 strerror(-r));
	else
		story_must(l, r, err);
	if (r < 0)
		story_end(l, PLAY_CANNOT, why);
}

static int run_program(lua_State *l, bool try)
{
	int node = story_check(l, 1, STORY_NODE);
	const char *argv[ARGUMENTS + 1];
	struct err err = {""};

	arguments_of(l, argv);
	char *out = lua_newuserdatauv(l, STORY_OUTPUT, 0);
	struct stage *st = story_stage(story_of(l), l);
	int r = st->ops->run(st, node, argv, STORY_QUICK_NS, out, STORY_OUTPUT, &err);
	if (try && r < 0 && r != STAGE_CANNOT) {
		lua_pushstring(l, strerrorname_np(-r));
		return 1;
	}
	must_begin(l, r, argv[0], &err);
	lua_pushinteger(l, r);
	lua_pushstring(l, out);
	return 2;
}

/* host:run(program, arguments...): status and output */
int story_run_word(lua_State *l)
{
	return run_program(l, false);
}

/* The same, and the errno where it could not be executed. */
int story_try_run_word(lua_State *l)
{
	return run_program(l, true);
}

/* host:spawn(program, arguments...): its number, for host:stop() */
int story_spawn_word(lua_State *l)
{
	int node = story_check(l, 1, STORY_NODE);
	const char *argv[ARGUMENTS + 1];
	struct err err = {""};

	arguments_of(l, argv);
	struct stage *st = story_stage(story_of(l), l);
	int r = st->ops->spawn(st, node, argv, &err);
	must_begin(l, r, argv[0], &err);
	lua_pushinteger(l, r);
	return 1;
}

int story_stop_word(lua_State *l)
{
	struct err err = {""};

	story_check(l, 1, STORY_NODE);
	story_need_trust(l, "stop programs");
	struct stage *st = story_stage(story_of(l), l);
	story_must(l, st->ops->stop(st, (int)luaL_checkinteger(l, 2), &err), &err);
	return 0;
}

/* host:cgroup(): the path of one of its own, for the programs that it starts from now on; nil where
 * there can be none, and that is said */
int story_cgroup_word(lua_State *l)
{
	int node = story_check(l, 1, STORY_NODE);
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};
	char path[512];

	story_need_trust(l, "make cgroups");
	int r = st->ops->cgroup(st, node, path, sizeof(path), &err);
	if (r == STAGE_CANNOT && !strcmp(st->ops->name, "kernel")) {
		story_skip(l, NULL, err.text);
		return 0;
	}
	story_must(l, r, &err);
	lua_pushstring(l, path);
	return 1;
}

/* host:file(name, text): where it is, and its directory */
int story_file_word(lua_State *l)
{
	int node = story_check(l, 1, STORY_NODE);
	const char *name = luaL_checkstring(l, 2);
	size_t n;
	const char *text = luaL_checklstring(l, 3, &n);
	struct err err = {""};
	char path[128];

	story_need_trust(l, "write files");
	struct stage *st = story_stage(story_of(l), l);
	story_must(l, st->ops->file(st, node, name, text, n, path, sizeof(path), &err), &err);
	lua_pushstring(l, path);
	lua_pushlstring(l, path, (size_t)(strrchr(path, '/') - path));
	return 2;
}

void story_open_programs(lua_State *l)
{
	static const luaL_Reg words[] = {
		{"words", word_words}, {"read_json", word_read_json}, {NULL, NULL}};

	lua_pushglobaltable(l);
	luaL_setfuncs(l, words, 0);
	lua_pop(l, 1);
}
