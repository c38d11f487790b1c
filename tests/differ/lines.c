/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int split(char *line, struct words *w)
{
	char *rest = NULL;

	w->n = 0;
	line[strcspn(line, "#\r")] = '\0';
	for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
		if (w->n == LINE_WORDS)
			return -EINVAL;
		w->w[w->n++] = word;
	}
	return 0;
}

int lines_parse(const char *text, const char *what, int (*take)(const struct words *w, void *ctx),
		void *ctx, struct err *err)
{
	char *copy = strdup(text), *rest = copy;
	int rc = copy ? 0 : -ENOMEM;
	unsigned number = 0;
	struct words w;

	/* strsep, not strtok: empty lines count. */
	for (char *line; !rc && (line = strsep(&rest, "\n"));) {
		number++;
		rc = split(line, &w);
		if (!rc && w.n)
			rc = take(&w, ctx);
	}
	if (rc == -ENOMEM)
		snprintf(err->text, sizeof(err->text), "line %u: no memory", number);
	else if (rc)
		snprintf(err->text, sizeof(err->text), "line %u: not a %s of this language", number,
			 what);
	free(copy);
	return rc;
}

char *lines_read(const char *path, struct err *err)
{
	enum { MAX_TEXT = 128 * 1024 };
	FILE *f = fopen(path, "re");
	char *text = f ? malloc(MAX_TEXT) : NULL;

	if (!text)
		snprintf(err->text, sizeof(err->text), "%s: %s", path,
			 strerror(f ? ENOMEM : errno));
	else
		text[fread(text, 1, MAX_TEXT - 1, f)] = '\0';
	if (f)
		fclose(f);
	return text;
}
