/* SPDX-License-Identifier: MIT
 *
 * route.h - what the routing tables refuse to a connect(), in words
 */
#ifndef TCPWHY_EXPLAIN_ROUTE_H
#define TCPWHY_EXPLAIN_ROUTE_H

#include "explain/explain.h"

struct route_rule {
	int error;
	struct tcpwhy_rule_info info;
};

/* The rule by which q->route_error came; the snapshot knows the broadcast addresses. Never NULL. */
const struct route_rule *route_rule_of(const struct snapshot *snap,
				       const struct explain_connect *q);
void route_because(const struct route_rule *rule, const struct explain_connect *q, char *out,
		   size_t size);

#endif
