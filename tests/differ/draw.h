/* SPDX-License-Identifier: MIT
 *
 * draw.h - random numbers that a seed repeats
 */
#ifndef DIFFER_DRAW_H
#define DIFFER_DRAW_H

#include <stdbool.h>
#include <stdint.h>

/* The seed of one script of a run. */
uint64_t draw_seed(uint64_t run_seed, uint64_t script);

/* *state is a seed, any is good, and then what came of it. */
uint64_t draw_next(uint64_t *state);
uint32_t draw_below(uint64_t *state, uint32_t n);
bool draw_chance(uint64_t *state, unsigned percent);

#endif
