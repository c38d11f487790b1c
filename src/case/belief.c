/* SPDX-License-Identifier: MIT */
#include "case/belief.h"

#include "base/address.h"

static bool joins(const struct segment *s, const struct tcpwhy_addr *a, uint16_t a_port,
		  const struct tcpwhy_addr *b, uint16_t b_port)
{
	return s->from_port == a_port && s->to_port == b_port && address_equal(&s->from, a) &&
	       address_equal(&s->to, b);
}

static bool is_of(const struct session *p, const struct segment *s)
{
	return joins(s, &p->client, p->client_port, &p->server, p->server_port) ||
	       joins(s, &p->server, p->server_port, &p->client, p->client_port) ||
	       joins(s, &p->as_client, p->as_client_port, &p->as_server, p->as_server_port) ||
	       joins(s, &p->as_server, p->as_server_port, &p->as_client, p->as_client_port);
}

uint8_t belief_of(const struct session *sessions, size_t n, const struct segment *s)
{
	for (size_t i = 0; i < n; i++)
		if (is_of(&sessions[i], s))
			return (uint8_t)(sessions[i].state + 1);
	return 0;
}
