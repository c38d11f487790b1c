/* SPDX-License-Identifier: MIT
 *
 * sandbox.h - a Lua state for text from anywhere
 *
 * Runs one chunk within bounds of instructions, memory and time, with a library in which no call
 * does more work than it is charged for, nothing reaches the system, and nothing differs from run
 * to run: no os, io, require, load, debug, coroutines, xpcall, finalizers or weak tables; no
 * patterns (string.find is plain); pairs() goes in order; math.random() follows the seed;
 * tostring() shows no address. What a case can do beyond that is put into its globals by the caller
 * (story.h).
 *
 * One thread. An exhausted bound cannot be caught by the chunk: every instruction after it fails.
 */
#ifndef TCPWHY_CASE_SANDBOX_H
#define TCPWHY_CASE_SANDBOX_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SANDBOX_TEXT_MAX = 256 * 1024 }; /* no chunk is longer */

struct sandbox_limits {
	uint64_t instructions; /* library calls are charged by what they do */
	size_t bytes;          /* held at once */
	/* From sandbox_run() on; 0: none. What only computes is bounded by the processor's time, so
	 * that a busy machine changes no result; what waits, by the clock on the wall. */
	uint64_t wall_ns;      /* of CLOCK_MONOTONIC */
	uint64_t processor_ns; /* of the calling thread */
};

/* Generous for a case, over within a second for an endless loop. */
extern const struct sandbox_limits sandbox_limits_default;

struct sandbox;

/* NULL: no memory. */
struct sandbox *sandbox_new(const struct sandbox_limits *limits);
void sandbox_free(struct sandbox *s);

/* To add functions; the extra space of the state is taken. */
lua_State *sandbox_lua(struct sandbox *s);
/* math.random() starts anew. */
void sandbox_seed(struct sandbox *s, uint64_t seed);

/* Runs a chunk; name ("ghost-connection.lua") stands in messages. 0; -EINVAL with err->text, which
 * begins with "name:line: " where there is one: text that is no Lua or fails, or a bound was
 * exceeded; -ECANCELED: sandbox_stop() ended it. */
int sandbox_run(struct sandbox *s, const char *name, const char *text, size_t len, struct err *err);

/* For functions of the caller's, from within a call: units of work, one as dear as an instruction.
 * Does not return if that is more than is left. */
void sandbox_charge(lua_State *l, uint64_t units);
/* The same where nothing may be raised, while events of a stage are played: false is more than is
 * left, and the next charge does not return. Also after sandbox_run(), for what the chunk began. */
bool sandbox_spend(lua_State *l, uint64_t units);
/* What is outside and works for the chunk has no memory left for it. Does not return. */
_Noreturn void sandbox_no_memory(lua_State *l);
/* Whether the chunk ended for want of memory; and whether the system refused it what the bound
 * allows. */
bool sandbox_lacked_memory(const struct sandbox *s);
bool sandbox_is_starved(const struct sandbox *s);
/* Why nothing may run any more, NULL: it may. */
const char *sandbox_ended(const struct sandbox *s);
/* The chunk ends here, without an error, whatever it tries. Does not return. */
_Noreturn void sandbox_stop(lua_State *l);
/* The line of the chunk that is being executed, 0 if none. */
int sandbox_line(lua_State *l);

#endif
