/* SPDX-License-Identifier: MIT */
#include "cli/lab_cases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "case/sandbox.h"

static bool is_case_name(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot && dot != file && !strcmp(dot, ".lua");
}

/* "cases/x.lua" is called x. */
static bool take_name(const char *path, char out[static 48])
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base);

	if (is_case_name(base))
		n -= 4;
	if (!n || n >= 48)
		return false;
	snprintf(out, 48, "%.*s", (int)n, base);
	return true;
}

static int failed(struct err *err, const char *path, int error)
{
	snprintf(err->text, sizeof(err->text), "%.160s: %s", path, strerror(error));
	return -error;
}

static int read_file(const char *path, struct case_file *f, struct err *err)
{
	/* A FIFO would be waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return failed(err, path, errno);
	int error = fstat(fd, &st) ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
	if (!error && !S_ISREG(st.st_mode)) {
		close(fd);
		snprintf(err->text, sizeof(err->text), "%.160s: not a regular file", path);
		return -EINVAL;
	}
	if (!error && st.st_size > SANDBOX_TEXT_MAX)
		error = EFBIG;
	f->text = error ? NULL : malloc((size_t)st.st_size + 1);
	if (!error && !f->text)
		error = ENOMEM;
	while (!error && f->text_n < (size_t)st.st_size &&
	       (n = read(fd, f->text + f->text_n, (size_t)st.st_size - f->text_n)) > 0)
		f->text_n += (size_t)n;
	if (n < 0)
		error = errno;
	close(fd);
	return error ? failed(err, path, error) : 0;
}

static int read_one(const char *name, struct case_file *f, struct err *err)
{
	char path[512];

	f->trusted = !strchr(name, '/') && !is_case_name(name);
	snprintf(path, sizeof(path), f->trusted ? "%s/%s.lua" : "%.0s%s", LAB_CASES, name);
	if (!take_name(name, f->name)) {
		snprintf(err->text, sizeof(err->text), "'%s' is no name of a case", name);
		return -EINVAL;
	}
	int r = read_file(path, f, err);
	if (r == -ENOENT && f->trusted)
		snprintf(err->text, sizeof(err->text),
			 "there is no case '%s': tcpwhy lab --list lists them", name);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in the directory; the caller frees them and the list. */
static int list_all(char ***names, size_t *n, struct err *err)
{
	DIR *dir = opendir(LAB_CASES);
	struct dirent *entry;
	int error = 0;

	*names = NULL;
	*n = 0;
	if (!dir)
		return failed(err, LAB_CASES, errno);
	while (!error && (entry = readdir(dir))) {
		if (!is_case_name(entry->d_name))
			continue;
		char **more = realloc(*names, (*n + 1) * sizeof(**names));
		char *name = strndup(entry->d_name, strlen(entry->d_name) - 4);
		if (more)
			*names = more;
		if (more && name)
			(*names)[(*n)++] = name;
		else
			error = ENOMEM;
	}
	closedir(dir);
	if (*names)
		qsort(*names, *n, sizeof(**names), by_name);
	return error ? failed(err, LAB_CASES, error) : 0;
}

static int read_each(char *const *names, size_t n, struct case_file **out, size_t *out_n,
		     struct err *err)
{
	struct case_file *files = calloc(n ? n : 1, sizeof(*files));
	int r = files ? 0 : failed(err, "the cases", ENOMEM);

	for (size_t i = 0; !r && i < n; i++)
		r = read_one(names[i], &files[i], err);
	if (r) {
		case_files_free(files, files ? n : 0);
		return r;
	}
	*out = files;
	*out_n = n;
	return 0;
}

int case_files_read(char *const *names, size_t n, struct case_file **out, size_t *out_n,
		    struct err *err)
{
	char **all;
	size_t all_n;
	int r;

	if (n)
		return read_each(names, n, out, out_n, err);
	r = list_all(&all, &all_n, err);
	if (!r)
		r = read_each(all, all_n, out, out_n, err);
	for (size_t i = 0; i < all_n; i++)
		free(all[i]);
	free(all);
	return r;
}

void case_files_free(struct case_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(files[i].text);
	free(files);
}
