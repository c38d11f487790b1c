/* SPDX-License-Identifier: MIT */
#include "cure/hook_apply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cure/bpffs.h"
#include "live/privilege.h"

static int refuse(struct hook_report *report, int error, const char *because)
{
	report->end = CHANGE_REFUSED;
	report->error = error < 0 ? -error : error;
	report->unprivileged = report->error == EPERM || report->error == EACCES;
	snprintf(report->because, sizeof(report->because), "%s", because);
	return -1;
}

/* ------------------------------------------------------------------------------- what is there */

static int look(const struct hook_request *q, struct hook_report *report, struct err *err)
{
	int rc = hook_look(&q->cgroup, &q->order, report->seen, &report->seen_n, err);

	report->looked = !rc;
	return rc;
}

static unsigned count_same(const struct hook_report *report, const struct hook_order *order,
			   bool here_only)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	unsigned n = hook_points(order, at), found = 0;

	for (unsigned i = 0; i < n; i++) {
		bool met = false;

		for (size_t k = 0; k < report->seen_n; k++)
			met |= report->seen[k].at == at[i] &&
			       (report->seen[k].here || !here_only) &&
			       !strcmp(report->seen[k].name, at[i]->program);
		found += met;
	}
	return found;
}

/* 0: go on. A program of ours above does for SO_REUSEADDR; of two that spread the cgroup's own
 * comes first, and of two in one cgroup the older (compute_effective_progs()). */
static int judge_seen(const struct hook_request *q, struct hook_report *report)
{
	const struct hook_point *at[HOOK_POINTS_MAX];
	unsigned n = hook_points(&q->order, at);
	struct err err;

	if (q->order.what == HOOK_REUSEADDR && count_same(report, &q->order, false) == n) {
		report->end = CHANGE_NOTHING;
		return -1;
	}
	if (q->order.what == HOOK_SPREAD && count_same(report, &q->order, true))
		return refuse(report, EEXIST,
			      "connections of this cgroup are spread already, and the program that "
			      "was there first wins: undo that one (tcpwhy fix list)");
	if (hook_is_shut_out(&q->cgroup, &q->order, &err)) {
		refuse(report, EBUSY, err.text);
		return -1;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------- changing */

/* Nothing of it stays. */
static void roll_back(const struct hook_record *record, const struct bpffs *bpffs)
{
	for (unsigned i = 0; i < record->pins_n; i++)
		hook_unpin(bpffs->fd, record->pins[i].name);
}

static int pin_all(const struct hook_request *q, const struct hook_programs *programs,
		   const struct bpffs *bpffs, struct hook_report *report)
{
	struct hook_record *record = &report->record;
	struct err err;

	for (unsigned i = 0; i < record->pins_n; i++) {
		int rc = hook_pin(programs, record->pins[i].at, &q->cgroup, bpffs->fd,
				  record->pins[i].name, &report->ids[i], &err);

		if (rc)
			return refuse(report, rc, err.text);
	}
	return 0;
}

/* The second look: the cgroup has the programs, and a socket in it shows what they do. */
static int verify(const struct hook_request *q, struct hook_report *report)
{
	struct hook_seen seen[HOOK_SEEN_MAX];
	unsigned found = 0;
	struct err err;
	size_t n;
	int rc = hook_look(&q->cgroup, &q->order, seen, &n, &err);

	if (rc)
		return refuse(report, rc, err.text);
	for (unsigned i = 0; i < report->record.pins_n; i++)
		for (size_t k = 0; k < n; k++)
			found += seen[k].here && seen[k].id == report->ids[i];
	if (found < report->record.pins_n && n < HOOK_SEEN_MAX)
		return refuse(report, ENOENT,
			      "the kernel said yes, but the cgroup does not have the programs");
	report->probed = hook_probe(&q->order, &q->cgroup, &report->probe_error);
	if (report->probed != HOOK_PROBE_IDLE)
		return 0;
	return refuse(report, EOPNOTSUPP,
		      q->order.what == HOOK_REUSEADDR
			      ? "the programs are taken, but bind() leaves SO_REUSEADDR as it was: "
				"BPF may set it from 6.1 on"
			      : "the programs are taken, but connect() has the address it had");
}

static int change(const struct hook_request *q, const struct hook_programs *programs,
		  struct hook_report *report)
{
	struct bpffs bpffs;
	struct err err;
	int rc = bpffs_open(report->record.folder, true, &bpffs, &err);

	if (rc)
		return refuse(report, rc, err.text);
	rc = pin_all(q, programs, &bpffs, report);
	if (!rc)
		rc = verify(q, report);
	if (rc)
		roll_back(&report->record, &bpffs);
	else
		report->end = CHANGE_DONE;
	bpffs_close(&bpffs);
	return rc;
}

static json_t *outcome_of(const struct hook_report *report)
{
	const char *error = report->error ? strerrorname_np(report->error) : NULL;
	json_t *ids = json_array();

	for (unsigned i = 0; i < report->record.pins_n && report->end == CHANGE_DONE; i++)
		json_array_append_new(ids, json_integer(report->ids[i]));
	return json_pack("{s:s, s:s?, s:s, s:o}", "result", change_word(report->end), "errno",
			 error, "because", report->because, "programs", ids);
}

/* Written down, made, and written down again. */
static int record_and_change(const struct hook_request *q, const struct hook_programs *programs,
			     struct journal *journal, struct hook_report *report, struct err *err)
{
	int rc = journal_before(journal,
				hook_record_write(&report->record, report->seen, report->seen_n),
				&report->id, err);

	if (rc)
		return rc;
	snprintf(report->path, sizeof(report->path), "%s", journal->path);
	change(q, programs, report);
	/* What was done stands without this line too: it is looked for then. */
	journal_after(journal, report->id, outcome_of(report), err);
	return 0;
}

static int apply_loaded(const struct hook_request *q, const struct hook_programs *programs,
			struct hook_report *report, struct err *err)
{
	struct journal journal;
	int rc;

	if (q->how.dry_run) {
		rc = look(q, report, err);
		if (!rc && !judge_seen(q, report))
			report->end = CHANGE_DRY_RUN;
		hook_record_plan(&q->order, &q->cgroup, &report->record);
		return rc;
	}
	rc = journal_open(&journal, q->how.journal, err);
	if (rc)
		return rc;
	/* Under the journal's lock: nobody of us attaches between the look and the change. */
	rc = look(q, report, err);
	if (!rc && !judge_seen(q, report)) {
		hook_record_plan(&q->order, &q->cgroup, &report->record);
		rc = record_and_change(q, programs, &journal, report, err);
	}
	journal_close(&journal);
	return rc;
}

int hook_apply(const struct hook_request *q, struct hook_report *report, struct err *err)
{
	const char *missing = privilege_for_hooks();
	struct hook_programs *programs;
	struct err why;
	int rc;

	*report = (struct hook_report){.end = CHANGE_REFUSED};
	if (missing) {
		refuse(report, EPERM, missing);
		return 0;
	}
	/* Before the journal has a line of what cannot be kept. */
	rc = bpffs_check(&why);
	if (rc) {
		refuse(report, rc, why.text);
		report->unprivileged = true;
		return 0;
	}
	/* Loading changes nothing, and tells what the kernel can. */
	rc = hook_load(&q->order, &programs, &why);
	if (rc) {
		refuse(report, rc, why.text);
		return 0;
	}
	rc = apply_loaded(q, programs, report, err);
	hook_unload(programs);
	return rc;
}
