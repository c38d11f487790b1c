/* SPDX-License-Identifier: MIT
 *
 * replay.c - runs a fuzzer's entry on files, and on all files of folders, as a test that prints TAP
 *
 * One that crashes ends the program before its plan is printed, which the runner counts as a
 * failure.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static unsigned points, failed;

static void point(bool ok, const char *what)
{
	points++;
	failed += !ok;
	printf("%sok %u - %s\n", ok ? "" : "not ", points, what);
	fflush(stdout);
}

static void replay_file(const char *path, size_t size)
{
	/* Of exactly that size, so that the sanitizer sees a read beyond it. */
	uint8_t *data = malloc(size ? size : 1);
	FILE *file = fopen(path, "rbe");
	bool ok = data && file && fread(data, 1, size, file) == size;

	if (ok)
		LLVMFuzzerTestOneInput(data, size);
	point(ok, path);
	if (file)
		fclose(file);
	free(data);
}

static void replay(const char *path);

static void replay_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0) {
		point(false, path);
		return;
	}
	for (int i = 0; i < n; i++) {
		char below[4096];

		snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			replay(below);
		free(names[i]);
	}
	free(names);
}

static void replay(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		point(false, path);
	else if (S_ISDIR(st.st_mode))
		replay_folder(path);
	else
		replay_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	point(true, "nothing");
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("1..%u\n", points);
	return failed != 0;
}
