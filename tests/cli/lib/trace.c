/* SPDX-License-Identifier: MIT
 *
 * trace.c - random calls and segments on two hosts of every release, and all that comes of them
 *
 * trace SEED FILL prints each call's result, each segment that leaves, where each socket stands,
 * and the counters at the end. Fresh memory is filled with the byte FILL, so that whoever reads it
 * before writing tells so in the comparison of two runs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "segment/host.h"

enum { SLOTS = 12, STEPS = 400, MS = 1000000 };

struct scene {
	struct host *host[2];
	struct tcpwhy_addr address[2];
	tcpwhy_sock slot[2][SLOTS];
	uint64_t x;
	int fill;
	struct tcpwhy_perturb perturb[2];
	uint32_t table[2][16];
};

static uint32_t below(struct scene *s, uint32_t n)
{
	uint64_t z = s->x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

static uint32_t draw(void *ctx, uint32_t n)
{
	return below(ctx, n);
}

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	const struct scene *s = ctx;
	char *block;

	if (!new_size) {
		free(old);
		return NULL;
	}
	block = malloc(new_size);
	if (!block)
		exit(1);
	memset(block, s->fill, new_size);
	if (old)
		memcpy(block, old, old_size < new_size ? old_size : new_size);
	free(old);
	return block;
}

/* -------------------------------------------------------------------------------------- printing
 */

static void print_segment(int from, const struct segment *g)
{
	printf("%d: %u>%u %02x seq %u ack %u len %u win %u ts %d %u %u sack %d %d %u\n", from,
	       g->from_port, g->to_port, g->flags, g->seq, g->ack, g->length, g->window,
	       g->has_timestamp, g->tsval, g->tsecr, g->sack_permitted, g->has_sack, g->sack_edge);
}

static void print_sockets(const struct scene *s)
{
	struct host_view v;

	for (int i = 0; i < 2; i++)
		for (int k = 0; k < SLOTS; k++) {
			if (host_look(s->host[i], s->slot[i][k], &v))
				continue;
			printf("%d.%d: %" PRIx64 " %s tw %d timer %u %" PRIu64
			       " re %u una %u nxt %u"
			       " rcv %u win %u unread %u err %d q %u/%u %u/%u\n",
			       i, k, v.sock, tcpwhy_state_name(v.state), v.timewait, v.timer,
			       v.expires_ns, v.retransmits, v.snd_una, v.snd_nxt, v.rcv_nxt,
			       v.window, v.unread, v.error, v.accept_queue, v.backlog, v.syn_queue,
			       v.young);
		}
}

static void print_counters(const struct scene *s)
{
	for (int i = 0; i < 2; i++)
		for (unsigned c = 0; c < COUNTER_COUNT; c++)
			if (host_counter(s->host[i], c))
				printf("%d %s %" PRIu64 "\n", i, counter_name(c),
				       host_counter(s->host[i], c));
}

/* --------------------------------------------------------------------------------------- the steps
 */

/* Of what leaves, a tenth is lost, a tenth comes twice, and a tenth is changed. */
static void carry(struct scene *s, int from)
{
	struct segment g;

	for (unsigned n = 0; n < 50 && host_segment_out(s->host[from], &g); n++) {
		uint32_t fate = below(s, 10);
		print_segment(from, &g);
		if (fate == 0)
			continue;
		if (fate == 1)
			host_segment_in(s->host[!from], &g);
		if (fate == 2) {
			g.flags ^= (uint8_t)(1u << below(s, 5));
			g.seq += below(s, 5) - 2;
			g.tsval -= below(s, 2) * 5000;
		}
		host_segment_in(s->host[!from], &g);
	}
}

static void call(struct scene *s, int i)
{
	struct host *h = s->host[i];
	tcpwhy_sock *slot = &s->slot[i][below(s, SLOTS)];
	const uint32_t what = below(s, 10);
	int64_t got = 0;

	if (what < 2) {
		host_close(h, *slot);
		host_socket(h, TCPWHY_IPV4, 0, slot);
		got = host_setsockopt(h, *slot, TCPWHY_SO_REUSEADDR, 1);
	} else if (what == 2) {
		got = host_bind(h, *slot, &s->address[i], (uint16_t)(8000 + below(s, 2)), NULL);
		got += 1000 * host_listen(h, *slot, (int)below(s, 4), NULL);
	} else if (what < 5) {
		got = host_connect(h, *slot, &s->address[!i], (uint16_t)(8000 + below(s, 2)),
				   &s->address[i], NULL);
	} else if (what == 5) {
		got = host_accept(h, *slot, 0, &s->slot[i][below(s, SLOTS)]);
	} else if (what == 6) {
		got = host_send(h, *slot, below(s, 5000));
	} else if (what == 7) {
		got = host_recv(h, *slot, below(s, 5000));
	} else if (what == 8) {
		got = host_shutdown(h, *slot, (enum tcpwhy_how)below(s, 3));
	} else {
		got = host_close(h, *slot);
	}
	printf("%d call %u %" PRId64 "\n", i, what, got);
}

static void wait(struct scene *s)
{
	uint64_t t = tcpwhy_now(host_engine(s->host[0]));

	t += below(s, 4) ? below(s, 50) * (uint64_t)MS : below(s, 90000) * (uint64_t)MS;
	for (int i = 0; i < 2; i++)
		host_advance(s->host[i], t);
	printf("now %" PRIu64 "\n", t);
}

static void play(struct scene *s, const struct tcpwhy_row *row)
{
	printf("row %s\n", row->name);
	memset(s->table, 0, sizeof(s->table));
	memset(s->slot, 0, sizeof(s->slot));
	for (int i = 0; i < 2; i++) {
		s->address[i] =
			(struct tcpwhy_addr){.b = {[10] = 0xff, 0xff, 10, 0, 0, (uint8_t)i}};
		s->perturb[i] = (struct tcpwhy_perturb){.table = s->table[i], .size = 16};
		struct host_config config = {.row = row,
					     .memory = {.resize = resize, .ctx = s},
					     .draw = draw,
					     .ctx = s,
					     .perturb = &s->perturb[i],
					     .clock_ms = 1000 * (uint32_t)(i + 1)};
		s->host[i] = host_new(&config);
		tcpwhy_add_local(host_engine(s->host[i]), &s->address[i], 128, TCPWHY_LOCAL, 2, 0);
	}
	for (int n = 0; n < STEPS; n++) {
		call(s, (int)below(s, 2));
		for (uint32_t c = below(s, 4); c; c--)
			carry(s, (int)(c & 1));
		wait(s);
		print_sockets(s);
	}
	print_counters(s);
	for (int i = 0; i < 2; i++)
		host_free(s->host[i]);
}

int main(int argc, char **argv)
{
	struct scene s = {0};

	if (argc != 3)
		return 2;
	s.x = strtoull(argv[1], NULL, 0);
	s.fill = atoi(argv[2]);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		play(&s, tcpwhy_row_at(i));
	return 0;
}
