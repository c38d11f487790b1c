/* SPDX-License-Identifier: MIT */
#include "cli/fix_hook_proof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "cli/bind.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "explain/explain.h"
#include "live/heap.h"

/* The sentence names that many addresses, and counts the others. */
#define NAMED_MAX 8

typedef int asker(struct live *live, const struct question_options *o, struct result *r,
		  struct err *err);

/* -------------------------------------------------------------------------------------- questions
 */

/* What is kept of an answer. */
struct answer {
	enum tcpwhy_answer word;
	int error;
	enum tcpwhy_call at;
	uint32_t ports, total; /* connect(): free or to be taken over */
	bool both_help; /* bind(): proven ok if the holders had been made with SO_REUSEADDR too */
	char because[RESULT_TEXT_MAX];
};

static bool has_cure(const struct result *r, const char *id)
{
	for (size_t i = 0; i < r->cures_n; i++)
		if (!strcmp(r->cures[i].id, id))
			return true;
	return false;
}

static int ask(struct live *live, asker *with, const struct question_options *o,
	       struct answer *answer, struct err *err)
{
	struct result *r = malloc(sizeof(*r));
	int rc = -ENOMEM;

	if (r)
		rc = with(live, o, r, err);
	else
		snprintf(err->text, sizeof(err->text), "no memory");
	if (!rc) {
		*answer =
			(struct answer){.word = r->verdict.answer,
					.error = r->verdict.error,
					.at = r->verdict.at,
					.ports = r->verdict.range_free + r->verdict.range_reusable,
					.total = r->verdict.range_total,
					.both_help = has_cure(r, "reuseaddr-both")};
		snprintf(answer->because, sizeof(answer->because), "%s", r->because);
		result_free(r, &heap_memory);
	}
	free(r);
	return rc;
}

static void add_answer(struct text *t, const struct answer *a)
{
	const char *error = a->error ? strerrorname_np(a->error) : NULL;

	if (a->word == TCPWHY_OK) {
		text_add(t, "ok");
		return;
	}
	text_add(t, a->word == TCPWHY_REFUSED ? "refused" : "depends");
	if (error) {
		text_add(t, " (");
		text_add(t, error);
		text_add(t, ")");
	}
}

/* -------------------------------------------------------------------------------------- reuseaddr
 */

static void say_bind(struct text *t, const struct answer *now, const struct answer *with)
{
	text_add(t, "now ");
	add_answer(t, now);
	text_add(t, ", with SO_REUSEADDR on the new socket ");
	add_answer(t, with);
	if (with->word == TCPWHY_OK && now->word != TCPWHY_OK)
		text_add(t, ": the hook's socket gets it");
	else if (now->word == TCPWHY_OK)
		text_add(t, ": the hook has nothing to do for this one; it is for the next life, "
			    "whose port this one's connections hold");
	else if (now->both_help || with->both_help)
		text_add(t, ", and ok where the sockets that hold the port were made with it too: "
			    "so from the restart after the next on");
	else
		text_add(t, ": the hook does not help here");
}

static int prove_bind(struct live *live, struct question_options *o, struct text *t,
		      struct err *err)
{
	struct answer now, with;
	int rc;

	if (!o->port) {
		text_add(t, "bind() to port 0 is left as it is");
		return 0;
	}
	rc = ask(live, bind_ask, o, &now, err);
	if (rc)
		return rc;
	if (o->reuseaddr) {
		text_add(t, "now ");
		add_answer(t, &now);
		text_add(t, "; this program sets SO_REUSEADDR itself, and the hook leaves it so");
		return 0;
	}
	o->reuseaddr = true;
	rc = ask(live, bind_ask, o, &with, err);
	if (!rc)
		say_bind(t, &now, &with);
	return rc;
}

/* ----------------------------------------------------------------------------------------- spread
 */

static bool is_here(const struct tcpwhy_addr *a)
{
	return address_is_loopback(a) || address_is_any(a);
}

/* Why the hook would pass over this connect(), or NULL. */
static const char *passed_over(const struct question_options *o, const struct tcpwhy_addr *from,
			       unsigned n)
{
	if (o->from_given || o->bind_first)
		return "a socket that is bound before has an address of its own, and is passed "
		       "over";
	if (!n)
		return "none of the addresses is of the destination's family: it is passed over";
	if (is_here(&o->addr) && !address_is_loopback(from))
		return "a destination on this host's loopback is passed over";
	if (!is_here(&o->addr) && address_is_loopback(from))
		return "loopback addresses reach loopback destinations only: this one is passed "
		       "over";
	if (address_is_link_local6(&o->addr))
		return "a link-local destination is passed over";
	return NULL;
}

static void add_source(struct text *t, const struct tcpwhy_addr *from, const struct answer *a,
		       bool first)
{
	char one[ADDRESS_TEXT_MAX];

	text_add(t, first ? " (" : ", ");
	text_add(t, address_format(from, one));
	text_char(t, ' ');
	if (a->word != TCPWHY_OK && (a->at == TCPWHY_CALL_BIND || !a->total))
		add_answer(t, a);
	else
		text_count(t, a->ports);
}

/* The same question from each of the addresses; each has the whole range for itself. */
static int ask_sources(struct live *live, struct question_options *o,
		       const struct tcpwhy_addr *from, unsigned n, struct text *each,
		       uint64_t *ports, struct err *err)
{
	*ports = 0;
	for (unsigned i = 0; i < n; i++) {
		struct answer a;
		int rc;

		o->from_given = true;
		o->from = from[i];
		rc = ask(live, connect_ask, o, &a, err);
		if (rc)
			return rc;
		if (a.word != TCPWHY_REFUSED)
			*ports += a.ports;
		if (i < NAMED_MAX)
			add_source(each, &from[i], &a, !i);
	}
	if (n > NAMED_MAX)
		text_add(each, ", ...");
	text_char(each, ')');
	return 0;
}

static int prove_connect(struct live *live, const struct hook_order *order,
			 struct question_options *o, struct text *t, struct err *err)
{
	bool v4 = address_is_v4(&o->addr);
	const struct tcpwhy_addr *from = order->addresses + (v4 ? 0 : order->n4);
	unsigned n = v4 ? order->n4 : order->n6;
	const char *passed = passed_over(o, from, n);
	char sources[640];
	struct text each = text_in(sources, sizeof(sources));
	struct answer now;
	uint64_t ports;
	int rc = ask(live, connect_ask, o, &now, err);

	if (rc)
		return rc;
	text_add(t, "now ");
	add_answer(t, &now);
	if (passed) {
		text_add(t, "; ");
		text_add(t, passed);
		return 0;
	}
	text_add(t, " with ");
	text_counted(t, now.ports, "port");
	text_add(t, " left for this destination; with the hook ");
	rc = ask_sources(live, o, from, n, &each, &ports, err);
	text_count(t, ports);
	text_add(t, sources);
	return rc;
}

int hook_proof(struct live *live, const struct hook_order *order, const struct fix_question *q,
	       char words[static 1024], struct err *err)
{
	struct question_options o = q->o;
	struct text t = text_in(words, 1024);

	text_add(&t, q->text);
	text_add(&t, ": ");
	return order->what == HOOK_SPREAD ? prove_connect(live, order, &o, &t, err)
					  : prove_bind(live, &o, &t, err);
}

/* ------------------------------------------------------------------------------------ addresses */

int hook_proof_local(struct live *live, const struct hook_order *order, const char *where,
		     char words[static 400], struct err *err)
{
	*words = '\0';
	for (unsigned i = 0; i < order->n4 + order->n6; i++) {
		/* Any port: the address is looked at first (__inet_bind()). */
		struct question_options o = {
			.addr = order->addresses[i],
			.family = i < order->n4 ? TCPWHY_IPV4 : TCPWHY_IPV6,
			.port = UINT16_MAX,
			.reuseaddr = true,
			.no_listen = true,
		};
		char one[ADDRESS_TEXT_MAX];
		struct answer a;
		int rc = ask(live, bind_ask, &o, &a, err);

		if (rc)
			return rc;
		if (a.error != EADDRNOTAVAIL || a.word != TCPWHY_REFUSED)
			continue;
		address_format(&order->addresses[i], one);
		snprintf(words, 400,
			 "%s is not local in %.100s (EADDRNOTAVAIL): \"ip addr add %s/%d dev lo\" "
			 "or \"ip %sroute add local %s dev lo\"; and whoever is connected to must "
			 "have a route back to it",
			 one, where, one, i < order->n4 ? 32 : 128, i < order->n4 ? "" : "-6 ",
			 one);
		return 0;
	}
	return 0;
}
