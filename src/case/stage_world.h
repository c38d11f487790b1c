/* SPDX-License-Identifier: MIT
 *
 * stage_world.h - the model as a stage: any release, virtual time, the same history for a seed
 *
 * src/world behind the interface of stage.h. No privilege, no process, no wait.
 */
#ifndef TCPWHY_CASE_STAGE_WORLD_H
#define TCPWHY_CASE_STAGE_WORLD_H

#include "case/stage.h"

struct stage_world_config {
	const struct tcpwhy_row *row; /* of hosts that name no release */
	uint64_t seed;
	uint32_t trace_max;  /* records that are kept; 0: STAGE_WORLD_TRACE */
	size_t memory_limit; /* bytes in all; 0: none. Beyond it what needs memory fails: -ENOMEM,
			      * and so does the next wait. */
};

enum { STAGE_WORLD_TRACE = 65536 };

/* 0, or -errno with err->text. */
int stage_world_new(const struct stage_world_config *config, struct stage **out, struct err *err);

/* What it took, for measuring: bytes now and at most, and the events that were played. */
struct stage_world_cost {
	size_t bytes, bytes_max;
	uint64_t events;
};

struct stage_world_cost stage_world_cost(const struct stage *st);

#endif
