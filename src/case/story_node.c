/* SPDX-License-Identifier: MIT
 *
 * Hosts, boxes and links: what a case is played on
 */
#include "case/story_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES = 32 };

/* --------------------------------------------------------------------------------------- building
 */

static int added_node(lua_State *l, int number, const char *name, bool is_box)
{
	struct story *s = story_of(l);
	struct play_node *n = play_add_node(s->play);

	/* The stage counts as we do: its numbers are the places in the record. */
	if (!n || number != (int)s->play->nodes_n - 1)
		story_end(l, PLAY_FAILED, "the stage lost count of its hosts");
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->is_box = is_box;
	story_push(l, STORY_NODE, number);
	return 1;
}

static void check_room(lua_State *l)
{
	if (story_of(l)->play->nodes_n >= STORY_NODES_MAX)
		luaL_error(l, "more than %d hosts and boxes", STORY_NODES_MAX);
}

/* host(name[, {release =, clock_ms =, window =, hz =}]) */
static int word_host(lua_State *l)
{
	static const char *const names[] = {"release", "clock_ms", "window", "hz", NULL};
	struct story *s = story_of(l);
	struct stage *st = story_building(s, l);
	struct err err = {""};

	check_room(l);
	story_only(l, 2, names);
	struct stage_host h = {
		.name = luaL_checkstring(l, 1),
		.release = story_text_field(l, 2, "release"),
		.clock_ms = story_whole_field(l, 2, "clock_ms", 0, UINT32_MAX),
		.window = story_whole_field(l, 2, "window", 0, UINT32_MAX),
		.hz = (uint16_t)story_whole_field(l, 2, "hz", 0, UINT16_MAX),
	};
	if (h.release && !tcpwhy_row_find(h.release))
		return luaL_error(l, "'%s' is not a release whose rules are known", h.release);
	int r = st->ops->add_host(st, &h, &err);
	story_must(l, r, &err);
	return added_node(l, r, h.name, false);
}

static int word_box(lua_State *l)
{
	struct stage *st = story_building(story_of(l), l);
	struct stage_box b = {.name = luaL_checkstring(l, 1)};
	struct err err = {""};

	check_room(l);
	int r = st->ops->add_box(st, &b, &err);
	story_must(l, r, &err);
	return added_node(l, r, b.name, true);
}

/* "10.0.0.1 fd00::1" */
static size_t addresses_of(lua_State *l, const char *text, struct tcpwhy_addr *out)
{
	size_t n = 0;

	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		char word[ADDRESS_TEXT_MAX];
		size_t len = strcspn(text, " ");
		if (n == ADDRESSES)
			luaL_error(l, "more than %d addresses at one end", ADDRESSES);
		snprintf(word, sizeof(word), "%.*s", (int)(len < 47 ? len : 47), text);
		story_address(l, word, &out[n++], NULL);
		text += len;
	}
	return n;
}

static const char *const link_fields[] = {"delay", "loss", "untapped", NULL};

static int add_link(lua_State *l, const int node[2], const char *const addrs[2], int options)
{
	struct story *s = story_of(l);
	struct stage *st = story_building(s, l);
	struct tcpwhy_addr a[2][ADDRESSES];
	struct stage_link link = {.tapped = !story_flag_field(l, options, "untapped")};
	struct err err = {""};

	story_only(l, options, link_fields);
	uint64_t delay = story_ns(l, story_number_field(l, options, "delay", 0));
	double loss = story_number_field(l, options, "loss", 0);
	if (loss < 0 || loss > 1)
		return luaL_error(l, "loss is a share, from 0 to 1");
	for (int i = 0; i < 2; i++) {
		link.ends[i] = (struct stage_link_end){
			.node = node[i],
			.addrs = a[i],
			.n_addrs = addresses_of(l, addrs[i], a[i]),
		};
		link.delay_ns[i] = delay;
		link.loss_ppm[i] = (uint32_t)(loss * 1e6);
	}
	if (s->play->links_n == STORY_LINKS_MAX)
		return luaL_error(l, "more than %d links", STORY_LINKS_MAX);
	int r = st->ops->add_link(st, &link, &err);
	story_must(l, r, &err);
	if (loss > 0)
		story_part_by_loss(l);
	struct play_link *kept = play_add_link(s->play);
	if (!kept)
		story_end(l, PLAY_FAILED, "no memory");
	kept->node[0] = node[0];
	kept->node[1] = node[1];
	kept->untapped = !link.tapped;
	story_push(l, STORY_LINK, r);
	return 1;
}

/* link(a, "10.0.0.1", b, "10.0.0.2"[, {delay =, loss =, untapped =}]) */
static int word_link(lua_State *l)
{
	const int node[2] = {story_check(l, 1, STORY_NODE), story_check(l, 3, STORY_NODE)};
	const char *const addrs[2] = {luaL_checkstring(l, 2), luaL_checkstring(l, 4)};

	return add_link(l, node, addrs, 5);
}

/* A host from "client 10.0.0.1"; pushes it and returns the addresses. */
static const char *named_host(lua_State *l, int index)
{
	const char *text = luaL_checkstring(l, index), *space = strchr(text, ' ');

	luaL_argcheck(l, space, index, "a name and an address: \"client 10.0.0.1\"");
	lua_pushcfunction(l, word_host);
	lua_pushlstring(l, text, (size_t)(space - text));
	lua_call(l, 1, 1);
	return space + 1;
}

/* pair("client 10.0.0.1", "server 10.0.0.2"[, link options]): both hosts and the link */
static int word_pair(lua_State *l)
{
	const char *addrs[2];
	int node[2];

	lua_settop(l, 3);
	for (int i = 0; i < 2; i++) {
		addrs[i] = named_host(l, i + 1);
		node[i] = story_check(l, -1, STORY_NODE);
	}
	add_link(l, node, addrs, 3);
	return 3;
}

/* host:prefix("10.1.0.0/16", {is_local =, routed =}) */
static int node_prefix(lua_State *l)
{
	static const char *const names[] = {"is_local", "routed", NULL};
	int node = story_check(l, 1, STORY_NODE);
	struct stage *st = story_building(story_of(l), l);
	struct stage_prefix p = {0};
	struct err err = {""};

	story_only(l, 3, names);
	story_prefix(l, luaL_checkstring(l, 2), &p.addr, &p.len);
	p.local = story_flag_field(l, 3, "is_local");
	p.routed = story_flag_field(l, 3, "routed");
	if (!p.local && !p.routed)
		return luaL_error(l, "a prefix is is_local, routed or both: else it does nothing");
	if (story_of(l)->prefixes_n++ == STORY_PREFIXES_MAX)
		return luaL_error(l, "more than %d prefixes", STORY_PREFIXES_MAX);
	story_must(l, st->ops->add_prefix(st, node, &p, &err), &err);
	return 0;
}

/* --------------------------------------------------------------------------- sysctls and counters
 */

/* host:sysctl(name[, value]): sets it, or gives it */
static int node_sysctl(lua_State *l)
{
	int node = story_check_host(l, 1);
	struct stage *st = story_stage(story_of(l), l);
	const char *name = luaL_checkstring(l, 2);
	struct err err = {""};
	char value[512];

	if (lua_isnoneornil(l, 3)) {
		int r = st->ops->get_sysctl(st, node, name, value, sizeof(value), &err);
		story_must(l, r, &err);
		if (!lua_stringtonumber(l, value))
			lua_pushstring(l, value);
		return 1;
	}
	const char *wanted = luaL_checkstring(l, 3);
	story_must(l, st->ops->set_sysctl(st, node, name, wanted, &err), &err);
	return 0;
}

/* host:counter("ListenOverflows"); nil where there is none of that name. */
static int node_counter(lua_State *l)
{
	int node = story_check_host(l, 1);
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};
	uint64_t value = 0;
	int r = st->ops->counter(st, node, luaL_checkstring(l, 2), &value, &err);

	if (r == -ENOENT)
		return 0;
	story_must(l, r, &err);
	lua_pushinteger(l, (lua_Integer)value);
	return 1;
}

/* ---------------------------------------------------------------------------------------- looking
 */

static void set_text(lua_State *l, const char *name, const char *text)
{
	lua_pushstring(l, text);
	lua_setfield(l, -2, name);
}

static void set_number(lua_State *l, const char *name, lua_Integer n)
{
	lua_pushinteger(l, n);
	lua_setfield(l, -2, name);
}

static void push_sock(lua_State *l, const struct stage_sock *k)
{
	static const struct tcpwhy_addr none;
	char text[ENDPOINT_TEXT_MAX];

	lua_newtable(l);
	set_text(l, "from", endpoint_format(&k->local, k->port, false, text));
	set_text(l, "to",
		 address_equal(&k->peer, &none)
			 ? ""
			 : endpoint_format(&k->peer, k->peer_port, false, text));
	set_text(l, "state", tcpwhy_state_name((enum tcpwhy_state)k->state));
	set_number(l, "port", k->port);
	set_number(l, "peer_port", k->peer_port);
	set_number(l, "retransmits", k->retransmits);
	lua_pushnumber(l, (double)k->expires_ns / 1e9);
	lua_setfield(l, -2, "expires");
	lua_pushboolean(l, k->timewait);
	lua_setfield(l, -2, "mini");
	lua_pushboolean(l, k->sock >= 0);
	lua_setfield(l, -2, "held");
}

/* All sockets of a host, in Lua's memory; *n is how many. Stays on the stack. */
static struct stage_sock *list_of(lua_State *l, int node, int *n)
{
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};

	/* Those that are not listed are passed over, too. */
	sandbox_charge(l, STORY_CALL_UNITS + story_of(l)->sockets_n);
	*n = st->ops->list(st, node, NULL, 0, &err);
	story_must(l, *n, &err);
	/* On a kernel more may come between the two looks. */
	size_t room = (size_t)*n + 16;
	struct stage_sock *list = lua_newuserdatauv(l, room * sizeof(*list), 0);
	*n = st->ops->list(st, node, list, room, &err);
	story_must(l, *n, &err);
	if ((size_t)*n > room)
		*n = (int)room;
	sandbox_charge(l, (uint64_t)*n * 4);
	return list;
}

static int compare_socks(const void *a, const void *b)
{
	const struct stage_sock *x = a, *y = b;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->peer_port != y->peer_port)
		return x->peer_port < y->peer_port ? -1 : 1;
	int r = memcmp(&x->local, &y->local, sizeof(x->local));
	return r ? r : memcmp(&x->peer, &y->peer, sizeof(x->peer));
}

/* host:sockets(): tables, in the order of ports and addresses */
static int node_sockets(lua_State *l)
{
	int n;
	struct stage_sock *list = list_of(l, story_check_host(l, 1), &n);

	sandbox_charge(l, (uint64_t)n * STORY_SOCK_UNITS);
	qsort(list, (size_t)n, sizeof(*list), compare_socks);
	lua_newtable(l);
	for (int i = 0; i < n; i++) {
		push_sock(l, &list[i]);
		lua_rawseti(l, -2, i + 1);
	}
	return 1;
}

/* host:count("TIME_WAIT"[, port[, peer port]]): sockets in that state; nil is any port */
static int node_count(lua_State *l)
{
	int n, found = 0;
	const char *state = luaL_checkstring(l, 2);
	lua_Integer port = luaL_optinteger(l, 3, 0), peer_port = luaL_optinteger(l, 4, 0);
	struct stage_sock *list = list_of(l, story_check_host(l, 1), &n);

	for (int i = 0; i < n; i++)
		found += !strcmp(tcpwhy_state_name((enum tcpwhy_state)list[i].state), state) &&
			 (!port || list[i].port == port) &&
			 (!peer_port || list[i].peer_port == peer_port);
	lua_pushinteger(l, found);
	return 1;
}

/* host:find(from, to): what has the 4-tuple, or nil */
static int node_find(lua_State *l)
{
	int node = story_check_host(l, 1);
	struct stage *st = story_stage(story_of(l), l);
	struct tcpwhy_addr a[2];
	enum tcpwhy_family family;
	struct stage_sock k;
	uint16_t port[2];

	story_endpoint(l, 2, &a[0], &family, &port[0]);
	story_endpoint(l, 3, &a[1], &family, &port[1]);
	if (st->ops->find(st, node, &a[0], port[0], &a[1], port[1], &k))
		return 0;
	push_sock(l, &k);
	return 1;
}

/* host:destroy(from, to): SOCK_DESTROY */
static int node_destroy(lua_State *l)
{
	int node = story_check_host(l, 1);
	struct stage *st = story_stage(story_of(l), l);
	struct tcpwhy_addr a[2];
	enum tcpwhy_family family;
	struct err err = {""};
	uint16_t port[2];

	story_endpoint(l, 2, &a[0], &family, &port[0]);
	story_endpoint(l, 3, &a[1], &family, &port[1]);
	story_must(l, st->ops->destroy(st, node, &a[0], port[0], &a[1], port[1], &err), &err);
	return 0;
}

/* ------------------------------------------------------------------------------------------ rules
 */

static struct story_rules *rules_of(lua_State *l, int node)
{
	struct story *s = story_of(l);

	if (!s->rules[node]) {
		s->rules[node] = lua_newuserdatauv(l, sizeof(struct story_rules), 0);
		memset(s->rules[node], 0, sizeof(struct story_rules));
		/* Kept for as long as the play lasts. */
		lua_rawsetp(l, LUA_REGISTRYINDEX, &s->rules[node]);
	}
	return s->rules[node];
}

static int add_rule(lua_State *l, int node, const struct rule *rule)
{
	struct story *s = story_of(l);
	struct story_rules *rules = rules_of(l, node);
	struct err err = {""};

	if (rules->n == STORY_RULES_MAX)
		return luaL_error(l, "more than %d rules at one node", STORY_RULES_MAX);
	rules->rules[rules->n++] = *rule;
	struct stage *st = story_stage(s, l);
	story_must(l, st->ops->set_rules(st, node, rules->rules, rules->n, &err), &err);
	return 0;
}

static enum rule_place place_of(lua_State *l)
{
	const char *text = story_text_field(l, 2, "place");

	if (!text || !strcmp(text, "forward"))
		return RULE_FORWARD;
	if (!strcmp(text, "in"))
		return RULE_IN;
	if (strcmp(text, "out") != 0)
		luaL_error(l, "place is 'forward', 'in' or 'out'");
	return RULE_OUT;
}

/* from, at, from_port, port, flags, place */
static struct rule match_of(lua_State *l, enum rule_action action)
{
	const char *from = story_text_field(l, 2, "from"), *at = story_text_field(l, 2, "at");
	const char *flags = story_text_field(l, 2, "flags");
	struct line_pick pick = story_pick(l, flags ? flags : "");
	struct rule r = {
		.action = action,
		.place = place_of(l),
		.from_port = (uint16_t)story_whole_field(l, 2, "from_port", 0, UINT16_MAX),
		.port = (uint16_t)story_whole_field(l, 2, "port", 0, UINT16_MAX),
		.flags_set = pick.flags_set,
		.flags_clear = pick.flags_clear,
	};

	if (from)
		story_prefix(l, from, &r.from, &r.from_len);
	if (at)
		story_prefix(l, at, &r.at, &r.at_len);
	return r;
}

#define MATCH "from", "at", "from_port", "port", "flags", "place"

static int node_drop(lua_State *l)
{
	static const char *const names[] = {MATCH, NULL};
	int node = story_check(l, 1, STORY_NODE);

	story_only(l, 2, names);
	struct rule r = match_of(l, RULE_DROP);
	return add_rule(l, node, &r);
}

/* with = what a filter answers; 0: a RST. */
static enum segment_error error_of(lua_State *l)
{
	static const struct {
		const char *word;
		enum segment_error error;
	} words[] = {
		{"rst", SEGMENT_NO_ERROR},
		{"icmp", SEGMENT_PORT_UNREACHABLE},
		{"port-unreachable", SEGMENT_PORT_UNREACHABLE},
		{"host-unreachable", SEGMENT_HOST_UNREACHABLE},
		{"no-route", SEGMENT_NO_ROUTE},
		{"admin-prohibited", SEGMENT_ADMIN_PROHIBITED},
	};
	const char *with = story_text_field(l, 2, "with");

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(with ? with : "rst", words[i].word))
			return words[i].error;
	luaL_error(l, "with is 'rst', 'port-unreachable', 'host-unreachable', 'no-route' or "
		      "'admin-prohibited'");
	return SEGMENT_NO_ERROR;
}

static int node_reject(lua_State *l)
{
	static const char *const names[] = {MATCH, "with", NULL};
	int node = story_check(l, 1, STORY_NODE);

	story_only(l, 2, names);
	const enum segment_error error = error_of(l);
	struct rule r = match_of(l, error ? RULE_REJECT_ICMP : RULE_REJECT_RST);
	r.error = (uint8_t)error;
	return add_rule(l, node, &r);
}

/* to: an address, or an endpoint */
static void target_of(lua_State *l, const char *text, struct rule *r)
{
	enum tcpwhy_family family;

	if (r->n_to == RULE_TARGETS)
		luaL_error(l, "more than %d targets", RULE_TARGETS);
	if (!address_parse(text, &r->to[r->n_to], &family) &&
	    endpoint_parse(text, &r->to[r->n_to], &family, &r->to_port))
		luaL_error(l, "'%s' is neither an address nor ADDRESS:PORT", text);
	r->n_to++;
}

static int translate(lua_State *l, enum rule_action action)
{
	static const char *const names[] = {MATCH, "to", NULL};
	int node = story_check(l, 1, STORY_NODE);

	story_only(l, 2, names);
	const char *to = story_text_field(l, 2, "to");
	struct rule r = match_of(l, action);
	if (!to)
		return luaL_error(l, "to is missing: an address");
	target_of(l, to, &r);
	return add_rule(l, node, &r);
}

static int node_snat(lua_State *l)
{
	return translate(l, RULE_SNAT);
}

static int node_dnat(lua_State *l)
{
	return translate(l, RULE_DNAT);
}

/* balance{port =, to = {...}, idle =, closed =, checks_rst =, resets_at_end =, resets_strays =} */
static int node_balance(lua_State *l)
{
	static const char *const names[] = {MATCH,           "to",         "idle",
					    "closed",        "checks_rst", "resets_at_end",
					    "resets_strays", NULL};
	int node = story_check(l, 1, STORY_NODE);

	story_only(l, 2, names);
	struct rule r = match_of(l, RULE_BALANCE);
	r.balancer = (struct balancer){
		.idle_ns = story_ns(l, story_number_field(l, 2, "idle", 0)),
		.closed_ns = story_ns(l, story_number_field(l, 2, "closed", 0)),
		.checks_rst = story_flag_field(l, 2, "checks_rst"),
		.resets_at_end = story_flag_field(l, 2, "resets_at_end"),
		.resets_strays = story_flag_field(l, 2, "resets_strays"),
	};
	if (lua_getfield(l, 2, "to") != LUA_TTABLE)
		return luaL_error(l, "to is a list of addresses");
	for (int i = 1; lua_rawgeti(l, -1, i) == LUA_TSTRING; i++) {
		target_of(l, lua_tostring(l, -1), &r);
		lua_pop(l, 1);
	}
	if (!r.n_to)
		return luaL_error(l, "to is a list of addresses");
	if (!story_of(l)->play->nodes[node].is_box)
		return luaL_error(l, "only a box balances: box(name)");
	return add_rule(l, node, &r);
}

static int node_clear_rules(lua_State *l)
{
	int node = story_check(l, 1, STORY_NODE);
	struct stage *st = story_stage(story_of(l), l);
	struct err err = {""};

	rules_of(l, node)->n = 0;
	story_must(l, st->ops->set_rules(st, node, NULL, 0, &err), &err);
	return 0;
}

/* box:sessions(): tables, oldest first */
static int node_sessions(lua_State *l)
{
	static const char *const states[] = {"OPEN", "CLOSING", "RESET"};
	enum { MAX = 64 };
	int node = story_check(l, 1, STORY_NODE);
	struct stage *st = story_stage(story_of(l), l);
	struct session found[MAX];
	struct err err = {""};
	int n = st->ops->sessions(st, node, found, MAX, &err);

	story_must(l, n, &err);
	lua_newtable(l);
	for (int i = 0; i < n && i < MAX; i++) {
		char text[ENDPOINT_TEXT_MAX];
		const struct session *k = &found[i];
		lua_newtable(l);
		set_text(l, "client", endpoint_format(&k->client, k->client_port, false, text));
		set_text(l, "server", endpoint_format(&k->server, k->server_port, false, text));
		set_text(l, "state", states[k->state]);
		lua_rawseti(l, -2, i + 1);
	}
	return 1;
}

/* ----------------------------------------------------------------------------------------- fields
 */

static bool is_state(const char *name)
{
	for (int i = TCPWHY_ESTABLISHED; i <= TCPWHY_BOUND; i++)
		if (!strcmp(tcpwhy_state_name((enum tcpwhy_state)i), name))
			return true;
	return false;
}

/* Also with nstat's group before it. */
static bool is_counter(const char *name)
{
	const char *bare = !strncmp(name, "TcpExt", 6) ? name + 6
			   : !strncmp(name, "Tcp", 3)  ? name + 3
						       : name;

	for (int i = 0; i < COUNTER_COUNT; i++)
		if (!strcmp(counter_name((enum counter)i), bare))
			return true;
	return false;
}

/* A name that nobody knows is a slip: nil says that this kernel lacks a counter. */
static int counter_field(lua_State *l, const char *name)
{
	const int found = node_counter(l);

	if (!found && !is_counter(name))
		return luaL_error(l, "a host has no '%s': no state, and no counter of %s", name,
				  story_takes_real_time(story_of(l)) ? "this kernel" : "the model");
	return found;
}

/* host.TIME_WAIT: sockets in that state; host.ListenOverflows: a counter; host.name */
static int node_fields(lua_State *l)
{
	int node = story_check(l, 1, STORY_NODE);
	const char *name = luaL_checkstring(l, 2);

	if (!strcmp(name, "name")) {
		lua_pushstring(l, story_of(l)->play->nodes[node].name);
		return 1;
	}
	if (is_state(name))
		return node_count(l);
	if (name[0] < 'A' || name[0] > 'Z')
		return luaL_error(l, "a host has no '%s'", name);
	return counter_field(l, name);
}

void story_open_nodes(lua_State *l)
{
	static const luaL_Reg words[] = {{"host", word_host},
					 {"box", word_box},
					 {"link", word_link},
					 {"pair", word_pair},
					 {NULL, NULL}};
	static const luaL_Reg methods[] = {{"prefix", node_prefix},
					   {"sysctl", node_sysctl},
					   {"counter", node_counter},
					   {"sockets", node_sockets},
					   {"count", node_count},
					   {"find", node_find},
					   {"destroy", node_destroy},
					   {"drop", node_drop},
					   {"reject", node_reject},
					   {"snat", node_snat},
					   {"dnat", node_dnat},
					   {"balance", node_balance},
					   {"sessions", node_sessions},
					   {"clear_rules", node_clear_rules},
					   {"run", story_run_word},
					   {"try_run", story_try_run_word},
					   {"spawn", story_spawn_word},
					   {"stop", story_stop_word},
					   {"cgroup", story_cgroup_word},
					   {"file", story_file_word},
					   {"cure", story_cure_word},
					   {"undo", story_undo_word},
					   {"socket", story_socket_word},
					   {"listen", story_listen_word},
					   {"connect", story_connect_word},
					   {"start_connect", story_start_connect_word},
					   {"serve", story_serve_word},
					   {"load", story_load_word},
					   {NULL, NULL}};

	lua_pushglobaltable(l);
	luaL_setfuncs(l, words, 0);
	lua_pop(l, 1);
	story_define(l, STORY_NODE, methods, node_fields);
}
