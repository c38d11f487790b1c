/* SPDX-License-Identifier: MIT
 *
 * With SECCOMP_USER_NOTIF_FLAG_CONTINUE the kernel reads the arguments again, and another thread of
 * the program may have changed them since we did. That would matter if we allowed or forbade
 * something by them. We only choose which options the socket gets, of options that the program may
 * set at will: whoever deceives us has set one on a socket of his own.
 */
#include "wrap/answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wrap/call.h"
#include "wrap/option.h"

/* ---------------------------------------------------------------------------- borrowed sockets */

static void tell_unreachable(struct server *s, pid_t tid, int error)
{
	tell_once(&s->tell, TOLD_UNREACHABLE, tid,
		  "cannot be reached (%s): its sockets stay as they are; --prepared does without "
		  "reaching",
		  strerror(error));
}

/* The address that a call names, as much of it as both families need. */
struct place {
	struct sockaddr_in6 address;
	socklen_t len;
};

/* Both families have their port in the same place. */
static uint16_t place_port(const struct place *p)
{
	return ntohs(p->address.sin6_port);
}

static bool read_place(struct server *s, pid_t tid, const struct call *c, struct place *p)
{
	uint32_t len = (uint32_t)c->args[2];
	int failed;

	if (len < sizeof(struct sockaddr_in))
		return false;
	p->len = len < sizeof(p->address) ? len : sizeof(p->address);
	failed = task_read(tid, c->args[1], &p->address, p->len);
	if (failed == -EPERM)
		tell_unreachable(s, tid, EPERM);
	/* bind() of an IPv4 socket takes AF_UNSPEC too (inet_bind()). */
	return !failed &&
	       (p->address.sin6_family == AF_INET || p->address.sin6_family == AF_INET6 ||
		p->address.sin6_family == AF_UNSPEC);
}

static enum option_moment listen_moment(int fd, struct place *p)
{
	p->len = sizeof(p->address);
	if (getsockname(fd, (struct sockaddr *)&p->address, &p->len) || !place_port(p))
		return AT_LISTEN_UNBOUND;
	return AT_LISTEN_BOUND;
}

static void set_options(struct server *s, pid_t tid, int fd, enum option_moment moment)
{
	const char *name;
	int failed = option_set(&s->cure, moment, fd, &name);

	if (failed)
		tell_once(&s->tell, TOLD_OPTION, tid, "%s could not be set: %s", name,
			  strerror(-failed));
}

/* A port of the pool, for a socket that would be given any. true: it has one. */
static bool lease_port(struct server *s, pid_t tid, int fd, struct place *p)
{
	pid_t process = task_process(tid);
	bool known, reaches;
	int failed;

	if (leased_has(&s->leased, fd, process))
		return true;
	reaches = leased_reaches(&s->leased, fd, &known);
	if (!(known ? reaches : task_shares_netns(tid)))
		return false;
	set_options(s, tid, fd, AT_BIND_PORT);
	failed = leased_bind(&s->leased, fd, process, (struct sockaddr *)&p->address, p->len);
	if (failed == -ENOSPC)
		tell_once(&s->tell, TOLD_NO_PORT, tid,
			  "gets no port of the pool, which has none left: the kernel chooses");
	return !failed;
}

/* true: bind() is done. listen() goes on either way, with the port or without. */
static bool cure_socket(struct server *s, pid_t tid, int fd, const struct call *c, struct place *p)
{
	enum option_moment moment = c->kind == CALL_LISTEN    ? listen_moment(fd, p)
				    : c->kind == CALL_CONNECT ? AT_CONNECT
				    : place_port(p)           ? AT_BIND_PORT
							      : AT_BIND_ANY;
	bool any = moment == AT_BIND_ANY || moment == AT_LISTEN_UNBOUND;

	if (any && s->leased.pool && lease_port(s, tid, fd, p))
		return c->kind == CALL_BIND;
	set_options(s, tid, fd, moment);
	return false;
}

/* true: it was answered. */
static bool cure_call(struct server *s, const struct seccomp_notif *n, const struct call *c)
{
	unsigned moments = option_moments(&s->cure);
	pid_t tid = (pid_t)n->pid;
	bool done = false;
	struct place p;
	int fd;

	if (c->kind != CALL_LISTEN && !read_place(s, tid, c, &p))
		return false;
	/* What needs no cure should cost no more than it must. */
	if (c->kind == CALL_BIND && !(moments & (place_port(&p) ? AT_BIND_PORT : AT_BIND_ANY)))
		return false;
	fd = task_borrow(&s->task, tid, (int)c->args[0]);
	if (fd == -EPERM)
		tell_unreachable(s, tid, EPERM);
	if (fd < 0)
		return false;
	/* If who asked is gone, this may be a stranger's socket that came by its thread id. */
	if (option_is_tcp(fd) && listener_waits(s->listener, n->id))
		done = cure_socket(s, tid, fd, c, &p);
	close(fd);
	if (done)
		listener_return(s->listener, n->id, 0);
	return done;
}

/* ---------------------------------------------------------------------------- prepared sockets */

static bool asks_for_tcp(const struct call *c)
{
	int family = (int)c->args[0], protocol = (int)c->args[2];
	int type = (int)c->args[1] & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);

	return (family == AF_INET || family == AF_INET6) && type == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

/* A socket belongs to the user and the namespace of who makes it. */
static bool may_stand_in(struct server *s, pid_t tid)
{
	if (task_shares_user(tid) && task_shares_netns(tid))
		return true;
	tell_once(&s->tell, TOLD_ELSEWHERE, tid,
		  "has another user or network namespace than tcpwhy run: its sockets stay as they "
		  "are");
	return false;
}

/* true: it was answered. What fails here the program does itself, and sees the errno. */
static bool give_socket(struct server *s, const struct seccomp_notif *n, const struct call *c)
{
	pid_t tid = (pid_t)n->pid;
	int fd, failed;

	if (c->packed) {
		tell_once(&s->tell, TOLD_PACKED, tid,
			  "is a 32-bit program that calls socketcall(): refused, for it cannot be "
			  "given prepared sockets");
		listener_refuse(s->listener, n->id, ENOSYS);
		return true;
	}
	if (!asks_for_tcp(c) || !may_stand_in(s, tid))
		return false;
	fd = socket((int)c->args[0], (int)c->args[1] | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return false;
	set_options(s, tid, fd, AT_SOCKET);
	failed = listener_give(s->listener, n->id, fd, (int)c->args[1] & SOCK_CLOEXEC);
	close(fd);
	return !failed;
}

/* ------------------------------------------------------------------------------------------ all */

static bool unpack(const struct server *s, pid_t tid, struct call *c)
{
	uint32_t words[3] = {0};
	/* listen() has two. */
	size_t n = c->kind == CALL_LISTEN ? 2 : 3;

	if (!c->packed || s->prepared)
		return true;
	if (task_read(tid, c->args[0], words, n * sizeof(words[0])))
		return false;
	call_unpack(c, words);
	return true;
}

void server_answer(struct server *s, const struct seccomp_notif *n)
{
	struct call c = call_of(&n->data);
	pid_t tid = (pid_t)n->pid;
	bool answered = false;

	switch (unpack(s, tid, &c) ? c.kind : CALL_OTHER) {
	case CALL_SOCKET:
		answered = give_socket(s, n, &c);
		break;
	case CALL_BIND:
	case CALL_LISTEN:
	case CALL_CONNECT:
		answered = cure_call(s, n, &c);
		break;
	case CALL_IO_URING:
		tell_once(&s->tell, TOLD_IO_URING, tid,
			  "uses io_uring: calls made through it are not seen");
		break;
	case CALL_OTHER:
		break;
	}
	if (!answered)
		listener_go_on(s->listener, n->id);
}
