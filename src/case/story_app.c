/* SPDX-License-Identifier: MIT
 *
 * Applications: servers and clients of many connections, and their figures
 */
#include "case/story_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TARGETS = 512, APPS_MAX = 4096 };

static bool pays(void *ctx, uint64_t units)
{
	return sandbox_spend(ctx, units);
}

static struct apps *apps_of(lua_State *l)
{
	struct story *s = story_of(l);
	struct stage *st = story_stage(s, l);

	if (s->apps)
		return s->apps;
	s->apps = apps_new(st, s->config->seed);
	if (!s->apps)
		story_end(l, PLAY_FAILED, "no memory");
	apps_budget(s->apps, pays, s->l);
	return s->apps;
}

static uint64_t seconds_field(lua_State *l, int index, const char *name, double otherwise)
{
	return story_ns(l, story_number_field(l, index, name, otherwise));
}

static uint32_t count_field(lua_State *l, int index, const char *name, uint32_t otherwise)
{
	return story_whole_field(l, index, name, otherwise, UINT32_MAX);
}

static int added(lua_State *l, int r, const struct err *err)
{
	/* What the case could have known. */
	if (r == -EADDRINUSE || r == -EADDRNOTAVAIL || r == -EACCES)
		luaL_error(l, "%s", err->text);
	story_must(l, r, err);
	if (r >= APPS_MAX)
		luaL_error(l, "more than %d applications", APPS_MAX);
	story_push(l, STORY_APP, r);
	return 1;
}

/* ---------------------------------------------------------------------------------------- servers
 */

/* The client through which the server asks; -1: it answers by itself. */
static int upstream_of(lua_State *l)
{
	if (lua_getfield(l, 3, "upstream") == LUA_TNIL)
		return -1;
	if (!luaL_testudata(l, -1, "story.application") ||
	    !apps_is_client(apps_of(l), story_check(l, -1, STORY_APP)))
		luaL_error(l, "upstream is a client: host:load{...}");
	return story_check(l, -1, STORY_APP);
}

/* host:serve("10.0.0.2:80"[, {backlog =, reply =, closes_first =, ...}]) */
int story_serve_word(lua_State *l)
{
	static const char *const names[] = {
		"backlog",      "SO_REUSEADDR", "accept_after", "accept_every", "request", "reply",
		"closes_first", "hold",         "ignores_end",  "upstream",     NULL};
	struct app_server s = {.host = story_check_host(l, 1), .upstream = -1};
	struct err err = {""};

	story_endpoint(l, 2, &s.addr, &s.family, &s.port);
	lua_settop(l, 3);
	story_only(l, 3, names);
	s.backlog = (int)story_whole_field(l, 3, "backlog", 4096, INT32_MAX);
	s.reuseaddr = story_flag_field(l, 3, "SO_REUSEADDR");
	s.accept_after_ns = seconds_field(l, 3, "accept_after", 0);
	s.accept_every_ns = seconds_field(l, 3, "accept_every", 0);
	s.request_bytes = count_field(l, 3, "request", 0);
	s.reply_bytes = count_field(l, 3, "reply", 0);
	s.closes_first = story_flag_field(l, 3, "closes_first");
	s.hold_ns = seconds_field(l, 3, "hold", 0);
	s.ignores_end = story_flag_field(l, 3, "ignores_end");
	if (!lua_isnil(l, 3))
		s.upstream = upstream_of(l);
	return added(l, apps_add_server(apps_of(l), &s, &err), &err);
}

/* ---------------------------------------------------------------------------------------- clients
 */

/* Calls take() for the text, or each text of the list, in a field; returns how many. */
static size_t each_text(lua_State *l, const char *name,
			void (*take)(lua_State *l, const char *text, size_t i, void *ctx),
			void *ctx)
{
	size_t n = 0;
	int type = lua_getfield(l, 3, name);

	if (type == LUA_TSTRING) {
		take(l, lua_tostring(l, -1), n++, ctx);
	} else if (type == LUA_TTABLE) {
		for (; lua_rawgeti(l, -1, (lua_Integer)n + 1) == LUA_TSTRING; lua_pop(l, 1))
			take(l, lua_tostring(l, -1), n++, ctx);
		lua_pop(l, 1);
	} else if (type != LUA_TNIL) {
		luaL_error(l, "%s is a text or a list of texts", name);
	}
	lua_pop(l, 1);
	return n;
}

struct targets {
	struct app_target *list;
	enum tcpwhy_family family;
};

/* A client's sockets are all of one family. */
static void check_family(lua_State *l, enum tcpwhy_family family, enum tcpwhy_family first)
{
	if (family != first)
		luaL_error(l, "to and from are of one family");
}

static void take_target(lua_State *l, const char *text, size_t i, void *ctx)
{
	struct targets *t = ctx;
	enum tcpwhy_family family;

	if (i >= TARGETS)
		luaL_error(l, "more than %d targets", TARGETS);
	lua_pushstring(l, text);
	story_endpoint(l, -1, &t->list[i].addr, &family, &t->list[i].port);
	if (!i)
		t->family = family;
	check_family(l, family, t->family);
	lua_pop(l, 1);
}

static void take_source(lua_State *l, const char *text, size_t i, void *ctx)
{
	struct app_client *c = ctx;
	enum tcpwhy_family family;

	if (i >= APP_SOURCES)
		luaL_error(l, "more than %d sources", APP_SOURCES);
	story_address(l, text, &c->sources[i], &family);
	check_family(l, family, c->family);
}

/* "uniform", "sequential", "rfc6056-1" ... "rfc6056-5"; none: connect() chooses. */
static void choose_picker(lua_State *l, struct app_client *c, uint64_t seed)
{
	static const struct {
		const char *name;
		enum picker_kind kind;
	} kinds[] = {{"kernel", PICKER_KERNEL},         {"uniform", PICKER_UNIFORM},
		     {"sequential", PICKER_SEQUENTIAL}, {"rfc6056-1", PICKER_RFC6056_1},
		     {"rfc6056-2", PICKER_RFC6056_2},   {"rfc6056-3", PICKER_RFC6056_3},
		     {"rfc6056-4", PICKER_RFC6056_4},   {"rfc6056-5", PICKER_RFC6056_5}};
	const char *name = story_text_field(l, 3, "picker");
	uint32_t low = count_field(l, 3, "low", 32768), high = count_field(l, 3, "high", 60999);

	if (!low || low > high || high > 65535)
		luaL_error(l, "low and high are ports, low not above high");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name ? name : "kernel", kinds[i].name) != 0)
			continue;
		if (kinds[i].kind != PICKER_KERNEL)
			picker_init(&c->picker, kinds[i].kind, (uint16_t)low, (uint16_t)high, seed);
		return;
	}
	luaL_error(l, "there is no picker '%s'", name);
}

/* A time that may be left out for ever. */
static uint64_t forever_field(lua_State *l, const char *name)
{
	double s = story_number_field(l, 3, name, -1);

	return s < 0 ? APP_FOREVER : story_ns(l, s);
}

/* host:load{to =, total =, every =, ...} is called with the table at index 3. */
static void read_client(lua_State *l, struct app_client *c)
{
	c->total = count_field(l, 3, "total", 0);
	c->begin_ns = seconds_field(l, 3, "begin", 0);
	c->every_ns = seconds_field(l, 3, "every", 0);
	c->n_sources = (uint8_t)each_text(l, "from", take_source, c);
	c->transparent = story_flag_field(l, 3, "IP_TRANSPARENT");
	c->no_port = story_flag_field(l, 3, "IP_BIND_ADDRESS_NO_PORT");
	c->reuseaddr = story_flag_field(l, 3, "SO_REUSEADDR");
	choose_picker(l, c, story_of(l)->config->seed);
	c->request_bytes = count_field(l, 3, "request", 0);
	c->reply_bytes = count_field(l, 3, "reply", 0);
	c->keep_alive = story_flag_field(l, 3, "keep_alive");
	c->idle_ns = forever_field(l, "idle");
	c->waits_for_end = story_flag_field(l, 3, "waits_for_end");
	c->hold_ns = forever_field(l, "hold");
	c->watches_ports = story_flag_field(l, 3, "watches_ports");
}

int story_load_word(lua_State *l)
{
	static const char *const names[] = {"to",
					    "total",
					    "begin",
					    "every",
					    "from",
					    "IP_TRANSPARENT",
					    "IP_BIND_ADDRESS_NO_PORT",
					    "SO_REUSEADDR",
					    "picker",
					    "low",
					    "high",
					    "request",
					    "reply",
					    "keep_alive",
					    "idle",
					    "waits_for_end",
					    "hold",
					    "watches_ports",
					    NULL};
	struct app_client c = {.host = story_check_host(l, 1)};
	struct err err = {""};

	luaL_checktype(l, 2, LUA_TTABLE);
	lua_settop(l, 2);
	lua_pushvalue(l, 2);
	story_only(l, 3, names);
	struct targets t = {.list = lua_newuserdatauv(l, TARGETS * sizeof(*t.list), 0)};
	/* Lent for as long as the application lives. */
	lua_rawsetp(l, LUA_REGISTRYINDEX, t.list);
	c.targets = t.list;
	c.n_targets = each_text(l, "to", take_target, &t);
	if (!c.n_targets)
		return luaL_error(l, "to is missing: where it connects");
	c.family = t.family;
	sandbox_charge(l, STORY_CALL_UNITS);
	read_client(l, &c);
	return added(l, apps_add_client(apps_of(l), &c, &err), &err);
}

/* ---------------------------------------------------------------------------------------- figures
 */

#define FIGURES(X)                                                                                 \
	X(opened)                                                                                  \
	X(established)                                                                             \
	X(open)                                                                                    \
	X(waiting)                                                                                 \
	X(requests)                                                                                \
	X(replies) X(closed) X(slow) X(collisions) X(returns) X(returns_in_60s) X(passed_over)

static bool push_count(lua_State *l, const struct app_figures *f, const char *name)
{
	static const char *const failures[APP_FAILURES] = {
		"EADDRINUSE", "EADDRNOTAVAIL", "ECONNREFUSED", "ECONNRESET",
		"ETIMEDOUT",  "EPIPE",         "EOTHER"};

#define PUSH(figure)                                                                               \
	if (!strcmp(name, #figure)) {                                                              \
		lua_pushinteger(l, (lua_Integer)f->figure);                                        \
		return true;                                                                       \
	}
	FIGURES(PUSH)
#undef PUSH
	for (int i = 0; i < APP_FAILURES; i++) {
		if (!strcmp(name, failures[i])) {
			lua_pushinteger(l, (lua_Integer)f->failed[i]);
			return true;
		}
	}
	return false;
}

static bool push_time(lua_State *l, const struct app_figures *f, const char *name)
{
	double mean = f->returns ? (double)f->total_return_ns / (double)f->returns : 0;

	if (!strcmp(name, "longest"))
		lua_pushnumber(l, (double)f->longest_ns / 1e9);
	else if (!strcmp(name, "last"))
		lua_pushnumber(l, (double)f->last_ns / 1e9);
	else if (!strcmp(name, "soonest_return"))
		lua_pushnumber(l, (double)f->soonest_return_ns / 1e9);
	else if (!strcmp(name, "mean_return"))
		lua_pushnumber(l, mean / 1e9);
	else
		return false;
	return true;
}

/* app.established, app.ECONNRESET, app.longest ...; app.done, app.ghosts */
static int app_fields(lua_State *l)
{
	int app = story_check(l, 1, STORY_APP);
	struct apps *a = apps_of(l);
	const char *name = luaL_checkstring(l, 2);
	struct app_figures f;

	apps_figures(a, app, &f);
	if (!strcmp(name, "done"))
		lua_pushboolean(l, apps_is_done(a, app));
	else if (!strcmp(name, "ghosts"))
		lua_pushinteger(l, (lua_Integer)apps_ghosts(a, app));
	else if (!push_count(l, &f, name) && !push_time(l, &f, name))
		return luaL_error(l, "an application has no '%s'", name);
	return 1;
}

/* ghosts(): of all applications, and how many of them have some */
static int word_ghosts(lua_State *l)
{
	unsigned clients;

	lua_pushinteger(l, (lua_Integer)apps_all_ghosts(apps_of(l), &clients));
	lua_pushinteger(l, clients);
	return 2;
}

static int app_stop(lua_State *l)
{
	apps_stop(apps_of(l), story_check(l, 1, STORY_APP));
	return 0;
}

void story_open_apps(lua_State *l)
{
	static const luaL_Reg methods[] = {{"stop", app_stop}, {NULL, NULL}};

	story_define(l, STORY_APP, methods, app_fields);
	lua_register(l, "ghosts", word_ghosts);
}
