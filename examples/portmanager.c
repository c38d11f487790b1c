/* SPDX-License-Identifier: MIT
 *
 * portmanager.c - the rule book as the port manager of a TCP stack in user space
 *
 * Such a stack must choose local ports, know when there are none, and keep a port back while its
 * old connection is in TIME_WAIT. The engine does that by the rules of a chosen Linux release; the
 * stack tells it what was opened, closed and heard from the other side, and what time it is. Here
 * the other side is imaginary and the time jumps. Needs tcpwhy/engine.h, libengine.a and libbase.a;
 * nothing of it touches the system.
 *
 * portmanager [RELEASE]     6.18.y if none is named; -h shows them
 *
 * make examples builds build/examples/portmanager; or, after make:
 * gcc -Iinclude examples/portmanager.c -Lbuild -lengine -lbase -o portmanager
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrorname_np() */
#endif

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpwhy/engine.h"

#define SECOND UINT64_C(1000000000)

enum { LOW = 61000, HIGH = 61007, PORTS = HIGH - LOW + 1, HTTPS = 443 };

static const struct tcpwhy_addr us = {{[10] = 0xff, 0xff, 192, 0, 2, 1}};
static const struct tcpwhy_addr first = {{[10] = 0xff, 0xff, 192, 0, 2, 80}};
static const struct tcpwhy_addr second = {{[10] = 0xff, 0xff, 192, 0, 2, 81}};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

/* The release's own dice. A real stack draws from getrandom(); here two runs shall be alike. */
static uint32_t draw(void *ctx, uint32_t n)
{
	uint64_t *random = ctx;

	*random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)((*random >> 32) * n >> 32);
}

/* connect(): the engine chooses the port, the stack would send the SYN, and its SYN-ACK comes. 0 if
 * there is no port; the verdict says why. */
static tcpwhy_sock open_to(struct tcpwhy_engine *e, const struct tcpwhy_addr *peer,
			   struct tcpwhy_verdict *v)
{
	static uint64_t random = 1;
	const struct tcpwhy_choice choice = {.draw = draw, .ctx = &random};
	enum tcpwhy_sent sent;
	tcpwhy_sock s;

	if (tcpwhy_socket(e, TCPWHY_IPV4, 0, false, &s))
		return 0;
	tcpwhy_connect(e, s, peer, HTTPS, &us, &choice, v);
	if (v->answer == TCPWHY_OK && !tcpwhy_established(e, s))
		return s;
	tcpwhy_close(e, s, &sent);
	return 0;
}

/* We close first: our FIN, its ACK, the other side's FIN, as the stack hears of them. So TIME_WAIT
 * is ours, and the engine keeps it without the socket. */
static void close_first(struct tcpwhy_engine *e, tcpwhy_sock s)
{
	enum tcpwhy_sent sent;

	tcpwhy_shutdown(e, s, TCPWHY_SHUT_WR, &sent);
	tcpwhy_fin_acked(e, s, &sent);
	tcpwhy_fin_in(e, s);
	tcpwhy_close(e, s, &sent);
}

static double seconds(uint64_t ns)
{
	return (double)ns / (double)SECOND;
}

/* How the range stands for the first destination, without a change. */
static struct tcpwhy_verdict show(const struct tcpwhy_engine *e)
{
	const struct tcpwhy_connect_request q = {
		.peer = first, .source = us, .peer_port = HTTPS, .family = TCPWHY_IPV4};
	struct tcpwhy_verdict v;

	tcpwhy_would_connect(e, &q, &v);
	printf("%5.1f s  %u free, %u taken, %u TIME_WAIT to be taken over", seconds(tcpwhy_now(e)),
	       v.range_free, v.range_taken, v.range_reusable);
	if (v.answer == TCPWHY_REFUSED && v.next_free_ns)
		printf("; the next is back at %.1f s", seconds(v.next_free_ns));
	puts("");
	return v;
}

static void connect_and_tell(struct tcpwhy_engine *e, const struct tcpwhy_addr *peer)
{
	struct tcpwhy_verdict v;
	const tcpwhy_sock s = open_to(e, peer, &v);

	printf("%5.1f s  connect to 192.0.2.%d: ", seconds(tcpwhy_now(e)), peer->b[15]);
	if (s)
		printf("port %d%s\n", v.port, v.first ? ", instead of its TIME_WAIT" : "");
	else
		printf("%s, %s\n", strerrorname_np(v.error), tcpwhy_rule_info(v.rule)->id);
}

static void play(struct tcpwhy_engine *e)
{
	struct tcpwhy_sysctls sysctls = *tcpwhy_sysctls(e);
	struct tcpwhy_verdict v;
	tcpwhy_sock open[PORTS];

	sysctls.port_low = LOW;
	sysctls.port_high = HIGH;
	tcpwhy_set_sysctls(e, &sysctls);
	printf("%5.1f s  connect to 192.0.2.80: ports", 0.0);
	for (int i = 0; i < PORTS; i++) {
		open[i] = open_to(e, &first, &v);
		printf(" %d", v.port);
	}
	puts("");
	connect_and_tell(e, &first);
	connect_and_tell(e, &second);

	for (int i = 0; i < PORTS; i++) {
		tcpwhy_advance(e, (uint64_t)(i + 1) * SECOND);
		close_first(e, open[i]);
	}
	printf("%5.1f s  closed one a second, in the order of their opening\n", (double)PORTS);
	tcpwhy_advance(e, (PORTS + 2) * SECOND);
	v = show(e);
	connect_and_tell(e, &first);
	tcpwhy_advance(e, v.next_free_ns);
	connect_and_tell(e, &first);

	puts("         tcp_tw_reuse = 1");
	sysctls.tw_reuse = 1;
	tcpwhy_set_sysctls(e, &sysctls);
	show(e);
	connect_and_tell(e, &first);
}

static void help(FILE *out)
{
	fputs("usage: portmanager [RELEASE]\n\n"
	      "Plays eight ports and their TIME_WAIT by the rules of a release of Linux (6.18.y):\n"
	      " ",
	      out);
	for (size_t i = 0; tcpwhy_row_at(i); i++)
		fprintf(out, " %s", tcpwhy_row_at(i)->name);
	fputs("\n", out);
}

/* The row that is asked for; NULL: none is, and *status is what to end with. */
static const struct tcpwhy_row *row_of(int argc, char **argv, int *status)
{
	const char *name = argc > 1 ? argv[1] : "6.18.y";
	const struct tcpwhy_row *row = tcpwhy_row_find(name);

	if (!strcmp(name, "-h") || !strcmp(name, "--help")) {
		*status = 0;
		help(stdout);
		return NULL;
	}
	*status = 2;
	if (!row)
		fprintf(stderr, "portmanager: '%s' is not a release whose rules are known\n", name);
	else if (argc > 2)
		fprintf(stderr, "portmanager: '%s' is one argument too many\n", argv[2]);
	if (row && argc <= 2)
		return row;
	help(stderr);
	return NULL;
}

static int told(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	fprintf(stderr, "portmanager: standard output: %s\n", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	const struct tcpwhy_memory memory = {.resize = resize};
	int status;
	const struct tcpwhy_row *row = row_of(argc, argv, &status);

	if (!row)
		return told(status);
	struct tcpwhy_engine *e = tcpwhy_engine_new(row, &memory);
	if (!e) {
		fputs("portmanager: no memory\n", stderr);
		return 1;
	}
	printf("the rules of %s, ports %d to %d\n", row->name, LOW, HIGH);
	play(e);
	tcpwhy_engine_free(e);
	return told(0);
}
