/* SPDX-License-Identifier: MIT
 *
 * program.h - what conform and packet have around their comparisons: options, corpus, processes,
 * TAP
 *
 * Either random scripts are played, in several processes, until enough is done or too much differs;
 * or given scripts, one after the other. Each program brings its own options, its play and its
 * statistics.
 */
#ifndef DIFFER_PROGRAM_H
#define DIFFER_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tcpwhy/engine.h"

enum { PROGRAM_FILES = 512 };

struct program_options {
	uint64_t amount; /* calls or steps of random scripts; to be printed: the script's number */
	uint64_t seed;
	unsigned jobs;
	unsigned mismatches;          /* given up after so many */
	int shrink;                   /* -1: not said */
	const struct tcpwhy_row *row; /* the model's rules */
	bool kernel_only, print;
	const char *corpus;
	const char *files[PROGRAM_FILES];
	bool own_files; /* the paths are on the heap */
	size_t n_files;
};

/* An option of one program, and where its value goes. */
struct program_option {
	const char *name; /* NULL: the end of the list */
	enum program_kind {
		PROGRAM_FLAG,   /* bool */
		PROGRAM_ON,     /* int: 1 */
		PROGRAM_OFF,    /* int: 0 */
		PROGRAM_AMOUNT, /* uint64_t */
		PROGRAM_NUMBER, /* unsigned */
		PROGRAM_TEXT,   /* const char * */
		PROGRAM_ROW,    /* const struct tcpwhy_row * */
		PROGRAM_SCRIPT, /* struct program_options: one file more */
	} kind;
	void *to;
};

/* What the processes share; the program's own part may follow it. */
struct program_tally {
	atomic_uint_fast64_t done, next; /* of the amount; the number of the next script */
	atomic_uint mismatches, broken;
};

struct program {
	const char *usage;
	unsigned jobs; /* when nothing was said */
	const struct program_option *options;
	size_t shared_size;            /* of what begins with a struct program_tally */
	int (*print)(const void *ctx); /* to stdout; the exit status */
	int (*play_files)(const void *ctx);
	bool (*play_random)(const void *ctx, struct program_tally *shared);
	void *ctx;
};

/* 0, or -EINVAL with the usage on stderr. */
int program_parse(const struct program *f, int argc, char **argv, struct program_options *o);

/* The exit status: 0 all agree, 1 a mismatch, 2 it broke down, 77 not allowed to. */
int program_run(const struct program *f, struct program_options *o);

/* Whether what the scripts of a corpus assert holds for this row: it was seen on 6.18, and the rows
 * after it keep to it. */
bool program_expects(const struct tcpwhy_row *row);

/* Whether a mismatch is to be made shorter. */
bool program_shrinks(const struct program_options *o);

/* Whether a process goes on: it has broken nothing (rc), was not stopped, and no more than allowed
 * differed. */
bool program_goes_on(const struct program_options *o, const struct program_tally *t, int rc);

/* Calls work in o->jobs processes; one that fails, with err, is told and remembered. How many there
 * were. */
unsigned program_jobs(const struct program_options *o, struct program_tally *t,
		      int (*work)(void *ctx, unsigned job, struct err *err), void *ctx);

/* Tells how the random scripts ended; true: all was well. */
bool program_judge(const struct program_options *o, const struct program_tally *t, unsigned jobs,
		   bool complete);

#endif
