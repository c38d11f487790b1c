/* SPDX-License-Identifier: MIT
 *
 * A port range of a few ports, filled or nearly filled in every way it can be: connections that
 * live, TIME_WAIT with and without timestamps, orphans in FIN_WAIT2, ports that bind() or a
 * listener owns, reserved ports; then questions of every form about some destination. On loopback
 * addresses and others, of both families.
 */
#include "crowd/crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"

/* Not in the C library's headers everywhere. */
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { HELD = 1024, QUESTIONS = 6, SERVERS = 7 };

/* Where the crowd connects to; each has a listener. */
static const char *const servers[SERVERS] = {"127.0.0.1:7001", "127.0.0.2:7001", "10.9.0.1:7001",
					     "10.9.1.1:7002",  "127.0.0.1:7002", "[::1]:7001",
					     "[fd00::1]:7002"};
/* Where nobody listens, or no route leads. */
static const char *const others[] = {"203.0.113.1:80", "224.0.0.1:80", "10.9.0.255:80",
				     "0.0.0.0:7001",   "[::]:7001",    "[2001:db8::1]:80",
				     "[ff02::1]:80",   "[fe80::5]:80", "[::ffff:127.0.0.1]:7001",
				     "127.0.0.1:9"};
static const char *const sources4[] = {"127.0.0.1", "127.0.0.3", "10.9.0.1", "10.9.1.1"};
static const char *const sources6[] = {"::1", "fd00::1", "fd01::1"};

struct end {
	struct tcpwhy_addr addr;
	enum tcpwhy_family family;
	uint16_t port;
};

struct world {
	uint64_t x; /* the random state */
	unsigned low, count;
	int listeners[SERVERS];
	int held[HELD];
	size_t held_n;
	struct end focus; /* the destination most connections go to */
	struct tcpwhy_addr from;
};

struct ask {
	struct end to;
	bool has_from, bind_first, reuseaddr, reuseport, lo;
	struct tcpwhy_addr from;
	uint16_t from_port;
};

/* ------------------------------------------------------------------------------- small things */

static bool set_sysctl(const char *name, const char *value)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, value, strlen(value));

	if (fd >= 0)
		close(fd);
	return n >= 0;
}

static bool set_number(const char *name, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	return set_sysctl(name, text);
}

static struct end end_of(const char *text)
{
	struct end e = {.port = 0};

	endpoint_parse(text, &e.addr, &e.family, &e.port);
	return e;
}

static socklen_t put(const struct tcpwhy_addr *a, uint16_t port, enum tcpwhy_family family,
		     struct sockaddr_storage *to)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (family == TCPWHY_IPV4) {
		memcpy(&in.sin_addr, a->b + 12, 4);
		memcpy(to, &in, sizeof(in));
		return sizeof(in);
	}
	memcpy(&in6.sin6_addr, a->b, 16);
	memcpy(to, &in6, sizeof(in6));
	return sizeof(in6);
}

static void on(int fd, int level, int option)
{
	setsockopt(fd, level, option, &(int){1}, sizeof(int));
}

static int new_socket(enum tcpwhy_family family)
{
	return socket(family == TCPWHY_IPV4 ? AF_INET : AF_INET6,
		      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* With a RST, so that nothing stays. */
static void vanish(int fd)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void hold(struct world *w, int fd)
{
	if (w->held_n < HELD)
		w->held[w->held_n++] = fd;
	else
		vanish(fd);
}

static int bind_to(int fd, const struct tcpwhy_addr *a, uint16_t port, enum tcpwhy_family family)
{
	struct sockaddr_storage to;
	socklen_t len = put(a, port, family, &to);

	return bind(fd, (struct sockaddr *)&to, len) ? errno : 0;
}

/* 0 if the port was found, whatever becomes of the SYN. */
static int connect_to(int fd, const struct end *e)
{
	struct sockaddr_storage to;
	socklen_t len = put(&e->addr, e->port, e->family, &to);

	if (!connect(fd, (struct sockaddr *)&to, len) || errno == EINPROGRESS)
		return 0;
	return errno == ECONNREFUSED ? 0 : errno;
}

static struct tcpwhy_addr some_source(struct world *w, enum tcpwhy_family family)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	address_parse(family == TCPWHY_IPV4 ? sources4[below(&w->x, 4)] : sources6[below(&w->x, 3)],
		      &a, &f);
	return a;
}

/* ----------------------------------------------------------------------------------- the crowd */

static bool open_listeners(struct world *w)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		const struct end e = end_of(servers[i]);
		w->listeners[i] = new_socket(e.family);
		on(w->listeners[i], SOL_SOCKET, SO_REUSEADDR);
		if (w->listeners[i] < 0 || bind_to(w->listeners[i], &e.addr, e.port, e.family) ||
		    listen(w->listeners[i], 256))
			return false;
	}
	return true;
}

/* Both ends of what was just connected; -1 if nobody came. */
static int take_child(struct world *w)
{
	for (unsigned i = 0; i < SERVERS; i++) {
		int child = accept4(w->listeners[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (child >= 0)
			return child;
	}
	return -1;
}

static void drain(void *ctx)
{
	struct world *w = ctx;

	for (int child; (child = take_child(w)) >= 0;)
		vanish(child);
}

/* What becomes of a connection. */
static void settle(struct world *w, int fd)
{
	int child = take_child(w);
	unsigned fate = below(&w->x, 8);

	if (child < 0) {
		hold(w, fd);
	} else if (fate < 3) {
		hold(w, fd);
		hold(w, child);
	} else if (fate < 6) { /* TIME_WAIT here */
		close(fd);
		close(child);
	} else if (fate == 6) { /* an orphan in FIN_WAIT2 */
		close(fd);
		hold(w, child);
	} else { /* TIME_WAIT there: the port is free */
		close(child);
		close(fd);
	}
}

static void connect_one(struct world *w)
{
	bool focused = below(&w->x, 5);
	struct end to = focused ? w->focus : end_of(servers[below(&w->x, SERVERS)]);
	struct tcpwhy_addr from = focused ? w->from : some_source(w, to.family);
	int fd = new_socket(to.family);

	if (below(&w->x, 8) == 0)
		set_number("tcp_timestamps", below(&w->x, 2));
	if (below(&w->x, 12) == 0)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	if (below(&w->x, 10))
		on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
	if (bind_to(fd, &from, 0, to.family) || connect_to(fd, &to))
		vanish(fd);
	else
		settle(w, fd);
}

/* Sockets that take a port by name: bound, listening, or connected from there. */
static void bind_one(struct world *w)
{
	enum tcpwhy_family family = below(&w->x, 3) ? TCPWHY_IPV4 : TCPWHY_IPV6;
	struct tcpwhy_addr from = some_source(w, family);
	uint16_t port = (uint16_t)(w->low + below(&w->x, w->count));
	int fd = new_socket(family);
	unsigned kind = below(&w->x, 3);

	if (below(&w->x, 2))
		on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (bind_to(fd, &from, port, family)) {
		close(fd);
		return;
	}
	if (kind == 1)
		listen(fd, 4);
	struct end to = w->focus.family == family ? w->focus : end_of(servers[family == 4 ? 0 : 5]);
	if (kind == 2 && connect_to(fd, &to))
		vanish(fd);
	else if (kind == 2)
		settle(w, fd);
	else
		hold(w, fd);
}

static bool set_up(struct world *w)
{
	char text[64];

	w->low = 20000 + below(&w->x, 3);
	w->count = 2 + below(&w->x, 39);
	snprintf(text, sizeof(text), "%u %u", w->low, w->low + w->count - 1);
	if (!set_sysctl("ip_local_port_range", text))
		return false;
	text[0] = '\0';
	for (unsigned i = below(&w->x, 3); i > 0; i--) {
		size_t n = strlen(text);
		snprintf(text + n, sizeof(text) - n, "%s%u", n ? "," : "",
			 w->low + below(&w->x, w->count));
	}
	return set_sysctl("ip_local_reserved_ports", text[0] ? text : "\n") &&
	       set_number("tcp_tw_reuse", below(&w->x, 3)) &&
	       set_number("tcp_tw_reuse_delay", below(&w->x, 2) ? 1 : 1000) &&
	       set_number("tcp_timestamps", below(&w->x, 4) != 0) &&
	       set_number("ip_autobind_reuse", below(&w->x, 6) == 0);
}

static bool make_crowd(struct world *w)
{
	w->focus = end_of(servers[below(&w->x, SERVERS)]);
	w->from = some_source(w, w->focus.family);
	if (!set_up(w) || !open_listeners(w))
		return false;
	for (unsigned i = below(&w->x, 5); i > 0; i--)
		bind_one(w);
	for (unsigned i = w->count + below(&w->x, w->count + 4); i > 0; i--)
		connect_one(w);
	/* So that some of TIME_WAIT are old enough and some are not. */
	if (below(&w->x, 6) == 0)
		usleep(300000 + below(&w->x, 900) * 1000);
	/* Nearly full: somebody goes, and leaves nothing. */
	for (unsigned i = below(&w->x, 3); i > 0 && w->held_n; i--) {
		size_t k = below(&w->x, (uint32_t)w->held_n);
		vanish(w->held[k]);
		w->held[k] = w->held[--w->held_n];
	}
	return set_number("tcp_tw_reuse", below(&w->x, 3)) && set_number("tcp_timestamps", 1);
}

static void close_all(struct world *w)
{
	drain(w);
	for (size_t i = 0; i < w->held_n; i++)
		vanish(w->held[i]);
	for (unsigned i = 0; i < SERVERS; i++)
		if (w->listeners[i] >= 0)
			close(w->listeners[i]);
}

/* ------------------------------------------------------------------------------- the questions */

static struct ask some_question(struct world *w)
{
	struct ask q = {.to = w->focus, .from = w->from, .has_from = below(&w->x, 4)};

	if (below(&w->x, 3) == 0)
		q.to = end_of(servers[below(&w->x, SERVERS)]);
	else if (below(&w->x, 8) == 0)
		q.to = end_of(others[below(&w->x, sizeof(others) / sizeof(others[0]))]);
	if (q.to.family != w->focus.family || below(&w->x, 4) == 0)
		q.from = some_source(w, q.to.family);
	if (address_is_v4(&q.to.addr) != address_is_v4(&q.from))
		q.has_from = false;
	if (below(&w->x, 30) == 0)
		q.from.b[13] ^= 77; /* an address that is not there, but in 127.0.0.0/8 */
	if (q.has_from && below(&w->x, 4) == 0)
		q.from_port = (uint16_t)(w->low + below(&w->x, w->count));
	else
		q.bind_first = below(&w->x, 5) == 0;
	if (q.bind_first || q.from_port) {
		q.reuseaddr = below(&w->x, 2);
		q.reuseport = below(&w->x, 6) == 0;
	}
	q.lo = below(&w->x, 10) == 0;
	return q;
}

static void arguments(const struct ask *q, struct args *a)
{
	char text[ARG_MAX_TEXT];

	a->n = 0;
	args_add(a, "tcpwhy");
	args_add(a, "connect");
	args_add(a, "--json");
	args_add(a, endpoint_format(&q->to.addr, q->to.port, q->to.family == TCPWHY_IPV6, text));
	if (q->has_from) {
		args_add(a, "--from");
		args_add(a, q->from_port ? endpoint_format(&q->from, q->from_port,
							   q->to.family == TCPWHY_IPV6, text)
					 : address_format(&q->from, text));
	}
	args_add_if(a, q->bind_first, "--bind-first");
	args_add_if(a, q->reuseaddr, "--reuseaddr");
	args_add_if(a, q->reuseport, "--reuseport");
	args_add_if(a, q->lo, "--device");
	args_add_if(a, q->lo, "lo");
}

bool connect_really(const void *question, struct outcome_pair *happened)
{
	const struct ask *q = question;
	static const struct tcpwhy_addr any6;
	struct tcpwhy_addr from = q->to.family == TCPWHY_IPV4 ? address_v4_number(0) : any6;
	int fd = new_socket(q->to.family), error = 0;

	if (fd < 0)
		return false;
	if (q->lo)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	if (q->reuseaddr)
		on(fd, SOL_SOCKET, SO_REUSEADDR);
	if (q->reuseport)
		on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (!q->bind_first && !q->from_port)
		on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
	if (q->has_from)
		from = q->from;
	if (q->has_from || q->bind_first)
		error = bind_to(fd, &from, q->from_port, q->to.family);
	if (error) {
		note(happened, error, "bind");
	} else {
		error = connect_to(fd, &q->to);
		note(happened, error, "connect");
	}
	vanish(fd);
	return true;
}

static void print_state(void)
{
	char line[256];
	FILE *f = popen("sysctl net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports "
			"net.ipv4.tcp_tw_reuse net.ipv4.tcp_tw_reuse_delay "
			"net.ipv4.ip_autobind_reuse; ss -Htanoe",
			"r");

	while (f && fgets(line, sizeof(line), f))
		printf("#   %s", line);
	if (f)
		pclose(f);
	fflush(stdout);
}

bool connect_crowd(const struct options *o, uint64_t seed, struct tally *t, struct err *err)
{
	static struct world w;
	struct outcome_pair said, happened;
	struct args a;
	bool works;

	w = (struct world){.x = seed};
	memset(w.listeners, -1, sizeof(w.listeners));
	works = make_crowd(&w);
	t->crowds++;
	for (unsigned i = 0; i < QUESTIONS && works; i++) {
		const struct ask q = some_question(&w);
		const struct asking asking = {&q, sizeof(q), 'c', connect_really, drain, &w};
		bool good = true;
		arguments(&q, &a);
		works = ask_tcpwhy(o->tcpwhy, &a, &said) && connect_really(&q, &happened);
		drain(&w);
		if (works)
			good = score(o, &a, &said, &happened, t) != SCORE_WRONG &&
			       cures_type(o, &asking, &a, &said, t);
		if (!good) {
			printf("# seed %llu\n", (unsigned long long)seed);
			print_state();
		}
	}
	if (!works)
		snprintf(err->text, sizeof(err->text),
			 "%s gave no JSON, or the crowd could not be made", o->tcpwhy);
	close_all(&w);
	return works;
}
