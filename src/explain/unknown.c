/* SPDX-License-Identifier: MIT */
#include "explain/asked.h"

#include "base/text.h"

static const struct {
	uint32_t bit;
	const char *what;
} missing_words[] = {
	{TCPWHY_MISSING_REUSEADDR, "whether a holder has SO_REUSEADDR"},
	{TCPWHY_MISSING_REUSEPORT, "whether a holder has SO_REUSEPORT"},
	{TCPWHY_MISSING_UID, "the uid of a holder"},
	{TCPWHY_MISSING_V6ONLY, "whether a holder is IPV6_V6ONLY"},
	{TCPWHY_MISSING_FAST, "what earlier binds left in the port's bucket"},
	{TCPWHY_MISSING_OWNERS, "sockets that are bound but neither listen nor are connected"},
	{TCPWHY_MISSING_PRIVILEGE, "whether the program has CAP_NET_BIND_SERVICE"},
	{TCPWHY_MISSING_LOCAL, "the local addresses"},
	{TCPWHY_MISSING_SYSCTL, "a sysctl that the rule reads"},
	{TCPWHY_MISSING_TIMESTAMPS, "whether a connection in TIME_WAIT had TCP timestamps"},
	{TCPWHY_MISSING_CONNECT_BIND, "whether connect() or bind() chose a holder's port"},
	{TCPWHY_MISSING_PROGRAM, "what a BPF program of the cgroup says to it"},
	{TCPWHY_MISSING_ORDER,
	 "which of two sockets with the same 4-tuple, one bound to a device, is met first"},
	{TCPWHY_MISSING_SHARED,
	 "which port bind(0) comes to share (net.ipv4.ip_autobind_reuse), and whether a connection "
	 "from it to the same destination is there"},
	{TCPWHY_MISSING_DRAW, "the random start of the kernel's search in an odd-sized port range"},
};

static const struct {
	uint32_t bit;
	const char *name;
} sysctl_words[] = {
	{SNAPSHOT_S_PORT_RANGE, "net.ipv4.ip_local_port_range"},
	{SNAPSHOT_S_RESERVED, "net.ipv4.ip_local_reserved_ports"},
	{SNAPSHOT_S_UNPRIVILEGED, "net.ipv4.ip_unprivileged_port_start"},
	{SNAPSHOT_S_AUTOBIND_REUSE, "net.ipv4.ip_autobind_reuse"},
	{SNAPSHOT_S_NONLOCAL_BIND, "net.ipv4.ip_nonlocal_bind"},
	{SNAPSHOT_S_L3MDEV_ACCEPT, "net.ipv4.tcp_l3mdev_accept"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

void unknown_missing(struct text *t, uint32_t missing)
{
	bool any = false;

	for (size_t i = 0; i < COUNT(missing_words); i++) {
		if (!(missing & missing_words[i].bit))
			continue;
		missing &= ~missing_words[i].bit;
		if (any)
			text_add(t, missing ? ", " : " and ");
		text_add(t, missing_words[i].what);
		any = true;
	}
	if (!any)
		text_add(t, "something");
}

static struct text line(struct result *out)
{
	static const size_t size = sizeof(out->unknown[0]);

	/* The last line is written over rather than lost in silence: all lines say what is not
	 * known. */
	if (out->unknown_n < RESULT_UNKNOWN_MAX)
		out->unknown_n++;
	return text_in(out->unknown[out->unknown_n - 1], size);
}

static void list_sysctls(const struct asked *a, struct result *out)
{
	for (size_t i = 0; i < COUNT(sysctl_words); i++) {
		if (!(a->snap->sysctls_unknown & sysctl_words[i].bit))
			continue;
		struct text t = line(out);
		text_add(&t, sysctl_words[i].name);
		text_add(&t, " (the default of ");
		text_add(&t, a->row->name);
		text_add(&t, " is assumed)");
	}
}

void unknown_list(const struct asked *a, struct result *out)
{
	for (size_t i = 0; i < a->snap->missing_n; i++) {
		struct text t = line(out);
		text_add(&t, a->snap->missing[i]);
	}
	for (size_t i = 0; i < COUNT(missing_words); i++) {
		if (!(a->verdict.missing & missing_words[i].bit))
			continue;
		struct text t = line(out);
		text_add(&t, missing_words[i].what);
	}
	if (!a->verdict.missing && a->verdict.holders && a->verdict.at != TCPWHY_CALL_CONNECT &&
	    asked_options_unknown(a)) {
		struct text t = line(out);
		text_add(&t, "SO_REUSEADDR and SO_REUSEPORT of what holds the port");
	}
	list_sysctls(a, out);
	if (a->snap->truncated) {
		struct text t = line(out);
		text_add(&t, "more sockets than could be read");
	}
	if (!load_row_is_of(a->row, a->snap->kernel)) {
		struct text t = line(out);
		text_add(&t, "what kernel ");
		text_add(&t, a->snap->kernel);
		text_add(&t, " does otherwise than ");
		text_add(&t, a->row->name);
		text_add(&t, ", whose rules were used");
	}
	if (a->no_memory) {
		struct text t = line(out);
		text_add(&t, "whether more cures would help: memory ran out");
	}
}
