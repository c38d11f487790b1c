/* SPDX-License-Identifier: MIT
 *
 * tcpwhy sock: one TCP connection by hand, as a client or as a server
 */
#include "cli/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/sock_tell.h"
#include "report/name.h"

#define RETRY_LOOK_MS 50 /* how often -v looks whether a SYN was sent again */

/* ---------------------------------------------------------------------------------------- signals
 */

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* They are blocked but in sock_wait() and in close(), so none comes between a look at stop and the
 * wait. */
static void catch_signals(void)
{
	struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	sigset_t both;

	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, NULL);
}

int sock_wait(struct pollfd *fds, unsigned n, int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
	sigset_t none;
	int ready = -1;

	sigemptyset(&none);
	while (!stop && ready < 0) {
		ready = ppoll(fds, n, ms < 0 ? NULL : &t, &none);
		if (ready < 0 && errno != EINTR)
			break;
	}
	return stop ? -1 : ready;
}

/* Until a line, or the end, comes on standard input; the rest of it stays there. */
static bool await_enter(struct sock *s)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char c = 0;

	sock_note(s, "pause until Enter");
	while (c != '\n' && !s->input_ended) {
		if (sock_wait(&p, 1, -1) < 0)
			return false;
		ssize_t n = read(STDIN_FILENO, &c, 1);
		s->input_ended = !n || (n < 0 && errno != EAGAIN && errno != EINTR);
	}
	return true;
}

bool sock_pause(struct sock *s, int ms)
{
	if (!ms)
		return !stop;
	if (ms == SOCK_ENTER)
		return await_enter(s);
	sock_note(s, "pause of %g s", ms / 1000.0);
	return sock_wait(NULL, 0, ms) >= 0;
}

/* ------------------------------------------------------------------------------------- the socket
 */

static long or_errno(long result)
{
	return result < 0 ? -errno : result;
}

static socklen_t put_address(const struct sock_options *o, const struct tcpwhy_addr *a,
			     uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (o->family == TCPWHY_IPV4) {
		memcpy(&in.sin_addr, a->b + 12, 4);
		memcpy(to, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, a->b, 16);
	memcpy(to, &in6, sizeof(in6));
	return sizeof(in6);
}

/* Inside the namespace: a socket belongs to the one it was made in. */
static int make_socket(void *ctx)
{
	struct sock *s = ctx;
	const int family = s->o->family == TCPWHY_IPV4 ? AF_INET : AF_INET6;

	return (int)or_errno(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static bool set_option(struct sock *s, int fd, int level, int name, const char *text, int value)
{
	return sock_tell(s, SOCK_SETSOCKOPT,
			 or_errno(setsockopt(fd, level, name, &value, sizeof(value))), "%s, %d",
			 text, value);
}

#define OPTION(name) name, #name

/* Set before bind() and listen(): what is accepted inherits them. */
static bool set_options(struct sock *s, int fd)
{
	const struct sock_options *o = s->o;
	const struct {
		bool wanted;
		int level, name;
		const char *text;
		int value;
	} options[] = {
		{o->reuseaddr, SOL_SOCKET, OPTION(SO_REUSEADDR), 1},
		{o->reuseport, SOL_SOCKET, OPTION(SO_REUSEPORT), 1},
		{o->v6only, IPPROTO_IPV6, OPTION(IPV6_V6ONLY), 1},
		{o->freebind, IPPROTO_IP, OPTION(IP_FREEBIND), 1},
		{o->no_port, IPPROTO_IP, OPTION(IP_BIND_ADDRESS_NO_PORT), 1},
		{o->nodelay, IPPROTO_TCP, OPTION(TCP_NODELAY), 1},
		{o->rcvbuf >= 0, SOL_SOCKET, OPTION(SO_RCVBUF), o->rcvbuf},
		{o->sndbuf >= 0, SOL_SOCKET, OPTION(SO_SNDBUF), o->sndbuf},
	};
	const struct linger linger = {1, o->linger};
	bool ok = true;

	for (size_t i = 0; ok && i < sizeof(options) / sizeof(options[0]); i++)
		if (options[i].wanted)
			ok = set_option(s, fd, options[i].level, options[i].name, options[i].text,
					options[i].value);
	if (ok && o->linger >= 0)
		ok = sock_tell(
			s, SOCK_SETSOCKOPT,
			or_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger))),
			"SO_LINGER, {1, %d}", o->linger);
	if (ok && o->device)
		ok = sock_tell(s, SOCK_SETSOCKOPT,
			       or_errno(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->device,
						   (socklen_t)strlen(o->device))),
			       "SO_BINDTODEVICE, %s", o->device);
	return ok;
}

/* A socket with its options, in *fd. */
static bool open_socket(struct sock *s, int *fd)
{
	struct err err = {""};
	int made = netns_run(&s->ns, false, make_socket, s, &err);

	if (made < 0 && err.text[0]) {
		fprintf(stderr, "tcpwhy sock: %s\n", err.text);
		s->status = STATUS_UNDECIDED;
		return false;
	}
	if (!sock_tell(s, SOCK_SOCKET, made, "%s, SOCK_STREAM",
		       s->o->family == TCPWHY_IPV4 ? "AF_INET" : "AF_INET6"))
		return false;
	*fd = made;
	return set_options(s, made);
}

static bool bind_socket(struct sock *s, int fd, const struct tcpwhy_addr *a, uint16_t port)
{
	struct sockaddr_storage address;
	char text[ENDPOINT_TEXT_MAX];
	socklen_t len = put_address(s->o, a, port, &address);

	if (!sock_tell(s, port ? SOCK_BIND : SOCK_BIND_ANY,
		       or_errno(bind(fd, (struct sockaddr *)&address, len)), "%s",
		       name_endpoint(a, port, (uint8_t)s->o->family, text)))
		return false;
	if (!port)
		sock_tell_state(s, fd);
	return true;
}

/* With -v says what the kernel keeps of the connection then. SO_LINGER may make it wait. */
static void close_connection(struct sock *s)
{
	sigset_t none, before;

	if (s->fd < 0)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, &before);
	sock_tell(s, SOCK_CLOSE, or_errno(close(s->fd)), "%d", s->fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	sock_tell_rest(s);
	s->fd = -1;
	s->ends = (struct sock_ends){0};
}

/* ------------------------------------------------------------------------------------- the client
 */

static unsigned syns_again(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info.tcpi_total_retrans;
}

/* Until the handshake is over. What connect() that blocks would have returned. */
static long await_connection(struct sock *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	unsigned again = 0;
	int error = 0, ready;
	socklen_t len = sizeof(error);

	while (!(ready = sock_wait(&p, 1, s->o->verbose ? RETRY_LOOK_MS : -1))) {
		unsigned now = syns_again(s->fd);
		if (now != again)
			sock_note(s, "no answer yet: SYN sent again (%u)", now);
		again = now;
	}
	if (ready < 0)
		return -EINTR;
	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return -error;
}

static bool connect_socket(struct sock *s)
{
	const struct sock_options *o = s->o;
	struct sockaddr_storage address;
	char text[ENDPOINT_TEXT_MAX];
	socklen_t len = put_address(o, &o->addr, o->port, &address);
	long result = or_errno(connect(s->fd, (struct sockaddr *)&address, len));

	if (result == -EINPROGRESS)
		result = await_connection(s);
	bool ok = sock_tell(s, SOCK_CONNECT, result, "%s",
			    name_endpoint(&o->addr, o->port, (uint8_t)o->family, text));
	if (ok)
		sock_tell_connected(s);
	return ok;
}

static bool exchange(struct sock *s)
{
	return sock_pause(s, s->o->pause_start_ms) && sock_copy(s) &&
	       sock_pause(s, s->o->pause_close_ms);
}

static void run_client(struct sock *s)
{
	const struct sock_options *o = s->o;

	if (open_socket(s, &s->fd) &&
	    (!o->bound || bind_socket(s, s->fd, &o->local_addr, o->local_port)) &&
	    connect_socket(s))
		exchange(s);
	close_connection(s);
}

/* ------------------------------------------------------------------------------------- the server
 */

static bool listen_socket(struct sock *s)
{
	bool ok = sock_tell(s, SOCK_LISTEN, or_errno(listen(s->listener, s->o->backlog)), "%d",
			    s->o->backlog);

	if (ok)
		sock_tell_state(s, s->listener);
	return ok;
}

static bool accept_socket(struct sock *s)
{
	struct pollfd p = {.fd = s->listener, .events = POLLIN};

	if (sock_wait(&p, 1, -1) < 0)
		return false;
	/* Shows how many wait, before one of them is taken. */
	if (s->o->pause_accept_ms)
		sock_tell_state(s, s->listener);
	s->fd = (int)or_errno(accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	if (!sock_tell(s, SOCK_ACCEPT, s->fd, "%d", s->listener))
		return false;
	sock_tell_connected(s);
	return true;
}

static void run_server(struct sock *s)
{
	const struct sock_options *o = s->o;
	bool go_on = open_socket(s, &s->listener) &&
		     bind_socket(s, s->listener, &o->addr, o->port) && listen_socket(s) &&
		     sock_pause(s, o->pause_accept_ms);

	while (go_on) {
		/* A connection that failed is no reason not to serve the next. */
		if (accept_socket(s))
			exchange(s);
		else
			go_on = false;
		close_connection(s);
		go_on = go_on && o->keep && !stop && s->status != STATUS_UNDECIDED;
	}
	if (s->listener >= 0)
		sock_tell(s, SOCK_CLOSE, or_errno(close(s->listener)), "%d", s->listener);
}

/* ------------------------------------------------------------------------------------ the command
 */

/* A socket must not become the standard input or output that its caller left closed. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int run(const struct sock_options *o)
{
	struct sock s = {.o = o, .listener = -1, .fd = -1};
	struct err err;

	if (netns_open(o->netns, o->pid, &s.ns, &err))
		return command_failed("sock", false, err.text);
	catch_signals();
	clock_gettime(CLOCK_MONOTONIC, &s.start);
	if (o->server)
		run_server(&s);
	else
		run_client(&s);
	netns_close(&s.ns);
	return s.status;
}

int cmd_sock(int argc, char **argv)
{
	struct sock_options o;
	struct err err;

	if (sock_options_parse(argc, argv, &o, &err)) {
		fprintf(stderr, "tcpwhy sock: %s\n", err.text);
		return STATUS_USAGE;
	}
	if (o.help) {
		sock_options_help(stdout);
		return STATUS_OK;
	}
	if (o.version) {
		puts("tcpwhy " TCPWHY_VERSION);
		return STATUS_OK;
	}
	fill_standard_descriptors();
	return run(&o);
}
