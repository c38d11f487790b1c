/* SPDX-License-Identifier: MIT */
#include "report/fold.h"

#include <string.h>

#include "base/text.h"

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

int fold_columns(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += !is_continuation(*s);
	return n;
}

static void put_bytes(struct fold *f, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t control = text_control(s + i, n - i);

		fputc(control ? '?' : s[i], f->out);
		f->column += !is_continuation(s[i]);
		i += control > 1;
	}
}

void fold_plain(struct fold *f, const char *s)
{
	put_bytes(f, s, strlen(s));
}

void fold_to(struct fold *f, int column)
{
	do
		put_bytes(f, " ", 1);
	while (f->column < column);
}

void fold_newline(struct fold *f)
{
	fputc('\n', f->out);
	f->column = 0;
}

static int word_columns(const char *s, size_t n)
{
	int columns = 0;

	for (size_t i = 0; i < n; i++)
		columns += !is_continuation(s[i]);
	return columns;
}

void fold_words(struct fold *f, const char *s)
{
	while (*s) {
		size_t n = strcspn(s, " ");
		bool first = f->column <= f->indent;

		if (!first && f->column + 1 + word_columns(s, n) > FOLD_WIDTH) {
			fold_newline(f);
			first = true;
		}
		if (f->column < f->indent)
			fold_to(f, f->indent);
		else if (!first)
			put_bytes(f, " ", 1);
		put_bytes(f, s, n);
		s += n + strspn(s + n, " ");
	}
}
