/* SPDX-License-Identifier: MIT */
#include "shorten.h"

enum { ROUNDS = 10 };

static bool leave_out_chunks(const struct shorten *how)
{
	bool shorter = false;

	for (size_t chunk = *how->n / 2; chunk; chunk /= 2)
		for (size_t end = *how->n; end >= chunk; end -= end < chunk + 1 ? end : chunk) {
			if (end > *how->n)
				end = *how->n;
			if (end < chunk)
				break;
			shorter |= how->leave_out(how->ctx, end - chunk, chunk);
		}
	return shorter;
}

static bool simplify_all(const struct shorten *how)
{
	bool simpler = how->simplify_whole && how->simplify_whole(how->ctx);

	for (size_t i = 0; i < *how->n; i++)
		for (unsigned way = 0; way < how->ways && i < *how->n; way++)
			simpler |= how->simplify(how->ctx, i, way);
	return simpler;
}

void shorten(const struct shorten *how)
{
	for (int rounds = 0; rounds < ROUNDS; rounds++)
		if (!leave_out_chunks(how) && !simplify_all(how))
			break;
}
