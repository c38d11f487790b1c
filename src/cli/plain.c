/* SPDX-License-Identifier: MIT */
#include "cli/plain.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"

enum { PART = 1024 };

/* Returns the length of what was written to out, not longer than from. */
static size_t mask(const char *from, size_t n, char out[static PART])
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		size_t control = text_control(from + i, n - i);
		bool layout = from[i] == '\n' || from[i] == '\t';

		out[used++] = control && !layout ? '?' : from[i];
		i += control > 1;
	}
	return used;
}

static ssize_t write_plain(void *unused, const char *text, size_t size)
{
	size_t taken = size < PART ? size : PART, done = 0;
	char part[PART];
	size_t n = mask(text, taken, part);

	(void)unused;
	while (done < n) {
		ssize_t written = write(STDERR_FILENO, part + done, n - done);

		if (written < 0 && errno == EINTR)
			continue;
		/* That is how a cookie's function fails (fopencookie(3)). */
		if (written <= 0)
			return 0;
		done += (size_t)written;
	}
	return (ssize_t)taken;
}

void plain_stderr(void)
{
	const cookie_io_functions_t functions = {.write = write_plain};
	FILE *plain = fopencookie(NULL, "w", functions);

	if (!plain)
		return;
	/* As stderr is: nothing is left in it by who executes a program or is killed. */
	setvbuf(plain, NULL, _IONBF, 0);
	stderr = plain;
}
