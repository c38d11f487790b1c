/* SPDX-License-Identifier: MIT
 *
 * port_list.c - who has which port of the pool, and who bound one without asking
 *
 * The pool knows of leases, the kernel of sockets. Both are shown, a port a line: a listener or a
 * bound socket on a port that nobody leased is foreign, and the next reserved lease of it would be
 * of no use.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/port.h"
#include "live/owners.h"
#include "live/sockdiag.h"
#include "report/value.h"

/* Sockets that are asked for their processes; a pool full of listeners has no more to say. */
enum { BOUND_MAX = 4096 };

struct row {
	struct tcpwhy_port port;
	struct result_holder *bound; /* NULL: no listener or bound socket */
};

struct look {
	struct tcpwhy_pool_state state;
	struct row *rows;
	unsigned n, taken;
	struct result_holder *bound;
	size_t bound_n;
	bool bound_more, sockets_unseen;
};

static struct row *row_of(const struct look *look, uint16_t port)
{
	return port < look->state.low || port > look->state.high
		       ? NULL
		       : &look->rows[port - look->state.low];
}

static int take_port(void *ctx, const struct tcpwhy_port *port)
{
	struct look *look = ctx;
	struct row *row = row_of(look, port->port);

	if (row)
		row->port = *port;
	return 0;
}

/* Sockets that hold a port for themselves. Connections that were accepted on it do not. */
static int take_socket(const struct snapshot_owner *owner, void *ctx)
{
	struct look *look = ctx;

	if (!row_of(look, owner->o.port) ||
	    (owner->o.state != TCPWHY_LISTEN && owner->o.state != TCPWHY_BOUND))
		return 0;
	if (look->bound_n == BOUND_MAX) {
		look->bound_more = true;
		return 0;
	}
	look->bound[look->bound_n++] = (struct result_holder){.seen = *owner};
	return 0;
}

static void take_again(void *ctx)
{
	struct look *look = ctx;

	look->bound_n = 0;
	look->bound_more = false;
}

static bool is_free(const struct tcpwhy_port *p)
{
	return p->state == TCPWHY_PORT_FREE || p->state == TCPWHY_PORT_ENDED;
}

static void look_at_sockets(struct look *look)
{
	bool bound_seen = false;

	if (sockdiag_stream(take_socket, take_again, look, &bound_seen) || !bound_seen)
		look->sockets_unseen = true;
	owners_of(look->bound, look->bound_n);
	for (size_t i = 0; i < look->bound_n; i++) {
		struct row *row = row_of(look, look->bound[i].seen.o.port);

		if (!row->bound && is_free(&row->port))
			look->taken++;
		row->bound = &look->bound[i];
	}
}

static void look_free(struct look *look)
{
	free(look->rows);
	free(look->bound);
	free(look);
}

/* NULL: no memory. */
static struct look *look_at(struct tcpwhy_pool *pool)
{
	struct look *look = calloc(1, sizeof(*look));

	if (!look)
		return NULL;
	tcpwhy_pool_look(pool, &look->state);
	look->n = (unsigned)(look->state.high - look->state.low) + 1;
	look->rows = calloc(look->n, sizeof(*look->rows));
	look->bound = calloc(BOUND_MAX, sizeof(*look->bound));
	if (!look->rows || !look->bound) {
		look_free(look);
		return NULL;
	}
	tcpwhy_pool_list(pool, take_port, look);
	look_at_sockets(look);
	return look;
}

/* ------------------------------------------------------------------------------------ the words */

static const char *state_word(const struct row *row)
{
	static const char *const names[] = {"free", "leased", "ended", "damaged", "withheld"};

	return row->bound && is_free(&row->port) ? "taken" : names[row->port.state];
}

/* "nginx[12]"; "" if it is gone, or not to be seen from here. */
static void say_holder(const struct tcpwhy_port *p, char *out, size_t size)
{
	char path[32], comm[32] = "";
	FILE *file;

	out[0] = '\0';
	if (!p->pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	file = p->foreign || p->state != TCPWHY_PORT_LEASED ? NULL : fopen(path, "re");
	if (file && fgets(comm, sizeof(comm), file))
		comm[strcspn(comm, "\n")] = '\0';
	if (file)
		fclose(file);
	/* A name is whatever its process wanted. */
	for (char *c = comm; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	snprintf(out, size, "%s[%d]%s", comm, (int)p->pid, p->foreign ? " of another PID ns" : "");
}

static void say_bound(const struct row *row, char *out, size_t size)
{
	const struct result_owner *owner;

	out[0] = '\0';
	if (!row->bound)
		return;
	if (!row->bound->owners_n) {
		snprintf(out, size, "a process not to be seen from here");
		return;
	}
	owner = &row->bound->owners[0];
	snprintf(out, size, "%s[%d]%s", owner->comm, owner->pid,
		 row->bound->owners_n > 1 || row->bound->owners_more ? " and others" : "");
}

static void say_time(uint64_t ns, char *out, size_t size)
{
	struct text t = text_in(out, size);

	if (ns)
		text_seconds(&t, ns);
}

/* --------------------------------------------------------------------------------- the withheld */

struct withheld {
	unsigned n;
	uint64_t longest_ns;
};

static int take_withheld(void *ctx, const struct tcpwhy_port *p)
{
	struct withheld *w = ctx;

	if (p->state == TCPWHY_PORT_WITHHELD) {
		w->n++;
		w->longest_ns = p->left_ns > w->longest_ns ? p->left_ns : w->longest_ns;
	}
	return 0;
}

bool port_withheld(struct tcpwhy_pool *pool, char *out, size_t size)
{
	struct withheld w = {0};
	struct text t = text_in(out, size);

	tcpwhy_pool_list(pool, take_withheld, &w);
	if (!w.n)
		return false;
	text_counted(&t, w.n, "port");
	text_add(&t, w.n == 1 ? " is withheld, for another " : " are withheld, for another ");
	text_seconds(&t, w.longest_ns);
	text_add(&t, w.n == 1
			     ? ": its entry in the file was lost, and with it who has it"
			     : ": their entries in the file were lost, and with them who has them");
	return true;
}

/* ------------------------------------------------------------------------------------ to people */

static bool is_worth_a_line(const struct row *row)
{
	return row->bound || row->port.state != TCPWHY_PORT_FREE;
}

/* Without blanks at the end, where the last columns are empty. */
static void print_columns(const char *const cells[static 7])
{
	static const int widths[] = {6, 8, 9, 9, 9, 20, 0};
	int last = 6;

	while (last > 0 && !cells[last][0])
		last--;
	for (int i = 0; i < last; i++)
		printf("%-*s ", widths[i], cells[i]);
	puts(cells[last]);
}

static void print_row(const struct row *row)
{
	char port[8], holder[64], bound[96], since[32], left[32];
	bool leased = row->port.state == TCPWHY_PORT_LEASED;

	snprintf(port, sizeof(port), "%u", row->port.port);
	say_holder(&row->port, holder, sizeof(holder));
	say_bound(row, bound, sizeof(bound));
	say_time(is_free(&row->port) ? 0 : row->port.since_ns, since, sizeof(since));
	say_time(row->port.left_ns, left, sizeof(left));
	print_columns((const char *const[]){port, state_word(row),
					    !leased          ? ""
					    : row->port.held ? "held"
							     : "reserved",
					    since, left, holder, bound});
}

static void print_sum(const struct look *look)
{
	const struct tcpwhy_pool_state *s = &look->state;
	char line[256];
	struct text t = text_in(line, sizeof(line));

	text_number(&t, s->low);
	text_char(&t, '-');
	text_number(&t, s->high);
	text_add(&t, "   ");
	text_count(&t, s->leased);
	text_add(&t, " leased, ");
	text_count(&t, s->free + s->ended - look->taken);
	text_add(&t, " free");
	if (look->taken) {
		text_add(&t, ", ");
		text_count(&t, look->taken);
		text_add(&t, " taken without a lease");
	}
	if (s->damaged) {
		text_add(&t, ", ");
		text_count(&t, s->damaged);
		text_add(&t, " damaged");
	}
	if (s->withheld) {
		text_add(&t, ", ");
		text_count(&t, s->withheld);
		text_add(&t, " withheld");
	}
	puts(line);
}

static void print_unseen(const struct look *look)
{
	if (look->sockets_unseen)
		puts("not looked at: sockets that only bound (this kernel lists none)");
	if (look->bound_more)
		printf("not looked at: more than %d listeners\n", BOUND_MAX);
}

static void print_header(void)
{
	putchar('\n');
	print_columns((const char *const[]){"PORT", "STATE", "GRADE", "SINCE", "LEFT", "LEASED TO",
					    "BOUND BY"});
}

static void print_list(const struct look *look)
{
	bool header = false;

	print_sum(look);
	for (unsigned i = 0; i < look->n; i++) {
		if (!is_worth_a_line(&look->rows[i]))
			continue;
		if (!header)
			print_header();
		header = true;
		print_row(&look->rows[i]);
	}
	print_unseen(look);
}

/* ---------------------------------------------------------------------------------- to programs */

static json_t *json_bound(const struct row *row)
{
	json_t *list = json_array();

	for (unsigned i = 0; row->bound && i < row->bound->owners_n; i++)
		json_array_append_new(list,
				      json_pack("{s:i, s:o}", "pid", row->bound->owners[i].pid,
						"comm", value_string(row->bound->owners[i].comm)));
	return list;
}

static json_t *json_seconds(uint64_t ns)
{
	return ns ? json_real((double)ns / 1e9) : json_null();
}

static json_t *json_row(const struct row *row)
{
	const struct tcpwhy_port *p = &row->port;
	bool leased = p->state == TCPWHY_PORT_LEASED;

	return json_pack("{s:i, s:s, s:s?, s:o, s:b, s:o, s:o, s:o, s:b, s:o}", "port",
			 (int)p->port, "state", state_word(row), "grade",
			 !leased   ? NULL
			 : p->held ? "held"
				   : "reserved",
			 "pid", p->pid ? json_integer(p->pid) : json_null(), "other_pid_namespace",
			 (int)p->foreign, "uid", p->pid ? json_integer(p->uid) : json_null(),
			 "since_s", json_seconds(p->since_ns), "left_s", json_seconds(p->left_ns),
			 "bound", row->bound != NULL, "bound_by", json_bound(row));
}

static json_t *json_pool(const struct look *look)
{
	const struct tcpwhy_pool_state *s = &look->state;

	return json_pack("{s:i, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "low", (int)s->low,
			 "high", (int)s->high, "file", s->path, "leased", (json_int_t)s->leased,
			 "free", (json_int_t)s->free, "ended", (json_int_t)s->ended, "damaged",
			 (json_int_t)s->damaged, "withheld", (json_int_t)s->withheld, "taken",
			 (json_int_t)look->taken, "recovered", (json_int_t)s->recovered);
}

static bool print_list_json(const struct look *look)
{
	json_t *rows = json_array();

	for (unsigned i = 0; i < look->n; i++)
		if (is_worth_a_line(&look->rows[i]))
			json_array_append_new(rows, json_row(&look->rows[i]));
	return value_print(json_pack("{s:i, s:o, s:o, s:b}", "schema", 1, "pool", json_pool(look),
				     "ports", rows, "bound_unseen",
				     look->sockets_unseen || look->bound_more),
			   stdout);
}

int port_list(const struct port_request *q)
{
	struct tcpwhy_pool *pool;
	struct look *look;
	bool ok = true;
	int status = port_open(q, true, &pool);

	if (status)
		return status;
	look = look_at(pool);
	tcpwhy_pool_close(pool);
	if (!look)
		return command_failed("port", q->json, "no memory");
	if (q->json)
		ok = print_list_json(look);
	else
		print_list(look);
	look_free(look);
	return command_written("port", ok, STATUS_OK);
}

/* ---------------------------------------------------------------------------------------- check */

struct trouble {
	bool bad;
	char text[2048];
};

enum { FINDINGS_MAX = 5 };

static unsigned find(const struct port_request *q, const struct look *look,
		     struct tcpwhy_pool *pool, int recovered, struct trouble out[FINDINGS_MAX])
{
	const struct tcpwhy_pool_state *s = &look->state;
	struct tcpwhy_pool_why why = {""};
	char place[PORT_PLACE_MAX];
	unsigned n = 0;

	if (tcpwhy_pool_check_range(s->low, s->high, &why))
		snprintf(out[n++].text, sizeof(out[0].text),
			 "%s; tcpwhy port init %u-%u --reserve%s", why.text, s->low, s->high,
			 port_place(q, place));
	if (look->taken)
		snprintf(out[n++].text, sizeof(out[0].text),
			 "%u port%s bound by processes without a lease; tcpwhy port list",
			 look->taken, look->taken == 1 ? " is" : "s are");
	if (s->damaged)
		snprintf(out[n++].text, sizeof(out[0].text), "%u entries of the file are damaged",
			 s->damaged);
	for (unsigned i = 0; i < n; i++)
		out[i].bad = true;
	if (port_withheld(pool, out[n].text, sizeof(out[0].text)))
		n++;
	if (recovered)
		snprintf(out[n++].text, sizeof(out[0].text),
			 "%d port%s came back from processes that are gone", recovered,
			 recovered == 1 ? "" : "s");
	return n;
}

static bool print_findings(const struct port_request *q, const struct look *look,
			   const struct trouble *found, unsigned n)
{
	json_t *list;

	if (!q->json) {
		print_sum(look);
		for (unsigned i = 0; i < n; i++)
			printf("%-5s%s\n", found[i].bad ? "BAD" : "ok", found[i].text);
		return true;
	}
	list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s}", "severity",
						      found[i].bad ? "bad" : "ok", "because",
						      found[i].text));
	return value_print(json_pack("{s:i, s:o, s:o}", "schema", 1, "pool", json_pool(look),
				     "findings", list),
			   stdout);
}

int port_check(const struct port_request *q)
{
	struct trouble found[FINDINGS_MAX] = {{0}};
	struct tcpwhy_pool *pool;
	struct look *look;
	unsigned n = 0, bad = 0;
	int recovered, status = port_open(q, false, &pool);

	if (status)
		return status;
	recovered = tcpwhy_pool_recover(pool);
	look = look_at(pool);
	if (look && recovered >= 0)
		n = find(q, look, pool, recovered, found);
	tcpwhy_pool_close(pool);
	if (!look || recovered < 0) {
		if (look)
			look_free(look);
		return command_failed("port", q->json, look ? strerror(-recovered) : "no memory");
	}
	for (unsigned i = 0; i < n; i++)
		bad += found[i].bad;
	status = command_written("port", print_findings(q, look, found, n),
				 bad ? STATUS_REFUSED : STATUS_OK);
	look_free(look);
	return status;
}
