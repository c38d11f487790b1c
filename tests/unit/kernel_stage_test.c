/* SPDX-License-Identifier: MIT
 *
 * kernel_stage: what the kernel stage does that both stages' tales (stage_agree_test.c) do not show
 */
#include "unit.h"

#include "case/app.h"
#include "case/kernel_stage.h"
#include "case/story.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS    UINT64_C(1000000)
#define S     (1000 * MS)
#define LIMIT (10 * S) /* a deadline; nothing waits for it to pass */

enum { PORT = 80 };

/* One stage at a time. */
static struct stage *st;
static const struct stage_ops *on;
static struct err err;
static int client, server, link_;

static struct tcpwhy_addr at(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return a;
}

#define GOOD(call)                                                                                 \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			fail_msg("%s: %s", #call, err.text);                                       \
	} while (0)

static void open_stage(void)
{
	const struct kernel_stage_config c = {.row = tcpwhy_row_find("6.18.y"), .seed = 1};
	const int rc = kernel_stage_new(&c, &st, &err);

	if (rc == STAGE_CANNOT)
		unit_skip(err.text);
	if (rc)
		fail_msg("%s", err.text);
	on = st->ops;
}

static int host(const char *name)
{
	const struct stage_host h = {.name = name};
	const int node = on->add_host(st, &h, &err);

	GOOD(node);
	return node;
}

static int box(const char *name)
{
	const struct stage_box b = {.name = name};
	const int node = on->add_box(st, &b, &err);

	GOOD(node);
	return node;
}

static int cable(int a, const char *a_addr, int b, const char *b_addr, bool tapped)
{
	const struct tcpwhy_addr addrs[2] = {at(*a_addr ? a_addr : "::"),
					     at(*b_addr ? b_addr : "::")};
	const struct stage_link l = {
		.ends = {{a, &addrs[0], *a_addr ? 1 : 0}, {b, &addrs[1], *b_addr ? 1 : 0}},
		.tapped = tapped};
	const int link = on->add_link(st, &l, &err);

	GOOD(link);
	return link;
}

/* Addresses of both families at one end, none at the other. */
static void dual_cable(int a, const char *v4, const char *v6, int b, bool tapped)
{
	const struct tcpwhy_addr addrs[] = {at(v4), at(v6)};
	const struct stage_link l = {.ends = {{a, addrs, 2}, {b, NULL, 0}}, .tapped = tapped};

	GOOD(on->add_link(st, &l, &err));
}

static void open_pair(bool tapped)
{
	open_stage();
	client = host("client");
	server = host("server");
	link_ = cable(client, "10.0.0.1", server, "10.0.0.2", tapped);
	GOOD(on->start(st, &err));
}

static int sock(int node)
{
	const int s = on->socket(st, node, TCPWHY_IPV4, 0);

	assert_true(s >= 0);
	return s;
}

static int listener(int node, const char *addr, int backlog)
{
	const struct tcpwhy_addr a = at(addr);
	const int s = sock(node);

	assert_int_equal(on->bind(st, s, &a, PORT), 0);
	assert_int_equal(on->listen(st, s, backlog), 0);
	return s;
}

struct wish {
	int sock, result;
	size_t value;
};

static int has_ended(void *ctx)
{
	struct wish *w = ctx;
	struct stage_sock k;

	assert_int_equal(on->look(st, w->sock, &k), 0);
	if (k.state == TCPWHY_SYN_SENT)
		return 0;
	w->result = on->error(st, w->sock);
	return 1;
}

static int connect_to(int s, const char *addr)
{
	const struct tcpwhy_addr a = at(addr);
	struct wish w = {.sock = s};
	const int rc = on->connect(st, s, &a, PORT);

	if (rc != -EINPROGRESS)
		return rc;
	assert_int_equal(on->run_until(st, has_ended, &w, LIMIT, &err), 0);
	return -w.result;
}

static int is_accepted(void *ctx)
{
	struct wish *w = ctx;

	w->result = on->accept(st, w->sock);
	return w->result != -EAGAIN;
}

static int accepted(int l)
{
	struct wish w = {.sock = l};

	assert_int_equal(on->run_until(st, is_accepted, &w, LIMIT, &err), 0);
	assert_true(w.result >= 0);
	return w.result;
}

static struct stage_sock seen(int s)
{
	struct stage_sock k;

	assert_int_equal(on->look(st, s, &k), 0);
	return k;
}

/* ------------------------------------------------------------------------------------- it cannot
 */

static void what_it_cannot_is_told(void **state)
{
	(void)state;
	open_stage();
	const struct stage_host old = {.name = "old", .release = "3.10"};
	const struct stage_host late = {.name = "late", .clock_ms = 1};
	const struct stage_host own = {.name = "own", .release = "6.18.y"};

	assert_int_equal(on->add_host(st, &old, &err), STAGE_CANNOT);
	assert_non_null(strstr(err.text, "3.10"));
	assert_int_equal(on->add_host(st, &late, &err), STAGE_CANNOT);
	GOOD(client = on->add_host(st, &own, &err));
	assert_int_equal(on->add_host(st, &own, &err), -EEXIST);
	server = host("server");
	link_ = cable(client, "10.0.0.1", server, "10.0.0.2", false);
	const struct tcpwhy_addr taken = at("10.0.0.2");
	const struct stage_link again = {.ends = {{client, &taken, 1}, {server, NULL, 0}}};
	assert_int_equal(on->add_link(st, &again, &err), -EINVAL);
	GOOD(on->start(st, &err));
	assert_int_equal(on->set_delay(st, link_, LINE_BOTH, MS, &err), STAGE_CANNOT);
	const struct line_control drop = {.action = LINE_DROP};
	assert_int_equal(on->add_control(st, link_, LINE_FROM_0, &drop, &err), -EINVAL);
	assert_int_equal(on->pause(st, 60 * S, &err), STAGE_CANNOT);
	assert_non_null(strstr(err.text, "--slow"));
	const struct rule balance = {.action = RULE_BALANCE, .to = {taken}, .n_to = 1};
	assert_int_equal(on->set_rules(st, client, &balance, 1, &err), STAGE_CANNOT);
	struct tcpwhy_verdict v;
	assert_false(on->verdict(st, sock(client), &v));
	on->free(st);
}

static void sysctls_are_the_hosts_own(void **state)
{
	(void)state;
	char value[64];

	open_pair(false);
	GOOD(on->set_sysctl(st, client, "net.ipv4.ip_local_port_range", "61000 61001", &err));
	GOOD(on->get_sysctl(st, client, "net.ipv4.ip_local_port_range", value, sizeof(value),
			    &err));
	assert_string_equal(value, "61000 61001");
	GOOD(on->get_sysctl(st, server, "net.ipv4.ip_local_port_range", value, sizeof(value),
			    &err));
	assert_string_not_equal(value, "61000 61001");
	assert_int_equal(on->set_sysctl(st, client, "net.ipv4.tcp_no_such", "1", &err), -ENOENT);
	assert_int_equal(on->set_sysctl(st, client, "net.ipv4.tcp_sack", "many", &err), -EINVAL);
	/* names do not lead out of the network's part */
	assert_int_equal(on->set_sysctl(st, client, "net.../kernel/hostname", "x", &err), -ENOENT);
	assert_int_equal(on->set_sysctl(st, client, "kernel.hostname", "x", &err), -ENOENT);
	/* two ports, two connections; the third finds none */
	listener(server, "10.0.0.2", 8);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), -EADDRNOTAVAIL);
	on->free(st);
}

/* -----------------------------------------------------------------------------------------
 * topology
 */

static void ways_lead_through_boxes(void **state)
{
	(void)state;
	open_stage();
	client = host("client");
	server = host("server");
	const int left = box("left"), right = box("right"), other = host("other");
	dual_cable(client, "10.1.0.1", "fd00::1:1", left, false);
	cable(left, "", right, "", false); /* nobody has an address there */
	dual_cable(server, "10.2.0.1", "fd00::2:1", right, true);
	cable(other, "10.3.0.1", client, "10.1.0.2", false); /* no way through a host */
	GOOD(on->start(st, &err));
	listener(server, "10.2.0.1", 8);
	const int c = sock(client);
	assert_int_equal(connect_to(c, "10.2.0.1"), 0);
	struct tcpwhy_addr name, first = at("10.1.0.1");
	uint16_t port;
	GOOD(on->sockname(st, c, &name, &port));
	assert_true(address_equal(&name, &first));
	assert_true(on->trace_count(st) >= 2); /* the last ACK may still be on its way there */
	assert_int_equal(connect_to(sock(other), "10.2.0.1"), -ENETUNREACH);

	const struct tcpwhy_addr six = at("fd00::2:1");
	const int l = on->socket(st, server, TCPWHY_IPV6, 0);
	assert_int_equal(on->bind(st, l, &six, PORT), 0);
	assert_int_equal(on->listen(st, l, 1), 0);
	assert_int_equal(connect_to(on->socket(st, client, TCPWHY_IPV6, 0), "fd00::2:1"), 0);
	on->free(st);
}

/* A proxy connects from addresses that it does not have, and the answers come back. */
static void a_prefix_is_routed_and_local(void **state)
{
	(void)state;
	const struct stage_prefix p = {
		.addr = at("10.7.0.0"), .len = 120, .local = true, .routed = true};
	open_stage();
	client = host("client");
	server = host("server");
	const int between = box("between");
	cable(client, "10.1.0.1", between, "", false);
	cable(between, "", server, "10.2.0.1", false);
	GOOD(on->add_prefix(st, client, &p, &err));
	GOOD(on->start(st, &err));
	listener(server, "10.2.0.1", 8);
	const struct tcpwhy_addr source = at("10.7.0.99");
	const int c = sock(client);
	assert_int_equal(on->setsockopt(st, c, TCPWHY_IP_TRANSPARENT, 1), 0);
	assert_int_equal(on->bind(st, c, &source, 0), 0);
	assert_int_equal(connect_to(c, "10.2.0.1"), 0);
	on->free(st);
}

static void loopback_needs_no_link(void **state)
{
	(void)state;
	open_stage();
	client = host("alone");
	GOOD(on->start(st, &err));
	listener(client, "127.0.0.1", 1);
	const int c = sock(client);
	assert_int_equal(connect_to(c, "0.0.0.0"), 0);
	const struct stage_sock k = seen(c);
	const struct tcpwhy_addr loopback = at("127.0.0.1");
	assert_true(address_equal(&k.peer, &loopback));
	assert_int_equal(k.state, TCPWHY_ESTABLISHED);
	assert_false(k.has_numbers);
	on->free(st);
}

static void a_link_delays_and_loses(void **state)
{
	(void)state;
	const struct tcpwhy_addr a = at("10.0.0.1"), b = at("10.0.0.2");
	open_stage();
	client = host("client");
	server = host("server");
	const struct stage_link l = {.ends = {{client, &a, 1}, {server, &b, 1}},
				     .delay_ns = {20 * MS, 20 * MS}};
	link_ = on->add_link(st, &l, &err);
	GOOD(link_);
	GOOD(on->start(st, &err));
	listener(server, "10.0.0.2", 8);
	uint64_t before = on->now(st);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	assert_true(on->now(st) - before >= 40 * MS);
	assert_int_equal(on->trace_count(st), 0); /* it is not tapped */
	GOOD(on->set_delay(st, link_, LINE_BOTH, 0, &err));
	GOOD(on->set_loss(st, link_, LINE_FROM_0, 1000000, &err));
	struct wish w = {.sock = sock(client)};
	assert_int_equal(on->connect(st, w.sock, &b, PORT), -EINPROGRESS);
	assert_int_equal(on->run_until(st, has_ended, &w, 50 * MS, &err), -ETIMEDOUT);
	GOOD(on->set_loss(st, link_, LINE_FROM_0, 0, &err));
	assert_int_equal(on->run_until(st, has_ended, &w, LIMIT, &err), 0);
	assert_int_equal(w.result, 0);
	on->free(st);
}

/* ------------------------------------------------------------------------------------------
 * sockets
 */

static const struct stage_sock *one_in(const struct stage_sock *all, int n, uint8_t state)
{
	for (int i = 0; i < n; i++)
		if (all[i].state == state)
			return &all[i];
	return NULL;
}

static void all_sockets_are_listed(void **state)
{
	(void)state;
	struct stage_sock all[16];

	open_pair(true);
	const int l = listener(server, "10.0.0.2", 4), c = sock(client), bound = sock(server);
	const struct tcpwhy_addr any = at("0.0.0.0");
	assert_int_equal(on->bind(st, bound, &any, 81), 0);
	assert_int_equal(connect_to(c, "10.0.0.2"), 0);
	assert_int_equal(on->list(st, server, NULL, 0, &err), 3);
	assert_int_equal(on->list(st, server, all, 16, &err), 3);
	assert_int_equal(one_in(all, 3, TCPWHY_LISTEN)->sock, l);
	assert_int_equal(one_in(all, 3, TCPWHY_LISTEN)->accept_queue, 1);
	assert_int_equal(one_in(all, 3, TCPWHY_LISTEN)->backlog, 4);
	assert_int_equal(one_in(all, 3, TCPWHY_BOUND)->sock, bound);
	assert_int_equal(one_in(all, 3, TCPWHY_ESTABLISHED)->sock, -1);
	const int s = accepted(l);
	assert_int_equal(on->list(st, server, all, 16, &err), 3);
	assert_int_equal(one_in(all, 3, TCPWHY_ESTABLISHED)->sock, s);
	assert_int_equal(seen(bound).state, TCPWHY_BOUND);
	assert_int_equal(seen(sock(server)).state, TCPWHY_CLOSE);

	/* the last ACK is lost: a request */
	const struct line_control hold = {
		.pick = {.flags_set = SEGMENT_ACK, .flags_clear = SEGMENT_SYN},
		.action = LINE_HOLD};
	GOOD(on->add_control(st, link_, LINE_FROM_0, &hold, &err));
	const int d = sock(client);
	assert_int_equal(connect_to(d, "10.0.0.2"), 0);
	struct stage_sock k = seen(d), r;
	assert_int_equal(seen(l).syn_queue, 1);
	GOOD(on->find(st, server, &k.peer, k.peer_port, &k.local, k.port, &r));
	assert_true(r.request);
	assert_int_equal(r.sock, -1);
	GOOD(on->destroy(st, server, &k.peer, k.peer_port, &k.local, k.port, &err));
	assert_int_equal(on->find(st, server, &k.peer, k.peer_port, &k.local, k.port, &r), -ENOENT);
	assert_int_equal(on->destroy(st, server, &k.peer, k.peer_port, &k.local, k.port, &err),
			 -ENOENT);
	on->free(st);
}

/* SO_REUSEPORT compares the owners; a user namespace knows but one. */
static void a_socket_has_an_owner(void **state)
{
	(void)state;
	const struct tcpwhy_addr a = at("10.0.0.2");

	open_pair(false);
	const int one = on->socket(st, server, TCPWHY_IPV4, 1000);
	if (one == STAGE_CANNOT) {
		on->free(st);
		unit_skip("a user namespace of one user: no other owners");
	}
	const int two = on->socket(st, server, TCPWHY_IPV4, 1001),
		  three = on->socket(st, server, TCPWHY_IPV4, 1000);
	const int all[] = {one, two, three};
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(on->setsockopt(st, all[i], TCPWHY_SO_REUSEPORT, 1), 0);
	assert_int_equal(on->bind(st, one, &a, PORT), 0);
	assert_int_equal(on->bind(st, two, &a, PORT), -EADDRINUSE);
	assert_int_equal(on->bind(st, three, &a, PORT), 0);
	assert_int_equal(on->listen(st, one, 1), 0);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	assert_int_equal(seen(accepted(one)).uid, 1000);
	on->free(st);
}

static void options_reach_the_kernel(void **state)
{
	(void)state;
	static const struct {
		enum tcpwhy_option option;
		uint64_t value;
		int rc;
	} table[] = {
		{TCPWHY_SO_REUSEADDR, 1, 0},
		{TCPWHY_SO_ATTACH_REUSEPORT, 1, -EINVAL},
		{TCPWHY_SO_REUSEPORT, 1, 0},
		{TCPWHY_SO_ATTACH_REUSEPORT, 1, 0},
		{TCPWHY_SO_BINDTODEVICE, 77, -ENODEV},
		{TCPWHY_SO_LINGER0, 1, 0},
		{TCPWHY_IPV6_V6ONLY, 1, -ENOPROTOOPT},
		{TCPWHY_IP_FREEBIND, 1, 0},
		{TCPWHY_IP_TRANSPARENT, 1, 0},
		{TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1, 0},
		{TCPWHY_IP_LOCAL_PORT_RANGE, 61000 | (uint64_t)62000 << 16, 0},
		{TCPWHY_IP_LOCAL_PORT_RANGE, 62000 | (uint64_t)61000 << 16, -EINVAL},
		{TCPWHY_TCP_REPAIR, 1, 0},
		{TCPWHY_TCP_REPAIR, 0, 0},
		{TCPWHY_TCP_LINGER2, 5, 0},
	};

	open_pair(false);
	const int s = sock(client);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (on->setsockopt(st, s, table[i].option, table[i].value) != table[i].rc)
			fail_msg("option %d, value %llu: not %d", table[i].option,
				 (unsigned long long)table[i].value, table[i].rc);
	const uint32_t device = on->device(st, client, link_);
	assert_int_equal(on->setsockopt(st, s, TCPWHY_SO_BINDTODEVICE, device), 0);
	assert_int_equal(on->device(st, server, link_), 2);
	assert_int_equal(on->bind(st, s, &(struct tcpwhy_addr){.b = {[10] = 255, [11] = 255}}, 0),
			 0);
	assert_int_equal(seen(s).device, device);
	on->free(st);
}

/* ---------------------------------------------------------------------------------------------
 * time
 */

struct counting {
	unsigned ready, due;
	int last;
	uint64_t deadline;
};

static void on_ready(void *ctx, int s)
{
	struct counting *c = ctx;

	c->ready++;
	c->last = s;
}

static uint64_t when_due(void *ctx)
{
	return ((struct counting *)ctx)->deadline;
}

static void on_due(void *ctx)
{
	struct counting *c = ctx;

	c->due++;
	c->deadline = UINT64_MAX;
}

static int was_told(void *ctx)
{
	struct wish *w = ctx;

	return ((struct counting *)(void *)(uintptr_t)w->value)->ready >= (unsigned)w->result;
}

static void tells(struct counting *c, unsigned ready)
{
	struct wish w = {.result = (int)ready, .value = (size_t)(uintptr_t)c};

	assert_int_equal(on->run_until(st, was_told, &w, LIMIT, &err), 0);
}

static void a_driver_hears_and_is_on_time(void **state)
{
	(void)state;
	struct counting c = {.deadline = UINT64_MAX};
	const struct stage_driver d = {&c, on_ready, when_due, on_due};

	open_pair(false);
	on->drive(st, &d);
	const int l = listener(server, "10.0.0.2", 8);
	assert_int_equal(on->watch(st, l, true), 0);
	GOOD(on->pause(st, 0, &err));
	assert_int_equal(c.ready, 1); /* once, with the state it has */
	const unsigned before = c.ready;
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	tells(&c, before + 1);
	assert_int_equal(c.last, l);
	/* what was not taken is no news; the next one is */
	const unsigned then = c.ready;
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	tells(&c, then + 1);
	c.deadline = on->now(st) + 5 * MS;
	GOOD(on->pause(st, 20 * MS, &err));
	assert_int_equal(c.due, 1);
	assert_int_equal(on->watch(st, l, false), 0);
	const unsigned quiet = c.ready;
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	GOOD(on->pause(st, 5 * MS, &err));
	assert_int_equal(c.ready, quiet);
	on->drive(st, NULL);
	on->free(st);
}

static int minus_seven(void *ctx)
{
	(void)ctx;
	return -7;
}

static int never(void *ctx)
{
	(void)ctx;
	return 0;
}

/* The server's end comes right behind its reply, and is heard of once with it. */
static void an_application_hears_of_every_end(void **state)
{
	const struct app_target target = {at("10.0.0.2"), PORT};
	struct app_figures f;

	(void)state;
	open_pair(false);
	struct apps *apps = apps_new(st, 1);
	const struct app_server s = {.host = server,
				     .addr = target.addr,
				     .port = PORT,
				     .backlog = 64,
				     .request_bytes = 10,
				     .reply_bytes = 10,
				     .closes_first = true,
				     .upstream = -1};
	const struct app_client c = {.host = client,
				     .targets = &target,
				     .n_targets = 1,
				     .total = 50,
				     .request_bytes = 10,
				     .reply_bytes = 10,
				     .waits_for_end = true,
				     .hold_ns = APP_FOREVER,
				     .idle_ns = APP_FOREVER};
	GOOD(apps_add_server(apps, &s, &err));
	const int app = apps_add_client(apps, &c, &err);
	GOOD(app);
	for (int i = 0; i < 500; i++) {
		GOOD(on->pause(st, 10 * MS, &err));
		apps_figures(apps, app, &f);
		if (f.closed == c.total)
			break;
	}
	assert_int_equal(f.replies, c.total);
	assert_int_equal(f.closed, c.total);
	assert_int_equal(f.open, 0);
	apps_free(apps);
	on->free(st);
}

static void a_wait_costs_no_processor(void **state)
{
	(void)state;
	struct timespec before, after;

	open_pair(true);
	assert_int_equal(on->run_until(st, minus_seven, NULL, LIMIT, &err), -7);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	const uint64_t begun = on->now(st);
	assert_int_equal(on->run_until(st, never, NULL, 300 * MS, &err), -ETIMEDOUT);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	assert_true(on->now(st) - begun >= 300 * MS);
	const double used = (double)(after.tv_sec - before.tv_sec) +
			    (double)(after.tv_nsec - before.tv_nsec) / 1e9;
	printf("# 300 ms of waiting: %.1f ms of a processor\n", used * 1000);
	assert_true(used < 0.15);
	on->free(st);
}

/* -----------------------------------------------------------------------------------------
 * programs
 */

/* Programs of a host with a cgroup start in it, those of others do not; it goes with the stage. */
static void programs_have_a_cgroup(void **state)
{
	(void)state;
	const char *const where[] = {"grep", "^0:", "/proc/self/cgroup", NULL};
	char path[512], out[4096];

	open_pair(false);
	const int rc = on->cgroup(st, client, path, sizeof(path), &err);
	if (rc == STAGE_CANNOT) {
		on->free(st);
		unit_skip(err.text);
	}
	GOOD(rc);
	assert_int_equal(access(path, F_OK), 0);
	const char *name = strrchr(path, '/');
	assert_int_equal(on->run(st, client, where, LIMIT, out, sizeof(out), &err), 0);
	assert_non_null(strstr(out, name));
	assert_int_equal(on->run(st, server, where, LIMIT, out, sizeof(out), &err), 0);
	assert_null(strstr(out, name));
	on->free(st);
	assert_int_equal(access(path, F_OK), -1);
}

/* It goes as well where the stage is killed. */
static void killed_cgroups_go(void **state)
{
	(void)state;
	char path[512] = "";
	int told[2];

	assert_int_equal(pipe(told), 0);
	const pid_t pid = fork();
	if (!pid) {
		open_pair(false);
		if (on->cgroup(st, client, path, sizeof(path), &err))
			_exit(1);
		GOOD(on->spawn(st, client, (const char *const[]){"sleep", "1000", NULL}, &err));
		_exit(write(told[1], path, sizeof(path)) != sizeof(path) || pause());
	}
	close(told[1]);
	if (read(told[0], path, sizeof(path)) != sizeof(path)) {
		waitpid(pid, NULL, 0);
		unit_skip("no cgroup of its own");
	}
	assert_int_equal(access(path, F_OK), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 500 && !access(path, F_OK); i++)
		usleep(10000);
	assert_int_equal(access(path, F_OK), -1);
	close(told[0]);
}

/* A program that leaves its session and its parent. We are its parent then, so that its end is
 * seen. */
static void daemons_go(void **state)
{
	(void)state;
	const char *const daemon[] = {"sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!",
				      NULL};
	char out[32] = "";
	int status = 0, ended = 0;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	open_pair(false);
	assert_int_equal(on->run(st, client, daemon, LIMIT, out, sizeof(out), &err), 0);
	const pid_t pid = (pid_t)strtol(out, NULL, 10);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	on->free(st);
	for (int i = 0; i < 500 && !ended; i++) {
		ended = waitpid(pid, &status, WNOHANG);
		if (!ended)
			usleep(10000);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	assert_int_equal(ended, pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What one leaves in /run the next one sees, and we do not; tcpwhy is in PATH. */
static void programs_have_a_run_of_their_own(void **state)
{
	(void)state;
	const char *const leaves[] = {"sh", "-c", "echo x >/run/x", NULL};
	const char *const empty[] = {"sh", "-c", "ls -A /run", NULL};
	const char *const where[] = {"sh", "-c", "readlink \"$(command -v tcpwhy)\"", NULL};
	char out[4096], exe[512];

	open_pair(false);
	assert_int_equal(on->run(st, client, empty, LIMIT, out, sizeof(out), &err), 0);
	assert_string_equal(out, "tcpwhy-files\ntcpwhy-lab\n");
	assert_int_equal(on->run(st, client, leaves, LIMIT, NULL, 0, &err), 0);
	assert_int_equal(on->run(st, server, empty, LIMIT, out, sizeof(out), &err), 0);
	assert_non_null(strstr(out, "x\n"));
	assert_int_equal(access("/run/x", F_OK), -1);
	assert_int_equal(on->run(st, client, where, LIMIT, out, sizeof(out), &err), 0);
	const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 2);
	assert_in_range(n, 1, sizeof(exe) - 2);
	strcpy(exe + n, "\n");
	assert_string_equal(out, exe);
	on->free(st);
}

/* An ordinary user's PATH has not the programs of cases, such as sysctl. */
static void programs_are_looked_for_in_sbin(void **state)
{
	(void)state;
	const char *const path[] = {"sh", "-c", "echo \"$PATH\"", NULL};
	const char *const nothing[] = {"no-such-program", NULL};
	char out[4096], *before = strdup(getenv("PATH"));

	assert_non_null(before);
	setenv("PATH", "/usr/bin:/bin", 1);
	open_pair(false);
	assert_int_equal(on->run(st, client, path, LIMIT, out, sizeof(out), &err), 0);
	assert_string_equal(out, "/run/tcpwhy-lab:/usr/bin:/bin:/usr/sbin:/sbin\n");
	assert_int_equal(on->run(st, client, nothing, LIMIT, NULL, 0, &err), -ENOENT);
	on->free(st);
	setenv("PATH", before, 1);
	free(before);
}

static void programs_run_in_a_host(void **state)
{
	(void)state;
	const char *const show[] = {"cat", "/proc/net/dev", NULL};
	const char *const status[] = {"sh", "-c", "exit 3", NULL};
	const char *const nothing[] = {"/nonexistent/program", NULL};
	const char *const sleeps[] = {"sleep", "1000", NULL};
	char out[4096];

	open_pair(false);
	assert_int_equal(on->run(st, client, show, LIMIT, out, sizeof(out), &err), 0);
	assert_non_null(strstr(out, "eth0"));
	assert_null(strstr(out, "eth1"));
	assert_int_equal(on->run(st, client, show, LIMIT, out, 8, &err), 0);
	assert_int_equal(strlen(out), 7);
	assert_int_equal(on->run(st, client, status, LIMIT, NULL, 0, &err), 3);
	assert_int_equal(on->run(st, client, nothing, LIMIT, NULL, 0, &err), -ENOENT);
	assert_int_equal(on->run(st, client, sleeps, 20 * MS, NULL, 0, &err), -ETIMEDOUT);
	const int pid = on->spawn(st, server, sleeps, &err),
		  other = on->spawn(st, server, sleeps, &err);
	GOOD(pid);
	GOOD(other);
	assert_int_equal(on->spawn(st, server, nothing, &err), -ENOENT);
	assert_int_equal(kill(pid, 0), 0);
	GOOD(on->stop(st, pid, &err));
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(on->stop(st, pid, &err), -ESRCH);
	on->free(st);
	assert_int_equal(kill(other, 0), -1);
}

/* A case that has its files, and lacks a program: what it saw before stays. */
static void a_case_goes_as_far_as_its_programs(void **state)
{
	static const char text[] = "case{about = 'x'}\n"
				   "local a, b = pair('a 10.0.0.1', 'b 10.0.0.2')\n"
				   "local path, folder = a:file('conf', 'some text')\n"
				   "expect(path, folder .. '/conf')\n"
				   "local status, out = a:run('cat', path)\n"
				   "expect(out, 'some text')\n"
				   "expect(a:try_run('/nonexistent/program'), 'ENOENT')\n"
				   "b:spawn('/nonexistent/program', 'x')\n"
				   "expect(true, false)\n";
	const struct story_config config = {
		.name = "t", .text = text, .text_n = strlen(text), .trusted = true};
	struct play p;

	(void)state;
	open_stage();
	story_play(&config, st, tcpwhy_row_find("6.18.y"), &p);
	assert_int_equal(p.end, PLAY_CANNOT);
	assert_string_equal(p.why, "/nonexistent/program is not installed here");
	assert_int_equal(p.expects_n, 3);
	assert_int_equal(play_held(&p), 3);
	assert_true(play_went(&p));
	play_free(&p);
	on->free(st);
}

/* A file over another one, one of another host, and names that lead elsewhere. */
static void programs_have_files(void **state)
{
	static const struct {
		const char *name, *text, *program;
	} files[] = {
		{"conf", "one", "test \"$(cat \"$0\")\" = one"},
		{"conf", "", "test -e \"$0\" && test ! -s \"$0\""},
		{"other", "two", "cd \"${0%/*}\" && test -e conf && echo x >new"},
	};
	static const char *const wrong[] = {"", ".", "..", "../conf", "a/b", ".hidden"};
	char path[64], servers[64], small[8];

	(void)state;
	open_pair(false);
	GOOD(on->file(st, server, "conf", "x", 1, servers, sizeof(servers), &err));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *text = files[i].text;
		GOOD(on->file(st, client, files[i].name, text, strlen(text), path, sizeof(path),
			      &err));
		const char *const argv[] = {"sh", "-c", files[i].program, path, NULL};
		assert_int_equal(on->run(st, client, argv, LIMIT, NULL, 0, &err), 0);
		assert_int_equal(access(path, F_OK), -1);
	}
	const char *const same[] = {"grep", "-q", "^x$", servers, NULL};
	assert_int_equal(on->run(st, client, same, LIMIT, NULL, 0, &err), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(on->file(st, client, wrong[i], "x", 1, path, sizeof(path), &err),
				 -EINVAL);
	assert_int_equal(on->file(st, client, "conf", "x", 1, small, sizeof(small), &err),
			 -ENAMETOOLONG);
	on->free(st);
}

/* -------------------------------------------------------------------------------------------
 * measure
 */

static void nothing_is_left(void **state)
{
	(void)state;
	const int lowest = fcntl(0, F_DUPFD_CLOEXEC, 3);

	close(lowest);
	open_pair(true);
	const int l = listener(server, "10.0.0.2", 8);
	assert_int_equal(connect_to(sock(client), "10.0.0.2"), 0);
	accepted(l);
	on->free(st);
	const int again = fcntl(0, F_DUPFD_CLOEXEC, 3);
	assert_int_equal(again, lowest);
	close(again);
}

static void says_what_a_play_costs(void **state)
{
	(void)state;
	enum { HOSTS = 40 };
	struct timespec t0, t1, t2;
	char name[16], addr[32];

	clock_gettime(CLOCK_MONOTONIC, &t0);
	open_stage();
	const int middle = box("switch");
	for (int i = 0; i < HOSTS; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		snprintf(addr, sizeof(addr), "10.0.0.%d", i + 1);
		cable(host(name), addr, middle, "", false);
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	GOOD(on->start(st, &err));
	clock_gettime(CLOCK_MONOTONIC, &t2);
	listener(1, "10.0.0.1", 128);
	for (int i = 1; i < HOSTS; i++)
		assert_int_equal(connect_to(sock(i + 1), "10.0.0.1"), 0);
	printf("# %d hosts around a switch: built in %.0f ms, routes in %.0f ms\n", HOSTS,
	       (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) / 1e6,
	       (double)(t2.tv_sec - t1.tv_sec) * 1e3 + (double)(t2.tv_nsec - t1.tv_nsec) / 1e6);
	on->free(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_cannot_is_told),
		cmocka_unit_test(sysctls_are_the_hosts_own),
		cmocka_unit_test(ways_lead_through_boxes),
		cmocka_unit_test(a_prefix_is_routed_and_local),
		cmocka_unit_test(loopback_needs_no_link),
		cmocka_unit_test(a_link_delays_and_loses),
		cmocka_unit_test(all_sockets_are_listed),
		cmocka_unit_test(a_socket_has_an_owner),
		cmocka_unit_test(options_reach_the_kernel),
		cmocka_unit_test(a_driver_hears_and_is_on_time),
		cmocka_unit_test(an_application_hears_of_every_end),
		cmocka_unit_test(a_wait_costs_no_processor),
		cmocka_unit_test(programs_run_in_a_host),
		cmocka_unit_test(programs_have_a_cgroup),
		cmocka_unit_test(killed_cgroups_go),
		cmocka_unit_test(daemons_go),
		cmocka_unit_test(programs_have_a_run_of_their_own),
		cmocka_unit_test(programs_are_looked_for_in_sbin),
		cmocka_unit_test(programs_have_files),
		cmocka_unit_test(a_case_goes_as_far_as_its_programs),
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(says_what_a_play_costs),
	};

	return unit_run("kernel_stage", tests);
}
