/* SPDX-License-Identifier: MIT
 *
 * The world with many hosts and many connections, held against what cases may cost
 *
 * world [NODES]: a mesh of 320 nodes that connect at once, by pairs and by ordered pairs, on the
 * oldest row and the newest, and a million connections on one port.
 */
#include <stdio.h>

#include "figures.h"

#include "case/app.h"
#include "case/stage_world.h"

#define S UINT64_C(1000000000)

enum { PORT = 7000, NODES_MAX = 1000 };

static struct stage *st;
static struct err err;
static int nodes;

struct mesh {
	struct apps *apps;
	int clients[NODES_MAX], done;
	struct app_target targets[2 * NODES_MAX];
};

static void check(int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "world: %s\n", err.text);
	exit(1);
}

static void open_world(const char *row)
{
	struct stage_world_config c = {.row = tcpwhy_row_find(row), .seed = 1};

	check(stage_world_new(&c, &st, &err));
}

static void add_nodes(struct mesh *m)
{
	struct stage_box b = {.name = "switch"};
	char name[16];

	check(st->ops->add_box(st, &b, &err));
	for (int i = 0; i < nodes; i++) {
		snprintf(name, sizeof(name), "node%d", i);
		struct stage_host h = {.name = name};
		struct app_target *t = &m->targets[i];
		*t = (struct app_target){address_v4_number(0x0a000001 + (uint32_t)i), PORT};
		m->targets[i + nodes] = *t;
		int host = st->ops->add_host(st, &h, &err);
		check(host);
		struct stage_link l = {.ends = {{host, &t->addr, 1}, {0, NULL, 0}},
				       .delay_ns = {50000, 50000}};
		check(st->ops->add_link(st, &l, &err));
	}
	check(st->ops->start(st, &err));
}

/* Each node accepts one connection a millisecond. */
static void add_apps(struct mesh *m, bool ordered)
{
	m->apps = apps_new(st, 1);
	if (!m->apps)
		exit(1);
	for (int i = 0; i < nodes; i++) {
		struct app_server s = {.host = i + 1,
				       .addr = m->targets[i].addr,
				       .port = PORT,
				       .family = TCPWHY_IPV4,
				       .backlog = 128,
				       .accept_every_ns = S / 1000,
				       .upstream = -1};
		check(apps_add_server(m->apps, &s, &err));
	}
	for (int i = 0; i < nodes; i++) {
		size_t n = (size_t)(ordered ? nodes - 1 : nodes - 1 - i);
		struct app_client c = {.host = i + 1,
				       .family = TCPWHY_IPV4,
				       .targets = &m->targets[i + 1],
				       .n_targets = n ? n : 1,
				       .total = n,
				       .hold_ns = APP_FOREVER};
		m->clients[i] = apps_add_client(m->apps, &c, &err);
		check(m->clients[i]);
	}
}

static int is_done(void *ctx)
{
	struct mesh *m = ctx;

	while (m->done < nodes && apps_is_done(m->apps, m->clients[m->done]))
		m->done++;
	return m->done == nodes;
}

static void bench_mesh(const char *row, bool ordered)
{
	static struct mesh m;
	uint64_t connections = (uint64_t)nodes * (uint64_t)(nodes - 1) / (ordered ? 1 : 2);

	m.done = 0;
	open_world(row);
	uint64_t start = now_ns();
	add_nodes(&m);
	size_t idle = stage_world_cost(st).bytes;
	add_apps(&m, ordered);
	check(st->ops->run_until(st, is_done, &m, 300 * S, &err));
	check(st->ops->pause(st, 5 * S, &err));
	double took = ms_since(start) / 1e3;
	struct stage_world_cost cost = stage_world_cost(st);
	printf("%-7s %3d nodes, %6llu connections  %.2f s  (%.2f x the goal of 2 s)  %.0f ns an "
	       "event  %zu MiB, idle %.1f KiB a host  ghosts %llu\n",
	       row, nodes, (unsigned long long)connections, took, took / 2,
	       took * 1e9 / (double)cost.events, cost.bytes_max >> 20, (double)idle / 1024 / nodes,
	       (unsigned long long)apps_ghosts(m.apps, -1));
	apps_free(m.apps);
	st->ops->free(st);
}

static void bench_crowd(void)
{
	struct tcpwhy_addr local = address_v4_number(0x0a000001),
			   peer = address_v4_number(0x0b000001);
	struct stage_host h = {.name = "server"};
	uint64_t bytes;

	open_world("6.18.y");
	check(st->ops->add_host(st, &h, &err));
	check(st->ops->start(st, &err));
	int s = st->ops->socket(st, 0, TCPWHY_IPV4, 0);
	struct tcpwhy_addr any = address_v4_number(0);
	check(st->ops->bind(st, s, &any, PORT));
	check(st->ops->listen(st, s, 128));
	uint64_t start = now_ns();
	check(st->ops->crowd(st, s, &local, &peer, 20, 10000, 50000, &bytes, &err));
	double took = ms_since(start) / 1e3;
	printf("one port, 1000000 connections  %.2f s  (%.2f x the goal of 5 s)  %.1f bytes a "
	       "connection (%.2f x the goal of 100)\n",
	       took, took / 5, (double)bytes / 1e6, (double)bytes / 1e8);
	st->ops->free(st);
}

int main(int argc, char **argv)
{
	static const char *const rows[] = {"3.10", "6.18.y"};

	nodes = argc > 1 ? atoi(argv[1]) : 320;
	if (nodes < 2 || nodes > NODES_MAX) {
		fprintf(stderr, "world: 2 to %d nodes\n", NODES_MAX);
		return 2;
	}
	for (unsigned i = 0; i < 2; i++) {
		bench_mesh(rows[i], false);
		bench_mesh(rows[i], true);
	}
	bench_crowd();
	return 0;
}
