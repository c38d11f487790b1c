/* SPDX-License-Identifier: MIT
 *
 * Which sockets of a port are one server's, in made-up listings; and what the engine says of its
 * restart with and without SO_REUSEADDR on them.
 */
#include "cure/reuse_pick.h"
#include "cure/reuse_prove.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/address.h"
#include "live/heap.h"
#include "load/load.h"

enum { PORT = 8080, SOCKETS_MAX = 16 };

struct listing {
	struct snapshot snap;
	struct snapshot_owner owners[SOCKETS_MAX];
	uint8_t roles[SOCKETS_MAX];
};

static struct tcpwhy_addr parse(const char *text)
{
	enum tcpwhy_family family;
	struct tcpwhy_addr a;

	assert_true(address_parse(text, &a, &family));
	return a;
}

/* The family is the text's: "::ffff:1.2.3.4" is an IPv6 socket. Returns its index. */
static size_t add(struct listing *l, const char *local, enum tcpwhy_state state, uint32_t inode)
{
	struct snapshot_owner *s = &l->owners[l->snap.owners_n];
	enum tcpwhy_family family;

	*s = (struct snapshot_owner){.inode = inode, .cookie = 100 + l->snap.owners_n};
	assert_true(address_parse(local, &s->o.local, &family));
	s->o.family = (uint8_t)family;
	s->o.port = PORT;
	s->o.state = (uint8_t)state;
	s->o.reuse = TCPWHY_REUSE_NO;
	if (state != TCPWHY_LISTEN) {
		s->o.peer = parse("192.0.2.7");
		s->o.peer_port = (uint16_t)(1000 + l->snap.owners_n);
	}
	if (state == TCPWHY_TIME_WAIT) {
		s->o.timewait = true;
		s->o.expires_ns = l->snap.taken_ns + 60000000000u;
	}
	l->snap.owners = l->owners;
	return l->snap.owners_n++;
}

static struct listing empty(void)
{
	struct listing l = {0};

	l.snap.taken_ns = 1000000000;
	strcpy(l.snap.kernel, "6.18.44");
	return l;
}

static int pick(struct listing *l, const char *at, uint32_t a, uint32_t b)
{
	struct reuse_place place = {.addr_given = at != NULL};
	uint32_t inodes[2] = {a, b};
	enum tcpwhy_family family;

	if (at) {
		assert_true(address_parse(at, &place.addr, &family));
		place.family = (uint8_t)family;
	}
	memset(l->roles, 0xff, sizeof(l->roles));
	return reuse_pick(&l->snap, &place, inodes, b ? 2 : 1, l->roles);
}

/* A letter for each socket in the order in which they were added: Listener, Connection, Time-wait;
 * a stranger is '-'. */
static void assert_roles(const struct listing *l, const char *want)
{
	static const char letters[REUSE_ROLES] = {'-', 'L', 'C', 'q', 'o', 'T', 'e'};
	char got[SOCKETS_MAX + 1] = "";

	for (size_t i = 0; i < l->snap.owners_n; i++)
		got[i] = l->roles[i] < REUSE_ROLES ? letters[l->roles[i]] : '?';
	assert_string_equal(got, want);
}

/* One server on the wildcard, another on one address: each has the connections that the kernel's
 * lookup gave it. */
static void test_by_listener(void **state)
{
	struct listing l = empty();

	(void)state;
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);
	add(&l, "10.0.0.1", TCPWHY_LISTEN, 11);
	add(&l, "10.0.0.2", TCPWHY_ESTABLISHED, 12);
	add(&l, "10.0.0.1", TCPWHY_ESTABLISHED, 13);
	add(&l, "10.0.0.2", TCPWHY_TIME_WAIT, 0);
	add(&l, "10.0.0.1", TCPWHY_TIME_WAIT, 0);
	assert_int_equal(pick(&l, NULL, 10, 0), 1);
	assert_roles(&l, "L-C-T-");
	assert_int_equal(pick(&l, NULL, 11, 0), 1);
	assert_roles(&l, "-L-C-T");
	/* Both, of which one is named. */
	assert_int_equal(pick(&l, "10.0.0.1", 10, 11), 1);
	assert_roles(&l, "-L-C-T");
	assert_int_equal(pick(&l, "10.0.0.3", 10, 11), 0);
	assert_roles(&l, "------");
	/* Somebody else's. */
	assert_int_equal(pick(&l, NULL, 99, 0), 0);
}

/* A worker that has only a connection: its listener, and so the whole server, is meant. */
static void test_by_connection(void **state)
{
	struct listing l = empty();
	size_t listener = add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);

	(void)state;
	add(&l, "10.0.0.1", TCPWHY_ESTABLISHED, 11);
	add(&l, "10.0.0.1", TCPWHY_CLOSE_WAIT, 12);
	assert_int_equal(pick(&l, NULL, 11, 0), 1);
	assert_roles(&l, "LCC");

	/* The listener has gone: what the process has is its own, what others have is theirs. */
	l.owners[listener].o.state = TCPWHY_CLOSE_WAIT;
	l.owners[listener].o.local = parse("10.0.0.1");
	assert_int_equal(pick(&l, NULL, 11, 0), 1);
	assert_roles(&l, "-C-");
	assert_int_equal(pick(&l, "10.0.0.1", 11, 0), 1);
	assert_int_equal(pick(&l, "10.0.0.2", 11, 0), 0);
}

static void test_roles(void **state)
{
	static const struct {
		enum tcpwhy_state state;
		uint32_t inode;
		enum reuse_role role;
	} cases[] = {
		{TCPWHY_ESTABLISHED, 20, REUSE_CONNECTION}, {TCPWHY_ESTABLISHED, 0, REUSE_QUEUED},
		{TCPWHY_CLOSE_WAIT, 21, REUSE_CONNECTION},  {TCPWHY_CLOSE_WAIT, 0, REUSE_QUEUED},
		{TCPWHY_FIN_WAIT1, 22, REUSE_CONNECTION},   {TCPWHY_FIN_WAIT1, 0, REUSE_ORPHAN},
		{TCPWHY_FIN_WAIT2, 23, REUSE_CONNECTION},   {TCPWHY_FIN_WAIT2, 0, REUSE_ORPHAN},
		{TCPWHY_LAST_ACK, 24, REUSE_CONNECTION},    {TCPWHY_LAST_ACK, 0, REUSE_ORPHAN},
		{TCPWHY_TIME_WAIT, 0, REUSE_TIME_WAIT},     {TCPWHY_BOUND, 25, REUSE_STRANGER},
		{TCPWHY_SYN_SENT, 26, REUSE_STRANGER},
	};
	struct listing l = empty();
	size_t first = 1, mine;

	(void)state;
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		add(&l, "10.0.0.1", cases[i].state, cases[i].inode);
	/* connect() chose that port: no listener had a part in it. */
	mine = add(&l, "10.0.0.1", TCPWHY_ESTABLISHED, 27);
	l.owners[mine].o.connect_bind = TCPWHY_YES;
	assert_int_equal(pick(&l, NULL, 10, 0), 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(l.roles[first + i], cases[i].role);
	assert_int_equal(l.roles[mine], REUSE_STRANGER);
	/* Nor does a process that has only such a one serve anything. */
	assert_int_equal(pick(&l, NULL, 27, 0), 0);
}

/* A child has its listener's family; an IPv6 listener that is v6only takes no IPv4. */
static void test_families(void **state)
{
	struct listing l = empty(), dual = empty();

	(void)state;
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);
	l.owners[add(&l, "::", TCPWHY_LISTEN, 11)].o.v6only = TCPWHY_YES;
	add(&l, "127.0.0.1", TCPWHY_ESTABLISHED, 12);
	add(&l, "2001:db8::1", TCPWHY_ESTABLISHED, 13);
	assert_int_equal(pick(&l, NULL, 10, 0), 1);
	assert_roles(&l, "L-C-");
	assert_int_equal(pick(&l, NULL, 11, 0), 1);
	assert_roles(&l, "-L-C");
	assert_int_equal(pick(&l, "0.0.0.0", 11, 0), 0);
	assert_roles(&l, "----");

	add(&dual, "::", TCPWHY_LISTEN, 10);
	add(&dual, "::ffff:127.0.0.1", TCPWHY_ESTABLISHED, 11);
	add(&dual, "127.0.0.1", TCPWHY_ESTABLISHED, 12);
	assert_int_equal(pick(&dual, NULL, 10, 0), 1);
	assert_roles(&dual, "LC-");
}

/* Workers that share a place by SO_REUSEPORT, each with a listener of its own; another device is
 * another place. */
static void test_workers(void **state)
{
	struct listing l = empty();

	(void)state;
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 11);
	l.owners[add(&l, "0.0.0.0", TCPWHY_LISTEN, 12)].o.device = 3;
	add(&l, "10.0.0.1", TCPWHY_ESTABLISHED, 13);
	l.owners[add(&l, "10.0.0.1", TCPWHY_ESTABLISHED, 14)].o.device = 3;
	assert_int_equal(pick(&l, NULL, 10, 0), 1);
	assert_roles(&l, "LL-C-");
}

static void test_nothing(void **state)
{
	struct listing l = empty();
	struct reuse_place place = {0};

	(void)state;
	assert_int_equal(reuse_pick(&l.snap, &place, NULL, 0, l.roles), 0);
	add(&l, "0.0.0.0", TCPWHY_LISTEN, 10);
	assert_int_equal(reuse_pick(&l.snap, &place, NULL, 0, l.roles), 0);
}

/* -------------------------------------------------------------------------------------- the proof
 */

/* The view of a listing in which every socket with an inode was reached. */
static void prove(struct listing *l, struct reuse_proof *proof)
{
	struct reuse_socket sockets[SOCKETS_MAX] = {0};
	struct reuse_view *view = calloc(1, sizeof(*view));

	assert_non_null(view);
	assert_int_equal(pick(l, NULL, 10, 0), 1);
	view->ports[0] = (struct reuse_port){.port = PORT, .snap = l->snap, .roles = l->roles};
	view->ports_n = 1;
	view->sockets = sockets;
	for (size_t i = 0; i < l->snap.owners_n; i++) {
		if (l->roles[i] != REUSE_LISTENER && l->roles[i] != REUSE_CONNECTION)
			continue;
		sockets[view->n++] = (struct reuse_socket){
			.owner = (uint32_t)i,
			.reuse = l->owners[i].o.reuse == TCPWHY_REUSE_CAN,
		};
	}
	assert_int_equal(reuse_prove(view, 0, load_row_for("6.18.44"), &heap_memory, proof), 1);
	assert_int_equal(reuse_prove(view, 1, load_row_for("6.18.44"), &heap_memory, proof), 0);
	free(view);
}

/* The listing as it stands in a namespace where nothing is unseen: a server with a connection, and
 * perhaps one more socket. */
static void server(struct listing *l, bool reuse, enum tcpwhy_state also, bool also_reuse)
{
	*l = empty();
	l->snap.sysctls_unknown = ~0u;
	add(l, "0.0.0.0", TCPWHY_LISTEN, 10);
	add(l, "10.0.0.1", TCPWHY_ESTABLISHED, 11);
	l->owners[0].o.reuse = l->owners[1].o.reuse = reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
	if (also)
		l->owners[add(l, "10.0.0.1", also, 0)].o.reuse =
			also_reuse ? TCPWHY_REUSE_CAN : TCPWHY_REUSE_NO;
}

struct proven {
	bool reuse;             /* of the server */
	enum tcpwhy_state also; /* 0: nothing */
	bool also_reuse;
	enum tcpwhy_answer before, after, cleared;
};

static const struct proven a_connection = {
	false, 0, false, TCPWHY_REFUSED, TCPWHY_OK, TCPWHY_OK,
};
/* What is dead already keeps what it had. */
static const struct proven time_wait = {
	false, TCPWHY_TIME_WAIT, false, TCPWHY_REFUSED, TCPWHY_REFUSED, TCPWHY_OK,
};
static const struct proven time_wait_that_had_it = {
	false, TCPWHY_TIME_WAIT, true, TCPWHY_REFUSED, TCPWHY_OK, TCPWHY_OK,
};
/* What waits for accept() is reset with its listener; an orphan is not. */
static const struct proven queued = {
	false, TCPWHY_ESTABLISHED, false, TCPWHY_REFUSED, TCPWHY_OK, TCPWHY_OK,
};
static const struct proven orphan = {
	false, TCPWHY_FIN_WAIT1, false, TCPWHY_REFUSED, TCPWHY_REFUSED, TCPWHY_OK,
};
/* A server that has it already needs nothing. */
static const struct proven has_it = {
	true, 0, false, TCPWHY_OK, TCPWHY_OK, TCPWHY_OK,
};

static void test_proof(void **state)
{
	const struct proven *want = *state;
	struct reuse_proof p;
	struct listing l;

	server(&l, want->reuse, want->also, want->also_reuse);
	prove(&l, &p);
	assert_false(p.sample);
	assert_int_equal(p.before.answer, want->before);
	assert_int_equal(p.before.error, want->before == TCPWHY_REFUSED ? EADDRINUSE : 0);
	assert_int_equal(p.after.answer, want->after);
	assert_int_equal(p.cleared.answer, want->cleared);
}

static void test_proof_without_connection(void **state)
{
	static const char *const places[] = {"0.0.0.0", "10.0.0.1", "::", "2001:db8::1",
					     "::ffff:10.0.0.1"};
	struct reuse_proof p;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct listing l = empty();
		struct snapshot_local here = {
			.prefix = parse(places[i]), .prefix_len = 128, .kind = TCPWHY_LOCAL};

		l.snap.sysctls_unknown = ~0u;
		l.snap.locals = &here;
		l.snap.locals_n = 1;
		l.snap.locals_known = true;
		add(&l, places[i], TCPWHY_LISTEN, 10);
		prove(&l, &p);
		assert_true(p.sample);
		assert_int_equal(p.before.answer, TCPWHY_REFUSED);
		assert_int_equal(p.after.answer, TCPWHY_OK);
	}
}

int main(void)
{
#define PROOF(name)                                                                                \
	{                                                                                          \
		"test_proof " #name, test_proof, NULL, NULL, (void *)(uintptr_t)&name              \
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_listener),
		cmocka_unit_test(test_by_connection),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_nothing),
		PROOF(a_connection),
		PROOF(time_wait),
		PROOF(time_wait_that_had_it),
		PROOF(queued),
		PROOF(orphan),
		PROOF(has_it),
		cmocka_unit_test(test_proof_without_connection),
	};

	return unit_run("reuse_pick", tests);
}
