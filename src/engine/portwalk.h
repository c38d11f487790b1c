/* SPDX-License-Identifier: MIT
 *
 * portwalk.h - the order in which bind(0) and connect() look at the ports of a range
 *
 * Both step by two from a drawn offset and wrap: inet_csk_find_open_port() begins with the odd
 * offsets,
 * __inet_hash_connect() with the even ones. A range with an odd number of ports is walked as if it
 * had one less, but wraps only past its real end. So a pass over the odd offsets sees all of them,
 * and a pass over the even ones sees all but one: started at 0 it misses the last port, started
 * elsewhere it misses the first. With an odd range of five or more ports it is therefore chance
 * whether the last free port is found.
 */
#ifndef TCPWHY_ENGINE_PORTWALK_H
#define TCPWHY_ENGINE_PORTWALK_H

#include "tcpwhy/engine.h"

struct portwalk {
	uint32_t low, count; /* the ports low .. low + count - 1 */
	uint32_t step;       /* 2; 1 where every port is walked in one pass */
	enum tcpwhy_tri (*taken)(void *ctx, uint16_t port);
	void *ctx;
};

/* Free ports of a pass: certainly, and possibly. */
struct found {
	uint32_t certain, possible;
	uint16_t port; /* the first possible one */
};

/* What get_random_u32_below() is asked for: the count, made even. */
uint32_t portwalk_remaining(const struct portwalk *w);
/* The first certainly free port of the pass that starts at that offset; 0 if there is none. */
uint16_t portwalk_from(const struct portwalk *w, uint32_t offset);

/* The sets a pass can see. EVEN_LOW misses the last port of an odd range, EVEN_HIGH the first. */
enum portwalk_set { PORTWALK_ALL, PORTWALK_ODD, PORTWALK_EVEN_LOW, PORTWALK_EVEN_HIGH };
/* Whether a pass with that set sees the port at that offset. */
bool portwalk_sees(const struct portwalk *w, enum portwalk_set set, uint32_t offset);
struct found portwalk_look(const struct portwalk *w, enum portwalk_set set);
/* Whether there is a start from which the even pass sees what EVEN_HIGH sees. */
bool portwalk_has_high(const struct portwalk *w);
/* Whether some start of the even pass leads to that port, all odd ones aside. */
bool portwalk_even_leads_to(const struct portwalk *w, uint16_t port);
bool portwalk_is_odd(const struct portwalk *w, uint16_t port);
/* Whether the port is in the range and certainly free. */
bool portwalk_is_free(const struct portwalk *w, uint16_t port);

#endif
