/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <string.h>

#include "base/text.h"
#include "load/load.h"
#include "report/fold.h"
#include "report/name.h"

#define LABEL 10 /* the column at which everything but the labels begins */

static struct fold labelled(FILE *out, const char *label)
{
	struct fold f = {.out = out, .indent = LABEL};

	fold_plain(&f, label);
	fold_to(&f, LABEL);
	return f;
}

static uint64_t left_ns(const struct result *r, uint64_t expires_ns)
{
	return expires_ns > r->taken_ns ? expires_ns - r->taken_ns : 0;
}

/* ------------------------------------------------------------------------------------ the verdict
 */

static void add_connect(struct text *t, const struct result *r)
{
	const struct tcpwhy_connect_request *q = &r->connect.request;
	char endpoint[ENDPOINT_TEXT_MAX];

	text_add(t, "connect(");
	text_add(t, name_endpoint(&q->peer, q->peer_port, q->family, endpoint));
	text_char(t, ')');
}

/* What is asked; of connect() the bind() before it if that is what failed. */
static void add_call(struct text *t, const struct result *r)
{
	const struct tcpwhy_bind_request *q = &r->question;
	char endpoint[ENDPOINT_TEXT_MAX];

	if (r->call == TCPWHY_CALL_CONNECT &&
	    (r->verdict.answer == TCPWHY_OK || r->verdict.at != TCPWHY_CALL_BIND)) {
		add_connect(t, r);
		return;
	}
	text_add(t, "bind(");
	text_add(t, name_endpoint(&q->addr, q->port, q->family, endpoint));
	text_char(t, ')');
}

/* "; a port comes free in 0.4 s, then 470 per second" */
static void add_next_free(struct text *t, const struct result *r)
{
	const struct tcpwhy_verdict *v = &r->verdict;

	if (v->next_free_ns <= r->taken_ns)
		return;
	text_add(t, "; a port comes free in ");
	text_seconds(t, left_ns(r, v->next_free_ns));
	if (v->free_within_10s >= 20) {
		text_add(t, ", then ");
		text_count(t, v->free_within_10s / 10);
		text_add(t, " per second");
	} else if (v->free_within_10s > 1) {
		text_add(t, ", ");
		text_count(t, v->free_within_10s);
		text_add(t, " within 10 s");
	}
}

static void add_refusal(struct text *t, const struct result *r)
{
	const struct tcpwhy_verdict *v = &r->verdict;

	if (v->at == TCPWHY_CALL_LISTEN)
		text_add(t, " succeeds, then listen()");
	text_add(t, " fails now with ");
	text_add(t, name_errno(v->error));
	if (v->holders && v->last_expiry_ns) {
		text_add(t, ", for another ");
		text_seconds(t, left_ns(r, v->last_expiry_ns));
	}
	add_next_free(t, r);
	if (r->call == TCPWHY_CALL_CONNECT && v->at == TCPWHY_CALL_BIND)
		text_add(t, ", before connect()");
}

static const char *success_of(const struct result *r)
{
	if (r->call != TCPWHY_CALL_CONNECT)
		return r->question.listen ? " and listen() succeed now" : " succeeds now";
	return r->connect.from == FROM_PORT ? " can use that port now" : " finds a port now";
}

static void print_verdict(const struct result *r, FILE *out)
{
	static const char *const labels[] = {
		[TCPWHY_OK] = "OK",
		[TCPWHY_REFUSED] = "REFUSED",
		[TCPWHY_DEPENDS] = "DEPENDS",
	};
	struct fold f = labelled(out, labels[r->verdict.answer]);
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	add_call(&t, r);
	switch (r->verdict.answer) {
	case TCPWHY_OK:
		text_add(&t, success_of(r));
		break;
	case TCPWHY_REFUSED:
		add_refusal(&t, r);
		break;
	case TCPWHY_DEPENDS:
		text_add(&t, " may succeed, or fail with ");
		text_add(&t, name_errno(r->verdict.error));
		break;
	}
	fold_words(&f, line);
	fold_newline(&f);
}

bool report_try_agrees(const struct result *r)
{
	const struct tcpwhy_verdict *v = &r->verdict;

	switch (v->answer) {
	case TCPWHY_OK:
		return !r->tried.error;
	case TCPWHY_REFUSED:
		return r->tried.error == v->error && r->tried.at == v->at;
	case TCPWHY_DEPENDS:
		break;
	}
	return true;
}

static void print_try(const struct result *r, FILE *out)
{
	struct fold f = labelled(out, report_try_agrees(r) ? "tried" : "MISMATCH");
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));

	if (r->tried.error) {
		text_add(&t, "the kernel's ");
		text_add(&t, r->tried.at == TCPWHY_CALL_LISTEN ? "listen()" : "bind()");
		text_add(&t, " failed with ");
		text_add(&t, name_errno(r->tried.error));
	} else {
		text_add(&t, "the kernel let it succeed (and it was closed again)");
	}
	if (!report_try_agrees(r))
		text_add(&t, ", which is NOT what was predicted: the sockets changed meanwhile, or "
			     "a rule of tcpwhy is wrong; please report it if it stays");
	else if (r->verdict.answer == TCPWHY_DEPENDS)
		text_add(&t, ": that settles it for now");
	else
		text_add(&t, ", as predicted");
	fold_words(&f, line);
	fold_newline(&f);
}

static void print_why(const struct result *r, FILE *out)
{
	struct fold f = labelled(out, "why");

	fold_words(&f, r->because);
	fold_newline(&f);
	if (!r->rule)
		return;
	f = labelled(out, "rule");
	fold_words(&f, r->rule->id);
	if (f.column + 3 + fold_columns(r->rule->source) <= FOLD_WIDTH) {
		fold_plain(&f, "   ");
		fold_plain(&f, r->rule->source);
	} else {
		fold_newline(&f);
		fold_words(&f, r->rule->source);
	}
	fold_newline(&f);
}

/* ------------------------------------------------------------------------------ the ports of
 * connect
 */

static uint32_t kept_of(const struct tcpwhy_verdict *v)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < TCPWHY_TW_REASONS; i++)
		n += v->tw_kept[i];
	return n;
}

/* The reason that keeps most of the TIME_WAIT from being taken over. */
static enum tcpwhy_tw_reason main_reason(const struct tcpwhy_verdict *v)
{
	unsigned most = 0;

	for (unsigned i = 1; i < TCPWHY_TW_REASONS; i++)
		if (v->tw_kept[i] > v->tw_kept[most])
			most = i;
	return (enum tcpwhy_tw_reason)most;
}

static const char *reason_words(enum tcpwhy_tw_reason reason)
{
	switch (reason) {
	case TCPWHY_TW_NO_TIMESTAMPS:
		return "the connections in TIME_WAIT had no TCP timestamps";
	case TCPWHY_TW_FIN_WAIT2:
		return "the other side has not closed: FIN_WAIT2 is never taken over";
	case TCPWHY_TW_REUSE_OFF:
		return "net.ipv4.tcp_tw_reuse=0";
	case TCPWHY_TW_LOOPBACK_ONLY:
		return "net.ipv4.tcp_tw_reuse=2 covers loopback only";
	case TCPWHY_TW_TOO_YOUNG:
		return "the connections closed too short a time ago "
		       "(net.ipv4.tcp_tw_reuse_delay)";
	case TCPWHY_TW_REASONS:
		break;
	}
	return "";
}

/* One count with its word, never parted by the margin. */
static void print_count(struct fold *f, uint32_t n, const char *what, bool last)
{
	char item[RESULT_TEXT_MAX];
	struct text t = text_in(item, sizeof(item));

	text_count(&t, n);
	text_char(&t, ' ');
	text_add(&t, what);
	text_add(&t, last ? "" : " \xc2\xb7");
	if (f->column + 1 + fold_columns(item) > FOLD_WIDTH)
		fold_newline(f);
	fold_to(f, f->column < f->indent ? f->indent : f->column);
	fold_plain(f, item);
}

static void print_ports(const struct result *r, FILE *out)
{
	const struct tcpwhy_verdict *v = &r->verdict;
	uint32_t kept = kept_of(v), living = v->range_taken - kept;
	struct fold f = labelled(out, "ports");
	char source[ENDPOINT_TEXT_MAX];

	fold_words(&f, "from");
	fold_words(&f, name_address(&r->connect.request.source, r->connect.request.family, source));
	fold_plain(&f, " ");
	print_count(&f, v->range_free, "free", false);
	print_count(&f, v->range_reusable, "reusable", false);
	print_count(&f, living, "connected", false);
	print_count(&f, kept, "TIME_WAIT", false);
	print_count(&f, v->range_reserved, "reserved", false);
	print_count(&f, v->range_owned, "owned by bind()", !v->range_unknown);
	if (v->range_unknown)
		print_count(&f, v->range_unknown, "unknown", true);
	fold_newline(&f);
	if (!kept)
		return;
	f = labelled(out, "");
	fold_words(&f, v->range_reusable ? "not all of TIME_WAIT is reusable because"
					 : "reusable is 0 because");
	fold_words(&f, reason_words(main_reason(v)));
	fold_newline(&f);
}

/* ------------------------------------------------------------------------------------ the holders
 */

#define SHOWN        3 /* so that the cures stay on the screen */
#define OWNERS_SHOWN 3 /* of one socket; --json has more */
#define NOTHING      "-"
#define OWNER_ROOM   20 /* with less, an owner that does not fit has lines of its own */

enum column { STATE, LOCAL, PEER, LEFT, REUSEADDR, REUSEPORT, OWNER, COLUMNS };

static const char *const titles[COLUMNS] = {"STATE",     "LOCAL",     "PEER", "LEFT",
					    "REUSEADDR", "REUSEPORT", "OWNER"};

/* One row of the table as text. */
struct row {
	char cell[COLUMNS][ENDPOINT_TEXT_MAX];
	char owner[RESULT_TEXT_MAX];
};

/* Of a living process its name says more, but where the uid decides. */
static void add_uid(struct text *t, const struct result_holder *h, bool wanted)
{
	if (!wanted || !h->seen.o.uid_known)
		return;
	text_add(t, ", uid ");
	text_number(t, h->seen.o.uid);
}

static void write_processes(struct text *t, const struct result_holder *h)
{
	unsigned shown = h->owners_n < OWNERS_SHOWN ? h->owners_n : OWNERS_SHOWN;

	for (unsigned i = 0; i < shown; i++) {
		const struct result_owner *o = &h->owners[i];
		text_add(t, i ? ", " : "");
		text_add(t, o->comm);
		text_char(t, '[');
		text_number(t, (uint64_t)o->pid);
		text_char(t, ']');
		/* Workers of one unit follow each other: it is named behind the last. */
		if (o->unit[0] && (i + 1 == shown || strcmp(o->unit, h->owners[i + 1].unit))) {
			text_add(t, " of ");
			text_add(t, o->unit);
		}
	}
	if (h->owners_more || h->owners_n > shown)
		text_add(t, " and more");
}

/* No process has it open, and none has closed it. */
static bool is_unaccepted(const struct tcpwhy_owner *o)
{
	return o->state == TCPWHY_ESTABLISHED || o->state == TCPWHY_CLOSE_WAIT;
}

static void write_owner(struct row *row, const struct result_holder *h)
{
	struct text t = text_in(row->owner, sizeof(row->owner));
	bool uid_decides =
		h->why == TCPWHY_H_BOUND_OTHER_UID || h->why == TCPWHY_H_LISTENER_OTHER_UID;

	if (h->owners_n)
		write_processes(&t, h);
	else if (h->seen.o.timewait)
		text_add(&t, "ended");
	else if (load_is_orphan(&h->seen))
		text_add(&t, "closed by its process");
	else if (h->owners_unseen)
		text_add(&t, "not visible to this user");
	else if (h->seen.inode)
		text_add(&t, "no process visible from this PID namespace");
	else
		text_add(&t, is_unaccepted(&h->seen.o) ? "not accepted yet" : "no process");
	add_uid(&t, h, h->owners_n ? uid_decides : h->seen.inode != 0);
}

static const char *reuse_word(uint8_t reuse)
{
	switch ((enum tcpwhy_reuse)reuse) {
	case TCPWHY_REUSE_NO:
		return "no";
	case TCPWHY_REUSE_CAN:
	case TCPWHY_REUSE_FORCE:
		return "yes";
	case TCPWHY_REUSE_UNKNOWN:
		break;
	}
	return "?";
}

static const char *tri_word(uint8_t tri)
{
	return tri == TCPWHY_UNKNOWN ? "?" : tri == TCPWHY_YES ? "yes" : "no";
}

static void write_row(struct row *row, const struct result *r, const struct result_holder *h)
{
	const struct tcpwhy_owner *o = &h->seen.o;
	struct text t = text_in(row->cell[LEFT], sizeof(row->cell[LEFT]));

	strcpy(row->cell[STATE], tcpwhy_state_name((enum tcpwhy_state)o->state));
	name_endpoint(&o->local, o->port, o->family, row->cell[LOCAL]);
	strcpy(row->cell[PEER], NOTHING);
	if (name_has_peer(o))
		name_endpoint(&o->peer, o->peer_port, o->family, row->cell[PEER]);
	if (o->timewait && o->expires_ns)
		text_seconds(&t, left_ns(r, o->expires_ns));
	else
		text_add(&t, NOTHING);
	strcpy(row->cell[REUSEADDR], reuse_word(o->reuse));
	strcpy(row->cell[REUSEPORT], tri_word(o->reuseport));
	row->cell[OWNER][0] = '\0';
	write_owner(row, h);
}

/* Widths of the table, and whether the peer has a line of its own (two long IPv6 addresses do not
 * fit one). */
struct layout {
	int width[COLUMNS]; /* 0: the column is left out, it says nothing */
	bool tall;
};

/* Whether a cell says something. SO_REUSEPORT is rare: it is told where one side has it. */
static bool has_content(const struct result *r, const struct row *row, int c)
{
	if (c == REUSEPORT)
		return r->question.reuseport || strcmp(row->cell[c], "no") != 0;
	return (c != PEER && c != LEFT) || strcmp(row->cell[c], NOTHING) != 0;
}

static struct layout lay_out(const struct result *r, size_t shown)
{
	struct layout l = {.tall = false};
	int total = LABEL;

	for (size_t i = 0; i < shown; i++) {
		struct row row;
		write_row(&row, r, &r->holders[i]);
		for (int c = STATE; c < OWNER; c++) {
			if (has_content(r, &row, c) && fold_columns(titles[c]) > l.width[c])
				l.width[c] = fold_columns(titles[c]);
			if (has_content(r, &row, c) && fold_columns(row.cell[c]) > l.width[c])
				l.width[c] = fold_columns(row.cell[c]);
		}
	}
	for (int c = STATE; c < OWNER; c++)
		total += l.width[c] ? l.width[c] + 2 : 0;
	l.tall = total > FOLD_WIDTH;
	return l;
}

static void print_cells(struct fold *f, const struct layout *l, const struct row *row)
{
	int column = LABEL;

	for (int c = STATE; c < OWNER; c++) {
		if (!l->width[c] || (c == PEER && l->tall))
			continue;
		if (column > LABEL)
			fold_to(f, column);
		fold_plain(f, row->cell[c]);
		column += l->width[c] + 2;
	}
	f->indent = column;
}

static void print_row(struct fold *f, const struct layout *l, const struct row *row)
{
	int below = LABEL + l->width[STATE] + 2;

	print_cells(f, l, row);
	if (FOLD_WIDTH - f->indent < OWNER_ROOM &&
	    f->indent + fold_columns(row->owner) > FOLD_WIDTH) {
		f->indent = below;
		fold_newline(f);
	} else {
		fold_to(f, f->indent);
	}
	fold_words(f, row->owner);
	fold_newline(f);
	if (l->tall && strcmp(row->cell[PEER], NOTHING) != 0) {
		fold_to(f, below);
		fold_plain(f, "peer ");
		fold_plain(f, row->cell[PEER]);
		fold_newline(f);
	}
}

static void print_titles(struct fold *f, const struct layout *l)
{
	struct row row;

	for (int c = STATE; c < COLUMNS; c++)
		strcpy(row.cell[c], titles[c]);
	if (l->tall)
		strcpy(row.cell[PEER], NOTHING);
	strcpy(row.owner, titles[OWNER]);
	print_row(f, l, &row);
}

static void print_holders(const struct result *r, bool all, FILE *out)
{
	size_t shown = all || r->holders_n <= SHOWN ? r->holders_n : SHOWN;
	struct layout l = lay_out(r, shown);
	struct fold f = labelled(out, "holders");

	print_titles(&f, &l);
	for (size_t i = 0; i < shown; i++) {
		struct row row;
		write_row(&row, r, &r->holders[i]);
		fold_to(&f, LABEL);
		print_row(&f, &l, &row);
	}
	if (r->verdict.holders <= shown)
		return;
	char line[RESULT_TEXT_MAX];
	struct text t = text_in(line, sizeof(line));
	text_count(&t, r->verdict.holders - shown);
	text_add(&t, " more: --holders lists all");
	fold_to(&f, LABEL);
	fold_plain(&f, line);
	fold_newline(&f);
}

/* ------------------------------------------------------------------------- cures, no help, unknown
 */

static void print_cure(struct fold *f, const struct cure *c)
{
	f->indent = LABEL + 3;
	if (c->command[0])
		fold_plain(f, c->command);
	else
		fold_words(f, c->does);
	/* Beside it if there is room, else below; a command ends where its line ends. */
	if (f->column + 3 + fold_columns(c->costs) > FOLD_WIDTH)
		fold_newline(f);
	else
		fold_plain(f, "  ");
	fold_words(f, c->costs);
	if (!c->proven)
		fold_words(f, "(as far as can be seen)");
	fold_newline(f);
}

static void print_cures(const struct result *r, FILE *out)
{
	for (size_t i = 0; i < r->cures_n; i++) {
		struct fold f = labelled(out, i ? "" : "cures");
		char number[8];
		struct text t = text_in(number, sizeof(number));

		text_number(&t, i + 1);
		fold_plain(&f, number);
		fold_to(&f, LABEL + 3);
		print_cure(&f, &r->cures[i]);
	}
}

static void print_no_help(const struct result *r, FILE *out)
{
	struct fold f;

	for (size_t i = 0; i < r->no_help_n; i++) {
		char line[2 * CURE_TEXT_MAX];
		struct text t = text_in(line, sizeof(line));

		text_add(&t, r->no_help[i].what);
		text_add(&t, " (");
		text_add(&t, r->no_help[i].because);
		text_add(&t, i + 1 < r->no_help_n ? ") \xc2\xb7" : ")");
		if (i == 0)
			f = labelled(out, "no help");
		fold_words(&f, line);
	}
	if (r->no_help_n)
		fold_newline(&f);
}

static void print_unknown(const struct result *r, FILE *out)
{
	for (size_t i = 0; i < r->unknown_n; i++) {
		struct fold f = labelled(out, i ? "" : "not seen");

		fold_words(&f, r->unknown[i]);
		fold_newline(&f);
	}
}

void report_screen(const struct result *r, bool all_holders, FILE *out)
{
	print_verdict(r, out);
	if (r->tried.done)
		print_try(r, out);
	fputc('\n', out);
	print_why(r, out);
	if (r->call == TCPWHY_CALL_CONNECT && r->connect.from != FROM_BIND_FIRST &&
	    r->verdict.range_total)
		print_ports(r, out);
	if (r->holders_n) {
		fputc('\n', out);
		print_holders(r, all_holders, out);
	}
	if (r->cures_n || r->no_help_n)
		fputc('\n', out);
	print_cures(r, out);
	print_no_help(r, out);
	if (r->unknown_n)
		fputc('\n', out);
	print_unknown(r, out);
}
