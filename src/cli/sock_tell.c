/* SPDX-License-Identifier: MIT */
#include "cli/sock_tell.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "cli/command.h"
#include "live/live.h"
#include "live/sockdiag.h"
#include "report/name.h"

#define SETTLE_TRIES 100
#define SETTLE_NS    10000000L
#define INDENT       "         "
#define NSEC         1000000000ULL
#define ARGS_TEXT    256
#define ASK_TEXT     256

static const char *call_name(enum sock_call call)
{
	static const char *const names[] = {
		[SOCK_SOCKET] = "socket", [SOCK_SETSOCKOPT] = "setsockopt",
		[SOCK_BIND] = "bind",     [SOCK_BIND_ANY] = "bind",
		[SOCK_LISTEN] = "listen", [SOCK_CONNECT] = "connect",
		[SOCK_ACCEPT] = "accept", [SOCK_READ] = "read",
		[SOCK_WRITE] = "write",   [SOCK_SHUTDOWN] = "shutdown",
		[SOCK_CLOSE] = "close",
	};

	return names[call];
}

/* ------------------------------------------------------------------------ what an errno means here
 */

enum ask { ASK_NOTHING, ASK_BIND, ASK_CONNECT };

static const struct meaning {
	enum sock_call call;
	int error; /* 0: any other */
	enum ask ask;
	const char *means;
} meanings[] = {
	{SOCK_BIND, EADDRINUSE, ASK_BIND,
	 "the port is held, and this socket and its holders do not share it"},
	{SOCK_BIND, EADDRNOTAVAIL, ASK_BIND, "the address is not one of this host's"},
	{SOCK_BIND, EACCES, ASK_BIND,
	 "not allowed: below net.ipv4.ip_unprivileged_port_start without privilege?"},
	{SOCK_BIND, 0, ASK_BIND, NULL},
	{SOCK_BIND_ANY, EADDRINUSE, ASK_BIND,
	 "no port of net.ipv4.ip_local_port_range is free for this address"},
	{SOCK_BIND_ANY, EADDRNOTAVAIL, ASK_BIND, "the address is not one of this host's"},
	{SOCK_BIND_ANY, 0, ASK_BIND, NULL},
	{SOCK_LISTEN, EADDRINUSE, ASK_BIND,
	 "bind() let this socket share the port, but another listens on it"},
	{SOCK_LISTEN, 0, ASK_BIND, NULL},
	{SOCK_CONNECT, EADDRNOTAVAIL, ASK_CONNECT,
	 "no port can be used: each one, or the one bound, has a connection\n"
	 "          to this destination already, or belongs to a bind()"},
	{SOCK_CONNECT, ECONNREFUSED, ASK_NOTHING,
	 "a RST came back: nobody listens there, or something on the way says so"},
	{SOCK_CONNECT, ECONNRESET, ASK_NOTHING, "a RST came back, as the handshake ended"},
	{SOCK_CONNECT, ETIMEDOUT, ASK_NOTHING,
	 "no SYN was answered: lost on the way, dropped by a firewall or by a full\n"
	 "          accept queue, or nobody has that address"},
	{SOCK_CONNECT, EHOSTUNREACH, ASK_CONNECT, "the host cannot be reached from here"},
	{SOCK_CONNECT, ENETUNREACH, ASK_CONNECT, "no route leads there"},
	{SOCK_CONNECT, EINTR, ASK_NOTHING, "a signal ended the wait; no SYN was answered"},
	{SOCK_CONNECT, 0, ASK_CONNECT, NULL},
	{SOCK_READ, ECONNRESET, ASK_NOTHING,
	 "a RST came, from the peer or from something on the way"},
	{SOCK_READ, ETIMEDOUT, ASK_NOTHING, "the peer answers no more"},
	{SOCK_WRITE, ECONNRESET, ASK_NOTHING,
	 "a RST came, from the peer or from something on the way"},
	{SOCK_WRITE, EPIPE, ASK_NOTHING,
	 "a RST came after the peer's FIN: it had closed the whole connection"},
	{SOCK_SETSOCKOPT, ENODEV, ASK_NOTHING, "there is no device of that name here"},
	{SOCK_SETSOCKOPT, ENOPROTOOPT, ASK_NOTHING, "this kernel does not know the option"},
};

/* The rows of a call end with the one for any other errno, if it has one. */
static const struct meaning *meaning_of(enum sock_call call, int error)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].call == call && (meanings[i].error == error || !meanings[i].error))
			return &meanings[i];
	return NULL;
}

/* --------------------------------------------------------------------------- the question to ask
 */

static void add_place(struct text *t, const struct tcpwhy_addr *a, uint16_t port, uint8_t family)
{
	char place[ENDPOINT_TEXT_MAX];

	name_endpoint(a, port, family, place);
	/* Brackets are a pattern to a shell. */
	text_add(t, place[0] == '[' ? "'" : "");
	text_add(t, place);
	text_add(t, place[0] == '[' ? "'" : "");
}

static void add_if(struct text *t, bool given, const char *option, const char *value)
{
	if (!given)
		return;
	text_add(t, option);
	text_add(t, value);
}

static void add_bind(struct text *t, const struct sock_options *o)
{
	text_add(t, "tcpwhy bind ");
	if (o->server)
		add_place(t, &o->addr, o->port, (uint8_t)o->family);
	else
		add_place(t, &o->local_addr, o->local_port, (uint8_t)o->family);
	add_if(t, o->v6only, " --v6only", "");
	add_if(t, o->freebind, " --freebind", "");
	add_if(t, !o->server, " --no-listen", "");
}

static void add_connect(struct text *t, const struct sock_options *o)
{
	char address[ADDRESS_TEXT_MAX];

	text_add(t, "tcpwhy connect ");
	add_place(t, &o->addr, o->port, (uint8_t)o->family);
	if (!o->bound)
		return;
	text_add(t, " --from ");
	if (o->local_port)
		add_place(t, &o->local_addr, o->local_port, (uint8_t)o->family);
	else
		text_add(t, address_format(&o->local_addr, address));
	add_if(t, !o->local_port && !o->no_port, " --bind-first", "");
}

static const char *ask_text(const struct sock_options *o, enum ask ask, char out[static ASK_TEXT])
{
	struct text t = text_in(out, ASK_TEXT);
	const bool binds = ask == ASK_BIND || o->bound;

	if (ask == ASK_BIND)
		add_bind(&t, o);
	else
		add_connect(&t, o);
	add_if(&t, binds && o->reuseaddr, " --reuseaddr", "");
	add_if(&t, binds && o->reuseport, " --reuseport", "");
	add_if(&t, o->device, " --device ", o->device);
	add_if(&t, o->netns, " --netns ", o->netns);
	if (o->pid) {
		text_add(&t, " --pid ");
		text_number(&t, (uint64_t)o->pid);
	}
	return out;
}

/* -------------------------------------------------------------------------------------- the calls
 */

static double elapsed_s(const struct sock *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - s->start.tv_sec) +
	       (double)(now.tv_nsec - s->start.tv_nsec) / 1e9;
}

/* The kernel does not know which fe80::1 is meant: that of the call's address. */
static bool lacks_device(const struct sock_options *o, enum sock_call call)
{
	const bool local = call == SOCK_BIND || call == SOCK_BIND_ANY;

	if (o->device || !(local || call == SOCK_CONNECT))
		return false;
	return address_is_link_local6(local && !o->server ? &o->local_addr : &o->addr);
}

static const char *means(const struct sock_options *o, enum sock_call call, int error,
			 const struct meaning *m)
{
	if (error == EINVAL && lacks_device(o, call))
		return "a link-local address means something only with its device:\n"
		       "          ADDRESS%IF, or --device IF";
	return m && m->means ? m->means : strerror(error);
}

static void tell_failure(const struct sock *s, enum sock_call call, const char *args, int error)
{
	const struct meaning *m = meaning_of(call, error);
	char ask[ASK_TEXT];

	fprintf(stderr, "FAILED    %s(%s) = -1 %s\n", call_name(call), args, name_errno(error));
	fprintf(stderr, "means     %s\n", means(s->o, call, error, m));
	if (m && m->ask != ASK_NOTHING)
		fprintf(stderr, "ask       %s\n", ask_text(s->o, m->ask, ask));
}

bool sock_tell(struct sock *s, enum sock_call call, long result, const char *format, ...)
{
	char args[ARGS_TEXT];
	va_list list;

	va_start(list, format);
	vsnprintf(args, sizeof(args), format, list);
	va_end(list);
	if (s->o->verbose)
		fprintf(stderr, "%7.3f  %s(%s) = %ld%s%s\n", elapsed_s(s), call_name(call), args,
			result < 0 ? -1 : result, result < 0 ? " " : "",
			result < 0 ? name_errno((int)-result) : "");
	if (result >= 0)
		return true;
	if (call != SOCK_SOCKET && call != SOCK_CLOSE)
		sock_tell_state(s, s->fd < 0 ? s->listener : s->fd);
	tell_failure(s, call, args, (int)-result);
	s->status = STATUS_REFUSED;
	return false;
}

void sock_note(const struct sock *s, const char *format, ...)
{
	va_list list;

	if (!s->o->verbose)
		return;
	fprintf(stderr, "%7.3f  ", elapsed_s(s));
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

void sock_tell_io(struct sock *s, const char *what, int error)
{
	fprintf(stderr, "tcpwhy sock: %s: %s\n", what, strerror(error));
	s->status = STATUS_UNDECIDED;
}

/* -------------------------------------------------------------------------------------- the state
 */

static void take_end(const struct sockaddr_storage *from, struct tcpwhy_addr *addr, uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

	if (from->ss_family == AF_INET) {
		*addr = address_v4((const uint8_t *)&in->sin_addr);
		*port = ntohs(in->sin_port);
	} else {
		memcpy(addr->b, &in6->sin6_addr, sizeof(addr->b));
		*port = ntohs(in6->sin6_port);
	}
}

static void ends_of(int fd, struct sock_ends *out)
{
	struct sockaddr_storage local = {0}, peer = {0};
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);

	*out = (struct sock_ends){0};
	getsockname(fd, (struct sockaddr *)&local, &local_len);
	out->family = local.ss_family == AF_INET ? TCPWHY_IPV4 : TCPWHY_IPV6;
	take_end(&local, &out->local, &out->local_port);
	if (!getpeername(fd, (struct sockaddr *)&peer, &peer_len))
		take_end(&peer, &out->peer, &out->peer_port);
}

static void print_ends(const char *state, const struct sock_ends *e)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];

	fprintf(stderr, INDENT "%s  %s", state,
		name_endpoint(&e->local, e->local_port, e->family, local));
	if (e->peer_port)
		fprintf(stderr, " -> %s", name_endpoint(&e->peer, e->peer_port, e->family, peer));
}

void sock_tell_state(const struct sock *s, int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	struct sock_ends ends;

	if (!s->o->verbose || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return;
	ends_of(fd, &ends);
	if (!ends.peer_port && fd == s->fd && s->ends.peer_port)
		ends = s->ends;
	print_ends(tcpwhy_state_name(info.tcpi_state), &ends);
	/* Of a listener these two fields are its accept queue (tcp_get_info()). */
	if (info.tcpi_state == TCP_LISTEN)
		fprintf(stderr, "  accept queue %u, backlog %u", info.tcpi_unacked,
			info.tcpi_sacked);
	fputc('\n', stderr);
}

static void wait_a_moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = SETTLE_NS}, NULL);
}

void sock_tell_shut(const struct sock *s)
{
	struct tcp_info info = {.tcpi_state = TCP_FIN_WAIT1};
	socklen_t len = sizeof(info);

	for (int i = 0; s->o->verbose && i < SETTLE_TRIES; i++) {
		if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
		    (info.tcpi_state != TCP_FIN_WAIT1 && info.tcpi_state != TCP_LAST_ACK &&
		     info.tcpi_state != TCP_CLOSING))
			break;
		wait_a_moment();
	}
	sock_tell_state(s, s->fd);
}

void sock_tell_connected(struct sock *s)
{
	ends_of(s->fd, &s->ends);
	sock_tell_state(s, s->fd);
}

struct rest {
	const struct sock_ends *ends;
	struct snapshot_owner found;
};

static int look_for_rest(void *ctx)
{
	struct rest *rest = ctx;
	const struct sock_ends *e = rest->ends;
	struct snapshot snap = {0};
	const struct snapshot_scope scope = {
		.port = e->local_port,
		.owners_wanted = true,
		.one_peer = true,
		.peer = e->peer,
		.peer_port = e->peer_port,
	};
	int r = sockdiag_read(&scope, &snap);

	for (size_t i = 0; i < snap.owners_n; i++) {
		const struct tcpwhy_owner *o = &snap.owners[i].o;
		if (o->peer_port == e->peer_port && address_equal(&o->peer, &e->peer) &&
		    address_equal(&o->local, &e->local))
			rest->found = snap.owners[i];
	}
	snapshot_free(&snap);
	return r;
}

static void print_rest(const struct rest *rest)
{
	const struct tcpwhy_owner *o = &rest->found.o;
	struct timespec now;
	char left[32];
	struct text t = text_in(left, sizeof(left));

	if (!o->state) {
		fputs(INDENT "gone: the kernel keeps nothing of it\n", stderr);
		return;
	}
	print_ends(tcpwhy_state_name(o->state), rest->ends);
	clock_gettime(CLOCK_MONOTONIC, &now);
	const uint64_t now_ns = (uint64_t)now.tv_sec * NSEC + (uint64_t)now.tv_nsec;
	if (o->timewait && o->expires_ns > now_ns) {
		text_seconds(&t, o->expires_ns - now_ns);
		text_add(&t, " left");
	} else {
		text_add(&t, rest->found.inode ? "open elsewhere" : "no process");
	}
	fprintf(stderr, "  %s\n", left);
}

/* What it ends in, unless the peer lets it wait: TIME_WAIT, or nothing. That is looked for twice: a
 * TIME_WAIT that takes its socket's place is not listed until its references are set
 * (inet_twsk_hashdance_schedule()). */
static bool is_settled(const struct rest *rest, int *absent)
{
	if (!rest->found.o.state)
		return ++*absent == 2;
	*absent = 0;
	return rest->found.o.state == TCPWHY_TIME_WAIT;
}

void sock_tell_rest(const struct sock *s)
{
	struct rest rest;
	struct err err;
	int failed = 0, absent = 0;

	if (!s->o->verbose || !s->ends.peer_port)
		return;
	for (int i = 0; i < SETTLE_TRIES && !failed; i++) {
		if (i)
			wait_a_moment();
		rest = (struct rest){.ends = &s->ends};
		failed = netns_run(&s->ns, false, look_for_rest, &rest, &err);
		if (is_settled(&rest, &absent))
			break;
	}
	if (failed)
		fputs(INDENT "what is left of it could not be listed\n", stderr);
	else
		print_rest(&rest);
}
