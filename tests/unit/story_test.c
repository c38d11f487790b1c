/* SPDX-License-Identifier: MIT
 *
 * Cases on the model: what the words do, what misuse says, and that no text gets further than that
 */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "case/agree.h"
#include "case/belief.h"
#include "case/stage_world.h"
#include "case/story.h"

#define HEAD "case{about='x'} "
#define PAIR HEAD "local client, server, wire = pair('client 10.0.0.1', 'server 10.0.0.2') "

static void play_on(const char *row, const char *text, struct play *out)
{
	const struct tcpwhy_row *r = tcpwhy_row_find(row);
	const struct stage_world_config world = {
		.row = r, .seed = 7, .memory_limit = (size_t)256 << 20};
	const struct story_config config = {
		.name = "t", .text = text, .text_n = strlen(text), .seed = 7, .observe = true};
	struct stage *stage;
	struct err err;

	assert_int_equal(stage_world_new(&world, &stage, &err), 0);
	story_play(&config, stage, r, out);
	stage->ops->free(stage);
}

/* ------------------------------------------------------------------------------------- what works
 */

/* All expectations hold, and there are so many. */
static void check_holds(const char *text, unsigned n)
{
	struct play p;

	play_on("6.18.y", text, &p);
	for (uint32_t i = 0; i < p.expects_n; i++)
		if (!p.expects[i].holds)
			fail_msg("%s\n  %s: got %s, wanted %s", text, p.expects[i].text,
				 p.expects[i].got, p.expects[i].want);
	if (p.end != PLAY_DONE || p.expects_n != n)
		fail_msg("%s\n  end %d (%s), %u expectations", text, p.end, p.why, p.expects_n);
	play_free(&p);
}

static void test_words(void **state)
{
	(void)state;
	check_holds(HEAD "expect(1, 1) expect('a', 'a', 'a sentence') expect(true, true)", 3);
	check_holds(HEAD
		    "expect_between(0.5, 0, 1) expect(release, '6.18.y') expect(stage, 'world')",
		    3);
	check_holds(HEAD "expect(has 'bucket-relaxes', true) expect(has 'tw-recycle', false)", 2);
	check_holds(
		PAIR
		"local l = server:listen('10.0.0.2:80') local c = client:connect('10.0.0.2:80') "
		"local a = l:accept() expect(a.peer_port, c.port) expect(a.here, '10.0.0.2:80') "
		"expect(c:send(10), 10) expect(a:recv(), 10) expect(server.ESTABLISHED, 1)",
		4 + 1);
	check_holds(PAIR "expect(client:socket():try_connect('10.0.0.2:80'), 'ECONNREFUSED')", 1);
	check_holds(PAIR "local l = server:listen('10.0.0.2:80') expect(l:try_accept(0), 'EAGAIN') "
			 "client:connect('10.0.0.2:80') expect(l:try_accept(), 'ok')",
		    2);
	check_holds(HEAD "local a = read_log('Failed to start jetty server at port 8080, cause: "
			 "Address already in use') expect(#a, 1) expect(a[1].port, 8080) "
			 "expect(a[1].call .. ' ' .. a[1].error, 'bind EADDRINUSE') "
			 "expect(#read_log('all is well'), 0)",
		    4);
	check_holds(PAIR "pause(2) expect_between(now(), 2, 2.001)", 1);
	check_holds(PAIR "client:sysctl('net.ipv4.tcp_fin_timeout', 7) "
			 "expect(client:sysctl('net.ipv4.tcp_fin_timeout'), 7)",
		    1);
	check_holds(
		PAIR
		"local gone = wire:drop(client, 'SYN', {times = 1}) server:listen('10.0.0.2:80') "
		"client:connect('10.0.0.2:80') expect(gone.fired, 1) "
		"expect(wire:count(client, 'SYN'), 2) "
		"expect_between(wire:times(client, 'SYN')[2], 1, 1.1)",
		3);
	check_holds(PAIR
		    "local s = server:listen('10.0.0.2:80', 8, {SO_REUSEADDR = true, uid = 7}) "
		    "expect(server:sockets()[1].state, 'LISTEN') expect(server.LISTEN, 1) "
		    "s:close() expect(server.LISTEN, 0)",
		    3);
	check_holds(PAIR
		    "local n = 0 eventually(function() n = n + 1 return n end, 1) note('so far')",
		    1);
	check_holds(
		PAIR
		"local l = server:listen('10.0.0.2:80') local c = client:connect('10.0.0.2:80') "
		"wire:inject(client, {flags = 'RST', from = c.here, to = c.peer, seq = c.snd_nxt}) "
		"local a = l:accept() eventually(a, 'state', 'CLOSE')",
		1);
}

static void test_verdict(void **state)
{
	(void)state;
	check_holds(PAIR "client:sysctl('net.ipv4.ip_local_port_range', '61000 61000') "
			 "client:sysctl('net.ipv4.tcp_tw_reuse', 0) "
			 "local l = server:listen('10.0.0.2:80') "
			 "local c = client:connect('10.0.0.2:80') "
			 "expect(c:verdict().rule, nil) expect(c:verdict().port, 61000) "
			 "local a = l:accept() c:close() a:recv() a:close() "
			 "eventually(client, 'TIME_WAIT', 1) "
			 "local s = client:socket() expect(s:verdict(), nil, 'no call yet') "
			 "expect(s:try_connect('10.0.0.2:80'), 'EADDRNOTAVAIL') "
			 "expect(s:verdict().rule, 'connect.no-port-for-destination') "
			 "expect(s:verdict().taken, 1) "
			 "expect(s:verdict().time_wait_kept.reuse_off, 1)",
		    8);
}

/* A box that translates: the server sees its address. */
/* What the model knows of tcpwhy's cures, also for a reader's case; the newest of a host is undone
 * first. */
#define REUSE(host, value) "expect(" host ":sysctl 'net.ipv4.tcp_tw_reuse', " value ") "
static void test_cures(void **state)
{
	(void)state;
	check_holds(PAIR "expect(client:cure 'fix sysctl net.ipv4.tcp_tw_reuse=1', true) " REUSE(
			    "client", "1")
			    REUSE("server", "2") "client:undo() " REUSE("client", "2"),
		    4);
	check_holds(PAIR
		    "client:cure 'fix sysctl net.ipv4.tcp_tw_reuse=1'"
		    "server:cure 'fix sysctl net.ipv4.tcp_tw_reuse=0'"
		    "client:cure 'fix sysctl net.ipv4.tcp_tw_reuse=0'"
		    "client:undo() " REUSE("client", "1") REUSE("server", "0")
			    REUSE("client", "1") "client:undo() server:undo() " REUSE("client", "2")
				    REUSE("server", "2"),
		    5);
	check_holds(PAIR "client:cure \"fix sysctl net.ipv4.ip_local_port_range='5000 5001'\""
			 "server:listen '0.0.0.0:80' "
			 "expect_between(client:connect('10.0.0.2:80').port, 5000, 5001)",
		    1);
	/* Of two ports in TIME_WAIT the one that is named, on the address that is named. */
	check_holds(PAIR "for port = 80, 81 do "
			 "local l = server:listen('0.0.0.0:' .. port)"
			 "local c = client:connect('10.0.0.2:' .. port)"
			 "l:accept():close() c:recv() c:close() l:close() end "
			 "eventually(server, 'TIME_WAIT', 2)"
			 "server:cure 'fix destroy-time-wait 10.0.0.3:80'"
			 "expect(server.TIME_WAIT, 2)"
			 "server:cure 'fix destroy-time-wait 0.0.0.0:80'"
			 "expect(server.TIME_WAIT, 1) expect(server:count('TIME_WAIT', 81), 1)",
		    4);
	check_holds(HEAD "local a, b, c = words \" tcpwhy  fix 'a b'c \""
			 "expect(a .. '|' .. b .. '|' .. c, 'tcpwhy|fix|a bc')"
			 "local t = read_json '{\"a\": [1, null, \"x\", {\"b\": true}]}'"
			 "expect(t.a[1] == 1 and t.a[3] == 'x' and t.a[4].b, true)",
		    2);
}

static void test_cures_that_are_none(void **state)
{
	static const struct {
		const char *text, *why;
		enum play_end end;
	} rows[] = {
		{PAIR "client:cure 'fix hook --cgroup /x reuseaddr'", "the model knows",
		 PLAY_CANNOT},
		{PAIR "client:cure 'fix sysctl net.ipv4.tcp_tw_reuse=7'", "t.lua:1: ", PLAY_WRONG},
		{PAIR "client:cure 'fix sysctl net.ipv4.tcp_tw_reuse'", "KEY=VALUE", PLAY_WRONG},
		{PAIR "client:cure 'run -- true'", "fix ...", PLAY_WRONG},
		{PAIR "client:undo()", "nothing to be undone", PLAY_WRONG},
		{HEAD "words \"a 'b\"", "a quote without its end", PLAY_WRONG},
		{HEAD "read_json '{'", "no JSON", PLAY_WRONG},
	};
	struct play p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		play_on("6.18.y", rows[i].text, &p);
		if (p.end != rows[i].end || !strstr(p.why, rows[i].why))
			fail_msg("%s: end %d, %s", rows[i].text, p.end, p.why);
		play_free(&p);
	}
}

static void test_box(void **state)
{
	(void)state;
	check_holds(HEAD
		    "local c, n, s = host 'c', box 'n', host 's' "
		    "link(c, '192.168.0.2', n, '192.168.0.1') link(n, '10.0.0.1', s, '10.0.0.2') "
		    "n:snat{from = '192.168.0.0/16', to = '10.0.0.1'} "
		    "local l = s:listen('0.0.0.0:80') local k = c:connect('10.0.0.2:80') "
		    "local a = l:accept() expect(a.peer, '10.0.0.1:' .. a.peer_port) "
		    "expect(#n:sessions(), 1)",
		    2);
}

/* Applications: all requests answered, and the figures tell it. */
static void test_applications(void **state)
{
	(void)state;
	check_holds(PAIR
		    "local s = server:serve('10.0.0.2:80', {request = 10, reply = 20}) "
		    "local c = client:load{to = '10.0.0.2:80', total = 50, every = 0.01, "
		    "request = 10, reply = 20} eventually(c, 'done', true) "
		    "expect(c.replies, 50) expect(c.established, 50) eventually(s, 'opened', 50) "
		    "expect(c.ECONNREFUSED, 0) eventually(client, 'TIME_WAIT', 50)",
		    6);
	check_holds(PAIR "local c = client:load{to = {'10.0.0.2:80', '10.0.0.2:81'}, total = 4, "
			 "picker = 'sequential', low = 40000, high = 40003} "
			 "eventually(c, 'ECONNREFUSED', 4) c:stop()",
		    1);
}

static void test_head(void **state)
{
	static const char text[] = "case{about='a', claim='c', truth='t', source='R1', seed=9,"
				   "releases='3.10 6.18.y', stages='world'} while true do end";
	const struct story_config config = {.name = "t", .text = text, .text_n = sizeof(text) - 1};
	struct play_head head;
	struct err err;

	(void)state;
	assert_int_equal(story_head(&config, &head, &err), 0);
	assert_string_equal(head.name, "t");
	assert_string_equal(head.about, "a");
	assert_string_equal(head.truth, "t");
	assert_int_equal(head.rows, 1u | 1u << 9);
	assert_true(head.world);
	assert_false(head.kernel);
	assert_int_equal(head.seed, 9);
}

/* A call that must succeed and does not ends the play there, whatever the text tries. */
static void test_strict_call(void **state)
{
	struct play p;

	(void)state;
	play_on("6.18.y", PAIR "pcall(function() client:connect('10.0.0.2:80') end) expect(1, 1)",
		&p);
	assert_int_equal(p.end, PLAY_DONE);
	assert_int_equal(p.expects_n, 1);
	assert_false(p.expects[0].holds);
	assert_string_equal(p.expects[0].got, "ECONNREFUSED");
	play_free(&p);
}

static void test_states_are_observed(void **state)
{
	struct play p;

	(void)state;
	play_on("6.18.y", PAIR "server:listen('10.0.0.2:80') client:connect('10.0.0.2:80')", &p);
	assert_int_equal(p.segments_n, 3);
	assert_int_equal(p.segments[0].state[0], TCPWHY_SYN_SENT);
	assert_int_equal(p.segments[0].state[1], TCPWHY_SYN_RECV);
	assert_int_equal(p.segments[2].state[0], TCPWHY_ESTABLISHED);
	assert_int_equal(p.segments[2].state[1], TCPWHY_ESTABLISHED);
	assert_int_equal(p.calls_n, 3);
	assert_string_equal(p.calls[2].text, "connect(10.0.0.2:80)");
	assert_string_equal(p.calls[2].result, "ok");
	play_free(&p);
}

/* Of a box with too many sessions nobody knows what it believes: that is not none. */
static void test_beliefs_are_observed(void **state)
{
	struct play p;
	unsigned open = 0, unasked = 0;

	(void)state;
	play_on("6.18.y",
		HEAD "local c, n, s = host 'c', box 'n', host 's' "
		     "link(c, '192.168.0.2', n, '192.168.0.1') link(n, '10.0.0.1', s, '10.0.0.2') "
		     "n:snat{from = '192.168.0.0/16', to = '10.0.0.1'} s:listen('0.0.0.0:80') "
		     "for _ = 1, 66 do c:connect('10.0.0.2:80') end",
		&p);
	assert_int_equal(p.segments_n, 66 * 6);
	for (uint32_t i = 0; i < p.segments_n; i++) {
		const struct play_segment *s = &p.segments[i];
		const int at_box =
			s->record.direction == (s->record.link ? LINE_FROM_1 : LINE_FROM_0);
		assert_true(s->seen[at_box] && !s->session[!at_box]);
		assert_true(i < p.segments_n - 6 || s->session[at_box] == BELIEF_UNASKED);
		unasked += s->session[at_box] == BELIEF_UNASKED;
		open += s->session[at_box] == SESSION_OPEN + 1;
	}
	assert_in_range(unasked, 6, 24);
	assert_in_range(open, 60 * 6, 66 * 6);
	play_free(&p);
}

/* What a segment makes its receiver count stands beside it, and nowhere else. */
static void test_counters_are_observed(void **state)
{
	struct play p;

	(void)state;
	play_on("6.18.y",
		PAIR "server:listen('10.0.0.2:80', 0) client:connect('10.0.0.2:80') pause(0.1) "
		     "client:start_connect('10.0.0.2:80') pause(0.1)",
		&p);
	assert_int_equal(p.segments_n, 4);
	for (int i = 0; i < 3; i++)
		assert_string_equal(p.segments[i].counted, "");
	assert_string_equal(p.segments[3].counted, "ListenOverflows +1, ListenDrops +1");
	play_free(&p);
	/* close() counts TW, long before the FIN that comes then */
	play_on("6.18.y",
		PAIR "local l = server:listen('10.0.0.2:80', 4) "
		     "local c = client:connect('10.0.0.2:80') local s = l:accept() pause(0.1) "
		     "c:shutdown('write') pause(0.1) c:close() pause(0.1) expect(client.TW, 1) "
		     "s:close() pause(0.1)",
		&p);
	assert_int_equal(p.segments_n, 7);
	for (int i = 0; i < 7; i++)
		assert_string_equal(p.segments[i].counted, "");
	play_free(&p);
}

/* --------------------------------------------------------------------------------------- misuse */

static const struct {
	const char *text, *says;
} misuses[] = {
	{"x = 1", "t.lua: case{...} is missing"},
	{"host 'a'", "t.lua:1: case{...} comes first"},
	{"expect(1, 1)", "t.lua:1: case{...} comes first"},
	{"case{}", "t.lua:1: case: about is missing"},
	{"case{about = 1}", "t.lua:1: about is a text"},
	{"case{about = 'x', nonsense = 1}", "t.lua:1: there is no field 'nonsense' here"},
	{"case{about = 'x', releases = '5.99'}", "'5.99' is not a release"},
	{"case{about = 'x', stages = 'moon'}", "a stage is 'world' or 'kernel'"},
	{"case{about = ('x'):rep(500)}", "about is longer than"},
	{HEAD HEAD, "it stands once, at the top"},
	{HEAD "\nlocal a = host 'a'\nhost 'a'", "t.lua:3: "},
	{HEAD "host('')", "t.lua:1: "},
	{HEAD "host(nil)", "t.lua:1: "},
	{HEAD "host(('x'):rep(100))", "t.lua:1: "},
	{HEAD "host('a', {release = '9.9'})", "'9.9' is not a release"},
	{HEAD "host('a', {hz = 'x'})", "hz is a number"},
	{HEAD "host('a', {hz = 0/0})", "hz is out of bounds"},
	{HEAD "pair('client', 'server 10.0.0.2')", "a name and an address"},
	{HEAD "pair('client 10.0.0.300', 'server 10.0.0.2')", "'10.0.0.300' is no address"},
	{HEAD "link(1, 2, 3, 4)", "t.lua:1: bad argument"},
	{HEAD "link(expect, '', {}, '')", "t.lua:1: bad argument"},
	{HEAD "pair('a 10.0.0.1', 'b 10.0.0.2', {delay = -1})", "seconds from 0"},
	{HEAD "pair('a 10.0.0.1', 'b 10.0.0.2', {delay = 0/0})", "delay is out of bounds"},
	{HEAD "pair('a 10.0.0.1', 'b 10.0.0.2', {loss = 2})", "loss is a share"},
	{PAIR "client:socket() host 'late'", "come before the first socket"},
	{PAIR "client:socket{nonsense = true}", "there is no field 'nonsense' here"},
	{PAIR "client:socket():bind('nonsense')", "t.lua:1: 'nonsense' "},
	{PAIR "local s = client:socket() s:close() s:close()", "this socket is closed"},
	{PAIR "local s = client:socket() s:close() return s.state", "this socket is closed"},
	{PAIR "return client:socket().nonsense", "a socket has no 'nonsense'"},
	{PAIR "return client.nonsense", "a host has no 'nonsense'"},
	{PAIR "client.socket(wire)", "host expected, got"},
	{PAIR "expect(client.ListenOverflow, nil)",
	 "a host has no 'ListenOverflow': no state, and"},
	{PAIR "expect(client.TcpExtTcpTW, nil)", "a host has no 'TcpExtTcpTW'"},
	{PAIR "expect(wire.nonsense, nil)", "a link has no 'nonsense'"},
	{PAIR "wire:inject(client, {flags = 'SYN'})", "t.lua:1: from is missing: ADDRESS:PORT"},
	{PAIR "wire:inject(client, {from = '10.0.0.1:5'})", "t.lua:1: to is missing: ADDRESS:PORT"},
	{PAIR "wire:inject(client, {from = wire})", "t.lua:1: from is a text"},
	{PAIR "server:serve('10.0.0.2:80', {upstream = 'x'})", "upstream is a client: host:load"},
	{PAIR "local s = server:serve('10.0.0.2:81', {request = 10, reply = 10}) "
	      "server:serve('10.0.0.2:80', {request = 10, reply = 10, upstream = s}) "
	      "client:load{to = '10.0.0.2:80', total = 1, request = 10, reply = 10} pause(1)",
	 "upstream is a client: host:load"},
	{PAIR "wire:drop(client, 'NONSENSE')", "'NONSENS': flags are"},
	{PAIR "wire:drop(client, 'SYN', {times = {}})", "times is a number"},
	{PAIR "client:sysctl('net.ipv4.nonsense', 1)", "t.lua:1: "},
	{PAIR "client:sysctl('net.ipv4.tcp_fin_timeout', 'x')", "t.lua:1: "},
	{PAIR "client:run('true')", "only the cases that came with tcpwhy"},
	{PAIR "client:try_run('true')", "only the cases that came with tcpwhy"},
	{HEAD "local s = string.rep('x', 65536) read_log(s .. s)", "at most 65,536 bytes"},
	{HEAD "read_log(string.rep('redis: bind: Address already in use\\n', 17))", "calls"},
	{PAIR "client:spawn('true')", "only the cases that came with tcpwhy"},
	{PAIR "client:stop(1)", "only the cases that came with tcpwhy"},
	{PAIR "eventually(function() pause(1) end, 1)", "may not wait itself"},
	{PAIR "eventually(function() error('mine') end, 1)", "t.lua:1: mine"},
	{PAIR "eventually(function() while true do end end, 1)", "it has run for too long"},
	{PAIR "eventually(client, 'nonsense', 1)", "a host has no 'nonsense'"},
	{PAIR "eventually(1, 'x', 1)", "t.lua:1: bad argument"},
	{PAIR "expect({}, {})", "t.lua:1: bad argument"},
	{PAIR "expect(1)", "t.lua:1: bad argument"},
	{PAIR "pause(-1)", "seconds from 0"},
	{PAIR "pause('x')", "t.lua:1: bad argument"},
	{PAIR "has 'nonsense'", "there is no feature 'nonsense'"},
	{PAIR "getmetatable(client).__index = 1", "t.lua:1: "},
	{PAIR "setmetatable(client, {})", "t.lua:1: bad argument"},
	{PAIR "for i = 1, 1e9 do expect(1, 1) end", "more than 4096 expectations"},
	{HEAD "for i = 1, 1e6 do host('h' .. i) end", "more than 512 hosts and boxes"},
	{PAIR "for i = 1, 1e6 do client:drop{port = 1} end", "more than 16 rules"},
	{PAIR "client:load{}", "to is missing"},
	{PAIR "client:load{to = '10.0.0.2:80', picker = 'x'}", "there is no picker 'x'"},
	{PAIR "client:load{to = '10.0.0.2:80', low = 9, high = 1}", "low and high are ports"},
	{PAIR "client:load{to = 1}", "to is a text or a list"},
	{PAIR "return server:serve('10.0.0.2:80').x", "an application has no 'x'"},
	{HEAD "box('b'):balance{to = {1}}", "t.lua:1: to is a list of addresses"},
	{PAIR "\nclient:load{to = '10.0.0.2:80', total = 1e9}", "t.lua:2: it has run for too long"},
	{PAIR "client:load{to = '10.0.0.2:80', total = 1e9} pcall(pause, 1) while true do end",
	 "t.lua:1: it has run for too long"},
	{PAIR "local l = server:listen('10.0.0.2:80') l:crowd{here = '10.0.0.2', "
	      "there = '11.0.0.1', peers = 61, port = 1, n = 65000}",
	 "t.lua:1: it takes too much memory"},
	{PAIR "client:socket{SO_REUSEADDR = wire}", "SO_REUSEADDR is true, false or a whole"},
	{PAIR "client:socket{SO_BINDTODEVICE = client}", "link expected"},
	{PAIR "client:socket{IP_LOCAL_PORT_RANGE = '1-2x'}", "IP_LOCAL_PORT_RANGE is"},
	{"case{about='x', stages='world'} host('a'):snat{to = '10.0.0.1'}",
	 "t.lua:1: the world translates addresses in boxes only"},
};

static void test_misuse(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		struct play p;
		play_on("6.18.y", misuses[i].text, &p);
		if (p.end != PLAY_WRONG || !strstr(p.why, misuses[i].says))
			fail_msg("%s\n  end %d \"%s\", wanted \"%s\"", misuses[i].text, p.end,
				 p.why, misuses[i].says);
		play_free(&p);
	}
}

/* Each stage draws what is lost: from there on they are not compared. */
static void test_loss_parts(void **state)
{
	static const char at_once[] = HEAD "pair('a 10.0.0.1', 'b 10.0.0.2', {loss = 0.5}) ";
	struct play p;

	(void)state;
	play_on("6.18.y", at_once, &p);
	assert_non_null(strstr(p.apart, "loses by chance"));
	assert_int_equal(p.apart_calls, 0);
	play_free(&p);
	play_on("6.18.y",
		PAIR "client:socket() wire:set_loss(0) client:socket{uid = 1} wire:set_loss(0.5) "
		     "wire:set_loss(0.6) apart('my own words') client:socket{SO_REUSEADDR = true}",
		&p);
	assert_int_equal(p.end, PLAY_DONE);
	assert_string_equal(p.apart, "my own words");
	assert_int_equal(p.apart_calls, 0);
	assert_int_equal(p.calls_n, 1);
	play_free(&p);
}

/* What only the model cannot is no misuse, and its line is told. */
static void test_cannot_has_a_line(void **state)
{
	struct play p;

	(void)state;
	play_on("6.18.y", HEAD "\nhost('a'):snat{to = '10.0.0.1'}", &p);
	assert_int_equal(p.end, PLAY_CANNOT);
	assert_string_equal(p.why, "line 2: the world translates addresses in boxes only");
	play_free(&p);
}

/* Sockets without end: the model's memory is bounded, and the instructions are. */
static void test_crowds_end(void **state)
{
	struct play p;

	(void)state;
	play_on("6.18.y", PAIR "while true do client:socket() end", &p);
	assert_true(p.end == PLAY_WRONG || (p.expects_n && !p.expects[0].holds));
	play_free(&p);
}

/* ------------------------------------------------------------------------- records and comparing
 */

static const char scene[] =
	PAIR "local l = server:listen('10.0.0.2:80') local c = client:connect('10.0.0.2:80') "
	     "local a = l:accept() c:send(5) a:recv() c:close() a:close() pause(0.1)";

static void test_agrees_with_itself(void **state)
{
	struct agreement a;
	struct play p, q;

	(void)state;
	play_on("6.18.y", scene, &p);
	play_on("6.12.y", scene, &q);
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_ALL);
	assert_int_equal(a.calls, p.calls_n);
	assert_int_equal(a.segments, p.segments_n);
	assert_int_equal(a.counters, p.counters_n);
	assert_true(p.calls_n >= 8 && p.segments_n >= 8 && p.counters_n >= 2);
	play_free(&p);
	play_free(&q);
}

static void test_differences_are_found(void **state)
{
	struct agreement a;
	struct play p, q;

	(void)state;
	play_on("6.18.y", scene, &p);
	play_on("6.18.y", scene, &q);

	strcpy(q.calls[3].result, "EIO");
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_CALLS);
	assert_int_equal(a.calls, 3);
	strcpy(q.calls[3].result, p.calls[3].result);

	q.segments[4].record.segment.seq++;
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_SEGMENTS);
	assert_string_not_equal(a.model, a.kernel);
	q.segments[4].record.segment.seq--;

	q.segments_n--;
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_SEGMENTS);
	/* What was cut short is compared as far as it goes. */
	q.end = PLAY_SLOW;
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_ALL);
	q.end = PLAY_DONE;
	q.segments_n++;

	q.counters[0].value++;
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_COUNTERS);
	q.counters[0].value--;
	p.counters_n--;
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_COUNTERS);
	p.counters_n++;
	play_free(&p);
	play_free(&q);
}

/* Other ports and initial numbers are no difference. */
static void test_numbers_are_relative(void **state)
{
	struct agreement a;
	struct play p, q;

	(void)state;
	play_on("6.18.y", scene, &p);
	play_on("6.18.y", scene, &q);
	for (uint32_t i = 0; i < q.segments_n; i++) {
		struct segment *s = &q.segments[i].record.segment;
		bool from_client = q.segments[i].record.direction == LINE_FROM_0;
		s->seq += from_client ? 1000 : 4000000000u;
		if (s->flags & SEGMENT_ACK)
			s->ack += from_client ? 4000000000u : 1000;
		*(from_client ? &s->from_port : &s->to_port) = 1234;
	}
	agree_compare(&p, &q, &a);
	assert_int_equal(a.differs, AGREE_ALL);
	play_free(&p);
	play_free(&q);
}

static void test_record_through_a_pipe(void **state)
{
	struct play p, q;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	play_on("6.18.y", scene, &p);
	assert_int_equal(play_write(&p, ends[1]), 0);
	assert_int_equal(play_read(&q, ends[0]), 0);
	assert_int_equal(q.calls_n, p.calls_n);
	assert_memory_equal(q.calls, p.calls, p.calls_n * sizeof(*p.calls));
	assert_memory_equal(q.segments, p.segments, p.segments_n * sizeof(*p.segments));
	play_free(&q);

	/* Cut in the middle, and one that says it is larger than any. */
	assert_int_equal(write(ends[1], &p, sizeof(p)), sizeof(p));
	assert_int_equal(write(ends[1], p.calls, 10), 10);
	close(ends[1]);
	assert_int_equal(play_read(&q, ends[0]), -EBADMSG);
	assert_null(q.calls);
	close(ends[0]);
	play_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_cures),
		cmocka_unit_test(test_cures_that_are_none),
		cmocka_unit_test(test_box),
		cmocka_unit_test(test_applications),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_strict_call),
		cmocka_unit_test(test_states_are_observed),
		cmocka_unit_test(test_beliefs_are_observed),
		cmocka_unit_test(test_counters_are_observed),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_crowds_end),
		cmocka_unit_test(test_loss_parts),
		cmocka_unit_test(test_cannot_has_a_line),
		cmocka_unit_test(test_agrees_with_itself),
		cmocka_unit_test(test_differences_are_found),
		cmocka_unit_test(test_numbers_are_relative),
		cmocka_unit_test(test_record_through_a_pipe),
	};

	return unit_run("story", tests);
}
