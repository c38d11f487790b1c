/* SPDX-License-Identifier: MIT
 *
 * Each row of the conflict rule: a pair that conflicts and one that nearly does.
 */
#include "engine_fixture.h"

enum owner_kind { IS_BOUND, LISTENS, TW_OF_SERVER, TW_OF_CLIENT, CONNECTED, OUTGOING };

/* Leaves one owner of 127.0.0.1:80 in the given state, made by a socket with these flags. */
static void make_owner(struct tcpwhy_engine *e, enum owner_kind kind, unsigned flags)
{
	enum tcpwhy_sent sent;
	tcpwhy_sock a = sock4(e, flags);

	assert_int_equal(do_bind(e, a, "127.0.0.1", 80), 0);
	if (kind == IS_BOUND)
		return;
	if (kind == TW_OF_CLIENT || kind == OUTGOING) {
		tcpwhy_sock l = sock4(e, 0);
		assert_int_equal(do_bind(e, l, "10.0.0.1", 99), 0);
		assert_int_equal(do_listen(e, l), 0);
		tcpwhy_sock child = join(e, a, l, "10.0.0.1", 99, "127.0.0.1");
		if (kind == TW_OF_CLIENT)
			part(e, a, child);
		return;
	}
	assert_int_equal(do_listen(e, a), 0);
	if (kind == LISTENS)
		return;
	tcpwhy_sock client = sock4(e, 0);
	tcpwhy_sock child = join(e, client, a, "127.0.0.1", 80, "10.0.0.1");
	if (kind == TW_OF_SERVER)
		part(e, child, client);
	assert_int_equal(tcpwhy_close(e, a, &sent), 0);
}

struct row {
	enum owner_kind owner;
	unsigned owner_flags, new_flags;
	int bind_error;
	enum tcpwhy_rule rule;
};

static const struct row matrix[] = {
	{IS_BOUND, 0, 0, EADDRINUSE, TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE},
	{IS_BOUND, 0, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE},
	{IS_BOUND, REUSE, 0, EADDRINUSE, TCPWHY_RULE_BIND_BOUND_NEEDS_REUSE},
	{IS_BOUND, REUSE, REUSE, 0, TCPWHY_RULE_NONE},
	{IS_BOUND, PORT, PORT, 0, TCPWHY_RULE_NONE},
	{IS_BOUND, PORT, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_BOUND_WITHOUT_REUSE},
	{LISTENS, 0, 0, EADDRINUSE, TCPWHY_RULE_BIND_LISTENER},
	{LISTENS, REUSE, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_LISTENER},
	{LISTENS, PORT, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_LISTENER},
	{LISTENS, PORT, PORT, 0, TCPWHY_RULE_NONE},
	{LISTENS, PORT, PORT | REUSE, 0, TCPWHY_RULE_NONE},
	{TW_OF_SERVER, 0, 0, EADDRINUSE, TCPWHY_RULE_BIND_TW_WITHOUT_REUSE},
	{TW_OF_SERVER, 0, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_TW_WITHOUT_REUSE},
	{TW_OF_SERVER, REUSE, 0, EADDRINUSE, TCPWHY_RULE_BIND_TW_NEEDS_REUSE},
	{TW_OF_SERVER, REUSE, REUSE, 0, TCPWHY_RULE_NONE},
	{TW_OF_SERVER, PORT, PORT, 0, TCPWHY_RULE_NONE},
	{TW_OF_SERVER, PORT, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_TW_WITHOUT_REUSE},
	{TW_OF_CLIENT, 0, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_TW_WITHOUT_REUSE},
	{TW_OF_CLIENT, REUSE, REUSE, 0, TCPWHY_RULE_NONE},
	{CONNECTED, 0, REUSE, EADDRINUSE, TCPWHY_RULE_BIND_CONN_WITHOUT_REUSE},
	{CONNECTED, REUSE, 0, EADDRINUSE, TCPWHY_RULE_BIND_CONN_NEEDS_REUSE},
	{CONNECTED, REUSE, REUSE, 0, TCPWHY_RULE_NONE},
	{OUTGOING, 0, 0, EADDRINUSE, TCPWHY_RULE_BIND_CONN_WITHOUT_REUSE},
	{OUTGOING, REUSE, REUSE, 0, TCPWHY_RULE_NONE},
};

static void test_matrix(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
		static const char *const places[] = {"127.0.0.1", "0.0.0.0"};
		for (size_t p = 0; p < 2; p++) {
			struct tcpwhy_engine *e = fixture_engine(0);
			make_owner(e, matrix[i].owner, matrix[i].owner_flags);
			struct tcpwhy_verdict v =
				bind_verdict(e, sock4(e, matrix[i].new_flags), places[p], 80);
			if (v.error != matrix[i].bind_error || v.rule != matrix[i].rule)
				fail_msg("row %zu at %s: errno %d, rule %s", i, places[p], v.error,
					 tcpwhy_rule_info(v.rule)->id);
			tcpwhy_engine_free(e);
		}
	}
}

/* TIME_WAIT has no uid: SO_REUSEPORT passes it whoever asks; a listener's uid must be equal. */
static void test_uid(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = sock6(e, TCPWHY_IPV4, PORT, 1000);

	assert_int_equal(do_bind(e, l, "127.0.0.1", 8080), 0);
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV4, PORT, 1000), "127.0.0.1", 8080), 0);
	struct tcpwhy_verdict v =
		bind_verdict(e, sock6(e, TCPWHY_IPV4, PORT, 1001), "127.0.0.1", 8080);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_BOUND_OTHER_UID);
	assert_int_equal(do_listen(e, l), 0);
	v = bind_verdict(e, sock6(e, TCPWHY_IPV4, PORT, 1001), "127.0.0.1", 8080);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_LISTENER_OTHER_UID);
	assert_int_equal(v.error, EADDRINUSE);
}

static void test_uid_of_timewait(void **state)
{
	struct tcpwhy_engine *e = *state;

	make_owner(e, TW_OF_SERVER, PORT);
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV4, PORT, 4711), "127.0.0.1", 80), 0);
}

static void test_device(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock a = sock4(e, 0), b = sock4(e, 0), c = sock4(e, 0), d = sock4(e, 0);

	tcpwhy_setsockopt(e, a, TCPWHY_SO_BINDTODEVICE, ETH0);
	tcpwhy_setsockopt(e, b, TCPWHY_SO_BINDTODEVICE, ETH1);
	tcpwhy_setsockopt(e, d, TCPWHY_SO_BINDTODEVICE, ETH0);
	assert_int_equal(do_bind(e, a, "0.0.0.0", 80), 0);
	assert_int_equal(do_bind(e, b, "0.0.0.0", 80), 0);
	assert_int_equal(do_listen(e, a), 0);
	assert_int_equal(do_listen(e, b), 0);
	assert_int_equal(do_bind(e, c, "0.0.0.0", 80), EADDRINUSE);
	assert_int_equal(do_bind(e, d, "0.0.0.0", 80), EADDRINUSE);
	assert_int_equal(tcpwhy_setsockopt(e, c, TCPWHY_SO_BINDTODEVICE, 77), ENODEV);
}

/* A socket in a BPF-steered group of its own cannot join another (reuseport_cb_ok). */
static void test_steered(void **state)
{
	struct tcpwhy_engine *e = *state;
	tcpwhy_sock l = sock4(e, PORT), own = sock4(e, PORT);

	assert_int_equal(do_bind(e, l, "127.0.0.1", 80), 0);
	assert_int_equal(do_listen(e, l), 0);
	assert_int_equal(tcpwhy_setsockopt(e, own, TCPWHY_SO_ATTACH_REUSEPORT, 1), 0);
	struct tcpwhy_verdict v = bind_verdict(e, own, "127.0.0.1", 80);
	assert_int_equal(v.error, EADDRINUSE);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_REUSEPORT_STEERED);
	assert_int_equal(do_bind(e, sock4(e, PORT), "127.0.0.1", 80), 0);
	assert_int_equal(tcpwhy_setsockopt(e, sock4(e, 0), TCPWHY_SO_ATTACH_REUSEPORT, 1), EINVAL);
}

/* ----------------------------------------------------------------------------- overlap */

struct overlap_row {
	const char *a;
	unsigned a_flags;
	const char *b;
	unsigned b_flags;
	bool overlap; /* in both orders */
};

static const struct overlap_row overlaps[] = {
	{"0.0.0.0", 0, "127.0.0.1", 0, true},
	{"127.0.0.1", 0, "10.0.0.1", 0, false},
	{"::", 0, "0.0.0.0", 0, true},
	{"::", 0, "127.0.0.1", 0, true},
	{"::", V6ONLY, "0.0.0.0", 0, false},
	{"::", V6ONLY, "127.0.0.1", 0, false},
	{"::", V6ONLY, "::", 0, true},
	{"::", V6ONLY, "::1", 0, true},
	{"::", 0, "::1", 0, true},
	{"::1", 0, "0.0.0.0", 0, false},
	{"::1", 0, "fd00::1", 0, false},
	{"::1", 0, "::1", 0, true},
	{"::ffff:127.0.0.1", 0, "127.0.0.1", 0, true},
	{"::ffff:127.0.0.1", 0, "0.0.0.0", 0, true},
	{"::ffff:127.0.0.1", 0, "::", 0, true},
	{"::ffff:127.0.0.1", 0, "::", V6ONLY, false},
	{"::ffff:0.0.0.0", 0, "127.0.0.1", 0, true},
	{"::ffff:0.0.0.0", 0, "::1", 0, false},
	{"::ffff:10.0.0.1", 0, "127.0.0.1", 0, false},
};

static enum tcpwhy_family family_of(const char *text)
{
	struct tcpwhy_addr a;
	enum tcpwhy_family f;

	assert_true(address_parse(text, &a, &f));
	return f;
}

static void check_overlap(const char *a, unsigned af, const char *b, unsigned bf, bool overlap)
{
	struct tcpwhy_engine *e = fixture_engine(0);

	assert_int_equal(do_bind(e, sock6(e, family_of(a), af, 0), a, 8080), 0);
	if (do_bind(e, sock6(e, family_of(b), bf, 0), b, 8080) != (overlap ? EADDRINUSE : 0))
		fail_msg("%s%s, then %s%s", a, af ? " v6only" : "", b, bf ? " v6only" : "");
	tcpwhy_engine_free(e);
}

static void test_overlap(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
		const struct overlap_row *r = &overlaps[i];
		check_overlap(r->a, r->a_flags, r->b, r->b_flags, r->overlap);
		check_overlap(r->b, r->b_flags, r->a, r->a_flags, r->overlap);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),     engine_test(test_uid),
		engine_test(test_uid_of_timewait), engine_test(test_device),
		engine_test(test_steered),         cmocka_unit_test(test_overlap),
	};

	return unit_run("conflict", tests);
}
