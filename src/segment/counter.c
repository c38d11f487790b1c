/* SPDX-License-Identifier: MIT */
#include "segment/counter.h"

#include <stddef.h>

static const char *const names[COUNTER_COUNT] = {
#define COUNTER_NAME(name) #name,
	COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

const char *counter_name(enum counter c)
{
	return (unsigned)c < COUNTER_COUNT ? names[c] : NULL;
}
