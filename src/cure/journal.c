/* SPDX-License-Identifier: MIT */
#include "cure/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "cure/journal_fold.h"
#include "live/run_folder.h"

#define LOCK_WAIT_MS 10000
#define LOCK_STEP_MS 20
/* A journal that was moved away while its lock was waited for is opened anew, this often. */
#define MOVED_MAX 8

/* ---------------------------------------------------------------------------------- where it is */

/* TRY: as for writing, but nothing is made; -ENOENT: it could be. */
enum how { READ, WRITE, TRY };

/* Somebody else's folder or file could be changed, or read, behind our back; and what has another
 * name may be something else there. */
static int check_ours(int fd, mode_t type, const char **why)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_mode & S_IFMT) != type)
		return type == S_IFDIR ? -ENOTDIR : -EINVAL;
	if (st.st_uid != geteuid())
		*why = "it, or its folder, belongs to another user";
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		*why = "others may write to it, or to its folder";
	else if (type == S_IFREG && st.st_nlink > 1)
		*why = "it is a hard link: it has another name too";
	else
		return 0;
	return -EPERM;
}

/* base is not made, only the folder in it: a /run that is not there is not ours to make. The folder
 * itself may not be a symbolic link. */
static int open_folder(const char *dir, enum how how, const char **why)
{
	int fd, rc = how == WRITE ? run_folder_make(dir) : 0;

	if (rc)
		return rc;
	fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFDIR, why);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* Without waiting, should it be a FIFO that nobody reads. */
static int open_file(int folder, const char *name, enum how how, const char **why)
{
	static const int flags[] = {[READ] = O_RDONLY,
				    [WRITE] = O_RDWR | O_APPEND | O_CREAT,
				    [TRY] = O_RDWR | O_APPEND};
	int fd = openat(folder, name, flags[how] | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
			0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFREG, why);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* What to do is part of it; why NULL: as the errno says. */
static int tell(const struct journal *journal, bool write, int error, const char *why,
		struct err *err)
{
	if (!why)
		why = error == -EINVAL || error == -ENXIO ? "it is no plain file"
							  : strerror(-error);
	snprintf(err->text, sizeof(err->text), "journal: cannot %s %.120s: %s%s",
		 write ? "write" : "read", journal->path, why,
		 !write                      ? ""
		 : getenv("XDG_RUNTIME_DIR") ? "; --journal FILE names another"
					     : "; --journal FILE names another, XDG_RUNTIME_DIR a "
					       "folder for it");
	return error;
}

/* Whether the file, which is not there, could be made: its folder, or what that would be made in.
 */
static int may_make(const char *dir, const char *base)
{
	if (!faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS))
		return -ENOENT;
	if (errno != ENOENT || !base)
		return errno == ENOENT ? -ENOTDIR : -errno;
	if (!faccessat(AT_FDCWD, base, W_OK | X_OK, AT_EACCESS))
		return -ENOENT;
	return errno == ENOENT ? -ENOTDIR : -errno;
}

/* The descriptor, or -errno. */
static int open_in(struct journal *journal, const char *base, enum how how, struct err *err)
{
	char dir[JOURNAL_PATH_MAX - 16];
	const char *why = NULL;
	int folder, fd;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/tcpwhy", base) >= sizeof(dir)) {
		snprintf(err->text, sizeof(err->text), "journal: the path of %.60s... is too long",
			 base);
		return -ENAMETOOLONG;
	}
	snprintf(journal->path, sizeof(journal->path), "%s/journal", dir);
	folder = open_folder(dir, how, &why);
	fd = folder < 0 ? folder : open_file(folder, "journal", how, &why);
	if (folder >= 0)
		close(folder);
	if (how == TRY && fd == -ENOENT)
		fd = may_make(dir, base);
	return fd < 0 ? tell(journal, how != READ, fd, why, err) : fd;
}

static int may_make_named(const char *path)
{
	char dir[JOURNAL_PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	return may_make(slash ? dir : ".", NULL);
}

static int open_named(struct journal *journal, const char *path, enum how how, struct err *err)
{
	const char *why = NULL;
	int fd;

	if ((size_t)snprintf(journal->path, sizeof(journal->path), "%s", path) >=
	    sizeof(journal->path)) {
		snprintf(err->text, sizeof(err->text), "journal: the path %.60s... is too long",
			 path);
		return -ENAMETOOLONG;
	}
	fd = open_file(AT_FDCWD, path, how, &why);
	if (how == TRY && fd == -ENOENT)
		fd = may_make_named(path);
	return fd < 0 ? tell(journal, how != READ, fd, why, err) : fd;
}

static int open_usual(struct journal *journal, enum how how, struct err *err)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int fd = -EACCES;

	if (own && own[0] != '/')
		own = NULL;
	/* Root of a user namespace is uid 0 too, and may not write the host's /run. */
	if (geteuid() == 0 || !own)
		fd = open_in(journal, "/run", how, err);
	if (fd < 0 && own && !(how == TRY && fd == -ENOENT))
		fd = open_in(journal, own, how, err);
	return fd;
}

static int open_at(struct journal *journal, const char *path, enum how how, struct err *err)
{
	return path ? open_named(journal, path, how, err) : open_usual(journal, how, err);
}

/* --------------------------------------------------------------------------------------- reading
 */

/* A file of /proc has no size, and is not empty. */
static bool is_empty(int fd)
{
	char first;

	return pread(fd, &first, 1, 0) == 0;
}

/* The whole text, on the heap. */
static int read_text(const struct journal *journal, char **out, size_t *size, struct err *err)
{
	struct stat st;
	size_t used = 0;
	char *text;

	if (fstat(journal->fd, &st))
		return tell(journal, false, -errno, NULL, err);
	if ((uint64_t)st.st_size > JOURNAL_SIZE_MAX)
		return tell(journal, false, -EFBIG, NULL, err);
	if (!st.st_size && !is_empty(journal->fd))
		return tell(journal, false, -EINVAL, NULL, err);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return tell(journal, false, -ENOMEM, NULL, err);
	while (used < (size_t)st.st_size) {
		ssize_t n = pread(journal->fd, text + used, (size_t)st.st_size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = -errno;

			free(text);
			return tell(journal, false, error, NULL, err);
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	*out = text;
	*size = used;
	return 0;
}

static int read_all(const struct journal *journal, struct journal_entries *entries, uint64_t *last,
		    struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	int rc = journal->fd < 0 ? 0 : read_text(journal, &text, &size, err);

	if (!rc) {
		rc = journal_fold(text, size, entries, last);
		if (rc)
			tell(journal, false, rc, NULL, err);
	}
	free(text);
	if (rc || !entries->foreign)
		return rc;
	journal_entries_free(entries);
	snprintf(err->text, sizeof(err->text),
		 "journal: %.160s is no journal: its first line is no record", journal->path);
	return -EINVAL;
}

int journal_read(const struct journal *journal, struct journal_entries *entries, struct err *err)
{
	uint64_t last;

	return read_all(journal, entries, &last, err);
}

/* --------------------------------------------------------------------------------------- the lock
 */

/* The process that holds a lock of the file, 0 unknown: /proc/locks names it by device and inode,
 * unless it lives in another PID namespace. */
static int lock_holder(int fd)
{
	FILE *locks = fopen("/proc/locks", "re");
	char line[256];
	int holder = 0;
	struct stat st;

	if (!locks)
		return 0;
	while (!holder && !fstat(fd, &st) && fgets(line, sizeof(line), locks)) {
		unsigned major, minor;
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*u: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major, &minor,
			   &inode) == 4 &&
		    inode == st.st_ino && makedev(major, minor) == st.st_dev && pid > 0)
			holder = pid;
	}
	fclose(locks);
	return holder;
}

static int wait_for_lock(const struct journal *journal, int fd, struct err *err)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
	int rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	char who[48] = "";
	int holder;

	for (int ms = 0; (rc == -EWOULDBLOCK || rc == -EINTR) && ms < LOCK_WAIT_MS;
	     ms += LOCK_STEP_MS) {
		nanosleep(&step, NULL);
		rc = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	}
	if (rc != -EWOULDBLOCK && rc != -EINTR)
		return rc ? tell(journal, true, rc, NULL, err) : 0;
	holder = lock_holder(fd);
	if (holder)
		snprintf(who, sizeof(who), ": process %d", holder);
	snprintf(err->text, sizeof(err->text), "journal: %.160s is held by another change%s",
		 journal->path, who);
	return -EBUSY;
}

static bool is_still_there(const struct journal *journal, int fd)
{
	struct stat ours, theirs;

	return !fstat(fd, &ours) && !lstat(journal->path, &theirs) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static bool is_torn(int fd)
{
	struct stat st;
	char last;

	return !fstat(fd, &st) && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
	       last != '\n';
}

/* What a newer release wrote is not understood here, so nothing may be added to it. */
static int check_text(struct journal *journal, struct err *err)
{
	struct journal_entries entries;
	int rc = read_all(journal, &entries, &journal->last, err);

	if (rc)
		return rc;
	if (entries.newer) {
		snprintf(err->text, sizeof(err->text),
			 "journal: %.120s was written by a newer release, which can undo what "
			 "stands "
			 "there; --journal FILE names another",
			 journal->path);
		rc = -EPROTO;
	}
	journal_entries_free(&entries);
	return rc;
}

int journal_open(struct journal *journal, const char *path, struct err *err)
{
	*journal = (struct journal){.fd = -1};
	for (int i = 0; i < MOVED_MAX; i++) {
		int fd = open_at(journal, path, WRITE, err);
		int rc = fd < 0 ? fd : wait_for_lock(journal, fd, err);

		if (rc) {
			if (fd >= 0)
				close(fd);
			return rc;
		}
		if (is_still_there(journal, fd)) {
			journal->fd = fd;
			journal->torn = is_torn(fd);
			rc = check_text(journal, err);
			if (rc)
				journal_close(journal);
			return rc;
		}
		close(fd);
	}
	snprintf(err->text, sizeof(err->text), "journal: %.160s is moved away again and again",
		 journal->path);
	return -EBUSY;
}

int journal_check(const char *path, struct err *err)
{
	struct journal journal = {.fd = -1};
	int rc;

	journal.fd = open_at(&journal, path, TRY, err);
	if (journal.fd < 0)
		return journal.fd == -ENOENT ? 0 : journal.fd;
	rc = check_text(&journal, err);
	journal_close(&journal);
	return rc;
}

int journal_open_read(struct journal *journal, const char *path, struct err *err)
{
	int fd;

	*journal = (struct journal){.fd = -1};
	fd = open_at(journal, path, READ, err);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	journal->fd = fd;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

/* --------------------------------------------------------------------------------------- writing
 */

json_t *journal_string(const char *text)
{
	json_t *string = json_string(text);
	char *ascii = string ? NULL : strdup(text);

	for (char *c = ascii; c && *c; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	if (ascii)
		string = json_string(ascii);
	free(ascii);
	return string;
}

void journal_boot(char boot[static 40])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file || !fgets(boot, 40, file))
		boot[0] = '\0';
	boot[strcspn(boot, "\n")] = '\0';
	if (file)
		fclose(file);
}

/* What every line begins with; then the members of rest, which is taken. */
static json_t *make_line(uint64_t id, const char *step, json_t *rest)
{
	char boot[40], when[32] = "";
	time_t now = time(NULL);
	json_t *line;
	struct tm utc;

	if (gmtime_r(&now, &utc))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	journal_boot(boot);
	line = json_pack("{s:i, s:I, s:s, s:s, s:s, s:i, s:i}", "schema", JOURNAL_SCHEMA, "id",
			 (json_int_t)id, "step", step, "when", when, "boot", boot, "uid",
			 (int)getuid(), "pid", (int)getpid());
	if (line && (!rest || json_object_update(line, rest))) {
		json_decref(line);
		line = NULL;
	}
	json_decref(rest);
	return line;
}

/* text is a heap block of json_dumps(); the result takes its place: a newline after it, and one
 * before it where the last line was torn. */
static char *as_line(char *text, bool torn)
{
	size_t n = strlen(text);
	char *line = realloc(text, n + 3);

	if (!line) {
		free(text);
		return NULL;
	}
	if (torn)
		memmove(line + 1, line, n + 1);
	memcpy(line + n + torn, "\n", 2);
	if (torn)
		line[0] = '\n';
	return line;
}

/* In one write. What fits only in part is taken back, as far as that is possible. */
static int append(struct journal *journal, const char *line)
{
	size_t all = strlen(line);
	ssize_t written;
	struct stat st;
	int error = 0;

	if (fstat(journal->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size + all > JOURNAL_SIZE_MAX)
		return -EFBIG;
	written = write(journal->fd, line, all);
	if (written < 0)
		error = errno;
	else if ((size_t)written != all)
		error = ENOSPC;
	else if (fsync(journal->fd))
		error = errno;
	if (!error)
		journal->torn = false;
	else if (ftruncate(journal->fd, st.st_size))
		journal->torn = true;
	return -error;
}

/* Takes line. */
static int write_line(struct journal *journal, json_t *line, struct err *err)
{
	char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	int rc = -ENOMEM;

	json_decref(line);
	if (text)
		text = as_line(text, journal->torn);
	if (text)
		rc = append(journal, text);
	free(text);
	if (rc)
		snprintf(err->text, sizeof(err->text), "journal: cannot append to %.160s: %s",
			 journal->path, strerror(-rc));
	return rc;
}

int journal_before(struct journal *journal, json_t *change, uint64_t *id, struct err *err)
{
	/* Also if it fails: the line may stand there all the same. */
	const uint64_t next = ++journal->last;
	int rc = write_line(journal, make_line(next, "before", change), err);

	if (!rc)
		*id = next;
	return rc;
}

int journal_after(struct journal *journal, uint64_t id, json_t *outcome, struct err *err)
{
	return write_line(journal, make_line(id, "after", outcome), err);
}
