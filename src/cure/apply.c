/* SPDX-License-Identifier: MIT */
#include "cure/apply.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/address.h"
#include "cure/destroy.h"

/* A restart can have 136,000 of them; the journal's line names the first of them and counts all. */
#define JOURNAL_SOCKETS_MAX 1000

static int look(struct live *live, const struct plan_place *place, struct snapshot *snap,
		struct err *err)
{
	const struct snapshot_scope scope = {.port = place->port, .owners_wanted = true};

	return live_snapshot(live, &scope, snap, err);
}

static uint64_t time_left(const struct snapshot *snap, const struct snapshot_owner *owner)
{
	return owner->o.expires_ns > snap->taken_ns ? owner->o.expires_ns - snap->taken_ns : 0;
}

static void show_targets(const struct plan_place *place, const struct snapshot *snap,
			 struct apply_report *report)
{
	for (size_t i = 0; i < snap->owners_n && report->shown_n < APPLY_SHOWN_MAX; i++) {
		const struct snapshot_owner *owner = &snap->owners[i];

		if (plan_fate(place, owner) != PLAN_DESTROY)
			continue;
		report->shown[report->shown_n++] =
			(struct apply_socket){.seen = *owner, .left_ns = time_left(snap, owner)};
	}
}

static json_t *journal_sockets(const struct plan_place *place, const struct snapshot *snap)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snap->owners_n && json_array_size(list) < JOURNAL_SOCKETS_MAX; i++) {
		const struct snapshot_owner *owner = &snap->owners[i];
		char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

		if (plan_fate(place, owner) != PLAN_DESTROY)
			continue;
		endpoint_format(&owner->o.local, owner->o.port, false, local);
		endpoint_format(&owner->o.peer, owner->o.peer_port, false, peer);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:f}", "local", local, "peer",
						peer, "state", tcpwhy_state_name(owner->o.state),
						"left_s", (double)time_left(snap, owner) / 1e9));
	}
	return list;
}

/* text is a heap block of json_dumps(); the result takes its place. */
static char *with_newline(char *text)
{
	size_t n = strlen(text);
	char *longer = realloc(text, n + 2);

	if (!longer) {
		free(text);
		return NULL;
	}
	memcpy(longer + n, "\n", 2);
	return longer;
}

/* One line: what, where, when, by whom. There is no old value: a mini-socket cannot be made again.
 */
static char *journal_line(const struct plan_place *place, const struct snapshot *snap, size_t n)
{
	char address[ADDRESS_TEXT_MAX], when[32] = "";
	time_t now = time(NULL);
	struct tm utc;
	json_t *line;
	char *text;

	if (gmtime_r(&now, &utc))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	line = json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:s, s:i, s:i, s:I, s:o, s:n}", "schema",
			 1, "when", when, "action", "destroy-time-wait", "address",
			 address_format(&place->addr, address), "port", (int)place->port, "netns",
			 (json_int_t)snap->netns, "kernel", snap->kernel, "uid", (int)getuid(),
			 "pid", (int)getpid(), "count", (json_int_t)n, "sockets",
			 journal_sockets(place, snap), "undo");
	text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	json_decref(line);
	return text ? with_newline(text) : NULL;
}

static int write_journal(const struct plan_place *place, const struct snapshot *snap,
			 struct apply_report *report, struct err *err)
{
	struct journal journal;
	char *line = journal_line(place, snap, report->plan.by_fate[PLAN_DESTROY]);
	int rc = line ? journal_open(&journal, err) : -ENOMEM;

	if (!line)
		snprintf(err->text, sizeof(err->text), "journal: no memory");
	if (!rc) {
		rc = journal_append(&journal, line, err);
		memcpy(report->journal, journal.path, sizeof(report->journal));
		journal_close(&journal);
	}
	free(line);
	return rc;
}

static int destroy_planned(struct live *live, const struct plan_place *place,
			   const struct snapshot *snap, struct destroy_tally *tally,
			   struct err *err)
{
	struct destroy *d;
	int rc = destroy_open(live_netns_fd(live), &d, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < snap->owners_n && !rc; i++) {
		if (plan_fate(place, &snap->owners[i]) == PLAN_DESTROY)
			rc = destroy_add(d, &snap->owners[i], err);
	}
	if (!rc)
		rc = destroy_finish(d, tally, err);
	destroy_close(d);
	return rc;
}

static const char *refusal_text(int error)
{
	switch (error) {
	case EPERM:
		return "SOCK_DESTROY needs CAP_NET_ADMIN over this network namespace (EPERM)";
	case EOPNOTSUPP:
		return "this kernel cannot destroy them (EOPNOTSUPP): it lacks "
		       "CONFIG_INET_DIAG_DESTROY, or is older than 6.0";
	case EINVAL:
		return "this kernel does not know SOCK_DESTROY (EINVAL): it is older than 4.5";
	default:
		return strerror(error);
	}
}

static void refuse(struct apply_report *report, int error, const char *because)
{
	report->error = error;
	snprintf(report->because, sizeof(report->because), "%s", because);
}

static void count_left(const struct plan_place *place, const struct snapshot *after,
		       struct apply_report *report)
{
	for (size_t i = 0; i < after->owners_n; i++) {
		const struct snapshot_owner *owner = &after->owners[i];

		if (plan_fate(place, owner) != PLAN_DESTROY)
			continue;
		if (plan_has(&report->plan, owner->cookie))
			report->still++;
		else
			report->fresh++;
	}
	report->destroyed = report->plan.by_fate[PLAN_DESTROY] - report->still;
}

/* The end as the second look shows it. */
static void judge(struct apply_report *report)
{
	if (!report->still && !report->fresh && !report->plan.by_fate[PLAN_NAMELESS])
		report->end = APPLY_DONE;
	else
		report->end = report->destroyed ? APPLY_LEFT : APPLY_REFUSED;
	if (report->end == APPLY_DONE || report->because[0])
		return;
	if (report->still)
		refuse(report, 0, "the kernel said yes, but they are still there");
	else if (report->fresh)
		refuse(report, 0,
		       "new ones came meanwhile: connections are still being closed here");
	else
		refuse(report, 0, "the listing gave no cookie to name them safely");
}

static int carry_out(struct live *live, const struct plan_place *place, const struct snapshot *snap,
		     struct apply_report *report, struct err *err)
{
	struct destroy_tally tally = {0};
	struct snapshot after;
	struct err why;
	int rc = write_journal(place, snap, report, &why);

	if (!rc)
		rc = destroy_planned(live, place, snap, &tally, &why);
	if (rc) {
		refuse(report, -rc, why.text);
		report->end = APPLY_REFUSED;
	}
	if (tally.error)
		refuse(report, tally.error, refusal_text(tally.error));
	rc = look(live, place, &after, err);
	if (rc)
		return rc;
	count_left(place, &after, report);
	snapshot_free(&after);
	judge(report);
	return 0;
}

int apply_destroy_time_wait(struct live *live, const struct plan_place *place, bool dry_run,
			    struct apply_report *report, struct err *err)
{
	struct snapshot snap;
	uint64_t *cookies;
	int rc = look(live, place, &snap, err);

	if (rc)
		return rc;
	cookies = calloc(snap.owners_n + 1, sizeof(*cookies));
	if (!cookies) {
		snprintf(err->text, sizeof(err->text), "no memory for %zu sockets", snap.owners_n);
		snapshot_free(&snap);
		return -ENOMEM;
	}
	*report = (struct apply_report){.netns = snap.netns, .truncated = snap.truncated};
	plan_make(place, &snap, cookies, &report->plan);
	show_targets(place, &snap, report);
	if (report->plan.by_fate[PLAN_DESTROY] && !dry_run)
		rc = carry_out(live, place, &snap, report, err);
	else if (report->plan.by_fate[PLAN_NAMELESS])
		judge(report);
	else
		report->end = report->plan.by_fate[PLAN_DESTROY] ? APPLY_DRY_RUN : APPLY_NOTHING;
	report->plan.cookies = NULL;
	free(cookies);
	snapshot_free(&snap);
	return rc;
}
