/* SPDX-License-Identifier: MIT
 *
 * Time that passes: pauses, and waits for a condition
 */
#include "case/story_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint64_t story_ns(lua_State *l, double seconds)
{
	if (!(seconds >= 0) || seconds > 1e6)
		luaL_error(l, "seconds from 0 to 1,000,000 are meant");
	return (uint64_t)(seconds * 1e9 + 0.5);
}

struct waiting {
	struct story *s;
	int (*is_so)(void *ctx);
	void *ctx;
};

static int ask(void *ctx)
{
	struct waiting *w = ctx;

	/* Nothing may be raised through the stage. */
	if (!sandbox_spend(w->s->l, STORY_EVENT_UNITS))
		return -ECANCELED;
	story_observe(w->s);
	return w->is_so(w->ctx);
}

/* What run_until() gives, but for a wait that had to be cut short: that ends the play. */
static int run_on(lua_State *l, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns,
		  struct err *err)
{
	struct story *s = story_of(l);
	struct stage *st = story_stage(s, l);
	struct waiting w = {s, is_so, ctx};
	bool cut = story_takes_real_time(s) && !s->config->slow && limit_ns > STORY_QUICK_NS;
	char why[128];

	if (s->waiting)
		luaL_error(l, "the function of eventually() may not wait itself");
	s->waiting = true;
	int r = st->ops->run_until(st, ask, &w, cut ? STORY_QUICK_NS : limit_ns, err);
	s->waiting = false;
	if (r == -ECANCELED)
		sandbox_charge(l, 1);
	if (r == -ETIMEDOUT && cut) {
		snprintf(why, sizeof(why), "line %d may take %.0f s of real time: --slow",
			 sandbox_line(l), (double)limit_ns / 1e9);
		story_end(l, PLAY_SLOW, why);
	}
	return r;
}

int story_wait(lua_State *l, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns)
{
	struct err err = {""};
	int r = run_on(l, is_so, ctx, limit_ns, &err);

	if (r && r != -ETIMEDOUT)
		story_must(l, r, &err);
	/* Looks at the clock, too. */
	sandbox_charge(l, STORY_WAIT_UNITS);
	return r;
}

static int never(void *ctx)
{
	(void)ctx;
	return 0;
}

void story_let_pass(lua_State *l, uint64_t ns)
{
	story_wait(l, never, NULL, ns);
}

static int word_pause(lua_State *l)
{
	/* It lasts as long as it says: in real time a long one is not begun. */
	uint64_t ns = story_ns(l, luaL_checknumber(l, 1));
	struct story *s = story_of(l);
	char why[128];

	story_need_head(l);
	if (story_takes_real_time(s) && !s->config->slow && ns > STORY_QUICK_NS) {
		snprintf(why, sizeof(why), "line %d lets %.0f s of real time pass: --slow",
			 sandbox_line(l), (double)ns / 1e9);
		story_end(l, PLAY_SLOW, why);
	}
	story_let_pass(l, ns);
	return 0;
}

/* What should come to give a value: a function, or the field of an object. On the stack: what, the
 * field or nil, the value wanted, the value seen last. */
enum { WHAT = 1, FIELD, WANTED, SEEN };

struct eventually {
	lua_State *l;
	bool raised;
};

/* By index, so that a field that is no field raises as it does elsewhere. */
static int get_field(lua_State *l)
{
	lua_gettable(l, 1);
	return 1;
}

static int is_wanted(void *ctx)
{
	struct eventually *e = ctx;
	lua_State *l = e->l;
	bool by_field = !lua_isnil(l, FIELD);

	lua_settop(l, SEEN);
	if (by_field)
		lua_pushcfunction(l, get_field);
	lua_pushvalue(l, WHAT);
	if (by_field)
		lua_pushvalue(l, FIELD);
	/* It may not leave through the stage: what it raised waits. */
	if (lua_pcall(l, by_field ? 2 : 0, 1, 0) != LUA_OK) {
		e->raised = true;
		return -EPROTO;
	}
	lua_replace(l, SEEN);
	return lua_compare(l, SEEN, WANTED, LUA_OPEQ);
}

/* eventually(function, want[, sentence[, seconds]])
 * eventually(object, "field", want[, sentence[, seconds]]) */
static int word_eventually(lua_State *l)
{
	struct eventually e = {.l = l};
	struct err err = {""};

	story_need_head(l);
	if (lua_isfunction(l, WHAT)) {
		lua_pushnil(l);
		lua_insert(l, FIELD);
	} else {
		luaL_argexpected(l, lua_isuserdata(l, WHAT), WHAT, "function, host or socket");
		luaL_checkstring(l, FIELD);
	}
	luaL_checkany(l, WANTED);
	uint64_t limit = story_ns(l, luaL_optnumber(l, 5, STORY_LIMIT_S));
	/* The sentence moves away from what is_wanted() works with. */
	char text[PLAY_TEXT_MAX] = "";
	if (!lua_isnoneornil(l, 4))
		snprintf(text, sizeof(text), "%s", luaL_checkstring(l, 4));
	lua_settop(l, WANTED);
	lua_pushnil(l);
	int r = run_on(l, is_wanted, &e, limit, &err);
	if (e.raised)
		return lua_error(l);
	if (r && r != -ETIMEDOUT)
		story_must(l, r, &err);
	sandbox_charge(l, STORY_WAIT_UNITS);
	lua_settop(l, SEEN);
	const char *got = story_value_text(l, SEEN), *want = story_value_text(l, WANTED);
	story_expect(l, !r, text[0] ? text : NULL, got, want);
	return 0;
}

void story_open_waits(lua_State *l)
{
	static const luaL_Reg words[] = {
		{"pause", word_pause}, {"eventually", word_eventually}, {NULL, NULL}};

	lua_pushglobaltable(l);
	luaL_setfuncs(l, words, 0);
	lua_pop(l, 1);
}
