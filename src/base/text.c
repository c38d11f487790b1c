/* SPDX-License-Identifier: MIT */
#include "base/text.h"

struct text text_in(char *buf, size_t size)
{
	buf[0] = '\0';
	return (struct text){.at = buf, .end = buf + size};
}

void text_char(struct text *t, char c)
{
	if (t->end - t->at < 2)
		return;
	*t->at++ = c;
	*t->at = '\0';
}

void text_add(struct text *t, const char *s)
{
	while (*s)
		text_char(t, *s++);
}

/* group: a comma before each group of three digits. */
static void add_digits(struct text *t, uint64_t n, bool group)
{
	char digits[20];
	unsigned len = 0;

	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	while (len--) {
		text_char(t, digits[len]);
		if (group && len && len % 3 == 0)
			text_char(t, ',');
	}
}

void text_number(struct text *t, uint64_t n)
{
	add_digits(t, n, false);
}

void text_count(struct text *t, uint64_t n)
{
	add_digits(t, n, true);
}

void text_seconds(struct text *t, uint64_t ns)
{
	const uint64_t tenth = 100u * 1000 * 1000;
	uint64_t tenths = ns / tenth + (ns % tenth != 0);

	if (tenths < 10) {
		text_add(t, "0.");
		text_number(t, tenths);
		text_add(t, " s");
		return;
	}
	/* A fresh TIME_WAIT has 60 s and some milliseconds; nobody waits for these. */
	uint64_t seconds = tenths <= 100 ? (tenths + 9) / 10 : (ns + 5 * tenth) / (10 * tenth);
	if (seconds < 180) {
		text_count(t, seconds);
		text_add(t, " s");
	} else {
		text_count(t, (seconds + 59) / 60);
		text_add(t, " min");
	}
}

void text_counted(struct text *t, uint64_t n, const char *noun)
{
	text_count(t, n);
	text_char(t, ' ');
	text_add(t, noun);
	if (n != 1)
		text_char(t, 's');
}

size_t text_length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

void text_word(struct text *t, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_./:@%+=,-";
	bool quote = !*s;

	for (const char *c = s; *c && !quote; c++) {
		const char *p = plain;
		while (*p && *p != *c)
			p++;
		quote = !*p;
	}
	if (!quote) {
		text_add(t, s);
		return;
	}
	text_char(t, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			text_add(t, "'\\'");
		text_char(t, *s);
	}
	text_char(t, '\'');
}

size_t text_control(const char *s, size_t n)
{
	unsigned char c = n ? (unsigned char)s[0] : 'x', next = n > 1 ? (unsigned char)s[1] : 0;

	if (c < ' ' || c == 0x7f)
		return 1;
	return c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}
