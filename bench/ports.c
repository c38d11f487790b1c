/* SPDX-License-Identifier: MIT
 *
 * ports.c - what it costs to find a source port: the engine, a plain transcription, the kernel
 *
 * 1. allocate + release with 1,000, 1 million and 10 million live connections (a random one goes, a
 * new one comes), destinations of 1,000 connections each; memory per connection; the largest single
 * call.
 * 2. one destination with 10 to 100 % of 28,232 ports used: engine against probe by probe, and
 * against the real connect() of this kernel on a range of 2,000 ports (SYN_SENT towards an address
 * nobody answers for).
 *
 * Absolute times depend on the host; the ratios are what is meant.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "figures.h"

#include "base/address.h"
#include "live/heap.h"

enum { LOW = 32768, HIGH = 60999, PORTS = HIGH - LOW + 1 };

static uint64_t rng_state = 1;

static uint64_t random64(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint32_t draw(void *ctx, uint32_t n)
{
	(void)ctx;
	return (uint32_t)((random64() >> 32) * n >> 32);
}

static const struct tcpwhy_choice drawn = {.draw = draw};

static struct tcpwhy_engine *engine_new(void)
{
	return tcpwhy_engine_new(tcpwhy_row_find("6.18.y"), &heap_memory);
}

/* ----------------------------------------------------------------------------------- the engine */

static const uint32_t source_number = 0x0a000002;

static struct tcpwhy_addr peer_of(uint32_t destination)
{
	return address_v4_number(0x0b000000 + destination);
}

/* 0 if no port was left. */
static tcpwhy_sock allocate(struct tcpwhy_engine *e, uint32_t destination)
{
	const struct tcpwhy_addr source = address_v4_number(source_number),
				 peer = peer_of(destination);
	struct tcpwhy_verdict v;
	enum tcpwhy_sent sent;
	tcpwhy_sock s;

	if (tcpwhy_socket(e, TCPWHY_IPV4, 0, false, &s))
		return 0;
	tcpwhy_connect(e, s, &peer, 80, &source, &drawn, &v);
	if (v.answer == TCPWHY_OK)
		return s;
	tcpwhy_close(e, s, &sent);
	return 0;
}

static void release(struct tcpwhy_engine *e, tcpwhy_sock s)
{
	enum tcpwhy_sent sent;

	tcpwhy_close(e, s, &sent);
}

static void bench_live(uint32_t live)
{
	enum { OPERATIONS = 1000000, EACH = 1000 };
	struct tcpwhy_engine *e = engine_new();
	tcpwhy_sock *s = malloc(live * sizeof(*s));
	uint32_t destinations = live / EACH;
	uint64_t worst = 0, start;

	for (uint32_t i = 0; i < live; i++) {
		start = now_ns();
		s[i] = allocate(e, i % destinations);
		const uint64_t took = now_ns() - start;
		worst = took > worst ? took : worst;
	}
	start = now_ns();
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		const uint32_t k = (uint32_t)((random64() >> 32) * live >> 32);
		release(e, s[k]);
		s[k] = allocate(e, draw(NULL, destinations));
	}
	const double each = (double)(now_ns() - start) / OPERATIONS;
	printf("live %8u   allocate+release %6.0f ns   %5.1f bytes a connection   largest call "
	       "while filling %.1f ms\n",
	       live, each, (double)tcpwhy_engine_bytes(e) / live, (double)worst / 1e6);
	tcpwhy_engine_free(e);
	free(s);
}

/* -------------------------------------------------------------------------------- transcription */

/* One destination, as the kernel searches it: bucket by bucket, and the 4-tuple in a hash table. */
struct plain {
	struct node {
		uint16_t port;
		uint32_t next;
	} node[PORTS];
	uint32_t head[1 << 15], free;
	struct {
		bool used, connect_only;
	} bucket[65536];
};

static uint32_t plain_hash(uint16_t port)
{
	return (port * 0x9e3779b1u) >> 17;
}

static bool plain_established(const struct plain *p, uint16_t port)
{
	uint32_t i = p->head[plain_hash(port)];

	while (i && p->node[i - 1].port != port)
		i = p->node[i - 1].next;
	return i != 0;
}

static uint16_t plain_allocate(struct plain *p)
{
	const uint32_t offset = draw(NULL, PORTS) & ~1u;

	for (uint32_t parity = 0; parity < 2; parity++) {
		uint32_t port = LOW + offset + parity;
		for (uint32_t i = 0; i < PORTS; i += 2, port += 2) {
			if (port > HIGH)
				port -= PORTS;
			if (p->bucket[port].used &&
			    (!p->bucket[port].connect_only || plain_established(p, (uint16_t)port)))
				continue;
			const uint32_t n = p->free;
			p->free = p->node[n - 1].next;
			p->node[n - 1] =
				(struct node){(uint16_t)port, p->head[plain_hash((uint16_t)port)]};
			p->head[plain_hash((uint16_t)port)] = n;
			p->bucket[port].used = p->bucket[port].connect_only = true;
			return (uint16_t)port;
		}
	}
	return 0;
}

static void plain_release(struct plain *p, uint16_t port)
{
	uint32_t *link = &p->head[plain_hash(port)];

	while (p->node[*link - 1].port != port)
		link = &p->node[*link - 1].next;
	const uint32_t n = *link;
	*link = p->node[n - 1].next;
	p->node[n - 1].next = p->free;
	p->free = n;
	p->bucket[port].used = false;
}

static double plain_cost(uint32_t used, uint32_t operations)
{
	static struct plain p;
	static uint16_t port[PORTS];

	memset(&p, 0, sizeof(p));
	for (uint32_t i = 0; i < PORTS; i++)
		p.node[i].next = i + 2 <= PORTS ? i + 2 : 0;
	p.free = 1;
	for (uint32_t i = 0; i < used; i++)
		port[i] = plain_allocate(&p);
	const uint64_t start = now_ns();
	for (uint32_t i = 0; i < operations; i++) {
		if (used == PORTS) {
			plain_allocate(&p);
			continue;
		}
		const uint16_t got = plain_allocate(&p);
		const uint32_t k = draw(NULL, used);
		plain_release(&p, port[k]);
		port[k] = got;
	}
	return (double)(now_ns() - start) / operations;
}

static double engine_cost(uint32_t used, uint32_t operations)
{
	static tcpwhy_sock s[PORTS];
	struct tcpwhy_engine *e = engine_new();

	for (uint32_t i = 0; i < used; i++)
		s[i] = allocate(e, 0);
	const uint64_t start = now_ns();
	for (uint32_t i = 0; i < operations; i++) {
		const tcpwhy_sock got = allocate(e, 0);
		if (!got)
			continue;
		const uint32_t k = draw(NULL, used);
		release(e, s[k]);
		s[k] = got;
	}
	const double cost = (double)(now_ns() - start) / operations;
	tcpwhy_engine_free(e);
	return cost;
}

/* ----------------------------------------------------------------------------------- the kernel */

enum { KERNEL_LOW = 20000, KERNEL_PORTS = 2000 };

static bool enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) ||
	    system("ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; "
		   "ip link set v1 up;"
		   "ip addr add 10.99.0.1/24 dev v0; ip neigh add 10.99.0.9 lladdr "
		   "02:00:00:00:00:09 dev v0;"
		   "echo 20000 21999 > /proc/sys/net/ipv4/ip_local_port_range"))
		return false;
	const struct rlimit limit = {KERNEL_PORTS + 100, KERNEL_PORTS + 100};
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* A socket in SYN_SENT, -1 if no port was left. *took: of the connect() alone. */
static int kernel_connect(uint64_t *took)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "10.99.0.9", &to.sin_addr);
	const uint64_t start = now_ns();
	const int error = connect(fd, (struct sockaddr *)&to, sizeof(to)) ? errno : 0;
	*took += now_ns() - start;
	if (error == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

static double kernel_cost(uint32_t percent_x10)
{
	enum { ROUNDS = 300 };
	static int fd[KERNEL_PORTS];
	const uint32_t used = KERNEL_PORTS * percent_x10 / 1000;
	uint64_t took = 0, unused = 0;

	for (uint32_t i = 0; i < used; i++)
		fd[i] = kernel_connect(&unused);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		const int got = kernel_connect(&took);
		if (got >= 0)
			close(got);
	}
	for (uint32_t i = 0; i < used; i++)
		close(fd[i]);
	return (double)took / ROUNDS;
}

/* -------------------------------------------------------------------------------------- the runs
 */

static void bench_used(bool kernel)
{
	static const uint32_t percent_x10[] = {100, 500, 900, 999, 1000};
	double at_ten = 0;

	for (size_t i = 0; i < sizeof(percent_x10) / sizeof(percent_x10[0]); i++) {
		const uint32_t used = (uint32_t)((uint64_t)PORTS * percent_x10[i] / 1000);
		const double ours = engine_cost(used, 300000),
			     plain = plain_cost(used, used > PORTS / 2 ? 2000 : 100000);
		at_ten = at_ten > 0 ? at_ten : ours;
		printf("used %5.1f %%   engine %7.0f ns (%.2f x of 10 %%)   probe by probe %8.0f "
		       "ns, ratio %6.1f",
		       percent_x10[i] / 10.0, ours, ours / at_ten, plain, plain / ours);
		if (kernel) {
			const double real = kernel_cost(percent_x10[i]);
			printf("   connect() on 2,000 ports %7.0f ns, ratio %6.1f", real,
			       real / ours);
		}
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	const uint32_t most = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 10000000;

	setlinebuf(stdout);
	for (uint32_t live = 1000; live <= most; live *= live == 1000 ? 1000 : 10)
		bench_live(live);
	const bool kernel = geteuid() == 0 && enter_namespace();
	if (!kernel)
		printf("# the real connect() is left out: a namespace takes root\n");
	bench_used(kernel);
	return 0;
}
