/* SPDX-License-Identifier: MIT
 *
 * bind() and listen(): the checks in order, the second gate, the question that changes nothing
 */
#include "engine_fixture.h"

#include <string.h>

static void test_errno_of_checks(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock plain, s;

	assert_int_equal(tcpwhy_socket(e, TCPWHY_IPV4, 1000, false, &plain), 0);
	/* IPv4: the address is looked at before the privilege. */
	assert_int_equal(do_bind(e, plain, "192.0.2.1", 80), EADDRNOTAVAIL);
	assert_int_equal(do_bind(e, plain, "127.0.0.1", 80), EACCES);
	assert_int_equal(do_bind(e, plain, "127.0.0.1", 1024), 0);
	assert_int_equal(do_bind(e, plain, "127.0.0.1", 1025), EINVAL);
	assert_int_equal(do_bind(e, sock4(e, 0), "::1", 1025), EAFNOSUPPORT);
	/* IPv6: the other way round. */
	assert_int_equal(tcpwhy_socket(e, TCPWHY_IPV6, 1000, false, &s), 0);
	assert_int_equal(do_bind(e, s, "2001:db8::1", 80), EACCES);
	assert_int_equal(do_bind(e, s, "2001:db8::1", 1080), EADDRNOTAVAIL);
	assert_int_equal(do_bind(e, s, "ff02::1", 1080), EINVAL);
	assert_int_equal(do_bind(e, s, "fe80::1", 1080), EINVAL);
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV6, V6ONLY, 0), "::ffff:127.0.0.1", 1080),
			 EINVAL);
}

static void test_nonlocal(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_sysctls sysctls = *tcpwhy_sysctls(e);
	tcpwhy_sock s = sock4(e, 0), t = sock4(e, 0);

	tcpwhy_setsockopt(e, s, TCPWHY_IP_FREEBIND, 1);
	assert_int_equal(do_bind(e, s, "192.0.2.1", 80), 0);
	tcpwhy_setsockopt(e, t, TCPWHY_IP_TRANSPARENT, 1);
	assert_int_equal(do_bind(e, t, "192.0.2.2", 80), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "192.0.2.3", 80), EADDRNOTAVAIL);
	sysctls.nonlocal_bind = true;
	tcpwhy_set_sysctls(e, &sysctls);
	assert_int_equal(do_bind(e, sock4(e, 0), "192.0.2.3", 80), 0);
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV6, 0, 0), "2001:db8::3", 80), EADDRNOTAVAIL);
	assert_int_equal(do_bind(e, sock4(e, 0), "224.0.0.1", 81), 0);
}

static void test_tentative(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_addr a = at("fd00::2");

	assert_int_equal(tcpwhy_add_local(e, &a, 128, TCPWHY_LOCAL_TENTATIVE, ETH0, 0), 0);
	struct tcpwhy_verdict v = bind_verdict(e, sock6(e, TCPWHY_IPV6, 0, 0), "fd00::2", 80);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_TENTATIVE);
	assert_int_equal(v.error, EADDRNOTAVAIL);
}

/* Two sockets bind with SO_REUSEADDR; the first listen() passes, the second is the gate. */
static void test_listen_is_second_gate(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, REUSE), b = sock4(e, REUSE);
	struct tcpwhy_verdict v;

	assert_int_equal(do_bind(e, a, "0.0.0.0", 80), 0);
	assert_int_equal(do_bind(e, b, "127.0.0.1", 80), 0);
	assert_int_equal(do_listen(e, a), 0);
	assert_int_equal(tcpwhy_listen(e, b, &first_port, &v), 0);
	assert_int_equal(v.error, EADDRINUSE);
	assert_int_equal(v.at, TCPWHY_CALL_LISTEN);
	assert_int_equal(v.rule, TCPWHY_RULE_LISTEN_SECOND_GATE);
	assert_int_equal(v.first, a);
	assert_int_equal(state_of(e, b), TCPWHY_BOUND);
	/* The listener lowered fastreuse: a third bind is scanned, and meets the listener. */
	assert_int_equal(do_bind(e, sock4(e, REUSE), "0.0.0.0", 80), EADDRINUSE);
}

static void test_listen_states(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = sock4(e, 0), c = sock4(e, 0);

	assert_int_equal(do_listen(e, l), 0);
	assert_int_equal(do_listen(e, l), 0);
	assert_int_not_equal(port_of(e, l), 0);
	join(e, c, l, "127.0.0.1", port_of(e, l), "127.0.0.1");
	assert_int_equal(do_listen(e, c), EINVAL);
}

/* A failed bind gives the address back, and its implied IPV6_V6ONLY. */
static void test_failed_bind_leaves_nothing(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock6(e, TCPWHY_IPV6, 0, 0), b = sock6(e, TCPWHY_IPV6, 0, 0);
	struct tcpwhy_owner o;

	assert_int_equal(do_bind(e, a, "::1", 80), 0);
	assert_int_equal(do_bind(e, b, "::1", 80), EADDRINUSE);
	assert_int_equal(tcpwhy_get(e, b, &o), 0);
	assert_true(address_is_any6(&o.local));
	assert_int_equal(o.v6only, TCPWHY_NO);
	assert_int_equal(do_bind(e, b, "::", 81), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", 81), EADDRINUSE);
}

static struct tcpwhy_bind_request asks(const char *addr, uint16_t port, unsigned flags)
{
	struct tcpwhy_bind_request q = {.addr = at(addr),
					.port = port,
					.family = strchr(addr, ':') ? TCPWHY_IPV6 : TCPWHY_IPV4,
					.reuse = flags & REUSE ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO,
					.reuseport = flags & PORT,
					.v6only = flags & V6ONLY,
					.listen = true,
					.may_bind_low = TCPWHY_YES};
	return q;
}

static void test_would_bind_changes_nothing(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, 0);
	struct tcpwhy_verdict v;
	struct tcpwhy_bucket b;

	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_OK);
	assert_false(tcpwhy_get_bucket(e, 80, 0, &b));
	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", 80), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	assert_int_equal(v.holders, 1);
	assert_int_equal(v.by_class[TCPWHY_H_BOUND_WITHOUT_REUSE], 1);
}

/* fastreuse is dead on 6.18: an owner whose option was taken away after bind() is scanned, and met.
 */
static void test_option_taken_away(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, REUSE);
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, REUSE);
	struct tcpwhy_verdict v;
	struct tcpwhy_bucket b;

	assert_int_equal(do_bind(e, a, "0.0.0.0", 80), 0);
	assert_true(tcpwhy_get_bucket(e, 80, 0, &b));
	assert_int_equal(b.fastreuse, 0);
	tcpwhy_setsockopt(e, a, TCPWHY_SO_REUSEADDR, 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	assert_int_equal(v.at, TCPWHY_CALL_BIND);
}

/* A bucket seen with fastreuse lets bind() pass without a scan; listen() scans. */
static void test_would_listen_be_refused(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, REUSE);
	struct tcpwhy_bucket b = {
		.port = 80, .known = true, .fastreuse = 1, .fast_family = TCPWHY_IPV4};
	struct tcpwhy_verdict v;

	assert_int_equal(do_bind(e, sock4(e, 0), "0.0.0.0", 80), 0);
	assert_int_equal(tcpwhy_import_bucket(e, &b), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	assert_int_equal(v.at, TCPWHY_CALL_LISTEN);
	q.listen = false;
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_OK);
}

static void test_holders(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = asks("::", 80, 0);
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	enum tcpwhy_holder why;
	unsigned n = 0;

	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", 80), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "10.0.0.1", 80), 0);
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV6, 0, 0), "::1", 80), 0);
	assert_int_equal(do_bind(e, sock4(e, 0), "10.0.0.1", 81), 0);
	for (; tcpwhy_next_holder(e, &q, &c, &o, &why); n++) {
		assert_int_equal(o.port, 80);
		assert_int_equal(why, TCPWHY_H_BOUND_WITHOUT_REUSE);
	}
	assert_int_equal(n, 3);
	q = asks("127.0.0.1", 80, 0);
	c = (struct tcpwhy_cursor){0};
	assert_true(tcpwhy_next_holder(e, &q, &c, &o, &why));
	assert_false(tcpwhy_next_holder(e, &q, &c, &o, &why));
}

/* TCP_REPAIR passes every bind: there are owners, but no holders. */
static void test_no_holders_when_passed(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, 0);
	struct tcpwhy_cursor c = {0};
	struct tcpwhy_owner o;
	enum tcpwhy_holder why;

	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", 80), 0);
	q.reuse = TCPWHY_REUSE_FORCE;
	assert_false(tcpwhy_next_holder(e, &q, &c, &o, &why));
}

/* Whatever fails an allocation, nothing is left half made (the resize that fails is each in turn).
 */
static unsigned calls_left;

static void *failing_resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
	if (new_size && calls_left-- == 0)
		return NULL;
	return heap_resize(ctx, old, old_size, new_size);
}

static void test_each_allocation_fails(void **state)
{
	(void)state;
	for (unsigned fail = 0; fail < 60; fail++) {
		struct tcpwhy_memory memory = {.resize = failing_resize};
		calls_left = fail;
		struct tcpwhy_engine *e = tcpwhy_engine_new(tcpwhy_row_find("6.18.y"), &memory);
		for (uint8_t i = 0; e && i < 60; i++) {
			struct tcpwhy_owner o = {
				.port = 80, .family = TCPWHY_IPV6, .state = TCPWHY_BOUND};
			o.local.b[0] = 0xfd;
			o.local.b[15] = i;
			if (tcpwhy_import_owner(e, &o, NULL))
				assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
		}
		tcpwhy_engine_free(e);
	}
}

/* -------------------------------------------------------------------------- three values */

static struct tcpwhy_owner seen(uint8_t st, bool timewait)
{
	struct tcpwhy_owner o = {.local = at("127.0.0.1"),
				 .port = 80,
				 .family = TCPWHY_IPV4,
				 .state = st,
				 .reuse = TCPWHY_REUSE_UNKNOWN,
				 .reuseport = TCPWHY_UNKNOWN,
				 .connect_bind = TCPWHY_UNKNOWN,
				 .timewait = timewait};

	if (timewait) {
		o.peer = at("127.0.0.1");
		o.peer_port = 5;
		o.expires_ns = 60 * UINT64_C(1000000000);
	}
	return o;
}

struct tri_row {
	uint8_t state;
	bool timewait;
	unsigned flags;
	enum tcpwhy_answer answer;
	uint32_t missing;
};

static const struct tri_row tris[] = {
	{TCPWHY_TIME_WAIT, true, 0, TCPWHY_REFUSED, 0},
	{TCPWHY_TIME_WAIT, true, REUSE, TCPWHY_DEPENDS, TCPWHY_MISSING_REUSEADDR},
	{TCPWHY_TIME_WAIT, true, PORT, TCPWHY_DEPENDS, TCPWHY_MISSING_REUSEPORT},
	{TCPWHY_LISTEN, false, 0, TCPWHY_REFUSED, 0},
	{TCPWHY_LISTEN, false, REUSE, TCPWHY_REFUSED, 0},
	{TCPWHY_LISTEN, false, PORT, TCPWHY_DEPENDS, TCPWHY_MISSING_REUSEPORT | TCPWHY_MISSING_UID},
	{TCPWHY_BOUND, false, 0, TCPWHY_REFUSED, 0},
	{TCPWHY_BOUND, false, REUSE, TCPWHY_DEPENDS, TCPWHY_MISSING_REUSEADDR},
};

static void test_unknown_flags(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tris) / sizeof(tris[0]); i++) {
		struct tcpwhy_engine *e = fixture_engine(0);
		struct tcpwhy_owner o = seen(tris[i].state, tris[i].timewait);
		struct tcpwhy_bind_request q = asks("0.0.0.0", 80, tris[i].flags);
		struct tcpwhy_verdict v;
		assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
		tcpwhy_would_bind(e, &q, &v);
		if (v.answer != tris[i].answer || v.missing != tris[i].missing)
			fail_msg("row %zu: answer %d, missing %#x", i, (int)v.answer, v.missing);
		tcpwhy_engine_free(e);
	}
}

static void test_unseen_owners(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, 0);
	struct tcpwhy_verdict v;

	tcpwhy_import_blind(e, true);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_OWNERS);
	assert_int_equal(do_bind(e, sock4(e, 0), "127.0.0.1", 80), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	q = asks("0.0.0.0", 81, 0);
	q.may_bind_low = TCPWHY_UNKNOWN;
	tcpwhy_import_blind(e, false);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_PRIVILEGE);
	assert_int_equal(v.error, EACCES);
}

/* Bad imports are refused, and time lets imported TIME_WAIT go. */
static void test_import(void **state)
{
	struct tcpwhy_engine *e = *state;
	struct tcpwhy_owner o = seen(TCPWHY_TIME_WAIT, true), bad = o;
	struct tcpwhy_bind_request q = asks("0.0.0.0", 80, 0);
	struct tcpwhy_verdict v;

	bad.state = 12;
	assert_int_equal(tcpwhy_import_owner(e, &bad, NULL), -EINVAL);
	bad = o;
	bad.family = 0;
	assert_int_equal(tcpwhy_import_owner(e, &bad, NULL), -EINVAL);
	bad = o;
	bad.port = 0;
	assert_int_equal(tcpwhy_import_owner(e, &bad, NULL), -EINVAL);
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	o.expires_ns /= 2;
	o.peer_port = 6;
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.holders, 2);
	assert_int_equal(v.last_expiry_ns, 60 * UINT64_C(1000000000));
	tcpwhy_advance(e, 30 * UINT64_C(1000000000));
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.holders, 1);
	tcpwhy_advance(e, 60 * UINT64_C(1000000000));
	tcpwhy_would_bind(e, &q, &v);
	assert_int_equal(v.answer, TCPWHY_OK);
}

static void test_stale_handles(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock s = sock4(e, 0);
	enum tcpwhy_sent sent;
	struct tcpwhy_verdict v;
	struct tcpwhy_addr a = at("127.0.0.1");

	assert_int_equal(tcpwhy_close(e, s, &sent), 0);
	assert_int_equal(tcpwhy_close(e, s, &sent), -EBADF);
	tcpwhy_sock t = sock4(e, 0);
	assert_int_not_equal(s, t);
	assert_int_equal(tcpwhy_bind(e, s, &a, 80, &first_port, &v), -EBADF);
	assert_int_equal(tcpwhy_listen(e, 0, &first_port, &v), -EBADF);
	assert_int_equal(tcpwhy_setsockopt(e, ~UINT64_C(0), TCPWHY_SO_REUSEADDR, 1), -EBADF);
}

/* With little memory calls fail as the kernel's do, and nothing is half done. */
static void test_memory_limit(void **state)
{
	struct tcpwhy_engine *e = fixture_engine(6000);
	int error = 0;

	(void)state;
	for (uint16_t port = 1; port < 1000 && !error; port++) {
		tcpwhy_sock s;
		error = tcpwhy_socket(e, TCPWHY_IPV4, 0, true, &s);
		if (!error)
			error = do_bind(e, s, "127.0.0.1", port);
	}
	assert_true(error == -ENOMEM || error == EADDRINUSE);
	assert_true(tcpwhy_engine_bytes(e) <= 6000);
	tcpwhy_engine_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		engine_test(test_errno_of_checks),
		engine_test(test_nonlocal),
		engine_test(test_tentative),
		engine_test(test_listen_is_second_gate),
		engine_test(test_listen_states),
		engine_test(test_failed_bind_leaves_nothing),
		engine_test(test_would_bind_changes_nothing),
		engine_test(test_option_taken_away),
		engine_test(test_would_listen_be_refused),
		engine_test(test_holders),
		cmocka_unit_test(test_unknown_flags),
		engine_test(test_unseen_owners),
		engine_test(test_import),
		engine_test(test_no_holders_when_passed),
		cmocka_unit_test(test_each_allocation_fails),
		engine_test(test_stale_handles),
		cmocka_unit_test(test_memory_limit),
	};

	return unit_run("bind", tests);
}
