/* SPDX-License-Identifier: MIT
 *
 * fix.c - applies a cure: what it was asked to do, what it did, what is given up by it
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
#include "cure/apply.h"
#include "report/fold.h"

/* More would push the first line off the screen; --json has them. */
#define ROWS_MAX 8

struct fix_request {
	struct live_target target;
	struct plan_place place;
	const char *text;   /* the address as it was typed */
	const char *device; /* NULL none; --device, or the zone of a link-local address */
	char zone[ZONE_TEXT_MAX];
	bool json, dry_run;
};

static const char usage_text[] =
	"usage: tcpwhy fix destroy-time-wait ADDR:PORT [options]\n"
	"\n"
	"Destroys what TIME_WAIT, and FIN_WAIT2 without a process, holds of a local port, so that\n"
	"a server can bind it again at once. No other socket is touched. 0.0.0.0 is every IPv4\n"
	"address, [::] every address.\n"
	"\n"
	"  --netns NAME|PATH  in that network namespace\n"
	"  --pid N            in the network namespace of that process\n"
	"  --v6only           leaves IPv4 alone, as a v6only server would\n"
	"  --device IF        for a server bound to that device\n"
	"  --dry-run          says what would be destroyed, and changes nothing\n"
	"  --json             the same as one JSON object\n"
	"\n"
	"Exit status: 0 done, or there was nothing to do; 1 some are left, or it was refused;\n"
	"2 usage; 3 could not look.\n";

static int usage(const char *wrong, const char *what)
{
	fprintf(stderr, "tcpwhy fix: %s%s%s\n", wrong, what ? ": " : "", what ? what : "");
	fputs("Try: tcpwhy fix --help\n", stderr);
	return STATUS_USAGE;
}

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

static const char *end_word(enum apply_end end)
{
	static const char *const words[] = {"nothing", "dry-run", "done", "left", "refused"};

	return words[end];
}

static void say_answer(const struct fix_request *q, const struct apply_report *r, struct text *t)
{
	size_t planned = r->plan.by_fate[PLAN_DESTROY];

	switch (r->end) {
	case APPLY_NOTHING:
		text_add(t, "no TIME_WAIT holds ");
		text_add(t, q->text);
		text_add(t, ": nothing to do");
		return;
	case APPLY_DRY_RUN:
		text_add(t, "would destroy ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case APPLY_DONE:
		text_add(t, "destroyed ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case APPLY_LEFT:
		text_add(t, "destroyed ");
		text_count(t, r->destroyed);
		text_add(t, " of ");
		add_kinds(t, planned, r->plan.fin_wait2);
		break;
	case APPLY_REFUSED:
		text_add(t, "destroyed none of ");
		add_kinds(t, planned + r->plan.by_fate[PLAN_NAMELESS], r->plan.fin_wait2);
		break;
	}
	text_add(t, " on ");
	text_add(t, q->text);
	if (r->end == APPLY_DRY_RUN)
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

/* ------------------------------------------------------------------------------------- to people
 */

/* The form of every answer: the label, then its words from the tenth column on. */
static void print_paragraph(const char *label, const char *words)
{
	struct fold f = {.out = stdout, .indent = 10};

	fold_plain(&f, label);
	fold_to(&f, f.indent);
	fold_words(&f, words);
	fold_newline(&f);
}

static void print_sockets(const struct apply_report *r)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX], left[32];
	size_t n = r->shown_n < ROWS_MAX ? r->shown_n : ROWS_MAX;
	size_t all = r->plan.by_fate[PLAN_DESTROY];

	for (size_t i = 0; i < n; i++) {
		const struct tcpwhy_owner *o = &r->shown[i].seen.o;
		struct text t = text_in(left, sizeof(left));

		text_seconds(&t, r->shown[i].left_ns);
		if (i == 0)
			printf("\n%-10s%-10s %-22s %-22s %s\n", "found", "STATE", "LOCAL", "PEER",
			       "LEFT");
		printf("%10s%-10s %-22s %-22s %s\n", "",
		       tcpwhy_state_name((enum tcpwhy_state)o->state),
		       endpoint_format(&o->local, o->port, false, local),
		       endpoint_format(&o->peer, o->peer_port, false, peer), left);
	}
	if (all > n)
		printf("%10s%zu more\n", "", all - n);
}

static void print_report(const struct fix_request *q, const struct apply_report *r)
{
	static const char *const words[] = {"NOTHING", "DRY RUN", "DONE", "LEFT", "REFUSED"};
	char line[512];
	struct text t = text_in(line, sizeof(line));

	say_answer(q, r, &t);
	print_paragraph(words[r->end], line);
	print_sockets(r);
	if (r->plan.by_fate[PLAN_DESTROY])
		putchar('\n');
	if (r->because[0])
		print_paragraph("why", r->because);
	if (r->end == APPLY_DONE || r->end == APPLY_LEFT || r->end == APPLY_DRY_RUN) {
		t = text_in(line, sizeof(line));
		say_price(r, &t);
		print_paragraph("given up", line);
	}
	if (r->plan.by_fate[PLAN_LIVING]) {
		t = text_in(line, sizeof(line));
		text_counted(&t, r->plan.by_fate[PLAN_LIVING], "living socket");
		text_add(&t, " on the same place, not touched");
		print_paragraph("spared", line);
	}
	if (r->journal[0])
		print_paragraph("journal", r->journal);
	if (r->truncated)
		print_paragraph("unknown",
				"there were more sockets than could be read; run it again");
}

/* ----------------------------------------------------------------------------------- to programs
 */

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

static const char *error_name(int error)
{
	return error ? strerrorname_np(error) : NULL;
}

static json_t *json_report(const struct fix_request *q, const struct apply_report *r)
{
	char answer[512], price[512], address[ADDRESS_TEXT_MAX];
	struct text t = text_in(answer, sizeof(answer));
	bool paid = r->plan.by_fate[PLAN_DESTROY] && r->end != APPLY_REFUSED;

	say_answer(q, r, &t);
	t = text_in(price, sizeof(price));
	say_price(r, &t);
	return json_pack("{s:i, s:s, s:s, s:i, s:I, s:s, s:s, s:s?, s:s?, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:f, s:s?, "
			 "s:s?, s:o, s:b}",
			 "schema", 1, "fix", "destroy-time-wait", "address",
			 address_format(&q->place.addr, address), "port", (int)q->place.port,
			 "netns", (json_int_t)r->netns, "answer", end_word(r->end), "because",
			 answer, "errno", error_name(r->error), "refusal",
			 r->because[0] ? r->because : NULL, "found",
			 (json_int_t)r->plan.by_fate[PLAN_DESTROY], "found_fin_wait2",
			 (json_int_t)r->plan.fin_wait2, "destroyed", (json_int_t)r->destroyed,
			 "left", (json_int_t)(r->still + r->plan.by_fate[PLAN_NAMELESS]), "new",
			 (json_int_t)r->fresh, "spared", (json_int_t)r->plan.by_fate[PLAN_LIVING],
			 "longest_s", (double)r->plan.longest_ns / 1e9, "gives_up",
			 paid ? price : NULL, "journal", r->journal[0] ? r->journal : NULL,
			 "sockets", json_sockets(r), "truncated", r->truncated);
}

static bool print_json(const struct fix_request *q, const struct apply_report *r)
{
	json_t *root = json_report(q, r);
	bool ok = root && !json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	if (ok)
		putchar('\n');
	json_decref(root);
	return ok;
}

/* --------------------------------------------------------------------------------------- the call
 */

/* A dry run that would be refused says so in its status too. */
static int status_of(const struct apply_report *r)
{
	bool refused = r->end == APPLY_LEFT || r->end == APPLY_REFUSED ||
		       (r->end == APPLY_DRY_RUN && r->error);

	return refused ? STATUS_REFUSED : STATUS_OK;
}

static int find_device(struct live *live, const struct fix_request *q, struct plan_place *place,
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
static int destroy_time_wait(const struct fix_request *q)
{
	const unsigned avoid = LIVE_AVOID_BIND_HASH | LIVE_AVOID_PIDFD;
	struct apply_report *report = calloc(1, sizeof(*report));
	struct plan_place place = q->place;
	struct live *live;
	struct err err;
	int rc;

	if (!report)
		return command_failed("fix", q->json, "no memory");
	if (live_open(&q->target, avoid, &live, &err)) {
		free(report);
		return command_failed("fix", q->json, err.text);
	}
	if (find_device(live, q, &place, &err) ||
	    apply_destroy_time_wait(live, &place, &cli_heap, q->dry_run, report, &err)) {
		rc = command_failed("fix", q->json, err.text);
	} else {
		bool ok = true;
		if (q->json)
			ok = print_json(q, report);
		else
			print_report(q, report);
		rc = command_written("fix", ok, status_of(report));
	}
	live_close(live);
	free(report);
	return rc;
}

static bool parse_pid(const char *text, int *pid)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n < 1 || n > INT32_MAX)
		return false;
	*pid = (int)n;
	return true;
}

/* 0, or the status to end with. */
static int parse_options(int argc, char **argv, struct fix_request *q)
{
	enum { NETNS = 'n', PID = 'p', V6ONLY = '6', DEVICE = 'i', DRY_RUN = 'd', JSON = 'j' };
	static const struct option options[] = {{"netns", required_argument, NULL, NETNS},
						{"pid", required_argument, NULL, PID},
						{"v6only", no_argument, NULL, V6ONLY},
						{"dry-run", no_argument, NULL, DRY_RUN},
						{"json", no_argument, NULL, JSON},
						{"device", required_argument, NULL, DEVICE},
						{NULL, 0, NULL, 0}};
	int c;

	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		const char *at = argv[optind - 1];

		if (c == NETNS)
			q->target.netns = optarg;
		else if (c == V6ONLY)
			q->place.v6only = true;
		else if (c == DEVICE)
			q->device = optarg;
		else if (c == DRY_RUN)
			q->dry_run = true;
		else if (c == JSON)
			q->json = true;
		else if (c == ':')
			return usage("this option needs a value", at);
		else if (c != PID)
			return usage("no such option", at);
		else if (!parse_pid(optarg, &q->target.pid))
			return usage("not a process id", optarg);
	}
	if (q->target.netns && q->target.pid)
		return usage("--netns and --pid exclude each other", NULL);
	return 0;
}

static int parse_place(int n, char **texts, struct fix_request *q)
{
	enum tcpwhy_family family;
	const char *wrong;

	if (n != 1)
		return usage(n ? "one address at a time" : "destroy-time-wait needs ADDR:PORT",
			     n ? texts[1] : NULL);
	wrong = endpoint_parse_zone(texts[0], &q->place.addr, &family, &q->place.port, q->zone);
	if (wrong)
		return usage(wrong, texts[0]);
	if (!q->place.port)
		return usage("port 0 is no port that anything holds", texts[0]);
	if (q->place.v6only && address_is_v4(&q->place.addr))
		return usage("--v6only is for IPv6 addresses", texts[0]);
	if (q->zone[0])
		q->device = q->zone;
	q->place.family = (uint8_t)family;
	q->text = texts[0];
	return 0;
}

static int fix_destroy_time_wait(int argc, char **argv)
{
	struct fix_request q = {0};
	int rc = parse_options(argc, argv, &q);

	if (!rc)
		rc = parse_place(argc - optind, argv + optind, &q);
	return rc ? rc : destroy_time_wait(&q);
}

static const struct {
	const char *word;
	int (*run)(int argc, char **argv);
} fixes[] = {
	{"destroy-time-wait", fix_destroy_time_wait},
};

int cmd_fix(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage_text, stdout);
			return STATUS_OK;
		}
	}
	if (argc < 2)
		return usage("which cure? destroy-time-wait ADDR:PORT", NULL);
	for (size_t i = 0; i < sizeof(fixes) / sizeof(fixes[0]); i++) {
		if (!strcmp(argv[1], fixes[i].word))
			return fixes[i].run(argc - 1, argv + 1);
	}
	return usage("no such cure", argv[1]);
}
