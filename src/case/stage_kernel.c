/* SPDX-License-Identifier: MIT */
#include "case/stage_kernel.h"

#include "base/assert.h"
#include "case/counters.h"
#include "case/hostns.h"
#include "case/reaper.h"
#include "case/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOPBACK = 1, FIRST_DEVICE, MAC = 6 };

#define PATIENCE_NS 10000000000u /* with a carrier that is not noticed */

struct host {
	char name[STAGE_NAME_MAX];
	struct netns ns;
	unsigned n_devices; /* FIRST_DEVICE and on */
	struct rtnl rtnl;
	struct diag diag;         /* opened when it is first asked */
	struct counters counters; /* as well */
};

struct end {
	int host;
	unsigned device;
	char name[16];
	uint8_t mac[MAC];
	bool has_source[2];
	struct tcpwhy_addr source[2]; /* the first address of each family: [0] IPv4, [1] IPv6 */
};

struct wire {
	struct end ends[2];
	bool quickack;
	struct relay *relay;
	struct capture *capture, *own_capture;
};

struct stage_kernel {
	struct netns wires_ns; /* the middle of all relayed wires */
	struct reaper reaper;
	struct host *hosts;
	struct wire *wires;
	size_t n_hosts, n_wires;
};

static int fail(struct err *err, int rc, const char *what)
{
	snprintf(err->text, sizeof(err->text), "%s: %s", what, strerror(-rc));
	return rc;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct host *host_of(const struct stage_kernel *s, int host)
{
	must(host >= 0 && (size_t)host < s->n_hosts);
	return &s->hosts[host];
}

static struct wire *wire_of(const struct stage_kernel *s, int wire)
{
	must(wire >= 0 && (size_t)wire < s->n_wires);
	return &s->wires[wire];
}

/* ------------------------------------------------------------------------------ stage and hosts */

int stage_kernel_new(struct stage_kernel **out, struct err *err)
{
	struct stage_kernel *s = calloc(1, sizeof(*s));

	if (!s)
		return fail(err, -ENOMEM, "a stage");
	int rc = hostns_new(&s->wires_ns, err);
	if (!rc) {
		/* its devices only pass frames on: they shall say nothing of their own */
		rc = hostns_set_sysctl(&s->wires_ns, "ipv6/conf/default/disable_ipv6", "1", err);
		if (rc == -ENOENT)
			rc = 0;
		if (!rc)
			rc = reaper_start(&s->reaper, err);
		if (rc)
			netns_close(&s->wires_ns);
	}
	if (rc)
		free(s);
	else
		*out = s;
	return rc;
}

static void host_fini(struct host *h)
{
	counters_close(&h->counters);
	diag_close(&h->diag);
	rtnl_close(&h->rtnl);
	netns_close(&h->ns);
}

static void wire_fini(struct wire *w)
{
	relay_stop(w->relay);
	capture_free(w->own_capture);
}

void stage_kernel_free(struct stage_kernel *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_wires; i++)
		if (s->wires[i].relay)
			relay_end(s->wires[i].relay);
	for (size_t i = 0; i < s->n_wires; i++)
		wire_fini(&s->wires[i]);
	for (size_t i = 0; i < s->n_hosts; i++)
		host_fini(&s->hosts[i]);
	netns_close(&s->wires_ns);
	reaper_end(&s->reaper);
	free(s->wires);
	free(s->hosts);
	free(s);
}

int stage_kernel_find_host(const struct stage_kernel *s, const char *name)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		if (strcmp(s->hosts[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

/* Room for one element more. NULL if there is no memory, and the old array stays. */
static void *grow(void *array, size_t n, size_t size)
{
	const bool is_full = !(n & (n - 1)); /* 0, or a power of two */

	return is_full ? realloc(array, (n ? 2 * n : 1) * size) : array;
}

static int check_name(const struct stage_kernel *s, const char *name, struct err *err)
{
	if (!name[0] || strlen(name) >= STAGE_NAME_MAX)
		return fail(err, -EINVAL, "a host's name");
	if (stage_kernel_find_host(s, name) < 0)
		return 0;
	snprintf(err->text, sizeof(err->text), "there is a host '%s' already", name);
	return -EEXIST;
}

int stage_kernel_add_host(struct stage_kernel *s, const char *name, struct err *err)
{
	struct host h = {.ns.fd = -1, .counters = {-1, -1}};
	int rc = check_name(s, name, err);

	if (rc)
		return rc;
	struct host *hosts = grow(s->hosts, s->n_hosts, sizeof(*hosts));
	if (!hosts)
		return fail(err, -ENOMEM, "a host");
	s->hosts = hosts;
	rc = hostns_new(&h.ns, err);
	if (!rc)
		rc = rtnl_open_in(&h.ns, &h.rtnl, err);
	if (!rc)
		rc = reaper_add(&s->reaper, &h.ns, err);
	if (rc) {
		host_fini(&h);
		return rc;
	}
	snprintf(h.name, sizeof(h.name), "%s", name);
	s->hosts[s->n_hosts] = h;
	return (int)s->n_hosts++;
}

int stage_kernel_remove_behind(struct stage_kernel *s, const char *folder, struct err *err)
{
	return reaper_add_folder(&s->reaper, folder, err);
}

/* ---------------------------------------------------------------------------------------- wires */

/* The next device of its host; the MAC says which host and which device. */
static struct end name_end(const struct stage_kernel *s, int host, unsigned ordinal)
{
	const unsigned number = host_of(s, host)->n_devices + ordinal;
	struct end e = {
		.host = host,
		.device = FIRST_DEVICE + number,
		.mac = {2, 0, (uint8_t)(host >> 8), (uint8_t)host, (uint8_t)(number >> 8),
			(uint8_t)number},
	};

	snprintf(e.name, sizeof(e.name), "eth%u", number);
	return e;
}

static struct rtnl_end device_end(const struct stage_kernel *s, const struct end *e)
{
	return (struct rtnl_end){
		.name = e->name, .index = e->device, .ns = &host_of(s, e->host)->ns, .mac = e->mac};
}

static int join_directly(struct stage_kernel *s, const struct wire *w, struct err *err)
{
	struct rtnl *a = &host_of(s, w->ends[0].host)->rtnl,
		    *b = &host_of(s, w->ends[1].host)->rtnl;
	const struct rtnl_end one = device_end(s, &w->ends[0]), other = device_end(s, &w->ends[1]);
	int rc = rtnl_add_veth(a, &one, &other);

	if (!rc)
		rc = rtnl_set_up(b, other.index, true);
	if (!rc)
		rc = rtnl_wait_active(a, one.index, now_ns() + PATIENCE_NS);
	return rc ? fail(err, rc, "a wire between two hosts (veth)") : 0;
}

/* The wire's end has a MAC of its own, so what passes is for another host, and its kernel drops it.
 */
static int open_tap(struct stage_kernel *s, const struct wire *w, int side, struct tap *t,
		    struct err *err)
{
	const unsigned number = 2 * (unsigned)s->n_wires + (unsigned)side;
	char name[16];

	snprintf(name, sizeof(name), "tap%u", number);
	const struct tap_ends ends = {
		.host = device_end(s, &w->ends[side]),
		.wire = {.name = name, .index = FIRST_DEVICE + number, .ns = &s->wires_ns},
	};
	return tap_open(&ends, t, err);
}

static int join_by_relay(struct stage_kernel *s, struct wire *w, const struct stage_wire *is,
			 struct err *err)
{
	struct relay_config config = {
		.taps = {{-1}, {-1}},
		.macs = {w->ends[0].mac, w->ends[1].mac},
		.wire = (int)s->n_wires,
		.delay_ns = {is->delay_ns[0], is->delay_ns[1]},
		.loss_ppm = {is->loss_ppm[0], is->loss_ppm[1]},
		.seed = is->seed + s->n_wires,
	};
	int rc = 0;

	if (!is->unrecorded && !is->capture) {
		w->own_capture = capture_new(is->capture_max ? is->capture_max : STAGE_CAPTURE_MAX);
		if (!w->own_capture)
			return fail(err, -ENOMEM, "a capture");
	}
	if (!is->unrecorded)
		w->capture = is->capture ? is->capture : w->own_capture;
	config.capture = w->capture;
	for (int side = 0; !rc && side < 2; side++)
		rc = open_tap(s, w, side, &config.taps[side], err);
	if (!rc)
		rc = relay_start(&config, &w->relay, err);
	if (rc)
		for (int side = 0; side < 2; side++)
			tap_close(&config.taps[side]);
	return rc;
}

/* The address on its own device. */
static int own_addr(struct stage_kernel *s, struct end *e, const struct tcpwhy_addr *a)
{
	const bool v4 = address_is_v4(a);

	if (!e->has_source[!v4])
		e->source[!v4] = *a;
	e->has_source[!v4] = true;
	return rtnl_add_addr(&host_of(s, e->host)->rtnl, e->device, a, v4 ? 32 : 128, false);
}

/* The way to it from the other end. */
static int know_addr(struct stage_kernel *s, const struct end *from, const struct end *to,
		     const struct tcpwhy_addr *a, bool quickack)
{
	struct rtnl *rtnl = &host_of(s, from->host)->rtnl;
	const bool v4 = address_is_v4(a);
	const struct rtnl_route way = {
		.to = *a,
		.prefix_len = v4 ? 32 : 128,
		.device = from->device,
		.source = from->has_source[!v4] ? &from->source[!v4] : NULL,
		.scope = v4 ? RT_SCOPE_LINK : 0,
		.quickack = quickack,
	};
	const int rc = rtnl_set_neighbour(rtnl, from->device, a, to->mac);

	return rc ? rc : rtnl_add_route(rtnl, &way, false);
}

static int fail_addr(struct err *err, int rc, const struct tcpwhy_addr *a)
{
	char text[ADDRESS_TEXT_MAX];

	snprintf(err->text, sizeof(err->text), "address %s of a wire: %s", address_format(a, text),
		 strerror(-rc));
	return rc;
}

static int give_addrs(struct stage_kernel *s, struct wire *w, const struct stage_wire *is,
		      struct err *err)
{
	for (int e = 0; e < 2; e++)
		for (size_t i = 0; i < is->ends[e].n_addrs; i++) {
			const int rc = own_addr(s, &w->ends[e], &is->ends[e].addrs[i]);
			if (rc)
				return fail_addr(err, rc, &is->ends[e].addrs[i]);
		}
	for (int e = 0; e < 2; e++)
		for (size_t i = 0; i < is->ends[e].n_addrs; i++) {
			const int rc = know_addr(s, &w->ends[!e], &w->ends[e],
						 &is->ends[e].addrs[i], w->quickack);
			if (rc)
				return fail_addr(err, rc, &is->ends[e].addrs[i]);
		}
	return 0;
}

int stage_kernel_add_wire(struct stage_kernel *s, const struct stage_wire *is, struct err *err)
{
	const bool same_host = is->ends[0].host == is->ends[1].host;
	struct wire w = {
		.ends = {name_end(s, is->ends[0].host, 0),
			 name_end(s, is->ends[1].host, same_host)},
		.quickack = is->quickack,
	};
	struct wire *wires = grow(s->wires, s->n_wires, sizeof(*wires));

	if (!wires)
		return fail(err, -ENOMEM, "a wire");
	s->wires = wires;
	int rc = is->relayed ? join_by_relay(s, &w, is, err) : join_directly(s, &w, err);
	/* also of a wire that failed: some of its devices may be there */
	for (int e = 0; e < 2; e++)
		host_of(s, is->ends[e].host)->n_devices++;
	if (!rc)
		rc = give_addrs(s, &w, is, err);
	if (rc) {
		wire_fini(&w);
		return rc;
	}
	s->wires[s->n_wires] = w;
	return (int)s->n_wires++;
}

int stage_kernel_add_addr(struct stage_kernel *s, int wire, int end, const struct tcpwhy_addr *a,
			  struct err *err)
{
	struct wire *w = wire_of(s, wire);

	must(end == 0 || end == 1);
	int rc = own_addr(s, &w->ends[end], a);
	if (!rc)
		rc = know_addr(s, &w->ends[!end], &w->ends[end], a, w->quickack);
	return rc ? fail_addr(err, rc, a) : 0;
}

struct rtnl_end stage_kernel_end(const struct stage_kernel *s, int wire, int end)
{
	must(end == 0 || end == 1);
	return device_end(s, &wire_of(s, wire)->ends[end]);
}

unsigned stage_kernel_device(const struct stage_kernel *s, int wire, int end)
{
	return stage_kernel_end(s, wire, end).index;
}

/* A neighbour without an address of its own gets one by which only routes know it: link-local, with
 * the number of the device. */
static struct tcpwhy_addr gateway_of(unsigned device, bool v4)
{
	return v4 ? address_v4_number(0xa9fe0000 | (device & 0xffff))
		  : (struct tcpwhy_addr){
			    .b = {0xfe,
				  0x80, [14] = (uint8_t)(device >> 8), [15] = (uint8_t)device}};
}

int stage_kernel_add_way(struct stage_kernel *s, int wire, int end, const struct tcpwhy_addr *to,
			 uint8_t prefix_len, struct err *err)
{
	const struct wire *w = wire_of(s, wire);
	const struct end *from = &w->ends[end], *other = &w->ends[!end];
	struct rtnl *rtnl = &host_of(s, from->host)->rtnl;
	const bool v4 = address_is_v4(to);
	const struct tcpwhy_addr gateway = gateway_of(from->device, v4);
	const struct rtnl_route near = {
		.to = gateway, .prefix_len = 32, .device = from->device, .scope = RT_SCOPE_LINK};
	const struct rtnl_route far = {
		.to = *to,
		.prefix_len = prefix_len,
		.via = &gateway,
		.device = from->device,
		.source = from->has_source[!v4] ? &from->source[!v4] : NULL,
		.quickack = w->quickack,
	};

	if (prefix_len == (v4 ? 32 : 128)) {
		const int rc = know_addr(s, from, other, to, w->quickack);
		return rc ? fail_addr(err, rc, to) : 0;
	}
	int rc = rtnl_set_neighbour(rtnl, from->device, &gateway, other->mac);
	if (!rc && v4)
		rc = rtnl_add_route(rtnl, &near, false);
	if (!rc || rc == -EEXIST)
		rc = rtnl_add_route(rtnl, &far, false);
	return rc ? fail_addr(err, rc, to) : 0;
}

int stage_kernel_add_local(struct stage_kernel *s, int host, const struct tcpwhy_addr *prefix,
			   uint8_t prefix_len, struct err *err)
{
	const struct rtnl_route way = {
		.to = *prefix,
		.prefix_len = prefix_len,
		.device = LOOPBACK,
		.table = RT_TABLE_LOCAL,
		.type = RTN_LOCAL,
		.scope = address_is_v4(prefix) ? RT_SCOPE_HOST : 0,
	};
	const int rc = rtnl_add_route(&host_of(s, host)->rtnl, &way, false);

	return rc ? fail_addr(err, rc, prefix) : 0;
}

int stage_kernel_add_route(struct stage_kernel *s, int host, const struct tcpwhy_addr *to,
			   uint8_t prefix_len, const struct tcpwhy_addr *via, bool quickack,
			   struct err *err)
{
	const struct rtnl_route way = {
		.to = *to, .prefix_len = prefix_len, .via = via, .quickack = quickack};
	const int rc = rtnl_add_route(&host_of(s, host)->rtnl, &way, false);
	char text[ADDRESS_TEXT_MAX];

	if (rc)
		snprintf(err->text, sizeof(err->text), "host %s: a route through %s: %s",
			 host_of(s, host)->name, address_format(via, text), strerror(-rc));
	return rc;
}

int stage_kernel_forward(struct stage_kernel *s, int host, struct err *err)
{
	const struct netns *ns = &host_of(s, host)->ns;
	int rc = hostns_set_sysctl(ns, "ipv4/ip_forward", "1", err);

	if (!rc)
		rc = hostns_set_sysctl(ns, "ipv6/conf/all/forwarding", "1", err);
	return rc == -ENOENT ? 0 : rc; /* a kernel without IPv6 */
}

/* -------------------------------------------------------------------------------- what is there */

const struct netns *stage_kernel_netns(const struct stage_kernel *s, int host)
{
	return &host_of(s, host)->ns;
}

struct relay *stage_kernel_relay(const struct stage_kernel *s, int wire)
{
	return wire_of(s, wire)->relay;
}

struct capture *stage_kernel_capture(const struct stage_kernel *s, int wire)
{
	return wire_of(s, wire)->capture;
}

int stage_kernel_socket(struct stage_kernel *s, int host, int family, int type, struct err *err)
{
	return hostns_socket(&host_of(s, host)->ns, family, type, 0, err);
}

int stage_kernel_counter(struct stage_kernel *s, int host, const char *name, uint64_t *value,
			 struct err *err)
{
	struct host *h = host_of(s, host);
	int rc = h->counters.snmp < 0 ? counters_open_in(&h->ns, &h->counters, err) : 0;

	if (rc)
		return rc;
	rc = counters_read(&h->counters, name, value);
	if (rc)
		snprintf(err->text, sizeof(err->text), "counter '%.60s' of host %s: %s", name,
			 h->name,
			 rc == -ENOENT ? "this kernel has none of that name" : strerror(-rc));
	return rc;
}

static int need_diag(struct host *h, struct err *err)
{
	return h->diag.talk.nl ? 0 : diag_open_in(&h->ns, &h->diag, err);
}

/* Through lo all are found that are bound to no device. */
int stage_kernel_sock(struct stage_kernel *s, int host, const struct endpoint *local,
		      const struct endpoint *peer, struct diag_sock *found, struct err *err)
{
	struct host *h = host_of(s, host);
	int rc = need_diag(h, err);

	if (rc)
		return rc;
	rc = -ENOENT;
	for (unsigned d = LOOPBACK; rc == -ENOENT && d < FIRST_DEVICE + h->n_devices; d++)
		rc = diag_find(&h->diag, local, peer, d, found);
	return rc ? fail(err, rc, "a socket by its 4-tuple") : 0;
}

int stage_kernel_destroy(struct stage_kernel *s, int host, const struct endpoint *local,
			 const struct endpoint *peer, struct err *err)
{
	struct diag_sock found;
	int rc = stage_kernel_sock(s, host, local, peer, &found, err);

	if (rc)
		return rc;
	rc = diag_destroy(&host_of(s, host)->diag, &found);
	return rc ? fail(err, rc, "destroying a socket") : 0;
}

int stage_kernel_socks(struct stage_kernel *s, int host, struct diag_sock *socks, size_t max,
		       size_t *n, struct err *err)
{
	enum { TRIES = 5 };
	struct host *h = host_of(s, host);
	int rc = need_diag(h, err);

	if (rc)
		return rc;
	rc = -EINTR;
	for (int i = 0; rc == -EINTR && i < TRIES; i++)
		rc = diag_dump(&h->diag, socks, max, n);
	return rc ? fail(err, rc, "the sockets of a host") : 0;
}

/* -------------------------------------------------------------------------------------- waiting */

int stage_kernel_wait(int (*is_so)(void *ctx), void *ctx, uint64_t deadline_ns)
{
	enum { NAP_NS = 1000000 };

	for (;;) {
		const bool is_last = now_ns() >= deadline_ns;
		const int answer = is_so(ctx);

		if (answer)
			return answer < 0 ? answer : 0;
		if (is_last)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){0, NAP_NS}, NULL);
	}
}

struct counter_wish {
	struct stage_kernel *s;
	int host;
	const char *name;
	uint64_t at_least, is;
	struct err *err;
};

static int counter_is_there(void *ctx)
{
	struct counter_wish *w = ctx;
	const int rc = stage_kernel_counter(w->s, w->host, w->name, &w->is, w->err);

	return rc ? rc : w->is >= w->at_least;
}

int stage_kernel_wait_counter(struct stage_kernel *s, int host, const char *name, uint64_t at_least,
			      uint64_t deadline_ns, struct err *err)
{
	struct counter_wish w = {s, host, name, at_least, 0, err};
	const int rc = stage_kernel_wait(counter_is_there, &w, deadline_ns);

	if (rc == -ETIMEDOUT)
		snprintf(err->text, sizeof(err->text),
			 "counter %.60s of host %s: %llu, waited for %llu", name,
			 host_of(s, host)->name, (unsigned long long)w.is,
			 (unsigned long long)at_least);
	return rc;
}

struct state_wish {
	struct stage_kernel *s;
	int host;
	const struct endpoint *local, *peer;
	enum tcpwhy_state state, is;
	struct err *err;
};

static int state_is_there(void *ctx)
{
	struct state_wish *w = ctx;
	struct diag_sock found = {.state = TCPWHY_CLOSE};
	const int rc = stage_kernel_sock(w->s, w->host, w->local, w->peer, &found, w->err);

	if (rc && rc != -ENOENT)
		return rc;
	w->is = found.state;
	return w->is == w->state;
}

int stage_kernel_wait_state(struct stage_kernel *s, int host, const struct endpoint *local,
			    const struct endpoint *peer, enum tcpwhy_state state,
			    uint64_t deadline_ns, struct err *err)
{
	struct state_wish w = {s, host, local, peer, state, TCPWHY_CLOSE, err};
	const int rc = stage_kernel_wait(state_is_there, &w, deadline_ns);

	if (rc == -ETIMEDOUT)
		snprintf(err->text, sizeof(err->text), "host %s: the socket is in %s, not in %s",
			 host_of(s, host)->name, tcpwhy_state_name(w.is), tcpwhy_state_name(state));
	return rc;
}
