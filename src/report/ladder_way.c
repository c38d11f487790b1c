/* SPDX-License-Identifier: MIT */
#include "report/ladder_way.h"

#include <stdlib.h>
#include <string.h>

bool way_init(struct way *w, const struct play *p)
{
	*w = (struct way){.column = malloc(p->nodes_n + 1),
			  .has_link = malloc((p->links_n + 1) * sizeof(bool))};
	if (w->column && w->has_link)
		return true;
	way_fini(w);
	return false;
}

void way_fini(struct way *w)
{
	free(w->column);
	free(w->has_link);
}

static void clear(struct way *w, const struct play *p)
{
	w->columns = 0;
	memset(w->nodes, 0, sizeof(w->nodes));
	memset(w->column, -1, p->nodes_n);
	memset(w->has_link, 0, p->links_n * sizeof(bool));
}

/* False: it stands in another column already. */
static bool place(struct way *w, int node, int column)
{
	if (w->column[node] < 0) {
		w->column[node] = (int8_t)column;
		w->nodes[column]++;
	}
	return w->column[node] == column;
}

static bool has_end(const struct play_link *link, int node)
{
	return link->node[0] == node || link->node[1] == node;
}

static int other_end(const struct play_link *link, int node)
{
	return link->node[link->node[0] == node];
}

/* The links of a box: those to hosts on its left and on its right, and those to boxes. */
struct around {
	unsigned left, right, boxes;
	uint32_t to_box;
};

static struct around look_around(const struct play *p, int box)
{
	struct around a = {0};

	for (uint32_t i = 0; i < p->links_n; i++) {
		const struct play_link *link = &p->links[i];
		if (!has_end(link, box))
			continue;
		if (p->nodes[other_end(link, box)].is_box) {
			a.boxes++;
			a.to_box = i;
		} else if (link->node[1] == box) {
			a.left++;
		} else {
			a.right++;
		}
	}
	return a;
}

static bool find_box(struct way *w, const struct play *p, int box, const struct around *a)
{
	const bool same_side = !a->left || !a->right;
	bool ok = !same_side || a->left + a->right == 2;
	int found = 0;

	w->columns = 3;
	place(w, box, 1);
	for (uint32_t i = 0; i < p->links_n && ok; i++) {
		const struct play_link *link = &p->links[i];
		if (!has_end(link, box))
			continue;
		const bool right = same_side ? found++ : link->node[0] == box;
		ok = place(w, other_end(link, box), right ? 2 : 0);
		w->has_link[i] = true;
	}
	return ok;
}

static bool find_boxes(struct way *w, const struct play *p, uint32_t between)
{
	const int *box = p->links[between].node;
	bool ok = true;

	w->columns = 4;
	place(w, box[0], 1);
	place(w, box[1], 2);
	w->has_link[between] = true;
	for (uint32_t i = 0; i < p->links_n && ok; i++) {
		const struct play_link *link = &p->links[i];
		for (int side = 0; side < 2 && i != between; side++) {
			if (!has_end(link, box[side]))
				continue;
			ok &= place(w, other_end(link, box[side]), side ? 3 : 0);
			w->has_link[i] = true;
		}
	}
	return ok && w->nodes[0] && w->nodes[3];
}

/* Where boxes are at that link, and the links around them are a ladder that is known. */
static bool find_chain(struct way *w, const struct play *p, uint32_t link)
{
	const int *node = p->links[link].node;
	const int box = p->nodes[node[0]].is_box ? node[0] : node[1];

	if (!p->nodes[box].is_box || node[0] == node[1])
		return false;
	const struct around a = look_around(p, box);
	if (!a.boxes)
		return find_box(w, p, box, &a);
	if (a.boxes > 1 || look_around(p, other_end(&p->links[a.to_box], box)).boxes > 1)
		return false;
	return find_boxes(w, p, a.to_box);
}

void way_find(struct way *w, const struct play *p, uint32_t link)
{
	clear(w, p);
	if (find_chain(w, p, link))
		return;
	clear(w, p);
	w->columns = 2;
	w->has_link[link] = true;
	place(w, p->links[link].node[0], 0);
	place(w, p->links[link].node[1], 1);
}
