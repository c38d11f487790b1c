/* SPDX-License-Identifier: MIT */
#include "live/sockdiag.h"

#include "live/collect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#define ATTEMPTS    5
#define TIMER_TW    3 /* idiag_timer of a mini-socket */
#define BOUND_STATE TCPWHY_BOUND

static int see_attribute(const struct nlattr *attr, void *ctx)
{
	struct snapshot_owner *s = ctx;

	if (mnl_attr_get_type(attr) == INET_DIAG_SKV6ONLY && mnl_attr_get_payload_len(attr) >= 1)
		s->o.v6only = mnl_attr_get_u8(attr) ? TCPWHY_YES : TCPWHY_NO;
	if (mnl_attr_get_type(attr) == INET_DIAG_CGROUP_ID &&
	    mnl_attr_get_payload_len(attr) >= sizeof(uint64_t))
		s->cgroup_id = mnl_attr_get_u64(attr);
	return MNL_CB_OK;
}

/* A dump of CLOSE comes only from the list of sockets that just bound (inet_diag_dump_icsk(), 6.8).
 */
static bool known_state(const struct inet_diag_msg *m, bool timewait, uint8_t *state)
{
	*state = m->idiag_state == TCPWHY_CLOSE ? BOUND_STATE : m->idiag_state;
	if (timewait)
		return *state == TCPWHY_TIME_WAIT || *state == TCPWHY_FIN_WAIT2;
	return m->idiag_state >= TCPWHY_ESTABLISHED && m->idiag_state <= TCPWHY_CLOSING &&
	       m->idiag_state != TCPWHY_SYN_RECV && m->idiag_state != TCPWHY_TIME_WAIT;
}

static bool make_owner(const struct inet_diag_msg *m, uint64_t now_ns, struct snapshot_owner *s)
{
	bool timewait = m->idiag_timer == TIMER_TW;

	*s = (struct snapshot_owner){
		.o.port = ntohs(m->id.idiag_sport),
		.o.peer_port = ntohs(m->id.idiag_dport),
		.o.family = m->idiag_family == AF_INET6 ? TCPWHY_IPV6 : TCPWHY_IPV4,
		.o.reuse = TCPWHY_REUSE_UNKNOWN,
		.o.reuseport = TCPWHY_UNKNOWN,
		.o.v6only = m->idiag_family == AF_INET6 ? TCPWHY_UNKNOWN : TCPWHY_NO,
		.o.connect_bind = TCPWHY_UNKNOWN,
		.o.timewait = timewait,
		.o.timestamps = timewait ? TCPWHY_UNKNOWN : TCPWHY_NO,
		.o.uid_known = m->idiag_inode != 0,
		.o.uid = m->idiag_inode != 0 ? m->idiag_uid : 0,
		.o.device = m->id.idiag_if,
		.cookie = (uint64_t)m->id.idiag_cookie[1] << 32 | m->id.idiag_cookie[0],
		.inode = m->idiag_inode,
	};
	if ((m->idiag_family != AF_INET && m->idiag_family != AF_INET6) || !s->o.port)
		return false;
	if (!known_state(m, timewait, &s->o.state))
		return false;
	s->o.local = collect_address(m->idiag_family, m->id.idiag_src);
	if (s->o.peer_port)
		s->o.peer = collect_address(m->idiag_family, m->id.idiag_dst);
	if (timewait)
		s->o.expires_ns = now_ns + UINT64_C(1000000) * m->idiag_expires;
	/* With :: as address it may be v6only; an IPv4 address or peer says that it is not. */
	if (s->o.family == TCPWHY_IPV6 &&
	    memcmp(s->o.local.b, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
		s->o.v6only = TCPWHY_NO;
	return true;
}

/* The kernel chooses some sockets under the bucket's lock and describes them after it
 * (inet_diag_dump_icsk()). One that became a mini-socket between the two has no port any more, and
 * that mini-socket is not listed. */
static bool has_ended(const struct inet_diag_msg *m)
{
	return m->idiag_state == TCPWHY_CLOSE && !m->id.idiag_sport;
}

static int take_message(const struct nlmsghdr *nlh, uint64_t now_ns,
			struct netlink_progress *progress, sockdiag_take *take, void *ctx)
{
	struct snapshot_owner s;
	struct inet_diag_msg m;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(m))
		return 0;
	memcpy(&m, mnl_nlmsg_get_payload(nlh), sizeof(m));
	if (has_ended(&m))
		progress->changed = true;
	if (!make_owner(&m, now_ns, &s))
		return 0;
	mnl_attr_parse(nlh, sizeof(m), see_attribute, &s);
	return take(&s, ctx);
}

int sockdiag_parse(const void *reply, size_t len, uint64_t now_ns,
		   struct netlink_progress *progress, sockdiag_take *take, void *ctx)
{
	struct netlink_reply rest = {reply, len};
	const struct nlmsghdr *nlh;
	int result = 0;

	while (!result && (nlh = netlink_next(&rest, progress))) {
		if (nlh->nlmsg_type == TCPDIAG_GETSOCK)
			result = take_message(nlh, now_ns, progress, take, ctx);
	}
	return result;
}

/* The legacy request: the only one that gives both families in one walk
 * (inet_diag_rcv_msg_compat()). The port is filtered in the kernel, by bytecode: the header's port
 * is not looked at for sockets that only bound. */
static struct nlmsghdr *put_request(char *buf, const struct snapshot_scope *scope)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req *req;

	nlh->nlmsg_type = TCPDIAG_GETSOCK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	/* All states but SYN_RECV, and bit 13: sockets that only bound. */
	req->idiag_states = (1u << TCPWHY_CLOSING << 1) - 2;
	req->idiag_states &= ~(1u << TCPWHY_SYN_RECV);
	req->idiag_states |= 1u << BOUND_STATE;
	if (!scope->all_ports) {
		/* Port >= p and port <= p; a step that fails jumps 4 beyond the end, which rejects.
		 */
		struct inet_diag_bc_op code[4] = {
			{.code = INET_DIAG_BC_S_GE, .yes = 8, .no = 20},
			{.no = scope->port},
			{.code = INET_DIAG_BC_S_LE, .yes = 8, .no = 12},
			{.no = scope->port},
		};

		mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, sizeof(code), code);
	}
	return nlh;
}

/* One dump. */
struct dump {
	sockdiag_take *take;
	void *ctx; /* of take */
	uint64_t now_ns;
	struct netlink_progress progress;
};

/* Where a dump goes that a snapshot is made of. */
struct into_snapshot {
	struct collect_filter filter;
	struct snapshot *snap;
};

static int take_owner(const struct snapshot_owner *owner, void *ctx)
{
	struct into_snapshot *to = ctx;

	return collect_wanted(&to->filter, &owner->o) ? collect_owner(to->snap, owner) : 0;
}

static int take_reply(const void *reply, size_t len, void *ctx)
{
	struct dump *d = ctx;

	return sockdiag_parse(reply, len, d->now_ns, &d->progress, d->take, d->ctx);
}

static int dump_once(const struct snapshot_scope *scope, sockdiag_take *take, void *ctx,
		     struct netlink_progress *progress)
{
	struct dump d = {.take = take, .ctx = ctx, .now_ns = collect_now_ns()};
	_Alignas(struct nlmsghdr) char request[256] = {0};
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int error;

	if (!nl)
		return -errno;
	error = netlink_dump(nl, put_request(request, scope), &d.progress, take_reply, &d);
	mnl_socket_close(nl);
	*progress = d.progress;
	/* Lost messages are as good as an interrupted dump. */
	progress->interrupted |= error == -ENOBUFS;
	return error == -ENOBUFS ? 0 : error;
}

/* Whether this kernel lists sockets that only bound. Asking with a socket of our own would be
 * surer, but taking a port is a change. */
static bool lists_bound(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 8);
}

static bool has_bound(const struct snapshot *snap, size_t from)
{
	for (size_t i = from; i < snap->owners_n; i++)
		if (snap->owners[i].o.state == BOUND_STATE)
			return true;
	return false;
}

/* Among all ports of a busy host there is always a socket that ends; one more or less is no matter
 * there. */
static bool is_wanting(const struct netlink_progress *dump, const struct snapshot_scope *scope)
{
	return dump->interrupted || (dump->changed && !scope->all_ports);
}

int sockdiag_read(const struct snapshot_scope *scope, struct snapshot *snap)
{
	struct netlink_progress last = {.interrupted = true};
	size_t before = snap->owners_n;
	int error = 0;

	for (int i = 0; i < ATTEMPTS && is_wanting(&last, scope) && !error; i++) {
		struct into_snapshot to = {.filter.scope = scope, .snap = snap};

		snap->owners_n = before;
		error = dump_once(scope, take_owner, &to, &last);
	}
	if (!error && last.interrupted)
		error = -EINTR;
	if (error) {
		snap->owners_n = before;
		return error;
	}
	snap->bound_unseen = !has_bound(snap, before) && !lists_bound();
	return 0;
}

int sockdiag_stream(sockdiag_take *take, void (*again)(void *ctx), void *ctx, bool *bound_seen)
{
	const struct snapshot_scope all = {.all_ports = true, .owners_wanted = true};
	struct netlink_progress last = {.interrupted = true};
	int error = 0;

	for (int i = 0; i < ATTEMPTS && last.interrupted && !error; i++) {
		if (i)
			again(ctx);
		error = dump_once(&all, take, ctx, &last);
	}
	*bound_seen = lists_bound();
	return !error && last.interrupted ? -EINTR : error;
}
