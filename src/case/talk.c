/* SPDX-License-Identifier: MIT */
#include "case/talk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { BUFFER = 32768 }; /* more than the kernel puts into one part of an answer (netlink_dump()) */

int talk_open(struct talk *t, int bus)
{
	struct mnl_socket *nl = mnl_socket_open2(bus, SOCK_CLOEXEC);

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID)) {
		const int rc = -errno;
		mnl_socket_close(nl);
		return rc;
	}
	*t = (struct talk){.nl = nl};
	return 0;
}

struct opening {
	struct talk *t;
	int bus;
};

static int open_here(void *ctx)
{
	struct opening *o = ctx;

	return talk_open(o->t, o->bus);
}

int talk_open_in(struct talk *t, int bus, const struct netns *ns, const char *name, struct err *err)
{
	struct opening o = {t, bus};

	err->text[0] = '\0';
	const int rc = netns_run(ns, false, open_here, &o, err);
	if (rc && !err->text[0])
		snprintf(err->text, sizeof(err->text), "a %s socket: %s", name, strerror(-rc));
	return rc;
}

void talk_close(struct talk *t)
{
	if (t->nl)
		mnl_socket_close(t->nl);
	t->nl = NULL;
}

static ssize_t receive(struct talk *t, char *buf, size_t size)
{
	ssize_t n;

	do
		n = mnl_socket_recvfrom(t->nl, buf, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int talk_ask(struct talk *t, struct nlmsghdr *request, mnl_cb_t read, void *ctx)
{
	const unsigned port = mnl_socket_get_portid(t->nl);
	const bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	char buf[BUFFER];
	int rc;

	request->nlmsg_seq = ++t->seq;
	if (mnl_socket_sendto(t->nl, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		const ssize_t n = receive(t, buf, sizeof(buf));
		if (n < 0)
			return (int)n;
		rc = mnl_cb_run(buf, (size_t)n, t->seq, port, read, ctx);
		if (rc < 0)
			return -errno;
	} while (dump && rc > MNL_CB_STOP);
	return 0;
}
