/* SPDX-License-Identifier: MIT
 *
 * The play as a whole: its head, its expectations, its waits
 */
#include "case/sandbox_library.h"
#include "case/story_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char story_key; /* its address names the struct in Lua's registry */

struct story *story_of(lua_State *l)
{
	lua_rawgetp(l, LUA_REGISTRYINDEX, &story_key);
	struct story *s = lua_touserdata(l, -1);
	lua_pop(l, 1);
	return s;
}

_Noreturn void story_end(lua_State *l, enum play_end end, const char *why)
{
	struct story *s = story_of(l);

	s->play->end = (uint8_t)end;
	snprintf(s->play->why, sizeof(s->play->why), "%s", why);
	sandbox_stop(l);
}

bool story_takes_real_time(const struct story *s)
{
	return !strcmp(s->stage->ops->name, "kernel");
}

/* The play ends in a line, which is told. */
static _Noreturn void end_here(lua_State *l, enum play_end end, const char *why)
{
	char text[sizeof(story_of(l)->play->why)];

	snprintf(text, sizeof(text), "line %d: %s", sandbox_line(l), why);
	story_end(l, end, text);
}

_Noreturn void story_cannot(lua_State *l, const char *why)
{
	const struct story *s = story_of(l);

	/* What the model lacks it lacks on every machine. */
	if (!story_takes_real_time(s) && !s->play->head.kernel)
		luaL_error(l, "%s", why);
	end_here(l, PLAY_CANNOT, why);
}

void story_must(lua_State *l, int r, const struct err *err)
{
	if (r >= 0)
		return;
	if (r == STAGE_CANNOT)
		story_cannot(l, err->text);
	/* The model's memory is all that it has of an outside. */
	if (r == -ENOMEM && !story_takes_real_time(story_of(l)))
		sandbox_no_memory(l);
	/* What a case can ask for wrongly; all else is the stage's trouble. */
	if (r == -EEXIST || r == -EINVAL || r == -ENOENT || r == -ENOSPC || r == -ENAMETOOLONG ||
	    r == -ELOOP)
		luaL_error(l, "%s", err->text);
	end_here(l, PLAY_FAILED, err->text);
}

/* ---------------------------------------------------------------------------------------- the head
 */

static void copy_field(lua_State *l, const char *name, char *out, size_t size)
{
	const char *text = story_text_field(l, 1, name);

	if (text && strlen(text) >= size)
		luaL_error(l, "case: %s is longer than %d bytes", name, (int)size - 1);
	snprintf(out, size, "%s", text ? text : "");
}

/* Calls take(word) for each word of a text. */
static void each_word(lua_State *l, const char *text, void (*take)(lua_State *l, const char *word))
{
	char word[32];

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		size_t n = strcspn(text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)(n < 31 ? n : 31), text);
		take(l, word);
		text += n;
	}
}

static void take_release(lua_State *l, const char *word)
{
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		if (strcmp(tcpwhy_row_at(i)->name, word) == 0) {
			story_of(l)->play->head.rows |= 1u << i;
			return;
		}
	}
	luaL_error(l, "case: '%s' is not a release whose rules are known", word);
}

static void take_stage(lua_State *l, const char *word)
{
	struct play_head *head = &story_of(l)->play->head;

	if (!strcmp(word, "world"))
		head->world = true;
	else if (!strcmp(word, "kernel"))
		head->kernel = true;
	else
		luaL_error(l, "case: a stage is 'world' or 'kernel', not '%s'", word);
}

static int word_case(lua_State *l)
{
	static const char *const names[] = {"about",    "claim",  "truth", "source",
					    "releases", "stages", "seed",  NULL};
	struct story *s = story_of(l);
	struct play_head *head = &s->play->head;

	luaL_checktype(l, 1, LUA_TTABLE);
	if (s->has_head)
		return luaL_error(l, "case: it stands once, at the top");
	story_only(l, 1, names);
	copy_field(l, "about", head->about, sizeof(head->about));
	copy_field(l, "claim", head->claim, sizeof(head->claim));
	copy_field(l, "truth", head->truth, sizeof(head->truth));
	copy_field(l, "source", head->source, sizeof(head->source));
	if (!head->about[0])
		return luaL_error(l, "case: about is missing: one sentence");
	const char *releases = story_text_field(l, 1, "releases");
	const char *stages = story_text_field(l, 1, "stages");
	head->rows = releases ? 0 : UINT32_MAX;
	if (releases)
		each_word(l, releases, take_release);
	each_word(l, stages ? stages : "world kernel", take_stage);
	head->seed = story_whole_field(l, 1, "seed", 1, UINT32_MAX);
	s->has_head = true;
	if (!s->stage)
		sandbox_stop(l);
	return 0;
}

void story_need_head(lua_State *l)
{
	if (!story_of(l)->has_head)
		luaL_error(l, "case{...} comes first");
}

static void note_line(struct story *s, lua_State *l)
{
	s->line = sandbox_line(l);
	if (s->config->line)
		*s->config->line = s->line;
}

struct stage *story_building(struct story *s, lua_State *l)
{
	story_need_head(l);
	note_line(s, l);
	sandbox_charge(l, STORY_CALL_UNITS);
	if (s->started)
		luaL_error(l, "hosts, boxes and links come before the first socket or wait");
	return s->stage;
}

struct stage *story_stage(struct story *s, lua_State *l)
{
	story_need_head(l);
	note_line(s, l);
	if (!s->started) {
		struct err err = {""};
		s->started = true;
		story_must(l, s->stage->ops->start(s->stage, &err), &err);
		story_observe_begin(s);
	}
	return s->stage;
}

/* ----------------------------------------------------------------------------------- expectations
 */

/* The line of the case itself, without what stands around it. */
static void line_text(const struct story_config *c, int line, char *out, size_t size)
{
	const char *at = c->text, *end = c->text + c->text_n;

	for (int i = 1; at && i < line; i++) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	if (!at)
		at = end;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	const char *stop = memchr(at, '\n', (size_t)(end - at));
	size_t n = (size_t)((stop ? stop : end) - at);
	snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), at);
}

static struct play_expect *add_expect(lua_State *l, const char *text, const char *got)
{
	struct story *s = story_of(l);
	struct play_expect *e = play_add_expect(s->play);

	if (!e)
		luaL_error(l, "more than %d expectations", PLAY_LIST_MAX);
	e->line = sandbox_line(l);
	e->at_ns = s->stage->ops->now(s->stage);
	if (text)
		snprintf(e->text, sizeof(e->text), "%s", text);
	else
		line_text(s->config, e->line, e->text, sizeof(e->text));
	snprintf(e->got, sizeof(e->got), "%s", got);
	return e;
}

void story_expect(lua_State *l, bool holds, const char *text, const char *got, const char *want)
{
	struct play_expect *e = add_expect(l, text, got);

	e->holds = holds;
	snprintf(e->want, sizeof(e->want), "%s", want);
}

void story_skip(lua_State *l, const char *text, const char *why)
{
	add_expect(l, text, why)->skipped = true;
}

/* The value at index, as text; a table or an object is no value to be expected. */
const char *story_value_text(lua_State *l, int index)
{
	size_t n;

	if (lua_istable(l, index) || lua_isfunction(l, index))
		luaL_argerror(l, index, "text, a number or a boolean");
	return sandbox_tostring(l, index, &n);
}

/* expect(got, want[, sentence]) */
static int word_expect(lua_State *l)
{
	story_need_head(l);
	luaL_checkany(l, 1);
	luaL_checkany(l, 2);
	const char *text = luaL_optstring(l, 3, NULL);
	bool holds = lua_compare(l, 1, 2, LUA_OPEQ);
	const char *got = lua_isuserdata(l, 1) ? "ok" : story_value_text(l, 1);
	const char *want = story_value_text(l, 2);

	/* try_accept() gives a socket when it succeeds. */
	if (lua_isuserdata(l, 1))
		holds = !strcmp(want, "ok");
	story_expect(l, holds, text, got, want);
	return 0;
}

/* expect_between(got, low, high[, sentence]) */
static int word_expect_between(lua_State *l)
{
	story_need_head(l);
	lua_Number got = luaL_checknumber(l, 1), low = luaL_checknumber(l, 2),
		   high = luaL_checknumber(l, 3);
	const char *text = luaL_optstring(l, 4, NULL);
	char shown[32], want[64];

	snprintf(shown, sizeof(shown), "%.6g", got);
	snprintf(want, sizeof(want), "from %.6g to %.6g", low, high);
	story_expect(l, got >= low && got <= high, text, shown, want);
	return 0;
}

/* ------------------------------------------------------------------------------------ small words
 */

static int word_now(lua_State *l)
{
	struct story *s = story_of(l);

	story_need_head(l);
	lua_pushnumber(l, (double)s->stage->ops->now(s->stage) / 1e9);
	return 1;
}

void story_note(struct story *s, int node, int line, const char *text)
{
	struct play_call *c = play_add_call(s->play);

	if (!c)
		return;
	c->at_ns = c->end_ns = s->stage->ops->now(s->stage);
	c->sent_before = c->sent_until = (uint32_t)s->stage->ops->trace_count(s->stage);
	c->node = node;
	c->line = line;
	c->is_note = true;
	snprintf(c->text, sizeof(c->text), "%s", text);
}

/* note(text[, host]) */
static int word_note(lua_State *l)
{
	const char *text = luaL_checkstring(l, 1);

	story_need_head(l);
	sandbox_charge(l, STORY_CALL_UNITS);
	int node = lua_isnoneornil(l, 2) ? -1 : story_check(l, 2, STORY_NODE);
	story_note(story_of(l), node, sandbox_line(l), text);
	return 0;
}

/* has("connect-parity"): of the release that is played. */
static int word_has(lua_State *l)
{
	const char *id = luaL_checkstring(l, 1);
	const struct tcpwhy_row *row = story_of(l)->row;

	story_need_head(l);
	for (size_t i = 0; tcpwhy_feature_at(i); i++) {
		const struct tcpwhy_feature_info *f = tcpwhy_feature_at(i);
		if (strcmp(f->id, id) != 0)
			continue;
		lua_pushboolean(l, (f->feature & row->features) || (f->packet & row->packets));
		return 1;
	}
	return luaL_error(l, "has: there is no feature '%s': tcpwhy lab --releases lists them", id);
}

/* ----------------------------------------------------------------------------------------- the end
 */

static void read_counters(struct story *s)
{
	for (uint32_t node = 0; node < s->play->nodes_n; node++) {
		if (s->play->nodes[node].is_box)
			continue;
		for (int i = 0; i < COUNTER_COUNT; i++) {
			const char *name = counter_name((enum counter)i);
			struct err err;
			uint64_t value;
			if (s->stage->ops->counter(s->stage, (int)node, name, &value, &err) ||
			    !value)
				continue;
			struct play_counter *c = play_add_counter(s->play);
			if (!c)
				return;
			c->node = (int)node;
			snprintf(c->name, sizeof(c->name), "%s", name);
			c->value = value;
		}
	}
}

/* What is on its way when the text ends arrives: both stages then show the same. */
#define AFTERMATH_NS UINT64_C(20000000)

static int goes_on(void *ctx)
{
	return sandbox_spend(((struct story *)ctx)->l, STORY_EVENT_UNITS) ? 0 : -ECANCELED;
}

/* 0; -ECANCELED, -ENOMEM or -ELOOP: what the text began had no end within the bounds. */
static int look_back(struct story *s, bool to_its_end)
{
	struct err err;
	int r = 0;

	if (s->started && to_its_end)
		r = s->stage->ops->run_until(s->stage, goes_on, s, AFTERMATH_NS, &err);
	s->play->lasted_ns = s->stage->ops->now(s->stage);
	if (!s->started)
		return 0;
	s->open = 0;
	story_read_trace(s);
	if (!s->play->apart[0])
		read_counters(s);
	return r == -ETIMEDOUT ? 0 : r;
}

static void part(struct story *s, const char *why)
{
	struct play *p = s->play;

	if (s->started) {
		story_read_trace(s);
		read_counters(s);
	}
	p->apart_calls = p->calls_n;
	p->apart_segments = p->segments_n;
	snprintf(p->apart, sizeof(p->apart), "%s", why);
}

void story_part_by_loss(lua_State *l)
{
	struct story *s = story_of(l);

	if (s->play->apart[0])
		return;
	if (s->started)
		story_let_pass(l, AFTERMATH_NS);
	part(s, "a link loses by chance, which each stage draws for itself");
	s->loses = true;
}

/* apart(sentence): what follows is not compared, and the sentence says why. */
static int word_apart(lua_State *l)
{
	struct story *s = story_of(l);
	struct play *p = s->play;
	const char *why = luaL_checkstring(l, 1);

	story_stage(s, l);
	luaL_argcheck(l, why[0] && strlen(why) < sizeof(p->apart), 1, "a sentence");
	if (p->apart[0] && !s->loses)
		return luaL_error(l, "apart: it stands once");
	if (s->loses) {
		/* They are apart since the loss; why is the case's to say. */
		snprintf(p->apart, sizeof(p->apart), "%s", why);
		s->loses = false;
		return 0;
	}
	story_let_pass(l, AFTERMATH_NS);
	part(s, why);
	return 0;
}

/* ---------------------------------------------------------------------------------------- playing
 */

static int open_words(lua_State *l)
{
	static const luaL_Reg words[] = {{"case", word_case},
					 {"expect", word_expect},
					 {"expect_between", word_expect_between},
					 {"now", word_now},
					 {"note", word_note},
					 {"apart", word_apart},
					 {"has", word_has},
					 {NULL, NULL}};
	struct story *s = lua_touserdata(l, 1);

	lua_pushvalue(l, 1);
	lua_rawsetp(l, LUA_REGISTRYINDEX, &story_key);
	lua_pushglobaltable(l);
	luaL_setfuncs(l, words, 0);
	lua_pop(l, 1);
	story_open_waits(l);
	story_open_nodes(l);
	story_open_lines(l);
	story_open_sockets(l);
	story_open_apps(l);
	story_open_figures(l);
	story_open_logs(l);
	story_open_programs(l);
	lua_pushstring(l, s->row ? s->row->name : "");
	lua_setglobal(l, "release");
	lua_pushstring(l, s->stage ? s->stage->ops->name : "");
	lua_setglobal(l, "stage");
	return 0;
}

static uint64_t real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Not the bound of the text, nor the model's: the process has less than those. */
static bool is_starved(const struct story *s, const struct sandbox *box)
{
	return sandbox_is_starved(box) ||
	       (s->stage && s->stage->ops->is_starved && s->stage->ops->is_starved(s->stage));
}

static bool holds(const struct story *s)
{
	for (uint32_t i = 0; i < s->play->expects_n; i++)
		if (!s->play->expects[i].holds && !s->play->expects[i].skipped)
			return false;
	return true;
}

/* What did not hold says nothing of the case then. */
static void give_up_starved(struct story *s, const char *name, struct err *err)
{
	static const char why[] = "this process gets no more memory (ulimit -v)";

	snprintf(err->text, sizeof(err->text), "%s:%d: %s", name, s->line, why);
	for (uint32_t i = 0; i < s->play->expects_n; i++) {
		struct play_expect *e = &s->play->expects[i];
		if (e->holds || e->skipped)
			continue;
		e->skipped = true;
		snprintf(e->got, sizeof(e->got), "%s", why);
	}
}

/* 0, or -errno with err->text. */
static int run(struct story *s, struct err *err)
{
	struct sandbox_limits limits =
		s->config->limits ? *s->config->limits : sandbox_limits_default;
	char name[PLAY_NAME_MAX + 8];

	if (!s->stage || !story_takes_real_time(s))
		limits.wall_ns = 0;
	else if (s->config->slow)
		limits.wall_ns *= 10;
	struct sandbox *box = sandbox_new(&limits);
	if (!box) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	sandbox_seed(box, s->config->seed);
	lua_State *l = s->l = sandbox_lua(box);
	lua_pushcfunction(l, open_words);
	lua_pushlightuserdata(l, s);
	int r = -ENOMEM;
	snprintf(name, sizeof(name), "%s.lua", s->config->name);
	if (lua_pcall(l, 1, 0, 0) == LUA_OK)
		r = sandbox_run(box, name, s->config->text, s->config->text_n, err);
	else
		snprintf(err->text, sizeof(err->text), "no memory");
	if (!r && !s->has_head) {
		snprintf(err->text, sizeof(err->text), "%s: case{...} is missing", name);
		r = -EINVAL;
	}
	const bool to_its_end = (!r || r == -ECANCELED) && s->play->end == PLAY_DONE;
	const int after = s->stage ? look_back(s, to_its_end) : 0;
	if (to_its_end && after) {
		const char *why = after == -ENOMEM  ? "it takes too much memory"
				  : after == -ELOOP ? "a million events at one instant"
						    : sandbox_ended(box);
		snprintf(err->text, sizeof(err->text), "%s:%d: %s", name, s->line, why);
		r = -EINVAL;
	}
	if (is_starved(s, box) && (sandbox_lacked_memory(box) || after == -ENOMEM || !holds(s))) {
		give_up_starved(s, name, err);
		r = -ENOMEM;
	}
	/* Targets and rules lie in its memory. */
	if (s->apps)
		apps_free(s->apps);
	sandbox_free(box);
	return r;
}

int story_head(const struct story_config *config, struct play_head *out, struct err *err)
{
	struct play play = {0};
	struct story s = {.config = config, .play = &play};
	int r = run(&s, err);

	if (r && r != -ECANCELED)
		return r;
	*out = play.head;
	snprintf(out->name, sizeof(out->name), "%s", config->name);
	return 0;
}

void story_play(const struct story_config *config, struct stage *stage,
		const struct tcpwhy_row *row, struct play *out)
{
	struct story *s = calloc(1, sizeof(*s));
	uint64_t began = real_ns();
	struct err err = {""};

	memset(out, 0, sizeof(*out));
	snprintf(out->head.name, sizeof(out->head.name), "%s", config->name);
	snprintf(out->stage, sizeof(out->stage), "%s", stage->ops->name);
	snprintf(out->release, sizeof(out->release), "%s", row->name);
	if (!s) {
		out->end = PLAY_FAILED;
		snprintf(out->why, sizeof(out->why), "no memory");
		return;
	}
	*s = (struct story){.config = config, .stage = stage, .row = row, .play = out};
	int r = run(s, &err);
	if (r && r != -ECANCELED) {
		/* The machine's memory is nothing that a text is wrong about. */
		out->end = r == -EINVAL ? PLAY_WRONG : r == -ENOMEM ? PLAY_CANNOT : PLAY_FAILED;
		snprintf(out->why, sizeof(out->why), "%s", err.text);
	}
	out->took_ns = real_ns() - began;
	story_observe_end(s);
	free(s);
}
