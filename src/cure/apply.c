/* SPDX-License-Identifier: MIT */
#include "cure/apply.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "cure/destroy.h"
#include "cure/kind.h"

/* A restart can have 136,000 of them; the journal's line names the first of them and counts all. */
#define JOURNAL_SOCKETS_MAX 1000

static int look(struct live *live, const struct plan_place *place, struct snapshot *snap,
		struct err *err)
{
	const struct snapshot_scope scope = {.port = place->port,
					     .owners_wanted = true,
					     .all_ports = place->outgoing,
					     .one_peer = place->outgoing,
					     .peer = place->peer,
					     .peer_port = place->peer_port};

	return live_snapshot(live, &scope, snap, err);
}

static uint64_t time_left(const struct snapshot *snap, const struct snapshot_owner *owner)
{
	return owner->o.expires_ns > snap->taken_ns ? owner->o.expires_ns - snap->taken_ns : 0;
}

static void show_targets(const struct snapshot *snap, struct apply_report *report)
{
	for (size_t i = 0; i < snap->owners_n && report->shown_n < APPLY_SHOWN_MAX; i++) {
		const struct snapshot_owner *owner = &snap->owners[i];

		if (report->plan.fates[i] != PLAN_DESTROY)
			continue;
		report->shown[report->shown_n++] =
			(struct apply_socket){.seen = *owner, .left_ns = time_left(snap, owner)};
	}
}

static json_t *journal_sockets(const struct plan *plan, const struct snapshot *snap)
{
	json_t *list = json_array();

	for (size_t i = 0; i < snap->owners_n && json_array_size(list) < JOURNAL_SOCKETS_MAX; i++) {
		const struct snapshot_owner *owner = &snap->owners[i];
		char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

		if (plan->fates[i] != PLAN_DESTROY)
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

static void name_place(json_t *change, const struct plan_place *place)
{
	char address[ADDRESS_TEXT_MAX], to[ENDPOINT_TEXT_MAX];

	json_object_set_new(change, "address",
			    place->outgoing && address_is_any(&place->addr)
				    ? json_null()
				    : json_string(address_format(&place->addr, address)));
	if (place->outgoing)
		json_object_set_new(
			change, "to",
			json_string(endpoint_format(&place->peer, place->peer_port, false, to)));
	else
		json_object_set_new(change, "port", json_integer(place->port));
}

/* What is about to go. There is no old value: a mini-socket cannot be made again. */
static json_t *journal_intent(const struct plan_place *place, const struct snapshot *snap,
			      const struct plan *plan)
{
	json_t *change = json_pack("{s:s}", "action", destroy_kind.action);

	if (!change)
		return NULL;
	name_place(change, place);
	json_object_set_new(change, "netns", json_integer((json_int_t)snap->netns));
	json_object_set_new(change, "kernel", json_string(snap->kernel));
	json_object_set_new(change, "count", json_integer((json_int_t)plan->by_fate[PLAN_DESTROY]));
	json_object_set_new(change, "sockets", journal_sockets(plan, snap));
	json_object_set_new(change, "undo", json_null());
	return change;
}

static json_t *journal_outcome(const struct apply_report *report)
{
	const char *name = report->error ? strerrorname_np(report->error) : NULL;

	return json_pack("{s:s, s:I, s:I, s:s?}", "result", change_word(report->end), "destroyed",
			 (json_int_t)report->destroyed, "left",
			 (json_int_t)(report->still + report->fresh), "errno", name);
}

static int add_planned(struct destroy *d, const struct snapshot *snap, const struct plan *plan,
		       struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < snap->owners_n && !rc; i++) {
		if (plan->fates[i] == PLAN_DESTROY)
			rc = destroy_add(d, &snap->owners[i], err);
	}
	return rc;
}

/* Two of the same ends, one of them bound to a device: sock_diag finds one of them, and the other
 * when that is gone (inet_diag_find_one_icsk()). So what was not found is asked for once more. */
static int destroy_planned(struct live *live, const struct snapshot *snap, const struct plan *plan,
			   struct destroy_tally *tally, size_t *hidden, struct err *err)
{
	struct destroy *d;
	int rc = destroy_open(live_netns_fd(live), &d, err);

	if (rc)
		return rc;
	rc = add_planned(d, snap, plan, err);
	if (!rc)
		rc = destroy_finish(d, tally, err);
	*hidden = tally->gone;
	if (!rc && *hidden)
		rc = add_planned(d, snap, plan, err);
	if (!rc && *hidden)
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
	report->unprivileged = error == EPERM;
	snprintf(report->because, sizeof(report->because), "%s", because);
}

static int count_left(const struct plan_place *place, const struct snapshot *after,
		      const struct tcpwhy_memory *memory, struct apply_report *report)
{
	struct plan now;
	int rc = plan_make(place, after, memory, &now);

	if (rc)
		return rc;
	for (size_t i = 0; i < after->owners_n; i++) {
		if (now.fates[i] != PLAN_DESTROY)
			continue;
		if (plan_has(&report->plan, after->owners[i].cookie))
			report->still++;
		else
			report->fresh++;
	}
	plan_free(&now, memory);
	report->destroyed = report->plan.by_fate[PLAN_DESTROY] - report->still;
	return 0;
}

/* The end as the second look shows it. */
static void judge(struct apply_report *report)
{
	if (!report->still && !report->fresh && !report->plan.by_fate[PLAN_NAMELESS])
		report->end = CHANGE_DONE;
	else
		report->end = report->destroyed ? CHANGE_LEFT : CHANGE_REFUSED;
	if (report->end == CHANGE_DONE || report->because[0])
		return;
	if (report->still)
		refuse(report, 0,
		       report->hidden
			       ? "the kernel finds another socket of the same ends in their place: "
				 "one of the two is bound to a device"
			       : "the kernel said yes, but they are still there");
	else if (report->fresh)
		refuse(report, 0,
		       "new ones came meanwhile: connections are still being closed here");
	else
		refuse(report, 0, "the listing gave no cookie to name them safely");
}

static int look_again(struct live *live, const struct plan_place *place,
		      const struct tcpwhy_memory *memory, struct apply_report *report,
		      struct err *err)
{
	struct snapshot after;
	int rc = look(live, place, &after, err);

	if (rc)
		return rc;
	rc = count_left(place, &after, memory, report);
	if (rc)
		snprintf(err->text, sizeof(err->text), "no memory for %zu sockets", after.owners_n);
	snapshot_free(&after);
	if (!rc)
		judge(report);
	return rc;
}

/* Nothing is touched: said with the reason, and all of it is left. */
static void give_up(struct apply_report *report, int error, const char *because)
{
	refuse(report, error, because);
	report->still = report->plan.by_fate[PLAN_DESTROY];
	report->end = CHANGE_REFUSED;
}

/* The journal has the line before; the line after tells what the second look showed. */
static int change(struct live *live, const struct plan_place *place, const struct snapshot *snap,
		  const struct tcpwhy_memory *memory, struct journal *journal,
		  struct apply_report *report, struct err *err)
{
	struct destroy_tally tally = {0};
	struct err why;
	int rc = destroy_planned(live, snap, &report->plan, &tally, &report->hidden, &why);

	if (rc)
		refuse(report, -rc, why.text);
	else if (tally.error)
		refuse(report, tally.error, refusal_text(tally.error));
	rc = look_again(live, place, memory, report, err);
	if (!rc && journal_after(journal, report->id, journal_outcome(report), &why) &&
	    !report->because[0])
		refuse(report, 0, why.text);
	return rc;
}

/* 0, or -errno: then nothing was changed. */
static int write_intent(struct journal *journal, const struct change_how *how,
			const struct plan_place *place, const struct snapshot *snap,
			struct apply_report *report, struct err *why)
{
	int rc = journal_open(journal, how->journal, why);

	if (rc)
		return rc;
	rc = journal_before(journal, journal_intent(place, snap, &report->plan), &report->id, why);
	if (rc)
		journal_close(journal);
	memcpy(report->journal, journal->path, sizeof(report->journal));
	return rc;
}

static int carry_out(struct live *live, const struct plan_place *place, const struct snapshot *snap,
		     const struct tcpwhy_memory *memory, const struct change_how *how,
		     struct apply_report *report, struct err *err)
{
	struct journal journal;
	struct err why;
	int rc = write_intent(&journal, how, place, snap, report, &why);

	if (rc) {
		give_up(report, -rc, why.text);
		report->unprivileged = true;
		return 0;
	}
	rc = change(live, place, snap, memory, &journal, report, err);
	journal_close(&journal);
	return rc;
}

static int act(struct live *live, const struct plan_place *place, const struct snapshot *snap,
	       const struct tcpwhy_memory *memory, const struct change_how *how,
	       struct apply_report *report, struct err *err)
{
	const struct plan *plan = &report->plan;
	const bool forbidden = plan->by_fate[PLAN_DESTROY] && live_may_destroy(live) == TCPWHY_NO;

	if (!plan->by_fate[PLAN_DESTROY]) {
		report->end = CHANGE_NOTHING;
		if (plan->by_fate[PLAN_NAMELESS])
			judge(report);
		return 0;
	}
	if (how->dry_run) {
		report->end = CHANGE_DRY_RUN;
		if (forbidden)
			refuse(report, EPERM, refusal_text(EPERM));
		return 0;
	}
	if (!forbidden)
		return carry_out(live, place, snap, memory, how, report, err);
	give_up(report, EPERM, refusal_text(EPERM));
	return 0;
}

int apply_destroy_time_wait(struct live *live, const struct plan_place *place,
			    const struct tcpwhy_memory *memory, const struct change_how *how,
			    struct apply_report *report, struct err *err)
{
	struct snapshot snap;
	int rc = look(live, place, &snap, err);

	if (rc)
		return rc;
	*report = (struct apply_report){.netns = snap.netns, .truncated = snap.truncated};
	rc = plan_make(place, &snap, memory, &report->plan);
	if (rc) {
		snprintf(err->text, sizeof(err->text), "no memory for %zu sockets", snap.owners_n);
		snapshot_free(&snap);
		return rc;
	}
	show_targets(&snap, report);
	rc = act(live, place, &snap, memory, how, report, err);
	plan_free(&report->plan, memory);
	snapshot_free(&snap);
	return rc;
}
