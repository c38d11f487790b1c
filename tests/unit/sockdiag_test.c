/* SPDX-License-Identifier: MIT */
#include "live/sockdiag.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

static _Alignas(struct nlmsghdr) char reply[8192];
static size_t reply_n;
static struct snapshot_owner owners[16];
static size_t owners_n;
static struct netlink_progress progress;

static int begin(void **state)
{
	(void)state;
	memset(reply, 0, sizeof(reply));
	reply_n = owners_n = 0;
	progress = (struct netlink_progress){0};
	return 0;
}

static struct nlmsghdr *message(uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(reply + reply_n);

	nlh->nlmsg_type = type;
	return nlh;
}

static struct inet_diag_msg *put(uint8_t family, uint8_t state, uint16_t port)
{
	struct nlmsghdr *nlh = message(TCPDIAG_GETSOCK);
	struct inet_diag_msg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

	m->idiag_family = family;
	m->idiag_state = state;
	m->id.idiag_sport = htons(port);
	reply_n += nlh->nlmsg_len;
	return m;
}

static int take(const struct snapshot_owner *owner, void *ctx)
{
	(void)ctx;
	assert_true(owners_n < 16);
	owners[owners_n++] = *owner;
	return 0;
}

static int parse(void)
{
	return sockdiag_parse(reply, reply_n, 1000, &progress, take, NULL);
}

static void test_a_socket(void **state)
{
	struct inet_diag_msg *m = put(AF_INET, TCPWHY_ESTABLISHED, 80);

	(void)state;
	m->id.idiag_dport = htons(5000);
	m->id.idiag_src[0] = htonl(0x7f000001);
	m->id.idiag_if = 3;
	m->id.idiag_cookie[0] = 2;
	m->id.idiag_cookie[1] = 1;
	m->idiag_uid = 12;
	m->idiag_inode = 99;
	assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 1);
	assert_int_equal(owners[0].o.port, 80);
	assert_int_equal(owners[0].o.peer_port, 5000);
	assert_int_equal(owners[0].o.local.b[12], 127);
	assert_int_equal(owners[0].o.device, 3);
	assert_int_equal(owners[0].cookie, UINT64_C(0x100000002));
	assert_true(owners[0].o.uid_known && owners[0].o.uid == 12 && owners[0].inode == 99);
	assert_int_equal(owners[0].o.reuse, TCPWHY_REUSE_UNKNOWN);
	assert_int_equal(owners[0].o.v6only, TCPWHY_NO);
	assert_false(progress.done);
}

static void test_without_inode_the_uid_is_unknown(void **state)
{
	(void)state;
	put(AF_INET, TCPWHY_FIN_WAIT1, 80)->idiag_uid = 12;
	assert_int_equal(parse(), 0);
	assert_false(owners[0].o.uid_known);
}

static void test_timewait_is_known_by_its_timer(void **state)
{
	struct inet_diag_msg *m = put(AF_INET, TCPWHY_FIN_WAIT2, 80);

	(void)state;
	m->idiag_timer = 3;
	m->idiag_expires = 2000;
	put(AF_INET, TCPWHY_FIN_WAIT2, 81); /* a living one */
	assert_int_equal(parse(), 0);
	assert_true(owners[0].o.timewait);
	assert_int_equal(owners[0].o.expires_ns, UINT64_C(2000001000));
	assert_false(owners[1].o.timewait);
}

/* A dump with bit 13 gives sockets that only bound as CLOSE. Requests own no port. */
static void test_states(void **state)
{
	(void)state;
	put(AF_INET6, TCPWHY_CLOSE, 80);
	put(AF_INET, TCPWHY_SYN_RECV, 81);
	put(AF_INET, TCPWHY_TIME_WAIT, 82); /* without its timer: none */
	put(AF_INET, 12, 83);
	put(AF_INET, 0, 84);
	put(AF_UNIX, TCPWHY_LISTEN, 85);
	put(AF_INET, TCPWHY_LISTEN, 0);
	assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 1);
	assert_int_equal(owners[0].o.state, TCPWHY_BOUND);
	assert_int_equal(owners[0].o.v6only, TCPWHY_UNKNOWN);
}

/* It had a port when the kernel chose it for the list. */
static void test_one_that_ended_meanwhile(void **state)
{
	(void)state;
	put(AF_INET, TCPWHY_CLOSE, 80);
	put(AF_INET, TCPWHY_LISTEN, 0);
	assert_int_equal(parse(), 0);
	assert_false(progress.changed);
	put(AF_INET, TCPWHY_CLOSE, 0)->id.idiag_dport = htons(5000);
	owners_n = 0;
	assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 1);
	assert_true(progress.changed);
}

static void test_v6only(void **state)
{
	struct inet_diag_msg *m = put(AF_INET6, TCPWHY_ESTABLISHED, 80);
	struct nlmsghdr *nlh;

	(void)state;
	m->id.idiag_src[2] = htonl(0xffff); /* v4-mapped: cannot be v6only */
	nlh = message(TCPDIAG_GETSOCK);
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->idiag_family = AF_INET6;
	m->idiag_state = TCPWHY_LISTEN;
	m->id.idiag_sport = htons(81);
	mnl_attr_put_u8(nlh, INET_DIAG_SKV6ONLY, 1);
	reply_n += nlh->nlmsg_len;
	assert_int_equal(parse(), 0);
	assert_int_equal(owners[0].o.v6only, TCPWHY_NO);
	assert_int_equal(owners[1].o.v6only, TCPWHY_YES);
}

static void test_the_end(void **state)
{
	struct nlmsghdr *nlh;
	int error = -ENOENT;

	(void)state;
	put(AF_INET, TCPWHY_LISTEN, 80);
	((struct nlmsghdr *)reply)->nlmsg_flags = NLM_F_DUMP_INTR;
	nlh = message(NLMSG_ERROR);
	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(struct nlmsgerr)), &error, sizeof(error));
	reply_n += nlh->nlmsg_len;
	put(AF_INET, TCPWHY_LISTEN, 81); /* beyond the end */
	assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 1);
	assert_true(progress.done && progress.interrupted);
	assert_int_equal(progress.error, -ENOENT);
}

static void test_cut_and_hostile(void **state)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)reply;
	size_t whole;

	(void)state;
	put(AF_INET, TCPWHY_LISTEN, 80);
	whole = reply_n;
	for (reply_n = 0; reply_n < whole; reply_n++)
		assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 0);
	nlh->nlmsg_len = 0xfffffff0; /* negative, if it were signed */
	assert_int_equal(parse(), 0);
	nlh->nlmsg_len = 3;
	assert_int_equal(parse(), 0);
	nlh->nlmsg_len = sizeof(*nlh) + 20; /* shorter than what it should hold */
	assert_int_equal(parse(), 0);
	assert_int_equal(owners_n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_socket, begin),
		cmocka_unit_test_setup(test_without_inode_the_uid_is_unknown, begin),
		cmocka_unit_test_setup(test_timewait_is_known_by_its_timer, begin),
		cmocka_unit_test_setup(test_states, begin),
		cmocka_unit_test_setup(test_one_that_ended_meanwhile, begin),
		cmocka_unit_test_setup(test_v6only, begin),
		cmocka_unit_test_setup(test_the_end, begin),
		cmocka_unit_test_setup(test_cut_and_hostile, begin),
	};

	return unit_run("sockdiag", tests);
}
