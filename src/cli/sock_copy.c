/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/sock.h"
#include "cli/sock_tell.h"

#define PIECE 65536

/* One direction. What was read waits in buf until it is written; only then more is read. */
struct flow {
	char buf[PIECE];
	size_t at, len; /* what waits */
	bool ended;     /* its source is at its end */
};

static long or_errno(long result)
{
	return result < 0 ? -errno : result;
}

/* Not ready after all: poll() is asked again. */
static bool is_later(long result)
{
	return result == -EAGAIN || result == -EINTR;
}

static bool shut(struct sock *s)
{
	if (!sock_tell(s, SOCK_SHUTDOWN, or_errno(shutdown(s->fd, SHUT_WR)), "%d, SHUT_WR", s->fd))
		return false;
	sock_tell_shut(s);
	return true;
}

/* --------------------------------------------------------------------- standard input and output
 */

static bool read_input(struct sock *s, struct flow *up)
{
	long n = or_errno(read(STDIN_FILENO, up->buf, sizeof(up->buf)));

	if (is_later(n))
		return true;
	if (n < 0) {
		sock_tell_io(s, "standard input", (int)-n);
		return false;
	}
	up->at = 0;
	up->len = (size_t)n;
	s->input_ended = up->ended = !n;
	if (n)
		return true;
	sock_note(s, "end of standard input");
	if (!s->o->half_close)
		return true;
	return shut(s);
}

static bool write_output(struct sock *s, struct flow *down)
{
	/* So much a pipe that is ready takes without a wait. */
	const size_t most = down->len < PIPE_BUF ? down->len : PIPE_BUF;
	long n = or_errno(write(STDOUT_FILENO, down->buf + down->at, most));

	if (is_later(n))
		return true;
	if (n < 0) {
		sock_tell_io(s, "standard output", (int)-n);
		return false;
	}
	down->at += (size_t)n;
	down->len -= (size_t)n;
	return true;
}

/* ----------------------------------------------------------------------------------- the socket */

static void note_fin(struct sock *s)
{
	sock_note(s, "the peer's FIN: it sends no more");
	sock_tell_state(s, s->fd);
}

static bool read_socket(struct sock *s, struct flow *down)
{
	long n = or_errno(read(s->fd, down->buf, sizeof(down->buf)));

	if (is_later(n))
		return true;
	if (!sock_tell(s, SOCK_READ, n, "%d, %d", s->fd, PIECE))
		return false;
	down->at = 0;
	down->len = (size_t)n;
	down->ended = !n;
	if (!n)
		note_fin(s);
	return true;
}

/* What the kernel took of it, in *taken. */
static bool write_socket(struct sock *s, const char *from, size_t len, size_t *taken)
{
	long n = or_errno(write(s->fd, from, len));

	*taken = 0;
	if (is_later(n))
		return true;
	if (!sock_tell(s, SOCK_WRITE, n, "%d, %zu", s->fd, len))
		return false;
	*taken = (size_t)n;
	return true;
}

static bool move_up(struct sock *s, struct flow *up)
{
	size_t taken;

	if (!write_socket(s, up->buf + up->at, up->len, &taken))
		return false;
	up->at += taken;
	up->len -= taken;
	return true;
}

/* ------------------------------------------------------------------------------------ both ways
 */

static bool is_over(const struct sock *s, const struct flow *up, const struct flow *down)
{
	const bool up_over = up->ended && !up->len, down_over = down->ended && !down->len;

	return s->o->half_close ? up_over && down_over : up_over || down_over;
}

/* A descriptor that nothing is wanted of is left out: poll() would tell its errors for ever. */
static struct pollfd wanted(int fd, short events)
{
	return (struct pollfd){.fd = events ? fd : -1, .events = events};
}

static bool copy_step(struct sock *s, struct flow *up, struct flow *down)
{
	struct pollfd fds[3] = {
		wanted(STDIN_FILENO, !up->len && !up->ended ? POLLIN : 0),
		wanted(s->fd, (short)((!down->len && !down->ended ? POLLIN : 0) |
				      (up->len ? POLLOUT : 0))),
		wanted(STDOUT_FILENO, down->len ? POLLOUT : 0),
	};

	if (sock_wait(fds, 3, -1) < 0)
		return false;
	/* What the peer said comes before what is told it. */
	if ((fds[1].events & POLLIN) && (fds[1].revents & ~POLLOUT) && !read_socket(s, down))
		return false;
	if ((fds[1].events & POLLOUT) && (fds[1].revents & ~POLLIN) && !move_up(s, up))
		return false;
	if (fds[2].revents && !write_output(s, down))
		return false;
	return !fds[0].revents || read_input(s, up);
}

static bool copy_both_ways(struct sock *s)
{
	struct flow *flows = calloc(2, sizeof(*flows));
	bool ok = flows != NULL;

	if (!ok) {
		sock_tell_io(s, "memory for the data", ENOMEM);
		return false;
	}
	/* The connection before may have met the end already. */
	flows[0].ended = s->input_ended;
	if (s->input_ended && s->o->half_close)
		ok = shut(s);
	while (ok && !is_over(s, &flows[0], &flows[1]))
		ok = copy_step(s, &flows[0], &flows[1]);
	free(flows);
	return ok;
}

/* ------------------------------------------------------------------------------ source and sink
 */

static bool write_all(struct sock *s, const char *buf, size_t len)
{
	for (size_t at = 0, taken; at < len; at += taken) {
		struct pollfd p = {.fd = s->fd, .events = POLLOUT};
		if (sock_wait(&p, 1, -1) < 0 || !write_socket(s, buf + at, len - at, &taken))
			return false;
	}
	return true;
}

/* Reads and throws away until the peer's FIN. */
static bool drain(struct sock *s, char *buf, size_t size)
{
	unsigned long long bytes = 0;
	long n = 1;

	while (n) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		if (!sock_pause(s, s->o->pause_each_ms) || sock_wait(&p, 1, -1) < 0)
			return false;
		n = or_errno(read(s->fd, buf, size));
		if (is_later(n))
			continue;
		if (!sock_tell(s, SOCK_READ, n, "%d, %zu", s->fd, size))
			return false;
		bytes += (unsigned long long)n;
	}
	note_fin(s);
	sock_note(s, "%llu bytes came", bytes);
	return true;
}

static bool send_source(struct sock *s, char *buf, size_t size)
{
	bool ok = true;

	/* A pattern that is the same in each write, and visible in a capture. */
	for (size_t i = 0; i < size; i++)
		buf[i] = (char)('a' + i % 26);
	for (int i = 0; ok && i < s->o->count; i++)
		ok = sock_pause(s, s->o->pause_each_ms) && write_all(s, buf, size);
	if (ok)
		sock_note(s, "%llu bytes were sent", (unsigned long long)s->o->count * size);
	if (!ok || !s->o->half_close)
		return ok;
	return shut(s) && drain(s, buf, size);
}

static bool copy_bulk(struct sock *s)
{
	const size_t size = (size_t)(s->o->server ? s->o->read_size : s->o->write_size);
	char *buf = malloc(size);

	if (!buf) {
		sock_tell_io(s, "memory for the data", ENOMEM);
		return false;
	}
	bool ok = s->o->server ? drain(s, buf, size) : send_source(s, buf, size);
	free(buf);
	return ok;
}

bool sock_copy(struct sock *s)
{
	return s->o->bulk ? copy_bulk(s) : copy_both_ways(s);
}
