/* SPDX-License-Identifier: MIT */
#include "cli/usage.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

#include "tcpwhy/engine.h"

int usage_wrong(struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

int usage_unknown(char **argv, int code, struct err *err)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		return usage_wrong(err, "option '%s' needs a value", word);
	if (optopt > 0 && optopt < 256)
		return usage_wrong(err, "there is no option '-%c'", optopt);
	return usage_wrong(err,
			   optopt ? "option '%s' takes no value"
				  : "there is no option '%s', or it is cut short",
			   word);
}

void usage_option(FILE *out, const char *name, const char *value, int width, const char *line)
{
	char left[32];

	snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
	fprintf(out, "%-*s %s\n", width, left, line);
}

void usage_releases(FILE *out)
{
	fputs("\nreleases:", out);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		fprintf(out, " %s", tcpwhy_row_at(i)->name);
}
