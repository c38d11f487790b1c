/* SPDX-License-Identifier: MIT
 *
 * What was decided about a connect(), in one to three sentences
 */
#include "explain/asked.h"

#include "base/address.h"
#include "base/text.h"

static void add_ends(struct text *t, const struct asked *a)
{
	const struct tcpwhy_connect_request *q = &a->connect->connect;
	bool v6 = q->family == TCPWHY_IPV6;
	char text[ENDPOINT_TEXT_MAX];

	text_add(t, " towards ");
	text_add(t, endpoint_format(&q->peer, q->peer_port, v6, text));
	text_add(t, " from ");
	text_add(t, address_format(&q->source, text));
}

static void add_range(struct text *t, const struct asked *a)
{
	text_count(t, a->verdict.range_total);
	text_add(t, a->verdict.range_total == 1 ? " port" : " ports");
	text_add(t, " of net.ipv4.ip_local_port_range (");
	text_number(t, a->sysctls.port_low);
	text_char(t, '-');
	text_number(t, a->sysctls.port_high);
	text_char(t, ')');
}

/* Whether another destination would find a port: what bind() owns and what is reserved is closed
 * to all. */
static const char *reach_of(const struct asked *a)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	uint32_t closed = v->range_owned + v->range_reserved;

	if (closed == v->range_total)
		return " All are reserved or owned by bind(): no destination finds a port.";
	/* Who chose the port of a connection is seen of all or of none. */
	for (size_t i = 0; i < a->snap->owners_n; i++)
		if (a->snap->owners[i].o.connect_bind == TCPWHY_UNKNOWN)
			return "";
	return v->range_taken > closed ? " Other destinations are not affected."
				       : " Most are reserved or owned by bind(), which counts for "
					 "every destination.";
}

static void write_exhausted(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	uint32_t left = v->range_free + v->range_reusable;

	text_add(t, left ? "None can be had of the " : "None is left of the ");
	add_range(t, a);
	add_ends(t, a);
	text_char(t, '.');
	if (left) {
		text_char(t, ' ');
		text_count(t, left);
		text_add(t, left == 1 ? " is free, but" : " are free, but");
		text_add(t, " the search never looks at the last port of an odd-sized range.");
		return;
	}
	text_add(t, reach_of(a));
}

static void write_taken(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	char text[ENDPOINT_TEXT_MAX];
	struct tcpwhy_owner o;

	if (tcpwhy_get(a->engine, v->first, &o)) {
		text_add(t, tcpwhy_rule_info(v->rule)->because);
		return;
	}
	text_add(t, o.timewait ? "A closed connection in TIME_WAIT has" : "A connection has");
	text_add(t, " the same two addresses and ports (");
	text_add(t, endpoint_format(&o.local, o.port, o.family == TCPWHY_IPV6, text));
	text_add(t, " to ");
	text_add(t, endpoint_format(&o.peer, o.peer_port, o.family == TCPWHY_IPV6, text));
	text_add(t, ").");
	if (v->tw_kept[TCPWHY_TW_NO_TIMESTAMPS])
		text_add(t, " A new one from a bound port may take it over only if the old one had "
			    "TCP timestamps; it had not.");
}

static void write_depends(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;

	if (v->range_unknown) {
		text_add(t, "No port is certainly left, and ");
		text_count(t, v->range_unknown);
		text_add(t, " may be, of the ");
		add_range(t, a);
		add_ends(t, a);
		text_add(t, ". ");
	}
	text_add(t, "The answer depends on ");
	unknown_missing(t, v->missing);
	text_add(t, ", which cannot be seen from here.");
}

static void write_ok(const struct asked *a, struct text *t)
{
	const struct tcpwhy_verdict *v = &a->verdict;
	uint32_t left = v->range_free + v->range_reusable;

	if (a->connect->from == FROM_PORT) {
		text_add(t, "No other connection has these two addresses and ports.");
		return;
	}
	text_count(t, left);
	text_add(t, a->connect->from == FROM_BIND_FIRST ? " can be bound of the "
							: " can be had of the ");
	add_range(t, a);
	add_ends(t, a);
	if (v->range_unknown) {
		text_add(t, "; of ");
		text_count(t, v->range_unknown);
		text_add(t, " more it cannot be seen");
	}
	text_char(t, '.');
}

void connect_because_write(const struct asked *a, char *out, size_t size)
{
	struct text t = text_in(out, size);

	if (a->verdict.answer == TCPWHY_OK)
		write_ok(a, &t);
	else if (a->verdict.answer == TCPWHY_DEPENDS)
		write_depends(a, &t);
	else if (a->verdict.rule == TCPWHY_RULE_CONNECT_RANGE_EXHAUSTED)
		write_exhausted(a, &t);
	else if (a->verdict.rule == TCPWHY_RULE_CONNECT_TUPLE_TAKEN)
		write_taken(a, &t);
	else
		text_add(&t, tcpwhy_rule_info(a->verdict.rule)->because);
}
