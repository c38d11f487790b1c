/* SPDX-License-Identifier: MIT
 *
 * logs_fuzz.c - logs of any bytes: what comes out is sound, and the same however the bytes are cut
 *
 * The first byte of the input says where.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "live/heap.h"
#include "logs/logs.h"

#define HITS_MAX 512

struct hits {
	struct log_hit hit[HITS_MAX];
	size_t n;
	uint64_t line;
};

static void take(void *ctx, const struct log_hit *h)
{
	struct hits *hits = ctx;

	promise(h->format && h->line > hits->line);
	hits->line = h->line;
	promise(h->error == EADDRINUSE || h->error == EADDRNOTAVAIL || h->error == ECONNRESET ||
		h->error == ETIMEDOUT || h->error == ECONNREFUSED);
	promise(h->port_known ? h->port > 0 : h->port == 0);
	promise(memchr(h->host, '\0', sizeof(h->host)) && memchr(h->text, '\0', sizeof(h->text)));
	for (const char *p = h->text; *p; p++)
		promise((unsigned char)*p >= 0x20 && *p != 0x7f);
	if (hits->n < HITS_MAX)
		hits->hit[hits->n++] = *h;
}

static void read_in(struct logs *l, const uint8_t *data, size_t size, size_t piece)
{
	while (size) {
		size_t n = piece < size ? piece : size;
		char *copy = malloc(n); /* so that the sanitizer sees a read beyond it */
		promise(copy);
		memcpy(copy, data, n);
		logs_feed(l, copy, n);
		free(copy);
		data += n;
		size -= n;
	}
	logs_end(l);
}

static bool same(const struct log_hit *a, const struct log_hit *b)
{
	return a->line == b->line && a->format == b->format && a->error == b->error &&
	       a->call == b->call && a->port == b->port && a->family == b->family &&
	       !memcmp(&a->addr, &b->addr, sizeof(a->addr)) && !strcmp(a->host, b->host) &&
	       !strcmp(a->text, b->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct hits whole, pieces; /* large, and of no meaning between runs */
	static struct logs *one, *other;  /* compiling the patterns takes longer than a run */

	if (!one) {
		one = logs_new(&heap_memory, take, &whole);
		other = logs_new(&heap_memory, take, &pieces);
		promise(one && other);
	}
	whole.n = pieces.n = 0;
	whole.line = pieces.line = 0;
	read_in(one, data, size, size ? size : 1);
	read_in(other, data, size, size ? data[0] + 1u : 1);
	promise(whole.n == pieces.n);
	for (size_t i = 0; i < whole.n; i++)
		promise(same(&whole.hit[i], &pieces.hit[i]));
	return 0;
}
