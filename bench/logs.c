/* SPDX-License-Identifier: MIT
 *
 * logs.c - how fast a log is read, beside a bare count of its lines
 *
 * Ordinary lines (access logs, journals, JSON, Java), generated in memory: MB/s of logs_feed() on
 * one core, of a memchr('\n') line count of the same bytes, and the ratio of their times. Then the
 * same with one line in a thousand, and one in ten, a failure. Medians.
 *
 * logs [MEGABYTES [ROUNDS]]
 */
#include "figures.h"
#include "live/heap.h"
#include "logs/logs.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 99
#define PIECE      262144 /* as tcpwhy log reads */

static const char *const ordinary[] = {
	"10.%u.%u.9 - - [11/Mar/2024:09:14:02 +0000] \"GET /static/app.%u.js HTTP/1.1\" 200 51234 "
	"\"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"\n",
	"Mar 11 09:14:02 web-%u sshd[%u]: Connection closed by authenticating user root port %u\n",
	"2024-03-11 09:14:%02u.118  INFO %u --- [nio-8080-exec-%u] c.e.shop.OrderController : "
	"order "
	"accepted, payment pending, notification queued\n",
	"{\"level\":\"info\",\"ts\":1710148442.%u,\"caller\":\"server/"
	"handler.go:%u\",\"msg\":\"request "
	"served\",\"status\":200,\"bytes\":%u}\n",
	"2024-03-11 09:14:02 UTC [%u] LOG:  checkpoint complete: wrote %u buffers (0.%u%%)\n",
	"I0311 09:14:02.118123 %u kubelet.go:%u] \"SyncLoop UPDATE\" pods=[\"default/web-%u\"]\n",
};

static const char *const failures[] = {
	"2024/03/11 09:14:02 [error] %u#7: *%u connect() failed (111: Connection refused) while "
	"connecting to upstream, client: 10.0.0.9, upstream: \"http://10.0.0.%u:8080/a\"\n",
	"2024/03/11 09:14:02 %u %u listen tcp :8%03u: bind: address already in use\n",
};

static unsigned draw(void)
{
	static uint64_t x = 1;

	x = x * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(x >> 40) % 250;
}

/* every: one line in so many is a failure; 0 none. */
static size_t fill(char *out, size_t size, unsigned every)
{
	size_t n = 0;

	for (unsigned i = 0; size - n > 512; i++) {
		const char *const *lines = every && i % every == 0 ? failures : ordinary;
		size_t kinds = lines == failures ? 2 : 6;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		n += (size_t)snprintf(out + n, size - n, lines[draw() % kinds], draw(), draw(),
				      draw());
#pragma GCC diagnostic pop
	}
	return n;
}

static void count_hit(void *ctx, const struct log_hit *hit)
{
	(void)hit;
	++*(size_t *)ctx;
}

static double time_logs(const char *data, size_t size, size_t *hits)
{
	*hits = 0;
	struct logs *l = logs_new(&heap_memory, count_hit, hits);
	if (!l)
		exit(1);
	uint64_t start = now_ns();
	for (size_t at = 0; at < size; at += PIECE)
		logs_feed(l, data + at, size - at < PIECE ? size - at : PIECE);
	logs_end(l);
	double took = ms_since(start);
	logs_free(l);
	return took;
}

static double time_count(const char *data, size_t size, size_t *lines)
{
	const char *end = data + size;
	uint64_t start = now_ns();

	*lines = 0;
	for (const char *p = data; p && p < end; ++*lines) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : end;
	}
	return ms_since(start);
}

static void measure(char *data, size_t size, unsigned every, unsigned rounds)
{
	double logs[ROUNDS_MAX], count[ROUNDS_MAX];
	size_t n = fill(data, size, every), hits = 0, lines = 0;

	for (unsigned r = 0; r < rounds; r++) {
		logs[r] = time_logs(data, n, &hits);
		count[r] = time_count(data, n, &lines);
	}
	double mb = (double)n / 1e6, l = median(logs, rounds) / 1e3,
	       c = median(count, rounds) / 1e3;
	printf("%4.0f MB, %7zu lines, %6zu failures  tcpwhy log %5.0f MB/s  memchr %5.0f MB/s  "
	       "ratio "
	       "of times %.1f\n",
	       mb, lines, hits, mb / l, mb / c, l / c);
}

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) * 1000000;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 9;
	char *data = size ? malloc(size) : NULL;

	if (!data || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "logs: at least 1 MB, 1 to %d rounds\n", ROUNDS_MAX);
		return 2;
	}
	measure(data, size, 0, rounds);
	measure(data, size, 1000, rounds);
	measure(data, size, 10, rounds);
	free(data);
	return 0;
}
