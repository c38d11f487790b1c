/* SPDX-License-Identifier: MIT */
#include "explain/offer.h"

#include "base/address.h"

struct text offer_does(struct offer *o)
{
	return text_in(o->cure->does, sizeof(o->cure->does));
}

void offer_say(char *out, const char *s)
{
	struct text t = text_in(out, CURE_TEXT_MAX);

	text_add(&t, s);
}

/* A word for a shell: quoted only if it has to be, so that a command can be copied. */
static void add_word(struct text *t, const char *s)
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

void offer_target(struct text *t, const struct explain_question *q, const struct tcpwhy_addr *addr,
		  uint16_t port)
{
	char endpoint[ENDPOINT_TEXT_MAX];

	if (q->netns) {
		text_add(t, " --netns ");
		add_word(t, q->netns);
	}
	if (q->pid) {
		text_add(t, " --pid ");
		text_number(t, (uint64_t)q->pid);
	}
	if (q->device) {
		text_add(t, " --device ");
		add_word(t, q->device);
	}
	if (q->bind.v6only && address_is_any6(addr))
		text_add(t, " --v6only");
	text_char(t, ' ');
	/* Brackets are a pattern to a shell, and stay what they are only if quoted or if no file
	 * matches. */
	endpoint_format(addr, port, q->bind.family == TCPWHY_IPV6, endpoint);
	add_word(t, endpoint);
}

void offer_run(struct cure *c, const char *option)
{
	struct text t = text_in(c->command, sizeof(c->command));

	text_add(&t, "tcpwhy run ");
	text_add(&t, option);
	text_add(&t, " -- CMD");
}

/* Runs down the table for the cures that help this time, or for the others. */
static void find(struct asked *a, const struct offer_row *rows, size_t n, bool late,
		 struct result *out)
{
	for (size_t i = 0; i < n; i++) {
		struct cure c = {.reach = rows[i].reach};
		struct offer o = {.a = a, .cure = &c};

		if (out->cures_n == RESULT_CURES_MAX)
			return;
		if (!rows[i].offer(&o) || o.late != late)
			continue;
		struct text t = text_in(c.id, sizeof(c.id));
		text_add(&t, rows[i].id);
		c.proven = o.trial == TRIAL_PROVEN;
		out->cures[out->cures_n++] = c;
	}
}

void offer_all(struct asked *a, const struct offer_row *rows, size_t n, struct result *out)
{
	find(a, rows, n, false, out);
	find(a, rows, n, true, out);
}
