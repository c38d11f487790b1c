/* SPDX-License-Identifier: MIT
 *
 * lab_cases.h - where the files of cases are
 *
 * A name is looked for in one directory, that of the source tree or the installed one (make
 * CASES=DIR); what has a '/' or ends in .lua is a path. Only files of that directory are trusted to
 * run programs.
 */
#ifndef TCPWHY_CLI_LAB_CASES_H
#define TCPWHY_CLI_LAB_CASES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct case_file {
	char name[48];
	char *text; /* of the heap */
	size_t text_n;
	bool trusted;
};

/* The cases named, or without names all there are, by name. 0, or -errno with err->text: -ENOENT
 * and others of a file, -EFBIG, -ENOMEM. Free with case_files_free(). */
int case_files_read(char *const *names, size_t n, struct case_file **out, size_t *out_n,
		    struct err *err);
void case_files_free(struct case_file *files, size_t n);

#endif
