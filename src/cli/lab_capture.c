/* SPDX-License-Identifier: MIT */
#include "cli/lab_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(struct err *err, const char *file, int error)
{
	snprintf(err->text, sizeof(err->text), "%.150s: %s", file, strerror(error));
	return -error;
}

static bool is_stdout(const char *file)
{
	return !strcmp(file, "-");
}

/* ---------------------------------------------------------------------------------------- before
 */

static int check_folder(const char *file, struct err *err)
{
	char path[PATH_MAX];

	if (strlen(file) >= sizeof(path))
		return failed(err, file, ENAMETOOLONG);
	strcpy(path, file);
	return access(dirname(path), W_OK | X_OK) ? failed(err, file, errno) : 0;
}

int lab_capture_check(const char *file, size_t plays, struct err *err)
{
	struct stat st;
	const bool is_there = !is_stdout(file) && !stat(file, &st);
	const bool is_stream = is_stdout(file) || (is_there && !S_ISREG(st.st_mode));

	if (is_there && S_ISDIR(st.st_mode))
		return failed(err, file, EISDIR);
	if (is_stream && plays > 1) {
		snprintf(err->text, sizeof(err->text),
			 "--pcap %.120s: these are %zu plays, and there is room for one: name one "
			 "case, one --release and one --stage",
			 file, plays);
		return -EINVAL;
	}
	return is_stream ? 0 : check_folder(file, err);
}

char *lab_capture_name(const char *file, const struct lab_job *job, unsigned number)
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	const char *dot = strrchr(base, '.');
	const size_t stem = dot && dot != base ? (size_t)(dot - file) : strlen(file);
	char again[16] = "", *name;

	if (number > 1)
		snprintf(again, sizeof(again), "-%u", number);
	if (asprintf(&name, "%.*s-%s-%s-%s%s%s", (int)stem, file, job->config.name,
		     job->on_kernel ? "kernel" : "world", job->row->name, again, file + stem) < 0)
		return NULL;
	return name;
}

/* ----------------------------------------------------------------------------------------- after
 */

static int copy(int from, int to)
{
	char bytes[65536];
	ssize_t n;

	if (lseek(from, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		for (ssize_t done = 0; done < n;) {
			const ssize_t some = write(to, bytes + done, (size_t)(n - done));
			if (some < 0 && errno != EINTR)
				return -errno;
			done += some > 0 ? some : 0;
		}
	return n < 0 ? -errno : 0;
}

/* A FIFO that nobody reads is not waited for. */
static int save_stream(const char *file, int from)
{
	const int fd = open(file, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	fcntl(fd, F_SETFL, 0);
	int r = copy(from, fd);
	if (close(fd) && !r)
		r = -errno;
	return r;
}

/* Under another name first, beside its own: nobody ever sees half a capture. */
static int save_file(const char *file, int from)
{
	char *early;

	if (asprintf(&early, "%s.%ld", file, (long)getpid()) < 0)
		return -ENOMEM;
	const int fd = open(early, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = fd < 0 ? -errno : copy(from, fd);
	if (fd >= 0 && close(fd) && !r)
		r = -errno;
	if (!r && rename(early, file))
		r = -errno;
	if (r && fd >= 0)
		unlink(early);
	free(early);
	return r;
}

/* A symbolic link stays one. */
static int save_whole(const char *file, int from)
{
	char *target = realpath(file, NULL);
	const int r = save_file(target ? target : file, from);

	free(target);
	return r;
}

int lab_capture_save(const char *file, int from, struct err *err)
{
	struct stat st;
	int r;

	if (is_stdout(file))
		r = copy(from, STDOUT_FILENO);
	else if (!stat(file, &st) && !S_ISREG(st.st_mode))
		r = S_ISDIR(st.st_mode) ? -EISDIR : save_stream(file, from);
	else
		r = save_whole(file, from);
	if (r == -ENXIO)
		snprintf(err->text, sizeof(err->text), "%.150s: nobody reads from it", file);
	else if (r)
		failed(err, is_stdout(file) ? "standard output" : file, -r);
	return r;
}
