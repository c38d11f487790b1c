/* SPDX-License-Identifier: MIT */
#include "draw.h"

uint64_t draw_seed(uint64_t run_seed, uint64_t script)
{
	return run_seed * 0x9e3779b97f4a7c15u + script * 0xd1342543de82ef95u;
}

/* splitmix64: one multiplication chain, any seed is good. */
uint64_t draw_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint32_t draw_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((draw_next(state) >> 32) * n >> 32);
}

bool draw_chance(uint64_t *state, unsigned percent)
{
	return draw_below(state, 100) < percent;
}
