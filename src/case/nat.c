/* SPDX-License-Identifier: MIT */
#include "case/nat.h"

#include "base/text.h"
#include "case/frame.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

/* A rule is at most some 700 bytes: eight IPv6 targets of 39. */
enum { RULES_MAX = 64, RULE_TEXT = 1024, TEXT_MAX = RULES_MAX * RULE_TEXT };

/* ------------------------------------------------------------------------------------ nft's text
 */

static void add_addr(struct text *t, const struct tcpwhy_addr *a)
{
	char text[ADDRESS_TEXT_MAX];

	text_add(t, address_format(a, text));
}

static void add_prefix(struct text *t, const char *what, const struct nat_rule *r,
		       const struct tcpwhy_addr *a, uint8_t len)
{
	if (!a)
		return;
	text_add(t, r->family == TCPWHY_IPV4 ? " ip " : " ip6 ");
	text_add(t, what);
	text_char(t, ' ');
	add_addr(t, a);
	if (len) {
		text_char(t, '/');
		text_number(t, len);
	}
}

static void add_match(struct text *t, const struct nat_rule *r)
{
	text_add(t, r->family == TCPWHY_IPV4 ? "meta nfproto ipv4" : "meta nfproto ipv6");
	text_add(t, " meta l4proto tcp");
	add_prefix(t, "saddr", r, r->from, r->from_len);
	add_prefix(t, "daddr", r, r->at, r->at_len);
	if (r->from_port) {
		text_add(t, " tcp sport ");
		text_number(t, r->from_port);
	}
	if (r->port) {
		text_add(t, " tcp dport ");
		text_number(t, r->port);
	}
	if (r->flags_set | r->flags_clear) {
		text_add(t, " tcp flags & ");
		text_number(t, r->flags_set | r->flags_clear);
		text_add(t, " == ");
		text_number(t, r->flags_set);
	}
}

/* to[0], or a map of all from a number that counts up. */
static void add_targets(struct text *t, const struct nat_rule *r)
{
	if (r->n_to == 1) {
		add_addr(t, &r->to[0]);
		return;
	}
	text_add(t, "numgen inc mod ");
	text_number(t, r->n_to);
	text_add(t, " map { ");
	for (unsigned i = 0; i < r->n_to; i++) {
		text_add(t, i ? ", " : "");
		text_number(t, i);
		text_add(t, " : ");
		add_addr(t, &r->to[i]);
	}
	text_add(t, " }");
}

static void add_translation(struct text *t, const char *verb, const struct nat_rule *r)
{
	const bool brackets = r->to_port && r->n_to == 1 && r->family == TCPWHY_IPV6;

	text_add(t, verb);
	text_add(t, r->family == TCPWHY_IPV4 ? " ip to " : " ip6 to ");
	text_add(t, brackets ? "[" : "");
	add_targets(t, r);
	text_add(t, brackets ? "]" : "");
	if (r->to_port) {
		text_add(t, ":");
		text_number(t, r->to_port);
	}
}

/* nft's words for both families. */
static const char *error_text(uint8_t error)
{
	switch ((enum segment_error)error) {
	case SEGMENT_NO_ERROR:
	case SEGMENT_PORT_UNREACHABLE:
		break;
	case SEGMENT_HOST_UNREACHABLE:
		return "host-unreachable";
	case SEGMENT_NO_ROUTE:
		return "no-route";
	case SEGMENT_ADMIN_PROHIBITED:
		return "admin-prohibited";
	}
	return "port-unreachable";
}

static void add_action(struct text *t, const struct nat_rule *r)
{
	text_add(t, " counter ");
	switch (r->action) {
	case NAT_SOURCE:
		add_translation(t, "snat", r);
		break;
	case NAT_DESTINATION:
		add_translation(t, "dnat", r);
		break;
	case NAT_REJECT_RST:
		text_add(t, "reject with tcp reset");
		break;
	case NAT_REJECT_ICMP:
		text_add(t, "reject with icmpx type ");
		text_add(t, error_text(r->error));
		break;
	case NAT_DROP:
		text_add(t, "drop");
		break;
	}
}

enum chain { SOURCE, DESTINATION, FORWARD, IN, OUT, CHAINS };

static const struct {
	const char *name, *type, *priority;
} chains[CHAINS] = {
	[SOURCE] = {"postrouting", "nat", "100"}, [DESTINATION] = {"prerouting", "nat", "-100"},
	[FORWARD] = {"forward", "filter", "0"},   [IN] = {"input", "filter", "0"},
	[OUT] = {"output", "filter", "0"},
};

static enum chain chain_of(const struct nat_rule *r)
{
	static const enum chain places[] = {
		[NAT_FORWARD] = FORWARD, [NAT_IN] = IN, [NAT_OUT] = OUT};

	switch (r->action) {
	case NAT_SOURCE:
		return SOURCE;
	case NAT_DESTINATION:
		return DESTINATION;
	case NAT_REJECT_RST:
	case NAT_REJECT_ICMP:
	case NAT_DROP:
		break;
	}
	return places[r->place];
}

static void add_chain(struct text *t, enum chain c, const struct nat_rule *rules, size_t n)
{
	bool begun = false;

	for (size_t i = 0; i < n; i++) {
		if (chain_of(&rules[i]) != c)
			continue;
		if (!begun) {
			text_add(t, "chain ");
			text_add(t, chains[c].name);
			text_add(t, " { type ");
			text_add(t, chains[c].type);
			text_add(t, " hook ");
			text_add(t, chains[c].name);
			text_add(t, " priority ");
			text_add(t, chains[c].priority);
			text_add(t, ";\n");
		}
		begun = true;
		add_match(t, &rules[i]);
		add_action(t, &rules[i]);
		text_char(t, '\n');
	}
	if (begun)
		text_add(t, "}\n");
}

static void write_rules(char *buf, size_t size, const struct nat_rule *rules, size_t n)
{
	struct text t = text_in(buf, size);

	text_add(&t, "flush ruleset\n");
	if (!n)
		return;
	text_add(&t, "table inet tcpwhy {\n");
	for (enum chain c = 0; c < CHAINS; c++)
		add_chain(&t, c, rules, n);
	text_add(&t, "}\n");
}

static bool is_sound(const struct nat_rule *r)
{
	const bool v4 = r->family == TCPWHY_IPV4, translates = r->action <= NAT_DESTINATION;
	const unsigned bits = v4 ? 32 : 128;

	if ((r->from && address_is_v4(r->from) != v4) || (r->at && address_is_v4(r->at) != v4) ||
	    r->from_len > bits || r->at_len > bits)
		return false;
	if (translates && (!r->n_to || r->n_to > NAT_TARGETS))
		return false;
	for (unsigned i = 0; translates && i < r->n_to; i++)
		if (address_is_v4(&r->to[i]) != v4)
			return false;
	return r->action != NAT_SOURCE || r->n_to == 1;
}

/* ------------------------------------------------------------------------------------- the kernel
 */

struct nft_errand {
	const char *commands;
	bool dry;
	char error[200]; /* nft's first line */
};

static void keep_first_line(struct nft_errand *e, const char *text)
{
	const size_t len = strcspn(text ? text : "", "\n");

	snprintf(e->error, sizeof(e->error), "%.*s", (int)len, text ? text : "");
}

/* In the namespace: the library opens its netlink socket where it is made. */
static int go(void *ctx)
{
	struct nft_errand *e = ctx;
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
	int rc = 0;

	if (!nft)
		return -ENOMEM;
	nft_ctx_set_dry_run(nft, e->dry);
	if (nft_ctx_buffer_error(nft) || nft_ctx_buffer_output(nft))
		rc = -ENOMEM;
	else if (nft_run_cmd_from_buffer(nft, e->commands)) {
		keep_first_line(e, nft_ctx_get_error_buffer(nft));
		rc = -EINVAL;
	}
	nft_ctx_free(nft);
	return rc;
}

/* From what everything needs to what few need: the first that fails is what is missing. */
static const struct {
	const char *content, *lacks;
} probes[] = {
	{"", "nftables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)"},
	{"chain c {\n type filter hook forward priority 0;\n counter drop\n }",
	 "nftables counters (CONFIG_NF_TABLES)"},
	{"chain c {\n type filter hook forward priority 0;\n meta l4proto tcp reject with tcp "
	 "reset\n }",
	 "nftables reject (CONFIG_NFT_REJECT_INET)"},
	{"chain c {\n ct state new drop\n }",
	 "connection tracking (CONFIG_NF_CONNTRACK, CONFIG_NFT_CT)"},
	{"chain c {\n type nat hook postrouting priority 100;\n snat ip to 192.0.2.1\n }",
	 "address translation (CONFIG_NF_NAT, CONFIG_NFT_NAT)"},
	{"chain c {\n type nat hook prerouting priority -100;\n "
	 "dnat ip to numgen inc mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }\n }",
	 "nftables counting maps (CONFIG_NFT_NUMGEN)"},
};

/* NULL if nothing is: the commands themselves were wrong, or not allowed. */
static const char *what_is_missing(void)
{
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		char table[256];
		struct nft_errand e = {.commands = table, .dry = true};

		snprintf(table, sizeof(table), "table inet tcpwhy_probe {\n%s\n}\n",
			 probes[i].content);
		if (go(&e))
			return probes[i].lacks;
	}
	return NULL;
}

struct run {
	const char *commands;
	struct err *err;
};

static int go_and_explain(void *ctx)
{
	const struct run *r = ctx;
	struct nft_errand e = {.commands = r->commands};
	const int rc = go(&e);

	if (rc != -EINVAL) {
		if (rc)
			snprintf(r->err->text, sizeof(r->err->text), "nftables: %s", strerror(-rc));
		return rc;
	}
	if (strstr(e.error, "Operation not permitted")) {
		snprintf(r->err->text, sizeof(r->err->text),
			 "nftables: %.150s (needs CAP_NET_ADMIN)", e.error);
		return -EPERM;
	}
	const char *lacks = what_is_missing();
	if (lacks)
		snprintf(r->err->text, sizeof(r->err->text), "this kernel has no %s", lacks);
	else
		snprintf(r->err->text, sizeof(r->err->text), "nftables: %s", e.error);
	return lacks ? -EOPNOTSUPP : rc;
}

int nat_run(const struct netns *ns, const char *commands, struct err *err)
{
	struct run r = {commands, err};

	return netns_run(ns, false, go_and_explain, &r, err);
}

int nat_set(const struct netns *ns, const struct nat_rule *rules, size_t n, struct err *err)
{
	static const char *const wrong =
		"a rule of a middle box: addresses of its family, prefixes "
		"that fit it, and one to eight targets of a translation";
	char text[TEXT_MAX];

	if (n > RULES_MAX) {
		snprintf(err->text, sizeof(err->text), "more than %d rules of a middle box",
			 RULES_MAX);
		return -E2BIG;
	}
	for (size_t i = 0; i < n; i++) {
		if (is_sound(&rules[i]))
			continue;
		snprintf(err->text, sizeof(err->text), "%s", wrong);
		return -EINVAL;
	}
	write_rules(text, sizeof(text), rules, n);
	return nat_run(ns, text, err);
}
