/* SPDX-License-Identifier: MIT
 *
 * Rules of hosts and boxes: nftables, but for a load balancer, which takes its box to user space
 */
#include "case/kernel_state.h"

#include "base/assert.h"
#include "case/conntrack.h"
#include "case/hostns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A prefix of the 16-byte form as one of its family; NULL: any. */
static const struct tcpwhy_addr *prefix(const struct tcpwhy_addr *a, unsigned len,
					uint8_t *family_len)
{
	const bool v4 = address_is_v4(a);

	if (!len || (v4 && len <= 96))
		return NULL;
	*family_len = (uint8_t)(v4 ? len - 96 : len);
	return a;
}

static struct nat_rule rule_of(const struct rule *r, enum tcpwhy_family family)
{
	static const enum nat_action actions[] = {
		[RULE_SNAT] = NAT_SOURCE,
		[RULE_DNAT] = NAT_DESTINATION,
		[RULE_REJECT_RST] = NAT_REJECT_RST,
		[RULE_REJECT_ICMP] = NAT_REJECT_ICMP,
		[RULE_DROP] = NAT_DROP,
	};
	static const enum nat_place places[] = {
		[RULE_FORWARD] = NAT_FORWARD, [RULE_IN] = NAT_IN, [RULE_OUT] = NAT_OUT};
	struct nat_rule n = {
		.action = actions[r->action],
		.place = places[r->place],
		.family = family,
		.from_port = r->from_port,
		.port = r->port,
		.flags_set = r->flags_set,
		.flags_clear = r->flags_clear,
		.error = r->error,
		/* the model translates to the first address; only a balancer takes turns */
		.to = {r->to[0]},
		.n_to = r->n_to ? 1 : 0,
		.to_port = r->action == RULE_DNAT ? r->to_port : 0,
	};

	n.from = prefix(&r->from, r->from_len, &n.from_len);
	n.at = prefix(&r->at, r->at_len, &n.at_len);
	return n;
}

/* Whether the rule can mean segments of that family. */
static bool speaks_of(const struct rule *r, bool v4)
{
	const bool translates = r->action == RULE_SNAT || r->action == RULE_DNAT;

	if (r->from_len && address_is_v4(&r->from) != v4)
		return false;
	if (r->at_len && address_is_v4(&r->at) != v4)
		return false;
	return !translates || address_is_v4(&r->to[0]) == v4;
}

/* The kernel answers a peer by ICMP once a second, after a burst of six; the model always. */
static int answer_each(const struct netns *ns, struct err *err)
{
	const int rc = hostns_set_sysctl(ns, "ipv4/icmp_ratelimit", "0", err);

	return rc ? rc : hostns_set_sysctl(ns, "ipv6/icmp/ratelimit", "0", err);
}

static bool has_action(const struct rule *rules, size_t n, enum rule_action action)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].action == action)
			return true;
	return false;
}

static int set_in_kernel(struct kernel_stage *k, int node, const struct rule *rules, size_t n,
			 struct err *err)
{
	struct nat_rule all[2 * KERNEL_RULES];
	const struct netns *ns = stage_kernel_netns(k->scene, node);
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (speaks_of(&rules[i], true))
			all[used++] = rule_of(&rules[i], TCPWHY_IPV4);
		if (speaks_of(&rules[i], false))
			all[used++] = rule_of(&rules[i], TCPWHY_IPV6);
	}
	int rc = nat_set(ns, all, used, err);
	if (!rc && has_action(rules, n, RULE_REJECT_ICMP))
		rc = answer_each(ns, err);
	if (!rc && used)
		conntrack_note_times(ns);
	return kernel_lacks(rc);
}

static int put_off(struct kernel_node *box, const struct rule *rules, size_t n, struct err *err)
{
	struct rule *early = malloc(n * sizeof(*early));

	if (!early)
		return kernel_fail(err, -ENOMEM, "rules");
	memcpy(early, rules, n * sizeof(*early));
	free(box->early);
	box->early = early;
	box->n_early = n;
	return 0;
}

int kernel_rules_begin(struct kernel_stage *k, struct err *err)
{
	int rc = 0;

	for (int i = 0; (size_t)i < k->n_nodes && !rc; i++) {
		struct kernel_node *box = &k->nodes[i];
		if (box->early)
			rc = kernel_set_rules(&k->base, i, box->early, box->n_early, err);
		free(box->early);
		box->early = NULL;
	}
	return rc;
}

int kernel_set_rules(struct stage *st, int node, const struct rule *rules, size_t n,
		     struct err *err)
{
	struct kernel_stage *k = kernel_of(st);

	must(node >= 0 && (size_t)node < k->n_nodes);
	struct kernel_node *box = &k->nodes[node];
	if (n > KERNEL_RULES)
		return kernel_fail(err, -ENOSPC, "rules");
	if (!box->balance && !has_action(rules, n, RULE_BALANCE)) {
		free(box->early);
		box->early = NULL;
		return set_in_kernel(k, node, rules, n, err);
	}
	if (!box->is_box)
		return kernel_fail(err, STAGE_CANNOT, "only a box can balance");
	if (has_action(rules, n, RULE_REJECT_ICMP))
		return kernel_fail(err, STAGE_CANNOT,
				   "a box that balances does not answer by ICMP");
	if (!k->begin_ns)
		return put_off(box, rules, n, err);
	if (!box->balance) {
		const int rc = balance_new(k, node, &box->balance, err);
		if (rc)
			return kernel_lacks(rc);
	}
	return balance_set_rules(box->balance, rules, n, err);
}

int kernel_sessions(struct stage *st, int box, struct session *out, size_t max, struct err *err)
{
	struct kernel_stage *k = kernel_of(st);
	const uint64_t now = kernel_now(st);
	size_t n = 0;

	must(box >= 0 && (size_t)box < k->n_nodes);
	if (k->nodes[box].balance)
		return (int)balance_sessions(k->nodes[box].balance, out, max);
	const int rc = conntrack_list(stage_kernel_netns(k->scene, box), out, max, &n, err);
	if (rc)
		return kernel_lacks(rc);
	for (size_t i = 0; i < n && i < max; i++)
		out[i].ends_ns += now;
	return (int)n;
}
