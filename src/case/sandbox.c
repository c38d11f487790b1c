/* SPDX-License-Identifier: MIT */
#include "case/sandbox.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "case/sandbox_library.h"

enum {
	SLICE = 500,   /* instructions between two looks */
	CHARGE = 50,   /* of each charge, as time may have gone by without instructions */
	REFUSALS = 16, /* so often memory may be short before the end */
};

/* Values of one call. They are moved without an instruction that could be counted: a chain of
 * __call that never ends adds one at each step, and so does a function that gives its ... and one
 * more to its next life. With the million that Lua allows either is minutes. */
enum {
	VALUES_MAX = 512,
	LEVELS = 8, /* of calls that are looked at: who works may stand behind who has the values */
};

const struct sandbox_limits sandbox_limits_default = {
	.instructions = 100000000,
	.bytes = 64u << 20,
	.wall_ns = UINT64_C(60000000000),
	.processor_ns = UINT64_C(60000000000),
};

/* Why nothing may run any more. */
enum sandbox_end { GOES_ON, STOPPED, NO_INSTRUCTIONS, NO_MEMORY, NO_TIME, NO_VALUES };

struct sandbox {
	lua_State *l;
	struct sandbox_limits limits;
	uint64_t left; /* instructions */
	size_t used;   /* bytes */
	uint64_t wall_until_ns, processor_until_ns;
	uint64_t
		unlooked; /* units since the clocks were looked at, which is as dear as some tens */
	unsigned refusals;
	const char *name; /* of the chunk */
	bool is_over;     /* the chunk has ended: what it began may go on, a stop or not */
	int line;         /* that was executed at the last look */
	bool lacked_memory, is_starved;
	int refused_line; /* where memory was short last: such an error has no position */
	enum sandbox_end end;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct sandbox *sandbox_of(lua_State *l)
{
	return *(struct sandbox **)lua_getextraspace(l);
}

int sandbox_line(lua_State *l)
{
	lua_Debug at;

	for (int level = 0; lua_getstack(l, level, &at); level++)
		if (lua_getinfo(l, "l", &at) && at.currentline > 0)
			return at.currentline;
	return 0;
}

/* ----------------------------------------------------------------------------------------- bounds
 */

static void look(lua_State *l, lua_Debug *event);

/* From here on every instruction fails. */
static void end_with(struct sandbox *s, enum sandbox_end end)
{
	if (s->end == GOES_ON || (s->end == STOPPED && s->is_over))
		s->end = end;
	lua_sethook(s->l, look, LUA_MASKCOUNT, 1);
}

static uint64_t until(clockid_t clock, uint64_t limit_ns)
{
	return limit_ns ? now_ns(clock) + limit_ns : 0;
}

static bool is_past(clockid_t clock, uint64_t until_ns)
{
	return until_ns && now_ns(clock) > until_ns;
}

static const char *end_text(enum sandbox_end end)
{
	switch (end) {
	case GOES_ON:
	case STOPPED:
		break;
	case NO_INSTRUCTIONS:
		return "it has run for too long: a loop without end?";
	case NO_MEMORY:
		return "it takes too much memory";
	case NO_TIME:
		return "it has taken too much time";
	case NO_VALUES:
		return "a call has too many values";
	}
	return "stopped";
}

/* Raises why it ended, with the position. */
static _Noreturn void fail(lua_State *l)
{
	lua_Debug at;

	for (int level = 0; lua_getstack(l, level, &at); level++) {
		lua_getinfo(l, "Sl", &at);
		if (at.currentline > 0) {
			lua_pushfstring(l, "%s:%d: %s", at.short_src, at.currentline,
					end_text(sandbox_of(l)->end));
			lua_error(l);
		}
	}
	lua_pushstring(l, end_text(sandbox_of(l)->end));
	lua_error(l);
	abort(); /* lua_error() never returns, but its declaration does not say so */
}

bool sandbox_spend(lua_State *l, uint64_t units)
{
	struct sandbox *s = sandbox_of(l);

	if (units > s->left)
		end_with(s, NO_INSTRUCTIONS);
	s->unlooked += units + CHARGE;
	if (s->unlooked >= SLICE) {
		s->unlooked = 0;
		if (is_past(CLOCK_MONOTONIC_COARSE, s->wall_until_ns) ||
		    is_past(CLOCK_THREAD_CPUTIME_ID, s->processor_until_ns))
			end_with(s, NO_TIME);
	}
	if (s->end != GOES_ON && !(s->end == STOPPED && s->is_over))
		return false;
	s->left -= units;
	return true;
}

void sandbox_charge(lua_State *l, uint64_t units)
{
	if (!sandbox_spend(l, units))
		fail(l);
}

_Noreturn void sandbox_no_memory(lua_State *l)
{
	struct sandbox *s = sandbox_of(l);

	end_with(s, NO_MEMORY);
	s->refused_line = sandbox_line(l);
	fail(l);
}

const char *sandbox_ended(const struct sandbox *s)
{
	return s->end == GOES_ON || s->end == STOPPED ? NULL : end_text(s->end);
}

/* lua_gettop() counts those of a function of C, and lua_getlocal() knows a ... */
static bool has_too_many(lua_State *l)
{
	lua_Debug at;

	for (int level = 0; level < LEVELS && lua_getstack(l, level, &at); level++) {
		if (lua_getlocal(l, &at, -VALUES_MAX)) {
			lua_pop(l, 1);
			return true;
		}
	}
	return false;
}

static void look(lua_State *l, lua_Debug *event)
{
	(void)event;
	sandbox_of(l)->line = sandbox_line(l);
	if (has_too_many(l))
		end_with(sandbox_of(l), NO_VALUES);
	sandbox_charge(l, SLICE);
}

_Noreturn void sandbox_stop(lua_State *l)
{
	end_with(sandbox_of(l), STOPPED);
	fail(l);
}

static bool is_crowded(const struct sandbox *s)
{
	return s->l && lua_gettop(s->l) > VALUES_MAX;
}

/* The line for which memory is asked. Since 5.4.6 a stack that is being moved cannot tell it. */
static int asking_line(const struct sandbox *s)
{
	const int line = LUA_VERSION_RELEASE_NUM < 50406 ? sandbox_line(s->l) : 0;

	return line ? line : s->line;
}

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	struct sandbox *s = ctx;
	/* Without old, old_size tells the kind of the object. */
	size_t had = old ? old_size : 0;

	if (!new_size) {
		free(old);
		s->used -= had;
		return NULL;
	}
	if (new_size > had && (new_size - had > s->limits.bytes - s->used || is_crowded(s))) {
		/* Lua collects garbage then and tries once more. Who goes on after many such
		 * collections would spend all time on them. */
		if (++s->refusals > REFUSALS)
			end_with(s, NO_MEMORY);
		s->refused_line = asking_line(s);
		return NULL;
	}
	void *new = realloc(old, new_size);
	if (new)
		s->used += new_size - had;
	else
		s->is_starved = true;
	return new;
}

/* ------------------------------------------------------------------------------------------- life
 */

static int open_library(lua_State *l)
{
	sandbox_library_open(l);
	return 0;
}

struct sandbox *sandbox_new(const struct sandbox_limits *limits)
{
	struct sandbox *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->limits = *limits;
	s->left = UINT64_MAX;
	s->l = lua_newstate(resize, s);
	if (!s->l) {
		free(s);
		return NULL;
	}
	*(struct sandbox **)lua_getextraspace(s->l) = s;
	lua_pushcfunction(s->l, open_library);
	if (lua_pcall(s->l, 0, 0, 0) != LUA_OK) {
		sandbox_free(s);
		return NULL;
	}
	sandbox_seed(s, 1);
	return s;
}

void sandbox_free(struct sandbox *s)
{
	if (!s)
		return;
	lua_close(s->l);
	free(s);
}

bool sandbox_lacked_memory(const struct sandbox *s)
{
	return s->lacked_memory;
}

bool sandbox_is_starved(const struct sandbox *s)
{
	return s->is_starved;
}

lua_State *sandbox_lua(struct sandbox *s)
{
	return s->l;
}

void sandbox_seed(struct sandbox *s, uint64_t seed)
{
	lua_getfield(s->l, LUA_REGISTRYINDEX, "randomseed");
	lua_pushinteger(s->l, (lua_Integer)seed);
	lua_pushinteger(s->l, 0);
	lua_call(s->l, 2, 0);
}

/* Bytes that would move a terminal do not get into messages. */
static void set_text(struct err *err, const char *text)
{
	snprintf(err->text, sizeof(err->text), "%s", text);
	for (char *c = err->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static void say(struct sandbox *s, const char *name, int status, struct err *err)
{
	char text[sizeof(err->text)];
	const char *raised = lua_tostring(s->l, -1);

	s->lacked_memory = status == LUA_ERRMEM || s->end == NO_MEMORY;
	if (s->lacked_memory)
		snprintf(text, sizeof(text), "%s:%d: %s", name, s->refused_line,
			 end_text(NO_MEMORY));
	else if (!raised || strncmp(raised, name, strlen(name)) != 0)
		snprintf(text, sizeof(text), "%s: %s", name, raised ? raised : "it failed");
	else
		snprintf(text, sizeof(text), "%s", raised);
	set_text(err, text);
}

/* What a function of the library raised has no position: the stack still tells it. */
static int place(lua_State *l)
{
	const struct sandbox *s = sandbox_of(l);
	int line = sandbox_line(l);

	/* A table's own idea of its text would be another call. */
	if (!lua_isstring(l, 1)) {
		lua_pushfstring(l, "it raised a %s as an error", luaL_typename(l, 1));
		lua_replace(l, 1);
	}
	const char *raised = lua_tostring(l, 1);

	if (raised && line && strncmp(raised, s->name, strlen(s->name)) != 0)
		lua_pushfstring(l, "%s:%d: %s", s->name, line, raised);
	return 1;
}

int sandbox_run(struct sandbox *s, const char *name, const char *text, size_t len, struct err *err)
{
	char chunk[128];
	int status;

	if (len > SANDBOX_TEXT_MAX) {
		snprintf(err->text, sizeof(err->text), "%s: longer than %d KiB", name,
			 SANDBOX_TEXT_MAX / 1024);
		return -EINVAL;
	}
	snprintf(chunk, sizeof(chunk), "@%s", name);
	s->name = name;
	s->left = s->limits.instructions;
	s->wall_until_ns = until(CLOCK_MONOTONIC_COARSE, s->limits.wall_ns);
	s->processor_until_ns = until(CLOCK_THREAD_CPUTIME_ID, s->limits.processor_ns);
	lua_sethook(s->l, look, LUA_MASKCOUNT, SLICE);
	lua_pushcfunction(s->l, place);
	/* Text only: byte code could make the machine do anything. */
	status = luaL_loadbufferx(s->l, text, len, chunk, "t");
	if (status == LUA_OK)
		status = lua_pcall(s->l, 0, 0, -2);
	lua_sethook(s->l, NULL, 0, 0);
	s->is_over = true;
	if (s->end == STOPPED)
		return -ECANCELED;
	if (status == LUA_OK)
		return 0;
	say(s, name, status, err);
	return -EINVAL;
}
