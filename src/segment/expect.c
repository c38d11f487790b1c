/* SPDX-License-Identifier: MIT
 *
 * Ahead of a segment: where a crowd is larger than the caches, waiting for memory is most of what a
 * segment costs. Each step fetches what the one before has found.
 */
#include "segment/state.h"

enum { LINE = 64 };

static void fetch(const void *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += LINE)
		__builtin_prefetch((const char *)at + i);
}

static void fetch_socket(const struct host *h, const struct segment *s)
{
	tcpwhy_sock sock =
		tcpwhy_find_tuple(h->engine, &s->to, s->to_port, &s->from, s->from_port, s->device);

	if (sock && tcb_number(sock) / TCB_CHUNK < h->chunks_size)
		fetch(tcb_at(h, tcb_number(sock)), sizeof(struct tcb));
}

void host_expect(const struct host *h, const struct segment *s, unsigned others)
{
	if (others > 1)
		tcpwhy_expect_tuple(h->engine, &s->to, s->to_port, &s->from, s->from_port,
				    others == 2);
	else
		fetch_socket(h, s);
}
