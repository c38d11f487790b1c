/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/memory.h"

static bool within_limit(const struct memory *m, size_t more)
{
	return !m->from.limit || (more <= m->from.limit && m->bytes <= m->from.limit - more);
}

static uint32_t next_size(uint32_t size, uint32_t want)
{
	uint32_t grown = size + size / 2;

	if (grown < 8)
		grown = 8;
	return grown < want || grown < size ? want : grown;
}

bool memory_grow(struct memory *m, void *block, uint32_t *size, uint32_t want, size_t entry)
{
	void *old, *grown;

	if (want <= *size)
		return true;
	if (want >= NIL / 2)
		return false;
	uint32_t entries = next_size(*size, want);
	size_t old_bytes = *size * entry, new_bytes = entries * entry;
	if (!within_limit(m, new_bytes - old_bytes))
		return false;
	memcpy(&old, block, sizeof(old));
	grown = m->from.resize(m->from.ctx, old, old_bytes, new_bytes);
	if (!grown)
		return false;
	memset((char *)grown + old_bytes, 0, new_bytes - old_bytes);
	memcpy(block, &grown, sizeof(grown));
	m->bytes += new_bytes - old_bytes;
	*size = entries;
	return true;
}

void *memory_new(struct memory *m, size_t bytes)
{
	void *block = within_limit(m, bytes) ? m->from.resize(m->from.ctx, NULL, 0, bytes) : NULL;

	if (!block)
		return NULL;
	memset(block, 0, bytes);
	m->bytes += bytes;
	return block;
}

void memory_drop(struct memory *m, void *block, uint32_t size, size_t entry)
{
	void *old;

	memcpy(&old, block, sizeof(old));
	if (old)
		m->from.resize(m->from.ctx, old, size * entry, 0);
	memset(block, 0, sizeof(old));
	m->bytes -= size * entry;
}

bool chains_want_more(const struct chains *c)
{
	return c->entries * 2 >= c->size;
}

bool chains_resize(struct memory *m, struct chains *c)
{
	uint32_t size = c->size ? c->size : 8, *head;

	while (size <= c->entries * 2 && size < 1u << 30)
		size *= 2;
	if (size == c->size)
		return true;
	if (!within_limit(m, size * sizeof(*head)))
		return false;
	head = m->from.resize(m->from.ctx, NULL, 0, size * sizeof(*head));
	if (!head)
		return false;
	memory_drop(m, &c->head, c->size, sizeof(*head));
	memset(head, 0xff, size * sizeof(*head)); /* NIL */
	m->bytes += size * sizeof(*head);
	c->head = head;
	c->size = size;
	return true;
}
