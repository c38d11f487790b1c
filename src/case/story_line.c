/* SPDX-License-Identifier: MIT
 *
 * Links: what happens to single segments, what was seen of them, and segments nobody sent
 */
#include "case/story_state.h"

#include <stdio.h>
#include <string.h>

/* From which end: a host or box at one of them. */
static enum line_direction direction_of(lua_State *l, int link, int index)
{
	const struct play_link *k = &story_of(l)->play->links[link];
	int node = story_check(l, index, STORY_NODE);

	if (node != k->node[0] && node != k->node[1])
		luaL_error(l, "'%s' is at no end of that link",
			   story_of(l)->play->nodes[node].name);
	return node == k->node[0] ? LINE_FROM_0 : LINE_FROM_1;
}

/* ---------------------------------------------------------------------------------------- controls
 */

static const char *const control_fields[] = {"times",   "skip", "every", "from_port",
					     "to_port", "by",   NULL};

/* link:drop(from, "SYN ACK"[, {times =, skip =, every =, from_port =, to_port =, by = seconds}]) */
static int control(lua_State *l, enum line_action action)
{
	int link = story_check(l, 1, STORY_LINK);
	enum line_direction from = direction_of(l, link, 2);
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};

	story_only(l, 4, control_fields);
	struct line_control c = {
		.pick = story_pick(l, luaL_optstring(l, 3, "")),
		.action = action,
		.delay_ns = story_ns(l, story_number_field(l, 4, "by", 0)),
		.skip = story_whole_field(l, 4, "skip", 0, UINT32_MAX),
		.every = story_whole_field(l, 4, "every", 0, UINT32_MAX),
		.times = story_whole_field(l, 4, "times", 0, UINT32_MAX),
	};
	c.pick.from_port = (uint16_t)story_whole_field(l, 4, "from_port", 0, UINT16_MAX);
	c.pick.to_port = (uint16_t)story_whole_field(l, 4, "to_port", 0, UINT16_MAX);
	sandbox_charge(l, STORY_CALL_UNITS);
	int r = st->ops->add_control(st, link, from, &c, &err);
	story_must(l, r, &err);
	story_push(l, STORY_CONTROL, r);
	return 1;
}

static int link_drop(lua_State *l)
{
	return control(l, LINE_DROP);
}

static int link_delay(lua_State *l)
{
	return control(l, LINE_DELAY);
}

static int link_copy(lua_State *l)
{
	return control(l, LINE_COPY);
}

static int link_hold(lua_State *l)
{
	return control(l, LINE_HOLD);
}

static int link_swap(lua_State *l)
{
	return control(l, LINE_SWAP);
}

static int link_watch(lua_State *l)
{
	return control(l, LINE_PASS);
}

static int control_release(lua_State *l)
{
	struct stage *st = story_stage(story_of(l), l);

	lua_pushinteger(l, st->ops->release(st, story_check(l, 1, STORY_CONTROL)));
	story_observe(story_of(l));
	return 1;
}

static int control_remove(lua_State *l)
{
	struct stage *st = story_stage(story_of(l), l);
	int *number = story_number(l, 1, STORY_CONTROL);

	luaL_argcheck(l, *number >= 0, 1, "it was removed already");
	st->ops->remove_control(st, *number);
	*number = -1;
	return 0;
}

static int control_fields_of(lua_State *l)
{
	struct stage *st = story_of(l)->stage;
	int number = story_check(l, 1, STORY_CONTROL);
	const char *name = luaL_checkstring(l, 2);

	luaL_argcheck(l, number >= 0, 1, "it was removed");
	if (!strcmp(name, "fired"))
		lua_pushinteger(l, st->ops->fired(st, number));
	else if (!strcmp(name, "held"))
		lua_pushinteger(l, st->ops->held(st, number));
	else
		return luaL_error(l, "a control has no '%s'", name);
	return 1;
}

/* --------------------------------------------------------------------------------------- the line
 */

static int link_set_delay(lua_State *l)
{
	struct stage *st = story_stage(story_of(l), l);
	int link = story_check(l, 1, STORY_LINK);
	struct err err = {""};

	story_must(
		l,
		st->ops->set_delay(st, link, LINE_BOTH, story_ns(l, luaL_checknumber(l, 2)), &err),
		&err);
	return 0;
}

static int link_set_loss(lua_State *l)
{
	struct stage *st = story_stage(story_of(l), l);
	int link = story_check(l, 1, STORY_LINK);
	double loss = luaL_checknumber(l, 2);
	struct err err = {""};

	luaL_argcheck(l, loss >= 0 && loss <= 1, 2, "a share, from 0 to 1");
	if (loss > 0)
		story_part_by_loss(l);
	story_must(l, st->ops->set_loss(st, link, LINE_BOTH, (uint32_t)(loss * 1e6), &err), &err);
	return 0;
}

static bool takes(const struct line_pick *p, const struct segment *s)
{
	if ((s->flags & p->flags_set) != p->flags_set || (s->flags & p->flags_clear))
		return false;
	if (p->data == LINE_DATA ? !s->length : p->data == LINE_EMPTY && s->length)
		return false;
	return (!p->from_port || s->from_port == p->from_port) &&
	       (!p->to_port || s->to_port == p->to_port);
}

/* link:count(from, "SYN -ACK"[, {from_port =, to_port =}]): segments so far, lost ones included */
static int link_count(lua_State *l)
{
	static const char *const names[] = {"from_port", "to_port", NULL};
	int link = story_check(l, 1, STORY_LINK), n = 0;
	enum line_direction from = direction_of(l, link, 2);
	struct stage *st = story_stage(story_of(l), l);
	struct line_pick pick = story_pick(l, luaL_optstring(l, 3, ""));
	struct line_record r;

	story_only(l, 4, names);
	pick.from_port = (uint16_t)story_whole_field(l, 4, "from_port", 0, UINT16_MAX);
	pick.to_port = (uint16_t)story_whole_field(l, 4, "to_port", 0, UINT16_MAX);
	for (size_t i = 0; st->ops->trace(st, i, &r); i++) {
		sandbox_charge(l, 1);
		n += r.link == link && r.direction == from && takes(&pick, &r.segment);
	}
	lua_pushinteger(l, n);
	return 1;
}

/* link:times(from, "SYN -ACK"): when each was sent, in seconds */
static int link_times(lua_State *l)
{
	int link = story_check(l, 1, STORY_LINK), n = 0;
	enum line_direction from = direction_of(l, link, 2);
	struct stage *st = story_stage(story_of(l), l);
	struct line_pick pick = story_pick(l, luaL_optstring(l, 3, ""));
	struct line_record r;

	lua_newtable(l);
	for (size_t i = 0; st->ops->trace(st, i, &r); i++) {
		sandbox_charge(l, 1);
		if (r.link != link || r.direction != from || !takes(&pick, &r.segment))
			continue;
		lua_pushnumber(l, (double)r.sent_ns / 1e9);
		lua_rawseti(l, -2, ++n);
	}
	return 1;
}

static void set_field(lua_State *l, const char *name, lua_Integer n)
{
	lua_pushinteger(l, n);
	lua_setfield(l, -2, name);
}

static void push_segment(lua_State *l, const struct segment *s)
{
	char text[ENDPOINT_TEXT_MAX];

	lua_newtable(l);
	lua_pushstring(l, endpoint_format(&s->from, s->from_port, false, text));
	lua_setfield(l, -2, "from");
	lua_pushstring(l, endpoint_format(&s->to, s->to_port, false, text));
	lua_setfield(l, -2, "to");
	set_field(l, "seq", s->seq);
	set_field(l, "ack", s->ack);
	set_field(l, "length", s->length);
	if (!s->has_timestamp)
		return;
	set_field(l, "tsval", s->tsval);
	set_field(l, "tsecr", s->tsecr);
}

/* link:last(from, "data"): the newest of them, as inject() takes it but for its flags; or nil */
static int link_last(lua_State *l)
{
	int link = story_check(l, 1, STORY_LINK);
	enum line_direction from = direction_of(l, link, 2);
	struct stage *st = story_stage(story_of(l), l);
	struct line_pick pick = story_pick(l, luaL_optstring(l, 3, ""));
	struct line_record r;

	for (size_t i = st->ops->trace_count(st); i-- > 0;) {
		sandbox_charge(l, 1);
		if (!st->ops->trace(st, i, &r) || r.link != link || r.direction != from ||
		    !takes(&pick, &r.segment))
			continue;
		push_segment(l, &r.segment);
		return 1;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- injecting
 */

/* Sequence numbers wrap: a negative one is meant, too. */
static uint32_t number_of(lua_State *l, const char *name)
{
	const double n = story_number_field(l, 3, name, 0);

	if (!(n > -4294967296.0 && n < 8589934592.0))
		luaL_error(l, "%s is a number of 32 bits", name);
	return (uint32_t)(int64_t)n;
}

static bool has_field(lua_State *l, const char *name)
{
	bool has = lua_getfield(l, 3, name) != LUA_TNIL;

	lua_pop(l, 1);
	return has;
}

static void end_field(lua_State *l, const char *name, struct tcpwhy_addr *a, uint16_t *port)
{
	enum tcpwhy_family family;

	if (!story_text_field(l, 3, name))
		luaL_error(l, "%s is missing: ADDRESS:PORT", name);
	lua_getfield(l, 3, name);
	story_endpoint(l, -1, a, &family, port);
	lua_pop(l, 1);
}

enum {
	INJECTED_MAX = 65000, /* with headers and options it fits an IP packet */
	WINDOW_MAX = 65535,   /* a segment of nobody's scales nothing */
};

/* link:inject(from, {flags =, from =, to =, seq =, ack =, length =, window =, tsval =, tsecr =}) */
static int link_inject(lua_State *l)
{
	static const char *const names[] = {"flags",  "from",   "to",    "seq",   "ack",
					    "length", "window", "tsval", "tsecr", NULL};
	int link = story_check(l, 1, STORY_LINK);
	enum line_direction from = direction_of(l, link, 2);
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};
	struct segment s = {.window = 65535};

	luaL_checktype(l, 3, LUA_TTABLE);
	story_only(l, 3, names);
	const char *flags = story_text_field(l, 3, "flags");
	s.flags = story_pick(l, flags ? flags : "").flags_set;
	end_field(l, "from", &s.from, &s.from_port);
	end_field(l, "to", &s.to, &s.to_port);
	s.seq = number_of(l, "seq");
	s.ack = number_of(l, "ack");
	s.length = number_of(l, "length");
	if (s.length > INJECTED_MAX)
		luaL_error(l, "length is at most %d bytes", INJECTED_MAX);
	if (address_is_v4(&s.from) != address_is_v4(&s.to))
		luaL_error(l, "from and to are of one family");
	if (has_field(l, "window"))
		s.window = number_of(l, "window");
	if (s.window > WINDOW_MAX)
		luaL_error(l, "window is at most %d bytes", WINDOW_MAX);
	s.has_timestamp = has_field(l, "tsval");
	s.tsval = number_of(l, "tsval");
	s.tsecr = number_of(l, "tsecr");
	sandbox_charge(l, STORY_INJECT_UNITS);
	story_must(l, st->ops->inject(st, link, from, &s, &err), &err);
	story_observe(story_of(l));
	return 0;
}

void story_open_lines(lua_State *l)
{
	static const luaL_Reg link_methods[] = {{"drop", link_drop},
						{"delay", link_delay},
						{"copy", link_copy},
						{"hold", link_hold},
						{"swap", link_swap},
						{"watch", link_watch},
						{"set_delay", link_set_delay},
						{"set_loss", link_set_loss},
						{"count", link_count},
						{"times", link_times},
						{"last", link_last},
						{"inject", link_inject},
						{NULL, NULL}};
	static const luaL_Reg control_methods[] = {
		{"release", control_release}, {"remove", control_remove}, {NULL, NULL}};

	story_define(l, STORY_LINK, link_methods, NULL);
	story_define(l, STORY_CONTROL, control_methods, control_fields_of);
}
