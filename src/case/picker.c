/* SPDX-License-Identifier: MIT */
#include "case/picker.h"

#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

static uint32_t draw(struct picker *p, uint32_t n)
{
	uint64_t z = p->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(((z ^ z >> 31) >> 32) * n >> 32);
}

uint32_t picker_ports(const struct picker *p)
{
	return (uint32_t)p->high - p->low + 1;
}

void picker_init(struct picker *p, enum picker_kind kind, uint16_t low, uint16_t high,
		 uint64_t seed)
{
	must(low && low <= high);
	*p = (struct picker){.kind = kind, .low = low, .high = high, .random = seed};
	for (unsigned i = 0; i < 2; i++)
		p->secret[i] = (uint64_t)draw(p, UINT32_MAX) << 32 | draw(p, UINT32_MAX);
	for (unsigned i = 0; i < PICKER_TABLE; i++)
		p->table[i] = draw(p, 65536);
	p->next = kind == PICKER_SEQUENTIAL ? 0 : draw(p, 65536);
}

/* F() and G() of RFC 6056, by another secret each. */
static uint32_t hash_of(uint64_t secret, const struct tcpwhy_addr *source,
			const struct tcpwhy_addr *peer, uint16_t peer_port)
{
	uint64_t word[4];
	uint32_t mix = hash_mix(secret, peer_port);

	memcpy(word, source->b, 16);
	memcpy(word + 2, peer->b, 16);
	for (unsigned i = 0; i < 4; i++)
		mix = hash_mix(word[i], (uint64_t)mix << 32 | i);
	return mix;
}

uint16_t picker_port(struct picker *p, const struct tcpwhy_addr *source,
		     const struct tcpwhy_addr *peer, uint16_t peer_port, uint32_t attempt)
{
	uint32_t n = picker_ports(p), i = 0;
	uint32_t *counter;

	switch (p->kind) {
	case PICKER_KERNEL:
		return 0;
	case PICKER_SEQUENTIAL:
		i = p->next++;
		break;
	case PICKER_RFC6056_1:
		i = p->next = attempt ? p->next + 1 : draw(p, n);
		break;
	case PICKER_RFC6056_2:
		i = draw(p, n);
		break;
	case PICKER_RFC6056_3:
		i = hash_of(p->secret[0], source, peer, peer_port) % n + p->next++ % n;
		break;
	case PICKER_RFC6056_4:
		counter = &p->table[hash_of(p->secret[1], source, peer, peer_port) % PICKER_TABLE];
		i = hash_of(p->secret[0], source, peer, peer_port) % n + (*counter)++ % n;
		break;
	case PICKER_RFC6056_5:
		i = p->next += draw(p, PICKER_STEP) + 1;
		break;
	}
	return (uint16_t)(p->low + i % n);
}
