/* SPDX-License-Identifier: MIT */
#include "cli/lab_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "case/kernel_stage.h"
#include "case/pcap.h"
#include "case/stage_world.h"

enum { PROCESSORS_MAX = 8, SLOTS_MAX = 3 * PROCESSORS_MAX };

/* Twice what the largest case takes. */
#define WORLD_BYTES ((size_t)768 << 20)
#define LIMIT_NS    UINT64_C(120000000000)
#define SLOW_NS     UINT64_C(1200000000000)

/* The model only computes: what bounds it is the processor's time, more than the sandbox gives. */
enum { MODEL_SECONDS = 90, MODEL_NICE = 3 };

/* A play that is going on. */
struct slot {
	size_t job;
	pid_t pid; /* 0: free */
	int fd;
	uint64_t until_ns;
	volatile int *line; /* of the text, as the play goes; shared with it. NULL: not known */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* -------------------------------------------------------------------------------------- the child
 */

/* In a child of one thread, as the kernel's stage wants it. */
static int open_stage(const struct lab_job *job, struct stage **out, struct err *err)
{
	const struct stage_world_config world = {
		.row = job->row,
		.seed = job->config.seed,
		.memory_limit = WORLD_BYTES,
	};
	const struct kernel_stage_config kernel = {
		.row = job->row,
		.seed = job->config.seed,
		.looks = job->config.observe ? PLAY_LIST_MAX : 0,
		.slow = job->config.slow,
	};

	return job->on_kernel ? kernel_stage_new(&kernel, out, err)
			      : stage_world_new(&world, out, err);
}

static void not_played(struct play *p, const struct lab_job *job, enum play_end end,
		       const char *why)
{
	memset(p, 0, sizeof(*p));
	p->end = (uint8_t)end;
	snprintf(p->head.name, sizeof(p->head.name), "%s", job->config.name);
	snprintf(p->stage, sizeof(p->stage), "%s", job->on_kernel ? "kernel" : "world");
	snprintf(p->release, sizeof(p->release), "%s", job->row->name);
	snprintf(p->why, sizeof(p->why), "%s", why);
}

static void failed(struct play *p, const struct lab_job *job, const char *why)
{
	not_played(p, job, PLAY_FAILED, why);
}

/* All tapped links together. */
static void capture(const struct lab_job *job, struct stage *stage, struct play *p)
{
	struct err err = {""};
	const int frames = pcapfile_write_stage_to(job->capture_fd, stage, -1, &err);

	if (frames < 0) {
		p->uncaptured = (uint32_t)stage->ops->trace_count(stage);
		if (ftruncate(job->capture_fd, 0))
			_exit(1);
		return;
	}
	p->captured = (uint32_t)frames;
	p->uncaptured = (uint32_t)stage->ops->trace_count(stage) - p->captured;
}

/* The kernel's plays run in real time beside it. */
static void stand_back(void)
{
	const struct rlimit seconds = {MODEL_SECONDS, MODEL_SECONDS};

	setrlimit(RLIMIT_CPU, &seconds);
	setpriority(PRIO_PROCESS, 0, MODEL_NICE);
}

static _Noreturn void play_in_child(const struct lab_job *job, int fd, volatile int *line)
{
	struct story_config config = job->config;
	struct stage *stage;
	struct err err = {""};
	struct play play;

	/* If we are interrupted, so is it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!job->on_kernel)
		stand_back();
	int r = open_stage(job, &stage, &err);
	if (r) {
		not_played(&play, job, r == STAGE_CANNOT ? PLAY_CANNOT : PLAY_FAILED, err.text);
	} else {
		config.line = line;
		story_play(&config, stage, job->row, &play);
		if (job->captures)
			capture(job, stage, &play);
		stage->ops->free(stage);
	}
	_exit(play_write(&play, fd) != 0);
}

/* ------------------------------------------------------------------------------------- the parent
 */

static void begin(struct slot *s, struct lab_job *jobs, size_t i)
{
	int ends[2];

	*s = (struct slot){.job = i, .fd = -1, .line = s->line};
	if (s->line)
		*s->line = 0;
	jobs[i].capture_fd = -1;
	if (jobs[i].captures)
		jobs[i].capture_fd = memfd_create("capture", MFD_CLOEXEC);
	if ((jobs[i].captures && jobs[i].capture_fd < 0) || pipe2(ends, O_CLOEXEC)) {
		failed(&jobs[i].play, &jobs[i], strerror(errno));
		return;
	}
	s->pid = fork();
	if (!s->pid)
		play_in_child(&jobs[i], ends[1], s->line);
	close(ends[1]);
	if (s->pid < 0) {
		close(ends[0]);
		s->pid = 0;
		failed(&jobs[i].play, &jobs[i], strerror(errno));
		return;
	}
	s->fd = ends[0];
	const bool is_long = jobs[i].config.slow || !jobs[i].on_kernel;
	s->until_ns = now_ns() + (is_long ? SLOW_NS : LIMIT_NS);
}

/* Where the text was is told if it is known. Too long in the model is the text's doing, for it has
 * no outside; all else is the stage's. */
static void broke_off(const struct slot *s, struct lab_job *job, const char *why, bool is_late)
{
	const int line = s->line ? *s->line : 0;
	char text[PLAY_NAME_MAX + 128];

	if (!line) {
		failed(&job->play, job, why);
		return;
	}
	snprintf(text, sizeof(text), "%s.lua:%d: %s", job->config.name, line, why);
	not_played(&job->play, job, is_late && !job->on_kernel ? PLAY_WRONG : PLAY_FAILED, text);
}

/* One number for each slot; they stay without where there is no memory. */
static void share_lines(struct slot *slots, size_t n)
{
	volatile int *lines = mmap(NULL, n * sizeof(*lines), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; (void *)lines != MAP_FAILED && i < n; i++)
		slots[i].line = &lines[i];
}

static void unshare_lines(struct slot *slots, size_t n)
{
	if (slots[0].line)
		munmap((void *)slots[0].line, n * sizeof(*slots[0].line));
}

static void end(struct slot *s, struct lab_job *job, const char *why)
{
	const bool is_late = why;
	int status = 0;

	if (why || play_read(&job->play, s->fd)) {
		kill(s->pid, SIGKILL);
		why = why ? why : "the process that played it died";
	}
	close(s->fd);
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (why)
		broke_off(s, job, why, is_late);
	s->pid = 0;
}

/* Waits until one has something to tell, or has taken too long; then it is over. */
static struct slot *wait_one(struct slot *slots, size_t n, struct lab_job *jobs)
{
	struct pollfd fds[SLOTS_MAX];
	struct slot *of[SLOTS_MAX];

	for (;;) {
		nfds_t k = 0;
		for (size_t i = 0; i < n; i++) {
			if (!slots[i].pid)
				continue;
			if (now_ns() > slots[i].until_ns) {
				end(&slots[i], &jobs[slots[i].job], "it took too long");
				return &slots[i];
			}
			fds[k] = (struct pollfd){.fd = slots[i].fd, .events = POLLIN};
			of[k++] = &slots[i];
		}
		if (!k)
			return NULL;
		if (poll(fds, k, 500) <= 0)
			continue;
		for (nfds_t i = 0; i < k; i++) {
			if (!fds[i].revents)
				continue;
			end(of[i], &jobs[of[i]->job], NULL);
			return of[i];
		}
	}
}

static struct slot *free_slot(struct slot *slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!slots[i].pid)
			return &slots[i];
	return NULL;
}

/* The next from i on that is of that stage. */
static size_t next_of(const struct lab_job *jobs, size_t n, size_t i, bool on_kernel)
{
	while (i < n && jobs[i].on_kernel != on_kernel)
		i++;
	return i;
}

static size_t processors(void)
{
	const long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > PROCESSORS_MAX ? PROCESSORS_MAX : (size_t)n;
}

/* Slots: first those of the model, one a processor; then the kernel's, whose plays mostly wait. */
void lab_run(struct lab_job *jobs, size_t n, void (*done)(void *ctx, size_t i), void *ctx)
{
	const size_t each = processors(), all = 3 * each;
	const size_t first[2] = {0, each}, slots_n[2] = {each, 2 * each};
	struct slot slots[SLOTS_MAX] = {0}, *s;
	size_t next[2] = {next_of(jobs, n, 0, false), next_of(jobs, n, 0, true)};

	/* A child must not write what we have not yet written. */
	fflush(NULL);
	share_lines(slots, all);
	for (;;) {
		for (size_t on_kernel = 0; on_kernel < 2; on_kernel++) {
			size_t *i = &next[on_kernel];
			while (*i < n &&
			       (s = free_slot(slots + first[on_kernel], slots_n[on_kernel]))) {
				begin(s, jobs, *i);
				if (!s->pid)
					done(ctx, *i);
				*i = next_of(jobs, n, *i + 1, on_kernel);
			}
		}
		s = wait_one(slots, all, jobs);
		if (!s)
			break;
		done(ctx, s->job);
	}
	unshare_lines(slots, all);
}
