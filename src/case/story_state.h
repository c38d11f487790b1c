/* SPDX-License-Identifier: MIT
 *
 * story_state.h - a case while it is played: what the files of story.h share
 *
 * The words of a case are Lua functions; each file adds its own (story_open_*()). What a function
 * raises leaves by longjmp, so no C function here holds anything that must be given back.
 */
#ifndef TCPWHY_CASE_STORY_STATE_H
#define TCPWHY_CASE_STORY_STATE_H

#include <lauxlib.h>

#include "case/app.h"
#include "case/sandbox.h"
#include "case/story.h"
#include "segment/counter.h"

enum {
	STORY_NODES_MAX = 512,
	STORY_LINKS_MAX = 1024,
	STORY_RULES_MAX = 16,      /* of one node */
	STORY_SOCKETS_MAX = 16384, /* that the text holds at once; crowds are of applications */
	STORY_WORDS_MAX = 32,      /* of a program's line */
	STORY_OUTPUT = 16384,      /* bytes of what a program writes */
	STORY_CURES_MAX = 16,      /* in force in the model */
	STORY_PREFIXES_MAX = 256,  /* a route asks each of them */
	STORY_CROWD_MAX = 4000000, /* connections without segments, of one play */
};

/* What calls cost beside their instructions: a play without end then ends while somebody waits. */
enum {
	STORY_CALL_UNITS = 500,
	STORY_WAIT_UNITS = 500,
	STORY_INJECT_UNITS = 5000, /* each is looked at again until time passes */
	STORY_SEARCH_UNITS = 2000, /* for a port, and there was none */
	STORY_SOCK_UNITS = 100,    /* a socket as a table */
	STORY_EVENT_UNITS = 5,     /* of the stage, while somebody waits */
};

#define STORY_QUICK_NS UINT64_C(5000000000) /* real time that a wait may take without --slow */
#define STORY_LIMIT_S  2.0                  /* of a call that waits and was given no limit */

struct story_rules {
	struct rule rules[STORY_RULES_MAX];
	unsigned n;
};

/* `fix sysctl` in the model: what was there before. */
struct story_cure {
	int node;
	char name[64], before[128];
};

struct story {
	const struct story_config *config;
	lua_State *l;
	int line;            /* that asked the stage for something last */
	struct stage *stage; /* NULL: only the head is wanted */
	const struct tcpwhy_row *row;
	struct play *play;
	struct apps *apps; /* NULL: none yet */
	bool has_head, started, waiting;
	struct story_rules *rules[STORY_NODES_MAX]; /* NULL: none yet. Lua's memory. */
	unsigned sockets_n;
	uint64_t (*counted)[COUNTER_COUNT]; /* of each node, when it was looked at last; or NULL */
	struct story_cure cures[STORY_CURES_MAX];
	unsigned cures_n;
	unsigned prefixes_n;
	uint64_t crowded; /* connections without segments */
	bool loses;       /* a link loses by chance, and play->apart says so */
	uint32_t open;    /* the first segment of the record whose end was not seen */
};

/* What a Lua object stands for. */
enum story_kind { STORY_NODE, STORY_LINK, STORY_SOCKET, STORY_CONTROL, STORY_APP };

struct story *story_of(lua_State *l);

/* Objects: a number of the stage's. story_check() raises if it is another kind of thing. */
void story_push(lua_State *l, enum story_kind kind, int number);
int story_check(lua_State *l, int index, enum story_kind kind);
/* A node that is no box. */
int story_check_host(lua_State *l, int index);
/* The object's own place for the number; a closed socket's is -1. */
int *story_number(lua_State *l, int index, enum story_kind kind);
/* Makes a kind known: methods, and a function for fields that are no method (or NULL). */
void story_define(lua_State *l, enum story_kind kind, const luaL_Reg *methods,
		  lua_CFunction fields);

/* The stage with everything that was built, started. */
struct stage *story_stage(struct story *s, lua_State *l);
/* The same before its start; raises when that is over. */
struct stage *story_building(struct story *s, lua_State *l);

/* What this stage cannot: ends the play, or raises where the case names no other stage. Does not
 * return. */
_Noreturn void story_cannot(lua_State *l, const char *why);
/* A link loses by chance from now on: the stages draw differently, so they part here. */
void story_part_by_loss(lua_State *l);
/* Of what a function of the stage returned: ends the play or raises if it is negative. */
void story_must(lua_State *l, int r, const struct err *err);
/* Ends the play. Does not return. */
_Noreturn void story_end(lua_State *l, enum play_end end, const char *why);

/* Lets time pass until is_so(ctx) gives 1; 0 or -ETIMEDOUT. Ends the play for all else, and where
 * real time would be too long. */
int story_wait(lua_State *l, int (*is_so)(void *ctx), void *ctx, uint64_t limit_ns);
/* The same without a condition. */
void story_let_pass(lua_State *l, uint64_t ns);
bool story_takes_real_time(const struct story *s);
/* Looks at the segments that are new, and at the states they led to. */
void story_observe(struct story *s);
/* The same whether or not there is to be looked: the play gets what the stage recorded. */
void story_read_trace(struct story *s);
/* Once all nodes are there, and at the end of all. */
void story_observe_begin(struct story *s);
void story_observe_end(struct story *s);

/* Raises where case{} has not been. */
void story_need_head(lua_State *l);
/* The value at index, as text; a table or an object is none that can be expected. */
const char *story_value_text(lua_State *l, int index);
/* An expectation; got and want as text. */
void story_expect(lua_State *l, bool holds, const char *text, const char *got, const char *want);
/* A step that could not be made here, and why. */
void story_skip(lua_State *l, const char *text, const char *why);

/* Fields of a table at index; the defaults where there is none. An unknown field raises:
 * story_only() takes the names that are known. */
void story_only(lua_State *l, int index, const char *const *names);
double story_number_field(lua_State *l, int index, const char *name, double otherwise);
/* A whole number from 0 to most. */
uint32_t story_whole_field(lua_State *l, int index, const char *name, uint32_t otherwise,
			   uint32_t most);
bool story_flag_field(lua_State *l, int index, const char *name);
/* NULL: none; borrowed from the table. */
const char *story_text_field(lua_State *l, int index, const char *name);

/* "10.0.0.2:80" at index. */
void story_endpoint(lua_State *l, int index, struct tcpwhy_addr *a, enum tcpwhy_family *family,
		    uint16_t *port);
void story_address(lua_State *l, const char *text, struct tcpwhy_addr *a,
		   enum tcpwhy_family *family);
/* "10.0.0.0/8" or an address; bits in the 16-byte form. */
void story_prefix(lua_State *l, const char *text, struct tcpwhy_addr *a, unsigned *bits);
/* "SYN -ACK data" */
struct line_pick story_pick(lua_State *l, const char *text);
uint64_t story_ns(lua_State *l, double seconds);

/* Raises in a case that did not come with tcpwhy. */
void story_need_trust(lua_State *l, const char *what);
/* Pushes the words of a text, between single quotes with their blanks, and returns how many. */
int story_push_words(lua_State *l, const char *text);
/* A remark in the ladder; node -1: of no host. */
void story_note(struct story *s, int node, int line, const char *text);

/* Methods of a host that make sockets. */
int story_socket_word(lua_State *l);
int story_listen_word(lua_State *l);
int story_connect_word(lua_State *l);
int story_start_connect_word(lua_State *l);
/* And applications. */
int story_serve_word(lua_State *l);
int story_load_word(lua_State *l);
/* And programs, tcpwhy's own cures among them. */
int story_run_word(lua_State *l);
int story_try_run_word(lua_State *l);
int story_spawn_word(lua_State *l);
int story_stop_word(lua_State *l);
int story_cgroup_word(lua_State *l);
int story_file_word(lua_State *l);
int story_cure_word(lua_State *l);
int story_undo_word(lua_State *l);
/* A method of a socket. */
int story_verdict_word(lua_State *l);

void story_open_waits(lua_State *l);
void story_open_nodes(lua_State *l);
void story_open_lines(lua_State *l);
void story_open_sockets(lua_State *l);
void story_open_apps(lua_State *l);
void story_open_figures(lua_State *l);
void story_open_logs(lua_State *l);
void story_open_programs(lua_State *l);

#endif
