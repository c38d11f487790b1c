/* SPDX-License-Identifier: MIT
 *
 * cure.c - typing the cures of an answer as they were printed, and undoing them
 *
 * By a shell, as a user would; the first word is the command under test. CMD becomes this program
 * again, which makes the call of the question; CGROUP the one that we are in.
 */
#include "crowd/crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LINE_MAX_TEXT = 4096, QUESTION_MAX = 256, UNDO_MAX = 4 };

/* What came of a command: its status (-1: it could not be run), all it wrote, and what it says
 * takes it back. */
struct typed {
	int status;
	char out[16384];
	char undo[UNDO_MAX][128];
	size_t undo_n;
};

/* --------------------------------------------------------------------------- a place of our own */

enum { PATH_TEXT = 256 };

/* Where the whole tree of version 2 is mounted; "" if nowhere. */
static void cgroup_root(char out[static PATH_TEXT])
{
	char line[1024], root[PATH_TEXT], at[PATH_TEXT];
	FILE *f = fopen("/proc/self/mountinfo", "re");

	*out = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " - cgroup2 ") &&
		    sscanf(line, "%*d %*d %*s %255s %255s", root, at) == 2 && !strcmp(root, "/"))
			memcpy(out, at, sizeof(at));
	if (f)
		fclose(f);
}

static void cgroup_name(char out[static PATH_TEXT])
{
	char root[PATH_TEXT];

	cgroup_root(root);
	snprintf(out, PATH_TEXT, "%.200s/tcpwhy-crowd.%d", root, (int)getpid());
}

static bool cgroup_join(const char *path)
{
	char procs[PATH_TEXT + 16];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "0", 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

static bool has_cgroup(void)
{
	char path[PATH_TEXT];

	cgroup_name(path);
	return !access(path, F_OK);
}

bool cures_enter(struct err *err)
{
	char path[PATH_TEXT];

	/* The journal and the pool of ports are under /run. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL)) {
		snprintf(err->text, sizeof(err->text), "a /run of our own: %s", strerror(errno));
		return false;
	}
	cgroup_name(path);
	if (!mkdir(path, 0755) && !cgroup_join(path))
		rmdir(path);
	return true;
}

void cures_leave(void)
{
	char path[PATH_TEXT], root[PATH_TEXT];

	cgroup_name(path);
	cgroup_root(root);
	if (access(path, F_OK) || !cgroup_join(root))
		return;
	for (int tries = 0; rmdir(path) && errno == EBUSY && tries < 100; tries++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* ------------------------------------------------------------------------------ CMD: the call */

static bool call_text(const struct asking *q, char *out, size_t size)
{
	const unsigned char *bytes = q->question;
	int n = snprintf(out, size, "%c", q->kind);

	for (size_t i = 0; i < q->size && (size_t)n < size; i++)
		n += snprintf(out + n, size - (size_t)n, "%02x", bytes[i]);
	return q->size <= QUESTION_MAX && (size_t)n < size;
}

int cures_call(const char *text)
{
	union {
		unsigned char bytes[QUESTION_MAX];
		uint64_t aligned; /* as a question is */
	} question = {{0}};
	struct outcome_pair happened = {.cures_n = 0};
	unsigned byte;
	size_t n = 0;

	for (const char *c = text + 1; n < QUESTION_MAX && sscanf(c, "%2x", &byte) == 1; c += 2)
		question.bytes[n++] = (unsigned char)byte;
	const bool worked = text[0] == 'b' ? bind_really(&question, &happened)
					   : connect_really(&question, &happened);
	printf("%s %s %s\n", happened.answer, happened.error, happened.at);
	return worked && !strcmp(happened.answer, "ok") ? 0 : 1;
}

/* ------------------------------------------------------------------------------------- typing */

/* Replaces every occurrence. */
static bool replace(char *line, const char *what, const char *with)
{
	char out[LINE_MAX_TEXT];
	size_t n = 0, length = strlen(what);

	for (const char *c = line; *c;) {
		const bool here = !strncmp(c, what, length);
		const int more = here ? snprintf(out + n, sizeof(out) - n, "%s", with)
				      : snprintf(out + n, sizeof(out) - n, "%c", *c);
		n += (size_t)more;
		if (n >= sizeof(out))
			return false;
		c += here ? length : 1;
	}
	memcpy(line, out, n);
	line[n] = '\0';
	return true;
}

static bool words_of(const char *tcpwhy, const struct asking *q, const char *command, char *line)
{
	char call[2 * QUESTION_MAX + 2], program[1100], self[512], cgroup[PATH_TEXT], name[600];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0 || !call_text(q, call, sizeof(call)))
		return false;
	self[n] = '\0';
	snprintf(program, sizeof(program), "-- %s --call %s", self, call);
	cgroup_name(cgroup);
	snprintf(name, sizeof(name), "%s ", tcpwhy);
	snprintf(line, LINE_MAX_TEXT, "%s", command);
	return replace(line, "tcpwhy ", name) && replace(line, "-- CMD", program) &&
	       replace(line, "CGROUP", cgroup);
}

static void find_undo(struct typed *t)
{
	char text[sizeof(t->out)], *rest = NULL;

	t->undo_n = 0;
	memcpy(text, t->out, sizeof(text));
	for (char *l = strtok_r(text, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest))
		if (!strncmp(l, "undo ", 5) && t->undo_n < UNDO_MAX)
			snprintf(t->undo[t->undo_n++], sizeof(t->undo[0]), "%.100s",
				 l + strspn(l + 4, " ") + 4);
}

static void read_all(int fd, char *out, size_t size)
{
	char beyond[512];
	size_t n = 0;

	for (ssize_t r = 1; r > 0;) {
		const bool room = n + 1 < size;
		r = room ? read(fd, out + n, size - 1 - n) : read(fd, beyond, sizeof(beyond));
		n += room && r > 0 ? (size_t)r : 0;
	}
	out[n] = '\0';
}

static void type_line(char *line, struct typed *t)
{
	char *const args[] = {"sh", "-c", line, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], status;
	pid_t pid;

	*t = (struct typed){.status = -1};
	if (pipe2(ends, O_CLOEXEC))
		return;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	const int error = posix_spawnp(&pid, "sh", &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	read_all(ends[0], t->out, sizeof(t->out));
	close(ends[0]);
	if (!error && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		t->status = WEXITSTATUS(status);
	find_undo(t);
}

/* -------------------------------------------------------------------------------- the judgement */

static bool works(const struct asking *q, struct outcome_pair *happened)
{
	const bool called = q->really(q->question, happened);

	if (q->after)
		q->after(q->ctx);
	return called && !strcmp(happened->answer, "ok");
}

/* As soon as the cure promised, and a second for the kernel's timers. */
static bool works_in_time(const struct asking *q, double in_s, struct outcome_pair *happened)
{
	const int tries = 1 + (in_s > 0 ? (int)((in_s + 1) * 20) : 0);

	for (int i = 0; i < tries; i++) {
		if (works(q, happened))
			return true;
		if (i + 1 < tries)
			nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
	return false;
}

static bool is_same(const struct outcome_pair *a, const struct outcome_pair *b)
{
	return !strcmp(a->answer, b->answer) && !strcmp(a->error, b->error) &&
	       !strcmp(a->at, b->at);
}

static bool has_program(const struct said_cure *c)
{
	return strstr(c->command, "-- CMD") != NULL;
}

static bool destroys(const struct said_cure *c)
{
	return !strcmp(c->id, "destroy-time-wait");
}

/* Not all could be changed, and the answer names why: what waits for accept() is in no process yet,
 * and of two sockets of the same ends the kernel finds one. */
static bool is_left_for_cause(const struct typed *t)
{
	return t->status == 1 && !strncmp(t->out, "LEFT ", 5) &&
	       (strstr(t->out, "they wait for accept()") ||
		strstr(t->out, "socket of the same ends"));
}

/* NULL, or what went wrong. A program under tcpwhy run has made the call itself; for a cure of the
 * next time the call is not looked at. */
static const char *type_cure(const struct options *o, const struct asking *q, struct args *a,
			     const struct said_cure *c, struct typed *t)
{
	struct outcome_pair after = {.cures_n = 0};
	char line[LINE_MAX_TEXT];

	if (!words_of(o->tcpwhy, q, c->command, line))
		return "the command is too long";
	type_line(line, t);
	if (q->after)
		q->after(q->ctx);
	if (is_left_for_cause(t))
		return NULL;
	if (t->status && (c->in_s >= 0 || !has_program(c) || t->status != 1))
		return "its status";
	if (c->in_s < 0)
		return NULL;
	if (!has_program(c) && !works_in_time(q, c->in_s, &after))
		return "the call fails";
	if (!has_program(c) &&
	    (!ask_tcpwhy(o->tcpwhy, a, &after) || (strcmp(after.answer, "ok") && !after.chance)))
		return "the answer is not ok";
	return NULL;
}

/* The call that worked may have left its trace: the flags of a bucket, a TIME_WAIT that it took
 * over; or a timer ran out. What is said then has to be what happens then. */
static bool is_true(const struct asking *q, const struct outcome_pair *said)
{
	struct outcome_pair happened;

	works(q, &happened);
	return is_same(said, &happened) || !strcmp(said->answer, "depends");
}

static const char *undo_cure(const struct options *o, const struct asking *q, struct args *a,
			     const struct outcome_pair *said, struct typed *t, struct tally *tally)
{
	struct outcome_pair again;
	static struct typed undo;
	char line[LINE_MAX_TEXT];

	for (size_t i = t->undo_n; i-- > 0;) {
		if (!words_of(o->tcpwhy, q, t->undo[i], line))
			return "the command that undoes it is too long";
		type_line(line, &undo);
		if (undo.status) {
			memcpy(t->out, undo.out, sizeof(t->out));
			return "the undoing fails";
		}
	}
	if (!ask_tcpwhy(o->tcpwhy, a, &again))
		return "undone, there is no answer";
	if (is_same(said, &again))
		return NULL;
	tally->changed++;
	if (is_true(q, &again))
		return NULL;
	snprintf(t->out, sizeof(t->out), "it is %s %s %s", again.answer, again.error, again.at);
	return "undone, the answer is another one";
}

static bool type_and_undo(const struct options *o, const struct asking *q, struct args *a,
			  const struct outcome_pair *said, const struct said_cure *c,
			  struct tally *tally)
{
	static struct typed t;
	const char *wrong = type_cure(o, q, a, c, &t);

	tally->cured++;
	if (!wrong && !destroys(c))
		wrong = undo_cure(o, q, a, said, &t, tally);
	if (!wrong)
		return true;
	tally->cure_failed++;
	printf("# '%s' ended with %d: %s; was %s %s, asked", c->command, t.status, wrong,
	       said->answer, said->error);
	args_print(a);
	printf("\n");
	for (char *rest = NULL, *l = strtok_r(t.out, "\n", &rest); l;
	     l = strtok_r(NULL, "\n", &rest))
		printf("#   %s\n", l);
	return false;
}

/* A prepared socket is not given to a program that changed its user, as the call of such a question
 * does. */
static bool is_of_another_user(const struct args *a, const struct said_cure *c)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->list[i], "--uid"))
			return strstr(c->command, "--prepared") != NULL;
	return false;
}

/* The calls of the cures before may have left other sockets. */
static bool is_still_said(const struct options *o, struct args *a, const struct outcome_pair *said,
			  const struct said_cure *c)
{
	struct outcome_pair now;

	if (!ask_tcpwhy(o->tcpwhy, a, &now) || !is_same(said, &now))
		return false;
	for (size_t i = 0; i < now.cures_n; i++)
		if (!strcmp(now.cures[i].command, c->command) &&
		    (now.cures[i].in_s < 0) == (c->in_s < 0))
			return true;
	return false;
}

bool cures_type(const struct options *o, const struct asking *q, struct args *a,
		const struct outcome_pair *said, struct tally *t)
{
	for (int last = !o->cures; last < 2; last++) {
		for (size_t i = 0; i < said->cures_n; i++) {
			const struct said_cure *c = &said->cures[i];
			if (destroys(c) != (last == 1) || (o->cures && t->cured >= o->cures) ||
			    (strstr(c->command, "CGROUP") && !has_cgroup()) ||
			    is_of_another_user(a, c))
				continue;
			if (!is_still_said(o, a, said, c)) {
				t->changed++;
				return true;
			}
			if (!type_and_undo(o, q, a, said, c, t))
				return false;
		}
	}
	return true;
}
