/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "cli/command.h"

static void *heap_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

const struct tcpwhy_memory cli_heap = {.resize = heap_resize};
