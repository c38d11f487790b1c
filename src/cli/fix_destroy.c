/* SPDX-License-Identifier: MIT
 *
 * tcpwhy fix destroy-time-wait: what it was asked to do, what it did, what is given up by it
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/fix_options.h"
#include "cli/fix_proof.h"
#include "cure/apply.h"
#include "live/heap.h"

/* More would push the first line off the screen; --json has them. */
#define ROWS_MAX 8

struct request {
	struct fix_options o;
	struct plan_place place;
	const char
		*text; /* the address as it was typed, or the destination that connect() goes to */
	const char *to, *from;
	char destination[ENDPOINT_TEXT_MAX];
	const char *device; /* NULL none; --device, or the zone of a link-local address */
	char zone[ZONE_TEXT_MAX];
};

static const char usage_text[] =
	"usage: tcpwhy fix destroy-time-wait ADDR:PORT [options]\n"
	"       tcpwhy fix destroy-time-wait --to ADDR:PORT [--from ADDR] [options]\n"
	"\n"
	"Destroys what TIME_WAIT, and FIN_WAIT2 without a process, holds of a local port, so that\n"
	"a server can bind it again at once. No other socket is touched. 0.0.0.0 is every IPv4\n"
	"address, [::] every address. With --to: what they hold towards a destination, so that\n"
	"connect() finds ports for it again.\n"
	"\n"
	"  --to ADDR:PORT     those of connections to that destination\n"
	"  --from ADDR        of these, only those from that local address\n"
	"  --v6only           leaves IPv4 alone, as a v6only server would\n"
	"  --device IF        for a server bound to that device\n";

/* ------------------------------------------------------------------------------------ the words */

/* "3 TIME_WAIT" or "2 TIME_WAIT and 1 orphan FIN_WAIT2". */
static void add_kinds(struct text *t, size_t all, size_t fin_wait2)
{
	if (all > fin_wait2 || !all) {
		text_count(t, all - fin_wait2);
		text_add(t, " TIME_WAIT");
	}
	if (all > fin_wait2 && fin_wait2)
		text_add(t, " and ");
	if (fin_wait2) {
		text_count(t, fin_wait2);
		text_add(t, " FIN_WAIT2 without a process");
	}
}

static void say_answer(const struct request *q, const struct apply_report *r, struct text *t)
{
	size_t planned = r->plan.by_fate[PLAN_DESTROY];

	switch (r->end) {
	case CHANGE_NOTHING:
		text_add(t, q->to ? "no TIME_WAIT towards " : "no TIME_WAIT holds ");
		text_add(t, q->text);
		text_add(t, ": nothing to do");
		return;
	case CHANGE_DRY_RUN:
		text_add(t, "would destroy ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case CHANGE_DONE:
		text_add(t, "destroyed ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case CHANGE_LEFT:
		text_add(t, "destroyed ");
		text_count(t, r->destroyed);
		text_add(t, " of ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case CHANGE_REFUSED:
		text_add(t, "destroyed none of ");
		add_kinds(t, planned + r->plan.by_fate[PLAN_NAMELESS], r->plan.fin_wait2);
		break;
	}
	text_add(t, q->to ? " towards " : " on ");
	text_add(t, q->text);
	if (r->end == CHANGE_DRY_RUN)
		return;
	text_add(t, "; ");
	text_count(t, r->still + r->fresh + r->plan.by_fate[PLAN_NAMELESS]);
	text_add(t, " left");
}

static void say_price(const struct apply_report *r, struct text *t)
{
	text_add(t,
		 "A late segment of one of these connections is no longer caught: a new connection "
		 "between the same ends could take it for its own data. They would have caught it "
		 "for another ");
	text_seconds(t, r->plan.longest_ns);
	text_add(t, " at most.");
}

/* The first of them, as lines. */
static void say_sockets(const struct apply_report *r, char *lines, size_t size)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX], left[32];
	size_t n = r->shown_n < ROWS_MAX ? r->shown_n : ROWS_MAX;
	size_t all = r->plan.by_fate[PLAN_DESTROY], used = 0;

	lines[0] = '\0';
	for (size_t i = 0; i < n && used < size; i++) {
		const struct tcpwhy_owner *o = &r->shown[i].seen.o;
		struct text t = text_in(left, sizeof(left));

		text_seconds(&t, r->shown[i].left_ns);
		if (i == 0)
			used = (size_t)snprintf(lines, size, "%-10s %-22s %-22s %s\n", "STATE",
						"LOCAL", "PEER", "LEFT");
		used += (size_t)snprintf(lines + used, size - used, "%-10s %-22s %-22s %s\n",
					 tcpwhy_state_name((enum tcpwhy_state)o->state),
					 endpoint_format(&o->local, o->port, false, local),
					 endpoint_format(&o->peer, o->peer_port, false, peer),
					 left);
	}
	if (all > n && used < size)
		snprintf(lines + used, size - used, "%zu more\n", all - n);
}

static json_t *json_sockets(const struct apply_report *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->shown_n; i++) {
		const struct tcpwhy_owner *o = &r->shown[i].seen.o;
		char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

		endpoint_format(&o->local, o->port, false, local);
		endpoint_format(&o->peer, o->peer_port, false, peer);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:f}", "local", local, "peer", peer,
					"state", tcpwhy_state_name((enum tcpwhy_state)o->state),
					"expires_s", (double)r->shown[i].left_ns / 1e9));
	}
	return list;
}

static json_t *json_members(const struct request *q, const struct apply_report *r)
{
	char address[ADDRESS_TEXT_MAX];

	return json_pack("{s:s?, s:o, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:b}",
			 "address",
			 q->to && !q->from ? NULL : address_format(&q->place.addr, address), "port",
			 q->to ? json_null() : json_integer(q->place.port), "to",
			 q->to ? q->text : NULL, "netns", (json_int_t)r->netns, "found",
			 (json_int_t)r->plan.by_fate[PLAN_DESTROY], "found_fin_wait2",
			 (json_int_t)r->plan.fin_wait2, "destroyed", (json_int_t)r->destroyed,
			 "left", (json_int_t)(r->still + r->plan.by_fate[PLAN_NAMELESS]), "new",
			 (json_int_t)r->fresh, "spared", (json_int_t)r->plan.by_fate[PLAN_LIVING],
			 "longest_s", (double)r->plan.longest_ns / 1e9, "sockets", json_sockets(r),
			 "truncated", r->truncated);
}

/* ---------------------------------------------------------------------------------------- the form
 */

static void fill_parts(const struct request *q, const struct apply_report *r, struct fixed *f)
{
	char line[1024];
	struct text t;

	say_sockets(r, line, sizeof(line));
	fixed_add_table(f, "found", line);
	fixed_add(f, "why", "%s", r->because);
	if (r->plan.by_fate[PLAN_DESTROY] && r->end != CHANGE_REFUSED) {
		t = text_in(line, sizeof(line));
		say_price(r, &t);
		fixed_add(f, "given up", "%s", line);
	}
	if (r->plan.by_fate[PLAN_LIVING]) {
		t = text_in(line, sizeof(line));
		text_counted(&t, r->plan.by_fate[PLAN_LIVING], "living socket");
		text_add(&t,
			 q->to ? " towards it, not touched" : " on the same place, not touched");
		fixed_add(f, "spared", "%s", line);
	}
	if (r->truncated)
		fixed_add(f, "unknown", "there were more sockets than could be read; run it again");
}

/* Shows the report; the status. f may have parts already. */
static int show(const struct request *q, const struct apply_report *r, struct fixed *f)
{
	struct text t = text_in(f->answer, sizeof(f->answer));
	json_t *members = json_members(q, r);

	f->end = fix_end_of(r->end);
	f->error = r->error;
	f->unprivileged = r->unprivileged;
	f->id = r->id;
	json_object_update(f->more, members);
	json_decref(members);
	say_answer(q, r, &t);
	fill_parts(q, r, f);
	memcpy(f->journal, r->journal, sizeof(f->journal));
	return fix_end(f, &q->o);
}

/* ------------------------------------------------------------------------------------------ proof
 */

/* The world without those that would be destroyed. The bind hash does not always show their
 * cookies; the listing that they are destroyed by does. */
static void suppose_destroyed(struct snapshot *snap, const void *ctx)
{
	struct plan plan;
	size_t n = 0;

	if (!snap->owners_n || plan_make(ctx, snap, &heap_memory, &plan))
		return;
	for (size_t i = 0; i < snap->owners_n; i++)
		if (plan.fates[i] != PLAN_DESTROY && plan.fates[i] != PLAN_NAMELESS)
			snap->owners[n++] = snap->owners[i];
	snap->owners_n = n;
	plan_free(&plan, &heap_memory);
}

/* connect() there, asked with and without them: from the bind hash, which alone shows whose the
 * ports are. */
static void prove(struct request *q, const struct plan_place *place, struct fixed *f)
{
	struct fix_question *question = calloc(1, sizeof(*question));
	char text[FIX_QUESTION_MAX];
	struct live *live;
	struct err err;
	int rc = question ? 0 : -ENOMEM;

	snprintf(err.text, sizeof(err.text), "no memory");
	snprintf(text, sizeof(text), "connect %s%s%s", q->text, q->from ? " --from " : "",
		 q->from ? q->from : "");
	if (!rc)
		rc = fix_question_parse(text, question, &err);
	if (!rc)
		rc = fix_open(&q->o, 0, &live, &err);
	if (!rc) {
		fix_proof(live, &q->o.target, question, suppose_destroyed, place, f);
		live_close(live);
	} else {
		fixed_add(f, "proof", "could not be asked: %s", err.text);
	}
	free(question);
}

/* --------------------------------------------------------------------------------------- the call
 */

static int find_device(struct live *live, const struct request *q, struct plan_place *place,
		       struct err *err)
{
	if (!q->device)
		return 0;
	place->device = live_device_index(live, q->device);
	if (place->device)
		return 0;
	snprintf(err->text, sizeof(err->text), "there is no device '%s' in this namespace",
		 q->device);
	return -ENODEV;
}

/* From the listing, which gives the cookies, and beside it iter/tcp: it alone shows IPV6_V6ONLY of
 * a mini-socket, which decides whether 0.0.0.0 meets it. */
static int destroy_time_wait(struct request *q)
{
	const unsigned avoid = LIVE_AVOID_BIND_HASH | LIVE_AVOID_PIDFD;
	const struct change_how how = {.dry_run = q->o.dry_run, .journal = q->o.journal};
	struct fixed f = {.verb = "destroy-time-wait", .more = json_object()};
	struct apply_report *report = calloc(1, sizeof(*report));
	struct plan_place place = q->place;
	struct live *live = NULL;
	struct err err = {"no memory"};
	int rc = report ? fix_open(&q->o, avoid, &live, &err) : -ENOMEM;

	if (!rc)
		rc = find_device(live, q, &place, &err);
	if (!rc && q->to)
		prove(q, &place, &f);
	if (!rc)
		rc = apply_destroy_time_wait(live, &place, &heap_memory, &how, report, &err);
	if (rc) {
		json_decref(f.more);
		rc = fix_failed(&q->o, err.text);
	} else {
		rc = show(q, report, &f);
	}
	live_close(live);
	free(report);
	return rc;
}

/* What must be true of either end. */
static int parse_end(const struct fix_verb *verb, const char *text, struct tcpwhy_addr *addr,
		     uint16_t *port, struct request *q)
{
	enum tcpwhy_family family;
	const char *wrong = endpoint_parse_zone(text, addr, &family, port, q->zone);

	if (wrong)
		return fix_usage(verb, wrong, text);
	if (!*port)
		return fix_usage(verb, "port 0 is no port that anything holds", text);
	if (q->zone[0])
		q->device = q->zone;
	q->place.family = (uint8_t)family;
	q->text = text;
	return STATUS_OK;
}

/* To the wildcard, connect() goes to its own address, or else to the loopback's
 * (ip_route_output_key(), tcp_v6_connect()). */
static void go_to_loopback(struct request *q)
{
	static const struct tcpwhy_addr loopback6 = {.b = {[15] = 1}};
	bool v4 = address_is_v4(&q->place.peer);

	if (!address_is_any(&q->place.peer))
		return;
	if (v4 && q->from && !address_is_any(&q->place.addr))
		q->place.peer = q->place.addr;
	else
		q->place.peer = v4 ? address_v4_number(0x7f000001) : loopback6;
	endpoint_format(&q->place.peer, q->place.peer_port, false, q->destination);
	q->text = q->destination;
}

static int parse_destination(const struct fix_verb *verb, int n, char **texts, struct request *q)
{
	enum tcpwhy_family family;
	int status;

	if (n)
		return fix_usage(verb, "either a local ADDR:PORT or --to", texts[0]);
	if (q->place.v6only)
		return fix_usage(verb, "--v6only is of servers, not of --to", NULL);
	if (q->from && !address_parse(q->from, &q->place.addr, &family))
		return fix_usage(verb, "not an address", q->from);
	if (q->device)
		return fix_usage(verb, "--device is of servers, not of --to", NULL);
	q->place.outgoing = true;
	status = parse_end(verb, q->to, &q->place.peer, &q->place.peer_port, q);
	if (status)
		return status;
	if (q->from && address_is_v4(&q->place.peer) != address_is_v4(&q->place.addr) &&
	    !address_is_any(&q->place.addr))
		return fix_usage(verb, "--to and --from are of different families", q->from);
	go_to_loopback(q);
	return STATUS_OK;
}

static int parse_place(const struct fix_verb *verb, int n, char **texts, struct request *q)
{
	int status;

	if (q->to)
		return parse_destination(verb, n, texts, q);
	if (q->from)
		return fix_usage(verb, "--from is of connections: add --to", NULL);
	if (n != 1)
		return fix_usage(verb, n ? "one address at a time" : "needs ADDR:PORT",
				 n ? texts[1] : NULL);
	status = parse_end(verb, texts[0], &q->place.addr, &q->place.port, q);
	if (!status && q->place.v6only && address_is_v4(&q->place.addr))
		return fix_usage(verb, "--v6only is for IPv6 addresses", texts[0]);
	return status;
}

int fix_destroy_time_wait(int argc, char **argv)
{
	struct request q = {0};
	const struct fix_own_option own[] = {
		{"v6only", &q.place.v6only, NULL},
		{"device", NULL, &q.device},
		{"to", NULL, &q.to},
		{"from", NULL, &q.from},
	};
	const struct fix_verb verb = {.word = "destroy-time-wait",
				      .usage = usage_text,
				      .takes = FIX_TAKES_TARGET | FIX_TAKES_CHANGE |
					       FIX_TAKES_JOURNAL | FIX_TAKES_JSON,
				      .own = own,
				      .own_n = sizeof(own) / sizeof(own[0])};
	int status;

	if (!fix_options_parse(&verb, argc, argv, &q.o, &status))
		return status;
	status = parse_place(&verb, argc - optind, argv + optind, &q);
	return status ? status : destroy_time_wait(&q);
}
