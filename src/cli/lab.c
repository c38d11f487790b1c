/* SPDX-License-Identifier: MIT
 *
 * tcpwhy lab: the cases, played; and which release does what
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/command.h"
#include "cli/lab_capture.h"
#include "cli/lab_cases.h"
#include "cli/lab_options.h"
#include "cli/lab_run.h"
#include "live/probe.h"
#include "load/load.h"
#include "report/lab.h"
#include "report/releases.h"

/* ------------------------------------------------------------------------------------ the releases
 */

static int show_releases(const struct lab_options *o)
{
	struct utsname name = {0};
	struct load_settled settled;
	struct probe found;

	uname(&name);
	probe_kernel(&found);
	load_settle(name.release, &found, &settled);
	const struct releases r = {
		.kernel = name.release,
		.nearest = load_row_for(name.release),
		.exact = load_row_is_exact(name.release),
		.own = &settled.row,
		.otherwise = settled.otherwise,
		.found = &found,
	};
	if (o->json)
		return command_written("lab", report_releases_json(&r, stdout), STATUS_OK);
	report_releases_screen(&r, o->verbose, stdout);
	return command_written("lab", true, STATUS_OK);
}

/* --------------------------------------------------------------------------------------- the plan
 */

struct lab {
	const struct lab_options *o;
	FILE *out; /* of the verdicts: not where a capture goes */
	struct case_file *files;
	struct lab_case *cases;
	size_t files_n, cases_n;
	size_t left_out;             /* cases of other releases than those that are asked for */
	struct load_settled settled; /* this kernel's row, where none is exact */
	const struct tcpwhy_row *nearest, *own;
	struct lab_job *jobs;
	size_t jobs_n, *case_of; /* of each job */
	size_t ended, shown;
	struct lab_capture *captures; /* of each job; NULL: none are asked for */
	bool unwritten;               /* one of them failed */
	double began_s;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void know_kernel(struct lab *lab)
{
	struct utsname name = {0};
	struct probe found;

	uname(&name);
	lab->nearest = lab->own = load_row_for(name.release);
	if (load_row_is_exact(name.release))
		return;
	probe_kernel(&found);
	load_settle(name.release, &found, &lab->settled);
	if (lab->settled.otherwise)
		lab->own = &lab->settled.row;
}

static bool is_wanted(const struct lab_options *o, const struct tcpwhy_row *row)
{
	for (unsigned i = 0; i < o->rows_n; i++)
		if (o->rows[i] == row)
			return true;
	return !o->rows_n;
}

static void add_job(struct lab *lab, size_t i, const struct tcpwhy_row *row, bool on_kernel)
{
	const struct case_file *f = &lab->files[i];

	must(lab->jobs_n < lab->cases_n * LAB_PLAYS_MAX);
	lab->case_of[lab->jobs_n] = i;
	lab->jobs[lab->jobs_n++] = (struct lab_job){
		.config =
			{
				.name = f->name,
				.text = f->text,
				.text_n = f->text_n,
				.seed = lab->cases[i].head.seed,
				.trusted = f->trusted,
				.slow = lab->o->slow,
				/* A disagreement is shown with the states, too. */
				.observe = lab->o->verbose || lab->cases[i].head.kernel,
			},
		.row = row,
		.on_kernel = on_kernel,
	};
}

static void plan_case(struct lab *lab, size_t i)
{
	const struct play_head *h = &lab->cases[i].head;
	const bool world = h->world && !lab->o->no_world;
	bool own_too = false;

	for (size_t k = 0; tcpwhy_row_at(k); k++) {
		const struct tcpwhy_row *row = tcpwhy_row_at(k);
		if (!(h->rows >> k & 1) || !is_wanted(lab->o, row))
			continue;
		own_too |= row == lab->nearest;
		if (world)
			add_job(lab, i, row, false);
	}
	if (!own_too || !h->kernel || lab->o->no_kernel)
		return;
	/* To be compared: the model with this kernel's own features. */
	if (world && lab->own != lab->nearest)
		add_job(lab, i, lab->own, false);
	add_job(lab, i, lab->own, true);
}

/* Plays that would give their file one name, so far: files of one name in two directories. */
static unsigned number_of(const struct lab *lab, size_t i)
{
	const struct lab_job *job = &lab->jobs[i];
	unsigned n = 1;

	for (size_t k = 0; k < i; k++)
		n += lab->jobs[k].on_kernel == job->on_kernel &&
		     !strcmp(lab->jobs[k].row->name, job->row->name) &&
		     !strcmp(lab->jobs[k].config.name, job->config.name);
	return n;
}

/* One play has the file itself, of several each its own. 0, or -ENOMEM. */
static int plan_captures(struct lab *lab)
{
	lab->captures = calloc(lab->jobs_n + 1, sizeof(*lab->captures));
	if (!lab->captures)
		return -ENOMEM;
	for (size_t i = 0; i < lab->jobs_n; i++) {
		const char *file = lab->o->pcap;
		lab->jobs[i].captures = true;
		lab->captures[i].file =
			lab->jobs_n == 1 ? strdup(file)
					 : lab_capture_name(file, &lab->jobs[i], number_of(lab, i));
		if (!lab->captures[i].file)
			return -ENOMEM;
	}
	return 0;
}

/* Whether a release that is wanted, or this kernel, plays it. */
static bool is_asked_for(const struct lab *lab, const struct play_head *h)
{
	for (size_t k = 0; tcpwhy_row_at(k); k++) {
		const struct tcpwhy_row *row = tcpwhy_row_at(k);
		if ((h->rows >> k & 1) && is_wanted(lab->o, row) &&
		    ((h->world && !lab->o->no_world) ||
		     (h->kernel && !lab->o->no_kernel && row == lab->nearest)))
			return true;
	}
	return false;
}

/* Of all cases --release means those that name it. Who names a case asks for that one. */
static void leave_out(struct lab *lab)
{
	size_t n = 0;

	const bool chooses = lab->o->rows_n || lab->o->no_world || lab->o->no_kernel;

	if (!chooses || lab->o->cases_n)
		return;
	for (size_t i = 0; i < lab->cases_n; i++) {
		if (!lab->cases[i].wrong[0] && !is_asked_for(lab, &lab->cases[i].head))
			continue;
		const struct case_file file = lab->files[n];
		lab->files[n] = lab->files[i];
		lab->files[i] = file;
		lab->cases[n++] = lab->cases[i];
	}
	lab->left_out = lab->cases_n - n;
	lab->cases_n = n;
}

/* 0, or -ENOMEM. */
static int plan(struct lab *lab)
{
	leave_out(lab);
	lab->jobs = calloc(lab->cases_n * LAB_PLAYS_MAX + 1, sizeof(*lab->jobs));
	lab->case_of = calloc(lab->cases_n * LAB_PLAYS_MAX + 1, sizeof(*lab->case_of));
	if (!lab->jobs || !lab->case_of)
		return -ENOMEM;
	for (size_t i = 0; i < lab->cases_n; i++)
		if (!lab->cases[i].wrong[0])
			plan_case(lab, i);
	return lab->o->pcap ? plan_captures(lab) : 0;
}

/* Reads the files and the head of each. */
static int read_cases(struct lab *lab, struct err *err)
{
	int r = case_files_read(lab->o->cases, (size_t)lab->o->cases_n, &lab->files, &lab->files_n,
				err);

	if (r)
		return r;
	lab->cases_n = lab->files_n;
	lab->cases = calloc(lab->cases_n + 1, sizeof(*lab->cases));
	if (!lab->cases) {
		snprintf(err->text, sizeof(err->text), "no memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < lab->cases_n; i++) {
		const struct story_config c = {.name = lab->files[i].name,
					       .text = lab->files[i].text,
					       .text_n = lab->files[i].text_n};
		struct err wrong = {""};
		snprintf(lab->cases[i].head.name, sizeof(lab->cases[i].head.name), "%s", c.name);
		if (story_head(&c, &lab->cases[i].head, &wrong))
			snprintf(lab->cases[i].wrong, sizeof(lab->cases[i].wrong), "%s",
				 wrong.text);
	}
	return 0;
}

/* ----------------------------------------------------------------------------------------- playing
 */

static void progress(const struct lab *lab)
{
	if (lab->o->json || !isatty(STDERR_FILENO))
		return;
	if (lab->ended < lab->jobs_n)
		dprintf(STDERR_FILENO, "\r\033[K%zu of %zu plays", lab->ended, lab->jobs_n);
	else
		dprintf(STDERR_FILENO, "\r\033[K");
	fflush(stderr);
}

/* Whether all plays of a case have ended. */
static bool is_complete(const struct lab *lab, size_t i)
{
	for (size_t k = 0; k < lab->jobs_n; k++)
		if (lab->case_of[k] == i && !lab->jobs[k].play.stage[0])
			return false;
	return true;
}

/* A case that was played to its end everywhere and expects nothing is none. */
static void know_expectations(struct lab_case *c)
{
	for (unsigned i = 0; i < c->plays_n; i++)
		if (c->plays[i]->end != PLAY_DONE || c->plays[i]->expects_n)
			return;
	if (c->plays_n)
		snprintf(c->wrong, sizeof(c->wrong),
			 "%s.lua: nothing is expected: expect(got, want) says what is so",
			 c->head.name);
}

static void gather(struct lab *lab, size_t i)
{
	struct lab_case *c = &lab->cases[i];

	for (size_t k = 0; k < lab->jobs_n; k++) {
		struct lab_job *job = &lab->jobs[k];
		if (lab->case_of[k] != i)
			continue;
		must(c->plays_n < LAB_PLAYS_MAX);
		if (lab->captures)
			c->captures[c->plays_n] = &lab->captures[k];
		c->plays[c->plays_n++] = &job->play;
		if (job->on_kernel)
			c->kernel = &job->play;
		else if (job->row == lab->own)
			c->model = &job->play;
	}
	know_expectations(c);
	c->by_row = lab->o->compare;
	c->compared = c->kernel && c->model && play_went(c->kernel) && c->model->end == PLAY_DONE;
	if (c->compared)
		agree_compare(c->model, c->kernel, &c->agreement);
}

/* Shows what is complete, in order. */
static void show(struct lab *lab)
{
	for (; lab->shown < lab->cases_n && is_complete(lab, lab->shown); lab->shown++) {
		gather(lab, lab->shown);
		if (!lab->o->json)
			report_lab_case(&lab->cases[lab->shown], lab->o->verbose, lab->out);
	}
}

/* A play that did not come to a stage has nothing to be saved, and says why itself. */
static void save_capture(struct lab *lab, size_t i)
{
	struct lab_job *job = &lab->jobs[i];
	struct lab_capture *c = &lab->captures[i];
	struct err err = {""};

	if (job->capture_fd < 0 || lseek(job->capture_fd, 0, SEEK_END) <= 0) {
		free(c->file);
		c->file = NULL;
	} else if (lab_capture_save(c->file, job->capture_fd, &err)) {
		fprintf(stderr, "tcpwhy lab: %s\n", err.text);
		snprintf(c->wrong, sizeof(c->wrong), "%s", err.text);
		lab->unwritten = true;
	}
	if (job->capture_fd >= 0)
		close(job->capture_fd);
	job->capture_fd = -1;
}

static void on_done(void *ctx, size_t i)
{
	struct lab *lab = ctx;

	lab->ended++;
	if (!lab->o->json && isatty(STDERR_FILENO))
		dprintf(STDERR_FILENO, "\r\033[K");
	if (lab->captures)
		save_capture(lab, i);
	show(lab);
	fflush(lab->out);
	progress(lab);
}

static int status_of(const struct lab *lab)
{
	int status = STATUS_OK;
	bool undecided = !lab->cases_n;

	for (size_t i = 0; i < lab->cases_n; i++) {
		switch (lab_verdict(&lab->cases[i])) {
		case LAB_WRONG:
			return STATUS_USAGE;
		case LAB_BROKEN:
			status = STATUS_REFUSED;
			break;
		case LAB_NOT_PLAYED:
			undecided = true;
			break;
		case LAB_HOLDS:
			break;
		}
	}
	undecided |= lab->unwritten;
	return !status && undecided ? STATUS_UNDECIDED : status;
}

static int play_all(struct lab *lab)
{
	const char *pcap = lab->o->pcap;
	struct err err = {""};
	bool ok = true;

	know_kernel(lab);
	if (plan(lab))
		return command_failed("lab", lab->o->json, "no memory");
	const int r = pcap ? lab_capture_check(pcap, lab->jobs_n, &err) : 0;
	if (r == -EINVAL) {
		fprintf(stderr, "tcpwhy lab: %s\n", err.text);
		return STATUS_USAGE;
	}
	if (r)
		return command_failed("lab", lab->o->json, err.text);
	lab->began_s = seconds();
	progress(lab);
	lab_run(lab->jobs, lab->jobs_n, on_done, lab);
	show(lab);
	if (lab->o->json)
		ok = report_lab_json(lab->cases, lab->cases_n, lab->o->verbose, stdout);
	else
		report_lab_end(lab->cases, lab->cases_n,
			       &(struct lab_end){.verbose = lab->o->verbose,
						 .left_out = lab->left_out,
						 .by_stage = lab->o->no_world || lab->o->no_kernel,
						 .seconds = seconds() - lab->began_s},
			       lab->out);
	return command_written("lab", ok, status_of(lab));
}

static int list(const struct lab *lab)
{
	bool ok = true;

	if (lab->o->json)
		ok = report_lab_list_json(lab->cases, lab->cases_n, stdout);
	else
		report_lab_list(lab->cases, lab->cases_n, stdout);
	return command_written("lab", ok,
			       status_of(lab) == STATUS_USAGE ? STATUS_USAGE : STATUS_OK);
}

static void forget(struct lab *lab)
{
	for (size_t i = 0; i < lab->jobs_n; i++)
		play_free(&lab->jobs[i].play);
	for (size_t i = 0; lab->captures && i < lab->jobs_n; i++)
		free(lab->captures[i].file);
	free(lab->captures);
	case_files_free(lab->files, lab->files ? lab->files_n : 0);
	free(lab->cases);
	free(lab->jobs);
	free(lab->case_of);
}

static int run_cases(const struct lab_options *o)
{
	const bool to_stdout = o->pcap && !strcmp(o->pcap, "-");
	struct lab lab = {.o = o, .out = to_stdout ? stderr : stdout};
	struct err err = {""};
	int status, r = read_cases(&lab, &err);

	if (r == -ENOENT || r == -EINVAL || r == -EFBIG || r == -EISDIR) {
		fprintf(stderr, "tcpwhy lab: %s\n", err.text);
		status = STATUS_USAGE;
	} else if (r) {
		status = command_failed("lab", o->json, err.text);
	} else {
		status = o->list ? list(&lab) : play_all(&lab);
	}
	forget(&lab);
	return status;
}

int cmd_lab(int argc, char **argv)
{
	struct lab_options o;
	struct err err = {""};

	if (lab_options_parse(argc, argv, &o, &err)) {
		fprintf(stderr, "tcpwhy lab: %s\n", err.text);
		return STATUS_USAGE;
	}
	if (o.help)
		lab_options_help(stdout);
	else if (o.version)
		puts("tcpwhy " TCPWHY_VERSION);
	if (o.help || o.version)
		return STATUS_OK;
	return o.releases ? show_releases(&o) : run_cases(&o);
}
