/* SPDX-License-Identifier: MIT */
#include "live/procnet.h"
#include "unit.h"

#include <string.h>
#include <sys/socket.h>

static struct snapshot_owner owners[16];
static size_t owners_n;

static int take(const struct snapshot_owner *owner, void *ctx)
{
	(void)ctx;
	assert_true(owners_n < 16);
	owners[owners_n++] = *owner;
	return 0;
}

static void parse(const char *text, int family)
{
	owners_n = 0;
	assert_int_equal(procnet_parse(text, strlen(text), family, 1000, take, NULL), 0);
}

#define HEAD                                                                                       \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "      \
	"timeout inode\n"

static void test_ipv4(void **state)
{
	(void)state;
	parse(HEAD
	      "   0: 0100007F:1E61 00000000:0000 0A 00000000:00000000 00:00000000 00000000  "
	      "1000        0 11584 1 0000000000000000 100 0 0 10 0\n"
	      "   1: 0100007F:1E61 0100007F:B6B2 06 00000000:00000000 03:0000176F 00000000     "
	      "0        0 0 3 0000000000000000\n",
	      AF_INET);
	assert_int_equal(owners_n, 2);
	assert_int_equal(owners[0].o.port, 7777);
	assert_int_equal(owners[0].o.local.b[12], 127);
	assert_int_equal(owners[0].o.state, TCPWHY_LISTEN);
	assert_true(owners[0].o.uid_known && owners[0].o.uid == 1000);
	assert_int_equal(owners[0].inode, 11584);
	assert_true(owners[1].o.timewait);
	assert_int_equal(owners[1].o.peer_port, 0xb6b2);
	assert_int_equal(owners[1].o.expires_ns, 1000 + UINT64_C(59990000000));
	assert_false(owners[1].o.uid_known);
}

static void test_ipv6(void **state)
{
	(void)state;
	parse(HEAD
	      "   0: 00000000000000000000000001000000:1E63 00000000000000000000000000000000:0000 "
	      "0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0000 100 0 0 10 0\n",
	      AF_INET6);
	assert_int_equal(owners_n, 1);
	assert_int_equal(owners[0].o.local.b[15], 1);
	assert_int_equal(owners[0].o.family, TCPWHY_IPV6);
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"",
		"\n\n",
		HEAD,
		"   0: 0100007F:1E61 00000000:0000 0A 00000000",
		/* an address of the other family */
		"   0: 00000000000000000000000001000000:1E63 00000000000000000000000000000000:0000 "
		"0A "
		"00000000:00000000 00:00000000 00000000     0        0 21",
		/* a request, a state that is none, port 0, a cut address */
		"   0: 0100007F:1E61 0100007F:1111 03 00000000:00000000 00:00000000 00000000 0 0 0",
		"   0: 0100007F:1E61 0100007F:1111 0C 00000000:00000000 00:00000000 00000000 0 0 0",
		"   0: 0100007F:0000 0100007F:1111 0A 00000000:00000000 00:00000000 00000000 0 0 1",
		"   0: 0100007:1E61 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1",
		"   0: -100007F:1E61 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		parse(lines[i], AF_INET);
		assert_int_equal(owners_n, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_nonsense),
	};

	return unit_run("procnet", tests);
}
