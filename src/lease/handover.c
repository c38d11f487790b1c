/* SPDX-License-Identifier: MIT
 *
 * handover.c - a held lease goes from one process to another with its socket
 *
 * The giver makes it nobody's, for a time, and sends; the taker makes it its own. Killed before the
 * first step the giver loses it as any holder does, after it the time ends it: the port is never
 * lost, and nobody else gets it while the message is on its way.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lease/holder.h"
#include "lease/order.h"
#include "lease/pool.h"
#include "lease/slot.h"
#include "lease/socket.h"

#define ON_ITS_WAY_NS (10 * UINT64_C(1000000000))
#define MAGIC         UINT32_C(0x7463706c)

struct message {
	uint32_t magic;
	uint32_t port;
	uint64_t token;
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int send_message(int unix_fd, const struct message *m, int fd)
{
	union control control = {{0}};
	struct iovec part = {(void *)(uintptr_t)m, sizeof(*m)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	n = sendmsg(unix_fd, &msg, MSG_NOSIGNAL);
	return n < 0 ? -errno : n == (ssize_t)sizeof(*m) ? 0 : -EIO;
}

int tcpwhy_lease_send(struct tcpwhy_pool *pool, struct tcpwhy_lease *lease, int unix_fd)
{
	struct message m = {.magic = MAGIC, .port = lease->port};
	int error;

	if (lease->fd < 0)
		return -EINVAL;
	error = tcpwhy_lease_assign(pool, lease, 0, (uint32_t)(ON_ITS_WAY_NS / 1000000000));
	if (error)
		return error;
	m.token = lease->token;
	error = send_message(unix_fd, &m, lease->fd);
	if (error) {
		uint32_t slot = (uint32_t)lease->port - pool->at.low;
		uint64_t ref;
		struct slot_word w = {.held = true};

		/* Ours again, if there was time. */
		if (holder_me(pool, &ref) == 0) {
			w.holder = holder_ref_index(ref);
			w.holder_gen = holder_ref_gen(ref);
			slot_rename(&pool->at, slot, &lease->token, &w);
		}
		return error;
	}
	close(lease->fd);
	*lease = (struct tcpwhy_lease){.fd = -1};
	return 0;
}

/* All descriptors that came but the first are closed. -1 none. */
static int descriptor_of(struct msghdr *msg)
{
	int first = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/* -EBADMSG: not such a message. */
static int receive_message(int unix_fd, struct message *m, int *fd)
{
	union control control;
	struct iovec part = {m, sizeof(*m)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	do {
		n = recvmsg(unix_fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*fd = descriptor_of(&msg);
	if (n == (ssize_t)sizeof(*m) && m->magic == MAGIC && *fd >= 0)
		return 0;
	if (*fd >= 0)
		close(*fd);
	return -EBADMSG;
}

/* The lease that was sent; or, if its time was over and nobody took the port since, a new one. */
static int take_lease(struct tcpwhy_pool *pool, const struct message *m, uint64_t *token)
{
	const struct layout *l = &pool->at;
	uint32_t slot = m->port - l->low;
	struct slot_word w = {.held = true};
	struct slot_word sent;
	uint64_t ref;
	int error = holder_me(pool, &ref);

	if (error)
		return error;
	w.holder = holder_ref_index(ref);
	w.holder_gen = holder_ref_gen(ref);
	*token = m->token;
	if (slot_unpack(m->port, m->token, &sent) && sent.state == SLOT_LEASED &&
	    sent.holder == HOLDER_NONE && slot_rename(l, slot, token, &w))
		return 0;
	if (slot_take(l, slot, ref, pool_now_ns(), token) && slot_rename(l, slot, token, &w))
		return 0;
	return -ESTALE;
}

int tcpwhy_lease_receive(struct tcpwhy_pool *pool, int unix_fd, struct tcpwhy_lease *out)
{
	struct message m = {0};
	uint64_t token;
	int fd = -1;
	int error = pool->read_only ? -EROFS : pool_is_current(pool);

	if (!error)
		error = receive_message(unix_fd, &m, &fd);
	if (error)
		return error;
	if (m.port < pool->at.low || m.port - pool->at.low >= pool->at.slots_n ||
	    !socket_is_on(fd, (uint16_t)m.port))
		error = -EBADMSG;
	if (!error)
		error = take_lease(pool, &m, &token);
	if (error) {
		close(fd);
		return error;
	}
	const struct tcpwhy_lease taken = {.token = token, .fd = fd, .port = (uint16_t)m.port};
	if (!atomic_load(&pool->at.shared->retired)) {
		*out = taken;
		return 0;
	}
	slot_give_back(&pool->at, m.port - pool->at.low, token, pool_now_ns());
	pool_give_back_anew(pool, &taken);
	close(fd);
	return -ESTALE;
}
