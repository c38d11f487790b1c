/* SPDX-License-Identifier: MIT */
#include "live/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER (128 * 1024) /* more than the kernel puts into one reply of a dump */

/* NLMSG_DONE and NLMSG_ERROR both begin with a negative errno or 0. */
static int end_error(const struct nlmsghdr *nlh)
{
	int error = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
	return error > 0 || error < -4095 ? -EPROTO : error;
}

const struct nlmsghdr *netlink_next(struct netlink_reply *reply, struct netlink_progress *progress)
{
	const struct nlmsghdr *nlh = reply->at;
	size_t step;

	if (progress->done || reply->left < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) ||
	    nlh->nlmsg_len > reply->left)
		return NULL;
	step = NLMSG_ALIGN((size_t)nlh->nlmsg_len);
	if (step > reply->left)
		step = reply->left;
	reply->at = (const char *)reply->at + step;
	reply->left -= step;
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		progress->interrupted = true;
	if (nlh->nlmsg_type != NLMSG_DONE && nlh->nlmsg_type != NLMSG_ERROR)
		return nlh;
	progress->done = true;
	progress->error = end_error(nlh);
	return NULL;
}

int netlink_dump(struct mnl_socket *nl, const struct nlmsghdr *request,
		 struct netlink_progress *progress,
		 int (*take)(const void *reply, size_t len, void *ctx), void *ctx)
{
	char *buf = malloc(BUFFER);
	int error = buf ? 0 : -ENOMEM;

	progress->done = false;
	if (!error && mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		error = -errno;
	while (!error && !progress->done) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, BUFFER);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			error = n < 0 ? -errno : -EPROTO;
		else
			error = take(buf, (size_t)n, ctx);
	}
	free(buf);
	return error ? error : progress->error;
}
