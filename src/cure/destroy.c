/* SPDX-License-Identifier: MIT */
#include "cure/destroy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/address.h"

/* Each request is answered by one message, and all answers must fit the receive buffer. */
#define BATCH 64

/* How long the kernel may take to answer one batch. */
#define ANSWER_S 5

struct request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

struct destroy {
	struct mnl_socket *netlink;
	struct request queue[BATCH];
	unsigned queued;
	uint32_t seq; /* of queue[0] */
	struct destroy_tally tally;
};

struct opening {
	int netns_fd;
	int fd;
	int error;
};

static int open_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

/* A socket stays in the namespace it was made in; only its making needs a thread that moved there.
 */
static void *open_inside(void *arg)
{
	struct opening *o = arg;

	if (setns(o->netns_fd, CLONE_NEWNET)) {
		o->error = errno;
		return NULL;
	}
	o->fd = open_socket();
	if (o->fd < 0)
		o->error = errno;
	return NULL;
}

/* setns() into the namespace one is in already needs privilege too, so it is not done. */
static bool is_own_namespace(int netns_fd)
{
	struct stat theirs, ours;

	return !fstat(netns_fd, &theirs) && !stat("/proc/thread-self/ns/net", &ours) &&
	       theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

static int open_channel(int netns_fd, int *fd)
{
	struct opening o = {.netns_fd = netns_fd, .fd = -1};
	pthread_t thread;
	int error;

	if (is_own_namespace(netns_fd)) {
		*fd = open_socket();
		return *fd < 0 ? -errno : 0;
	}
	error = pthread_create(&thread, NULL, open_inside, &o);
	if (error)
		return -error;
	pthread_join(thread, NULL);
	*fd = o.fd;
	return -o.error;
}

int destroy_open(int netns_fd, struct destroy **out, struct err *err)
{
	const struct timeval patience = {.tv_sec = ANSWER_S};
	struct destroy *d = calloc(1, sizeof(*d));
	int fd = -1;
	int rc = d ? open_channel(netns_fd, &fd) : -ENOMEM;

	if (!rc) {
		d->seq = 1;
		d->netlink = mnl_socket_fdopen(fd);
		if (!d->netlink || mnl_socket_bind(d->netlink, 0, MNL_SOCKET_AUTOPID) < 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
			rc = -errno;
	}
	if (!rc) {
		*out = d;
		return 0;
	}
	snprintf(err->text, sizeof(err->text), "cannot open sock_diag in the namespace: %s",
		 strerror(-rc));
	if (d && d->netlink)
		mnl_socket_close(d->netlink);
	else if (fd >= 0)
		close(fd);
	free(d);
	return rc;
}

void destroy_close(struct destroy *d)
{
	if (!d)
		return;
	mnl_socket_close(d->netlink);
	free(d);
}

/* A v4-mapped mini-socket lies in the IPv4 table, whatever its family says
 * (inet_diag_find_one_icsk()). */
static void fill_id(struct inet_diag_req_v2 *req, const struct snapshot_owner *owner)
{
	const struct tcpwhy_owner *o = &owner->o;

	req->sdiag_protocol = IPPROTO_TCP;
	if (address_is_v4(&o->local) && address_is_v4(&o->peer)) {
		req->sdiag_family = AF_INET;
		req->id.idiag_src[0] = htonl(address_v4_of(&o->local));
		req->id.idiag_dst[0] = htonl(address_v4_of(&o->peer));
	} else {
		req->sdiag_family = AF_INET6;
		memcpy(req->id.idiag_src, o->local.b, sizeof(o->local.b));
		memcpy(req->id.idiag_dst, o->peer.b, sizeof(o->peer.b));
	}
	req->idiag_states = UINT32_MAX;
	req->id.idiag_sport = htons(o->port);
	req->id.idiag_dport = htons(o->peer_port);
	req->id.idiag_if = o->device;
	req->id.idiag_cookie[0] = (uint32_t)owner->cookie;
	req->id.idiag_cookie[1] = (uint32_t)(owner->cookie >> 32);
}

static void count_answer(struct destroy_tally *tally, int error)
{
	if (!error) {
		tally->acknowledged++;
	} else if (error == ENOENT || error == ESTALE) {
		tally->gone++;
	} else {
		tally->refused++;
		if (!tally->error)
			tally->error = error;
	}
}

/* Counts the answers in one datagram that belong to the batch. */
static unsigned count_answers(struct destroy *d, const char *buf, int len)
{
	unsigned answers = 0;

	for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; mnl_nlmsg_ok(h, len);
	     h = mnl_nlmsg_next(h, &len)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_type != NLMSG_ERROR || h->nlmsg_seq - d->seq >= d->queued ||
		    mnl_nlmsg_get_payload_len(h) < sizeof(*e))
			continue;
		count_answer(&d->tally, -e->error);
		answers++;
	}
	return answers;
}

static int read_answers(struct destroy *d)
{
	char buf[8192] __attribute__((aligned(8)));
	unsigned answers = 0;

	/* Each turn ends with an answer or with the timeout; strangers' messages are bounded too.
	 */
	for (unsigned turn = 0; answers < d->queued && turn < 4 * BATCH; turn++) {
		ssize_t len = mnl_socket_recvfrom(d->netlink, buf, sizeof(buf));

		if (len < 0 && errno == EINTR)
			continue;
		/* Lost answers are no failure: the second look counts what is left. */
		if (len < 0 && errno == ENOBUFS)
			return 0;
		if (len < 0)
			return -errno;
		answers += count_answers(d, buf, (int)len);
	}
	return 0;
}

static int ask(struct destroy *d, struct err *err)
{
	int rc = 0;

	if (!d->queued)
		return 0;
	if (mnl_socket_sendto(d->netlink, d->queue, d->queued * sizeof(d->queue[0])) < 0)
		rc = -errno;
	else
		rc = read_answers(d);
	if (rc)
		snprintf(err->text, sizeof(err->text), "sock_diag did not answer SOCK_DESTROY: %s",
			 strerror(-rc));
	d->seq += d->queued;
	d->queued = 0;
	return rc;
}

static bool is_hopeless(const struct destroy *d)
{
	return !d->tally.acknowledged && (d->tally.error == EPERM || d->tally.error == EOPNOTSUPP);
}

int destroy_add(struct destroy *d, const struct snapshot_owner *owner, struct err *err)
{
	struct request *r = &d->queue[d->queued];

	if (is_hopeless(d))
		return 0;
	*r = (struct request){.header = {.nlmsg_len = sizeof(*r),
					 .nlmsg_type = SOCK_DESTROY,
					 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
					 .nlmsg_seq = d->seq + d->queued}};
	fill_id(&r->body, owner);
	d->queued++;
	return d->queued == BATCH ? ask(d, err) : 0;
}

int destroy_finish(struct destroy *d, struct destroy_tally *tally, struct err *err)
{
	int rc = ask(d, err);

	*tally = d->tally;
	return rc;
}
