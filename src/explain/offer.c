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

bool offer_is_elsewhere(const struct explain_question *q)
{
	return q->netns || q->pid;
}

void offer_place(struct text *t, const struct explain_question *q)
{
	if (q->netns) {
		text_add(t, " --netns ");
		text_word(t, q->netns);
	}
	if (q->pid) {
		text_add(t, " --pid ");
		text_number(t, (uint64_t)q->pid);
	}
}

void offer_target(struct text *t, const struct explain_question *q, const struct tcpwhy_addr *addr,
		  uint16_t port)
{
	char endpoint[ENDPOINT_TEXT_MAX];

	offer_place(t, q);
	if (q->device) {
		text_add(t, " --device ");
		text_word(t, q->device);
	}
	if (q->bind.v6only && address_is_any6(addr))
		text_add(t, " --v6only");
	text_char(t, ' ');
	/* Brackets are a pattern to a shell, and stay what they are only if quoted or if no file
	 * matches. */
	endpoint_format(addr, port, q->bind.family == TCPWHY_IPV6, endpoint);
	text_word(t, endpoint);
}

void offer_run(struct cure *c, const char *option)
{
	struct text t = text_in(c->command, sizeof(c->command));

	text_add(&t, "tcpwhy run ");
	text_add(&t, option);
	text_add(&t, " -- CMD");
}

void offer_whole(struct cure *c)
{
	if (text_length(c->command) == sizeof(c->command) - 1)
		c->command[0] = '\0';
}

void offer_sysctl(struct cure *c, const struct explain_question *q, const char *key,
		  const char *value)
{
	struct text t = text_in(c->command, sizeof(c->command));

	text_add(&t, "tcpwhy fix sysctl");
	offer_place(&t, q);
	text_char(&t, ' ');
	text_add(&t, key);
	text_char(&t, '=');
	if (*value)
		text_word(&t, value);
	offer_whole(c);
}

void offer_and(struct cure *c, const char *command)
{
	size_t n = text_length(c->command);
	struct text t = text_in(c->command + n, sizeof(c->command) - n);

	if (!n)
		return;
	text_add(&t, " && ");
	text_add(&t, command);
	offer_whole(c);
}

/* ------------------------------------------------------------------------------------------ ports
 */

static bool has_port(const uint32_t *bits, uint32_t port)
{
	return port < 65536 && bits[port / 32] >> port % 32 & 1;
}

void offer_ports(struct text *t, const uint32_t *bits)
{
	const char *between = "";

	for (uint32_t low = 0; low < 65536; low++) {
		uint32_t high = low;

		if (!has_port(bits, low))
			continue;
		while (has_port(bits, high + 1))
			high++;
		text_add(t, between);
		text_number(t, low);
		if (high > low) {
			text_char(t, '-');
			text_number(t, high);
		}
		between = ",";
		low = high;
	}
}

/* Nobody registers a service above 49,151 (RFC 6335); those below 10,000 are left alone, and the
 * kernel refuses a range that begins where bind() needs a privilege (ipv4_local_port_range()). */
static uint16_t lowest(const struct tcpwhy_sysctls *now)
{
	uint32_t low = now->unprivileged_port_start > 10000 ? now->unprivileged_port_start : 10000;

	return low < now->port_low ? (uint16_t)low : now->port_low;
}

bool offer_range(const struct tcpwhy_sysctls *now, unsigned i, struct tcpwhy_sysctls *wider)
{
	*wider = *now;
	wider->port_high = 65535;
	if (i)
		wider->port_low = lowest(now);
	if ((wider->port_high - wider->port_low) % 2 == 0) {
		if (wider->port_low < now->port_low)
			wider->port_low++;
		else
			wider->port_high--;
	}
	return wider->port_low < now->port_low || wider->port_high > now->port_high;
}

void offer_range_say(struct cure *c, const struct explain_question *q,
		     const struct tcpwhy_sysctls *s)
{
	char value[16];
	struct text v = text_in(value, sizeof(value));
	struct text t = text_in(c->does, sizeof(c->does));

	text_number(&v, s->port_low);
	text_char(&v, ' ');
	text_number(&v, s->port_high);
	text_add(&t, "sysctl net.ipv4.ip_local_port_range=\"");
	text_add(&t, value);
	text_char(&t, '"');
	offer_sysctl(c, q, "net.ipv4.ip_local_port_range", value);
}

uint16_t offer_pool_low(const struct tcpwhy_sysctls *s)
{
	uint32_t first = s->unprivileged_port_start > 10000 ? s->unprivileged_port_start : 10000;

	if (s->port_low >= first + OFFER_POOL_PORTS)
		return (uint16_t)(s->port_low - OFFER_POOL_PORTS);
	return s->port_high <= 65535 - OFFER_POOL_PORTS ? (uint16_t)(s->port_high + 1) : 0;
}

void offer_pool(struct cure *c, const struct explain_question *q, uint16_t low)
{
	struct text t;

	offer_say(c->does, "take the port from a pool outside the range (tcpwhy port)");
	offer_say(c->costs, "now; for servers whose clients learn the port, not for bind() before "
			    "connect(); a pool that is there serves, too");
	/* The program runs in the caller's namespace. */
	if (offer_is_elsewhere(q))
		return;
	t = text_in(c->command, sizeof(c->command));
	text_add(&t, "tcpwhy port init ");
	text_number(&t, low);
	text_char(&t, '-');
	text_number(&t, low + OFFER_POOL_PORTS - 1u);
	offer_and(c, "tcpwhy run --lease -- CMD");
}

/* ----------------------------------------------------------------------------------------- tables
 */

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
