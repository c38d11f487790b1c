/* SPDX-License-Identifier: MIT
 *
 * What the rule book said to a socket's last call, as a table of the case
 */
#include "case/story_state.h"

static void put_count(lua_State *l, const char *name, uint32_t value)
{
	lua_pushinteger(l, value);
	lua_setfield(l, -2, name);
}

/* Of the range's taken ports, TIME_WAIT that connect() may not take over, by reason
 * (tcp_twsk_unique()). The names are those of tcpwhy connect --json. */
static void put_kept(lua_State *l, const struct tcpwhy_verdict *v)
{
	static const char *const names[TCPWHY_TW_REASONS] = {
		[TCPWHY_TW_NO_TIMESTAMPS] = "no_timestamps",
		[TCPWHY_TW_FIN_WAIT2] = "fin_wait2",
		[TCPWHY_TW_REUSE_OFF] = "reuse_off",
		[TCPWHY_TW_LOOPBACK_ONLY] = "loopback_only",
		[TCPWHY_TW_TOO_YOUNG] = "too_young",
	};

	lua_newtable(l);
	for (unsigned i = 0; i < TCPWHY_TW_REASONS; i++)
		put_count(l, names[i], v->tw_kept[i]);
	lua_setfield(l, -2, "time_wait_kept");
}

/* s:verdict(): nil where the stage has no rule book, or the rule's name if it refused, and the
 * ports of the range; they are counted where connect() found none. */
int story_verdict_word(lua_State *l)
{
	int sock = story_check(l, 1, STORY_SOCKET);
	struct stage *st = story_stage(story_of(l), l);
	struct tcpwhy_verdict v;

	if (sock < 0)
		return luaL_error(l, "this socket is closed");
	if (!st->ops->verdict(st, sock, &v))
		return 0;
	lua_newtable(l);
	if (v.rule) {
		lua_pushstring(l, tcpwhy_rule_info(v.rule)->id);
		lua_setfield(l, -2, "rule");
	}
	put_count(l, "port", v.port);
	put_count(l, "total", v.range_total);
	put_count(l, "free", v.range_free);
	put_count(l, "reserved", v.range_reserved);
	put_count(l, "taken", v.range_taken);
	put_count(l, "reusable", v.range_reusable);
	put_kept(l, &v);
	return 1;
}
