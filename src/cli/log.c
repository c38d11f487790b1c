/* SPDX-License-Identifier: MIT
 *
 * tcpwhy log: failed calls in the logs of applications, and the question that each of them asks
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/logask.h"
#include "live/heap.h"
#include "logs/logs.h"

#define PIECE   262144
#define TICK_MS 200 /* how often a followed file is looked at */

static const char usage_text[] =
	"usage: tcpwhy log [FILE...|-] [options]\n"
	"\n"
	"Finds failed bind(), connect() and connections in the logs of applications (thirty "
	"formats\n"
	"and whoever prints errno), counts repeats as one, and asks the kernel what each would "
	"get\n"
	"now. Without FILE, or with -, reads standard input.\n"
	"\n"
	"  --follow, -f       goes on reading as the file grows, through truncation and rotation\n"
	"  --no-ask           only finds; asks nothing\n"
	"  --netns NAME|PATH  asks in that network namespace\n"
	"  --pid N            asks in the network namespace of that process\n"
	"  --json             the same as one JSON object; with --follow one line for each kind\n"
	"  --help             shows this\n"
	"\n"
	"Exit status: 0 nothing was found; 1 something was; 2 usage; 3 a file could not be read, "
	"or\n"
	"the kernel could not be asked.\n";

struct run {
	struct logask ask;
	bool follow, json;
	const char *const *files;
	size_t files_n, files_read;
	unsigned file;   /* the one that is read */
	bool failed;     /* a file could not be read, or the kernel not be asked */
	bool unwritable; /* what was to be printed could not be */
	struct logs *logs;
	struct log_groups groups;
	struct logs_answer answers[LOG_GROUPS_MAX];
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static int usage(const char *wrong, const char *what)
{
	fprintf(stderr, "tcpwhy log: %s%s%s\n", wrong, what ? ": " : "", what ? what : "");
	return STATUS_USAGE;
}

static void complain(struct run *run, const char *file, int error)
{
	fprintf(stderr, "tcpwhy log: %s: %s\n", file,
		error == EILSEQ ? "is UTF-16; convert it first: iconv -f UTF-16" : strerror(error));
	run->failed = true;
}

/* ---------------------------------------------------------------------------------------- options
 */

static bool parse_pid(const char *text, int *pid)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n < 1 || n > INT_MAX)
		return false;
	*pid = (int)n;
	return true;
}

static int parse_netns(const char *text, const char **netns)
{
	*netns = text;
	return *text ? 0 : usage("not a name or path of a network namespace", text);
}

/* 0, or the status to end with. */
static int parse_options(int argc, char **argv, struct run *run)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},      {"no-ask", no_argument, NULL, 'n'},
		{"netns", required_argument, NULL, 'N'}, {"pid", required_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},        {NULL, 0, NULL, 0}};
	int c, wrong = 0;

	optind = 0;
	opterr = 0;
	while (!wrong && (c = getopt_long(argc, argv, ":f", options, NULL)) != -1) {
		if (c == 'f')
			run->follow = true;
		else if (c == 'n')
			run->ask.off = true;
		else if (c == 'j')
			run->json = run->ask.json = true;
		else if (c == 'N')
			wrong = parse_netns(optarg, &run->ask.target.netns);
		else if (c == 'p' && !parse_pid(optarg, &run->ask.target.pid))
			wrong = usage("not a process id", optarg);
		else if (c == ':')
			wrong = usage("this option needs a value", argv[optind - 1]);
		else if (c == '?')
			wrong = usage("no such option", argv[optind - 1]);
	}
	if (!wrong && run->ask.target.netns && run->ask.target.pid)
		wrong = usage("--netns and --pid both name a namespace; give one", NULL);
	return wrong;
}

static int parse_files(int argc, char **argv, struct run *run)
{
	static const char *const standard_input[] = {"-"};

	run->files = argc > optind ? (const char *const *)argv + optind : standard_input;
	run->files_n = argc > optind ? (size_t)(argc - optind) : 1;
	if (run->follow && run->files_n > 1)
		return usage("--follow follows one file", run->files[1]);
	return 0;
}

/* ---------------------------------------------------------------------------------------- showing
 */

static struct logs_report report_of(const struct run *run)
{
	return (struct logs_report){
		.groups = &run->groups,
		.answers = run->answers,
		.files = run->files,
		.files_n = run->files_n,
		.files_read = run->files_read,
		.lines = logs_lines(run->logs),
		.bytes = logs_bytes(run->logs),
	};
}

static void ask(struct run *run, size_t i)
{
	struct err err = {""};
	bool before = run->failed;

	if (!logask_answer(&run->ask, &run->groups, i, run->answers, &err))
		return;
	/* Once is enough: the next question meets the same. */
	if (!before)
		fprintf(stderr, "tcpwhy log: %s\n", err.text);
	run->failed = true;
	run->ask.off = true;
}

static void show_group(struct run *run, size_t i)
{
	struct logs_report r = report_of(run);
	bool ok = true;

	if (run->json)
		ok = report_logs_group_json(&r, i, stdout);
	else
		report_logs_group(&r, i, stdout);
	if (!run->json)
		putchar('\n');
	if (!ok || fflush(stdout) || ferror(stdout))
		run->unwritable = true;
}

static bool is_power_of_ten(uint64_t n)
{
	while (n >= 10 && n % 10 == 0)
		n /= 10;
	return n == 1;
}

/* A followed log shows a kind of failure at once, and again when it has come 10, 100, ... times:
 * then the kernel is not asked again. */
static void on_hit(void *ctx, const struct log_hit *hit)
{
	struct run *run = ctx;
	size_t n = run->groups.n;
	struct log_group *g = log_groups_add(&run->groups, hit, run->file);

	if (!run->follow || !g)
		return;
	size_t i = (size_t)(g - run->groups.group);
	if (run->groups.n > n)
		ask(run, i);
	if (is_power_of_ten(g->count))
		show_group(run, i);
}

static void show_all(struct run *run)
{
	struct logs_report r = report_of(run);
	bool ok = true;

	/* Nothing could be read: there is no answer, least of all that nothing failed. */
	if (run->failed && !logs_bytes(run->logs) && !run->json)
		return;
	if (run->follow && !run->json)
		report_logs_verdict(&r, stdout);
	else if (!run->follow && run->json)
		ok = report_logs_json(&r, stdout);
	else if (!run->follow)
		report_logs_screen(&r, stdout);
	if (!ok || fflush(stdout) || ferror(stdout))
		run->unwritable = true;
}

/* ---------------------------------------------------------------------------------------- reading
 */

static ssize_t read_piece(int fd, char *buffer)
{
	ssize_t n;

	do
		n = read(fd, buffer, PIECE);
	while (n < 0 && errno == EINTR && !stop);
	return n;
}

/* By its byte order mark. No line of it would be recognised: that must not look like a log in which
 * nothing failed. */
static bool is_utf16(const char *text, size_t n)
{
	return n >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2));
}

/* To the end of what is there now. False with errno; EILSEQ: it is no text of bytes. */
static bool read_on(struct run *run, int fd, char *buffer, off_t *at)
{
	ssize_t n = 1;

	while (!stop && (n = read_piece(fd, buffer)) > 0) {
		if (!*at && is_utf16(buffer, (size_t)n)) {
			errno = EILSEQ;
			return false;
		}
		logs_feed(run->logs, buffer, (size_t)n);
		*at += n;
	}
	return n >= 0 || stop;
}

static int open_file(const char *file)
{
	return strcmp(file, "-") != 0 ? open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
}

static void close_file(int fd)
{
	if (fd > STDIN_FILENO)
		close(fd);
}

static void read_file(struct run *run, const char *file, char *buffer)
{
	off_t at = 0;
	int fd = open_file(file);

	if (fd >= 0 && read_on(run, fd, buffer, &at))
		run->files_read++;
	else
		complain(run, file, errno);
	logs_end(run->logs);
	close_file(fd);
}

/* -------------------------------------------------------------------------------------- following
 */

static void wait_a_tick(void)
{
	struct timespec t = {.tv_nsec = TICK_MS * 1000000L};

	nanosleep(&t, NULL);
}

/* The name leads to another file: what was left in the old one is read first. */
static bool is_rotated(const char *file, const struct stat *old)
{
	struct stat now;

	return !stat(file, &now) && (now.st_ino != old->st_ino || now.st_dev != old->st_dev);
}

/* The next file under the same name; the old one stays open while there is none. */
static bool open_next(struct run *run, const char *file, char *buffer, int *fd, off_t *at)
{
	int next = open_file(file);

	if (next < 0)
		return true;
	bool ok = read_on(run, *fd, buffer, at);
	logs_end(run->logs);
	close_file(*fd);
	*fd = next;
	*at = 0;
	return ok;
}

/* One look at the file: what is new in it, and whether it is still the same. */
static bool look_again(struct run *run, const char *file, char *buffer, int *fd, off_t *at)
{
	off_t before = *at;
	struct stat st;

	if (!read_on(run, *fd, buffer, at) || fstat(*fd, &st))
		return false;
	if (*at == before)
		logs_pause(run->logs);
	if (S_ISREG(st.st_mode) && st.st_size < *at) {
		logs_end(run->logs);
		*at = 0;
		return lseek(*fd, 0, SEEK_SET) == 0;
	}
	return !is_rotated(file, &st) || open_next(run, file, buffer, fd, at);
}

static void follow_file(struct run *run, const char *file, char *buffer)
{
	off_t at = 0;
	int fd = open_file(file);
	bool ok = fd >= 0 && read_on(run, fd, buffer, &at);

	run->files_read = ok;
	while (ok && !stop && !run->unwritable) {
		ok = look_again(run, file, buffer, &fd, &at);
		wait_a_tick();
	}
	if (!ok)
		complain(run, file, errno);
	logs_end(run->logs);
	close_file(fd);
}

/* A pipe ends by itself; between its lines a failure does not wait for its neighbours. */
static void follow_input(struct run *run, char *buffer)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t n = 1;

	while (n > 0 && !stop && !run->unwritable) {
		if (poll(&p, 1, TICK_MS) == 0) {
			logs_pause(run->logs);
			continue;
		}
		n = read_piece(STDIN_FILENO, buffer);
		if (n > 0 && !logs_bytes(run->logs) && is_utf16(buffer, (size_t)n)) {
			errno = EILSEQ;
			n = -1;
		}
		if (n > 0)
			logs_feed(run->logs, buffer, (size_t)n);
	}
	if (n < 0 && !stop)
		complain(run, "-", errno);
	run->files_read = n >= 0 || stop;
	logs_end(run->logs);
}

static void catch_signals(void)
{
	struct sigaction end = {.sa_handler = on_signal};

	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
}

static void read_all(struct run *run, char *buffer)
{
	if (run->follow) {
		catch_signals();
		if (strcmp(run->files[0], "-") != 0)
			follow_file(run, run->files[0], buffer);
		else
			follow_input(run, buffer);
		return;
	}
	for (run->file = 0; run->file < run->files_n; run->file++)
		read_file(run, run->files[run->file], buffer);
	for (size_t i = 0; i < run->groups.n; i++)
		ask(run, i);
}

static int status_of(const struct run *run)
{
	if (run->unwritable)
		return command_written("log", false, STATUS_UNDECIDED);
	if (run->failed)
		return STATUS_UNDECIDED;
	return run->groups.hits ? STATUS_REFUSED : STATUS_OK;
}

static int run_log(struct run *run)
{
	char *buffer = malloc(PIECE);
	int status = STATUS_UNDECIDED;

	run->logs = logs_new(&heap_memory, on_hit, run);
	if (!buffer || !run->logs) {
		fputs("tcpwhy log: no memory\n", stderr);
	} else {
		read_all(run, buffer);
		show_all(run);
		status = status_of(run);
	}
	logask_close(&run->ask);
	for (size_t i = 0; i < run->groups.n; i++)
		free(run->answers[i].text);
	logs_free(run->logs);
	free(buffer);
	return status;
}

int cmd_log(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			fputs(usage_text, stdout);
			return STATUS_OK;
		}
	}
	struct run *run = calloc(1, sizeof(*run));
	if (!run) {
		fputs("tcpwhy log: no memory\n", stderr);
		return STATUS_UNDECIDED;
	}
	int status = parse_options(argc, argv, run);
	if (!status)
		status = parse_files(argc, argv, run);
	if (!status)
		status = run_log(run);
	free(run);
	return status;
}
