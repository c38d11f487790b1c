/* SPDX-License-Identifier: MIT
 *
 * model.h - plays the steps of a script on src/segment
 *
 * The same questions as kernel.h has. Its clock is the kernel's: what a step shows depends on when
 * it is made.
 */
#ifndef PACKET_MODEL_H
#define PACKET_MODEL_H

#include "jiffies.h"
#include "player.h"

#include "segment/host.h"

struct model {
	struct host *host;
	tcpwhy_sock socks[SCRIPT_SOCKETS];
	bool open[SCRIPT_SOCKETS];
	uint8_t families[SCRIPT_SOCKETS];
	uint32_t draw;
	uint64_t zero[COUNTER_COUNT];
	struct wire wire;
};

/* A new host of that release, at that time. Sysctls that the kernel lacks are left as the row has
 * them. 0 or -ENOMEM. Ends with model_end(). */
int model_begin(struct model *m, const struct tcpwhy_row *row, const bool lacks[static SYSCTLS],
		const struct jiffies *jiffies, uint64_t now_ns);
void model_end(struct model *m);

/* Moves its clock; what happens by itself until then goes to o. */
void model_advance(struct model *m, uint64_t now_ns, struct observed *o);
void model_call(struct model *m, const struct step *s, struct observed *o);
void model_inject(struct model *m, const struct segment *s);
/* Takes what came and what is to be seen. */
void model_look(struct model *m, struct observed *o);

#endif
