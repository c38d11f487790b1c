/* SPDX-License-Identifier: MIT */
#include "logs/group.h"

#include "base/address.h"
#include "base/text.h"

static bool same_place(const struct log_hit *a, const struct log_hit *b)
{
	return a->port == b->port && a->addr_known == b->addr_known && a->family == b->family &&
	       address_equal(&a->addr, &b->addr) && text_equal(a->host, b->host);
}

bool log_same_question(const struct log_hit *a, const struct log_hit *b)
{
	return a->call == b->call && a->reuseaddr == b->reuseaddr && same_place(a, b);
}

static bool belongs(const struct log_hit *a, const struct log_hit *b)
{
	return a->error == b->error && a->call == b->call && text_equal(a->format, b->format) &&
	       same_place(a, b);
}

struct log_group *log_groups_add(struct log_groups *g, const struct log_hit *hit, unsigned file)
{
	struct log_group *at = g->group;

	g->hits++;
	while (at < g->group + g->n && !belongs(&at->first, hit))
		at++;
	if (at == g->group + LOG_GROUPS_MAX) {
		g->lost++;
		return NULL;
	}
	if (at == g->group + g->n) {
		g->n++;
		*at = (struct log_group){.first = *hit, .first_file = file};
	}
	at->count++;
	at->last_file = file;
	at->last_line = hit->line;
	return at;
}
