/* SPDX-License-Identifier: MIT
 *
 * Releases: each feature on both sides of the release that brought it
 *
 * A scene is played on every row and leaves one number; a table says on which rows it is which.
 */
#include "engine_fixture.h"

#include <string.h>

#define MS UINT64_C(1000000)

enum { LOW = 20000 };

typedef int scene(struct tcpwhy_engine *e);

/* The rows from "first" on give one value, those before it another. */
static void check_since(const char *what, scene *play, const char *first, int before, int since)
{
	bool reached = false;

	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		const char *name = tcpwhy_row_at(i)->name;
		struct tcpwhy_engine *e = fixture_row(name, 0);
		reached |= strcmp(name, first) == 0;
		int got = play(e);
		if (got != (reached ? since : before))
			fail_msg("%s on %s: %d", what, name, got);
		tcpwhy_engine_free(e);
	}
	assert_true(reached);
}

static int play_on(const char *row, scene *play)
{
	struct tcpwhy_engine *e = fixture_row(row, 0);
	int got = play(e);

	tcpwhy_engine_free(e);
	return got;
}

/* ------------------------------------------------------------------------------------ defaults */

static void test_names_and_defaults(void **state)
{
	static const char *const names[] = {"3.10",   "4.9.0",  "4.9.y", "4.11",
					    "4.19.y", "5.10.y", "6.1.4", "6.1.y",
					    "6.12.y", "6.18.y", "7.2.y"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct tcpwhy_row *row = tcpwhy_row_at(i);
		assert_string_equal(row->name, names[i]);
		assert_ptr_equal(tcpwhy_row_find(names[i]), row);
		assert_int_equal(row->defaults.port_low, 32768);
		assert_int_equal(row->defaults.port_high, i == 0 ? 61000 : 60999);
		assert_int_equal(row->defaults.tw_reuse, i < 4 ? 0 : 2);
		assert_false(row->defaults.autobind_reuse);
		assert_int_equal(row->unverified != 0, i >= 1 && i <= 4);
	}
	assert_null(tcpwhy_row_at(sizeof(names) / sizeof(names[0])));
	assert_null(tcpwhy_row_find("6.1"));
}

/* ------------------------------------------------------------------------------ socket options */

static int range_option(struct tcpwhy_engine *e)
{
	return tcpwhy_setsockopt(e, sock4(e, 0), TCPWHY_IP_LOCAL_PORT_RANGE, LOW | LOW << 16);
}

static int no_port_option(struct tcpwhy_engine *e)
{
	return tcpwhy_setsockopt(e, sock4(e, 0), TCPWHY_IP_BIND_ADDRESS_NO_PORT, 1);
}

static int attach_option(struct tcpwhy_engine *e)
{
	return tcpwhy_setsockopt(e, sock4(e, PORT), TCPWHY_SO_ATTACH_REUSEPORT, 1);
}

static void test_options(void **state)
{
	(void)state;
	check_since("IP_LOCAL_PORT_RANGE", range_option, "6.1.y", ENOPROTOOPT, 0);
	check_since("IP_BIND_ADDRESS_NO_PORT", no_port_option, "4.9.0", ENOPROTOOPT, 0);
	check_since("SO_ATTACH_REUSEPORT", attach_option, "4.9.0", ENOPROTOOPT, 0);
}

/* A range in a question is as good as the option. */
static int asked_range(struct tcpwhy_engine *e)
{
	struct tcpwhy_connect_request q = {.peer = at("10.0.0.1"),
					   .source = at("10.0.0.2"),
					   .peer_port = 80,
					   .family = TCPWHY_IPV4,
					   .range_low = 40000,
					   .range_high = 40004};
	struct tcpwhy_verdict v;

	tcpwhy_would_connect(e, &q, &v);
	return v.range_total == 5;
}

/* Connects through a range of five until none is left: with an odd count two passes miss one. */
static int socket_range(struct tcpwhy_engine *e)
{
	uint64_t range = 40000 | UINT64_C(40004) << 16;
	int n = 0;

	for (;; n++) {
		tcpwhy_sock s = sock4(e, 0);
		if (tcpwhy_setsockopt(e, s, TCPWHY_IP_LOCAL_PORT_RANGE, range))
			return 0;
		if (do_connect(e, s, "10.0.0.1", 80, "10.0.0.2"))
			return n;
	}
}

static void test_socket_range(void **state)
{
	(void)state;
	check_since("range asked for", asked_range, "6.1.y", 0, 1);
	assert_int_equal(play_on("6.1.4", socket_range), 0);
	assert_int_equal(play_on("6.1.y", socket_range), 4);
	assert_int_equal(play_on("6.12.y", socket_range), 5);
}

static int low_port(struct tcpwhy_engine *e)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);
	struct tcpwhy_addr a = at("0.0.0.0");
	struct tcpwhy_verdict v;
	tcpwhy_sock sock;

	s.unprivileged_port_start = 80;
	assert_int_equal(tcpwhy_set_sysctls(e, &s), 0);
	assert_int_equal(tcpwhy_socket(e, TCPWHY_IPV4, 1000, false, &sock), 0);
	assert_int_equal(tcpwhy_bind(e, sock, &a, 80, &first_port, &v), 0);
	return v.error;
}

static void test_unprivileged_port_start(void **state)
{
	(void)state;
	check_since("port 80 below 1024", low_port, "4.11", EACCES, 0);
}

/* ----------------------------------------------------------------------------------- TIME_WAIT */

/* A connection from "source" to 10.0.0.1:80 that the client closed, 500 ms into a second. */
static tcpwhy_sock leave_time_wait(struct tcpwhy_engine *e, const char *source)
{
	tcpwhy_sock l = sock4(e, REUSE), client = sock4(e, 0);

	tcpwhy_advance(e, 1000500 * MS);
	sysctl_set(e, LOW, LOW);
	assert_int_equal(do_bind(e, l, "10.0.0.1", 80), 0);
	assert_int_equal(do_listen(e, l), 0);
	tcpwhy_sock child = join(e, client, l, "10.0.0.1", 80, source);
	return part(e, client, child);
}

static void set_reuse(struct tcpwhy_engine *e, uint8_t value)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);

	s.tw_reuse = value;
	assert_int_equal(tcpwhy_set_sysctls(e, &s), 0);
}

/* Milliseconds until connect() takes the TIME_WAIT over; -1: within ten seconds it does not. */
static int reuse_after(struct tcpwhy_engine *e, const char *source)
{
	uint64_t start = tcpwhy_now(e);

	for (int ms = 0; ms < 10000; ms++) {
		tcpwhy_advance(e, start + (uint64_t)ms * MS);
		if (!do_connect(e, sock4(e, 0), "10.0.0.1", 80, source))
			return ms;
	}
	return -1;
}

static int reuse_age(struct tcpwhy_engine *e)
{
	leave_time_wait(e, "10.0.0.2");
	set_reuse(e, 1);
	return reuse_after(e, "10.0.0.2");
}

static int reuse_by_two(struct tcpwhy_engine *e)
{
	leave_time_wait(e, "10.0.0.2");
	set_reuse(e, 2);
	return reuse_after(e, "10.0.0.2") >= 0;
}

static int reuse_by_default(struct tcpwhy_engine *e)
{
	leave_time_wait(e, "127.0.0.1");
	return reuse_after(e, "127.0.0.1") >= 0;
}

static int reuse_off(struct tcpwhy_engine *e)
{
	leave_time_wait(e, "127.0.0.1");
	set_reuse(e, 0);
	return reuse_after(e, "127.0.0.1");
}

static void test_reuse(void **state)
{
	(void)state;
	check_since("value 2 off loopback", reuse_by_two, "4.19.y", 1, 0);
	check_since("the default on loopback", reuse_by_default, "4.19.y", 0, 1);
	check_since("value 0", reuse_off, "3.10", 0, -1);
	assert_int_equal(play_on("4.11", reuse_age), 1500);
	assert_int_equal(play_on("4.19.y", reuse_age), 500);
	assert_int_equal(play_on("6.12.y", reuse_age), 500);
	assert_int_equal(play_on("6.18.y", reuse_age), 1001);
}

/* The orphan's mini-socket in FIN_WAIT2. */
static int reuse_fin_wait2(struct tcpwhy_engine *e)
{
	tcpwhy_sock l = sock4(e, REUSE), client = sock4(e, 0);
	enum tcpwhy_sent sent;

	sysctl_set(e, LOW, LOW);
	assert_int_equal(do_bind(e, l, "10.0.0.1", 80), 0);
	assert_int_equal(do_listen(e, l), 0);
	join(e, client, l, "10.0.0.1", 80, "10.0.0.2");
	assert_int_equal(tcpwhy_close(e, client, &sent), 0);
	assert_int_equal(tcpwhy_fin_acked(e, client, NULL), 0);
	set_reuse(e, 1);
	return reuse_after(e, "10.0.0.2") >= 0;
}

static void test_reuse_fin_wait2(void **state)
{
	(void)state;
	assert_int_equal(play_on("3.10", reuse_fin_wait2), 1);
	assert_int_equal(play_on("6.1.4", reuse_fin_wait2), 1);
	assert_int_equal(play_on("6.1.y", reuse_fin_wait2), 0);
	assert_int_equal(play_on("6.18.y", reuse_fin_wait2), 0);
}

/* bind() of the client's port beside its TIME_WAIT, which lacks SO_REUSEADDR. */
static int bind_beside(struct tcpwhy_engine *e, enum tcpwhy_family family, const char *addr)
{
	leave_time_wait(e, "10.0.0.2");
	return do_bind(e, sock6(e, family, REUSE, 0), addr, LOW);
}

static int bind_address(struct tcpwhy_engine *e)
{
	return bind_beside(e, TCPWHY_IPV4, "10.0.0.2");
}

static int bind_wildcard(struct tcpwhy_engine *e)
{
	return bind_beside(e, TCPWHY_IPV4, "0.0.0.0");
}

static int bind_mapped(struct tcpwhy_engine *e)
{
	return bind_beside(e, TCPWHY_IPV6, "10.0.0.2");
}

static void test_hidden_time_wait(void **state)
{
	(void)state;
	assert_int_equal(play_on("5.10.y", bind_address), EADDRINUSE);
	assert_int_equal(play_on("6.1.4", bind_address), 0);
	assert_int_equal(play_on("6.1.y", bind_address), EADDRINUSE);
	check_since("wildcard", bind_wildcard, "3.10", 0, EADDRINUSE);
	check_since("v4-mapped", bind_mapped, "3.10", 0, EADDRINUSE);
}

/* An IPv6 socket is bound to the v4-mapped wildcard; then comes another with that address. */
static int bind_beside_mapped_any(struct tcpwhy_engine *e, enum tcpwhy_family family,
				  const char *addr)
{
	assert_int_equal(do_bind(e, sock6(e, TCPWHY_IPV6, 0, 0), "0.0.0.0", LOW), 0);
	return do_bind(e, sock6(e, family, 0, 0), addr, LOW);
}

static int mapped_address(struct tcpwhy_engine *e)
{
	return bind_beside_mapped_any(e, TCPWHY_IPV6, "10.0.0.2");
}

static int ipv4_address(struct tcpwhy_engine *e)
{
	return bind_beside_mapped_any(e, TCPWHY_IPV4, "10.0.0.2");
}

static int mapped_wildcard(struct tcpwhy_engine *e)
{
	return bind_beside_mapped_any(e, TCPWHY_IPV6, "0.0.0.0");
}

static void test_hidden_mapped_any(void **state)
{
	(void)state;
	assert_int_equal(play_on("6.1.4", mapped_address), EADDRINUSE);
	assert_int_equal(play_on("6.1.y", mapped_address), 0);
	assert_int_equal(play_on("6.12.y", mapped_address), EADDRINUSE);
	check_since("IPv4", ipv4_address, "3.10", 0, EADDRINUSE);
	check_since("wildcard", mapped_wildcard, "3.10", 0, EADDRINUSE);
}

/* -------------------------------------------------------------------------------------- bucket */

static struct tcpwhy_bucket bucket_of(struct tcpwhy_engine *e, uint16_t port)
{
	struct tcpwhy_bucket b;

	assert_true(tcpwhy_get_bucket(e, port, 0, &b));
	return b;
}

static int first_owner(struct tcpwhy_engine *e)
{
	assert_int_equal(do_bind(e, sock4(e, REUSE | PORT), "10.0.0.1", LOW), 0);
	struct tcpwhy_bucket b = bucket_of(e, LOW);
	return b.fastreuse * 10 + b.fastreuseport;
}

static int lowered_reuseport(struct tcpwhy_engine *e)
{
	assert_int_equal(do_bind(e, sock4(e, 0), "10.0.0.1", LOW), 0);
	assert_int_equal(do_bind(e, sock4(e, PORT), "10.0.0.2", LOW), 0);
	return bucket_of(e, LOW).fastreuseport;
}

/* Both accept by SO_REUSEPORT; the second lacks SO_REUSEADDR. */
static int noted_after_fast_accept(struct tcpwhy_engine *e)
{
	assert_int_equal(do_bind(e, sock4(e, REUSE | PORT), "10.0.0.1", LOW), 0);
	assert_int_equal(do_bind(e, sock4(e, PORT), "10.0.0.1", LOW), 0);
	return bucket_of(e, LOW).fastreuse;
}

static int relaxes(struct tcpwhy_engine *e)
{
	tcpwhy_sock owner = sock4(e, REUSE);
	enum tcpwhy_sent sent;

	sysctl_set(e, LOW, LOW);
	assert_int_equal(do_connect(e, sock4(e, REUSE), "10.0.0.1", 80, "10.0.0.2"), 0);
	assert_int_equal(do_bind(e, owner, "127.0.0.1", LOW), 0);
	assert_int_equal(tcpwhy_close(e, owner, &sent), 0);
	return do_connect(e, sock4(e, 0), "10.0.0.1", 81, "10.0.0.2");
}

static void test_bucket(void **state)
{
	(void)state;
	check_since("first owner", first_owner, "6.12.y", 11, 2);
	check_since("raised to STRICT", lowered_reuseport, "4.11", 0, 2);
	assert_int_equal(play_on("4.9.y", noted_after_fast_accept), 1);
	assert_int_equal(play_on("4.11", noted_after_fast_accept), 0);
	check_since("relaxes", relaxes, "6.18.y", EADDRNOTAVAIL, 0);
}

/* A socket that attached a program of its own stays outside the group. */
static int steered(struct tcpwhy_engine *e)
{
	struct tcpwhy_bind_request q = {.addr = at("10.0.0.1"),
					.port = LOW,
					.family = TCPWHY_IPV4,
					.reuseport = true,
					.reuseport_cb = true};
	struct tcpwhy_verdict v;

	assert_int_equal(do_bind(e, sock4(e, PORT), "10.0.0.1", LOW), 0);
	tcpwhy_would_bind(e, &q, &v);
	return v.error;
}

static void test_steered(void **state)
{
	(void)state;
	check_since("steered", steered, "4.9.0", 0, EADDRINUSE);
}

/* ------------------------------------------------------------------------------------- bind(0) */

static int fill(struct tcpwhy_engine *e, unsigned flags, uint16_t ports)
{
	int n = 0;

	sysctl_set(e, LOW, (uint16_t)(LOW + ports - 1));
	while (n < 100 && !do_bind(e, sock4(e, flags), "10.0.0.1", 0))
		n++;
	return n;
}

static int fill_plain(struct tcpwhy_engine *e)
{
	return fill(e, 0, 8);
}

static int fill_reuse(struct tcpwhy_engine *e)
{
	return fill(e, REUSE, 8);
}

static int fill_reuseport(struct tcpwhy_engine *e)
{
	return fill(e, PORT, 8);
}

static int fill_odd(struct tcpwhy_engine *e)
{
	return fill(e, 0, 3);
}

static void turn_autobind_on(struct tcpwhy_engine *e)
{
	struct tcpwhy_sysctls s = *tcpwhy_sysctls(e);

	s.autobind_reuse = true;
	assert_int_equal(tcpwhy_set_sysctls(e, &s), 0);
}

static int autobind_reuse(struct tcpwhy_engine *e)
{
	turn_autobind_on(e);
	return fill(e, REUSE, 8);
}

static int autobind_pair(struct tcpwhy_engine *e)
{
	turn_autobind_on(e);
	return fill(e, REUSE | PORT, 8);
}

static void test_bind_any_shares(void **state)
{
	(void)state;
	check_since("nothing to share", fill_plain, "3.10", 0, 8);
	check_since("SO_REUSEADDR", fill_reuse, "4.11", 100, 8);
	check_since("last port of an odd range", fill_odd, "4.9.0", 3, 2);
	assert_int_equal(play_on("3.10", fill_reuseport), 100);
	assert_int_equal(play_on("4.11", fill_reuseport), 8);
	assert_int_equal(play_on("4.19.y", autobind_reuse), 8);
	assert_int_equal(play_on("5.10.y", autobind_reuse), 100);
	assert_int_equal(play_on("5.10.y", autobind_pair), 8);
}

static uint16_t bind_drawn(struct tcpwhy_engine *e, tcpwhy_sock s, uint32_t draw)
{
	const struct tcpwhy_choice choice = {.draw = fixture_draw, .ctx = &draw};
	struct tcpwhy_addr a = at("10.0.0.1");
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_bind(e, s, &a, 0, &choice, &v), 0);
	return v.error ? 0 : v.port;
}

/* 3.10 goes on port after port; since 4.6 the odd offsets come first. */
static void test_bind_any_walk(void **state)
{
	static const struct {
		const char *row;
		uint16_t port[4];
	} table[] = {{"3.10", {2, 3, 0, 1}}, {"4.9.0", {3, 1, 2, 0}}, {"6.18.y", {3, 1, 2, 0}}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tcpwhy_engine *e = fixture_row(table[i].row, 0);
		sysctl_set(e, LOW, LOW + 3);
		for (unsigned n = 0; n < 4; n++)
			assert_int_equal(bind_drawn(e, sock4(e, 0), 2), LOW + table[i].port[n]);
		assert_int_equal(bind_drawn(e, sock4(e, 0), 2), 0);
		tcpwhy_engine_free(e);
	}
}

static bool admits(struct tcpwhy_engine *e, tcpwhy_sock s, uint16_t port, bool none)
{
	const struct tcpwhy_choice choice = {.draw = fixture_draw, .follow = port, .none = none};
	struct tcpwhy_addr a = at("10.0.0.1");
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_bind(e, s, &a, 0, &choice, &v), 0);
	return v.error == 0;
}

static struct tcpwhy_verdict ask_any(struct tcpwhy_engine *e)
{
	struct tcpwhy_bind_request q = {
		.addr = at("10.0.0.1"), .family = TCPWHY_IPV4, .reuse = TCPWHY_REUSE_CAN};
	struct tcpwhy_verdict v;

	tcpwhy_would_bind(e, &q, &v);
	return v;
}

/* The port with the fewest sockets is the one that is shared. */
static void test_smallest_is_shared(void **state)
{
	struct tcpwhy_engine *e = fixture_row("3.10", 0);

	(void)state;
	sysctl_set(e, LOW, LOW + 2);
	for (uint16_t n = 0; n < 3; n++)
		assert_int_equal(do_bind(e, sock4(e, REUSE), "10.0.0.1", LOW + n), 0);
	assert_int_equal(do_bind(e, sock4(e, REUSE), "10.0.0.1", LOW), 0);
	assert_int_equal(do_bind(e, sock4(e, REUSE), "10.0.0.1", LOW + 2), 0);
	struct tcpwhy_verdict v = ask_any(e);
	assert_int_equal(v.answer, TCPWHY_OK);
	assert_int_equal(v.port, LOW + 1);
	assert_false(admits(e, sock4(e, REUSE), LOW, false));
	assert_int_equal(bind_drawn(e, sock4(e, REUSE), 2), LOW + 1);
	/* Three are equal now: any of them, and the question names none. */
	v = ask_any(e);
	assert_int_equal(v.answer, TCPWHY_OK);
	assert_int_equal(v.port, 0);
	assert_int_equal(bind_drawn(e, sock4(e, REUSE), 2), LOW + 2);
	assert_true(admits(e, sock4(e, REUSE), LOW, false));
	assert_false(admits(e, sock4(e, 0), LOW, false));
	tcpwhy_engine_free(e);
}

/* 4.9 shares an odd port while even ones are free; with SO_REUSEADDR in the lower half first. */
static void test_shared_before_even(void **state)
{
	struct tcpwhy_engine *e = fixture_row("4.9.y", 0);

	(void)state;
	sysctl_set(e, LOW, LOW + 7);
	for (unsigned n = 0; n < 2; n++)
		assert_int_equal(bind_drawn(e, sock4(e, REUSE), 0) % 2, 1);
	assert_false(admits(e, sock4(e, REUSE), LOW, false));
	assert_true(admits(e, sock4(e, REUSE), LOW + 1, false));
	assert_true(admits(e, sock4(e, 0), LOW + 5, false));
	assert_false(admits(e, sock4(e, 0), LOW + 2, false));
	tcpwhy_engine_free(e);
}

/* A bucket that would accept unseen, but with a socket in it that the relaxed rule refuses: all
 * begins again. The kernel gets there by a socket that took SO_REUSEADDR back. */
static void test_begins_again(void **state)
{
	struct tcpwhy_engine *e = fixture_row("3.10", 0);
	tcpwhy_sock turned = sock4(e, REUSE);
	struct tcpwhy_verdict v;

	(void)state;
	sysctl_set(e, LOW, LOW + 1);
	assert_int_equal(do_bind(e, turned, "10.0.0.1", LOW), 0);
	assert_int_equal(do_bind(e, sock4(e, REUSE), "10.0.0.1", LOW + 1), 0);
	assert_int_equal(tcpwhy_setsockopt(e, turned, TCPWHY_SO_REUSEADDR, 0), 0);
	v = ask_any(e);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_DRAW);
	assert_false(admits(e, sock4(e, REUSE), 0, true));
	assert_false(admits(e, sock4(e, REUSE), LOW, false));
	/* Starts 0, 1, ...: the first is refused, the second is not. */
	assert_int_equal(bind_drawn(e, sock4(e, REUSE), 0), LOW + 1);
	/* Now the refused one has the fewest, whatever the start. */
	assert_int_equal(bind_drawn(e, sock4(e, REUSE), 0), 0);
	v = ask_any(e);
	assert_int_equal(v.answer, TCPWHY_REFUSED);
	assert_int_equal(v.rule, TCPWHY_RULE_BIND_RANGE_EXHAUSTED);
	tcpwhy_engine_free(e);
}

/* Without the bucket's fields it is unknown whether a port can be shared. */
static void test_sharing_unknown(void **state)
{
	struct tcpwhy_engine *e = fixture_row("3.10", 0);
	struct tcpwhy_owner o = {.local = at("10.0.0.1"),
				 .port = LOW,
				 .family = TCPWHY_IPV4,
				 .state = TCPWHY_BOUND,
				 .reuse = TCPWHY_REUSE_CAN};

	(void)state;
	sysctl_set(e, LOW, LOW);
	assert_int_equal(tcpwhy_import_owner(e, &o, NULL), 0);
	struct tcpwhy_verdict v = ask_any(e);
	assert_int_equal(v.answer, TCPWHY_DEPENDS);
	assert_int_equal(v.missing, TCPWHY_MISSING_FAST);
	tcpwhy_engine_free(e);
}

/* ------------------------------------------------------------------------------------- connect */

static uint16_t connect_by(struct tcpwhy_engine *e, struct tcpwhy_perturb *perturb)
{
	uint32_t draw = 0;
	const struct tcpwhy_choice choice = {
		.draw = fixture_draw, .ctx = &draw, .perturb = perturb};
	struct tcpwhy_addr to = at("10.0.0.1"), from = at("10.0.0.2");
	struct tcpwhy_verdict v;

	assert_int_equal(tcpwhy_connect(e, sock4(e, 0), &to, 80, &from, &choice, &v), 0);
	return v.error ? 0 : v.port;
}

/* 3.10: hint and hash lead to the next port and the next; since 4.6 one parity comes first. */
static void test_connect_walk(void **state)
{
	(void)state;
	for (size_t i = 0; tcpwhy_row_at(i); i++) {
		struct tcpwhy_engine *e = fixture_row(tcpwhy_row_at(i)->name, 0);
		uint32_t table[1] = {0};
		struct tcpwhy_perturb perturb = {.key = {1, 2}, .table = table, .size = 1};
		uint16_t got[5] = {0};
		sysctl_set(e, LOW, LOW + 3);
		for (unsigned n = 0; n < 5; n++)
			got[n] = connect_by(e, &perturb);
		if (i == 0) {
			for (unsigned n = 1; n < 4; n++)
				assert_int_equal((got[n] - got[n - 1] + 4) % 4, 1);
		} else {
			assert_int_equal(got[0] % 2 + got[1] % 2, 0);
			assert_int_equal(got[2] % 2 + got[3] % 2, 2);
		}
		assert_int_equal(got[4], 0);
		tcpwhy_engine_free(e);
	}
}

/* The hint of the machine moves on by the ports tried; a table has noise, and one entry of many. */
static void test_hint_and_table(void **state)
{
	static const struct {
		const char *row;
		uint32_t first;
	} table[] = {{"3.10", 1}, {"4.9.0", 2}, {"4.11", 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tcpwhy_engine *e = fixture_row(table[i].row, 0);
		uint32_t entry[256] = {0};
		struct tcpwhy_perturb perturb = {.key = {1, 2}, .table = entry, .size = 256};
		assert_int_not_equal(connect_by(e, &perturb), 0);
		assert_int_equal(entry[0], table[i].first);
		tcpwhy_engine_free(e);
	}
}

/* Where the search of a fresh namespace begins, eleven seconds apart. */
static int start_moves(struct tcpwhy_engine *e)
{
	uint32_t entry[1] = {0};
	struct tcpwhy_perturb perturb = {.key = {1, 2}, .table = entry, .size = 1};
	uint16_t first = connect_by(e, &perturb);

	entry[0] = 0;
	tcpwhy_advance(e, 11000 * MS);
	uint16_t second = connect_by(e, &perturb);
	return first / 2 != second / 2 && second != first + 2;
}

static void test_rekeyed(void **state)
{
	(void)state;
	assert_int_equal(play_on("4.11", start_moves), 0);
	assert_int_equal(play_on("6.1.y", start_moves), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_defaults),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_socket_range),
		cmocka_unit_test(test_unprivileged_port_start),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_reuse_fin_wait2),
		cmocka_unit_test(test_hidden_time_wait),
		cmocka_unit_test(test_hidden_mapped_any),
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_steered),
		cmocka_unit_test(test_bind_any_shares),
		cmocka_unit_test(test_bind_any_walk),
		cmocka_unit_test(test_smallest_is_shared),
		cmocka_unit_test(test_shared_before_even),
		cmocka_unit_test(test_begins_again),
		cmocka_unit_test(test_sharing_unknown),
		cmocka_unit_test(test_connect_walk),
		cmocka_unit_test(test_hint_and_table),
		cmocka_unit_test(test_rekeyed),
	};

	return unit_run("row", tests);
}
