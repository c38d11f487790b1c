/* SPDX-License-Identifier: MIT
 *
 * ladder_lines.h - a ladder while it is printed: what the files of ladder.h share
 *
 * ladder.c orders what happened and says what each line tells; ladder_link.c draws the lines of one
 * link, ladder_chain.c those of links that meet in boxes.
 */
#ifndef TCPWHY_REPORT_LADDER_LINES_H
#define TCPWHY_REPORT_LADDER_LINES_H

#include "case/agree.h"
#include "report/fold.h"
#include "report/ladder_way.h"

/* What a line tells. A call that waits has two: it begins, and it ends. So has a segment that
 * others overtook, or that was held up: it went, and it came. */
enum event_kind { CALL_BEGINS, CALL_ENDS, SEGMENT_CAME, SEGMENT_WENT };

#define EVENT_NONE UINT32_MAX

/* A box that sends on within that time passes it at once: one line, with an arrow through the box.
 * A segment that took no longer than that beyond others was not held up. */
enum { LADDER_AT_ONCE_NS = 1000000 };

struct event {
	enum event_kind kind;
	uint32_t index; /* in the list of its kind */
	uint64_t at_ns;
	uint64_t place;  /* among those of the same moment */
	bool comes_late; /* a segment: its SEGMENT_CAME follows */
	bool is_told;    /* by the line of an earlier one */
	/* The event of the same segment behind the box, told by the same line. */
	uint32_t onward;
	/* That before or behind the box, if it is told by another line. */
	uint32_t apart;
};

struct ladder {
	const struct play *p;
	const struct agree_numbers *numbers;
	/* Of each connection of numbers: which it is in this ladder, from 1; 0: it is not there. */
	uint32_t *names;
	bool names_them; /* lines of one stand among those of another */
	const struct way *way;
	uint32_t link; /* the first one */
	FILE *out;
	uint64_t shortest_ns; /* of two columns: the least that a segment was on its way */
	unsigned printed, max, left_out, max_of_link;
	struct event *events;
	uint32_t events_n;
	bool believes[WAY_COLUMNS]; /* a box there has sessions */
};

/* What a line says. */
enum { LADDER_TEXT = 192, LADDER_LABEL = 96 };
void ladder_time(uint64_t ns, char out[static 24]);
const char *ladder_state(uint8_t state);
/* "SYN 0", or "#2 SYN 0" where connections run side by side. */
void ladder_label(const struct ladder *l, uint32_t segment, char out[static LADDER_LABEL]);
/* "" or what befell it. */
const char *ladder_origin(const struct line_record *r);
const char *ladder_passage(const struct line_record *r);
/* Words at that column, or as far to the left of it as they need, but not left of floor unless a
 * word is wider than what is there: an address and a command are not cut. */
void ladder_put(struct fold *f, int column, int floor, const char *text);
/* "server: EstabResets +1, OutRsts +1" at that column, folded between the names. */
void ladder_put_counted(const struct ladder *l, const struct play_segment *s, int node, int column);
int ladder_node(const struct play *p, const struct line_record *r, bool receiver);

/* A ladder of two columns. */
void ladder_link_title(const struct ladder *l);
void ladder_link_segment(const struct ladder *l, const struct event *e);
void ladder_link_call(const struct ladder *l, const struct play_call *c, uint64_t at_ns,
		      const char *text);

/* A ladder of more. prepare() finds the segments that pass a box at once. */
void ladder_chain_prepare(struct ladder *l);
/* b is a, behind the box: addresses may have changed, numbers do not. Of segments alone. */
bool ladder_chain_goes_on(const struct ladder *l, const struct event *a, const struct event *b);
void ladder_chain_title(const struct ladder *l);
void ladder_chain_segment(const struct ladder *l, const struct event *e);
void ladder_chain_call(const struct ladder *l, const struct play_call *c, uint64_t at_ns,
		       const char *text);

#endif
