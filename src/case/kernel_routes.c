/* SPDX-License-Identifier: MIT
 *
 * Every way that follows from the links: the fewest boxes, and only boxes, in between
 *
 * The rule is the model's (world/route.c): a way leads to the end that has the address and comes in
 * through it where it can; the older link among equals. Neighbours on a link know each other's
 * addresses already (stage_kernel.h).
 */
#include "case/kernel_state.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>

struct map {
	struct kernel_stage *k;
	size_t *first; /* of a node's links in links[]; first[n_nodes] ends the last */
	int *links;    /* by node, the older first */
	int *via;      /* by node: the link that leads to the target, -1 */
	int *queue;
};

static void map_fini(struct map *m)
{
	free(m->first);
	free(m->links);
	free(m->via);
	free(m->queue);
}

static int map_init(struct map *m, struct kernel_stage *k)
{
	*m = (struct map){
		.k = k,
		.first = calloc(k->n_nodes + 2, sizeof(*m->first)),
		.links = calloc(2 * k->n_links + 1, sizeof(*m->links)),
		.via = calloc(k->n_nodes + 1, sizeof(*m->via)),
		.queue = calloc(k->n_nodes + 1, sizeof(*m->queue)),
	};
	if (!m->first || !m->links || !m->via || !m->queue) {
		map_fini(m);
		return -ENOMEM;
	}
	for (size_t node = 0; node < k->n_nodes; node++) {
		size_t n = m->first[node];
		for (size_t l = 0; l < k->n_links; l++)
			if (k->links[l].ends[0].node == (int)node ||
			    k->links[l].ends[1].node == (int)node)
				m->links[n++] = (int)l;
		m->first[node + 1] = n;
	}
	return 0;
}

static int side_of(const struct map *m, int link, int node)
{
	return m->k->links[link].ends[1].node == node;
}

static int other_node(const struct map *m, int link, int node)
{
	return m->k->links[link].ends[!side_of(m, link, node)].node;
}

static size_t reach(struct map *m, int node, int link, size_t last)
{
	if (m->via[node] >= 0)
		return last;
	m->via[node] = link;
	m->queue[last] = node;
	return last + 1;
}

/* Breadth first, from those in the queue on. */
static void spread(struct map *m, size_t last)
{
	for (size_t i = 0; i < last; i++) {
		const int node = m->queue[i];
		if (!m->k->nodes[node].is_box)
			continue;
		for (size_t l = m->first[node]; l < m->first[node + 1]; l++)
			last = reach(m, other_node(m, m->links[l], node), m->links[l], last);
	}
}

/* From the end backwards; through its node's other links only who is not reached through this. */
static void search(struct map *m, int link, int target)
{
	for (size_t i = 0; i < m->k->n_nodes; i++)
		m->via[i] = -1;
	m->via[target] = link; /* nobody asks: it is local there */
	spread(m, reach(m, other_node(m, link, target), link, 0));
	size_t last = 0;
	for (size_t l = m->first[target]; l < m->first[target + 1]; l++)
		last = reach(m, other_node(m, m->links[l], target), m->links[l], last);
	spread(m, last);
}

/* A host without a source address of that family there has no way. */
static bool can_leave(const struct map *m, int node, bool v4)
{
	const struct kernel_end *e =
		&m->k->links[m->via[node]].ends[side_of(m, m->via[node], node)];

	for (size_t i = 0; i < e->n_addrs; i++)
		if (address_is_v4(&e->addrs[i]) == v4)
			return true;
	return m->k->nodes[node].is_box;
}

static int add_way(const struct map *m, int node, const struct tcpwhy_addr *to, unsigned len,
		   struct err *err)
{
	const bool v4 = address_is_v4(to);
	const int link = m->via[node];

	if (!can_leave(m, node, v4))
		return 0;
	return stage_kernel_add_way(m->k->scene, link, side_of(m, link, node), to,
				    (uint8_t)(v4 ? len - 96 : len), err);
}

/* Ways from everywhere to the addresses of an end. */
static int add_ways_to_end(struct map *m, int link, int side, struct err *err)
{
	const struct kernel_end *e = &m->k->links[link].ends[side];
	const int neighbour = m->k->links[link].ends[!side].node;

	if (e->n_addrs)
		search(m, link, e->node);
	for (int node = 0; e->n_addrs && (size_t)node < m->k->n_nodes; node++) {
		if (node == e->node || node == neighbour || m->via[node] < 0)
			continue;
		for (size_t i = 0; i < e->n_addrs; i++) {
			const int rc = add_way(m, node, &e->addrs[i], 128, err);
			if (rc)
				return rc;
		}
	}
	return 0;
}

/* Through the host's first link. */
static int add_ways_to_prefix(struct map *m, const struct kernel_prefix *p, struct err *err)
{
	if (m->first[p->host] == m->first[p->host + 1])
		return 0;
	search(m, m->links[m->first[p->host]], p->host);
	for (int node = 0; (size_t)node < m->k->n_nodes; node++) {
		if (node == p->host || m->via[node] < 0)
			continue;
		const int rc = add_way(m, node, &p->is.addr, p->is.len, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_prefix(struct map *m, const struct kernel_prefix *p, struct err *err)
{
	const bool v4 = address_is_v4(&p->is.addr);
	int rc = 0;

	if (p->is.len > 128 || (v4 && p->is.len < 96))
		return kernel_fail(err, -EINVAL, "the length of a prefix");
	if (p->is.local)
		rc = stage_kernel_add_local(m->k->scene, p->host, &p->is.addr,
					    (uint8_t)(v4 ? p->is.len - 96 : p->is.len), err);
	if (!rc && p->is.routed)
		rc = add_ways_to_prefix(m, p, err);
	return rc;
}

int kernel_routes_make(struct kernel_stage *k, struct err *err)
{
	struct map m;
	int rc = map_init(&m, k);

	if (rc)
		return kernel_fail(err, rc, "the routes");
	for (size_t l = 0; l < k->n_links && !rc; l++)
		for (int side = 0; side < 2 && !rc; side++)
			rc = add_ways_to_end(&m, (int)l, side, err);
	for (size_t i = 0; i < k->n_prefixes && !rc; i++)
		rc = add_prefix(&m, &k->prefixes[i], err);
	map_fini(&m);
	return rc;
}
