/* SPDX-License-Identifier: MIT
 *
 * Socket calls: each is recorded with its result
 *
 * s:bind("10.0.0.2:80") must succeed, else the play ends there as an expectation that does not
 * hold; s:try_bind("10.0.0.2:80") gives "ok" or the errno as text. connect(), accept() and recv()
 * wait, up to a limit in seconds that may stand behind their arguments.
 */
#include "case/sandbox_library.h"
#include "case/story_state.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- recording
 */

/* A call that is being made. Kept by its place: the list may move while it waits. */
struct call {
	lua_State *l;
	struct story *s;
	struct stage *st;
	int sock;
	bool try;    /* gives the errno instead of ending the play */
	bool counts; /* its result is a number, 0 included */
	bool waited;
	bool pending; /* it gave EINPROGRESS, which is what was wanted */
	uint32_t place, kept;
	char text[80];
};

__attribute__((format(printf, 3, 4))) static void begin(struct call *c, int host,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->text, sizeof(c->text), format, args);
	va_end(args);
	c->kept = 0;
	/* What eventually() asks is asked as often as the stage likes: no part of the story. */
	if (c->s->waiting)
		return;
	sandbox_charge(c->l, STORY_CALL_UNITS);
	c->s->play->calls_total++;
	struct play_call *kept = play_add_call(c->s->play);
	if (!kept)
		return;
	c->kept = 1;
	c->place = (uint32_t)(kept - c->s->play->calls);
	kept->node = host;
	kept->line = sandbox_line(c->l);
	kept->at_ns = kept->end_ns = c->st->ops->now(c->st);
	kept->sent_before = (uint32_t)c->st->ops->trace_count(c->st);
	memcpy(kept->text, c->text, sizeof(kept->text));
}

/* One more object of a socket's. */
static void push_socket(lua_State *l, struct story *s, int sock)
{
	if (s->sockets_n == STORY_SOCKETS_MAX)
		luaL_error(l, "more than %d sockets", STORY_SOCKETS_MAX);
	s->sockets_n++;
	sandbox_charge(l, STORY_CALL_UNITS);
	story_push(l, STORY_SOCKET, sock);
}

static const char *errno_text(int64_t r)
{
	const char *name = r < 0 ? strerrorname_np((int)-r) : "ok";

	return name ? name : "an unknown error";
}

static void finish(struct call *c, int64_t r)
{
	char cannot[128];

	if (r == STAGE_CANNOT) {
		snprintf(cannot, sizeof(cannot), "%s is nothing for this stage", c->text);
		story_cannot(c->l, cannot);
	}
	if (r == -ENOMEM && !strcmp(c->st->ops->name, "world"))
		sandbox_no_memory(c->l);
	if (r == -EADDRNOTAVAIL || r == -EADDRINUSE)
		sandbox_charge(c->l, STORY_SEARCH_UNITS);
	if (c->kept) {
		struct play_call *kept = &c->s->play->calls[c->place];
		kept->end_ns = c->st->ops->now(c->st);
		kept->sent_until = (uint32_t)c->st->ops->trace_count(c->st);
		kept->waited = c->waited;
		if (c->pending)
			snprintf(kept->result, sizeof(kept->result), "EINPROGRESS");
		else if (r > 0 || (r == 0 && c->counts))
			snprintf(kept->result, sizeof(kept->result), "%lld", (long long)r);
		else
			snprintf(kept->result, sizeof(kept->result), "%s", errno_text(r));
	}
	story_observe(c->s);
	if (r >= 0 || c->try)
		return;
	story_expect(c->l, false, NULL, errno_text(r), "ok");
	sandbox_stop(c->l);
}

/* Leaves "ok" or the errno, or for a call that must succeed nothing. */
static int done(struct call *c, int64_t r)
{
	finish(c, r);
	if (!c->try)
		return 0;
	lua_pushstring(c->l, errno_text(r));
	return 1;
}

/* The socket at index 1; upvalue 1 says whether it is a try_. */
static struct call call_of(lua_State *l)
{
	struct story *s = story_of(l);
	struct call c = {.l = l, .s = s, .sock = story_check(l, 1, STORY_SOCKET)};

	if (c.sock < 0)
		luaL_error(l, "this socket is closed");
	c.st = story_stage(s, l);
	c.try = lua_toboolean(l, lua_upvalueindex(1));
	return c;
}

static int host_of(const struct call *c)
{
	return c->st->ops->host_of(c->st, c->sock);
}

/* ---------------------------------------------------------------------------------------- options
 */

static const struct {
	const char *name;
	enum tcpwhy_option option;
} options[] = {
	{"SO_REUSEADDR", TCPWHY_SO_REUSEADDR},
	{"SO_REUSEPORT", TCPWHY_SO_REUSEPORT},
	{"SO_BINDTODEVICE", TCPWHY_SO_BINDTODEVICE},
	{"SO_LINGER0", TCPWHY_SO_LINGER0},
	{"SO_ATTACH_REUSEPORT_CBPF", TCPWHY_SO_ATTACH_REUSEPORT},
	{"IPV6_V6ONLY", TCPWHY_IPV6_V6ONLY},
	{"IP_FREEBIND", TCPWHY_IP_FREEBIND},
	{"IP_TRANSPARENT", TCPWHY_IP_TRANSPARENT},
	{"IP_BIND_ADDRESS_NO_PORT", TCPWHY_IP_BIND_ADDRESS_NO_PORT},
	{"IP_LOCAL_PORT_RANGE", TCPWHY_IP_LOCAL_PORT_RANGE},
	{"TCP_REPAIR", TCPWHY_TCP_REPAIR},
	{"TCP_LINGER2", TCPWHY_TCP_LINGER2},
};

static enum tcpwhy_option option_of(lua_State *l, const char *name)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i].name, name))
			return options[i].option;
	luaL_error(l, "there is no socket option '%s' here", name);
	return TCPWHY_SO_REUSEADDR;
}

/* "32768-32770"; a number is what setsockopt() takes, low | high << 16. */
static uint64_t range_value(lua_State *l, int index)
{
	unsigned low = 0, high = 0;
	int n = 0;

	if (lua_isinteger(l, index))
		return (uint64_t)lua_tointeger(l, index);
	if (lua_type(l, index) != LUA_TSTRING ||
	    sscanf(lua_tostring(l, index), "%5u-%5u%n", &low, &high, &n) != 2 || low > 65535 ||
	    high > 65535 || lua_tostring(l, index)[n])
		luaL_error(l, "IP_LOCAL_PORT_RANGE is \"LOW-HIGH\", two ports");
	return low | (uint64_t)high << 16;
}

/* A link for its device; no other value, but 0 for none. */
static uint64_t device_value(lua_State *l, int index, const struct call *c)
{
	if (lua_isinteger(l, index) && !lua_tointeger(l, index))
		return 0;
	if (!lua_isuserdata(l, index))
		luaL_error(l, "SO_BINDTODEVICE is a link, or 0 for none");
	int link = story_check(l, index, STORY_LINK);
	const struct play_link *k = &c->s->play->links[link];
	if (k->node[0] != host_of(c) && k->node[1] != host_of(c))
		luaL_error(l, "SO_BINDTODEVICE is a link of the host's own");
	return c->st->ops->device(c->st, host_of(c), link);
}

static uint64_t option_value(lua_State *l, int index, enum tcpwhy_option option, const char *name,
			     const struct call *c)
{
	if (option == TCPWHY_SO_BINDTODEVICE)
		return device_value(l, index, c);
	if (option == TCPWHY_IP_LOCAL_PORT_RANGE)
		return range_value(l, index);
	if (lua_isboolean(l, index))
		return lua_toboolean(l, index) ? 1 : 0;
	if (!lua_isinteger(l, index))
		luaL_error(l, "%s is true, false or a whole number", name);
	return (uint64_t)lua_tointeger(l, index);
}

static int64_t set_option(lua_State *l, struct call *c, const char *name, int index)
{
	char value[32] = "link";

	index = lua_absindex(l, index);
	if (!lua_isuserdata(l, index))
		snprintf(value, sizeof(value), "%s", sandbox_tostring(l, index, NULL));
	enum tcpwhy_option option = option_of(l, name);
	uint64_t wanted = option_value(l, index, option, name, c);
	begin(c, host_of(c), "%s = %s", name, value);
	return c->st->ops->setsockopt(c->st, c->sock, option, wanted);
}

/* s:set("SO_REUSEADDR", true) */
static int socket_set(lua_State *l)
{
	struct call c = call_of(l);
	const char *name = luaL_checkstring(l, 2);

	luaL_checkany(l, 3);
	return done(&c, set_option(l, &c, name, 3));
}

/* A new socket of the host; the table at index says uid, family and options. Pushes it. */
static int new_socket(lua_State *l, int host, int index, enum tcpwhy_family family)
{
	struct story *s = story_of(l);
	struct stage *st = story_stage(s, l);
	bool given = !lua_isnoneornil(l, index);

	if (given)
		luaL_checktype(l, index, LUA_TTABLE);
	const double usual = family == TCPWHY_IPV6 ? 6 : 4;
	const double asked = given ? story_number_field(l, index, "family", usual) : usual;
	if (asked != 4 && asked != 6)
		luaL_error(l, "family is 4 or 6");
	family = asked == 6 ? TCPWHY_IPV6 : TCPWHY_IPV4;
	uint32_t uid = story_whole_field(l, index, "uid", 0, UINT32_MAX);
	int sock = st->ops->socket(st, host, family, uid);
	if (sock == STAGE_CANNOT && uid) {
		lua_pushfstring(l,
				"a socket of user %I: this process can be no other user "
				"(CAP_SETUID); run as root",
				(lua_Integer)uid);
		story_cannot(l, lua_tostring(l, -1));
	}
	struct call c = {.l = l, .s = s, .st = st, .sock = sock};
	if (sock < 0) {
		begin(&c, host, uid ? "socket() of user %u" : "socket()", uid);
		finish(&c, sock);
	}
	push_socket(l, s, sock);
	if (!given)
		return sock;
	/* In the order of the table above, which no hash changes. */
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		int top = lua_gettop(l);
		if (lua_getfield(l, index, options[i].name) != LUA_TNIL)
			finish(&c, set_option(l, &c, options[i].name, -1));
		lua_settop(l, top);
	}
	return sock;
}

static void check_options(lua_State *l, int index)
{
	const char *names[sizeof(options) / sizeof(options[0]) + 3] = {"uid", "family"};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		names[i + 2] = options[i].name;
	story_only(l, index, names);
}

/* host:socket([{SO_REUSEADDR = true, uid = 1000, family = 6}]) */
int story_socket_word(lua_State *l)
{
	int host = story_check_host(l, 1);

	lua_settop(l, 2);
	check_options(l, 2);
	new_socket(l, host, 2, TCPWHY_IPV4);
	return 1;
}

/* ------------------------------------------------------------------------------- bind and listen
 */

static int64_t do_bind(struct call *c, const struct tcpwhy_addr *a, uint16_t port)
{
	char text[ENDPOINT_TEXT_MAX];

	begin(c, host_of(c), "bind(%s)", endpoint_format(a, port, false, text));
	return c->st->ops->bind(c->st, c->sock, a, port);
}

static int socket_bind(lua_State *l)
{
	struct call c = call_of(l);
	struct tcpwhy_addr a;
	enum tcpwhy_family family;
	uint16_t port;

	story_endpoint(l, 2, &a, &family, &port);
	return done(&c, do_bind(&c, &a, port));
}

static int64_t do_listen(struct call *c, int backlog)
{
	begin(c, host_of(c), "listen(%d)", backlog);
	return c->st->ops->listen(c->st, c->sock, backlog);
}

/* An int, as the call has it; below 0 it is as large as can be. */
static int backlog_at(lua_State *l, int index)
{
	const lua_Integer backlog = luaL_optinteger(l, index, 4096);

	luaL_argcheck(l, backlog >= INT_MIN && backlog <= INT_MAX, index, "an int is meant");
	return (int)backlog;
}

static int socket_listen(lua_State *l)
{
	struct call c = call_of(l);

	return done(&c, do_listen(&c, backlog_at(l, 2)));
}

/* host:listen("0.0.0.0:80"[, backlog[, options]]) */
int story_listen_word(lua_State *l)
{
	int host = story_check_host(l, 1);
	struct tcpwhy_addr a;
	enum tcpwhy_family family;
	uint16_t port;

	story_endpoint(l, 2, &a, &family, &port);
	const int backlog = backlog_at(l, 3);
	lua_settop(l, 4);
	check_options(l, 4);
	int sock = new_socket(l, host, 4, family);
	struct call c = {.l = l, .s = story_of(l), .st = story_of(l)->stage, .sock = sock};
	finish(&c, do_bind(&c, &a, port));
	finish(&c, do_listen(&c, backlog));
	return 1;
}

/* ---------------------------------------------------------------------------------------- waiting
 */

/* A call that is repeated until it gives something else than "not yet". */
struct again {
	struct call *c;
	int64_t (*call)(struct again *a);
	struct tcpwhy_addr addr;
	uint16_t port;
	uint32_t bytes;
	int64_t result;
};

static bool is_pending(int64_t r)
{
	return r == -EAGAIN || r == -EINPROGRESS || r == -EALREADY;
}

static int is_over(void *ctx)
{
	struct again *a = ctx;

	a->result = a->call(a);
	return !is_pending(a->result);
}

/* The limit may stand at index. A limit of 0 does not wait at all, and so may stand in the function
 * of eventually(). */
static int64_t wait_for(lua_State *l, struct again *a, int index)
{
	const uint64_t limit = story_ns(l, luaL_optnumber(l, index, STORY_LIMIT_S));

	a->result = a->call(a);
	if (!is_pending(a->result) || !limit)
		return a->result;
	a->c->waited = true;
	/* Twice means it is not done yet, not that there are two attempts. */
	story_wait(l, is_over, a, limit);
	return a->result == -EALREADY ? -EINPROGRESS : a->result;
}

static int64_t again_connect(struct again *a)
{
	return a->c->st->ops->connect(a->c->st, a->c->sock, &a->addr, a->port);
}

/* A connect() that went through says EISCONN when asked again. */
static int64_t do_connect(struct call *c, int index, bool wait)
{
	struct again a = {.c = c, .call = again_connect};
	char text[ENDPOINT_TEXT_MAX];
	enum tcpwhy_family family;
	lua_State *l = c->l;

	story_endpoint(l, index, &a.addr, &family, &a.port);
	begin(c, host_of(c), "connect(%s)", endpoint_format(&a.addr, a.port, false, text));
	if (wait)
		return wait_for(l, &a, index + 1);
	int64_t r = again_connect(&a);
	c->pending = r == -EINPROGRESS;
	return c->pending ? 0 : r;
}

static int socket_connect(lua_State *l)
{
	struct call c = call_of(l);

	return done(&c, do_connect(&c, 2, true));
}

/* Sends the SYN and goes on. */
static int socket_start_connect(lua_State *l)
{
	struct call c = call_of(l);

	return done(&c, do_connect(&c, 2, false));
}

static int host_connect(lua_State *l, bool wait)
{
	int host = story_check_host(l, 1);
	struct tcpwhy_addr a;
	enum tcpwhy_family family;
	uint16_t port;

	story_endpoint(l, 2, &a, &family, &port);
	lua_settop(l, 4);
	check_options(l, 3);
	int sock = new_socket(l, host, 3, family);
	struct call c = {.l = l, .s = story_of(l), .st = story_of(l)->stage, .sock = sock};
	lua_pushvalue(l, 2);
	lua_pushvalue(l, 4);
	finish(&c, do_connect(&c, lua_gettop(l) - 1, wait));
	lua_pop(l, 2);
	return 1;
}

/* host:connect("10.0.0.2:80"[, options[, limit]]): a connected socket */
int story_connect_word(lua_State *l)
{
	return host_connect(l, true);
}

/* host:start_connect("10.0.0.2:80"[, options]): a socket whose SYN was sent */
int story_start_connect_word(lua_State *l)
{
	return host_connect(l, false);
}

static int64_t again_accept(struct again *a)
{
	return a->c->st->ops->accept(a->c->st, a->c->sock);
}

/* listener:accept([limit]): the connection */
static int socket_accept(lua_State *l)
{
	struct call c = call_of(l);
	struct again a = {.c = &c, .call = again_accept};

	begin(&c, host_of(&c), "accept()");
	int64_t r = wait_for(l, &a, 2);
	finish(&c, r < 0 ? r : 0);
	if (r < 0)
		lua_pushstring(l, errno_text(r));
	else
		push_socket(l, c.s, (int)r);
	return 1;
}

static int64_t again_recv(struct again *a)
{
	return a->c->st->ops->recv(a->c->st, a->c->sock, a->bytes);
}

static int64_t again_send(struct again *a)
{
	return a->c->st->ops->send(a->c->st, a->c->sock, a->bytes);
}

static uint32_t bytes_at(lua_State *l, int index)
{
	lua_Integer n = luaL_optinteger(l, index, 65536);

	luaL_argcheck(l, n >= 0 && n <= 1 << 24, index, "bytes from 0 to 16,777,216");
	return (uint32_t)n;
}

/* The bytes moved; with try_ the errno as text where there is one. */
static int move(lua_State *l, const char *name, int64_t (*call)(struct again *a))
{
	struct call c = call_of(l);
	struct again a = {.c = &c, .call = call, .bytes = bytes_at(l, 2)};

	c.counts = true;
	begin(&c, host_of(&c), "%s(%u)", name, a.bytes);
	int64_t r = wait_for(l, &a, 3);
	finish(&c, r);
	if (r < 0)
		lua_pushstring(l, errno_text(r));
	else
		lua_pushinteger(l, r);
	return 1;
}

/* s:send(bytes) */
static int socket_send(lua_State *l)
{
	return move(l, "send", again_send);
}

/* s:recv([at most[, limit]]); 0 is the end of the stream */
static int socket_recv(lua_State *l)
{
	return move(l, "recv", again_recv);
}

/* ---------------------------------------------------------------------------------------- closing
 */

/* s:shutdown(["read" or "both"]); "write" otherwise */
static int socket_shutdown(lua_State *l)
{
	static const char *const words[] = {"read", "write", "both", NULL};
	static const enum tcpwhy_how hows[] = {TCPWHY_SHUT_RD, TCPWHY_SHUT_WR, TCPWHY_SHUT_RDWR};
	struct call c = call_of(l);
	int how = luaL_checkoption(l, 2, "write", words);

	begin(&c, host_of(&c), "shutdown(%s)", words[how]);
	return done(&c, c.st->ops->shutdown(c.st, c.sock, hows[how]));
}

static int socket_close(lua_State *l)
{
	struct call c = call_of(l);

	begin(&c, host_of(&c), "close()");
	*story_number(l, 1, STORY_SOCKET) = -1;
	c.s->sockets_n--;
	return done(&c, c.st->ops->close(c.st, c.sock));
}

/* s:so_error(): SO_ERROR as text, "ok" for none; reading clears it */
static int socket_so_error(lua_State *l)
{
	struct call c = call_of(l);

	lua_pushstring(l, errno_text(-c.st->ops->error(c.st, c.sock)));
	return 1;
}

/* listener:crowd{here =, there =, peers =, port =, n =}: so many connections without segments; the
 * bytes that the model took for them */
static int socket_crowd(lua_State *l)
{
	static const char *const names[] = {"here", "there", "peers", "port", "n", NULL};
	struct call c = call_of(l);
	struct tcpwhy_addr here, there;
	struct err err = {""};
	uint64_t bytes = 0;

	luaL_checktype(l, 2, LUA_TTABLE);
	story_only(l, 2, names);
	const char *a = story_text_field(l, 2, "here"), *b = story_text_field(l, 2, "there");
	story_address(l, a ? a : "", &here, NULL);
	story_address(l, b ? b : "", &there, NULL);
	uint32_t peers = story_whole_field(l, 2, "peers", 1, UINT32_MAX);
	uint32_t n = story_whole_field(l, 2, "n", 1, UINT32_MAX);
	uint16_t port = (uint16_t)story_whole_field(l, 2, "port", 1024, UINT16_MAX);
	const uint64_t more = (uint64_t)peers * n;
	if (more > STORY_CROWD_MAX - c.s->crowded)
		return luaL_error(l, "at most 4,000,000 connections of crowds in one play");
	c.s->crowded += more;
	if (!strcmp(c.st->ops->name, "kernel") && !c.s->play->head.world)
		return luaL_error(l, "crowds without segments live in the model only");
	int r = c.st->ops->crowd(c.st, c.sock, &here, &there, peers, port, n, &bytes, &err);
	story_must(l, r, &err);
	lua_pushinteger(l, (lua_Integer)bytes);
	return 1;
}

/* ----------------------------------------------------------------------------------------- fields
 */

static bool push_name(lua_State *l, const struct call *c, const char *name)
{
	bool peer = !strncmp(name, "peer", 4);
	char text[ENDPOINT_TEXT_MAX];
	struct tcpwhy_addr a;
	uint16_t port;

	if (strcmp(name, "port") != 0 && strcmp(name, "peer_port") != 0 &&
	    strcmp(name, "here") != 0 && strcmp(name, "peer") != 0)
		return false;
	if ((peer ? c->st->ops->peername : c->st->ops->sockname)(c->st, c->sock, &a, &port))
		lua_pushnil(l);
	else if (strstr(name, "port"))
		lua_pushinteger(l, port);
	else
		lua_pushstring(l, endpoint_format(&a, port, false, text));
	return true;
}

static bool push_look(lua_State *l, const struct stage_sock *k, const char *name)
{
	const struct {
		const char *name;
		uint32_t value;
	} numbers[] = {{"accept_queue", k->accept_queue}, {"backlog", k->backlog},
		       {"syn_queue", k->syn_queue},       {"unread", k->unread},
		       {"unacked", k->unacked},           {"retransmits", k->retransmits},
		       {"snd_una", k->snd_una},           {"snd_nxt", k->snd_nxt},
		       {"rcv_nxt", k->rcv_nxt},           {"window", k->window}};

	if (!strcmp(name, "state")) {
		lua_pushstring(l, tcpwhy_state_name((enum tcpwhy_state)k->state));
		return true;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(numbers[i].name, name) != 0)
			continue;
		if (i >= 6 && !k->has_numbers)
			lua_pushnil(l);
		else
			lua_pushinteger(l, numbers[i].value);
		return true;
	}
	return false;
}

/* s.state, s.port, s.accept_queue ... */
static int socket_fields(lua_State *l)
{
	struct story *s = story_of(l);
	struct call c = {.l = l, .s = s, .sock = story_check(l, 1, STORY_SOCKET), .st = s->stage};
	const char *name = luaL_checkstring(l, 2);
	struct stage_sock k;

	if (c.sock < 0)
		return luaL_error(l, "this socket is closed");
	if (push_name(l, &c, name))
		return 1;
	int r = c.st->ops->look(c.st, c.sock, &k);
	if (r < 0)
		return luaL_error(l, "the socket cannot be looked at: %s", errno_text(r));
	if (!push_look(l, &k, name))
		return luaL_error(l, "a socket has no '%s'", name);
	return 1;
}

void story_open_sockets(lua_State *l)
{
	static const luaL_Reg calls[] = {
		{"set", socket_set},       {"bind", socket_bind},
		{"listen", socket_listen}, {"connect", socket_connect},
		{"accept", socket_accept}, {"send", socket_send},
		{"recv", socket_recv},     {"shutdown", socket_shutdown},
		{"close", socket_close},   {"start_connect", socket_start_connect}};
	static const luaL_Reg others[] = {{"so_error", socket_so_error},
					  {"verdict", story_verdict_word},
					  {"crowd", socket_crowd},
					  {NULL, NULL}};

	story_define(l, STORY_SOCKET, others, socket_fields);
	/* The methods lie in the first upvalue of __index. */
	luaL_getmetatable(l, "story.socket");
	lua_getfield(l, -1, "__index");
	lua_getupvalue(l, -1, 1);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		for (int is_try = 0; is_try < 2; is_try++) {
			lua_pushfstring(l, "%s%s", is_try ? "try_" : "", calls[i].name);
			lua_pushboolean(l, is_try);
			lua_pushcclosure(l, calls[i].func, 1);
			lua_settable(l, -3);
		}
	}
	lua_pop(l, 3);
}
