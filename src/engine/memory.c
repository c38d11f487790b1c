/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "engine/state.h"

static bool within_limit(const struct tcpwhy_engine *e, size_t more)
{
	return !e->memory.limit || (more <= e->memory.limit && e->bytes <= e->memory.limit - more);
}

static uint32_t next_size(uint32_t size, uint32_t want)
{
	uint32_t grown = size + size / 2;

	if (grown < 8)
		grown = 8;
	return grown < want || grown < size ? want : grown;
}

bool memory_grow(struct tcpwhy_engine *e, void *block, uint32_t *size, uint32_t want, size_t entry)
{
	void *old, *grown;

	if (want <= *size)
		return true;
	if (want >= NIL / 2)
		return false;
	uint32_t entries = next_size(*size, want);
	size_t old_bytes = *size * entry, new_bytes = entries * entry;
	if (!within_limit(e, new_bytes - old_bytes))
		return false;
	memcpy(&old, block, sizeof(old));
	grown = e->memory.resize(e->memory.ctx, old, old_bytes, new_bytes);
	if (!grown)
		return false;
	memset((char *)grown + old_bytes, 0, new_bytes - old_bytes);
	memcpy(block, &grown, sizeof(grown));
	e->bytes += new_bytes - old_bytes;
	*size = entries;
	return true;
}

void *memory_new(struct tcpwhy_engine *e, size_t bytes)
{
	void *block =
		within_limit(e, bytes) ? e->memory.resize(e->memory.ctx, NULL, 0, bytes) : NULL;

	if (!block)
		return NULL;
	memset(block, 0, bytes);
	e->bytes += bytes;
	return block;
}

void memory_drop(struct tcpwhy_engine *e, void *block, uint32_t size, size_t entry)
{
	void *old;

	memcpy(&old, block, sizeof(old));
	if (old)
		e->memory.resize(e->memory.ctx, old, size * entry, 0);
	memset(block, 0, sizeof(old));
	e->bytes -= size * entry;
}

bool chains_want_more(const struct chains *c)
{
	return c->entries * 2 >= c->size;
}

bool chains_resize(struct tcpwhy_engine *e, struct chains *c)
{
	uint32_t size = c->size ? c->size : 8, *head;

	while (size <= c->entries * 2 && size < 1u << 30)
		size *= 2;
	if (size == c->size)
		return true;
	if (!within_limit(e, size * sizeof(*head)))
		return false;
	head = e->memory.resize(e->memory.ctx, NULL, 0, size * sizeof(*head));
	if (!head)
		return false;
	memory_drop(e, &c->head, c->size, sizeof(*head));
	memset(head, 0xff, size * sizeof(*head)); /* NIL */
	e->bytes += size * sizeof(*head);
	c->head = head;
	c->size = size;
	return true;
}
