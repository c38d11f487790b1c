/* SPDX-License-Identifier: MIT */
#include "explain/asked.h"

#include <errno.h>
#include <string.h>

/* A holder in short: 136,000 of them are ranked, a hundred are shown. */
struct ranked {
	uint64_t expires_ns; /* UINT64_MAX: no timer */
	uint32_t index;      /* in snap->owners */
	uint32_t why;
};

/* A heap with the least of those kept on top, so that most newcomers are turned away by one
 * compare. */
struct heap {
	struct ranked *at;
	size_t n, room;
};

static unsigned weight(uint32_t why)
{
	return why == TCPWHY_H_UNKNOWN ? 0 : why + 1;
}

/* Heaviest class first, then longest time left, then as seen. */
static bool before(const struct ranked *a, const struct ranked *b)
{
	if (weight(a->why) != weight(b->why))
		return weight(a->why) > weight(b->why);
	if (a->expires_ns != b->expires_ns)
		return a->expires_ns > b->expires_ns;
	return a->index < b->index;
}

static void swap(struct ranked *a, struct ranked *b)
{
	struct ranked t = *a;

	*a = *b;
	*b = t;
}

static void sink(struct heap *h, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++)
			if (before(&h->at[least], &h->at[child]))
				least = child;
		if (least == i)
			return;
		swap(&h->at[i], &h->at[least]);
		i = least;
	}
}

static void heap_add(struct heap *h, const struct ranked *r)
{
	if (h->n == h->room) {
		if (!h->room || !before(r, &h->at[0]))
			return;
		h->at[0] = *r;
		sink(h, 0);
		return;
	}
	size_t i = h->n++;
	h->at[i] = *r;
	for (; i && before(&h->at[(i - 1) / 2], &h->at[i]); i = (i - 1) / 2)
		swap(&h->at[(i - 1) / 2], &h->at[i]);
}

/* Leaves the array in order, first the one that weighs most. */
static void heap_sort(struct heap *h)
{
	size_t n = h->n;

	while (h->n > 1) {
		h->n--;
		swap(&h->at[0], &h->at[h->n]);
		sink(h, 0);
	}
	h->n = n;
}

static void *grab(const struct asked *a, size_t size)
{
	void *p = a->memory->resize(a->memory->ctx, NULL, 0, size);

	if (p)
		memset(p, 0, size);
	return p;
}

int holders_weigh(struct asked *a)
{
	struct tcpwhy_verdict *v = &a->verdict;
	struct tcpwhy_cursor cursor = {0};
	struct tcpwhy_owner o;
	enum tcpwhy_holder why;

	if (!v->holders)
		return 0;
	a->why = grab(a, a->few.snap.owners_n);
	if (!a->why)
		return -ENOMEM;
	memset(a->why, NOT_A_HOLDER, a->few.snap.owners_n);
	while (tcpwhy_next_holder(a->engine, &a->question->bind, &cursor, &o, &why))
		a->why[o.tag] = (uint8_t)why;
	v->holders = 0;
	memset(v->by_class, 0, sizeof(v->by_class));
	for (size_t i = 0; i < a->few.kind_n; i++) {
		uint8_t c = a->why[a->few.kind[i]];
		if (c == NOT_A_HOLDER)
			continue;
		v->holders++;
		v->by_class[c]++;
	}
	return 0;
}

static void collect(const struct asked *a, struct heap *h)
{
	for (size_t i = 0; i < a->few.kind_n; i++) {
		const struct tcpwhy_owner *o = &a->snap->owners[i].o;
		uint8_t why = a->why[a->few.kind[i]];
		bool timed = o->timewait && o->expires_ns;

		if (why != NOT_A_HOLDER)
			heap_add(h, &(struct ranked){timed ? o->expires_ns : UINT64_MAX,
						     (uint32_t)i, why});
	}
}

int holders_rank(const struct asked *a, struct result *out)
{
	struct heap h = {.room = a->verdict.holders};

	if (!a->question->all_holders && h.room > EXPLAIN_HOLDERS)
		h.room = EXPLAIN_HOLDERS;
	if (!h.room)
		return 0;
	h.at = grab(a, h.room * sizeof(*h.at));
	if (!h.at)
		return -ENOMEM;
	collect(a, &h);
	heap_sort(&h);
	out->holders = h.n ? grab(a, h.n * sizeof(*out->holders)) : NULL;
	if (out->holders)
		out->holders_n = h.n;
	for (size_t i = 0; i < out->holders_n; i++) {
		out->holders[i].seen = a->snap->owners[h.at[i].index];
		out->holders[i].why = (enum tcpwhy_holder)h.at[i].why;
	}
	int r = h.n && !out->holders ? -ENOMEM : 0;
	a->memory->resize(a->memory->ctx, h.at, h.room * sizeof(*h.at), 0);
	return r;
}

int holders_one(const struct asked *a, struct result *out)
{
	struct tcpwhy_owner o;

	if (!a->verdict.first || tcpwhy_get(a->engine, a->verdict.first, &o) ||
	    o.tag >= a->snap->owners_n)
		return 0;
	out->holders = grab(a, sizeof(*out->holders));
	if (!out->holders)
		return -ENOMEM;
	out->holders_n = 1;
	out->holders[0].seen = a->snap->owners[o.tag];
	out->holders[0].why = TCPWHY_H_CONN_WITHOUT_REUSE;
	return 0;
}
