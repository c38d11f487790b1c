/* SPDX-License-Identifier: MIT */
#include "world_fixture.h"

#include "case/app.h"

static int client, server, link;
static struct apps *apps;
static struct app_target target;

static void open_pair(const char *row)
{
	world_open(row, 1);
	client = machine("client", NULL, 1000);
	server = machine("server", NULL, 5000000);
	link = cable(client, "10.0.0.1", server, "10.0.0.2");
	begin();
	target = (struct app_target){at("10.0.0.2"), PORT};
	apps = apps_new(st, 1);
	assert_non_null(apps);
}

static void end(void)
{
	apps_free(apps);
	world_close();
}

static int setup(void **state)
{
	(void)state;
	open_pair("6.18.y");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	return 0;
}

/* A reply of 3,000 bytes to each request of 100. */
static struct app_server web_server(int host, const char *address)
{
	return (struct app_server){.host = host,
				   .addr = at(address),
				   .port = PORT,
				   .family = TCPWHY_IPV4,
				   .backlog = 128,
				   .request_bytes = 100,
				   .reply_bytes = 3000,
				   .upstream = -1};
}

static struct app_client web_client(uint64_t total, uint64_t every_ns)
{
	return (struct app_client){.host = client,
				   .family = TCPWHY_IPV4,
				   .targets = &target,
				   .n_targets = 1,
				   .total = total,
				   .every_ns = every_ns,
				   .request_bytes = 100,
				   .reply_bytes = 3000,
				   .idle_ns = APP_FOREVER,
				   .hold_ns = APP_FOREVER};
}

static int serve(struct app_server s)
{
	int n = apps_add_server(apps, &s, &err);

	assert_true(n >= 0);
	return n;
}

static int ask(struct app_client c)
{
	int n = apps_add_client(apps, &c, &err);

	assert_true(n >= 0);
	return n;
}

static struct app_figures figures(int app)
{
	struct app_figures f;

	apps_figures(apps, app, &f);
	return f;
}

static uint64_t failures(int app)
{
	struct app_figures f = figures(app);
	uint64_t sum = 0;

	for (unsigned i = 0; i < APP_FAILURES; i++)
		sum += f.failed[i];
	return sum;
}

static int is_done(void *ctx)
{
	return apps_is_done(apps, *(int *)ctx);
}

static unsigned time_waits(int host)
{
	struct stage_sock k[512];
	int n = on->list(st, host, k, 512, &err);
	unsigned found = 0;

	assert_in_range(n, 0, 512);
	for (int i = 0; i < n; i++)
		found += k[i].state == TCPWHY_TIME_WAIT;
	return found;
}

/* --------------------------------------------------------------------------- clients and servers
 */

static void whoever_closes_first_has_the_time_wait(void **state)
{
	(void)state;
	for (unsigned server_first = 0; server_first < 2; server_first++) {
		open_pair("6.18.y");
		struct app_server s = web_server(server, "10.0.0.2");
		struct app_client c = web_client(50, 10 * MS);
		s.closes_first = server_first;
		c.waits_for_end = server_first;
		int web = serve(s), user = ask(c);
		assert_int_equal(on->run_until(st, is_done, &user, 10 * S, &err), 0);
		wait_for(S);
		assert_int_equal(figures(user).replies, 50);
		assert_int_equal(figures(user).closed, 50);
		assert_int_equal(figures(web).requests, 50);
		assert_int_equal(failures(user) + failures(web), 0);
		assert_int_equal(time_waits(server), server_first ? 50 : 0);
		assert_int_equal(time_waits(client), server_first ? 0 : 50);
		end();
	}
}

static void a_pool_serves_with_few_connections(void **state)
{
	(void)state;
	serve(web_server(server, "10.0.0.2"));
	struct app_client c = web_client(100, 100 * MS);
	c.keep_alive = true;
	c.idle_ns = 5 * S;
	int user = ask(c);
	assert_int_equal(on->run_until(st, is_done, &user, 20 * S, &err), 0);
	assert_int_equal(figures(user).opened, 1);
	assert_int_equal(figures(user).replies, 100);
	assert_int_equal(figures(user).open, 1);
	wait_for(6 * S);
	assert_int_equal(figures(user).open, 0);
	assert_int_equal(time_waits(client), 1);
}

static void a_pool_grows_as_requests_overlap(void **state)
{
	(void)state;
	serve(web_server(server, "10.0.0.2"));
	struct app_client c = web_client(10, 0);
	c.keep_alive = true;
	int user = ask(c);
	assert_int_equal(on->run_until(st, is_done, &user, 10 * S, &err), 0);
	assert_int_equal(figures(user).opened, 10);
	assert_int_equal(figures(user).open, 10);
}

static void a_server_accepts_at_its_pace(void **state)
{
	(void)state;
	struct app_server s = web_server(server, "10.0.0.2");
	struct app_client c = web_client(20, 0);
	s.request_bytes = c.request_bytes = 0;
	s.accept_after_ns = S;
	s.accept_every_ns = 100 * MS;
	int web = serve(s), user = ask(c);
	wait_for(S / 2);
	assert_int_equal(figures(user).established, 20); /* connect() does not wait for accept() */
	assert_int_equal(figures(web).opened, 0);
	wait_for(S);
	assert_in_range(figures(web).opened, 4, 7);
	wait_for(2 * S);
	assert_int_equal(figures(web).opened, 20);
}

static void held_connections_are_closed_in_time(void **state)
{
	(void)state;
	struct app_server s = web_server(server, "10.0.0.2");
	struct app_client c = web_client(3, 0);
	s.request_bytes = c.request_bytes = 0;
	c.hold_ns = 10 * S;
	int web = serve(s), user = ask(c);
	wait_for(9 * S);
	assert_int_equal(figures(user).open, 3);
	assert_int_equal(figures(web).open, 3);
	wait_for(2 * S);
	assert_int_equal(figures(user).open, 0);
	assert_int_equal(figures(web).open, 0);
}

static void a_server_that_ignores_the_end_leaves_fin_wait2(void **state)
{
	(void)state;
	struct app_server s = web_server(server, "10.0.0.2");
	struct stage_sock k[4];
	s.ignores_end = true;
	serve(s);
	ask(web_client(1, 0));
	wait_for(S);
	assert_int_equal(on->list(st, client, k, 4, &err), 1);
	assert_int_equal(k[0].state, TCPWHY_FIN_WAIT2);
	assert_true(k[0].timewait);
}

static void failures_are_counted_by_errno(void **state)
{
	(void)state;
	sysctl(client, "net.ipv4.ip_local_port_range", "40000 40003");
	int nobody = ask(web_client(2, 0));
	wait_for(S);
	assert_int_equal(figures(nobody).failed[APP_ECONNREFUSED], 2);
	int web = serve(web_server(server, "10.0.0.2"));
	struct app_client c = web_client(10, 0);
	c.keep_alive = true;
	int user = ask(c);
	wait_for(S);
	assert_int_equal(figures(user).replies, 4);
	assert_int_equal(figures(user).failed[APP_EADDRNOTAVAIL], 6);
	apps_stop(apps, user);
	assert_int_equal(figures(user).open, 0);
	apps_stop(apps, web);
	struct app_server twice = web_server(server, "10.0.0.2");
	wait_for(61 * S);
	serve(twice);
	assert_int_equal(apps_add_server(apps, &twice, &err), -EADDRINUSE);
	assert_string_equal(err.text, "bind: Address already in use");
}

/* ------------------------------------------------------------------------------------- the proxy
 */

static int web, upstream, front, users;

/* users -> 10.0.0.2, the proxy -> 10.0.1.3, the server. */
static void open_proxy(bool keep_alive, bool server_first)
{
	world_open("6.18.y", 1);
	client = machine("client", NULL, 0);
	int middle = machine("proxy", NULL, 0);
	server = machine("server", NULL, 0);
	cable(client, "10.0.0.1", middle, "10.0.0.2");
	cable(middle, "10.0.1.2", server, "10.0.1.3");
	begin();
	apps = apps_new(st, 1);
	static struct app_target real;
	real = (struct app_target){at("10.0.1.3"), PORT};
	target = (struct app_target){at("10.0.0.2"), PORT};
	struct app_server s = web_server(server, "10.0.1.3"), p = web_server(middle, "10.0.0.2");
	struct app_client u = web_client(0, 0);
	s.closes_first = server_first;
	web = serve(s);
	u.host = middle;
	u.targets = &real;
	u.keep_alive = keep_alive;
	u.waits_for_end = server_first;
	upstream = ask(u);
	p.upstream = upstream;
	front = serve(p);
	users = ask(web_client(40, 50 * MS));
	assert_int_equal(on->run_until(st, is_done, &users, 60 * S, &err), 0);
	wait_for(S);
	assert_int_equal(figures(users).replies, 40);
	assert_int_equal(figures(upstream).replies, 40);
	assert_int_equal(failures(users) + failures(front) + failures(upstream), 0);
	assert_int_equal(time_waits(client), 40);
}

static void a_proxy_passes_requests_on(void **state)
{
	(void)state;
	open_proxy(false, false);
	assert_int_equal(figures(upstream).opened, 40);
	assert_int_equal(time_waits(1), 40);
	assert_int_equal(time_waits(server), 0);
	end();
	open_proxy(false, true);
	assert_int_equal(time_waits(1), 0);
	assert_int_equal(time_waits(server), 40);
	end();
	open_proxy(true, false);
	assert_int_equal(figures(upstream).opened, 1);
	assert_int_equal(time_waits(1) + time_waits(server), 0);
	/* the server goes: the next user is told at once */
	apps_stop(apps, web);
	wait_for(S);
	int late = ask(web_client(1, 0));
	wait_for(S);
	assert_int_equal(figures(late).replies, 0);
	assert_int_equal(failures(late), 1);
	end();
}

/* ------------------------------------------------------------------------------- source ports */

/* The server closes first, so its TIME_WAIT stands where the client's port is free again. */
static struct app_figures picked(enum picker_kind kind, uint64_t rate, uint64_t total)
{
	open_pair("6.18.y");
	struct app_server s = web_server(server, "10.0.0.2");
	struct app_client c = web_client(total, S / rate);
	s.closes_first = c.waits_for_end = c.watches_ports = true;
	picker_init(&c.picker, kind, 10000, 10999, 1);
	if (kind == PICKER_KERNEL)
		sysctl(client, "net.ipv4.ip_local_port_range", "10000 10999");
	serve(s);
	int user = ask(c);
	assert_int_equal(on->run_until(st, is_done, &user, 3600 * S, &err), 0);
	struct app_figures f = figures(user);
	assert_int_equal(f.replies + failures(user), total);
	end();
	return f;
}

/* 1,000 ports, TIME_WAIT for 60 s. */
static void a_sequence_collides_only_at_a_rate_beyond_its_ports(void **state)
{
	(void)state;
	struct app_figures slow = picked(PICKER_SEQUENTIAL, 10, 2000);
	struct app_figures fast = picked(PICKER_SEQUENTIAL, 20, 2000);

	assert_int_equal(slow.collisions, 0);
	assert_int_equal(slow.returns, 1000);
	assert_true(slow.soonest_return_ns > 60 * S);
	assert_int_equal(slow.returns_in_60s, 0);
	assert_int_equal(fast.collisions, 1000);
	assert_in_range(fast.soonest_return_ns, 49 * S, 51 * S);
	assert_int_equal(fast.replies, 2000); /* and yet all is well: timestamps */
}

static void a_uniform_choice_collides_at_any_rate(void **state)
{
	(void)state;
	struct app_figures f = picked(PICKER_UNIFORM, 10, 2000);

	/* 600 TIME_WAIT among 1,000 ports, but a port that collides has one only: about 45 % */
	assert_in_range(f.collisions, 700, 1000);
	assert_true(f.soonest_return_ns < 5 * S);
	assert_int_equal(f.returns_in_60s, f.collisions);
}

static void every_picker_and_the_kernel_are_served(void **state)
{
	(void)state;
	for (int kind = PICKER_KERNEL; kind <= PICKER_RFC6056_5; kind++) {
		struct app_figures f = picked((enum picker_kind)kind, 5, 300);
		assert_int_equal(f.replies, 300);
		assert_int_equal(f.passed_over, 0);
	}
}

/* -------------------------------------------------------------------------------------- the mesh
 */

enum { NODES = 320 };

struct mesh {
	int users[NODES];
	int asked; /* of users, that are known to be done */
	int n;
};

static int mesh_is_done(void *ctx)
{
	struct mesh *m = ctx;

	while (m->asked < m->n && apps_is_done(apps, m->users[m->asked]))
		m->asked++;
	return m->asked == m->n;
}

/* All connect at once: each pair, or each ordered pair. A node accepts one in a millisecond. */
static struct app_figures mesh(const char *row, bool ordered, int backlog, uint64_t *ghosts)
{
	static struct app_target nodes[2 * NODES];
	struct mesh m = {.n = ordered ? NODES : NODES - 1};
	char text[16];

	world_open(row, 1);
	int middle = box("switch");
	for (int i = 0; i < NODES; i++) {
		snprintf(text, sizeof(text), "node%d", i);
		int node = machine(text, NULL, (uint32_t)i * 100000);
		nodes[i].addr = address_v4_number(0x0a000001 + (uint32_t)i);
		nodes[i].port = PORT;
		nodes[i + NODES] = nodes[i];
		struct stage_link l = {
			.ends = {{.node = node, .addrs = &nodes[i].addr, .n_addrs = 1},
				 {.node = middle}},
			.delay_ns = {50 * US, 50 * US}};
		assert_true(on->add_link(st, &l, &err) >= 0);
	}
	begin();
	assert_true(stage_world_cost(st).bytes < NODES * 64 * 1024);
	apps = apps_new(st, 1);
	snprintf(text, sizeof(text), "%d", backlog);
	for (int i = 0; i < NODES; i++) {
		struct app_server s = {.host = i + 1,
				       .addr = nodes[i].addr,
				       .port = PORT,
				       .family = TCPWHY_IPV4,
				       .backlog = backlog,
				       .accept_every_ns = MS,
				       .upstream = -1};
		sysctl(i + 1, "net.core.somaxconn", text);
		serve(s);
	}
	for (int i = 0; i < m.n; i++) {
		size_t n = (size_t)(ordered ? NODES - 1 : NODES - 1 - i);
		struct app_client c = {.host = i + 1,
				       .family = TCPWHY_IPV4,
				       .targets = &nodes[i + 1],
				       .n_targets = n,
				       .total = n,
				       .hold_ns = APP_FOREVER};
		m.users[i] = ask(c);
	}
	assert_int_equal(on->run_until(st, mesh_is_done, &m, 300 * S, &err), 0);
	wait_for(100 * S);
	struct app_figures sum = {.opened = 0};
	for (int i = 0; i < m.n; i++) {
		sum.opened += figures(m.users[i]).opened;
		sum.open += figures(m.users[i]).open;
		sum.failed[0] += failures(m.users[i]);
	}
	*ghosts = apps_ghosts(apps, -1);
	unsigned stuck = 0, counted;
	for (int i = 0; i < m.n; i++)
		stuck += apps_ghosts(apps, m.users[i]) > 0;
	assert_int_equal(apps_all_ghosts(apps, &counted), *ghosts);
	assert_int_equal(counted, stuck);
	struct stage_world_cost cost = stage_world_cost(st);
	printf("# %s, backlog %d: %llu connections, %llu ghosts, %llu events, %zu MB\n", row,
	       backlog, (unsigned long long)sum.opened, (unsigned long long)*ghosts,
	       (unsigned long long)cost.events, cost.bytes_max >> 20);
	end();
	return sum;
}

/* A queue of 129 that is filled at once by up to 319: what is beyond is a ghost, on the old kernel
 * as on the new, which answered the SYNs before the queue was full. */
static void a_mesh_has_ghosts_until_the_backlog_holds_it(void **state)
{
	(void)state;
	static const char *const rows[] = {"3.10", "6.18.y"};
	uint64_t ghosts;

	for (unsigned i = 0; i < 2; i++) {
		struct app_figures f = mesh(rows[i], false, 128, &ghosts);
		assert_int_equal(f.opened, NODES * (NODES - 1) / 2);
		assert_int_equal(f.open + f.failed[0], f.opened);
		assert_true(ghosts > 1000);
		f = mesh(rows[i], false, 4096, &ghosts);
		assert_int_equal(f.open, f.opened);
		assert_int_equal(ghosts, 0);
	}
}

static void a_mesh_of_ordered_pairs(void **state)
{
	(void)state;
	uint64_t ghosts;

	assert_int_equal(mesh("6.18.y", true, 4096, &ghosts).open, NODES * (NODES - 1));
	assert_int_equal(ghosts, 0);
	assert_int_equal(mesh("3.10", true, 128, &ghosts).opened, NODES * (NODES - 1));
	assert_true(ghosts > 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_closes_first_has_the_time_wait),
		TEST(a_pool_serves_with_few_connections),
		TEST(a_pool_grows_as_requests_overlap),
		TEST(a_server_accepts_at_its_pace),
		TEST(held_connections_are_closed_in_time),
		TEST(a_server_that_ignores_the_end_leaves_fin_wait2),
		TEST(failures_are_counted_by_errno),
		cmocka_unit_test(a_proxy_passes_requests_on),
		cmocka_unit_test(a_sequence_collides_only_at_a_rate_beyond_its_ports),
		cmocka_unit_test(a_uniform_choice_collides_at_any_rate),
		cmocka_unit_test(every_picker_and_the_kernel_are_served),
		cmocka_unit_test(a_mesh_has_ghosts_until_the_backlog_holds_it),
		cmocka_unit_test(a_mesh_of_ordered_pairs),
	};

	return unit_run("app", tests);
}
