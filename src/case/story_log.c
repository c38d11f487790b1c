/* SPDX-License-Identifier: MIT
 *
 * Logs: what a line of an application's log says of a failed call
 */
#include "case/story_state.h"
#include "live/heap.h"
#include "logs/logs.h"

#include <stdlib.h>
#include <string.h>

enum { HITS = 16 };

#define TEXT_MAX  65536
#define READ_COST 20000 /* the patterns are made ready anew for each text */

struct found {
	struct log_hit hits[HITS];
	unsigned n; /* all, those beyond HITS too */
};

static void note_hit(void *ctx, const struct log_hit *hit)
{
	struct found *f = ctx;

	if (f->n < HITS)
		f->hits[f->n] = *hit;
	f->n++;
}

static void push_hit(lua_State *l, const struct log_hit *hit)
{
	static const char *const calls[] = {
		[TCPWHY_CALL_NONE] = NULL,
		[TCPWHY_CALL_BIND] = "bind",
		[TCPWHY_CALL_LISTEN] = "listen",
		[TCPWHY_CALL_CONNECT] = "connect",
	};

	lua_newtable(l);
	lua_pushstring(l, hit->format);
	lua_setfield(l, -2, "format");
	lua_pushstring(l, calls[hit->call]);
	lua_setfield(l, -2, "call");
	lua_pushstring(l, strerrorname_np(hit->error));
	lua_setfield(l, -2, "error");
	lua_pushinteger(l, (lua_Integer)hit->line);
	lua_setfield(l, -2, "line");
	lua_pushboolean(l, hit->from_context);
	lua_setfield(l, -2, "from_context");
	lua_pushboolean(l, hit->reuseaddr);
	lua_setfield(l, -2, "reuseaddr");
	if (hit->port_known) {
		lua_pushinteger(l, hit->port);
		lua_setfield(l, -2, "port");
	}
}

/* read_log(text): its failed calls, tables with format, call, error, port (nil: not told), line,
 * from_context, reuseaddr */
static int word_read_log(lua_State *l)
{
	size_t n;
	const char *text = luaL_checklstring(l, 1, &n);

	luaL_argcheck(l, n <= TEXT_MAX, 1, "at most 65,536 bytes");
	sandbox_charge(l, READ_COST + n * 8);
	struct found *f = lua_newuserdatauv(l, sizeof(*f), 0);
	f->n = 0;
	/* Nothing raises until the reader is gone. */
	struct logs *logs = logs_new(&heap_memory, note_hit, f);
	if (logs) {
		logs_feed(logs, text, n);
		logs_end(logs);
		logs_free(logs);
	}
	if (!logs)
		return luaL_error(l, "no memory to read a log");
	luaL_argcheck(l, f->n <= HITS, 1, "it has more than 16 failed calls");
	lua_newtable(l);
	for (unsigned i = 0; i < f->n; i++) {
		push_hit(l, &f->hits[i]);
		lua_rawseti(l, -2, (lua_Integer)i + 1);
	}
	return 1;
}

void story_open_logs(lua_State *l)
{
	lua_pushcfunction(l, word_read_log);
	lua_setglobal(l, "read_log");
}
