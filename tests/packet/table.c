/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 32768, DIMENSIONS = 6 };

/* A script in the making, and its cell's place in each dimension of its table. */
struct cell {
	char text[TEXT];
	size_t n;
	unsigned at[DIMENSIONS];
};

static void line(struct cell *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct cell *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	const int n = vsnprintf(c->text + c->n, TEXT - c->n, format, args);
	va_end(args);
	if (n > 0 && c->n + (size_t)n + 1 < TEXT)
		c->n += (size_t)n;
	c->text[c->n++] = '\n';
	c->text[c->n] = '\0';
}

/* ---------------------------------------------------------------------------- words of dimensions
 */

/* The state that the host's connection is brought to, and how its socket stands there. */
enum place {
	AT_CLOSED_PORT,
	AT_LISTEN,
	AT_SYN_SENT,
	AT_SYN_RECV,
	AT_CROSSED, /* SYN_RECV of a socket whose SYN crossed ours */
	AT_ESTABLISHED,
	AT_HOLE, /* ESTABLISHED, with data received beyond a hole */
	AT_FIN_WAIT1,
	AT_FIN_WAIT1_ORPHAN,
	AT_FIN_WAIT2,
	AT_FIN_WAIT2_MINI,
	AT_CLOSING,
	AT_CLOSING_ORPHAN,
	AT_CLOSE_WAIT,
	AT_LAST_ACK,
	AT_TIME_WAIT,
	PLACES
};

static const char *const places[PLACES] = {
	"closed-port",      "listen",      "SYN_SENT",       "SYN_RECV",
	"crossed-SYN",      "ESTABLISHED", "hole",           "FIN_WAIT1",
	"FIN_WAIT1-orphan", "FIN_WAIT2",   "FIN_WAIT2-mini", "CLOSING",
	"CLOSING-orphan",   "CLOSE_WAIT",  "LAST_ACK",       "TIME_WAIT",
};

/* Timestamps: of the connection, and of the segment compared to the last one taken. */
enum { TS_NONE, TS_NEWER, TS_EQUAL, TS_OLDER, TS_MISSING, TIMES };

static const char *const times[TIMES] = {"no-ts", "newer", "equal", "older", "ts-missing"};

static const char *ts_of(unsigned time, bool of_segment)
{
	if (time == TS_NONE || (time == TS_MISSING && of_segment))
		return "";
	if (!of_segment || time == TS_EQUAL)
		return " ts 1000";
	return time == TS_NEWER ? " ts 1010" : " ts 990";
}

static const char *const seqs[] = {"rcv",  "rcv-1",  "rcv+1", "rcv-100",  "edge-1",
				   "edge", "edge+1", "sack",  "500000000"};
static const char *const acks[] = {"nxt", "nxt+1", "nxt-1", "iss", "nxt-70000", "nxt+100000"};
static const char *const rst_flags[] = {"R", "RA", "RS", "RSA", "RF", "RFA", "RP", "FSRPA"};
static const char *const syn_flags[] = {"S", "SA", "FS", "FSA", "SP"};
static const char *const ack_flags[] = {"A", "FA"};
static const char *const bare_flags[] = {"F", "-", "P", "FP"};
static const char *const lengths[] = {"", " len 10"};
static const char *const ack_times[] = {"no-ts", "newer", "older"};
static const char *const switches[] = {"0", "1"};
static const char *const tuning[] = {"limited", "unlimited"};

/* --------------------------------------------------------------------------------- the ways there
 */

static void listener(struct cell *c, int backlog)
{
	line(c, "a = socket 4");
	line(c, "set a reuseaddr 1");
	line(c, "bind a 8080");
	line(c, "listen a %d", backlog);
}

/* Our port, the host's, and the socket are in most cells these. */
static const char *flow_of(enum place place)
{
	return place == AT_SYN_SENT || place == AT_CROSSED ? "1001>3001"
	       : place == AT_CLOSED_PORT                   ? "1001>9"
							   : "1001>8080";
}

static void handshake(struct cell *c, unsigned peer_port, const char *ts)
{
	line(c, "in %u>8080 S seq 1000%s sackok", peer_port, ts);
	line(c, "in %u>8080 A seq 1001 ack iss+1%s", peer_port, ts);
	line(c, "c = accept a");
}

static void active(struct cell *c)
{
	line(c, "c = socket 4");
	line(c, "bind c 3001");
	line(c, "connect c 1001");
}

static void close_there(struct cell *c, enum place place, const char *ts)
{
	const bool orphan = place == AT_FIN_WAIT1_ORPHAN || place == AT_FIN_WAIT2_MINI ||
			    place == AT_CLOSING_ORPHAN || place == AT_TIME_WAIT;

	if (place == AT_CLOSE_WAIT || place == AT_LAST_ACK) {
		line(c, "in 1001>8080 FA seq 1001%s", ts);
		if (place == AT_LAST_ACK)
			line(c, "close c");
		return;
	}
	line(c, orphan ? "close c" : "shutdown c wr");
	if (place == AT_FIN_WAIT2 || place == AT_FIN_WAIT2_MINI)
		line(c, "in 1001>8080 A seq 1001 ack nxt%s", ts);
	if (place == AT_CLOSING || place == AT_CLOSING_ORPHAN)
		line(c, "in 1001>8080 FA seq 1001 ack nxt-1%s", ts);
	if (place == AT_TIME_WAIT)
		line(c, "in 1001>8080 FA seq 1001 ack nxt%s", ts);
}

static void go_to(struct cell *c, enum place place, const char *ts)
{
	if (place == AT_CLOSED_PORT)
		return;
	if (place == AT_SYN_SENT || place == AT_CROSSED) {
		active(c);
		if (place == AT_CROSSED)
			line(c, "in 1001>3001 S seq 1000%s sackok", ts);
		return;
	}
	listener(c, 5);
	if (place == AT_SYN_RECV)
		line(c, "in 1001>8080 S seq 1000%s sackok", ts);
	if (place <= AT_SYN_RECV)
		return;
	handshake(c, 1001, ts);
	if (place == AT_HOLE)
		line(c, "in 1001>8080 A seq 1501 ack nxt len 100%s", ts);
	else if (place != AT_ESTABLISHED)
		close_there(c, place, ts);
}

/* What the process finds afterwards. */
static void look_after(struct cell *c)
{
	line(c, "send c 10");
	line(c, "recv c 1000");
	line(c, "error c");
	line(c, "recv c 1000");
	line(c, "close c");
}

/* --------------------------------------------------------------------------------------- tables */

static void build_reset(struct cell *c)
{
	const enum place place = c->at[0];
	const unsigned time = c->at[1];

	go_to(c, place, ts_of(time, false));
	line(c, "in %s %s seq %s%s", flow_of(place), rst_flags[c->at[2]], seqs[c->at[3]],
	     ts_of(time, true));
	look_after(c);
}

/* The ACK of a RST counts in SYN_SENT only, but who knows. */
static void build_reset_ack(struct cell *c)
{
	const enum place place = c->at[0];

	go_to(c, place, "");
	line(c, "in %s RA seq %s ack %s", flow_of(place), seqs[c->at[1]], acks[c->at[2]]);
	look_after(c);
}

static void build_syn(struct cell *c)
{
	const enum place place = c->at[0];
	const unsigned time = c->at[1];
	const char *flow = flow_of(place);

	go_to(c, place, ts_of(time, false));
	line(c, "in %s %s seq %s%s%s", flow, syn_flags[c->at[2]], seqs[c->at[3]], ts_of(time, true),
	     lengths[c->at[4]]);
	line(c, "in %s A seq rcv ack nxt%s", flow, ts_of(time, true));
	look_after(c);
}

static void build_ack(struct cell *c)
{
	const enum place place = c->at[0];
	const unsigned time = c->at[1] == 2 ? TS_OLDER : c->at[1];

	go_to(c, place, ts_of(time, false));
	line(c, "in %s %s seq %s ack %s%s%s", flow_of(place), ack_flags[c->at[2]], seqs[c->at[3]],
	     acks[c->at[4]], ts_of(time, true), lengths[c->at[5]]);
	look_after(c);
}

static void build_bare(struct cell *c)
{
	const enum place place = c->at[0];
	const unsigned time = c->at[1];

	go_to(c, place, ts_of(time, false));
	line(c, "in %s %s seq %s%s%s", flow_of(place), bare_flags[c->at[2]], seqs[c->at[3]],
	     ts_of(time, true), lengths[c->at[4]]);
	look_after(c);
}

/* The same twice: what the second time is not answered any more is limited by
 * tcp_invalid_ratelimit. */
static void build_twice(struct cell *c)
{
	static const char *const what[] = {"S seq rcv",   "A seq rcv-100", "A seq rcv ack nxt+1",
					   "R seq rcv+1", "FA seq rcv-1",  "A seq edge+1"};
	const enum place place = c->at[0];
	const unsigned time = c->at[3];

	if (c->at[2])
		line(c, "sysctl tcp_invalid_ratelimit 0");
	go_to(c, place, ts_of(time, false));
	line(c, "in %s %s%s", flow_of(place), what[c->at[1]], ts_of(time, true));
	line(c, "in %s %s%s", flow_of(place), what[c->at[1]], ts_of(time, true));
	line(c, "in %s A seq edge+10%s", flow_of(place), ts_of(time, true));
}

static const char *const heights[] = {"higher", "equal", "lower", "much-higher"};
static const char *const old_new[] = {"no-ts", "newer", "equal", "older", "ts-missing", "ts-added"};

/* A SYN meets a TIME_WAIT; and then the peer that was not let in does what it does: RST, SYN. */
static void build_syn_time_wait(struct cell *c)
{
	static const char *const seq[] = {"rcv+1", "rcv", "rcv-1", "rcv+1000000"};
	const unsigned time = c->at[0] == TIMES ? TS_NONE : c->at[0];
	const char *ts = c->at[0] == TIMES ? " ts 1010" : ts_of(time, true);

	if (c->at[3])
		line(c, "sysctl tcp_rfc1337 1");
	go_to(c, AT_TIME_WAIT, ts_of(time, false));
	if (!c->at[2])
		line(c, "close a");
	line(c, "in 1001>8080 S seq %s%s sackok", seq[c->at[1]], ts);
	line(c, "in 1001>8080 R seq rcv%s", ts);
	line(c, "in 1001>8080 S seq %s%s sackok", seq[c->at[1]], ts);
	line(c, "in 1001>8080 A seq rcv ack nxt%s", ts);
	line(c, "d = accept a");
	line(c, "send d 10");
}

static void build_time_wait_rfc1337(struct cell *c)
{
	static const char *const flags[] = {"R", "RA", "RF", "A", "FA", "-"};

	line(c, "sysctl tcp_rfc1337 1");
	go_to(c, AT_TIME_WAIT, ts_of(c->at[0], false));
	line(c, "in 1001>8080 %s seq %s%s", flags[c->at[1]], seqs[c->at[2]], ts_of(c->at[0], true));
	line(c, "in 1001>8080 FA seq 1001 ack nxt%s", ts_of(c->at[0], true));
}

/* A listener that is full in one way or the other meets a SYN into its TIME_WAIT. */
static void build_time_wait_full(struct cell *c)
{
	line(c, "sysctl tcp_syncookies %u", c->at[0]);
	listener(c, 0);
	handshake(c, 1001, "");
	line(c, "close c");
	line(c, "in 1001>8080 FA seq 1001");
	if (c->at[1]) { /* a connection waits to be accepted */
		line(c, "in 1002>8080 S seq 1000");
		line(c, "in 1002>8080 A seq 1001 ack iss+1");
	}
	for (unsigned i = 0; i < c->at[2]; i++)
		line(c, "in %u>8080 S seq 1000", 1003 + i);
	line(c, "in 1001>8080 S seq 5000");
	line(c, "in 1001>8080 A seq 5001 ack iss+1");
	line(c, "d = accept a");
	line(c, "in 1001>8080 PA seq 5001 ack iss+1 len 10");
	line(c, "d = accept a");
}

enum { CLIENTS = 9 };

/* More clients than a listener has room for; then the process accepts, and the clients try again.
 * at: cookies, abort_on_overflow, backlog, order, timestamps. */
static void build_overflow(struct cell *c)
{
	const char *ts = c->at[4] ? " ts 1000" : "";

	line(c, "sysctl tcp_syncookies %u", c->at[0]);
	line(c, "sysctl tcp_abort_on_overflow %u", c->at[1]);
	listener(c, (int)c->at[2]);
	for (unsigned i = 0; i < CLIENTS; i++) {
		line(c, "in %u>8080 S seq 1000%s", 1001 + i, ts);
		if (!c->at[3])
			line(c, "in %u>8080 A seq 1001 ack iss+1%s", 1001 + i, ts);
	}
	for (unsigned i = 0; c->at[3] && i < CLIENTS; i++)
		line(c, "in %u>8080 A seq 1001 ack iss+1%s", 1001 + i, ts);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 PA seq 1001 ack iss+1 len 10%s", 1001 + i, ts);
	line(c, "c = accept a");
	line(c, "d = accept a");
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 PA seq 1001 ack iss+1 len 10%s", 1001 + i, ts);
	line(c, "recv c 100");
	line(c, "recv d 100");
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "%c = accept a", 'e' + (int)i);
}

/* The ghosts of CASES.md on a release that drops SYNs: they were answered while there was room.
 * at: backlog, abort_on_overflow. */
static void build_ghost(struct cell *c)
{
	line(c, "sysctl tcp_abort_on_overflow %u", c->at[1]);
	listener(c, (int)c->at[0]);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 S seq 1000 ts 1000", 1001 + i);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 A seq 1001 ack iss+1 ts 1001", 1001 + i);
	line(c, "in 1099>8080 S seq 1000");
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 PA seq 1001 ack iss+1 len 10 ts 1002", 1001 + i);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 FA seq 1011 ack iss+1 ts 1003", 1001 + i);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 R seq 1012 ts 1004", 1001 + i);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "%c = accept a", 'e' + (int)i);
}

/* The SYN queue without cookies, near the reserve of tcp_max_syn_backlog. at: backlog,
 * tcp_max_syn_backlog. */
static void build_syn_queue(struct cell *c)
{
	static const unsigned max[] = {1, 4, 8, 128};

	line(c, "sysctl tcp_syncookies 0");
	line(c, "sysctl tcp_max_syn_backlog %u", max[c->at[1]]);
	listener(c, (int)c->at[0]);
	for (unsigned i = 0; i < CLIENTS; i++)
		line(c, "in %u>8080 S seq 1000", 1001 + i);
	line(c, "in 1001>8080 R seq 1001");
	line(c, "in 1020>8080 S seq 1000");
	line(c, "in 1002>8080 A seq 1001 ack iss+1");
	line(c, "in 1021>8080 S seq 1000");
	line(c, "c = accept a");
	line(c, "in 1022>8080 S seq 1000");
}

static const char *const fin_timeouts[] = {"1", "59", "60", "61", "120"};
static const char *const linger2s[] = {"unset", "-1", "1", "30", "61", "100"};

/* at: fin_timeout, linger2, how the FIN and its ACK come. */
static void build_fin_timeout(struct cell *c)
{
	line(c, "sysctl tcp_fin_timeout %s", fin_timeouts[c->at[0]]);
	listener(c, 5);
	handshake(c, 1001, "");
	if (c->at[1])
		line(c, "set c linger2 %s", linger2s[c->at[1]]);
	if (c->at[2] == 0) {
		line(c, "close c");
		line(c, "in 1001>8080 A seq 1001 ack nxt");
	} else {
		line(c, "shutdown c wr");
		line(c, "in 1001>8080 A seq 1001 ack nxt");
		line(c, "close c");
	}
	line(c, "in 1001>8080 A seq 1001 ack nxt");
	line(c, "in 1001>8080 FA seq 1001 ack nxt");
}

static const char *const full_ways[] = {"close", "shutdown"};
static const char *const orphan_data[] = {"data", "old-data",   "data-and-FIN",
					  "FIN",  "window-ACK", "far-data"};

/* New data for somebody who will not read it. at: where, what. */
static void build_orphan(struct cell *c)
{
	static const enum place where[] = {AT_FIN_WAIT1_ORPHAN, AT_FIN_WAIT2_MINI,
					   AT_CLOSING_ORPHAN, AT_LAST_ACK};
	static const char *const what[] = {"PA seq rcv len 10",  "PA seq rcv-1 len 1",
					   "FPA seq rcv len 10", "FA seq rcv",
					   "A seq rcv",          "PA seq rcv+100 len 10"};

	go_to(c, where[c->at[0]], "");
	line(c, "in 1001>8080 %s ack %s", what[c->at[1]], c->at[2] ? "nxt-1" : "nxt");
	line(c, "in 1001>8080 %s ack nxt", what[c->at[1]]);
}

/* at: limit, how many of three end as orphan FIN_WAIT2. */
static void build_max_tw(struct cell *c)
{
	line(c, "sysctl tcp_max_tw_buckets %u", c->at[0]);
	listener(c, 5);
	for (unsigned i = 0; i < 4; i++) {
		handshake(c, 1001 + i, "");
		line(c, "close c");
		line(c, "in %u>8080 A seq 1001 ack nxt", 1001 + i);
		if (i >= c->at[1])
			line(c, "in %u>8080 FA seq 1001 ack nxt", 1001 + i);
	}
	line(c, "in 1001>8080 FA seq 1001 ack nxt");
	line(c, "in 1004>8080 FA seq 1001 ack nxt");
}

/* A request's own little rules. at: the timestamp echoed, what, order. */
static void build_third_ack(struct cell *c)
{
	static const char *const ecr[] = {"", " ecr +1000000", " ecr -1000000", " ecr 0"};
	static const char *const what[] = {
		"A seq 1001 ack iss+1",        "A seq 1001 ack iss+2",
		"A seq 1001 ack iss",          "PA seq 1001 ack iss+1 len 10",
		"FA seq 1001 ack iss+1",       "FPA seq 1001 ack iss+1 len 10",
		"A seq 1005 ack iss+1",        "A seq 1000 ack iss+1",
		"PA seq 1005 ack iss+1 len 10"};
	const unsigned time = c->at[2];

	listener(c, 5);
	line(c, "in 1001>8080 S seq 1000%s sackok", ts_of(time, false));
	line(c, "in 1001>8080 %s%s%s", what[c->at[1]], ts_of(time, true),
	     time == TS_NONE || time == TS_MISSING ? "" : ecr[c->at[0]]);
	line(c, "c = accept a");
	line(c, "in 1001>8080 A seq rcv ack iss+1%s", ts_of(time, false));
	line(c, "c = accept a");
	look_after(c);
}

/* An answer to our SYN. at: timestamp echoed, flags, ack, data. */
static void build_answer(struct cell *c)
{
	static const char *const ecr[] = {"", " ecr +1000000", " ecr -1000000", " ecr 0"};
	static const char *const what[] = {"SA", "A", "FSA", "RSA", "RA", "FA", "S", "FS"};
	static const char *const ack[] = {"iss+1", "iss", "iss+2", "iss+100000"};

	active(c);
	line(c, "in 1001>3001 %s seq 1000 ack %s%s ts 1000%s sackok", what[c->at[1]], ack[c->at[2]],
	     lengths[c->at[3]], ecr[c->at[0]]);
	line(c, "connect c 1001");
	line(c, "in 1001>3001 SA seq 1000 ack iss+1 ts 1001");
	line(c, "in 1001>3001 A seq rcv ack nxt ts 1001");
	look_after(c);
}

static const char *const cookies[] = {"0", "1", "2"};
static const char *const numbers[] = {"0", "1", "2", "3", "4", "5"};

#define WORDS(list)                                                                                \
	{                                                                                          \
		list, sizeof(list) / sizeof((list)[0])                                             \
	}

static const char *const orders[] = {"one-by-one", "SYNs-first"};
static const char *const with_ts[] = {"no-ts", "ts"};
static const char *const twice_what[] = {"S",           "old-A",  "A-beyond-nxt",
					 "R-in-window", "old-FA", "A-beyond-edge"};
static const char *const rfc_flags[] = {"R", "RA", "RF", "A", "FA", "-"};
static const char *const max_syn[] = {"1", "4", "8", "128"};
static const char *const orphan_places[] = {"FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK"};
static const char *const fin_acked[] = {"acked", "not-acked"};
static const char *const ecrs[] = {"ecr", "ecr-new", "ecr-old", "ecr-0"};
static const char *const third[] = {"A",        "ack+1", "ack-1",  "data",      "FIN",
				    "data+FIN", "ahead", "behind", "data-ahead"};
static const char *const answers[] = {"SA", "A", "FSA", "RSA", "RA", "FA", "S", "FS"};
static const char *const answer_acks[] = {"iss+1", "iss", "iss+2", "far"};
static const char *const len_names[] = {"empty", "data"};

static const struct table {
	const char *name;
	void (*build)(struct cell *c);
	struct {
		const char *const *words;
		unsigned n;
	} dimensions[DIMENSIONS];
} tables[] = {
	{"reset", build_reset, {WORDS(places), WORDS(times), WORDS(rst_flags), WORDS(seqs)}},
	{"reset-ack", build_reset_ack, {WORDS(places), WORDS(seqs), WORDS(acks)}},
	{"syn",
	 build_syn,
	 {WORDS(places), WORDS(times), WORDS(syn_flags), WORDS(seqs), WORDS(len_names)}},
	{"ack",
	 build_ack,
	 {WORDS(places), WORDS(ack_times), WORDS(ack_flags), WORDS(seqs), WORDS(acks),
	  WORDS(len_names)}},
	{"no-ack",
	 build_bare,
	 {WORDS(places), WORDS(times), WORDS(bare_flags), WORDS(seqs), WORDS(len_names)}},
	{"twice", build_twice, {WORDS(places), WORDS(twice_what), WORDS(tuning), {times, 4}}},
	{"syn-time-wait",
	 build_syn_time_wait,
	 {WORDS(old_new), WORDS(heights), WORDS(switches), WORDS(switches)}},
	{"time-wait-rfc1337",
	 build_time_wait_rfc1337,
	 {WORDS(times), WORDS(rfc_flags), WORDS(seqs)}},
	{"time-wait-full", build_time_wait_full, {WORDS(cookies), WORDS(switches), WORDS(numbers)}},
	{"overflow",
	 build_overflow,
	 {WORDS(cookies), WORDS(switches), WORDS(numbers), WORDS(orders), WORDS(with_ts)}},
	{"ghost", build_ghost, {WORDS(numbers), WORDS(switches)}},
	{"syn-queue", build_syn_queue, {WORDS(numbers), WORDS(max_syn)}},
	{"fin-timeout",
	 build_fin_timeout,
	 {WORDS(fin_timeouts), WORDS(linger2s), WORDS(full_ways)}},
	{"orphan", build_orphan, {WORDS(orphan_places), WORDS(orphan_data), WORDS(fin_acked)}},
	{"max-tw", build_max_tw, {WORDS(numbers), WORDS(numbers)}},
	{"third-ack", build_third_ack, {WORDS(ecrs), WORDS(third), WORDS(times)}},
	{"answer",
	 build_answer,
	 {WORDS(ecrs), WORDS(answers), WORDS(answer_acks), WORDS(len_names)}},
};

/* ----------------------------------------------------------------------------------------- cells
 */

static size_t table_size(const struct table *t)
{
	size_t n = 1;

	for (unsigned d = 0; d < DIMENSIONS && t->dimensions[d].n; d++)
		n *= t->dimensions[d].n;
	return n;
}

static void place_cell(const struct table *t, size_t i, struct cell *c, char name[static CELL_NAME])
{
	size_t n = (size_t)snprintf(name, CELL_NAME, "%s", t->name);

	for (unsigned d = 0; d < DIMENSIONS && t->dimensions[d].n; d++) {
		c->at[d] = (unsigned)(i % t->dimensions[d].n);
		i /= t->dimensions[d].n;
		n += (size_t)snprintf(name + n, n < CELL_NAME ? CELL_NAME - n : 0, "/%s",
				      t->dimensions[d].words[c->at[d]]);
	}
}

bool table_cell(size_t i, enum tcpwhy_family family, struct script *s, char name[static CELL_NAME])
{
	static struct cell c;
	struct err err;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		const size_t n = table_size(&tables[t]);
		if (i >= n) {
			i -= n;
			continue;
		}
		c = (struct cell){.n = 0};
		place_cell(&tables[t], i, &c, name);
		tables[t].build(&c);
		must(!script_parse(c.text, s, &err));
		for (size_t k = 0; k < s->n; k++)
			s->steps[k].flow.family = (uint8_t)family;
		return true;
	}
	return false;
}
