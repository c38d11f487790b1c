/* SPDX-License-Identifier: MIT */
#include "model.h"

#include "base/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICE = 2, NO_USER = 0 };

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	(void)ctx;
	(void)old_size;
	if (new_size)
		return realloc(old, new_size);
	free(old);
	return NULL;
}

static uint32_t draw(void *ctx, uint32_t n)
{
	uint32_t *state = ctx;

	*state = *state * 1664525u + 1013904223u;
	return n ? (uint32_t)((uint64_t)*state * n >> 32) : *state;
}

/* ----------------------------------------------------------------------------------------- begin
 */

static int add_addresses(struct tcpwhy_engine *e)
{
	const struct tcpwhy_addr v4 = wire_host(TCPWHY_IPV4), v6 = wire_host(TCPWHY_IPV6);
	int rc = tcpwhy_add_device(e, DEVICE, 0);

	if (!rc)
		rc = tcpwhy_add_local(e, &v4, 128, TCPWHY_LOCAL, DEVICE, 0);
	if (!rc)
		rc = tcpwhy_add_local(e, &v6, 128, TCPWHY_LOCAL, DEVICE, 0);
	return rc;
}

static bool set_engine_sysctl(struct host *h, enum script_sysctl which, uint32_t value)
{
	struct tcpwhy_engine *e = host_engine(h);
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);

	switch (which) {
	case SYSCTL_TIMESTAMPS:
		s.timestamps = (uint8_t)value;
		break;
	case SYSCTL_MAX_TW:
		s.max_tw_buckets = value;
		break;
	case SYSCTL_FIN_TIMEOUT:
		s.fin_timeout_s = value;
		break;
	default:
		return false;
	}
	tcpwhy_set_sysctls(e, &s);
	return true;
}

static void set_host_sysctl(struct host *h, enum script_sysctl which, uint32_t value)
{
	struct host_sysctls s = *host_sysctls(h);

	switch (which) {
	case SYSCTL_SOMAXCONN:
		s.somaxconn = value;
		break;
	case SYSCTL_MAX_SYN_BACKLOG:
		s.max_syn_backlog = value;
		break;
	case SYSCTL_SYNCOOKIES:
		s.syncookies = (uint8_t)value;
		break;
	case SYSCTL_ABORT_ON_OVERFLOW:
		s.abort_on_overflow = value;
		break;
	case SYSCTL_RFC1337:
		s.rfc1337 = value;
		break;
	case SYSCTL_SACK:
		s.sack = value;
		break;
	case SYSCTL_SYN_RETRIES:
		s.syn_retries = (uint8_t)value;
		break;
	case SYSCTL_SYNACK_RETRIES:
		s.synack_retries = (uint8_t)value;
		break;
	case SYSCTL_LINEAR_TIMEOUTS:
		s.syn_linear_timeouts = (uint8_t)value;
		break;
	case SYSCTL_RETRIES2:
		s.retries2 = (uint8_t)value;
		break;
	case SYSCTL_ORPHAN_RETRIES:
		s.orphan_retries = (uint8_t)value;
		break;
	case SYSCTL_INVALID_RATELIMIT:
		s.invalid_ratelimit_ms = value;
		break;
	case SYSCTL_CHALLENGE_LIMIT:
		s.challenge_ack_limit = value;
		break;
	case SYSCTL_TIMESTAMPS:
	case SYSCTL_MAX_TW:
	case SYSCTL_FIN_TIMEOUT:
	case SYSCTLS:
		break;
	}
	host_set_sysctls(h, &s);
}

static void set_sysctl(struct host *h, enum script_sysctl which, uint32_t value)
{
	if (!set_engine_sysctl(h, which, value))
		set_host_sysctl(h, which, value);
}

int model_begin(struct model *m, const struct tcpwhy_row *row, const bool lacks[static SYSCTLS],
		const struct jiffies *jiffies, uint64_t now_ns)
{
	const struct host_config config = {
		.row = row,
		.memory = {.resize = resize},
		.draw = draw,
		.ctx = &m->draw,
		.window = 64240, /* what tcp_rmem gives a fresh socket */
		.mss = 1460,
		.hz = jiffies->hz,
		.wheel = jiffies->hz,
		.jiffies = jiffies->at_zero,
	};

	*m = (struct model){.draw = 1};
	m->host = host_new(&config);
	if (!m->host)
		return -ENOMEM;
	struct host_sysctls fixed = *host_sysctls(m->host);
	fixed.window_scaling = false; /* as in the kernel's namespace: see fixed_sysctls */
	host_set_sysctls(m->host, &fixed);
	const int rc = add_addresses(host_engine(m->host));
	for (unsigned i = 0; i < SYSCTLS; i++)
		if (!lacks[i])
			set_sysctl(m->host, i, script_sysctls[i].fresh);
	host_advance(m->host, now_ns);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		m->zero[i] = host_counter(m->host, (enum counter)i);
	return rc;
}

void model_end(struct model *m)
{
	if (m->host)
		host_free(m->host);
	m->host = NULL;
}

/* ------------------------------------------------------------------------------------- the calls
 */

static const enum tcpwhy_option options[OPTIONS] = {
	[OPTION_REUSEADDR] = TCPWHY_SO_REUSEADDR,
	[OPTION_LINGER0] = TCPWHY_SO_LINGER0,
	[OPTION_LINGER2] = TCPWHY_TCP_LINGER2,
	[OPTION_V6ONLY] = TCPWHY_IPV6_V6ONLY,
};

/* Made with an errno as the engine tells it, 0 or positive. */
static int64_t call_set(struct model *m, const struct step *s)
{
	const int rc = host_setsockopt(m->host, m->socks[s->sock], options[s->which],
				       (uint64_t)s->value[0]);

	return rc > 0 ? -rc : rc;
}

static int64_t call_bind(struct model *m, const struct step *s)
{
	const bool v4 = m->families[s->sock] == TCPWHY_IPV4;
	const struct tcpwhy_addr any = v4 ? address_v4_number(0) : (struct tcpwhy_addr){0};

	return host_bind(m->host, m->socks[s->sock], &any, (uint16_t)s->value[0], NULL);
}

static int64_t call_connect(struct model *m, const struct step *s)
{
	const struct tcpwhy_addr peer = wire_peer(m->families[s->sock]),
				 source = wire_host(m->families[s->sock]);

	return host_connect(m->host, m->socks[s->sock], &peer, (uint16_t)s->value[0], &source,
			    NULL);
}

static int64_t call_close(struct model *m, unsigned sock)
{
	m->open[sock] = false;
	return host_close(m->host, m->socks[sock]);
}

static int64_t call_make(struct model *m, const struct step *s)
{
	const bool accepts = s->kind == STEP_ACCEPT;
	const uint8_t family = accepts ? m->families[s->listener] : s->flow.family;
	const int rc =
		accepts ? host_accept(m->host, m->socks[s->listener], NO_USER, &m->socks[s->sock])
			: host_socket(m->host, family, NO_USER, &m->socks[s->sock]);

	m->open[s->sock] = !rc;
	m->families[s->sock] = family;
	return rc;
}

static int64_t call_on(struct model *m, const struct step *s, tcpwhy_sock sock)
{
	switch ((enum step_kind)s->kind) {
	case STEP_SET:
		return call_set(m, s);
	case STEP_BIND:
		return call_bind(m, s);
	case STEP_LISTEN:
		return host_listen(m->host, sock, (int)s->value[0], NULL);
	case STEP_CONNECT:
		return call_connect(m, s);
	case STEP_SEND:
		return host_send(m->host, sock, (uint32_t)s->value[0]);
	case STEP_RECV:
		return host_recv(m->host, sock, (uint32_t)s->value[0]);
	case STEP_ERROR:
		return host_error(m->host, sock);
	case STEP_SHUTDOWN:
		return host_shutdown(m->host, sock, (enum tcpwhy_how)s->which);
	case STEP_CLOSE:
		return call_close(m, s->sock);
	default:
		return 0;
	}
}

void model_call(struct model *m, const struct step *s, struct observed *o)
{
	const bool makes = s->kind == STEP_SOCKET || s->kind == STEP_ACCEPT;

	o->skipped = m->open[s->sock] == makes || (s->kind == STEP_ACCEPT && !m->open[s->listener]);
	o->result = 0;
	if (s->kind == STEP_SYSCTL || s->kind == STEP_WAIT)
		o->skipped = false;
	if (o->skipped)
		return;
	if (s->kind == STEP_SYSCTL)
		set_sysctl(m->host, s->which, (uint32_t)s->value[0]);
	else if (makes)
		o->result = call_make(m, s);
	else if (s->kind != STEP_WAIT)
		o->result = call_on(m, s, m->socks[s->sock]);
}

/* ------------------------------------------------------------------------------ segments, looking
 */

void model_advance(struct model *m, uint64_t now_ns, struct observed *o)
{
	host_advance(m->host, now_ns);
	while (o->n_out < PLAYER_OUT && host_segment_out(m->host, &o->out[o->n_out]))
		o->n_out++;
}

void model_inject(struct model *m, const struct segment *s)
{
	host_segment_in(m->host, s);
}

static void look_sock(const struct model *m, unsigned i, struct seen_sock *s)
{
	struct host_view v;

	*s = (struct seen_sock){.open = m->open[i]};
	if (!s->open || host_look(m->host, m->socks[i], &v))
		return;
	s->state = v.state == TCPWHY_BOUND ? TCPWHY_CLOSE : v.state;
	if (s->state == TCPWHY_LISTEN) {
		s->queue = v.accept_queue;
		s->backlog = v.backlog;
		return;
	}
	s->has_peer = host_has_peer(m->host, m->socks[i]);
	s->unread = v.unread;
}

static void look_flow(const struct model *m, const struct flow *f, struct seen_flow *s)
{
	const struct tcpwhy_addr host = wire_host(f->family), peer = wire_peer(f->family);
	const uint64_t now = tcpwhy_now(host_engine(m->host));
	struct host_view v;

	*s = (struct seen_flow){.state = TCPWHY_CLOSE};
	if (!host_find(m->host, &host, f->host_port, &peer, f->peer_port, &v))
		return;
	*s = (struct seen_flow){
		.state = v.state,
		.timewait = v.timewait,
		.timer = v.timer,
		.left_ns = v.timer && v.expires_ns > now ? v.expires_ns - now : 0,
		.retransmits = v.retransmits,
	};
}

void model_look(struct model *m, struct observed *o)
{
	while (o->n_out < PLAYER_OUT && host_segment_out(m->host, &o->out[o->n_out]))
		o->n_out++;
	for (size_t i = 0; i < m->wire.n; i++)
		look_flow(m, &m->wire.flows[i].flow, &o->flows[i]);
	for (unsigned i = 0; i < SCRIPT_SOCKETS; i++)
		look_sock(m, i, &o->socks[i]);
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		o->counters[i] = host_counter(m->host, (enum counter)i) - m->zero[i];
	o->now_ns = tcpwhy_now(host_engine(m->host));
}
