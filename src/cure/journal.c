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

/* Somebody else's folder or file could be changed, or read, behind our back. */
static int check_ours(int fd, mode_t type)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_mode & S_IFMT) != type)
		return type == S_IFDIR ? -ENOTDIR : -EINVAL;
	return st.st_uid == geteuid() ? 0 : -EPERM;
}

/* base is not made, only the folder in it: a /run that is not there is not ours to make. The folder
 * itself may not be a symbolic link. */
static int open_folder(const char *dir, bool write)
{
	int fd, rc = write ? run_folder_make(dir) : 0;

	if (rc)
		return rc;
	fd = open(dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFDIR);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

/* Without waiting, should it be a FIFO that nobody reads. */
static int open_file(int folder, const char *name, bool write)
{
	const int how = write ? O_RDWR | O_APPEND | O_CREAT : O_RDONLY;
	int fd = openat(folder, name, how | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	rc = check_ours(fd, S_IFREG);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int tell(const struct journal *journal, bool write, int error, struct err *err)
{
	snprintf(err->text, sizeof(err->text), "journal: cannot %s %.160s: %s",
		 write ? "write" : "read", journal->path,
		 error == -EINVAL || error == -ENXIO ? "it is no plain file"
		 : error == -EPERM                   ? "it, or its folder, belongs to another user"
						     : strerror(-error));
	return error;
}

/* The descriptor, or -errno. */
static int open_in(struct journal *journal, const char *base, bool write, struct err *err)
{
	char dir[JOURNAL_PATH_MAX - 16];
	int folder, fd;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/tcpwhy", base) >= sizeof(dir)) {
		snprintf(err->text, sizeof(err->text), "journal: the path of %.60s... is too long",
			 base);
		return -ENAMETOOLONG;
	}
	snprintf(journal->path, sizeof(journal->path), "%s/journal", dir);
	folder = open_folder(dir, write);
	fd = folder < 0 ? folder : open_file(folder, "journal", write);
	if (folder >= 0)
		close(folder);
	return fd < 0 ? tell(journal, write, fd, err) : fd;
}

static int open_named(struct journal *journal, const char *path, bool write, struct err *err)
{
	int fd;

	if ((size_t)snprintf(journal->path, sizeof(journal->path), "%s", path) >=
	    sizeof(journal->path)) {
		snprintf(err->text, sizeof(err->text), "journal: the path %.60s... is too long",
			 path);
		return -ENAMETOOLONG;
	}
	fd = open_file(AT_FDCWD, path, write);
	return fd < 0 ? tell(journal, write, fd, err) : fd;
}

static int open_usual(struct journal *journal, bool write, struct err *err)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	int fd = -EACCES;

	if (own && own[0] != '/')
		own = NULL;
	/* Root of a user namespace is uid 0 too, and may not write the host's /run. */
	if (geteuid() == 0 || !own)
		fd = open_in(journal, "/run", write, err);
	if (fd < 0 && own)
		fd = open_in(journal, own, write, err);
	return fd;
}

static int open_at(struct journal *journal, const char *path, bool write, struct err *err)
{
	return path ? open_named(journal, path, write, err) : open_usual(journal, write, err);
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
		return rc ? tell(journal, true, rc, err) : 0;
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

int journal_open(struct journal *journal, const char *path, struct err *err)
{
	*journal = (struct journal){.fd = -1};
	for (int i = 0; i < MOVED_MAX; i++) {
		int fd = open_at(journal, path, true, err);
		int rc = fd < 0 ? fd : wait_for_lock(journal, fd, err);

		if (rc) {
			if (fd >= 0)
				close(fd);
			return rc;
		}
		if (is_still_there(journal, fd)) {
			journal->fd = fd;
			journal->torn = is_torn(fd);
			return 0;
		}
		close(fd);
	}
	snprintf(err->text, sizeof(err->text), "journal: %.160s is moved away again and again",
		 journal->path);
	return -EBUSY;
}

int journal_open_read(struct journal *journal, const char *path, struct err *err)
{
	int fd;

	*journal = (struct journal){.fd = -1};
	fd = open_at(journal, path, false, err);
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

/* --------------------------------------------------------------------------------------- reading
 */

/* The whole text, on the heap. */
static int read_text(const struct journal *journal, char **out, size_t *size, struct err *err)
{
	struct stat st;
	size_t used = 0;
	char *text;

	if (fstat(journal->fd, &st))
		return tell(journal, false, -errno, err);
	if ((uint64_t)st.st_size > JOURNAL_SIZE_MAX)
		return tell(journal, false, -EFBIG, err);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return tell(journal, false, -ENOMEM, err);
	while (used < (size_t)st.st_size) {
		ssize_t n = pread(journal->fd, text + used, (size_t)st.st_size - used, (off_t)used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = -errno;

			free(text);
			return tell(journal, false, error, err);
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
			tell(journal, false, rc, err);
	}
	free(text);
	return rc;
}

int journal_read(const struct journal *journal, struct journal_entries *entries, struct err *err)
{
	uint64_t last;

	return read_all(journal, entries, &last, err);
}

/* --------------------------------------------------------------------------------------- writing
 */

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
	struct journal_entries entries;
	uint64_t last = 0;
	int rc = read_all(journal, &entries, &last, err);

	if (rc) {
		json_decref(change);
		return rc;
	}
	journal_entries_free(&entries);
	rc = write_line(journal, make_line(last + 1, "before", change), err);
	if (!rc)
		*id = last + 1;
	return rc;
}

int journal_after(struct journal *journal, uint64_t id, json_t *outcome, struct err *err)
{
	return write_line(journal, make_line(id, "after", outcome), err);
}
