/* SPDX-License-Identifier: MIT
 *
 * unit.h - what every unit test begins with: cmocka in TAP, a seed that is printed and can be given
 * back
 */
#ifndef TCPWHY_TESTS_UNIT_H
#define TCPWHY_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define unit_run(name, tests)                                                                      \
	(cmocka_set_message_output(CM_OUTPUT_TAP),                                                 \
	 cmocka_run_group_tests_name(name, tests, NULL, NULL))

/* Skips the running test; the reason is printed, and counted by tools/run-tests. */
#define unit_skip(reason)                                                                          \
	do {                                                                                       \
		printf("# skip: %s\n", reason);                                                    \
		skip();                                                                            \
	} while (0)

/* The seed of random tests: TCPWHY_SEED, or 1. Printed, so that a failure can be played again. */
static inline uint64_t unit_seed(void)
{
	const char *s = getenv("TCPWHY_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : 1;

	printf("# seed %llu\n", (unsigned long long)seed);
	return seed * 0x9e3779b97f4a7c15u + 1;
}

static inline uint64_t unit_random(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#endif
