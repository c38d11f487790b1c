/* SPDX-License-Identifier: MIT
 *
 * The processes that hold the port, once they are known: in the cures that are about them.
 */
#include "explain/explain.h"
#include "explain/offer.h"

#include <string.h>

static bool named_before(const struct result *r, size_t holder, unsigned owner)
{
	int pid = r->holders[holder].owners[owner].pid;

	for (size_t i = 0; i <= holder; i++)
		for (unsigned k = 0; k < (i == holder ? owner : r->holders[i].owners_n); k++)
			if (r->holders[i].owners[k].pid == pid)
				return true;
	return false;
}

enum { OWNERS_NAMED = 3 };

static unsigned add_owners(struct text *t, const struct result *r)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->holders_n && i < EXPLAIN_HOLDERS; i++) {
		for (unsigned k = 0; k < r->holders[i].owners_n; k++) {
			const struct result_owner *o = &r->holders[i].owners[k];
			if (named_before(r, i, k) || ++n > OWNERS_NAMED)
				continue;
			text_add(t, n > 1 ? ", " : "");
			text_add(t, o->comm);
			text_char(t, '[');
			text_number(t, (uint64_t)o->pid);
			text_char(t, ']');
			if (o->unit[0]) {
				text_add(t, " of ");
				text_add(t, o->unit);
			}
		}
	}
	return n;
}

/* All of /proc could be read, and none in it has the socket open. */
static void tell_unowned(struct result *r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < r->holders_n; i++)
		n += r->holders[i].seen.inode && !r->holders[i].owners_n &&
		     !r->holders[i].owners_unseen;
	if (!n || r->unknown_n == RESULT_UNKNOWN_MAX)
		return;
	struct text t = text_in(r->unknown[r->unknown_n++], sizeof(r->unknown[0]));
	text_add(&t, "who has ");
	text_counted(&t, n, "socket");
	text_add(&t, " open: no process of this PID namespace, or one that has just ended");
}

/* The process that has the server's listener open, or where none listens any more the one that has
 * every connection in the way; 0: none such is seen. */
static int server_of(const struct result *r)
{
	int pid = 0;

	for (size_t i = 0; i < r->holders_n; i++) {
		const struct result_holder *h = &r->holders[i];
		if (h->seen.o.state == TCPWHY_LISTEN)
			return h->owners_n ? h->owners[0].pid : 0;
	}
	if (r->verdict.holders != r->holders_n)
		return 0;
	for (size_t i = 0; i < r->holders_n; i++) {
		const struct result_holder *h = &r->holders[i];
		/* One that has not been answered yet did not come in. */
		bool connection = (h->why == TCPWHY_H_CONN_NEEDS_REUSE ||
				   h->why == TCPWHY_H_CONN_WITHOUT_REUSE) &&
				  h->seen.o.state != TCPWHY_SYN_SENT;
		if (!connection || !h->owners_n || (pid && h->owners[0].pid != pid))
			return 0;
		pid = h->owners[0].pid;
	}
	return pid;
}

static bool lacks_reuse(const struct result *r)
{
	for (size_t i = 0; i < r->holders_n; i++)
		if (r->holders[i].seen.o.reuse == TCPWHY_REUSE_NO)
			return true;
	return false;
}

/* The option is set on the sockets that are open, so it need not wait for the next start. */
static void name_server(struct cure *c, const struct result *r)
{
	int pid = lacks_reuse(r) ? server_of(r) : 0;
	bool restart = !c->command[0];

	if (!pid)
		return;
	struct text t = text_in(c->command, sizeof(c->command));
	text_add(&t, "tcpwhy fix reuseaddr --pid ");
	text_number(&t, (uint64_t)pid);
	text_add(&t, " --port ");
	text_number(&t, r->question.port);
	if (restart)
		return;
	offer_say(c->costs, "now, on the sockets that are open, too");
	if (r->question.reuse == TCPWHY_REUSE_NO)
		offer_and(c, "tcpwhy run --reuseaddr -- CMD");
}

static void name_end(struct cure *c, const struct result *r)
{
	char buf[CURE_TEXT_MAX];
	struct text t = text_in(buf, sizeof(buf));

	text_add(&t, "stop ");
	unsigned n = add_owners(&t, r);
	if (n > OWNERS_NAMED) {
		text_add(&t, " and ");
		text_counted(&t, n - OWNERS_NAMED, "more process");
		text_add(&t, n - OWNERS_NAMED > 1 ? "es" : "");
	}
	if (n)
		memcpy(c->does, buf, sizeof(buf));
}

void explain_name_owners(struct result *r)
{
	tell_unowned(r);
	for (size_t i = 0; i < r->cures_n; i++) {
		if (text_equal(r->cures[i].id, "end-owner"))
			name_end(&r->cures[i], r);
		else if (text_equal(r->cures[i].id, "reuseaddr-both"))
			name_server(&r->cures[i], r);
	}
}
