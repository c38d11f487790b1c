/* SPDX-License-Identifier: MIT */
#include "report/overview.h"

#include "report/name.h"
#include "report/value.h"

static json_t *states_of(const struct overview *o, bool *ok)
{
	json_t *j = json_object();

	for (unsigned state = 1; state < OVERVIEW_STATES; state++)
		if (o->by_state[state])
			value_put(j, tcpwhy_state_name((enum tcpwhy_state)state),
				  json_integer((json_int_t)o->by_state[state]), ok);
	return j;
}

static json_t *ports_of(const struct overview *o, const struct diagnosis *d)
{
	if (!o->range_total)
		return json_null();
	return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "low",
			 (int)o->sysctls.port_low, "high", (int)o->sysctls.port_high, "total",
			 (json_int_t)o->range_total, "reserved", (json_int_t)o->range_reserved,
			 "owned_by_bind", (json_int_t)o->range_owned, "held",
			 (json_int_t)o->range_held, "bind0_free", (json_int_t)d->bind0_free,
			 "connect_free", (json_int_t)d->connect_free);
}

static json_t *destination_of(const struct overview_destination *d, const struct standing *st,
			      bool *ok)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];
	json_t *j = json_object();

	value_put(j, "from", json_string(name_address(&d->local, d->family, local)), ok);
	value_put(j, "to", json_string(name_endpoint(&d->peer, d->peer_port, d->family, peer)), ok);
	value_put(j, "device", d->device ? json_integer(d->device) : json_null(), ok);
	value_put(j, "taken", json_integer(st->taken), ok);
	value_put(j, "reusable", json_integer(st->reusable), ok);
	value_put(j, "unknown", json_integer(st->unknown), ok);
	value_put(j, "free", json_integer(st->free), ok);
	value_put(j, "maybe_more", json_integer(d->maybe_more), ok);
	return j;
}

static json_t *destinations_of(const struct overview *o, const struct diagnosis *d, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->destinations_n; i++)
		value_append(list, destination_of(&o->destinations[i], &d->standing[i], ok), ok);
	return list;
}

static json_t *cures_of(const struct finding *f, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->cures_n; i++) {
		const struct cure *c = &f->cures[i];
		json_t *j = json_object();

		value_put(j, "id", json_string(c->id), ok);
		value_put(j, "does", value_string(c->does), ok);
		value_put(j, "costs", value_string_or_null(c->costs), ok);
		value_put(j, "proven", json_boolean(c->proven), ok);
		value_put(j, "command", value_string_or_null(c->command), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *findings_of(const struct diagnosis *d, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->findings_n; i++) {
		const struct finding *f = &d->findings[i];
		json_t *j = json_object();

		value_put(j, "rule", json_string(f->rule), ok);
		value_put(j, "severity", json_string(f->severity == SEVERITY_BAD ? "bad" : "warn"),
			  ok);
		value_put(j, "what", value_string(f->title), ok);
		value_put(j, "because", value_string(f->because), ok);
		value_put(j, "evidence", value_string(f->evidence), ok);
		value_put(j, "ask", value_string_or_null(f->ask), ok);
		value_put(j, "cures", cures_of(f, ok), ok);
		value_append(list, j, ok);
	}
	return list;
}

static json_t *unseen_of(const struct diagnosis *d, bool *ok)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->unseen_n; i++)
		value_append(list, value_string(d->unseen[i]), ok);
	return list;
}

json_t *report_overview_json(const struct overview *o, const struct diagnosis *d)
{
	json_t *j = json_object();
	bool ok = true;

	value_put(j, "kernel", value_string(o->kernel), &ok);
	value_put(j, "release", json_string(d->release), &ok);
	value_put(j, "netns", json_integer((json_int_t)o->netns), &ok);
	value_put(j, "name", value_string_or_null(o->name), &ok);
	value_put(j, "problems", json_integer((json_int_t)d->bad), &ok);
	value_put(j, "warnings", json_integer((json_int_t)d->warn), &ok);
	value_put(j, "sockets", states_of(o, &ok), &ok);
	value_put(j, "sockets_total", json_integer((json_int_t)o->sockets), &ok);
	value_put(j, "ports", ports_of(o, d), &ok);
	value_put(j, "destinations", destinations_of(o, d, &ok), &ok);
	value_put(j, "destinations_total",
		  o->destinations_pushed ? json_null()
					 : json_integer((json_int_t)o->destinations_seen),
		  &ok);
	value_put(j, "findings", findings_of(d, &ok), &ok);
	value_put(j, "unknown", unseen_of(d, &ok), &ok);
	if (ok)
		return j;
	json_decref(j);
	return NULL;
}

bool report_one_json(json_t *one, FILE *out)
{
	json_t *root = json_pack("{s:i}", "schema", 1);

	/* The schema first: it says how to read the rest. */
	if (!one || !root || json_object_update(root, one)) {
		json_decref(root);
		root = NULL;
	}
	json_decref(one);
	return value_print(root, out);
}

bool report_all_json(const struct report_all *all, const char *kernel, json_t *list, FILE *out)
{
	json_t *root = json_pack("{s:i, s:o, s:o, s:I, s:I, s:I, s:b}", "schema", 1, "kernel",
				 value_string(kernel), "namespaces", list, "namespaces_total",
				 (json_int_t)all->namespaces, "namespaces_empty",
				 (json_int_t)all->empty, "namespaces_failed",
				 (json_int_t)all->failed, "namespaces_unseen", (int)all->unseen);

	return value_print(root, out);
}
