/* SPDX-License-Identifier: MIT
 *
 * figures.h - how benchmarks measure: the clock, the median of some rounds, the best of them
 */
#ifndef TCPWHY_BENCH_FIGURES_H
#define TCPWHY_BENCH_FIGURES_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline double ms_since(uint64_t start_ns)
{
	return (double)(now_ns() - start_ns) / 1e6;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *times, unsigned n)
{
	qsort(times, n, sizeof(*times), compare_doubles);
	return n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
}

/* *best is 0 before the first. */
static inline void keep_best(double *best, double time)
{
	if (*best <= 0 || time < *best)
		*best = time;
}

#endif
