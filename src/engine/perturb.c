/* SPDX-License-Identifier: MIT
 *
 * The start of connect()'s search: a keyed hash per destination, re-keyed every ten seconds
 * (5.18+), and a table of steps that connects share by hash, so that ports are neither predictable
 * nor taken in a row. Before the table (5.12) one hint of the machine did its work.
 */
#include <string.h>

#include "engine/state.h"

#define EPOCH_NS (10 * NS_PER_S)

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 (Aumasson and Bernstein) of whole 64-bit words. */
static uint64_t siphash(const uint64_t key[2], const uint64_t *word, size_t words)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
	uint64_t last = (uint64_t)words << 59; /* the length in bytes, in the top byte */

	for (size_t i = 0; i <= words; i++) {
		uint64_t m = i < words ? word[i] : last;
		v[3] ^= m;
		sip_round(v);
		sip_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t perturb_start(const struct tcpwhy_engine *e, const struct tcpwhy_perturb *p,
		       const struct sock *s, uint32_t remaining, uint32_t *entry)
{
	struct tcpwhy_addr local = ref_address(e, sock_local(s)),
			   peer = ref_address(e, sock_peer(s));
	uint64_t word[5];

	memcpy(word, local.b, 16);
	memcpy(word + 2, peer.b, 16);
	word[4] = s->peer_port;
	if (has(e, TCPWHY_F_START_REKEYED))
		word[4] |= e->now_ns / EPOCH_NS << 16;
	uint64_t hash = siphash(p->key, word, 5);
	*entry = has(e, TCPWHY_F_PERTURB_TABLE) ? (uint32_t)hash & (p->size - 1) : 0;
	/* 3.10 begins with the port after the offset. */
	uint32_t first = has(e, TCPWHY_F_CONNECT_PARITY) ? 0 : 1;
	return (p->table[*entry] + (uint32_t)(hash >> 32) + first) % remaining;
}

void perturb_advance(const struct tcpwhy_engine *e, const struct tcpwhy_choice *choice,
		     uint32_t entry, uint32_t walked, uint32_t step)
{
	if (!has(e, TCPWHY_F_PERTURB_TABLE)) {
		choice->perturb->table[entry] += walked + step;
		return;
	}
	uint32_t noise = choice->draw(choice->ctx, 8) * step;

	choice->perturb->table[entry] += (walked > noise ? walked : noise) + step;
}
