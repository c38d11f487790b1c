/* SPDX-License-Identifier: MIT
 *
 * heap.h - the engine's memory from malloc(), for whoever has no other
 *
 * Not for the pure folders, which take memory only from their caller.
 */
#ifndef TCPWHY_LIVE_HEAP_H
#define TCPWHY_LIVE_HEAP_H

#include "tcpwhy/engine.h"

/* As struct tcpwhy_memory wants it; ctx and old_size are not looked at. */
void *heap_resize(void *ctx, void *old, size_t old_size, size_t new_size);

/* Without a limit. */
extern const struct tcpwhy_memory heap_memory;

#endif
