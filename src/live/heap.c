/* SPDX-License-Identifier: MIT */
#include "live/heap.h"

#include <stdlib.h>

void *heap_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

const struct tcpwhy_memory heap_memory = {.resize = heap_resize};
